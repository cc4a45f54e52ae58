//! Requests of any bytes through real Envoy, in HTTP/1 and HTTP/2: no VM fails, and nobody else notices.
//!
//! Here a few; `just fuzz-envoy` sends many. `GATEWASM_FUZZ_REQUESTS` and `GATEWASM_FUZZ_SEED` say how many and which.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use gatewasm_tests::hostile::{Rig, fuzz};

const REQUESTS: usize = 5_000;

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_any_bytes_harm_nobody() -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let seed = number("GATEWASM_FUZZ_SEED")?.unwrap_or(now);
    let count = number("GATEWASM_FUZZ_REQUESTS")?.map_or(Ok(REQUESTS), usize::try_from)?;
    println!("seed {seed}");
    let rig = Arc::new(Rig::start(include_str!("../hostile/byte_fuzz.yaml")).await?);
    let report = fuzz::run(&rig, seed, count).await?;
    println!("{report}");
    ensure!(report.routed > report.requests as u64 / 10, "hardly a request reached a backend: {report}");
    for (name, echo) in &rig.echoes {
        ensure!(echo.requests() > 0, "no request reached {name}");
    }
    Arc::into_inner(rig).context("the gateway is still in use")?.stop().await
}

fn number(name: &str) -> Result<Option<u64>> {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => Ok(Some(text.parse().with_context(|| format!("{name}={text:?}"))?)),
        _ => Ok(None),
    }
}
