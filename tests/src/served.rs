//! One Envoy that serves many filter configs at once: the Gateways of each get a namespace of their own, and every
//! cluster that a rule names is an echo backend.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use gatewasm::model::{self, Model};
use gatewasm::object::ObjectKey;
use gatewasm::render::{ConfigSource, Settings, files, render};
use gatewasm::xds::agent::Target;
use gatewasm_routing::config::{FilterConfig, Listener, Protocol};
use gatewasm_routing::wire;
use tokio::net::TcpStream;

use crate::certificate::Certificate;
use crate::connection::Connection;
use crate::echo::Echo;
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
}

/// A name of the config with this number.
pub fn prefixed(number: usize, name: &str) -> String {
    format!("config-{number}-{name}")
}

impl Served {
    /// Starts it, with its files in `folder`.
    pub async fn start(configs: &[&FilterConfig], folder: &Path) -> Result<Self> {
        let names: BTreeSet<&String> = configs
            .iter()
            .flat_map(|config| &config.listeners)
            .flat_map(|listener| &listener.routes)
            .flat_map(|route| &route.rules)
            .flat_map(|rule| &rule.backends)
            .filter_map(|backend| backend.cluster.as_ref())
            .collect();
        let (mut echoes, mut clusters) = (Vec::new(), BTreeMap::new());
        for name in names {
            let echo = Echo::start(name).await?;
            let endpoint = model::Endpoint { host: echo.address.ip().to_string(), port: echo.address.port() };
            clusters.insert(
                name.clone(),
                model::Cluster { endpoints: BTreeSet::from([endpoint]), ..model::Cluster::default() },
            );
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
        // Held until all are chosen: none is chosen twice.
        let mut held = Vec::new();
        for (key, gateway) in &model.gateways {
            for listener in gateway.listeners.values() {
                let free = TcpListener::bind((own_address(), 0))?;
                bindings.insert((key.clone(), listener.port), free.local_addr()?);
                held.push(free);
            }
        }
        drop(held);
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
            ],
        )?;
        for address in settings.bindings.values() {
            let connects = async || Ok(TcpStream::connect(*address).await.map(|_| true)?);
            envoy.until(&format!("{address} to be served"), LIMIT, connects).await?;
        }
        Ok(Self { envoy, bindings: settings.bindings, certificate, _echoes: echoes })
    }

    /// A connection that comes in by the filter chain `entry` of the config with this number.
    pub async fn connect(&self, number: usize, config: &FilterConfig, entry: &str) -> Result<Connection> {
        let listener = config.listeners.iter().find(|listener| match listener.protocol {
            Protocol::Http => entry == wire::entry_of_port(&listener.gateway, listener.port),
            Protocol::Https => entry == listener.name,
        });
        let listener = listener.with_context(|| format!("no filter chain has the entry {entry:?}"))?;
        let key = key(&prefixed(number, &listener.gateway));
        let address = self.bindings.get(&(key, listener.port)).context("no such port")?;
        let server_name = (listener.protocol == Protocol::Https).then(|| server_name(listener));
        let tls = server_name.as_deref().map(|name| (name, self.certificate.chain.as_str()));
        Connection::open(*address, tls).await
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
        gateways: BTreeMap::new(),
        clusters,
        policies: BTreeMap::new(),
        certificates: BTreeMap::from([(secret.clone(), pair)]),
        filter_config: FilterConfig { access_log: true, ..FilterConfig::default() },
    };
    for (number, config) in configs.iter().enumerate() {
        for listener in &config.listeners {
            let tls = listener.protocol == Protocol::Https;
            let served = model::Listener {
                port: listener.port,
                protocol: listener.protocol,
                hostname: listener.hostname.clone(),
                certificates: tls.then(|| secret.clone()).into_iter().collect(),
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
