//! `driftgate schema register`: reviewed schema files into the registry.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{COULD_NOT_RUN, FINDINGS, Output, USAGE, complain, registry, targets};
use crate::config::model::Config;
use crate::contract::registry::RegistryClient;
use crate::review::files;
use crate::review::register::{self, Outcome, Report};

/// `schema register`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftgate schema register
  driftgate schema register --dry-run schemas/orders-value.avsc
  driftgate schema register -c driftgate.yaml --output json

Exit codes: 0 all registered, 1 a schema was refused or is incompatible, 2 the files or the configuration are wrong,
3 the registry could not be reached.")]
pub struct RegisterArgs {
    /// Schema files
    #[arg(value_name = "FILES", conflicts_with = "dir")]
    pub files: Vec<PathBuf>,
    /// Every .avsc file of this folder [default: schemas, unless FILES or a configuration is given]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The configuration: its registry and, unless FILES or --dir is given, the schema files of its contracts (under
    /// their names) and sinks (under the sinks' subjects)
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The registry's URL [default: the configuration's, $SCHEMA_REGISTRY_URL, or http://localhost:8081]
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// Say what would happen and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Form of the result on stdout
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// `schema register`, with its outputs: results on `out`, all else on `log`.
pub fn register(
    args: &RegisterArgs,
    config: Option<&Config>,
    out: &mut dyn Write,
    log: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    let planned =
        targets(&args.files, args.dir.as_deref(), config).and_then(|targets| files::plan(&targets));
    let plan = match planned {
        Ok(plan) if !plan.is_empty() => plan,
        Ok(_) => {
            writeln!(log, "there are no schema files to register")?;
            return Ok(ExitCode::from(USAGE));
        }
        Err(faults) => {
            complain(&faults, log)?;
            return Ok(ExitCode::from(USAGE));
        }
    };
    let client = match RegistryClient::new(&registry(config, args.registry.as_deref())) {
        Ok(client) => client,
        Err(error) => {
            writeln!(log, "{error}")?;
            return Ok(ExitCode::from(USAGE));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Draws on stderr, and only on a terminal.
    let bar = ProgressBar::new(plan.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?);
    let report = runtime.block_on(register::register(
        &client,
        &plan,
        args.dry_run,
        |outcome| {
            bar.set_message(outcome.subject.clone());
            bar.inc(1);
        },
    ));
    bar.finish_and_clear();
    show(&report, args.output, out)?;
    if let Some(error) = &report.stopped {
        let left = plan.len() - report.outcomes.len();
        writeln!(
            log,
            "{error}\n{left} of {} files were not reached",
            plan.len()
        )?;
        return Ok(ExitCode::from(COULD_NOT_RUN));
    }
    let findings = report
        .outcomes
        .iter()
        .filter(|outcome| outcome.action.is_finding())
        .count();
    Ok(if findings > 0 {
        ExitCode::from(FINDINGS)
    } else {
        ExitCode::SUCCESS
    })
}

fn show(report: &Report, format: Output, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, &report.outcomes)?;
            writeln!(out)
        }
        Output::Table => table(&report.outcomes, out),
    }
}

fn table(outcomes: &[Outcome], out: &mut dyn Write) -> io::Result<()> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let number = |number: Option<u32>| number.map_or("-".to_owned(), |number| number.to_string());
    let subject = outcomes
        .iter()
        .map(|outcome| outcome.subject.chars().count())
        .max()
        .unwrap_or(0)
        .max("SUBJECT".len());
    writeln!(
        out,
        "{:subject$}  {:14}  {:>6}  {:>7}  COMPATIBILITY",
        "SUBJECT", "RESULT", "ID", "VERSION"
    )?;
    for outcome in outcomes {
        let level = match (&outcome.compatibility_before, &outcome.compatibility) {
            (Some(before), Some(level)) => format!("{before} -> {level}"),
            (None, Some(level)) => level.clone(),
            (_, None) => "-".to_owned(),
        };
        let (id, version) = (number(outcome.id), number(outcome.version));
        let action = outcome.action.as_str();
        writeln!(
            out,
            "{:subject$}  {action:14}  {id:>6}  {version:>7}  {level}",
            outcome.subject
        )?;
        for reference in &outcome.references {
            writeln!(
                out,
                "    refers to {} ({} version {})",
                reference.name, reference.subject, reference.version
            )?;
        }
        for reason in &outcome.reasons {
            writeln!(out, "    {reason}")?;
        }
    }
    Ok(())
}
