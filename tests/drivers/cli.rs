//! The commands of the binary that do not serve, as a user meets them: exit codes, what goes to which stream, and
//! that what they write is what Envoy and Kubernetes take.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewasm_tests::certificate::Certificate;
use gatewasm_tests::client::Request;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::process::Process;
use gatewasm_tests::standalone::sha256;
use gatewasm_tests::tools;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A Gateway with HTTP and HTTPS, a route with a canary by header, and backends without endpoints. The Secret is added
/// by [`manifests`].
const MANIFESTS: &str = r#"
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
  - {name: http, port: 80, protocol: HTTP, hostname: "*.example.com"}
  - name: https
    port: 443
    protocol: HTTPS
    hostname: "*.example.com"
    tls: {certificateRefs: [{name: web}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: infra}
spec:
  parentRefs: [{name: web}]
  hostnames: [shop.example.com]
  rules:
  - matches:
    - path: {value: /cart}
      headers: [{name: env, value: canary}]
    backendRefs: [{name: cart-v2, port: 80}]
  - matches: [{path: {value: /cart}}]
    backendRefs: [{name: cart, port: 80, weight: 9}, {name: cart-v2, port: 80, weight: 1}]
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: infra}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: cart-v2, namespace: infra}
spec: {ports: [{port: 80}]}
"#;

/// `--backend` for both Services.
const BACKENDS: [&str; 4] =
    ["--backend", "infra/cart=127.0.0.1:9001", "--backend", "infra/cart-v2=127.0.0.1:9002"];

/// The manifests with their certificate, in a file; and the certificate.
fn manifests() -> Result<(TempDir, String)> {
    let certificate = Certificate::self_signed(["shop.example.com"])?;
    let folder = tempfile::tempdir()?;
    std::fs::write(
        folder.path().join("in.yaml"),
        format!("{MANIFESTS}---\n{}\n", certificate.secret("web")),
    )?;
    Ok((folder, certificate.chain))
}

/// Runs the binary with `input` as its standard input.
fn gatewasm<'a>(input: &str, arguments: impl IntoIterator<Item = &'a str>) -> Result<Output> {
    let mut command = Command::new(tools::gatewasm()?);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // A command that reads no input may have ended before.
    let _ = child.stdin.take().context("stdin")?.write_all(input.as_bytes());
    Ok(child.wait_with_output()?)
}

/// Runs the binary on the manifests and expects the exit code.
fn on(folder: &Path, code: i32, command: &str, arguments: &[&str]) -> Result<Output> {
    let path = folder.join("in.yaml");
    let all = [command, "-f", path.to_str().context("path")?].into_iter().chain(arguments.iter().copied());
    let output = gatewasm("", all)?;
    ensure!(
        output.status.code() == Some(code),
        "{command} {arguments:?}: {}\n{}\n{}",
        output.status,
        stdout(&output),
        stderr(&output)
    );
    Ok(output)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json_of(output: &Output) -> Result<Value> {
    serde_json::from_slice(&output.stdout).with_context(|| stdout(output))
}

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
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    expect_test::expect![[r#"
        HTTPRoute team-a/shop
          warning  spec.rules[0].matches[1]                  Shadowed              The match never wins: rules[0].matches[0] matches the same requests and is the earlier match of the rule. Remove it, or make it another one.
          warning  spec.rules[1].filters[1].urlRewrite.path  RewriteWithoutEffect  The prefix "/api" is replaced by itself, so no path changes. Remove the filter, or name another path.
          warning  spec.rules[2].filters[0].requestRedirect  RedirectToItself      A request for http://shop.example.com/old is redirected to http://shop.example.com/old/new, which the same rule redirects again, without end. Redirect to what another rule takes, or let the rule match less.
        HTTPRoute team-b/shop
          warning  spec.hostnames[1]  OverlappingHostnames  "shop.example.com" is a hostname of HTTPRoute team-a/shop too, in another namespace. Each request goes to the more specific match, and of equal matches that of HTTPRoute team-a/shop wins. Leave the host to one namespace, or keep to different paths.
        HTTPRoute team-b/www
          warning  spec.rules[0]  Shadowed  The rule never takes a request: rules[0].matches[0] of HTTPRoute team-b/shop matches the same requests, and "team-b/shop" comes before "team-b/www" in the alphabet (neither route has a creationTimestamp; in a cluster the older one wins). Remove one of the two, or give them different matches.
        5 warnings in 7 objects
    "#]]
    .assert_eq(&stdout(&output));
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

#[test]
fn explain_says_which_and_why() -> Result<()> {
    let (folder, _) = manifests()?;
    let canary = ["GET", "http://shop.example.com/cart?x=1", "-H", "env: canary"];
    let output = on(folder.path(), 0, "explain", &[&BACKENDS[..], &["-o", "json"], &canary].concat())?;
    let found = json_of(&output)?;
    assert_eq!(stderr(&output), "");
    assert_eq!(found["decision"]["type"], "Forward");
    assert_eq!(found["decision"]["cluster"], "infra/cart-v2/80");
    assert_eq!(found["listener"], "infra/web/http");
    assert_eq!(found["route"], json!({"kind": "HTTPRoute", "namespace": "infra", "name": "shop"}));
    assert_eq!((&found["rule"], &found["match"]), (&json!(0), &json!(0)));
    assert_eq!(found["backends"], json!([{"cluster": "infra/cart-v2/80", "weight": 1}]));
    let candidates = found["candidates"].as_array().context("candidates")?;
    assert_eq!(candidates.len(), 2, "{found:#}");
    assert_eq!((&candidates[0]["won"], &candidates[1]["won"]), (&json!(true), &json!(false)));
    assert!(candidates.iter().all(|one| one["because"].as_str().is_some_and(|because| !because.is_empty())));

    let output = on(folder.path(), 0, "explain", &[&BACKENDS[..], &canary].concat())?;
    expect_test::expect![[r#"
        decision  forward to infra/cart-v2/80
        listener  infra/web/http
        route     HTTPRoute infra/shop  spec.rules[0].matches[0]
        backend   infra/cart-v2/80  weight 1 of 1
        upstream  GET /cart?x=1 for shop.example.com

           CANDIDATE                                 BECAUSE
        *  HTTPRoute infra/shop rules[0].matches[0]  won over HTTPRoute infra/shop rules[1].matches[0]: more headers (1 over 0)
           HTTPRoute infra/shop rules[1].matches[0]  lost to HTTPRoute infra/shop rules[0].matches[0]: more headers (1 over 0)
    "#]]
    .assert_eq(&stdout(&output));

    let weighted = ["-o", "json", "GET", "https://shop.example.com/cart"];
    let found = json_of(&on(folder.path(), 0, "explain", &weighted)?)?;
    assert_eq!(found["listener"], "infra/web/https");
    assert_eq!(
        (&found["decision"]["type"], &found["decision"]["cluster"]),
        (&json!("Forward"), &Value::Null)
    );
    assert_eq!(found["backends"][0], json!({"cluster": "infra/cart/80", "weight": 9}));

    let odd = ["GET", "http://shop.example.com//x/..;/cart"];
    let text = stdout(&on(folder.path(), 0, "explain", &odd)?);
    assert!(text.starts_with("path      /cart  in normal form\ndecision  forward"), "{text}");
    let refused = ["GET", "http://shop.example.com/%00"];
    assert!(stderr(&on(folder.path(), 2, "explain", &refused)?).contains("Envoy answers 400"));

    let nothing = ["-o", "json", "GET", "http://shop.example.com/"];
    let found = json_of(&on(folder.path(), 0, "explain", &nothing)?)?;
    assert_eq!(found["decision"]["type"], "Respond");
    assert_eq!(found["decision"]["status"], 404);
    assert_eq!((&found["route"], found["candidates"].as_array().map(Vec::len)), (&Value::Null, Some(2)));
    Ok(())
}

/// Rules that ask for what Envoy has in its hands, and one with a policy.
const ENVOYS: &str = r#"
  - matches: [{path: {value: /scheme}, headers: [{name: x-forwarded-proto, value: https}]}]
    backendRefs: [{name: cart-v2, port: 80}]
  - matches: [{path: {value: /scheme}, headers: [{name: x-envoy-foo, value: a}]}]
    backendRefs: [{name: cart-v2, port: 80}]
  - matches: [{path: {value: /scheme}, headers: [{name: x-forwarded-proto, value: http}]}]
    timeouts: {request: 500ms, backendRequest: 200ms}
    retry: {attempts: 2, codes: [503], backoff: 25ms}
    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: cart-v2, port: 80}, percent: 20}}]
    backendRefs: [{name: cart, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: infra}"#;

#[test]
fn explain_sees_headers_as_envoy_hands_them_over_and_says_what_policies_ask_for() -> Result<()> {
    let (folder, _) = manifests()?;
    let path = folder.path().join("in.yaml");
    let text = std::fs::read_to_string(&path)?;
    let service = "\n---\napiVersion: v1\nkind: Service\nmetadata: {name: cart, namespace: infra}";
    ensure!(text.contains(service), "{text}");
    std::fs::write(&path, text.replacen(service, ENVOYS, 1))?;
    let url = "http://shop.example.com/scheme";
    let forged =
        ["GET", url, "-H", "x-envoy-foo: a", "-H", "x-forwarded-proto: https", "-H", "x-request-id: mine"];
    let found = json_of(&on(folder.path(), 0, "explain", &[&["-o", "json"][..], &forged].concat())?)?;
    assert_eq!((&found["rule"], &found["decision"]["cluster"]), (&json!(4), &json!("infra/cart/80")));
    assert_eq!(
        found["notes"],
        json!([
            "x-request-id: Envoy makes it anew, at random; what a client sends never arrives",
            "x-envoy-foo: Envoy removes what a client sends, before any rule sees it",
            "x-forwarded-proto: Envoy makes it http",
        ])
    );
    let policy = found["backends"][0]["policy"].as_str().context("policy")?;
    assert_eq!(
        found["policies"],
        json!({policy: {
            "requestTimeout": "500ms", "backendRequestTimeout": "200ms", "pinnedSessions": false,
            "retry": {"attempts": 2, "codes": [503], "backoff": "25ms"},
            "mirrors": [{"cluster": "infra/cart-v2/80", "percent": 20.0}],
        }})
    );
    let text = stdout(&on(folder.path(), 0, "explain", &["GET", url])?);
    let asked = "request timeout 500ms, backend request timeout 200ms, 2 retries on 503 and connection errors \
                 (backoff 25ms), mirror 20 % to infra/cart-v2/80";
    assert!(text.contains(&format!("policy    {policy}: {asked}\n")), "{text}");
    assert!(!text.contains("note"), "{text}");
    let secure = ["-o", "json", "GET", "https://shop.example.com/scheme"];
    assert_eq!(json_of(&on(folder.path(), 0, "explain", &secure)?)?["rule"], 2);
    Ok(())
}

#[test]
fn routes_lists_in_order_of_precedence() -> Result<()> {
    let (folder, _) = manifests()?;
    let output = on(folder.path(), 0, "routes", &BACKENDS)?;
    assert_eq!(stderr(&output), "");
    expect_test::expect![[r#"
        LISTENER         HOSTNAME          PATH              CONDITIONS         ROUTE                 RULE                 BACKENDS
        infra/web/http   shop.example.com  PathPrefix /cart  header env=canary  HTTPRoute infra/shop  rules[0].matches[0]  infra/cart-v2/80
        infra/web/http   shop.example.com  PathPrefix /cart  -                  HTTPRoute infra/shop  rules[1].matches[0]  infra/cart/80 90%, infra/cart-v2/80 10%
        infra/web/https  shop.example.com  PathPrefix /cart  header env=canary  HTTPRoute infra/shop  rules[0].matches[0]  infra/cart-v2/80
        infra/web/https  shop.example.com  PathPrefix /cart  -                  HTTPRoute infra/shop  rules[1].matches[0]  infra/cart/80 90%, infra/cart-v2/80 10%
    "#]]
    .assert_eq(&stdout(&output));
    let list = json_of(&on(folder.path(), 0, "routes", &["-o", "json"])?)?;
    assert_eq!(list.as_array().map(Vec::len), Some(4));
    assert_eq!(list[0]["conditions"], json!(["header env=canary"]));
    assert_eq!(list[1]["backends"][1], json!({"cluster": "infra/cart-v2/80", "weight": 1}));
    let yaml = stdout(&on(folder.path(), 0, "routes", &["-o", "yaml"])?);
    assert_eq!(serde_saphyr::from_str::<Value>(&yaml)?, list);
    Ok(())
}

#[test]
fn version_names_all_parts() -> Result<()> {
    let versions = json_of(&gatewasm("", ["version", "-o", "json"])?)?;
    assert_eq!(versions["filterSha256"], sha256(gatewasm::filter_binary::WASM));
    assert_eq!(versions["filterConfig"], gatewasm_routing::config::VERSION);
    assert_eq!(versions["gatewayApi"], gatewasm::GATEWAY_API_VERSION);
    for part in ["gatewasm", "filter", "envoy"] {
        assert!(versions[part].as_str().is_some_and(|version| version.contains('.')), "{part}: {versions}");
    }
    let text = stdout(&gatewasm("", ["version"])?);
    for part in ["gatewasm", "filter", "filter config", "Envoy", "Gateway API"] {
        assert!(text.lines().any(|line| line.starts_with(part)), "{part} in {text}");
    }
    Ok(())
}

#[test]
fn filter_writes_the_bytes_inside_the_binary() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("out.wasm");
    let output = gatewasm("", ["filter", "-o", path.to_str().context("path")?])?;
    assert!(output.status.success() && output.stdout.is_empty(), "{}", stderr(&output));
    assert!(std::fs::read(&path)? == gatewasm::filter_binary::WASM);
    assert!(gatewasm("", ["filter", "-o", "-"])?.stdout == gatewasm::filter_binary::WASM);
    let output = gatewasm("", ["filter", "-o", "/nowhere/out.wasm"])?;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/nowhere/out.wasm"), "{}", stderr(&output));
    Ok(())
}

#[test]
fn what_cannot_run_exits_with_2_and_says_why() -> Result<()> {
    let (folder, _) = manifests()?;
    let path = folder.path().join("in.yaml");
    let path = path.to_str().context("path")?;
    let empty = tempfile::tempdir()?;
    let none = empty.path().to_str().context("path")?;
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage"),
        (&["nonsense"], "nonsense"),
        (&["check"], "--filename"),
        (&["check", "-f", "/nowhere.yaml"], "/nowhere.yaml"),
        (&["check", "-f", none], "no file *.yaml"),
        (&["check", "-f", "/dev/null"], "no object in /dev/null"),
        (&["check", "-f", path, "-o", "xml"], "xml"),
        (&["check", "-f", path, "--backend", "cart"], "cart"),
        (&["explain", "-f", path, "GET"], "<URL>"),
        (&["explain", "-f", path, "GET", "shop.example.com/cart"], "http://"),
        (&["explain", "-f", path, "GET", "http://shop.example.com:81/"], "http on 80"),
        (&["explain", "-f", path, "GET", "https://other.test/"], "TLS handshake"),
        (&["explain", "-f", path, "GET", "http://shop.example.com/", "-H", "env"], "name: value"),
        (&["explain", "-f", path, "GET", "http://shop.example.com/", "--gateway", "a/b"], "a/b"),
        (&["routes", "-f", "/nowhere"], "/nowhere"),
        (&["render", "-f", path], "--output-dir"),
        (&["render", "-f", path, "-o", none, "--gateway", "a/b"], "infra/web"),
        (&["render", "-f", path, "-o", none, "--port-offset", "65500"], "65535"),
        (&["render", "-f", path, "-o", "/dev/null/x"], "/dev/null/x"),
    ];
    for (arguments, says) in cases {
        let output = gatewasm("", arguments.iter().copied())?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(says), "{arguments:?} does not say {says:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
    Ok(())
}

/// An Envoy that `render`'s folder is for: addresses that are free here.
struct Rendered {
    folder: TempDir,
    http: SocketAddr,
    https: SocketAddr,
    root: String,
}

fn rendered(arguments: &[&str]) -> Result<Rendered> {
    let (folder, root) = manifests()?;
    let (offset, admin) = (free_offset(&[80, 443])?, free_offset(&[0, 1])?.to_string());
    let out = folder.path().join("out");
    let settings = [
        "-o",
        out.to_str().context("path")?,
        "--address",
        "127.0.0.1",
        "--port-offset",
        &offset.to_string(),
        "--admin-port",
        &admin,
    ];
    on(folder.path(), 0, "render", &[&settings[..], arguments].concat())?;
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port + offset));
    Ok(Rendered { http: address(80), https: address(443), folder, root })
}

/// A number by which all these ports can be moved up to ports that are free.
fn free_offset(ports: &[u16]) -> Result<u16> {
    for _ in 0..100 {
        let offset = tools::free_port()? - 500;
        if ports.iter().all(|port| tools::hold(offset + port)) {
            return Ok(offset);
        }
    }
    anyhow::bail!("no free ports for {ports:?}")
}

#[tokio::test]
async fn stock_envoy_runs_the_rendered_folder() -> Result<()> {
    let (cart, canary) = (Echo::start("cart").await?, Echo::start("cart-v2").await?);
    // By name, so that Envoy asks DNS, and by address.
    let cart_flag = format!("infra/cart=localhost:{}", cart.address.port());
    let canary_flag = format!("infra/cart-v2={}", canary.address);
    let rendered = rendered(&["--access-log", "--backend", &cart_flag, "--backend", &canary_flag])?;
    let bootstrap = rendered.folder.path().join("out/bootstrap.yaml");
    let bootstrap = bootstrap.to_str().context("path")?;
    let envoy = tools::envoy()?;

    let validated = Command::new(&envoy).args(["--mode", "validate", "-c", bootstrap]).output()?;
    ensure!(validated.status.success(), "{}", stderr(&validated));

    let arguments =
        ["-c", bootstrap, "--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"];
    let envoy = Process::start(&envoy, &arguments)?;
    let request = Request::get("shop.example.com", "/cart").header("env", "canary");
    let answers = async || Ok(request.send(rendered.http).await.map(|_| true)?);
    envoy.until("an answer", Duration::from_secs(30), answers).await?;
    let answer = request.send(rendered.http).await?;
    assert_eq!((answer.status, answer.echoed()?.backend.as_str()), (200, "cart-v2"), "{}", envoy.output());
    let answer = request.send_tls(rendered.https, "shop.example.com", &rendered.root).await?;
    assert_eq!((answer.status, answer.echoed()?.backend.as_str()), (200, "cart-v2"));
    let mut seen = BTreeMap::<String, u32>::new();
    for _ in 0..100 {
        let answer = Request::get("shop.example.com", "/cart").send(rendered.http).await?;
        *seen.entry(answer.echoed()?.backend).or_default() += 1;
    }
    assert!(seen["cart"] > seen["cart-v2"], "{seen:?}");
    assert_eq!(Request::get("other.example.com", "/cart").send(rendered.http).await?.status, 404);
    Ok(())
}

#[test]
fn rendered_keys_are_kept_from_others() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let rendered = rendered(&BACKENDS)?;
    for file in ["out/sds.infra.web.yaml", "out/kubernetes/secret-certificates.yaml"] {
        let mode = std::fs::metadata(rendered.folder.path().join(file))?.permissions().mode();
        assert_eq!(mode & 0o077, 0, "{file}: {mode:o}");
    }
    Ok(())
}

#[test]
fn what_is_no_longer_rendered_is_removed() -> Result<()> {
    let rendered = rendered(&BACKENDS)?;
    let out = rendered.folder.path().join("out");
    let input = rendered.folder.path().join("in.yaml");
    let text = std::fs::read_to_string(&input)?;
    let (before, rest) = text.split_once("  - name: https").context("https")?;
    let (_, after) = rest.split_once("---").context("end of the Gateway")?;
    std::fs::write(&input, format!("{before}---{after}"))?;
    std::fs::write(out.join("notes.yaml"), "mine")?;
    on(
        rendered.folder.path(),
        0,
        "render",
        &[&BACKENDS[..], &["-o", out.to_str().context("path")?]].concat(),
    )?;
    for file in ["sds.infra.web.yaml", "kubernetes/secret-certificates.yaml"] {
        assert!(!out.join(file).exists(), "{file}");
    }
    assert!(out.join("notes.yaml").exists() && out.join("lds.yaml").exists());
    Ok(())
}

#[test]
fn kubernetes_takes_the_rendered_objects_and_they_make_the_folder() -> Result<()> {
    let rendered = rendered(&[&BACKENDS[..], &["--mount", "/etc/gatewasm"]].concat())?;
    let out = rendered.folder.path().join("out");
    let mut mounted = BTreeMap::<String, Vec<u8>>::new();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(out.join("kubernetes"))? {
        let text = std::fs::read_to_string(entry?.path())?;
        let object: Value = serde_saphyr::from_str(&text)?;
        assert_eq!(object["apiVersion"], "v1");
        let (metadata, parts) = match object["kind"].as_str() {
            Some("ConfigMap") => {
                let map: ConfigMap = strictly(object.clone())?;
                let text = map.data.unwrap_or_default().into_iter().map(|(name, it)| (name, it.into_bytes()));
                let binary = map.binary_data.unwrap_or_default().into_iter().map(|(name, it)| (name, it.0));
                (map.metadata, text.chain(binary).collect::<Vec<_>>())
            }
            Some("Secret") => {
                let secret: Secret = strictly(object.clone())?;
                let text = secret.string_data.unwrap_or_default().into_iter();
                (secret.metadata, text.map(|(name, it)| (name, it.into_bytes())).collect())
            }
            other => anyhow::bail!("a {other:?}"),
        };
        let name = metadata.name.context("name")?;
        assert_eq!(metadata.namespace.as_deref(), Some("infra"));
        assert!(is_subdomain(&name), "{name}");
        // The limit of Kubernetes: the sum of the values (validation.ValidateConfigMap).
        assert!(
            parts.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() <= 1024 * 1024,
            "{name} is too large"
        );
        for (key, bytes) in parts {
            assert!(
                key.len() <= 253
                    && key.chars().all(|char| char.is_ascii_alphanumeric() || "-._".contains(char)),
                "{key}"
            );
            assert!(mounted.insert(key.clone(), bytes).is_none(), "{key} stands in two objects");
        }
        names.push(name);
    }
    names.sort();
    assert_eq!(names, ["web-certificates", "web-envoy", "web-filter", "web-routes"]);

    // Mounted together they are the folder that Envoy runs here, but for the path in it.
    let mut folder = BTreeMap::new();
    for entry in std::fs::read_dir(&out)? {
        let entry = entry?;
        let name = entry.file_name().into_string().ok().context("name")?;
        if entry.file_type()?.is_file() && name != "filter.json" {
            folder.insert(name, std::fs::read(entry.path())?);
        }
    }
    let here = out.canonicalize()?;
    let here = here.to_str().context("path")?;
    assert_eq!(mounted.keys().collect::<Vec<_>>(), folder.keys().collect::<Vec<_>>());
    for (name, bytes) in &folder {
        let there = match std::str::from_utf8(bytes) {
            Ok(text) => text.replace(here, "/etc/gatewasm").into_bytes(),
            Err(_) => bytes.clone(),
        };
        assert!(there == mounted[name], "{name} differs");
    }
    Ok(())
}

/// Reads an object as Kubernetes' API server does with `fieldValidation=Strict`: no field that the schema lacks.
fn strictly<T: DeserializeOwned>(object: Value) -> Result<T> {
    let mut unknown = Vec::new();
    let read = serde_ignored::deserialize(object, |path| unknown.push(path.to_string()))?;
    ensure!(unknown.is_empty(), "unknown fields: {unknown:?}");
    Ok(read)
}

/// RFC 1123 subdomain, what names of ConfigMaps and Secrets must be.
fn is_subdomain(name: &str) -> bool {
    let alphanumeric = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
    name.len() <= 253
        && name.split('.').all(|label| {
            label.starts_with(alphanumeric)
                && label.ends_with(alphanumeric)
                && label.chars().all(|char| alphanumeric(char) || char == '-')
        })
}
