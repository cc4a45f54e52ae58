//! Parts put together again to Envoy's resources. A part that stays as it is, is not read again.

use std::collections::BTreeMap;

use gatewasm_routing::config::FilterConfig;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::part::{Kind, PartName};
use super::{Bundle, Incomplete, Text};
use crate::render::{FilterText, Json, Resources, Settings};

/// Resources by name, as everywhere in [`Resources`].
type ByName = BTreeMap<String, Json>;

/// Reads bundles, one after the other.
#[derive(Debug, Default)]
pub struct Reader {
    read: BTreeMap<PartName, (Text, Part)>,
}

/// What a part holds.
#[derive(Clone, Debug)]
enum Part {
    Routes(FilterText),
    Envoy(EnvoyPart),
    Endpoints(ByName),
    Certificates(CertificatesPart),
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct EnvoyPart {
    listeners: ByName,
    policies: ByName,
    clusters: ByName,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct CertificatesPart {
    session_key: Option<String>,
    certificates: ByName,
}

impl Reader {
    /// The resources that the parts of a bundle hold, as Envoy in a pod with these `settings` gets them.
    ///
    /// # Errors
    ///
    /// When a part is not what [`Bundle::of`] of this version writes.
    pub fn resources(&mut self, bundle: &Bundle, settings: &Settings) -> Result<Resources, Incomplete> {
        self.read.retain(|name, _| bundle.parts.contains_key(name));
        for (name, text) in &bundle.parts {
            if !self.read.get(name).is_some_and(|(known, _)| known.is(text)) {
                self.read.insert(*name, (text.clone(), Part::read(*name, text)?));
            }
        }
        let mut resources = Resources::default();
        for (_, part) in self.read.values() {
            match part.clone() {
                Part::Routes(share) => resources.filter.add(share),
                Part::Envoy(mut share) => {
                    resources.listeners.append(&mut share.listeners);
                    resources.policies.append(&mut share.policies);
                    resources.clusters.append(&mut share.clusters);
                }
                Part::Endpoints(mut share) => resources.endpoints.append(&mut share),
                Part::Certificates(mut share) => {
                    resources.secrets.append(&mut share.certificates);
                    let key = &mut resources.filter.whole.session_key;
                    *key = key.take().or(share.session_key);
                }
            }
        }
        resources.filter.sort();
        Ok(resources.with_filter(settings))
    }
}

impl Part {
    fn read(name: PartName, text: &str) -> Result<Self, Incomplete> {
        fn json<T: DeserializeOwned>(name: PartName, text: &str) -> Result<T, Incomplete> {
            serde_json::from_str(text).map_err(|error| Incomplete::Unreadable(name, error.to_string()))
        }
        Ok(match name.kind {
            Kind::Routes => Self::Routes(FilterText::of(&json::<FilterConfig>(name, text)?, None)),
            Kind::Envoy => Self::Envoy(json(name, text)?),
            Kind::Endpoints => Self::Endpoints(json(name, text)?),
            Kind::Certificates => Self::Certificates(json(name, text)?),
        })
    }
}
