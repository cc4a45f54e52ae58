//! Hostnames: those of the config, the host of a request, and which match which, the most specific first.

use rustc_hash::FxHashMap;

use crate::precedence::HostnameRank;

/// Longest name of the domain name system in text (RFC 1035, 2.3.4, without the trailing dot).
const MAX_NAME: usize = 253;

/// A hostname of the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Hostname<'a> {
    /// No hostname: every host.
    Any,
    /// `foo.example.com`.
    Exact(&'a str),
    /// `*.example.com`, held as `.example.com`.
    Wildcard(&'a str),
}

impl<'a> Hostname<'a> {
    /// Reads a hostname as the API allows it (Gateway API `Hostname`): labels of lower-case letters, digits and
    /// hyphens, at most 253 characters, with or without one leading `*.`.
    ///
    /// # Errors
    /// Why it is none.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        let hostname = Self::of(text);
        let name = match hostname {
            Self::Wildcard(suffix) => suffix.strip_prefix('.').unwrap_or_default(),
            Self::Any | Self::Exact(_) => text,
        };
        if text.len() > MAX_NAME {
            Err(format!("the hostname has {} characters; at most {MAX_NAME} are allowed", text.len()))
        } else if !name.split('.').all(is_label) {
            Err(format!(
                "\"{text}\" is not a hostname such as foo.example.com or *.example.com, in lower case"
            ))
        } else {
            Ok(hostname)
        }
    }

    /// The hostname of a text that is known to be one.
    pub(crate) fn of(text: &'a str) -> Self {
        text.strip_prefix('*').map_or(Self::Exact(text), Self::Wildcard)
    }

    /// As it stands in the config; `None` for every host.
    pub(crate) fn text(self) -> Option<String> {
        match self {
            Self::Any => None,
            Self::Exact(name) => Some(name.to_owned()),
            Self::Wildcard(suffix) => Some(format!("*{suffix}")),
        }
    }

    /// Whether every host that `self` matches is matched by `wider` too.
    pub(crate) fn is_within(self, wider: Self) -> bool {
        match (self, wider) {
            (_, Self::Any) => true,
            (Self::Exact(name), Self::Exact(wider)) => name == wider,
            (Self::Exact(name), Self::Wildcard(suffix)) => {
                name.len() > suffix.len() && name.ends_with(suffix)
            }
            (Self::Wildcard(suffix), Self::Wildcard(wider)) => suffix.ends_with(wider),
            (Self::Any, _) | (Self::Wildcard(_), Self::Exact(_)) => false,
        }
    }

    pub(crate) fn rank(self) -> HostnameRank {
        match self {
            Self::Any => HostnameRank::default(),
            Self::Exact(name) => HostnameRank { non_wildcard: name.len(), any: name.len() },
            Self::Wildcard(suffix) => HostnameRank { non_wildcard: 0, any: suffix.len().saturating_add(1) },
        }
    }

    /// Whether it matches the host of a request. The index ([`HostMap`]) asks the same question of many at once.
    pub(crate) fn matches(self, host: &Host) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => name.as_bytes() == host.name(),
            Self::Wildcard(suffix) => {
                host.name().len() > suffix.len() && host.name().ends_with(suffix.as_bytes())
            }
        }
    }
}

impl std::fmt::Display for Hostname<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("every host"),
            Self::Exact(name) => write!(f, "\"{name}\""),
            Self::Wildcard(suffix) => write!(f, "\"*{suffix}\""),
        }
    }
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
}

/// The host of a request in the form in which hostnames are compared: lower case, without port and trailing dot.
///
/// "Implementations MUST ignore any port value specified in the HTTP Host header" (Gateway API
/// `HTTPRouteSpec.hostnames`). What cannot be a name (an IPv6 address, more than 253 bytes, other characters) has no
/// name here, and is matched by "every host" alone.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    bytes: [u8; MAX_NAME],
    length: usize,
}

impl Host {
    pub(crate) fn of(authority: &[u8]) -> Self {
        let mut host = Self { bytes: [0; MAX_NAME], length: 0 };
        let name = without_port(authority);
        let name = name.strip_suffix(b".").unwrap_or(name);
        let Some(target) = host.bytes.get_mut(..name.len()) else { return host };
        let mut valid = true;
        for (to, from) in target.iter_mut().zip(name) {
            *to = from.to_ascii_lowercase();
            // An underscore is no part of a hostname, but browsers and DNS take it.
            valid &= from.is_ascii_alphanumeric() || matches!(from, b'-' | b'.' | b'_');
        }
        valid &= name.split(|byte| *byte == b'.').all(|label| !label.is_empty());
        host.length = if valid { name.len() } else { 0 };
        host
    }

    /// Empty when the host has no name.
    pub(crate) fn name(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

pub(crate) fn without_port(authority: &[u8]) -> &[u8] {
    match authority.iter().rposition(|byte| *byte == b':').and_then(|colon| authority.split_at_checked(colon))
    {
        Some((name, [_, port @ ..])) if port.iter().all(u8::is_ascii_digit) => name,
        _ => authority,
    }
}

/// Things by hostname, found by the host of a request. Keys come from the config alone, so that no client can make
/// them collide; a fast hash is safe here.
#[derive(Debug)]
pub(crate) struct HostMap<T> {
    exact: FxHashMap<Box<[u8]>, T>,
    wildcard: FxHashMap<Box<[u8]>, T>,
    any: Option<T>,
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self { exact: FxHashMap::default(), wildcard: FxHashMap::default(), any: None }
    }
}

impl<T> HostMap<T> {
    /// Everything whose hostname matches, the most specific first: the exact name, then wildcards from the longest
    /// to the shortest, then "every host".
    pub(crate) fn matching<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = &'a T> {
        let name = host.name();
        let wildcards = if self.wildcard.is_empty() { &[] } else { name };
        // A wildcard stands for at least one label, so that the first byte is never part of the suffix.
        let suffixes = wildcards.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'.');
        let wildcards = suffixes.filter_map(|(dot, _)| self.wildcard.get(name.get(dot..)?));
        self.exact.get(name).into_iter().chain(wildcards).chain(&self.any)
    }

    pub(crate) fn insert(&mut self, hostname: Hostname<'_>, value: T) -> Option<T> {
        match hostname {
            Hostname::Any => self.any.replace(value),
            Hostname::Exact(name) => self.exact.insert(name.as_bytes().into(), value),
            Hostname::Wildcard(suffix) => self.wildcard.insert(suffix.as_bytes().into(), value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(authority: impl AsRef<[u8]>) -> String {
        String::from_utf8(Host::of(authority.as_ref()).name().to_vec()).unwrap()
    }

    #[test]
    fn hosts_lose_case_port_and_one_trailing_dot() {
        for authority in [
            "foo.example.com",
            "FOO.Example.com",
            "foo.example.com:8080",
            "foo.example.com.",
            "foo.example.com.:80",
        ] {
            assert_eq!(name(authority), "foo.example.com");
        }
        assert_eq!(name("foo.example.com:"), "foo.example.com");
        assert_eq!(name("127.0.0.1:80"), "127.0.0.1");
    }

    #[test]
    fn what_cannot_be_a_name_has_none() {
        for authority in
            ["", "[::1]", "[::1]:80", "a b", "a:b", "user@a", "é.com", ":80", ".", "..", "a..", ".a", "a..b"]
        {
            assert_eq!(name(authority), "", "{authority}");
        }
        assert_eq!(name(b"\xff\xfe"), "");
        assert_eq!(name("a".repeat(253)).len(), 253);
        assert_eq!(name("a".repeat(254)), "");
        assert_eq!(name(format!("{}.:65535", "a".repeat(253))).len(), 253);
    }

    #[test]
    fn hostnames_are_as_the_api_allows_them() {
        assert_eq!(Hostname::parse("foo.example.com"), Ok(Hostname::Exact("foo.example.com")));
        assert_eq!(Hostname::parse("*.example.com"), Ok(Hostname::Wildcard(".example.com")));
        assert_eq!(Hostname::parse("a"), Ok(Hostname::Exact("a")));
        for bad in [
            "", "*", "*.", "*a.com", "a.*.com", "**.com", "A.com", "a..com", ".com", "a.", "-a.com",
            "a-.com", "a_b.com", "a:80", "[::1]",
        ] {
            Hostname::parse(bad).unwrap_err();
        }
        Hostname::parse(&"a".repeat(254)).unwrap_err();
    }

    #[test]
    fn a_wildcard_stands_for_one_or_more_labels() {
        let wildcard = Hostname::parse("*.example.com").unwrap();
        for (host, expected) in [
            ("a.example.com", true),
            ("a.b.example.com", true),
            ("example.com", false),
            (".example.com", false),
            ("aexample.com", false),
            ("a.example.com.org", false),
        ] {
            let host = Host::of(host.as_bytes());
            let mut map = HostMap::default();
            map.insert(wildcard, ());
            assert_eq!(wildcard.matches(&host), expected, "{host:?}");
            assert_eq!(map.matching(&host).next().is_some(), expected, "{host:?}");
        }
    }

    #[test]
    fn the_most_specific_comes_first() {
        let mut map = HostMap::default();
        for hostname in ["*.com", "*.example.com", "a.b.example.com", "*.b.example.com", "b.example.com"] {
            map.insert(Hostname::parse(hostname).unwrap(), hostname);
        }
        map.insert(Hostname::Any, "any");
        let found = |host: &str| map.matching(&Host::of(host.as_bytes())).copied().collect::<Vec<_>>();
        assert_eq!(
            found("a.b.example.com"),
            ["a.b.example.com", "*.b.example.com", "*.example.com", "*.com", "any"]
        );
        assert_eq!(found("b.example.com"), ["b.example.com", "*.example.com", "*.com", "any"]);
        assert_eq!(found("com"), ["any"]);
        assert_eq!(found("[::1]"), ["any"]);
    }

    #[test]
    fn within() {
        let within = |inner: &str, wider: &str| {
            Hostname::parse(inner).unwrap().is_within(Hostname::parse(wider).unwrap())
        };
        assert!(within("a.example.com", "*.example.com"));
        assert!(within("*.a.example.com", "*.example.com"));
        assert!(within("*.example.com", "*.example.com"));
        assert!(within("a.example.com", "a.example.com"));
        assert!(!within("example.com", "*.example.com"));
        assert!(!within("*.com", "*.example.com"));
        assert!(!within("*.example.com", "a.example.com"));
        assert!(!within("a.example.org", "*.example.com"));
        assert!(Hostname::Exact("a").is_within(Hostname::Any));
        assert!(!Hostname::Any.is_within(Hostname::Exact("a")));
    }
}
