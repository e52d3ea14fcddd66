//! Workflow files: one, a folder of them, or stdin.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::CliError;

/// A text and what to call it.
pub struct Source {
    /// What it is called.
    pub name: String,
    /// The text.
    pub text: String,
}

/// Reads one file; `-` is stdin.
pub fn read(path: &Path) -> Result<Source, CliError> {
    let name = path.display().to_string();
    if name == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| CliError::File {
                path: "stdin".to_owned(),
                problem: error.to_string(),
            })?;
        return Ok(Source {
            name: "stdin".to_owned(),
            text,
        });
    }
    let text = std::fs::read_to_string(path).map_err(|error| CliError::File {
        path: name.clone(),
        problem: error.to_string(),
    })?;
    Ok(Source { name, text })
}

/// Reads files, and of folders every workflow file in them, in the order of their names.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Source>, CliError> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = folder(path)?;
            if found.is_empty() {
                return Err(CliError::File {
                    path: path.display().to_string(),
                    problem: "holds no .yaml, .yml or .json file".to_owned(),
                });
            }
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    files.iter().map(|path| read(path)).collect()
}

fn folder(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let entries = std::fs::read_dir(path).map_err(|error| CliError::File {
        path: path.display().to_string(),
        problem: error.to_string(),
    })?;
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_file())
        .filter(|path| {
            path.extension()
                .and_then(|extension| extension.to_str())
                .is_some_and(|e| matches!(e, "yaml" | "yml" | "json"))
        })
        .collect();
    found.sort();
    Ok(found)
}
