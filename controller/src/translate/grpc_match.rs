//! Matches of a GRPCRoute's rule. As with HTTPRoutes, one that cannot be served as written is widened
//! ([`super::route_match`], decision record 0007).

use gatewasm_routing::check_match;
use gatewasm_routing::config::{self, ValueMatchType};

use super::route_match::{
    EVERYTHING, NOTHING, compiles, literal_prefix, stand_in_of_values, unknown_type, values,
};
use crate::api::{self, GrpcMethodMatch, GrpcRouteMatch};
use crate::fault::{Fault, sentence};

/// The match for the filter config, and what is wrong with it. With a fault it is a stand-in.
pub(super) fn translate(matched: &GrpcRouteMatch, field: &str) -> (config::RouteMatch, Vec<Fault>) {
    let mut faults = Vec::new();
    let method = matched.method.as_ref();
    let grpc_method =
        method.and_then(|method| translate_method(method, &format!("{field}.method"), &mut faults));
    let headers = values(&matched.headers, &format!("{field}.headers"), &mut faults);
    let mut result = config::RouteMatch { grpc_method, headers, ..Default::default() };
    let problems = check_match(&result);
    if !problems.is_empty() {
        let fault = |problem: &gatewasm_routing::ConfigProblem| {
            let member = match problem.path.strip_prefix("grpcMethod") {
                Some(member) => format!("method{member}"),
                None => problem.path.clone(),
            };
            Fault::new(format!("{field}.{member}"), "UnsupportedValue", sentence(&problem.message))
        };
        faults.extend(problems.iter().map(fault));
        result.grpc_method = result.grpc_method.map(stand_in);
        stand_in_of_values(&mut result);
    }
    (result, faults)
}

/// "If left empty or omitted, will match any service", and the same for methods (`GRPCMethodMatch`).
fn translate_method(
    method: &GrpcMethodMatch,
    field: &str,
    faults: &mut Vec<Fault>,
) -> Option<config::GrpcMethodMatch> {
    let given = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
    let (service, name) = (given(&method.service), given(&method.method));
    if service.is_none() && name.is_none() {
        return None;
    }
    let matched = |kind| config::GrpcMethodMatch { kind, service, method: name };
    Some(match &method.kind {
        api::ValueMatchType::Exact => matched(ValueMatchType::Exact),
        api::ValueMatchType::RegularExpression => matched(ValueMatchType::RegularExpression),
        api::ValueMatchType::Other(other) => {
            let message = unknown_type(other, api::ValueMatchType::KNOWN);
            faults.push(Fault::new(format!("{field}.type"), "UnsupportedValue", message));
            // What the values mean is not known; whatever it is, it likely begins with them.
            expressions(matched(ValueMatchType::Exact), beginning_with)
        }
    })
}

/// The narrowest expressions that surely match what a method match was meant for that is not sound.
fn stand_in(method: config::GrpcMethodMatch) -> config::GrpcMethodMatch {
    if method.kind == ValueMatchType::Exact {
        return expressions(method, regex::escape);
    }
    let stand_in = expressions(method, |expression| {
        let (kind, service) = (ValueMatchType::RegularExpression, Some(expression.to_owned()));
        let alone = config::GrpcMethodMatch { kind, service, method: None };
        if compiles(config::RouteMatch { grpc_method: Some(alone), ..Default::default() }) {
            expression.to_owned()
        } else {
            beginning_with(&literal_prefix(expression))
        }
    });
    // Without any hint, the widest condition would take every other route's requests as well.
    if [&stand_in.service, &stand_in.method].into_iter().flatten().all(|value| value == EVERYTHING) {
        return config::GrpcMethodMatch { service: Some(NOTHING.to_owned()), method: None, ..stand_in };
    }
    stand_in
}

/// Expressions that are made of each value.
fn expressions(method: config::GrpcMethodMatch, of: impl Fn(&str) -> String) -> config::GrpcMethodMatch {
    config::GrpcMethodMatch {
        kind: ValueMatchType::RegularExpression,
        service: method.service.as_deref().map(&of),
        method: method.method.as_deref().map(&of),
    }
}

fn beginning_with(text: &str) -> String {
    format!("{}{EVERYTHING}", regex::escape(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `type service method` of what comes of a match, and the fields that are at fault.
    fn translated(method: &str) -> (Option<String>, Vec<String>) {
        let method: GrpcRouteMatch = serde_saphyr::from_str(&format!("{{method: {method}}}")).unwrap();
        let (matched, faults) = translate(&method, "m");
        assert!(compiles(matched.clone()), "{matched:?}");
        let shown = matched.grpc_method.map(|it| {
            let part = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            format!("{:?} {} {}", it.kind, part(it.service), part(it.method))
        });
        (shown, faults.into_iter().map(|fault| fault.field).collect())
    }

    #[test]
    fn sound_matches_are_as_written() {
        for (method, expected) in [
            ("{service: a.B, method: C}", "Exact a.B C"),
            ("{service: .a.B, method: ''}", "Exact .a.B -"),
            ("{method: C, type: Exact}", "Exact - C"),
            ("{service: 'a\\..*', type: RegularExpression}", r"RegularExpression a\..* -"),
        ] {
            assert_eq!(translated(method), (Some(expected.to_owned()), vec![]), "{method}");
        }
        assert_eq!(translated("{service: '', type: RegularExpression}"), (None, vec![]));
    }

    #[test]
    fn stand_ins_match_what_was_meant_and_little_more() {
        for (method, expected, fields) in [
            ("{service: a/B, method: C}", "RegularExpression a/B C", &["m.method.service"][..]),
            ("{service: a.B, method: C.D}", r"RegularExpression a\.B C\.D", &["m.method.method"]),
            (
                "{service: 1.2, method: ü}",
                r"RegularExpression 1\.2 ü",
                &["m.method.service", "m.method.method"],
            ),
            (
                "{service: 'a\\.B(', type: RegularExpression}",
                r"RegularExpression a\.B(?s-u:.*) -",
                &["m.method.service"],
            ),
            (
                "{service: '(', method: Get.*, type: RegularExpression}",
                "RegularExpression (?s-u:.*) Get.*",
                &["m.method.service"],
            ),
            ("{service: '(', type: RegularExpression}", "RegularExpression [a&&b] -", &["m.method.service"]),
            (
                "{service: '(', method: '[', type: RegularExpression}",
                "RegularExpression [a&&b] -",
                &["m.method.service", "m.method.method"],
            ),
            ("{service: a.B, type: Prefix}", r"RegularExpression a\.B(?s-u:.*) -", &["m.method.type"]),
        ] {
            let (shown, faults) = translated(method);
            assert_eq!(
                (shown.as_deref(), &faults[..]),
                (Some(expected), &fields.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{method}"
            );
        }
    }
}
