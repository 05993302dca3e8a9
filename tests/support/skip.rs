//! Leaving a test out, never in silence.

use std::io::Write;
use std::path::{Path, PathBuf};

/// Says that the calling test, or a part of it, does not run. Panics where `CI=true`: there nothing may be left out.
pub fn skip(what: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("SKIPPED: {test}: {what}\n");
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "CI=true, and this must run: {line}"
    );
    // Straight to the stream: what is printed by macro is captured while a test passes, and then nobody would see it.
    std::io::stderr()
        .write_all(line.as_bytes())
        .expect("stderr is open");
    if let Some(file) = std::env::var_os("DRIFTGATE_TEST_SKIPS") {
        std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(file)
            .and_then(|mut file| file.write_all(line.trim_start_matches("SKIPPED: ").as_bytes()))
            .expect("the file of skipped parts can be written");
    }
}

/// The folder of a real part, where `scripts/fetch` has put it; `None`, and a skip, without it.
pub fn real_part(part: &str) -> Option<PathBuf> {
    let real = match std::env::var_os("DRIFTGATE_TEST_REAL") {
        Some(folder) => PathBuf::from(folder),
        // Cargo's folder for the files of integration tests is target/tmp.
        None => Path::new(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .expect("the target folder")
            .join("real"),
    };
    let folder = real.join(part);
    if folder.join(".complete").exists() {
        return Some(folder);
    }
    skip(&format!("no {part}: `scripts/fetch {part}` gets it"));
    None
}

/// The Java that runs Kafka and Apicurio.
pub fn java() -> PathBuf {
    std::env::var_os("DRIFTGATE_TEST_JAVA").map_or_else(|| PathBuf::from("java"), PathBuf::from)
}
