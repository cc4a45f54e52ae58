//! What a cluster holds at one moment, for commands that look and end.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kube::{Client, Config};
use tokio::time::timeout;

use super::store::Store;
use super::watch::{follow, limit_waiting};
use crate::snapshot::Snapshot;

/// Listing everything takes no longer, or something is wrong.
const LIMIT: Duration = Duration::from_secs(30);

/// Everything that is translated, from the cluster of the current kubeconfig or, in a pod, from its own.
///
/// # Errors
///
/// When there is no cluster, it does not answer, or it does not show something that is needed.
pub async fn read() -> Result<Snapshot> {
    let mut config = Config::infer().await.context("find a cluster; name manifests with -f instead")?;
    limit_waiting(&mut config);
    let server = config.cluster_url.to_string();
    let store = Store::new();
    let follow = follow(Client::try_from(config)?, store.clone());
    tokio::select! {
        complete = timeout(LIMIT, store.complete()) => if complete.is_err() {
            bail!("the cluster at {server} does not show {}", store.missing().join("; "));
        },
        () = follow => bail!("the watches ended"),
    }
    Ok(Snapshot::clone(&store.view().snapshot))
}
