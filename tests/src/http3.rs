//! A client of HTTP/3: one connection, one request after the other.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use h3::client::SendRequest;
use hyper::body::{Buf, Bytes};
use quinn::crypto::rustls::QuicClientConfig;
use tokio::task::JoinHandle;

use crate::certificate::Certificate;
use crate::client::{self, Answer, Request};
use crate::exact::Tls;

/// No answer within this time is a failure.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection on which nothing comes for this time is over.
const SILENCE: Duration = Duration::from_secs(5);

/// A connection. It ends when dropped.
pub struct Http3 {
    connection: quinn::Connection,
    sender: SendRequest<h3_quinn::OpenStreams, Bytes>,
    task: JoinHandle<()>,
}

impl std::fmt::Debug for Http3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http3").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Http3 {
    /// To `address`.
    pub async fn open(address: SocketAddr, tls: Tls<'_>) -> Result<Self> {
        Self::open_as(address, tls, None).await
    }

    /// The same, by a client with this certificate. Whether it counts shows with the first request.
    pub async fn open_as(
        address: SocketAddr,
        tls: Tls<'_>,
        certificate: Option<&Certificate>,
    ) -> Result<Self> {
        let config = QuicClientConfig::try_from(client::tls(tls.root, &[b"h3"], certificate)?)?;
        let mut config = quinn::ClientConfig::new(Arc::new(config));
        // Where nobody answers, nobody says so. A connection that is kept says something now and then.
        let mut transport = quinn::TransportConfig::default();
        transport.max_idle_timeout(Some(SILENCE.try_into()?)).keep_alive_interval(Some(SILENCE / 5));
        config.transport_config(Arc::new(transport));
        let endpoint = quinn::Endpoint::client((address.ip(), 0).into())?;
        let connecting = endpoint.connect_with(config, address, tls.server_name)?;
        within(async {
            let connection = connecting.await.context("QUIC handshake")?;
            let over = h3_quinn::Connection::new(connection.clone());
            let (mut driver, sender) = h3::client::new(over).await?;
            let task = tokio::spawn(async move {
                poll_fn(|context| driver.poll_close(context)).await;
            });
            Ok(Self { connection, sender, task })
        })
        .await
    }

    /// Sends a request with this body and reads the answer.
    pub async fn send(&mut self, request: &Request, body: &[u8]) -> Result<Answer> {
        let uri = format!("https://{}{}", request.host, request.path);
        let mut head = hyper::Request::builder().method(request.method.as_str()).uri(uri);
        for (name, value) in &request.headers {
            head = head.header(name, value.as_slice());
        }
        let head = head.body(())?;
        let exchange = async {
            let mut stream = self.sender.send_request(head).await?;
            if !body.is_empty() {
                stream.send_data(Bytes::copy_from_slice(body)).await?;
            }
            stream.finish().await?;
            let (parts, ()) = stream.recv_response().await?.into_parts();
            let mut body = Vec::new();
            while let Some(mut data) = stream.recv_data().await? {
                body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
            Ok(Answer::of(&parts, body))
        };
        within(exchange).await.with_context(|| format!("{request:?}"))
    }
}

impl Drop for Http3 {
    fn drop(&mut self) {
        self.task.abort();
        self.connection.close(0u32.into(), b"");
    }
}

async fn within<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(TIMEOUT, work).await.with_context(|| format!("no answer within {TIMEOUT:?}"))?
}
