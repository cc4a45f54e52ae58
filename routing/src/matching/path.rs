//! The path of a match, and the index by which a host's matches are found from a path.

use rustc_hash::FxHashMap;

use super::value::{Expression, Expressions};
use crate::config::{self, PathMatchType};
use crate::request::Request;

/// The compiled form of a `path`.
#[derive(Clone, Debug)]
pub(crate) enum PathMatch {
    Exact(Box<str>),
    /// By path elements; held without trailing slashes, so that `/` is empty and a prefix of every path.
    Prefix(Box<str>),
    Expression(Expression),
}

impl PathMatch {
    /// The value is held to the rules of the API (Gateway API `HTTPPathMatch`, its validation in the CRD).
    ///
    /// # Errors
    /// Why the value is no path or expression.
    pub(crate) fn compile(path: &config::PathMatch, expressions: &mut Expressions) -> Result<Self, String> {
        match path.kind {
            PathMatchType::Exact => check(&path.value).map(|()| Self::Exact(path.value.as_str().into())),
            PathMatchType::PathPrefix => {
                check(&path.value).map(|()| Self::Prefix(path.value.trim_end_matches('/').into()))
            }
            PathMatchType::RegularExpression => expressions.compile(&path.value).map(Self::Expression),
        }
    }

    /// Whether it matches `path`, which has no query string. The index ([`PathIndex`]) asks the same question of many
    /// at once.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(value) => path == value.as_bytes(),
            Self::Prefix(prefix) => {
                path.strip_prefix(prefix.as_bytes()).is_some_and(|rest| ends_element(prefix, rest))
            }
            Self::Expression(expression) => expression.matches(path),
        }
    }

    pub(crate) fn kind(&self) -> PathMatchType {
        match self {
            Self::Exact(_) => PathMatchType::Exact,
            Self::Prefix(_) => PathMatchType::PathPrefix,
            Self::Expression(_) => PathMatchType::RegularExpression,
        }
    }

    /// The value as it is compared, `/` for the prefix of every path.
    pub(crate) fn value(&self) -> &str {
        match self {
            Self::Exact(value) => value,
            Self::Prefix(prefix) if prefix.is_empty() => "/",
            Self::Prefix(prefix) => prefix,
            Self::Expression(expression) => expression.source(),
        }
    }

    /// Characters for the precedence.
    pub(crate) fn length(&self) -> usize {
        self.value().chars().count()
    }
}

impl Default for PathMatch {
    /// "If no matches are specified, the default is a prefix path match on "/"" (Gateway API `HTTPRouteRule.matches`).
    fn default() -> Self {
        Self::Prefix(Box::default())
    }
}

/// The empty prefix is one of every path, also of `*` and of the empty path that CONNECT may have.
fn ends_element(prefix: &str, rest: &[u8]) -> bool {
    prefix.is_empty() || rest.first().is_none_or(|next| *next == b'/')
}

/// What the CRD forbids for `Exact` and `PathPrefix`.
pub(crate) fn check(value: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte);
    let lower = value.to_ascii_lowercase();
    let fault = if !value.starts_with('/') {
        "does not begin with \"/\"".to_owned()
    } else if let Some(part) = ["//", "/./", "/../", "%2f"].into_iter().find(|part| lower.contains(part)) {
        format!("contains \"{part}\", which no request has after its path was normalised")
    } else if let Some(end) = ["/.", "/.."].into_iter().find(|end| value.ends_with(end)) {
        format!("ends in \"{end}\", which no request has after its path was normalised")
    } else if let Some(other) = value.chars().find(|char| !u8::try_from(*char).is_ok_and(allowed)) {
        format!("contains {other:?}, which cannot stand in a path; write it percent-encoded")
    } else if !value.split('%').skip(1).all(starts_with_two_digits) {
        "contains a \"%\" without two hexadecimal digits".to_owned()
    } else {
        return Ok(());
    };
    Err(format!("{value:?} {fault}"))
}

fn starts_with_two_digits(text: &str) -> bool {
    matches!(text.as_bytes(), [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// Matches by path, each list in order of precedence: finds the candidates for a path with one look-up for exact
/// paths and one for each length of prefix, however many there are. As in [`super::host::HostMap`], keys come from
/// the config alone.
#[derive(Debug, Default)]
pub(crate) struct PathIndex {
    /// Of GRPCRoutes, whatever they ask for.
    grpc: Vec<u32>,
    exact: FxHashMap<Box<[u8]>, Vec<u32>>,
    expressions: Vec<u32>,
    prefixes: FxHashMap<Box<[u8]>, Vec<u32>>,
    /// The lengths of the keys of `prefixes`, longest first. A path of many elements costs no more than there are.
    lengths: Vec<usize>,
}

impl PathIndex {
    /// Adds a match; matches are added in order of precedence.
    pub(crate) fn push(&mut self, path: &PathMatch, id: u32) {
        match path {
            PathMatch::Exact(value) => self.exact.entry(value.as_bytes().into()).or_default().push(id),
            PathMatch::Expression(_) => self.expressions.push(id),
            PathMatch::Prefix(prefix) => {
                self.prefixes.entry(prefix.as_bytes().into()).or_default().push(id);
                if let Err(place) = self.lengths.binary_search_by(|length| prefix.len().cmp(length)) {
                    self.lengths.insert(place, prefix.len());
                }
            }
        }
    }

    /// Adds a match of a GRPCRoute; the same holds for them.
    pub(crate) fn push_grpc(&mut self, id: u32) {
        self.grpc.push(id);
    }

    /// Matches of GRPCRoutes, in order of precedence, for a gRPC request.
    pub(crate) fn grpc(&self, request: &Request<'_>) -> impl Iterator<Item = u32> {
        let applies = !self.grpc.is_empty() && request.is_grpc();
        applies.then_some(&self.grpc).into_iter().flatten().copied()
    }

    /// Matches whose path may match, in order of precedence: exact paths, expressions, prefixes from the longest on.
    /// Expressions are not tried here: their own [`PathMatch::matches`] decides.
    pub(crate) fn candidates<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = u32> + 'a {
        let prefixes = self.lengths.iter().filter_map(move |length| {
            let (prefix, rest) = path.split_at_checked(*length)?;
            let whole = prefix.is_empty() || rest.first().is_none_or(|next| *next == b'/');
            if whole { self.prefixes.get(prefix) } else { None }
        });
        let exact = if self.exact.is_empty() { None } else { self.exact.get(path) };
        exact.into_iter().flatten().chain(&self.expressions).chain(prefixes.flatten()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(kind: PathMatchType, value: &str) -> Result<PathMatch, String> {
        PathMatch::compile(&config::PathMatch { kind, value: value.to_owned() }, &mut Expressions::default())
    }

    /// By the match itself and by the index, which must agree.
    fn matches(kind: PathMatchType, value: &str, path: &str) -> bool {
        let compiled = compile(kind, value).unwrap();
        let mut index = PathIndex::default();
        index.push(&compiled, 7);
        let found = index.candidates(path.as_bytes()).next().is_some() && compiled.matches(path.as_bytes());
        assert_eq!(found, compiled.matches(path.as_bytes()), "{value} {path}");
        found
    }

    #[test]
    fn exact_is_the_whole_path() {
        let exact = |value, path| matches(PathMatchType::Exact, value, path);
        assert!(exact("/abc", "/abc"));
        assert!(exact("/", "/"));
        for path in ["/abc/", "/abcd", "/ab", "/ABC", "", "/abc;x=1"] {
            assert!(!exact("/abc", path), "{path}");
        }
        assert!(!exact("/abc/", "/abc"));
    }

    #[test]
    fn a_prefix_is_of_whole_elements() {
        let prefix = |value, path| matches(PathMatchType::PathPrefix, value, path);
        for value in ["/foo", "/foo/"] {
            for path in ["/foo", "/foo/", "/foo/bar", "/foo/bar/"] {
                assert!(prefix(value, path), "{value} {path}");
            }
            for path in ["/foobar", "/fo", "/", "", "/FOO", "/foo;x=1", "/a/foo"] {
                assert!(!prefix(value, path), "{value} {path}");
            }
        }
    }

    #[test]
    fn the_root_is_a_prefix_of_every_path() {
        for path in ["/", "/foo", "", "*", "foo"] {
            assert!(matches(PathMatchType::PathPrefix, "/", path), "{path}");
            assert!(PathMatch::default().matches(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn an_expression_is_of_the_whole_path() {
        let expression = |value, path| matches(PathMatchType::RegularExpression, value, path);
        assert!(expression("/a|/ab", "/ab"));
        assert!(expression("/v[0-9]+/.*", "/v10/x"));
        assert!(!expression("/v1", "/v1/x"));
    }

    #[test]
    fn candidates_come_in_order_of_precedence() {
        let mut index = PathIndex::default();
        for (id, (kind, value)) in [
            (PathMatchType::Exact, "/a/b"),
            (PathMatchType::RegularExpression, ".*"),
            (PathMatchType::PathPrefix, "/a/b"),
            (PathMatchType::PathPrefix, "/a/c"),
            (PathMatchType::PathPrefix, "/a"),
            (PathMatchType::PathPrefix, "/"),
        ]
        .into_iter()
        .enumerate()
        {
            index.push(&compile(kind, value).unwrap(), id.try_into().unwrap());
        }
        let found = |path: &str| index.candidates(path.as_bytes()).collect::<Vec<_>>();
        assert_eq!(found("/a/b"), [0, 1, 2, 4, 5]);
        assert_eq!(found("/a/b/c"), [1, 2, 4, 5]);
        assert_eq!(found("/a/cd"), [1, 4, 5]);
        assert_eq!(found("/"), [1, 5]);
    }

    #[test]
    fn values_are_as_the_api_allows_them() {
        for good in ["/", "/foo", "/foo/", "/a;b=c", "/a%20b", "/~a/.well-known/..a", "/a=b&c,d:e@f!$'()*+"] {
            compile(PathMatchType::Exact, good).unwrap();
            compile(PathMatchType::PathPrefix, good).unwrap();
        }
        for bad in [
            "", "foo", "//", "/a//b", "/a/./b", "/a/../b", "/a/.", "/a/..", "/a#b", "/a%2fb", "/a%2Fb",
            "/a?b", "/a b", "/é", "/%", "/%1", "/%gg",
        ] {
            let problem = compile(PathMatchType::Exact, bad).unwrap_err();
            assert!(problem.starts_with(&format!("\"{bad}\" ")), "{problem}");
            compile(PathMatchType::PathPrefix, bad).unwrap_err();
        }
        // The rules are for literal paths only.
        compile(PathMatchType::RegularExpression, "/a//b|[^#]").unwrap();
    }
}
