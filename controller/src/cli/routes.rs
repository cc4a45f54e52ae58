//! `gatewasm routes`: what is programmed, in order of precedence.

use anyhow::Result;
use gatewasm_routing::config::RouteKind;
use gatewasm_routing::{ExplainedBackend, Listed};

use super::FINE;
use super::inputs::Inputs;
use super::output::{Output, table};
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
    let (_, routes, _) = args.inputs.table()?;
    args.output.print(&routes.list(), |list| text(list))?;
    Ok(FINE)
}

fn text(list: &[Listed]) -> String {
    let heading = ["LISTENER", "HOSTNAME", "PATH", "CONDITIONS", "ROUTE", "RULE", "BACKENDS"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(list.iter().map(|listed| {
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

/// `a/b/80`, or with shares `a/b/80 80%, a/c/80 20%`.
fn backends(backends: &[ExplainedBackend], kind: RouteKind) -> String {
    let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
    if total == 0 {
        return format!("none, answers {}", failure(kind));
    }
    let shares = backends.iter().map(|backend| {
        let invalid = || format!("invalid, answers {}", failure(kind));
        let name = backend.cluster.clone().unwrap_or_else(invalid);
        if backends.len() == 1 { name } else { format!("{name} {}", percent(backend.weight, total)) }
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

    use super::{percent, text};

    #[test]
    fn what_cannot_be_served_is_named_as_it_is_answered() {
        let rules = r#"[{"invalid": "no"}, {}, {"backends": [{"invalid": "gone"}]}]"#;
        for (kind, answer) in [("HTTPRoute", "500"), ("GRPCRoute", "UNAVAILABLE")] {
            let route = format!(r#"{{"kind": "{kind}", "namespace": "n", "name": "r", "rules": {rules}}}"#);
            let config = format!(
                r#"{{"version": 1, "listeners": [{{"name": "a/b/c", "gateway": "a/b", "port": 80,
                    "protocol": "HTTP", "routes": [{route}]}}]}}"#
            );
            let listed = text(&compile(&parse(config.as_bytes()).unwrap()).unwrap().list());
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
