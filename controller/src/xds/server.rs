//! The ADS server: streams on a Unix socket, each with a [`Session`], and what they report back.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use envoy_types::pb::envoy::service::discovery::v3 as discovery;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::Service as _;
use tonic::{Request, Response, Status, Streaming};

use discovery::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse};

use super::kind::Kind;
use super::published::Published;
use super::session::{Refusal, Session};

/// How far Envoy is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The stream that this is about: the newest.
    stream: u64,
    /// Version of each kind that Envoy has, and where it has refused one, that it keeps its older one.
    pub(super) settled: BTreeMap<Kind, u64>,
    /// The last refusal of each kind on this stream.
    pub(super) refused: BTreeMap<Kind, Refusal>,
}

/// Serves `published` on `socket` until the task is dropped.
pub(super) fn serve(
    socket: &Path,
    published: watch::Receiver<Arc<Published>>,
    progress: watch::Sender<Progress>,
) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let listener = UnixListener::bind(socket).with_context(|| format!("listen on {}", socket.display()))?;
    let service = Service { published, progress: Arc::new(progress), streams: AtomicU64::new(0) };
    // Envoy names every endpoint resource in a request; the limit of 4 MiB would be met at some 100,000 clusters.
    let service = AggregatedDiscoveryServiceServer::new(service).max_decoding_message_size(usize::MAX);
    Ok(tokio::spawn(accept(listener, service)))
}

/// One service needs no router: its generated code knows the paths of its methods.
async fn accept(listener: UnixListener, service: AggregatedDiscoveryServiceServer<Service>) {
    // The connections end with this task: they live in this set.
    let mut connections = JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "an ADS connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = service.clone();
        let service = service_fn(move |request| service.clone().call(request));
        let server = http2::Builder::new(TokioExecutor::new());
        connections.spawn(async move {
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "an ADS connection ended");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

struct Service {
    published: watch::Receiver<Arc<Published>>,
    progress: Arc<watch::Sender<Progress>>,
    streams: AtomicU64,
}

type Stream<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Stream<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Stream<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let id = self.streams.fetch_add(1, Ordering::Relaxed) + 1;
        let (answers, stream) = mpsc::channel(1);
        let (published, progress) = (self.published.clone(), Arc::clone(&self.progress));
        tokio::spawn(follow(id, request.into_inner(), published, progress, answers));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn delta_aggregated_resources(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("the bootstrap asks for the state of the world"))
    }
}

/// Runs one stream to its end.
async fn follow(
    id: u64,
    mut requests: Streaming<DiscoveryRequest>,
    mut published: watch::Receiver<Arc<Published>>,
    progress: Arc<watch::Sender<Progress>>,
    answers: mpsc::Sender<Result<DiscoveryResponse, Status>>,
) {
    tracing::debug!(stream = id, "Envoy opened the ADS stream");
    progress.send_replace(Progress { stream: id, ..Progress::default() });
    let mut session = Session::default();
    loop {
        let current = Arc::clone(&published.borrow_and_update());
        while let Some(answer) = session.answer(&current) {
            tracing::debug!(
                stream = id,
                kind = answer.type_url.rsplit('.').next(),
                version = answer.version_info,
                resources = answer.resources.len(),
                "sent"
            );
            if answers.send(Ok(answer)).await.is_err() {
                return;
            }
        }
        let settled = Kind::ALL.into_iter().filter_map(|kind| Some((kind, session.settled(kind, &current)?)));
        let settled: BTreeMap<Kind, u64> = settled.collect();
        update(&progress, id, |it| it.settled = settled);
        tokio::select! {
            request = requests.message() => match request {
                Ok(Some(request)) => {
                    if let Some(refusal) = session.request(request) {
                        update(&progress, id, |it| { it.refused.insert(refusal.kind, refusal); });
                    }
                }
                Ok(None) | Err(_) => break,
            },
            changed = published.changed() => if changed.is_err() { break },
        }
    }
    tracing::debug!(stream = id, "Envoy closed the ADS stream");
    update(&progress, id, |it| it.settled.clear());
}

/// Changes the progress, unless a newer stream has taken over.
fn update(progress: &watch::Sender<Progress>, stream: u64, change: impl FnOnce(&mut Progress)) {
    progress.send_if_modified(|it| {
        let ours = it.stream == stream;
        if ours {
            change(it);
        }
        ours
    });
}
