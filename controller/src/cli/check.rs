//! `gatewasm check`: every problem of the manifests.

use anyhow::Result;

use super::inputs::{Inputs, Read, problems_of};
use super::output::Output;
use super::{FINE, PROBLEMS};
use crate::problem;

/// Arguments of `gatewasm check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,

    /// Form of the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let (problems, objects) = match args.inputs.read()? {
        Read::Manifests { objects, translation } => (translation.problems, objects),
        Read::FilterConfig { path, config } => {
            (config.err().map(|problems| problems_of(&path, &problems)).unwrap_or_default(), 1)
        }
    };
    args.output.print(&problems, |problems| problem::print(problems, objects))?;
    Ok(if problems.is_empty() { FINE } else { PROBLEMS })
}
