//! `differential_envoy [SEED] [RULE SETS] [REQUESTS OF EACH]`: the engine within a real Envoy, compared with the
//! reference implementation. 1,000 rule sets with 100 requests each by default, on another seed in every run.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use gatewasm_reference::generate::Options;
use gatewasm_tests::differential::{Plan, compare};

#[tokio::main]
async fn main() -> Result<()> {
    let mut numbers = std::env::args()
        .skip(1)
        .map(|text| text.parse::<u64>().with_context(|| format!("{text:?} is not a number")));
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos())?;
    let seed = numbers.next().unwrap_or(Ok(now))?;
    let rule_sets = numbers.next().unwrap_or(Ok(1000))?;
    let requests = usize::try_from(numbers.next().unwrap_or(Ok(100))?)?;
    println!("through Envoy: seed {seed}");
    let plan = Plan { seed, rule_sets, requests, batch: 50, options: Options::default() };
    print!("{}", compare(plan).await?);
    Ok(())
}
