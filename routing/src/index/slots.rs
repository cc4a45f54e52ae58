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
    fn free(keys: usize) -> Box<[Slot]> {
        let slots = if keys == 0 { 0 } else { keys.saturating_add(keys.div_ceil(2)).next_power_of_two() };
        vec![Slot { hash: 0, value: NONE }; slots].into()
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

    pub(super) fn finish(self, matches: &[Match]) -> Slots {
        let used = || self.slots.iter().filter(|slot| slot.value != NONE);
        let mut slots = Self::free(used().count());
        for slot in used() {
            let mut places = places(slots.len(), slot.hash);
            let free = places.find(|place| slots.get(*place).is_some_and(|other| other.value == NONE));
            if let Some(free) = free.and_then(|free| slots.get_mut(free)) {
                *free = *slot;
            }
        }
        let lists = self.lists.into_iter().map(|ids| Candidates::new(ids, matches)).collect();
        Slots { slots, lists }
    }
}
