//! From the model to a real Envoy: what `render` writes is what Envoy takes, and what `xds` calls live is live.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewasm::envoy::admin::Admin;
use gatewasm::envoy::process::Launch;
use gatewasm::envoy::supervisor::Supervisor;
use gatewasm::model::{self, Cluster, Endpoint, Gateway, Listener, Model};
use gatewasm::object::ObjectKey;
use gatewasm::render::bootstrap::bootstrap;
use gatewasm::render::files::files;
use gatewasm::render::{ConfigSource, Settings, render, yaml};
use gatewasm::xds::agent::{Agent, Outcome, State, Target};
use gatewasm::xds::kind::Kind;
use gatewasm_routing::config::{self, FilterConfig, Protocol};
use gatewasm_routing::wire;
use gatewasm_tests::client::Request;
use gatewasm_tests::echo::Echo;
use gatewasm_tests::tools;
use gatewasm_tests::until::until;
use gatewasm_tests::validate::validate;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LIMIT: Duration = Duration::from_secs(30);

/// An Envoy with its agent, and what they are told.
struct Rig {
    envoy: Supervisor,
    agent: Agent,
    target: Target,
    settings: Settings,
    _folder: TempDir,
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
        let path = folder.path().join("bootstrap.yaml");
        std::fs::write(&path, yaml(&bootstrap(&settings, &target.addresses()))?)?;
        let agent = Agent::with_linger(&target, Duration::from_secs(1))?;
        let launch = Launch { binary: tools::envoy()?, bootstrap: path, workers: 2 };
        let envoy = Supervisor::start(launch, Admin::new(&target.admin)).await?;
        Ok(Self { _folder: folder, target, settings, agent, envoy })
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

    async fn clusters(&self) -> Result<u64> {
        Admin::new(&self.target.admin).sum("cluster_manager.active_clusters").await
    }
}

fn key(gateway: &str) -> ObjectKey {
    let (namespace, name) = gateway.split_once('/').unwrap_or(("default", gateway));
    ObjectKey::new(namespace, name)
}

/// A Gateway `infra/web` with an HTTP listener on port 80 and one route to one cluster.
fn model(cluster: &str, endpoints: &[SocketAddr]) -> Model {
    let listener = Listener {
        port: 80,
        protocol: model::Protocol::Http,
        hostname: None,
        certificates: vec![],
        client_validation: None,
        http3: false,
        forwards: vec![],
    };
    let gateway = Gateway { addresses: vec![], listeners: BTreeMap::from([("http".into(), listener)]) };
    let endpoints: BTreeSet<Endpoint> = endpoints
        .iter()
        .map(|address| Endpoint { host: address.ip().to_string(), port: address.port() })
        .collect();
    let backend = config::Backend { cluster: Some(cluster.into()), ..config::Backend::default() };
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
        clusters: BTreeMap::from([(cluster.into(), Cluster { endpoints, ..Cluster::default() })]),
        filter_config: FilterConfig {
            listeners: vec![config::Listener {
                name: "infra/web/http".into(),
                gateway: "infra/web".into(),
                port: 80,
                protocol: Protocol::Http,
                hostname: None,
                alt_svc: None,
                routes: vec![route],
            }],
            ..FilterConfig::default()
        },
        ..Model::default()
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

#[tokio::test]
async fn a_response_may_take_longer_than_envoys_default_timeout() -> Result<()> {
    let mut rig = Rig::start().await?;
    let address = rig.bind("infra/web", 80)?;
    let one = Echo::start("one").await?;
    rig.live(&model("foo-ns/one/80", &[one.address])).await?;
    // Envoy's own route timeout is 15 s.
    let answer = Request::get("foo.example.com", "/x?delay=17000").send(address).await?;
    assert_eq!(answer.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_cluster_that_nothing_names_any_more_lingers_and_goes() -> Result<()> {
    let mut rig = Rig::start().await?;
    rig.bind("infra/web", 80)?;
    let one = Echo::start("one").await?;
    rig.live(&model("foo-ns/one/80", &[one.address])).await?;
    let fixed = rig.clusters().await? - 1;
    assert_eq!(rig.agent.next_sweep(), None);
    rig.live(&model("foo-ns/two/80", &[one.address])).await?;
    assert_eq!(rig.clusters().await?, fixed + 2);
    let due = rig.agent.next_sweep().context("nothing lingers")?;

    // One that comes back is not swept.
    rig.live(&model("foo-ns/one/80", &[one.address])).await?;
    tokio::time::sleep_until(due).await;
    rig.agent.sweep();
    assert_eq!(rig.clusters().await?, fixed + 2);

    tokio::time::sleep_until(rig.agent.next_sweep().context("nothing lingers")?).await;
    rig.agent.sweep();
    until("the cluster to go", LIMIT, async || Ok(rig.clusters().await? == fixed + 1)).await?;
    assert_eq!(rig.agent.next_sweep(), None);
    Ok(())
}

#[tokio::test]
async fn a_listener_that_envoy_refuses_leaves_the_others_in_effect() -> Result<()> {
    let mut rig = Rig::start().await?;
    let address = rig.bind("infra/web", 80)?;
    let one = Echo::start("one").await?;
    rig.live(&model("foo-ns/one/80", &[one.address])).await?;

    let used = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    rig.settings.bindings.insert((key("infra/web"), 81), used.local_addr()?);
    let mut both = model("foo-ns/one/80", &[one.address]);
    let listeners = &mut both.gateways.get_mut(&key("infra/web")).context("Gateway")?.listeners;
    listeners.insert("more".into(), Listener { port: 81, ..listeners["http"].clone() });
    let outcome = rig.apply(&both).await?;
    let [(Kind::Listener, message)] = outcome.refusals.as_slice() else { anyhow::bail!("{outcome:?}") };
    assert!(message.contains("infra/web:81"), "{message}");
    assert_eq!(outcome.state, State::Live);
    assert_eq!(Request::get("foo.example.com", "/").send(address).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_filter_config_that_the_filter_refuses_leaves_the_old_one_in_effect() -> Result<()> {
    let mut rig = Rig::start().await?;
    let address = rig.bind("infra/web", 80)?;
    let (one, two) = (Echo::start("one").await?, Echo::start("two").await?);
    rig.live(&model("foo-ns/one/80", &[one.address])).await?;

    let mut bad = model("foo-ns/two/80", &[two.address]);
    bad.filter_config.version = 2;
    for _ in 0..2 {
        let outcome = rig.apply(&bad).await?;
        let [(Kind::Extension, message)] = outcome.refusals.as_slice() else { anyhow::bail!("{outcome:?}") };
        assert!(message.contains("gatewasm"), "{message}");
        let answer = Request::get("foo.example.com", "/").send(address).await?;
        assert_eq!(answer.echoed()?.backend, "one");
    }
    // Envoy remembers a refused configuration, and would refuse a new listener for it.
    rig.bind("infra/web", 81)?;
    let mut good = model("foo-ns/two/80", &[two.address]);
    let listeners = &mut good.gateways.get_mut(&key("infra/web")).context("Gateway")?.listeners;
    listeners.insert("more".into(), Listener { port: 81, ..listeners["http"].clone() });
    rig.live(&good).await?;
    let answer = Request::get("foo.example.com", "/").send(address).await?;
    assert_eq!(answer.echoed()?.backend, "two");
    Ok(())
}

#[tokio::test]
async fn an_unknown_cluster_answers_500() -> Result<()> {
    let mut rig = Rig::start().await?;
    let address = rig.bind("infra/web", 80)?;
    let mut without = model("foo-ns/one/80", &[]);
    without.clusters.clear();
    rig.live(&without).await?;
    assert_eq!(Request::get("foo.example.com", "/").send(address).await?.status, 500);
    Ok(())
}

/// A client cannot name a policy, and so far the filter names none. So the rule that strips the header is taken out
/// of the listener here, and the client plays the filter.
#[tokio::test]
async fn an_unknown_policy_answers_500_and_is_never_served_without_it() -> Result<()> {
    let mut rig = Rig::start().await?;
    let address = rig.bind("infra/web", 80)?;
    let one = Echo::start("one").await?;
    let mut resources = render(&model("foo-ns/one/80", &[one.address]), &rig.settings);
    let mut listener = resources.listeners.get("infra/web:80").context("listener")?.value();
    let stripped = listener
        .pointer_mut(
            "/filter_chains/0/filters/0/typed_config/early_header_mutation_extensions/0/typed_config/mutations/0/remove_on_match/key_matcher/prefix",
        )
        .context("the rule that strips")?;
    assert_eq!(*stripped, wire::PREFIX);
    *stripped = "x-gw-nothing".into();
    resources.listeners.insert("infra/web:80".to_owned(), listener.into());
    let outcome = rig.agent.apply(&resources, LIMIT).await?;
    assert_eq!(outcome.state, State::Live);
    let request = Request::get("foo.example.com", "/");
    assert_eq!(request.send(address).await?.status, 200);
    assert_eq!(request.clone().header(wire::POLICY, "p-unknown").send(address).await?.status, 500);
    let known = request.header(wire::POLICY, "none").send(address).await?;
    assert_eq!(known.status, 200);
    assert!(!known.echoed()?.headers.contains_key(wire::POLICY));
    Ok(())
}

/// Accepts one connection, switches protocols, and sends back every byte.
async fn web_socket(listener: TcpListener) -> Result<()> {
    let (mut stream, _) = listener.accept().await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    stream
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await?;
    loop {
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
    }
}

#[tokio::test]
async fn web_sockets_pass_and_outlive_changes() -> Result<()> {
    let mut rig = Rig::start().await?;
    let address = rig.bind("infra/web", 80)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let backend = listener.local_addr()?;
    tokio::spawn(web_socket(listener));
    rig.live(&model("foo-ns/one/80", &[backend])).await?;

    let mut stream = TcpStream::connect(address).await?;
    let request =
        "GET /chat HTTP/1.1\r\nhost: foo.example.com\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(LIMIT, stream.read_u8()).await??);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    for change in 0..3 {
        stream.write_u8(change).await?;
        assert_eq!(tokio::time::timeout(LIMIT, stream.read_u8()).await??, change);
        rig.live(&model(&format!("foo-ns/other-{change}/80"), &[backend])).await?;
    }
    // The cluster that it goes through is removed.
    let clusters = rig.clusters().await?;
    while let Some(due) = rig.agent.next_sweep() {
        tokio::time::sleep_until(due).await;
        rig.agent.sweep();
    }
    until("the clusters to go", LIMIT, async || Ok(rig.clusters().await? == clusters - 3)).await?;
    stream.write_u8(9).await?;
    assert_eq!(tokio::time::timeout(LIMIT, stream.read_u8()).await??, 9);
    Ok(())
}

#[test]
fn what_is_rendered_is_valid_and_what_is_not_is_noticed() -> Result<()> {
    let mut valid = model("foo-ns/one/80", &["127.0.0.1:8080".parse()?]);
    let named = Endpoint { host: "localhost".into(), port: 80 };
    valid
        .clusters
        .insert("a/named/80".into(), Cluster { endpoints: [named.clone()].into(), ..Cluster::default() });
    let other = Endpoint { host: "127.0.0.2".into(), port: 80 };
    valid
        .clusters
        .insert("a/mixed/80".into(), Cluster { endpoints: [named, other].into(), ..Cluster::default() });
    valid.clusters.insert("a/none/80".into(), Cluster::default());
    validate(&valid)?;
    valid.clusters.insert(String::new(), Cluster::default());
    assert!(validate(&valid).is_err());
    Ok(())
}

#[tokio::test]
async fn rendered_files_run_without_us_and_are_followed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("gatewasm.wasm"), gatewasm::filter_binary::WASM)?;
    let address = tools::free_address()?;
    let settings = Settings {
        bindings: BTreeMap::from([((key("infra/web"), 80), address)]),
        source: ConfigSource::Files(folder.path().to_owned()),
        filter_path: at("gatewasm.wasm"),
        access_log: false,
    };
    let target = Target::in_folder(folder.path(), 1);
    let (one, two) = (Echo::start("one").await?, Echo::start("two").await?);
    // Both clusters from the beginning; only the route changes.
    let model = |cluster: &str| {
        let mut all = model(cluster, &[one.address]);
        all.clusters.extend(model("foo-ns/one/80", &[one.address]).clusters);
        all.clusters.extend(model("foo-ns/two/80", &[two.address]).clusters);
        all
    };
    let write = |cluster: &str, only: Option<&str>| -> Result<()> {
        let resources = render(&model(cluster), &settings);
        for (name, text) in files(&resources, &settings, &target.addresses())? {
            if only.is_none_or(|only| only == name) {
                std::fs::write(at("new"), text)?;
                std::fs::rename(at("new"), at(&name))?;
            }
        }
        Ok(())
    };
    write("foo-ns/one/80", None)?;
    let launch = Launch { binary: tools::envoy()?, bootstrap: at("bootstrap.yaml"), workers: target.workers };
    let envoy = Supervisor::start(launch, Admin::new(&target.admin)).await?;
    let answers = async |wanted: &str| -> Result<()> {
        let answered = async || {
            Ok(Request::get("foo.example.com", "/").send(address).await?.echoed()?.backend == wanted)
        };
        until(&format!("an answer of {wanted}"), LIMIT, answered).await
    };
    answers("one").await?;
    write("foo-ns/two/80", Some("routes.yaml"))?;
    answers("two").await?;
    assert!(envoy.drain(LIMIT).await);
    Ok(())
}
