//! The engine within a real Envoy, compared with the reference implementation: what arrives at the backends, what comes
//! back, and what the access log says, for generated rule sets and requests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use gatewasm_reference::cors::{Verdict, fault};
use gatewasm_reference::generate::{Options, RuleSet, rule_set};
use gatewasm_reference::outcome::{Action, Headers, Line, Question};
use gatewasm_reference::reference::Expected;
use gatewasm_reference::run::list;
use gatewasm_reference::{Expressions, Reference};
use gatewasm_routing::wire;
use tokio::task::JoinSet;

use crate::client::{Answer, Request};
use crate::connection::Connection;
use crate::served::{Logged, Served, prefixed};

/// Rule sets that are under way at a time.
const PARALLEL: usize = 8;

const LIMIT: Duration = Duration::from_secs(60);

/// How much is compared.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What everything follows from.
    pub seed: u64,
    /// Rule sets.
    pub rule_sets: u64,
    /// Requests of each.
    pub requests: usize,
    /// Rule sets that one Envoy serves.
    pub batch: u64,
    /// What is generated. Always what can be sent.
    pub options: Options,
}

/// What was compared, and found equal.
#[derive(Debug, Default)]
pub struct Report {
    /// Pairs of rule set and request.
    pub pairs: u64,
    /// Rule sets.
    pub rule_sets: u64,
    /// How long it took.
    pub time: Duration,
    /// How often each kind of outcome was seen.
    pub outcomes: BTreeMap<String, u64>,
}

/// A request that was answered, to be held to its line in the access log.
struct Sent {
    rule_set: usize,
    question: usize,
    from: SocketAddr,
    answer: Answer,
}

/// Compares as planned. The first difference is the error.
pub async fn compare(plan: Plan) -> Result<Report> {
    let begin = Instant::now();
    let mut report = Report::default();
    // A policy is Envoy's, and needs a configuration of its own.
    let options = Options { wire: true, policy: false, ..plan.options };
    let mut first = 0;
    while first < plan.rule_sets {
        let end = plan.rule_sets.min(first + plan.batch);
        let sets: Vec<RuleSet> =
            (first..end).map(|number| rule_set(plan.seed, number, plan.requests, options)).collect();
        batch(sets, &mut report).await.with_context(|| {
            format!("seed {}, rule sets {first} to {end} of {} requests", plan.seed, plan.requests)
        })?;
        first = end;
    }
    report.time = begin.elapsed();
    Ok(report)
}

async fn batch(sets: Vec<RuleSet>, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let configs: Vec<_> = sets.iter().map(|set| &set.config).collect();
    let served = Arc::new(Served::start(&configs, folder.path()).await?);
    let sets = Arc::new(sets);
    let mut work: JoinSet<Result<(Vec<Sent>, Vec<Connection>)>> = JoinSet::new();
    let (mut sent, mut connections) = (Vec::new(), Vec::new());
    for rule_set in 0..sets.len() {
        if work.len() == PARALLEL
            && let Some(done) = work.join_next().await
        {
            let (its, open) = done??;
            sent.extend(its);
            connections.extend(open);
        }
        let (sets, served) = (Arc::clone(&sets), Arc::clone(&served));
        work.spawn(async move { send_all(&served, rule_set, &sets[rule_set]).await });
    }
    while let Some(done) = work.join_next().await {
        let (its, open) = done??;
        sent.extend(its);
        connections.extend(open);
    }
    // The log tells requests apart by the client's address and their order: every connection is open until here.
    let mut logged = logged(&served, sent.len()).await?;
    drop(connections);

    let expressions = Expressions::default();
    for it in sent {
        let set = &sets[it.rule_set];
        let question = &set.questions[it.question];
        let line = logged.get_mut(&it.from).and_then(|lines| lines.next()).context("a line is missing")?;
        let reference = Reference::new(&set.config, &expressions);
        let expected = expected(&reference, question);
        check(&it, &line, question, &expected).with_context(|| {
            let expected = &expected.outcome;
            let config = serde_json::to_string(&set.config).unwrap_or_default();
            format!("{config}\n\n{question:?}\n\nexpected:\n{expected:?}\n\nseen:\n{:?}\n{line:?}", it.answer)
        })?;
        report.pairs += 1;
        *report.outcomes.entry(expected.outcome.kind()).or_default() += 1;
    }
    report.rule_sets += u64::try_from(sets.len())?;
    Ok(())
}

/// What the reference expects. The answers of the gateway itself begin without headers.
fn expected<'c>(reference: &Reference<'c>, question: &Question) -> Expected<'c> {
    let question = &Question { authority: without_dot(&question.authority), ..question.clone() };
    let expected = reference.answer(question);
    match expected.outcome.action {
        Action::Forward { .. } => expected,
        _ => reference.answer(&Question { answer: vec![], ..question.clone() }),
    }
}

/// A host as Envoy hands it on: without a trailing dot (`strip_trailing_host_dot`).
fn without_dot(authority: &[u8]) -> Vec<u8> {
    let port = authority.iter().position(|byte| *byte == b':').unwrap_or(authority.len());
    let (host, port) = authority.split_at(port);
    [host.strip_suffix(b".").unwrap_or(host), port].concat()
}

async fn send_all(served: &Served, rule_set: usize, set: &RuleSet) -> Result<(Vec<Sent>, Vec<Connection>)> {
    let mut connections = HashMap::<&str, Connection>::new();
    let (mut sent, mut closed) = (Vec::new(), Vec::new());
    for (index, question) in set.questions.iter().enumerate() {
        let entry = question.entry.as_str();
        if !connections.contains_key(entry) {
            connections.insert(entry, served.connect(rule_set, &set.config, entry).await?);
        }
        let connection = connections.get_mut(entry).context("connection")?;
        let answer = connection.send(&request(question)).await?;
        let from = connection.from;
        // Envoy closes after an answer with 400.
        if answer.headers.get("connection").is_some_and(|value| value == "close") {
            closed.extend(connections.remove(entry));
        }
        sent.push(Sent { rule_set, question: index, from, answer });
    }
    closed.extend(connections.into_values());
    Ok((sent, closed))
}

fn request(question: &Question) -> Request {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut headers = question.headers.clone();
    let lines = question.answer.iter().map(|(name, value)| format!("{name}:{}", text(value)));
    let lines: Vec<String> = lines.collect();
    headers.push(("x-echo-set-header".to_owned(), lines.join(", ").into_bytes()));
    Request {
        method: question.method.clone(),
        host: text(&question.authority),
        path: text(&question.path),
        headers,
    }
}

/// The lines of the access log by the client's address, once there are `count`.
async fn logged(served: &Served, count: usize) -> Result<HashMap<SocketAddr, std::vec::IntoIter<Logged>>> {
    let lines = || served.envoy.output().lines().filter(|line| line.starts_with('{')).count();
    let what = format!("{count} lines of the access log");
    served.envoy.until(&what, LIMIT, async || Ok(lines() >= count)).await?;
    let mut all = HashMap::<SocketAddr, Vec<Logged>>::new();
    for line in served.envoy.output().lines().filter(|line| line.starts_with('{')) {
        let logged: Logged = serde_json::from_str(line).with_context(|| line.to_owned())?;
        all.entry(logged.client).or_default().push(logged);
    }
    Ok(all.into_iter().map(|(client, lines)| (client, lines.into_iter())).collect())
}

fn check(it: &Sent, line: &Logged, question: &Question, expected: &Expected<'_>) -> Result<()> {
    let (cors, expected) = (expected.cors, &expected.outcome);
    let listener = expected.listener.as_ref().map(|name| prefixed(it.rule_set, name));
    ensure!(line.listener == listener, "another listener");
    let taken = expected.taken.as_ref();
    ensure!(line.route.as_ref() == taken.map(|taken| &taken.route), "another route");
    ensure!(line.rule == taken.map(|taken| taken.rule.to_string()), "another rule");
    let answer = &it.answer;
    let header = |name: &str| answer.headers.get(name).map(String::as_str);
    let answered = |status: u16, grpc_status: Option<u32>| {
        if !answered_with_grpc(question) {
            return answer.status == status;
        }
        let grpc_status = grpc_status.unwrap_or_else(|| translated(status)).to_string();
        answer.status == 200 && header("grpc-status") == Some(&grpc_status)
    };
    match &expected.action {
        Action::Forward { cluster, upstream, .. } => {
            ensure!(answer.status == 200, "status");
            if question.method != "HEAD" {
                let echoed = answer.echoed()?;
                ensure!(echoed.backend == *cluster, "another cluster");
                ensure!(echoed.method == question.method, "method");
                ensure!(echoed.path.as_bytes() == upstream.path, "path");
                ensure!(echoed.host.as_bytes() == upstream.authority, "host");
                let names = names(&question.headers);
                let (seen, own) = (known(&echoed.headers, &names), joined(&upstream.headers, &names));
                ensure!(seen == own, "request headers: {seen:?} and not {own:?}");
                let leaked = echoed.headers.keys().find(|name| name.starts_with(wire::PREFIX));
                ensure!(leaked.is_none(), "the backend saw {leaked:?}");
            }
        }
        Action::Redirect { status, location } => {
            ensure!(answered(*status, None) && header("location") == Some(location), "location");
        }
        Action::Respond { status, grpc_status } => ensure!(answered(*status, *grpc_status), "status"),
        Action::Preflight { status } => ensure!(answered(*status, None), "status"),
    }
    let mut names = names(&question.answer);
    names
        .extend(answer.headers.keys().filter(|name| name.starts_with("access-control-")).map(String::as_str));
    let (seen, own) = (known(&answer.headers, &names), joined(&expected.answer, &names));
    let Some(cors) = cors else {
        ensure!(seen == own, "answer: {seen:?} and not {own:?}");
        return Ok(());
    };
    let preflight = matches!(expected.action, Action::Preflight { .. });
    let own = joined(&expected.answer, &expected.answer.0.keys().map(String::as_str).collect());
    let [its, right] = [&seen, &own].map(|headers| Verdict::of(headers, question, cors, preflight));
    ensure!(its == right, "answer: a browser reads {its:?} and should read {right:?}");
    fault(&seen, question, cors).map_or(Ok(()), |fault| Err(anyhow!(fault)))
}

/// Whether Envoy answers a request as one of gRPC (decision record 0013).
fn answered_with_grpc(question: &Question) -> bool {
    let kind = question.header("content-type").and_then(|kind| kind.strip_prefix(b"application/grpc"));
    kind.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"+"))
}

/// The gRPC status that Envoy makes of one of HTTP (gRPC, `http-grpc-status-mapping.md`).
fn translated(status: u16) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// Headers that were sent, and those that filters change.
fn names(sent: &[Line]) -> BTreeSet<&str> {
    let own = sent.iter().map(|line| line.0.as_str());
    own.chain(["a", "x", "x-env", "y", "vary", "alt-svc", "access-control-allow-origin"]).collect()
}

/// Those of the headers, as one line each.
fn known(seen: &BTreeMap<String, String>, names: &BTreeSet<&str>) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in seen.iter().filter(|(name, _)| names.contains(name.as_str())) {
        headers.set(name, value.as_bytes());
    }
    headers
}

fn joined(expected: &Headers, names: &BTreeSet<&str>) -> Headers {
    let mut headers = Headers::default();
    for name in names {
        if let Some(value) = expected.joined(name) {
            headers.set(name, &value);
        }
    }
    headers
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (pairs, rule_sets, seconds) = (self.pairs, self.rule_sets, self.time.as_secs_f64());
        writeln!(
            f,
            "{pairs} pairs over {rule_sets} rule sets through Envoy in {seconds:.1} s: no difference"
        )?;
        f.write_str(&list(&self.outcomes))
    }
}
