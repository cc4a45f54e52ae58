//! What comes to a cluster: `manifests/install.yaml`, and the objects of a Gateway. Read, not applied.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs::read_to_string;

use expect_test::expect_file;
use gatewasm::api::{CONTROLLER_NAME, Gateway};
use gatewasm::object::ObjectKey;
use gatewasm::provision::pod::AGENT_PORT;
use gatewasm::provision::{ENVOY_IMAGE, IMAGE, Kind, Network, Settings, provision, service};
use gatewasm_tests::tools::repository;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The documents of `manifests/install.yaml`, `Kind name` to object.
fn installed() -> BTreeMap<String, Value> {
    let text = read_to_string(repository().join("manifests/install.yaml")).unwrap();
    let documents = text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap());
    documents
        .map(|object: Value| {
            let word = |value: &Value| value.as_str().unwrap().to_owned();
            (format!("{} {}", word(&object["kind"]), word(&object["metadata"]["name"])), object)
        })
        .collect()
}

fn typed<T: DeserializeOwned>(object: &Value) -> T {
    serde_json::from_value(object.clone()).unwrap()
}

/// The objects of `tests/provision/gateway.yaml`, each kind that there is.
fn provisioned() -> BTreeMap<Kind, Value> {
    provisioned_by(&Settings::default())
}

fn provisioned_by(settings: &Settings) -> BTreeMap<Kind, Value> {
    let text = read_to_string(repository().join("tests/provision/gateway.yaml")).unwrap();
    let gateway: Gateway = serde_saphyr::from_str(&text).unwrap();
    let key = ObjectKey::new("infra", "web");
    let ports = service::ports(gateway.spec.listeners.iter());
    let objects = provision(&key, &gateway, &ports, settings, Some(2), AGENT_PORT);
    objects.into_iter().filter_map(|(kind, object)| Some((kind, object?))).collect()
}

/// Whether some rule, for all names, gives this right.
fn gives(rules: &[PolicyRule], group: &str, resource: &str, verb: &str) -> bool {
    let has = |list: Option<&Vec<String>>, value: &str| list.into_iter().flatten().any(|its| its == value);
    rules.iter().any(|rule| {
        has(rule.api_groups.as_ref(), group)
            && has(rule.resources.as_ref(), resource)
            && rule.verbs.iter().any(|its| its == verb)
            && rule.resource_names.is_none()
    })
}

fn controllers_rules() -> Vec<PolicyRule> {
    typed::<ClusterRole>(&installed()["ClusterRole gatewasm-controller"]).rules.unwrap()
}

#[test]
fn a_gateway_gets_what_is_expected() {
    let updating = std::env::var_os("UPDATE_EXPECT").is_some();
    assert!(!(updating && std::env::var_os("CI").is_some()), "expected files are not written in CI");
    let text = |objects: Vec<&Value>| {
        let documents = objects.into_iter().map(|object| serde_saphyr::to_string(object).unwrap());
        documents.collect::<Vec<_>>().join("---\n")
    };
    let objects = provisioned();
    assert_eq!(objects.len(), 6);
    expect_file![repository().join("tests/provision/objects.yaml")]
        .assert_eq(&text(objects.values().collect()));

    // What is different on the network of the nodes.
    let on_nodes = provisioned_by(&Settings { network: Network::Host, ..Settings::default() });
    let gone: Vec<&Kind> = objects.keys().filter(|kind| !on_nodes.contains_key(kind)).collect();
    assert_eq!(gone, [&Kind::Service]);
    let other: Vec<&Value> = on_nodes
        .iter()
        .filter(|(kind, object)| objects[kind] != **object)
        .map(|(_, object)| object)
        .collect();
    expect_file![repository().join("tests/provision/objects-host-network.yaml")].assert_eq(&text(other));
}

/// Every field is one of Kubernetes.
#[test]
fn the_manifest_has_the_fields_of_its_kinds() {
    fn same<T: DeserializeOwned + Serialize>(object: &Value) {
        assert_eq!(serde_json::to_value(typed::<T>(object)).unwrap(), *object);
    }
    let installed = installed();
    assert_eq!(installed.len(), 9);
    for (name, object) in &installed {
        match object["kind"].as_str().unwrap() {
            "Namespace" => same::<Namespace>(object),
            "ServiceAccount" => same::<ServiceAccount>(object),
            "ClusterRole" => same::<ClusterRole>(object),
            "ClusterRoleBinding" => same::<ClusterRoleBinding>(object),
            "Role" => same::<Role>(object),
            "RoleBinding" => same::<RoleBinding>(object),
            "Deployment" => same::<Deployment>(object),
            "PodDisruptionBudget" => same::<PodDisruptionBudget>(object),
            "GatewayClass" => assert_eq!(object["spec"], json!({"controllerName": CONTROLLER_NAME})),
            kind => panic!("{name}: {kind} is not expected"),
        }
        let namespace = &object["metadata"]["namespace"];
        assert!(namespace.is_null() || namespace == "gatewasm-system", "{name}");
    }
}

#[test]
fn images_are_those_of_the_binary() {
    let installed = installed();
    let controller = &installed["Deployment gatewasm-controller"]["spec"]["template"]["spec"]["containers"];
    assert_eq!(controller[0]["image"], IMAGE);
    let standalone =
        read_to_string(repository().join("manifests/examples/standalone/deployment.yaml")).unwrap();
    assert!(standalone.contains(&format!("image: {ENVOY_IMAGE}\n")), "{ENVOY_IMAGE}");
}

#[test]
fn the_controller_is_of_the_restricted_level() {
    let installed = installed();
    let namespace = &installed["Namespace gatewasm-system"];
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let pod = &installed["Deployment gatewasm-controller"]["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    for container in pod["containers"].as_array().unwrap() {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(security["readOnlyRootFilesystem"], true);
    }
}

/// Else the API server refuses to let it create the Role.
#[test]
fn the_controller_has_what_it_grants() {
    let rules = controllers_rules();
    let granted: Role = typed(&provisioned()[&Kind::Role]);
    let mut rights = 0;
    for rule in granted.rules.unwrap() {
        for resource in rule.resources.unwrap() {
            for verb in &rule.verbs {
                assert!(gives(&rules, "", &resource, verb), "{verb} {resource}");
                rights += 1;
            }
        }
    }
    assert_eq!(rights, 5);
}

#[test]
fn the_controller_may_make_what_a_gateway_gets() {
    let rules = controllers_rules();
    let kinds: Vec<(String, String)> = provisioned()
        .values()
        .map(|object| {
            let version = object["apiVersion"].as_str().unwrap();
            let group = version.split_once('/').map_or("", |(group, _)| group);
            (group.to_owned(), format!("{}s", object["kind"].as_str().unwrap().to_lowercase()))
        })
        .chain(["configmaps", "secrets"].map(|resource| (String::new(), resource.to_owned())))
        .collect();
    assert_eq!(kinds.len(), 8);
    for (group, resource) in &kinds {
        for verb in ["get", "list", "watch", "create", "patch", "delete"] {
            assert!(gives(&rules, group, resource, verb), "{verb} {resource}");
        }
    }
}

/// No wildcard, nothing that lets it give itself more, and no write to what people wrote.
#[test]
fn the_controller_has_no_right_too_many() {
    for rule in controllers_rules() {
        let resources = rule.resources.clone().unwrap();
        let words = rule.verbs.iter().chain(&resources).chain(rule.api_groups.iter().flatten());
        for word in words {
            assert!(
                !["*", "escalate", "bind", "impersonate", "deletecollection"].contains(&word.as_str()),
                "{rule:?}"
            );
        }
        let gateway_api = rule.api_groups == Some(vec!["gateway.networking.k8s.io".to_owned()]);
        let reads = rule.verbs.iter().all(|verb| ["get", "list", "watch"].contains(&verb.as_str()));
        if gateway_api && !reads {
            assert!(resources.iter().all(|resource| resource.ends_with("/status")), "{rule:?}");
        }
    }
}
