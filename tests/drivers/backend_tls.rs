//! TLS towards backends, on a real Envoy: backends that tell what they were shown, and that must never hear a word in
//! clear text.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use gatewasm_tests::certificate::Authority;
use gatewasm_tests::client::Request;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::running::{Running, class, gateway, http, service};
use gatewasm_tests::tls_backend::TlsBackend;
use gatewasm_tests::tools;
use serde_json::{Value, json};

/// The name of the backends' certificates.
const NAME: &str = "abc.example.com";

/// A BackendTLSPolicy in the namespace `default` for a Service, with the authorities in the ConfigMap `ca`.
fn policy(service: &str, hostname: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "BackendTLSPolicy",
        "metadata": {"name": service, "namespace": "default"},
        "spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": service}],
            "validation": {
                "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}],
                "hostname": hostname,
            },
        },
    })
}

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
