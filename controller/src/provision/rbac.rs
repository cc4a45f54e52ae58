//! What a data plane may ask the API server: to read the parts of its own bundle by name, and to follow the manifest.
//! RBAC knows no selectors, so the names stand here from the start.

use serde_json::{Value, json};

use super::labels;
use super::names::Names;
use crate::api;
use crate::object::ObjectKey;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn service_account(key: &ObjectKey, gateway: &api::Gateway) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": labels::metadata(key, gateway, Names::of(&key.name).base()),
        // Whoever else runs under it gets no token unasked.
        "automountServiceAccountToken": false,
    })
}

pub(super) fn role(key: &ObjectKey, gateway: &api::Gateway) -> Value {
    let names = Names::of(&key.name);
    let rule = |resource: &str, names: Vec<String>, verbs: &[&str]| json!({"apiGroups": [""], "resources": [resource], "resourceNames": names, "verbs": verbs});
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "Role",
        "metadata": labels::metadata(key, gateway, names.base()),
        "rules": [
            rule("configmaps", vec![names.manifest()], &["get", "list", "watch"]),
            rule("configmaps", names.config_maps(), &["get"]),
            rule("secrets", names.secrets(), &["get"]),
        ],
    })
}

pub(super) fn role_binding(key: &ObjectKey, gateway: &api::Gateway) -> Value {
    let names = Names::of(&key.name);
    json!({
        "apiVersion": format!("{GROUP}/v1"),
        "kind": "RoleBinding",
        "metadata": labels::metadata(key, gateway, names.base()),
        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": names.base()},
        "subjects": [{"kind": "ServiceAccount", "name": names.base(), "namespace": key.namespace}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::tests::{gateway, key};

    /// A rule without names would open every object of the namespace.
    #[test]
    fn every_right_is_for_names_of_this_gateway_alone() {
        let role = role(&key(), &gateway(json!({})));
        for rule in role["rules"].as_array().unwrap() {
            let names = rule["resourceNames"].as_array().unwrap();
            assert!(!names.is_empty());
            for name in names {
                assert!(name.as_str().unwrap().starts_with("gatewasm-web-"), "{name}");
            }
            let verbs = rule["verbs"].as_array().unwrap();
            assert!(verbs.iter().all(|verb| ["get", "list", "watch"].contains(&verb.as_str().unwrap())));
        }
        let secrets = &role["rules"][2];
        assert_eq!((&secrets["resources"], &secrets["verbs"]), (&json!(["secrets"]), &json!(["get"])));
    }
}
