//! Hostnames that routes of several namespaces claim at one listener, and who wins where.
//!
//! Two cases are worth a word: the same hostname, and a name within somebody else's wildcard. Routes without hostnames
//! are meant for what nobody claims, and within a namespace hostnames may lie as its owner likes.

use std::collections::{BTreeMap, BTreeSet};

use gatewasm_routing::config::{Route, RouteKind};
use gatewasm_routing::timestamp::Timestamp;

use super::{Attached, Lint, Origin, name};
use crate::problem::Problem;

/// Hosts that are named in one message; more are counted.
const NAMED: usize = 3;

/// A route and the index of one of its hostnames.
#[derive(Clone, Copy)]
struct Claim<'a> {
    at: Attached<'a>,
    hostname: usize,
}

/// Who claims a hostname, the first in seniority first. A route competes with routes of its own kind.
type Claims<'a> = BTreeMap<(RouteKind, &'a str), Vec<Claim<'a>>>;

pub(super) fn find(lint: &Lint<'_>, problems: &mut Vec<Problem>) {
    let mut listeners: BTreeMap<usize, Claims<'_>> = BTreeMap::new();
    for at in lint.attached() {
        let claims = listeners.entry(at.listener.0).or_default();
        for (hostname, text) in at.route.1.hostnames.iter().enumerate() {
            claims.entry((at.route.1.kind, text)).or_default().push(Claim { at, hostname });
        }
    }
    for claims in listeners.values_mut() {
        claims.values_mut().for_each(|its| its.sort_by_cached_key(|claim| seniority(claim.at.route.1)));
        the_same(lint, claims, problems);
        within_wildcards(lint, claims, problems);
    }
}

/// Of equal matches that of the first wins; the order is that of [`gatewasm_routing::precedence`].
fn seniority(route: &Route) -> (bool, Option<Timestamp>, String) {
    let created = route.creation_timestamp.as_deref().and_then(Timestamp::parse);
    (created.is_none(), created, format!("{}/{}", route.namespace, route.name))
}

/// The first route of each namespace other than that of the first route that has the hostname.
fn the_same(lint: &Lint<'_>, claims: &Claims<'_>, problems: &mut Vec<Problem>) {
    for ((_, hostname), its) in claims {
        let Some(first) = its.first().map(|claim| claim.at.route.1) else { continue };
        let mut seen = BTreeSet::from([&first.namespace]);
        for claim in its.iter().filter(|claim| seen.insert(&claim.at.route.1.namespace)) {
            let message = format!(
                "\"{hostname}\" is a hostname of {} too, in another namespace. Each request goes to the more specific \
                 match, and of equal matches that of {} wins. Leave the host to one namespace, or keep to different \
                 paths.",
                name(first),
                name(first),
            );
            problems.push(warning(lint, claim, message));
        }
    }
}

/// Each wildcard within which other namespaces have names.
fn within_wildcards(lint: &Lint<'_>, claims: &Claims<'_>, problems: &mut Vec<Problem>) {
    let mut names: BTreeMap<(RouteKind, &str), Vec<&Claim<'_>>> = BTreeMap::new();
    for ((kind, hostname), its) in claims.iter().filter(|((_, hostname), _)| !hostname.starts_with('*')) {
        // A wildcard stands for one label or more.
        for (dot, _) in hostname.match_indices('.').filter(|(dot, _)| *dot > 0) {
            let wildcard = hostname.get(dot..).unwrap_or_default();
            names.entry((*kind, wildcard)).or_default().extend(its);
        }
    }
    for ((kind, hostname), its) in claims {
        let Some(names) = hostname.strip_prefix('*').and_then(|suffix| names.get(&(*kind, suffix))) else {
            continue;
        };
        for claim in its {
            let foreign = |name: &&&Claim<'_>| name.at.route.1.namespace != claim.at.route.1.namespace;
            let foreign: Vec<_> = names.iter().filter(foreign).collect();
            let named = foreign.iter().take(NAMED).map(|other| {
                let host = other.at.route.1.hostnames.get(other.hostname).map_or("", String::as_str);
                format!("\"{host}\" ({})", name(other.at.route.1))
            });
            let mut named: Vec<_> = named.collect();
            match foreign.len().saturating_sub(NAMED) {
                _ if named.is_empty() => continue,
                0 => {}
                more => named.push(format!("{more} more")),
            }
            let message = format!(
                "Within \"{hostname}\", other namespaces have hostnames of their own: {}. There their rules win, and \
                 this route answers only what none of them matches. If that is not meant, leave the hosts to one \
                 namespace, or say in the listener's allowedRoutes who may attach.",
                named.join(", ")
            );
            problems.push(warning(lint, claim, message));
        }
    }
}

fn warning(lint: &Lint<'_>, claim: &Claim<'_>, message: String) -> Problem {
    let place = match lint.origin {
        Origin::File(_) => Some(claim.hostname),
        Origin::Objects(_) => lint.hostname_of_object(claim.at, claim.hostname),
    };
    let field = place.map_or("hostnames".to_owned(), |place| format!("hostnames[{place}]"));
    lint.warning(claim.at, &field, "OverlappingHostnames", message)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, listener, route};

    fn of(routes: &[(&str, &str)]) -> Vec<String> {
        let routes = routes.iter().map(|(name, hostnames)| {
            route(name, &format!(r#""hostnames": [{hostnames}], "rules": [{{"matches": [{{"path": {{"value": "/{name}"}}}}]}}]"#))
        });
        let found = findings(&listener("http", "HTTP", &routes.collect::<Vec<_>>()));
        let place = |(field, reason, message): (String, String, String)| {
            assert_eq!(reason, "OverlappingHostnames");
            format!("{}: {message}", field.trim_start_matches("listeners[0]."))
        };
        found.into_iter().map(place).collect()
    }

    #[test]
    fn the_same_hostname_of_another_namespace_is_found() {
        let found = of(&[("b/y", r#""x.test", "a.test""#), ("a/x", r#""a.test""#), ("a/z", r#""a.test""#)]);
        assert_eq!(
            found,
            [
                "routes[0].hostnames[1]: \"a.test\" is a hostname of HTTPRoute a/x too, in another namespace. Each \
              request goes to the more specific match, and of equal matches that of HTTPRoute a/x wins. Leave the \
              host to one namespace, or keep to different paths."
            ]
        );
        let (a, b) = (r#""a.test""#, r#""a.test""#);
        assert_eq!(of(&[("a/x", a), ("b/y", b), ("b/z", b), ("c/y", b)]).len(), 2);
        assert_eq!(of(&[("a/y", a), ("a/x", a)]), [""; 0]);
        assert_eq!(of(&[("a/y", r#""a.test""#), ("b/x", "")]), [""; 0]);
    }

    #[test]
    fn a_name_within_a_wildcard_of_another_namespace_is_found() {
        let wildcard = ("a/x", r#""*.test""#);
        let found = of(&[wildcard, ("b/y", r#""a.test", "b.c.test", "test""#)]);
        assert_eq!(found.len(), 1, "{found:?}");
        let expected = "routes[0].hostnames[0]: Within \"*.test\", other namespaces have hostnames of their own: \
                        \"a.test\" (HTTPRoute b/y), \"b.c.test\" (HTTPRoute b/y). There their rules win";
        assert!(found[0].starts_with(expected), "{found:?}");
        let found = of(&[wildcard, ("b/y", r#""a.test", "b.test", "c.test", "d.test", "e.test""#)]);
        assert!(found[0].contains("\"c.test\" (HTTPRoute b/y), 2 more."), "{found:?}");
        assert_eq!(of(&[wildcard, ("a/y", r#""a.test""#)]), [""; 0]);
        assert_eq!(of(&[wildcard, ("b/y", r#""*.a.test""#)]), [""; 0]);
    }
}
