//! Who leads, by a Lease and this machine's own clock. Times in a Lease are another machine's and are never compared:
//! a leader is gone when its Lease did not change for as long as it says. Nothing is read or written here.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

/// How an election runs.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long others wait for a leader that says nothing. Longer than `deadline`, by more than clocks differ in
    /// speed within it.
    pub lease: Duration,
    /// A leader that could not renew its Lease for this long is none any more.
    pub deadline: Duration,
    /// How often a leader renews.
    pub renewal: Duration,
    /// Time between attempts: to become leader, and to renew after a failure.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            deadline: Duration::from_secs(10),
            renewal: Duration::from_secs(4),
            retry: Duration::from_secs(2),
        }
    }
}

/// One that would lead.
#[derive(Clone, Debug)]
pub struct Candidate {
    identity: String,
    timing: Timing,
    /// The Lease as it was last seen to change, and when that was noticed.
    seen: Option<(LeaseSpec, Instant)>,
}

/// What is to be done about a Lease.
#[derive(Clone, Debug, PartialEq)]
pub enum Turn {
    /// Write this; whoever succeeds leads.
    Take(Box<LeaseSpec>),
    /// Somebody leads.
    Wait,
}

impl Candidate {
    /// Under a name that no other process has.
    pub fn new(identity: String, timing: Timing) -> Self {
        Self { identity, timing, seen: None }
    }

    /// Looks at the Lease (`None` where there is none) at `now`, which is `time` for people.
    pub fn turn(&mut self, lease: Option<&LeaseSpec>, now: Instant, time: Timestamp) -> Turn {
        let Some(lease) = lease else { return Turn::Take(Box::new(self.lease(0, time))) };
        let since = match &self.seen {
            Some((seen, since)) if seen == lease => *since,
            _ => {
                self.seen = Some((lease.clone(), now));
                now
            }
        };
        let holder = lease.holder_identity.as_deref().unwrap_or_default();
        if holder == self.identity {
            return Turn::Take(Box::new(Self::renewed(lease, time)));
        }
        if !holder.is_empty() && now < since + self.patience(lease) {
            return Turn::Wait;
        }
        let transitions = lease.lease_transitions.unwrap_or_default().saturating_add(1);
        Turn::Take(Box::new(self.lease(transitions, time)))
    }

    /// A leader's own Lease, renewed.
    pub fn renewed(lease: &LeaseSpec, time: Timestamp) -> LeaseSpec {
        LeaseSpec { renew_time: Some(MicroTime(time)), ..lease.clone() }
    }

    /// A leader's own Lease, given back: the next one need not wait.
    pub fn released(lease: &LeaseSpec, time: Timestamp) -> LeaseSpec {
        LeaseSpec { holder_identity: None, lease_duration_seconds: Some(1), ..Self::renewed(lease, time) }
    }

    /// Whether the Lease is this one's.
    pub fn holds(&self, lease: &LeaseSpec) -> bool {
        lease.holder_identity.as_deref() == Some(&self.identity)
    }

    /// As long as the holder says, but nobody may say "for ever".
    fn patience(&self, lease: &LeaseSpec) -> Duration {
        let said = lease.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        said.map_or(self.timing.lease, Duration::from_secs).min(self.timing.lease * 2)
    }

    fn lease(&self, transitions: i32, time: Timestamp) -> LeaseSpec {
        // The API takes whole seconds, and no fewer than one.
        let seconds = i32::try_from(self.timing.lease.as_secs()).unwrap_or(i32::MAX).max(1);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(seconds),
            acquire_time: Some(MicroTime(time)),
            renew_time: Some(MicroTime(time)),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str) -> Candidate {
        Candidate::new(name.to_owned(), Timing::default())
    }

    fn taken(turn: Turn) -> LeaseSpec {
        match turn {
            Turn::Take(lease) => *lease,
            Turn::Wait => panic!("somebody leads"),
        }
    }

    fn noon() -> Timestamp {
        "2026-01-01T12:00:00Z".parse().unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_lease_that_is_not_there_is_taken() {
        let lease = taken(candidate("a").turn(None, Instant::now(), noon()));
        assert!(candidate("a").holds(&lease) && !candidate("b").holds(&lease));
        assert_eq!((lease.lease_duration_seconds, lease.lease_transitions), (Some(15), Some(0)));
    }

    #[test]
    fn a_leader_that_renews_is_never_replaced_and_a_silent_one_is() {
        let (begin, mut second) = (Instant::now(), candidate("b"));
        let mut lease = taken(candidate("a").turn(None, begin, noon()));
        for n in 0..20 {
            lease = Candidate::renewed(&lease, noon() + seconds(10 * n));
            let now = begin + seconds(10 * n);
            assert_eq!(second.turn(Some(&lease), now, noon()), Turn::Wait);
            assert_eq!(second.turn(Some(&lease), now + seconds(9), noon()), Turn::Wait);
        }
        let last = begin + seconds(190);
        assert_eq!(second.turn(Some(&lease), last + Duration::from_millis(14_999), noon()), Turn::Wait);
        let lease = taken(second.turn(Some(&lease), last + seconds(15), noon()));
        assert!(second.holds(&lease));
        assert_eq!(lease.lease_transitions, Some(1));
    }

    #[test]
    fn clocks_that_differ_make_no_second_leader() {
        for skew in [-86_400, 86_400] {
            let (begin, mut second) = (Instant::now(), candidate("b"));
            let lease = taken(candidate("a").turn(None, begin, noon()));
            let skewed = noon() + k8s_openapi::jiff::SignedDuration::from_secs(skew);
            assert_eq!(second.turn(Some(&lease), begin, skewed), Turn::Wait, "{skew}");
            assert_eq!(second.turn(Some(&lease), begin + seconds(14), skewed), Turn::Wait, "{skew}");
        }
    }

    #[test]
    fn a_lease_that_is_long_over_by_its_own_time_is_waited_for_once() {
        let (begin, mut second) = (Instant::now(), candidate("b"));
        let lease = taken(candidate("a").turn(None, begin, noon()));
        let later = begin + seconds(3600);
        assert_eq!(second.turn(Some(&lease), later, noon() + seconds(3600)), Turn::Wait);
        let lease = taken(second.turn(Some(&lease), later + seconds(15), noon()));
        assert!(second.holds(&lease));
    }

    #[test]
    fn a_lease_that_was_given_back_is_taken_at_once() {
        let now = Instant::now();
        let lease = Candidate::released(&taken(candidate("a").turn(None, now, noon())), noon());
        assert!(candidate("b").holds(&taken(candidate("b").turn(Some(&lease), now, noon()))));
    }

    #[test]
    fn ones_own_lease_is_renewed_without_a_change_of_leaders() {
        let (now, mut first) = (Instant::now(), candidate("a"));
        let lease = taken(first.turn(None, now, noon()));
        let renewed = taken(first.turn(Some(&lease), now, noon() + seconds(5)));
        assert_eq!(renewed.acquire_time, lease.acquire_time);
        assert_eq!(renewed.lease_transitions, Some(0));
        assert_eq!(renewed.renew_time, Some(MicroTime(noon() + seconds(5))));
    }

    #[test]
    fn nobody_leads_for_ever_by_saying_so() {
        let (now, mut second) = (Instant::now(), candidate("b"));
        let mut lease = taken(candidate("a").turn(None, now, noon()));
        for (said, patience) in [(Some(i32::MAX), 30), (Some(-1), 15), (None, 15)] {
            lease.lease_duration_seconds = said;
            assert_eq!(second.turn(Some(&lease), now, noon()), Turn::Wait);
            assert_eq!(second.turn(Some(&lease), now + seconds(patience - 1), noon()), Turn::Wait);
            let lease = taken(second.turn(Some(&lease), now + seconds(patience), noon()));
            assert!(second.holds(&lease));
        }
    }
}
