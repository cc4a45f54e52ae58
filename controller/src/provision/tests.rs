//! What holds for all objects of a data plane together.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::*;
use crate::envoy::{MINIMUM_VERSION, Version};

/// Of the Gateways here.
pub(super) fn key() -> ObjectKey {
    ObjectKey::new("infra", "web")
}

/// A Gateway with these fields of its spec besides those that every one has.
pub(super) fn gateway(fields: Value) -> api::Gateway {
    let mut spec = json!({
        "gatewayClassName": "gatewasm",
        "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}],
    });
    for (field, value) in fields.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let metadata = json!({"namespace": "infra", "name": "web", "uid": "5f3c", "generation": 4});
    serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
}

/// With every object that there can be.
fn objects(gateway: &api::Gateway) -> BTreeMap<Kind, Value> {
    let ports = service::ports(gateway.spec.listeners.iter());
    let objects = provision(&key(), gateway, &ports, &Settings::default(), Some(3), pod::AGENT_PORT);
    objects.into_iter().map(|(kind, object)| (kind, object.unwrap())).collect()
}

fn round_trip<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    let typed: T = serde_json::from_value(object.clone()).unwrap();
    serde_json::to_value(typed).unwrap()
}

/// Every field is one of Kubernetes, and none is sent that means nothing: what is applied is owned.
#[test]
fn objects_have_the_fields_of_their_kinds_and_no_others() {
    let infrastructure = json!({"labels": {"team": "a"}, "annotations": {"note": "b"}});
    let addresses = json!([{"value": "192.0.2.1"}]);
    let objects = objects(&gateway(json!({"infrastructure": infrastructure, "addresses": addresses})));
    assert_eq!(objects.len(), 6);
    for (kind, object) in objects {
        let known = match kind {
            Kind::ServiceAccount => round_trip::<ServiceAccount>(&object),
            Kind::Role => round_trip::<Role>(&object),
            Kind::RoleBinding => round_trip::<RoleBinding>(&object),
            Kind::Service => round_trip::<Service>(&object),
            Kind::Deployment => round_trip::<Deployment>(&object),
            Kind::PodDisruptionBudget => round_trip::<PodDisruptionBudget>(&object),
        };
        assert_eq!(object, known);
        assert_eq!(object["kind"], format!("{kind:?}"));
        assert!(!object.to_string().contains("null"), "{object}");
    }
}

/// What Envoy serves comes by the bundle: it never replaces a pod.
#[test]
fn the_pod_template_knows_nothing_of_what_is_served() {
    let deployment = |gateway: &api::Gateway, replicas| {
        let ports = service::ports(gateway.spec.listeners.iter());
        provision(&key(), gateway, &ports, &Settings::default(), replicas, pod::AGENT_PORT)[&Kind::Deployment]
            .clone()
            .unwrap()
    };
    let template = |deployment: &Value| deployment["spec"]["template"].clone();
    let first = template(&deployment(&gateway(json!({})), None));
    let listener = |n: u16| {
        let protocol = ["HTTP", "HTTPS", "TLS", "TCP"][usize::from(n % 4)];
        let from = ["All", "Same"][usize::from(n % 2)];
        let mut listener = json!({
            "name": format!("l-{n}"),
            "port": 1 + (n.wrapping_mul(7919) % 65535),
            "protocol": protocol,
            "allowedRoutes": {"namespaces": {"from": from}},
        });
        if n.is_multiple_of(3) {
            listener["hostname"] = json!(format!("h{n}.example.com"));
        }
        if n % 4 == 1 {
            let secret = json!({"name": format!("certificate-{n}")});
            listener["tls"] = json!({"mode": "Terminate", "certificateRefs": [secret]});
        }
        listener
    };
    for many in 1..=64 {
        let listeners: Vec<Value> = (0..many).map(|n| listener(n * many)).collect();
        let mut changed = gateway(json!({
            "gatewayClassName": format!("class-{many}"),
            "listeners": listeners,
            "addresses": [{"value": format!("192.0.2.{many}")}],
            "allowedListeners": {"namespaces": {"from": "All"}},
        }));
        changed.metadata.generation = Some(i64::from(many));
        assert_eq!(template(&deployment(&changed, Some(many.into()))), first, "{many} listeners");
    }
    // What it does know of, so that this would find a difference.
    let labelled = gateway(json!({"infrastructure": {"labels": {"team": "a"}}}));
    assert_ne!(template(&deployment(&labelled, None)), first);
}

/// `GatewayInfrastructure.labels`, `annotations`: on every object that is made for the Gateway. Ours cannot be replaced.
#[test]
fn infrastructure_is_on_every_object_and_below_ours() {
    let ours = [
        (labels::MANAGED_BY, "gatewasm"),
        (labels::GATEWAY_NAME, "web"),
        (labels::GATEWAY_CLASS_NAME, "gatewasm"),
        ("app.kubernetes.io/name", "gatewasm"),
    ];
    let mut theirs: BTreeMap<&str, &str> = ours.iter().map(|(label, _)| (*label, "hijacked")).collect();
    theirs.insert("team", "a");
    let infrastructure = json!({"labels": theirs, "annotations": {"example.com/note": "b"}});
    let objects = objects(&gateway(json!({"infrastructure": infrastructure})));
    let template = objects[&Kind::Deployment]["spec"]["template"]["metadata"].clone();
    for metadata in objects.values().map(|object| &object["metadata"]) {
        for (label, value) in ours {
            assert_eq!(metadata["labels"][label], value);
        }
        assert_eq!(metadata["name"], "gatewasm-web");
        assert_eq!(metadata["ownerReferences"][0]["uid"], "5f3c");
    }
    for metadata in objects.values().map(|object| &object["metadata"]).chain([&template]) {
        assert_eq!(metadata["labels"]["team"], "a");
        assert_eq!(metadata["annotations"]["example.com/note"], "b");
    }
    for (label, value) in ours.iter().filter(|(label, _)| *label != labels::GATEWAY_CLASS_NAME) {
        assert_eq!(template["labels"][*label], *value);
    }
}

#[test]
fn what_must_not_be_there_is_named() {
    let settings = Settings { source: Source::Mount, ..Settings::default() };
    let objects =
        provision(&key(), &gateway(json!({})), &BTreeSet::new(), &settings, Some(1), pod::AGENT_PORT);
    let absent: Vec<Kind> =
        objects.iter().filter(|(_, object)| object.is_none()).map(|(kind, _)| *kind).collect();
    assert_eq!(absent, [Kind::Role, Kind::RoleBinding, Kind::Service, Kind::PodDisruptionBudget]);
}

#[test]
fn the_envoy_of_the_image_is_one_that_we_run() {
    let (_, version) = ENVOY_IMAGE.rsplit_once("-v").unwrap();
    assert!(Version::of_answer(version).unwrap() >= MINIMUM_VERSION);
}
