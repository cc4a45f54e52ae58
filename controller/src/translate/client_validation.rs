//! Certificates of clients: which authorities the listeners of a port ask for, and who is let in without one
//! (`Gateway.spec.tls.frontend`).

use super::authorities::{self, Resolved};
use super::reference_grant::{From, Grants};
use crate::api::{self, FrontendTlsValidation, FrontendValidationMode};
use crate::fault::Fault;
use crate::model::ClientValidation;
use crate::object::ObjectKey;
use crate::snapshot::Snapshot;

/// What is asked of the clients of one HTTPS listener.
pub(super) struct Validation {
    /// Who is let in. `None` means that nobody can be told from anybody, so that the listener must not be served.
    pub(super) client: Option<ClientValidation>,
    /// The authorities that it names, with their certificates.
    pub(super) authorities: Option<(String, String)>,
    /// References that do not resolve.
    pub(super) ref_faults: Vec<Fault>,
    /// Why the listener is not accepted.
    pub(super) fault: Option<Fault>,
}

/// What the Gateway asks of clients on `port`; `None` where it asks for nothing.
pub(super) fn of_port(
    key: &ObjectKey,
    gateway: &api::Gateway,
    port: api::Port,
    snapshot: &Snapshot,
    grants: &Grants<'_>,
) -> Option<Validation> {
    let (validation, field) = setting(gateway, port)?;
    let from = From { kind: "Gateway", namespace: &key.namespace };
    let field = format!("{field}.validation.caCertificateRefs");
    let references = &validation.ca_certificate_refs;
    let Resolved { authorities, faults } =
        authorities::resolve(references, from, &field, "InvalidCACertificateKind", snapshot, grants);
    let client = authorities.as_ref().map(|(name, _)| ClientValidation {
        authorities: name.clone(),
        insecure_fallback: is_insecure(validation),
    });
    // "If ALL CACertificateRefs are invalid, the implementation MUST also ensure the `Accepted` condition on the
    // listener is set to `status: False`, with the Reason `NoValidCACertificate`" (`FrontendTLSValidation`).
    let fault = client.is_none().then(|| {
        let message = "None of these can be used, so that no client could be verified; nothing is served.";
        Fault::new(field, "NoValidCACertificate", message)
    });
    Some(Validation { client, authorities, ref_faults: faults, fault })
}

/// The fields by which clients without a valid certificate are let in; empty where none is.
pub(super) fn insecure(gateway: &api::Gateway) -> Vec<String> {
    let Some(frontend) = gateway.spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref()) else {
        return Vec::new();
    };
    let per_port = frontend.per_port.iter().enumerate();
    let per_port = per_port.map(|(i, entry)| (format!("spec.tls.frontend.perPort[{i}].tls"), &entry.tls));
    [("spec.tls.frontend.default".to_owned(), &frontend.default)]
        .into_iter()
        .chain(per_port)
        .filter(|(_, tls)| tls.validation.as_ref().is_some_and(is_insecure))
        .map(|(field, _)| format!("{field}.validation.mode"))
        .collect()
}

fn is_insecure(validation: &FrontendTlsValidation) -> bool {
    validation.mode == Some(FrontendValidationMode::AllowInsecureFallback)
}

/// "Once set this configuration overrides the default configuration for all Listeners handling HTTPS traffic that match
/// this port" (`FrontendTLSConfig.perPort`): also where the override asks for nothing.
fn setting(gateway: &api::Gateway, port: api::Port) -> Option<(&FrontendTlsValidation, String)> {
    let frontend = gateway.spec.tls.as_ref()?.frontend.as_ref()?;
    let (tls, field) = match frontend.per_port.iter().enumerate().find(|(_, entry)| entry.port == port) {
        Some((i, entry)) => (&entry.tls, format!("spec.tls.frontend.perPort[{i}].tls")),
        None => (&frontend.default, "spec.tls.frontend.default".to_owned()),
    };
    Some((tls.validation.as_ref()?, field))
}
