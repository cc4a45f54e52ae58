//! Certificate and key of a TLS Secret: whether they are sound and belong together. What Envoy would refuse must not
//! reach it, because it would refuse the whole listener.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use rustls::InconsistentKeys;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use crate::model::Certificate;

/// Type of a Secret that holds a certificate (Kubernetes `SecretTypeTLS`).
const TLS_SECRET: &str = "kubernetes.io/tls";

/// Reads certificate and key, or says what is wrong with the Secret.
pub(crate) fn read(secret: &Secret) -> Result<Certificate, String> {
    match secret.type_.as_deref() {
        Some(TLS_SECRET) => {}
        other => return Err(format!("is of type {:?}, not {TLS_SECRET:?}", other.unwrap_or("Opaque"))),
    }
    let entry = |name: &str| {
        let data = secret.data.as_ref().and_then(|data| data.get(name));
        data.map(|data| data.0.as_slice()).ok_or_else(|| format!("has no data[{name:?}]"))
    };
    let (certificate, key) = (entry("tls.crt")?, entry("tls.key")?);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(certificate)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("has a tls.crt that is not PEM: {error}"))?;
    if chain.is_empty() {
        return Err("has a tls.crt without a certificate in PEM".to_owned());
    }
    for (i, certificate) in chain.iter().enumerate() {
        ParsedCertificate::try_from(certificate).map_err(|error| {
            format!("has a tls.crt whose certificate {} cannot be parsed: {error}", i + 1)
        })?;
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "has a tls.key without a private key in PEM".to_owned())?;
    let encoded = Certificate {
        chain: chain.iter().map(|der| pem("CERTIFICATE", der)).collect(),
        private_key: key_pem(&key),
    };
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "has a tls.key that does not belong to its tls.crt".to_owned()
        }
        _ => {
            "has a tls.key that cannot be used; RSA of 2048 to 4096 bits, ECDSA on P-256 or P-384, and Ed25519 can"
                .to_owned()
        }
    })?;
    Ok(encoded)
}

/// The certificate or key alone, without what else the Secret's text may hold.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for start in (0..encoded.len()).step_by(64) {
        text.push_str(&encoded[start..encoded.len().min(start + 64)]);
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn key_pem(key: &PrivateKeyDer<'_>) -> String {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    pem(label, key.secret_der())
}
