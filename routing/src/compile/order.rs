//! The matches of a listener that has been compiled: the order in which the table has them, and an index for each of
//! its hostnames. Finds no faults.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::Compiler;
use crate::index::Index;
use crate::matching::host::{HostMap, Hostname};
use crate::matching::path::PathMatch;
use crate::precedence::HostnameRank;
use crate::table::Match;

impl<'c> Compiler<'c> {
    /// Puts the listener's matches, from `first` on, in the order that the table has, and makes the index of each of its
    /// hostnames.
    pub(super) fn index(
        &mut self,
        first: u32,
        hostnames: BTreeMap<Hostname<'c>, Vec<usize>>,
    ) -> HostMap<u32> {
        self.sort_matches(first);
        let mut of_routes: FxHashMap<usize, Vec<u32>> = FxHashMap::default();
        for id in first..self.next_match() {
            let rule = self.table.match_at(id).and_then(|found| self.table.rules.get(found.rule));
            if let Some(rule) = rule {
                of_routes.entry(rule.route).or_default().push(id);
            }
        }
        let mut hosts = HostMap::default();
        let mut places: FxHashMap<Vec<usize>, u32> = FxHashMap::default();
        for (hostname, routes) in hostnames {
            let place = match places.get(&routes) {
                Some(place) => *place,
                None => {
                    let ids = routes.iter().filter_map(|route| of_routes.get(route)).flatten();
                    let mut ids: Vec<u32> = ids.copied().collect();
                    sort(&mut ids, &mut u32::cmp);
                    let place = u32::try_from(self.table.indexes.len()).unwrap_or(u32::MAX);
                    self.table.indexes.push(Index::new(&ids, &self.table.matches, &mut self.automata));
                    places.insert(routes, place);
                    place
                }
            };
            hosts.insert(hostname, place);
        }
        hosts
    }

    /// Of most matches of a large config nothing is ever compared: they have a literal path that no other has. They stay
    /// as they are, behind the others.
    fn sort_matches(&mut self, first: u32) {
        let start = usize::try_from(first).unwrap_or(usize::MAX).min(self.table.matches.len());
        let unsorted = self.table.matches.get(start..).unwrap_or_default();
        let mut having: FxHashMap<(bool, &str), usize> = FxHashMap::default();
        for path in unsorted.iter().filter_map(literal_path) {
            let count = having.entry(path).or_default();
            *count = count.saturating_add(1);
        }
        let alone = |of: &Match| literal_path(of).is_some_and(|path| having.get(&path) == Some(&1));
        let (mut sorted, mut others): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for (place, of) in (0..).zip(unsorted) {
            if alone(of) { &mut others } else { &mut sorted }.push(place);
        }
        if sorted.is_empty() {
            return;
        }
        // Keys are large: their places move in their stead. Under one hostname all matches have the same rank of
        // hostname: it does not matter which.
        let key = |of: &'_ Match| self.table.precedence(HostnameRank::default(), of);
        let keys: Vec<_> = unsorted.iter().map(|of| if alone(of) { None } else { key(of) }).collect();
        sort(&mut sorted, &mut |a, b| at(&keys, *a).cmp(&at(&keys, *b)));
        let mut unsorted: Vec<_> = self.table.matches.drain(start..).map(Some).collect();
        let places = sorted.into_iter().chain(others).filter_map(|place| usize::try_from(place).ok());
        self.table.matches.extend(places.filter_map(|place| unsorted.get_mut(place)?.take()));
    }
}

fn at<T>(list: &[T], place: u32) -> Option<&T> {
    list.get(usize::try_from(place).ok()?)
}

/// One copy of the code, whatever the order is: it takes 15 KiB of the filter for each.
#[inline(never)]
fn sort(list: &mut [u32], order: &mut dyn FnMut(&u32, &u32) -> Ordering) {
    list.sort_unstable_by(order);
}

/// The literal path of a match, and whether it is exact; `None` where it has none or is not told apart by it.
fn literal_path(of: &Match) -> Option<(bool, &str)> {
    match &of.path {
        PathMatch::Exact(path) if !of.is_grpc => Some((true, path)),
        PathMatch::Prefix(prefix) if !of.is_grpc => Some((false, prefix)),
        _ => None,
    }
}
