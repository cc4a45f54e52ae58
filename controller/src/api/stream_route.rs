//! `TLSRoute`, `TCPRoute` and `UDPRoute` (apis/v1/tlsroute_types.go, tcproute_types.go, udproute_types.go): routes of
//! connections and datagrams, whatever they carry. TCPRoute and UDPRoute have the same fields.

use serde::Deserialize;

use super::shared::service_kind;
use super::{GatewayDefaultScope, Hostname, ParentReference, Port, SectionName, Weight};

/// `TLSRouteSpec`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsRouteSpec {
    /// The Gateways to attach to.
    #[serde(default)]
    pub parent_refs: Vec<ParentReference>,
    /// Whether to attach to default Gateways (experimental).
    pub use_default_gateways: Option<GatewayDefaultScope>,
    /// Server names (SNI) that connections must be for.
    #[serde(default)]
    pub hostnames: Vec<Hostname>,
    /// Exactly one rule.
    pub rules: Vec<StreamRouteRule>,
}

/// `TCPRouteSpec`, `UDPRouteSpec`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamRouteSpec {
    /// The Gateways to attach to.
    #[serde(default)]
    pub parent_refs: Vec<ParentReference>,
    /// Whether to attach to default Gateways (experimental).
    pub use_default_gateways: Option<GatewayDefaultScope>,
    /// Exactly one rule.
    pub rules: Vec<StreamRouteRule>,
}

/// `TLSRouteRule`, `TCPRouteRule`, `UDPRouteRule`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamRouteRule {
    /// Unique within the route.
    pub name: Option<SectionName>,
    /// Where connections go, by weight.
    pub backend_refs: Vec<BackendRef>,
}

/// `BackendRef`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendRef {
    /// API group; the core group where absent.
    #[serde(default)]
    pub group: String,
    /// Kind; Service where absent.
    #[serde(default = "service_kind")]
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace; the route's own where absent.
    pub namespace: Option<String>,
    /// Port of the Service (not of its pods); required for a Service.
    pub port: Option<Port>,
    /// The share of connections, in proportion to the sum of all weights.
    #[serde(default)]
    pub weight: Weight,
}
