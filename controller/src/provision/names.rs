//! What the objects of a Gateway's data plane are called. What is in them is not known here.
//!
//! A Gateway's name may have 253 characters and dots; a Service's may not. So every name begins with a base that is a
//! DNS label, short enough for the longest suffix.

use sha2::{Digest as _, Sha256};

use crate::api::is_dns_name;
use crate::bundle::PartName;

/// Longest base: with `-certificates-7` it is a DNS label still.
const LONGEST_BASE: usize = 45;
/// Longest value of a label.
const LONGEST_VALUE: usize = 63;
/// Hexadecimal digits behind a name that was cut.
const DIGITS: usize = 8;

/// The names of one Gateway's objects, all in its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    base: String,
}

impl Names {
    /// Names for the Gateway of this name: `gatewasm-NAME` wherever that does. No two Gateways share
    /// the name of an object of the same kind.
    pub fn of(gateway: &str) -> Self {
        let base = format!("gatewasm-{gateway}");
        let plain =
            base.len() <= LONGEST_BASE && is_dns_name(&base) && !base.contains('.') && !looks_cut(&base);
        Self { base: if plain { base } else { cut(&base.replace('.', "-"), gateway, '-', LONGEST_BASE) } }
    }

    /// Deployment, Service, ServiceAccount, Role, RoleBinding and PodDisruptionBudget.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The ConfigMap that says which parts belong together.
    pub fn manifest(&self) -> String {
        format!("{}-manifest", self.base)
    }

    /// One part of a bundle.
    pub fn part(&self, part: PartName) -> String {
        format!("{}-{part}", self.base)
    }

    /// Every ConfigMap that a bundle may have, except the manifest.
    pub fn config_maps(&self) -> Vec<String> {
        PartName::all().filter(|part| !part.kind.is_secret()).map(|part| self.part(part)).collect()
    }

    /// Every Secret that a bundle may have.
    pub fn secrets(&self) -> Vec<String> {
        PartName::all().filter(|part| part.kind.is_secret()).map(|part| self.part(part)).collect()
    }
}

/// An object's name as the value of a label: as it stands, or cut where it is too long for one.
pub fn label_value(name: &str) -> String {
    if name.len() <= LONGEST_VALUE {
        return name.to_owned();
    }
    // No object's name has a "_", so what is cut is never another one's whole name.
    cut(name, name, '_', LONGEST_VALUE)
}

/// The beginning of `readable` and digits that tell `whole` from others that begin alike.
fn cut(readable: &str, whole: &str, separator: char, longest: usize) -> String {
    let digits: String =
        Sha256::digest(whole).iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect();
    let beginning: String = readable.chars().take(longest - DIGITS - 1).collect();
    format!("{}{separator}{digits}", beginning.trim_end_matches(['-', '.']))
}

/// Whether a name might be taken for one that was cut; it is then cut as well.
fn looks_cut(name: &str) -> bool {
    let digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.rsplit_once('-').is_some_and(|(_, end)| end.len() == DIGITS && end.bytes().all(digit))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Names that a Gateway may have: long, dotted, beginning alike, made to look like another's.
    fn odd() -> Vec<String> {
        let mut names: Vec<String> =
            ["a", "web", "1", "9-lives", "a.b", "a-b", "a.b.c", "web-manifest", "web-routes-0", "web-routes"]
                .map(str::to_owned)
                .into();
        for length in [35, 36, 37, 44, 45, 46, 63, 64, 253] {
            names.push("x".repeat(length));
            names.push(format!("{}y", "x".repeat(length - 1)));
            names.push(format!("{}.y", "x".repeat(length - 2)));
            names.push(format!("{}-y", "x".repeat(length - 2)));
            names.push(["abc.def-"; 32].concat()[..length - 1].to_owned() + "z");
        }
        // A Gateway named like what became of another.
        let cut: Vec<String> = names
            .iter()
            .flat_map(|name| [Names::of(name).base, format!("gatewasm-{}", label_value(name))])
            .collect();
        names.extend(cut.iter().filter_map(|name| name.strip_prefix("gatewasm-").map(str::to_owned)));
        names.retain(|name| is_dns_name(name));
        names.sort();
        names.dedup();
        names
    }

    fn parts(names: &Names) -> Vec<String> {
        [vec![names.manifest()], names.config_maps(), names.secrets()].concat()
    }

    #[test]
    fn names_are_plain_where_that_does() {
        assert_eq!(Names::of("web").base(), "gatewasm-web");
        assert_eq!(Names::of("web").manifest(), "gatewasm-web-manifest");
        assert_eq!(Names::of("web").part("routes-3".parse().unwrap()), "gatewasm-web-routes-3");
        assert_eq!(Names::of(&"x".repeat(36)).base(), format!("gatewasm-{}", "x".repeat(36)));
        assert_eq!(Names::of("a.b").base(), "gatewasm-a-b-2e7336dc");
        assert_eq!(Names::of("web-0123abcd").base(), "gatewasm-web-0123abcd-125822db");
    }

    /// Every one is a label that begins with a letter: the rule of Services, and the narrowest there is.
    #[test]
    fn names_are_valid_for_every_kind() {
        for gateway in odd() {
            let names = Names::of(&gateway);
            assert!(names.base().len() <= LONGEST_BASE);
            for name in parts(&names).into_iter().chain([names.base]) {
                assert!(name.len() <= 63 && is_dns_name(&name) && !name.contains('.'), "{gateway}: {name}");
            }
        }
    }

    #[test]
    fn no_two_gateways_share_a_name() {
        let odd = odd();
        assert!(odd.len() > 80, "{}", odd.len());
        let bases: BTreeSet<String> = odd.iter().map(|gateway| Names::of(gateway).base).collect();
        assert_eq!(bases.len(), odd.len());
        let all: BTreeSet<String> = odd.iter().flat_map(|gateway| parts(&Names::of(gateway))).collect();
        assert_eq!(all.len(), odd.len() * 41);
    }

    #[test]
    fn values_of_labels_are_valid_and_unique() {
        let odd = odd();
        let values: BTreeSet<String> = odd.iter().map(|name| label_value(name)).collect();
        assert_eq!(values.len(), odd.len());
        for value in &values {
            let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            assert!(value.len() <= 63, "{value}");
            assert!(edge(value.as_bytes().first()) && edge(value.as_bytes().last()), "{value}");
        }
        assert_eq!(label_value("a.b"), "a.b");
        let long = label_value(&"x".repeat(64));
        assert!(long.starts_with(&"x".repeat(54)) && long.as_bytes()[54] == b'_', "{long}");
    }
}
