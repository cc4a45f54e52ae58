//! The resources as a folder that stock Envoy runs without us.
//!
//! There is no EDS in it: Envoy takes one cluster per file, and an inotify instance for each. Clusters carry their
//! endpoints (`STATIC`, or DNS).

use std::collections::BTreeMap;

use serde_json::json;

use super::bootstrap::{Addresses, bootstrap};
use super::{Json, Resources, Settings, extension, routes, secrets, yaml};

/// Files with private keys: to be kept from others.
pub fn is_secret(file: &str) -> bool {
    file.starts_with("sds.")
}

/// All files by name: `bootstrap.yaml`, `lds.yaml`, `cds.yaml`, `rds.yaml`, `routes.yaml` (the filter with its
/// configuration as a block scalar), `sds.NAMESPACE.NAME.yaml`, and `filter.json` (the configuration alone, which
/// Envoy does not read).
///
/// `settings.source` must be [`super::ConfigSource::Files`] of the folder that they will be in.
pub fn files(
    resources: &Resources,
    settings: &Settings,
    addresses: &Addresses,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::from([
        ("bootstrap.yaml".to_owned(), yaml(&bootstrap(settings, addresses))?),
        ("lds.yaml".to_owned(), discovery(resources.listeners.values())?),
        ("cds.yaml".to_owned(), discovery(resources.clusters.values())?),
        (routes::FILE.to_owned(), discovery(routes::routes(&resources.policies).values())?),
        (extension::FILE.to_owned(), discovery(resources.extensions.values())?),
        ("filter.json".to_owned(), resources.filter_config.clone()),
    ]);
    for (name, secret) in &resources.secrets {
        files.insert(secrets::file(name), discovery([secret])?);
    }
    Ok(files)
}

/// Envoy's `DiscoveryResponse`: what a file must hold.
fn discovery<'a>(resources: impl IntoIterator<Item = &'a Json>) -> anyhow::Result<String> {
    yaml(&json!({"resources": resources.into_iter().map(Json::value).collect::<Vec<_>>()}))
}
