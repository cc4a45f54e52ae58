//! `gatewasm routes`: what is programmed, in order of precedence.

use anyhow::Result;
use gatewasm_routing::{ExplainedBackend, Listed};

use super::FINE;
use super::inputs::Inputs;
use super::output::{Output, table};

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
                "invalid, answers 500".to_owned()
            } else if let Some(status) = listed.redirect {
                format!("redirects with {status}")
            } else {
                backends(&listed.backends)
            },
        ]
    }));
    table(&rows)
}

/// `a/b/80`, or with shares `a/b/80 80%, a/c/80 20%`.
fn backends(backends: &[ExplainedBackend]) -> String {
    let total: u64 = backends.iter().map(|backend| u64::from(backend.weight)).sum();
    if total == 0 {
        return "none, answers 500".to_owned();
    }
    let shares = backends.iter().map(|backend| {
        let name = backend.cluster.as_deref().unwrap_or("invalid, answers 500");
        if backends.len() == 1 {
            name.to_owned()
        } else {
            format!("{name} {}", percent(backend.weight, total))
        }
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
    use super::percent;

    #[test]
    fn shares_are_rounded_to_a_tenth() {
        assert_eq!(percent(80, 100), "80%");
        assert_eq!(percent(1, 3), "33.3%");
        assert_eq!(percent(0, 3), "0%");
    }
}
