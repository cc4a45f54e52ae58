//! Asking the agents of all data planes what they have in effect: one question at a time to each pod, which its agent
//! answers when there is news. Nothing is written to the API server for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::agent::Answer;
use crate::object::ObjectKey;

/// An agent answers a question within 30 s, news or not.
const ANSWER_LIMIT: Duration = Duration::from_secs(40);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Between two questions to an agent that did not answer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// More is no answer of an agent's.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// A pod by its key and where its agent answers: one that gets another address is another one to ask.
type Asked = (ObjectKey, SocketAddr);

/// The agents that are asked.
#[derive(Debug)]
pub(crate) struct Agents {
    answers: Arc<Mutex<BTreeMap<Asked, Answer>>>,
    tasks: BTreeMap<Asked, AbortHandle>,
    news: watch::Sender<()>,
}

impl Agents {
    pub(crate) fn new() -> Self {
        Self { answers: Arc::default(), tasks: BTreeMap::new(), news: watch::Sender::new(()) }
    }

    /// Notices when any answer is another one than before.
    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Asks these pods, and no others any more.
    pub(crate) fn ask(&mut self, pods: &BTreeSet<Asked>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        self.tasks.retain(|pod, task| {
            let stays = pods.contains(pod);
            if !stays {
                task.abort();
                answers.remove(pod);
            }
            stays
        });
        for pod in pods {
            self.tasks.entry(pod.clone()).or_insert_with(|| {
                let (pod, answers, news) = (pod.clone(), Arc::clone(&self.answers), self.news.clone());
                tokio::spawn(follow(pod, answers, news)).abort_handle()
            });
        }
    }

    /// What the agent of a pod said last.
    pub(crate) fn answer(&self, pod: &Asked) -> Option<Answer> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(pod).cloned()
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

/// Asks one agent again and again.
async fn follow(pod: Asked, answers: Arc<Mutex<BTreeMap<Asked, Answer>>>, news: watch::Sender<()>) {
    let address = pod.1;
    let (mut known, mut pause) = (None, FIRST_PAUSE);
    let mut connection = None;
    loop {
        match ask(address, &mut connection, known.as_ref()).await {
            Ok(answer) => {
                pause = FIRST_PAUSE;
                // One that is not wholly in effect is answered at once, each time.
                let settled = answer.in_effect.as_ref().is_some_and(|bundle| bundle.late.is_none());
                if known.as_ref() != Some(&answer) {
                    let mut answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
                    answers.insert(pod.clone(), answer.clone());
                    drop(answers);
                    news.send_replace(());
                }
                known = Some(answer);
                if settled {
                    continue;
                }
            }
            Err(error) => {
                connection = None;
                tracing::debug!(pod = %pod.0, error = format!("{error:#}"), "an agent does not answer");
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One question.
async fn ask(
    address: SocketAddr,
    connection: &mut Option<SendRequest<Empty<Bytes>>>,
    known: Option<&Answer>,
) -> Result<Answer> {
    let sender = match connection {
        Some(sender) => sender,
        None => {
            let stream = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await??;
            let (sender, task) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(task);
            connection.insert(sender)
        }
    };
    let uri = match known.and_then(|answer| answer.in_effect.as_ref()) {
        Some(bundle) => format!("/bundle?known={}&counter={}", bundle.hash, bundle.counter),
        None => "/bundle".to_owned(),
    };
    let request = Request::builder().uri(uri).header("host", address.to_string()).body(Empty::new())?;
    let answer = timeout(ANSWER_LIMIT, async {
        let answer = sender.send_request(request).await?;
        ensure!(answer.status() == 200, "status {}", answer.status());
        let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
        anyhow::Ok(body.map_err(|error| anyhow::anyhow!(error))?.to_bytes())
    });
    serde_json::from_slice(&answer.await??).context("read the answer")
}
