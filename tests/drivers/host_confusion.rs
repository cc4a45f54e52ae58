//! The host that chooses a route is the same to Envoy, the filter and `explain`, however it is written; and on HTTPS a
//! connection that serves several hosts serves those of its own listener alone.

use anyhow::{Context, Result, ensure};
use gatewasm_tests::client::{Answer, raw};
use gatewasm_tests::exact::Exact;
use gatewasm_tests::hostile::{EXACT_HOST, Rig, WILDCARD_HOST};
use gatewasm_tests::http2::{End, Field};

/// Hosts, and the backend that serves them; `None` where Envoy refuses them.
const HOSTS: &[(&str, Option<&str>)] = &[
    ("name.test", Some("named")),
    ("NAME.Test", Some("named")),
    ("name.test:80", Some("named")),
    ("name.test:12345", Some("named")),
    ("name.test.", Some("named")),
    ("name.test.:80", Some("named")),
    // Envoy takes one dot, the filter another.
    ("name.test..", Some("named")),
    ("name.test...", Some("any")),
    (".name.test", Some("any")),
    ("name..test", Some("any")),
    ("name.tests", Some("any")),
    ("a.wild.test", Some("wild")),
    ("A.B.Wild.TEST.:1", Some("wild")),
    ("wild.test", Some("any")),
    (".wild.test", Some("any")),
    ("*.wild.test", Some("any")),
    ("xn--mnchen-3ya.test", Some("named")),
    ("XN--MNCHEN-3YA.test", Some("named")),
    ("a_b.wild.test", Some("wild")),
    ("127.0.0.1", Some("any")),
    ("127.0.0.1:80", Some("any")),
    ("[::1]", Some("any")),
    ("[::1]:80", Some("any")),
    ("[fe80::1%25eth0]", Some("any")),
    ("name.test/x", None),
    ("name.test?x", None),
    ("name.test#x", None),
    ("name.test\\x", None),
    ("na me.test", None),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_host_is_the_same_to_everybody() -> Result<()> {
    let rig = Rig::start(include_str!("../hostile/hosts.yaml")).await?;
    let mut faults = Vec::new();
    let url = format!("http://host.invalid:{}/", rig.http.port());
    for (host, backend) in HOSTS {
        let request = Exact { method: "GET", target: "/", host, headers: &[] };
        let over_http1 = End::Answer(request.send(rig.http, None).await?.answer);
        let over_http2 = rig.http2().await?.request(&fields("http", host)).await?;
        for (protocol, end) in [("HTTP/1", over_http1), ("HTTP/2", over_http2)] {
            let served = match &end {
                End::Answer(answer) if answer.status == 200 => Some(answer.echoed()?.backend),
                _ => None,
            };
            if served.as_deref() != *backend {
                faults.push(format!("{protocol} {host:?}: expected {backend:?}: {}", shown(&end)));
            }
        }
        if let Some(backend) = backend {
            let explained = rig.explain(&["-H", &format!("Host: {host}"), "GET", &url]).await?;
            let cluster = explained["decision"]["cluster"].as_str().context("cluster")?;
            if cluster != format!("default/{backend}/80") {
                faults.push(format!("explain {host:?}: expected {backend}: {cluster}"));
            }
        }
    }
    ensure!(faults.is_empty(), "{}:\n{}", faults.len(), faults.join("\n"));
    rig.stop().await
}

/// Envoy refuses user information in HTTP/2 alone. In HTTP/1 such a host is no name, and no rule for a name is met.
#[tokio::test(flavor = "multi_thread")]
async fn user_information_is_no_way_to_another_host() -> Result<()> {
    let rig = Rig::start(include_str!("../hostile/hosts.yaml")).await?;
    for host in ["name.test@evil.test", "user@name.test", "user:name.test@x", "@name.test", "name.test@"] {
        let request = Exact { method: "GET", target: "/", host, headers: &[] };
        let answer = request.send(rig.http, None).await?.answer;
        ensure!(answer.status == 400 || answer.echoed()?.backend == "any", "{host}: {answer:?}");
        let end = rig.http2().await?.request(&fields("http", host)).await?;
        let served = matches!(&end, End::Answer(answer) if answer.status == 200);
        ensure!(!served, "{host}: {}", shown(&end));
    }
    rig.stop().await
}

/// It need not name a host; one that does is no exception.
#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_is_told_to_upgrade() -> Result<()> {
    let rig = Rig::start(include_str!("../hostile/hosts.yaml")).await?;
    for request in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nHost: name.test\r\n\r\n"] {
        let answer = raw(rig.http, request.as_bytes()).await?;
        ensure!(answer.starts_with(b"HTTP/1.1 426 "), "{request:?}: {}", String::from_utf8_lossy(&answer));
    }
    rig.stop().await
}

/// RFC 9112, 3.2.2: the host of a target in absolute form stands in the place of the header.
#[tokio::test(flavor = "multi_thread")]
async fn the_host_of_the_target_counts_before_the_header() -> Result<()> {
    let rig = Rig::start(include_str!("../hostile/hosts.yaml")).await?;
    for (target, host, backend) in [
        ("http://name.test/", "a.wild.test", "named"),
        ("http://a.wild.test", "name.test", "wild"),
        ("HTTP://NAME.test:80/x/../y", "a.wild.test", "named"),
        ("http://other.test/", "name.test", "any"),
    ] {
        let request = Exact { method: "GET", target, host, headers: &[] };
        let echoed = request.send(rig.http, None).await?.answer.echoed()?;
        ensure!(echoed.backend == backend, "{target} with host {host}: {echoed:?}");
    }
    rig.stop().await
}

/// RFC 9113, 9.1.1, and Gateway API `ListenerTLSConfig`: a browser may ask on one connection for every host that its
/// certificate names.
#[tokio::test(flavor = "multi_thread")]
async fn a_coalesced_connection_serves_its_own_listener() -> Result<()> {
    let rig = Rig::start(include_str!("../hostile/hosts.yaml")).await?;
    for (server_name, hosts) in [
        (
            EXACT_HOST,
            [
                (EXACT_HOST, 200),
                ("EXACT.Secure.Test.:443", 200),
                (WILDCARD_HOST, 421),
                ("other.secure.test", 421),
                ("unknown.test", 404),
                ("secure.test", 404),
            ],
        ),
        (
            WILDCARD_HOST,
            [
                (WILDCARD_HOST, 200),
                ("Other.Secure.Test:1", 200),
                (EXACT_HOST, 421),
                ("exact.secure.TEST.", 421),
                ("unknown.test", 404),
                ("name.test", 404),
            ],
        ),
    ] {
        let mut connection = rig.http2_tls(server_name).await?;
        // Twice: a refusal is of the request, not of the connection.
        for (host, status) in hosts.iter().chain(&hosts) {
            let answer: Answer = connection.request(&fields("https", host)).await?.answer()?;
            ensure!(answer.status == *status, "{host} on the connection of {server_name}: {answer:?}");
            if answer.status == 200 {
                let expected = if server_name == EXACT_HOST { "exact" } else { "wildcard" };
                ensure!(answer.echoed()?.backend == expected, "{host}: {}", answer.text());
            }
        }
    }
    rig.stop().await
}

fn fields<'a>(scheme: &'a str, host: &'a str) -> [Field<'a>; 4] {
    [
        (b":method", b"GET"),
        (b":scheme", scheme.as_bytes()),
        (b":authority", host.as_bytes()),
        (b":path", b"/"),
    ]
}

fn shown(end: &End) -> String {
    match end {
        End::Answer(answer) => format!("{} {}", answer.status, answer.text()),
        other => format!("{other:?}"),
    }
}
