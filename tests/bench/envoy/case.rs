//! The cases: one Envoy each, from the same bootstrap as the Filter way.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use gatewasm::envoy::admin::Admin;
use gatewasm::filter_binary;
use gatewasm::render::access_log;
use gatewasm_tests::process::Process;
use gatewasm_tests::standalone::{Files, routes_with};
use gatewasm_tests::tools;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use walrus::{FunctionBuilder, Module, ValType};

use crate::load::path;

const CLUSTER: &str = "bench/backend/80";

/// What stands between the listener and the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Envoy's own routes, one per rule.
    Native,
    /// A filter that does nothing, and one route.
    Empty,
    /// Our filter.
    Ours,
    /// Our filter with the access log of `gatewasm run --access-log`, to /dev/null.
    OursLogged,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native routes",
            Self::Empty => "empty wasm filter, one route",
            Self::Ours => "gatewasm",
            Self::OursLogged => "gatewasm, access log to /dev/null",
        }
    }
}

/// A running Envoy.
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) rules: usize,
    pub(crate) address: SocketAddr,
    pub(crate) envoy: Process,
    _folder: TempDir,
}

impl Case {
    pub(crate) async fn start(kind: Kind, rules: usize, backend: SocketAddr) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = folder.path();
        let mut files = Files::read()?;
        common(&mut files, at, backend)?;
        match kind {
            Kind::Native => native(&mut files, rules)?,
            Kind::Empty => {
                fs::write(at.join("gatewasm.wasm"), empty_filter())?;
                native(&mut files, 1)?;
                wasm(&mut files, at)?;
            }
            Kind::Ours | Kind::OursLogged => {
                fs::write(at.join("gatewasm.wasm"), filter_binary::WASM)?;
                ours(&mut files, rules, kind == Kind::OursLogged)?;
                wasm(&mut files, at)?;
            }
        }
        fs::write(at.join("bootstrap.json"), files.bootstrap.to_string())?;

        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(tools::envoy()?).current_dir(at);
        command.args(["--disable-hot-restart", "--concurrency", "1", "-l", "error", "-c", "bootstrap.json"]);
        let envoy = Process::spawn(command)?;
        let address = address(&Admin::new(at.join("admin.sock")), &envoy).await?;
        Ok(Self { kind, rules, address, envoy, _folder: folder })
    }
}

/// What all cases share: free ports, one cluster, no filter but the router, no probe.
fn common(files: &mut Files, folder: &Path, backend: SocketAddr) -> Result<()> {
    files.bootstrap["admin"]["address"] = json!({"pipe": {"path": folder.join("admin.sock")}});
    let mut listener = files.listener("http")?.take();
    listener["address"]["socket_address"] = json!({"address": "127.0.0.1", "port_value": 0});
    files.bootstrap["static_resources"]["listeners"] = json!([listener]);
    let cluster = &mut files.bootstrap["static_resources"]["clusters"][0];
    cluster["name"] = json!(CLUSTER);
    cluster["load_assignment"] = json!({
        "cluster_name": CLUSTER,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address":
            {"address": backend.ip().to_string(), "port_value": backend.port()}}}}]}],
    });
    let cluster = cluster.take();
    files.bootstrap["static_resources"]["clusters"] = json!([cluster]);
    Ok(())
}

/// One Envoy route per rule; with one rule, one for every path.
fn native(files: &mut Files, rules: usize) -> Result<()> {
    let route = json!({"cluster": CLUSTER, "timeout": "0s"});
    let routes: Vec<Value> = match rules {
        1 => vec![json!({"match": {"prefix": "/"}, "route": route})],
        _ => (0..rules)
            .map(|rule| json!({"match": {"path_separated_prefix": path(rule)}, "route": route}))
            .collect(),
    };
    let manager = files.connection_manager("http")?;
    let filters = manager["http_filters"].as_array_mut().context("filters")?;
    filters.drain(..filters.len().saturating_sub(1));
    let host = &mut manager["route_config"]["virtual_hosts"][0];
    host["domains"] = json!(["www.example.com"]);
    host["routes"] = json!(routes);
    host.as_object_mut().context("virtual host")?.remove("matcher");
    Ok(())
}

/// The filter before the router, its configuration from a file.
fn wasm(files: &mut Files, folder: &Path) -> Result<()> {
    files.routes["resources"][0]["typed_config"]["config"]["vm_config"]["code"]["local"]["filename"] =
        json!("./gatewasm.wasm");
    fs::write(folder.join("routes.yaml"), files.routes.to_string())?;
    let manager = files.connection_manager("http")?;
    let filters = manager["http_filters"].as_array_mut().context("filters")?;
    filters.retain(|filter| filter["name"] != "gatewasm");
    filters.insert(
        0,
        json!({
            "name": "gatewasm",
            "config_discovery": {
                "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
                "config_source": {"resource_api_version": "V3", "path_config_source": {"path": "./routes.yaml"}},
            },
        }),
    );
    Ok(())
}

fn ours(files: &mut Files, rules: usize, access_log: bool) -> Result<()> {
    let rules: Vec<Value> = (0..rules)
        .map(|rule| {
            json!({
                "matches": [{"path": {"type": "PathPrefix", "value": path(rule)}}],
                "backends": [{"cluster": CLUSTER}],
            })
        })
        .collect();
    let config = json!({
        "version": 1,
        "accessLog": access_log,
        "listeners": [{
            "name": "infra/web/http", "gateway": "infra/web", "port": 80, "protocol": "HTTP",
            "routes": [{
                "kind": "HTTPRoute", "namespace": "bench", "name": "bench",
                "hostnames": ["www.example.com"], "rules": rules,
            }],
        }],
    });
    files.routes = serde_json::from_slice(&routes_with(&files.routes, &config.to_string()))?;
    if access_log {
        files.connection_manager("http")?["access_log"] = json!([log_to_null()]);
    }
    Ok(())
}

/// As `gatewasm run --access-log` writes it, but to nowhere.
fn log_to_null() -> Value {
    json!({
        "name": "null",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/null",
            "log_format": {"json_format": access_log::fields()},
        },
    })
}

/// The least that Envoy takes for a filter: what is left is the price of a call into the VM for each request.
fn empty_filter() -> Vec<u8> {
    let mut module = Module::default();
    let memory = module.memories.add_local(false, false, 1, None, None);
    module.exports.add("memory", memory);
    let marker = FunctionBuilder::new(&mut module.types, &[], &[]).finish(vec![], &mut module.funcs);
    module.exports.add("proxy_abi_version_0_2_1", marker);
    for (name, parameters) in [("malloc", 1), ("proxy_on_request_headers", 3)] {
        let mut function =
            FunctionBuilder::new(&mut module.types, &vec![ValType::I32; parameters], &[ValType::I32]);
        // `Continue` for a request; nothing is ever placed in this memory.
        function.func_body().i32_const(0);
        let parameters = (0..parameters).map(|_| module.locals.add(ValType::I32)).collect();
        let function = function.finish(parameters, &mut module.funcs);
        module.exports.add(name, function);
    }
    module.emit_wasm()
}

async fn address(admin: &Admin, envoy: &Process) -> Result<SocketAddr> {
    envoy.until("Envoy to serve", Duration::from_secs(30), async || Ok(admin.is_live().await)).await?;
    let listeners = admin.get("/listeners").await?;
    Ok(listeners.trim().strip_prefix("http::").context(listeners.clone())?.parse()?)
}
