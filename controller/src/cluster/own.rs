//! Objects that gatewasm made: enough to notice that somebody else changed or deleted them, and what is read of their
//! status.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::pods::agent_port;
use super::rollout::Rollout;

/// Annotations that others write without changing what the object asks for.
const NOT_OURS: [&str; 2] =
    ["deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration"];

/// One object of ours, as the API server holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Own {
    /// Changes when an object of the same name is another one.
    pub uid: String,
    /// Changes with every write.
    pub resource_version: String,
    /// Changes with every write to the spec, in kinds that count these.
    pub generation: Option<i64>,
    /// `uid` of the controlling owner: of the Gateway, or it is not ours any more.
    pub owner: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations, without those of the Deployment controller and of kubectl.
    pub annotations: BTreeMap<String, String>,
    /// What is read of this kind.
    pub facts: Facts,
}

/// What is read of objects of ours besides their metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Facts {
    /// Nothing.
    None,
    /// Of a Deployment.
    Deployment {
        /// `spec.replicas`: as many pods as there shall be.
        replicas: i32,
        /// How far its pods are what its template says.
        rollout: Rollout,
        /// The port of the agents in them.
        agent_port: Option<u16>,
    },
    /// Of a Service: its type, addresses and ports, and what its load balancer reports.
    Service(Box<Service>),
}

impl Own {
    /// The object with this metadata, which may be that of the answer to a write.
    pub fn new(metadata: ObjectMeta, facts: Facts) -> Self {
        let owners = metadata.owner_references.unwrap_or_default();
        let mut annotations = metadata.annotations.unwrap_or_default();
        annotations.retain(|name, _| !NOT_OURS.contains(&name.as_str()));
        Self {
            uid: metadata.uid.unwrap_or_default(),
            resource_version: metadata.resource_version.unwrap_or_default(),
            generation: metadata.generation,
            owner: owners.into_iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid),
            labels: metadata.labels.unwrap_or_default(),
            annotations,
            facts,
        }
    }

    /// Whether both ask for the same: the same object, and no write in between but to its status. A kind that counts no
    /// generations has none, and then every write counts.
    pub fn asks_the_same_as(&self, other: &Self) -> bool {
        let version = |own: &Self| match own.generation {
            Some(generation) => (Some(generation), None),
            None => (None, Some(own.resource_version.clone())),
        };
        version(self) == version(other)
            && self.uid == other.uid
            && self.owner == other.owner
            && self.labels == other.labels
            && self.annotations == other.annotations
    }
}

impl From<Deployment> for Own {
    fn from(deployment: Deployment) -> Self {
        let rollout = Rollout::of(&deployment);
        let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let agent_port = pod.and_then(agent_port);
        // Kubernetes' default (`DeploymentSpec.replicas`).
        let replicas = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        Self::new(deployment.metadata, Facts::Deployment { replicas, rollout, agent_port })
    }
}

impl From<Service> for Own {
    fn from(service: Service) -> Self {
        let spec = service.spec.unwrap_or_default();
        let spec = ServiceSpec {
            type_: spec.type_,
            cluster_ips: spec.cluster_ips,
            ports: spec.ports,
            ..ServiceSpec::default()
        };
        let facts = Service { spec: Some(spec), status: service.status, ..Service::default() };
        Self::new(service.metadata, Facts::Service(Box::new(facts)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn own(metadata: Value) -> Own {
        Own::new(serde_json::from_value(metadata).unwrap(), Facts::None)
    }

    #[test]
    fn a_write_to_the_status_asks_for_nothing_new() {
        let before = own(json!({"uid": "1", "resourceVersion": "5", "generation": 2}));
        let status = own(json!({"uid": "1", "resourceVersion": "6", "generation": 2,
            "annotations": {"deployment.kubernetes.io/revision": "2"}}));
        let spec = own(json!({"uid": "1", "resourceVersion": "7", "generation": 3}));
        let label = own(json!({"uid": "1", "resourceVersion": "7", "generation": 2, "labels": {"a": "b"}}));
        assert!(before.asks_the_same_as(&status));
        assert!(!before.asks_the_same_as(&spec));
        assert!(!before.asks_the_same_as(&label));
    }

    #[test]
    fn without_generations_every_write_counts() {
        let before = own(json!({"uid": "1", "resourceVersion": "5"}));
        assert!(before.asks_the_same_as(&before.clone()));
        assert!(!before.asks_the_same_as(&own(json!({"uid": "1", "resourceVersion": "6"}))));
    }

    #[test]
    fn the_owner_is_the_controlling_one() {
        let reference = |uid: &str, controller: bool| json!({"apiVersion": "v1", "kind": "K", "name": "n", "uid": uid, "controller": controller});
        let both = own(json!({"ownerReferences": [reference("1", false), reference("2", true)]}));
        assert_eq!(both.owner.as_deref(), Some("2"));
        assert_eq!(own(json!({"ownerReferences": [reference("1", false)]})).owner, None);
    }

    #[test]
    fn addresses_are_read_of_a_service_and_replicas_of_a_deployment() {
        let service: Service = serde_json::from_value(json!({
            "metadata": {"uid": "1"}, "spec": {"clusterIPs": ["10.0.0.1"], "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
        }))
        .unwrap();
        let Facts::Service(service) = Own::from(service).facts else {
            panic!("a Service has the facts of a Service")
        };
        let spec = service.spec.unwrap();
        assert_eq!(spec.cluster_ips, Some(vec!["10.0.0.1".to_owned()]));
        assert_eq!(spec.ports.unwrap()[0].port, 80);
        let ingress = service.status.unwrap().load_balancer.unwrap().ingress.unwrap();
        assert_eq!(ingress[0].ip.as_deref(), Some("192.0.2.1"));
        let replicas =
            |deployment: Value| match Own::from(serde_json::from_value::<Deployment>(deployment).unwrap())
                .facts
            {
                Facts::Deployment { replicas, .. } => replicas,
                facts => panic!("a Deployment has the facts of a Deployment, not {facts:?}"),
            };
        let spec = json!({"replicas": 3, "selector": {}, "template": {}});
        assert_eq!(replicas(json!({"metadata": {}, "spec": spec})), 3);
        assert_eq!(replicas(json!({"metadata": {}})), 1);
    }
}
