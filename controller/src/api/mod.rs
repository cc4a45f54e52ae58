//! The Gateway API v1.6.1 kinds that gatewasm reads, as thin serde types: every field of both channels, so that a
//! field we do not act on is still told from a misspelt one. Values that the CRDs restrict are parsed here, once
//! (`text`); what is done with them is decided in [`crate::translate`].
//!
//! `docs/decisions/0006-own-gateway-api-types.md` says why these types are our own.

mod backend_tls_policy;
mod gateway;
mod gateway_class;
mod grpc_route;
mod http_route;
mod listener_set;
mod reference_grant;
mod route_filter;
mod shared;
mod stream_route;
mod text;

pub use backend_tls_policy::*;
pub use gateway::*;
pub use gateway_class::*;
pub use grpc_route::*;
pub use http_route::*;
pub use listener_set::*;
pub use reference_grant::*;
pub use route_filter::*;
pub use shared::*;
pub use stream_route::*;
pub use text::*;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

/// The API group of every kind in this module.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// `spec.controllerName` of the GatewayClasses that are ours.
pub const CONTROLLER_NAME: &str = "gatewasm.dev/controller";

/// An object with a spec. `apiVersion`, `kind` and `status` are not kept: the first two are known by the type, and
/// the last is ours to write, never to read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Object<S> {
    /// Standard object metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The desired state.
    pub spec: S,
}

/// `GatewayClass`.
pub type GatewayClass = Object<GatewayClassSpec>;
/// `Gateway`.
pub type Gateway = Object<GatewaySpec>;
/// `ListenerSet`.
pub type ListenerSet = Object<ListenerSetSpec>;
/// `HTTPRoute`.
pub type HttpRoute = Object<HttpRouteSpec>;
/// `GRPCRoute`.
pub type GrpcRoute = Object<GrpcRouteSpec>;
/// `BackendTLSPolicy`.
pub type BackendTlsPolicy = Object<BackendTlsPolicySpec>;
/// `TLSRoute`.
pub type TlsRoute = Object<TlsRouteSpec>;
/// `TCPRoute`.
pub type TcpRoute = Object<StreamRouteSpec>;
/// `UDPRoute`.
pub type UdpRoute = Object<StreamRouteSpec>;
/// `ReferenceGrant`.
pub type ReferenceGrant = Object<ReferenceGrantSpec>;
