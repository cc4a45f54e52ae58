//! Requests of HTTP/2 as frames: every byte in every place, what is known to be odd, and chance.

use super::random::Random;
use super::words::{self, HOSTS, METHODS, TARGETS};
use crate::http2::{Field, block, flag, frame, kind};

/// In the place of the byte.
const BYTE: &str = "\u{1}";

type Fields = &'static [(&'static str, &'static str)];

/// Header blocks with [`BYTE`] where it goes. A pseudo-header in them takes the place of the usual one.
const PLACES: &[Fields] = &[
    &[(":method", "\u{1}")],
    &[(":method", "\u{1}GET")],
    &[(":method", "G\u{1}T")],
    &[(":path", "\u{1}")],
    &[(":path", "\u{1}/exact")],
    &[(":path", "/\u{1}/exact")],
    &[(":path", "/strip/a\u{1}b/..\u{1}/c")],
    &[(":path", "/replace/\u{1}/x")],
    &[(":path", "/redirect/x\u{1}")],
    &[(":path", "/users/4\u{1}2/posts/\u{1}")],
    &[(":path", "/query?text=\u{1}a&role=admin\u{1}")],
    &[(":path", "/query?text=%6\u{1}&r\u{1}ole=admin")],
    &[(":path", "/%\u{1}1")],
    &[(":path", "/moved"), (":authority", "\u{1}a.fuzz.test")],
    &[(":path", "/redirect"), (":authority", "a\u{1}.fuzz.test")],
    &[(":path", "/redirect"), (":authority", "a.fuzz.test\u{1}")],
    &[(":path", "/redirect"), (":authority", "a.fuzz.test:\u{1}")],
    &[(":path", "/redirect"), (":authority", "[:\u{1}:1]:80")],
    &[(":scheme", "ht\u{1}tp")],
    &[(":scheme", "\u{1}")],
    &[(":\u{1}", "x")],
    &[(":path\u{1}", "/x")],
    &[("\u{1}", "x")],
    &[(":path", "/headers"), ("\u{1}x-version", "two")],
    &[(":path", "/headers"), ("x-ver\u{1}sion", "two")],
    &[(":path", "/headers"), ("x-version\u{1}", "two")],
    &[(":path", "/answers"), ("x-gw-cluster\u{1}", "default/a/80")],
    &[(":path", "/answers"), ("\u{1}x-gw-listener", "gatewasm:probe")],
    &[(":path", "/answers"), ("x\u{1}gw-listener", "infra/web/exact")],
    &[(":path", "/headers"), ("x-version", "\u{1}two"), ("x-canary", "v1")],
    &[(":path", "/headers"), ("x-version", "two"), ("x-canary", "v\u{1}1")],
    &[(":path", "/headers"), ("x-canary", "v1\u{1}"), ("x-version", "two"), ("x-canary", "\u{1}")],
    &[(":path", "/answers"), ("cookie", "a=\u{1}"), ("cookie", "\u{1}=b")],
    &[("host", "b\u{1}.fuzz.test")],
    &[("te", "trailers\u{1}")],
    &[("content-length", "\u{1}")],
    &[("connection", "\u{1}")],
    &[(":path", "/cors"), ("origin", "https://x\u{1}.b.fuzz.test:8443")],
    &[
        (":method", "OPTIONS"),
        (":path", "/cors"),
        ("origin", "http://\u{1}a"),
        ("access-control-request-method", "PU\u{1}T"),
        ("access-control-request-headers", "x-\u{1}a,\u{1}"),
    ],
    &[(":path", "/session"), ("cookie", "a=b;\u{1}session=\u{1}AT4j6BYA"), ("cookie", "session=\u{1}")],
    &[(":path", "/session/header"), ("x-session", "AcqX\u{1}gRLK")],
    &[(":path", "/policy/\u{1}")],
    &[(":path", "/fuzz.Sh\u{1}op/Buy"), ("content-type", "application/grpc")],
    &[(":path", "/fuzz.Shop/B\u{1}uy"), ("content-type", "application/grpc\u{1}")],
    &[(":path", "/fuzz.v1\u{1}/Get\u{1}"), ("content-type", "\u{1}application/grpc")],
];

/// Header blocks that no place and byte makes, as they are.
const ODD: &[Fields] = &[
    &[],
    &[(":method", "GET")],
    &[(":method", "GET"), (":scheme", "http"), (":authority", "a.fuzz.test")],
    &[(":method", "GET"), (":scheme", "http"), (":path", "/exact")],
    &[(":method", "GET"), (":scheme", "http"), (":path", "/exact"), ("host", "a.fuzz.test")],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/exact"),
        (":authority", "a.fuzz.test"),
        ("host", "b.fuzz.test"),
    ],
    &[(":method", "GET"), (":scheme", "http"), (":path", ""), (":authority", "a.fuzz.test")],
    &[(":method", ""), (":scheme", "http"), (":path", "/"), (":authority", "a.fuzz.test")],
    &[(":method", "GET"), (":scheme", ""), (":path", "/"), (":authority", "")],
    &[
        (":method", "GET"),
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.fuzz.test"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":path", "/exact"),
        (":authority", "a.fuzz.test"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.fuzz.test"),
        (":authority", "b.fuzz.test"),
    ],
    &[
        ("x-version", "two"),
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.fuzz.test"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.fuzz.test"),
        (":status", "200"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.fuzz.test"),
        (":protocol", "websocket"),
    ],
    &[(":method", "CONNECT"), (":authority", "a.fuzz.test:80")],
    &[(":method", "CONNECT")],
    &[(":method", "CONNECT"), (":scheme", "http"), (":path", "/method"), (":authority", "a.fuzz.test")],
    &[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/exact"),
        (":authority", "a.fuzz.test"),
        ("sec-websocket-version", "13"),
    ],
    &[
        (":method", "CONNECT"),
        (":protocol", "x"),
        (":scheme", "http"),
        (":path", "/exact"),
        (":authority", "a.fuzz.test"),
    ],
    &[(":method", "OPTIONS"), (":scheme", "http"), (":path", "*"), (":authority", "a.fuzz.test")],
    &[(":method", "GET"), (":scheme", "http"), (":path", "*"), (":authority", "a.fuzz.test")],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "http://a.fuzz.test/exact"),
        (":authority", "b.fuzz.test"),
    ],
    &[(":method", "GET"), (":scheme", "https"), (":path", "/redirect"), (":authority", "a.fuzz.test")],
    &[(":METHOD", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.fuzz.test")],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.fuzz.test"),
        ("X-GW-Cluster", "default/a/80"),
    ],
    &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.fuzz.test"), ("", "x")],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.fuzz.test"),
        ("transfer-encoding", "chunked"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.fuzz.test"),
        ("upgrade", "websocket"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.fuzz.test"),
        ("connection", "x-gw-listener"),
    ],
    &[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a.fuzz.test"),
        ("content-length", "5"),
    ],
    &[(":method", "HEAD"), (":scheme", "http"), (":path", "/answers"), (":authority", "a.fuzz.test")],
];

const USUAL: Fields =
    &[(":method", "GET"), (":scheme", "http"), (":path", "/exact"), (":authority", "a.fuzz.test")];

const WHOLE: u8 = flag::END_HEADERS | flag::END_STREAM;

fn written(fields: &[(&str, &str)]) -> Vec<u8> {
    let fields: Vec<Field<'_>> =
        fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    block(&fields)
}

/// The requests that are always sent, each to be written with the number of a stream.
pub(super) fn odd() -> Vec<fn(u32) -> Vec<u8>> {
    fn usual() -> Vec<u8> {
        written(USUAL)
    }
    fn with(name: &str, value: &str, times: usize) -> Vec<u8> {
        [usual(), written(&[(name, value)]).repeat(times)].concat()
    }
    /// A block in one frame of headers and as many continuations as it takes.
    fn in_parts(stream: u32, block: &[u8], part: usize) -> Vec<u8> {
        let parts: Vec<&[u8]> = block.chunks(part).collect();
        let frames = parts.iter().enumerate().map(|(index, payload)| {
            let kind = if index == 0 { kind::HEADERS } else { kind::CONTINUATION };
            let first = if index == 0 { flag::END_STREAM } else { 0 };
            let last = if index + 1 == parts.len() { flag::END_HEADERS } else { 0 };
            frame(kind, first | last, stream, payload)
        });
        frames.collect::<Vec<_>>().concat()
    }
    vec![
        |stream| in_parts(stream, &usual(), 1),
        |stream| in_parts(stream, &with("x-version", &"x".repeat(32 << 10), 1), 16_000),
        |stream| in_parts(stream, &with("x-version", &"x".repeat(59 << 10), 1), 16_000),
        |stream| in_parts(stream, &with("x-version", &"x".repeat(64 << 10), 1), 16_000),
        |stream| in_parts(stream, &with("x-version", &"x".repeat(256 << 10), 1), 16_000),
        |stream| in_parts(stream, &with("x-gw-cluster", "default/a/80", 99), 16_000),
        |stream| in_parts(stream, &with("x-canary", "v1", 1_000), 16_000),
        |stream| in_parts(stream, &with("cookie", "a=b", 1_000), 16_000),
        // Continuations without end, and one that belongs to another stream, or to none.
        |stream| {
            [frame(kind::HEADERS, 0, stream, &usual()), frame(kind::CONTINUATION, 0, stream, &[]).repeat(64)]
                .concat()
        },
        |stream| {
            [
                frame(kind::HEADERS, 0, stream, &usual()),
                frame(kind::CONTINUATION, flag::END_HEADERS, stream + 2, &[]),
            ]
            .concat()
        },
        |stream| [frame(kind::HEADERS, 0, stream, &usual()), frame(kind::PING, 0, 0, &[0; 8])].concat(),
        |stream| frame(kind::CONTINUATION, flag::END_HEADERS, stream, &usual()),
        // On streams that a client must not use.
        |_| frame(kind::HEADERS, WHOLE, 0, &usual()),
        |stream| frame(kind::HEADERS, WHOLE, stream + 1, &usual()),
        |stream| frame(kind::HEADERS, WHOLE, stream.saturating_sub(2).max(1), &usual()),
        |stream| frame(kind::DATA, flag::END_STREAM, stream, b"x"),
        |_| frame(kind::DATA, flag::END_STREAM, 0, b"x"),
        // Padding, priority and lengths that do not fit.
        |stream| frame(kind::HEADERS, WHOLE | flag::PADDED, stream, &[&[0xff], usual().as_slice()].concat()),
        |stream| {
            frame(kind::HEADERS, WHOLE | flag::PADDED, stream, &[&[2], usual().as_slice(), &[0, 0]].concat())
        },
        |stream| {
            frame(
                kind::HEADERS,
                WHOLE | flag::PRIORITY,
                stream,
                &[&stream.to_be_bytes()[..], &[9], &usual()].concat(),
            )
        },
        |stream| frame(kind::HEADERS, WHOLE | flag::PRIORITY, stream, &[]),
        |stream| frame(kind::HEADERS, WHOLE, stream, &vec![0x80; 20_000]),
        |stream| frame(kind::HEADERS, WHOLE, stream, &[]),
        // Header blocks that do not decode, and one that repeats itself from the table.
        |stream| frame(kind::HEADERS, WHOLE, stream, &[0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        |stream| {
            frame(
                kind::HEADERS,
                WHOLE,
                stream,
                &[usual().as_slice(), &[0xff, 0xff, 0xff, 0xff, 0x7f]].concat(),
            )
        },
        |stream| frame(kind::HEADERS, WHOLE, stream, &[usual().as_slice(), &[0x00, 0x7f, 0xff]].concat()),
        |stream| {
            frame(kind::HEADERS, WHOLE, stream, &[usual().as_slice(), &[0x00, 0x81, 0xff, 0x00]].concat())
        },
        |stream| {
            frame(
                kind::HEADERS,
                WHOLE,
                stream,
                &[usual().as_slice(), b"\x40\x01a\x03bcd", [0xbe; 90].as_slice()].concat(),
            )
        },
        |stream| {
            frame(
                kind::HEADERS,
                WHOLE,
                stream,
                &[usual().as_slice(), b"\x40\x01a\x7f\x81\x07", &[b'x'; 1024], &[0xbe; 200]].concat(),
            )
        },
        // Bodies and trailers.
        |stream| {
            [
                frame(kind::HEADERS, flag::END_HEADERS, stream, &usual()),
                frame(kind::DATA, 0, stream, b"x"),
                frame(
                    kind::HEADERS,
                    WHOLE,
                    stream,
                    &written(&[("x-gw-cluster", "default/a/80"), ("x-version", "two")]),
                ),
            ]
            .concat()
        },
        |stream| {
            [
                frame(kind::HEADERS, flag::END_HEADERS, stream, &usual()),
                frame(kind::HEADERS, WHOLE, stream, &written(&[(":path", "/admin")])),
            ]
            .concat()
        },
        |stream| {
            [
                frame(kind::HEADERS, flag::END_HEADERS, stream, &usual()),
                frame(kind::HEADERS, flag::END_HEADERS, stream, &written(&[("a", "b")])),
            ]
            .concat()
        },
        |stream| {
            [
                frame(kind::HEADERS, flag::END_HEADERS, stream, &with("content-length", "3", 1)),
                frame(kind::DATA, flag::END_STREAM, stream, b"abcd"),
            ]
            .concat()
        },
        |stream| {
            [
                frame(kind::HEADERS, WHOLE, stream, &usual()),
                frame(kind::DATA, flag::END_STREAM, stream, b"late"),
            ]
            .concat()
        },
        |stream| {
            [frame(kind::HEADERS, WHOLE, stream, &usual()), frame(kind::HEADERS, WHOLE, stream, &usual())]
                .concat()
        },
        |stream| {
            [
                frame(kind::HEADERS, flag::END_HEADERS, stream, &usual()),
                frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8]),
            ]
            .concat()
        },
        |stream| {
            [frame(kind::HEADERS, WHOLE, stream, &usual()), frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8])]
                .concat()
        },
        // Frames of the connection.
        |stream| {
            [frame(kind::SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]), frame(kind::HEADERS, WHOLE, stream, &usual())]
                .concat()
        },
        |_| frame(kind::SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]),
        |_| frame(kind::SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 7]),
        |_| frame(kind::SETTINGS, 0, 1, &[]),
        |_| frame(kind::SETTINGS, flag::ACK, 0, &[1]),
        |_| frame(kind::SETTINGS, 0, 0, &[]).repeat(500),
        |_| frame(kind::PING, 0, 0, &[0; 8]).repeat(500),
        |_| frame(kind::PING, 0, 0, &[0; 7]),
        |_| frame(kind::GOAWAY, 0, 0, &[0; 8]),
        |_| frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4]),
        |_| frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        |stream| frame(kind::WINDOW_UPDATE, 0, stream, &[0, 0, 0, 1]),
        |_| vec![0xff; 64],
        |_| b"GET / HTTP/1.1\r\nHost: a.fuzz.test\r\n\r\n".to_vec(),
        // Begun and given up, again and again (CVE-2023-44487); other numbers than the streams of the others.
        |stream| {
            (0..64)
                .flat_map(|more| {
                    [
                        frame(kind::HEADERS, WHOLE, stream + 2 * more, &usual()),
                        frame(kind::RST_STREAM, 0, stream + 2 * more, &[0, 0, 0, 8]),
                    ]
                    .concat()
                })
                .collect()
        },
    ]
}

/// How many header blocks are always sent as they are.
pub(super) const ODD_BLOCKS: usize = ODD.len();

/// The one of them with this number.
pub(super) fn odd_block(number: usize, stream: u32) -> Vec<u8> {
    frame(kind::HEADERS, WHOLE, stream, &written(ODD[number % ODD.len()]))
}

/// Parts of a frame that take every byte, beside the places of the header blocks.
const FRAMES: usize = 6;

/// How many requests have every byte in every place.
pub(super) const SYSTEMATIC: usize = (PLACES.len() + FRAMES) * 256;

/// The one of them with this number.
pub(super) fn systematic(number: usize, stream: u32) -> Vec<u8> {
    let byte = number.to_le_bytes()[0];
    let usual = written(USUAL);
    let Some(place) = PLACES.get(number / 256) else {
        let request = frame(kind::HEADERS, WHOLE, stream, &usual);
        return match (number / 256).saturating_sub(PLACES.len()) {
            0 => frame(byte, WHOLE, stream, &usual),
            1 => frame(kind::HEADERS, byte, stream, &usual),
            2 => frame(kind::HEADERS, WHOLE, stream, &[&[byte], usual.as_slice()].concat()),
            3 => frame(kind::HEADERS, WHOLE, stream, &[usual.as_slice(), &[byte, 1, b'a', 1, b'b']].concat()),
            4 => frame(kind::HEADERS, WHOLE | flag::PADDED, stream, &[&[byte], usual.as_slice()].concat()),
            _ => [frame(kind::SETTINGS, 0, 0, &[0, byte, 0, 0, 0, byte]), request].concat(),
        };
    };
    let fill = |text: &str| text.split(BYTE).map(str::as_bytes).collect::<Vec<_>>().join(&byte);
    let replaced = |name: &str| place.iter().any(|(its, _)| *its == name);
    // Pseudo-headers first (RFC 9113, 8.3), whatever else is odd.
    let usual = USUAL.iter().filter(|(name, _)| !replaced(name));
    let (pseudo, others): (Vec<_>, Vec<_>) = place.iter().partition(|(name, _)| name.starts_with(':'));
    let fields: Vec<(Vec<u8>, Vec<u8>)> =
        usual.chain(pseudo).chain(others).map(|(name, value)| (fill(name), fill(value))).collect();
    let fields: Vec<Field<'_>> = fields.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    frame(kind::HEADERS, WHOLE, stream, &block(&fields))
}

/// A request by chance: words in every place, in frames of any size, most of them damaged.
pub(super) fn random(random: &mut Random, stream: u32) -> Vec<u8> {
    let mut fields = vec![
        (":method", METHODS.pick(random)),
        (":scheme", random.pick(&["http", "http", "http", "https", "x", ""])),
        (":path", TARGETS.pick(random)),
        (":authority", HOSTS.pick(random)),
    ];
    fields.extend((0..random.below(8)).map(|_| words::field(random)));
    match random.below(16) {
        0 => drop(fields.remove(random.below(fields.len()))),
        1 => fields.swap(0, random.below(4)),
        2 => fields.reverse(),
        3 => fields.push(fields[random.below(4)]),
        _ => {}
    }
    let lower: Vec<String> = fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    // As they are now and then; in lower case the request has a chance to be taken.
    let as_written = random.once_in(8);
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .zip(&lower)
        .map(|((name, value), lower)| (if as_written { *name } else { lower.as_str() }, *value))
        .collect();
    let mut block = written(&fields);
    if random.once_in(4) {
        random.damage(&mut block);
    }
    let with_body = random.once_in(4);
    let mut bytes = Vec::new();
    let cut = if random.once_in(3) { random.below(block.len()) } else { block.len() };
    let (first, rest) = block.split_at(cut);
    let ends = if with_body { 0 } else { flag::END_STREAM };
    let whole = if rest.is_empty() { flag::END_HEADERS } else { 0 };
    bytes.extend(frame(kind::HEADERS, ends | whole, stream, first));
    if !rest.is_empty() {
        bytes.extend(frame(kind::CONTINUATION, flag::END_HEADERS, stream, rest));
    }
    if with_body {
        let body = random.bytes(64);
        bytes.extend(frame(kind::DATA, 0, stream, &body));
        let trailers = written(&[words::field(random), ("x-gw-cluster", "default/a/80")]);
        match random.below(3) {
            0 => bytes.extend(frame(kind::HEADERS, WHOLE, stream, &trailers)),
            1 => {
                bytes.extend(frame(kind::DATA, flag::END_STREAM | flag::PADDED, stream, &[3, b'x', 0, 0, 0]))
            }
            _ => bytes.extend(frame(kind::DATA, flag::END_STREAM, stream, &[])),
        }
    }
    match random.below(12) {
        0 => random.damage(&mut bytes),
        1 => {
            let payload = random.bytes(32);
            let (of, kind, flags) = (random.pick(&[0, stream]), random.below(12) as u8, random.byte());
            bytes.extend(frame(kind, flags, of, &payload));
        }
        _ => {}
    }
    bytes
}
