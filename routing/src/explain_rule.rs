//! A rule's part of an explanation: what happens to the request with each backend that may get it. Which rule that is,
//! and why, is found in [`crate::explain`].

use crate::action::cors::{Role, Verdict};
use crate::action::headers::HeaderEdit;
use crate::backend::{Share, Target};
use crate::config::Header;
use crate::decision::{Cause, Decision, RouteId};
use crate::explained::{
    DecisionType, ExplainedBackend, ExplainedCors, ExplainedDecision, ExplainedEdits, ExplainedRoute,
    ExplainedSession, ExplainedUpstream, Explanation,
};
use crate::request::Request;
use crate::serve::{Taken, policy};
use crate::session::Presented;
use crate::table::{RouteTable, Rule};

/// What a rule does with a request.
pub(crate) struct Served {
    decision: ExplainedDecision,
    cors: Option<ExplainedCors>,
    session: Option<ExplainedSession>,
    edits: ExplainedEdits,
    upstream: Option<ExplainedUpstream>,
    backends: Vec<ExplainedBackend>,
}

impl Served {
    /// No rule takes it.
    pub(crate) fn by_nobody(cause: Cause, because: String, request: &Request<'_>) -> Self {
        let decision = ExplainedDecision::from(&Decision::not_taken(cause, None, request));
        Self {
            decision: ExplainedDecision { because, ..decision },
            cors: None,
            session: None,
            edits: ExplainedEdits::default(),
            upstream: None,
            backends: Vec::new(),
        }
    }
}

impl Explanation {
    /// Without a place: which rule it is, and why, is added by others.
    pub(crate) fn new(served: Served) -> Self {
        let Served { decision, cors, session, edits, upstream, backends } = served;
        Self {
            decision,
            listener: None,
            route: None,
            rule: None,
            match_index: None,
            cors,
            session,
            edits,
            upstream,
            backends,
            candidates: Vec::new(),
        }
    }
}

impl RouteTable {
    /// What a rule does with a request that it takes, for each share that may be drawn.
    pub(crate) fn explain_rule(
        &self,
        taken: Taken<'_>,
        request: &Request<'_>,
        clock: &dyn Fn() -> u64,
    ) -> Served {
        let rule = taken.rule;
        let presented = taken.presented(request, clock);
        let serve = |share| self.serve(taken, share, &presented, request);
        let each: Vec<_> = rule.backends.iter().map(|share| (share, serve(Some(share)))).collect();
        let held = taken.held(&presented);
        let drawn = |share: &Share| held.map_or(share.weight > 0, |held| std::ptr::eq(held, share));
        let drawn = each.iter().filter(|(share, _)| drawn(share));
        let (shares, mut decisions): (Vec<&Share>, Vec<_>) = drawn.map(|(share, it)| (*share, it)).unzip();
        let without = serve(None);
        if shares.is_empty() {
            decisions.push(&without);
        }
        let because = |one: &ExplainedDecision| because(taken, held.is_some(), &shares, one);
        let decision = ExplainedDecision::of(&decisions, because);
        let edits = alike(decisions.iter().copied().map(ExplainedEdits::from));
        let upstream = |decision: &Decision<'_>| ExplainedUpstream::of(decision, request);
        let for_all = alike(decisions.iter().copied().filter_map(upstream));
        let forwards = decisions.iter().any(|decision| matches!(decision, Decision::Forward { .. }));
        let mut backends = explain_backends(rule);
        for (backend, (_, own)) in backends.iter_mut().zip(&each) {
            if !matches!(own, Decision::Forward { .. }) {
                backend.policy = None;
            }
            if edits.is_none() || decision.location.is_none() {
                backend.location = ExplainedDecision::from(own).location;
            }
            if edits.is_none() {
                backend.edits = Some(own.into());
            }
            if for_all.is_none() && forwards {
                backend.upstream = upstream(own);
            }
        }
        Served {
            decision,
            cors: ExplainedCors::of(taken, request),
            session: ExplainedSession::of(taken, &presented),
            edits: edits.unwrap_or_default(),
            upstream: for_all,
            backends,
        }
    }
}

/// What all are, if they are all the same.
fn alike<T: PartialEq>(all: impl Iterator<Item = T>) -> Option<T> {
    let mut all: Vec<_> = all.collect();
    all.dedup();
    if all.len() == 1 { all.pop() } else { None }
}

/// Why the one thing that can happen does.
fn because(taken: Taken<'_>, held: bool, shares: &[&Share], one: &ExplainedDecision) -> String {
    let rule = taken.rule;
    let redirects = rule.actions.as_ref().is_some_and(|actions| actions.redirect.is_some());
    match (shares, one.kind) {
        _ if rule.invalid.is_some() => rule.invalid.clone().unwrap_or_default(),
        _ if taken.role == Role::Preflight => one.because.clone(),
        (_, DecisionType::Redirect) if redirects => "the rule redirects".to_owned(),
        _ if redirects => one.because.clone(),
        _ if held => "the session names it".to_owned(),
        (_, DecisionType::Redirect) => "the only backend with a weight redirects".to_owned(),
        ([], _) if rule.backends.iter().next().is_none() => "the rule has no backends".to_owned(),
        ([], _) => "all weights of the rule are 0".to_owned(),
        (_, DecisionType::Forward) => "the only backend with a weight".to_owned(),
        ([Share { target: Target::Invalid(reason), .. }], _) => reason.clone(),
        _ => one.because.clone(),
    }
}

impl ExplainedDecision {
    /// What happens, given what happens with each share that may be drawn (with none at all, where there is no such
    /// share), and the reason for it where it is all the same.
    fn of(decisions: &[&Decision<'_>], because: impl FnOnce(&Self) -> String) -> Self {
        match alike(decisions.iter().copied().map(Self::from)) {
            Some(one) => Self { because: because(&one), ..one },
            None => {
                let mut different: Vec<_> = decisions.iter().copied().map(Self::from).collect();
                different.dedup();
                Self::new(DecisionType::Forward, format!("one of {} backends by weight", different.len()))
            }
        }
    }

    fn new(kind: DecisionType, because: String) -> Self {
        Self { kind, status: None, grpc_status: None, cluster: None, policy: None, location: None, because }
    }
}

/// Without a reason but that of an answer: what decided is not known here.
impl From<&Decision<'_>> for ExplainedDecision {
    fn from(decision: &Decision<'_>) -> Self {
        match decision {
            Decision::Forward { cluster, policy, .. } => Self {
                cluster: Some((*cluster).to_owned()),
                policy: policy.map(str::to_owned),
                ..Self::new(DecisionType::Forward, String::new())
            },
            Decision::Redirect { status, location, .. } => Self {
                status: Some(*status),
                location: Some(location.clone()),
                ..Self::new(DecisionType::Redirect, String::new())
            },
            Decision::Respond { status, grpc_status, cause, .. } => {
                let because = match cause {
                    Cause::InvalidBackend => "no backend with a weight can be used".to_owned(),
                    cause => cause.to_string(),
                };
                Self {
                    status: Some(*status),
                    grpc_status: *grpc_status,
                    ..Self::new(DecisionType::Respond, because)
                }
            }
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

impl ExplainedUpstream {
    /// The request as it arrives at a backend, if it goes to one.
    fn of(decision: &Decision<'_>, request: &Request<'_>) -> Option<Self> {
        let Decision::Forward { edits, .. } = decision else { return None };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut changed: Vec<(&str, Vec<String>)> = Vec::new();
        for edit in edits.request_headers.iter() {
            let (HeaderEdit::Set { name, .. } | HeaderEdit::Add { name, .. } | HeaderEdit::Remove { name }) =
                edit
            else {
                continue;
            };
            if changed.iter().all(|(known, _)| *known != &**name) {
                let values = request.headers.iter().filter(|header| header.0 == name.as_bytes());
                changed.push((name, values.map(|(_, value)| text(value)).collect()));
            }
            let Some((_, values)) = changed.iter_mut().find(|(known, _)| *known == &**name) else { continue };
            match edit {
                HeaderEdit::Set { value, .. } => *values = vec![value.to_string()],
                HeaderEdit::Add { value, .. } => values.push(value.to_string()),
                HeaderEdit::Remove { .. } | HeaderEdit::RemovePrefix { .. } => values.clear(),
            }
        }
        let has = |name: &str| request.headers.iter().any(|header| header.0 == name.as_bytes());
        let (gone, there): (Vec<_>, Vec<_>) = changed.into_iter().partition(|(_, values)| values.is_empty());
        let gone = gone.into_iter().filter(|(name, _)| has(name));
        Some(Self {
            method: text(request.method),
            host: edits.host.map_or_else(|| text(request.authority), str::to_owned),
            path: text(edits.path.as_deref().unwrap_or(request.path)),
            headers: there
                .into_iter()
                .map(|(name, values)| Header { name: name.to_owned(), value: values.join(",") })
                .collect(),
            without: gone.map(|(name, _)| name.to_owned()).collect(),
        })
    }
}

impl ExplainedCors {
    fn of(taken: Taken<'_>, request: &Request<'_>) -> Option<Self> {
        let cors = taken.rule.actions.as_ref()?.cors.as_ref()?;
        let (allowed, because) = match cors.verdict(request) {
            Verdict::NoOrigin => (None, "the request has no origin".to_owned()),
            Verdict::Allowed(origin) => (Some(true), format!("the origin {origin} is allowed")),
            Verdict::Refused => {
                let origins: Vec<_> = request.headers.iter().filter(|header| header.0 == b"origin").collect();
                let because = match origins.as_slice() {
                    [(_, origin)] => {
                        format!("the origin {} is not allowed", String::from_utf8_lossy(origin))
                    }
                    origins => format!("the request has {} origins", origins.len()),
                };
                (Some(false), because)
            }
        };
        Some(Self { preflight: taken.role == Role::Preflight, allowed, because })
    }
}

impl ExplainedSession {
    fn of(taken: Taken<'_>, presented: &Presented) -> Option<Self> {
        let sessions = taken.sessions()?;
        let (endpoint, because) = match presented {
            Presented::Nothing => (None, "the request has none".to_owned()),
            Presented::Refused(refusal) => (None, refusal.to_string()),
            Presented::Held { endpoint, .. } => {
                (Some(endpoint.to_string()), "it was sealed for this rule".to_owned())
            }
        };
        let (kind, name) = (sessions.kind(), sessions.name.to_string());
        Some(Self { kind, name, counts: endpoint.is_some(), endpoint, because })
    }
}

/// The rule's backends; what changes for each is added where a request is at hand.
pub(crate) fn explain_backends(rule: &Rule) -> Vec<ExplainedBackend> {
    let of_rule = rule.actions.as_deref();
    let explained = rule.backends.iter().map(|share| {
        let (cluster, invalid) = match &share.target {
            Target::Cluster(name) => (Some(name.clone()), None),
            Target::Invalid(reason) => (None, Some(reason.clone())),
        };
        let policy = policy(of_rule, share.actions.as_deref());
        ExplainedBackend {
            policy: policy.filter(|_| cluster.is_some()).map(str::to_owned),
            cluster,
            invalid,
            weight: share.weight,
            location: None,
            edits: None,
            upstream: None,
        }
    });
    explained.collect()
}

impl From<&RouteId> for ExplainedRoute {
    fn from(id: &RouteId) -> Self {
        Self { kind: id.kind, namespace: id.namespace.clone(), name: id.name.clone() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::{Request, compile, parse};

    const CONFIG: &str = r#"{"version": 1, "listeners": [{
        "name": "infra/web/http", "gateway": "infra/web", "port": 80, "protocol": "HTTP",
        "routes": [
            {"kind": "HTTPRoute", "namespace": "n", "name": "r", "hostnames": ["r.test"], "rules": [
                {"matches": [{"path": {"value": "/edited"}}], "policy": "p-rule",
                 "filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {
                    "set": [{"name": "a", "value": "1"}], "add": [{"name": "b", "value": "2"}], "remove": ["c", "d"]}}],
                 "backends": [
                    {"cluster": "one", "policy": "p-one",
                     "filters": [{"type": "URLRewrite", "urlRewrite": {"hostname": "one.test"}}]},
                    {"cluster": "two"}, {"invalid": "gone"}]},
                {"matches": [{"path": {"value": "/sent-away"}}], "policy": "p-rule",
                 "backends": [{"cluster": "one"}, {"cluster": "two", "filters": [
                    {"type": "RequestRedirect", "requestRedirect": {"hostname": "other.test"}}]}]},
                {"matches": [{"path": {"value": "/cors"}, "method": "PUT"}], "policy": "p-rule",
                 "backends": [{"cluster": "one"}],
                 "filters": [{"type": "CORS", "cors": {"allowOrigins": ["https://a.test"]}}]},
                {"matches": [{"path": {"value": "/session"}}], "sessionPersistence": {"sessionName": "s"},
                 "backends": [{"cluster": "one"}, {"cluster": "two", "weight": 0}]}]},
            {"kind": "GRPCRoute", "namespace": "n", "name": "g", "hostnames": ["g.test"], "rules": [{}]}]}]}"#;

    fn explain(method: &str, host: &str, path: &str, headers: &[(&str, &str)]) -> Value {
        let table = compile(&parse(CONFIG.as_bytes()).unwrap()).unwrap();
        let headers: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let (method, authority, path) = (method.as_bytes(), host.as_bytes(), path.as_bytes());
        let request = Request { method, authority, path, headers: &headers };
        serde_json::to_value(table.explain(b"infra/web:80", &request)).unwrap()
    }

    #[test]
    fn each_backend_shows_what_it_receives_and_its_policy() {
        let explained = explain("GET", "r.test", "/edited?q", &[("b", "1"), ("c", "1")]);
        let receives = |host: &str| {
            json!({"method": "GET", "host": host, "path": "/edited?q", "without": ["c"],
                "headers": [{"name": "a", "value": "1"}, {"name": "b", "value": "1,2"}]})
        };
        let backend = |i: usize, field: &str| explained["backends"][i][field].clone();
        assert_eq!((backend(0, "policy"), backend(0, "upstream")), (json!("p-one"), receives("one.test")));
        assert_eq!((backend(1, "policy"), backend(1, "upstream")), (json!("p-rule"), receives("r.test")));
        assert_eq!((backend(2, "policy"), backend(2, "upstream")), (Value::Null, Value::Null));
        assert_eq!((&explained["upstream"], &explained["decision"]["policy"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn only_what_is_forwarded_has_a_policy() {
        let policies = |explained: &Value| -> Vec<Value> {
            let backends = explained["backends"].as_array().into_iter().flatten();
            backends.map(|backend| backend["policy"].clone()).collect()
        };
        let sent_away = explain("GET", "r.test", "/sent-away", &[]);
        assert_eq!(policies(&sent_away), [json!("p-rule"), Value::Null]);
        let preflight = [("origin", "https://a.test"), ("access-control-request-method", "PUT")];
        assert_eq!(policies(&explain("OPTIONS", "r.test", "/cors", &preflight)), [Value::Null]);
        assert_eq!(policies(&explain("PUT", "r.test", "/cors", &[])), [json!("p-rule")]);
    }

    #[test]
    fn a_preflight_request_shows_what_it_is_told() {
        let asked = [("origin", "https://a.test"), ("access-control-request-method", "PUT")];
        let explained = explain("OPTIONS", "r.test", "/cors", &asked);
        assert_eq!(explained["decision"]["status"], 204);
        assert_eq!(
            explained["cors"],
            json!({"preflight": true, "allowed": true, "because": "the origin https://a.test is allowed"})
        );
        let told = explained["edits"]["responseHeaders"].as_array().unwrap();
        let origin =
            json!({"action": "set", "name": "access-control-allow-origin", "value": "https://a.test"});
        assert!(told.contains(&origin), "{explained:#}");
        for (headers, allowed, because) in [
            (vec![], Value::Null, "the request has no origin"),
            (vec![("origin", "https://b.test")], json!(false), "the origin https://b.test is not allowed"),
            (vec![asked[0], asked[0]], json!(false), "the request has 2 origins"),
        ] {
            let cors = explain("PUT", "r.test", "/cors", &headers)["cors"].clone();
            assert_eq!((&cors["preflight"], &cors["allowed"]), (&json!(false), &allowed));
            assert_eq!(cors["because"], because);
        }
    }

    #[test]
    fn a_session_shows_whether_it_counts() {
        for (headers, because) in [
            (vec![], "the request has none"),
            (vec![("cookie", "s=x")], "it was not sealed for this rule with this key"),
        ] {
            let explained = explain("GET", "r.test", "/session", &headers);
            let expected = json!({"type": "Cookie", "name": "s", "counts": false, "because": because});
            assert_eq!(explained["session"], expected);
            assert_eq!(explained["decision"]["cluster"], "one");
        }
        let table = compile(&parse(CONFIG.as_bytes()).unwrap()).unwrap();
        let request = Request { method: b"GET", authority: b"r.test", path: b"/session", headers: &[] };
        let crate::Decision::Forward { session: Some(session), .. } =
            table.decide(b"infra/web:80", &request, 0)
        else {
            panic!("no session");
        };
        // 10.0.0.1:8080
        let Some(crate::HeaderEdit::Add { value, .. }) =
            session.answer(crate::Outcome::Answered, Some(b"MTAuMC4wLjE6ODA4MA=="), &|| 0)
        else {
            panic!("no cookie");
        };
        let explained = explain("GET", "r.test", "/session", &[("cookie", &value)]);
        assert_eq!(explained["session"]["endpoint"], "10.0.0.1:8080");
        assert_eq!(explained["decision"]["because"], "the session names it");
    }

    #[test]
    fn a_call_shows_the_status_of_grpc() {
        let call = [("content-type", "application/grpc")];
        let explained = explain("POST", "g.test", "/a/b", &call);
        assert_eq!(
            (&explained["decision"]["status"], &explained["decision"]["grpcStatus"]),
            (&json!(500), &json!(14))
        );
        let explained = explain("POST", "r.test", "/a/b", &call);
        assert_eq!(
            (&explained["decision"]["status"], &explained["decision"]["grpcStatus"]),
            (&json!(404), &json!(12))
        );
        assert_eq!(explain("POST", "r.test", "/a/b", &[])["decision"]["grpcStatus"], Value::Null);
    }
}
