//! A hash table that is filled once: numbers and nothing else, so that a look-up touches one line of memory before the
//! match itself. Keys are not in it: whoever asks compares with the match. They come from the config alone, so that no
//! client can make them collide; a fast hash is safe here.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use super::candidates::Candidates;
use super::{Asked, NONE};
use crate::table::Match;

/// A value with this bit is the place of a list; else it is the id of a match, the only one of its key.
const LIST: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u32,
    /// [`NONE`] in a free slot.
    value: u32,
}

/// Candidates by the hash of their key.
#[derive(Debug)]
pub(super) struct Slots {
    /// A power of two, or none.
    slots: Box<[Slot]>,
    lists: Box<[Candidates]>,
}

/// What a key has: the one match that most have, or several.
#[derive(Clone, Copy)]
pub(super) enum Found<'t> {
    One(u32),
    Several(&'t Candidates),
}

impl Found<'_> {
    pub(super) fn first(self, asked: &Asked<'_>, best: u32) -> u32 {
        match self {
            Self::One(id) => asked.first(&[id], best),
            Self::Several(candidates) => candidates.first(asked, best),
        }
    }
}

/// The hash of a key in parts; `seed` tells apart kinds of keys.
pub(super) fn hash<const N: usize>(seed: u32, parts: [&[u8]; N]) -> u32 {
    let mut hasher = FxHasher::default();
    for part in parts {
        hasher.write(part);
    }
    let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
    u32::from_le_bytes([a, b, c, d]) ^ seed
}

impl Slots {
    /// What the key with this hash has; `same` tells whether a match has that key.
    pub(super) fn get(&self, hash: u32, same: impl Fn(u32) -> bool) -> Option<Found<'_>> {
        // The first of a list stands for its key, like the only one of a key.
        probe(&self.slots, hash).find_map(|slot| {
            if slot.hash != hash {
                return None;
            }
            let found = match list_of(slot.value) {
                None => Found::One(slot.value),
                Some(place) => Found::Several(self.lists.get(place)?),
            };
            let representative = match found {
                Found::One(id) => id,
                Found::Several(candidates) => candidates.least(),
            };
            same(representative).then_some(found)
        })
    }
}

/// The slots at which a key with this hash may be, up to the first free one.
fn probe(slots: &[Slot], hash: u32) -> impl Iterator<Item = Slot> {
    places(slots.len(), hash).map_while(|place| slots.get(place).copied().filter(|slot| slot.value != NONE))
}

fn places(slots: usize, hash: u32) -> impl Iterator<Item = usize> {
    let mask = slots.wrapping_sub(1);
    let start = usize::try_from(hash).unwrap_or_default();
    (0..slots).map(move |step| start.wrapping_add(step) & mask)
}

fn list_of(value: u32) -> Option<usize> {
    if value & LIST == 0 { None } else { usize::try_from(value & !LIST).ok() }
}

/// The table as it is filled.
pub(super) struct Groups {
    slots: Box<[Slot]>,
    lists: Vec<Vec<u32>>,
}

impl Groups {
    /// For so many keys at most.
    pub(super) fn with_capacity(keys: usize) -> Self {
        Self { slots: Self::free(keys), lists: Vec::new() }
    }

    /// A third of the slots stay free at least, so that a probe is short.
    fn size(keys: usize) -> usize {
        if keys == 0 { 0 } else { keys.saturating_add(keys.div_ceil(2)).next_power_of_two() }
    }

    fn free(keys: usize) -> Box<[Slot]> {
        vec![Slot { hash: 0, value: NONE }; Self::size(keys)].into()
    }

    /// Adds a match to those of its key; ids ascend.
    pub(super) fn push(&mut self, hash: u32, id: u32, same: impl Fn(u32) -> bool) {
        for place in places(self.slots.len(), hash) {
            let Some(slot) = self.slots.get_mut(place) else { return };
            if slot.value == NONE {
                *slot = Slot { hash, value: id };
                return;
            }
            if slot.hash != hash {
                continue;
            }
            let list = list_of(slot.value);
            let representative = match list {
                None => Some(slot.value),
                Some(list) => self.lists.get(list).and_then(|ids| ids.first()).copied(),
            };
            if !representative.is_some_and(&same) {
                continue;
            }
            match list {
                None => {
                    let place = u32::try_from(self.lists.len()).unwrap_or_default();
                    self.lists.push(vec![slot.value, id]);
                    slot.value = place | LIST;
                }
                Some(list) => {
                    if let Some(ids) = self.lists.get_mut(list) {
                        ids.push(id);
                    }
                }
            }
            return;
        }
    }

    /// So many of a larger table's slots in one of the right size.
    fn moved<'s>(used: impl Iterator<Item = &'s Slot>, keys: usize) -> Box<[Slot]> {
        let mut slots = Self::free(keys);
        for slot in used {
            let mut places = places(slots.len(), slot.hash);
            let free = places.find(|place| slots.get(*place).is_some_and(|other| other.value == NONE));
            if let Some(free) = free.and_then(|free| slots.get_mut(free)) {
                *free = *slot;
            }
        }
        slots
    }

    pub(super) fn finish(self, matches: &[Match]) -> Slots {
        let used = self.slots.iter().filter(|slot| slot.value != NONE);
        let keys = used.clone().count();
        let slots = if Self::size(keys) == self.slots.len() { self.slots } else { Self::moved(used, keys) };
        let lists = self.lists.into_iter().map(|ids| Candidates::new(ids, matches)).collect();
        Slots { slots, lists }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids of a key, of which there may be none.
    fn ids(slots: &Slots, hash: u32, keys: &[&str], key: &str) -> Vec<u32> {
        match slots.get(hash, |id| keys[id as usize] == key) {
            None => Vec::new(),
            Some(Found::One(id)) => vec![id],
            Some(Found::Several(candidates)) => candidates.tried().to_vec(),
        }
    }

    #[test]
    fn keys_with_the_same_hash_are_told_apart() {
        let keys = ["a", "b", "a", "c", "a"];
        // The last slot, so that the search begins again at the first.
        for hash in [0, 7, u32::MAX] {
            let mut groups = Groups::with_capacity(keys.len());
            for (id, key) in (0..).zip(keys) {
                groups.push(hash, id, |other| keys[other as usize] == key);
            }
            let slots = groups.finish(&[]);
            assert_eq!(ids(&slots, hash, &keys, "a"), [0, 2, 4]);
            assert_eq!(ids(&slots, hash, &keys, "b"), [1]);
            assert_eq!(ids(&slots, hash, &keys, "c"), [3]);
            assert_eq!(ids(&slots, hash, &keys, "d"), [0; 0]);
            assert_eq!(ids(&slots, hash.wrapping_add(8), &keys, "a"), [0; 0]);
        }
    }

    #[test]
    fn nothing_is_in_an_empty_table() {
        let slots = Groups::with_capacity(0).finish(&[]);
        assert!(slots.get(7, |_| true).is_none());
        // Room was made for keys that did not come.
        let slots = Groups::with_capacity(100).finish(&[]);
        assert!(slots.get(7, |_| true).is_none());
    }

    #[test]
    fn the_seed_tells_keys_apart() {
        assert_ne!(hash(0, [b"/a"]), hash(1, [b"/a"]));
        assert_ne!(hash(0, [b"/a"]), hash(0, [b"/b"]));
    }
}
