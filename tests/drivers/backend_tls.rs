//! TLS towards backends, on a real Envoy: backends that tell what they were shown, and that must never hear a word in
//! clear text.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewasm_tests::certificate::{Authority, Certificate};
use gatewasm_tests::client::Request;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::grpc;
use gatewasm_tests::load::Load;
use gatewasm_tests::running::{Running, class, gateway, http, service};
use gatewasm_tests::tls_backend::{TlsBackend, policy};
use gatewasm_tests::tools;
use gatewasm_tests::until::until;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// The name of the backends' certificates.
const NAME: &str = "abc.example.com";

/// Longest wait for anything that has to happen.
const LIMIT: Duration = Duration::from_secs(30);

/// The same with names that the backend's certificate must have one of.
fn with_names(mut policy: Value, names: &Value) -> Value {
    policy["spec"]["validation"]["subjectAltNames"] = names.clone();
    policy
}

/// A Service with a port of this protocol.
fn speaking(protocol: &str, mut objects: Vec<Value>) -> Vec<Value> {
    objects[0]["spec"]["ports"][0]["appProtocol"] = json!(protocol);
    objects
}

/// An HTTPRoute in the namespace `default` that sends `/<service>` to each of these Services.
fn routes(gateways: &[&str], services: &[&str]) -> Value {
    let parents: Vec<Value> =
        gateways.iter().map(|name| json!({"namespace": "infra", "name": name})).collect();
    let rule = |name: &&str| {
        json!({
            "matches": [{"path": {"value": format!("/{name}")}}],
            "backendRefs": [{"name": name, "port": 80}],
        })
    };
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "routes", "namespace": "default"},
        "spec": {"parentRefs": parents, "rules": services.iter().map(rule).collect::<Vec<_>>()},
    })
}

async fn status(address: SocketAddr, service: &str) -> Result<u16> {
    Ok(Request::get("shop.example.com", &format!("/{service}")).send(address).await?.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_is_verified_and_told_its_name() -> Result<()> {
    let (authority, other) = (Authority::new("ca")?, Authority::new("ca")?);
    let certificate = authority.sign(&[NAME, "other.example.com", "spiffe://example.com/shop"])?;
    let echo = Echo::start("shop").await?;
    let tls = TlsBackend::start(echo.address, &certificate, None).await?;
    let strange = TlsBackend::start(echo.address, &other.sign(&[NAME])?, None).await?;

    let dns = |name: &str| json!({"type": "Hostname", "hostname": name});
    let uri = |name: &str| json!({"type": "URI", "uri": name});
    let mut missing = policy("missing", NAME);
    missing["spec"]["validation"]["caCertificateRefs"][0]["name"] = json!("missing");
    let policies = [
        policy("good", NAME),
        policy("other", "other.example.com"),
        policy("host", "mismatch.example.com"),
        policy("strange", NAME),
        missing,
        with_names(policy("dns", "sni.example.com"), &json!([dns("no.example.com"), dns(NAME)])),
        with_names(policy("not-dns", NAME), &json!([dns("no.example.com")])),
        with_names(policy("uri", NAME), &json!([uri("spiffe://example.com/shop")])),
        with_names(
            policy("not-uri", NAME),
            &json!([uri("spiffe://example.com/other"), dns("no.example.com")]),
        ),
    ];
    let names = ["good", "other", "host", "strange", "missing", "dns", "not-dns", "uri", "not-uri", "clear"];
    let mut objects = vec![class(), gateway("web", &[http("http", tools::free_port()?)])];
    objects.push(authority.config_map("default", "ca"));
    objects.push(routes(&["web"], &names));
    objects.extend(policies);
    for name in names {
        let backend = if name == "strange" { &strange } else { &tls };
        objects.extend(service(name, &[backend.address]));
    }
    let running = Running::start(&[("all.yaml", objects)], &[]).await?;
    let address = running.address("infra/web", "http")?;

    for (name, expected, server_name) in [
        ("good", 200, Some(NAME)),
        ("other", 200, Some("other.example.com")),
        ("host", 503, None),
        ("strange", 503, None),
        ("missing", 500, None),
        ("dns", 200, Some("sni.example.com")),
        ("not-dns", 503, None),
        ("uri", 200, Some(NAME)),
        ("not-uri", 503, None),
        // Nothing says that this one speaks TLS, and what it answers to clear text is an alert, which is not HTTP.
        ("clear", 502, None),
    ] {
        let (before, requests) = (tls.handshakes().len(), echo.requests());
        assert_eq!(status(address, name).await?, expected, "{name}");
        assert_eq!(echo.requests() - requests, u64::from(expected == 200), "{name}");
        if let Some(server_name) = server_name {
            let handshake = tls.handshakes().get(before).cloned().context(name)?;
            assert_eq!(handshake.server_name.as_deref(), Some(server_name), "{name}");
            assert_eq!(handshake.protocol.as_deref(), Some("http/1.1"), "{name}");
            assert_eq!(handshake.client, None, "{name}");
        }
    }
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_spoken_is_spoken_in_tls() -> Result<()> {
    let authority = Authority::new("ca")?;
    let certificate = authority.sign(&[NAME])?;
    let (echo, calls) = (Echo::start("shop").await?, grpc::Backend::start("calls").await?);
    let tls = TlsBackend::start(echo.address, &certificate, None).await?;
    let copies = TlsBackend::start(echo.address, &certificate, None).await?;
    let grpc_tls = TlsBackend::start(calls.address, &certificate, None).await?;

    let mut routes = routes(&["web"], &["h2c", "wss", "https", "mirrored"]);
    routes["spec"]["rules"][3]["filters"] = json!([
        {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "copies", "port": 80}}},
    ]);
    let mut objects = vec![class(), gateway("web", &[http("http", tools::free_port()?)]), routes];
    objects.push(json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GRPCRoute",
        "metadata": {"name": "calls", "namespace": "default"},
        "spec": {
            "parentRefs": [{"namespace": "infra", "name": "web"}],
            "rules": [{"matches": [{"method": {"method": "Buy"}}], "backendRefs": [{"name": "calls", "port": 80}]}],
        },
    }));
    objects.push(authority.config_map("default", "ca"));
    for name in ["h2c", "wss", "https", "mirrored", "copies", "calls"] {
        objects.push(policy(name, NAME));
    }
    objects.extend(speaking("kubernetes.io/h2c", service("h2c", &[tls.address])));
    objects.extend(speaking("kubernetes.io/wss", service("wss", &[tls.address])));
    objects.extend(speaking("HTTPS", service("https", &[tls.address])));
    objects.extend(service("mirrored", &[tls.address]));
    objects.extend(service("copies", &[copies.address]));
    objects.extend(service("calls", &[grpc_tls.address]));
    let running = Running::start(&[("all.yaml", objects)], &[]).await?;
    let address = running.address("infra/web", "http")?;
    let protocol = |backend: &TlsBackend| backend.handshakes().last().and_then(|it| it.protocol.clone());

    for (name, version, alpn) in [("h2c", "HTTP/2.0", "h2"), ("https", "HTTP/1.1", "http/1.1")] {
        let answer = Request::get("shop.example.com", &format!("/{name}")).send(address).await?;
        assert_eq!(answer.echoed()?.protocol, version, "{name}");
        assert_eq!(protocol(&tls).as_deref(), Some(alpn), "{name}");
    }

    assert_eq!(status(address, "mirrored").await?, 200);
    until("a copy", LIMIT, async || Ok(!copies.handshakes().is_empty())).await?;

    let mut client = grpc::Client::connect(address, "shop.example.com").await?;
    assert_eq!(client.call("/com.example.Shop/Buy", &[]).await?.backend(), "calls");
    assert_eq!(protocol(&grpc_tls).as_deref(), Some("h2"));

    let mut stream = TcpStream::connect(address).await?;
    let upgrade =
        "GET /wss HTTP/1.1\r\nhost: shop.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(upgrade.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    stream.write_u8(7).await?;
    assert_eq!(stream.read_u8().await?, 7);
    running.stop().await
}

/// The Gateway shows a certificate to backends.
fn showing(mut gateway: Value, secret: &str) -> Value {
    gateway["spec"]["tls"] = json!({"backend": {"clientCertificateRef": {"name": secret}}});
    gateway
}

/// The status of each of so many requests at the same time.
async fn at_once(request: &Request, address: SocketAddr, count: usize) -> Result<Vec<u16>> {
    let mut requests = JoinSet::new();
    for _ in 0..count {
        let request = request.clone();
        requests.spawn(async move { Ok::<_, anyhow::Error>(request.send(address).await?.status) });
    }
    requests.join_all().await.into_iter().collect()
}

fn der(certificate: &Certificate) -> Result<CertificateDer<'static>> {
    Ok(CertificateDer::from_pem_slice(certificate.chain.as_bytes())?)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gateway_shows_its_own_certificate() -> Result<()> {
    let (authority, clients) = (Authority::new("ca")?, Authority::new("clients")?);
    let (one, two) = (clients.sign(&["one.example.com"])?, clients.sign(&["two.example.com"])?);
    let echo = Echo::start("shop").await?;
    let tls = TlsBackend::start(echo.address, &authority.sign(&[NAME])?, Some(&clients)).await?;

    let listeners = || Ok::<_, anyhow::Error>([http("http", tools::free_port()?)]);
    let mut objects = vec![class(), routes(&["one", "two", "none", "wrong"], &["shop"])];
    objects.extend([
        showing(gateway("one", &listeners()?), "one"),
        showing(gateway("two", &listeners()?), "two"),
        gateway("none", &listeners()?),
        showing(gateway("wrong", &listeners()?), "missing"),
        one.secret("one"),
        two.secret("two"),
        policy("shop", NAME),
        authority.config_map("default", "ca"),
    ]);
    objects.extend(service("shop", &[tls.address]));
    let running = Running::start(&[("all.yaml", objects.clone())], &[]).await?;

    for (name, certificate) in [("one", &one), ("two", &two), ("one", &one)] {
        let address = running.address(&format!("infra/{name}"), "http")?;
        assert_eq!(status(address, "shop").await?, 200, "{name}");
        let shown = tls.handshakes().iter().filter(|it| it.client == der(certificate).ok()).count();
        assert!(shown > 0, "{name}: {:?}", tls.handshakes());
    }
    // The backend refuses who shows none.
    let requests = echo.requests();
    for name in ["none", "wrong"] {
        let address = running.address(&format!("infra/{name}"), "http")?;
        assert_eq!(status(address, "shop").await?, 503, "{name}");
    }
    assert_eq!(echo.requests(), requests);

    // A new certificate under the same name is shown from then on.
    let new = clients.sign(&["new.example.com"])?;
    for object in &mut objects {
        if *object == one.secret("one") {
            *object = new.secret("one");
        }
    }
    running.write("all.yaml", &objects)?;
    let address = running.address("infra/one", "http")?;
    until("the new certificate", LIMIT, async || {
        // More requests at a time than there are connections already.
        let slow = Request::get("shop.example.com", "/shop?delay=50");
        let answers = at_once(&slow, address, tls.handshakes().len() + 1).await?;
        ensure!(answers.iter().all(|status| *status == 200), "{answers:?}");
        Ok(tls.handshakes().iter().any(|it| it.client == der(&new).ok()))
    })
    .await?;
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_fail_no_request() -> Result<()> {
    let (authority, next) = (Authority::new("ca")?, Authority::new("next")?);
    let echo = Echo::start("shop").await?;
    let names = [NAME, "other.example.com"];
    let old = TlsBackend::start(echo.address, &authority.sign(&names)?, None).await?;
    let new = TlsBackend::start(echo.address, &next.sign(&names)?, None).await?;
    let plain = Echo::start("plain").await?;

    let both = {
        let mut map = authority.config_map("default", "ca");
        map["data"]["ca.crt"] = json!(format!("{}{}", authority.root, next.root));
        map
    };
    let gateway = gateway("web", &[http("http", tools::free_port()?)]);
    let objects = |ca: &Value, policy: Option<Value>, endpoint: SocketAddr| {
        let mut objects = vec![class(), gateway.clone(), routes(&["web"], &["shop"]), ca.clone()];
        objects.extend(policy);
        objects.extend(service("shop", &[endpoint]));
        objects
    };
    let ca = authority.config_map("default", "ca");
    let first = objects(&ca, Some(policy("shop", NAME)), old.address);
    let running = Running::start(&[("all.yaml", first)], &[]).await?;
    let address = running.address("infra/web", "http")?;
    let request = Request::get("shop.example.com", "/shop");
    let load = Load::start(address, &request, 4, Duration::from_millis(2));

    // An authority is rotated: both are trusted, the backends follow, the old one goes.
    let other = policy("shop", "other.example.com");
    let steps = [
        objects(&both, Some(policy("shop", NAME)), old.address),
        objects(&both, Some(policy("shop", NAME)), new.address),
        objects(&next.config_map("default", "ca"), Some(policy("shop", NAME)), new.address),
        // Another name for the same backends.
        objects(&next.config_map("default", "ca"), Some(other), new.address),
    ];
    for step in steps {
        running.write("all.yaml", &step)?;
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
    let seen = load.stop().await?;
    assert_eq!((seen.failures(), seen.refused), (0, 0), "{seen:?}");
    let server_names: Vec<_> = new.handshakes().into_iter().filter_map(|it| it.server_name).collect();
    assert!(server_names.contains(&NAME.to_owned()), "{server_names:?}");
    assert!(server_names.contains(&"other.example.com".to_owned()), "{server_names:?}");

    // Without the policy it is clear text, and with it TLS again: it never was anything but what was asked for.
    running.write("all.yaml", &objects(&ca, None, plain.address))?;
    until("clear text", LIMIT, async || {
        Ok(request.send(address).await?.status == 200 && plain.requests() > 0)
    })
    .await?;
    running.write("all.yaml", &objects(&ca, Some(policy("shop", NAME)), old.address))?;
    let before = old.handshakes().len();
    until("TLS", LIMIT, async || {
        request.send(address).await?;
        Ok(old.handshakes().len() > before)
    })
    .await?;
    running.stop().await
}
