//! The table of features in `docs/conformance.md` is true: it has what the GatewayClass claims, what the suite's profiles
//! have, the tests that need each feature, and files that are there.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use gatewasm::source::{Input, Source};
use gatewasm::translate::{Options, translate};
use gatewasm_tests::suite::{Suite, suite};
use gatewasm_tests::tools::repository;

/// What `status.supportedFeatures` names, where the cluster's CRDs leave nothing out.
fn claimed() -> Result<BTreeSet<String>> {
    let class = r#"{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "c"},
        "spec": {"controllerName": "gatewasm.dev/controller"}}"#;
    let input = Input { path: "class.json".to_owned(), text: Ok(class.to_owned()) };
    let loaded = Source::default().update(&[input]);
    let translation = translate(&loaded.snapshot, &Options::default());
    let status = translation.statuses.gateway_classes.get("c").context("the class is not ours")?;
    Ok(status.supported_features.iter().map(|feature| feature.name.to_owned()).collect())
}

/// The rows of the table: its four cells after the feature.
fn table() -> Result<BTreeMap<String, [String; 4]>> {
    let text = std::fs::read_to_string(repository().join("docs/conformance.md"))?;
    let rows = text.lines().skip_while(|line| !line.starts_with("| Feature |")).skip(2);
    let mut table = BTreeMap::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<String> =
            row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        let cells: [String; 5] =
            cells.try_into().ok().with_context(|| format!("this row has not five cells: {row}"))?;
        let [feature, cells @ ..] = cells;
        ensure!(table.insert(feature.clone(), cells).is_none(), "{feature} is there twice");
    }
    Ok(table)
}

/// `all: Core`, or each profile with its levels.
fn profiles(suite: &Suite, feature: &str) -> String {
    let mut levels: Vec<(&str, Vec<&str>)> = Vec::new();
    for (profile, level) in suite.profiles.get(feature).into_iter().flatten() {
        match levels.iter_mut().find(|(name, _)| name == profile) {
            Some((_, levels)) => levels.push(level),
            None => levels.push((profile, vec![level])),
        }
    }
    match levels.as_slice() {
        [] => "none".to_owned(),
        [(_, first), rest @ ..] if rest.len() == 4 && rest.iter().all(|(_, levels)| levels == first) => {
            format!("all: {}", first.join(", "))
        }
        some => {
            let some = some.iter().map(|(profile, levels)| format!("{profile}: {}", levels.join(", ")));
            some.collect::<Vec<_>>().join("; ")
        }
    }
}

/// The tests at a feature. Every test needs Gateway and nearly every one a kind of route: at these stand the tests that
/// need nothing more special.
fn tests(suite: &Suite, feature: &str) -> String {
    let stands_here = |needed: &BTreeSet<&str>| {
        let special = needed.iter().any(|name| !suite.is_core(name));
        match feature {
            "Gateway" => needed.len() == 1,
            feature if suite.is_core(feature) => !special,
            _ => true,
        }
    };
    let names = suite.tests.iter().filter(|(_, needed)| needed.contains(feature) && stands_here(needed));
    let names: Vec<&str> = names.map(|(name, _)| *name).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[test]
fn the_table_has_what_is_claimed() -> Result<()> {
    let table: BTreeSet<String> = table()?.into_keys().collect();
    let claimed = claimed()?;
    ensure!(!claimed.is_empty(), "nothing is claimed");
    let differ: Vec<_> = table.symmetric_difference(&claimed).collect();
    ensure!(differ.is_empty(), "claimed and not in the table, or in it and not claimed: {differ:?}");
    Ok(())
}

#[test]
fn everything_that_the_suite_has_is_claimed() -> Result<()> {
    let claimed = claimed()?;
    let missing: Vec<_> = suite()?.features().into_iter().filter(|name| !claimed.contains(*name)).collect();
    ensure!(missing.is_empty(), "{missing:?}");
    Ok(())
}

#[test]
fn each_row_is_as_the_suite_has_it() -> Result<()> {
    let suite = suite()?;
    let mut named = BTreeSet::new();
    for (feature, [in_profiles, channel, its_tests, _]) in &table()? {
        let expected =
            if suite.experimental.contains(feature.as_str()) { "experimental" } else { "standard" };
        ensure!(channel == expected, "{feature}: its channel is {expected}");
        let expected = profiles(&suite, feature);
        ensure!(*in_profiles == expected, "{feature}: its profiles are: {expected}");
        let expected = tests(&suite, feature);
        ensure!(*its_tests == expected, "{feature}: its tests are: {expected}");
        named.extend(its_tests.split(", ").map(str::to_owned));
    }
    let left: Vec<_> = suite.tests.keys().filter(|test| !named.contains(**test)).collect();
    ensure!(left.is_empty(), "these tests stand at no feature: {left:?}");
    Ok(())
}

#[test]
fn each_row_names_files_that_are_there() -> Result<()> {
    for (feature, [.., files]) in &table()? {
        for file in files.split(", ") {
            let path = file.strip_prefix('`').and_then(|file| file.strip_suffix('`'));
            let path = path.with_context(|| format!("{feature}: {file:?} is not a path in `"))?;
            ensure!(repository().join(path).is_file(), "{feature}: there is no file {path}");
        }
    }
    Ok(())
}
