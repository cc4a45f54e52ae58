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
