//! Objects of ours in the cluster: applied as they are wanted and deleted when they are not. An object with our name
//! that is not ours is never touched. What the objects are is decided elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, TypeMeta};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;

use super::failure::Failure;
use super::metrics::Metrics;
use super::pace::{Pace, jitter};
use crate::object::{ObjectKey, ObjectRef};
use crate::provision::labels::{GATEWASM, MANAGED_BY};

/// The field manager of everything that gatewasm applies.
pub const FIELD_MANAGER: &str = "gatewasm";

/// The Gateway that objects belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its name.
    pub gateway: ObjectKey,
    /// Its `metadata.uid`.
    pub uid: String,
}

/// Why an object is not as it is wanted.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Somebody else's object has the name of ours.
    #[error("{object} exists and {why}; gatewasm does not touch it. Delete it, or rename the Gateway")]
    NotOurs {
        /// The object.
        object: ObjectRef,
        /// What it lacks.
        why: String,
    },
    /// It belonged to a Gateway with the same name; Kubernetes is about to delete it.
    #[error("{object} is left over from a deleted Gateway of the same name; waiting for its removal")]
    LeftOver {
        /// The object.
        object: ObjectRef,
    },
    /// The API server did not do it.
    #[error("{object}: {error}")]
    Refused {
        /// The object.
        object: ObjectRef,
        /// What that means.
        failure: Failure,
        /// Its words.
        #[source]
        error: Box<kube::Error>,
    },
    /// This is a fault of gatewasm.
    #[error("no Kubernetes object: {0}")]
    NotAnObject(String),
}

/// Applies and deletes. Each object has its own pace: after a failure the next call waits, however it is called.
pub struct Applier {
    client: Client,
    metrics: Arc<Metrics>,
    objects: Mutex<HashMap<ObjectRef, Known>>,
}

/// What is known of an object.
#[derive(Clone, Debug, Default)]
struct Known {
    pace: Pace,
    /// Its uid, once it was seen to be ours.
    uid: Option<(Owner, String)>,
}

impl Applier {
    /// Through `client`.
    pub fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self { client, metrics, objects: Mutex::default() }
    }

    /// Makes the fields of `object` (with `apiVersion`, `kind` and `metadata`) what they are, and returns the whole
    /// object as it is then. May be cancelled.
    pub async fn apply(&self, owner: &Owner, object: &Value) -> Result<DynamicObject, ApplyError> {
        let (api, reference) = self.api(object)?;
        self.wait(&reference).await;
        let known = self.known(&reference, |known| known.uid.clone());
        if let Some((_, uid)) = known.filter(|(of, _)| of == owner) {
            match send(&api, object, &reference.name, Some(&uid)).await {
                // It is no longer the object that was ours.
                Err(error) if Failure::of(&error) == Failure::Conflict => {}
                result => return self.applied(owner, reference, result),
            }
        }
        let uid = match api.get_metadata_opt(&reference.name).await {
            Ok(Some(found)) => {
                if let Err(error) = check(&reference, &found.metadata, owner) {
                    self.known(&reference, |known| known.failed(Failure::Conflict));
                    return Err(error);
                }
                found.metadata.uid
            }
            Ok(None) => None,
            Err(error) => return self.applied(owner, reference, Err(error)),
        };
        let result = send(&api, object, &reference.name, uid.as_deref()).await;
        self.applied(owner, reference, result)
    }

    /// Deletes an object of ours, as the watch shows it. One that is gone, or no longer this one, is fine.
    pub async fn delete(
        &self,
        owner: &Owner,
        types: &TypeMeta,
        found: &ObjectMeta,
    ) -> Result<(), ApplyError> {
        let object = serde_json::json!({
            "apiVersion": types.api_version, "kind": types.kind,
            "metadata": {"namespace": found.namespace, "name": found.name},
        });
        let (api, reference) = self.api(&object)?;
        check(&reference, found, owner)?;
        self.wait(&reference).await;
        let preconditions = Preconditions { uid: found.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        let error = match api.delete(&reference.name, &params).await {
            Ok(_) => None,
            Err(error) => {
                Some(error).filter(|error| !matches!(Failure::of(error), Failure::Gone | Failure::Conflict))
            }
        };
        match error {
            None => {
                self.metrics.applied(&reference.kind);
                self.forget(&reference);
                Ok(())
            }
            Some(error) => Err(self.refused(reference, error)),
        }
    }

    /// Forgets what is known of an object that is not wanted any more.
    pub fn forget(&self, object: &ObjectRef) {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }

    fn applied(
        &self,
        owner: &Owner,
        reference: ObjectRef,
        result: Result<DynamicObject, kube::Error>,
    ) -> Result<DynamicObject, ApplyError> {
        match result {
            Ok(object) => {
                self.metrics.applied(&reference.kind);
                self.known(&reference, |known| {
                    known.pace.succeeded(Instant::now());
                    known.uid = object.metadata.uid.clone().map(|uid| (owner.clone(), uid));
                });
                Ok(object)
            }
            Err(error) => Err(self.refused(reference, error)),
        }
    }

    fn refused(&self, object: ObjectRef, error: kube::Error) -> ApplyError {
        let failure = Failure::of(&error);
        self.metrics.failed(failure);
        self.known(&object, |known| known.failed(failure));
        ApplyError::Refused { object, failure, error: Box::new(error) }
    }

    async fn wait(&self, object: &ObjectRef) {
        if let Some(next) = self.known(object, |known| known.pace.next()) {
            tokio::time::sleep_until(next.into()).await;
        }
    }

    fn known<T>(&self, object: &ObjectRef, look: impl FnOnce(&mut Known) -> T) -> T {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        look(objects.entry(object.clone()).or_default())
    }

    /// The address of an object, and its name in messages.
    fn api(&self, object: &Value) -> Result<(Api<DynamicObject>, ObjectRef), ApplyError> {
        let object: DynamicObject = serde_json::from_value(object.clone())
            .map_err(|error| ApplyError::NotAnObject(error.to_string()))?;
        let (Some(types), Some(name)) = (object.types, object.metadata.name) else {
            return Err(ApplyError::NotAnObject("apiVersion, kind or metadata.name is missing".to_owned()));
        };
        let kind =
            GroupVersionKind::try_from(&types).map_err(|error| ApplyError::NotAnObject(error.to_string()))?;
        let resource = ApiResource::from_gvk(&kind);
        let namespace = object.metadata.namespace;
        let api = match &namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        Ok((api, ObjectRef { kind: kind.kind, namespace, name }))
    }
}

impl Known {
    /// After a failure, whether the object is still ours has to be looked at again.
    fn failed(&mut self, failure: Failure) {
        self.pace.failed(Instant::now(), failure, jitter());
        self.uid = None;
    }
}

/// Server-side apply. With `uid`, of exactly that object: an API server refuses it (409) for any other, and where
/// there is none.
async fn send(
    api: &Api<DynamicObject>,
    object: &Value,
    name: &str,
    uid: Option<&str>,
) -> Result<DynamicObject, kube::Error> {
    let mut object = object.clone();
    if let Some(uid) = uid {
        object["metadata"]["uid"] = uid.into();
    }
    api.patch(name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&object)).await
}

/// Ours is what carries our label and belongs to this very Gateway.
fn check(object: &ObjectRef, found: &ObjectMeta, owner: &Owner) -> Result<(), ApplyError> {
    let not_ours = |why: String| ApplyError::NotOurs { object: object.clone(), why };
    let label = found.labels.as_ref().and_then(|labels| labels.get(MANAGED_BY));
    if label.is_none_or(|value| value != GATEWASM) {
        return Err(not_ours(format!("has no label {MANAGED_BY}: {GATEWASM}")));
    }
    let owners = found.owner_references.as_deref().unwrap_or_default();
    if owners.iter().any(|of| of.uid == owner.uid) {
        Ok(())
    } else if owners.iter().any(|of| of.kind == "Gateway" && of.name == owner.gateway.name) {
        Err(ApplyError::LeftOver { object: object.clone() })
    } else {
        Err(not_ours(format!("has no ownerReference to Gateway {}", owner.gateway)))
    }
}

#[cfg(test)]
mod tests;
