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

    /// Writes what Envoy starts with. An Envoy that starts at the same time finds it whole.
    pub(super) fn write_bootstrap(&self, text: &str) -> Result<()> {
        let path = self.bootstrap();
        let new = path.with_extension("new");
        let written = std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &path));
        written.with_context(|| format!("write {}", path.display()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_agents_sockets_go_and_envoys_stay() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().to_owned();
        let place = Place { run: run.clone(), state: run.clone(), bundle: run };
        place.clear_sockets().unwrap();
        let target = place.target(1);
        for socket in [&target.agent, &target.admin, &target.probe, &place.control()] {
            std::fs::write(socket, "").unwrap();
        }
        place.clear_sockets().unwrap();
        assert!(target.admin.exists() && target.probe.exists());
        assert!(!target.agent.exists() && !place.control().exists());
    }

    #[test]
    fn the_bootstrap_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().to_owned();
        let place = Place { run: run.clone(), state: run.clone(), bundle: run };
        for text in ["one", "two"] {
            place.write_bootstrap(text).unwrap();
            assert_eq!(std::fs::read_to_string(place.bootstrap()).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
