//! Which bundle is taken: a whole one that this version can read, and never one that is older than what was taken
//! before.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use super::kept::Kept;
use crate::bundle::{Bundle, Incomplete, Manifest, ManifestError, PartName, Reader, Text};
use crate::render::{Resources, Settings, host};

/// A bundle as it was found: the texts of its manifest and of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) manifest: String,
    pub(super) parts: BTreeMap<PartName, Text>,
}

/// Why a bundle is not taken. What was taken before stays in effect.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// It is no bundle that this version knows.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It is older.
    #[error("bundle {found} is older than bundle {taken}, which was taken before")]
    Older { found: u64, taken: u64 },
    /// Some of it is missing, or belongs to another bundle, or cannot be read.
    #[error("bundle {counter}: {why}")]
    Incomplete { counter: u64, why: Incomplete },
}

/// A bundle that was taken.
#[derive(Debug)]
pub(super) struct Current {
    /// Its number.
    pub(super) counter: u64,
    /// The hash of its content.
    pub(super) hash: String,
    /// What Envoy gets.
    pub(super) resources: Resources,
    found: Found,
}

/// What was taken.
#[derive(Debug)]
pub(super) struct Taken {
    kept: Kept,
    reader: Reader,
    /// Of the node, where its network is the pod's.
    node: Option<IpAddr>,
    current: Option<Current>,
    /// Whether it has still to be brought into effect.
    is_pending: bool,
}

impl Taken {
    /// Nothing yet; `path` is where the last good one is kept, `node` the node's address where its network is the pod's.
    pub(super) fn new(path: PathBuf, node: Option<IpAddr>) -> Self {
        Self { kept: Kept::new(path), reader: Reader::default(), node, current: None, is_pending: false }
    }

    /// What an agent of this pod had in effect before this one was started.
    pub(super) fn kept(&self) -> Option<Found> {
        self.kept.read()
    }

    /// Takes `found` if it is newer. Returns whether there is something to bring into effect.
    ///
    /// # Errors
    ///
    /// When it is not to be taken. One that is there already is none.
    pub(super) fn consider(&mut self, found: Found, settings: &Settings) -> Result<bool, Refused> {
        let manifest = Manifest::read(&found.manifest)?;
        let (counter, hash) = (manifest.counter, manifest.content_hash());
        if let Some(current) = &mut self.current {
            if counter < current.counter {
                return Err(Refused::Older { found: counter, taken: current.counter });
            }
            if hash == current.hash {
                if counter > current.counter {
                    current.counter = counter;
                    current.found.manifest = found.manifest;
                    self.is_pending = true;
                }
                return Ok(self.is_pending);
            }
        }
        let incomplete = |why| Refused::Incomplete { counter, why };
        let bundle = Bundle::collect(&manifest, &found.parts).map_err(incomplete)?;
        let mut resources = self.reader.resources(&bundle, settings).map_err(incomplete)?;
        if let Some(node) = self.node {
            host::settle(&mut resources, node);
        }
        let found = Found { manifest: found.manifest, parts: bundle.parts().clone() };
        self.current = Some(Current { counter, hash, resources, found });
        self.is_pending = true;
        Ok(true)
    }

    /// What was taken and is not in effect yet.
    pub(super) fn pending(&self) -> Option<&Current> {
        self.current.as_ref().filter(|_| self.is_pending)
    }

    /// It is in effect now, and is kept.
    pub(super) fn done(&mut self) {
        self.is_pending = false;
        if let Some(current) = &self.current
            && let Err(error) = self.kept.write(&current.found)
        {
            tracing::warn!(error = format!("{error:#}"), "the bundle is in effect and could not be kept");
        }
    }

    /// The number of what was taken.
    pub(super) fn counter(&self) -> Option<u64> {
        self.current.as_ref().map(|current| current.counter)
    }

    /// The parts of what was taken.
    pub(super) fn parts(&self) -> BTreeMap<PartName, Text> {
        self.current.as_ref().map(|current| current.found.parts.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::render::{Bindings, ConfigSource};

    pub(in crate::agent) fn settings() -> Settings {
        Settings {
            bindings: Bindings::new(),
            source: ConfigSource::Ads,
            filter_path: "/gatewasm.wasm".into(),
            access_log: true,
        }
    }

    /// Bundle number `counter`, whose content is `content`.
    pub(in crate::agent) fn found(counter: u64, content: &str) -> Found {
        let mut resources = Resources::default();
        resources.clusters.insert(content.to_owned(), serde_json::json!({"name": content}).into());
        let bundle = Bundle::of(&resources).unwrap();
        let manifest = bundle.manifest("infra/web", counter).text();
        Found { manifest, parts: bundle.parts().clone() }
    }

    fn state(taken: &Taken) -> (u64, Vec<String>) {
        let current = taken.current.as_ref().unwrap();
        (current.counter, current.resources.clusters.keys().cloned().collect())
    }

    #[test]
    fn newer_bundles_are_taken_and_older_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut taken = Taken::new(folder.path().join("bundle.json"), None);
        assert!(taken.consider(found(3, "three"), &settings()).unwrap());
        let error = taken.consider(found(2, "two"), &settings()).unwrap_err();
        assert_eq!(error.to_string(), "bundle 2 is older than bundle 3, which was taken before");
        assert_eq!(state(&taken), (3, vec!["three".to_owned()]));
        assert!(taken.consider(found(4, "four"), &settings()).unwrap());
        assert_eq!(state(&taken), (4, vec!["four".to_owned()]));
    }

    #[test]
    fn the_same_content_is_not_brought_into_effect_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut taken = Taken::new(folder.path().join("bundle.json"), None);
        taken.consider(found(3, "three"), &settings()).unwrap();
        taken.done();
        assert!(!taken.consider(found(3, "three"), &settings()).unwrap());
        assert!(taken.pending().is_none());
        // A new number is to be reported.
        assert!(taken.consider(found(5, "three"), &settings()).unwrap());
        assert_eq!(state(&taken), (5, vec!["three".to_owned()]));
        assert!(taken.consider(found(4, "four"), &settings()).is_err());
    }

    #[test]
    fn of_a_bundle_that_is_not_whole_nothing_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let mut taken = Taken::new(folder.path().join("bundle.json"), None);
        taken.consider(found(3, "three"), &settings()).unwrap();
        let mut torn = found(4, "four");
        torn.parts = found(5, "five").parts;
        let error = taken.consider(torn, &settings()).unwrap_err();
        assert_eq!(error.to_string(), "bundle 4: part envoy-0 is not the one that the manifest names");
        assert_eq!(state(&taken), (3, vec!["three".to_owned()]));
        let nonsense = Found { manifest: "{}".into(), parts: BTreeMap::new() };
        assert!(matches!(taken.consider(nonsense, &settings()), Err(Refused::Manifest(_))));
    }

    #[test]
    fn on_the_network_of_a_node_listeners_are_at_its_address() {
        let folder = tempfile::tempdir().unwrap();
        let mut resources = Resources::default();
        let address = serde_json::json!({"socket_address": {"address": "0.0.0.0", "port_value": 80}});
        resources.listeners.insert("infra/web:80".to_owned(), serde_json::json!({"address": address}).into());
        let bundle = Bundle::of(&resources).unwrap();
        let found = Found { manifest: bundle.manifest("infra/web", 1).text(), parts: bundle.parts().clone() };
        for (node, expected) in [(None, "0.0.0.0"), (Some([10, 0, 0, 7].into()), "10.0.0.7")] {
            let mut taken = Taken::new(folder.path().join("bundle.json"), node);
            taken.consider(found.clone(), &settings()).unwrap();
            let listener = taken.current.unwrap().resources.listeners["infra/web:80"].value();
            assert_eq!(listener["address"]["socket_address"]["address"], expected);
        }
    }

    #[test]
    fn what_was_in_effect_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bundle.json");
        let mut taken = Taken::new(path.clone(), None);
        taken.consider(found(3, "three"), &settings()).unwrap();
        assert!(Taken::new(path.clone(), None).kept().is_none());
        taken.done();
        let mut again = Taken::new(path, None);
        let kept = again.kept().unwrap();
        assert!(again.consider(kept, &settings()).unwrap());
        assert_eq!(state(&again), (3, vec!["three".to_owned()]));
    }
}
