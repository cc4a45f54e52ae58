//! The engine within a real Envoy agrees with the reference implementation, on another seed in every run. `just
//! differential` does the same for more.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use gatewasm_reference::generate::Options;
use gatewasm_tests::differential::{Plan, compare};

#[tokio::test(flavor = "multi_thread")]
async fn envoy_and_reference_agree() -> Result<()> {
    let seed = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
    println!("seed {seed}");
    let plan = Plan { seed, rule_sets: 60, requests: 50, batch: 60, options: Options::default() };
    let report = compare(plan).await?;
    println!("{report}");
    ensure!(report.pairs == 3000, "{report}");
    for outcome in ["HTTPRoute: forwarded", "HTTPRoute: redirected with 302", "HTTPRoute: answered with 500"]
    {
        ensure!(report.outcomes.contains_key(outcome), "{outcome} was never seen:\n{report}");
    }
    Ok(())
}
