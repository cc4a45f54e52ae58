//! The headers of a request as Envoy hands them to the filter: what it removes, sets and makes anew before that.
//! Measured with Envoy 1.40 and the settings of every connection manager that [`crate::render`] writes.

use gatewasm_routing::config::FilterConfig;
use gatewasm_routing::wire;
use hyper::header::{CONNECTION, HeaderName, HeaderValue, TE, UPGRADE};

/// A header of a request.
pub(crate) type Header = (HeaderName, HeaderValue);

/// Envoy takes these from every request.
const NEVER: [&str; 5] =
    ["http2-settings", "keep-alive", "proxy-connection", "transfer-encoding", "x-forwarded-client-cert"];

/// Stands in for what Envoy makes at random: of its form, so that an expression for that form matches.
const SOME_REQUEST_ID: &str = "00000000-0000-4000-8000-000000000000";

/// Headers of which no value can be foretold, and why.
const UNKNOWN: [(&str, &str); 3] = [
    ("x-forwarded-for", "Envoy appends the client's address, which is not known here"),
    ("x-request-id", "Envoy makes it anew, at random; what a client sends never arrives"),
    ("x-envoy-external-address", "Envoy sets it to the client's address, which is not known here"),
];

/// The headers that the filter gets when a client sends `headers` to a listener of this scheme.
pub(crate) fn as_envoy_hands_over(headers: &[Header], scheme: &'static str) -> Vec<Header> {
    let upgrade = is_websocket(headers);
    let hop_by_hop: Vec<String> = if upgrade { Vec::new() } else { tokens(headers, &CONNECTION).collect() };
    let stays = |(name, value): &&Header| match name.as_str() {
        "x-forwarded-proto" | "x-request-id" => false,
        other if other.starts_with(wire::PREFIX) || other.starts_with("x-envoy-") => false,
        other if NEVER.contains(&other) => false,
        "connection" | "te" | "upgrade" => upgrade,
        "expect" => !value.as_bytes().eq_ignore_ascii_case(b"100-continue"),
        other => !hop_by_hop.iter().any(|named| named == other),
    };
    let mut handed: Vec<Header> = headers.iter().filter(stays).cloned().collect();
    let trailers = headers
        .iter()
        .filter(|(name, _)| name == TE)
        .flat_map(|(_, value)| value.as_bytes().split(|byte| *byte == b','))
        .any(|coding| coding.trim_ascii() == b"trailers");
    if trailers && !upgrade {
        handed.push((TE, HeaderValue::from_static("trailers")));
    }
    handed.push((HeaderName::from_static("x-forwarded-proto"), HeaderValue::from_static(scheme)));
    handed.push((HeaderName::from_static("x-request-id"), HeaderValue::from_static(SOME_REQUEST_ID)));
    handed
}

/// What a reader must know of headers that the client sends or a rule asks for: those that do not arrive as they were
/// sent, and those of which nothing certain can be said.
pub(crate) fn notes(sent: &[Header], handed: &[Header], config: &FilterConfig) -> Vec<String> {
    let rules = config.listeners.iter().flat_map(|listener| &listener.routes).flat_map(|route| &route.rules);
    let asked: Vec<&str> = rules
        .flat_map(|rule| &rule.matches)
        .flat_map(|one| &one.headers)
        .map(|header| header.name.as_str())
        .collect();
    let unknown = UNKNOWN
        .iter()
        .filter(|(name, _)| {
            asked.iter().any(|asked| asked.eq_ignore_ascii_case(name))
                || sent.iter().any(|(sent, _)| sent == name)
        })
        .map(|(name, why)| format!("{name}: {why}"));
    let mut notes: Vec<String> = unknown.collect();
    let values = |all: &[Header], of: &HeaderName| -> Vec<HeaderValue> {
        all.iter().filter(|(name, _)| name == of).map(|(_, value)| value.clone()).collect()
    };
    for (name, _) in sent.iter().filter(|(name, _)| UNKNOWN.iter().all(|(unknown, _)| name != unknown)) {
        let arrives = values(handed, name);
        if arrives == values(sent, name) {
            continue;
        }
        let note = match arrives.first() {
            Some(value) => format!("{name}: Envoy makes it {}", String::from_utf8_lossy(value.as_bytes())),
            None => format!("{name}: Envoy removes what a client sends, before any rule sees it"),
        };
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

/// Whether it is the handshake of a WebSocket. Of every other upgrade nothing is handed over: Envoy ignores one to h2c and
/// answers 403 to the rest.
fn is_websocket(headers: &[Header]) -> bool {
    tokens(headers, &CONNECTION).any(|token| token == "upgrade")
        && tokens(headers, &UPGRADE).any(|token| token == "websocket")
}

/// The comma-separated values of a header, in lower case.
fn tokens<'h>(headers: &'h [Header], of: &'h HeaderName) -> impl Iterator<Item = String> + 'h {
    let lines = headers.iter().filter(move |(name, _)| name == of);
    lines
        .flat_map(|(_, value)| value.as_bytes().split(|byte| *byte == b','))
        .map(|token| String::from_utf8_lossy(token.trim_ascii()).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatewasm_routing::parse;

    fn headers(lines: &[&str]) -> Vec<Header> {
        let split =
            |line: &&str| line.split_once(": ").map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()));
        lines.iter().filter_map(split).collect()
    }

    /// What is handed over beside the two headers that every request has.
    fn handed(lines: &[&str]) -> Vec<String> {
        let handed = as_envoy_hands_over(&headers(lines), "https");
        let (own, of_client): (Vec<_>, Vec<_>) = handed
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .partition(|line| line.starts_with("x-forwarded-proto") || line.starts_with("x-request-id"));
        assert_eq!(own, ["x-forwarded-proto: https".to_owned(), format!("x-request-id: {SOME_REQUEST_ID}")]);
        of_client
    }

    #[test]
    fn what_is_envoys_to_say_a_client_cannot() {
        let sent = [
            "x-envoy-foo: 1",
            "x-gw-cluster: a",
            "x-forwarded-proto: ftp",
            "x-request-id: mine",
            "x-forwarded-client-cert: a",
        ];
        assert!(handed(&sent).is_empty());
        let kept =
            ["env: canary", "env: other", "x-forwarded-for: 1.2.3.4", "x-forwarded-host: a", "host: a.test"];
        assert_eq!(handed(&kept), kept);
    }

    #[test]
    fn what_is_between_the_client_and_envoy_stays_there() {
        let hop = [
            "keep-alive: 5",
            "proxy-connection: close",
            "transfer-encoding: chunked",
            "expect: 100-continue",
        ];
        assert!(handed(&hop).is_empty());
        assert_eq!(handed(&["connection: close, Foo", "foo: 1", "bar: 2"]), ["bar: 2"]);
        assert_eq!(handed(&["expect: foo"]), ["expect: foo"]);
        assert!(handed(&["te: gzip"]).is_empty());
        assert!(handed(&["te: gzip, trailers;q=0.5"]).is_empty());
        assert_eq!(handed(&["te: gzip", "te: trailers"]), ["te: trailers"]);
    }

    #[test]
    fn an_upgrade_arrives_for_websockets_alone() {
        let socket = ["connection: keep-alive, Upgrade", "upgrade: WebSocket", "te: gzip"];
        assert_eq!(handed(&socket), socket);
        assert!(handed(&["upgrade: websocket"]).is_empty());
        assert!(
            handed(&["connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: A"]).is_empty()
        );
    }

    #[test]
    fn what_does_not_arrive_as_sent_is_said_and_what_nobody_knows() {
        let config = parse(
            br#"{"version": 1, "listeners": [{"name": "a/b/c", "gateway": "a/b", "port": 80, "protocol": "HTTP",
                "routes": [{"kind": "HTTPRoute", "namespace": "n", "name": "r", "rules": [
                    {"matches": [{"headers": [{"name": "X-Forwarded-For", "value": "a"}]}]}]}]}]}"#,
        )
        .unwrap();
        let notes = |config: &FilterConfig, lines: &[&str]| {
            let sent = headers(lines);
            super::notes(&sent, &as_envoy_hands_over(&sent, "http"), config).join("\n")
        };
        assert!(notes(&config, &["env: a"]).starts_with("x-forwarded-for: Envoy appends"));
        let none = FilterConfig::default();
        assert_eq!(notes(&none, &["env: a", "x-forwarded-proto: http"]), "");
        assert_eq!(notes(&none, &["x-forwarded-proto: https"]), "x-forwarded-proto: Envoy makes it http");
        assert!(notes(&none, &["x-request-id: a"]).contains("at random"));
        assert!(notes(&none, &["x-envoy-a: a", "x-envoy-a: b"]).starts_with("x-envoy-a: Envoy removes"));
    }
}
