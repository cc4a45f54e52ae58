//! Reading and reading again, without files.

use super::*;

const CLASS: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: c}\n\
                     spec: {controllerName: gatewasm.dev/controller}\n";

fn route(name: &str, path: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}}}\n\
         spec: {{rules: [{{matches: [{{path: {{value: {path}}}}}]}}]}}\n"
    )
}

fn file(path: &str, text: impl Into<String>) -> Input {
    Input { path: path.to_owned(), text: Ok(text.into()) }
}

fn load(text: impl Into<String>) -> Loaded {
    Source::default().update(&[file("a.yaml", text)])
}

fn only_problem(loaded: &Loaded) -> &Problem {
    assert_eq!(loaded.problems.len(), 1, "{:#?}", loaded.problems);
    &loaded.problems[0]
}

/// Name and path of every route.
fn routes(loaded: &Loaded) -> Vec<(String, String)> {
    let path = |route: &crate::api::HttpRoute| route.spec.rules[0].matches[0].path.clone().unwrap().value;
    loaded.snapshot.http_routes.iter().map(|(key, route)| (key.to_string(), path(route))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, path)| (format!("default/{name}"), (*path).to_owned())).collect()
}

#[test]
fn lists_are_taken_apart_and_namespaces_default() {
    let item = route("a", "/a").replace('\n', "\n    ");
    let loaded = load(format!("apiVersion: v1\nkind: List\nitems:\n  - {item}\n"));
    assert_eq!(routes(&loaded), pairs(&[("a", "/a")]));
    assert_eq!(loaded.problems, []);
}

#[test]
fn malformed_yaml_names_file_and_line_and_costs_only_itself() {
    let text = format!("{}---\nkind: [\n---\n{}", route("a", "/a"), route("b", "/b"));
    let loaded = Source::default().update(&[file("a.yaml", text), file("b.yaml", route("c", "/c"))]);
    assert_eq!(routes(&loaded), pairs(&[("a", "/a"), ("b", "/b"), ("c", "/c")]));
    let problem = only_problem(&loaded);
    assert_eq!(problem.reason, "Malformed");
    let Place::File { path, line: Some(line) } = &problem.place else { panic!("{problem:?}") };
    assert_eq!(path, "a.yaml");
    assert!((6..=7).contains(line), "{problem:?}");
}

#[test]
fn unknown_kinds_are_named_and_ignored() {
    let loaded =
        load(format!("apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\n---\n{CLASS}"));
    assert_eq!(loaded.snapshot.len(), 1);
    let problem = only_problem(&loaded);
    assert_eq!((problem.severity, problem.reason.as_str()), (Severity::Warning, "UnknownKind"));
    assert_eq!(problem.place.to_string(), "Deployment default/web");
    assert!(problem.message.contains("apps/v1"), "{}", problem.message);
}

#[test]
fn an_unknown_kind_needs_no_name() {
    let loaded =
        load("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n");
    let problem = only_problem(&loaded);
    assert_eq!((problem.severity, problem.place.to_string().as_str()), (Severity::Warning, "a.yaml:1"));
}

#[test]
fn a_version_that_is_not_served_is_an_unknown_kind() {
    let loaded = load(CLASS.replace("/v1", "/v1alpha2"));
    assert_eq!(only_problem(&loaded).reason, "UnknownKind");
    assert!(loaded.snapshot.is_empty());
}

/// Each object is refused, with the field and its value named.
#[test]
fn what_an_api_server_would_refuse_is_refused() {
    let spec = |spec: &str| {
        let (kind, spec) = spec.split_once(' ').unwrap();
        let version = match kind {
            "Service" | "Secret" => "v1",
            _ => "gateway.networking.k8s.io/v1",
        };
        format!("{{apiVersion: {version}, kind: {kind}, metadata: {{name: x}}, {spec}}}")
    };
    for (object, field, part) in [
        ("HTTPRoute spec: {rulez: [1]}", "spec.rulez", "value [1]"),
        (
            "HTTPRoute spec: {rules: [{matches: [{path: {vale: /a}}]}]}",
            "spec.rules[0].matches[0].path.vale",
            "\"/a\"",
        ),
        ("HTTPRoute spec: {hostnames: [Foo.com]}", "spec.hostnames[0]", "\"Foo.com\""),
        ("HTTPRoute spec: {hostnames: ['a.*.com']}", "spec.hostnames[0]", "\"a.*.com\""),
        ("HTTPRoute spec: {parentRefs: [{sectionName: http}]}", "spec.parentRefs[0].name", "required"),
        ("HTTPRoute spec: {parentRefs: [{name: a}, {name: a}]}", "spec.parentRefs[1]", "twice"),
        ("HTTPRoute spec: {rules: []}", "spec.rules", "0 items"),
        ("HTTPRoute spec: {rules: [{name: Big}]}", "spec.rules[0].name", "\"Big\""),
        (
            "HTTPRoute spec: {rules: [{matches: [{method: get}]}]}",
            "spec.rules[0].matches[0].method",
            "\"get\"",
        ),
        (
            "HTTPRoute spec: {rules: [{matches: [{headers: [{name: 'a b', value: c}]}]}]}",
            "spec.rules[0].matches[0].headers[0].name",
            "\"a b\"",
        ),
        (
            "HTTPRoute spec: {rules: [{matches: [{headers: [{name: a, value: 1}]}]}]}",
            "spec.rules[0].matches[0].headers[0].value",
            "integer `1`",
        ),
        (
            "HTTPRoute spec: {rules: [{backendRefs: [{name: a, port: 80, weight: 1000001}]}]}",
            "spec.rules[0].backendRefs[0].weight",
            "1000001",
        ),
        (
            "HTTPRoute spec: {rules: [{backendRefs: [{name: a, port: 0}]}]}",
            "spec.rules[0].backendRefs[0].port",
            "`0`",
        ),
        ("HTTPRoute spec: {rules: [{timeouts: {request: 1d}}]}", "spec.rules[0].timeouts.request", "\"1d\""),
        (
            "HTTPRoute spec: {rules: [{filters: [{type: CORS}]}]}",
            "spec.rules[0].filters[0].cors",
            "required for type \"CORS\"",
        ),
        (
            "HTTPRoute spec: {rules: [{filters: [{type: CORS, cors: {allowMethods: [GET, GET]}}]}]}",
            "spec.rules[0].filters[0].cors.allowMethods[1]",
            "twice",
        ),
        (
            "HTTPRoute spec: {rules: [{sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}}]}",
            "spec.rules[0].sessionPersistence.absoluteTimeout",
            "required for lifetimeType \"Permanent\"",
        ),
        (
            "HTTPRoute spec: {rules: [{sessionPersistence: {type: Address}}]}",
            "spec.rules[0].sessionPersistence.type",
            "`Address`",
        ),
        (
            "GRPCRoute spec: {rules: [{matches: [{path: {value: /a}}]}]}",
            "spec.rules[0].matches[0].path",
            "no such field",
        ),
        (
            "GRPCRoute spec: {rules: [{matches: [{method: {type: Exact}}]}]}",
            "spec.rules[0].matches[0].method",
            "A service, a method or both",
        ),
        (
            "GRPCRoute spec: {rules: [{filters: [{type: URLRewrite, urlRewrite: {}}]}]}",
            "spec.rules[0].filters[0].urlRewrite",
            "no such field",
        ),
        (
            "GRPCRoute spec: {rules: [{backendRefs: [{name: a, filters: [{type: RequestMirror}]}]}]}",
            "spec.rules[0].backendRefs[0].filters[0].requestMirror",
            "required for type \"RequestMirror\"",
        ),
        (
            "GRPCRoute spec: {rules: [{backendRefs: [{name: a, port: 0}]}]}",
            "spec.rules[0].backendRefs[0].port",
            "`0`",
        ),
        ("GRPCRoute spec: {rules: [{timeouts: {}}]}", "spec.rules[0].timeouts", "no such field"),
        ("GRPCRoute spec: {rules: [{name: a}, {name: a}]}", "spec.rules[1].name", "twice"),
        ("Gateway spec: {listeners: []}", "spec.gatewayClassName", "required"),
        ("Gateway spec: {gatewayClassName: c, listeners: []}", "spec.listeners", "0 items"),
        (
            "Gateway spec: {gatewayClassName: c, listeners: [{name: a, port: 70000, protocol: HTTP}]}",
            "spec.listeners[0].port",
            "70000",
        ),
        (
            "Gateway spec: {gatewayClassName: c, listeners: [{name: a, port: 1, protocol: HTTP}, \
             {name: a, port: 2, protocol: HTTP}]}",
            "spec.listeners[1].name",
            "\"a\"",
        ),
        (
            "Gateway spec: {gatewayClassName: c, listeners: [{name: a, port: 1, protocol: HTTP, \
             allowedRoutes: {namespaces: {from: Some}}}]}",
            "spec.listeners[0].allowedRoutes.namespaces.from",
            "`Some`",
        ),
        ("GatewayClass spec: {controllerName: gatewasm}", "spec.controllerName", "\"gatewasm\""),
        ("ReferenceGrant spec: {from: [], to: [{group: '', kind: Service}]}", "spec.from", "0 items"),
        ("Service spec: {prots: []}", "spec.prots", "no such field"),
        ("Service spec: {ports: [{port: http}]}", "spec.ports[0].port", "\"http\""),
        ("Service spec: {ports: []}, metadata2: {}", "metadata2", "no such field"),
        ("HTTPRoute speck: {}", "spec", "required"),
    ] {
        let loaded = load(spec(object));
        assert!(loaded.snapshot.is_empty(), "{object}");
        let found = loaded.problems.iter().find(|problem| problem.field == field);
        let found = found.unwrap_or_else(|| panic!("{object}: {:#?}", loaded.problems));
        assert!(found.message.contains(part), "{object}: {}", found.message);
        assert_eq!(found.severity, Severity::Error);
        assert!(matches!(&found.place, Place::Object(object) if object.name == "x"));
    }
}

#[test]
fn every_unknown_field_of_an_object_is_named() {
    let loaded = load(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: x}, spec: {a: 1, b: 2}}",
    );
    let fields: Vec<&str> = loaded.problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(fields, ["spec.a", "spec.b"]);
}

#[test]
fn nulls_are_absent_fields() {
    let loaded = load(
        "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, \
         metadata: {name: x, creationTimestamp: null}, spec: {hostnames: null}, status: {parents: null}}",
    );
    assert_eq!(loaded.problems, []);
    assert_eq!(loaded.snapshot.len(), 1);
}

#[test]
fn values_of_secrets_are_never_shown() {
    let loaded = load(
        "{apiVersion: v1, kind: Secret, metadata: {name: x}, data: {tls.key: '%hunter2%'}, extra: hunter2}",
    );
    assert!(!loaded.problems.is_empty());
    let shown = format!("{:?}", loaded.problems);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("data"), "{shown}");
}

#[test]
fn bad_names_are_refused() {
    for name in ["Web", "a/b", "a b", ""] {
        let loaded = load(format!("{{apiVersion: v1, kind: Service, metadata: {{name: '{name}'}}}}"));
        assert_eq!(only_problem(&loaded).field, "metadata.name", "{name}");
    }
    let loaded = load("{apiVersion: v1, kind: Service, metadata: {name: a, namespace: a.b}}");
    assert_eq!(only_problem(&loaded).field, "metadata.namespace");
}

#[test]
fn what_is_no_object_is_said_to_be_none() {
    for text in ["just text", "[1, 2]", "a: 1", "{apiVersion: v1, kind: Service}"] {
        let loaded = load(text);
        let problem = only_problem(&loaded);
        assert_eq!(problem.place, Place::File { path: "a.yaml".to_owned(), line: Some(1) }, "{text}");
    }
}

#[test]
fn of_an_object_declared_twice_the_last_counts_and_both_places_are_named() {
    let loaded =
        Source::default().update(&[file("a.yaml", route("x", "/a")), file("b.yaml", route("x", "/b"))]);
    assert_eq!(routes(&loaded), pairs(&[("x", "/b")]));
    let problem = only_problem(&loaded);
    assert_eq!(problem.reason, "Duplicate");
    assert!(
        problem.message.contains("a.yaml:1") && problem.message.contains("b.yaml:1"),
        "{}",
        problem.message
    );
}

#[test]
fn an_object_that_is_refused_stays_as_it_was() {
    let mut source = Source::default();
    source.update(&[file("a.yaml", route("x", "/a")), file("b.yaml", route("y", "/y"))]);
    let bad = file("a.yaml", route("x", "/b") + "status: {}\nspek: 1\n");
    let loaded = source.update(&[bad.clone(), file("b.yaml", route("y", "/z"))]);
    assert_eq!(routes(&loaded), pairs(&[("x", "/a"), ("y", "/z")]));
    assert!(only_problem(&loaded).message.ends_with("The object stays as it was read before."));
    // It stays for as long as it is refused, and the problem with it.
    let again = source.update(&[bad, file("b.yaml", route("y", "/z"))]);
    assert_eq!(again, loaded);
    let mended = source.update(&[file("a.yaml", route("x", "/c"))]);
    assert_eq!((routes(&mended), mended.problems.len()), (pairs(&[("x", "/c")]), 0));
}

#[test]
fn objects_of_a_file_that_does_not_parse_stay() {
    let mut source = Source::default();
    source.update(&[file("a.yaml", format!("{}---\n{}", route("x", "/x"), route("y", "/y")))]);
    let loaded = source.update(&[file("a.yaml", format!("{}---\nkind: [", route("y", "/new")))]);
    assert_eq!(routes(&loaded), pairs(&[("x", "/x"), ("y", "/new")]));
    assert_eq!(loaded.problems.len(), 1);
    let unreadable = Input { path: "a.yaml".to_owned(), text: Err("permission denied".to_owned()) };
    let loaded = source.update(&[unreadable]);
    assert_eq!(routes(&loaded), pairs(&[("x", "/x"), ("y", "/new")]));
    assert_eq!(only_problem(&loaded).reason, "Unreadable");
}

#[test]
fn objects_of_a_folder_that_cannot_be_read_stay() {
    let work = tempfile::tempdir().unwrap();
    let (folder, other) = (work.path().join("web"), work.path().join("web.yaml"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("x.yaml"), route("x", "/x")).unwrap();
    std::fs::write(&other, route("y", "/y")).unwrap();
    let (mut reader, mut source) = (Reader::new(vec![folder.clone(), other.clone()]), Source::default());
    let before = source.update(&reader.read());
    assert_eq!(routes(&before), pairs(&[("x", "/x"), ("y", "/y")]));

    std::fs::rename(&folder, work.path().join("away")).unwrap();
    std::fs::write(&other, route("z", "/z")).unwrap();
    let away = source.update(&reader.read());
    assert_eq!(routes(&away), pairs(&[("x", "/x"), ("z", "/z")]));
    assert_eq!(only_problem(&away).reason, "Unreadable");

    // An empty folder can be read.
    std::fs::create_dir(&folder).unwrap();
    assert_eq!(routes(&source.update(&reader.read())), pairs(&[("z", "/z")]));
}

#[test]
fn objects_that_are_gone_are_gone() {
    let mut source = Source::default();
    let both = file("a.yaml", format!("{}---\n{}", route("x", "/x"), route("y", "/y")));
    source.update(&[both, file("b.yaml", route("z", "/z"))]);
    let loaded = source.update(&[file("a.yaml", route("x", "/x")), file("b.yaml", route("z", "/z"))]);
    assert_eq!(routes(&loaded), pairs(&[("x", "/x"), ("z", "/z")]));
    assert_eq!(routes(&source.update(&[file("a.yaml", route("x", "/x"))])), pairs(&[("x", "/x")]));
    assert_eq!(source.update(&[]), Loaded::default());
}

#[test]
fn an_object_can_move_between_files() {
    let mut source = Source::default();
    source.update(&[file("a.yaml", route("x", "/x"))]);
    let loaded = source.update(&[file("a.yaml", "kind: ["), file("b.yaml", route("x", "/moved"))]);
    assert_eq!(routes(&loaded), pairs(&[("x", "/moved")]));
}

#[test]
fn folders_are_read_as_kubectl_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("deeper")).unwrap();
    write("b.yml", &route("b", "/b"));
    write("a.yaml", &route("a", "/a"));
    write(
        "c.json",
        &serde_json::to_string(&serde_saphyr::from_str::<serde_json::Value>(CLASS).unwrap()).unwrap(),
    );
    write("notes.txt", "kind: [");
    write("deeper/d.yaml", &route("d", "/d"));
    write("bytes.yaml", "# fine\n");
    std::fs::write(folder.path().join("bytes.yaml"), b"a: 1\nb: \xff\n").unwrap();
    let missing = folder.path().join("missing.yaml");
    let mut reader = Reader::new(vec![folder.path().to_owned(), folder.path().join("a.yaml"), missing]);
    let inputs = reader.read();
    let names: Vec<&str> = inputs.iter().filter_map(|input| input.path.rsplit('/').next()).collect();
    assert_eq!(names, ["a.yaml", "b.yml", "bytes.yaml", "c.json", "missing.yaml"]);
    let loaded = Source::default().update(&inputs);
    assert_eq!(routes(&loaded), pairs(&[("a", "/a"), ("b", "/b")]));
    assert_eq!(loaded.snapshot.gateway_classes.len(), 1);
    let messages: Vec<&str> = loaded.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages[0].contains("line 2 is not UTF-8"), "{messages:?}");
}
