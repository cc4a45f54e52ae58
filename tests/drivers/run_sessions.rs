//! Session persistence on a real Envoy: who gets a session, how long it lasts, and what ends it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewasm_tests::client::{Answer, Request};
use gatewasm_tests::echo::Echo;
use gatewasm_tests::running::{Running, class, gateway, http, service};
use gatewasm_tests::tools;
use serde_json::{Value, json};

/// The Services `one`, with two endpoints, and `two`, with one.
struct Backends([Echo; 3]);

impl Backends {
    async fn start() -> Result<Self> {
        Ok(Self([Echo::start("one-a").await?, Echo::start("one-b").await?, Echo::start("two").await?]))
    }

    fn services(&self) -> Vec<Value> {
        let [a, b, two] = &self.0;
        [service("one", &[a.address, b.address]), service("two", &[two.address])].concat()
    }
}

/// A rule with a session, for requests below `path`.
fn rule(path: &str, session: &Value, weights: [u32; 2]) -> Value {
    json!({
        "matches": [{"path": {"value": path}}],
        "sessionPersistence": session,
        "backendRefs": [
            {"name": "one", "port": 80, "weight": weights[0]},
            {"name": "two", "port": 80, "weight": weights[1]},
        ],
    })
}

fn route(rules: &[Value]) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "sticky", "namespace": "default"},
        "spec": {"parentRefs": [{"namespace": "infra", "name": "web"}], "rules": rules},
    })
}

async fn start(backends: &Backends, rules: &[Value]) -> Result<(Running, SocketAddr)> {
    let manifests = [
        ("gateway.yaml", vec![class(), gateway("web", &[http("http", tools::free_port()?)])]),
        ("route.yaml", vec![route(rules)]),
        ("services.yaml", backends.services()),
    ];
    let running = Running::start(&manifests, &[]).await?;
    let address = running.address("infra/web", "http")?;
    Ok((running, address))
}

/// Who answered, and the cookie that the answer sets: its name and value, and its attributes.
struct Met {
    backend: String,
    cookie: Option<(String, String)>,
}

async fn ask(address: SocketAddr, path: &str, cookie: Option<&str>) -> Result<Met> {
    let mut request = Request::get("foo.example.com", path);
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let answer = request.send(address).await?;
    ensure!(answer.status == 200, "status {}: {}", answer.status, answer.text());
    let internal: Vec<_> = answer.headers.keys().filter(|name| name.starts_with("x-gw-")).collect();
    ensure!(internal.is_empty(), "the answer has {internal:?}");
    let cookie = answer.headers.get("set-cookie").map(|line| split(line));
    Ok(Met { backend: answer.echoed()?.backend, cookie })
}

fn split(line: &str) -> (String, String) {
    let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
    (pair.to_owned(), attributes.trim().to_owned())
}

/// A client without a session; returns whom it met, and its cookie.
async fn begin(address: SocketAddr, path: &str) -> Result<(String, String)> {
    let met = ask(address, path, None).await?;
    let (pair, _) = met.cookie.context("no cookie was set")?;
    Ok((met.backend, pair))
}

/// A client that met `backend`.
async fn begin_with(address: SocketAddr, path: &str, backend: &str) -> Result<String> {
    for _ in 0..200 {
        let (met, cookie) = begin(address, path).await?;
        if met == backend {
            return Ok(cookie);
        }
    }
    anyhow::bail!("200 new clients, and none met {backend}")
}

#[tokio::test(flavor = "multi_thread")]
async fn new_clients_follow_the_weights_and_known_ones_stay() -> Result<()> {
    let backends = Backends::start().await?;
    let (running, address) = start(&backends, &[rule("/", &json!({"sessionName": "sid"}), [80, 20])]).await?;
    let mut to_two = 0;
    let mut seen = BTreeSet::new();
    for _ in 0..300 {
        let (backend, cookie) = begin(address, "/").await?;
        ensure!(cookie.starts_with("sid="), "{cookie}");
        to_two += usize::from(backend == "two");
        if seen.insert(backend.clone()) {
            for _ in 0..20 {
                let met = ask(address, "/x", Some(&format!("other=1; {cookie}; more=2"))).await?;
                assert_eq!(met.backend, backend);
                assert_eq!(
                    met.cookie.map(|cookie| cookie.0),
                    None,
                    "a cookie that is right is not set again"
                );
            }
        }
    }
    // Five standard deviations of a binomial distribution: sqrt(300 * 0.8 * 0.2) is 7.
    assert!((25..=95).contains(&to_two), "{to_two} of 300 went to 20 %");
    assert_eq!(seen.len(), 3, "{seen:?}");
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_a_weight_of_zero() -> Result<()> {
    let backends = Backends::start().await?;
    let session = json!({"sessionName": "sid"});
    let (running, address) = start(&backends, &[rule("/", &session, [80, 20])]).await?;
    let cookie = begin_with(address, "/", "two").await?;
    running.write("route.yaml", &[route(&[rule("/", &session, [1, 0])])])?;
    running
        .until("the new weights", async || {
            for _ in 0..30 {
                if begin(address, "/").await?.0 == "two" {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await?;
    for _ in 0..20 {
        assert_eq!(ask(address, "/", Some(&cookie)).await?.backend, "two");
    }
    // A backend that left the rule takes its sessions along.
    let mut without = rule("/", &session, [1, 0]);
    without["backendRefs"].as_array_mut().context("backendRefs")?.pop();
    running.write("route.yaml", &[route(&[without])])?;
    running
        .until("the backend gone", async || Ok(ask(address, "/", Some(&cookie)).await?.backend != "two"))
        .await?;
    let moved = ask(address, "/", Some(&cookie)).await?;
    let (renewed, _) = moved.cookie.context("the client gets no new session")?;
    assert_eq!(ask(address, "/", Some(&renewed)).await?.backend, moved.backend);
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_goes_away_moves_its_sessions_within_the_service() -> Result<()> {
    let backends = Backends::start().await?;
    let session = json!({"sessionName": "sid"});
    let (running, address) = start(&backends, &[rule("/", &session, [1, 1])]).await?;
    let cookie = begin_with(address, "/", "one-a").await?;
    let [_, b, two] = &backends.0;
    let services = [service("one", &[b.address]), service("two", &[two.address])].concat();
    running.write("services.yaml", &services)?;
    running
        .until("the endpoint gone", async || Ok(ask(address, "/", Some(&cookie)).await?.backend != "one-a"))
        .await?;
    for _ in 0..10 {
        let met = ask(address, "/", Some(&cookie)).await?;
        assert_eq!(met.backend, "one-b", "the session keeps its Service");
        let (renewed, _) = met.cookie.context("the client gets no new session")?;
        let again = ask(address, "/", Some(&renewed)).await?;
        assert_eq!((again.backend.as_str(), again.cookie.is_some()), ("one-b", false));
    }
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_listed_and_dead_keeps_nobody() -> Result<()> {
    let backends = Backends::start().await?;
    let rules = [rule("/", &json!({"sessionName": "sid"}), [1, 0])];
    let (running, address) = start(&backends, &rules).await?;
    let cookie = begin_with(address, "/", "one-a").await?;
    let Backends([dead, _b, _two]) = backends;
    drop(dead);
    // A connection that was kept open may break under the first request.
    Request::get("foo.example.com", "/").header("cookie", &cookie).send(address).await?;
    for _ in 0..20 {
        let met = ask(address, "/", Some(&cookie)).await?;
        assert_eq!(met.backend, "one-b");
        let (renewed, _) = met.cookie.context("the client gets no new session")?;
        let again = ask(address, "/", Some(&renewed)).await?;
        assert_eq!((again.backend.as_str(), again.cookie.is_some()), ("one-b", false));
    }
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_share_no_sessions_and_nobody_makes_up_one() -> Result<()> {
    let backends = Backends::start().await?;
    let session = json!({"sessionName": "sid"});
    let rules = [rule("/a", &session, [1, 1]), rule("/b", &session, [0, 1])];
    let (running, address) = start(&backends, &rules).await?;
    let cookie = begin_with(address, "/a", "one-a").await?;
    let met = ask(address, "/b", Some(&cookie)).await?;
    assert_eq!(met.backend, "two");
    assert!(met.cookie.is_some(), "the session of another rule counts for nothing");

    let (name, value) = cookie.split_once('=').context("cookie")?;
    for at in 0..value.len() {
        let other = if value.as_bytes()[at] == b'A' { "B" } else { "A" };
        let forged = format!("{name}={}{other}{}", &value[..at], &value[at + 1..]);
        let met = ask(address, "/a", Some(&forged)).await?;
        assert!(met.cookie.is_some(), "{forged} was taken for a session");
    }
    for odd in ["sid=", "sid", "sid=\"\"", "=;;=", &format!("sid={}", "A".repeat(4000))] {
        assert!(ask(address, "/a", Some(odd)).await?.cookie.is_some(), "{odd}");
    }
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_says_what_the_route_says() -> Result<()> {
    let backends = Backends::start().await?;
    let rules = [
        rule("/session", &json!({"sessionName": "s"}), [1, 1]),
        rule("/short", &json!({"sessionName": "t", "absoluteTimeout": "2s"}), [1, 1]),
        rule(
            "/permanent",
            &json!({"sessionName": "p", "absoluteTimeout": "1h", "cookieConfig": {"lifetimeType": "Permanent"}}),
            [1, 1],
        ),
        rule("/unnamed", &json!({}), [1, 1]),
    ];
    let (running, address) = start(&backends, &rules).await?;
    for (path, max_age) in [("/session", None), ("/short", None), ("/permanent", Some("Max-Age=3600"))] {
        let (_, attributes) = ask(address, path, None).await?.cookie.context("no cookie")?;
        let attributes: Vec<&str> = attributes.split(';').map(str::trim).collect();
        assert!(attributes.contains(&"Path=/") && attributes.contains(&"HttpOnly"), "{attributes:?}");
        let lifetime: Vec<_> = attributes.iter().filter(|it| it.starts_with("Max-Age")).collect();
        assert_eq!(lifetime, max_age.iter().collect::<Vec<_>>(), "{path}");
    }
    let (backend, cookie) = begin(address, "/unnamed").await?;
    assert_eq!(ask(address, "/unnamed", Some(&cookie)).await?.backend, backend);

    let (_, cookie) = begin(address, "/short").await?;
    assert!(ask(address, "/short", Some(&cookie)).await?.cookie.is_none());
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(ask(address, "/short", Some(&cookie)).await?.cookie.is_some(), "it lived longer than 2 s");
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_carries_a_session_as_well() -> Result<()> {
    let backends = Backends::start().await?;
    let session = json!({"type": "Header", "sessionName": "x-session"});
    let (running, address) = start(&backends, &[rule("/", &session, [1, 1])]).await?;
    let token = |answer: &Answer| answer.headers.get("x-session").cloned();
    let mut seen = BTreeSet::new();
    for _ in 0..100 {
        let first = Request::get("foo.example.com", "/").send(address).await?;
        let backend = first.echoed()?.backend;
        let value = token(&first).context("no session header")?;
        assert_eq!(first.headers.get("set-cookie"), None);
        if seen.insert(backend.clone()) {
            for _ in 0..10 {
                let request = Request::get("foo.example.com", "/").header("X-Session", &value);
                assert_eq!(request.send(address).await?.echoed()?.backend, backend);
            }
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    running.stop().await
}
