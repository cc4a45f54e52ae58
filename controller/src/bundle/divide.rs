//! Into how many parts something is divided, and which part a thing of a given name is in.

use sha2::{Digest as _, Sha256};

use super::part::{Kind, PartName};

/// A part is divided before it grows beyond this, as long as there may be more parts. A change of one thing writes,
/// sends and reads its whole part, so that small parts make fast changes.
const COMFORTABLE: usize = 32 * 1024;

/// How many parts of `kind` things of `size` bytes in all are divided into: a power of two, so that a part that is
/// divided further spreads over two, and nothing else moves.
pub(super) fn count(kind: Kind, size: usize) -> u8 {
    let mut count = 1;
    while count < kind.most() && size > COMFORTABLE * usize::from(count) {
        count *= 2;
    }
    count
}

/// The part of `count` that the thing called `name` is in. It depends on the name alone, so that things come and go
/// without moving others.
pub(super) fn part(kind: Kind, name: &str, count: u8) -> PartName {
    let [first, ..] = <[u8; 32]>::from(Sha256::digest(name));
    PartName { kind, index: first % count.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_more_parts_the_more_there_is_up_to_the_most() {
        let counts = [0, COMFORTABLE, COMFORTABLE + 1, 3 * COMFORTABLE, 100 * COMFORTABLE];
        assert_eq!(counts.map(|size| count(Kind::Routes, size)), [1, 1, 2, 4, 16]);
        assert_eq!(count(Kind::Envoy, usize::MAX), 8);
    }

    #[test]
    fn a_further_division_moves_things_out_of_their_part_only() {
        for name in ["a", "b", "infra/web", "x/y/80"] {
            let (four, eight) = (part(Kind::Envoy, name, 4).index, part(Kind::Envoy, name, 8).index);
            assert!(eight == four || eight == four + 4, "{name}");
        }
    }
}
