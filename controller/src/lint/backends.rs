//! Rules that answer nothing but an error, because they have nowhere to send their requests. (Weights of 0 alone are told
//! of in translation.)

use gatewasm_routing::config::{RouteFilter, RouteKind};

use super::{Lint, filter};
use crate::problem::Problem;

pub(super) fn find(lint: &Lint<'_>, problems: &mut Vec<Problem>) {
    let list = lint.backends_field();
    for at in lint.attached() {
        let (answer, way_out) = match at.route.1.kind {
            RouteKind::HttpRoute => ("500", format!("Add {list}, or a RequestRedirect")),
            RouteKind::GrpcRoute => ("UNAVAILABLE", format!("Add {list}")),
        };
        for (index, rule) in at.sound_rules() {
            let redirect = |filter| matches!(filter, &RouteFilter::RequestRedirect { .. }).then_some(());
            if rule.backends.is_empty() && filter(&rule.filters, redirect).is_none() {
                let message = format!(
                    "The rule has no {list}, so each of its requests is answered {answer}. {way_out}."
                );
                problems.push(lint.warning(at, &format!("rules[{index}]"), "NoBackends", message));
            }
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
        assert_eq!(of(cors), [(field, nothing.to_owned())]);
        let grpc = route("n/r", r#""rules": [{}]"#).replace("HTTPRoute", "GRPCRoute");
        let found = findings("NoBackends", &listener("http", "HTTP", &[grpc]));
        assert!(found[0].1.ends_with("is answered UNAVAILABLE. Add backends."), "{found:?}");
    }

    #[test]
    fn a_rule_that_sends_something_somewhere_is_left_alone() {
        for rule in [
            r#"{"backends": [{"cluster": "a"}]}"#,
            r#"{"filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": "a.test"}}]}"#,
            // Told of otherwise.
            r#"{"backends": [{"cluster": "a", "weight": 0}]}"#,
            r#"{"backends": [{"invalid": "no"}]}"#,
            r#"{"invalid": "no"}"#,
        ] {
            assert_eq!(of(rule), [], "{rule}");
        }
    }
}
