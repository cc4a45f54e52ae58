//! `gatewasm agent`: the part of gatewasm that runs beside Envoy in a pod. People do not start it; the pod of a Gateway
//! does.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::FINE;
use crate::agent::{self, Options, Place};
use crate::local::report::LogFormat;
use crate::provision::{Source, pod};

/// An agent waits, most of the time.
const THREADS: usize = 2;

/// Arguments of `gatewasm agent`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ask the agent of this pod to drain Envoy, wait until that is done, and do nothing else.
    #[arg(long)]
    drain: bool,

    /// Namespace of the Gateway.
    #[arg(long, value_name = "NAMESPACE", required_unless_present = "drain", default_value = "")]
    namespace: String,

    /// What the Gateway's objects are called: the manifest is NAME-manifest.
    #[arg(long, value_name = "NAME", required_unless_present = "drain", default_value = "")]
    name: String,

    /// Where bundles come from.
    #[arg(long, value_enum, default_value = "watch")]
    source: Source,

    /// Envoy's worker threads: what Envoy is started with.
    #[arg(long, value_name = "N", default_value_t = 1)]
    concurrency: usize,

    /// Folder of the sockets, shared with Envoy.
    #[arg(long, value_name = "PATH", default_value = pod::RUN)]
    run: PathBuf,

    /// Folder for the last good bundle.
    #[arg(long, value_name = "PATH", default_value = pod::STATE)]
    state: PathBuf,

    /// Folder that the bundle is mounted to.
    #[arg(long, value_name = "PATH", default_value = pod::BUNDLE)]
    bundle: PathBuf,

    /// Port for probes, the controller and Prometheus.
    #[arg(long, value_name = "PORT", default_value_t = pod::AGENT_PORT)]
    port: u16,

    /// Listen on this address alone: that of the node, where the pod is on its network.
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,

    /// For how long a drain goes on taking connections, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    drain_delay: u64,

    /// How long a drain may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    drain_limit: u64,
}

pub(super) fn run(args: Args) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .context("start the runtime")?;
    let place = Place { run: args.run, state: args.state, bundle: args.bundle };
    if args.drain {
        runtime.block_on(agent::drain(&place))?;
        return Ok(FINE);
    }
    super::log::to_stderr(LogFormat::Json);
    runtime.block_on(agent::run(Options {
        namespace: args.namespace,
        base: args.name,
        source: args.source,
        workers: args.concurrency,
        place,
        port: args.port,
        address: args.address,
        drain_delay: Duration::from_secs(args.drain_delay),
        drain_limit: Duration::from_secs(args.drain_limit),
    }))?;
    Ok(FINE)
}
