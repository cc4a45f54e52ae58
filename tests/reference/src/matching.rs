//! Whether a match applies to a request, condition by condition.

use gatewasm_routing::config::{
    GrpcMethodMatch, PathMatch, PathMatchType, RouteKind, RouteMatch, ValueMatch, ValueMatchType,
};

use crate::Question;
use crate::reference::Expressions;

/// Path and query string, apart at the first `?`.
pub fn path_and_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|byte| *byte == b'?') {
        Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
        None => (target, None),
    }
}

/// Whether it is a gRPC request.
pub fn is_grpc(question: &Question) -> bool {
    let kind = question.header("content-type").unwrap_or_default();
    kind.to_ascii_lowercase().starts_with(b"application/grpc")
}

/// Whether all conditions of a match hold for a request with this method.
pub fn matches(
    kind: RouteKind,
    it: &RouteMatch,
    question: &Question,
    method: &str,
    expressions: &Expressions,
) -> bool {
    let (path, query) = path_and_query(&question.path);
    let own = match kind {
        RouteKind::HttpRoute => {
            it.path.as_ref().is_none_or(|it| path_matches(it, path, expressions))
                && it.method.as_ref().is_none_or(|it| it == method)
                && counted_parameters(&it.query_params).into_iter().all(|it| {
                    let value = parameter(query.unwrap_or_default(), &it.name);
                    value.is_some_and(|value| value_matches(it, &value, expressions))
                })
        }
        RouteKind::GrpcRoute => {
            is_grpc(question) && it.grpc_method.as_ref().is_none_or(|it| call_matches(it, path, expressions))
        }
    };
    own && counted_headers(&it.headers).into_iter().all(|it| {
        let value = header(question, &it.name.to_ascii_lowercase());
        value.is_some_and(|value| value_matches(it, &value, expressions))
    })
}

/// Gateway API `HTTPPathMatch`.
fn path_matches(it: &PathMatch, path: &[u8], expressions: &Expressions) -> bool {
    match it.kind {
        PathMatchType::Exact => path == it.value.as_bytes(),
        PathMatchType::RegularExpression => expressions.match_whole(&it.value, path),
        PathMatchType::PathPrefix => {
            let prefix = without_trailing_slashes(&it.value).as_bytes();
            // Elements: what follows the prefix is nothing or begins with a slash. `/` is the prefix of everything.
            prefix.is_empty()
                || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        }
    }
}

/// "Trailing slashes are ignored" (Gateway API `PathMatchPathPrefix`).
pub fn without_trailing_slashes(text: &str) -> &str {
    text.trim_end_matches('/')
}

fn value_matches(it: &ValueMatch, value: &[u8], expressions: &Expressions) -> bool {
    match it.kind {
        ValueMatchType::Exact => value == it.value.as_bytes(),
        ValueMatchType::RegularExpression => expressions.match_whole(&it.value, value),
    }
}

/// Gateway API `HTTPHeaderMatch`: "only the first entry with an equivalent name MUST be considered", without case.
pub fn counted_headers(all: &[ValueMatch]) -> Vec<&ValueMatch> {
    first_of_each(all, |one, other| one.eq_ignore_ascii_case(other))
}

/// Gateway API `HTTPQueryParamMatch`: the same, with case.
pub fn counted_parameters(all: &[ValueMatch]) -> Vec<&ValueMatch> {
    first_of_each(all, |one, other| one == other)
}

fn first_of_each(all: &[ValueMatch], same: impl Fn(&str, &str) -> bool) -> Vec<&ValueMatch> {
    let mut counted: Vec<&ValueMatch> = Vec::new();
    for it in all {
        if !counted.iter().any(|earlier| same(&earlier.name, &it.name)) {
            counted.push(it);
        }
    }
    counted
}

/// All values of a header as one. `host` is what the client sent as such.
fn header(question: &Question, name: &str) -> Option<Vec<u8>> {
    if name == "host" {
        return Some(question.authority.clone());
    }
    let values: Vec<&[u8]> =
        question.headers.iter().filter(|line| line.0 == name).map(|line| line.1.as_slice()).collect();
    (!values.is_empty()).then(|| values.join(&b','))
}

/// The first value of a query parameter, decoded.
fn parameter(query: &[u8], name: &str) -> Option<Vec<u8>> {
    query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()).find_map(|pair| {
        let (its_name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(sign) => (&pair[..sign], &pair[sign + 1..]),
            None => (pair, &pair[pair.len()..]),
        };
        (decoded(its_name) == name.as_bytes()).then(|| decoded(value))
    })
}

/// `application/x-www-form-urlencoded` (URL standard, 5.1): `+` is a space, `%` and two hexadecimal digits a byte, any
/// other `%` itself.
fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| (*byte as char).to_digit(16));
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
                continue;
            }
            (b'+', ..) => bytes.push(b' '),
            (other, ..) => bytes.push(other),
        }
        at += 1;
    }
    bytes
}

/// Service and method of a call: a path of exactly two elements, neither empty.
fn call(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let elements: Vec<&[u8]> = path.strip_prefix(b"/")?.split(|byte| *byte == b'/').collect();
    match elements.as_slice() {
        [service, method] if !service.is_empty() && !method.is_empty() => Some((service, method)),
        _ => None,
    }
}

/// Gateway API `GRPCMethodMatch`.
fn call_matches(it: &GrpcMethodMatch, path: &[u8], expressions: &Expressions) -> bool {
    let Some((service, method)) = call(path) else { return false };
    let holds = |wanted: &Option<String>, value: &[u8]| match (wanted, it.kind) {
        (None, _) => true,
        (Some(wanted), ValueMatchType::Exact) => wanted.as_bytes() == value,
        (Some(wanted), ValueMatchType::RegularExpression) => expressions.match_whole(wanted, value),
    };
    holds(&it.service, service) && holds(&it.method, method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_and_the_first_value_counts() {
        let value = |query: &str, name| {
            parameter(query.as_bytes(), name).map(|value| String::from_utf8(value).unwrap_or_default())
        };
        assert_eq!(value("a=1&a=2", "a").as_deref(), Some("1"));
        assert_eq!(value("b&&a", "a").as_deref(), Some(""));
        assert_eq!(value("%61=b+c%3D%zz%4", "a").as_deref(), Some("b c=%zz%4"));
        assert_eq!(value("a=b=c", "a").as_deref(), Some("b=c"));
        assert_eq!(value("A=1", "a"), None);
        assert_eq!(value("", "a"), None);
    }

    #[test]
    fn prefixes_are_compared_by_elements() {
        let matches = |value: &str, path: &str| {
            let it = PathMatch { kind: PathMatchType::PathPrefix, value: value.into() };
            path_matches(&it, path.as_bytes(), &Expressions::default())
        };
        for value in ["/foo", "/foo/"] {
            assert!(matches(value, "/foo") && matches(value, "/foo/") && matches(value, "/foo/bar"));
            assert!(!matches(value, "/foobar") && !matches(value, "/fo") && !matches(value, "/foo;a"));
        }
        assert!(matches("/", "/") && matches("/", "/any"));
    }

    #[test]
    fn calls_have_two_elements() {
        assert_eq!(call(b"/a.B/C"), Some((&b"a.B"[..], &b"C"[..])));
        for path in ["", "/", "/a", "/a/", "//b", "/a/b/", "/a/b/c", "a/b"] {
            assert_eq!(call(path.as_bytes()), None, "{path}");
        }
    }
}
