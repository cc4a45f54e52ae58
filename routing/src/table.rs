//! The compiled config, and the rule that takes a request. Nothing is parsed and, but for a repeated header or an
//! encoded query parameter that a rule asks for, nothing is allocated here; the automata of expressions grow with the
//! first requests that they meet.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::action::Actions;
use crate::action::headers::HeaderEdit;
use crate::backend::Backends;
use crate::config::Protocol;
use crate::decision::{Cause, RouteId};
use crate::index::Index;
use crate::matching::grpc::GrpcMatch;
use crate::matching::header::HeaderMatch;
use crate::matching::host::{Host, HostMap, Hostname};
use crate::matching::method::Method;
use crate::matching::path::PathMatch;
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
    /// Listener by listener. Of two of the same literal path, of two with expressions, and of two of GRPCRoutes, the one
    /// that takes precedence has the lesser id, hostnames aside.
    pub(crate) matches: Vec<Match>,
    /// Hostnames of a listener that have the same routes share one.
    pub(crate) indexes: Vec<Index>,
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
    /// Changes of every answer.
    pub(crate) answers: Option<Arc<[HeaderEdit]>>,
    /// By the hostnames of its routes: the place of the index of the matches that apply to them.
    pub(crate) hosts: HostMap<u32>,
    /// Ids of its matches.
    pub(crate) matches: std::ops::Range<u32>,
}

/// A route as attached to a listener: to name it, to break ties, and to explain a decision.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) id: RouteId,
    pub(crate) created: Option<Timestamp>,
    /// The hostnames under which the route applies; `None` is every host.
    pub(crate) hostnames: Vec<Option<String>>,
}

impl Route {
    pub(crate) fn hostnames(&self) -> impl Iterator<Item = Hostname<'_>> {
        self.hostnames.iter().map(|text| text.as_deref().map_or(Hostname::Any, Hostname::of))
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
    /// Whether it is of a GRPCRoute, and applies to gRPC requests alone. Its path is then every path.
    pub(crate) is_grpc: bool,
    pub(crate) path: PathMatch,
    /// `None` without any, as most are.
    pub(crate) conditions: Option<Box<Conditions>>,
}

static NO_CONDITIONS: Conditions =
    Conditions { method: None, grpc: None, headers: Vec::new(), query_params: Vec::new() };

impl Match {
    pub(crate) fn conditions(&self) -> &Conditions {
        self.conditions.as_deref().unwrap_or(&NO_CONDITIONS)
    }

    /// The service and method that it asks for.
    pub(crate) fn grpc(&self) -> Option<&GrpcMatch> {
        self.conditions.as_deref()?.grpc.as_deref()
    }

    /// Whether the request meets what the match asks for besides the path and the call, which the index compares.
    pub(crate) fn meets(&self, request: &Request<'_>, query: &[u8]) -> bool {
        self.conditions.as_deref().is_none_or(|conditions| conditions.hold(request, query))
    }
}

/// What a match asks for besides the path.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) method: Option<Method>,
    /// Of a GRPCRoute alone.
    pub(crate) grpc: Option<Box<GrpcMatch>>,
    pub(crate) headers: Vec<HeaderMatch>,
    pub(crate) query_params: Vec<QueryMatch>,
}

impl Conditions {
    pub(crate) fn is_empty(&self) -> bool {
        self.method.is_none()
            && self.grpc.is_none()
            && self.headers.is_empty()
            && self.query_params.is_empty()
    }

    fn hold(&self, request: &Request<'_>, query: &[u8]) -> bool {
        self.method.is_none_or(|method| method.matches(request.method))
            && self.headers.iter().all(|header| header.matches(request))
            && self.query_params.iter().all(|parameter| parameter.matches(query))
    }
}

impl RouteTable {
    /// Gives back what was set aside for growth.
    pub(crate) fn shrink(&mut self) {
        self.routes.shrink_to_fit();
        self.rules.shrink_to_fit();
        self.matches.shrink_to_fit();
        self.indexes.shrink_to_fit();
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

    /// The match that takes the request. Hostnames come first in the precedence; where no rule of the most specific one
    /// matches, those of the less specific ones may (decision record 0003).
    pub(crate) fn find<'t>(
        &'t self,
        listener: &'t Listener,
        host: &Host,
        request: &Request<'_>,
    ) -> Option<&'t Match> {
        let (path, query) = request.path_and_query();
        let indexes =
            listener.hosts.matching(host).filter_map(|place| self.indexes.get(usize::try_from(*place).ok()?));
        let mut found = indexes.filter_map(|index| index.find(&self.matches, request, path, query));
        self.match_at(found.next()?)
    }

    pub(crate) fn match_at(&self, id: u32) -> Option<&Match> {
        self.matches.get(usize::try_from(id).ok()?)
    }

    pub(crate) fn route_of(&self, of: &Match) -> Option<&Route> {
        self.routes.get(self.rules.get(of.rule)?.route)
    }

    /// The key of a match among those of its listener.
    pub(crate) fn precedence<'t>(&'t self, hostname: HostnameRank, of: &Match) -> Option<Precedence<'t>> {
        let rule = self.rules.get(of.rule)?;
        let route = self.routes.get(rule.route)?;
        let (grpc, conditions) = (of.grpc(), of.conditions());
        Some(Precedence {
            hostname,
            kind: route.id.kind,
            service_length: grpc.map_or(0, GrpcMatch::service_length),
            grpc_method_length: grpc.map_or(0, GrpcMatch::method_length),
            path_type: of.path.kind(),
            path_length: of.path.length(),
            method: conditions.method.is_some(),
            headers: conditions.headers.len(),
            query_params: conditions.query_params.len(),
            created: route.created,
            route: route.id.key(),
            rule: rule.index,
            match_index: of.index,
        })
    }
}
