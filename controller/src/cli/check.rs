//! `gatewasm check`: every problem of the manifests, and what works but is probably not meant.

use anyhow::Result;
use gatewasm_routing::compile;
use gatewasm_routing::config::FilterConfig;

use super::inputs::{Inputs, Read, problems_of};
use super::output::Output;
use super::{FINE, PROBLEMS};
use crate::lint::{Origin, lint};
use crate::problem::{self, Problem, Severity};

/// Arguments of `gatewasm check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,

    /// Exit with 1 for warnings too: for what works, but is probably not meant.
    #[arg(long)]
    deny_warnings: bool,

    /// Form of the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let (problems, objects) = match args.inputs.read()? {
        Read::Manifests { snapshot, translation } => {
            let config = &translation.model.filter_config;
            let found = lint_compiled(config, "the translated filter config", Origin::Objects(&snapshot));
            ([translation.problems, found].concat(), snapshot.len())
        }
        Read::FilterConfig { path, config: Ok(config) } => {
            (lint_compiled(&config, &path, Origin::File(&path)), 1)
        }
        Read::FilterConfig { path, config: Err(problems) } => (problems_of(&path, &problems), 1),
    };
    args.output.print(&problems, |problems| problem::print(problems, objects))?;
    let denied = |problem: &Problem| args.deny_warnings || problem.severity == Severity::Error;
    Ok(if problems.iter().any(denied) { PROBLEMS } else { FINE })
}

fn lint_compiled(config: &FilterConfig, path: &str, origin: Origin<'_>) -> Vec<Problem> {
    match compile(config) {
        Ok(table) => lint(config, &table, origin),
        Err(problems) => problems_of(path, &problems),
    }
}
