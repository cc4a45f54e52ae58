//! Many regular expressions as one automaton: a text is read once, however many there are. It is built as requests
//! come, state by state, and forgets when it has too many; where it would do little else, expressions are tried one by
//! one.

use std::sync::{Mutex, PoisonError};

use regex_automata::hybrid::dfa::{Cache, DFA, OverlappingState};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchError, MatchKind};

/// Most bytes of the states of one automaton. A thousand ordinary expressions need half of it.
const MAX_CACHE: usize = 2 << 20;
/// Most bytes of the programs of one automaton.
const MAX_PROGRAM: usize = 8 << 20;
/// Most bytes of all automata of a table.
const MAX_ALL: usize = 32 << 20;

/// Builds automata as long as there is room for them.
pub(crate) struct Automata {
    left: usize,
}

impl Default for Automata {
    fn default() -> Self {
        Self { left: MAX_ALL }
    }
}

impl Automata {
    /// The automaton of these expressions, by their places; `None` where it is too large.
    pub(super) fn build(&mut self, expressions: &[&str]) -> Option<Automaton> {
        let room = self.left.checked_sub(MAX_CACHE)?;
        let expressions: Vec<_> = expressions.iter().map(|text| format!("^(?:{text})$")).collect();
        let program = thompson::Config::new()
            .utf8(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(room.min(MAX_PROGRAM)));
        let states = DFA::config()
            .match_kind(MatchKind::All)
            .cache_capacity(MAX_CACHE)
            .minimum_cache_clear_count(Some(3))
            .minimum_bytes_per_state(Some(10));
        let dfa = DFA::builder()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(program)
            .configure(states)
            .build_many(&expressions)
            .ok()?;
        let used = MAX_CACHE.saturating_add(dfa.memory_usage());
        self.left = self.left.saturating_sub(used);
        let cache = Mutex::new(dfa.create_cache());
        Some(Automaton { dfa, cache })
    }
}

/// Expressions that each must match the whole of a text.
#[derive(Debug)]
pub(super) struct Automaton {
    dfa: DFA,
    /// Behind a lock for those who decide on several threads; a VM of Envoy's has one.
    cache: Mutex<Cache>,
}

impl Automaton {
    /// Calls `found` with the place of each expression that matches.
    ///
    /// # Errors
    /// Not all may have been found: the text keeps the automaton from being quick.
    pub(super) fn matching(&self, text: &[u8], mut found: impl FnMut(usize)) -> Result<(), MatchError> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let input = Input::new(text).anchored(Anchored::Yes);
        let mut state = OverlappingState::start();
        loop {
            self.dfa.try_search_overlapping_fwd(&mut cache, &input, &mut state)?;
            match state.get_match() {
                Some(at_end) => found(at_end.pattern().as_usize()),
                None => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(automaton: &Automaton, text: &str) -> Vec<usize> {
        let mut places = Vec::new();
        automaton.matching(text.as_bytes(), |place| places.push(place)).unwrap();
        places.sort_unstable();
        places
    }

    #[test]
    fn all_that_match_the_whole_are_found() {
        let automaton = Automata::default().build(&["/a|/ab", "/.*", "", "(?m)^/a$", "/b"]).unwrap();
        assert_eq!(matching(&automaton, "/ab"), [0, 1]);
        assert_eq!(matching(&automaton, "/a"), [0, 1, 3]);
        assert_eq!(matching(&automaton, "/a\n"), [0; 0]);
        assert_eq!(matching(&automaton, ""), [2]);
        assert_eq!(matching(&automaton, "x"), [0; 0]);
    }

    #[test]
    fn automata_end_where_the_room_does() {
        let mut automata = Automata::default();
        let built =
            std::iter::repeat_with(|| automata.build(&["/a", "/b"])).take_while(Option::is_some).count();
        assert_eq!(built, 15);
        assert!(Automata::default().build(&["(a{1000}){1000}"]).is_none());
    }
}
