//! Configs by size and shape, always the same.

use gatewasm_routing::config::*;

/// What the rules of a workload look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Seven in ten a PathPrefix, two an Exact path, and one a PathPrefix and a header; all on one host.
    OneHost,
    /// The same, ten on each host; of ten in all, two.
    ManyHosts,
    /// One path on one host, and one to three headers: a value for each rule, or a name for each rule.
    Headers,
    /// Regular expressions on one host that begin with different literals.
    Prefixed,
    /// Regular expressions on one host that all begin with `/` and a wildcard.
    Unprefixed,
}

impl Shape {
    /// All.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 5] =
        [Self::OneHost, Self::ManyHosts, Self::Headers, Self::Prefixed, Self::Unprefixed];

    /// Its name in the figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneHost => "one host",
            Self::ManyHosts => "many hosts",
            Self::Headers => "headers",
            Self::Prefixed => "expressions with prefixes",
            Self::Unprefixed => "expressions without prefixes",
        }
    }

    /// Rules on each host.
    fn per_host(self, rules: usize) -> usize {
        match self {
            Self::ManyHosts => (rules / 5).clamp(1, 10),
            _ => rules,
        }
    }

    /// The config of so many rules.
    pub fn config(self, rules: usize) -> FilterConfig {
        let all: Vec<usize> = (0..rules).collect();
        let routes = all.chunks(self.per_host(rules).max(1)).enumerate();
        let routes = routes.map(|(place, rules)| {
            route(place, host(place), rules.iter().map(|rule| self.rule(*rule)).collect())
        });
        config(routes.collect())
    }

    /// The host of a rule.
    pub(crate) fn host_of(self, rule: usize, rules: usize) -> String {
        host(rule / self.per_host(rules).max(1))
    }

    fn rule(self, rule: usize) -> Rule {
        let route_match = match self {
            Self::OneHost | Self::ManyHosts => by_path(rule),
            Self::Headers => RouteMatch {
                path: Some(PathMatch { kind: PathMatchType::PathPrefix, value: "/api/orders".to_owned() }),
                headers: headers_of(rule).into_iter().map(|(name, value)| exact(name, value)).collect(),
                ..RouteMatch::default()
            },
            Self::Prefixed => by_expression(format!("/svc{rule}/[0-9]+/.*")),
            Self::Unprefixed => by_expression(format!("^/[^/]+/svc{rule}/.*")),
        };
        Rule { matches: vec![route_match], backends: vec![backend(rule)], ..Rule::default() }
    }
}

/// The headers that a rule of [`Shape::Headers`] asks for.
pub(crate) fn headers_of(rule: usize) -> Vec<(String, String)> {
    let of_value = ("x-tenant".to_owned(), format!("tenant-{rule}"));
    let of_name = (format!("x-feature-{rule}"), "on".to_owned());
    let of_all = ("env".to_owned(), "canary".to_owned());
    match rule % 4 {
        0 => vec![of_value],
        1 => vec![of_name],
        2 => vec![of_all, of_value],
        _ => vec![of_all, of_name, ("x-tenant".to_owned(), format!("group-{}", rule % 7))],
    }
}

/// Ten thousand rules and their like as they come: routes of ten rules, each route on its own host; one rule in ten
/// asks for a header, one in ten has two backends, and one in fifty a filter.
pub(crate) fn mixed(rules: usize) -> FilterConfig {
    let all: Vec<usize> = (0..rules).collect();
    let rule = |rule: &usize| {
        let mut backends = vec![backend(*rule)];
        if rule % 10 == 4 {
            backends =
                vec![Backend { weight: 90, ..backend(*rule) }, Backend { weight: 10, ..backend(rule + 1) }];
        }
        let filters = if rule % 50 == 17 { vec![filter(rule / 50)] } else { Vec::new() };
        Rule { matches: vec![by_path(*rule)], filters, backends, ..Rule::default() }
    };
    let routes = all.chunks(10).enumerate();
    config(routes.map(|(place, rules)| route(place, host(place), rules.iter().map(rule).collect())).collect())
}

fn filter(number: usize) -> RouteFilter {
    match number % 3 {
        0 => RouteFilter::RequestHeaderModifier {
            request_header_modifier: HeaderModifier {
                set: vec![Header { name: "x-team".to_owned(), value: format!("team-{number}") }],
                ..HeaderModifier::default()
            },
        },
        1 => RouteFilter::ResponseHeaderModifier {
            response_header_modifier: HeaderModifier {
                remove: vec!["server".to_owned()],
                ..HeaderModifier::default()
            },
        },
        _ => RouteFilter::UrlRewrite {
            url_rewrite: UrlRewrite {
                hostname: Some(format!("service-{number}.internal")),
                path: Some(PathModifier::ReplaceFullPath { replace_full_path: "/v2".to_owned() }),
            },
        },
    }
}

fn config(routes: Vec<Route>) -> FilterConfig {
    let listener = Listener {
        name: "infra/web/http".to_owned(),
        gateway: "infra/web".to_owned(),
        port: 80,
        protocol: Protocol::Http,
        hostname: None,
        alt_svc: None,
        routes,
    };
    FilterConfig { listeners: vec![listener], ..FilterConfig::default() }
}

fn route(place: usize, host: String, rules: Vec<Rule>) -> Route {
    Route {
        kind: RouteKind::HttpRoute,
        namespace: "default".to_owned(),
        name: format!("app-{place}"),
        creation_timestamp: Some("2026-01-01T00:00:00Z".to_owned()),
        hostnames: vec![host],
        rules,
    }
}

fn host(place: usize) -> String {
    format!("app-{place}.example.com")
}

pub(crate) fn path(rule: usize) -> String {
    format!("/api/v1/team-{}/service-{rule}", rule % 50)
}

/// Whether the rule is for one path alone.
pub(crate) fn is_exact(rule: usize) -> bool {
    matches!(rule % 10, 7 | 8)
}

/// Whether the rule asks for a header.
pub(crate) fn has_header(rule: usize) -> bool {
    rule % 10 == 9
}

fn by_path(rule: usize) -> RouteMatch {
    let kind = if is_exact(rule) { PathMatchType::Exact } else { PathMatchType::PathPrefix };
    let canary = exact("env".to_owned(), "canary".to_owned());
    RouteMatch {
        path: Some(PathMatch { kind, value: path(rule) }),
        headers: if has_header(rule) { vec![canary] } else { Vec::new() },
        ..RouteMatch::default()
    }
}

fn by_expression(value: String) -> RouteMatch {
    let path = PathMatch { kind: PathMatchType::RegularExpression, value };
    RouteMatch { path: Some(path), ..RouteMatch::default() }
}

fn exact(name: String, value: String) -> ValueMatch {
    ValueMatch { kind: ValueMatchType::Exact, name, value }
}

fn backend(rule: usize) -> Backend {
    Backend { cluster: Some(format!("default/service-{rule}/8080")), ..Backend::default() }
}
