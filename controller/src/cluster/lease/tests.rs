//! Replicas in an election, faster than in a cluster, with an API server that can be cut off.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};

use super::*;
use crate::cluster::mock::{self, Asked, refusal};

/// What a Lease says, it says in whole seconds.
fn timing() -> Timing {
    Timing {
        lease: Duration::from_secs(2),
        deadline: Duration::from_secs(1),
        renewal: Duration::from_millis(50),
        retry: Duration::from_millis(20),
    }
}

fn key() -> ObjectKey {
    ObjectKey::new("gatewasm-system", "gatewasm-controller")
}

/// One Lease, as an API server keeps it.
#[derive(Clone, Default)]
struct Kept {
    lease: Arc<Mutex<Option<Value>>>,
    version: Arc<Mutex<u64>>,
}

impl Kept {
    fn answer(&self, asked: &Asked) -> (u16, Value) {
        let mut lease = self.lease.lock().unwrap();
        match (&asked.method, lease.as_ref()) {
            (&Method::GET, None) => return refusal(404),
            (&Method::GET, Some(lease)) => return (200, lease.clone()),
            (&Method::POST, Some(_)) => return refusal(409),
            (&Method::PUT, None) => return refusal(404),
            (&Method::PUT, Some(lease))
                if asked.body["metadata"]["resourceVersion"] != lease["metadata"]["resourceVersion"] =>
            {
                return refusal(409);
            }
            _ => {}
        }
        let mut version = self.version.lock().unwrap();
        *version += 1;
        let mut new = asked.body.clone();
        new["metadata"]["resourceVersion"] = json!(version.to_string());
        *lease = Some(new.clone());
        (200, new)
    }

    fn holder(&self) -> String {
        let lease = self.lease.lock().unwrap();
        lease.as_ref().unwrap()["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
    }

    /// A client, and a switch that cuts it off.
    fn client(&self) -> (Client, Arc<AtomicBool>) {
        let (kept, cut) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let is_cut = Arc::clone(&cut);
        let (client, _) =
            mock::server(
                move |asked| {
                    if is_cut.load(Ordering::Relaxed) { refusal(503) } else { kept.answer(asked) }
                },
            );
        (client, cut)
    }
}

#[tokio::test]
async fn the_second_one_leads_at_once_when_the_first_gives_back() {
    let kept = Kept::default();
    let first = acquire(kept.client().0, &key(), "first", timing()).await;
    assert!(first.holds() && kept.holder().starts_with("first_"));
    let (client, key) = (kept.client().0, key());
    let second = acquire(client, &key, "second", timing());
    tokio::pin!(second);
    // Longer than the Lease: renewals keep the second one away.
    assert!(timeout(Duration::from_millis(2300), &mut second).await.is_err());
    assert!(first.holds());
    first.release().await;
    assert_eq!(kept.holder(), "");
    let second = timeout(Duration::from_secs(1), second).await.expect("it does not wait for the Lease's end");
    assert!(second.holds() && kept.holder().starts_with("second_"));
}

#[tokio::test]
async fn one_that_is_cut_off_has_lost_before_another_one_leads() {
    let kept = Kept::default();
    let (client, cut) = kept.client();
    let mut first = acquire(client, &key(), "first", timing()).await;
    let (client, key) = (kept.client().0, key());
    let second = tokio::spawn(async move { acquire(client, &key, "second", timing()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    cut.store(true, Ordering::Relaxed);
    timeout(Duration::from_secs(5), first.lost()).await.expect("it is lost");
    assert!(!first.holds());
    assert!(!second.is_finished() && kept.holder().starts_with("first_"), "nobody leads for a while");
    let second = timeout(Duration::from_secs(5), second).await.expect("the Lease is over").unwrap();
    assert!(second.holds());
}

#[tokio::test]
async fn a_short_outage_changes_nothing() {
    let kept = Kept::default();
    let (client, cut) = kept.client();
    let mut leadership = acquire(client, &key(), "first", timing()).await;
    cut.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(200)).await;
    cut.store(false, Ordering::Relaxed);
    assert!(timeout(Duration::from_millis(1500), leadership.lost()).await.is_err());
    assert!(leadership.holds());
}

#[tokio::test]
async fn a_lease_in_other_hands_is_lost_at_once_and_a_deleted_one_is_made_anew() {
    let kept = Kept::default();
    let mut leadership = acquire(kept.client().0, &key(), "first", timing()).await;
    *kept.lease.lock().unwrap() = None;
    assert!(timeout(Duration::from_millis(1500), leadership.lost()).await.is_err());
    assert!(kept.holder().starts_with("first_"));
    {
        let mut lease = kept.lease.lock().unwrap();
        let lease = lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!("thief");
        lease["metadata"]["resourceVersion"] = json!("stolen");
    }
    timeout(Duration::from_millis(800), leadership.lost()).await.expect("before the deadline");
    assert!(!leadership.holds());
    assert_eq!(kept.holder(), "thief");
}

#[tokio::test]
async fn a_process_that_was_stopped_past_the_deadline_does_not_lead() {
    let kept = Kept::default();
    let (client, _) = kept.client();
    let holder = Holder {
        api: Api::namespaced(client, "gatewasm-system"),
        name: "gatewasm-controller".to_owned(),
        candidate: Candidate::new("first".to_owned(), timing()),
        timing: timing(),
    };
    // The task that renews has not had its turn yet.
    let mut leadership = holder.lead(Lease::default(), Instant::now());
    assert!(!leadership.holds());
    timeout(Duration::from_secs(1), leadership.lost()).await.expect("it is over");
}
