//! Matches that no request can meet: they ask for a path, header or call that none has where rules are looked at. Only
//! what is certain is told.

use gatewasm_routing::config::{PathMatchType, Protocol, RouteKind, RouteMatch, ValueMatch, ValueMatchType};

use super::expression::{Texts, parse};
use super::{Attached, Lint, Origin, hostnames_of};
use crate::normal_path::normalise;
use crate::problem::Problem;

/// In no part of a request.
const NOWHERE: &[u8] = b"\0\r\n";
/// What a path begins with: that of `OPTIONS *` is `*`.
const FIRST: &[u8] = b"/*";

/// A field of a match, and why no request meets it.
type Obstacle = (String, String);

pub(super) fn find(lint: &Lint<'_>, problems: &mut Vec<Problem>) {
    for at in lint.attached() {
        for (rule, it) in at.sound_rules() {
            for (i, of) in it.matches.iter().enumerate() {
                let Some((field, why)) = obstacle(lint, at, of) else { continue };
                let message = format!("No request meets this match: {why}.");
                let field = format!("rules[{rule}].matches[{i}].{field}");
                problems.push(lint.warning(at, &field, "NeverMatches", message));
            }
        }
    }
}

/// The first condition of a match that no request meets.
fn obstacle(lint: &Lint<'_>, at: Attached<'_>, of: &RouteMatch) -> Option<Obstacle> {
    of_path(of).or_else(|| of_call(lint, of)).or_else(|| {
        of.headers.iter().enumerate().find_map(|(i, header)| {
            // Of entries with the same name the first counts.
            let first = of.headers.iter().position(|it| it.name.eq_ignore_ascii_case(&header.name));
            let why = (first == Some(i)).then(|| of_header(lint, at, header))??;
            Some((format!("headers[{i}].value"), why))
        })
    })
}

fn of_path(of: &RouteMatch) -> Option<Obstacle> {
    let path = of.path.as_ref()?;
    let value = &path.value;
    let why = match path.kind {
        PathMatchType::Exact | PathMatchType::PathPrefix => match normalise(value) {
            Some(normal) if normal == *value => return None,
            Some(normal) => format!(
                "paths are compared in normal form, in which {value:?} is {normal:?}. Write it in that form"
            ),
            None => format!("a path with \"%00\", as in {value:?}, is answered 400"),
        },
        PathMatchType::RegularExpression => {
            let hir = parse(value)?;
            let texts = Texts::of(&hir, &[NOWHERE, b"?"].concat(), FIRST);
            if texts.empty || texts.begun {
                // CONNECT may have an empty path.
                return None;
            } else if Texts::of(&hir, b"", FIRST).begun {
                format!(
                    "every path that {value:?} matches has a \"?\" or a line break, and none does. A query is matched \
                     by queryParams"
                )
            } else {
                format!("{value:?} must match the whole path, and matches none that begins with \"/\"")
            }
        }
    };
    Some(("path.value".to_owned(), why))
}

/// What is called is two elements of the path.
fn of_call(lint: &Lint<'_>, of: &RouteMatch) -> Option<Obstacle> {
    let call = of.grpc_method.as_ref().filter(|call| call.kind == ValueMatchType::RegularExpression)?;
    let field = match lint.origin {
        Origin::Objects(_) => "method",
        Origin::File(_) => "grpcMethod",
    };
    let parts = [("service", &call.service), ("method", &call.method)];
    parts.into_iter().find_map(|(part, expression)| {
        let expression = expression.as_ref()?;
        let texts = Texts::of(&parse(expression)?, &[NOWHERE, b"/?"].concat(), b"");
        let why = format!(
            "every {part} that {expression:?} matches has a \"/\", \"?\" or line break, and none does"
        );
        (!texts.any).then(|| (format!("{field}.{part}"), why))
    })
}

fn of_header(lint: &Lint<'_>, at: Attached<'_>, header: &ValueMatch) -> Option<String> {
    let ValueMatch { name, value, kind } = header;
    if *kind == ValueMatchType::RegularExpression {
        let texts = Texts::of(&parse(value)?, NOWHERE, b"");
        return (!texts.any)
            .then(|| format!("every value that {value:?} matches has a line break, and none does"));
    }
    if value.bytes().any(|byte| NOWHERE.contains(&byte)) {
        return Some(format!("{value:?} has a line break, and no value of a header does"));
    }
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let grpc = b"application/grpc";
    let begins = value.as_bytes().get(..grpc.len()).is_some_and(|text| text.eq_ignore_ascii_case(grpc));
    if at.route.1.kind == RouteKind::GrpcRoute && is("content-type") && !begins {
        return Some(format!(
            "rules of GRPCRoutes take requests alone whose content-type begins with \"application/grpc\", and {value:?} \
             does not"
        ));
    }
    if is("host") {
        return of_host(lint, at, value);
    }
    // In an Envoy of somebody's own it may be another.
    if is("x-forwarded-proto") && matches!(lint.origin, Origin::Objects(_)) {
        let schemes: Vec<_> = places(lint, at).map(|at| scheme(at.listener.1.protocol)).collect();
        let scheme = schemes.first()?;
        return schemes.iter().all(|scheme| *scheme != value).then(|| {
            format!(
                "Envoy sets x-forwarded-proto to how the request came to the listener, which is never {value:?} but \
                 {scheme:?}"
            )
        });
    }
    None
}

fn scheme(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Https => "https",
    }
}

/// The rules of a route with hostnames take no other hosts.
fn of_host(lint: &Lint<'_>, at: Attached<'_>, value: &str) -> Option<String> {
    let lower = value.to_ascii_lowercase();
    let host = match lower.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => &lower,
    };
    let names = hostnames_of(host.strip_suffix('.').unwrap_or(host));
    let serves = |at: Attached<'_>| {
        let (listener, route) = (at.listener.1, at.route.1);
        let own: Vec<&String> = match route.hostnames.as_slice() {
            [] => listener.hostname.iter().collect(),
            own => own.iter().collect(),
        };
        own.is_empty() || own.into_iter().any(|own| names.contains(own))
    };
    (!places(lint, at).any(serves)).then(|| format!("{value:?} is none of the hosts that the route is for"))
}

/// Where the route is attached: an object is one wherever it is, and its finding must hold everywhere.
fn places<'a>(lint: &Lint<'a>, at: Attached<'a>) -> impl Iterator<Item = Attached<'a>> + use<'a> {
    let id = |at: &Attached<'a>| (at.route.1.kind, &at.route.1.namespace, &at.route.1.name);
    let in_file = matches!(lint.origin, Origin::File(_));
    lint.attached()
        .filter(move |other| id(other) == id(&at) && (!in_file || other.listener.0 == at.listener.0))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, listener, route};
    use super::*;
    use crate::snapshot::Snapshot;

    /// The findings for one match of a route with these fields.
    fn at(route_fields: &str, of: &str) -> Vec<String> {
        let rules = format!(r#"{route_fields} "rules": [{{"matches": [{{{of}}}]}}]"#);
        let found = findings("NeverMatches", &listener("http", "HTTP", &[route("n/r", &rules)]));
        found
            .into_iter()
            .map(|(field, message)| {
                let field =
                    field.trim_start_matches("listeners[0].routes[0].rules[0].matches[0].").to_owned();
                format!("{field}: {}", message.trim_start_matches("No request meets this match: "))
            })
            .collect()
    }

    fn path(kind: &str, value: &str) -> Vec<String> {
        at("", &format!(r#""path": {{"type": "{kind}", "value": {value:?}}}"#))
    }

    fn header(name: &str, kind: &str, value: &str) -> String {
        format!(r#""headers": [{{"name": "{name}", "type": "{kind}", "value": {value:?}}}]"#)
    }

    #[test]
    fn a_path_that_is_not_in_normal_form_is_found() {
        for kind in ["Exact", "PathPrefix"] {
            assert_eq!(
                path(kind, "/%7Efoo"),
                [
                    "path.value: paths are compared in normal form, in which \"/%7Efoo\" is \"/~foo\". Write it in that \
                     form."
                ]
            );
            for value in ["/a/%41", "/%2e", "/a/..;x/b", "/a/.;x", "/a%00"] {
                assert_eq!(path(kind, value).len(), 1, "{value}");
            }
            for value in
                ["/", "/a/", "/~foo", "/a%20b", "/%C3", "/%c3", "/a;b=c", "/...", "/a=b&c,d:e@f!$'()*+"]
            {
                assert_eq!(path(kind, value), [""; 0], "{value}");
            }
        }
    }

    #[test]
    fn an_expression_that_matches_no_path_is_found() {
        let expression = |value| path("RegularExpression", value);
        assert_eq!(
            expression("api/.*"),
            ["path.value: \"api/.*\" must match the whole path, and matches none that begins with \"/\"."]
        );
        assert!(expression(r"/a\?b=c")[0].ends_with("A query is matched by queryParams."));
        assert_eq!(expression("/a\n").len(), 1);
        for value in
            ["/a", "^/a", ".*a", "[^a]b", "a?/b", "(a)?", r"[*]", r"/a(\?.*)?", "(?i)/A", "//a", "/%41", ""]
        {
            assert_eq!(expression(value), [""; 0], "{value}");
        }
    }

    #[test]
    fn a_value_that_no_header_has_is_found() {
        assert_eq!(
            at("", &header("env", "Exact", "canary\n")),
            ["headers[0].value: \"canary\\n\" has a line break, and no value of a header does."]
        );
        assert_eq!(at("", &header("env", "RegularExpression", "a|b\n")), [""; 0]);
        assert_eq!(at("", &header("env", "RegularExpression", "(a|b)\n")).len(), 1);
        assert_eq!(at("", &header("env", "Exact", "")), [""; 0]);
        // It does not count.
        let twice = r#""headers": [{"name": "a", "value": "b"}, {"name": "A", "value": "b\n"}]"#;
        assert_eq!(at("", twice), [""; 0]);
    }

    #[test]
    fn a_host_that_the_route_is_not_for_is_found() {
        let of = |hostnames: &str, host: &str| {
            at(&format!(r#""hostnames": [{hostnames}],"#), &header("Host", "Exact", host))
        };
        let (a, wildcard) = (r#""a.test""#, r#""*.test""#);
        assert_eq!(
            of(a, "b.test"),
            ["headers[0].value: \"b.test\" is none of the hosts that the route is for."]
        );
        for (hostnames, host) in [(a, "test"), (wildcard, "test"), (wildcard, "a.test:b"), (a, "[::1]:80")] {
            assert_eq!(of(hostnames, host).len(), 1, "{hostnames} {host}");
        }
        for (hostnames, host) in [
            (a, "a.test"),
            (a, "A.test.:8080"),
            (wildcard, "a.b.test"),
            (r#""b.test", "a.test""#, "a.test"),
            ("", "b.test"),
        ] {
            assert_eq!(of(hostnames, host), [""; 0], "{hostnames} {host}");
        }
    }

    #[test]
    fn a_call_that_cannot_be_made_is_found() {
        let of = |fields: &str| {
            let rules = format!(r#""rules": [{{"matches": [{{{fields}}}]}}]"#);
            let route = route("n/r", &rules).replace("HTTPRoute", "GRPCRoute");
            findings("NeverMatches", &listener("http", "HTTP", &[route]))
        };
        let call = |service: &str, method: &str| {
            of(&format!(
                r#""grpcMethod": {{"type": "RegularExpression", "service": {service:?}, "method": {method:?}}}"#
            ))
        };
        let found = call("/a[.]B", "");
        assert_eq!(found[0].0, "listeners[0].routes[0].rules[0].matches[0].grpcMethod.service");
        assert_eq!(call("a[.]B", "C/").len(), 1);
        for (service, method) in [("a[.]B", "C"), ("", "C.*"), ("[^a]+", "")] {
            assert_eq!(call(service, method), [], "{service} {method}");
        }
        assert_eq!(of(&header("Content-Type", "Exact", "application/json")).len(), 1);
        assert_eq!(of(&header("Content-Type", "Exact", "application/gRPC+json")), []);
        assert_eq!(at("", &header("Content-Type", "Exact", "application/json")), [""; 0]);
    }

    #[test]
    fn an_object_is_told_of_what_holds_at_all_of_its_listeners() {
        let found = |protocols: &[&str], value: &str| {
            let rules =
                format!(r#""rules": [{{"matches": [{{{}}}]}}]"#, header("X-Forwarded-Proto", "Exact", value));
            let routes = [route("n/r", &rules)];
            let listeners: Vec<_> =
                protocols.iter().map(|protocol| listener(protocol, protocol, &routes)).collect();
            let text = format!(r#"{{"version": 1, "listeners": [{}]}}"#, listeners.join(", "));
            let config = gatewasm_routing::parse(text.as_bytes()).unwrap();
            let table = gatewasm_routing::compile(&config).unwrap();
            let of = |origin| super::super::lint(&config, &table, origin);
            assert!(of(Origin::File("x.json")).iter().all(|it| it.reason != "NeverMatches"));
            let found = of(Origin::Objects(&Snapshot::default()));
            found.into_iter().filter(|it| it.reason == "NeverMatches").map(|it| it.field).collect::<Vec<_>>()
        };
        let field = "spec.rules[0].matches[0].headers[0].value";
        assert_eq!(found(&["HTTP"], "https"), [field]);
        assert_eq!(found(&["HTTPS"], "http"), [field]);
        assert_eq!(found(&["HTTP", "HTTPS"], "wss"), [field]);
        assert_eq!(found(&["HTTP", "HTTPS"], "https"), [""; 0]);
        assert_eq!(found(&["HTTP"], "http"), [""; 0]);
    }
}
