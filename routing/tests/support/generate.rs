//! Configs and requests from a small alphabet.

use gatewasm_routing::config::*;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

pub(crate) fn config() -> impl Strategy<Value = FilterConfig> {
    // Two Gateways with an HTTP port each, one of them with an HTTPS port too.
    let ports =
        [("infra/a", 80, Protocol::Http), ("infra/a", 443, Protocol::Https), ("infra/b", 80, Protocol::Http)];
    ports.map(|(gateway, port, protocol)| listeners(gateway, port, protocol)).prop_map(|listeners| {
        FilterConfig { listeners: listeners.into_iter().flatten().collect(), ..FilterConfig::default() }
    })
}

fn listeners(gateway: &'static str, port: u16, protocol: Protocol) -> impl Strategy<Value = Vec<Listener>> {
    let hostnames = vec![None, Some("*.x"), Some("*.b.x"), Some("a.x"), Some("a.b.x")];
    btree_map(select(hostnames), routes(), 0..4).prop_map(move |by_hostname| {
        let listener = |(i, (hostname, mut routes)): (usize, (Option<&str>, Vec<Route>))| {
            for route in &mut routes {
                route.hostnames.retain(|inner| within(inner, hostname));
            }
            Listener {
                name: format!("{gateway}/{port}-{i}"),
                gateway: gateway.to_owned(),
                port,
                protocol,
                hostname: hostname.map(str::to_owned),
                alt_svc: None,
                routes,
            }
        };
        by_hostname.into_iter().enumerate().map(listener).collect()
    })
}

/// Configs of so many matches on one hostname that the index has to tell them apart by more than their paths.
pub(crate) fn crowded_config() -> impl Strategy<Value = FilterConfig> {
    let route = |kind, route_match: BoxedStrategy<RouteMatch>| {
        let rule = (vec(route_match, 1..4), backend()).prop_map(|(matches, backend)| Rule {
            matches,
            backends: vec![backend],
            ..Rule::default()
        });
        let hostnames = select(vec![vec![], vec![], vec!["*.x"], vec!["a.x", "c.x"]]);
        (vec(rule, 0..24), hostnames).prop_map(move |(rules, hostnames)| Route {
            kind,
            namespace: "n".to_owned(),
            name: String::new(),
            creation_timestamp: None,
            hostnames: hostnames.into_iter().map(str::to_owned).collect(),
            rules,
        })
    };
    let http = route(RouteKind::HttpRoute, crowded_match().boxed());
    let grpc = route(RouteKind::GrpcRoute, crowded_grpc_match().boxed());
    (vec(http, 0..3), vec(grpc, 0..3)).prop_map(|(http, grpc)| {
        let named = |(i, route): (usize, Route)| Route { name: format!("r{i}"), ..route };
        let listener = Listener {
            name: "infra/a/http".to_owned(),
            gateway: "infra/a".to_owned(),
            port: 80,
            protocol: Protocol::Http,
            hostname: None,
            alt_svc: None,
            routes: http.into_iter().chain(grpc).enumerate().map(named).collect(),
        };
        FilterConfig { listeners: vec![listener], ..FilterConfig::default() }
    })
}

/// A few paths, each with many headers and query parameters, or many expressions.
fn crowded_match() -> impl Strategy<Value = RouteMatch> {
    let literals =
        [(PathMatchType::PathPrefix, "/"), (PathMatchType::PathPrefix, "/a"), (PathMatchType::Exact, "/a")];
    let literal =
        select(literals.to_vec()).prop_map(|(kind, value)| PathMatch { kind, value: value.to_owned() });
    let expression =
        expression().prop_map(|value| PathMatch { kind: PathMatchType::RegularExpression, value });
    let header = value_match(select(vec!["h", "g", "i", "host"]));
    let query = value_match(select(vec!["p", "q", "P"]));
    let method = option::weighted(0.2, Just("GET".to_owned()));
    (prop_oneof![literal, expression], method, vec(header, 0..3), vec(query, 0..2)).prop_map(
        |(path, method, headers, query_params)| RouteMatch {
            path: Some(path),
            method,
            headers,
            query_params,
            ..RouteMatch::default()
        },
    )
}

fn crowded_grpc_match() -> impl Strategy<Value = RouteMatch> {
    let header = value_match(select(vec!["h", "g", "i"]));
    let part = || option::of(select(vec!["a", "a.b", "b", "a|b", "[^b]+", "(?i)A", ".*b", "..?"]));
    let expressions = (part(), part()).prop_map(|(service, method)| GrpcMethodMatch {
        kind: ValueMatchType::RegularExpression,
        service: service.map(str::to_owned),
        method: method.map(str::to_owned),
    });
    let grpc = prop_oneof![1 => exact_call(), 2 => expressions]
        .prop_filter("either is given", |grpc| grpc.service.is_some() || grpc.method.is_some());
    (option::weighted(0.9, grpc), vec(header, 0..3)).prop_map(|(grpc_method, headers)| RouteMatch {
        grpc_method,
        headers,
        ..RouteMatch::default()
    })
}

/// Some dozens, with and without a literal that they begin with.
fn expression() -> impl Strategy<Value = String> {
    let head = select(vec!["/a", "/a/", "/ab", "/[^/]+", "/(?i)A", ".*", "/.", ""]);
    let tail = select(vec!["", "/b", "/.*", ".*", "(/[^/]+)*", "|/b", "b?"]);
    (head, tail).prop_map(|(head, tail)| format!("{head}{tail}"))
}

/// Whether a route's hostname may stand in a listener with that one.
fn within(inner: &str, listener: Option<&str>) -> bool {
    listener.is_none_or(|listener| match listener.strip_prefix('*') {
        Some(suffix) => inner.ends_with(suffix) && inner != suffix.trim_start_matches('.'),
        None => inner == listener,
    })
}

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let names = vec![("a", "m"), ("a", "n"), ("a-b", "m"), ("b", "a")];
    let grpc = (subsequence(names.clone(), 0..=2), vec(route(RouteKind::GrpcRoute), 2));
    let http = (subsequence(names, 0..=4).prop_shuffle(), vec(route(RouteKind::HttpRoute), 4));
    (http, grpc).prop_map(|((names, routes), (grpc_names, grpc_routes))| {
        let named = |((namespace, name), route): ((&str, &str), Route)| Route {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..route
        };
        let grpc = grpc_names.into_iter().zip(grpc_routes).map(named);
        names.into_iter().zip(routes).map(named).chain(grpc).collect()
    })
}

fn route(kind: RouteKind) -> impl Strategy<Value = Route> {
    let created = select(vec![None, Some("2025-01-01T00:00:00Z"), Some("2026-01-01T00:00:00Z")]);
    let hostnames = select(vec!["*.x", "*.b.x", "a.x", "a.b.x", "c.x", "x"]);
    (created, btree_set(hostnames, 0..3), vec(rule(kind), 0..4)).prop_map(
        move |(created, hostnames, rules)| Route {
            kind,
            namespace: String::new(),
            name: String::new(),
            creation_timestamp: created.map(str::to_owned),
            hostnames: hostnames.into_iter().map(str::to_owned).collect(),
            rules,
        },
    )
}

fn rule(kind: RouteKind) -> impl Strategy<Value = Rule> {
    let invalid = prop_oneof![9 => Just(None), 1 => Just(Some("not supported".to_owned()))];
    let route_match = match kind {
        RouteKind::HttpRoute => http_match().boxed(),
        RouteKind::GrpcRoute => grpc_match().boxed(),
    };
    (vec(route_match, 0..3), invalid, vec(backend(), 0..4)).prop_map(|(matches, invalid, backends)| Rule {
        matches,
        invalid,
        backends,
        ..Rule::default()
    })
}

/// A config with filters, policies and sessions on some of its rules, and the first two on some of its backends.
pub(crate) fn config_with_filters() -> impl Strategy<Value = FilterConfig> {
    let parts = (config(), vec(filters(), 16), vec(sessions(), 8), vec(any::<Index>(), 64));
    parts.prop_map(|(mut config, filters, sessions, picks)| {
        let mut picks = picks.iter().cycle();
        let mut pick = |of: usize| picks.next().map_or(0, |pick| pick.index(of));
        let routes = config.listeners.iter_mut().flat_map(|listener| &mut listener.routes);
        for rule in routes.flat_map(|route| &mut route.rules) {
            let mut some = |matches: &[RouteMatch]| -> (Vec<RouteFilter>, Option<String>) {
                let chosen = &filters[pick(filters.len())];
                let policy = [None, Some("p-1".to_owned()), Some("p-2".to_owned())].into_iter().nth(pick(3));
                (chosen.iter().map(|filter| fitting(filter.clone(), matches)).collect(), policy.flatten())
            };
            (rule.filters, rule.policy) = some(&rule.matches);
            for backend in &mut rule.backends {
                (backend.filters, backend.policy) = some(&rule.matches);
                backend.filters.retain(|filter| !matches!(filter, RouteFilter::Cors { .. }));
            }
            rule.session_persistence = sessions[pick(sessions.len())].clone();
        }
        config
    })
}

fn sessions() -> impl Strategy<Value = Option<SessionPersistence>> {
    let kind = select(vec![SessionType::Cookie, SessionType::Header]);
    let timeout = option::of(select(vec![1, 60]));
    option::of((kind, select(vec!["s", "S-1"]), timeout).prop_map(|(kind, name, absolute_timeout)| {
        SessionPersistence {
            kind,
            session_name: name.to_owned(),
            absolute_timeout,
            lifetime_type: CookieLifetimeType::Session,
        }
    }))
}

/// A replacement of a prefix becomes one of the full path where there is no prefix.
fn fitting(filter: RouteFilter, matches: &[RouteMatch]) -> RouteFilter {
    let prefix =
        |one: &RouteMatch| one.path.as_ref().is_none_or(|path| path.kind == PathMatchType::PathPrefix);
    let path = |path: Option<PathModifier>| {
        path.map(|path| match path {
            PathModifier::ReplacePrefixMatch { .. } if !matches.iter().all(prefix) => {
                PathModifier::ReplaceFullPath { replace_full_path: "/full".to_owned() }
            }
            path => path,
        })
    };
    match filter {
        RouteFilter::RequestRedirect { request_redirect: it } => {
            RouteFilter::RequestRedirect { request_redirect: RequestRedirect { path: path(it.path), ..it } }
        }
        RouteFilter::UrlRewrite { url_rewrite: it } => {
            RouteFilter::UrlRewrite { url_rewrite: UrlRewrite { path: path(it.path), ..it } }
        }
        filter => filter,
    }
}

fn filters() -> impl Strategy<Value = Vec<RouteFilter>> {
    let request =
        modifier().prop_map(|it| RouteFilter::RequestHeaderModifier { request_header_modifier: it });
    let response =
        modifier().prop_map(|it| RouteFilter::ResponseHeaderModifier { response_header_modifier: it });
    let elsewhere = prop_oneof![
        1 => redirect().prop_map(|it| RouteFilter::RequestRedirect { request_redirect: it }),
        2 => (hostname(), option::of(path_modifier()))
            .prop_map(|(hostname, path)| RouteFilter::UrlRewrite { url_rewrite: UrlRewrite { hostname, path } }),
    ];
    let cors = cors().prop_map(|it| RouteFilter::Cors { cors: it });
    let some = (option::of(request), option::of(response), option::of(elsewhere), option::of(cors));
    some.prop_map(|(a, b, c, d)| [a, b, c, d].into_iter().flatten().collect())
}

fn cors() -> impl Strategy<Value = Cors> {
    let origins = select(vec![vec![], vec!["*"], vec!["http://a.x"], vec!["http://a.x", "https://*.x:8443"]]);
    let names = || select(vec![vec![], vec!["*"], vec!["PUT"]]);
    (origins, any::<bool>(), names(), names(), names()).prop_map(
        |(origins, allow_credentials, methods, headers, exposed)| {
            let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
            Cors {
                allow_origins: owned(origins),
                allow_credentials,
                allow_methods: owned(methods),
                allow_headers: owned(headers),
                expose_headers: owned(exposed),
                max_age: 5,
            }
        },
    )
}

fn modifier() -> impl Strategy<Value = HeaderModifier> {
    let header = |name: &str, value: &str| Header { name: name.to_owned(), value: value.to_owned() };
    select(vec!["1", "2"]).prop_map(move |value| HeaderModifier {
        set: vec![header("h", value)],
        add: vec![header("G", value)],
        remove: vec!["i".to_owned()],
    })
}

fn redirect() -> impl Strategy<Value = RequestRedirect> {
    let scheme = option::of(select(vec!["http", "https"])).prop_map(|scheme| scheme.map(str::to_owned));
    let port = option::of(select(vec![80, 443, 8080]));
    let status_code = option::of(select(vec![301, 302, 303, 307, 308]));
    (scheme, hostname(), option::of(path_modifier()), port, status_code).prop_map(
        |(scheme, hostname, path, port, status_code)| RequestRedirect {
            scheme,
            hostname,
            path,
            port,
            status_code,
        },
    )
}

fn hostname() -> impl Strategy<Value = Option<String>> {
    select(vec![None, Some("new.x")]).prop_map(|name| name.map(str::to_owned))
}

fn path_modifier() -> impl Strategy<Value = PathModifier> {
    prop_oneof![
        select(vec!["/", "/new/", "/new"])
            .prop_map(|path| PathModifier::ReplaceFullPath { replace_full_path: path.to_owned() }),
        select(vec!["", "/", "/new", "/new/"])
            .prop_map(|path| PathModifier::ReplacePrefixMatch { replace_prefix_match: path.to_owned() }),
    ]
}

fn backend() -> impl Strategy<Value = Backend> {
    let target = prop_oneof![3 => Just((Some("one"), None)), 3 => Just((Some("two"), None)), 1 => Just((None, Some("gone")))];
    (target, select(vec![0, 1, 2, 80, 1_000_000])).prop_map(|((cluster, invalid), weight)| Backend {
        cluster: cluster.map(str::to_owned),
        invalid: invalid.map(str::to_owned),
        weight,
        ..Backend::default()
    })
}

fn grpc_match() -> impl Strategy<Value = RouteMatch> {
    let headers = vec(value_match(select(vec!["h", "H", "g"])), 0..3);
    let text =
        |values: Vec<&'static str>| option::of(select(values)).prop_map(|text| text.map(str::to_owned));
    let expressions = (text(vec!["a|a.b", "[^b]*", "(?i)A", ""]), text(vec!["b|bc", ".", ""])).prop_map(
        |(service, method)| GrpcMethodMatch { kind: ValueMatchType::RegularExpression, service, method },
    );
    let filled = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let grpc = prop_oneof![2 => exact_call(), 1 => expressions]
        .prop_filter("either is given", move |grpc| filled(&grpc.service) || filled(&grpc.method));
    (option::weighted(0.8, grpc), headers).prop_map(|(grpc_method, headers)| RouteMatch {
        grpc_method,
        headers,
        ..RouteMatch::default()
    })
}

fn exact_call() -> impl Strategy<Value = GrpcMethodMatch> {
    let text =
        |values: Vec<&'static str>| option::of(select(values)).prop_map(|text| text.map(str::to_owned));
    (text(vec!["a", "a.b", "x"]), text(vec!["b", "bc", "x"])).prop_map(|(service, method)| GrpcMethodMatch {
        kind: ValueMatchType::Exact,
        service,
        method,
    })
}

fn http_match() -> impl Strategy<Value = RouteMatch> {
    let method = option::of(select(vec!["GET", "POST"])).prop_map(|method| method.map(str::to_owned));
    let headers = vec(value_match(select(vec!["h", "H", "g"])), 0..3);
    let query_params = vec(value_match(select(vec!["p", "P", "q"])), 0..3);
    (option::of(path_match()), method, headers, query_params).prop_map(
        |(path, method, headers, query_params)| RouteMatch {
            path,
            headers,
            query_params,
            method,
            ..RouteMatch::default()
        },
    )
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    let literal = select(vec!["/", "/a", "/a/", "/ab", "/a/b", "/a/b/", "/a;b"]);
    let expression = select(vec!["/a|/ab", "/.*", "/a/?.*?", "(?i)/A", "", "/[^/]+"]);
    prop_oneof![
        literal.clone().prop_map(|value| PathMatch { kind: PathMatchType::Exact, value: value.to_owned() }),
        literal.prop_map(|value| PathMatch { kind: PathMatchType::PathPrefix, value: value.to_owned() }),
        expression
            .prop_map(|value| PathMatch { kind: PathMatchType::RegularExpression, value: value.to_owned() }),
    ]
}

fn value_match(name: impl Strategy<Value = &'static str>) -> impl Strategy<Value = ValueMatch> {
    let value = prop_oneof![
        select(vec!["1", "2", "1,2", "1 2", "", "a.x"]).prop_map(|value| (ValueMatchType::Exact, value)),
        select(vec!["1|12", ".", ".*"]).prop_map(|value| (ValueMatchType::RegularExpression, value)),
    ];
    (name, value).prop_map(|(name, (kind, value))| ValueMatch {
        kind,
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

/// A request that owns its parts, and how it comes in.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    pub entry: Index,
    pub method: &'static str,
    pub authority: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, &'static str)>,
    pub random: u64,
}

impl Incoming {
    /// One of the entries of a config, or one that it does not have.
    pub(crate) fn entry(&self, config: &FilterConfig) -> String {
        let mut entries = vec!["infra/a:80".to_owned(), "infra/b:80".to_owned(), "unknown".to_owned()];
        let https = config.listeners.iter().filter(|listener| listener.protocol == Protocol::Https);
        entries.extend(https.map(|listener| listener.name.clone()));
        self.entry.get(&entries).clone()
    }

    pub(crate) fn with<T>(&self, use_request: impl FnOnce(&gatewasm_routing::Request<'_>) -> T) -> T {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        use_request(&gatewasm_routing::Request {
            method: self.method.as_bytes(),
            authority: self.authority.as_bytes(),
            path: self.path.as_bytes(),
            headers: &headers,
        })
    }
}

pub(crate) fn incoming() -> impl Strategy<Value = Incoming> {
    let authority =
        select(vec!["a.x", "A.X:80", "a.b.x", "c.x.", "x", "d.b.x", "other", "[::1]:80", "", "a.x:b"]);
    let path = select(vec![
        "/", "/a", "/a/", "/ab", "/a/b", "/a/b/c", "/a;b", "/A", "/a//b", "", "*", "/a.b/bc", "/A/b",
    ]);
    let query = select(vec![
        "",
        "?",
        "?p=1",
        "?p=1&p=2",
        "?p=2&q=1",
        "?P=1&p=",
        "?p",
        "?q=%31&p=1",
        "?p=1+2&q=1?2",
        "?p=1+2",
    ]);
    let plain = (select(vec!["h", "h", "g", "i"]), select(vec!["1", "2", "12", ""]));
    let content_type =
        (Just("content-type"), select(vec!["application/grpc", "Application/gRPC+proto", "text/html"]));
    let of_scripts = select(vec![
        ("origin", "http://a.x"),
        ("origin", "https://b.x:8443"),
        ("origin", "null"),
        ("access-control-request-method", "GET"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "h, g"),
        ("cookie", "s=AQ"),
    ]);
    let header = prop_oneof![2 => plain, 1 => content_type, 2 => of_scripts];
    (
        any::<Index>(),
        select(vec!["GET", "POST", "get", "OPTIONS"]),
        authority,
        path,
        query,
        vec(header, 0..4),
        any::<u64>(),
    )
        .prop_map(|(entry, method, authority, path, query, headers, random)| Incoming {
            entry,
            method,
            authority,
            path: format!("{path}{query}"),
            headers,
            random,
        })
}
