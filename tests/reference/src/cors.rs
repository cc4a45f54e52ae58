//! The CORS protocol: what the filter of a rule says (Gateway API `HTTPCORSFilter`), and what a browser makes of an
//! answer (Fetch standard, 3.3 and 4.8 to 4.10).
//!
//! The API leaves open how some headers are written (`*` or the request's own value, in which order, with what beside
//! it). So answers are compared by what a browser understands, and by what the API demands of the text.

use std::collections::{BTreeMap, BTreeSet};

use gatewasm_routing::config::Cors;

use crate::outcome::{Headers, Question};

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const ALLOW_METHODS: &str = "access-control-allow-methods";
const ALLOW_HEADERS: &str = "access-control-allow-headers";
const EXPOSE_HEADERS: &str = "access-control-expose-headers";
const MAX_AGE: &str = "access-control-max-age";
const REQUEST_METHOD: &str = "access-control-request-method";
const REQUEST_HEADERS: &str = "access-control-request-headers";

/// The method that a preflight request asks for, if it is one.
pub fn preflight_method(question: &Question) -> Option<String> {
    question.header("origin")?;
    let method = question.header(REQUEST_METHOD)?;
    (question.method == "OPTIONS").then(|| String::from_utf8_lossy(method).into_owned())
}

/// The status of the answer to a preflight request, and its headers.
pub fn preflight(cors: &Cors, question: &Question, answer: &mut Headers) -> u16 {
    let asked = |name| question.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
    share(cors, question, answer);
    answer.remove(EXPOSE_HEADERS);
    if !allows(cors, question) {
        return 403;
    }
    let mut list = |name, values: &[String], asked: Option<String>| {
        let every = values == ["*"];
        let text = if every { asked } else { Some(values.join(", ")) };
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            answer.set(name, text.as_bytes());
        }
    };
    list(ALLOW_METHODS, &cors.allow_methods, asked(REQUEST_METHOD));
    list(ALLOW_HEADERS, &cors.allow_headers, asked(REQUEST_HEADERS));
    answer.set(MAX_AGE, cors.max_age.to_string().as_bytes());
    204
}

/// Changes an answer to a request that is no preflight.
pub fn share(cors: &Cors, question: &Question, answer: &mut Headers) {
    answer.add("vary", b"origin");
    let Some(origin) = question.header("origin") else { return };
    answer.0.retain(|name, _| !name.starts_with("access-control-"));
    if allows(cors, question) {
        answer.set(ALLOW_ORIGIN, origin);
        if cors.allow_credentials {
            answer.set(ALLOW_CREDENTIALS, b"true");
        }
        if !cors.expose_headers.is_empty() {
            answer.set(EXPOSE_HEADERS, cors.expose_headers.join(", ").as_bytes());
        }
    }
}

/// Whether the request's origin is one of the filter's, without case. Several are none (decision record 0011).
fn allows(cors: &Cors, question: &Question) -> bool {
    let lines: Vec<_> = question.headers.iter().filter(|line| line.0 == "origin").collect();
    let [(_, origin)] = lines.as_slice() else { return false };
    let Ok(origin) = std::str::from_utf8(origin).map(str::to_ascii_lowercase) else { return false };
    // Bytes that no origin has: Envoy makes one line of several.
    if origin.contains([',', ' ']) {
        return false;
    }
    cors.allow_origins.iter().any(|allowed| {
        let (Some(allowed), Some(origin)) = (parts(allowed), parts(&origin)) else { return allowed == "*" };
        let host = match allowed.host.strip_prefix('*') {
            // To the left of what follows, at least something.
            Some(end) => origin.host.len() > end.len() && origin.host.ends_with(end),
            None => origin.host == allowed.host,
        };
        // What has more than a scheme, a host and a port is nobody's origin (RFC 6454, 7).
        let host = host && !origin.host.contains(['/', '?', '#', '@']);
        host && origin.scheme == allowed.scheme && origin.port == allowed.port
    })
}

struct Origin<'a> {
    scheme: &'a str,
    host: &'a str,
    port: u16,
}

/// `scheme://host[:port]`; 80 and 443 where the port is left out.
fn parts(origin: &str) -> Option<Origin<'_>> {
    let (scheme, rest) = origin.split_once("://")?;
    let well_known = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (rest, well_known),
    };
    Some(Origin { scheme, host, port })
}

/// For requests with credentials, and without.
type Both = [bool; 2];

/// What a browser may do with an answer, for requests with and without credentials.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The CORS check.
    shared: Both,
    /// Whether the method that a preflight asked for may be used.
    method: Option<Both>,
    /// Whether the headers that it asked for may be.
    headers: BTreeMap<String, Both>,
    /// For how long the answer to a preflight counts.
    max_age: Option<String>,
    /// Of these headers, which may be read.
    exposed: BTreeMap<String, Both>,
    /// Headers of the protocol that have no place on such an answer.
    out_of_place: BTreeSet<String>,
    /// What caches are told, but for the origin.
    vary: BTreeSet<String>,
    /// Every other header.
    others: BTreeMap<String, Vec<Vec<u8>>>,
}

impl Verdict {
    /// Of the answer to `question` by a rule with `cors`.
    pub fn of(answer: &Headers, question: &Question, cors: &Cors, preflight: bool) -> Self {
        let list = |name: &str| -> Vec<String> {
            let text = answer.joined(name).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
        };
        let origin = question.header("origin");
        let allow_origin = answer.joined(ALLOW_ORIGIN);
        let echoed = origin.is_some() && allow_origin.as_deref() == origin;
        let credentials = answer.joined(ALLOW_CREDENTIALS).as_deref() == Some(b"true");
        let shared = [echoed && credentials, echoed || allow_origin.as_deref() == Some(b"*")];
        // An asterisk is one only without credentials.
        let listed = |name: &str, item: &str, with_case: bool| {
            let list = list(name);
            let itself =
                list.iter().any(|it| if with_case { it == item } else { it.eq_ignore_ascii_case(item) });
            [itself, itself || list.iter().any(|it| it == "*")]
        };
        let asked = |name| String::from_utf8_lossy(question.header(name).unwrap_or_default()).into_owned();
        let (mut method, mut headers) = (None, BTreeMap::new());
        if preflight {
            let name = asked(REQUEST_METHOD);
            let safe = ["GET", "HEAD", "POST"].contains(&name.as_str());
            method = Some(listed(ALLOW_METHODS, &name, true).map(|allowed| allowed || safe));
            for name in asked(REQUEST_HEADERS).split(',').map(str::trim).filter(|name| !name.is_empty()) {
                headers.insert(name.to_owned(), listed(ALLOW_HEADERS, name, false));
            }
        }
        let mut exposed = BTreeMap::new();
        let unlimited = cors.expose_headers.iter().any(|name| name == "*");
        // With credentials there is no way to say "all", and the API does not say what to do.
        let open = unlimited && cors.allow_credentials;
        for name in cors.expose_headers.iter().map(String::as_str).chain(["x-any"]) {
            if !preflight && !open {
                exposed.insert(name.to_owned(), listed(EXPOSE_HEADERS, name, false));
            }
        }
        let places: &[&str] = match origin {
            None => &[],
            // Also where the rule is invalid: no browser goes on after a preflight that was answered with 500.
            _ if preflight || preflight_method(question).is_some() => {
                &[ALLOW_ORIGIN, ALLOW_CREDENTIALS, ALLOW_METHODS, ALLOW_HEADERS, EXPOSE_HEADERS, MAX_AGE]
            }
            _ => &[ALLOW_ORIGIN, ALLOW_CREDENTIALS, EXPOSE_HEADERS],
        };
        let is_protocol = |name: &str| name.starts_with("access-control-");
        Self {
            shared,
            method,
            headers,
            max_age: answer
                .joined(MAX_AGE)
                .filter(|_| preflight)
                .map(|age| String::from_utf8_lossy(&age).into_owned()),
            exposed,
            out_of_place: answer
                .0
                .keys()
                .filter(|name| is_protocol(name) && !places.contains(&name.as_str()))
                .cloned()
                .collect(),
            vary: list("vary")
                .into_iter()
                .map(|name| name.to_ascii_lowercase())
                .filter(|name| !["origin", REQUEST_METHOD, REQUEST_HEADERS].contains(&name.as_str()))
                .collect(),
            others: answer
                .0
                .iter()
                .filter(|(name, _)| !is_protocol(name) && *name != "vary")
                .map(|(name, values)| (name.clone(), values.clone()))
                .collect(),
        }
    }
}

/// What of an answer's text the API forbids, whatever a browser makes of it.
pub fn fault(answer: &Headers, question: &Question, cors: &Cors) -> Option<String> {
    let vary = answer.joined("vary").unwrap_or_default();
    let vary = String::from_utf8_lossy(&vary).to_ascii_lowercase();
    if !vary.split(',').any(|name| ["origin", "*"].contains(&name.trim())) {
        return Some("vary does not name origin".to_owned());
    }
    // Without an origin, the headers are the backend's own.
    question.header("origin")?;
    let has_asterisk = |name: &str| answer.joined(name).is_some_and(|value| value.contains(&b'*'));
    if cors.allow_credentials {
        let names = [ALLOW_ORIGIN, ALLOW_METHODS, ALLOW_HEADERS, EXPOSE_HEADERS];
        if let Some(name) = names.into_iter().find(|name| has_asterisk(name)) {
            return Some(format!("{name} is * with credentials"));
        }
    }
    let lines = answer.0.get(ALLOW_ORIGIN).map_or(0, Vec::len);
    if lines > 1 {
        return Some(format!("{lines} lines of {ALLOW_ORIGIN}"));
    }
    if cors.allow_origins != ["*"] && has_asterisk(ALLOW_ORIGIN) {
        return Some(format!("{ALLOW_ORIGIN} is * though not every origin is allowed"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(origin: &str) -> Question {
        Question {
            entry: String::new(),
            method: "GET".into(),
            authority: vec![],
            path: vec![],
            headers: vec![("origin".into(), origin.into())],
            random: 0,
            answer: vec![],
        }
    }

    fn cors(origins: &[&str]) -> Cors {
        Cors {
            allow_origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
            allow_credentials: false,
            allow_methods: vec![],
            allow_headers: vec![],
            expose_headers: vec![],
            max_age: 5,
        }
    }

    #[test]
    fn origins_are_compared_by_scheme_host_and_port() {
        for (allowed, origin, expected) in [
            ("https://a.test", "https://a.test", true),
            ("https://a.test", "https://a.test:443", true),
            ("https://a.test", "http://a.test", false),
            ("https://a.test", "https://a.test:8443", false),
            ("https://*.a.test", "https://c.b.a.test", true),
            ("https://*.a.test", "https://a.test", false),
            ("http://*", "http://any", true),
            ("http://*", "http://any:8080", false),
            ("*", "null", true),
            ("https://a.test", "null", false),
            ("https://a.test", "HTTPS://A.test", true),
        ] {
            assert_eq!(allows(&cors(&[allowed]), &asked(origin)), expected, "{allowed} {origin}");
        }
    }

    #[test]
    fn a_refused_origin_gets_no_header_of_the_protocol() {
        let mut answer = Headers::default();
        answer.set(ALLOW_ORIGIN, b"*");
        answer.set("a", b"b");
        share(&cors(&["https://a.test"]), &asked("https://b.test"), &mut answer);
        assert_eq!(answer.0.keys().collect::<Vec<_>>(), ["a", "vary"]);
    }
}
