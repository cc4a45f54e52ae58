//! What an agent says by HTTP: to the kubelet whether the pod is started and ready, to the controller which bundle is in
//! effect, to Prometheus what agent and Envoy count. Everybody in the cluster may ask; nothing can be changed here.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::time::timeout;

use super::Options;
use super::drain::{self, Drain};
use super::metrics::Metrics;
use super::taken::{Current, Refused};
use crate::cluster::serve::MEDIA_TYPE;
use crate::envoy::admin::Admin;
use crate::xds::agent::{Outcome, State as Progress};

/// A question about the next bundle is answered after this time at the latest.
const LONG_POLL: Duration = Duration::from_secs(30);

/// The bundle in effect, as `GET /bundle` answers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InEffect {
    /// Its number.
    pub counter: u64,
    /// The hash of its content.
    pub hash: String,
    /// What Envoy did not bring into effect in time; nothing where it is in effect on every worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late: Option<String>,
    /// What Envoy refused of it, and keeps as it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
}

/// What `GET /bundle` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The bundle that was taken last; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_effect: Option<InEffect>,
    /// Why the newest bundle that was found is not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_taken: Option<String>,
}

impl InEffect {
    pub(super) fn of(bundle: &Current, outcome: &Outcome) -> Self {
        let late = match &outcome.state {
            Progress::Late(what) => Some(what.clone()),
            Progress::Live | Progress::Unchanged => None,
        };
        let refused = outcome.refusals.iter().map(|(kind, message)| format!("{kind}: {message}")).collect();
        Self { counter: bundle.counter, hash: bundle.hash.clone(), late, refused }
    }
}

/// What is reported.
#[derive(Debug, Default)]
pub(super) struct Report {
    answer: watch::Sender<Answer>,
    pub(super) metrics: Arc<Metrics>,
}

#[derive(Clone)]
struct Shared {
    answer: watch::Receiver<Answer>,
    metrics: Arc<Metrics>,
    admin: Admin,
    drain: Arc<Drain>,
}

impl Report {
    /// Listens on the port, and on the socket of the drain.
    pub(super) async fn start(options: &Options, admin: Admin) -> Result<Self> {
        let report = Self::default();
        let end = Drain::new(admin.clone(), options.drain_delay, options.drain_limit);
        let shared = Shared {
            answer: report.answer(),
            metrics: Arc::clone(&report.metrics),
            admin,
            drain: Arc::new(end),
        };
        let asked = Router::new()
            .route("/startup", get(async || "started\n"))
            .route("/ready", get(ready))
            .route("/bundle", get(bundle))
            .route("/drained", get(drained))
            .route("/metrics", get(figures))
            .route("/stats/prometheus", get(statistics))
            .with_state(shared.clone());
        let ordered = Router::new().route(drain::PATH, post(drain)).with_state(shared);

        let address = SocketAddr::new(options.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), options.port);
        let port = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        let control = options.place.control();
        let socket =
            UnixListener::bind(&control).with_context(|| format!("listen on {}", control.display()))?;
        tokio::spawn(async { axum::serve(port, asked).await });
        tokio::spawn(async { axum::serve(socket, ordered).await });
        Ok(report)
    }

    /// What is said now, and from now on.
    pub(super) fn answer(&self) -> watch::Receiver<Answer> {
        self.answer.subscribe()
    }

    /// This is in effect now.
    pub(super) fn in_effect(&self, bundle: InEffect) {
        self.answer.send_replace(Answer { in_effect: Some(bundle), not_taken: None });
    }

    /// Why what was found last is not taken, if it is not.
    pub(super) fn not_taken(&self, why: Option<&Refused>) {
        let why = why.map(ToString::to_string);
        self.answer.send_if_modified(|answer| {
            let is_new = answer.not_taken != why;
            if is_new && let Some(why) = &why {
                self.metrics.refused();
                tracing::warn!(why, "a bundle is not taken");
            }
            answer.not_taken = why;
            is_new
        });
    }
}

/// Ready for traffic: Envoy serves, with a bundle in effect, and nobody wants the pod to end.
async fn ready(State(shared): State<Shared>) -> (StatusCode, &'static str) {
    let in_effect = |answer: &Answer| answer.in_effect.as_ref().is_some_and(|bundle| bundle.late.is_none());
    if shared.drain.is_asked() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if !in_effect(&shared.answer.borrow()) {
        (StatusCode::SERVICE_UNAVAILABLE, "no bundle is in effect\n")
    } else if !shared.admin.is_live().await {
        (StatusCode::SERVICE_UNAVAILABLE, "Envoy does not serve\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

#[derive(Deserialize)]
struct Known {
    /// The hash of the bundle that the asker knows to be in effect.
    known: Option<String>,
    /// The number of that bundle.
    counter: Option<u64>,
}

/// What is in effect; where the asker knows that, what is next: another bundle, or why there is none.
async fn bundle(State(mut shared): State<Shared>, Query(known): Query<Known>) -> Json<Answer> {
    let not_taken = shared.answer.borrow().not_taken.clone();
    let is_news = |answer: &Answer| match &answer.in_effect {
        _ if answer.not_taken != not_taken => true,
        Some(bundle) => {
            known.known.as_ref() != Some(&bundle.hash)
                || known.counter != Some(bundle.counter)
                || bundle.late.is_some()
        }
        None => false,
    };
    let _ = timeout(LONG_POLL, shared.answer.wait_for(is_news)).await;
    let answer = shared.answer.borrow().clone();
    Json(answer)
}

async fn drain(State(shared): State<Shared>) -> &'static str {
    shared.drain.run().await;
    "drained\n"
}

/// Answers when a drain that somebody has asked for is done.
async fn drained(State(shared): State<Shared>) -> &'static str {
    shared.drain.done().await;
    "drained\n"
}

async fn figures(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], shared.metrics.text())
}

async fn statistics(State(shared): State<Shared>) -> Result<String, (StatusCode, String)> {
    let answer = shared.admin.get("/stats/prometheus").await;
    answer.map_err(|error| (StatusCode::BAD_GATEWAY, format!("{error:#}\n")))
}
