//! Envoy's admin interface, and HTTP over Unix sockets as it needs it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// No answer of Envoy's within this time is a failure: its main thread is busy for seconds at worst.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An open connection.
pub(crate) type Sender = SendRequest<Empty<Bytes>>;

/// Opens a connection to a Unix socket.
pub(crate) async fn connect(socket: &Path) -> Result<Sender> {
    let stream =
        UnixStream::connect(socket).await.with_context(|| format!("connect to {}", socket.display()))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Sends one request on a connection and reads the answer: status and body.
pub(crate) async fn exchange(sender: &mut Sender, method: Method, path: &str) -> Result<(u16, Bytes)> {
    let request = Request::builder().method(method).uri(path).header("host", "envoy").body(Empty::new())?;
    let exchange = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        anyhow::Ok((parts.status.as_u16(), body.collect().await?.to_bytes()))
    };
    tokio::time::timeout(TIMEOUT, exchange)
        .await
        .with_context(|| format!("{path}: no answer in {TIMEOUT:?}"))?
}

/// The admin interface on a Unix socket.
#[derive(Clone, Debug)]
pub struct Admin {
    socket: PathBuf,
}

impl Admin {
    /// The interface on `socket`; nothing is opened before it is asked something.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Whether the workers serve: Envoy has all that it was told to wait for.
    pub async fn is_live(&self) -> bool {
        matches!(self.ask(Method::GET, "/ready").await, Ok((200, _)))
    }

    /// Counters and gauges whose whole name matches the regular expression.
    pub async fn stats(&self, names: &str) -> Result<BTreeMap<String, u64>> {
        let text = self.get(&format!("/stats?filter=^({names})$")).await?;
        let stats = text.lines().filter_map(|line| line.split_once(": "));
        Ok(stats.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// The sum of the counters and gauges whose whole name matches.
    pub async fn sum(&self, names: &str) -> Result<u64> {
        Ok(self.stats(names).await?.values().sum())
    }

    /// Reads a page.
    pub async fn get(&self, path: &str) -> Result<String> {
        let (status, body) = self.ask(Method::GET, path).await?;
        ensure!(status == 200, "{path}: Envoy answered {status}");
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Gives an order.
    pub async fn post(&self, path: &str) -> Result<()> {
        let (status, _) = self.ask(Method::POST, path).await?;
        ensure!(status == 200, "{path}: Envoy answered {status}");
        Ok(())
    }

    async fn ask(&self, method: Method, path: &str) -> Result<(u16, Bytes)> {
        exchange(&mut connect(&self.socket).await?, method, path).await
    }
}
