//! Golden tests: each `tests/golden/<area>/<case>/in.yaml` is loaded and translated, and what comes of it is held to
//! the files beside it. `UPDATE_EXPECT=1` writes them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use gatewasm::problem::{self, Problem};
use gatewasm::source::{Input, Loaded, Source};
use gatewasm::translate::{Options, Translation, translate};

/// One case, run.
struct Run {
    loaded: Loaded,
    translation: Translation,
}

/// A file beside `in.yaml`, and how its text is made; `None` where the case must not have it.
type Expected = (&'static str, fn(&Run) -> Option<String>);

const EXPECTED: &[Expected] = &[
    ("filter.json", |run| {
        Some(serde_json::to_string_pretty(&run.translation.model.filter_config).unwrap() + "\n")
    }),
    ("status.yaml", |run| Some(serde_saphyr::to_string(&run.translation.statuses).unwrap())),
    ("problems.txt", |run| {
        let problems: Vec<Problem> =
            run.loaded.problems.iter().chain(&run.translation.problems).cloned().collect();
        (!problems.is_empty()).then(|| problem::print(&problems, run.loaded.snapshot.len()))
    }),
];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

/// Every `<area>/<case>`, sorted.
fn cases() -> Vec<PathBuf> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let mut folders: Vec<PathBuf> = entries.collect();
        folders.sort();
        folders
    };
    folders(&golden()).iter().flat_map(|area| folders(area)).collect()
}

fn run(case: &Path) -> Run {
    let text = std::fs::read_to_string(case.join("in.yaml")).map_err(|error| error.to_string());
    let loaded = Source::default().update(&[Input { path: "in.yaml".to_owned(), text }]);
    let translation = translate(&loaded.snapshot, &Options::default());
    Run { loaded, translation }
}

#[test]
fn every_case_gives_what_is_expected() {
    let updating = std::env::var_os("UPDATE_EXPECT").is_some();
    assert!(!(updating && std::env::var_os("CI").is_some()), "expected files are not written in CI");
    let mut failed = Vec::new();
    for case in cases() {
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
    for case in cases() {
        assert!(case.join("in.yaml").is_file(), "{} has no in.yaml", case.display());
        for entry in std::fs::read_dir(&case).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(known.contains(name.as_str()), "{}/{name} belongs to no case", case.display());
        }
    }
}

#[test]
fn every_filter_config_compiles_and_reads_back() {
    for case in cases() {
        let config = run(&case).translation.model.filter_config;
        if let Err(problems) = gatewasm_routing::compile(&config) {
            panic!("{}: {problems:#?}", case.display());
        }
        let json = serde_json::to_vec(&config).unwrap();
        assert_eq!(gatewasm_routing::parse(&json).unwrap(), config, "{}", case.display());
    }
}
