//! A file of the table as data.

use std::collections::BTreeMap;

use gatewasm_routing::config::{FilterConfig, Protocol};
use gatewasm_routing::wire;
use serde::Deserialize;

use crate::config;

/// One file.
#[derive(Clone, Debug)]
pub struct Table {
    /// Name of the file.
    pub file: String,
    /// What its cases are about.
    pub description: String,
    /// What the engines are configured with.
    pub config: FilterConfig,
    /// The cases, all of this config.
    pub cases: Vec<Case>,
}

/// A request and what must happen to it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The behaviour as a sentence, in kebab-case.
    pub name: String,
    /// By which filter chain it comes in: the value of [`wire::LISTENER`].
    pub entry: String,
    /// The request.
    pub request: Request,
    /// The number that chooses by weight, uniform over `u64` in earnest.
    pub random: u64,
    /// When it comes, in seconds since the epoch.
    pub now: u64,
    /// What must happen.
    pub expect: Expect,
    /// Why real Envoy cannot be asked, where it cannot.
    pub engine_only: Option<String>,
}

/// The parts of a request that matter.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Method.
    #[serde(default = "get")]
    pub method: String,
    /// Host or `:authority`, as it is sent.
    pub host: String,
    /// Path with the query string, in the form that Envoy's normalisation leaves as it is.
    #[serde(default = "root")]
    pub path: String,
    /// Headers in their order, `name: value`.
    #[serde(default, deserialize_with = "header_lines")]
    pub headers: Vec<(String, String)>,
}

/// What a case calls the want of a policy, as Envoy's routes do.
pub const NO_POLICY: &str = "none";

/// What must happen to a request.
#[derive(Clone, Debug)]
pub struct Expect {
    /// What happens with the case's random number. The status is that for others than gRPC.
    pub outcome: Outcome,
    /// Status of gRPC that a client of gRPC sees, where the case says.
    pub grpc_status: Option<u32>,
    /// Name of the policy that the request goes under, or [`NO_POLICY`], where the case says.
    pub policy: Option<String>,
    /// The endpoint that the client's session names, where the case says.
    pub endpoint: Option<String>,
    /// Everything that may happen with another random number; empty where chance has no say.
    pub any_of: Vec<Outcome>,
    /// Name of the listener that it belongs to, where the case says.
    pub listener: Option<String>,
    /// `namespace/name` of the route, where the case says.
    pub route: Option<String>,
    /// Index of the rule, where the case says.
    pub rule: Option<usize>,
    /// Index of the match, where the case says.
    pub match_index: Option<usize>,
    /// What the backend receives, where the case says.
    pub backend: Option<Received>,
    /// What the client receives, where the case says.
    pub answer: Option<Answered>,
}

/// What a backend must receive.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Received {
    /// Path with the query string.
    pub path: Option<String>,
    /// Host.
    pub host: Option<String>,
    /// Headers with their values, repeated ones joined by commas.
    #[serde(default, deserialize_with = "header_lines")]
    pub headers: Vec<(String, String)>,
    /// Headers that must not be there.
    #[serde(default)]
    pub without: Vec<String>,
}

/// What a client must receive.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// Headers with their values, repeated ones joined by commas.
    #[serde(default, deserialize_with = "header_lines")]
    pub headers: Vec<(String, String)>,
    /// Headers that must not be there.
    #[serde(default)]
    pub without: Vec<String>,
}

/// Headers by name in lower case, repeated ones joined by commas.
pub type Headers = BTreeMap<String, String>;

impl Received {
    /// Holds what a backend received to the expectation.
    ///
    /// # Errors
    /// What is otherwise.
    pub fn check(&self, path: &str, host: &str, headers: &Headers) -> Result<(), String> {
        if self.path.as_ref().is_some_and(|expected| expected != path) {
            return Err(format!("expected {self:?}, the path arrived as {path:?}"));
        }
        if self.host.as_ref().is_some_and(|expected| expected != host) {
            return Err(format!("expected {self:?}, the host arrived as {host:?}"));
        }
        check_headers(&self.headers, &self.without, headers)
    }
}

impl Answered {
    /// Holds what a client received to the expectation.
    ///
    /// # Errors
    /// What is otherwise.
    pub fn check(&self, headers: &Headers) -> Result<(), String> {
        check_headers(&self.headers, &self.without, headers)
    }
}

fn check_headers(expected: &[(String, String)], without: &[String], seen: &Headers) -> Result<(), String> {
    let differs =
        |(name, value): &&(String, String)| seen.get(name).map(|seen| plain(seen)) != Some(plain(value));
    if let Some((name, value)) = expected.iter().find(differs) {
        return Err(format!("expected {name}: {value:?}, saw {:?}", seen.get(name)));
    }
    match without.iter().find(|name| seen.contains_key(*name)) {
        Some(name) => Err(format!("expected no {name}, saw {:?}", seen.get(name))),
        None => Ok(()),
    }
}

/// Spaces behind the commas of a list mean nothing (RFC 9110, 5.6.1).
fn plain(list: &str) -> String {
    list.split(',').map(str::trim).collect::<Vec<_>>().join(",")
}

/// Where a request goes, or how it is answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// To this Envoy cluster.
    Cluster(String),
    /// By the filter, with this status.
    Status(u16),
}

impl Expect {
    /// Everything that may happen when chance is not in the test's hands.
    pub fn allowed(&self) -> &[Outcome] {
        if self.any_of.is_empty() { std::slice::from_ref(&self.outcome) } else { &self.any_of }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct File {
    description: String,
    session_key: Option<String>,
    listeners: Vec<serde_json::Value>,
    cases: Vec<CaseText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CaseText {
    name: String,
    entry: Option<String>,
    request: Request,
    random: Option<f64>,
    #[serde(default)]
    now: u64,
    expect: ExpectText,
    engine_only: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ExpectText {
    cluster: Option<String>,
    status: Option<u16>,
    grpc_status: Option<u32>,
    policy: Option<String>,
    endpoint: Option<String>,
    #[serde(default)]
    any_of: Vec<Outcome>,
    listener: Option<String>,
    route: Option<String>,
    rule: Option<usize>,
    #[serde(rename = "match")]
    match_index: Option<usize>,
    backend: Option<Received>,
    answer: Option<Answered>,
}

impl Table {
    pub(crate) fn read(name: &str, text: &str) -> Result<Self, String> {
        let file: File = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let config = config::expand(file.listeners, file.session_key)?;
        let entry = only_entry(&config);
        let cases: Result<Vec<_>, String> = file
            .cases
            .into_iter()
            .map(|case| {
                let name = case.name.clone();
                case.read(entry.as_deref()).map_err(|fault| format!("{name}: {fault}"))
            })
            .collect();
        let cases = cases?;
        if cases.is_empty() {
            return Err("has no cases".to_owned());
        }
        Ok(Self { file: name.to_owned(), description: file.description, config, cases })
    }
}

impl CaseText {
    fn read(self, only_entry: Option<&str>) -> Result<Case, String> {
        let kebab = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
        if self.name.is_empty() || !self.name.chars().all(kebab) {
            return Err("the name is not in kebab-case".to_owned());
        }
        let entry = match (self.entry, only_entry) {
            (Some(entry), _) => entry,
            (None, Some(entry)) => entry.to_owned(),
            (None, None) => return Err("the config has several entries, and the case names none".to_owned()),
        };
        let outcome = match (self.expect.cluster, self.expect.status, self.expect.grpc_status) {
            (Some(cluster), None, _) => Outcome::Cluster(cluster),
            (None, Some(status), _) => Outcome::Status(status),
            // UNIMPLEMENTED and UNAVAILABLE are 404 and 500 to others.
            (None, None, Some(12)) => Outcome::Status(404),
            (None, None, Some(14)) => Outcome::Status(500),
            _ => return Err("expect has not exactly one of cluster and status".to_owned()),
        };
        let any_of = self.expect.any_of;
        if self.random.is_some() == any_of.is_empty() {
            return Err("random and anyOf go together".to_owned());
        }
        if !any_of.is_empty() && !any_of.contains(&outcome) {
            return Err("anyOf lacks the expected outcome".to_owned());
        }
        if self.expect.backend.is_some() && !matches!(outcome, Outcome::Cluster(_)) {
            return Err("expect.backend is for requests that a backend gets".to_owned());
        }
        let expect = Expect {
            outcome,
            grpc_status: self.expect.grpc_status,
            policy: self.expect.policy,
            endpoint: self.expect.endpoint,
            any_of,
            listener: self.expect.listener,
            route: self.expect.route,
            rule: self.expect.rule,
            match_index: self.expect.match_index,
            backend: self.expect.backend,
            answer: self.expect.answer,
        };
        let random = share_of_u64(self.random.unwrap_or_default())?;
        Ok(Case {
            name: self.name,
            entry,
            request: self.request,
            random,
            now: self.now,
            expect,
            engine_only: self.engine_only,
        })
    }
}

/// A file writes the random number as a share of one, so that it can be held beside the weights.
fn share_of_u64(share: f64) -> Result<u64, String> {
    if !(0.0..1.0).contains(&share) {
        return Err(format!("random is {share}; it must be at least 0 and below 1"));
    }
    // 2^64; a conversion of a number in range is exact enough for a share.
    Ok((share * 18_446_744_073_709_551_616.0) as u64)
}

fn only_entry(config: &FilterConfig) -> Option<String> {
    let mut entries = config.listeners.iter().map(|listener| match listener.protocol {
        Protocol::Http => wire::entry_of_port(&listener.gateway, listener.port),
        Protocol::Https => listener.name.clone(),
    });
    let first = entries.next()?;
    entries.all(|other| other == first).then_some(first)
}

fn header_lines<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<(String, String)>, D::Error> {
    let lines = Vec::<String>::deserialize(deserializer)?;
    lines
        .into_iter()
        .map(|line| match line.split_once(':') {
            Some((name, value)) => Ok((name.to_owned(), value.trim().to_owned())),
            None => {
                Err(serde::de::Error::custom(format!("\"{line}\" is not a header such as \"name: value\"")))
            }
        })
        .collect()
}

fn get() -> String {
    "GET".to_owned()
}

fn root() -> String {
    "/".to_owned()
}
