//! Self-signed certificates, and Secrets with them.

use anyhow::Result;
use serde_json::{Value, json};

/// A certificate with its key, in PEM. It is its own root.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub chain: String,
    /// Its key.
    pub private_key: String,
}

impl Certificate {
    /// A new one for these hosts.
    pub fn self_signed<H: Into<String>>(hosts: impl IntoIterator<Item = H>) -> Result<Self> {
        let hosts: Vec<String> = hosts.into_iter().map(Into::into).collect();
        let made = rcgen::generate_simple_self_signed(hosts)?;
        Ok(Self { chain: made.cert.pem(), private_key: made.signing_key.serialize_pem() })
    }

    /// The Secret `infra/<name>` with it.
    pub fn secret(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": "infra"},
            "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": self.chain, "tls.key": self.private_key},
        })
    }
}

/// An authority that signs certificates.
#[derive(Debug)]
pub struct Authority {
    /// Its own certificate, in PEM.
    pub root: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    /// A new one. Of two with the same name none vouches for what the other has signed.
    pub fn new(name: &str) -> Result<Self> {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate()?;
        let root = parameters.self_signed(&key)?.pem();
        Ok(Self { root, issuer: rcgen::Issuer::new(parameters, key) })
    }

    /// A certificate for these DNS names, and URIs, which have a scheme.
    pub fn sign(&self, names: &[&str]) -> Result<Certificate> {
        let mut parameters = rcgen::CertificateParams::default();
        for name in names {
            let text = (*name).try_into()?;
            let is_uri = name.contains("://");
            parameters.subject_alt_names.push(if is_uri {
                rcgen::SanType::URI(text)
            } else {
                rcgen::SanType::DnsName(text)
            });
        }
        let key = rcgen::KeyPair::generate()?;
        let chain = parameters.signed_by(&key, &self.issuer)?.pem();
        Ok(Certificate { chain, private_key: key.serialize_pem() })
    }

    /// The ConfigMap `name` with the authority's certificate, in the namespace `namespace`.
    pub fn config_map(&self, namespace: &str, name: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": namespace},
            "data": {"ca.crt": self.root},
        })
    }
}
