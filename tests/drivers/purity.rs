//! `translate` over the objects of every golden case, shuffled, mixed and mutated: the same objects in any order give
//! the same bytes, nothing panics, every filter config compiles, and every condition says something.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use gatewasm::source::{Input, Source};
use gatewasm::translate::{Options, Translation, translate};
use gatewasm_routing::config::RouteFilter;
use gatewasm_tests::golden;
use proptest::prelude::*;
use serde_json::{Value, json};

/// The documents of every golden case.
fn cases() -> Vec<Vec<Value>> {
    golden::cases()
        .unwrap()
        .into_iter()
        .map(|case| {
            let text = std::fs::read_to_string(case.join("in.yaml")).unwrap();
            serde_saphyr::from_multiple::<Value>(&text).unwrap()
        })
        .collect()
}

/// The documents as one file each, in this order.
fn run(documents: &[Value], options: &Options) -> Translation {
    let input =
        |(i, document): (usize, &Value)| Input { path: format!("{i}.json"), text: Ok(document.to_string()) };
    let inputs: Vec<Input> = documents.iter().enumerate().map(input).collect();
    translate(&Source::default().update(&inputs).snapshot, options)
}

/// Everything that a translation says, as bytes.
fn bytes(translation: &Translation) -> String {
    let config = serde_json::to_string(&translation.model.filter_config).unwrap();
    let statuses = serde_json::to_string(&translation.statuses).unwrap();
    let problems = serde_json::to_string(&translation.problems).unwrap();
    format!("{config}\n{statuses}\n{problems}\n{:?}", translation.model)
}

/// One of each object: of two with one identity the last would count, which is an order by intention.
fn without_duplicates(documents: Vec<Value>) -> Vec<Value> {
    let identity = |value: &Value| {
        let part = |path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let namespace = part("/metadata/namespace").unwrap_or_else(|| "default".to_owned());
        // Of cluster-scoped kinds the namespace means nothing.
        let scoped = !matches!(part("/kind").as_deref(), Some("GatewayClass" | "Namespace"));
        (part("/kind"), scoped.then_some(namespace), part("/metadata/name"))
    };
    let unique: BTreeMap<_, Value> =
        documents.into_iter().map(|document| (identity(&document), document)).collect();
    unique.into_values().collect()
}

/// Puts the items into the order that the numbers give.
fn shuffled(mut items: Vec<Value>, order: &[u32]) -> Vec<Value> {
    for i in (1..items.len()).rev() {
        items.swap(i, order[i % order.len()] as usize % (i + 1));
    }
    items
}

/// Values that something might stumble over.
fn odd_values() -> Vec<Value> {
    let texts = [
        "",
        "(",
        "/",
        "//",
        "/a(b",
        "a b",
        "*",
        "*.com",
        "*.example.com",
        "example.com",
        "default",
        "apps",
        "web",
        "shop",
        "http",
        "HTTP",
        "HTTPS",
        "TCP",
        "Service",
        "Secret",
        "Gateway",
        "HTTPRoute",
        "GRPCRoute",
        "TLS",
        "UDP",
        "TLSRoute",
        "TCPRoute",
        "UDPRoute",
        "ListenerSet",
        "Passthrough",
        "Exact",
        "PathPrefix",
        "Never",
        "RegularExpression",
        "All",
        "Same",
        "Selector",
        "GET",
        "0s",
        "5s",
        "127.0.0.1",
        "::1",
        "fe80::1",
        "a.*b",
        "ü",
        "gateway.networking.k8s.io",
        "2026-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "\u{0}",
        "[a&&b]",
        "x{9999}{9999}",
        "host",
        ":path",
        "x-gw-cluster",
        "X-Envoy-Retry-On",
        "a\r\nb: c",
        "https",
        "RequestHeaderModifier",
        "RequestRedirect",
        "URLRewrite",
        "RequestMirror",
        "ReplaceFullPath",
        "ReplacePrefixMatch",
        "CORS",
        "https://*.example.com",
        "null",
        "com.example.Shop",
        "kubernetes.io/h2c",
        "ClientIP",
        "Cookie",
        "Header",
        "Permanent",
        "set-cookie",
        "x-envoy-session",
    ];
    let mut values: Vec<Value> = texts.into_iter().map(Value::from).collect();
    values.extend([0, 1, 80, 200, 301, 443, 65535, 65536, 1_000_000, -1].map(Value::from));
    values.extend([Value::Null, Value::Bool(true), serde_json::json!([]), serde_json::json!({})]);
    values
}

/// Every place in a document, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                places(member, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{i}"), found);
            }
        }
        _ => {}
    }
}

/// Changes one document in one place: another value, one of the same document, an item once more, or nothing there.
fn mutate(documents: &mut [Value], [which, place, how, what]: [u32; 4]) {
    let pick = |number: u32, length: usize| number as usize % length;
    let count = documents.len();
    let document = &mut documents[pick(which, count)];
    let mut found = Vec::new();
    places(document, "", &mut found);
    // The document as a whole and its type stay.
    found.retain(|place| !matches!(place.as_str(), "" | "/kind" | "/apiVersion"));
    let at = found[pick(place, found.len())].clone();
    let copy = document.pointer(&found[pick(what, found.len())]).cloned();
    let Some(target) = document.pointer_mut(&at) else { return };
    match (how % 4, &mut *target) {
        (0, Value::Array(items)) if !items.is_empty() => {
            let again = items[pick(what, items.len())].clone();
            items.push(again);
        }
        (1, _) => *target = copy.unwrap_or(Value::Null),
        (2, _) => *target = Value::Null,
        _ => {
            let odd = odd_values();
            *target = odd[pick(what, odd.len())].clone();
        }
    }
}

fn check(translation: &Translation) {
    if let Err(problems) = gatewasm_routing::compile(&translation.model.filter_config) {
        panic!("{problems:#?}");
    }
    let statuses = serde_json::to_value(&translation.statuses).unwrap();
    let mut found = Vec::new();
    places(&statuses, "", &mut found);
    for place in found.iter().filter(|place| place.ends_with("/message") || place.ends_with("/reason")) {
        let text = statuses.pointer(place).and_then(Value::as_str).unwrap();
        assert!(!text.is_empty(), "{place} is empty");
    }
    assert!(translation.problems.is_sorted());
    for problem in &translation.problems {
        assert!(problem.message.ends_with('.'), "{problem:?}");
    }
    let model = &translation.model;
    let listeners = &model.filter_config.listeners;
    let routes = listeners.iter().flat_map(|listener| &listener.routes);
    for rule in routes.flat_map(|route| &route.rules) {
        for backend in &rule.backends {
            let known = backend.cluster.as_ref().is_none_or(|cluster| model.clusters.contains_key(cluster));
            assert!(known, "{backend:?} is no cluster");
            assert!(
                rule.invalid.is_none() || backend.filters.is_empty(),
                "{rule:?} does more than answer 500"
            );
        }
        assert!(rule.invalid.is_none() || rule.filters.is_empty(), "{rule:?} does more than answer 500");
        assert!(rule.invalid.is_none() || rule.session_persistence.is_none(), "{rule:?} keeps sessions");
        let redirects =
            rule.filters.iter().any(|filter| matches!(filter, RouteFilter::RequestRedirect { .. }));
        assert!(!redirects || rule.backends.is_empty(), "{rule:?} redirects and forwards");
    }
    for listener in model.gateways.values().flat_map(|gateway| gateway.listeners.values()) {
        assert!(
            listener.certificates.iter().all(|secret| model.certificates.contains_key(secret)),
            "{listener:?}"
        );
    }
}

#[test]
fn the_order_of_objects_means_nothing() {
    let cases = cases();
    let everything = without_duplicates(cases.iter().flatten().cloned().collect());
    for documents in cases.into_iter().chain([everything]) {
        let documents = without_duplicates(documents);
        let expected = bytes(&run(&documents, &Options::default()));
        let mut reversed = documents.clone();
        reversed.reverse();
        assert_eq!(bytes(&run(&reversed, &Options::default())), expected);
        for seed in 1..4u32 {
            let order: Vec<u32> =
                (0..97).map(|n: u32| n.wrapping_mul(2_654_435_761).rotate_left(seed * 7) ^ seed).collect();
            assert_eq!(bytes(&run(&shuffled(documents.clone(), &order), &Options::default())), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Objects of a few cases together, changed in a few places.
    #[test]
    fn mutated_objects_translate(
        chosen in prop::collection::vec(any::<u32>(), 1..4),
        mutations in prop::collection::vec(any::<[u32; 4]>(), 0..8),
        order in prop::collection::vec(any::<u32>(), 1..32),
        local in any::<bool>(),
    ) {
        thread_local!(static CASES: Vec<Vec<Value>> = cases());
        let mut documents: Vec<Value> = CASES.with(|cases| {
            chosen.iter().flat_map(|number| cases[*number as usize % cases.len()].clone()).collect()
        });
        for mutation in mutations {
            mutate(&mut documents, mutation);
        }
        let documents = without_duplicates(documents);
        let options = Options { local, ..Options::default() };
        let translation = run(&documents, &options);
        check(&translation);
        let again = run(&shuffled(documents, &order), &options);
        prop_assert!(bytes(&translation) == bytes(&again), "{:#?}\n{:#?}", translation.statuses, again.statuses);
    }
}

/// Lists of filters that can be read, many of them nearly sound.
fn filters() -> impl Strategy<Value = Vec<Value>> {
    let texts = odd_values().into_iter().filter(|value| value.as_str().is_some_and(|text| !text.is_empty()));
    let text = prop::sample::select(texts.collect::<Vec<_>>());
    let header = (text.clone(), text.clone()).prop_map(|(name, value)| json!({"name": name, "value": value}));
    let headers = prop::collection::vec(header, 0..3);
    let names = prop::collection::vec(text.clone(), 0..3);
    let modifier = (headers.clone(), headers, names)
        .prop_map(|(set, add, remove)| json!({"set": set, "add": add, "remove": remove}));
    let path = (any::<bool>(), text.clone()).prop_map(|(full, value)| match full {
        true => json!({"type": "ReplaceFullPath", "replaceFullPath": value}),
        false => json!({"type": "ReplacePrefixMatch", "replacePrefixMatch": value}),
    });
    let path = prop::option::of(path);
    let scheme = prop::option::of(prop_oneof![Just(json!("https")), text.clone()]);
    let status = prop::option::of(prop::sample::select(vec![200, 301, 302, 308, 999]));
    let hostname = prop::option::of(prop::sample::select(vec!["example.com", "127.0.0.1"]));
    let redirect = (scheme, status, path.clone())
        .prop_map(|(scheme, status, path)| json!({"scheme": scheme, "statusCode": status, "path": path}));
    let rewrite = (hostname, path).prop_map(|(hostname, path)| json!({"hostname": hostname, "path": path}));
    let of =
        |kind: &'static str, member: &'static str| move |value: Value| json!({"type": kind, member: value});
    let texts = || prop::collection::btree_set(text.clone().prop_map(|it| it.to_string()), 0..3);
    let origins = prop::collection::btree_set(
        prop::sample::select(vec!["*", "https://a.example.com", "http://*:81", "https://*.b.test", "null"]),
        0..3,
    );
    let methods = prop::collection::btree_set(prop::sample::select(vec!["*", "GET", "PUT", "get"]), 0..3);
    let cors = (origins, methods, prop::option::of(0..3u32), any::<bool>(), texts()).prop_map(
        |(origins, methods, age, credentials, headers)| {
            let headers: Vec<String> = headers
                .into_iter()
                .map(|text| text.chars().filter(char::is_ascii_alphanumeric).collect::<String>() + "x")
                .collect::<std::collections::BTreeSet<String>>()
                .into_iter()
                .collect();
            json!({
                "allowOrigins": origins, "allowMethods": methods, "maxAge": age,
                "allowCredentials": credentials, "allowHeaders": headers, "exposeHeaders": headers,
            })
        },
    );
    let filter = prop_oneof![
        cors.prop_map(of("CORS", "cors")),
        modifier.clone().prop_map(of("RequestHeaderModifier", "requestHeaderModifier")),
        modifier.prop_map(of("ResponseHeaderModifier", "responseHeaderModifier")),
        redirect.prop_map(of("RequestRedirect", "requestRedirect")),
        rewrite.prop_map(of("URLRewrite", "urlRewrite")),
    ];
    prop::collection::vec(filter, 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in filters, the config compiles, and the rule does what it says or answers 500.
    #[test]
    fn filters_translate(of_rule in filters(), of_backend in filters(), with_backend in any::<bool>()) {
        let backends = if with_backend {
            json!([{"name": "shop", "port": 80, "filters": of_backend}])
        } else {
            json!([])
        };
        let documents = [
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "gatewasm"},
                "spec": {"controllerName": "gatewasm.dev/controller"},
            }),
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "web"},
                "spec": {
                    "gatewayClassName": "gatewasm",
                    "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
                },
            }),
            json!({
                "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "shop"},
                "spec": {
                    "parentRefs": [{"name": "web"}],
                    "rules": [{"filters": of_rule, "backendRefs": backends}],
                },
            }),
        ];
        let translation = run(&documents, &Options::default());
        prop_assert!(translation.statuses.http_routes.len() == 1, "the route was not read");
        check(&translation);
    }
}
