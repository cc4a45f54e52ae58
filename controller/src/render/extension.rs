//! The wasm filter and its configuration, delivered by ECDS: a change of routes touches no listener and drains no
//! connection.

use std::collections::BTreeMap;

use gatewasm_routing::config::FilterConfig;
use gatewasm_routing::wire;
use serde_json::{Value, json};

use super::{ConfigSource, Settings};
use crate::model::Model;

/// File of the filter and its configuration where there is no agent.
pub(super) const FILE: &str = "routes.yaml";

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// The filter's configuration: compact for the agent, and as a person would write it into a file.
pub(super) fn filter_config(model: &Model, settings: &Settings) -> String {
    let config = FilterConfig { access_log: settings.access_log, ..model.filter_config.clone() };
    let text = match settings.source {
        ConfigSource::Ads => serde_json::to_string(&config),
        ConfigSource::Files(_) => serde_json::to_string_pretty(&config).map(|text| text + "\n"),
    };
    // Strings, numbers and lists always have a JSON form; an empty text would be refused by the filter.
    text.unwrap_or_default()
}

/// The wasm filter as a resource.
pub(super) fn extensions(filter_config: &str, settings: &Settings) -> BTreeMap<String, Value> {
    let extension = json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": wire::FILTER,
        "typed_config": {
            "@type": WASM,
            "config": {
                "name": wire::FILTER,
                "root_id": wire::FILTER,
                "vm_config": {
                    // The same for every configuration: a new one runs in the VMs that are there.
                    "vm_id": wire::FILTER,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": settings.filter_path}},
                },
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": filter_config,
                },
                // A VM that trapped is made anew for the next request instead of answering 503 for ever. Envoy
                // crashes with an interval below 2 ms.
                "failure_policy": "FAIL_RELOAD",
                "reload_config": {"backoff": {"base_interval": "0.05s"}},
            },
        },
    });
    BTreeMap::from([(wire::FILTER.to_owned(), extension)])
}

/// The filter's place in a connection manager.
pub(super) fn http_filter(settings: &Settings) -> Value {
    json!({
        "name": wire::FILTER,
        "config_discovery": {
            "config_source": settings.source.reference(FILE),
            "type_urls": [WASM],
        },
    })
}
