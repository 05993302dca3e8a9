//! `driftgate produce`: arguments → a job → exit code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{COULD_NOT_RUN, FINDINGS, Output, USAGE, complain, print, runtime};
use crate::config::model::{Config, Kafka};
use crate::produce::input::Input;
use crate::produce::run::{self, Counts, Job, Report, Stop, Watch};
use crate::produce::send::Rate;
use crate::produce::source::Source;
use crate::produce::{BadRow, Failure, Format};
use crate::words::counted;

/// Bad rows that are told one by one; the rest is counted.
const TOLD: u64 = 20;

/// Arguments of `produce`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  driftgate produce --schema schemas/orders-value.avsc --topic orders --key order_id orders.csv
  driftgate produce --schema schemas/orders-value.avsc --topic orders --dry-run orders.jsonl.gz
  zcat old.csv.gz | driftgate produce --subject orders-value@3 --topic orders --csv --null-as NA --skip-bad bad.csv -

Exit codes: 0 every row was acknowledged, 1 there were bad rows, 2 arguments, columns, schema or topic are wrong,
3 the broker, the registry or the file failed, or it was interrupted.")]
pub struct ProduceArgs {
    /// Rows to read: a file, compressed with gzip or not, or `-` for stdin
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Schema file of the rows; it is registered if it is not yet
    #[arg(long, value_name = "AVSC", required_unless_present = "subject")]
    schema: Option<PathBuf>,
    /// Without --schema, the registered schema to use, with @VERSION or the latest; with it, the subject to register
    /// under [default: <topic>-value]
    #[arg(long, value_name = "SUBJECT[@VERSION]")]
    subject: Option<String>,
    /// Do not register the schema file: it must be registered already
    #[arg(long, requires = "schema")]
    no_register: bool,
    /// Topic to write to
    #[arg(long)]
    topic: String,
    /// Create the topic with this many partitions if it does not exist
    #[arg(long, value_name = "PARTITIONS", value_parser = clap::value_parser!(i32).range(1..))]
    create_topic: Option<i32>,
    /// Largest record that the topic takes, in bytes [default: the topic's max.message.bytes, if the broker tells it,
    /// or Kafka's default]
    #[arg(long, value_name = "BYTES")]
    max_message_bytes: Option<u64>,
    /// Field that becomes the record's key, as text; a null gives no key
    #[arg(long, value_name = "FIELD")]
    key: Option<String>,
    /// Field that becomes the record's timestamp [default: the time of sending]. Brokers delete by it
    #[arg(long, value_name = "FIELD")]
    timestamp: Option<String>,
    /// The rows are a table with a header line [default: by the file's name]
    #[arg(long, conflicts_with = "jsonl")]
    csv: bool,
    /// The rows are JSON objects, one a line [default: by the file's name]
    #[arg(long)]
    jsonl: bool,
    /// Text of a table's cell that stands for null; may be given several times [default: the empty cell]
    #[arg(long, value_name = "TEXT")]
    null_as: Vec<String>,
    /// What separates a table's cells: one character, or `tab` [default: a comma, a tab in .tsv]
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<u8>,
    /// At most so many records: 500/s, 30/m, 1000/h
    #[arg(long, value_parser = Rate::parse)]
    rate: Option<Rate>,
    /// At most so many rows
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Check every row and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Write bad rows here, with what is wrong, and go on [default: the first bad row ends it]
    #[arg(long, value_name = "REJECTS")]
    skip_bad: Option<PathBuf>,
    /// The configuration, for its cluster and registry
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Brokers [default: the configuration's, $KAFKA_BOOTSTRAP_SERVERS, or localhost:9092]
    #[arg(long, value_name = "HOST:PORT,…")]
    bootstrap_servers: Option<String>,
    /// The registry's URL [default: the configuration's, $SCHEMA_REGISTRY_URL, or http://localhost:8081]
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Form of the summary on stdout
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        _ if text == "tab" || text == "\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
        _ => Err("expected one ASCII character, or tab".to_owned()),
    }
}

/// Runs `produce`. `load_config` reads a configuration file; an error of it is a usage error.
pub fn run(
    args: ProduceArgs,
    load_config: impl FnOnce(&Path) -> anyhow::Result<Config>,
) -> anyhow::Result<ExitCode> {
    let config = match args.config.as_deref().map(load_config).transpose() {
        Ok(config) => config,
        Err(error) => {
            complain(&format!("{error:#}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let opened = job(&args, config.as_ref()).and_then(|job| Ok((job, Input::open(&args.file)?)));
    let (job, input) = match opened {
        Ok(opened) => opened,
        Err(failure) => return Ok(refuse(&failure)),
    };
    let runtime = runtime()?;
    let bar = bar(&input)?;
    let mut watch = Terminal {
        file: input.name.clone(),
        bar: bar.clone(),
        bad: 0,
        interrupts: Arc::new(AtomicU32::new(0)),
    };
    let interrupts = Arc::clone(&watch.interrupts);
    runtime.spawn(async move {
        // Where there can be no handler, Ctrl-C ends the process as it always did.
        while tokio::signal::ctrl_c().await.is_ok() {
            interrupts.fetch_add(1, Ordering::Relaxed);
        }
    });
    let shown = bar.clone();
    let input = input.wrap(move |raw| shown.wrap_read(raw));
    let result = run::run(&job, input, runtime.handle(), &mut watch);
    bar.finish_and_clear();
    // Nothing of it is waited for: every record has been accounted for.
    runtime.shutdown_background();
    match result {
        Ok(report) => conclude(&args, &job, &report, watch.bad),
        Err(failure) => Ok(refuse(&failure)),
    }
}

fn refuse(failure: &Failure) -> ExitCode {
    complain(&failure.to_string());
    complain("nothing was sent");
    ExitCode::from(match failure {
        Failure::Asked(_) => USAGE,
        Failure::Unreachable(_) => COULD_NOT_RUN,
    })
}

fn job(args: &ProduceArgs, config: Option<&Config>) -> Result<Job, Failure> {
    Ok(Job {
        schema: source(args)?,
        register: !args.no_register,
        topic: args.topic.clone(),
        create_topic: args.create_topic,
        largest: args.max_message_bytes,
        kafka: kafka(args, config),
        registry: super::registry(config, args.registry.as_deref()),
        format: format(args)?,
        key: args.key.clone(),
        timestamp: args.timestamp.clone(),
        rate: args.rate,
        limit: args.limit,
        rejects: args.skip_bad.clone(),
        dry_run: args.dry_run,
    })
}

fn source(args: &ProduceArgs) -> Result<Source, Failure> {
    let versioned = args.subject.as_deref().map(versioned);
    match (&args.schema, versioned) {
        (Some(path), None) => Ok(Source::File {
            path: path.clone(),
            subject: format!("{}-value", args.topic),
        }),
        (Some(path), Some((subject, None))) => Ok(Source::File {
            path: path.clone(),
            subject: subject.to_owned(),
        }),
        (Some(_), Some((_, Some(_)))) => Err(Failure::asked(
            "--subject names the subject that --schema is registered under: leave the version out",
        )),
        (None, Some((subject, version))) => Ok(Source::Subject {
            subject: subject.to_owned(),
            version: version.flatten(),
        }),
        (None, None) => Err(Failure::asked("--schema or --subject is needed")),
    }
}

/// `orders-value@3`, `orders-value@latest`. An `@` with anything else behind it belongs to the subject's name.
fn versioned(text: &str) -> (&str, Option<Option<u32>>) {
    match text.rsplit_once('@') {
        Some((subject, "latest")) => (subject, Some(None)),
        Some((subject, version)) => match version.parse() {
            Ok(version) => (subject, Some(Some(version))),
            Err(_) => (text, None),
        },
        None => (text, None),
    }
}

fn format(args: &ProduceArgs) -> Result<Format, Failure> {
    let name = args.file.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    let csv = args.csv || (!args.jsonl && ends(&[".csv", ".tsv"]));
    if csv {
        let usual = if ends(&[".tsv"]) { b'\t' } else { b',' };
        return Ok(Format::Csv {
            delimiter: args.delimiter.unwrap_or(usual),
            nulls: args.null_as.clone(),
        });
    }
    if !args.jsonl && !ends(&[".jsonl", ".ndjson", ".json"]) {
        return Err(Failure::asked(format!(
            "{}: its name does not tell how the rows are written: say --csv or --jsonl",
            args.file.display()
        )));
    }
    if !args.null_as.is_empty() || args.delimiter.is_some() {
        return Err(Failure::asked(
            "--null-as and --delimiter are about tables: say --csv, or leave them out",
        ));
    }
    Ok(Format::JsonLines)
}

fn kafka(args: &ProduceArgs, config: Option<&Config>) -> Kafka {
    let mut kafka = match config {
        Some(config) => config.kafka.clone(),
        None => Kafka {
            bootstrap_servers: std::env::var("KAFKA_BOOTSTRAP_SERVERS")
                .unwrap_or_else(|_| "localhost:9092".to_owned()),
            properties: BTreeMap::new(),
            group_instance_id: None,
        },
    };
    if let Some(servers) = &args.bootstrap_servers {
        kafka.bootstrap_servers.clone_from(servers);
    }
    kafka
}

/// Draws on stderr, and only on a terminal.
fn bar(input: &Input) -> anyhow::Result<ProgressBar> {
    let (bar, template) = match input.size {
        Some(size) => (
            ProgressBar::new(size),
            "{bar:30} {binary_bytes}/{binary_total_bytes} {eta} {msg}",
        ),
        None => (ProgressBar::new_spinner(), "{spinner} {binary_bytes} {msg}"),
    };
    bar.set_style(ProgressStyle::with_template(template)?);
    Ok(bar)
}

/// What a person sees while it runs.
struct Terminal {
    file: String,
    bar: ProgressBar,
    bad: u64,
    interrupts: Arc<AtomicU32>,
}

impl Watch for Terminal {
    fn bad(&mut self, row: &BadRow) {
        self.bad += 1;
        if self.bad <= TOLD {
            let line = format!("{}:{row}", self.file);
            self.bar.suspend(|| complain(&line));
        }
    }

    fn progress(&mut self, counts: Counts) {
        let Counts {
            read,
            produced,
            rejected,
            ..
        } = counts;
        let rejected = match rejected {
            0 => String::new(),
            rejected => format!(", {rejected} rejected"),
        };
        self.bar
            .set_message(format!("{read} read, {produced} produced{rejected}"));
    }

    fn interrupted(&self) -> bool {
        self.interrupts.load(Ordering::Relaxed) > 0
    }

    fn abandoned(&self) -> bool {
        self.interrupts.load(Ordering::Relaxed) > 1
    }
}

fn conclude(args: &ProduceArgs, job: &Job, report: &Report, bad: u64) -> anyhow::Result<ExitCode> {
    let counts = report.counts;
    if bad > TOLD {
        complain(&format!("and {}", counted(bad - TOLD, "more bad row")));
    }
    let code = match &report.stopped {
        Some(Stop::BadRow) => {
            complain(&format!(
                "stopped at the first bad row: {} sent before it; it and what follows were not; \
                 --dry-run finds all bad rows, --skip-bad puts them aside",
                counted(counts.produced, "row")
            ));
            FINDINGS
        }
        Some(Stop::Failed(why)) => {
            complain(&format!("{}: {why}", args.file.display()));
            COULD_NOT_RUN
        }
        Some(Stop::Interrupted) => {
            complain("interrupted: the rows that follow were not sent");
            COULD_NOT_RUN
        }
        None if counts.rejected > 0 => {
            if let Some(path) = &job.rejects {
                complain(&format!(
                    "{} bad rows are in {}",
                    counts.rejected,
                    path.display()
                ));
            }
            FINDINGS
        }
        None => 0,
    };
    match args.output {
        Output::Table => print(&table(job, report))?,
        Output::Json => print(&format!("{}\n", summary(job, report)))?,
    }
    Ok(ExitCode::from(code))
}

fn table(job: &Job, report: &Report) -> String {
    let counts = report.counts;
    let mut lines = vec![("read", counts.read)];
    match job.dry_run {
        true => lines.push(("valid", counts.valid)),
        false => lines.push(("produced", counts.produced)),
    }
    lines.push(("rejected", counts.rejected));
    if !job.dry_run {
        lines.push(("failed", counts.failed));
    }
    let width = counts.read.to_string().len();
    let mut text: String = lines
        .into_iter()
        .map(|(name, count)| format!("{name:9}{count:>width$}\n"))
        .collect();
    text.push_str(&format!("topic    {}\n", job.topic));
    let place = match report.registered {
        Some(place) => format!(" version {}, id {}", place.version, place.id),
        None => String::new(),
    };
    text.push_str(&format!("schema   {}{place}\n", report.subject));
    text
}

fn summary(job: &Job, report: &Report) -> serde_json::Value {
    let Counts {
        read,
        produced,
        rejected,
        failed,
        valid,
    } = report.counts;
    json!({
        "read": read,
        "produced": produced,
        "rejected": rejected,
        "failed": failed,
        "valid": valid,
        "complete": report.stopped.is_none(),
        "dry_run": job.dry_run,
        "topic": job.topic,
        "subject": report.subject,
        "version": report.registered.map(|place| place.version),
        "schema_id": report.registered.map(|place| place.id),
    })
}

#[cfg(test)]
mod tests;
