//! HTTP/2 by hand (RFC 9113): frames and header blocks as the test wrote them, with everything that a proper client
//! would refuse to send. One request at a time.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use httlib_hpack::Decoder;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::client::{Answer, connector};
use crate::exact::Tls;

/// A field of a header block: name and value.
pub type Field<'a> = (&'a [u8], &'a [u8]);

/// Types of frames.
pub mod kind {
    #![allow(missing_docs, reason = "RFC 9113, 6")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    #![allow(missing_docs, reason = "RFC 9113, 6")]
    pub const END_STREAM: u8 = 1;
    pub const ACK: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 0x20;
}

/// How a request ended.
#[derive(Clone, Debug)]
pub enum End {
    /// With an answer.
    Answer(Answer),
    /// The peer has reset the stream, with this error code.
    Reset(u32),
    /// The peer has given up the connection, with this error code.
    GoAway(u32),
    /// The peer has closed the connection.
    Closed,
}

impl End {
    /// The answer, where there is one.
    pub fn answer(self) -> Result<Answer> {
        match self {
            Self::Answer(answer) => Ok(answer),
            other => bail!("no answer: {other:?}"),
        }
    }
}

/// A connection, from the client's side.
pub struct Http2<S> {
    stream: S,
    inbox: Vec<u8>,
    decoder: Decoder<'static>,
    next_stream: u32,
}

impl<S> std::fmt::Debug for Http2<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http2").field("next_stream", &self.next_stream).finish_non_exhaustive()
    }
}

impl Http2<TlsStream<TcpStream>> {
    /// Begins a connection over TLS.
    pub async fn open_tls(address: SocketAddr, tls: Tls<'_>) -> Result<Self> {
        let name = ServerName::try_from(tls.server_name.to_owned())?;
        let stream = TcpStream::connect(address).await?;
        Self::open(connector(tls.root, &[b"h2"])?.connect(name, stream).await.context("TLS handshake")?).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http2<S> {
    /// Begins a connection with windows so wide that nobody has to update them.
    pub async fn open(stream: S) -> Result<Self> {
        const INITIAL_WINDOW_SIZE: u16 = 4;
        let mut settings = INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
        settings.extend(0x7fff_ffff_u32.to_be_bytes());
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(kind::SETTINGS, 0, 0, &settings));
        bytes.extend(frame(kind::WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes()));
        let decoder = Decoder::with_dynamic_size(4096);
        let mut connection = Self { stream, inbox: Vec::new(), decoder, next_stream: 1 };
        connection.write(&bytes).await?;
        Ok(connection)
    }

    /// Sends bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// The number of a stream that was not used yet.
    pub fn new_stream(&mut self) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        stream
    }

    /// Sends a request without a body, and reads how it ends.
    pub async fn request(&mut self, fields: &[Field<'_>]) -> Result<End> {
        let stream = self.new_stream();
        let flags = flag::END_HEADERS | flag::END_STREAM;
        self.write(&frame(kind::HEADERS, flags, stream, &block(fields))).await?;
        self.end(stream).await
    }

    /// Sends a request with a body of one byte and trailers, and reads how it ends.
    pub async fn request_with_trailers(
        &mut self,
        fields: &[Field<'_>],
        trailers: &[Field<'_>],
    ) -> Result<End> {
        let stream = self.new_stream();
        let mut bytes = frame(kind::HEADERS, flag::END_HEADERS, stream, &block(fields));
        bytes.extend(frame(kind::DATA, 0, stream, b"x"));
        bytes.extend(frame(kind::HEADERS, flag::END_HEADERS | flag::END_STREAM, stream, &block(trailers)));
        self.write(&bytes).await?;
        self.end(stream).await
    }

    /// Reads until the stream has ended, or the connection.
    pub async fn end(&mut self, wanted: u32) -> Result<End> {
        let mut answer = Answer { status: 0, headers: BTreeMap::new(), body: Vec::new() };
        let mut header_block = Vec::new();
        let mut ends_with_headers = false;
        loop {
            let Some(Frame { kind, flags, stream, payload }) = self.read_frame().await? else {
                return Ok(End::Closed);
            };
            let number = |at: usize| -> Result<u32> {
                let bytes = payload.get(at..at + 4).context("a frame cut short")?;
                Ok(u32::from_be_bytes(bytes.try_into()?))
            };
            match kind {
                kind::SETTINGS if flags & flag::ACK == 0 => {
                    self.write(&frame(kind::SETTINGS, flag::ACK, 0, &[])).await?;
                }
                kind::PING if flags & flag::ACK == 0 => {
                    self.write(&frame(kind::PING, flag::ACK, 0, &payload)).await?;
                }
                kind::GOAWAY if number(4)? != 0 || number(0)? & 0x7fff_ffff < wanted => {
                    return Ok(End::GoAway(number(4)?));
                }
                kind::RST_STREAM if stream == wanted && answer.status == 0 => {
                    return Ok(End::Reset(number(0)?));
                }
                // RFC 9113, 8.1: a server that needs no more of the request may reset the stream behind its answer.
                kind::RST_STREAM if stream == wanted => return Ok(End::Answer(answer)),
                kind::HEADERS | kind::CONTINUATION => {
                    ensure!(flags & (flag::PADDED | flag::PRIORITY) == 0 || kind == kind::CONTINUATION);
                    header_block.extend(&payload);
                    if kind == kind::HEADERS {
                        ends_with_headers = flags & flag::END_STREAM != 0;
                    }
                    if flags & flag::END_HEADERS != 0 {
                        let mut fields = Vec::new();
                        let decoded =
                            self.decoder.decode(&mut std::mem::take(&mut header_block), &mut fields);
                        ensure!(decoded.is_ok(), "a header block of an answer does not decode: {decoded:?}");
                        if stream == wanted {
                            take(&mut answer, fields)?;
                        }
                        if stream == wanted && ends_with_headers {
                            return Ok(End::Answer(answer));
                        }
                    }
                }
                kind::DATA if stream == wanted => {
                    answer.body.extend(payload);
                    if flags & flag::END_STREAM != 0 {
                        return Ok(End::Answer(answer));
                    }
                }
                _ => {}
            }
        }
    }

    async fn read_frame(&mut self) -> Result<Option<Frame>> {
        const HEAD: usize = 9;
        loop {
            if let Some(head) = self.inbox.first_chunk::<HEAD>() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                let (kind, flags) = (head[3], head[4]);
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff;
                if self.inbox.len() >= HEAD + length {
                    let rest = self.inbox.split_off(HEAD + length);
                    let payload = std::mem::replace(&mut self.inbox, rest).split_off(HEAD);
                    return Ok(Some(Frame { kind, flags, stream, payload }));
                }
            }
            // A connection that the peer has reset is as much at its end as one that it has closed.
            match self.stream.read_buf(&mut self.inbox).await {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
        }
    }
}

struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

fn take(answer: &mut Answer, fields: Vec<(Vec<u8>, Vec<u8>, u8)>) -> Result<()> {
    for (name, value, _) in fields {
        let [name, value] = [name, value].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if name == ":status" {
            answer.status = value.parse().with_context(|| format!("status {value:?}"))?;
            continue;
        }
        answer
            .headers
            .entry(name)
            .and_modify(|all| *all = format!("{all},{value}"))
            .or_insert_with(|| value.clone());
    }
    Ok(())
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header block (RFC 7541, 6.2.2: literal fields that nobody remembers, without Huffman code).
pub fn block(fields: &[Field<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            length(text.len(), &mut bytes);
            bytes.extend(*text);
        }
    }
    bytes
}

/// An integer of a 7-bit prefix (RFC 7541, 5.1).
fn length(length: usize, bytes: &mut Vec<u8>) {
    const PREFIX: usize = 127;
    let Some(mut rest) = length.checked_sub(PREFIX) else {
        bytes.extend(u8::try_from(length));
        return;
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push(0x80 | (rest % 128) as u8);
        rest /= 128;
    }
    bytes.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_decode_to_what_was_written() {
        let long = vec![b'x'; 70_000];
        for value in
            [&b"/"[..], b"", b"\xff\0", &long[..126], &long[..127], &long[..254], &long[..255], &long]
        {
            let mut decoded = Vec::new();
            let mut bytes = block(&[(b":path", value), (b"a", b"b")]);
            Decoder::default().decode(&mut bytes, &mut decoded).unwrap();
            let decoded: Vec<Field<'_>> =
                decoded.iter().map(|(name, value, _)| (&name[..], &value[..])).collect();
            assert_eq!(decoded, [(&b":path"[..], value), (b"a", b"b")]);
        }
    }
}
