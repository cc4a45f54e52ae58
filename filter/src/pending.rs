//! What waits for the answer of a request, by the request's context. An answer may never come, and to be told of the
//! end of every request would cost a call into the VM for each; so what is left behind is looked for, now and then,
//! when more has gathered than was last in use.

use std::collections::BTreeMap;

/// So many may wait before anything is looked for.
const FEW: usize = 64;

/// Values by context.
#[derive(Debug)]
pub struct Pending<T> {
    values: BTreeMap<u32, T>,
    /// When so many wait, those left behind are looked for.
    limit: usize,
}

impl<T> Pending<T> {
    /// Nothing.
    pub const fn new() -> Self {
        Self { values: BTreeMap::new(), limit: FEW }
    }

    /// Keeps `value` for a context; `alive` tells which of some contexts the host still has.
    ///
    /// At most twice as many are kept as were alive at the last look, so that a look costs each request a constant
    /// share.
    pub fn keep(&mut self, context: u32, value: T, alive: impl FnOnce(&[u32]) -> Vec<u32>) {
        if self.values.len() >= self.limit {
            let contexts: Vec<u32> = self.values.keys().copied().collect();
            // In the order of the question, which is ascending.
            let alive = alive(&contexts);
            self.values.retain(|context, _| alive.binary_search(context).is_ok());
            self.limit = self.values.len().saturating_mul(2).max(FEW);
        }
        self.values.insert(context, value);
    }

    /// Gives out what is kept for a context, once.
    pub fn take(&mut self, context: u32) -> Option<T> {
        if self.values.is_empty() { None } else { self.values.remove(&context) }
    }
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_given_out_once() {
        let mut pending = Pending::new();
        assert_eq!(pending.take(1), None);
        pending.keep(1, "a", |_| Vec::new());
        assert_eq!(pending.take(2), None);
        assert_eq!(pending.take(1), Some("a"));
        assert_eq!(pending.take(1), None);
    }

    #[test]
    fn what_is_left_behind_does_not_pile_up() {
        let mut pending = Pending::new();
        let mut looks = 0;
        // Every tenth request lasts; no answer ever comes for the others.
        for context in 1..=100_000 {
            pending.keep(context, context, |contexts| {
                looks += 1;
                assert!(contexts.is_sorted());
                contexts.iter().copied().filter(|context| context % 10 == 0 && *context < 1_000).collect()
            });
            assert!(pending.values.len() <= 200, "{}", pending.values.len());
        }
        assert!(looks < 2_000, "{looks} looks");
        assert_eq!(pending.take(10), Some(10));
        assert_eq!(pending.take(990), Some(990));
        assert_eq!(pending.take(5), None);
    }
}
