//! The one file that names the stages in order: framing, writer schema, contract, rules, transform, encoding. Input: a
//! record. Output: a [`Verdict`]. Knows nothing of offsets, acknowledgements or retries.

mod gate;
mod plans;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;

pub use self::gate::{Event, Gate};
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
    /// To the sink; `None` is a tombstone.
    Emit(Option<Vec<u8>>),
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
    /// The contract's rules.
    pub rules: Rules,
    /// The steps.
    pub transform: Transform,
    /// The sink's schema.
    pub sink: Arc<Schema>,
    /// From the last step's type to the sink's schema.
    pub to_sink: Resolution,
    /// Registry id of the sink's schema.
    pub sink_id: u32,
}

/// A worker's stages: the compiled pipeline and the worker's own plans.
pub struct Stages {
    compiled: Arc<Compiled>,
    schemas: Arc<SchemaCache>,
    lookups: Arc<Vec<LookupClient>>,
    runtime: tokio::runtime::Handle,
    gate: Arc<Gate>,
    plans: Plans,
    /// Of [`SchemaCache::replaced`], as the plans know it.
    replaced: u64,
    limits: Limits,
    scratch: Scratch,
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
            limits: Limits::default(),
            scratch: Scratch::default(),
        }
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
        let Some(value) = record.value else {
            return Verdict::Emit(None);
        };
        match self
            .check(source, value, record, metrics)
            .and_then(|event| self.compiled.transform.run(event))
        {
            Ok(progress) => self.proceed(progress),
            Err(error) => Verdict::Failed(error),
        }
    }

    /// The contract: framing, the plan of the writer schema, rules.
    fn check(
        &mut self,
        source: &str,
        value: &[u8],
        record: &Record<'_>,
        metrics: Option<&PartitionMetrics>,
    ) -> Result<Value, RecordError> {
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
        let event = decode(&self.compiled.contract, view.bytes, &self.limits)?;
        let mut warn = |rule: &str| {
            if let Some(metrics) = metrics {
                metrics.rule_warned(rule);
            }
        };
        self.compiled
            .rules
            .check(&event, &mut warn)
            .map_err(|error| error.with_schema(id))?;
        Ok(event)
    }

    /// The plan of a writer schema, if the gate lets it through.
    fn plan(
        &mut self,
        source: &str,
        id: u32,
        metrics: Option<&PartitionMetrics>,
    ) -> Result<Arc<Plan>, RecordError> {
        let replaced = self.schemas.replaced();
        if self.replaced != replaced {
            // A schema from `registry.cache_dir` was not what the registry has.
            self.replaced = replaced;
            self.plans = Plans::new(plans::BUDGET);
            self.gate.forget();
        }
        if self.plans.get(id).is_none() {
            let mut entry = self.compile(id)?;
            // Before it is kept, so that the verdict counts to what it takes.
            judge(&self.gate, &self.compiled.contract, source, id, &mut entry);
            self.plans.insert(id, entry);
            if let Some(metrics) = metrics {
                metrics.plan_evictions(self.plans.take_evictions());
            }
        }
        let entry = self.plans.get(id).expect("it was put there just now");
        if !entry.verdicts.iter().any(|(topic, _)| topic == source) {
            judge(&self.gate, &self.compiled.contract, source, id, entry);
        }
        let known = entry.verdicts.iter().find(|(topic, _)| topic == source);
        let Some((_, verdict)) = known else {
            return entry.plan.clone();
        };
        match verdict.action {
            DriftAction::Allow | DriftAction::Warn => entry.plan.clone(),
            DriftAction::Quarantine => Err(drifted(Reason::Drift, id, verdict)),
            DriftAction::Halt => Err(drifted(Reason::DriftHalted, id, verdict)),
        }
    }

    /// Makes the plan of a writer schema. An error is one of the registry; a schema that cannot be read is an entry.
    fn compile(&self, id: u32) -> Result<Entry, RecordError> {
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
            Ok(writer) => Plan::compile_shared(Arc::clone(writer), &self.compiled.contract, &[]),
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

    fn proceed(&self, progress: Progress) -> Verdict {
        match progress {
            Progress::Filtered => Verdict::Filtered,
            Progress::Lookup(pending) => Verdict::LookUp(Box::new(pending)),
            Progress::Done(event) => match self.encode(event) {
                Ok(value) => Verdict::Emit(Some(value)),
                Err(error) => Verdict::Failed(error),
            },
        }
    }

    fn encode(&self, event: Value) -> Result<Vec<u8>, RecordError> {
        let encode_failed = |error: RecordError| RecordError {
            reason: Reason::EncodeFailed,
            ..error
        };
        let value = self.compiled.to_sink.apply(event).map_err(encode_failed)?;
        let mut out = Vec::with_capacity(256);
        wire::write_header(self.compiled.sink_id, &mut out);
        encode(&self.compiled.sink, &value, &mut out).map_err(encode_failed)?;
        Ok(out)
    }

    /// Asks every lookup that the batch waits for, several at once, and runs the records on to their verdicts, which
    /// stay in the order of the batch.
    pub fn look_up<T>(&self, work: &mut [Work<T>]) {
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
                work[index].verdict = match resumed {
                    Ok(progress) => self.proceed(progress),
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

/// Adds the gate's verdict to what is known of a writer schema, if there is one to judge.
fn judge(gate: &Gate, contract: &Schema, source: &str, id: u32, entry: &mut Entry) {
    if let Some(writer) = &entry.writer {
        let verdict = gate.judge(source, id, contract, writer, entry.subjects.as_deref());
        entry.verdicts.push((source.to_owned(), verdict));
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
