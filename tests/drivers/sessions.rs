//! Sessions on real Envoy: the wasm filter chooses the cluster and owns the token, `stateful_session` pins the endpoint.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use gatewasm_routing::config::FilterConfig;
use gatewasm_routing::{Decision, HeaderEdit, Outcome, compile, parse};
use gatewasm_tests::client::{Answer, Request};
use gatewasm_tests::echo::Echo;
use gatewasm_tests::standalone::{Files, Standalone, routes_with};
use serde_json::{Value, json};

const V1: &str = "foo-ns/foo-v1/8080";
const V2: &str = "foo-ns/foo-v2/8080";
const POLICY: &str = "sessions";
const FILTER: &str = "envoy.filters.http.stateful_session";

fn foo(path: &str) -> Request {
    Request::get("foo.example.com", path)
}

/// The filter config of the repository with sessions for foo, shared by these weights between the two clusters.
fn config(files: &Files, weights: [u32; 2]) -> Result<String> {
    let mut config: Value = serde_json::from_str(files.config()?)?;
    config["sessionKey"] = json!("a key of this test");
    let rule = |path: &str, persistence: Value| {
        json!({
            "matches": [{"path": {"value": path}}],
            "policy": POLICY,
            "sessionPersistence": persistence,
            "backends": [{"cluster": V1, "weight": weights[0]}, {"cluster": V2, "weight": weights[1]}],
        })
    };
    config["listeners"][0]["routes"][0]["rules"] = json!([
        rule("/cart", json!({"sessionName": "cart"})),
        rule("/other", json!({"sessionName": "cart"})),
        rule("/header", json!({"sessionName": "x-session", "type": "Header"})),
        rule("/timed", json!({"sessionName": "timed", "absoluteTimeout": 1, "lifetimeType": "Permanent"})),
    ]);
    Ok(config.to_string())
}

/// The files of `envoy/` with the filter `stateful_session`, which does nothing by itself, a policy that has it pin
/// endpoints, and a second endpoint for the first cluster.
fn with_sessions(second: &Echo, weights: [u32; 2]) -> Result<Files> {
    let mut files = Files::read()?;
    let config = config(&files, weights)?;
    files.routes = serde_json::from_slice(&routes_with(&files.routes, &config))?;
    let manager = files.connection_manager("http")?;
    let filters = manager["http_filters"].as_array_mut().context("filters")?;
    if !filters.iter().any(|filter| filter["name"] == FILTER) {
        let kind = "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession";
        filters.insert(1, json!({"name": FILTER, "typed_config": {"@type": kind}}));
    }
    let host = &mut manager["route_config"]["virtual_hosts"][0];
    let removed = host["request_headers_to_remove"].as_array_mut().context("headers to remove")?;
    if !removed.iter().any(|name| name == "x-gw-endpoint") {
        removed.push(json!("x-gw-endpoint"));
    }
    let policies = &mut host["matcher"]["matcher_tree"]["exact_match_map"]["map"];
    let mut policy = policies["none"].clone();
    let route = &mut policy["action"]["typed_config"];
    let kind =
        "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute";
    let state =
        "type.googleapis.com/envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState";
    route["typed_per_filter_config"] = json!({FILTER: {
        "@type": kind,
        "stateful_session": {
            "session_state": {
                "name": "envoy.http.stateful_session.header",
                "typed_config": {"@type": state, "name": "x-gw-endpoint"},
            },
        },
    }});
    // What a backend says under this name is taken away before the filter says what is so.
    route["response_headers_to_remove"] = json!(["x-gw-endpoint"]);
    policies[POLICY] = policy;
    let clusters = files.bootstrap["static_resources"]["clusters"].as_array_mut().context("clusters")?;
    let cluster = clusters.iter_mut().find(|cluster| cluster["name"] == V1).context("cluster")?;
    let address = json!({"address": "127.0.0.1", "port_value": second.address.port()});
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
        .as_array_mut()
        .context("endpoints")?
        .push(json!({"endpoint": {"address": {"socket_address": address}}}));
    Ok(files)
}

async fn start(weights: [u32; 2]) -> Result<(Standalone, Files, Echo)> {
    let second = Echo::start("foo-v1-second").await?;
    let files = with_sessions(&second, weights)?;
    Ok((Standalone::start(files.clone(), 1).await?, files, second))
}

/// The cookie `name=value` that an answer sets, and its attributes.
fn cookie(answer: &Answer) -> Option<(String, String)> {
    let (cookie, attributes) = answer.headers.get("set-cookie")?.split_once("; ")?;
    Some((cookie.to_owned(), attributes.to_owned()))
}

async fn send(envoy: &Standalone, request: &Request) -> Result<(String, Answer)> {
    let answer = envoy.send(request).await?;
    ensure!(!answer.headers.contains_key("x-gw-endpoint"), "{answer:?}");
    let echoed = answer.echoed()?;
    let leaked: Vec<_> = echoed.headers.keys().filter(|name| name.starts_with("x-gw-")).collect();
    ensure!(leaked.is_empty(), "the backend saw {leaked:?}");
    Ok((echoed.backend, answer))
}

/// How many of so many requests each backend gets.
async fn spread(envoy: &Standalone, request: &Request, count: usize) -> Result<BTreeMap<String, usize>> {
    let mut backends = BTreeMap::new();
    for _ in 0..count {
        *backends.entry(send(envoy, request).await?.0).or_insert(0) += 1;
    }
    Ok(backends)
}

#[tokio::test]
async fn a_client_stays_with_its_endpoint() -> Result<()> {
    let (envoy, _, _second) = start([80, 20]).await?;
    let new = spread(&envoy, &foo("/cart"), 100).await?;
    assert_eq!(new.len(), 3, "{new:?}");
    assert!((5..=40).contains(&new["foo-v2"]), "{new:?}");
    for _ in 0..8 {
        let (backend, answer) = send(&envoy, &foo("/cart")).await?;
        let (cookie, attributes) = cookie(&answer).context("no cookie")?;
        assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Strict");
        for _ in 0..15 {
            let again = foo("/cart").header("cookie", &cookie);
            let (met, answer) = send(&envoy, &again).await?;
            assert_eq!(met, backend);
            // The client has the right one.
            assert!(!answer.headers.contains_key("set-cookie"), "{answer:?}");
            assert_eq!(answer.echoed()?.headers["cookie"], cookie);
        }
        // A session of this rule is none of another's, whatever its name.
        let other = spread(&envoy, &foo("/other").header("cookie", &cookie), 30).await?;
        assert!(other.len() > 1, "{other:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_session_outlives_its_weight() -> Result<()> {
    let (mut envoy, files, _second) = start([0, 1]).await?;
    let (backend, answer) = send(&envoy, &foo("/cart")).await?;
    let (cookie, _) = cookie(&answer).context("no cookie")?;
    assert_eq!(backend, "foo-v2");
    let before = envoy.probe().await?.first().context("probe")?.config.clone();
    envoy.publish(&config(&files, [1, 0])?).await?;
    envoy.wait_for_another_config(&before).await?;
    let held = spread(&envoy, &foo("/cart").header("cookie", &cookie), 20).await?;
    assert_eq!(held, BTreeMap::from([("foo-v2".to_owned(), 20)]));
    let new = spread(&envoy, &foo("/cart"), 20).await?;
    assert!(!new.contains_key("foo-v2"), "{new:?}");
    Ok(())
}

/// A token that the engine seals for an endpoint of the cluster, as it may have been there yesterday.
fn token(config: &str, cluster: &str, endpoint: &str) -> Result<String> {
    let config: FilterConfig = parse(config.as_bytes())?;
    let table = compile(&config).ok().context("compile")?;
    let request = gatewasm_routing::Request {
        method: b"GET",
        authority: b"foo.example.com",
        path: b"/cart",
        headers: &[],
    };
    for random in [0, u64::MAX] {
        let Decision::Forward { cluster: to, session: Some(session), .. } =
            table.decide(b"infra/web:80", &request, random)
        else {
            continue;
        };
        if let Some(HeaderEdit::Add { value, .. }) =
            session.answer(Outcome::Answered, Some(endpoint.as_bytes()), &|| 0)
            && to == cluster
        {
            return Ok(value.split(';').next().unwrap_or_default().to_owned());
        }
    }
    anyhow::bail!("no session for {cluster}")
}

#[tokio::test]
async fn where_the_endpoint_is_gone_another_of_the_same_cluster_takes_over() -> Result<()> {
    let (envoy, files, _second) = start([50, 50]).await?;
    // 127.0.0.1:1
    let gone = token(&config(&files, [50, 50])?, V1, "MTI3LjAuMC4xOjE=")?;
    for _ in 0..20 {
        let (backend, answer) = send(&envoy, &foo("/cart").header("cookie", &gone)).await?;
        assert!(backend.starts_with("foo-v1"), "{backend}");
        let (renewed, _) = cookie(&answer).context("the session was not renewed")?;
        assert_ne!(renewed, gone);
        assert_eq!(send(&envoy, &foo("/cart").header("cookie", &renewed)).await?.0, backend);
    }
    Ok(())
}

#[tokio::test]
async fn a_header_carries_a_session_too() -> Result<()> {
    let (envoy, _, _second) = start([50, 50]).await?;
    let (backend, answer) = send(&envoy, &foo("/header")).await?;
    let token = answer.headers.get("x-session").context("no header")?;
    assert!(!answer.headers.contains_key("set-cookie"), "{answer:?}");
    let held = spread(&envoy, &foo("/header").header("x-session", token), 20).await?;
    assert_eq!(held, BTreeMap::from([(backend, 20)]));
    Ok(())
}

#[tokio::test]
async fn a_session_ends_with_its_time() -> Result<()> {
    let (envoy, _, _second) = start([50, 50]).await?;
    let (_, answer) = send(&envoy, &foo("/timed")).await?;
    let (first, attributes) = cookie(&answer).context("no cookie")?;
    assert_eq!(attributes, "Path=/; Max-Age=1; HttpOnly; SameSite=Strict");
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
    let (_, answer) = send(&envoy, &foo("/timed").header("cookie", &first)).await?;
    assert_ne!(cookie(&answer).context("the session did not end")?.0, first);
    Ok(())
}

/// Neither a client nor a backend can name an endpoint.
#[tokio::test]
async fn only_envoy_names_endpoints() -> Result<()> {
    let (envoy, _, second) = start([1, 0]).await?;
    let address = format!("127.0.0.1:{}", second.address.port());
    // 127.0.0.1:1
    let forged = foo("/cart").header("x-gw-endpoint", "MTI3LjAuMC4xOjE=");
    let met = spread(&envoy, &forged, 20).await?;
    assert_eq!(met.len(), 2, "{met:?} with {address}");

    let (_, answer) = send(&envoy, &foo("/cart")).await?;
    let (cookie, _) = cookie(&answer).context("no cookie")?;
    let asked =
        foo("/cart").header("cookie", &cookie).header("x-echo-set-header", "x-gw-endpoint:MTI3LjAuMC4xOjE=");
    let (_, answer) = send(&envoy, &asked).await?;
    assert!(!answer.headers.contains_key("set-cookie"), "{answer:?}");
    Ok(())
}

/// An answer of Envoy's own has no session to give; where it could reach nobody, it ends the one that there is.
#[tokio::test]
async fn a_session_with_a_dead_endpoint_is_over() -> Result<()> {
    let (mut envoy, _, second) = start([1, 0]).await?;
    let (_, answer) = send(&envoy, &foo("/cart")).await?;
    let (session, _) = cookie(&answer).context("no cookie")?;
    let (_, answer) = send(&envoy, &foo("/header")).await?;
    let token = answer.headers.get("x-session").context("no header")?.clone();
    drop(second);
    envoy.backends.clear();

    let answer = envoy.send(&foo("/cart")).await?;
    assert_eq!((answer.status, cookie(&answer)), (503, None));
    assert!(!answer.headers.contains_key("x-gw-endpoint"), "{answer:?}");
    let answer = envoy.send(&foo("/cart").header("cookie", &session)).await?;
    let over = ("cart=".to_owned(), "Path=/; Max-Age=0; HttpOnly; SameSite=Strict".to_owned());
    assert_eq!((answer.status, cookie(&answer)), (503, Some(over)));
    let answer = envoy.send(&foo("/header").header("x-session", &token)).await?;
    assert_eq!((answer.status, answer.headers.get("x-session").map(String::as_str)), (503, Some("")));
    Ok(())
}
