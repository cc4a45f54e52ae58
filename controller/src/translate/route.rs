//! HTTPRoutes and GRPCRoutes: their rules, once for each route. How they attach to parents is decided in
//! [`super::parents`].

use std::collections::BTreeMap;

use gatewasm_routing::config;

use super::Problems;
use super::backend::Backends;
use super::gateway::Gateway;
use super::listener::Listener;
use super::parents::{self, Header, Verdict};
use super::policy;
use super::route_filter::{self, Scope};
use super::route_kind::Route;
use super::session;
use crate::api::{HttpRouteFilter, HttpRouteFilterType};
use crate::model::Policy;
use crate::object::ObjectKey;
use crate::snapshot::Snapshot;
use crate::status::{ACCEPTED, ConditionStatus, Conditions, Fault, RouteStatus};

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
    let header = &route.header;
    let parents = parents::of(header, snapshot, gateways, problems)?;
    let refused = parents::default_gateways(header);
    backends.take_referred();
    let rules = translate_rules(route, refused.as_ref(), backends, problems);
    let services = backends.take_referred();
    let all_invalid =
        refused.is_some() || (!rules.invalid.is_empty() && rules.invalid.len() == rules.rules.len());
    let partially = |conditions: Conditions| {
        conditions.partially_invalid(&rules.invalid, route.failure(), &rules.unsupported)
    };
    let verdict = Verdict {
        refused: if all_invalid { &rules.unsupported } else { &[] },
        unresolved: &rules.unresolved,
        more: (!rules.invalid.is_empty() && !all_invalid).then(|| partially(Conditions::of(header.metadata))),
    };
    let mut attached = |_: &ObjectKey, listener: &mut Listener<'_>, hostnames| {
        let attached = config_route(route, hostnames, &rules.rules);
        // Two parentRefs can mean the same listener.
        let identity = |it: &config::Route| (it.kind, it.namespace.clone(), it.name.clone());
        let is_new = listener.routes.last().is_none_or(|last| identity(last) != identity(&attached));
        if is_new {
            listener.routes.push(attached);
        }
        is_new
    };
    let status = parents::attach(header, &parents, &verdict, snapshot, gateways, problems, &mut attached);
    for (parent, its) in parents.iter().zip(&status.parents) {
        if its.conditions.iter().any(|it| it.kind == ACCEPTED && it.status == ConditionStatus::True) {
            backends.used(&parent.gateway, &services);
        }
    }
    problems.errors(&header.place(), &rules.unsupported);
    problems.errors(&header.place(), &rules.unresolved);
    Some(status)
}

fn config_route(route: &Route<'_>, hostnames: Vec<String>, rules: &[config::Rule]) -> config::Route {
    let Header { key, metadata, .. } = route.header;
    // Years before 0 are not RFC 3339, and no cluster is that old.
    let created = metadata.creation_timestamp.as_ref().map(|time| time.0.to_string());
    config::Route {
        kind: route.kind,
        namespace: key.namespace.clone(),
        name: key.name.clone(),
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
    problems: &mut Problems,
) -> Rules {
    let place = &route.header.place();
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
        let (from, speaks) = (route.header.referrer(), route.speaks());
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
