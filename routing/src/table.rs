//! The compiled config, and the rule that takes a request. Nothing is parsed and, but for a repeated header or an
//! encoded query parameter that a rule asks for, nothing is allocated here.

use rustc_hash::FxHashMap;

use crate::action::Actions;
use crate::backend::Backends;
use crate::config::Protocol;
use crate::decision::{Cause, RouteId};
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

impl RouteTable {
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
    pub(crate) fn find<'t>(
        &'t self,
        listener: &'t Listener,
        host: &Host,
        request: &Request<'_>,
    ) -> Option<&'t Match> {
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
