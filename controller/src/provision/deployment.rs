//! The Deployment of a data plane: how its pods are replaced. How many there are is not decided here.

use serde_json::{Value, json};

use super::names::Names;
use super::{Settings, labels, pod};
use crate::api;
use crate::object::ObjectKey;

pub(super) fn deployment(key: &ObjectKey, gateway: &api::Gateway, settings: &Settings) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": labels::metadata(key, gateway, Names::of(&key.name).base()),
        "spec": {
            // `replicas` is never applied, so that it belongs to whoever sets it: a person, or an autoscaler.
            "selector": {"matchLabels": labels::selector(key)},
            // A new pod is ready before an old one goes, one at a time.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": pod::template(key, gateway, settings),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::tests::{gateway, key};

    #[test]
    fn replicas_are_left_alone() {
        let deployment = deployment(&key(), &gateway(json!({})), &Settings::default());
        assert!(deployment["spec"].get("replicas").is_none());
    }

    /// The selector is immutable, so nothing that can change may be in it, and every pod must have it.
    #[test]
    fn the_selector_is_the_names_alone() {
        let labels = json!({"gateway.networking.k8s.io/gateway-name": "x", "team": "a"});
        let changed = gateway(json!({
            "gatewayClassName": "other",
            "infrastructure": {"labels": labels},
        }));
        let of = |gateway| deployment(&key(), gateway, &Settings::default())["spec"].take();
        let (first, second) = (of(&gateway(json!({}))), of(&changed));
        assert_eq!(first["selector"], second["selector"]);
        for (label, value) in second["selector"]["matchLabels"].as_object().unwrap() {
            assert_eq!(&second["template"]["metadata"]["labels"][label], value);
        }
    }
}
