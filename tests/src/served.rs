//! One Envoy that serves many filter configs at once: the Gateways of each get a namespace of their own, every cluster
//! that a rule names is an echo backend, and every policy one that asks for nothing: what policies do is not in a filter
//! config. Of session keys it takes the first for all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gatewasm::model::{self, BackendProtocol, Model};
use gatewasm::object::ObjectKey;
use gatewasm::render::{ConfigSource, Settings, files, render};
use gatewasm::xds::agent::Target;
use gatewasm_routing::config::{FilterConfig, Listener, Protocol, Rule};
use gatewasm_routing::wire;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::certificate::Certificate;
use crate::connection::Connection;
use crate::echo::Echo;
use crate::exact::Tls;
use crate::process::Process;
use crate::tools;

const LIMIT: Duration = Duration::from_secs(60);

/// A running Envoy with its backends.
#[derive(Debug)]
pub struct Served {
    /// Envoy. Its output has a line for each request.
    pub envoy: Process,
    bindings: BTreeMap<(ObjectKey, u16), SocketAddr>,
    certificate: Certificate,
    _echoes: Vec<Echo>,
    _held: Vec<UdpSocket>,
}

/// The way into a Gateway by one of its filter chains, as a client sees it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `namespace/name`, as the config has it.
    pub gateway: String,
    /// The config's port, not the one that Envoy listens on.
    pub port: u16,
    /// SNI, on HTTPS.
    pub server_name: Option<String>,
}

/// A line of Envoy's access log; `null` where nothing was chosen.
#[derive(Clone, Debug, Deserialize)]
pub struct Logged {
    /// The address that the request came from.
    pub client: SocketAddr,
    /// The path as the filter saw it.
    pub path: String,
    /// The listener's name, [`prefixed`].
    pub listener: Option<String>,
    /// `HTTPRoute namespace/name`.
    pub route: Option<String>,
    /// The rule's index within its route.
    pub rule: Option<String>,
}

/// A name of the config with this number.
pub fn prefixed(number: usize, name: &str) -> String {
    format!("config-{number}-{name}")
}

impl Entry {
    /// The filter chain `entry` of this config.
    pub fn new(config: &FilterConfig, entry: &str) -> Result<Self> {
        let found = config.listeners.iter().find_map(|listener| {
            let server_name = match listener.protocol {
                Protocol::Http if entry == wire::entry_of_port(&listener.gateway, listener.port) => None,
                Protocol::Https if entry == listener.name => Some(server_name(listener)),
                _ => return None,
            };
            Some(Self { gateway: listener.gateway.clone(), port: listener.port, server_name })
        });
        found.with_context(|| format!("no filter chain has the entry {entry:?}"))
    }
}

impl Served {
    /// Starts it, with its files in `folder`.
    pub async fn start(configs: &[&FilterConfig], folder: &Path) -> Result<Self> {
        let names: BTreeSet<&String> = rules(configs)
            .flat_map(|rule| &rule.backends)
            .filter_map(|backend| backend.cluster.as_ref())
            .collect();
        let (mut echoes, mut clusters) = (Vec::new(), BTreeMap::new());
        for name in names {
            let echo = Echo::start(name).await?;
            let endpoint = model::Endpoint { host: echo.address.ip().to_string(), port: echo.address.port() };
            let protocol =
                if name.ends_with("/h2c") { BackendProtocol::Http2 } else { BackendProtocol::Http1 };
            let cluster = model::Cluster { endpoints: BTreeSet::from([endpoint]), protocol, tls: None };
            clusters.insert(name.clone(), cluster);
            echoes.push(echo);
        }
        let listeners = configs.iter().flat_map(|config| &config.listeners);
        let names: BTreeSet<String> =
            listeners.filter(|listener| listener.protocol == Protocol::Https).map(server_name).collect();
        let certificate = Certificate::self_signed(names)?;
        let model = merged(configs, clusters, &certificate);

        let filter_path = folder.join("gatewasm.wasm");
        std::fs::write(&filter_path, gatewasm::filter_binary::WASM)?;
        let mut bindings = BTreeMap::new();
        // Envoys share a port that two of them are given, so the namesake of UDP keeps it from others of this process.
        let mut held = Vec::new();
        for (key, gateway) in &model.gateways {
            for listener in gateway.listeners.values() {
                let (address, namesake) = free_address()?;
                bindings.insert((key.clone(), listener.port), address);
                held.push(namesake);
            }
        }
        let source = ConfigSource::Files(folder.to_owned());
        let settings = Settings { bindings, source, filter_path, access_log: true };
        let addresses = Target::in_folder(folder, 1).addresses();
        for (name, text) in files::files(&render(&model, &settings), &settings, &addresses)? {
            std::fs::write(folder.join(name), text)?;
        }
        let bootstrap = folder.join("bootstrap.yaml");
        let bootstrap = bootstrap.to_str().context("path")?;
        let envoy = Process::start(
            &tools::envoy()?,
            &[
                "--config-path",
                bootstrap,
                "--concurrency",
                "1",
                "--disable-hot-restart",
                "--log-level",
                "warning",
                // The access log is read while Envoy runs.
                "--file-flush-interval-msec",
                "20",
            ],
        )?;
        for address in settings.bindings.values() {
            let connects = async || Ok(TcpStream::connect(*address).await.map(|_| true)?);
            envoy.until(&format!("{address} to be served"), LIMIT, connects).await?;
        }
        Ok(Self { envoy, bindings: settings.bindings, certificate, _echoes: echoes, _held: held })
    }

    /// Where Envoy listens for this entry of the config with this number.
    pub fn address(&self, number: usize, entry: &Entry) -> Result<SocketAddr> {
        let key = key(&prefixed(number, &entry.gateway));
        self.bindings.get(&(key, entry.port)).copied().with_context(|| format!("{entry:?} is not served"))
    }

    /// How a client speaks TLS there, on HTTPS.
    pub fn tls<'a>(&'a self, entry: &'a Entry) -> Option<Tls<'a>> {
        let server_name = entry.server_name.as_ref()?;
        Some(Tls { server_name, root: &self.certificate.chain })
    }

    /// A connection that comes in by the filter chain `entry` of the config with this number.
    pub async fn connect(&self, number: usize, config: &FilterConfig, entry: &str) -> Result<Connection> {
        let entry = Entry::new(config, entry)?;
        Connection::open(self.address(number, &entry)?, self.tls(&entry)).await
    }
}

fn merged(
    configs: &[&FilterConfig],
    clusters: BTreeMap<String, model::Cluster>,
    certificate: &Certificate,
) -> Model {
    let secret = ObjectKey::new("infra", "certificate");
    let pair =
        model::Certificate { chain: certificate.chain.clone(), private_key: certificate.private_key.clone() };
    let mut merged = Model {
        clusters,
        policies: policies(configs),
        certificates: BTreeMap::from([(secret.clone(), pair)]),
        authorities: BTreeMap::new(),
        filter_config: FilterConfig {
            access_log: true,
            session_key: configs.iter().find_map(|config| config.session_key.clone()),
            ..FilterConfig::default()
        },
        ..Model::default()
    };
    for (number, config) in configs.iter().enumerate() {
        for listener in &config.listeners {
            let tls = listener.protocol == Protocol::Https;
            let served = model::Listener {
                port: listener.port,
                protocol: if tls { model::Protocol::Https } else { model::Protocol::Http },
                hostname: listener.hostname.clone(),
                certificates: tls.then(|| secret.clone()).into_iter().collect(),
                client_validation: None,
                http3: false,
                forwards: Vec::new(),
            };
            let listener = Listener {
                name: prefixed(number, &listener.name),
                gateway: prefixed(number, &listener.gateway),
                ..listener.clone()
            };
            let section = listener.name.rsplit('/').next().unwrap_or_default().to_owned();
            let gateway = merged
                .gateways
                .entry(key(&listener.gateway))
                .or_insert_with(|| model::Gateway { addresses: vec![], listeners: BTreeMap::new() });
            gateway.listeners.insert(section, served);
            merged.filter_config.listeners.push(listener);
        }
    }
    merged
}

fn rules<'a>(configs: &'a [&FilterConfig]) -> impl Iterator<Item = &'a Rule> {
    let listeners = configs.iter().flat_map(|config| &config.listeners);
    listeners.flat_map(|listener| &listener.routes).flat_map(|route| &route.rules)
}

/// The policies that rules and their backends name.
fn policies(configs: &[&FilterConfig]) -> BTreeMap<String, model::Policy> {
    let names = rules(configs).flat_map(|rule| {
        rule.policy.iter().chain(rule.backends.iter().filter_map(|backend| backend.policy.as_ref()))
    });
    names.map(|name| (name.clone(), model::Policy::default())).collect()
}

/// A free port of our own address, and the socket that keeps it so.
fn free_address() -> Result<(SocketAddr, UdpSocket)> {
    for _ in 0..100 {
        let address = TcpListener::bind((own_address(), 0))?.local_addr()?;
        if let Ok(namesake) = UdpSocket::bind(address) {
            return Ok((address, namesake));
        }
    }
    bail!("no port of {} is free", own_address())
}

/// An address of the loopback network that no other process uses: of this many ports, one that was free a moment ago is
/// soon somebody else's on 127.0.0.1.
fn own_address() -> Ipv4Addr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, a | 64, b, c)
}

fn key(gateway: &str) -> ObjectKey {
    let (namespace, name) = gateway.split_once('/').unwrap_or_default();
    ObjectKey::new(namespace, name)
}

/// A server name that leads to this listener and to no more specific one, as long as no hostname begins like it.
fn server_name(listener: &Listener) -> String {
    match listener.hostname.as_deref().map(|hostname| (hostname, hostname.strip_prefix('*'))) {
        None => "for-every-host.invalid".to_owned(),
        Some((_, Some(suffix))) => format!("for-the-wildcard{suffix}"),
        Some((hostname, None)) => hostname.to_owned(),
    }
}
