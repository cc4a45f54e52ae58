//! A backend that answers every request with what it received, as JSON.
//!
//! Query parameters of the request change the answer: `delay=MS` waits before it, `status=CODE` sets its status,
//! `bytes=N` pads the body, `silent=MS` waits in the middle of the body. A request header
//! `x-echo-set-header: name:value, name:value` adds headers to the answer, as it does with the backend of the Gateway
//! API's conformance suite.
//!
//! Requests with a `key=KEY`, or a header `x-echo-key: KEY`, are remembered. Of each key the first N are answered with an error (`fail=N`,
//! and `code=CODE` for another one than 503), or not at all (`reset=N`): the connection ends.
//!
//! A request to upgrade to `websocket` is granted, and every byte comes back.

mod answer;
mod memory;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use answer::{Echoed, KEY_HEADER};
pub use memory::Arrival;
use memory::Memory;

/// A running backend. It stops when dropped.
#[derive(Debug)]
pub struct Echo {
    /// Where it listens.
    pub address: SocketAddr,
    memory: Arc<Memory>,
    task: JoinHandle<()>,
}

impl Echo {
    /// Starts the backend `name` on a free port of 127.0.0.1.
    pub async fn start(name: &str) -> Result<Self> {
        Self::bind(name, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts the backend `name` on `address`.
    pub async fn bind(name: &str, address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        let address = listener.local_addr()?;
        let memory = Arc::new(Memory::default());
        let task = tokio::spawn(accept(listener, name.into(), Arc::clone(&memory)));
        Ok(Self { address, memory, task })
    }

    /// How many requests have arrived.
    pub fn requests(&self) -> u64 {
        self.memory.requests()
    }

    /// The requests with this key that have arrived, in order.
    pub fn arrivals(&self, key: &str) -> Vec<Arrival> {
        self.memory.arrivals(key)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, name: Arc<str>, memory: Arc<Memory>) {
    // The connections end with the accept loop: their tasks live in this set.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (name, memory) = (Arc::clone(&name), Arc::clone(&memory));
        connections.spawn(async move {
            let service =
                service_fn(move |request| answer::answer(Arc::clone(&name), Arc::clone(&memory), request));
            let server = auto::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
