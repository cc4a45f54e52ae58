//! Nanoseconds per decision: one workload, timed natively by `main.rs` and in wasm32 by `engine.mjs`, which reads the
//! clock around the two functions that are exported here.

mod workload;

use std::cell::RefCell;

pub use workload::{Hosts, Workload};

/// How often a measurement is repeated; the median counts.
pub const SAMPLES: usize = 9;

/// Numbers of rules that are measured.
pub const RULES: [usize; 3] = [10, 1_000, 10_000];

thread_local! {
    static WORKLOAD: RefCell<Option<Workload>> = const { RefCell::new(None) };
}

/// Makes the workload of `rules` rules, on one host (0) or spread over many (1). Returns its number of requests.
// The name must survive in the module; the lint counts that as unsafe.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn prepare(rules: u32, hosts: u32) -> u32 {
    let hosts = if hosts == 0 { Hosts::One } else { Hosts::Many };
    let workload = Workload::new(rules as usize, hosts);
    let requests = workload.len() as u32;
    WORKLOAD.set(Some(workload));
    requests
}

/// Decides every request of the workload `rounds` times. Returns how many were forwarded.
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
pub extern "C" fn decide(rounds: u32) -> u32 {
    WORKLOAD.with_borrow(|workload| workload.as_ref().map_or(0, |workload| workload.decide(rounds)))
}
