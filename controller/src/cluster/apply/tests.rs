//! Applying and deleting against an API server that is none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::Method;
use serde_json::json;

use super::*;
use crate::cluster::mock::{self, Asked, Log};

fn owner() -> Owner {
    Owner { gateway: ObjectKey::new("infra", "web"), uid: "gateway-1".to_owned() }
}

fn wanted() -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": "infra", "name": "gatewasm-web-manifest"},
        "data": {"manifest.json": "{}"},
    })
}

/// The object as the cluster has it: with this label, and a Gateway with this uid as its owner.
fn held(label: &str, gateway: &str) -> Value {
    let owner = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": "web", "uid": gateway,
    });
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "namespace": "infra", "name": "gatewasm-web-manifest", "uid": "u-1", "labels": {MANAGED_BY: label},
            "ownerReferences": [owner],
        },
    })
}

fn applier(answer: impl Fn(&Asked) -> (u16, Value) + Clone + Send + Sync + 'static) -> (Applier, Log) {
    let (client, log) = mock::server(answer);
    (Applier::new(client, Arc::default()), log)
}

fn metadata(object: &Value) -> ObjectMeta {
    serde_json::from_value(object["metadata"].clone()).unwrap()
}

fn config_map() -> TypeMeta {
    TypeMeta { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned() }
}

#[tokio::test]
async fn a_new_object_is_applied_and_the_next_time_nobody_asks_whose_it_is() {
    let (applier, log) = applier(|asked| match asked.method {
        Method::GET => mock::refusal(404),
        _ => (200, held("gatewasm", "gateway-1")),
    });
    applier.apply(&owner(), &wanted()).await.unwrap();
    applier.apply(&owner(), &wanted()).await.unwrap();
    assert_eq!(log.methods(), "GET PATCH PATCH");
    let patches = log.of(&Method::PATCH);
    assert_eq!(
        patches[0].url,
        "/api/v1/namespaces/infra/configmaps/gatewasm-web-manifest?force=true&fieldManager=gatewasm"
    );
    assert_eq!(patches[0].content_type, "application/apply-patch+yaml");
    assert_eq!(patches[0].body, wanted());
    assert_eq!(patches[1].body["metadata"]["uid"], "u-1");
}

#[tokio::test]
async fn an_object_of_ours_from_before_is_applied_as_that_object() {
    let (applier, log) = applier(|_| (200, held("gatewasm", "gateway-1")));
    applier.apply(&owner(), &wanted()).await.unwrap();
    assert_eq!(log.methods(), "GET PATCH");
    assert_eq!(log.of(&Method::PATCH)[0].body["metadata"]["uid"], "u-1");
}

#[tokio::test]
async fn an_object_that_is_not_ours_is_named_and_never_touched() {
    let mut orphan = held("gatewasm", "gateway-1");
    orphan["metadata"]["ownerReferences"] = json!([]);
    for (found, message) in [
        (held("helm", "gateway-1"), "has no label app.kubernetes.io/managed-by: gatewasm"),
        (orphan, "has no ownerReference to Gateway infra/web"),
        (held("gatewasm", "gateway-0"), "is left over from a deleted Gateway"),
    ] {
        let answer = found.clone();
        let (applier, log) = applier(move |_| (200, answer.clone()));
        let error = applier.apply(&owner(), &wanted()).await.unwrap_err().to_string();
        assert!(error.starts_with("ConfigMap infra/gatewasm-web-manifest "), "{error}");
        assert!(error.contains(message), "{error}");
        let error = applier.delete(&owner(), &config_map(), &metadata(&found)).await.unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert_eq!(log.methods(), "GET");
    }
}

#[tokio::test]
async fn an_object_that_was_deleted_by_hand_comes_back_at_once() {
    let deleted = Arc::new(AtomicBool::new(false));
    let gone = Arc::clone(&deleted);
    let (applier, log) = applier(move |asked| match asked.method {
        Method::GET if gone.load(Ordering::Relaxed) => mock::refusal(404),
        // What an API server says to an apply of a uid that is not there.
        Method::PATCH if gone.load(Ordering::Relaxed) && asked.body["metadata"]["uid"] == "u-1" => {
            mock::refusal(409)
        }
        _ => (200, held("gatewasm", "gateway-1")),
    });
    applier.apply(&owner(), &wanted()).await.unwrap();
    deleted.store(true, Ordering::Relaxed);
    applier.apply(&owner(), &wanted()).await.unwrap();
    assert_eq!(log.methods(), "GET PATCH PATCH GET PATCH");
}

#[tokio::test]
async fn whoever_calls_again_and_again_is_slowed_down() {
    let (applier, log) = applier(|asked| match asked.method {
        Method::GET => mock::refusal(404),
        _ => mock::refusal(503),
    });
    let calls = async {
        loop {
            let Err(ApplyError::Refused { failure, .. }) = applier.apply(&owner(), &wanted()).await else {
                panic!("it was refused");
            };
            assert_eq!(failure, Failure::Unavailable);
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(700), calls).await.is_err());
    assert_eq!(log.of(&Method::PATCH).len(), 1);
}

#[tokio::test]
async fn only_the_object_that_was_seen_is_deleted() {
    let (applier, log) = applier(|_| mock::refusal(409));
    let found = held("gatewasm", "gateway-1");
    applier.delete(&owner(), &config_map(), &metadata(&found)).await.unwrap();
    let deletes = log.of(&Method::DELETE);
    assert_eq!(deletes.len(), 1);
    assert_eq!(deletes[0].body["preconditions"], json!({"uid": "u-1"}));
}

#[tokio::test]
async fn what_is_no_object_is_said() {
    let (applier, log) = applier(|_| mock::refusal(500));
    let error = applier.apply(&owner(), &json!({"metadata": {"name": "x"}})).await.unwrap_err();
    assert!(matches!(error, ApplyError::NotAnObject(_)), "{error}");
    assert_eq!(log.methods(), "");
}
