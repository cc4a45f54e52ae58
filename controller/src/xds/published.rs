//! What Envoy is meant to have: per kind a set of resources with a version. Data only; sessions compare it with what
//! they have sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::google::protobuf::Any;

use super::kind::Kind;

/// The whole of it. Kinds that were never published are absent: nothing is sent for them, because an empty answer
/// would remove what Envoy has.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    sets: BTreeMap<Kind, Arc<Set>>,
    version: u64,
}

/// The resources of one kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Set {
    /// Grows with each change of the set.
    pub(super) version: u64,
    /// By name.
    pub(super) resources: BTreeMap<String, Resource>,
}

/// One resource.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    /// Version of the set in which it last changed.
    pub(super) version: u64,
    pub(super) any: Arc<Any>,
}

impl Published {
    /// The set of a kind, if it was ever published.
    pub(super) fn set(&self, kind: Kind) -> Option<&Arc<Set>> {
        self.sets.get(&kind)
    }

    /// Replaces the set of a kind; returns its version, and whether that is a new one.
    pub(super) fn replace(&mut self, kind: Kind, resources: BTreeMap<String, Arc<Any>>) -> (u64, bool) {
        let old = self.sets.get(&kind);
        let same = |name: &String, any: &Arc<Any>| {
            old.and_then(|set| set.resources.get(name))
                .filter(|resource| Arc::ptr_eq(&resource.any, any) || resource.any == *any)
        };
        if let Some(old) = old
            && old.resources.len() == resources.len()
            && resources.iter().all(|(name, any)| same(name, any).is_some())
        {
            return (old.version, false);
        }
        let version = self.version + 1;
        let resources = resources
            .into_iter()
            .map(|(name, any)| {
                let version = same(&name, &any).map_or(version, |resource| resource.version);
                (name, Resource { version, any })
            })
            .collect();
        self.version = version;
        self.sets.insert(kind, Arc::new(Set { version, resources }));
        (version, true)
    }
}
