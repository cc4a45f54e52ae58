//! Watches of the API server: which run, and what their events do to the [`Store`]. Lists and resumptions are kube's.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, DynamicObject, PartialObjectMeta, Resource};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::crds::{Crd, CrdDocument};
use super::document::Document;
use super::kinds::{Watch, Which};
use super::own::{Facts, Own};
use super::state::Item;
use super::store::Store;
use crate::object::{ObjectKey, ObjectRef};

/// The API server ends a watch after this time, so that a connection that has died is noticed soon after.
const WATCH_SECONDS: u32 = 100;
/// How long the API server may be silent on a connection. It must be longer than a watch without events.
const SILENCE: Duration = Duration::from_secs(110);
const CONNECT: Duration = Duration::from_secs(5);

/// Objects in one page of a list, where the API server has no streaming lists.
const PAGE: u32 = 200;

/// Sets how long the API server is waited for: an answer that never comes must not stop a watch for good.
pub fn limit_waiting(config: &mut Config) {
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    // Time in the pool is no silence.
    config.reset_reader_on_write = true;
}

/// Keeps a store equal to what the API server holds. Never returns; ends when it is dropped.
pub async fn follow(client: Client, store: Store) {
    let mut tasks = JoinSet::new();
    let mut running: BTreeMap<Watch, AbortHandle> = BTreeMap::new();
    let mut changes = store.changes();
    loop {
        let wanted = store.read(|state| state.wanted().clone());
        running.retain(|watch, task| {
            let stays = wanted.contains(watch);
            if !stays {
                task.abort();
                store.change(|state| state.end(watch));
                note(watch, "no longer watched");
            }
            stays
        });
        for watch in wanted {
            running.entry(watch).or_insert_with_key(|watch| {
                store.change(|state| state.begin(watch.clone()));
                note(watch, "watched from now on");
                tasks.spawn(run(client.clone(), watch.clone(), store.clone()))
            });
        }
        tokio::select! {
            // The sender is in the store, which is here.
            _ = changes.changed() => {}
            // Watches end only when they are aborted. Without one the store would grow old unnoticed.
            Some(Err(error)) = tasks.join_next() => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}

fn note(watch: &Watch, what: &str) {
    // There may be hundreds of Secrets.
    if matches!(watch.which, Which::Referenced(_)) {
        tracing::debug!(watch = %watch, "{what}");
    } else {
        tracing::info!(watch = %watch, "{what}");
    }
}

async fn run(client: Client, watch: Watch, store: Store) {
    let api = watch.api_resource();
    match &watch.which {
        Which::All => feed(Api::<Document>::all_with(client, &api), &watch, &store).await,
        Which::Referenced(key) => {
            feed(Api::<Document>::namespaced_with(client, &key.namespace, &api), &watch, &store).await;
        }
        Which::CrdOf(_) => feed(Api::<CrdDocument>::all_with(client, &api), &watch, &store).await,
        Which::Own if watch.kind.name == "Deployment" => {
            feed(Api::<Deployment>::all(client), &watch, &store).await;
        }
        Which::Own => feed(Api::<core::Service>::all(client), &watch, &store).await,
        Which::OwnMetadata => {
            feed(Api::<PartialObjectMeta<DynamicObject>>::all_with(client, &api), &watch, &store).await;
        }
        Which::DataPlane => feed(Api::<core::Pod>::all(client), &watch, &store).await,
    }
}

/// Feeds one watch's events into the store, by a streaming list where the API server has these.
async fn feed<K: Watched>(api: Api<K>, watch: &Watch, store: &Store) {
    let config = watcher::Config {
        label_selector: watch.label_selector(),
        field_selector: watch.field_selector(),
        timeout: Some(WATCH_SECONDS),
        page_size: Some(PAGE),
        ..watcher::Config::default()
    };
    if feed_by(api.clone(), config.clone().streaming_lists(), watch, store).await == Ended::NoStreamingList {
        feed_by(api, config, watch, store).await;
    }
}

#[derive(PartialEq, Eq)]
enum Ended {
    NoStreamingList,
    Dropped,
}

async fn feed_by<K: Watched>(api: Api<K>, config: watcher::Config, watch: &Watch, store: &Store) -> Ended {
    let streams = config.initial_list_strategy == watcher::InitialListStrategy::StreamingList;
    let mut events = pin!(watcher(api, config).backoff(Patience::default()));
    let mut listed = Vec::new();
    let mut failing = Failing::default();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => listed.push(read(object, watch)),
            Ok(Event::InitDone) => {
                let items = std::mem::take(&mut listed);
                store.change(|state| state.replace(watch, items));
            }
            Ok(Event::Apply(object)) => {
                let (object, item) = read(object, watch);
                store.change(|state| state.put(watch, object, item));
            }
            Ok(Event::Delete(object)) => {
                let object = identity(&object, watch);
                store.change(|state| state.remove(watch, &object));
            }
            Err(error) if streams && refuses_streaming(&error) => return Ended::NoStreamingList,
            Err(error) if is_expired(&error) => tracing::debug!(watch = %watch, "expired; listing again"),
            Err(error) => {
                let reason = reason(&error);
                failing.log(watch, &reason);
                store.change(|state| state.fail(watch, reason, is_refused(&error)));
            }
        }
    }
    Ended::Dropped
}

/// What can be watched, and what becomes of its objects.
trait Watched: Resource + Clone + DeserializeOwned + Debug + Send + 'static {
    fn item(self, watch: &Watch) -> Item;
}

impl Watched for Document {
    fn item(self, watch: &Watch) -> Item {
        let object = identity(&self, watch);
        let (manifest, held) = self.read(watch);
        if let Err(faults) = &manifest {
            let ObjectRef { kind, namespace, name } = object;
            let generation = held.as_ref().map(|held| held.generation);
            for fault in faults {
                tracing::warn!(
                    kind,
                    namespace,
                    name,
                    generation,
                    "cannot be read, and stays as it was: {fault}"
                );
            }
        }
        Item::Manifest(manifest, held)
    }
}

impl Watched for CrdDocument {
    fn item(self, _: &Watch) -> Item {
        Item::Crd(Crd::from(self))
    }
}

impl Watched for Deployment {
    fn item(self, _: &Watch) -> Item {
        Item::Own(Own::from(self))
    }
}

impl Watched for core::Service {
    fn item(self, _: &Watch) -> Item {
        Item::Own(Own::from(self))
    }
}

impl Watched for PartialObjectMeta<DynamicObject> {
    fn item(self, _: &Watch) -> Item {
        Item::Own(Own::new(self.metadata, Facts::None))
    }
}

impl Watched for core::Pod {
    fn item(self, _: &Watch) -> Item {
        Item::Pod(self.into())
    }
}

fn read<K: Watched>(object: K, watch: &Watch) -> (ObjectRef, Item) {
    (identity(&object, watch), object.item(watch))
}

fn identity<K: Resource>(object: &K, watch: &Watch) -> ObjectRef {
    let metadata = object.meta();
    let name = metadata.name.clone().unwrap_or_default();
    match &metadata.namespace {
        Some(namespace) => ObjectRef::namespaced(watch.kind.name, &ObjectKey::new(namespace, name)),
        None => ObjectRef::cluster(watch.kind.name, &name),
    }
}

/// Names a failure when it is new, and again every minute.
#[derive(Default)]
struct Failing(Option<(String, Instant)>);

impl Failing {
    fn log(&mut self, watch: &Watch, reason: &str) {
        let is_known = self.0.as_ref().is_some_and(|(known, at)| known == reason && at.elapsed() < PATIENCE);
        if !is_known {
            tracing::warn!(watch = %watch, "cannot be watched, and is tried again: {reason}");
            self.0 = Some((reason.to_owned(), Instant::now()));
        }
    }
}

/// A failure so long after the last one has nothing to do with it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits longer from failure to failure, up to 8 seconds, with chance in it so that watches that failed together do not
/// return together. One success does not make it forget: a list may work where the watch after it does not.
#[derive(Default)]
struct Patience {
    last: Option<Instant>,
    failures: u32,
}

impl Patience {
    fn after_failure(&mut self, now: Instant) -> Duration {
        if self.last.is_some_and(|last| now.duration_since(last) > PATIENCE) {
            self.failures = 0;
        }
        self.last = Some(now);
        let longest = 250_u64 << self.failures.min(5);
        self.failures = self.failures.saturating_add(1);
        let chance = getrandom::u64().unwrap_or_default() % longest;
        Duration::from_millis((longest + chance) / 2)
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.after_failure(Instant::now()))
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {}
}

fn status(error: &watcher::Error) -> Option<&kube::core::Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    }
}

/// What an API server says whose `WatchList` is switched off: `sendInitialEvents` is no valid option.
fn refuses_streaming(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(_))
        && status(error).is_some_and(|status| matches!(status.code, 400 | 422))
}

/// The changes since the last one that was seen are not kept any more. kube lists again.
fn is_expired(error: &watcher::Error) -> bool {
    status(error).is_some_and(|status| status.code == 410)
}

fn is_refused(error: &watcher::Error) -> bool {
    status(error).is_some_and(|status| status.code == 403)
}

fn reason(error: &watcher::Error) -> String {
    match status(error) {
        Some(status) if !status.message.is_empty() => status.message.clone(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_grows_up_to_a_limit_and_is_forgotten_after_a_quiet_minute() {
        let mut patience = Patience::default();
        let now = Instant::now();
        for longest in [250, 500, 1000, 2000, 4000, 8000, 8000, 8000] {
            // What comes in between, if anything, may be a list that works.
            patience.reset();
            let wait = patience.after_failure(now);
            let longest = Duration::from_millis(longest);
            assert!(wait >= longest / 2 && wait <= longest, "{wait:?}, not up to {longest:?}");
        }
        let later = now + PATIENCE + Duration::from_millis(1);
        assert!(patience.after_failure(later) <= Duration::from_millis(250));
    }
}
