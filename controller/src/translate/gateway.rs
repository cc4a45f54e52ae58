//! Gateways of our classes: addresses, and whether the Gateway as a whole is accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::client_certificate;
use super::client_validation;
use super::gateway_class::Classes;
use super::listener::{self, Listener, Owner};
use super::listener_set::{self, ListenerSet};
use super::reference_grant::Grants;
use super::{Options, Problems};
use crate::api;
use crate::model::Certificate;
use crate::object::{ObjectKey, ObjectRef};
use crate::snapshot::Snapshot;
use crate::status::{ACCEPTED, ConditionStatus, Conditions, Fault, GatewayStatus, ListenerSetStatus};

/// A Gateway of ours, accepted or not.
pub(super) struct Gateway<'a> {
    key: &'a ObjectKey,
    object: &'a api::Gateway,
    /// What keeps the whole Gateway from being accepted.
    faults: Vec<Fault>,
    /// Addresses asked for.
    pub(super) addresses: Vec<IpAddr>,
    /// References of its own that do not resolve.
    ref_faults: Vec<Fault>,
    /// What backends are shown.
    pub(super) client_certificate: Option<(ObjectKey, Certificate)>,
    /// Every listener of the spec, and of ListenerSets that it takes, with the routes that attach to it.
    pub(super) listeners: Vec<Listener<'a>>,
    /// Every ListenerSet that names it, in the order of precedence.
    listener_sets: Vec<ListenerSet<'a>>,
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
            problems.errors(&place, &gateway.ref_faults);
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
    for (key, set) in &snapshot.listener_sets {
        let place = ObjectRef::namespaced("ListenerSet", key);
        match listener_set::gateway_of(key, set) {
            Some(gateway) if snapshot.gateways.contains_key(&gateway) => {}
            Some(gateway) => {
                let message = format!("Gateway \"{gateway}\" does not exist.");
                problems.error(&place, &Fault::new("spec.parentRef.name", "NoMatchingParent", message));
            }
            None => {
                let kind = &set.spec.parent_ref.kind;
                let message = format!("Parents of kind {kind:?} are not supported; name a Gateway.");
                problems.warning(&place, &Fault::new("spec.parentRef.kind", "UnsupportedValue", message));
            }
        }
    }
    gateways
}

fn translate_one<'a>(
    key: &'a ObjectKey,
    object: &'a api::Gateway,
    class_faults: &[Fault],
    snapshot: &'a Snapshot,
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
    let translate = |owner, specs: &'a [api::Listener], problems: &mut Problems| {
        listener::translate(owner, specs, (key, object), snapshot, grants, options, problems)
    };
    let mut listeners = translate(Owner::Gateway(key), &object.spec.listeners, problems);
    let listener_sets = listener_set::naming(key, object, snapshot);
    for set in &listener_sets {
        match &set.refused {
            None => {
                listeners.extend(translate(Owner::ListenerSet(set.key), &set.object.spec.listeners, problems))
            }
            Some(fault) => problems.error(&ObjectRef::namespaced("ListenerSet", set.key), fault),
        }
    }
    listener::settle(&mut listeners, problems);
    let (client_certificate, ref_fault) = match client_certificate::resolve(key, object, snapshot, grants) {
        Some(Ok(certificate)) => (Some(certificate), None),
        Some(Err(fault)) => (None, Some(fault)),
        None => (None, None),
    };
    Gateway {
        key,
        object,
        faults,
        addresses: addresses.into_iter().collect(),
        ref_faults: ref_fault.into_iter().collect(),
        client_certificate,
        listeners,
        listener_sets,
    }
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
}

impl<'a> Gateway<'a> {
    /// The listeners of its own spec.
    fn own(&self) -> impl Iterator<Item = &Listener<'a>> {
        self.listeners.iter().filter(|listener| matches!(listener.owner, Owner::Gateway(_)))
    }

    /// Whether any of it may be served.
    pub(super) fn is_accepted(&self) -> bool {
        self.faults.is_empty() && self.own().any(Listener::is_accepted)
    }

    /// The status of each ListenerSet that names it, once every route is attached.
    pub(super) fn listener_sets(&self) -> impl Iterator<Item = (ObjectKey, ListenerSetStatus)> {
        let accepted = self.is_accepted();
        let status = move |set: &ListenerSet<'_>| set.status(self.key, accepted, &self.listeners);
        self.listener_sets.iter().map(move |set| (set.key.clone(), status(set)))
    }

    /// "The total number of ListenerSets that have been successfully attached" (`GatewayStatus`).
    fn count_accepted_sets(&self) -> u32 {
        let is_accepted = |status: &ListenerSetStatus| {
            status.conditions.iter().any(|it| it.kind == ACCEPTED && it.status == ConditionStatus::True)
        };
        let count = self.listener_sets().filter(|(_, status)| is_accepted(status)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// The Gateway's status, once every route is attached.
    pub(super) fn status(&self) -> GatewayStatus {
        let conditions = Conditions::of(&self.object.metadata);
        let names = |wanted: fn(&Listener<'_>) -> bool| -> Vec<&str> {
            self.own().filter(|listener| wanted(listener)).map(|l| &*l.spec.name).collect()
        };
        let unaccepted = names(|listener| !listener.is_accepted());
        let served = names(|listener| listener.is_served().is_some());
        let accepted = self.is_accepted();
        let mut list = vec![
            conditions.gateway_accepted(&self.faults, &unaccepted, self.own().count()),
            conditions.gateway_programmed(accepted, &served),
        ];
        let unresolved = names(|listener| listener.refs_resolve() == Some(false));
        let refers = self.client_certificate.is_some()
            || !self.ref_faults.is_empty()
            || self.own().any(|listener| listener.refs_resolve().is_some());
        if refers {
            list.push(conditions.gateway_resolved_refs(&self.ref_faults, &unresolved));
        }
        let insecure = client_validation::insecure(self.object);
        if !insecure.is_empty() {
            list.push(conditions.insecure_frontend_validation(&insecure));
        }
        GatewayStatus {
            conditions: list,
            listeners: self.own().map(|listener| listener.status(conditions, accepted)).collect(),
            attached_listener_sets: (!self.listener_sets.is_empty()).then(|| self.count_accepted_sets()),
            addresses: None,
        }
    }
}
