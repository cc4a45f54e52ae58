//! Leading, by a Lease in the controller's namespace: waiting for one's turn, renewing, giving it back. Who may take
//! it is `election`'s to say, and what a leader does is decided elsewhere.

use std::time::Instant;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};

use super::apply::FIELD_MANAGER;
use super::election::{Candidate, Timing, Turn};
use super::failure::Failure;
use super::pace::jitter;
use crate::object::ObjectKey;

/// Leading. When this is dropped the Lease is neither renewed nor given back.
#[derive(Debug)]
pub struct Leadership {
    /// Until when; closed when it is over.
    until: watch::Receiver<Instant>,
    give_back: Option<oneshot::Sender<()>>,
    renewal: JoinHandle<()>,
}

/// Waits until this process leads by the Lease `key`. `name` is for people: the pod's.
pub async fn acquire(client: Client, key: &ObjectKey, name: &str, timing: Timing) -> Leadership {
    // A process that starts anew under the same name is another one.
    let identity = format!("{name}_{:08x}", getrandom::u32().unwrap_or_else(|_| std::process::id()));
    let mut holder = Holder {
        api: Api::namespaced(client, &key.namespace),
        name: key.name.clone(),
        candidate: Candidate::new(identity, timing),
        timing,
    };
    let mut waits = false;
    loop {
        let begin = Instant::now();
        match timeout(timing.deadline / 2, holder.attempt()).await {
            Ok(Ok(Some(lease))) => {
                tracing::info!(kind = "Lease", namespace = key.namespace, name = key.name, "leading");
                return holder.lead(lease, begin + timing.deadline);
            }
            Ok(Ok(None)) if waits => {}
            Ok(Ok(None)) => {
                waits = true;
                tracing::info!(
                    kind = "Lease",
                    namespace = key.namespace,
                    name = key.name,
                    "another replica leads"
                );
            }
            Ok(Err(error)) => {
                tracing::warn!(kind = "Lease", namespace = key.namespace, name = key.name, %error, "not leading");
            }
            Err(_) => {
                tracing::warn!(
                    kind = "Lease",
                    namespace = key.namespace,
                    name = key.name,
                    "no answer, not leading"
                );
            }
        }
        sleep(timing.retry.mul_f64(1.0 + jitter() / 5.0)).await;
    }
}

impl Leadership {
    /// Whether this process leads now. A check before a write costs nothing.
    pub fn holds(&self) -> bool {
        self.until.has_changed().is_ok() && Instant::now() < *self.until.borrow()
    }

    /// Waits until it is over, which is before any other process may lead: whoever called this stops writing at once.
    pub async fn lost(&mut self) {
        loop {
            let until = *self.until.borrow_and_update();
            tokio::select! {
                () = sleep_until(until.into()) => return,
                changed = self.until.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Gives the Lease back, so that another replica leads at once. Nothing may be written after this is called.
    pub async fn release(mut self) {
        if let Some(give_back) = self.give_back.take() {
            let _ = give_back.send(());
        }
        let _ = (&mut self.renewal).await;
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// A candidate with its Lease.
struct Holder {
    api: Api<Lease>,
    name: String,
    candidate: Candidate,
    timing: Timing,
}

impl Holder {
    /// Reads the Lease and takes or renews it; `None` where somebody else leads.
    async fn attempt(&mut self) -> Result<Option<Lease>, kube::Error> {
        let found = self.api.get_opt(&self.name).await?;
        let spec = found.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
        let Turn::Take(spec) = self.candidate.turn(spec.as_ref(), Instant::now(), Timestamp::now()) else {
            return Ok(None);
        };
        let written = match found {
            Some(found) => self.write(Lease { spec: Some(*spec), ..found }).await,
            None => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                let lease = Lease { metadata, spec: Some(*spec) };
                self.api.create(&params(), &lease).await
            }
        };
        match written {
            // Another one was faster.
            Err(error) if Failure::of(&error) == Failure::Conflict => Ok(None),
            written => written.map(Some),
        }
    }

    /// The API server takes it only for the version that was read.
    async fn write(&self, lease: Lease) -> Result<Lease, kube::Error> {
        self.api.replace(&self.name, &params(), &lease).await
    }

    /// Renews from now on.
    fn lead(self, lease: Lease, until: Instant) -> Leadership {
        let (sender, receiver) = watch::channel(until);
        let (give_back, asked) = oneshot::channel();
        let renewal = tokio::spawn(self.renew(lease, sender, asked));
        Leadership { until: receiver, give_back: Some(give_back), renewal }
    }

    /// Renews until the Lease is another's, the deadline is over, or it is to be given back.
    async fn renew(
        mut self,
        mut lease: Lease,
        until: watch::Sender<Instant>,
        mut give_back: oneshot::Receiver<()>,
    ) {
        let mut pause = self.timing.renewal;
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                _ = &mut give_back => {
                    drop(until);
                    return self.release(lease).await;
                }
            }
            let begin = Instant::now();
            let deadline = *until.borrow();
            // Half of what there is at most, so that a request without an answer is not the last one.
            let limit = deadline.min(begin + self.timing.deadline / 2);
            let renewed = tokio::select! {
                renewed = timeout_at(limit.into(), self.renewed(&lease)) => renewed,
                _ = &mut give_back => {
                    drop(until);
                    return self.release(lease).await;
                }
            };
            match renewed {
                Ok(Ok(Some(renewed))) => {
                    lease = renewed;
                    let _ = until.send(begin + self.timing.deadline);
                    pause = self.timing.renewal;
                    continue;
                }
                Ok(Ok(None)) => {
                    tracing::error!(kind = "Lease", name = self.name, "another replica leads");
                    return;
                }
                Ok(Err(error)) => tracing::warn!(kind = "Lease", name = self.name, %error, "not renewed"),
                Err(_) => tracing::warn!(kind = "Lease", name = self.name, "no answer, not renewed"),
            }
            if Instant::now() >= deadline {
                tracing::error!(kind = "Lease", name = self.name, "could not be renewed in time");
                return;
            }
            pause = self.timing.retry.min(deadline.saturating_duration_since(Instant::now()));
        }
    }

    /// Renews without reading first; after a conflict, or where the Lease is gone, looks whose it is.
    async fn renewed(&mut self, lease: &Lease) -> Result<Option<Lease>, kube::Error> {
        let spec = lease.spec.clone().unwrap_or_default();
        let next = Lease { spec: Some(Candidate::renewed(&spec, Timestamp::now())), ..lease.clone() };
        match self.write(next).await {
            Err(error) if matches!(Failure::of(&error), Failure::Conflict | Failure::Gone) => {
                let renewed = self.attempt().await?;
                Ok(renewed.filter(|lease| lease.spec.as_ref().is_some_and(|spec| self.candidate.holds(spec))))
            }
            written => written.map(Some),
        }
    }

    async fn release(&self, lease: Lease) {
        match timeout(self.timing.retry, self.given_back(lease)).await {
            Ok(Ok(())) => tracing::info!(kind = "Lease", name = self.name, "given back"),
            Ok(Err(error)) => tracing::warn!(kind = "Lease", name = self.name, %error, "not given back"),
            Err(_) => tracing::warn!(kind = "Lease", name = self.name, "no answer, not given back"),
        }
    }

    async fn given_back(&self, lease: Lease) -> Result<(), kube::Error> {
        let released = |lease: Lease| {
            let spec = lease.spec.clone().unwrap_or_default();
            Lease { spec: Some(Candidate::released(&spec, Timestamp::now())), ..lease }
        };
        match self.write(released(lease)).await {
            // A renewal that was cut short may have arrived.
            Err(error) if Failure::of(&error) == Failure::Conflict => {}
            written => return written.map(drop),
        }
        let ours = |lease: &Lease| lease.spec.as_ref().is_some_and(|spec| self.candidate.holds(spec));
        match self.api.get_opt(&self.name).await?.filter(ours) {
            Some(lease) => self.write(released(lease)).await.map(drop),
            None => Ok(()),
        }
    }
}

fn params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

#[cfg(test)]
mod tests;
