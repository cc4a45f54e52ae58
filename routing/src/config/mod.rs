//! The filter config, version 1: the JSON contract between whoever writes routes and the filter that runs them.
//! Data only. What the values mean is decided by [`crate::compile`]; how they are delivered is not known here.
//!
//! It mirrors the Gateway API, so that a person can hold an HTTPRoute beside it: camelCase, discriminators spelled
//! as in the API, and the route's own identity on every route. `docs/filter-config.md` describes every field.

mod filter;

use std::fmt;
use std::marker::PhantomData;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

pub use filter::{Cors, Header, HeaderModifier, PathModifier, RequestRedirect, RouteFilter, UrlRewrite};

/// The only version of the filter config that this build reads and writes.
pub const VERSION: u32 = 1;

/// Everything that the filter needs to route the requests of one Envoy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FilterConfig {
    /// Version of this format: 1. Another version is refused.
    #[cfg_attr(feature = "schema", schemars(extend("const" = 1)))]
    pub version: u32,
    /// Whether the filter hands listener, route and rule of every request to Envoy's access log
    /// (filter state `wasm.gatewasm.listener`, `.route`, `.rule`). It costs host calls, so it is off by default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub access_log: bool,
    /// Key by which sessions are sealed (`sessionPersistence`): what a client presents counts only if it was sealed
    /// with the same key. Any text; without one, a seal is proof against mistakes but not against forgery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_key: Option<String>,
    /// The Gateway listeners, in any order.
    pub listeners: Vec<Listener>,
}

/// One listener of a Gateway (Gateway API `Listener`) and the routes attached to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Listener {
    /// `namespace/gateway/listener`; unique in the config.
    pub name: String,
    /// `namespace/gateway`. Listeners of one Gateway and port are alternatives for a request, chosen by its host.
    pub gateway: String,
    /// The port of the Gateway's listener, 1 to 65535 (not the one that Envoy binds, where that was moved).
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub port: u16,
    /// What is spoken on that port.
    pub protocol: Protocol,
    /// `foo.example.com`, `*.example.com` (one or more labels in place of the `*`), or absent for every host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Where else the listener's origins are served, in the words of RFC 7838: `h3=":443"; ma=86400`. Every answer gets
    /// it as its `alt-svc`, in place of what a backend says; a rule's own ResponseHeaderModifier has the last word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alt_svc: Option<String>,
    /// The attached routes, in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
}

/// Protocol of a listener (Gateway API `ProtocolType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Protocol {
    /// Cleartext HTTP/1.1 or HTTP/2.
    #[serde(rename = "HTTP")]
    Http,
    /// HTTP over TLS that the listener terminates.
    #[serde(rename = "HTTPS")]
    Https,
}

/// One HTTPRoute or GRPCRoute as attached to one listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Route {
    /// Kind of the object that the rules come from.
    pub kind: RouteKind,
    /// Namespace of that object; part of the tie-break.
    pub namespace: String,
    /// Name of that object; part of the tie-break.
    pub name: String,
    /// `metadata.creationTimestamp` in UTC, `2026-01-31T00:00:00Z`. Older wins a tie; a route without one is the
    /// youngest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<String>,
    /// The route's hostnames, already intersected with the listener's; empty means the listener's own hostname.
    #[serde(default, deserialize_with = "few", skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// The rules in the order of the route: the last tie-break.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// Kind of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RouteKind {
    /// `gateway.networking.k8s.io` HTTPRoute.
    #[serde(rename = "HTTPRoute")]
    HttpRoute,
    /// `gateway.networking.k8s.io` GRPCRoute. Its rules apply to gRPC requests alone, which are those whose
    /// `content-type` begins with `application/grpc`.
    #[serde(rename = "GRPCRoute")]
    GrpcRoute,
}

/// One rule of a route (Gateway API `HTTPRouteRule`, `GRPCRouteRule`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// The rule's own name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The rule applies when any of these matches; empty means every path.
    #[serde(default, deserialize_with = "few", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<RouteMatch>,
    /// Why the rule cannot be served as written. It still takes part in the choice, and answers 500, so that its
    /// requests never fall through to a broader rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
    /// What is done to the rule's requests and answers, in the order of the route.
    #[serde(default, deserialize_with = "few", skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<RouteFilter>,
    /// Name of the policy of Envoy's (timeouts, retries, mirrors) that the rule's requests are sent under. One that
    /// Envoy does not know answers 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Whether and how a client stays with the backend that it met first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
    /// Where requests go, by weight. Without any, or with all weights 0, the rule answers 500 (a GRPCRoute's:
    /// UNAVAILABLE).
    #[serde(default, deserialize_with = "few", skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<Backend>,
}

/// How a client stays with its backend (Gateway API `SessionPersistence`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SessionPersistence {
    /// What carries the session.
    #[serde(rename = "type", default)]
    pub kind: SessionType,
    /// Name of the cookie or header.
    pub session_name: String,
    /// Seconds after which a session ends, however busy it is; absent for no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absolute_timeout: Option<u64>,
    /// How long the client keeps the cookie.
    #[serde(default, skip_serializing_if = "CookieLifetimeType::is_default")]
    pub lifetime_type: CookieLifetimeType,
}

/// What carries a session (Gateway API `SessionPersistenceType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SessionType {
    /// A cookie.
    #[default]
    Cookie,
    /// A header, which the client copies from answers to requests.
    Header,
}

/// How long a client keeps the cookie of a session (Gateway API `CookieLifetimeType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CookieLifetimeType {
    /// As long as it runs.
    #[default]
    Session,
    /// Until `absoluteTimeout` is over, which must be given.
    Permanent,
}

impl CookieLifetimeType {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Conditions that a request must all meet (Gateway API `HTTPRouteMatch`, `GRPCRouteMatch`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RouteMatch {
    /// Absent means PathPrefix `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// All must match; of entries with the same name (in any case) only the first counts.
    #[serde(default, deserialize_with = "few", skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<ValueMatch>,
    /// All must match; of entries with the same name only the first counts.
    #[serde(default, deserialize_with = "few", skip_serializing_if = "Vec::is_empty")]
    pub query_params: Vec<ValueMatch>,
    /// Upper case, `GET`; absent means every method. Of HTTPRoutes alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The service and method that are called; absent means every one. Of GRPCRoutes alone, whose matches have this
    /// and `headers`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc_method: Option<GrpcMethodMatch>,
}

/// Condition on the service and the method that are called (Gateway API `GRPCMethodMatch`). One of the two at least is
/// given; what is absent matches all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct GrpcMethodMatch {
    /// How both are compared.
    #[serde(rename = "type", default)]
    pub kind: ValueMatchType,
    /// The service with its package, `helloworld.Greeter`, or an expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The method, `SayHello`, or an expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// Condition on the path, without the query string (Gateway API `HTTPPathMatch`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PathMatch {
    /// How `value` is compared.
    #[serde(rename = "type", default)]
    pub kind: PathMatchType,
    /// The path, prefix or expression.
    pub value: String,
}

/// How a path is compared (Gateway API `PathMatchType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum PathMatchType {
    /// The whole path, case-sensitive.
    Exact,
    /// By path elements, case-sensitive; a trailing `/` of the value means nothing.
    #[default]
    PathPrefix,
    /// The whole path must match the expression (Rust `regex` syntax).
    RegularExpression,
}

/// Condition on a header or a query parameter (Gateway API `HTTPHeaderMatch`, `HTTPQueryParamMatch`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ValueMatch {
    /// How `value` is compared.
    #[serde(rename = "type", default)]
    pub kind: ValueMatchType,
    /// Header name (any case) or query parameter name (case-sensitive).
    pub name: String,
    /// The value or expression.
    pub value: String,
}

/// How a value is compared (Gateway API `HeaderMatchType`, `QueryParamMatchType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ValueMatchType {
    /// The whole value, case-sensitive.
    #[default]
    Exact,
    /// The whole value must match the expression (Rust `regex` syntax).
    RegularExpression,
}

/// One share of a rule's requests (Gateway API `HTTPBackendRef`).
/// Exactly one of `cluster` and `invalid` is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Backend {
    /// Name of the Envoy cluster, `namespace/service/port`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Why this backend cannot be used; its share of the requests is answered 500 (a GRPCRoute's: UNAVAILABLE).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
    /// Name of the policy of Envoy's for this share, in place of the rule's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What is done to the requests of this share alone, and their answers, after the rule's own filters.
    #[serde(default, deserialize_with = "few", skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<RouteFilter>,
    /// Share of the rule's requests, relative to the sum of the rule's weights; 0 to 1,000,000.
    #[serde(default = "default_weight")]
    #[cfg_attr(feature = "schema", schemars(range(max = 1_000_000)))]
    pub weight: u32,
}

impl Default for FilterConfig {
    /// Nothing is served.
    fn default() -> Self {
        Self { version: VERSION, access_log: false, session_key: None, listeners: Vec::new() }
    }
}

impl Default for Backend {
    /// With the weight that is assumed where none is given.
    fn default() -> Self {
        Self { cluster: None, invalid: None, policy: None, filters: Vec::new(), weight: default_weight() }
    }
}

impl FilterConfig {
    /// The JSON Schema of the filter config, for editors and other tools.
    #[cfg(feature = "schema")]
    pub fn schema() -> schemars::Schema {
        schemars::schema_for!(FilterConfig)
    }
}

/// Reads a list that mostly has one entry. A vector that grows by itself begins with room for four, which in a large
/// config is most of the memory that it takes.
fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Few<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a sequence")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(entry) = entries.next_element()? {
                if list.is_empty() {
                    list.reserve_exact(1);
                }
                list.push(entry);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(Few(PhantomData))
}

fn default_weight() -> u32 {
    1
}

impl RouteKind {
    /// The kind as objects and references spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
        }
    }
}

impl fmt::Display for RouteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
