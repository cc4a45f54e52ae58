//! Brings resources into effect in an order in which no request meets half of a change: certificates, then clusters with
//! endpoints until they are warm, then policies and listeners, then the filter's configuration until every worker runs
//! it, and long after that the removal of clusters and policies that nothing names any more.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use envoy_types::pb::google::protobuf::Any;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::encode::Encoder;
use super::kind::Kind;
use super::lingering::Lingering;
use super::probe::Probe;
use super::published::Published;
use super::server::{self, Progress};
use crate::envoy::admin::Admin;
use crate::render::bootstrap::{Address, Addresses};
use crate::render::{Json, Resources, routes};

/// A removed cluster or policy stays this long for requests and retries under way.
const LINGER: Duration = Duration::from_secs(30);

/// Waiting for new clusters ends here, and the change goes on: a name that does not resolve must not hold up others.
const WARM_LIMIT: Duration = Duration::from_secs(5);

/// How often Envoy is asked for what it does not report by itself.
const POLL: Duration = Duration::from_millis(2);

/// Where Envoy is to be reached, and how many workers it has.
#[derive(Clone, Debug)]
pub struct Target {
    /// Socket of the ADS server, made by the agent.
    pub agent: PathBuf,
    /// Socket of Envoy's admin interface.
    pub admin: PathBuf,
    /// Socket of the internal listener.
    pub probe: PathBuf,
    /// `--concurrency`.
    pub workers: usize,
}

impl Target {
    /// The sockets in `folder`.
    pub fn in_folder(folder: &Path, workers: usize) -> Self {
        Self {
            agent: folder.join("agent.sock"),
            admin: folder.join("admin.sock"),
            probe: folder.join("probe.sock"),
            workers,
        }
    }

    /// The same sockets, as Envoy's bootstrap names them.
    pub fn addresses(&self) -> Addresses {
        Addresses {
            admin: Address::Pipe(self.admin.clone()),
            probe: Address::Pipe(self.probe.clone()),
            agent: self.agent.clone(),
        }
    }
}

/// The part of us that one Envoy listens to.
#[derive(Debug)]
pub struct Agent {
    encoder: Encoder,
    admin: Admin,
    probe: Probe,
    published: watch::Sender<Arc<Published>>,
    progress: watch::Receiver<Progress>,
    server: JoinHandle<()>,
    /// Resources that are to be in effect, or are.
    wanted: Wanted,
    /// Kinds whose last change is not known to be in effect.
    unconfirmed: BTreeSet<Kind>,
    /// Policies that are to be in effect, or are.
    policies: BTreeMap<String, Json>,
    /// Clusters that nothing names any more.
    old_clusters: Lingering<()>,
    /// Policies that nothing names any more. They stay in the route configuration, which is one resource.
    old_policies: Lingering<Json>,
    linger: Duration,
}

/// Resources by kind and name.
type Wanted = BTreeMap<Kind, BTreeMap<String, Resource>>;

/// A resource, and its wire form. They are compared as JSON: the order of a map's entries in the bytes is by chance.
#[derive(Clone, Debug)]
struct Resource {
    json: Json,
    any: Arc<Any>,
}

impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How far it came.
    pub state: State,
    /// The kinds of resources that changed.
    pub changed: Vec<Kind>,
    /// Envoy's refusals: what it refused stays as it was, everything else is in effect.
    pub refusals: Vec<(Kind, String)>,
    /// How long it took.
    pub took: Duration,
}

/// How far a change came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing was to be done.
    Unchanged,
    /// In effect on every worker, but for what was refused.
    Live,
    /// Published, but Envoy did not say in time that it is in effect. What was waited for.
    Late(String),
}

impl Outcome {
    /// Nothing was to be done, or nothing was done.
    pub fn unchanged() -> Self {
        Self { state: State::Unchanged, changed: vec![], refusals: vec![], took: Duration::ZERO }
    }
}

impl Agent {
    /// Opens the ADS socket. Nothing is served before the first [`Agent::apply`].
    pub fn start(target: &Target) -> Result<Self> {
        Self::with_linger(target, LINGER)
    }

    /// As [`Agent::start`], with another time for which removed clusters and policies stay.
    pub fn with_linger(target: &Target, linger: Duration) -> Result<Self> {
        let (published, receiver) = watch::channel(Arc::new(Published::default()));
        let (sender, progress) = watch::channel(Progress::default());
        Ok(Self {
            encoder: Encoder::new()?,
            admin: Admin::new(&target.admin),
            probe: Probe::new(&target.probe, target.workers),
            server: server::serve(&target.agent, receiver, sender)?,
            published,
            progress,
            wanted: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            policies: BTreeMap::new(),
            old_clusters: Lingering::default(),
            old_policies: Lingering::default(),
            linger,
        })
    }

    /// Brings `resources` into effect and waits for it, `limit` at most. What is late stays published: Envoy gets it
    /// as soon as it can, and the next change goes on from there.
    ///
    /// An error means that a resource is no message of Envoy's; then nothing was published.
    pub async fn apply(&mut self, resources: &Resources, limit: Duration) -> Result<Outcome> {
        let begin = Instant::now();
        let mut old_policies = self.old_policies.clone();
        old_policies.change(&self.policies, &resources.policies);
        let wanted = self.encode(resources, &with_old(&resources.policies, &old_policies))?;
        self.old_policies = old_policies;
        self.policies.clone_from(&resources.policies);
        let changed: Vec<Kind> =
            Kind::ALL.into_iter().filter(|kind| self.wanted.get(kind) != wanted.get(kind)).collect();
        self.unconfirmed.extend(&changed);
        if self.unconfirmed.is_empty() {
            self.no_longer_named();
            return Ok(Outcome::unchanged());
        }
        let old = std::mem::replace(&mut self.wanted, wanted);
        self.old_clusters.change(&names(&old, Kind::Cluster), &names(&self.wanted, Kind::Cluster));
        let mut refusals = Vec::new();
        let hash = resources.filter_config_hash();
        let late = timeout_at(begin + limit, self.bring_about(&old, &hash, &mut refusals)).await;
        let state = match late {
            Ok(Ok(())) => {
                self.unconfirmed.clear();
                // Where the filter config was refused, the old one goes on naming what it names.
                if refusals.iter().all(|(kind, _)| *kind != Kind::Extension) {
                    self.no_longer_named();
                }
                State::Live
            }
            Ok(Err(what)) => State::Late(what),
            Err(_) => State::Late(format!("Envoy to take it, for {limit:?}")),
        };
        Ok(Outcome { state, changed, refusals, took: begin.elapsed() })
    }

    /// When [`Agent::sweep`] has something to do next.
    pub fn next_sweep(&self) -> Option<Instant> {
        [self.old_clusters.next(), self.old_policies.next()].into_iter().flatten().min()
    }

    /// Removes the clusters and policies whose time has come; the policies first, because they may name the clusters.
    pub fn sweep(&mut self) {
        let now = Instant::now();
        self.old_clusters.sweep(now);
        self.old_policies.sweep(now);
        let routes = routes(&with_old(&self.policies, &self.old_policies));
        // Each part of it was encoded before.
        if let Ok(routes) = self.encode_all(Kind::Routes, &routes) {
            self.wanted.insert(Kind::Routes, routes);
            self.publish(Kind::Routes, self.wanted(Kind::Routes));
        }
        self.publish_clusters();
    }

    /// The filter config that is in effect names nothing that is out of use.
    fn no_longer_named(&mut self) {
        let goes = Instant::now() + self.linger;
        self.old_clusters.no_longer_named(goes);
        self.old_policies.no_longer_named(goes);
    }

    async fn bring_about(
        &mut self,
        old: &Wanted,
        hash: &str,
        refusals: &mut Vec<(Kind, String)>,
    ) -> Result<(), String> {
        // A cluster that speaks TLS is not warm before it has its certificates. Envoy asks for them then, so that there is
        // nothing to wait for yet.
        self.publish(Kind::Secret, self.wanted(Kind::Secret));
        let (clusters, endpoints) = self.publish_clusters();
        let warm = async {
            self.settle(Kind::Cluster, clusters, refusals).await;
            self.settle(Kind::Endpoints, endpoints, refusals).await;
            if self.unconfirmed.contains(&Kind::Cluster) {
                self.none("cluster_manager.warming_clusters").await;
            }
        };
        let _ = timeout(WARM_LIMIT, warm).await;

        for kind in [Kind::Secret, Kind::Routes, Kind::Listener] {
            let version = self.publish(kind, self.wanted(kind));
            self.settle(kind, version, refusals).await;
        }

        let version = self.publish(Kind::Extension, self.wanted(Kind::Extension));
        self.settle(Kind::Extension, version, refusals).await;
        if refusals.iter().any(|(kind, _)| *kind == Kind::Extension) {
            // Envoy remembers a refused filter configuration and refuses listeners for it; the old one heals that.
            // It must stand in `wanted`, so that the same configuration is tried again when it comes again.
            let Some(old) = old.get(&Kind::Extension) else {
                return Err("a filter config that Envoy takes".to_owned());
            };
            self.wanted.insert(Kind::Extension, old.clone());
            self.publish(Kind::Extension, self.wanted(Kind::Extension));
            return Ok(());
        }
        while !self.probe.all_run(hash).await.unwrap_or(false) {
            sleep(POLL).await;
        }
        if self.unconfirmed.contains(&Kind::Listener) {
            self.none("listener_manager.total_listeners_warming").await;
        }
        Ok(())
    }

    /// Waits until Envoy has `version` of a kind, or has refused it.
    async fn settle(&self, kind: Kind, version: u64, refusals: &mut Vec<(Kind, String)>) {
        let done =
            |progress: &Progress| progress.settled.get(&kind).is_some_and(|settled| *settled >= version);
        // The channel ends only with the server, and then nothing else will come either.
        let mut progress = self.progress.clone();
        let Ok(progress) = progress.wait_for(done).await else { return std::future::pending().await };
        if let Some(refusal) = progress.refused.get(&kind).filter(|refusal| refusal.version == version) {
            let refusal = (kind, refusal.message.clone());
            if !refusals.contains(&refusal) {
                refusals.push(refusal);
            }
        }
    }

    /// Waits until a gauge of Envoy's is zero.
    async fn none(&self, gauge: &str) {
        while !self.admin.stats(gauge).await.is_ok_and(|stats| stats.get(gauge) == Some(&0)) {
            sleep(POLL).await;
        }
    }

    fn encode(&self, resources: &Resources, policies: &BTreeMap<String, Json>) -> Result<Wanted> {
        let kinds = [
            (Kind::Cluster, &resources.clusters),
            (Kind::Endpoints, &resources.endpoints),
            (Kind::Secret, &resources.secrets),
            (Kind::Routes, &routes(policies)),
            (Kind::Listener, &resources.listeners),
            (Kind::Extension, &resources.extensions),
        ];
        kinds.into_iter().map(|(kind, resources)| Ok((kind, self.encode_all(kind, resources)?))).collect()
    }

    fn encode_all(
        &self,
        kind: Kind,
        resources: &BTreeMap<String, Json>,
    ) -> Result<BTreeMap<String, Resource>> {
        let old = self.wanted.get(&kind);
        let mut encoded = BTreeMap::new();
        for (name, json) in resources {
            let same = old.and_then(|old| old.get(name)).filter(|old| old.json == *json);
            let any = match same {
                Some(same) => Arc::clone(&same.any),
                None => Arc::new(self.encoder.encode(name, json)?),
            };
            encoded.insert(name.clone(), Resource { json: json.clone(), any });
        }
        Ok(encoded)
    }

    fn wanted(&self, kind: Kind) -> BTreeMap<String, Arc<Any>> {
        let resources = self.wanted.get(&kind).into_iter().flatten();
        resources.map(|(name, resource)| (name.clone(), Arc::clone(&resource.any))).collect()
    }

    /// Publishes clusters and endpoints, with those that linger as they were; returns the versions.
    fn publish_clusters(&self) -> (u64, u64) {
        (self.publish_with_lingering(Kind::Cluster), self.publish_with_lingering(Kind::Endpoints))
    }

    fn publish_with_lingering(&self, kind: Kind) -> u64 {
        let mut resources = self.wanted(kind);
        if let Some(set) = self.published.borrow().set(kind) {
            let kept = self
                .old_clusters
                .iter()
                .filter_map(|(name, _)| Some((name.clone(), set.resources.get(name)?)));
            resources.extend(kept.map(|(name, resource)| (name, Arc::clone(&resource.any))));
        }
        self.publish(kind, resources)
    }

    fn publish(&self, kind: Kind, resources: BTreeMap<String, Arc<Any>>) -> u64 {
        let mut version = 0;
        self.published.send_if_modified(|published| {
            let (new, changed) = Arc::make_mut(published).replace(kind, resources);
            version = new;
            changed
        });
        version
    }
}

fn names(wanted: &Wanted, kind: Kind) -> BTreeMap<String, ()> {
    wanted.get(&kind).into_iter().flatten().map(|(name, _)| (name.clone(), ())).collect()
}

/// The policies that are wanted, and those that linger.
fn with_old(wanted: &BTreeMap<String, Json>, old: &Lingering<Json>) -> BTreeMap<String, Json> {
    let mut all = wanted.clone();
    all.extend(old.iter().map(|(name, policy)| (name.clone(), policy.clone())));
    all
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[cfg(test)]
mod tests;
