//! [`FilterConfig`] to [`RouteTable`]. Decides what is a sound config, and finds every fault of an unsound one; knows
//! nothing of requests.

mod listeners;
mod matches;
mod order;

use std::collections::{BTreeMap, BTreeSet};

use crate::action::{Actions, headers};
use crate::backend::{Backends, Target};
use crate::config::{self, FilterConfig, Protocol, RouteKind, VERSION};
use crate::decision::RouteId;
use crate::index::AutomataBudget;
use crate::matching::host::{HostMap, Hostname};
use crate::matching::path::PathMatch;
use crate::matching::value::Expressions;
use crate::problem::{ConfigProblem, Problems};
use crate::session::{self, Key};
use crate::table::{Listener, Match, Route, RouteTable, Rule};
use crate::timestamp::Timestamp;

/// Largest weight of a backend (Gateway API `BackendRef.weight`).
const MAX_WEIGHT: u32 = 1_000_000;

/// Most pairs of hostname and match that a table holds, 40 MB: a route's matches apply under each of its hostnames,
/// and a small document could ask for more memory than there is.
const MAX_PAIRS: usize = 10_000_000;

/// Compiles a filter config.
///
/// # Errors
/// Every fault, in the order of the document. A config with a fault is refused as a whole: a table that lacks a rule
/// would send that rule's requests elsewhere.
pub fn compile(config: &FilterConfig) -> Result<RouteTable, Vec<ConfigProblem>> {
    let mut compiler = Compiler::default();
    if config.version != VERSION {
        let version = config.version;
        let message = format!("the document is of version {version}; this build reads version {VERSION}");
        compiler.problems.add("version", message);
    }
    compiler.table.access_log = config.access_log;
    if config.session_key.as_deref() == Some("") {
        compiler.problems.add("sessionKey", "is empty");
    }
    compiler.session_key = Key::new(config.session_key.as_deref());
    for (i, listener) in config.listeners.iter().enumerate() {
        compiler.within(format_args!("listeners[{i}]"), |compiler| compiler.listener(listener));
    }
    if !compiler.problems.is_empty() {
        return Err(compiler.problems.into_vec());
    }
    compiler.table.shrink();
    Ok(compiler.table)
}

/// The faults that [`compile`] would find in one match, with paths relative to it (`path.value`, `headers[0].name`):
/// all but those that depend on the kind of its route.
pub fn check_match(route_match: &config::RouteMatch) -> Vec<ConfigProblem> {
    let mut compiler = Compiler::default();
    compiler.conditions(route_match);
    compiler.problems.into_vec()
}

/// The faults that [`compile`] would find in the filters of a rule with these matches, or of one of its backends, with
/// paths relative to the rule or backend (`filters[0].urlRewrite.hostname`).
pub fn check_filters(filters: &[config::RouteFilter], matches: &[config::RouteMatch]) -> Vec<ConfigProblem> {
    let mut problems = Problems::default();
    Actions::compile(filters, matches, &mut problems);
    problems.into_vec()
}

/// The faults that [`compile`] would find in the sessions of a rule, with paths relative to them (`sessionName`).
pub fn check_session_persistence(persistence: &config::SessionPersistence) -> Vec<ConfigProblem> {
    let mut problems = Problems::default();
    session::check(persistence, &mut problems);
    problems.into_vec()
}

#[derive(Default)]
struct Compiler<'c> {
    table: RouteTable,
    problems: Problems,
    expressions: Expressions,
    automata: AutomataBudget,
    session_key: Key,
    names: BTreeSet<&'c str>,
    /// For each Gateway and port its place in the table, and its listeners' protocol and hostnames.
    ports: BTreeMap<(&'c str, u16), Port<'c>>,
    pairs: usize,
}

struct Port<'c> {
    index: usize,
    protocol: Protocol,
    hostnames: BTreeMap<Hostname<'c>, &'c str>,
}

impl<'c> Compiler<'c> {
    fn within<T>(&mut self, segment: std::fmt::Arguments<'_>, part: impl FnOnce(&mut Self) -> T) -> T {
        // The problems move out and back, so that the part sees the whole compiler.
        let mut problems = std::mem::take(&mut self.problems);
        let result = problems.within(segment, |problems| {
            std::mem::swap(&mut self.problems, problems);
            let result = part(self);
            std::mem::swap(&mut self.problems, problems);
            result
        });
        self.problems = problems;
        result
    }

    fn listener(&mut self, listener: &'c config::Listener) {
        self.name("name", &listener.name);
        self.name("gateway", &listener.gateway);
        if listener.port == 0 {
            self.problems.add("port", "0 is not a port; ports are 1 to 65535");
        }
        let hostname = self.hostname("hostname", listener.hostname.as_deref());
        let index = self.table.listeners.len();
        self.register(listener, hostname, index);

        let first = self.next_match();
        let mut seen = BTreeSet::new();
        let mut hostnames: BTreeMap<Hostname<'c>, Vec<usize>> = BTreeMap::new();
        for (i, route) in listener.routes.iter().enumerate() {
            self.within(format_args!("routes[{i}]"), |compiler| {
                if !seen.insert((route.kind, &route.namespace, &route.name)) {
                    let message = format!(
                        "{} {}/{} stands twice in this listener",
                        route.kind, route.namespace, route.name
                    );
                    compiler.problems.add("name", message);
                }
                let index = compiler.table.routes.len();
                for hostname in compiler.route(route, hostname) {
                    hostnames.entry(hostname).or_default().push(index);
                }
            });
        }
        let answers = listener.alt_svc.as_deref().and_then(|text| headers::alt_svc(text, &mut self.problems));
        let sound = self.problems.is_empty();
        let hosts = if sound { self.index(first, hostnames) } else { HostMap::default() };
        self.table.listeners.push(Listener {
            name: listener.name.clone(),
            protocol: listener.protocol,
            port: listener.port,
            answers,
            hosts,
            matches: first..self.next_match(),
        });
    }

    /// Compiles the route and its rules. Returns the hostnames under which they apply.
    fn route(&mut self, route: &'c config::Route, listener: Option<Hostname<'c>>) -> BTreeSet<Hostname<'c>> {
        self.name("namespace", &route.namespace);
        self.name("name", &route.name);
        let created = route.creation_timestamp.as_deref().and_then(|text| {
            let created = Timestamp::parse(text);
            if created.is_none() {
                let message =
                    format!("\"{text}\" is not a time in UTC such as 2026-01-31T00:00:00Z (RFC 3339)");
                self.problems.add("creationTimestamp", message);
            }
            created
        });
        let mut hostnames = BTreeSet::new();
        for (i, text) in route.hostnames.iter().enumerate() {
            let hostname = self.hostname(format_args!("hostnames[{i}]"), Some(text));
            let (Some(hostname), Some(listener)) = (hostname, listener) else { continue };
            if hostname.is_within(listener) {
                hostnames.insert(hostname);
            } else {
                let message = format!("\"{text}\" reaches beyond the listener's hostname {listener}");
                self.problems.add(format_args!("hostnames[{i}]"), message);
            }
        }
        if route.hostnames.is_empty() {
            hostnames.extend(listener);
        }
        let index = self.table.routes.len();
        self.table.routes.push(Route {
            id: RouteId::new(route.kind, &route.namespace, &route.name),
            created,
            hostnames: hostnames.iter().map(|hostname| hostname.text()).collect(),
        });
        let first = self.next_match();
        let mut names = BTreeSet::new();
        for (i, rule) in route.rules.iter().enumerate() {
            self.within(format_args!("rules[{i}]"), |compiler| {
                // Sessions know a rule by its name.
                if let Some(name) = &rule.name
                    && !names.insert(name)
                {
                    compiler.problems.add("name", format!("\"{name}\" is the name of another rule too"));
                }
                compiler.rule(rule, route.kind, index, i);
            });
        }
        let matches = first..self.next_match();
        self.pairs = self.pairs.saturating_add(matches.len().saturating_mul(hostnames.len()));
        if self.pairs > MAX_PAIRS {
            self.problems
                .add("hostnames", format!("more than {MAX_PAIRS} pairs of hostname and match in all"));
        }
        hostnames
    }

    fn rule(&mut self, rule: &config::Rule, kind: RouteKind, route: usize, index: usize) {
        if let Some(name) = &rule.name {
            self.name("name", name);
        }
        let id = self.table.rules.len();
        let is_grpc = kind == RouteKind::GrpcRoute;
        for (i, route_match) in rule.matches.iter().enumerate() {
            self.within(format_args!("matches[{i}]"), |compiler| {
                compiler.kind(kind, route_match);
                if let Some((path, conditions)) = compiler.conditions(route_match) {
                    let conditions = (!conditions.is_empty()).then(|| Box::new(conditions));
                    compiler.table.matches.push(Match { rule: id, index: i, is_grpc, path, conditions });
                }
            });
        }
        if rule.matches.is_empty() {
            let path = PathMatch::default();
            self.table.matches.push(Match { rule: id, index: 0, is_grpc, path, conditions: None });
        }
        let backends = rule.backends.iter().enumerate().filter_map(|(i, backend)| {
            self.within(format_args!("backends[{i}]"), |compiler| compiler.backend(backend, &rule.matches))
        });
        let backends = Backends::new(backends);
        let identity = || {
            let route = self.table.routes.get(route).map_or("", |route| &route.id.label);
            match &rule.name {
                Some(name) => format!("{route} rule {name}"),
                None => format!("{route} rules[{index}]"),
            }
        };
        let actions = Actions::of_rule(rule, (&self.session_key, identity), &mut self.problems);
        self.table.rules.push(Rule { route, index, invalid: rule.invalid.clone(), actions, backends });
    }

    fn backend(
        &mut self,
        backend: &config::Backend,
        matches: &[config::RouteMatch],
    ) -> Option<(Target, u32, Option<Box<Actions>>)> {
        let actions = Actions::of_backend(backend, matches, &mut self.problems);
        if backend.weight > MAX_WEIGHT {
            self.problems
                .add("weight", format!("{} is too large; weights are 0 to {MAX_WEIGHT}", backend.weight));
        }
        let target = match (&backend.cluster, &backend.invalid) {
            (Some(cluster), None) => {
                self.name("cluster", cluster);
                Target::Cluster(cluster.clone())
            }
            (None, Some(reason)) => Target::Invalid(reason.clone()),
            (None, None) => {
                self.problems.add("", "has neither \"cluster\" nor \"invalid\"");
                return None;
            }
            (Some(_), Some(_)) => {
                self.problems.add("", "has both \"cluster\" and \"invalid\"");
                return None;
            }
        };
        Some((target, backend.weight, actions))
    }

    fn next_match(&self) -> u32 {
        // A document of at most 32 MiB has fewer than 2^32 matches.
        u32::try_from(self.table.matches.len()).unwrap_or(u32::MAX)
    }

    fn hostname(&mut self, path: impl std::fmt::Display, text: Option<&'c str>) -> Option<Hostname<'c>> {
        match text {
            None => Some(Hostname::Any),
            Some(text) => self.sound(path, Hostname::parse(text)),
        }
    }

    /// Names go into headers and log lines.
    fn name(&mut self, path: &str, name: &str) {
        if name.is_empty() {
            self.problems.add(path, "is empty");
        } else if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.problems.add(path, format!("{name:?} has characters other than visible ASCII"));
        }
    }

    fn sound<T>(&mut self, path: impl std::fmt::Display, result: Result<T, String>) -> Option<T> {
        result.map_err(|message| self.problems.add(path, message)).ok()
    }
}

#[cfg(test)]
mod tests;
