//! TLSRoutes, TCPRoutes and UDPRoutes on a real Envoy, with real clients: who gets which connections and datagrams, and
//! which changes cut them (none but what they are about).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gatewasm_tests::certificate::{Authority, Certificate};
use gatewasm_tests::client::Request;
use gatewasm_tests::connection::Connection;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::exact::Tls;
use gatewasm_tests::running::{Running, class, gateway, route, service};
use gatewasm_tests::stream::{Client, Datagrams, Stream};
use gatewasm_tests::tls_backend::policy;
use gatewasm_tests::tools;
use serde_json::{Value, json};

/// Connections of which the shares are counted.
const SAMPLE: usize = 300;

fn listener(name: &str, port: u16, protocol: &str) -> Value {
    json!({"name": name, "port": port, "protocol": protocol})
}

fn passthrough(name: &str, port: u16, hostname: &str) -> Value {
    json!({"name": name, "port": port, "protocol": "TLS", "hostname": hostname, "tls": {"mode": "Passthrough"}})
}

fn ends_tls(name: &str, port: u16, protocol: &str, hostname: &str) -> Value {
    json!({"name": name, "port": port, "protocol": protocol, "hostname": hostname,
        "tls": {"mode": "Terminate", "certificateRefs": [{"name": "certificate"}]}})
}

/// A route in the namespace `default` to port 80 of Services by weight.
fn stream_route(kind: &str, name: &str, section: &str, backends: &[(&str, u32)]) -> Value {
    let backends: Vec<Value> =
        backends.iter().map(|(name, weight)| json!({"name": name, "port": 80, "weight": weight})).collect();
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "parentRefs": [{"namespace": "infra", "name": "web", "sectionName": section}],
            "rules": [{"backendRefs": backends}],
        },
    })
}

fn tls_route(name: &str, section: &str, hostname: &str, backends: &[(&str, u32)]) -> Value {
    let mut route = stream_route("TLSRoute", name, section, backends);
    route["spec"]["hostnames"] = json!([hostname]);
    route
}

fn udp_service(name: &str, endpoints: &[SocketAddr]) -> Vec<Value> {
    let mut objects = service(name, endpoints);
    for object in &mut objects {
        let ports =
            if object["kind"] == "Service" { &mut object["spec"]["ports"] } else { &mut object["ports"] };
        ports[0]["protocol"] = json!("UDP");
    }
    objects
}

/// How often each backend greets, and how often nobody does.
async fn shares(address: SocketAddr, tls: Option<Tls<'_>>) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for _ in 0..SAMPLE {
        let greeted = Client::open(address, tls).await.map_or("nobody".to_owned(), |client| client.backend);
        *counts.entry(greeted).or_default() += 1;
    }
    Ok(counts)
}

/// Whether a backend's part of [`SAMPLE`] is what its weight asks for.
fn is_near(counts: &BTreeMap<String, usize>, backend: &str, percent: usize) -> bool {
    let found = counts.get(backend).copied().unwrap_or_default() * 100;
    found.abs_diff(percent * SAMPLE) <= 6 * SAMPLE
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_go_by_weight_and_a_change_of_weights_cuts_none() -> Result<()> {
    let (one, two) = (Stream::start("one").await?, Stream::start("two").await?);
    let port = tools::free_port()?;
    let weights = |one, two, missing| {
        [stream_route("TCPRoute", "db", "tcp", &[("one", one), ("two", two), ("missing", missing)])]
    };
    let manifests = [
        ("gateway.yaml", vec![class(), gateway("web", &[listener("tcp", port, "TCP")])]),
        ("route.yaml", weights(60, 20, 20).to_vec()),
        ("one.yaml", service("one", &[one.address])),
        ("two.yaml", service("two", &[two.address])),
    ];
    let running = Running::start(&manifests, &[]).await?;
    let address = running.address("infra/web", "tcp")?;
    let counts = shares(address, None).await?;
    for (backend, percent) in [("one", 60), ("two", 20), ("nobody", 20)] {
        ensure!(is_near(&counts, backend, percent), "{backend} is not at {percent} %: {counts:?}");
    }

    // One that is idle, and one that talks all the time.
    let mut idle = client_of(address, "one").await?;
    let talking = tokio::spawn({
        let mut client = client_of(address, "two").await?;
        async move {
            let until = Instant::now() + Duration::from_secs(6);
            while Instant::now() < until {
                client.say("still there").await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            anyhow::Ok(())
        }
    });
    for (weights, all) in [(weights(0, 1, 0), "two"), (weights(1, 0, 0), "one"), (weights(0, 0, 1), "nobody")]
    {
        running.write("route.yaml", &weights)?;
        running.until(all, async || Ok(shares(address, None).await?.get(all) == Some(&SAMPLE))).await?;
    }
    idle.say("still there").await?;
    talking.await??;
    // When the route goes, nobody new comes in, and Envoy gives those who are in time to end.
    running.write("route.yaml", &[])?;
    running.until("no route", async || Ok(Client::open(address, None).await.is_err())).await?;
    idle.say("still there").await?;
    running.stop().await
}

/// A connection that a certain backend got.
async fn client_of(address: SocketAddr, backend: &str) -> Result<Client> {
    for _ in 0..SAMPLE {
        if let Ok(client) = Client::open(address, None).await
            && client.backend == backend
        {
            return Ok(client);
        }
    }
    anyhow::bail!("{backend} gets nothing")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_route_has_the_listener_and_others_leave_its_connections_alone() -> Result<()> {
    let (one, two) = (Stream::start("one").await?, Stream::start("two").await?);
    let (first, second) = (tools::free_port()?, tools::free_port()?);
    let at = |mut route: Value, time: &str| {
        route["metadata"]["creationTimestamp"] = json!(time);
        route
    };
    let young = at(stream_route("TCPRoute", "a", "first", &[("two", 1)]), "2026-01-02T00:00:00Z");
    let old = at(stream_route("TCPRoute", "b", "first", &[("one", 1)]), "2026-01-01T00:00:00Z");
    let listeners = [listener("first", first, "TCP"), listener("second", second, "TCP")];
    let manifests = [
        ("gateway.yaml", vec![class(), gateway("web", &listeners)]),
        ("young.yaml", vec![young]),
        ("old.yaml", vec![old]),
        ("other.yaml", vec![stream_route("TCPRoute", "other", "second", &[("two", 1)])]),
        ("one.yaml", service("one", &[one.address])),
        ("two.yaml", service("two", &[two.address])),
    ];
    let running = Running::start(&manifests, &[]).await?;
    let (first, second) = (running.address("infra/web", "first")?, running.address("infra/web", "second")?);
    ensure!(shares(first, None).await? == BTreeMap::from([("one".to_owned(), SAMPLE)]));
    let mut other = Client::open(second, None).await?;
    running.write("old.yaml", &[])?;
    running.until("the next one", async || Ok(Client::open(first, None).await?.backend == "two")).await?;
    running.write("young.yaml", &[])?;
    running.until("nobody", async || Ok(Client::open(first, None).await.is_err())).await?;
    other.say("still there").await?;
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_go_by_weight_and_sessions_stay() -> Result<()> {
    let (one, two) = (Datagrams::start("one").await?, Datagrams::start("two").await?);
    // TCP and UDP have one port number.
    let port = tools::free_port()?;
    let tcp = Stream::start("tcp").await?;
    let weights = |one, two, missing| {
        [stream_route("UDPRoute", "dns", "udp", &[("one", one), ("two", two), ("missing", missing)])]
    };
    let mut gateway = gateway("web", &[listener("tcp", port, "TCP"), listener("udp", port, "UDP")]);
    // On 127.0.0.1 the test itself holds the port.
    gateway["spec"]["addresses"] = json!([{"value": "127.0.0.2"}]);
    let manifests = [
        ("gateway.yaml", vec![class(), gateway]),
        ("route.yaml", weights(60, 20, 20).to_vec()),
        ("tcp-route.yaml", vec![stream_route("TCPRoute", "tcp", "tcp", &[("tcp", 1)])]),
        ("one.yaml", udp_service("one", &[one.address])),
        ("two.yaml", udp_service("two", &[two.address])),
        ("tcp.yaml", service("tcp", &[tcp.address])),
    ];
    let running = Running::start(&manifests, &[]).await?;
    let address = running.address("infra/web", "udp")?;
    ensure!(Client::open(running.address("infra/web", "tcp")?, None).await?.backend == "tcp");
    let counts = Datagrams::ask_often(address, SAMPLE).await?;
    for (backend, percent) in [("one", 60), ("two", 20), ("nobody", 20)] {
        ensure!(is_near(&counts, backend, percent), "{backend} is not at {percent} %: {counts:?}");
    }

    let (client, before) = loop {
        let client = Datagrams::client(address).await?;
        if let Some(backend) = Datagrams::ask(&client).await {
            break (client, backend);
        }
    };
    for (weights, all) in [(weights(0, 1, 0), "two"), (weights(1, 0, 0), "one"), (weights(0, 0, 1), "nobody")]
    {
        running.write("route.yaml", &weights)?;
        let only = BTreeMap::from([(all.to_owned(), 20)]);
        running.until(all, async || Ok(Datagrams::ask_often(address, 20).await? == only)).await?;
        ensure!(
            Datagrams::ask(&client).await.as_ref() == Some(&before),
            "its session went to another backend"
        );
    }
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_https_share_a_port_and_keep_each_others_connections() -> Result<()> {
    let web = Echo::start("web").await?;
    let theirs = Certificate::self_signed(["passed.example.com"])?;
    let passed = Stream::start_tls("passed", &theirs).await?;
    let plain = Stream::start("plain").await?;
    let ours = Certificate::self_signed(["*.example.com"])?;
    let port = tools::free_port()?;
    let https = ends_tls("https", port, "HTTPS", "*.example.com");
    let all = [
        https.clone(),
        passthrough("passed", port, "passed.example.com"),
        ends_tls("ended", port, "TLS", "ended.example.com"),
        passthrough("idle", port, "idle.example.com"),
    ];
    let manifests = [
        ("gateway.yaml", vec![class(), gateway("web", std::slice::from_ref(&https))]),
        ("secret.yaml", vec![ours.secret("certificate")]),
        ("route.yaml", vec![route("web", &["web"], "web")]),
        ("passed-route.yaml", vec![tls_route("passed", "passed", "passed.example.com", &[("passed", 1)])]),
        ("ended-route.yaml", vec![tls_route("ended", "ended", "ended.example.com", &[("plain", 1)])]),
        ("web.yaml", service("web", &[web.address])),
        ("passed.yaml", service("passed", &[passed.address])),
        ("plain.yaml", service("plain", &[plain.address])),
    ];
    let running = Running::start(&manifests, &[]).await?;
    let address = running.address("infra/web", "https")?;
    let tls = |server_name, certificate: &'static str| Some(Tls { server_name, root: certificate });
    let (ours, theirs): (&'static str, &'static str) = (ours.chain.leak(), theirs.chain.leak());
    let mut kept = Connection::open(address, tls("www.example.com", ours)).await?;
    let get = Request::get("www.example.com", "/");
    ensure!(kept.send(&get).await?.status == 200);

    running.write("gateway.yaml", &[class(), gateway("web", &all)])?;
    let passed_on = async || {
        let client = Client::open(address, tls("passed.example.com", theirs)).await;
        Ok(client.is_ok_and(|client| client.backend == "passed"))
    };
    running.until("passed on", passed_on).await?;
    ensure!(Client::open(address, tls("ended.example.com", ours)).await?.backend == "plain");
    // The listener that has the name has no route for it; that of HTTPS does not get it.
    ensure!(Client::open(address, tls("idle.example.com", ours)).await.is_err());
    ensure!(kept.send(&get).await?.status == 200, "the first TLS listener cut a connection of HTTPS");
    let misdirected = Request::get("passed.example.com", "/");
    // Envoy's listeners come before the filter's configuration.
    let mut answered = kept.send(&misdirected).await?.status;
    for _ in 0..100 {
        if answered == 421 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        answered = kept.send(&misdirected).await?.status;
    }
    ensure!(answered == 421, "HTTPS answers {answered} for a name of another listener");

    let mut through = Client::open(address, tls("passed.example.com", theirs)).await?;
    let mut ended = Client::open(address, tls("ended.example.com", ours)).await?;
    running.write("ended-route.yaml", &[tls_route("ended", "ended", "ended.example.com", &[("gone", 1)])])?;
    let refused = async || Ok(Client::open(address, tls("ended.example.com", ours)).await.is_err());
    running.until("refused", refused).await?;
    through.say("still there").await?;
    ended.say("still there").await?;

    running.write("gateway.yaml", &[class(), gateway("web", &[https])])?;
    let www = Request::get("passed.example.com", "/");
    let by_https = async || Ok(www.send_tls(address, "passed.example.com", ours).await?.status == 200);
    running.until("HTTPS has the name again", by_https).await?;
    ensure!(kept.send(&get).await?.status == 200, "the last TLS listener cut a connection of HTTPS");
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_sees_the_backends_certificate_through_passthrough() -> Result<()> {
    let theirs = Certificate::self_signed(["a.example.com"])?;
    let backend = Stream::start_tls("a", &theirs).await?;
    let manifests = [
        (
            "gateway.yaml",
            vec![class(), gateway("web", &[passthrough("tls", tools::free_port()?, "a.example.com")])],
        ),
        ("route.yaml", vec![tls_route("a", "tls", "a.example.com", &[("a", 1)])]),
        ("a.yaml", service("a", &[backend.address])),
    ];
    let running = Running::start(&manifests, &[]).await?;
    let address = running.address("infra/web", "tls")?.to_string();
    for (name, is_served) in [("a.example.com", true), ("b.example.com", false)] {
        let output = tokio::process::Command::new("openssl")
            .args(["s_client", "-connect", &address, "-servername", name, "-showcerts"])
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .context("openssl")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(text.contains(theirs.chain.trim()) == is_served, "{name}: {text}");
    }
    running.stop().await
}

/// Where TLS ends at the gateway, a backend with a policy is spoken TLS with, one without in clear text, and one whose
/// certificate is not what the policy asks for gets nothing. Where TLS passes through, policies are nothing to it.
#[tokio::test(flavor = "multi_thread")]
async fn backends_are_spoken_tls_with_as_their_policies_say() -> Result<()> {
    let (authority, other) = (Authority::new("ours")?, Authority::new("another")?);
    let certificate = Certificate::self_signed(["foo.example.com"])?;
    let secured = Stream::start_tls("secured", &authority.sign(&["secured.test"])?).await?;
    let forged = Stream::start_tls("forged", &other.sign(&["forged.test"])?).await?;
    let plain = Stream::start("plain").await?;
    let behind = Stream::start_tls("behind", &certificate).await?;
    let (port, through) = (tools::free_port()?, tools::free_port()?);
    let weights = |secured, plain, forged| {
        let backends = [("secured", secured), ("plain", plain), ("forged", forged)];
        [tls_route("inside", "ended", "foo.example.com", &backends)]
    };
    let listeners =
        [ends_tls("ended", port, "TLS", "*.example.com"), passthrough("through", through, "*.example.com")];
    let manifests = [
        ("gateway.yaml", vec![class(), gateway("web", &listeners), certificate.secret("certificate")]),
        ("route.yaml", weights(1, 1, 1).to_vec()),
        ("through.yaml", vec![tls_route("outside", "through", "foo.example.com", &[("behind", 1)])]),
        (
            "policies.yaml",
            vec![
                authority.config_map("default", "ca"),
                policy("secured", "secured.test"),
                policy("forged", "forged.test"),
                policy("behind", "nobody.test"),
            ],
        ),
        ("secured.yaml", service("secured", &[secured.address])),
        ("forged.yaml", service("forged", &[forged.address])),
        ("plain.yaml", service("plain", &[plain.address])),
        ("behind.yaml", service("behind", &[behind.address])),
    ];
    let running = Running::start(&manifests, &[]).await?;
    let tls = Some(Tls { server_name: "foo.example.com", root: &certificate.chain });
    let address = running.address("infra/web", "ended")?;
    let counts = shares(address, tls).await?;
    for (backend, percent) in [("secured", 33), ("plain", 33), ("nobody", 33)] {
        ensure!(is_near(&counts, backend, percent), "{backend} is not at {percent} %: {counts:?}");
    }
    let through = running.address("infra/web", "through")?;
    ensure!(Client::open(through, tls).await?.backend == "behind");

    // A change of weights is one of endpoints, here as well, and cuts nobody.
    let mut client = None;
    for _ in 0..SAMPLE {
        client = Client::open(address, tls).await.ok().filter(|client| client.backend == "secured");
        if client.is_some() {
            break;
        }
    }
    let mut client = client.context("secured gets nothing")?;
    running.write("route.yaml", &weights(0, 1, 0))?;
    let all = async || Ok(shares(address, tls).await?.get("plain") == Some(&SAMPLE));
    running.until("everything goes to plain", all).await?;
    client.say("still there").await?;
    running.stop().await
}
