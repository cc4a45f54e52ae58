//! A closed loop of requests, and a backend that answers them: as little as possible beside Envoy's own work.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nok\n";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Path of a rule.
pub(crate) fn path(rule: usize) -> String {
    format!("/team-{rule:05}/service")
}

/// Starts the backend.
pub(crate) async fn backend() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

/// Answers each request as soon as its head has arrived; there are no bodies and no pipelining.
async fn serve(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    while stream.read_buf(&mut head).await? > 0 {
        if head.ends_with(HEAD_END) {
            head.clear();
            stream.write_all(ANSWER).await?;
        }
    }
    Ok(())
}

/// Sends `requests` over `connections`, evenly to all rules; fails when one is not answered with 200.
pub(crate) async fn run(
    address: SocketAddr,
    rules: usize,
    connections: usize,
    requests: usize,
) -> Result<()> {
    let mut tasks = JoinSet::new();
    for connection in 0..connections {
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let mut answer = Vec::new();
            for index in (connection..requests).step_by(connections) {
                // A prime above all numbers of rules: each gets the same share, no two neighbours in a row.
                let path = path(index * 104_729 % rules);
                let request = format!(
                    "GET {path}/items/42 HTTP/1.1\r\nhost: www.example.com\r\nuser-agent: bench\r\naccept: */*\r\n\
                     accept-encoding: gzip\r\nauthorization: Bearer 0123456789abcdef0123456789abcdef\r\n\r\n"
                );
                stream.write_all(request.as_bytes()).await?;
                answer.clear();
                while !complete(&answer) {
                    ensure!(stream.read_buf(&mut answer).await? > 0, "the connection was closed");
                }
                ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("load")??;
    }
    Ok(())
}

fn complete(answer: &[u8]) -> bool {
    answer.ends_with(b"\r\n\r\nok\n") || (!answer.is_empty() && !answer.starts_with(b"HTTP/1.1 200"))
}
