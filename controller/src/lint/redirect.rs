//! Redirects that lead back to themselves, by one rule or by several in turn: the client is sent around until it gives
//! up.
//!
//! It is tried rather than thought out: a request that the rule takes is put together, and followed through the engine
//! as a client would follow it. So nothing is found that does not happen. What cannot be foretold ends the trial: a host
//! that nobody names is perhaps served elsewhere, and a cookie that is set with the redirect may change the next answer.

use std::collections::{BTreeMap, BTreeSet};

use gatewasm_routing::config::{RequestRedirect, RouteFilter, RouteKind, RouteMatch};
use gatewasm_routing::{Decision, Request};

use super::sample::{Sample, samples};
use super::{Attached, Lint, Owner, filter, hostnames_of, name};
use crate::api::HttpRouteFilterType;
use crate::as_envoy::as_envoy_hands_over;
use crate::entry;
use crate::normal_path::normalise;
use crate::problem::Problem;

/// As many redirects no client follows (Fetch standard, HTTP-redirect fetch).
const HOPS: usize = 20;

pub(super) fn find(lint: &Lint<'_>, problems: &mut Vec<Problem>) {
    let trial = Trial::new(lint);
    let every_path = [RouteMatch::default()];
    for at in lint.attached() {
        for (owner, rule, filters) in at.owners() {
            let Some((place, redirect)) = redirect(filters) else { continue };
            let start = Redirector { at, owner };
            let matches = if rule.matches.is_empty() { every_path.as_slice() } else { &rule.matches };
            let samples = matches.iter().flat_map(|it| samples(at, it));
            let circle = samples.into_iter().find_map(|sample| trial.circle(start, sample));
            let Some(circle) = circle else { continue };
            let field = lint.filter_field(at, owner, &HttpRouteFilterType::RequestRedirect, place);
            let message = circle.message(start, redirect);
            problems.push(lint.warning(at, &format!("{field}.requestRedirect"), "RedirectToItself", message));
        }
    }
}

fn redirect(filters: &[RouteFilter]) -> Option<(usize, &RequestRedirect)> {
    filter(filters, |filter| match filter {
        RouteFilter::RequestRedirect { request_redirect } => Some(request_redirect),
        _ => None,
    })
}

fn sets_a_cookie(filters: &[RouteFilter]) -> bool {
    filters.iter().any(|filter| match filter {
        RouteFilter::ResponseHeaderModifier { response_header_modifier: change } => {
            change.set.iter().chain(&change.add).any(|header| header.name.eq_ignore_ascii_case("set-cookie"))
        }
        _ => false,
    })
}

/// What redirects: a rule, or one of its backends.
#[derive(Clone, Copy)]
struct Redirector<'a> {
    at: Attached<'a>,
    owner: Owner,
}

impl PartialEq for Redirector<'_> {
    /// A route is the same at each of its listeners.
    fn eq(&self, other: &Self) -> bool {
        let id = |of: &Self| {
            let route = of.at.route.1;
            (route.kind, route.namespace.clone(), route.name.clone(), of.owner)
        };
        id(self) == id(other)
    }
}

/// A redirect that comes back.
struct Circle<'a> {
    url: String,
    location: String,
    /// Who redirects in turn, besides the one that it began with.
    others: Vec<Redirector<'a>>,
}

impl Circle<'_> {
    fn message(&self, start: Redirector<'_>, redirect: &RequestRedirect) -> String {
        let Self { url, location, others } = self;
        let place = |of: &Redirector<'_>| {
            let rule = format!("rules[{}]", of.owner.rule);
            let same = of.at.route.1.namespace == start.at.route.1.namespace
                && of.at.route.1.name == start.at.route.1.name;
            if same { rule } else { format!("{rule} of {}", name(of.at.route.1)) }
        };
        let what = if location == url {
            "the same URL".to_owned()
        } else if others.is_empty() {
            format!("{location}, which the same rule redirects again")
        } else {
            let others: Vec<_> = others.iter().map(place).collect();
            format!("{location}, and from there back by {}", others.join(" and "))
        };
        let by_weight = |of: &Redirector<'_>| {
            let rule = of.at.route.1.rules.get(of.owner.rule);
            let shares = rule.map_or(0, |rule| rule.backends.iter().filter(|it| it.weight > 0).count());
            of.owner.backend.is_some() && shares > 1
        };
        let end = if by_weight(&start) || others.iter().any(by_weight) {
            "for as long as the weights choose this"
        } else {
            "without end"
        };
        let same_scheme =
            redirect.scheme.as_deref().is_some_and(|scheme| location.starts_with(&format!("{scheme}:")));
        let way_out = if same_scheme && redirect.path.is_none() && redirect.hostname.is_none() {
            "Attach the route to the listeners of the other scheme alone, by sectionName in its parentRefs"
        } else {
            "Redirect to what another rule takes, or let the rule match less"
        };
        format!("A request for {url} is redirected to {what}, {end}. {way_out}.")
    }
}

/// The engine, and what is looked up in the config while requests are followed through it.
struct Trial<'l, 'a> {
    lint: &'l Lint<'a>,
    /// By listener, kind, namespace and name.
    routes: BTreeMap<(&'a str, RouteKind, &'a str, &'a str), Attached<'a>>,
    /// By Gateway the hostnames of its listeners and routes.
    hostnames: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

/// What a client learns from a redirect, and from whom.
struct Hop<'a> {
    by: Redirector<'a>,
    location: String,
    status: u16,
}

impl<'l, 'a> Trial<'l, 'a> {
    fn new(lint: &'l Lint<'a>) -> Self {
        let mut routes = BTreeMap::new();
        let mut hostnames: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
        for at in lint.attached() {
            let (listener, route) = (at.listener.1, at.route.1);
            routes.insert((&*listener.name, route.kind, &*route.namespace, &*route.name), at);
            let of_gateway = hostnames.entry(&*listener.gateway).or_default();
            of_gateway.extend(listener.hostname.iter().chain(&route.hostnames).map(String::as_str));
        }
        Self { lint, routes, hostnames }
    }

    /// The circle that a request comes to, if the one that redirects it first does so again and again.
    fn circle(&self, start: Redirector<'a>, sample: Sample) -> Option<Circle<'a>> {
        let Sample { url, mut method, headers } = sample;
        let gateway = &start.at.listener.1.gateway;
        let own_host = host(&url);
        let (mut next, mut location) = (url.clone(), None);
        let mut turns = Vec::new();
        for hop in 0..HOPS {
            let asked = Sample { url: next, method: method.clone(), headers: headers.clone() };
            if host(&asked.url) != own_host && !self.is_named(gateway, host(&asked.url)) {
                return None;
            }
            let Hop { by, location: its, status } = self.answer(gateway, &asked, start)?;
            if hop == 0 && by != start {
                return None;
            }
            // Where it begins may lie outside of the circle; towards the end there is nothing else.
            if hop >= HOPS / 2 && !turns.contains(&by) {
                turns.push(by);
            }
            method = method_after(status, method);
            location.get_or_insert_with(|| its.clone());
            next = its;
        }
        turns.contains(&start).then_some(())?;
        turns.retain(|by| *by != start);
        Some(Circle { url, location: location?, others: turns })
    }

    /// Whether a listener or route of the Gateway has a hostname for the host.
    fn is_named(&self, gateway: &str, host: &str) -> bool {
        let Some(names) = self.hostnames.get(gateway) else { return false };
        hostnames_of(&host.to_ascii_lowercase()).iter().any(|one| names.contains(one.as_str()))
    }

    /// Where a request is sent. Of several backends that redirect it is the one that the trial is about, or the first.
    fn answer(&self, gateway: &str, asked: &Sample, start: Redirector<'a>) -> Option<Hop<'a>> {
        let entry = entry::find(self.lint.config, &asked.url, Some(gateway), None).ok()?;
        let (path, handed) = (normalise(&entry.path)?, as_envoy_hands_over(&asked.headers, entry.scheme));
        let headers: Vec<_> =
            handed.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect();
        let request = Request {
            method: asked.method.as_bytes(),
            authority: entry.authority.as_bytes(),
            path: path.as_bytes(),
            headers: &headers,
        };
        let (matched, location) = match self.lint.table.decide(entry.listener.as_bytes(), &request, 0) {
            Decision::Redirect { matched, location, .. } => (matched, Some(location)),
            Decision::Forward { matched, .. } => (matched, None),
            Decision::Respond { matched, .. } => (matched?, None),
        };
        let route = matched.route;
        let at = *self.routes.get(&(matched.listener, route.kind, &*route.namespace, &*route.name))?;
        let rule = at.route.1.rules.get(matched.rule)?;
        if sets_a_cookie(&rule.filters) {
            return None;
        }
        let hop = |backend, redirect: &RequestRedirect, location| {
            let by = Redirector { at, owner: Owner { rule: matched.rule, backend } };
            Hop { by, location, status: redirect.status_code.unwrap_or(302) }
        };
        if let Some((_, redirect)) = redirect(&rule.filters) {
            return Some(hop(None, redirect, location?));
        }
        let redirecting = rule.backends.iter().enumerate().filter_map(|(i, backend)| {
            let (_, redirect) = redirect(&backend.filters)?;
            (backend.weight > 0 && !sets_a_cookie(&backend.filters)).then_some((i, redirect))
        });
        let redirecting: Vec<_> = redirecting.collect();
        let is_start = |backend: usize| {
            start == Redirector { at, owner: Owner { rule: matched.rule, backend: Some(backend) } }
        };
        let asked = redirecting.iter().find(|(i, _)| is_start(*i)).or(redirecting.first());
        let (backend, redirect) = *asked?;
        // Which share a number draws is the engine's to know; an explanation is of all of them.
        let explained = self.lint.table.explain(entry.listener.as_bytes(), &request);
        let location = explained.backends.into_iter().nth(backend)?.location.or(explained.decision.location);
        Some(hop(Some(backend), redirect, location?))
    }
}

/// The method of the request that follows a redirect (Fetch standard, HTTP-redirect fetch).
fn method_after(status: u16, method: String) -> String {
    match (status, method.as_str()) {
        (301 | 302, "POST") => "GET".to_owned(),
        (303, "HEAD") => method,
        (303, _) => "GET".to_owned(),
        _ => method,
    }
}

/// The host of a URL as a location has it, without its port.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once(':').map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{findings, listener, route};

    fn found(listeners: &[String]) -> Vec<String> {
        let found = findings("RedirectToItself", &listeners.join(", "));
        let of = |(field, message): (String, String)| {
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
        let conditions = r#""method": "PUT", "headers": [{"name": "A", "value": "1"}], "queryParams": [{"name": "q", "value": "a b"}]"#;
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
        assert_eq!(on_http(r#""*.test""#, "", to_www).len(), 1);
        assert_eq!(on_http(r#""a.test""#, "", to_www), [""; 0]);
        // Every host is served, and yet this one may well be elsewhere: nobody names it.
        assert_eq!(on_http("", "", to_www), [""; 0]);
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
    }

    #[test]
    fn matches_by_expression_are_tried() {
        let path = r#""path": {"type": "RegularExpression", "value": "/(a|b)/[^/]+(/.*)?"}"#;
        assert!(
            on_http("", path, "")[0].contains("http://x.example.com/a/x is"),
            "{:?}",
            on_http("", path, "")
        );
        let to_one = r#""path": {"type": "ReplaceFullPath", "replaceFullPath": "/c/x"}"#;
        assert_eq!(on_http("", path, to_one), [""; 0]);
        assert_eq!(on_http("", path, &to_one.replace("/c/", "/b/")).len(), 1);
        let conditions = r#""headers": [{"type": "RegularExpression", "name": "A", "value": "[0-9]{3}"}],
            "queryParams": [{"type": "RegularExpression", "name": "q", "value": "1|2"}]"#;
        assert!(on_http("", conditions, "")[0].contains("/?q=1 is"));
        let host = r#""headers": [{"name": "Host", "value": "a.test"}]"#;
        assert!(on_http("", host, "")[0].contains("http://a.test/ is"));
        assert_eq!(on_http("", host, r#""hostname": "b.test""#), [""; 0]);
    }

    #[test]
    fn what_is_other_at_the_second_request_ends_it() {
        // As clients do it, the form is followed by a GET.
        let post = r#""method": "POST""#;
        assert_eq!(on_http("", post, r#""statusCode": 303"#), [""; 0]);
        assert_eq!(on_http("", post, ""), [""; 0]);
        assert_eq!(on_http("", post, r#""statusCode": 307"#).len(), 1);
        // Envoy says by which scheme a request came.
        let plain = r#""headers": [{"name": "X-Forwarded-Proto", "value": "http"}]"#;
        let to_https = [redirect(r#""a.test""#, plain, r#""scheme": "https""#)];
        assert_eq!(
            found(&[listener("http", "HTTP", &to_https), listener("https", "HTTPS", &to_https)]),
            [""; 0]
        );
        let rule = r#""rules": [{"filters": [
            {"type": "RequestRedirect", "requestRedirect": {}},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": [{"name": "Set-Cookie", "value": "a=1"}]}}]}]"#;
        assert_eq!(found(&[listener("http", "HTTP", &[route("n/r", rule)])]), [""; 0]);
    }

    #[test]
    fn rules_that_redirect_in_turn_are_found() {
        let rule = |from: &str, to: &str| {
            format!(
                r#"{{"matches": [{{"path": {{"value": "{from}"}}}}], "filters": [{{"type": "RequestRedirect",
                    "requestRedirect": {{"path": {{"type": "ReplaceFullPath", "replaceFullPath": "{to}"}}}}}}]}}"#
            )
        };
        let [start, ping, pong] = [rule("/start", "/ping"), rule("/ping", "/pong"), rule("/pong", "/ping")];
        let rules = |rules: &[&String]| {
            let rules: Vec<_> = rules.iter().map(|rule| rule.as_str()).collect();
            format!(r#""hostnames": ["a.test"], "rules": [{}]"#, rules.join(", "))
        };
        // The one that only leads there is not at fault.
        let found_of = found(&[listener("http", "HTTP", &[route("n/r", &rules(&[&start, &ping, &pong]))])]);
        assert_eq!(
            found_of,
            [
                "A request for http://a.test/ping is redirected to http://a.test/pong, and from there back by rules[2], \
                 without end. Redirect to what another rule takes, or let the rule match less.",
                "A request for http://a.test/pong is redirected to http://a.test/ping, and from there back by rules[1], \
                 without end. Redirect to what another rule takes, or let the rule match less.",
            ]
        );
        let two = [route("n/r", &rules(&[&ping])), route("m/s", &rules(&[&pong]))];
        let found_of = found(&[listener("http", "HTTP", &two)]);
        assert!(found_of[0].contains("back by rules[0] of HTTPRoute m/s, without end"), "{found_of:?}");
        assert_eq!(found_of.len(), 2);
        let end = [route("n/r", &rules(&[&start, &ping]))];
        assert_eq!(found(&[listener("http", "HTTP", &end)]), [""; 0]);
    }

    #[test]
    fn a_redirect_of_a_backend_is_found() {
        let rule = |filters: &str, weight: u32| {
            let to = format!(r#"{{"type": "RequestRedirect", "requestRedirect": {{{filters}}}}}"#);
            let rules = format!(
                r#""hostnames": ["a.test"], "rules": [{{"backends": [{{"cluster": "c", "weight": 9}},
                    {{"cluster": "d", "weight": {weight}, "filters": [{to}]}}]}}]"#
            );
            findings("RedirectToItself", &listener("http", "HTTP", &[route("n/r", &rules)]))
        };
        let expected = "A request for http://a.test/ is redirected to the same URL, for as long as the weights choose \
                        this. Redirect to what another rule takes, or let the rule match less.";
        let field = "listeners[0].routes[0].rules[0].backends[1].filters[0].requestRedirect";
        assert_eq!(rule("", 1), [(field.to_owned(), expected.to_owned())]);
        assert_eq!(rule("", 0), []);
        assert_eq!(rule(r#""hostname": "b.test""#, 1), []);
    }

    #[test]
    fn another_rule_ends_it() {
        let rules = r#""rules": [
            {"filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": "www.test"}}]}]"#;
        let www = route("n/www", r#""hostnames": ["www.test"], "rules": [{}]"#);
        assert_eq!(found(&[listener("http", "HTTP", &[route("n/r", rules), www])]), [""; 0]);
    }
}
