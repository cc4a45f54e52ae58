//! A case against the engine, wherever it is compiled to.

use gatewasm_routing::config::FilterConfig;
use gatewasm_routing::{Decision, ExplainedEdits, Explanation, HeaderEdit, RouteTable};

use crate::case::{Case, Expect, Headers, NO_POLICY, Outcome, Request};

/// What happened, in the terms of [`Expect`].
#[derive(Debug)]
struct Seen {
    /// `None` where an explanation leaves it to chance.
    outcome: Option<Outcome>,
    listener: Option<String>,
    route: Option<String>,
    rule: Option<usize>,
    match_index: Option<usize>,
    grpc_status: Option<u32>,
    policy: Option<String>,
    endpoint: Option<String>,
    location: Option<String>,
    edits: ExplainedEdits,
}

/// Asks the engine for its decision and for its explanation; both must be as expected. `table` is compiled from `config`.
///
/// # Errors
/// What was expected and what was seen.
pub fn check(config: &FilterConfig, table: &RouteTable, case: &Case) -> Result<(), String> {
    let names: Vec<_> = case.request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let values = case.request.headers.iter().map(|(_, value)| value.as_bytes());
    let headers: Vec<_> = names.iter().map(|name| name.as_bytes()).zip(values).collect();
    let request = gatewasm_routing::Request {
        method: case.request.method.as_bytes(),
        authority: case.request.host.as_bytes(),
        path: case.request.path.as_bytes(),
        headers: &headers,
    };
    let clock = || case.now;
    let decided = table.decide_at(case.entry.as_bytes(), &request, case.random, &clock);
    compare("decide", case, &Seen::decided(decided))?;
    let explained = table.explain_at(case.entry.as_bytes(), &request, &clock);
    names_every_match(config, &explained)?;
    compare("explain", case, &Seen::explained(explained, &case.expect))
}

/// An explanation names every match of the listener once, the winner first, and says of each other what it lost by or
/// which of its conditions does not hold.
fn names_every_match(config: &FilterConfig, explained: &Explanation) -> Result<(), String> {
    let listener =
        config.listeners.iter().find(|listener| Some(&listener.name) == explained.listener.as_ref());
    let mut expected: Vec<_> = listener
        .iter()
        .flat_map(|listener| &listener.routes)
        .flat_map(|route| {
            let name = format!("{} {}/{}", route.kind, route.namespace, route.name);
            let rules = route.rules.iter().enumerate();
            rules.flat_map(move |(rule, of)| {
                let name = name.clone();
                (0..of.matches.len().max(1)).map(move |place| (name.clone(), rule, place))
            })
        })
        .collect();
    let candidates = &explained.candidates;
    let mut named: Vec<_> =
        candidates.iter().map(|one| (one.route.to_string(), one.rule, one.match_index)).collect();
    expected.sort_unstable();
    named.sort_unstable();
    if named != expected {
        return Err(format!("explain: the listener has the matches {expected:?}, named are {named:?}"));
    }
    let winner = explained.route.as_ref().zip(explained.rule).zip(explained.match_index);
    let lost =
        winner.map(|((route, rule), place)| format!("lost to {route} rules[{rule}].matches[{place}]: "));
    let fault = candidates.iter().enumerate().find(|(place, one)| {
        let criterion = lost.as_ref().map(|lost| one.because.strip_prefix(lost.as_str()));
        let reasonless = one.because.is_empty()
            || criterion == Some(Some(""))
            || (one.because.starts_with("lost to ") && criterion.flatten().is_none());
        one.won != (*place == 0 && lost.is_some()) || reasonless
    });
    fault.map_or(Ok(()), |(_, one)| Err(format!("explain: {one:?} beside the winner {winner:?}")))
}

fn compare(engine: &str, case: &Case, seen: &Seen) -> Result<(), String> {
    let expect = &case.expect;
    let outcome = match &seen.outcome {
        Some(outcome) => *outcome == expect.outcome,
        None => !expect.any_of.is_empty(),
    };
    // What the engine does not say, Envoy makes of the status.
    let grpc_status = match (seen.grpc_status, &expect.outcome) {
        (None, Outcome::Status(status)) => Some(grpc_status_of(*status)),
        (status, _) => status,
    };
    let as_expected = outcome
        && (expect.grpc_status.is_none() || expect.grpc_status == grpc_status)
        && expect
            .policy
            .as_deref()
            .is_none_or(|policy| policy == seen.policy.as_deref().unwrap_or(NO_POLICY))
        && (expect.endpoint.is_none() || expect.endpoint == seen.endpoint)
        && (expect.listener.is_none() || expect.listener == seen.listener)
        && (expect.route.is_none() || expect.route == seen.route)
        && (expect.rule.is_none() || expect.rule == seen.rule)
        && (expect.match_index.is_none() || expect.match_index == seen.match_index);
    if !as_expected {
        return Err(format!("{engine}: expected {expect:?}, saw {seen:?}"));
    }
    let request = received(&case.request, &seen.edits);
    if let Some(backend) = &expect.backend {
        let path = seen.edits.path.as_ref().unwrap_or(&case.request.path);
        let host = seen.edits.host.as_ref().unwrap_or(&case.request.host);
        backend.check(path, host, &request).map_err(|fault| format!("{engine}: backend: {fault}"))?;
    }
    if let Some(answer) = &expect.answer {
        let answered = answered(&request, seen);
        answer.check(&answered).map_err(|fault| format!("{engine}: answer: {fault}"))?;
    }
    Ok(())
}

/// gRPC, "HTTP to gRPC Status Code Mapping".
fn grpc_status_of(status: u16) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The headers that a backend receives.
fn received(request: &Request, edits: &ExplainedEdits) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in &request.headers {
        append(&mut headers, &name.to_ascii_lowercase(), value);
    }
    apply(&mut headers, &edits.request_headers);
    headers
}

/// The headers that a client receives: of an echo (`tests/echo`), those that it was asked for.
fn answered(request: &Headers, seen: &Seen) -> Headers {
    let mut headers = Headers::new();
    if let Some(location) = &seen.location {
        append(&mut headers, "location", location);
    } else if matches!(seen.outcome, None | Some(Outcome::Cluster(_))) {
        let wanted = request.get("x-echo-set-header").map(String::as_str).unwrap_or_default();
        for (name, value) in wanted.split(',').filter_map(|header| header.split_once(':')) {
            append(&mut headers, &name.trim().to_ascii_lowercase(), value.trim());
        }
    }
    apply(&mut headers, &seen.edits.response_headers);
    headers
}

fn apply(headers: &mut Headers, edits: &[HeaderEdit]) {
    for edit in edits {
        match edit {
            HeaderEdit::Set { name, value } => {
                headers.insert(name.to_string(), value.to_string());
            }
            HeaderEdit::Add { name, value } => append(headers, name, value),
            HeaderEdit::Remove { name } => {
                headers.remove(name.as_ref());
            }
            HeaderEdit::RemovePrefix { prefix } => headers.retain(|name, _| !name.starts_with(&**prefix)),
        }
    }
}

fn append(headers: &mut Headers, name: &str, value: &str) {
    headers
        .entry(name.to_owned())
        .and_modify(|all| *all = format!("{all},{value}"))
        .or_insert_with(|| value.to_owned());
}

impl Seen {
    fn decided(decision: Decision<'_>) -> Self {
        let edits = ExplainedEdits::from(&decision);
        let (mut grpc_status, mut policy, mut endpoint) = (None, None, None);
        match &decision {
            Decision::Respond { grpc_status: status, .. } => grpc_status = *status,
            Decision::Forward { policy: name, session, .. } => {
                policy = name.map(str::to_owned);
                endpoint = session.as_ref().and_then(|session| session.endpoint()).map(str::to_owned);
            }
            Decision::Redirect { .. } => {}
        }
        let (outcome, location, listener, matched) = match decision {
            Decision::Forward { cluster, matched, .. } => {
                (Outcome::Cluster(cluster.to_owned()), None, Some(matched.listener), Some(matched))
            }
            Decision::Redirect { status, location, matched, .. } => {
                (Outcome::Status(status), Some(location), Some(matched.listener), Some(matched))
            }
            Decision::Respond { status, listener, matched, .. } => {
                (Outcome::Status(status), None, listener, matched)
            }
        };
        Self {
            outcome: Some(outcome),
            listener: listener.map(str::to_owned),
            route: matched.map(|matched| format!("{}/{}", matched.route.namespace, matched.route.name)),
            rule: matched.map(|matched| matched.rule),
            match_index: matched.map(|matched| matched.match_index),
            grpc_status,
            policy,
            endpoint,
            location,
            edits,
        }
    }

    /// Where backends differ, what is explained for the expected one.
    fn explained(explanation: Explanation, expect: &Expect) -> Self {
        let decision = explanation.decision;
        let chosen = explanation.backends.into_iter().find(|backend| match &expect.outcome {
            Outcome::Cluster(cluster) => backend.cluster.as_ref() == Some(cluster),
            Outcome::Status(500) => backend.invalid.is_some(),
            Outcome::Status(_) => backend.location.is_some(),
        });
        let policy = chosen.as_ref().and_then(|chosen| chosen.policy.clone());
        let (location, edits) = chosen.map_or((None, None), |chosen| (chosen.location, chosen.edits));
        let outcome = decision.status.map(Outcome::Status).or(decision.cluster.map(Outcome::Cluster));
        Self {
            outcome,
            listener: explanation.listener,
            route: explanation.route.map(|route| format!("{}/{}", route.namespace, route.name)),
            rule: explanation.rule,
            match_index: explanation.match_index,
            // Of a share that chance may choose, nothing is said for all.
            grpc_status: decision.grpc_status.or(expect.grpc_status.filter(|_| decision.status.is_none())),
            policy: decision.policy.or(policy),
            endpoint: explanation.session.and_then(|session| session.endpoint),
            location: decision.location.or(location),
            edits: edits.unwrap_or(explanation.edits),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::case::Table;

    /// What a table reports whose one case expects this of a request that goes to cluster `a`.
    fn failures(expect: &str) -> Option<String> {
        let text = format!(
            "description: x\nlisteners: [{{routes: [{{name: r, rules: [{{cluster: a}}]}}]}}]\n\
             cases: [{{name: c, request: {{host: h}}, expect: {expect}}}]\n"
        );
        let table = Table::read("test.yaml", &text).unwrap();
        let compiled = gatewasm_routing::compile(&table.config).unwrap();
        super::check(&table.config, &compiled, &table.cases[0]).err()
    }

    #[test]
    fn every_part_of_an_expectation_counts() {
        let good = "{cluster: a, listener: infra/web/http, route: default/r, rule: 0, match: 0}";
        assert_eq!(failures(good), None);
        for bad in [
            "{cluster: b}",
            "{status: 404}",
            "{cluster: a, listener: infra/web/other}",
            "{cluster: a, route: default/other}",
            "{cluster: a, rule: 1}",
            "{cluster: a, match: 1}",
            "{cluster: a, policy: p-x}",
            "{cluster: a, endpoint: \"10.0.0.1:80\"}",
            "{cluster: a, grpcStatus: 0}",
            "{cluster: a, backend: {path: /other}}",
            "{cluster: a, backend: {host: other}}",
            "{cluster: a, backend: {headers: [\"a: b\"]}}",
            "{cluster: a, answer: {headers: [\"a: b\"]}}",
        ] {
            assert!(failures(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn an_explanation_without_a_candidate_or_a_reason_is_found() {
        let text = "description: x\nlisteners: [{routes: [{name: r, rules: [{cluster: a}, {cluster: b}]}]}]\n\
                    cases: [{name: c, request: {host: h}, expect: {cluster: a}}]\n";
        let table = Table::read("test.yaml", text).unwrap();
        let compiled = gatewasm_routing::compile(&table.config).unwrap();
        let request = gatewasm_routing::Request { method: b"GET", authority: b"h", path: b"/", headers: &[] };
        let sound = compiled.explain(b"infra/web:80", &request);
        assert_eq!(super::names_every_match(&table.config, &sound), Ok(()));
        let mut short = sound.clone();
        short.candidates.pop();
        let mut silent = sound.clone();
        silent.candidates[1].because = "lost to HTTPRoute default/r rules[0].matches[0]: ".to_owned();
        let mut wrong = sound;
        wrong.candidates[1].because = "lost to HTTPRoute default/r rules[1].matches[0]: later".to_owned();
        for bad in [short, silent, wrong] {
            assert!(super::names_every_match(&table.config, &bad).is_err(), "{bad:?}");
        }
    }
}
