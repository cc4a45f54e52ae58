//! `gatewasm check` as a user meets it: what it finds, where, and by which exit code.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use gatewasm_tests::cli::{BACKENDS, MANIFESTS, gatewasm, json_of, manifests, on, stderr, stdout};
use gatewasm_tests::requests::tables;
use gatewasm_tests::tools;
use serde_json::{Value, json};

#[test]
fn check_is_silent_about_sound_manifests() -> Result<()> {
    let (folder, _) = manifests()?;
    let output = on(folder.path(), 0, "check", &BACKENDS)?;
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("No problems in 6 objects\n", ""));
    let output = on(folder.path(), 0, "check", &[&BACKENDS[..], &["-o", "json"]].concat())?;
    assert_eq!(json_of(&output)?, json!([]));
    Ok(())
}

#[test]
fn check_points_at_the_field() -> Result<()> {
    let text = MANIFESTS
        .replace("- path: {value: /cart}", "- path: {type: RegularExpression, value: \"/(\"}")
        .replace("name: cart-v2, port: 80, weight: 1", "name: cart-v3, port: 80, weight: 1");
    let output = gatewasm(&text, ["check", "-o", "json", "-f", "-"].into_iter().chain(BACKENDS))?;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let problems = json_of(&output)?;
    let found: BTreeMap<&str, (&str, &str, &str)> = problems
        .as_array()
        .context("array")?
        .iter()
        .map(|problem| {
            let text = |value: &Value| value.as_str().map(str::to_owned).unwrap_or_default().leak() as &str;
            let field = text(&problem["field"]);
            (field, (text(&problem["object"]["kind"]), text(&problem["severity"]), text(&problem["reason"])))
        })
        .collect();
    let expected = BTreeMap::from([
        ("spec.rules[0].matches[0].path.value", ("HTTPRoute", "error", "UnsupportedValue")),
        ("spec.rules[1].backendRefs[1]", ("HTTPRoute", "error", "BackendNotFound")),
        ("spec.listeners[1].tls.certificateRefs[0]", ("Gateway", "error", "InvalidCertificateRef")),
    ]);
    for (field, what) in &expected {
        assert_eq!(found.get(field), Some(what), "{field} in {problems:#}");
    }
    let text = stdout(&gatewasm(&text, ["check", "-f", "-"])?);
    assert!(
        text.starts_with("HTTPRoute infra/shop\n") || text.contains("\nHTTPRoute infra/shop\n"),
        "{text}"
    );
    assert!(text.contains("spec.rules[0].matches[0].path.value"), "{text}");
    Ok(())
}

/// Two teams with one host, and what is written in vain.
const IN_VAIN: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: gatewasm}
spec: {controllerName: gatewasm.dev/controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: infra}
spec:
  gatewayClassName: gatewasm
  listeners:
  - {name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
  - {name: alt, port: 8080, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: team-a}
spec:
  parentRefs: [{name: web, namespace: infra}]
  hostnames: [shop.example.com]
  rules:
  - matches: [{path: {value: /cart}}, {path: {value: /cart/}}]
    backendRefs: [{name: cart, port: 80}]
  - matches: [{path: {value: /api}}]
    filters:
    - {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [server]}}
    - {type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /api}}}
    backendRefs: [{name: cart, port: 80}]
  - matches: [{path: {value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /old/new}}}]
  - matches: [{path: {type: RegularExpression, value: "/ping(/.*)?"}}]
    filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /pong}}}]
  - matches: [{path: {value: /pong}}]
    backendRefs:
    - name: cart
      port: 80
      filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /ping}}}]
  - matches: [{path: {value: /ping/all}}]
  - matches: [{path: {value: /env}, headers: [{type: RegularExpression, name: env, value: .*}]}]
    backendRefs: [{name: cart, port: 80}]
  - matches: [{path: {value: /env}, headers: [{name: env, value: canary}]}]
    backendRefs: [{name: cart, port: 80, weight: 0}]
  - matches:
    - {path: {type: Exact, value: "/%7Eold"}}
    - {path: {value: /new}, headers: [{name: env, value: "canary\n"}]}
    - {path: {type: RegularExpression, value: "new/.*"}}
    backendRefs: [{name: cart, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: team-b}
spec:
  parentRefs: [{name: web, namespace: infra}]
  hostnames: [www.example.com, shop.example.com]
  rules:
  - matches: [{path: {value: /cart}}]
    backendRefs: [{name: cart, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: www, namespace: team-b}
spec:
  parentRefs: [{name: web, namespace: infra, sectionName: alt}]
  hostnames: [www.example.com]
  rules:
  - matches: [{path: {value: /cart}}]
    backendRefs: [{name: cart, port: 80}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GRPCRoute
metadata: {name: rest, namespace: team-b}
spec:
  parentRefs: [{name: web, namespace: infra, sectionName: http}]
  hostnames: ["*.example.com", shop.example.com]
  rules:
  - matches: [{}, {method: {type: RegularExpression, service: "/shop[.].*"}}]
    backendRefs: [{name: cart, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: team-a}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: team-b}
spec: {ports: [{port: 80}]}
"#;

#[test]
fn check_finds_what_is_written_in_vain() -> Result<()> {
    let backends = ["--backend", "team-a/cart=127.0.0.1:9001", "--backend", "team-b/cart=127.0.0.1:9002"];
    let output = gatewasm(IN_VAIN, ["check", "-f", "-"].into_iter().chain(backends))?;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    expect_test::expect![[r#"
        GRPCRoute team-b/rest
          warning  spec.hostnames[0]                        OverlappingHostnames  Within "*.example.com", other namespaces have hostnames of their own: "shop.example.com" (HTTPRoute team-a/shop). There their rules win, and this route answers only what none of them matches. If that is not meant, leave the hosts to one namespace, or say in the listener's allowedRoutes who may attach.
          warning  spec.hostnames[1]                        OverlappingHostnames  "shop.example.com" is a hostname of HTTPRoute team-a/shop too, in another namespace. A gRPC request that both match goes to GRPCRoute team-b/rest. Leave the host to one namespace, or keep to different paths.
          warning  spec.rules[0].matches[1].method.service  NeverMatches          No request meets this match: every service that "/shop[.].*" matches has a "/", "?" or line break, and none does.
        HTTPRoute team-a/shop
          warning  spec.rules[0].matches[1]                                 Shadowed              The match never wins: rules[0].matches[0] matches all of its requests, and is an earlier match of the rule. Remove it, or make it another one.
          warning  spec.rules[1].filters[1].urlRewrite.path                 RewriteWithoutEffect  The prefix "/api" is replaced by itself, so no path changes. Remove the filter, or name another path.
          warning  spec.rules[2].filters[0].requestRedirect                 RedirectToItself      A request for http://shop.example.com/old is redirected to http://shop.example.com/old/new, which the same rule redirects again, without end. Redirect to what another rule takes, or let the rule match less.
          warning  spec.rules[3].filters[0].requestRedirect                 RedirectToItself      A request for http://shop.example.com/ping is redirected to http://shop.example.com/pong, and from there back by rules[4], without end. Redirect to what another rule takes, or let the rule match less.
          warning  spec.rules[4].backendRefs[0].filters[0].requestRedirect  RedirectToItself      A request for http://shop.example.com/pong is redirected to http://shop.example.com/ping, and from there back by rules[3], without end. Redirect to what another rule takes, or let the rule match less.
          warning  spec.rules[5]                                            NoBackends            The rule has no backendRefs, so each of its requests is answered 500. Add backendRefs, or a RequestRedirect.
          warning  spec.rules[5]                                            Shadowed              The rule never takes a request: rules[3].matches[0] matches all of its requests, and RegularExpression paths come before PathPrefix paths. Remove one of the two, or give them different matches.
          warning  spec.rules[7]                                            Shadowed              The rule never takes a request: rules[6].matches[0] matches all of its requests, and is of an earlier rule of the route. Remove one of the two, or give them different matches.
          warning  spec.rules[7].backendRefs                                NoWeight              All weights are 0, so requests are answered 500.
          warning  spec.rules[8].matches[0].path.value                      NeverMatches          No request meets this match: paths are compared in normal form, in which "/%7Eold" is "/~old". Write it in that form.
          warning  spec.rules[8].matches[1].headers[0].value                NeverMatches          No request meets this match: "canary\n" has a line break, and no value of a header does.
          warning  spec.rules[8].matches[2].path.value                      NeverMatches          No request meets this match: "new/.*" must match the whole path, and matches none that begins with "/".
        HTTPRoute team-b/shop
          warning  spec.hostnames[1]  OverlappingHostnames  "shop.example.com" is a hostname of HTTPRoute team-a/shop too, in another namespace. Each request goes to the more specific match, and of equal matches that of HTTPRoute team-a/shop wins. Leave the host to one namespace, or keep to different paths.
        HTTPRoute team-b/www
          warning  spec.rules[0]  Shadowed  The rule never takes a request: rules[0].matches[0] of HTTPRoute team-b/shop matches all of its requests, and "team-b/shop" comes before "team-b/www" in the alphabet (neither route has a creationTimestamp; in a cluster the older one wins). Remove one of the two, or give them different matches.
        17 warnings in 8 objects
    "#]]
    .assert_eq(&stdout(&output));
    Ok(())
}

/// The matches of the request table are there to be met.
#[test]
fn check_never_calls_a_match_of_the_request_table_impossible() -> Result<()> {
    for table in tables().map_err(|fault| anyhow!(fault))? {
        let config = serde_json::to_string(&table.config)?;
        let found = json_of(&gatewasm(&config, ["check", "-o", "json", "-f", "-"])?)?;
        let found = found.as_array().context("no list")?;
        let never: Vec<_> = found.iter().filter(|it| it["reason"] == "NeverMatches").collect();
        assert!(never.is_empty(), "{}: {never:?}", table.file);
    }
    Ok(())
}

/// A route without hostnames has its listener's.
#[test]
fn check_finds_routes_of_two_namespaces_that_name_no_hosts() -> Result<()> {
    let backends = ["--backend", "team-a/cart=127.0.0.1:9001", "--backend", "team-b/cart=127.0.0.1:9002"];
    let route = |namespace: &str, hostnames: &[&str]| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "r", "namespace": namespace},
            "spec": {
                "parentRefs": [{"name": "web", "namespace": "infra"}],
                "hostnames": hostnames,
                "rules": [{
                    "matches": [{"path": {"type": "PathPrefix", "value": format!("/{namespace}")}}],
                    "backendRefs": [{"name": "cart", "port": 80}],
                }],
            },
        })
    };
    let gateway = |hostname: Option<&str>| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": {"name": "web", "namespace": "infra"},
            "spec": {"gatewayClassName": "gatewasm", "listeners": [{
                "name": "http", "port": 80, "protocol": "HTTP", "hostname": hostname,
                "allowedRoutes": {"namespaces": {"from": "All"}},
            }]},
        })
    };
    // Classes and Services.
    let others =
        IN_VAIN.split("---\n").filter(|one| one.contains("GatewayClass\n") || one.contains("Service\n"));
    let others: Vec<_> = others.map(str::to_owned).collect();
    let found = |listener: Option<&str>, of_a: &[&str]| -> Result<Vec<String>> {
        let objects = [gateway(listener), route("team-a", of_a), route("team-b", &[])];
        let objects = others.iter().cloned().chain(objects.iter().map(Value::to_string));
        let input = objects.collect::<Vec<_>>().join("\n---\n");
        let output = gatewasm(&input, ["check", "-o", "json", "-f", "-"].into_iter().chain(backends))?;
        let found = json_of(&output)?;
        let found = found.as_array().context("no list")?;
        let text = |it: &Value, field: &str| it[field].as_str().unwrap_or_default().to_owned();
        Ok(found.iter().map(|it| format!("{}: {}", text(it, "reason"), text(it, "message"))).collect())
    };
    for (listener, of_a, shared) in [
        (Some("a.test"), &["a.test"][..], "\"a.test\" is a hostname of HTTPRoute team-a/r too"),
        (Some("a.test"), &["*.test"], "\"a.test\" is a hostname of HTTPRoute team-a/r too"),
        (Some("*.test"), &["*.test"], "\"*.test\" is a hostname of HTTPRoute team-a/r too"),
        (Some("*.test"), &[], "\"*.test\" is a hostname of HTTPRoute team-a/r too"),
        (None, &[], "Every host is one of HTTPRoute team-a/r too"),
    ] {
        let found = found(listener, of_a)?;
        let expected = format!("OverlappingHostnames: {shared}");
        assert!(found.len() == 1 && found[0].starts_with(&expected), "{listener:?} {of_a:?}: {found:?}");
    }
    // Meant for what nobody claims.
    assert_eq!(found(Some("*.test"), &["a.test"])?, [""; 0]);
    assert_eq!(found(None, &["a.test"])?, [""; 0]);
    Ok(())
}

/// What works is fine, unless one wants it otherwise; what does not work never is.
#[test]
fn check_denies_warnings_when_told_so() -> Result<()> {
    let backends = ["--backend", "team-a/cart=127.0.0.1:9001", "--backend", "team-b/cart=127.0.0.1:9002"];
    let check = |input: &str, more: &[&str]| -> Result<Option<i32>> {
        let arguments = [&["check", "-f", "-"], &backends[..], more].concat();
        Ok(gatewasm(input, arguments)?.status.code())
    };
    assert_eq!(check(IN_VAIN, &[])?, Some(0));
    assert_eq!(check(IN_VAIN, &["--deny-warnings"])?, Some(1));
    assert_eq!(check(&IN_VAIN.replace("{name: cart, port: 80}", "{name: no, port: 80}"), &[])?, Some(1));
    let (folder, _) = manifests()?;
    on(folder.path(), 0, "check", &[&BACKENDS[..], &["--deny-warnings"]].concat())?;
    Ok(())
}

#[test]
fn check_reads_a_filter_config_too() -> Result<()> {
    let config = r#"{"version": 1, "listeners": [{"name": "a/b/c", "gateway": "a/b", "port": 80, "protocol": "HTTP",
        "routes": [{"kind": "HTTPRoute", "namespace": "n", "name": "r",
        "rules": [{"matches": [{"path": {"type": "RegularExpression", "value": "("}}]}]}]}]}"#;
    let output = gatewasm(config, ["check", "-o", "json", "-f", "-"])?;
    assert_eq!(output.status.code(), Some(1));
    let field = json_of(&output)?[0]["field"].clone();
    assert_eq!(field, "listeners[0].routes[0].rules[0].matches[0].path.value");
    let output = gatewasm("{", ["check", "-o", "json", "-f", "-"])?;
    assert_eq!((output.status.code(), json_of(&output)?[0]["field"].clone()), (Some(1), Value::Null));
    let output = gatewasm(&config.replace("\"(\"", "\"/\""), ["check", "-f", "-"])?;
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    Ok(())
}

/// The file of the Filter way, as Envoy reads it.
#[test]
fn check_and_explain_read_what_envoy_reads() -> Result<()> {
    let text = std::fs::read_to_string(tools::repository().join("envoy/routes.yaml"))?;
    let output = gatewasm(&text, ["check", "-f", "-"])?;
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let asked = ["explain", "-o", "json", "-f", "-", "GET", "http://bar.example.com/bar"];
    assert_eq!(json_of(&gatewasm(&text, asked)?)?["decision"]["cluster"], "bar-ns/bar/8080");

    let broken = text.replace(r#""version": 1"#, r#""version": 2"#);
    let output = gatewasm(&broken, ["check", "-o", "json", "-f", "-"])?;
    assert_eq!((output.status.code(), &json_of(&output)?[0]["field"]), (Some(1), &json!("version")));
    Ok(())
}
