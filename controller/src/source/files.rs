//! The only part of the source that touches the file system: paths into texts.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Input;

/// Reads the manifests that `-f` names: a file, a folder, or `-` for standard input.
///
/// Of a folder the files `*.yaml`, `*.yml` and `*.json` in the folder itself are read, in the order of their names,
/// as `kubectl apply -f` does without `--recursive`. Standard input is read once and remembered.
#[derive(Debug)]
pub struct Reader {
    paths: Vec<PathBuf>,
    standard_input: Option<Input>,
}

impl Reader {
    /// A reader of these paths.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, standard_input: None }
    }

    /// Reads everything. What cannot be read is an input as well, with the reason in place of the text.
    pub fn read(&mut self) -> Vec<Input> {
        let mut inputs: Vec<Input> = Vec::new();
        for path in &self.paths {
            if path == Path::new("-") {
                inputs.push(self.standard_input.get_or_insert_with(read_standard_input).clone());
            } else if path.is_dir() {
                inputs.extend(read_folder(path));
            } else {
                inputs.push(read_file(path));
            }
        }
        // A file that is named twice, or by itself and by its folder, is one file.
        let mut seen = std::collections::BTreeSet::new();
        inputs.retain(|input| seen.insert(input.path.clone()));
        inputs
    }
}

fn read_standard_input() -> Input {
    let mut bytes = Vec::new();
    let text = std::io::stdin().lock().read_to_end(&mut bytes).map_err(|error| error.to_string());
    Input { path: "-".to_owned(), text: text.and_then(|_| utf8(bytes)) }
}

fn read_file(path: &Path) -> Input {
    let text = std::fs::read(path).map_err(|error| error.to_string()).and_then(utf8);
    Input { path: path.display().to_string(), text }
}

fn read_folder(path: &Path) -> Vec<Input> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => return vec![Input { path: path.display().to_string(), text: Err(error.to_string()) }],
    };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| {
            let extension = file.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("yaml" | "yml" | "json")) && file.is_file()
        })
        .collect();
    files.sort();
    files.iter().map(|file| read_file(file)).collect()
}

fn utf8(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes()[..error.utf8_error().valid_up_to()]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        format!("line {} is not UTF-8", line + 1)
    })
}
