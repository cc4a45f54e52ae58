//! A config and requests for it, from a generator with a fixed seed: every run measures the same.

use gatewasm_routing::config::*;
use gatewasm_routing::{Decision, Request, RouteTable, compile, wire};

/// Requests of a workload: enough that no branch predictor learns them by heart.
const REQUESTS: usize = 4096;

/// How the rules are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// All on one hostname.
    One,
    /// Ten on each hostname; of ten in all, two.
    Many,
}

impl Hosts {
    /// Both.
    pub const ALL: [Self; 2] = [Self::One, Self::Many];

    /// `one` or `many`.
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Many => "many",
        }
    }
}

/// A compiled config and the requests that it is asked about.
#[derive(Debug)]
pub struct Workload {
    table: RouteTable,
    entry: String,
    requests: Vec<Owned>,
}

#[derive(Debug)]
struct Owned {
    method: &'static str,
    host: String,
    path: String,
    headers: Vec<(&'static str, String)>,
}

impl Workload {
    /// The workload of so many rules: seven in ten a PathPrefix, two an Exact path, and one that also asks for a
    /// header. Nine in ten requests hit a rule, any of them alike; the others ask for a path or a host that no rule
    /// has. No expressions: their cost is that of the expression.
    pub fn new(rules: usize, hosts: Hosts) -> Self {
        let mut random = SplitMix64(42);
        let per_host = match hosts {
            Hosts::One => rules,
            Hosts::Many => (rules / 5).clamp(1, 10),
        };
        let places: Vec<_> = (0..rules).map(|rule| (rule / per_host, rule)).collect();
        let routes = places.chunk_by(|a, b| a.0 == b.0).map(route).collect();
        let listener = Listener {
            name: "infra/web/http".to_owned(),
            gateway: "infra/web".to_owned(),
            port: 80,
            protocol: Protocol::Http,
            hostname: None,
            routes,
        };
        let entry = wire::entry_of_port(&listener.gateway, listener.port);
        let config = FilterConfig { listeners: vec![listener], ..FilterConfig::default() };
        let table = compile(&config).unwrap_or_default();
        let requests = (0..REQUESTS).map(|_| request(&mut random, &places)).collect();
        Self { table, entry, requests }
    }

    /// Number of requests.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Decides every request so many times. Returns how many were forwarded.
    pub fn decide(&self, rounds: u32) -> u32 {
        let headers: Vec<Vec<_>> = self.requests.iter().map(Owned::headers).collect();
        let requests: Vec<_> =
            self.requests.iter().zip(&headers).map(|(owned, headers)| owned.request(headers)).collect();
        let entry = self.entry.as_bytes();
        let mut forwarded = 0_u32;
        for round in 0..rounds {
            for request in &requests {
                let decision = self.table.decide(entry, request, u64::from(round) << 32);
                forwarded = forwarded.wrapping_add(u32::from(matches!(decision, Decision::Forward { .. })));
            }
        }
        forwarded
    }
}

impl Owned {
    fn headers(&self) -> Vec<(&[u8], &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
    }

    fn request<'a>(&'a self, headers: &'a [(&'a [u8], &'a [u8])]) -> Request<'a> {
        Request {
            method: self.method.as_bytes(),
            authority: self.host.as_bytes(),
            path: self.path.as_bytes(),
            headers,
        }
    }
}

fn host(index: usize) -> String {
    format!("app-{index}.example.com")
}

fn path(rule: usize) -> String {
    format!("/api/v1/team-{}/service-{rule}", rule % 50)
}

fn route(places: &[(usize, usize)]) -> Route {
    let index = places.first().map_or(0, |place| place.0);
    Route {
        kind: RouteKind::HttpRoute,
        namespace: "default".to_owned(),
        name: format!("app-{index}"),
        creation_timestamp: Some("2026-01-01T00:00:00Z".to_owned()),
        hostnames: vec![host(index)],
        rules: places.iter().map(|(_, rule)| self::rule(*rule)).collect(),
    }
}

fn rule(rule: usize) -> Rule {
    let kind = if rule % 10 < 7 || rule % 10 == 9 { PathMatchType::PathPrefix } else { PathMatchType::Exact };
    let canary =
        ValueMatch { kind: ValueMatchType::Exact, name: "env".to_owned(), value: "canary".to_owned() };
    let route_match = RouteMatch {
        path: Some(PathMatch { kind, value: path(rule) }),
        headers: if rule % 10 == 9 { vec![canary] } else { Vec::new() },
        ..RouteMatch::default()
    };
    let backend = Backend { cluster: Some(format!("default/service-{rule}/8080")), ..Backend::default() };
    Rule { matches: vec![route_match], backends: vec![backend], ..Rule::default() }
}

fn request(random: &mut SplitMix64, places: &[(usize, usize)]) -> Owned {
    let (index, rule) = places.get(random.below(places.len())).copied().unwrap_or_default();
    let mut headers = vec![
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned()),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8".to_owned()),
        ("accept-language", "en-US,en;q=0.5".to_owned()),
        ("accept-encoding", "gzip, deflate, br, zstd".to_owned()),
        ("x-forwarded-for", "203.0.113.7".to_owned()),
        ("x-forwarded-proto", "http".to_owned()),
        ("x-request-id", format!("{:016x}", random.next())),
        ("x-gw-listener", "infra/web:80".to_owned()),
    ];
    let exact = matches!(rule % 10, 7 | 8);
    let (host, path) = match random.below(20) {
        0 => (host(index), format!("/static/{}.js", random.below(1000))),
        1 => (format!("unknown-{}.example.com", random.below(1000)), path(rule)),
        _ if exact => (host(index), format!("{}?page={}", path(rule), random.below(100))),
        _ => (host(index), format!("{}/items/{}?page=2", path(rule), random.below(100))),
    };
    if rule % 10 == 9 {
        headers.push(("env", "canary".to_owned()));
    }
    Owned { method: "GET", host, path, headers }
}

/// Sebastiano Vigna's SplitMix64.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nine_requests_in_ten_are_forwarded() {
        for hosts in Hosts::ALL {
            for rules in crate::RULES {
                let workload = Workload::new(rules, hosts);
                let share = f64::from(workload.decide(1)) / workload.len() as f64;
                assert!((0.88..0.92).contains(&share), "{rules} {hosts:?}: {share}");
            }
        }
    }
}
