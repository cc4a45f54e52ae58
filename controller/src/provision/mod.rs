//! The objects of a Gateway's data plane (Deployment, Service, ServiceAccount, …) as they are applied. Pure: the same
//! Gateway and settings give the same JSON, with no field that gatewasm does not mean to own. Nothing is applied here,
//! and what Envoy serves is not known: that is the bundle's.

pub mod addresses;
pub mod deployment;
mod disruption;
pub mod labels;
pub mod names;
pub mod pod;
mod rbac;
pub mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use serde::Serialize;
use serde_json::Value;

use crate::api;
use crate::model::Transport;
use crate::object::ObjectKey;

/// The image of gatewasm itself, where nobody names another.
pub const IMAGE: &str = concat!("gatewasm/gatewasm:", env!("CARGO_PKG_VERSION"));
/// The image of stock Envoy, where nobody names another.
pub const ENVOY_IMAGE: &str = "envoyproxy/envoy:distroless-v1.40.0";

/// What whoever runs the controller decides for all Gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Image of gatewasm, with the binary on its `PATH` and as its entry point.
    pub image: String,
    /// Image of Envoy, with the binary as its entry point.
    pub envoy_image: String,
    /// Workers of each Envoy.
    pub concurrency: NonZeroU16,
    /// How bundles come to the agent.
    pub source: Source,
    /// How clients reach a Gateway.
    pub service_type: ServiceType,
    /// Which nodes pass traffic on.
    pub external_traffic_policy: ExternalTrafficPolicy,
    /// Which network the pods are on.
    pub network: Network,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            image: IMAGE.to_owned(),
            envoy_image: ENVOY_IMAGE.to_owned(),
            concurrency: NonZeroU16::MIN.saturating_add(1),
            source: Source::default(),
            service_type: ServiceType::default(),
            external_traffic_policy: ExternalTrafficPolicy::default(),
            network: Network::default(),
        }
    }
}

/// How bundles come to the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Source {
    /// From the API server, within milliseconds.
    #[default]
    Watch,
    /// From the mounted volume alone, as soon as the kubelet has brought it; without any access to the API server.
    Mount,
}

impl Source {
    /// As `gatewasm agent --source` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watch => "watch",
            Self::Mount => "mount",
        }
    }
}

/// `spec.type` of a Gateway's Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum ServiceType {
    /// With an address from the cluster's load balancer.
    #[default]
    LoadBalancer,
    /// With a port on each node; the Gateway's address is that within the cluster.
    NodePort,
    /// Within the cluster alone.
    ClusterIP,
}

/// `spec.externalTrafficPolicy` of a Gateway's Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[value(rename_all = "verbatim")]
pub enum ExternalTrafficPolicy {
    /// Every node; Envoy sees the node as the client.
    #[default]
    Cluster,
    /// Nodes with a pod of the Gateway; Envoy sees the client itself.
    Local,
}

/// The network of a Gateway's pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Network {
    /// The cluster's, with a Service in front.
    #[default]
    Pod,
    /// That of their nodes, without a Service: Envoy binds the Gateway's addresses, or that of its node.
    Host,
}

/// A kind of object that a Gateway gets, each at most once, in the order in which they are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `v1`.
    ServiceAccount,
    /// `rbac.authorization.k8s.io/v1`.
    Role,
    /// `rbac.authorization.k8s.io/v1`.
    RoleBinding,
    /// `v1`.
    Service,
    /// `apps/v1`.
    Deployment,
    /// `policy/v1`.
    PodDisruptionBudget,
}

/// The objects of a Gateway by kind, all called [`names::Names::base`]; `None` where there must be none.
///
/// `ports` are those of [`service::ports`]; `replicas` is `spec.replicas` of the Deployment as it is now, `None` where
/// it is not there yet. `agent_port` is that of the Gateway's agents.
pub fn provision(
    key: &ObjectKey,
    gateway: &api::Gateway,
    ports: &BTreeSet<(u16, Transport)>,
    settings: &Settings,
    replicas: Option<i32>,
    agent_port: u16,
) -> BTreeMap<Kind, Option<Value>> {
    let watches = settings.source == Source::Watch;
    [
        (Kind::ServiceAccount, Some(rbac::service_account(key, gateway))),
        (Kind::Role, watches.then(|| rbac::role(key, gateway))),
        (Kind::RoleBinding, watches.then(|| rbac::role_binding(key, gateway))),
        (Kind::Service, service::service(key, gateway, ports, settings)),
        (Kind::Deployment, Some(deployment::deployment(key, gateway, settings, agent_port))),
        (Kind::PodDisruptionBudget, disruption::budget(key, gateway, replicas)),
    ]
    .into()
}

#[cfg(test)]
mod tests;
