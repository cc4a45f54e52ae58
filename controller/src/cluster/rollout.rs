//! How far the pods of a Deployment are what its template says. Whose turn it is to be changed is decided elsewhere.

use k8s_openapi::api::apps::v1::Deployment;

/// How far a Deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollout {
    /// All pods are of its template. Some may have failed since.
    Done,
    /// Pods are being replaced.
    UnderWay,
    /// It does not come further within its `progressDeadlineSeconds`, or was paused by somebody.
    Stuck,
}

impl Rollout {
    /// As the Deployment controller tells it. What it says of an older generation says nothing.
    pub(super) fn of(deployment: &Deployment) -> Self {
        let (spec, status) = (deployment.spec.as_ref(), deployment.status.as_ref());
        if spec.and_then(|spec| spec.paused) == Some(true) {
            return Self::Stuck;
        }
        let Some(status) = status.filter(|its| its.observed_generation >= deployment.metadata.generation)
        else {
            return Self::UnderWay;
        };
        let progressing = status.conditions.iter().flatten().find(|it| it.type_ == "Progressing");
        match progressing {
            // It stays so when a pod fails later: that is no rollout.
            Some(it) if it.reason.as_deref() == Some("NewReplicaSetAvailable") => Self::Done,
            Some(it) if it.status == "False" => Self::Stuck,
            Some(_) => Self::UnderWay,
            // There is no such condition where somebody has switched the deadline off.
            None => {
                let wanted = spec.and_then(|spec| spec.replicas).unwrap_or(1);
                let numbers = [status.replicas, status.updated_replicas, status.available_replicas];
                let done = numbers.into_iter().all(|number| number.unwrap_or(0) == wanted);
                if done { Self::Done } else { Self::UnderWay }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(spec: Value, status: Value) -> Rollout {
        let mut deployment = json!({"metadata": {"generation": 3}, "spec": spec, "status": status});
        deployment["spec"]["selector"] = json!({});
        deployment["spec"]["template"] = json!({});
        Rollout::of(&serde_json::from_value(deployment).unwrap())
    }

    fn says(observed: i64, status: &str, reason: &str) -> Value {
        let condition = json!({"type": "Progressing", "status": status, "reason": reason});
        json!({"observedGeneration": observed, "conditions": [condition]})
    }

    #[test]
    fn the_deployment_controller_tells() {
        assert_eq!(of(json!({}), says(3, "True", "NewReplicaSetAvailable")), Rollout::Done);
        assert_eq!(of(json!({}), says(3, "True", "NewReplicaSetCreated")), Rollout::UnderWay);
        assert_eq!(of(json!({}), says(3, "True", "ReplicaSetUpdated")), Rollout::UnderWay);
        assert_eq!(of(json!({}), says(3, "False", "ProgressDeadlineExceeded")), Rollout::Stuck);
    }

    #[test]
    fn what_it_said_before_the_last_change_does_not_count() {
        assert_eq!(of(json!({}), says(2, "True", "NewReplicaSetAvailable")), Rollout::UnderWay);
        assert_eq!(of(json!({}), json!({})), Rollout::UnderWay);
    }

    #[test]
    fn whoever_pauses_it_is_not_waited_for() {
        assert_eq!(of(json!({"paused": true}), says(3, "Unknown", "DeploymentPaused")), Rollout::Stuck);
    }

    #[test]
    fn without_a_deadline_pods_are_counted() {
        let status = |replicas: i32, updated: i32, available: i32| {
            json!({"observedGeneration": 3, "replicas": replicas, "updatedReplicas": updated,
                "availableReplicas": available})
        };
        assert_eq!(of(json!({"replicas": 2}), status(2, 2, 2)), Rollout::Done);
        assert_eq!(of(json!({"replicas": 2}), status(3, 2, 2)), Rollout::UnderWay);
        assert_eq!(of(json!({"replicas": 2}), status(2, 2, 1)), Rollout::UnderWay);
        assert_eq!(of(json!({}), status(1, 1, 1)), Rollout::Done);
        assert_eq!(of(json!({"replicas": 0}), json!({"observedGeneration": 3})), Rollout::Done);
    }
}
