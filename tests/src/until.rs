//! Waiting for something to happen: asked again and again, never slept for.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// How often is asked.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// Waits until `done` says so. What it fails with may pass (nobody listens yet), and is told when `limit` has passed.
pub async fn until<F>(what: &str, limit: Duration, done: impl Fn() -> F) -> Result<()>
where
    F: Future<Output = Result<bool>>,
{
    let end = Instant::now() + limit;
    loop {
        let last = done().await;
        if matches!(last, Ok(true)) {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{what}: not after {limit:?}: {last:?}");
        tokio::time::sleep(POLL).await;
    }
}
