//! Engine and reference agree, on another seed in every run.

use std::time::{SystemTime, UNIX_EPOCH};

use gatewasm_reference::generate::Options;
use gatewasm_reference::run::{Plan, run};

/// What must be among the outcomes: a comparison that never gets there shows nothing.
const SEEN: &[&str] = &[
    "HTTPRoute: forwarded",
    "HTTPRoute: forwarded under a policy",
    "HTTPRoute: preflight answered with 204",
    "HTTPRoute: preflight answered with 403",
    "GRPCRoute: forwarded",
    "GRPCRoute: answered with 500, grpc-status 14",
    "no rule: answered with 404, grpc-status 12",
    "HTTPRoute: redirected with 301",
    "HTTPRoute: redirected with 302",
    "HTTPRoute: redirected with 308",
    "HTTPRoute: answered with 400",
    "HTTPRoute: answered with 500",
    "no rule: answered with 404",
    "no rule: answered with 404, no listener",
    "no rule: answered with 421, no listener",
];

#[test]
fn engine_and_reference_agree() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let seed = u64::try_from(now).unwrap();
    println!("seed {seed}");
    let plan = Plan { seed, pairs: 300_000, requests: 90, threads: 2, options: Options::default() };
    match run(plan).unwrap() {
        Ok(report) => {
            println!("{report}");
            assert!(report.pairs >= plan.pairs);
            for outcome in SEEN {
                let seen = report.outcomes.get(*outcome).copied().unwrap_or_default();
                assert!(seen > 100, "{outcome} was seen {seen} times:\n{report}");
            }
        }
        Err(difference) => panic!("seed {seed}: {difference}"),
    }
}
