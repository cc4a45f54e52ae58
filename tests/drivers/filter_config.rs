//! `docs/filter-config.md` and its schema, held to the types. After a change of the types:
//! `UPDATE_EXPECT=1 cargo test -p gatewasm-tests --test filter-config`, then adapt the page.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect_file;
use gatewasm_routing::config::FilterConfig;
use gatewasm_routing::{compile, parse};
use serde_json::{Map, Value};

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

/// Where the page describes an object.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// In the first table behind the line that begins so.
    Table(&'static str),
    /// In the line that begins so.
    Line(&'static str),
}

use Place::{Line, Table};

/// Every object of the schema.
const PLACES: [(&str, Place); 17] = [
    ("FilterConfig", Table("**The document**")),
    ("Listener", Table("**A listener**")),
    ("Route", Table("**A route**")),
    ("Rule", Table("**A rule**")),
    ("RouteMatch", Table("**A match**")),
    ("PathMatch", Line("| `path` | default: every path |")),
    ("ValueMatch", Line("| `headers` |")),
    ("GrpcMethodMatch", Line("| `grpcMethod` |")),
    ("Backend", Table("**A backend**")),
    ("RouteFilter", Table("## Filters")),
    ("HeaderModifier", Line("A **header modifier** ")),
    ("Header", Line("A **header modifier** ")),
    ("RequestRedirect", Table("A **redirect** ")),
    ("UrlRewrite", Line("A **rewrite** ")),
    ("PathModifier", Line("A **`path`**, of a redirect or rewrite,")),
    ("Cors", Table("## CORS")),
    ("SessionPersistence", Table("## Sessions")),
];

impl Place {
    fn lines(self) -> Vec<&'static str> {
        let (Table(beginning) | Line(beginning)) = self;
        let lines = PAGE.lines().skip_while(|line| !line.starts_with(beginning));
        match self {
            Line(_) => lines.take(1).collect(),
            Table(_) => {
                let is_row = |line: &&str| line.starts_with('|');
                lines.skip_while(|line| !is_row(line)).take_while(is_row).collect()
            }
        }
    }

    /// A field of a table stands before what it means.
    fn has_field(self, name: &str) -> bool {
        let quoted = format!("`{name}`");
        self.lines().iter().any(|line| match self {
            Line(_) => line.contains(&quoted),
            Table(_) => line.split('|').take(3).any(|cell| cell.contains(&quoted)),
        })
    }

    fn has_value(self, value: &str) -> bool {
        self.lines().iter().any(|line| line.contains(&format!("`{value}`")))
    }
}

#[test]
fn every_object_of_the_schema_is_described_at_its_place() {
    let schema = FilterConfig::schema().to_value();
    let definitions = schema["$defs"].as_object().unwrap();
    let mut objects: Vec<_> = definitions.iter().filter(|(_, it)| !fields(it).is_empty()).collect();
    let root = "FilterConfig".to_owned();
    objects.push((&root, &schema));
    let places = BTreeMap::from(PLACES);
    let names: BTreeSet<_> = objects.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, places.keys().copied().collect(), "objects of the schema, and those with a place");
    let (mut missing, mut number) = (Vec::new(), 0);
    for (object, its) in objects {
        let place = places[object.as_str()];
        for (field, of) in fields(its) {
            let mut values = BTreeSet::new();
            collect(of, definitions, &mut values);
            let values = values.iter().filter(|value| !place.has_value(value));
            missing.extend(values.map(|value| format!("{value:?} of {object}.{field}")));
            if !place.has_field(field) {
                missing.push(format!("{object}.{field}"));
            }
            number += 1;
        }
    }
    assert!(missing.is_empty(), "docs/filter-config.md does not describe {missing:#?}");
    assert!(number > 50, "{number}");
}

/// The fields of an object, those of all variants of one that has variants.
fn fields(object: &Value) -> Vec<(&String, &Value)> {
    let variants = object["oneOf"].as_array().into_iter().flatten();
    let all = std::iter::once(object).chain(variants);
    all.filter_map(|one| one["properties"].as_object()).flatten().collect()
}

/// The texts that a field may have, where they can be counted.
fn collect(schema: &Value, definitions: &Map<String, Value>, values: &mut BTreeSet<String>) {
    match schema {
        Value::Object(keywords) => {
            for (keyword, value) in keywords {
                match (keyword.as_str(), value) {
                    ("enum", Value::Array(texts)) => {
                        values.extend(texts.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    ("const", Value::String(text)) => values.extend([text.clone()]),
                    ("$ref", Value::String(path)) => {
                        let of = &definitions[path.rsplit('/').next().unwrap_or_default()];
                        if fields(of).is_empty() {
                            collect(of, definitions, values);
                        }
                    }
                    _ => collect(value, definitions, values),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|one| collect(one, definitions, values)),
        _ => {}
    }
}
