//! `GRPCRoute` (apis/v1/grpcroute_types.go). What it shares with HTTPRoute has HTTPRoute's types: filters and
//! backendRefs are read with the fields that they have here, and then are the same to everybody else.

use serde::{Deserialize, Deserializer};

use super::shared::service_kind;
use super::{
    GatewayDefaultScope, Hostname, HttpBackendRef, HttpHeaderFilter, HttpRequestMirrorFilter,
    HttpRouteFilter, HttpRouteFilterType, HttpValueMatch, LocalObjectReference, ParentReference, Port,
    SectionName, SessionPersistence, ValueMatchType, Weight,
};

/// `GRPCRouteSpec`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteSpec {
    /// The Gateways to attach to.
    #[serde(default)]
    pub parent_refs: Vec<ParentReference>,
    /// Whether to attach to default Gateways (experimental).
    pub use_default_gateways: Option<GatewayDefaultScope>,
    /// Hosts that requests must be for; every host of the listener where empty.
    #[serde(default)]
    pub hostnames: Vec<Hostname>,
    /// The rules. Without any, nothing is matched.
    #[serde(default)]
    pub rules: Vec<GrpcRouteRule>,
}

/// `GRPCRouteRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteRule {
    /// Unique within the route.
    pub name: Option<SectionName>,
    /// The rule applies when any of these matches; every gRPC request where empty.
    #[serde(default)]
    pub matches: Vec<GrpcRouteMatch>,
    /// What is done to requests and responses.
    #[serde(default, deserialize_with = "filters")]
    pub filters: Vec<HttpRouteFilter>,
    /// Where requests go.
    #[serde(default, deserialize_with = "backend_refs")]
    pub backend_refs: Vec<HttpBackendRef>,
    /// Sticky sessions (experimental).
    pub session_persistence: Option<SessionPersistence>,
}

/// `GRPCRouteMatch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcRouteMatch {
    /// What is called; every service and method where absent.
    pub method: Option<GrpcMethodMatch>,
    /// Headers, all of which must match (`GRPCHeaderMatch`).
    #[serde(default)]
    pub headers: Vec<HttpValueMatch>,
}

/// `GRPCMethodMatch`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcMethodMatch {
    /// How both are compared (`GRPCMethodMatchType`).
    #[serde(rename = "type", default = "exact")]
    pub kind: ValueMatchType,
    /// Service or expression; every one where absent or empty.
    pub service: Option<String>,
    /// Method or expression; every one where absent or empty.
    pub method: Option<String>,
}

/// What `GRPCRouteFilterType` has of [`HttpRouteFilterType`], for messages.
pub const GRPC_FILTER_TYPES: &[&str] =
    &["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"];

/// `GRPCRouteFilter`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrpcRouteFilter {
    #[serde(rename = "type")]
    kind: String,
    request_header_modifier: Option<HttpHeaderFilter>,
    response_header_modifier: Option<HttpHeaderFilter>,
    request_mirror: Option<HttpRequestMirrorFilter>,
    extension_ref: Option<LocalObjectReference>,
}

/// `GRPCBackendRef`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrpcBackendRef {
    #[serde(default)]
    group: String,
    #[serde(default = "service_kind")]
    kind: String,
    name: String,
    namespace: Option<String>,
    port: Option<Port>,
    #[serde(default)]
    weight: Weight,
    #[serde(default, deserialize_with = "filters")]
    filters: Vec<HttpRouteFilter>,
}

impl From<GrpcRouteFilter> for HttpRouteFilter {
    fn from(filter: GrpcRouteFilter) -> Self {
        let kind = match filter.kind {
            known if GRPC_FILTER_TYPES.contains(&known.as_str()) => HttpRouteFilterType::from(known),
            other => HttpRouteFilterType::Other(other),
        };
        Self {
            kind,
            request_header_modifier: filter.request_header_modifier,
            response_header_modifier: filter.response_header_modifier,
            request_mirror: filter.request_mirror,
            request_redirect: None,
            url_rewrite: None,
            cors: None,
            external_auth: None,
            extension_ref: filter.extension_ref,
        }
    }
}

impl From<GrpcBackendRef> for HttpBackendRef {
    fn from(backend: GrpcBackendRef) -> Self {
        let GrpcBackendRef { group, kind, name, namespace, port, weight, filters } = backend;
        Self { group, kind, name, namespace, port, weight, filters }
    }
}

fn filters<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HttpRouteFilter>, D::Error> {
    let filters = Vec::<GrpcRouteFilter>::deserialize(deserializer)?;
    Ok(filters.into_iter().map(HttpRouteFilter::from).collect())
}

fn backend_refs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HttpBackendRef>, D::Error> {
    let backends = Vec::<GrpcBackendRef>::deserialize(deserializer)?;
    Ok(backends.into_iter().map(HttpBackendRef::from).collect())
}

fn exact() -> ValueMatchType {
    ValueMatchType::Exact
}
