//! BackendTLSPolicies: which of them a port of a Service follows, what it asks for, and what its status says to each
//! Gateway that sends requests there.
//!
//! A port with a policy that cannot be followed gets no request at all: never one in clear text.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ServicePort;

use super::Problems;
use super::authorities::{self, Resolved};
use super::reference_grant::{From, Grants};
use crate::api::{
    BackendTlsPolicy, BackendTlsPolicyValidation, CONTROLLER_NAME, GROUP, ParentReference, SubjectAltNameType,
};
use crate::fault::Fault;
use crate::model::{Authorities, BackendTls, SubjectAltName};
use crate::object::{ObjectKey, ObjectRef};
use crate::snapshot::Snapshot;
use crate::status::{Conditions, PolicyAncestorStatus, PolicyStatus};

/// Most entries of `status.ancestors` (`PolicyStatus`).
const MOST_ANCESTORS: usize = 16;

/// A Service, and the name of one of its ports; `None` for all those that no policy names.
type Target = (ObjectKey, Option<String>);

/// Every policy, and who follows it.
pub(super) struct BackendTlsPolicies<'a> {
    policies: BTreeMap<&'a ObjectKey, Policy<'a>>,
    /// The policy that takes precedence for each target.
    followed: BTreeMap<Target, &'a ObjectKey>,
    /// The Gateways with routes that send requests to a Service.
    gateways: BTreeMap<ObjectKey, BTreeSet<ObjectKey>>,
    authorities: BTreeMap<String, String>,
}

struct Policy<'a> {
    object: &'a BackendTlsPolicy,
    /// The Services it is for.
    services: BTreeSet<ObjectKey>,
    /// What it asks for, or why that cannot be done.
    tls: Result<BackendTls, Fault>,
    /// Why it is not in effect, or not for every target.
    faults: Vec<Fault>,
    ref_faults: Vec<Fault>,
}

impl<'a> BackendTlsPolicies<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, grants: &Grants<'_>) -> Self {
        let mut all = Self {
            policies: BTreeMap::new(),
            followed: BTreeMap::new(),
            gateways: BTreeMap::new(),
            authorities: BTreeMap::new(),
        };
        let mut by_precedence: Vec<_> = snapshot.backend_tls_policies.iter().collect();
        // "The older policy by creation timestamp takes precedence", then "the policy appearing first in alphabetical
        // order by {namespace}/{name}" (`BackendTLSPolicySpec.targetRefs`).
        by_precedence.sort_by_key(|(key, object)| (object.metadata.creation_timestamp.clone(), *key));
        for (key, object) in by_precedence {
            let from = From { kind: "BackendTLSPolicy", namespace: &key.namespace };
            let Resolved { authorities, faults: ref_faults } = authorities::resolve(
                &object.spec.validation.ca_certificate_refs,
                from,
                "spec.validation.caCertificateRefs",
                "InvalidKind",
                snapshot,
                grants,
            );
            let tls = tls(&object.spec.validation, authorities.as_ref().map(|(name, _)| name.clone()));
            all.authorities.extend(authorities);
            let mut policy = Policy {
                object,
                services: BTreeSet::new(),
                faults: tls.as_ref().err().cloned().into_iter().collect(),
                tls,
                ref_faults,
            };
            all.attach(key, &mut policy, snapshot);
            all.policies.insert(key, policy);
        }
        all
    }

    /// Attaches a policy to those of its targets that do not follow another one.
    fn attach(&mut self, key: &'a ObjectKey, policy: &mut Policy<'a>, snapshot: &Snapshot) {
        for (i, target) in policy.object.spec.target_refs.iter().enumerate() {
            let field = format!("spec.targetRefs[{i}]");
            if !target.group.is_empty() || target.kind != "Service" {
                let (kind, group) = (&target.kind, &target.group);
                let message =
                    format!("Kind {kind:?} of group {group:?} is not supported; the policy is for Services.");
                policy.faults.push(Fault::new(format!("{field}.kind"), "TargetNotFound", message));
                continue;
            }
            let service = ObjectKey::new(&key.namespace, &target.name);
            policy.services.insert(service.clone());
            let section = target.section_name.as_ref().map(ToString::to_string);
            if let Some(message) = missing(&service, section.as_deref(), snapshot) {
                policy.faults.push(Fault::new(&field, "TargetNotFound", message));
            } else if let Some(other) = self.followed.get(&(service.clone(), section.clone())) {
                let what = section.map(|section| format!("Port {section:?} of ")).unwrap_or_default();
                let message = format!(
                    "{what}Service \"{service}\" follows BackendTLSPolicy \"{other}\", which is older or comes first; \
                     remove one of the two."
                );
                policy.faults.push(Fault::new(&field, "Conflicted", message));
            } else {
                self.followed.insert((service, section), key);
            }
        }
    }

    /// What a port of a Service asks for, or why nothing may be sent there. `None` is clear text. `field` is that of the
    /// backendRef.
    pub(super) fn of_port(
        &self,
        service: &ObjectKey,
        port: &ServicePort,
        field: &str,
    ) -> Option<Result<BackendTls, Fault>> {
        // One for a port goes before one for the whole Service (GEP-713: the more specific target wins).
        let by_name =
            port.name.as_ref().and_then(|name| self.followed.get(&(service.clone(), Some(name.clone()))));
        let key = by_name.or_else(|| self.followed.get(&(service.clone(), None)))?;
        let tls = self.policies.get(*key).map(|policy| &policy.tls)?;
        Some(tls.clone().map_err(|fault| {
            let message = format!("BackendTLSPolicy \"{key}\" cannot be followed: {fault}");
            Fault::new(field, "InvalidBackendTLSPolicy", message)
        }))
    }

    /// Takes note of a route that is attached to a Gateway and sends requests to these Services.
    pub(super) fn used(&mut self, gateway: &ObjectKey, services: &BTreeSet<ObjectKey>) {
        for service in services {
            self.gateways.entry(service.clone()).or_default().insert(gateway.clone());
        }
    }

    /// The statuses of the policies that a Gateway is concerned with, and the certificates of authorities; hands over
    /// the problems.
    pub(super) fn finish(
        self,
        problems: &mut Problems,
    ) -> (BTreeMap<ObjectKey, PolicyStatus>, BTreeMap<String, String>) {
        let mut statuses = BTreeMap::new();
        for (key, policy) in &self.policies {
            let place = ObjectRef::namespaced("BackendTLSPolicy", key);
            problems.errors(&place, &policy.faults);
            problems.errors(&place, &policy.ref_faults);
            if !policy.object.spec.options.is_empty() {
                let message = "gatewasm knows no TLS options, so these have no effect.";
                problems.warning(&place, &Fault::new("spec.options", "UnsupportedValue", message));
            }
            let gateways: BTreeSet<&ObjectKey> =
                policy.services.iter().filter_map(|service| self.gateways.get(service)).flatten().collect();
            if gateways.len() > MOST_ANCESTORS {
                let message = format!(
                    "{} Gateways send requests to what this policy is for; its status has room for {MOST_ANCESTORS}.",
                    gateways.len()
                );
                problems.warning(&place, &Fault::new("status.ancestors", "TooManyAncestors", message));
            }
            if !gateways.is_empty() {
                let ancestors = gateways.into_iter().take(MOST_ANCESTORS).map(|it| policy.ancestor(it));
                statuses.insert((*key).clone(), PolicyStatus { ancestors: ancestors.collect() });
            }
        }
        (statuses, self.authorities)
    }
}

impl Policy<'_> {
    fn ancestor(&self, gateway: &ObjectKey) -> PolicyAncestorStatus {
        let conditions = Conditions::of(&self.object.metadata);
        PolicyAncestorStatus {
            ancestor_ref: ParentReference {
                group: GROUP.to_owned(),
                kind: "Gateway".to_owned(),
                namespace: Some(gateway.namespace.clone()),
                name: gateway.name.clone(),
                section_name: None,
                port: None,
            },
            controller_name: CONTROLLER_NAME,
            conditions: vec![
                conditions.policy_accepted(&self.faults),
                conditions.resolved_refs(&self.ref_faults),
            ],
        }
    }
}

/// Why there is no such target.
fn missing(service: &ObjectKey, section: Option<&str>, snapshot: &Snapshot) -> Option<String> {
    let Some(object) = snapshot.services.get(service) else {
        return Some(format!("Service \"{service}\" does not exist."));
    };
    let section = section?;
    let ports = object.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let names: Vec<&str> = ports.filter_map(|port| port.name.as_deref()).collect();
    (!names.contains(&section)).then(|| {
        let named = names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        let named = if named.is_empty() { "no port with a name".to_owned() } else { named };
        format!("Service \"{service}\" has no port named {section:?}; it has {named}.")
    })
}

/// What a policy asks for, with the authorities that its references resolve to.
fn tls(validation: &BackendTlsPolicyValidation, authorities: Option<String>) -> Result<BackendTls, Fault> {
    let well_known = validation.well_known_ca_certificates.as_deref().filter(|name| !name.is_empty());
    let authorities = match (authorities, well_known) {
        (Some(name), _) => Authorities::Named(name),
        (None, Some("System")) => Authorities::System,
        (None, Some(other)) => {
            let message = format!("{other:?} is not known; use \"System\", or caCertificateRefs.");
            return Err(Fault::new("spec.validation.wellKnownCACertificates", "Invalid", message));
        }
        (None, None) => {
            let message = "None of these can be used, so that no backend could be verified; nothing is sent.";
            return Err(Fault::new("spec.validation.caCertificateRefs", "NoValidCACertificate", message));
        }
    };
    // "If SubjectAltNames are specified, Hostname can be used for certificate selection but MUST NOT be used for
    // authentication" (`BackendTLSPolicyValidation.hostname`).
    let server_name = validation.hostname.to_string();
    let names: BTreeSet<SubjectAltName> = validation
        .subject_alt_names
        .iter()
        .map(|name| match name.kind {
            SubjectAltNameType::Hostname => {
                SubjectAltName::Dns(name.hostname.as_ref().map(ToString::to_string).unwrap_or_default())
            }
            SubjectAltNameType::Uri => SubjectAltName::Uri(name.uri.clone().unwrap_or_default()),
        })
        .collect();
    let names = if names.is_empty() { [SubjectAltName::Dns(server_name.clone())].into() } else { names };
    Ok(BackendTls { server_name, authorities, names, client_certificate: None })
}
