//! Filters of rules and of their backends.

use gatewasm_routing::config::{
    Cors, Header, HeaderModifier, PathModifier, RequestRedirect, RouteFilter, UrlRewrite,
};

use super::{Options, Random};

/// Names of headers that filters change, and that requests and answers have.
pub(super) const CHANGED: &[&str] = &["a", "x", "X-Env", "y", "Vary", "access-control-allow-origin"];

/// Origins.
pub(super) const ORIGINS: &[&str] = &[
    "https://a.test",
    "https://b.a.test",
    "https://c.b.a.test",
    "http://a.test",
    "https://a.test:443",
    "https://a.test:8443",
    "https://ba.test",
    "HTTPS://A.TEST",
    "null",
    "https://a.test.x",
    "https://a.test,https://b.a.test",
    "https://x.test/a.test",
    "",
];

/// Where a list of filters stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// In an HTTPRoute.
    pub(super) http: bool,
    /// Where every match of the rule is a prefix.
    pub(super) prefixes: bool,
    /// On a rule, not on a backend.
    pub(super) of_rule: bool,
}

pub(super) fn list(random: &mut Random, options: Options, place: Place) -> Vec<RouteFilter> {
    let mut filters = Vec::new();
    if random.percent(15) {
        filters.push(RouteFilter::RequestHeaderModifier { request_header_modifier: modifier(random) });
    }
    if random.percent(15) {
        filters.push(RouteFilter::ResponseHeaderModifier { response_header_modifier: modifier(random) });
    }
    if place.http {
        if random.percent(10) {
            filters.push(RouteFilter::RequestRedirect { request_redirect: redirect(random, place) });
        } else if random.percent(15) {
            filters.push(RouteFilter::UrlRewrite { url_rewrite: rewrite(random, place) });
        }
        if options.cors && place.of_rule && random.percent(20) {
            filters.push(RouteFilter::Cors { cors: cors(random) });
        }
    }
    random.shuffle(&mut filters);
    filters
}

fn modifier(random: &mut Random) -> HeaderModifier {
    let mut modifier = HeaderModifier::default();
    for name in random.some(CHANGED, 35) {
        let name = (*name).to_owned();
        let header = Header { name: name.clone(), value: random.any(&["1", "2", "a b", "new"]).to_owned() };
        match random.below(3) {
            0 => modifier.set.push(header),
            1 => modifier.add.push(header),
            _ => modifier.remove.push(name),
        }
    }
    if modifier == HeaderModifier::default() {
        modifier.remove.push("a".to_owned());
    }
    modifier
}

fn path_modifier(random: &mut Random, place: Place) -> PathModifier {
    if place.prefixes && random.percent(75) {
        let replacement = random.any(&["/", "", "/z", "/z/", "/z/y", "/a", "/z%20/"]);
        PathModifier::ReplacePrefixMatch { replace_prefix_match: replacement.to_owned() }
    } else {
        let path = random.any(&["/", "/z", "/z/y/", "/a"]);
        PathModifier::ReplaceFullPath { replace_full_path: path.to_owned() }
    }
}

fn redirect(random: &mut Random, place: Place) -> RequestRedirect {
    RequestRedirect {
        scheme: random.percent(40).then(|| random.any(&["http", "https"]).to_owned()),
        hostname: random.percent(30).then(|| "z.test".to_owned()),
        path: random.percent(50).then(|| path_modifier(random, place)),
        port: random.percent(30).then(|| random.any(&[80, 443, 8080, 1])),
        status_code: random.percent(50).then(|| random.any(&[301, 302, 303, 307, 308])),
    }
}

fn rewrite(random: &mut Random, place: Place) -> UrlRewrite {
    let hostname = random.percent(50).then(|| random.any(&["z.test", "y.test"]).to_owned());
    let path = (hostname.is_none() || random.percent(60)).then(|| path_modifier(random, place));
    UrlRewrite { hostname, path }
}

fn cors(random: &mut Random) -> Cors {
    const ALLOWED: &[&str] = &[
        "https://a.test",
        "https://*.a.test",
        "http://a.test",
        "https://a.test:8443",
        "https://*",
        "http://*",
    ];
    let mut several = |of: &[&str]| -> Vec<String> {
        match random.below(3) {
            0 => vec!["*".to_owned()],
            1 => vec![random.any(of).to_owned()],
            _ => random.some(of, 50).into_iter().map(|&one| one.to_owned()).collect(),
        }
    };
    let mut cors = Cors {
        allow_origins: several(ALLOWED),
        allow_methods: several(&["GET", "PUT", "DELETE", "OPTIONS"]),
        allow_headers: several(&["x", "Y", "x-env"]),
        expose_headers: several(&["x", "Y", "x-env"]),
        allow_credentials: random.percent(40),
        max_age: random.any(&[1, 5, 86400]),
    };
    if cors.allow_origins.is_empty() {
        cors.allow_origins.push("https://a.test".to_owned());
    }
    cors
}
