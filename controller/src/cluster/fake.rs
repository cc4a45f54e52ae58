//! An API server for tests: it lists, watches and deletes what a test puts into it, over HTTP, and can refuse, forget and
//! hang up.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

const GROUP: &str = "/apis/gateway.networking.k8s.io/";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// One API server.
#[derive(Clone)]
pub(crate) struct FakeApi {
    state: Arc<Mutex<Fake>>,
    changes: watch::Sender<()>,
}

/// What it holds.
#[derive(Default)]
pub(crate) struct Fake {
    version: u64,
    /// By collection, and by namespace and name.
    objects: BTreeMap<(String, String), Value>,
    history: Vec<Event>,
    /// Events up to this version are forgotten.
    forgotten: u64,
    /// Watches that began before it was raised are hung up.
    hung_up: u64,
    forbidden: BTreeSet<String>,
    refuses_streaming: bool,
    requests: Vec<String>,
}

#[derive(Clone)]
struct Event {
    version: u64,
    collection: String,
    kind: &'static str,
    object: Value,
}

impl FakeApi {
    /// Starts one, and a client of it.
    pub(crate) async fn start() -> (Self, kube::Client) {
        let api = Self { state: Arc::default(), changes: watch::Sender::new(()) };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = axum::Router::new().fallback(answer).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut config = kube::Config::new(format!("http://{address}").parse().unwrap());
        super::limit_waiting(&mut config);
        (api, kube::Client::try_from(config).unwrap())
    }

    fn with<T>(&self, change: impl FnOnce(&mut Fake) -> T) -> T {
        let done = change(&mut self.state.lock().unwrap());
        self.changes.send_replace(());
        done
    }

    /// Creates or changes an object of a collection, such as `/api/v1/services`.
    pub(crate) fn put(&self, collection: &str, object: Value) {
        self.with(|fake| fake.put(collection, object));
    }

    pub(crate) fn delete(&self, collection: &str, namespace: &str, name: &str) {
        self.with(|fake| fake.delete(collection, &format!("{namespace}/{name}")));
    }

    /// Installs a CRD of the Gateway API.
    pub(crate) fn install(&self, plural: &str, versions: &[&str]) {
        let versions: Vec<Value> =
            versions.iter().map(|version| json!({"name": version, "served": true})).collect();
        let crd = json!({
            "metadata": {"name": format!("{plural}.gateway.networking.k8s.io"),
                "annotations": {"gateway.networking.k8s.io/bundle-version": "v1.6.1"}},
            "spec": {"versions": versions},
            "status": {"conditions": [{"type": "Established", "status": "True", "reason": "", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        });
        self.put(CRDS, crd);
    }

    pub(crate) fn uninstall(&self, plural: &str) {
        self.delete(CRDS, "", &format!("{plural}.gateway.networking.k8s.io"));
    }

    /// Hangs up every watch, lets something happen, and forgets its events.
    pub(crate) fn forget(&self, happens: impl FnOnce(&mut Fake)) {
        self.with(|fake| {
            happens(fake);
            fake.forgotten = fake.version;
            fake.hung_up += 1;
        });
    }

    pub(crate) fn forbid(&self, path: &str) {
        self.with(|fake| fake.forbidden.insert(path.to_owned()));
    }

    pub(crate) fn permit(&self, path: &str) {
        self.with(|fake| fake.forbidden.remove(path));
    }

    /// As an API server without `WatchList`.
    pub(crate) fn refuse_streaming(&self) {
        self.with(|fake| fake.refuses_streaming = true);
    }

    /// Path and query of every request so far that begins with `path`.
    pub(crate) fn requests(&self, path: &str) -> Vec<String> {
        let fake = self.state.lock().unwrap();
        fake.requests.iter().filter(|request| request.starts_with(path)).cloned().collect()
    }
}

impl Fake {
    pub(crate) fn put(&mut self, collection: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let key = (collection.to_owned(), key(&object));
        let known = self.objects.insert(key, object.clone());
        let kind = if known.is_some() { "MODIFIED" } else { "ADDED" };
        self.history.push(Event { version: self.version, collection: collection.to_owned(), kind, object });
    }

    pub(crate) fn delete(&mut self, collection: &str, key: &str) {
        let mut object = self.objects.remove(&(collection.to_owned(), key.to_owned())).expect("it is there");
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        let collection = collection.to_owned();
        self.history.push(Event { version: self.version, collection, kind: "DELETED", object });
    }
}

fn key(object: &Value) -> String {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
    format!("{}/{}", text("namespace"), text("name"))
}

/// What one request asks for.
#[derive(Clone)]
struct Wanted {
    collection: String,
    namespace: Option<String>,
    name: Option<String>,
    labels: Option<String>,
}

impl Wanted {
    fn new(path: &str, query: &HashMap<String, String>) -> Self {
        let (collection, namespace) = match path.split_once("/namespaces/") {
            Some((head, rest)) => {
                let (namespace, plural) = rest.split_once('/').unwrap();
                (format!("{head}/{plural}"), Some(namespace.to_owned()))
            }
            None => (path.to_owned(), None),
        };
        let name = query.get("fieldSelector").map(|s| s.strip_prefix("metadata.name=").unwrap().to_owned());
        Self { collection, namespace, name, labels: query.get("labelSelector").cloned() }
    }

    fn has(&self, collection: &str, object: &Value) -> bool {
        let metadata = &object["metadata"];
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_ref().is_none_or(|wanted| metadata[name] == wanted.as_str())
        };
        let has_label = |label: &str| match label.split_once('=') {
            Some((name, value)) => metadata["labels"][name] == value,
            None => metadata["labels"].get(label).is_some(),
        };
        self.collection == collection
            && is(&self.namespace, "namespace")
            && is(&self.name, "name")
            && self.labels.iter().all(|labels| labels.split(',').all(has_label))
    }
}

async fn answer(
    State(api): State<FakeApi>,
    method: Method,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let fake = &mut *api.state.lock().unwrap();
    fake.requests.push(uri.to_string());
    if method == Method::DELETE {
        let (path, name) = uri.path().rsplit_once('/').unwrap();
        let Wanted { collection, namespace, .. } = Wanted::new(path, &query);
        fake.delete(&collection, &format!("{}/{name}", namespace.unwrap_or_default()));
        api.changes.send_replace(());
        return axum::Json(json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}))
            .into_response();
    }
    let wanted = Wanted::new(uri.path(), &query);
    if fake.forbidden.contains(uri.path()) {
        return failure(403, "Forbidden", "this may not be read");
    }
    if let Some((_, plural)) = wanted.collection.strip_prefix(GROUP).and_then(|rest| rest.split_once('/')) {
        let crd = format!("/{plural}.gateway.networking.k8s.io");
        if !fake.objects.contains_key(&(CRDS.to_owned(), crd)) {
            return failure(404, "NotFound", "the server could not find the requested resource");
        }
    }
    let streams = query.contains_key("sendInitialEvents");
    if streams && fake.refuses_streaming {
        return failure(422, "Invalid", "sendInitialEvents: Forbidden");
    }
    let objects = fake.objects.iter().filter(|((collection, _), object)| wanted.has(collection, object));
    let objects: Vec<Value> = objects.map(|(_, object)| object.clone()).collect();
    let version = fake.version.to_string();
    if !query.contains_key("watch") {
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version},
            "items": objects});
        return axum::Json(list).into_response();
    }
    let mut queue: VecDeque<String> = VecDeque::new();
    let mut since: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
    if streams {
        queue.extend(objects.iter().map(|object| event("ADDED", object)));
        queue.push_back(event(
            "BOOKMARK",
            &json!({"kind": "Any", "apiVersion": "v1", "metadata": {"resourceVersion": version,
                "annotations": {"k8s.io/initial-events-end": "true"}}}),
        ));
        since = fake.version;
    } else if since < fake.forgotten {
        queue.push_back(event(
            "ERROR",
            &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": 410,
                "reason": "Expired", "message": "too old resource version"}),
        ));
    }
    let began = fake.hung_up;
    let watching =
        Watching { api: api.clone(), changes: api.changes.subscribe(), wanted, queue, since, began };
    Body::from_stream(futures::stream::unfold(watching, Watching::next)).into_response()
}

struct Watching {
    api: FakeApi,
    changes: watch::Receiver<()>,
    wanted: Wanted,
    queue: VecDeque<String>,
    since: u64,
    began: u64,
}

impl Watching {
    async fn next(mut self) -> Option<(Result<String, Infallible>, Self)> {
        loop {
            if let Some(line) = self.queue.pop_front() {
                return Some((Ok(line), self));
            }
            self.changes.mark_unchanged();
            {
                let fake = self.api.state.lock().unwrap();
                if fake.hung_up != self.began {
                    return None;
                }
                let news = fake.history.iter().filter(|event| event.version > self.since);
                let news = news.filter(|event| self.wanted.has(&event.collection, &event.object));
                self.queue.extend(news.map(|news| event(news.kind, &news.object)));
                self.since = fake.version;
            }
            if self.queue.is_empty() {
                self.changes.changed().await.ok()?;
            }
        }
    }
}

fn event(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({"type": kind, "object": object}))
}

fn failure(code: u16, reason: &str, message: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message});
    (StatusCode::from_u16(code).unwrap(), axum::Json(status)).into_response()
}
