//! From an API server to a Snapshot, over HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use super::fake::FakeApi;
use super::own::Own;
use super::{Facts, Store, View, follow};
use crate::object::ObjectKey;

const SERVICES: &str = "/api/v1/services";
const SECRETS: &str = "/api/v1/secrets";
const PODS: &str = "/api/v1/pods";
const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";
const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";
const CLASSES: &str = "/apis/gateway.networking.k8s.io/v1/gatewayclasses";
const GATEWAYS: &str = "/apis/gateway.networking.k8s.io/v1/gateways";
const ROUTES: &str = "/apis/gateway.networking.k8s.io/v1/httproutes";

/// An API server with every CRD, a class and a Gateway of ours.
async fn cluster() -> (FakeApi, kube::Client) {
    let (api, client) = FakeApi::start().await;
    for plural in ["gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants"] {
        api.install(plural, &["v1"]);
    }
    let class = json!({"metadata": {"name": "c"}, "spec": {"controllerName": "gatewasm.dev/controller"}});
    api.put(CLASSES, class);
    api.put(GATEWAYS, gateway(json!({"port": 80, "protocol": "HTTP"})));
    (api, client)
}

fn gateway(mut listener: Value) -> Value {
    listener["name"] = "l".into();
    json!({"metadata": {"name": "web", "namespace": "d"},
        "spec": {"gatewayClassName": "c", "listeners": [listener]}})
}

fn route(name: &str, host: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "d", "uid": name, "generation": 1},
        "spec": {"hostnames": [host], "rules": [{}]}})
}

/// Follows until the test ends.
fn followed(client: kube::Client) -> Store {
    let store = Store::new();
    tokio::spawn(follow(client, store.clone()));
    store
}

/// Waits until the state is as it should be.
async fn until(store: &Store, holds: impl Fn(&View) -> bool) -> View {
    let mut changes = store.changes();
    let wait = async {
        loop {
            let view = store.view();
            if holds(&view) {
                return view;
            }
            changes.changed().await.unwrap();
        }
    };
    match tokio::time::timeout(Duration::from_secs(20), wait).await {
        Ok(view) => view,
        Err(_) => panic!("not reached; missing: {:?}; state: {:#?}", store.missing(), store.view()),
    }
}

/// Name and host of every HTTPRoute.
fn routes(view: &View) -> Vec<(&str, &str)> {
    let routes = view.snapshot.http_routes.iter();
    routes.map(|(key, route)| (key.name.as_str(), route.spec.hostnames[0].as_ref())).collect()
}

#[tokio::test]
async fn what_is_there_is_listed_and_what_changes_is_followed() {
    for streaming in [true, false] {
        let (api, client) = cluster().await;
        if !streaming {
            api.refuse_streaming();
        }
        api.put(
            SERVICES,
            json!({"metadata": {"name": "s", "namespace": "d"}, "spec": {"ports": [{"port": 80}]}}),
        );
        api.put(
            SLICES,
            json!({"metadata": {"name": "s-1", "namespace": "d", "labels": {"kubernetes.io/service-name": "s"}},
                "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
        );
        api.put("/api/v1/namespaces", json!({"metadata": {"name": "d", "labels": {"env": "prod"}}}));
        api.put(ROUTES, route("a", "a.test"));
        let store = followed(client);
        assert!(!store.view().is_complete);
        let view = until(&store, |view| view.is_complete).await;
        assert_eq!(view.snapshot.len(), 6);
        assert_eq!(routes(&view), [("a", "a.test")]);
        assert_eq!(view.snapshot.namespace_label("d", "env"), Some("prod"));
        assert_eq!(store.missing(), [""; 0]);

        api.put(ROUTES, route("b", "b.test"));
        until(&store, |view| routes(view) == [("a", "a.test"), ("b", "b.test")]).await;
        api.put(ROUTES, route("a", "c.test"));
        until(&store, |view| routes(view) == [("a", "c.test"), ("b", "b.test")]).await;
        api.delete(ROUTES, "d", "b");
        let view = until(&store, |view| routes(view) == [("a", "c.test")]).await;
        assert_eq!(view.held.len(), 3, "class, Gateway and route");
        assert!(view.is_complete);
    }
}

#[tokio::test]
async fn after_an_expired_watch_everything_is_listed_again_and_nothing_is_missing_meanwhile() {
    let (api, client) = cluster().await;
    for name in ["a", "b", "c"] {
        api.put(ROUTES, route(name, "a.test"));
    }
    let store = followed(client);
    let before = until(&store, |view| view.is_complete).await;
    let mut changes = store.changes();
    api.forget(|fake| {
        fake.delete(ROUTES, "d/b");
        fake.put(ROUTES, route("d", "d.test"));
    });
    let expected = [("a", "a.test"), ("c", "a.test"), ("d", "d.test")];
    let watched = async {
        loop {
            let view = store.view();
            assert!(view.is_complete);
            let routes = routes(&view);
            assert!(routes.contains(&("a", "a.test")) && routes.contains(&("c", "a.test")), "{routes:?}");
            if routes == expected {
                return view;
            }
            changes.changed().await.unwrap();
        }
    };
    let after = tokio::time::timeout(Duration::from_secs(20), watched).await.unwrap();
    let lists = api.requests(ROUTES).into_iter().filter(|request| request.contains("sendInitialEvents"));
    assert_eq!(lists.count(), 2);
    // One went and one came; what stayed is the same object as before.
    assert_eq!(after.revisions.snapshot, before.revisions.snapshot + 2);
}

#[tokio::test]
async fn kinds_come_and_go_with_their_crds() {
    let (api, client) = FakeApi::start().await;
    let store = followed(client);
    let view = until(&store, |view| view.is_complete).await;
    assert!(view.snapshot.is_empty());
    assert_eq!(api.requests("/apis/gateway.networking.k8s.io/"), [""; 0]);

    api.install("httproutes", &["v1alpha2"]);
    until(&store, |view| view.crds.0.contains_key("HTTPRoute")).await;
    api.put(ROUTES, route("a", "a.test"));
    api.install("httproutes", &["v1alpha2", "v1"]);
    let view = until(&store, |view| routes(view) == [("a", "a.test")]).await;
    assert!(view.is_complete);

    api.uninstall("httproutes");
    let view = until(&store, |view| view.snapshot.is_empty()).await;
    assert!(view.is_complete && view.held.is_empty());
}

#[tokio::test]
async fn a_secret_is_read_when_a_gateway_refers_to_it_and_no_longer() {
    let (api, client) = cluster().await;
    let secret = |name: &str, key: &str| {
        json!({"metadata": {"name": name, "namespace": "d"}, "type": "kubernetes.io/tls",
            "data": {"tls.crt": "YQ==", "tls.key": key}})
    };
    api.put(SECRETS, secret("tls", "YQ=="));
    api.put(SECRETS, secret("other", "YQ=="));
    let store = followed(client);
    let view = until(&store, |view| view.is_complete).await;
    assert!(view.snapshot.secrets.is_empty());

    let refers = json!({"port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "tls"}]}});
    api.put(GATEWAYS, gateway(refers));
    let tls = ObjectKey::new("d", "tls");
    let view = until(&store, |view| {
        let refers = view.snapshot.gateways.values().any(|gateway| gateway.spec.listeners[0].tls.is_some());
        let is_there = view.snapshot.secrets.contains_key(&tls);
        assert!(!refers || is_there || !view.is_complete, "complete without the Secret");
        is_there && view.is_complete
    })
    .await;
    assert_eq!(view.snapshot.secrets.len(), 1);
    let before = view.snapshot.secrets.get(&tls).cloned();
    api.put(SECRETS, secret("tls", "Yg=="));
    until(&store, |view| view.snapshot.secrets.get(&tls).cloned() != before).await;

    api.put(GATEWAYS, gateway(json!({"port": 80, "protocol": "HTTP"})));
    until(&store, |view| view.snapshot.secrets.is_empty()).await;
    // By name, or by our label: never all.
    let requests = [api.requests(SECRETS), api.requests("/api/v1/namespaces/d/secrets")].concat();
    assert!(!requests.is_empty());
    for request in requests {
        assert!(
            request.contains("metadata.name%3Dtls") || request.contains("managed-by%3Dgatewasm"),
            "{request}"
        );
    }
}

#[tokio::test]
async fn what_changes_nothing_wakes_nobody() {
    let (api, client) = cluster().await;
    let service = |cluster_ip: &str| {
        json!({"metadata": {"name": "s", "namespace": "d"},
            "spec": {"ports": [{"port": 80}], "clusterIP": cluster_ip}})
    };
    api.put(ROUTES, route("a", "a.test"));
    api.put(SERVICES, service("10.0.0.1"));
    let store = followed(client);
    let before = until(&store, |view| view.is_complete).await;

    let mut noise = route("a", "a.test");
    noise["metadata"]["managedFields"] = json!([{"manager": "kubectl"}]);
    noise["metadata"]["labels"] = json!({"tool": "x"});
    api.put(ROUTES, noise.clone());
    api.put(SERVICES, service("10.0.0.2"));
    // One watch's events are in order, so that these show that those before were seen.
    api.put(ROUTES, route("z", "z.test"));
    let mut other = service("10.0.0.3");
    other["metadata"]["name"] = "z".into();
    api.put(SERVICES, other);
    let seen = |view: &View| routes(view).len() == 2 && view.snapshot.services.len() == 2;
    let after = until(&store, seen).await;
    assert_eq!(after.revisions.snapshot, before.revisions.snapshot + 2, "the two new objects");
    assert_eq!(after.revisions.held, before.revisions.held + 1, "the new route");

    noise["status"] = json!({"parents": []});
    api.put(ROUTES, noise);
    let status = until(&store, |view| view.revisions.held != after.revisions.held).await;
    assert_eq!(status.revisions.snapshot, after.revisions.snapshot);
    let key = crate::object::ObjectRef::namespaced("HTTPRoute", &ObjectKey::new("d", "a"));
    assert_eq!(status.held[&key].status, json!({"parents": []}));
    assert_ne!(status.held[&key].resource_version, before.held[&key].resource_version);
}

#[tokio::test]
async fn an_object_that_cannot_be_read_stays_as_it_was_and_costs_no_other() {
    let (api, client) = cluster().await;
    api.put(ROUTES, route("a", "a.test"));
    let store = followed(client);
    until(&store, |view| view.is_complete).await;
    api.put(ROUTES, route("a", "NOT A HOST"));
    api.put(ROUTES, route("bad", "NOT A HOST"));
    api.put(ROUTES, json!({"metadata": {"name": "worse", "namespace": "d"}, "spec": 1}));
    api.put(ROUTES, route("b", "b.test"));
    let expected = [("a", "a.test"), ("b", "b.test")];
    until(&store, |view| routes(view) == expected).await;
    // The same when it comes in a list.
    api.forget(|fake| fake.put(ROUTES, route("b", "c.test")));
    until(&store, |view| routes(view) == [("a", "a.test"), ("b", "c.test")]).await;
    // And fields of newer CRDs are no fault.
    let mut newer = route("bad", "d.test");
    newer["spec"]["rules"][0]["brandNew"] = true.into();
    api.put(ROUTES, newer);
    until(&store, |view| routes(view).len() == 3).await;
}

#[tokio::test]
async fn what_may_not_be_read_is_named_and_asked_for_with_patience() {
    let (api, client) = cluster().await;
    api.forbid(ROUTES);
    let store = followed(client);
    let missing = |store: &Store| store.missing().join("\n");
    let named = async {
        while !missing(&store).starts_with("HTTPRoute (gateway.networking.k8s.io/v1): this may not") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), named).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let requests = api.requests(ROUTES).len();
    assert!(requests < 6, "{requests} requests in a second");
    assert!(!store.view().is_complete);
    api.permit(ROUTES);
    until(&store, |view| view.is_complete).await;
}

#[tokio::test]
async fn a_secret_that_may_not_be_read_holds_up_nobody() {
    let (api, client) = cluster().await;
    let refers = json!({"port": 443, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "tls"}]}});
    api.put(GATEWAYS, gateway(refers));
    api.forbid("/api/v1/namespaces/d/secrets");
    let view = until(&followed(client), |view| view.is_complete).await;
    assert!(view.snapshot.secrets.is_empty());
}

#[tokio::test]
async fn objects_of_ours_and_pods_of_data_planes_are_told_from_others() {
    let (api, client) = cluster().await;
    let metadata = |name: &str, labels: Value| json!({"name": name, "namespace": "d", "uid": name, "generation": 1, "labels": labels});
    let ours =
        json!({"app.kubernetes.io/managed-by": "gatewasm", "gateway.networking.k8s.io/gateway-name": "web"});
    let deployment = |name: &str, labels: &Value, replicas: i32| {
        json!({"metadata": metadata(name, labels.clone()),
            "spec": {"replicas": replicas, "selector": {}, "template": {}}})
    };
    api.put(DEPLOYMENTS, deployment("ours", &ours, 1));
    api.put(DEPLOYMENTS, deployment("other", &json!({}), 1));
    api.put("/api/v1/configmaps", json!({"metadata": metadata("ours", ours.clone()), "data": {"a": "b"}}));
    api.put(PODS, json!({"metadata": metadata("p", ours.clone()), "status": {"podIP": "10.0.0.1"}}));
    api.put(PODS, json!({"metadata": metadata("q", json!({})), "status": {}}));
    let store = followed(client);
    let view = until(&store, |view| view.is_complete).await;
    let own: Vec<String> = view.own.keys().map(ToString::to_string).collect();
    assert_eq!(own, ["ConfigMap d/ours", "Deployment d/ours"]);
    let pods: Vec<_> = view.pods.values().map(|pod| (pod.gateway.as_str(), pod.ip.as_deref())).collect();
    assert_eq!(pods, [("web", Some("10.0.0.1"))]);

    api.put(DEPLOYMENTS, deployment("ours", &ours, 3));
    let scaled = |own: &Own| matches!(own.facts, Facts::Deployment { replicas: 3, .. });
    let view = until(&store, |view| view.own.values().any(scaled)).await;
    assert_eq!(view.own.len(), 2);
    api.delete(DEPLOYMENTS, "d", "ours");
    let view = until(&store, |view| view.own.len() == 1).await;
    assert_eq!(view.own.values().map(|own| own.facts.clone()).collect::<Vec<_>>(), [Facts::None]);
}
