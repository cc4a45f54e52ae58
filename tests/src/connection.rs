//! A client's connection that is kept: one request after the other, in cleartext or over TLS.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

use crate::client::{Answer, Request, connector};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A connection over which HTTP/1.1 is spoken. It ends when dropped.
#[derive(Debug)]
pub struct Connection {
    /// The address that requests come from.
    pub from: SocketAddr,
    sender: SendRequest<Empty<Bytes>>,
    task: JoinHandle<hyper::Result<()>>,
}

impl Connection {
    /// To `address`; over TLS with an SNI and a PEM root to trust.
    pub async fn open(address: SocketAddr, tls: Option<(&str, &str)>) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // A port that the system picks while connecting may be shared by connections to other addresses.
        socket.bind((address.ip(), 0).into())?;
        let stream = socket.connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        let from = stream.local_addr()?;
        match tls {
            None => Self::over(from, stream).await,
            Some((server_name, root)) => {
                let name = ServerName::try_from(server_name.to_owned())?;
                let stream = connector(root, &[])?.connect(name, stream).await.context("TLS handshake")?;
                Self::over(from, stream).await
            }
        }
    }

    async fn over(
        from: SocketAddr,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self { from, sender, task: tokio::spawn(connection) })
    }

    /// Sends a request and reads the answer.
    pub async fn send(&mut self, request: &Request) -> Result<Answer> {
        let exchange = async {
            self.sender.ready().await?;
            let (parts, body) = self.sender.send_request(request.to_hyper()?).await?.into_parts();
            let body = body.collect().await?.to_bytes().to_vec();
            let mut headers = BTreeMap::<String, String>::new();
            for (name, value) in &parts.headers {
                let value = String::from_utf8_lossy(value.as_bytes());
                headers
                    .entry(name.to_string())
                    .and_modify(|all| *all = format!("{all},{value}"))
                    .or_insert_with(|| value.into_owned());
            }
            anyhow::Ok(Answer { status: parts.status.as_u16(), headers, body })
        };
        let result = tokio::time::timeout(TIMEOUT, exchange).await;
        result
            .with_context(|| format!("no answer within {TIMEOUT:?}"))?
            .with_context(|| format!("{request:?}"))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}
