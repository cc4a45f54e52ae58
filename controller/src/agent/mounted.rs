//! The bundle as the kubelet mounts it: a file for each part, swapped all at once.

use std::path::PathBuf;

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
        let parts = PartName::all().filter_map(|name| Some((name, read(name.file())?.into())));
        Some(Found { manifest, parts: parts.collect() })
    }

    /// Waits until the folder has changed. May be cancelled at any time.
    pub(super) async fn changed(&mut self) {
        self.watch.changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_there_is_read_once_there_is_a_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| std::fs::write(folder.path().join(name), text).unwrap();
        let mut mounted = Mounted::new(folder.path().to_owned());
        write("routes-0.json", b"{}");
        write("routes-99.json", b"{}");
        write("endpoints-0.json", b"\xff");
        assert_eq!(mounted.read(), None);
        write("manifest.json", b"a manifest");
        let parts = [("routes-0".parse().unwrap(), "{}".into())].into();
        assert_eq!(mounted.read(), Some(Found { manifest: "a manifest".into(), parts }));
        mounted.changed().await;
    }

    #[tokio::test]
    async fn without_a_folder_there_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Mounted::new(folder.path().join("none")).read(), None);
    }
}
