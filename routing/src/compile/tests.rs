//! Faults of listeners, routes, rules and backends; and the configs that the tests of every part need.

use super::*;
use crate::config::RouteFilter;
use crate::parse;

/// The faults of a config whose one listener, route or rule has these fields besides the required ones.
fn faults(json: &str) -> Vec<String> {
    let config = parse(json.as_bytes()).unwrap();
    compile(&config).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

pub(super) fn in_config(listeners: &str) -> Vec<String> {
    faults(&format!(r#"{{"version": 1, "listeners": [{listeners}]}}"#))
}

pub(super) fn in_listener(fields: &str) -> Vec<String> {
    in_config(&format!(
        r#"{{"name": "infra/web/http", "gateway": "infra/web", "port": 80, "protocol": "HTTP"{fields}}}"#
    ))
}

fn in_route(fields: &str) -> Vec<String> {
    in_listener(&format!(
        r#", "hostname": "*.example.com", "routes": [{{"kind": "HTTPRoute", "namespace": "ns", "name": "n"{fields}}}]"#
    ))
}

fn in_rule(fields: &str) -> Vec<String> {
    in_route(&format!(r#", "rules": [{{{fields}}}]"#))
        .into_iter()
        .map(|fault| fault.replacen("listeners[0].routes[0].rules[0].", "", 1))
        .collect()
}

pub(super) fn in_match(fields: &str) -> Vec<String> {
    in_rule(&format!(r#""matches": [{{{fields}}}]"#))
        .into_iter()
        .map(|fault| fault.replacen("matches[0].", "", 1))
        .collect()
}

#[test]
fn sound_configs_compile() {
    assert_eq!(in_config(""), [""; 0]);
    assert_eq!(in_listener(""), [""; 0]);
    assert_eq!(in_route(""), [""; 0]);
    assert_eq!(in_rule(""), [""; 0]);
    assert_eq!(in_match(""), [""; 0]);
    assert_eq!(
        in_rule(r#""backends": [{"cluster": "a/b/80", "weight": 1000000}, {"invalid": ""}]"#),
        [""; 0]
    );
}

#[test]
fn filters() {
    let modifier = r#"{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["a", "Host"]}}"#;
    let redirect = r#"{"type": "RequestRedirect", "requestRedirect": {"port": 0}}"#;
    let rewrite = r#"{"type": "URLRewrite", "urlRewrite": {"path":
        {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/%2e%2e"}}}"#;
    let host = "cannot be changed by a header modifier; URLRewrite has a hostname";
    assert_eq!(
        in_rule(&format!(
            r#""matches": [{{"path": {{"value": "/"}}}}, {{"path": {{"type": "Exact", "value": "/"}}}}],
               "filters": [{modifier}, {modifier}, {redirect}, {rewrite}],
               "backends": [{{"cluster": "a", "filters": [{modifier}]}}]"#
        )),
        [
            format!("backends[0].filters[0].requestHeaderModifier.remove[1]: \"Host\" {host}"),
            format!("filters[0].requestHeaderModifier.remove[1]: \"Host\" {host}"),
            format!("filters[1].requestHeaderModifier.remove[1]: \"Host\" {host}"),
            "filters[1].type: there is another filter of this type; there can be one".to_owned(),
            "filters[2].requestRedirect.port: 0 is not a port; ports are 1 to 65535".to_owned(),
            "filters[3].urlRewrite.path.type: ReplacePrefixMatch needs a PathPrefix in every match of the rule"
                .to_owned(),
            "filters[3].urlRewrite.path.replacePrefixMatch: \"/%2e%2e\" contains \"%2e%2e\", which may lead to \
             another path"
                .to_owned(),
            "filters: URLRewrite and RequestRedirect cannot stand together".to_owned(),
        ]
    );
    let sound: RouteFilter = serde_json::from_str(&modifier.replace("Host", "b")).unwrap();
    assert_eq!(check_filters(std::slice::from_ref(&sound), &[]), []);
    assert_eq!(check_filters(&[sound.clone(), sound], &[]).len(), 1);
}

#[test]
fn names_ports_and_times() {
    assert_eq!(
        in_config(r#"{"name": "", "gateway": "a b", "port": 0, "protocol": "HTTP"}"#),
        [
            "listeners[0].name: is empty",
            "listeners[0].gateway: \"a b\" has characters other than visible ASCII",
            "listeners[0].port: 0 is not a port; ports are 1 to 65535",
        ]
    );
    assert_eq!(
        in_listener(
            r#", "routes": [{"kind": "HTTPRoute", "namespace": "", "name": "é", "rules": [{"name": ""}]}]"#
        ),
        [
            "listeners[0].routes[0].namespace: is empty",
            "listeners[0].routes[0].name: \"é\" has characters other than visible ASCII",
            "listeners[0].routes[0].rules[0].name: is empty",
        ]
    );
    assert_eq!(
        in_route(r#", "creationTimestamp": "yesterday""#),
        ["listeners[0].routes[0].creationTimestamp: \"yesterday\" is not a time in UTC such as \
          2026-01-31T00:00:00Z (RFC 3339)"]
    );
}

#[test]
fn hostnames() {
    assert_eq!(
        in_listener(r#", "hostname": "*""#),
        [
            "listeners[0].hostname: \"*\" is not a hostname such as foo.example.com or *.example.com, in lower case"
        ]
    );
    assert_eq!(in_route(r#", "hostnames": ["a.example.com", "*.b.example.com", "*.example.com"]"#), [""; 0]);
    assert_eq!(
        in_route(r#", "hostnames": ["a.example.com", "A", "example.com", "*.com"]"#),
        [
            "listeners[0].routes[0].hostnames[1]: \"A\" is not a hostname such as foo.example.com or \
             *.example.com, in lower case",
            "listeners[0].routes[0].hostnames[2]: \"example.com\" reaches beyond the listener's hostname \
             \"*.example.com\"",
            "listeners[0].routes[0].hostnames[3]: \"*.com\" reaches beyond the listener's hostname \
             \"*.example.com\"",
        ]
    );
}

#[test]
fn a_route_stands_once_in_a_listener() {
    let route = r#"{"kind": "HTTPRoute", "namespace": "ns", "name": "n"}"#;
    assert_eq!(
        in_listener(&format!(r#", "routes": [{route}, {route}]"#)),
        ["listeners[0].routes[1].name: HTTPRoute ns/n stands twice in this listener"]
    );
}

#[test]
fn a_name_is_that_of_one_rule() {
    let rules = r#", "rules": [{"name": "a"}, {"name": "b"}, {}, {}, {"name": "a"}]"#;
    assert_eq!(
        in_route(rules),
        ["listeners[0].routes[0].rules[4].name: \"a\" is the name of another rule too"]
    );
}

#[test]
fn backends() {
    assert_eq!(
        in_rule(
            r#""backends": [{"cluster": "a", "weight": 1000001}, {}, {"cluster": "a", "invalid": "b"},
                {"cluster": ""}, {"cluster": "a b"}]"#
        ),
        [
            "backends[0].weight: 1000001 is too large; weights are 0 to 1000000",
            "backends[1]: has neither \"cluster\" nor \"invalid\"",
            "backends[2]: has both \"cluster\" and \"invalid\"",
            "backends[3].cluster: is empty",
            "backends[4].cluster: \"a b\" has characters other than visible ASCII",
        ]
    );
}

#[test]
fn more_pairs_than_a_table_holds() {
    let route = config::Route {
        kind: config::RouteKind::HttpRoute,
        namespace: "ns".to_owned(),
        name: "n".to_owned(),
        creation_timestamp: None,
        hostnames: (0..4_000).map(|i| format!("h{i}")).collect(),
        rules: vec![config::Rule::default(); 4_000],
    };
    let listener = config::Listener {
        name: "a/b/c".to_owned(),
        gateway: "a/b".to_owned(),
        port: 80,
        protocol: Protocol::Http,
        hostname: None,
        alt_svc: None,
        routes: vec![route],
    };
    let problems =
        compile(&FilterConfig { listeners: vec![listener], ..FilterConfig::default() }).unwrap_err();
    let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["listeners[0].routes[0].hostnames: more than 10000000 pairs of hostname and match in all"]
    );
}

#[test]
fn another_version() {
    let config = FilterConfig { version: 3, ..FilterConfig::default() };
    let shown = compile(&config).unwrap_err()[0].to_string();
    assert_eq!(shown, "version: the document is of version 3; this build reads version 1");
}
