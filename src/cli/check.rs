//! `driftgate check`: everything that can be known before start, told at once. Offline what is written; online also
//! what only the broker and the registry know.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::{
    COULD_NOT_RUN, FINDINGS, USAGE, complain, complain_of, environment, flow, natives, print,
    warn_of,
};
use crate::build::{self, BuildError, Parts};
use crate::config::model::{Config, Pipeline, SchemaSource};
use crate::config::{self, fault::Fault};
use crate::contract::registry::{RegistryClient, RegistryError};
use crate::contract::rules::Listed;
use crate::ingest::properties;
use crate::ingest::topics::admin::TopicAdmin;
use crate::ingest::topics::{self, Finding};
use crate::instance::refusal;
use crate::quiet::UNSEEN;
use crate::review::register;
use crate::words::counted;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  driftgate check -c driftgate.yaml\n  driftgate check --offline            # in a review, without broker and registry\n  driftgate check --print-schema > driftgate.schema.json

Exit codes: 0 nothing is wrong, 1 broker or registry say something else than the configuration, 2 wrong usage, or the
configuration, a schema, a rule or a step is wrong, 3 broker or registry could not be asked."
)]
pub struct CheckArgs {
    /// The configuration file.
    #[arg(short, long, default_value = "driftgate.yaml")]
    config: PathBuf,
    /// Ask neither the broker nor the registry.
    #[arg(long)]
    offline: bool,
    /// Print the type after each step as well.
    #[arg(long)]
    explain: bool,
    /// How the flow is printed.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
    /// Print the JSON Schema of the configuration file, for editors, and do nothing else.
    #[arg(long)]
    print_schema: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    /// A table and a Mermaid diagram.
    Table,
    /// One JSON object.
    Json,
    /// The Mermaid diagram alone.
    Mermaid,
}

/// What was found, by how bad it is.
#[derive(Debug, Default)]
struct Report {
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    /// Warnings that belong to no line of the file.
    cautions: Vec<String>,
    findings: Vec<String>,
    notes: Vec<String>,
    unreachable: Vec<String>,
    rules: Vec<flow::Rule>,
}

/// Checks the configuration.
pub fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    if args.print_schema {
        print(&format!("{:#}\n", config::schema::json_schema()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut loaded = match config::load(&args.config, &environment) {
        Ok(loaded) => loaded,
        Err(faults) => {
            complain_of(&faults);
            return Ok(ExitCode::from(USAGE));
        }
    };
    let mut report = Report {
        warnings: [
            std::mem::take(&mut loaded.warnings),
            std::mem::take(&mut loaded.advice),
        ]
        .concat(),
        ..Report::default()
    };
    let explained = super::runtime()?.block_on(examine(&loaded.config, &args, &mut report))?;
    loaded.locate(&mut report.faults);
    report.unreachable.dedup();
    match args.output {
        Output::Json => {
            let mut json = flow::json(&loaded.config);
            json["rules"] = report.rules.iter().map(flow::Rule::json).collect();
            json["findings"] = report.findings.clone().into();
            json["unreachable"] = report.unreachable.clone().into();
            print(&format!("{json:#}\n"))?;
        }
        Output::Mermaid => print(&flow::mermaid(&loaded.config))?,
        Output::Table => {
            print(&flow::table(&loaded.config))?;
            if !report.rules.is_empty() {
                print(&format!("\n{}", flow::rules(&report.rules)))?;
            }
            print(&format!("\n{}", flow::mermaid(&loaded.config)))?;
        }
    }
    print(&explained)?;
    Ok(conclude(&report))
}

fn conclude(report: &Report) -> ExitCode {
    if !report.faults.is_empty() {
        complain_of(&report.faults);
    }
    warn_of(&report.warnings);
    for caution in &report.cautions {
        complain(&format!("warning: {caution}"));
    }
    for note in &report.notes {
        complain(&format!("note: {note}"));
    }
    for finding in &report.findings {
        complain(&format!("finding: {finding}"));
    }
    for what in &report.unreachable {
        complain(&format!("not checked: {what}"));
    }
    if !report.faults.is_empty() {
        ExitCode::from(USAGE)
    } else if !report.findings.is_empty() {
        ExitCode::from(FINDINGS)
    } else if !report.unreachable.is_empty() {
        ExitCode::from(COULD_NOT_RUN)
    } else {
        complain("check: ok");
        ExitCode::SUCCESS
    }
}

async fn examine(config: &Config, args: &CheckArgs, report: &mut Report) -> anyhow::Result<String> {
    let registry = match args.offline {
        true => None,
        false => Some(RegistryClient::new(&config.registry)?),
    };
    let mut explained = String::new();
    for pipeline in &config.pipelines {
        let compiled =
            build::compile_with(pipeline, registry.as_ref(), &environment, natives()).await;
        match compiled {
            Ok(Some(parts)) => {
                let rules = parts.rules();
                let rules = rules.map(|line| flow::Rule::new(&pipeline.name, &line));
                report.rules.extend(rules);
                report.warnings.extend(parts.warnings.iter().cloned());
                if args.explain {
                    explain(pipeline, &parts, &mut explained)?;
                }
                if let Some(registry) = &registry {
                    ask_registry(pipeline, registry, report).await;
                }
            }
            Ok(None) => {
                let text = format!(
                    "pipeline {}: a schema lies in the registry, and --offline forbids to ask",
                    pipeline.name
                );
                report.notes.push(text);
            }
            Err(BuildError::Faults(faults)) => report.faults.extend(faults),
            Err(BuildError::Registry(error)) => registry_error(pipeline, &error, report),
        }
    }
    report
        .notes
        .extend(config.pipelines.iter().filter_map(unlimited));
    if args.offline {
        let text = "--offline: rules that the registry keeps with a subject are not looked at";
        report.notes.push(text.to_owned());
    }
    if !args.offline {
        ask_broker(config, report).await?;
    }
    Ok(explained)
}

fn explain(pipeline: &Pipeline, parts: &Parts, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\npipeline {}", pipeline.name)?;
    writeln!(
        out,
        "  contract {}: {}",
        parts.contract.name,
        record(&parts.contract.schema)
    )?;
    if let Some(key) = &parts.key {
        writeln!(out, "  key {}: {}", key.name, record(&key.schema))?;
    }
    let mut types = parts.types();
    for (step, schema) in types.by_ref().take(1 + pipeline.prepare.len()) {
        writeln!(out, "  {step}: {}", record(schema))?;
    }
    for line in parts.rules() {
        let Listed {
            rule,
            origin,
            checks,
            does,
        } = line.rule;
        writeln!(
            out,
            "  rule {rule} of {origin} on {}: {checks}: {does}",
            line.on
        )?;
    }
    for (step, schema) in types {
        writeln!(out, "  {step}: {}", record(schema))?;
    }
    for sink in &parts.sinks {
        let loaded = &sink.schema;
        writeln!(out, "  sink {}: {}", loaded.name, record(&loaded.schema))?;
    }
    Ok(())
}

fn record(schema: &crate::contract::schema::Schema) -> String {
    let Some(record) = schema.record() else {
        return schema.describe(schema.root);
    };
    let fields: Vec<_> = record
        .fields
        .iter()
        .map(|field| format!("{}: {}", field.name, schema.describe(field.node)))
        .collect();
    format!("{{ {} }}", fields.join(", "))
}

fn registry_error(pipeline: &Pipeline, error: &RegistryError, report: &mut Report) {
    let text = format!("pipeline {}: registry: {error}", pipeline.name);
    match error {
        RegistryError::Unavailable { .. } => report.unreachable.push(text),
        _ => report.findings.push(text),
    }
}

/// Whether the reviewed files are what the registry has, or would take.
async fn ask_registry(pipeline: &Pipeline, registry: &RegistryClient, report: &mut Report) {
    let contract = (
        pipeline.contract.schema.subject(),
        &pipeline.contract.schema,
        false,
    );
    let sinks = pipeline.sinks();
    let sinks = sinks
        .iter()
        .map(|sink| (sink.subject.clone(), &sink.schema, true));
    let key = pipeline.contract.key.as_ref();
    let key = key.map(|key| (key.schema.subject(), &key.schema, false));
    for (subject, source, is_sink) in [contract].into_iter().chain(sinks).chain(key) {
        let SchemaSource::File { path } = source else {
            continue;
        };
        let found = match register::find_file(registry, &subject, path).await {
            Ok(found) => found,
            Err(error) => {
                registry_error(pipeline, &error, report);
                continue;
            }
        };
        if found.is_none() {
            match register::check_file(registry, &subject, path).await {
                Ok(reasons) if reasons.is_empty() => {
                    let text = format!(
                        "pipeline {}: {} is not registered under {subject}",
                        pipeline.name,
                        path.display()
                    );
                    // The producers register what they write; what we write is ours to register.
                    if is_sink && !pipeline.sink.auto_register {
                        report.findings.push(format!("{text}: run `driftgate schema register -c …`, or set sink.auto_register: true"));
                    } else {
                        report.notes.push(text);
                    }
                }
                Ok(reasons) => report.findings.push(format!(
                    "pipeline {}: {} is not compatible with subject {subject}: {}",
                    pipeline.name,
                    path.display(),
                    reasons.join("; ")
                )),
                Err(error) => registry_error(pipeline, &error, report),
            }
        }
    }
    check_compatibility_level(pipeline, registry, report).await;
}

/// The rules file may state the compatibility level that its subject is to have.
async fn check_compatibility_level(
    pipeline: &Pipeline,
    registry: &RegistryClient,
    report: &mut Report,
) {
    let Some(path) = &pipeline.contract.rules else {
        return;
    };
    let Ok((rules, _)) = config::rules::load(path, &environment) else {
        return;
    };
    let Some(wanted) = rules.compatibility else {
        return;
    };
    let subject = pipeline.contract.schema.subject();
    match registry.compatibility(&subject).await {
        Ok(level) if level == wanted => {}
        Ok(level) => report.findings.push(format!(
            "pipeline {}: subject {subject} has compatibility {level}, and {} wants {wanted}: run `driftgate schema register`",
            pipeline.name,
            path.display()
        )),
        Err(error) => registry_error(pipeline, &error, report),
    }
}

async fn ask_broker(config: &Config, report: &mut Report) -> anyhow::Result<()> {
    let admin = TopicAdmin::new(&properties::admin(&config.kafka), Duration::from_secs(10))?;
    for pipeline in &config.pipelines {
        let mut names = topics::names(pipeline);
        names.push(pipeline.control_topic());
        let known = match admin.known(&names).await {
            Ok(known) => known,
            Err(error) => {
                let servers = &config.kafka.bootstrap_servers;
                report
                    .unreachable
                    .push(format!("topics, at {servers}: {error}"));
                return Ok(());
            }
        };
        let asked = topics::asked(pipeline);
        let there = tokio::task::block_in_place(|| admin.partitions(&asked))?;
        for topic in asked.iter().filter(|topic| !there.contains_key(*topic)) {
            report.findings.push(format!(
                "pipeline {}: topic {topic} of a lookup does not exist, {UNSEEN}; records that need it would wait",
                pipeline.name
            ));
        }
        let all = tokio::task::block_in_place(|| admin.all())?;
        let all: Vec<String> = all.into_keys().collect();
        for topic in topics::unread(&all, &config.pipelines, &pipeline.group) {
            report
                .notes
                .push(format!("topic {topic}: {}", topics::UNREAD));
        }
        for text in topics::untold(&known) {
            let text = format!("pipeline {}: {text}", pipeline.name);
            report.cautions.push(text);
        }
        for finding in topics::findings(pipeline, &known) {
            match refusal(&finding, pipeline.create_topics) {
                Some(text) => report
                    .findings
                    .push(format!("pipeline {}: {text}", pipeline.name)),
                None => report.notes.push(format!(
                    "pipeline {}: {}",
                    pipeline.name,
                    intention(&finding)
                )),
            }
        }
    }
    Ok(())
}

/// A pipeline whose bad records nothing stops, however many there are.
fn unlimited(pipeline: &Pipeline) -> Option<String> {
    let limits = &pipeline.failure.dead_letter;
    let is_limited = limits.pause_above.is_some() || limits.pause_after.is_some();
    (!is_limited).then(|| {
        format!(
            "pipeline {}: nothing stops a flood of dead letters; failure.dead_letter.pause_above or pause_after does",
            pipeline.name
        )
    })
}

fn intention(finding: &Finding) -> String {
    match finding {
        Finding::Create {
            topic, partitions, ..
        } => {
            format!(
                "topic {topic} does not exist, {UNSEEN}: `run` creates it with {}",
                counted(*partitions, "partition")
            )
        }
        Finding::Grow { topic, from, to } => {
            let to = counted(*to, "partition");
            format!("topic {topic} will grow from {from} to {to}")
        }
        Finding::MissingSource(topic)
        | Finding::TooSmall { topic, .. }
        | Finding::Compacted { topic } => format!("topic {topic}"),
        Finding::Forgets { topic, why } => format!("topic {topic}: {why}"),
    }
}
