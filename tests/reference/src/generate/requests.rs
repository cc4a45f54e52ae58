//! Requests: made to hit a match of the config, then changed a little, or made of words.

use gatewasm_routing::config::{
    FilterConfig, Listener, PathMatchType, Protocol, Route, RouteKind, RouteMatch, ValueMatch, ValueMatchType,
};
use gatewasm_routing::wire;

use super::filters::{CHANGED, ORIGINS};
use super::rules::path;
use super::words::{Words, called_by, matched_by};
use super::{Options, Random};
use crate::outcome::{Line, Question};

/// Hosts that no hostname of the words is, or only in another spelling.
const ODD_HOSTS: &[&str] = &[
    "",
    "[::1]",
    "[::1]:80",
    "[::1]x",
    "127.0.0.1",
    "other",
    "xa.test",
    "a.test.x",
    "a.testx",
    "d.c.b.a.test",
    "x.test",
    "a_b.test",
    "-b.a.test",
    "a b.test",
    "u@a.test",
    "*.test",
    "a%62.test",
    "a.test:x",
    "a.test:",
    "a.test:80:80",
    ".",
    ".test",
    ".a.test",
    "b..a.test",
    "a.test..",
];

/// The same without those that Envoy refuses.
const SENT_HOSTS: &[&str] =
    &["[::1]", "127.0.0.1", "other", "xa.test", "a.test.x", "a.testx", "d.c.b.a.test", "x.test", "a_b.test"];

/// What a request is being made of.
struct Draft {
    host: String,
    path: String,
    /// Decoded names and values.
    parameters: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    method: String,
}

pub(super) fn question(
    random: &mut Random,
    words: &Words,
    options: Options,
    config: &FilterConfig,
) -> Question {
    let listener = random.pick(&config.listeners);
    let target = (!listener.routes.is_empty() && random.percent(80)).then(|| random.pick(&listener.routes));
    let mut draft = match target {
        Some(route) => aimed(random, words, listener, route),
        None => at_random(random, words),
    };
    for _ in 0..random.any(&[0, 0, 0, 1, 1, 2, 3]) {
        mutate(random, words, options, &mut draft);
    }
    if options.wire {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte);
        if draft.host.is_empty() || !draft.host.bytes().all(plain) {
            "a.test".clone_into(&mut draft.host);
        }
        if !draft.path.starts_with('/') {
            draft.path.insert(0, '/');
        }
    }
    if options.grpc {
        grpc(random, words, target, &mut draft);
    }
    if options.cors && random.percent(30) {
        cross_origin(random, options, &mut draft);
    }
    let mut headers: Vec<Line> =
        draft.headers.iter().map(|(name, value)| line(name, value.as_bytes())).collect();
    for name in random.some(CHANGED, 20) {
        headers.push(line(name, random.any(&["1", "2"]).as_bytes()));
    }
    if !options.wire {
        if random.percent(3) {
            headers.push(line(random.any(&words.headers), b"\xff\xfe"));
        }
        if random.percent(20) {
            headers.insert(0, (":path".to_owned(), b"1".to_vec()));
        }
    }
    if options.wire {
        // Envoy joins the lines of these in ways of its own.
        for name in ["content-type", "cookie", "accept"] {
            let mut first = true;
            headers.retain(|line| line.0 != name || std::mem::take(&mut first));
        }
    }
    // A header named `host` becomes `:authority` before the filter sees it.
    headers.retain(|line| line.0 != "host");
    Question {
        entry: entry(random, options, config, listener),
        method: draft.method,
        authority: draft.host.into_bytes(),
        path: target_text(random, options, &draft.path, &draft.parameters),
        headers,
        random: point(random),
        answer: answer(random),
    }
}

fn line(name: &str, value: &[u8]) -> Line {
    (name.to_ascii_lowercase(), value.to_vec())
}

fn entry(random: &mut Random, options: Options, config: &FilterConfig, listener: &Listener) -> String {
    if options.wire || random.percent(97) {
        return match listener.protocol {
            Protocol::Http => wire::entry_of_port(&listener.gateway, listener.port),
            Protocol::Https => listener.name.clone(),
        };
    }
    let other = random.pick(&config.listeners);
    match random.below(3) {
        0 => wire::entry_of_port(&other.gateway, other.port),
        1 => other.name.clone(),
        _ => "nowhere".to_owned(),
    }
}

/// A request that one match of the route takes, if nothing else does.
fn aimed(random: &mut Random, words: &Words, listener: &Listener, route: &Route) -> Draft {
    let mut draft = at_random(random, words);
    let hostname = match route.hostnames.as_slice() {
        [] => listener.hostname.clone(),
        some => Some(random.pick(some).clone()),
    };
    if let Some(hostname) = hostname {
        draft.host = match hostname.strip_prefix('*') {
            Some(parent) => format!("{}{parent}", random.any(&["x", "b", "b.a", "c.b", "a"])),
            None => hostname,
        };
    }
    if route.rules.is_empty() {
        return draft;
    }
    let rule = random.pick(&route.rules);
    if rule.matches.is_empty() {
        return draft;
    }
    let it = random.pick(&rule.matches);
    draft.path = path_for(random, words, it);
    draft.parameters = it.query_params.iter().map(|it| (it.name.clone(), value_for(random, it))).collect();
    draft.headers = it.headers.iter().map(|it| (it.name.clone(), value_for(random, it))).collect();
    if let Some((_, host)) = draft.headers.iter().find(|header| header.0.eq_ignore_ascii_case("host"))
        && random.percent(50)
    {
        draft.host.clone_from(host);
    }
    if let Some(method) = &it.method {
        draft.method.clone_from(method);
    }
    if let Some(call) = &it.grpc_method {
        let part = |random: &mut Random, wanted: &Option<String>, others: &[&str]| match wanted {
            Some(wanted) if call.kind == ValueMatchType::Exact => wanted.clone(),
            Some(wanted) => called_by(random, wanted).unwrap_or("a").to_owned(),
            None => random.any(others).to_owned(),
        };
        let service = part(random, &call.service, &words.services);
        let method = part(random, &call.method, &words.service_methods);
        draft.path = format!("/{service}/{method}");
    }
    draft
}

fn at_random(random: &mut Random, words: &Words) -> Draft {
    let mut several = |names: &[&str]| -> Vec<(String, String)> {
        let names = random.some(names, 25);
        names.into_iter().map(|&name| (name.to_owned(), random.any(&words.values).to_owned())).collect()
    };
    Draft {
        parameters: several(&words.parameters),
        headers: several(&words.headers),
        host: random.any(&words.hostnames).replace('*', "x"),
        path: path(random, words, 10),
        method: random.any(&words.methods).to_owned(),
    }
}

fn path_for(random: &mut Random, words: &Words, it: &RouteMatch) -> String {
    let Some(wanted) = &it.path else { return path(random, words, 10) };
    match wanted.kind {
        PathMatchType::Exact => wanted.value.clone(),
        PathMatchType::RegularExpression => matched_by(random, &wanted.value).unwrap_or("/").to_owned(),
        PathMatchType::PathPrefix => {
            let prefix = wanted.value.trim_end_matches('/');
            let element = random.any(&words.elements);
            match random.below(6) {
                0..=1 => format!("{prefix}/{element}"),
                2 => format!("{prefix}/"),
                3 => format!("{prefix}/{element}/{}", random.any(&words.elements)),
                _ => wanted.value.clone(),
            }
        }
    }
}

fn value_for(random: &mut Random, it: &ValueMatch) -> String {
    match it.kind {
        ValueMatchType::Exact => it.value.clone(),
        ValueMatchType::RegularExpression => matched_by(random, &it.value).unwrap_or("1").to_owned(),
    }
}

/// One small change.
fn mutate(random: &mut Random, words: &Words, options: Options, draft: &mut Draft) {
    match random.below(16) {
        0 if !draft.path.ends_with('/') => draft.path.push('/'),
        1 => draft.path = draft.path.trim_end_matches('/').to_owned(),
        2 => {
            let more = random.any(&["x", "a", ";v=1", "%20", "/a", "/b/c", "b"]);
            // Envoy merges slashes.
            let at = if draft.path.ends_with('/') { more.trim_start_matches('/') } else { more };
            draft.path.push_str(at);
        }
        3 => draft.path = path(random, words, 20),
        4 => {
            draft.path.pop();
        }
        5 => draft.host = random.any(&words.hostnames).replace('*', random.any(&["x", "b", "a.b", "x.y"])),
        6 => draft.host = random.any(if options.wire { SENT_HOSTS } else { ODD_HOSTS }).to_owned(),
        7 if !draft.host.is_empty() => draft.host = respelled(random, &draft.host),
        8 => draft.method = random.any(&["GET", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"]).to_owned(),
        9 if !draft.headers.is_empty() => {
            let at = random.below(draft.headers.len());
            draft.headers.remove(at);
        }
        10 => {
            // The same header again, before or behind, with another value.
            let name = random.any(&words.headers).to_owned();
            let at = random.below(draft.headers.len() + 1);
            draft.headers.insert(at, (name, random.any(&words.values).to_owned()));
        }
        11 => {
            // One line of a list as several.
            if let Some(at) = draft.headers.iter().position(|header| header.1.contains(',')) {
                let (name, list) = draft.headers.remove(at);
                let lines = list.split(',').map(|value| (name.clone(), value.to_owned()));
                draft.headers.splice(at..at, lines);
            }
        }
        12 if !draft.parameters.is_empty() => {
            let at = random.below(draft.parameters.len());
            draft.parameters.remove(at);
        }
        13 => {
            let name = random.any(&words.parameters).to_owned();
            let at = random.below(draft.parameters.len() + 1);
            draft.parameters.insert(at, (name, random.any(&words.values).to_owned()));
        }
        14 if !options.wire => {
            draft.path = random.any(&["", "*", "/\u{e4}", "/a/\u{e4}b"]).to_owned();
        }
        _ if !options.wire => draft.method = random.any(&["get", "", "BREW", "HEAD"]).to_owned(),
        _ => draft.path = format!("{}/a", draft.path.trim_end_matches('/')),
    }
}

/// The same host, written otherwise.
fn respelled(random: &mut Random, host: &str) -> String {
    let whole = !host.ends_with('.') && !host.contains(':');
    match random.below(6) {
        0 => host.to_ascii_uppercase(),
        1 => format!("{host}:80"),
        2 => format!("{host}:12345"),
        3 if whole => format!("{host}."),
        4 if whole => format!("{host}.:8080"),
        _ => format!("x.{host}"),
    }
}

fn grpc(random: &mut Random, words: &Words, target: Option<&Route>, draft: &mut Draft) {
    let aimed = target.is_some_and(|route| route.kind == RouteKind::GrpcRoute);
    if random.percent(if aimed { 90 } else { 15 }) {
        draft.headers.retain(|header| !header.0.eq_ignore_ascii_case("content-type"));
        let kind = random.any(&[
            "application/grpc",
            "application/grpc",
            "application/grpc+proto",
            "Application/GRPC",
        ]);
        draft.headers.insert(0, ("content-type".to_owned(), kind.to_owned()));
        if random.percent(80) {
            draft.method = "POST".to_owned();
        }
        if !aimed && random.percent(60) {
            draft.path = format!("/{}/{}", random.any(&words.services), random.any(&words.service_methods));
        }
    } else if random.percent(3) {
        let kind = random.any(&["application/grp", "text/grpc", "application/json"]);
        draft.headers.insert(0, ("content-type".to_owned(), kind.to_owned()));
    }
}

fn cross_origin(random: &mut Random, options: Options, draft: &mut Draft) {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    // Envoy makes one line of several, without the empty ones.
    for _ in 0..if options.wire || random.percent(97) { 1 } else { 2 } {
        draft.headers.push(header("origin", random.any(ORIGINS)));
    }
    if random.percent(50) {
        let asked = random.any(&["GET", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"]);
        if random.percent(95) {
            draft.method = "OPTIONS".to_owned();
        }
        draft.headers.push(header("access-control-request-method", asked));
        if random.percent(60) {
            let asked = random.any(&["x", "x, y", "X-Env,x", "other"]);
            draft.headers.push(header("access-control-request-headers", asked));
        }
    }
}

/// Path and query string as they are sent.
fn target_text(
    random: &mut Random,
    options: Options,
    path: &str,
    parameters: &[(String, String)],
) -> Vec<u8> {
    let mut text = path.to_owned();
    if !parameters.is_empty() || random.percent(5) {
        text.push('?');
    }
    for (index, (name, value)) in parameters.iter().enumerate() {
        if index > 0 || random.percent(3) {
            text.push('&');
        }
        text.push_str(&encoded(random, options, name));
        if !value.is_empty() || random.percent(50) {
            text.push('=');
        }
        text.push_str(&encoded(random, options, value));
    }
    if random.percent(5) {
        let odd = random.any(&["&", "&&", "&=", "&%zz", "?", "&q", ";q=1", "%"]);
        text.push_str(odd);
        if options.wire && !text.contains('?') {
            return path.as_bytes().to_vec();
        }
    }
    text.into_bytes()
}

/// A name or value in a query string: as it is where that can be read, or encoded more or less.
fn encoded(random: &mut Random, options: Options, text: &str) -> String {
    let all = random.percent(10);
    let mut result = String::new();
    for byte in text.bytes() {
        let must = b"&=+%#".contains(&byte) || (options.wire && !(b'!'..=b'~').contains(&byte));
        if byte == b' ' && random.percent(60) {
            result.push('+');
        } else if must || all || !byte.is_ascii() || random.percent(3) {
            let hex = format!("%{byte:02x}");
            result.push_str(&if random.percent(50) { hex.to_ascii_uppercase() } else { hex });
        } else {
            result.push(char::from(byte));
        }
    }
    result
}

/// Anywhere, and often where one share ends and the next begins.
fn point(random: &mut Random) -> u64 {
    match random.below(6) {
        0 => 0,
        1 => u64::MAX,
        2..=3 => {
            let total = u128::try_from(random.between(2, 8)).unwrap_or(2);
            let part = u128::try_from(random.between(1, 7)).unwrap_or(1) % total;
            // The first number of a share, or the last of the one before.
            let first = u64::try_from((part << 64).div_ceil(total)).unwrap_or_default();
            if random.percent(50) { first } else { first.wrapping_sub(1) }
        }
        _ => random.number(),
    }
}

fn answer(random: &mut Random) -> Vec<Line> {
    const LINES: &[(&str, &str)] = &[
        ("a", "1"),
        ("x", "1"),
        ("x", "2"),
        ("x-env", "2"),
        ("y", "1"),
        ("vary", "accept"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "PUT"),
        ("access-control-expose-headers", "x"),
    ];
    random.some(LINES, 25).into_iter().map(|(name, value)| line(name, value.as_bytes())).collect()
}
