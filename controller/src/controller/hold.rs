//! When the next configuration is made, while the last one is still on its way to the pods. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// A bundle that is on its way to the pods has this long to get there before the next one is made.
const UNDER_WAY: Duration = Duration::from_millis(300);

/// Until when what is new waits; `None` is for nothing. Statuses are published when their bundle is in effect: in a storm
/// of changes none would ever be, if each were overtaken by the next. `made` is when the last bundles were.
pub(super) fn held_until(
    made: Instant,
    now: Instant,
    is_under_way: impl FnOnce() -> bool,
) -> Option<Instant> {
    let until = made + UNDER_WAY;
    (now < until && is_under_way()).then_some(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_waits_for_what_is_under_way_and_not_for_long() {
        let made = Instant::now();
        let after = |milliseconds: u64| made + Duration::from_millis(milliseconds);
        for (now, is_under_way, expected) in [
            (0, true, Some(after(300))),
            (299, true, Some(after(300))),
            (300, true, None),
            (5000, true, None),
            (0, false, None),
        ] {
            assert_eq!(held_until(made, after(now), || is_under_way), expected, "{now} {is_under_way}");
        }
    }

    /// To find out whether anything is under way costs a look at every pod.
    #[test]
    fn nobody_is_asked_when_it_does_not_matter() {
        let made = Instant::now();
        let asked = || panic!("nobody is to be asked");
        assert_eq!(held_until(made, made + Duration::from_secs(1), asked), None);
    }
}
