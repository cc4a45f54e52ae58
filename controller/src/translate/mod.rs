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
mod policy;
pub(crate) mod reference_grant;
mod route;
mod route_filter;
mod route_kind;
mod route_match;
mod session;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use gatewasm_routing::config::{self, FilterConfig, RouteKind};

use crate::model::{self, Model};
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
        routes.extend(status.map(|status| (route.key.clone(), status)));
    }
    for (key, gateway) in &gateways {
        statuses.gateways.insert(key.clone(), gateway.status());
    }
    let mut found = backends.finish(&mut problems);
    statuses.backend_tls_policies = std::mem::take(&mut found.statuses);
    let mut problems = problems.0;
    problems.sort();
    problems.dedup();
    Translation { model: assemble(gateways, found, options), statuses, problems }
}

/// The accepted Gateways with the listeners that are served.
fn assemble(gateways: BTreeMap<ObjectKey, Gateway<'_>>, found: Found, options: &Options) -> Model {
    let mut model = Model {
        gateways: BTreeMap::new(),
        clusters: found.clusters,
        policies: found.policies,
        certificates: BTreeMap::new(),
        authorities: found.authorities,
        filter_config: FilterConfig { access_log: options.access_log, ..FilterConfig::default() },
    };
    for (key, gateway) in gateways.into_iter().filter(|(_, gateway)| gateway.is_accepted()) {
        let mut listeners = BTreeMap::new();
        for listener in gateway.listeners {
            let Some(served) = listener.served() else { continue };
            model.filter_config.listeners.push(config::Listener {
                name: format!("{key}/{}", listener.spec.name),
                gateway: key.to_string(),
                port: served.port,
                protocol: served.protocol,
                hostname: served.hostname.clone(),
                routes: listener.routes,
            });
            listeners.insert(listener.spec.name.to_string(), served);
            model.certificates.extend(listener.certificates);
            model.authorities.extend(listener.authorities);
        }
        if let Some((secret, certificate)) = gateway.client_certificate {
            client_certificate::present(&mut model, &key, &secret);
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
