//! The bundle as the kubelet mounts it: a file for each part, swapped all at once.

use std::path::PathBuf;
use std::sync::Arc;

use super::taken::Found;
use crate::bundle::{Manifest, PartName};
use crate::watch::Watch;

/// The folder.
#[derive(Debug)]
pub(super) struct Mounted {
    folder: PathBuf,
    watch: Watch,
}

impl Mounted {
    pub(super) fn new(folder: PathBuf) -> Self {
        let watch = Watch::new(std::slice::from_ref(&folder)).unwrap_or_else(|error| {
            tracing::warn!(error = format!("{error:#}"), "changes of the mounted bundle are not followed");
            Watch::none()
        });
        Self { folder, watch }
    }

    /// What is there now, if there is a manifest. Parts that cannot be read are missing.
    pub(super) fn read(&self) -> Option<Found> {
        let read = |file: String| std::fs::read_to_string(self.folder.join(file)).ok();
        let manifest = read(Manifest::FILE.to_owned())?;
        let parts = PartName::all().filter_map(|name| Some((name, Arc::from(read(name.file())?))));
        Some(Found { manifest, parts: parts.collect() })
    }

    /// Waits until the folder has changed. May be cancelled at any time.
    pub(super) async fn changed(&mut self) {
        self.watch.changed().await;
    }
}
