//! Names of headers: which are names at all, and which of them a route may match, change, or keep a session in.

use crate::wire;

/// Names that are between a proxy and its operator: the filter's own, and those by which Envoy's router takes orders.
const RESERVED: [&str; 2] = [wire::PREFIX, "x-envoy-"];

/// Headers by which a message is delimited or a connection governed (RFC 9110, 7.6.1 and 8.6), and the host, which is
/// URLRewrite's: Envoy refuses to change some of them itself, and would break messages with the others.
const UNTOUCHABLE: [&str; 8] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Headers that requests or answers have for other reasons; one with a `-` at its end stands for all that begin so.
const SPOKEN_FOR: [&str; 35] = [
    "accept",
    "accept-",
    "access-control-",
    "age",
    "allow",
    "alt-svc",
    "authorization",
    "cache-control",
    "content-",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "grpc-",
    "if-",
    "last-modified",
    "link",
    "location",
    "origin",
    "pragma",
    "proxy-",
    "range",
    "referer",
    "retry-after",
    "sec-",
    "server",
    "set-cookie",
    "trailer",
    "user-agent",
    "vary",
    "via",
    "x-forwarded-",
    "x-request-id",
];

/// RFC 9110, 5.6.2.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A name in lower case, as Envoy hands out names.
///
/// # Errors
/// Why it is none.
pub(crate) fn parse(name: &str) -> Result<Box<str>, String> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("{name:?} is not a header name"));
    }
    Ok(name.to_ascii_lowercase().into_boxed_str())
}

/// The name of a header that a route can match.
///
/// # Errors
/// Why it is none.
pub(crate) fn to_match(name: &str) -> Result<Box<str>, String> {
    let lower = parse(name)?;
    let prefix = wire::PREFIX;
    if lower.starts_with(prefix) {
        return Err(format!("{name:?} cannot be matched: names in {prefix} are removed from every request"));
    }
    Ok(lower)
}

/// The name of a header that a route may change.
///
/// # Errors
/// Why it is none.
pub(crate) fn to_change(name: &str) -> Result<Box<str>, String> {
    let lower = parse(name)?;
    let why = if let Some(prefix) = reserved(&lower) {
        format!(": names in {prefix} are reserved")
    } else if &*lower == "host" {
        " by a header modifier; URLRewrite has a hostname".to_owned()
    } else if UNTOUCHABLE.contains(&&*lower) {
        ": it is between two ends of one connection".to_owned()
    } else {
        return Ok(lower);
    };
    Err(format!("{name:?} cannot be changed{why}"))
}

/// The name of a header that may carry a session, which both a client's requests and their answers have.
///
/// # Errors
/// Why it is none.
pub(crate) fn of_session(name: &str) -> Result<Box<str>, String> {
    let lower = parse(name)?;
    let spoken_for = |known: &&str| match known.strip_suffix('-') {
        Some(_) => lower.starts_with(*known),
        None => *lower == **known,
    };
    let why = if let Some(prefix) = reserved(&lower) {
        format!("names in {prefix} are reserved")
    } else if UNTOUCHABLE.iter().chain(&SPOKEN_FOR).any(spoken_for) {
        "it has a meaning of its own".to_owned()
    } else {
        return Ok(lower);
    };
    Err(format!("{name:?} cannot carry a session: {why}"))
}

fn reserved(lower: &str) -> Option<&'static str> {
    RESERVED.into_iter().find(|prefix| lower.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens_in_lower_case() {
        assert_eq!(parse("X-Env_1").unwrap().as_ref(), "x-env_1");
        for bad in ["", "a b", ":path", "é", "a:", "a\n", "(a)"] {
            for of in [parse, to_match, to_change, of_session] {
                assert_eq!(of(bad).unwrap_err(), format!("{bad:?} is not a header name"));
            }
        }
    }

    #[test]
    fn our_own_headers_are_for_nobody() {
        assert!(to_match("X-GW-Listener").unwrap_err().contains("removed from every request"));
        assert!(to_change("X-GW-Listener").unwrap_err().ends_with("names in x-gw- are reserved"));
        assert!(of_session("X-GW-Listener").unwrap_err().ends_with("names in x-gw- are reserved"));
    }

    #[test]
    fn a_session_has_a_header_of_its_own() {
        for name in [
            "Set-Cookie",
            "Host",
            "Upgrade",
            "Access-Control-Allow-Origin",
            "X-Forwarded-For",
            "grpc-status",
            "content-type",
            "if-none-match",
            "Trailer",
        ] {
            let expected = format!("{name:?} cannot carry a session: it has a meaning of its own");
            assert_eq!(of_session(name).unwrap_err(), expected);
        }
        assert!(of_session("x-envoy-a").unwrap_err().ends_with("names in x-envoy- are reserved"));
        for name in ["X-Session", "session", "Access-Control", "hosts", "x-auth-token"] {
            assert_eq!(of_session(name).unwrap().as_ref(), name.to_ascii_lowercase());
        }
    }
}
