//! Rules that answer nothing but an error, because they send their requests nowhere.

use gatewasm_routing::config::{RouteFilter, RouteKind};

use super::{Lint, filter};
use crate::problem::Problem;

pub(super) fn find(lint: &Lint<'_>, problems: &mut Vec<Problem>) {
    for at in lint.attached() {
        let answer = match at.route.1.kind {
            RouteKind::HttpRoute => "is answered 500",
            RouteKind::GrpcRoute => "is answered UNAVAILABLE",
        };
        for (index, rule) in at.sound_rules() {
            let redirect = |filter| matches!(filter, &RouteFilter::RequestRedirect { .. }).then_some(());
            if filter(&rule.filters, redirect).is_some() || rule.backends.iter().any(|it| it.weight > 0) {
                continue;
            }
            let (field, list) = (format!("rules[{index}]"), lint.backends_field());
            let (field, message) = if rule.backends.is_empty() {
                let way_out = match at.route.1.kind {
                    RouteKind::HttpRoute => format!("Add {list}, or a RequestRedirect"),
                    RouteKind::GrpcRoute => format!("Add {list}"),
                };
                (field, format!("The rule has no {list}, so each of its requests {answer}. {way_out}."))
            } else {
                let message = format!(
                    "All {list} of the rule have weight 0, so each of its requests {answer}. Give one of them a \
                     weight."
                );
                (format!("{field}.{list}"), message)
            };
            problems.push(lint.warning(at, &field, "NoBackends", message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, listener, route};

    fn of(rule: &str) -> Vec<(String, String)> {
        let route = route("n/r", &format!(r#""rules": [{rule}]"#));
        findings("NoBackends", &listener("http", "HTTP", &[route]))
    }

    #[test]
    fn a_rule_that_sends_nothing_anywhere_is_found() {
        let field = "listeners[0].routes[0].rules[0]".to_owned();
        let nothing = "The rule has no backends, so each of its requests is answered 500. Add backends, or a \
                       RequestRedirect.";
        assert_eq!(of("{}"), [(field.clone(), nothing.to_owned())]);
        let cors = r#"{"filters": [{"type": "CORS", "cors": {"allowOrigins": ["*"]}}]}"#;
        assert_eq!(of(cors), [(field.clone(), nothing.to_owned())]);
        let none = "All backends of the rule have weight 0, so each of its requests is answered 500. Give one of \
                    them a weight.";
        let weights = r#"{"backends": [{"cluster": "a", "weight": 0}, {"cluster": "b", "weight": 0}]}"#;
        assert_eq!(of(weights), [(format!("{field}.backends"), none.to_owned())]);
        let grpc = route("n/r", r#""rules": [{}]"#).replace("HTTPRoute", "GRPCRoute");
        let found = findings("NoBackends", &listener("http", "HTTP", &[grpc]));
        assert!(found[0].1.ends_with("is answered UNAVAILABLE. Add backends."), "{found:?}");
    }

    #[test]
    fn a_rule_that_sends_something_somewhere_is_left_alone() {
        for rule in [
            r#"{"backends": [{"cluster": "a", "weight": 0}, {"cluster": "b"}]}"#,
            r#"{"filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": "a.test"}}]}"#,
            // Both are told of as errors.
            r#"{"backends": [{"invalid": "no"}]}"#,
            r#"{"invalid": "no"}"#,
        ] {
            assert_eq!(of(rule), [], "{rule}");
        }
    }
}
