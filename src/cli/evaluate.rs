//! `driftgate try`: an expression and a record → its type and its value.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use super::{COULD_NOT_RUN, FINDINGS, Output, USAGE, complain, complain_of, environment, print};
use crate::build;
use crate::config::model::SchemaSource;
use crate::config::{self, fault::Fault};
use crate::contract::schema::Schema;
use crate::trial::{Answer, Event, NoAnswer, evaluate, subject_file};

/// More than any broker takes.
const LARGEST: u64 = 1 << 30;

/// Evaluates one expression on one record.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  driftgate try '1.5 + 2.0'
  driftgate try 'currency + \"!\"' --record order.json
  driftgate try 'items.all(i, i.n > 0)' --record order.bin --schema schemas/orders-value.avsc
  kcat -C -t orders -o 7 -c 1 -D '' | driftgate try 'amount' --record -

A record is JSON of the schema, or Avro, as bytes or in hex, with the frame of the registry or
without. Its bytes are read by the schema that is given here, whatever their frame says. Without a
record, an expression that names no field has a value, and any other a type.

Exit codes: 0 evaluated, 1 the expression fails on this record, 2 wrong usage, or the expression,
the schema, the record or the configuration is wrong, 3 a file could not be read.")]
pub struct TryArgs {
    /// The expression
    #[arg(value_name = "EXPR")]
    expr: String,
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
    /// Form of the result
    #[arg(long, value_enum, default_value = "table")]
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
    let schema = match schema(&args) {
        Ok(schema) => schema,
        Err(refusal) => return refused(refusal),
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
    match evaluate(&args.expr, event.as_ref()) {
        Ok(answer) => {
            print(&shown(&answer, args.output)?)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(NoAnswer::Faults(faults)) => refused(Refusal::Faults(faults)),
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

/// `None` where neither a schema nor a configuration is named and none is needed.
fn schema(args: &TryArgs) -> Result<Option<Schema>, Refusal> {
    if let Some(path) = &args.schema {
        return of_file(path).map(Some);
    }
    let default = Path::new("driftgate.yaml");
    let path = match &args.config {
        Some(path) => path.as_path(),
        None if default.is_file() => default,
        None if args.pipeline.is_some() => default,
        None => return Ok(None),
    };
    let config = config::load(path, &environment)
        .map_err(Refusal::Faults)?
        .config;
    let names = || {
        let names: Vec<_> = config
            .pipelines
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        names.join(", ")
    };
    let pipeline = match (&args.pipeline, config.pipelines.as_slice()) {
        (Some(name), all) => all.iter().find(|one| one.name == *name).ok_or_else(|| {
            Refusal::Text(format!(
                "there is no pipeline {name}; there are {}",
                names()
            ))
        })?,
        (None, [only]) => only,
        // Nothing of a record is needed for what names no field.
        (None, _) if args.record.is_none() => return Ok(None),
        (None, _) => {
            return Err(Refusal::Text(format!(
                "--pipeline is needed: one of {}",
                names()
            )));
        }
    };
    match &pipeline.contract.schema {
        SchemaSource::File { path } => of_file(path).map(Some),
        SchemaSource::Subject { subject, .. } => {
            let file = subject_file(path, subject);
            match file.is_file() {
                true => of_file(&file).map(Some),
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
