//! One ADS stream, state of the world: which answer a request or a publication calls for, and what Envoy made of it.
//! No I/O, so that the protocol is tested on its own.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};

use super::kind::Kind;
use super::published::{Published, Set};

/// What one stream knows.
#[derive(Debug, Default)]
pub(super) struct Session {
    subscriptions: BTreeMap<Kind, Subscription>,
    nonce: u64,
}

#[derive(Debug, Default)]
struct Subscription {
    /// What Envoy asks for; unused for wildcard kinds.
    names: BTreeSet<String>,
    /// Version of each resource that was sent last.
    sent: BTreeMap<String, u64>,
    /// Version of the set that was sent last, or that had nothing new for this stream.
    seen: u64,
    /// Nonce of the last answer.
    nonce: String,
    /// Whether Envoy has still to say what it thinks of that answer.
    waiting: bool,
}

/// Envoy refused an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) kind: Kind,
    /// Version of the set.
    pub(super) version: u64,
    /// Envoy's words.
    pub(super) message: String,
}

impl Session {
    /// Takes a request: an acknowledgement, a refusal, or other names.
    pub(super) fn request(&mut self, request: DiscoveryRequest) -> Option<Refusal> {
        let kind = Kind::of(&request.type_url)?;
        let subscription = self.subscriptions.entry(kind).or_default();
        // A request that answers an older response is overtaken: Envoy will answer the newer one with all names.
        if !subscription.nonce.is_empty() && request.response_nonce != subscription.nonce {
            return None;
        }
        let refusal = request.error_detail.filter(|_| subscription.waiting);
        subscription.waiting = false;
        subscription.names = request.resource_names.into_iter().collect();
        subscription.sent.retain(|name, _| kind.is_wildcard() || subscription.names.contains(name));
        refusal.map(|status| Refusal { kind, version: subscription.seen, message: status.message })
    }

    /// The next answer that Envoy should get, if any. Of each kind only one is under way, so that what Envoy says is
    /// known to be about that one.
    pub(super) fn answer(&mut self, published: &Published) -> Option<DiscoveryResponse> {
        let clusters_under_way = self.subscriptions.get(&Kind::Cluster).is_some_and(|it| it.waiting);
        for kind in Kind::ALL {
            let Some(set) = published.set(kind) else { continue };
            let Some(subscription) = self.subscriptions.get_mut(&kind).filter(|it| !it.waiting) else {
                continue;
            };
            if kind == Kind::Endpoints && clusters_under_way {
                continue;
            }
            let names = subscription.news(kind, set);
            let repeated = kind.is_wildcard() && subscription.seen == set.version;
            subscription.seen = set.version;
            if repeated || (names.is_empty() && !kind.is_wildcard()) {
                continue;
            }
            if kind == Kind::Cluster {
                self.expect_endpoints(&names);
            }
            return Some(self.respond(kind, set, names));
        }
        None
    }

    /// The version of a kind that Envoy has, as far as it wants it: nothing is to be sent or awaited.
    pub(super) fn settled(&self, kind: Kind, published: &Published) -> Option<u64> {
        let set = published.set(kind)?;
        match self.subscriptions.get(&kind) {
            Some(it) => (!it.waiting && it.seen == set.version).then_some(set.version),
            // Envoy always comes to ask for wildcard kinds. Of the others it may need none.
            None => (!kind.is_wildcard()).then_some(set.version),
        }
    }

    /// Envoy warms a changed cluster only with endpoints that arrive after it, even when they are the old ones (xDS
    /// protocol, "Resource warming").
    fn expect_endpoints(&mut self, clusters: &[String]) {
        if let Some(endpoints) = self.subscriptions.get_mut(&Kind::Endpoints) {
            for name in clusters {
                endpoints.sent.remove(name);
            }
            endpoints.seen = 0;
        }
    }

    fn respond(&mut self, kind: Kind, set: &Set, news: Vec<String>) -> DiscoveryResponse {
        self.nonce += 1;
        let subscription = self.subscriptions.entry(kind).or_default();
        subscription.nonce = self.nonce.to_string();
        subscription.waiting = true;
        let version = |name: &String| set.resources.get(name).map(|it| (name.clone(), it.version));
        subscription.sent.extend(news.iter().filter_map(version));
        let any = |name: &String| set.resources.get(name).map(|it| (*it.any).clone());
        // All of a wildcard kind, because what is left out is removed; of the others what is new.
        let resources = if kind.is_wildcard() {
            subscription.sent.retain(|name, _| set.resources.contains_key(name));
            set.resources.keys().filter_map(any).collect()
        } else {
            news.iter().filter_map(any).collect()
        };
        DiscoveryResponse {
            version_info: set.version.to_string(),
            resources,
            type_url: kind.type_url().to_owned(),
            nonce: subscription.nonce.clone(),
            ..DiscoveryResponse::default()
        }
    }
}

impl Subscription {
    /// Names of the wanted resources whose current version was not sent.
    fn news(&self, kind: Kind, set: &Set) -> Vec<String> {
        let wanted = |name: &String| kind.is_wildcard() || self.names.contains(name);
        let news = set
            .resources
            .iter()
            .filter(|(name, it)| wanted(name) && self.sent.get(*name) != Some(&it.version));
        news.map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use envoy_types::pb::google::protobuf::Any;
    use envoy_types::pb::google::rpc::Status;

    use super::*;

    fn publish(published: &mut Published, kind: Kind, resources: &[(&str, &str)]) -> u64 {
        let resources = resources.iter().map(|(name, content)| {
            let any = Any { type_url: kind.type_url().into(), value: content.as_bytes().to_vec() };
            ((*name).to_owned(), Arc::new(any))
        });
        published.replace(kind, resources.collect()).0
    }

    fn request(kind: Kind, nonce: &str, names: &[&str]) -> DiscoveryRequest {
        DiscoveryRequest {
            type_url: kind.type_url().into(),
            response_nonce: nonce.into(),
            resource_names: names.iter().map(ToString::to_string).collect(),
            ..DiscoveryRequest::default()
        }
    }

    fn contents(response: &DiscoveryResponse) -> Vec<String> {
        response.resources.iter().map(|any| String::from_utf8(any.value.clone()).unwrap()).collect()
    }

    #[test]
    fn nothing_is_sent_before_something_is_published() {
        let mut session = Session::default();
        session.request(request(Kind::Cluster, "", &[]));
        assert_eq!(session.answer(&Published::default()), None);
    }

    #[test]
    fn clusters_are_sent_whole_once_per_version() {
        let mut published = Published::default();
        let version = publish(&mut published, Kind::Cluster, &[("a", "1"), ("b", "1")]);
        let mut session = Session::default();
        assert_eq!(session.settled(Kind::Cluster, &published), None);
        session.request(request(Kind::Cluster, "", &[]));
        let first = session.answer(&published).unwrap();
        assert_eq!(contents(&first), ["1", "1"]);
        assert_eq!(session.settled(Kind::Cluster, &published), None);
        assert_eq!(session.request(request(Kind::Cluster, &first.nonce, &[])), None);
        assert_eq!(session.answer(&published), None);
        assert_eq!(session.settled(Kind::Cluster, &published), Some(version));

        publish(&mut published, Kind::Cluster, &[("b", "2")]);
        assert_eq!(session.settled(Kind::Cluster, &published), None);
        assert_eq!(contents(&session.answer(&published).unwrap()), ["2"]);
    }

    #[test]
    fn an_empty_set_is_sent_when_it_was_published() {
        let mut published = Published::default();
        publish(&mut published, Kind::Listener, &[]);
        let mut session = Session::default();
        session.request(request(Kind::Listener, "", &[]));
        assert!(session.answer(&published).unwrap().resources.is_empty());
    }

    #[test]
    fn of_named_kinds_only_what_is_new_is_sent() {
        let mut published = Published::default();
        publish(&mut published, Kind::Endpoints, &[("a", "a1"), ("b", "b1"), ("c", "c1")]);
        let mut session = Session::default();
        session.request(request(Kind::Endpoints, "", &["a", "b"]));
        let first = session.answer(&published).unwrap();
        assert_eq!(contents(&first), ["a1", "b1"]);
        session.request(request(Kind::Endpoints, &first.nonce, &["a", "b"]));
        assert_eq!(session.answer(&published), None);

        let version = publish(&mut published, Kind::Endpoints, &[("a", "a1"), ("b", "b2"), ("c", "c1")]);
        let second = session.answer(&published).unwrap();
        assert_eq!(contents(&second), ["b2"]);
        session.request(request(Kind::Endpoints, &second.nonce, &["a", "b", "c"]));
        let third = session.answer(&published).unwrap();
        assert_eq!(contents(&third), ["c1"]);
        session.request(request(Kind::Endpoints, &third.nonce, &["a", "b", "c"]));
        assert_eq!(session.answer(&published), None);
        assert_eq!(session.settled(Kind::Endpoints, &published), Some(version));
    }

    #[test]
    fn what_envoy_dropped_and_wants_again_is_sent_again() {
        let mut published = Published::default();
        publish(&mut published, Kind::Routes, &[("r", "1")]);
        let mut session = Session::default();
        session.request(request(Kind::Routes, "", &["r"]));
        let first = session.answer(&published).unwrap();
        session.request(request(Kind::Routes, &first.nonce, &["r"]));
        session.request(request(Kind::Routes, &first.nonce, &[]));
        assert_eq!(session.answer(&published), None);
        session.request(request(Kind::Routes, &first.nonce, &["r"]));
        assert_eq!(contents(&session.answer(&published).unwrap()), ["1"]);
    }

    #[test]
    fn a_changed_cluster_gets_its_endpoints_again() {
        let mut published = Published::default();
        publish(&mut published, Kind::Cluster, &[("a", "1"), ("b", "1")]);
        publish(&mut published, Kind::Endpoints, &[("a", "a1"), ("b", "b1")]);
        let mut session = Session::default();
        session.request(request(Kind::Cluster, "", &[]));
        let clusters = session.answer(&published).unwrap();
        session.request(request(Kind::Cluster, &clusters.nonce, &[]));
        session.request(request(Kind::Endpoints, "", &["a", "b"]));
        let endpoints = session.answer(&published).unwrap();
        session.request(request(Kind::Endpoints, &endpoints.nonce, &["a", "b"]));
        assert_eq!(session.answer(&published), None);

        publish(&mut published, Kind::Cluster, &[("a", "1"), ("b", "2")]);
        let clusters = session.answer(&published).unwrap();
        assert_eq!(clusters.type_url, Kind::Cluster.type_url());
        assert_eq!(session.answer(&published), None);
        assert_eq!(session.settled(Kind::Endpoints, &published), None);
        session.request(request(Kind::Cluster, &clusters.nonce, &[]));
        let endpoints = session.answer(&published).unwrap();
        assert_eq!(contents(&endpoints), ["b1"]);
    }

    #[test]
    fn a_refusal_is_reported_once_and_not_answered_with_the_same_again() {
        let mut published = Published::default();
        let version = publish(&mut published, Kind::Listener, &[("l", "bad")]);
        let mut session = Session::default();
        session.request(request(Kind::Listener, "", &[]));
        let first = session.answer(&published).unwrap();
        let mut nack = request(Kind::Listener, &first.nonce, &[]);
        nack.error_detail = Some(Status { message: "cannot bind".into(), ..Status::default() });
        let refusal = Refusal { kind: Kind::Listener, version, message: "cannot bind".into() };
        assert_eq!(session.request(nack.clone()), Some(refusal));
        assert_eq!(session.request(nack), None);
        assert_eq!(session.answer(&published), None);
    }

    #[test]
    fn a_request_that_answers_an_older_response_changes_nothing() {
        let mut published = Published::default();
        publish(&mut published, Kind::Endpoints, &[("a", "1")]);
        let mut session = Session::default();
        session.request(request(Kind::Endpoints, "", &["a"]));
        let first = session.answer(&published).unwrap();
        session.request(request(Kind::Endpoints, &first.nonce, &["a"]));
        publish(&mut published, Kind::Endpoints, &[("a", "2")]);
        let second = session.answer(&published).unwrap();
        session.request(request(Kind::Endpoints, &first.nonce, &[]));
        assert_eq!(session.settled(Kind::Endpoints, &published), None);
        session.request(request(Kind::Endpoints, &second.nonce, &["a"]));
        assert!(session.settled(Kind::Endpoints, &published).is_some());
    }

    #[test]
    fn an_unknown_kind_is_ignored() {
        let mut session = Session::default();
        let request = DiscoveryRequest { type_url: "no/such".into(), ..DiscoveryRequest::default() };
        assert_eq!(session.request(request), None);
    }
}
