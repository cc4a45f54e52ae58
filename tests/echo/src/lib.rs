//! A backend that answers every request with what it received, as JSON.
//!
//! Query parameters of the request change the answer: `delay=MS` waits before it, `status=CODE` sets its status,
//! `bytes=N` pads the body. A request header `x-echo-set-header: name:value, name:value` adds headers to the answer, as
//! it does with the backend of the Gateway API's conformance suite.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What a backend received, as it answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echoed {
    /// Name of the backend.
    pub backend: String,
    /// Request method.
    pub method: String,
    /// Path with query, as received.
    pub path: String,
    /// `Host` or `:authority`.
    pub host: String,
    /// Headers, repeated ones joined by a comma; bytes that are no UTF-8 replaced.
    pub headers: BTreeMap<String, String>,
    /// Length of the request body in bytes.
    pub body: usize,
    /// Headers behind the body, as those before it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trailers: BTreeMap<String, String>,
}

/// A running backend. It stops when dropped.
#[derive(Debug)]
pub struct Echo {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Echo {
    /// Starts the backend `name` on a free port of 127.0.0.1.
    pub async fn start(name: &str) -> Result<Self> {
        Self::bind(name, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts the backend `name` on `address`.
    pub async fn bind(name: &str, address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(listener, name.into(), Arc::clone(&requests)));
        Ok(Self { address, requests, task })
    }

    /// How many requests have arrived.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, name: Arc<str>, requests: Arc<AtomicU64>) {
    // The connections end with the accept loop: their tasks live in this set.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (name, requests) = (Arc::clone(&name), Arc::clone(&requests));
        connections.spawn(async move {
            let service = service_fn(move |request| {
                requests.fetch_add(1, Ordering::Relaxed);
                answer(Arc::clone(&name), request)
            });
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(name: Arc<str>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let (trailers, body) = match body.collect().await {
        Ok(body) => (body.trailers().map(by_name).unwrap_or_default(), body.to_bytes().len()),
        Err(_) => Default::default(),
    };
    let headers = by_name(&parts.headers);
    let wanted = headers.get("x-echo-set-header").cloned().unwrap_or_default();
    let authority = parts.uri.authority().map(ToString::to_string);
    let echoed = Echoed {
        backend: name.to_string(),
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        host: authority.or_else(|| headers.get("host").cloned()).unwrap_or_default(),
        headers,
        body,
        trailers,
    };
    let asked = |name| parameter(parts.uri.query().unwrap_or_default(), name);
    if let Some(delay) = asked("delay") {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let mut text = serde_json::to_string(&echoed).unwrap_or_default();
    text.push('\n');
    if let Some(bytes) = asked("bytes") {
        text.extend(std::iter::repeat_n(' ', usize::try_from(bytes).unwrap_or(0)));
    }
    let status = asked("status").and_then(|status| u16::try_from(status).ok()).unwrap_or(200);
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    for wanted in wanted.split(',') {
        let Some((name, value)) = wanted.split_once(':') else { continue };
        if let (Ok(name), Ok(value)) =
            (name.trim().parse::<HeaderName>(), value.trim().parse::<HeaderValue>())
        {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// Headers by name, repeated ones joined by a comma.
fn by_name(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut all = BTreeMap::<String, String>::new();
    for (header, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        all.entry(header.to_string())
            .and_modify(|all| *all = format!("{all},{value}"))
            .or_insert_with(|| value.into_owned());
    }
    all
}

fn parameter(query: &str, name: &str) -> Option<u64> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}
