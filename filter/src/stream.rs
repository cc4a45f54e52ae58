//! One request: read its headers, decide, tell Envoy; then its answer.

use std::cell::RefCell;
use std::sync::Arc;

use gatewasm_routing::{Cause, Decision, Edits, HeaderEdit, HeaderEdits, Matched, Request, Session, wire};

use crate::host::{self, Headers, HostError};
use crate::pairs::{self, Pair};
use crate::pending::Pending;
use crate::plugin::{self, Plugin};

/// How Envoy goes on with the request.
pub(crate) enum Next {
    /// To the cluster that was chosen.
    Continue,
    /// Not at all: the filter has answered.
    Answered,
}

/// What an answer depends on: parts of the configuration that decided its request, whichever is in effect by then.
struct Answer {
    edits: Vec<Arc<[HeaderEdit]>>,
    session: Option<Box<Session>>,
}

thread_local! {
    /// Changes of answers that have yet to come. Only requests whose answers change are here.
    static ANSWERS: RefCell<Pending<Answer>> = const { RefCell::new(Pending::new()) };
}

/// A request begins: nothing of an earlier one with the same number, if there ever was one, is for it.
pub(crate) fn on_begin(context: u32) {
    take_answer(context);
}

/// Changes the answer, where the rule that took the request says so.
pub(crate) fn on_response_headers(context: u32) {
    let Some(Answer { edits, session }) = take_answer(context) else { return };
    for edit in edits.iter().flat_map(|list| list.iter()) {
        change_answer(edit);
    }
    if let Some(session) = session {
        let endpoint = Headers::Response.get(wire::ENDPOINT);
        if endpoint.is_some() {
            change_answer(&HeaderEdit::Remove { name: wire::ENDPOINT.into() });
        }
        if let Some(edit) = session.answer(host::outcome(), endpoint.as_deref(), &host::now) {
            change_answer(&edit);
        }
    }
}

fn change_answer(edit: &HeaderEdit) {
    if let Err(error) = apply(edit, Headers::Response) {
        log::error!("cannot change a header of an answer, {edit:?}: {error}");
    }
}

fn take_answer(context: u32) -> Option<Answer> {
    ANSWERS.with(|answers| answers.try_borrow_mut().ok()?.take(context))
}

/// Keeps for the answer of this request what is to change of it.
fn keep_for_answer(context: u32, edits: &HeaderEdits<'_>, session: Option<Box<Session>>) {
    if edits.is_empty() && session.is_none() {
        return;
    }
    let answer = Answer { edits: edits.lists().cloned().collect(), session };
    ANSWERS.with(|answers| {
        if let Ok(mut answers) = answers.try_borrow_mut() {
            answers.keep(context, answer, |contexts| host::still_alive(contexts, context));
        }
    });
}

fn apply(edit: &HeaderEdit, headers: Headers) -> Result<(), HostError> {
    match edit {
        HeaderEdit::Set { name, value } => headers.replace(name, value.as_bytes()),
        HeaderEdit::Add { name, value } => headers.add(name, value.as_bytes()),
        HeaderEdit::Remove { name } => headers.remove(name.as_bytes()),
        HeaderEdit::RemovePrefix { prefix } => {
            let map = headers.all()?;
            let names = pairs::parse(&map).into_iter().flatten().map(|(name, _)| name);
            names.filter(|name| name.starts_with(prefix.as_bytes())).try_for_each(|name| headers.remove(name))
        }
    }
}

/// Routes the request whose headers Envoy has just read.
pub(crate) fn on_request_headers(context: u32) -> Next {
    plugin::with_plugin_of(context, |plugin| match plugin {
        Some(plugin) => {
            route(plugin, context).unwrap_or_else(|details| answer(500, None, details, &[], "internal error"))
        }
        None => answer(500, None, "gatewasm_not_configured", &[], "not configured"),
    })
}

/// What could not be done for this request, as response code details.
type Failed = &'static str;

fn route(plugin: &Plugin, context: u32) -> Result<Next, Failed> {
    let map = Headers::Request.all().map_err(|_| "gatewasm_headers_unreadable")?;
    let headers = pairs::parse(&map).ok_or("gatewasm_headers_malformed")?;
    let (entry, request) = read(&headers);
    if entry == wire::PROBE.as_bytes() {
        return Ok(probe(plugin));
    }
    let random = plugin::with_vm(|vm| vm.random.next());
    match plugin.table.decide_at(entry, &request, random, &host::now) {
        Decision::Forward { cluster, policy, matched, edits, session } => {
            let endpoint = session.as_ref().and_then(|session| session.endpoint_header());
            keep_for_answer(context, &edits.response_headers, session);
            change(&edits).map_err(|_| "gatewasm_request_not_changed")?;
            // After everything that a route may say: what is between the filter and Envoy is never a route's own choice
            // of header. The chain has removed what a client sent under these names.
            let tell = |name, value: &str| {
                Headers::Request.replace(name, value.as_bytes()).map_err(|_| "gatewasm_header_not_set")
            };
            tell(wire::CLUSTER, cluster)?;
            if let Some(policy) = policy {
                tell(wire::POLICY, policy)?;
            }
            if let Some(endpoint) = endpoint {
                tell(wire::ENDPOINT, &endpoint)?;
            }
            if plugin.table.access_log() {
                leave_for_access_log(Some(matched.listener), Some(&matched));
            }
            Ok(Next::Continue)
        }
        Decision::Redirect { status, location, matched, response_headers } => {
            keep_for_answer(context, &response_headers, None);
            if plugin.table.access_log() {
                leave_for_access_log(Some(matched.listener), Some(&matched));
            }
            Ok(answer(status, None, "gatewasm_redirect", &[(b"location", location.as_bytes())], ""))
        }
        Decision::Respond { status, grpc_status, cause, listener, matched, response_headers } => {
            keep_for_answer(context, &response_headers, None);
            if plugin.table.access_log() {
                leave_for_access_log(listener, matched.as_ref());
            }
            let (details, body) = words(cause);
            // The message of a gRPC status is not a text file: it has no end of line.
            let body = if request.is_grpc() { body.trim_end() } else { body };
            Ok(answer(status, grpc_status, details, &[], body))
        }
    }
}

/// Changes the request as its rule and backend say.
fn change(edits: &Edits<'_>) -> Result<(), HostError> {
    for edit in edits.request_headers.iter() {
        apply(edit, Headers::Request)?;
    }
    if let Some(path) = &edits.path {
        Headers::Request.replace(":path", path)?;
    }
    if let Some(host) = edits.host {
        Headers::Request.replace(":authority", host.as_bytes())?;
    }
    Ok(())
}

/// The probe's answer: which configuration runs, and in which VM. Envoy has one VM per worker, so that a caller who has
/// heard every VM knows what every worker does.
fn probe(plugin: &Plugin) -> Next {
    // Both are hexadecimal: nothing in them needs an escape.
    let config = &plugin.config;
    let vm = plugin::with_vm(|vm| vm.id.clone());
    answer(200, None, "gatewasm_probe", &[], &format!("{{\"config\":\"{config}\",\"vm\":\"{vm}\"}}\n"))
}

/// The value of [`wire::LISTENER`] and the request, found in one pass. What is missing is empty: a CONNECT request has
/// no path.
fn read<'a>(headers: &'a [Pair<'a>]) -> (&'a [u8], Request<'a>) {
    let mut entry = b"".as_slice();
    let mut request = Request { method: b"", authority: b"", path: b"", headers };
    for (name, value) in headers {
        match *name {
            b":method" => request.method = value,
            b":authority" => request.authority = value,
            b":path" => request.path = value,
            name if name == wire::LISTENER.as_bytes() => entry = value,
            _ => {}
        }
    }
    (entry, request)
}

/// Hands what was decided to Envoy's access log. A line that lacks it is not worth failing the request.
fn leave_for_access_log(listener: Option<&str>, matched: Option<&Matched<'_>>) {
    let leave = |name, value| {
        if let Err(error) = host::set_filter_state(name, value) {
            log::debug!("filter state {name} not set: {error}");
        }
    };
    if let Some(listener) = listener {
        leave(wire::STATE_LISTENER, listener);
    }
    if let Some(matched) = matched {
        leave(wire::STATE_ROUTE, &matched.route.label);
        leave(wire::STATE_RULE, &matched.rule.to_string());
    }
}

/// Response code details and body for a request that no backend gets. Constant: what a client may read says nothing
/// about the configuration; the access log does.
const fn words(cause: Cause) -> (&'static str, &'static str) {
    match cause {
        Cause::NoListener => ("gatewasm_no_listener", "no listener for this host\n"),
        Cause::Misdirected => ("gatewasm_misdirected", "this host is not served on this connection\n"),
        Cause::NoRoute => ("gatewasm_no_route", "no route matches\n"),
        Cause::InvalidRule => ("gatewasm_invalid_rule", "the route is not valid\n"),
        Cause::NoBackends => ("gatewasm_no_backends", "the route has no backend\n"),
        Cause::InvalidBackend => ("gatewasm_invalid_backend", "the backend is not valid\n"),
        Cause::NoLocation => ("gatewasm_no_location", "the request has no host or path to redirect\n"),
        Cause::Preflight => ("gatewasm_preflight", ""),
        Cause::OriginRefused => ("gatewasm_origin_refused", "this origin is not allowed\n"),
        Cause::AmbiguousPath => ("gatewasm_ambiguous_path", "the path has a dot segment with parameters\n"),
    }
}

/// Answers the request. Where even that is refused, Envoy ends a stream that the filter holds by its own time limits;
/// it never goes on to a cluster.
fn answer(status: u16, grpc_status: Option<u32>, details: &str, headers: &[Pair<'_>], body: &str) -> Next {
    if let Err(error) = host::respond(status, grpc_status, details, headers, body) {
        log::error!("cannot answer {status} {details}: {error}");
    }
    Next::Answered
}
