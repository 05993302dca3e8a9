//! The one file that names the stages in order: the key; framing, writer schema, contract, the steps before the rules,
//! rules, transform, the sink's rules, encoding. Input: a record. Output: a [`Verdict`]. Knows nothing of offsets,
//! acknowledgements or retries.

mod gate;
mod output;
mod plans;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;

pub use self::gate::{Event, Gate};
pub use self::output::{Output, OutputKey};
use self::plans::{Entry, Plans};
use crate::config::model::{self, DriftAction};
use crate::contract::cache::{Answer, SchemaCache};
use crate::contract::decode::{Limits, decode};
use crate::contract::drift;
use crate::contract::encode::encode;
use crate::contract::plan::{Plan, Scratch};
use crate::contract::registry::{Fetched, SchemaKind};
use crate::contract::resolve::Resolution;
use crate::contract::rules::Rules;
use crate::contract::schema::Schema;
use crate::contract::value::Value;
use crate::contract::wire;
use crate::error::{Reason, RecordError};
use crate::failure::envelope::Stamp;
use crate::metrics::PartitionMetrics;
use crate::record::Record;
use crate::transform::lookup::LookupClient;
use crate::transform::{PendingLookup, Progress, Transform};

/// How long a batch waits for a writer schema that is being fetched, before its partition does.
const FETCH_WAIT: Duration = Duration::from_secs(1);
/// Lookups of one batch that are under way at once.
const LOOKUPS_AT_ONCE: usize = 16;
/// After so many lookups in a row that found nobody, the rest of the batch does not ask.
const LOOKUP_FAILURES: usize = 16;

/// What a record came to.
#[derive(Debug)]
pub enum Verdict {
    /// To a sink.
    Emit(Output),
    /// All of these to their sinks, or none: what one record was taken apart into. Without any it is filtered.
    EmitAll(Vec<Output>),
    /// A filter said no.
    Filtered,
    /// It cannot go on.
    Failed(RecordError),
    /// A lookup has to be asked first.
    LookUp(Box<PendingLookup>),
}

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
    /// The steps before the rules.
    pub prepare: Transform,
    /// The contract's rules.
    pub rules: Rules,
    /// The steps.
    pub transform: Transform,
    /// Where outputs go: the pipeline's own sink, and then those that a `route` names, in the order of
    /// [`model::Pipeline::sinks`].
    pub sinks: Vec<Sink>,
    /// From the last step's type to the schema of the pipeline's own sink.
    pub to_sink: Resolution,
    /// From the contract's bytes to the sink's, where no step stands between them and no rule of the sink.
    pub straight: Option<Plan>,
}

impl Compiled {
    /// The pipeline's own sink.
    pub fn sink(&self) -> &Sink {
        &self.sinks[0]
    }
}

/// Where outputs go.
#[derive(Debug)]
pub struct Sink {
    /// Topic.
    pub topic: String,
    /// Writer schema of its records.
    pub schema: Arc<Schema>,
    /// Registry id of the schema.
    pub id: u32,
    /// What its records are held to beyond the schema.
    pub rules: Rules,
}

/// What the contract says of keys.
#[derive(Debug)]
pub struct Key {
    /// The reader schema.
    pub schema: Arc<Schema>,
    /// Its rules.
    pub rules: Rules,
    /// Whether there must be one.
    pub required: bool,
}

/// A worker's stages: the compiled pipeline and the worker's own plans.
pub struct Stages {
    compiled: Arc<Compiled>,
    schemas: Arc<SchemaCache>,
    lookups: Arc<Vec<LookupClient>>,
    runtime: tokio::runtime::Handle,
    gate: Arc<Gate>,
    plans: Plans,
    key_plans: Plans,
    /// Of [`SchemaCache::replaced`], as the plans know it.
    replaced: u64,
    limits: Limits,
    scratch: Scratch,
    sink_scratch: Scratch,
    last_word: Option<LastWord>,
}

/// See [`Stages::with_last_word`].
type LastWord = Box<dyn FnMut(&Record<'_>, Verdict) -> Verdict + Send>;

/// What a record is once it has passed the contract.
enum Passed {
    /// An event for the steps.
    Event(Value),
    /// The output, framed.
    Output(Vec<u8>),
    /// A step before the rules filtered it.
    Filtered,
}

impl Stages {
    /// Stages over a compiled pipeline. `runtime` drives lookups.
    pub fn new(
        compiled: Arc<Compiled>,
        schemas: Arc<SchemaCache>,
        lookups: Arc<Vec<LookupClient>>,
        gate: Arc<Gate>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        Stages {
            compiled,
            lookups,
            runtime,
            gate,
            replaced: schemas.replaced(),
            schemas,
            plans: Plans::new(plans::BUDGET),
            key_plans: Plans::new(plans::KEY_BUDGET),
            limits: Limits::default(),
            scratch: Scratch::default(),
            sink_scratch: Scratch::default(),
            last_word: None,
        }
    }

    /// The same, where `last_word` may change each verdict: outputs that a program makes itself, in a pipeline that it
    /// runs itself. It is called on the worker's thread, once for each record without a lookup, and holds it up.
    #[must_use]
    pub fn with_last_word(
        mut self,
        last_word: impl FnMut(&Record<'_>, Verdict) -> Verdict + Send + 'static,
    ) -> Self {
        self.last_word = Some(Box::new(last_word));
        self
    }

    /// Where outputs go.
    pub fn sinks(&self) -> &[Sink] {
        &self.compiled.sinks
    }

    /// The pipeline's configuration.
    pub fn config(&self) -> &model::Pipeline {
        &self.compiled.config
    }

    /// What every failed record of the pipeline carries.
    pub fn stamp(&self) -> &Stamp {
        &self.compiled.stamp
    }

    /// Runs a record up to its verdict or its first lookup. A tombstone has nothing to check and goes to the sink.
    /// `source` is the source topic, also of a record that comes from a retry topic.
    pub fn process(
        &mut self,
        source: &str,
        record: &Record<'_>,
        metrics: Option<&PartitionMetrics>,
    ) -> Verdict {
        let verdict = self.judge(source, record, metrics);
        match &mut self.last_word {
            Some(last_word) => last_word(record, verdict),
            None => verdict,
        }
    }

    fn judge(
        &mut self,
        source: &str,
        record: &Record<'_>,
        metrics: Option<&PartitionMetrics>,
    ) -> Verdict {
        let mut warned = |rule: &str| {
            if let Some(metrics) = metrics {
                metrics.rule_warned(rule);
            }
        };
        self.forget_replaced();
        if let Err(error) = self.check_key(record, metrics, &mut warned) {
            return Verdict::Failed(error);
        }
        let Some(value) = record.value else {
            return Verdict::Emit(Output::of(None));
        };
        let event = match self.check(source, value, record, metrics, &mut warned) {
            Ok(Passed::Event(event)) => event,
            Ok(Passed::Output(value)) => return Verdict::Emit(Output::of(Some(value))),
            Ok(Passed::Filtered) => return Verdict::Filtered,
            Err(error) => return Verdict::Failed(error),
        };
        match self.compiled.transform.run(event) {
            Ok(progress) => self.proceed(progress, &mut warned),
            Err(error) => Verdict::Failed(error),
        }
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
        warned: &mut dyn FnMut(&str),
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
        if let Some(contract) = &self.compiled.key
            && !contract.rules.is_empty()
        {
            let key =
                of_contract(&contract.schema, view.bytes, &self.limits, id).map_err(of_key)?;
            let checked = contract.rules.check(&key, warned);
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
        let entry = self.compile(id, &contract.schema)?;
        let plan = entry.plan.clone();
        self.key_plans.insert(id, entry);
        if let Some(metrics) = metrics {
            metrics.plan_evictions(self.key_plans.take_evictions());
        }
        plan
    }

    /// The contract: framing, the plan of the writer schema, the steps before the rules, rules.
    fn check(
        &mut self,
        source: &str,
        value: &[u8],
        record: &Record<'_>,
        metrics: Option<&PartitionMetrics>,
        warned: &mut dyn FnMut(&str),
    ) -> Result<Passed, RecordError> {
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
        let compiled = &self.compiled;
        if let Some(straight) = &compiled.straight {
            // Rules alone look at values: without any, no tree is made.
            if !compiled.rules.is_empty() {
                let event = of_contract(&compiled.contract, view.bytes, &self.limits, id)?;
                let checked = compiled.rules.check(&event, warned);
                checked.map_err(|error| error.with_schema(id))?;
            }
            let sunk = straight
                .run(view.bytes, &self.limits, &mut self.sink_scratch)
                .map_err(encode_failed)?;
            let mut out = Vec::with_capacity(wire::HEADER_LEN + sunk.bytes.len());
            wire::write_header(compiled.sink().id, &mut out);
            out.extend_from_slice(sunk.bytes);
            return Ok(Passed::Output(out));
        }
        let event = of_contract(&compiled.contract, view.bytes, &self.limits, id)?;
        let event = match compiled.prepare.run(event) {
            Ok(Progress::Done(event)) => event,
            Ok(Progress::Filtered) => return Ok(Passed::Filtered),
            Ok(Progress::Lookup(_)) => unreachable!("no lookup is configured before the rules"),
            Err(error) => return Err(error.with_schema(id)),
        };
        let checked = compiled.rules.check(&event, warned);
        checked.map_err(|error| error.with_schema(id))?;
        Ok(Passed::Event(event))
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
        let mut entry = self.compile(id, contract)?;
        // Before it is kept, so that the verdict counts to what it takes.
        let plan = admitted(gate, contract, source, id, &mut entry);
        self.plans.insert(id, entry);
        if let Some(metrics) = metrics {
            metrics.plan_evictions(self.plans.take_evictions());
        }
        plan
    }

    /// Makes the plan of a writer schema. An error is one of the registry; a schema that cannot be read is an entry.
    fn compile(&self, id: u32, contract: &Schema) -> Result<Entry, RecordError> {
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
            Ok(writer) => Plan::compile_shared(Arc::clone(writer), contract, &[]),
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

    fn proceed(&self, progress: Progress, warned: &mut dyn FnMut(&str)) -> Verdict {
        match progress {
            Progress::Filtered => Verdict::Filtered,
            Progress::Lookup(pending) => Verdict::LookUp(Box::new(pending)),
            Progress::Done(event) => match self.encode(event, warned) {
                Ok(value) => Verdict::Emit(Output::of(Some(value))),
                Err(error) => Verdict::Failed(error),
            },
        }
    }

    fn encode(&self, event: Value, warned: &mut dyn FnMut(&str)) -> Result<Vec<u8>, RecordError> {
        let value = self.compiled.to_sink.apply(event).map_err(encode_failed)?;
        let sink = self.compiled.sink();
        sink.rules.check(&value, warned)?;
        let mut out = Vec::with_capacity(256);
        wire::write_header(sink.id, &mut out);
        encode(&sink.schema, &value, &mut out).map_err(encode_failed)?;
        Ok(out)
    }

    /// Asks every lookup that the batch waits for, several at once, and runs the records on to their verdicts, which
    /// stay in the order of the batch. `warned` is told of rules that only warn, with the record's tag.
    pub fn look_up<T>(&self, work: &mut [Work<T>], warned: &mut dyn FnMut(&T, &str)) {
        loop {
            let waiting: Vec<(usize, usize, String)> = work
                .iter()
                .enumerate()
                .filter_map(|(index, work)| match &work.verdict {
                    Verdict::LookUp(pending) => Some((index, pending.lookup, pending.url.clone())),
                    _ => None,
                })
                .collect();
            if waiting.is_empty() {
                return;
            }
            for (index, answer) in self.ask(waiting) {
                let pending = match std::mem::replace(&mut work[index].verdict, Verdict::Filtered) {
                    Verdict::LookUp(pending) => *pending,
                    _ => unreachable!("only records that wait for a lookup were asked for"),
                };
                let resumed =
                    answer.and_then(|value| self.compiled.transform.resume(pending, value));
                let Work { tag, verdict } = &mut work[index];
                *verdict = match resumed {
                    Ok(progress) => self.proceed(progress, &mut |rule| warned(tag, rule)),
                    Err(error) => Verdict::Failed(error),
                };
            }
        }
    }

    fn ask(
        &self,
        waiting: Vec<(usize, usize, String)>,
    ) -> Vec<(usize, Result<Option<Value>, RecordError>)> {
        let lookups = Arc::clone(&self.lookups);
        self.runtime.block_on(async move {
            let failures = std::sync::atomic::AtomicUsize::new(0);
            let requests = waiting.into_iter().map(|(index, lookup, url)| {
                let (lookups, failures) = (&lookups, &failures);
                async move {
                    use std::sync::atomic::Ordering::Relaxed;
                    if failures.load(Relaxed) >= LOOKUP_FAILURES {
                        let text =
                            format!("not asked: {LOOKUP_FAILURES} in a row had found nobody");
                        return (
                            index,
                            Err(RecordError::new(Reason::LookupUnavailable, text)),
                        );
                    }
                    let answer = lookups[lookup].fetch(&url).await;
                    match &answer {
                        Err(error) if error.reason == Reason::LookupUnavailable => {
                            failures.fetch_add(1, Relaxed);
                        }
                        _ => failures.store(0, Relaxed),
                    }
                    (index, answer)
                }
            });
            futures::stream::iter(requests)
                .buffer_unordered(LOOKUPS_AT_ONCE)
                .collect()
                .await
        })
    }
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
        (Some(place), _) => &entry.verdicts[place].1,
        (None, Some(writer)) => {
            let verdict = gate.judge(source, id, contract, writer, entry.subjects.as_deref());
            &entry.verdicts.push_mut((source.to_owned(), verdict)).1
        }
        (None, None) => return entry.plan.clone(),
    };
    match verdict.action {
        DriftAction::Allow | DriftAction::Warn => entry.plan.clone(),
        DriftAction::Quarantine => Err(drifted(Reason::Drift, id, verdict)),
        DriftAction::Halt => Err(drifted(Reason::DriftHalted, id, verdict)),
    }
}

/// The tree of the contract's bytes. Their offsets say nothing of the record's.
fn of_contract(
    contract: &Schema,
    bytes: &[u8],
    limits: &Limits,
    id: u32,
) -> Result<Value, RecordError> {
    decode(contract, bytes, limits).map_err(|error| {
        RecordError {
            reason: Reason::UnresolvableValue,
            byte_offset: None,
            ..error
        }
        .with_schema(id)
    })
}

/// Offsets of the contract's bytes say nothing of the record's.
fn encode_failed(error: RecordError) -> RecordError {
    RecordError {
        reason: Reason::EncodeFailed,
        byte_offset: None,
        ..error
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
