//! `gatewasm controller`: Gateways of a cluster, each with a data plane of its own. Of several replicas one leads; the
//! others watch as well, and take over when it ends.

mod agent_ports;
mod hold;
mod host;
mod lead;
mod left;
mod plan;
mod session_key;
mod statuses;
mod turns;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::cluster::apply::Applier;
use crate::cluster::election::Timing;
use crate::cluster::events::Events;
use crate::cluster::lease;
use crate::cluster::metrics::Metrics;
use crate::cluster::serve::{self, Readiness};
use crate::cluster::status::StatusWriter;
use crate::cluster::{Store, follow, limit_waiting};
use crate::object::ObjectKey;
use crate::provision;
use lead::Lead;

/// The Lease by which replicas agree on who leads.
const LEASE: &str = "gatewasm-controller";

/// What the controller is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// What all data planes have in common.
    pub provision: provision::Settings,
    /// Namespace of the controller: its Lease and its key are there.
    pub namespace: String,
    /// Name of this replica.
    pub name: String,
    /// Where `/metrics`, `/healthz` and `/readyz` are answered.
    pub listen: SocketAddr,
}

/// Runs until SIGTERM, or until another replica leads.
///
/// # Errors
///
/// When there is no API server to speak to, the address cannot be listened on, or leadership was lost.
pub async fn run(options: Options) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut config = Config::infer().await.context("find the API server")?;
    limit_waiting(&mut config);
    // Whoever writes has a pace of its own.
    config.default_retry = false;
    let client = Client::try_from(config).context("speak with the API server")?;
    let metrics = Arc::new(Metrics::default());
    let readiness = Arc::new(Readiness::default());
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.with_context(|| format!("listen on {}", options.listen))?;
    let serve = serve::serve(listener, Arc::clone(&metrics), Arc::clone(&readiness));
    let store = Store::new();
    let follow = follow(client.clone(), store.clone());

    let lease = ObjectKey::new(&options.namespace, LEASE);
    let work = async {
        store.complete().await;
        readiness.reached();
        let mut leadership = lease::acquire(client.clone(), &lease, &options.name, Timing::default()).await;
        metrics.leads();
        let events = Events::new(client.clone(), options.name.clone());
        let lead = Lead::new(
            &options,
            client.clone(),
            store.clone(),
            Arc::clone(&metrics),
            Arc::new(Applier::new(client.clone(), Arc::clone(&metrics))),
            StatusWriter::new(client.clone(), Arc::clone(&metrics), events),
        );
        tokio::select! {
            result = lead.run() => result,
            () = leadership.lost() => bail!("leadership was lost; another replica leads"),
            _ = terminate.recv() => { leadership.release().await; Ok(()) }
            _ = interrupt.recv() => { leadership.release().await; Ok(()) }
        }
    };
    tokio::select! {
        result = work => result,
        () = follow => bail!("the watches ended"),
        result = serve => result.context("answer on the controller's port"),
    }
}

#[cfg(test)]
mod tests;
