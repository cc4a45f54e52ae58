//! `gatewasm routes`: what is programmed, in order of precedence.

use anyhow::Result;
use gatewasm_routing::config::RouteKind;
use gatewasm_routing::{ExplainedBackend, Listed};
use serde::Serialize;

use super::FINE;
use super::inputs::Inputs;
use super::output::{Output, table};
use super::streams;
use crate::translate::failure;

/// Arguments of `gatewasm routes`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    inputs: Inputs,

    /// Form of the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &Args) -> Result<u8> {
    let (model, routes) = args.inputs.table()?;
    let http = routes.list().into_iter().map(Row::Http);
    let list: Vec<Row> = http.chain(streams::list(&model).into_iter().map(Row::Stream)).collect();
    args.output.print(&list, |list| text(list))?;
    Ok(FINE)
}

/// One line of the list: a match of a route that is read as HTTP, or an L4 route.
#[derive(Serialize)]
#[serde(untagged)]
enum Row {
    Http(Listed),
    Stream(streams::Listed),
}

fn text(list: &[Row]) -> String {
    let heading = ["LISTENER", "HOSTNAME", "PATH", "CONDITIONS", "ROUTE", "RULE", "BACKENDS"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(list.iter().map(|row| {
        let listed = match row {
            Row::Http(listed) => listed,
            Row::Stream(listed) => return stream(listed),
        };
        let conditions =
            if listed.conditions.is_empty() { "-".to_owned() } else { listed.conditions.join(", ") };
        vec![
            listed.listener.clone(),
            listed.hostname.clone().unwrap_or_else(|| "*".to_owned()),
            format!("{:?} {}", listed.path_type, listed.path),
            conditions,
            listed.route.to_string(),
            format!("rules[{}].matches[{}]", listed.rule, listed.match_index),
            if listed.invalid.is_some() {
                format!("invalid, answers {}", failure(listed.route.kind))
            } else if let Some(status) = listed.redirect {
                format!("redirects with {status}")
            } else {
                backends(&listed.backends, listed.route.kind)
            },
        ]
    }));
    table(&rows)
}

/// The line of an L4 route. It has no path and no conditions.
fn stream(listed: &streams::Listed) -> Vec<String> {
    let none = || "-".to_owned();
    vec![
        listed.listener.clone(),
        listed.hostname.clone().unwrap_or_else(|| "*".to_owned()),
        none(),
        none(),
        listed.route.to_string(),
        "rules[0]".to_owned(),
        match &listed.overruled {
            Some(by) => format!("nothing, {by} gets it"),
            None => {
                let backends = listed.backends.iter();
                shares(backends.map(|it| (it.cluster.as_deref(), it.weight)).collect(), listed.failure())
            }
        },
    ]
}

fn backends(backends: &[ExplainedBackend], kind: RouteKind) -> String {
    let backends = backends.iter().map(|it| (it.cluster.as_deref(), it.weight));
    shares(backends.collect(), &format!("answers {}", failure(kind)))
}

/// `a/b/80`, or with shares `a/b/80 80%, a/c/80 20%`. What cannot be used fails in this way.
fn shares(backends: Vec<(Option<&str>, u32)>, fails: &str) -> String {
    let total: u64 = backends.iter().map(|(_, weight)| u64::from(*weight)).sum();
    if total == 0 {
        return format!("none, {fails}");
    }
    let alone = backends.len() == 1;
    let shares = backends.into_iter().map(|(cluster, weight)| {
        let name = cluster.map_or_else(|| format!("invalid, {fails}"), ToOwned::to_owned);
        if alone { name } else { format!("{name} {}", percent(weight, total)) }
    });
    shares.collect::<Vec<_>>().join(", ")
}

/// The share of `weight` in `total`, with one decimal place where it needs one.
fn percent(weight: u32, total: u64) -> String {
    let tenths = (u64::from(weight) * 1000 + total / 2) / total;
    if tenths.is_multiple_of(10) {
        format!("{}%", tenths / 10)
    } else {
        format!("{}.{}%", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use gatewasm_routing::{compile, parse};

    use super::{Row, percent, text};

    #[test]
    fn what_cannot_be_served_is_named_as_it_is_answered() {
        let rules = r#"[{"invalid": "no"}, {}, {"backends": [{"invalid": "gone"}]}]"#;
        for (kind, answer) in [("HTTPRoute", "500"), ("GRPCRoute", "UNAVAILABLE")] {
            let route = format!(r#"{{"kind": "{kind}", "namespace": "n", "name": "r", "rules": {rules}}}"#);
            let config = format!(
                r#"{{"version": 1, "listeners": [{{"name": "a/b/c", "gateway": "a/b", "port": 80,
                    "protocol": "HTTP", "routes": [{route}]}}]}}"#
            );
            let table = compile(&parse(config.as_bytes()).unwrap()).unwrap();
            let listed = text(&table.list().into_iter().map(Row::Http).collect::<Vec<_>>());
            for (line, what) in listed.lines().skip(1).zip(["invalid", "none", "invalid"]) {
                assert!(line.ends_with(&format!("{what}, answers {answer}")), "{listed}");
            }
            assert_eq!(listed.lines().count(), 4, "{listed}");
        }
    }

    #[test]
    fn shares_are_rounded_to_a_tenth() {
        assert_eq!(percent(80, 100), "80%");
        assert_eq!(percent(1, 3), "33.3%");
        assert_eq!(percent(0, 3), "0%");
    }
}
