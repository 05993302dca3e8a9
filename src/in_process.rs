//! A pipeline inside a program: records in, what becomes of them out, without Kafka, a registry or a thread. Input: a
//! configuration, or its parts as texts. What runs is what a worker runs: contract, drift policy, ownership, rules,
//! steps, sinks' rules. What a worker does with the outcome (offsets, retries, dead letters) is not here.
//!
//! No lookup can be asked here, so a pipeline with one is refused; `driftgate test` scripts their answers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::build::{self, BuildError};
use crate::config::fault::Fault;
use crate::config::{self, diagnose, model};
use crate::contract::cache::SchemaCache;
use crate::contract::decode::{Limits, decode};
use crate::contract::encode::encode;
use crate::contract::json::{FromJson, to_json};
use crate::contract::registry::{Fetched, RegistryClient, SchemaKind};
use crate::contract::schema::Schema;
use crate::contract::wire;
use crate::error::RecordError;
use crate::failure::classify::{Disposition, classify};
use crate::lookup::Lookups;
use crate::pipeline::{Gate, Output, Stages, Verdict};
use crate::record::Record;
use crate::transform::native::{Native, Natives};

/// The id that the contract's own schema has here.
pub const CONTRACT_ID: u32 = 1;
/// The first id of the sinks' schemas, in their order. Writer schemas may have any other.
const SINK_ID: u32 = 1_000_000_000;

/// A pipeline that runs in the caller's thread.
pub struct InProcess {
    stages: Stages,
    contract: Arc<Schema>,
    writers: BTreeMap<u32, Arc<Schema>>,
    /// The source topics.
    sources: Vec<String>,
    idle: Idle,
}

/// Drives nothing: what asks nobody has something to hold on to all the same.
pub(crate) struct Idle(Option<tokio::runtime::Runtime>);

/// What became of a record.
#[derive(Debug)]
pub enum Ended {
    /// It would be written: one record, or several that `explode` made of it.
    Emitted(Vec<Emitted>),
    /// A filter said no.
    Filtered,
    /// It failed.
    Failed {
        /// Why.
        error: RecordError,
        /// What a worker does with it.
        disposition: Disposition,
    },
}

/// A record as it would be written.
#[derive(Debug, Clone)]
pub struct Emitted {
    /// The sink's topic.
    pub topic: String,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value behind its frame; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers that are set in place of all of that name, or taken away (`None`), on the source's own.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    schema: Arc<Schema>,
}

impl Emitted {
    /// The value as JSON of the sink's schema; null for a tombstone.
    pub fn json(&self) -> Json {
        let Some(value) = &self.value else {
            return Json::Null;
        };
        let payload = value.get(wire::HEADER_LEN..).unwrap_or_default();
        let value = decode(&self.schema, payload, &Limits::default())
            .expect("what is emitted is a value of the sink's schema");
        to_json(&self.schema, self.schema.root, &value)
    }

    /// The sink's schema.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }
}

impl Ended {
    /// The one record that was emitted, as JSON; `None` for any other end.
    pub fn output(&self) -> Option<Json> {
        match self {
            Ended::Emitted(emitted) => match emitted.as_slice() {
                [one] => Some(one.json()),
                _ => None,
            },
            _ => None,
        }
    }

    /// Why it failed, if it did.
    pub fn error(&self) -> Option<&RecordError> {
        match self {
            Ended::Failed { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// What is wrong with a pipeline: every fault, each with its place.
#[derive(Debug, thiserror::Error)]
#[error("{}", diagnose::render(.faults, false))]
pub struct NotBuilt {
    /// The faults.
    pub faults: Vec<Fault>,
}

impl From<Vec<Fault>> for NotBuilt {
    fn from(faults: Vec<Fault>) -> Self {
        NotBuilt { faults }
    }
}

impl InProcess {
    /// A pipeline out of texts. `name` is its name; its topics are `source` and `sink`.
    pub fn builder(name: &str) -> Builder {
        Builder {
            name: name.to_owned(),
            ..Builder::default()
        }
    }

    /// A pipeline of a configuration file, whose schemas are files. `vars` are the environment variables.
    pub fn load(
        path: &Path,
        pipeline: &str,
        natives: &Natives,
        vars: &dyn Fn(&str) -> Option<String>,
    ) -> Result<InProcess, NotBuilt> {
        let loaded = config::load(path, vars)?;
        InProcess::of(&loaded, pipeline, natives, &BTreeMap::new(), vars)
    }

    fn of(
        loaded: &config::Loaded,
        name: &str,
        natives: &Natives,
        writers: &BTreeMap<u32, String>,
        vars: &dyn Fn(&str) -> Option<String>,
    ) -> Result<InProcess, NotBuilt> {
        let place = |message: String| vec![Fault::of_file(name, message)];
        let pipeline = model::named(&loaded.config.pipelines, name).map_err(place)?;
        // Nothing is asked without a registry, so nothing is waited for.
        let compiled = build::compile_with(pipeline, None, vars, natives);
        let parts = match futures::executor::block_on(compiled) {
            Ok(Some(parts)) => parts,
            Ok(None) => {
                let message = "a schema comes from the registry, which is not asked here";
                return Err(place(message.to_owned()).into());
            }
            Err(BuildError::Faults(mut faults)) => {
                loaded.locate(&mut faults);
                return Err(faults.into());
            }
            Err(BuildError::Registry(error)) => return Err(place(error.to_string()).into()),
        };
        let ids: Vec<u32> = (SINK_ID..).take(parts.sinks.len()).collect();
        let contract = Arc::clone(&parts.contract.schema);
        let mut shelf = vec![own(pipeline)?];
        let mut known = BTreeMap::from([(CONTRACT_ID, Arc::clone(&contract))]);
        for (id, text) in writers {
            let schema = Schema::parse(text, &[]);
            let schema = schema.map_err(|error| place(format!("writer schema {id}: {error}")))?;
            known.insert(*id, Arc::new(schema));
            shelf.push(Fetched {
                id: *id,
                kind: SchemaKind::Avro,
                text: text.clone(),
                references: Vec::new(),
                subjects: Some(Arc::from([pipeline.contract.schema.subject()])),
            });
        }
        let compiled = parts.finish(pipeline, &ids);
        if !compiled.transform.lookups().is_empty() {
            let message = "a lookup asks somebody, and nobody is asked here: `driftgate test` scripts its answers";
            return Err(place(message.to_owned()).into());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| place(error.to_string()))?;
        let client = RegistryClient::new(&loaded.config.registry);
        let client = client.map_err(|error| place(error.to_string()))?;
        let schemas = SchemaCache::closed(client, runtime.handle().clone(), shelf);
        let drift = &pipeline.contract;
        let gate = Gate::new(drift.drift, drift.schema.subject(), |_| {});
        let lookups = Lookups::none(runtime.handle().clone());
        let stages = Stages::new(
            Arc::new(compiled),
            Arc::new(schemas),
            Arc::new(lookups),
            Arc::new(gate),
        );
        Ok(InProcess {
            stages,
            contract,
            writers: known,
            sources: pipeline.source_topics.clone(),
            idle: Idle(Some(runtime)),
        })
    }

    /// What becomes of a record, whose value is framed with [`CONTRACT_ID`] or the id of a writer schema. If its topic is none of
    /// the pipeline's sources, it counts as the first of them.
    pub fn process(&mut self, record: &Record<'_>) -> Ended {
        let emitted = |stages: &Stages, mut output: Output| {
            let sink = &stages.sinks()[output.sink];
            Emitted {
                topic: sink.topic.clone(),
                key: output.key(record.key).map(<[u8]>::to_vec),
                headers: output.take_headers(),
                value: output.value,
                timestamp: output.timestamp.or(record.timestamp),
                schema: Arc::clone(&sink.schema),
            }
        };
        let mut sources = self.sources.iter();
        let named = sources.find(|source| *source == record.topic);
        let source = named.or(self.sources.first()).map_or("", String::as_str);
        let outputs = match self.stages.process(source, record, None) {
            Verdict::Emit(output) => vec![output],
            Verdict::EmitAll(outputs) => outputs,
            Verdict::Filtered => return Ended::Filtered,
            Verdict::Failed(error) => return failed(error),
            Verdict::LookUp(_) => unreachable!("a pipeline with lookups is refused"),
        };
        // What no broker could keep.
        if let Some(error) = outputs.iter().find_map(Output::fault) {
            return failed(error);
        }
        let outputs = outputs.into_iter();
        Ended::Emitted(
            outputs
                .map(|output| emitted(&self.stages, output))
                .collect(),
        )
    }

    /// The same for a value that is JSON of the contract's own schema, without key and headers. The error says what is
    /// no value of it.
    pub fn process_json(&mut self, value: &Json) -> Result<Ended, RecordError> {
        let framed = self.frame(CONTRACT_ID, value)?;
        Ok(self.process(&Record {
            value: Some(&framed),
            ..Record::default()
        }))
    }

    /// A value, given as JSON of a writer schema, as a producer would frame it.
    ///
    /// # Panics
    ///
    /// When no schema has this id.
    pub fn frame(&self, writer: u32, value: &Json) -> Result<Vec<u8>, RecordError> {
        let schema = self
            .writers
            .get(&writer)
            .expect("a writer schema that the builder was told of");
        let value = FromJson::default().value(schema, schema.root, value)?;
        let mut framed = Vec::new();
        wire::write_header(writer, &mut framed);
        encode(schema, &value, &mut framed)?;
        Ok(framed)
    }

    /// The contract's schema.
    pub fn contract(&self) -> &Schema {
        &self.contract
    }

    /// For a worker, with what must outlive them.
    pub(crate) fn into_stages(self) -> (Stages, Idle) {
        (self.stages, self.idle)
    }
}

impl Drop for Idle {
    /// Without waiting: it may be dropped by somebody who must not block.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn failed(error: RecordError) -> Ended {
    Ended::Failed {
        disposition: classify(error.reason),
        error,
    }
}

/// The contract's schema as the registry would give it.
fn own(pipeline: &model::Pipeline) -> Result<Fetched, Vec<Fault>> {
    let model::SchemaSource::File { path } = &pipeline.contract.schema else {
        unreachable!("it was loaded without a registry");
    };
    let (text, references) = crate::review::files::read(path)?;
    Ok(Fetched {
        id: CONTRACT_ID,
        kind: SchemaKind::Avro,
        text,
        references,
        subjects: Some(Arc::from([pipeline.contract.schema.subject()])),
    })
}

/// The texts of a pipeline.
#[derive(Debug, Default)]
pub struct Builder {
    name: String,
    contract: String,
    rules: Option<String>,
    ownership: Option<String>,
    steps: String,
    sink: Option<String>,
    natives: Natives,
    writers: BTreeMap<u32, String>,
}

impl Builder {
    /// The contract's schema. Must be given.
    #[must_use]
    pub fn contract(mut self, avsc: &str) -> Builder {
        avsc.clone_into(&mut self.contract);
        self
    }

    /// The rules, as a rules file has them.
    #[must_use]
    pub fn rules(mut self, yaml: &str) -> Builder {
        self.rules = Some(yaml.to_owned());
        self
    }

    /// Which source may set which field, as the mapping under `ownership`; the owners are in the rules.
    #[must_use]
    pub fn ownership(mut self, yaml: &str) -> Builder {
        self.ownership = Some(yaml.to_owned());
        self
    }

    /// The steps, as the list under `transform` has them: `- set: { … }`. Several calls are one list.
    #[must_use]
    pub fn steps(mut self, yaml: &str) -> Builder {
        self.steps.push_str(yaml);
        self.steps.push('\n');
        self
    }

    /// The sink's schema; the contract's, unless given.
    #[must_use]
    pub fn sink(mut self, avsc: &str) -> Builder {
        self.sink = Some(avsc.to_owned());
        self
    }

    /// A step that `native: { name }` can name.
    #[must_use]
    pub fn native(mut self, name: &str, native: impl Native + 'static) -> Builder {
        self.natives = self.natives.with(name, native);
        self
    }

    /// Another writer schema under its id, of the contract's subject.
    #[must_use]
    pub fn writer(mut self, id: u32, avsc: &str) -> Builder {
        self.writers.insert(id, avsc.to_owned());
        self
    }

    /// Checks everything that `driftgate check` would, and compiles it.
    pub fn build(self) -> Result<InProcess, NotBuilt> {
        let name = &self.name;
        let failed = |error: std::io::Error| vec![Fault::of_file(name, error.to_string())];
        let folder = tempfile::tempdir().map_err(failed)?;
        let write = |file: &str, text: &str| std::fs::write(folder.path().join(file), text);
        write("source-value.avsc", &self.contract).map_err(failed)?;
        let sink = self.sink.as_ref().unwrap_or(&self.contract);
        write("sink-value.avsc", sink).map_err(failed)?;
        let mut text = format!(
            "pipelines:\n  {name}:\n    owner: {{ team: in-process }}\n    source: {{ topics: [source] }}\n    \
             sink: {{ topic: sink, schema: sink-value.avsc }}\n    contract: {{ schema: source-value.avsc"
        );
        if let Some(rules) = &self.rules {
            write("source-value.rules.yaml", rules).map_err(failed)?;
            text.push_str(", rules: source-value.rules.yaml");
        }
        text.push_str(" }\n");
        if let Some(ownership) = &self.ownership {
            text.push_str("    ownership:\n");
            let mut lines = ownership.lines();
            lines
                .try_for_each(|line| writeln!(text, "      {line}"))
                .expect("a String takes all text");
        }
        if !self.steps.trim().is_empty() {
            text.push_str("    transform:\n");
            let lines = self.steps.lines();
            lines.for_each(|line| writeln!(text, "      {line}").expect("a String takes all text"));
        }
        let loaded = config::load_text(&text, name, folder.path(), &|_| None)?;
        InProcess::of(&loaded, name, &self.natives, &self.writers, &|_| None)
    }
}

#[cfg(test)]
mod tests;
