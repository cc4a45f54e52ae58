//! The state of the cluster, shared: written by the watches, read by whoever acts on it, who is woken when it changes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::crds::Crds;
use super::document::Held;
use super::own::Own;
use super::pods::Pod;
use super::state::{Revisions, State};
use crate::object::{ObjectKey, ObjectRef};
use crate::snapshot::Snapshot;

/// What is known of the cluster. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Store(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<Revisions>,
}

/// The state at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What is translated.
    pub snapshot: Arc<Snapshot>,
    /// GatewayClasses, Gateways and routes, as far as it is needed to write their status.
    pub held: Arc<BTreeMap<ObjectRef, Arc<Held>>>,
    /// Pods of data planes.
    pub pods: Arc<BTreeMap<ObjectKey, Pod>>,
    /// Objects that gatewasm made.
    pub own: Arc<BTreeMap<ObjectRef, Own>>,
    /// CRDs of the Gateway API.
    pub crds: Arc<Crds>,
    /// Tells what has changed since another view.
    pub revisions: Revisions,
    /// Whether everything that is needed has been listed. Where it has not, objects are missing that exist, and
    /// nothing may be concluded from their absence. That is so at the start, and for a moment when a CRD is installed
    /// or a Gateway refers to another Secret.
    pub is_complete: bool,
}

impl Store {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The state now. Cheap: nothing is copied.
    pub fn view(&self) -> View {
        let state = self.lock();
        View {
            snapshot: state.snapshot.clone(),
            held: state.held.clone(),
            pods: state.pods.clone(),
            own: state.own.clone(),
            crds: state.crds.clone(),
            revisions: state.revisions,
            is_complete: state.is_complete(),
        }
    }

    /// Wakes whenever something has changed.
    pub fn changes(&self) -> watch::Receiver<Revisions> {
        self.0.changes.subscribe()
    }

    /// Waits until everything that is needed has been listed.
    pub async fn complete(&self) {
        let mut changes = self.changes();
        while !self.view().is_complete {
            // The sender is this store's.
            let _ = changes.changed().await;
        }
    }

    /// What has not been listed yet, and why, where that is known: for readiness. Empty where everything has.
    pub fn missing(&self) -> Vec<String> {
        self.lock().missing()
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.lock())
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        let revisions = state.revisions;
        // Under the lock, so that nobody sees an older revision after a newer one.
        self.0.changes.send_if_modified(|sent| std::mem::replace(sent, revisions) != revisions);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
