//! HTTPRoutes: their rules, once for each route, and their attachment to each parent.

use std::collections::BTreeMap;

use gatewasm_routing::config::{self, RouteKind};

use super::Problems;
use super::attach::{self, attach};
use super::backend::{Backends, Speaks};
use super::gateway::Gateway;
use super::reference_grant::From;
use super::{route_filter, route_match};
use crate::api::{
    CONTROLLER_NAME, GROUP, GatewayDefaultScope, HttpRoute, HttpRouteFilter, HttpRouteFilterType,
    HttpRouteRule, ParentReference,
};
use crate::object::{ObjectKey, ObjectRef};
use crate::snapshot::Snapshot;
use crate::status::{Conditions, Fault, RouteParentStatus, RouteStatus};

/// The rules of a route, and what is wrong with them.
#[derive(Default)]
struct Rules {
    rules: Vec<config::Rule>,
    /// Values that are not served: each makes its rule answer 500.
    unsupported: Vec<Fault>,
    /// Indexes of those rules.
    invalid: Vec<usize>,
    /// backendRefs that do not resolve.
    unresolved: Vec<Fault>,
}

/// Translates a route and attaches it. `None` where no Gateway of ours is a parent.
pub(super) fn translate(
    key: &ObjectKey,
    route: &HttpRoute,
    snapshot: &Snapshot,
    gateways: &mut BTreeMap<ObjectKey, Gateway<'_>>,
    backends: &mut Backends<'_>,
    problems: &mut Problems,
) -> Option<RouteStatus> {
    let place = ObjectRef::namespaced("HTTPRoute", key);
    let parents = parents(key, route, snapshot, gateways, &place, problems);
    if parents.is_empty() {
        return None;
    }
    let rules = translate_rules(key, route, backends, &place, problems);
    let all_invalid = rules.invalid.len() == rules.rules.len();
    let mut status = RouteStatus::default();
    for (i, parent, gateway_key) in parents {
        let Some(gateway) = gateways.get_mut(&gateway_key) else { continue };
        let conditions = Conditions::of(&route.metadata);
        let field = format!("spec.parentRefs[{i}]");
        let request = attach::Request {
            parent,
            field: &field,
            route_namespace: &key.namespace,
            gateway_namespace: &gateway_key.namespace,
            spec: &route.spec,
        };
        let mut list = Vec::new();
        match attach(&request, &gateway.listeners, snapshot) {
            Err(fault) => {
                problems.error(&place, &fault);
                list.push(conditions.route_refused(&[fault]));
            }
            Ok(attachments) => {
                let names: Vec<&str> = attachments
                    .iter()
                    .map(|attachment| &*gateway.listeners[attachment.listener].spec.name)
                    .collect();
                if all_invalid {
                    list.push(conditions.route_refused(&rules.unsupported));
                } else {
                    list.push(conditions.route_accepted(&names));
                }
                for attachment in attachments {
                    let listener = &mut gateway.listeners[attachment.listener];
                    // Two parentRefs can mean the same listener.
                    if listener
                        .routes
                        .last()
                        .is_some_and(|last| last.namespace == key.namespace && last.name == key.name)
                    {
                        continue;
                    }
                    if !all_invalid {
                        listener.attached += 1;
                    }
                    listener.routes.push(config_route(key, route, attachment.hostnames, &rules.rules));
                }
            }
        }
        list.push(conditions.resolved_refs(&rules.unresolved));
        if !rules.invalid.is_empty() && !all_invalid {
            list.push(conditions.partially_invalid(&rules.invalid, &rules.unsupported));
        }
        status.parents.push(RouteParentStatus {
            parent_ref: parent.clone(),
            controller_name: CONTROLLER_NAME,
            conditions: list,
        });
    }
    problems.errors(&place, &rules.unsupported);
    problems.errors(&place, &rules.unresolved);
    Some(status)
}

/// The parentRefs that name Gateways of ours, with their indexes. Others' Gateways are left alone.
fn parents<'r>(
    key: &ObjectKey,
    route: &'r HttpRoute,
    snapshot: &Snapshot,
    gateways: &BTreeMap<ObjectKey, Gateway<'_>>,
    place: &ObjectRef,
    problems: &mut Problems,
) -> Vec<(usize, &'r ParentReference, ObjectKey)> {
    let mut ours = Vec::new();
    for (i, parent) in route.spec.parent_refs.iter().enumerate() {
        let field = format!("spec.parentRefs[{i}]");
        let gateway = ObjectKey::new(parent.namespace.as_deref().unwrap_or(&key.namespace), &parent.name);
        if parent.group != GROUP || parent.kind != "Gateway" {
            let message =
                format!("Parents of kind {:?} are not supported; attach to a Gateway.", parent.kind);
            problems.warning(place, &Fault::new(format!("{field}.kind"), "UnsupportedValue", message));
        } else if gateways.contains_key(&gateway) {
            ours.push((i, parent, gateway));
        } else if !snapshot.gateways.contains_key(&gateway) {
            let message = format!("Gateway \"{gateway}\" does not exist.");
            problems.error(place, &Fault::new(format!("{field}.name"), "NoMatchingParent", message));
        }
    }
    if route.spec.parent_refs.is_empty() {
        let message = "The route names no parent, so it is not attached to anything.";
        problems.warning(place, &Fault::new("spec.parentRefs", "NoMatchingParent", message));
    }
    if route.spec.use_default_gateways == Some(GatewayDefaultScope::All) {
        let message = "Default Gateways are not supported; name a Gateway in parentRefs.";
        problems.warning(place, &Fault::new("spec.useDefaultGateways", "UnsupportedValue", message));
    }
    ours
}

fn config_route(
    key: &ObjectKey,
    route: &HttpRoute,
    hostnames: Vec<String>,
    rules: &[config::Rule],
) -> config::Route {
    // Years before 0 are not RFC 3339, and no cluster is that old.
    let created = route.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string());
    config::Route {
        kind: RouteKind::HttpRoute,
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        creation_timestamp: created.filter(|time| !time.starts_with('-')),
        hostnames,
        rules: rules.to_vec(),
    }
}

fn translate_rules(
    key: &ObjectKey,
    route: &HttpRoute,
    backends: &mut Backends<'_>,
    place: &ObjectRef,
    problems: &mut Problems,
) -> Rules {
    let mut rules = Rules::default();
    for (i, rule) in route.spec.rules.iter().enumerate() {
        let field = format!("spec.rules[{i}]");
        let mut faults = Vec::new();
        let mut matches = Vec::new();
        for (j, matched) in rule.matches.iter().enumerate() {
            let (matched, its_faults) = route_match::translate(matched, &format!("{field}.matches[{j}]"));
            matches.push(matched);
            faults.extend(its_faults);
        }
        let (mut filters, its_faults) =
            route_filter::translate(&rule.filters, &rule.matches, &format!("{field}.filters"));
        faults.extend(its_faults);
        if !rule.backend_refs.is_empty() && rule.filters.iter().any(redirects) {
            let message = "A rule with a RequestRedirect answers by itself; remove its backendRefs.";
            faults.push(Fault::new(format!("{field}.backendRefs"), "UnsupportedValue", message));
        }
        let from = From { kind: "HTTPRoute", namespace: &key.namespace };
        let mut shares = Vec::new();
        for (j, backend) in rule.backend_refs.iter().enumerate() {
            let field = format!("{field}.backendRefs[{j}]");
            let (mut share, fault) = backends.resolve(backend, from, Speaks::AsService, &field);
            rules.unresolved.extend(fault);
            let (filters, its_faults) =
                route_filter::translate(&backend.filters, &rule.matches, &format!("{field}.filters"));
            share.filters = filters;
            faults.extend(its_faults);
            shares.push(share);
        }
        if !shares.is_empty() && shares.iter().all(|share| share.weight == 0) {
            let message = "All weights are 0, so requests are answered 500.";
            problems.warning(place, &Fault::new(format!("{field}.backendRefs"), "NoWeight", message));
        }
        faults.extend(unsupported(rule, &field));
        if !faults.is_empty() {
            rules.invalid.push(i);
            // It answers 500, so they would be done to nothing; and they may not suit stand-ins of its matches.
            filters.clear();
            shares.iter_mut().for_each(|share| share.filters.clear());
        }
        rules.rules.push(config::Rule {
            name: rule.name.as_ref().map(ToString::to_string),
            matches,
            invalid: faults.first().map(ToString::to_string),
            filters,
            backends: shares,
            ..config::Rule::default()
        });
        rules.unsupported.extend(faults);
    }
    rules
}

fn redirects(filter: &HttpRouteFilter) -> bool {
    filter.kind == HttpRouteFilterType::RequestRedirect
}

/// What of a rule, besides matches and filters, is not served yet. It is never served without it.
fn unsupported(rule: &HttpRouteRule, field: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut refuse = |field: String, what: String| {
        faults.push(Fault::new(field, "UnsupportedValue", format!("{what} not supported yet.")));
    };
    // A timeout of zero is none, and a rule without timeouts has none.
    let timeouts = rule.timeouts.iter();
    let timeouts = timeouts.flat_map(|t| [("request", &t.request), ("backendRequest", &t.backend_request)]);
    for (name, timeout) in timeouts {
        if timeout.as_ref().is_some_and(|timeout| !timeout.is_zero()) {
            refuse(format!("{field}.timeouts.{name}"), "Timeouts are".to_owned());
        }
    }
    if rule.retry.is_some() {
        refuse(format!("{field}.retry"), "Retries are".to_owned());
    }
    if rule.session_persistence.is_some() {
        refuse(format!("{field}.sessionPersistence"), "Session persistence is".to_owned());
    }
    faults
}
