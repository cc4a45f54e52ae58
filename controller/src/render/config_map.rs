//! The rendered folder as Kubernetes objects, ready for `kubectl apply`.

use std::collections::BTreeMap;

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
    /// configuration), `secret-certificates.yaml`.
    pub files: BTreeMap<String, String>,
    /// Objects that Kubernetes would refuse for their size.
    pub problems: Vec<Problem>,
}

/// Turns rendered files into `NAME-envoy`, `NAME-routes` and `NAME-certificates`. Mounted together by one projected
/// volume, they are the rendered folder again.
pub fn manifests(files: &BTreeMap<String, String>, at: &ObjectKey) -> anyhow::Result<Manifests> {
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
    for (kind, part, data) in [
        ("ConfigMap", "envoy", envoy),
        ("ConfigMap", "routes", routes),
        ("Secret", "certificates", certificates),
    ] {
        if data.is_empty() {
            continue;
        }
        let name = format!("{}-{part}", at.name);
        let size: usize = data.iter().map(|(name, text)| name.len() + text.len()).sum();
        if size > LIMIT {
            manifests.problems.push(too_large(kind, &ObjectKey::new(&at.namespace, &name), size));
        }
        let object = object(kind, &at.namespace, &name, &data);
        manifests.files.insert(format!("{}-{part}.yaml", kind.to_lowercase()), yaml(&object)?);
    }
    Ok(manifests)
}

fn object(kind: &str, namespace: &str, name: &str, data: &BTreeMap<&String, &String>) -> Value {
    let field = if kind == "Secret" { "stringData" } else { "data" };
    json!({
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
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
