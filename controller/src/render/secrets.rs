//! Certificates with their keys (SDS), by the Secret that they come from.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Settings;
use crate::model::Model;
use crate::object::ObjectKey;

/// All certificates, `namespace/name`.
pub(super) fn secrets(model: &Model) -> BTreeMap<String, Value> {
    let secret = |(key, certificate): (&ObjectKey, &crate::model::Certificate)| {
        let secret = json!({
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": key.to_string(),
            "tls_certificate": {
                "certificate_chain": {"inline_string": certificate.chain},
                "private_key": {"inline_string": certificate.private_key},
            },
        });
        (key.to_string(), secret)
    };
    model.certificates.iter().map(secret).collect()
}

/// Envoy's `SdsSecretConfig` for a Secret.
pub(super) fn reference(key: &ObjectKey, settings: &Settings) -> Value {
    json!({"name": key.to_string(), "sds_config": settings.source.reference(&file(&key.to_string()))})
}

/// File of one certificate where there is no agent: Envoy takes exactly one from a file. A namespace has no dot, so
/// that the names of two Secrets never meet.
pub(super) fn file(name: &str) -> String {
    format!("sds.{}.yaml", name.replacen('/', ".", 1))
}
