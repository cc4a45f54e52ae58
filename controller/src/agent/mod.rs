//! `gatewasm agent`: beside one Envoy in its pod. It takes bundles from where they are mounted or from the API server,
//! whole ones only and never an older one, brings each into effect, and says which one that is.
//!
//! It writes nothing to the API server. What it has taken it keeps on disk, so that a container that is started again
//! serves at once, whoever else is down.

mod api;
mod drain;
mod kept;
mod metrics;
mod mounted;
mod place;
mod report;
mod taken;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::envoy::admin::Admin;
use crate::provision::Source;
use crate::render::bootstrap::bootstrap;
use crate::render::{Bindings, ConfigSource, Settings, yaml};
use crate::xds::agent::{self as xds, Outcome, State};
use api::Api;
use mounted::Mounted;
use report::Report;
use taken::{Current, Found, Refused, Taken};

pub use drain::ask as drain;
pub use place::Place;
pub use report::{Answer, InEffect};

/// Envoy has this long to bring a bundle into effect before it is called late.
const APPLY_LIMIT: Duration = Duration::from_secs(20);
/// What was late, or could not be read, is tried again after this time.
const RETRY: Duration = Duration::from_secs(1);
/// At the start, the API server is given this long before what is on disk is brought into effect, and the pod is ready
/// with it. That may be older than what was written last: a Gateway that serves an older configuration while the API
/// server is away is better than one that serves none, and nobody is told that the newer one is in effect.
const FIRST_ANSWER: Duration = Duration::from_secs(2);

/// What the agent is told by the pod that it is in.
#[derive(Clone, Debug)]
pub struct Options {
    /// Namespace of the bundle's objects.
    pub namespace: String,
    /// What the bundle's objects are called: `BASE-manifest`, `BASE-routes-0`.
    pub base: String,
    /// Where bundles come from.
    pub source: Source,
    /// Envoy's worker threads.
    pub workers: usize,
    /// Where files and sockets are.
    pub place: Place,
    /// Port of the report.
    pub port: u16,
    /// The address of the node, where its network is the pod's: nothing listens on any other address then, but on those
    /// that the bundle names.
    pub address: Option<IpAddr>,
    /// How long a drain may take.
    pub drain_limit: Duration,
    /// For how long a drain goes on taking connections: whoever sends them here needs some time to notice.
    pub drain_delay: Duration,
}

/// Serves until SIGTERM.
///
/// # Errors
///
/// When the folders cannot be written, an address cannot be listened on, or there is no account for the API server.
pub async fn run(options: Options) -> Result<()> {
    let place = &options.place;
    let target = place.target(options.workers);
    let settings = Settings {
        bindings: Bindings::new(),
        source: ConfigSource::Ads,
        filter_path: place.filter(),
        access_log: true,
    };
    place.clear_sockets()?;
    let mut envoy = xds::Agent::start(&target)?;
    place.write_bootstrap(&yaml(&bootstrap(&settings, &target.addresses()))?)?;
    let report = Report::start(&options, Admin::new(&target.admin)).await?;
    let mut terminate = signal(SignalKind::terminate())?;

    let mut taken = Taken::new(place.kept(), options.address);
    let mut mounted = Mounted::new(place.bundle());
    let mut api = match options.source {
        Source::Watch => Some(Api::start(&options.namespace, &options.base)?),
        Source::Mount => None,
    };
    // What the kubelet mounts lags behind what the API server says.
    let mount = if api.is_some() { Origin::MountBesideApi } else { Origin::Mount };
    let mut again = false;
    for (found, origin) in [(taken.kept(), Origin::Kept), (mounted.read(), mount)] {
        again |= found.is_some_and(|found| take(found, origin, &mut taken, &settings, &report));
    }
    // What is on disk may be old: the API server has some time to say so, before anything is served.
    if api.is_some()
        && let Some(found) = first_answer(next(&mut api, &taken)).await
    {
        again |= take(found, Origin::Api, &mut taken, &settings, &report);
    }
    loop {
        if let Some(bundle) = taken.pending() {
            let outcome = apply(&mut envoy, bundle).await;
            let in_effect = InEffect::of(bundle, &outcome);
            match &outcome.state {
                State::Late(_) => again = true,
                // Kept before anybody is told: no restart goes back behind what was said to be in effect.
                State::Live | State::Unchanged => taken.done(),
            }
            report.metrics.applied(&in_effect, &outcome);
            report.in_effect(in_effect);
        }
        // Until there may be something new.
        let retry = sleep(if again { RETRY } else { Duration::MAX });
        tokio::pin!(retry);
        let (found, origin) = loop {
            let sweep = envoy.next_sweep().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                () = mounted.changed() => break (mounted.read(), mount),
                () = &mut retry => break (mounted.read(), mount),
                found = next(&mut api, &taken) => break (Some(found), Origin::Api),
                () = sleep_until(sweep) => envoy.sweep(),
                _ = terminate.recv() => return Ok(()),
            }
        };
        again = found.is_some_and(|found| take(found, origin, &mut taken, &settings, &report));
    }
}

/// Where a bundle was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Kept by an earlier agent of this pod.
    Kept,
    /// Mounted, and nobody has a newer one.
    Mount,
    /// Mounted, while the API server is followed: what the kubelet brings lags behind.
    MountBesideApi,
    Api,
}

impl Origin {
    /// Whether somebody else may have a newer one.
    fn lags(self) -> bool {
        matches!(self, Self::Kept | Self::MountBesideApi)
    }

    /// Its name in figures.
    fn name(self) -> &'static str {
        match self {
            Self::Kept => "disk",
            Self::Mount | Self::MountBesideApi => "mount",
            Self::Api => "api",
        }
    }
}

/// What comes in time; nothing from an API server that is away.
async fn first_answer(next: impl Future<Output = Found>) -> Option<Found> {
    timeout(FIRST_ANSWER, next).await.ok()
}

/// Takes what was found, if it is to be taken. Returns whether another look at the same place may help.
fn take(found: Found, origin: Origin, taken: &mut Taken, settings: &Settings, report: &Report) -> bool {
    let before = taken.counter();
    match taken.consider(found, settings) {
        Ok(_) => {
            if taken.counter() != before {
                report.metrics.taken(origin);
            }
            report.not_taken(None);
            false
        }
        // Nothing is wrong: the newer one was taken from elsewhere.
        Err(Refused::Older { .. }) if origin.lags() => false,
        Err(refused) => {
            report.not_taken(Some(&refused));
            // It may have been caught in the middle of a change.
            matches!(refused, Refused::Incomplete { .. })
        }
    }
}

async fn apply(envoy: &mut xds::Agent, bundle: &Current) -> Outcome {
    let outcome = envoy.apply(&bundle.resources, APPLY_LIMIT).await.unwrap_or_else(|error| Outcome {
        state: State::Late(format!("resources that are messages of Envoy's: {error:#}")),
        ..Outcome::unchanged()
    });
    let Current { counter, hash, .. } = bundle;
    let took = format!("{:?}", outcome.took);
    match &outcome.state {
        State::Late(what) => tracing::warn!(counter, hash, took, what, "Envoy is late with the bundle"),
        State::Live | State::Unchanged => tracing::info!(counter, hash, took, "the bundle is in effect"),
    }
    for (kind, message) in &outcome.refusals {
        tracing::error!(%kind, message, "Envoy refused a part of the bundle");
    }
    outcome
}

/// The next bundle of the API server's; never, where it is not asked.
async fn next(api: &mut Option<Api>, taken: &Taken) -> Found {
    match api {
        Some(api) => api.next(taken.parts()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::taken::tests::{found, settings};
    use super::*;

    /// Ready with what is on disk, when the API server is away.
    #[tokio::test]
    async fn an_api_server_that_is_silent_is_not_waited_for() {
        let begin = Instant::now();
        assert_eq!(first_answer(std::future::pending()).await, None);
        assert!(begin.elapsed() >= FIRST_ANSWER && begin.elapsed() < FIRST_ANSWER * 3);
        let newer = found(4, "four");
        assert_eq!(first_answer(std::future::ready(newer.clone())).await, Some(newer));
    }

    #[test]
    fn why_a_bundle_is_not_taken_is_said_as_long_as_it_is_so() {
        let folder = tempfile::tempdir().unwrap();
        let mut taken = Taken::new(folder.path().join("bundle.json"), None);
        let report = Report::default();
        let mut look = |found: Found, origin: Origin| {
            let again = take(found, origin, &mut taken, &settings(), &report);
            (again, report.answer().borrow().not_taken.clone())
        };
        let mut torn = found(4, "four");
        torn.parts.clear();
        let missing = Some("bundle 4: part routes-0 is missing".to_owned());
        let older = Some("bundle 2 is older than bundle 3, which was taken before".to_owned());
        assert_eq!(look(found(3, "three"), Origin::Api), (false, None));
        assert_eq!(look(torn.clone(), Origin::Api), (true, missing.clone()));
        // What is mounted lags behind, which is nobody's fault.
        assert_eq!(look(found(2, "two"), Origin::MountBesideApi), (false, missing));
        assert_eq!(look(found(3, "three"), Origin::Api), (false, None));
        assert_eq!(look(found(2, "two"), Origin::Api), (false, older));
        assert_eq!(look(found(4, "four"), Origin::Api), (false, None));
        // Counted once each, however often they are found.
        let text = report.metrics.text();
        for line in ["bundles_total{source=\"api\"} 2", "bundles_refused_total 2"] {
            assert!(text.contains(&format!("gatewasm_agent_{line}\n")), "{line} is missing in\n{text}");
        }
    }
}
