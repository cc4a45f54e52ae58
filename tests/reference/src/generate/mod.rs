//! Rule sets that are easy to get wrong, and requests that meet them: few words, so that everything collides; requests
//! made from rules and then changed a little, so that they hit or narrowly miss.

mod filters;
mod random;
mod requests;
mod rules;
mod words;

use gatewasm_routing::config::FilterConfig;

use crate::Question;
pub use random::Random;

/// What is generated.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// GRPCRoutes and gRPC requests.
    pub grpc: bool,
    /// CORS filters, preflight requests and origins.
    pub cors: bool,
    /// Policies.
    pub policy: bool,
    /// Only what can be sent through a real Envoy: paths that it leaves as they are, hosts and headers that it lets
    /// through, and rules that leave nothing to chance.
    pub wire: bool,
}

impl Default for Options {
    /// What the engine takes.
    fn default() -> Self {
        Self { grpc: true, cors: true, policy: true, wire: false }
    }
}

/// A config, and requests that it is asked about.
#[derive(Debug)]
pub struct RuleSet {
    /// The config.
    pub config: FilterConfig,
    /// The requests.
    pub questions: Vec<Question>,
}

/// The rule set with a number, of a seed.
pub fn rule_set(seed: u64, number: u64, questions: usize, options: Options) -> RuleSet {
    let mut random = Random::new(seed, number);
    let words = words::Words::draw(&mut random, options);
    let config = rules::config(&mut random, &words, options);
    let questions =
        (0..questions).map(|_| requests::question(&mut random, &words, options, &config)).collect();
    RuleSet { config, questions }
}
