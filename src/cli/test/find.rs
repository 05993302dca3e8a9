//! Paths → case files. A file is one whatever its name is; below a folder it is every `*.test.yaml`, but not in hidden
//! folders, nor in those that are built or fetched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::fault::{Fault, cannot};

/// Folders that hold what tools have made.
const MADE: [&str; 2] = ["target", "node_modules"];

/// The case files of each path, each once. A path without any is a fault: what is never run never fails.
pub(super) fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    let mut files = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        let mut found = Vec::new();
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                if let Err((folder, error)) = below(path, &mut found) {
                    let name = folder.display().to_string();
                    faults.push(Fault::of_file(&name, cannot("read", &error)));
                } else if found.is_empty() {
                    let fault = Fault::of_file(&name, "there is no case file below this folder");
                    faults.push(fault.hint("case files are named *.test.yaml"));
                }
            }
            Ok(_) => found.push(path.clone()),
            Err(error) => faults.push(Fault::of_file(&name, cannot("read", &error))),
        }
        for file in found {
            if seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())) {
                files.push(file);
            }
        }
    }
    match faults.is_empty() {
        true => Ok(files),
        false => Err(faults),
    }
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), (PathBuf, std::io::Error)> {
    let of_folder = |error| (folder.to_owned(), error);
    let mut entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(of_folder)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        // A link to a folder may lead back here, so none is followed.
        let kind = entry.file_type().map_err(of_folder)?;
        let path = match folder == Path::new(".") {
            true => PathBuf::from(entry.file_name()),
            false => entry.path(),
        };
        if kind.is_dir() {
            if !name.starts_with('.') && !MADE.contains(&name.as_str()) {
                below(&path, found)?;
            }
        } else if name.ends_with(".test.yaml") || name.ends_with(".test.yml") {
            found.push(path);
        }
    }
    Ok(())
}
