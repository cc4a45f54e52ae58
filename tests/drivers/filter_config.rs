//! `docs/filter-config.md` and its schema, held to the types. After a change of the types:
//! `UPDATE_EXPECT=1 cargo test -p gatewasm-tests --test filter-config`, then adapt the page.

use std::collections::BTreeSet;

use expect_test::expect_file;
use gatewasm_routing::config::FilterConfig;
use gatewasm_routing::{compile, parse};
use serde_json::Value;

const PAGE: &str = include_str!("../../docs/filter-config.md");

#[test]
fn the_schema_is_that_of_the_types() {
    let schema = serde_json::to_string_pretty(&FilterConfig::schema()).unwrap();
    expect_file!["../../docs/filter-config.schema.json"].assert_eq(&format!("{schema}\n"));
}

#[test]
fn the_examples_are_sound() {
    let examples: Vec<_> =
        PAGE.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty(), "the page has no example");
    for example in examples {
        let config = parse(example.as_bytes()).unwrap_or_else(|problem| panic!("{problem}\n{example}"));
        assert!(compile(&config).is_ok(), "{:?}\n{example}", compile(&config).err());
    }
}

#[test]
fn every_name_of_the_schema_is_described() {
    let schema = FilterConfig::schema().to_value();
    let mut names = BTreeSet::new();
    collect(&schema, &mut names);
    assert!(names.contains("listeners") && names.contains("PathPrefix"), "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !PAGE.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/filter-config.md does not describe {missing:?}");
}

/// Names of fields and of values.
fn collect(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match (key.as_str(), value) {
                    ("properties", Value::Object(properties)) => names.extend(properties.keys().cloned()),
                    ("enum", Value::Array(values)) => {
                        names.extend(values.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    ("const", Value::String(value)) => names.extend([value.clone()]),
                    _ => {}
                }
                collect(value, names);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, names)),
        _ => {}
    }
}
