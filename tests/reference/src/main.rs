//! `differential`: compares engine and reference on as many pairs of rule set and request as asked for. Exits with 1
//! at a difference and 2 where nothing could be compared.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use gatewasm_reference::generate::Options;
use gatewasm_reference::run::{Plan, run};

/// Compares the routing engine with the reference implementation on generated rule sets and requests.
#[derive(Debug, Parser)]
struct Arguments {
    /// Pairs of rule set and request.
    #[arg(long, default_value_t = 10_000_000)]
    pairs: u64,
    /// Requests for each rule set.
    #[arg(long, default_value_t = 90)]
    requests: u64,
    /// What rule sets and requests follow from; the time by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// Leaves out of the rule sets: grpc, cors, policy.
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let seed = arguments.seed.unwrap_or_else(|| u64::try_from(now).unwrap_or_default());
    let with = |name: &str| !arguments.without.iter().any(|other| other == name);
    let options = Options { grpc: with("grpc"), cors: with("cors"), policy: with("policy"), wire: false };
    println!("seed {seed}");
    let plan = Plan {
        seed,
        pairs: arguments.pairs,
        requests: arguments.requests.max(1),
        threads: arguments.threads.max(1),
        options,
    };
    match run(plan) {
        Ok(Ok(report)) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Ok(Err(difference)) => {
            print!("{difference}");
            ExitCode::from(1)
        }
        Err(error) => {
            println!("{error:#}");
            ExitCode::from(2)
        }
    }
}
