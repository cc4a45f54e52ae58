//! Matches of one path, of which a request's headers and query parameters choose. A few are tried one by one; many are
//! found by the exact value that each asks for and fewest others do.

use rustc_hash::FxHashMap;

use super::{Asked, NONE, at};
use crate::matching::header;
use crate::matching::query;
use crate::table::Match;

/// So many are tried one by one: looking up each header of a request costs as much.
const FEW: usize = 8;

/// Most names by which a list is told apart; what asks for further ones only is tried one by one.
const MAX_NAMES: usize = 4096;

/// Matches in order of precedence.
#[derive(Debug)]
pub(super) struct Candidates {
    /// All of them where there are few, else those that ask for nothing exact.
    tried: Box<[u32]>,
    looked_up: Option<Box<LookedUp>>,
}

/// Matches by something that they ask for.
#[derive(Debug)]
struct LookedUp {
    least: u32,
    headers: ByName,
    query_params: ByName,
}

type ByName = FxHashMap<Box<[u8]>, Values>;

#[derive(Debug)]
struct Values {
    /// The name's number among those of its kind.
    number: usize,
    ids: FxHashMap<Box<[u8]>, Vec<u32>>,
}

/// Something exact that a match asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Wanted<'m> {
    Header(&'m str, &'m str),
    QueryParam(&'m str, &'m str),
}

impl Candidates {
    /// Of these matches, by ids that ascend.
    pub(super) fn new(ids: Vec<u32>, matches: &[Match]) -> Self {
        if ids.len() <= FEW {
            return Self { tried: ids.into(), looked_up: None };
        }
        let mut asking: FxHashMap<Wanted<'_>, usize> = FxHashMap::default();
        for wanted in ids.iter().flat_map(|id| all_wanted(matches, *id)) {
            let count = asking.entry(wanted).or_default();
            *count = count.saturating_add(1);
        }
        let mut looked_up = LookedUp {
            least: ids.first().copied().unwrap_or(NONE),
            headers: ByName::default(),
            query_params: ByName::default(),
        };
        let mut tried = Vec::new();
        for id in ids {
            let rarest = all_wanted(matches, id).min_by_key(|wanted| asking.get(wanted));
            if !rarest.is_some_and(|wanted| looked_up.insert(wanted, id)) {
                tried.push(id);
            }
        }
        Self { tried: tried.into(), looked_up: Some(Box::new(looked_up)) }
    }

    /// The least id.
    pub(super) fn least(&self) -> u32 {
        let tried = self.tried.first().copied().unwrap_or(NONE);
        self.looked_up.as_ref().map_or(tried, |looked_up| looked_up.least)
    }

    /// The least id that holds and is less than `best`; else `best`.
    pub(super) fn first(&self, asked: &Asked<'_>, best: u32) -> u32 {
        let best = asked.first(&self.tried, best);
        match &self.looked_up {
            Some(looked_up) if looked_up.least < best => looked_up.first(asked, best),
            _ => best,
        }
    }
}

impl LookedUp {
    /// Whether there is a place for it.
    fn insert(&mut self, wanted: Wanted<'_>, id: u32) -> bool {
        let (names, name, value) = match wanted {
            Wanted::Header(name, value) => (&mut self.headers, name, value),
            Wanted::QueryParam(name, value) => (&mut self.query_params, name, value),
        };
        let number = names.len();
        if number >= MAX_NAMES && !names.contains_key(name.as_bytes()) {
            return false;
        }
        let new = || Values { number, ids: FxHashMap::default() };
        let values = names.entry(name.as_bytes().into()).or_insert_with(new);
        values.ids.entry(value.as_bytes().into()).or_default().push(id);
        true
    }

    fn first(&self, asked: &Asked<'_>, mut best: u32) -> u32 {
        let mut consider = |values: &Values, value: &[u8]| {
            best = values.ids.get(value).map_or(best, |ids| asked.first(ids, best));
        };
        if !self.headers.is_empty() {
            let mut seen = Seen::default();
            let names = asked.request.headers.iter().map(|header| header.0);
            for name in std::iter::once(header::HOST.as_bytes()).chain(names) {
                let values = self.headers.get(name).filter(|values| seen.is_new(values.number));
                // A repeated header has one value: that of all its lines.
                let name = values.and_then(|_| std::str::from_utf8(name).ok());
                if let (Some(values), Some(value)) =
                    (values, name.and_then(|name| header::value_of(name, asked.request)))
                {
                    consider(values, &value);
                }
            }
        }
        if !self.query_params.is_empty() {
            let mut seen = Seen::default();
            for (name, value) in query::parameters(asked.query) {
                let values = self.query_params.get(&*query::decode(name));
                if let Some(values) = values.filter(|values| seen.is_new(values.number)) {
                    consider(values, &query::decode(value));
                }
            }
        }
        best
    }
}

/// All exact conditions of a match.
fn all_wanted(matches: &[Match], id: u32) -> impl Iterator<Item = Wanted<'_>> {
    let conditions = at(matches, id).and_then(|of| of.conditions.as_deref()).into_iter();
    let headers = conditions.clone().flat_map(|conditions| &conditions.headers);
    let query_params = conditions.flat_map(|conditions| &conditions.query_params);
    let headers = headers.filter_map(move |one| Some(Wanted::Header(&one.name, one.value.exact()?)));
    headers.chain(query_params.filter_map(move |one| Some(Wanted::QueryParam(&one.name, one.value.exact()?))))
}

/// Which names a request has brought already: only what stands first counts, and a client that repeats itself must not
/// make its request dear.
struct Seen([u64; MAX_NAMES / 64]);

impl Default for Seen {
    fn default() -> Self {
        Self([0; MAX_NAMES / 64])
    }
}

impl Seen {
    fn is_new(&mut self, number: usize) -> bool {
        let Some(word) = self.0.get_mut(number / 64) else { return false };
        let bit = 1_u64 << (number % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}
