//! Requests to try: put together from what a match asks for. Whether the match takes them, the engine says; here nothing
//! is known of matching but which text an expression is written for.

use gatewasm_routing::config::{PathMatchType, Protocol, RouteMatch, ValueMatch, ValueMatchType};
use hyper::header::{HeaderName, HeaderValue};
use regex_syntax::hir::{Class, Hir, HirKind};

use super::Attached;
use super::expression::parse;

/// How many times a match is read, each time another way: expressions take the first branches, and what may repeat does
/// so once more every other time.
const TURNS: usize = 8;
/// Longest text that is put together.
const LONGEST: usize = 4096;

/// A request that a match may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) url: String,
    pub(super) method: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Requests for each hostname of the route.
pub(super) fn samples(at: Attached<'_>, of: &RouteMatch) -> Vec<Sample> {
    let mut samples = Vec::new();
    for turn in 0..TURNS {
        for host in hosts(at) {
            if let Some(sample) = sample(at, of, host, turn)
                && !samples.contains(&sample)
            {
                samples.push(sample);
            }
        }
    }
    samples
}

fn sample(at: Attached<'_>, of: &RouteMatch, mut host: String, turn: usize) -> Option<Sample> {
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for condition in &of.headers {
        let name: HeaderName = condition.name.parse().ok()?;
        let value = value(condition, turn)?;
        if name == "host" {
            host = value;
        } else if headers.iter().all(|(known, _)| *known != name) {
            // Of entries with the same name the first counts.
            headers.push((name, value.parse().ok()?));
        }
    }
    let mut query: Vec<(&str, String)> = Vec::new();
    for condition in &of.query_params {
        if query.iter().all(|(known, _)| *known != condition.name) {
            query.push((&condition.name, value(condition, turn)?));
        }
    }
    let query: Vec<_> =
        query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let (kind, path) = of.path.as_ref().map_or((PathMatchType::PathPrefix, "/"), |it| (it.kind, &it.value));
    let path = match kind {
        PathMatchType::Exact => path.to_owned(),
        PathMatchType::PathPrefix if turn % 2 == 1 => format!("{}/x", path.trim_end_matches('/')),
        PathMatchType::PathPrefix if path == "/" => path.to_owned(),
        PathMatchType::PathPrefix => path.trim_end_matches('/').to_owned(),
        PathMatchType::RegularExpression => matched(path, turn)?,
    };
    let listener = at.listener.1;
    let (scheme, own_port) = match listener.protocol {
        Protocol::Http => ("http", 80),
        Protocol::Https => ("https", 443),
    };
    // As locations have it.
    let port = if listener.port == own_port { String::new() } else { format!(":{}", listener.port) };
    let url = format!("{scheme}://{host}{port}{path}{query}");
    Some(Sample { url, method: of.method.clone().unwrap_or_else(|| "GET".to_owned()), headers })
}

/// A host for each hostname of the route.
fn hosts(at: Attached<'_>) -> Vec<String> {
    let own = &at.route.1.hostnames;
    let mut hosts =
        if own.is_empty() { at.listener.1.hostname.iter().cloned().collect() } else { own.clone() };
    if hosts.is_empty() {
        hosts.push("*.example.com".to_owned());
    }
    hosts.iter().map(|host| host.replacen('*', "x", 1)).collect()
}

fn value(of: &ValueMatch, turn: usize) -> Option<String> {
    match of.kind {
        ValueMatchType::Exact => Some(of.value.clone()),
        ValueMatchType::RegularExpression => matched(&of.value, turn),
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A text that an expression matches, where it is not too long.
fn matched(expression: &str, turn: usize) -> Option<String> {
    let mut text = Vec::new();
    write(&parse(expression)?, turn, &mut text)?;
    String::from_utf8(text).ok()
}

/// A character of the class, one that may stand anywhere if there is one.
fn one_of(class: &Class) -> Option<char> {
    let ranges: Vec<(char, char)> = match class {
        Class::Bytes(class) => class.iter().map(|it| (it.start().into(), it.end().into())).collect(),
        Class::Unicode(class) => class.iter().map(|it| (it.start(), it.end())).collect(),
    };
    let has = |char: &char| ranges.iter().any(|(start, end)| (start..=end).contains(&char));
    let first = ranges.first().map(|(start, _)| *start).filter(char::is_ascii);
    "x1-/".chars().find(has).or(first)
}

fn write(hir: &Hir, turn: usize, text: &mut Vec<u8>) -> Option<()> {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.extend_from_slice(&literal.0),
        HirKind::Class(class) => text.extend_from_slice(one_of(class)?.encode_utf8(&mut [0; 4]).as_bytes()),
        HirKind::Repetition(repeated) => {
            let once_more = turn % 2 == 1 && repeated.max.is_none_or(|max| max > repeated.min);
            for _ in 0..repeated.min + u32::from(once_more) {
                write(&repeated.sub, turn, text)?;
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, turn, text)?,
        HirKind::Concat(parts) => parts.iter().try_for_each(|part| write(part, turn, text))?,
        HirKind::Alternation(branches) => write(&branches[turn / 2 % branches.len()], turn, text)?,
    }
    (text.len() <= LONGEST).then_some(())
}

#[cfg(test)]
mod tests {
    use super::matched;

    #[test]
    fn a_text_is_put_together_from_an_expression() {
        for (expression, turn, text) in [
            ("/a", 0, "/a"),
            (r"^/a\.b$", 0, "/a.b"),
            ("/a(/.*)?", 0, "/a"),
            ("/a(/.*)?", 1, "/a/x"),
            ("/[^/]+/(a|b|c)", 0, "/x/a"),
            ("/[^/]+/(aa|b|c)", 2, "/x/b"),
            ("/[^/]+/(aa|b|c)", 5, "/xx/c"),
            ("/[^/]+/(aa|b|c)", 6, "/x/aa"),
            ("[a-f]{2}", 1, "aa"),
            ("(a|b)[^x]", 0, "a1"),
            ("(?i)k", 0, "K"),
            ("", 0, ""),
        ] {
            assert_eq!(matched(expression, turn).as_deref(), Some(text), "{expression} {turn}");
        }
        assert_eq!(matched("(a{100}){100}", 0), None);
        assert_eq!(matched(r"\xff", 0), None);
    }
}
