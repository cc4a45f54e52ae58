//! What the controller answers to kubelet and Prometheus: `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::metrics::Metrics;

/// What OpenMetrics' text is called.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the controller has seen every object that it watches. A standby that has is ready as well.
#[derive(Debug, Default)]
pub struct Readiness(AtomicBool);

impl Readiness {
    /// It has.
    pub fn reached(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Answers on `listener` until it is dropped.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
) -> std::io::Result<()> {
    axum::serve(listener, router(metrics, readiness)).await
}

fn router(metrics: Arc<Metrics>, readiness: Arc<Readiness>) -> Router {
    let ready = move || async move {
        if readiness.0.load(Ordering::Relaxed) {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "objects are still being listed\n")
        }
    };
    let figures =
        move || async move { ([(header::CONTENT_TYPE, MEDIA_TYPE)], metrics.text()).into_response() };
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(figures))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use kube::Client;

    use super::*;

    async fn ask(client: &Client, path: &str) -> Result<String, kube::Error> {
        client.request_text(Request::get(path).body(Vec::new()).unwrap()).await
    }

    #[tokio::test]
    async fn it_is_alive_before_it_is_ready() {
        let readiness = Arc::new(Readiness::default());
        let client = Client::new(router(Arc::default(), Arc::clone(&readiness)), "default");
        assert_eq!(ask(&client, "/healthz").await.unwrap(), "alive\n");
        let refused = ask(&client, "/readyz").await.unwrap_err();
        assert!(refused.to_string().contains("objects are still being listed"), "{refused}");
        readiness.reached();
        assert_eq!(ask(&client, "/readyz").await.unwrap(), "ready\n");
        assert!(ask(&client, "/metrics").await.unwrap().contains("gatewasm_controller_leader 0"));
    }
}
