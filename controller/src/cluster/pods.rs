//! Pods of data planes: what is known of them here, and when it counts as changed.

use k8s_openapi::api::core::v1 as core;

use crate::provision::labels::GATEWAY_NAME;
use crate::provision::pod::{AGENT, AGENT_PORT, AGENT_PORT_NAME};

/// One pod of a data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Changes when a pod of the same name is another one.
    pub uid: String,
    /// Value of the label with the Gateway's name.
    pub gateway: String,
    /// Where its agent answers, once it has an address.
    pub ip: Option<String>,
    /// On which port.
    pub agent_port: u16,
    /// Address of its node.
    pub host_ip: Option<String>,
    /// Whether the kubelet counts it as ready.
    pub ready: bool,
    /// Whether it is being deleted, or has ended.
    pub terminating: bool,
}

impl From<core::Pod> for Pod {
    fn from(pod: core::Pod) -> Self {
        let status = pod.status.unwrap_or_default();
        let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let mut conditions = status.conditions.iter().flatten();
        Self {
            uid: pod.metadata.uid.unwrap_or_default(),
            gateway: pod
                .metadata
                .labels
                .and_then(|mut labels| labels.remove(GATEWAY_NAME))
                .unwrap_or_default(),
            ready: conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            ip: status.pod_ip,
            agent_port: pod.spec.as_ref().and_then(agent_port).unwrap_or(AGENT_PORT),
            host_ip: status.host_ip,
            terminating: ended || pod.metadata.deletion_timestamp.is_some(),
        }
    }
}

/// The port of the agent in a pod of this kind.
pub(super) fn agent_port(pod: &core::PodSpec) -> Option<u16> {
    let agent = pod.init_containers.iter().flatten().find(|its| its.name == AGENT)?;
    let port = agent.ports.iter().flatten().find(|port| port.name.as_deref() == Some(AGENT_PORT_NAME))?;
    port.container_port.try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_told_by_address_readiness_and_whether_it_ends() {
        let read = |metadata: serde_json::Value, status: serde_json::Value| {
            Pod::from(
                serde_json::from_value::<core::Pod>(json!({"metadata": metadata, "status": status})).unwrap(),
            )
        };
        let ready = json!({"podIP": "10.0.0.1", "hostIP": "10.1.0.1", "conditions": [
            {"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}]});
        let pod = read(json!({"name": "p", "uid": "1", "labels": {GATEWAY_NAME: "web"}}), ready.clone());
        let expected = Pod {
            uid: "1".to_owned(),
            gateway: "web".to_owned(),
            ip: Some("10.0.0.1".to_owned()),
            agent_port: AGENT_PORT,
            host_ip: Some("10.1.0.1".to_owned()),
            ready: true,
            terminating: false,
        };
        assert_eq!(pod, expected);
        assert!(read(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), ready).terminating);
        assert!(read(json!({}), json!({"phase": "Failed"})).terminating);
        assert!(!read(json!({}), json!({"phase": "Pending"})).ready);
    }

    #[test]
    fn the_port_of_the_agent_is_the_one_that_its_container_names() {
        let port = |name: &str, containers: serde_json::Value| {
            let pod =
                json!({"metadata": {"name": name}, "spec": {"initContainers": containers, "containers": []}});
            Pod::from(serde_json::from_value::<core::Pod>(pod).unwrap()).agent_port
        };
        let agent = json!({"name": "agent", "ports": [{"containerPort": 1}, {"name": "agent", "containerPort": 19007}]});
        assert_eq!(port("host", json!([{"name": "filter"}, agent])), 19007);
        assert_eq!(port("other", json!([{"name": "filter"}])), AGENT_PORT);
    }
}
