//! Keeps one Envoy running, and ends it without failing a request.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::admin::Admin;
use super::process::{Launch, Process};

/// Between the end of an Envoy and the start of the next: this, doubled with each further end, up to the longest.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// An Envoy that ran this long was sound; the count begins anew.
const SOUND: Duration = Duration::from_secs(60);

/// While it drains, a connection without a request under way is given this long to see that it should end.
const IDLE_GRACE: Duration = Duration::from_secs(1);
/// How often Envoy is asked how many requests are under way.
const POLL: Duration = Duration::from_millis(10);
/// Listeners that are not closed by then do not hold up the drain.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// After the order to quit, Envoy is given this long.
const QUIT_LIMIT: Duration = Duration::from_secs(5);

/// An Envoy that is meant to run.
#[derive(Debug)]
pub struct Supervisor {
    launch: Launch,
    admin: Admin,
    state: State,
    /// Unexpected ends in a row.
    ends: u32,
}

#[derive(Debug)]
enum State {
    Running { process: Process, since: Instant },
    Waiting { until: Instant },
}

/// What happened to Envoy without our doing.
#[derive(Debug)]
pub enum Event {
    /// It ended, and is started again after this time.
    Ended(ExitStatus, Duration),
    /// It was started again.
    Started,
    /// It could not be started again, and is tried again after this time.
    Failed(anyhow::Error, Duration),
}

impl Supervisor {
    /// Starts Envoy.
    pub async fn start(launch: Launch, admin: Admin) -> Result<Self> {
        let process = Process::start(&launch).await?;
        Ok(Self { launch, admin, state: State::Running { process, since: Instant::now() }, ends: 0 })
    }

    /// Waits until something happens to Envoy, and does what is to be done. May be cancelled at any time.
    pub async fn next(&mut self) -> Event {
        match &mut self.state {
            State::Running { process, since } => {
                let status = process.ended().await;
                if since.elapsed() > SOUND {
                    self.ends = 0;
                }
                Event::Ended(status, self.wait())
            }
            State::Waiting { until } => {
                sleep_until(*until).await;
                match Process::start(&self.launch).await {
                    Ok(process) => {
                        self.state = State::Running { process, since: Instant::now() };
                        Event::Started
                    }
                    Err(error) => Event::Failed(error, self.wait()),
                }
            }
        }
    }

    /// Ends Envoy: no new connections, every connection is told to end with its next response, and when no request
    /// is under way, or after `limit`, it quits. Returns whether all requests came to their end.
    ///
    /// The listeners close at the beginning rather than at the end of the drain: a client that is told to come
    /// again, and does so while they close, would lose a request that it has sent already.
    pub async fn drain(mut self, limit: Duration) -> bool {
        let State::Running { process, .. } = &mut self.state else { return true };
        let done = tokio::select! {
            done = drain(&self.admin, limit) => done,
            // It ended by itself.
            _ = process.ended() => return false,
        };
        let _ = self.admin.post("/quitquitquit").await;
        if timeout(QUIT_LIMIT, process.ended()).await.is_err() {
            tracing::warn!("Envoy did not quit in {QUIT_LIMIT:?}; killing it");
            process.kill();
            process.ended().await;
        }
        done
    }

    /// Process id, as long as it runs.
    pub fn id(&self) -> Option<i32> {
        match &self.state {
            State::Running { process, .. } => process.id(),
            State::Waiting { .. } => None,
        }
    }

    fn wait(&mut self) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << self.ends.min(16)).min(LONGEST_WAIT);
        self.ends += 1;
        self.state = State::Waiting { until: Instant::now() + wait };
        wait
    }
}

async fn drain(admin: &Admin, limit: Duration) -> bool {
    let begin = Instant::now();
    let Ok((stopped, active)) = listeners(admin).await else {
        // Envoy is not far enough to have a request.
        return true;
    };
    let _ = admin.post("/drain_listeners").await;
    // The workers close a listener one after the other, and then the socket is closed: until that time the system
    // takes connections that nobody will serve. Clients must not be sent away before.
    let closed = async || listeners(admin).await.is_ok_and(|(now, _)| now >= stopped + active);
    while begin.elapsed() < CLOSE_LIMIT && !closed().await {
        sleep(POLL).await;
    }
    let _ = admin.post("/healthcheck/fail").await;
    loop {
        // When Envoy cannot say, it is asked again until the limit.
        if let Ok((connections, requests)) = under_way(admin).await
            && (connections == 0 || (requests == 0 && begin.elapsed() > IDLE_GRACE))
        {
            return true;
        }
        if begin.elapsed() > limit {
            return false;
        }
        sleep(POLL).await;
    }
}

/// How many listeners were ever stopped, and how many there are.
async fn listeners(admin: &Admin) -> Result<(u64, u64)> {
    let stats = admin.stats(r"listener_manager\.(listener_stopped|total_listeners_active)").await?;
    let stat = |name: &str| stats.get(name).copied().unwrap_or(0);
    Ok((stat("listener_manager.listener_stopped"), stat("listener_manager.total_listeners_active")))
}

/// Connections and requests of clients.
async fn under_way(admin: &Admin) -> Result<(u64, u64)> {
    let stats = admin.stats(r"http\..*\.downstream_(cx|rq)_active").await?;
    let ours = |name: &str| !name.starts_with("http.admin.") && !name.starts_with("http.probe.");
    let sum =
        |end: &str| stats.iter().filter(|(name, _)| ours(name) && name.ends_with(end)).map(|(_, n)| n).sum();
    Ok((sum(".downstream_cx_active"), sum(".downstream_rq_active")))
}
