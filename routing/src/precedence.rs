//! Which of several matching rules takes a request: the one and only ordering of matches.
//!
//! The order of listeners and routes in the config means nothing; it is all here.
//!
//! Gateway API, `HTTPRouteSpec.hostnames`, paraphrased: where hostnames of several routes match, rules of the route
//! win that has, in this order,
//!
//! 1. most characters in a matching hostname without a wildcard,
//! 2. most characters in a matching hostname.
//!
//! Of matches of both kinds (for a gRPC request alone, as GRPCRoutes take no other; open in the spec) then
//!
//! 3. those of GRPCRoutes: they were written for such requests.
//!
//! Gateway API, `HTTPRouteRule.matches`, paraphrased: then, across all rules of all routes, the match that has
//!
//! 4. an `Exact` path, then (open in the spec; decision record 0002) a `RegularExpression`, then a `PathPrefix`,
//! 5. most characters in its path; a trailing slash of a prefix is not counted, as it means nothing,
//! 6. a method,
//! 7. most headers,
//! 8. most query parameters.
//!
//! Gateway API, `GRPCRouteRule.matches`, paraphrased: of GRPCRoutes, in place of those, the match that has most
//! characters in its service, then in its method, then most headers.
//!
//! Ties between routes: 9. the oldest by creation timestamp, 10. the first by `{namespace}/{name}`. Within a route:
//! 11. the first rule, and 12. its first match.

use std::cmp::Ordering;

use crate::config::{PathMatchType, RouteKind};
use crate::timestamp::Timestamp;

/// The key of one match under one hostname. The lesser one takes precedence: the winner is the first of a sorted list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Precedence<'a> {
    /// The matching hostname's share in the order.
    pub hostname: HostnameRank,
    /// Kind of the route. What only the other kind's matches have is the same in all of this one's.
    pub kind: RouteKind,
    /// Characters of the gRPC service; 0 for every service.
    pub service_length: usize,
    /// Characters of the gRPC method; 0 for every method.
    pub grpc_method_length: usize,
    /// How the path is compared.
    pub path_type: PathMatchType,
    /// Characters of the path, without the trailing slashes of a prefix.
    pub path_length: usize,
    /// Whether the match names a method.
    pub method: bool,
    /// Number of header conditions that count.
    pub headers: usize,
    /// Number of query parameter conditions that count.
    pub query_params: usize,
    /// When the route was created; a route that does not say is the youngest.
    pub created: Option<Timestamp>,
    /// `{namespace}/{name}` of the route.
    pub route: &'a str,
    /// Index of the rule in its route.
    pub rule: usize,
    /// Index of the match in its rule.
    pub match_index: usize,
}

/// Characters of a matching hostname.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostnameRank {
    /// Characters, where the hostname has no wildcard; else 0.
    pub non_wildcard: usize,
    /// Characters, `*.` included; 0 for "every host".
    pub any: usize,
}

/// What decided between two matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// Characters in a matching hostname without a wildcard.
    NonWildcardHostname,
    /// Characters in a matching hostname.
    Hostname,
    /// GRPCRoute, then HTTPRoute.
    RouteKind,
    /// Characters in the gRPC service.
    GrpcService,
    /// Characters in the gRPC method.
    GrpcMethod,
    /// Exact, then RegularExpression, then PathPrefix.
    PathType,
    /// Characters in the path.
    PathLength,
    /// A method over none.
    Method,
    /// Number of headers.
    Headers,
    /// Number of query parameters.
    QueryParams,
    /// Older over younger.
    CreationTimestamp,
    /// `{namespace}/{name}` in alphabetical order.
    RouteName,
    /// The order of rules in a route.
    RuleOrder,
    /// The order of matches in a rule.
    MatchOrder,
}

impl Precedence<'_> {
    /// The first criterion in which the two differ, and which of them it favours (`Less`: `self`). `None` when they
    /// are the same in all, which two matches of one listener never are.
    pub fn decide(&self, other: &Self) -> Option<(Criterion, Ordering)> {
        // One after the other, as most pairs differ early. Where more is better, `other` stands first.
        let differ = |criterion, order: Ordering| order.is_ne().then_some((criterion, order));
        let more = |criterion, ours: usize, theirs: usize| differ(criterion, theirs.cmp(&ours));
        more(Criterion::NonWildcardHostname, self.hostname.non_wildcard, other.hostname.non_wildcard)
            .or_else(|| more(Criterion::Hostname, self.hostname.any, other.hostname.any))
            .or_else(|| differ(Criterion::RouteKind, kind_rank(self.kind).cmp(&kind_rank(other.kind))))
            .or_else(|| more(Criterion::GrpcService, self.service_length, other.service_length))
            .or_else(|| more(Criterion::GrpcMethod, self.grpc_method_length, other.grpc_method_length))
            .or_else(|| differ(Criterion::PathType, rank(self.path_type).cmp(&rank(other.path_type))))
            .or_else(|| more(Criterion::PathLength, self.path_length, other.path_length))
            .or_else(|| differ(Criterion::Method, other.method.cmp(&self.method)))
            .or_else(|| more(Criterion::Headers, self.headers, other.headers))
            .or_else(|| more(Criterion::QueryParams, self.query_params, other.query_params))
            .or_else(|| differ(Criterion::CreationTimestamp, age(self.created).cmp(&age(other.created))))
            .or_else(|| differ(Criterion::RouteName, self.route.cmp(other.route)))
            .or_else(|| differ(Criterion::RuleOrder, self.rule.cmp(&other.rule)))
            .or_else(|| differ(Criterion::MatchOrder, self.match_index.cmp(&other.match_index)))
    }
}

impl Ord for Precedence<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.decide(other).map_or(Ordering::Equal, |(_, order)| order)
    }
}

impl PartialOrd for Precedence<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn kind_rank(kind: RouteKind) -> u8 {
    match kind {
        RouteKind::GrpcRoute => 0,
        RouteKind::HttpRoute => 1,
    }
}

fn rank(path_type: PathMatchType) -> u8 {
    match path_type {
        PathMatchType::Exact => 0,
        PathMatchType::RegularExpression => 1,
        PathMatchType::PathPrefix => 2,
    }
}

/// Without a timestamp a route comes after every route that has one.
fn age(created: Option<Timestamp>) -> (bool, Option<Timestamp>) {
    (created.is_none(), created)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Precedence<'_> = Precedence {
        hostname: HostnameRank { non_wildcard: 0, any: 0 },
        kind: RouteKind::HttpRoute,
        service_length: 0,
        grpc_method_length: 0,
        path_type: PathMatchType::PathPrefix,
        path_length: 4,
        method: false,
        headers: 0,
        query_params: 0,
        created: None,
        route: "default/m",
        rule: 1,
        match_index: 1,
    };

    /// One match for each criterion, better than `PLAIN` in it alone, from the weightiest criterion on.
    fn better() -> Vec<(Criterion, Precedence<'static>)> {
        let year_2026 = Timestamp::parse("2026-01-01T00:00:00Z");
        vec![
            (
                Criterion::NonWildcardHostname,
                Precedence { hostname: HostnameRank { non_wildcard: 1, any: 0 }, ..PLAIN },
            ),
            (Criterion::Hostname, Precedence { hostname: HostnameRank { non_wildcard: 0, any: 1 }, ..PLAIN }),
            (Criterion::RouteKind, Precedence { kind: RouteKind::GrpcRoute, ..PLAIN }),
            (Criterion::GrpcService, Precedence { service_length: 1, ..PLAIN }),
            (Criterion::GrpcMethod, Precedence { grpc_method_length: 1, ..PLAIN }),
            (Criterion::PathType, Precedence { path_type: PathMatchType::RegularExpression, ..PLAIN }),
            (Criterion::PathLength, Precedence { path_length: 5, ..PLAIN }),
            (Criterion::Method, Precedence { method: true, ..PLAIN }),
            (Criterion::Headers, Precedence { headers: 1, ..PLAIN }),
            (Criterion::QueryParams, Precedence { query_params: 1, ..PLAIN }),
            (Criterion::CreationTimestamp, Precedence { created: year_2026, ..PLAIN }),
            (Criterion::RouteName, Precedence { route: "default/a", ..PLAIN }),
            (Criterion::RuleOrder, Precedence { rule: 0, ..PLAIN }),
            (Criterion::MatchOrder, Precedence { match_index: 0, ..PLAIN }),
        ]
    }

    #[test]
    fn each_criterion_beats_every_later_one() {
        let better = better();
        for (i, (criterion, weighty)) in better.iter().enumerate() {
            assert_eq!(weighty.decide(&PLAIN), Some((*criterion, Ordering::Less)));
            assert_eq!(PLAIN.decide(weighty), Some((*criterion, Ordering::Greater)));
            for (_, light) in &better[i + 1..] {
                assert_eq!(weighty.decide(light), Some((*criterion, Ordering::Less)));
            }
        }
    }

    #[test]
    fn exact_beats_expression_beats_prefix() {
        let exact = Precedence { path_type: PathMatchType::Exact, path_length: 1, ..PLAIN };
        let expression = Precedence { path_type: PathMatchType::RegularExpression, path_length: 2, ..PLAIN };
        let prefix = Precedence { path_length: 3, ..PLAIN };
        assert!(exact < expression && expression < prefix);
    }

    #[test]
    fn namespace_and_name_are_compared_as_one_text() {
        // '-' comes before '/', so that "a-b/x" stands before "a/x".
        let (first, second) = (Precedence { route: "a-b/x", ..PLAIN }, Precedence { route: "a/x", ..PLAIN });
        assert!(first < second);
    }

    #[test]
    fn older_wins_and_unknown_age_is_youngest() {
        let created = |text| Precedence { created: Timestamp::parse(text), ..PLAIN };
        let (old, young) = (created("2020-01-01T00:00:00Z"), created("2026-01-01T00:00:00Z"));
        assert!(old < young && young < PLAIN);
    }
}
