//! A value and how it is compared: the whole value exactly, or the whole value by a regular expression over bytes.

use std::convert::Infallible;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};
use regex_syntax::ParserBuilder;
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{Ast, Flag, Visitor, visit};
use regex_syntax::hir::Hir;
use rustc_hash::FxHashMap;

/// Longest expression that is accepted; the API allows 4096 characters for a header's value, its longest.
const MAX_EXPRESSION: usize = 4096;
/// Largest compiled program. Ordinary expressions need a hundredth of it; `(a{1000}){1000}` is refused.
const MAX_PROGRAM: usize = 256 << 10;
/// Largest cache of a lazily built automaton, for each expression and thread that uses it.
const MAX_CACHE: usize = 256 << 10;

/// The compiled form of a `value` and its `type`.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Exact(Box<str>),
    Expression(Expression),
}

impl Value {
    pub(crate) fn matches(&self, bytes: &[u8]) -> bool {
        match self {
            Value::Exact(value) => value.as_bytes() == bytes,
            Value::Expression(expression) => expression.matches(bytes),
        }
    }

    /// Characters for the precedence; of an expression as it is written.
    pub(crate) fn length(&self) -> usize {
        self.text().chars().count()
    }

    /// The value, where there is one alone.
    pub(crate) fn exact(&self) -> Option<&str> {
        match self {
            Value::Exact(value) => Some(value),
            Value::Expression(_) => None,
        }
    }

    /// As it stands in the config.
    pub(crate) fn text(&self) -> &str {
        match self {
            Value::Exact(value) => value,
            Value::Expression(expression) => expression.source(),
        }
    }
}

/// A regular expression that must match the whole of a value.
#[derive(Clone, Debug)]
pub(crate) struct Expression(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    source: Box<str>,
    regex: Regex,
}

impl Expression {
    pub(crate) fn matches(&self, bytes: &[u8]) -> bool {
        self.0.regex.is_match(bytes)
    }

    pub(crate) fn source(&self) -> &str {
        &self.0.source
    }
}

/// Compiles expressions, each text once: routes repeat them, and a compiled one is large.
#[derive(Default)]
pub(crate) struct Expressions(FxHashMap<Box<str>, Result<Expression, String>>);

impl Expressions {
    /// # Errors
    /// Why `source` is not a usable expression, as a sentence that quotes it.
    pub(crate) fn compile(&mut self, source: &str) -> Result<Expression, String> {
        if let Some(known) = self.0.get(source) {
            return known.clone();
        }
        let compiled =
            compile(source).map(|regex| Expression(Arc::new(Compiled { source: source.into(), regex })));
        self.0.insert(source.into(), compiled.clone());
        compiled
    }
}

/// Whole-value matching cannot be had from a search and a look at its bounds: `/a|/ab` finds `/a` in `/ab`. So the
/// expression is wrapped, after it has proved to be one by itself (`a)|(b` is none, but would be one when wrapped).
fn compile(source: &str) -> Result<Regex, String> {
    if source.len() > MAX_EXPRESSION {
        let length = source.len();
        return Err(format!(
            "the regular expression has {length} bytes; at most {MAX_EXPRESSION} are allowed"
        ));
    }
    if asks_for_unicode(source) {
        return Err(format!("\"{source}\" is not a valid regular expression: (?u) is not supported"));
    }
    let by_itself = parser().parse(source).map_err(|error| regex::Error::Syntax(error.to_string()));
    by_itself.and_then(|_| build(&format!("^(?:{source})$"))).map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("\"{source}\" is too large a regular expression: it needs more than {limit} bytes when compiled")
        }
        error => {
            // The parser's message ends in one line that says what is wrong; before it stands a drawing.
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("\"{source}\" is not a valid regular expression: {reason}")
        }
    })
}

/// Whether an expression turns Unicode on. The filter has no tables for it, and another build of this crate, which may
/// have them, must not take what the filter refuses.
fn asks_for_unicode(source: &str) -> bool {
    struct Flags(bool);

    impl Visitor for Flags {
        type Output = bool;
        type Err = Infallible;

        fn finish(self) -> Result<bool, Infallible> {
            Ok(self.0)
        }

        fn visit_pre(&mut self, ast: &Ast) -> Result<(), Infallible> {
            let flags = match ast {
                Ast::Flags(set) => Some(&set.flags),
                Ast::Group(group) => group.flags(),
                _ => None,
            };
            self.0 |= flags.and_then(|flags| flags.flag_state(Flag::Unicode)) == Some(true);
            Ok(())
        }
    }

    let Ok(ast) = Parser::new().parse(source) else { return false };
    match visit(&ast, Flags(false)) {
        Ok(found) => found,
    }
}

/// The structure of an expression that compiles.
pub(crate) fn parse(source: &str) -> Option<Hir> {
    parser().parse(source).ok()
}

/// As [`build`] reads it.
fn parser() -> regex_syntax::Parser {
    ParserBuilder::new().unicode(false).utf8(false).build()
}

/// Without Unicode a `.` matches any byte, so that a value which is no UTF-8 is an ordinary value, and `\w` is ASCII
/// as in RE2, which other implementations on Envoy use.
fn build(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).unicode(false).size_limit(MAX_PROGRAM).dfa_size_limit(MAX_CACHE).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(expression: &str, value: impl AsRef<[u8]>) -> bool {
        Expressions::default().compile(expression).unwrap().matches(value.as_ref())
    }

    fn refusal(expression: &str) -> String {
        Expressions::default().compile(expression).unwrap_err()
    }

    #[test]
    fn the_whole_value_must_match() {
        assert!(matches("/a|/ab", "/ab"));
        assert!(matches("/v1.*?", "/v1/x"));
        assert!(!matches("a", "ba"));
        assert!(!matches("a", "ab"));
        assert!(!matches("a", "a\n"));
        assert!(!matches("(?m)a", "b\na"));
        assert!(matches("^a$", "a"));
        assert!(matches("", ""));
        assert!(!matches("", "a"));
    }

    #[test]
    fn bytes_that_are_no_text_are_ordinary() {
        assert!(matches("a.c", b"a\xffc"));
        assert!(matches(".*", b"\xff\xfe"));
        assert!(matches("é", "é"));
        assert!(!matches(r"\w", "é"));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        assert_eq!(refusal("("), "\"(\" is not a valid regular expression: unclosed group");
        assert_eq!(refusal("a)|(b"), "\"a)|(b\" is not a valid regular expression: unopened group");
        assert!(refusal("(?=a)").contains("look-ahead"));
        // The comment would swallow the closing bracket.
        refusal("(?x) a # comment");
    }

    #[test]
    fn expressions_that_cost_too_much_are_refused() {
        assert!(refusal("(a{1000}){1000}").contains("too large"));
        assert!(refusal(&"a".repeat(4097)).contains("has 4097 bytes"));
        refusal(&"(".repeat(4000));
        refusal(&format!("{}a{}", "(".repeat(2000), ")".repeat(2000)));
    }

    #[test]
    fn equal_expressions_share_one_program() {
        let mut expressions = Expressions::default();
        let (first, second) = (expressions.compile("a+").unwrap(), expressions.compile("a+").unwrap());
        assert!(Arc::ptr_eq(&first.0, &second.0));
    }

    #[test]
    fn unicode_is_refused_whatever_this_was_built_with() {
        for expression in [r"(?u)\w", r"a(?u:\w)", r"(?iu)k", r"\p{L}"] {
            assert!(refusal(expression).contains("not a valid regular expression"), "{expression}");
        }
        assert!(matches(r"(?i-u)K", "k"));
        assert!(matches(r"/a\(?u\)", "/au)"));
    }
}
