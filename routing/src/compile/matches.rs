//! The matches of a rule: what of them is sound, and which of their entries count. Knows nothing of rules.

use super::Compiler;
use crate::config::{self, RouteKind, ValueMatch, ValueMatchType};
use crate::header_name;
use crate::matching::grpc::GrpcMatch;
use crate::matching::header::HeaderMatch;
use crate::matching::method::Method;
use crate::matching::path::PathMatch;
use crate::matching::query::QueryMatch;
use crate::matching::value::Value;
use crate::table::Conditions;

impl Compiler<'_> {
    /// A match has what the API gives the matches of its kind of route, and nothing else.
    pub(super) fn kind(&mut self, kind: RouteKind, route_match: &config::RouteMatch) {
        let others: &[(&str, bool)] = match kind {
            RouteKind::HttpRoute => &[("grpcMethod", route_match.grpc_method.is_some())],
            RouteKind::GrpcRoute => &[
                ("path", route_match.path.is_some()),
                ("method", route_match.method.is_some()),
                ("queryParams", !route_match.query_params.is_empty()),
            ],
        };
        for (field, _) in others.iter().filter(|(_, given)| *given) {
            let own = match kind {
                RouteKind::HttpRoute => "path, method, headers and queryParams",
                RouteKind::GrpcRoute => "grpcMethod and headers",
            };
            self.problems.add(field, format!("is not for a match of {kind}s, which has {own}"));
        }
    }

    pub(super) fn conditions(&mut self, route_match: &config::RouteMatch) -> Option<(PathMatch, Conditions)> {
        let path = match &route_match.path {
            Some(path) => {
                let compiled = PathMatch::compile(path, &mut self.expressions);
                self.sound("path.value", compiled)
            }
            None => Some(PathMatch::default()),
        };
        let method = match &route_match.method {
            Some(name) => self.sound("method", Method::parse(name)).map(Some),
            None => Some(None),
        };
        let grpc = match &route_match.grpc_method {
            Some(wanted) => match GrpcMatch::compile(wanted, &mut self.expressions) {
                Ok(compiled) => Some(Some(Box::new(compiled))),
                Err(faults) => {
                    self.problems.within(format_args!("grpcMethod"), |problems| {
                        faults.into_iter().for_each(|(field, fault)| problems.add(field, fault));
                    });
                    None
                }
            },
            None => Some(None),
        };
        let headers = self.values("headers", &route_match.headers, header_name::to_match);
        let headers = headers.into_iter().map(|(name, value)| HeaderMatch { name, value }).collect();
        let query_params = self.values("queryParams", &route_match.query_params, parameter_name);
        let query_params = query_params.into_iter().map(|(name, value)| QueryMatch { name, value }).collect();
        Some((path?, Conditions { method: method?, grpc: grpc?, headers, query_params }))
    }

    /// The entries that count: "If multiple entries specify equivalent header names, only the first entry … MUST be
    /// considered for a match" (Gateway API `HTTPHeaderMatch.name`, and the same for query parameters). The others
    /// are checked all the same.
    fn values(
        &mut self,
        field: &str,
        entries: &[ValueMatch],
        parse_name: impl Fn(&str) -> Result<Box<str>, String>,
    ) -> Vec<(Box<str>, Value)> {
        let mut values: Vec<(Box<str>, Value)> = Vec::with_capacity(entries.len());
        for (i, entry) in entries.iter().enumerate() {
            let name = self.sound(format_args!("{field}[{i}].name"), parse_name(&entry.name));
            let value = match entry.kind {
                ValueMatchType::Exact => Ok(Value::Exact(entry.value.as_str().into())),
                ValueMatchType::RegularExpression => {
                    self.expressions.compile(&entry.value).map(Value::Expression)
                }
            };
            let value = self.sound(format_args!("{field}[{i}].value"), value);
            let (Some(name), Some(value)) = (name, value) else { continue };
            if values.iter().all(|(known, _)| *known != name) {
                values.push((name, value));
            }
        }
        values
    }
}

fn parameter_name(name: &str) -> Result<Box<str>, String> {
    if name.is_empty() { Err("is empty".to_owned()) } else { Ok(name.into()) }
}

#[cfg(test)]
mod tests {
    use super::super::check_match;
    use super::super::tests::{in_listener, in_match};
    use super::*;

    #[test]
    fn matches() {
        assert_eq!(
            in_match(
                r#""path": {"value": "foo"}, "method": "get",
                   "headers": [{"name": "a b", "value": ""}, {"name": "a", "value": "(", "type": "RegularExpression"}],
                   "queryParams": [{"name": "", "value": ""}]"#
            ),
            [
                "path.value: \"foo\" does not begin with \"/\"",
                "method: \"get\" is not one of GET, HEAD, POST, PUT, DELETE, CONNECT, OPTIONS, TRACE, PATCH",
                "headers[0].name: \"a b\" is not a header name",
                "headers[1].value: \"(\" is not a valid regular expression: unclosed group",
                "queryParams[0].name: is empty",
            ]
        );
    }

    #[test]
    fn grpc_matches() {
        let in_grpc_route = |fields: &str| {
            in_listener(&format!(
                r#", "routes": [{{"kind": "GRPCRoute", "namespace": "ns", "name": "n", "rules": [{{"matches": [{{{fields}}}]}}]}}]"#
            ))
            .into_iter()
            .map(|fault| fault.replacen("listeners[0].routes[0].rules[0].matches[0].", "", 1))
            .collect::<Vec<_>>()
        };
        let grpc = r#""grpcMethod": {"service": "a.B", "method": "C"}"#;
        assert_eq!(in_grpc_route(""), [""; 0]);
        assert_eq!(in_grpc_route(&format!(r#"{grpc}, "headers": [{{"name": "a", "value": "b"}}]"#)), [""; 0]);
        assert_eq!(
            in_match(grpc),
            ["grpcMethod: is not for a match of HTTPRoutes, which has path, method, headers and queryParams"]
        );
        assert_eq!(
            in_grpc_route(
                r#""path": {"value": "/"}, "method": "GET", "queryParams": [{"name": "a", "value": "b"}]"#
            ),
            ["path", "method", "queryParams"].map(|field| format!(
                "{field}: is not for a match of GRPCRoutes, which has grpcMethod and headers"
            ))
        );
        assert_eq!(
            in_grpc_route(r#""grpcMethod": {"service": "a/B", "method": ""}"#),
            [
                "grpcMethod.service: \"a/B\" is not a service such as \"helloworld.Greeter\"",
                "grpcMethod.method: \"\" is not a method such as \"SayHello\"",
            ]
        );
        assert_eq!(
            in_grpc_route(r#""grpcMethod": {}"#),
            ["grpcMethod: has neither \"service\" nor \"method\""]
        );
    }

    #[test]
    fn a_match_that_does_not_count_is_checked_all_the_same() {
        assert_eq!(
            in_match(
                r#""headers": [{"name": "a", "value": ""}, {"name": "A", "value": "(", "type": "RegularExpression"}]"#
            ),
            ["headers[1].value: \"(\" is not a valid regular expression: unclosed group"]
        );
    }

    #[test]
    fn one_match_by_itself() {
        let route_match = config::RouteMatch {
            path: Some(config::PathMatch { kind: config::PathMatchType::Exact, value: "/a#".to_owned() }),
            method: Some("get".to_owned()),
            ..Default::default()
        };
        let paths: Vec<_> = check_match(&route_match).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, ["path.value", "method"]);
        assert_eq!(check_match(&config::RouteMatch::default()), []);
    }
}
