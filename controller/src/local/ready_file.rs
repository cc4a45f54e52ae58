//! The file by which scripts learn that a gateway serves, and where.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::report::Served;

/// A file that exists as long as what it says is true.
#[derive(Debug)]
pub(super) struct ReadyFile {
    path: PathBuf,
    written: Option<Vec<Served>>,
}

impl ReadyFile {
    /// Removes what an earlier run left there, and finds out whether the file can be written later.
    pub(super) fn new(path: &Path) -> Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove the old {}", path.display()));
            }
            _ => {}
        }
        let file = Self { path: path.to_owned(), written: None };
        file.unnamed()?;
        Ok(file)
    }

    /// Writes the listeners, whole or not at all: whoever sees the file can read it. Without a listener there is
    /// nothing that a script could wait for, and no file.
    pub(super) fn write(&mut self, listeners: &[Served]) -> Result<()> {
        if listeners.is_empty() {
            self.remove();
            return Ok(());
        }
        if self.written.as_deref() == Some(listeners) {
            return Ok(());
        }
        let mut file = self.unnamed()?;
        serde_json::to_writer_pretty(&mut file, &serde_json::json!({"listeners": listeners}))?;
        writeln!(file)?;
        file.persist(&self.path).with_context(|| format!("write {}", self.path.display()))?;
        self.written = Some(listeners.to_vec());
        Ok(())
    }

    /// Removes what was written.
    fn remove(&mut self) {
        if self.written.take().is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// A file beside the one to be, under another name.
    fn unnamed(&self) -> Result<tempfile::NamedTempFile> {
        let folder = self.path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        tempfile::NamedTempFile::new_in(folder).with_context(|| format!("write {}", self.path.display()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_file_goes_and_without_listeners_none_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready.json");
        std::fs::write(&path, "old").unwrap();
        let mut file = ReadyFile::new(&path).unwrap();
        assert!(!path.exists());
        file.write(&[]).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_found_at_once() {
        let folder = tempfile::tempdir().unwrap();
        ReadyFile::new(&folder.path().join("missing/ready.json")).unwrap_err();
    }
}
