//! `sessionPersistence` of a rule (GEP-1619).

use gatewasm_routing::check_filters;
use gatewasm_routing::config::{
    self, CookieLifetimeType, FilterConfig, HeaderModifier, RouteFilter, SessionType,
};
use sha2::{Digest as _, Sha256};

use super::backend::Backends;
use super::route_kind::{Route, kind_name};
use crate::api::{self, HttpBackendRef, SessionPersistence};
use crate::fault::Fault;

/// Gives the filter the key by which it seals sessions, where any rule keeps some.
pub fn seal_sessions(config: &mut FilterConfig, key: Option<&str>) {
    let mut rules = config.listeners.iter().flat_map(|it| &it.routes).flat_map(|route| &route.rules);
    let any = rules.any(|rule| rule.session_persistence.is_some());
    config.session_key = key.filter(|_| any).map(str::to_owned);
}

/// The session of the route's rule `index` with these `backends`, and what is wrong with it.
pub(super) fn translate(
    session: &SessionPersistence,
    route: &Route<'_>,
    index: usize,
    used: &[&HttpBackendRef],
    backends: &Backends<'_>,
) -> (config::SessionPersistence, Vec<Fault>) {
    let field = format!("spec.rules[{index}].sessionPersistence");
    let mut faults = Vec::new();
    let mut refuse = |field: String, message: String| {
        faults.push(Fault::new(field, "UnsupportedValue", message));
    };
    let kind = match session.kind {
        None | Some(api::SessionPersistenceType::Cookie) => SessionType::Cookie,
        Some(api::SessionPersistenceType::Header) => SessionType::Header,
    };
    let given = session.session_name.clone().filter(|name| !name.is_empty());
    if let Some(name) = &given
        && let Err(message) = check_name(kind, name)
    {
        refuse(format!("{field}.sessionName"), message);
    }
    // Max-Age, and what the filter keeps, are in whole seconds. None is cut short.
    let absolute_timeout = session.absolute_timeout.as_ref().map(|timeout| timeout.get().as_millis());
    if absolute_timeout == Some(0) {
        let message = "A session that ends at once keeps nobody; use a longer time, or remove this field.";
        refuse(format!("{field}.absoluteTimeout"), message.to_owned());
    }
    for backend in used {
        // The GEP has the route refused where the Service has an affinity of its own.
        if let Some(service) = backends.with_affinity(backend, &route.key.namespace) {
            let message = format!(
                "Service \"{service}\" has sessionAffinity \"ClientIP\", which cannot stand beside this; set it to \
                 \"None\", or remove this field."
            );
            refuse(field.clone(), message);
        }
    }
    let lifetime = session.cookie_config.as_ref().and_then(|cookie| cookie.lifetime_type);
    let lifetime_type = match (kind, lifetime) {
        (SessionType::Cookie, Some(api::CookieLifetimeType::Permanent)) => CookieLifetimeType::Permanent,
        _ => CookieLifetimeType::Session,
    };
    let session = config::SessionPersistence {
        kind,
        session_name: given.unwrap_or_else(|| derived_name(route, index)),
        absolute_timeout: absolute_timeout.and_then(|time| u64::try_from(time.div_ceil(1000)).ok()),
        lifetime_type,
    };
    (session, faults)
}

/// "If `SessionName` is not specified, then a unique cookie name should be generated." The same for the same rule, so
/// that sessions outlive a restart, and nothing that tells a client where it comes from.
fn derived_name(route: &Route<'_>, index: usize) -> String {
    let identity = format!("{}/{}/{index}", kind_name(route.kind), route.key);
    let digest = Sha256::digest(identity);
    let hexadecimal: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("session-{hexadecimal}")
}

/// Names of cookies and headers are tokens of RFC 9110. A session's header is set on answers, so what header
/// modifiers must leave alone it must leave alone too, and what carries cookies as well.
fn check_name(kind: SessionType, name: &str) -> Result<(), String> {
    if api::HeaderName::try_from(name.to_owned()).is_err() {
        return Err(format!(
            "{name:?} is no name of a cookie or header; use letters, digits, \"-\" and \"_\"."
        ));
    }
    let header = config::Header { name: name.to_owned(), value: String::new() };
    let response_header_modifier = HeaderModifier { set: vec![header], ..HeaderModifier::default() };
    let modifier = RouteFilter::ResponseHeaderModifier { response_header_modifier };
    let is_reserved = ["cookie", "set-cookie"].contains(&name.to_ascii_lowercase().as_str())
        || !check_filters(&[modifier], &[]).is_empty();
    if kind == SessionType::Header && is_reserved {
        return Err(format!(
            "Header {name:?} cannot carry sessions; use another one, such as \"X-Session\"."
        ));
    }
    Ok(())
}
