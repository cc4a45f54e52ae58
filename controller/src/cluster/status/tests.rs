//! Statuses on their way to an API server that refuses, conflicts, or counts.

use axum::http::Method;

use super::*;
use crate::api::CONTROLLER_NAME;
use crate::cluster::mock::{self, Asked, Log, refusal};
use crate::status::{Condition, ConditionStatus, RouteParentStatus, RouteStatus};

fn route() -> ObjectRef {
    ObjectRef { kind: "HTTPRoute".to_owned(), namespace: Some("web".to_owned()), name: "shop".to_owned() }
}

fn desired(message: &str) -> Desired {
    let condition = Condition {
        kind: "Accepted",
        status: ConditionStatus::True,
        reason: "Accepted".to_owned(),
        message: message.to_owned(),
        observed_generation: 2,
    };
    let parent_ref = serde_json::from_value(json!({"name": "gateway"})).unwrap();
    let parent =
        RouteParentStatus { parent_ref, controller_name: CONTROLLER_NAME, conditions: vec![condition] };
    Desired::Route(RouteStatus { parents: vec![parent] })
}

fn existing(version: &str, status: Value) -> Existing {
    Existing {
        uid: "u-1".to_owned(),
        resource_version: version.to_owned(),
        generation: 2,
        status: Arc::new(status),
    }
}

/// The object as an API server answers.
fn object(version: &str, generation: i64, status: &Value) -> (u16, Value) {
    let metadata =
        json!({"name": "shop", "uid": "u-1", "resourceVersion": version, "generation": generation});
    (
        200,
        json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata, "status": status}),
    )
}

fn writer(answer: impl Fn(&Asked) -> (u16, Value) + Clone + Send + Sync + 'static) -> (StatusWriter, Log) {
    let (client, log) = mock::server(answer);
    let (elsewhere, _) = mock::server(|_| refusal(404));
    let events = Events::new(elsewhere, "test".to_owned());
    (StatusWriter::new(client, Arc::default(), events), log)
}

/// What the patch wants, written.
fn obey(asked: &Asked, version: &str) -> (u16, Value) {
    object(version, 2, &asked.body["status"])
}

async fn rest(writer: &StatusWriter) {
    while writer.shared.objects().values().any(|state| state.busy) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn message(patch: &Asked) -> &Value {
    &patch.body["status"]["parents"][0]["conditions"][0]["message"]
}

#[tokio::test]
async fn a_status_is_patched_for_the_version_that_was_seen() {
    let (writer, log) = writer(|asked| obey(asked, "8"));
    writer.want(&route(), existing("7", Value::Null), desired("Fine."));
    rest(&writer).await;
    assert_eq!(log.methods(), "PATCH");
    let patch = &log.of(&Method::PATCH)[0];
    assert_eq!(
        patch.url,
        "/apis/gateway.networking.k8s.io/v1/namespaces/web/httproutes/shop/status?fieldManager=gatewasm"
    );
    assert_eq!(patch.content_type, "application/merge-patch+json");
    assert_eq!(patch.body["metadata"], json!({"resourceVersion": "7"}));
    assert_eq!(message(patch), "Fine.");
}

#[tokio::test]
async fn nothing_is_written_where_nothing_differs() {
    let (writer, log) = writer(|asked| obey(asked, "8"));
    let status = desired("Fine.").merged(&Value::Null, &time()).unwrap();
    writer.want(&route(), existing("7", status), desired("Fine."));
    rest(&writer).await;
    assert_eq!(log.methods(), "");
    assert!(writer.shared.objects().is_empty());
}

#[tokio::test]
async fn a_watch_that_lags_behind_causes_no_write() {
    let (writer, log) = writer(|asked| obey(asked, "8"));
    writer.want(&route(), existing("7", Value::Null), desired("Fine."));
    rest(&writer).await;
    writer.want(&route(), existing("7", Value::Null), desired("Fine."));
    rest(&writer).await;
    assert_eq!(log.methods(), "PATCH");
    // But when somebody takes it away, it comes back.
    writer.want(&route(), existing("9", Value::Null), desired("Fine."));
    rest(&writer).await;
    assert_eq!(log.methods(), "PATCH PATCH");
    assert_eq!(log.of(&Method::PATCH)[1].body["metadata"]["resourceVersion"], "9");
}

#[tokio::test]
async fn after_a_conflict_it_is_merged_anew() {
    let foreign = json!({"parentRef": {"name": "gateway"}, "controllerName": "x/y", "conditions": []});
    let others = json!({"parents": [foreign]});
    let (writer, log) = writer(move |asked| match asked.method {
        Method::GET => object("8", 2, &others),
        _ if asked.body["metadata"]["resourceVersion"] == "8" => obey(asked, "9"),
        _ => refusal(409),
    });
    writer.want(&route(), existing("7", Value::Null), desired("Fine."));
    rest(&writer).await;
    assert_eq!(log.methods(), "PATCH GET PATCH");
    let parents = log.of(&Method::PATCH)[1].body["status"]["parents"].clone();
    assert_eq!(parents[0]["controllerName"], "x/y");
    assert_eq!(parents[1]["controllerName"], CONTROLLER_NAME);
}

#[tokio::test]
async fn a_newer_generation_or_another_object_waits_for_its_own_wish() {
    for (uid, generation) in [("u-1", 3), ("u-2", 1)] {
        let (writer, log) = writer(move |asked| match asked.method {
            Method::GET => {
                let (code, mut answer) = object("8", generation, &Value::Null);
                answer["metadata"]["uid"] = uid.into();
                (code, answer)
            }
            _ => refusal(409),
        });
        writer.want(&route(), existing("7", Value::Null), desired("Fine."));
        rest(&writer).await;
        assert_eq!(log.methods(), "PATCH GET");
    }
}

#[tokio::test]
async fn an_object_that_is_gone_is_given_up() {
    let (writer, log) = writer(|_| refusal(404));
    writer.want(&route(), existing("7", Value::Null), desired("Fine."));
    rest(&writer).await;
    assert_eq!(log.methods(), "PATCH");
}

#[tokio::test]
async fn many_changes_become_few_writes_and_the_last_one_is_there_soon() {
    let (writer, log) = writer(|asked| obey(asked, "8"));
    let begin = Instant::now();
    for n in 0..200 {
        writer.want(&route(), existing("7", Value::Null), desired(&format!("Change {n}.")));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let last_change = Instant::now();
    rest(&writer).await;
    assert!(last_change.elapsed() < LONG_REST + Duration::from_secs(1), "{:?}", last_change.elapsed());
    let patches = log.of(&Method::PATCH);
    let most = 3 + begin.elapsed().div_duration_f64(LONG_REST) as usize;
    assert!((2..=most).contains(&patches.len()), "{} writes", patches.len());
    assert_eq!(message(&patches[0]), "Change 0.");
    assert_eq!(message(patches.last().unwrap()), "Change 199.");
}

#[tokio::test]
async fn conflicts_without_end_are_about_two_writes_a_second() {
    let (writer, log) = writer(|asked| match asked.method {
        Method::GET => object("8", 2, &Value::Null),
        _ => refusal(409),
    });
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(2200) {
        writer.want(&route(), existing("7", Value::Null), desired("Fine."));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (writes, most) = (log.of(&Method::PATCH).len(), 2 * begin.elapsed().as_secs() as usize);
    assert!((2..=most).contains(&writes), "{writes} writes in {:?}", begin.elapsed());
}

#[tokio::test]
async fn nothing_is_written_any_more_when_it_is_dropped_or_forgotten() {
    let (writer, log) = writer(|_| refusal(503));
    writer.want(&route(), existing("7", Value::Null), desired("Fine."));
    while log.methods().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    writer.forget(&route());
    drop(writer);
    tokio::time::sleep(Duration::from_millis(1700)).await;
    assert_eq!(log.methods(), "PATCH");
}
