//! Filters of a rule and of its backendRefs. What is not served, or not as written, is a fault that makes the rule
//! answer 500: a filter that cannot be handled "MUST NOT be skipped. Instead, requests that would have been processed
//! by that filter MUST receive a HTTP error response" (`HTTPRouteFilter.type`).

use gatewasm_routing::check_filters;
use gatewasm_routing::config::{self, HeaderModifier, PathModifier, RouteFilter, RouteKind};

use super::route_match::unknown_type;
use crate::api::{
    GRPC_FILTER_TYPES, HeaderName, HttpCorsFilter, HttpHeader, HttpHeaderFilter, HttpPathModifier,
    HttpPathModifierType, HttpRequestRedirectFilter, HttpRouteFilter, HttpRouteFilterType, HttpRouteMatch,
    HttpUrlRewriteFilter, PathMatchType,
};
use crate::fault::{Fault, sentence};

/// What filters need of the matches is checked here, more strictly than by the filter config, and before any of them
/// gets a stand-in.
const NO_MATCHES: &[config::RouteMatch] = &[];

/// Seconds that a preflight's answer is kept where a CORS filter does not say (`HTTPCORSFilter.maxAge`).
const DEFAULT_MAX_AGE: u32 = 5;

/// Where a list of filters stands.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) kind: RouteKind,
    /// Those of its rule, of an HTTPRoute.
    pub(super) matches: &'a [HttpRouteMatch],
    /// Whether it is that of a single backendRef.
    pub(super) of_backend: bool,
}

/// The filters of a list for the filter config, and what is wrong with them, in order. With a fault there are none.
/// `field` is that of the list.
pub(super) fn translate(
    filters: &[HttpRouteFilter],
    scope: Scope<'_>,
    field: &str,
) -> (Vec<RouteFilter>, Vec<Fault>) {
    let mut result = Vec::new();
    // Where in the list each filter of the result stands, and each fault.
    let mut places = Vec::new();
    let mut faults = Vec::new();
    for (i, filter) in filters.iter().enumerate() {
        // Mirrors are Envoy's (see `policy`).
        if filter.kind == HttpRouteFilterType::RequestMirror {
            continue;
        }
        match route_filter(filter, scope, &format!("{field}[{i}]")) {
            Ok(filter) => {
                places.push(i);
                result.push(filter);
            }
            Err(its_faults) => faults.extend(its_faults.into_iter().map(|fault| (i, fault))),
        }
    }
    for problem in check_filters(&result, NO_MATCHES) {
        let (place, member) = match split(&problem.path) {
            Some((index, member)) => (places.get(index).copied(), member),
            None => (None, ""),
        };
        let field = place.map_or_else(|| field.to_owned(), |place| format!("{field}[{place}]{member}"));
        // Members are wrong by themselves; a type, and the list as a whole, beside others.
        let reason = if matches!(member, "" | ".type") { "IncompatibleFilters" } else { "UnsupportedValue" };
        let message = sentence(&problem.message);
        faults.push((place.unwrap_or(filters.len()), Fault::new(field, reason, message)));
    }
    faults.sort_by_key(|(place, _)| *place);
    if !faults.is_empty() {
        result.clear();
    }
    (result, faults.into_iter().map(|(_, fault)| fault).collect())
}

/// `filters[1].urlRewrite.path` is `.urlRewrite.path` of the filter 1.
fn split(path: &str) -> Option<(usize, &str)> {
    let (index, member) = path.strip_prefix("filters[")?.split_once(']')?;
    Some((index.parse().ok()?, member))
}

fn route_filter(filter: &HttpRouteFilter, scope: Scope<'_>, field: &str) -> Result<RouteFilter, Vec<Fault>> {
    let refuse = |field: String, message: String| Err(vec![Fault::new(field, "UnsupportedValue", message)]);
    let path_of = |path: Option<&HttpPathModifier>, member: &str| {
        path_modifier(path, scope.matches, &format!("{field}.{member}.path")).map_err(|fault| vec![fault])
    };
    // Reading an object sees to it that the member which `type` names is there.
    match &filter.kind {
        HttpRouteFilterType::RequestHeaderModifier => {
            let modifier = filter.request_header_modifier.as_ref();
            let request_header_modifier = modifier.map(header_modifier).unwrap_or_default();
            Ok(RouteFilter::RequestHeaderModifier { request_header_modifier })
        }
        HttpRouteFilterType::ResponseHeaderModifier => {
            let modifier = filter.response_header_modifier.as_ref();
            let response_header_modifier = modifier.map(header_modifier).unwrap_or_default();
            Ok(RouteFilter::ResponseHeaderModifier { response_header_modifier })
        }
        HttpRouteFilterType::RequestRedirect => {
            let redirect = filter.request_redirect.clone().unwrap_or_default();
            let HttpRequestRedirectFilter { scheme, hostname, path, port, status_code } = redirect;
            let path = path_of(path.as_ref(), "requestRedirect")?;
            let request_redirect = config::RequestRedirect {
                scheme: scheme.map(|scheme| scheme.to_string()),
                hostname: hostname.map(String::from),
                path,
                port: port.map(u16::from),
                status_code,
            };
            Ok(RouteFilter::RequestRedirect { request_redirect })
        }
        HttpRouteFilterType::UrlRewrite => {
            let HttpUrlRewriteFilter { hostname, path } = filter.url_rewrite.clone().unwrap_or_default();
            let path = path_of(path.as_ref(), "urlRewrite")?;
            let url_rewrite = config::UrlRewrite { hostname: hostname.map(String::from), path };
            Ok(RouteFilter::UrlRewrite { url_rewrite })
        }
        // A preflight request goes to no backend, so it could not be known whose answer it gets.
        HttpRouteFilterType::Cors if scope.of_backend => {
            let message = "CORS is for a rule as a whole; move this filter to the rule's own filters.";
            refuse(field.to_owned(), message.to_owned())
        }
        HttpRouteFilterType::Cors => {
            let cors = cors(&filter.cors.clone().unwrap_or_default());
            Ok(RouteFilter::Cors { cors })
        }
        HttpRouteFilterType::Other(other) => {
            let known = match scope.kind {
                RouteKind::HttpRoute => HttpRouteFilterType::KNOWN,
                RouteKind::GrpcRoute => GRPC_FILTER_TYPES,
            };
            refuse(format!("{field}.type"), unknown_type(other, known))
        }
        unsupported => {
            let message =
                format!("Filters of type {:?} are not supported; remove it.", unsupported.to_string());
            refuse(field.to_owned(), message)
        }
    }
}

fn header_modifier(modifier: &HttpHeaderFilter) -> HeaderModifier {
    let headers = |list: &[HttpHeader]| {
        let header =
            |header: &HttpHeader| config::Header { name: header.name.clone(), value: header.value.clone() };
        list.iter().map(header).collect()
    };
    HeaderModifier {
        set: headers(&modifier.set),
        add: headers(&modifier.add),
        remove: modifier.remove.clone(),
    }
}

fn cors(cors: &HttpCorsFilter) -> config::Cors {
    let names = |list: &[HeaderName]| list.iter().map(ToString::to_string).collect();
    config::Cors {
        allow_origins: cors.allow_origins.clone(),
        allow_credentials: cors.allow_credentials == Some(true),
        allow_methods: cors.allow_methods.clone(),
        allow_headers: names(&cors.allow_headers),
        expose_headers: names(&cors.expose_headers),
        max_age: cors.max_age.unwrap_or(DEFAULT_MAX_AGE),
    }
}

/// By the validation rules of `HTTPPathModifier`, and those of `HTTPRouteRule` about `ReplacePrefixMatch`.
fn path_modifier(
    path: Option<&HttpPathModifier>,
    matches: &[HttpRouteMatch],
    field: &str,
) -> Result<Option<PathModifier>, Fault> {
    let Some(HttpPathModifier { kind, replace_full_path, replace_prefix_match }) = path else {
        return Ok(None);
    };
    let refuse =
        |member: &str, message| Err(Fault::new(format!("{field}.{member}"), "UnsupportedValue", message));
    let missing = || format!("This field is required for type {:?}.", kind.to_string());
    let not_of_type = || format!("Type {:?} does not have this field.", kind.to_string());
    match (kind, replace_full_path, replace_prefix_match) {
        (HttpPathModifierType::ReplaceFullPath, Some(value), None) => {
            Ok(Some(PathModifier::ReplaceFullPath { replace_full_path: value.clone() }))
        }
        (HttpPathModifierType::ReplacePrefixMatch, None, Some(value)) => {
            if has_one_prefix(matches) {
                Ok(Some(PathModifier::ReplacePrefixMatch { replace_prefix_match: value.clone() }))
            } else {
                let message = "ReplacePrefixMatch needs a rule with exactly one match, and in it a path of type \
                               PathPrefix; split the rule, or use ReplaceFullPath.";
                refuse("type", message.to_owned())
            }
        }
        (HttpPathModifierType::ReplaceFullPath, None, _) => refuse("replaceFullPath", missing()),
        (HttpPathModifierType::ReplaceFullPath, ..) => refuse("replacePrefixMatch", not_of_type()),
        (HttpPathModifierType::ReplacePrefixMatch, _, None) => refuse("replacePrefixMatch", missing()),
        (HttpPathModifierType::ReplacePrefixMatch, ..) => refuse("replaceFullPath", not_of_type()),
        (HttpPathModifierType::Other(other), ..) => {
            refuse("type", unknown_type(other, HttpPathModifierType::KNOWN))
        }
    }
}

/// Absent matches and an absent path are PathPrefix `/` by the CRD's defaults.
fn has_one_prefix(matches: &[HttpRouteMatch]) -> bool {
    match matches {
        [] => true,
        [only] => only.path.as_ref().is_none_or(|path| path.kind == PathMatchType::PathPrefix),
        _ => false,
    }
}
