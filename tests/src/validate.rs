//! `envoy --mode validate` over everything that is rendered.
//!
//! Envoy does not read dynamic resources in that mode. So what would come by RDS, ECDS and SDS is put in the place that
//! refers to it, and listeners and clusters become static: the same messages, all of them read.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use gatewasm::filter_binary;
use gatewasm::model::Model;
use gatewasm::render::bootstrap::bootstrap;
use gatewasm::render::{ConfigSource, Resources, Settings, render, routes, yaml};
use gatewasm::xds::agent::Target;
use serde_json::{Value, json};

use crate::tools;

/// Holds everything that `model` is rendered to against the real Envoy.
pub fn validate(model: &Model) -> Result<()> {
    let folder = tempfile::tempdir()?;
    accepts(&static_bootstrap(&[model], folder.path())?, folder.path())
}

/// Whether Envoy takes this bootstrap, which is written into `folder`.
pub fn accepts(bootstrap: &Value, folder: &Path) -> Result<()> {
    let path = folder.join("static.yaml");
    fs::write(&path, yaml(bootstrap)?)?;
    accepts_file(&path)
}

/// Whether Envoy takes this bootstrap.
pub fn accepts_file(path: &Path) -> Result<()> {
    let output = Command::new(tools::envoy()?)
        .args(["--mode", "validate", "--disable-hot-restart", "--log-level", "error"])
        .args(["--reject-unknown-dynamic-fields", "--config-path"])
        .arg(path)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "Envoy refuses {}: {said}", path.display());
    Ok(())
}

/// One bootstrap with everything inside that the models are rendered to; what would collide is told apart by the number
/// of its model. The filter's file goes into `folder`.
pub fn static_bootstrap(models: &[&Model], folder: &Path) -> Result<Value> {
    let filter = folder.join("gatewasm.wasm");
    fs::write(&filter, filter_binary::WASM)?;
    let mut settings = Settings {
        bindings: BTreeMap::new(),
        source: ConfigSource::Files(folder.to_owned()),
        filter_path: filter,
        access_log: true,
    };
    let mut bootstrap = bootstrap(&settings, &Target::in_folder(folder, 1).addresses());
    bootstrap.as_object_mut().context("bootstrap")?.remove("dynamic_resources");
    let fixed = &mut bootstrap["static_resources"];
    fixed["clusters"] = json!([]);
    let mut hosts = (1..).map(|number| Ipv4Addr::from(0x7f01_0000_u32 + number));
    for (number, model) in models.iter().enumerate() {
        settings.bindings.clear();
        for (key, gateway) in &model.gateways {
            let host = hosts.next().context("address")?;
            let ports = gateway.listeners.values().map(|listener| listener.port);
            settings.bindings.extend(ports.map(|port| ((key.clone(), port), SocketAddr::from((host, port)))));
        }
        let resources = render(model, &settings);
        for (kind, these) in [("listeners", &resources.listeners), ("clusters", &resources.clusters)] {
            for (name, resource) in these {
                let mut resource = without_type(&resource.value());
                resource["name"] = json!(format!("{number}/{name}"));
                inline(&mut resource, &resources)?;
                fixed[kind].as_array_mut().context("static resources")?.push(resource);
            }
        }
        if number == 0 {
            inline(&mut fixed["listeners"][0], &resources)?;
        }
    }
    Ok(bootstrap)
}

/// Puts what is referred to by name where it is referred to.
fn inline(value: &mut Value, resources: &Resources) -> Result<()> {
    if let Some(fields) = value.as_object_mut() {
        if let Some(rds) = fields.remove("rds") {
            let name = rds["route_config_name"].as_str().context("name of routes")?;
            let routes = routes(&resources.policies);
            let mut routes =
                without_type(&routes.get(name).with_context(|| format!("routes {name:?}"))?.value());
            // Mirrors name clusters, which have other names here.
            routes["validate_clusters"] = json!(false);
            fields.insert("route_config".into(), routes);
        }
        if fields.remove("config_discovery").is_some() {
            let name = fields.get("name").and_then(Value::as_str).context("name of a filter")?;
            let extension = resources.extensions.get(name).with_context(|| format!("extension {name:?}"))?;
            fields.insert("typed_config".into(), extension.value()["typed_config"].clone());
        }
        if let Some(Value::Array(references)) = fields.remove("tls_certificate_sds_secret_configs") {
            let certificates = references.iter().map(|reference| {
                let name = reference["name"].as_str().context("name of a secret")?;
                let secret = resources.secrets.get(name).with_context(|| format!("secret {name:?}"))?;
                Ok(secret.value()["tls_certificate"].clone())
            });
            fields.insert("tls_certificates".into(), certificates.collect::<Result<_>>()?);
        }
        if let Some(mut combined) = fields.remove("combined_validation_context") {
            let name = &combined["validation_context_sds_secret_config"]["name"];
            let name = name.as_str().context("name of authorities")?;
            let secret = resources.secrets.get(name).with_context(|| format!("authorities {name:?}"))?;
            let mut context = combined["default_validation_context"].take();
            context["trusted_ca"] = secret.value()["validation_context"]["trusted_ca"].clone();
            fields.insert("validation_context".into(), context);
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
