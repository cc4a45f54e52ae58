//! Which status is wanted of which object, and when it may be published: what a bundle is about, when the bundle is in
//! effect; what no data plane is about, at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::api::ParentReference;
use crate::cluster::status::{Existing, StatusWriter};
use crate::cluster::{Held, View};
use crate::data_plane::Judgement;
use crate::object::{ObjectKey, ObjectRef};
use crate::status::merge::{Desired, names_us};
use crate::status::{RouteStatus, Statuses};

/// What was wanted of each object last.
#[derive(Default)]
pub(super) struct Published(HashMap<ObjectRef, (Desired, Arc<Held>)>);

impl Published {
    /// Hands the statuses that may be published to `writer`.
    pub(super) fn publish(
        &mut self,
        statuses: &Statuses,
        judgements: &BTreeMap<ObjectKey, Judgement>,
        view: &View,
        writer: &StatusWriter,
    ) {
        self.0.retain(|object, _| {
            let stays = view.held.contains_key(object);
            if !stays {
                writer.forget(object);
            }
            stays
        });
        let may = |gateway: &ObjectKey| judgements.get(gateway).is_none_or(|judgement| judgement.publish);
        for (name, status) in &statuses.gateway_classes {
            let object = ObjectRef::cluster("GatewayClass", name);
            self.want(object, Desired::GatewayClass(status.clone()), view, writer);
        }
        for (key, status) in statuses.gateways.iter().filter(|(key, _)| may(key)) {
            let object = ObjectRef::namespaced("Gateway", key);
            self.want(object, Desired::Gateway(status.clone()), view, writer);
        }
        for (kind, routes) in [("HTTPRoute", &statuses.http_routes), ("GRPCRoute", &statuses.grpc_routes)] {
            for (key, status) in routes {
                let parents = status.parents.iter().map(|parent| gateway(&parent.parent_ref, key));
                if parents.into_iter().all(|parent| may(&parent)) {
                    let object = ObjectRef::namespaced(kind, key);
                    self.want(object, Desired::Route(status.clone()), view, writer);
                }
            }
            // Routes that name no Gateway of ours any more.
            for (object, held) in view.held.iter().filter(|(object, _)| object.kind == kind) {
                let key = ObjectKey::new(object.namespace.clone().unwrap_or_default(), &object.name);
                if !routes.contains_key(&key) && names_us(&held.status) {
                    self.want(object.clone(), Desired::Route(RouteStatus::default()), view, writer);
                }
            }
        }
    }

    fn want(&mut self, object: ObjectRef, desired: Desired, view: &View, writer: &StatusWriter) {
        let Some(held) = view.held.get(&object) else { return };
        if self.0.get(&object).is_some_and(|(last, of)| Arc::ptr_eq(of, held) && *last == desired) {
            return;
        }
        let existing = Existing {
            uid: held.uid.clone(),
            resource_version: held.resource_version.clone(),
            generation: held.generation,
            status: Arc::new(held.status.clone()),
        };
        writer.want(&object, existing, desired.clone());
        self.0.insert(object, (desired, Arc::clone(held)));
    }
}

/// The Gateway that a parentRef of the route `key` names.
fn gateway(parent: &ParentReference, key: &ObjectKey) -> ObjectKey {
    ObjectKey::new(parent.namespace.as_ref().unwrap_or(&key.namespace), &parent.name)
}
