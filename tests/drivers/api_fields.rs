//! Our types of the Gateway API know every field that the CRDs have. `tests/api/fields-v1.6.1.txt` lists those of the
//! experimental channel, which has all of the standard one.

use gatewasm::source::{Input, Source};
use serde_json::{Value, json};

/// Whether reading an object with this field and nothing else names it as unknown.
fn is_unknown(kind: &str, path: &str) -> bool {
    let mut value = json!({});
    for part in path.split('.').rev() {
        let (name, value_of) = match part.strip_suffix("[]") {
            Some(name) => (name, json!([value])),
            None => (part, value),
        };
        value = json!({ name: value_of });
    }
    let mut object = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind, "metadata": {"name": "x"},
    });
    if let (Value::Object(object), Value::Object(members)) = (&mut object, value) {
        object.extend(members);
    }
    let input = Input { path: "in.json".to_owned(), text: Ok(object.to_string()) };
    let problems = Source::default().update(&[input]).problems;
    problems.iter().any(|problem| problem.reason == "UnknownField")
}

#[test]
fn every_field_is_known() {
    let list = include_str!("../api/fields-v1.6.1.txt");
    let fields = list.lines().filter_map(|line| line.split_once(' '));
    let unknown: Vec<_> = fields.filter(|(kind, path)| is_unknown(kind, path)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn other_fields_are_not() {
    for (kind, path) in [
        ("Gateway", "spec.listener"),
        ("Gateway", "spec.listeners[].hostnames"),
        ("HTTPRoute", "spec.rules[].matches[].path.vale"),
        ("HTTPRoute", "spec.rules[].filters[].cors.max"),
        ("ReferenceGrant", "spec.to[].namespace"),
        ("GatewayClass", "specs"),
    ] {
        assert!(is_unknown(kind, path), "{kind} {path}");
    }
}
