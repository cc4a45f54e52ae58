//! What the leader does with Gateways that an API server shows: whose Deployment is held back, and what becomes of those
//! that go over to another controller.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use super::left::left;
use super::turns::Turns;
use crate::cluster::apply::Applier;
use crate::cluster::clear::Clearance;
use crate::cluster::deliver::Tools;
use crate::cluster::fake::FakeApi;
use crate::cluster::{Store, View, follow};
use crate::model::Transport;
use crate::object::ObjectKey;
use crate::provision::pod::AGENT_PORT;
use crate::provision::{Kind, Settings, provision};

const CLASSES: &str = "/apis/gateway.networking.k8s.io/v1/gatewayclasses";
const GATEWAYS: &str = "/apis/gateway.networking.k8s.io/v1/gateways";
const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
const CONFIG_MAPS: &str = "/api/v1/configmaps";

/// An API server with a class of ours, `ours`, and one of somebody else's, `theirs`.
async fn cluster() -> (FakeApi, Client, Store) {
    let (api, client) = FakeApi::start().await;
    for plural in ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants"] {
        api.install(plural, &["v1"]);
    }
    for (class, controller) in [("ours", "gatewasm.dev/controller"), ("theirs", "example.com/controller")] {
        api.put(CLASSES, json!({"metadata": {"name": class}, "spec": {"controllerName": controller}}));
    }
    let store = Store::new();
    tokio::spawn(follow(client.clone(), store.clone()));
    (api, client, store)
}

fn gateway(name: &str, class: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "infra", "uid": name},
        "spec": {"gatewayClassName": class, "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}})
}

/// `metadata` of the object `name` that was made for a Gateway.
fn metadata(name: &str, gateway: &str) -> Value {
    let labels = json!({"app.kubernetes.io/managed-by": "gatewasm", "gateway.networking.k8s.io/gateway-name": gateway});
    let owner = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "name": gateway,
        "uid": gateway, "controller": true});
    json!({"name": name, "namespace": "infra", "uid": name, "generation": 1, "labels": labels,
        "ownerReferences": [owner]})
}

/// The Deployment of a Gateway as an earlier release has left it.
fn deployment(gateway: &str, progressing: &str) -> Value {
    let condition = json!({"type": "Progressing", "status": "True", "reason": progressing});
    json!({"metadata": metadata(&format!("gatewasm-{gateway}"), gateway),
        "spec": {"selector": {}, "template": {}},
        "status": {"observedGeneration": 1, "conditions": [condition]}})
}

async fn until(store: &Store, holds: impl Fn(&View) -> bool) -> View {
    let mut changes = store.changes();
    let wait = async {
        loop {
            let view = store.view();
            if view.is_complete && holds(&view) {
                return view;
            }
            changes.changed().await.unwrap();
        }
    };
    timeout(Duration::from_secs(20), wait).await.expect("it never was as it should be")
}

/// The Gateways whose Deployments are not held back.
fn applied(turns: &mut Turns, view: &View) -> Vec<String> {
    let objects = view.snapshot.gateways.iter().map(|(key, gateway)| {
        (
            key.clone(),
            provision(key, gateway, &[(80, Transport::Tcp)].into(), &Settings::default(), None, AGENT_PORT),
        )
    });
    let mut objects: BTreeMap<_, _> = objects.collect();
    turns.hold_back(&mut objects, view);
    let applied = objects.into_iter().filter(|(_, its)| its.contains_key(&Kind::Deployment));
    applied.map(|(key, _)| key.name).collect()
}

#[tokio::test]
async fn of_the_deployments_of_an_earlier_release_one_is_changed_at_a_time() {
    let (api, _, store) = cluster().await;
    for name in ["a", "b", "fresh"] {
        api.put(GATEWAYS, gateway(name, "ours"));
    }
    api.put(DEPLOYMENTS, deployment("a", "NewReplicaSetAvailable"));
    api.put(DEPLOYMENTS, deployment("b", "NewReplicaSetAvailable"));
    let mut turns = Turns::default();
    let view = until(&store, |view| view.own.len() == 2).await;
    assert_eq!(applied(&mut turns, &view), ["a", "fresh"]);

    // It was applied, and its pods are being replaced.
    let wanted = provision(
        &ObjectKey::new("infra", "a"),
        &view.snapshot.gateways[&ObjectKey::new("infra", "a")],
        &[(80, Transport::Tcp)].into(),
        &Settings::default(),
        None,
        AGENT_PORT,
    );
    let annotations = wanted[&Kind::Deployment].as_ref().unwrap()["metadata"]["annotations"].clone();
    let mut rolling = deployment("a", "ReplicaSetUpdated");
    rolling["metadata"]["annotations"] = annotations.clone();
    api.put(DEPLOYMENTS, rolling);
    let seen = view.revisions.own;
    let view = until(&store, |view| view.revisions.own > seen).await;
    assert_eq!(applied(&mut turns, &view), ["a", "fresh"]);

    let mut done = deployment("a", "NewReplicaSetAvailable");
    done["metadata"]["annotations"] = annotations;
    api.put(DEPLOYMENTS, done);
    let seen = view.revisions.own;
    let view = until(&store, |view| view.revisions.own > seen).await;
    assert_eq!(applied(&mut turns, &view), ["a", "b", "fresh"]);
}

#[tokio::test]
async fn what_was_made_for_a_gateway_goes_when_it_is_another_controllers() {
    let (api, client, store) = cluster().await;
    for name in ["moved", "stays"] {
        api.put(GATEWAYS, gateway(name, "ours"));
        api.put(DEPLOYMENTS, deployment(name, "NewReplicaSetAvailable"));
        api.put(CONFIG_MAPS, json!({"metadata": metadata(&format!("gatewasm-{name}-manifest"), name)}));
    }
    // Of somebody else, whatever its labels say.
    let mut foreign = metadata("foreign", "moved");
    foreign["ownerReferences"][0]["uid"] = "another".into();
    api.put(CONFIG_MAPS, json!({"metadata": foreign}));
    let view = until(&store, |view| view.own.len() == 5).await;
    assert!(left(&view).is_empty());

    // A class that is not there yet says nothing.
    api.put(GATEWAYS, gateway("moved", "unknown"));
    let seen = view.revisions.snapshot;
    let view = until(&store, |view| view.revisions.snapshot > seen).await;
    assert!(left(&view).is_empty());

    api.put(GATEWAYS, gateway("moved", "theirs"));
    let view = until(&store, |view| !left(view).is_empty()).await;
    let owners = left(&view);
    let moved = owners[&ObjectKey::new("infra", "moved")].clone();
    assert_eq!((owners.len(), moved.uid.as_str()), (1, "moved"));
    let metrics = Arc::default();
    let applier = Arc::new(Applier::new(client.clone(), Arc::clone(&metrics)));
    let tools = Tools { client, applier, store: store.clone(), metrics, news: watch::Sender::new(()) };
    let _clearance = Clearance::start(moved, tools);
    let view = until(&store, |view| left(view).is_empty()).await;
    let names: Vec<&str> = view.own.keys().map(|object| object.name.as_str()).collect();
    assert_eq!(names, ["foreign", "gatewasm-stays-manifest", "gatewasm-stays"]);
}
