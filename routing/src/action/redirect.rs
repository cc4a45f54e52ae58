//! Redirects: the status, and the location that a request is sent to.

use crate::action::rewrite::{PathEdit, hostname};
use crate::config::{self, Protocol, RouteMatch};
use crate::matching::host::without_port;
use crate::matching::path::PathMatch;
use crate::problem::Problems;
use crate::request::Request;

/// Gateway API `HTTPRequestRedirectFilter.statusCode`.
const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];
const DEFAULT_STATUS: u16 = 302;

/// A compiled RequestRedirect.
#[derive(Debug)]
pub(crate) struct Redirect {
    scheme: Option<Protocol>,
    hostname: Option<Box<str>>,
    path: Option<PathEdit>,
    port: Option<u16>,
    pub(crate) status: u16,
}

impl Redirect {
    pub(crate) fn compile(
        redirect: &config::RequestRedirect,
        matches: &[RouteMatch],
        problems: &mut Problems,
    ) -> Self {
        let scheme = match redirect.scheme.as_deref() {
            None => None,
            Some("http") => Some(Protocol::Http),
            Some("https") => Some(Protocol::Https),
            Some(other) => {
                problems.add("scheme", format!("{other:?} is not \"http\" or \"https\""));
                None
            }
        };
        if redirect.port == Some(0) {
            problems.add("port", "0 is not a port; ports are 1 to 65535");
        }
        let status = redirect.status_code.unwrap_or(DEFAULT_STATUS);
        if !STATUSES.contains(&status) {
            problems.add("statusCode", format!("{status} is not 301, 302, 303, 307 or 308"));
        }
        Self {
            scheme,
            hostname: hostname(redirect.hostname.as_deref(), problems),
            path: redirect.path.as_ref().and_then(|path| PathEdit::compile(path, matches, problems)),
            port: redirect.port,
            status,
        }
    }

    /// The value of `Location` for a request to a listener of this protocol and port; `None` where the request has no
    /// host or path that could stand in one. It is visible ASCII, whatever the request contains.
    ///
    /// Scheme, host and path are the request's where the filter does not say. "If no port is specified, the redirect
    /// port MUST be derived … the well-known port associated with the redirect scheme", and without a scheme "the
    /// Gateway Listener port"; the well-known port of the scheme is left out (Gateway API
    /// `HTTPRequestRedirectFilter.port`). The port of the Host header has no say.
    pub(crate) fn location(
        &self,
        request: &Request<'_>,
        matched: &PathMatch,
        (protocol, listener_port): (Protocol, u16),
    ) -> Option<String> {
        let scheme = self.scheme.unwrap_or(protocol);
        let (scheme_name, own_port) = match scheme {
            Protocol::Http => ("http", 80),
            Protocol::Https => ("https", 443),
        };
        let port = match (self.port, self.scheme) {
            (Some(port), _) => port,
            (None, Some(_)) => own_port,
            (None, None) => listener_port,
        };
        let edited = match &self.path {
            Some(edit) => Some(edit.apply(request, matched)?),
            None => None,
        };
        let path = edited.as_deref().unwrap_or(request.merged_path());
        if !path.starts_with(b"/") {
            return None;
        }
        let mut location = format!("{scheme_name}://");
        match &self.hostname {
            Some(hostname) => location.push_str(hostname),
            None => location.push_str(host(request.authority)?),
        }
        if port != own_port {
            location.push_str(&format!(":{port}"));
        }
        for byte in path {
            if byte.is_ascii_graphic() {
                location.push(char::from(*byte));
            } else {
                location.push_str(&format!("%{byte:02X}"));
            }
        }
        Some(location)
    }
}

/// The request's host as it was sent, without its port: a name, or an IP address. Anything else could mean another
/// place to a client than to Envoy.
fn host(authority: &[u8]) -> Option<&str> {
    let host = std::str::from_utf8(without_port(authority)).ok()?;
    let label = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let name = |text: &str| {
        let labels = text.strip_suffix('.').unwrap_or(text);
        labels.split('.').all(|text| !text.is_empty() && label(text))
    };
    let address = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let sound =
        !host.is_empty() && inner.map_or_else(|| name(host), |inner| !inner.is_empty() && address(inner));
    sound.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location_of(json: &str, authority: &[u8], path: &[u8], listener: (Protocol, u16)) -> Option<String> {
        let mut problems = Problems::default();
        let redirect = Redirect::compile(&serde_json::from_str(json).unwrap(), &[], &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        let request = Request { method: b"GET", authority, path, headers: &[] };
        redirect.location(&request, &PathMatch::default(), listener)
    }

    /// The rules at `HTTPRequestRedirectFilter.port` on three listeners, whatever port the client named.
    #[test]
    fn the_port_is_the_listeners() {
        let [http, other, https] = [(Protocol::Http, 80), (Protocol::Http, 8080), (Protocol::Https, 443)];
        for (json, listener, expected) in [
            ("{}", http, "http://a.test/x"),
            ("{}", other, "http://a.test:8080/x"),
            ("{}", https, "https://a.test/x"),
            (r#"{"port": 80}"#, other, "http://a.test/x"),
            (r#"{"port": 80}"#, https, "https://a.test:80/x"),
            (r#"{"port": 443}"#, https, "https://a.test/x"),
            (r#"{"port": 8443}"#, http, "http://a.test:8443/x"),
            (r#"{"scheme": "https"}"#, http, "https://a.test/x"),
            (r#"{"scheme": "https"}"#, other, "https://a.test/x"),
            (r#"{"scheme": "http"}"#, https, "http://a.test/x"),
            (r#"{"scheme": "http"}"#, other, "http://a.test/x"),
            (r#"{"scheme": "https", "port": 443}"#, http, "https://a.test/x"),
            (r#"{"scheme": "https", "port": 80}"#, http, "https://a.test:80/x"),
            (r#"{"hostname": "b.test"}"#, other, "http://b.test:8080/x"),
        ] {
            for authority in ["a.test", "a.test:9"] {
                let location = location_of(json, authority.as_bytes(), b"/x", listener);
                assert_eq!(location.as_deref(), Some(expected), "{json} {listener:?} {authority}");
            }
        }
    }

    #[test]
    fn a_location_is_safe_whatever_the_request_contains() {
        let at = |authority: &[u8], path: &[u8]| location_of("{}", authority, path, (Protocol::Http, 80));
        assert_eq!(at(b"A.test.", b"/x?y=z").as_deref(), Some("http://A.test./x?y=z"));
        assert_eq!(at(b"[::1]:80", b"/").as_deref(), Some("http://[::1]/"));
        assert_eq!(at(b"a", b"/\xff \r\n\"").as_deref(), Some("http://a/%FF%20%0D%0A\""));
        for authority in [
            "", ":80", ".", "..", ".a", "a..b", "a..", "a@b", "a/b", "a\\b", "a b", "a:b", "[]", "[x]", "é",
            "a?b", "a#b",
        ] {
            assert_eq!(at(authority.as_bytes(), b"/"), None, "{authority}");
        }
        for path in ["", "*", "x"] {
            assert_eq!(at(b"a", path.as_bytes()), None, "{path}");
        }
        // A redirect that names host and path needs nothing of the request's but that it has a path.
        let full = r#"{"hostname": "b.test", "path": {"type": "ReplaceFullPath", "replaceFullPath": "/y"}}"#;
        let location = location_of(full, b"a@b", b"/x?q", (Protocol::Http, 80));
        assert_eq!(location.as_deref(), Some("http://b.test/y?q"));
    }

    #[test]
    fn unsound_redirects_are_refused() {
        for (json, path) in [
            (r#"{"scheme": "ftp"}"#, "scheme"),
            (r#"{"port": 0}"#, "port"),
            (r#"{"statusCode": 300}"#, "statusCode"),
            (r#"{"hostname": "*.test"}"#, "hostname"),
            (r#"{"hostname": "a.test:80"}"#, "hostname"),
        ] {
            let mut problems = Problems::default();
            Redirect::compile(&serde_json::from_str(json).unwrap(), &[], &mut problems);
            let problems = problems.into_vec();
            assert_eq!(problems.iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(), [path]);
        }
    }
}
