//! The way of Envoy's resources into parts and back, and what is refused on it.

use std::net::SocketAddr;

use gatewasm_routing::config::{Backend, FilterConfig, Listener, Protocol, Route, RouteKind, Rule};
use serde_json::json;

use super::*;
use crate::render::{ConfigSource, FilterText, Json, Settings};

fn settings() -> Settings {
    Settings {
        bindings: BTreeMap::from([(
            (crate::object::ObjectKey::new("infra", "web"), 80),
            SocketAddr::from(([0, 0, 0, 0], 80)),
        )]),
        source: ConfigSource::Ads,
        filter_path: "/gatewasm.wasm".into(),
        access_log: true,
    }
}

fn route(kind: RouteKind, name: &str, comment: &str) -> Route {
    let backends = vec![Backend { cluster: Some(format!("default/{name}/80")), ..Backend::default() }];
    let rule = Rule { name: Some(comment.to_owned()), backends, ..Rule::default() };
    Route {
        kind,
        namespace: "default".into(),
        name: name.into(),
        creation_timestamp: None,
        hostnames: vec![],
        rules: vec![rule],
    }
}

/// Two listeners with `count` routes each, and as many of everything else.
fn resources(count: usize, comment: &str) -> (FilterConfig, Resources) {
    let routes = |kind| (0..count).map(move |i| route(kind, &format!("r-{i:05}"), comment));
    let listener = |name: &str, routes| Listener {
        name: name.to_owned(),
        gateway: "infra/web".into(),
        port: 80,
        protocol: Protocol::Http,
        hostname: Some(format!("{}.example.com", name.len())),
        alt_svc: None,
        routes,
    };
    let http: Vec<Route> = routes(RouteKind::HttpRoute).collect();
    let both = http.iter().cloned().chain(routes(RouteKind::GrpcRoute)).collect();
    let config = FilterConfig {
        access_log: true,
        session_key: Some("a key".into()),
        listeners: vec![
            listener("infra/web/a", both),
            listener("infra/web/none", vec![]),
            listener("infra/web/z", http),
        ],
        ..FilterConfig::default()
    };
    let named = |kind: &str| -> BTreeMap<String, Json> {
        (0..count).map(|i| (format!("{kind}-{i}"), json!({"@type": kind, "text": comment}).into())).collect()
    };
    let resources = Resources {
        listeners: named("listener"),
        policies: named("policy"),
        clusters: named("cluster"),
        endpoints: named("endpoints"),
        secrets: named("secret"),
        filter: FilterText::of(&config, None),
        ..Resources::default()
    };
    (config, resources.with_filter(&settings()))
}

#[test]
fn what_was_divided_is_put_together_again_whatever_its_size() {
    for (count, comment) in
        [(0, String::new()), (1, String::new()), (3, String::new()), (500, "x".repeat(2000))]
    {
        let (_, resources) = resources(count, &comment);
        let bundle = Bundle::of(&resources).unwrap();
        let joined = Reader::default().resources(&bundle, &settings()).unwrap();
        assert!(joined == resources, "{count} things");
        let kinds = |kind| bundle.parts().keys().filter(|name| name.kind == kind).count();
        let expected = if count == 500 { [16, 8, 8, 8] } else { [1, 1, count.min(1), 1] };
        assert_eq!(Kind::ALL.map(kinds), expected, "{count} things");
    }
}

#[test]
fn a_change_of_one_route_changes_one_part() {
    let (mut config, mut resources) = resources(2000, "some text");
    let before = Bundle::of(&resources).unwrap();
    let mut reader = Reader::default();
    reader.resources(&before, &settings()).unwrap();
    let old = config.clone();
    config.listeners[0].routes[700].rules[0].name = Some("another text".into());
    config.listeners[0].routes.remove(701);
    resources.filter = FilterText::of(&config, Some((&old, &resources.filter)));
    assert!(resources.filter == FilterText::of(&config, None));
    let after = Bundle::of(&resources).unwrap();
    let changed = after.parts().iter().filter(|(name, text)| before.parts().get(name) != Some(text)).count();
    assert!((1..=2).contains(&changed), "{changed} of {} parts", after.parts().len());
    // Who has read the first one reads the second one as who has not.
    let resources = resources.with_filter(&settings());
    assert!(reader.resources(&after, &settings()).unwrap() == resources);
    assert_eq!(gatewasm_routing::parse(resources.filter_config.as_bytes()), Ok(config));
}

#[test]
fn what_is_secret_stands_in_secrets_only_and_routes_stand_on_lines_of_their_own() {
    let (_, resources) = resources(2, "some text");
    let bundle = Bundle::of(&resources).unwrap();
    for (name, text) in bundle.parts() {
        let holds = text.contains("a key") || text.contains("secret-");
        assert_eq!(holds, name.kind.is_secret(), "{name}: {}", &**text);
    }
    let routes = &bundle.parts()[&"routes-0".parse().unwrap()];
    let rules =
        routes.lines().filter(|line| line.trim_start().starts_with("{\"name\":\"some text\"")).count();
    assert_eq!(rules, 6, "{}", &**routes);
}

#[test]
fn more_than_the_parts_hold_is_refused_and_named() {
    let (_, mut resources) = resources(1, "");
    resources.clusters.insert("large".into(), json!("x".repeat(LIMIT)).into());
    let error = Bundle::of(&resources).unwrap_err();
    assert_eq!(error.kind, Kind::Envoy);
    assert!(error.to_string().contains("8 objects of 1048576 bytes"), "{error}");
}

#[test]
fn a_bundle_is_taken_whole_or_not_at_all() {
    let (_, resources) = resources(3, "");
    let bundle = Bundle::of(&resources).unwrap();
    let manifest = bundle.manifest("infra/web", 1);
    assert_eq!(Bundle::collect(&manifest, bundle.parts()), Ok(bundle.clone()));
    // More than is named does no harm.
    let mut found = bundle.parts().clone();
    found.insert("routes-7".parse().unwrap(), "".into());
    assert_eq!(Bundle::collect(&manifest, &found), Ok(bundle.clone()));

    for name in bundle.parts().keys() {
        let mut found = bundle.parts().clone();
        let text = found.remove(name).unwrap();
        assert_eq!(Bundle::collect(&manifest, &found), Err(Incomplete::Missing(*name)));
        for damaged in [text[..text.len() / 2].to_owned(), text.replacen('e', "f", 1), String::new()] {
            found.insert(*name, damaged.into());
            assert_eq!(Bundle::collect(&manifest, &found), Err(Incomplete::Other(*name)));
        }
    }
}

#[test]
fn a_part_of_another_version_is_not_guessed_at() {
    let name = "envoy-0".parse().unwrap();
    let bundle = Bundle { parts: BTreeMap::from([(name, r#"{"more": {}}"#.into())]) };
    let error = Reader::default().resources(&bundle, &settings()).unwrap_err();
    assert!(error.to_string().starts_with("part envoy-0: unknown field `more`"), "{error}");
}
