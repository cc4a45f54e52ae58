//! Gateway API objects into the [`Model`]: which listeners are served, which routes are attached to them, where the
//! requests go; and the status that says so.
//!
//! Pure and total: the same objects in any order give the same bytes, and a broken object is a normal input that
//! becomes a condition, a 500 for the requests it is about, and nothing for its neighbours.

mod attach;
pub(crate) mod authorities;
mod backend;
mod backend_flag;
mod backend_tls;
mod certificate;
mod client_certificate;
mod client_validation;
mod gateway;
mod gateway_class;
mod grpc_match;
mod hostname;
mod listener;
pub(crate) mod listener_set;
mod parents;
mod policy;
pub(crate) mod reference_grant;
mod route;
mod route_filter;
mod route_kind;
mod route_match;
mod session;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use gatewasm_routing::config::{self, RouteKind};

use crate::http3;
use crate::model::{self, Model, Protocol};
use crate::object::{ObjectKey, ObjectRef};
use crate::problem::{Problem, Severity};
use crate::snapshot::Snapshot;
use crate::status::{Fault, Statuses};
use backend::{Backends, Found};
use gateway::Gateway;
use reference_grant::Grants;
use route_kind::Route;

pub use backend_flag::BackendOverride;
pub(crate) use route_kind::failure;
pub use session::seal_sessions;

/// What a translation depends on besides the objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Endpoints of Services, named by hand.
    pub backends: Vec<BackendOverride>,
    /// Whether everything runs on this machine: endpoints may then be loopback addresses, and messages name
    /// `--backend`.
    pub local: bool,
    /// Whether the filter hands listener, route and rule to Envoy's access log.
    pub access_log: bool,
    /// The key by which sessions are sealed, where any rule has `sessionPersistence`.
    pub session_key: Option<String>,
    /// Ports of the data plane's own, which no listener can have.
    pub reserved_ports: Option<RangeInclusive<u16>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// What the data plane must do.
    pub model: Model,
    /// What the objects' status must say.
    pub statuses: Statuses,
    /// Everything that is wrong with the objects, sorted.
    pub problems: Vec<Problem>,
}

/// Collects problems.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn error(&mut self, object: &ObjectRef, fault: &Fault) {
        self.0.push(fault.problem(object, Severity::Error));
    }

    fn errors(&mut self, object: &ObjectRef, faults: &[Fault]) {
        self.0.extend(faults.iter().map(|fault| fault.problem(object, Severity::Error)));
    }

    fn warning(&mut self, object: &ObjectRef, fault: &Fault) {
        self.0.push(fault.problem(object, Severity::Warning));
    }
}

/// Translates every object of ours.
pub fn translate(snapshot: &Snapshot, options: &Options) -> Translation {
    let mut problems = Problems::default();
    let mut statuses = Statuses::default();
    let grants = Grants::new(snapshot);
    let mut backends = Backends::new(snapshot, options, &grants);

    let classes = gateway_class::translate(snapshot, &mut statuses, &mut problems);
    let mut gateways = gateway::translate(snapshot, &classes, &grants, options, &mut problems);
    let http_routes = snapshot.http_routes.iter().map(|(key, route)| Route::http(key, route));
    let grpc_routes = snapshot.grpc_routes.iter().map(|(key, route)| Route::grpc(key, route));
    for route in http_routes.chain(grpc_routes) {
        let status = route::translate(&route, snapshot, &mut gateways, &mut backends, &mut problems);
        let routes = match route.kind {
            RouteKind::HttpRoute => &mut statuses.http_routes,
            RouteKind::GrpcRoute => &mut statuses.grpc_routes,
        };
        routes.extend(status.map(|status| (route.header.key.clone(), status)));
    }
    let tls_routes = snapshot.tls_routes.iter().map(|(key, route)| stream::Route::tls(key, route));
    let tcp_routes = snapshot.tcp_routes.iter().map(|(key, route)| stream::Route::tcp(key, route));
    let udp_routes = snapshot.udp_routes.iter().map(|(key, route)| stream::Route::udp(key, route));
    let mut splits = BTreeMap::new();
    let routes = [
        (&mut statuses.tls_routes, tls_routes.collect::<Vec<_>>()),
        (&mut statuses.tcp_routes, tcp_routes.collect()),
        (&mut statuses.udp_routes, udp_routes.collect()),
    ];
    for (statuses, routes) in routes {
        for route in routes {
            let status =
                stream::translate(&route, snapshot, &mut gateways, &mut backends, &mut splits, &mut problems);
            statuses.extend(status.map(|status| (route.header.key.clone(), status)));
        }
    }
    for (key, gateway) in &gateways {
        statuses.gateways.insert(key.clone(), gateway.status());
        statuses.listener_sets.extend(gateway.listener_sets());
    }
    let mut found = backends.finish(&mut problems);
    statuses.backend_tls_policies = std::mem::take(&mut found.statuses);
    let Found { clusters, policies, authorities, .. } = found;
    let model = Model { clusters, splits, policies, authorities, ..Model::default() };
    let model = assemble(gateways, model, options, &mut problems);
    let mut problems = problems.0;
    problems.sort();
    problems.dedup();
    Translation { model, statuses, problems }
}

/// A model of what routes send to gets the accepted Gateways with the listeners that are served.
fn assemble(
    gateways: BTreeMap<ObjectKey, Gateway<'_>>,
    mut model: Model,
    options: &Options,
    problems: &mut Problems,
) -> Model {
    model.filter_config.access_log = options.access_log;
    for (key, gateway) in gateways.into_iter().filter(|(_, gateway)| gateway.is_accepted()) {
        let all = &gateway.listeners;
        let forwards: Vec<_> = all
            .iter()
            .map(|listener| stream::forwards(listener, all, &key, &mut model.overruled, problems))
            .collect();
        let https = all.iter().filter(|listener| listener.is_served() == Some(Protocol::Https));
        let https: BTreeSet<u16> = https.map(|listener| listener.spec.port.get()).collect();
        let mut listeners = BTreeMap::new();
        for (listener, forwards) in gateway.listeners.into_iter().zip(forwards) {
            let Some(served) = listener.served(forwards) else { continue };
            let section = listener.section();
            let protocol = match served.protocol {
                // No request comes in by it, but one that comes in by HTTPS for its host is misdirected (421).
                Protocol::Tls if https.contains(&served.port) => Some(config::Protocol::Https),
                protocol => protocol.http(),
            };
            if let Some(protocol) = protocol {
                model.filter_config.listeners.push(config::Listener {
                    name: format!("{key}/{section}"),
                    gateway: key.to_string(),
                    port: served.port,
                    protocol,
                    hostname: served.hostname.clone(),
                    alt_svc: served.http3.then(|| http3::alt_svc(served.port)),
                    routes: listener.routes,
                });
            }
            listeners.insert(section, served);
            model.certificates.extend(listener.certificates);
            model.authorities.extend(listener.authorities);
        }
        if let Some((secret, certificate)) = gateway.client_certificate {
            client_certificate::present(&mut model, &key, &secret, listeners.values_mut());
            model.certificates.insert(secret, certificate);
        }
        model.gateways.insert(key, model::Gateway { addresses: gateway.addresses, listeners });
    }
    model.filter_config.listeners.sort_by(|a, b| a.name.cmp(&b.name));
    seal_sessions(&mut model.filter_config, options.session_key.as_deref());
    model.retain_used();
    model
}

#[cfg(test)]
mod tests;
