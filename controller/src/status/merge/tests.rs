//! Statuses as other controllers, older versions and CRD defaults leave them, and what becomes of them.

use k8s_openapi::jiff::Timestamp;

use super::super::ConditionStatus;
use super::*;
use crate::api::{GROUP, RouteGroupKind};
use crate::provision::addresses::{AddressType, StatusAddress};

const EARLIER: &str = "2026-01-01T00:00:00Z";
const NOW: &str = "2026-02-02T02:02:02Z";

fn now() -> Time {
    Time(NOW.parse::<Timestamp>().unwrap())
}

fn wanted(kind: &'static str, status: ConditionStatus) -> Condition {
    let (reason, message) = ("Reason".to_owned(), "Message.".to_owned());
    Condition { kind, status, reason, message, observed_generation: 3 }
}

fn yes(kind: &'static str) -> Condition {
    wanted(kind, ConditionStatus::True)
}

/// The condition as it stands in an object.
fn held(kind: &str, status: &str, time: &str) -> Value {
    json!({
        "type": kind, "status": status, "reason": "Reason", "message": "Message.",
        "observedGeneration": 3, "lastTransitionTime": time,
    })
}

fn foreign_condition() -> Value {
    json!({"type": "example.com/Audited", "status": "True", "reason": "R", "message": "", "lastTransitionTime": EARLIER})
}

fn parent(name: &str) -> ParentReference {
    serde_json::from_value(json!({"name": name})).unwrap()
}

fn route(parents: &[(&str, Condition)]) -> Desired {
    let entry = |(name, condition): &(&str, Condition)| super::super::RouteParentStatus {
        parent_ref: parent(name),
        controller_name: CONTROLLER_NAME,
        conditions: vec![condition.clone()],
    };
    Desired::Route(RouteStatus { parents: parents.iter().map(entry).collect() })
}

fn held_parent(controller: &str, name: &str, conditions: &Value) -> Value {
    json!({
        "parentRef": {"group": GROUP, "kind": "Gateway", "name": name},
        "controllerName": controller,
        "conditions": conditions,
    })
}

fn our_parent(name: &str) -> Value {
    held_parent(CONTROLLER_NAME, name, &json!([held("Accepted", "True", EARLIER)]))
}

fn listener(name: &str, conditions: Vec<Condition>) -> ListenerStatus {
    let kind = RouteGroupKind { group: GROUP.to_owned(), kind: "HTTPRoute".to_owned() };
    ListenerStatus { name: name.to_owned(), supported_kinds: vec![kind], attached_routes: 1, conditions }
}

fn gateway(listeners: Vec<ListenerStatus>, addresses: &[&str]) -> Desired {
    let conditions = vec![yes("Accepted"), yes("Programmed")];
    let address = |value: &&str| StatusAddress { kind: AddressType::IPAddress, value: (*value).to_owned() };
    let addresses = Some(addresses.iter().map(address).collect());
    Desired::Gateway(GatewayStatus { conditions, listeners, attached_listener_sets: None, addresses })
}

fn merged(desired: &Desired, existing: &Value) -> Value {
    let merged = desired.merged(existing, &now()).expect("something differs");
    assert_eq!(desired.merged(&merged, &Time(Timestamp::UNIX_EPOCH)), None, "a second write");
    merged
}

#[test]
fn the_first_status_of_a_gateway_is_whole() {
    let status =
        merged(&gateway(vec![listener("http", vec![yes("Accepted")])], &["192.0.2.1"]), &Value::Null);
    assert_eq!(
        status,
        json!({
            "conditions": [held("Accepted", "True", NOW), held("Programmed", "True", NOW)],
            "listeners": [{
                "name": "http",
                "supportedKinds": [{"group": GROUP, "kind": "HTTPRoute"}],
                "attachedRoutes": 1,
                "conditions": [held("Accepted", "True", NOW)],
            }],
            "addresses": [{"type": "IPAddress", "value": "192.0.2.1"}],
        })
    );
}

#[test]
fn default_conditions_are_overwritten() {
    let pending = |kind: &str| {
        json!({
            "type": kind, "status": "Unknown", "reason": "Pending", "message": "Waiting for controller",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        })
    };
    let existing = json!({"conditions": [pending("Accepted"), pending("Programmed")]});
    let status = merged(&gateway(vec![], &[]), &existing);
    assert_eq!(
        status,
        json!({"conditions": [held("Accepted", "True", NOW), held("Programmed", "True", NOW)]})
    );
}

#[test]
fn the_time_changes_only_with_the_status() {
    let mut old = held("Accepted", "True", EARLIER);
    old["observedGeneration"] = json!(2);
    old["message"] = json!("Another message.");
    old["reason"] = json!("Another");
    let existing = json!({"conditions": [old, held("Programmed", "False", EARLIER)]});
    let status = merged(&gateway(vec![], &[]), &existing);
    assert_eq!(
        status["conditions"],
        json!([held("Accepted", "True", EARLIER), held("Programmed", "True", NOW)])
    );
}

#[test]
fn a_condition_without_a_time_gets_one() {
    let mut old = held("Accepted", "True", EARLIER);
    old["lastTransitionTime"] = Value::Null;
    let status = merged(&gateway(vec![], &[]), &json!({"conditions": [old]}));
    assert_eq!(status["conditions"][0], held("Accepted", "True", NOW));
}

#[test]
fn foreign_conditions_stay_in_place_and_stale_ones_of_ours_go() {
    let existing = json!({
        "conditions": [
            held("Programmed", "True", EARLIER),
            foreign_condition(),
            held("Conflicted", "True", EARLIER),
            held("Accepted", "True", EARLIER),
            held("Accepted", "False", EARLIER),
        ],
        "somebodyElses": 2,
    });
    let status = merged(&gateway(vec![], &[]), &existing);
    assert_eq!(
        status["conditions"],
        json!([held("Programmed", "True", EARLIER), foreign_condition(), held("Accepted", "True", EARLIER)])
    );
    assert_eq!(status["somebodyElses"], 2);
}

/// A merge patch cannot take a field away by leaving it out.
#[test]
fn a_count_of_listener_sets_that_is_over_becomes_0() {
    let status = merged(&gateway(vec![], &[]), &json!({"attachedListenerSets": 2}));
    assert_eq!(status["attachedListenerSets"], 0);
    let status = merged(&gateway(vec![], &[]), &json!({}));
    assert_eq!(status.get("attachedListenerSets"), None);
}

#[test]
fn reordered_conditions_are_not_written_again() {
    let existing =
        json!({"conditions": [held("Programmed", "True", EARLIER), held("Accepted", "True", EARLIER)]});
    assert_eq!(gateway(vec![], &[]).merged(&existing, &now()), None);
}

#[test]
fn listeners_follow_the_spec_and_keep_their_times() {
    let entry = |name: &str, conditions: Value| {
        json!({
            "name": name, "attachedRoutes": 1, "conditions": conditions,
            "supportedKinds": [{"group": GROUP, "kind": "HTTPRoute"}],
        })
    };
    let existing = json!({"listeners": [
        entry("gone", json!([held("Accepted", "True", EARLIER)])),
        entry("b", json!([held("Accepted", "True", EARLIER), foreign_condition(), held("Conflicted", "True", EARLIER)])),
    ]});
    let desired =
        gateway(vec![listener("a", vec![yes("Accepted")]), listener("b", vec![yes("Accepted")])], &[]);
    assert_eq!(
        merged(&desired, &existing)["listeners"],
        json!([
            entry("a", json!([held("Accepted", "True", NOW)])),
            entry("b", json!([held("Accepted", "True", EARLIER), foreign_condition()])),
        ])
    );
}

#[test]
fn the_last_address_and_the_last_listener_can_go() {
    let existing = merged(&gateway(vec![listener("http", vec![])], &["192.0.2.1"]), &Value::Null);
    let status = merged(&gateway(vec![], &[]), &existing);
    assert_eq!((&status["addresses"], &status["listeners"]), (&json!([]), &json!([])));
}

#[test]
fn features_of_a_class_are_replaced() {
    let feature = super::super::SupportedFeature { name: "Gateway" };
    let desired = Desired::GatewayClass(GatewayClassStatus {
        conditions: vec![yes("Accepted")],
        supported_features: vec![feature],
    });
    let existing = json!({"conditions": [foreign_condition()], "supportedFeatures": [{"name": "Mesh"}]});
    let status = merged(&desired, &existing);
    assert_eq!(status["supportedFeatures"], json!([{"name": "Gateway"}]));
    assert_eq!(status["conditions"], json!([foreign_condition(), held("Accepted", "True", NOW)]));
}

#[test]
fn foreign_parents_are_kept_byte_for_byte_and_in_place() {
    let odd =
        json!({"parentRef": {"name": "web"}, "controllerName": "example.com/other", "extra": [1.50, null]});
    let existing = json!({"parents": [odd, our_parent("web"), held_parent("x/y", "web", &json!([]))]});
    let desired = route(&[("web", wanted("Accepted", ConditionStatus::False)), ("api", yes("Accepted"))]);
    let status = merged(&desired, &existing);
    let ours = |name, status| held_parent(CONTROLLER_NAME, name, &json!([held("Accepted", status, NOW)]));
    assert_eq!(
        status["parents"],
        json!([odd, ours("web", "False"), held_parent("x/y", "web", &json!([])), ours("api", "True")])
    );
}

#[test]
fn entries_of_ours_that_are_gone_doubled_or_unreadable_are_removed() {
    let unreadable = json!({"parentRef": 7, "controllerName": CONTROLLER_NAME});
    let existing = json!({"parents": [unreadable, our_parent("gone"), our_parent("web"), our_parent("web")]});
    let status = merged(&route(&[("web", yes("Accepted"))]), &existing);
    assert_eq!(status, json!({"parents": [our_parent("web")]}));
    assert_eq!(merged(&route(&[]), &existing), json!({"parents": []}));
}

#[test]
fn defaults_of_a_parent_ref_are_the_same_parent() {
    let mut terse = our_parent("web");
    terse["parentRef"] = json!({"name": "web"});
    let status = merged(&route(&[("web", yes("Accepted"))]), &json!({"parents": [terse]}));
    assert_eq!(status, json!({"parents": [our_parent("web")]}));
}

#[test]
fn sections_of_one_gateway_are_parents_of_their_own() {
    let mut desired = route(&[("web", yes("Accepted")), ("web", wanted("Accepted", ConditionStatus::False))]);
    if let Desired::Route(status) = &mut desired {
        status.parents[1].parent_ref =
            serde_json::from_value(json!({"name": "web", "sectionName": "http"})).unwrap();
    }
    let status = merged(&desired, &json!({"parents": [our_parent("web")]}));
    assert_eq!(status["parents"][0], our_parent("web"));
    assert_eq!(status["parents"][1]["parentRef"]["sectionName"], "http");
    assert_eq!(status["parents"][1]["conditions"], json!([held("Accepted", "False", NOW)]));
}

#[test]
fn parents_in_another_order_are_not_written_again() {
    let existing = json!({"parents": [our_parent("b"), our_parent("a")]});
    assert_eq!(route(&[("a", yes("Accepted")), ("b", yes("Accepted"))]).merged(&existing, &now()), None);
}

#[test]
fn a_route_that_is_not_ours_is_left_alone() {
    assert_eq!(route(&[]).merged(&Value::Null, &now()), None);
    assert_eq!(route(&[]).merged(&json!({"parents": []}), &now()), None);
    let foreign = json!({"parents": [held_parent("x/y", "web", &json!([]))]});
    assert_eq!(route(&[]).merged(&foreign, &now()), None);
    assert!(!names_us(&foreign));
    assert!(names_us(&json!({"parents": [our_parent("web")]})));
}

#[test]
fn there_are_never_more_parents_than_the_crd_allows() {
    let foreign: Vec<Value> =
        (0..31).map(|n| held_parent("x/y", &format!("gateway-{n}"), &json!([]))).collect();
    let status = merged(
        &route(&[("web", yes("Accepted")), ("api", yes("Accepted"))]),
        &json!({"parents": foreign.clone()}),
    );
    let parents = status["parents"].as_array().unwrap();
    assert_eq!(parents.len(), MOST_PARENTS);
    assert_eq!(parents[..31], foreign);
    assert_eq!(parents[31]["parentRef"]["name"], "web");
}

#[test]
fn a_message_that_the_api_server_would_refuse_is_cut() {
    let mut condition = yes("Accepted");
    condition.message = "é".repeat(40_000);
    let status = merged(&route(&[("web", condition)]), &Value::Null);
    let message = status["parents"][0]["conditions"][0]["message"].as_str().unwrap();
    assert_eq!(message.chars().count(), 32_768);
    assert!(message.ends_with('…'));
}

#[test]
fn the_generation_is_that_of_the_conditions() {
    assert_eq!(gateway(vec![], &[]).generation(), Some(3));
    assert_eq!(route(&[]).generation(), None);
}

fn policy(gateways: &[&str]) -> Desired {
    let entry = |name: &&str| super::super::PolicyAncestorStatus {
        ancestor_ref: parent(name),
        controller_name: CONTROLLER_NAME,
        conditions: vec![yes("Accepted")],
    };
    Desired::Policy(PolicyStatus { ancestors: gateways.iter().map(entry).collect() })
}

fn held_ancestor(controller: &str, name: &str) -> Value {
    let mut entry = held_parent(controller, name, &json!([held("Accepted", "True", EARLIER)]));
    let about = entry["parentRef"].take();
    entry.as_object_mut().unwrap().remove("parentRef");
    entry["ancestorRef"] = about;
    entry
}

#[test]
fn of_a_policys_ancestors_only_ours_are_touched() {
    let foreign = held_ancestor("x/y", "web");
    let existing = json!({"ancestors": [foreign, held_ancestor(CONTROLLER_NAME, "gone"), held_ancestor(CONTROLLER_NAME, "web")]});
    assert!(names_us(&existing));
    let status = merged(&policy(&["web"]), &existing);
    assert_eq!(status["ancestors"], json!([foreign, held_ancestor(CONTROLLER_NAME, "web")]));
    assert_eq!(merged(&policy(&[]), &existing)["ancestors"], json!([foreign]));
    assert_eq!(policy(&[]).merged(&Value::Null, &now()), None);
    assert_eq!(policy(&["web"]).merged(&status, &now()), None);
}

#[test]
fn there_are_never_more_ancestors_than_the_crd_allows() {
    let foreign: Vec<Value> = (0..15).map(|n| held_ancestor("x/y", &format!("gateway-{n}"))).collect();
    let status = merged(&policy(&["api", "web"]), &json!({"ancestors": foreign}));
    let ancestors = status["ancestors"].as_array().unwrap();
    assert_eq!(ancestors.len(), MOST_ANCESTORS);
    assert_eq!(ancestors[15]["ancestorRef"]["name"], "api");
}
