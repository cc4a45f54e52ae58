//! The golden cases, `tests/golden/<area>/<case>/in.yaml`: where they are, and what comes of one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use gatewasm::render::{ConfigSource, Settings};
use gatewasm::source::{Input, Loaded, Source};
use gatewasm::translate::{Options, Translation, translate};

use crate::tools;

/// One case, run.
#[derive(Debug)]
pub struct Run {
    /// What was read.
    pub loaded: Loaded,
    /// What it means.
    pub translation: Translation,
}

/// Every `<area>/<case>`, sorted.
pub fn cases() -> Result<Vec<PathBuf>> {
    let mut cases = Vec::new();
    for area in folders(&tools::repository().join("tests/golden"))? {
        cases.extend(folders(&area)?);
    }
    ensure!(!cases.is_empty(), "there are no golden cases");
    Ok(cases)
}

fn folders(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
    let mut folders = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    folders.sort();
    Ok(folders)
}

/// Reads and translates a case.
pub fn run(case: &Path) -> Run {
    let text = std::fs::read_to_string(case.join("in.yaml")).map_err(|error| error.to_string());
    let loaded = Source::default().update(&[Input { path: "in.yaml".to_owned(), text }]);
    let translation = translate(&loaded.snapshot, &Options::default());
    Run { loaded, translation }
}

impl Run {
    /// Settings under which every listener is bound to its own port: on the Gateway's first address, or 127.0.0.1.
    pub fn settings(&self, source: ConfigSource, filter_path: &Path) -> Settings {
        let gateways = self.translation.model.gateways.iter();
        let bindings = gateways.flat_map(|(key, gateway)| {
            let address = gateway.addresses.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
            let ports = gateway.listeners.values().map(|listener| listener.port);
            ports.map(move |port| ((key.clone(), port), SocketAddr::new(address, port)))
        });
        Settings {
            bindings: bindings.collect(),
            source,
            filter_path: filter_path.to_owned(),
            access_log: false,
        }
    }
}
