//! What went out of use, and when it goes: requests and retries under way may still need it, and the filter may still
//! name it until its next configuration is in effect. Of clusters and policies alike.

use std::collections::BTreeMap;

use tokio::time::Instant;

/// Resources out of use, by name.
#[derive(Clone, Debug)]
pub(super) struct Lingering<T> {
    out_of_use: BTreeMap<String, Out<T>>,
}

#[derive(Clone, Debug)]
struct Out<T> {
    resource: T,
    /// `None` as long as the filter may still name it.
    goes: Option<Instant>,
}

impl<T> Default for Lingering<T> {
    fn default() -> Self {
        Self { out_of_use: BTreeMap::new() }
    }
}

impl<T: Clone> Lingering<T> {
    /// Notes what of `old` is not in `new`, and forgets what came back.
    pub(super) fn change<U>(&mut self, old: &BTreeMap<String, T>, new: &BTreeMap<String, U>) {
        self.out_of_use.retain(|name, _| !new.contains_key(name));
        for (name, resource) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
            self.out_of_use.insert(name.clone(), Out { resource: resource.clone(), goes: None });
        }
    }

    /// The filter names nothing of it any more: all of it goes at `goes`, or when it was to go already.
    pub(super) fn no_longer_named(&mut self, goes: Instant) {
        for out in self.out_of_use.values_mut() {
            out.goes.get_or_insert(goes);
        }
    }

    /// When something goes next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.out_of_use.values().filter_map(|out| out.goes).min()
    }

    /// Lets go whose time has come.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.out_of_use.retain(|_, out| out.goes.is_none_or(|goes| goes > now));
    }

    /// All of it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &T)> {
        self.out_of_use.iter().map(|(name, out)| (name, &out.resource))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LINGER: Duration = Duration::from_secs(30);

    fn set(names: &[&str]) -> BTreeMap<String, ()> {
        names.iter().map(|name| ((*name).to_owned(), ())).collect()
    }

    fn names(lingering: &Lingering<()>) -> Vec<&str> {
        lingering.iter().map(|(name, ())| name.as_str()).collect()
    }

    #[test]
    fn nothing_goes_before_the_filter_has_ceased_to_name_it() {
        let (begin, mut lingering) = (Instant::now(), Lingering::default());
        lingering.change(&set(&["a", "b"]), &set(&["b"]));
        lingering.sweep(begin + 2 * LINGER);
        assert_eq!((names(&lingering), lingering.next()), (vec!["a"], None));

        lingering.no_longer_named(begin + LINGER);
        // Another change does not put it off.
        lingering.no_longer_named(begin + 2 * LINGER);
        assert_eq!(lingering.next(), Some(begin + LINGER));
        lingering.sweep(begin + LINGER - Duration::from_millis(1));
        assert_eq!(names(&lingering), ["a"]);
        lingering.sweep(begin + LINGER);
        assert_eq!((names(&lingering), lingering.next()), (vec![], None));
    }

    #[test]
    fn what_comes_back_stays_and_what_goes_again_lingers_anew() {
        let (begin, mut lingering) = (Instant::now(), Lingering::default());
        lingering.change(&set(&["a"]), &set(&["b"]));
        lingering.no_longer_named(begin + LINGER);
        lingering.change(&set(&["b"]), &set(&["a"]));
        assert_eq!(names(&lingering), ["b"]);
        lingering.change(&set(&["a"]), &set(&["c"]));
        lingering.no_longer_named(begin + 2 * LINGER);
        lingering.sweep(begin + LINGER);
        assert_eq!(names(&lingering), ["a", "b"]);
        lingering.sweep(begin + 2 * LINGER);
        assert_eq!(names(&lingering), [""; 0]);
    }
}
