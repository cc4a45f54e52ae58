//! Why a request is decided as it is: every match of its listener, and what speaks for or against it.
//!
//! It looks at all matches one by one, without the index that [`RouteTable::decide`] uses; a property test holds the
//! two to the same answer.

use serde::Serialize;

use crate::action::headers::HeaderEdit;
use crate::backend::{Share, Target};
use crate::config::{PathMatchType, RouteKind};
use crate::matching::header;
use crate::matching::host::{Host, Hostname};
use crate::matching::query;
use crate::matching::value::Value;
use crate::precedence::{Criterion, Precedence};
use crate::request::Request;
use crate::table::{Attached, Cause, Decision, Listener, Match, RouteId, RouteTable, Rule};

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
    /// What changes on the way to the backend and back, where it is the same for every backend that may be chosen.
    #[serde(skip_serializing_if = "ExplainedEdits::is_empty")]
    pub edits: ExplainedEdits,
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
    /// The cluster, where it is the only one that may get the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
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
    /// Where the clients of this share are sent, where the backends differ and this one redirects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What changes for this share, where the backends differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edits: Option<ExplainedEdits>,
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
    /// Changes of the answer's headers, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_headers: Vec<HeaderEdit>,
}

impl ExplainedEdits {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
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

impl RouteTable {
    /// Explains what [`RouteTable::decide`] does with a request.
    pub fn explain(&self, entry: &[u8], request: &Request<'_>) -> Explanation {
        if request.is_ambiguous() {
            return Explanation::without_listener(Cause::AmbiguousPath, entry, request);
        }
        let host = Host::of(request.authority);
        let listener = match self.listener(entry, &host) {
            Ok(listener) => listener,
            Err(cause) => return Explanation::without_listener(cause, entry, request),
        };
        let (met, unmet) = self.examine(listener, &host, request);
        let winner = met.first();
        let runner_up = met.get(1);
        let mut candidates = Vec::with_capacity(met.len().saturating_add(unmet.len()));
        for (place, contender) in met.iter().enumerate() {
            let because = match (winner, runner_up) {
                (Some(winner), _) if place > 0 => {
                    format!("lost to {winner}: {}", winner.advantage(contender))
                }
                (_, Some(runner_up)) => format!("won over {runner_up}: {}", contender.advantage(runner_up)),
                _ => "the only match".to_owned(),
            };
            candidates.push(contender.candidate(place == 0, because));
        }
        candidates.extend(unmet.into_iter().map(|(contender, because)| contender.candidate(false, because)));
        let (decision, edits, backends) = winner.map_or_else(
            || (ExplainedDecision::no_route(), ExplainedEdits::default(), Vec::new()),
            |winner| self.explain_rule(listener, winner, request),
        );
        Explanation {
            decision,
            listener: Some(listener.name.clone()),
            route: winner.map(|winner| winner.route.into()),
            rule: winner.map(|winner| winner.rule.index),
            match_index: winner.map(|winner| winner.of.index),
            edits,
            backends,
            candidates,
        }
    }

    /// What the rule does with the request, for each share that may be drawn.
    fn explain_rule(
        &self,
        listener: &Listener,
        winner: &Contender<'_>,
        request: &Request<'_>,
    ) -> (ExplainedDecision, ExplainedEdits, Vec<ExplainedBackend>) {
        let rule = winner.rule;
        let serve = |share| self.serve(listener, winner.of, rule, share, request);
        let shares: Vec<&Share> = rule.backends.iter().filter(|share| share.weight > 0).collect();
        let decisions: Vec<_> = match shares.as_slice() {
            [] => vec![serve(None)],
            shares => shares.iter().map(|share| serve(Some(share))).collect(),
        };
        let decision = ExplainedDecision::of(rule, &shares, &decisions);
        let mut edits: Vec<_> = decisions.iter().map(ExplainedEdits::from).collect();
        edits.dedup();
        let mut backends = explain_backends(rule);
        let alike = match edits.as_slice() {
            [alike] => Some(alike.clone()),
            _ => None,
        };
        if alike.is_none() || decision.location.is_none() {
            for (backend, share) in backends.iter_mut().zip(rule.backends.iter()) {
                let decision = serve(Some(share));
                backend.location = ExplainedDecision::from(&decision).location;
                backend.edits = if alike.is_none() { Some((&decision).into()) } else { None };
            }
        }
        (decision, alike.unwrap_or_default(), backends)
    }

    /// Every match of the listener, parted into those that the request meets and, with a reason, those that it does
    /// not; each part in order of precedence.
    fn examine<'t>(
        &'t self,
        listener: &'t Listener,
        host: &Host,
        request: &Request<'_>,
    ) -> (Vec<Contender<'t>>, Vec<(Contender<'t>, String)>) {
        let (mut met, mut unmet) = (Vec::new(), Vec::new());
        for attached in &listener.attached {
            let hostname = attached.best_hostname(host);
            for id in attached.matches.clone() {
                let Some(contender) = self.contender(id, hostname) else { continue };
                let obstacle = match hostname {
                    None => Some(attached.hostname_obstacle()),
                    Some(_) => obstacle(contender.of, request),
                };
                match obstacle {
                    None => met.push(contender),
                    Some(obstacle) => unmet.push((contender, obstacle)),
                }
            }
        }
        met.sort_by_key(|contender| contender.precedence);
        unmet.sort_by_key(|(contender, _)| contender.precedence);
        (met, unmet)
    }

    fn contender<'t>(&'t self, id: u32, hostname: Option<Hostname<'t>>) -> Option<Contender<'t>> {
        let of = self.match_at(id)?;
        let rule = self.rules.get(of.rule)?;
        let route = &self.routes.get(rule.route)?.id;
        let hostname = hostname.unwrap_or(Hostname::Any);
        Some(Contender { precedence: self.precedence(hostname.rank(), of)?, hostname, of, rule, route })
    }
}

/// A match and what it stands for.
struct Contender<'t> {
    precedence: Precedence<'t>,
    /// The most specific hostname of its route that matches.
    hostname: Hostname<'t>,
    of: &'t Match,
    rule: &'t Rule,
    route: &'t RouteId,
}

impl std::fmt::Display for Contender<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rules[{}].matches[{}]", self.route, self.rule.index, self.of.index)
    }
}

impl Contender<'_> {
    fn candidate(&self, won: bool, because: String) -> Candidate {
        let route = self.route.into();
        Candidate { route, rule: self.rule.index, match_index: self.of.index, won, because }
    }

    /// In what `self` is ahead of a contender that stands behind it.
    fn advantage(&self, other: &Self) -> String {
        let (ours, theirs) = (&self.precedence, &other.precedence);
        let Some((criterion, _)) = ours.decide(theirs) else { return String::new() };
        match criterion {
            Criterion::NonWildcardHostname => {
                format!("exact hostname {} over {}", self.hostname, other.hostname)
            }
            Criterion::Hostname => format!("longer hostname {} over {}", self.hostname, other.hostname),
            Criterion::PathType => format!("{:?} path over {:?}", ours.path_type, theirs.path_type),
            Criterion::PathLength => {
                let what = match ours.path_type {
                    PathMatchType::Exact => "path",
                    PathMatchType::PathPrefix => "prefix",
                    PathMatchType::RegularExpression => "expression",
                };
                let (path, other_path) = (self.of.path.value(), other.of.path.value());
                let (length, other_length) = (ours.path_length, theirs.path_length);
                format!("longer {what} \"{path}\" ({length}) over \"{other_path}\" ({other_length})")
            }
            Criterion::Method => {
                format!(
                    "method {} over any method",
                    self.of.conditions.method.map_or("", |method| method.name())
                )
            }
            Criterion::Headers => format!("more headers ({} over {})", ours.headers, theirs.headers),
            Criterion::QueryParams => {
                format!("more query parameters ({} over {})", ours.query_params, theirs.query_params)
            }
            Criterion::CreationTimestamp => {
                let created = |of: &Precedence<'_>| {
                    of.created.map_or("an unknown time".to_owned(), |time| time.to_string())
                };
                format!("older route, created {} over {}", created(ours), created(theirs))
            }
            Criterion::RouteName => {
                format!("\"{}\" comes before \"{}\" in the alphabet", ours.route, theirs.route)
            }
            Criterion::RuleOrder => "earlier rule of the same route".to_owned(),
            Criterion::MatchOrder => "earlier match of the same rule".to_owned(),
        }
    }
}

impl Attached {
    pub(crate) fn hostnames(&self) -> impl Iterator<Item = Hostname<'_>> {
        self.hostnames.iter().filter_map(|text| match text {
            None => Some(Hostname::Any),
            Some(text) => Hostname::parse(text).ok(),
        })
    }

    fn best_hostname(&self, host: &Host) -> Option<Hostname<'_>> {
        let matching = self.hostnames().filter(|hostname| hostname.matches(host));
        matching.max_by_key(|hostname| {
            let rank = hostname.rank();
            (rank.non_wildcard, rank.any)
        })
    }

    fn hostname_obstacle(&self) -> String {
        let hostnames: Vec<_> = self.hostnames().map(|hostname| hostname.to_string()).collect();
        let what = if hostnames.len() == 1 { "hostname" } else { "none of the hostnames" };
        let verb = if hostnames.len() == 1 { "does not match" } else { "matches" };
        format!("{what} {} {verb}", hostnames.join(", "))
    }
}

/// The first condition of a match that a request does not meet, in words.
fn obstacle(of: &Match, request: &Request<'_>) -> Option<String> {
    let (path, query) = request.path_and_query();
    if !of.path.matches(path) {
        return Some(format!("{:?} \"{}\" does not match", of.path.kind(), of.path.value()));
    }
    if let Some(method) = of.conditions.method
        && !method.matches(request.method)
    {
        return Some(format!("method is not {}", method.name()));
    }
    let headers = of.conditions.headers.iter().find(|header| !header.matches(request)).map(|condition| {
        let found = header::value_of(&condition.name, request);
        difference("header", &condition.name, found.as_deref(), &condition.value)
    });
    headers.or_else(|| {
        of.conditions.query_params.iter().find(|parameter| !parameter.matches(query)).map(|condition| {
            let found = query::first_value(&condition.name, query);
            difference("query parameter", &condition.name, found.as_deref(), &condition.value)
        })
    })
}

fn difference(what: &str, name: &str, found: Option<&[u8]>, wanted: &Value) -> String {
    let Some(found) = found else { return format!("{what} \"{name}\" is absent") };
    let found = String::from_utf8_lossy(found);
    match wanted {
        Value::Exact(wanted) => format!("{what} \"{name}\" is \"{found}\", not \"{wanted}\""),
        Value::Expression(expression) => {
            format!("{what} \"{name}\" is \"{found}\", which \"{}\" does not match", expression.source())
        }
    }
}

impl Explanation {
    fn without_listener(cause: Cause, entry: &[u8], request: &Request<'_>) -> Self {
        let (entry, authority) = (String::from_utf8_lossy(entry), String::from_utf8_lossy(request.authority));
        let because = format!("{cause}: \"{authority}\" at \"{entry}\"");
        let decision = ExplainedDecision::respond(cause, because);
        Self {
            decision,
            listener: None,
            route: None,
            rule: None,
            match_index: None,
            edits: ExplainedEdits::default(),
            backends: Vec::new(),
            candidates: Vec::new(),
        }
    }
}

impl ExplainedDecision {
    /// What happens to a request of this rule, given what happens with each share that has a weight (with none at all,
    /// where there is no such share).
    fn of(rule: &Rule, shares: &[&Share], decisions: &[Decision<'_>]) -> Self {
        let mut alike: Vec<_> = decisions.iter().map(Self::from).collect();
        alike.dedup();
        let because = |one: &Self| match (shares, one.kind) {
            _ if rule.invalid.is_some() => rule.invalid.clone().unwrap_or_default(),
            _ if rule.actions.as_ref().is_some_and(|actions| actions.redirect.is_some()) => match one.kind {
                DecisionType::Redirect => "the rule redirects".to_owned(),
                _ => Cause::NoLocation.to_string(),
            },
            (_, DecisionType::Redirect) => "the only backend with a weight redirects".to_owned(),
            ([], _) if rule.backends.iter().next().is_none() => "the rule has no backends".to_owned(),
            ([], _) => "all weights of the rule are 0".to_owned(),
            (_, DecisionType::Forward) => "the only backend with a weight".to_owned(),
            ([Share { target: Target::Invalid(reason), .. }], _) => reason.clone(),
            _ => one.because.clone(),
        };
        match alike.as_slice() {
            [one] => Self { because: because(one), ..one.clone() },
            _ => Self {
                kind: DecisionType::Forward,
                status: None,
                cluster: None,
                location: None,
                because: format!("one of {} backends by weight", alike.len()),
            },
        }
    }

    fn no_route() -> Self {
        Self::respond(Cause::NoRoute, Cause::NoRoute.to_string())
    }

    fn respond(cause: Cause, because: String) -> Self {
        let (kind, status) = (DecisionType::Respond, Some(cause.status()));
        Self { kind, status, cluster: None, location: None, because }
    }
}

/// Without a reason but that of an answer: what decided is not known here.
impl From<&Decision<'_>> for ExplainedDecision {
    fn from(decision: &Decision<'_>) -> Self {
        match decision {
            Decision::Forward { cluster, .. } => Self {
                kind: DecisionType::Forward,
                status: None,
                cluster: Some((*cluster).to_owned()),
                location: None,
                because: String::new(),
            },
            Decision::Redirect { status, location, .. } => Self {
                kind: DecisionType::Redirect,
                status: Some(*status),
                cluster: None,
                location: Some(location.clone()),
                because: String::new(),
            },
            Decision::Respond { cause: Cause::InvalidBackend, .. } => {
                Self::respond(Cause::InvalidBackend, "no backend with a weight can be used".to_owned())
            }
            Decision::Respond { cause, .. } => Self::respond(*cause, cause.to_string()),
        }
    }
}

impl From<&Decision<'_>> for ExplainedEdits {
    fn from(decision: &Decision<'_>) -> Self {
        match decision {
            Decision::Forward { edits, .. } => Self {
                host: edits.host.map(str::to_owned),
                path: edits.path.as_deref().map(|path| String::from_utf8_lossy(path).into_owned()),
                request_headers: edits.request_headers.iter().cloned().collect(),
                response_headers: edits.response_headers.iter().cloned().collect(),
            },
            Decision::Redirect { response_headers, .. } | Decision::Respond { response_headers, .. } => {
                Self { response_headers: response_headers.iter().cloned().collect(), ..Self::default() }
            }
        }
    }
}

/// The rule's backends; what changes for each is added where a request is at hand.
pub(crate) fn explain_backends(rule: &Rule) -> Vec<ExplainedBackend> {
    rule.backends.iter().map(ExplainedBackend::from).collect()
}

impl From<&Share> for ExplainedBackend {
    fn from(share: &Share) -> Self {
        let (cluster, invalid) = match &share.target {
            Target::Cluster(name) => (Some(name.clone()), None),
            Target::Invalid(reason) => (None, Some(reason.clone())),
        };
        Self { cluster, invalid, weight: share.weight, location: None, edits: None }
    }
}

impl From<&RouteId> for ExplainedRoute {
    fn from(id: &RouteId) -> Self {
        Self { kind: id.kind, namespace: id.namespace.clone(), name: id.name.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compile, parse};

    const CONFIG: &str = r#"{"version": 1, "listeners": [{
        "name": "infra/web/http", "gateway": "infra/web", "port": 80, "protocol": "HTTP", "hostname": "*.example.com",
        "routes": [{
            "kind": "HTTPRoute", "namespace": "foo-ns", "name": "foo", "creationTimestamp": "2026-01-01T00:00:00Z",
            "hostnames": ["foo.example.com"],
            "rules": [
                {"matches": [{"path": {"value": "/foo"}}], "backends": [{"cluster": "foo-v1", "weight": 80}, {"cluster": "foo-v2", "weight": 20}]},
                {"matches": [{"path": {"value": "/foo/bar"}}], "backends": [{"cluster": "bar"}]},
                {"matches": [{"path": {"value": "/foo"}, "headers": [{"name": "env", "value": "canary"}]}], "backends": [{"cluster": "foo-v2"}]}
            ]
        }, {
            "kind": "HTTPRoute", "namespace": "foo-ns", "name": "other", "hostnames": ["bar.example.com", "*.a.example.com"],
            "rules": [{"backends": [{"invalid": "Service \"x\" not found"}]}]
        }]
    }]}"#;

    fn explain(authority: &str, path: &str, headers: &[(&[u8], &[u8])]) -> Explanation {
        let table = compile(&parse(CONFIG.as_bytes()).unwrap()).unwrap();
        let request =
            Request { method: b"GET", authority: authority.as_bytes(), path: path.as_bytes(), headers };
        table.explain(b"infra/web:80", &request)
    }

    fn reasons(explanation: &Explanation) -> Vec<String> {
        explanation
            .candidates
            .iter()
            .map(|candidate| format!("{} {} {}", candidate.route.name, candidate.rule, candidate.because))
            .collect()
    }

    #[test]
    fn every_candidate_has_a_reason() {
        let explanation = explain("foo.example.com", "/foo/bar", &[(b"env", b"prod")]);
        assert_eq!(
            reasons(&explanation),
            [
                "foo 1 won over HTTPRoute foo-ns/foo rules[0].matches[0]: longer prefix \"/foo/bar\" (8) over \"/foo\" (4)",
                "foo 0 lost to HTTPRoute foo-ns/foo rules[1].matches[0]: longer prefix \"/foo/bar\" (8) over \"/foo\" (4)",
                "foo 2 header \"env\" is \"prod\", not \"canary\"",
                "other 0 none of the hostnames \"bar.example.com\", \"*.a.example.com\" matches",
            ]
        );
        let won: Vec<_> = explanation.candidates.iter().map(|candidate| candidate.won).collect();
        assert_eq!(won, [true, false, false, false]);
    }

    #[test]
    fn the_json_has_the_documented_fields() {
        let explanation = explain("foo.example.com", "/foo", &[]);
        let mut json = serde_json::to_value(&explanation).unwrap();
        json["candidates"].as_array_mut().unwrap().truncate(1);
        let expected = serde_json::json!({
            "decision": {"type": "Forward", "because": "one of 2 backends by weight"},
            "listener": "infra/web/http",
            "route": {"kind": "HTTPRoute", "namespace": "foo-ns", "name": "foo"},
            "rule": 0,
            "match": 0,
            "backends": [{"cluster": "foo-v1", "weight": 80}, {"cluster": "foo-v2", "weight": 20}],
            "candidates": [{
                "route": {"kind": "HTTPRoute", "namespace": "foo-ns", "name": "foo"},
                "rule": 0,
                "match": 0,
                "won": true,
                "because": "the only match",
            }],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn changes_are_shown_once_or_for_each_share() {
        let config = r#"{"version": 1, "listeners": [{
            "name": "infra/web/http", "gateway": "infra/web", "port": 80, "protocol": "HTTP",
            "routes": [{"kind": "HTTPRoute", "namespace": "n", "name": "r", "rules": [
                {"matches": [{"path": {"value": "/a"}}],
                 "filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": "b.test"}}],
                 "backends": [{"cluster": "c"}, {"cluster": "d"}]},
                {"matches": [{"path": {"value": "/b"}}],
                 "backends": [{"cluster": "c", "filters": [
                    {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}}]}, {"cluster": "d"}]},
                {"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]}]}]}]}"#;
        let table = compile(&parse(config.as_bytes()).unwrap()).unwrap();
        let explain = |path: &str| {
            let request =
                Request { method: b"GET", authority: b"a.test", path: path.as_bytes(), headers: &[] };
            let json = serde_json::to_value(table.explain(b"infra/web:80", &request)).unwrap();
            (json["decision"].clone(), json["edits"].clone(), json["backends"].clone())
        };
        use serde_json::{Value, json};
        let by_weight = json!({"type": "Forward", "because": "one of 2 backends by weight"});
        let plain = json!([{"cluster": "c", "weight": 1}, {"cluster": "d", "weight": 1}]);
        assert_eq!(explain("/a"), (by_weight.clone(), json!({"host": "b.test"}), plain));
        let removed = json!({"requestHeaders": [{"action": "remove", "name": "x"}]});
        let each = json!([{"cluster": "c", "weight": 1, "edits": removed}, {"cluster": "d", "weight": 1, "edits": {}}]);
        assert_eq!(explain("/b"), (by_weight, Value::Null, each));
        let redirected = json!({"type": "Redirect", "status": 302, "location": "https://a.test/c?d",
            "because": "the rule redirects"});
        assert_eq!(explain("/c?d"), (redirected, Value::Null, json!([])));
    }

    #[test]
    fn answers_of_the_filter_say_why() {
        for (authority, path, status, because) in [
            ("other.org", "/", 404, "no listener serves this host: \"other.org\" at \"infra/web:80\""),
            ("foo.example.com", "/x", 404, "no rule matches"),
            ("bar.example.com", "/x", 500, "Service \"x\" not found"),
        ] {
            let decision = explain(authority, path, &[]).decision;
            assert_eq!((decision.kind, decision.status), (DecisionType::Respond, Some(status)));
            assert_eq!(decision.because, because);
        }
    }

    #[test]
    fn the_criterion_is_named() {
        let explanation = explain("foo.example.com", "/foo", &[(b"env", b"canary")]);
        assert_eq!(explanation.rule, Some(2));
        assert!(explanation.candidates[0].because.ends_with("more headers (1 over 0)"), "{explanation:?}");
    }
}
