//! A pod of a data plane on this machine: `gatewasm agent` with a real Envoy beside it, and the bundle in a folder that
//! changes as the kubelet changes it. There is no API server.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewasm::agent::{Answer, InEffect};
use gatewasm::bundle::{Bundle, Manifest};
use gatewasm::envoy::admin::Admin;
use gatewasm::object::ObjectKey;
use gatewasm::render::{ConfigSource, Settings, render};
use gatewasm::source::{Input, Source};
use gatewasm::translate::{Options, translate};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::client::{self, Request};
use crate::mount::Mount;
use crate::process::Process;
use crate::tools;
use crate::until::until;

/// Longest wait for anything that has to happen.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The Gateway that pods serve.
const NAMESPACE: &str = "infra";
const NAME: &str = "web";

/// The files that a bundle is mounted as.
pub type Files = BTreeMap<String, String>;

/// The bundle of the Gateway `infra/web`, with its ports on 127.0.0.1.
pub fn bundle(objects: &[Value]) -> Result<Bundle> {
    let documents: Vec<String> = objects.iter().map(ToString::to_string).collect();
    // JSON is YAML.
    let input = Input { path: "manifests.yaml".to_owned(), text: Ok(documents.join("\n---\n")) };
    let loaded = Source::default().update(&[input]);
    ensure!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    let options = Options { local: true, access_log: true, ..Options::default() };
    let translation = translate(&loaded.snapshot, &options);
    ensure!(translation.problems.is_empty(), "{:?}", translation.problems);
    let key = ObjectKey::new(NAMESPACE, NAME);
    let model = translation.model.only(&key);
    let listeners = model.gateways.get(&key).context("the Gateway is not accepted")?.listeners.values();
    let bindings = listeners
        .map(|listener| ((key.clone(), listener.port), (Ipv4Addr::LOCALHOST, listener.port).into()))
        .collect();
    // The agent says where the filter is.
    let settings = Settings { bindings, source: ConfigSource::Ads, filter_path: "".into(), access_log: true };
    Ok(Bundle::of(&render(&model, &settings))?)
}

/// The files of a bundle as number `counter`.
pub fn files(bundle: &Bundle, counter: u64) -> Files {
    let manifest = bundle.manifest(&format!("{NAMESPACE}/{NAME}"), counter).text();
    let parts = bundle.parts().iter().map(|(name, text)| (name.file(), text.to_string()));
    parts.chain([(Manifest::FILE.to_owned(), manifest)]).collect()
}

/// Asks the agent that answers on `report` about its bundle; where the asker knows one, about the next.
pub async fn ask(report: SocketAddr, known: Option<InEffect>) -> Result<Answer> {
    let path = match known {
        Some(InEffect { hash, counter, .. }) => format!("/bundle?known={hash}&counter={counter}"),
        None => "/bundle".to_owned(),
    };
    let answer = Request::get("agent", &path).send(report).await?;
    ensure!(answer.status == 200, "status {}: {}", answer.status, answer.text());
    Ok(serde_json::from_slice(&answer.body)?)
}

/// The pod. Its containers end when it is dropped.
#[derive(Debug)]
pub struct Pod {
    /// The container of the agent, when it runs.
    pub agent: Option<Process>,
    /// The container of Envoy, when it runs.
    pub envoy: Option<Process>,
    /// Where the agent is asked.
    pub report: SocketAddr,
    mount: Mount,
    folder: TempDir,
}

impl Pod {
    /// Does what the kubelet does: lays down the filter, starts the agent, and Envoy once the agent has started.
    pub async fn start(files: &Files) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for name in ["run", "state"] {
            std::fs::create_dir(folder.path().join(name))?;
        }
        let mount = Mount::new(&folder.path().join("bundle"), &listed(files))?;
        let mut pod = Self { agent: None, envoy: None, report: tools::free_address()?, mount, folder };
        let filter = pod.path("run/gatewasm.wasm")?;
        let mut init = Process::start(&tools::gatewasm()?, &["filter", "-o", &filter])?;
        ensure!(init.wait(LIMIT).await?.success(), "{}", init.output());
        pod.start_agent().await?;
        pod.start_envoy()?;
        Ok(pod)
    }

    /// As [`Pod::start`], and waits until it is ready.
    pub async fn ready(files: &Files) -> Result<Self> {
        let pod = Self::start(files).await?;
        pod.until_ready().await?;
        Ok(pod)
    }

    /// Starts the agent and waits for its startup probe.
    pub async fn start_agent(&mut self) -> Result<()> {
        let mut command = Command::new(tools::gatewasm()?);
        command.args(["agent", "--source", "mount", "--namespace", NAMESPACE]);
        command.args(["--name", &format!("gatewasm-{NAME}"), "--concurrency", "2", "--drain-delay", "1"]);
        command.args(["--port", &self.report.port().to_string()]);
        for name in ["run", "state", "bundle"] {
            command.arg(format!("--{name}")).arg(self.folder.path().join(name));
        }
        let agent = Process::spawn(command)?;
        agent.until("/startup", LIMIT, async || Ok(self.get("/startup").await?.status == 200)).await?;
        self.agent = Some(agent);
        Ok(())
    }

    /// Starts Envoy as its container does.
    pub fn start_envoy(&mut self) -> Result<()> {
        let bootstrap = self.path("run/bootstrap.yaml")?;
        let arguments = ["-c", &bootstrap, "--concurrency", "2", "--disable-hot-restart"];
        let more = ["--drain-strategy", "immediate", "--log-level", "warning"];
        self.envoy = Some(Process::start(&tools::envoy()?, &[&arguments[..], &more[..]].concat())?);
        Ok(())
    }

    /// Ends the agent as a crash does.
    pub async fn kill_agent(&mut self) -> Result<()> {
        kill(self.agent.take()).await
    }

    /// Ends Envoy as a crash does.
    pub async fn kill_envoy(&mut self) -> Result<()> {
        kill(self.envoy.take()).await
    }

    /// Mounts other files.
    pub fn mount(&mut self, files: &Files) -> Result<()> {
        self.mount.swap(&listed(files))
    }

    /// Asks the agent.
    pub async fn get(&self, path: &str) -> Result<client::Answer> {
        Request::get("agent", path).send(self.report).await
    }

    /// What the agent says about its bundle, once there is one.
    pub async fn answer(&self) -> Result<Answer> {
        ask(self.report, None).await
    }

    /// The bundle in effect.
    pub async fn in_effect(&self) -> Result<InEffect> {
        self.answer().await?.in_effect.context("no bundle is in effect")
    }

    /// Waits until the bundle with this number is in effect.
    pub async fn until_in_effect(&self, counter: u64) -> Result<InEffect> {
        let done = async || {
            let bundle = self.in_effect().await?;
            Ok(bundle.counter == counter && bundle.late.is_none())
        };
        self.until(&format!("bundle {counter}"), done).await?;
        self.in_effect().await
    }

    /// Waits for the readiness probe.
    pub async fn until_ready(&self) -> Result<()> {
        self.until("/ready", async || Ok(self.get("/ready").await?.status == 200)).await
    }

    /// Waits until something holds.
    pub async fn until<F>(&self, what: &str, done: impl Fn() -> F) -> Result<()>
    where
        F: Future<Output = Result<bool>>,
    {
        let output = |process: &Option<Process>| process.as_ref().map(Process::output).unwrap_or_default();
        until(what, LIMIT, done).await.with_context(|| {
            format!("agent printed:\n{}\nEnvoy printed:\n{}", output(&self.agent), output(&self.envoy))
        })
    }

    /// Asks for the drain as the agent's preStop hook does. It ends when the drain does.
    pub fn drain(&self) -> Result<Process> {
        Process::start(&tools::gatewasm()?, &["agent", "--drain", "--run", &self.path("run")?])
    }

    /// Envoy's admin interface.
    pub fn admin(&self) -> Admin {
        Admin::new(self.folder.path().join("run/admin.sock"))
    }

    /// Bytes of the last good bundle on disk.
    pub fn kept(&self) -> Result<u64> {
        Ok(self.folder.path().join("state/bundle.json").metadata()?.len())
    }

    fn path(&self, name: &str) -> Result<String> {
        let path: &Path = &self.folder.path().join(name);
        Ok(path.to_str().context("path")?.to_owned())
    }
}

async fn kill(container: Option<Process>) -> Result<()> {
    let mut container = container.context("it does not run")?;
    container.signal(Signal::KILL)?;
    container.wait(LIMIT).await?;
    Ok(())
}

fn listed(files: &Files) -> Vec<(&str, &[u8])> {
    files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect()
}
