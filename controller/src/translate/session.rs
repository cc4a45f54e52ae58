//! `sessionPersistence` of a rule (GEP-1619).

use std::collections::BTreeSet;

use gatewasm_routing::check_session_persistence;
use gatewasm_routing::config::{self, CookieLifetimeType, FilterConfig, SessionType};

use super::backend::Backends;
use super::route_kind::Route;
use crate::api::{self, HttpBackendRef, SessionPersistence};
use crate::digest::digits;
use crate::fault::{Fault, sentence};
use crate::object::ObjectKey;

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
    let kind = match session.kind {
        None | Some(api::SessionPersistenceType::Cookie) => SessionType::Cookie,
        Some(api::SessionPersistenceType::Header) => SessionType::Header,
    };
    let given = session.session_name.clone().filter(|name| !name.is_empty());
    let lifetime = session.cookie_config.as_ref().and_then(|cookie| cookie.lifetime_type);
    let translated = config::SessionPersistence {
        kind,
        session_name: given.unwrap_or_else(|| derived_name(route, index)),
        // Max-Age, and what the filter keeps, are in whole seconds. None is cut short.
        absolute_timeout: session.absolute_timeout.as_ref().map(|timeout| {
            let timeout = timeout.get();
            timeout.as_secs() + u64::from(timeout.subsec_nanos() > 0)
        }),
        lifetime_type: match (kind, lifetime) {
            (SessionType::Cookie, Some(api::CookieLifetimeType::Permanent)) => CookieLifetimeType::Permanent,
            _ => CookieLifetimeType::Session,
        },
    };
    let mut faults: Vec<Fault> = check_session_persistence(&translated)
        .iter()
        .map(|problem| {
            let name = &translated.session_name;
            let message = match (problem.path.as_str(), kind) {
                ("sessionName", SessionType::Cookie) => {
                    format!("{name:?} is not the name of a cookie; use letters, digits, \"-\" and \"_\".")
                }
                ("sessionName", SessionType::Header) => {
                    format!("Header {name:?} cannot carry sessions; use another one, such as \"X-Session\".")
                }
                _ => sentence(&problem.message),
            };
            Fault::new(format!("{field}.{}", problem.path), "UnsupportedValue", message)
        })
        .collect();
    // The GEP has a route refused whose Service has an affinity of its own.
    let affine: BTreeSet<ObjectKey> = used
        .iter()
        .filter_map(|backend| backends.with_affinity(backend, &route.header.key.namespace))
        .collect();
    faults.extend(affine.into_iter().map(|service| {
        let message = format!(
            "Service \"{service}\" has sessionAffinity \"ClientIP\", which cannot stand beside this; set it to \
             \"None\", or remove this field."
        );
        Fault::new(&field, "UnsupportedValue", message)
    }));
    (translated, faults)
}

/// "If `SessionName` is not specified, then a unique cookie name should be generated." The same for the same rule, so
/// that sessions outlive a restart, and nothing that tells a client where it comes from. A rule is known by its name,
/// or its place, as it is to the filter (decision record 0012).
fn derived_name(route: &Route<'_>, index: usize) -> String {
    let rule = match route.rules.get(index).and_then(|rule| rule.name) {
        Some(name) => format!("name/{name}"),
        None => index.to_string(),
    };
    let identity = format!("{}/{}/{rule}", route.header.kind, route.header.key);
    format!("session-{}", digits(identity))
}
