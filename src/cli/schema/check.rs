//! `driftgate schema check`: reviewed schema files against the versions before them.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{COULD_NOT_RUN, FINDINGS, Output, USAGE, complain, lines, registry, targets};
use crate::config::fault::Fault;
use crate::config::model::Config;
use crate::contract::compat::Level;
use crate::contract::registry::{RegistryClient, RegistryError};
use crate::contract::schema::Schema;
use crate::review::check::{self, Checked, Report, Source};
use crate::review::files::{self, SchemaFile};
use crate::words::counted;

/// `schema check`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  driftgate schema check -c driftgate.yaml
  driftgate schema check schemas/orders-value.avsc --registry http://localhost:8081
  driftgate schema check schemas/orders-value.avsc --against main/orders-value.avsc --level FULL

Exit codes: 0 nothing stands against the files, 1 something does, 2 the files or the
configuration are wrong, 3 the registry could not be reached.")]
pub struct CheckArgs {
    /// Schema files; the files of their folders that they refer to are checked too
    #[arg(value_name = "FILES", conflicts_with = "dir")]
    pub files: Vec<PathBuf>,
    /// Every .avsc file of this folder [default: schemas, unless FILES or a configuration is given]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The configuration: its registry and, unless FILES or --dir is given, the schema files of its contracts and sinks
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The registry's URL [default: the configuration's, $SCHEMA_REGISTRY_URL, or http://localhost:8081]
    #[arg(long, value_name = "URL")]
    pub registry: Option<String>,
    /// An earlier version instead of the registry's: a file, `subject@version` or a schema id. Once for each, the
    /// oldest first; with files only, no registry is asked
    #[arg(long, value_name = "SCHEMA", conflicts_with = "dir")]
    pub against: Vec<String>,
    /// The compatibility level [default: that of <subject>.rules.yaml, else the registry's for the subject, else
    /// BACKWARD]
    #[arg(long, value_name = "LEVEL")]
    pub level: Option<Level>,
    /// Form of the result on stdout
    #[arg(short, long, value_enum, default_value = "table")]
    pub output: Output,
}

/// `schema check`, with its outputs: results on `out`, all else on `log`.
pub fn check(
    args: &CheckArgs,
    config: Option<&Config>,
    out: &mut dyn Write,
    log: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    if !args.against.is_empty() && args.files.len() != 1 {
        writeln!(log, "--against goes with one schema file")?;
        return Ok(ExitCode::from(USAGE));
    }
    let read = targets(&args.files, args.dir.as_deref(), config)
        .and_then(|targets| files::plan(&targets))
        .and_then(|plan| Ok((parse_all(&plan)?, plan)));
    let (schemas, plan) = match read {
        Ok((_, plan)) if plan.is_empty() => {
            writeln!(log, "there are no schema files to check")?;
            return Ok(ExitCode::from(USAGE));
        }
        Ok(read) => read,
        Err(faults) => {
            complain(&faults, log)?;
            return Ok(ExitCode::from(USAGE));
        }
    };
    let sources: Vec<Source> = args
        .against
        .iter()
        .map(|text| Source::parse(text))
        .collect();
    let client = if sources.is_empty() || sources.iter().any(Source::is_remote) {
        match RegistryClient::new(&registry(config, args.registry.as_deref())) {
            Ok(client) => Some(client),
            Err(error) => {
                writeln!(log, "{error}")?;
                return Ok(ExitCode::from(USAGE));
            }
        }
    } else {
        None
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = match &client {
        Some(client) if sources.is_empty() => {
            // Draws on stderr, and only on a terminal.
            let bar = ProgressBar::new(plan.len() as u64);
            bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?);
            let progress = |file: &SchemaFile| {
                bar.set_message(file.subject.clone());
                bar.inc(1);
            };
            let work = check::against_registry(client, &plan, &schemas, args.level, progress);
            let report = runtime.block_on(work);
            bar.finish_and_clear();
            report
        }
        _ => match runtime.block_on(given(&sources, client.as_ref())) {
            Ok(earlier) => {
                let faults = earlier
                    .iter()
                    .filter_map(|known| known.schema.as_ref().err());
                let faults: Vec<&String> = faults.collect();
                if !faults.is_empty() {
                    for fault in faults {
                        writeln!(log, "{fault}")?;
                    }
                    return Ok(ExitCode::from(USAGE));
                }
                // The file that was named stands last, behind those that it refers to.
                let last = plan.len() - 1;
                let checked = check::against(&plan[last], &schemas[last], args.level, &earlier);
                Report {
                    checked: vec![checked],
                    stopped: None,
                }
            }
            Err(error) => return super::unanswered(&error, log),
        },
    };
    show(&report.checked, args.output, out)?;
    if let Some(error) = &report.stopped {
        let left = plan.len() - report.checked.len();
        writeln!(
            log,
            "{error}\n{left} of {} files were not reached",
            plan.len()
        )?;
        return Ok(ExitCode::from(COULD_NOT_RUN));
    }
    Ok(
        match report.checked.iter().all(|checked| checked.compatible) {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(FINDINGS),
        },
    )
}

fn parse_all(plan: &[SchemaFile]) -> Result<Vec<Schema>, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut schemas = Vec::with_capacity(plan.len());
    for index in 0..plan.len() {
        match check::parse(plan, index) {
            Ok(schema) => schemas.push(schema),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        Ok(schemas)
    } else {
        Err(faults)
    }
}

async fn given(
    sources: &[Source],
    client: Option<&RegistryClient>,
) -> Result<Vec<check::Known>, RegistryError> {
    let mut earlier = Vec::with_capacity(sources.len());
    for source in sources {
        earlier.push(source.load(client).await?);
    }
    Ok(earlier)
}

fn show(all: &[Checked], format: Output, out: &mut dyn Write) -> io::Result<()> {
    if format == Output::Json {
        serde_json::to_writer_pretty(&mut *out, all)?;
        return writeln!(out);
    }
    for checked in all {
        let verdict = &checked.verdict;
        let result = match (checked.findings.len(), checked.unreadable.len()) {
            (0, 0) if verdict.compared.is_empty() => "the first version".to_owned(),
            (0, 0) => "compatible".to_owned(),
            (findings, 0) => counted(findings, "finding"),
            (findings, versions) => format!(
                "{}, {} cannot be compared",
                counted(findings, "finding"),
                counted(versions, "version")
            ),
        };
        writeln!(
            out,
            "{} ({}), {}, {}: {result}",
            checked.subject,
            checked.file.display(),
            verdict.level,
            checked.level_from.words()
        )?;
        for comparison in &verdict.compared {
            let unchanged = if comparison.changes.is_empty() {
                ": no change"
            } else {
                ""
            };
            writeln!(out, "  since {}{unchanged}", comparison.version)?;
            lines::changes(&comparison.changes, Some(verdict.level), out)?;
        }
        for unreadable in &checked.unreadable {
            writeln!(
                out,
                "  {} cannot be compared: {}",
                unreadable.version, unreadable.why
            )?;
        }
    }
    Ok(())
}
