//! Where an agent's files and sockets are.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::xds::agent::Target;

/// The folders.
#[derive(Clone, Debug)]
pub struct Place {
    /// Shared with Envoy: sockets, the filter, the bootstrap.
    pub run: PathBuf,
    /// The last bundle that was in effect.
    pub state: PathBuf,
    /// The mounted bundle.
    pub bundle: PathBuf,
}

impl Place {
    /// What Envoy starts with.
    pub fn bootstrap(&self) -> PathBuf {
        self.run.join("bootstrap.yaml")
    }

    /// The wasm filter. Whoever started the agent put it there.
    pub fn filter(&self) -> PathBuf {
        self.run.join("gatewasm.wasm")
    }

    /// Where the drain is asked for.
    pub fn control(&self) -> PathBuf {
        self.run.join("control.sock")
    }

    /// The last bundle that was in effect.
    pub(super) fn kept(&self) -> PathBuf {
        self.state.join("bundle.json")
    }

    /// The mounted bundle.
    pub(super) fn bundle(&self) -> PathBuf {
        self.bundle.clone()
    }

    /// Envoy's sockets and ours.
    pub(super) fn target(&self, workers: usize) -> Target {
        Target::in_folder(&self.run, workers)
    }

    /// Removes the sockets that an earlier agent of this pod listened on. Envoy's are its own.
    pub(super) fn clear_sockets(&self) -> Result<()> {
        for socket in [self.target(1).agent, self.control()] {
            match std::fs::remove_file(&socket) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("remove {}", socket.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
