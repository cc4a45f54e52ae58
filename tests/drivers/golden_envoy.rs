//! What the golden cases are rendered to, held to Envoy itself: `envoy --mode validate` takes it, as files and as the
//! messages that the agent sends.
//!
//! In this mode Envoy reads no file that a bootstrap only refers to (a listener with an unknown field in `lds.yaml`
//! passes). So the resources are also put into the bootstrap itself, where it looks at each of them.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow, ensure};
use gatewasm::model::Model;
use gatewasm::render::{ConfigSource, files, render, routes};
use gatewasm::xds::agent::Target;
use gatewasm::xds::encode::Encoder;
use gatewasm_tests::golden::{Run, cases, run};
use gatewasm_tests::tools;
use gatewasm_tests::validate::{accepts, accepts_file, static_bootstrap};
use serde_json::{Value, json};

/// Envoys at a time.
const PARALLEL: usize = 2;

/// Renders the case as a folder, and has Envoy look at it as it would be started.
fn validate_files(run: &Run, folder: &Path) -> Result<()> {
    let settings = run.settings(ConfigSource::Files(folder.to_owned()), &folder.join("gatewasm.wasm"));
    let resources = render(&run.translation.model, &settings);
    for (name, text) in files::files(&resources, &settings, &Target::in_folder(folder, 1).addresses())? {
        std::fs::write(folder.join(name), text)?;
    }
    accepts_file(&folder.join("bootstrap.yaml"))
}

#[test]
fn envoy_takes_every_bootstrap() -> Result<()> {
    let cases = cases()?;
    let next = AtomicUsize::new(0);
    let worker = || -> Result<Vec<String>> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("gatewasm.wasm"), gatewasm::filter_binary::WASM)?;
        let mut failures = Vec::new();
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = validate_files(&run(case), folder.path()) {
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
    let folder = tempfile::tempdir()?;
    let models: Vec<Model> = cases.iter().map(|case| run(case).translation.model).collect();
    let bootstrap = static_bootstrap(&models.iter().collect::<Vec<_>>(), folder.path())?;
    let all = ["listeners", "clusters"]
        .map(|kind| bootstrap["static_resources"][kind].as_array().map_or(0, Vec::len));
    let count: usize = all.iter().sum();
    ensure!(count > cases.len(), "{} cases have only {count} resources", cases.len());
    accepts(&bootstrap, folder.path())?;
    println!("Envoy takes the {count} listeners and clusters of {} cases", cases.len());
    Ok(())
}

/// The check itself: a fault in any kind of resource is noticed.
#[test]
fn a_fault_in_any_resource_is_noticed() -> Result<()> {
    let model = run(&tools::repository().join("tests/golden/tls/terminate")).translation.model;
    let folder = tempfile::tempdir()?;
    let sound = static_bootstrap(&[&model], folder.path())?;
    accepts(&sound, folder.path())?;
    let chain = "/static_resources/listeners/1/filter_chains/0";
    let manager = format!("{chain}/filters/0/typed_config");
    for place in [
        "/static_resources/listeners/1",
        &manager,
        &format!("{manager}/route_config/virtual_hosts/0"),
        &format!("{manager}/http_filters/0/typed_config/config"),
        &format!("{chain}/transport_socket/typed_config/common_tls_context/tls_certificates/0"),
        "/static_resources/clusters/0",
    ] {
        let mut broken = sound.clone();
        let fields = broken.pointer_mut(place).and_then(Value::as_object_mut);
        fields.with_context(|| place.to_owned())?.insert("no_such_field".to_owned(), json!(1));
        let refusal = accepts(&broken, folder.path()).err().map(|error| error.to_string());
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
        let routes = routes(&it.policies);
        let all = [&it.listeners, &routes, &it.clusters, &it.endpoints, &it.secrets, &it.extensions];
        for (name, resource) in all.into_iter().flatten() {
            encoder.encode(name, resource).with_context(|| format!("{}: {name}", case.display()))?;
            count += 1;
        }
    }
    ensure!(count > 0, "nothing was encoded");
    Ok(())
}
