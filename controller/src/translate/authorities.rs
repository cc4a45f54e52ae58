//! References to authorities' certificates: which ConfigMaps they mean, and whether these may be used. Who trusts them
//! is not known here.

use std::collections::BTreeMap;

use super::reference_grant::{From, Grants};
use crate::api::{LocalObjectReference, ObjectReference};
use crate::authority;
use crate::fault::Fault;
use crate::object::ObjectKey;
use crate::snapshot::Snapshot;

/// The authorities that resolve, and what is wrong with the others.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// Name and certificates in PEM; `None` where no reference resolves.
    pub(super) authorities: Option<(String, String)>,
    pub(super) faults: Vec<Fault>,
}

/// One reference, whichever type it has.
#[derive(Clone, Copy)]
pub(crate) struct Reference<'a> {
    group: &'a str,
    kind: &'a str,
    name: &'a str,
    namespace: Option<&'a str>,
}

impl<'a> std::convert::From<&'a LocalObjectReference> for Reference<'a> {
    fn from(it: &'a LocalObjectReference) -> Self {
        Self { group: &it.group, kind: &it.kind, name: &it.name, namespace: None }
    }
}

impl<'a> std::convert::From<&'a ObjectReference> for Reference<'a> {
    fn from(it: &'a ObjectReference) -> Self {
        Self { group: &it.group, kind: &it.kind, name: &it.name, namespace: it.namespace.as_deref() }
    }
}

impl Reference<'_> {
    /// The ConfigMap that it means; `None` where it means something else.
    fn config_map(&self, from: From<'_>) -> Option<ObjectKey> {
        (self.group.is_empty() && self.kind == "ConfigMap")
            .then(|| ObjectKey::new(self.namespace.unwrap_or(from.namespace), self.name))
    }

    /// The ConfigMap that it means, if `from` may read it.
    pub(crate) fn permitted(&self, from: From<'_>, grants: &Grants<'_>) -> Option<ObjectKey> {
        self.config_map(from).filter(|key| grants.permit(from, "ConfigMap", key))
    }
}

/// Resolves a list of references. `field` is that of the list; `invalid_kind` the reason for a reference to something
/// that is no ConfigMap.
pub(super) fn resolve<'a, R: Into<Reference<'a>>>(
    references: impl IntoIterator<Item = R>,
    from: From<'_>,
    field: &str,
    invalid_kind: &'static str,
    snapshot: &Snapshot,
    grants: &Grants<'_>,
) -> Resolved {
    let mut found = BTreeMap::new();
    let mut faults = Vec::new();
    for (i, reference) in references.into_iter().enumerate() {
        let field = format!("{field}[{i}]");
        match resolve_one(reference.into(), from, &field, invalid_kind, snapshot, grants) {
            Ok((key, certificates)) => drop(found.insert(key, certificates)),
            Err(fault) => faults.push(fault),
        }
    }
    let name = found.keys().map(ToString::to_string).collect::<Vec<_>>().join("+");
    let authorities = (!found.is_empty()).then(|| (format!("{name}/ca"), found.into_values().collect()));
    Resolved { authorities, faults }
}

fn resolve_one(
    reference: Reference<'_>,
    from: From<'_>,
    field: &str,
    invalid_kind: &'static str,
    snapshot: &Snapshot,
    grants: &Grants<'_>,
) -> Result<(ObjectKey, String), Fault> {
    let Some(key) = reference.config_map(from) else {
        let Reference { group, kind, .. } = reference;
        let message = format!("Kind {kind:?} of group {group:?} is not supported; refer to a ConfigMap.");
        return Err(Fault::new(field, invalid_kind, message));
    };
    if !grants.permit(from, "ConfigMap", &key) {
        // Said before anything is known of the ConfigMap, so that nobody learns whether it exists.
        let message = format!(
            "ConfigMap \"{key}\" is in another namespace and no ReferenceGrant in {:?} permits {}s of {:?} to use it.",
            key.namespace, from.kind, from.namespace
        );
        return Err(Fault::new(field, "RefNotPermitted", message));
    }
    let invalid = |message| Fault::new(field, "InvalidCACertificateRef", message);
    let map = snapshot.config_maps.get(&key);
    let map = map.ok_or_else(|| invalid(format!("ConfigMap \"{key}\" does not exist.")))?;
    let certificates = authority::read(map).map_err(|why| invalid(format!("ConfigMap \"{key}\" {why}.")))?;
    Ok((key, certificates))
}
