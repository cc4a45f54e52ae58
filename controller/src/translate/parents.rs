//! The parents of a route of any kind: which of them are ours, which of their listeners take the route, and the route's
//! status by each. What its rules say is not looked at.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Problems;
use super::attach;
use super::gateway::Gateway;
use super::listener::{Listener, Owner};
use super::listener_set;
use super::reference_grant::From;
use crate::api::{CONTROLLER_NAME, GROUP, GatewayDefaultScope, Hostname, ParentReference};
use crate::object::{ObjectKey, ObjectRef};
use crate::snapshot::Snapshot;
use crate::status::{Condition, Conditions, Fault, RouteParentStatus, RouteStatus};

/// What routes of every kind have.
#[derive(Clone, Copy)]
pub(super) struct Header<'r> {
    pub(super) kind: &'static str,
    pub(super) key: &'r ObjectKey,
    pub(super) metadata: &'r ObjectMeta,
    pub(super) parent_refs: &'r [ParentReference],
    pub(super) use_default_gateways: Option<GatewayDefaultScope>,
    /// None for kinds that have none.
    pub(super) hostnames: &'r [Hostname],
}

impl<'r> Header<'r> {
    /// The route, for problems.
    pub(super) fn place(&self) -> ObjectRef {
        ObjectRef::namespaced(self.kind, self.key)
    }

    /// The route as one that refers to other objects.
    pub(super) fn referrer(&self) -> From<'r> {
        From { kind: self.kind, namespace: &self.key.namespace }
    }
}

/// A parentRef that names a Gateway of ours or a ListenerSet of one, and its index.
pub(super) struct Parent<'r> {
    index: usize,
    reference: &'r ParentReference,
    /// What it names.
    named: ObjectKey,
    /// The Gateway, which is the same unless a ListenerSet is named.
    pub(super) gateway: ObjectKey,
}

/// What the rules of a route come to, for its status.
pub(super) struct Verdict<'v> {
    /// Why no listener may take it; it is attached all the same, so that its traffic does not go elsewhere.
    pub(super) refused: &'v [Fault],
    /// References that do not resolve.
    pub(super) unresolved: &'v [Fault],
    /// A further condition, where it is accepted.
    pub(super) more: Option<Condition>,
}

/// The parents that are Gateways of ours, or ListenerSets of those; others' are left alone. `None` where there is none, so that there is no
/// status that anything could stand in.
pub(super) fn of<'r>(
    route: &Header<'r>,
    snapshot: &Snapshot,
    gateways: &BTreeMap<ObjectKey, Gateway<'_>>,
    problems: &mut Problems,
) -> Option<Vec<Parent<'r>>> {
    let place = route.place();
    let mut ours = Vec::new();
    for (index, reference) in route.parent_refs.iter().enumerate() {
        let field = format!("spec.parentRefs[{index}]");
        let namespace = reference.namespace.as_deref().unwrap_or(&route.key.namespace);
        let named = ObjectKey::new(namespace, &reference.name);
        let (gateway, exists) = match (reference.group.as_str(), reference.kind.as_str()) {
            (GROUP, "Gateway") => (Some(named.clone()), snapshot.gateways.contains_key(&named)),
            (GROUP, "ListenerSet") => {
                let set = snapshot.listener_sets.get(&named);
                (set.and_then(|set| listener_set::gateway_of(&named, set)), set.is_some())
            }
            _ => {
                let message = format!(
                    "Parents of kind {:?} are not supported; attach to a Gateway or a ListenerSet.",
                    reference.kind
                );
                problems.warning(&place, &Fault::new(format!("{field}.kind"), "UnsupportedValue", message));
                continue;
            }
        };
        if let Some(gateway) = gateway.filter(|gateway| gateways.contains_key(gateway)) {
            ours.push(Parent { index, reference, named, gateway });
        } else if !exists {
            let message = format!("{} \"{named}\" does not exist.", reference.kind);
            problems.error(&place, &Fault::new(format!("{field}.name"), "NoMatchingParent", message));
        }
    }
    if route.parent_refs.is_empty() {
        let message = "The route names no parent, so it is not attached to anything.";
        problems.warning(&place, &Fault::new("spec.parentRefs", "NoMatchingParent", message));
    }
    if ours.is_empty() {
        problems.errors(&place, default_gateways(route).as_slice());
        return None;
    }
    Some(ours)
}

/// Why no rule of the route is served. "All" asks for Gateways that the route does not name; that those it names serve
/// it is not what it asks for, and half of it might be the half without protection.
pub(super) fn default_gateways(route: &Header<'_>) -> Option<Fault> {
    let wanted = route.use_default_gateways == Some(GatewayDefaultScope::All);
    wanted.then(|| {
        let message =
            "Default Gateways are not supported; name every Gateway in parentRefs, and remove this field.";
        Fault::new("spec.useDefaultGateways", "UnsupportedValue", message)
    })
}

/// Attaches a route to its parents. `attached` is told of each listener that takes it, of its Gateway, and of the
/// route's hostnames as far as the listener serves them, and says whether the listener did not have it yet.
pub(super) fn attach(
    route: &Header<'_>,
    parents: &[Parent<'_>],
    verdict: &Verdict<'_>,
    snapshot: &Snapshot,
    gateways: &mut BTreeMap<ObjectKey, Gateway<'_>>,
    problems: &mut Problems,
    attached: &mut dyn FnMut(&ObjectKey, &mut Listener<'_>, Vec<String>) -> bool,
) -> RouteStatus {
    let conditions = Conditions::of(route.metadata);
    let mut status = RouteStatus::default();
    for Parent { index, reference, named, gateway: key } in parents {
        let Some(gateway) = gateways.get_mut(key) else { continue };
        let field = format!("spec.parentRefs[{index}]");
        let owner =
            if reference.kind == "Gateway" { Owner::Gateway(named) } else { Owner::ListenerSet(named) };
        let request = attach::Request { parent: reference, field: &field, owner, route };
        let mut list = Vec::new();
        match attach::attach(&request, &gateway.listeners, snapshot) {
            Err(fault) => {
                problems.error(&route.place(), &fault);
                list.push(conditions.route_refused(&[fault]));
            }
            Ok(attachments) => {
                let names = attachments.iter().map(|it| &*gateway.listeners[it.listener].spec.name);
                list.push(if verdict.refused.is_empty() {
                    conditions.route_accepted(&names.collect::<Vec<_>>())
                } else {
                    conditions.route_refused(verdict.refused)
                });
                for attachment in attachments {
                    let listener = &mut gateway.listeners[attachment.listener];
                    if attached(key, listener, attachment.hostnames) && verdict.refused.is_empty() {
                        listener.attached += 1;
                    }
                }
            }
        }
        list.push(conditions.resolved_refs(verdict.unresolved));
        list.extend(verdict.more.clone());
        status.parents.push(RouteParentStatus {
            parent_ref: (*reference).clone(),
            controller_name: CONTROLLER_NAME,
            conditions: list,
        });
    }
    status
}
