//! [`FilterConfig`] to [`RouteTable`]. Decides what is a sound config, and finds every fault of an unsound one; knows
//! nothing of requests.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use crate::action::Actions;
use crate::backend::{Backends, Target};
use crate::config::{self, FilterConfig, Protocol, RouteKind, VERSION, ValueMatch, ValueMatchType};
use crate::decision::RouteId;
use crate::index::{AutomataBudget, Index};
use crate::matching::grpc::GrpcMatch;
use crate::matching::header::{self, HeaderMatch};
use crate::matching::host::{HostMap, Hostname};
use crate::matching::method::Method;
use crate::matching::path::PathMatch;
use crate::matching::query::QueryMatch;
use crate::matching::value::{Expressions, Value};
use crate::precedence::HostnameRank;
use crate::problem::{ConfigProblem, Problems};
use crate::session::{self, Key};
use crate::table::{Conditions, Entry, Listener, Match, Route, RouteTable, Rule};
use crate::timestamp::Timestamp;
use crate::wire;

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
        let sound = self.problems.is_empty();
        let hosts = if sound { self.index(first, hostnames) } else { HostMap::default() };
        self.table.listeners.push(Listener {
            name: listener.name.clone(),
            protocol: listener.protocol,
            port: listener.port,
            hosts,
            matches: first..self.next_match(),
        });
    }

    /// Gives the listener its place among those of its Gateway and port, and its entry.
    fn register(&mut self, listener: &'c config::Listener, hostname: Option<Hostname<'c>>, index: usize) {
        if !self.names.insert(&listener.name) {
            self.problems.add("name", format!("\"{}\" is the name of another listener too", listener.name));
        }
        let new = self.ports.len();
        let key = (listener.gateway.as_str(), listener.port);
        let port = self.ports.entry(key).or_insert_with(|| Port {
            index: new,
            protocol: listener.protocol,
            hostnames: BTreeMap::new(),
        });
        if port.protocol != listener.protocol {
            let message = format!(
                "port {} of Gateway {} has listeners of another protocol",
                listener.port, listener.gateway
            );
            self.problems.add("protocol", message);
            return;
        }
        if port.index == new {
            self.table.ports.push(HostMap::default());
        }
        let Some(hostname) = hostname else { return };
        if let Some(other) = port.hostnames.insert(hostname, &listener.name) {
            let message = format!(
                "\"{other}\" serves {hostname} on port {} of Gateway {} too",
                listener.port, listener.gateway
            );
            self.problems.add("hostname", message);
        }
        if let Some(listeners) = self.table.ports.get_mut(port.index) {
            listeners.insert(hostname, index);
        }
        let (name, own) = match listener.protocol {
            Protocol::Http => (wire::entry_of_port(&listener.gateway, listener.port), None),
            Protocol::Https => (listener.name.clone(), Some(index)),
        };
        let entry = Entry { port: port.index, listener: own };
        let known = self.table.entries.insert(name.clone().into_bytes().into(), entry);
        if known.is_some_and(|known| known.port != entry.port) {
            self.problems.add("name", format!("\"{name}\" already stands for a port of another Gateway"));
        }
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
        for (i, rule) in route.rules.iter().enumerate() {
            self.within(format_args!("rules[{i}]"), |compiler| compiler.rule(rule, route.kind, index, i));
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

    /// A match has what the API gives the matches of its kind of route, and nothing else.
    fn kind(&mut self, kind: RouteKind, route_match: &config::RouteMatch) {
        let others: &[(&str, bool)] = match kind {
            RouteKind::HttpRoute => &[("grpcMethod", route_match.grpc_method.is_some())],
            RouteKind::GrpcRoute => &[
                ("path", route_match.path.is_some()),
                ("method", route_match.method.is_some()),
                ("queryParams", !route_match.query_params.is_empty()),
            ],
        };
        for (field, _) in others.iter().filter(|(_, given)| *given) {
            let own = match kind {
                RouteKind::HttpRoute => "path, method, headers and queryParams",
                RouteKind::GrpcRoute => "grpcMethod and headers",
            };
            self.problems.add(field, format!("is not for a match of {kind}s, which has {own}"));
        }
    }

    fn conditions(&mut self, route_match: &config::RouteMatch) -> Option<(PathMatch, Conditions)> {
        let path = match &route_match.path {
            Some(path) => {
                let compiled = PathMatch::compile(path, &mut self.expressions);
                self.sound("path.value", compiled)
            }
            None => Some(PathMatch::default()),
        };
        let method = match &route_match.method {
            Some(name) => self.sound("method", Method::parse(name)).map(Some),
            None => Some(None),
        };
        let grpc = match &route_match.grpc_method {
            Some(wanted) => match GrpcMatch::compile(wanted, &mut self.expressions) {
                Ok(compiled) => Some(Some(Box::new(compiled))),
                Err(faults) => {
                    self.problems.within(format_args!("grpcMethod"), |problems| {
                        faults.into_iter().for_each(|(field, fault)| problems.add(field, fault));
                    });
                    None
                }
            },
            None => Some(None),
        };
        let headers = self.values("headers", &route_match.headers, header::parse_name);
        let headers = headers.into_iter().map(|(name, value)| HeaderMatch { name, value }).collect();
        let query_params = self.values("queryParams", &route_match.query_params, parameter_name);
        let query_params = query_params.into_iter().map(|(name, value)| QueryMatch { name, value }).collect();
        Some((path?, Conditions { method: method?, grpc: grpc?, headers, query_params }))
    }

    /// The entries that count: "If multiple entries specify equivalent header names, only the first entry … MUST be
    /// considered for a match" (Gateway API `HTTPHeaderMatch.name`, and the same for query parameters). The others
    /// are checked all the same.
    fn values(
        &mut self,
        field: &str,
        entries: &[ValueMatch],
        parse_name: impl Fn(&str) -> Result<Box<str>, String>,
    ) -> Vec<(Box<str>, Value)> {
        let mut values: Vec<(Box<str>, Value)> = Vec::with_capacity(entries.len());
        for (i, entry) in entries.iter().enumerate() {
            let name = self.sound(format_args!("{field}[{i}].name"), parse_name(&entry.name));
            let value = match entry.kind {
                ValueMatchType::Exact => Ok(Value::Exact(entry.value.as_str().into())),
                ValueMatchType::RegularExpression => {
                    self.expressions.compile(&entry.value).map(Value::Expression)
                }
            };
            let value = self.sound(format_args!("{field}[{i}].value"), value);
            let (Some(name), Some(value)) = (name, value) else { continue };
            if values.iter().all(|(known, _)| *known != name) {
                values.push((name, value));
            }
        }
        values
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

    /// Puts the listener's matches, from `first` on, in the order that the table has, and makes the index of each of its
    /// hostnames.
    fn index(&mut self, first: u32, hostnames: BTreeMap<Hostname<'c>, Vec<usize>>) -> HostMap<u32> {
        self.sort_matches(first);
        let mut of_routes: FxHashMap<usize, Vec<u32>> = FxHashMap::default();
        for id in first..self.next_match() {
            let rule = self.table.match_at(id).and_then(|found| self.table.rules.get(found.rule));
            if let Some(rule) = rule {
                of_routes.entry(rule.route).or_default().push(id);
            }
        }
        let mut hosts = HostMap::default();
        let mut places: FxHashMap<Vec<usize>, u32> = FxHashMap::default();
        for (hostname, routes) in hostnames {
            let place = match places.get(&routes) {
                Some(place) => *place,
                None => {
                    let ids = routes.iter().filter_map(|route| of_routes.get(route)).flatten();
                    let mut ids: Vec<u32> = ids.copied().collect();
                    sort(&mut ids, &mut u32::cmp);
                    let place = u32::try_from(self.table.indexes.len()).unwrap_or(u32::MAX);
                    self.table.indexes.push(Index::new(&ids, &self.table.matches, &mut self.automata));
                    places.insert(routes, place);
                    place
                }
            };
            hosts.insert(hostname, place);
        }
        hosts
    }

    /// Of most matches of a large config nothing is ever compared: they have a literal path that no other has. They stay
    /// as they are, behind the others.
    fn sort_matches(&mut self, first: u32) {
        let start = usize::try_from(first).unwrap_or(usize::MAX).min(self.table.matches.len());
        let unsorted = self.table.matches.get(start..).unwrap_or_default();
        let mut having: FxHashMap<(bool, &str), usize> = FxHashMap::default();
        for path in unsorted.iter().filter_map(literal_path) {
            let count = having.entry(path).or_default();
            *count = count.saturating_add(1);
        }
        let alone = |of: &Match| literal_path(of).is_some_and(|path| having.get(&path) == Some(&1));
        let (mut sorted, mut others): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for (place, of) in (0..).zip(unsorted) {
            if alone(of) { &mut others } else { &mut sorted }.push(place);
        }
        if sorted.is_empty() {
            return;
        }
        // Keys are large: their places move in their stead. Under one hostname all matches have the same rank of
        // hostname: it does not matter which.
        let key = |of: &'_ Match| self.table.precedence(HostnameRank::default(), of);
        let keys: Vec<_> = unsorted.iter().map(|of| if alone(of) { None } else { key(of) }).collect();
        sort(&mut sorted, &mut |a, b| at(&keys, *a).cmp(&at(&keys, *b)));
        let mut unsorted: Vec<_> = self.table.matches.drain(start..).map(Some).collect();
        let places = sorted.into_iter().chain(others).filter_map(|place| usize::try_from(place).ok());
        self.table.matches.extend(places.filter_map(|place| unsorted.get_mut(place)?.take()));
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

fn at<T>(list: &[T], place: u32) -> Option<&T> {
    list.get(usize::try_from(place).ok()?)
}

/// One copy of the code, whatever the order is: it takes 15 KiB of the filter for each.
#[inline(never)]
fn sort(list: &mut [u32], order: &mut dyn FnMut(&u32, &u32) -> Ordering) {
    list.sort_unstable_by(order);
}

/// The literal path of a match, and whether it is exact; `None` where it has none or is not told apart by it.
fn literal_path(of: &Match) -> Option<(bool, &str)> {
    match &of.path {
        PathMatch::Exact(path) if !of.is_grpc => Some((true, path)),
        PathMatch::Prefix(prefix) if !of.is_grpc => Some((false, prefix)),
        _ => None,
    }
}

fn parameter_name(name: &str) -> Result<Box<str>, String> {
    if name.is_empty() { Err("is empty".to_owned()) } else { Ok(name.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RouteFilter;
    use crate::parse;

    /// The faults of a config whose one listener, route or rule has these fields besides the required ones.
    fn faults(json: &str) -> Vec<String> {
        let config = parse(json.as_bytes()).unwrap();
        compile(&config).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    fn in_config(listeners: &str) -> Vec<String> {
        faults(&format!(r#"{{"version": 1, "listeners": [{listeners}]}}"#))
    }

    fn in_listener(fields: &str) -> Vec<String> {
        in_config(&format!(
            r#"{{"name": "infra/web/http", "gateway": "infra/web", "port": 80, "protocol": "HTTP"{fields}}}"#
        ))
    }

    fn in_route(fields: &str) -> Vec<String> {
        in_listener(&format!(
            r#", "hostname": "*.example.com", "routes": [{{"kind": "HTTPRoute", "namespace": "ns", "name": "n"{fields}}}]"#
        ))
    }

    fn in_rule(fields: &str) -> Vec<String> {
        in_route(&format!(r#", "rules": [{{{fields}}}]"#))
            .into_iter()
            .map(|fault| fault.replacen("listeners[0].routes[0].rules[0].", "", 1))
            .collect()
    }

    fn in_match(fields: &str) -> Vec<String> {
        in_rule(&format!(r#""matches": [{{{fields}}}]"#))
            .into_iter()
            .map(|fault| fault.replacen("matches[0].", "", 1))
            .collect()
    }

    #[test]
    fn sound_configs_compile() {
        assert_eq!(in_config(""), [""; 0]);
        assert_eq!(in_listener(""), [""; 0]);
        assert_eq!(in_route(""), [""; 0]);
        assert_eq!(in_rule(""), [""; 0]);
        assert_eq!(in_match(""), [""; 0]);
        assert_eq!(
            in_rule(r#""backends": [{"cluster": "a/b/80", "weight": 1000000}, {"invalid": ""}]"#),
            [""; 0]
        );
    }

    #[test]
    fn filters() {
        let modifier =
            r#"{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["a", "Host"]}}"#;
        let redirect = r#"{"type": "RequestRedirect", "requestRedirect": {"port": 0}}"#;
        let rewrite = r#"{"type": "URLRewrite", "urlRewrite": {"path":
            {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/%2e%2e"}}}"#;
        let host = "cannot be changed by a header modifier; URLRewrite has a hostname";
        assert_eq!(
            in_rule(&format!(
                r#""matches": [{{"path": {{"value": "/"}}}}, {{"path": {{"type": "Exact", "value": "/"}}}}],
                   "filters": [{modifier}, {modifier}, {redirect}, {rewrite}],
                   "backends": [{{"cluster": "a", "filters": [{modifier}]}}]"#
            )),
            [
                format!("backends[0].filters[0].requestHeaderModifier.remove[1]: \"Host\" {host}"),
                format!("filters[0].requestHeaderModifier.remove[1]: \"Host\" {host}"),
                format!("filters[1].requestHeaderModifier.remove[1]: \"Host\" {host}"),
                "filters[1].type: there is another filter of this type; there can be one".to_owned(),
                "filters[2].requestRedirect.port: 0 is not a port; ports are 1 to 65535".to_owned(),
                "filters[3].urlRewrite.path.type: ReplacePrefixMatch needs a PathPrefix in every match of the rule"
                    .to_owned(),
                "filters[3].urlRewrite.path.replacePrefixMatch: \"/%2e%2e\" contains \"%2e%2e\", which may lead to \
                 another path"
                    .to_owned(),
                "filters: URLRewrite and RequestRedirect cannot stand together".to_owned(),
            ]
        );
        let sound: RouteFilter = serde_json::from_str(&modifier.replace("Host", "b")).unwrap();
        assert_eq!(check_filters(std::slice::from_ref(&sound), &[]), []);
        assert_eq!(check_filters(&[sound.clone(), sound], &[]).len(), 1);
    }

    #[test]
    fn names_ports_and_times() {
        assert_eq!(
            in_config(r#"{"name": "", "gateway": "a b", "port": 0, "protocol": "HTTP"}"#),
            [
                "listeners[0].name: is empty",
                "listeners[0].gateway: \"a b\" has characters other than visible ASCII",
                "listeners[0].port: 0 is not a port; ports are 1 to 65535",
            ]
        );
        assert_eq!(
            in_listener(
                r#", "routes": [{"kind": "HTTPRoute", "namespace": "", "name": "é", "rules": [{"name": ""}]}]"#
            ),
            [
                "listeners[0].routes[0].namespace: is empty",
                "listeners[0].routes[0].name: \"é\" has characters other than visible ASCII",
                "listeners[0].routes[0].rules[0].name: is empty",
            ]
        );
        assert_eq!(
            in_route(r#", "creationTimestamp": "yesterday""#),
            ["listeners[0].routes[0].creationTimestamp: \"yesterday\" is not a time in UTC such as \
              2026-01-31T00:00:00Z (RFC 3339)"]
        );
    }

    #[test]
    fn hostnames() {
        assert_eq!(
            in_listener(r#", "hostname": "*""#),
            [
                "listeners[0].hostname: \"*\" is not a hostname such as foo.example.com or *.example.com, in lower case"
            ]
        );
        assert_eq!(
            in_route(r#", "hostnames": ["a.example.com", "*.b.example.com", "*.example.com"]"#),
            [""; 0]
        );
        assert_eq!(
            in_route(r#", "hostnames": ["a.example.com", "A", "example.com", "*.com"]"#),
            [
                "listeners[0].routes[0].hostnames[1]: \"A\" is not a hostname such as foo.example.com or \
                 *.example.com, in lower case",
                "listeners[0].routes[0].hostnames[2]: \"example.com\" reaches beyond the listener's hostname \
                 \"*.example.com\"",
                "listeners[0].routes[0].hostnames[3]: \"*.com\" reaches beyond the listener's hostname \
                 \"*.example.com\"",
            ]
        );
    }

    #[test]
    fn listeners_in_conflict() {
        let listener = |name: &str, gateway: &str, rest: &str| {
            format!(r#"{{"name": "{name}", "gateway": "{gateway}", {rest}}}"#)
        };
        let pair = |first: String, second: String| in_config(&format!("{first},{second}"));
        let http = r#""port": 80, "protocol": "HTTP""#;
        assert_eq!(pair(listener("a/b/c", "a/b", http), listener("d/e/f", "d/e", http)), [""; 0]);
        assert_eq!(
            pair(listener("a/b/c", "a/b", http), listener("a/b/c", "d/e", http)),
            ["listeners[1].name: \"a/b/c\" is the name of another listener too"]
        );
        assert_eq!(
            pair(listener("a/b/c", "a/b", http), listener("a/b/d", "a/b", http)),
            ["listeners[1].hostname: \"a/b/c\" serves every host on port 80 of Gateway a/b too"]
        );
        let hostname = r#""port": 80, "protocol": "HTTP", "hostname": "*.com""#;
        assert_eq!(pair(listener("a/b/c", "a/b", http), listener("a/b/d", "a/b", hostname)), [""; 0]);
        assert_eq!(
            pair(listener("a/b/c", "a/b", hostname), listener("a/b/d", "a/b", hostname)),
            ["listeners[1].hostname: \"a/b/c\" serves \"*.com\" on port 80 of Gateway a/b too"]
        );
        let https = r#""port": 80, "protocol": "HTTPS", "hostname": "*.com""#;
        assert_eq!(
            pair(listener("a/b/c", "a/b", http), listener("a/b/d", "a/b", https)),
            ["listeners[1].protocol: port 80 of Gateway a/b has listeners of another protocol"]
        );
        assert_eq!(
            pair(listener("a/b/c", "a/b", http), listener("a/b:80", "d/e", https)),
            ["listeners[1].name: \"a/b:80\" already stands for a port of another Gateway"]
        );
    }

    #[test]
    fn a_route_stands_once_in_a_listener() {
        let route = r#"{"kind": "HTTPRoute", "namespace": "ns", "name": "n"}"#;
        assert_eq!(
            in_listener(&format!(r#", "routes": [{route}, {route}]"#)),
            ["listeners[0].routes[1].name: HTTPRoute ns/n stands twice in this listener"]
        );
    }

    #[test]
    fn backends() {
        assert_eq!(
            in_rule(
                r#""backends": [{"cluster": "a", "weight": 1000001}, {}, {"cluster": "a", "invalid": "b"},
                    {"cluster": ""}, {"cluster": "a b"}]"#
            ),
            [
                "backends[0].weight: 1000001 is too large; weights are 0 to 1000000",
                "backends[1]: has neither \"cluster\" nor \"invalid\"",
                "backends[2]: has both \"cluster\" and \"invalid\"",
                "backends[3].cluster: is empty",
                "backends[4].cluster: \"a b\" has characters other than visible ASCII",
            ]
        );
    }

    #[test]
    fn matches() {
        assert_eq!(
            in_match(
                r#""path": {"value": "foo"}, "method": "get",
                   "headers": [{"name": "a b", "value": ""}, {"name": "a", "value": "(", "type": "RegularExpression"}],
                   "queryParams": [{"name": "", "value": ""}]"#
            ),
            [
                "path.value: \"foo\" does not begin with \"/\"",
                "method: \"get\" is not one of GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH",
                "headers[0].name: \"a b\" is not a header name",
                "headers[1].value: \"(\" is not a valid regular expression: unclosed group",
                "queryParams[0].name: is empty",
            ]
        );
    }

    #[test]
    fn grpc_matches() {
        let in_grpc_route = |fields: &str| {
            in_listener(&format!(
                r#", "routes": [{{"kind": "GRPCRoute", "namespace": "ns", "name": "n", "rules": [{{"matches": [{{{fields}}}]}}]}}]"#
            ))
            .into_iter()
            .map(|fault| fault.replacen("listeners[0].routes[0].rules[0].matches[0].", "", 1))
            .collect::<Vec<_>>()
        };
        let grpc = r#""grpcMethod": {"service": "a.B", "method": "C"}"#;
        assert_eq!(in_grpc_route(""), [""; 0]);
        assert_eq!(in_grpc_route(&format!(r#"{grpc}, "headers": [{{"name": "a", "value": "b"}}]"#)), [""; 0]);
        assert_eq!(
            in_match(grpc),
            ["grpcMethod: is not for a match of HTTPRoutes, which has path, method, headers and queryParams"]
        );
        assert_eq!(
            in_grpc_route(
                r#""path": {"value": "/"}, "method": "GET", "queryParams": [{"name": "a", "value": "b"}]"#
            ),
            ["path", "method", "queryParams"].map(|field| format!(
                "{field}: is not for a match of GRPCRoutes, which has grpcMethod and headers"
            ))
        );
        assert_eq!(
            in_grpc_route(r#""grpcMethod": {"service": "a/B", "method": ""}"#),
            [
                "grpcMethod.service: \"a/B\" is not a service such as \"helloworld.Greeter\"",
                "grpcMethod.method: \"\" is not a method such as \"SayHello\"",
            ]
        );
        assert_eq!(
            in_grpc_route(r#""grpcMethod": {}"#),
            ["grpcMethod: has neither \"service\" nor \"method\""]
        );
    }

    #[test]
    fn a_match_that_does_not_count_is_checked_all_the_same() {
        assert_eq!(
            in_match(
                r#""headers": [{"name": "a", "value": ""}, {"name": "A", "value": "(", "type": "RegularExpression"}]"#
            ),
            ["headers[1].value: \"(\" is not a valid regular expression: unclosed group"]
        );
    }

    #[test]
    fn one_match_by_itself() {
        let route_match = config::RouteMatch {
            path: Some(config::PathMatch { kind: config::PathMatchType::Exact, value: "/a#".to_owned() }),
            method: Some("get".to_owned()),
            ..Default::default()
        };
        let paths: Vec<_> = check_match(&route_match).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["path.value", "method"]);
        assert_eq!(check_match(&config::RouteMatch::default()), []);
    }

    #[test]
    fn more_pairs_than_a_table_holds() {
        let route = config::Route {
            kind: config::RouteKind::HttpRoute,
            namespace: "ns".to_owned(),
            name: "n".to_owned(),
            creation_timestamp: None,
            hostnames: (0..4_000).map(|i| format!("h{i}")).collect(),
            rules: vec![config::Rule::default(); 4_000],
        };
        let listener = config::Listener {
            name: "a/b/c".to_owned(),
            gateway: "a/b".to_owned(),
            port: 80,
            protocol: Protocol::Http,
            hostname: None,
            routes: vec![route],
        };
        let problems =
            compile(&FilterConfig { listeners: vec![listener], ..FilterConfig::default() }).unwrap_err();
        let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["listeners[0].routes[0].hostnames: more than 10000000 pairs of hostname and match in all"]
        );
    }

    #[test]
    fn another_version() {
        let config = FilterConfig { version: 3, ..FilterConfig::default() };
        let shown = compile(&config).unwrap_err()[0].to_string();
        assert_eq!(shown, "version: the document is of version 3; this build reads version 1");
    }
}
