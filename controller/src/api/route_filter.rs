//! Filters of a rule or backendRef (`HTTPRouteFilter` in apis/v1/httproute_types.go).

use serde::Deserialize;

use super::text::open_enum;
use super::{BackendObjectReference, HeaderName, LocalObjectReference, Port, PreciseHostname};

/// `HTTPRouteFilter`: the member named by `type` is set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteFilter {
    /// Which filter this is.
    #[serde(rename = "type")]
    pub kind: HttpRouteFilterType,
    /// For `RequestHeaderModifier`.
    pub request_header_modifier: Option<HttpHeaderFilter>,
    /// For `ResponseHeaderModifier`.
    pub response_header_modifier: Option<HttpHeaderFilter>,
    /// For `RequestMirror`.
    pub request_mirror: Option<HttpRequestMirrorFilter>,
    /// For `RequestRedirect`.
    pub request_redirect: Option<HttpRequestRedirectFilter>,
    /// For `URLRewrite`.
    pub url_rewrite: Option<HttpUrlRewriteFilter>,
    /// For `CORS`.
    pub cors: Option<HttpCorsFilter>,
    /// For `ExternalAuth` (experimental).
    pub external_auth: Option<HttpExternalAuthFilter>,
    /// For `ExtensionRef`.
    pub extension_ref: Option<LocalObjectReference>,
}

open_enum!(
    /// `HTTPRouteFilterType`.
    HttpRouteFilterType {
        /// Changes request headers.
        RequestHeaderModifier = "RequestHeaderModifier",
        /// Changes response headers.
        ResponseHeaderModifier = "ResponseHeaderModifier",
        /// Answers with a redirect.
        RequestRedirect = "RequestRedirect",
        /// Changes host and path.
        UrlRewrite = "URLRewrite",
        /// Sends a copy elsewhere.
        RequestMirror = "RequestMirror",
        /// Cross-origin requests.
        Cors = "CORS",
        /// Asks another service.
        ExternalAuth = "ExternalAuth",
        /// An implementation's own.
        ExtensionRef = "ExtensionRef",
    }
);

/// `HTTPHeaderFilter`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpHeaderFilter {
    /// Headers that replace those of the same name.
    #[serde(default)]
    pub set: Vec<HttpHeader>,
    /// Headers that join those of the same name.
    #[serde(default)]
    pub add: Vec<HttpHeader>,
    /// Names of headers that are taken away.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// `HTTPHeader`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpHeader {
    /// Name. What is not a header's name costs the rule, not the route, so it is not a [`HeaderName`].
    pub name: String,
    /// Value.
    pub value: String,
}

/// `HTTPRequestMirrorFilter`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequestMirrorFilter {
    /// Where copies go.
    pub backend_ref: BackendObjectReference,
    /// How many of a hundred requests.
    pub percent: Option<u8>,
    /// How many of how many requests.
    pub fraction: Option<Fraction>,
}

/// `Fraction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fraction {
    /// So many
    pub numerator: u32,
    /// of so many; 100 where absent.
    pub denominator: Option<u32>,
}

/// `HTTPRequestRedirectFilter`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequestRedirectFilter {
    /// `http` or `https`.
    pub scheme: Option<RedirectScheme>,
    /// Host of the Location.
    pub hostname: Option<PreciseHostname>,
    /// Path of the Location.
    pub path: Option<HttpPathModifier>,
    /// Port of the Location.
    pub port: Option<Port>,
    /// Status; 302 where absent.
    pub status_code: Option<u16>,
}

open_enum!(
    /// Scheme of a redirect.
    RedirectScheme {
        /// Cleartext.
        Http = "http",
        /// TLS.
        Https = "https",
    }
);

/// `HTTPPathModifier`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpPathModifier {
    /// Which member is set.
    #[serde(rename = "type")]
    pub kind: HttpPathModifierType,
    /// For `ReplaceFullPath`.
    pub replace_full_path: Option<String>,
    /// For `ReplacePrefixMatch`.
    pub replace_prefix_match: Option<String>,
}

open_enum!(
    /// `HTTPPathModifierType`.
    HttpPathModifierType {
        /// The whole path.
        ReplaceFullPath = "ReplaceFullPath",
        /// What the PathPrefix matched.
        ReplacePrefixMatch = "ReplacePrefixMatch",
    }
);

/// `HTTPURLRewriteFilter`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpUrlRewriteFilter {
    /// The Host that the backend sees.
    pub hostname: Option<PreciseHostname>,
    /// The path that the backend sees.
    pub path: Option<HttpPathModifier>,
}

/// `HTTPCORSFilter`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpCorsFilter {
    /// Origins that may ask.
    #[serde(default)]
    pub allow_origins: Vec<String>,
    /// Whether with credentials.
    pub allow_credentials: Option<bool>,
    /// Methods.
    #[serde(default)]
    pub allow_methods: Vec<String>,
    /// Request headers.
    #[serde(default)]
    pub allow_headers: Vec<HeaderName>,
    /// Response headers that scripts may read.
    #[serde(default)]
    pub expose_headers: Vec<HeaderName>,
    /// Seconds that a preflight's answer may be kept.
    pub max_age: Option<u32>,
}

/// `HTTPExternalAuthFilter`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpExternalAuthFilter {
    /// `HTTP` or `GRPC`.
    pub protocol: String,
    /// The service that is asked.
    pub backend_ref: BackendObjectReference,
    /// For `GRPC`.
    pub grpc: Option<GrpcAuthConfig>,
    /// For `HTTP`.
    pub http: Option<HttpAuthConfig>,
    /// Whether it sees the body.
    pub forward_body: Option<ForwardBodyConfig>,
}

/// `GRPCAuthConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrpcAuthConfig {
    /// Request headers that it sees.
    #[serde(default)]
    pub allowed_headers: Vec<String>,
}

/// `HTTPAuthConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HttpAuthConfig {
    /// Prefix of the path that is asked.
    pub path: Option<String>,
    /// Request headers that it sees.
    #[serde(default)]
    pub allowed_headers: Vec<String>,
    /// Headers of its answer that the backend sees.
    #[serde(default)]
    pub allowed_response_headers: Vec<String>,
}

/// `ForwardBodyConfig`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardBodyConfig {
    /// Most bytes of the body.
    pub max_size: Option<u16>,
}
