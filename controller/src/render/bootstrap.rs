//! What Envoy starts with: how it reaches the agent or its files, its admin address, its limits, and the internal
//! listener on which each worker says which configuration it runs.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::listeners::socket_address;
use super::{ConfigSource, Settings, http_connection_manager};

/// Connections that Envoy holds at a time; further ones are closed at once. It keeps a flood from exhausting file
/// descriptors and memory.
const MAX_CONNECTIONS: u32 = 50_000;

/// Name of the cluster by which Envoy reaches the agent.
const AGENT: &str = "gatewasm-agent";

/// An address of Envoy's own, not of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Pipe(PathBuf),
    /// An address and port, loopback by choice of the caller.
    Socket(SocketAddr),
}

/// The addresses that Envoy speaks on beside the Gateways'.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Envoy's admin interface.
    pub admin: Address,
    /// The probe: any request is answered with the hash of the filter's configuration and the id of the VM.
    pub probe: Address,
    /// The agent's socket; not used with files.
    pub agent: PathBuf,
}

/// The bootstrap configuration, to be written to a file for `envoy -c`.
pub fn bootstrap(settings: &Settings, addresses: &Addresses) -> Value {
    let mut bootstrap = json!({
        // Envoy wants both for any dynamic resource.
        "node": {"id": "gatewasm", "cluster": "gatewasm"},
        "admin": {"address": addresses.admin.json()},
        "dynamic_resources": {
            "cds_config": settings.source.reference("cds.yaml"),
            "lds_config": settings.source.reference("lds.yaml"),
        },
        "static_resources": {"listeners": [probe(settings, &addresses.probe)]},
        "overload_manager": {
            "resource_monitors": [{
                "name": "envoy.resource_monitors.global_downstream_max_connections",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    "max_active_downstream_connections": MAX_CONNECTIONS,
                },
            }],
        },
    });
    if settings.source == ConfigSource::Ads {
        bootstrap["dynamic_resources"]["ads_config"] = json!({
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {
                "cluster_name": AGENT,
                // An agent that was started again is found at once (Envoy by itself pauses for up to 30 s).
                "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}},
            }}],
        });
        bootstrap["static_resources"]["clusters"] = json!([agent(&Address::Pipe(addresses.agent.clone()))]);
    }
    bootstrap
}

impl Address {
    fn json(&self) -> Value {
        match self {
            Self::Pipe(path) => json!({"pipe": {"path": path, "mode": 0o600}}),
            Self::Socket(address) => socket_address(&address.ip().to_string(), address.port()),
        }
    }
}

fn agent(address: &Address) -> Value {
    json!({
        "name": AGENT,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": AGENT,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address.json()}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        },
    })
}

/// `exact_balance` gives each worker the same number of connections: as many connections as workers reach them all.
fn probe(settings: &Settings, address: &Address) -> Value {
    json!({
        "name": "probe",
        "address": address.json(),
        "connection_balance_config": {"exact_balance": {}},
        "ignore_global_conn_limit": true,
        "filter_chains": [{"filters": [http_connection_manager::probe(settings)]}],
    })
}
