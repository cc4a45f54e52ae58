//! The matches under one hostname, so arranged that the one which takes a request is found without trying the others:
//! paths by hash, expressions by literal prefix and automaton, matches of one path by header or query parameter.
//!
//! Nothing here decides about precedence. The ids of matches follow it ([`crate::precedence`]): of two that hold, the
//! lesser is the one.

mod automaton;
mod candidates;
mod expressions;
mod lengths;
mod slots;

use automaton::Automata;
use candidates::Candidates;
use expressions::ExpressionIndex;
use lengths::Lengths;
use slots::{Groups, Slots, hash};

pub(crate) use automaton::Automata as AutomataBudget;

use crate::matching::grpc::Call;
use crate::matching::path::PathMatch;
use crate::matching::value::Value;
use crate::request::Request;
use crate::table::Match;

/// Greater than every id: nothing was found.
const NONE: u32 = u32::MAX;

/// What the keys of exact paths and of prefixes, which may be the same text, are hashed with.
const EXACT: u32 = 0x5bd1_e995;
const PREFIX: u32 = 0;

/// A request, taken apart once, and the matches that it is held against.
#[derive(Clone, Copy)]
struct Asked<'a> {
    matches: &'a [Match],
    request: &'a Request<'a>,
    path: &'a [u8],
    query: &'a [u8],
}

impl<'a> Asked<'a> {
    fn at(&self, id: u32) -> Option<&'a Match> {
        at(self.matches, id)
    }

    /// Whether the request meets all that the match asks for besides the path, or besides what is called.
    fn meets(&self, id: u32) -> bool {
        self.at(id).is_some_and(|of| of.meets(self.request, self.query))
    }

    /// The first of `ids`, which ascend, that holds and is less than `best`; else `best`.
    fn first(&self, ids: &[u32], best: u32) -> u32 {
        ids.iter().copied().take_while(|id| *id < best).find(|id| self.meets(*id)).unwrap_or(best)
    }
}

fn at(matches: &[Match], id: u32) -> Option<&Match> {
    matches.get(usize::try_from(id).ok()?)
}

/// The matches under one hostname.
#[derive(Debug)]
pub(crate) struct Index {
    /// Exact paths and prefixes.
    paths: Slots,
    /// The lengths of the prefixes. A path of many elements costs no more than there are.
    lengths: Lengths,
    /// Whether there are exact paths.
    has_exact: bool,
    expressions: Option<Box<ExpressionIndex>>,
    grpc: Option<Box<GrpcIndex>>,
}

/// The matches of GRPCRoutes.
#[derive(Debug)]
struct GrpcIndex {
    /// Those of every call.
    any: Option<Candidates>,
    /// Exact services and methods, the absent one as the empty text that none is.
    calls: Slots,
    expressions: Option<Box<ExpressionIndex>>,
}

impl Index {
    /// Of these matches, by ids that ascend.
    pub(crate) fn new(ids: &[u32], matches: &[Match], automata: &mut Automata) -> Self {
        let (mut paths, mut expressions) = (Groups::with_capacity(ids.len()), Vec::new());
        let (mut lengths, mut has_exact) = (Lengths::default(), false);
        let mut of_grpc = Vec::new();
        for id in ids.iter().copied() {
            let Some(of) = at(matches, id) else { continue };
            if of.is_grpc {
                of_grpc.push(id);
                continue;
            }
            match &of.path {
                PathMatch::Exact(path) => {
                    has_exact = true;
                    paths.push(hash(EXACT, [path.as_bytes()]), id, |other| {
                        is_exact(matches, other, path.as_bytes())
                    });
                }
                PathMatch::Prefix(prefix) => {
                    let text = prefix.as_bytes();
                    paths.push(hash(PREFIX, [text]), id, |other| is_prefix(matches, other, text));
                    lengths.insert(text.len());
                }
                PathMatch::Expression(expression) => expressions.push((expression.source().into(), id)),
            }
        }
        Self {
            paths: paths.finish(matches),
            lengths,
            has_exact,
            expressions: ExpressionIndex::new(expressions, matches, automata),
            grpc: (!of_grpc.is_empty()).then(|| Box::new(GrpcIndex::new(&of_grpc, matches, automata))),
        }
    }

    /// The id of the match that takes the request. `path` and `query` are its parts.
    pub(crate) fn find(
        &self,
        matches: &[Match],
        request: &Request<'_>,
        path: &[u8],
        query: &[u8],
    ) -> Option<u32> {
        let asked = Asked { matches, request, path, query };
        // Matches of GRPCRoutes have the lesser ids, then exact paths, expressions, and prefixes from the longest on.
        let mut found = match &self.grpc {
            Some(grpc) if request.is_grpc() => grpc.find(&asked),
            _ => NONE,
        };
        if found == NONE && self.has_exact {
            let exact = self.paths.get(hash(EXACT, [path]), |id| is_exact(matches, id, path));
            found = exact.map_or(NONE, |candidates| candidates.first(&asked, NONE));
        }
        if found == NONE
            && let Some(expressions) = &self.expressions
        {
            found = expressions.first(&asked, path, NONE, |of| of.path.matches(path));
        }
        if found == NONE {
            let mut prefixes = self.lengths.up_to(path.len()).filter_map(|length| {
                let (prefix, rest) = path.split_at_checked(length)?;
                let whole = prefix.is_empty() || rest.first().is_none_or(|next| *next == b'/');
                if !whole {
                    return None;
                }
                let candidates =
                    self.paths.get(hash(PREFIX, [prefix]), |id| is_prefix(matches, id, prefix))?;
                Some(candidates.first(&asked, NONE)).filter(|id| *id != NONE)
            });
            found = prefixes.next().unwrap_or(NONE);
        }
        (found != NONE).then_some(found)
    }
}

impl GrpcIndex {
    fn new(ids: &[u32], matches: &[Match], automata: &mut Automata) -> Self {
        let (mut any, mut calls, mut expressions) =
            (Vec::new(), Groups::with_capacity(ids.len()), Vec::new());
        for id in ids.iter().copied() {
            let Some(of) = at(matches, id) else { continue };
            let Some(grpc) = of.grpc() else {
                any.push(id);
                continue;
            };
            match (exact(&grpc.service), exact(&grpc.method)) {
                (Some(service), Some(method)) => {
                    calls.push(hash(EXACT, [service, method]), id, |other| {
                        calls_for(matches, other, service, method)
                    });
                }
                // Of a path of two elements both match when the whole does: neither can match a slash.
                _ => expressions.push((grpc.as_expression().into(), id)),
            }
        }
        Self {
            any: (!any.is_empty()).then(|| Candidates::new(any, matches)),
            calls: calls.finish(matches),
            expressions: ExpressionIndex::new(expressions, matches, automata),
        }
    }

    /// Of these matches service and method count before all else, and in their lengths: whatever kind they are of,
    /// they compete.
    fn find(&self, asked: &Asked<'_>) -> u32 {
        let mut best = self.any.as_ref().map_or(NONE, |candidates| candidates.first(asked, NONE));
        let Some(call) = Call::of(asked.path) else { return best };
        for (service, method) in [(call.service, call.method), (call.service, b""), (b"", call.method)] {
            let same = |id| calls_for(asked.matches, id, service, method);
            if let Some(candidates) = self.calls.get(hash(EXACT, [service, method]), same) {
                best = candidates.first(asked, best);
            }
        }
        match &self.expressions {
            Some(expressions) => expressions
                .first(asked, asked.path, best, |of| of.grpc().is_some_and(|grpc| grpc.matches(call))),
            None => best,
        }
    }
}

fn is_exact(matches: &[Match], id: u32, path: &[u8]) -> bool {
    at(matches, id).is_some_and(|of| matches!(&of.path, PathMatch::Exact(own) if own.as_bytes() == path))
}

fn is_prefix(matches: &[Match], id: u32, prefix: &[u8]) -> bool {
    at(matches, id).is_some_and(|of| matches!(&of.path, PathMatch::Prefix(own) if own.as_bytes() == prefix))
}

fn calls_for(matches: &[Match], id: u32, service: &[u8], method: &[u8]) -> bool {
    at(matches, id)
        .and_then(Match::grpc)
        .is_some_and(|grpc| exact(&grpc.service) == Some(service) && exact(&grpc.method) == Some(method))
}

/// The text of an exact value, empty for an absent one; `None` for an expression.
fn exact(value: &Option<Value>) -> Option<&[u8]> {
    value.as_ref().map_or(Some(b""), |value| value.exact().map(str::as_bytes))
}
