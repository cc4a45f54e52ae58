//! Bad manifests: each fault is named with its place, and costs nothing but itself. The other route, which is good,
//! must still be served after each.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use gatewasm::problem::{Problem, Severity};
use gatewasm::source::{Input, Source};
use gatewasm::translate::{Options, Translation, translate};
use gatewasm_routing::config::Rule;

/// A Gateway with a good route `good`; what is bad is put beside it.
const GOOD: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: gatewasm}
spec: {controllerName: gatewasm.dev/controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: gatewasm
  listeners: [{name: http, port: 80, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: good}
spec:
  parentRefs: [{name: web}]
  rules: [{matches: [{path: {value: /good}}], backendRefs: [{name: good, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: good}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: good, labels: {kubernetes.io/service-name: good}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [127.0.0.1]}]
"#;

struct Run {
    problems: Vec<Problem>,
    translation: Translation,
}

fn inputs(bad: &str) -> [Input; 2] {
    [("bad.yaml", bad), ("good.yaml", GOOD)]
        .map(|(path, text)| Input { path: path.to_owned(), text: Ok(text.to_owned()) })
}

fn update(source: &mut Source, bad: &str) -> Run {
    let loaded = source.update(&inputs(bad));
    let translation = translate(&loaded.snapshot, &Options { local: true, ..Options::default() });
    let mut problems = loaded.problems;
    problems.extend(translation.problems.clone());
    gatewasm_routing::compile(&translation.model.filter_config).unwrap();
    Run { problems, translation }
}

/// Runs with something bad, and finds the good route served.
fn run(bad: &str) -> Run {
    let run = update(&mut Source::default(), bad);
    let rules = run.rules("good");
    assert_eq!(rules.len(), 1, "the good route is gone: {:#?}", run.problems);
    assert_eq!(
        (rules[0].invalid.as_ref(), rules[0].backends[0].cluster.as_deref()),
        (None, Some("default/good/80"))
    );
    run
}

impl Run {
    /// The rules of a route that is served; empty where it is not.
    fn rules(&self, route: &str) -> Vec<Rule> {
        let listeners = &self.translation.model.filter_config.listeners;
        let routes = listeners.iter().flat_map(|listener| &listener.routes);
        routes.filter(|served| served.name == route).flat_map(|served| served.rules.clone()).collect()
    }

    /// The one problem with this reason.
    fn problem(&self, reason: &str) -> (String, &str, &str, Severity) {
        let found: Vec<&Problem> = self.problems.iter().filter(|problem| problem.reason == reason).collect();
        assert_eq!(found.len(), 1, "{reason}: {:#?}", self.problems);
        (found[0].place.to_string(), &found[0].field, &found[0].message, found[0].severity)
    }
}

/// A route `bad` with these rules.
fn route(rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: bad}}\n\
         spec: {{parentRefs: [{{name: web}}], rules: {rules}}}\n"
    )
}

fn gateway(listeners: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: bad}}\n\
         spec: {{gatewayClassName: gatewasm, listeners: {listeners}}}\n"
    )
}

#[test]
fn malformed_yaml() {
    let run = run("a: 1\n  b: [\n");
    let (place, _, message, severity) = run.problem("Malformed");
    assert!(place.starts_with("bad.yaml:"), "{place}");
    assert!(message.contains("not valid YAML"), "{message}");
    assert_eq!(severity, Severity::Error);
}

#[test]
fn unknown_kind() {
    let run = run("apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x}\n");
    let (place, _, message, severity) = run.problem("UnknownKind");
    assert_eq!((place.as_str(), severity), ("Thing default/x", Severity::Warning));
    assert!(message.contains("example.com/v1"), "{message}");
}

#[test]
fn unknown_field() {
    let run = run(&route("[{matches: [{path: {vale: /x}}]}]"));
    let (place, field, message, _) = run.problem("UnknownField");
    assert_eq!((place.as_str(), field), ("HTTPRoute default/bad", "spec.rules[0].matches[0].path.vale"));
    assert!(message.contains("\"/x\""), "{message}");
    assert!(run.rules("bad").is_empty());
}

#[test]
fn invalid_regex() {
    let run = run(&route(
        "[{matches: [{path: {type: RegularExpression, value: '/x/('}}], backendRefs: [{name: good, port: 80}]}]",
    ));
    let (_, field, message, _) = run.problem("UnsupportedValue");
    assert_eq!(field, "spec.rules[0].matches[0].path.value");
    assert!(message.contains("\"/x/(\""), "{message}");
    assert!(run.rules("bad")[0].invalid.is_some());
}

#[test]
fn filters_that_cannot_be_served() {
    let modifier = "type: RequestHeaderModifier, requestHeaderModifier";
    for (filters, reason, field, part) in [
        (
            format!("{{{modifier}: {{set: [{{name: 'a b', value: c}}]}}}}"),
            "UnsupportedValue",
            "spec.rules[0].filters[0].requestHeaderModifier.set[0].name",
            "\"a b\"",
        ),
        (
            format!("{{{modifier}: {{add: [{{name: a, value: \"b\\r\\nc: d\"}}]}}}}"),
            "UnsupportedValue",
            "spec.rules[0].filters[0].requestHeaderModifier.add[0].value",
            "\\r\\n",
        ),
        (
            format!("{{{modifier}: {{remove: [X-GW-Cluster]}}}}"),
            "UnsupportedValue",
            "spec.rules[0].filters[0].requestHeaderModifier.remove[0]",
            "\"X-GW-Cluster\"",
        ),
        (
            format!("{{{modifier}: {{}}}}, {{{modifier}: {{}}}}"),
            "IncompatibleFilters",
            "spec.rules[0].filters[1].type",
            "another filter of this type",
        ),
        (
            "{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: 'a'}}}"
                .to_owned(),
            "UnsupportedValue",
            "spec.rules[0].filters[0].urlRewrite.path.replaceFullPath",
            "\"a\"",
        ),
        (
            "{type: RequestRedirect, requestRedirect: {scheme: https}}".to_owned(),
            "UnsupportedValue",
            "spec.rules[0].backendRefs",
            "remove its backendRefs",
        ),
        (
            "{type: ExtensionRef, extensionRef: {group: example.com, kind: Limit, name: x}}".to_owned(),
            "UnsupportedValue",
            "spec.rules[0].filters[0]",
            "ExtensionRef",
        ),
    ] {
        let run = run(&route(&format!(
            "[{{matches: [{{path: {{value: /x}}}}], filters: [{filters}], backendRefs: [{{name: good, port: 80}}]}}]"
        )));
        let (_, found, message, severity) = run.problem(reason);
        assert_eq!((found, severity), (field, Severity::Error));
        assert!(message.contains(part), "{message}");
        let rule = &run.rules("bad")[0];
        assert!(rule.invalid.is_some() && rule.filters.is_empty(), "{rule:?}");
    }
}

#[test]
fn members_of_filters_that_no_cluster_holds() {
    let long = "x".repeat(4097);
    for (filter, field) in [
        (
            format!(
                "{{type: ResponseHeaderModifier, responseHeaderModifier: {{set: [{{name: a, value: {long}}}]}}}}"
            ),
            "spec.rules[0].filters[0].responseHeaderModifier.set[0].value",
        ),
        (
            "{type: RequestHeaderModifier, requestHeaderModifier: {add: [{name: a, value: ''}]}}".to_owned(),
            "spec.rules[0].filters[0].requestHeaderModifier.add[0].value",
        ),
        (
            format!(
                "{{type: RequestHeaderModifier, requestHeaderModifier: {{remove: [{}]}}}}",
                (0..17).map(|n| format!("h{n}")).collect::<Vec<_>>().join(", ")
            ),
            "spec.rules[0].filters[0].requestHeaderModifier.remove",
        ),
        (
            format!(
                "{{type: URLRewrite, urlRewrite: {{path: {{type: ReplaceFullPath, replaceFullPath: /{long}}}}}}}"
            ),
            "spec.rules[0].filters[0].urlRewrite.path.replaceFullPath",
        ),
        (
            "{type: RequestRedirect, requestRedirect: {port: 0}}".to_owned(),
            "spec.rules[0].filters[0].requestRedirect.port",
        ),
        (
            "{type: RequestRedirect, requestRedirect: {hostname: '*.example.com'}}".to_owned(),
            "spec.rules[0].filters[0].requestRedirect.hostname",
        ),
    ] {
        let run = run(&route(&format!("[{{filters: [{filter}]}}]")));
        let (_, found, _, _) = run.problem("InvalidValue");
        assert_eq!(found, field);
        assert!(run.rules("bad").is_empty());
    }
}

#[test]
fn zero_total_weight() {
    let run = run(&route("[{backendRefs: [{name: good, port: 80, weight: 0}]}]"));
    let (_, field, message, severity) = run.problem("NoWeight");
    assert_eq!((field, severity), ("spec.rules[0].backendRefs", Severity::Warning));
    assert!(message.contains("500"), "{message}");
}

#[test]
fn missing_service() {
    let run = run(&route("[{backendRefs: [{name: gone, port: 80}]}]"));
    let (_, field, message, _) = run.problem("BackendNotFound");
    assert_eq!(field, "spec.rules[0].backendRefs[0]");
    assert!(message.contains("\"default/gone\""), "{message}");
    assert!(run.rules("bad")[0].backends[0].invalid.is_some());
}

#[test]
fn missing_endpoint_slice() {
    let service =
        "---\napiVersion: v1\nkind: Service\nmetadata: {name: empty}\nspec: {ports: [{port: 80}]}\n";
    let run = run(&(route("[{backendRefs: [{name: empty, port: 80}]}]") + service));
    let (place, _, message, severity) = run.problem("NoEndpoints");
    assert_eq!((place.as_str(), severity), ("Service default/empty", Severity::Warning));
    assert!(message.contains("--backend default/empty:80=HOST:PORT"), "{message}");
    assert!(run.translation.model.clusters["default/empty/80"].endpoints.is_empty());
}

#[test]
fn port_that_the_service_lacks() {
    let run = run(&route("[{backendRefs: [{name: good, port: 81}]}]"));
    let (_, field, message, _) = run.problem("BackendNotFound");
    assert_eq!(field, "spec.rules[0].backendRefs[0].port");
    assert!(message.contains("no TCP port 81; it has 80"), "{message}");
}

#[test]
fn backend_in_another_namespace_without_a_grant() {
    let run = run(&route("[{backendRefs: [{name: x, namespace: other, port: 80}]}]"));
    let (_, field, message, _) = run.problem("RefNotPermitted");
    assert_eq!(field, "spec.rules[0].backendRefs[0]");
    assert!(message.contains("no ReferenceGrant in \"other\""), "{message}");
}

#[test]
fn certificate_in_another_namespace_without_a_grant() {
    let run = run(&gateway(
        "[{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: x, namespace: other}]}}]",
    ));
    let (_, field, _, _) = run.problem("RefNotPermitted");
    assert_eq!(field, "spec.listeners[0].tls.certificateRefs[0]");
    assert!(run.translation.model.gateways.values().flat_map(|gateway| &gateway.listeners).count() == 1);
}

#[test]
fn certificate_that_does_not_parse() {
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: x}\ntype: kubernetes.io/tls\n\
                  stringData: {tls.crt: nonsense, tls.key: nonsense}\n";
    let listeners = "[{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: x}]}}]";
    let run = run(&(gateway(listeners) + secret));
    let (_, _, message, _) = run.problem("InvalidCertificateRef");
    assert!(message.contains("tls.crt without a certificate"), "{message}");
}

#[test]
fn certificate_that_does_not_match_its_key() {
    // The pair is that of a golden case, so that there is one copy of it.
    let golden = include_str!("../golden/tls/other-key/in.yaml");
    let secret = golden
        .split("\n---\n")
        .find(|document| document.starts_with("apiVersion: v1\nkind: Secret"))
        .unwrap();
    let listeners = "[{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}]";
    let run = run(&(gateway(listeners) + "---\n" + secret));
    let (_, _, message, _) = run.problem("InvalidCertificateRef");
    assert!(message.contains("does not belong to its tls.crt"), "{message}");
}

#[test]
fn listeners_in_conflict() {
    let run = run(&gateway("[{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}]"));
    let conflicts = run.problems.iter().filter(|problem| problem.reason == "HostnameConflict").count();
    assert_eq!(conflicts, 2);
    assert_eq!(run.translation.model.gateways.len(), 1);
}

#[test]
fn what_was_good_stays_while_a_file_is_being_broken() {
    let mut source = Source::default();
    let good = route("[{matches: [{path: {value: /once}}], backendRefs: [{name: good, port: 80}]}]");
    let before = update(&mut source, &good);
    assert_eq!(before.problems, []);
    for broken in [&good[..good.len() / 2], &good.replace("value: /once", "vale: /once"), "kind: ["] {
        let after = update(&mut source, broken);
        assert!(!after.problems.is_empty(), "{broken}");
        assert_eq!(after.rules("bad"), before.rules("bad"), "{broken}");
    }
    assert!(update(&mut source, "").rules("bad").is_empty());
}
