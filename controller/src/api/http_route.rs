//! `HTTPRoute` (apis/v1/httproute_types.go); its filters are in `route_filter`.

use serde::Deserialize;

use super::shared::service_kind;
use super::text::open_enum;
use super::{
    Duration, HeaderName, Hostname, HttpRouteFilter, Method, ParentReference, Port, SectionName, Weight,
};

/// `HTTPRouteSpec`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    /// The Gateways to attach to.
    #[serde(default)]
    pub parent_refs: Vec<ParentReference>,
    /// Whether to attach to default Gateways (experimental).
    pub use_default_gateways: Option<super::GatewayDefaultScope>,
    /// Hosts that requests must be for; every host of the listener where empty.
    #[serde(default)]
    pub hostnames: Vec<Hostname>,
    /// The rules; one that matches every path where absent.
    #[serde(default = "default_rules")]
    pub rules: Vec<HttpRouteRule>,
}

/// `HTTPRouteRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRule {
    /// Unique within the route.
    pub name: Option<SectionName>,
    /// The rule applies when any of these matches; every path where empty.
    #[serde(default)]
    pub matches: Vec<HttpRouteMatch>,
    /// What is done to requests and responses.
    #[serde(default)]
    pub filters: Vec<HttpRouteFilter>,
    /// Where requests go.
    #[serde(default)]
    pub backend_refs: Vec<HttpBackendRef>,
    /// Time limits.
    pub timeouts: Option<HttpRouteTimeouts>,
    /// Retries (experimental).
    pub retry: Option<HttpRouteRetry>,
    /// Sticky sessions (experimental).
    pub session_persistence: Option<SessionPersistence>,
}

/// `HTTPRouteMatch`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteMatch {
    /// Path; PathPrefix `/` where absent.
    pub path: Option<HttpPathMatch>,
    /// Headers, all of which must match.
    #[serde(default)]
    pub headers: Vec<HttpValueMatch>,
    /// Query parameters, all of which must match.
    #[serde(default)]
    pub query_params: Vec<HttpValueMatch>,
    /// Method.
    pub method: Option<Method>,
}

/// `HTTPPathMatch`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpPathMatch {
    /// How `value` is compared.
    #[serde(rename = "type", default = "path_prefix")]
    pub kind: PathMatchType,
    /// Path, prefix or expression.
    #[serde(default = "root_path")]
    pub value: String,
}

open_enum!(
    /// `PathMatchType`.
    PathMatchType {
        /// The whole path.
        Exact = "Exact",
        /// By path elements.
        PathPrefix = "PathPrefix",
        /// The whole path must match the expression.
        RegularExpression = "RegularExpression",
    }
);

/// `HTTPHeaderMatch`, `HTTPQueryParamMatch` or `GRPCHeaderMatch`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpValueMatch {
    /// How `value` is compared.
    #[serde(rename = "type", default = "exact")]
    pub kind: ValueMatchType,
    /// Name of the header or parameter.
    pub name: HeaderName,
    /// Value or expression.
    pub value: String,
}

open_enum!(
    /// `HeaderMatchType`, `QueryParamMatchType`, `GRPCHeaderMatchType`, `GRPCMethodMatchType`.
    ValueMatchType {
        /// The whole value.
        Exact = "Exact",
        /// The whole value must match the expression.
        RegularExpression = "RegularExpression",
    }
);

/// `HTTPBackendRef`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpBackendRef {
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
    /// Share of the rule's requests.
    #[serde(default)]
    pub weight: Weight,
    /// What is done to requests that go to this backend.
    #[serde(default)]
    pub filters: Vec<HttpRouteFilter>,
}

/// `HTTPRouteTimeouts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteTimeouts {
    /// The whole transaction.
    pub request: Option<Duration>,
    /// One try.
    pub backend_request: Option<Duration>,
}

/// `HTTPRouteRetry`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteRetry {
    /// Status codes that are tried again.
    #[serde(default)]
    pub codes: Vec<u16>,
    /// How often.
    pub attempts: Option<u32>,
    /// Least time between two tries.
    pub backoff: Option<Duration>,
}

/// `SessionPersistence` (apis/v1/shared_types.go).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionPersistence {
    /// Name of the cookie or header.
    pub session_name: Option<String>,
    /// Longest life of a session.
    pub absolute_timeout: Option<Duration>,
    /// Cookie or Header.
    #[serde(rename = "type")]
    pub kind: Option<SessionPersistenceType>,
    /// Settings of the cookie.
    pub cookie_config: Option<CookieConfig>,
}

/// `SessionPersistenceType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SessionPersistenceType {
    /// By cookie.
    Cookie,
    /// By header.
    Header,
}

/// `CookieConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CookieConfig {
    /// How long the client keeps it.
    pub lifetime_type: Option<CookieLifetimeType>,
}

/// `CookieLifetimeType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum CookieLifetimeType {
    /// Until its time is over.
    Permanent,
    /// Until the client ends.
    Session,
}

/// What the CRD fills in for absent rules: one whose only match is PathPrefix `/`.
fn default_rules() -> Vec<HttpRouteRule> {
    vec![HttpRouteRule::default()]
}

fn path_prefix() -> PathMatchType {
    PathMatchType::PathPrefix
}

fn root_path() -> String {
    "/".to_owned()
}

fn exact() -> ValueMatchType {
    ValueMatchType::Exact
}
