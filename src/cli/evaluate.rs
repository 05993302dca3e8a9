//! `driftgate try`: an expression and a record → its type and its value.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use super::{COULD_NOT_RUN, FINDINGS, Output, USAGE, complain, complain_of, environment, print};
use crate::build;
use crate::config::model::{self, Pipeline, SchemaSource};
use crate::config::{self, Loaded, fault::Fault};
use crate::contract::schema::Schema;
use crate::record::Record;
use crate::trial::{self, Answer, Around, Event, NoAnswer, evaluate, subject_file};

/// More than any broker takes.
const LARGEST: u64 = 1 << 30;

/// Evaluates one expression on one record.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  driftgate try '1.5 + 2.0'
  driftgate try 'currency + \"!\"' --record order.json
  driftgate try 'items.all(i, i.n > 0)' --record order.bin --schema schemas/orders-value.avsc
  driftgate try 'header(\"tenant\").orValue(\"none\")' --header tenant=acme
  driftgate try --after 2 --record order.json
  kcat -C -t orders -o 7 -c 1 -D '' | driftgate try 'amount' --record -

A record is JSON of the schema, or Avro, as bytes or in hex, with the frame of the registry or
without. Its bytes are read by the schema that is given here, whatever their frame says. Without a
record, an expression that names no field has a value, and any other a type. With a configuration,
expressions can name the secrets of the pipeline.

Exit codes: 0 evaluated, 1 the expression or a step fails on this record, or filters it, 2 wrong
usage, or the expression, the schema, the record or the configuration is wrong, 3 a file could not
be read.")]
pub struct TryArgs {
    /// The expression; with --after, the event as a whole unless one is given
    #[arg(value_name = "EXPR", required_unless_present = "after")]
    expr: Option<String>,
    /// The file that holds the record; `-` is stdin
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// The record's schema [default: the contract of the pipeline]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "pipeline"])]
    schema: Option<PathBuf>,
    /// The configuration whose contract is taken [default: driftgate.yaml, if it is there]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The pipeline whose contract is taken [default: the only one]
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Run so many steps of the pipeline first
    #[arg(long, value_name = "N", conflicts_with = "schema")]
    after: Option<usize>,
    /// The record's key, for `keyText()` [default: none]
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// A header of the record, for `header(…)`; may be repeated
    #[arg(long = "header", value_name = "NAME=TEXT", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The topic that the record was read from, for `topic()` [default: the pipeline's first, or none]
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Form of the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

enum Refusal {
    Faults(Vec<Fault>),
    Text(String),
}

/// Evaluates the expression.
pub fn run(args: TryArgs) -> anyhow::Result<ExitCode> {
    let refused = |refusal| {
        match refusal {
            Refusal::Faults(faults) => complain_of(&faults),
            Refusal::Text(text) => complain(&format!("driftgate: {text}")),
        }
        Ok(ExitCode::from(USAGE))
    };
    let config = match configured(&args) {
        Ok(config) => config,
        Err(refusal) => return refused(refusal),
    };
    let pipeline = match chosen(&args, config.as_ref()) {
        Ok(pipeline) => pipeline,
        Err(refusal) => return refused(refusal),
    };
    let schema = match (&args.schema, pipeline) {
        (Some(path), _) => of_file(path).map(Some),
        (None, Some((path, pipeline))) => contract(path, pipeline).map(Some),
        (None, None) => Ok(None),
    };
    let schema = match schema {
        Ok(schema) => schema,
        Err(refusal) => return refused(refusal),
    };
    let steps = match (args.after, pipeline) {
        (None, _) => Ok(Vec::new()),
        (Some(count), Some((_, pipeline))) => trial::steps(pipeline, count),
        (Some(_), None) => Err("--after is about the steps of a pipeline: say -c".to_owned()),
    };
    let steps = match steps {
        Ok(steps) => steps,
        Err(why) => return refused(Refusal::Text(why)),
    };
    let first = pipeline.and_then(|(_, pipeline)| pipeline.source_topics.first());
    let headers = args.headers.iter();
    let around = Around {
        secrets: pipeline.map_or_else(Default::default, |(_, pipeline)| build::secrets(pipeline)),
        steps,
        record: Record {
            topic: args.topic.as_ref().or(first).map_or("", String::as_str),
            key: args.key.as_ref().map(String::as_bytes),
            headers: headers
                .map(|(name, value)| (name.as_str(), Some(value.as_bytes())))
                .collect(),
            ..Record::default()
        },
    };
    let event = match (&schema, &args.record) {
        (Some(schema), Some(path)) => {
            let bytes = match read(path) {
                Ok(bytes) => bytes,
                Err(error) => {
                    complain(&format!("driftgate: {error:#}"));
                    return Ok(ExitCode::from(COULD_NOT_RUN));
                }
            };
            Event::read(schema, &bytes)
                .map(Some)
                .map_err(|why| format!("{}: {why}", path.display()))
        }
        (Some(schema), None) => Event::of_type(schema).map(Some),
        (None, Some(_)) => {
            Err("--schema or -c is needed with a record: what it is a value of".to_owned())
        }
        (None, None) => Ok(None),
    };
    let event = match event {
        Ok(event) => event,
        Err(why) => return refused(Refusal::Text(why)),
    };
    match evaluate(args.expr.as_deref(), event.as_ref(), &around) {
        Ok(answer) => {
            print(&shown(&answer, args.output)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(NoAnswer::Faults(mut faults)) => {
            if let Some((_, loaded)) = &config {
                loaded.locate(&mut faults);
            }
            refused(Refusal::Faults(faults))
        }
        Err(NoAnswer::Filtered) => {
            complain("driftgate: a filter among the steps says no to this record");
            Ok(ExitCode::from(FINDINGS))
        }
        Err(NoAnswer::Failed(error)) => {
            complain(&format!("driftgate: {}: {error}", error.reason));
            Ok(ExitCode::from(FINDINGS))
        }
    }
}

fn shown(answer: &Answer, output: Output) -> anyhow::Result<String> {
    let Answer { of_type, value } = answer;
    Ok(match (output, value) {
        (Output::Json, Some(value)) => {
            serde_json::to_string(&json!({ "type": of_type, "value": value }))? + "\n"
        }
        (Output::Json, None) => serde_json::to_string(&json!({ "type": of_type }))? + "\n",
        (Output::Table, Some(value)) => {
            format!(
                "type   {of_type}\nvalue  {}\n",
                serde_json::to_string(value)?
            )
        }
        (Output::Table, None) => {
            format!("type   {of_type}\nvalue  depends on the record, and --record gives none\n")
        }
    })
}

fn header(written: &str) -> Result<(String, String), String> {
    let (name, value) = written
        .split_once('=')
        .ok_or("a header is written NAME=TEXT")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// `None` where no configuration is named and none is needed.
fn configured(args: &TryArgs) -> Result<Option<(PathBuf, Loaded)>, Refusal> {
    let default = Path::new("driftgate.yaml");
    let path = match &args.config {
        _ if args.schema.is_some() => return Ok(None),
        Some(path) => path.as_path(),
        None if default.is_file() || args.pipeline.is_some() => default,
        None => return Ok(None),
    };
    let loaded = config::load(path, &environment).map_err(Refusal::Faults)?;
    Ok(Some((path.to_owned(), loaded)))
}

fn chosen<'c>(
    args: &TryArgs,
    config: Option<&'c (PathBuf, Loaded)>,
) -> Result<Option<(&'c Path, &'c Pipeline)>, Refusal> {
    let Some((path, loaded)) = config else {
        return Ok(None);
    };
    let config = &loaded.config;
    let names = || {
        let names: Vec<_> = config
            .pipelines
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        names.join(", ")
    };
    let pipeline = match (&args.pipeline, config.pipelines.as_slice()) {
        (Some(name), all) => model::named(all, name).map_err(Refusal::Text)?,
        (None, [only]) => only,
        // Nothing of a record is needed for what names no field.
        (None, _) if args.record.is_none() && args.after.is_none() => return Ok(None),
        (None, _) => {
            return Err(Refusal::Text(format!(
                "--pipeline is needed: one of {}",
                names()
            )));
        }
    };
    Ok(Some((path, pipeline)))
}

fn contract(config: &Path, pipeline: &Pipeline) -> Result<Schema, Refusal> {
    match &pipeline.contract.schema {
        SchemaSource::File { path } => of_file(path),
        SchemaSource::Subject { subject, .. } => {
            let file = subject_file(config, subject);
            match file.is_file() {
                true => of_file(&file),
                false => Err(Refusal::Text(format!(
                    "the contract is the subject {subject}, and no registry is asked: put its schema into {}, or say \
                     --schema",
                    file.display()
                ))),
            }
        }
    }
}

fn of_file(path: &Path) -> Result<Schema, Refusal> {
    let loaded = build::load_file(path).map_err(Refusal::Faults)?;
    Ok(loaded.schema.as_ref().clone())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin()
            .lock()
            .take(LARGEST)
            .read_to_end(&mut bytes),
        false => {
            std::fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes))
        }
    };
    read.with_context(|| path.display().to_string())?;
    Ok(bytes)
}
