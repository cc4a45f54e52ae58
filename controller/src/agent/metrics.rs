//! Figures of the agent for Prometheus: which bundles were taken and from where, and how long Envoy took for them. What
//! Envoy counts is Envoy's.

use std::sync::atomic::AtomicU64;
use std::time::SystemTime;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::Origin;
use super::report::InEffect;
use crate::xds::agent::Outcome;

/// Upper bounds of the times that a change may take, in seconds.
const SECONDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 20.0];

type Label = [(&'static str, &'static str); 1];

/// All of them.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    taken: Family<Label, Counter>,
    refused: Counter,
    changes: Histogram,
    counter: Gauge,
    since: Gauge<f64, AtomicU64>,
    late: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("gatewasm_agent");
        let (taken, refused) = (Family::default(), Counter::default());
        registry.register("bundles", "Bundles that were taken, by where they were found", taken.clone());
        registry.register("bundles_refused", "Bundles that were found and not taken", refused.clone());
        let changes = Histogram::new(SECONDS);
        let help = "Time from a bundle that was taken to all workers of Envoy having it";
        registry.register_with_unit("change", help, Unit::Seconds, changes.clone());
        let (counter, since, late) = (Gauge::default(), Gauge::default(), Gauge::default());
        registry.register("bundle", "Number of the bundle that Envoy was given last", counter.clone());
        let help = "Unix time at which the bundle came into effect";
        registry.register_with_unit("bundle_in_effect_since", help, Unit::Seconds, since.clone());
        registry.register("bundle_late", "Whether Envoy is late with the bundle", late.clone());
        Self { registry, taken, refused, changes, counter, since, late }
    }
}

impl Metrics {
    /// A bundle was taken.
    pub(super) fn taken(&self, origin: Origin) {
        self.taken.get_or_create(&[("source", origin.name())]).inc();
    }

    /// A bundle was found that is not taken.
    pub(super) fn refused(&self) {
        self.refused.inc();
    }

    /// What came of a bundle.
    pub(super) fn applied(&self, bundle: &InEffect, outcome: &Outcome) {
        self.changes.observe(outcome.took.as_secs_f64());
        self.counter.set(i64::try_from(bundle.counter).unwrap_or(i64::MAX));
        self.late.set(i64::from(bundle.late.is_some()));
        if bundle.late.is_none() {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            self.since.set(now.as_secs_f64());
        }
    }

    /// As Prometheus reads them.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xds::agent::State;

    #[test]
    fn figures_are_written_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        metrics.taken(Origin::Kept);
        metrics.taken(Origin::Api);
        metrics.refused();
        let mut bundle = InEffect { counter: 7, hash: "h".into(), late: None, refused: vec![] };
        let took = std::time::Duration::from_millis(30);
        metrics.applied(&bundle, &Outcome { state: State::Live, took, ..Outcome::unchanged() });
        let text = metrics.text();
        for line in [
            "gatewasm_agent_bundles_total{source=\"disk\"} 1",
            "gatewasm_agent_bundles_total{source=\"api\"} 1",
            "gatewasm_agent_bundles_refused_total 1",
            "gatewasm_agent_change_seconds_bucket{le=\"0.05\"} 1",
            "gatewasm_agent_bundle 7",
            "gatewasm_agent_bundle_late 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        let since = |text: &str| {
            let line =
                text.lines().find(|it| it.starts_with("gatewasm_agent_bundle_in_effect_since_seconds "));
            line.unwrap().to_owned()
        };
        assert!(since(&text).rsplit(' ').next().unwrap().parse::<f64>().unwrap() > 1e9, "{text}");
        // What is late is not in effect.
        (bundle.counter, bundle.late) = (8, Some("clusters".into()));
        metrics.applied(&bundle, &Outcome::unchanged());
        let later = metrics.text();
        assert!(
            later.contains("gatewasm_agent_bundle_late 1\n") && later.contains("gatewasm_agent_bundle 8\n")
        );
        assert_eq!(since(&later), since(&text));
    }
}
