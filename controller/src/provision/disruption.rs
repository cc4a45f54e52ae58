//! How many pods of a data plane may be taken away at once when nodes are emptied.

use serde_json::{Value, json};

use super::labels;
use super::names::Names;
use crate::api;
use crate::object::ObjectKey;

/// None for a single pod, which must be allowed to move.
pub(super) fn budget(key: &ObjectKey, gateway: &api::Gateway, replicas: Option<i32>) -> Option<Value> {
    if replicas.unwrap_or(1) <= 1 {
        return None;
    }
    Some(json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": labels::metadata(key, gateway, Names::of(&key.name).base()),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": labels::selector(key)},
            // A pod that is not ready serves nobody, and must not keep a node from being emptied.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provision::tests::{gateway, key};

    #[test]
    fn several_pods_have_a_budget() {
        for (replicas, expected) in [(None, false), (Some(0), false), (Some(1), false), (Some(2), true)] {
            assert_eq!(budget(&key(), &gateway(json!({})), replicas).is_some(), expected, "{replicas:?}");
        }
    }
}
