//! When one object may be written again: soon after success, later and later after failures. Nothing is waited for
//! and nothing is written here.

use std::time::{Duration, Instant};

use super::failure::Failure;

/// After the first conflict in a while: somebody else was faster, once.
const ONCE: Duration = Duration::from_millis(50);
/// After the first failure; doubled with each that follows.
const FIRST: Duration = Duration::from_secs(1);
/// But never longer than this, nor than an API server's own wish up to it.
const LONGEST: Duration = Duration::from_secs(30);
/// Attempts that are further apart have nothing to do with each other.
const WHILE: Duration = Duration::from_secs(2);

/// The pace of one object. It allows about two writes a second at most, whatever happens.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    failures: u32,
    last: Option<Instant>,
    next: Option<Instant>,
}

impl Pace {
    /// When the next attempt may be made; `None` is at once.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether it is as if nothing had ever been written.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.failures == 0 && !self.is_busy(now) && self.next.is_none_or(|next| next <= now)
    }

    /// An attempt succeeded, and the next one need not wait.
    pub fn succeeded(&mut self, now: Instant) {
        *self = Self { failures: 0, last: Some(now), next: None };
    }

    /// An attempt succeeded, and the next one waits for more to write: for `short`, and for `long` where writes
    /// follow one another.
    pub fn rest(&mut self, now: Instant, short: Duration, long: Duration) {
        let rest = if self.is_busy(now) { long } else { short };
        *self = Self { failures: 0, last: Some(now), next: Some(now + rest) };
    }

    /// An attempt failed. `jitter` (0 to 1) keeps many objects from coming back together.
    pub fn failed(&mut self, now: Instant, failure: Failure, jitter: f64) {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(6)).min(LONGEST);
        let delay = match failure {
            Failure::Conflict if self.failures == 0 && !self.is_busy(now) => ONCE,
            Failure::Conflict if self.failures == 1 => FIRST,
            Failure::Throttled(Some(wish)) => doubled.max(wish.min(LONGEST)),
            _ => doubled,
        };
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
        self.next = Some(now + delay.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 2.0));
    }

    fn is_busy(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) < WHILE)
    }
}

/// A random number from 0 to 1, for jitter.
pub fn jitter() -> f64 {
    // Without randomness everybody comes back at the same time, which works as well.
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times of the attempts of half a minute, in seconds, when every attempt ends in the same way.
    fn attempts(mut end: impl FnMut(&mut Pace, Instant)) -> Vec<f64> {
        let (begin, mut pace, mut times) = (Instant::now(), Pace::default(), Vec::new());
        let mut now = begin;
        while now < begin + Duration::from_secs(30) {
            times.push((now - begin).as_secs_f64());
            end(&mut pace, now);
            now = pace.next().unwrap_or(now + Duration::from_millis(1)).max(now);
        }
        times
    }

    fn most_in_a_second(times: &[f64]) -> usize {
        let within = |from: f64| times.iter().filter(|time| (from..from + 1.0).contains(*time)).count();
        times.iter().map(|time| within(*time)).max().unwrap_or_default()
    }

    #[test]
    fn conflicts_without_end_are_no_hot_loop() {
        for jitter in [0.0, 0.3, 1.0] {
            let times = attempts(|pace, now| pace.failed(now, Failure::Conflict, jitter));
            assert!(times[1] < 0.1, "the first conflict is looked at soon: {times:?}");
            assert!(most_in_a_second(&times) <= 2, "{times:?}");
            assert!((5..=8).contains(&times.len()), "{times:?}");
        }
    }

    #[test]
    fn a_fight_over_an_object_stays_slow() {
        let mut turn = 0;
        let times = attempts(|pace, now| {
            turn += 1;
            match turn % 2 {
                0 => pace.failed(now, Failure::Conflict, 0.0),
                _ => pace.rest(now, Duration::from_millis(400), Duration::from_millis(800)),
            }
        });
        assert!(most_in_a_second(&times) <= 2, "{times:?}");
    }

    #[test]
    fn other_failures_double_the_time_up_to_a_limit() {
        let (begin, mut pace) = (Instant::now(), Pace::default());
        let mut delays = Vec::new();
        for _ in 0..8 {
            pace.failed(begin, Failure::Unavailable, 0.0);
            delays.push((pace.next().unwrap() - begin).as_secs());
        }
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30, 30]);
        pace.failed(begin, Failure::Unavailable, 1.0);
        assert_eq!((pace.next().unwrap() - begin).as_secs(), 45);
    }

    #[test]
    fn the_wish_of_the_server_is_respected_within_reason() {
        let begin = Instant::now();
        for (wish, delay) in [(5, 5), (3600, 30), (0, 1)] {
            let mut pace = Pace::default();
            pace.failed(begin, Failure::Throttled(Some(Duration::from_secs(wish))), 0.0);
            assert_eq!((pace.next().unwrap() - begin).as_secs(), delay);
        }
    }

    #[test]
    fn success_clears_the_past() {
        let (begin, mut pace) = (Instant::now(), Pace::default());
        pace.failed(begin, Failure::Unavailable, 0.0);
        pace.succeeded(begin);
        assert_eq!(pace.next(), None);
        assert!(!pace.is_fresh(begin));
        assert!(pace.is_fresh(begin + WHILE));
    }
}
