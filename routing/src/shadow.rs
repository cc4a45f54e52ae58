//! Matches that can never win, because another one takes every request that they match.
//!
//! It knows of a few ways in which one match surely covers another, and says nothing where it is not sure. What it
//! looks at is the list of all matches in order of precedence ([`RouteTable::list`]); under one hostname, a match is
//! covered only by one that stands above it and
//!
//! - has the same path, or
//! - is an expression for everything that begins in a certain way (`/api.*`, `/api(/.*)?`; [`crate::openness`]), where
//!   the covered one is a prefix that begins so or an expression for one such text, or
//! - is an exact path, where the covered one is an expression for just that text,
//!
//! and asks for nothing else that the covered one does not see to: a method, header, parameter or call is asked for by
//! both in the same way, or by an expression that matches the one value that the covered match takes, or any. Less
//! specific hostnames never come first, so that other hostnames need no look.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use crate::config::{PathMatchType, RouteKind};
use crate::list::Ordered;
use crate::matching::path::PathMatch;
use crate::matching::value::Value;
use crate::openness::{self, Tail};
use crate::precedence::Criterion;
use crate::table::{Listener, Match, RouteTable};

/// A match that no request of its listener can ever be taken by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadowed {
    /// Name of the listener.
    pub listener: String,
    /// The match.
    pub of: MatchId,
    /// The match that wins in its place; where it has several hostnames, under the first of them.
    pub by: MatchId,
    /// In what that one is ahead.
    pub criterion: Criterion,
}

/// A match of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MatchId {
    /// Kind of the route.
    pub kind: RouteKind,
    /// Namespace of the route.
    pub namespace: String,
    /// Name of the route.
    pub name: String,
    /// Index of the rule in the route.
    pub rule: usize,
    /// Index of the match in the rule; 0 for a rule that has none.
    pub match_index: usize,
}

impl RouteTable {
    /// Every match that can never win, by listener. What is not listed may still be unable to.
    pub fn shadowed(&self) -> Vec<Shadowed> {
        self.listeners.iter().flat_map(|listener| self.shadowed_at(listener)).collect()
    }

    fn shadowed_at(&self, listener: &Listener) -> Vec<Shadowed> {
        let rows = self.in_order(listener);
        // For each match the one that wins in its place, as long as that is so under all of its hostnames.
        let mut found: BTreeMap<(usize, usize), Option<(&Ordered<'_>, &Ordered<'_>)>> = BTreeMap::new();
        for group in rows.chunk_by(|a, b| a.hostname == b.hostname) {
            let mut above = Above::default();
            for row in group {
                let asks = Asks::of(row);
                let shadow = above.covering(&asks).map(|by| (row, by));
                let entry = found.entry((row.of.rule, row.of.index)).or_insert(shadow);
                if shadow.is_none() {
                    *entry = None;
                }
                above.add(asks);
            }
        }
        let shadowed = |(of, by): (&Ordered<'_>, &Ordered<'_>)| {
            let (criterion, _) = by.precedence.decide(&of.precedence)?;
            let listener = listener.name.clone();
            Some(Shadowed { listener, of: self.id_of(of.of)?, by: self.id_of(by.of)?, criterion })
        };
        found.into_values().flatten().filter_map(shadowed).collect()
    }

    fn id_of(&self, of: &Match) -> Option<MatchId> {
        let rule = self.rules.get(of.rule)?;
        let route = &self.routes.get(rule.route)?.id;
        let (namespace, name) = (route.namespace.clone(), route.name.clone());
        Some(MatchId { kind: route.kind, namespace, name, rule: rule.index, match_index: of.index })
    }
}

/// What a condition is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Subject<'t> {
    Method(&'t str),
    GrpcService,
    GrpcMethod,
    Header(&'t str),
    QueryParam(&'t str),
}

/// Subject, whether the value is an expression, and the value.
type Written<'t> = (Subject<'t>, bool, &'t str);

/// One thing that a match asks for besides the path.
#[derive(Clone, Copy)]
struct Condition<'t> {
    subject: Subject<'t>,
    /// `None` for a method, which has no other.
    value: Option<&'t Value>,
}

impl<'t> Condition<'t> {
    /// The condition as it is written, which is the same for two conditions only if they are.
    fn written(&self) -> Written<'t> {
        (self.subject, self.is_expression(), self.value.map_or("", Value::text))
    }

    fn is_expression(&self) -> bool {
        matches!(self.value, Some(Value::Expression(_)))
    }

    /// Whether every request that meets it meets the other one.
    fn implies(&self, other: &Self) -> bool {
        if self.subject != other.subject {
            return false;
        }
        let Some(Value::Expression(expression)) = other.value else {
            return self.written() == other.written();
        };
        let covers = |exact: &str| expression.matches(exact.as_bytes());
        // Where there is any value, it is one of `.*`, which takes all but line breaks. Parameters may have those.
        let any = || {
            !matches!(self.subject, Subject::QueryParam(_))
                && openness::of(expression.source())
                    .is_some_and(|(start, tail)| start.is_empty() && tail == Tail::Anything)
        };
        self.written() == other.written() || self.value.and_then(Value::exact).is_some_and(covers) || any()
    }
}

/// All that a match asks for.
struct Asks<'t> {
    row: &'t Ordered<'t>,
    path: &'t PathMatch,
    kind: RouteKind,
    /// In a fixed order: that in which they are written means nothing.
    conditions: Vec<Condition<'t>>,
}

impl<'t> Asks<'t> {
    fn of(row: &'t Ordered<'t>) -> Self {
        let (of, wanted) = (row.of, row.of.conditions());
        let mut conditions = Vec::new();
        let mut ask = |subject, value| conditions.push(Condition { subject, value });
        wanted.method.iter().for_each(|method| ask(Subject::Method(method.name()), None));
        if let Some(grpc) = of.grpc() {
            grpc.service.iter().for_each(|value| ask(Subject::GrpcService, Some(value)));
            grpc.method.iter().for_each(|value| ask(Subject::GrpcMethod, Some(value)));
        }
        wanted.headers.iter().for_each(|one| ask(Subject::Header(&one.name), Some(&one.value)));
        wanted.query_params.iter().for_each(|one| ask(Subject::QueryParam(&one.name), Some(&one.value)));
        conditions.sort_unstable_by_key(Condition::written);
        Self { row, path: &of.path, kind: row.precedence.kind, conditions }
    }

    fn place(&self) -> Place<'t> {
        (self.kind, self.path.kind(), self.path.value())
    }

    fn written(&self) -> AsWritten<'t> {
        (self.place(), self.conditions.iter().map(Condition::written).collect())
    }

    /// Whether all that it asks for, its path aside, is seen to by what the other one asks for.
    fn asks_no_more_than(&self, other: &Self) -> bool {
        self.conditions.iter().all(|wanted| other.conditions.iter().any(|own| own.implies(wanted)))
    }
}

/// Kind of the route, and the path.
type Place<'t> = (RouteKind, PathMatchType, &'t str);

/// All that a match says.
type AsWritten<'t> = (Place<'t>, Vec<Written<'t>>);

/// Open-ended expressions that begin with the same text.
type Open<'t> = Vec<(Tail, Asks<'t>)>;

/// The matches of one hostname that stand above the one in question.
#[derive(Default)]
struct Above<'t> {
    /// The first of those that ask for the same, which is one look-up however many there are.
    alike: FxHashMap<AsWritten<'t>, &'t Ordered<'t>>,
    /// Those that may cover others than their like: exact paths, and those that ask by expression. More conditions
    /// come before fewer, so that no other covers one of the same path.
    at: FxHashMap<Place<'t>, Vec<Asks<'t>>>,
    /// Open-ended expressions by the text that they begin with.
    open: FxHashMap<(RouteKind, Vec<u8>), Open<'t>>,
    /// Lengths of those texts.
    beginnings: BTreeSet<usize>,
}

impl<'t> Above<'t> {
    fn covering(&self, below: &Asks<'t>) -> Option<&'t Ordered<'t>> {
        let alike = self.alike.get(&below.written()).copied();
        alike.or_else(|| self.at(below.place(), below)).or_else(|| match below.path {
            PathMatch::Exact(_) => None,
            // The prefix `/` is one of `*` and of the empty path as well, which are no elements.
            PathMatch::Prefix(prefix) if prefix.is_empty() => self.open(b"", &[Tail::Anything], below),
            PathMatch::Prefix(prefix) => {
                self.open(prefix.as_bytes(), &[Tail::Anything, Tail::Elements], below)
            }
            PathMatch::Expression(expression) => {
                let text = openness::literal(expression.source())?;
                let exact = std::str::from_utf8(&text).ok();
                let exact = exact.and_then(|text| self.at((below.kind, PathMatchType::Exact, text), below));
                exact.or_else(|| self.open(&text, &[Tail::Anything, Tail::Elements], below))
            }
        })
    }

    fn at(&self, place: Place<'_>, below: &Asks<'t>) -> Option<&'t Ordered<'t>> {
        let mut candidates = self.at.get(&place)?.iter();
        candidates.find(|above| above.asks_no_more_than(below)).map(|above| above.row)
    }

    /// The open-ended expression that matches the path and what may follow it, if it ends in one of these ways.
    fn open(&self, path: &[u8], ends: &[Tail], below: &Asks<'t>) -> Option<&'t Ordered<'t>> {
        self.beginnings.iter().find_map(|length| {
            let (beginning, rest) = path.split_at_checked(*length)?;
            let fits = |tail: &Tail| {
                ends.contains(tail) && (*tail == Tail::Anything || matches!(rest, [] | [b'/', ..]))
            };
            let mut candidates = self.open.get(&(below.kind, beginning.to_vec()))?.iter();
            let (_, found) = candidates.find(|(tail, above)| fits(tail) && above.asks_no_more_than(below))?;
            Some(found.row)
        })
    }

    fn add(&mut self, asks: Asks<'t>) {
        let row = asks.row;
        self.alike.entry(asks.written()).or_insert(row);
        if let PathMatch::Expression(expression) = asks.path
            && let Some((beginning, tail)) = openness::of(expression.source())
        {
            self.beginnings.insert(beginning.len());
            self.open.entry((asks.kind, beginning)).or_default().push((tail, Asks::of(row)));
        }
        let by_expression = asks.conditions.iter().any(Condition::is_expression);
        if by_expression || asks.path.kind() == PathMatchType::Exact {
            self.at.entry(asks.place()).or_default().push(asks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compile, parse};

    /// What is shadowed by what in a listener with these routes: `route rule.match < route rule.match`.
    fn shadowed(routes: &str) -> Vec<String> {
        let config = format!(
            r#"{{"version": 1, "listeners": [{{"name": "infra/web/http", "gateway": "infra/web", "port": 80,
                "protocol": "HTTP", "routes": [{routes}]}}]}}"#
        );
        let table = compile(&parse(config.as_bytes()).unwrap()).unwrap();
        let id = |id: MatchId| format!("{}/{} {}.{}", id.namespace, id.name, id.rule, id.match_index);
        table.shadowed().into_iter().map(|found| format!("{} < {}", id(found.of), id(found.by))).collect()
    }

    fn route(name: &str, hostnames: &str, rules: &str) -> String {
        let (namespace, name) = name.split_once('/').unwrap();
        format!(
            r#"{{"kind": "HTTPRoute", "namespace": "{namespace}", "name": "{name}", "hostnames": [{hostnames}],
                "rules": [{rules}]}}"#
        )
    }

    /// The same for the rules of one route, each given by its matches.
    fn rules(rules: &[&str]) -> Vec<String> {
        let rules: Vec<_> = rules.iter().map(|matches| format!(r#"{{"matches": [{matches}]}}"#)).collect();
        shadowed(&route("n/r", "", &rules.join(", ")))
    }

    fn path(kind: &str, value: &str) -> String {
        format!(r#"{{"path": {{"type": "{kind}", "value": "{value}"}}}}"#)
    }

    #[test]
    fn the_same_match_is_found_wherever_it_stands() {
        let a = path("PathPrefix", "/a");
        assert_eq!(rules(&[&a, &path("PathPrefix", "/a/")]), ["n/r 1.0 < n/r 0.0"]);
        assert_eq!(rules(&[&format!("{a}, {a}")]), ["n/r 0.1 < n/r 0.0"]);
        let rule = format!(r#"{{"matches": [{a}]}}"#);
        let routes = [route("b/x", "", &rule), route("a/y", "", &rule)];
        assert_eq!(shadowed(&routes.join(", ")), ["b/x 0.0 < a/y 0.0"]);
        assert_eq!(shadowed(&route("n/r", "", "{}, {}")), ["n/r 1.0 < n/r 0.0"]);
    }

    #[test]
    fn the_order_of_conditions_and_what_does_not_count_mean_nothing() {
        let one = r#"{"headers": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]}"#;
        let other = r#"{"headers": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}, {"name": "a", "value": "3"}]}"#;
        assert_eq!(rules(&[one, other]), ["n/r 1.0 < n/r 0.0"]);
    }

    #[test]
    fn other_conditions_win_or_match_others() {
        let a = path("PathPrefix", "/a");
        let with = |fields: &str| format!(r#"{{"path": {{"value": "/a"}}, {fields}}}"#);
        for other in [
            with(r#""method": "GET""#),
            with(r#""headers": [{"name": "x", "value": "1"}]"#),
            with(r#""queryParams": [{"name": "x", "value": "1"}]"#),
            path("Exact", "/a"),
            path("PathPrefix", "/a/b"),
            path("PathPrefix", "/"),
            path("RegularExpression", "/a"),
        ] {
            assert_eq!(rules(&[&a, &other]), [""; 0], "{other}");
        }
        let query = |name: &str, value: &str| {
            with(&format!(r#""queryParams": [{{"name": "{name}", "value": "{value}"}}]"#))
        };
        assert_eq!(rules(&[&query("a=b", "c"), &query("a", "b=c")]), [""; 0]);
    }

    #[test]
    fn every_hostname_must_be_taken() {
        let (all, one) = (r#""a.test", "b.test""#, r#""b.test""#);
        assert_eq!(shadowed(&[route("a/x", one, "{}"), route("b/y", all, "{}")].join(", ")), [""; 0]);
        assert_eq!(
            shadowed(&[route("a/x", all, "{}"), route("b/y", one, "{}")].join(", ")),
            ["b/y 0.0 < a/x 0.0"]
        );
        // A wildcard covers the name, and yet it loses.
        let wildcard = r#""*.test""#;
        assert_eq!(shadowed(&[route("a/x", wildcard, "{}"), route("b/y", one, "{}")].join(", ")), [""; 0]);
    }

    #[test]
    fn an_expression_for_everything_takes_what_prefixes_match() {
        let everything = path("RegularExpression", ".*");
        let below = path("RegularExpression", "^/a.*$");
        assert_eq!(rules(&[&path("PathPrefix", "/"), &everything]), ["n/r 0.0 < n/r 1.0"]);
        assert_eq!(rules(&[&path("PathPrefix", "/ab"), &below]), ["n/r 0.0 < n/r 1.0"]);
        // `OPTIONS *` is left to the prefix.
        assert_eq!(rules(&[&path("PathPrefix", "/"), &path("RegularExpression", "/.*")]), [""; 0]);
        assert_eq!(rules(&[&path("PathPrefix", "/b"), &below]), [""; 0]);
        assert_eq!(rules(&[&path("Exact", "/a"), &below]), [""; 0]);
        let header = r#""headers": [{"name": "x", "value": "1"}]"#;
        let prefix = format!(r#"{{"path": {{"value": "/a"}}, {header}}}"#);
        let only = format!(r#"{{"path": {{"type": "RegularExpression", "value": "/a.*"}}, {header}}}"#);
        assert_eq!(rules(&[&prefix, &only]), ["n/r 0.0 < n/r 1.0"]);
        assert_eq!(rules(&[&path("PathPrefix", "/a"), &only]), [""; 0]);
    }

    #[test]
    fn an_exact_path_takes_what_an_expression_for_it_matches() {
        let literal = path("RegularExpression", "/a");
        assert_eq!(rules(&[&literal, &path("Exact", "/a")]), ["n/r 0.0 < n/r 1.0"]);
        assert_eq!(rules(&[&path("RegularExpression", "/a.b"), &path("Exact", "/a.b")]), [""; 0]);
    }

    #[test]
    fn an_expression_for_elements_takes_what_prefixes_match() {
        let elements = path("RegularExpression", "/a(/.*)?");
        for below in ["/a", "/a/", "/a/b"] {
            assert_eq!(rules(&[&path("PathPrefix", below), &elements]), ["n/r 0.0 < n/r 1.0"], "{below}");
        }
        assert_eq!(rules(&[&path("RegularExpression", "/a/b"), &elements]), ["n/r 0.0 < n/r 1.0"]);
        for beside in [path("PathPrefix", "/ab"), path("PathPrefix", "/"), path("RegularExpression", "/ab")] {
            assert_eq!(rules(&[&beside, &elements]), [""; 0], "{beside}");
        }
        // The longer expression comes first.
        assert_eq!(rules(&[&path("RegularExpression", "/a/b/c/d/e/f"), &elements]), [""; 0]);
        let every = path("RegularExpression", "(/.*)?");
        assert_eq!(rules(&[&path("PathPrefix", "/"), &every]), [""; 0]);
        assert_eq!(rules(&[&path("PathPrefix", "/a"), &every]), ["n/r 0.0 < n/r 1.0"]);
    }

    #[test]
    fn an_expression_takes_the_values_that_it_surely_matches() {
        let with = |part: &str, kind: &str, value: &str| {
            format!(r#"{{"{part}": [{{"type": "{kind}", "name": "x", "value": "{value}"}}]}}"#)
        };
        let header = |kind: &str, value: &str| with("headers", kind, value);
        let query = |kind: &str, value: &str| with("queryParams", kind, value);
        let (exact, expression) = ("Exact", "RegularExpression");
        for (above, below) in [
            (header(expression, ".*"), header(exact, "1")),
            (header(expression, ".*"), header(expression, "[0-9]+")),
            (header(expression, "1|2"), header(exact, "1")),
            (query(expression, "1|2"), query(exact, "1")),
        ] {
            assert_eq!(rules(&[&above, &below]), ["n/r 1.0 < n/r 0.0"], "{above} {below}");
        }
        for (above, below) in [
            // It wants the header to be there.
            (header(expression, ".*"), "{}".to_owned()),
            (header(expression, ".*"), with("headers", exact, "1").replace("\"x\"", "\"y\"")),
            (header(expression, "1|2"), header(exact, "3")),
            (header(expression, "[0-9]+"), header(expression, "[0-9]")),
            (header(exact, "1"), header(expression, "1")),
            // A parameter may have a line break.
            (query(expression, ".*"), query(expression, "(?s).*")),
            (query(expression, ".*"), header(exact, "1")),
        ] {
            assert_eq!(rules(&[&above, &below]), [""; 0], "{above} {below}");
        }
        let both = r#"{"headers": [{"name": "x", "value": "1"}, {"name": "y", "value": "1"}]}"#;
        assert_eq!(rules(&[&header(expression, ".*"), both]), [""; 0]);
        let prefix =
            r#"{"path": {"value": "/a"}, "headers": [{"name": "x", "value": "1"}], "method": "GET"}"#;
        let open = r#"{"path": {"type": "RegularExpression", "value": "/a.*"},
            "headers": [{"type": "RegularExpression", "name": "x", "value": "[0-9]"}]}"#;
        assert_eq!(rules(&[prefix, open]), ["n/r 0.0 < n/r 1.0"]);
    }

    #[test]
    fn a_longer_expression_takes_the_calls_that_it_matches() {
        let call = |kind: &str, service: &str| {
            format!(r#"{{"matches": [{{"grpcMethod": {{"type": "{kind}", "service": "{service}"}}}}]}}"#)
        };
        let shadowed = |rules: [String; 2]| {
            let route = route("n/r", "", &rules.join(", ")).replace("HTTPRoute", "GRPCRoute");
            shadowed(&route)
        };
        let one_or_other = call("RegularExpression", "a|b");
        assert_eq!(shadowed([call("Exact", "a"), one_or_other.clone()]), ["n/r 0.0 < n/r 1.0"]);
        assert_eq!(shadowed([call("Exact", "c"), one_or_other.clone()]), [""; 0]);
        assert_eq!(shadowed([call("Exact", "a.long.one"), one_or_other]), [""; 0]);
    }

    #[test]
    fn what_put_the_other_one_ahead_is_told() {
        let criterion = |routes: &str| {
            let config = format!(
                r#"{{"version": 1, "listeners": [{{"name": "a/b/c", "gateway": "a/b", "port": 80,
                    "protocol": "HTTP", "routes": [{routes}]}}]}}"#
            );
            compile(&parse(config.as_bytes()).unwrap()).unwrap().shadowed().remove(0).criterion
        };
        assert_eq!(criterion(&route("n/r", "", "{}, {}")), Criterion::RuleOrder);
        assert_eq!(
            criterion(&[route("n/r", "", "{}"), route("n/s", "", "{}")].join(", ")),
            Criterion::RouteName
        );
        let open = format!(r#"{{}}, {{"matches": [{}]}}"#, path("RegularExpression", ".*"));
        assert_eq!(criterion(&route("n/r", "", &open)), Criterion::PathType);
    }
}
