//! `driftgate test`: case files → each record through its pipeline, without broker and registry → what differs from what
//! is expected.

mod find;
mod junit;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::report::{CaseReport, FileReport, Status};
use super::{FINDINGS, Output, USAGE, complain, complain_of, environment, natives, print, runtime};
use crate::config::cases::{self, Case, CaseFile};
use crate::config::fault::Fault;
use crate::config::units::parse_duration;
use crate::trial::{self, Judgement, Ran, Setup};

/// A run that takes longer shows how far it is.
const SHOW_PROGRESS: Duration = Duration::from_secs(2);

/// Runs test cases: records through a pipeline, against what is expected of them.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  driftgate test
  driftgate test orders/driftgate.test.yaml --filter currency
  driftgate test --update
  driftgate test --junit target/junit.xml

A case file, `*.test.yaml`, stands beside the configuration whose pipeline it tests:

  cases:
    - name: a test order is filtered
      given: { value: { order_id: o-1, currency: TEST } }
      expect: { outcome: filtered }

No broker and no registry is asked: subjects are files of the folder `schemas`, and lookups are
answered by the case. docs/testing.md describes everything that a case may say.

Exit codes: 0 every case passes, 1 some do not, 2 wrong usage, or a case file, a configuration or
a schema is wrong, 3 a file could not be written.")]
pub struct TestArgs {
    /// Case files, or folders in which every `*.test.yaml` is one
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// Run the cases whose name has this in it
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Write what was found into the case files, as what is expected; the rest of them stays as it is
    #[arg(long)]
    update: bool,
    /// What one case may take
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = timeout)]
    timeout: Duration,
    /// Write the results as JUnit XML as well
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Form of the results
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

fn timeout(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("no case can pass in no time".to_owned()),
        Ok(timeout) => Ok(timeout),
        Err(problem) => Err(problem.message),
    }
}

/// Runs the cases.
pub fn run(args: TestArgs) -> anyhow::Result<ExitCode> {
    let paths = match find::find(&args.paths) {
        Ok(paths) => paths,
        Err(faults) => {
            complain_of(&faults);
            return Ok(ExitCode::from(USAGE));
        }
    };
    let mut faults = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        match cases::load(&path) {
            Ok(file) => files.push(file),
            Err(more) => faults.extend(more),
        }
    }
    let wanted = |case: &Case| {
        let filter = args.filter.as_deref().unwrap_or_default();
        case.name.value.contains(filter)
    };
    let total: usize = files.iter().map(|file| count(file, &wanted)).sum();
    if let (Some(filter), 0, true) = (&args.filter, total, faults.is_empty()) {
        complain(&format!("driftgate: no case has {filter:?} in its name"));
        return Ok(ExitCode::from(USAGE));
    }
    let runtime = runtime()?;
    let mut runner = Runner {
        args: &args,
        runtime: runtime.handle(),
        progress: Progress::new(total),
        faults: &mut faults,
    };
    let mut reports = Vec::new();
    for file in &files {
        if count(file, &wanted) > 0 {
            reports.extend(runner.file(file, &wanted)?);
        }
    }
    runner.progress.bar.finish_and_clear();
    // A case that was left behind is not waited for.
    runtime.shutdown_background();
    complain_of(&faults);
    let text = match args.output {
        Output::Table => report::table(&reports, &faults, args.update),
        Output::Json => report::json(&reports, &faults)?,
    };
    print(&text)?;
    if let Some(path) = &args.junit {
        junit::write(path, &reports, &faults)?;
    }
    let failed = report::all(&reports).any(|case| matches!(case.status, Status::Failed));
    Ok(match (faults.is_empty(), failed) {
        (false, _) => ExitCode::from(USAGE),
        (true, true) => ExitCode::from(FINDINGS),
        (true, false) => ExitCode::SUCCESS,
    })
}

fn count(file: &CaseFile, wanted: &dyn Fn(&Case) -> bool) -> usize {
    file.cases.iter().filter(|case| wanted(case)).count()
}

struct Runner<'r> {
    args: &'r TestArgs,
    runtime: &'r tokio::runtime::Handle,
    progress: Progress,
    faults: &'r mut Vec<Fault>,
}

impl Runner<'_> {
    /// The wanted cases of a file; nothing where its pipeline cannot be compiled.
    fn file(
        &mut self,
        file: &CaseFile,
        wanted: &dyn Fn(&Case) -> bool,
    ) -> anyhow::Result<Option<FileReport>> {
        let setup = match trial::prepare(file, &environment, natives(), self.runtime) {
            Ok(setup) => setup,
            Err(faults) => {
                // Several files may test one configuration.
                for fault in faults {
                    if !self.faults.contains(&fault) {
                        self.faults.push(fault);
                    }
                }
                return Ok(None);
            }
        };
        for remark in &setup.remarks {
            complain(&format!("note: {remark}"));
        }
        let mut report = FileReport::new(&file.path);
        let mut found = Vec::new();
        for (index, case) in file.cases.iter().enumerate() {
            if !wanted(case) {
                continue;
            }
            let started = Instant::now();
            let (mut status, judgement) = self.case(file, case, &setup)?;
            let (differences, amended) = match judgement {
                Some(Judgement {
                    differences,
                    expected,
                    found,
                }) => (differences, found.map(|found| (index, expected, found))),
                None => (Vec::new(), None),
            };
            if let (true, Status::Failed, Some(amended)) = (self.args.update, &status, amended) {
                status = Status::Updated;
                found.push(amended);
            }
            report.cases.push(CaseReport {
                name: case.name.value.clone(),
                line: case.name.place.line,
                status,
                differences,
                seconds: started.elapsed().as_secs_f64(),
            });
            self.progress.step();
        }
        if !found.is_empty() {
            self.update(file, &setup, &found, &mut report)?;
        }
        Ok(Some(report))
    }

    fn case(
        &mut self,
        file: &CaseFile,
        case: &Case,
        setup: &Setup,
    ) -> anyhow::Result<(Status, Option<Judgement>)> {
        let given = trial::record(&case.given, setup);
        let mut faults = trial::faults(&case.expect, setup);
        let given = given.map_err(|more| faults.extend(more));
        let (Ok(given), true) = (given, faults.is_empty()) else {
            faults.sort_by_key(|fault| (fault.place.line, fault.place.column));
            faults
                .iter_mut()
                .for_each(|fault| file.source.locate(fault));
            self.faults.extend(faults);
            return Ok((Status::Broken, None));
        };
        let ran = trial::run(setup, case, given, self.args.timeout, self.runtime)?;
        let judgement = match ran {
            Ran::Through { fate, unanswered } => {
                trial::judge(&case.expect, &fate, setup, &unanswered)
            }
            other => trial::unfinished(&case.expect, &other),
        };
        let status = match judgement.differences.is_empty() {
            true => Status::Passed,
            false => Status::Failed,
        };
        Ok((status, Some(judgement)))
    }

    /// Writes what was found, and makes sure that it is what will be found again.
    fn update(
        &mut self,
        file: &CaseFile,
        setup: &Setup,
        found: &[(usize, serde_json::Value, serde_json::Value)],
        report: &mut FileReport,
    ) -> anyhow::Result<()> {
        let text = file.amended(found);
        let again = match cases::load_text(&text, &file.path) {
            Ok(again) => again,
            Err(faults) => anyhow::bail!(
                "{}: the expectations could not be put right, and nothing was written: {}",
                file.path.display(),
                faults.first().map(ToString::to_string).unwrap_or_default()
            ),
        };
        std::fs::write(&file.path, &text)
            .map_err(|error| anyhow::anyhow!("{}: {error}", file.path.display()))?;
        for (index, ..) in found {
            let Some(case) = again.cases.get(*index) else {
                continue;
            };
            let (status, judgement) = self.case(&again, case, setup)?;
            let row = report
                .cases
                .iter_mut()
                .find(|row| row.name == case.name.value);
            if let (Some(row), Status::Failed | Status::Broken) = (row, &status) {
                row.status = status;
                row.differences = judgement.map(|found| found.differences).unwrap_or_default();
            }
        }
        Ok(())
    }
}

struct Progress {
    bar: ProgressBar,
    started: Instant,
}

impl Progress {
    fn new(count: usize) -> Progress {
        let bar = ProgressBar::hidden();
        bar.set_length(count as u64);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} cases") {
            bar.set_style(style);
        }
        Progress {
            bar,
            started: Instant::now(),
        }
    }

    fn step(&self) {
        // Nothing is drawn where stderr is no terminal.
        if self.bar.is_hidden() && self.started.elapsed() > SHOW_PROGRESS {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(1);
    }
}
