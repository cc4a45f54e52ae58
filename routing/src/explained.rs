//! The form of an explanation. Data only: it comes about in [`crate::explain`] and [`crate::explain_rule`].

use serde::Serialize;

use crate::action::headers::HeaderEdit;
use crate::config::{Header, RouteKind, SessionType};

/// The decision about one request, and the reasons for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// What happens to the request.
    pub decision: ExplainedDecision,
    /// Name of the listener that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
    /// The route that takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<ExplainedRoute>,
    /// Index of the rule in the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
    /// Index of the match in the rule; 0 for a rule that has none.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub match_index: Option<usize>,
    /// What the rule says to other origins, where it has CORS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<ExplainedCors>,
    /// What the request has of a session, where the rule has sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<ExplainedSession>,
    /// What changes on the way to the backend and back, where it is the same for every backend that may be chosen.
    #[serde(skip_serializing_if = "ExplainedEdits::is_empty")]
    pub edits: ExplainedEdits,
    /// What a backend receives, where it is the same for every backend that may be chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<ExplainedUpstream>,
    /// The rule's backends.
    pub backends: Vec<ExplainedBackend>,
    /// Every match of the listener: those that match in order of precedence, then the others.
    pub candidates: Vec<Candidate>,
}

/// What happens to the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedDecision {
    /// Whether it is forwarded, redirected or answered by the filter.
    #[serde(rename = "type")]
    pub kind: DecisionType,
    /// The status, where it is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The status of gRPC in place of that, where it is answered so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grpc_status: Option<u32>,
    /// The cluster, where it is the only one that may get the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The policy that it goes under to that cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Where the client is sent, where it is redirected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The reason in words.
    pub because: String,
}

/// Whether a request is forwarded, redirected or answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum DecisionType {
    /// To a backend; where weights choose between several, an invalid share is answered 500 all the same, and one that
    /// redirects is redirected.
    Forward,
    /// By the filter, with another location.
    Redirect,
    /// By the filter.
    Respond,
}

/// The object that a rule comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedRoute {
    /// Its kind.
    pub kind: RouteKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for ExplainedRoute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// A backend of the rule; exactly one of `cluster` and `invalid` is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedBackend {
    /// Name of the Envoy cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Why it cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
    /// Its share, relative to the sum of all.
    pub weight: u32,
    /// The policy of its requests: its own, or the rule's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Where the clients of this share are sent, where the backends differ and this one redirects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What changes for this share, where the backends differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edits: Option<ExplainedEdits>,
    /// What it receives, where the backends differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<ExplainedUpstream>,
}

/// What changes on the way to the backend and back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExplainedEdits {
    /// The host that the backend sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The path, with the query string, that the backend sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Changes of the request's headers, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_headers: Vec<HeaderEdit>,
    /// Changes of the answer's headers, in their order. What a session adds depends on the endpoint and is not here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<HeaderEdit>,
}

impl ExplainedEdits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A request as its backend receives it, but for what Envoy adds by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedUpstream {
    /// Method.
    pub method: String,
    /// Host.
    pub host: String,
    /// Path, with the query string.
    pub path: String,
    /// The headers that were added or changed; repeated ones joined by commas.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// The headers that were taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
}

/// What a rule with CORS says to the origin of a request. How it says so stands among the changes of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedCors {
    /// Whether it is a preflight request, which the rule answers for the request that it asks about.
    pub preflight: bool,
    /// Whether the origin may use the rule; absent without an origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<bool>,
    /// The reason in words.
    pub because: String,
}

/// What a request has of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExplainedSession {
    /// What carries the sessions of the rule.
    #[serde(rename = "type")]
    pub kind: SessionType,
    /// Name of the cookie or header.
    pub name: String,
    /// Whether the request has a session that counts.
    pub counts: bool,
    /// Endpoint of the cluster that the session names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The reason in words.
    pub because: String,
}

/// One match of the listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The route that it comes from.
    pub route: ExplainedRoute,
    /// Index of its rule in the route.
    pub rule: usize,
    /// Its index in the rule.
    #[serde(rename = "match")]
    pub match_index: usize,
    /// Whether it takes the request.
    pub won: bool,
    /// Why it does, or does not.
    pub because: String,
}
