//! The guide's backends: `echo NAME=ADDRESS…` listens on each address and answers with what it received.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use gatewasm_echo::Echo;

#[tokio::main]
async fn main() -> Result<()> {
    let mut backends = Vec::new();
    for argument in std::env::args().skip(1) {
        let (name, address) =
            argument.split_once('=').with_context(|| format!("{argument:?} is not NAME=ADDRESS"))?;
        let address: SocketAddr = address
            .parse()
            .with_context(|| format!("{address:?} is not an address, for example 127.0.0.1:3000"))?;
        backends.push(Echo::bind(name, address).await?);
        println!("{name} listens on {address}");
    }
    ensure!(!backends.is_empty(), "usage: echo NAME=ADDRESS…");
    std::future::pending().await
}
