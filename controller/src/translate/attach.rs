//! Attachment: which listeners of a parent take a route, and under which hostnames.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::hostname;
use super::listener::{Listener, Owner};
use super::parents::Header;
use crate::api::{FromNamespaces, ParentReference, RouteNamespaces};
use crate::snapshot::Snapshot;
use crate::status::Fault;

/// One listener that takes the route.
pub(super) struct Attachment {
    /// Place among the Gateway's listeners.
    pub(super) listener: usize,
    /// The route's hostnames as far as the listener serves them; empty for all of the listener's.
    pub(super) hostnames: Vec<String>,
}

/// Who wants to attach, to what.
pub(super) struct Request<'a> {
    pub(super) parent: &'a ParentReference,
    /// `spec.parentRefs[0]`.
    pub(super) field: &'a str,
    /// Whose listeners.
    pub(super) owner: Owner<'a>,
    pub(super) route: &'a Header<'a>,
}

/// The listeners that take the route, or why none does.
///
/// In the order of `RouteConditionReason`: a listener that is meant (`NoMatchingParent`), that allows the route's kind
/// and namespace (`NotAllowedByListeners`), and that has a hostname in common (`NoMatchingListenerHostname`).
pub(super) fn attach(
    request: &Request<'_>,
    listeners: &[Listener<'_>],
    snapshot: &Snapshot,
) -> Result<Vec<Attachment>, Fault> {
    let Request { parent, field, owner, route } = *request;
    let route_namespace = &route.key.namespace;
    let meant: Vec<(usize, &Listener<'_>)> = listeners
        .iter()
        .enumerate()
        .filter(|(_, listener)| {
            listener.owner == owner
                && parent.section_name.as_ref().is_none_or(|name| *name == listener.spec.name)
                && parent.port.is_none_or(|port| port == listener.spec.port)
        })
        .collect();
    if meant.is_empty() {
        let wanted = match (&parent.section_name, parent.port) {
            (Some(name), Some(port)) => format!(" {:?} on port {port}", &**name),
            (Some(name), None) => format!(" {:?}", &**name),
            (None, Some(port)) => format!(" on port {port}"),
            (None, None) => String::new(),
        };
        let own = listeners.iter().filter(|listener| listener.owner == owner);
        let names: Vec<String> = own.map(|l| format!("{:?} ({})", &*l.spec.name, l.spec.port)).collect();
        let message = if names.is_empty() {
            format!("Its Gateway does not take the {}; see that one's status.", owner.kind())
        } else {
            format!("The {} has no listener{wanted}; it has {}.", owner.kind(), names.join(", "))
        };
        return Err(Fault::new(field, "NoMatchingParent", message));
    }
    let names: Vec<String> =
        meant.iter().map(|(_, listener)| format!("{:?}", &*listener.spec.name)).collect();
    let names = names.join(", ");
    let allowing: Vec<(usize, &Listener<'_>)> = meant
        .into_iter()
        .filter(|(_, listener)| {
            listener.takes(route.kind)
                && allows(
                    &listener.spec.allowed_routes.namespaces,
                    &owner.key().namespace,
                    route_namespace,
                    snapshot,
                )
        })
        .collect();
    if allowing.is_empty() {
        let message = format!(
            "No listener of {names} allows {}s of namespace {route_namespace:?}; see its allowedRoutes.",
            route.kind
        );
        return Err(Fault::new(field, "NotAllowedByListeners", message));
    }
    let attachments: Vec<Attachment> = allowing
        .into_iter()
        .filter_map(|(listener, Listener { spec: its, .. })| {
            let mut hostnames: Vec<String> = Vec::new();
            for name in route.hostnames {
                if let Some(both) = hostname::intersect(its.hostname.as_ref(), name)
                    && !hostnames.contains(&both)
                {
                    hostnames.push(both);
                }
            }
            (route.hostnames.is_empty() || !hostnames.is_empty())
                .then_some(Attachment { listener, hostnames })
        })
        .collect();
    if attachments.is_empty() {
        let hostnames: Vec<String> = route.hostnames.iter().map(|name| format!("{:?}", &**name)).collect();
        let message = format!(
            "No hostname of the route ({}) is one of listener {names}, so none of its requests can arrive.",
            hostnames.join(", ")
        );
        return Err(Fault::new("spec.hostnames", "NoMatchingListenerHostname", message));
    }
    Ok(attachments)
}

/// `allowedRoutes.namespaces`.
fn allows(namespaces: &RouteNamespaces, gateway: &str, route: &str, snapshot: &Snapshot) -> bool {
    match namespaces.from {
        FromNamespaces::All => true,
        FromNamespaces::Same => gateway == route,
        // "This field is ignored for other values of From", and without it nothing is selected.
        FromNamespaces::Selector => namespaces
            .selector
            .as_ref()
            .is_some_and(|selector| selects(selector, |label| snapshot.namespace_label(route, label))),
    }
}

/// A label selector's meaning (`metav1.LabelSelector`): every requirement holds; without any, everything is selected.
/// An operator that is not known selects nothing.
pub(super) fn selects<'a>(selector: &LabelSelector, label: impl Fn(&str) -> Option<&'a str>) -> bool {
    let equal =
        selector.match_labels.iter().flatten().all(|(name, value)| label(name) == Some(value.as_str()));
    equal
        && selector.match_expressions.iter().flatten().all(|requirement| {
            let value = label(&requirement.key);
            let values = requirement.values.as_deref().unwrap_or_default();
            let listed = value.is_some_and(|value| values.iter().any(|listed| listed == value));
            match requirement.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_mean_what_they_mean_in_kubernetes() {
        let labels = [("team", "a"), ("tier", "web")];
        let label = |name: &str| labels.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        for (selector, expected) in [
            ("{}", true),
            ("{matchLabels: {team: a}}", true),
            ("{matchLabels: {team: a, tier: db}}", false),
            ("{matchExpressions: [{key: team, operator: In, values: [a, b]}]}", true),
            ("{matchExpressions: [{key: team, operator: NotIn, values: [a]}]}", false),
            ("{matchExpressions: [{key: other, operator: NotIn, values: [a]}]}", true),
            ("{matchExpressions: [{key: other, operator: Exists}]}", false),
            ("{matchExpressions: [{key: other, operator: DoesNotExist}]}", true),
            ("{matchExpressions: [{key: team, operator: Near}]}", false),
            ("{matchLabels: {team: a}, matchExpressions: [{key: tier, operator: Exists}]}", true),
        ] {
            let parsed: LabelSelector = serde_saphyr::from_str(selector).unwrap();
            assert_eq!(selects(&parsed, label), expected, "{selector}");
        }
    }
}
