//! `driftgate drift baseline|diff`: arguments → a range of a source topic → a baseline file, or what differs from it. `show` asks
//! running instances.

mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    COULD_NOT_RUN, FINDINGS, Output, USAGE, complain, complain_of, environment, load_config, print,
    times,
};
use crate::build::{self, BuildError};
use crate::config::baseline;
use crate::config::model::{Config, Pipeline, RulesFile, SchemaSource, named};
use crate::contract::cache::{CacheSettings, SchemaCache};
use crate::contract::registry::RegistryClient;
use crate::contract::rules::TAG;
use crate::drift::{self, Contract, Failure, Progress, Scope};
use crate::error::FatalError;

/// The subcommands of `drift`.
#[derive(Debug, Subcommand)]
pub enum DriftCommand {
    /// Write the baseline of a contract: what its records look like, for review
    ///
    /// Reads the source topics through the contract; joins no consumer group and commits nothing. The file lies beside the
    /// contract: schemas/<subject>.baseline.yaml.
    #[command(after_help = "Examples:
  driftgate drift baseline
  driftgate drift baseline clean-orders --from 2026-11-01 --until 2026-11-08
  driftgate drift baseline clean-orders --last 100000 --force

Take a range with a whole cycle in it, a week or a month, and no incident: what the baseline has
seen is no drift later.

Exit codes: 0 written, 2 arguments or configuration are wrong, the file is there already, or there
are too few records, 3 broker, registry or the file could not be reached.")]
    Baseline(Box<BaselineArgs>),
    /// Compare records with the baseline: values that changed although their schema did not
    ///
    /// Reads the source topics through the contract; joins no consumer group and commits nothing. How each test decides is
    /// said in docs/drift.md.
    #[command(after_help = "Examples:
  driftgate drift diff
  driftgate drift diff clean-orders --from 2h
  driftgate drift diff clean-orders --last 20000 --output json

Exit codes: 0 nothing drifted, 1 something did, or no record could be compared, 2 arguments,
configuration or baseline are wrong, or a topic does not exist, 3 broker or registry could not be
asked.")]
    Diff(Box<DiffArgs>),
    /// Show what running instances see of values: figures, the last windows, and what drifts
    ///
    /// Asks the admin servers of instances, of pipelines with `contract.baseline`. Fields that are tagged as personal show
    /// rates and kinds of texts alone.
    #[command(after_help = "Examples:
  driftgate drift show
  driftgate drift show clean-orders --drifting
  driftgate drift show --instance http://gate-1:9600 --instance http://gate-2:9600 --output json

NOW is the median of a number, time, length or size; of values it is how far they lie from the
baseline (psi). WINDOWS has one sign for each of the last windows, at the most 24.

Exit codes: 0 nothing drifts, 1 something does, 2 arguments, configuration or token are wrong, 3 an
instance could not be asked.")]
    Show(Box<show::ShowArgs>),
}

/// What is read, and by which contract.
#[derive(Debug, clap::Args)]
struct Which {
    /// The pipeline whose sources are read [default: the only one]
    pipeline: Option<String>,
    /// The configuration file
    #[arg(short, long, default_value = "driftgate.yaml")]
    config: PathBuf,
    /// One source topic alone
    #[arg(long)]
    topic: Option<String>,
    /// Only records of this time or later: 2026-11-21T08:00:00Z, 2026-11-21 (UTC), or 2h for two hours ago
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Only records before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only so many records, the last ones of each topic
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "until"], value_parser = clap::value_parser!(u64).range(1..))]
    last: Option<u64>,
    /// The baseline file [default: `contract.baseline`, or <subject>.baseline.yaml beside the contract]
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
}

/// Arguments of `drift baseline`.
#[derive(Debug, clap::Args)]
pub struct BaselineArgs {
    #[command(flatten)]
    which: Which,
    /// Write over a baseline that is there
    #[arg(long)]
    force: bool,
}

/// Arguments of `drift diff`.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    #[command(flatten)]
    which: Which,
    /// Form of the comparison
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// Why there is nothing to show: a text, and the exit code.
type Refusal = (String, u8);

/// The innermost cause, which says what happened; the outer ones say where.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Runs a `drift` command.
pub fn run(command: DriftCommand) -> anyhow::Result<ExitCode> {
    let ended = match command {
        DriftCommand::Baseline(args) => write_baseline(&args),
        DriftCommand::Diff(args) => show_diff(&args),
        DriftCommand::Show(args) => show::run(&args),
    };
    match ended {
        Ok(code) => code,
        Err((text, code)) => {
            if !text.is_empty() {
                complain(&format!("driftgate: {text}"));
            }
            Ok(ExitCode::from(code))
        }
    }
}

fn write_baseline(args: &BaselineArgs) -> Result<anyhow::Result<ExitCode>, Refusal> {
    let with = With::new(&args.which)?;
    let path = &with.path;
    // Before a long reading, and once more as it is written.
    if path.exists() && !args.force {
        return Err(there(path));
    }
    let mut bar = Bar::new();
    let made = drift::baseline(
        &with.config.kafka,
        &with.scope,
        &with.contract,
        &with.schemas,
        &mut bar,
    );
    bar.0.finish_and_clear();
    let (mut baseline, mut notes) = made.map_err(refusal)?;
    if args.force && path.exists() {
        // What is to be done was decided by people, and is not in the records.
        match baseline::load(path) {
            Ok(before) => baseline.decide_as(&before),
            Err(_) => notes.push(format!(
                "{} could not be read: every `then` is `warn`",
                path.display()
            )),
        }
    }
    let text = baseline.text();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).truncate(true);
    let options = match args.force {
        true => options.create(true),
        false => options.create_new(true),
    };
    let written = options
        .open(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Err(there(path)),
        Err(error) => return Err((format!("{}: {error}", path.display()), COULD_NOT_RUN)),
    }
    notes
        .iter()
        .for_each(|note| complain(&format!("note: {note}")));
    let lines = [
        format!(
            "{}: {} records in {} windows, {} fields",
            path.display(),
            baseline.records,
            baseline.windows,
            baseline.fields.len()
        ),
        "Review it with the contract: that nulls, values and formats are what they should be, that nothing in it is".to_owned(),
        format!("personal (tag such fields {TAG}), and that no incident made `most` or `spread` large. Then commit it."),
    ];
    Ok(print(&(lines.join("\n") + "\n")).map(|()| ExitCode::SUCCESS))
}

fn there(path: &Path) -> Refusal {
    let text = format!(
        "{} is there already, and was reviewed: --force writes over it",
        path.display()
    );
    (text, USAGE)
}

fn show_diff(args: &DiffArgs) -> Result<anyhow::Result<ExitCode>, Refusal> {
    let with = With::new(&args.which)?;
    let baseline = baseline::load(&with.path).map_err(|faults| {
        complain_of(&faults);
        (String::new(), USAGE)
    })?;
    let mut bar = Bar::new();
    let diff = drift::diff(
        &with.config.kafka,
        &with.scope,
        &with.contract,
        &with.schemas,
        &baseline,
        &mut bar,
    );
    bar.0.finish_and_clear();
    let diff = diff.map_err(refusal)?;
    let text = match args.output {
        Output::Table => Ok(diff.text()),
        Output::Json => serde_json::to_string_pretty(&diff).map(|text| text + "\n"),
    };
    let text = text.map_err(|error| (error.to_string(), COULD_NOT_RUN))?;
    let nothing = diff.groups.is_empty();
    Ok(print(&text).map(|()| match diff.drifted() || nothing {
        true => ExitCode::from(FINDINGS),
        false => ExitCode::SUCCESS,
    }))
}

fn refusal(failure: Failure) -> Refusal {
    let code = match &failure {
        Failure::Asked(_) | Failure::Fatal(FatalError::Topics(_)) => USAGE,
        Failure::Fatal(_) => COULD_NOT_RUN,
    };
    (failure.to_string(), code)
}

/// What both commands need.
struct With {
    config: Config,
    scope: Scope,
    contract: Contract,
    schemas: SchemaCache,
    /// The baseline file.
    path: PathBuf,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for With {
    /// A request that hangs is not waited for.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl With {
    fn new(which: &Which) -> Result<With, Refusal> {
        let usage = |error: &dyn std::fmt::Display| (format!("{error:#}"), USAGE);
        let config = load_config(&which.config).map_err(|error| usage(&error))?;
        let pipeline = pipeline(&config, which).map_err(|text| (text, USAGE))?;
        let (from, until) = (which.from.as_deref(), which.until.as_deref());
        let (from, until) = range(from, until, times::now()).map_err(|text| (text, USAGE))?;
        let topics = match &which.topic {
            Some(topic) => vec![topic.clone()],
            None => pipeline.source_topics.clone(),
        };
        let could_not = |error: &dyn std::fmt::Display| (error.to_string(), COULD_NOT_RUN);
        let runtime = super::runtime().map_err(|error| could_not(&error))?;
        let registry =
            RegistryClient::lasting(&config.registry).map_err(|error| could_not(&error))?;
        let contract = runtime.block_on(contract(pipeline, &registry))?;
        let path = which
            .baseline
            .clone()
            .or_else(|| pipeline.contract.baseline.clone())
            .unwrap_or_else(|| beside(&pipeline.contract.schema, &which.config));
        Ok(With {
            scope: Scope {
                topics,
                from,
                until,
                last: which.last,
            },
            contract,
            schemas: SchemaCache::new(registry, runtime.handle().clone(), CacheSettings::default()),
            path,
            config,
            runtime: Some(runtime),
        })
    }
}

/// `--from` and `--until`, told by their own names.
fn range(
    from: Option<&str>,
    until: Option<&str>,
    now: i64,
) -> Result<(Option<i64>, Option<i64>), String> {
    times::range(from, until, now).map_err(|text| text.replace("--since", "--from"))
}

fn pipeline<'c>(config: &'c Config, which: &Which) -> Result<&'c Pipeline, String> {
    let pipeline = match (&which.pipeline, config.pipelines.as_slice()) {
        (Some(name), pipelines) => named(pipelines, name)?,
        (None, [only]) => only,
        (None, pipelines) => {
            let names: Vec<&str> = pipelines.iter().map(|one| one.name.as_str()).collect();
            return Err(format!("name one of the pipelines: {}", names.join(", ")));
        }
    };
    match &which.topic {
        Some(topic) if !pipeline.source_topics.contains(topic) => Err(format!(
            "{topic} is no source of {}; those are {}",
            pipeline.name,
            pipeline.source_topics.join(", ")
        )),
        _ => Ok(pipeline),
    }
}

/// The contract with the fields that are personal: by its schema, its version in the registry, and its rules file.
async fn contract(pipeline: &Pipeline, registry: &RegistryClient) -> Result<Contract, Refusal> {
    let source = &pipeline.contract.schema;
    let failed = |error: BuildError| match error {
        BuildError::Faults(faults) => {
            complain_of(&faults);
            (String::new(), USAGE)
        }
        BuildError::Registry(error) => (error.to_string(), COULD_NOT_RUN),
    };
    let loaded = build::load_schema(source, Some(registry)).await;
    let loaded = loaded.map_err(failed)?;
    let loaded = loaded.expect("a registry was given, so that a subject can be loaded");
    let rules = match &pipeline.contract.rules {
        Some(path) => {
            let rules = crate::config::rules::load(path, &environment);
            rules
                .map_err(|faults| failed(BuildError::Faults(faults)))?
                .0
        }
        None => RulesFile::default(),
    };
    let personal = build::personal(&loaded, source, &rules, Some(registry)).await;
    let personal = personal.map_err(failed)?;
    Ok(Contract {
        subject: source.subject(),
        schema: Arc::clone(&loaded.schema),
        personal,
    })
}

/// Where the baseline of a contract lies: beside its file, or in the folder `schemas` beside the configuration.
fn beside(schema: &SchemaSource, config: &Path) -> PathBuf {
    let name = format!("{}.baseline.yaml", schema.subject());
    match schema {
        SchemaSource::File { path } => path.with_file_name(name),
        SchemaSource::Subject { .. } => {
            let folder = config.parent().unwrap_or(Path::new(""));
            folder.join("schemas").join(name)
        }
    }
}

struct Bar(ProgressBar);

impl Bar {
    fn new() -> Bar {
        let style = "{wide_bar} {human_pos}/{human_len} offsets, {eta} left";
        let bar = ProgressBar::new(0);
        bar.set_style(
            ProgressStyle::with_template(style).expect("the template is one that indicatif knows"),
        );
        Bar(bar)
    }
}

impl Progress for Bar {
    fn total(&mut self, offsets: u64) {
        self.0.set_length(offsets);
    }

    fn advance(&mut self, offsets: u64) {
        self.0.inc(offsets);
    }
}
