//! Status of the objects that are ours, as `translate` knows it: conditions without times, counts, features. Merging
//! it into what an API server holds is `merge`'s.

mod conditions;
pub mod merge;
pub mod transition;

use std::collections::BTreeMap;

use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

use crate::api::{ParentReference, RouteGroupKind};
use crate::object::ObjectKey;
use crate::provision::addresses::StatusAddress;

pub(crate) use crate::fault::Fault;
pub(crate) use conditions::*;

/// One condition (`metav1.Condition` without its time).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about: `Accepted`, `Programmed`, `ResolvedRefs`, `Conflicted`, `OverlappingTLSConfig`,
    /// `PartiallyInvalid`, `InsecureFrontendValidationMode`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `True` or `False`.
    pub status: ConditionStatus,
    /// CamelCase reason of the Gateway API.
    pub reason: String,
    /// For people; never empty.
    pub message: String,
    /// `metadata.generation` of the object that it was found for.
    pub observed_generation: i64,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
}

/// Status of every object that is ours, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statuses {
    /// Our GatewayClasses.
    pub gateway_classes: BTreeMap<String, GatewayClassStatus>,
    /// Gateways of our classes.
    pub gateways: BTreeMap<ObjectKey, GatewayStatus>,
    /// ListenerSets of those.
    pub listener_sets: BTreeMap<ObjectKey, ListenerSetStatus>,
    /// HTTPRoutes that name one of those as a parent.
    pub http_routes: BTreeMap<ObjectKey, RouteStatus>,
    /// GRPCRoutes that name one of those as a parent.
    pub grpc_routes: BTreeMap<ObjectKey, RouteStatus>,
    /// TLSRoutes that name one of those as a parent.
    pub tls_routes: BTreeMap<ObjectKey, RouteStatus>,
    /// TCPRoutes that name one of those as a parent.
    pub tcp_routes: BTreeMap<ObjectKey, RouteStatus>,
    /// UDPRoutes that name one of those as a parent.
    pub udp_routes: BTreeMap<ObjectKey, RouteStatus>,
    /// BackendTLSPolicies of Services that a route of one of those sends requests to.
    pub backend_tls_policies: BTreeMap<ObjectKey, PolicyStatus>,
}

impl Statuses {
    /// The routes of every kind, with the kind's name.
    pub fn routes(&self) -> [(&'static str, &BTreeMap<ObjectKey, RouteStatus>); 5] {
        [
            ("HTTPRoute", &self.http_routes),
            ("GRPCRoute", &self.grpc_routes),
            ("TLSRoute", &self.tls_routes),
            ("TCPRoute", &self.tcp_routes),
            ("UDPRoute", &self.udp_routes),
        ]
    }

    /// The routes of one kind, if routes of it have a status.
    pub fn routes_of(&self, kind: &str) -> Option<&BTreeMap<ObjectKey, RouteStatus>> {
        self.routes().into_iter().find(|(name, _)| *name == kind).map(|(_, routes)| routes)
    }
}

/// `GatewayClassStatus`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayClassStatus {
    /// `Accepted`.
    pub conditions: Vec<Condition>,
    /// What works, sorted by name.
    pub supported_features: Vec<SupportedFeature>,
}

/// `SupportedFeature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SupportedFeature {
    /// Name in the conformance suite.
    pub name: &'static str,
}

/// `GatewayStatus`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayStatus {
    /// `Accepted`, `Programmed`, `ResolvedRefs` where it or a listener refers to anything, and
    /// `InsecureFrontendValidationMode` where it is true.
    pub conditions: Vec<Condition>,
    /// One for each listener of the spec.
    pub listeners: Vec<ListenerStatus>,
    /// How many ListenerSets are accepted; `None` where it allows none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attached_listener_sets: Option<u32>,
    /// Where it is reached; `None` where only a data plane could tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<StatusAddress>>,
}

/// `ListenerSetStatus`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerSetStatus {
    /// The Gateway that it is of.
    #[serde(skip)]
    pub gateway: ObjectKey,
    /// Whether the Gateway takes it, whatever becomes of its listeners.
    #[serde(skip)]
    pub is_attached: bool,
    /// `Accepted`, `Programmed`.
    pub conditions: Vec<Condition>,
    /// One for each listener of the spec; none where the Gateway does not take it.
    pub listeners: Vec<ListenerStatus>,
}

/// `ListenerStatus`, `ListenerEntryStatus`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// `spec.listeners[].name`.
    pub name: String,
    /// Kinds of routes that may attach.
    pub supported_kinds: Vec<RouteGroupKind>,
    /// How many accepted routes are attached.
    pub attached_routes: u32,
    /// `Accepted`, `Programmed`, `ResolvedRefs`, and `Conflicted` and `OverlappingTLSConfig` where they are true.
    pub conditions: Vec<Condition>,
}

/// `RouteStatus`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RouteStatus {
    /// One for each parentRef that names a Gateway of ours, in the order of the spec.
    pub parents: Vec<RouteParentStatus>,
}

/// `RouteParentStatus`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteParentStatus {
    /// The parentRef, with its defaults.
    pub parent_ref: ParentReference,
    /// [`crate::api::CONTROLLER_NAME`].
    pub controller_name: &'static str,
    /// `Accepted`, `ResolvedRefs`, and `PartiallyInvalid` where it is true.
    pub conditions: Vec<Condition>,
}

/// `PolicyStatus`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PolicyStatus {
    /// One for each Gateway of ours that the policy matters to, sorted.
    pub ancestors: Vec<PolicyAncestorStatus>,
}

/// `PolicyAncestorStatus`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyAncestorStatus {
    /// The Gateway.
    pub ancestor_ref: ParentReference,
    /// [`crate::api::CONTROLLER_NAME`].
    pub controller_name: &'static str,
    /// `Accepted`, `ResolvedRefs`.
    pub conditions: Vec<Condition>,
}

/// One object's status with its identity, for files that people read.
#[derive(Serialize)]
struct Entry<'a, S> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    name: &'a str,
    status: &'a S,
}

impl Serialize for Statuses {
    /// A list of objects, by kind and key.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for (name, status) in &self.gateway_classes {
            list.serialize_element(&Entry { kind: "GatewayClass", namespace: None, name, status })?;
        }
        for (key, status) in &self.gateways {
            let (namespace, name) = (Some(key.namespace.as_str()), key.name.as_str());
            list.serialize_element(&Entry { kind: "Gateway", namespace, name, status })?;
        }
        for (key, status) in &self.listener_sets {
            let (namespace, name) = (Some(key.namespace.as_str()), key.name.as_str());
            list.serialize_element(&Entry { kind: "ListenerSet", namespace, name, status })?;
        }
        for (kind, routes) in self.routes() {
            for (key, status) in routes {
                let (namespace, name) = (Some(key.namespace.as_str()), key.name.as_str());
                list.serialize_element(&Entry { kind, namespace, name, status })?;
            }
        }
        for (key, status) in &self.backend_tls_policies {
            let (namespace, name) = (Some(key.namespace.as_str()), key.name.as_str());
            list.serialize_element(&Entry { kind: "BackendTLSPolicy", namespace, name, status })?;
        }
        list.end()
    }
}
