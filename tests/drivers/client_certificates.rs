//! Certificates of clients, on a real Envoy: who is let in and who is not; and connections that a client uses for another
//! host than it opened them for.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use gatewasm_tests::certificate::{Authority, Certificate};
use gatewasm_tests::client::Request;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::exact::Tls;
use gatewasm_tests::http2::Http2;
use gatewasm_tests::running::{Running, class, gateway, http, route, service};
use gatewasm_tests::tools;
use gatewasm_tests::until::until;
use serde_json::{Value, json};
use tokio::net::TcpStream;

const HOST: &str = "shop.example.com";
const LIMIT: Duration = Duration::from_secs(30);

fn https(name: &str, port: u16) -> Value {
    json!({
        "name": name, "port": port, "protocol": "HTTPS",
        "tls": {"certificateRefs": [{"name": "shop"}]},
    })
}

/// Who may have signed a client's certificate, in ConfigMaps of the namespace `infra`.
fn by(config_map: &str, mode: &str) -> Value {
    json!({"validation": {
        "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": config_map}],
        "mode": mode,
    }})
}

/// The status that a client gets, or `None` where it is not let in.
async fn status(address: SocketAddr, root: &str, client: Option<&Certificate>) -> Option<u16> {
    let answer = Request::get(HOST, "/").send_tls_as(address, HOST, root, client).await;
    answer.ok().map(|answer| answer.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_let_in_by_their_certificates() -> Result<()> {
    let (first, second) = (Authority::new("clients")?, Authority::new("clients")?);
    let (one, two) = (first.sign(&["one.example.com"])?, second.sign(&["two.example.com"])?);
    let certificate = Certificate::self_signed([HOST])?;
    let root = certificate.chain.as_str();
    let echo = Echo::start("shop").await?;

    let ports = [(); 5].map(|()| tools::free_port()).into_iter().collect::<Result<Vec<_>>>()?;
    let &[default, per_port, fallback, nowhere, clear] = ports.as_slice() else {
        anyhow::bail!("five ports")
    };
    let mut web = gateway(
        "web",
        &[
            https("default", default),
            https("per-port", per_port),
            https("fallback", fallback),
            https("nowhere", nowhere),
            http("http", clear),
        ],
    );
    web["spec"]["tls"] = json!({"frontend": {
        "default": by("first", "AllowValidOnly"),
        "perPort": [
            {"port": per_port, "tls": by("second", "AllowValidOnly")},
            {"port": fallback, "tls": by("first", "AllowInsecureFallback")},
            {"port": nowhere, "tls": by("nowhere", "AllowInsecureFallback")},
        ],
    }});
    let mut objects = vec![class(), web, route("shop", &["web"], "shop"), certificate.secret("shop")];
    objects.push(first.config_map("infra", "first"));
    objects.push(second.config_map("infra", "second"));
    objects.extend(service("shop", &[echo.address]));
    let running = Running::start(&[("all.yaml", objects.clone())], &[]).await?;
    let address = |listener: &str| running.address("infra/web", listener);

    let (both, first_only, second_only) = (Some(200), [Some(200), None, None], [None, Some(200), None]);
    for (listener, expected) in [("default", first_only), ("per-port", second_only), ("fallback", [both; 3])]
    {
        let at = address(listener)?;
        let requests = echo.requests();
        for (client, expected) in [Some(&one), Some(&two), None].into_iter().zip(expected) {
            assert_eq!(status(at, root, client).await, expected, "{listener}");
        }
        let let_in = expected.iter().flatten().count();
        assert_eq!(echo.requests() - requests, u64::try_from(let_in)?, "{listener}");
    }
    // Nobody could be verified, so that nobody is listened to; HTTP has nothing to do with it.
    assert!(address("nowhere").is_err());
    assert!(TcpStream::connect(("127.0.0.1", nowhere)).await.is_err());
    assert_eq!(Request::get(HOST, "/").send(address("http")?).await?.status, 200);

    // Another authority under the same name.
    for object in &mut objects {
        if *object == first.config_map("infra", "first") {
            *object = second.config_map("infra", "first");
        }
    }
    running.write("all.yaml", &objects)?;
    let at = address("default")?;
    until("the new authority", LIMIT, async || Ok(status(at, root, Some(&two)).await == Some(200))).await?;
    assert_eq!(status(at, root, Some(&one)).await, None);
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_another_listener_is_misdirected() -> Result<()> {
    let certificate = Certificate::self_signed(["*.example.com", "example.org"])?;
    let echo = Echo::start("shop").await?;
    let port = tools::free_port()?;
    let listener = |name: &str, hostname: &str| {
        let mut listener = https(name, port);
        listener["hostname"] = json!(hostname);
        listener
    };
    let listeners = [
        listener("exact", "a.example.com"),
        listener("wildcard", "*.example.com"),
        listener("other", "example.org"),
    ];
    let mut objects = vec![class(), gateway("web", &listeners), certificate.secret("shop")];
    objects.push(route("shop", &["web"], "shop"));
    objects.extend(service("shop", &[echo.address]));
    let running = Running::start(&[("all.yaml", objects)], &[]).await?;
    let address = running.address("infra/web", "exact")?;

    for (server_name, answers) in [
        (
            "a.example.com",
            [("a.example.com", 200), ("b.example.com", 421), ("example.org", 421), ("x.org", 404)],
        ),
        (
            "b.example.com",
            [("a.example.com", 421), ("b.example.com", 200), ("example.org", 421), ("x.org", 404)],
        ),
        (
            "example.org",
            [("a.example.com", 421), ("b.example.com", 421), ("example.org", 200), ("x.org", 404)],
        ),
    ] {
        // A browser that finds the host in the certificate uses the connection that it has (RFC 9113 §9.1.1).
        let tls = Tls { server_name, root: &certificate.chain };
        let mut connection = Http2::open_tls(address, tls).await?;
        for (host, expected) in answers {
            let fields: [(&[u8], &[u8]); 4] = [
                (b":method", b"GET"),
                (b":scheme", b"https"),
                (b":authority", host.as_bytes()),
                (b":path", b"/"),
            ];
            let answer = connection.request(&fields).await?.answer().context(host)?;
            assert_eq!(answer.status, expected, "{host} on a connection for {server_name}");
        }
    }
    running.stop().await
}
