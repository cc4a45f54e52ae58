//! A client that changes nothing: the request goes out byte by byte as the test wrote it, with targets, hosts and
//! headers that a proper client would refuse or tidy up.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::client::{Answer, connector};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A request as it stands on the wire (RFC 9112), on a connection of its own.
#[derive(Clone, Copy, Debug)]
pub struct Exact<'a> {
    /// Method.
    pub method: &'a str,
    /// Request target: path with query.
    pub target: &'a str,
    /// Value of `Host`.
    pub host: &'a str,
    /// Further header lines in order, names and values as they are.
    pub headers: &'a [(String, String)],
}

/// TLS for a connection: the server name to send, and the PEM root to trust.
#[derive(Clone, Copy, Debug)]
pub struct Tls<'a> {
    /// SNI.
    pub server_name: &'a str,
    /// PEM.
    pub root: &'a str,
}

/// A request that was answered.
pub struct Sent {
    /// The address that it came from. No other request comes from it as long as this value lives.
    pub from: SocketAddr,
    /// The answer.
    pub answer: Answer,
    _connection: Box<dyn Send + Sync>,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sent").field("from", &self.from).field("answer", &self.answer).finish_non_exhaustive()
    }
}

impl Exact<'_> {
    /// Sends it and reads the answer.
    pub async fn send(&self, address: SocketAddr, tls: Option<Tls<'_>>) -> Result<Sent> {
        let exchange = async {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            // A port that the system picks while connecting may be shared by connections to other addresses.
            socket.bind((address.ip(), 0).into())?;
            let mut stream = socket.connect(address).await?;
            let from = stream.local_addr()?;
            Ok(match tls {
                None => Sent { from, answer: self.over(&mut stream).await?, _connection: Box::new(stream) },
                Some(Tls { server_name, root }) => {
                    let name = ServerName::try_from(server_name.to_owned())?;
                    let mut stream =
                        connector(root, &[])?.connect(name, stream).await.context("TLS handshake")?;
                    Sent { from, answer: self.over(&mut stream).await?, _connection: Box::new(stream) }
                }
            })
        };
        tokio::time::timeout(TIMEOUT, exchange).await.with_context(|| format!("no answer in {TIMEOUT:?}"))?
    }

    async fn over(&self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Result<Answer> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        stream.write_all(text.as_bytes()).await?;
        let mut bytes = Vec::new();
        let mut chunk = [0; 8192];
        loop {
            if let Some(answer) = self.parse(&bytes)? {
                return Ok(answer);
            }
            let length = stream.read(&mut chunk).await?;
            ensure!(length > 0, "only this arrived: {:?}", String::from_utf8_lossy(&bytes));
            bytes.extend(chunk.iter().take(length));
        }
    }

    /// The answer, once all of it is there.
    fn parse(&self, bytes: &[u8]) -> Result<Option<Answer>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let (head, rest) = bytes.split_at(end);
        let head = String::from_utf8_lossy(head);
        let shown = || format!("not an answer: {head:?}");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).with_context(shown)?;
        let mut headers = BTreeMap::<String, String>::new();
        for line in lines {
            let (name, value) = line.split_once(':').with_context(shown)?;
            let value = value.trim();
            headers
                .entry(name.to_ascii_lowercase())
                .and_modify(|all| *all = format!("{all},{value}"))
                .or_insert_with(|| value.to_owned());
        }
        let status: u16 = status.parse()?;
        let body: Vec<u8> = rest.iter().skip(4).copied().collect();
        let length = match headers.get("content-length") {
            // RFC 9110, 9.3.2: the answer to HEAD has no body, whatever its length says.
            _ if self.method == "HEAD" => 0,
            // RFC 9110, 15.3.5: it has neither.
            None if status == 204 => 0,
            Some(length) => length.parse()?,
            None => bail!("an answer without a length: {head:?}"),
        };
        Ok((body.len() >= length).then_some(Answer { status, headers, body }))
    }
}
