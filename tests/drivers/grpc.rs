//! GRPCRoutes on a real Envoy, with a real gRPC client and backends that speak nothing but HTTP/2.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use gatewasm_tests::certificate::Certificate;
use gatewasm_tests::client::Request;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::grpc::{Backend, Client};
use gatewasm_tests::running::{Running, class, gateway, http, route, service};
use gatewasm_tests::tools;
use serde_json::{Value, json};
use tonic::Code;

const HOST: &str = "shop.example.com";

/// A GRPCRoute in the namespace `default`, attached to the Gateway `infra/web`.
fn grpc_route(name: &str, rules: &Value) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GRPCRoute",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"parentRefs": [{"namespace": "infra", "name": "web"}], "rules": rules},
    })
}

/// One backendRef.
fn to(service: &str) -> Value {
    json!([{"name": service, "port": 80}])
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_by_service_method_and_metadata() -> Result<()> {
    let (one, two, three) =
        (Backend::start("one").await?, Backend::start("two").await?, Backend::start("three").await?);
    let rules = json!([
        {"matches": [{"method": {"service": "com.example.Shop"}}], "backendRefs": to("one")},
        {
            "matches": [{"method": {"service": "com.example.Shop", "method": "Buy"}}],
            "filters": [
                {
                    "type": "RequestHeaderModifier",
                    "requestHeaderModifier": {"set": [{"name": "x-shop", "value": "set"}], "remove": ["x-away"]},
                },
                {
                    "type": "ResponseHeaderModifier",
                    "responseHeaderModifier": {"add": [{"name": "x-answer", "value": "added"}]},
                },
            ],
            "backendRefs": to("two"),
        },
        {
            "matches": [{
                "method": {"service": "com.example.Shop", "method": "Buy"},
                "headers": [{"name": "x-env", "value": "canary"}],
            }],
            "backendRefs": to("three"),
        },
        {
            "matches": [{
                "method": {"type": "RegularExpression", "service": "com\\.example\\.v[0-9]+", "method": "Get.*"},
            }],
            "backendRefs": to("three"),
        },
    ]);
    let mut objects = vec![class(), gateway("web", &[http("http", tools::free_port()?)])];
    objects.push(grpc_route("shop", &rules));
    for (name, backend) in [("one", &one), ("two", &two), ("three", &three)] {
        objects.extend(service(name, &[backend.address]));
    }
    let running = Running::start(&[("all.yaml", objects)], &[]).await?;
    let mut client = Client::connect(running.address("infra/web", "http")?, HOST).await?;

    for (path, metadata, expected) in [
        ("/com.example.Shop/Sell", &[][..], "one"),
        ("/com.example.Shop/Buy", &[], "two"),
        ("/com.example.Shop/Buy", &[("x-env", "canary")], "three"),
        ("/com.example.Shop/Buy", &[("x-env", "stable")], "two"),
        ("/com.example.v12/GetAll", &[], "three"),
        ("/com.example.v12/PutAll", &[], "Unimplemented"),
        ("/com.example.shop/Buy", &[], "Unimplemented"),
        ("/com.example.Shop2/Buy", &[], "Unimplemented"),
    ] {
        let answer = client.call(path, metadata).await?;
        assert_eq!(answer.backend(), expected, "{path} {metadata:?}: {answer:?}");
    }

    let answer = client.call("/com.example.Shop/Buy", &[("x-away", "1"), ("x-gw-cluster", "evil")]).await?;
    let call = answer.call.context("no backend answered")?;
    assert_eq!((call.path.as_str(), call.authority.as_str()), ("/com.example.Shop/Buy", HOST));
    assert_eq!(call.message, "hello");
    assert_eq!(call.metadata.get("x-shop").map(String::as_str), Some("set"));
    let internal = |name: &&String| name.starts_with("x-gw-") || *name == "x-away";
    assert_eq!(call.metadata.keys().filter(internal).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(answer.metadata.get("x-answer").map(String::as_str), Some("added"));
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_are_kept_and_what_cannot_be_served_is_unavailable() -> Result<()> {
    let (one, two) = (Backend::start("one").await?, Backend::start("two").await?);
    let method = |method: &str| json!([{"method": {"service": "s.S", "method": method}}]);
    let extension = json!({
        "type": "ExtensionRef",
        "extensionRef": {"group": "example.com", "kind": "Thing", "name": "x"},
    });
    let rules = json!([
        {"matches": method("Split"), "backendRefs": [
            {"name": "one", "port": 80, "weight": 6},
            {"name": "two", "port": 80, "weight": 2},
            {"name": "missing", "port": 80, "weight": 2},
            {"name": "idle", "port": 80, "weight": 0},
        ]},
        {"matches": method("Nothing")},
        {"matches": method("Zero"), "backendRefs": [{"name": "one", "port": 80, "weight": 0}]},
        {"matches": method("Missing"), "backendRefs": to("missing")},
        {"matches": method("Idle"), "backendRefs": to("idle")},
        {"matches": method("Extended"), "filters": [extension], "backendRefs": to("one")},
    ]);
    let mut objects = vec![class(), gateway("web", &[http("http", tools::free_port()?)])];
    objects.push(grpc_route("shop", &rules));
    objects.extend(service("one", &[one.address]));
    objects.extend(service("two", &[two.address]));
    objects.extend(service("idle", &[]));
    let running = Running::start(&[("all.yaml", objects)], &[]).await?;
    let mut client = Client::connect(running.address("infra/web", "http")?, HOST).await?;

    let mut shares = BTreeMap::<String, u32>::new();
    for _ in 0..500 {
        *shares.entry(client.call("/s.S/Split", &[]).await?.backend()).or_default() += 1;
    }
    // Five standard deviations of 500 draws at 60 % and 20 %.
    for (name, expected, margin) in [("one", 300, 55), ("two", 100, 45), ("Unavailable", 100, 45)] {
        let share = shares.get(name).copied().unwrap_or_default();
        assert!(share.abs_diff(expected) <= margin, "{name}: {shares:?}");
    }
    assert_eq!(shares.len(), 3, "{shares:?}");

    for method in ["Nothing", "Zero", "Missing", "Idle", "Extended"] {
        let answer = client.call(&format!("/s.S/{method}"), &[]).await?;
        assert_eq!(answer.code, Code::Unavailable, "{method}: {answer:?}");
        assert!(!answer.message.contains('\n'), "{method}: {answer:?}");
    }
    assert_eq!(client.call("/s.S/Other", &[]).await?.code, Code::Unimplemented);
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_is_shared_with_http_routes() -> Result<()> {
    let (calls, pages) = (Backend::start("calls").await?, Echo::start("pages").await?);
    let rules =
        json!([{"matches": [{"method": {"service": "com.example.Shop"}}], "backendRefs": to("calls")}]);
    let mut objects = vec![class(), gateway("web", &[http("http", tools::free_port()?)])];
    objects.push(grpc_route("shop", &rules));
    objects.push(route("shop", &["web"], "pages"));
    objects.push(json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "empty", "namespace": "default"},
        "spec": {
            "parentRefs": [{"namespace": "infra", "name": "web"}],
            "hostnames": ["empty.example.com"],
            "rules": [{}],
        },
    }));
    objects.extend(service("calls", &[calls.address]));
    objects.extend(service("pages", &[pages.address]));
    let running = Running::start(&[("all.yaml", objects)], &[]).await?;
    let address = running.address("infra/web", "http")?;

    // The same path, as a call and as anything else.
    let mut client = Client::connect(address, HOST).await?;
    assert_eq!(client.call("/com.example.Shop/Buy", &[]).await?.backend(), "calls");
    let page = Request::get(HOST, "/com.example.Shop/Buy").method("POST").send(address).await?;
    assert_eq!(page.echoed()?.backend, "pages");

    // A call that no GRPCRoute takes is a request like any other to HTTPRoutes.
    let before = pages.requests();
    let answer = client.call("/com.example.Other/Buy", &[]).await?;
    assert_ne!(answer.code, Code::Unimplemented, "{answer:?}");
    assert_eq!(pages.requests(), before + 1);

    // What the gateway says instead of a backend is a message, not a line of text.
    let mut client = Client::connect(address, "empty.example.com").await?;
    let answer = client.call("/com.example.Shop/Buy", &[]).await?;
    assert_eq!((answer.code, answer.message.as_str()), (Code::Unknown, "the route has no backend"));
    running.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_come_over_tls() -> Result<()> {
    let (certificate, one) = (Certificate::self_signed([HOST])?, Backend::start("one").await?);
    let listener = json!({
        "name": "https", "port": tools::free_port()?, "protocol": "HTTPS", "hostname": HOST,
        "tls": {"certificateRefs": [{"name": "shop"}]},
    });
    let mut objects = vec![class(), gateway("web", &[listener]), certificate.secret("shop")];
    objects.push(grpc_route(
        "shop",
        &json!([{"matches": [{"method": {"method": "Buy"}}], "backendRefs": to("one")}]),
    ));
    objects.extend(service("one", &[one.address]));
    let running = Running::start(&[("all.yaml", objects)], &[]).await?;
    let address = running.address("infra/web", "https")?;
    let mut client = Client::connect_tls(address, HOST, &certificate.chain).await?;
    assert_eq!(client.call("/com.example.Shop/Buy", &[]).await?.backend(), "one");
    assert_eq!(client.call("/com.example.Shop/Sell", &[]).await?.code, Code::Unimplemented);
    running.stop().await
}
