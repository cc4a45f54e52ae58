//! Routes of every kind: their rules, once for each route, and their attachment to each parent.

use std::collections::BTreeMap;

use gatewasm_routing::config;

use super::Problems;
use super::attach::{self, attach};
use super::backend::Backends;
use super::gateway::Gateway;
use super::policy;
use super::route_filter::{self, Scope};
use super::route_kind::Route;
use super::session;
use crate::api::{
    CONTROLLER_NAME, GROUP, GatewayDefaultScope, HttpRouteFilter, HttpRouteFilterType, ParentReference,
};
use crate::model::Policy;
use crate::object::{ObjectKey, ObjectRef};
use crate::snapshot::Snapshot;
use crate::status::{Conditions, Fault, RouteParentStatus, RouteStatus};

/// The rules of a route, and what is wrong with them.
#[derive(Default)]
struct Rules {
    rules: Vec<config::Rule>,
    /// Values that are not served: each makes its rule fail.
    unsupported: Vec<Fault>,
    /// Indexes of those rules.
    invalid: Vec<usize>,
    /// backendRefs that do not resolve.
    unresolved: Vec<Fault>,
}

/// Translates a route and attaches it. `None` where no Gateway of ours is a parent.
pub(super) fn translate(
    route: &Route<'_>,
    snapshot: &Snapshot,
    gateways: &mut BTreeMap<ObjectKey, Gateway<'_>>,
    backends: &mut Backends<'_>,
    problems: &mut Problems,
) -> Option<RouteStatus> {
    let place = route.place();
    let parents = parents(route, snapshot, gateways, &place, problems);
    let refused = default_gateways(route);
    if parents.is_empty() {
        // There is no parent in whose status this could stand.
        problems.errors(&place, refused.as_slice());
        return None;
    }
    backends.take_referred();
    let rules = translate_rules(route, refused.as_ref(), backends, &place, problems);
    let services = backends.take_referred();
    let all_invalid =
        refused.is_some() || (!rules.invalid.is_empty() && rules.invalid.len() == rules.rules.len());
    let mut status = RouteStatus::default();
    for (i, parent, gateway_key) in parents {
        let Some(gateway) = gateways.get_mut(&gateway_key) else { continue };
        let conditions = Conditions::of(route.metadata);
        let field = format!("spec.parentRefs[{i}]");
        let request =
            attach::Request { parent, field: &field, gateway_namespace: &gateway_key.namespace, route };
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
                    backends.used(&gateway_key, &services);
                    list.push(conditions.route_accepted(&names));
                }
                for attachment in attachments {
                    let listener = &mut gateway.listeners[attachment.listener];
                    let attached = config_route(route, attachment.hostnames, &rules.rules);
                    // Two parentRefs can mean the same listener.
                    let identity = |it: &config::Route| (it.kind, it.namespace.clone(), it.name.clone());
                    if listener.routes.last().is_some_and(|last| identity(last) == identity(&attached)) {
                        continue;
                    }
                    if !all_invalid {
                        listener.attached += 1;
                    }
                    listener.routes.push(attached);
                }
            }
        }
        list.push(conditions.resolved_refs(&rules.unresolved));
        if !rules.invalid.is_empty() && !all_invalid {
            list.push(conditions.partially_invalid(&rules.invalid, route.failure(), &rules.unsupported));
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
    route: &Route<'r>,
    snapshot: &Snapshot,
    gateways: &BTreeMap<ObjectKey, Gateway<'_>>,
    place: &ObjectRef,
    problems: &mut Problems,
) -> Vec<(usize, &'r ParentReference, ObjectKey)> {
    let mut ours = Vec::new();
    for (i, parent) in route.parent_refs.iter().enumerate() {
        let field = format!("spec.parentRefs[{i}]");
        let gateway =
            ObjectKey::new(parent.namespace.as_deref().unwrap_or(&route.key.namespace), &parent.name);
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
    if route.parent_refs.is_empty() {
        let message = "The route names no parent, so it is not attached to anything.";
        problems.warning(place, &Fault::new("spec.parentRefs", "NoMatchingParent", message));
    }
    ours
}

/// Why no rule of the route is served. "All" asks for Gateways that the route does not name; that those it names serve
/// it is not what it asks for, and half of it might be the half without protection.
fn default_gateways(route: &Route<'_>) -> Option<Fault> {
    let wanted = route.use_default_gateways == Some(GatewayDefaultScope::All);
    wanted.then(|| {
        let message =
            "Default Gateways are not supported; name every Gateway in parentRefs, and remove this field.";
        Fault::new("spec.useDefaultGateways", "UnsupportedValue", message)
    })
}

fn config_route(route: &Route<'_>, hostnames: Vec<String>, rules: &[config::Rule]) -> config::Route {
    // Years before 0 are not RFC 3339, and no cluster is that old.
    let created = route.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string());
    config::Route {
        kind: route.kind,
        namespace: route.key.namespace.clone(),
        name: route.key.name.clone(),
        creation_timestamp: created.filter(|time| !time.starts_with('-')),
        hostnames,
        rules: rules.to_vec(),
    }
}

/// The rules of the route; where it is `refused` as a whole, none is served.
fn translate_rules(
    route: &Route<'_>,
    refused: Option<&Fault>,
    backends: &mut Backends<'_>,
    place: &ObjectRef,
    problems: &mut Problems,
) -> Rules {
    let mut rules = Rules { unsupported: refused.cloned().into_iter().collect(), ..Rules::default() };
    if route.rules.is_empty() {
        let message = "The route has no rules, so it takes no request.";
        problems.warning(place, &Fault::new("spec.rules", "NoRules", message));
    }
    for (i, rule) in route.rules.iter().enumerate() {
        let field = format!("spec.rules[{i}]");
        let (matches, mut faults) = rule.matches.translate(&format!("{field}.matches"));
        let scope = Scope { kind: route.kind, matches: rule.matches.http(), of_backend: false };
        let (mut filters, its_faults) =
            route_filter::translate(rule.filters, scope, &format!("{field}.filters"));
        faults.extend(its_faults);
        let (from, speaks) = (route.referrer(), route.speaks());
        let (mut policy, its_faults) = policy::limits(rule.timeouts, rule.retry, &field);
        faults.extend(its_faults);
        policy.session = rule.session_persistence.is_some();
        let mirrors = policy::mirrors(rule.filters, backends, from, speaks, &format!("{field}.filters"));
        policy.mirrors = mirrors.mirrors;
        faults.extend(mirrors.unsupported);
        rules.unresolved.extend(mirrors.unresolved);
        if !rule.backend_refs.is_empty() && rule.filters.iter().any(redirects) {
            let message = "A rule with a RequestRedirect answers by itself; remove its backendRefs.";
            faults.push(Fault::new(format!("{field}.backendRefs"), "UnsupportedValue", message));
        }
        let mut shares = Vec::new();
        for (j, backend) in rule.backend_refs.iter().enumerate() {
            let field = format!("{field}.backendRefs[{j}]");
            let (mut share, fault) = backends.resolve(backend, from, speaks, &field);
            rules.unresolved.extend(fault);
            let scope = Scope { of_backend: true, ..scope };
            let (filters, its_faults) =
                route_filter::translate(&backend.filters, scope, &format!("{field}.filters"));
            share.filters = filters;
            faults.extend(its_faults);
            let mirrors =
                policy::mirrors(&backend.filters, backends, from, speaks, &format!("{field}.filters"));
            faults.extend(mirrors.unsupported);
            rules.unresolved.extend(mirrors.unresolved);
            if !mirrors.mirrors.is_empty() && share.cluster.is_some() {
                let all = policy.mirrors.iter().cloned().chain(mirrors.mirrors).collect();
                share.policy = backends.policy(Policy { mirrors: all, ..policy.clone() });
            }
            shares.push(share);
        }
        if !shares.is_empty() && shares.iter().all(|share| share.weight == 0) {
            let message = format!("All weights are 0, so requests are answered {}.", route.failure());
            problems.warning(place, &Fault::new(format!("{field}.backendRefs"), "NoWeight", message));
        }
        let mut session = rule.session_persistence.map(|session| {
            let pairs = rule.backend_refs.iter().zip(&shares);
            let used: Vec<_> = pairs.filter(|(_, it)| it.cluster.is_some()).map(|(it, _)| it).collect();
            let (session, its_faults) = session::translate(session, route, i, &used, backends);
            faults.extend(its_faults);
            session
        });
        let invalid = faults.first().or(refused).map(ToString::to_string);
        if invalid.is_some() {
            rules.invalid.push(i);
            // It serves nothing, so they would be done to nothing; and they may not suit stand-ins of its matches.
            filters.clear();
            for share in &mut shares {
                share.filters.clear();
                share.policy = None;
            }
            policy = Policy::default();
            session = None;
        }
        rules.rules.push(config::Rule {
            name: rule.name.map(ToString::to_string),
            matches,
            invalid,
            filters,
            policy: backends.policy(policy),
            session_persistence: session,
            backends: shares,
        });
        rules.unsupported.extend(faults);
    }
    rules
}

fn redirects(filter: &HttpRouteFilter) -> bool {
    filter.kind == HttpRouteFilterType::RequestRedirect
}
