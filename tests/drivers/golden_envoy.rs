//! What the golden cases are rendered to, held to Envoy itself: `envoy --mode validate` takes it, as files and as the
//! messages that the agent sends.
//!
//! In this mode Envoy reads no file that a bootstrap only refers to (a listener with an unknown field in `lds.yaml`
//! passes). So the resources are also put into the bootstrap itself, where it looks at each of them.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, ensure};
use gatewasm::render::bootstrap::{Address, Addresses, bootstrap};
use gatewasm::render::{ConfigSource, Resources, Settings, files, render, yaml};
use gatewasm::xds::encode::Encoder;
use gatewasm_tests::golden::{Run, cases, run};
use gatewasm_tests::tools;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Envoys at a time.
const PARALLEL: usize = 2;

/// A folder with the filter in it, for one configuration after the other.
struct Folder(TempDir);

impl Folder {
    fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("gatewasm.wasm"), gatewasm::filter_binary::WASM)?;
        Ok(Self(folder))
    }

    fn settings(&self, run: &Run) -> Settings {
        let folder = self.0.path();
        run.settings(ConfigSource::Files(folder.to_owned()), &folder.join("gatewasm.wasm"))
    }

    fn addresses(&self) -> Addresses {
        let folder = self.0.path();
        Addresses {
            admin: Address::Pipe(folder.join("admin.sock")),
            probe: Address::Pipe(folder.join("probe.sock")),
            agent: folder.join("agent.sock"),
        }
    }

    fn validate_files(&self, run: &Run) -> Result<()> {
        let settings = self.settings(run);
        let resources = render(&run.translation.model, &settings);
        for (name, text) in files::files(&resources, &settings, &self.addresses())? {
            std::fs::write(self.0.path().join(name), text)?;
        }
        validate(&self.0.path().join("bootstrap.yaml"))
    }

    fn validate_inline(&self, bootstrap: &Value) -> Result<()> {
        let path = self.0.path().join("inline.yaml");
        std::fs::write(&path, yaml(bootstrap)?)?;
        validate(&path)
    }

    /// One bootstrap with the resources of all cases in it, in place of the references to files, and their number.
    /// What would collide is told apart by the number of its case.
    fn inline(&self, cases: &[PathBuf]) -> Result<(Value, usize)> {
        let (mut listeners, mut clusters, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
        let mut addresses = (1..=u32::MAX).map(|number| Ipv4Addr::from(0x7f01_0000 + number));
        for (number, case) in cases.iter().enumerate() {
            let run = run(case);
            let mut settings = self.settings(&run);
            for address in settings.bindings.values_mut() {
                address.set_ip(addresses.next().context("address")?.into());
            }
            let resources = render(&run.translation.model, &settings);
            for listener in resources.listeners.values() {
                listeners.push(fill(rename(listener, number)?, number, &resources)?);
            }
            for cluster in resources.clusters.values() {
                clusters.push(rename(cluster, number)?);
            }
            for secret in resources.secrets.values() {
                secrets.push(rename(secret, number)?);
            }
        }
        let count = listeners.len() + clusters.len() + secrets.len();
        let settings = self.settings(&run(cases.first().context("no cases")?));
        let mut bootstrap = bootstrap(&settings, &self.addresses());
        let fields = bootstrap.as_object_mut().context("bootstrap")?;
        fields.remove("dynamic_resources");
        fields.insert(
            "static_resources".to_owned(),
            json!({"listeners": listeners, "clusters": clusters, "secrets": secrets}),
        );
        Ok((bootstrap, count))
    }
}

fn validate(bootstrap: &Path) -> Result<()> {
    let mut command = Command::new(tools::envoy()?);
    command
        .args(["--mode", "validate", "--disable-hot-restart", "--log-level", "error", "-c"])
        .arg(bootstrap);
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// A resource as a bootstrap takes it, with a name that no other case has.
fn rename(resource: &Value, number: usize) -> Result<Value> {
    let mut resource = without_type(resource);
    resource["name"] = json!(format!("{number}/{}", resource["name"].as_str().context("name")?));
    Ok(resource)
}

fn without_type(resource: &Value) -> Value {
    let mut resource = resource.clone();
    resource.as_object_mut().and_then(|fields| fields.remove("@type"));
    resource
}

/// Routes, filter and certificates of the case in place of where a listener would get them from.
fn fill(mut listener: Value, number: usize, resources: &Resources) -> Result<Value> {
    for chain in listener["filter_chains"].as_array_mut().context("filter chains")? {
        let manager = &mut chain["filters"][0]["typed_config"];
        manager.as_object_mut().and_then(|fields| fields.remove("rds")).context("rds")?;
        manager["route_config"] = without_type(resources.routes.values().next().context("routes")?);
        manager["http_filters"][0] = without_type(resources.extensions.values().next().context("filter")?);
        let certificates =
            "/transport_socket/typed_config/common_tls_context/tls_certificate_sds_secret_configs";
        if let Some(Value::Array(certificates)) = chain.pointer_mut(certificates) {
            for certificate in certificates {
                // A reference without a source is to a secret of the bootstrap.
                *certificate = json!({"name": rename(certificate, number)?["name"]});
            }
        }
    }
    Ok(listener)
}

#[test]
fn envoy_takes_every_bootstrap() -> Result<()> {
    let cases = cases()?;
    let next = AtomicUsize::new(0);
    let worker = || -> Result<Vec<String>> {
        let folder = Folder::new()?;
        let mut failures = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = folder.validate_files(&run(case)) {
                failures.push(format!("{}: {error:#}", case.display()));
            }
        }
        Ok(failures)
    };
    let mut failures = Vec::new();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..PARALLEL).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            failures.extend(worker.join().map_err(|_| anyhow!("a worker panicked"))??);
        }
        anyhow::Ok(())
    })?;
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    println!("Envoy takes the folders of {} cases", cases.len());
    Ok(())
}

#[test]
fn envoy_takes_every_resource() -> Result<()> {
    let cases = cases()?;
    let folder = Folder::new()?;
    let (bootstrap, count) = folder.inline(&cases)?;
    ensure!(count > cases.len(), "{} cases have only {count} resources", cases.len());
    folder.validate_inline(&bootstrap)?;
    println!("Envoy takes the {count} listeners, clusters and secrets of {} cases", cases.len());
    Ok(())
}

/// The check itself: a fault in any kind of resource is noticed.
#[test]
fn a_fault_in_any_resource_is_noticed() -> Result<()> {
    let folder = Folder::new()?;
    let (sound, _) = folder.inline(&[tools::repository().join("tests/golden/tls/terminate")])?;
    folder.validate_inline(&sound)?;
    let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    for place in [
        "/static_resources/listeners/0",
        manager,
        &format!("{manager}/route_config/virtual_hosts/0"),
        &format!("{manager}/http_filters/0/typed_config/config"),
        "/static_resources/clusters/0",
        "/static_resources/secrets/0",
    ] {
        let mut broken = sound.clone();
        let fields = broken.pointer_mut(place).and_then(Value::as_object_mut);
        fields.with_context(|| place.to_owned())?.insert("no_such_field".to_owned(), json!(1));
        let refusal = folder.validate_inline(&broken).err().map(|error| error.to_string());
        ensure!(refusal.is_some_and(|text| text.contains("no_such_field")), "a fault in {place} passed");
    }
    Ok(())
}

#[test]
fn every_resource_has_the_form_that_the_agent_sends() -> Result<()> {
    let encoder = Encoder::new()?;
    let mut count = 0;
    for case in cases()? {
        let run = run(&case);
        let settings = run.settings(ConfigSource::Ads, Path::new("gatewasm.wasm"));
        let it = render(&run.translation.model, &settings);
        let all = [&it.listeners, &it.routes, &it.clusters, &it.endpoints, &it.secrets, &it.extensions];
        for (name, resource) in all.into_iter().flatten() {
            encoder.encode(name, resource).with_context(|| format!("{}: {name}", case.display()))?;
            count += 1;
        }
    }
    ensure!(count > 0, "nothing was encoded");
    Ok(())
}
