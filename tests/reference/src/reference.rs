//! The reference itself: the whole decision about one request, by looking at everything.

use std::cell::RefCell;
use std::collections::HashMap;

use gatewasm_routing::config::{
    Backend, Cors, FilterConfig, HeaderModifier, Listener, RequestRedirect, RouteFilter, RouteKind,
    RouteMatch, UrlRewrite,
};
use regex::bytes::{Regex, RegexBuilder};

use crate::cors;
use crate::hosts::{self, Belongs};
use crate::matching::{is_grpc, matches};
use crate::outcome::{Action, Headers, Outcome, Question, Taken, Upstream};
use crate::rank::{Candidate, compare};
use crate::urls::{location, modified};

/// gRPC status of a request that nothing takes (Gateway API `GatewaySpec.listeners`, GRPCRoute conformance).
const UNIMPLEMENTED: u32 = 12;
/// gRPC status where there is no usable backend (Gateway API `GRPCRouteRule.backendRefs`).
const UNAVAILABLE: u32 = 14;

/// Regular expressions, compiled once each.
#[derive(Debug, Default)]
pub struct Expressions(RefCell<HashMap<String, Option<Regex>>>);

impl Expressions {
    /// Whether the whole value matches: bytes, no Unicode, `.` is any byte. One that does not compile matches nothing.
    pub fn match_whole(&self, expression: &str, value: &[u8]) -> bool {
        let mut all = self.0.borrow_mut();
        if !all.contains_key(expression) {
            let whole = format!(r"\A(?:{expression})\z");
            let compiled = RegexBuilder::new(&whole).unicode(false).dot_matches_new_line(true).build();
            all.insert(expression.to_owned(), compiled.ok());
        }
        all.get(expression).and_then(Option::as_ref).is_some_and(|regex| regex.is_match(value))
    }
}

/// The routing rules of one config.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'c> {
    config: &'c FilterConfig,
    expressions: &'c Expressions,
}

/// What the specification asks for.
#[derive(Clone, Debug)]
pub struct Expected<'c> {
    /// One outcome that is right.
    pub outcome: Outcome,
    /// The CORS filter of the rule, which leaves some choice in how its headers are written.
    pub cors: Option<&'c Cors>,
}

impl<'c> Reference<'c> {
    /// Of a sound config.
    pub fn new(config: &'c FilterConfig, expressions: &'c Expressions) -> Self {
        Self { config, expressions }
    }

    /// What happens to a request.
    pub fn answer(&self, question: &Question) -> Expected<'c> {
        let host = hosts::name(&question.authority);
        let listener = match hosts::belongs(self.config, &question.entry, host.as_deref()) {
            Belongs::To(listener) => listener,
            Belongs::Elsewhere => return nobody(None, 421, None, question),
            Belongs::Nowhere => return nobody(None, 404, unimplemented(question), question),
        };
        if let Some(method) = cors::preflight_method(question)
            && let Some(winner) = self.winner(listener, host.as_deref(), question, &method)
            && let Some(cors) = cors_of(&winner)
        {
            // A rule that cannot be served as written answers everything with 500 (decision record 0011).
            if winner.rule.invalid.is_some() {
                return taken(&winner, listener, question);
            }
            return preflight(&winner, listener, cors, question);
        }
        match self.winner(listener, host.as_deref(), question, &question.method) {
            Some(winner) => taken(&winner, listener, question),
            None => nobody(Some(listener), 404, unimplemented(question), question),
        }
    }

    /// Every match of every route of the listener that applies, sorted; the first one.
    fn winner(
        &self,
        listener: &'c Listener,
        host: Option<&str>,
        question: &Question,
        method: &str,
    ) -> Option<Candidate<'c>> {
        let mut candidates = Vec::new();
        for route in &listener.routes {
            let hostnames: Vec<Option<&str>> = match route.hostnames.as_slice() {
                [] => vec![listener.hostname.as_deref()],
                some => some.iter().map(|hostname| Some(hostname.as_str())).collect(),
            };
            let matching = hostnames.into_iter().filter_map(|hostname| hosts::specificity(hostname, host));
            let Some(hostname) = matching.max() else { continue };
            for (rule_index, rule) in route.rules.iter().enumerate() {
                const EVERYTHING: &[RouteMatch] = &[RouteMatch {
                    path: None,
                    headers: vec![],
                    query_params: vec![],
                    method: None,
                    grpc_method: None,
                }];
                let its = if rule.matches.is_empty() { EVERYTHING } else { rule.matches.as_slice() };
                for (match_index, it) in its.iter().enumerate() {
                    if matches(route.kind, it, question, method, self.expressions) {
                        candidates.push(Candidate { hostname, route, rule_index, rule, match_index, it });
                    }
                }
            }
        }
        candidates.sort_by(compare);
        candidates.into_iter().next()
    }
}

fn unimplemented(question: &Question) -> Option<u32> {
    is_grpc(question).then_some(UNIMPLEMENTED)
}

/// The answer to a request that no rule takes.
fn nobody<'c>(
    listener: Option<&Listener>,
    status: u16,
    grpc_status: Option<u32>,
    question: &Question,
) -> Expected<'c> {
    let mut answer = Headers::of(&question.answer);
    if let Some(listener) = listener {
        advertise(listener, &mut answer);
    }
    let outcome = Outcome {
        listener: listener.map(|listener| listener.name.clone()),
        taken: None,
        action: Action::Respond { status, grpc_status },
        answer,
    };
    Expected { outcome, cors: None }
}

fn outcome(winner: &Candidate<'_>, listener: &Listener, action: Action, answer: Headers) -> Outcome {
    let route = winner.route;
    Outcome {
        listener: Some(listener.name.clone()),
        taken: Some(Taken {
            route: format!("{} {}/{}", route.kind, route.namespace, route.name),
            rule: winner.rule_index,
            match_index: winner.match_index,
        }),
        action,
        answer,
    }
}

/// What the winner does with a request.
fn taken<'c>(winner: &Candidate<'c>, listener: &'c Listener, question: &Question) -> Expected<'c> {
    let rule = winner.rule;
    let of_rule = Filters::of(&rule.filters);
    let unusable = Action::Respond {
        status: 500,
        grpc_status: (winner.route.kind == RouteKind::GrpcRoute).then_some(UNAVAILABLE),
    };
    let redirect = |redirect: &RequestRedirect| match location(redirect, winner.it, listener, question) {
        Some(location) => Action::Redirect { status: redirect.status_code.unwrap_or(302), location },
        None => Action::Respond { status: 400, grpc_status: None },
    };
    let mut answer = Headers::of(&question.answer);
    advertise(listener, &mut answer);
    change(of_rule.response, &mut answer);

    let action = if rule.invalid.is_some() {
        unusable
    } else if let Some(to) = of_rule.redirect {
        redirect(to)
    } else if let Some(backend) = drawn(&rule.backends, question.random) {
        let of_backend = Filters::of(&backend.filters);
        change(of_backend.response, &mut answer);
        match (&backend.cluster, of_backend.redirect) {
            (None, _) => unusable,
            (Some(_), Some(to)) => redirect(to),
            (Some(cluster), None) => {
                let mut headers = Headers::of(&question.headers);
                change(of_rule.request, &mut headers);
                change(of_backend.request, &mut headers);
                // What the backend says of host and path stands before what the rule says.
                let rewrites = [of_backend.rewrite, of_rule.rewrite];
                let host = rewrites.iter().flatten().find_map(|rewrite| rewrite.hostname.as_deref());
                let path = rewrites.iter().flatten().find_map(|rewrite| rewrite.path.as_ref());
                Action::Forward {
                    cluster: cluster.clone(),
                    policy: backend.policy.clone().or_else(|| rule.policy.clone()),
                    upstream: Upstream {
                        authority: host.map_or_else(|| question.authority.clone(), |host| host.into()),
                        path: modified(path, winner.it, &question.path),
                        headers,
                    },
                }
            }
        }
    } else {
        unusable
    };
    let cors = cors_of(winner);
    if let Some(cors) = cors {
        cors::share(cors, question, &mut answer);
    }
    Expected { outcome: outcome(winner, listener, action, answer), cors }
}

/// The answer to a preflight request that a rule's CORS filter takes.
fn preflight<'c>(
    winner: &Candidate<'c>,
    listener: &'c Listener,
    cors: &'c Cors,
    question: &Question,
) -> Expected<'c> {
    let mut answer = Headers::default();
    advertise(listener, &mut answer);
    change(Filters::of(&winner.rule.filters).response, &mut answer);
    let status = cors::preflight(cors, question, &mut answer);
    Expected { outcome: outcome(winner, listener, Action::Preflight { status }, answer), cors: Some(cors) }
}

/// The backend whose share of the weights a point falls into, if any has one.
fn drawn(backends: &[Backend], random: u64) -> Option<&Backend> {
    let total: u128 = backends.iter().map(|backend| u128::from(backend.weight)).sum();
    // floor(random * total / 2^64)
    let point = (u128::from(random) * total) >> 64;
    let mut end = 0;
    backends.iter().find(|backend| {
        end += u128::from(backend.weight);
        point < end
    })
}

fn cors_of<'c>(winner: &Candidate<'c>) -> Option<&'c Cors> {
    winner.rule.filters.iter().find_map(|filter| match filter {
        RouteFilter::Cors { cors } => Some(cors),
        _ => None,
    })
}

/// A list of filters, by kind. Each kind is there at most once.
#[derive(Default)]
struct Filters<'c> {
    request: Option<&'c HeaderModifier>,
    response: Option<&'c HeaderModifier>,
    redirect: Option<&'c RequestRedirect>,
    rewrite: Option<&'c UrlRewrite>,
}

impl<'c> Filters<'c> {
    fn of(list: &'c [RouteFilter]) -> Self {
        let mut filters = Self::default();
        for filter in list {
            match filter {
                RouteFilter::RequestHeaderModifier { request_header_modifier } => {
                    filters.request = Some(request_header_modifier);
                }
                RouteFilter::ResponseHeaderModifier { response_header_modifier } => {
                    filters.response = Some(response_header_modifier);
                }
                RouteFilter::RequestRedirect { request_redirect } => {
                    filters.redirect = Some(request_redirect);
                }
                RouteFilter::UrlRewrite { url_rewrite } => filters.rewrite = Some(url_rewrite),
                RouteFilter::Cors { .. } => {}
            }
        }
        filters
    }
}

/// RFC 7838: the listener's word stands in the place of a backend's.
fn advertise(listener: &Listener, answer: &mut Headers) {
    if let Some(value) = &listener.alt_svc {
        answer.set("alt-svc", value.as_bytes());
    }
}

/// Gateway API `HTTPHeaderFilter`. A name stands in one of the lists alone, so their order means nothing.
fn change(modifier: Option<&HeaderModifier>, headers: &mut Headers) {
    let Some(modifier) = modifier else { return };
    for header in &modifier.set {
        headers.set(&header.name, header.value.as_bytes());
    }
    for header in &modifier.add {
        headers.add(&header.name, header.value.as_bytes());
    }
    for name in &modifier.remove {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_match_the_whole_value() {
        let expressions = Expressions::default();
        assert!(expressions.match_whole("/a|/ab", b"/ab"));
        assert!(!expressions.match_whole("/a|/ab", b"/abc"));
        assert!(expressions.match_whole("a.b", b"a\xffb") && expressions.match_whole("a.b", b"a\nb"));
        assert!(!expressions.match_whole("a$", b"a\n"));
        assert!(!expressions.match_whole("(", b"("));
    }

    #[test]
    fn shares_are_by_weight() {
        let backends: Vec<Backend> = [1, 0, 3].map(|weight| Backend { weight, ..Backend::default() }).into();
        let at = |random| drawn(&backends, random).map(|backend| backend.weight);
        assert_eq!(at(0), Some(1));
        assert_eq!(at((1 << 62) - 1), Some(1));
        assert_eq!(at(1 << 62), Some(3));
        assert_eq!(at(u64::MAX), Some(3));
        assert!(drawn(&backends[1..2], 0).is_none() && drawn(&[], 0).is_none());
    }
}
