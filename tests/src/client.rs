//! Clients: one request on a connection of its own, in cleartext, over TLS, or byte by byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::http::response::Parts;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::certificate::Certificate;
use crate::echo::Echoed;

/// No answer within this time is a failure.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A request to send.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET` by default.
    pub method: String,
    /// `Host`.
    pub host: String,
    /// Path with query.
    pub path: String,
    /// Further headers, in order, repeated ones allowed; values may be any bytes that HTTP allows.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers, repeated ones joined by a comma.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
}

impl Request {
    /// `GET` of `path` on `host`.
    pub fn get(host: &str, path: &str) -> Self {
        Self { method: "GET".into(), host: host.into(), path: path.into(), headers: Vec::new() }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// With another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = method.into();
        self
    }

    /// Sends it to `address` over HTTP/1.1 and reads the answer.
    pub async fn send(&self, address: SocketAddr) -> Result<Answer> {
        within(async { self.over(TcpStream::connect(address).await?).await }).await
    }

    /// Sends it over TLS with the SNI `server_name`, trusting only `root` (PEM).
    pub async fn send_tls(&self, address: SocketAddr, server_name: &str, root: &str) -> Result<Answer> {
        self.send_tls_as(address, server_name, root, None).await
    }

    /// The same, by a client with this certificate.
    pub async fn send_tls_as(
        &self,
        address: SocketAddr,
        server_name: &str,
        root: &str,
        client: Option<&Certificate>,
    ) -> Result<Answer> {
        let connector = connector_as(root, &[], client)?;
        let name = ServerName::try_from(server_name.to_owned())?;
        within(async {
            let stream = TcpStream::connect(address).await?;
            self.over(connector.connect(name, stream).await.context("TLS handshake")?).await
        })
        .await
    }

    pub(crate) fn to_hyper(&self) -> Result<hyper::Request<Empty<Bytes>>> {
        let mut request =
            hyper::Request::builder().method(self.method.as_str()).uri(&self.path).header("host", &self.host);
        for (name, value) in &self.headers {
            request = request.header(name, value.as_slice());
        }
        Ok(request.body(Empty::new())?)
    }

    async fn over(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Answer> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let answer = Answer::read(sender.send_request(self.to_hyper()?).await?).await;
        connection.abort();
        answer
    }
}

impl Answer {
    /// All of it, once its head is there.
    pub(crate) async fn read(answer: hyper::Response<Incoming>) -> Result<Self> {
        let (parts, body) = answer.into_parts();
        Ok(Self::of(&parts, body.collect().await?.to_bytes().to_vec()))
    }

    /// With this head and body.
    pub(crate) fn of(parts: &Parts, body: Vec<u8>) -> Self {
        let mut headers = BTreeMap::<String, String>::new();
        for (name, value) in &parts.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            headers
                .entry(name.to_string())
                .and_modify(|all| *all = format!("{all},{value}"))
                .or_insert_with(|| value.into_owned());
        }
        Self { status: parts.status.as_u16(), headers, body }
    }

    /// The body as the echo backend wrote it.
    pub fn echoed(&self) -> Result<Echoed> {
        serde_json::from_slice(&self.body).with_context(|| {
            format!("status {}, body {:?}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Writes `bytes` as they are and reads until the peer closes or says nothing for half a second.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    within(async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(bytes).await?;
        let mut answer = Vec::new();
        let mut chunk = [0; 8192];
        let silence = Duration::from_millis(500);
        while let Ok(read) = tokio::time::timeout(silence, stream.read(&mut chunk)).await {
            match read {
                Ok(0) | Err(_) => break,
                Ok(length) => answer.extend(chunk.iter().take(length)),
            }
        }
        Ok(answer)
    })
    .await
}

/// The certificates of a PEM as roots.
pub(crate) fn roots(pem: &str) -> Result<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate?)?;
    }
    Ok(roots)
}

/// TLS that trusts only `root` (PEM), and offers these protocols.
pub(crate) fn connector(root: &str, protocols: &[&[u8]]) -> Result<TlsConnector> {
    connector_as(root, protocols, None)
}

/// The same, by a client with this certificate.
fn connector_as(root: &str, protocols: &[&[u8]], client: Option<&Certificate>) -> Result<TlsConnector> {
    Ok(TlsConnector::from(Arc::new(tls(root, protocols, client)?)))
}

/// How a client speaks TLS that trusts only `root` (PEM), offers these protocols, and has this certificate.
pub(crate) fn tls(
    root: &str,
    protocols: &[&[u8]],
    client: Option<&Certificate>,
) -> Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(root)?);
    let mut config = match client {
        None => config.with_no_client_auth(),
        Some(Certificate { chain, private_key }) => {
            let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes())?];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(private_key.as_bytes())?)?
        }
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

async fn within<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(TIMEOUT, work).await.map_err(|_| anyhow!("no answer within {TIMEOUT:?}"))?
}
