//! A header of a match: the name in any case, the value as a whole.

use std::borrow::Cow;

use super::value::Value;
use crate::request::Request;

/// The header that is the authority, which is where Envoy keeps it.
pub(crate) const HOST: &str = "host";

/// The compiled form of one entry of `headers`.
#[derive(Clone, Debug)]
pub(crate) struct HeaderMatch {
    /// In lower case, as Envoy hands out names.
    pub(crate) name: Box<str>,
    pub(crate) value: Value,
}

impl HeaderMatch {
    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        value_of(&self.name, request).is_some_and(|value| self.value.matches(&value))
    }
}

/// The value of a header, if the request has it.
///
/// A repeated one counts as its values joined by commas: "Implementations SHOULD … follow RFC 7230 3.2.2" (Gateway API
/// `HTTPHeaderMatch`, today RFC 9110, 5.3). Only that case allocates.
pub(crate) fn value_of<'r>(name: &str, request: &Request<'r>) -> Option<Cow<'r, [u8]>> {
    if name == HOST {
        return Some(Cow::Borrowed(request.authority));
    }
    let mut values =
        request.headers.iter().filter(|header| header.0 == name.as_bytes()).map(|header| header.1);
    let mut joined = Cow::Borrowed(values.next()?);
    for value in values {
        let joined = joined.to_mut();
        joined.push(b',');
        joined.extend_from_slice(value);
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'r>(name: &str, headers: &'r [(&'r [u8], &'r [u8])]) -> Option<Cow<'r, [u8]>> {
        value_of(name, &Request { method: b"GET", authority: b"a.example.com:80", path: b"/", headers })
    }

    #[test]
    fn a_header_has_its_value() {
        let headers: [(&[u8], &[u8]); 2] = [(b"a", b"1"), (b"b", b"\xff")];
        assert_eq!(value("a", &headers).unwrap().as_ref(), b"1");
        assert_eq!(value("b", &headers).unwrap().as_ref(), b"\xff");
        assert_eq!(value("c", &headers), None);
    }

    #[test]
    fn repeated_headers_are_joined_in_order() {
        let headers: [(&[u8], &[u8]); 4] = [(b"a", b"1"), (b"b", b"x"), (b"a", b"2"), (b"a", b"")];
        assert_eq!(value("a", &headers).unwrap().as_ref(), b"1,2,");
    }

    #[test]
    fn host_is_the_authority() {
        assert_eq!(value("host", &[]).unwrap().as_ref(), b"a.example.com:80");
    }
}
