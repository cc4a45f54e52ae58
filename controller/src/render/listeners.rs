//! Envoy listeners: one per port of a Gateway, with a filter chain for all its HTTP listeners, or one for each of its
//! HTTPS listeners, chosen by SNI.
//!
//! Envoy swaps filter chains in place, but drains a listener whose other fields change. So everything outside of
//! `filter_chains` depends on port and protocol alone.

use std::collections::BTreeMap;

use gatewasm_routing::config::Protocol;
use gatewasm_routing::wire;
use serde_json::{Value, json};

use super::{Settings, http_connection_manager, secrets};
use crate::model::{Listener, Model};
use crate::object::ObjectKey;

/// Bytes that Envoy holds per connection before it stops reading (Envoy's advice for edges; its default is 1 MiB).
pub(super) const CONNECTION_BUFFER: u32 = 32 * 1024;

/// The Envoy listener of one port of a Gateway, `namespace/gateway:port`. It is also what the filter knows the port by.
pub fn name(gateway: &ObjectKey, port: u16) -> String {
    wire::entry_of_port(&gateway.to_string(), port)
}

/// The Envoy listeners of all ports that have a binding.
pub(super) fn listeners(model: &Model, settings: &Settings) -> BTreeMap<String, Value> {
    let mut rendered = BTreeMap::new();
    for (key, gateway) in &model.gateways {
        let mut ports = BTreeMap::<u16, Vec<(&String, &Listener)>>::new();
        for (section, listener) in &gateway.listeners {
            ports.entry(listener.port).or_default().push((section, listener));
        }
        for (port, listeners) in ports {
            let Some(address) = settings.bindings.get(&(key.clone(), port)) else { continue };
            let name = name(key, port);
            let tls: Vec<_> =
                listeners.iter().filter(|(_, listener)| listener.protocol == Protocol::Https).collect();
            let (listener_filters, filter_chains) = if tls.is_empty() {
                (vec![], vec![http_chain(&name, settings)])
            } else {
                let chains = tls.iter().map(|(section, listener)| {
                    https_chain(&name, &format!("{key}/{section}"), listener, settings)
                });
                (vec![tls_inspector()], chains.collect())
            };
            let listener = json!({
                "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
                "name": name,
                "address": socket_address(&address.ip().to_string(), address.port()),
                "per_connection_buffer_limit_bytes": CONNECTION_BUFFER,
                "listener_filters": listener_filters,
                "filter_chains": filter_chains,
            });
            rendered.insert(name, listener);
        }
    }
    rendered
}

/// Envoy's `Address` of an IP address or host name and a port.
pub(super) fn socket_address(host: &str, port: u16) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}

fn http_chain(name: &str, settings: &Settings) -> Value {
    json!({"name": name, "filters": [http_connection_manager::filter(name, name, settings)]})
}

/// A connection whose SNI matches no chain is closed: there is no certificate to answer it with.
fn https_chain(port_name: &str, entry: &str, listener: &Listener, settings: &Settings) -> Value {
    let server_names: Vec<&String> = listener.hostname.iter().collect();
    let certificates: Vec<Value> =
        listener.certificates.iter().map(|key| secrets::reference(key, settings)).collect();
    json!({
        "name": entry,
        "filter_chain_match": {"server_names": server_names},
        "transport_socket": {
            "name": "tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "alpn_protocols": ["h2", "http/1.1"],
                    "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                    "tls_certificate_sds_secret_configs": certificates,
                },
            },
        },
        "filters": [http_connection_manager::filter(port_name, entry, settings)],
    })
}

fn tls_inspector() -> Value {
    json!({
        "name": "tls_inspector",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        },
    })
}
