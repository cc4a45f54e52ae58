//! Writes statuses: merged into what the object holds, only where something differs, never over somebody else's newer
//! version, the newest wish of each object alone, and no object in quick succession. What a status says is decided
//! elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::apply::FIELD_MANAGER;
use super::events::Events;
use super::failure::Failure;
use super::metrics::Metrics;
use super::pace::{Pace, jitter};
use crate::api::GROUP;
use crate::object::ObjectRef;
use crate::status::merge::Desired;
use crate::status::transition::transitions;

/// Version of the Gateway API's kinds that have a status of ours.
const VERSION: &str = "v1";
/// So many objects are written at the same time.
const MOST_AT_ONCE: usize = 16;
/// The first status after a quiet time is written at once, the second this much later,
const SHORT_REST: Duration = Duration::from_millis(400);
/// and those that follow, this long after one another: what changes in between is one write.
const LONG_REST: Duration = Duration::from_millis(800);

/// An object as it is known, from the watch or from an answer.
#[derive(Clone, Debug)]
pub struct Existing {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`.
    pub generation: i64,
    /// `status`, or null.
    pub status: Arc<Value>,
}

/// Takes wishes and returns at once. What is under way ends when this is dropped.
pub struct StatusWriter {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
}

struct Shared {
    client: Client,
    metrics: Arc<Metrics>,
    events: Events,
    permits: Semaphore,
    objects: Mutex<HashMap<ObjectRef, State>>,
}

/// One object.
#[derive(Debug)]
struct State {
    existing: Existing,
    /// Versions that are known to be older than `existing`: the watch may still show them.
    older: Vec<String>,
    wanted: Option<Desired>,
    pace: Pace,
    /// Whether a task looks after it.
    busy: bool,
}

impl StatusWriter {
    /// Writes through `client`, and tells `events` of conditions that turn.
    pub fn new(client: Client, metrics: Arc<Metrics>, events: Events) -> Self {
        let permits = Semaphore::new(MOST_AT_ONCE);
        let shared = Shared { client, metrics, events, permits, objects: Mutex::default() };
        Self { shared: Arc::new(shared), tasks: Mutex::default() }
    }

    /// Wants `desired` for `object`, which the watch shows as `existing`, instead of what was wanted before.
    pub fn want(&self, object: &ObjectRef, existing: Existing, desired: Desired) {
        let mut objects = self.shared.objects();
        if let Some(state) = objects.get_mut(object) {
            state.seen(existing);
            // What is being written may make a wish differ that does not differ now.
            if state.busy {
                state.wanted = Some(desired);
                return;
            }
        } else {
            objects.insert(object.clone(), State::new(existing));
        }
        let Some(state) = objects.get_mut(object) else { return };
        if desired.merged(&state.existing.status, &time()).is_some() {
            state.wanted = Some(desired);
            state.busy = true;
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(look_after(Arc::clone(&self.shared), object.clone()));
        } else if state.older.is_empty() && state.pace.is_fresh(Instant::now()) {
            objects.remove(object);
        }
    }

    /// The object is gone.
    pub fn forget(&self, object: &ObjectRef) {
        let mut objects = self.shared.objects();
        match objects.get_mut(object) {
            Some(state) if state.busy => state.wanted = None,
            _ => drop(objects.remove(object)),
        }
    }
}

/// Writes one object until nothing is wanted of it.
async fn look_after(shared: Arc<Shared>, object: ObjectRef) {
    while let Some(next) = shared.next(&object) {
        tokio::time::sleep_until(next.into()).await;
        let Ok(_permit) = shared.permits.acquire().await else { return };
        let Some((existing, desired)) = shared.take(&object) else { continue };
        let Some(status) = desired.merged(&existing.status, &time()) else { continue };
        match shared.patch(&object, &existing, &status).await {
            Ok(written) => shared.written(&object, &existing, &written),
            Err(error) => shared.failed(&object, &existing, desired, &error).await,
        }
    }
}

impl Shared {
    /// When the next attempt for `object` may be made; `None` where nothing is wanted, and its task ends.
    fn next(&self, object: &ObjectRef) -> Option<Instant> {
        let mut objects = self.objects();
        let state = objects.get_mut(object)?;
        if state.wanted.is_none() {
            state.busy = false;
            return None;
        }
        Some(state.pace.next().unwrap_or_else(Instant::now))
    }

    fn take(&self, object: &ObjectRef) -> Option<(Existing, Desired)> {
        let mut objects = self.objects();
        let state = objects.get_mut(object)?;
        Some((state.existing.clone(), state.wanted.take()?))
    }

    /// The API server takes the patch only for the version that it was made for.
    async fn patch(
        &self,
        object: &ObjectRef,
        existing: &Existing,
        status: &Value,
    ) -> Result<Existing, kube::Error> {
        let version = &existing.resource_version;
        let patch = json!({"metadata": {"resourceVersion": version}, "status": status});
        let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let api = self.api(object);
        Ok(Existing::of(api.patch_status(&object.name, &params, &Patch::Merge(&patch)).await?))
    }

    fn written(&self, object: &ObjectRef, before: &Existing, after: &Existing) {
        let ObjectRef { kind, namespace, name } = object;
        tracing::debug!(kind, namespace, name, generation = after.generation, "status written");
        self.metrics.wrote_status(kind);
        if let Some(state) = self.objects().get_mut(object) {
            state.pace.rest(Instant::now(), SHORT_REST, LONG_REST);
            state.replace(before, after.clone());
        }
        let reference = ObjectReference {
            api_version: Some(format!("{GROUP}/{VERSION}")),
            kind: Some(kind.clone()),
            namespace: namespace.clone(),
            name: Some(name.clone()),
            uid: Some(after.uid.clone()),
            ..ObjectReference::default()
        };
        for transition in transitions(&before.status, &after.status) {
            self.events.tell(&reference, &transition);
        }
    }

    async fn failed(&self, object: &ObjectRef, existing: &Existing, desired: Desired, error: &kube::Error) {
        let ObjectRef { kind, namespace, name } = object;
        let failure = Failure::of(error);
        self.metrics.failed(failure);
        tracing::warn!(kind, namespace, name, generation = existing.generation, %error, "status not written");
        let fresh = match failure {
            Failure::Conflict => self.api(object).get_opt(name).await.map(|found| found.map(Existing::of)),
            Failure::Gone => Ok(None),
            _ => Ok(Some(existing.clone())),
        };
        let mut objects = self.objects();
        let Some(state) = objects.get_mut(object) else { return };
        state.pace.failed(Instant::now(), failure, jitter());
        let is_current = match fresh {
            Ok(Some(fresh)) => {
                // For another object of that name, or a newer generation, the watch brings another wish.
                let is_current = fresh.uid == existing.uid
                    && desired.generation().is_none_or(|generation| fresh.generation <= generation);
                if failure == Failure::Conflict {
                    state.replace(existing, fresh);
                }
                is_current
            }
            Ok(None) => false,
            Err(_) => true,
        };
        if is_current && state.wanted.is_none() {
            state.wanted = Some(desired);
        }
    }

    fn api(&self, object: &ObjectRef) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, VERSION, &object.kind));
        match &object.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<ObjectRef, State>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(existing: Existing) -> Self {
        Self { existing, older: Vec::new(), wanted: None, pace: Pace::default(), busy: false }
    }

    /// What the watch shows is newest, unless it is known not to be.
    fn seen(&mut self, shown: Existing) {
        if shown.uid != self.existing.uid || !self.older.contains(&shown.resource_version) {
            self.existing = shown;
            self.older.clear();
        }
    }

    /// After an answer of the API server.
    fn replace(&mut self, before: &Existing, after: Existing) {
        if after.resource_version != before.resource_version {
            self.older.push(before.resource_version.clone());
        }
        self.existing = after;
    }
}

impl Existing {
    /// As the API server answered.
    fn of(mut object: DynamicObject) -> Self {
        let metadata = object.metadata;
        Self {
            uid: metadata.uid.unwrap_or_default(),
            resource_version: metadata.resource_version.unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            status: Arc::new(object.data["status"].take()),
        }
    }
}

fn time() -> Time {
    Time(Timestamp::now())
}

#[cfg(test)]
mod tests;
