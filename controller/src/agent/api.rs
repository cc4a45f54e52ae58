//! The bundle as the API server has it: the manifest is watched, by its name alone, and those parts are read whose hash
//! is a new one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::watcher::{self, watcher};
use kube::{Api as Objects, Client, Config};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use super::taken::Found;
use crate::bundle::{Manifest, PartName};

/// Parts that are read at the same time.
const AT_ONCE: usize = 8;
/// Between two tries to read what changes while it is read, or what cannot be read.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A connection on which the API server is silent for longer is a dead one. Watches are ended by the server before.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

type Texts = BTreeMap<PartName, Arc<str>>;

/// The objects of one bundle.
pub(super) struct Api {
    base: String,
    config_maps: Objects<ConfigMap>,
    secrets: Objects<Secret>,
    manifests: BoxStream<'static, String>,
    /// The newest manifest, until its parts were read.
    pending: Option<String>,
}

impl Api {
    /// Begins to watch. Without an API server nothing comes.
    pub(super) fn start(namespace: &str, base: &str) -> anyhow::Result<Self> {
        let mut config = Config::incluster()?;
        config.read_timeout = Some(READ_TIMEOUT);
        let client = Client::try_from(config)?;
        let config_maps: Objects<ConfigMap> = Objects::namespaced(client.clone(), namespace);
        let only = watcher::Config::default().fields(&format!("metadata.name={base}-manifest"));
        let manifests = watcher(config_maps.clone(), only)
            .inspect_err(|error| tracing::warn!(%error, "the manifest cannot be watched"))
            .filter_map(async |event| match event.ok()? {
                watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                    object.data?.remove(Manifest::FILE)
                }
                // Whoever deletes it does not mean that nothing is to be served.
                _ => None,
            });
        let secrets = Objects::namespaced(client, namespace);
        Ok(Self { base: base.to_owned(), config_maps, secrets, manifests: manifests.boxed(), pending: None })
    }

    /// Waits for a manifest, and reads the parts that it names and that are not `known`. May be cancelled at any time.
    pub(super) async fn next(&mut self, known: Texts) -> Found {
        let mut pause = FIRST_PAUSE;
        loop {
            let manifest = match self.pending.clone() {
                Some(manifest) => manifest,
                None => {
                    let Some(manifest) = self.manifests.next().await else {
                        return std::future::pending().await;
                    };
                    self.pending.insert(manifest).clone()
                }
            };
            let parts = match Manifest::read(&manifest) {
                Ok(read) => self.parts(&read, &known).await,
                // Whoever takes it says what is wrong with it.
                Err(_) => Ok(Texts::new()),
            };
            match parts {
                Ok(parts) => {
                    self.pending = None;
                    return Found { manifest, parts };
                }
                // The next bundle is being written, or the API server is away: a newer manifest may be there soon.
                Err(why) => {
                    tracing::debug!(why, "the parts of a bundle could not be read");
                    tokio::select! {
                        newer = self.manifests.next() => self.pending = newer.or(Some(manifest)),
                        () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                    }
                }
            }
        }
    }

    /// The parts of a bundle.
    async fn parts(&self, manifest: &Manifest, known: &Texts) -> Result<Texts, String> {
        let is_meant = |name: &PartName, text: &str| {
            manifest.parts.get(name).is_some_and(|hash| format!("{:x}", Sha256::digest(text)) == *hash)
        };
        let known = known.iter().filter(|(name, text)| is_meant(name, text));
        let mut parts: Texts = known.map(|(name, text)| (*name, Arc::clone(text))).collect();
        let missing: Vec<PartName> =
            manifest.parts.keys().filter(|name| !parts.contains_key(name)).copied().collect();
        let read: Vec<(PartName, String)> = stream::iter(missing)
            .map(|name| async move { Ok::<_, String>((name, self.part(name).await?)) })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        for (name, text) in read {
            if !is_meant(&name, &text) {
                return Err(format!("part {name} is not the one that the manifest names"));
            }
            parts.insert(name, text.into());
        }
        Ok(parts)
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
