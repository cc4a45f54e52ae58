//! Requests of HTTP/1 as bytes: every byte in every place, what is known to be odd, and chance.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fuzz::Seen;
use super::random::Random;
use super::words::{self, HOSTS, METHODS, TARGETS};

/// In the place of the byte.
const BYTE: &str = "\u{1}";

/// Requests with [`BYTE`] where it goes.
const PLACES: &[&str] = &[
    "\u{1}GET / HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "G\u{1}ET / HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "\u{1} /method HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET\u{1}/ HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET \u{1}exact HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET /\u{1}/exact HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET /strip/a\u{1}b/..\u{1}/c HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET /replace/\u{1}/x HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET /redirect/x\u{1} HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET /users/4\u{1}2/posts/\u{1} HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET /query?text=\u{1}a&role=admin\u{1} HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET /query?text=%6\u{1}&ro\u{1}le=admin HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET /%\u{1}1 HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET http://a.fuzz\u{1}.test/exact HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET / HTTP\u{1}1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET / HTTP/1.\u{1}\r\nHost: a.fuzz.test\r\n\r\n",
    "GET / HTTP/1.1\u{1}\nHost: a.fuzz.test\r\n\r\n",
    "GET /moved HTTP/1.1\r\nHost: \u{1}a.fuzz.test\r\n\r\n",
    "GET /redirect HTTP/1.1\r\nHost: a\u{1}.fuzz.test\r\n\r\n",
    "GET /redirect HTTP/1.1\r\nHost: a.fuzz.test\u{1}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.fuzz.test:\u{1}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: [:\u{1}:1]:80\r\n\r\n",
    "GET /headers HTTP/1.1\r\nHost: a.fuzz.test\r\n\u{1}x-version: two\r\n\r\n",
    "GET /headers HTTP/1.1\r\nHost: a.fuzz.test\r\nx-ver\u{1}sion: two\r\n\r\n",
    "GET /headers HTTP/1.1\r\nHost: a.fuzz.test\r\nx-version\u{1}: two\r\n\r\n",
    "GET /answers HTTP/1.1\r\nHost: a.fuzz.test\r\nx-gw-cluster\u{1}: default/a/80\r\n\r\n",
    "GET /answers HTTP/1.1\r\nHost: a.fuzz.test\r\n\u{1}x-gw-listener: gatewasm:probe\r\n\r\n",
    "GET /answers HTTP/1.1\r\nHost: a.fuzz.test\r\nx\u{1}gw-listener: infra/web/exact\r\n\r\n",
    "GET /headers HTTP/1.1\r\nHost: a.fuzz.test\r\nx-version:\u{1}two\r\nx-canary: v1\r\n\r\n",
    "GET /headers HTTP/1.1\r\nHost: a.fuzz.test\r\nx-version: two\r\nx-canary: v\u{1}1\r\n\r\n",
    "GET /headers HTTP/1.1\r\nHost: a.fuzz.test\r\nx-canary: v1\u{1}\r\nx-version: two\r\nx-canary: \u{1}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.fuzz.test\r\nx-version: two\r\u{1}\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.fuzz.test\r\nconnection: \u{1}, x-gw-cluster\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\ncontent-length: \u{1}\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\ntransfer-encoding: chunked\u{1}\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\ntransfer-encoding: chunked\r\n\r\n\u{1}\r\nx\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\ntransfer-encoding: chunked\r\n\r\n1\u{1}x\r\nx\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-gw-\u{1}: 1\r\n\r\n",
    "GET /cors HTTP/1.1\r\nHost: a.fuzz.test\r\norigin: https://x\u{1}.b.fuzz.test:8443\r\n\r\n",
    "OPTIONS /cors HTTP/1.1\r\nHost: a.fuzz.test\r\norigin: http://\u{1}a\r\naccess-control-request-method: PU\u{1}T\r\n\r\n",
    "OPTIONS /cors/put HTTP/1.1\r\nHost: a.fuzz.test\r\norigin: http://a\r\naccess-control-request-method: PUT\r\naccess-control-request-headers: x-\u{1}a,\u{1}\r\n\r\n",
    "GET /session HTTP/1.1\r\nHost: a.fuzz.test\r\ncookie: a=b;\u{1}session=\u{1}AT4j6BYA\r\n\r\n",
    "GET /session/header HTTP/1.1\r\nHost: a.fuzz.test\r\nx-session: AcqX\u{1}gRLK\r\n\r\n",
    "POST /policy/\u{1} HTTP/1.1\r\nHost: a.fuzz.test\r\ncontent-length: 1\r\n\r\n\u{1}",
    "POST /fuzz.Sh\u{1}op/Buy HTTP/1.1\r\nHost: a.fuzz.test\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\n\r\n",
    "POST /fuzz.Shop/B\u{1}uy HTTP/1.1\r\nHost: a.fuzz.test\r\ncontent-type: application/grpc\u{1}\r\ncontent-length: 0\r\n\r\n",
    "POST /fuzz.v1\u{1}/Get\u{1} HTTP/1.1\r\nHost: a.fuzz.test\r\ncontent-type: \u{1}application/grpc\r\ncontent-length: 0\r\n\r\n",
];

/// What no place and byte says.
const ODD: &[&str] = &[
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a.fuzz.test\r\nConnection: keep-alive\r\n\r\n",
    "GET /\r\n",
    "GET / HTTP/0.9\r\nHost: a.fuzz.test\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: a.fuzz.test\r\n\r\n",
    "GET / http/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET  HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    " / HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "\r\n",
    "GET / HTTP/1.1\nHost: a.fuzz.test\n\n",
    "GET / HTTP/1.1\rHost: a.fuzz.test\r\r",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.fuzz.test\r\nHost: b.fuzz.test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.fuzz.test\r\nHost: a.fuzz.test\r\n\r\n",
    "GET / HTTP/1.1\r\n Host: a.fuzz.test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.fuzz.test\r\n folded: x\r\n\r\n",
    "GET /headers HTTP/1.1\r\nHost: a.fuzz.test\r\nx-version: one\r\n two\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.fuzz.test\r\nno colon\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.fuzz.test\r\n: no name\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.fuzz.test\r\nx-gw-cluster : default/a/80\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.fuzz.test\r\nX-GW-Listener: gatewasm:probe\r\nx-gw-listener: gatewasm:probe\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.fuzz.test\r\nConnection: x-gw-listener, x-gw-cluster, close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.fuzz.test\r\nConnection: host, :path, :authority\r\n\r\n",
    "CONNECT a.fuzz.test:80 HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "CONNECT /method HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "CONNECT  HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "CONNECT a.fuzz.test HTTP/1.1\r\nHost: a.fuzz.test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "OPTIONS *?x HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "OPTIONS ** HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET * HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET http://a.fuzz.test/exact HTTP/1.1\r\nHost: b.fuzz.test\r\n\r\n",
    "GET http://a.fuzz.test HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET http://a.fuzz.test?x HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET http://u:p@a.fuzz.test/exact HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET HTTP://A.FUZZ.TEST/exact HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET https://a.fuzz.test/exact HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET ftp://a.fuzz.test/exact HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET http:///exact HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET //a.fuzz.test/exact HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET /exact#fragment HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "GET /answers HTTP/1.1\r\nHost: a.fuzz.test\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    "GET /answers HTTP/1.1\r\nHost: a.fuzz.test\r\nExpect: something\r\n\r\n",
    "GET /redirect HTTP/1.1\r\nHost: a.fuzz.test\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a.fuzz.test\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nContent-Length: 1, 1\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nContent-Length: -1\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nContent-Length: +1\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nContent-Length: 0x1\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nContent-Length: 99999999999999999999999\r\n\r\nx",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\nx",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nTransfer-Encoding: chunked\r\n\r\n1;a=\"b\r\nc\"\r\nx\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a.fuzz.test\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n",
    "POST /weights HTTP/1.1\r\nHost: a.fuzz.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-gw-cluster: default/a/80\r\nhost: b\r\n\r\n",
    "GET /exact HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\nGET /weights HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n",
    "POST /broken HTTP/1.1\r\nHost: a.fuzz.test\r\nContent-Length: 40\r\n\r\nGET /x HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n..",
];

/// The requests that are always sent.
pub(super) fn odd() -> Vec<Vec<u8>> {
    let head =
        |lines: &str| format!("GET /headers HTTP/1.1\r\nHost: a.fuzz.test\r\n{lines}\r\n").into_bytes();
    let mut requests: Vec<Vec<u8>> = ODD.iter().map(|request| request.as_bytes().to_vec()).collect();
    for kib in [32, 59, 64, 256] {
        let long = "x".repeat(kib * 1024);
        requests.push(head(&format!("x-version: {long}\r\n")));
        requests.push(head(&format!("x-{long}: 1\r\n")));
        requests.push(format!("GET /strip/{long} HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n").into_bytes());
        requests.push(format!("GET /query?text={long} HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n").into_bytes());
        requests.push(format!("GET /redirect/x HTTP/1.1\r\nHost: {long}\r\n\r\n").into_bytes());
        requests.push(format!("{long} / HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n").into_bytes());
    }
    for count in [90, 99, 101, 1_000] {
        requests.push(head(&(0..count).map(|index| format!("x-{index}: 1\r\n")).collect::<String>()));
        requests.push(head(&"x-version: two\r\nx-gw-cluster: default/a/80\r\n".repeat(count / 2)));
    }
    requests.push(head(&"x-canary: \r\n".repeat(80)));
    requests.push(format!("GET {} HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n", "/..".repeat(10_000)).into_bytes());
    requests.push(format!("GET {} HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n", "/".repeat(30_000)).into_bytes());
    requests.push(
        format!("GET /query?{} HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n", "&=".repeat(14_000)).into_bytes(),
    );
    requests
}

/// How many requests have every byte in every place.
pub(super) const SYSTEMATIC: usize = PLACES.len() * 256;

/// The one of them with this number.
pub(super) fn systematic(number: usize) -> Vec<u8> {
    let byte = number.to_le_bytes()[0];
    let place = PLACES[number / 256 % PLACES.len()];
    place.split(BYTE).map(str::as_bytes).collect::<Vec<_>>().join(&byte)
}

/// A request by chance: words in every place, most of them damaged.
pub(super) fn random(random: &mut Random) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", METHODS.pick(random), TARGETS.pick(random)).into_bytes();
    if !random.once_in(16) {
        bytes.extend(format!("Host: {}\r\n", HOSTS.pick(random)).bytes());
    }
    for _ in 0..random.below(8) {
        let (name, value) = words::field(random);
        bytes.extend(format!("{name}: {value}\r\n").bytes());
    }
    match random.below(8) {
        0 => bytes.extend(b"content-length: 3\r\n\r\nabc"),
        1 => bytes.extend(
            b"transfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nx-gw-cluster: default/a/80\r\n\r\n",
        ),
        _ => bytes.extend(b"\r\n"),
    }
    if !random.once_in(4) {
        random.damage(&mut bytes);
    }
    if random.once_in(8) {
        bytes.extend(b"GET /exact HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n");
    }
    bytes
}

/// Sends one request on a connection of its own, and reads the first answer that is not preliminary.
pub(super) async fn exchange(address: SocketAddr, request: &[u8], patience: Duration) -> Result<Seen> {
    let mut stream = TcpStream::connect(address).await?;
    // The port is free again at once: there are more requests than ports.
    stream.set_zero_linger()?;
    let talk = async {
        // Envoy may answer and close before it has read everything; what it said is still there to be read.
        let _cut = stream.write_all(request).await;
        let mut bytes = Vec::new();
        loop {
            if let Some(seen) = parse(&bytes, request.starts_with(b"HEAD ")) {
                return seen;
            }
            match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return Seen::Closed,
                Ok(_) => {}
            }
        }
    };
    Ok(tokio::time::timeout(patience, talk).await.unwrap_or(Seen::Silence))
}

/// The answer, once all of it is there.
fn parse(mut bytes: &[u8], without_body: bool) -> Option<Seen> {
    loop {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let (head, rest) = bytes.split_at(end);
        let head = String::from_utf8_lossy(head).into_owned();
        let Some(status) = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()) else {
            return Some(Seen::Strange(head));
        };
        // The answers before the last one, but for 101, which is the last of HTTP (RFC 9110, 15.2).
        if (100..200).contains(&status) && status != 101 {
            bytes = rest;
            continue;
        }
        let header = |name: &str| {
            head.lines().find_map(|line| {
                let (its_name, value) = line.split_once(':')?;
                its_name.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let body = match header("content-length").and_then(|length| length.parse::<usize>().ok()) {
            _ if without_body || matches!(status, 101 | 204 | 304) => &[],
            Some(length) => rest.get(..length)?,
            None if header("transfer-encoding").is_some() => {
                let end = rest.windows(5).position(|five| five == b"0\r\n\r\n")?;
                rest.get(..end)?
            }
            None => &[],
        };
        return Some(Seen::Answer { status, location: header("location"), body: body.to_vec() });
    }
}
