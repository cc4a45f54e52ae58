//! What can be said of the texts that a regular expression matches, from its structure alone.

use regex_syntax::hir::{Class, Hir, HirKind};

/// The structure of an expression, as the routing engine reads it.
pub(super) fn parse(expression: &str) -> Option<Hir> {
    regex_syntax::ParserBuilder::new().unicode(false).utf8(false).build().parse(expression).ok()
}

/// Whether an expression that must match the whole of a text may match one of some kind. That it does not is certain;
/// that it does is not, as assertions (`^`, `\b`) are taken to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Texts {
    /// The empty one.
    pub(super) empty: bool,
    /// One without the bytes that none has.
    pub(super) any: bool,
    /// Such a one that begins with one of some bytes.
    pub(super) begun: bool,
}

impl Texts {
    const NONE: Self = Self { empty: false, any: false, begun: false };
    const EMPTY: Self = Self { empty: true, any: true, begun: false };

    /// `without` are the bytes that no text has, `first` those that one may begin with.
    pub(super) fn of(hir: &Hir, without: &[u8], first: &[u8]) -> Self {
        let of = |part: &Hir| Self::of(part, without, first);
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::EMPTY,
            HirKind::Literal(literal) => {
                let any = literal.0.iter().all(|byte| !without.contains(byte));
                let begun = literal.0.first().is_some_and(|byte| first.contains(byte));
                Self { empty: false, any, begun: any && begun }
            }
            HirKind::Class(class) => {
                let may_be = |byte: &u8| !without.contains(byte) && has(class, *byte);
                Self {
                    empty: false,
                    any: (u8::MIN..=u8::MAX).any(|byte| may_be(&byte)),
                    begun: first.iter().any(may_be),
                }
            }
            HirKind::Repetition(repeated) => {
                let once = if repeated.max == Some(0) { Self::EMPTY } else { of(&repeated.sub) };
                if repeated.min == 0 { once.or(Self::EMPTY) } else { once }
            }
            HirKind::Capture(capture) => of(&capture.sub),
            HirKind::Concat(parts) => parts.iter().map(of).fold(Self::EMPTY, Self::then),
            HirKind::Alternation(branches) => branches.iter().map(of).fold(Self::NONE, Self::or),
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            empty: self.empty || other.empty,
            any: self.any || other.any,
            begun: self.begun || other.begun,
        }
    }

    fn then(self, next: Self) -> Self {
        Self {
            empty: self.empty && next.empty,
            any: self.any && next.any,
            begun: self.begun && next.any || self.empty && next.begun,
        }
    }
}

/// Whether a byte is one of the class. A class of characters is taken to have all that are no ASCII.
fn has(class: &Class, byte: u8) -> bool {
    match class {
        Class::Bytes(class) => class.iter().any(|range| (range.start()..=range.end()).contains(&byte)),
        Class::Unicode(class) => {
            !byte.is_ascii()
                || class.iter().any(|range| (range.start()..=range.end()).contains(&char::from(byte)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it may match the empty text, one without `?`, and one that begins with `/` besides.
    fn of(expression: &str) -> (bool, bool, bool) {
        let Texts { empty, any, begun } = Texts::of(&parse(expression).unwrap(), b"?", b"/");
        (empty, any, begun)
    }

    #[test]
    fn texts_are_told_by_structure() {
        let (nothing, something, begun) = ((false, false, false), (false, true, false), (false, true, true));
        for (expression, expected) in [
            ("", (true, true, false)),
            ("/a", begun),
            ("^/a$", begun),
            ("a", something),
            ("(?i)api/.*", something),
            (".*a", begun),
            ("a?/b", begun),
            ("a*", (true, true, false)),
            ("(/a)?", (true, true, true)),
            ("(a|/b)c", begun),
            ("a+/b", something),
            ("a{0}/b", begun),
            ("[a-z]/b", something),
            ("[^a]", begun),
            ("[^/]+/b", something),
            (r"/a\?b", nothing),
            (r"/a(\?b)?", begun),
            (r"/a(\?b)+", nothing),
            (r"/a[?]|/b\?", nothing),
            (r"/a[?]|b", something),
            (r"/a\b\?", nothing),
            (r"[^\x00-\xff]", nothing),
            (r"[^\x00-\xff]*/", begun),
            (r"\bfoo", something),
            (r"\xff", something),
        ] {
            assert_eq!(of(expression), expected, "{expression}");
        }
    }

    /// What is said never to match never does: every short text of some bytes is tried.
    #[test]
    fn what_is_certain_is_so() {
        let mut texts = vec![String::new()];
        let mut last = texts.clone();
        for _ in 0..4 {
            last =
                last.iter().flat_map(|text| "/a?".chars().map(move |char| format!("{text}{char}"))).collect();
            texts.extend(last.iter().cloned());
        }
        for expression in [
            "a",
            "/a",
            "a*",
            "(/a)?",
            "a?/",
            "(a|/)+",
            r"a|\?",
            r"/\?",
            r"(/|\?a)*a",
            "[^a]a",
            "[^/]+/",
            ".{2}",
            r"\b.",
            "^/|a$",
            r"(\?|/a){2}",
            "(a|)(/|)",
        ] {
            let whole = regex::bytes::Regex::new(&format!("^(?:{expression})$")).unwrap();
            let matched: Vec<_> = texts.iter().filter(|text| whole.is_match(text.as_bytes())).collect();
            let (empty, any, begun) = of(expression);
            assert!(empty || !matched.iter().any(|text| text.is_empty()), "{expression}");
            assert!(any || matched.iter().all(|text| text.contains('?')), "{expression}");
            let counts = |text: &&&String| text.starts_with('/') && !text.contains('?');
            assert!(begun || !matched.iter().any(|text| counts(&text)), "{expression}");
        }
    }
}
