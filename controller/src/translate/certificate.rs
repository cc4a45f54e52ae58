//! References to certificates with their keys: which Secret one means, and whether it may be used.

use super::reference_grant::{From, Grants};
use crate::api::SecretObjectReference;
use crate::certificate;
use crate::fault::Fault;
use crate::model::Certificate;
use crate::object::ObjectKey;
use crate::snapshot::Snapshot;

/// Where a Gateway refers to a Secret.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) field: &'a str,
    /// Reason of a reference that does not resolve.
    pub(super) invalid: &'static str,
    /// Who refers to it.
    pub(super) from: From<'a>,
}

/// The Secret that a Gateway refers to.
pub(super) fn resolve(
    reference: &SecretObjectReference,
    place: Place<'_>,
    snapshot: &Snapshot,
    grants: &Grants<'_>,
) -> Result<(ObjectKey, Certificate), Fault> {
    let invalid = |message: String| Fault::new(place.field, place.invalid, message);
    if !reference.group.is_empty() || reference.kind != "Secret" {
        let (kind, group) = (&reference.kind, &reference.group);
        return Err(invalid(format!(
            "Kind {kind:?} of group {group:?} is not supported; refer to a Secret."
        )));
    }
    let namespace = reference.namespace.as_deref().unwrap_or(place.from.namespace);
    let key = ObjectKey::new(namespace, &reference.name);
    if !grants.permit(place.from, "Secret", &key) {
        // Said before anything is known of the Secret, so that nobody learns whether it exists.
        let message = format!(
            "Secret \"{key}\" is in another namespace and no ReferenceGrant in {namespace:?} permits {}s of {:?} to \
             use it.",
            place.from.kind, place.from.namespace
        );
        return Err(Fault::new(place.field, "RefNotPermitted", message));
    }
    let secret =
        snapshot.secrets.get(&key).ok_or_else(|| invalid(format!("Secret \"{key}\" does not exist.")))?;
    let certificate = certificate::read(secret).map_err(|why| invalid(format!("Secret \"{key}\" {why}.")))?;
    Ok((key, certificate))
}
