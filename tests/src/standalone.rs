//! The Filter way as a test runs it: stock Envoy with the files of `envoy/`, on ports that are free, the routes in a
//! folder that looks like a mounted ConfigMap, and echo backends behind the clusters.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewasm::envoy::admin::Admin;
use gatewasm::filter_binary;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::client::{Answer, Request};
use crate::echo::Echo;
use crate::mount::Mount;
use crate::process::Process;
use crate::tools;

/// Longest wait for anything that Envoy does by itself.
const LIMIT: Duration = Duration::from_secs(30);

const ROUTES: &str = "routes.yaml";

/// The two files of `envoy/`, to be changed before they are used.
#[derive(Clone, Debug)]
pub struct Files {
    /// `bootstrap.yaml`.
    pub bootstrap: Value,
    /// `routes.yaml`.
    pub routes: Value,
}

impl Files {
    /// As they stand in the repository.
    pub fn read() -> Result<Self> {
        let folder = tools::repository().join("envoy");
        Ok(Self { bootstrap: read(&folder.join("bootstrap.yaml"))?, routes: read(&folder.join(ROUTES))? })
    }

    /// The filter config within `routes.yaml`, as text.
    pub fn config(&self) -> Result<&str> {
        self.routes["resources"][0]["typed_config"]["config"]["configuration"]["value"]
            .as_str()
            .context("routes.yaml holds no filter config")
    }

    /// The listener `name` of the bootstrap.
    pub fn listener(&mut self, name: &str) -> Result<&mut Value> {
        self.bootstrap["static_resources"]["listeners"]
            .as_array_mut()
            .and_then(|listeners| listeners.iter_mut().find(|listener| listener["name"] == name))
            .with_context(|| format!("bootstrap.yaml has no listener {name}"))
    }

    /// The HTTP connection manager of the listener `name`.
    pub fn connection_manager(&mut self, name: &str) -> Result<&mut Value> {
        Ok(&mut self.listener(name)?["filter_chains"][0]["filters"][0]["typed_config"])
    }
}

/// Reads a YAML file.
pub fn read(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("parse {}", path.display()))
}

/// `routes.yaml` with `config` as its filter config.
pub fn routes_with(routes: &Value, config: &str) -> Vec<u8> {
    let mut routes = routes.clone();
    routes["resources"][0]["typed_config"]["config"]["configuration"]["value"] = json!(config);
    // JSON is YAML.
    routes.to_string().into_bytes()
}

/// A running Envoy. It ends when dropped.
#[derive(Debug)]
pub struct Standalone {
    /// Where the gateway listens.
    pub http: SocketAddr,
    /// Where the filter answers probes.
    pub probe: SocketAddr,
    /// Envoy's admin interface.
    pub admin: Admin,
    /// The backends, by cluster.
    pub backends: BTreeMap<String, Echo>,
    /// The process.
    pub envoy: Process,
    /// Its files.
    pub folder: TempDir,
    workers: usize,
    routes: Value,
    mount: Mount,
}

/// What the probe answers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probed {
    /// SHA-256 of the configuration.
    pub config: String,
    /// The VM.
    pub vm: String,
}

impl Standalone {
    /// Starts Envoy with `workers` workers and waits until it serves.
    pub async fn start(mut files: Files, workers: usize) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("admin.sock");
        let backends = prepare(&mut files, &socket).await?;
        fs::create_dir(folder.path().join("envoy"))?;
        fs::write(folder.path().join("envoy/gatewasm.wasm"), filter_binary::WASM)?;
        fs::write(folder.path().join("bootstrap.json"), files.bootstrap.to_string())?;
        let mount =
            Mount::new(&folder.path().join("routes"), &[(ROUTES, files.routes.to_string().as_bytes())])?;

        let mut command = Command::new(tools::envoy()?);
        command.current_dir(folder.path()).args(["--disable-hot-restart", "-c", "bootstrap.json"]);
        command.args(["--concurrency", &workers.to_string()]);
        let envoy = Process::spawn(command)?;
        let admin = Admin::new(&socket);
        let (http, probe) = addresses(&admin, &envoy).await?;
        Ok(Self { http, probe, admin, backends, envoy, folder, workers, routes: files.routes, mount })
    }

    /// Starts Envoy with the files as they are and two workers.
    pub async fn start_as_it_stands() -> Result<Self> {
        Self::start(Files::read()?, 2).await
    }

    /// Sends a request to the gateway.
    pub async fn send(&self, request: &Request) -> Result<Answer> {
        request.send(self.http).await
    }

    /// Replaces the filter config, as a new version of the ConfigMap does. See [`Standalone::swap`].
    pub async fn publish(&mut self, config: &str) -> Result<()> {
        self.swap(&routes_with(&self.routes, config)).await
    }

    /// Replaces the whole of `routes.yaml`, and waits until Envoy has read it and told its workers, or has refused it.
    pub async fn swap(&mut self, routes: &[u8]) -> Result<()> {
        let before = self.updates("update_(success|rejected|failure)").await?;
        self.mount.swap(&[(ROUTES, routes)])?;
        let read = async || Ok(self.updates("update_(success|rejected|failure)").await? != before);
        self.envoy.until("the file to be read", LIMIT, read).await
    }

    /// What each worker answers to a probe, over as many connections, open at the same time; in the order of the VMs' ids.
    pub async fn probe(&self) -> Result<Vec<Probed>> {
        let mut connections = Vec::new();
        for _ in 0..self.workers {
            let stream = TcpStream::connect(self.probe).await?;
            let (sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await?;
            connections.push((sender, tokio::spawn(connection)));
        }
        let mut answers = Vec::new();
        for (sender, _) in &mut connections {
            let request = hyper::Request::builder().uri("/").header("host", "probe").body(Empty::new())?;
            let (parts, body) = sender.send_request(request).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            ensure!(parts.status == 200, "status {}: {}", parts.status, String::from_utf8_lossy(&body));
            answers.push(serde_json::from_slice(&body)?);
        }
        for (_, connection) in connections {
            connection.abort();
        }
        answers.sort_by_key(|answer: &Probed| answer.vm.clone());
        Ok(answers)
    }

    /// Waits until every worker runs another configuration than `before`, and says which.
    pub async fn wait_for_another_config(&self, before: &str) -> Result<String> {
        let everywhere = async || {
            let answers = self.probe().await?;
            let first = answers.first().context("no worker")?.config.clone();
            anyhow::Ok((first != before && answers.iter().all(|it| it.config == first)).then_some(first))
        };
        let done = async || Ok(everywhere().await?.is_some());
        self.envoy.until("another configuration on every worker", LIMIT, done).await?;
        everywhere().await?.context("the configuration has changed again")
    }

    /// How many updates of the routes were refused so far: by the filter or, where they could not be read, by Envoy.
    pub async fn refused(&self) -> Result<u64> {
        self.updates("update_(rejected|failure)").await
    }

    async fn updates(&self, counters: &str) -> Result<u64> {
        self.admin.sum(&format!("extension_config_discovery.http_filter.gatewasm.{counters}")).await
    }
}

/// Free ports instead of those in the file, backends behind the clusters, the routes from the mounted folder.
async fn prepare(files: &mut Files, admin: &Path) -> Result<BTreeMap<String, Echo>> {
    files.bootstrap["admin"]["address"] = json!({"pipe": {"path": admin}});
    for name in ["http", "probe"] {
        files.listener(name)?["address"]["socket_address"] = json!({"address": "127.0.0.1", "port_value": 0});
        files.connection_manager(name)?["http_filters"][0]["config_discovery"]["config_source"]["path_config_source"] =
            json!({"path": format!("routes/{ROUTES}"), "watched_directory": {"path": "routes"}});
    }
    let mut backends = BTreeMap::new();
    let clusters = files.bootstrap["static_resources"]["clusters"].as_array_mut().context("clusters")?;
    for cluster in clusters {
        let name = cluster["name"].as_str().context("name of a cluster")?.to_owned();
        // namespace/service/port
        let backend = Echo::start(name.split('/').nth(1).unwrap_or(&name)).await?;
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
            ["port_value"] = json!(backend.address.port());
        backends.insert(name, backend);
    }
    Ok(backends)
}

/// Where Envoy listens for requests and for probes, once it does.
async fn addresses(admin: &Admin, envoy: &Process) -> Result<(SocketAddr, SocketAddr)> {
    envoy.until("Envoy to serve", LIMIT, async || Ok(admin.is_live().await)).await?;
    let listeners = admin.get("/listeners").await?;
    let address = |name: &str| -> Result<SocketAddr> {
        let line = listeners.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("::"));
        Ok(line.with_context(|| format!("no listener {name} in {listeners}"))?.parse()?)
    };
    Ok((address("http")?, address("probe")?))
}

/// SHA-256 in hexadecimal, as the probe answers it.
pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
