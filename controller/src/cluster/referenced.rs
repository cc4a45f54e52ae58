//! Which Secrets and ConfigMaps may be read at all: those that a Gateway of ours or a BackendTLSPolicy refers to, and may
//! refer to.

use std::collections::BTreeSet;

use crate::api::{CONTROLLER_NAME, Gateway, Listener, SecretObjectReference};
use crate::object::ObjectKey;
use crate::snapshot::Snapshot;
use crate::translate::authorities::Reference;
use crate::translate::listener_set;
use crate::translate::reference_grant::{From, Grants};

/// Objects that others refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Referenced {
    /// With certificates and keys.
    pub(super) secrets: BTreeSet<ObjectKey>,
    /// With certificates of authorities.
    pub(super) config_maps: BTreeSet<ObjectKey>,
}

/// What Gateways of our classes and BackendTLSPolicies refer to, in their own namespace or where a ReferenceGrant permits
/// it. Without a grant an object is not even asked for.
pub(super) fn referenced(snapshot: &Snapshot) -> Referenced {
    let grants = Grants::new(snapshot);
    let is_ours = |class: &str| {
        let class = snapshot.gateway_classes.get(class);
        class.is_some_and(|class| class.spec.controller_name == CONTROLLER_NAME)
    };
    let mut found = Referenced::default();
    for (key, gateway) in &snapshot.gateways {
        if is_ours(&gateway.spec.gateway_class_name) {
            let from = From { kind: "Gateway", namespace: &key.namespace };
            found.secrets.extend(secrets(gateway, from, &grants));
            for (key, set) in listener_set::of(key, gateway, snapshot) {
                let from = From { kind: "ListenerSet", namespace: &key.namespace };
                found.secrets.extend(of_listeners(&set.spec.listeners).filter_map(permitted(from, &grants)));
            }
            found.config_maps.extend(config_maps(gateway, from, &grants));
        }
    }
    for (key, policy) in &snapshot.backend_tls_policies {
        let from = From { kind: "BackendTLSPolicy", namespace: &key.namespace };
        let references = policy.spec.validation.ca_certificate_refs.iter();
        found.config_maps.extend(references.filter_map(|it| Reference::from(it).permitted(from, &grants)));
    }
    found
}

fn secrets(gateway: &Gateway, from: From<'_>, grants: &Grants<'_>) -> impl Iterator<Item = ObjectKey> {
    let backend = gateway.spec.tls.as_ref().and_then(|tls| tls.backend.as_ref());
    of_listeners(&gateway.spec.listeners)
        .chain(backend.and_then(|backend| backend.client_certificate_ref.as_ref()))
        .filter_map(permitted(from, grants))
}

fn of_listeners(listeners: &[Listener]) -> impl Iterator<Item = &SecretObjectReference> {
    listeners.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(|tls| &tls.certificate_refs)
}

/// The Secret that a reference names, if `from` may refer to it.
fn permitted(from: From<'_>, grants: &Grants<'_>) -> impl Fn(&SecretObjectReference) -> Option<ObjectKey> {
    move |reference| {
        let namespace = reference.namespace.as_deref().unwrap_or(from.namespace);
        let key = ObjectKey::new(namespace, &reference.name);
        let is_secret = reference.group.is_empty() && reference.kind == "Secret";
        (is_secret && grants.permit(from, "Secret", &key)).then_some(key)
    }
}

fn config_maps(gateway: &Gateway, from: From<'_>, grants: &Grants<'_>) -> impl Iterator<Item = ObjectKey> {
    let frontend = gateway.spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref());
    let settings = frontend
        .into_iter()
        .flat_map(|frontend| frontend.per_port.iter().map(|entry| &entry.tls).chain([&frontend.default]));
    settings
        .filter_map(|tls| tls.validation.as_ref())
        .flat_map(|validation| &validation.ca_certificate_refs)
        .filter_map(move |reference| Reference::from(reference).permitted(from, grants))
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
        let Referenced { secrets, config_maps } = referenced(&loaded.snapshot);
        secrets.iter().chain(&config_maps).map(ToString::to_string).collect()
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

    #[test]
    fn what_clients_and_backends_are_verified_by_is_read() {
        let gateway = "{gatewayClassName: c, listeners: [{name: a, port: 443, protocol: HTTPS}], tls: {\
             backend: {clientCertificateRef: {name: client}}, \
             frontend: {default: {validation: {caCertificateRefs: [\
             {group: \"\", kind: ConfigMap, name: all}, {group: \"\", kind: ConfigMap, name: no, namespace: certs}]}}, \
             perPort: [{port: 443, tls: {validation: {caCertificateRefs: [\
             {group: \"\", kind: ConfigMap, name: one}, {group: \"\", kind: Secret, name: other}]}}}]}}}";
        let policy = "apiVersion: gateway.networking.k8s.io/v1\nkind: BackendTLSPolicy\n\
                      metadata: {name: p, namespace: shop}\n\
                      spec: {targetRefs: [{group: \"\", kind: Service, name: s}], validation: {hostname: a.b, \
                      caCertificateRefs: [{group: \"\", kind: ConfigMap, name: ca}, {group: x, kind: Y, name: z}]}}\n";
        assert_eq!(keys(gateway, policy), ["default/client", "default/all", "default/one", "shop/ca"]);
    }
}
