//! What differs between two snapshots, in the user's terms.

use std::collections::BTreeMap;
use std::fmt;

use crate::object::{ObjectKey, ObjectRef};
use crate::snapshot::Snapshot;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// It is new.
    Added,
    /// It is another than before.
    Changed,
    /// It is gone.
    Removed,
}

/// One difference, printed `HTTPRoute foo-ns/foo changed`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The object.
    pub object: ObjectRef,
    /// What happened to it.
    pub verb: Verb,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.verb {
            Verb::Added => "added",
            Verb::Changed => "changed",
            Verb::Removed => "removed",
        };
        write!(f, "{} {verb}", self.object)
    }
}

/// Every difference, sorted.
pub fn between(old: &Snapshot, new: &Snapshot) -> Vec<Change> {
    let cluster = |kind: &'static str| move |name: &String| ObjectRef::cluster(kind, name);
    let namespaced = |kind: &'static str| move |key: &ObjectKey| ObjectRef::namespaced(kind, key);
    let mut all = Vec::new();
    compare(&old.gateway_classes, &new.gateway_classes, cluster("GatewayClass"), &mut all);
    compare(&old.gateways, &new.gateways, namespaced("Gateway"), &mut all);
    compare(&old.listener_sets, &new.listener_sets, namespaced("ListenerSet"), &mut all);
    compare(&old.http_routes, &new.http_routes, namespaced("HTTPRoute"), &mut all);
    compare(&old.grpc_routes, &new.grpc_routes, namespaced("GRPCRoute"), &mut all);
    compare(&old.tls_routes, &new.tls_routes, namespaced("TLSRoute"), &mut all);
    compare(&old.tcp_routes, &new.tcp_routes, namespaced("TCPRoute"), &mut all);
    compare(&old.udp_routes, &new.udp_routes, namespaced("UDPRoute"), &mut all);
    compare(&old.backend_tls_policies, &new.backend_tls_policies, namespaced("BackendTLSPolicy"), &mut all);
    compare(&old.reference_grants, &new.reference_grants, namespaced("ReferenceGrant"), &mut all);
    compare(&old.services, &new.services, namespaced("Service"), &mut all);
    compare(&old.endpoint_slices, &new.endpoint_slices, namespaced("EndpointSlice"), &mut all);
    compare(&old.namespaces, &new.namespaces, cluster("Namespace"), &mut all);
    compare(&old.secrets, &new.secrets, namespaced("Secret"), &mut all);
    compare(&old.config_maps, &new.config_maps, namespaced("ConfigMap"), &mut all);
    all.sort();
    all
}

fn compare<K: Ord, V: PartialEq>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    object: impl Fn(&K) -> ObjectRef,
    all: &mut Vec<Change>,
) {
    for (key, value) in new {
        let verb = match old.get(key) {
            None => Verb::Added,
            Some(before) if before != value => Verb::Changed,
            Some(_) => continue,
        };
        all.push(Change { object: object(key), verb });
    }
    let gone = old.keys().filter(|key| !new.contains_key(key));
    all.extend(gone.map(|key| Change { object: object(key), verb: Verb::Removed }));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::Service;

    use super::*;

    #[test]
    fn added_changed_and_removed_objects_are_named() {
        let service = |name: &str| {
            let mut service = Service::default();
            service.metadata.name = Some(name.to_owned());
            Arc::new(service)
        };
        let snapshot = |names: &[(&str, &str)]| Snapshot {
            services: names.iter().map(|(key, name)| (ObjectKey::new("ns", *key), service(name))).collect(),
            ..Snapshot::default()
        };
        let old = snapshot(&[("same", "1"), ("other", "1"), ("gone", "1")]);
        let new = snapshot(&[("same", "1"), ("other", "2"), ("new", "1")]);
        let all: Vec<String> = between(&old, &new).iter().map(ToString::to_string).collect();
        assert_eq!(all, ["Service ns/gone removed", "Service ns/new added", "Service ns/other changed"]);
        assert!(between(&new, &new).is_empty());
    }
}
