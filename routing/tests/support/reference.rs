//! The specification, read naively: every match of every rule is tried, one after the other, on the config as it was
//! written. It shares nothing with the crate but the types of the config and the request.

use std::borrow::Cow;
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::HashMap;

use gatewasm_routing::config::{
    FilterConfig, GrpcMethodMatch, Listener, PathMatchType, Protocol, Route, RouteKind, RouteMatch,
    ValueMatch, ValueMatchType,
};
use gatewasm_routing::{Request, wire};
use regex::bytes::{Regex, RegexBuilder};

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The cluster, or the status.
    pub outcome: Result<String, u16>,
    /// Listener, `kind namespace/name` of the route, index of the rule, index of the match.
    pub matched: Option<(String, String, usize, usize)>,
}

pub(crate) fn decide(config: &FilterConfig, entry: &str, request: &Request<'_>, random: u64) -> Answer {
    let answer = |outcome, matched| Answer { outcome, matched };
    let enters = |listener: &&Listener| match listener.protocol {
        Protocol::Http => wire::entry_of_port(&listener.gateway, listener.port) == entry,
        Protocol::Https => listener.name == entry,
    };
    let Some(own) = config.listeners.iter().find(enters) else { return answer(Err(404), None) };
    let host = host_of(request.authority);
    let of_port =
        config.listeners.iter().filter(|other| other.gateway == own.gateway && other.port == own.port);
    let serving = of_port.filter(|listener| rank(listener.hostname.as_deref(), &host).is_some());
    let Some(listener) = serving.max_by_key(|listener| rank(listener.hostname.as_deref(), &host)) else {
        return answer(Err(404), None);
    };
    if listener.protocol == Protocol::Https && listener.name != own.name {
        return answer(Err(421), None);
    }

    let path_and_query = String::from_utf8_lossy(request.path);
    let (path, query) = path_and_query.split_once('?').unwrap_or((&path_and_query, ""));
    let mut met = Vec::new();
    for route in &listener.routes {
        let grpc = route.kind == RouteKind::GrpcRoute;
        if grpc && !is_grpc(request) {
            continue;
        }
        let hostnames = if route.hostnames.is_empty() {
            vec![listener.hostname.as_deref()]
        } else {
            route.hostnames.iter().map(|name| Some(name.as_str())).collect()
        };
        let Some(rank) = hostnames.into_iter().filter_map(|hostname| rank(hostname, &host)).max() else {
            continue;
        };
        for (i, rule) in route.rules.iter().enumerate() {
            let every_path = [RouteMatch::default()];
            let matches = if rule.matches.is_empty() { &every_path } else { rule.matches.as_slice() };
            for (j, route_match) in
                matches.iter().enumerate().filter(|(_, one)| meets(one, request, path, query))
            {
                let key = (Reverse((rank, grpc)), strength(route_match), seniority(route), i, j);
                met.push((key, route, rule));
            }
        }
    }
    let Some(((.., i, j), route, rule)) = met.into_iter().min_by(|a, b| a.0.cmp(&b.0)) else {
        return answer(Err(404), None);
    };
    let matched = (listener.name.clone(), format!("{} {}/{}", route.kind, route.namespace, route.name), i, j);
    let total: u128 = rule.backends.iter().map(|backend| u128::from(backend.weight)).sum();
    let mut point = (u128::from(random) * total) >> 64;
    let chosen = rule.backends.iter().find(|backend| {
        let weight = u128::from(backend.weight);
        let inside = point < weight;
        point = point.saturating_sub(weight);
        inside
    });
    let outcome = match chosen {
        _ if rule.invalid.is_some() => Err(500),
        Some(backend) => backend.cluster.clone().ok_or(500),
        None => Err(500),
    };
    answer(outcome, Some(matched))
}

/// Lower case, without a port and one trailing dot; `None` for what is no name.
fn host_of(authority: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(authority).ok()?.to_lowercase();
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|char| char.is_ascii_digit()) => name,
        _ => &text,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let legal = name.chars().all(|char| char.is_ascii_alphanumeric() || "-._".contains(char));
    (legal && !name.is_empty() && name.len() <= 253).then(|| name.to_owned())
}

/// How well a hostname matches: characters without a wildcard, then characters.
fn rank(hostname: Option<&str>, host: &Option<String>) -> Option<(usize, usize)> {
    match (hostname, host) {
        (None, _) => Some((0, 0)),
        (Some(hostname), Some(host)) => match hostname.strip_prefix('*') {
            Some(suffix) => {
                (host.len() > suffix.len() && host.ends_with(suffix)).then_some((0, hostname.len()))
            }
            None => (hostname == host).then_some((hostname.len(), hostname.len())),
        },
        (Some(_), None) => None,
    }
}

fn meets(one: &RouteMatch, request: &Request<'_>, path: &str, query: &str) -> bool {
    let path_meets = one.path.as_ref().is_none_or(|wanted| match wanted.kind {
        PathMatchType::Exact => path == wanted.value,
        PathMatchType::PathPrefix => {
            let prefix = wanted.value.trim_end_matches('/');
            prefix.is_empty() || path == prefix || path.starts_with(&format!("{prefix}/"))
        }
        PathMatchType::RegularExpression => whole(&wanted.value, path.as_bytes()),
    });
    let method_meets = one.method.as_ref().is_none_or(|method| method.as_bytes() == request.method);
    let grpc_meets = one.grpc_method.as_ref().is_none_or(|wanted| calls(wanted, path));
    path_meets
        && method_meets
        && grpc_meets
        && counting(&one.headers, str::to_lowercase).iter().all(|wanted| {
            let name = wanted.name.to_lowercase();
            if name == "host" {
                return value_meets(wanted, request.authority);
            }
            let values: Vec<_> =
                request.headers.iter().filter(|(n, _)| *n == name.as_bytes()).map(|(_, v)| *v).collect();
            !values.is_empty() && value_meets(wanted, &values.join(&b','))
        })
        && counting(&one.query_params, str::to_owned).iter().all(|wanted| {
            let mut params = query.split('&').map(|param| param.split_once('=').unwrap_or((param, "")));
            params
                .find(|(name, _)| plain(name) == wanted.name)
                .is_some_and(|(_, value)| value_meets(wanted, plain(value).as_bytes()))
        })
}

fn is_grpc(request: &Request<'_>) -> bool {
    let content_type = request.headers.iter().find(|(name, _)| *name == b"content-type");
    content_type.is_some_and(|(_, value)| value.to_ascii_lowercase().starts_with(b"application/grpc"))
}

fn calls(wanted: &GrpcMethodMatch, path: &str) -> bool {
    let elements: Vec<_> = path.split('/').collect();
    let ["", service, method] = elements[..] else { return false };
    let meets = |wanted_text: &Option<String>, found: &str| match (wanted_text.as_deref(), wanted.kind) {
        (None, _) | (Some(""), _) => true,
        (Some(text), ValueMatchType::Exact) => text == found,
        (Some(text), ValueMatchType::RegularExpression) => whole(text, found.as_bytes()),
    };
    !service.is_empty()
        && !method.is_empty()
        && meets(&wanted.service, service)
        && meets(&wanted.method, method)
}

/// The generated queries contain no other encoding than this.
fn plain(text: &str) -> Cow<'_, str> {
    text.replace("%31", "1").replace('+', " ").into()
}

/// The first of entries with the same name.
fn counting(entries: &[ValueMatch], fold: fn(&str) -> String) -> Vec<&ValueMatch> {
    let first = |i: usize| entries[..i].iter().all(|earlier| fold(&earlier.name) != fold(&entries[i].name));
    entries.iter().enumerate().filter(|(i, _)| first(*i)).map(|(_, entry)| entry).collect()
}

fn value_meets(wanted: &ValueMatch, value: &[u8]) -> bool {
    match wanted.kind {
        ValueMatchType::Exact => wanted.value.as_bytes() == value,
        ValueMatchType::RegularExpression => whole(&wanted.value, value),
    }
}

fn whole(expression: &str, value: &[u8]) -> bool {
    thread_local! {
        static COMPILED: RefCell<HashMap<String, Regex>> = RefCell::default();
    }
    COMPILED.with_borrow_mut(|compiled| {
        let build = || RegexBuilder::new(&format!("^(?:{expression})$")).unicode(false).build().unwrap();
        compiled.entry(expression.to_owned()).or_insert_with(build).is_match(value)
    })
}

/// Lesser is stronger.
fn strength(one: &RouteMatch) -> impl Ord + use<> {
    let (kind, value) =
        one.path.as_ref().map_or((PathMatchType::PathPrefix, "/"), |path| (path.kind, &path.value));
    let (kind, length) = match kind {
        PathMatchType::Exact => (0, value.len()),
        PathMatchType::RegularExpression => (1, value.len()),
        PathMatchType::PathPrefix => (2, value.trim_end_matches('/').len()),
    };
    let headers = counting(&one.headers, str::to_lowercase).len();
    let params = counting(&one.query_params, str::to_owned).len();
    let characters = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let called = one.grpc_method.as_ref().map(|grpc| (characters(&grpc.service), characters(&grpc.method)));
    (Reverse(called.unwrap_or_default()), kind, Reverse((length, one.method.is_some(), headers, params)))
}

/// Lesser is older, or earlier in the alphabet. Timestamps of one form compare as text.
fn seniority(route: &Route) -> (String, String) {
    let created = route.creation_timestamp.clone().unwrap_or_else(|| "youngest".to_owned());
    (created, format!("{}/{}", route.namespace, route.name))
}
