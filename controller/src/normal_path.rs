//! The path of a request as the filter sees it: what Envoy's `normalize_path` and `merge_slashes` make of the one that
//! was sent. Only for requests that are asked about here; in the data plane it is Envoy that does this.

/// The request target in normal form; `None` where Envoy answers 400.
///
/// As Envoy 1.40 does it (`PathUtil::canonicalPath`, then `mergeSlashes`; the request table is sent through it): the
/// query stays as it is; in the path, escaped unreserved characters are unescaped (RFC 3986 §6.2.2.2), characters that
/// a path must not have are escaped, a backslash is a slash, dot segments are resolved (§6.2.2.3) also where they have
/// parameters (`..;`), and repeated slashes are one.
pub(crate) fn normalise(target: &str) -> Option<String> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut kept: Vec<String> = Vec::new();
    let path = path.replace('\\', "/");
    let mut ends_in_folder = false;
    for segment in path.split('/').skip(1) {
        let unescaped = unescape(segment)?;
        let is = |dots: &str| {
            unescaped == dots || segment.strip_prefix(dots).is_some_and(|rest| rest.starts_with(';'))
        };
        ends_in_folder = true;
        if is("..") {
            kept.pop();
        } else if !is(".") {
            ends_in_folder = unescaped.is_empty();
            kept.push(unescaped);
        }
    }
    kept.retain(|segment| !segment.is_empty());
    let mut normal: String = kept.iter().flat_map(|segment| ["/", segment.as_str()]).collect();
    if ends_in_folder || normal.is_empty() {
        normal.push('/');
    }
    if let Some(query) = query {
        normal.push('?');
        normal.push_str(query);
    }
    Some(normal)
}

/// A segment with its unreserved characters as they are and what is no path character escaped.
fn unescape(segment: &str) -> Option<String> {
    let mut text = String::with_capacity(segment.len());
    let mut rest = segment;
    // Behind the last `%` that begins no escape.
    let mut bare = None;
    while let Some(char) = rest.chars().next() {
        let escaped = rest.get(1..3).filter(|digits| char == '%' && is_hexadecimal(digits));
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(0) => return None,
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                text.push(char::from(byte));
                // What is unescaped here makes no escape of a `%` before it: `%%341` is not `%41`.
                let next = rest.get(3..4).unwrap_or_default();
                if let Some(behind) = bare
                    && let Some(digits) = format!("{}{next}", text.get(behind..)?).get(..2)
                    && is_hexadecimal(digits)
                {
                    text.insert_str(behind, "25");
                    bare = None;
                }
            }
            _ if "\"<>^`{|}".contains(char) => text.push_str(&format!("%{:02X}", u32::from(char))),
            Some(_) => text.push_str(rest.get(..3)?),
            None => {
                text.push(char);
                bare = (char == '%').then_some(text.len()).or(bare);
            }
        }
        rest = rest.get(escaped.map_or(char.len_utf8(), |_| 3)..)?;
    }
    Some(text)
}

fn is_hexadecimal(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn what_is_normal_stays() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a%2Fb",
            "/a%2fb",
            "/;v=1/b",
            "/a?b//../c",
            "/...",
            "/..a",
            "/%zz",
            "/%",
            "/a%4",
            "/%+4",
        ] {
            assert_eq!(normalise(path).as_deref(), Some(path));
        }
    }

    #[test]
    fn dots_slashes_and_escapes() {
        for (path, normal) in [
            ("/a/../b", "/b"),
            ("/../a/./b/..", "/a/"),
            ("//a///b//", "/a/b/"),
            ("/a//../b", "/a/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/..;/b?c", "/b?c"),
            ("/a\\..\\b", "/b"),
            ("/%41%7e%2d", "/A~-"),
            ("/a|b", "/a%7Cb"),
            ("", "/"),
            ("/%%341", "/%2541"),
            ("/%%30%30", "/%2500"),
            ("/%%34z", "/%4z"),
        ] {
            assert_eq!(normalise(path).as_deref(), Some(normal), "{path}");
        }
        assert_eq!(normalise("/a%00"), None);
    }

    /// Elements that begin with `.;` or `..;` aside, which the filter answers 400.
    #[test]
    fn what_comes_out_stays() {
        let mut paths = vec!["/".to_owned()];
        for _ in 0..5 {
            let longer =
                paths.iter().flat_map(|path| "%234e1/.;|".chars().map(move |char| format!("{path}{char}")));
            paths = longer.collect();
            for normal in paths.iter().filter_map(|path| normalise(path)) {
                if !normal.contains("/.;") && !normal.contains("/..;") {
                    assert_eq!(normalise(&normal).as_deref(), Some(&*normal));
                }
            }
        }
    }
}
