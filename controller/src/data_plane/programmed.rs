//! Whether a bundle is in effect in the data plane, which `Programmed` and the time of every other condition depend on.
//!
//! "Programmed" means that the data plane has the configuration (GEP-1364); here it means that every worker of every
//! Envoy that takes traffic has said so.

use std::time::Duration;

use crate::agent::Answer;

/// A pod that does not say for this long what it has in effect is not waited for any more.
pub const SILENCE: Duration = Duration::from_secs(10);

/// The bundle that was last written for a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its number.
    pub counter: u64,
    /// The hash of its content.
    pub hash: String,
    /// How long ago it was written.
    pub age: Duration,
}

/// A pod of the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Whether it takes traffic: Ready, and not about to end.
    pub counts: bool,
    /// What its agent said last.
    pub answer: Option<Answer>,
}

/// What may be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether statuses that the bundle is about may be published: it is in effect, or nobody is waited for.
    pub publish: bool,
    /// Whether the bundle, or an earlier one of the same listeners, is in effect where traffic goes; otherwise why not.
    pub programmed: Result<Option<String>, Unprogrammed>,
}

/// Why a Gateway is not `Programmed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unprogrammed {
    /// Reason of the condition.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// Judges the data plane of one Gateway. `was_programmed` is what was last said of it: a newer bundle that is under way
/// does not take that back.
pub fn judge(delivered: Option<&Delivered>, pods: &[Pod], was_programmed: bool) -> Judgement {
    let pending = |message: String| Judgement {
        publish: true,
        programmed: Err(Unprogrammed { reason: "Pending", message }),
    };
    let Some(delivered) = delivered else {
        return pending("The configuration of the data plane is being written.".to_owned());
    };
    let counting: Vec<&Pod> = pods.iter().filter(|pod| pod.counts).collect();
    if counting.is_empty() {
        return pending(match pods {
            [] => "The data plane has no pod yet.".to_owned(),
            pods => format!("No pod of the data plane is ready: {}.", names(pods.iter())),
        });
    }
    let has = |pod: &&&Pod| {
        let in_effect = pod.answer.as_ref().and_then(|answer| answer.in_effect.as_ref());
        // A later bundle than the one that we know of was written by whoever led before.
        in_effect.is_some_and(|it| {
            it.late.is_none() && (it.hash == delivered.hash || it.counter > delivered.counter)
        })
    };
    let behind: Vec<&Pod> = counting.iter().filter(|pod| !has(pod)).copied().collect();
    let refused = || {
        let answers = counting.iter().filter_map(|pod| Some((pod, pod.answer.as_ref()?.in_effect.as_ref()?)));
        let refused = answers.filter(|(_, it)| it.hash == delivered.hash && !it.refused.is_empty());
        let texts = refused.map(|(pod, it)| format!("{}: {}", pod.name, it.refused.join("; ")));
        texts.collect::<Vec<String>>()
    };
    if behind.is_empty() {
        let refused = refused();
        let programmed = if refused.is_empty() {
            Ok(None)
        } else {
            let message =
                format!("Envoy refused a part of it, and keeps what it had: {}.", refused.join(", "));
            Err(Unprogrammed { reason: "Invalid", message })
        };
        return Judgement { publish: true, programmed };
    }
    let waited = delivered.age >= SILENCE;
    let why = || {
        let told = behind.iter().filter_map(|pod| {
            let answer = pod.answer.as_ref()?;
            let late = answer.in_effect.as_ref().and_then(|it| it.late.clone());
            let why = answer.not_taken.clone().or(late.map(|what| format!("it waits for {what}")))?;
            Some(format!("{} says: {why}", pod.name))
        });
        let told: Vec<String> = told.collect();
        if told.is_empty() { String::new() } else { format!(" ({})", told.join("; ")) }
    };
    let message = |so_far: &str| {
        format!(
            "{so_far} {} of {} ready pods: {}{}.",
            behind.len(),
            counting.len(),
            names(behind.iter().copied()),
            why()
        )
    };
    if was_programmed {
        let message = waited.then(|| message("In effect, but the newest configuration is not confirmed by"));
        return Judgement { publish: waited, programmed: Ok(message) };
    }
    Judgement {
        publish: waited,
        programmed: Err(Unprogrammed { reason: "Pending", message: message("Not in effect yet in") }),
    }
}

/// The names of some pods, of many only the first.
fn names<'a>(pods: impl ExactSizeIterator<Item = &'a Pod>) -> String {
    const SHOWN: usize = 3;
    let more = pods.len().saturating_sub(SHOWN);
    let mut text = pods.take(SHOWN).map(|pod| pod.name.as_str()).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::InEffect;

    fn delivered(seconds: u64) -> Delivered {
        Delivered { counter: 7, hash: "new".into(), age: Duration::from_secs(seconds) }
    }

    fn pod(name: &str, hash: &str) -> Pod {
        let in_effect = InEffect { counter: 7, hash: hash.into(), late: None, refused: vec![] };
        let answer = Answer { in_effect: Some(in_effect), not_taken: None };
        Pod { name: name.into(), counts: true, answer: Some(answer) }
    }

    fn in_effect(pod: &mut Pod) -> &mut InEffect {
        pod.answer.as_mut().unwrap().in_effect.as_mut().unwrap()
    }

    fn said(judgement: &Judgement) -> (bool, Result<Option<&str>, (&str, &str)>) {
        let programmed = match &judgement.programmed {
            Ok(message) => Ok(message.as_deref()),
            Err(why) => Err((why.reason, why.message.as_str())),
        };
        (judgement.publish, programmed)
    }

    #[test]
    fn it_is_programmed_when_every_pod_that_takes_traffic_says_so() {
        let mut pods = vec![pod("a", "new"), pod("b", "new")];
        assert_eq!(said(&judge(Some(&delivered(0)), &pods, false)), (true, Ok(None)));
        pods.push(Pod { counts: false, ..pod("c", "old") });
        assert_eq!(said(&judge(Some(&delivered(0)), &pods, false)), (true, Ok(None)));
        pods.push(pod("d", "old"));
        let expected = Err(("Pending", "Not in effect yet in 1 of 3 ready pods: d."));
        assert_eq!(said(&judge(Some(&delivered(0)), &pods, false)), (false, expected));
    }

    #[test]
    fn what_was_programmed_stays_so_while_a_newer_bundle_is_under_way() {
        let pods = [pod("a", "new"), pod("b", "old")];
        assert_eq!(said(&judge(Some(&delivered(9)), &pods, true)), (false, Ok(None)));
        let message = "In effect, but the newest configuration is not confirmed by 1 of 2 ready pods: b.";
        assert_eq!(said(&judge(Some(&delivered(10)), &pods, true)), (true, Ok(Some(message))));
    }

    #[test]
    fn without_a_pod_there_is_nobody_to_wait_for() {
        let none = judge(Some(&delivered(0)), &[], true);
        assert_eq!(said(&none), (true, Err(("Pending", "The data plane has no pod yet."))));
        let starting = Pod { counts: false, answer: None, ..pod("a", "") };
        let message = "No pod of the data plane is ready: a.";
        assert_eq!(said(&judge(Some(&delivered(0)), &[starting], true)), (true, Err(("Pending", message))));
        let message = "The configuration of the data plane is being written.";
        assert_eq!(said(&judge(None, &[pod("a", "new")], true)), (true, Err(("Pending", message))));
    }

    #[test]
    fn a_later_bundle_than_ours_counts_as_well() {
        let mut later = pod("a", "later");
        assert!(!judge(Some(&delivered(0)), std::slice::from_ref(&later), false).publish);
        in_effect(&mut later).counter = 8;
        assert_eq!(said(&judge(Some(&delivered(0)), &[later], false)), (true, Ok(None)));
    }

    #[test]
    fn what_agents_say_is_passed_on() {
        let (mut late, mut torn) = (pod("a", "new"), pod("b", "old"));
        in_effect(&mut late).late = Some("warm clusters".into());
        torn.answer.as_mut().unwrap().not_taken = Some("part routes-0 is missing".into());
        let message = "Not in effect yet in 2 of 2 ready pods: a, b (a says: it waits for warm clusters; b says: part \
                       routes-0 is missing).";
        assert_eq!(
            said(&judge(Some(&delivered(0)), &[late, torn], false)),
            (false, Err(("Pending", message)))
        );

        let mut refusing = pod("a", "new");
        in_effect(&mut refusing).refused = vec!["listener: port in use".into()];
        let message = "Envoy refused a part of it, and keeps what it had: a: listener: port in use.";
        assert_eq!(said(&judge(Some(&delivered(0)), &[refusing], true)), (true, Err(("Invalid", message))));
    }

    #[test]
    fn of_many_pods_some_are_named() {
        let pods: Vec<Pod> = ["a", "b", "c", "d", "e"].map(|name| pod(name, "old")).into();
        let judgement = judge(Some(&delivered(0)), &pods, false);
        assert!(judgement.programmed.unwrap_err().message.contains("5 ready pods: a, b, c and 2 more."));
    }
}
