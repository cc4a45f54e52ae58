//! The Deployment of a data plane: how its pods are replaced. How many there are is not decided here.

use serde_json::{Value, json};

use super::names::Names;
use super::{Network, Settings, labels, pod};
use crate::api;
use crate::digest::digits;
use crate::object::ObjectKey;

/// Annotation of the Deployment that tells which pods it makes, apart from what the Gateway's owner says of them: it
/// changes with the release of gatewasm and with its settings alone.
pub const POD: &str = "gatewasm.dev/pod";

pub(super) fn deployment(
    key: &ObjectKey,
    gateway: &api::Gateway,
    settings: &Settings,
    agent_port: u16,
) -> Value {
    let template = pod::template(key, gateway, settings, agent_port);
    let mut metadata = labels::metadata(key, gateway, Names::of(&key.name).base());
    metadata["annotations"][POD] = json!(digits(template["spec"].to_string()));
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": {
            // `replicas` is never applied, so that it belongs to whoever sets it: a person, or an autoscaler.
            "selector": {"matchLabels": labels::selector(key)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": pace(settings.network)},
            "template": template,
        },
    })
}

/// One pod at a time. A new one is ready before an old one goes, but on the network of their nodes: there the old one has
/// the ports that the new one needs.
fn pace(network: Network) -> Value {
    match network {
        Network::Pod => json!({"maxUnavailable": 0, "maxSurge": 1}),
        Network::Host => json!({"maxUnavailable": 1, "maxSurge": 0}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::pod::AGENT_PORT;
    use crate::provision::tests::{gateway, key};

    #[test]
    fn replicas_are_left_alone() {
        let deployment = deployment(&key(), &gateway(json!({})), &Settings::default(), AGENT_PORT);
        assert!(deployment["spec"].get("replicas").is_none());
    }

    #[test]
    fn the_annotation_changes_with_the_release_and_not_with_the_gateway() {
        let annotation = |fields: Value, settings: &Settings| {
            deployment(&key(), &gateway(fields), settings, AGENT_PORT)["metadata"]["annotations"][POD].take()
        };
        let before = annotation(json!({}), &Settings::default());
        assert!(before.is_string());
        let theirs = json!({"labels": {"team": "a"}, "annotations": {"note": "b", POD: "hijacked"}});
        assert_eq!(annotation(json!({"infrastructure": theirs}), &Settings::default()), before);
        let newer = Settings { image: "gatewasm:next".to_owned(), ..Settings::default() };
        assert_ne!(annotation(json!({}), &newer), before);
    }

    /// The selector is immutable, so nothing that can change may be in it, and every pod must have it.
    #[test]
    fn the_selector_is_the_names_alone() {
        let labels = json!({"gateway.networking.k8s.io/gateway-name": "x", "team": "a"});
        let changed = gateway(json!({
            "gatewayClassName": "other",
            "infrastructure": {"labels": labels},
        }));
        let of = |gateway| deployment(&key(), gateway, &Settings::default(), AGENT_PORT)["spec"].take();
        let (first, second) = (of(&gateway(json!({}))), of(&changed));
        assert_eq!(first["selector"], second["selector"]);
        for (label, value) in second["selector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(&second["template"]["metadata"]["labels"][label], value);
        }
    }

    #[test]
    fn where_ports_are_the_nodes_own_the_old_pod_goes_first() {
        let settings = Settings { network: Network::Host, ..Settings::default() };
        let deployment = deployment(&key(), &gateway(json!({})), &settings, AGENT_PORT);
        let pace = &deployment["spec"]["strategy"]["rollingUpdate"];
        assert_eq!(*pace, json!({"maxUnavailable": 1, "maxSurge": 0}));
    }
}
