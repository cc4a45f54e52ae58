//! Golden tests: each `tests/golden/<area>/<case>/in.yaml` is loaded and translated, and what comes of it is held to
//! the files beside it. `UPDATE_EXPECT=1` writes them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use expect_test::expect_file;
use gatewasm::problem::{self, Problem};
use gatewasm::render::{ConfigSource, render};
use gatewasm_tests::golden::{Run, cases, run};

/// A file beside `in.yaml`, and how its text is made; `None` where the case must not have it.
type Expected = (&'static str, fn(&Run) -> Option<String>);

const EXPECTED: &[Expected] = &[
    ("filter.json", |run| {
        Some(serde_json::to_string_pretty(&run.translation.model.filter_config).unwrap() + "\n")
    }),
    ("envoy.yaml", |run| {
        let settings = run.settings(ConfigSource::Ads, Path::new("gatewasm.wasm"));
        Some(render(&run.translation.model, &settings).to_yaml().unwrap())
    }),
    ("status.yaml", |run| Some(serde_saphyr::to_string(&run.translation.statuses).unwrap())),
    ("problems.txt", |run| {
        let problems: Vec<Problem> =
            run.loaded.problems.iter().chain(&run.translation.problems).cloned().collect();
        (!problems.is_empty()).then(|| problem::print(&problems, run.loaded.snapshot.len()))
    }),
];

#[test]
fn every_case_gives_what_is_expected() {
    let updating = std::env::var_os("UPDATE_EXPECT").is_some();
    assert!(!(updating && std::env::var_os("CI").is_some()), "expected files are not written in CI");
    let mut failed = Vec::new();
    for case in cases().unwrap() {
        let run = run(&case);
        for (file, text) in EXPECTED {
            let path = case.join(file);
            let matches = match text(&run) {
                Some(text) if updating || path.exists() => {
                    catch_unwind(AssertUnwindSafe(|| expect_file![&path].assert_eq(&text))).is_ok()
                }
                Some(text) => {
                    eprintln!("{} is missing; it would be:\n{text}", path.display());
                    false
                }
                None if updating && path.exists() => std::fs::remove_file(&path).is_ok(),
                None => !path.exists(),
            };
            if !matches {
                failed.push(path);
            }
        }
    }
    assert!(failed.is_empty(), "run again with UPDATE_EXPECT=1 if this is meant: {failed:#?}");
}

#[test]
fn there_are_no_other_files() {
    let known: BTreeSet<&str> =
        EXPECTED.iter().map(|(file, _)| *file).chain(["in.yaml", "about.md"]).collect();
    for case in cases().unwrap() {
        assert!(case.join("in.yaml").is_file(), "{} has no in.yaml", case.display());
        for entry in std::fs::read_dir(&case).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(known.contains(name.as_str()), "{}/{name} belongs to no case", case.display());
        }
    }
}

#[test]
fn every_filter_config_compiles_and_reads_back() {
    for case in cases().unwrap() {
        let config = run(&case).translation.model.filter_config;
        if let Err(problems) = gatewasm_routing::compile(&config) {
            panic!("{}: {problems:#?}", case.display());
        }
        let json = serde_json::to_vec(&config).unwrap();
        assert_eq!(gatewasm_routing::parse(&json).unwrap(), config, "{}", case.display());
    }
}
