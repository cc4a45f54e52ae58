//! Regular expressions, by the literal that each begins with. Those that share one are tried one by one, or, where
//! they are many, all at once.

use regex_syntax::hir::literal::Extractor;
use rustc_hash::FxHashMap;

use super::Asked;
use super::automaton::{Automata, Automaton};
use super::candidates::Candidates;
use super::lengths::Lengths;
use crate::matching::value;
use crate::table::Match;

/// So many are tried one by one: an automaton of its own costs memory and has to find out which of them it was.
const FEW: usize = 8;

/// Expressions by the literal that they begin with.
#[derive(Debug)]
pub(super) struct ExpressionIndex {
    buckets: FxHashMap<Box<[u8]>, Bucket>,
    /// The lengths of the literals.
    lengths: Lengths,
}

/// Expressions that begin with the same literal, by their least id.
#[derive(Debug)]
struct Bucket {
    /// The matches of each expression.
    expressions: Box<[Candidates]>,
    automaton: Option<Box<Automaton>>,
}

/// An expression and the matches that have it, by ids that ascend.
struct Distinct {
    text: Box<str>,
    ids: Vec<u32>,
}

impl ExpressionIndex {
    /// Of these expressions and the matches that have them, by ids that ascend. `None` without any.
    pub(super) fn new(
        expressions: Vec<(Box<str>, u32)>,
        matches: &[Match],
        automata: &mut Automata,
    ) -> Option<Box<Self>> {
        let mut places: FxHashMap<Box<str>, usize> = FxHashMap::default();
        let mut distinct: Vec<Distinct> = Vec::new();
        for (text, id) in expressions {
            let place = *places.entry(text.clone()).or_insert(distinct.len());
            match distinct.get_mut(place) {
                Some(known) => known.ids.push(id),
                None => distinct.push(Distinct { text, ids: vec![id] }),
            }
        }
        if distinct.is_empty() {
            return None;
        }
        let few = distinct.len() <= FEW;
        let mut buckets: FxHashMap<Box<[u8]>, Vec<Distinct>> = FxHashMap::default();
        for one in distinct {
            let literal = if few { Box::default() } else { literal_prefix(&one.text) };
            buckets.entry(literal).or_default().push(one);
        }
        let buckets: FxHashMap<_, _> = buckets
            .into_iter()
            .map(|(literal, expressions)| (literal, Bucket::new(expressions, matches, automata)))
            .collect();
        let mut lengths = Lengths::default();
        buckets.keys().for_each(|literal| lengths.insert(literal.len()));
        Some(Box::new(Self { buckets, lengths }))
    }

    /// The least id that holds and is less than `best`, of matches whose expression matches `text`; else `best`.
    /// `matches` asks a match itself.
    pub(super) fn first(
        &self,
        asked: &Asked<'_>,
        text: &[u8],
        best: u32,
        matches: impl Fn(&Match) -> bool,
    ) -> u32 {
        let literals = self.lengths.up_to(text.len()).filter_map(|length| text.get(..length));
        let buckets = literals.filter_map(|literal| self.buckets.get(literal));
        buckets.fold(best, |best, bucket| bucket.first(asked, text, best, &matches))
    }
}

impl Bucket {
    fn new(expressions: Vec<Distinct>, matches: &[Match], automata: &mut Automata) -> Self {
        let texts: Vec<_> = expressions.iter().map(|one| &*one.text).collect();
        let automaton = if texts.len() > FEW { automata.build(&texts) } else { None };
        let expressions = expressions.into_iter().map(|one| Candidates::new(one.ids, matches)).collect();
        Self { expressions, automaton: automaton.map(Box::new) }
    }

    fn first(&self, asked: &Asked<'_>, text: &[u8], best: u32, matches: impl Fn(&Match) -> bool) -> u32 {
        let mut all_at_once = best;
        if let Some(automaton) = &self.automaton
            && automaton
                .matching(text, |place| {
                    let candidates = self.expressions.get(place);
                    all_at_once = candidates.map_or(all_at_once, |them| them.first(asked, all_at_once));
                })
                .is_ok()
        {
            return all_at_once;
        }
        self.expressions.iter().fold(best, |best, candidates| {
            let least = candidates.least();
            let applies = least < best && asked.at(least).is_some_and(&matches);
            if applies { candidates.first(asked, best) } else { best }
        })
    }
}

/// What everything that the expression matches begins with, as far as that is plain to see.
fn literal_prefix(expression: &str) -> Box<[u8]> {
    let Some(parsed) = value::parse(expression) else { return Box::default() };
    let literals = Extractor::new().extract(&parsed);
    literals.longest_common_prefix().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_what_every_match_begins_with() {
        for (expression, expected) in [
            ("/svc17/[0-9]+", "/svc17/"),
            ("^/[^/]+/svc17/.*", "/"),
            ("/api/v(1|2)/x", "/api/v"),
            ("/a|/ab", "/a"),
            ("/a|b", ""),
            ("(?i)/a", "/"),
            ("/a?b", "/"),
            ("(/a)*", ""),
            ("", ""),
            ("[a&&b]", ""),
            ("/é", "/é"),
        ] {
            assert_eq!(&*literal_prefix(expression), expected.as_bytes(), "{expression}");
        }
    }
}
