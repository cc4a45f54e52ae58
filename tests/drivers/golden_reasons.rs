//! Every condition that gatewasm can set has a golden case with its reason, or a test elsewhere, which is named; and every
//! reason in the sources is known here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use gatewasm_tests::golden::cases;
use gatewasm_tests::tools::repository;
use serde_json::Value;

/// Kind, or `kind/listener` of its listeners; type; status; reasons.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

/// What the types of Gateway API v1.6.1 name, as far as gatewasm says it, and what it says besides. `HTTPRoute` and the
/// others have one row each: a reason that one kind has a case for is none of another's.
const GOLDEN: &[Row] = &[
    ("GatewayClass", "Accepted", "True", &["Accepted"]),
    ("GatewayClass", "Accepted", "False", &["InvalidParameters"]),
    ("Gateway", "Accepted", "True", &["Accepted", "ListenersNotValid"]),
    ("Gateway", "Accepted", "False", &["InvalidParameters", "ListenersNotValid", "UnsupportedAddress"]),
    ("Gateway", "Programmed", "True", &["Programmed"]),
    ("Gateway", "Programmed", "False", &["Invalid"]),
    ("Gateway", "ResolvedRefs", "True", &["ResolvedRefs"]),
    (
        "Gateway",
        "ResolvedRefs",
        "False",
        &["InvalidClientCertificateRef", "ListenersNotResolved", "RefNotPermitted"],
    ),
    ("Gateway", "InsecureFrontendValidationMode", "True", &["ConfigurationChanged"]),
    ("Gateway/listener", "Accepted", "True", &["Accepted"]),
    (
        "Gateway/listener",
        "Accepted",
        "False",
        &[
            "HostnameConflict",
            "NoValidCACertificate",
            "ProtocolConflict",
            "UnsupportedProtocol",
            "UnsupportedValue",
        ],
    ),
    ("Gateway/listener", "Conflicted", "True", &["HostnameConflict", "ProtocolConflict"]),
    ("Gateway/listener", "OverlappingTLSConfig", "True", &["OverlappingHostnames"]),
    ("Gateway/listener", "Programmed", "True", &["Programmed"]),
    ("Gateway/listener", "Programmed", "False", &["HostnameConflict", "Invalid", "ProtocolConflict"]),
    ("Gateway/listener", "ResolvedRefs", "True", &["ResolvedRefs"]),
    (
        "Gateway/listener",
        "ResolvedRefs",
        "False",
        &[
            "InvalidCACertificateKind",
            "InvalidCACertificateRef",
            "InvalidCertificateRef",
            "InvalidRouteKinds",
            "RefNotPermitted",
        ],
    ),
    ("ListenerSet", "Accepted", "True", &["Accepted", "ListenersNotValid"]),
    ("ListenerSet", "Accepted", "False", &["ListenersNotValid", "NotAllowed", "ParentNotAccepted"]),
    ("ListenerSet", "Programmed", "True", &["Programmed"]),
    ("ListenerSet", "Programmed", "False", &["ListenersNotValid", "NotAllowed", "ParentNotProgrammed"]),
    ("ListenerSet/listener", "Accepted", "True", &["Accepted"]),
    (
        "ListenerSet/listener",
        "Accepted",
        "False",
        &["HostnameConflict", "ProtocolConflict", "UnsupportedProtocol"],
    ),
    ("ListenerSet/listener", "Conflicted", "True", &["HostnameConflict", "ProtocolConflict"]),
    ("ListenerSet/listener", "Programmed", "True", &["Programmed"]),
    ("ListenerSet/listener", "Programmed", "False", &["HostnameConflict", "Invalid", "ProtocolConflict"]),
    ("ListenerSet/listener", "ResolvedRefs", "True", &["ResolvedRefs"]),
    (
        "ListenerSet/listener",
        "ResolvedRefs",
        "False",
        &["InvalidCertificateRef", "InvalidRouteKinds", "RefNotPermitted"],
    ),
    ("HTTPRoute", "Accepted", "True", &["Accepted"]),
    (
        "HTTPRoute",
        "Accepted",
        "False",
        &[
            "IncompatibleFilters",
            "NoMatchingListenerHostname",
            "NoMatchingParent",
            "NotAllowedByListeners",
            "UnsupportedValue",
        ],
    ),
    ("HTTPRoute", "PartiallyInvalid", "True", &["UnsupportedValue"]),
    ("HTTPRoute", "ResolvedRefs", "True", &["ResolvedRefs"]),
    (
        "HTTPRoute",
        "ResolvedRefs",
        "False",
        &[
            "BackendNotFound",
            "InvalidBackendTLSPolicy",
            "InvalidKind",
            "RefNotPermitted",
            "UnsupportedProtocol",
            "UnsupportedValue",
        ],
    ),
    ("GRPCRoute", "Accepted", "True", &["Accepted"]),
    (
        "GRPCRoute",
        "Accepted",
        "False",
        &["NoMatchingListenerHostname", "NoMatchingParent", "NotAllowedByListeners", "UnsupportedValue"],
    ),
    ("GRPCRoute", "PartiallyInvalid", "True", &["UnsupportedValue"]),
    ("GRPCRoute", "ResolvedRefs", "True", &["ResolvedRefs"]),
    (
        "GRPCRoute",
        "ResolvedRefs",
        "False",
        &["BackendNotFound", "InvalidKind", "RefNotPermitted", "UnsupportedProtocol", "UnsupportedValue"],
    ),
    ("TLSRoute", "Accepted", "True", &["Accepted"]),
    (
        "TLSRoute",
        "Accepted",
        "False",
        &["NoMatchingListenerHostname", "NoMatchingParent", "NotAllowedByListeners", "UnsupportedValue"],
    ),
    ("TLSRoute", "ResolvedRefs", "True", &["ResolvedRefs"]),
    (
        "TLSRoute",
        "ResolvedRefs",
        "False",
        &["BackendNotFound", "InvalidBackendTLSPolicy", "InvalidKind", "RefNotPermitted", "UnsupportedValue"],
    ),
    ("TCPRoute", "Accepted", "True", &["Accepted"]),
    ("TCPRoute", "Accepted", "False", &["NoMatchingParent", "NotAllowedByListeners", "UnsupportedValue"]),
    ("TCPRoute", "ResolvedRefs", "True", &["ResolvedRefs"]),
    (
        "TCPRoute",
        "ResolvedRefs",
        "False",
        &["BackendNotFound", "InvalidKind", "RefNotPermitted", "UnsupportedValue"],
    ),
    ("UDPRoute", "Accepted", "True", &["Accepted"]),
    ("UDPRoute", "Accepted", "False", &["NoMatchingParent", "NotAllowedByListeners", "UnsupportedValue"]),
    ("UDPRoute", "ResolvedRefs", "True", &["ResolvedRefs"]),
    (
        "UDPRoute",
        "ResolvedRefs",
        "False",
        &["BackendNotFound", "InvalidKind", "RefNotPermitted", "UnsupportedValue"],
    ),
    ("BackendTLSPolicy", "Accepted", "True", &["Accepted"]),
    (
        "BackendTLSPolicy",
        "Accepted",
        "False",
        &["Conflicted", "Invalid", "NoValidCACertificate", "TargetNotFound"],
    ),
    ("BackendTLSPolicy", "ResolvedRefs", "True", &["ResolvedRefs"]),
    ("BackendTLSPolicy", "ResolvedRefs", "False", &["InvalidCACertificateRef", "InvalidKind"]),
];

/// Reasons that manifests alone do not give, and the file whose tests have them.
const ELSEWHERE: [(&str, &str); 7] = [
    ("AddressNotAssigned", "controller/src/provision/addresses.rs"),
    ("AddressNotUsable", "controller/src/provision/addresses.rs"),
    ("Pending", "controller/src/data_plane/programmed.rs"),
    ("PortUnavailable", "controller/src/translate/tests.rs"),
    ("SupportedVersion", "controller/src/cluster/crds.rs"),
    ("UnsupportedVersion", "controller/src/cluster/crds.rs"),
    ("UnusedBackend", "controller/src/translate/tests.rs"),
];

/// Words in the sources that look like reasons and are none: kinds, types, values, beginnings of sentences.
const OTHER_WORDS: &[&str] = &[
    "BackendTLSPolicy",
    "ClientIP",
    "ClusterIP",
    "ConfigMap",
    "DoesNotExist",
    "EndpointSlice",
    "ExternalName",
    "GatewayClass",
    "HTTPRoute",
    "GRPCRoute",
    "IPAddress",
    "InsecureFrontendValidationMode",
    "ListenerSet",
    "LoadBalancer",
    "NotIn",
    "OverlappingTLSConfig",
    "PartiallyInvalid",
    "ReferenceGrant",
    "TCPRoute",
    "TLSRoute",
    "UDPRoute",
];

/// Where conditions and problems are made.
const SOURCES: [&str; 4] = [
    "controller/src/translate",
    "controller/src/status/conditions.rs",
    "controller/src/data_plane",
    "controller/src/provision/addresses.rs",
];

type Found = BTreeSet<(String, String, String, String)>;

/// Kind, type, status and reason of every condition in the golden cases.
fn conditions() -> Result<Found> {
    let mut found = Found::new();
    for case in cases()? {
        let text = std::fs::read_to_string(case.join("status.yaml"))?;
        let objects: Vec<Value> = serde_saphyr::from_str(&text)?;
        for object in &objects {
            let kind = object["kind"].as_str().context("kind")?;
            collect(kind, &object["status"], &mut found);
        }
    }
    Ok(found)
}

fn collect(kind: &str, value: &Value, found: &mut Found) {
    match value {
        Value::Object(members) => {
            let text = |name: &str| members.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
            if let (Some(of), Some(status), Some(reason)) = (text("type"), text("status"), text("reason")) {
                found.insert((kind.to_owned(), of, status, reason));
            }
            for (name, member) in members {
                let listener = format!("{kind}/listener");
                collect(if name == "listeners" { &listener } else { kind }, member, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(kind, value, found)),
        _ => {}
    }
}

#[test]
fn every_condition_has_a_golden_case_and_every_case_is_expected() -> Result<()> {
    let expected: Found = GOLDEN
        .iter()
        .flat_map(|(kind, of, status, reasons)| {
            let row = |reason: &&str| {
                ((*kind).to_owned(), (*of).to_owned(), (*status).to_owned(), (*reason).to_owned())
            };
            reasons.iter().map(row)
        })
        .collect();
    let found = conditions()?;
    let missing: Vec<_> = expected.difference(&found).collect();
    ensure!(missing.is_empty(), "no golden case has: {missing:#?}");
    let unknown: Vec<_> = found.difference(&expected).collect();
    ensure!(unknown.is_empty(), "golden cases have, and the list here has not: {unknown:#?}");
    Ok(())
}

/// The Rust files of [`SOURCES`], without their tests.
fn sources() -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    let mut paths: Vec<PathBuf> = SOURCES.iter().map(|path| repository().join(path)).collect();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                paths.push(entry?.path());
            }
        } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path)?;
            let (code, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
            found.insert(path, code.to_owned());
        }
    }
    ensure!(found.len() > SOURCES.len(), "there are no sources");
    Ok(found)
}

/// Whether a text is several words in one, as reasons are, or one of the few reasons of one word.
fn is_reason(text: &str) -> bool {
    let words = text.bytes().filter(u8::is_ascii_uppercase).count();
    let begins = text.starts_with(|first: char| first.is_ascii_uppercase());
    let alone = ["Accepted", "Conflicted", "Invalid", "Overruled", "Pending", "Programmed"];
    begins
        && text.len() > 3
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().any(|byte| byte.is_ascii_lowercase())
        && (words > 1 || alone.contains(&text))
}

#[test]
fn every_reason_in_the_sources_is_in_a_golden_case_or_tested_elsewhere() -> Result<()> {
    let mut told = String::new();
    for case in cases()? {
        for file in ["status.yaml", "problems.txt"] {
            told.push_str(&std::fs::read_to_string(case.join(file)).unwrap_or_default());
        }
    }
    let told: BTreeSet<&str> = told.split(|it: char| !it.is_ascii_alphanumeric()).collect();
    let mut seen = BTreeSet::new();
    for (path, code) in sources()? {
        // Literals without an escape: every second part between quotes.
        for literal in code.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(literals) {
            if is_reason(literal) && !OTHER_WORDS.contains(&literal) {
                seen.insert(literal.to_owned());
                let elsewhere = ELSEWHERE.iter().any(|(reason, _)| *reason == literal);
                ensure!(
                    told.contains(literal) || elsewhere,
                    "{}: no golden case has {literal:?}; add one, or say here what it is",
                    path.display()
                );
            }
        }
    }
    ensure!(seen.contains("HostnameConflict") && seen.contains("Pending"), "{seen:?}");
    for (reason, file) in ELSEWHERE {
        let text = std::fs::read_to_string(repository().join(file))?;
        ensure!(text.contains(&format!("\"{reason}\"")), "{file} has no {reason:?}");
    }
    Ok(())
}

fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}
