//! The compose file, the image and the monitoring, as far as they can be judged without an engine: everything that one
//! file says of another, or of the program, is true. `scripts/check-deploy` asks the tools of others.

mod compose;
mod monitoring;
mod yaml;

use std::path::{Path, PathBuf};

/// A file of the repository.
pub(crate) fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Its text.
pub(crate) fn text(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
