//! Which status is wanted of which object, and when it may be published: what a bundle is about, when the bundle is in
//! effect; what no data plane is about, at once.
//!
//! With thousands of routes most of what is looked at is as it was. That costs a look at the object here, and no copy.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::api::ParentReference;
use crate::cluster::status::{Existing, StatusWriter};
use crate::cluster::{Held, View};
use crate::data_plane::Judgement;
use crate::object::{ObjectKey, ObjectRef};
use crate::status::merge::{Desired, names_us};
use crate::status::{
    GatewayClassStatus, GatewayStatus, ListenerSetStatus, PolicyStatus, RouteStatus, Statuses,
};

/// The status of a route that names no Gateway of ours any more.
static NO_PARENTS: RouteStatus = RouteStatus { parents: Vec::new() };
/// The status of a policy that matters to no Gateway of ours any more.
static NO_ANCESTORS: PolicyStatus = PolicyStatus { ancestors: Vec::new() };

/// What was wanted of each object last.
#[derive(Default)]
pub(super) struct Published {
    objects: HashMap<ObjectRef, Seen>,
    /// The statuses that were looked at last, and the Gateways that were waited for then.
    last: Option<(Arc<Statuses>, BTreeSet<ObjectKey>)>,
}

/// Statuses that say what only data planes can tell.
pub(super) struct Complete {
    pub(super) gateways: BTreeMap<ObjectKey, GatewayStatus>,
    pub(super) listener_sets: BTreeMap<ObjectKey, ListenerSetStatus>,
}

/// One object.
struct Seen {
    /// As the watch showed it when it was looked at last.
    held: Arc<Held>,
    /// What was wanted of it last, and as what the watch showed it then.
    wanted: Option<(Desired, Arc<Held>)>,
}

/// A status that is wanted.
enum Wish<'a> {
    GatewayClass(&'a GatewayClassStatus),
    Gateway(&'a GatewayStatus),
    ListenerSet(&'a ListenerSetStatus),
    Route(&'a RouteStatus),
    Policy(&'a PolicyStatus),
}

impl Published {
    /// Hands the statuses that may be published to `writer`; of Gateways and ListenerSets those in `complete`.
    pub(super) fn publish(
        &mut self,
        statuses: &Arc<Statuses>,
        complete: &Complete,
        judgements: &BTreeMap<ObjectKey, Judgement>,
        view: &View,
        writer: &StatusWriter,
    ) {
        let waited_for: BTreeSet<ObjectKey> =
            judgements.iter().filter(|(_, it)| !it.publish).map(|(key, _)| key.clone()).collect();
        let is_new = self
            .last
            .as_ref()
            .is_none_or(|(last, waited)| !Arc::ptr_eq(last, statuses) || *waited != waited_for);
        for (object, held) in view.held.iter() {
            let seen = self.objects.get(object);
            let is_seen = seen.is_some_and(|seen| Arc::ptr_eq(&seen.held, held));
            // What a Gateway's status says does not depend on the statuses alone.
            if is_seen && !is_new && !matches!(object.kind.as_str(), "Gateway" | "ListenerSet") {
                continue;
            }
            let wish = wish(object, held, statuses, complete, &waited_for);
            let wish = wish.filter(|wish| {
                let last = seen.and_then(|seen| seen.wanted.as_ref());
                !last.is_some_and(|(last, of)| Arc::ptr_eq(of, held) && wish.is(last))
            });
            if is_seen && wish.is_none() {
                continue;
            }
            let wanted = wish.map(|wish| wish.desired());
            if let Some(desired) = wanted.clone() {
                writer.want(object, existing(held), desired);
            }
            let wanted = wanted.map(|desired| (desired, Arc::clone(held)));
            let before = self.objects.remove(object).and_then(|seen| seen.wanted);
            self.objects.insert(object.clone(), Seen { held: Arc::clone(held), wanted: wanted.or(before) });
        }
        if self.objects.len() > view.held.len() {
            self.objects.retain(|object, _| {
                let stays = view.held.contains_key(object);
                if !stays {
                    writer.forget(object);
                }
                stays
            });
        }
        self.last = Some((Arc::clone(statuses), waited_for));
    }
}

/// What is wanted of an object, if it may be published.
fn wish<'a>(
    object: &ObjectRef,
    held: &Held,
    statuses: &'a Statuses,
    complete: &'a Complete,
    waited_for: &BTreeSet<ObjectKey>,
) -> Option<Wish<'a>> {
    let key = ObjectKey::new(object.namespace.clone().unwrap_or_default(), &object.name);
    let waits = |parent: &ParentReference| {
        let named = ObjectKey::new(parent.namespace.as_ref().unwrap_or(&key.namespace), &parent.name);
        let set = statuses.listener_sets.get(&named).filter(|_| parent.kind == "ListenerSet");
        waited_for.contains(set.map_or(&named, |set| &set.gateway))
    };
    let routes = match object.kind.as_str() {
        "GatewayClass" => return statuses.gateway_classes.get(&object.name).map(Wish::GatewayClass),
        "Gateway" if waited_for.contains(&key) => return None,
        "Gateway" => return complete.gateways.get(&key).map(Wish::Gateway),
        "ListenerSet" => {
            let status = complete.listener_sets.get(&key)?;
            return (!waited_for.contains(&status.gateway)).then_some(Wish::ListenerSet(status));
        }
        "BackendTLSPolicy" => {
            let Some(status) = statuses.backend_tls_policies.get(&key) else {
                return names_us(&held.status).then_some(Wish::Policy(&NO_ANCESTORS));
            };
            let waits = status.ancestors.iter().any(|ancestor| waits(&ancestor.ancestor_ref));
            return (!waits).then_some(Wish::Policy(status));
        }
        kind => statuses.routes_of(kind)?,
    };
    let Some(status) = routes.get(&key) else {
        return names_us(&held.status).then_some(Wish::Route(&NO_PARENTS));
    };
    let waits = !waited_for.is_empty() && status.parents.iter().any(|parent| waits(&parent.parent_ref));
    (!waits).then_some(Wish::Route(status))
}

fn existing(held: &Held) -> Existing {
    Existing {
        uid: held.uid.clone(),
        resource_version: held.resource_version.clone(),
        generation: held.generation,
        status: Arc::new(held.status.clone()),
    }
}

impl Wish<'_> {
    fn is(&self, desired: &Desired) -> bool {
        match (self, desired) {
            (Self::GatewayClass(wish), Desired::GatewayClass(desired)) => *wish == desired,
            (Self::Gateway(wish), Desired::Gateway(desired)) => *wish == desired,
            (Self::ListenerSet(wish), Desired::ListenerSet(desired)) => *wish == desired,
            (Self::Route(wish), Desired::Route(desired)) => *wish == desired,
            (Self::Policy(wish), Desired::Policy(desired)) => *wish == desired,
            _ => false,
        }
    }

    fn desired(self) -> Desired {
        match self {
            Self::GatewayClass(status) => Desired::GatewayClass(status.clone()),
            Self::Gateway(status) => Desired::Gateway(status.clone()),
            Self::ListenerSet(status) => Desired::ListenerSet(status.clone()),
            Self::Route(status) => Desired::Route(status.clone()),
            Self::Policy(status) => Desired::Policy(status.clone()),
        }
    }
}
