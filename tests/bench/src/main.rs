//! The engine natively: one JSON line for each number of rules and spread of hosts.

use std::time::{Duration, Instant};

use gatewasm_bench::{Hosts, RULES, SAMPLES, Workload};

/// Shortest time that a sample takes.
const SAMPLE: Duration = Duration::from_millis(100);

fn main() {
    for hosts in Hosts::ALL {
        for rules in RULES {
            let workload = Workload::new(rules, hosts);
            let rounds = rounds(&workload);
            let mut samples: Vec<_> = (0..SAMPLES).map(|_| time(&workload, rounds).as_nanos()).collect();
            samples.sort_unstable();
            let median = samples.get(SAMPLES / 2).copied().unwrap_or_default();
            let nanoseconds = median as f64 / (f64::from(rounds) * workload.len() as f64);
            let hosts = hosts.name();
            println!(r#"{{"engine":"native","rules":{rules},"hosts":"{hosts}","ns":{nanoseconds:.0}}}"#);
        }
    }
}

/// Enough rounds to fill a sample.
fn rounds(workload: &Workload) -> u32 {
    let mut rounds = 1;
    while time(workload, rounds) < SAMPLE {
        rounds *= 2;
    }
    rounds
}

fn time(workload: &Workload, rounds: u32) -> Duration {
    let start = Instant::now();
    std::hint::black_box(workload.decide(std::hint::black_box(rounds)));
    start.elapsed()
}
