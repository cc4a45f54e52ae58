//! Why a request is decided as it is: every match of its listener, and what speaks for or against it.
//!
//! It looks at all matches one by one, without the index that [`RouteTable::decide`] uses; a property test holds the
//! two to the same answer.

use crate::action::cors;
use crate::config::{PathMatchType, RouteKind};
use crate::decision::{Cause, RouteId};
use crate::explain_rule::Served;
use crate::explained::{Candidate, Explanation};
use crate::matching::grpc::{Call, GrpcMatch};
use crate::matching::header;
use crate::matching::host::{Host, Hostname};
use crate::matching::query;
use crate::matching::value::Value;
use crate::precedence::{Criterion, Precedence};
use crate::request::Request;
use crate::serve::Taken;
use crate::table::{Listener, Match, Route, RouteTable, Rule};

impl RouteTable {
    /// Explains what [`RouteTable::decide`] does with a request, with a clock that stands at 0.
    pub fn explain(&self, entry: &[u8], request: &Request<'_>) -> Explanation {
        self.explain_at(entry, request, &|| 0)
    }

    /// Explains what [`RouteTable::decide_at`] does with a request.
    pub fn explain_at(&self, entry: &[u8], request: &Request<'_>, clock: &dyn Fn() -> u64) -> Explanation {
        if request.is_ambiguous() {
            let cause = Cause::AmbiguousPath;
            return Explanation::new(Served::by_nobody(cause, cause.to_string(), request));
        }
        let host = Host::of(request.authority);
        let listener = match self.listener(entry, &host) {
            Ok(listener) => listener,
            Err(cause) => {
                let (entry, authority) =
                    (String::from_utf8_lossy(entry), String::from_utf8_lossy(request.authority));
                let because = format!("{cause}: \"{authority}\" at \"{entry}\"");
                return Explanation::new(Served::by_nobody(cause, because, request));
            }
        };
        let ((met, unmet), role) = cors::find_as(
            request,
            |request| self.examine(listener, &host, request),
            |(met, _)| met.first().is_some_and(|winner| winner.rule.has_cors()),
        );
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
        let served = match winner {
            None => Served::by_nobody(Cause::NoRoute, Cause::NoRoute.to_string(), request),
            Some(winner) => {
                let taken = Taken { listener, found: winner.of, rule: winner.rule, role };
                self.explain_rule(taken, request, clock)
            }
        };
        Explanation {
            listener: Some(listener.name.clone()),
            route: winner.map(|winner| winner.route.into()),
            rule: winner.map(|winner| winner.rule.index),
            match_index: winner.map(|winner| winner.of.index),
            candidates,
            ..Explanation::new(served)
        }
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
        for of in listener.matches.clone().filter_map(|id| self.match_at(id)) {
            let Some(route) = self.route_of(of) else { continue };
            let hostname = route.best_hostname(host);
            if let Some(contender) = self.contender(of, hostname) {
                let obstacle = match hostname {
                    None => Some(route.hostname_obstacle()),
                    Some(_) if contender.route.kind == RouteKind::GrpcRoute => {
                        grpc_obstacle(contender.of, request)
                            .or_else(|| header_obstacle(contender.of, request))
                    }
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

    fn contender<'t>(&'t self, of: &'t Match, hostname: Option<Hostname<'t>>) -> Option<Contender<'t>> {
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

/// A part of what a gRPC request calls.
#[derive(Clone, Copy)]
enum Called {
    Service,
    Method,
}

impl Contender<'_> {
    /// The service or method that the match asks for.
    fn called(&self, part: Called) -> String {
        let wanted = |grpc: &GrpcMatch| match part {
            Called::Service => grpc.service.as_ref().map(|value| value.text().to_owned()),
            Called::Method => grpc.method.as_ref().map(|value| value.text().to_owned()),
        };
        let wanted = self.of.grpc().and_then(wanted);
        wanted.map_or("any".to_owned(), |text| format!("\"{text}\""))
    }

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
            Criterion::RouteKind => format!("{} over {} for a gRPC request", ours.kind, theirs.kind),
            Criterion::GrpcService => {
                let (name, other_name) = (self.called(Called::Service), other.called(Called::Service));
                let (length, other_length) = (ours.service_length, theirs.service_length);
                format!("longer service {name} ({length}) over {other_name} ({other_length})")
            }
            Criterion::GrpcMethod => {
                let (name, other_name) = (self.called(Called::Method), other.called(Called::Method));
                let (length, other_length) = (ours.grpc_method_length, theirs.grpc_method_length);
                format!("longer method {name} ({length}) over {other_name} ({other_length})")
            }
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
                    self.of.conditions().method.map_or("", |method| method.name())
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

impl Route {
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
    if let Some(method) = of.conditions().method
        && !method.matches(request.method)
    {
        return Some(format!("method is not {}", method.name()));
    }
    header_obstacle(of, request).or_else(|| {
        of.conditions().query_params.iter().find(|parameter| !parameter.matches(query)).map(|condition| {
            let found = query::first_value(&condition.name, query);
            difference("query parameter", &condition.name, found.as_deref(), &condition.value)
        })
    })
}

fn header_obstacle(of: &Match, request: &Request<'_>) -> Option<String> {
    let condition = of.conditions().headers.iter().find(|header| !header.matches(request))?;
    let found = header::value_of(&condition.name, request);
    Some(difference("header", &condition.name, found.as_deref(), &condition.value))
}

/// Why a match of a GRPCRoute does not apply, its headers aside.
fn grpc_obstacle(of: &Match, request: &Request<'_>) -> Option<String> {
    if !request.is_grpc() {
        return Some("not a gRPC request: its content-type does not begin with application/grpc".to_owned());
    }
    let wanted = of.grpc()?;
    let (path, _) = request.path_and_query();
    let Some(call) = Call::of(path) else {
        let path = String::from_utf8_lossy(path);
        return Some(format!("path {path:?} is not of the form /service/method"));
    };
    let parts = [("service", &wanted.service, call.service), ("method", &wanted.method, call.method)];
    parts.into_iter().find_map(|(what, wanted, found)| {
        let wanted = wanted.as_ref().filter(|wanted| !wanted.matches(found))?;
        Some(format!("{what} {}", is_not(found, wanted)))
    })
}

fn difference(what: &str, name: &str, found: Option<&[u8]>, wanted: &Value) -> String {
    let Some(found) = found else { return format!("{what} \"{name}\" is absent") };
    format!("{what} \"{name}\" {}", is_not(found, wanted))
}

fn is_not(found: &[u8], wanted: &Value) -> String {
    let found = String::from_utf8_lossy(found);
    match wanted {
        Value::Exact(wanted) => format!("is \"{found}\", not \"{wanted}\""),
        Value::Expression(expression) => {
            format!("is \"{found}\", which \"{}\" does not match", expression.source())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecisionType, compile, parse};

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
    fn grpc_candidates_have_reasons() {
        let config = r#"{"version": 1, "listeners": [{
            "name": "infra/web/http", "gateway": "infra/web", "port": 80, "protocol": "HTTP", "routes": [
            {"kind": "HTTPRoute", "namespace": "n", "name": "h", "rules": [{"matches": [{"path": {"type": "Exact", "value": "/a.B/C"}}]}]},
            {"kind": "GRPCRoute", "namespace": "n", "name": "g", "rules": [{"matches": [
                {},
                {"grpcMethod": {"method": "C"}},
                {"grpcMethod": {"service": "a.B"}},
                {"grpcMethod": {"service": "a.B", "method": "C"}},
                {"grpcMethod": {"service": "a.B", "method": "C"}, "headers": [{"name": "v", "value": "1"}]},
                {"grpcMethod": {"service": "x", "method": "C"}},
                {"grpcMethod": {"type": "RegularExpression", "service": "a.*", "method": "[d-z]"}}]}]}]}]}"#;
        let table = compile(&parse(config.as_bytes()).unwrap()).unwrap();
        let explain = |path: &str, headers: &[(&[u8], &[u8])]| {
            let request = Request { method: b"POST", authority: b"a", path: path.as_bytes(), headers };
            let explanation = table.explain(b"infra/web:80", &request);
            let candidates = explanation.candidates.iter();
            candidates
                .map(|one| format!("{} {} {}", one.route.name, one.match_index, one.because))
                .collect::<Vec<_>>()
        };
        let lost = |to: u32| format!("lost to GRPCRoute n/g rules[0].matches[{to}]: ");
        assert_eq!(
            explain("/a.B/C", &[(b"content-type", b"application/grpc")]),
            [
                "g 3 won over GRPCRoute n/g rules[0].matches[2]: longer method \"C\" (1) over any (0)"
                    .to_owned(),
                format!("g 2 {}longer method \"C\" (1) over any (0)", lost(3)),
                format!("g 1 {}longer service \"a.B\" (3) over any (0)", lost(3)),
                format!("g 0 {}longer service \"a.B\" (3) over any (0)", lost(3)),
                format!("h 0 {}GRPCRoute over HTTPRoute for a gRPC request", lost(3)),
                "g 6 method is \"C\", which \"[d-z]\" does not match".to_owned(),
                "g 4 header \"v\" is absent".to_owned(),
                "g 5 service is \"a.B\", not \"x\"".to_owned(),
            ]
        );
        assert_eq!(
            explain("/a.B/C/", &[(b"content-type", b"application/grpc")])[..2],
            ["g 0 the only match", "g 6 path \"/a.B/C/\" is not of the form /service/method",]
        );
        let plain = explain("/a.B/C", &[]);
        assert_eq!(plain[0], "h 0 the only match");
        assert_eq!(plain[1], "g 6 not a gRPC request: its content-type does not begin with application/grpc");
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
            "upstream": {"method": "GET", "host": "foo.example.com", "path": "/foo"},
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
