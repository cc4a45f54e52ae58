//! `gatewasm explain`: which listener, route, rule and backend a request or connection gets, and why each other
//! candidate lost.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use gatewasm_routing::{
    Candidate, DecisionType, ExplainedCors, ExplainedEdits, ExplainedSession, ExplainedUpstream, Explanation,
    HeaderEdit, Request,
};
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;

use super::FINE;
use super::inputs::{Backends, Inputs};
use super::output::{Output, table};
use super::policies::{self, Asked};
use super::streams;
use crate::as_envoy::{self, as_envoy_hands_over};
use crate::entry;
use crate::model::Model;
use crate::normal_path::normalise;

/// Arguments of `gatewasm explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Manifests: a file, a folder (not its subfolders), or - for standard input; repeatable. Also a filter config as
    /// JSON. Without any, the cluster of the current kubeconfig.
    // One value for each -f, unlike elsewhere: METHOD and URL follow.
    #[arg(short, long, value_name = "PATH")]
    filename: Vec<PathBuf>,

    #[command(flatten)]
    backends: Backends,

    /// Method and URL of the request, with the port of the Gateway's listener: GET <http://foo.example.com/foo>. The
    /// path is brought into normal form, as Envoy does. Of a connection that is not read as HTTP, or of datagrams, the
    /// address alone: <tls://foo.example.com:443>, <tcp://:5432>, <udp://:53>.
    #[arg(value_name = "METHOD URL", required = true, num_args = 1..=2)]
    request: Vec<String>,

    /// A header of the request, repeatable: 'name: value'. Rules see it as Envoy hands it over.
    #[arg(short = 'H', long = "header", value_name = "HEADER", value_parser = parse_header)]
    headers: Vec<(HeaderName, HeaderValue)>,

    /// The Gateway, where several have that port: namespace/name.
    #[arg(long, value_name = "GATEWAY")]
    gateway: Option<String>,

    /// Server name of the TLS handshake, where it is not the host of the URL.
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,

    /// Form of the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':').with_context(|| format!("{text:?} is not 'name: value'"))?;
    let name = name.trim().parse().with_context(|| format!("{name:?} is not a header name"))?;
    let value = value.trim().parse().with_context(|| format!("{value:?} is not a header value"))?;
    Ok((name, value))
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let inputs = Inputs { filename: args.filename.clone(), backends: args.backends.clone() };
    let (method, url) = match args.request.as_slice() {
        [address] if streams::is_l4(address) => {
            ensure!(args.headers.is_empty(), "{address} is not read as HTTP and has no headers");
            let (model, _) = inputs.table()?;
            let explained = streams::explain(&model, address, args.gateway.as_deref(), args.sni.as_deref())?;
            args.output.print(&explained, streams::Explained::text)?;
            return Ok(FINE);
        }
        [_, address] if streams::is_l4(address) => bail!("{address} is not read as HTTP and has no method"),
        [method, url] => (method, url),
        _ => bail!("a request has a method and a URL: GET http://foo.example.com/foo"),
    };
    let (Model { filter_config: config, policies, .. }, routes) = inputs.table()?;
    let entry = entry::find(&config, url, args.gateway.as_deref(), args.sni.as_deref())?;
    let path =
        normalise(&entry.path).with_context(|| format!("Envoy answers 400 to the path {:?}", entry.path))?;
    let handed = as_envoy_hands_over(&args.headers, entry.scheme);
    let headers: Vec<(&[u8], &[u8])> =
        handed.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect();
    let host = headers.iter().find(|(name, _)| *name == b"host").map(|(_, value)| *value);
    let authority = without_trailing_dot(host.unwrap_or(entry.authority.as_bytes()));
    let request = Request {
        method: method.as_bytes(),
        authority: &authority,
        path: path.as_bytes(),
        headers: &headers,
    };
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let explanation = routes.explain_at(entry.listener.as_bytes(), &request, &clock);
    let path = (path != entry.path).then_some(path);
    let notes = as_envoy::notes(&args.headers, &handed, &config);
    let policies = policies::named(&explanation, &policies);
    args.output.print(&Explained { path, notes, policies, explanation }, text)?;
    Ok(FINE)
}

/// The host as the filter sees it: Envoy's `strip_trailing_host_dot` takes one dot off its end, also before a port.
fn without_trailing_dot(authority: &[u8]) -> Vec<u8> {
    let mut authority = authority.to_vec();
    let last = authority.iter().rposition(|byte| *byte == b'.');
    if let Some(dot) = last
        && matches!(authority.get(dot + 1), None | Some(b':'))
    {
        authority.remove(dot);
    }
    authority
}

#[derive(Serialize)]
struct Explained {
    /// The path in normal form, where it was not: the filter and the backend see this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Headers that the filter gets otherwise than the client sends them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    /// What the policies of the backends ask for, where it is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    policies: BTreeMap<String, Asked>,
    #[serde(flatten)]
    explanation: Explanation,
}

/// One line for each change, as a person would say it.
fn changes(edits: &ExplainedEdits) -> Vec<String> {
    let header = |what: &str, edit: &HeaderEdit| match edit {
        HeaderEdit::Set { name, value } => format!("{what} header {name} set to {value:?}"),
        HeaderEdit::Add { name, value } => format!("{what} header {name} gets {value:?} added"),
        HeaderEdit::Remove { name } => format!("{what} header {name} removed"),
        HeaderEdit::RemovePrefix { prefix } => format!("{what} headers {prefix}* removed"),
    };
    let host = edits.host.iter().map(|host| format!("host becomes {host}"));
    let path = edits.path.iter().map(|path| format!("path becomes {path}"));
    let request = edits.request_headers.iter().map(|edit| header("request", edit));
    let response = edits.response_headers.iter().map(|edit| header("response", edit));
    host.chain(path).chain(request).chain(response).collect()
}

/// What arrives at a backend: one line for the request, then one for each header that is not as the client sent it.
fn arrives(upstream: &ExplainedUpstream) -> Vec<String> {
    let line = format!("{} {} for {}", upstream.method, upstream.path, upstream.host);
    let headers = upstream.headers.iter().map(|header| format!("{}: {}", header.name, header.value));
    let without = upstream.without.iter().map(|name| format!("without {name}"));
    [line].into_iter().chain(headers).chain(without).collect()
}

fn cors(cors: &ExplainedCors) -> String {
    format!("{}{}", if cors.preflight { "preflight request: " } else { "" }, cors.because)
}

fn session(session: &ExplainedSession) -> String {
    let ExplainedSession { kind, name, because, .. } = session;
    let kind = format!("{kind:?}").to_lowercase();
    match &session.endpoint {
        Some(endpoint) => format!("{kind} {name} names {endpoint}: {because}"),
        None => format!("{kind} {name} does not count: {because}"),
    }
}

fn decision(explanation: &Explanation) -> String {
    let decision = &explanation.decision;
    let grpc = decision.grpc_status.map(|status| format!(" (gRPC status {status})")).unwrap_or_default();
    match (decision.kind, decision.status, &decision.cluster) {
        (DecisionType::Redirect, Some(status), _) => {
            format!("redirect {status} to {}", decision.location.as_deref().unwrap_or_default())
        }
        (DecisionType::Respond, Some(status), _) => format!("respond {status}{grpc}: {}", decision.because),
        (_, _, Some(cluster)) => format!("forward to {cluster}"),
        _ => format!("forward: {}", decision.because),
    }
}

fn text(Explained { path, notes, policies, explanation }: &Explained) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    if let Some(path) = path {
        row("path", format!("{path}  in normal form"));
    }
    notes.iter().for_each(|note| row("note", note.clone()));
    row("decision", decision(explanation));
    if let Some(listener) = &explanation.listener {
        row("listener", listener.clone());
    }
    if let (Some(route), Some(rule), Some(match_index)) =
        (&explanation.route, explanation.rule, explanation.match_index)
    {
        row("route", format!("{route}  spec.rules[{rule}].matches[{match_index}]"));
    }
    explanation.cors.iter().for_each(|explained| row("cors", cors(explained)));
    explanation.session.iter().for_each(|explained| row("session", session(explained)));
    let total: u64 = explanation.backends.iter().map(|backend| u64::from(backend.weight)).sum();
    for backend in &explanation.backends {
        let target = match (&backend.cluster, &backend.invalid) {
            (Some(cluster), _) => cluster.clone(),
            (None, reason) => format!("cannot be used: {}", reason.as_deref().unwrap_or_default()),
        };
        let policy = backend.policy.as_ref().map(|policy| format!("  policy {policy}")).unwrap_or_default();
        row("backend", format!("{target}  weight {} of {total}{policy}", backend.weight));
        if let Some(location) = &backend.location {
            row("", format!("redirect to {location}"));
        }
        backend.edits.iter().flat_map(changes).for_each(|change| row("", change));
        backend.upstream.iter().flat_map(arrives).for_each(|line| row("", format!("receives {line}")));
    }
    policies.iter().for_each(|(name, asked)| row("policy", format!("{name}: {asked}")));
    changes(&explanation.edits).into_iter().for_each(|change| row("change", change));
    explanation.upstream.iter().flat_map(arrives).for_each(|line| row("upstream", line));
    let mut text = table(&rows);
    if !explanation.candidates.is_empty() {
        let mut rows = vec![vec![String::new(), "CANDIDATE".to_owned(), "BECAUSE".to_owned()]];
        rows.extend(alike(&explanation.candidates).into_iter().map(|(candidate, more)| {
            let place =
                format!("{} rules[{}].matches[{}]", candidate.route, candidate.rule, candidate.match_index);
            let place = if more == 0 { place } else { format!("{place} and {more} more") };
            vec![if candidate.won { "*" } else { " " }.to_owned(), place, candidate.because.clone()]
        }));
        text.push('\n');
        text.push_str(&table(&rows));
    }
    text
}

/// The candidates in their order; of those of one route that lost for the same reason the first, with the number of
/// the others: a route for another host is one line, however many rules it has.
fn alike(candidates: &[Candidate]) -> Vec<(&Candidate, usize)> {
    let mut groups: Vec<(&Candidate, usize)> = Vec::new();
    let mut places: HashMap<_, usize> = HashMap::new();
    for candidate in candidates {
        let route = (candidate.route.kind, &candidate.route.namespace, &candidate.route.name);
        match places.entry((candidate.won, route, &candidate.because)) {
            Entry::Occupied(place) => groups[*place.get()].1 += 1,
            Entry::Vacant(place) => {
                place.insert(groups.len());
                groups.push((candidate, 0));
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use gatewasm_routing::ExplainedRoute;
    use gatewasm_routing::config::RouteKind;

    #[test]
    fn what_lost_alike_is_one_line() {
        let candidate = |name: &str, rule: usize, won: bool, because: &str| Candidate {
            route: ExplainedRoute {
                kind: RouteKind::HttpRoute,
                namespace: "n".to_owned(),
                name: name.to_owned(),
            },
            rule,
            match_index: 0,
            won,
            because: because.to_owned(),
        };
        let candidates = [
            candidate("a", 0, true, "the only match"),
            candidate("b", 0, false, "another host"),
            candidate("a", 1, false, "another host"),
            candidate("b", 1, false, "another path"),
            candidate("b", 2, false, "another host"),
        ];
        let lines: Vec<_> = alike(&candidates)
            .into_iter()
            .map(|(candidate, more)| format!("{} {} {more}", candidate.route.name, candidate.rule))
            .collect();
        assert_eq!(lines, ["a 0 0", "b 0 1", "a 1 0", "b 1 0"]);
    }

    #[test]
    fn one_dot_goes_from_the_end_of_a_host() {
        for (host, seen) in [
            ("a.test", "a.test"),
            ("a.test.", "a.test"),
            ("a.test..", "a.test."),
            ("a.test.:80", "a.test:80"),
            ("a.test:80", "a.test:80"),
            ("[::1.2.3.4]:80", "[::1.2.3.4]:80"),
            (".", ""),
            ("", ""),
        ] {
            assert_eq!(without_trailing_dot(host.as_bytes()), seen.as_bytes(), "{host}");
        }
    }
}
