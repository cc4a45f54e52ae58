//! Which of a rule's backends gets a request, by weight, from a number that the caller draws.

use crate::action::Actions;

/// The backends of one rule.
#[derive(Debug)]
pub(crate) struct Backends(Shares);

/// In the order of the rule, each with the sum of the weights up to and including its own. One of weight 0 ends where it
/// begins, and is never met.
#[derive(Debug)]
enum Shares {
    /// As most rules have it: at hand where the rule is.
    One(Share),
    Several(Box<[Share]>),
}

/// A backend and its share.
#[derive(Debug)]
pub(crate) struct Share {
    end: u64,
    pub(crate) target: Target,
    pub(crate) weight: u32,
    /// What is done to the requests of this share alone.
    pub(crate) actions: Option<Box<Actions>>,
}

/// Where a share goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The name of an Envoy cluster.
    Cluster(String),
    /// The backend cannot be used, for this reason; "500 status codes MUST be returned" for its share
    /// (Gateway API `HTTPRouteRule.backendRefs`).
    Invalid(String),
}

impl Backends {
    /// "Proportion of requests … computed as weight/(sum of all weights)"; weight 0 means none, and an invalid
    /// backend keeps its share (Gateway API `BackendRef.weight`).
    pub(crate) fn new(backends: impl IntoIterator<Item = (Target, u32, Option<Box<Actions>>)>) -> Self {
        let mut total = 0_u64;
        let mut shares = backends.into_iter().map(|(target, weight, actions)| {
            total = total.saturating_add(weight.into());
            Share { end: total, target, weight, actions }
        });
        let (first, second) = (shares.next(), shares.next());
        match (first, second) {
            (Some(only), None) => Self(Shares::One(only)),
            (first, second) => Self(Shares::Several(first.into_iter().chain(second).chain(shares).collect())),
        }
    }

    fn shares(&self) -> &[Share] {
        match &self.0 {
            Shares::One(share) => std::slice::from_ref(share),
            Shares::Several(shares) => shares,
        }
    }

    /// The backend for one request; `None` without any, or with all weights 0.
    ///
    /// `random` is uniform over all of `u64`: the upper half of the 128-bit product with the total is uniform over
    /// the total, but for a bias below `total / 2^64`.
    pub(crate) fn choose(&self, random: u64) -> Option<&Share> {
        let shares = self.shares();
        let total = shares.last()?.end;
        let product = u128::from(random).saturating_mul(total.into());
        let point = u64::try_from(product >> 64).unwrap_or(u64::MAX);
        let index = shares.partition_point(|share| share.end <= point);
        shares.get(index)
    }

    /// The backend at this place in the rule.
    pub(crate) fn get(&self, index: usize) -> Option<&Share> {
        self.shares().get(index)
    }

    /// Every backend.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Share> {
        self.shares().iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str) -> Target {
        Target::Cluster(name.to_owned())
    }

    fn backends(weights: impl IntoIterator<Item = (Target, u32)>) -> Backends {
        Backends::new(weights.into_iter().map(|(target, weight)| (target, weight, None)))
    }

    fn choose(backends: &Backends, random: u64) -> Option<&Target> {
        backends.choose(random).map(|share| &share.target)
    }

    #[test]
    fn none_without_backends_or_weights() {
        assert_eq!(choose(&backends([]), 0), None);
        let zero = backends([(cluster("a"), 0), (cluster("b"), 0)]);
        assert_eq!(choose(&zero, 0), None);
        assert_eq!(choose(&zero, u64::MAX), None);
    }

    #[test]
    fn a_single_share_gets_everything() {
        let backends = backends([(cluster("a"), 0), (cluster("b"), 3), (cluster("c"), 0)]);
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            assert_eq!(choose(&backends, random), Some(&cluster("b")));
        }
    }

    #[test]
    fn shares_border_where_the_weights_say() {
        let backends = backends([(cluster("a"), 1), (cluster("b"), 3)]);
        let quarter = 1_u64 << 62;
        assert_eq!(choose(&backends, 0), Some(&cluster("a")));
        assert_eq!(choose(&backends, quarter - 1), Some(&cluster("a")));
        assert_eq!(choose(&backends, quarter), Some(&cluster("b")));
        assert_eq!(choose(&backends, u64::MAX), Some(&cluster("b")));
    }

    #[test]
    fn shares_hold_over_evenly_spread_numbers() {
        let backends = backends([(cluster("a"), 80), (Target::Invalid("gone".to_owned()), 20)]);
        let (count, step) = (10_000, u64::MAX / 10_000);
        let to_a = (0..count).filter(|i| choose(&backends, i * step) == Some(&cluster("a"))).count();
        assert!((7_999..=8_001).contains(&to_a), "{to_a}");
    }

    #[test]
    fn the_largest_weights_stay_in_range() {
        let backends = backends((0..1000).map(|i| (cluster(&i.to_string()), u32::MAX)));
        assert_eq!(choose(&backends, u64::MAX), Some(&cluster("999")));
    }
}
