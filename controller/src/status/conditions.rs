//! Every condition that gatewasm sets, with its reason and message. Nothing else makes a [`Condition`].
//!
//! Types and reasons are those of apis/v1/{gatewayclass,gateway,shared}_types.go of Gateway API v1.6.1. A negative
//! condition's message is its faults, one a line, in the order of the fields.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Condition, ConditionStatus, Fault, SupportedFeature};
use crate::GATEWAY_API_VERSION;

/// The data plane serves it.
pub(crate) const PROGRAMMED: &str = "Programmed";
pub(crate) const ACCEPTED: &str = "Accepted";
const SUPPORTED_VERSION: &str = "SupportedVersion";
const RESOLVED_REFS: &str = "ResolvedRefs";
const CONFLICTED: &str = "Conflicted";
const OVERLAPPING_TLS: &str = "OverlappingTLSConfig";
const PARTIALLY_INVALID: &str = "PartiallyInvalid";
const INSECURE_FRONTEND: &str = "InsecureFrontendValidationMode";

/// Every type of condition that is ours to set, and so ours to take away.
pub(crate) const TYPES: &[&str] = &[
    ACCEPTED,
    PROGRAMMED,
    RESOLVED_REFS,
    CONFLICTED,
    OVERLAPPING_TLS,
    PARTIALLY_INVALID,
    INSECURE_FRONTEND,
    "SupportedVersion",
];
/// The types that are set only where something is wrong.
pub(crate) const NEGATIVE_TYPES: &[&str] =
    &[CONFLICTED, OVERLAPPING_TLS, PARTIALLY_INVALID, INSECURE_FRONTEND];

/// At most so many faults are spelt out in one message.
const MOST_FAULTS: usize = 10;
/// Longest message of a `metav1.Condition`.
const MOST_CHARACTERS: usize = 32_768;

/// Features of the conformance suite (pkg/features) that work, sorted.
pub(crate) const SUPPORTED_FEATURES: &[SupportedFeature] = &[
    SupportedFeature { name: "BackendTLSPolicy" },
    SupportedFeature { name: "BackendTLSPolicySANValidation" },
    SupportedFeature { name: "GRPCRoute" },
    SupportedFeature { name: "GRPCRouteNamedRouteRule" },
    SupportedFeature { name: "Gateway" },
    SupportedFeature { name: "GatewayAddressEmpty" },
    SupportedFeature { name: "GatewayBackendClientCertificate" },
    SupportedFeature { name: "GatewayFrontendClientCertificateValidation" },
    SupportedFeature { name: "GatewayFrontendClientCertificateValidationInsecureFallback" },
    SupportedFeature { name: "GatewayHTTPListenerIsolation" },
    SupportedFeature { name: "GatewayHTTPSListenerDetectMisdirectedRequests" },
    SupportedFeature { name: "GatewayInfrastructurePropagation" },
    SupportedFeature { name: "GatewayPort8080" },
    SupportedFeature { name: "GatewayStaticAddresses" },
    SupportedFeature { name: "HTTPRoute" },
    SupportedFeature { name: "HTTPRoute303RedirectStatusCode" },
    SupportedFeature { name: "HTTPRoute307RedirectStatusCode" },
    SupportedFeature { name: "HTTPRoute308RedirectStatusCode" },
    SupportedFeature { name: "HTTPRouteBackendProtocolH2C" },
    SupportedFeature { name: "HTTPRouteBackendProtocolWebSocket" },
    SupportedFeature { name: "HTTPRouteBackendRequestHeaderModification" },
    SupportedFeature { name: "HTTPRouteBackendTimeout" },
    SupportedFeature { name: "HTTPRouteCORS" },
    SupportedFeature { name: "HTTPRouteDestinationPortMatching" },
    SupportedFeature { name: "HTTPRouteHostRewrite" },
    SupportedFeature { name: "HTTPRouteMethodMatching" },
    SupportedFeature { name: "HTTPRouteNamedRouteRule" },
    SupportedFeature { name: "HTTPRouteParentRefPort" },
    SupportedFeature { name: "HTTPRoutePathRedirect" },
    SupportedFeature { name: "HTTPRoutePathRewrite" },
    SupportedFeature { name: "HTTPRoutePortRedirect" },
    SupportedFeature { name: "HTTPRouteQueryParamMatching" },
    SupportedFeature { name: "HTTPRouteRequestMirror" },
    SupportedFeature { name: "HTTPRouteRequestMultipleMirrors" },
    SupportedFeature { name: "HTTPRouteRequestPercentageMirror" },
    SupportedFeature { name: "HTTPRouteRequestTimeout" },
    SupportedFeature { name: "HTTPRouteResponseHeaderModification" },
    SupportedFeature { name: "HTTPRouteRetry" },
    SupportedFeature { name: "HTTPRouteRetryBackendTimeout" },
    SupportedFeature { name: "HTTPRouteRetryConnectionError" },
    SupportedFeature { name: "HTTPRouteSchemeRedirect" },
    SupportedFeature { name: "ListenerSet" },
    SupportedFeature { name: "ReferenceGrant" },
    SupportedFeature { name: "TCPRoute" },
    SupportedFeature { name: "TLSRoute" },
    SupportedFeature { name: "TLSRouteModeMixed" },
    SupportedFeature { name: "TLSRouteModeTerminate" },
    SupportedFeature { name: "UDPRoute" },
];

/// Conditions of one object: all carry its generation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conditions {
    generation: i64,
}

impl Conditions {
    /// For the object with this metadata. A manifest that was never in a cluster has no generation: it is new, and
    /// the API server would call that 1.
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        Self { generation: metadata.generation.unwrap_or(1) }
    }

    fn positive(self, kind: &'static str, reason: &str, message: String) -> Condition {
        let status = ConditionStatus::True;
        Condition { kind, status, reason: reason.to_owned(), message, observed_generation: self.generation }
    }

    fn negative(self, kind: &'static str, reason: &str, message: String) -> Condition {
        Condition { status: ConditionStatus::False, ..self.positive(kind, reason, message) }
    }

    /// `Accepted` of a GatewayClass.
    pub(crate) fn class_accepted(self, faults: &[Fault]) -> Condition {
        match faults.first() {
            None => self.positive(ACCEPTED, "Accepted", "GatewayClass is handled by gatewasm.".to_owned()),
            Some(first) => self.negative(ACCEPTED, first.reason, lines(faults)),
        }
    }

    /// `SupportedVersion` of a GatewayClass, by the bundle versions among the installed CRDs that are not known.
    pub(crate) fn class_version(self, unknown: &[String]) -> Condition {
        if unknown.is_empty() {
            let message = "The Gateway API's CRDs are of a version that gatewasm knows.".to_owned();
            return self.positive(SUPPORTED_VERSION, "SupportedVersion", message);
        }
        let message = format!(
            "gatewasm follows the Gateway API {GATEWAY_API_VERSION}, and the bundle version of installed CRDs is {}; \
             what it does not know is ignored. Install the CRDs of {GATEWAY_API_VERSION}, or another gatewasm.",
            unknown.join(", ")
        );
        self.negative(SUPPORTED_VERSION, "UnsupportedVersion", message)
    }

    /// `Accepted` of a Gateway: by its own faults, then by how many of its listeners are accepted.
    pub(crate) fn gateway_accepted(
        self,
        faults: &[Fault],
        unaccepted: &[&str],
        listeners: usize,
    ) -> Condition {
        if let Some(first) = faults.first() {
            return self.negative(ACCEPTED, first.reason, lines(faults));
        }
        let named = quoted(unaccepted);
        match unaccepted.len() {
            0 => self.positive(ACCEPTED, "Accepted", "Gateway is accepted.".to_owned()),
            bad if bad < listeners => {
                let message = format!("Gateway is accepted without listener {named}; see status.listeners.");
                self.positive(ACCEPTED, "ListenersNotValid", message)
            }
            _ => {
                let message = format!("No listener is accepted ({named}); see status.listeners.");
                self.negative(ACCEPTED, "ListenersNotValid", message)
            }
        }
    }

    /// `Programmed` of a Gateway, as far as its translation tells.
    pub(crate) fn gateway_programmed(self, accepted: bool, served: &[&str]) -> Condition {
        if !accepted {
            self.negative(PROGRAMMED, "Invalid", "Gateway is not accepted, so nothing is served.".to_owned())
        } else if served.is_empty() {
            self.negative(
                PROGRAMMED,
                "Invalid",
                "No listener can be served; see status.listeners.".to_owned(),
            )
        } else {
            self.positive(PROGRAMMED, "Programmed", format!("Gateway serves listener {}.", quoted(served)))
        }
    }

    /// `ResolvedRefs` of a Gateway: its own references, then those of its listeners.
    pub(crate) fn gateway_resolved_refs(self, faults: &[Fault], unresolved: &[&str]) -> Condition {
        if faults.is_empty() && !unresolved.is_empty() {
            let message = format!(
                "References of listener {} are not resolved; see status.listeners.",
                quoted(unresolved)
            );
            return self.negative(RESOLVED_REFS, "ListenersNotResolved", message);
        }
        self.resolved_refs(faults)
    }

    /// `InsecureFrontendValidationMode` of a Gateway, which is set only where it is true: by these fields.
    pub(crate) fn insecure_frontend_validation(self, fields: &[String]) -> Condition {
        let message = format!(
            "Clients without a valid certificate are let in, by {}; their backends must tell them apart.",
            fields.join(", ")
        );
        self.positive(INSECURE_FRONTEND, "ConfigurationChanged", message)
    }

    /// `Accepted` of a BackendTLSPolicy by one Gateway.
    pub(crate) fn policy_accepted(self, faults: &[Fault]) -> Condition {
        match faults.first() {
            None => self.positive(ACCEPTED, "Accepted", "Policy is accepted.".to_owned()),
            Some(first) => self.negative(ACCEPTED, first.reason, lines(faults)),
        }
    }

    /// `Accepted` of a listener; of one that is, with what it asks for in vain.
    pub(crate) fn listener_accepted(self, faults: &[Fault], shortfalls: &[Fault]) -> Condition {
        match faults.first() {
            None => {
                let mut message = "Listener is accepted.".to_owned();
                if !shortfalls.is_empty() {
                    message = cut(format!("{message}\n{}", lines(shortfalls)));
                }
                self.positive(ACCEPTED, "Accepted", message)
            }
            Some(first) => self.negative(ACCEPTED, first.reason, lines(faults)),
        }
    }

    /// `Programmed` of a listener, as far as its translation tells.
    pub(crate) fn listener_programmed(self, served: bool, conflict: Option<&Fault>) -> Condition {
        if served {
            self.positive(PROGRAMMED, "Programmed", "Listener is served.".to_owned())
        } else {
            let message = "Listener is not served; see the Gateway's and the listener's other conditions.";
            let reason = conflict.map_or("Invalid", |conflict| conflict.reason);
            self.negative(PROGRAMMED, reason, message.to_owned())
        }
    }

    /// `Accepted` and `Programmed` of a ListenerSet, as far as its translation tells: by why the Gateway does not take
    /// it, or else by which of its listeners are served.
    pub(crate) fn listener_set(
        self,
        refused: Option<&Fault>,
        served: &[&str],
        unserved: &[&str],
    ) -> [Condition; 2] {
        if let Some(fault) = refused {
            // "ParentNotAccepted" is no reason for Programmed.
            let programmed =
                if fault.reason == "ParentNotAccepted" { "ParentNotProgrammed" } else { fault.reason };
            return [
                self.negative(ACCEPTED, fault.reason, fault.to_string()),
                self.negative(PROGRAMMED, programmed, fault.to_string()),
            ];
        }
        if served.is_empty() {
            let message = format!("No listener can be served ({}); see status.listeners.", quoted(unserved));
            return [ACCEPTED, PROGRAMMED]
                .map(|kind| self.negative(kind, "ListenersNotValid", message.clone()));
        }
        let (reason, message) = if unserved.is_empty() {
            ("Accepted", "ListenerSet is accepted.".to_owned())
        } else {
            let unserved = quoted(unserved);
            (
                "ListenersNotValid",
                format!("ListenerSet is accepted without listener {unserved}; see status.listeners."),
            )
        };
        [
            self.positive(ACCEPTED, reason, message),
            self.positive(PROGRAMMED, "Programmed", format!("Gateway serves listener {}.", quoted(served))),
        ]
    }

    /// `ResolvedRefs` of a listener or a route's parent.
    pub(crate) fn resolved_refs(self, faults: &[Fault]) -> Condition {
        match faults.first() {
            None => self.positive(RESOLVED_REFS, "ResolvedRefs", "All references are resolved.".to_owned()),
            Some(first) => self.negative(RESOLVED_REFS, first.reason, lines(faults)),
        }
    }

    /// `Conflicted` of a listener, which is set only where it is true.
    pub(crate) fn conflicted(self, fault: &Fault) -> Condition {
        self.positive(CONFLICTED, fault.reason, fault.to_string())
    }

    /// `OverlappingTLSConfig` of a listener, which is set only where it is true.
    pub(crate) fn overlapping_tls(self, fault: &Fault) -> Condition {
        self.positive(OVERLAPPING_TLS, fault.reason, fault.to_string())
    }

    /// `Accepted` of a route by one parent: attached to these listeners.
    pub(crate) fn route_accepted(self, listeners: &[&str]) -> Condition {
        self.positive(ACCEPTED, "Accepted", format!("Route is accepted by listener {}.", quoted(listeners)))
    }

    /// `Accepted` of a route that a parent does not take.
    pub(crate) fn route_refused(self, faults: &[Fault]) -> Condition {
        let reason = faults.first().map_or("UnsupportedValue", |fault| fault.reason);
        self.negative(ACCEPTED, reason, lines(faults))
    }

    /// `PartiallyInvalid` of a route, which is set only where it is true: some of its rules answer `failure`.
    ///
    /// The message has to begin with "Dropped Rule" or "Fall Back" (`RouteConditionPartiallyInvalid`); ours are
    /// dropped in so far as they send nothing to a backend.
    pub(crate) fn partially_invalid(self, rules: &[usize], failure: &str, faults: &[Fault]) -> Condition {
        let rules: Vec<String> = rules.iter().map(|rule| format!("spec.rules[{rule}]")).collect();
        let message = format!(
            "Dropped Rule: requests for {} are answered {failure}.\n{}",
            rules.join(", "),
            lines(faults)
        );
        self.positive(PARTIALLY_INVALID, "UnsupportedValue", cut(message))
    }
}

/// The faults, one a line.
fn lines(faults: &[Fault]) -> String {
    let mut faults: Vec<&Fault> = faults.iter().collect();
    faults.dedup();
    let mut lines: Vec<String> = faults.iter().take(MOST_FAULTS).map(ToString::to_string).collect();
    if faults.len() > MOST_FAULTS {
        lines.push(format!("and {} more", faults.len() - MOST_FAULTS));
    }
    cut(lines.join("\n"))
}

/// Shortens a message that an API server would refuse.
pub(crate) fn cut(message: String) -> String {
    match message.char_indices().nth(MOST_CHARACTERS) {
        None => message,
        Some(_) => message.chars().take(MOST_CHARACTERS - 1).chain(['…']).collect(),
    }
}

/// `"a", "b"`.
fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_cut_and_many_faults_counted() {
        let fault = |n: usize| Fault::new(format!("spec.rules[{n}]"), "UnsupportedValue", "x".repeat(5000));
        let faults: Vec<Fault> = (0..12).map(fault).collect();
        let condition = Conditions { generation: 3 }.route_refused(&faults);
        assert_eq!(condition.message.chars().count(), MOST_CHARACTERS);
        assert_eq!(condition.observed_generation, 3);
        let short: Vec<Fault> = (0..12).map(|n| Fault::new(format!("f{n}"), "R", "m")).collect();
        assert!(lines(&short).ends_with("f9: m\nand 2 more"));
    }

    #[test]
    fn features_are_sorted() {
        assert!(SUPPORTED_FEATURES.is_sorted_by_key(|feature| feature.name));
    }
}
