//! What can happen to a request, as others see it. How it comes about is decided in [`crate::serve`].

use std::fmt;

use crate::action::Edits;
use crate::action::headers::HeaderEdits;
use crate::config::RouteKind;
use crate::request::Request;
use crate::session::Session;
use crate::table::Listener;

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Decision<'t> {
    /// It goes to an Envoy cluster.
    Forward {
        /// Name of the cluster.
        cluster: &'t str,
        /// Name of the policy of Envoy's that it goes under, if any.
        policy: Option<&'t str>,
        /// What decided it.
        matched: Matched<'t>,
        /// What changes on the way there and back.
        edits: Edits<'t>,
        /// The client's session, where the rule has sessions.
        session: Option<Box<Session>>,
    },
    /// The client is sent elsewhere.
    Redirect {
        /// Status of the answer.
        status: u16,
        /// Value of its `Location`, visible ASCII.
        location: String,
        /// What decided it.
        matched: Matched<'t>,
        /// Changes of the answer's headers.
        response_headers: HeaderEdits<'t>,
    },
    /// It is answered here.
    Respond {
        /// Status of the answer, where it is not one of gRPC.
        status: u16,
        /// Status of gRPC, where the answer is one of gRPC.
        grpc_status: Option<u32>,
        /// Why.
        cause: Cause,
        /// The listener that it belongs to, if any.
        listener: Option<&'t str>,
        /// The match that decided it, if any.
        matched: Option<Matched<'t>>,
        /// Changes of the answer's headers.
        response_headers: HeaderEdits<'t>,
    },
}

impl<'t> Decision<'t> {
    /// The answer to a request that no rule takes, of this listener if it is of one.
    pub(crate) fn not_taken(cause: Cause, listener: Option<&'t Listener>, request: &Request<'_>) -> Self {
        let answers = listener.and_then(|listener| listener.answers.as_ref());
        Self::Respond {
            status: cause.status(),
            grpc_status: cause.grpc_status(None, request),
            cause,
            listener: listener.map(|listener| listener.name.as_str()),
            matched: None,
            response_headers: HeaderEdits::of_listener(answers),
        }
    }
}

/// Which match decided about a request.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'t> {
    /// Name of the listener.
    pub listener: &'t str,
    /// The route.
    pub route: &'t RouteId,
    /// Index of the rule in the route.
    pub rule: usize,
    /// Index of the match in the rule; 0 for a rule that has none.
    pub match_index: usize,
}

/// Which object a rule comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteId {
    /// Its kind.
    pub kind: RouteKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `HTTPRoute namespace/name`, ready for logs.
    pub label: String,
}

impl RouteId {
    pub(crate) fn new(kind: RouteKind, namespace: &str, name: &str) -> Self {
        let label = format!("{kind} {namespace}/{name}");
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned(), label }
    }

    /// `namespace/name`.
    pub(crate) fn key(&self) -> &str {
        self.label.split_once(' ').map_or("", |(_, key)| key)
    }
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

/// Why a request is answered by the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The entry is unknown, or no listener of its port serves the host.
    NoListener,
    /// The host belongs to another listener than the one whose certificate the client was shown.
    Misdirected,
    /// No rule of the listener matches.
    NoRoute,
    /// The rule cannot be served as written.
    InvalidRule,
    /// The rule has no backend with a weight above 0.
    NoBackends,
    /// The chosen share belongs to a backend that cannot be used.
    InvalidBackend,
    /// The rule redirects, and the request has no host or path from which a location could be made.
    NoLocation,
    /// An element of the path means one thing to the rules and may mean another to the backend.
    AmbiguousPath,
    /// It is a preflight request for a rule with CORS, of an origin that may use the rule.
    Preflight,
    /// It is a preflight request for a rule with CORS, of an origin that may not.
    OriginRefused,
}

/// Status codes of gRPC (grpc.io, "Status codes and their use in gRPC").
const UNIMPLEMENTED: u32 = 12;
const UNAVAILABLE: u32 = 14;

impl Cause {
    /// The status of the answer.
    ///
    /// "404 … if no rules matching a request have been successfully attached", 500 for a rule or share without a
    /// usable backend (Gateway API `HTTPRouteRule`); 421 for a request that came in by another listener's
    /// certificate (Gateway API `ListenerTLSConfig`, RFC 9110, 15.5.20); for preflight requests decision record 0011.
    pub fn status(self) -> u16 {
        match self {
            Self::NoListener | Self::NoRoute => 404,
            Self::Misdirected => 421,
            Self::NoLocation | Self::AmbiguousPath => 400,
            Self::InvalidRule | Self::NoBackends | Self::InvalidBackend => 500,
            Self::Preflight => 204,
            Self::OriginRefused => 403,
        }
    }

    /// The status of gRPC for a request that a route of this `kind` takes, or none: "UNIMPLEMENTED … if no rules
    /// matching a request have been successfully attached", and UNAVAILABLE for a rule or share without a usable
    /// backend (Gateway API `GRPCRouteRule`; decision record 0013). Where there is none here, Envoy makes one of the
    /// HTTP status.
    pub(crate) fn grpc_status(self, kind: Option<RouteKind>, request: &Request<'_>) -> Option<u32> {
        let status = match (self, kind) {
            (Self::NoListener | Self::NoRoute, _) => UNIMPLEMENTED,
            (Self::InvalidRule | Self::NoBackends | Self::InvalidBackend, Some(RouteKind::GrpcRoute)) => {
                UNAVAILABLE
            }
            _ => return None,
        };
        request.is_grpc().then_some(status)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoListener => "no listener serves this host",
            Self::Misdirected => "another listener serves this host",
            Self::NoRoute => "no rule matches",
            Self::InvalidRule => "the rule is not valid",
            Self::NoBackends => "the rule has no backends",
            Self::InvalidBackend => "the backend is not valid",
            Self::NoLocation => "the request has no host or path to make a location from",
            Self::AmbiguousPath => {
                "the path has an element \".;\" or \"..;\", which a backend may take for \".\" or \"..\""
            }
            Self::Preflight => "a preflight request, which the rule's CORS filter answers",
            Self::OriginRefused => {
                "a preflight request of an origin that the rule's CORS filter does not allow"
            }
        })
    }
}
