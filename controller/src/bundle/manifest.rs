//! Which parts make up a bundle, and which of two bundles is the newer one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::part::PartName;
use super::{Text, sha256};

/// The version of manifests and parts that this build writes and reads.
pub(super) const VERSION: u32 = 1;

/// The parts of one bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Manifest {
    /// Version of the format.
    pub(super) version: u32,
    /// `namespace/name` of the Gateway.
    pub gateway: String,
    /// Grows with each bundle of the Gateway. It orders bundles and says nothing about what is in them.
    pub counter: u64,
    /// SHA-256 of each part, in hexadecimal digits.
    pub parts: BTreeMap<PartName, String>,
}

/// Why a text is no manifest of ours.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the JSON that is expected.
    #[error("not a manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by another version of gatewasm.
    #[error("the manifest has version {0}, and this build reads version {VERSION}; upgrade the agent")]
    Version(u32),
}

impl Manifest {
    /// Key of the text in its ConfigMap, and the file that it becomes in a pod.
    pub const FILE: &str = "manifest.json";

    /// Reads the text of a manifest.
    ///
    /// # Errors
    ///
    /// When it is none, or of another version.
    pub fn read(text: &str) -> Result<Self, ManifestError> {
        // What a later version adds must not hide that it is a later version.
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_str(text)?;
        if version != VERSION {
            return Err(ManifestError::Version(version));
        }
        Ok(serde_json::from_str(text)?)
    }

    /// The text, for [`Manifest::read`].
    pub fn text(&self) -> String {
        // Strings and numbers always have a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Whether `text` is the part of this name that is meant.
    pub(crate) fn means(&self, name: PartName, text: &Text) -> bool {
        self.parts.get(&name).is_some_and(|hash| text.hash() == hash)
    }

    /// SHA-256 of what the bundle holds: the same for the same content, whatever the counter.
    pub fn content_hash(&self) -> String {
        let lines: String = self.parts.iter().map(|(name, hash)| format!("{name} {hash}\n")).collect();
        sha256(&lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(counter: u64) -> Manifest {
        let name = "routes-0".parse().unwrap();
        let parts = BTreeMap::from([(name, sha256("text"))]);
        Manifest { version: VERSION, gateway: "infra/web".into(), counter, parts }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        assert_eq!(Manifest::read(&manifest(7).text()).unwrap(), manifest(7));
    }

    #[test]
    fn another_version_is_named() {
        let error = Manifest::read(r#"{"version": 2, "more": true}"#).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
        assert!(Manifest::read(r#"{"version": 1, "more": true}"#).is_err());
        assert!(Manifest::read("").is_err());
    }

    #[test]
    fn the_counter_is_no_content() {
        assert_eq!(manifest(1).content_hash(), manifest(2).content_hash());
        let mut other = manifest(1);
        other.parts.insert("envoy-0".parse().unwrap(), sha256(""));
        assert_ne!(other.content_hash(), manifest(1).content_hash());
    }
}
