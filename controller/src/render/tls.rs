//! TLS contexts: towards backends, and of what clients must show. Certificates and authorities come by SDS, so that a
//! rotation touches neither cluster nor listener.

use serde_json::{Value, json};

use super::{Settings, secrets};
use crate::model::{Authorities, BackendProtocol, BackendTls, ClientValidation, Listener, SubjectAltName};

/// Where Envoy's images have the authorities that the system trusts, and most distributions.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The transport socket towards a backend. Without a protocol, none is asked for: nobody here knows what is spoken.
pub(super) fn to_backend(tls: &BackendTls, protocol: Option<BackendProtocol>, settings: &Settings) -> Value {
    let alpn = protocol.map(|protocol| match protocol {
        BackendProtocol::Http1 => "http/1.1",
        BackendProtocol::Http2 => "h2",
    });
    let names: Vec<Value> = tls.names.iter().map(matcher).collect();
    let mut common = json!({
        // Envoy's own limit towards backends is TLS 1.2.
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
    });
    if let Some(alpn) = alpn {
        common["alpn_protocols"] = json!([alpn]);
    }
    match &tls.authorities {
        Authorities::Named(name) => {
            common["combined_validation_context"] =
                authorities(name, &json!({"match_typed_subject_alt_names": names}), settings);
        }
        Authorities::System => {
            common["validation_context"] = json!({
                "trusted_ca": {"filename": SYSTEM_AUTHORITIES},
                "match_typed_subject_alt_names": names,
            });
        }
    }
    if let Some(certificate) = &tls.client_certificate {
        common["tls_certificate_sds_secret_configs"] =
            json!([secrets::reference(&certificate.to_string(), settings)]);
    }
    json!({
        "name": "tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": tls.server_name,
            "common_tls_context": common,
        },
    })
}

/// Envoy compares a DNS name with what the certificate has as TLS does (RFC 6125), anything else byte by byte.
fn matcher(name: &SubjectAltName) -> Value {
    match name {
        SubjectAltName::Dns(name) => json!({"san_type": "DNS", "matcher": {"exact": name}}),
        SubjectAltName::Uri(uri) => json!({"san_type": "URI", "matcher": {"exact": uri}}),
    }
}

/// The transport socket of a listener where TLS ends, and speaks these protocols inside.
pub(super) fn of_listener(listener: &Listener, protocols: &[&str], settings: &Settings) -> Value {
    let mut context = context(listener, protocols, settings);
    context["@type"] =
        json!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext");
    json!({"name": "tls", "typed_config": context})
}

/// The same for HTTP/3. A request in early data could be sent again by anybody who has seen it (RFC 8470), so none is
/// taken. Where clients are verified, Envoy resumes no session either: it would not look at the certificate again.
pub(super) fn of_quic(listener: &Listener, settings: &Settings) -> Value {
    json!({
        "name": "quic",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport",
            "downstream_tls_context": context(listener, &["h3"], settings),
            "enable_early_data": false,
        },
    })
}

fn context(listener: &Listener, protocols: &[&str], settings: &Settings) -> Value {
    let certificates: Vec<Value> =
        listener.certificates.iter().map(|key| secrets::reference(&key.to_string(), settings)).collect();
    let mut context = json!({
        "common_tls_context": {
            "alpn_protocols": protocols,
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificate_sds_secret_configs": certificates,
        },
    });
    if let Some(ClientValidation { authorities: name, insecure_fallback }) = &listener.client_validation {
        let how = if *insecure_fallback {
            json!({"trust_chain_verification": "ACCEPT_UNTRUSTED"})
        } else {
            json!({})
        };
        context["common_tls_context"]["combined_validation_context"] = authorities(name, &how, settings);
        context["require_client_certificate"] = json!(!insecure_fallback);
    }
    context
}

/// A validation context with these authorities, and what else it is to have.
fn authorities(name: &str, more: &Value, settings: &Settings) -> Value {
    json!({
        "default_validation_context": more,
        "validation_context_sds_secret_config": secrets::reference(name, settings),
    })
}
