//! What the commands that do not serve work on: manifests, or a filter config as it stands.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use gatewasm_routing::config::FilterConfig;
use gatewasm_routing::{ConfigProblem, RouteTable, compile, parse};
use serde_json::Value;

use crate::cluster;
use crate::model::Model;
use crate::problem::{Place, Problem, Severity};
use crate::snapshot::Snapshot;
use crate::source;
use crate::translate::{self, BackendOverride, Translation};

/// Arguments that say what to work on.
#[derive(Debug, clap::Args)]
pub(super) struct Inputs {
    /// Manifests: files, folders (not their subfolders), or - for standard input. Also a filter config: as JSON, or
    /// as the file from which Envoy reads it. Without any, the cluster of the current kubeconfig.
    #[arg(short, long = "filename", value_name = "PATH", num_args = 1..)]
    pub(super) filename: Vec<PathBuf>,

    #[command(flatten)]
    pub(super) backends: Backends,
}

/// Endpoints that manifests without EndpointSlices leave open.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Backends {
    /// Endpoint of a Service, in place of EndpointSlices, repeatable: namespace/service[:port]=host:port.
    #[arg(long = "backend", value_name = "SERVICE=ADDRESS")]
    pub(super) backends: Vec<BackendOverride>,
}

/// What the inputs came to.
pub(super) enum Read {
    /// Objects of manifests or of a cluster, translated.
    Manifests {
        /// The objects that were taken.
        snapshot: Box<Snapshot>,
        /// What they mean, with the problems of reading them among its problems.
        translation: Box<Translation>,
    },
    /// A filter config.
    FilterConfig {
        /// The file.
        path: String,
        /// The config, or everything that is wrong with it.
        config: Result<FilterConfig, Vec<ConfigProblem>>,
    },
}

impl Inputs {
    /// Reads everything.
    ///
    /// # Errors
    ///
    /// When there is nothing to read at one of the paths: what is not looked at has no problems, and saying so would
    /// mislead.
    pub(super) fn read(&self) -> Result<Read> {
        if self.filename.is_empty() {
            return self.read_cluster();
        }
        for path in self.filename.iter().filter(|path| path.as_os_str() != "-") {
            std::fs::metadata(path).with_context(|| format!("read {}", path.display()))?;
        }
        let texts = source::Reader::new(self.filename.clone()).read();
        for folder in self.filename.iter().filter(|path| path.is_dir()) {
            ensure!(
                texts.iter().any(|input| Path::new(&input.path).starts_with(folder)),
                "{} has no file *.yaml, *.yml or *.json; its subfolders are not read",
                folder.display()
            );
        }
        if let [input] = texts.as_slice()
            && let Ok(text) = &input.text
            && let Some(json) = filter_config(text)
        {
            let config = parse(json.as_bytes()).map_err(|problem| vec![problem]).and_then(|config| {
                compile(&config)?;
                Ok(config)
            });
            return Ok(Read::FilterConfig { path: input.path.clone(), config });
        }
        let loaded = source::Source::default().update(&texts);
        ensure!(
            !loaded.snapshot.is_empty() || !loaded.problems.is_empty(),
            "there is no object in {}",
            texts.iter().map(|input| input.path.as_str()).collect::<Vec<_>>().join(", ")
        );
        let backends = self.backends.backends.clone();
        let options = translate::Options { backends, local: true, ..translate::Options::default() };
        let mut translation = translate::translate(&loaded.snapshot, &options);
        translation.problems.extend(loaded.problems);
        translation.problems.sort();
        Ok(Read::Manifests { snapshot: Box::new(loaded.snapshot), translation: Box::new(translation) })
    }

    /// Reads the cluster of the current kubeconfig.
    fn read_cluster(&self) -> Result<Read> {
        ensure!(self.backends.backends.is_empty(), "--backend is for manifests; name them with -f");
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let snapshot = runtime.block_on(cluster::read())?;
        let translation = translate::translate(&snapshot, &translate::Options::default());
        Ok(Read::Manifests { snapshot: Box::new(snapshot), translation: Box::new(translation) })
    }

    /// What is programmed, and the table of its filter config. Of inputs that are a filter config nothing else is known.
    /// Problems of the manifests are printed to stderr: they do not keep what is sound from
    /// being shown.
    ///
    /// # Errors
    ///
    /// When there is nothing to read, or the filter would refuse the config.
    pub(super) fn table(&self) -> Result<(Model, RouteTable)> {
        let model = match self.read()? {
            Read::Manifests { snapshot, translation } => {
                if !translation.problems.is_empty() {
                    eprint!("{}", crate::problem::print(&translation.problems, snapshot.len()));
                }
                translation.model
            }
            Read::FilterConfig { path, config } => {
                let filter_config = config.map_err(|problems| refused(&path, &problems))?;
                Model { filter_config, ..Model::default() }
            }
        };
        match compile(&model.filter_config) {
            Ok(table) => Ok((model, table)),
            Err(problems) => bail!(refused("the translated filter config", &problems)),
        }
    }
}

/// A filter config's problems in the form of all problems.
pub(super) fn problems_of(path: &str, problems: &[ConfigProblem]) -> Vec<Problem> {
    problems
        .iter()
        .map(|problem| Problem {
            place: Place::File { path: path.to_owned(), line: None },
            field: problem.path.clone(),
            severity: Severity::Error,
            reason: "InvalidFilterConfig".to_owned(),
            message: problem.message.clone(),
        })
        .collect()
}

pub(super) fn refused(path: &str, problems: &[ConfigProblem]) -> anyhow::Error {
    let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
    anyhow::anyhow!("{path} is refused:\n{}", all.join("\n"))
}

/// The filter config in a text that holds one: as plain JSON, or in the resource that Envoy reads from a file.
fn filter_config(text: &str) -> Option<Cow<'_, str>> {
    // What can be no such resource is not parsed for it.
    let in_resource = text.contains("TypedExtensionConfig").then(|| of_envoy(text)).flatten();
    in_resource.map(Cow::Owned).or_else(|| is_filter_config(text).then_some(Cow::Borrowed(text)))
}

/// The plugin configuration in an answer of Envoy's extension discovery (`envoy/routes.yaml`).
fn of_envoy(text: &str) -> Option<String> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_events: 1_000_000, max_nodes: 1_000_000 },
    };
    let answer: Value = serde_saphyr::from_str_with_options(text, options).ok()?;
    let mut resources = answer.get("resources")?.as_array()?.iter();
    let text = resources.find_map(|it| it.pointer("/typed_config/config/configuration/value")?.as_str())?;
    Some(text.to_owned())
}

/// A JSON object that is no Kubernetes object: those have a kind.
fn is_filter_config(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Kind {
        kind: Option<serde::de::IgnoredAny>,
    }
    text.trim_start().starts_with('{')
        && serde_json::from_str::<Kind>(text).map_or(true, |found| found.kind.is_none())
}
