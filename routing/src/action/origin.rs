//! Origins: which of them a list of CORS means (Gateway API `HTTPCORSFilter.allowOrigins`).

/// The origins that may use a rule.
#[derive(Debug)]
pub(super) enum Origins {
    Every,
    These(Box<[Origin]>),
}

/// An origin, in lower case.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: &'static str,
    host: Host,
    port: u16,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    Every,
    Exact(Box<str>),
    /// `.example.com`: what stands to the left of it may have any number of labels.
    Below(Box<str>),
}

/// An origin in parts, borrowed.
struct Parts<'a> {
    scheme: &'static str,
    host: &'a str,
    port: u16,
}

impl Origins {
    /// The value of an `origin` header, where it is one of these. What is sent back is what an origin can be (Fetch,
    /// "Origin header"). Of several headers Envoy makes one with commas.
    pub(super) fn allowed<'r>(&self, value: &'r [u8]) -> Option<&'r str> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.:/[]_".contains(&byte);
        let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(sound))?;
        let allowed = match self {
            Self::Every => true,
            Self::These(origins) => {
                // `null`, or a scheme that no list can have, has no parts.
                let parts = Parts::of(text)?;
                origins.iter().any(|allowed| allowed.matches(&parts))
            }
        };
        allowed.then_some(text)
    }
}

impl<'a> Parts<'a> {
    /// `<scheme>://<host>(:<port>)`; "if not included, port `80` is assumed for `http` scheme origins, and port `443`
    /// … for `https`".
    fn of(origin: &'a str) -> Option<Self> {
        let (scheme, rest) = origin.split_once("://")?;
        let (scheme, own_port) = match scheme {
            scheme if scheme.eq_ignore_ascii_case("http") => ("http", 80),
            scheme if scheme.eq_ignore_ascii_case("https") => ("https", 443),
            _ => return None,
        };
        // The colons of an IPv6 address stand in brackets.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, parse_port(port)?),
            _ => (rest, own_port),
        };
        (!host.is_empty() && !host.contains('/')).then_some(Self { scheme, host, port })
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

impl Origin {
    /// # Errors
    /// Why it is none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let parsed = || {
            let Parts { scheme, host, port } = Parts::of(text)?;
            let host = host.to_ascii_lowercase();
            let label = |label: &str| {
                !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            };
            let host = match host.strip_prefix('*') {
                Some("") => Host::Every,
                Some(suffix) if suffix.strip_prefix('.')?.split('.').all(label) => Host::Below(suffix.into()),
                None if host.split('.').all(label) => Host::Exact(host.into()),
                _ => return None,
            };
            Some(Self { scheme, host, port })
        };
        parsed().ok_or_else(|| {
            format!(
                "{text:?} is not an origin such as https://foo.example.com, https://foo.example.com:8443 or \
                 https://*.example.com, nor * for every origin"
            )
        })
    }

    /// "`*` is a greedy match to the left, including any number of DNS labels". Scheme and host have no case.
    fn matches(&self, origin: &Parts<'_>) -> bool {
        self.scheme == origin.scheme
            && self.port == origin.port
            && match &self.host {
                Host::Every => true,
                Host::Exact(host) => host.eq_ignore_ascii_case(origin.host),
                Host::Below(suffix) => {
                    let left = origin.host.len().checked_sub(suffix.len()).filter(|left| *left > 0);
                    let right = left.and_then(|left| origin.host.get(left..));
                    right.is_some_and(|right| right.eq_ignore_ascii_case(suffix))
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_scheme_host_and_port() {
        let listed =
            ["https://Foo.com", "http://foo.com:8080", "https://*.bar.com", "http://*", "https://*:1"];
        let origins = Origins::These(listed.iter().map(|text| Origin::parse(text).unwrap()).collect());
        for origin in [
            "https://foo.com",
            "HTTPS://FOO.COM:443",
            "http://foo.com:8080",
            "https://a.bar.com",
            "https://a.b.BAR.com",
            "http://anything",
            "http://[::1]",
            "https://x.y:1",
            "https://[::1]:1",
        ] {
            assert_eq!(origins.allowed(origin.as_bytes()), Some(origin));
        }
        for origin in [
            "https://foo.com:8443",
            "http://foo.com:8081",
            "https://bar.com",
            "https://.bar.com",
            "https://xbar.com",
            "https://a.bar.com:444",
            "https://a.bar.com.evil.com",
            "https://foo.com.",
            "https://foo.com/",
            "null",
            "",
            "ftp://foo.com",
            "foo.com",
            "https://",
            "https://:443",
            "https://foo.com:",
            "https://foo.com:+443",
            "https://foo.com:0",
            "https://foo.com https://foo.com",
            "https://é.bar.com",
            "https://evil.com,a.bar.com",
            "https://evil.com/a.bar.com",
            "https://evil.com?a.bar.com",
            "https://evil@a.bar.com",
        ] {
            assert_eq!(origins.allowed(origin.as_bytes()), None, "{origin}");
        }
    }

    #[test]
    fn every_origin_and_none() {
        for origin in ["https://foo.com", "null", "chrome-extension://abc"] {
            assert_eq!(Origins::Every.allowed(origin.as_bytes()), Some(origin));
            assert_eq!(Origins::These([].into()).allowed(origin.as_bytes()), None);
        }
        for origin in ["a b", "https://a.test,https://b.test", "\u{fe}"] {
            assert_eq!(Origins::Every.allowed(origin.as_bytes()), None, "{origin}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for origin in [
            "",
            "foo.com",
            "ftp://foo.com",
            "https://",
            "https://foo.com/",
            "https://foo..com",
            "https://*foo.com",
            "https://foo.*",
            "https://*.",
            "https://foo.com:0",
            "https://foo.com:65536",
            "https://foo.com:",
            "https://u@foo.com",
            "https://[::1]",
        ] {
            assert!(Origin::parse(origin).unwrap_err().contains("is not an origin"), "{origin}");
        }
    }
}
