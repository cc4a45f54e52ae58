//! `gatewasm explain` as a user meets it: which rule and backend, and why.

use anyhow::{Context, Result, ensure};
use gatewasm_tests::cli::{BACKENDS, STREAMS, json_of, manifests, on, stderr, stdout};
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

#[test]
fn explain_says_which_l4_route_gets_a_connection_and_why_the_others_do_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("in.yaml"), STREAMS)?;
    let text = |address: &str| Ok::<_, anyhow::Error>(stdout(&on(folder.path(), 0, "explain", &[address])?));
    expect_test::expect![[r#"
        decision  forward to infra/db/5432
        listener  infra/l4/tls
        tls       passes through, to the backend
        route     TLSRoute infra/exact  spec.rules[0]
        backend   infra/db/5432  weight 1 of 1

           CANDIDATE                  LISTENER      BECAUSE
        *  TLSRoute infra/exact       infra/l4/tls  a.example.com says most of the server name
           TLSRoute infra/exact-late  infra/l4/tls  for b.example.com alone
           TLSRoute infra/wildcard    infra/l4/tls  *.example.com says less of the server name than a.example.com
           TLSRoute infra/exact-late  infra/l4/tls  a.example.com goes to TLSRoute infra/exact, which is older or comes first by name
    "#]].assert_eq(&text("tls://a.example.com")?);
    expect_test::expect![[r#"
        decision  forward: one of the backends, by weight
        listener  infra/l4/postgres
        route     TCPRoute infra/db  spec.rules[0]
        backend   infra/db/5432  weight 3 of 4
        backend   cannot be used, closes  weight 1 of 4

           CANDIDATE               LISTENER           BECAUSE
        *  TCPRoute infra/db       infra/l4/postgres  the only one that is served
           TCPRoute infra/db-late  infra/l4/postgres  everything goes to TCPRoute infra/db, which is older or comes first by name
    "#]].assert_eq(&text("tcp://:5432")?);
    expect_test::expect![[r#"
        decision  forward to infra/dns/53
        listener  infra/l4/dns
        route     UDPRoute infra/dns  spec.rules[0]
        backend   infra/dns/53  weight 1 of 1

           CANDIDATE           LISTENER      BECAUSE
        *  UDPRoute infra/dns  infra/l4/dns  the only one that is served
    "#]]
    .assert_eq(&text("udp://:53")?);
    expect_test::expect![[r#"
        decision  close: no listener of infra/l4 on port 443 has a hostname for "other.test"

           CANDIDATE                  LISTENER      BECAUSE
           TLSRoute infra/exact       infra/l4/tls  for a.example.com alone
           TLSRoute infra/exact-late  infra/l4/tls  for b.example.com alone
           TLSRoute infra/wildcard    infra/l4/tls  for *.example.com alone
    "#]]
    .assert_eq(&text("tls://other.test")?);

    let json = |arguments: &[&str]| json_of(&on(folder.path(), 0, "explain", arguments)?);
    let found = json(&["-o", "json", "tls://:443", "--sni", "B.example.com"])?;
    assert_eq!(found["decision"]["type"], "Forward");
    assert_eq!(found["decision"]["cluster"], "infra/db/5432");
    assert_eq!(found["tls"], "Passthrough");
    assert_eq!(found["route"], json!({"kind": "TLSRoute", "namespace": "infra", "name": "exact-late"}));
    let found = json(&["-o", "json", "tls://z.y.example.com"])?;
    assert_eq!(found["route"]["name"], "wildcard");
    // The name is another listener's, which has no route.
    let found = json(&["-o", "json", "tls://special.example.com"])?;
    assert_eq!(
        (&found["decision"]["type"], &found["listener"]),
        (&json!("Close"), &json!("infra/l4/special"))
    );
    let found = json(&["-o", "json", "tcp://:5433"])?;
    assert_eq!((&found["decision"]["type"], &found["candidates"]), (&json!("Close"), &json!([])));
    let found = json(&["-o", "json", "tls://"])?;
    assert_eq!((&found["decision"]["type"], &found["route"]), (&json!("Close"), &Value::Null));
    Ok(())
}
