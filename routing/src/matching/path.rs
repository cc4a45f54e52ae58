//! The path of a match.

use super::value::{Expression, Expressions};
use crate::config::{self, PathMatchType};

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

    /// Whether it matches `path`, which has no query string. The index ([`crate::index`]) asks the same question of
    /// many at once.
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
    // Nearly every path is of whole elements of these alone, which makes nothing below true.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut before = b'/';
    let mut no_two_slashes = |byte| byte != std::mem::replace(&mut before, byte) || byte != b'/';
    if let Some(rest) = value.strip_prefix('/')
        && rest.bytes().all(|byte| no_two_slashes(byte) && (plain(byte) || byte == b'/'))
    {
        return Ok(());
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(kind: PathMatchType, value: &str) -> Result<PathMatch, String> {
        PathMatch::compile(&config::PathMatch { kind, value: value.to_owned() }, &mut Expressions::default())
    }

    fn matches(kind: PathMatchType, value: &str, path: &str) -> bool {
        compile(kind, value).unwrap().matches(path.as_bytes())
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
