//! Whose pods are replaced by those of another release of gatewasm: one Gateway's after the other, so that a release
//! that does not serve is noticed before all Gateways have it.
//!
//! A change of a Gateway's own labels and annotations waits for nobody: it is its owner's, and one Gateway's alone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::cluster::rollout::Rollout;
use crate::cluster::{Facts, View};
use crate::object::{ObjectKey, ObjectRef};
use crate::provision::Kind;
use crate::provision::deployment::POD;
use crate::provision::names::Names;

/// Whoever does not begin in this time, as when the API server refuses its Deployment, has its turn again after the
/// others.
const LONGEST: Duration = Duration::from_secs(60);

/// The objects of each Gateway.
pub(super) type Objects = BTreeMap<ObjectKey, BTreeMap<Kind, Option<Value>>>;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    turn: Option<(ObjectKey, Instant)>,
}

/// The pods of one Gateway.
#[derive(Clone, Copy, Debug)]
struct Pods {
    /// Whether they are of another release.
    outdated: bool,
    rollout: Rollout,
}

impl Turns {
    /// Leaves out the Deployments whose turn it is not. A Gateway without one gets it at once.
    pub(super) fn hold_back(&mut self, objects: &mut Objects, view: &View) {
        let pods = objects.iter().filter_map(|(key, its)| Some((key.clone(), pods(key, its, view)?)));
        let pods: BTreeMap<ObjectKey, Pods> = pods.collect();
        self.give(&pods, Instant::now());
        for (key, _) in pods.iter().filter(|(_, its)| its.outdated) {
            if self.turn.as_ref().is_none_or(|(holder, _)| holder != key)
                && let Some(its) = objects.get_mut(key)
            {
                its.remove(&Kind::Deployment);
            }
        }
    }

    /// When the turn goes on to another Gateway, if it does not begin.
    pub(super) fn end(&self) -> Option<Instant> {
        self.turn.as_ref().map(|(_, since)| *since + LONGEST)
    }

    /// Gives the turn to the next Gateway when nobody's pods are being replaced but its own.
    fn give(&mut self, pods: &BTreeMap<ObjectKey, Pods>, now: Instant) {
        let last = self.turn.take();
        if let Some((holder, since)) = &last
            && pods.get(holder).is_some_and(|its| its.outdated)
            && now < *since + LONGEST
        {
            self.turn = last;
            return;
        }
        let waits = |key: &ObjectKey| {
            pods.iter().any(|(other, its)| other != key && its.rollout == Rollout::UnderWay)
        };
        let last = last.map(|(holder, _)| holder);
        let next = pods
            .iter()
            .filter(|(key, its)| its.outdated && !waits(key))
            .map(|(key, _)| key)
            .min_by_key(|key| (last.as_ref().is_some_and(|last| *key <= last), *key));
        let Some(next) = next else { return };
        if last.as_ref() != Some(next) {
            let ObjectKey { namespace, name } = next;
            tracing::info!(
                kind = "Gateway",
                namespace,
                name,
                "its pods are replaced by those of this release"
            );
            for (ObjectKey { namespace, name }, _) in
                pods.iter().filter(|(_, its)| its.rollout == Rollout::Stuck)
            {
                tracing::warn!(
                    kind = "Gateway",
                    namespace,
                    name,
                    "the rollout of its Deployment is stuck or paused, and is not waited for any more"
                );
            }
        }
        self.turn = Some((next.clone(), now));
    }
}

/// What the Deployment of a Gateway tells of its pods, if it is there and the Gateway's own.
fn pods(key: &ObjectKey, objects: &BTreeMap<Kind, Option<Value>>, view: &View) -> Option<Pods> {
    let wanted = objects.get(&Kind::Deployment)?.as_ref()?;
    let name = ObjectKey::new(&key.namespace, Names::of(&key.name).base());
    let own = view.own.get(&ObjectRef::namespaced("Deployment", &name))?;
    let gateway = view.snapshot.gateways.get(key)?;
    let Facts::Deployment { rollout, .. } = own.facts else { return None };
    let has = own.annotations.get(POD).map(String::as_str);
    let outdated = has != wanted["metadata"]["annotations"][POD].as_str();
    (own.owner == gateway.metadata.uid).then_some(Pods { outdated, rollout })
}

#[cfg(test)]
mod tests {
    use Rollout::{Done, Stuck, UnderWay};

    use super::*;

    /// Gateways `a`, `b`, `c` …: whether they are outdated, and how far they are.
    fn pods<const N: usize>(of: [(bool, Rollout); N]) -> BTreeMap<ObjectKey, Pods> {
        let names = "abcdefgh".chars().map(|name| ObjectKey::new("infra", name.to_string()));
        names.zip(of.map(|(outdated, rollout)| Pods { outdated, rollout })).collect()
    }

    /// Who has the turn, from each state of the Gateways to the next.
    #[derive(Default)]
    struct Story(Turns, Duration);

    impl Story {
        fn then<const N: usize>(&mut self, after: u64, of: [(bool, Rollout); N]) -> Option<String> {
            let begin = *BEGIN.get_or_init(Instant::now);
            self.1 += Duration::from_secs(after);
            self.0.give(&pods(of), begin + self.1);
            self.0.turn.as_ref().map(|(holder, _)| holder.name.clone())
        }
    }

    static BEGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    const NEW: (bool, Rollout) = (false, Done);
    const OLD: (bool, Rollout) = (true, Done);
    const ROLLING: (bool, Rollout) = (false, UnderWay);

    #[test]
    fn one_begins_when_the_other_is_done() {
        let mut story = Story::default();
        assert_eq!(story.then(0, [OLD, OLD, OLD]).as_deref(), Some("a"));
        assert_eq!(story.then(1, [OLD, OLD, OLD]).as_deref(), Some("a"));
        assert_eq!(story.then(1, [ROLLING, OLD, OLD]), None);
        assert_eq!(story.then(300, [ROLLING, OLD, OLD]), None);
        assert_eq!(story.then(1, [NEW, OLD, OLD]).as_deref(), Some("b"));
        assert_eq!(story.then(1, [NEW, ROLLING, OLD]), None);
        assert_eq!(story.then(1, [NEW, NEW, OLD]).as_deref(), Some("c"));
        assert_eq!(story.then(1, [NEW, NEW, ROLLING]), None);
        assert_eq!(story.then(1, [NEW, NEW, NEW]), None);
    }

    #[test]
    fn whoever_is_stuck_is_not_waited_for() {
        let mut story = Story::default();
        assert_eq!(story.then(0, [(false, Stuck), OLD]).as_deref(), Some("b"));
        // It may be stuck in the release before, and this one may help.
        assert_eq!(Story::default().then(0, [(true, Stuck), NEW]).as_deref(), Some("a"));
        assert_eq!(Story::default().then(0, [OLD, (true, UnderWay), NEW]).as_deref(), Some("b"));
    }

    #[test]
    fn whoever_does_not_begin_comes_again_after_the_others() {
        let mut story = Story::default();
        assert_eq!(story.then(0, [NEW, OLD, OLD]).as_deref(), Some("b"));
        assert_eq!(story.then(59, [NEW, OLD, OLD]).as_deref(), Some("b"));
        assert_eq!(story.then(1, [NEW, OLD, OLD]).as_deref(), Some("c"));
        assert_eq!(story.then(60, [NEW, OLD, OLD]).as_deref(), Some("b"));
        assert_eq!(story.then(60, [NEW, OLD, NEW]).as_deref(), Some("b"));
    }

    #[test]
    fn whoever_is_gone_loses_the_turn() {
        let mut story = Story::default();
        assert_eq!(story.then(0, [NEW, OLD]).as_deref(), Some("b"));
        assert_eq!(story.then(1, [OLD]).as_deref(), Some("a"));
        assert!(story.0.end().is_some());
        assert_eq!(story.then(1, [NEW]), None);
        assert_eq!(story.0.end(), None);
    }
}
