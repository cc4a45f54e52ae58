//! HTTPRoutes and GRPCRoutes as one: what both have, so that attachment, references, filters, sessions and statuses
//! have one implementation ([`super::route`]). What differs is decided here, once.

use gatewasm_routing::config::{self, RouteKind};

use super::backend::Speaks;
use super::parents::Header;
use super::{grpc_match, route_match};
use crate::api::{
    GrpcRoute, GrpcRouteMatch, HttpBackendRef, HttpRoute, HttpRouteFilter, HttpRouteMatch, HttpRouteRetry,
    HttpRouteTimeouts, SectionName, SessionPersistence,
};
use crate::fault::Fault;
use crate::object::ObjectKey;

/// A route of either kind.
pub(super) struct Route<'r> {
    pub(super) kind: RouteKind,
    pub(super) header: Header<'r>,
    pub(super) rules: Vec<Rule<'r>>,
}

/// A rule of either kind of route.
pub(super) struct Rule<'r> {
    pub(super) name: Option<&'r SectionName>,
    pub(super) matches: Matches<'r>,
    pub(super) filters: &'r [HttpRouteFilter],
    pub(super) backend_refs: &'r [HttpBackendRef],
    pub(super) timeouts: Option<&'r HttpRouteTimeouts>,
    pub(super) retry: Option<&'r HttpRouteRetry>,
    pub(super) session_persistence: Option<&'r SessionPersistence>,
}

/// The matches of a rule.
#[derive(Clone, Copy)]
pub(super) enum Matches<'r> {
    Http(&'r [HttpRouteMatch]),
    Grpc(&'r [GrpcRouteMatch]),
}

impl<'r> Route<'r> {
    pub(super) fn http(key: &'r ObjectKey, route: &'r HttpRoute) -> Self {
        let rules = route.spec.rules.iter().map(|rule| Rule {
            name: rule.name.as_ref(),
            matches: Matches::Http(&rule.matches),
            filters: &rule.filters,
            backend_refs: &rule.backend_refs,
            timeouts: rule.timeouts.as_ref(),
            retry: rule.retry.as_ref(),
            session_persistence: rule.session_persistence.as_ref(),
        });
        let header = Header {
            kind: RouteKind::HttpRoute.name(),
            key,
            metadata: &route.metadata,
            parent_refs: &route.spec.parent_refs,
            use_default_gateways: route.spec.use_default_gateways,
            hostnames: &route.spec.hostnames,
        };
        Self { kind: RouteKind::HttpRoute, header, rules: rules.collect() }
    }

    pub(super) fn grpc(key: &'r ObjectKey, route: &'r GrpcRoute) -> Self {
        let rules = route.spec.rules.iter().map(|rule| Rule {
            name: rule.name.as_ref(),
            matches: Matches::Grpc(&rule.matches),
            filters: &rule.filters,
            backend_refs: &rule.backend_refs,
            timeouts: None,
            retry: None,
            session_persistence: rule.session_persistence.as_ref(),
        });
        let header = Header {
            kind: RouteKind::GrpcRoute.name(),
            key,
            metadata: &route.metadata,
            parent_refs: &route.spec.parent_refs,
            use_default_gateways: route.spec.use_default_gateways,
            hostnames: &route.spec.hostnames,
        };
        Self { kind: RouteKind::GrpcRoute, header, rules: rules.collect() }
    }

    /// What is spoken with its backends.
    pub(super) fn speaks(&self) -> Speaks {
        match self.kind {
            RouteKind::HttpRoute => Speaks::AsService,
            RouteKind::GrpcRoute => Speaks::Http2,
        }
    }

    /// What is answered for what cannot be served.
    pub(super) fn failure(&self) -> &'static str {
        failure(self.kind)
    }
}

/// What routes of this kind answer for what cannot be served, for messages: a status code or that of gRPC.
pub(crate) fn failure(kind: RouteKind) -> &'static str {
    match kind {
        RouteKind::HttpRoute => "500",
        RouteKind::GrpcRoute => "UNAVAILABLE",
    }
}

impl<'r> Matches<'r> {
    /// The matches for the filter config, and what is wrong with them.
    pub(super) fn translate(self, field: &str) -> (Vec<config::RouteMatch>, Vec<Fault>) {
        let place = |i: usize| format!("{field}[{i}]");
        let (matches, faults): (Vec<_>, Vec<_>) = match self {
            Self::Http(list) => {
                list.iter().enumerate().map(|(i, it)| route_match::translate(it, &place(i))).unzip()
            }
            Self::Grpc(list) => {
                list.iter().enumerate().map(|(i, it)| grpc_match::translate(it, &place(i))).unzip()
            }
        };
        (matches, faults.into_iter().flatten().collect())
    }

    /// Those of an HTTPRoute, on which some filters depend.
    pub(super) fn http(self) -> &'r [HttpRouteMatch] {
        match self {
            Self::Http(matches) => matches,
            Self::Grpc(_) => &[],
        }
    }
}
