//! Backends that say who they are and then repeat what they hear, over TCP, TLS or UDP; and their clients.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificate;
use crate::client::connector;
use crate::exact::Tls;

/// No answer within this time is a failure.
const TIMEOUT: Duration = Duration::from_secs(10);
/// No answer to a datagram within this time means that it was dropped.
const DROPPED: Duration = Duration::from_secs(1);
/// Clients of datagrams at a time.
const TOGETHER: usize = 50;

trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// A backend of connections. It ends when dropped.
#[derive(Debug)]
pub struct Stream {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Stream {
    /// One without TLS, on a free port of the loopback.
    pub async fn start(name: &str) -> Result<Self> {
        Self::listen(name, None).await
    }

    /// One that ends TLS with a certificate.
    pub async fn start_tls(name: &str, certificate: &Certificate) -> Result<Self> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(certificate.private_key.as_bytes())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Self::listen(name, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(name: &str, tls: Option<TlsAcceptor>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let name = name.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (name, tls) = (name.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => repeat(&name, tls.accept(socket).await?).await,
                        None => repeat(&name, socket).await,
                    }
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn repeat(name: &str, socket: impl Duplex) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    socket.write_all(format!("{name}\n").as_bytes()).await?;
    socket.flush().await?;
    let mut line = String::new();
    while socket.read_line(&mut line).await? > 0 {
        socket.write_all(line.as_bytes()).await?;
        socket.flush().await?;
        line.clear();
    }
    Ok(())
}

/// A connection to a [`Stream`].
pub struct Client {
    /// Who answered.
    pub backend: String,
    socket: BufReader<Box<dyn Duplex>>,
}

impl Client {
    /// Connects, and waits for the backend's name.
    pub async fn open(address: SocketAddr, tls: Option<Tls<'_>>) -> Result<Self> {
        let open = async {
            let socket = TcpStream::connect(address).await?;
            let socket: Box<dyn Duplex> = match tls {
                None => Box::new(socket),
                Some(Tls { server_name, root }) => {
                    let name = ServerName::try_from(server_name.to_owned())?;
                    Box::new(connector(root, &[])?.connect(name, socket).await.context("TLS handshake")?)
                }
            };
            let mut client = Self { backend: String::new(), socket: BufReader::new(socket) };
            client.backend = client.hear().await?;
            anyhow::Ok(client)
        };
        tokio::time::timeout(TIMEOUT, open).await.with_context(|| format!("no answer in {TIMEOUT:?}"))?
    }

    /// Says something, and waits until it is repeated.
    pub async fn say(&mut self, text: &str) -> Result<()> {
        let exchange = async {
            self.socket.write_all(format!("{text}\n").as_bytes()).await?;
            self.socket.flush().await?;
            self.hear().await
        };
        let heard = tokio::time::timeout(TIMEOUT, exchange).await.context("no answer")??;
        ensure!(heard == text, "{heard:?} instead of {text:?}");
        Ok(())
    }

    async fn hear(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(self.socket.read_line(&mut line).await? > 0, "the connection was closed");
        Ok(line.trim_end().to_owned())
    }
}

/// A backend of datagrams, which answers each with its name. It ends when dropped.
#[derive(Debug)]
pub struct Datagrams {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Datagrams {
    /// One on a free port of the loopback.
    pub async fn start(name: &str) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let name = name.to_owned();
        let task = tokio::spawn(async move {
            let mut datagram = [0; 64];
            while let Ok((_, from)) = socket.recv_from(&mut datagram).await {
                // Whoever asked may be gone.
                let _ = socket.send_to(name.as_bytes(), from).await;
            }
        });
        Ok(Self { address, task })
    }

    /// A client with a port of its own.
    pub async fn client(address: SocketAddr) -> Result<UdpSocket> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(address).await?;
        Ok(socket)
    }

    /// Who answers; `None` where nobody does.
    pub async fn ask(client: &UdpSocket) -> Option<String> {
        let exchange = async {
            client.send(b"who?").await?;
            let mut answer = [0; 64];
            let length = client.recv(&mut answer).await?;
            std::io::Result::Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
        };
        tokio::time::timeout(DROPPED, exchange).await.ok()?.ok()
    }

    /// How often each backend answers new clients, and how often nobody does.
    pub async fn ask_often(address: SocketAddr, times: usize) -> Result<BTreeMap<String, usize>> {
        let mut counts = BTreeMap::new();
        // Kept, so that none gets the port of an earlier one.
        let mut clients = Vec::new();
        for _ in 0..times {
            clients.push(Arc::new(Self::client(address).await?));
        }
        for some in clients.chunks(TOGETHER) {
            let ask = |client: &Arc<UdpSocket>| {
                let client = Arc::clone(client);
                tokio::spawn(async move { Self::ask(&client).await })
            };
            for answer in some.iter().map(ask).collect::<Vec<_>>() {
                *counts.entry(answer.await?.unwrap_or_else(|| "nobody".to_owned())).or_default() += 1;
            }
        }
        Ok(counts)
    }
}

impl Drop for Datagrams {
    fn drop(&mut self) {
        self.task.abort();
    }
}
