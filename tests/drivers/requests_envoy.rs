//! The request table through a real Envoy, and `gatewasm explain` held to what Envoy did.
//!
//! One Envoy serves all files at once. Its access log says which listener, route and rule took each request.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use gatewasm_request_table::{Case, NO_POLICY, Outcome, Table, tables};
use gatewasm_routing::config::Header;
use gatewasm_routing::wire;
use gatewasm_tests::client::Answer;
use gatewasm_tests::exact::{Exact, Sent};
use gatewasm_tests::served::{Entry, Logged, Served, prefixed};
use gatewasm_tests::tools;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Requests, and processes of `explain`, under way at a time.
const PARALLEL: usize = 4;

const LIMIT: Duration = Duration::from_secs(30);

/// What Envoy did with a request.
#[derive(Debug)]
struct Did {
    outcome: Outcome,
    answer: Answer,
    /// From the access log.
    logged: Logged,
    /// Its connection, open to the end of the test: the log tells requests apart by the client's address.
    _sent: Sent,
}

/// What `gatewasm explain -o json` prints, as a reader of its documentation would take it in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Explained {
    path: Option<String>,
    /// For readers.
    #[serde(default, rename = "notes")]
    _notes: Vec<String>,
    decision: ExplainedDecision,
    listener: Option<String>,
    route: Option<ExplainedRoute>,
    rule: Option<usize>,
    #[serde(rename = "match")]
    match_index: Option<usize>,
    cors: Option<ExplainedCors>,
    session: Option<ExplainedSession>,
    /// What arrives at the backend and at the client says whether it is right.
    #[serde(default, rename = "edits")]
    _edits: Value,
    upstream: Option<ExplainedUpstream>,
    backends: Vec<ExplainedBackend>,
    candidates: Vec<ExplainedCandidate>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainedDecision {
    #[serde(rename = "type")]
    kind: String,
    status: Option<u16>,
    #[serde(rename = "grpcStatus")]
    grpc_status: Option<u32>,
    cluster: Option<String>,
    policy: Option<String>,
    location: Option<String>,
    because: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainedCors {
    preflight: bool,
    allowed: Option<bool>,
    because: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainedSession {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    counts: bool,
    endpoint: Option<String>,
    because: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainedUpstream {
    method: String,
    host: String,
    path: String,
    #[serde(default)]
    headers: Vec<Header>,
    #[serde(default)]
    without: Vec<String>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainedRoute {
    kind: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainedBackend {
    cluster: Option<String>,
    invalid: Option<String>,
    weight: u32,
    policy: Option<String>,
    location: Option<String>,
    #[serde(rename = "edits")]
    _edits: Option<Value>,
    upstream: Option<ExplainedUpstream>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExplainedCandidate {
    route: ExplainedRoute,
    rule: usize,
    #[serde(rename = "match")]
    match_index: usize,
    won: bool,
    because: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_case_goes_through_envoy_and_explain_agrees() -> Result<()> {
    let tables = Arc::new(tables().map_err(|fault| anyhow!(fault))?);
    let folder = tempfile::tempdir()?;
    let configs: Vec<_> = tables.iter().map(|table| &table.config).collect();
    let served = Arc::new(Served::start(&configs, folder.path()).await?);

    let mut left_out = 0;
    let mut work = JoinSet::new();
    let turns = Arc::new(Semaphore::new(PARALLEL));
    for (number, table) in tables.iter().enumerate() {
        let config = folder.path().join(format!("{}.json", table.file));
        std::fs::write(&config, serde_json::to_vec(&table.config)?)?;
        for (index, case) in table.cases.iter().enumerate() {
            if let Some(reason) = &case.engine_only {
                println!("not through Envoy: {}: {}: {reason}", table.file, case.name);
                left_out += 1;
                continue;
            }
            let (tables, served, turns, config) =
                (Arc::clone(&tables), Arc::clone(&served), Arc::clone(&turns), config.clone());
            work.spawn(async move {
                let _turn = turns.acquire().await;
                let (table, case) = (&tables[number], &tables[number].cases[index]);
                let result = run(&served, number, table, case, &config).await;
                result.map_err(|error| format!("{}: {}: {error:#}", table.file, case.name))
            });
        }
    }
    let results = work.join_all().await;
    let ran = results.len();
    let mut failures: Vec<&String> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    failures.sort();
    println!("{ran} cases ran through Envoy and explain, {left_out} are for the engine alone");
    ensure!(
        failures.is_empty(),
        "{} of {ran} failed:\n{}",
        failures.len(),
        failures.iter().map(|failure| failure.as_str()).collect::<Vec<_>>().join("\n")
    );
    ensure!(ran > 0, "no case ran");
    Ok(())
}

async fn run(served: &Served, number: usize, table: &Table, case: &Case, config: &Path) -> Result<Did> {
    let entry =
        Entry::new(&table.config, &case.entry).context("a case for the engine alone says engineOnly")?;
    let did = send(served, number, &entry, case).await.context("Envoy")?;
    let allowed = case.expect.allowed();
    ensure!(allowed.contains(&did.outcome), "Envoy: expected one of {allowed:?}, saw {did:?}");
    // Where chance has chosen otherwise than in the case, other things are to be seen.
    if did.outcome == case.expect.outcome {
        messages(&did, case)?;
    }
    let explained = explain(config, &entry, case).await.context("explain")?;
    agree(number, &did, &explained, case)?;
    arrived(&did, &explained, entry.port)?;
    said(&did, &explained)?;
    Ok(did)
}

/// What backend and client received.
fn messages(did: &Did, case: &Case) -> Result<()> {
    if let Outcome::Cluster(_) = did.outcome {
        let echoed = did.answer.echoed()?;
        let expected = case.expect.backend.clone().unwrap_or_default();
        let path = expected.path.as_ref().unwrap_or(&case.request.path);
        ensure!(echoed.path == *path, "the path arrived as {:?}", echoed.path);
        let checked = expected.check(&echoed.path, &echoed.host, &echoed.headers);
        checked.map_err(|fault| anyhow!("backend: {fault}"))?;
    }
    if let Some(expected) = &case.expect.answer {
        expected.check(&did.answer.headers).map_err(|fault| anyhow!("answer: {fault}"))?;
    }
    Ok(())
}

/// Explained, done and expected: whatever one of them says, the others must not contradict.
fn agree(number: usize, did: &Did, explained: &Explained, case: &Case) -> Result<()> {
    let say = |what: &str| anyhow!("{what}: {explained:?} is not what Envoy did: {did:?}");
    let shares = || explained.backends.iter().filter(|backend| backend.weight > 0);
    let agrees = match (explained.decision.kind.as_str(), &did.outcome) {
        ("Respond", Outcome::Status(status)) => explained.decision.status == Some(*status),
        ("Forward", Outcome::Cluster(cluster)) => {
            shares().any(|backend| backend.cluster.as_ref() == Some(cluster))
                && explained.decision.cluster.as_ref().is_none_or(|only| only == cluster)
        }
        ("Redirect", Outcome::Status(status)) => {
            explained.decision.status == Some(*status)
                && explained.decision.location.as_ref() == did.answer.headers.get("location")
        }
        ("Forward", Outcome::Status(500)) => shares().any(|backend| backend.invalid.is_some()),
        ("Forward", Outcome::Status(_)) => shares().any(|backend| {
            backend.location.is_some() && backend.location.as_ref() == did.answer.headers.get("location")
        }),
        _ => false,
    };
    ensure!(agrees, say("decision"));
    ensure!(!explained.decision.because.is_empty(), "a decision without a reason: {explained:?}");

    let listener = explained.listener.as_ref().map(|name| prefixed(number, name));
    ensure!(listener == did.logged.listener, say("listener"));
    let route = explained.route.as_ref().map(|it| format!("{} {}/{}", it.kind, it.namespace, it.name));
    ensure!(route == did.logged.route, say("route"));
    ensure!(explained.rule.map(|rule| rule.to_string()) == did.logged.rule, say("rule"));

    let won: Vec<_> = explained.candidates.iter().filter(|candidate| candidate.won).collect();
    match (&explained.route, won.as_slice()) {
        (None, []) => {}
        (Some(route), [one]) => ensure!(
            one.route == *route
                && Some(one.rule) == explained.rule
                && Some(one.match_index) == explained.match_index,
            "the candidate that won is not the one that takes the request: {explained:?}"
        ),
        _ => bail!("not exactly one candidate won: {explained:?}"),
    }
    ensure!(
        explained.candidates.iter().all(|candidate| !candidate.because.is_empty()),
        "a candidate without a reason: {explained:?}"
    );

    let expect = &case.expect;
    ensure!(expect.listener.is_none() || expect.listener == explained.listener, "listener: {explained:?}");
    let route = explained.route.as_ref().map(|it| format!("{}/{}", it.namespace, it.name));
    ensure!(expect.route.is_none() || expect.route == route, "expected {expect:?}: {explained:?}");
    ensure!(expect.rule.is_none() || expect.rule == explained.rule, "expected {expect:?}: {explained:?}");
    ensure!(
        expect.match_index.is_none() || expect.match_index == explained.match_index,
        "expected {expect:?}: {explained:?}"
    );
    if let (Outcome::Cluster(cluster), Some(policy)) = (&did.outcome, &expect.policy)
        && did.outcome == expect.outcome
    {
        let chosen = explained.backends.iter().find(|backend| backend.cluster.as_ref() == Some(cluster));
        let of_chosen = chosen.and_then(|backend| backend.policy.as_deref());
        ensure!(of_chosen.unwrap_or(NO_POLICY) == policy, "expected {expect:?}: {explained:?}");
    }
    Ok(())
}

/// What arrived at the backend is what was explained to arrive there.
fn arrived(did: &Did, explained: &Explained, port: u16) -> Result<()> {
    let say = |what: &str| anyhow!("{what}: {explained:?} is not what Envoy did: {did:?}");
    let Outcome::Cluster(cluster) = &did.outcome else { return Ok(()) };
    let echoed = did.answer.echoed()?;
    let chosen = explained.backends.iter().find(|backend| backend.cluster.as_ref() == Some(cluster));
    let chosen = chosen.with_context(|| say("cluster"))?;
    let upstream = chosen.upstream.as_ref().or(explained.upstream.as_ref());
    let upstream = upstream.with_context(|| say("upstream"))?;
    ensure!(upstream.method == echoed.method && upstream.path == echoed.path, say("method or path"));
    // The URL that was asked about has the port, and Envoy takes one trailing dot away.
    let without_dot = |host: &str| host.replacen(".:", ":", 1).trim_end_matches('.').to_owned();
    let host = upstream.host.strip_suffix(&format!(":{port}")).unwrap_or(&upstream.host);
    let hosts = [without_dot(host), without_dot(&upstream.host)];
    ensure!(hosts.contains(&without_dot(&echoed.host)), say("host"));
    let plain = |list: &str| list.split(',').map(|one| one.trim().to_owned()).collect::<Vec<_>>();
    for header in &upstream.headers {
        let arrived = echoed.headers.get(&header.name).map(|value| plain(value));
        ensure!(arrived == Some(plain(&header.value)), say(&header.name));
    }
    for name in &upstream.without {
        ensure!(!echoed.headers.contains_key(name), say(name));
    }
    let policy = explained.decision.policy.as_ref();
    ensure!(policy.is_none() || policy == chosen.policy.as_ref(), say("policy"));
    Ok(())
}

/// What the client was told is what was explained to be told.
fn said(did: &Did, explained: &Explained) -> Result<()> {
    let say = |what: &str| anyhow!("{what}: {explained:?} is not what Envoy did: {did:?}");
    let header = |name: &str| did.answer.headers.get(name).map(String::as_str);
    if let Some(status) = explained.decision.grpc_status {
        ensure!(header("grpc-status") == Some(&status.to_string()), say("gRPC status"));
    }
    if let Some(cors) = &explained.cors {
        let allowed = cors.allowed.is_some_and(|allowed| allowed);
        ensure!(
            cors.allowed.is_none() || header("access-control-allow-origin").is_some() == allowed,
            say("origin")
        );
        ensure!(header("vary").is_some_and(|vary| vary.contains("origin")), say("vary"));
        ensure!(!cors.preflight || !matches!(did.outcome, Outcome::Cluster(_)), say("preflight"));
        ensure!(!cors.because.is_empty(), "CORS without a reason: {explained:?}");
    }
    if let Some(session) = &explained.session {
        ensure!(session.counts == session.endpoint.is_some(), say("session"));
        ensure!(!session.because.is_empty(), "a session without a reason: {explained:?}");
        ensure!(
            !session.name.is_empty() && ["Cookie", "Header"].contains(&session.kind.as_str()),
            say("session")
        );
    }
    Ok(())
}

/// Paths that Envoy changes before the filter sees them, and some that it must not change.
const PATHS: &[&str] = &[
    "/a/../b",
    "/a/./b",
    "//a///b//",
    "/a//../b",
    "//../b",
    "/../",
    "/a/b/..",
    "/a/b/%2e",
    "/a/%2e%2E/b",
    "/a/.%2e/b",
    "/a/..;/b",
    "/a/..;x=1/b",
    "/a/.;/b",
    "/a/.;x/b",
    "/a/..;",
    "/a/%2e;x/b",
    "/a/%2e%2e;/b",
    "/a/..%3b/b",
    "/a;x=1/../b",
    "/a\\b",
    "/a\\..\\b",
    "/a/...//b",
    "/..a/b..",
    "/%41%7e%2D%5f%2a",
    "/a%2fb%2F..%2fc",
    "/a%5cb",
    "/%zz%4",
    "/%",
    "/a|b^c`d",
    "/a\"<b>{c}",
    "/a[b]!$&'()*+,:=@~b",
    "/a?b//../c%41|",
    "/%25%32%65",
    "/%%341/%%30%30",
    "/%%34z/%4%31/%%%34%31",
    "/%+4",
];

#[tokio::test(flavor = "multi_thread")]
async fn explain_normalises_paths_as_envoy_does() -> Result<()> {
    let tables = tables().map_err(|fault| anyhow!(fault))?;
    let table = tables.iter().find(|table| table.file == "paths.yaml").context("paths.yaml")?;
    let folder = tempfile::tempdir()?;
    let served = Served::start(&[&table.config], folder.path()).await?;
    let config = folder.path().join("paths.json");
    std::fs::write(&config, serde_json::to_vec(&table.config)?)?;
    let case = table.cases.iter().find(|case| case.request.host == "default.test").context("default.test")?;
    let entry = Entry::new(&table.config, &case.entry)?;
    let address = served.address(0, &entry)?;
    let mut different = Vec::new();
    for path in PATHS {
        let mut case = case.clone();
        case.request.path = (*path).to_owned();
        let request = Exact { method: "GET", target: path, host: &case.request.host, headers: &[] };
        let sent = request.send(address, None).await?;
        let seen = logged(&served, sent.from).await?.path;
        let explained = explain(&config, &entry, &case).await?.path.unwrap_or_else(|| (*path).to_owned());
        if explained != seen {
            different.push(format!("{path}: {seen} for Envoy, {explained} for explain"));
        }
    }
    ensure!(different.is_empty(), "{}", different.join("\n"));
    Ok(())
}

/// Asks the binary as a person would: by URL, with what a URL does not say as options.
async fn explain(config: &Path, entry: &Entry, case: &Case) -> Result<Explained> {
    let scheme = if entry.server_name.is_some() { "https" } else { "http" };
    let mut command = tokio::process::Command::new(tools::gatewasm()?);
    command.args(["explain", "-o", "json", "--gateway", &entry.gateway]).arg("-f").arg(config);
    if let Some(server_name) = &entry.server_name {
        command.args(["--sni", server_name]);
    }
    let host = &case.request.host;
    let plain = host.chars().all(|char| char.is_ascii_alphanumeric() || "-.".contains(char));
    let in_url = if plain && !host.is_empty() {
        host
    } else {
        command.args(["-H", &format!("Host: {host}")]);
        "host.invalid"
    };
    for (name, value) in &case.request.headers {
        command.args(["-H", &format!("{name}: {value}")]);
    }
    let url = format!("{scheme}://{in_url}:{}{}", entry.port, case.request.path);
    let output = command.arg(&case.request.method).arg(&url).output().await?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{command:?} printed {}", String::from_utf8_lossy(&output.stdout)))
}

async fn send(served: &Served, number: usize, entry: &Entry, case: &Case) -> Result<Did> {
    let request = Exact {
        method: &case.request.method,
        target: &case.request.path,
        host: &case.request.host,
        headers: &case.request.headers,
    };
    let sent = request.send(served.address(number, entry)?, served.tls(entry)).await?;
    let outcome = outcome(&sent.answer, case)?;
    let (answer, logged) = (sent.answer.clone(), logged(served, sent.from).await?);
    Ok(Did { outcome, answer, logged, _sent: sent })
}

/// The line of the access log for the connection from `client`.
async fn logged(served: &Served, client: SocketAddr) -> Result<Logged> {
    let mark = format!("\"{client}\"");
    let line = || {
        let output = served.envoy.output();
        output.lines().find(|line| line.starts_with('{') && line.contains(&mark)).map(str::to_owned)
    };
    let what = format!("a line of the access log for {client}");
    served.envoy.until(&what, LIMIT, async || Ok(line().is_some())).await?;
    let line = line().context(what)?;
    let logged: Logged = serde_json::from_str(&line).with_context(|| line.clone())?;
    ensure!(logged.client == client, "{line}");
    Ok(logged)
}

/// An answer of 200 is an echo's, which says its name, or one of gRPC, whose status is a header; every other is Envoy's or
/// the filter's.
fn outcome(answer: &Answer, case: &Case) -> Result<Outcome> {
    if let (Some(seen), Some(expected)) = (answer.headers.get("grpc-status"), case.expect.grpc_status) {
        ensure!(answer.status == 200 && *seen == expected.to_string(), "gRPC: {answer:?}");
        ensure!(
            answer.headers.get("content-type").is_some_and(|kind| kind == "application/grpc"),
            "{answer:?}"
        );
        return Ok(case.expect.outcome.clone());
    }
    // Chance has chosen otherwise than in the case: a share that is answered in gRPC.
    let other = case.expect.any_of.iter().find(|outcome| matches!(outcome, Outcome::Status(_)));
    if let (Some(_), Some(other)) = (answer.headers.get("grpc-status"), other) {
        return Ok(other.clone());
    }
    if answer.status != 200 {
        return Ok(Outcome::Status(answer.status));
    }
    let echoed = answer.echoed()?;
    ensure!(echoed.method == case.request.method, "the method arrived as {:?}", echoed.method);
    let leaked: Vec<_> = echoed.headers.keys().filter(|name| name.starts_with(wire::PREFIX)).collect();
    ensure!(leaked.is_empty(), "the backend saw {leaked:?}");
    Ok(Outcome::Cluster(echoed.backend))
}
