//! Rewrites that leave every path as it was.

use gatewasm_routing::config::{PathMatchType, PathModifier, RouteFilter, RouteMatch, UrlRewrite};

use super::{Lint, filter};
use crate::api::HttpRouteFilterType;
use crate::problem::Problem;

pub(super) fn find(lint: &Lint<'_>, problems: &mut Vec<Problem>) {
    for at in lint.attached() {
        for (owner, rule, filters) in at.owners() {
            let Some((place, message)) = without_effect(filters, &rule.matches) else { continue };
            let field = lint.filter_field(at, owner, &HttpRouteFilterType::UrlRewrite, place);
            let field = format!("{field}.urlRewrite.path");
            problems.push(lint.warning(at, &field, "RewriteWithoutEffect", message));
        }
    }
}

/// The place of a rewrite that changes no path, and what to say of it.
fn without_effect(filters: &[RouteFilter], matches: &[RouteMatch]) -> Option<(usize, String)> {
    let (place, rewrite) = filter(filters, |filter| match filter {
        RouteFilter::UrlRewrite { url_rewrite } => Some(url_rewrite),
        _ => None,
    })?;
    let UrlRewrite { path: Some(path), hostname } = rewrite else { return None };
    let every_path = RouteMatch::default();
    let matches = if matches.is_empty() { std::slice::from_ref(&every_path) } else { matches };
    let what = match path {
        PathModifier::ReplacePrefixMatch { replace_prefix_match: new } => matches
            .iter()
            // Slashes at the end of either mean nothing.
            .all(|it| path_of(it, PathMatchType::PathPrefix).is_some_and(|old| trim(old) == trim(new)))
            .then(|| {
                format!("The prefix {:?} is replaced by itself", if new.is_empty() { "/" } else { new })
            })?,
        PathModifier::ReplaceFullPath { replace_full_path: new } => matches
            .iter()
            .all(|it| path_of(it, PathMatchType::Exact) == Some(new))
            .then(|| format!("The path {new:?} is replaced by itself"))?,
    };
    let rest = if hostname.is_some() { "path" } else { "filter" };
    Some((place, format!("{what}, so no path changes. Remove the {rest}, or name another path.")))
}

fn trim(prefix: &str) -> &str {
    prefix.trim_end_matches('/')
}

/// The path of a match, if it is of this type.
fn path_of(of: &RouteMatch, kind: PathMatchType) -> Option<&str> {
    match &of.path {
        Some(path) => (path.kind == kind).then_some(&path.value),
        None => (kind == PathMatchType::PathPrefix).then_some("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, listener, route};

    fn of(matches: &str, rewrite: &str) -> Vec<String> {
        let filters = format!(r#"[{{"type": "URLRewrite", "urlRewrite": {{{rewrite}}}}}]"#);
        let of_rule = format!(r#""rules": [{{"matches": [{matches}], "filters": {filters}}}]"#);
        let of_backend = format!(
            r#""rules": [{{"matches": [{matches}], "backends": [{{"cluster": "c", "filters": {filters}}}]}}]"#
        );
        let found =
            |rules: &str| findings("RewriteWithoutEffect", &listener("http", "HTTP", &[route("n/r", rules)]));
        let [one, other] = [found(&of_rule), found(&of_backend)];
        assert_eq!(one.len(), other.len());
        for ((field, _), (backend_field, _)) in one.iter().zip(&other) {
            assert_eq!(field, "listeners[0].routes[0].rules[0].filters[0].urlRewrite.path");
            assert_eq!(
                backend_field,
                "listeners[0].routes[0].rules[0].backends[0].filters[0].urlRewrite.path"
            );
        }
        one.into_iter().map(|(_, message)| message).collect()
    }

    fn prefix(value: &str) -> String {
        format!(r#"{{"path": {{"value": "{value}"}}}}"#)
    }

    fn replace(kind: &str, value: &str) -> String {
        let mut field = kind.to_owned();
        field.replace_range(..1, "r");
        format!(r#""path": {{"type": "{kind}", "{field}": "{value}"}}"#)
    }

    #[test]
    fn what_is_replaced_by_itself_is_found() {
        for (matches, kind, new) in [
            (prefix("/a"), "ReplacePrefixMatch", "/a"),
            (prefix("/a/"), "ReplacePrefixMatch", "/a"),
            (prefix("/a"), "ReplacePrefixMatch", "/a/"),
            (prefix("/"), "ReplacePrefixMatch", ""),
            (prefix("/"), "ReplacePrefixMatch", "/"),
            (String::new(), "ReplacePrefixMatch", "/"),
            (r#"{"path": {"type": "Exact", "value": "/a"}}"#.to_owned(), "ReplaceFullPath", "/a"),
        ] {
            assert_eq!(of(&matches, &replace(kind, new)).len(), 1, "{matches} {new}");
        }
        let message = &of(&prefix("/a"), &replace("ReplacePrefixMatch", "/a"))[0];
        assert_eq!(
            message,
            "The prefix \"/a\" is replaced by itself, so no path changes. Remove the filter, or name another path."
        );
    }

    #[test]
    fn what_changes_something_is_left_alone() {
        for (matches, kind, new) in [
            (prefix("/a"), "ReplacePrefixMatch", ""),
            (prefix("/a"), "ReplacePrefixMatch", "/b"),
            (format!("{}, {}", prefix("/a"), prefix("/b")), "ReplacePrefixMatch", "/a"),
            (prefix("/a"), "ReplaceFullPath", "/a"),
        ] {
            assert_eq!(of(&matches, &replace(kind, new)), [""; 0], "{matches} {new}");
        }
        assert_eq!(of(&prefix("/a"), r#""hostname": "a.test""#), [""; 0]);
        let both = format!(r#""hostname": "a.test", {}"#, replace("ReplacePrefixMatch", "/a"));
        assert!(of(&prefix("/a"), &both)[0].contains("Remove the path"));
    }
}
