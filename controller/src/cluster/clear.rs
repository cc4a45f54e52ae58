//! A Gateway that is another controller's now: what was made for it here is deleted, as if it had been deleted itself.
//! Its status is its new controller's.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::apply::Owner;
use super::deliver::{Tools, found_as};
use crate::object::ObjectRef;

/// After a failure. Each object has a pace of its own beside that.
const RETRY: Duration = Duration::from_millis(500);

/// The task. It ends with this.
#[derive(Debug)]
pub(crate) struct Clearance(AbortHandle);

impl Clearance {
    /// Deletes what belongs to `owner`, until this is dropped.
    pub(crate) fn start(owner: Owner, tools: Tools) -> Self {
        Self(tokio::spawn(clear(owner, tools)).abort_handle())
    }
}

impl Drop for Clearance {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn clear(owner: Owner, tools: Tools) {
    let (namespace, name) = (&owner.gateway.namespace, &owner.gateway.name);
    tracing::info!(kind = "Gateway", namespace, name, "another controller's now; its data plane is deleted");
    let mut changes = tools.store.changes();
    let mut deleted: BTreeSet<(ObjectRef, String)> = BTreeSet::new();
    loop {
        changes.mark_unchanged();
        let view = tools.store.view();
        let mut failed = false;
        for (object, own) in view.own.iter().filter(|(_, own)| own.owner.as_ref() == Some(&owner.uid)) {
            // The watch may be behind.
            if deleted.contains(&(object.clone(), own.uid.clone())) {
                continue;
            }
            let (types, metadata) = found_as(object, own, &owner);
            match tools.applier.delete(&owner, &types, &metadata).await {
                Ok(()) => drop(deleted.insert((object.clone(), own.uid.clone()))),
                Err(error) => {
                    failed = true;
                    tracing::warn!(kind = "Gateway", namespace, name, %error, "left over");
                }
            }
        }
        drop(view);
        if failed {
            sleep(RETRY).await;
        } else if changes.changed().await.is_err() {
            return;
        }
    }
}
