//! Hosts and hostnames: what a hostname matches, which of two is more specific, and what two have in common.

use gatewasm_routing::config::{FilterConfig, Listener, Protocol};
use gatewasm_routing::wire;

/// How specific a hostname is: without a wildcard over with one, then by its characters (Gateway API `HTTPRouteSpec`,
/// "Characters in a matching non-wildcard hostname", "Characters in a matching hostname"). None at all is the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity {
    /// Whether it is a name and no wildcard.
    pub name: bool,
    /// Its characters.
    pub characters: usize,
}

/// The name that a host stands for, or nothing where it cannot be one.
///
/// RFC 9110, 7.2 and 4.2.3: `uri-host [ ":" port ]`, compared without case. Gateway API: the port is ignored
/// (`HTTPRouteSpec.hostnames`). `docs/filter-config.md`: one trailing dot is ignored; RFC 1123 names, `_` taken as an
/// ordinary character, of at most 253 characters.
pub fn name(authority: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(authority).ok()?;
    let host = match text.split_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) => return None,
        None => text,
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let sound = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    (host.len() <= 253 && host.split('.').all(sound)).then_some(host)
}

/// Whether `hostname` (absent: every host) matches, and how specific it is.
pub fn specificity(hostname: Option<&str>, host: Option<&str>) -> Option<Specificity> {
    let Some(hostname) = hostname else { return Some(Specificity::default()) };
    let host = host?;
    let (name, matches) = match hostname.strip_prefix("*.") {
        Some(parent) => (false, host.ends_with(&format!(".{parent}"))),
        None => (true, host == hostname),
    };
    matches.then_some(Specificity { name, characters: hostname.len() })
}

/// The hostname for which both a listener and a route are, if there is one (Gateway API `HTTPRouteSpec.hostnames`).
pub fn intersection(listener: Option<&str>, route: Option<&str>) -> Option<Option<String>> {
    let owned = |hostname: &str| Some(Some(hostname.to_owned()));
    match (listener, route) {
        (None, None) => Some(None),
        (Some(one), None) | (None, Some(one)) => owned(one),
        (Some(listener), Some(route)) if listener == route => owned(route),
        (Some(listener), Some(route)) if within(route, listener) => owned(route),
        (Some(listener), Some(route)) if within(listener, route) => owned(listener),
        _ => None,
    }
}

/// Whether every host of `inner` is one of the wildcard `outer`.
fn within(inner: &str, outer: &str) -> bool {
    let Some(parent) = outer.strip_prefix("*.") else { return false };
    inner.ends_with(&format!(".{parent}"))
}

/// Where a request belongs.
#[derive(Clone, Copy, Debug)]
pub enum Belongs<'c> {
    /// To this listener.
    To(&'c Listener),
    /// To another than the one whose certificate the client was shown.
    Elsewhere,
    /// To none.
    Nowhere,
}

/// The one listener for a request (Gateway API `GatewaySpec.listeners`: "at most one Listener", the most specific;
/// `GatewayTLSConfig`: 421 where another listener of the port matches the authority better, 404 where none does).
pub fn belongs<'c>(config: &'c FilterConfig, entry: &str, host: Option<&str>) -> Belongs<'c> {
    let shown = config.listeners.iter().find(|listener| match listener.protocol {
        Protocol::Http => wire::entry_of_port(&listener.gateway, listener.port) == entry,
        Protocol::Https => listener.name == entry,
    });
    let Some(shown) = shown else { return Belongs::Nowhere };
    let alternatives = config
        .listeners
        .iter()
        .filter(|listener| listener.gateway == shown.gateway && listener.port == shown.port);
    let best = alternatives
        .filter_map(|listener| Some((specificity(listener.hostname.as_deref(), host)?, listener)))
        .max_by_key(|(specificity, _)| *specificity);
    match best {
        None => Belongs::Nowhere,
        Some((_, best)) if shown.protocol == Protocol::Https && best.name != shown.name => Belongs::Elsewhere,
        Some((_, best)) => Belongs::To(best),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_other_hosts() {
        for host in ["a.test", "A.Test", "a.test.", "a.test:80", "a.test.:80", "a.test:"] {
            assert_eq!(name(host.as_bytes()).as_deref(), Some("a.test"), "{host}");
        }
        for host in ["", ".", "[::1]", "[::1]:80", ".a.test", "a..test", "a.test..", "a.test:x", "a b"] {
            assert_eq!(name(host.as_bytes()), None, "{host}");
        }
    }

    #[test]
    fn wildcards_stand_for_labels() {
        let matches = |hostname, host| specificity(Some(hostname), Some(host)).is_some();
        assert!(matches("*.a.test", "b.a.test") && matches("*.a.test", "c.b.a.test"));
        assert!(!matches("*.a.test", "a.test") && !matches("*.a.test", "ba.test"));
        assert!(specificity(Some("*.test"), None).is_none() && specificity(None, None).is_some());
    }

    #[test]
    fn hostnames_are_intersected_in_both_directions() {
        let both = |listener, route| intersection(Some(listener), Some(route));
        assert_eq!(both("*.a.test", "*.test"), Some(Some("*.a.test".into())));
        assert_eq!(both("*.test", "*.a.test"), Some(Some("*.a.test".into())));
        assert_eq!(both("*.test", "a.test"), Some(Some("a.test".into())));
        assert_eq!(both("a.test", "*.test"), Some(Some("a.test".into())));
        assert_eq!(both("*.a.test", "a.test"), None);
        assert_eq!(both("a.test", "b.test"), None);
        assert_eq!(intersection(None, None), Some(None));
    }
}
