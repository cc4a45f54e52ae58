//! What is known of the cluster, and what counts as a change of it. Nothing here waits or speaks with anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::crds::{Crd, Crds};
use super::document::Held;
use super::kinds::{Watch, Which, wanted};
use super::own::Own;
use super::pods::Pod;
use super::referenced::referenced;
use crate::fault::Fault;
use crate::object::{ObjectKey, ObjectRef};
use crate::snapshot::Snapshot;
use crate::source::manifest::{self, Manifest};

/// How often each part has changed. A part that has not is the same object as before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revisions {
    /// What is translated.
    pub snapshot: u64,
    /// Identity, generation or status of objects whose status is ours to write; not their resourceVersion alone.
    pub held: u64,
    /// Pods of data planes.
    pub pods: u64,
    /// Objects that gatewasm made.
    pub own: u64,
    /// CRDs of the Gateway API.
    pub crds: u64,
    /// Which watches there are and which have been listed.
    pub watches: u64,
}

/// One object of a watch.
#[derive(Debug)]
pub(super) enum Item {
    /// To be translated, unless it cannot be read; and what is held of it, where its status is ours to write.
    Manifest(Result<Manifest, Vec<Fault>>, Option<Held>),
    Crd(Crd),
    Own(Own),
    Pod(Pod),
}

/// How far a watch has come.
#[derive(Debug, Default)]
struct Progress {
    /// Whether all its objects were there once.
    listed: bool,
    /// Whether the API server refused it when it was last asked.
    refused: bool,
    /// Why it does not come further.
    fault: Option<String>,
    objects: BTreeSet<ObjectRef>,
}

/// Everything that is known.
#[derive(Debug)]
pub(super) struct State {
    pub(super) revisions: Revisions,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) held: Arc<BTreeMap<ObjectRef, Arc<Held>>>,
    pub(super) pods: Arc<BTreeMap<ObjectKey, Pod>>,
    pub(super) own: Arc<BTreeMap<ObjectRef, Own>>,
    pub(super) crds: Arc<Crds>,
    watches: BTreeMap<Watch, Progress>,
    /// The watches that are needed by what is known now.
    wanted: BTreeSet<Watch>,
}

impl Default for State {
    fn default() -> Self {
        let mut state = Self {
            revisions: Revisions::default(),
            snapshot: Arc::default(),
            held: Arc::default(),
            pods: Arc::default(),
            own: Arc::default(),
            crds: Arc::default(),
            watches: BTreeMap::new(),
            wanted: BTreeSet::new(),
        };
        state.find_wanted();
        state
    }
}

/// Watches.
impl State {
    /// The watches that are needed by what is known now.
    pub(super) fn wanted(&self) -> &BTreeSet<Watch> {
        &self.wanted
    }

    fn find_wanted(&mut self) {
        self.wanted = wanted(&self.crds, referenced(&self.snapshot));
    }

    /// Takes note of a change among the objects of a watch.
    fn changed(&mut self, watch: &Watch) {
        let refers =
            ["GatewayClass", "Gateway", "BackendTLSPolicy", "ReferenceGrant"].contains(&watch.kind.name);
        if refers || matches!(watch.which, Which::CrdOf(_)) {
            self.find_wanted();
        }
    }

    /// Takes note of a watch. From now on its objects are taken.
    pub(super) fn begin(&mut self, watch: Watch) {
        self.watches.insert(watch, Progress::default());
        self.revisions.watches += 1;
    }

    /// Forgets a watch with all its objects.
    pub(super) fn end(&mut self, watch: &Watch) {
        let Some(progress) = self.watches.remove(watch) else { return };
        for object in &progress.objects {
            self.take_out(watch, object);
        }
        self.changed(watch);
        self.revisions.watches += 1;
    }

    /// Takes note of a failure.
    pub(super) fn fail(&mut self, watch: &Watch, reason: String, refused: bool) {
        let Some(progress) = self.watches.get_mut(watch) else { return };
        progress.fault = Some(reason);
        if progress.refused != refused {
            progress.refused = refused;
            self.revisions.watches += 1;
        }
    }

    /// What is still missing, with the reason where there is one.
    pub(super) fn missing(&self) -> Vec<String> {
        let missing = self.wanted.iter().filter(|watch| !self.is_settled(watch));
        missing
            .map(|watch| match self.watches.get(watch).and_then(|progress| progress.fault.as_deref()) {
                Some(fault) => format!("{watch}: {fault}"),
                None => format!("{watch}: not listed yet"),
            })
            .collect()
    }

    /// Whether everything that is needed was there once.
    pub(super) fn is_complete(&self) -> bool {
        self.wanted.iter().all(|watch| self.is_settled(watch))
    }

    /// A Secret or ConfigMap that may not be read is as good as absent: what refers to it must not hold up the others.
    fn is_settled(&self, watch: &Watch) -> bool {
        self.watches.get(watch).is_some_and(|progress| {
            progress.listed || (progress.refused && matches!(watch.which, Which::Referenced(_)))
        })
    }
}

/// Objects.
impl State {
    /// Takes everything that a watch has, as one change: what it does not have any more goes.
    pub(super) fn replace(&mut self, watch: &Watch, items: Vec<(ObjectRef, Item)>) {
        let Some(progress) = self.watches.get_mut(watch) else { return };
        progress.fault = None;
        progress.refused = false;
        if !progress.listed {
            progress.listed = true;
            self.revisions.watches += 1;
        }
        let objects: BTreeSet<ObjectRef> = items.iter().map(|(object, _)| object.clone()).collect();
        let gone: Vec<ObjectRef> = progress.objects.difference(&objects).cloned().collect();
        for object in gone {
            self.lose(watch, &object);
        }
        for (object, item) in items {
            self.take(watch, object, item);
        }
        self.changed(watch);
    }

    /// Takes one object. One that cannot be read leaves what was read of it before.
    pub(super) fn put(&mut self, watch: &Watch, object: ObjectRef, item: Item) {
        self.take(watch, object, item);
        self.changed(watch);
    }

    fn take(&mut self, watch: &Watch, object: ObjectRef, item: Item) {
        let Some(progress) = self.watches.get_mut(watch) else { return };
        progress.fault = None;
        if !progress.objects.contains(&object) {
            progress.objects.insert(object.clone());
        }
        match item {
            Item::Manifest(manifest, held) => {
                if let Some(held) = held {
                    self.hold(&object, held);
                }
                if let Ok(manifest) = manifest
                    && !manifest.is_in(&object, &self.snapshot)
                {
                    manifest.insert(&object, Arc::make_mut(&mut self.snapshot));
                    self.revisions.snapshot += 1;
                }
            }
            Item::Crd(crd) => {
                let Which::CrdOf(kind) = watch.which else { return };
                if self.crds.0.get(kind.name) != Some(&crd) {
                    Arc::make_mut(&mut self.crds).0.insert(kind.name.to_owned(), crd);
                    self.revisions.crds += 1;
                }
            }
            Item::Own(own) => {
                let known = self.own.get(&object);
                let is_news =
                    known.is_none_or(|known| !known.asks_the_same_as(&own) || known.facts != own.facts);
                if known != Some(&own) {
                    Arc::make_mut(&mut self.own).insert(object, own);
                }
                self.revisions.own += u64::from(is_news);
            }
            Item::Pod(pod) => {
                let key = key(&object);
                if self.pods.get(&key) != Some(&pod) {
                    Arc::make_mut(&mut self.pods).insert(key, pod);
                    self.revisions.pods += 1;
                }
            }
        }
    }

    fn hold(&mut self, object: &ObjectRef, held: Held) {
        let known = self.held.get(object);
        if known.is_some_and(|known| **known == held) {
            return;
        }
        let is_news = known.is_none_or(|known| {
            known.uid != held.uid || known.generation != held.generation || known.status != held.status
        });
        Arc::make_mut(&mut self.held).insert(object.clone(), Arc::new(held));
        self.revisions.held += u64::from(is_news);
    }

    /// Takes one object out.
    pub(super) fn remove(&mut self, watch: &Watch, object: &ObjectRef) {
        self.lose(watch, object);
        self.changed(watch);
    }

    fn lose(&mut self, watch: &Watch, object: &ObjectRef) {
        let Some(progress) = self.watches.get_mut(watch) else { return };
        if progress.objects.remove(object) {
            self.take_out(watch, object);
        }
    }

    fn take_out(&mut self, watch: &Watch, object: &ObjectRef) {
        match watch.which {
            Which::All | Which::Referenced(_) => {
                if manifest::remove(object, Arc::make_mut(&mut self.snapshot)) {
                    self.revisions.snapshot += 1;
                }
                if self.held.contains_key(object) {
                    Arc::make_mut(&mut self.held).remove(object);
                    self.revisions.held += 1;
                }
            }
            Which::CrdOf(kind) => {
                Arc::make_mut(&mut self.crds).0.remove(kind.name);
                self.revisions.crds += 1;
            }
            Which::Own | Which::OwnMetadata => {
                Arc::make_mut(&mut self.own).remove(object);
                self.revisions.own += 1;
            }
            Which::DataPlane => {
                Arc::make_mut(&mut self.pods).remove(&key(object));
                self.revisions.pods += 1;
            }
        }
    }
}

fn key(object: &ObjectRef) -> ObjectKey {
    ObjectKey::new(object.namespace.clone().unwrap_or_default(), object.name.clone())
}
