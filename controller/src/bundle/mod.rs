//! What one Gateway's data plane needs, as a bundle of parts that fit into ConfigMaps and Secrets, and back into Envoy's
//! resources. Pure, both ways.
//!
//! A part is a JSON document that a person can read: a share of the routes, of Envoy's listeners, policies and clusters,
//! of the endpoints, or of what is secret. The [`Manifest`] names the parts by their SHA-256; a bundle is taken whole,
//! or not at all.

mod divide;
mod manifest;
mod part;
mod read;
mod resources;
mod text;

pub use manifest::{Manifest, ManifestError};
pub use part::{Kind, PartName};
pub use read::Reader;
pub use text::Text;

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::render::Resources;

/// Kubernetes refuses a ConfigMap or Secret with more data (`MaxSecretSize`).
pub const LIMIT: usize = 1024 * 1024;

/// All parts of one data plane's configuration, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    parts: BTreeMap<PartName, Text>,
}

/// A kind of parts that would not fit into as many objects as there may be of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{size} bytes of {kind} do not fit into {} objects of {LIMIT} bytes", kind.most())]
pub struct TooLarge {
    /// What there is too much of.
    pub kind: Kind,
    /// How much there is.
    pub size: usize,
}

/// What is wrong with a bundle as it was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// The manifest names a part that is not there.
    #[error("part {0} is missing")]
    Missing(PartName),
    /// The part is not the one that the manifest means: older, newer, truncated or damaged.
    #[error("part {0} is not the one that the manifest names")]
    Other(PartName),
    /// The hashes are right and the content is not what this version can read.
    #[error("part {0}: {1}")]
    Unreadable(PartName, String),
}

impl Bundle {
    /// Divides resources into parts.
    ///
    /// # Errors
    ///
    /// When there is more of a kind than its parts can hold.
    pub fn of(resources: &Resources) -> Result<Self, TooLarge> {
        resources::divide(resources)
    }

    /// Takes those of the `found` texts that `manifest` names.
    ///
    /// # Errors
    ///
    /// When one of them is missing or is not the one that is meant.
    pub fn collect(manifest: &Manifest, found: &BTreeMap<PartName, Text>) -> Result<Self, Incomplete> {
        let mut parts = BTreeMap::new();
        for name in manifest.parts.keys() {
            let text = found.get(name).ok_or(Incomplete::Missing(*name))?;
            if !manifest.means(*name, text) {
                return Err(Incomplete::Other(*name));
            }
            parts.insert(*name, text.clone());
        }
        Ok(Self { parts })
    }

    /// The parts by name.
    pub fn parts(&self) -> &BTreeMap<PartName, Text> {
        &self.parts
    }

    /// Names the parts, as bundle number `counter` of `gateway` (`namespace/name`).
    pub fn manifest(&self, gateway: &str, counter: u64) -> Manifest {
        let parts = self.parts.iter().map(|(name, text)| (*name, text.hash().to_owned())).collect();
        Manifest { version: manifest::VERSION, gateway: gateway.to_owned(), counter, parts }
    }
}

fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

#[cfg(test)]
mod tests;
