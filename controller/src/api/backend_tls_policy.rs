//! `BackendTLSPolicy` (apis/v1/backendtlspolicy_types.go, policy_types.go).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Hostname, LocalObjectReference, PreciseHostname, SectionName};

/// `BackendTLSPolicySpec`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsPolicySpec {
    /// What it is for.
    pub target_refs: Vec<PolicyTargetReference>,
    /// How the backend is verified.
    pub validation: BackendTlsPolicyValidation,
    /// Implementations' own settings.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// `LocalPolicyTargetReferenceWithSectionName`: an object in the policy's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTargetReference {
    /// API group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// One part of it: of a Service, the name of a port. All of it where absent.
    pub section_name: Option<SectionName>,
}

/// `BackendTLSPolicyValidation`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendTlsPolicyValidation {
    /// Certificates of the authorities that may sign the backend's.
    #[serde(default)]
    pub ca_certificate_refs: Vec<LocalObjectReference>,
    /// A set of authorities that everybody knows, instead.
    #[serde(rename = "wellKnownCACertificates")]
    pub well_known_ca_certificates: Option<String>,
    /// SNI, and the name that the backend's certificate must have where `subjectAltNames` says nothing else.
    pub hostname: PreciseHostname,
    /// Names of which the backend's certificate must have one.
    #[serde(default)]
    pub subject_alt_names: Vec<SubjectAltName>,
}

/// `SubjectAltName`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubjectAltName {
    /// Which of the two it is.
    #[serde(rename = "type")]
    pub kind: SubjectAltNameType,
    /// A DNS name.
    pub hostname: Option<Hostname>,
    /// A URI, such as a SPIFFE ID.
    pub uri: Option<String>,
}

/// `SubjectAltNameType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SubjectAltNameType {
    /// `hostname`.
    Hostname,
    /// `uri`.
    #[serde(rename = "URI")]
    Uri,
}
