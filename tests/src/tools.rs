//! Where the real parts are: the `gatewasm` binary of this build, Envoy and func-e as `just tools` puts them. And ports.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

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

/// Below the ports that the system gives to sockets that ask for none (32768 and up on Linux): only tests want these.
const PORTS: std::ops::Range<u16> = 10_000..30_000;

/// A free port of 127.0.0.1, which is this process's until it ends. See [`hold`].
pub fn free_port() -> Result<u16> {
    // Each process begins elsewhere, so that they seldom try the same ones.
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(std::process::id().wrapping_mul(101)));
    let places = u32::from(PORTS.end - PORTS.start);
    let next = |_| PORTS.start + (NEXT.fetch_add(1, Ordering::Relaxed) % places) as u16;
    PORTS.map(next).find(|port| hold(*port)).context("no port is free")
}

/// Takes a port of 127.0.0.1 for this process, if it is free. Nobody listens on it yet, but no other test gets it: its
/// namesake of UDP is open as long as the process lives. Who listens for datagrams does so on another loopback address.
pub fn hold(port: u16) -> bool {
    static HELD: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let address = (Ipv4Addr::LOCALHOST, port);
    match (UdpSocket::bind(address), TcpListener::bind(address), HELD.lock()) {
        (Ok(socket), Ok(_), Ok(mut held)) => {
            held.push(socket);
            true
        }
        _ => false,
    }
}

/// A free address of 127.0.0.1. See [`free_port`].
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
