//! HTTP/3 on a real Envoy, with a real client: requests are served as over TCP, answers tell of it, it comes and goes
//! without a word to the connections of TCP, and nobody comes in by it who would not be let in there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use gatewasm_tests::certificate::{Authority, Certificate};
use gatewasm_tests::client::Request;
use gatewasm_tests::connection::Connection;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::exact::Tls;
use gatewasm_tests::http2::Http2;
use gatewasm_tests::http3::Http3;
use gatewasm_tests::running::{Running, class, gateway, route, service};
use gatewasm_tests::stream::Datagrams;
use gatewasm_tests::tools;
use serde_json::{Value, json};

const SHOP: &str = "shop.example.com";
const BLOG: &str = "blog.example.com";
const PLAIN: &str = "plain.example.com";

/// An HTTPS listener named after its Secret.
fn https(name: &str, port: u16, hostname: &str, http3: bool) -> Value {
    let options = if http3 { json!({"gatewasm.dev/http3": "true"}) } else { json!({}) };
    json!({
        "name": name, "port": port, "protocol": "HTTPS", "hostname": hostname,
        "tls": {"certificateRefs": [{"name": name}], "options": options},
    })
}

/// A Gateway on an address where no test holds the ports of UDP.
fn web(listeners: &[Value]) -> Value {
    let mut web = gateway("web", listeners);
    web["spec"]["addresses"] = json!([{"value": "127.0.0.2"}]);
    web
}

/// To one backend, or to another one by path.
fn by_path() -> Value {
    let mut route = route("shop", &["web"], "one");
    route["spec"]["rules"] = json!([
        {"backendRefs": [{"name": "one", "port": 80}]},
        {"matches": [{"path": {"type": "PathPrefix", "value": "/two"}}],
         "backendRefs": [{"name": "two", "port": 80}]},
        {"matches": [{"path": {"type": "PathPrefix", "value": "/gone"}}],
         "backendRefs": [{"name": "gone", "port": 80}]},
        {"matches": [{"path": {"type": "PathPrefix", "value": "/moved"}}],
         "filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": "example.net"}}]},
    ]);
    route
}

fn advertised(address: SocketAddr) -> String {
    format!("h3=\":{}\"; ma=86400", address.port())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_served_as_over_tcp() -> Result<()> {
    let (one, two) = (Echo::start("one").await?, Echo::start("two").await?);
    let port = tools::free_port()?;
    let certificates = [SHOP, BLOG, PLAIN].map(|host| Certificate::self_signed([host]));
    let [shop, blog, plain] = certificates;
    let (shop, blog, plain) = (shop?, blog?, plain?);
    let listeners = [
        https("shop", port, SHOP, true),
        https("blog", port, BLOG, true),
        https("plain", port, PLAIN, false),
    ];
    let mut objects = vec![class(), web(&listeners), by_path()];
    objects.extend([shop.secret("shop"), blog.secret("blog"), plain.secret("plain")]);
    objects.extend(service("one", &[one.address]));
    objects.extend(service("two", &[two.address]));
    let running = Running::start(&[("all.yaml", objects)], &[]).await?;
    let address = running.address("infra/web", "shop")?;
    let tls = |server_name, its: &Certificate| (server_name, its.chain.clone());
    let [shop, blog, plain] = [tls(SHOP, &shop), tls(BLOG, &blog), tls(PLAIN, &plain)];
    let as_tls = |it: &'static str, root| Tls { server_name: it, root };

    // Each name has its certificate, which is the only one that its client trusts.
    let mut to_blog = Http3::open(address, as_tls(BLOG, &blog.1)).await?;
    ensure!(to_blog.send(&Request::get(BLOG, "/"), b"").await?.echoed()?.backend == "one");
    ensure!(Http3::open(address, as_tls(BLOG, &shop.1)).await.is_err(), "another certificate");
    ensure!(Http3::open(address, as_tls(PLAIN, &plain.1)).await.is_err(), "a listener without HTTP/3");
    ensure!(Http3::open(address, as_tls("nobody.example.com", &shop.1)).await.is_err(), "an unknown name");

    let mut client = Http3::open(address, as_tls(SHOP, &shop.1)).await?;
    let answer = client.send(&Request::get(SHOP, "/x?y=1"), b"").await?;
    ensure!(answer.status == 200 && answer.headers["alt-svc"] == advertised(address), "{answer:?}");
    let echoed = answer.echoed()?;
    ensure!(echoed.backend == "one" && echoed.path == "/x?y=1" && echoed.host == SHOP, "{echoed:?}");
    ensure!(echoed.headers["x-forwarded-proto"] == "https", "{echoed:?}");
    ensure!(client.send(&Request::get(SHOP, "/two/x"), b"").await?.echoed()?.backend == "two");

    // Bodies there and back, wider than any window.
    let body = vec![b'b'; 3 << 20];
    let answer = client.send(&Request::get(SHOP, "/?bytes=3000000").method("POST"), &body).await?;
    ensure!(answer.echoed()?.body == body.len() && answer.body.len() >= 3_000_000);

    // What a client says under our names is not believed, and does not reach the backend.
    let mut request = Request::get(SHOP, "/two");
    for name in
        ["x-gw-cluster", "x-gw-listener", "x-gw-policy", "x-envoy-original-path", "x-envoy-max-retries"]
    {
        request = request.header(name, "default/one/80");
    }
    let echoed = client.send(&request, b"").await?.echoed()?;
    ensure!(echoed.backend == "two", "{echoed:?}");
    let ours = |name: &&String| name.starts_with("x-gw-") || name.starts_with("x-envoy-");
    ensure!(echoed.headers.keys().find(ours).is_none(), "{echoed:?}");

    // A connection is for the hosts of its listener.
    for host in [BLOG, PLAIN] {
        let answer = client.send(&Request::get(host, "/"), b"").await?;
        ensure!(answer.status == 421 && !answer.headers.contains_key("alt-svc"), "{answer:?}");
    }

    // Whoever answers: a backend, which has its own idea of other ways to it, or the gateway.
    let backends = Request::get(SHOP, "/").header("x-echo-set-header", "alt-svc:h3=\":1\"");
    let mut over_tcp = Connection::open(address, Some(as_tls(SHOP, &shop.1))).await?;
    for (request, status) in
        [(backends, 200), (Request::get(SHOP, "/gone"), 500), (Request::get(SHOP, "/moved"), 302)]
    {
        for answer in [over_tcp.send(&request).await?, client.send(&request, b"").await?] {
            ensure!(answer.status == status, "{request:?}: {answer:?}");
            ensure!(answer.headers.get("alt-svc") == Some(&advertised(address)), "{answer:?}");
        }
    }
    let mut http2 = Http2::open_tls(address, as_tls(SHOP, &shop.1)).await?;
    let fields: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", SHOP.as_bytes()), (b":path", b"/")];
    let answer = http2.request(&fields).await?.answer()?;
    ensure!(answer.headers.get("alt-svc") == Some(&advertised(address)), "{answer:?}");
    let answer = Request::get(PLAIN, "/").send_tls(address, PLAIN, &plain.1).await?;
    ensure!(answer.status == 200 && !answer.headers.contains_key("alt-svc"), "{answer:?}");
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_and_goes_without_a_word_to_tcp() -> Result<()> {
    let (one, udp) = (Echo::start("one").await?, Datagrams::start("udp").await?);
    let port = tools::free_port()?;
    let (shop, blog) = (Certificate::self_signed([SHOP])?, Certificate::self_signed([BLOG])?);
    let listeners = |http3: bool, and_blog: bool, and_udp: bool| {
        let mut all = vec![https("shop", port, SHOP, http3)];
        all.extend(and_blog.then(|| https("blog", port, BLOG, true)));
        all.extend(and_udp.then(|| json!({"name": "udp", "port": port, "protocol": "UDP"})));
        [class(), web(&all)]
    };
    let mut udp_service = service("udp", &[udp.address]);
    for object in &mut udp_service {
        let ports =
            if object["kind"] == "Service" { &mut object["spec"]["ports"] } else { &mut object["ports"] };
        ports[0]["protocol"] = json!("UDP");
    }
    let udp_route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "UDPRoute",
        "metadata": {"name": "udp", "namespace": "default"},
        "spec": {
            "parentRefs": [{"namespace": "infra", "name": "web", "sectionName": "udp"}],
            "rules": [{"backendRefs": [{"name": "udp", "port": 80}]}],
        },
    });
    let mut others =
        vec![route("shop", &["web"], "one"), udp_route, shop.secret("shop"), blog.secret("blog")];
    others.extend(service("one", &[one.address]));
    others.extend(udp_service);
    let manifests = [("web.yaml", listeners(false, false, false).to_vec()), ("others.yaml", others)];
    let running = Running::start(&manifests, &[]).await?;
    let address = running.address("infra/web", "shop")?;
    let tls = Tls { server_name: SHOP, root: &shop.chain };
    let request = Request::get(SHOP, "/");

    // One connection of TCP that sees all of it.
    let stop = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (stop, request, root) = (Arc::clone(&stop), request.clone(), shop.chain.clone());
        async move {
            let mut kept = Connection::open(address, Some(Tls { server_name: SHOP, root: &root })).await?;
            let mut advertised = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let answer = kept.send(&request).await?;
                ensure!(answer.status == 200, "{answer:?}");
                let now = answer.headers.contains_key("alt-svc");
                if advertised.last() != Some(&now) {
                    advertised.push(now);
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok(advertised)
        }
    });
    let over_tcp = async || {
        let answer = request.send_tls(address, SHOP, &shop.chain).await?;
        anyhow::Ok(answer.headers.contains_key("alt-svc"))
    };
    let over_quic = async || Ok(Http3::open(address, tls).await?.send(&request, b"").await?.status == 200);
    ensure!(!over_tcp().await? && over_quic().await.is_err(), "nobody has asked for it");

    running.write("web.yaml", &listeners(true, false, false))?;
    running.until("HTTP/3", over_quic).await?;
    running.until("alt-svc", over_tcp).await?;
    // Another listener with it is no concern of this one's connections.
    let mut kept = Http3::open(address, tls).await?;
    running.write("web.yaml", &listeners(true, true, false))?;
    let blog = Tls { server_name: BLOG, root: &blog.chain };
    let to_blog = async || {
        let mut client = Http3::open(address, blog).await?;
        Ok(client.send(&Request::get(BLOG, "/"), b"").await?.status == 200)
    };
    running.until("the other listener", to_blog).await?;
    ensure!(kept.send(&request, b"").await?.status == 200);
    running.write("web.yaml", &listeners(true, false, false))?;
    running.until("the other listener gone", async || Ok(to_blog().await.is_err())).await?;
    ensure!(kept.send(&request, b"").await?.status == 200);

    running.write("web.yaml", &listeners(false, false, false))?;
    running.until("no alt-svc", async || Ok(!over_tcp().await?)).await?;
    running.until("no HTTP/3", async || Ok(over_quic().await.is_err())).await?;
    running.write("web.yaml", &listeners(true, false, false))?;
    running.until("HTTP/3 again", over_quic).await?;
    running.until("alt-svc again", over_tcp).await?;

    // A UDP listener takes the port over, and gives it back.
    running.write("web.yaml", &listeners(true, false, true))?;
    let asked = async || {
        let client = Datagrams::client(address).await?;
        Ok(Datagrams::ask(&client).await.as_deref() == Some("udp"))
    };
    running.until("datagrams", asked).await?;
    running.until_printed("has protocol \"UDP\" on the same port").await?;
    running.until("alt-svc gone", async || Ok(!over_tcp().await?)).await?;
    for _ in 0..20 {
        ensure!(asked().await?, "some datagrams go elsewhere");
    }
    running.write("web.yaml", &listeners(true, false, false))?;
    running.until("HTTP/3 once more", over_quic).await?;
    for _ in 0..20 {
        ensure!(over_quic().await?);
    }
    running.until("alt-svc once more", over_tcp).await?;

    stop.store(true, Ordering::Relaxed);
    let advertised = load.await?.context("the connection of TCP")?;
    ensure!(advertised == [false, true, false, true, false, true], "{advertised:?}");
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_show_their_certificates() -> Result<()> {
    let (ours, theirs) = (Authority::new("clients")?, Authority::new("clients")?);
    let (known, unknown) = (ours.sign(&["known.example.com"])?, theirs.sign(&["unknown.example.com"])?);
    let shop = Certificate::self_signed([SHOP])?;
    let one = Echo::start("one").await?;
    let ports = [tools::free_port()?, tools::free_port()?];
    let mut listeners = ports.map(|port| https("shop", port, SHOP, true));
    listeners[1]["name"] = json!("fallback");
    let mut web = web(&listeners);
    let by = |mode| {
        json!({"validation": {
            "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ours"}],
            "mode": mode,
        }})
    };
    web["spec"]["tls"] = json!({"frontend": {
        "default": by("AllowValidOnly"),
        "perPort": [{"port": ports[1], "tls": by("AllowInsecureFallback")}],
    }});
    let mut objects = vec![class(), web, route("shop", &["web"], "one"), shop.secret("shop")];
    objects.push(ours.config_map("infra", "ours"));
    objects.extend(service("one", &[one.address]));
    let running = Running::start(&[("all.yaml", objects)], &[]).await?;
    let tls = Tls { server_name: SHOP, root: &shop.chain };
    for (listener, expected) in [("shop", [None, None, Some(200)]), ("fallback", [Some(200); 3])] {
        let address = running.address("infra/web", listener)?;
        for (certificate, expected) in [None, Some(&unknown), Some(&known)].into_iter().zip(expected) {
            let answer = async {
                let mut client = Http3::open_as(address, tls, certificate).await?;
                client.send(&Request::get(SHOP, "/"), b"").await
            };
            match (answer.await, expected) {
                (Ok(answer), Some(status)) => ensure!(answer.status == status, "{listener}: {answer:?}"),
                (Err(_), None) => {}
                (answer, _) => bail!("{listener}, {:?}: {answer:?}", certificate.is_some()),
            }
        }
    }
    running.stop().await
}
