//! Changes of answers on real Envoy, where they have to outlive something: the backend, the configuration, the client.

use std::time::Duration;

use anyhow::{Context, Result};
use gatewasm_tests::client::Request;
use gatewasm_tests::standalone::{Files, Standalone, routes_with};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const CLUSTER: &str = "foo-ns/foo-v1/8080";

fn foo(path: &str) -> Request {
    Request::get("foo.example.com", path)
}

/// The filter config of the repository with every request for foo going to `cluster`, and answers that say `mark`.
fn marked(files: &Files, cluster: &str, mark: &str) -> Result<String> {
    let mut config: Value = serde_json::from_str(files.config()?)?;
    let modifier = json!({"set": [{"name": "x-mark", "value": mark}]});
    config["listeners"][0]["routes"][0]["rules"][1] = json!({
        "matches": [{"path": {"value": "/foo"}}],
        "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": modifier}],
        "backends": [{"cluster": cluster}],
    });
    Ok(config.to_string())
}

async fn start(cluster: &str) -> Result<(Standalone, Files)> {
    let mut files = Files::read()?;
    let config = marked(&files, cluster, "one")?;
    files.routes = serde_json::from_slice(&routes_with(&files.routes, &config))?;
    Ok((Standalone::start(files.clone(), 1).await?, files))
}

#[tokio::test]
async fn envoys_own_answers_are_changed_too() -> Result<()> {
    let (mut envoy, _) = start(CLUSTER).await?;
    let answer = envoy.send(&foo("/foo")).await?;
    assert_eq!((answer.status, answer.headers["x-mark"].as_str()), (200, "one"));
    envoy.backends.clear();
    let answer = envoy.send(&foo("/foo")).await?;
    assert_eq!((answer.status, answer.headers["x-mark"].as_str()), (503, "one"));

    let (envoy, _) = start("foo-ns/nobody/8080").await?;
    let answer = envoy.send(&foo("/foo")).await?;
    assert_eq!((answer.status, answer.headers["x-mark"].as_str()), (500, "one"));
    // What no such rule takes is left alone.
    let answer = envoy.send(&Request::get("bar.example.com", "/bar")).await?;
    assert!(answer.status == 200 && !answer.headers.contains_key("x-mark"), "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn envoys_own_answers_speak_to_other_origins_too() -> Result<()> {
    let mut files = Files::read()?;
    let mut config: Value = serde_json::from_str(files.config()?)?;
    config["listeners"][0]["routes"][0]["rules"][1] = json!({
        "matches": [{"path": {"value": "/foo"}}],
        "filters": [{"type": "CORS", "cors": {"allowOrigins": ["https://a.test"]}}],
        "backends": [{"cluster": CLUSTER}],
    });
    files.routes = serde_json::from_slice(&routes_with(&files.routes, &config.to_string()))?;
    let mut envoy = Standalone::start(files, 1).await?;
    let allowed = "access-control-allow-origin";
    for status in [200, 503] {
        let answer = envoy.send(&foo("/foo").header("origin", "https://a.test")).await?;
        assert_eq!((answer.status, answer.headers[allowed].as_str()), (status, "https://a.test"));
        let answer = envoy.send(&foo("/foo").header("origin", "https://b.test")).await?;
        assert!(answer.status == status && !answer.headers.contains_key(allowed), "{answer:?}");
        envoy.backends.clear();
    }
    let preflight = foo("/foo").method("OPTIONS").header("origin", "https://a.test");
    let answer = envoy.send(&preflight.header("access-control-request-method", "PUT")).await?;
    assert_eq!((answer.status, answer.headers[allowed].as_str()), (204, "https://a.test"));
    Ok(())
}

#[tokio::test]
async fn an_answer_is_changed_as_its_request_was_decided() -> Result<()> {
    let (mut envoy, files) = start(CLUSTER).await?;
    let before = envoy.probe().await?.first().context("probe")?.config.clone();
    let (address, slow) = (envoy.http, foo("/foo?delay=3000"));
    let slow = tokio::spawn(async move { slow.send(address).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    envoy.publish(&marked(&files, CLUSTER, "two")?).await?;
    envoy.wait_for_another_config(&before).await?;
    assert_eq!(envoy.send(&foo("/foo")).await?.headers["x-mark"], "two");
    assert!(!slow.is_finished(), "the slow request was too fast");
    assert_eq!(slow.await??.headers["x-mark"], "one");
    Ok(())
}

/// More clients go away than the filter lets wait before it looks for those that did.
#[tokio::test]
async fn clients_that_leave_take_nothing_along() -> Result<()> {
    let (envoy, _) = start(CLUSTER).await?;
    let before = envoy.probe().await?;
    let (address, slow) = (envoy.http, foo("/foo?delay=4000"));
    let slow = tokio::spawn(async move { slow.send(address).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..300 {
        let mut client = TcpStream::connect(envoy.http).await?;
        client.write_all(b"GET /foo?delay=1000 HTTP/1.1\r\nHost: foo.example.com\r\n\r\n").await?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(!slow.is_finished(), "the slow request was too fast");
    assert_eq!(slow.await??.headers["x-mark"], "one");
    assert_eq!(envoy.send(&foo("/foo")).await?.headers["x-mark"], "one");
    assert_eq!(envoy.probe().await?, before);
    Ok(())
}
