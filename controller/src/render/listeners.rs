//! Envoy listeners: one per port of a Gateway and transport. A port of HTTP has one filter chain for all its listeners;
//! HTTPS and TLS share a port, with filter chains chosen by SNI; a port of TCP has one for the route that gets it, and
//! one of UDP is that route's alone. HTTP/3 has an Envoy listener of its own beside that of HTTPS.
//!
//! Envoy swaps filter chains in place, but drains a listener whose other fields change. So everything outside of
//! `filter_chains` depends on port and kind alone: it is the same with HTTPS, TLS or both.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use gatewasm_routing::wire;
use serde_json::{Value, json};

use super::{Settings, http_connection_manager, streams, tls};
use crate::model::{Listener, Model, Protocol, Transport};
use crate::object::ObjectKey;

/// Bytes that Envoy holds per connection before it stops reading (Envoy's advice for edges; its default is 1 MiB).
pub(super) const CONNECTION_BUFFER: u32 = 32 * 1024;

/// The Envoy listener of one port of a Gateway, `namespace/gateway:port`. It is also what the filter knows the port by.
fn name(gateway: &ObjectKey, port: u16) -> String {
    wire::entry_of_port(&gateway.to_string(), port)
}

/// The Envoy listeners of all ports that have a binding.
pub(super) fn listeners(model: &Model, settings: &Settings) -> BTreeMap<String, Value> {
    let mut rendered = BTreeMap::new();
    for (key, gateway) in &model.gateways {
        let mut ports = BTreeMap::<u16, Vec<(&String, &Listener)>>::new();
        for (section, listener) in &gateway.listeners {
            let Some(address) = settings.bindings.get(&(key.clone(), listener.port)) else { continue };
            match listener.protocol.transport() {
                Transport::Tcp => ports.entry(listener.port).or_default().push((section, listener)),
                Transport::Udp => {
                    let name = format!("{}/udp", name(key, listener.port));
                    rendered.extend(streams::udp_listener(&name, listener, *address).map(|it| (name, it)));
                }
            }
        }
        for (port, listeners) in ports {
            let Some(address) = settings.bindings.get(&(key.clone(), port)) else { continue };
            let name = name(key, port);
            rendered.extend(quic_listener(&name, key, &listeners, *address, settings));
            let mut filter_chains = Vec::new();
            for (section, listener) in &listeners {
                let entry = format!("{key}/{section}");
                match listener.protocol {
                    // All of a port share one.
                    Protocol::Http if filter_chains.is_empty() => {
                        filter_chains.push(http_chain(&name, settings));
                    }
                    Protocol::Http => {}
                    Protocol::Https => filter_chains.push(https_chain(&name, &entry, listener, settings)),
                    Protocol::Tls | Protocol::Tcp | Protocol::Udp => {
                        filter_chains.extend(streams::chains(&entry, listener, settings));
                    }
                }
            }
            let by_name = listeners.iter().any(|(_, listener)| listener.protocol.is_by_server_name());
            let listener_filters = if by_name { vec![tls_inspector()] } else { vec![] };
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

/// The Envoy listener of HTTP/3 on a port, with a chain for each HTTPS listener that asks for it: a listener of its own,
/// so that those of TCP do not know whether it is there. A name that only others of the port serve may meet a broader
/// one here, and is misdirected.
fn quic_listener(
    port_name: &str,
    gateway: &ObjectKey,
    listeners: &[(&String, &Listener)],
    address: SocketAddr,
    settings: &Settings,
) -> Option<(String, Value)> {
    let chains: Vec<Value> = listeners
        .iter()
        .filter(|(_, listener)| listener.http3)
        .map(|(section, listener)| {
            let entry = format!("{gateway}/{section}");
            let manager = http_connection_manager::http3_filter(port_name, &entry, settings);
            chain_of_name(&entry, listener, tls::of_quic(listener, settings), manager)
        })
        .collect();
    if chains.is_empty() {
        return None;
    }
    let name = format!("{port_name}/quic");
    let listener = json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": name,
        "address": udp_address(address),
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER,
        "udp_listener_config": {
            "quic_options": {"quic_protocol_options": http_connection_manager::quic()},
            "downstream_socket_config": {"prefer_gro": true},
        },
        "filter_chains": chains,
    });
    Some((name, listener))
}

/// Envoy's `Address` of an IP address or host name and a port.
pub(super) fn socket_address(host: &str, port: u16) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}

/// The same for datagrams.
pub(super) fn udp_address(address: SocketAddr) -> Value {
    let mut udp = socket_address(&address.ip().to_string(), address.port());
    udp["socket_address"]["protocol"] = json!("UDP");
    udp
}

fn http_chain(name: &str, settings: &Settings) -> Value {
    json!({"name": name, "filters": [http_connection_manager::filter(name, name, settings)]})
}

/// A connection whose SNI matches no chain is closed: there is no certificate to answer it with.
fn https_chain(port_name: &str, entry: &str, listener: &Listener, settings: &Settings) -> Value {
    let socket = tls::of_listener(listener, &["h2", "http/1.1"], settings);
    chain_of_name(entry, listener, socket, http_connection_manager::filter(port_name, entry, settings))
}

fn chain_of_name(entry: &str, listener: &Listener, socket: Value, manager: Value) -> Value {
    let server_names: Vec<&String> = listener.hostname.iter().collect();
    json!({
        "name": entry,
        "filter_chain_match": {"server_names": server_names},
        "transport_socket": socket,
        "filters": [manager],
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::tests::{gateway, settings};

    fn listener(protocol: Protocol, hostname: Option<&str>) -> Listener {
        let certificates = vec![ObjectKey::new("infra", "certificate")];
        Listener {
            port: 443,
            protocol,
            hostname: hostname.map(Into::into),
            certificates,
            client_validation: None,
            http3: false,
            forwards: vec![],
        }
    }

    #[test]
    fn a_port_without_a_binding_gets_no_envoy_listener() {
        let model = gateway(&[("http", listener(Protocol::Http, None))]);
        assert!(listeners(&model, &settings(&[])).is_empty());
        assert_eq!(listeners(&model, &settings(&[443])).keys().collect::<Vec<_>>(), ["infra/web:443"]);
    }

    #[test]
    fn all_http_listeners_of_a_port_share_a_chain_and_https_listeners_have_their_own() {
        let of = |protocol, hostname| listener(protocol, Some(hostname));
        let http = gateway(&[("a", of(Protocol::Http, "a.com")), ("b", of(Protocol::Http, "b.com"))]);
        let rendered = listeners(&http, &settings(&[443]));
        assert_eq!(rendered["infra/web:443"]["filter_chains"].as_array().unwrap().len(), 1);
        let https = gateway(&[("a", of(Protocol::Https, "a.com")), ("b", listener(Protocol::Https, None))]);
        let rendered = listeners(&https, &settings(&[443]));
        let chains = rendered["infra/web:443"]["filter_chains"].as_array().unwrap();
        let names: Vec<_> =
            chains.iter().map(|chain| (&chain["name"], &chain["filter_chain_match"])).collect();
        assert_eq!(names[0], (&json!("infra/web/a"), &json!({"server_names": ["a.com"]})));
        assert_eq!(names[1], (&json!("infra/web/b"), &json!({"server_names": []})));
    }

    #[test]
    fn outside_of_filter_chains_only_port_and_kind_count() {
        let frame = |listeners_of: &[(&str, Listener)]| {
            let mut rendered = listeners(&gateway(listeners_of), &settings(&[443]));
            let listener = rendered.get_mut("infra/web:443").unwrap();
            listener.as_object_mut().unwrap().remove("filter_chains");
            listener.clone()
        };
        for protocol in [Protocol::Http, Protocol::Https] {
            let one = frame(&[("a", listener(protocol, None))]);
            let other =
                frame(&[("b", listener(protocol, Some("b.com"))), ("c", listener(protocol, Some("c.com")))]);
            assert_eq!(one, other);
        }
        let https = ("a", listener(Protocol::Https, Some("a.com")));
        let tls = ("b", listener(Protocol::Tls, Some("b.com")));
        assert_eq!(frame(std::slice::from_ref(&https)), frame(&[https, tls.clone()]));
        assert_eq!(frame(std::slice::from_ref(&tls)), frame(&[("c", listener(Protocol::Https, None))]));
    }
}
