//! One object that is translated, from the API server's JSON: cut down to what translation reads, so that nothing else
//! is kept or counts as a change, and read by the same code as a manifest.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::kinds::Watch;
use crate::api::GROUP;
use crate::fault::Fault;
use crate::source::manifest::{self, Manifest, Read};

/// What the API server holds of an object of ours besides what is translated: for writing its status.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status`, whoever wrote it.
    pub status: Value,
}

/// An object as it came: any JSON object will do, so that a faulty one does not cost the watch.
#[derive(Clone)]
pub(super) struct Document {
    metadata: ObjectMeta,
    body: Value,
}

impl Document {
    /// What is translated of it, and what is kept beside that for kinds with a status of ours.
    pub(super) fn read(self, watch: &Watch) -> (Result<Manifest, Vec<Fault>>, Option<Held>) {
        let kind = watch.kind;
        let mut body = self.body;
        let held = (kind.group == GROUP && kind.name != "ReferenceGrant").then(|| Held::take(&mut body));
        trim(kind.name, &mut body);
        if let Value::Object(members) = &mut body {
            let api_version = watch.api_resource().api_version;
            members.insert("apiVersion".to_owned(), api_version.into());
            members.insert("kind".to_owned(), kind.name.into());
        }
        let manifest = match manifest::read_served(body) {
            Read::Object(_, manifest) => manifest,
            Read::Other(api_version, kind, _) => Err(vec![Fault::new(
                "",
                "UnknownKind",
                format!("gatewasm does not read {api_version} {kind}."),
            )]),
            Read::Nothing(message) => Err(vec![Fault::new("", "Malformed", message)]),
        };
        (manifest, held)
    }
}

impl Held {
    fn take(body: &mut Value) -> Self {
        let status = body.get_mut("status").map(Value::take).unwrap_or_default();
        let text = |path: &str| body.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
            generation: body.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or_default(),
            status,
        }
    }
}

/// Leaves what translation reads. Who makes it read more adds it here.
fn trim(kind: &str, body: &mut Value) {
    match kind {
        "Service" => {
            keep(body, &["metadata", "spec"]);
            within(body, "metadata", |metadata| keep(metadata, &["name", "namespace"]));
            within(body, "spec", |spec| {
                keep(spec, &["type", "ports", "sessionAffinity"]);
                each(spec, "ports", |port| keep(port, &["name", "port", "protocol", "appProtocol"]));
            });
        }
        "EndpointSlice" => {
            keep(body, &["metadata", "addressType", "ports", "endpoints"]);
            within(body, "metadata", |metadata| {
                keep(metadata, &["name", "namespace", "labels"]);
                within(metadata, "labels", |labels| keep(labels, &["kubernetes.io/service-name"]));
            });
            each(body, "ports", |port| keep(port, &["name", "port", "protocol"]));
            each(body, "endpoints", |endpoint| {
                keep(endpoint, &["addresses", "conditions"]);
                within(endpoint, "conditions", |conditions| keep(conditions, &["ready"]));
            });
        }
        "Namespace" => {
            keep(body, &["metadata"]);
            within(body, "metadata", |metadata| keep(metadata, &["name", "labels"]));
        }
        "ConfigMap" => {
            keep(body, &["metadata", "data"]);
            within(body, "metadata", |metadata| keep(metadata, &["name", "namespace"]));
            within(body, "data", |data| keep(data, &[crate::authority::KEY]));
        }
        "Secret" => {
            keep(body, &["metadata", "type", "data"]);
            within(body, "metadata", |metadata| keep(metadata, &["name", "namespace"]));
            within(body, "data", |data| keep(data, &["tls.crt", "tls.key", "ca.crt"]));
        }
        _ => {
            keep(body, &["metadata", "spec"]);
            let members =
                ["name", "namespace", "uid", "generation", "creationTimestamp", "deletionTimestamp"];
            within(body, "metadata", |metadata| keep(metadata, &members));
        }
    }
}

fn keep(value: &mut Value, names: &[&str]) {
    if let Value::Object(members) = value {
        members.retain(|name, value| names.contains(&name.as_str()) && !value.is_null());
    }
}

fn within(value: &mut Value, name: &str, change: impl FnOnce(&mut Value)) {
    if let Some(member) = value.get_mut(name) {
        change(member);
    }
}

fn each(value: &mut Value, name: &str, change: impl Fn(&mut Value)) {
    within(value, name, |list| {
        if let Value::Array(items) = list {
            items.iter_mut().for_each(change);
        }
    });
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let body = Value::Object(Map::deserialize(deserializer)?);
        let text = |name: &str| {
            body.pointer(&format!("/metadata/{name}")).and_then(Value::as_str).map(str::to_owned)
        };
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, body })
    }
}

impl fmt::Debug for Document {
    /// Without the content, which may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

/// Makes a type with `metadata` one of which kube learns the kind when it is asked for.
macro_rules! resource_of_any_kind {
    ($name:ty) => {
        impl kube::api::Resource for $name {
            type DynamicType = kube::api::ApiResource;
            type Scope = kube::core::DynamicResourceScope;

            fn kind(api: &kube::api::ApiResource) -> std::borrow::Cow<'_, str> {
                api.kind.as_str().into()
            }

            fn group(api: &kube::api::ApiResource) -> std::borrow::Cow<'_, str> {
                api.group.as_str().into()
            }

            fn version(api: &kube::api::ApiResource) -> std::borrow::Cow<'_, str> {
                api.version.as_str().into()
            }

            fn plural(api: &kube::api::ApiResource) -> std::borrow::Cow<'_, str> {
                api.plural.as_str().into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
pub(super) use resource_of_any_kind;

resource_of_any_kind!(Document);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trimmed(kind: &str, mut body: Value) -> Value {
        trim(kind, &mut body);
        body
    }

    #[test]
    fn what_is_not_translated_is_not_kept() {
        let metadata = json!({"name": "n", "namespace": "d", "uid": "u", "resourceVersion": "1", "generation": 2,
            "labels": {"a": "b"}, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
            "managedFields": [{}]});
        let named = json!({"name": "n", "namespace": "d"});
        for (kind, body, expected) in [
            (
                "Service",
                json!({"metadata": metadata, "spec": {"clusterIP": "10.0.0.1", "type": "ClusterIP",
                    "ports": [{"port": 80, "nodePort": 30000, "targetPort": 8080}]}, "status": {}}),
                json!({"metadata": named, "spec": {"type": "ClusterIP", "ports": [{"port": 80}]}}),
            ),
            (
                "EndpointSlice",
                json!({"metadata": metadata, "addressType": "IPv4", "ports": [{"port": 80, "name": ""}],
                    "endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "n", "targetRef": {"kind": "Pod"},
                        "conditions": {"ready": true, "serving": true}}]}),
                json!({"metadata": {"name": "n", "namespace": "d", "labels": {}}, "addressType": "IPv4",
                    "ports": [{"port": 80, "name": ""}],
                    "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}]}),
            ),
            (
                "Namespace",
                json!({"metadata": metadata, "spec": {"finalizers": []}, "status": {"phase": "Active"}}),
                json!({"metadata": {"name": "n", "labels": {"a": "b"}}}),
            ),
            (
                "Secret",
                json!({"metadata": metadata, "type": "kubernetes.io/tls", "data": {"tls.crt": "", "other": ""}}),
                json!({"metadata": named, "type": "kubernetes.io/tls", "data": {"tls.crt": ""}}),
            ),
            (
                "HTTPRoute",
                json!({"metadata": metadata, "spec": {"rules": []}, "status": {}}),
                json!({"metadata": {"name": "n", "namespace": "d", "uid": "u", "generation": 2},
                    "spec": {"rules": []}}),
            ),
        ] {
            assert_eq!(trimmed(kind, body), expected, "{kind}");
        }
    }

    #[test]
    fn a_document_is_printed_without_its_content() {
        let document: Document =
            serde_json::from_value(json!({"metadata": {"name": "tls"}, "data": {"tls.key": "c2VjcmV0"}}))
                .unwrap();
        let text = format!("{document:?}");
        assert!(text.contains("tls") && !text.contains("c2VjcmV0"), "{text}");
    }
}
