//! The results as JUnit XML, which every CI reads: a suite for each file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::report::{FileReport, Status};
use crate::config::fault::Fault;

/// Writes the file, and the folder around it.
pub(super) fn write(path: &Path, files: &[FileReport], faults: &[Fault]) -> anyhow::Result<()> {
    let mut report = Report::new("driftgate test");
    let mut total = Duration::ZERO;
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    for file in files {
        let suite = suites
            .entry(&file.file)
            .or_insert_with(|| TestSuite::new(&file.file));
        let mut time = Duration::ZERO;
        for case in &file.cases {
            let lines = case
                .differences
                .iter()
                .flat_map(|difference| difference.lines());
            let lines: Vec<String> = lines.collect();
            let status = match case.status {
                Status::Passed | Status::Updated => TestCaseStatus::success(),
                Status::Failed => failure(NonSuccessKind::Failure, &lines),
                Status::Broken => failure(
                    NonSuccessKind::Error,
                    &["the case is written wrongly".to_owned()],
                ),
            };
            let took = Duration::try_from_secs_f64(case.seconds).unwrap_or_default();
            time += took;
            let mut row = TestCase::new(case.name.as_str(), status);
            row.set_classname(file.file.as_str());
            row.set_time(took);
            suite.add_test_case(row);
        }
        suite.set_time(time);
        total += time;
    }
    for fault in faults {
        let file = fault.place.file.as_str();
        let suite = suites.entry(file).or_insert_with(|| TestSuite::new(file));
        let name = format!("line {}: {}", fault.place.line, fault.message);
        let status = failure(NonSuccessKind::Error, &[fault.to_string()]);
        let mut row = TestCase::new(name, status);
        row.set_classname(file);
        suite.add_test_case(row);
    }
    report.add_test_suites(suites.into_values());
    report.set_time(total);
    let text = report.to_string()?;
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn failure(kind: NonSuccessKind, lines: &[String]) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(lines.first().cloned().unwrap_or_default());
    status.set_description(lines.join("\n"));
    status
}
