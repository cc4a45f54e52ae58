//! `gatewasm explain` as a user meets it: which rule and backend, and why.

use anyhow::{Context, Result, ensure};
use gatewasm_tests::cli::{BACKENDS, json_of, manifests, on, stderr, stdout};
use serde_json::{Value, json};

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
