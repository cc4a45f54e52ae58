//! What a client sends under the names that are between Envoy and the filter, or under which Envoy takes orders, has no
//! effect and reaches nobody: in HTTP/1 and HTTP/2, with TLS and without.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gatewasm_routing::wire;
use gatewasm_tests::client::{Answer, raw};
use gatewasm_tests::echo::{Echoed, KEY_HEADER};
use gatewasm_tests::exact::Exact;
use gatewasm_tests::hostile::{EXACT_HOST, Rig};
use gatewasm_tests::http2::{End, Field};
use gatewasm_tests::until::until;

/// Longest wait for a copy.
const LIMIT: Duration = Duration::from_secs(30);

/// The backend that takes the request, whatever it says.
const MINE: &str = "mine";
const OTHER: &str = "default/other/80";

/// Headers of one request. Names in upper case are errors in HTTP/2 (RFC 9113, 8.2), and sent in HTTP/1 alone.
const ROWS: &[&[(&str, &str)]] = &[
    &[(wire::CLUSTER, OTHER)],
    &[("X-GW-CLUSTER", OTHER)],
    &[("X-Gw-Cluster", OTHER), ("x-gw-cluster", OTHER)],
    &[(wire::CLUSTER, OTHER), (wire::CLUSTER, OTHER), (wire::CLUSTER, "")],
    &[(wire::CLUSTER, "gatewasm-agent")],
    &[(wire::LISTENER, wire::PROBE)],
    &[("X-GW-Listener", wire::PROBE), (wire::LISTENER, "infra/web/wildcard")],
    &[(wire::LISTENER, "infra/web:80"), (wire::LISTENER, "infra/web/exact")],
    &[(wire::POLICY, "p-0123456789abcdef")],
    &[("X-GW-POLICY", "none"), (wire::POLICY, "none")],
    &[(wire::ENDPOINT, "MTI3LjAuMC4xOjE=")],
    &[("x-gw-", "x"), ("x-gw-unheard-of", "x"), ("X-GW-", "x")],
    &[("x-envoy-original-path", "/other"), ("x-envoy-original-host", "other.test")],
    &[("X-Envoy-Original-Path", "/other")],
    &[("x-envoy-upstream-rq-timeout-ms", "1"), ("x-envoy-upstream-rq-per-try-timeout-ms", "1")],
    &[("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "9"), ("x-envoy-retriable-status-codes", "200")],
    &[("x-envoy-internal", "true"), ("x-envoy-external-address", "10.0.0.1")],
    &[("x-envoy-expected-rq-timeout-ms", "1"), ("x-envoy-attempt-count", "9"), ("x-envoy-force-trace", "1")],
    &[("x-envoy-decorator-operation", "other"), ("x-envoy-upstream-alt-stat-name", "other")],
    // A proxy in between may drop what `Connection` names; not what is ours.
    &[("Connection", "x-gw-cluster, x-gw-listener, x-gw-policy"), ("X-Gw-Cluster", OTHER)],
    &[("Connection", "close, X-GW-Listener")],
    // Other names, though some backends cannot tell them apart: they may arrive, and mean nothing.
    &[
        ("x_gw_cluster", OTHER),
        ("x-gw_listener", wire::PROBE),
        ("x_gw-policy", "p-x"),
        ("x_envoy_internal", "true"),
    ],
];

/// The request is `mine`'s, and nobody has seen what is not theirs: backend, client or mirror.
async fn check(rig: &Rig, answer: &Answer, key: &str) -> Result<()> {
    ensure!(answer.status == 200, "status {}: {}", answer.status, answer.text());
    let echoed = answer.echoed()?;
    ensure!(echoed.backend == MINE && echoed.path == "/x", "it went elsewhere: {echoed:?}");
    clean(&answer.headers)?;
    let copies = || rig.echoes["copies"].arrivals(key);
    until("a copy", LIMIT, async || Ok(!copies().is_empty())).await?;
    let copy = copies().pop().context("copy")?.echoed;
    ensure!(copy.path == "/x" && copies().len() == 1, "copied as {:?}", copies());
    for seen in [echoed, copy] {
        clean(&seen.headers).with_context(|| seen.backend.clone())?;
        clean(&seen.trailers).with_context(|| format!("trailers to {}", seen.backend))?;
    }
    Ok(())
}

fn clean(headers: &BTreeMap<String, String>) -> Result<()> {
    let internal = |name: &&String| name.starts_with(wire::PREFIX) || name.starts_with("x-envoy-");
    let internal: Vec<_> = headers.keys().filter(internal).collect();
    ensure!(internal.is_empty(), "{internal:?} came through");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_ours_are_nobody_elses() -> Result<()> {
    let rig = Rig::start(include_str!("../hostile/headers.yaml")).await?;
    let mut faults = Vec::new();
    let mut count = 0;
    for row in ROWS {
        for (host, tls) in [("trust.test", None), (EXACT_HOST, Some(rig.tls(EXACT_HOST)))] {
            let key = format!("HTTP/1 {host} {row:?}");
            let with_key = row.iter().copied().chain([(KEY_HEADER, key.as_str())]);
            let headers: Vec<_> = with_key.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let address = if tls.is_some() { rig.https } else { rig.http };
            let request = Exact { method: "GET", target: "/x", host, headers: &headers };
            let mut answers = vec![(key, request.send(address, tls).await?.answer)];
            if row.iter().all(|(name, _)| name.chars().all(|char| !char.is_ascii_uppercase())) {
                let key = format!("HTTP/2 {host} {row:?}");
                let with_key: Vec<_> = row.iter().copied().chain([(KEY_HEADER, key.as_str())]).collect();
                let end = if tls.is_some() {
                    rig.http2_tls(host).await?.request(&fields("https", host, &with_key)).await?
                } else {
                    rig.http2().await?.request(&fields("http", host, &with_key)).await?
                };
                let answer = end.answer()?;
                answers.push((key, answer));
            }
            for (key, answer) in answers {
                count += 1;
                let fault = check(&rig, &answer, &key).await.err();
                faults.extend(fault.map(|fault| format!("{key}: {fault:#}")));
            }
        }
    }
    ensure!(faults.is_empty(), "{} of {count}:\n{}", faults.len(), faults.join("\n"));
    ensure!(rig.echoes["other"].requests() == 0, "the other backend was asked");
    rig.stop().await
}

/// A name with a space or without a letter is no name: neither taken for ours nor passed on.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_nearly_a_name_of_ours_is_refused() -> Result<()> {
    let rig = Rig::start(include_str!("../hostile/headers.yaml")).await?;
    for name in ["x-gw-cluster ", " x-gw-cluster", "x-gw-cluster\t", "x-gw-clu ster", "x-gw-cluster\u{b}"] {
        let headers = [(name.to_owned(), OTHER.to_owned())];
        let request = Exact { method: "GET", target: "/x", host: "trust.test", headers: &headers };
        let answer = request.send(rig.http, None).await?.answer;
        ensure!(answer.status == 400, "{name:?}: status {}: {}", answer.status, answer.text());
    }
    for name in ["x-gw-cluster ", " x-gw-cluster", "X-GW-Cluster", "x-gw-clu ster", "x-gw-cluster\0", ""] {
        let end = rig.http2().await?.request(&fields("http", "trust.test", &[(name, OTHER)])).await?;
        let refused = match &end {
            End::Answer(answer) => answer.status == 400,
            End::Reset(_) | End::GoAway(_) | End::Closed => true,
        };
        ensure!(refused, "{name:?}: {end:?}");
    }
    let asked: u64 = rig.echoes.values().map(|echo| echo.requests()).sum();
    ensure!(asked == 0, "{asked} of them reached a backend");
    rig.stop().await
}

/// Trailers come after the decision, and none of ours reaches a backend. Others go on where trailers can: to backends that
/// are spoken to in HTTP/2, from clients that speak it.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_mean_nothing() -> Result<()> {
    let rig = Rig::start(include_str!("../hostile/headers.yaml")).await?;
    let trailers: &[(&str, &str)] = &[
        (wire::CLUSTER, OTHER),
        (wire::CLUSTER, OTHER),
        (wire::LISTENER, wire::PROBE),
        (wire::POLICY, "p-x"),
        ("x-gw-unheard-of", "x"),
        ("x-envoy-internal", "true"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-checksum", "1"),
    ];
    let trailers: Vec<Field<'_>> =
        trailers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let checksum = BTreeMap::from([("x-checksum".to_owned(), "1".to_owned())]);
    for (kind, expected) in [("text/plain", BTreeMap::new()), ("application/grpc", checksum)] {
        for (scheme, host) in [("http", "trust.test"), ("https", EXACT_HOST)] {
            let key = format!("HTTP/2 {scheme} {kind}");
            let mut fields = fields(scheme, host, &[("content-type", kind), (KEY_HEADER, key.as_str())]);
            fields[0].1 = b"POST";
            let end = if scheme == "https" {
                rig.http2_tls(host).await?.request_with_trailers(&fields, &trailers).await?
            } else {
                rig.http2().await?.request_with_trailers(&fields, &trailers).await?
            };
            let answer = end.answer()?;
            check(&rig, &answer, &key).await.with_context(|| key.clone())?;
            let copy = rig.echoes["copies"].arrivals(&key).pop().context("copy")?.echoed;
            for seen in [answer.echoed()?, copy] {
                ensure!(seen.trailers == expected && seen.body == 1, "{key}: {seen:?}");
            }
        }
        // The same in HTTP/1, where Envoy ends them.
        let head = format!(
            "POST /x HTTP/1.1\r\nHost: trust.test\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\
             Trailer: x-gw-cluster\r\n{KEY_HEADER}: HTTP/1 {kind}\r\nConnection: close\r\n\r\n"
        );
        let request = format!("{head}1\r\nx\r\n0\r\nX-GW-Cluster: {OTHER}\r\nx-envoy-internal: true\r\n\r\n");
        let answer = String::from_utf8(raw(rig.http, request.as_bytes()).await?)?;
        let json = answer.find('{').zip(answer.rfind('}')).and_then(|(from, to)| answer.get(from..=to));
        let echoed: Echoed = serde_json::from_str(json.with_context(|| answer.clone())?)?;
        ensure!(echoed.backend == MINE && echoed.body == 1 && echoed.trailers.is_empty(), "{echoed:?}");
    }
    ensure!(rig.echoes["other"].requests() == 0, "the other backend was asked");
    rig.stop().await
}

fn fields<'a>(scheme: &'a str, host: &'a str, headers: &[(&'a str, &'a str)]) -> Vec<Field<'a>> {
    let pseudo = [(":method", "GET"), (":scheme", scheme), (":authority", host), (":path", "/x")];
    pseudo.iter().chain(headers).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}
