//! Another host and path: what may stand in the place of a request's, and how the path comes about.

use crate::action::all_have_prefixes;
use crate::config::{PathModifier, RouteMatch, UrlRewrite};
use crate::matching::host::Hostname;
use crate::matching::path::{PathMatch, check};
use crate::problem::Problems;
use crate::request::Request;

/// A compiled URLRewrite.
#[derive(Debug)]
pub(crate) struct Rewrite {
    pub(crate) hostname: Option<Box<str>>,
    pub(crate) path: Option<PathEdit>,
}

impl Rewrite {
    pub(crate) fn compile(rewrite: &UrlRewrite, matches: &[RouteMatch], problems: &mut Problems) -> Self {
        Self {
            hostname: hostname(rewrite.hostname.as_deref(), problems),
            path: rewrite.path.as_ref().and_then(|path| PathEdit::compile(path, matches, problems)),
        }
    }
}

/// Reads the field `hostname` of a rewrite or redirect: a name without a wildcard (Gateway API `PreciseHostname`).
pub(crate) fn hostname(text: Option<&str>, problems: &mut Problems) -> Option<Box<str>> {
    let message = match Hostname::parse(text?) {
        Ok(Hostname::Exact(name)) => return Some(name.into()),
        Ok(wildcard) => format!("{wildcard} is not the name of one host"),
        Err(message) => message,
    };
    problems.add("hostname", message);
    None
}

/// A compiled change of the path (Gateway API `HTTPPathModifier`).
#[derive(Debug)]
pub(crate) enum PathEdit {
    /// The whole path becomes this.
    Full(Box<str>),
    /// This stands in the place of the matched prefix; without trailing slashes, as the prefix is.
    Prefix(Box<str>),
}

impl PathEdit {
    pub(crate) fn compile(
        path: &PathModifier,
        matches: &[RouteMatch],
        problems: &mut Problems,
    ) -> Option<Self> {
        match path {
            PathModifier::ReplaceFullPath { replace_full_path: value } => {
                let fault = check_replacement(value).err();
                if let Some(message) = fault {
                    problems.add("path.replaceFullPath", message);
                }
                Some(Self::Full(value.as_str().into()))
            }
            PathModifier::ReplacePrefixMatch { replace_prefix_match: value } => {
                if !all_have_prefixes(matches) {
                    let message = "ReplacePrefixMatch needs a PathPrefix in every match of the rule";
                    problems.add("path.type", message);
                }
                // "" and "/" are the same: nothing stands in the place of the prefix.
                let fault = if value.is_empty() { None } else { check_replacement(value).err() };
                if let Some(message) = fault {
                    problems.add("path.replacePrefixMatch", message);
                }
                Some(Self::Prefix(value.trim_end_matches('/').into()))
            }
        }
    }

    /// The path of the request after the change, with its query string. `None` where there is no path to change: a
    /// CONNECT has none, and `OPTIONS *` has no prefix.
    ///
    /// A prefix is replaced by elements: `/foo/bar` with `/foo` or `/foo/` replaced by `/xyz` or `/xyz/` is
    /// `/xyz/bar`; what is left of the path keeps its slash, and nothing at all becomes `/` (the table at Gateway API
    /// `HTTPPathModifier.replacePrefixMatch`).
    pub(crate) fn apply(&self, request: &Request<'_>, matched: &PathMatch) -> Option<Vec<u8>> {
        let (path, query) = request.path_and_marked_query();
        if path.is_empty() {
            return None;
        }
        match self {
            Self::Full(full) => Some([full.as_bytes(), query].concat()),
            Self::Prefix(replacement) => {
                let PathMatch::Prefix(prefix) = matched else { return None };
                let rest = path.strip_prefix(prefix.as_bytes())?;
                if !rest.is_empty() && !rest.starts_with(b"/") {
                    return None;
                }
                // Envoy has merged slashes; where it was told not to, a path that begins with two would be a host.
                let doubled = rest.iter().take_while(|byte| **byte == b'/').count().saturating_sub(1);
                let rest = rest.get(doubled..).unwrap_or_default();
                let rest = if replacement.is_empty() && rest.is_empty() { b"/" } else { rest };
                Some([replacement.as_bytes(), rest, query].concat())
            }
        }
    }
}

/// A replacement is held to the rules for the paths of matches, and has no element that a server might take for `.` or
/// `..`: Envoy has brought the path into normal form before, and does not do it again.
fn check_replacement(value: &str) -> Result<(), String> {
    check(value)?;
    let dots = |element: &str| {
        let name = element.split(';').next().unwrap_or_default();
        matches!(name.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
    };
    match value.split('/').find(|element| dots(element)) {
        Some(element) => Err(format!("\"{value}\" contains \"{element}\", which may lead to another path")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, PathMatchType};
    use crate::matching::value::Expressions;

    fn edit(modifier: &PathModifier) -> Result<PathEdit, String> {
        let mut problems = Problems::default();
        let edit = PathEdit::compile(modifier, &[], &mut problems);
        match problems.into_vec().first() {
            None => Ok(edit.unwrap()),
            Some(problem) => Err(problem.to_string()),
        }
    }

    fn prefix(value: &str) -> PathMatch {
        let path = config::PathMatch { kind: PathMatchType::PathPrefix, value: value.to_owned() };
        PathMatch::compile(&path, &mut Expressions::default()).unwrap()
    }

    fn replaced(path: &str, matched: &str, replacement: &str) -> Option<String> {
        let modifier = PathModifier::ReplacePrefixMatch { replace_prefix_match: replacement.to_owned() };
        let request = Request { method: b"GET", authority: b"", path: path.as_bytes(), headers: &[] };
        let path = edit(&modifier).unwrap().apply(&request, &prefix(matched))?;
        Some(String::from_utf8(path).unwrap())
    }

    /// Every row of the table at `HTTPPathModifier.replacePrefixMatch`, then what it does not list.
    #[test]
    fn a_prefix_is_replaced_by_elements() {
        for (path, matched, replacement, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo", "/foo", "/xyz/", "/xyz"),
            ("/foo/bar", "/foo", "/", "/bar"),
            ("/", "/", "/xyz", "/xyz/"),
            ("/bar", "/", "/xyz", "/xyz/bar"),
            ("/bar", "/", "/", "/bar"),
            ("/foo//bar", "/foo", "/", "/bar"),
            ("/foo?a=/foo", "/foo", "/xyz", "/xyz?a=/foo"),
            ("/foo?", "/foo", "", "/?"),
        ] {
            assert_eq!(
                replaced(path, matched, replacement).as_deref(),
                Some(expected),
                "{path} {matched} {replacement}"
            );
        }
        assert_eq!(replaced("*", "/", "/xyz"), None);
        assert_eq!(replaced("", "/", "/xyz"), None);
    }

    #[test]
    fn the_full_path_keeps_the_query() {
        let full = edit(&PathModifier::ReplaceFullPath { replace_full_path: "/one/two".to_owned() }).unwrap();
        for (path, expected) in [("/x", Some("/one/two")), ("/x?a=b?c", Some("/one/two?a=b?c")), ("", None)] {
            let request = Request { method: b"GET", authority: b"", path: path.as_bytes(), headers: &[] };
            let path = full.apply(&request, &prefix("/"));
            assert_eq!(path.as_deref(), expected.map(str::as_bytes));
        }
    }

    #[test]
    fn replacements_lead_nowhere_else() {
        for bad in [
            "xyz",
            "/a//b",
            "//",
            "/..",
            "/../a",
            "/a/./b",
            "/%2e%2E/a",
            "/.%2e",
            "/..;x/a",
            "/a?b",
            "/a#b",
            "/a b",
            "/a%2Fb",
            "/a\\b",
            "/\r\n",
        ] {
            let modifiers = [
                PathModifier::ReplaceFullPath { replace_full_path: bad.to_owned() },
                PathModifier::ReplacePrefixMatch { replace_prefix_match: bad.to_owned() },
            ];
            for modifier in modifiers {
                assert!(edit(&modifier).unwrap_err().starts_with("path.replace"), "{bad}");
            }
        }
        assert!(edit(&PathModifier::ReplaceFullPath { replace_full_path: String::new() }).is_err());
        for good in ["/", "/a/", "/a/..b", "/a;b=..", "/%20"] {
            edit(&PathModifier::ReplaceFullPath { replace_full_path: good.to_owned() }).unwrap();
        }
    }
}
