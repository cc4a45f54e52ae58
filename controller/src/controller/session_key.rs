//! The key by which sessions are sealed, in a Secret of the controller's, so that sessions outlive it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest as _, Sha256};

use crate::object::ObjectKey;

const NAME: &str = "gatewasm-session-key";
const FIELD: &str = "key";

/// The controller's key.
#[derive(Clone)]
pub(super) struct SessionKey(Vec<u8>);

impl SessionKey {
    /// Reads the Secret, or makes it.
    pub(super) async fn of(client: Client, namespace: &str) -> Result<Self> {
        let api: Api<Secret> = Api::namespaced(client, namespace);
        loop {
            let found = api.get_opt(NAME).await.context("read the Secret with the key of sessions")?;
            if let Some(key) = found.and_then(|secret| secret.data?.remove(FIELD)) {
                return Ok(Self(key.0));
            }
            let mut key = vec![0; 32];
            getrandom::fill(&mut key).context("draw a key for sessions")?;
            let secret = Secret {
                metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() },
                data: Some(BTreeMap::from([(FIELD.to_owned(), ByteString(key))])),
                ..Secret::default()
            };
            match api.create(&PostParams::default(), &secret).await {
                Ok(_) => {}
                // Another replica was faster.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(error).context("keep the key of sessions in a Secret"),
            }
        }
    }

    /// The key of one Gateway: who knows it knows no other's.
    pub(super) fn of_gateway(&self, gateway: &ObjectKey) -> String {
        let mut digest = Sha256::new();
        digest.update(&self.0);
        digest.update(gateway.to_string());
        BASE64_STANDARD.encode(digest.finalize())
    }
}
