//! `gatewasm version`: the versions of all parts.

use anyhow::Result;
use gatewasm_routing::config;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::FINE;
use super::output::{Output, table};
use crate::{GATEWAY_API_VERSION, envoy, filter_binary};

/// Arguments of `gatewasm version`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Form of the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    gatewasm: &'static str,
    /// The filter is built from the same sources; its hash tells which bytes an Envoy runs.
    filter: &'static str,
    filter_sha256: String,
    filter_config: u32,
    /// Lowest Envoy that is supported.
    envoy: String,
    gateway_api: &'static str,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let versions = Versions {
        gatewasm: env!("CARGO_PKG_VERSION"),
        filter: env!("CARGO_PKG_VERSION"),
        filter_sha256: format!("{:x}", Sha256::digest(filter_binary::WASM)),
        filter_config: config::VERSION,
        envoy: format!(">= {}", envoy::MINIMUM_VERSION),
        gateway_api: GATEWAY_API_VERSION,
    };
    args.output.print(&versions, |v| {
        table(&[
            vec!["gatewasm".into(), v.gatewasm.into()],
            vec!["filter".into(), format!("{} (sha256 {})", v.filter, v.filter_sha256)],
            vec!["filter config".into(), v.filter_config.to_string()],
            vec!["Envoy".into(), v.envoy.clone()],
            vec!["Gateway API".into(), v.gateway_api.into()],
        ])
    })?;
    Ok(FINE)
}
