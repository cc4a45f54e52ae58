//! What Envoy does with connections and datagrams that are not read as HTTP: filter chains of TLS and TCP listeners,
//! and whole listeners of UDP.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::listeners::{CONNECTION_BUFFER, udp_address};
use super::{Settings, access_log, tls};
use crate::model::{Forward, Listener, Protocol};

/// Largest datagram: what an Ethernet frame can carry in a network that allows large ones. Envoy's default of 1,500
/// would cut those of networks within one machine.
const DATAGRAM: u32 = 9_000;

/// The filter chains of a TLS or TCP listener, called `entry`. Where it ends TLS, connections that are closed are closed
/// without a handshake.
pub(super) fn chains(entry: &str, listener: &Listener, settings: &Settings) -> Vec<Value> {
    let chain = |forward: &Forward| {
        let name = match &forward.split {
            Some(split) => format!("{entry} {split}"),
            None => format!("{entry} closed"),
        };
        let mut chain = json!({"name": name});
        if listener.protocol == Protocol::Tls {
            chain["filter_chain_match"] = json!({"server_names": forward.hostnames});
        }
        chain["filters"] = match &forward.split {
            Some(split) => json!([tcp_proxy(entry, split, settings)]),
            None => json!([closed()]),
        };
        if !listener.certificates.is_empty() && forward.split.is_some() {
            chain["transport_socket"] = tls::of_listener(listener, &[], settings);
        }
        chain
    };
    listener.forwards.iter().map(chain).collect()
}

fn tcp_proxy(entry: &str, split: &str, settings: &Settings) -> Value {
    let mut proxy = json!({
        "name": "tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": entry,
            "cluster": split,
            // One try: another one could take a share that is to be refused to a backend that is not asked for.
            "max_connect_attempts": 1,
        },
    });
    if settings.access_log {
        // `TLSRoute namespace/name`, without what stands behind it.
        let route = split.splitn(4, '/').take(3).collect::<Vec<_>>().join("/").replacen('/', " ", 1);
        let log = access_log::of_connections(entry, &route);
        proxy["typed_config"]["access_log"] = json!([log]);
    }
    proxy
}

/// Closes each connection.
fn closed() -> Value {
    json!({
        "name": "direct_response",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.direct_response.v3.Config",
        },
    })
}

/// The Envoy listener of a UDP listener; none without a route, so that clients are told that nobody is there.
pub(super) fn udp_listener(name: &str, listener: &Listener, address: SocketAddr) -> Option<Value> {
    let split = listener.forwards.iter().find_map(|forward| forward.split.as_ref())?;
    Some(json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": name,
        "address": udp_address(address),
        "per_connection_buffer_limit_bytes": CONNECTION_BUFFER,
        "udp_listener_config": {"downstream_socket_config": {"max_rx_datagram_size": DATAGRAM}},
        "listener_filters": [{
            "name": "udp_proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig",
                "stat_prefix": name,
                "matcher": {
                    "on_no_match": {
                        "action": {
                            "name": "route",
                            "typed_config": {
                                "@type": "type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route",
                                "cluster": split,
                            },
                        },
                    },
                },
                "upstream_socket_config": {"max_rx_datagram_size": DATAGRAM},
            },
        }],
    }))
}
