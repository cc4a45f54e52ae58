//! Certificates of authorities in a ConfigMap: whether they are sound. What Envoy would refuse must not reach it,
//! because it would refuse the whole listener or cluster. Whom they vouch for is not known here.

use k8s_openapi::api::core::v1::ConfigMap;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::ParsedCertificate;

use crate::certificate::pem;

/// The key that holds them (`BackendTLSPolicyValidation`, `FrontendTLSValidation`).
pub(crate) const KEY: &str = "ca.crt";

/// Reads the certificates, or says what is wrong with the ConfigMap. The result is PEM, with nothing but them.
pub(crate) fn read(map: &ConfigMap) -> Result<String, String> {
    let text = map.data.as_ref().and_then(|data| data.get(KEY)).ok_or(format!("has no data[{KEY:?}]"))?;
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| format!("has a {KEY} that is not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err(format!("has a {KEY} without a certificate in PEM"));
    }
    for (i, certificate) in certificates.iter().enumerate() {
        ParsedCertificate::try_from(certificate)
            .map_err(|error| format!("has a {KEY} whose certificate {} cannot be parsed: {error}", i + 1))?;
    }
    Ok(certificates.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read_text(text: Option<&str>) -> Result<String, String> {
        let data = text.map(|text| BTreeMap::from([(KEY.to_owned(), text.to_owned())]));
        read(&ConfigMap { data, ..ConfigMap::default() })
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_the_reason() {
        assert_eq!(read_text(None).unwrap_err(), "has no data[\"ca.crt\"]");
        assert_eq!(read_text(Some("")).unwrap_err(), "has a ca.crt without a certificate in PEM");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(read_text(Some(broken)).unwrap_err().contains("certificate 1 cannot be parsed"));
    }
}
