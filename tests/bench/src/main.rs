//! The engine natively: one JSON line for each figure.

use std::time::{Duration, Instant};

use gatewasm_bench::*;

/// Shortest time that a sample takes.
const SAMPLE: Duration = Duration::from_millis(100);

fn main() {
    decisions();
    documents();
}

/// Workloads take turns, so that a machine that is busy for a while is busy for all of them.
fn decisions() {
    let workloads: Vec<_> =
        WORKLOADS.iter().map(|(shape, rules, ask)| Workload::new(*shape, *rules, *ask)).collect();
    let rounds: Vec<_> = workloads.iter().map(rounds).collect();
    let mut samples = vec![Vec::new(); workloads.len()];
    for _ in 0..SAMPLES {
        for ((workload, rounds), samples) in workloads.iter().zip(&rounds).zip(&mut samples) {
            let decisions = f64::from(*rounds) * workload.len() as f64;
            samples
                .push(time(|| workload.decide(std::hint::black_box(*rounds))).as_nanos() as f64 / decisions);
        }
    }
    for ((shape, rules, ask), samples) in WORKLOADS.iter().zip(samples) {
        println!(
            r#"{{"engine":"native","figure":"decision","shape":"{}","rules":{rules},"ask":"{}","ns":{:.0}}}"#,
            shape.name(),
            ask.name(),
            median(samples)
        );
    }
}

fn documents() {
    let json = document(DOCUMENT_RULES);
    let (mut values, mut tables) = (Vec::new(), Vec::new());
    let mut retained = 0;
    for _ in 0..SAMPLES {
        let milliseconds = |read: fn(&[u8]) -> Read| {
            let start = Instant::now();
            let read = read(&json);
            let time = start.elapsed();
            drop(read);
            time.as_secs_f64() * 1e3
        };
        values.push(milliseconds(read_value));
        tables.push(milliseconds(read_table));
        let before = live();
        let table = read_table(&json);
        retained = live().wrapping_sub(before);
        drop(table);
    }
    println!(
        r#"{{"engine":"native","figure":"document","rules":{DOCUMENT_RULES},"bytes":{},"value_ms":{:.2},"table_ms":{:.2},"retained":{retained}}}"#,
        json.len(),
        median(values),
        median(tables)
    );
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

/// Enough rounds to fill a sample.
fn rounds(workload: &Workload) -> u32 {
    let mut rounds = 1;
    while time(|| workload.decide(std::hint::black_box(rounds))) < SAMPLE {
        rounds *= 2;
    }
    rounds
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed()
}
