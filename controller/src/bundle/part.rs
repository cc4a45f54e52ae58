//! The names of parts. There is a fixed number of each kind, so that all of them stand in the pod and in the agent's
//! Role from the start.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is in a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The filter config: listeners and the routes attached to them.
    Routes,
    /// Envoy's listeners, policies and clusters.
    Envoy,
    /// The addresses of backends.
    Endpoints,
    /// Certificates with their keys, and the key by which sessions are sealed. The only one that is a Secret.
    Certificates,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Routes, Self::Envoy, Self::Endpoints, Self::Certificates];

    /// How many parts of this kind there may be.
    pub const fn most(self) -> u8 {
        match self {
            Self::Routes => 16,
            Self::Envoy | Self::Endpoints | Self::Certificates => 8,
        }
    }

    /// Whether it holds what only Envoy may know.
    pub const fn is_secret(self) -> bool {
        matches!(self, Self::Certificates)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Routes => "routes",
            Self::Envoy => "envoy",
            Self::Endpoints => "endpoints",
            Self::Certificates => "certificates",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One of the parts of a kind: `routes-0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartName {
    /// What is in it.
    pub kind: Kind,
    /// Which of its kind, from 0.
    pub index: u8,
}

impl PartName {
    /// Every part that a bundle may have.
    pub fn all() -> impl Iterator<Item = Self> {
        Kind::ALL.into_iter().flat_map(|kind| (0..kind.most()).map(move |index| Self { kind, index }))
    }

    /// The key of the text in its ConfigMap or Secret, and the file that it becomes in a pod: `routes-0.json`.
    pub fn file(self) -> String {
        format!("{self}.json")
    }
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.kind, self.index)
    }
}

impl FromStr for PartName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all().find(|name| name.to_string() == text).ok_or_else(|| format!("there is no part {text:?}"))
    }
}

impl Serialize for PartName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PartName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_no_others() {
        let all: Vec<PartName> = PartName::all().collect();
        assert_eq!(all.len(), 40);
        for name in all {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        assert_eq!(PartName { kind: Kind::Routes, index: 3 }.file(), "routes-3.json");
        for other in ["routes", "routes-16", "routes-00", "routes--1", "manifest", ""] {
            assert!(other.parse::<PartName>().is_err(), "{other}");
        }
    }
}
