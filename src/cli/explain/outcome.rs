//! What becomes of a record: the pipeline as `run` compiles it, one record through it, and its verdict in words.

use std::sync::Arc;
use std::time::Duration;

use super::{Refusal, rules_of};
use crate::build::{self, BuildError};
use crate::cli::{environment, natives};
use crate::config::diagnose;
use crate::config::model::{Kafka, OnForeign, Pipeline, SchemaSource, Step};
use crate::config::units::format_duration;
use crate::contract::cache::SchemaCache;
use crate::contract::decode::{Limits, decode};
use crate::contract::registry::{RegistryClient, RegistryError};
use crate::contract::schema::Schema;
use crate::contract::wire;
use crate::dlq::dialect::{Dialect, Letter};
use crate::dlq::tally;
use crate::error::Reason;
use crate::explain::lineage::TAG;
use crate::explain::{self, Lineage, Outcome, Shown, emitted, moment, shown};
use crate::failure::classify::Next;
use crate::failure::envelope::{self, Origin};
use crate::headers;
use crate::ingest::properties;
use crate::lookup::{Around, Lookups};
use crate::pipeline::{Compiled, ForeignField};
use crate::record::Record;
use crate::review;
use crate::trial::{Emitted, Failed, Fate, Trial};

/// How long the tables of lookups may take to load. One that is not loaded then says so itself.
const TABLES: Duration = Duration::from_secs(30);

/// What a topic is to a pipeline.
pub(super) struct Role<'c> {
    pub(super) pipeline: &'c Pipeline,
    /// The source topic that it belongs to.
    pub(super) source: String,
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    File,
    Source,
    /// Counted from 1.
    Retry(usize),
    DeadLetter,
}

impl<'c> Role<'c> {
    /// As if it were read from a source topic.
    pub(super) fn source(pipeline: &'c Pipeline, topic: Option<&str>) -> Role<'c> {
        let first = pipeline.source_topics.first().cloned().unwrap_or_default();
        Role {
            pipeline,
            source: topic.map_or(first, str::to_owned),
            kind: if topic.is_some() {
                Kind::Source
            } else {
                Kind::File
            },
        }
    }

    pub(super) fn of(pipeline: &'c Pipeline, topic: &str, record: &Record<'_>) -> Option<Role<'c>> {
        let role = |source: &str, kind| {
            Some(Role {
                pipeline,
                source: source.to_owned(),
                kind,
            })
        };
        for source in &pipeline.source_topics {
            if source == topic {
                return role(source, Kind::Source);
            }
            for tier in 1..=pipeline.failure.tiers.len() {
                if pipeline.retry_topic(source, tier) == topic {
                    return role(source, Kind::Retry(tier));
                }
            }
        }
        let mut sources = pipeline.source_topics.iter();
        let first = sources.find(|source| pipeline.dead_letter_topic(source) == topic)?;
        // Several sources may share a dead-letter topic.
        let told = record.header(headers::SOURCE_TOPIC);
        let mut sources = pipeline.source_topics.iter();
        let source = sources.find(|source| told == Some(source.as_bytes()));
        role(source.unwrap_or(first), Kind::DeadLetter)
    }

    pub(super) fn is_source(&self) -> bool {
        matches!(self.kind, Kind::Source | Kind::File)
    }

    pub(super) fn words(&self) -> String {
        match self.kind {
            Kind::File => "a file, as if from the source topic".to_owned(),
            Kind::Source => "source".to_owned(),
            Kind::Retry(tier) => format!("retry tier {tier} of {}", self.source),
            Kind::DeadLetter => format!("dead letters of {}", self.source),
        }
    }
}

/// A pipeline that can say what becomes of a record.
pub(super) struct Judge {
    pub(super) lineage: Lineage,
    pub(super) contract_name: String,
    pub(super) remarks: Vec<String>,
    trial: Trial,
    with_lookups: bool,
    source: String,
    is_dead_letter: bool,
}

impl Judge {
    pub(super) fn build(
        role: &Role<'_>,
        registry: &RegistryClient,
        schemas: &Arc<SchemaCache>,
        runtime: &tokio::runtime::Handle,
        kafka: &Kafka,
        with_lookups: bool,
    ) -> Result<Judge, Refusal> {
        let pipeline = role.pipeline;
        let mut remarks = Vec::new();
        let compile = |registry| {
            runtime.block_on(build::compile_with(
                pipeline,
                registry,
                &environment,
                natives(),
            ))
        };
        let compiled = match compile(Some(registry)) {
            Err(BuildError::Registry(RegistryError::Unavailable { message, .. })) => {
                remarks.push(format!(
                    "rules that the registry keeps are left out: {message}"
                ));
                match compile(None) {
                    // Something of the pipeline lies there.
                    Ok(None) => return Err(Refusal::CouldNotRun(message)),
                    offline => offline,
                }
            }
            compiled => compiled,
        };
        let parts = match compiled {
            Ok(Some(parts)) => parts,
            Ok(None) => return Err(Refusal::CouldNotRun("a schema cannot be loaded".to_owned())),
            Err(BuildError::Faults(faults)) => {
                return Err(Refusal::Usage(diagnose::render(&faults, false)));
            }
            Err(BuildError::Registry(error @ RegistryError::Unavailable { .. })) => {
                return Err(Refusal::CouldNotRun(error.to_string()));
            }
            Err(BuildError::Registry(error)) => return Err(Refusal::Usage(error.to_string())),
        };
        let mut sink_ids = Vec::new();
        for sink in &parts.sinks {
            let (subject, schema) = (&sink.config.subject, &sink.config.schema);
            let id = match (sink.schema.id, schema) {
                (Some(id), _) => Some(id),
                // Asked for and never registered here: this command changes nothing.
                (None, SchemaSource::File { path }) => {
                    let found =
                        runtime.block_on(review::register::find_file(registry, subject, path));
                    found.unwrap_or_default()
                }
                (None, SchemaSource::Subject { .. }) => None,
            };
            if id.is_none() {
                remarks.push(format!(
                    "the sink's schema was not found under {subject} in the registry"
                ));
            }
            sink_ids.push(id.unwrap_or(0));
        }
        let contract_name = parts.contract.name.clone();
        let types: Vec<Schema> = parts.types().map(|(_, schema)| schema.clone()).collect();
        let types: Vec<&Schema> = types.iter().collect();
        let asked = build::tagged(&parts.contract, &pipeline.contract.schema, registry, TAG);
        let tagged = runtime.block_on(asked);
        // Where nobody can say which fields the registry tags, all of them may be.
        let tagged = tagged.unwrap_or_else(|_| vec![String::new()]);
        let steps = [pipeline.prepare.as_slice(), &pipeline.transform].concat();
        let prepared = pipeline.prepare.len();
        let lineage = Lineage::new(&rules_of(pipeline), (&steps, prepared), &types, &tagged);
        let compiled = parts.finish(pipeline, &sink_ids);
        let lookups = match with_lookups {
            false => Lookups::none(runtime.clone()),
            true => {
                let kafka = properties::reader(kafka, pipeline);
                let schemas = Arc::clone(schemas);
                let around = Around::tool(&pipeline.name, kafka, schemas, runtime.clone());
                let lookups = Lookups::start(compiled.transform.lookups(), &around)
                    .map_err(|error| Refusal::CouldNotRun(error.to_string()))?;
                lookups.loaded(TABLES);
                lookups
            }
        };
        Ok(Judge {
            lineage,
            contract_name,
            remarks,
            trial: Trial::new(Arc::new(compiled), Arc::new(lookups), Arc::clone(schemas)),
            with_lookups,
            source: role.source.clone(),
            is_dead_letter: role.kind == Kind::DeadLetter,
        })
    }

    fn compiled(&self) -> &Compiled {
        self.trial.compiled()
    }

    pub(super) fn name(&self) -> &str {
        &self.compiled().config.name
    }

    pub(super) fn contract(&self) -> &Schema {
        &self.compiled().contract
    }

    /// Runs the record as a worker would; nothing is written and nobody is told.
    pub(super) fn outcome(&self, record: &Record<'_>, origin: &Origin, mask: bool) -> Outcome {
        let mut origin = origin.clone();
        if self.is_dead_letter {
            // As a redrive would send it: with all its tries before it.
            (origin.attempt, origin.first_failed_at) = (0, None);
        }
        let tried = self
            .trial
            .run(&self.source, record, &origin, self.with_lookups);
        let mut outcome = match tried.fate {
            Fate::Emitted(outputs) => match outputs.as_slice() {
                [output] => self.emit(output, mask),
                outputs => self.emit_all(outputs, mask),
            },
            Fate::Filtered => Outcome {
                outcome: "filtered".to_owned(),
                text: {
                    // An array without elements leaves nothing either.
                    let kinds = ["filter", "explode"];
                    let steps = kinds.iter().flat_map(|kind| self.lineage.steps(kind));
                    format!("by {}", steps.collect::<Vec<_>>().join(" or "))
                },
                ..Outcome::default()
            },
            Fate::Waits(lookup) => self.waits(lookup),
            Fate::Failed(failed) => self.failed(&failed),
        };
        for field in &tried.foreign {
            let ForeignField { path, owner, then } = field;
            let what = match then {
                // The error says it.
                OnForeign::Reject => continue,
                OnForeign::Ignore => "left out",
                OnForeign::Flag => "flagged",
            };
            let text = format!("; {path} was {what}, since {owner} owns it");
            outcome.text.push_str(&text);
        }
        if self.is_dead_letter {
            outcome.text = format!("if it were sent back now: {}", outcome.text);
        }
        outcome
    }

    /// Several outputs of one record.
    fn emit_all(&self, outputs: &[Emitted], mask: bool) -> Outcome {
        let each: Vec<Outcome> = outputs
            .iter()
            .map(|output| self.emit(output, mask))
            .collect();
        let mut topics: Vec<String> = Vec::new();
        for topic in each.iter().filter_map(|outcome| outcome.topic.as_ref()) {
            if !topics.contains(topic) {
                topics.push(topic.clone());
            }
        }
        let texts: Vec<&str> = each.iter().map(|outcome| outcome.text.as_str()).collect();
        let values = each.iter().map(|outcome| outcome.value.clone());
        Outcome {
            outcome: "emitted".to_owned(),
            text: format!("{} records: {}", outputs.len(), texts.join("; ")),
            topic: Some(topics.join(", ")),
            value: Some(values.map(Option::unwrap_or_default).collect()),
            ..Outcome::default()
        }
    }

    fn emit(&self, output: &Emitted, mask: bool) -> Outcome {
        let topic = output.written.topic.clone();
        let Some(value) = &output.value else {
            return Outcome {
                outcome: "emitted".to_owned(),
                text: format!("to {topic}, as it is: a tombstone has nothing to check"),
                topic: Some(topic),
                ..Outcome::default()
            };
        };
        let payload = value.get(wire::HEADER_LEN..).unwrap_or_default();
        let json = decode(&output.schema, payload, &Limits::default())
            .map(|value| emitted(&output.schema, &value, mask.then_some(&self.lineage)));
        let bytes = value.len();
        let id = match output.schema_id {
            0 => String::new(),
            id => format!(" with schema {id}"),
        };
        Outcome {
            outcome: "emitted".to_owned(),
            text: format!("to {topic}{id}, {bytes} bytes"),
            topic: Some(topic),
            value: json.ok(),
            ..Outcome::default()
        }
    }

    fn waits(&self, lookup: usize) -> Outcome {
        let config = &self.compiled().config;
        let steps = config.prepare.iter().chain(&config.transform).enumerate();
        let mut lookups = steps.filter(|(_, step)| matches!(step, Step::Lookup(_)));
        let step = lookups.nth(lookup).map_or(0, |(index, _)| index + 1);
        let spec = &self.compiled().transform.lookups()[lookup];
        let (origin, into) = (&spec.origin, &spec.into);
        Outcome {
            outcome: "waits_for_lookup".to_owned(),
            text: format!(
                "step {step} (lookup) would ask {origin} for `{into}`; --with-lookups asks"
            ),
            ..Outcome::default()
        }
    }

    fn failed(&self, failed: &Failed) -> Outcome {
        let Failed {
            error,
            next,
            written,
        } = failed;
        let topic = written.as_ref().map(|written| written.topic.clone());
        let to = topic.as_deref().unwrap_or_default();
        let (outcome, to) = match next {
            Next::DeadLetter => ("dead_lettered", format!("to {to}")),
            Next::Tier(tier) => {
                let tiers = &self.compiled().config.failure.tiers;
                let delay = tiers.get(*tier).copied().unwrap_or_default();
                (
                    "retried",
                    format!("to {to}, due after {}", format_duration(delay)),
                )
            }
            Next::Pause => {
                let text = match error.reason {
                    Reason::DriftHalted => "its partition waits here until somebody has looked",
                    _ => "its partition waits here and tries again",
                };
                ("paused", text.to_owned())
            }
        };
        Outcome {
            outcome: outcome.to_owned(),
            text: format!("{to}: {}: {error}", error.reason),
            reason: Some(error.reason.to_string()),
            path: (!error.path.is_empty()).then(|| error.path.clone()),
            offset: error.byte_offset,
            topic,
            value: None,
        }
    }
}

/// What the headers of a retry or dead letter say. What another tool says of an error may repeat what is masked.
pub(super) fn origin(
    record: &Record<'_>,
    letter: &Letter,
    contract: Option<&Schema>,
    (hidden, secrets): (bool, &[String]),
) -> explain::Origin {
    let ours = letter.dialect == Some(Dialect::Driftgate);
    let text = |text: &Option<String>| match shown(text.as_ref().map(String::as_bytes), secrets) {
        Shown::Text(_) if hidden => Some(explain::MASK.to_owned()),
        Shown::Text(text) => Some(text),
        Shown::Null | Shown::Bytes { .. } => None,
    };
    let expected = letter.path.as_deref().and_then(|path| {
        let (contract, path) = (contract?, tally::general(path));
        Some(contract.describe(contract.find(&path)?))
    });
    let due_at = ours
        .then(|| envelope::due_at(record))
        .filter(|due| *due > 0);
    explain::Origin {
        position: letter.position().unwrap_or_else(|| "not told".to_owned()),
        timestamp: letter.timestamp.map(moment),
        attempt: letter.attempt.unwrap_or(0),
        reason: letter.reason.clone(),
        error: match ours {
            true => letter.error.clone(),
            false => text(&letter.error),
        },
        path: letter.path.clone(),
        pipeline: letter.pipeline.clone(),
        first_failed_at: letter.first_failed_at.map(moment),
        due_at: due_at.map(moment),
        redriven: letter.redriven,
        dialect: letter
            .dialect
            .filter(|_| !ours)
            .map(|dialect| dialect.as_str().to_owned()),
        group: letter.group.clone(),
        owner: letter.owner.clone(),
        failed_at: letter.failed_at.map(moment),
        expected,
    }
}
