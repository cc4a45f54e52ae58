//! Whose an object is: labels, annotations and owner of everything that a Gateway gets. Whether an object that is there
//! already is its own is judged where objects are applied.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::names::label_value;
use crate::api;
use crate::object::ObjectKey;

/// Label of everything that gatewasm makes.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub const GATEWASM: &str = "gatewasm";
/// Label with the Gateway's name; cut where it is longer than labels may be.
pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";
/// Label with the name of the Gateway's class.
pub const GATEWAY_CLASS_NAME: &str = "gateway.networking.k8s.io/gateway-class-name";

/// `metadata` of the object `name` of a Gateway, as it is applied. The Gateway must be from a cluster: its `uid` makes
/// it the owner.
pub fn metadata(key: &ObjectKey, gateway: &api::Gateway, name: &str) -> Value {
    let mut labels = pod_labels(key, gateway);
    labels.insert(GATEWAY_CLASS_NAME.to_owned(), label_value(&gateway.spec.gateway_class_name));
    let mut metadata = json!({
        "name": name,
        "namespace": key.namespace,
        "labels": labels,
        // Without `blockOwnerDeletion`, which may need a right on the Gateway's finalizers.
        "ownerReferences": [{
            "apiVersion": format!("{}/v1", api::GROUP),
            "kind": "Gateway",
            "name": key.name,
            "uid": gateway.metadata.uid.as_deref().unwrap_or_default(),
            "controller": true,
        }],
    });
    annotate(&mut metadata, gateway);
    metadata
}

/// `metadata` of a Gateway's pods. Without the class: a Gateway may change to another of ours, and its pods stay.
pub(super) fn pod_metadata(key: &ObjectKey, gateway: &api::Gateway) -> Value {
    let mut metadata = json!({"labels": pod_labels(key, gateway)});
    annotate(&mut metadata, gateway);
    metadata
}

/// Labels that all pods of a Gateway have, and no others in its namespace.
pub fn selector(key: &ObjectKey) -> BTreeMap<String, String> {
    let gateway = (GATEWAY_NAME.to_owned(), label_value(&key.name));
    [(MANAGED_BY.to_owned(), GATEWASM.to_owned()), gateway].into()
}

/// The Gateway's own `spec.infrastructure.labels`, below ours.
fn pod_labels(key: &ObjectKey, gateway: &api::Gateway) -> BTreeMap<String, String> {
    let mut labels =
        gateway.spec.infrastructure.as_ref().map_or_else(BTreeMap::new, |its| its.labels.clone());
    labels.extend(selector(key));
    labels.insert("app.kubernetes.io/name".to_owned(), GATEWASM.to_owned());
    labels
}

fn annotate(metadata: &mut Value, gateway: &api::Gateway) {
    if let Some(infrastructure) =
        gateway.spec.infrastructure.as_ref().filter(|its| !its.annotations.is_empty())
    {
        metadata["annotations"] = json!(infrastructure.annotations);
    }
}
