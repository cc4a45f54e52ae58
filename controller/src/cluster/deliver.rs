//! One Gateway's data plane in the cluster: a task that makes its objects and its bundle what they are wanted to be, and
//! what they were made when somebody else changes or deletes them.
//!
//! A bundle is written parts first, manifest last, and then the parts that are out of use are deleted: whoever reads it
//! at any time finds a whole one, or knows that it is not whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::stream::{self, StreamExt as _};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::TypeMeta;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::apply::{Applier, ApplyError, Owner};
use super::failure::Failure;
use super::metrics::Metrics;
use super::own::{Facts, Own};
use super::store::Store;
use crate::api::Gateway;
use crate::bundle::{Bundle, Manifest, PartName};
use crate::object::{ObjectKey, ObjectRef};
use crate::provision::{Kind, labels, names::Names};

/// After a failure everything is looked at again. Each object has a pace of its own beside that.
const RETRY: Duration = Duration::from_millis(500);
/// Parts of a bundle that are written at the same time.
const AT_ONCE: usize = 8;

/// What one Gateway's data plane is to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    /// The Gateway as it is now: everything is its.
    pub(crate) gateway: Arc<Gateway>,
    /// The objects besides the bundle; `None` where there must be none.
    pub(crate) objects: BTreeMap<Kind, Option<Value>>,
    /// The bundle; `None` leaves the one that is there.
    pub(crate) bundle: Option<Arc<Bundle>>,
    /// The highest counter that an agent of this Gateway reports.
    pub(crate) reported: u64,
}

/// How far the data plane is what it is wanted to be.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Progress {
    /// The bundle that was written last: its counter and the hash of its content.
    pub(crate) written: Option<(u64, String)>,
    /// Why something is not as it is wanted, as far as people can help it.
    pub(crate) fault: Option<String>,
}

/// The task. It ends with this.
#[derive(Debug)]
pub(crate) struct Delivery {
    wanted: watch::Sender<Wanted>,
    progress: watch::Receiver<Progress>,
    task: AbortHandle,
}

/// What a task needs of the cluster.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) client: Client,
    pub(crate) applier: Arc<Applier>,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    /// Notices the progress of all deliveries.
    pub(crate) news: watch::Sender<()>,
}

impl Delivery {
    /// Begins with the data plane of the Gateway `key`.
    pub(crate) fn start(key: ObjectKey, wanted: Wanted, tools: Tools) -> Self {
        let (wanted, receiver) = watch::channel(wanted);
        let (sender, progress) = watch::channel(Progress::default());
        let names = Names::of(&key.name);
        let task = Task { key, names, tools, applied: BTreeMap::new(), written: None, in_the_way: None };
        Self { wanted, progress, task: tokio::spawn(task.run(receiver, sender)).abort_handle() }
    }

    /// Wants this from now on.
    pub(crate) fn want(&self, wanted: Wanted) {
        self.wanted.send_if_modified(|old| {
            let is_new = *old != wanted;
            *old = wanted;
            is_new
        });
    }

    /// How far it is.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    key: ObjectKey,
    names: Names,
    tools: Tools,
    /// What was applied, and as what the API server has it.
    applied: BTreeMap<ObjectRef, Applied>,
    /// The manifest in effect, once it is known whether there is one.
    written: Option<Manifest>,
    /// What a deleted Gateway of the same name has left over.
    in_the_way: Option<ObjectRef>,
}

struct Applied {
    object: Value,
    own: Own,
    /// Whether the watch has shown it since.
    seen: bool,
}

impl Task {
    async fn run(mut self, mut wanted: watch::Receiver<Wanted>, progress: watch::Sender<Progress>) {
        let mut changes = self.tools.store.changes();
        loop {
            let now = wanted.borrow_and_update().clone();
            let result = self.bring_about(&now).await;
            if let Err(ApplyError::LeftOver { object }) = &result {
                self.in_the_way = Some(object.clone());
            }
            let fault = result.as_ref().err().map(ToString::to_string);
            let ObjectKey { namespace, name } = &self.key;
            if let Err(ApplyError::Refused { failure: Failure::Gone, error, .. }) = &result {
                // The namespace is being deleted, and the Gateway in it will be.
                tracing::debug!(kind = "Gateway", namespace, name, %error, "nothing can be made any more");
            } else if let Some(fault) = &fault {
                tracing::warn!(
                    kind = "Gateway",
                    namespace,
                    name,
                    fault,
                    "the data plane is not as it is wanted"
                );
            }
            let written = self.written.as_ref().map(|it| (it.counter, it.content_hash()));
            let now = Progress { written, fault };
            if progress.send_if_modified(|old| std::mem::replace(old, now.clone()) != now) {
                self.tools.news.send_replace(());
            }
            let retry = sleep(if result.is_err() { RETRY } else { Duration::MAX });
            tokio::pin!(retry);
            let mut own = changes.borrow_and_update().own;
            loop {
                tokio::select! {
                    changed = wanted.changed() => if changed.is_err() { return } else { break },
                    () = &mut retry => break,
                    changed = changes.changed() => {
                        let now = changes.borrow_and_update().own;
                        let is_new = std::mem::replace(&mut own, now) != now;
                        if changed.is_err() || (is_new && self.forget_what_others_changed()) {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Forgets that what is no longer as it was applied was applied, and that somebody's object was in the way that is
    /// gone. Returns whether there is anything.
    fn forget_what_others_changed(&mut self) -> bool {
        let view = self.tools.store.view();
        let gone = self.in_the_way.take_if(|object| !view.own.contains_key(object));
        if let Some(object) = &gone {
            self.tools.applier.forget(object);
        }
        let before = self.applied.len();
        self.applied.retain(|object, applied| match view.own.get(object) {
            // The watch may be behind our own write.
            Some(shown) if is_older(shown, &applied.own) => true,
            Some(shown) => {
                applied.seen = true;
                shown.asks_the_same_as(&applied.own)
            }
            None => !applied.seen,
        });
        gone.is_some() || self.applied.len() != before
    }

    async fn bring_about(&mut self, wanted: &Wanted) -> Result<(), ApplyError> {
        let owner =
            Owner { gateway: self.key.clone(), uid: wanted.gateway.metadata.uid.clone().unwrap_or_default() };
        if self.written.is_none() {
            self.written = self.read_manifest().await;
        }
        // Pods start with an account, its rights and a bundle.
        let is_first = |kind: &Kind| *kind <= Kind::RoleBinding;
        for (_, object) in wanted.objects.iter().filter(|(kind, _)| is_first(kind)) {
            self.make(&owner, object.iter().cloned().collect()).await?;
        }
        if let Some(bundle) = &wanted.bundle {
            self.write(&owner, wanted, bundle).await?;
        }
        for (_, object) in wanted.objects.iter().filter(|(kind, _)| !is_first(kind)) {
            self.make(&owner, object.iter().cloned().collect()).await?;
        }
        self.delete_what_is_not_wanted(&owner, wanted).await
    }

    async fn delete_what_is_not_wanted(&mut self, owner: &Owner, wanted: &Wanted) -> Result<(), ApplyError> {
        let kinds = wanted.objects.iter().filter(|(_, object)| object.is_none());
        let mut unwanted: BTreeSet<ObjectRef> =
            kinds.map(|(kind, _)| self.reference(&format!("{kind:?}"), self.names.base())).collect();
        if let Some(bundle) = &wanted.bundle {
            let parts = PartName::all().filter(|name| !bundle.parts().contains_key(name));
            unwanted.extend(parts.map(|name| {
                let kind = if name.kind.is_secret() { "Secret" } else { "ConfigMap" };
                self.reference(kind, &self.names.part(name))
            }));
        }
        let view = self.tools.store.view();
        for object in unwanted {
            let found = view.own.get(&object).filter(|own| own.owner.as_ref() == Some(&owner.uid));
            if let Some(own) = found {
                let (types, metadata) = found_as(&object, own, owner);
                self.tools.applier.delete(owner, &types, &metadata).await?;
            }
            self.applied.remove(&object);
        }
        Ok(())
    }

    fn reference(&self, kind: &str, name: &str) -> ObjectRef {
        ObjectRef::namespaced(kind, &ObjectKey::new(&self.key.namespace, name))
    }

    async fn write(&mut self, owner: &Owner, wanted: &Wanted, bundle: &Bundle) -> Result<(), ApplyError> {
        let parts = bundle.parts().iter().map(|(name, text)| {
            self.object(wanted, &self.names.part(*name), name.file(), text, name.kind.is_secret())
        });
        self.make(owner, parts.collect()).await?;
        let gateway = self.key.to_string();
        let hash = bundle.manifest(&gateway, 0).content_hash();
        let last = self.written.as_ref().map_or(0, |manifest| manifest.counter);
        let is_written = self.written.as_ref().is_some_and(|manifest| manifest.content_hash() == hash);
        // An agent has a later one: the manifest was lost, or is from a backup.
        let is_behind = wanted.reported > last;
        let counter = if is_written && !is_behind { last } else { last.max(wanted.reported) + 1 };
        let manifest = bundle.manifest(&gateway, counter);
        let name = self.names.manifest();
        let object = self.object(wanted, &name, Manifest::FILE.to_owned(), &manifest.text(), false);
        self.make(owner, vec![object]).await?;
        if self.written.as_ref() != Some(&manifest) {
            self.tools.metrics.delivered();
            self.written = Some(manifest);
        }
        Ok(())
    }

    /// Applies those of the objects that were not applied just so before, in any order.
    async fn make(&mut self, owner: &Owner, objects: Vec<Value>) -> Result<(), ApplyError> {
        let named = objects.into_iter().map(|object| (named(&object), object));
        let new: Vec<(ObjectRef, Value)> = named
            .filter(|(name, object)| self.applied.get(name).is_none_or(|applied| applied.object != *object))
            .collect();
        let applier = &self.tools.applier;
        let mut answers = stream::iter(new)
            .map(|(name, object)| async move { (applier.apply(owner, &object).await, name, object) })
            .buffer_unordered(AT_ONCE);
        let mut result = Ok(());
        while let Some((answer, name, object)) = answers.next().await {
            match answer {
                Ok(answer) => {
                    let own = Own::new(answer.metadata, Facts::None);
                    self.applied.insert(name, Applied { object, own, seen: false });
                }
                Err(error) => result = Err(error),
            }
        }
        result
    }

    fn object(&self, wanted: &Wanted, name: &str, file: String, text: &str, is_secret: bool) -> Value {
        let metadata = labels::metadata(&self.key, &wanted.gateway, name);
        if is_secret {
            let data = json!({file: BASE64_STANDARD.encode(text)});
            return json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data});
        }
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {file: text}})
    }

    /// The manifest that an earlier leader has written.
    async fn read_manifest(&self) -> Option<Manifest> {
        let api: Api<ConfigMap> = Api::namespaced(self.tools.client.clone(), &self.key.namespace);
        let found = api.get_opt(&self.names.manifest()).await.ok()??;
        Manifest::read(found.data?.get(Manifest::FILE)?).ok()
    }
}

/// The name of an object of ours.
fn named(object: &Value) -> ObjectRef {
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let key = ObjectKey::new(text("/metadata/namespace"), text("/metadata/name"));
    ObjectRef::namespaced(text("/kind"), &key)
}

/// Whether the watch shows a version from before the answer that we have. Versions of one object are ordered
/// (Kubernetes 1.35, KEP-5504).
fn is_older(shown: &Own, answered: &Own) -> bool {
    let version = |own: &Own| own.resource_version.parse::<u128>().ok();
    shown.uid == answered.uid && version(shown) < version(answered)
}

/// An object of ours as the watch shows it, for its deletion.
pub(super) fn found_as(reference: &ObjectRef, own: &Own, owner: &Owner) -> (TypeMeta, ObjectMeta) {
    let api_version = match reference.kind.as_str() {
        "Role" | "RoleBinding" => "rbac.authorization.k8s.io/v1",
        "PodDisruptionBudget" => "policy/v1",
        "Deployment" => "apps/v1",
        _ => "v1",
    };
    let types = TypeMeta { api_version: api_version.to_owned(), kind: reference.kind.clone() };
    let owner = OwnerReference {
        kind: "Gateway".to_owned(),
        name: owner.gateway.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        ..OwnerReference::default()
    };
    let metadata = ObjectMeta {
        name: Some(reference.name.clone()),
        namespace: reference.namespace.clone(),
        uid: Some(own.uid.clone()),
        labels: Some(own.labels.clone()),
        owner_references: Some(vec![owner]),
        ..ObjectMeta::default()
    };
    (types, metadata)
}
