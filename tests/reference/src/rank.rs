//! Which of two matches that both apply comes first: the list of `docs/filter-config.md`, line by line.

use std::cmp::Ordering;

use gatewasm_routing::config::{PathMatchType, Route, RouteKind, RouteMatch, Rule};

use crate::hosts::Specificity;
use crate::matching::{counted_headers, counted_parameters, without_trailing_slashes};

/// A match that applies to a request, by one of its route's hostnames.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'c> {
    /// How specific the hostname is.
    pub hostname: Specificity,
    /// The route.
    pub route: &'c Route,
    /// Index of the rule.
    pub rule_index: usize,
    /// The rule.
    pub rule: &'c Rule,
    /// Index of the match.
    pub match_index: usize,
    /// The match.
    pub it: &'c RouteMatch,
}

/// `Less` where `one` comes before `other`.
pub fn compare(one: &Candidate<'_>, other: &Candidate<'_>) -> Ordering {
    // Where more comes first.
    fn more<T: Ord>(one: T, other: T) -> Ordering {
        other.cmp(&one)
    }
    more(one.hostname, other.hostname)
        // GRPCRoutes before HTTPRoutes: both match only gRPC requests.
        .then_with(|| more(is_grpc(one), is_grpc(other)))
        .then_with(|| match is_grpc(one) {
            true => more(call_characters(one.it), call_characters(other.it)),
            false => path_kind(one.it)
                .cmp(&path_kind(other.it))
                .then_with(|| more(path_characters(one.it), path_characters(other.it)))
                .then_with(|| more(one.it.method.is_some(), other.it.method.is_some())),
        })
        .then_with(|| more(counted_headers(&one.it.headers).len(), counted_headers(&other.it.headers).len()))
        .then_with(|| {
            more(
                counted_parameters(&one.it.query_params).len(),
                counted_parameters(&other.it.query_params).len(),
            )
        })
        .then_with(|| age(one.route).cmp(&age(other.route)))
        .then_with(|| full_name(one.route).cmp(&full_name(other.route)))
        .then_with(|| (one.rule_index, one.match_index).cmp(&(other.rule_index, other.match_index)))
}

fn is_grpc(candidate: &Candidate<'_>) -> bool {
    candidate.route.kind == RouteKind::GrpcRoute
}

/// Exact, RegularExpression, PathPrefix (decision record 0002); no path is the prefix `/`.
fn path_kind(it: &RouteMatch) -> u8 {
    match it.path.as_ref().map(|path| path.kind) {
        Some(PathMatchType::Exact) => 0,
        Some(PathMatchType::RegularExpression) => 1,
        Some(PathMatchType::PathPrefix) | None => 2,
    }
}

fn path_characters(it: &RouteMatch) -> usize {
    it.path.as_ref().map_or(0, |path| match path.kind {
        PathMatchType::PathPrefix => without_trailing_slashes(&path.value).chars().count(),
        PathMatchType::Exact | PathMatchType::RegularExpression => path.value.chars().count(),
    })
}

/// Characters of the service, then of the method (Gateway API `GRPCRouteRule.matches`).
fn call_characters(it: &RouteMatch) -> (usize, usize) {
    let characters = |text: Option<&String>| text.map_or(0, |text| text.chars().count());
    let call = it.grpc_method.as_ref();
    (characters(call.and_then(|it| it.service.as_ref())), characters(call.and_then(|it| it.method.as_ref())))
}

/// Times of one form (`2026-01-31T00:00:00Z`) sort as texts. A route without one is the youngest.
fn age(route: &Route) -> (bool, Option<&str>) {
    (route.creation_timestamp.is_none(), route.creation_timestamp.as_deref())
}

/// "Alphabetical order by `{namespace}/{name}`": of the whole text.
fn full_name(route: &Route) -> String {
    format!("{}/{}", route.namespace, route.name)
}
