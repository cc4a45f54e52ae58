//! gRPC without generated code: a backend that answers every unary call with what it received, and a client. Messages
//! are `google.protobuf.StringValue`.

use std::collections::BTreeMap;
use std::future::{Future, Ready, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::http::uri::PathAndQuery;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codegen::Service;
use tonic::metadata::{KeyAndValueRef, MetadataKey, MetadataMap};
use tonic::server::UnaryService;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::client::connector;

/// No answer within this time is a failure.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A call as a backend received it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Name of the backend.
    pub backend: String,
    /// `/service/method`.
    pub path: String,
    /// `:authority`.
    pub authority: String,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// The message.
    pub message: String,
}

/// A running backend, which speaks HTTP/2 with prior knowledge and nothing else. It stops when dropped.
#[derive(Debug)]
pub struct Backend {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Backend {
    /// Starts the backend `name` on a free port of 127.0.0.1.
    pub async fn start(name: &str) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, name.to_owned()));
        Ok(Self { address, task })
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, name: String) {
    // The connections end with the accept loop: their tasks live in this set.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let name = name.clone();
        let service = service_fn(move |request| answer(name.clone(), request));
        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        connections.spawn(server.serve_connection(TokioIo::new(stream), service));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(backend: String, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let call = Call {
        backend,
        path: request.uri().path().to_owned(),
        authority,
        metadata: BTreeMap::new(),
        message: String::new(),
    };
    let codec = ProstCodec::<String, String>::default();
    Ok(tonic::server::Grpc::new(codec).unary(Answering(call), request).await)
}

/// Answers with the call.
struct Answering(Call);

impl UnaryService<String> for Answering {
    type Response = String;
    type Future = Ready<Result<tonic::Response<String>, Status>>;

    fn call(&mut self, request: tonic::Request<String>) -> Self::Future {
        let metadata = texts(request.metadata());
        let call = Call { metadata, message: request.into_inner(), ..self.0.clone() };
        let text = serde_json::to_string(&call).map_err(|error| Status::internal(error.to_string()));
        ready(text.map(tonic::Response::new))
    }
}

/// What a call came to.
#[derive(Clone, Debug)]
pub struct Answer {
    /// gRPC status.
    pub code: Code,
    /// Message of the status.
    pub message: String,
    /// The call as the backend received it, where it was answered.
    pub call: Option<Call>,
    /// Metadata of the answer.
    pub metadata: BTreeMap<String, String>,
}

impl Answer {
    /// The backend that answered, or the status.
    pub fn backend(&self) -> String {
        self.call.as_ref().map_or_else(|| format!("{:?}", self.code), |call| call.backend.clone())
    }
}

/// A client with one connection.
#[derive(Debug)]
pub struct Client {
    grpc: Grpc<Connection>,
}

impl Client {
    /// A connection in cleartext, for calls to `host`.
    pub async fn connect(address: SocketAddr, host: &str) -> Result<Self> {
        Self::over(TcpStream::connect(address).await?, "http", host).await
    }

    /// A connection over TLS with the SNI `host`, trusting only `root` (PEM).
    pub async fn connect_tls(address: SocketAddr, host: &str, root: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(host.to_owned())?;
        let stream = connector(root, &[b"h2"])?.connect(name, stream).await.context("TLS handshake")?;
        anyhow::ensure!(stream.get_ref().1.alpn_protocol() == Some(b"h2"), "HTTP/2 was not agreed on");
        Self::over(stream, "https", host).await
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        scheme: &str,
        host: &str,
    ) -> Result<Self> {
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let origin: Uri = format!("{scheme}://{host}").parse()?;
        Ok(Self { grpc: Grpc::with_origin(Connection(sender), origin) })
    }

    /// Calls `/service/method` with the message `hello` and this metadata.
    pub async fn call(&mut self, path: &str, metadata: &[(&str, &str)]) -> Result<Answer> {
        let mut request = tonic::Request::new("hello".to_owned());
        for (name, value) in metadata {
            request.metadata_mut().append(MetadataKey::from_bytes(name.as_bytes())?, value.parse()?);
        }
        let path = PathAndQuery::try_from(path)?;
        let answer = tokio::time::timeout(TIMEOUT, async {
            self.grpc.ready().await.context("the connection")?;
            anyhow::Ok(self.grpc.unary(request, path, ProstCodec::<String, String>::default()).await)
        });
        Ok(match answer.await.with_context(|| format!("no answer within {TIMEOUT:?}"))?? {
            Ok(answer) => Answer {
                code: Code::Ok,
                message: String::new(),
                metadata: texts(answer.metadata()),
                call: Some(serde_json::from_str(answer.get_ref())?),
            },
            Err(status) => Answer {
                code: status.code(),
                message: status.message().to_owned(),
                metadata: texts(status.metadata()),
                call: None,
            },
        })
    }
}

/// A connection as what tonic's client calls through.
#[derive(Debug)]
struct Connection(SendRequest<Body>);

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

/// Metadata that is text; of repeated entries the last.
fn texts(metadata: &MetadataMap) -> BTreeMap<String, String> {
    let text = |entry: KeyAndValueRef<'_>| match entry {
        KeyAndValueRef::Ascii(name, value) => {
            Some((name.to_string(), String::from_utf8_lossy(value.as_encoded_bytes()).into_owned()))
        }
        KeyAndValueRef::Binary(..) => None,
    };
    metadata.iter().filter_map(text).collect()
}
