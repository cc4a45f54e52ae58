//! Versions of Envoy, and the lowest one that we run.

use std::fmt;

/// Older ones lack fixes for requests that a gateway must expect (CVE-2026-73513, -73548, -73551), and policies of
/// clusters.
pub const MINIMUM_VERSION: Version = Version(1, 40, 0);

/// Major, minor and patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads the answer to `envoy --version`: `envoy  version: HASH/1.40.0/Clean/RELEASE/BoringSSL`.
    pub fn of_answer(answer: &str) -> Option<Self> {
        answer.split('/').find_map(Self::parse)
    }

    fn parse(text: &str) -> Option<Self> {
        // `1.41.0-dev` is the state before 1.41.0, and has what 1.40 has.
        let mut numbers = text.split('-').next()?.split('.').map(str::parse);
        let version = Self(numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        numbers.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_what_envoy_says() {
        let answer =
            "\nenvoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL\n";
        assert_eq!(Version::of_answer(answer), Some(Version(1, 40, 0)));
        assert_eq!(Version::of_answer("x/1.41.2-dev/Clean"), Some(Version(1, 41, 2)));
        assert_eq!(Version::of_answer("command not found"), None);
        assert_eq!(Version::of_answer("a/1.2/b/1.2.3.4"), None);
        assert!(Version(1, 9, 9) < MINIMUM_VERSION && Version(2, 0, 0) > MINIMUM_VERSION);
    }
}
