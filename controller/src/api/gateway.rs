//! `Gateway` (apis/v1/gateway_types.go).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::{Deserialize, Serialize};

use super::{
    GROUP, Hostname, LocalObjectReference, ObjectReference, Port, SecretObjectReference, SectionName,
};

/// `GatewaySpec`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Name of the GatewayClass.
    pub gateway_class_name: String,
    /// What the Gateway listens on.
    pub listeners: Vec<Listener>,
    /// Addresses asked for.
    #[serde(default)]
    pub addresses: Vec<GatewayAddress>,
    /// What the created resources carry.
    pub infrastructure: Option<GatewayInfrastructure>,
    /// Which ListenerSets may add listeners.
    pub allowed_listeners: Option<AllowedListeners>,
    /// TLS settings of the whole Gateway.
    pub tls: Option<GatewayTlsConfig>,
    /// Whether routes without parentRefs attach here (experimental).
    pub default_scope: Option<GatewayDefaultScope>,
}

/// `GatewayDefaultScope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum GatewayDefaultScope {
    /// For routes of all namespaces.
    All,
    /// No default Gateway.
    None,
}

/// `GatewaySpecAddress`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayAddress {
    /// `IPAddress`, `Hostname`, or an implementation's own.
    #[serde(rename = "type", default = "ip_address")]
    pub kind: String,
    /// The address; absent leaves the choice to the environment.
    #[serde(default)]
    pub value: String,
}

/// `GatewayInfrastructure`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayInfrastructure {
    /// Labels of every created resource.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Annotations of every created resource.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Configuration of the controller for this Gateway.
    pub parameters_ref: Option<LocalObjectReference>,
}

/// `AllowedListeners`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedListeners {
    /// Namespaces of the ListenerSets.
    pub namespaces: Option<ListenerNamespaces>,
}

/// `ListenerNamespaces`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerNamespaces {
    /// How they are chosen.
    pub from: Option<ListenerFromNamespaces>,
    /// Labels of the namespaces for `from: Selector`.
    pub selector: Option<LabelSelector>,
}

/// Where ListenerSets may come from (`FromNamespaces`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ListenerFromNamespaces {
    /// Every namespace.
    All,
    /// Namespaces chosen by label.
    Selector,
    /// The Gateway's own.
    Same,
    /// Nowhere.
    None,
}

/// `Listener`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Unique within the Gateway.
    pub name: SectionName,
    /// Host that requests must be for; absent for every host.
    pub hostname: Option<Hostname>,
    /// Port.
    pub port: Port,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP`, `UDP`, or an implementation's own.
    pub protocol: String,
    /// TLS settings.
    pub tls: Option<ListenerTlsConfig>,
    /// Which routes may attach.
    #[serde(default)]
    pub allowed_routes: AllowedRoutes,
}

/// `ListenerTLSConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTlsConfig {
    /// Where TLS ends.
    #[serde(default)]
    pub mode: TlsMode,
    /// Secrets with certificates.
    #[serde(default)]
    pub certificate_refs: Vec<SecretObjectReference>,
    /// Implementations' own settings.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// `TLSModeType`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum TlsMode {
    /// At the Gateway.
    #[default]
    Terminate,
    /// At the backend.
    Passthrough,
}

/// `AllowedRoutes`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllowedRoutes {
    /// Namespaces of the routes.
    #[serde(default)]
    pub namespaces: RouteNamespaces,
    /// Kinds of routes; those that suit the protocol where empty.
    #[serde(default)]
    pub kinds: Vec<RouteGroupKind>,
}

/// `RouteNamespaces`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteNamespaces {
    /// How they are chosen.
    #[serde(default)]
    pub from: FromNamespaces,
    /// Labels of the namespaces for `from: Selector`.
    pub selector: Option<LabelSelector>,
}

/// Where routes may come from (`FromNamespaces`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum FromNamespaces {
    /// Every namespace.
    All,
    /// Namespaces chosen by label.
    Selector,
    /// The Gateway's own.
    #[default]
    Same,
}

/// `RouteGroupKind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteGroupKind {
    /// API group.
    #[serde(default = "gateway_group")]
    pub group: String,
    /// Kind.
    pub kind: String,
}

/// `GatewayTLSConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayTlsConfig {
    /// Towards backends.
    pub backend: Option<GatewayBackendTls>,
    /// Towards clients.
    pub frontend: Option<FrontendTlsConfig>,
}

/// `GatewayBackendTLS`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayBackendTls {
    /// The certificate that the Gateway shows to backends.
    pub client_certificate_ref: Option<SecretObjectReference>,
}

/// `FrontendTLSConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTlsConfig {
    /// For every port without an entry in `perPort`.
    pub default: FrontendTls,
    /// For single ports.
    #[serde(default)]
    pub per_port: Vec<TlsPortConfig>,
}

/// `TLSPortConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsPortConfig {
    /// The port.
    pub port: Port,
    /// Its settings.
    pub tls: FrontendTls,
}

/// `TLSConfig` of the frontend.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTls {
    /// Checks of client certificates.
    pub validation: Option<FrontendTlsValidation>,
}

/// `FrontendTLSValidation`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendTlsValidation {
    /// Certificates of the authorities that may sign client certificates.
    pub ca_certificate_refs: Vec<ObjectReference>,
    /// What happens to clients without a valid certificate.
    pub mode: Option<FrontendValidationMode>,
}

/// `FrontendValidationModeType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum FrontendValidationMode {
    /// They are refused.
    AllowValidOnly,
    /// They are let in all the same.
    AllowInsecureFallback,
}

fn ip_address() -> String {
    "IPAddress".to_owned()
}

fn gateway_group() -> String {
    GROUP.to_owned()
}
