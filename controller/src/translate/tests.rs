//! What golden cases cannot show: options, and the model behind the filter config.

use super::*;
use crate::source::{Input, Source};

const MANIFESTS: &str = "
{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: c}, spec: {controllerName: gatewasm.dev/controller}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: web}, spec: {gatewayClassName: c, addresses: [{value: 127.0.0.2}], listeners: [{name: http, port: 80, protocol: HTTP}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: r}, spec: {parentRefs: [{name: web}], rules: [{backendRefs: [{name: shop, port: 80}, {name: local, port: 80}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: shop}, spec: {selector: {app: shop}, ports: [{port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: local}, spec: {ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: local, labels: {kubernetes.io/service-name: local}}, addressType: IPv4, ports: [{port: 9000}], endpoints: [{addresses: [127.0.0.1]}, {addresses: [169.254.169.254]}]}
";

fn run(options: &Options) -> Translation {
    let input = Input { path: "in.yaml".to_owned(), text: Ok(MANIFESTS.to_owned()) };
    let loaded = Source::default().update(&[input]);
    assert_eq!(loaded.problems, []);
    translate(&loaded.snapshot, options)
}

fn endpoints(translation: &Translation, cluster: &str) -> Vec<String> {
    let endpoints = &translation.model.clusters[cluster].endpoints;
    endpoints.iter().map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port)).collect()
}

fn reasons(translation: &Translation) -> Vec<(String, &str)> {
    translation.problems.iter().map(|problem| (problem.place.to_string(), problem.reason.as_str())).collect()
}

#[test]
fn a_service_without_endpoints_is_told_of_the_flag_and_the_flag_names_them() {
    let local = Options { local: true, ..Options::default() };
    let without = run(&local);
    assert_eq!(endpoints(&without, "default/shop/80"), [""; 0]);
    let problem = without.problems.iter().find(|problem| problem.reason == "NoEndpoints").unwrap();
    assert_eq!(problem.place.to_string(), "Service default/shop");
    assert!(problem.message.contains("--backend default/shop:80=HOST:PORT"), "{}", problem.message);

    for flag in ["default/shop=localhost:8080", "default/shop:80=localhost:8080"] {
        let with = run(&Options { backends: vec![flag.parse().unwrap()], ..local.clone() });
        assert_eq!(endpoints(&with, "default/shop/80"), ["localhost:8080"]);
        assert!(with.problems.iter().all(|problem| problem.reason != "NoEndpoints"), "{:?}", with.problems);
    }
}

#[test]
fn a_route_that_is_not_attached_brings_no_cluster() {
    let elsewhere = MANIFESTS.replace("parentRefs: [{name: web}]", "parentRefs: [{name: web, port: 81}]");
    let input = Input { path: "in.yaml".to_owned(), text: Ok(elsewhere) };
    let translation = translate(&Source::default().update(&[input]).snapshot, &Options::default());
    assert!(translation.model.clusters.is_empty(), "{:?}", translation.model.clusters);
}

#[test]
fn a_flag_that_does_nothing_is_named() {
    for flag in ["default/shop:81=127.0.0.1:1", "default/gone=127.0.0.1:1", "other/shop=127.0.0.1:1"] {
        let translation = run(&Options { backends: vec![flag.parse().unwrap()], ..Options::default() });
        let unused = translation.problems.iter().find(|problem| problem.reason == "UnusedBackend").unwrap();
        assert!(unused.message.contains(flag), "{}", unused.message);
    }
}

#[test]
fn a_flag_replaces_the_slices() {
    let options = Options { backends: vec!["default/local=[::1]:1".parse().unwrap()], ..Options::default() };
    assert_eq!(endpoints(&run(&options), "default/local/80"), ["::1:1"]);
}

#[test]
fn loopback_endpoints_are_served_in_local_mode_only_and_link_local_ones_never() {
    let cluster = run(&Options::default());
    assert_eq!(endpoints(&cluster, "default/local/80"), [""; 0]);
    let refused =
        |t: &Translation| reasons(t).iter().filter(|(_, reason)| *reason == "UnsupportedAddress").count();
    assert_eq!(refused(&cluster), 2);
    let local = run(&Options { local: true, ..Options::default() });
    assert_eq!(endpoints(&local, "default/local/80"), ["127.0.0.1:9000"]);
    assert_eq!(refused(&local), 1);
}

#[test]
fn the_model_carries_addresses_listeners_and_the_access_log() {
    let translation = run(&Options { access_log: true, ..Options::default() });
    let gateway = &translation.model.gateways[&ObjectKey::new("default", "web")];
    assert_eq!(gateway.addresses, [std::net::IpAddr::from([127, 0, 0, 2])]);
    assert_eq!(gateway.listeners["http"].port, 80);
    assert!(translation.model.filter_config.access_log);
    assert!(!run(&Options::default()).model.filter_config.access_log);
}

#[test]
fn the_key_of_sessions_is_there_where_there_are_sessions() {
    let options = Options { session_key: Some("key".to_owned()), ..Options::default() };
    assert_eq!(run(&options).model.filter_config.session_key, None);
    let sessions =
        MANIFESTS.replace("rules: [{backendRefs:", "rules: [{sessionPersistence: {}, backendRefs:");
    let input = Input { path: "in.yaml".to_owned(), text: Ok(sessions) };
    let snapshot = Source::default().update(&[input]).snapshot;
    let key = |options: &Options| translate(&snapshot, options).model.filter_config.session_key;
    assert_eq!(key(&options).as_deref(), Some("key"));
    assert_eq!(key(&Options::default()), None);
}

#[test]
fn a_listener_cannot_have_the_port_of_the_data_planes_own() {
    let reserved = |port| {
        let translation = run(&Options { reserved_ports: Some(port..=port), ..Options::default() });
        let gateway = translation.statuses.gateways.values().next().unwrap();
        let accepted = gateway.listeners[0].conditions[0].clone();
        (accepted.reason, accepted.message, translation.model.gateways.len())
    };
    assert_eq!(reserved(81).0, "Accepted");
    let message = "spec.listeners[0].port: Port 80 is the data plane's own; use another one.";
    assert_eq!(reserved(80), ("PortUnavailable".to_owned(), message.to_owned(), 0));
}

/// The manifests with `count` Gateways, whose backends are spoken TLS with.
fn with_tls(count: usize) -> Translation {
    let names: Vec<String> = (0..count).map(|n| format!("{{name: web-{n:02}}}")).collect();
    let mut text = MANIFESTS.replace("[{name: web}]", &format!("[{}]", names.join(", ")));
    for n in 0..count {
        text += &format!(
            "---\n{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: web-{n:02}}}, \
             spec: {{gatewayClassName: c, listeners: [{{name: http, port: 80, protocol: HTTP}}]}}}}\n"
        );
    }
    text += "---\n{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy, metadata: {name: p}, spec: \
             {targetRefs: [{group: '', kind: Service, name: shop}], \
             validation: {wellKnownCACertificates: System, hostname: shop.example.com}}}\n";
    let loaded = Source::default().update(&[Input { path: "in.yaml".to_owned(), text: Ok(text) }]);
    assert_eq!(loaded.problems, []);
    translate(&loaded.snapshot, &Options::default())
}

#[test]
fn a_policy_has_room_for_sixteen_gateways_and_tls_is_spoken_for_all() {
    let ancestors = |translation: &Translation| {
        translation.statuses.backend_tls_policies.values().next().unwrap().ancestors.len()
    };
    let full = with_tls(16);
    assert_eq!(ancestors(&full), 16);
    assert!(!reasons(&full).iter().any(|(_, reason)| *reason == "TooManyAncestors"));
    let more = with_tls(17);
    assert_eq!(ancestors(&more), 16);
    assert!(reasons(&more).contains(&("BackendTLSPolicy default/p".to_owned(), "TooManyAncestors")));
    let last = more.model.only(&ObjectKey::new("default", "web-16"));
    assert_eq!(last.clusters.keys().collect::<Vec<_>>(), ["default/local/80", "default/shop/80/tls"]);
}
