//! What Envoy gets by SDS: certificates with their keys, by the Secret that they come from, and those of authorities, by
//! their ConfigMaps.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Settings;
use crate::model::{Certificate, Model};
use crate::object::ObjectKey;

/// All certificates (`namespace/name`) and authorities (`namespace/name/ca`).
pub(super) fn secrets(model: &Model) -> BTreeMap<String, Value> {
    let certificate = |(key, certificate): (&ObjectKey, &Certificate)| {
        let content = json!({
            "certificate_chain": {"inline_string": certificate.chain},
            "private_key": {"inline_string": certificate.private_key},
        });
        secret(key.to_string(), "tls_certificate", &content)
    };
    let authorities = |(name, certificates): (&String, &String)| {
        let content = json!({"trusted_ca": {"inline_string": certificates}});
        secret(name.clone(), "validation_context", &content)
    };
    model.certificates.iter().map(certificate).chain(model.authorities.iter().map(authorities)).collect()
}

fn secret(name: String, field: &str, content: &Value) -> (String, Value) {
    let secret = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": name,
        field: content,
    });
    (name, secret)
}

/// Envoy's `SdsSecretConfig` for one of them.
pub(super) fn reference(name: &str, settings: &Settings) -> Value {
    json!({"name": name, "sds_config": settings.source.reference(&file(name))})
}

/// File of one of them where there is no agent: Envoy takes exactly one from a file. A namespace has no dot and no name
/// has a tilde, so that the names of two never meet.
pub(super) fn file(name: &str) -> String {
    format!("sds.{}.yaml", name.replacen('/', ".", 1).replace('/', "~"))
}

#[cfg(test)]
mod tests {
    use super::file;

    #[test]
    fn files_of_different_names_differ() {
        assert_eq!(file("infra/web"), "sds.infra.web.yaml");
        assert_eq!(file("infra/web/ca"), "sds.infra.web~ca.yaml");
        assert_ne!(file("infra/web.ca"), file("infra/web/ca"));
    }
}
