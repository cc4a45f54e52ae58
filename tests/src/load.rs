//! Load from keep-alive connections that records everything which is not as expected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use http_body_util::BodyExt;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::Request;
use crate::echo::Echoed;

type Sender = SendRequest<http_body_util::Empty<hyper::body::Bytes>>;

/// What a load saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Answers by status code.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers with status 200 by the backend that gave them.
    pub backends: BTreeMap<String, u64>,
    /// Requests that were sent and got no answer, by error.
    pub errors: BTreeMap<String, u64>,
    /// Connections opened.
    pub connects: u64,
    /// Connections that could not be opened.
    pub refused: u64,
}

impl Seen {
    /// Answers in all.
    pub fn answers(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Answers with another status than 200, and requests without an answer.
    pub fn failures(&self) -> u64 {
        let other: u64 = self.statuses.iter().filter(|(status, _)| **status != 200).map(|(_, n)| n).sum();
        other + self.errors.values().sum::<u64>()
    }

    fn add(&mut self, other: &Self) {
        for (status, n) in &other.statuses {
            *self.statuses.entry(*status).or_default() += n;
        }
        for (backend, n) in &other.backends {
            *self.backends.entry(backend.clone()).or_default() += n;
        }
        for (error, n) in &other.errors {
            *self.errors.entry(error.clone()).or_default() += n;
        }
        self.connects += other.connects;
        self.refused += other.refused;
    }
}

/// A load that is under way.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    connections: JoinSet<Seen>,
}

impl Load {
    /// Sends `request` over `connections` keep-alive connections, each waiting `pause` after an answer, until
    /// [`Load::stop`], and for two minutes at most. A connection is opened again when the peer asks for its end.
    pub fn start(address: SocketAddr, request: &Request, connections: usize, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let (stop, request) = (Arc::clone(&stop), request.clone());
            tasks.spawn(async move { connection(address, &request, pause, u64::MAX, &stop).await });
        }
        Self { stop, connections: tasks }
    }

    /// Ends the load after the requests under way, and says what it saw.
    pub async fn stop(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        collect(self.connections).await
    }
}

/// Sends `count` requests over `connections` keep-alive connections as fast as they are answered.
pub async fn send(address: SocketAddr, request: &Request, connections: u64, count: u64) -> Result<Seen> {
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for index in 0..connections {
        let share = count / connections + u64::from(index < count % connections);
        let (stop, request) = (Arc::clone(&stop), request.clone());
        tasks.spawn(async move { connection(address, &request, Duration::ZERO, share, &stop).await });
    }
    collect(tasks).await
}

async fn collect(mut tasks: JoinSet<Seen>) -> Result<Seen> {
    let mut all = Seen::default();
    while let Some(seen) = tasks.join_next().await {
        all.add(&seen?);
    }
    Ok(all)
}

async fn connection(
    address: SocketAddr,
    request: &Request,
    pause: Duration,
    count: u64,
    stop: &AtomicBool,
) -> Seen {
    let mut seen = Seen::default();
    let mut sender: Option<Sender> = None;
    let mut left = count;
    let end = Instant::now() + Duration::from_secs(120);
    while left > 0 && !stop.load(Ordering::Relaxed) && Instant::now() < end {
        let mut open = match sender.take() {
            Some(open) => open,
            None => match connect(address).await {
                Ok(open) => {
                    seen.connects += 1;
                    open
                }
                Err(_) => {
                    seen.refused += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
        };
        // A connection that the peer has closed while idle has accepted no request: open another.
        if open.ready().await.is_err() {
            continue;
        }
        left -= 1;
        match exchange(&mut open, request).await {
            Ok((status, backend)) => {
                *seen.statuses.entry(status).or_default() += 1;
                if let Some(backend) = backend {
                    *seen.backends.entry(backend).or_default() += 1;
                }
                sender = Some(open);
            }
            Err(error) => *seen.errors.entry(error.to_string()).or_default() += 1,
        }
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    seen
}

async fn connect(address: SocketAddr) -> Result<Sender> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn exchange(sender: &mut Sender, request: &Request) -> Result<(u16, Option<String>)> {
    let (parts, body) = sender.send_request(request.to_hyper()?).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    let backend = serde_json::from_slice::<Echoed>(&body).ok().map(|echoed| echoed.backend);
    Ok((parts.status.as_u16(), backend.filter(|_| parts.status == 200)))
}
