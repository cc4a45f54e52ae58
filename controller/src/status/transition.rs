//! Which conditions turned bad, or well again, between two statuses of an object: what an Event tells. Who writes
//! Events is not known here.

use serde_json::Value;

use super::NEGATIVE_TYPES;
use crate::api::CONTROLLER_NAME;

/// A condition of ours that turned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Type of the condition.
    pub condition: String,
    /// Whether something is wrong now that was not, or the other way round.
    pub turned: Turned,
    /// Its reason.
    pub reason: String,
    /// Its message, after the name of the listener that it is about.
    pub message: String,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// Something is wrong.
    Bad,
    /// It was, and is no longer.
    Well,
}

/// The conditions that differ in whether something is wrong, in the order of `new`, then those that went away.
pub fn transitions(old: &Value, new: &Value) -> Vec<Transition> {
    let (old, new) = (places(old), places(new));
    let mut found = Vec::new();
    for place in &new {
        let before = old.iter().find(|other| other.key == place.key);
        for condition in place.conditions {
            let was_bad = before.and_then(|before| before.condition(kind(condition))).is_some_and(is_bad);
            if let Some(turned) = turned(was_bad, is_bad(condition)) {
                let message = format!("{}{}", place.prefix, text(condition, "message"));
                found.push(Transition::new(condition, turned, message));
            }
        }
        // A type that is set only where it is bad goes away when it is well again.
        for gone in before.into_iter().flat_map(|before| before.conditions) {
            if is_bad(gone) && place.condition(kind(gone)).is_none() {
                let message = format!("{}{} no longer holds.", place.prefix, kind(gone));
                found.push(Transition::new(gone, Turned::Well, message));
            }
        }
    }
    found
}

impl Transition {
    fn new(condition: &Value, turned: Turned, message: String) -> Self {
        let (reason, condition) = (text(condition, "reason").to_owned(), kind(condition).to_owned());
        Self { condition, turned, reason, message }
    }
}

/// A list of conditions, and what of the object it is about.
struct Place<'a> {
    key: String,
    prefix: String,
    conditions: &'a [Value],
}

impl Place<'_> {
    fn condition(&self, kind_wanted: &str) -> Option<&Value> {
        self.conditions.iter().find(|condition| kind(condition) == kind_wanted)
    }
}

/// The object itself, its listeners, and the parents and ancestors that are ours.
fn places(status: &Value) -> Vec<Place<'_>> {
    let mut places =
        vec![Place { key: String::new(), prefix: String::new(), conditions: list(status, "conditions") }];
    for listener in list(status, "listeners") {
        let name = text(listener, "name");
        let prefix = format!("Listener {name:?}: ");
        places.push(Place {
            key: format!("listener {name}"),
            prefix,
            conditions: list(listener, "conditions"),
        });
    }
    for (field, about) in [("parents", "parentRef"), ("ancestors", "ancestorRef")] {
        let ours = list(status, field).iter().filter(|it| text(it, "controllerName") == CONTROLLER_NAME);
        places.extend(ours.map(|it| Place {
            key: format!("{about} {}", it[about]),
            prefix: String::new(),
            conditions: list(it, "conditions"),
        }));
    }
    places
}

fn turned(was_bad: bool, is_bad: bool) -> Option<Turned> {
    match (was_bad, is_bad) {
        (false, true) => Some(Turned::Bad),
        (true, false) => Some(Turned::Well),
        _ => None,
    }
}

fn is_bad(condition: &Value) -> bool {
    let bad = if NEGATIVE_TYPES.contains(&kind(condition)) { "True" } else { "False" };
    text(condition, "status") == bad
}

fn kind(condition: &Value) -> &str {
    text(condition, "type")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn condition(kind: &str, status: &str, message: &str) -> Value {
        json!({"type": kind, "status": status, "reason": "R", "message": message})
    }

    fn told(old: &Value, new: &Value) -> Vec<(Turned, String)> {
        transitions(old, new).into_iter().map(|turn| (turn.turned, turn.message)).collect()
    }

    #[test]
    fn only_turns_are_told() {
        let good = json!({"conditions": [condition("Accepted", "True", "Fine.")]});
        let bad = json!({"conditions": [condition("Accepted", "False", "No.")]});
        let worse = json!({"conditions": [condition("Accepted", "False", "Still no.")]});
        assert_eq!(told(&json!({}), &good), []);
        assert_eq!(told(&json!({}), &bad), [(Turned::Bad, "No.".to_owned())]);
        assert_eq!(told(&good, &bad), [(Turned::Bad, "No.".to_owned())]);
        assert_eq!(told(&bad, &worse), []);
        assert_eq!(told(&worse, &good), [(Turned::Well, "Fine.".to_owned())]);
        let pending = json!({"conditions": [condition("Accepted", "Unknown", "Waiting for controller")]});
        assert_eq!(told(&pending, &good), []);
    }

    #[test]
    fn a_listener_is_named_and_a_negative_condition_may_go_away() {
        let listener = |conditions: Value| json!({"listeners": [{"name": "http", "conditions": conditions}]});
        let conflicted = listener(json!([condition("Conflicted", "True", "Two of them.")]));
        let fine = listener(json!([]));
        assert_eq!(told(&fine, &conflicted), [(Turned::Bad, "Listener \"http\": Two of them.".to_owned())]);
        assert_eq!(
            told(&conflicted, &fine),
            [(Turned::Well, "Listener \"http\": Conflicted no longer holds.".to_owned())]
        );
        assert_eq!(told(&conflicted, &json!({"listeners": []})), []);
    }

    #[test]
    fn other_controllers_parents_are_theirs_to_tell() {
        let parents = |controller: &str, status: &str| {
            json!({"parents": [{
                "parentRef": {"name": "web"},
                "controllerName": controller,
                "conditions": [condition("Accepted", status, "m")],
            }]})
        };
        assert_eq!(told(&parents("x/y", "True"), &parents("x/y", "False")), []);
        let ours = told(&parents(CONTROLLER_NAME, "True"), &parents(CONTROLLER_NAME, "False"));
        assert_eq!(ours, [(Turned::Bad, "m".to_owned())]);
    }
}
