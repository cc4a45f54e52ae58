//! `gatewasm run`: serves manifests on this machine.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::FINE;
use super::inputs::Backends;
use crate::local::report::LogFormat;
use crate::local::{self, Options};

/// Arguments of `gatewasm run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Manifests: a file, a folder (not its subfolders), or - for standard input. Changes of files are followed.
    #[arg(short, long = "filename", value_name = "PATH", required = true)]
    filename: Vec<PathBuf>,

    #[command(flatten)]
    backends: Backends,

    /// Envoy binary; otherwise $ENVOY_PATH, then what func-e runs, then the one in PATH.
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,

    /// Envoy's worker threads; one per CPU where not given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: Option<u16>,

    /// How far a port is moved up that may not be bound here.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    port_offset: u16,

    /// Write a line of JSON per request to standard output.
    #[arg(long)]
    access_log: bool,

    /// Write the Gateways' addresses to this file, as JSON, once everything is in effect; it is removed at the end.
    #[arg(long, value_name = "PATH")]
    ready_file: Option<PathBuf>,

    /// How long requests under way may take after SIGTERM or Ctrl-C, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    drain_seconds: u64,

    /// Form of everything on standard error.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
}

pub(super) fn run(args: Args) -> Result<u8> {
    super::log::to_stderr(args.log_format);
    let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
    let options = Options {
        paths: args.filename,
        backends: args.backends.backends,
        envoy: args.envoy,
        workers: args.concurrency.map_or_else(cpus, usize::from),
        port_offset: args.port_offset,
        access_log: args.access_log,
        ready_file: args.ready_file,
        drain_limit: Duration::from_secs(args.drain_seconds),
        log_format: args.log_format,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(local::run(options))?;
    Ok(FINE)
}
