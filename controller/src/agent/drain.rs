//! The end of a pod: it goes on taking connections until everybody has noticed that it will end, tells each connection
//! to end with its next answer, and is done when there is none.

use std::time::Duration;

use anyhow::{Result, ensure};
use hyper::Method;
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, sleep};

use super::Place;
use crate::envoy::admin::{Admin, connect};

/// Where the drain is asked for, on the control socket.
pub(super) const PATH: &str = "/drain";

/// How often Envoy is asked how many connections there are.
const POLL: Duration = Duration::from_millis(100);
/// A client that has not used its connections for this long is not going to be told anything.
const IDLE: Duration = Duration::from_secs(10);

/// Asks the agent of this pod to drain Envoy, and waits until that is done.
///
/// # Errors
///
/// When there is no agent.
pub async fn ask(place: &Place) -> Result<()> {
    let mut connection = connect(&place.control()).await?;
    let request = hyper::Request::builder().method(Method::POST).uri(PATH).header("host", "agent");
    let answer = connection.send_request(request.body(http_body_util::Empty::new())?).await?;
    ensure!(answer.status() == 200, "the agent answered {}", answer.status());
    Ok(())
}

/// The drain of one Envoy.
#[derive(Debug)]
pub(super) struct Drain {
    admin: Admin,
    delay: Duration,
    limit: Duration,
    asked: watch::Sender<bool>,
    done: watch::Sender<bool>,
    once: OnceCell<()>,
}

impl Drain {
    pub(super) fn new(admin: Admin, delay: Duration, limit: Duration) -> Self {
        let (asked, done) = (watch::Sender::new(false), watch::Sender::new(false));
        Self { admin, delay, limit, asked, done, once: OnceCell::new() }
    }

    /// Whether it was asked for.
    pub(super) fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Waits until it is done.
    pub(super) async fn done(&self) {
        // The sender is ours, so that the wait ends with the value only.
        let _ = self.done.subscribe().wait_for(|done| *done).await;
    }

    /// Drains, however often it is asked for.
    pub(super) async fn run(&self) {
        self.asked.send_replace(true);
        self.once.get_or_init(|| self.drain()).await;
        self.done.send_replace(true);
    }

    async fn drain(&self) {
        let begin = Instant::now();
        tracing::info!("draining");
        // From now on every answer tells its connection to end; new connections are still taken.
        if let Err(error) = self.admin.post("/healthcheck/fail").await {
            tracing::warn!(error = format!("{error:#}"), "Envoy cannot be told to drain");
            return;
        }
        sleep(self.delay).await;
        let (mut last, mut since) = (None, Instant::now());
        while begin.elapsed() < self.limit {
            let Ok(now) = traffic(&self.admin).await else { return };
            if now.connections == 0 || (now.requests == 0 && last == Some(now) && since.elapsed() > IDLE) {
                break;
            }
            if last != Some(now) {
                (last, since) = (Some(now), Instant::now());
            }
            sleep(POLL).await;
        }
        tracing::info!(took_ms = begin.elapsed().as_millis(), "drained");
    }
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Traffic {
    connections: u64,
    requests: u64,
    requests_so_far: u64,
}

async fn traffic(admin: &Admin) -> Result<Traffic> {
    let stats = admin.stats(r"http\..*\.downstream_(cx_active|rq_active|rq_total)").await?;
    let ours = |name: &str| !name.starts_with("http.admin.") && !name.starts_with("http.probe.");
    let sum = |end: &str| {
        stats.iter().filter(|(name, _)| ours(name) && name.ends_with(end)).map(|(_, count)| count).sum()
    };
    Ok(Traffic {
        connections: sum(".downstream_cx_active"),
        requests: sum(".downstream_rq_active"),
        requests_so_far: sum(".downstream_rq_total"),
    })
}
