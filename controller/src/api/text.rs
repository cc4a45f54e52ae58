//! Strings and numbers with the rules that the CRDs put on them: a value that breaks its rule cannot be made, so
//! nothing behind this file checks again. The rules are the `pattern`, `minimum` and `maximum` of the v1.6.1 CRDs.

use std::fmt;
use std::num::NonZeroU16;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// A port number, 1 to 65535 (`PortNumber`).
pub type Port = NonZeroU16;

/// Defines a string type that holds only what its check accepts.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $check:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(value: String) -> Result<Self, String> {
                let check: fn(&str) -> bool = $check;
                if check(&value) { Ok(Self(value)) } else { Err(format!("{value:?} is not {}", $expected)) }
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_text!(
    /// A DNS name, or one behind `*.` (`Hostname`).
    Hostname,
    |value| value.len() <= 253 && is_dns_name(value.strip_prefix("*.").unwrap_or(value)),
    "a hostname (lower-case DNS name, perhaps beginning with \"*.\")"
);
checked_text!(
    /// A DNS name without a wildcard (`PreciseHostname`).
    PreciseHostname,
    |value| value.len() <= 253 && is_dns_name(value),
    "a hostname without a wildcard (lower-case DNS name)"
);
checked_text!(
    /// The name of a part of an object: a listener, a rule (`SectionName`).
    SectionName,
    |value| value.len() <= 253 && is_dns_name(value),
    "a name (lower-case letters, digits, \"-\" and \".\", at most 253 characters)"
);
checked_text!(
    /// The name of a header or of a query parameter (`HTTPHeaderName`): an RFC 9110 token.
    HeaderName,
    |value| !value.is_empty() && value.len() <= 256 && value.bytes().all(is_token_byte),
    "a header name (letters, digits and !#$%&'*+-.^_`|~, at most 256 characters)"
);
checked_text!(
    /// A duration in the form of GEP-2257: `1h30m`, `500ms`.
    Duration,
    is_duration,
    "a duration like \"1h30m\" or \"500ms\" (up to four groups of at most five digits and h, m, s or ms)"
);
checked_text!(
    /// An HTTP method that a match can name (`HTTPMethod`).
    Method,
    |value| {
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"].contains(&value)
    },
    "a method that a match can name (GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH)"
);

impl Duration {
    /// Whether this is zero, which switches a timeout off (`HTTPRouteTimeouts`).
    pub fn is_zero(&self) -> bool {
        self.get().is_zero()
    }

    /// How long it is. Four groups of five digits: the longest is about 46 years.
    pub fn get(&self) -> std::time::Duration {
        let mut sum = 0;
        let mut number = 0;
        let mut letters = self.chars().peekable();
        while let Some(letter) = letters.next() {
            let milliseconds = match letter {
                digit @ '0'..='9' => {
                    number = number * 10 + u64::from(digit) - u64::from('0');
                    continue;
                }
                'h' => 3_600_000,
                'm' if letters.next_if_eq(&'s').is_some() => 1,
                'm' => 60_000,
                _ => 1_000,
            };
            sum += number * milliseconds;
            number = 0;
        }
        std::time::Duration::from_millis(sum)
    }
}

/// A backend's weight, 0 to 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "i64")]
pub struct Weight(u32);

impl Weight {
    /// The weight as a number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    /// `BackendRef.weight` is 1 where it is not written.
    fn default() -> Self {
        Self(1)
    }
}

impl TryFrom<i64> for Weight {
    type Error = String;

    fn try_from(value: i64) -> Result<Self, String> {
        match u32::try_from(value) {
            Ok(weight) if weight <= 1_000_000 => Ok(Self(weight)),
            _ => Err(format!("{value} is not a weight (0 to 1000000)")),
        }
    }
}

/// Defines an enum that keeps a value it does not know, so that an object of a newer API version costs one rule or
/// one listener (`UnsupportedValue`), not the whole object.
macro_rules! open_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
        #[serde(from = "String")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A value that v1.6.1 does not define.
            Other(String),
        }

        impl From<String> for $name {
            fn from(value: String) -> Self {
                match value.as_str() {
                    $($text => Self::$variant,)+
                    _ => Self::Other(value),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $text,)+
                    Self::Other(value) => value,
                })
            }
        }

        impl $name {
            /// Every value that v1.6.1 defines, for messages.
            pub const KNOWN: &[&str] = &[$($text),+];
        }
    };
}
pub(crate) use open_enum;

/// RFC 1123 subdomain: what names of objects and hosts are made of.
pub(crate) fn is_dns_name(value: &str) -> bool {
    value.split('.').all(|label| {
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        edge(label.as_bytes().first())
            && edge(label.as_bytes().last())
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    })
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_duration(value: &str) -> bool {
    let mut rest = value;
    let mut groups = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit = &rest[digits..];
        let Some(after) =
            unit.strip_prefix("ms").or_else(|| unit.strip_prefix(['h', 'm', 's'])).filter(|_| digits > 0)
        else {
            return false;
        };
        if digits > 5 {
            return false;
        }
        groups += 1;
        rest = after;
    }
    (1..=4).contains(&groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames_are_lower_case_dns_names_with_an_optional_wildcard() {
        for good in ["a", "foo.example.com", "*.example.com", "1.2.3.4", "a-b.c"] {
            assert!(Hostname::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in
            ["", "*", "*.", "Foo.com", "a..b", "-a.com", "a-.com", "f*.com", "a.*.com", "a_b", "foo:80", "."]
        {
            assert!(Hostname::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_follow_gep_2257() {
        for good in ["0s", "1h30m", "500ms", "99999h", "1h2m3s4ms"] {
            assert!(Duration::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["", "1", "s", "1.5s", "100000s", "-1s", "1d", "1h2m3s4ms5h"] {
            assert!(Duration::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_are_the_sum_of_their_groups() {
        let milliseconds = |text: &str| Duration::try_from(text.to_owned()).unwrap().get().as_millis();
        for (text, expected) in [
            ("0s", 0),
            ("0h0ms", 0),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("1h2m3s4ms", 3_723_004),
            ("1ms1m", 60_001),
            ("1s1s", 2_000),
            ("99999h99999h99999h99999h", 4 * 99_999 * 3_600_000),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }

    #[test]
    fn weights_end_at_a_million() {
        assert_eq!(Weight::try_from(1_000_000).unwrap().get(), 1_000_000);
        assert!(Weight::try_from(1_000_001).is_err());
        assert!(Weight::try_from(-1).is_err());
    }
}
