//! Rule sets: listeners, the routes that are attached to them, and their rules.

use gatewasm_routing::config::{
    Backend, FilterConfig, GrpcMethodMatch, Listener, PathMatch, PathMatchType, Protocol, Route, RouteKind,
    RouteMatch, Rule, ValueMatch, ValueMatchType,
};

use super::words::{Words, call_expressions};
use super::{Options, Random, filters};
use crate::hosts::intersection;

/// How a rule set looks.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Routes, at most.
    routes: usize,
    /// Rules of a route, at most.
    rules: usize,
    /// Whether rules differ by anything but their paths.
    one_path: bool,
    /// Whether one listener serves everything.
    one_host: bool,
}

/// A sound config.
pub(super) fn config(random: &mut Random, words: &Words, options: Options) -> FilterConfig {
    let shape = shape(random);
    let routes = routes(random, words, options, shape);
    let mut listeners = listeners(random, words, options, shape);
    for listener in &mut listeners {
        for route in &routes {
            if random.percent(85)
                && let Some(attached) = attach(listener, route)
            {
                listener.routes.push(attached);
            }
        }
        random.shuffle(&mut listener.routes);
    }
    random.shuffle(&mut listeners);
    FilterConfig { access_log: options.wire, listeners, ..FilterConfig::default() }
}

fn shape(random: &mut Random) -> Shape {
    match random.below(1000) {
        0..=2 => Shape { routes: 80, rules: 6, one_path: false, one_host: true },
        3..=40 => Shape { routes: 20, rules: 3, one_path: random.percent(30), one_host: random.percent(70) },
        41..=200 => Shape { routes: 6, rules: 4, one_path: true, one_host: random.percent(50) },
        _ => Shape { routes: 5, rules: 3, one_path: false, one_host: random.percent(20) },
    }
}

/// A route as attached to a listener: for the hostnames that both have, if any.
fn attach(listener: &Listener, route: &Route) -> Option<Route> {
    let mut attached = route.clone();
    if route.hostnames.is_empty() {
        return Some(attached);
    }
    attached.hostnames = route
        .hostnames
        .iter()
        .filter_map(|hostname| intersection(listener.hostname.as_deref(), Some(hostname)).flatten())
        .collect();
    attached.hostnames.sort();
    attached.hostnames.dedup();
    (!attached.hostnames.is_empty()).then_some(attached)
}

fn listeners(random: &mut Random, words: &Words, options: Options, shape: Shape) -> Vec<Listener> {
    let mut listeners = Vec::new();
    let gateways: &[&str] = if random.percent(25) { &["infra/g", "infra/h"] } else { &["infra/g"] };
    for gateway in gateways {
        let mut ports = vec![
            (80, Protocol::Http),
            (8080, Protocol::Http),
            (443, Protocol::Https),
            (8443, Protocol::Https),
        ];
        random.shuffle(&mut ports);
        ports.truncate(if random.percent(75) { 1 } else { 2 });
        for (port, protocol) in ports {
            let mut hostnames: Vec<Option<String>> = vec![None];
            hostnames.extend(words.hostnames.iter().map(|hostname| Some((*hostname).to_owned())));
            if shape.one_host {
                hostnames.truncate(1);
            } else {
                random.shuffle(&mut hostnames);
                // Servers are told apart by the names of their certificates, which end with one label at least.
                hostnames.truncate(random.between(1, if options.wire { 3 } else { 4 }));
            }
            for (index, hostname) in hostnames.into_iter().enumerate() {
                listeners.push(Listener {
                    name: format!("{gateway}/l{port}-{index}"),
                    gateway: (*gateway).to_owned(),
                    port,
                    protocol,
                    hostname,
                    alt_svc: random.percent(15).then(|| format!("h3=\":{port}\"; ma=86400")),
                    routes: Vec::new(),
                });
            }
        }
    }
    listeners
}

fn routes(random: &mut Random, words: &Words, options: Options, shape: Shape) -> Vec<Route> {
    let count = if shape.routes > 6 { shape.routes } else { random.between(1, shape.routes) };
    let mut routes: Vec<Route> = Vec::new();
    for number in 0..count {
        let kind =
            if options.grpc && random.percent(25) { RouteKind::GrpcRoute } else { RouteKind::HttpRoute };
        let namespace = random.any(&words.namespaces).to_owned();
        let mut name = random.any(words.names).to_owned();
        if routes.iter().any(|other| other.kind == kind && other.namespace == namespace && other.name == name)
        {
            name = format!("{name}-{number}");
        }
        let hostnames = match random.below(3) {
            _ if shape.one_host && shape.routes > 6 => vec![],
            0 => vec![],
            1 => vec![random.any(&words.hostnames).to_owned()],
            _ => random.some(&words.hostnames, 50).into_iter().map(|&hostname| hostname.to_owned()).collect(),
        };
        let rules = (0..random.between(1, shape.rules)).map(|place| {
            // A name may stand once in a route.
            let name = random.percent(5).then(|| format!("name-{place}"));
            Rule { name, ..rule(random, words, options, shape, kind) }
        });
        let rules = rules.collect();
        let creation_timestamp = random.any(&words.times).map(str::to_owned);
        routes.push(Route { kind, namespace, name, creation_timestamp, hostnames, rules });
    }
    routes
}

fn rule(random: &mut Random, words: &Words, options: Options, shape: Shape, kind: RouteKind) -> Rule {
    let matches: Vec<RouteMatch> = (0..random.between(0, 3))
        .map(|_| match kind {
            RouteKind::HttpRoute => http_match(random, words, shape),
            RouteKind::GrpcRoute => grpc_match(random, words),
        })
        .collect();
    let prefixes =
        matches.iter().all(|it| it.path.as_ref().is_none_or(|path| path.kind == PathMatchType::PathPrefix));
    let http = kind == RouteKind::HttpRoute;
    let place = |of_rule| filters::Place { http, prefixes: prefixes && http, of_rule };
    Rule {
        name: None,
        matches,
        invalid: random.percent(4).then(|| "not supported".to_owned()),
        filters: filters::list(random, options, place(true)),
        policy: policy(random, options),
        session_persistence: None,
        backends: backends(random, options, place(false)),
    }
}

fn policy(random: &mut Random, options: Options) -> Option<String> {
    (options.policy && random.percent(15)).then(|| format!("p-{}", random.below(3)))
}

fn backends(random: &mut Random, options: Options, place: filters::Place) -> Vec<Backend> {
    let count = random.any(&[0, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4]);
    let mut backends: Vec<Backend> = (0..count)
        .map(|_| {
            let usable = random.percent(90);
            Backend {
                cluster: usable.then(|| format!("s/c{}/80", random.below(6))),
                invalid: (!usable).then(|| "no such Service".to_owned()),
                policy: policy(random, options),
                filters: if random.percent(20) { filters::list(random, options, place) } else { vec![] },
                weight: random.any(&[0, 1, 1, 1, 2, 3, 100, 1_000_000]),
            }
        })
        .collect();
    if options.wire {
        // Envoy draws by itself: one share, or none.
        let only = random.below(8);
        for (index, backend) in backends.iter_mut().enumerate() {
            backend.weight = if index == only.min(count - 1) && only < 7 { backend.weight.max(1) } else { 0 };
        }
    }
    backends
}

/// A path of these words.
pub(super) fn path(random: &mut Random, words: &Words, slash: usize) -> String {
    let mut path = String::new();
    for _ in 0..random.any(&[0, 1, 1, 1, 2, 2, 3]) {
        path.push('/');
        path.push_str(random.any(&words.elements));
    }
    if path.is_empty() || random.percent(slash) {
        path.push('/');
    }
    path
}

fn http_match(random: &mut Random, words: &Words, shape: Shape) -> RouteMatch {
    let path = if shape.one_path {
        random.percent(70).then(|| PathMatch {
            kind: random.any(&[PathMatchType::Exact, PathMatchType::PathPrefix, PathMatchType::PathPrefix]),
            value: format!("/{}", words.elements[0]),
        })
    } else {
        random.percent(88).then(|| match random.below(10) {
            0..=2 => PathMatch { kind: PathMatchType::Exact, value: path(random, words, 15) },
            3..=4 => PathMatch {
                kind: PathMatchType::RegularExpression,
                value: random.any(&words.path_expressions).0.to_owned(),
            },
            _ => PathMatch { kind: PathMatchType::PathPrefix, value: path(random, words, 25) },
        })
    };
    let often = if shape.one_path { 2 } else { 1 };
    RouteMatch {
        path,
        headers: conditions(random, words, &words.headers, 20 * often),
        query_params: conditions(random, words, &words.parameters, 15 * often),
        method: random.percent(20 * often).then(|| random.any(&words.methods).to_owned()),
        grpc_method: None,
    }
}

fn grpc_match(random: &mut Random, words: &Words) -> RouteMatch {
    let (with_service, with_method) = random.any(&[(true, true), (true, true), (true, false), (false, true)]);
    let grpc_method = random.percent(85).then(|| {
        let (kind, service, method) = if random.percent(70) {
            (ValueMatchType::Exact, random.any(&words.services), random.any(&words.service_methods))
        } else {
            let (service, method) = call_expressions(random);
            (ValueMatchType::RegularExpression, service, method)
        };
        GrpcMethodMatch {
            kind,
            service: with_service.then(|| service.to_owned()),
            method: with_method.then(|| method.to_owned()),
        }
    });
    RouteMatch {
        headers: conditions(random, words, &words.headers, 25),
        grpc_method,
        ..RouteMatch::default()
    }
}

fn conditions(random: &mut Random, words: &Words, names: &[&str], percent: usize) -> Vec<ValueMatch> {
    let count = if random.percent(percent) { random.between(1, 3) } else { 0 };
    (0..count)
        .map(|_| {
            let name = random.any(names).to_owned();
            if random.percent(70) {
                let host = name.eq_ignore_ascii_case("host");
                let value = if host {
                    random.any(&["a.test", "b.a.test:80", "A.test"])
                } else {
                    random.any(&words.values)
                };
                ValueMatch { kind: ValueMatchType::Exact, name, value: (*value).to_owned() }
            } else {
                let value = random.any(&words.value_expressions).0.to_owned();
                ValueMatch { kind: ValueMatchType::RegularExpression, name, value }
            }
        })
        .collect()
}
