//! TLS in front of a backend: what is in it goes to the backend as it is, and of each handshake is kept what it said.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::certificate::{Authority, Certificate};
use crate::client::roots;

/// What a client said in a handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// SNI.
    pub server_name: Option<String>,
    /// The protocol that was agreed upon (ALPN).
    pub protocol: Option<String>,
    /// Its certificate.
    pub client: Option<CertificateDer<'static>>,
}

/// A running backend. It stops when dropped.
#[derive(Debug)]
pub struct TlsBackend {
    /// Where it listens.
    pub address: SocketAddr,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
    task: JoinHandle<()>,
}

impl TlsBackend {
    /// Starts one in front of `backend` that shows `certificate`, and wants a certificate of clients where it has an
    /// authority for that.
    pub async fn start(
        backend: SocketAddr,
        certificate: &Certificate,
        clients: Option<&Authority>,
    ) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let config = match clients {
            None => config.with_no_client_auth(),
            Some(authority) => {
                let roots = Arc::new(roots(&authority.root)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build()?;
                config.with_client_cert_verifier(verifier)
            }
        };
        let chain = vec![CertificateDer::from_pem_slice(certificate.chain.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(certificate.private_key.as_bytes())?;
        let mut config = config.with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let handshakes = Arc::default();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let task = tokio::spawn(accept(listener, acceptor, backend, Arc::clone(&handshakes)));
        Ok(Self { address, handshakes, task })
    }

    /// The handshakes that were completed, in order.
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.handshakes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TlsBackend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    backend: SocketAddr,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
) {
    // The connections end with the accept loop: their tasks live in this set.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, handshakes) = (acceptor.clone(), Arc::clone(&handshakes));
        connections.spawn(async move {
            // A handshake that fails, and a connection that breaks, are the client's to notice.
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let said = stream.get_ref().1;
            let handshake = Handshake {
                server_name: said.server_name().map(str::to_owned),
                protocol: said.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
                client: said
                    .peer_certificates()
                    .and_then(|chain| chain.first())
                    .cloned()
                    .map(CertificateDer::into_owned),
            };
            handshakes.lock().unwrap_or_else(PoisonError::into_inner).push(handshake);
            if let Ok(mut backend) = TcpStream::connect(backend).await {
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut backend).await;
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// A BackendTLSPolicy in the namespace `default` for a Service, with the authorities in the ConfigMap `ca`.
pub fn policy(service: &str, hostname: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "BackendTLSPolicy",
        "metadata": {"name": service, "namespace": "default"},
        "spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": service}],
            "validation": {
                "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}],
                "hostname": hostname,
            },
        },
    })
}
