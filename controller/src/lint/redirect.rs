//! Redirects that lead back to themselves: the client is sent around until it gives up.
//!
//! It is tried rather than thought out: a request that the rule takes is put together, and the engine is asked where
//! it is redirected to, and what happens there. So nothing is found that does not happen. Where a request cannot be
//! put together from the match (an expression), nothing is found.

use gatewasm_routing::config::{
    Listener, PathMatchType, Protocol, RequestRedirect, RouteFilter, RouteMatch, ValueMatch, ValueMatchType,
};
use gatewasm_routing::{Decision, Request};

use super::{Attached, Lint, filter};
use crate::api::HttpRouteFilterType;
use crate::entry;
use crate::problem::Problem;

/// As many redirects by one rule are no accident of the request that was tried; clients give up after about 20.
const HOPS: usize = 10;

pub(super) fn find(lint: &Lint<'_>, problems: &mut Vec<Problem>) {
    let every_path = [RouteMatch::default()];
    for at in lint.attached() {
        for (index, rule) in at.sound_rules() {
            let Some((place, redirect)) = filter(&rule.filters, |filter| match filter {
                RouteFilter::RequestRedirect { request_redirect } => Some(request_redirect),
                _ => None,
            }) else {
                continue;
            };
            let matches = if rule.matches.is_empty() { every_path.as_slice() } else { &rule.matches };
            let samples = matches.iter().flat_map(|it| samples(at, it));
            let circle =
                samples.into_iter().find_map(|sample| Some((circle(lint, at, index, &sample)?, sample)));
            let Some((location, sample)) = circle else { continue };
            let field = lint.filter_field(at, index, &HttpRouteFilterType::RequestRedirect, place);
            let message = message(&sample, &location, redirect);
            problems.push(lint.warning(at, &format!("{field}.requestRedirect"), "RedirectToItself", message));
        }
    }
}

fn message(sample: &Sample, location: &str, redirect: &RequestRedirect) -> String {
    let url = &sample.url;
    let what = if location == url {
        format!("A request for {url} is redirected to the same URL, without end")
    } else {
        format!(
            "A request for {url} is redirected to {location}, which the same rule redirects again, without end"
        )
    };
    let same_scheme =
        redirect.scheme.as_deref().is_some_and(|scheme| location.starts_with(&format!("{scheme}:")));
    let way_out = if same_scheme && redirect.path.is_none() && redirect.hostname.is_none() {
        "Attach the route to the listeners of the other scheme alone, by sectionName in its parentRefs"
    } else {
        "Redirect to what another rule takes, or let the rule match less"
    };
    format!("{what}. {way_out}.")
}

/// A request that a match takes, if nothing else does.
struct Sample {
    url: String,
    method: String,
    headers: Vec<(String, String)>,
}

/// Requests for each hostname of the route and a path or two of the match; none where it has expressions.
fn samples(at: Attached<'_>, of: &RouteMatch) -> Vec<Sample> {
    let Some(headers) = values(&of.headers, |name| name.to_ascii_lowercase()) else { return Vec::new() };
    let Some(query) = values(&of.query_params, str::to_owned) else { return Vec::new() };
    let query: Vec<_> =
        query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let paths = match &of.path {
        None => vec!["/".to_owned(), "/x".to_owned()],
        Some(path) => match path.kind {
            PathMatchType::Exact => vec![path.value.clone()],
            PathMatchType::PathPrefix => {
                let prefix = path.value.trim_end_matches('/');
                vec![
                    if prefix.is_empty() { "/".to_owned() } else { prefix.to_owned() },
                    format!("{prefix}/x"),
                ]
            }
            PathMatchType::RegularExpression => Vec::new(),
        },
    };
    let listener = at.listener.1;
    let method = of.method.clone().unwrap_or_else(|| "GET".to_owned());
    let mut samples = Vec::new();
    for host in hosts(at) {
        for path in &paths {
            let url = format!("{}{path}{query}", origin(listener, &host));
            samples.push(Sample { url, method: method.clone(), headers: headers.clone() });
        }
    }
    samples
}

/// A host for each hostname of the route.
fn hosts(at: Attached<'_>) -> Vec<String> {
    let own = &at.route.1.hostnames;
    let mut hosts =
        if own.is_empty() { at.listener.1.hostname.iter().cloned().collect() } else { own.clone() };
    if hosts.is_empty() {
        hosts.push("*.example.com".to_owned());
    }
    hosts.iter().map(|host| host.replacen('*', "x", 1)).collect()
}

/// `http://host`, with the port where it is not the scheme's own, as locations have it.
fn origin(listener: &Listener, host: &str) -> String {
    let (scheme, own) = match listener.protocol {
        Protocol::Http => ("http", 80),
        Protocol::Https => ("https", 443),
    };
    let port = if listener.port == own { String::new() } else { format!(":{}", listener.port) };
    format!("{scheme}://{host}{port}")
}

/// Names and values that meet the conditions; `None` where an expression does not say which.
fn values(conditions: &[ValueMatch], name: impl Fn(&str) -> String) -> Option<Vec<(String, String)>> {
    let mut values: Vec<(String, String)> = Vec::new();
    for condition in conditions {
        let name = name(&condition.name);
        // Of entries with the same name the first counts. The host is not ours to choose.
        if values.iter().any(|(known, _)| *known == name) {
            continue;
        }
        if condition.kind != ValueMatchType::Exact || name == "host" {
            return None;
        }
        values.push((name, condition.value.clone()));
    }
    Some(values)
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Where the rule sends this request, if what is asked for there comes to the rule again and again.
fn circle(lint: &Lint<'_>, at: Attached<'_>, rule: usize, sample: &Sample) -> Option<String> {
    let first = location(lint, at, rule, sample, &sample.url)?;
    let mut url = first.clone();
    for _ in 0..HOPS {
        let next = location(lint, at, rule, sample, &url)?;
        if next == url {
            break;
        }
        url = next;
    }
    Some(first)
}

/// Where the rule sends a request for the URL, if it takes it.
fn location(lint: &Lint<'_>, at: Attached<'_>, rule: usize, sample: &Sample, url: &str) -> Option<String> {
    // A host that no listener of the Gateway serves is somebody else's.
    let entry = entry::find(lint.config, url, Some(&at.listener.1.gateway), None).ok()?;
    let headers: Vec<_> =
        sample.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let request = Request {
        method: sample.method.as_bytes(),
        authority: entry.authority.as_bytes(),
        path: entry.path.as_bytes(),
        headers: &headers,
    };
    let route = at.route.1;
    match lint.table.decide(entry.listener.as_bytes(), &request, 0) {
        Decision::Redirect { location, matched, .. }
            if matched.rule == rule
                && (matched.route.kind, &matched.route.namespace, &matched.route.name)
                    == (route.kind, &route.namespace, &route.name) =>
        {
            Some(location)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, listener, route};

    fn found(listeners: &[String]) -> Vec<String> {
        let found = findings(&listeners.join(", "));
        let of = |(field, reason, message): (String, String, String)| {
            assert_eq!(reason, "RedirectToItself");
            assert!(field.ends_with(".filters[0].requestRedirect"), "{field}");
            message
        };
        found.into_iter().map(of).collect()
    }

    /// A route of these hostnames whose one rule has this match and redirect.
    fn redirect(hostnames: &str, matched: &str, redirect: &str) -> String {
        let filters = format!(r#"[{{"type": "RequestRedirect", "requestRedirect": {{{redirect}}}}}]"#);
        route(
            "n/r",
            &format!(
                r#""hostnames": [{hostnames}], "rules": [{{"matches": [{{{matched}}}], "filters": {filters}}}]"#
            ),
        )
    }

    fn on_http(hostnames: &str, matched: &str, changes: &str) -> Vec<String> {
        found(&[listener("http", "HTTP", &[redirect(hostnames, matched, changes)])])
    }

    #[test]
    fn a_redirect_that_changes_nothing_is_found() {
        let expected = "A request for http://a.test/x is redirected to the same URL, without end. Redirect to what \
                        another rule takes, or let the rule match less.";
        let exact = r#""path": {"type": "Exact", "value": "/x"}"#;
        assert_eq!(on_http(r#""a.test""#, exact, ""), [expected]);
        assert_eq!(
            on_http(r#""a.test""#, exact, r#""hostname": "a.test", "scheme": "http", "port": 80"#),
            [expected]
        );
        let conditions = r#""method": "POST", "headers": [{"name": "A", "value": "1"}], "queryParams": [{"name": "q", "value": "a b"}]"#;
        assert!(on_http("", conditions, "")[0].contains("http://x.example.com/?q=a%20b is"));
    }

    #[test]
    fn a_redirect_to_https_on_https_is_found() {
        let to_https = [redirect(r#""a.test""#, "", r#""scheme": "https""#)];
        let both = [listener("http", "HTTP", &to_https), listener("https", "HTTPS", &to_https)];
        let messages = found(&both);
        assert_eq!(messages.len(), 2);
        assert!(
            messages[0].contains("http://a.test/ is redirected to https://a.test/, which the same rule"),
            "{messages:?}"
        );
        assert!(messages[0].contains("by sectionName in its parentRefs"), "{messages:?}");
        assert_eq!(found(&both[..1]), [""; 0]);
        let elsewhere = [
            listener("http", "HTTP", &to_https),
            listener("https", "HTTPS", &[route("n/s", r#""rules": [{}]"#)]),
        ];
        assert_eq!(found(&elsewhere), [""; 0]);
    }

    #[test]
    fn hosts_and_paths_that_come_back_are_found() {
        let to_www = r#""hostname": "www.test""#;
        assert_eq!(on_http(r#""a.test", "www.test""#, "", to_www).len(), 1);
        assert_eq!(on_http("", "", to_www).len(), 1);
        assert_eq!(on_http(r#""a.test""#, "", to_www), [""; 0]);
        let path = |kind: &str, field: &str, value: &str| {
            format!(r#""path": {{"type": "{kind}", "{field}": "{value}"}}"#)
        };
        let prefix = r#""path": {"value": "/a"}"#;
        let full = |value: &str| path("ReplaceFullPath", "replaceFullPath", value);
        let replaced = |value: &str| path("ReplacePrefixMatch", "replacePrefixMatch", value);
        assert_eq!(on_http("", prefix, &full("/a/login")).len(), 1);
        assert_eq!(on_http("", prefix, &full("/b")), [""; 0]);
        // It grows with every turn.
        assert_eq!(on_http("", prefix, &replaced("/a/b")).len(), 1);
        // It loses a prefix with every turn, and comes to an end.
        assert_eq!(on_http("", prefix, &replaced("")), [""; 0]);
        assert_eq!(on_http("", r#""path": {"type": "RegularExpression", "value": "/a"}"#, ""), [""; 0]);
    }

    #[test]
    fn another_rule_ends_it() {
        let rules = r#""rules": [
            {"filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": "www.test"}}]}]"#;
        let www = route("n/www", r#""hostnames": ["www.test"], "rules": [{}]"#);
        assert_eq!(found(&[listener("http", "HTTP", &[route("n/r", rules), www])]), [""; 0]);
    }
}
