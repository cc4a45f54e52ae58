//! An API server in this process for tests: notes what it is asked, and answers as the test says.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::IntoResponse;
use kube::Client;
use serde_json::{Value, json};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Its method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) url: String,
    /// Its media type.
    pub(crate) content_type: String,
    /// Its body, or null.
    pub(crate) body: Value,
}

/// Everything that was asked so far.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Asked>>>);

impl Log {
    /// The requests with this method.
    pub(crate) fn of(&self, method: &Method) -> Vec<Asked> {
        self.0.lock().unwrap().iter().filter(|asked| asked.method == method).cloned().collect()
    }

    /// `GET PATCH …`.
    pub(crate) fn methods(&self) -> String {
        let methods: Vec<String> =
            self.0.lock().unwrap().iter().map(|asked| asked.method.to_string()).collect();
        methods.join(" ")
    }
}

/// A client of a server that gives these answers.
pub(crate) fn server(
    answer: impl Fn(&Asked) -> (u16, Value) + Clone + Send + Sync + 'static,
) -> (Client, Log) {
    let log = Log::default();
    let kept = log.clone();
    let handler = move |request: Request| {
        let (answer, log) = (answer.clone(), kept.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let content_type = head.headers.get(header::CONTENT_TYPE);
            let asked = Asked {
                method: head.method,
                // The client writes an empty parameter first.
                url: head.uri.to_string().replace("?&", "?"),
                content_type: content_type
                    .map(|value| value.to_str().unwrap().to_owned())
                    .unwrap_or_default(),
                body: serde_json::from_slice(&body).unwrap_or_default(),
            };
            let (code, answer) = answer(&asked);
            log.0.lock().unwrap().push(asked);
            (StatusCode::from_u16(code).unwrap(), axum::Json(answer)).into_response()
        }
    };
    (Client::new(Router::new().fallback(handler), "default"), log)
}

/// A refusal with this code, and the reason that goes with it.
pub(crate) fn refusal(code: u16) -> (u16, Value) {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "no",
    });
    (code, status)
}
