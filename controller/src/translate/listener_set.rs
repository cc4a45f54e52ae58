//! ListenerSets: which of them a Gateway takes, in which order, and their status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::attach;
use super::listener::{Listener, Owner};
use crate::api::{self, GROUP, ListenerFromNamespaces};
use crate::object::ObjectKey;
use crate::snapshot::Snapshot;
use crate::status::{Conditions, Fault, ListenerSetStatus};

/// A ListenerSet that names a Gateway of ours.
pub(super) struct ListenerSet<'a> {
    pub(super) key: &'a ObjectKey,
    pub(super) object: &'a api::ListenerSet,
    /// Why the Gateway does not take it.
    pub(super) refused: Option<Fault>,
}

/// The Gateway that a ListenerSet is for.
pub(super) fn gateway_of(key: &ObjectKey, set: &api::ListenerSet) -> Option<ObjectKey> {
    let parent = &set.spec.parent_ref;
    let namespace = parent.namespace.as_deref().unwrap_or(&key.namespace);
    (parent.group == GROUP && parent.kind == "Gateway").then(|| ObjectKey::new(namespace, &parent.name))
}

/// The ListenerSets that name a Gateway, in the order of precedence: "ordered by creation time (oldest first)", then
/// "alphabetically by {namespace}/{name}" (`ListenerSetSpec.listeners`).
pub(super) fn naming<'a>(
    key: &ObjectKey,
    gateway: &api::Gateway,
    snapshot: &'a Snapshot,
) -> Vec<ListenerSet<'a>> {
    let named =
        snapshot.listener_sets.iter().filter(|(set, object)| gateway_of(set, object).as_ref() == Some(key));
    let mut sets: Vec<ListenerSet<'a>> = named
        .map(|(set, object)| {
            let refused = (!allows(key, gateway, &set.namespace, snapshot)).then(|| {
                let message = format!(
                    "Gateway \"{key}\" allows no ListenerSets of namespace {:?}; see its allowedListeners.",
                    set.namespace
                );
                Fault::new("spec.parentRef", "NotAllowed", message)
            });
            ListenerSet { key: set, object, refused }
        })
        .collect();
    // A set without a time is new.
    let created = |set: &ListenerSet<'_>| -> (bool, Option<Time>) {
        let created = &set.object.metadata.creation_timestamp;
        (created.is_none(), created.clone())
    };
    sets.sort_by_cached_key(|set| (created(set), set.key.to_string()));
    sets
}

/// The ListenerSets that a Gateway takes.
pub(crate) fn of<'a>(
    key: &ObjectKey,
    gateway: &api::Gateway,
    snapshot: &'a Snapshot,
) -> Vec<(&'a ObjectKey, &'a api::ListenerSet)> {
    let taken = naming(key, gateway, snapshot).into_iter().filter(|set| set.refused.is_none());
    taken.map(|set| (set.key, set.object)).collect()
}

/// `allowedListeners.namespaces`; "the default value is to allow no ListenerSets".
fn allows(key: &ObjectKey, gateway: &api::Gateway, namespace: &str, snapshot: &Snapshot) -> bool {
    let allowed = gateway.spec.allowed_listeners.as_ref().and_then(|allowed| allowed.namespaces.as_ref());
    let Some(allowed) = allowed else { return false };
    match allowed.from {
        None | Some(ListenerFromNamespaces::None) => false,
        Some(ListenerFromNamespaces::All) => true,
        Some(ListenerFromNamespaces::Same) => key.namespace == namespace,
        Some(ListenerFromNamespaces::Selector) => allowed.selector.as_ref().is_some_and(|selector| {
            attach::selects(selector, |label| snapshot.namespace_label(namespace, label))
        }),
    }
}

impl ListenerSet<'_> {
    /// The set's status, once every route is attached, by all the Gateway's listeners.
    pub(super) fn status(
        &self,
        gateway: &ObjectKey,
        accepted: bool,
        all: &[Listener<'_>],
    ) -> ListenerSetStatus {
        let conditions = Conditions::of(&self.object.metadata);
        let not_accepted = || {
            let message = format!("Gateway \"{gateway}\" is not accepted.");
            Fault::new("spec.parentRef", "ParentNotAccepted", message)
        };
        let refused = self.refused.clone().or_else(|| (!accepted).then(not_accepted));
        let owner = Owner::ListenerSet(self.key);
        let own: Vec<&Listener<'_>> = all.iter().filter(|listener| listener.owner == owner).collect();
        let names = |wanted: bool| -> Vec<&str> {
            let own = own.iter().filter(|listener| listener.is_served().is_some() == wanted);
            own.map(|listener| &*listener.spec.name).collect()
        };
        ListenerSetStatus {
            gateway: gateway.clone(),
            is_attached: self.refused.is_none(),
            conditions: conditions.listener_set(refused.as_ref(), &names(true), &names(false)).into(),
            listeners: own.iter().map(|listener| listener.status(conditions, accepted)).collect(),
        }
    }
}
