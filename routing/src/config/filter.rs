//! The filters of rules and backends in the filter config. Data only, as everything beside it.

use serde::{Deserialize, Serialize};

/// One step of what is done to requests and answers (Gateway API `HTTPRouteFilter`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", deny_unknown_fields, rename_all_fields = "camelCase")]
pub enum RouteFilter {
    /// Changes headers on their way to the backend.
    RequestHeaderModifier {
        /// The changes.
        request_header_modifier: HeaderModifier,
    },
    /// Changes headers on their way back to the client.
    ResponseHeaderModifier {
        /// The changes.
        response_header_modifier: HeaderModifier,
    },
    /// Answers with another location. The rule needs no backends.
    RequestRedirect {
        /// The location.
        request_redirect: RequestRedirect,
    },
    /// Changes host and path on their way to the backend.
    #[serde(rename = "URLRewrite")]
    UrlRewrite {
        /// The changes.
        url_rewrite: UrlRewrite,
    },
    /// Lets scripts of other origins use the rule, and answers their preflight requests. Of rules alone, not of
    /// single backends.
    #[serde(rename = "CORS")]
    Cors {
        /// Who may do what.
        cors: Cors,
    },
}

/// Which scripts of other origins may use a rule, and how (Gateway API `HTTPCORSFilter`; Fetch standard, CORS
/// protocol).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Cors {
    /// Origins, `https://foo.example.com:8443` or `https://*.example.com`; `*` alone for every origin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_origins: Vec<String>,
    /// Whether requests may carry credentials.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_credentials: bool,
    /// Methods, or `*` for every method.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_methods: Vec<String>,
    /// Request headers, or `*` for every header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_headers: Vec<String>,
    /// Headers of the answer that the script may read, or `*` for every header.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose_headers: Vec<String>,
    /// Seconds for which the answer to a preflight request may be kept.
    #[serde(default = "default_max_age")]
    pub max_age: u32,
}

/// Gateway API `HTTPCORSFilter.maxAge`.
fn default_max_age() -> u32 {
    5
}

/// Changes of headers, by name in any case; a name may stand in one of the three lists only (Gateway API
/// `HTTPHeaderFilter`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HeaderModifier {
    /// Headers that get this value, whatever they had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<Header>,
    /// Headers that get this value behind what they had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<Header>,
    /// Headers that are taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// A header with its value (Gateway API `HTTPHeader`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Header {
    /// Name, in any case.
    pub name: String,
    /// Value.
    pub value: String,
}

/// Another location (Gateway API `HTTPRequestRedirectFilter`). What is absent is as in the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RequestRedirect {
    /// `http` or `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Host, without a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Path; the query string stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
    /// Port. Absent: the scheme's own port where `scheme` is set, else the listener's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308; absent means 302.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
}

/// Another host and path towards the backend (Gateway API `HTTPURLRewriteFilter`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct UrlRewrite {
    /// Value of the Host header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Path; the query string stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
}

/// A change of the path (Gateway API `HTTPPathModifier`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", deny_unknown_fields, rename_all_fields = "camelCase")]
pub enum PathModifier {
    /// The whole path.
    ReplaceFullPath {
        /// What the path becomes.
        replace_full_path: String,
    },
    /// The prefix that the match's PathPrefix matched; all matches of the rule must have one.
    ReplacePrefixMatch {
        /// What stands in its place.
        replace_prefix_match: String,
    },
}
