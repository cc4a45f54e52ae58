//! The official conformance suite as `tests/conformance/suite-v1.6.1.txt` has it: which features its profiles have, and
//! which of them a test needs. The suite's own build holds that list to the suite.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

/// What the suite has for Gateways.
#[derive(Debug, Default)]
pub struct Suite {
    /// The profiles and levels that each feature counts in, in the order of the list: `("HTTP", "Core")`.
    pub profiles: BTreeMap<&'static str, Vec<(&'static str, &'static str)>>,
    /// Features of the experimental channel.
    pub experimental: BTreeSet<&'static str>,
    /// The features that each test needs.
    pub tests: BTreeMap<&'static str, BTreeSet<&'static str>>,
}

/// The suite of v1.6.1.
pub fn suite() -> Result<Suite> {
    let mut suite = Suite::default();
    for line in include_str!("../conformance/suite-v1.6.1.txt").lines() {
        let (head, names) = line.split_once(':').with_context(|| format!("{line:?} has no colon"))?;
        let names = names.split_whitespace();
        match head.split_once(' ') {
            Some(("core", profile)) => names.for_each(|name| suite.level(name, profile, "Core")),
            Some(("extended", profile)) => names.for_each(|name| suite.level(name, profile, "Extended")),
            Some(("channel", "experimental")) => suite.experimental = names.collect(),
            Some(("test", test)) => {
                suite.tests.insert(test, names.collect());
            }
            _ => bail!("{line:?} is none of core, extended, channel, test"),
        }
    }
    Ok(suite)
}

impl Suite {
    fn level(&mut self, feature: &'static str, profile: &'static str, level: &'static str) {
        let profile = profile.strip_prefix("GATEWAY-").unwrap_or(profile);
        self.profiles.entry(feature).or_default().push((profile, level));
    }

    /// Every feature that a profile has or a test needs.
    pub fn features(&self) -> BTreeSet<&'static str> {
        self.profiles.keys().copied().chain(self.tests.values().flatten().copied()).collect()
    }

    /// Whether a profile has the feature among those that every implementation needs.
    pub fn is_core(&self, feature: &str) -> bool {
        self.profiles.get(feature).is_some_and(|levels| levels.iter().any(|(_, level)| *level == "Core"))
    }
}
