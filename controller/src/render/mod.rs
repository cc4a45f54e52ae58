//! From the model to Envoy's resources, written as proto3 JSON with `@type`: the one form that serves the ADS server,
//! files, ConfigMaps and golden tests. Pure: the same model gives the same bytes. Nothing is delivered here.

pub mod access_log;
pub mod bootstrap;
mod clusters;
pub mod config_map;
pub mod extension;
pub mod files;
mod filter_text;
pub mod host;
mod http_connection_manager;
mod json;
mod listeners;
mod policy;
mod routes;
mod secrets;
mod session;
mod splits;
mod streams;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub use filter_text::FilterText;
pub(crate) use filter_text::ListenerText;
pub use json::Json;
pub use routes::routes;

use crate::model::Model;
use crate::object::ObjectKey;

/// The address that Envoy binds for each port of each Gateway.
pub type Bindings = BTreeMap<(ObjectKey, u16), SocketAddr>;

/// What the environment decides about the resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A port without a binding gets no Envoy listener.
    pub bindings: Bindings,
    /// How Envoy gets what a resource refers to.
    pub source: ConfigSource,
    /// Path of the filter's `.wasm` as Envoy sees it.
    pub filter_path: PathBuf,
    /// Whether Envoy writes a line per request to its standard output.
    pub access_log: bool,
}

/// Where Envoy gets resources that others refer to by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// From the agent, over the stream that `bootstrap` opens.
    Ads,
    /// From files in this folder, as Envoy sees it. There is no EDS: clusters carry their endpoints.
    Files(PathBuf),
}

/// Envoy's resources by kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// `Listener` (LDS), one per port of a Gateway, `namespace/gateway:port`, and `/udp` behind it for datagrams.
    pub listeners: BTreeMap<String, Json>,
    /// `Route`, by the policy that it is of. Together they are the one `RouteConfiguration` (RDS) that all listeners
    /// share: [`routes`].
    pub policies: BTreeMap<String, Json>,
    /// `Cluster` (CDS), `namespace/service/port`, or `kind/namespace/name` of an L4 route.
    pub clusters: BTreeMap<String, Json>,
    /// `ClusterLoadAssignment` (EDS), by cluster.
    pub endpoints: BTreeMap<String, Json>,
    /// `Secret` (SDS): certificates, `namespace/name`, and authorities, `namespace/name/ca`.
    pub secrets: BTreeMap<String, Json>,
    /// `TypedExtensionConfig` (ECDS): the wasm filter with its configuration.
    pub extensions: BTreeMap<String, Json>,
    /// The filter's configuration as it stands in `extensions`.
    pub filter_config: String,
    /// The same in pieces, as bundles have it.
    pub filter: FilterText,
}

/// Renders everything but the bootstrap.
pub fn render(model: &Model, settings: &Settings) -> Resources {
    let resources = parts(model, settings, None);
    let text = extension::text(model, &resources.filter, settings);
    resources.with_text(text, settings)
}

/// What was rendered of a model before.
#[derive(Clone, Debug)]
pub struct Before {
    /// The model.
    pub model: Model,
    /// By these settings.
    pub settings: Settings,
    /// To these resources.
    pub resources: Resources,
}

/// As [`render`], without the filter and the one text of its configuration, which a bundle has in pieces. What is as it
/// was `before` is not rendered again.
pub fn parts(model: &Model, settings: &Settings, before: Option<&Before>) -> Resources {
    let shared = |list: BTreeMap<String, Value>| -> BTreeMap<String, Json> {
        list.into_iter().map(|(name, value)| (name, value.into())).collect()
    };
    // A cluster depends on itself, and on who sends copies and with which certificates.
    let same = before.filter(|before| {
        before.settings == *settings
            && before.model.policies == model.policies
            && before.model.gateways == model.gateways
    });
    let (mut clusters, mut endpoints) = match same {
        Some(before) => {
            let changed = Model {
                clusters: changed(&before.model.clusters, &model.clusters),
                ..model.without_routes()
            };
            let kept = |list: &BTreeMap<String, Json>| {
                let stays =
                    |name: &String| !changed.clusters.contains_key(name) && model.clusters.contains_key(name);
                list.iter()
                    .filter(|(name, _)| stays(name))
                    .map(|(name, json)| (name.clone(), json.clone()))
                    .collect()
            };
            let mut clusters: BTreeMap<String, Json> = kept(&before.resources.clusters);
            let mut endpoints: BTreeMap<String, Json> = kept(&before.resources.endpoints);
            clusters.extend(shared(clusters::clusters(&changed, settings)));
            endpoints.extend(shared(clusters::endpoints(&changed, settings)));
            (clusters, endpoints)
        }
        None => (shared(clusters::clusters(model, settings)), shared(clusters::endpoints(model, settings))),
    };
    clusters.extend(shared(splits::clusters(model, settings)));
    endpoints.extend(shared(splits::endpoints(model, settings)));
    let filter_before = before.map(|before| (&before.model.filter_config, &before.resources.filter));
    Resources {
        listeners: shared(listeners::listeners(model, settings)),
        policies: shared(routes::policies(model)),
        clusters,
        endpoints,
        secrets: shared(secrets::secrets(model)),
        filter: FilterText::of(&extension::config(model, settings), filter_before),
        ..Resources::default()
    }
}

/// Those of `new` that were not just so in `old`.
fn changed<T: Clone + PartialEq>(
    old: &BTreeMap<String, T>,
    new: &BTreeMap<String, T>,
) -> BTreeMap<String, T> {
    let is_new = |(name, it): &(&String, &T)| old.get(*name) != Some(it);
    new.iter().filter(is_new).map(|(name, it)| (name.clone(), it.clone())).collect()
}

impl Resources {
    /// With the filter, whose configuration is made of its pieces.
    pub(crate) fn with_filter(self, settings: &Settings) -> Self {
        let text = self.filter.text();
        self.with_text(text, settings)
    }

    fn with_text(mut self, filter_config: String, settings: &Settings) -> Self {
        self.extensions = extension::extensions(&filter_config, settings);
        self.filter_config = filter_config;
        self
    }

    /// SHA-256 of the filter's configuration, as the probe answers it.
    pub fn filter_config_hash(&self) -> String {
        format!("{:x}", Sha256::digest(&self.filter_config))
    }

    /// Everything as one YAML document for golden files. The filter's configuration is a file of its own there, and
    /// private keys belong into no file; both are left out.
    pub fn to_yaml(&self) -> anyhow::Result<String> {
        let all =
            |resources: &BTreeMap<String, Json>| resources.values().map(Json::value).collect::<Vec<_>>();
        let without = |resources: &BTreeMap<String, Json>, pointer: &str| {
            let mut resources = all(resources);
            for left_out in resources.iter_mut().filter_map(|one| one.pointer_mut(pointer)) {
                *left_out = json!("…");
            }
            resources
        };
        yaml(&json!({
            "listeners": all(&self.listeners),
            "routes": all(&routes(&self.policies)),
            "clusters": all(&self.clusters),
            "endpoints": all(&self.endpoints),
            "secrets": without(&self.secrets, "/tls_certificate/private_key/inline_string"),
            "extensions": without(&self.extensions, "/typed_config/config/configuration/value"),
        }))
    }
}

/// YAML as a person would write it: long lines stay whole, texts of several lines become block scalars.
pub fn yaml(value: &Value) -> anyhow::Result<String> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    Ok(serde_saphyr::to_string_with_options(value, options)?)
}

impl ConfigSource {
    /// Envoy's `ConfigSource` for a resource that stands in `file` when there is no agent.
    ///
    /// Envoy waits without limit for the first answer (`initial_fetch_timeout: 0s`): a listener that opened without
    /// its filter, routes or certificate would answer 500, or not at all.
    fn reference(&self, file: &str) -> Value {
        match self {
            Self::Ads => json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}),
            Self::Files(folder) => json!({
                "path_config_source": {
                    "path": folder.join(file),
                    "watched_directory": {"path": folder},
                },
                "resource_api_version": "V3",
                "initial_fetch_timeout": "0s",
            }),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::{Certificate, Gateway, Listener};

    /// A model with the Gateway `infra/web`.
    pub(crate) fn gateway(listeners: &[(&str, Listener)]) -> Model {
        let listeners =
            listeners.iter().map(|(name, listener)| ((*name).to_owned(), listener.clone())).collect();
        let gateway = Gateway { addresses: vec![], listeners };
        Model { gateways: BTreeMap::from([(ObjectKey::new("infra", "web"), gateway)]), ..Model::default() }
    }

    /// Settings with these ports of `infra/web` bound.
    pub(crate) fn settings(ports: &[u16]) -> Settings {
        let binding =
            |port: &u16| ((ObjectKey::new("infra", "web"), *port), SocketAddr::from(([127, 0, 0, 1], *port)));
        Settings {
            bindings: ports.iter().map(binding).collect(),
            source: ConfigSource::Ads,
            filter_path: "/gatewasm.wasm".into(),
            access_log: false,
        }
    }

    #[test]
    fn the_hash_is_that_of_the_bytes_that_envoy_hands_to_the_filter() {
        let resources = render(&gateway(&[]), &settings(&[]));
        assert_eq!(resources.filter_config, r#"{"version":1,"listeners":[]}"#);
        let configuration =
            &resources.extensions["gatewasm"].value()["typed_config"]["config"]["configuration"]["value"];
        assert_eq!(*configuration, resources.filter_config);
        // printf '{"version":1,"listeners":[]}' | sha256sum
        let expected = "9075198d6fb5e08c5f8574b2a948bf8864b40859995c48d6204ca8af0a4ed39f";
        assert_eq!(resources.filter_config_hash(), expected);
    }

    #[test]
    fn what_was_rendered_before_makes_no_difference() {
        let cluster = |port: u16| crate::model::Cluster {
            endpoints: [crate::model::Endpoint { host: "10.0.0.1".into(), port }].into(),
            ..crate::model::Cluster::default()
        };
        let mut model = gateway(&[]);
        model.clusters = [("a/stays/80", 1), ("a/changes/80", 2), ("a/goes/80", 3)]
            .map(|(name, port)| (name.to_owned(), cluster(port)))
            .into();
        let settings = settings(&[]);
        let resources = parts(&model, &settings, None);
        let before = Before { model: model.clone(), settings: settings.clone(), resources };
        model.clusters.remove("a/goes/80");
        model.clusters.insert("a/comes/80".into(), cluster(4));
        model.clusters.insert("a/changes/80".into(), cluster(5));
        let after = parts(&model, &settings, Some(&before));
        assert_eq!(after, parts(&model, &settings, None));
        assert_ne!(after.endpoints, before.resources.endpoints);
    }

    #[test]
    fn golden_files_have_no_private_key() {
        let mut model = gateway(&[]);
        let certificate = Certificate { chain: "the chain".into(), private_key: "the key".into() };
        model.certificates.insert(ObjectKey::new("infra", "web"), certificate);
        let yaml = render(&model, &settings(&[])).to_yaml().unwrap();
        assert!(yaml.contains("the chain") && !yaml.contains("the key"), "{yaml}");
    }
}
