//! What a rule, or one of its backends, does to requests and answers besides choosing where they go: its filters,
//! policy and sessions, compiled. Pure: what comes out are edits, for others to apply.

pub(crate) mod cors;
pub(crate) mod headers;
mod origin;
pub(crate) mod redirect;
pub(crate) mod rewrite;

use std::sync::Arc;

use crate::action::cors::{Cors, Role};
use crate::action::headers::{HeaderEdit, HeaderEdits};
use crate::action::redirect::Redirect;
use crate::action::rewrite::Rewrite;
use crate::config::{self, PathMatchType, RouteFilter, RouteMatch};
use crate::matching::path::PathMatch;
use crate::problem::Problems;
use crate::request::Request;
use crate::session::{Key, Persistence};

/// What one rule or backend does; at most one filter of each kind.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    pub(crate) request_headers: Option<Arc<[HeaderEdit]>>,
    pub(crate) response_headers: Option<Arc<[HeaderEdit]>>,
    pub(crate) redirect: Option<Redirect>,
    pub(crate) rewrite: Option<Rewrite>,
    /// Of rules alone.
    pub(crate) cors: Option<Box<Cors>>,
    pub(crate) policy: Option<Box<str>>,
    /// Of rules alone.
    pub(crate) session: Option<Arc<Persistence>>,
}

impl Actions {
    /// Compiles what a rule does, `None` for nothing. `identity` is of this rule alone, and `key` that of all sessions.
    pub(crate) fn of_rule(
        rule: &config::Rule,
        (key, identity): (&Key, impl FnOnce() -> String),
        problems: &mut Problems,
    ) -> Option<Box<Self>> {
        let filters = Self::compile(&rule.filters, &rule.matches, problems);
        let session = rule.session_persistence.as_ref().map(|persistence| {
            problems.within(format_args!("sessionPersistence"), |problems| {
                Persistence::compile(persistence, &rule.backends, (key, &identity()), problems)
            })
        });
        let policy = policy(rule.policy.as_deref(), problems);
        if policy.is_none() && session.is_none() {
            return filters;
        }
        let mut actions = filters.unwrap_or_default();
        (actions.policy, actions.session) = (policy, session);
        Some(actions)
    }

    /// Compiles what a backend of a rule with these `matches` does, `None` for nothing.
    pub(crate) fn of_backend(
        backend: &config::Backend,
        matches: &[RouteMatch],
        problems: &mut Problems,
    ) -> Option<Box<Self>> {
        for (i, filter) in backend.filters.iter().enumerate() {
            // A preflight request asks about a rule: it says nothing about the backend, which chance may choose.
            if matches!(filter, RouteFilter::Cors { .. }) {
                problems.add(format_args!("filters[{i}].type"), "CORS is for rules, not for single backends");
            }
        }
        let filters = Self::compile(&backend.filters, matches, problems);
        let Some(policy) = policy(backend.policy.as_deref(), problems) else { return filters };
        let mut actions = filters.unwrap_or_default();
        actions.policy = Some(policy);
        Some(actions)
    }

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
            problems.within(format_args!("filters[{i}]"), |problems| match filter {
                RouteFilter::RequestHeaderModifier { request_header_modifier: it } => {
                    put(&mut actions.request_headers, "requestHeaderModifier", problems, |problems| {
                        headers::compile(it, problems)
                    });
                }
                RouteFilter::ResponseHeaderModifier { response_header_modifier: it } => {
                    put(&mut actions.response_headers, "responseHeaderModifier", problems, |problems| {
                        headers::compile(it, problems)
                    });
                }
                RouteFilter::RequestRedirect { request_redirect: it } => {
                    put(&mut actions.redirect, "requestRedirect", problems, |problems| {
                        Redirect::compile(it, matches, problems)
                    });
                }
                RouteFilter::UrlRewrite { url_rewrite: it } => {
                    put(&mut actions.rewrite, "urlRewrite", problems, |problems| {
                        Rewrite::compile(it, matches, problems)
                    });
                }
                RouteFilter::Cors { cors: it } => {
                    put(&mut actions.cors, "cors", problems, |problems| {
                        Box::new(Cors::compile(it, problems))
                    });
                }
            });
        }
        if actions.redirect.is_some() && actions.rewrite.is_some() {
            problems.add("filters", "URLRewrite and RequestRedirect cannot stand together");
        }
        (!filters.is_empty()).then(|| Box::new(actions))
    }
}

/// Compiles what stands in this field of a filter, the only one of its type.
fn put<T>(
    place: &mut Option<T>,
    field: &str,
    problems: &mut Problems,
    compile: impl FnOnce(&mut Problems) -> T,
) {
    if place.replace(problems.within(format_args!("{field}"), compile)).is_some() {
        problems.add("type", "there is another filter of this type; there can be one");
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
            response_headers: response_headers(rule, backend, request, Role::Itself),
        }
    }
}

/// The changes of an answer alone, whoever gives it. What is said to other origins has the last word: it is the
/// gateway's to say, also on a redirect or a failure.
pub(crate) fn response_headers<'t>(
    rule: Option<&'t Actions>,
    backend: Option<&'t Actions>,
    request: &Request<'_>,
    role: Role,
) -> HeaderEdits<'t> {
    let modified = HeaderEdits::of(
        rule.and_then(|it| it.response_headers.as_ref()),
        backend.and_then(|it| it.response_headers.as_ref()),
    );
    match rule.and_then(|it| it.cors.as_ref()) {
        None => modified,
        Some(cors) => {
            let (shared, own) = cors.edits(request, role);
            modified.then(shared, own)
        }
    }
}

/// A policy's name goes into a header.
fn policy(name: Option<&str>, problems: &mut Problems) -> Option<Box<str>> {
    let name = name?;
    if name.is_empty() {
        problems.add("policy", "is empty");
    } else if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        problems.add("policy", format!("{name:?} has characters other than visible ASCII"));
    }
    Some(name.into())
}
