//! A case against the engine, wherever it is compiled to.

use gatewasm_routing::{Decision, Explanation, RouteTable};

use crate::case::{Case, Expect, Outcome};

/// What happened, in the terms of [`Expect`].
#[derive(Debug)]
struct Seen {
    /// `None` where an explanation leaves it to chance.
    outcome: Option<Outcome>,
    listener: Option<String>,
    route: Option<String>,
    rule: Option<usize>,
    match_index: Option<usize>,
}

/// Asks the engine for its decision and for its explanation; both must be as expected.
///
/// # Errors
/// What was expected and what was seen.
pub fn check(table: &RouteTable, case: &Case) -> Result<(), String> {
    let names: Vec<_> = case.request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let values = case.request.headers.iter().map(|(_, value)| value.as_bytes());
    let headers: Vec<_> = names.iter().map(|name| name.as_bytes()).zip(values).collect();
    let request = gatewasm_routing::Request {
        method: case.request.method.as_bytes(),
        authority: case.request.host.as_bytes(),
        path: case.request.path.as_bytes(),
        headers: &headers,
    };
    let decided = table.decide(case.entry.as_bytes(), &request, case.random);
    compare("decide", &case.expect, &Seen::decided(decided))?;
    compare("explain", &case.expect, &Seen::explained(table.explain(case.entry.as_bytes(), &request)))
}

fn compare(engine: &str, expect: &Expect, seen: &Seen) -> Result<(), String> {
    let outcome = match &seen.outcome {
        Some(outcome) => *outcome == expect.outcome,
        None => !expect.any_of.is_empty(),
    };
    let as_expected = outcome
        && (expect.listener.is_none() || expect.listener == seen.listener)
        && (expect.route.is_none() || expect.route == seen.route)
        && (expect.rule.is_none() || expect.rule == seen.rule)
        && (expect.match_index.is_none() || expect.match_index == seen.match_index);
    if as_expected { Ok(()) } else { Err(format!("{engine}: expected {expect:?}, saw {seen:?}")) }
}

impl Seen {
    fn decided(decision: Decision<'_>) -> Self {
        let (outcome, listener, matched) = match decision {
            Decision::Forward { cluster, matched } => {
                (Outcome::Cluster(cluster.to_owned()), Some(matched.listener), Some(matched))
            }
            Decision::Respond { status, listener, matched, .. } => {
                (Outcome::Status(status), listener, matched)
            }
        };
        Self {
            outcome: Some(outcome),
            listener: listener.map(str::to_owned),
            route: matched.map(|matched| format!("{}/{}", matched.route.namespace, matched.route.name)),
            rule: matched.map(|matched| matched.rule),
            match_index: matched.map(|matched| matched.match_index),
        }
    }

    fn explained(explanation: Explanation) -> Self {
        let decision = explanation.decision;
        let outcome = decision.status.map(Outcome::Status).or(decision.cluster.map(Outcome::Cluster));
        Self {
            outcome,
            listener: explanation.listener,
            route: explanation.route.map(|route| format!("{}/{}", route.namespace, route.name)),
            rule: explanation.rule,
            match_index: explanation.match_index,
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
        super::check(&compiled, &table.cases[0]).err()
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
        ] {
            assert!(failures(bad).is_some(), "{bad}");
        }
    }
}
