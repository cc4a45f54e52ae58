//! Random requests for a config of a [`Shape`], and the time that its table takes to decide them.

use gatewasm_routing::{Decision, Request, RouteTable, compile};

use crate::random::SplitMix64;
use crate::rules::{Shape, has_header, headers_of, is_exact, path};

/// Requests of a workload: enough that no branch predictor learns them by heart.
const REQUESTS: usize = 4096;

/// Which requests are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Nine in ten hit a rule, any of them alike; the others ask for a path or a host that no rule has.
    Mixed,
    /// All hit a rule.
    Hit,
    /// None does, though each comes close to one.
    Miss,
}

impl Ask {
    /// Its name in the figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mixed => "mixed",
            Self::Hit => "hit",
            Self::Miss => "miss",
        }
    }
}

/// A compiled config and the requests that it is asked about.
#[derive(Debug)]
pub struct Workload {
    table: RouteTable,
    requests: Vec<Owned>,
}

#[derive(Debug)]
struct Owned {
    host: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl Workload {
    /// The workload of so many rules.
    pub fn new(shape: Shape, rules: usize, ask: Ask) -> Self {
        let mut random = SplitMix64(42);
        let table = compile(&shape.config(rules)).unwrap_or_default();
        let requests = (0..REQUESTS).map(|_| request(shape, rules, ask, &mut random)).collect();
        Self { table, requests }
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
        self.decide_from(rounds, || ())
    }

    /// The same, and calls `begin` when all requests are at hand.
    fn decide_from(&self, rounds: u32, begin: impl FnOnce()) -> u32 {
        let headers: Vec<Vec<_>> = self.requests.iter().map(Owned::headers).collect();
        let requests: Vec<_> =
            self.requests.iter().zip(&headers).map(|(owned, headers)| owned.request(headers)).collect();
        begin();
        let mut forwarded = 0_u32;
        for round in 0..rounds {
            for request in &requests {
                let decision = self.table.decide(b"infra/web:80", request, u64::from(round) << 32);
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
        Request { method: b"GET", authority: self.host.as_bytes(), path: self.path.as_bytes(), headers }
    }
}

fn request(shape: Shape, rules: usize, ask: Ask, random: &mut SplitMix64) -> Owned {
    let rule = random.below(rules);
    let mut headers: Vec<(String, String)> = [
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "http"),
        ("x-request-id", &format!("{:016x}", random.next())),
        ("x-gw-listener", "infra/web:80"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let hits = match ask {
        Ask::Mixed => random.below(10) > 0,
        Ask::Hit => true,
        Ask::Miss => false,
    };
    let mut host = shape.host_of(rule, rules);
    let number = random.below(100);
    let path = match (shape, hits) {
        (Shape::OneHost | Shape::ManyHosts, true) => {
            if has_header(rule) {
                headers.push(("env".to_owned(), "canary".to_owned()));
            }
            let more = if is_exact(rule) { String::new() } else { format!("/items/{number}") };
            format!("{}{more}?page=2", path(rule))
        }
        (Shape::OneHost | Shape::ManyHosts, false) if random.below(2) == 0 => format!("/static/{number}.js"),
        (Shape::OneHost | Shape::ManyHosts, false) => {
            host = format!("unknown-{number}.example.com");
            path(rule)
        }
        (Shape::Headers, hits) => {
            headers.extend(headers_of(rule));
            if let (false, Some(last)) = (hits, headers.last_mut()) {
                last.1.push('x');
            }
            format!("/api/orders/{number}")
        }
        (Shape::Prefixed, true) => format!("/svc{rule}/{number}/items?page=2"),
        (Shape::Prefixed, false) if random.below(2) == 0 => format!("/svc{rule}/x{number}/items"),
        (Shape::Prefixed, false) => format!("/static/{number}.js"),
        (Shape::Unprefixed, true) => format!("/tenant-{number}/svc{rule}/items?page=2"),
        (Shape::Unprefixed, false) if random.below(2) == 0 => format!("/tenant-{number}/svc{rule}x/items"),
        (Shape::Unprefixed, false) => format!("/static/{number}.js"),
    };
    Owned { host, path, headers }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Once the automata of expressions have met the requests.
    #[test]
    fn a_decision_allocates_nothing() {
        for shape in Shape::ALL {
            for ask in [Ask::Mixed, Ask::Hit, Ask::Miss] {
                let workload = Workload::new(shape, 50, ask);
                workload.decide(2);
                let mut before = 0;
                workload.decide_from(1, || before = crate::allocations());
                assert_eq!(crate::allocations() - before, 0, "{shape:?} {ask:?}");
            }
        }
    }

    #[test]
    fn requests_hit_and_miss_as_asked() {
        for shape in Shape::ALL {
            for (ask, expected) in [(Ask::Mixed, 0.88..0.92), (Ask::Hit, 1.0..1.1), (Ask::Miss, 0.0..0.1)] {
                let workload = Workload::new(shape, 50, ask);
                let share = f64::from(workload.decide(1)) / workload.len() as f64;
                assert!(expected.contains(&share), "{shape:?} {ask:?}: {share}");
            }
        }
    }
}
