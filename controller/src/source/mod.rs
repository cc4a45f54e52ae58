//! Manifests into a [`Snapshot`]: what `kubectl apply` and the API server would do with them, without a cluster.
//!
//! Everything but [`Reader`] is pure. A fault costs as little as possible: a document that does not parse costs
//! itself, an object that is refused costs itself, and both leave in effect what was read before ([`Source`]).

mod documents;
mod files;
pub(crate) mod manifest;
mod validate;

use std::collections::BTreeMap;
use std::path::Path;

use crate::fault::Fault;
use crate::object::ObjectRef;
use crate::problem::{Place, Problem, Severity};
use crate::snapshot::Snapshot;
use manifest::{Manifest, Read};

pub use files::Reader;

/// The text of one file, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Path as given or found; `-` for standard input.
    pub path: String,
    /// The text, or the reason why it could not be read.
    pub text: Result<String, String>,
}

/// What came of reading manifests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Every object that was taken.
    pub snapshot: Snapshot,
    /// Everything that is wrong with the manifests, sorted.
    pub problems: Vec<Problem>,
}

/// Manifests that are read again and again, with the last good version of each object.
///
/// As with `kubectl apply`, an object that is refused stays as it was; so does every object of a file that cannot be
/// read or parsed any more, or of a folder that cannot be read. An object that is gone from files that can be read is gone.
#[derive(Debug, Default)]
pub struct Source {
    files: BTreeMap<String, File>,
    good: BTreeMap<ObjectRef, Good>,
}

#[derive(Clone, Debug)]
struct Good {
    manifest: Manifest,
    path: String,
}

/// A file as read: kept, so that an unchanged file is not parsed again.
#[derive(Clone, Debug)]
struct File {
    text: Result<String, String>,
    objects: Vec<Item>,
    /// Whether some of it could not be parsed, so that objects may be missing.
    broken: bool,
    problems: Vec<Problem>,
}

#[derive(Clone, Debug)]
struct Item {
    object: ObjectRef,
    line: usize,
    manifest: Result<Manifest, Vec<Fault>>,
}

impl Source {
    /// Takes the present state of every file, in the order of the command line, and returns every object that is
    /// now in effect.
    pub fn update(&mut self, inputs: &[Input]) -> Loaded {
        let mut old = std::mem::take(&mut self.files);
        let files: Vec<(&str, File)> = inputs
            .iter()
            .map(|input| {
                let known = old.remove(&input.path).filter(|file| file.text == input.text);
                (input.path.as_str(), known.unwrap_or_else(|| read_file(input)))
            })
            .collect();
        let mut problems: Vec<Problem> = files.iter().flat_map(|(_, file)| file.problems.clone()).collect();
        let mut places: BTreeMap<ObjectRef, String> = BTreeMap::new();
        let mut objects: BTreeMap<ObjectRef, Good> = BTreeMap::new();
        for (path, file) in &files {
            for item in &file.objects {
                let place = format!("{path}:{}", item.line);
                if let Some(first) = places.insert(item.object.clone(), place.clone()) {
                    let message =
                        format!("The object is declared at {first} and at {place}; the last one counts.");
                    problems
                        .push(Fault::new("", "Duplicate", message).problem(&item.object, Severity::Error));
                }
                let known = self.good.get(&item.object);
                match item
                    .manifest
                    .clone()
                    .and_then(|manifest| manifest.after(known.map(|good| &good.manifest)))
                {
                    Ok(manifest) => {
                        let good = Good { manifest, path: (*path).to_owned() };
                        objects.insert(item.object.clone(), good);
                    }
                    Err(faults) => {
                        let kept = objects.contains_key(&item.object) || known.is_some();
                        if let Some(good) = known {
                            let good = Good { path: (*path).to_owned(), ..good.clone() };
                            objects.entry(item.object.clone()).or_insert(good);
                        }
                        problems.extend(faults.iter().map(|fault| refusal(&item.object, fault, kept)));
                    }
                }
            }
        }
        // A folder that cannot be read is an input as well, and stands for the files that were in it.
        let broken: Vec<&str> = files.iter().filter(|(_, file)| file.broken).map(|(path, _)| *path).collect();
        for (object, good) in &self.good {
            let in_broken = broken.iter().any(|path| Path::new(&good.path).starts_with(path));
            if in_broken && !places.contains_key(object) {
                objects.insert(object.clone(), good.clone());
            }
        }
        let mut snapshot = Snapshot::default();
        for (object, good) in &objects {
            good.manifest.clone().insert(object, &mut snapshot);
        }
        self.files = files.into_iter().map(|(path, file)| (path.to_owned(), file)).collect();
        self.good = objects;
        problems.sort();
        problems.dedup();
        Loaded { snapshot, problems }
    }
}

fn read_file(input: &Input) -> File {
    let mut file =
        File { text: input.text.clone(), objects: Vec::new(), broken: false, problems: Vec::new() };
    let in_file = |line: Option<usize>, reason: &str, message: String| Problem {
        place: Place::File { path: input.path.clone(), line },
        field: String::new(),
        severity: Severity::Error,
        reason: reason.to_owned(),
        message,
    };
    let text = match &input.text {
        Ok(text) => text,
        Err(reason) => {
            file.broken = true;
            file.problems.push(in_file(None, "Unreadable", format!("The file cannot be read: {reason}.")));
            return file;
        }
    };
    for document in documents::documents(text) {
        let document = match document {
            Ok(document) => document,
            Err(malformed) => {
                file.broken = true;
                let message =
                    format!("The document is not valid YAML: {}.", malformed.message.trim_end_matches('.'));
                file.problems.push(in_file(Some(malformed.line), "Malformed", message));
                continue;
            }
        };
        for value in manifest::flatten(document.value) {
            match manifest::read(value) {
                Read::Object(object, manifest) => {
                    file.objects.push(Item { object, line: document.line, manifest });
                }
                Read::Other(api_version, kind, object) => {
                    let message = format!("gatewasm does not read {api_version} {kind}; it is ignored.");
                    let mut problem = in_file(Some(document.line), "UnknownKind", message);
                    problem.severity = Severity::Warning;
                    problem.place = object.map_or(problem.place, Place::Object);
                    file.problems.push(problem);
                }
                Read::Nothing(message) => {
                    file.broken = true;
                    file.problems.push(in_file(Some(document.line), "Malformed", message));
                }
            }
        }
    }
    file
}

fn refusal(object: &ObjectRef, fault: &Fault, kept: bool) -> Problem {
    let kept = if kept { " The object stays as it was read before." } else { "" };
    let message = format!("{}{kept}", fault.message);
    Fault { message, ..fault.clone() }.problem(object, Severity::Error)
}

#[cfg(test)]
mod tests;
