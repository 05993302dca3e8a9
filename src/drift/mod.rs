//! `driftgate drift`: what the values of a source topic look like. Input: a pipeline, a range of its source topics, and for a
//! comparison a baseline. Output: a baseline, or a [`Diff`]. Reads from beside, up to the ends as it begins; joins no group.
//!
//! Records are taken through the contract, as the pipeline would: framing, the plan of their writer schema. What does not
//! pass is counted and not looked at, nor are tombstones. Rules and steps are not applied: a baseline is of what comes in.

mod report;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub use self::report::{Diff, Finding, Group};
use crate::config::baseline::Baseline;
use crate::config::model::{DriftAction, Kafka};
use crate::contract::cache::{Answer, SchemaCache};
use crate::contract::decode::Limits;
use crate::contract::plan::{Plan, Scratch};
use crate::contract::registry::SchemaKind;
use crate::contract::schema::Schema;
use crate::contract::wire;
use crate::error::FatalError;
use crate::profile::{
    Builder, LEAST_VALUES, Layout, Profiler, Sampler, Sliding, Volume, Window, compare,
};
use crate::quiet::UNSEEN;
use crate::record::Record;
use crate::scan::{Place, Range, Scanner};
use crate::words::counted;

/// How long the registry may take for a schema.
const FETCH: Duration = Duration::from_secs(30);
/// Topics and writer schemas that are told apart.
const MOST_GROUPS: usize = 100;

/// What is read.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The topics.
    pub topics: Vec<String>,
    /// Only records of this time or later, in milliseconds since the epoch.
    pub from: Option<i64>,
    /// Only records before this time.
    pub until: Option<i64>,
    /// Only so many records, the last ones of each topic.
    pub last: Option<u64>,
}

/// The contract that records are taken through.
#[derive(Debug)]
pub struct Contract {
    /// Its subject.
    pub subject: String,
    /// Its schema.
    pub schema: Arc<Schema>,
    /// Paths of fields that are tagged as personal.
    pub personal: Vec<String>,
}

/// Is told how many offsets there are to read, and how many more have been.
pub trait Progress {
    /// So many are to be read.
    fn total(&mut self, offsets: u64);
    /// So many more are behind.
    fn advance(&mut self, offsets: u64);
}

/// Why there is nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It can never work like this.
    #[error("{0}")]
    Asked(String),
    /// Broker or registry.
    #[error(transparent)]
    Fatal(#[from] FatalError),
}

/// Makes a baseline of a range, with what else is to be said of it. Blocks.
pub fn baseline(
    kafka: &Kafka,
    scope: &Scope,
    contract: &Contract,
    schemas: &SchemaCache,
    progress: &mut dyn Progress,
) -> Result<(Baseline, Vec<String>), Failure> {
    let layout = Layout::new(&contract.schema, &contract.personal);
    let mut builder = Builder::new(&layout);
    let mut reader = Reader::new(contract, schemas, &layout);
    let mut add = |_: &Key, part: &Window| builder.add(part);
    reader.read(kafka, scope, progress, &mut add)?;
    reader.rest(&mut add);
    let made = builder.finish(&layout, &contract.subject, &mut reader.volume);
    let notes = reader.notes();
    match made {
        Ok(baseline) => Ok((baseline, notes)),
        Err(few) => Err(Failure::Asked(
            [vec![few.to_string()], notes].concat().join("; "),
        )),
    }
}

/// Compares a range with a baseline. Blocks.
pub fn diff(
    kafka: &Kafka,
    scope: &Scope,
    contract: &Contract,
    schemas: &SchemaCache,
    baseline: &Baseline,
    progress: &mut dyn Progress,
) -> Result<Diff, Failure> {
    let layout = Layout::new(&contract.schema, &contract.personal);
    let mut reader = Reader::new(contract, schemas, &layout);
    let mut groups: BTreeMap<Key, Judged> = BTreeMap::new();
    let mut judge = |key: &Key, part: &Window| {
        let judged = groups.entry(key.clone());
        let judged = judged.or_insert_with(|| Judged::new(&layout));
        judged.records += part.records;
        judged.sliding.push(part);
        if judged.sliding.is_full() {
            judged.judge(baseline, &layout);
        }
    };
    reader.read(kafka, scope, progress, &mut judge)?;
    reader.rest(&mut judge);
    let mut diff = Diff {
        subject: baseline.subject.clone(),
        ..Diff::default()
    };
    for (key, mut judged) in groups {
        // Fewer records than a window has: what there is.
        if judged.windows == 0 {
            judged.judge(baseline, &layout);
        }
        diff.groups.push(Group {
            topic: key.0.clone(),
            schema_id: key.1,
            records: judged.records,
            windows: judged.windows,
        });
        let findings = judged.findings.into_values();
        diff.findings.extend(findings.map(|finding| Finding {
            topic: key.0.clone(),
            schema_id: Some(key.1),
            of_windows: judged.windows,
            ..finding
        }));
    }
    let few = diff
        .groups
        .iter()
        .filter(|group| group.records < LEAST_VALUES);
    diff.notes.extend(few.map(|group| {
        format!(
            "{}, schema {}: {} say nothing; it takes {LEAST_VALUES}",
            group.topic,
            group.schema_id,
            counted(group.records, "record")
        )
    }));
    if let Some(drifted) = reader.volume.judge(baseline) {
        diff.findings.push(Finding::of(&drifted, None));
    }
    let known = |path: &String| layout.find(path).is_some();
    let fields = baseline.fields.iter().map(|field| &field.path);
    let unknown = fields.filter(|path| !known(path));
    diff.notes.extend(unknown.map(|path| {
        format!("the contract has no field {path} any more: take it out of the baseline")
    }));
    let new = layout
        .leaves
        .iter()
        .filter(|leaf| baseline.field(&leaf.path).is_none());
    let new: Vec<&str> = new.map(|leaf| leaf.path.as_str()).collect();
    if !new.is_empty() {
        let names = new.join(", ");
        diff.notes
            .push(format!("not in the baseline, and not compared: {names}"));
    }
    diff.notes.extend(reader.notes());
    if diff.groups.is_empty() {
        diff.notes
            .push("no record in the range passes the contract: nothing was compared".to_owned());
    }
    Ok(diff)
}

/// A topic and a writer schema.
type Key = (String, u32);

/// The windows of a topic and writer schema.
struct Judged {
    sliding: Sliding,
    records: u64,
    windows: u64,
    findings: BTreeMap<(String, crate::profile::Test), Finding>,
}

impl Judged {
    fn new(layout: &Layout) -> Judged {
        Judged {
            sliding: Sliding::new(layout),
            records: 0,
            windows: 0,
            findings: BTreeMap::new(),
        }
    }

    fn judge(&mut self, baseline: &Baseline, layout: &Layout) {
        self.windows += 1;
        let window = self.sliding.window();
        for drifted in compare(baseline, layout, window).drifted {
            let key = (drifted.path.clone(), drifted.test);
            let finding = Finding::of(&drifted, window.first);
            let known = self.findings.entry(key).or_insert_with(|| finding.clone());
            known.windows += 1;
            // The first window is where to look, and the worst one is what it comes to.
            if finding.found > known.found {
                let (first, windows) = (known.first.clone(), known.windows);
                *known = Finding {
                    first,
                    windows,
                    ..finding
                };
            }
        }
    }
}

/// Takes records through the contract and into parts.
struct Reader<'a> {
    contract: &'a Contract,
    schemas: &'a SchemaCache,
    layout: &'a Layout,
    plans: HashMap<u32, Option<Arc<Plan>>>,
    scratch: Scratch,
    limits: Limits,
    groups: BTreeMap<Key, Profiler>,
    volume: Volume,
    taken: u64,
    refused: u64,
    left_out: u64,
    hidden: Vec<String>,
}

impl<'a> Reader<'a> {
    fn new(contract: &'a Contract, schemas: &'a SchemaCache, layout: &'a Layout) -> Reader<'a> {
        Reader {
            contract,
            schemas,
            layout,
            plans: HashMap::new(),
            scratch: Scratch::default(),
            limits: Limits::default(),
            groups: BTreeMap::new(),
            volume: Volume::default(),
            taken: 0,
            refused: 0,
            left_out: 0,
            hidden: Vec::new(),
        }
    }

    fn read(
        &mut self,
        kafka: &Kafka,
        scope: &Scope,
        progress: &mut dyn Progress,
        full: &mut dyn FnMut(&Key, &Window),
    ) -> Result<(), Failure> {
        let scanner = Scanner::new(kafka, "driftgate-drift", "driftgate-drift")?;
        let ranges = ranges(&scanner, scope)?;
        let offsets = ranges.iter().map(|range| range.to - range.from);
        progress.total(offsets.map(|count| u64::try_from(count).unwrap_or(0)).sum());
        let mut failed = None;
        let held = scanner.read(
            &ranges,
            &mut |offsets| progress.advance(offsets),
            &mut |record, _| {
                if failed.is_none()
                    && in_time(scope, record)
                    && let Err(error) = self.record(record, full)
                {
                    failed = Some(error);
                }
            },
        )?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.hidden.extend(held.iter().map(|held| {
            format!(
                "{}-{}: an open transaction hides everything from offset {} on",
                held.topic, held.partition, held.at
            )
        }));
        Ok(())
    }

    fn record(
        &mut self,
        record: &Record<'_>,
        full: &mut dyn FnMut(&Key, &Window),
    ) -> Result<(), Failure> {
        let Some(value) = record.value else {
            return Ok(());
        };
        let Ok((id, payload)) = wire::read(value, &record.headers) else {
            self.refused += 1;
            return Ok(());
        };
        let Some(plan) = self.plan(id)? else {
            self.refused += 1;
            return Ok(());
        };
        let Ok(view) = plan.run(payload, &self.limits, &mut self.scratch) else {
            self.refused += 1;
            return Ok(());
        };
        if let Some(time) = record.timestamp {
            self.volume.add(time);
        }
        let key = (record.topic.to_owned(), id);
        if self.groups.len() == MOST_GROUPS && !self.groups.contains_key(&key) {
            self.left_out += 1;
            return Ok(());
        }
        self.taken += 1;
        let profiler = self.groups.entry(key.clone());
        let profiler = profiler.or_insert_with(|| Profiler::new(self.layout, i64::MAX, 0));
        // A tool has the time to count each.
        let mut sampler = Sampler::new(0, 1);
        let schema = &self.contract.schema;
        let counted = profiler.record(
            self.layout,
            schema,
            &mut sampler,
            view.bytes,
            record.timestamp,
        );
        let is_full = counted.map_err(|broken| Failure::Asked(broken.to_string()))?;
        if is_full {
            full(&key, profiler.part());
            profiler.next(0);
        }
        Ok(())
    }

    /// Hands over what does not fill a part.
    fn rest(&mut self, each: &mut dyn FnMut(&Key, &Window)) {
        for (key, profiler) in &mut self.groups {
            if profiler.part().records > 0 {
                each(key, profiler.part());
                profiler.next(0);
            }
        }
    }

    /// Nothing for a writer schema that the contract cannot read.
    fn plan(&mut self, id: u32) -> Result<Option<Arc<Plan>>, Failure> {
        if let Some(known) = self.plans.get(&id) {
            return Ok(known.clone());
        }
        let unavailable = |message: String| Failure::Fatal(FatalError::Start(message));
        let plan = match self.schemas.wait(id, FETCH) {
            Answer::Ready(fetched) if fetched.kind == SchemaKind::Avro => {
                let writer = Schema::parse(&fetched.text, &fetched.references).ok();
                let contract = &self.contract.schema;
                writer.and_then(|writer| Plan::compile(&writer, contract, &[]).ok())
            }
            Answer::Ready(_) | Answer::Unknown => None,
            Answer::Pending => {
                return Err(unavailable(format!(
                    "the registry did not answer for schema {id} in {FETCH:?}"
                )));
            }
            Answer::Unavailable { message, .. } => {
                return Err(unavailable(format!("registry: {message}")));
            }
        };
        let plan = plan.map(Arc::new);
        self.plans.insert(id, plan.clone());
        Ok(plan)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.refused > 0 {
            let refused = counted(self.refused, "record");
            let all = self.refused + self.taken + self.left_out;
            notes.push(format!("{refused} of {all} do not pass the contract"));
        }
        if self.left_out > 0 {
            let left_out = counted(self.left_out, "record");
            notes.push(format!(
                "{left_out} of more than {MOST_GROUPS} topics and writer schemas were left out"
            ));
        }
        if self.layout.left_out > 0 {
            let fields = counted(self.layout.left_out, "field");
            notes.push(format!("{fields} beyond the first 500 were left out"));
        }
        notes.extend(self.hidden.iter().cloned());
        notes
    }
}

fn in_time(scope: &Scope, record: &Record<'_>) -> bool {
    let Some(time) = record.timestamp else {
        return true;
    };
    scope.from.is_none_or(|from| time >= from) && scope.until.is_none_or(|until| time < until)
}

fn ranges(scanner: &Scanner, scope: &Scope) -> Result<Vec<Range>, Failure> {
    let partitions = scanner.partitions(&scope.topics)?;
    let missing = |topic: &&String| !partitions.contains_key(*topic);
    if let Some(topic) = scope.topics.iter().find(missing) {
        let text = format!("topic {topic} does not exist, {UNSEEN}");
        return Err(Failure::Asked(text));
    }
    let mut ranges = Vec::new();
    for topic in &scope.topics {
        let count = partitions[topic];
        let places: Vec<Place> = (0..count).map(|number| (topic.clone(), number)).collect();
        let starts = match scope.from {
            Some(time) => scanner.at_time(&places, time)?,
            None => HashMap::new(),
        };
        // The last ones of a topic lie at the ends of its partitions.
        let each = u64::from(count.unsigned_abs().max(1));
        let last = scope.last.map(|last| last.div_ceil(each));
        let last = last.map(|last| i64::try_from(last).unwrap_or(i64::MAX));
        for place in places {
            let (low, to) = scanner.watermarks(topic, place.1)?;
            let start = starts.get(&place).copied().unwrap_or(low);
            let start = last.map_or(start, |last| start.max(to.saturating_sub(last)));
            ranges.push(Range {
                topic: topic.clone(),
                partition: place.1,
                from: start.max(low).min(to),
                to,
            });
        }
    }
    Ok(ranges)
}

impl Diff {
    /// Whether something drifted that is a finding.
    pub fn drifted(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|finding| finding.then != DriftAction::Allow.as_str())
    }
}
