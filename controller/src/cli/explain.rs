//! `gatewasm explain`: which listener, route, rule and backend a request gets, and why each other candidate lost.

use std::path::PathBuf;

use anyhow::{Context, Result};
use gatewasm_routing::{DecisionType, ExplainedEdits, Explanation, HeaderEdit, Request};
use hyper::header::{HeaderName, HeaderValue};
use serde::Serialize;

use super::FINE;
use super::entry;
use super::inputs::{Backends, Inputs};
use super::normal_path::normalise;
use super::output::{Output, table};

/// Arguments of `gatewasm explain`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Manifests: a file, a folder (not its subfolders), or - for standard input; repeatable. Also a filter config as
    /// JSON.
    // One value for each -f, unlike elsewhere: METHOD and URL follow.
    #[arg(short, long, value_name = "PATH", required = true)]
    filename: Vec<PathBuf>,

    #[command(flatten)]
    backends: Backends,

    /// Method of the request.
    #[arg(value_name = "METHOD")]
    method: String,

    /// URL of the request, with the port of the Gateway's listener: <http://foo.example.com/foo>. The path is brought
    /// into normal form, as Envoy does.
    #[arg(value_name = "URL")]
    url: String,

    /// A header of the request, repeatable: 'name: value'.
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
    let (config, routes) = inputs.table()?;
    let entry = entry::find(&config, &args.url, args.gateway.as_deref(), args.sni.as_deref())?;
    let path =
        normalise(&entry.path).with_context(|| format!("Envoy answers 400 to the path {:?}", entry.path))?;
    let headers: Vec<(&[u8], &[u8])> =
        args.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect();
    let host = headers.iter().find(|(name, _)| *name == b"host").map(|(_, value)| *value);
    let authority = without_trailing_dot(host.unwrap_or(entry.authority.as_bytes()));
    let request = Request {
        method: args.method.as_bytes(),
        authority: &authority,
        path: path.as_bytes(),
        headers: &headers,
    };
    let explanation = routes.explain(entry.listener.as_bytes(), &request);
    let path = (path != entry.path).then_some(path);
    args.output.print(&Explained { path, explanation }, text)?;
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
    #[serde(flatten)]
    explanation: Explanation,
}

/// One line for each change, as a person would say it.
fn changes(edits: &ExplainedEdits) -> Vec<String> {
    let header = |what: &str, edit: &HeaderEdit| match edit {
        HeaderEdit::Set { name, value } => format!("{what} header {name} set to {value:?}"),
        HeaderEdit::Add { name, value } => format!("{what} header {name} gets {value:?} added"),
        HeaderEdit::Remove { name } => format!("{what} header {name} removed"),
    };
    let host = edits.host.iter().map(|host| format!("host becomes {host}"));
    let path = edits.path.iter().map(|path| format!("path becomes {path}"));
    let request = edits.request_headers.iter().map(|edit| header("request", edit));
    let response = edits.response_headers.iter().map(|edit| header("response", edit));
    host.chain(path).chain(request).chain(response).collect()
}

fn text(Explained { path, explanation }: &Explained) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row = |name: &str, value: String| rows.push(vec![name.to_owned(), value]);
    if let Some(path) = path {
        row("path", format!("{path}  in normal form"));
    }
    let decision = &explanation.decision;
    row(
        "decision",
        match (decision.kind, decision.status, &decision.cluster) {
            (DecisionType::Redirect, Some(status), _) => {
                format!("redirect {status} to {}", decision.location.as_deref().unwrap_or_default())
            }
            (DecisionType::Respond, Some(status), _) => format!("respond {status}: {}", decision.because),
            (_, _, Some(cluster)) => format!("forward to {cluster}"),
            _ => format!("forward: {}", decision.because),
        },
    );
    if let Some(listener) = &explanation.listener {
        row("listener", listener.clone());
    }
    if let (Some(route), Some(rule), Some(match_index)) =
        (&explanation.route, explanation.rule, explanation.match_index)
    {
        row("route", format!("{route}  spec.rules[{rule}].matches[{match_index}]"));
    }
    let total: u64 = explanation.backends.iter().map(|backend| u64::from(backend.weight)).sum();
    for backend in &explanation.backends {
        let target = match (&backend.cluster, &backend.invalid) {
            (Some(cluster), _) => cluster.clone(),
            (None, reason) => format!("answers 500: {}", reason.as_deref().unwrap_or_default()),
        };
        row("backend", format!("{target}  weight {} of {total}", backend.weight));
        if let Some(location) = &backend.location {
            row("", format!("redirect to {location}"));
        }
        for change in backend.edits.iter().flat_map(changes) {
            row("", change);
        }
    }
    for change in changes(&explanation.edits) {
        row("change", change);
    }
    let mut text = table(&rows);
    if !explanation.candidates.is_empty() {
        let mut rows = vec![vec![String::new(), "CANDIDATE".to_owned(), "BECAUSE".to_owned()]];
        rows.extend(explanation.candidates.iter().map(|candidate| {
            let place =
                format!("{} rules[{}].matches[{}]", candidate.route, candidate.rule, candidate.match_index);
            vec![if candidate.won { "*" } else { " " }.to_owned(), place, candidate.because.clone()]
        }));
        text.push('\n');
        text.push_str(&table(&rows));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::without_trailing_dot;

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
