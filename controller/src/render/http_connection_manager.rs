//! Envoy's HTTP connection manager: limits, normalisation and the trust rules of every filter chain, and the wasm
//! filter in front of the router. The values are listed with their reasons in `docs/operations.md`.

use gatewasm_routing::wire;
use serde_json::{Value, json};

use super::{Settings, access_log, extension, policy, routes, session};

/// The network filter of the chain that the filter knows as `entry`; its statistics are named after the port.
pub(super) fn filter(port_name: &str, entry: &str, settings: &Settings) -> Value {
    json!({"name": "http", "typed_config": manager(port_name, entry, settings)})
}

/// The same for HTTP/3, whose limits are those of HTTP/2. It has no WebSockets: clients open them over TCP.
pub(super) fn http3_filter(port_name: &str, entry: &str, settings: &Settings) -> Value {
    let mut manager = manager(port_name, entry, settings);
    manager["codec_type"] = json!("HTTP3");
    manager["http3_protocol_options"] = json!({"quic_protocol_options": quic()});
    json!({"name": "http", "typed_config": manager})
}

/// Limits of a QUIC connection. While requests are under way Envoy says something now and then: clients give up a
/// connection that is silent (often after 30 s), and routers between forget it.
pub(super) fn quic() -> Value {
    json!({
        "max_concurrent_streams": MOST_STREAMS,
        "initial_stream_window_size": STREAM_WINDOW,
        "initial_connection_window_size": CONNECTION_WINDOW,
        "connection_keepalive": {"initial_interval": "10s", "max_interval": "15s"},
    })
}

/// Envoy's advice for edges. Without it a client may hold far more memory per connection.
const MOST_STREAMS: u32 = 100;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

fn manager(port_name: &str, entry: &str, settings: &Settings) -> Value {
    let mut manager = json!({
        "@type": TYPE,
        "stat_prefix": port_name,
        "rds": {
            "route_config_name": wire::ROUTES,
            "config_source": settings.source.reference(routes::FILE),
        },
        "early_header_mutation_extensions": [entry_headers(entry)],
        "http_filters": [extension::http_filter(settings), session::http_filter(), trailers(), router()],
        "upgrade_configs": [{"upgrade_type": "websocket"}],

        // One view of the path for match, rewrite and backend: dot segments and repeated slashes are resolved
        // (RFC 3986 §6.2.2.3), escaped slashes are data and stay.
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "strip_trailing_host_dot": true,

        // The client is the peer: X-Forwarded-For of a client is appended to and never believed.
        "use_remote_address": true,
        // The backend's `server` header, not ours.
        "server_header_transformation": "PASS_THROUGH",

        // A gRPC stream or WebSocket may say nothing for an hour (Envoy's default: five minutes).
        "stream_idle_timeout": format!("{}s", policy::SILENCE.as_secs()),
        // A client gets this long to send its request headers (Envoy's default: for ever). Bodies may take longer:
        // streams are requests too.
        "request_headers_timeout": "30s",
        "common_http_protocol_options": {
            "idle_timeout": "3600s",
            // Backends that read headers as environment variables are rare; headers with underscores are not.
            "headers_with_underscores_action": "ALLOW",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": MOST_STREAMS,
            "initial_stream_window_size": STREAM_WINDOW,
            "initial_connection_window_size": CONNECTION_WINDOW,
        },
    });
    if settings.access_log {
        manager["access_log"] = json!([access_log::stdout()]);
    }
    manager
}

/// The network filter of the internal listener, whose requests the wasm filter answers itself.
pub(super) fn probe(settings: &Settings) -> Value {
    json!({
        "name": "http",
        "typed_config": {
            "@type": TYPE,
            "stat_prefix": "probe",
            "route_config": {
                "virtual_hosts": [{
                    "name": "probe",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 500}}],
                }],
            },
            "early_header_mutation_extensions": [entry_headers(wire::PROBE)],
            "http_filters": [extension::http_filter(settings), router()],
        },
    })
}

const TYPE: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// Runs before Envoy looks at the request, whether or not the wasm filter does: whatever a client sent under our
/// names, or under names by which Envoy's router takes orders, is gone; then the chain writes its own.
fn entry_headers(entry: &str) -> Value {
    json!({
        "name": "entry",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [
                without(wire::PREFIX),
                without(ENVOYS_PREFIX),
                {"append": {
                    "header": {"key": wire::LISTENER, "value": entry},
                    "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                }},
            ],
        },
    })
}

/// The same names are gone from trailers, which come long after; others go on to backends that HTTP/2 is spoken with.
fn trailers() -> Value {
    json!({
        "name": "trailers",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {"request_trailers_mutations": [without(wire::PREFIX), without(ENVOYS_PREFIX)]},
        },
    })
}

/// Headers by which Envoy's router takes orders begin with this.
const ENVOYS_PREFIX: &str = "x-envoy-";

fn without(prefix: &str) -> Value {
    json!({"remove_on_match": {"key_matcher": {"prefix": prefix}}})
}

fn router() -> Value {
    json!({
        "name": "router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            // Backends and clients see no x-envoy-* header.
            "suppress_envoy_headers": true,
        },
    })
}
