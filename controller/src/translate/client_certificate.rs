//! The certificate that a Gateway shows to backends (`Gateway.spec.tls.backend`). Two Gateways may speak with the same
//! backend by different certificates, so that the clusters of one that has a certificate are its own.

use std::collections::BTreeMap;

use gatewasm_routing::config::{Listener, Rule};

use super::certificate;
use super::policy;
use super::reference_grant::{From, Grants};
use crate::api;
use crate::fault::Fault;
use crate::model::{self, Certificate, Cluster, Model, Policy, Split};
use crate::object::ObjectKey;
use crate::snapshot::Snapshot;

/// The certificate of a Gateway, if it asks for one.
pub(super) fn resolve(
    key: &ObjectKey,
    gateway: &api::Gateway,
    snapshot: &Snapshot,
    grants: &Grants<'_>,
) -> Option<Result<(ObjectKey, Certificate), Fault>> {
    let reference = gateway.spec.tls.as_ref()?.backend.as_ref()?.client_certificate_ref.as_ref()?;
    let place = certificate::Place {
        field: "spec.tls.backend.clientCertificateRef",
        invalid: "InvalidClientCertificateRef",
        from: From { kind: "Gateway", namespace: &key.namespace },
    };
    Some(certificate::resolve(reference, place, snapshot, grants))
}

/// Sends what the Gateway's rules and `streams`, its other listeners, send over TLS to clusters that show `certificate`.
pub(super) fn present<'l>(
    model: &mut Model,
    gateway: &ObjectKey,
    certificate: &ObjectKey,
    streams: impl Iterator<Item = &'l mut model::Listener>,
) {
    let Model { clusters, splits, policies, filter_config, .. } = model;
    for forward in streams.flat_map(|listener| &mut listener.forwards) {
        in_split(forward.split.as_mut(), certificate, splits);
    }
    let mut present = Present { certificate, clusters, policies };
    let name = gateway.to_string();
    let listeners = filter_config.listeners.iter_mut().filter(|listener| listener.gateway == name);
    for rule in listeners.flat_map(rules) {
        for backend in &mut rule.backends {
            present.in_cluster(backend.cluster.as_mut());
            present.in_policy(backend.policy.as_mut());
        }
        present.in_policy(rule.policy.as_mut());
    }
}

/// Names the split that is this one with the certificate.
fn in_split(name: Option<&mut String>, certificate: &ObjectKey, splits: &mut BTreeMap<String, Split>) {
    let Some(name) = name else { return };
    let Some(mut split) = splits.get(name).cloned() else { return };
    let mut speaking_tls = split.shares.iter_mut().filter_map(|share| share.tls.as_mut()).peekable();
    if speaking_tls.peek().is_none() {
        return;
    }
    speaking_tls.for_each(|tls| tls.client_certificate = Some(certificate.clone()));
    *name = format!("{name}/{certificate}");
    splits.insert(name.clone(), split);
}

fn rules(listener: &mut Listener) -> impl Iterator<Item = &mut Rule> {
    listener.routes.iter_mut().flat_map(|route| &mut route.rules)
}

struct Present<'a> {
    certificate: &'a ObjectKey,
    clusters: &'a mut BTreeMap<String, Cluster>,
    policies: &'a mut BTreeMap<String, Policy>,
}

impl Present<'_> {
    /// Names the cluster that is this one with the certificate.
    fn in_cluster(&mut self, name: Option<&mut String>) {
        let Some(name) = name else { return };
        let Some(cluster) = self.clusters.get(name) else { return };
        let Some(tls) = cluster.tls.clone() else { return };
        let mut cluster = cluster.clone();
        cluster.tls =
            Some(crate::model::BackendTls { client_certificate: Some(self.certificate.clone()), ..tls });
        *name = format!("{name}/{}", self.certificate);
        self.clusters.insert(name.clone(), cluster);
    }

    /// Names the policy that is this one with such mirrors.
    fn in_policy(&mut self, name: Option<&mut String>) {
        let Some(name) = name else { return };
        let Some(mut policy) = self.policies.get(name).cloned() else { return };
        for mirror in &mut policy.mirrors {
            self.in_cluster(Some(&mut mirror.cluster));
        }
        *name = policy::name(&policy);
        self.policies.insert(name.clone(), policy);
    }
}
