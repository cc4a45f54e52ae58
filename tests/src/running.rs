//! `gatewasm run` as a test runs it: manifests in a folder of its own, a ready file, and nothing left behind.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::process::Process;
use crate::tools;

/// Longest wait for anything that has to happen.
const LIMIT: Duration = Duration::from_secs(60);

/// A gateway on this machine.
#[derive(Debug)]
pub struct Running {
    /// The program.
    pub process: Process,
    work: TempDir,
}

impl Running {
    /// Starts it with these manifests, by file name, and waits until it is ready.
    pub async fn start(manifests: &[(&str, Vec<Value>)], arguments: &[&str]) -> Result<Self> {
        let running = Self::launch(Command::new(tools::gatewasm()?), manifests, arguments)?;
        running.until_ready().await?;
        Ok(running)
    }

    /// Starts it with a copy of the files in `folder`, and waits until it is ready.
    pub async fn start_with_copy_of(folder: &Path, arguments: &[&str]) -> Result<Self> {
        let work = work()?;
        for file in fs::read_dir(folder)? {
            let file = file?;
            if file.file_type()?.is_file() {
                fs::copy(file.path(), work.path().join("manifests").join(file.file_name()))?;
            }
        }
        let running = Self::spawn(Command::new(tools::gatewasm()?), work, arguments)?;
        running.until_ready().await?;
        Ok(running)
    }

    /// Starts it by `command`, which ends with the program or a wrapper of it, without waiting. It gets the tests'
    /// Envoy, unless `command` sets `ENVOY_PATH`.
    pub fn launch(command: Command, manifests: &[(&str, Vec<Value>)], arguments: &[&str]) -> Result<Self> {
        let work = work()?;
        for (name, objects) in manifests {
            write(&work.path().join("manifests"), name, &documents(objects)?)?;
        }
        Self::spawn(command, work, arguments)
    }

    fn spawn(mut command: Command, work: TempDir, arguments: &[&str]) -> Result<Self> {
        if command.as_std().get_envs().all(|(name, _)| name != "ENVOY_PATH") {
            command.env("ENVOY_PATH", tools::envoy()?);
        }
        command
            .env("TMPDIR", work.path().join("temporary"))
            .args(["run", "--concurrency", "2", "-f"])
            .arg(work.path().join("manifests"))
            .arg("--ready-file")
            .arg(work.path().join("ready.json"))
            .args(arguments);
        Ok(Self { process: Process::spawn(command)?, work })
    }

    /// Waits until everything is in effect.
    pub async fn until_ready(&self) -> Result<()> {
        self.until("the ready file", async || Ok(self.ready().exists())).await
    }

    /// The folder of manifests that it follows.
    pub fn manifests(&self) -> PathBuf {
        self.work.path().join("manifests")
    }

    /// The ready file.
    pub fn ready(&self) -> PathBuf {
        self.work.path().join("ready.json")
    }

    /// The folder that the program takes for the system's temporary one.
    pub fn temporary(&self) -> PathBuf {
        self.work.path().join("temporary")
    }

    /// A Unix socket of the program or its Envoy.
    pub fn socket(&self, name: &str) -> Result<PathBuf> {
        for folder in fs::read_dir(self.temporary())? {
            let socket = folder?.path().join(name);
            if socket.exists() {
                return Ok(socket);
            }
        }
        anyhow::bail!("there is no {name} in {}", self.temporary().display())
    }

    /// Replaces a file of manifests, as editors do.
    pub fn write(&self, name: &str, objects: &[Value]) -> Result<()> {
        self.write_text(name, &documents(objects)?)
    }

    /// Replaces a file of manifests by any text.
    pub fn write_text(&self, name: &str, text: &str) -> Result<()> {
        write(&self.manifests(), name, text)
    }

    /// Where a listener of a Gateway is, according to the ready file.
    pub fn address(&self, gateway: &str, listener: &str) -> Result<SocketAddr> {
        let ready: Value = serde_json::from_slice(&fs::read(self.ready())?)?;
        let wanted = |it: &&Value| {
            it["listener"] == listener
                && it["namespace"].as_str().zip(it["name"].as_str()).map(|(a, b)| format!("{a}/{b}"))
                    == Some(gateway.to_owned())
        };
        let found = ready["listeners"].as_array().and_then(|all| all.iter().find(wanted));
        let found = found.with_context(|| format!("listener {gateway} {listener} in {ready}"))?;
        let ip = found["address"].as_str().context("address")?.parse()?;
        Ok(SocketAddr::new(ip, u16::try_from(found["port"].as_u64().context("port")?)?))
    }

    /// Waits until something holds.
    pub async fn until<F: Future<Output = Result<bool>>>(
        &self,
        what: &str,
        done: impl Fn() -> F,
    ) -> Result<()> {
        self.process.until(what, LIMIT, done).await
    }

    /// Waits until it has printed `text`. What it says may arrive after what it does.
    pub async fn until_printed(&self, text: &str) -> Result<()> {
        self.process.until_printed(text, LIMIT).await
    }

    /// The process ids of the Envoys that it started.
    pub fn envoys(&self) -> Result<Vec<i32>> {
        let parent = self.process.id()?;
        let mut children = Vec::new();
        for task in fs::read_dir(format!("/proc/{parent}/task"))? {
            let ids = fs::read_to_string(task?.path().join("children"))?;
            children.extend(ids.split_whitespace().filter_map(|id| id.parse::<i32>().ok()));
        }
        Ok(children)
    }

    /// Asks it to end, and holds it to: exit 0, no Envoy, no temporary folder, no ready file.
    pub async fn stop(mut self) -> Result<()> {
        let envoys = self.envoys()?;
        ensure!(!envoys.is_empty(), "it runs no Envoy");
        self.process.signal(Signal::TERM)?;
        let status = self.process.wait(LIMIT).await?;
        ensure!(status.success(), "ended with {status}; printed:\n{}", self.process.output());
        ensure!(
            envoys.iter().all(|id| !exists(*id)),
            "an Envoy is left; printed:\n{}",
            self.process.output()
        );
        let left: Vec<_> = fs::read_dir(self.temporary())?.collect();
        ensure!(left.is_empty(), "left in the temporary folder: {left:?}");
        ensure!(!self.ready().exists(), "the ready file is left");
        Ok(())
    }
}

/// A folder with one for the manifests, and one that the program takes for the system's temporary one.
fn work() -> Result<TempDir> {
    let work = tempfile::tempdir()?;
    for folder in ["manifests", "temporary"] {
        fs::create_dir(work.path().join(folder))?;
    }
    Ok(work)
}

/// Whether a process exists.
pub fn exists(id: i32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

/// Our GatewayClass.
pub fn class() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "gatewasm"},
        "spec": {"controllerName": "gatewasm.dev/controller"},
    })
}

/// A Gateway in the namespace `infra`, open to routes of all namespaces.
pub fn gateway(name: &str, listeners: &[Value]) -> Value {
    let mut listeners = listeners.to_vec();
    for listener in &mut listeners {
        listener["allowedRoutes"] = json!({"namespaces": {"from": "All"}});
    }
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": "infra"},
        "spec": {"gatewayClassName": "gatewasm", "listeners": listeners},
    })
}

/// An HTTP listener for every host.
pub fn http(name: &str, port: u16) -> Value {
    json!({"name": name, "port": port, "protocol": "HTTP"})
}

/// An HTTPRoute in the namespace `default` that sends everything to port 80 of a Service.
pub fn route(name: &str, gateways: &[&str], service: &str) -> Value {
    let parents: Vec<Value> =
        gateways.iter().map(|name| json!({"namespace": "infra", "name": name})).collect();
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"parentRefs": parents, "rules": [{"backendRefs": [{"name": service, "port": 80}]}]},
    })
}

/// A Service in the namespace `default` with port 80, and an EndpointSlice with these endpoints.
pub fn service(name: &str, endpoints: &[SocketAddr]) -> Vec<Value> {
    let mut objects = vec![json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    })];
    // A slice has one set of ports for all its endpoints.
    for (index, endpoint) in endpoints.iter().enumerate() {
        objects.push(json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{name}-{index}"),
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": endpoint.port()}],
            "endpoints": [{"addresses": [endpoint.ip().to_string()]}],
        }));
    }
    objects
}

fn documents(objects: &[Value]) -> Result<String> {
    let mut text = String::new();
    for object in objects {
        text += "---\n";
        text += &serde_saphyr::to_string(object)?;
    }
    Ok(text)
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let new = folder.join(format!(".{name}.new"));
    fs::write(&new, text)?;
    Ok(fs::rename(new, folder.join(name))?)
}
