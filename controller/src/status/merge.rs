//! What the status of an object becomes: what is wanted, merged into what an API server holds. Other controllers'
//! conditions and parents stay as they are and where they are; ours that are no longer wanted go. Reading and writing
//! the object is not done here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Map, Value, json};

use super::{
    Condition, GatewayClassStatus, GatewayStatus, ListenerSetStatus, ListenerStatus, PolicyStatus,
    RouteStatus, TYPES, cut,
};
use crate::api::{CONTROLLER_NAME, ParentReference};

/// Field of a Gateway's status.
const ATTACHED_SETS: &str = "attachedListenerSets";
/// Most entries of `status.parents` (`RouteStatus`).
const MOST_PARENTS: usize = 32;
/// Most entries of `status.ancestors` (`PolicyStatus`).
const MOST_ANCESTORS: usize = 16;

/// The status that an object is to have, as far as it is ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// Of a GatewayClass of ours.
    GatewayClass(GatewayClassStatus),
    /// Of a Gateway of ours.
    Gateway(GatewayStatus),
    /// Of a ListenerSet of a Gateway of ours.
    ListenerSet(ListenerSetStatus),
    /// Of a route; without parents where none of them is ours any more.
    Route(RouteStatus),
    /// Of a policy; without ancestors where it matters to no Gateway of ours any more.
    Policy(PolicyStatus),
}

impl Desired {
    /// The whole new status of an object that has the status `existing` (null where it has none), or `None` where
    /// nothing differs. Conditions that change their status change it at `now`.
    pub fn merged(&self, existing: &Value, now: &Time) -> Option<Value> {
        let mut status = existing.as_object().cloned().unwrap_or_default();
        match self {
            Self::GatewayClass(desired) => {
                merge_conditions(&mut status, &desired.conditions, now);
                status.insert("supportedFeatures".to_owned(), json!(desired.supported_features));
            }
            Self::Gateway(desired) => {
                merge_conditions(&mut status, &desired.conditions, now);
                let listeners = listeners(&status, &desired.listeners, now);
                set_list(&mut status, "listeners", listeners);
                let addresses = desired.addresses.iter().flatten();
                set_list(&mut status, "addresses", addresses.map(|address| json!(address)).collect());
                if desired.attached_listener_sets.is_some() || status.contains_key(ATTACHED_SETS) {
                    let count = desired.attached_listener_sets.unwrap_or_default();
                    status.insert(ATTACHED_SETS.to_owned(), json!(count));
                }
            }
            Self::ListenerSet(desired) => {
                merge_conditions(&mut status, &desired.conditions, now);
                let listeners = listeners(&status, &desired.listeners, now);
                set_list(&mut status, "listeners", listeners);
            }
            Self::Route(desired) => {
                let wanted = desired.parents.iter().map(|it| (&it.parent_ref, json!(it), &it.conditions[..]));
                merge_entries(&mut status, &PARENTS, wanted, now);
            }
            Self::Policy(desired) => {
                let wanted =
                    desired.ancestors.iter().map(|it| (&it.ancestor_ref, json!(it), &it.conditions[..]));
                merge_entries(&mut status, &ANCESTORS, wanted, now);
            }
        }
        let status = Value::Object(status);
        (status != *existing && !(existing.is_null() && status == json!({}))).then_some(status)
    }

    /// The generation of the object that this was found for.
    pub fn generation(&self) -> Option<i64> {
        let conditions = match self {
            Self::GatewayClass(status) => &status.conditions,
            Self::Gateway(status) => &status.conditions,
            Self::ListenerSet(status) => &status.conditions,
            Self::Route(status) => &status.parents.first()?.conditions,
            Self::Policy(status) => &status.ancestors.first()?.conditions,
        };
        conditions.first().map(|condition| condition.observed_generation)
    }
}

/// Whether the status of a route or policy has an entry of ours, which goes when no parent or ancestor is ours any more.
pub fn names_us(status: &Value) -> bool {
    let has = |status: &Map<String, Value>, field| list(status, field).iter().any(is_ours);
    status.as_object().is_some_and(|status| has(status, PARENTS.field) || has(status, ANCESTORS.field))
}

/// One entry for each listener, in the order of the spec; listeners that are gone take their entry with them.
fn listeners(status: &Map<String, Value>, desired: &[ListenerStatus], now: &Time) -> Vec<Value> {
    let existing = list(status, "listeners");
    let entry = |listener: &ListenerStatus| {
        let old = existing.iter().find(|old| text(old, "name") == Some(&listener.name));
        let conditions = conditions(old, &listener.conditions, now);
        json!({
            "name": listener.name,
            "supportedKinds": listener.supported_kinds,
            "attachedRoutes": listener.attached_routes,
            "conditions": conditions,
        })
    };
    desired.iter().map(entry).collect()
}

/// A list of entries by controller and object.
struct Entries {
    field: &'static str,
    /// The field of an entry that says which object it is about.
    about: &'static str,
    most: usize,
}

const PARENTS: Entries = Entries { field: "parents", about: "parentRef", most: MOST_PARENTS };
const ANCESTORS: Entries = Entries { field: "ancestors", about: "ancestorRef", most: MOST_ANCESTORS };

/// `RouteParentStatus`, `PolicyAncestorStatus`: a controller changes only entries with its own `controllerName`, and
/// removes those whose object is gone. Where others leave too little room, the last ones of ours are left out.
fn merge_entries<'a>(
    status: &mut Map<String, Value>,
    entries: &Entries,
    wanted: impl Iterator<Item = (&'a ParentReference, Value, &'a [Condition])>,
    now: &Time,
) {
    let existing = list(status, entries.field);
    let foreign = existing.iter().filter(|entry| !is_ours(entry)).count();
    let mut wanted: Vec<_> = wanted.take(entries.most.saturating_sub(foreign)).map(Some).collect();
    let mut merged = Vec::new();
    for old in existing {
        if !is_ours(old) {
            merged.push(old.clone());
            continue;
        }
        let Ok(about) = serde_json::from_value::<ParentReference>(old[entries.about].clone()) else {
            continue;
        };
        let slot = wanted.iter_mut().find(|slot| slot.as_ref().is_some_and(|(it, ..)| **it == about));
        if let Some((_, entry, conditions)) = slot.and_then(Option::take) {
            merged.push(with_conditions(entry, Some(old), conditions, now));
        }
    }
    for (_, entry, conditions) in wanted.into_iter().flatten() {
        merged.push(with_conditions(entry, None, conditions, now));
    }
    // The list is a required field of the status, even without entries.
    if !merged.is_empty() || !existing.is_empty() {
        status.insert(entries.field.to_owned(), Value::Array(merged));
    }
}

fn with_conditions(mut entry: Value, old: Option<&Value>, desired: &[Condition], now: &Time) -> Value {
    entry["conditions"] = Value::Array(conditions(old, desired, now));
    entry
}

fn merge_conditions(status: &mut Map<String, Value>, desired: &[Condition], now: &Time) {
    let old = Value::Object(std::mem::take(status));
    let merged = conditions(Some(&old), desired, now);
    if let Value::Object(old) = old {
        *status = old;
    }
    set_list(status, "conditions", merged);
}

/// The conditions of `owner`, merged by type: each in its place, new ones at the end.
fn conditions(owner: Option<&Value>, desired: &[Condition], now: &Time) -> Vec<Value> {
    let existing =
        owner.and_then(Value::as_object).map(|owner| list(owner, "conditions")).unwrap_or_default();
    let mut wanted: Vec<_> = desired.iter().map(Some).collect();
    let mut merged = Vec::new();
    for old in existing {
        let kind = text(old, "type").unwrap_or_default();
        let slot = wanted.iter_mut().find(|slot| slot.is_some_and(|condition| condition.kind == kind));
        match slot.and_then(Option::take) {
            Some(condition) => merged.push(at(condition, Some(old), now)),
            None if TYPES.contains(&kind) => {}
            None => merged.push(old.clone()),
        }
    }
    merged.extend(wanted.into_iter().flatten().map(|condition| at(condition, None, now)));
    merged
}

/// The condition with its time: that of `old` as long as the status is the same (`metav1.Condition`).
fn at(condition: &Condition, old: Option<&Value>, now: &Time) -> Value {
    let mut value = json!(condition);
    value["message"] = Value::String(cut(condition.message.clone()));
    let kept = old
        .filter(|old| old["status"] == value["status"])
        .and_then(|old| old.get("lastTransitionTime"))
        .filter(|time| time.is_string());
    value["lastTransitionTime"] = kept.cloned().unwrap_or_else(|| json!(now));
    value
}

fn is_ours(parent: &Value) -> bool {
    text(parent, "controllerName") == Some(CONTROLLER_NAME)
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field)?.as_str()
}

fn list<'a>(owner: &'a Map<String, Value>, field: &str) -> &'a [Value] {
    owner.get(field).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Sets a list, and leaves one that is absent absent where it is empty.
fn set_list(owner: &mut Map<String, Value>, field: &str, values: Vec<Value>) {
    if !values.is_empty() || owner.contains_key(field) {
        owner.insert(field.to_owned(), Value::Array(values));
    }
}

#[cfg(test)]
mod tests;
