//! A folder that changes as the kubelet changes a mounted ConfigMap or Secret.
//!
//! The files are symbolic links through `..data`, itself a link to a folder with one version of them all. A new version
//! is a new folder, and the link is replaced by a rename: nobody sees half of it.
//! <https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/util/atomic_writer.go>

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A mounted ConfigMap.
#[derive(Debug)]
pub struct Mount {
    folder: PathBuf,
    version: u64,
}

impl Mount {
    /// Mounts `files`, by name, at `folder`, which must not exist.
    pub fn new(folder: &Path, files: &[(&str, &[u8])]) -> Result<Self> {
        fs::create_dir(folder).with_context(|| format!("make {}", folder.display()))?;
        let mut mount = Self { folder: folder.to_owned(), version: 0 };
        mount.swap(files)?;
        Ok(mount)
    }

    /// Replaces the content of all files at once. Other files than before get their links afterwards.
    pub fn swap(&mut self, files: &[(&str, &[u8])]) -> Result<()> {
        let before = self.folder.join(format!("..{}", self.version));
        self.version += 1;
        let name = format!("..{}", self.version);
        fs::create_dir(self.folder.join(&name))?;
        for (file, content) in files {
            fs::write(self.folder.join(&name).join(file), content)?;
        }
        symlink(&name, self.folder.join("..data_tmp"))?;
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data"))?;
        self.link(files)?;
        if before.exists() {
            fs::remove_dir_all(before)?;
        }
        Ok(())
    }

    fn link(&self, files: &[(&str, &[u8])]) -> Result<()> {
        for (name, _) in files {
            let link = self.folder.join(name);
            if !link.is_symlink() {
                symlink(Path::new("..data").join(name), link)?;
            }
        }
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let is_there = |name: &str| name.starts_with("..") || files.iter().any(|(file, _)| *file == name);
            if !name.to_str().is_some_and(is_there) {
                fs::remove_file(self.folder.join(name))?;
            }
        }
        Ok(())
    }
}
