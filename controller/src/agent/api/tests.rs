//! Against a small API server of the tests' own, on a loopback address.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use super::*;
use crate::render::Resources;

/// What the server has: by name the text in the object; and what was asked.
#[derive(Clone, Default)]
struct Server {
    objects: Arc<Mutex<BTreeMap<String, String>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// With its `resourceVersion`.
    manifest: watch::Sender<(u64, String)>,
    is_down: watch::Sender<bool>,
}

impl Server {
    async fn start(&self) -> Api {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new()
            .route("/api/v1/namespaces/infra/configmaps", get(manifests))
            .route("/api/v1/namespaces/infra/{kind}/{name}", get(object))
            .with_state(self.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        Api::new(Client::try_from(Config::new(uri)).unwrap(), "infra", "web")
    }

    fn put(&self, name: &str, text: &str) {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), text.to_owned());
    }

    /// Writes the parts, then the manifest, as the controller does.
    fn write(&self, bundle: &Bundle, counter: u64) {
        for (name, text) in bundle.parts() {
            self.put(&format!("web-{name}"), text);
        }
        self.write_manifest(bundle.manifest("infra/web", counter).text());
    }

    fn write_manifest(&self, text: String) {
        self.manifest.send_modify(|(version, known)| (*version, *known) = (*version + 1, text));
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        asked.sort();
        asked
    }

    fn note(&self, what: &str) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(what.to_owned());
    }
}

fn manifest(version: u64, text: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "web-manifest", "namespace": "infra", "resourceVersion": version.to_string()},
        "data": {"manifest.json": text},
    })
}

/// The list of manifests, and the watch.
async fn manifests(State(server): State<Server>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    server.note("manifest");
    if *server.is_down.borrow() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    if query.get("fieldSelector").map(String::as_str) != Some("metadata.name=web-manifest") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let manifests = server.manifest.subscribe();
    if !query.contains_key("watch") {
        let (version, text) = manifests.borrow().clone();
        let items: Vec<Value> = (version > 0).then(|| manifest(version, &text)).into_iter().collect();
        let metadata = json!({"resourceVersion": version.to_string()});
        let list = json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": metadata, "items": items});
        return list.to_string().into_response();
    }
    let since: u64 = query["resourceVersion"].parse().unwrap();
    let events = stream::unfold((manifests, since), async |(mut manifests, since)| {
        let (version, text) = manifests.wait_for(|(version, _)| *version > since).await.ok()?.clone();
        let event = json!({"type": "MODIFIED", "object": manifest(version, &text)});
        Some((Ok::<_, std::convert::Infallible>(format!("{event}\n")), (manifests, version)))
    });
    Body::from_stream(events).into_response()
}

/// A part.
async fn object(State(server): State<Server>, Path((kind, name)): Path<(String, String)>) -> Response {
    server.note(&name);
    let objects = server.objects.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(text) = objects.get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let is_secret = kind == "secrets";
    let kind = if is_secret { "Secret" } else { "ConfigMap" };
    let text = if is_secret { base64::engine::general_purpose::STANDARD.encode(text) } else { text.clone() };
    let key = format!("{}.json", name.trim_start_matches("web-"));
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "data": {key: text}})
        .to_string()
        .into_response()
}

/// A bundle with a cluster of this name, and a certificate.
fn bundle(cluster: &str) -> Bundle {
    let mut resources = Resources::default();
    resources.clusters.insert(cluster.to_owned(), json!({"name": cluster}).into());
    resources.secrets.insert("infra/tls".to_owned(), json!({"name": "infra/tls"}).into());
    Bundle::of(&resources).unwrap()
}

async fn next(api: &mut Api, known: &Texts) -> Found {
    timeout(Duration::from_secs(10), api.next(known.clone())).await.unwrap()
}

fn found(bundle: &Bundle, counter: u64) -> Found {
    Found { manifest: bundle.manifest("infra/web", counter).text(), parts: bundle.parts().clone() }
}

#[tokio::test]
async fn the_parts_that_are_new_are_read() {
    let server = Server::default();
    let mut api = server.start().await;
    let (one, two) = (bundle("one"), bundle("two"));
    server.write(&one, 1);
    assert_eq!(next(&mut api, &Texts::new()).await, found(&one, 1));
    let asked = server.asked();
    assert!(asked.iter().any(|name| name == "web-certificates-0"), "{asked:?}");
    server.write(&two, 2);
    assert_eq!(next(&mut api, one.parts()).await, found(&two, 2));
    let mut asked = server.asked();
    asked.retain(|what| what != "manifest");
    assert_eq!(asked, ["web-envoy-0"]);
}

#[tokio::test]
async fn what_is_not_whole_is_waited_for_and_then_handed_over() {
    let server = Server::default();
    let mut api = server.start().await;
    let (one, two) = (bundle("one"), bundle("two"));
    server.write(&one, 1);
    // The manifest was read before the part.
    let envoy = "envoy-0".parse().unwrap();
    server.put("web-envoy-0", &two.parts()[&envoy]);
    let early = api.next(Texts::new());
    assert!(timeout(Duration::from_millis(300), early).await.is_err());
    server.put("web-envoy-0", &one.parts()[&envoy]);
    assert_eq!(next(&mut api, &Texts::new()).await, found(&one, 1));

    // A part that stays away is somebody else's to name.
    server.write(&two, 2);
    server.objects.lock().unwrap().remove("web-envoy-0");
    let torn = next(&mut api, one.parts()).await;
    assert_eq!(torn.manifest, found(&two, 2).manifest);
    let manifest = Manifest::read(&torn.manifest).unwrap();
    let why = Bundle::collect(&manifest, &torn.parts).unwrap_err();
    assert_eq!(why.to_string(), "part envoy-0 is missing");
    // It is still tried.
    server.put("web-envoy-0", &two.parts()[&envoy]);
    assert_eq!(next(&mut api, one.parts()).await, found(&two, 2));
}

#[tokio::test]
async fn an_api_server_that_is_away_is_not_asked_in_a_loop() {
    let server = Server::default();
    server.is_down.send_replace(true);
    server.write(&bundle("one"), 1);
    let mut api = server.start().await;
    assert!(timeout(Duration::from_millis(1200), api.next(Texts::new())).await.is_err());
    // The client has a few tries of its own in each of ours.
    let asked = server.asked().len();
    assert!((1..=12).contains(&asked), "{asked}");
    server.is_down.send_replace(false);
    assert_eq!(next(&mut api, &Texts::new()).await, found(&bundle("one"), 1));
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_is_handed_over() {
    let server = Server::default();
    let mut api = server.start().await;
    server.write_manifest("nonsense".into());
    let expected = Found { manifest: "nonsense".into(), parts: Texts::new() };
    assert_eq!(next(&mut api, &Texts::new()).await, expected);
}
