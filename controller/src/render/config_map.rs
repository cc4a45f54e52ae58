//! The rendered folder as Kubernetes objects, ready for `kubectl apply`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::files::is_secret;
use super::yaml;
use crate::object::{ObjectKey, ObjectRef};
use crate::problem::{Place, Problem, Severity};

/// Kubernetes refuses a ConfigMap or Secret whose data is larger (`MaxSecretSize`, ConfigMap documentation).
const LIMIT: usize = 1024 * 1024;

/// The objects by file name, and what is wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifests {
    /// `configmap-envoy.yaml` (bootstrap, listeners, clusters, route), `configmap-routes.yaml` (the filter's
    /// configuration), `configmap-filter.yaml` (the filter itself), `secret-certificates.yaml`.
    pub files: BTreeMap<String, String>,
    /// Objects that Kubernetes would refuse for their size.
    pub problems: Vec<Problem>,
}

/// Turns rendered files and the filter (the name of its file, and its bytes) into `NAME-envoy`, `NAME-routes`,
/// `NAME-filter` and `NAME-certificates`. Mounted together by one projected volume, they are the rendered folder again.
pub fn manifests(
    files: &BTreeMap<String, String>,
    filter: (&str, &[u8]),
    at: &ObjectKey,
) -> anyhow::Result<Manifests> {
    let (mut envoy, mut routes, mut certificates) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (name, text) in files {
        match name.as_str() {
            // The filter's configuration stands in `routes.yaml` already.
            "filter.json" => continue,
            super::extension::FILE => &mut routes,
            name if is_secret(name) => &mut certificates,
            _ => &mut envoy,
        }
        .insert(name, text);
    }
    let mut manifests = Manifests::default();
    let mut add = |kind, part, field, size, data: Value| {
        let key = ObjectKey::new(&at.namespace, format!("{}-{part}", at.name));
        if size > LIMIT {
            manifests.problems.push(too_large(kind, &key, size));
        }
        let text = yaml(&object(kind, &key, field, data))?;
        manifests.files.insert(format!("{}-{part}.yaml", kind.to_lowercase()), text);
        anyhow::Ok(())
    };
    for (kind, part, field, data) in [
        ("ConfigMap", "envoy", "data", envoy),
        ("ConfigMap", "routes", "data", routes),
        ("Secret", "certificates", "stringData", certificates),
    ] {
        if !data.is_empty() {
            let size = data.iter().map(|(name, text)| name.len() + text.len()).sum();
            add(kind, part, field, size, json!(data))?;
        }
    }
    // Kubernetes counts the bytes that the text stands for.
    let (name, bytes) = filter;
    let data = json!({name: BASE64_STANDARD.encode(bytes)});
    add("ConfigMap", "filter", "binaryData", name.len() + bytes.len(), data)?;
    Ok(manifests)
}

fn object(kind: &str, key: &ObjectKey, field: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": {"app.kubernetes.io/managed-by": "gatewasm"},
        },
        field: data,
    })
}

fn too_large(kind: &str, key: &ObjectKey, size: usize) -> Problem {
    Problem {
        place: Place::Object(ObjectRef::namespaced(kind, key)),
        field: String::new(),
        severity: Severity::Error,
        reason: "TooLarge".into(),
        message: format!(
            "Its data has {size} bytes, and Kubernetes refuses more than {LIMIT}; spread the routes over several \
             Gateways, each rendered on its own."
        ),
    }
}
