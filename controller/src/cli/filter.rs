//! `gatewasm filter`: writes the wasm filter that was built together with this binary.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::FINE;
use crate::filter_binary;

/// Arguments of `gatewasm filter`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File to write; `-` for stdout.
    #[arg(short, long, value_name = "FILE", default_value = "gatewasm.wasm")]
    output: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    if args.output.as_os_str() == "-" {
        super::output::write_stdout(filter_binary::WASM)?;
    } else {
        std::fs::write(&args.output, filter_binary::WASM)
            .with_context(|| format!("write {}", args.output.display()))?;
        eprintln!("wrote {} ({} bytes)", args.output.display(), filter_binary::WASM.len());
    }
    Ok(FINE)
}
