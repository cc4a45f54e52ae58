//! Who sends what [`super::http2`] makes, and says what it led to.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::net::TcpStream;

use super::fuzz::Seen;
use crate::http2::{End, Http2};

/// A client that keeps its connection as long as Envoy does.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    connection: Option<Http2<TcpStream>>,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Sends what `request` makes for a new stream, and reads how that ends.
    pub(super) async fn exchange(
        &mut self,
        request: impl FnOnce(u32) -> Vec<u8>,
        patience: Duration,
    ) -> Result<Seen> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                // The port is free again at once: there are more connections than ports.
                stream.set_zero_linger()?;
                stream.set_nodelay(true)?;
                Http2::open(stream).await?
            }
        };
        let stream = connection.new_stream();
        // What Envoy does not want to read it closes the connection for, and says so before.
        let _cut = connection.write(&request(stream)).await;
        Ok(match tokio::time::timeout(patience, connection.end(stream)).await {
            Ok(end) => match end? {
                End::Answer(answer) => {
                    self.connection = Some(connection);
                    let location = answer.headers.get("location").cloned();
                    Seen::Answer { status: answer.status, location, body: answer.body }
                }
                End::Reset(_) => {
                    self.connection = Some(connection);
                    Seen::Closed
                }
                End::GoAway(_) | End::Closed => Seen::Closed,
            },
            // Envoy waits for more, of the stream or of a frame: nothing behind it would be understood.
            Err(_) => Seen::Silence,
        })
    }
}
