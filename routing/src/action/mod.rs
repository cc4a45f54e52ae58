//! What a rule, or one of its backends, does to requests and answers besides choosing where they go: its filters,
//! compiled. Pure: what comes out are edits, for others to apply.

pub(crate) mod headers;
pub(crate) mod redirect;
pub(crate) mod rewrite;

use std::sync::Arc;

use crate::action::headers::{HeaderEdit, HeaderEdits};
use crate::action::redirect::Redirect;
use crate::action::rewrite::Rewrite;
use crate::config::{PathMatchType, RouteFilter, RouteMatch};
use crate::matching::path::PathMatch;
use crate::problem::Problems;
use crate::request::Request;

/// The filters of one rule or backend; at most one of each kind.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    pub(crate) request_headers: Option<Arc<[HeaderEdit]>>,
    pub(crate) response_headers: Option<Arc<[HeaderEdit]>>,
    pub(crate) redirect: Option<Redirect>,
    pub(crate) rewrite: Option<Rewrite>,
}

impl Actions {
    /// Compiles `filters`, of a rule with these `matches` or of one of its backends; `None` without any.
    ///
    /// Each kind "can be specified" once at most, and URLRewrite not beside RequestRedirect (Gateway API
    /// `HTTPRouteRule.filters` and its validation in the CRD). Their order then means nothing: they touch different
    /// parts of a request.
    pub(crate) fn compile(
        filters: &[RouteFilter],
        matches: &[RouteMatch],
        problems: &mut Problems,
    ) -> Option<Box<Self>> {
        let mut actions = Self::default();
        for (i, filter) in filters.iter().enumerate() {
            problems.within(format_args!("filters[{i}]"), |problems| {
                let again = match filter {
                    RouteFilter::RequestHeaderModifier { request_header_modifier } => {
                        problems.within(format_args!("requestHeaderModifier"), |problems| {
                            actions
                                .request_headers
                                .replace(headers::compile(request_header_modifier, problems))
                                .is_some()
                        })
                    }
                    RouteFilter::ResponseHeaderModifier { response_header_modifier } => {
                        problems.within(format_args!("responseHeaderModifier"), |problems| {
                            actions
                                .response_headers
                                .replace(headers::compile(response_header_modifier, problems))
                                .is_some()
                        })
                    }
                    RouteFilter::RequestRedirect { request_redirect } => {
                        problems.within(format_args!("requestRedirect"), |problems| {
                            let compiled = Redirect::compile(request_redirect, matches, problems);
                            actions.redirect.replace(compiled).is_some()
                        })
                    }
                    RouteFilter::UrlRewrite { url_rewrite } => {
                        problems.within(format_args!("urlRewrite"), |problems| {
                            let compiled = Rewrite::compile(url_rewrite, matches, problems);
                            actions.rewrite.replace(compiled).is_some()
                        })
                    }
                    RouteFilter::Cors { .. } => {
                        problems.add("type", "CORS is not supported yet");
                        false
                    }
                };
                if again {
                    problems.add("type", "there is another filter of this type; there can be one");
                }
            });
        }
        if actions.redirect.is_some() && actions.rewrite.is_some() {
            problems.add("filters", "URLRewrite and RequestRedirect cannot stand together");
        }
        (!filters.is_empty()).then(|| Box::new(actions))
    }
}

/// Whether every match of a rule has a prefix to replace. Without a match there is the prefix `/`.
pub(crate) fn all_have_prefixes(matches: &[RouteMatch]) -> bool {
    let kinds = matches.iter().filter_map(|one| one.path.as_ref()).map(|path| path.kind);
    kinds.into_iter().all(|kind| kind == PathMatchType::PathPrefix)
}

/// What changes of a request on its way to the backend, and of the answer on its way back.
#[derive(Clone, Debug, Default)]
pub struct Edits<'t> {
    /// The host that takes the place of the request's.
    pub host: Option<&'t str>,
    /// The path, with the query string, that takes the place of the request's.
    pub path: Option<Vec<u8>>,
    /// Changes of the request's headers.
    pub request_headers: HeaderEdits<'t>,
    /// Changes of the answer's headers.
    pub response_headers: HeaderEdits<'t>,
}

impl<'t> Edits<'t> {
    /// The rule's filters, then those of the chosen backend. What is replaced as a whole, host and path, is as the
    /// backend says where both say something.
    pub(crate) fn of(
        rule: Option<&'t Actions>,
        backend: Option<&'t Actions>,
        request: &Request<'_>,
        matched: &PathMatch,
    ) -> Self {
        let rewrites = || [backend, rule].into_iter().flatten().filter_map(|it| it.rewrite.as_ref());
        let path = rewrites().find_map(|rewrite| rewrite.path.as_ref());
        // The backend sees the path that was matched.
        let merged = request.merged_path();
        let merged = (merged.len() < request.path.len()).then_some(merged);
        Self {
            host: rewrites().find_map(|rewrite| rewrite.hostname.as_deref()),
            path: path.and_then(|path| path.apply(request, matched)).or_else(|| merged.map(<[u8]>::to_vec)),
            request_headers: HeaderEdits::of(
                rule.and_then(|it| it.request_headers.as_ref()),
                backend.and_then(|it| it.request_headers.as_ref()),
            ),
            response_headers: response_headers(rule, backend),
        }
    }
}

/// The changes of an answer alone, whoever gives it.
pub(crate) fn response_headers<'t>(
    rule: Option<&'t Actions>,
    backend: Option<&'t Actions>,
) -> HeaderEdits<'t> {
    HeaderEdits::of(
        rule.and_then(|it| it.response_headers.as_ref()),
        backend.and_then(|it| it.response_headers.as_ref()),
    )
}
