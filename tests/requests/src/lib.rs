//! The request table: cases of one config, one request and what must happen to it. Every engine runs the same files:
//! the engine natively, the engine in wasm32, and real Envoy. `README.md` beside the files describes their form.
//!
//! The files are part of the crate, because wasm32 under Node cannot read them; [`FILES`] lists them.

mod case;
mod check;
mod config;

pub use case::{Answered, Case, Expect, Headers, NO_POLICY, Outcome, Received, Request, Table};
pub use check::check;

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_str!(concat!("../", $name)))),*]
    };
}

/// Every file of the table with its text.
pub const FILES: &[(&str, &str)] = files! {
    "backends.yaml"
    "conformance-backends.yaml"
    "conformance-filters.yaml"
    "conformance-cors.yaml"
    "conformance-grpc.yaml"
    "conformance-listeners.yaml"
    "conformance-policies.yaml"
    "conformance.yaml"
    "cors.yaml"
    "filters.yaml"
    "grpc-answers.yaml"
    "grpc.yaml"
    "headers.yaml"
    "hosts.yaml"
    "https.yaml"
    "isolation.yaml"
    "methods.yaml"
    "paths.yaml"
    "policies.yaml"
    "precedence-pairs.yaml"
    "precedence.yaml"
    "prefixes.yaml"
    "query-params.yaml"
    "sessions.yaml"
    "ties.yaml"
};

/// Reads every file.
///
/// # Errors
/// The first fault, with the file's name.
pub fn tables() -> Result<Vec<Table>, String> {
    FILES
        .iter()
        .map(|(name, text)| Table::read(name, text).map_err(|fault| format!("{name}: {fault}")))
        .collect()
}

/// Runs every case on the engine, in the target that this is compiled for. Returns the number of cases.
///
/// # Errors
/// Every case that failed, one in a line, with its file and name.
pub fn run() -> Result<usize, String> {
    let mut failures = Vec::new();
    let mut count = 0;
    for table in tables()? {
        let file = &table.file;
        let compiled =
            gatewasm_routing::compile(&table.config).map_err(|problems| format!("{file}: {problems:?}"))?;
        for case in &table.cases {
            count += 1;
            if let Err(fault) = check(&table.config, &compiled, case) {
                failures.push(format!("{file}: {}: {fault}", case.name));
            }
        }
    }
    match (failures.is_empty(), count) {
        (true, 0) => Err("no cases were found".to_owned()),
        (true, count) => Ok(count),
        (false, _) => Err(failures.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_file_is_listed() {
        let folder = std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
        let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let found: BTreeSet<_> = names.filter(|name| name.ends_with(".yaml")).collect();
        let listed: BTreeSet<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(found, listed);
    }

    #[test]
    fn names_are_unique() {
        let mut seen = BTreeSet::new();
        for table in tables().unwrap() {
            for case in table.cases {
                assert!(seen.insert(case.name.clone()), "{}: {} stands twice", table.file, case.name);
            }
        }
    }
}
