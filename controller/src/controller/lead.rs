//! What the leader does: from what the cluster holds to data planes and statuses, again whenever something has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use kube::Client;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::Options;
use super::agent_ports::AgentPorts;
use super::hold::held_until;
use super::host;
use super::left::left;
use super::plan::Plans;
use super::session_key::SessionKey;
use super::statuses::{Complete, Published};
use super::turns::{Objects, Turns};
use crate::api::Gateway;
use crate::bundle::Bundle;
use crate::cluster::agents::Agents;
use crate::cluster::apply::Applier;
use crate::cluster::clear::Clearance;
use crate::cluster::deliver::{Delivery, Progress, Tools, Wanted};
use crate::cluster::metrics::Metrics;
use crate::cluster::status::StatusWriter;
use crate::cluster::{Facts, Revisions, Store, View};
use crate::data_plane::{
    Delivered, Judgement, Pod, SILENCE, Unprogrammed, complete, complete_listener_set, judge,
};
use crate::fault::Fault;
use crate::model::Transport;
use crate::object::{ObjectKey, ObjectRef};
use crate::provision::addresses::{Addresses, addresses, host_addresses};
use crate::provision::names::{Names, label_value};
use crate::provision::{self, Network, pod, provision, service};
use crate::status::{PROGRAMMED, Statuses};
use crate::translate::{self, translate};

/// After a change it must be quiet for this long: who applies several objects means them together.
const QUIET: Duration = Duration::from_millis(5);
/// But not for ever.
const LONGEST: Duration = Duration::from_millis(50);

/// The leader.
pub(super) struct Lead {
    settings: provision::Settings,
    namespace: String,
    tools: Tools,
    writer: StatusWriter,
    agents: Agents,
    plans: Plans,
    planes: BTreeMap<ObjectKey, Plane>,
    turns: Turns,
    agent_ports: AgentPorts,
    /// What is another Gateway's, on the network of the nodes.
    taken: BTreeMap<ObjectKey, Vec<Fault>>,
    /// Data planes of Gateways that are another controller's now.
    leaving: BTreeMap<ObjectKey, Clearance>,
    published: Published,
    statuses: Arc<Statuses>,
    /// When `statuses` and the bundles were made.
    translated: Instant,
}

/// The data plane of one Gateway.
struct Plane {
    delivery: Delivery,
    /// The hash of the bundle that is wanted, and since when; or why there is none.
    wanted: Result<(String, Instant), String>,
}

impl Lead {
    pub(super) fn new(
        options: &Options,
        client: Client,
        store: Store,
        metrics: Arc<Metrics>,
        applier: Arc<Applier>,
        writer: StatusWriter,
    ) -> Self {
        Self {
            settings: options.provision.clone(),
            namespace: options.namespace.clone(),
            tools: Tools { client, applier, store, metrics, news: watch::Sender::new(()) },
            writer,
            agents: Agents::new(),
            plans: Plans::default(),
            planes: BTreeMap::new(),
            turns: Turns::default(),
            agent_ports: AgentPorts::default(),
            taken: BTreeMap::new(),
            leaving: BTreeMap::new(),
            published: Published::default(),
            statuses: Arc::default(),
            translated: Instant::now(),
        }
    }

    /// Goes on until it is dropped.
    pub(super) async fn run(mut self) -> Result<()> {
        let key = SessionKey::of(self.tools.client.clone(), &self.namespace).await?;
        let mut changes = self.tools.store.changes();
        let mut agents = self.agents.news();
        let mut deliveries = self.tools.news.subscribe();
        let mut bundles = BTreeMap::new();
        let mut seen = None;
        loop {
            changes.mark_unchanged();
            agents.mark_unchanged();
            deliveries.mark_unchanged();
            let view = self.tools.store.view();
            let mut held = None;
            if view.is_complete {
                // Which nodes there are decides who has what, on their network.
                let nodes = match self.settings.network {
                    Network::Pod => BTreeSet::new(),
                    Network::Host => nodes(view.pods.values()),
                };
                let now = (view.revisions.snapshot, view.revisions.crds, nodes);
                let is_new = seen.as_ref() != Some(&now);
                if is_new {
                    held = held_until(self.translated, Instant::now(), || self.is_under_way(&view));
                }
                if is_new && held.is_none() {
                    bundles = self.translate(&view, &key);
                    seen = Some(now);
                }
                self.deliver(&view, &bundles);
                self.publish(&view);
            }
            let wake = held.unwrap_or_else(|| self.next_silence());
            // The store copies what it changes while somebody looks at it.
            drop(view);
            tokio::select! {
                _ = changes.changed() => settle(&mut changes).await,
                _ = agents.changed() => {}
                _ = deliveries.changed() => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Makes statuses and bundles of what is there.
    fn translate(
        &mut self,
        view: &View,
        key: &SessionKey,
    ) -> BTreeMap<ObjectKey, Result<Arc<Bundle>, String>> {
        let begin = Instant::now();
        let options = translate::Options {
            access_log: true,
            reserved_ports: Some(match self.settings.network {
                Network::Pod => pod::AGENT_PORT..=pod::AGENT_PORT,
                Network::Host => pod::HOST_AGENT_PORTS,
            }),
            ..translate::Options::default()
        };
        let mut translation = translate(&view.snapshot, &options);
        let mut statuses = translation.statuses;
        if self.settings.network == Network::Host {
            let created = |key: &ObjectKey| {
                Some(view.snapshot.gateways.get(key)?.metadata.creation_timestamp.as_ref()?.0)
            };
            self.taken =
                host::withhold(&mut translation.model, &mut statuses, created, &nodes(view.pods.values()));
        }
        for (name, status) in &mut statuses.gateway_classes {
            if let Some(class) = view.snapshot.gateway_classes.get(name) {
                status.conditions.push(view.crds.supported_version(&class.metadata));
                status.supported_features.retain(|feature| view.crds.have(feature.name));
            }
        }
        self.statuses = Arc::new(statuses);
        self.translated = Instant::now();
        let bundles =
            self.plans.of(&translation.model, self.settings.network, |gateway| key.of_gateway(gateway));
        for (kind, count) in view.snapshot.counts() {
            self.tools.metrics.watched(kind, count);
        }
        self.tools.metrics.translated(begin.elapsed());
        tracing::debug!(took = ?begin.elapsed(), objects = view.snapshot.len(), "translated");
        bundles
    }

    /// Tells each data plane what it is to be, and asks the pods of all.
    fn deliver(&mut self, view: &View, bundles: &BTreeMap<ObjectKey, Result<Arc<Bundle>, String>>) {
        let left = left(view);
        // Of a Gateway that is being deleted nothing is made any more, or the deletion would never end.
        let stays = |key: &ObjectKey| {
            let gateway = view.snapshot.gateways.get(key);
            gateway.is_some_and(|gateway| gateway.metadata.deletion_timestamp.is_none())
                && !left.contains_key(key)
        };
        // Those that are not accepted any more keep what they have, and get nothing new.
        self.planes.retain(|key, _| self.statuses.gateways.contains_key(key) && stays(key));
        self.leaving.retain(|key, _| left.contains_key(key));
        for (key, owner) in &left {
            let start = || Clearance::start(owner.clone(), self.tools.clone());
            self.leaving.entry(key.clone()).or_insert_with(start);
        }
        let claims = bundles.keys().map(|key| (key.clone(), agent_port(key, view))).collect();
        let agent_ports = self.agent_ports.give(self.settings.network, &claims).clone();
        let provisioned = bundles.keys().filter(|key| stays(key)).filter_map(|key| {
            let gateway = view.snapshot.gateways.get(key)?;
            let replicas = replicas(key, view);
            let (ports, agent_port) = (self.ports(key, gateway, view), *agent_ports.get(key)?);
            let objects = provision(key, gateway, &ports, &self.settings, replicas, agent_port);
            Some((key.clone(), objects))
        });
        let mut provisioned: Objects = provisioned.collect();
        self.turns.hold_back(&mut provisioned, view);
        let mut asked = BTreeSet::new();
        for (key, bundle) in bundles {
            let (Some(objects), Some(gateway)) = (provisioned.remove(key), view.snapshot.gateways.get(key))
            else {
                continue;
            };
            let pods = pods(key, view);
            asked.extend(pods.iter().filter_map(|(pod, its)| Some(((*pod).clone(), agent(its)?))));
            let answers =
                pods.iter().filter_map(|(pod, its)| self.agents.answer(&((*pod).clone(), agent(its)?)));
            let reported = answers.filter_map(|answer| Some(answer.in_effect?.counter)).max().unwrap_or(0);
            let hash = bundle.as_ref().map(|bundle| bundle.manifest("", 0).content_hash());
            let wanted = Wanted {
                gateway: Arc::clone(gateway),
                objects,
                bundle: bundle.as_ref().ok().cloned(),
                reported,
            };
            let plane = match self.planes.remove(key) {
                Some(plane) => {
                    plane.delivery.want(wanted);
                    let wanted = match (hash, plane.wanted) {
                        (Ok(hash), Ok((old, since))) if hash == old => Ok((old, since)),
                        (Ok(hash), _) => Ok((hash, Instant::now())),
                        (Err(why), _) => Err(why.clone()),
                    };
                    Plane { wanted, delivery: plane.delivery }
                }
                None => Plane {
                    delivery: Delivery::start(key.clone(), wanted, self.tools.clone()),
                    wanted: hash.map(|hash| (hash, Instant::now())).map_err(Clone::clone),
                },
            };
            self.planes.insert(key.clone(), plane);
        }
        self.agents.ask(&asked);
    }

    /// The ports of a Gateway's Service: also those of ListenerSets that it takes.
    fn ports(&self, key: &ObjectKey, gateway: &Gateway, view: &View) -> BTreeSet<(u16, Transport)> {
        let sets = self.statuses.listener_sets.iter();
        let sets = sets.filter(|(_, status)| status.gateway == *key && status.is_attached);
        let sets = sets.filter_map(|(set, _)| view.snapshot.listener_sets.get(set));
        service::ports(gateway.spec.listeners.iter().chain(sets.flat_map(|set| &set.spec.listeners)))
    }

    /// Says what may be said.
    fn publish(&mut self, view: &View) {
        let mut of = Complete {
            gateways: self.statuses.gateways.clone(),
            listener_sets: self.statuses.listener_sets.clone(),
        };
        let mut judgements = BTreeMap::new();
        for (key, status) in &mut of.gateways {
            let (Some(plane), Some(gateway)) = (self.planes.get(key), view.snapshot.gateways.get(key)) else {
                continue;
            };
            let judgement = self.judge(key, plane, view);
            complete(status, &judgement, self.addresses(key, gateway, view));
            judgements.insert(key.clone(), judgement);
        }
        for status in of.listener_sets.values_mut() {
            if let Some(judgement) = judgements.get(&status.gateway) {
                complete_listener_set(status, judgement);
            }
        }
        self.published.publish(&self.statuses, &of, &judgements, view, &self.writer);
    }

    /// Where a Gateway is reached.
    fn addresses(&self, key: &ObjectKey, gateway: &Gateway, view: &View) -> Addresses {
        if self.settings.network == Network::Host {
            let serving = pods(key, view).into_iter().map(|(_, pod)| pod);
            let nodes = nodes(serving.filter(|pod| pod.ready && !pod.terminating));
            return host_addresses(gateway, &nodes, self.taken.get(key).map_or(&[], Vec::as_slice));
        }
        let name = ObjectKey::new(&key.namespace, Names::of(&key.name).base());
        let service =
            view.own.get(&ObjectRef::namespaced("Service", &name)).and_then(|own| match &own.facts {
                Facts::Service(service) => Some(&**service),
                _ => None,
            });
        addresses(key, gateway, service)
    }

    /// Whether pods are still to bring a bundle into effect that they were given.
    fn is_under_way(&self, view: &View) -> bool {
        self.planes.iter().any(|(key, plane)| !self.judge(key, plane, view).publish)
    }

    fn judge(&self, key: &ObjectKey, plane: &Plane, view: &View) -> Judgement {
        let Progress { written, fault } = plane.delivery.progress();
        let refuse = |message: String| Judgement {
            publish: true,
            programmed: Err(Unprogrammed { reason: "Invalid", message }),
        };
        let (hash, since) = match &plane.wanted {
            Ok(wanted) => wanted,
            Err(why) => return refuse(format!("The configuration cannot be delivered: {why}.")),
        };
        if let Some(fault) = fault {
            return refuse(format!("The data plane cannot be made what it should be: {fault}."));
        }
        let delivered = written.map(|(counter, written)| Delivered {
            // Until it is written, nobody has a later one.
            counter: if written == *hash { counter } else { u64::MAX },
            hash: hash.clone(),
            age: since.elapsed(),
        });
        let pods: Vec<Pod> = pods(key, view)
            .into_iter()
            .map(|(name, pod)| Pod {
                name: name.name.clone(),
                counts: pod.ready && !pod.terminating,
                answer: agent(pod).and_then(|agent| self.agents.answer(&(name.clone(), agent))),
            })
            .collect();
        judge(delivered.as_ref(), &pods, was_programmed(key, view))
    }

    /// When a pod that says nothing is not waited for any more, or a Gateway that does not begin with its turn.
    fn next_silence(&self) -> Instant {
        let now = Instant::now();
        let ends = self.planes.values().filter_map(|plane| Some(plane.wanted.as_ref().ok()?.1 + SILENCE));
        ends.chain(self.turns.end())
            .filter(|end| *end > now)
            .min()
            .unwrap_or_else(|| now + Duration::from_secs(3600))
    }
}

/// Waits until the cluster is quiet.
async fn settle(changes: &mut watch::Receiver<Revisions>) {
    let longest = Instant::now() + LONGEST;
    while Instant::now() < longest && timeout(QUIET, changes.changed()).await.is_ok() {}
}

/// The pods of a Gateway.
fn pods<'a>(key: &ObjectKey, view: &'a View) -> Vec<(&'a ObjectKey, &'a crate::cluster::Pod)> {
    let label = label_value(&key.name);
    let pods = view.pods.iter();
    pods.filter(|(pod, its)| pod.namespace == key.namespace && its.gateway == label).collect()
}

/// Where the agent of a pod answers.
fn agent(pod: &crate::cluster::Pod) -> Option<SocketAddr> {
    Some(SocketAddr::new(pod.ip.as_ref()?.parse().ok()?, pod.agent_port))
}

/// The nodes of some pods.
fn nodes<'a>(pods: impl Iterator<Item = &'a crate::cluster::Pod>) -> BTreeSet<IpAddr> {
    pods.filter_map(|pod| pod.host_ip.as_ref()?.parse().ok()).collect()
}

/// How many pods there shall be, as the Deployment says.
fn replicas(key: &ObjectKey, view: &View) -> Option<i32> {
    match deployment(key, view)? {
        Facts::Deployment { replicas, .. } => Some(*replicas),
        _ => None,
    }
}

/// The port of its agents, as the Deployment says.
fn agent_port(key: &ObjectKey, view: &View) -> Option<u16> {
    match deployment(key, view)? {
        Facts::Deployment { agent_port, .. } => *agent_port,
        _ => None,
    }
}

fn deployment<'a>(key: &ObjectKey, view: &'a View) -> Option<&'a Facts> {
    let name = ObjectKey::new(&key.namespace, Names::of(&key.name).base());
    Some(&view.own.get(&ObjectRef::namespaced("Deployment", &name))?.facts)
}

/// Whether the Gateway was last said to be programmed.
fn was_programmed(key: &ObjectKey, view: &View) -> bool {
    let held = view.held.get(&ObjectRef::namespaced("Gateway", key));
    let conditions = held.and_then(|held| held.status["conditions"].as_array());
    conditions.into_iter().flatten().any(|it| it["type"] == PROGRAMMED && it["status"] == "True")
}
