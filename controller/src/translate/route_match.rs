//! Matches of a rule. One that cannot be served as written is widened, so that the requests it was meant for are
//! still answered by its rule, with 500, and never fall through to a broader one.

use gatewasm_routing::check_match;
use gatewasm_routing::config::{self, PathMatchType, ValueMatchType};

use crate::api::{self, HttpRouteMatch, HttpValueMatch};
use crate::fault::{Fault, sentence};

/// Matches no value at all: the class of characters that are both `a` and `b`.
pub(super) const NOTHING: &str = "[a&&b]";
/// Matches every value, also one that is no UTF-8.
pub(super) const EVERYTHING: &str = "(?s-u:.*)";

/// The match for the filter config, and what is wrong with it. With a fault it is a stand-in.
pub(super) fn translate(matched: &HttpRouteMatch, field: &str) -> (config::RouteMatch, Vec<Fault>) {
    let unsupported = |field: String, message: String| Fault::new(field, "UnsupportedValue", message);
    let mut faults = Vec::new();
    let path = matched.path.as_ref().map(|path| {
        let kind = match &path.kind {
            api::PathMatchType::Exact => PathMatchType::Exact,
            api::PathMatchType::PathPrefix => PathMatchType::PathPrefix,
            api::PathMatchType::RegularExpression => PathMatchType::RegularExpression,
            api::PathMatchType::Other(other) => {
                let message = unknown_type(other, api::PathMatchType::KNOWN);
                faults.push(unsupported(format!("{field}.path.type"), message));
                // What the value means is not known; as a prefix it has the widest of the known meanings.
                PathMatchType::PathPrefix
            }
        };
        config::PathMatch { kind, value: path.value.clone() }
    });
    let headers = values(&matched.headers, &format!("{field}.headers"), &mut faults);
    let query_params = values(&matched.query_params, &format!("{field}.queryParams"), &mut faults);
    let method = matched.method.as_ref().map(ToString::to_string);
    let mut result = config::RouteMatch { path, headers, query_params, method, ..Default::default() };
    let problems = check_match(&result);
    if !problems.is_empty() {
        let fault = |problem: &gatewasm_routing::ConfigProblem| {
            unsupported(format!("{field}.{}", problem.path), sentence(&problem.message))
        };
        faults.extend(problems.iter().map(fault));
        result = stand_in(result);
    }
    (result, faults)
}

/// Conditions on headers or query parameters. One of a type that is not known asks only that there is a value.
pub(super) fn values(
    list: &[HttpValueMatch],
    field: &str,
    faults: &mut Vec<Fault>,
) -> Vec<config::ValueMatch> {
    let entry = |(i, value): (usize, &HttpValueMatch)| {
        let (kind, text) = match &value.kind {
            api::ValueMatchType::Exact => (ValueMatchType::Exact, value.value.clone()),
            api::ValueMatchType::RegularExpression => {
                (ValueMatchType::RegularExpression, value.value.clone())
            }
            api::ValueMatchType::Other(other) => {
                let message = unknown_type(other, api::ValueMatchType::KNOWN);
                faults.push(Fault::new(format!("{field}[{i}].type"), "UnsupportedValue", message));
                (ValueMatchType::RegularExpression, EVERYTHING.to_owned())
            }
        };
        config::ValueMatch { kind, name: value.name.to_string(), value: text }
    };
    list.iter().enumerate().map(entry).collect()
}

/// The match with each condition that cannot be compiled replaced by the narrowest one that surely holds for the
/// requests it was meant for.
fn stand_in(mut matched: config::RouteMatch) -> config::RouteMatch {
    if let Some(path) = &mut matched.path
        && !compiles(config::RouteMatch { path: Some(path.clone()), ..Default::default() })
    {
        path.value = match path.kind {
            PathMatchType::Exact => regex::escape(&path.value),
            PathMatchType::PathPrefix => {
                format!("{}(/{EVERYTHING})?", regex::escape(path.value.trim_end_matches('/')))
            }
            PathMatchType::RegularExpression => match literal_prefix(&path.value) {
                // Without any hint, the widest condition would take every other route's requests as well.
                prefix if prefix.len() < 2 => NOTHING.to_owned(),
                prefix => format!("{}{EVERYTHING}", regex::escape(&prefix)),
            },
        };
        path.kind = PathMatchType::RegularExpression;
    }
    stand_in_of_values(&mut matched);
    if compiles(matched.clone()) {
        return matched;
    }
    let nothing = config::PathMatch { kind: PathMatchType::RegularExpression, value: NOTHING.to_owned() };
    config::RouteMatch { path: Some(nothing), ..Default::default() }
}

/// Asks only that there is a value, where a condition on a header or query parameter cannot be compiled.
pub(super) fn stand_in_of_values(matched: &mut config::RouteMatch) {
    let stand_in = |value: &mut config::ValueMatch, alone: config::RouteMatch| {
        if !compiles(alone) {
            value.kind = ValueMatchType::RegularExpression;
            EVERYTHING.clone_into(&mut value.value);
        }
    };
    for header in &mut matched.headers {
        let alone = config::RouteMatch { headers: vec![header.clone()], ..Default::default() };
        stand_in(header, alone);
    }
    for parameter in &mut matched.query_params {
        let alone = config::RouteMatch { query_params: vec![parameter.clone()], ..Default::default() };
        stand_in(parameter, alone);
    }
}

pub(super) fn compiles(matched: config::RouteMatch) -> bool {
    check_match(&matched).is_empty()
}

/// What every match of the expression begins with, as far as that can be read off: `/api/v` for `/api/v[0-9/x`. Empty
/// where alternatives could begin otherwise.
pub(super) fn literal_prefix(expression: &str) -> String {
    let mut prefix = String::new();
    if expression.contains('|') {
        return prefix;
    }
    let mut letters = expression.strip_prefix('^').unwrap_or(expression).chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            // What is optional or repeated is not certain.
            '*' | '?' | '{' => {
                prefix.pop();
                break;
            }
            '\\' => match letters.next_if(char::is_ascii_punctuation) {
                Some(escaped) => prefix.push(escaped),
                None => break,
            },
            '.' | '+' | '(' | ')' | '[' | ']' | '}' | '^' | '$' => break,
            plain => prefix.push(plain),
        }
    }
    prefix
}

/// What is said of a discriminator that v1.6.1 does not define.
pub(super) fn unknown_type(other: &str, known: &[&str]) -> String {
    format!("Type {other:?} is not known; use one of {}.", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_broken_expression_is_kept() {
        for (expression, prefix) in [
            ("/api/v[0-9/x", "/api/v"),
            ("^/api(", "/api"),
            ("/a/b*(", "/a/"),
            (r"/a\.b(", "/a.b"),
            (r"/a\d(", "/a"),
            ("/a(|/b", ""),
            ("(", ""),
        ] {
            assert_eq!(literal_prefix(expression), prefix, "{expression}");
        }
    }

    #[test]
    fn stand_ins_compile() {
        for (kind, value) in [
            (PathMatchType::Exact, "no-slash"),
            (PathMatchType::PathPrefix, "/a//b"),
            (PathMatchType::PathPrefix, "/a b/"),
            (PathMatchType::RegularExpression, "/api/("),
            (PathMatchType::RegularExpression, "("),
        ] {
            let path = Some(config::PathMatch { kind, value: value.to_owned() });
            let matched = config::RouteMatch { path, ..Default::default() };
            assert!(!compiles(matched.clone()), "{value}");
            assert!(compiles(stand_in(matched)), "{value}");
        }
    }
}
