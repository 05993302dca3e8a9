//! The results, for a person and for a program.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::json;

use crate::config::fault::Fault;
use crate::trial::Difference;
use crate::words;

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// As expected.
    Passed,
    /// Otherwise.
    Failed,
    /// Otherwise, and the file now says so.
    Updated,
    /// What is written is wrong; it was not run.
    Broken,
}

/// A case.
#[derive(Debug, Serialize)]
pub(super) struct CaseReport {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) status: Status,
    pub(super) differences: Vec<Difference>,
    pub(super) seconds: f64,
}

/// The cases of a file.
#[derive(Debug, Serialize)]
pub(super) struct FileReport {
    pub(super) file: String,
    pub(super) cases: Vec<CaseReport>,
}

impl FileReport {
    pub(super) fn new(path: &Path) -> FileReport {
        FileReport {
            file: path.display().to_string(),
            cases: Vec::new(),
        }
    }
}

pub(super) fn all(files: &[FileReport]) -> impl Iterator<Item = &CaseReport> {
    files.iter().flat_map(|file| &file.cases)
}

pub(super) fn counted(files: &[FileReport], status: Status) -> usize {
    all(files).filter(|case| case.status == status).count()
}

pub(super) fn table(files: &[FileReport], faults: &[Fault], update: bool) -> String {
    let mut out = String::new();
    for file in files {
        out.push_str(&file.file);
        out.push('\n');
        for case in &file.cases {
            let word = match case.status {
                Status::Passed => "ok",
                Status::Failed => "FAILED",
                Status::Updated => "updated",
                Status::Broken => "broken",
            };
            let CaseReport { name, line, .. } = case;
            let name = name.replace(['\n', '\r'], " ");
            // Writing to a String does not fail.
            let _infallible = match case.status {
                Status::Passed => writeln!(out, "  {word:<8}{name}"),
                _ => writeln!(out, "  {word:<8}{name} (line {line})"),
            };
            for difference in &case.differences {
                for text in difference.lines() {
                    let _infallible = writeln!(out, "          {text}");
                }
            }
        }
    }
    out.push_str(&summary(files, faults));
    if counted(files, Status::Failed) > 0 && !update {
        out.push_str("If what was found is right, --update writes it into the case files.\n");
    }
    out
}

fn summary(files: &[FileReport], faults: &[Fault]) -> String {
    let total = all(files).count();
    let mut parts = vec![format!("{} passed", counted(files, Status::Passed))];
    let rest = [
        (Status::Failed, "failed"),
        (Status::Updated, "updated"),
        (Status::Broken, "broken"),
    ];
    for (status, word) in rest {
        match counted(files, status) {
            0 => {}
            count => parts.push(format!("{count} {word}")),
        }
    }
    if !faults.is_empty() {
        parts.push(words::counted(faults.len(), "fault"));
    }
    format!(
        "{} in {}: {}\n",
        words::counted(total, "case"),
        words::counted(files.len(), "file"),
        parts.join(", ")
    )
}

pub(super) fn json(files: &[FileReport], faults: &[Fault]) -> anyhow::Result<String> {
    let faults: Vec<_> = faults
        .iter()
        .map(|fault| {
            json!({
                "file": fault.place.file,
                "line": fault.place.line,
                "column": fault.place.column,
                "message": fault.message,
                "hint": fault.hint,
            })
        })
        .collect();
    let report = json!({
        "summary": {
            "cases": all(files).count(),
            "passed": counted(files, Status::Passed),
            "failed": counted(files, Status::Failed),
            "updated": counted(files, Status::Updated),
            "broken": counted(files, Status::Broken),
            "faults": faults.len(),
        },
        "files": files,
        "faults": faults,
    });
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}
