//! Gateways of our classes: addresses, and whether the Gateway as a whole is accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::gateway_class::Classes;
use super::listener::{self, Listener};
use super::reference_grant::Grants;
use super::{Options, Problems};
use crate::api;
use crate::object::{ObjectKey, ObjectRef};
use crate::snapshot::Snapshot;
use crate::status::{Conditions, Fault, GatewayStatus};

/// A Gateway of ours, accepted or not.
pub(super) struct Gateway<'a> {
    object: &'a api::Gateway,
    /// What keeps the whole Gateway from being accepted.
    faults: Vec<Fault>,
    /// Addresses asked for.
    pub(super) addresses: Vec<IpAddr>,
    /// Every listener of the spec, with the routes that attach to it.
    pub(super) listeners: Vec<Listener<'a>>,
}

/// Finds our Gateways. Those of other controllers are left alone.
pub(super) fn translate<'a>(
    snapshot: &'a Snapshot,
    classes: &Classes<'_>,
    grants: &Grants<'_>,
    options: &Options,
    problems: &mut Problems,
) -> BTreeMap<ObjectKey, Gateway<'a>> {
    let mut gateways = BTreeMap::new();
    for (key, object) in &snapshot.gateways {
        let class = object.spec.gateway_class_name.as_str();
        let place = ObjectRef::namespaced("Gateway", key);
        if let Some(class_faults) = classes.get(class) {
            let gateway = translate_one(key, object, class_faults, snapshot, grants, options, problems);
            problems.errors(&place, &gateway.faults);
            gateways.insert(key.clone(), gateway);
        } else if !snapshot.gateway_classes.contains_key(class) {
            let message = format!(
                "There is no GatewayClass {class:?}, so no controller serves this Gateway; declare it with \
                 controllerName {:?}.",
                api::CONTROLLER_NAME
            );
            problems.warning(&place, &Fault::new("spec.gatewayClassName", "NoGatewayClass", message));
        }
    }
    gateways
}

fn translate_one<'a>(
    key: &ObjectKey,
    object: &'a api::Gateway,
    class_faults: &[Fault],
    snapshot: &Snapshot,
    grants: &Grants<'_>,
    options: &Options,
    problems: &mut Problems,
) -> Gateway<'a> {
    let spec = &object.spec;
    let mut faults = Vec::new();
    if let Some(fault) = class_faults.first() {
        let message = format!("GatewayClass {:?} is not accepted: {fault}", spec.gateway_class_name);
        faults.push(Fault::new("spec.gatewayClassName", "InvalidParameters", message));
    }
    if let Some(parameters) = spec.infrastructure.as_ref().and_then(|i| i.parameters_ref.as_ref()) {
        let message =
            format!("gatewasm takes no parameters, so {:?} cannot be used; remove it.", parameters.kind);
        faults.push(Fault::new("spec.infrastructure.parametersRef", "InvalidParameters", message));
    }
    let mut addresses = BTreeSet::new();
    for (i, address) in spec.addresses.iter().enumerate() {
        let field = format!("spec.addresses[{i}]");
        match (address.kind.as_str(), address.value.as_str()) {
            // An address of a type without a value leaves the choice to us.
            ("IPAddress", "") => {}
            ("IPAddress", value) => match value.parse() {
                Ok(address) => {
                    addresses.insert(address);
                }
                Err(_) => {
                    let message = format!("{value:?} is not an IP address.");
                    faults.push(Fault::new(format!("{field}.value"), "UnsupportedAddress", message));
                }
            },
            (kind, _) => {
                let message =
                    format!("Addresses of type {kind:?} are not supported; use type \"IPAddress\".");
                faults.push(Fault::new(format!("{field}.type"), "UnsupportedAddress", message));
            }
        }
    }
    warn_of_what_has_no_effect(key, object, problems);
    let listeners = listener::translate(key, object, snapshot, grants, options, problems);
    Gateway { object, faults, addresses: addresses.into_iter().collect(), listeners }
}

/// Fields whose absence does no harm, but which someone may count on.
fn warn_of_what_has_no_effect(key: &ObjectKey, object: &api::Gateway, problems: &mut Problems) {
    let mut warn = |field: &str, message: &str| {
        let place = ObjectRef::namespaced("Gateway", key);
        problems.warning(&place, &Fault::new(field, "UnsupportedValue", message));
    };
    let spec = &object.spec;
    if spec.default_scope == Some(api::GatewayDefaultScope::All) {
        warn(
            "spec.defaultScope",
            "Default Gateways are not supported; routes must name this one in parentRefs.",
        );
    }
    if spec.tls.as_ref().is_some_and(|tls| tls.backend.is_some()) {
        warn("spec.tls.backend", "TLS to backends is not supported yet, so this has no effect.");
    }
    let from = spec.allowed_listeners.as_ref().and_then(|allowed| allowed.namespaces.as_ref()?.from);
    if from.is_some_and(|from| from != api::ListenerFromNamespaces::None) {
        warn("spec.allowedListeners", "ListenerSets are not supported yet, so this has no effect.");
    }
}

impl Gateway<'_> {
    /// Whether any of it may be served.
    pub(super) fn is_accepted(&self) -> bool {
        self.faults.is_empty() && self.listeners.iter().any(Listener::is_accepted)
    }

    /// The Gateway's status, once every route is attached.
    pub(super) fn status(&self) -> GatewayStatus {
        let conditions = Conditions::of(&self.object.metadata);
        let names = |wanted: fn(&Listener<'_>) -> bool| -> Vec<&str> {
            self.listeners.iter().filter(|listener| wanted(listener)).map(|l| &*l.spec.name).collect()
        };
        let unaccepted = names(|listener| !listener.is_accepted());
        let served = names(|listener| listener.is_served().is_some());
        let accepted = self.is_accepted();
        GatewayStatus {
            conditions: vec![
                conditions.gateway_accepted(&self.faults, &unaccepted, self.listeners.len()),
                conditions.gateway_programmed(accepted, &served),
            ],
            listeners: self.listeners.iter().map(|listener| listener.status(conditions, accepted)).collect(),
            addresses: None,
        }
    }
}
