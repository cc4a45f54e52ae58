//! The compiled config, and the decision for one request. Nothing is parsed and, but for a repeated header or an
//! encoded query parameter that a rule asks for, nothing is allocated here.

use std::fmt;

use rustc_hash::FxHashMap;

use crate::action::headers::HeaderEdits;
use crate::action::{Actions, Edits, response_headers};
use crate::backend::{Backends, Share, Target};
use crate::config::{Protocol, RouteKind};
use crate::matching::header::HeaderMatch;
use crate::matching::host::{Host, HostMap};
use crate::matching::method::Method;
use crate::matching::path::{PathIndex, PathMatch};
use crate::matching::query::QueryMatch;
use crate::precedence::{HostnameRank, Precedence};
use crate::request::Request;
use crate::timestamp::Timestamp;

/// A compiled filter config: answers for each request which rule applies and where it goes.
///
/// Its parts refer to each other by index, so that the whole can be written to bytes one day.
#[derive(Debug, Default)]
pub struct RouteTable {
    pub(crate) entries: FxHashMap<Box<[u8]>, Entry>,
    /// For each Gateway and port its listeners by hostname.
    pub(crate) ports: Vec<HostMap<usize>>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) routes: Vec<Route>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) matches: Vec<Match>,
    pub(crate) access_log: bool,
}

/// Where the requests of an Envoy filter chain enter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) port: usize,
    /// The listener of the chain, where the chain is of one listener alone (HTTPS).
    pub(crate) listener: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// By the hostnames of its routes: the matches that apply to them.
    pub(crate) hosts: HostMap<PathIndex>,
    /// Its routes one by one, to explain a decision.
    pub(crate) attached: Vec<Attached>,
}

/// A route as attached to a listener.
#[derive(Debug)]
pub(crate) struct Attached {
    /// The hostnames under which the route applies; `None` is every host.
    pub(crate) hostnames: Vec<Option<String>>,
    /// Ids of the route's matches.
    pub(crate) matches: std::ops::Range<u32>,
}

/// A route, to name it and to break ties.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) id: RouteId,
    pub(crate) created: Option<Timestamp>,
}

/// Which object a rule comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteId {
    /// Its kind.
    pub kind: RouteKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `HTTPRoute namespace/name`, ready for logs.
    pub label: String,
}

impl RouteId {
    pub(crate) fn new(kind: RouteKind, namespace: &str, name: &str) -> Self {
        let label = format!("{kind} {namespace}/{name}");
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned(), label }
    }

    /// `namespace/name`.
    pub(crate) fn key(&self) -> &str {
        self.label.split_once(' ').map_or("", |(_, key)| key)
    }
}

impl fmt::Display for RouteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) route: usize,
    /// Its place in the route.
    pub(crate) index: usize,
    pub(crate) invalid: Option<String>,
    pub(crate) actions: Option<Box<Actions>>,
    pub(crate) backends: Backends,
}

#[derive(Debug)]
pub(crate) struct Match {
    pub(crate) rule: usize,
    /// Its place in the rule.
    pub(crate) index: usize,
    pub(crate) path: PathMatch,
    pub(crate) conditions: Conditions,
}

/// What a match asks for besides the path.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) method: Option<Method>,
    pub(crate) headers: Vec<HeaderMatch>,
    pub(crate) query_params: Vec<QueryMatch>,
}

impl Conditions {
    fn hold(&self, request: &Request<'_>, query: &[u8]) -> bool {
        self.method.is_none_or(|method| method.matches(request.method))
            && self.headers.iter().all(|header| header.matches(request))
            && self.query_params.iter().all(|parameter| parameter.matches(query))
    }
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub enum Decision<'t> {
    /// It goes to an Envoy cluster.
    Forward {
        /// Name of the cluster.
        cluster: &'t str,
        /// What decided it.
        matched: Matched<'t>,
        /// What changes on the way there and back.
        edits: Edits<'t>,
    },
    /// The client is sent elsewhere.
    Redirect {
        /// Status of the answer.
        status: u16,
        /// Value of its `Location`, visible ASCII.
        location: String,
        /// What decided it.
        matched: Matched<'t>,
        /// Changes of the answer's headers.
        response_headers: HeaderEdits<'t>,
    },
    /// It is answered here.
    Respond {
        /// Status of the answer.
        status: u16,
        /// Why.
        cause: Cause,
        /// The listener that it belongs to, if any.
        listener: Option<&'t str>,
        /// The match that decided it, if any.
        matched: Option<Matched<'t>>,
        /// Changes of the answer's headers.
        response_headers: HeaderEdits<'t>,
    },
}

/// Which match decided about a request.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'t> {
    /// Name of the listener.
    pub listener: &'t str,
    /// The route.
    pub route: &'t RouteId,
    /// Index of the rule in the route.
    pub rule: usize,
    /// Index of the match in the rule; 0 for a rule that has none.
    pub match_index: usize,
}

/// Why a request is answered by the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The entry is unknown, or no listener of its port serves the host.
    NoListener,
    /// The host belongs to another listener than the one whose certificate the client was shown.
    Misdirected,
    /// No rule of the listener matches.
    NoRoute,
    /// The rule cannot be served as written.
    InvalidRule,
    /// The rule has no backend with a weight above 0.
    NoBackends,
    /// The chosen share belongs to a backend that cannot be used.
    InvalidBackend,
    /// The rule redirects, and the request has no host or path from which a location could be made.
    NoLocation,
    /// An element of the path means one thing to the rules and may mean another to the backend.
    AmbiguousPath,
}

impl Cause {
    /// The status of the answer.
    ///
    /// "404 … if no rules matching a request have been successfully attached", 500 for a rule or share without a
    /// usable backend (Gateway API `HTTPRouteRule`); 421 for a request that came in by another listener's
    /// certificate (Gateway API `ListenerTLSConfig`, RFC 9110, 15.5.20).
    pub fn status(self) -> u16 {
        match self {
            Self::NoListener | Self::NoRoute => 404,
            Self::Misdirected => 421,
            Self::NoLocation | Self::AmbiguousPath => 400,
            Self::InvalidRule | Self::NoBackends | Self::InvalidBackend => 500,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoListener => "no listener serves this host",
            Self::Misdirected => "another listener serves this host",
            Self::NoRoute => "no rule matches",
            Self::InvalidRule => "the rule is not valid",
            Self::NoBackends => "the rule has no backends",
            Self::InvalidBackend => "the backend is not valid",
            Self::NoLocation => "the request has no host or path to make a location from",
            Self::AmbiguousPath => {
                "the path has an element \".;\" or \"..;\", which a backend may take for \".\" or \"..\""
            }
        })
    }
}

impl RouteTable {
    /// Decides about a request.
    ///
    /// `entry` is the value of [`crate::wire::LISTENER`]; `random` is uniform over all of `u64` and chooses by weight.
    pub fn decide<'t>(&'t self, entry: &[u8], request: &Request<'_>, random: u64) -> Decision<'t> {
        if request.is_ambiguous() {
            return respond(Cause::AmbiguousPath, None);
        }
        let host = Host::of(request.authority);
        let listener = match self.listener(entry, &host) {
            Ok(listener) => listener,
            Err(cause) => return respond(cause, None),
        };
        let taken =
            self.find(listener, &host, request).and_then(|found| Some((found, self.rules.get(found.rule)?)));
        match taken {
            Some((found, rule)) => self.serve(listener, found, rule, rule.backends.choose(random), request),
            None => respond(Cause::NoRoute, Some(&listener.name)),
        }
    }

    /// What happens to a request that a rule takes, with this share of its backends.
    ///
    /// A redirect of the rule needs no backend, and one of a backend is for its share alone. Each is made from the
    /// request as it came, whatever the other filters would change of it.
    pub(crate) fn serve<'t>(
        &'t self,
        listener: &'t Listener,
        found: &'t Match,
        rule: &'t Rule,
        share: Option<&'t Share>,
        request: &Request<'_>,
    ) -> Decision<'t> {
        let Some(route) = self.routes.get(rule.route) else {
            return respond(Cause::NoRoute, Some(&listener.name));
        };
        let matched = Matched {
            listener: &listener.name,
            route: &route.id,
            rule: rule.index,
            match_index: found.index,
        };
        let of_rule = rule.actions.as_deref();
        let redirect_of =
            |actions: Option<&'t Actions>| actions.and_then(|actions| actions.redirect.as_ref());
        let early = redirect_of(of_rule);
        let of_share = if early.is_some() || rule.invalid.is_some() { None } else { share };
        let of_backend = of_share.and_then(|share| share.actions.as_deref());
        let target = match (of_share.map(|share| &share.target), early.or(redirect_of(of_backend))) {
            _ if rule.invalid.is_some() => Err(Cause::InvalidRule),
            (Some(Target::Invalid(_)), _) => Err(Cause::InvalidBackend),
            (_, Some(redirect)) => {
                let from = (listener.protocol, listener.port);
                match redirect.location(request, &found.path, from) {
                    Some(location) => {
                        let response_headers = response_headers(of_rule, of_backend);
                        return Decision::Redirect {
                            status: redirect.status,
                            location,
                            matched,
                            response_headers,
                        };
                    }
                    None => Err(Cause::NoLocation),
                }
            }
            (Some(Target::Cluster(cluster)), None) => Ok(cluster),
            (None, None) => Err(Cause::NoBackends),
        };
        match target {
            Ok(cluster) => {
                let edits = Edits::of(of_rule, of_backend, request, &found.path);
                Decision::Forward { cluster, matched, edits }
            }
            Err(cause) => Decision::Respond {
                status: cause.status(),
                cause,
                listener: Some(&listener.name),
                matched: Some(matched),
                response_headers: response_headers(of_rule, of_backend),
            },
        }
    }

    /// Whether listener, route and rule of each request are wanted in the access log.
    pub fn access_log(&self) -> bool {
        self.access_log
    }

    /// Number of listeners.
    pub fn listener_count(&self) -> usize {
        self.listeners.len()
    }

    /// Number of rules, those of a route counted for each listener that it is attached to.
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }

    /// The one listener that a request belongs to: among those of its port, the one with the most specific hostname.
    /// There is no way back from it: what its routes do not serve is not served (Gateway API `GatewaySpec.listeners`,
    /// listener isolation).
    ///
    /// On HTTPS the client was shown the certificate of one listener before it named the host. "If another Listener
    /// has an exact match or more specific wildcard entry, the Gateway SHOULD return a 421"; if the listener of the
    /// connection does not match, 421 if another does, else 404 (Gateway API `ListenerTLSConfig`).
    pub(crate) fn listener(&self, entry: &[u8], host: &Host) -> Result<&Listener, Cause> {
        let entry = self.entries.get(entry).ok_or(Cause::NoListener)?;
        let port = self.ports.get(entry.port).ok_or(Cause::NoListener)?;
        let best = *port.matching(host).next().ok_or(Cause::NoListener)?;
        if entry.listener.is_some_and(|own| own != best) {
            return Err(Cause::Misdirected);
        }
        self.listeners.get(best).ok_or(Cause::NoListener)
    }

    /// The match that takes the request. Hostnames come first in the precedence, then paths, and each list of the
    /// index is sorted by the rest: the first that holds is the one. Where no rule of the most specific hostname
    /// matches, those of the less specific ones may (decision record 0003).
    fn find(&self, listener: &Listener, host: &Host, request: &Request<'_>) -> Option<&Match> {
        let (path, query) = request.path_and_query();
        listener
            .hosts
            .matching(host)
            .flat_map(|paths| paths.candidates(path))
            .filter_map(|id| self.match_at(id))
            .find(|candidate| candidate.conditions.hold(request, query) && candidate.expression_holds(path))
    }

    pub(crate) fn match_at(&self, id: u32) -> Option<&Match> {
        self.matches.get(usize::try_from(id).ok()?)
    }

    /// The key of a match among those of its listener.
    pub(crate) fn precedence<'t>(&'t self, hostname: HostnameRank, of: &Match) -> Option<Precedence<'t>> {
        let rule = self.rules.get(of.rule)?;
        let route = self.routes.get(rule.route)?;
        Some(Precedence {
            hostname,
            path_type: of.path.kind(),
            path_length: of.path.length(),
            method: of.conditions.method.is_some(),
            headers: of.conditions.headers.len(),
            query_params: of.conditions.query_params.len(),
            created: route.created,
            route: route.id.key(),
            rule: rule.index,
            match_index: of.index,
        })
    }
}

impl Match {
    /// Exact paths and prefixes were compared by the index.
    fn expression_holds(&self, path: &[u8]) -> bool {
        match &self.path {
            PathMatch::Exact(_) | PathMatch::Prefix(_) => true,
            PathMatch::Expression(expression) => expression.matches(path),
        }
    }
}

/// The answer to a request that no rule takes.
fn respond(cause: Cause, listener: Option<&str>) -> Decision<'_> {
    Decision::Respond {
        status: cause.status(),
        cause,
        listener,
        matched: None,
        response_headers: HeaderEdits::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{compile, parse};

    const CONFIG: &str = r#"{"version": 1, "accessLog": true, "listeners": [
        {"name": "a/b/http", "gateway": "a/b", "port": 80, "protocol": "HTTP", "routes": [
            {"kind": "HTTPRoute", "namespace": "ns", "name": "r", "rules": [
                {"matches": [{"path": {"value": "/ok"}}], "backends": [{"cluster": "c"}]},
                {"matches": [{"path": {"value": "/invalid"}}], "invalid": "not supported", "backends": [{"cluster": "c"}]},
                {"matches": [{"path": {"value": "/none"}}]},
                {"matches": [{"path": {"value": "/gone"}}], "backends": [{"invalid": "gone"}]}]}]},
        {"name": "a/b/one", "gateway": "a/b", "port": 443, "protocol": "HTTPS", "hostname": "one.test"},
        {"name": "a/b/two", "gateway": "a/b", "port": 443, "protocol": "HTTPS", "hostname": "two.test"}]}"#;

    #[test]
    fn every_cause_has_its_status() {
        let table = compile(&parse(CONFIG.as_bytes()).unwrap()).unwrap();
        for (entry, authority, path, expected) in [
            ("unknown", "one.test", "/", (404, Cause::NoListener)),
            ("a/b/one", "three.test", "/", (404, Cause::NoListener)),
            ("a/b/one", "two.test", "/", (421, Cause::Misdirected)),
            ("a/b/one", "one.test", "/", (404, Cause::NoRoute)),
            ("a/b:80", "any.test", "/", (404, Cause::NoRoute)),
            ("a/b:80", "any.test", "/invalid", (500, Cause::InvalidRule)),
            ("a/b:80", "any.test", "/none", (500, Cause::NoBackends)),
            ("a/b:80", "any.test", "/gone", (500, Cause::InvalidBackend)),
        ] {
            let (authority, path) = (authority.as_bytes(), path.as_bytes());
            let request = Request { method: b"GET", authority, path, headers: &[] };
            match table.decide(entry.as_bytes(), &request, 0) {
                Decision::Respond { status, cause, .. } => assert_eq!((status, cause), expected),
                other => panic!("{entry}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_was_matched_is_named_for_logs() {
        let table = compile(&parse(CONFIG.as_bytes()).unwrap()).unwrap();
        let request = Request { method: b"GET", authority: b"any.test", path: b"/ok/x", headers: &[] };
        let Decision::Forward { cluster, matched, .. } = table.decide(b"a/b:80", &request, 7) else {
            panic!("not forwarded");
        };
        assert_eq!((cluster, matched.listener), ("c", "a/b/http"));
        assert_eq!(
            (matched.route.label.as_str(), matched.rule, matched.match_index),
            ("HTTPRoute ns/r", 0, 0)
        );
        assert!(table.access_log());
        assert_eq!((table.listener_count(), table.rule_count()), (3, 4));
    }
}
