//! One request: what is answered.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::memory::Memory;

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
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: String,
    /// Headers, repeated ones joined by a comma; bytes that are no UTF-8 replaced.
    pub headers: BTreeMap<String, String>,
    /// Length of the request body in bytes.
    pub body: usize,
    /// Headers behind the body, as those before it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub trailers: BTreeMap<String, String>,
}

/// A key for requests whose path is not to be touched.
pub const KEY_HEADER: &str = "x-echo-key";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The answer. An error ends the connection.
pub(crate) async fn answer(
    name: Arc<str>,
    memory: Arc<Memory>,
    mut request: Request<Incoming>,
) -> io::Result<Response<Body>> {
    memory.count();
    if request.headers().get(UPGRADE).is_some_and(|protocol| protocol == "websocket") {
        return Ok(upgrade(&mut request));
    }
    let (parts, body) = request.into_parts();
    let (trailers, body) = match body.collect().await {
        Ok(body) => (body.trailers().map(by_name).unwrap_or_default(), body.to_bytes().len()),
        Err(_) => Default::default(),
    };
    let echoed = echoed(&name, &parts, body, trailers);
    let mut text = serde_json::to_string(&echoed)?;
    text.push('\n');
    let query = parts.uri.query().unwrap_or_default();
    let number = |name| parameter(query, name).and_then(|value| value.parse::<u64>().ok());
    let code = |name| number(name).and_then(|code| u16::try_from(code).ok());
    let mut status = code("status").unwrap_or(200);
    let wanted = echoed.headers.get("x-echo-set-header").cloned().unwrap_or_default();
    let by_header = echoed.headers.get(KEY_HEADER).cloned();
    if let Some(key) = parameter(query, "key").map(str::to_owned).or(by_header) {
        let before = u64::try_from(memory.remember(&key, echoed)).unwrap_or(u64::MAX);
        if before < number("reset").unwrap_or(0) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if before < number("fail").unwrap_or(0) {
            status = code("code").unwrap_or(503);
        }
    }
    if let Some(delay) = number("delay") {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if let Some(bytes) = number("bytes") {
        text.extend(std::iter::repeat_n(' ', usize::try_from(bytes).unwrap_or(0)));
    }
    let body = match number("silent") {
        Some(silent) => in_two(text, Duration::from_millis(silent)),
        None => Full::new(Bytes::from(text)).boxed_unsync(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
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

fn echoed(backend: &str, parts: &Parts, body: usize, trailers: BTreeMap<String, String>) -> Echoed {
    let headers = by_name(&parts.headers);
    let authority = parts.uri.authority().map(ToString::to_string);
    Echoed {
        backend: backend.to_owned(),
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        host: authority.or_else(|| headers.get("host").cloned()).unwrap_or_default(),
        protocol: format!("{:?}", parts.version),
        headers,
        body,
        trailers,
    }
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

/// The text, with silence after its first byte.
fn in_two(text: String, silent: Duration) -> Body {
    let (sender, frames) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut first = Bytes::from(text);
        let rest = first.split_off(1.min(first.len()));
        // Where nobody listens any more there is nobody to tell.
        if sender.send(Ok(Frame::data(first))).await.is_ok() {
            tokio::time::sleep(silent).await;
            let _ = sender.send(Ok(Frame::data(rest))).await;
        }
    });
    StreamBody::new(ReceiverStream::new(frames)).boxed_unsync()
}

/// Switches protocols, and sends every byte back.
fn upgrade(request: &mut Request<Incoming>) -> Response<Body> {
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgraded));
            let _ = tokio::io::copy(&mut reader, &mut writer).await;
        }
    });
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
    response
}

fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
