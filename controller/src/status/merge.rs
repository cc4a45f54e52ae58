//! What the status of an object becomes: what is wanted, merged into what an API server holds. Other controllers'
//! conditions and parents stay as they are and where they are; ours that are no longer wanted go. Reading and writing
//! the object is not done here.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Map, Value, json};

use super::{
    Condition, GatewayClassStatus, GatewayStatus, ListenerSetStatus, ListenerStatus, RouteStatus, TYPES, cut,
};
use crate::api::{CONTROLLER_NAME, ParentReference};

/// Field of a Gateway's status.
const ATTACHED_SETS: &str = "attachedListenerSets";
/// Most entries of `status.parents` (`RouteStatus`).
const MOST_PARENTS: usize = 32;

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
                let parents = parents(&status, desired, now);
                // `parents` is a required field of the status, even without entries.
                if !parents.is_empty() || !list(&status, "parents").is_empty() {
                    status.insert("parents".to_owned(), Value::Array(parents));
                }
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
        };
        conditions.first().map(|condition| condition.observed_generation)
    }
}

/// Whether a route's status has an entry of ours, which goes when no parent is ours any more.
pub fn names_us(status: &Value) -> bool {
    status.as_object().is_some_and(|status| list(status, "parents").iter().any(is_ours))
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

/// `RouteParentStatus`: a controller changes only entries with its own `controllerName`, and removes those whose
/// parentRef is gone. Where others leave too little room, the last ones of ours are left out.
fn parents(status: &Map<String, Value>, desired: &RouteStatus, now: &Time) -> Vec<Value> {
    let existing = list(status, "parents");
    let foreign = existing.iter().filter(|entry| !is_ours(entry)).count();
    let mut wanted: Vec<_> =
        desired.parents.iter().take(MOST_PARENTS.saturating_sub(foreign)).map(Some).collect();
    let mut merged = Vec::new();
    for old in existing {
        if !is_ours(old) {
            merged.push(old.clone());
            continue;
        }
        let Ok(parent) = serde_json::from_value::<ParentReference>(old["parentRef"].clone()) else {
            continue;
        };
        let slot = wanted.iter_mut().find(|slot| slot.is_some_and(|entry| entry.parent_ref == parent));
        if let Some(entry) = slot.and_then(Option::take) {
            merged.push(with_conditions(json!(entry), Some(old), &entry.conditions, now));
        }
    }
    for entry in wanted.into_iter().flatten() {
        merged.push(with_conditions(json!(entry), None, &entry.conditions, now));
    }
    merged
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
