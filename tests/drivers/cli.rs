//! What the commands of the binary that do not serve have in common, as a user meets it: exit codes, and what goes to
//! which stream; and the small ones among them.

use anyhow::{Context, Result};
use gatewasm_tests::cli::{BACKENDS, STREAMS, gatewasm, json_of, manifests, on, stderr, stdout};
use gatewasm_tests::standalone::sha256;
use serde_json::{Value, json};

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
fn routes_lists_l4_routes_with_those_that_get_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("in.yaml"), STREAMS)?;
    let output = on(folder.path(), 0, "routes", &[])?;
    expect_test::expect![[r#"
        LISTENER           HOSTNAME             PATH  CONDITIONS  ROUTE                      RULE      BACKENDS
        infra/l4/dns       *                    -     -           UDPRoute infra/dns         rules[0]  infra/dns/53
        infra/l4/postgres  *                    -     -           TCPRoute infra/db          rules[0]  infra/db/5432 75%, invalid, closes 25%
        infra/l4/postgres  *                    -     -           TCPRoute infra/db-late     rules[0]  nothing, TCPRoute infra/db gets it
        infra/l4/tls       a.example.com        -     -           TLSRoute infra/exact       rules[0]  infra/db/5432
        infra/l4/tls       b.example.com        -     -           TLSRoute infra/exact-late  rules[0]  infra/db/5432
        infra/l4/tls       *.example.com        -     -           TLSRoute infra/wildcard    rules[0]  infra/db/5432
        infra/l4/tls       a.example.com        -     -           TLSRoute infra/exact-late  rules[0]  nothing, TLSRoute infra/exact gets it
        infra/l4/tls       special.example.com  -     -           TLSRoute infra/exact-late  rules[0]  nothing, another listener gets it
    "#]]
    .assert_eq(&stdout(&output));
    let list = json_of(&on(folder.path(), 0, "routes", &["-o", "json"])?)?;
    let of = |name: &str| {
        let rows = list.as_array().into_iter().flatten();
        rows.filter(|row| row["route"]["name"] == name).cloned().collect::<Vec<Value>>()
    };
    assert_eq!(
        of("db"),
        [json!({
            "listener": "infra/l4/postgres",
            "route": {"kind": "TCPRoute", "namespace": "infra", "name": "db"},
            "backends": [{"cluster": "infra/db/5432", "weight": 3}, {"weight": 1}],
        })]
    );
    assert_eq!(of("db-late")[0]["overruled"], "TCPRoute infra/db");
    assert_eq!(of("exact")[0]["hostname"], "a.example.com");
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
        (&["check"], "find a cluster; name manifests with -f"),
        (&["check", "-f", "/nowhere.yaml"], "/nowhere.yaml"),
        (&["check", "-f", none], "no file *.yaml"),
        (&["check", "-f", "/dev/null"], "no object in /dev/null"),
        (&["check", "-f", path, "-o", "xml"], "xml"),
        (&["check", "-f", path, "--backend", "cart"], "cart"),
        (&["explain", "-f", path], "<METHOD URL>"),
        (&["explain", "-f", path, "GET"], "a method and a URL"),
        (&["explain", "-f", path, "http://shop.example.com/cart"], "a method and a URL"),
        (&["explain", "-f", path, "GET", "tcp://:80"], "has no method"),
        (&["explain", "-f", path, "tcp://:80", "-H", "a: b"], "has no headers"),
        (&["explain", "-f", path, "tcp://:80"], "no listener serves tcp on port 80; there are: http on 80"),
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
