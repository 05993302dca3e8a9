//! The one file that names the stages in order: the key; framing, writer schema, contract, who owns its fields, the steps before the rules,
//! rules, what copies and versions have in common, the steps up to the sinks' bytes, the sinks' rules. Input: a record. Output: a [`Verdict`]. Knows nothing of offsets,
//! acknowledgements or retries.

mod gate;
pub mod keyed;
mod output;
pub mod ownership;
mod plans;
mod policy;
pub mod watch;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bumpalo::Bump;

pub use self::gate::{Event, Gate};
pub use self::keyed::Edition;
pub use self::output::{Added, Output, OutputKey, Part};
pub use self::ownership::{ForeignField, Ownership};
use self::plans::{Entry, Plans};
pub use self::policy::policy;
pub use self::watch::{Look, Reviewed, Watch};
use crate::config::model::{self, DriftAction};
use crate::contract::cache::{Answer, SchemaCache};
use crate::contract::decode::Limits;
use crate::contract::drift;
use crate::contract::plan::{Plan, Scratch};
use crate::contract::registry::{Fetched, SchemaKind};
use crate::contract::rules::Rules;
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::contract::wire;
use crate::error::{Reason, RecordError};
use crate::expr::cx::STEPS;
use crate::expr::value::read;
use crate::expr::{Cx, Val};
use crate::failure::envelope::Stamp;
use crate::lookup::{Lookups, Question};
use crate::metrics::PartitionMetrics;
use crate::record::Record;
use crate::state::digest::Digest;
use crate::transform::{self, Answers, Attributes, Buffers, Emitted, Progress, Transform};

/// How long a batch waits for a writer schema that is being fetched, before its partition does.
const FETCH_WAIT: Duration = Duration::from_secs(1);

/// The answers of a record that nothing was asked for.
static NONE: LazyLock<Answers> = LazyLock::new(Answers::new);

/// Bytes of the arena that are kept from one record to the next.
const ARENA: usize = 8 * 1024 * 1024;

/// What a record came to.
#[derive(Debug)]
pub enum Verdict {
    /// To a sink; a tombstone goes to the first.
    Emit(Output),
    /// Several records, all or none of them.
    EmitAll(Vec<Output>),
    /// A filter said no.
    Filtered,
    /// It cannot go on.
    Failed(RecordError),
    /// Lookups have to be asked first.
    LookUp(Vec<transform::Question>),
}

/// Takes what [`Stages::process`] was given of a record.
pub type Again<'s> = dyn FnMut(&str, &Record<'_>, Option<&PartitionMetrics>) + 's;

/// A record's verdict with whatever the caller needs to find the record again.
#[derive(Debug)]
pub struct Work<T> {
    /// The caller's.
    pub tag: T,
    /// The verdict so far.
    pub verdict: Verdict,
}

/// A pipeline as compiled at start, shared by its workers.
pub struct Compiled {
    /// Its configuration.
    pub config: model::Pipeline,
    /// What every failed record of it carries.
    pub stamp: Stamp,
    /// The contract's reader schema.
    pub contract: Arc<Schema>,
    /// What keys are held to.
    pub key: Option<Key>,
    /// Which source may set which field, if anybody is held to that.
    pub ownership: Option<Ownership>,
    /// The contract's rules, on the event that the steps before them leave.
    pub rules: Rules,
    /// What copies of a record have in common, if they are dropped.
    pub dedup: Option<keyed::By>,
    /// What says how old an event is, if older ones are not to go on.
    pub stale: Option<keyed::Versions>,
    /// The steps, up to the sinks' bytes.
    pub transform: Transform,
    /// The sinks; the first is the pipeline's own.
    pub sinks: Vec<Sink>,
    /// What values are held to.
    pub reviewed: Option<Arc<Reviewed>>,
}

impl Compiled {
    /// The pipeline's own sink.
    pub fn sink(&self) -> &Sink {
        &self.sinks[0]
    }
}

/// Where records go.
#[derive(Debug)]
pub struct Sink {
    /// The topic.
    pub topic: String,
    /// The schema.
    pub schema: Arc<Schema>,
    /// Its id in the registry.
    pub id: u32,
    /// What outputs are held to beyond the schema.
    pub rules: Checked,
}

/// What the contract says of keys.
#[derive(Debug)]
pub struct Key {
    /// The reader schema.
    pub schema: Arc<Schema>,
    /// Its rules.
    pub rules: Checked,
    /// Whether there must be one.
    pub required: bool,
}

/// Rules over a value by itself.
#[derive(Debug, Default)]
pub struct Checked {
    /// The rules.
    pub rules: Rules,
    /// Registers that they need.
    pub registers: usize,
}

impl Checked {
    /// Holds bytes of the schema to the rules.
    fn check(
        &self,
        schema: &Schema,
        bytes: &[u8],
        arena: &Bump,
        warned: &mut dyn FnMut(&str),
    ) -> Result<(), RecordError> {
        if self.rules.is_empty() {
            return Ok(());
        }
        let registers = arena.alloc_slice_fill_copy(self.registers.max(1), Val::Null);
        registers[0] = whole(schema, schema.root, bytes)?;
        let mut cx = Cx {
            schema,
            arena,
            bytes,
            marks: &[],
            registers,
            record: None,
            steps: STEPS,
        };
        self.rules.check(&mut cx, warned)
    }
}

/// A worker's stages: the compiled pipeline and the worker's own plans.
pub struct Stages {
    compiled: Arc<Compiled>,
    schemas: Arc<SchemaCache>,
    lookups: Arc<Lookups>,
    gate: Arc<Gate>,
    plans: Plans,
    key_plans: Plans,
    /// Of [`SchemaCache::replaced`], as the plans know it.
    replaced: u64,
    limits: Limits,
    scratch: Scratch,
    /// What lives as long as a record is worked on.
    arena: Bump,
    buffers: Buffers,
    /// The frame of each sink.
    frames: Vec<Vec<u8>>,
    /// See [`Stages::digest`].
    digest: Option<Digest>,
    /// See [`Stages::edition`].
    edition: Option<Edition>,
    /// See [`Stages::foreign`].
    foreign: ownership::Found,
    look: Option<Look>,
}

impl Stages {
    /// Stages over a compiled pipeline.
    pub fn new(
        compiled: Arc<Compiled>,
        schemas: Arc<SchemaCache>,
        lookups: Arc<Lookups>,
        gate: Arc<Gate>,
    ) -> Self {
        let frame = |sink: &Sink| {
            let mut frame = Vec::with_capacity(wire::HEADER_LEN);
            wire::write_header(sink.id, &mut frame);
            frame
        };
        let frames = compiled.sinks.iter().map(frame).collect();
        Stages {
            compiled,
            lookups,
            gate,
            replaced: schemas.replaced(),
            schemas,
            plans: Plans::new(plans::BUDGET),
            key_plans: Plans::new(plans::KEY_BUDGET),
            limits: Limits::default(),
            scratch: Scratch::default(),
            arena: Bump::new(),
            buffers: Buffers::default(),
            frames,
            digest: None,
            edition: None,
            foreign: ownership::Found::default(),
            look: None,
        }
    }

    /// The same, with a look at values.
    #[must_use]
    pub fn with_look(mut self, look: Look) -> Self {
        self.look = Some(look);
        self
    }

    /// The look at values.
    pub fn look(&mut self) -> Option<&mut Look> {
        self.look.as_mut()
    }

    /// What all workers know of values.
    pub fn watch(&self) -> Option<&Watch> {
        self.look.as_ref().map(Look::watch)
    }

    /// Takes the memory of an output back, for one to come.
    pub fn reuse(&mut self, value: Vec<u8>) {
        self.buffers.reuse(value);
    }

    /// With `dedup`: what copies of the last record that was run have in common with it; `None` where it did not come so far
    /// as to tell.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// With `stale`: of which version of what the last record is that was run; `None` where it did not come so far as to tell.
    pub fn edition(&self) -> Option<Edition> {
        self.edition
    }

    /// With `ownership`: the fields that the last record that was run sets and its source does not own.
    pub fn foreign(&self) -> Vec<ForeignField> {
        let ownership = self.compiled.ownership.as_ref();
        ownership.map_or_else(Vec::new, |ownership| ownership.told(&self.foreign))
    }

    /// Where outputs go.
    pub fn sinks(&self) -> &[Sink] {
        &self.compiled.sinks
    }

    /// The pipeline's configuration.
    pub fn config(&self) -> &model::Pipeline {
        &self.compiled.config
    }

    /// The pipeline's lookups.
    pub fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    /// What every failed record of the pipeline carries.
    pub fn stamp(&self) -> &Stamp {
        &self.compiled.stamp
    }

    /// Runs a record up to its verdict, or to questions for lookups. A tombstone has nothing to check and goes to the sink.
    /// `source` is the source topic, also of a record that comes from a retry topic.
    pub fn process(
        &mut self,
        source: &str,
        record: &Record<'_>,
        metrics: Option<&PartitionMetrics>,
    ) -> Verdict {
        self.forget_replaced();
        self.run(source, record, metrics, None)
    }

    /// The same for a record that came to questions, with their answers. What was counted then is not counted again.
    fn process_again(
        &mut self,
        source: &str,
        record: &Record<'_>,
        metrics: Option<&PartitionMetrics>,
        answers: &Answers,
    ) -> Verdict {
        self.run(source, record, metrics, Some(answers))
    }

    fn run(
        &mut self,
        source: &str,
        record: &Record<'_>,
        metrics: Option<&PartitionMetrics>,
        answers: Option<&Answers>,
    ) -> Verdict {
        let first = metrics.filter(|_| answers.is_none());
        (self.digest, self.edition) = (None, None);
        self.foreign.clear();
        // What one large record took is not kept for all that follow.
        match self.arena.allocated_bytes() > ARENA {
            true => self.arena = Bump::new(),
            false => self.arena.reset(),
        }
        if let Err(error) = self.check_key(record, first) {
            return Verdict::Failed(error);
        }
        let Some(value) = record.value else {
            return Verdict::Emit(Output::of(None));
        };
        let progress = match self.pass(source, value, record, first, answers.unwrap_or(&NONE)) {
            Ok(progress) => progress,
            Err(error) => return Verdict::Failed(error),
        };
        let done = match progress {
            Progress::Done(emitted) => self.output(emitted, metrics).map(Verdict::Emit),
            Progress::Exploded(emitted) => {
                let outputs = emitted.into_iter();
                let outputs = outputs.map(|emitted| self.output(emitted, metrics));
                outputs.collect::<Result<_, _>>().map(Verdict::EmitAll)
            }
            Progress::Filtered => Ok(Verdict::Filtered),
            Progress::Ask(questions) => Ok(Verdict::LookUp(questions)),
        };
        done.unwrap_or_else(Verdict::Failed)
    }

    /// What is produced, if it holds to its sink's rules.
    fn output(
        &self,
        emitted: Emitted,
        metrics: Option<&PartitionMetrics>,
    ) -> Result<Output, RecordError> {
        let sink = &self.compiled.sinks[emitted.sink];
        let payload = emitted.value.get(wire::HEADER_LEN..).unwrap_or_default();
        let mut warned = warn(metrics);
        sink.rules
            .check(&sink.schema, payload, &self.arena, &mut warned)?;
        let Attributes {
            key,
            headers,
            timestamp,
        } = emitted
            .attributes
            .map_or_else(Attributes::default, |own| *own);
        Ok(Output {
            sink: emitted.sink,
            value: Some(emitted.value),
            key: key.map_or(OutputKey::Source, OutputKey::Other),
            headers,
            timestamp,
            newer: None,
            foreign: self.flagged(),
        })
    }

    /// The fields that an output is flagged for.
    fn flagged(&self) -> Option<String> {
        if self.foreign.is_empty() {
            return None;
        }
        self.compiled.ownership.as_ref()?.flagged(&self.foreign)
    }

    /// Drops all plans and verdicts once a schema from `registry.cache_dir` was not what the registry has.
    fn forget_replaced(&mut self) {
        let replaced = self.schemas.replaced();
        if self.replaced != replaced {
            self.replaced = replaced;
            self.plans = Plans::new(plans::BUDGET);
            self.key_plans = Plans::new(plans::KEY_BUDGET);
            self.gate.forget();
        }
    }

    /// What the contract says of the key. Its bytes are only looked at: they are emitted as they are, since another
    /// frame would be another key to the partitioner and to compaction.
    fn check_key(
        &mut self,
        record: &Record<'_>,
        metrics: Option<&PartitionMetrics>,
    ) -> Result<(), RecordError> {
        let Some(required) = self.compiled.key.as_ref().map(|key| key.required) else {
            return Ok(());
        };
        let of_key = |mut error: RecordError| {
            error.path = match error.path.as_str() {
                "" => "key".to_owned(),
                path => format!("key.{path}"),
            };
            error
        };
        let Some(key) = record.key else {
            if !required {
                return Ok(());
            }
            let text = "the record has no key, and the contract requires one";
            return Err(of_key(RecordError::new(Reason::RuleViolation, text)));
        };
        let (id, payload) = wire::read_key(key, &record.headers).map_err(of_key)?;
        let plan = self.key_plan(id, metrics).map_err(of_key)?;
        let framing = key.len() - payload.len();
        let view = plan
            .run(payload, &self.limits, &mut self.scratch)
            .map_err(|mut error| {
                error.byte_offset = error.byte_offset.map(|offset| offset + framing);
                of_key(error.with_schema(id))
            })?;
        if let Some(contract) = &self.compiled.key {
            let mut warned = warn(metrics);
            let rules = &contract.rules;
            let checked = rules.check(&contract.schema, view.bytes, &self.arena, &mut warned);
            checked.map_err(|error| of_key(error.with_schema(id)))?;
        }
        Ok(())
    }

    fn key_plan(
        &mut self,
        id: u32,
        metrics: Option<&PartitionMetrics>,
    ) -> Result<Arc<Plan>, RecordError> {
        if let Some(entry) = self.key_plans.get(id) {
            return entry.plan.clone();
        }
        let contract = self.compiled.key.as_ref().expect("keys have a contract");
        let entry = self.compile(id, &contract.schema, &[])?;
        let plan = entry.plan.clone();
        self.key_plans.insert(id, entry);
        if let Some(metrics) = metrics {
            metrics.plan_evictions(self.key_plans.take_evictions());
        }
        plan
    }

    /// The contract and the steps: framing, the plan of the writer schema, the steps before the rules, rules, steps.
    fn pass(
        &mut self,
        source: &str,
        value: &[u8],
        record: &Record<'_>,
        metrics: Option<&PartitionMetrics>,
        answers: &Answers,
    ) -> Result<Progress, RecordError> {
        let (id, payload) = wire::read(value, &record.headers)?;
        if let Some(metrics) = metrics {
            metrics.schema(id);
        }
        let plan = self.plan(source, id, metrics)?;
        let framing = value.len() - payload.len();
        let view = plan
            .run(payload, &self.limits, &mut self.scratch)
            .map_err(|mut error| {
                error.byte_offset = error.byte_offset.map(|offset| offset + framing);
                error.with_schema(id)
            })?;
        // Without metrics it is no worker's record, or it was looked at before its lookups were asked.
        if metrics.is_some()
            && let Some(look) = &mut self.look
        {
            let contract = &self.compiled.contract;
            look.record(source, id, contract, view.bytes, record.timestamp)?;
        }
        let Compiled {
            rules, transform, ..
        } = &*self.compiled;
        let arena = &self.arena;
        let registers = arena.alloc_slice_fill_copy(transform.registers(), Val::Null);
        let of_record = |error: RecordError| error.with_schema(id);
        registers[0] = whole(transform.schema(), self.compiled.contract.root, view.bytes)
            .map_err(of_record)?;
        let mut cx = Cx {
            schema: transform.schema(),
            arena,
            bytes: view.bytes,
            marks: view.marks,
            registers,
            record: Some(record),
            steps: STEPS,
        };
        if let Some(ownership) = &self.compiled.ownership {
            let found = &mut self.foreign;
            ownership
                .find(&mut cx, source, record, found)
                .map_err(of_record)?;
            if !found.is_empty() {
                let wanted = transform.wanted();
                let mut count = |field: &str, source: &str, then: &str| {
                    if let Some(metrics) = metrics {
                        metrics.foreign_field(field, source, then);
                    }
                };
                ownership
                    .act(
                        &mut cx,
                        self.compiled.contract.root,
                        wanted,
                        found,
                        &mut count,
                    )
                    .map_err(of_record)?;
            }
        }
        if !transform
            .prepare(&mut cx, &mut self.buffers)
            .map_err(of_record)?
        {
            return Ok(Progress::Filtered);
        }
        let mut warned = warn(metrics);
        rules.check(&mut cx, &mut warned).map_err(of_record)?;
        if let Some(by) = &self.compiled.dedup {
            self.digest = by.digest(&mut cx, record, "dedup.key").map_err(of_record)?;
        }
        if let Some(versions) = &self.compiled.stale {
            self.edition = versions.of(&mut cx, record).map_err(of_record)?;
        }
        transform
            .run(&mut cx, answers, &self.frames, &mut self.buffers)
            .map_err(of_record)
    }

    /// The plan of a writer schema, if the gate lets it through.
    fn plan(
        &mut self,
        source: &str,
        id: u32,
        metrics: Option<&PartitionMetrics>,
    ) -> Result<Arc<Plan>, RecordError> {
        let (gate, contract) = (&self.gate, &self.compiled.contract);
        if let Some(entry) = self.plans.get(id) {
            return admitted(gate, contract, source, id, entry);
        }
        let wanted = self.compiled.transform.wanted();
        let mut entry = self.compile(id, contract, wanted)?;
        // Before it is kept, so that the verdict counts to what it takes.
        let plan = admitted(gate, contract, source, id, &mut entry);
        self.plans.insert(id, entry);
        if let Some(metrics) = metrics {
            metrics.plan_evictions(self.plans.take_evictions());
        }
        plan
    }

    /// Makes the plan of a writer schema. An error is one of the registry; a schema that cannot be read is an entry.
    fn compile(
        &self,
        id: u32,
        contract: &Schema,
        wanted: &[Vec<usize>],
    ) -> Result<Entry, RecordError> {
        let answer = match self.schemas.get(id) {
            Answer::Pending => self.schemas.wait(id, FETCH_WAIT),
            answer => answer,
        };
        let unavailable = |message: String, wait: Option<Duration>| RecordError {
            retry_after: wait,
            ..RecordError::new(Reason::RegistryUnavailable, message).with_schema(id)
        };
        let fetched = match answer {
            Answer::Ready(fetched) => fetched,
            Answer::Unknown => {
                let text = "the registry knows no schema of this id (404, error code 40403)";
                return Err(RecordError::new(Reason::UnknownSchema, text).with_schema(id));
            }
            Answer::Pending => {
                return Err(unavailable(
                    "the writer schema is still being fetched".into(),
                    None,
                ));
            }
            Answer::Unavailable { message, retry_at } => {
                let wait = retry_at
                    .saturating_duration_since(Instant::now())
                    .max(Duration::from_millis(100));
                return Err(unavailable(message, Some(wait)));
            }
        };
        let writer = parse(&fetched).map(Arc::new);
        let plan = match &writer {
            Ok(writer) => Plan::compile_shared(Arc::clone(writer), contract, wanted),
            Err(error) => Err(error.clone()),
        };
        let plan = plan.map(Arc::new).map_err(|error| error.with_schema(id));
        if let Err(error) = &plan {
            tracing::warn!(
                pipeline = self.compiled.config.name,
                schema = id,
                reason = error.reason.as_str(),
                "{error}"
            );
        }
        Ok(Entry {
            plan,
            writer: writer.ok(),
            subjects: fetched.subjects.clone(),
            verdicts: Vec::new(),
        })
    }

    /// Asks every lookup that the batch waits for, several at once, and runs the records on to their verdicts, which
    /// stay in the order of the batch. `record` gives what [`process`](Self::process) was given of a record.
    pub fn look_up<T>(&mut self, work: &mut [Work<T>], record: &mut dyn FnMut(&T, &mut Again<'_>)) {
        let mut answers: HashMap<usize, Answers> = HashMap::new();
        loop {
            let mut asked = Vec::new();
            let mut questions = Vec::new();
            for (index, work) in work.iter_mut().enumerate() {
                if let Verdict::LookUp(wanted) = &mut work.verdict {
                    for question in std::mem::take(wanted) {
                        questions.push(Question {
                            lookup: question.lookup,
                            what: question.text.clone(),
                        });
                        asked.push((index, question));
                    }
                }
            }
            if asked.is_empty() {
                return;
            }
            let mut waiting = Vec::new();
            for ((index, question), answer) in asked.into_iter().zip(self.lookups.ask(&questions)) {
                answers.entry(index).or_default().insert(question, answer);
                if waiting.last() != Some(&index) {
                    waiting.push(index);
                }
            }
            for index in waiting {
                let known = answers.entry(index).or_default();
                let Work { tag, verdict } = &mut work[index];
                record(tag, &mut |source, record, metrics| {
                    *verdict = self.process_again(source, record, metrics, known);
                });
            }
        }
    }
}

/// Counts rules that only warn.
fn warn(metrics: Option<&PartitionMetrics>) -> impl FnMut(&str) + '_ {
    move |rule| {
        if let Some(metrics) = metrics {
            metrics.rule_warned(rule);
        }
    }
}

/// A value as a whole. A record, which is what most are, is not walked for it.
fn whole<'a>(schema: &Schema, root: NodeId, bytes: &'a [u8]) -> Result<Val<'a>, RecordError> {
    if let Kind::Record(_) = schema.node(root).kind {
        return Ok(Val::Avro(root, bytes));
    }
    let failed = |why| RecordError::new(Reason::UnresolvableValue, why);
    Ok(read(schema, root, bytes, 0).map_err(failed)?.0)
}

/// The plan of a writer schema, if the gate lets its records through on this topic. A schema that could not be parsed
/// has nothing to judge, and a plan that says so.
fn admitted(
    gate: &Gate,
    contract: &Schema,
    source: &str,
    id: u32,
    entry: &mut Entry,
) -> Result<Arc<Plan>, RecordError> {
    let known = entry.verdicts.iter().position(|(topic, _)| topic == source);
    let verdict = match (known, &entry.writer) {
        (Some(place), _) => &mut entry.verdicts[place].1,
        (None, Some(writer)) => {
            let verdict = gate.judge(source, id, contract, writer, entry.subjects.as_deref());
            &mut entry.verdicts.push_mut((source.to_owned(), verdict)).1
        }
        (None, None) => return entry.plan.clone(),
    };
    if verdict.action == DriftAction::Halt
        && let Some(accepted) = gate.accepted(source, id, verdict)
    {
        *verdict = accepted;
    }
    match verdict.action {
        DriftAction::Allow | DriftAction::Warn => entry.plan.clone(),
        DriftAction::Quarantine => Err(drifted(Reason::Drift, id, verdict)),
        DriftAction::Halt => Err(drifted(Reason::DriftHalted, id, verdict)),
    }
}

fn parse(fetched: &Fetched) -> Result<Schema, RecordError> {
    match fetched.kind {
        SchemaKind::Avro => {}
        kind => {
            let text = format!("the writer schema is {kind:?}, and the contract is Avro");
            return Err(RecordError::new(Reason::UnsupportedSchema, text));
        }
    }
    Schema::parse(&fetched.text, &fetched.references).map_err(|error| {
        RecordError::new(
            Reason::UnsupportedSchema,
            format!("the writer schema does not parse: {error}"),
        )
    })
}

/// The error of a record whose writer schema the gate holds back: what asked for it, and where it lies.
fn drifted(reason: Reason, id: u32, verdict: &drift::Verdict) -> RecordError {
    let deciding = |finding: &&drift::Finding| finding.action == verdict.action;
    let mut deciding = verdict.findings.iter().filter(deciding);
    let Some(first) = deciding.next() else {
        return RecordError::new(reason, "the writer schema drifted").with_schema(id);
    };
    let more = match deciding.count() {
        0 => String::new(),
        count => format!("; and {count} more"),
    };
    let policy = format!("drift.{}: {}", first.class, first.action.as_str());
    let text = format!("the writer schema drifted ({policy}): {}{more}", first.what);
    RecordError::new(reason, text)
        .at(&first.path)
        .with_schema(id)
}
