//! The bundle as the API server has it: the manifest is watched, by its name alone, and those parts are read whose hash
//! is a new one.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, watcher};
use kube::{Api as Objects, Client, Config};
use tokio::time::sleep;

use super::taken::Found;
use crate::bundle::{Bundle, Manifest, PartName, Text};

/// Parts that are read at the same time.
const AT_ONCE: usize = 8;
/// Between two tries to read what changes while it is read, or what cannot be read.
const READ_PAUSES: Pauses = Pauses::new(Duration::from_millis(20), Duration::from_secs(1));
/// Between two tries to watch.
const WATCH_PAUSES: Pauses = Pauses::new(Duration::from_millis(500), Duration::from_secs(5));
/// A connection on which the API server is silent for longer is a dead one. Watches are ended by the server before.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

type Texts = BTreeMap<PartName, Text>;

/// The objects of one bundle.
pub(super) struct Api {
    base: String,
    config_maps: Objects<ConfigMap>,
    secrets: Objects<Secret>,
    manifests: BoxStream<'static, String>,
    /// The newest manifest, until its parts were read.
    pending: Option<String>,
    pauses: Pauses,
}

impl Api {
    /// Begins to watch. Without an API server nothing comes.
    pub(super) fn start(namespace: &str, base: &str) -> anyhow::Result<Self> {
        let mut config = Config::incluster()?;
        config.read_timeout = Some(READ_TIMEOUT);
        Ok(Self::new(Client::try_from(config)?, namespace, base))
    }

    fn new(client: Client, namespace: &str, base: &str) -> Self {
        let config_maps: Objects<ConfigMap> = Objects::namespaced(client.clone(), namespace);
        let only = watcher::Config::default().fields(&format!("metadata.name={base}-manifest"));
        let manifests = watcher(config_maps.clone(), only)
            .backoff(WATCH_PAUSES)
            .inspect_err(|error| tracing::warn!(%error, "the manifest cannot be watched"))
            .filter_map(async |event| match event.ok()? {
                watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                    object.data?.remove(Manifest::FILE)
                }
                // Whoever deletes it does not mean that nothing is to be served.
                _ => None,
            });
        Self {
            base: base.to_owned(),
            config_maps,
            secrets: Objects::namespaced(client, namespace),
            manifests: manifests.boxed(),
            pending: None,
            pauses: READ_PAUSES,
        }
    }

    /// Waits for a manifest, and reads the parts that it names and that are not `known`. What does not become whole is
    /// handed over as it is after a while, so that somebody says what is wrong with it, and is tried again by the next
    /// call. May be cancelled at any time.
    pub(super) async fn next(&mut self, known: Texts) -> Found {
        loop {
            let manifest = match self.pending.clone() {
                Some(manifest) => manifest,
                None => {
                    let Some(manifest) = self.manifests.next().await else {
                        return std::future::pending().await;
                    };
                    self.pauses.reset();
                    self.pending.insert(manifest).clone()
                }
            };
            let Ok(read) = Manifest::read(&manifest) else {
                self.pending = None;
                return Found { manifest, parts: Texts::new() };
            };
            let parts = self.parts(&read, &known).await;
            if Bundle::collect(&read, &parts).is_ok() {
                self.pending = None;
                return Found { manifest, parts };
            }
            // The next bundle is being written, or the API server is away: a newer manifest may be there soon.
            let is_late = self.pauses.is_longest();
            tokio::select! {
                Some(newer) = self.manifests.next() => {
                    self.pauses.reset();
                    self.pending = Some(newer);
                }
                () = sleep(self.pauses.advance()) => if is_late {
                    return Found { manifest, parts };
                },
            }
        }
    }

    /// The parts of a bundle, without those that cannot be read.
    async fn parts(&self, manifest: &Manifest, known: &Texts) -> Texts {
        let known = known.iter().filter(|(name, text)| manifest.means(**name, text));
        let mut parts: Texts = known.map(|(name, text)| (*name, text.clone())).collect();
        let missing: Vec<PartName> =
            manifest.parts.keys().filter(|name| !parts.contains_key(name)).copied().collect();
        let mut read = stream::iter(missing)
            .map(|name| async move { (name, self.part(name).await) })
            .buffer_unordered(AT_ONCE);
        while let Some((name, text)) = read.next().await {
            match text {
                Ok(text) => drop(parts.insert(name, text.into())),
                Err(why) => tracing::debug!(part = %name, why, "a part cannot be read"),
            }
        }
        parts
    }

    async fn part(&self, name: PartName) -> Result<String, String> {
        let (object, key) = (format!("{}-{name}", self.base), name.file());
        let text = if name.kind.is_secret() {
            let secret = self.secrets.get(&object).await.map_err(|error| error.to_string())?;
            let bytes = secret.data.and_then(|mut data| data.remove(&key));
            bytes.and_then(|bytes| String::from_utf8(bytes.0).ok())
        } else {
            let config_map = self.config_maps.get(&object).await.map_err(|error| error.to_string())?;
            config_map.data.and_then(|mut data| data.remove(&key))
        };
        text.ok_or_else(|| format!("{object} has no {key}"))
    }
}

/// Pauses that double, up to the longest.
#[derive(Clone, Copy, Debug)]
struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pauses {
    const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    fn is_longest(&self) -> bool {
        self.next == self.longest
    }

    fn advance(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }
}

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.advance())
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests;
