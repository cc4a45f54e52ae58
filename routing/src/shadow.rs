//! Matches that can never win, because another one takes every request that they match.
//!
//! It knows of a few ways in which one match surely covers another, and says nothing where it is not sure. What it
//! looks at is the list of all matches in order of precedence ([`RouteTable::list`]); under one hostname, a match is
//! covered only by one that stands above it and has
//!
//! - the same path and the same other conditions, or
//! - an expression for everything that begins in a certain way (`/api.*`), where the covered one is a prefix that
//!   begins so, or
//! - an exact path, where the covered one is an expression for just that text,
//!
//! and in the last two cases the same other conditions or none. Less specific hostnames never come first, so that
//! other hostnames need no look. It costs one look-up for each match and hostname.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use crate::config::{PathMatchType, RouteKind};
use crate::explained::ExplainedRoute;
use crate::list::Listed;
use crate::table::RouteTable;

/// A match that no request of its listener can ever be taken by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadowed {
    /// Name of the listener.
    pub listener: String,
    /// The match.
    pub of: MatchId,
    /// The match that wins in its place; where it has several hostnames, under the first of them.
    pub by: MatchId,
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

impl MatchId {
    fn of(row: &Listed) -> Self {
        let ExplainedRoute { kind, namespace, name } = row.route.clone();
        Self { kind, namespace, name, rule: row.rule, match_index: row.match_index }
    }
}

impl RouteTable {
    /// Every match that can never win, by listener. What is not listed may still be unable to.
    pub fn shadowed(&self) -> Vec<Shadowed> {
        let list = self.list();
        // For each match the one that wins in its place, as long as that is so under all of its hostnames.
        let mut found: BTreeMap<(&str, MatchId), Option<&Listed>> = BTreeMap::new();
        for group in list.chunk_by(|a, b| (&a.listener, &a.hostname) == (&b.listener, &b.hostname)) {
            let mut above = Above::default();
            for row in group {
                let shadow = above.covering(row);
                let entry = found.entry((&row.listener, MatchId::of(row))).or_insert(shadow);
                if shadow.is_none() {
                    *entry = None;
                }
                above.add(row);
            }
        }
        let shadowed = |((listener, of), by): ((&str, MatchId), Option<&Listed>)| {
            Some(Shadowed { listener: listener.to_owned(), of, by: MatchId::of(by?) })
        };
        found.into_iter().filter_map(shadowed).collect()
    }
}

/// What is compared: kind, path type, path, and the other conditions in a fixed order.
type Key<'l> = (RouteKind, PathMatchType, &'l str, Vec<&'l str>);

/// The matches of one hostname that stand above the one in question.
#[derive(Default)]
struct Above<'l> {
    seen: FxHashMap<Key<'l>, &'l Listed>,
    /// Lengths of the texts that open-ended expressions begin with.
    beginnings: BTreeSet<usize>,
    /// The first open-ended expression of each kind of route, text and other conditions.
    open: FxHashMap<(RouteKind, &'l str, Vec<&'l str>), &'l Listed>,
}

impl<'l> Above<'l> {
    fn covering(&self, row: &Listed) -> Option<&'l Listed> {
        let (kind, conditions) = (row.route.kind, conditions(row));
        let alike = self.seen.get(&(kind, row.path_type, row.path.as_str(), conditions.clone()));
        alike.copied().or_else(|| match row.path_type {
            PathMatchType::PathPrefix => self.beginnings.iter().find_map(|length| {
                // The prefix `/` is one of `*` and of the empty path as well, which begin with nothing.
                let begins = if row.path == "/" { "" } else { row.path.as_str() };
                let beginning = begins.get(..*length)?;
                let find = |conditions| self.open.get(&(kind, beginning, conditions)).copied();
                find(Vec::new()).or_else(|| find(conditions.clone()))
            }),
            PathMatchType::RegularExpression if is_literal(&row.path) => {
                let exact = PathMatchType::Exact;
                let find = |conditions| self.seen.get(&(kind, exact, row.path.as_str(), conditions));
                find(Vec::new()).or_else(|| find(conditions)).copied()
            }
            PathMatchType::Exact | PathMatchType::RegularExpression => None,
        })
    }

    fn add(&mut self, row: &'l Listed) {
        let conditions = conditions(row);
        if row.path_type == PathMatchType::RegularExpression
            && let Some(beginning) = open_ended(&row.path)
        {
            self.beginnings.insert(beginning.len());
            self.open.entry((row.route.kind, beginning, conditions.clone())).or_insert(row);
        }
        self.seen.entry((row.route.kind, row.path_type, &row.path, conditions)).or_insert(row);
    }
}

/// Their order means nothing.
fn conditions(row: &Listed) -> Vec<&str> {
    let mut conditions: Vec<_> = row.conditions.iter().map(String::as_str).collect();
    conditions.sort_unstable();
    conditions
}

/// The text with which everything begins that an expression such as `/api.*` matches, where it matches everything that
/// begins so. (A line break, which `.` does not match, is in no path.)
fn open_ended(expression: &str) -> Option<&str> {
    let inner = expression.strip_prefix('^').unwrap_or(expression);
    let inner = inner.strip_suffix('$').unwrap_or(inner);
    inner.strip_suffix(".*").filter(|beginning| is_literal(beginning))
}

/// Whether an expression matches its own text and nothing else.
fn is_literal(expression: &str) -> bool {
    !expression.contains(|letter| r"\.+*?()|[]{}^$".contains(letter))
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
}
