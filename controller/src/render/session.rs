//! Sessions: Envoy keeps a request on the endpoint that the filter names, and tells the filter which one took it. What a
//! client shows and keeps is the filter's; Envoy only pins.

use gatewasm_routing::wire;
use serde_json::{Value, json};

const NAME: &str = "envoy.filters.http.stateful_session";

/// The filter's place in a connection manager, behind the wasm filter. It does nothing but for policies that say so.
pub(super) fn http_filter() -> Value {
    json!({
        "name": NAME,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSession",
        },
    })
}

/// `typed_per_filter_config` of a policy with sessions. An endpoint that is gone is replaced by another one.
pub(super) fn pinned() -> Value {
    json!({
        NAME: {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.stateful_session.v3.StatefulSessionPerRoute",
            "stateful_session": {
                "session_state": {
                    "name": "envoy.http.stateful_session.header",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState",
                        "name": wire::ENDPOINT,
                    },
                },
                "strict": false,
            },
        },
    })
}
