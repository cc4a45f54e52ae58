//! Certificates of HTTPS listeners: which Secret a listener refers to, and whether it may be used.

use super::reference_grant::{From, Grants};
use crate::api::SecretObjectReference;
use crate::certificate;
use crate::fault::Fault;
use crate::model::Certificate;
use crate::object::ObjectKey;
use crate::snapshot::Snapshot;

/// The Secret that a listener refers to.
pub(super) fn resolve(
    reference: &SecretObjectReference,
    from: From<'_>,
    field: &str,
    snapshot: &Snapshot,
    grants: &Grants<'_>,
) -> Result<(ObjectKey, Certificate), Fault> {
    let invalid = |message: String| Fault::new(field, "InvalidCertificateRef", message);
    if !reference.group.is_empty() || reference.kind != "Secret" {
        let (kind, group) = (&reference.kind, &reference.group);
        return Err(invalid(format!(
            "Kind {kind:?} of group {group:?} is not supported; refer to a Secret."
        )));
    }
    let namespace = reference.namespace.as_deref().unwrap_or(from.namespace);
    let key = ObjectKey::new(namespace, &reference.name);
    if !grants.permit(from, "Secret", &key) {
        // Said before anything is known of the Secret, so that nobody learns whether it exists.
        let message = format!(
            "Secret \"{key}\" is in another namespace and no ReferenceGrant in {namespace:?} permits {}s of {:?} to \
             use it.",
            from.kind, from.namespace
        );
        return Err(Fault::new(field, "RefNotPermitted", message));
    }
    let secret =
        snapshot.secrets.get(&key).ok_or_else(|| invalid(format!("Secret \"{key}\" does not exist.")))?;
    let certificate = certificate::read(secret).map_err(|why| invalid(format!("Secret \"{key}\" {why}.")))?;
    Ok((key, certificate))
}
