//! `gatewasm agent`: beside one Envoy in its pod. It takes bundles from where they are mounted or from the API server,
//! whole ones only and never an older one, brings each into effect, and says which one that is.
//!
//! It writes nothing to the API server. What it has taken it keeps on disk, so that a container that is started again
//! serves at once, whoever else is down.

mod api;
mod drain;
mod kept;
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
/// At the start, the API server is given this long before what is on disk is brought into effect.
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
    let mount = if api.is_some() { Origin::Lagging } else { Origin::Newest };
    let mut again = false;
    for found in taken.kept().into_iter().chain(mounted.read()) {
        again |= take(found, mount, &mut taken, &settings, &report);
    }
    // What is on disk may be old: the API server has some time to say so, before anything is served.
    if api.is_some()
        && let Ok(found) = timeout(FIRST_ANSWER, next(&mut api, &taken)).await
    {
        again |= take(found, Origin::Newest, &mut taken, &settings, &report);
    }
    loop {
        if let Some(bundle) = taken.pending() {
            let outcome = apply(&mut envoy, bundle).await;
            let in_effect = InEffect::of(bundle, &outcome);
            match outcome.state {
                State::Late(_) => again = true,
                // Kept before anybody is told: no restart goes back behind what was said to be in effect.
                State::Live | State::Unchanged => taken.done(),
            }
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
                found = next(&mut api, &taken) => break (Some(found), Origin::Newest),
                () = sleep_until(sweep) => envoy.sweep(),
                _ = terminate.recv() => return Ok(()),
            }
        };
        again = found.is_some_and(|found| take(found, origin, &mut taken, &settings, &report));
    }
}

/// Whether where a bundle was found has the newest there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Newest,
    Lagging,
}

/// Takes what was found, if it is to be taken. Returns whether another look at the same place may help.
fn take(found: Found, origin: Origin, taken: &mut Taken, settings: &Settings, report: &Report) -> bool {
    match taken.consider(found, settings) {
        Ok(_) => {
            report.not_taken(None);
            false
        }
        // Nothing is wrong: the newer one was taken from elsewhere.
        Err(Refused::Older { .. }) if origin == Origin::Lagging => false,
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
        assert_eq!(look(found(3, "three"), Origin::Newest), (false, None));
        assert_eq!(look(torn.clone(), Origin::Newest), (true, missing.clone()));
        // What is mounted lags behind, which is nobody's fault.
        assert_eq!(look(found(2, "two"), Origin::Lagging), (false, missing));
        assert_eq!(look(found(3, "three"), Origin::Newest), (false, None));
        assert_eq!(look(found(2, "two"), Origin::Newest), (false, older));
        assert_eq!(look(found(4, "four"), Origin::Newest), (false, None));
    }
}
