//! The functions that expressions can call, as a user meets them: the page of the documentation, and the command.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};

use driftgate::expr::functions::reference;

fn functions(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftgate"));
    command.arg("functions").args(args);
    for name in ["RUST_LOG", "DRIFTGATE_LOG_FORMAT", "RUST_BACKTRACE"] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// With `DRIFTGATE_UPDATE_DOCS` set, writes the file instead.
#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/functions.md");
    let page = reference::reference();
    if std::env::var_os("DRIFTGATE_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/functions.md is out of date: run DRIFTGATE_UPDATE_DOCS=1 cargo test --test functions"
    );
}

#[test]
fn one_function_is_explained() {
    let output = functions(&["parseDate"]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stdout);
    for part in [
        "parseDate (Dates and times)",
        "  parseDate(text: string, format: string) -> date\n",
        "Fails on: A text of another format",
        "Formats of dates: Texts are read by: `%Y` year in four digits",
        "  parseDate('31/02/2026', '%d/%m/%Y')\n      an error: the calendar has no such day\n",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn every_function_is_listed() {
    let table = functions(&[]);
    assert_eq!(table.status.code(), Some(0));
    let json = functions(&["--output", "json"]);
    assert_eq!(json.status.code(), Some(0));
    let listed: Vec<serde_json::Value> = serde_json::from_slice(&json.stdout).unwrap();
    assert!(listed.len() > 40, "{}", listed.len());
    for function in listed {
        for signature in function["signatures"].as_array().unwrap() {
            let line = format!("  {}\n", signature.as_str().unwrap());
            assert!(text(&table.stdout).contains(&line), "{line}");
        }
    }
    let one = functions(&["sha256", "--output", "json"]);
    let one: serde_json::Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(one["group"], "privacy");
    assert!(one["doc"].as_str().unwrap().contains("not anonymous"));
}

#[test]
fn a_name_that_does_not_exist_is_wrong_usage() {
    for (name, hint) in [
        ("parsedate", "did you mean `parseDate`?"),
        ("frobnicate", "`driftgate functions` lists them"),
    ] {
        let output = functions(&[name]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(output.stdout.is_empty());
        let said = text(&output.stderr);
        assert!(
            said.contains(&format!("there is no function `{name}`")) && said.contains(hint),
            "{said}"
        );
    }
}
