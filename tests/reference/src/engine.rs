//! The engine's answers in the form of an [`Outcome`]: its changes are made here, on the headers of the question.

use gatewasm_routing::{Cause, Decision, HeaderEdit, HeaderEdits, Matched, Request, RouteTable};

use crate::outcome::{Action, Headers, Outcome, Question, Taken, Upstream};

/// What the engine does with a request.
pub fn outcome(table: &RouteTable, question: &Question) -> Outcome {
    let headers: Vec<(&[u8], &[u8])> =
        question.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())).collect();
    let request = Request {
        method: question.method.as_bytes(),
        authority: &question.authority,
        path: &question.path,
        headers: &headers,
    };
    let mut answer = Headers::of(&question.answer);
    match table.decide(question.entry.as_bytes(), &request, question.random) {
        Decision::Forward { cluster, policy, matched, edits, .. } => {
            let mut headers = Headers::of(&question.headers);
            change(&edits.request_headers, &mut headers);
            change(&edits.response_headers, &mut answer);
            let upstream = Upstream {
                authority: edits.host.map_or_else(|| question.authority.clone(), |host| host.into()),
                path: edits.path.unwrap_or_else(|| question.path.clone()),
                headers,
            };
            let action =
                Action::Forward { cluster: cluster.to_owned(), policy: policy.map(str::to_owned), upstream };
            by(&matched, action, answer)
        }
        Decision::Redirect { status, location, matched, response_headers } => {
            change(&response_headers, &mut answer);
            by(&matched, Action::Redirect { status, location }, answer)
        }
        Decision::Respond { status, grpc_status, cause, listener, matched, response_headers } => {
            let preflight = matches!(cause, Cause::Preflight | Cause::OriginRefused);
            if preflight {
                answer = Headers::default();
            }
            change(&response_headers, &mut answer);
            let action = match preflight {
                true => Action::Preflight { status },
                false => Action::Respond { status, grpc_status },
            };
            Outcome {
                listener: listener.map(str::to_owned),
                taken: matched.as_ref().map(taken),
                action,
                answer,
            }
        }
    }
}

fn by(matched: &Matched<'_>, action: Action, answer: Headers) -> Outcome {
    Outcome { listener: Some(matched.listener.to_owned()), taken: Some(taken(matched)), action, answer }
}

fn taken(matched: &Matched<'_>) -> Taken {
    Taken { route: matched.route.label.clone(), rule: matched.rule, match_index: matched.match_index }
}

fn change(edits: &HeaderEdits<'_>, headers: &mut Headers) {
    for edit in edits.iter() {
        match edit {
            HeaderEdit::Set { name, value } => headers.set(name, value.as_bytes()),
            HeaderEdit::Add { name, value } => headers.add(name, value.as_bytes()),
            HeaderEdit::Remove { name } => headers.remove(name),
            HeaderEdit::RemovePrefix { prefix } => headers.0.retain(|name, _| !name.starts_with(&**prefix)),
        }
    }
}
