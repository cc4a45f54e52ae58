//! One line of JSON per request or L4 connection on Envoy's standard output. With a single Envoy route, Envoy's own route name says
//! nothing: listener, route and rule come from the filter, through filter state.

use gatewasm_routing::wire;
use serde_json::{Value, json};

/// Envoy's `AccessLog` to standard output.
pub(super) fn stdout() -> Value {
    with(&fields())
}

/// The same for connections of a listener that go to an L4 route.
pub(super) fn of_connections(listener: &str, route: &str) -> Value {
    with(&json!({
        "time": "%START_TIME%",
        "serverName": "%REQUESTED_SERVER_NAME%",
        "flags": "%RESPONSE_FLAGS%",
        "durationMs": "%DURATION%",
        "bytesReceived": "%BYTES_RECEIVED%",
        "bytesSent": "%BYTES_SENT%",
        "listener": listener,
        "route": route,
        "upstream": "%UPSTREAM_HOST%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
    }))
}

fn with(fields: &Value) -> Value {
    json!({
        "name": "stdout",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"json_format": fields},
        },
    })
}

/// The fields of a line, as Envoy's `json_format` names them; `docs/operations.md` describes them.
pub fn fields() -> Value {
    // What a filter sets as property `a.b` is Envoy's filter state `wasm.a.b`.
    let state = |name: &str| format!("%FILTER_STATE(wasm.{name}:PLAIN)%");
    json!({
        "time": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "host": "%REQ(:AUTHORITY)%",
        "path": "%REQ(:PATH)%",
        "protocol": "%PROTOCOL%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "durationMs": "%DURATION%",
        "bytesReceived": "%BYTES_RECEIVED%",
        "bytesSent": "%BYTES_SENT%",
        "listener": state(wire::STATE_LISTENER),
        "route": state(wire::STATE_ROUTE),
        "rule": state(wire::STATE_RULE),
        "cluster": "%UPSTREAM_CLUSTER_RAW%",
        "upstream": "%UPSTREAM_HOST%",
        "requestId": "%REQ(X-REQUEST-ID)%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
    })
}
