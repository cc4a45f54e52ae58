//! Requests of any bytes to a running Envoy, in an order that a seed repeats, beside traffic that must not notice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::task::JoinSet;

use super::paths::is_normal;
use super::random::Random;
use super::{Rig, http1, http2, http2_client};
use crate::client::Request;
use crate::echo::Echoed;
use crate::load::{Load, Seen as LoadSeen};

/// Requests at a time. Most of their time they wait in vain: Envoy keeps a connection that it has given up for a second,
/// and says nothing.
const PARALLEL: usize = 96;

/// Requests between two looks at Envoy.
const ROUND: usize = 10_000;

/// How long an answer may take that may never come.
const PATIENCE: Duration = Duration::from_secs(1);

/// In HTTP/2 most connections that Envoy has given up are of this kind.
const PATIENCE_HTTP2: Duration = Duration::from_millis(150);

/// Connections and pause of the traffic that must not notice.
const STEADY: usize = 2;
const PAUSE: Duration = Duration::from_millis(5);

/// Some are long.
static ODD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(http1::odd);

/// What a request led to.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// An answer.
    Answer { status: u16, location: Option<String>, body: Vec<u8> },
    /// Bytes that are no answer.
    Strange(String),
    /// The end of the stream or connection.
    Closed,
    /// Nothing, while it was waited for.
    Silence,
}

/// What came of it all.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests sent.
    pub requests: usize,
    /// What they led to: a status, `closed`, `silence`.
    pub outcomes: BTreeMap<String, u64>,
    /// Requests that a backend answered.
    pub routed: u64,
    /// Answers to the traffic beside them, all with status 200.
    pub steady: u64,
    /// Time.
    pub time: Duration,
    /// Memory of Envoy before and after, in KiB.
    pub memory: (u64, u64),
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { requests, routed, steady, time, memory: (before, after), outcomes } = self;
        writeln!(
            f,
            "{requests} requests in {:.1} s, {routed} of them reached a backend",
            time.as_secs_f64()
        )?;
        for (outcome, count) in outcomes {
            writeln!(f, "  {outcome:<14} {count:>8}")?;
        }
        writeln!(f, "{steady} requests beside them were answered 200")?;
        write!(f, "Envoy had {before} KiB before and {after} KiB after")
    }
}

/// Sends `count` requests. Fails after the round in which one did harm, with its number, which with the seed is all that
/// it takes to send it again.
pub async fn run(rig: &Arc<Rig>, seed: u64, count: usize) -> Result<Report> {
    let start = Instant::now();
    let mut report = Report { memory: (rig.memory()?, 0), ..Report::default() };
    while report.requests < count {
        let round = ROUND.min(count - report.requests);
        let numbers = report.requests..report.requests + round;
        let steady = Load::start(rig.http, &Request::get("a.fuzz.test", "/exact"), STEADY, PAUSE);
        let result = send(rig, seed, numbers.clone(), count).await;
        let steady = steady.stop().await?;
        let within =
            || format!("seed {seed}, of {count} requests those from {} to {}", numbers.start, numbers.end);
        rig.is_unharmed().await.with_context(within)?;
        let (outcomes, routed, findings) = result.with_context(within)?;
        if !findings.is_empty() {
            bail!("{}: {}", within(), findings.join("\n"));
        }
        unnoticed(&steady).with_context(within)?;
        for (outcome, times) in outcomes {
            *report.outcomes.entry(outcome).or_default() += times;
        }
        report.routed += routed;
        report.steady += steady.answers();
        report.requests += round;
    }
    report.memory.1 = rig.memory()?;
    report.time = start.elapsed();
    Ok(report)
}

fn unnoticed(steady: &LoadSeen) -> Result<()> {
    ensure!(
        steady.answers() > 0 && steady.failures() == 0 && steady.refused == 0,
        "the traffic beside the requests noticed them: {steady:?}"
    );
    Ok(())
}

type Outcomes = (BTreeMap<String, u64>, u64, Vec<String>);

async fn send(rig: &Arc<Rig>, seed: u64, numbers: std::ops::Range<usize>, of: usize) -> Result<Outcomes> {
    let next = Arc::new(AtomicUsize::new(numbers.start));
    let mut clients = JoinSet::new();
    for _ in 0..PARALLEL {
        let (rig, next, end) = (Arc::clone(rig), Arc::clone(&next), numbers.end);
        clients.spawn(async move {
            let mut client = http2_client::Client::new(rig.http);
            let (mut outcomes, mut routed, mut findings) = Outcomes::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return anyhow::Ok((outcomes, routed, findings));
                }
                match one(&rig, &mut client, seed, number, of).await.and_then(judge) {
                    Ok((outcome, by_backend)) => {
                        let protocol = if in_http1(number) { "HTTP/1" } else { "HTTP/2" };
                        *outcomes.entry(format!("{protocol} {outcome}")).or_default() += 1;
                        routed += u64::from(by_backend);
                    }
                    Err(finding) => findings.push(format!("request {number}: {finding:#}")),
                }
            }
        });
    }
    let (mut all, mut all_routed, mut all_findings) = Outcomes::default();
    while let Some(client) = clients.join_next().await {
        let (outcomes, routed, findings) = client??;
        for (outcome, times) in outcomes {
            *all.entry(outcome).or_default() += times;
        }
        all_routed += routed;
        all_findings.extend(findings);
    }
    Ok((all, all_routed, all_findings))
}

fn in_http1(number: usize) -> bool {
    number.is_multiple_of(2)
}

/// Sends the request with this number: in turn HTTP/1 and HTTP/2; of each first what is odd, then every byte in every
/// place, where there is room for that, else some of it, then chance.
async fn one(
    rig: &Rig,
    client: &mut http2_client::Client,
    seed: u64,
    number: usize,
    of: usize,
) -> Result<Seen> {
    let mut random = Random::new(seed, number as u64);
    let (place, room) = (number / 2, of / 2);
    if in_http1(number) {
        let request = match (ODD.get(place), place.checked_sub(ODD.len())) {
            (Some(odd), _) => odd.clone(),
            (None, Some(place)) if room > 2 * http1::SYSTEMATIC && place < http1::SYSTEMATIC => {
                http1::systematic(place)
            }
            (None, _) if random.once_in(2) => http1::systematic(random.below(http1::SYSTEMATIC)),
            (None, _) => http1::random(&mut random),
        };
        return http1::exchange(rig.http, &request, PATIENCE).await;
    }
    let odd = http2::odd();
    let behind_blocks = place.saturating_sub(odd.len());
    let behind_all = behind_blocks.saturating_sub(http2::ODD_BLOCKS);
    let request = move |stream| match odd.get(place) {
        Some(odd) => odd(stream),
        None if behind_blocks < http2::ODD_BLOCKS => http2::odd_block(behind_blocks, stream),
        None if room > 2 * http2::SYSTEMATIC && behind_all < http2::SYSTEMATIC => {
            http2::systematic(behind_all, stream)
        }
        None if random.once_in(2) => http2::systematic(random.below(http2::SYSTEMATIC), stream),
        None => http2::random(&mut random, stream),
    };
    client.exchange(request, PATIENCE_HTTP2).await
}

/// What must be true of whatever a request leads to. Says in a word what that is, and whether a backend was reached.
fn judge(seen: Seen) -> Result<(String, bool)> {
    let (status, location, body) = match seen {
        Seen::Closed => return Ok(("closed".to_owned(), false)),
        Seen::Silence => return Ok(("silence".to_owned(), false)),
        Seen::Strange(text) => bail!("this is no answer: {text:?}"),
        Seen::Answer { status, location, body } => (status, location, body),
    };
    let shown = || format!("status {status}: {}", String::from_utf8_lossy(&body));
    ensure!((101..=599).contains(&status) && status != 503, "{}", shown());
    if let Some(location) = location {
        let path =
            location.split_once("://").and_then(|(_, rest)| Some(format!("/{}", rest.split_once('/')?.1)));
        ensure!(path.is_some_and(|path| is_normal(&path)), "status {status}, location {location:?}");
    }
    ensure!(!body.windows(9).any(|nine| nine == b"\"config\":"), "a probe was answered: {}", shown());
    // A backend's answer, which may be cut or empty for HEAD.
    let Ok(echoed) = serde_json::from_slice::<Echoed>(&body) else { return Ok((status.to_string(), false)) };
    let internal = |name: &&String| name.starts_with("x-gw-") || name.starts_with("x-envoy-");
    let internal: Vec<_> = echoed.headers.keys().chain(echoed.trailers.keys()).filter(internal).collect();
    ensure!(internal.is_empty(), "a backend saw {internal:?}");
    ensure!(is_normal(&echoed.path), "a backend saw the path {:?}", echoed.path);
    Ok((status.to_string(), true))
}
