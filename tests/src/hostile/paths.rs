//! Which paths are the same path to everybody.

/// Whether a server takes every element of the path for itself: none is empty but the last, none is `.` or `..`,
/// neither percent-encoded nor with parameters, and there is no backslash. What is behind a `?` is no path.
pub fn is_normal(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    let path = path.to_ascii_lowercase().replace("%2e", ".");
    let Some(path) = path.strip_prefix('/') else { return false };
    let elements: Vec<&str> = path.split('/').collect();
    let (last, others) = elements.split_last().unwrap_or((&"", &[]));
    let dots = |element: &&str| matches!(element.split(';').next(), Some("." | ".."));
    !path.contains('\\') && !elements.iter().any(dots) && !others.contains(&"") && !dots(last)
}

#[cfg(test)]
mod tests {
    use super::is_normal;

    #[test]
    fn normal_and_not() {
        for path in ["/", "/a", "/a/", "/..a/b..", "/a;x=../b", "/a?/../b", "/%2f..", "/..%3b/"] {
            assert!(is_normal(path), "{path}");
        }
        for path in
            ["", "*", "a", "//", "/a//b", "/a/../b", "/..", "/a/.", "/%2E%2e/a", "/..;x/a", "/.;", "/a\\b"]
        {
            assert!(!is_normal(path), "{path}");
        }
    }
}
