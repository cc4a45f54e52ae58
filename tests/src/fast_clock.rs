//! An Envoy whose clock runs sixty times as fast, by a library that is preloaded into it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::tools;

/// Writes a program into `folder` that runs the tests' Envoy with the fast clock. It needs a C compiler, which is there
/// where Rust links.
pub fn envoy(folder: &Path) -> Result<PathBuf> {
    let library = folder.join("fast_clock.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(tools::repository().join("tests/clock/fast_clock.c"))
        .status()?;
    ensure!(compiled.success(), "cc: {compiled}");
    let program = folder.join("envoy");
    let envoy = tools::envoy()?;
    let script = format!("#!/bin/sh\nLD_PRELOAD='{}' exec '{}' \"$@\"\n", library.display(), envoy.display());
    fs::write(&program, script)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    Ok(program)
}
