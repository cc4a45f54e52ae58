//! A set of lengths, read from the longest on. Those below 64, which nearly all are, need no memory of their own.

#[derive(Debug, Default)]
pub(super) struct Lengths {
    /// Bit `n` is length `n`.
    short: u64,
    /// The others, longest first.
    long: Vec<usize>,
}

impl Lengths {
    pub(super) fn insert(&mut self, length: usize) {
        match bit(length) {
            Some(bit) => self.short |= bit,
            None => {
                if let Err(place) = self.long.binary_search_by(|known| length.cmp(known)) {
                    self.long.insert(place, length);
                }
            }
        }
    }

    /// Those that are no greater than `longest`, longest first.
    pub(super) fn up_to(&self, longest: usize) -> impl Iterator<Item = usize> {
        let below = |bit: u64| bit.wrapping_sub(1);
        let mut short = self.short & bit(longest).map_or(u64::MAX, |bit| bit | below(bit));
        let descending = std::iter::from_fn(move || {
            let length = short.checked_ilog2()?;
            short &= below(1_u64.checked_shl(length)?);
            usize::try_from(length).ok()
        });
        self.long.iter().copied().filter(move |length| *length <= longest).chain(descending)
    }
}

fn bit(length: usize) -> Option<u64> {
    1_u64.checked_shl(length.try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_descend() {
        let mut lengths = Lengths::default();
        for length in [3, 64, 0, 63, 200, 3, 64] {
            lengths.insert(length);
        }
        let up_to = |longest| lengths.up_to(longest).collect::<Vec<_>>();
        assert_eq!(up_to(1000), [200, 64, 63, 3, 0]);
        assert_eq!(up_to(64), [64, 63, 3, 0]);
        assert_eq!(up_to(63), [63, 3, 0]);
        assert_eq!(up_to(62), [3, 0]);
        assert_eq!(up_to(2), [0]);
        assert_eq!(up_to(0), [0]);
        assert_eq!(up_to(usize::MAX).len(), 5);
    }
}
