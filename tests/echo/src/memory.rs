//! What a backend has received.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::Echoed;

/// A request, and when it had arrived as a whole.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// What.
    pub echoed: Echoed,
}

#[derive(Debug, Default)]
pub(crate) struct Memory {
    requests: AtomicU64,
    by_key: Mutex<BTreeMap<String, Vec<Arrival>>>,
}

impl Memory {
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Remembers a request; says how many of this key there were before.
    pub(crate) fn remember(&self, key: &str, echoed: Echoed) -> usize {
        let Ok(mut by_key) = self.by_key.lock() else { return 0 };
        let arrivals = by_key.entry(key.to_owned()).or_default();
        arrivals.push(Arrival { at: Instant::now(), echoed });
        arrivals.len() - 1
    }

    pub(crate) fn arrivals(&self, key: &str) -> Vec<Arrival> {
        self.by_key.lock().ok().and_then(|by_key| by_key.get(key).cloned()).unwrap_or_default()
    }
}
