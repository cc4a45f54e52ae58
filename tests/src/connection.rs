//! A client's connection that is kept: one request after the other, in cleartext or over TLS.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;

use crate::client::{Answer, Request, connector};
use crate::exact::Tls;

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
    /// To `address`, in cleartext or over TLS.
    pub async fn open(address: SocketAddr, tls: Option<Tls<'_>>) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // A port that the system picks while connecting may be shared by connections to other addresses.
        socket.bind((address.ip(), 0).into())?;
        let stream = socket.connect(address).await.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        let from = stream.local_addr()?;
        match tls {
            None => Self::over(from, stream).await,
            Some(Tls { server_name, root }) => {
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
            Answer::read(self.sender.send_request(request.to_hyper()?).await?).await
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
