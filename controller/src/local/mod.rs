//! `gatewasm run`: a working gateway on this machine, out of manifests. Files are the source, an agent in this process
//! is the delivery; everything between is what a cluster would run.

pub mod bindings;
pub mod changes;
mod folder;
mod ready_file;
pub mod report;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use crate::envoy::admin::Admin;
use crate::envoy::find::Places;
use crate::envoy::process::Launch;
use crate::envoy::supervisor::{Event, Supervisor};
use crate::fault::Fault;
use crate::model::Model;
use crate::object::ObjectRef;
use crate::problem::{Problem, Severity};
use crate::render::extension::accepted;
use crate::render::{Bindings, ConfigSource, Resources, Settings, render};
use crate::snapshot::Snapshot;
use crate::source::{Reader, Source};
use crate::translate::{self, BackendOverride, translate};
use crate::watch::Watch;
use crate::xds::agent::{Agent, Outcome, State};
use crate::xds::kind::Kind;
use folder::Folder;
use ready_file::ReadyFile;
use report::{LogFormat, Report, served};

/// Envoy has this long to bring a change into effect before it is called late.
const APPLY_LIMIT: Duration = Duration::from_secs(20);

/// What could not be done, because a port was in use or Envoy was late, is tried again after this time.
const RETRY: Duration = Duration::from_secs(2);

/// Signals that follow each other faster are one wish to end.
const SAME_WISH: Duration = Duration::from_secs(1);

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Manifests: files, folders, `-`.
    pub paths: Vec<PathBuf>,
    /// Endpoints of Services, named by hand.
    pub backends: Vec<BackendOverride>,
    /// Envoy, where it was named.
    pub envoy: Option<PathBuf>,
    /// Envoy's worker threads.
    pub workers: usize,
    /// How far a port that may not be bound is moved up.
    pub port_offset: u16,
    /// Whether Envoy writes a line per request to standard output.
    pub access_log: bool,
    /// Written when everything is in effect, and removed at the end.
    pub ready_file: Option<PathBuf>,
    /// How long requests under way may take after the end was asked for.
    pub drain_limit: Duration,
    /// Form of what is told.
    pub log_format: LogFormat,
}

/// Serves until SIGTERM or SIGINT, then drains.
///
/// # Errors
///
/// When there is nothing to read, no Envoy to run, or Envoy ends before it has served anything.
pub async fn run(options: Options) -> Result<()> {
    for path in options.paths.iter().filter(|path| path.as_os_str() != "-") {
        std::fs::metadata(path).with_context(|| format!("read {}", path.display()))?;
    }
    let mut ready_file = options.ready_file.as_deref().map(ReadyFile::new).transpose()?;
    let binary = Places::of_environment(options.envoy.clone()).find()?;
    raise_file_limit();
    // Standard input is read to its end here, and may keep us waiting. From then on there is something to clean up.
    let mut reader = Reader::new(options.paths.clone());
    reader.read();
    let mut stop = Stop::new()?;

    let mut report = Report::new(options.log_format);
    report.started(&binary.path, binary.version, options.workers);
    let folder = Folder::new()?;
    let target = folder.target(options.workers);
    let settings = Settings {
        bindings: Bindings::new(),
        source: ConfigSource::Ads,
        filter_path: folder.filter(),
        access_log: options.access_log,
    };
    let bootstrap = folder.bootstrap(&settings, &target)?;
    let mut agent = Agent::start(&target)?;
    let mut watch = watch(&options.paths, &report);
    let launch = Launch { binary: binary.path, bootstrap, workers: options.workers };
    let mut envoy = Supervisor::start(launch, Admin::new(&target.admin)).await?;

    let mut gateway = Gateway::new(reader, &options, settings, session_key()?);
    let mut was_live = false;
    loop {
        // 1. From the files to Envoy.
        let pass = gateway.read();
        let begin = Instant::now();
        let mut rejected = Vec::new();
        if let Some(resources) = &pass.resources {
            let apply = agent.apply(resources, APPLY_LIMIT);
            tokio::pin!(apply);
            let outcome = loop {
                tokio::select! {
                    outcome = &mut apply => break Some(outcome),
                    event = envoy.next() => {
                        report.envoy(&event);
                        if let (Event::Ended(status, _), false) = (event, was_live) {
                            bail!("Envoy ended ({status}) before it served anything; its log is above");
                        }
                    }
                    () = stop.asked() => break None,
                }
            };
            let Some(outcome) = outcome else { break };
            let outcome = outcome.unwrap_or_else(|error| {
                rejected
                    .push(unservable(&format!("{error:#}; this is a fault of gatewasm, please report it")));
                Outcome::unchanged()
            });
            rejected.extend(rejections(&gateway.model, &outcome));
            gateway.retry |= matches!(outcome.state, State::Late(_));
            let first = !was_live;
            was_live |= outcome.state == State::Live;
            let listeners = served(&gateway.model, &gateway.settings.bindings);
            report.addresses(listeners.clone());
            if first && gateway.model.gateways.is_empty() {
                report.nothing_to_serve();
            }
            let took = begin.elapsed() + pass.took;
            if first && was_live {
                if !listeners.is_empty() {
                    report.ready(took);
                }
            } else if !pass.changes.is_empty() || outcome.state != State::Unchanged {
                report.outcome(&pass.changes, &outcome, took);
            }
            if let (true, Some(file)) = (was_live, &mut ready_file) {
                file.write(&listeners)?;
            }
        }
        let problems: Vec<Problem> = pass.problems.into_iter().chain(rejected).collect();
        report.problems(&problems, pass.objects);

        // 2. Until something happens that calls for another look at the files.
        let retry = sleep(if gateway.retry { RETRY } else { Duration::MAX });
        tokio::pin!(retry);
        let again = loop {
            let sweep = agent.next_sweep().unwrap_or_else(|| Instant::now() + Duration::from_secs(3600));
            tokio::select! {
                () = watch.changed() => break true,
                () = &mut retry => break true,
                () = sleep_until(sweep) => agent.sweep(),
                event = envoy.next() => report.envoy(&event),
                () = stop.asked() => break false,
            }
        };
        if !again {
            break;
        }
    }

    // 3. The end: whoever waits for the ready file must not take us for ready any more.
    drop(ready_file);
    report.say("draining", "draining; once more to end at once");
    tokio::select! {
        done = envoy.drain(options.drain_limit) => if !done {
            report.say("cut", "requests were under way until the limit; they were cut");
        },
        () = stop.asked_again() => report.say("cut", "ended at once"),
    }
    Ok(())
}

/// What is served at present, and what the next is made from.
struct Gateway {
    reader: Reader,
    source: Source,
    options: translate::Options,
    port_offset: u16,
    settings: Settings,
    snapshot: Snapshot,
    model: Model,
    /// Whether something may turn out better without a change of files.
    retry: bool,
}

/// One way from the files to resources.
struct Pass {
    changes: Vec<changes::Change>,
    problems: Vec<Problem>,
    objects: usize,
    /// Nothing where the filter would refuse its configuration: then the last good one stays.
    resources: Option<Resources>,
    took: Duration,
}

/// A key by which sessions are sealed, another one in each run: those of an earlier run begin anew.
fn session_key() -> Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("draw a key for sessions")?;
    Ok(BASE64_STANDARD.encode(bytes))
}

impl Gateway {
    fn new(reader: Reader, options: &Options, settings: Settings, session_key: String) -> Self {
        let translation = translate::Options {
            backends: options.backends.clone(),
            local: true,
            access_log: options.access_log,
            session_key: Some(session_key),
            reserved_ports: None,
        };
        let model = translate(&Snapshot::default(), &translation).model;
        Self {
            reader,
            source: Source::default(),
            options: translation,
            port_offset: options.port_offset,
            settings,
            snapshot: Snapshot::default(),
            model,
            retry: false,
        }
    }

    fn read(&mut self) -> Pass {
        let begin = Instant::now();
        let loaded = self.source.update(&self.reader.read());
        let changes = changes::between(&self.snapshot, &loaded.snapshot);
        self.snapshot = loaded.snapshot;
        let translation = translate(&self.snapshot, &self.options);
        let mut problems = loaded.problems;
        problems.extend(translation.problems);
        let objects = self.snapshot.len();
        if let Err(refused) = accepted(&translation.model, &self.settings) {
            problems.extend(refused.iter().map(|it| unservable(&it.to_string())));
            return Pass { changes, problems, objects, resources: None, took: begin.elapsed() };
        }
        let plan =
            bindings::plan(&translation.model, &self.settings.bindings, self.port_offset, bindings::can_bind);
        self.retry = !plan.problems.is_empty();
        problems.extend(plan.problems);
        self.model = translation.model;
        self.settings.bindings = plan.bindings;
        let resources = Some(render(&self.model, &self.settings));
        Pass { changes, problems, objects, resources, took: begin.elapsed() }
    }
}

/// What was translated cannot be published: it is too large for the filter, or is no message of Envoy's.
fn unservable(message: &str) -> Problem {
    let message = format!("The last good configuration stays: {message}.");
    Fault::new("", "Refused", message)
        .problem(&ObjectRef::cluster("FilterConfig", "gatewasm"), Severity::Error)
}

/// Envoy's refusals as problems of the Gateways that they name, or of all where they name none.
fn rejections(model: &Model, outcome: &Outcome) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (kind, message) in &outcome.refusals {
        tracing::error!(%kind, message, "Envoy refused a change");
        let named = |key: &&crate::object::ObjectKey| message.contains(&format!("{key}:"));
        let mut gateways: Vec<_> = model.gateways.keys().filter(named).collect();
        if gateways.is_empty() || *kind != Kind::Listener {
            gateways = model.gateways.keys().collect();
        }
        let text = format!("Envoy refused the {kind}, and what it had stays in effect: {message}");
        let fault = Fault::new("", "RefusedByEnvoy", text);
        let object = |key| ObjectRef::namespaced("Gateway", key);
        problems.extend(gateways.into_iter().map(|key| fault.problem(&object(key), Severity::Error)));
    }
    problems
}

/// Without the right to watch (too many watches on this machine), the gateway serves what it has read.
fn watch(paths: &[PathBuf], report: &Report) -> Watch {
    Watch::new(paths).unwrap_or_else(|error| {
        report.say("not_following", &format!("changes of the manifests are not followed: {error:#}"));
        Watch::none()
    })
}

/// Each connection takes a file descriptor, in Envoy two; the soft limit of shells is often 1,024. Envoy inherits ours.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// The wish to end.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Stop {
    fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM, SIGINT, or the end of the terminal. May be cancelled at any time.
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }

    /// Waits for a second wish to end. What comes at once after the first is the same one: a terminal and a wrapper
    /// such as `timeout` both send it.
    async fn asked_again(&mut self) {
        let first = Instant::now();
        loop {
            self.asked().await;
            if first.elapsed() > SAME_WISH {
                return;
            }
        }
    }
}
