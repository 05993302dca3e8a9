//! The examples are what a new user copies from: every case of theirs passes, and every pipeline of theirs compiles.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Whose pipelines need a program of their own; `native_step.rs` runs it.
const OWN_PROGRAM: &str = "native-step";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn driftgate(arguments: &[&str]) -> (bool, String) {
    let program = env!("CARGO_BIN_EXE_driftgate");
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder())
        // What the privacy example takes from the environment.
        .env("PSEUDONYM_KEY", "a key of the test")
        .output()
        .expect("the program runs");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[test]
fn every_case_of_every_example_passes() {
    let (passed, told) = driftgate(&["test", "."]);
    assert!(passed, "{told}");
}

#[test]
fn every_example_has_cases_a_readme_and_pipelines_that_compile() {
    let mut seen = 0;
    for entry in std::fs::read_dir(folder()).expect("the examples") {
        let path = entry.expect("an example").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        assert!(path.join("README.md").is_file(), "{name}: no README");
        seen += 1;
        if name == OWN_PROGRAM {
            continue;
        }
        assert!(
            path.join("driftgate.test.yaml").is_file(),
            "{name}: no cases"
        );
        let config = path.join("driftgate.yaml");
        let (passed, told) = driftgate(&["check", "--offline", "-c", &config.to_string_lossy()]);
        assert!(passed, "{name}: {told}");
    }
    assert!(seen >= 10, "{seen}");
}
