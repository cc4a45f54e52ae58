//! Policies on real Envoy, from HTTPRoutes: time limits, retries, mirrors, protocols of backends, and their delivery. Tests
//! of what the conformance suite asks for begin with the name that it has there.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gatewasm_tests::client::{Answer, Request, raw};
use gatewasm_tests::echo::{Arrival, Echo};
use gatewasm_tests::fast_clock;
use gatewasm_tests::load::{self, Load};
use gatewasm_tests::running::{Running, class, gateway, http, route, service};
use gatewasm_tests::tools;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

fn get(path: &str) -> Request {
    Request::get("foo.example.com", path)
}

/// An HTTPRoute with these rules, by path prefix. A rule that names no backendRefs sends to `foo`.
fn rules(rules: &[(&str, Value)]) -> Value {
    let mut object = route("foo", &["web"], "foo");
    let rules = rules.iter().map(|(path, rule)| {
        let mut rule = rule.clone();
        rule["matches"] = json!([{"path": {"value": path}}]);
        if rule["backendRefs"].is_null() {
            rule["backendRefs"] = json!([{"name": "foo", "port": 80}]);
        }
        rule
    });
    object["spec"]["rules"] = rules.collect();
    object
}

fn manifests(rule: Value, services: &[(&str, &[SocketAddr])]) -> Result<Vec<(&'static str, Vec<Value>)>> {
    let gateway = gateway("web", &[http("http", tools::free_port()?)]);
    let services = services.iter().flat_map(|(name, endpoints)| service(name, endpoints)).collect();
    Ok(vec![
        ("gateway.yaml", vec![class(), gateway]),
        ("services.yaml", services),
        ("route.yaml", vec![rule]),
    ])
}

/// A gateway with these rules, and where it listens.
async fn serve(list: &[(&str, Value)], services: &[(&str, &[SocketAddr])]) -> Result<(Running, SocketAddr)> {
    let running = Running::start(&manifests(rules(list), services)?, &[]).await?;
    let address = running.address("infra/web", "http")?;
    Ok((running, address))
}

/// No header of ours or of Envoy's.
fn clean(arrival: &Arrival) -> Result<()> {
    let internal = |name: &&String| name.starts_with("x-gw-") || name.starts_with("x-envoy-");
    let leaked: Vec<_> = arrival.echoed.headers.keys().filter(internal).collect();
    ensure!(leaked.is_empty(), "{} saw {leaked:?}", arrival.echoed.backend);
    Ok(())
}

/// Envoy's timers begin at the last tick of its clock, and its event loop rounds to milliseconds: they may end that much
/// early.
const TICKS: Duration = Duration::from_millis(10);

async fn timed(request: &Request, address: SocketAddr) -> Result<(Answer, Duration)> {
    let begin = Instant::now();
    let answer = request.send(address).await?;
    Ok((answer, begin.elapsed()))
}

/// A rule with this limit of time ends requests, and its zero is none.
async fn is_a_limit(field: &str) -> Result<()> {
    let backend = Echo::start("foo").await?;
    let limit = |time: &str| json!({"timeouts": {field: time}});
    let list = [("/limit", limit("300ms")), ("/zero", limit("0s"))];
    let (running, address) = serve(&list, &[("foo", &[backend.address])]).await?;
    let (answer, took) = timed(&get("/limit?delay=5000&key=limit"), address).await?;
    assert_eq!(answer.status, 504);
    assert!(took + TICKS >= Duration::from_millis(300) && took < Duration::from_secs(4), "{took:?}");
    assert_eq!(get("/limit").send(address).await?.status, 200);
    clean(backend.arrivals("limit").first().context("no arrival")?)?;
    // An answer that has begun ends as well, without its end.
    assert!(get("/limit?silent=5000").send(address).await.is_err());
    assert_eq!(get("/zero?delay=1000").send(address).await?.status, 200);
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn httproute_timeout_request() -> Result<()> {
    is_a_limit("request").await
}

#[tokio::test(flavor = "multi_thread")]
async fn httproute_timeout_backend_request() -> Result<()> {
    is_a_limit("backendRequest").await
}

/// Sends requests to these rules: path, status of the answer, requests that arrive.
async fn are_tried(list: &[(&str, Value)], requests: &[(&str, u16, usize)]) -> Result<()> {
    let backend = Echo::start("foo").await?;
    let (running, address) = serve(list, &[("foo", &[backend.address])]).await?;
    for (path, status, arrivals) in requests {
        let answer = get(path).send(address).await?;
        let key = path.split_once("key=").context("key")?.1;
        let arrived = backend.arrivals(key);
        assert_eq!((answer.status, arrived.len()), (*status, *arrivals), "{path}");
        arrived.iter().try_for_each(clean)?;
    }
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn httproute_retry() -> Result<()> {
    let retry = |codes: &[u16], attempts: u32| json!({"retry": {"codes": codes, "attempts": attempts}});
    let list = [
        ("/500-3", retry(&[500], 3)),
        ("/all-2", retry(&[500, 502, 503, 504], 2)),
        ("/all-0", retry(&[500, 502, 503, 504], 0)),
    ];
    let requests = [
        ("/500-3?fail=2&code=500&key=a", 200, 3),
        // The last answer is the one that the client gets.
        ("/500-3?fail=4&code=500&key=b", 500, 4),
        ("/500-3?fail=2&code=503&key=c", 503, 1),
        ("/all-2?fail=1&code=500&key=d", 200, 2),
        ("/all-2?fail=3&code=500&key=e", 500, 3),
        ("/all-2?fail=1&code=502&key=f", 200, 2),
        ("/all-2?fail=3&code=502&key=g", 502, 3),
        ("/all-2?fail=1&code=503&key=h", 200, 2),
        ("/all-2?fail=3&code=503&key=i", 503, 3),
        ("/all-2?fail=1&code=504&key=j", 200, 2),
        ("/all-2?fail=3&code=504&key=k", 504, 3),
        ("/all-0?fail=1&code=500&key=l", 500, 1),
    ];
    are_tried(&list, &requests).await
}

#[tokio::test(flavor = "multi_thread")]
async fn httproute_retry_connection_error() -> Result<()> {
    let list = [("/", json!({"retry": {"attempts": 2}}))];
    are_tried(&list, &[("/?reset=2&key=a", 200, 3), ("/?reset=9&key=b", 503, 3)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn httproute_retry_connection_error_of_one_endpoint() -> Result<()> {
    let foo = Echo::start("foo").await?;
    let nobody = tools::free_address()?;
    let list = [("/", json!({"retry": {"attempts": 1}}))];
    let (running, address) = serve(&list, &[("foo", &[foo.address, nobody])]).await?;
    let seen = load::send(address, &get("/"), 1, 50).await?;
    assert_eq!(seen.failures(), 0, "{seen:?}");
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn httproute_retry_with_timeouts() -> Result<()> {
    let foo = Echo::start("foo").await?;
    let tries = json!({"retry": {"attempts": 2}, "timeouts": {"backendRequest": "300ms"}});
    are_tried(&[("/", tries)], &[("/?delay=3000&key=a", 504, 3)]).await?;

    let late = json!({
        "retry": {"codes": [503], "attempts": 50, "backoff": "100ms"},
        "timeouts": {"request": "500ms"},
    });
    let (running, address) = serve(&[("/", late)], &[("foo", &[foo.address])]).await?;
    let (answer, took) = timed(&get("/?fail=99&key=late"), address).await?;
    assert_eq!(answer.status, 504);
    assert!(took + TICKS >= Duration::from_millis(500) && took < Duration::from_secs(4), "{took:?}");
    assert!(foo.arrivals("late").len() > 1, "it was not tried again");
    running.stop().await
}

/// A request with a body of so many bytes, after which the connection ends.
fn post(path: &str, size: usize) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: foo.example.com\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n"
    );
    let mut request = head.into_bytes();
    request.resize(request.len() + size, b'x');
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_kept_for_retries_up_to_a_mebibyte() -> Result<()> {
    let foo = Echo::start("foo").await?;
    let list = [("/", json!({"retry": {"codes": [503], "attempts": 1}}))];
    let (running, address) = serve(&list, &[("foo", &[foo.address])]).await?;
    for (size, key, arrivals) in [(500_000, "kept", 2), (3_000_000, "too-long", 1)] {
        let request = post(&format!("/?fail=1&key={key}"), size);
        let answer = String::from_utf8(raw(address, &request).await?)?;
        let status = if arrivals == 2 { "HTTP/1.1 200" } else { "HTTP/1.1 503" };
        assert!(answer.starts_with(status), "{key}: {answer}");
        let bodies: Vec<usize> = foo.arrivals(key).iter().map(|it| it.echoed.body).collect();
        assert_eq!(bodies, vec![size; arrivals], "{key}");
    }
    running.stop().await
}

/// The waits before the retries of each request, in milliseconds, sorted: the first ones, the second ones.
async fn waits(address: SocketAddr, path: &str, backend: &Echo) -> Result<[Vec<f64>; 2]> {
    let mut requests = JoinSet::new();
    for number in 0..300 {
        let request = get(&format!("{path}?fail=9&key={path}{number}"));
        requests.spawn(async move { request.send(address).await });
        // Not all at once: the waits are to be Envoy's.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    while let Some(answer) = requests.join_next().await {
        assert_eq!(answer??.status, 503);
    }
    let mut waits = [vec![], vec![]];
    for number in 0..300 {
        let arrivals = backend.arrivals(&format!("{path}{number}"));
        for (waits, pair) in waits.iter_mut().zip(arrivals.windows(2)) {
            if let [before, after] = pair {
                waits.push((after.at - before.at).as_secs_f64() * 1000.0);
            }
        }
    }
    waits.iter_mut().for_each(|waits| waits.sort_by(f64::total_cmp));
    Ok(waits)
}

/// Envoy draws each wait at random, from nothing to twice the time asked for, and from nothing to four times as much
/// before the second retry. `docs/conformance.md` has the figures that this prints.
#[tokio::test(flavor = "multi_thread")]
async fn the_mean_wait_before_a_retry_is_the_backoff() -> Result<()> {
    let foo = Echo::start("foo").await?;
    let rule = |backoff: &str| json!({"retry": {"codes": [503], "attempts": 2, "backoff": backoff}});
    let list = [("/short", rule("100ms")), ("/long", rule("1s"))];
    let (running, address) = serve(&list, &[("foo", &[foo.address])]).await?;
    for (path, backoff) in [("/short", 100.0), ("/long", 1000.0)] {
        for (waits, factor) in waits(address, path, &foo).await?.into_iter().zip([1.0, 2.0]) {
            let number = u32::try_from(waits.len()).map(f64::from)?;
            let mean = waits.iter().sum::<f64>() / number;
            let shorter = f64::from(u32::try_from(waits.iter().filter(|wait| **wait < backoff).count())?);
            let at = |share: usize| waits.get(waits.len() * share / 100).copied().unwrap_or_default();
            println!(
                "backoff {backoff} ms, {number} waits before retry {factor}: mean {mean:.0}, 5 % {:.0}, median {:.0}, \
                 95 % {:.0}, largest {:.0}, shorter than the backoff {:.0} %",
                at(5),
                at(50),
                at(95),
                waits.last().copied().unwrap_or_default(),
                shorter * 100.0 / number
            );
            let expected = backoff * factor;
            // Uniform: the mean of 300 has a standard deviation of 3.3 % of the expected one.
            assert!((expected * 0.85..expected * 1.3).contains(&mean), "{path}: {mean}, expected {expected}");
        }
    }
    running.stop().await
}

/// A RequestMirror filter, of a share of the requests where `share` says so.
fn mirror(name: &str, share: Value) -> Value {
    let mut mirror = json!({"backendRef": {"name": name, "port": 80}});
    if let (Some(mirror), Some(share)) = (mirror.as_object_mut(), share.as_object()) {
        mirror.extend(share.clone());
    }
    json!({"type": "RequestMirror", "requestMirror": mirror})
}

/// Each of these mirrors gets what the backend gets, and nothing that is between Envoy and the filter.
async fn are_mirrored(mirrors: &[&str]) -> Result<()> {
    let (backend, a, b) = (Echo::start("foo").await?, Echo::start("a").await?, Echo::start("b").await?);
    let filters: Vec<_> = mirrors.iter().map(|name| mirror(name, json!({}))).collect();
    let edits = json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-set", "value": "1"}]}});
    let rewrite = json!({"type": "URLRewrite", "urlRewrite": {
        "hostname": "other.test", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}});
    let changed: Vec<_> = filters.iter().cloned().chain([edits, rewrite]).collect();
    let list = [("/plain", json!({"filters": filters})), ("/changed", json!({"filters": changed}))];
    let services = [("foo", &[backend.address][..]), ("a", &[a.address]), ("b", &[b.address])];
    let (running, address) = serve(&list, &services).await?;
    for (path, arrives) in
        [("/plain/x?key=plain", "/plain/x?key=plain"), ("/changed/x?key=changed", "/new/x?key=changed")]
    {
        let key = path.split_once("key=").context("key")?.1;
        let request =
            get(path).header("x-mine", "1").header("x-gw-cluster", "1").header("x-envoy-internal", "1");
        assert_eq!(request.send(address).await?.echoed()?.path, arrives);
        for mirror in [&a, &b].into_iter().take(mirrors.len()) {
            running.until("a copy", async || Ok(mirror.arrivals(key).len() == 1)).await?;
            let [copy] = mirror.arrivals(key).try_into().map_err(|all| anyhow::anyhow!("{all:?}"))?;
            let [original] = backend.arrivals(key).try_into().map_err(|all| anyhow::anyhow!("{all:?}"))?;
            clean(&copy)?;
            clean(&original)?;
            assert_eq!(
                (&copy.echoed.path, &copy.echoed.host),
                (&original.echoed.path, &original.echoed.host)
            );
            let of = |arrival: &Arrival| {
                let mut headers = arrival.echoed.headers.clone();
                // Envoy is one hop more for a copy.
                headers.remove("x-forwarded-for");
                headers
            };
            assert_eq!(of(&copy), of(&original));
        }
    }
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn httproute_request_mirror() -> Result<()> {
    are_mirrored(&["a"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn httproute_request_multiple_mirrors() -> Result<()> {
    are_mirrored(&["a", "b"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn httproute_request_percentage_mirror() -> Result<()> {
    let (foo, a, b) = (Echo::start("foo").await?, Echo::start("a").await?, Echo::start("b").await?);
    let list = [
        ("/percent", json!({"filters": [mirror("a", json!({"percent": 20}))]})),
        (
            "/fraction",
            json!({"filters": [mirror("a", json!({"fraction": {"numerator": 25, "denominator": 50}}))]}),
        ),
        (
            "/two",
            json!({"filters": [mirror("a", json!({"percent": 35})), mirror("b", json!({"percent": 50}))]}),
        ),
        ("/none", json!({"filters": [mirror("a", json!({"percent": 0}))]})),
        ("/all", json!({"filters": [mirror("a", json!({})), mirror("b", json!({}))]})),
    ];
    let services = [("foo", &[foo.address][..]), ("a", &[a.address]), ("b", &[b.address])];
    let (running, address) = serve(&list, &services).await?;
    for path in ["/percent", "/fraction", "/two", "/none"] {
        let seen = load::send(address, &get(&format!("{path}?key={path}")), 4, 800).await?;
        assert_eq!((seen.failures(), seen.answers()), (0, 800), "{path}: {seen:?}");
    }
    assert_eq!(get("/all?key=last").send(address).await?.status, 200);
    for mirror in [&a, &b] {
        running.until("the last copy", async || Ok(mirror.arrivals("last").len() == 1)).await?;
    }
    // Six standard deviations of 800 draws: 11.3 at 20 %, 14.1 at 50 %, 13.5 at 35 %.
    for (mirror, path, expected, margin) in [
        (&a, "/percent", 160, 68),
        (&a, "/fraction", 400, 85),
        (&a, "/two", 280, 81),
        (&b, "/two", 400, 85),
        (&a, "/none", 0, 0),
    ] {
        let copies = mirror.arrivals(path).len();
        assert!(copies.abs_diff(expected) <= margin, "{path}: {copies} copies of 800 requests");
    }
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_down_or_says_nothing_changes_no_answer() -> Result<()> {
    let foo = Echo::start("foo").await?;
    // Accepts connections and reads nothing.
    let mute = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mirrors: Vec<Value> = ["down", "mute", "empty"].map(|name| mirror(name, json!({}))).to_vec();
    let services = [
        ("foo", &[foo.address][..]),
        ("down", &[tools::free_address()?]),
        ("mute", &[mute.local_addr()?]),
        ("empty", &[]),
    ];
    let (running, address) = serve(&[("/", json!({"filters": mirrors}))], &services).await?;
    let begin = Instant::now();
    let seen = load::send(address, &get("/"), 4, 200).await?;
    assert_eq!((seen.failures(), seen.answers()), (0, 200), "{seen:?}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    // More than fits into the buffers towards a mirror that reads nothing.
    let answer = raw(address, &post("/?key=large", 20_000_000)).await?;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(foo.arrivals("large").iter().map(|it| it.echoed.body).collect::<Vec<_>>(), [20_000_000]);
    running.stop().await
}

/// Services with ports of these protocols.
fn with_protocol(mut objects: Vec<Value>, protocol: &str) -> Vec<Value> {
    for object in objects.iter_mut().filter(|object| object["kind"] == "Service") {
        object["spec"]["ports"][0]["appProtocol"] = json!(protocol);
    }
    objects
}

/// Asks for a WebSocket, and hands over the connection.
async fn web_socket(address: SocketAddr, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: foo.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    Ok(stream)
}

async fn comes_back(stream: &mut TcpStream, byte: u8) -> Result<()> {
    stream.write_u8(byte).await?;
    let back = tokio::time::timeout(Duration::from_secs(10), stream.read_u8()).await??;
    ensure!(back == byte, "{back} instead of {byte}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn httproute_backend_protocol_h2c() -> Result<()> {
    let (one, two) = (Echo::start("one").await?, Echo::start("two").await?);
    let to = |name: &str| json!({"backendRefs": [{"name": name, "port": 80}]});
    let mut manifests = manifests(rules(&[("/one", to("one")), ("/two", to("two"))]), &[])?;
    let mut services = service("one", &[one.address]);
    services.extend(with_protocol(service("two", &[two.address]), "kubernetes.io/h2c"));
    manifests.push(("protocols.yaml", services));
    let running = Running::start(&manifests, &[]).await?;
    let address = running.address("infra/web", "http")?;
    for (path, protocol) in [("/one", "HTTP/1.1"), ("/two", "HTTP/2.0")] {
        assert_eq!(get(path).send(address).await?.echoed()?.protocol, protocol, "{path}");
    }
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn httproute_backend_protocol_websocket() -> Result<()> {
    let (one, ws) = (Echo::start("one").await?, Echo::start("ws").await?);
    let to = |name: &str| json!({"backendRefs": [{"name": name, "port": 80}]});
    let mut policy = to("ws");
    // A WebSocket is no request with an end, so that no limit is for it.
    policy["timeouts"] = json!({"request": "300ms"});
    policy["retry"] = json!({"codes": [503]});
    policy["filters"] = json!([mirror("one", json!({}))]);
    let list = [("/one", to("one")), ("/ws", to("ws")), ("/policy", policy)];
    let mut manifests = manifests(rules(&list), &[])?;
    let mut services = service("one", &[one.address]);
    services.extend(with_protocol(service("ws", &[ws.address]), "kubernetes.io/ws"));
    manifests.push(("protocols.yaml", services));
    let running = Running::start(&manifests, &[]).await?;
    let address = running.address("infra/web", "http")?;
    assert_eq!(get("/ws").send(address).await?.echoed()?.protocol, "HTTP/1.1");
    for path in ["/one", "/ws", "/policy"] {
        let mut stream = web_socket(address, path).await.context(path)?;
        comes_back(&mut stream, 1).await.context(path)?;
        tokio::time::sleep(Duration::from_millis(600)).await;
        comes_back(&mut stream, 2).await.context(path)?;
    }
    running.stop().await
}

/// On a clock that runs sixty times as fast: eleven minutes are eleven seconds.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_silent_for_ten_minutes_live() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let foo = Echo::start("foo").await?;
    let list = [("/", json!({})), ("/minute", json!({"timeouts": {"request": "1m"}}))];
    let mut command = Command::new(tools::gatewasm()?);
    command.env("ENVOY_PATH", fast_clock::envoy(folder.path())?);
    let running = Running::launch(command, &manifests(rules(&list), &[("foo", &[foo.address])])?, &[])?;
    running.until_ready().await?;
    let address = running.address("infra/web", "http")?;
    // The clock is as fast as that: two minutes and a half are over a limit of one.
    assert_eq!(get("/minute?delay=2500").send(address).await?.status, 504);

    let request = get("/?silent=11000").header("content-type", "application/grpc").header("te", "trailers");
    let stream = tokio::spawn(async move { request.send(address).await });
    let mut socket = web_socket(address, "/").await?;
    comes_back(&mut socket, 1).await?;
    tokio::time::sleep(Duration::from_secs(11)).await;
    comes_back(&mut socket, 2).await?;
    assert_eq!(stream.await??.echoed()?.backend, "foo");
    running.stop().await
}

/// Requests one after the other that fail at first, until told to stop: the key of each, and the status of its answer.
async fn fail_at_first(
    address: SocketAddr,
    name: String,
    stop: Arc<AtomicBool>,
) -> Result<Vec<(String, u16)>> {
    let mut answers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("{name}-{}", answers.len());
        let request = get(&format!("/retried?fail=1&delay=150&key={key}"));
        answers.push((key, request.send(address).await?.status));
    }
    Ok(answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_policies_under_load_fail_no_request() -> Result<()> {
    const EACH: Duration = Duration::from_millis(100);
    let (foo, a, b) = (Echo::start("foo").await?, Echo::start("a").await?, Echo::start("b").await?);
    let mirror = |name: &str| json!({"filters": [mirror(name, json!({}))]});
    let services = [("foo", &[foo.address][..]), ("a", &[a.address]), ("b", &[b.address])];
    // A policy that is another one with every change, and always tries again.
    let retried = |change: u64| {
        let retry = json!({"codes": [503], "attempts": 2 + change, "backoff": "200ms"});
        ("/retried", json!({"retry": retry}))
    };
    let (running, address) = serve(&[("/", json!({})), retried(0)], &services).await?;
    let load = Load::start(address, &get("/?key=load"), 8, Duration::from_millis(1));
    // Under way while several changes take effect.
    let slow = Load::start(address, &get("/?delay=700&key=slow"), 8, Duration::from_millis(1));
    let (stop, mut failing) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for task in 0..8 {
        failing.spawn(fail_at_first(address, format!("retried-{task}"), Arc::clone(&stop)));
    }
    for change in 0..100_u64 {
        // None, one that was there before, one that was never there, with clusters that come and go.
        let rule = match change % 6 {
            0 => json!({}),
            1 => mirror("a"),
            2 => json!({"timeouts": {"request": format!("{}s", 10 + change)}}),
            3 => mirror("b"),
            // A cluster in use becomes one that gets copies.
            4 => mirror("foo"),
            _ => json!({"retry": {"codes": [503], "attempts": 1 + change}, "timeouts": {"request": "30s"}}),
        };
        running.write("route.yaml", &[rules(&[("/", rule), retried(change)])])?;
        tokio::time::sleep(EACH).await;
    }
    // The last one is in effect.
    running.write("route.yaml", &[rules(&[("/", mirror("b")), retried(0)])])?;
    let copied = async || {
        get("/?key=end").send(address).await?;
        Ok(!b.arrivals("end").is_empty())
    };
    running.until("the last change", copied).await?;
    let seen = load.stop().await?;
    assert_eq!(seen.failures(), 0, "{seen:?}");
    assert_eq!((seen.connects, seen.refused), (8, 0), "a change drained connections: {seen:?}");
    let arrived = BTreeMap::from([
        ("foo", foo.arrivals("load").len()),
        ("a", a.arrivals("load").len()),
        ("b", b.arrivals("load").len()),
    ]);
    assert!(arrived.values().all(|number| *number > 0), "no change took effect: {arrived:?}");
    assert!(seen.answers() > 1000, "{seen:?}");

    let seen = slow.stop().await?;
    assert_eq!((seen.failures(), seen.connects, seen.refused), (0, 8, 0), "{seen:?}");
    assert!(seen.answers() > 50, "{seen:?}");
    // Policies that made copies were gone before the answer.
    assert!(!a.arrivals("slow").is_empty() && !b.arrivals("slow").is_empty(), "{seen:?}");

    stop.store(true, Ordering::Relaxed);
    let mut answers = Vec::new();
    while let Some(of_one) = failing.join_next().await {
        answers.extend(of_one??);
    }
    let mut across_changes = 0;
    for (key, status) in &answers {
        let arrivals = foo.arrivals(key);
        assert_eq!((*status, arrivals.len()), (200, 2), "{key}");
        across_changes += usize::from(arrivals[1].at - arrivals[0].at > 2 * EACH);
    }
    assert!(across_changes > 50, "{across_changes} of {}", answers.len());
    running.stop().await
}
