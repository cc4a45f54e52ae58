//! TLS as the data plane must speak it: towards backends, and who is let in as a client. Data only.

use std::collections::BTreeSet;

use crate::object::ObjectKey;

/// How a backend is spoken TLS with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendTls {
    /// SNI.
    pub server_name: String,
    /// Who may have signed the backend's certificate.
    pub authorities: Authorities,
    /// The backend's certificate must have one of these; never empty.
    pub names: BTreeSet<SubjectAltName>,
    /// The Secret with the certificate that the backend is shown.
    pub client_certificate: Option<ObjectKey>,
}

/// A set of authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorities {
    /// Those of this name in [`super::Model::authorities`].
    Named(String),
    /// Those that the system where Envoy runs trusts.
    System,
}

/// A name that a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SubjectAltName {
    /// A DNS name. One with a wildcard is met by that wildcard alone.
    Dns(String),
    /// A URI.
    Uri(String),
}

/// Which clients a listener lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientValidation {
    /// Who may have signed a client's certificate: a name in [`super::Model::authorities`].
    pub authorities: String,
    /// Whether those without a valid certificate are let in all the same.
    pub insecure_fallback: bool,
}
