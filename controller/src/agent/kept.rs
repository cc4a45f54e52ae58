//! The last bundle that was in effect, in one file, so that it is there whole or not at all.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::taken::Found;
use crate::bundle::PartName;

/// The file.
#[derive(Debug)]
pub(super) struct Kept(PathBuf);

/// What is in it.
#[derive(Serialize, Deserialize)]
struct Content<'a> {
    manifest: Cow<'a, str>,
    parts: BTreeMap<PartName, Cow<'a, str>>,
}

impl Kept {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// What was kept; what cannot be read is as good as nothing, because the hashes are checked by whoever takes it.
    pub(super) fn read(&self) -> Option<Found> {
        let text = std::fs::read(&self.0).ok()?;
        let Content { manifest, parts } = serde_json::from_slice(&text).ok()?;
        let parts = parts.into_iter().map(|(name, text)| (name, text.into())).collect();
        Some(Found { manifest: manifest.into_owned(), parts })
    }

    /// Keeps `found` in the place of what was kept before. It has keys in it, so it is for this user alone.
    ///
    /// A crash of the machine may damage it, which is noticed when it is read; a change does not wait for the disk.
    pub(super) fn write(&self, found: &Found) -> Result<()> {
        let folder = self.0.parent().unwrap_or(Path::new("."));
        let parts = found.parts.iter().map(|(name, text)| (*name, Cow::Borrowed(&**text))).collect();
        let content = Content { manifest: Cow::Borrowed(&found.manifest), parts };
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        temporary.write_all(&serde_json::to_vec(&content)?)?;
        temporary.persist(&self.0).with_context(|| format!("write {}", self.0.display()))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_again_and_what_is_damaged_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path().join("bundle.json"));
        assert!(kept.read().is_none());
        let parts = BTreeMap::from([("routes-0".parse().unwrap(), "{}".into())]);
        let found = Found { manifest: "a manifest".into(), parts };
        kept.write(&found).unwrap();
        assert_eq!(kept.read(), Some(found));
        let text = std::fs::read(&kept.0).unwrap();
        std::fs::write(&kept.0, &text[..text.len() / 2]).unwrap();
        assert!(kept.read().is_none());
    }
}
