//! Rules and matches that never take a request, because another match takes all of them. Which do, the routing engine
//! says ([`gatewasm_routing::RouteTable::shadowed`]); here it is said of whole rules, and why.

use std::collections::BTreeMap;

use gatewasm_routing::MatchId;
use gatewasm_routing::config::{PathMatchType, Route, RouteKind, Rule};
use gatewasm_routing::timestamp::Timestamp;

use super::{Attached, Lint, Origin, name};
use crate::problem::Problem;

/// A route: in a file, that of one listener; an object is one wherever it is attached.
type RouteKey<'a> = (Option<&'a str>, RouteKind, &'a str, &'a str);

/// What wins in place of the matches of a rule, by the index of the match.
type Winners<'a> = BTreeMap<usize, Vec<&'a MatchId>>;

pub(super) fn find(lint: &Lint<'_>, problems: &mut Vec<Problem>) {
    let shadowed = lint.table.shadowed();
    let mut rules: BTreeMap<(RouteKey<'_>, usize), Winners<'_>> = BTreeMap::new();
    for found in &shadowed {
        let of = &found.of;
        let route = key(lint, &found.listener, of.kind, &of.namespace, &of.name);
        let winners = rules.entry((route, of.rule)).or_default();
        winners.entry(of.match_index).or_default().push(&found.by);
    }
    let mut attached: BTreeMap<RouteKey<'_>, Vec<Attached<'_>>> = BTreeMap::new();
    for at in lint.attached() {
        let route = at.route.1;
        let key = key(lint, &at.listener.1.name, route.kind, &route.namespace, &route.name);
        attached.entry(key).or_default().push(at);
    }
    let routes: BTreeMap<_, _> = lint
        .attached()
        .map(|at| ((at.route.1.kind, &*at.route.1.namespace, &*at.route.1.name), at.route.1))
        .collect();
    let route = |id: &MatchId| routes.get(&(id.kind, &*id.namespace, &*id.name)).copied();
    for ((key, index), mut winners) in rules {
        let Some([at, others @ ..]) = attached.get(&key).map(Vec::as_slice) else { continue };
        let Some(rule) = at.route.1.rules.get(index) else { continue };
        // What wins in one of its listeners is not in vain.
        winners.retain(|_, by| by.len() > others.len());
        let of = |match_index| Loser { route: at.route.1, index, rule, match_index };
        if winners.len() == rule.matches.len().max(1) {
            let Some((first, by)) = winners.iter().find_map(|(index, by)| Some((*index, *by.first()?)))
            else {
                continue;
            };
            let Some(winner) = route(by) else { continue };
            let mut message = format!("The rule never takes a request: {}.", of(first).because(winner, by));
            if winners.len() > 1 {
                message += " Its other matches never win either.";
            }
            message += " Remove one of the two, or give them different matches.";
            problems.push(lint.warning(*at, &format!("rules[{index}]"), "Shadowed", message));
            continue;
        }
        for (match_index, by) in winners {
            let Some((by, winner)) = by.first().and_then(|by| Some((*by, route(by)?))) else { continue };
            let because = of(match_index).because(winner, by);
            let message = format!("The match never wins: {because}. Remove it, or make it another one.");
            let field = format!("rules[{index}].matches[{match_index}]");
            problems.push(lint.warning(*at, &field, "Shadowed", message));
        }
    }
}

fn key<'a>(
    lint: &Lint<'_>,
    listener: &'a str,
    kind: RouteKind,
    namespace: &'a str,
    name: &'a str,
) -> RouteKey<'a> {
    let listener = matches!(lint.origin, Origin::File(_)).then_some(listener);
    (listener, kind, namespace, name)
}

/// A match that never wins.
struct Loser<'a> {
    route: &'a Route,
    index: usize,
    rule: &'a Rule,
    match_index: usize,
}

impl Loser<'_> {
    /// Who wins in its place, and by what.
    fn because(&self, winner: &Route, by: &MatchId) -> String {
        let own = winner.kind == self.route.kind
            && (&winner.namespace, &winner.name) == (&self.route.namespace, &self.route.name);
        let place = format!("rules[{}].matches[{}]", by.rule, by.match_index);
        let who = if own { place } else { format!("{place} of {}", name(winner)) };
        let kinds = (
            path_type(winner.rules.get(by.rule), by.match_index),
            path_type(Some(self.rule), self.match_index),
        );
        if kinds.0 != kinds.1 {
            return format!(
                "{who} matches all of its requests, and {:?} paths come before {:?} paths",
                kinds.0, kinds.1
            );
        }
        if own {
            let what = if by.rule == self.index { "match of the rule" } else { "rule of the route" };
            return format!("{who} matches the same requests and is the earlier {what}");
        }
        let age = |route: &Route| route.creation_timestamp.as_deref().and_then(Timestamp::parse);
        let by_name = format!(
            "\"{}/{}\" comes before \"{}/{}\" in the alphabet",
            winner.namespace, winner.name, self.route.namespace, self.route.name
        );
        match (age(winner), age(self.route)) {
            (None, None) => format!(
                "{who} matches the same requests, and {by_name} (neither route has a creationTimestamp; in a cluster \
                 the older one wins)"
            ),
            (winner, own) if winner == own => {
                format!("{who} matches the same requests, both routes are of the same age, and {by_name}")
            }
            _ => format!("{who} matches the same requests and is of an older route"),
        }
    }
}

fn path_type(rule: Option<&Rule>, match_index: usize) -> PathMatchType {
    let path = rule.and_then(|rule| rule.matches.get(match_index)?.path.as_ref());
    path.map_or(PathMatchType::default(), |path| path.kind)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, listener, route};

    fn of(routes: &[String]) -> Vec<String> {
        let found = findings(&listener("http", "HTTP", routes));
        found
            .into_iter()
            .filter(|(_, reason, _)| reason == "Shadowed")
            .map(|(field, _, message)| format!("{}: {message}", field.trim_start_matches("listeners[0].")))
            .collect()
    }

    #[test]
    fn a_rule_is_shadowed_when_all_its_matches_are() {
        let rules = r#""rules": [
            {"matches": [{"path": {"value": "/a"}}]},
            {"matches": [{"path": {"value": "/b"}}, {"path": {"value": "/a/"}}]},
            {"matches": [{"path": {"value": "/a"}}]}]"#;
        assert_eq!(
            of(&[route("n/r", rules)]),
            [
                "routes[0].rules[1].matches[1]: The match never wins: rules[0].matches[0] matches the same requests \
                 and is the earlier rule of the route. Remove it, or make it another one.",
                "routes[0].rules[2]: The rule never takes a request: rules[0].matches[0] matches the same requests \
                 and is the earlier rule of the route. Remove one of the two, or give them different matches.",
            ]
        );
    }

    #[test]
    fn the_reason_is_named() {
        let aged = |name: &str, age: &str| route(name, &format!(r#"{age} "rules": [{{}}]"#));
        let (old, young) = (
            r#""creationTimestamp": "2025-01-01T00:00:00Z","#,
            r#""creationTimestamp": "2026-01-01T00:00:00Z","#,
        );
        for (one, other, expected) in [
            (
                aged("a/x", young),
                aged("b/y", old),
                "HTTPRoute b/y matches the same requests and is of an older route.",
            ),
            (
                aged("a/x", young),
                aged("b/y", ""),
                "HTTPRoute a/x matches the same requests and is of an older route.",
            ),
            (
                aged("a/x", old),
                aged("b/y", old),
                "both routes are of the same age, and \"a/x\" comes before \"b/y\"",
            ),
            (aged("a/x", ""), aged("b/y", ""), "in a cluster the older one wins"),
        ] {
            let found = of(&[one, other]);
            assert!(found.len() == 1 && found[0].contains(expected), "{expected}: {found:?}");
        }
        let rules = r#""rules": [{}, {"matches": [{"path": {"type": "RegularExpression", "value": ".*"}}]}]"#;
        let found = of(&[route("n/r", rules)]);
        assert!(found[0].contains("RegularExpression paths come before PathPrefix paths"), "{found:?}");
    }
}
