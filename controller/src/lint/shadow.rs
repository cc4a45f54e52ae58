//! Rules and matches that never take a request, because another match takes all of them. Which do, the routing engine
//! says ([`gatewasm_routing::RouteTable::shadowed`]); here it is said of whole rules, and why.

use std::collections::BTreeMap;

use gatewasm_routing::config::{PathMatchType, Route, RouteKind, Rule};
use gatewasm_routing::precedence::Criterion;
use gatewasm_routing::{MatchId, Shadowed};

use super::{Attached, Lint, Origin, name};
use crate::problem::Problem;

/// A route: in a file, that of one listener; an object is one wherever it is attached.
type RouteKey<'a> = (Option<&'a str>, RouteKind, &'a str, &'a str);

/// What wins in place of the matches of a rule, by the index of the match.
type Winners<'a> = BTreeMap<usize, Vec<&'a Shadowed>>;

pub(super) fn find(lint: &Lint<'_>, problems: &mut Vec<Problem>) {
    let shadowed = lint.table.shadowed();
    let mut rules: BTreeMap<(RouteKey<'_>, usize), Winners<'_>> = BTreeMap::new();
    for found in &shadowed {
        let of = &found.of;
        let route = key(lint, &found.listener, of.kind, &of.namespace, &of.name);
        let winners = rules.entry((route, of.rule)).or_default();
        winners.entry(of.match_index).or_default().push(found);
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
        let of = |match_index| Loser { route: at.route.1, rule, match_index };
        if winners.len() == rule.matches.len().max(1) {
            let Some((first, by)) = winners.iter().find_map(|(index, by)| Some((*index, *by.first()?)))
            else {
                continue;
            };
            let Some(winner) = route(&by.by) else { continue };
            let mut message = format!("The rule never takes a request: {}.", of(first).because(winner, by));
            if winners.len() > 1 {
                message += " Its other matches never win either.";
            }
            message += " Remove one of the two, or give them different matches.";
            problems.push(lint.warning(*at, &format!("rules[{index}]"), "Shadowed", message));
            continue;
        }
        for (match_index, by) in winners {
            let Some((by, winner)) = by.first().and_then(|by| Some((*by, route(&by.by)?))) else { continue };
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
    rule: &'a Rule,
    match_index: usize,
}

impl Loser<'_> {
    /// Who wins in its place, and by what.
    fn because(&self, winner: &Route, Shadowed { by, criterion, .. }: &Shadowed) -> String {
        let own = winner.kind == self.route.kind
            && (&winner.namespace, &winner.name) == (&self.route.namespace, &self.route.name);
        let place = format!("rules[{}].matches[{}]", by.rule, by.match_index);
        let who = if own { place } else { format!("{place} of {}", name(winner)) };
        let by_name = format!(
            "\"{}/{}\" comes before \"{}/{}\" in the alphabet",
            winner.namespace, winner.name, self.route.namespace, self.route.name
        );
        let why = match criterion {
            Criterion::NonWildcardHostname | Criterion::Hostname => "has the longer hostname".to_owned(),
            Criterion::RouteKind => format!("{}s come first", winner.kind),
            Criterion::GrpcService => "has the longer service".to_owned(),
            Criterion::GrpcMethod => "has the longer method".to_owned(),
            Criterion::PathType => {
                let [first, second] = [
                    path_type(winner.rules.get(by.rule), by.match_index),
                    path_type(Some(self.rule), self.match_index),
                ];
                format!("{first:?} paths come before {second:?} paths")
            }
            Criterion::PathLength => "has the longer path".to_owned(),
            Criterion::Method => "names a method".to_owned(),
            Criterion::Headers => "has more headers".to_owned(),
            Criterion::QueryParams => "has more query parameters".to_owned(),
            Criterion::CreationTimestamp => "is of an older route".to_owned(),
            Criterion::RouteName if winner.creation_timestamp.is_none() => {
                format!("{by_name} (neither route has a creationTimestamp; in a cluster the older one wins)")
            }
            Criterion::RouteName => format!("{by_name} (both routes are of the same age)"),
            Criterion::RuleOrder => "is of an earlier rule of the route".to_owned(),
            Criterion::MatchOrder => "is an earlier match of the rule".to_owned(),
        };
        format!("{who} matches all of its requests, and {why}")
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
        let found = findings("Shadowed", &listener("http", "HTTP", routes));
        found
            .into_iter()
            .map(|(field, message)| format!("{}: {message}", field.trim_start_matches("listeners[0].")))
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
                "routes[0].rules[1].matches[1]: The match never wins: rules[0].matches[0] matches all of its \
                 requests, and is of an earlier rule of the route. Remove it, or make it another one.",
                "routes[0].rules[2]: The rule never takes a request: rules[0].matches[0] matches all of its \
                 requests, and is of an earlier rule of the route. Remove one of the two, or give them different matches.",
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
                "HTTPRoute b/y matches all of its requests, and is of an older route.",
            ),
            (
                aged("a/x", young),
                aged("b/y", ""),
                "HTTPRoute a/x matches all of its requests, and is of an older route.",
            ),
            (
                aged("a/x", old),
                aged("b/y", old),
                "\"a/x\" comes before \"b/y\" in the alphabet (both routes are of the same age)",
            ),
            (aged("a/x", ""), aged("b/y", ""), "in a cluster the older one wins"),
        ] {
            let found = of(&[one, other]);
            assert!(found.len() == 1 && found[0].contains(expected), "{expected}: {found:?}");
        }
        let rules = r#""rules": [{}, {"matches": [{"path": {"type": "RegularExpression", "value": ".*"}}]}]"#;
        let found = of(&[route("n/r", rules)]);
        assert!(found[0].contains("RegularExpression paths come before PathPrefix paths"), "{found:?}");
        let rules = r#""rules": [{"matches": [{"path": {"type": "RegularExpression", "value": "/a"}}]},
            {"matches": [{"path": {"type": "RegularExpression", "value": "/a(/.*)?"}}]}]"#;
        let found = of(&[route("n/r", rules)]);
        assert!(found[0].contains("and has the longer path."), "{found:?}");
    }
}
