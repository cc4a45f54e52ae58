//! Expressions that match everything from some text on, such as `/api.*` and `/api(/.*)?`: told by their structure,
//! and only where it is plain. What is not told may still be such an expression.
//!
//! A line break, which `.` does not match, is in no path, header or call.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use crate::matching::value::parse;

/// What an expression matches after the text with which everything begins that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Whatever follows.
    Anything,
    /// Nothing, and a slash with whatever follows.
    Elements,
}

/// The text and the tail of an open-ended expression.
pub(crate) fn of(expression: &str) -> Option<(Vec<u8>, Tail)> {
    let hir = parse(expression)?;
    let parts = parts_of_whole(&hir);
    let mut beginning = Vec::new();
    let mut rest = parts.as_slice();
    while let [first, others @ ..] = rest
        && let HirKind::Literal(literal) = first.kind()
    {
        beginning.extend_from_slice(&literal.0);
        rest = others;
    }
    let tail = [(Tail::Anything, anything(rest)), (Tail::Elements, elements(rest))];
    tail.into_iter().find(|(_, is)| *is).map(|(tail, _)| (beginning, tail))
}

/// The one text that an expression matches.
pub(crate) fn literal(expression: &str) -> Option<Vec<u8>> {
    let hir = parse(expression)?;
    let mut text = Vec::new();
    for part in parts_of_whole(&hir) {
        let HirKind::Literal(literal) = part.kind() else { return None };
        text.extend_from_slice(&literal.0);
    }
    Some(text)
}

/// What follows each other in an expression that must match the whole of a value: there `^` and `$` at its ends say
/// nothing.
fn parts_of_whole(hir: &Hir) -> Vec<&Hir> {
    let mut parts = parts(hir);
    if parts.first().is_some_and(|part| matches!(part.kind(), HirKind::Look(Look::Start))) {
        parts.remove(0);
    }
    parts.pop_if(|part| matches!(part.kind(), HirKind::Look(Look::End)));
    parts
}

/// What follows each other, without groups.
fn parts(hir: &Hir) -> Vec<&Hir> {
    match hir.kind() {
        HirKind::Empty => Vec::new(),
        HirKind::Concat(parts_of) => parts_of.iter().flat_map(parts).collect(),
        HirKind::Capture(capture) => parts(&capture.sub),
        _ => vec![hir],
    }
}

/// Whether it matches the empty text, wherever it stands.
fn may_be_empty(hir: &Hir) -> bool {
    hir.properties().minimum_len() == Some(0) && hir.properties().look_set().is_empty()
}

/// Whether one of the parts is so, and the others may be empty.
fn one_of(parts: &[&Hir], is: fn(&Hir) -> bool) -> bool {
    parts.iter().any(|part| is(part)) && parts.iter().all(|part| is(part) || may_be_empty(part))
}

/// Whether every text matches: `.*`.
fn anything(parts_of: &[&Hir]) -> bool {
    one_of(parts_of, |part| match part.kind() {
        HirKind::Repetition(repeated) => {
            let every = repeated.min == 0 && repeated.max.is_none() && is_dot(&repeated.sub);
            every || repeated.min <= 1 && anything(&parts(&repeated.sub))
        }
        HirKind::Alternation(branches) => branches.iter().any(|branch| anything(&parts(branch))),
        _ => false,
    })
}

/// Whether the empty text matches, and every one that begins with a slash: `(/.*)?`.
fn elements(parts_of: &[&Hir]) -> bool {
    one_of(parts_of, |part| match part.kind() {
        HirKind::Repetition(repeated) => repeated.min == 0 && slash_and_anything(&repeated.sub),
        HirKind::Alternation(branches) => {
            let at_the_end = |hir: &Hir| may_be_empty(hir) || matches!(hir.kind(), HirKind::Look(Look::End));
            branches.iter().any(slash_and_anything) && branches.iter().any(at_the_end)
        }
        _ => false,
    })
}

fn slash_and_anything(hir: &Hir) -> bool {
    match parts(hir).as_slice() {
        [first, rest @ ..] => {
            matches!(first.kind(), HirKind::Literal(literal) if *literal.0 == *b"/") && anything(rest)
        }
        [] => false,
    }
}

/// Whether it matches every byte, line breaks aside.
fn is_dot(hir: &Hir) -> bool {
    let [one] = parts(hir)[..] else { return false };
    let HirKind::Class(Class::Bytes(class)) = one.kind() else { return false };
    let has = |byte: u8| class.iter().any(|range| (range.start()..=range.end()).contains(&byte));
    (u8::MIN..=u8::MAX).all(|byte| byte == b'\n' || has(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_ends_are_told_by_structure() {
        for (expression, beginning, tail) in [
            (".*", "", Tail::Anything),
            ("(?s).*", "", Tail::Anything),
            ("^/a.*$", "/a", Tail::Anything),
            ("/a/?.*", "/a", Tail::Anything),
            (r"/a\.b(.*)", "/a.b", Tail::Anything),
            ("/a(|.*)", "/a", Tail::Anything),
            ("/a(/.*)", "/a/", Tail::Anything),
            ("(/a)(/b.*?)", "/a/b", Tail::Anything),
            ("/a(/.*)?", "/a", Tail::Elements),
            ("^(/a(?:/.*)?)$", "/a", Tail::Elements),
            ("/a(/.*)*", "/a", Tail::Elements),
            ("/a(/.*|$)", "/a", Tail::Elements),
            ("/a(?:$|/.*)", "/a", Tail::Elements),
        ] {
            assert_eq!(of(expression), Some((beginning.into(), tail)), "{expression}");
        }
    }

    #[test]
    fn what_is_not_plain_is_not_told() {
        for expression in [
            "/a",
            "/a.+",
            "/a|/a/.*",
            "/a(/.+)?",
            "/a/?",
            "/a(/[^/]*)?",
            "/a.*b",
            "/a[a-z]*",
            "(?i)/a.*",
            "/a.*$b",
            r"/a\b.*",
            "/a(/.*){2}",
            ".{0,9}",
            "(?m)^/a.*$",
            "/a(^|/.*)",
            "/a(/b.*)?",
            "(/a|/b).*",
            "(",
        ] {
            assert_eq!(of(expression), None, "{expression}");
        }
    }

    #[test]
    fn one_text_is_told() {
        for (expression, text) in [("/a", "/a"), ("^/a$", "/a"), (r"(/a)\.b", "/a.b"), ("", "")] {
            assert_eq!(literal(expression), Some(text.into()), "{expression}");
        }
        for expression in ["/a.", "/a?", "/a|/b", "(?i)/a", "/a$b", "("] {
            assert_eq!(literal(expression), None, "{expression}");
        }
    }
}
