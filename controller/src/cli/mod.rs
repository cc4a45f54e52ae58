//! The command line: what the user types, and how results, problems and failures are told.
//! Results go to stdout, everything else to stderr; exit 0 fine, 1 errors found, 2 could not run.

mod agent;
mod check;
mod controller;
mod explain;
mod filter;
mod inputs;
mod log;
mod output;
mod policies;
mod render;
mod routes;
mod run;
mod streams;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Everything is as asked.
const FINE: u8 = 0;
/// The command ran and found errors in its input, or what else it was told to deny.
const PROBLEMS: u8 = 1;
/// The command could not do its work.
const FAILED: u8 = 2;

/// The Kubernetes Gateway API on stock Envoy, with every routing decision in a small wasm filter.
#[derive(Debug, Parser)]
#[command(name = "gatewasm", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve Gateway API manifests on this machine, and follow their changes.
    Run(run::Args),
    /// Print every problem of the manifests: object, field, reason, and the way out.
    Check(check::Args),
    /// Say which rule and backend a request or connection gets, why, and why each other candidate lost.
    Explain(explain::Args),
    /// Print what is programmed, in order of precedence.
    Routes(routes::Args),
    /// Write what Envoy and the filter get: a folder that stock Envoy runs, and ConfigMaps to apply.
    Render(render::Args),
    /// Write the wasm filter that belongs to this binary.
    Filter(filter::Args),
    /// Serve the Gateways of a cluster: the Deployment of manifests/install.yaml runs it.
    Controller(controller::Args),
    /// Bring a Gateway's bundle into effect, beside its Envoy: pods run it.
    Agent(agent::Args),
    /// Print the versions of all parts.
    Version(version::Args),
}

/// Parses the command line and runs the command. Wrong usage and failures exit with 2.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Routes(args) => routes::run(&args),
        Command::Render(args) => render::run(&args),
        Command::Filter(args) => filter::run(&args),
        Command::Controller(args) => controller::run(args),
        Command::Agent(args) => agent::run(args),
        Command::Version(args) => version::run(&args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}
