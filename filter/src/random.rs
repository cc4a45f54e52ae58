//! The numbers by which weights choose, and the id of this VM. Drawn in the VM: a call to the host for each request
//! would cost more than the whole decision.

use std::cell::Cell;

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014): evenly spread over `u64`,
/// one addition and two multiplications. Not for secrets.
pub(crate) struct Generator(Cell<u64>);

impl Generator {
    /// A generator whose numbers follow from `seed`.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    /// The next number.
    pub(crate) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
