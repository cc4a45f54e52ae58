//! The method of a match.

/// The methods that the API knows (Gateway API `HTTPMethod`).
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// The compiled form of a `method`. Methods are case-sensitive (RFC 9110, 9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Method(&'static str);

impl Method {
    /// # Errors
    /// Why `name` is no method of the API.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let known = METHODS.into_iter().find(|method| *method == name).map(Self);
        known.ok_or_else(|| format!("\"{name}\" is not one of {}", METHODS.join(", ")))
    }

    pub(crate) fn matches(self, method: &[u8]) -> bool {
        self.0.as_bytes() == method
    }

    pub(crate) fn name(self) -> &'static str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_compared_as_they_are() {
        let get = Method::parse("GET").unwrap();
        assert!(get.matches(b"GET"));
        assert!(!get.matches(b"get"));
        assert!(!get.matches(b"GETX"));
        assert!(!get.matches(b""));
    }

    #[test]
    fn other_methods_are_refused() {
        let problem = Method::parse("get").unwrap_err();
        assert_eq!(
            problem,
            "\"get\" is not one of GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH"
        );
        Method::parse("").unwrap_err();
    }
}
