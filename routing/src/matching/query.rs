//! A query parameter of a match: the name in its case, the first value of that name, both percent-decoded
//! (decision record 0004).

use std::borrow::Cow;

use super::value::Value;

/// The compiled form of one entry of `queryParams`.
#[derive(Clone, Debug)]
pub(crate) struct QueryMatch {
    pub(crate) name: Box<str>,
    pub(crate) value: Value,
}

impl QueryMatch {
    /// `query` is what follows the first `?` of the path.
    pub(crate) fn matches(&self, query: &[u8]) -> bool {
        first_value(&self.name, query).is_some_and(|value| self.value.matches(&value))
    }
}

/// The value of the first parameter called `name`: "it is recommended to match the first" (Gateway API
/// `HTTPQueryParamMatch.name`). A parameter without `=` has an empty value. Only an encoded value allocates.
pub(crate) fn first_value<'q>(name: &str, query: &'q [u8]) -> Option<Cow<'q, [u8]>> {
    let mut named = parameters(query).filter(|(encoded_name, _)| decoded(encoded_name).eq(name.bytes()));
    named.next().map(|(_, value)| decode(value))
}

/// Names and values as they stand in the query.
pub(crate) fn parameters(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|byte| *byte == b'&').filter_map(|parameter| {
        let mut parts = parameter.splitn(2, |byte| *byte == b'=');
        Some((parts.next()?, parts.next().unwrap_or_default()))
    })
}

pub(crate) fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        Cow::Owned(decoded(text).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Decodes `application/x-www-form-urlencoded` (WHATWG URL, 5.1): `%` and two hexadecimal digits are a byte, `+` is a
/// space, and a `%` that begins no such sequence stands for itself.
fn decoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if let [b'%', high, low, tail @ ..] = rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            rest = tail;
            return Some((high << 4) | low);
        }
        let (first, tail) = rest.split_first()?;
        rest = tail;
        Some(if *first == b'+' { b' ' } else { *first })
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| value.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, query: &str) -> Option<String> {
        first_value(name, query.as_bytes()).map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    #[test]
    fn the_first_value_counts() {
        assert_eq!(value("a", "a=1&a=2").as_deref(), Some("1"));
        assert_eq!(value("b", "a=1&b=2&c=3").as_deref(), Some("2"));
    }

    #[test]
    fn names_are_whole_and_in_their_case() {
        assert_eq!(value("a", "ab=1&A=2&ba=3"), None);
        assert_eq!(value("a", ""), None);
    }

    #[test]
    fn a_parameter_without_a_value_is_empty() {
        assert_eq!(value("a", "a").as_deref(), Some(""));
        assert_eq!(value("a", "a=&a=1").as_deref(), Some(""));
        assert_eq!(value("a", "&&a=b=c").as_deref(), Some("b=c"));
    }

    #[test]
    fn names_and_values_are_decoded() {
        assert_eq!(value("ä b", "%C3%a4+b=%31%2526").as_deref(), Some("1%26"));
        assert_eq!(value("a", "a=x+y%20z").as_deref(), Some("x y z"));
    }

    #[test]
    fn broken_encoding_stands_for_itself() {
        for broken in ["%", "%1", "%g1", "%1g", "100%", "%+1"] {
            assert_eq!(value("a", &format!("a={broken}")), Some(broken.replace('+', " ")));
        }
    }
}
