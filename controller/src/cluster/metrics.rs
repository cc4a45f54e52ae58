//! Figures of the controller for Prometheus. Few series: by kind of object and kind of failure, never by object.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::failure::Failure;

/// Upper bounds of the times that a translation may take, in seconds.
const SECONDS: [f64; 9] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0];

type Label = [(&'static str, String); 1];

/// All of them.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    leader: Gauge,
    objects: Family<Label, Gauge>,
    translations: Histogram,
    bundles: Counter,
    applied: Family<Label, Counter>,
    statuses: Family<Label, Counter>,
    failures: Family<Label, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("gatewasm_controller");
        let leader = Gauge::default();
        registry.register("leader", "Whether this replica is the one that writes", leader.clone());
        let objects = Family::default();
        registry.register("objects", "Objects that are watched", objects.clone());
        let translations = Histogram::new(SECONDS);
        registry.register_with_unit(
            "translation",
            "Time from a snapshot to what every data plane needs",
            Unit::Seconds,
            translations.clone(),
        );
        let bundles = Counter::default();
        registry.register("bundles", "Bundles that were written for data planes", bundles.clone());
        let applied = Family::default();
        registry.register("applied", "Objects that were applied or deleted", applied.clone());
        let statuses = Family::default();
        registry.register("status_writes", "Statuses that were written", statuses.clone());
        let failures = Family::default();
        registry.register("api_errors", "Requests that the API server did not fulfil", failures.clone());
        Self { registry, leader, objects, translations, bundles, applied, statuses, failures }
    }
}

impl Metrics {
    /// This replica has become the leader.
    pub fn leads(&self) {
        self.leader.set(1);
    }

    /// How many objects of a kind are watched.
    pub fn watched(&self, kind: &str, objects: usize) {
        self.objects.get_or_create(&label("kind", kind)).set(i64::try_from(objects).unwrap_or(i64::MAX));
    }

    /// A translation took so long.
    pub fn translated(&self, time: Duration) {
        self.translations.observe(time.as_secs_f64());
    }

    /// A bundle was written, manifest and all.
    pub fn delivered(&self) {
        self.bundles.inc();
    }

    /// An object of this kind was applied or deleted.
    pub fn applied(&self, kind: &str) {
        self.applied.get_or_create(&label("kind", kind)).inc();
    }

    /// The status of an object of this kind was written.
    pub fn wrote_status(&self, kind: &str) {
        self.statuses.get_or_create(&label("kind", kind)).inc();
    }

    /// The API server did not do what it was asked.
    pub fn failed(&self, failure: Failure) {
        self.failures.get_or_create(&label("kind", failure.name())).inc();
    }

    /// As Prometheus reads them.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn label(name: &'static str, value: &str) -> Label {
    [(name, value.to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_as_prometheus_reads_them() {
        let metrics = Metrics::default();
        metrics.leads();
        metrics.watched("HTTPRoute", 1000);
        metrics.translated(Duration::from_millis(4));
        metrics.delivered();
        metrics.applied("ConfigMap");
        metrics.wrote_status("Gateway");
        metrics.failed(Failure::Throttled(None));
        let text = metrics.text();
        for line in [
            "gatewasm_controller_leader 1",
            "gatewasm_controller_objects{kind=\"HTTPRoute\"} 1000",
            "gatewasm_controller_translation_seconds_bucket{le=\"0.005\"} 1",
            "gatewasm_controller_translation_seconds_count 1",
            "gatewasm_controller_bundles_total 1",
            "gatewasm_controller_applied_total{kind=\"ConfigMap\"} 1",
            "gatewasm_controller_status_writes_total{kind=\"Gateway\"} 1",
            "gatewasm_controller_api_errors_total{kind=\"throttled\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
