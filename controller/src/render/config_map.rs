//! The rendered folder as Kubernetes objects, ready for `kubectl apply`.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::files::is_secret;
use super::yaml;
use crate::fault::Fault;
use crate::object::{ObjectKey, ObjectRef};
use crate::problem::{Problem, Severity};

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
    let message = format!(
        "Its data has {size} bytes, and Kubernetes refuses more than {LIMIT}; spread the routes over several \
         Gateways, each rendered on its own."
    );
    Fault::new("", "TooLarge", message).problem(&ObjectRef::namespaced(kind, key), Severity::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(routes: &str) -> Manifests {
        let files = [
            ("bootstrap.yaml", "b"),
            ("filter.json", "{}"),
            ("lds.yaml", "l"),
            ("routes.yaml", routes),
            ("sds.infra.web.yaml", "key"),
        ];
        let files = files.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        manifests(&files, ("gatewasm.wasm", b"wasm"), &ObjectKey::new("infra", "web")).unwrap()
    }

    #[test]
    fn the_folder_is_divided_and_keys_go_into_a_secret() {
        let manifests = rendered("one\ntwo\n");
        assert!(manifests.problems.is_empty());
        let object = |file: &str| -> Value { serde_saphyr::from_str(&manifests.files[file]).unwrap() };
        assert_eq!(object("configmap-envoy.yaml")["data"], json!({"bootstrap.yaml": "b", "lds.yaml": "l"}));
        let routes = object("configmap-routes.yaml");
        assert_eq!(routes["data"], json!({"routes.yaml": "one\ntwo\n"}));
        assert_eq!(routes["metadata"]["name"], "web-routes");
        let secret = object("secret-certificates.yaml");
        assert_eq!((&secret["kind"], &secret["metadata"]["namespace"]), (&json!("Secret"), &json!("infra")));
        assert_eq!(secret["stringData"], json!({"sds.infra.web.yaml": "key"}));
        assert_eq!(object("configmap-filter.yaml")["binaryData"], json!({"gatewasm.wasm": "d2FzbQ=="}));
        assert_eq!(manifests.files.len(), 4);
    }

    #[test]
    fn what_kubernetes_would_refuse_for_its_size_is_a_problem() {
        let most = LIMIT - "routes.yaml".len();
        assert!(rendered(&"x".repeat(most)).problems.is_empty());
        let problems = rendered(&"x".repeat(most + 1)).problems;
        assert_eq!(problems[0].place.to_string(), "ConfigMap infra/web-routes");
        assert!(problems[0].message.contains("1048577 bytes"), "{problems:?}");
    }
}
