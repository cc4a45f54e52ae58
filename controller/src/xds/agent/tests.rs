//! The order in which a change is published, against an Envoy that is none: it notes what comes and acknowledges it a
//! little later.

use std::sync::Mutex;

use gatewasm_routing::config::{self, FilterConfig};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::*;
use crate::model::{Cluster, Mirror, Model, PER_MILLION, Policy};
use crate::render::{ConfigSource, Settings, render};

const LIMIT: Duration = Duration::from_secs(20);

/// The kinds that were published and not yet acknowledged, each time that something was published.
type Order = Arc<Mutex<Vec<Vec<Kind>>>>;

struct Rig {
    agent: Agent,
    order: Order,
    /// What the probe answers; none as long as the filter config has not arrived.
    runs: Arc<Mutex<Option<String>>>,
    next: Arc<Mutex<String>>,
    _folder: TempDir,
}

impl Rig {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::in_folder(folder.path(), 1);
        let (published, mut changes) = watch::channel(Arc::new(Published::default()));
        let (acknowledge, progress) = watch::channel(Progress::default());
        let (order, runs, next) =
            (Order::default(), Arc::<Mutex<Option<String>>>::default(), Arc::<Mutex<String>>::default());
        let (noted, running, wanted) = (Arc::clone(&order), Arc::clone(&runs), Arc::clone(&next));
        let envoy = async move {
            let mut had = BTreeMap::new();
            while changes.changed().await.is_ok() {
                let now = Arc::clone(&changes.borrow_and_update());
                let versions = Kind::ALL.into_iter().filter_map(|kind| Some((kind, now.set(kind)?.version)));
                let versions: BTreeMap<Kind, u64> = versions.collect();
                let new = versions.iter().filter(|(kind, version)| had.get(*kind) != Some(*version));
                noted.lock().unwrap().push(new.map(|(kind, _)| *kind).collect());
                sleep(Duration::from_millis(20)).await;
                if had.get(&Kind::Extension) != versions.get(&Kind::Extension) {
                    *running.lock().unwrap() = Some(wanted.lock().unwrap().clone());
                }
                had.clone_from(&versions);
                acknowledge.send_modify(|it| it.settled = versions);
            }
        };
        serve(&target.admin, || {
            "cluster_manager.warming_clusters: 0\nlistener_manager.total_listeners_warming: 0\n".to_owned()
        });
        let running = Arc::clone(&runs);
        serve(&target.probe, move || {
            let config = running.lock().unwrap().clone().unwrap_or_default();
            format!("{{\"config\":\"{config}\",\"vm\":\"1\"}}")
        });
        let agent = Agent {
            encoder: Encoder::new().unwrap(),
            admin: Admin::new(&target.admin),
            probe: Probe::new(&target.probe, 1),
            published,
            progress,
            server: tokio::spawn(envoy),
            wanted: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            policies: BTreeMap::new(),
            old_clusters: Lingering::default(),
            old_policies: Lingering::default(),
            linger: Duration::ZERO,
        };
        Self { agent, order, runs, next, _folder: folder }
    }

    /// Applies a model with these policies, each with a mirror of its own, and says in which order it came.
    async fn apply(&mut self, policies: &[&str]) -> Vec<Vec<Kind>> {
        let resources = render(&model(policies), &settings());
        *self.next.lock().unwrap() = resources.filter_config_hash();
        self.order.lock().unwrap().clear();
        let outcome = self.agent.apply(&resources, LIMIT).await.unwrap();
        assert_eq!((outcome.state, outcome.refusals), (State::Live, vec![]));
        assert_eq!(*self.runs.lock().unwrap(), Some(resources.filter_config_hash()));
        self.order.lock().unwrap().clone()
    }

    /// Policies and clusters that are published.
    fn published(&self) -> (Vec<String>, Vec<String>) {
        let routes = &self.agent.wanted[&Kind::Routes]["gatewasm"].json.value();
        let map = routes.pointer("/virtual_hosts/0/matcher/matcher_tree/exact_match_map/map").unwrap();
        let names = map.as_object().unwrap().keys().filter(|name| *name != "none").cloned().collect();
        let published = self.agent.published.borrow();
        (names, published.set(Kind::Cluster).unwrap().resources.keys().cloned().collect())
    }
}

/// Answers every request on a socket.
fn serve(socket: &Path, text: impl Fn() -> String + Clone + Send + 'static) {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let text = text.clone();
            let service = service_fn(move |_: Request<hyper::body::Incoming>| {
                let body = Full::new(Bytes::from(text()));
                async { Ok::<_, std::convert::Infallible>(Response::new(body)) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
}

fn settings() -> Settings {
    Settings {
        bindings: BTreeMap::new(),
        source: ConfigSource::Ads,
        filter_path: "/gatewasm.wasm".into(),
        access_log: false,
    }
}

fn model(policies: &[&str]) -> Model {
    let policy = |name: &&str| {
        let mirror = Mirror { cluster: format!("a/{name}/80"), per_million: PER_MILLION };
        ((*name).to_owned(), Policy { mirrors: vec![mirror], ..Policy::default() })
    };
    let rule = |name: &&str| config::Rule { policy: Some((*name).to_owned()), ..config::Rule::default() };
    let route = config::Route {
        kind: config::RouteKind::HttpRoute,
        namespace: "a".into(),
        name: "a".into(),
        creation_timestamp: None,
        hostnames: Vec::new(),
        rules: policies.iter().map(rule).collect(),
    };
    let listener = config::Listener {
        name: "a/a/a".into(),
        gateway: "a/a".into(),
        port: 80,
        protocol: config::Protocol::Http,
        hostname: None,
        alt_svc: None,
        routes: vec![route],
    };
    Model {
        clusters: policies.iter().map(|name| (format!("a/{name}/80"), Cluster::default())).collect(),
        policies: policies.iter().map(policy).collect(),
        filter_config: FilterConfig { listeners: vec![listener], ..FilterConfig::default() },
        ..Model::default()
    }
}

/// Clusters and endpoints go together: Envoy acknowledges clusters when they have endpoints.
fn in_turn(order: &[Vec<Kind>]) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for these in order {
        assert!(these.iter().all(|kind| *kind <= Kind::Endpoints) || these.len() == 1, "{order:?}");
        kinds.extend(these);
    }
    kinds
}

#[tokio::test]
async fn what_is_new_comes_before_the_filter_config_and_what_is_old_goes_long_after_it() {
    use Kind::{Cluster, Endpoints, Extension, Routes};
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut rig = Rig::start();
    rig.apply(&["p-1"]).await;
    assert_eq!(rig.agent.next_sweep(), None);

    // Added: its cluster, itself, and then who names it.
    assert_eq!(in_turn(&rig.apply(&["p-1", "p-2"]).await), [Cluster, Endpoints, Routes, Extension]);
    assert_eq!(rig.agent.next_sweep(), None);
    // Changed is another name: the old one stays beside the new one.
    assert_eq!(in_turn(&rig.apply(&["p-1", "p-3"]).await), [Cluster, Endpoints, Routes, Extension]);
    assert_eq!(
        rig.published(),
        (names(&["p-1", "p-2", "p-3"]), names(&["a/p-1/80", "a/p-2/80", "a/p-3/80"]))
    );
    assert!(rig.agent.next_sweep().is_some());
    // Removed: only who named it.
    assert_eq!(in_turn(&rig.apply(&["p-3"]).await), [Extension]);
    // One that comes back is there already.
    assert_eq!(in_turn(&rig.apply(&["p-1", "p-3"]).await), [Extension]);

    rig.agent.sweep();
    assert_eq!(rig.published(), (names(&["p-1", "p-3"]), names(&["a/p-1/80", "a/p-3/80"])));
    assert_eq!(rig.agent.next_sweep(), None);
}
