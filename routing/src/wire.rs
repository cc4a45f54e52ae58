//! The names by which Envoy's configuration and the filter speak with each other: one place for both sides.
//!
//! Envoy strips every client-sent header with [`PREFIX`] before anything else looks at the request
//! (`early_header_mutation`), then each filter chain appends [`LISTENER`]. The filter sets [`CLUSTER`], [`POLICY`] and
//! [`ENDPOINT`]; Envoy's routes read them, and remove all of them before a backend sees the request.

/// Every header that is between Envoy and the filter alone begins with this.
pub const PREFIX: &str = "x-gw-";

/// Set by each Envoy filter chain: which listeners the request may belong to. See [`entry_of_port`].
pub const LISTENER: &str = "x-gw-listener";

/// Set by the filter: the Envoy cluster that gets the request (`cluster_header` of Envoy's route).
pub const CLUSTER: &str = "x-gw-cluster";

/// Set by the filter where a rule needs a policy of Envoy's: the name that Envoy's matcher tree looks up.
pub const POLICY: &str = "x-gw-policy";

/// The endpoint of a session, `ip:port` in base64: set by the filter where a client has one, and by Envoy
/// (`stateful_session`) on the answer, where the filter takes it off.
pub const ENDPOINT: &str = "x-gw-endpoint";

/// Value of [`LISTENER`] on the internal listener: the filter answers such a request itself, with the hash of its
/// configuration and the id of its VM.
pub const PROBE: &str = "gatewasm:probe";

/// Name of the wasm filter's resource: HTTP filter, ECDS resource, root id.
pub const FILTER: &str = "gatewasm";

/// Name of the RDS route configuration that every listener shares.
pub const ROUTES: &str = "gatewasm";

/// Filter state in which the filter leaves the listener's name for the access log.
pub const STATE_LISTENER: &str = "gatewasm.listener";
/// Filter state with the route, `HTTPRoute namespace/name`.
pub const STATE_ROUTE: &str = "gatewasm.route";
/// Filter state with the index of the rule within its route.
pub const STATE_RULE: &str = "gatewasm.rule";

/// Value of [`LISTENER`] for the filter chain that all HTTP listeners of one Gateway and port share:
/// `namespace/gateway:port`. The chain of an HTTPS listener carries the listener's own name instead,
/// `namespace/gateway/listener`, because its certificate was chosen by SNI before the request was read.
pub fn entry_of_port(gateway: &str, port: u16) -> String {
    format!("{gateway}:{port}")
}
