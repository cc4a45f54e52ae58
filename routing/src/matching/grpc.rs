//! The service and method of a GRPCRoute's match, and those that a request calls.

use super::value::{Expressions, Value};
use crate::config::{GrpcMethodMatch, ValueMatchType};

/// What a gRPC request calls: a path of two elements, `/service/method` (gRPC over HTTP/2, "Path"). Another path calls
/// nothing that a match could name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call<'r> {
    pub(crate) service: &'r [u8],
    pub(crate) method: &'r [u8],
}

impl<'r> Call<'r> {
    /// `path` has no query string.
    pub(crate) fn of(path: &'r [u8]) -> Option<Self> {
        let mut elements = path.strip_prefix(b"/")?.split(|byte| *byte == b'/');
        let (service, method) = (elements.next()?, elements.next()?);
        let named = !service.is_empty() && !method.is_empty() && elements.next().is_none();
        named.then_some(Self { service, method })
    }
}

/// The compiled form of a `grpcMethod`. What is absent matches all.
#[derive(Clone, Debug)]
pub(crate) struct GrpcMatch {
    pub(crate) service: Option<Value>,
    pub(crate) method: Option<Value>,
}

impl GrpcMatch {
    /// The values are held to the rules of the API (Gateway API `GRPCMethodMatch`, its validation in the CRD). An
    /// empty expression is an absent one: "if left empty or omitted, will match any service".
    ///
    /// # Errors
    /// The faults, each with the field that it is in.
    pub(crate) fn compile(
        wanted: &GrpcMethodMatch,
        expressions: &mut Expressions,
    ) -> Result<Self, Vec<(&'static str, String)>> {
        let mut faults = Vec::new();
        let mut value = |field, text: &Option<String>, check: fn(&str) -> Result<(), String>| {
            let text = text.as_deref()?;
            let compiled = match wanted.kind {
                ValueMatchType::Exact => check(text).map(|()| Some(Value::Exact(text.into()))),
                ValueMatchType::RegularExpression if text.is_empty() => Ok(None),
                ValueMatchType::RegularExpression => {
                    expressions.compile(text).map(|expression| Some(Value::Expression(expression)))
                }
            };
            compiled.map_err(|fault| faults.push((field, fault))).ok().flatten()
        };
        let service = value("service", &wanted.service, check_service);
        let method = value("method", &wanted.method, check_method);
        if faults.is_empty() && service.is_none() && method.is_none() {
            faults.push(("", "has neither \"service\" nor \"method\"".to_owned()));
        }
        if faults.is_empty() { Ok(Self { service, method }) } else { Err(faults) }
    }

    /// Whether it matches what is called. The index asks the same question of many at once.
    pub(crate) fn matches(&self, call: Call<'_>) -> bool {
        let meets = |wanted: &Option<Value>, found| wanted.as_ref().is_none_or(|value| value.matches(found));
        meets(&self.service, call.service) && meets(&self.method, call.method)
    }

    /// As an expression that, of all paths that call something, matches those that it matches.
    pub(crate) fn as_expression(&self) -> String {
        let part = |wanted: &Option<Value>| match wanted {
            None => "[^/]*".to_owned(),
            Some(Value::Exact(text)) => regex_syntax::escape(text),
            Some(Value::Expression(expression)) => format!("(?:{})", expression.source()),
        };
        format!("/{}/{}", part(&self.service), part(&self.method))
    }

    /// Characters of the service for the precedence; 0 for every service.
    pub(crate) fn service_length(&self) -> usize {
        self.service.as_ref().map_or(0, Value::length)
    }

    /// Characters of the method for the precedence; 0 for every method.
    pub(crate) fn method_length(&self) -> usize {
        self.method.as_ref().map_or(0, Value::length)
    }
}

fn check_service(service: &str) -> Result<(), String> {
    let name = service.strip_prefix('.').unwrap_or(service);
    if name.split('.').all(is_identifier) {
        Ok(())
    } else {
        Err(format!("{service:?} is not a service such as \"helloworld.Greeter\""))
    }
}

fn check_method(method: &str) -> Result<(), String> {
    if is_identifier(method) {
        Ok(())
    } else {
        Err(format!("{method:?} is not a method such as \"SayHello\""))
    }
}

fn is_identifier(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().all(word) && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(
        kind: ValueMatchType,
        service: Option<&str>,
        method: Option<&str>,
    ) -> Result<GrpcMatch, Vec<(&'static str, String)>> {
        let (service, method) = (service.map(str::to_owned), method.map(str::to_owned));
        GrpcMatch::compile(&GrpcMethodMatch { kind, service, method }, &mut Expressions::default())
    }

    fn exact(service: Option<&str>, method: Option<&str>) -> GrpcMatch {
        compile(ValueMatchType::Exact, service, method).unwrap()
    }

    #[test]
    fn a_call_has_two_elements() {
        assert_eq!(Call::of(b"/a.B/C"), Some(Call { service: b"a.B", method: b"C" }));
        for path in ["", "*", "/", "/a", "/a/", "//b", "//", "/a/b/", "/a/b/c", "a/b", "x/a/b"] {
            assert_eq!(Call::of(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn what_is_absent_matches_all() {
        let matches = |wanted: &GrpcMatch, path: &str| wanted.matches(Call::of(path.as_bytes()).unwrap());
        let both = exact(Some("a.B"), Some("C"));
        assert!(matches(&both, "/a.B/C"));
        assert!(!matches(&both, "/a.B/D") && !matches(&both, "/a.C/C") && !matches(&both, "/a.b/C"));
        let service = exact(Some("a.B"), None);
        assert!(matches(&service, "/a.B/C") && matches(&service, "/a.B/D") && !matches(&service, "/a/C"));
        let method = exact(None, Some("C"));
        assert!(matches(&method, "/a.B/C") && matches(&method, "/x/C") && !matches(&method, "/C/x"));
        assert_eq!((both.service_length(), both.method_length()), (3, 1));
        assert_eq!((method.service_length(), method.method_length()), (0, 1));
    }

    #[test]
    fn expressions_are_of_the_whole_name() {
        let wanted = compile(ValueMatchType::RegularExpression, Some("a|a[.]B"), Some("")).unwrap();
        let matches = |path: &str| wanted.matches(Call::of(path.as_bytes()).unwrap());
        assert!(matches("/a/x") && matches("/a.B/x"));
        assert!(!matches("/a.BC/x") && !matches("/xa/x"));
        assert_eq!((wanted.service_length(), wanted.method_length()), (7, 0));
    }

    #[test]
    fn names_are_as_the_api_allows_them() {
        for good in ["a", ".a.B_1", "_a", "helloworld.Greeter"] {
            exact(Some(good), None);
        }
        for bad in ["", ".", "a.", "a..b", "1a", "a.1b", "a/b", "a-b", "é"] {
            let faults = compile(ValueMatchType::Exact, Some(bad), Some(bad)).unwrap_err();
            let fields: Vec<_> = faults.iter().map(|fault| fault.0).collect();
            assert_eq!(fields, ["service", "method"], "{bad}");
        }
        assert_eq!(
            compile(ValueMatchType::Exact, None, Some("a.b")).unwrap_err(),
            [("method", "\"a.b\" is not a method such as \"SayHello\"".to_owned())]
        );
        let neither = [("", "has neither \"service\" nor \"method\"".to_owned())];
        assert_eq!(compile(ValueMatchType::Exact, None, None).unwrap_err(), neither);
        assert_eq!(compile(ValueMatchType::RegularExpression, Some(""), None).unwrap_err(), neither);
        let faults = compile(ValueMatchType::RegularExpression, None, Some("(")).unwrap_err();
        assert_eq!(faults[0].1, "\"(\" is not a valid regular expression: unclosed group");
    }
}
