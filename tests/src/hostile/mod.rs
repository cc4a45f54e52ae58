//! What the tests of hostile requests share: `gatewasm run` with the routes of a file, on HTTP and HTTPS, an echo
//! behind every Service that the routes name, and what must be true of Envoy afterwards.

pub mod fuzz;
mod http1;
mod http2;
mod http2_client;
pub mod paths;
mod random;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewasm::envoy::admin::Admin;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::certificate::Certificate;
use crate::echo::Echo;
use crate::exact::Tls;
use crate::http2::Http2;
use crate::running::{Running, class, gateway, http, service};
use crate::tools;

/// The hostname of one HTTPS listener, beside one for [`WILDCARD_HOST`] on the same port.
pub const EXACT_HOST: &str = "exact.secure.test";
/// A host of the other HTTPS listener, which is for every name below `secure.test`.
pub const WILDCARD_HOST: &str = "wildcard.secure.test";

/// A Service of this name gets no echo: it is not there.
const MISSING: &str = "missing";

const LIMIT: Duration = Duration::from_secs(30);

/// A gateway under attack. It ends when dropped.
#[derive(Debug)]
pub struct Rig {
    /// The listener for every host, without TLS.
    pub http: SocketAddr,
    /// The port of the two HTTPS listeners.
    pub https: SocketAddr,
    /// Envoy's admin interface.
    pub admin: Admin,
    /// The backends, by Service.
    pub echoes: BTreeMap<String, Echo>,
    certificate: Certificate,
    running: Running,
    before: Health,
}

/// What of Envoy must be the same before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Health {
    /// Its process.
    envoys: Vec<i32>,
    /// VMs that were made, VMs that are there, and VMs that were made anew because one had failed.
    vms: BTreeMap<String, u64>,
}

impl Rig {
    /// Starts it with the HTTPRoutes of `routes` (YAML), which attach to the Gateway `infra/web`.
    pub async fn start(routes: &str) -> Result<Self> {
        let routes: Vec<Value> = serde_saphyr::from_multiple(routes).context("the routes")?;
        let mut services = BTreeSet::new();
        routes.iter().for_each(|route| named(route, &mut services));
        let mut echoes = BTreeMap::new();
        let mut backends = Vec::new();
        for name in services {
            let echo = Echo::start(&name).await?;
            backends.extend(service(&name, &[echo.address]));
            echoes.insert(name, echo);
        }
        let certificate = Certificate::self_signed([EXACT_HOST, WILDCARD_HOST])?;
        let (port, tls_port) = (tools::free_port()?, tools::free_port()?);
        let https = |name: &str, hostname: &str| {
            json!({
                "name": name, "port": tls_port, "protocol": "HTTPS", "hostname": hostname,
                "tls": {"certificateRefs": [{"name": "certificate"}]},
            })
        };
        let listeners = [http("http", port), https("exact", EXACT_HOST), https("wildcard", "*.secure.test")];
        let manifests = [
            ("gateway.yaml", vec![class(), gateway("web", &listeners), certificate.secret("certificate")]),
            ("routes.yaml", routes),
            ("backends.yaml", backends),
        ];
        let running = Running::start(&manifests, &[]).await?;
        let (http, https) = (running.address("infra/web", "http")?, running.address("infra/web", "exact")?);
        let admin = Admin::new(running.socket("admin.sock")?);
        let mut rig = Self { http, https, admin, echoes, certificate, running, before: Health::default() };
        rig.before = rig.health().await?;
        ensure!(!rig.before.vms.is_empty(), "Envoy has no VMs");
        Ok(rig)
    }

    /// TLS by this server name, for clients that bring their own HTTP.
    pub fn tls<'a>(&'a self, server_name: &'a str) -> Tls<'a> {
        Tls { server_name, root: &self.certificate.chain }
    }

    /// A connection of HTTP/2 without TLS.
    pub async fn http2(&self) -> Result<Http2<TcpStream>> {
        Http2::open(TcpStream::connect(self.http).await?).await
    }

    /// A connection of HTTP/2 with TLS by this server name.
    pub async fn http2_tls(&self, server_name: &str) -> Result<Http2<TlsStream<TcpStream>>> {
        Http2::open_tls(self.https, self.tls(server_name)).await
    }

    /// What `gatewasm explain` says of a request to the HTTP listener.
    pub async fn explain(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = tokio::process::Command::new(tools::gatewasm()?);
        command.args(["explain", "-o", "json", "-f"]).arg(self.running.manifests()).args(arguments);
        let output = command.output().await?;
        ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Memory of Envoy in KiB.
    pub fn memory(&self) -> Result<u64> {
        let id = self.running.envoys()?.first().copied().context("no Envoy")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        line.trim().trim_end_matches(" kB").parse().context("VmRSS")
    }

    /// Fails where a VM has failed, or Envoy, since the start: by Envoy's figures, its process, and its log.
    pub async fn is_unharmed(&self) -> Result<()> {
        let after = self.health().await?;
        ensure!(after == self.before, "before: {:?}, after: {after:?}", self.before);
        let output = self.running.process.output();
        // How Envoy, V8 and the filter speak of a failure, and the supervisor of an Envoy that has ended.
        for sign in
            ["critical", "panicked", "VM failed", "wasm_fail", "Uncaught", "Envoy ended", "Segmentation"]
        {
            let line = output.lines().find(|line| line.contains(sign));
            ensure!(line.is_none(), "it has printed {line:?}");
        }
        Ok(())
    }

    async fn health(&self) -> Result<Health> {
        let mut envoys = self.running.envoys()?;
        envoys.sort_unstable();
        let vms = self.admin.stats(r"wasm\..*(active|created|vm_reload.*|fail.*)").await?;
        Ok(Health { envoys, vms })
    }

    /// Ends it; everything that it has started must end, and nothing be left.
    pub async fn stop(self) -> Result<()> {
        self.is_unharmed().await?;
        tokio::time::timeout(LIMIT * 2, self.running.stop()).await.context("it does not end")?
    }
}

/// The Services that `backendRef` and `backendRefs` name.
fn named(value: &Value, services: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let references = match key.as_str() {
                    "backendRefs" => value.as_array().cloned().unwrap_or_default(),
                    "backendRef" => vec![value.clone()],
                    _ => Vec::new(),
                };
                let names = references.iter().filter_map(|reference| reference["name"].as_str());
                services.extend(names.filter(|name| *name != MISSING).map(str::to_owned));
                named(value, services);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| named(value, services)),
        _ => {}
    }
}
