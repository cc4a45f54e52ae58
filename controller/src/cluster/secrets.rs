//! Which Secrets may be read at all: those that a Gateway of ours, or a ListenerSet that it takes, refers to and may
//! refer to.

use std::collections::BTreeSet;

use crate::api::{CONTROLLER_NAME, Listener};
use crate::object::ObjectKey;
use crate::snapshot::Snapshot;
use crate::translate::listener_set;
use crate::translate::reference_grant::{From, Grants};

/// The Secrets that Gateways of our classes and their ListenerSets refer to, in their own namespace or where a ReferenceGrant permits it.
/// Without a grant a Secret is not even asked for.
pub(super) fn referenced(snapshot: &Snapshot) -> BTreeSet<ObjectKey> {
    let grants = Grants::new(snapshot);
    let is_ours = |class: &str| {
        let class = snapshot.gateway_classes.get(class);
        class.is_some_and(|class| class.spec.controller_name == CONTROLLER_NAME)
    };
    let mut keys = BTreeSet::new();
    for (key, gateway) in &snapshot.gateways {
        if !is_ours(&gateway.spec.gateway_class_name) {
            continue;
        }
        let from = From { kind: "Gateway", namespace: &key.namespace };
        keys.extend(named_by(&gateway.spec.listeners, from, &grants));
        for (key, set) in listener_set::of(key, gateway, snapshot) {
            let from = From { kind: "ListenerSet", namespace: &key.namespace };
            keys.extend(named_by(&set.spec.listeners, from, &grants));
        }
    }
    keys
}

/// The Secrets that listeners refer to and that `from` may refer to.
fn named_by(listeners: &[Listener], from: From<'_>, grants: &Grants<'_>) -> Vec<ObjectKey> {
    let tls = listeners.iter().filter_map(|listener| listener.tls.as_ref());
    let references = tls.flat_map(|tls| &tls.certificate_refs);
    references
        .filter(|reference| reference.group.is_empty() && reference.kind == "Secret")
        .map(|reference| {
            let namespace = reference.namespace.as_deref().unwrap_or(from.namespace);
            ObjectKey::new(namespace, &reference.name)
        })
        .filter(|secret| grants.permit(from, "Secret", secret))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Input, Source};

    fn keys(gateway: &str, more: &str) -> Vec<String> {
        let head = "apiVersion: gateway.networking.k8s.io/v1\nkind:";
        let text = format!(
            "{head} GatewayClass\nmetadata: {{name: c}}\nspec: {{controllerName: gatewasm.dev/controller}}\n---\n\
             {head} GatewayClass\nmetadata: {{name: other}}\nspec: {{controllerName: example.com/other}}\n---\n\
             {head} Gateway\nmetadata: {{name: web}}\nspec: {gateway}\n---\n{more}"
        );
        let loaded = Source::default().update(&[Input { path: "a.yaml".to_owned(), text: Ok(text) }]);
        assert_eq!(loaded.problems, []);
        referenced(&loaded.snapshot).iter().map(ToString::to_string).collect()
    }

    fn gateway(class: &str, references: &str) -> String {
        format!(
            "{{gatewayClassName: {class}, listeners: [{{name: a, port: 443, protocol: HTTPS, \
             tls: {{certificateRefs: [{references}]}}}}]}}"
        )
    }

    #[test]
    fn secrets_of_our_gateways_are_read() {
        assert_eq!(keys(&gateway("c", "{name: tls}, {name: more}"), ""), ["default/more", "default/tls"]);
    }

    #[test]
    fn nothing_is_read_for_gateways_of_others_or_for_other_kinds() {
        assert_eq!(keys(&gateway("other", "{name: tls}"), ""), [""; 0]);
        assert_eq!(keys(&gateway("c", "{name: tls, group: example.com, kind: Secret}"), ""), [""; 0]);
    }

    #[test]
    fn in_another_namespace_a_secret_is_read_only_with_a_grant() {
        let gateway = gateway("c", "{name: tls, namespace: certs}");
        assert_eq!(keys(&gateway, ""), [""; 0]);
        let grant = "apiVersion: gateway.networking.k8s.io/v1\nkind: ReferenceGrant\n\
                     metadata: {name: g, namespace: certs}\n\
                     spec: {from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: default}], \
                     to: [{group: \"\", kind: Secret}]}\n";
        assert_eq!(keys(&gateway, grant), ["certs/tls"]);
    }
}
