//! Requests that a config asks for: for each of its matches one that should meet it, so that what a fuzzer makes of a
//! config is not only compiled but also used.

use gatewasm_routing::config::{FilterConfig, Listener, Protocol, RouteFilter, RouteKind, RouteMatch, Rule};
use gatewasm_routing::wire;

use crate::incoming::Incoming;

/// Of each list no more than this many are tried: a decision costs little, but a fuzzer makes long lists.
const MANY: usize = 3;

/// The ways into a config: the values of `x-gw-listener` that its filter chains would have.
pub fn entries(config: &FilterConfig) -> Vec<String> {
    let entry = |listener: &Listener| match listener.protocol {
        Protocol::Http => wire::entry_of_port(&listener.gateway, listener.port),
        Protocol::Https => listener.name.clone(),
    };
    let mut entries: Vec<String> = config.listeners.iter().map(entry).collect();
    entries.dedup();
    entries.push("nobody/knows:80".to_owned());
    entries
}

/// The requests, each with the entry that it comes in by.
pub fn requests(config: &FilterConfig) -> Vec<(String, Incoming)> {
    let mut requests = Vec::new();
    for listener in config.listeners.iter().take(MANY) {
        let entry = entries(&FilterConfig { listeners: vec![listener.clone()], ..FilterConfig::default() });
        let entry = entry.into_iter().next().unwrap_or_default();
        for method in ["CONNECT", "OPTIONS"] {
            let bare =
                request(listener.hostname.as_deref(), method, if method == "OPTIONS" { "*" } else { "" });
            requests.push((entry.clone(), bare));
        }
        for route in listener.routes.iter().take(MANY) {
            let hostname = route.hostnames.first().or(listener.hostname.as_ref()).map(String::as_str);
            for rule in route.rules.iter().take(MANY) {
                let every_path = [RouteMatch::default()];
                let matches = if rule.matches.is_empty() { every_path.as_slice() } else { &rule.matches };
                for of in matches.iter().take(MANY) {
                    let incoming = meeting(of, rule, route.kind, hostname);
                    requests.push((entry.clone(), incoming));
                }
            }
        }
    }
    requests
}

fn request(hostname: Option<&str>, method: &str, path: &str) -> Incoming {
    let host = hostname.unwrap_or("any.test").replace('*', "some");
    let [method, authority, path] = [method, host.as_str(), path].map(|text| text.as_bytes().to_vec());
    Incoming { table: 0, entry: 0, random: u64::MAX / 2, method, authority, path, headers: Vec::new() }
}

/// A request that meets the match, where its values are no expressions.
fn meeting(of: &RouteMatch, rule: &Rule, kind: RouteKind, hostname: Option<&str>) -> Incoming {
    let mut path =
        of.path.as_ref().map_or("/".to_owned(), |path| format!("{}/", path.value.trim_end_matches('/')));
    if let Some(called) = &of.grpc_method {
        let part = |part: &Option<String>| part.clone().unwrap_or_else(|| "any".to_owned());
        path = format!("/{}/{}", part(&called.service), part(&called.method));
    }
    for (index, query) in of.query_params.iter().enumerate() {
        path.push_str(&format!("{}{}={}", if index == 0 { '?' } else { '&' }, query.name, query.value));
    }
    let mut incoming = request(hostname, of.method.as_deref().unwrap_or("GET"), &path);
    let mut header = |name: &str, value: &str| {
        incoming.headers.push((name.to_ascii_lowercase().into_bytes(), value.as_bytes().to_vec()));
    };
    for of in &of.headers {
        header(&of.name, &of.value);
    }
    if kind == RouteKind::GrpcRoute {
        header("content-type", "application/grpc");
    }
    for filter in &rule.filters {
        if let RouteFilter::Cors { cors } = filter {
            header(
                "origin",
                &cors.allow_origins.first().map_or("null".to_owned(), |it| it.replace('*', "some")),
            );
            header("access-control-request-method", "GET");
        }
    }
    if let Some(session) = &rule.session_persistence {
        header(&session.session_name, "any");
        header("cookie", &format!("{}=any", session.session_name));
    }
    incoming
}
