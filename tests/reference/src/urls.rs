//! Hosts and paths that filters make: what a backend gets, and where a redirect leads.

use gatewasm_routing::config::{
    Listener, PathMatchType, PathModifier, Protocol, RequestRedirect, RouteMatch,
};

use crate::Question;
use crate::hosts;
use crate::matching::{path_and_query, without_trailing_slashes};

/// The path with the query string, as `modifier` has it. The query string always stays (decision record 0010).
pub fn modified(modifier: Option<&PathModifier>, it: &RouteMatch, target: &[u8]) -> Vec<u8> {
    let (path, query) = path_and_query(target);
    // A CONNECT has no path that could be replaced (RFC 9113, 8.5).
    let modifier = modifier.filter(|_| !path.is_empty());
    let mut result = match modifier {
        None => path.to_vec(),
        Some(PathModifier::ReplaceFullPath { replace_full_path }) => replace_full_path.clone().into_bytes(),
        // `*` (RFC 9112, 3.2.4) begins with no prefix.
        Some(PathModifier::ReplacePrefixMatch { .. }) if !path.starts_with(b"/") => path.to_vec(),
        Some(PathModifier::ReplacePrefixMatch { replace_prefix_match }) => {
            // Prefix and replacement lose their trailing slashes, the rest keeps its own, and nothing at all is `/`.
            let matched = it.path.as_ref().filter(|path| path.kind == PathMatchType::PathPrefix);
            let prefix = matched.map_or("", |path| without_trailing_slashes(&path.value));
            let rest = path.strip_prefix(prefix.as_bytes()).unwrap_or_default();
            let mut result = without_trailing_slashes(replace_prefix_match).as_bytes().to_vec();
            result.extend(rest);
            if result.is_empty() {
                result.push(b'/');
            }
            result
        }
    };
    if let Some(query) = query {
        result.push(b'?');
        result.extend(query);
    }
    result
}

/// Where a redirect leads (Gateway API `HTTPRequestRedirectFilter`), or nothing where the request has no host or path
/// that could stand in a location.
pub fn location(
    redirect: &RequestRedirect,
    it: &RouteMatch,
    listener: &Listener,
    question: &Question,
) -> Option<String> {
    let listeners_own = match listener.protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
    };
    let scheme = redirect.scheme.as_deref().unwrap_or(listeners_own);
    let host = match &redirect.hostname {
        Some(hostname) => hostname.clone(),
        None => host(&question.authority)?,
    };
    let well_known = if scheme == "http" { 80 } else { 443 };
    let port = match (redirect.port, &redirect.scheme) {
        (Some(port), _) => port,
        (None, Some(_)) => well_known,
        (None, None) => listener.port,
    };
    let port = if port == well_known { String::new() } else { format!(":{port}") };
    let path = modified(redirect.path.as_ref(), it, &question.path);
    if question.path.is_empty() || !path.starts_with(b"/") {
        return None;
    }
    let path: String = path
        .iter()
        .map(|byte| match byte {
            b'!'..=b'~' => char::from(*byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    Some(format!("{scheme}://{host}{port}{path}"))
}

/// The host of an authority without its port, if it is a name or an address in brackets. Case and trailing dot are the
/// client's: "the hostname in the value of the `Host` header of the request".
fn host(authority: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(authority).ok()?;
    if hosts::name(authority).is_some() {
        return Some(text.split(':').next().unwrap_or_default().to_owned());
    }
    let end = text.find(']')?;
    let (bracketed, port) = text.split_at(end + 1);
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port_is_one = port.is_empty() || port.strip_prefix(':').is_some_and(digits);
    let address = bracketed.strip_prefix('[')?.strip_suffix(']')?;
    (port_is_one && address.parse::<std::net::Ipv6Addr>().is_ok()).then(|| bracketed.to_owned())
}

#[cfg(test)]
mod tests {
    use gatewasm_routing::config::PathMatch;

    use super::*;

    /// The table of Gateway API `HTTPPathModifier.replacePrefixMatch`, row by row, and what decision record 0010 adds.
    #[test]
    fn prefixes_are_replaced_as_the_table_says() {
        for (path, prefix, replacement, result) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo", "/foo", "/xyz/", "/xyz"),
            ("/", "/", "/xyz", "/xyz/"),
            ("/a?b?c", "/", "/xyz", "/xyz/a?b?c"),
        ] {
            let it = RouteMatch {
                path: Some(PathMatch { kind: PathMatchType::PathPrefix, value: prefix.into() }),
                ..RouteMatch::default()
            };
            let modifier = PathModifier::ReplacePrefixMatch { replace_prefix_match: replacement.into() };
            let seen = modified(Some(&modifier), &it, path.as_bytes());
            assert_eq!(String::from_utf8_lossy(&seen), result, "{path} {prefix} {replacement}");
        }
    }

    #[test]
    fn hosts_of_locations_are_names_or_addresses() {
        for (authority, expected) in [
            ("a.test:80", Some("a.test")),
            ("[::1]:80", Some("[::1]")),
            ("[::1]", Some("[::1]")),
            ("", None),
            ("[::1]x", None),
            ("a b", None),
            ("a@b", None),
        ] {
            assert_eq!(host(authority.as_bytes()).as_deref(), expected, "{authority}");
        }
    }
}
