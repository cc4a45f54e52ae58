//! Hostnames: which part of a route's hosts a listener serves.

use crate::api::Hostname;

/// The hosts that both name, or `None` where there is none ("Hostname Intersection" in the Gateway API's
/// concepts/hostnames.md). A wildcard stands for one or more labels; no listener hostname is every host.
pub(super) fn intersect(listener: Option<&Hostname>, route: &Hostname) -> Option<String> {
    let Some(listener) = listener else { return Some(route.to_string()) };
    if listener == route || covers(listener, route) {
        Some(route.to_string())
    } else if covers(route, listener) {
        Some(listener.to_string())
    } else {
        None
    }
}

/// Whether two listeners have hosts in common.
pub(super) fn overlap(one: Option<&Hostname>, other: Option<&Hostname>) -> bool {
    other.is_none_or(|other| intersect(one, other).is_some())
}

/// Whether every host of `narrow` is one of `wide`; `None` is every host.
pub(super) fn is_within(narrow: Option<&str>, wide: Option<&str>) -> bool {
    match (narrow, wide) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(narrow), Some(wide)) => narrow == wide || covers(wide, narrow),
    }
}

/// Which of two hostnames that have a host in common says more of it: those lie within one another, so an exact one, or
/// else the longer one.
pub(super) fn rank(hostname: Option<&str>) -> (bool, usize) {
    let hostname = hostname.unwrap_or("*");
    (!hostname.starts_with('*'), hostname.len())
}

/// Whether `wide` is a wildcard and every host of `narrow` is one of its hosts.
fn covers(wide: &str, narrow: &str) -> bool {
    // `*.example.com` covers `a.example.com`, `a.b.example.com` and `*.b.example.com`, not `example.com`.
    match wide.strip_prefix('*') {
        Some(suffix) => narrow.len() > suffix.len() && narrow.ends_with(suffix) && narrow != wide,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostname(text: &str) -> Hostname {
        Hostname::try_from(text.to_owned()).unwrap()
    }

    /// The table of concepts/hostnames.md, and what it leaves out.
    #[test]
    fn intersections_are_those_of_the_table() {
        for (listener, route, expected) in [
            ("www.example.com", "www.example.com", Some("www.example.com")),
            ("*.example.com", "www.example.com", Some("www.example.com")),
            ("*.example.com", "sub.domain.example.com", Some("sub.domain.example.com")),
            ("www.example.com", "*.example.com", Some("www.example.com")),
            ("sub.domain.example.com", "*.example.com", Some("sub.domain.example.com")),
            ("*.example.com", "*.example.com", Some("*.example.com")),
            ("*.com", "*.example.com", Some("*.example.com")),
            ("*.example.com", "*.com", Some("*.example.com")),
            ("*", "www.example.com", Some("www.example.com")),
            ("*", "*.example.com", Some("*.example.com")),
            ("*.example.com", "example.com", None),
            ("example.com", "*.example.com", None),
            ("*.example.com", "badexample.com", None),
            ("www.example.com", "other.example.com", None),
            ("*.example.com", "*.example.org", None),
            ("*.a.example.com", "*.b.example.com", None),
        ] {
            let listener_hostname = (listener != "*").then(|| hostname(listener));
            let found = intersect(listener_hostname.as_ref(), &hostname(route));
            assert_eq!(found.as_deref(), expected, "{listener} and {route}");
        }
    }
}
