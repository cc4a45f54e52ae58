//! From the model to a real Envoy: what `render` writes is what Envoy takes, and what `xds` calls live is live.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewasm::envoy::admin::Admin;
use gatewasm::envoy::process::Launch;
use gatewasm::envoy::supervisor::Supervisor;
use gatewasm::model::{Cluster, Endpoint, Gateway, Listener, Model};
use gatewasm::object::ObjectKey;
use gatewasm::render::bootstrap::{Address, Addresses, bootstrap};
use gatewasm::render::{ConfigSource, Settings, render, yaml};
use gatewasm::xds::agent::{Agent, Outcome, State, Target};
use gatewasm_routing::config::{self, FilterConfig, Protocol};
use gatewasm_tests::client::Request;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::load::Load;
use gatewasm_tests::tools;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(30);

/// An Envoy with its agent, and what they are told.
struct Rig {
    folder: TempDir,
    target: Target,
    settings: Settings,
    agent: Agent,
    envoy: Supervisor,
}

impl Rig {
    async fn start() -> Result<Self> {
        // What Envoy and the agent say is shown for a test that fails.
        let filter = tracing_subscriber::EnvFilter::new("info,gatewasm=debug");
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let folder = tempfile::tempdir()?;
        let target = Target::in_folder(folder.path(), 2);
        let filter = folder.path().join("gatewasm.wasm");
        std::fs::write(&filter, gatewasm::filter_binary::WASM)?;
        let settings = Settings {
            bindings: BTreeMap::new(),
            source: ConfigSource::Ads,
            filter_path: filter,
            access_log: false,
        };
        let addresses = Addresses {
            admin: Address::Pipe(target.admin.clone()),
            probe: Address::Pipe(target.probe.clone()),
            agent: target.agent.clone(),
        };
        let path = folder.path().join("bootstrap.yaml");
        std::fs::write(&path, yaml(&bootstrap(&settings, &addresses))?)?;
        let agent = Agent::with_linger(&target, Duration::from_secs(1))?;
        let launch = Launch { binary: tools::envoy()?, bootstrap: path, workers: 2 };
        let envoy = Supervisor::start(launch, Admin::new(&target.admin)).await?;
        Ok(Self { folder, target, settings, agent, envoy })
    }

    async fn apply(&mut self, model: &Model) -> Result<Outcome> {
        self.agent.apply(&render(model, &self.settings), LIMIT).await
    }

    async fn live(&mut self, model: &Model) -> Result<Duration> {
        let outcome = self.apply(model).await?;
        ensure!(outcome.state == State::Live && outcome.refusals.is_empty(), "{outcome:?}");
        Ok(outcome.took)
    }

    fn bind(&mut self, gateway: &str, port: u16) -> Result<SocketAddr> {
        let address = tools::free_address()?;
        self.settings.bindings.insert((key(gateway), port), address);
        Ok(address)
    }

    fn admin(&self) -> Admin {
        Admin::new(&self.target.admin)
    }
}

fn key(gateway: &str) -> ObjectKey {
    let (namespace, name) = gateway.split_once('/').unwrap_or(("default", gateway));
    ObjectKey::new(namespace, name)
}

/// A Gateway `infra/web` with an HTTP listener on port 80 and one route to one cluster.
fn model(cluster: &str, endpoints: &[SocketAddr]) -> Model {
    let listener = Listener { port: 80, protocol: Protocol::Http, hostname: None, certificates: vec![] };
    let gateway = Gateway { addresses: vec![], listeners: BTreeMap::from([("http".into(), listener)]) };
    let endpoints: BTreeSet<Endpoint> = endpoints
        .iter()
        .map(|address| Endpoint { host: address.ip().to_string(), port: address.port() })
        .collect();
    let backend = config::Backend { cluster: Some(cluster.into()), invalid: None, weight: 1 };
    let route = config::Route {
        kind: config::RouteKind::HttpRoute,
        namespace: "foo-ns".into(),
        name: "foo".into(),
        creation_timestamp: None,
        hostnames: vec![],
        rules: vec![config::Rule { backends: vec![backend], ..config::Rule::default() }],
    };
    Model {
        gateways: BTreeMap::from([(key("infra/web"), gateway)]),
        clusters: BTreeMap::from([(cluster.into(), Cluster { endpoints })]),
        certificates: BTreeMap::new(),
        filter_config: FilterConfig {
            version: config::VERSION,
            access_log: false,
            listeners: vec![config::Listener {
                name: "infra/web/http".into(),
                gateway: "infra/web".into(),
                port: 80,
                protocol: Protocol::Http,
                hostname: None,
                routes: vec![route],
            }],
        },
    }
}

#[tokio::test]
async fn a_model_becomes_live() -> Result<()> {
    let mut rig = Rig::start().await?;
    let address = rig.bind("infra/web", 80)?;
    let (one, two) = (Echo::start("one").await?, Echo::start("two").await?);
    let first = rig.live(&model("foo-ns/one/80", &[one.address])).await?;
    let answer = Request::get("foo.example.com", "/x").send(address).await?;
    assert_eq!((answer.status, answer.echoed()?.backend.as_str()), (200, "one"));

    let second = rig.live(&model("foo-ns/two/80", &[two.address])).await?;
    let answer = Request::get("foo.example.com", "/x").send(address).await?;
    assert_eq!((answer.status, answer.echoed()?.backend.as_str()), (200, "two"));
    println!("first configuration live in {first:?}, a new cluster and route in {second:?}");

    let same = rig.apply(&model("foo-ns/two/80", &[two.address])).await?;
    assert_eq!(same.state, State::Unchanged);
    assert!(rig.envoy.drain(LIMIT).await);
    Ok(())
}
