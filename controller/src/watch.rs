//! Noticing that manifests changed: saved in place, replaced by an editor, swapped as a mounted ConfigMap, added to a
//! folder, or checked out anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// After a change it must be quiet for this long: editors write in several steps.
const QUIET: Duration = Duration::from_millis(50);
/// But not for ever: with a change every few milliseconds, the state so far is looked at.
const LONGEST: Duration = Duration::from_millis(500);

/// Follows paths.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    changes: mpsc::UnboundedReceiver<()>,
    folders: BTreeSet<PathBuf>,
    /// A change that was noticed and not yet reported.
    pending: bool,
}

impl Watch {
    /// Follows files and folders, as they were given to `-f`; `-` has no changes.
    pub(crate) fn new(paths: &[PathBuf]) -> Result<Self> {
        let paths: Vec<Followed> =
            paths.iter().filter(|path| path.as_os_str() != "-").map(|path| Followed::new(path)).collect();
        let (sender, changes) = mpsc::unbounded_channel();
        let interest = paths.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // After an error, such as a queue that ran over, anything may have changed.
            if event.is_err() || event.is_ok_and(|event| concerns(&event, &interest)) {
                let _ = sender.send(());
            }
        })?;
        let folders = paths.iter().flat_map(Followed::folders).collect();
        let mut watch = Self { watcher: Some(watcher), changes, folders, pending: false };
        watch.follow().context("follow the changes of manifests")?;
        Ok(watch)
    }

    /// Follows nothing.
    pub(crate) fn none() -> Self {
        let (_, changes) = mpsc::unbounded_channel();
        Self { watcher: None, changes, folders: BTreeSet::new(), pending: false }
    }

    /// Waits until something has changed and it is quiet again. May be cancelled at any time.
    pub(crate) async fn changed(&mut self) {
        if !self.pending && self.changes.recv().await.is_none() {
            return std::future::pending().await;
        }
        self.pending = true;
        let longest = Instant::now() + LONGEST;
        let mut quiet = Instant::now() + QUIET;
        while let Ok(Some(())) = timeout_at(quiet.min(longest), self.changes.recv()).await {
            quiet = Instant::now() + QUIET;
        }
        self.pending = false;
        // A folder that was replaced is another one by now.
        let _ = self.follow();
    }

    fn follow(&mut self) -> notify::Result<()> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        self.folders.iter().try_for_each(|folder| watcher.watch(folder, RecursiveMode::NonRecursive))
    }
}

/// One path of `-f`.
#[derive(Clone, Debug)]
struct Followed {
    path: PathBuf,
    is_folder: bool,
}

impl Followed {
    fn new(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self { is_folder: path.is_dir(), path }
    }

    /// The folders whose entries matter: a file is followed by its folder, because editors replace it; a symbolic link
    /// also by the folder of what it points to.
    fn folders(&self) -> Vec<PathBuf> {
        let real = self.path.canonicalize().ok();
        let paths = [Some(&self.path), real.as_ref()].into_iter().flatten();
        let parents = paths.clone().filter_map(|path| path.parent()).map(Path::to_owned);
        let itself = self.is_folder.then(|| self.path.clone());
        parents.chain(itself).filter(|folder| folder.is_dir()).collect()
    }

    fn concerns(&self, changed: &Path) -> bool {
        let real = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        let within = |path: &Path| {
            changed == path
                || (self.is_folder && changed.parent() == Some(path))
                // A mounted ConfigMap changes by a swap of this link.
                || changed.file_name().is_some_and(|name| name == "..data") && changed.parent() == path.parent()
        };
        within(&self.path) || within(&real)
    }
}

/// Reading a file is an event too; only what may have changed something counts.
fn concerns(event: &Event, paths: &[Followed]) -> bool {
    let changes = match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    let any = |changed: &PathBuf| paths.iter().any(|path| path.concerns(changed));
    changes && (event.paths.is_empty() || event.paths.iter().any(any))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    async fn notices(watch: &mut Watch) -> bool {
        tokio::time::timeout(Duration::from_secs(5), watch.changed()).await.is_ok()
    }

    async fn is_quiet(watch: &mut Watch) -> bool {
        tokio::time::timeout(Duration::from_millis(200), watch.changed()).await.is_err()
    }

    #[tokio::test]
    async fn a_file_is_followed_when_it_is_written_replaced_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "1").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&file)).unwrap();
        fs::write(&file, "2").unwrap();
        assert!(notices(&mut watch).await);
        fs::write(folder.path().join("new"), "3").unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        assert!(notices(&mut watch).await);
        fs::remove_file(&file).unwrap();
        assert!(notices(&mut watch).await);
        fs::write(&file, "4").unwrap();
        assert!(notices(&mut watch).await);
    }

    #[tokio::test]
    async fn reading_and_other_files_are_no_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "1").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&file)).unwrap();
        fs::read(&file).unwrap();
        fs::write(folder.path().join("other"), "1").unwrap();
        assert!(is_quiet(&mut watch).await);
    }

    #[tokio::test]
    async fn a_folder_is_followed_with_new_files_and_when_it_is_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("manifests");
        fs::create_dir(&folder).unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&folder)).unwrap();
        fs::write(folder.join("new.yaml"), "1").unwrap();
        assert!(notices(&mut watch).await);
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        assert!(notices(&mut watch).await);
        fs::write(folder.join("again.yaml"), "1").unwrap();
        assert!(notices(&mut watch).await);
    }

    #[tokio::test]
    async fn the_swap_of_a_mounted_config_map_is_noticed() {
        let mount = tempfile::tempdir().unwrap();
        let at = |name: &str| mount.path().join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("a.yaml"), version).unwrap();
        }
        std::os::unix::fs::symlink("..1", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/a.yaml", at("a.yaml")).unwrap();
        for path in [mount.path().to_owned(), at("a.yaml")] {
            let mut watch = Watch::new(&[path]).unwrap();
            std::os::unix::fs::symlink("..2", at("..tmp")).unwrap();
            fs::rename(at("..tmp"), at("..data")).unwrap();
            assert!(notices(&mut watch).await);
        }
    }
}
