//! What the user is told while a gateway runs, on standard error: for people as it would be said, for programs as one
//! JSON object per line. Standard output belongs to Envoy's access log.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::changes::Change;
use crate::envoy::supervisor::Event;
use crate::model::{Model, Protocol};
use crate::problem::{self, Problem, Severity};
use crate::render::Bindings;
use crate::table::table;
use crate::xds::agent::{Outcome, State};

/// Names in one line of a change; more are counted.
const NAMED: usize = 5;

/// Form of everything on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object per line.
    Json,
}

/// One served listener, as printed and as written to the ready file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Served {
    /// Namespace of the Gateway.
    pub namespace: String,
    /// Name of the Gateway.
    pub name: String,
    /// Name of the listener.
    pub listener: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Its hostname, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// IP address on this machine.
    pub address: String,
    /// Port on this machine.
    pub port: u16,
    /// Port in the Gateway.
    #[serde(rename = "gatewayPort")]
    pub gateway_port: u16,
}

/// The listeners that have an address.
pub fn served(model: &Model, bindings: &Bindings) -> Vec<Served> {
    let mut all = Vec::new();
    for (key, gateway) in &model.gateways {
        for (name, listener) in &gateway.listeners {
            let Some(address) = bindings.get(&(key.clone(), listener.port)) else { continue };
            all.push(Served {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                listener: name.clone(),
                protocol: listener.protocol,
                hostname: listener.hostname.clone(),
                address: address.ip().to_string(),
                port: address.port(),
                gateway_port: listener.port,
            });
        }
    }
    all
}

/// Says things, and remembers what it said, so that nothing is said twice.
#[derive(Debug)]
pub(super) struct Report {
    format: LogFormat,
    problems: BTreeSet<Problem>,
    table: Vec<Served>,
}

impl Report {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { format, problems: BTreeSet::new(), table: Vec::new() }
    }

    /// Envoy was found and started.
    pub(super) fn started(&self, binary: &Path, version: impl std::fmt::Display, workers: usize) {
        let (ours, binary) = (env!("CARGO_PKG_VERSION"), binary.display());
        match self.format {
            LogFormat::Text => eprintln!("gatewasm {ours}, Envoy {version} ({binary}), {workers} workers"),
            LogFormat::Json => {
                tracing::info!(event = "started", version = ours, envoy = %version, binary = %binary, workers, "started");
            }
        }
    }

    /// Where the Gateways are; nothing when that is known.
    pub(super) fn addresses(&mut self, table: Vec<Served>) {
        if table == self.table {
            return;
        }
        match self.format {
            LogFormat::Text => eprint!("\n{}\n", text_table(&table)),
            LogFormat::Json => {
                for it in &table {
                    tracing::info!(
                        event = "address",
                        namespace = it.namespace,
                        name = it.name,
                        listener = it.listener,
                        protocol = it.protocol.scheme(),
                        hostname = it.hostname,
                        address = it.address,
                        port = it.port,
                        gateway_port = it.gateway_port,
                        "listening"
                    );
                }
            }
        }
        self.table = table;
    }

    /// Nothing of ours is in the manifests.
    pub(super) fn nothing_to_serve(&self) {
        let text = "No Gateway to serve: a GatewayClass with controllerName \"gatewasm.dev/controller\", and a Gateway \
                    of that class, are needed.";
        match self.format {
            LogFormat::Text => eprintln!("{text}"),
            LogFormat::Json => tracing::warn!(event = "nothing_to_serve", "{text}"),
        }
    }

    /// The first configuration is in effect.
    pub(super) fn ready(&self, took: Duration) {
        let milliseconds = milliseconds(took);
        match self.format {
            LogFormat::Text => eprintln!("ready in {milliseconds} ms"),
            LogFormat::Json => tracing::info!(event = "ready", milliseconds, "ready"),
        }
    }

    /// What became of a change.
    pub(super) fn outcome(&self, changes: &[Change], outcome: &Outcome, took: Duration) {
        let what = name(changes);
        let milliseconds = milliseconds(took);
        let effect = match &outcome.state {
            State::Unchanged => "nothing to do for Envoy".to_owned(),
            State::Live => format!("live in {milliseconds} ms"),
            State::Late(why) => format!("not known to be live after {milliseconds} ms: waited for {why}"),
        };
        match self.format {
            LogFormat::Text => eprintln!("{what}: {effect}"),
            LogFormat::Json => {
                let state = match outcome.state {
                    State::Unchanged => "unchanged",
                    State::Live => "live",
                    State::Late(_) => "late",
                };
                tracing::info!(event = "change", changes = %what, state, milliseconds, "{what}: {effect}");
            }
        }
    }

    /// The problems that there are now: prints those that are new, and those that are no more.
    pub(super) fn problems(&mut self, problems: &[Problem], objects: usize) {
        let now: BTreeSet<Problem> = problems.iter().cloned().collect();
        let new: Vec<Problem> = now.difference(&self.problems).cloned().collect();
        let resolved: Vec<&Problem> = self.problems.difference(&now).collect();
        match self.format {
            LogFormat::Text => {
                for it in &resolved {
                    let field = if it.field.is_empty() { String::new() } else { format!(" {}", it.field) };
                    eprintln!("resolved: {}{field} {}", it.place, it.reason);
                }
                if !new.is_empty() {
                    eprint!("{}", problem::print(&new, objects));
                }
            }
            LogFormat::Json => {
                for it in &resolved {
                    json_problem("resolved", it);
                }
                for it in &new {
                    json_problem("problem", it);
                }
            }
        }
        self.problems = now;
    }

    /// Something happened to Envoy.
    pub(super) fn envoy(&self, event: &Event) {
        let text = match event {
            Event::Ended(status, wait) => format!("Envoy ended ({status}); starting it again in {wait:?}"),
            Event::Started => "Envoy was started again".to_owned(),
            Event::Failed(error, wait) => {
                format!("Envoy could not be started ({error:#}); trying again in {wait:?}")
            }
        };
        match self.format {
            LogFormat::Text => eprintln!("{text}"),
            LogFormat::Json => tracing::error!(event = "envoy", "{text}"),
        }
    }

    /// A line about ourselves.
    pub(super) fn say(&self, event: &str, text: &str) {
        match self.format {
            LogFormat::Text => eprintln!("{text}"),
            LogFormat::Json => tracing::info!(event, "{text}"),
        }
    }
}

fn json_problem(event: &str, it: &Problem) {
    let place = it.place.to_string();
    let (field, reason) = (&it.field, &it.reason);
    match it.severity {
        Severity::Error => tracing::error!(event, place, field, reason, "{}", it.message),
        Severity::Warning => tracing::warn!(event, place, field, reason, "{}", it.message),
    }
}

fn name(changes: &[Change]) -> String {
    let mut names: Vec<String> = changes.iter().take(NAMED).map(ToString::to_string).collect();
    if changes.len() > NAMED {
        names.push(format!("{} more", changes.len() - NAMED));
    }
    if names.is_empty() { "configuration".to_owned() } else { names.join(", ") }
}

fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// `GATEWAY  LISTENER  HOSTNAME  ADDRESS`, and under it which ports were moved.
fn text_table(listeners: &[Served]) -> String {
    let mut rows = vec![["GATEWAY", "LISTENER", "HOSTNAME", "ADDRESS"].map(ToOwned::to_owned)];
    let mut moved = BTreeMap::new();
    for it in listeners {
        let gateway = format!("{}/{}", it.namespace, it.name);
        let address =
            it.address.parse().map(|ip| SocketAddr::new(ip, it.port).to_string()).unwrap_or_default();
        if it.port != it.gateway_port {
            moved.insert((gateway.clone(), it.gateway_port), address.clone());
        }
        let hostname = it.hostname.clone().unwrap_or_else(|| "*".to_owned());
        rows.push([gateway, it.listener.clone(), hostname, format!("{}://{address}", it.protocol.scheme())]);
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    let mut text = table(&rows);
    for ((gateway, port), address) in moved {
        text += &format!("Port {port} of {gateway} could not be bound; it was moved to {address}.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::changes::Verb;
    use crate::object::{ObjectKey, ObjectRef};

    fn line(port: u16) -> Served {
        Served {
            namespace: "infra".into(),
            name: "web".into(),
            listener: "http".into(),
            protocol: Protocol::Http,
            hostname: None,
            address: "127.0.0.1".into(),
            port,
            gateway_port: 80,
        }
    }

    #[test]
    fn the_table_says_which_port_was_moved() {
        let expected = "GATEWAY    LISTENER  HOSTNAME  ADDRESS\n\
                        infra/web  http      *         http://127.0.0.1:10080\n\
                        Port 80 of infra/web could not be bound; it was moved to 127.0.0.1:10080.\n";
        assert_eq!(text_table(&[line(10_080)]), expected);
        assert!(!text_table(&[line(80)]).contains("moved"));
    }

    #[test]
    fn many_changes_are_counted() {
        let change = |n: usize| Change {
            object: ObjectRef::namespaced("HTTPRoute", &ObjectKey::new("a", n.to_string())),
            verb: Verb::Changed,
        };
        assert_eq!(name(&[change(1)]), "HTTPRoute a/1 changed");
        let seven: Vec<Change> = (0..7).map(change).collect();
        assert!(name(&seven).ends_with("HTTPRoute a/4 changed, 2 more"));
    }

    #[test]
    fn the_ready_file_names_what_scripts_need() {
        let json = serde_json::to_value(line(10_080)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "namespace": "infra", "name": "web", "listener": "http", "protocol": "HTTP",
                "address": "127.0.0.1", "port": 10_080, "gatewayPort": 80,
            })
        );
    }
}
