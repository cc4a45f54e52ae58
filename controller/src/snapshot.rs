//! Every object that a translation looks at, as plain maps: the only input of `translate` besides its options.
//! Where the objects come from (files, a cluster) is not known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::api::{
    BackendTlsPolicy, Gateway, GatewayClass, GrpcRoute, HttpRoute, ListenerSet, ReferenceGrant, TcpRoute,
    TlsRoute, UdpRoute,
};
use crate::object::ObjectKey;

/// The label that every namespace carries, with its name as the value.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The objects by key. Shared, so that a new snapshot costs no copies of what did not change.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// GatewayClasses, ours and others'.
    pub gateway_classes: BTreeMap<String, Arc<GatewayClass>>,
    /// Gateways, ours and others'.
    pub gateways: BTreeMap<ObjectKey, Arc<Gateway>>,
    /// ListenerSets.
    pub listener_sets: BTreeMap<ObjectKey, Arc<ListenerSet>>,
    /// HTTPRoutes.
    pub http_routes: BTreeMap<ObjectKey, Arc<HttpRoute>>,
    /// GRPCRoutes.
    pub grpc_routes: BTreeMap<ObjectKey, Arc<GrpcRoute>>,
    /// TLSRoutes.
    pub tls_routes: BTreeMap<ObjectKey, Arc<TlsRoute>>,
    /// TCPRoutes.
    pub tcp_routes: BTreeMap<ObjectKey, Arc<TcpRoute>>,
    /// UDPRoutes.
    pub udp_routes: BTreeMap<ObjectKey, Arc<UdpRoute>>,
    /// BackendTLSPolicies.
    pub backend_tls_policies: BTreeMap<ObjectKey, Arc<BackendTlsPolicy>>,
    /// ReferenceGrants.
    pub reference_grants: BTreeMap<ObjectKey, Arc<ReferenceGrant>>,
    /// Services.
    pub services: BTreeMap<ObjectKey, Arc<Service>>,
    /// EndpointSlices.
    pub endpoint_slices: BTreeMap<ObjectKey, Arc<EndpointSlice>>,
    /// Declared namespaces; every other one exists as well, without labels of its own.
    pub namespaces: BTreeMap<String, Arc<Namespace>>,
    /// Secrets.
    pub secrets: BTreeMap<ObjectKey, Arc<Secret>>,
    /// ConfigMaps.
    pub config_maps: BTreeMap<ObjectKey, Arc<ConfigMap>>,
}

impl Snapshot {
    /// How many objects there are of each kind.
    pub fn counts(&self) -> [(&'static str, usize); 15] {
        [
            ("GatewayClass", self.gateway_classes.len()),
            ("Gateway", self.gateways.len()),
            ("ListenerSet", self.listener_sets.len()),
            ("HTTPRoute", self.http_routes.len()),
            ("GRPCRoute", self.grpc_routes.len()),
            ("TLSRoute", self.tls_routes.len()),
            ("TCPRoute", self.tcp_routes.len()),
            ("UDPRoute", self.udp_routes.len()),
            ("BackendTLSPolicy", self.backend_tls_policies.len()),
            ("ReferenceGrant", self.reference_grants.len()),
            ("Service", self.services.len()),
            ("EndpointSlice", self.endpoint_slices.len()),
            ("Namespace", self.namespaces.len()),
            ("Secret", self.secrets.len()),
            ("ConfigMap", self.config_maps.len()),
        ]
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.counts().iter().map(|(_, count)| count).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One label of a namespace, declared or not. As in a cluster, `kubernetes.io/metadata.name` is always there
    /// and always the name.
    pub fn namespace_label<'a>(&'a self, namespace: &'a str, label: &str) -> Option<&'a str> {
        if label == NAMESPACE_NAME_LABEL {
            return Some(namespace);
        }
        let labels = self.namespaces.get(namespace)?.metadata.labels.as_ref()?;
        labels.get(label).map(String::as_str)
    }
}
