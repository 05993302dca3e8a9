//! `driftgate explain`: arguments → a record → what becomes of it → text or JSON.

mod body;
mod fetch;
mod outcome;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use self::body::Body;
use self::fetch::{Found, Owned};
use self::outcome::{Judge, Role};
use super::{COULD_NOT_RUN, FINDINGS, Output, USAGE, complain, environment, print, runtime};
use crate::config::model::{self, Config, Pipeline, RulesFile};
use crate::contract::cache::{CacheSettings, SchemaCache};
use crate::contract::registry::RegistryClient;
use crate::contract::wire;
use crate::dlq::dialect;
use crate::explain::{self, Lineage, Report, Shown, moment, shown};
use crate::failure::envelope::Origin;
use crate::headers;
use crate::record::Record;

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  driftgate explain --topic orders --partition 3 --offset 1234
  driftgate explain --topic orders.orders-gate.dlq --partition 0 --offset 7 --unmask
  driftgate explain --file value.bin --pipeline clean-orders --output json
  kcat -C -t orders -p 3 -o 1234 -c 1 -D '' | driftgate explain --file -

Fields that the rules file tags as PII are masked, in values, bytes and the emitted value.

Exit codes: 0 explained, whatever becomes of the record, 1 there is no record at this offset,
2 arguments, topic or configuration are wrong, 3 the broker, the registry or the file failed.")]
pub struct ExplainArgs {
    /// The configuration file
    #[arg(short, long, default_value = "driftgate.yaml")]
    pub(super) config: PathBuf,
    /// Topic to read from: a source, or one of our retry and dead-letter topics
    #[arg(long, requires_all = ["partition", "offset"], required_unless_present = "file")]
    pub(super) topic: Option<String>,
    /// Partition
    #[arg(long, requires = "topic", value_parser = clap::value_parser!(i32).range(0..))]
    pub(super) partition: Option<i32>,
    /// Offset
    #[arg(long, requires = "topic", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(0..))]
    pub(super) offset: Option<i64>,
    /// A file that holds a record's value, framing included; `-` is stdin
    #[arg(long, conflicts_with = "topic", value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Writer schema id of a file without framing
    #[arg(long, requires = "file", value_name = "ID")]
    pub(super) schema_id: Option<u32>,
    /// The pipeline to explain by [default: the one that reads the topic, or the only one]
    #[arg(long, value_name = "NAME")]
    pub(super) pipeline: Option<String>,
    /// Show the values of fields that are tagged as PII
    #[arg(long)]
    pub(super) unmask: bool,
    /// Call the lookups of the pipeline, as `run` would [default: stop before the first]
    #[arg(long)]
    pub(super) with_lookups: bool,
    /// Lines at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(super) lines: usize,
    /// Form of the explanation
    #[arg(short, long, value_enum, default_value = "table")]
    pub(super) output: Output,
}

/// Why there is nothing to explain.
#[derive(Debug)]
pub(super) enum Refusal {
    Usage(String),
    NotThere(String),
    CouldNotRun(String),
}

/// Runs `explain`. `load_config` reads the configuration file; an error of it is a usage error.
pub fn run(
    args: ExplainArgs,
    load_config: impl FnOnce(&Path) -> anyhow::Result<Config>,
) -> anyhow::Result<ExitCode> {
    let config = match load_config(&args.config) {
        Ok(config) => config,
        Err(error) => {
            complain(&format!("{error:#}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    let runtime = runtime()?;
    let explained = explain(&args, &config, false, runtime.handle());
    // A request that hangs is not waited for.
    runtime.shutdown_background();
    conclude(explained, args.output)
}

/// Prints what was explained, or why nothing was.
pub(super) fn conclude(
    explained: Result<(Report, ExitCode), Refusal>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    match explained {
        Ok((report, code)) => {
            let text = match output {
                Output::Table => explain::text(&report),
                Output::Json => serde_json::to_string_pretty(&report)? + "\n",
            };
            print(&text)?;
            Ok(code)
        }
        Err(refusal) => {
            let (text, code) = match refusal {
                Refusal::Usage(text) => (text, USAGE),
                Refusal::NotThere(text) => (text, FINDINGS),
                Refusal::CouldNotRun(text) => (text, COULD_NOT_RUN),
            };
            complain(&format!("driftgate: {text}"));
            Ok(ExitCode::from(code))
        }
    }
}

/// As [`run`] explains a record. With `is_letter` it is one that failed, whatever its topic: its headers are told.
pub(super) fn explain(
    args: &ExplainArgs,
    config: &Config,
    is_letter: bool,
    runtime: &tokio::runtime::Handle,
) -> Result<(Report, ExitCode), Refusal> {
    if let Some(name) = &args.pipeline {
        named(config, name)?;
    }
    let mut remarks = Vec::new();
    let owned = match (&args.topic, args.partition, args.offset, &args.file) {
        (Some(topic), Some(partition), Some(offset), _) => {
            match fetch::fetch(&config.kafka, topic, partition, offset)? {
                Found::Committed(owned) => owned,
                Found::NotCommitted(owned) => {
                    remarks.push(
                        "no pipeline reads this record: its transaction is still open, or was aborted".to_owned(),
                    );
                    owned
                }
            }
        }
        (_, _, _, Some(file)) => from_file(file, args.schema_id)?,
        _ => return Err(Refusal::Usage("--topic or --file is needed".to_owned())),
    };
    let read = owned.record();
    let role = role(args, config, &read)?;
    let registry = RegistryClient::lasting(&config.registry)
        .map_err(|error| Refusal::CouldNotRun(error.to_string()))?;
    let settings = CacheSettings {
        subjects: true,
        ..CacheSettings::default()
    };
    let schemas = SchemaCache::new(registry.clone(), runtime.clone(), settings);
    let schemas = Arc::new(schemas);
    let judge = match &role {
        Some(role) => Some(Judge::build(
            role,
            &registry,
            &schemas,
            runtime,
            &config.kafka,
            args.with_lookups,
        )?),
        None => None,
    };
    let origin = match &role {
        Some(role) if !role.is_source() => Origin::of_retry(&read, &role.source),
        _ => Origin::of_source(&read),
    };
    // A retry is judged as its pipeline judges it: by its source topic and with its own headers.
    let own = match &role {
        Some(role) if !role.is_source() => crate::failure::envelope::own_headers(&read),
        _ => read
            .headers
            .iter()
            .map(|(name, value)| ((*name).into(), *value))
            .collect(),
    };
    let mut record = read.clone();
    record.headers = own
        .iter()
        .map(|(name, value)| (name.as_ref(), *value))
        .collect();

    let mask = !args.unmask;
    // Without a pipeline nobody can tell what is tagged (the topic may be a sink): if anything is, all is masked.
    let careful = match &judge {
        None => tagged(config),
        Some(_) => None,
    };
    if careful.is_some() && mask {
        remarks.push(
            "every value is masked: fields are tagged as PII, and without a pipeline nobody can tell which these are"
                .to_owned(),
        );
    }
    let none = careful.unwrap_or_default();
    let lineage = judge.as_ref().map_or(&none, |judge| &judge.lineage);
    let contract = judge.as_ref().map(|judge| judge.contract());
    let letter = dialect::read(&read);
    let body = Body::explain(&record, &schemas, contract, lineage, mask, args.lines);

    // Where a part of the value cannot be read, nobody can tell whether another tool repeats it.
    let hidden = mask && body.hide_key;
    let mut code = ExitCode::SUCCESS;
    let outcome = match &judge {
        Some(judge) => judge.outcome(&record, &origin, mask),
        None => explain::Outcome {
            outcome: "not_read".to_owned(),
            text: "no pipeline of this configuration reads the topic; --pipeline names one to explain by".to_owned(),
            ..explain::Outcome::default()
        },
    };
    if body.registry_down {
        code = ExitCode::from(COULD_NOT_RUN);
    }
    remarks.extend(body.remarks);
    remarks.extend(judge.iter().flat_map(|judge| judge.remarks.clone()));
    let report = Report {
        record: explain::Place {
            topic: args.topic.clone(),
            partition: args.partition,
            offset: args.offset,
            timestamp: read.timestamp.map(moment),
            role: role.as_ref().map(Role::words),
        },
        // Headers like ours are told as ours on our own topics, and where somebody says that these are dead letters.
        origin: match &role {
            Some(role) if !role.is_source() => {
                let mut letter = letter;
                // What is missing is filled in from the record, as a worker does.
                letter.topic = Some(origin.topic.to_string());
                letter.partition = Some(origin.partition);
                letter.offset = Some(origin.offset);
                letter.timestamp = origin.timestamp;
                Some(outcome::origin(
                    &read,
                    &letter,
                    contract,
                    (hidden, &body.secrets),
                ))
            }
            _ if is_letter && letter.dialect.is_some() => Some(outcome::origin(
                &read,
                &letter,
                contract,
                (hidden, &body.secrets),
            )),
            _ => None,
        },
        key: match (mask && body.hide_key, read.key) {
            (true, Some(_)) => explain::Shown::Text(explain::MASK.to_owned()),
            _ => shown(read.key, &body.secrets),
        },
        headers: read
            .headers
            .iter()
            .map(|(name, value)| {
                let shown = match hidden && dialect::may_quote(name) {
                    true => Shown::Text(explain::MASK.to_owned()),
                    false => header(name, *value, &body.secrets),
                };
                ((*name).to_owned(), shown)
            })
            .collect(),
        value_bytes: read.value.map(<[u8]>::len),
        writer: body.writer,
        pipeline: judge.as_ref().map(|judge| judge.name().to_owned()),
        contract: judge.as_ref().map(|judge| judge.contract_name.clone()),
        lines: body.lines,
        lines_left_out: body.more,
        stop: body.stop,
        outcome,
        remarks,
    };
    Ok((report, code))
}

/// A header for a person. Numbers that other tools write as bytes are told as numbers.
fn header(name: &str, value: Option<&[u8]>, secrets: &[String]) -> Shown {
    match (shown(value, secrets), value) {
        (Shown::Bytes { hex, length }, Some(value)) => match dialect::decoded(name, value) {
            Some(text) => Shown::Text(text),
            None => Shown::Bytes { hex, length },
        },
        // Bytes of a number may look like a text.
        (Shown::Text(text), Some(value)) if text != explain::MASK => {
            let decoded = dialect::decoded(name, value);
            Shown::Text(decoded.filter(|_| value.len() <= 8).unwrap_or(text))
        }
        (other, _) => other,
    }
}

fn named<'c>(config: &'c Config, name: &str) -> Result<&'c Pipeline, Refusal> {
    model::named(&config.pipelines, name).map_err(Refusal::Usage)
}

fn from_file(file: &Path, schema_id: Option<u32>) -> Result<Owned, Refusal> {
    /// More than any broker takes.
    const LARGEST: u64 = 1 << 30;
    let mut value = Vec::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin()
            .lock()
            .take(LARGEST)
            .read_to_end(&mut value),
        false => {
            std::fs::File::open(file).and_then(|file| file.take(LARGEST).read_to_end(&mut value))
        }
    };
    read.map_err(|error| Refusal::CouldNotRun(format!("{}: {error}", file.display())))?;
    let mut owned = Owned {
        value: Some(value),
        ..Owned::default()
    };
    if let Some(id) = schema_id {
        let mut header = Vec::new();
        wire::write_header(id, &mut header);
        owned
            .headers
            .push((wire::VALUE_HEADER.to_owned(), Some(header)));
    }
    Ok(owned)
}

/// What the topic is to which pipeline. Where several read it, a dead letter's header may tell them apart.
fn role<'c>(
    args: &ExplainArgs,
    config: &'c Config,
    record: &Record<'_>,
) -> Result<Option<Role<'c>>, Refusal> {
    let Some(topic) = &args.topic else {
        let pipeline = match (&args.pipeline, config.pipelines.as_slice()) {
            (Some(name), _) => named(config, name)?,
            (None, [only]) => only,
            (None, all) => {
                let known: Vec<_> = all.iter().map(|p| p.name.as_str()).collect();
                let text = format!(
                    "--pipeline is needed with a file: one of {}",
                    known.join(", ")
                );
                return Err(Refusal::Usage(text));
            }
        };
        return Ok(Some(Role::source(pipeline, None)));
    };
    let mut roles: Vec<Role<'c>> = config
        .pipelines
        .iter()
        .filter(|pipeline| {
            args.pipeline
                .as_ref()
                .is_none_or(|name| *name == pipeline.name)
        })
        .filter_map(|pipeline| Role::of(pipeline, topic, record))
        .collect();
    if roles.len() > 1 {
        let header = record.header(headers::PIPELINE);
        let by_header = |role: &Role<'_>| {
            !role.is_source() && header.is_some_and(|name| name == role.pipeline.name.as_bytes())
        };
        if let Some(index) = roles.iter().position(by_header) {
            return Ok(Some(roles.swap_remove(index)));
        }
        let names: Vec<_> = roles
            .iter()
            .map(|role| role.pipeline.name.as_str())
            .collect();
        let text = format!(
            "several pipelines read {topic}: say --pipeline, one of {}",
            names.join(", ")
        );
        return Err(Refusal::Usage(text));
    }
    match (roles.pop(), &args.pipeline) {
        (Some(role), _) => Ok(Some(role)),
        // Asked for by name: as if it read this topic.
        (None, Some(name)) => Ok(Some(Role::source(named(config, name)?, Some(topic)))),
        (None, None) => Ok(None),
    }
}

/// The tags of the first pipeline that has any.
fn tagged(config: &Config) -> Option<Lineage> {
    let rules = config.pipelines.iter().map(rules_of);
    let mut lineages = rules.map(|rules| Lineage::new(&rules, (&[], 0), &[], &[]));
    lineages.find(Lineage::has_tags)
}

/// The rules file of a pipeline. It has been read once already, so a fault in it has been told.
pub(super) fn rules_of(pipeline: &Pipeline) -> RulesFile {
    let load = |path: &PathBuf| crate::config::rules::load(path, &environment).ok();
    let loaded = pipeline.contract.rules.as_ref().and_then(load);
    loaded.map(|(rules, _)| rules).unwrap_or_default()
}
