//! What a request costs Envoy, in microseconds of its CPU: native routes, an empty wasm filter, and ours. Fails when
//! ours costs more among 10,000 rules than [`GATE`] allows.
//!
//! One worker, pinned to the first core; load and backend share the second. All cases take turns within a round and
//! have the same listener options; the figure is the process's time on a CPU divided by the requests of a turn, the
//! median over the rounds. Absolute figures are of the machine, ratios within one run can be compared. Turns are short
//! and rounds are many, so that what else the machine does for seconds concerns all cases alike.

mod case;
mod load;

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use case::{Case, Kind};
use gatewasm_tests::process::Process;
use serde_json::json;

/// Requests of one turn: a few tenths of a second of one core.
const REQUESTS: usize = 3_000;
/// Connections, each with one request under way.
const CONNECTIONS: usize = 16;
const ROUNDS: usize = 60;

/// What is measured. Among 10,000 rules Envoy's own routes would take the time of all others together.
const CASES: [(Kind, usize); 9] = [
    (Kind::Native, 10),
    (Kind::Empty, 10),
    (Kind::Ours, 10),
    (Kind::OursLogged, 10),
    (Kind::Native, 1_000),
    (Kind::Empty, 1_000),
    (Kind::Ours, 1_000),
    (Kind::OursLogged, 1_000),
    (Kind::Ours, 10_000),
];

/// What a request may cost among 10,000 rules on one host, of what it costs among 10.
const GATE: f64 = 1.05;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let rounds = match std::env::args().nth(1) {
        Some(rounds) => rounds.parse().context("usage: bench_envoy [ROUNDS]")?,
        None => ROUNDS,
    };
    let backend = load::backend().await?;
    let mut cases = Vec::new();
    for (kind, rules) in CASES {
        cases.push((Case::start(kind, rules, backend).await?, Vec::new()));
    }
    for round in 0..=rounds {
        // Each is first once in a while: none has always the same one before it.
        cases.rotate_left(1);
        for (case, figures) in &mut cases {
            let before = cpu(&case.envoy)?;
            load::run(case.address, case.rules, CONNECTIONS, REQUESTS).await?;
            // Let the connections close, so that their end is not on the next case's account.
            tokio::time::sleep(Duration::from_millis(50)).await;
            let figure = (cpu(&case.envoy)? - before) * 1e6 / REQUESTS as f64;
            // The first round warms up.
            if round > 0 {
                figures.push(figure);
            }
        }
    }
    cases.sort_by_key(|(case, _)| (case.rules, case.kind));
    println!(
        "{:<34} {:>6} {:>11} {:>10} {:>16}",
        "Envoy, one worker", "rules", "us/request", "to native", "min to max"
    );
    for (case, figures) in &cases {
        let native = find(&cases, Kind::Native, case.rules);
        let change =
            native.map_or(String::new(), |native| format!("{:+.0}%", (ratio(figures, native) - 1.0) * 100.0));
        let (name, figure) = (case.kind.name(), median(figures));
        let low = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let high = figures.iter().copied().fold(0.0, f64::max);
        println!("{name:<34} {:>6} {figure:>11.1} {change:>10} {low:>8.1} {high:>7.1}", case.rules);
    }
    for (case, figures) in &cases {
        let line = json!({
            "bench": "envoy",
            "case": case.kind.name(),
            "rules": case.rules,
            "microsecondsPerRequest": median(figures),
            "rounds": figures,
        });
        eprintln!("{line}");
    }
    let few = find(&cases, Kind::Ours, 10).context("no case of 10 rules")?;
    let many = find(&cases, Kind::Ours, 10_000).context("no case of 10,000 rules")?;
    let growth = ratio(many, few);
    println!("gatewasm, 10,000 rules to 10 rules: {growth:.3} (at most {GATE})");
    ensure!(growth <= GATE, "a request costs more among 10,000 rules than it may");
    Ok(())
}

/// The figures of a case, round by round.
fn find(cases: &[(Case, Vec<f64>)], kind: Kind, rules: usize) -> Option<&[f64]> {
    let found = cases.iter().find(|(case, _)| case.kind == kind && case.rules == rules);
    found.map(|(_, figures)| figures.as_slice())
}

/// The median of the ratios round by round: what else the machine does in a round concerns all cases of it.
fn ratio(figures: &[f64], base: &[f64]) -> f64 {
    let ratios: Vec<f64> = figures.iter().zip(base).map(|(figure, base)| figure / base).collect();
    median(&ratios)
}

/// Seconds that the process's threads have been on a CPU: the first field of each `/proc/PID/task/TID/schedstat`, in
/// nanoseconds (Documentation/scheduler/sched-stats.rst of Linux).
fn cpu(process: &Process) -> Result<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir(format!("/proc/{}/task", process.id()?)).context("is this Linux?")? {
        let stat = fs::read_to_string(thread?.path().join("schedstat"))?;
        let on_cpu = stat.split_whitespace().next().context("schedstat")?;
        nanoseconds += on_cpu.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
