//! What ARCHITECTURE.md promises about the sources, as far as reading them shows it, and that the documents speak of
//! what is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, ensure};
use gatewasm_tests::requests::tables;
use gatewasm_tests::tools::repository;

/// Every file of the repository with this extension, build results left out.
fn files(extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![repository().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let hidden =
                name.to_string_lossy().starts_with('.') || name == "target" || name == "node_modules";
            if entry.file_type()?.is_dir() && !hidden {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|its| its == extension) {
                found.push(entry.path());
            }
        }
    }
    ensure!(!found.is_empty(), "there are no *.{extension}");
    found.sort();
    Ok(found)
}

fn relative(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap_or(path).display().to_string()
}

/// The Rust files below these folders whose code has one of these texts, except in comments. Tests within them count.
fn files_with(folders: &[&str], texts: &[&str]) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for path in files("rs")? {
        let name = relative(&path);
        let text = std::fs::read_to_string(&path)?;
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        if folders.iter().any(|folder| name.starts_with(folder))
            && code.into_iter().any(|line| texts.iter().any(|text| line.contains(text)))
        {
            found.insert(name);
        }
    }
    Ok(found)
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// Invariant 1, the dependencies.
#[test]
fn routing_depends_on_no_io() -> Result<()> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(repository()).args(["tree", "--locked", "--package", "gatewasm-routing"]);
    cargo.args(["--target", "wasm32-unknown-unknown", "--edges", "normal", "--prefix", "none"]);
    let output = cargo.args(["--format", "{p}"]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout)?;
    let packages: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    ensure!(packages.contains("gatewasm-routing") && packages.contains("serde_json"), "{tree}");
    for forbidden in
        ["proxy-wasm", "kube", "k8s-openapi", "tokio", "hyper", "getrandom", "rand", "mio", "libc"]
    {
        ensure!(!packages.contains(forbidden), "routing depends on {forbidden}:\n{tree}");
    }
    Ok(())
}

/// Invariant 1, the standard library.
#[test]
fn routing_does_no_io() -> Result<()> {
    let texts = [
        "std::fs",
        "std::net",
        "std::time",
        "std::env",
        "std::thread",
        "std::process",
        "std::io",
        "println!",
    ];
    assert_eq!(files_with(&["routing/src"], &texts)?, names([]));
    // What this would find, were it there.
    assert!(!files_with(&["controller/src"], &texts)?.is_empty());
    Ok(())
}

/// Invariant 4.
#[test]
fn precedence_is_the_only_order() -> Result<()> {
    let orders = files_with(&["routing/src", "filter/src"], &["impl Ord for", "impl PartialOrd for"])?;
    assert_eq!(orders, names(["routing/src/precedence.rs"]));
    // Whoever sorts matches sorts by that order: who names it is a short list.
    let users = files_with(&["routing/src", "filter/src", "controller/src"], &["Precedence"])?;
    let expected = ["explain", "list", "precedence", "table"];
    assert_eq!(users, expected.map(|name| format!("routing/src/{name}.rs")).into());
    Ok(())
}

#[test]
fn unsafe_is_where_it_is_said_to_be() -> Result<()> {
    let places = files_with(
        &["routing/", "filter/", "controller/", "tests/src"],
        &["unsafe {", "unsafe fn", "unsafe extern", "unsafe impl", "unsafe("],
    )?;
    assert_eq!(places, names(["controller/src/envoy/process.rs", "filter/src/host.rs"]));
    Ok(())
}

#[test]
fn translate_and_render_are_pure() -> Result<()> {
    let folders = [
        "controller/src/translate",
        "controller/src/render",
        "controller/src/status",
        "controller/src/provision",
    ];
    let texts = [
        "std::fs",
        "std::env",
        // A length of time is data; to ask what time it is is not pure.
        "SystemTime",
        "Instant",
        "HashMap",
        "HashSet",
        "tokio::",
        "rand",
    ];
    assert_eq!(files_with(&folders, &texts)?, names([]));
    Ok(())
}

#[test]
fn every_file_says_what_it_is_for() -> Result<()> {
    for path in files("rs")? {
        let text = std::fs::read_to_string(&path)?;
        ensure!(text.starts_with("//! "), "{} does not begin with //!", relative(&path));
    }
    Ok(())
}

/// Paths (`routing/src/wire.rs`, `controller/src/api/`) and items (`routing::compile`) in ARCHITECTURE.md are there.
#[test]
fn the_architecture_speaks_of_what_is_there() -> Result<()> {
    let text = std::fs::read_to_string(repository().join("ARCHITECTURE.md"))?;
    let quoted: BTreeSet<&str> = text.split('`').skip(1).step_by(2).collect();
    let (mut paths, mut items) = (0, 0);
    for name in quoted {
        if name.ends_with(".rs") || name.ends_with('/') {
            ensure!(repository().join(name).exists(), "ARCHITECTURE.md: {name} does not exist");
            paths += 1;
        } else if let Some((module, item)) = name.rsplit_once("::") {
            ensure!(defines(module, item)?, "ARCHITECTURE.md: {module} has no {item}");
            items += 1;
        }
    }
    ensure!(paths > 15 && items > 2, "only {paths} paths and {items} items were found");
    Ok(())
}

/// Whether a module (of the controller, or a crate), or an `impl` in it, has such an item.
fn defines(module: &str, item: &str) -> Result<bool> {
    let (folders, within): (&[&str], _) = match module {
        "routing" => (&["routing/src/"], None),
        module if module.starts_with(char::is_uppercase) => {
            (&["routing/src/", "controller/src/"], Some(module))
        }
        module => (&[&format!("controller/src/{module}/"), &format!("controller/src/{module}.rs")], None),
    };
    let kinds = ["async fn", "fn", "struct", "enum", "trait", "mod"];
    for path in files("rs")? {
        let text = std::fs::read_to_string(&path)?;
        let defined = kinds.iter().any(|kind| {
            text.match_indices(&format!("pub {kind} {item}")).any(|(at, found)| {
                text[at + found.len()..].starts_with(|char: char| !char.is_alphanumeric() && char != '_')
            })
        });
        if folders.iter().any(|folder| relative(&path).starts_with(folder))
            && defined
            && within.is_none_or(|name| text.contains(&format!("impl {name}")))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Decision record 0017 says of each point which cases of the request table, golden files or tests hold it.
#[test]
fn what_the_specification_leaves_undefined_is_tested() -> Result<()> {
    let text =
        std::fs::read_to_string(repository().join("docs/decisions/0017-undefined-by-the-specification.md"))?;
    let tables = tables().map_err(|fault| anyhow!(fault))?;
    let cases: Vec<&str> =
        tables.iter().flat_map(|table| &table.cases).map(|case| case.name.as_str()).collect();
    let mut sources = String::new();
    for path in files("rs")? {
        sources += &std::fs::read_to_string(path)?;
    }
    let is_there = |name: &str| match name.strip_prefix('…') {
        Some(end) => cases.iter().any(|case| case.ends_with(end)),
        None if name.contains('/') => repository().join(name).exists(),
        None if name.contains('.') => tables.iter().any(|table| table.file == name),
        None => cases.contains(&name) || sources.contains(&format!("fn {name}()")),
    };
    let points = text.lines().filter(|line| line.starts_with("| ")).skip(2);
    let mut count = 0;
    for point in points {
        let held_by = point.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        let names: Vec<&str> = held_by.split('`').skip(1).step_by(2).collect();
        ensure!(!names.is_empty(), "0017: nothing holds {point}");
        for name in names {
            ensure!(is_there(name), "0017: there is no {name}");
        }
        count += 1;
    }
    ensure!(count > 10, "only {count} points were found");
    Ok(())
}

/// Relative links lead to files, and with `#` to one of their headings.
#[test]
fn links_lead_somewhere() -> Result<()> {
    let mut count = 0;
    for path in files("md")? {
        let text = std::fs::read_to_string(&path)?;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().context("folder")?.join(file),
            };
            ensure!(target.exists(), "{}: {link} does not exist", relative(&path));
            if !heading.is_empty() {
                let headings = headings(&std::fs::read_to_string(&target)?);
                ensure!(headings.contains(heading), "{}: {link} is no heading", relative(&path));
            }
            count += 1;
        }
    }
    ensure!(count > 5, "only {count} links were found");
    Ok(())
}

/// Anchors of a Markdown file, as GitHub makes them.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter_map(|line| line.strip_prefix('#'));
    let anchor = |title: &str| -> String {
        let title = title.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        title.chars().filter(|char| char.is_alphanumeric() || "-_".contains(*char)).collect()
    };
    titles.map(anchor).collect()
}
