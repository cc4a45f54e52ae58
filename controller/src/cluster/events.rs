//! Events on objects whose conditions turned bad, or well again: one each, with the condition's own words. They are
//! for people; one that cannot be written is logged and forgotten.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::mpsc;

use crate::api::CONTROLLER_NAME;
use crate::status::transition::{Transition, Turned};

/// So many may wait for the API server; more are dropped, never held back.
const MOST_WAITING: usize = 1024;
/// Longest note of an Event, in bytes.
const MOST_BYTES: usize = 1024;
/// Longest name of an object, without the 5 characters that the API server adds.
const MOST_NAME: usize = 253 - 5;

/// Where Events are handed over. They are written one after the other by a task that ends with this.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<Event>);

impl Events {
    /// Written by `client`, in the name of the replica `instance`.
    pub fn new(client: Client, instance: String) -> Self {
        let (sender, mut waiting) = mpsc::channel::<Event>(MOST_WAITING);
        tokio::spawn(async move {
            while let Some(mut event) = waiting.recv().await {
                event.reporting_instance = Some(instance.chars().take(128).collect());
                let namespace = event.metadata.namespace.clone().unwrap_or_default();
                let api = Api::<Event>::namespaced(client.clone(), &namespace);
                if let Err(error) = api.create(&PostParams::default(), &event).await {
                    let name = event.metadata.generate_name.unwrap_or_default();
                    tracing::debug!(namespace, name, %error, "an Event could not be written");
                }
            }
        });
        Self(sender)
    }

    /// Tells of one turn of `object`.
    pub fn tell(&self, object: &ObjectReference, transition: &Transition) {
        if self.0.try_send(event(object, transition)).is_err() {
            let (kind, name) = (&object.kind, &object.name);
            tracing::debug!(kind, name, "an Event was dropped: too many wait for the API server");
        }
    }
}

fn event(object: &ObjectReference, transition: &Transition) -> Event {
    let kind = match transition.turned {
        Turned::Bad => "Warning",
        Turned::Well => "Normal",
    };
    let name: String = object.name.iter().flat_map(|name| name.chars()).take(MOST_NAME - 1).collect();
    Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{name}.")),
            // Events on cluster-scoped objects go to this namespace.
            namespace: Some(object.namespace.clone().unwrap_or_else(|| "default".to_owned())),
            ..ObjectMeta::default()
        },
        action: Some(transition.condition.clone()),
        reason: Some(transition.reason.clone()),
        note: Some(cut(&transition.message).to_owned()),
        type_: Some(kind.to_owned()),
        event_time: Some(MicroTime(Timestamp::now())),
        regarding: Some(object.clone()),
        reporting_controller: Some(CONTROLLER_NAME.to_owned()),
        ..Event::default()
    }
}

/// As much of a text as fits.
fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(MOST_BYTES);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::Method;
    use serde_json::json;

    use super::*;
    use crate::cluster::mock;

    fn transition(message: &str) -> Transition {
        Transition {
            condition: "Accepted".to_owned(),
            turned: Turned::Bad,
            reason: "UnsupportedValue".to_owned(),
            message: message.to_owned(),
        }
    }

    #[tokio::test]
    async fn an_event_says_what_the_condition_says_and_a_refusal_stops_nothing() {
        let (client, log) = mock::server(|_| mock::refusal(403));
        let events = Events::new(client, "gatewasm-0".to_owned());
        let route = ObjectReference {
            kind: Some("HTTPRoute".to_owned()),
            namespace: Some("web".to_owned()),
            name: Some("shop".to_owned()),
            uid: Some("u-1".to_owned()),
            ..ObjectReference::default()
        };
        events.tell(&route, &transition("spec.rules[0]: no."));
        events.tell(&route, &transition("spec.rules[1]: no."));
        while log.of(&Method::POST).len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let first = &log.of(&Method::POST)[0];
        assert!(first.url.starts_with("/apis/events.k8s.io/v1/namespaces/web/events"), "{}", first.url);
        let mut body = first.body.clone();
        assert!(body["eventTime"].take().is_string());
        assert_eq!(
            body,
            json!({
                "apiVersion": "events.k8s.io/v1", "kind": "Event",
                "metadata": {"namespace": "web", "generateName": "shop."},
                "action": "Accepted", "reason": "UnsupportedValue", "note": "spec.rules[0]: no.", "type": "Warning",
                "eventTime": null,
                "regarding": {"kind": "HTTPRoute", "namespace": "web", "name": "shop", "uid": "u-1"},
                "reportingController": "gatewasm.dev/controller", "reportingInstance": "gatewasm-0",
            })
        );
    }

    #[test]
    fn long_names_and_notes_are_cut() {
        let object = ObjectReference { name: Some("g".repeat(253)), ..ObjectReference::default() };
        let event = event(&object, &transition(&"é".repeat(1000)));
        assert_eq!(event.note.unwrap().len(), MOST_BYTES);
        assert_eq!(event.metadata.generate_name.unwrap().len(), MOST_NAME);
        assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
    }
}
