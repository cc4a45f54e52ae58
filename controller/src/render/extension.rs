//! The wasm filter and its configuration, delivered by ECDS: a change of routes touches no listener and drains no
//! connection.

use std::borrow::Cow;
use std::collections::BTreeMap;

use gatewasm_routing::config::FilterConfig;
use gatewasm_routing::{ConfigProblem, MAX_BYTES, compile, parse, wire};
use serde_json::{Value, json};

use super::{ConfigSource, FilterText, Json, Settings};
use crate::http3;
use crate::model::Model;

/// File of the filter and its configuration where there is no agent.
pub(super) const FILE: &str = "routes.yaml";

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

/// The filter's configuration of a model.
pub(super) fn config<'a>(model: &'a Model, settings: &Settings) -> Cow<'a, FilterConfig> {
    let access_log = settings.access_log;
    let moved = moved(model, settings);
    if model.filter_config.access_log == access_log && moved.is_empty() {
        return Cow::Borrowed(&model.filter_config);
    }
    let mut config = FilterConfig { access_log, ..model.filter_config.clone() };
    for listener in config.listeners.iter_mut().filter(|listener| listener.alt_svc.is_some()) {
        if let Some(port) = moved.get(&(listener.gateway.clone(), listener.port)) {
            listener.alt_svc = Some(http3::alt_svc(*port));
        }
    }
    Cow::Owned(config)
}

/// Where HTTP/3 is served on another port than the Gateway's: the port that clients find it on, by Gateway and port.
fn moved(model: &Model, settings: &Settings) -> BTreeMap<(String, u16), u16> {
    let listeners = model.gateways.iter().flat_map(|(key, gateway)| {
        gateway.listeners.values().filter(|listener| listener.http3).map(move |listener| (key, listener.port))
    });
    listeners
        .filter_map(|(key, port)| {
            let bound = settings.bindings.get(&(key.clone(), port))?.port();
            (bound != port).then(|| ((key.to_string(), port), bound))
        })
        .collect()
}

/// The text of the filter's configuration: of its pieces for the agent, and as a person would write it into a file.
pub(super) fn text(model: &Model, pieces: &FilterText, settings: &Settings) -> String {
    match settings.source {
        ConfigSource::Ads => pieces.text(),
        // Strings, numbers and lists always have a JSON form; an empty text would be refused by the filter.
        ConfigSource::Files(_) => {
            serde_json::to_string_pretty(&config(model, settings)).map(|text| text + "\n").unwrap_or_default()
        }
    }
}

/// Everything that the filter would refuse of the configuration that it is to get, by the filter's own parser: what is
/// translated compiles, but it may be too large.
///
/// # Errors
///
/// When there is anything.
pub fn accepted(model: &Model, settings: &Settings) -> Result<(), Vec<ConfigProblem>> {
    let text = text(model, &FilterText::of(&config(model, settings), None), settings);
    let config = parse(text.as_bytes()).map_err(|problem| vec![problem])?;
    compile(&config).map(drop)
}

/// The same of a configuration that was translated, and so has the form that it should, and of the text of it.
///
/// # Errors
///
/// When the filter would refuse anything of it.
pub(crate) fn readable(config: &FilterConfig, text: &FilterText) -> Result<(), Vec<ConfigProblem>> {
    let bytes = text.text().len();
    if bytes > MAX_BYTES {
        let message = format!("the document has {bytes} bytes; at most {MAX_BYTES} are read");
        return Err(vec![ConfigProblem { path: String::new(), message }]);
    }
    compile(config).map(drop)
}

/// The wasm filter as a resource.
pub(super) fn extensions(filter_config: &str, settings: &Settings) -> BTreeMap<String, Json> {
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
    BTreeMap::from([(wire::FILTER.to_owned(), extension.into())])
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

#[cfg(test)]
mod tests {
    use gatewasm_routing::config::{Listener, Protocol};

    use super::*;
    use crate::render::tests::{gateway, settings};

    #[test]
    fn http3_is_told_of_on_the_port_where_clients_find_it() {
        let listener = crate::model::Listener {
            port: 443,
            protocol: crate::model::Protocol::Https,
            hostname: None,
            certificates: vec![],
            client_validation: None,
            http3: true,
            forwards: vec![],
        };
        let mut model = gateway(&[("https", listener)]);
        model.filter_config.listeners = vec![Listener {
            name: "infra/web/https".into(),
            gateway: "infra/web".into(),
            port: 443,
            protocol: Protocol::Https,
            hostname: None,
            alt_svc: Some(http3::alt_svc(443)),
            routes: Vec::new(),
        }];
        let mut settings = settings(&[443]);
        assert!(matches!(config(&model, &settings), Cow::Borrowed(_)));
        for address in settings.bindings.values_mut() {
            address.set_port(10_443);
        }
        let moved = config(&model, &settings).listeners[0].alt_svc.clone();
        assert_eq!(moved.as_deref(), Some("h3=\":10443\"; ma=86400"));
    }

    #[test]
    fn what_the_filter_would_not_read_is_not_accepted() {
        let mut model = gateway(&[]);
        model.filter_config.listeners = vec![Listener {
            name: "infra/web/http".into(),
            gateway: "infra/web".into(),
            port: 80,
            protocol: Protocol::Http,
            hostname: None,
            alt_svc: None,
            routes: Vec::new(),
        }];
        assert_eq!(accepted(&model, &settings(&[80])), Ok(()));
        // It compiles, but the filter reads no document of this size.
        model.filter_config.listeners[0].gateway = "x".repeat(MAX_BYTES);
        let problems = accepted(&model, &settings(&[80])).unwrap_err();
        assert!(problems[0].message.contains("at most"), "{problems:?}");
    }
}
