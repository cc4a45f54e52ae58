//! Every test of the Gateway API's conformance suite for HTTP and gRPC has cases in the request table, by its name, or a
//! reason why it has none. The list is the suite's at v1.6.1, and what its next release adds; a case that claims the name
//! of a test that is not listed is a mistake.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow, ensure};
use gatewasm_tests::requests::tables;
use gatewasm_tests::suite::suite;

/// Where a test of the suite has its like.
#[derive(Clone, Copy)]
enum Place {
    /// Cases of the table whose names begin like this.
    Cases(&'static str),
    /// The same, and functions of `policies.rs` whose names begin like this: the table has no policies at work.
    CasesAndPolicies(&'static str),
    /// Not in the table, and why.
    Elsewhere(&'static str),
}

use Place::{Cases, CasesAndPolicies, Elsewhere};

const CONDITIONS: Place = Elsewhere("conditions and counts of routes alone: tests/golden");
const GENERATIONS: Place = Elsewhere("generations, which objects have in a cluster alone");
const ENDPOINTS: Place = Elsewhere("which endpoints a Service has: tests/golden/backend");
const ADDRESSES: Place = Elsewhere("addresses of Gateways and what stands for them in a cluster");
const BACKEND_TLS: Place = Elsewhere("TLS to backends, which no filter config has");
const CLIENT_CERTIFICATES: Place = Elsewhere("certificates of clients, which no filter config has");
const LISTENER_SETS: Place =
    Elsewhere("ListenerSets, whose listeners are listeners like others in a filter config");

/// Tests of the profiles GATEWAY-HTTP and GATEWAY-GRPC at v1.6.1: what every implementation does, what it may do, gRPC.
const SUITE: [(&str, Place); 37 + 57 + 5] = [
    ("GatewayListenerUnsupportedProtocol", CONDITIONS),
    ("GatewayInvalidParametersRef", CONDITIONS),
    ("GatewayInvalidRouteKind", CONDITIONS),
    ("GatewayInvalidTLSConfiguration", CONDITIONS),
    ("GatewayModifyListeners", CONDITIONS),
    ("GatewayObservedGenerationBump", GENERATIONS),
    ("GatewaySecretInvalidReferenceGrant", CONDITIONS),
    ("GatewaySecretMissingReferenceGrant", CONDITIONS),
    ("GatewaySecretReferenceGrantAllInNamespace", CONDITIONS),
    ("GatewaySecretReferenceGrantSpecific", CONDITIONS),
    ("GatewayWithAttachedRoutes", CONDITIONS),
    ("GatewayClassObservedGenerationBump", GENERATIONS),
    ("HTTPRouteCrossNamespace", Cases("httproute-cross-namespace")),
    ("HTTPRouteExactPathMatching", Cases("httproute-exact-path-matching")),
    ("HTTPRouteHeaderMatching", Cases("httproute-header-matching")),
    ("HTTPRouteHostnameIntersection", Cases("httproute-hostname-intersection")),
    ("HTTPRouteHTTPSListener", Cases("httproute-https-listener")),
    ("HTTPRouteInvalidBackendRefUnknownKind", Cases("httproute-invalid-backendref-unknown-kind")),
    ("HTTPRouteInvalidCrossNamespaceBackendRef", Cases("httproute-invalid-cross-namespace-backend-ref")),
    ("HTTPRouteInvalidCrossNamespaceParentRef", CONDITIONS),
    ("HTTPRouteInvalidNonExistentBackendRef", Cases("httproute-invalid-nonexistent-backendref")),
    ("HTTPRouteInvalidParentRefNotMatchingSectionName", CONDITIONS),
    ("HTTPRouteInvalidReferenceGrant", Cases("httproute-invalid-reference-grant")),
    ("HTTPRouteListenerHostnameMatching", Cases("httproute-listener-hostname-matching")),
    ("HTTPRouteMatchingAcrossRoutes", Cases("httproute-matching-across-routes")),
    ("HTTPRouteMatching", Cases("httproute-matching")),
    ("HTTPRouteMultipleGateways", Cases("httproute-multiple-gateways")),
    ("HTTPRouteObservedGenerationBump", GENERATIONS),
    ("HTTPRouteNoBackendRefs", Cases("httproute-omitted-backendrefs")),
    (
        "HTTPRoutePartiallyInvalidViaInvalidReferenceGrant",
        Cases("httproute-partially-invalid-via-invalid-reference-grant"),
    ),
    ("HTTPRoutePathMatchOrder", Cases("httproute-path-match-order")),
    ("HTTPRouteRedirectHostAndStatus", Cases("httproute-redirect-host-and-status")),
    ("HTTPRouteReferenceGrant", Cases("httproute-reference-grant")),
    ("HTTPRouteRequestHeaderModifier", Cases("httproute-request-header-modifier")),
    ("HTTPRouteServiceTypes", ENDPOINTS),
    ("HTTPRouteSimpleSameNamespace", Cases("httproute-simple-same-namespace")),
    ("HTTPRouteWeight", Cases("httproute-weight")),
    ("BackendTLSPolicyConflictResolution", BACKEND_TLS),
    ("BackendTLSPolicyInvalidCACertificateRef", BACKEND_TLS),
    ("BackendTLSPolicyInvalidKind", BACKEND_TLS),
    ("BackendTLSPolicyObservedGenerationBump", BACKEND_TLS),
    ("BackendTLSPolicySANValidation", BACKEND_TLS),
    ("BackendTLSPolicy", BACKEND_TLS),
    ("GatewayHTTPListenerIsolation", Cases("gateway-http-listener-isolation")),
    ("GatewayInfrastructure", ADDRESSES),
    ("GatewayFrontendInvalidDefaultClientCertificateValidation", CLIENT_CERTIFICATES),
    ("GatewayInvalidTLSBackendConfiguration", BACKEND_TLS),
    ("GatewayOptionalAddressValue", ADDRESSES),
    ("GatewayStaticAddresses", ADDRESSES),
    ("GatewayTLSBackendClientCertificate", BACKEND_TLS),
    ("GatewayWithAttachedRoutesWithPort8080", CONDITIONS),
    ("GatewayFrontendClientCertificateValidationInsecureFallback", CLIENT_CERTIFICATES),
    ("GatewayFrontendClientCertificateValidation", CLIENT_CERTIFICATES),
    ("GatewayInvalidFrontendClientCertificateValidation", CLIENT_CERTIFICATES),
    ("HTTPRoute303Redirect", Cases("httproute-303-redirect")),
    ("HTTPRoute307Redirect", Cases("httproute-307-redirect")),
    ("HTTPRoute308Redirect", Cases("httproute-308-redirect")),
    ("HTTPRouteBackendProtocolH2C", CasesAndPolicies("httproute-backend-protocol-h2c")),
    ("HTTPRouteBackendProtocolWebSocket", CasesAndPolicies("httproute-backend-protocol-websocket")),
    ("HTTPRouteCORS", Cases("httproute-cors")),
    (
        "HTTPRouteHTTPSListenerDetectMisdirectedRequests",
        Cases("httproute-https-listener-detect-misdirected-requests"),
    ),
    ("HTTPRouteInvalidParentRefNotMatchingListenerPort", CONDITIONS),
    ("HTTPRouteInvalidParentRefSectionNameNotMatchingPort", CONDITIONS),
    ("HTTPRouteListenerPortMatching", Cases("httproute-listener-port-matching")),
    ("HTTPRouteMethodMatching", Cases("httproute-method-matching")),
    ("HTTPRouteNamedRule", Cases("httproute-named-rule")),
    ("HTTPRouteQueryParamMatching", Cases("httproute-query-param-matching")),
    ("HTTPRouteRedirectPath", Cases("httproute-redirect-path")),
    ("HTTPRouteRedirectPortAndScheme", Cases("httproute-redirect-port-and-scheme")),
    ("HTTPRouteRedirectPort", Cases("httproute-redirect-port")),
    ("HTTPRouteRedirectScheme", Cases("httproute-redirect-scheme")),
    (
        "HTTPRouteRequestHeaderModifierBackendWeights",
        Cases("httproute-request-header-modifier-backend-weights"),
    ),
    ("HTTPRouteBackendRequestHeaderModifier", Cases("httproute-backend-request-header-modifier")),
    ("HTTPRouteRequestMirror", CasesAndPolicies("httproute-request-mirror")),
    ("HTTPRouteRequestMultipleMirrors", CasesAndPolicies("httproute-request-multiple-mirrors")),
    ("HTTPRouteRequestPercentageMirror", CasesAndPolicies("httproute-request-percentage-mirror")),
    ("HTTPRouteResponseHeaderModifier", Cases("httproute-response-header-modifier")),
    ("HTTPRouteRetry", CasesAndPolicies("httproute-retry")),
    ("HTTPRouteRewriteHost", Cases("httproute-rewrite-host")),
    ("HTTPRouteRewritePath", Cases("httproute-rewrite-path")),
    ("HTTPRouteTimeoutBackendRequest", CasesAndPolicies("httproute-timeout-backend-request")),
    ("HTTPRouteTimeoutRequest", CasesAndPolicies("httproute-timeout-request")),
    ("ListenerSetAllowedNamespaceNone", LISTENER_SETS),
    ("ListenerSetAllowedNamespaceSame", LISTENER_SETS),
    ("ListenerSetAllowedNamespaceSelector", LISTENER_SETS),
    ("ListenerSetAllowedRoutesNamespaces", LISTENER_SETS),
    ("ListenerSetDefaultNotAllowed", LISTENER_SETS),
    ("ListenerSetDualParentRefIndependence", LISTENER_SETS),
    ("ListenerSetGatewayParentSectionNameNotFound", LISTENER_SETS),
    ("ListenerSetHostnameConflict", LISTENER_SETS),
    ("ListenerSetHTTPRouting", LISTENER_SETS),
    ("ListenerSetProtocolConflict", LISTENER_SETS),
    ("ListenerSetReferenceGrant", LISTENER_SETS),
    ("ListenerSetRouteStatusScopedToParentRef", LISTENER_SETS),
    ("GRPCExactMethodMatching", Cases("grpcroute-exact-method-matching")),
    ("GRPCRouteHeaderMatching", Cases("grpcroute-header-matching")),
    ("GRPCRouteListenerHostnameMatching", Cases("grpcroute-listener-hostname-matching")),
    ("GRPCRouteNamedRule", Cases("grpcroute-named-rule")),
    ("GRPCRouteWeight", Cases("grpcroute-weight")),
];

/// What the suite has after v1.6.1.
const NEXT: [(&str, Place); 10] = [
    ("GatewayNameMaximumLength", CONDITIONS),
    ("HTTPRouteAllBackendsWeightZero", Cases("httproute-all-backends-weight-zero")),
    ("HTTPRouteBackendRequestRedirect", Cases("httproute-backend-request-redirect")),
    ("HTTPRouteBackendURLRewrite", Cases("httproute-backend-url-rewrite")),
    ("HTTPRouteRetryConnectionError", CasesAndPolicies("httproute-retry-connection-error")),
    ("HTTPRouteRetryWithTimeouts", CasesAndPolicies("httproute-retry-with-timeouts")),
    ("BackendTLSPolicyGRPCRoute", BACKEND_TLS),
    ("BackendTLSPolicyTLSRouteTerminate", BACKEND_TLS),
    ("GRPCRouteAllBackendsWeightZero", Cases("grpcroute-all-backends-weight-zero")),
    ("GRPCRouteRequestHeaderModifier", Cases("grpcroute-request-header-modifier")),
];

#[test]
fn every_test_of_the_conformance_suite_has_its_place() -> Result<()> {
    let places = || SUITE.iter().chain(&NEXT);
    let names: BTreeSet<_> = places().map(|(name, _)| name).collect();
    ensure!(names.len() == SUITE.len() + NEXT.len(), "a test is listed twice");

    let prefixes: Vec<&str> = places()
        .filter_map(|(_, place)| match place {
            Cases(prefix) | CasesAndPolicies(prefix) => Some(*prefix),
            Elsewhere(_) => None,
        })
        .collect();
    let tables = tables().map_err(|fault| anyhow!(fault))?;
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for table in tables.iter().filter(|table| table.file.starts_with("conformance")) {
        for case in &table.cases {
            // Some names begin with another: the longest is meant.
            let of = prefixes.iter().filter(|prefix| begins(&case.name, prefix)).max_by_key(|it| it.len());
            used.extend(of);
            ensure!(of.is_some(), "{}: {} is named after no test of the suite", table.file, case.name);
        }
    }
    let driver = include_str!("policies.rs");
    for (name, place) in places() {
        match place {
            Cases(prefix) => ensure!(used.contains(prefix), "{name}: no case is named {prefix}"),
            CasesAndPolicies(prefix) => {
                ensure!(used.contains(prefix), "{name}: no case is named {prefix}");
                let function = format!("async fn {}", prefix.replace('-', "_"));
                ensure!(driver.contains(&function), "{name}: policies.rs has no test named {function}");
            }
            Elsewhere(reason) => ensure!(!reason.is_empty(), "{name}: there is no reason"),
        }
    }
    Ok(())
}

#[test]
fn the_list_is_the_suites() -> Result<()> {
    let of_other_kinds = ["TLSRoute", "TCPRoute", "UDPRoute"];
    let suite = suite()?;
    let here =
        suite.tests.iter().filter(|(_, needed)| of_other_kinds.iter().all(|kind| !needed.contains(kind)));
    let here: BTreeSet<&str> = here.map(|(name, _)| *name).collect();
    let listed: BTreeSet<&str> = SUITE.iter().map(|(name, _)| *name).collect();
    let differ: Vec<_> = here.symmetric_difference(&listed).collect();
    ensure!(differ.is_empty(), "listed and not in the suite, or in it and not listed: {differ:?}");
    Ok(())
}

/// Whether a name is this one, or this one with more behind a dash.
fn begins(name: &str, with: &str) -> bool {
    name.strip_prefix(with).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}
