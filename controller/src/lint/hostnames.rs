//! Hostnames that routes of several namespaces claim at one listener, and who wins where: requests that either route
//! could take.
//!
//! Two cases are worth a word: the same hostname, and a name or wildcard within somebody else's wildcard. A route
//! without hostnames has its listener's, for the first of the two; what more specific names others have is no news to
//! it, as it is meant for what nobody claims. Within a namespace hostnames may lie as its owner likes.

use std::collections::{BTreeMap, BTreeSet};

use gatewasm_routing::config::{Route, RouteKind};
use gatewasm_routing::timestamp::Timestamp;

use super::{Attached, Lint, Origin, name};
use crate::problem::Problem;

/// Hosts that are named in one message; more are counted.
const NAMED: usize = 3;

/// A route and the index of one of its hostnames, if it has any.
#[derive(Clone, Copy)]
struct Claim<'a> {
    at: Attached<'a>,
    hostname: Option<usize>,
}

/// Who claims a hostname, the first in seniority first. An empty one is every host.
type Claims<'a> = BTreeMap<&'a str, Vec<Claim<'a>>>;

pub(super) fn find(lint: &Lint<'_>, problems: &mut Vec<Problem>) {
    let mut listeners: BTreeMap<usize, Claims<'_>> = BTreeMap::new();
    for at in lint.attached() {
        let claims = listeners.entry(at.listener.0).or_default();
        for (hostname, text) in at.route.1.hostnames.iter().enumerate() {
            claims.entry(text).or_default().push(Claim { at, hostname: Some(hostname) });
        }
        if at.route.1.hostnames.is_empty() {
            let text = at.listener.1.hostname.as_deref().unwrap_or_default();
            claims.entry(text).or_default().push(Claim { at, hostname: None });
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
    for (hostname, its) in claims {
        let Some(first) = its.first().map(|claim| claim.at.route.1) else { continue };
        let hosts = match *hostname {
            "" => "Every host is one".to_owned(),
            some => format!("{some:?} is a hostname"),
        };
        let mut seen = BTreeSet::from([&first.namespace]);
        for claim in its.iter().filter(|claim| seen.insert(&claim.at.route.1.namespace)) {
            let route = claim.at.route.1;
            let rule = match (first.kind, route.kind) {
                (RouteKind::GrpcRoute, RouteKind::HttpRoute) => of_grpc(first),
                (RouteKind::HttpRoute, RouteKind::GrpcRoute) => of_grpc(route),
                _ => format!(
                    "Each request goes to the more specific match, and of equal matches that of {} wins",
                    name(first)
                ),
            };
            let message = format!(
                "{hosts} of {} too, in another namespace. {rule}. Leave the host to one namespace, or keep to \
                 different paths.",
                name(first),
            );
            problems.push(warning(lint, claim, message));
        }
    }
}

fn of_grpc(route: &Route) -> String {
    format!("A gRPC request that both match goes to {}", name(route))
}

/// Each wildcard within which other namespaces have names.
fn within_wildcards(lint: &Lint<'_>, claims: &Claims<'_>, problems: &mut Vec<Problem>) {
    let mut names: BTreeMap<&str, Vec<&Claim<'_>>> = BTreeMap::new();
    for (hostname, its) in claims {
        // A wildcard stands for one label or more, in a name as in another wildcard.
        for (dot, _) in hostname.trim_start_matches("*.").match_indices('.') {
            let wildcard = hostname.trim_start_matches("*.").get(dot..).unwrap_or_default();
            names.entry(wildcard).or_default().extend(its.iter().filter(|claim| claim.hostname.is_some()));
        }
    }
    for (hostname, its) in claims {
        let Some(names) = hostname.strip_prefix('*').and_then(|suffix| names.get(suffix)) else { continue };
        for claim in its.iter().filter(|claim| claim.hostname.is_some()) {
            let foreign = |name: &&&Claim<'_>| name.at.route.1.namespace != claim.at.route.1.namespace;
            let foreign: Vec<_> = names.iter().filter(foreign).collect();
            let named = foreign.iter().take(NAMED).map(|other| {
                let host = other.hostname.and_then(|it| other.at.route.1.hostnames.get(it));
                let host = host.map_or("", String::as_str);
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
        Origin::File(_) => claim.hostname,
        Origin::Objects(_) => claim.hostname.and_then(|hostname| lint.hostname_of_object(claim.at, hostname)),
    };
    let field = place.map_or("hostnames".to_owned(), |place| format!("hostnames[{place}]"));
    lint.warning(claim.at, &field, "OverlappingHostnames", message)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, listener, route};

    /// The findings at a listener with these routes and hostnames; a route named `grpc` is a GRPCRoute.
    fn at(own: &str, routes: &[(&str, &str)]) -> Vec<String> {
        let routes = routes.iter().map(|(name, hostnames)| {
            let path = format!(r#"[{{"path": {{"value": "/{name}"}}}}]"#);
            let matches = if name.ends_with("grpc") { "[]" } else { path.as_str() };
            let text =
                route(name, &format!(r#""hostnames": [{hostnames}], "rules": [{{"matches": {matches}}}]"#));
            if name.ends_with("grpc") { text.replace("HTTPRoute", "GRPCRoute") } else { text }
        });
        let listener = listener("http", "HTTP", &routes.collect::<Vec<_>>());
        let listener = listener.replacen('{', &format!("{{{own}"), 1);
        let place = |(field, message): (String, String)| {
            format!("{}: {message}", field.trim_start_matches("listeners[0]."))
        };
        findings("OverlappingHostnames", &listener).into_iter().map(place).collect()
    }

    fn of(routes: &[(&str, &str)]) -> Vec<String> {
        at("", routes)
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
        let found = of(&[wildcard, ("b/y", r#""*.a.test""#), ("c/z", r#""x.a.test""#)]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].contains("\"*.a.test\" (HTTPRoute b/y), \"x.a.test\" (HTTPRoute c/z)."),
            "{found:?}"
        );
        assert!(found[1].starts_with("routes[1].hostnames[0]: Within \"*.a.test\""), "{found:?}");
    }

    #[test]
    fn routes_without_hostnames_share_the_listeners() {
        let found = of(&[("a/x", ""), ("b/y", "")]);
        assert!(
            found[0].starts_with("routes[1].hostnames: Every host is one of HTTPRoute a/x too"),
            "{found:?}"
        );
        let own = r#""hostname": "*.test","#;
        let found = at(own, &[("a/x", r#""*.test""#), ("b/y", "")]);
        assert!(found[0].starts_with("routes[1].hostnames: \"*.test\" is a hostname of"), "{found:?}");
        let found = at(own, &[("a/x", ""), ("b/y", "")]);
        assert!(found[0].starts_with("routes[1].hostnames: \"*.test\" is a hostname of"), "{found:?}");
        // Meant for what nobody claims.
        assert_eq!(at(own, &[("a/x", r#""a.test""#), ("b/y", "")]), [""; 0]);
        assert_eq!(of(&[("a/x", r#""a.test", "*.test""#), ("b/y", "")]), [""; 0]);
    }

    #[test]
    fn routes_of_both_kinds_are_found() {
        let found = of(&[("a/x", r#""a.test""#), ("b/grpc", r#""a.test""#)]);
        let expected = "\"a.test\" is a hostname of HTTPRoute a/x too, in another namespace. A gRPC request that both \
                        match goes to GRPCRoute b/grpc.";
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
        let found = of(&[("a/grpc", r#""a.test""#), ("b/y", r#""a.test""#)]);
        assert!(found[0].contains("goes to GRPCRoute a/grpc."), "{found:?}");
        assert_eq!(of(&[("a/x", r#""a.test""#), ("a/grpc", r#""a.test""#)]), [""; 0]);
    }
}
