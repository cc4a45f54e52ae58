//! Asking the workers themselves which configuration they run. Envoy's own statistics count an update as applied even
//! when a worker could not take it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use hyper::Method;
use serde::Deserialize;

use crate::envoy::admin::{Sender, connect, exchange};

/// What the filter answers on the internal listener.
#[derive(Debug, Deserialize)]
struct Answer {
    /// SHA-256 of the configuration that the worker runs.
    config: String,
    /// Each worker has a VM of its own.
    vm: String,
}

/// Connections to the internal listener, one per worker: it hands them out evenly.
#[derive(Debug)]
pub(super) struct Probe {
    socket: PathBuf,
    workers: usize,
    connections: Vec<Sender>,
}

impl Probe {
    pub(super) fn new(socket: &Path, workers: usize) -> Self {
        Self { socket: socket.to_owned(), workers, connections: Vec::new() }
    }

    /// Whether every worker runs the configuration with this hash. An error means that this could not be found out.
    pub(super) async fn all_run(&mut self, hash: &str) -> Result<bool> {
        let answers = self.ask().await;
        if !answers.as_ref().is_ok_and(|answers| answers.len() == self.workers) {
            // A connection ended, or two met the same worker: begin anew.
            self.connections.clear();
        }
        let answers = answers?;
        ensure!(answers.len() == self.workers, "{} of {} workers answered", answers.len(), self.workers);
        Ok(answers.values().all(|config| config == hash))
    }

    /// The configuration of each VM.
    async fn ask(&mut self) -> Result<BTreeMap<String, String>> {
        while self.connections.len() < self.workers {
            self.connections.push(connect(&self.socket).await?);
        }
        let mut answers = BTreeMap::new();
        for connection in &mut self.connections {
            let (status, body) = exchange(connection, Method::GET, "/").await?;
            ensure!(status == 200, "the probe was answered with status {status}");
            let answer: Answer = serde_json::from_slice(&body).context("the probe's answer")?;
            answers.insert(answer.vm, answer.config);
        }
        Ok(answers)
    }
}
