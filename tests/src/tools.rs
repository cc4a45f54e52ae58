//! Where the real parts are: the `gatewasm` binary of this build, Envoy and func-e as `just tools` puts them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The `gatewasm` binary that was built beside the running test.
///
/// Fails when it is missing: cargo does not build another package's binary for a test by itself.
pub fn gatewasm() -> Result<PathBuf> {
    let test = std::env::current_exe().context("path of the test binary")?;
    let profile = test.parent().and_then(Path::parent).context("target folder of the test binary")?;
    existing(profile.join("gatewasm"), "cargo build")
}

/// The Envoy binary: `$ENVOY_PATH`, or the one that `just tools` installed.
pub fn envoy() -> Result<PathBuf> {
    match std::env::var_os("ENVOY_PATH") {
        Some(path) => existing(path.into(), "unset ENVOY_PATH"),
        None => existing(cache()?.join("bin/envoy"), "just tools"),
    }
}

/// The func-e binary that `just tools` built from its Go module.
pub fn func_e() -> Result<PathBuf> {
    existing(cache()?.join("bin/func-e"), "just tools")
}

/// A port of 127.0.0.1 that was free a moment ago.
pub fn free_port() -> Result<u16> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind a free port")?;
    Ok(socket.local_addr()?.port())
}

/// An address of 127.0.0.1 that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, free_port()?).into())
}

/// Folder of what is expensive to install, outside the checkout; the same rule as in `tests/tools.sh`.
fn cache() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("GATEWASM_CACHE") {
        return Ok(path.into());
    }
    let home = std::env::var_os("HOME").context("HOME is not set; set GATEWASM_CACHE")?;
    Ok(PathBuf::from(home).join(".cache/gatewasm"))
}

fn existing(path: PathBuf, remedy: &str) -> Result<PathBuf> {
    ensure!(path.is_file(), "{} does not exist; run `{remedy}` first", path.display());
    Ok(path)
}
