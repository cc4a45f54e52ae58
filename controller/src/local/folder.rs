//! The folder that one run lives in: sockets, the filter, the bootstrap. It is gone when the run is.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::filter_binary;
use crate::render::bootstrap::bootstrap;
use crate::render::{Settings, yaml};
use crate::xds::agent::Target;

/// A Unix socket's path has at most 104 bytes on macOS and 108 on Linux, with its end.
const LONGEST_FOLDER: usize = 85;

/// The folder with its contents.
#[derive(Debug)]
pub(super) struct Folder {
    folder: TempDir,
}

impl Folder {
    /// Makes it, for this user alone, with the filter inside.
    pub(super) fn new() -> Result<Self> {
        let temporary = std::env::temp_dir();
        let parent =
            if temporary.as_os_str().len() > LONGEST_FOLDER { Path::new("/tmp") } else { &temporary };
        let folder = tempfile::Builder::new().prefix("gatewasm-").tempdir_in(parent);
        let folder =
            Self { folder: folder.with_context(|| format!("make a folder in {}", parent.display()))? };
        std::fs::write(folder.filter(), filter_binary::WASM).context("write the filter")?;
        Ok(folder)
    }

    /// The wasm filter.
    pub(super) fn filter(&self) -> PathBuf {
        self.folder.path().join("gatewasm.wasm")
    }

    /// The sockets.
    pub(super) fn target(&self, workers: usize) -> Target {
        Target::in_folder(self.folder.path(), workers)
    }

    /// Writes what Envoy starts with.
    pub(super) fn bootstrap(&self, settings: &Settings, target: &Target) -> Result<PathBuf> {
        let path = self.folder.path().join("bootstrap.yaml");
        std::fs::write(&path, yaml(&bootstrap(settings, &target.addresses()))?)
            .context("write the bootstrap")?;
        Ok(path)
    }
}
