//! A request as the routing decision sees it: borrowed bytes, nothing parsed yet.

/// The parts of a request that rules can match.
///
/// All are bytes, because a client may send anything; nothing here needs to be UTF-8.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// `:method`, as received.
    pub method: &'a [u8],
    /// `:authority` or Host, as received: any case, perhaps with a port or a trailing dot.
    pub authority: &'a [u8],
    /// `:path` after Envoy's normalisation, with the query string.
    pub path: &'a [u8],
    /// Every header as (name, value), names in lower case as Envoy hands them out, repeated ones repeated.
    /// Pseudo-headers may be among them and are ignored.
    pub headers: &'a [(&'a [u8], &'a [u8])],
}

impl<'a> Request<'a> {
    /// Whether it is a gRPC request: its `content-type` begins with `application/grpc` (gRPC over HTTP/2, "Requests";
    /// media types are compared without case, RFC 9110, 8.3.1).
    pub fn is_grpc(&self) -> bool {
        const GRPC: &[u8] = b"application/grpc";
        let content_type = self.headers.iter().find(|header| header.0 == b"content-type");
        content_type
            .and_then(|header| header.1.get(..GRPC.len()))
            .is_some_and(|kind| kind.eq_ignore_ascii_case(GRPC))
    }

    /// The path with the query string, with one slash for a path of nothing but slashes. That is the one path with an
    /// empty element that Envoy's `merge_slashes` leaves as it is (1.40); to a backend it may well be `/`, and so it
    /// must be to the rules.
    pub(crate) fn merged_path(&self) -> &'a [u8] {
        let slashes = self.path.iter().take_while(|byte| **byte == b'/').count();
        match self.path.get(slashes) {
            None | Some(b'?') => self.path.get(slashes.saturating_sub(1)..).unwrap_or_default(),
            Some(_) => self.path,
        }
    }

    /// Whether the path has an element that may lead elsewhere: `..;x` is `..` to a backend that knows path parameters.
    /// Envoy resolves such elements, but not where the dots were percent-encoded, which it decodes only afterwards
    /// (1.40).
    pub(crate) fn is_ambiguous(&self) -> bool {
        let (path, _) = self.path_and_query();
        let name = |element: &[u8]| matches!(element, [b'.', b';', ..] | [b'.', b'.', b';', ..]);
        path.contains(&b';') && path.split(|byte| *byte == b'/').any(name)
    }

    /// The path up to the first `?`, and the query string after it (RFC 3986, 3.4), empty without one.
    pub(crate) fn path_and_query(&self) -> (&'a [u8], &'a [u8]) {
        let whole = self.merged_path();
        let query = whole.iter().position(|byte| *byte == b'?');
        match query.and_then(|mark| whole.split_at_checked(mark)) {
            Some((path, [_, query @ ..])) => (path, query),
            _ => (whole, &[]),
        }
    }

    /// The same, with the `?` as part of the query string.
    pub(crate) fn path_and_marked_query(&self) -> (&'a [u8], &'a [u8]) {
        let (path, _) = self.path_and_query();
        let whole = self.merged_path();
        whole.split_at_checked(path.len()).unwrap_or((whole, &[]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_known_by_its_content_type() {
        fn is_grpc(headers: &[(&[u8], &[u8])]) -> bool {
            Request { method: b"POST", authority: b"", path: b"/a/b", headers }.is_grpc()
        }
        for kind in ["application/grpc", "application/grpc+proto", "Application/gRPC-web"] {
            assert!(is_grpc(&[(b"accept", b"*/*"), (b"content-type", kind.as_bytes())]), "{kind}");
        }
        for kind in ["application/json", "application/grp", "", "text/application/grpc"] {
            assert!(!is_grpc(&[(b"content-type", kind.as_bytes())]), "{kind}");
        }
        assert!(!is_grpc(&[]));
    }

    #[test]
    fn the_query_begins_at_the_first_question_mark() {
        let split = |path: &'static str| {
            let request = Request { method: b"GET", authority: b"", path: path.as_bytes(), headers: &[] };
            let (path, query) = request.path_and_query();
            (std::str::from_utf8(path).unwrap(), std::str::from_utf8(query).unwrap())
        };
        assert_eq!(split("/a"), ("/a", ""));
        assert_eq!(split("/a?"), ("/a", ""));
        assert_eq!(split("/a?b=c?d"), ("/a", "b=c?d"));
        assert_eq!(split("?b"), ("", "b"));
        assert_eq!(split(""), ("", ""));
    }

    #[test]
    fn elements_of_dots_with_parameters_are_ambiguous() {
        for (path, ambiguous) in [
            ("/a/..;/b", true),
            ("/a/..;x=1", true),
            ("/.;", true),
            ("/a;x/..;y/b", true),
            ("/a/b;../c", false),
            ("/...;/b", false),
            ("/a..;/b", false),
            ("/a?/..;/b", false),
            ("/..%3b/b", false),
            ("", false),
        ] {
            let request = Request { method: b"GET", authority: b"", path: path.as_bytes(), headers: &[] };
            assert_eq!(request.is_ambiguous(), ambiguous, "{path}");
        }
    }

    #[test]
    fn nothing_but_slashes_is_one_slash() {
        for (path, merged) in [
            ("", ""),
            ("/", "/"),
            ("//", "/"),
            ("///?//", "/?//"),
            ("?", "?"),
            ("*", "*"),
            ("/a", "/a"),
            ("//a", "//a"),
        ] {
            let request = Request { method: b"GET", authority: b"", path: path.as_bytes(), headers: &[] };
            assert_eq!(request.merged_path(), merged.as_bytes(), "{path}");
            let (path, query) = request.path_and_marked_query();
            assert_eq!([path, query].concat(), merged.as_bytes());
        }
    }
}
