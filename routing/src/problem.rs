//! What is wrong with a filter config: the place in the JSON and a sentence. Data, collected rather than thrown, so
//! that one look shows every fault.

use std::fmt;

/// One fault of a filter config.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigProblem {
    /// Where: `listeners[0].routes[1].rules[0].matches[0].path.value`. Empty for the document as a whole.
    pub path: String,
    /// What is wrong, with the value quoted.
    pub message: String,
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl std::error::Error for ConfigProblem {}

/// The faults found so far. Paths are relative to the part under inspection and grow on the way out, so that a sound
/// config never formats one.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<ConfigProblem>);

impl Problems {
    /// Adds a fault of the field at `path`, relative to the part under inspection.
    pub(crate) fn add(&mut self, path: impl fmt::Display, message: impl Into<String>) {
        self.push(path.to_string(), message.into());
    }

    /// Once, and not for every kind of text: the filter has many faults to tell and no room.
    #[inline(never)]
    fn push(&mut self, path: String, message: String) {
        self.0.push(ConfigProblem { path, message });
    }

    /// Inspects a part of the current one: what `inspect` adds is placed below `segment`.
    pub(crate) fn within<T>(
        &mut self,
        segment: fmt::Arguments<'_>,
        inspect: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let before = self.0.len();
        let result = inspect(self);
        for problem in self.0.iter_mut().skip(before) {
            let separator = if problem.path.is_empty() || problem.path.starts_with('[') { "" } else { "." };
            problem.path = format!("{segment}{separator}{}", problem.path);
        }
        result
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_vec(self) -> Vec<ConfigProblem> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_grow_from_the_inside_out() {
        let mut problems = Problems::default();
        problems.within(format_args!("listeners[{}]", 2), |problems| {
            problems.add("hostname", "is bad");
            problems.within(format_args!("routes[0]"), |problems| problems.add("", "is odd"));
        });
        problems.add("", "is wrong as a whole");
        let shown: Vec<String> = problems.into_vec().iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["listeners[2].hostname: is bad", "listeners[2].routes[0]: is odd", "is wrong as a whole"]
        );
    }
}
