//! `envoy --mode validate` over everything that is rendered.
//!
//! Envoy does not read dynamic resources in that mode. So what would come by RDS, ECDS and SDS is put in the place that
//! refers to it, and listeners and clusters become static: the same messages, all of them read.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gatewasm::filter_binary;
use gatewasm::model::Model;
use gatewasm::render::bootstrap::{Address, Addresses, bootstrap};
use gatewasm::render::{ConfigSource, Resources, Settings, render, yaml};
use serde_json::Value;

use crate::tools;

/// Holds everything that `model` is rendered to against the real Envoy.
pub fn validate(model: &Model) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bootstrap = static_bootstrap(model, folder.path())?;
    let path = folder.path().join("bootstrap.yaml");
    fs::write(&path, yaml(&bootstrap)?)?;
    let output = Command::new(tools::envoy()?)
        .args([
            "--mode",
            "validate",
            "--log-level",
            "error",
            "--reject-unknown-dynamic-fields",
            "--config-path",
        ])
        .arg(&path)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "Envoy refuses it: {said}\n{}", fs::read_to_string(&path)?);
    Ok(())
}

/// One bootstrap with everything inside.
fn static_bootstrap(model: &Model, folder: &Path) -> Result<Value> {
    let filter = folder.join("gatewasm.wasm");
    fs::write(&filter, filter_binary::WASM)?;
    let ports = model.gateways.iter().flat_map(|(key, gateway)| {
        gateway.listeners.values().map(move |listener| ((key.clone(), listener.port), listener.port))
    });
    let settings = Settings {
        bindings: ports.map(|(place, port)| (place, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))).collect(),
        source: ConfigSource::Files(folder.to_owned()),
        filter_path: filter,
        access_log: true,
    };
    let resources = render(model, &settings);
    let addresses = Addresses {
        admin: Address::Pipe(folder.join("admin.sock")),
        probe: Address::Pipe(folder.join("probe.sock")),
        agent: folder.join("agent.sock"),
    };
    let mut bootstrap = bootstrap(&settings, &addresses);
    bootstrap.as_object_mut().context("bootstrap")?.remove("dynamic_resources");
    let fixed = &mut bootstrap["static_resources"];
    for listener in resources.listeners.values() {
        fixed["listeners"].as_array_mut().context("static listeners")?.push(without_type(listener));
    }
    fixed["clusters"] = resources.clusters.values().map(without_type).collect();
    inline(fixed, &resources)?;
    Ok(bootstrap)
}

/// Puts what is referred to by name where it is referred to.
fn inline(value: &mut Value, resources: &Resources) -> Result<()> {
    if let Some(fields) = value.as_object_mut() {
        if let Some(rds) = fields.remove("rds") {
            let name = rds["route_config_name"].as_str().context("name of routes")?;
            let routes = resources.routes.get(name).with_context(|| format!("routes {name:?}"))?;
            fields.insert("route_config".into(), without_type(routes));
        }
        if fields.remove("config_discovery").is_some() {
            let name = fields.get("name").and_then(Value::as_str).context("name of a filter")?;
            let extension = resources.extensions.get(name).with_context(|| format!("extension {name:?}"))?;
            fields.insert("typed_config".into(), extension["typed_config"].clone());
        }
        if let Some(Value::Array(references)) = fields.remove("tls_certificate_sds_secret_configs") {
            let certificates = references.iter().map(|reference| {
                let name = reference["name"].as_str().context("name of a secret")?;
                let secret = resources.secrets.get(name).with_context(|| format!("secret {name:?}"))?;
                Ok(secret["tls_certificate"].clone())
            });
            fields.insert("tls_certificates".into(), certificates.collect::<Result<_>>()?);
        }
        fields.values_mut().try_for_each(|value| inline(value, resources))?;
    }
    value.as_array_mut().into_iter().flatten().try_for_each(|value| inline(value, resources))
}

fn without_type(message: &Value) -> Value {
    let mut message = message.clone();
    if let Some(fields) = message.as_object_mut() {
        fields.remove("@type");
    }
    message
}
