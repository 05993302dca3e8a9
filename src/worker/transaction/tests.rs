//! A worker's transactions by a script: what is asked of producer and consumer, and in which order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio_util::sync::CancellationToken;

use super::super::engine::{LONGEST_PAUSE, Outside, Settings as WorkerSettings, Taken};
use super::super::ports::{
    Event, Found, Judge, Outlet, Reading, Records, Survey, Time, Transactions, Waiting,
};
use super::super::{Engine, Shared};
use super::*;
use crate::config::model::Pipeline;
use crate::contract::schema::Schema;
use crate::error::{Reason, RecordError};
use crate::failure::envelope::Stamp;
use crate::failure_log::FailureLog;
use crate::health::Health;
use crate::metrics::{Metrics, PartitionMetrics};
use crate::native::consumer::Item;
use crate::native::producer::{Delivery, Produce};
use crate::native::transaction::Member;
use crate::pipeline::{Again, Checked, Output, Sink, Verdict};
use crate::record::Record;

type Answer = Result<(), TransactionError>;

/// What a producer was asked, and what it is to answer.
#[derive(Default)]
struct Script {
    calls: Vec<String>,
    reports: Vec<Delivery>,
    /// Answers to the next commits and aborts; `Ok` after them.
    commits: VecDeque<Answer>,
    aborts: VecDeque<Answer>,
    /// Records are not acknowledged while this is set.
    silent: bool,
    /// How long each acknowledgement takes.
    slow: Option<Duration>,
    /// Why the open transaction can only be aborted.
    failed: Option<RDKafkaErrorCode>,
    /// The topics that may not be written to. Who writes to one loses all that is queued, and is not told for which.
    barred: Vec<String>,
    /// Whether what is thrown away is reported before the transaction is aborted, and how many reports come at a time.
    reported: Option<usize>,
    /// The topic that refuses every record for its size.
    refuses: Option<String>,
    /// The topic whose records are larger than the client writes.
    oversized: Option<String>,
    /// The topic for which the producer has no room.
    full: Option<String>,
    /// What is in retry, as a survey finds it, and the surveys that were not answered yet.
    in_retry: Vec<Found>,
    surveys: Vec<u64>,
    /// So many of the next surveys fail.
    failing: usize,
    /// Whether a lookup is down that some records need.
    is_down: bool,
    /// How long the lookup asks to be left alone.
    asks_for: Option<Duration>,
    /// What was produced.
    sent: Vec<Row>,
    /// How far the time has gone on by waiting.
    waited: Duration,
    /// How far the wall clock was set back since, in milliseconds.
    set_back: i64,
}

impl Script {
    /// Where one of the records that wait is for a topic that may not be written to, all are thrown away.
    fn bar(&mut self) {
        let from = self.sent.len() - self.reports.len().min(self.sent.len());
        let mut waiting = self.sent[from..].iter();
        if self.failed.is_some() || !waiting.any(|row| self.barred.contains(&row.topic)) {
            return;
        }
        self.failed = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        for report in &mut self.reports {
            report.error = Some(RDKafkaErrorCode::PurgeQueue);
        }
    }
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().expect("no panic while it is held")
    }

    /// The calls since the last time this was asked.
    fn calls(&self) -> String {
        std::mem::take(&mut self.script().calls).join(", ")
    }
}

impl Transactions for Scripted {
    fn init(&mut self, _: Duration) -> Answer {
        self.script().calls.push("init".into());
        Ok(())
    }

    fn begin(&mut self) -> Answer {
        self.script().calls.push("begin".into());
        Ok(())
    }

    fn send_offsets(&mut self, entries: &[Entry], _: &Member, _: Duration) -> Answer {
        let offsets: Vec<String> = entries
            .iter()
            .map(|entry| format!("{}@{}", entry.topic, entry.offset))
            .collect();
        self.script()
            .calls
            .push(format!("offsets {}", offsets.join(" ")));
        Ok(())
    }

    fn commit(&mut self, timeout: Duration, _: &mut Vec<Delivery>) -> Answer {
        let mut script = self.script();
        script.calls.push("commit".into());
        let answer = script.commits.pop_front().unwrap_or(Ok(()));
        if answer.is_err() {
            script.waited += timeout;
        }
        answer
    }

    fn abort(&mut self, timeout: Duration, out: &mut Vec<Delivery>) -> Answer {
        let mut script = self.script();
        script.calls.push("abort".into());
        out.append(&mut script.reports);
        if !script.silent {
            script.failed = None;
        }
        let answer = script.aborts.pop_front().unwrap_or(Ok(()));
        if answer.is_err() {
            script.waited += timeout;
        }
        answer
    }

    fn failure(&mut self) -> Option<TransactionError> {
        Some(TransactionError {
            code: self.script().failed?,
            message: "failed".into(),
            then: Then::Abort,
        })
    }

    fn renew(&mut self) -> Result<(), FatalError> {
        self.script().calls.push("renew".into());
        Ok(())
    }
}

impl Survey for Scripted {
    fn begin(&mut self, reading: Reading) {
        let mut script = self.script();
        script.calls.push("survey".into());
        script.surveys.push(reading.ticket);
    }

    fn poll(&mut self) -> Vec<Event> {
        let mut script = self.script();
        let tickets = std::mem::take(&mut script.surveys);
        let found = |ticket| {
            if script.failing > 0 {
                script.failing -= 1;
                let why = "by the script".to_owned();
                return vec![Event::Failed { ticket, why }];
            }
            let found = script.in_retry.clone();
            vec![Event::Found { ticket, found }, Event::Done { ticket }]
        };
        tickets.into_iter().flat_map(found).collect()
    }
}

impl Outlet for Scripted {
    fn send(&mut self, record: &Produce<'_>, token: usize) -> Result<(), RDKafkaErrorCode> {
        let mut script = self.script();
        if script.full.as_deref() == Some(record.topic) {
            return Err(RDKafkaErrorCode::QueueFull);
        }
        if script.oversized.as_deref() == Some(record.topic) {
            return Err(RDKafkaErrorCode::MessageSizeTooLarge);
        }
        if script.failed.is_some() && !script.silent {
            return Err(RDKafkaErrorCode::State);
        }
        script.calls.push(format!("send {}", record.topic));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = record.headers.iter();
        script.sent.push(Row {
            topic: record.topic.to_owned(),
            partition: 0,
            offset: 0,
            key: record.key.map(text),
            value: record.value.map(text),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), value.map(text)))
                .collect(),
        });
        let refused = script.refuses.as_deref() == Some(record.topic);
        script.reports.push(Delivery {
            token,
            error: refused.then_some(RDKafkaErrorCode::MessageSizeTooLarge),
            offset: -1,
        });
        Ok(())
    }

    fn poll(&mut self, _: Duration, _: &mut Vec<Delivery>) {}

    fn flush(&mut self, timeout: Duration, out: &mut Vec<Delivery>) {
        let mut script = self.script();
        script.bar();
        if script.failed.is_some() && !script.silent {
            let count = script.reported.unwrap_or(0).min(script.reports.len());
            out.extend(script.reports.drain(..count));
            script.waited += timeout;
            return;
        }
        match (script.silent, script.slow) {
            (true, _) => script.waited += timeout,
            (false, None) => out.append(&mut script.reports),
            (false, Some(slow)) => {
                script.waited += slow;
                out.push(script.reports.remove(0));
            }
        }
    }

    fn fatal_error(&self) -> Option<ClientError> {
        None
    }

    fn take_errors(&mut self) -> Vec<ClientError> {
        Vec::new()
    }
}

/// A time that goes on only where something waits.
struct Waits(Instant, Scripted);

impl Time for Waits {
    fn read(&self) -> Clock {
        let (waited, set_back) = {
            let script = self.1.script();
            (script.waited, script.set_back)
        };
        let millis = i64::try_from(waited.as_millis()).expect("a short test");
        Clock {
            now: self.0 + waited,
            wall: 1_700_000_000_000 + millis - set_back,
        }
    }
}

/// A consumer with one source partition, whose records are at hand.
#[derive(Default)]
struct Group {
    /// What the group has committed, as far as this test says.
    offset: Option<i64>,
    /// Whether it has gone on without us.
    left: bool,
    sought: RefCell<Vec<i64>>,
}

impl Positions for Group {
    fn committed(
        &self,
        partitions: &[(String, i32)],
        _: Duration,
    ) -> Result<Vec<Entry>, RDKafkaErrorCode> {
        let entry = |(topic, partition): &(String, i32)| Entry {
            topic: topic.clone(),
            partition: *partition,
            offset: self
                .offset
                .unwrap_or(crate::native::consumer::OFFSET_INVALID),
            metadata: None,
        };
        Ok(partitions.iter().map(entry).collect())
    }

    fn commit(&self, _: &[Entry], _: Option<Duration>) -> Result<(), RDKafkaErrorCode> {
        panic!("offsets are committed in transactions alone");
    }

    fn reachable(&self, _: Duration) -> bool {
        true
    }

    fn pause(&self, _: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        Ok(())
    }

    fn resume(&self, _: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        Ok(())
    }

    fn seek(&self, partitions: &[Entry], _: Duration) -> Result<(), ClientError> {
        let mut sought = self.sought.borrow_mut();
        sought.extend(partitions.iter().map(|entry| entry.offset));
        Ok(())
    }

    fn has_topic(&self, _: &str, _: Duration) -> Option<bool> {
        Some(true)
    }

    fn restart(&self, partitions: &[Entry]) -> Result<(), ClientError> {
        self.seek(partitions, Duration::ZERO)
    }

    fn range(&self, _: &str, _: i32, _: Duration) -> Option<(i64, i64)> {
        None
    }

    fn watermarks(&self, _: &str, _: i32) -> Option<(i64, i64)> {
        None
    }

    fn position(&self, _: &str, _: i32) -> Option<i64> {
        None
    }

    fn joined(&self) -> bool {
        true
    }

    fn member(&self) -> Option<Member> {
        (!self.left).then(|| Member {
            group: "g".into(),
            generation: 1,
            id: "m".into(),
            instance: None,
        })
    }
}

/// A record as it is in its topic. It says itself what becomes of it.
#[derive(Debug, Clone, Default)]
struct Row {
    topic: String,
    partition: i32,
    offset: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
}

impl Row {
    fn at(self, offset: i64) -> Row {
        Row { offset, ..self }
    }
}

struct Batch(Vec<Row>);

impl Records for Batch {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Item<'_> {
        let row = &self.0[index];
        let headers = row.headers.iter();
        Item::Record(Record {
            topic: &row.topic,
            partition: row.partition,
            offset: row.offset,
            key: row.key.as_deref().map(str::as_bytes),
            value: row.value.as_deref().map(str::as_bytes),
            headers: headers
                .map(|(name, value)| (name.as_str(), value.as_deref().map(str::as_bytes)))
                .collect(),
            ..Record::default()
        })
    }
}

fn batch(values: &[(i64, &'static str)]) -> Batch {
    let row = |(offset, value): &(i64, &'static str)| source(*offset, None, value);
    Batch(values.iter().map(row).collect())
}

fn source(offset: i64, key: Option<&str>, value: &str) -> Row {
    Row {
        topic: "in".to_owned(),
        partition: 0,
        offset,
        key: key.map(str::to_owned),
        value: Some(value.to_owned()),
        headers: Vec::new(),
    }
}

struct Words {
    producer: Scripted,
    pipeline: Pipeline,
    stamp: Stamp,
    sinks: Vec<Sink>,
}

impl Judge for Words {
    fn config(&self) -> &Pipeline {
        &self.pipeline
    }

    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn sinks(&self) -> &[Sink] {
        &self.sinks
    }

    fn process(&mut self, _: &str, record: &Record<'_>, _: Option<&PartitionMetrics>) -> Verdict {
        let output = || Output::of(record.value.map(<[u8]>::to_vec));
        match record.value {
            Some(b"filter") => Verdict::Filtered,
            Some(b"bad") => Verdict::Failed(RecordError::new(Reason::Unframed, "bad")),
            Some(b"asks") if self.producer.script().is_down => {
                let error = RecordError::new(Reason::LookupUnavailable, "down");
                Verdict::Failed(RecordError {
                    retry_after: self.producer.script().asks_for,
                    ..error
                })
            }
            Some(b"two") => Verdict::EmitAll(vec![output(), output()]),
            Some(b"none") => Verdict::EmitAll(Vec::new()),
            _ => Verdict::Emit(output()),
        }
    }

    fn look_up(&mut self, _: &mut [Waiting], _: &mut dyn FnMut(&(usize, Taken), &mut Again<'_>)) {}

    fn rebalanced(&self, _: usize) {}
}

const YAML: &str = r#"
pipelines:
  p:
    owner: { team: t, contact: c }
    group: g
    delivery: exactly_once
    provenance: PROVENANCE
    source: { topics: [in] }
    contract: { subject: s }
    sink: { topic: out, subject: s }
    failure: { retry: { tiers: [] } }
"#;

struct Bed {
    engine: Engine,
    producer: Scripted,
    group: Group,
    metrics: Arc<Metrics>,
}

impl Bed {
    /// A worker that has its partition, of which nothing has been read.
    fn new(exclusive: bool, records: usize) -> Bed {
        let bed = Bed::with(exclusive, records, "none");
        assert_eq!(bed.producer.calls(), "init");
        bed
    }

    fn with(exclusive: bool, records: usize, provenance: &str) -> Bed {
        Bed::of(&YAML.replace("PROVENANCE", provenance), exclusive, records)
    }

    /// With an order per key and one tier.
    fn per_key(on_dead: &str) -> Bed {
        Bed::per_key_until(on_dead, "")
    }

    /// The same with limits of a breaker.
    fn per_key_until(on_dead: &str, limits: &str) -> Bed {
        let failure = format!(
            "{{ tiers: [1s], jitter: 0%, ordering: per_key, on_dead: {on_dead} }}, dead_letter: {{ {limits} }}"
        );
        let yaml = YAML
            .replace("{ tiers: [] }", &failure)
            .replace("PROVENANCE", "none");
        let mut bed = Bed::of(&yaml, true, 100);
        assert_eq!(bed.producer.calls(), "init, survey");
        bed.turn(&[]);
        bed
    }

    fn of(yaml: &str, exclusive: bool, records: usize) -> Bed {
        let loaded = crate::config::load_text(yaml, "test", Path::new(""), &|_| None);
        let config = loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config;
        let producer = Scripted::default();
        let schema = Schema::parse(r#""string""#, &[]).expect("a schema");
        let judge = Words {
            producer: producer.clone(),
            pipeline: config.pipelines[0].clone(),
            stamp: Stamp {
                pipeline: "p".into(),
                group: "g".into(),
                owner: "t <c>".into(),
                contract: "s@1".into(),
                dialects: Vec::new(),
            },
            sinks: vec![Sink {
                topic: "out".into(),
                schema: Arc::new(schema),
                id: 1,
                rules: Checked::default(),
            }],
        };
        let outside = Outside {
            judge: Box::new(judge),
            outlet: Box::new(producer.clone()),
            time: Box::new(Waits(Instant::now(), producer.clone())),
            survey: Box::new(producer.clone()),
            random: SmallRng::seed_from_u64(1),
        };
        let second = Duration::from_secs(1);
        let settings = WorkerSettings {
            state: None,
            slot: 0,
            window: 1000,
            room: usize::MAX,
            batch: 10,
            commit_interval: second,
            revoke_grace: second,
            shutdown_grace: second,
            stuck_after: 60 * second,
            start: crate::native::consumer::OFFSET_BEGINNING,
            partitions: Default::default(),
            sizes: Default::default(),
            transaction: Some(Settings {
                id: "g-i-0".into(),
                exclusive,
                interval: second / 10,
                records,
                timeout: 15 * second,
                poll_interval: 300 * second,
            }),
        };
        let metrics = Metrics::new();
        let shared = Shared {
            metrics: Arc::clone(&metrics),
            health: Health::new(),
            failures: Arc::new(FailureLog::new(Instant::now())),
            controls: Arc::default(),
            shutdown: CancellationToken::new(),
        };
        let mut bed = Bed {
            engine: Engine::new(settings, outside, shared),
            producer,
            group: Group::default(),
            metrics,
        };
        bed.engine.start_transactions().expect("it starts");
        let mine = Entry {
            topic: "in".into(),
            partition: 0,
            offset: -1,
            metadata: None,
        };
        bed.engine.assigned(&bed.group, &[mine]);
        bed.engine.after_poll();
        bed
    }

    /// One turn with these records.
    fn turn(&mut self, records: &[(i64, &'static str)]) {
        self.turn_with(&batch(records));
    }

    fn turn_with(&mut self, batch: &Batch) {
        let clock = self.engine.time.read();
        self.engine.surveyed(&self.group, clock);
        self.engine.timers(&self.group, clock);
        let clock = self.engine.time.read();
        if batch.len() > 0 {
            self.engine.take(batch, &self.group, clock);
        }
        self.engine.settle(&self.group);
        self.engine.after_poll();
    }

    /// Time goes by.
    fn later(&self, time: Duration) {
        self.producer.script().waited += time;
    }

    /// A turn after the transaction's interval.
    fn due(&mut self) {
        self.later(Duration::from_millis(150));
        self.turn(&[]);
    }

    fn outcomes(&self, outcome: &str) -> String {
        let label = format!("outcome=\"{outcome}\"");
        let page = self.metrics.render();
        let line = page
            .lines()
            .find(|line| line.starts_with("driftgate_records_total{") && line.contains(&label));
        let (_, value) = line.expect("a series").rsplit_once(' ').expect("a value");
        value.to_owned()
    }

    fn ended(&mut self) -> Option<String> {
        self.engine.fatal.take().map(|error| error.to_string())
    }
}

fn answer(then: Then) -> Answer {
    Err(TransactionError {
        code: RDKafkaErrorCode::OperationTimedOut,
        message: "by the script".into(),
        then,
    })
}

#[test]
fn outputs_then_offsets_then_the_commit_and_only_then_the_counts() {
    let mut bed = Bed::new(true, 100);
    bed.turn(&[(0, "a"), (1, "filter"), (2, "bad")]);
    assert_eq!(bed.producer.calls(), "begin, send out, send in.g.dlq");
    assert_eq!(bed.outcomes("emitted"), "0");
    bed.due();
    assert_eq!(bed.producer.calls(), "offsets in@3, commit");
    for outcome in ["emitted", "filtered", "dead_lettered"] {
        assert_eq!(bed.outcomes(outcome), "1", "{outcome}");
    }
    // Nothing since: nothing is begun.
    bed.due();
    assert_eq!(bed.producer.calls(), "");
    // Only filtered: the offset still needs a transaction.
    bed.turn(&[(3, "filter")]);
    bed.due();
    assert_eq!(bed.producer.calls(), "begin, offsets in@4, commit");
}

/// A server, or a native step, that asks for a wait without end does not stop its partition for as long.
#[test]
fn a_wait_that_somebody_asks_for_is_bounded() {
    for asked in [Duration::from_secs(u64::from(u32::MAX)), Duration::MAX] {
        let mut bed = Bed::new(true, 100);
        bed.producer.script().is_down = true;
        bed.producer.script().asks_for = Some(asked);
        bed.turn(&[(0, "asks")]);
        let now = bed.engine.time.read().now;
        let wake = bed.engine.assignment.next_wake().expect("it is paused");
        assert!(wake <= now + LONGEST_PAUSE, "{asked:?}");
    }
}

/// A ledger's entries are of the transaction whose offsets they lead to, and what is aborted is not told.
#[test]
fn the_ledger_is_written_within_the_transaction() {
    let mut bed = Bed::with(true, 100, "ledger");
    assert_eq!(bed.producer.calls(), "init");
    bed.turn(&[(0, "a"), (1, "filter")]);
    assert_eq!(bed.producer.calls(), "begin, send out");
    bed.due();
    let written = "send in.g.ledger, offsets in@2, commit";
    assert_eq!(bed.producer.calls(), written);
    // Only filtered: it begins one for the entry and the offset.
    bed.turn(&[(2, "filter")]);
    bed.due();
    let filtered = "begin, send in.g.ledger, offsets in@3, commit";
    assert_eq!(bed.producer.calls(), filtered);
    bed.producer.script().commits.push_back(answer(Then::Abort));
    bed.turn(&[(3, "a")]);
    bed.due();
    let aborted = "begin, send out, send in.g.ledger, offsets in@4, commit, abort";
    assert_eq!(bed.producer.calls(), aborted);
    bed.turn(&[(3, "a")]);
    bed.due();
    let again = "begin, send out, send in.g.ledger, offsets in@4, commit";
    assert_eq!(bed.producer.calls(), again);
}

#[test]
fn a_batch_is_split_by_count() {
    let mut bed = Bed::new(true, 2);
    bed.turn(&[(0, "a"), (1, "b"), (2, "two"), (3, "c")]);
    assert_eq!(
        bed.producer.calls(),
        "begin, send out, send out, offsets in@2, commit, \
         begin, send out, send out, offsets in@3, commit, begin, send out"
    );
}

/// A commit without an answer is asked again, and nothing is produced until it has one.
#[test]
fn an_unanswered_commit_holds_everything_until_it_is_known() {
    let mut bed = Bed::new(true, 2);
    bed.producer.script().commits.extend([
        answer(Then::Again),
        answer(Then::Again),
        answer(Then::Again),
    ]);
    bed.turn(&[(0, "a"), (1, "b"), (2, "c")]);
    assert_eq!(
        bed.producer.calls(),
        "begin, send out, send out, offsets in@2, commit"
    );
    bed.turn(&[(2, "c")]);
    assert_eq!(bed.producer.calls(), "commit", "and no record is taken");
    bed.turn(&[]);
    assert_eq!(bed.producer.calls(), "commit");
    assert_eq!(bed.outcomes("emitted"), "0");
    bed.turn(&[]);
    assert_eq!(bed.producer.calls(), "commit");
    assert_eq!(bed.outcomes("emitted"), "2");
    // It is read again from where it stopped.
    bed.later(PARK);
    bed.turn(&[]);
    assert_eq!(bed.group.sought.borrow().last(), Some(&2));
    bed.turn(&[(2, "c")]);
    assert_eq!(bed.producer.calls(), "begin, send out");
}

/// It may have been committed after all: the group's offset says so, and what the worker remembers does not count.
#[test]
fn a_commit_without_an_answer_that_is_aborted_goes_on_from_where_the_group_stands() {
    let mut bed = Bed::new(true, 100);
    bed.producer
        .script()
        .commits
        .extend([answer(Then::Again), answer(Then::Abort)]);
    bed.turn(&[(0, "a"), (1, "b")]);
    bed.due();
    bed.producer.calls();
    bed.group.offset = Some(2);
    bed.turn(&[]);
    assert_eq!(bed.producer.calls(), "commit, abort");
    bed.later(PARK);
    bed.turn(&[]);
    assert_eq!(bed.group.sought.borrow().last(), Some(&2));
    bed.turn(&[(2, "c")]);
    bed.due();
    assert_eq!(
        bed.producer.calls(),
        "begin, send out, offsets in@3, commit"
    );
}

#[test]
fn a_refused_record_aborts_and_becomes_a_dead_letter_while_the_others_are_written_again() {
    let mut bed = Bed::new(true, 100);
    bed.turn(&[(0, "a")]);
    bed.due();
    bed.producer.calls();
    bed.producer.script().refuses = Some("out".into());
    bed.turn(&[(1, "filter"), (2, "large")]);
    bed.due();
    // The offset of the filtered record is not committed either.
    assert_eq!(bed.producer.calls(), "begin, send out, abort");
    assert_eq!(bed.group.sought.borrow().last(), Some(&1));
    assert_eq!(bed.outcomes("filtered"), "0");
    // By itself this time, so that the refusal is about it.
    bed.turn(&[(1, "filter"), (2, "large")]);
    assert_eq!(bed.producer.calls(), "begin, send out, abort");
    bed.turn(&[(1, "filter"), (2, "large")]);
    bed.due();
    assert_eq!(
        bed.producer.calls(),
        "begin, send in.g.dlq, offsets in@3, commit"
    );
    assert_eq!(bed.outcomes("filtered"), "1");
    assert_eq!(bed.outcomes("dead_lettered"), "1");
}

#[test]
fn what_is_not_acknowledged_in_time_is_aborted_and_an_unanswered_abort_is_asked_again() {
    let mut bed = Bed::new(true, 100);
    bed.turn(&[(0, "a")]);
    bed.producer.script().silent = true;
    let answers = [answer(Then::Again), answer(Then::Again)];
    bed.producer.script().aborts.extend(answers);
    bed.due();
    assert_eq!(bed.producer.calls(), "begin, send out, abort");
    bed.turn(&[(0, "a")]);
    assert_eq!(bed.producer.calls(), "abort");
    bed.producer.script().silent = false;
    bed.later(Duration::from_secs(20));
    bed.turn(&[]);
    assert_eq!(bed.producer.calls(), "abort");
    assert_eq!(bed.group.sought.borrow().last(), Some(&0));
    bed.turn(&[(0, "a")]);
    bed.due();
    assert_eq!(
        bed.producer.calls(),
        "begin, send out, offsets in@1, commit"
    );
}

/// Brokers that take fifty records in the time that a transaction has: the same hundred again and again would never get
/// through. As long as they are slow transactions are small, and then they grow again.
#[test]
fn what_is_too_much_for_slow_brokers_is_tried_with_fewer_records() {
    let mut bed = Bed::new(true, 100);
    let records = |from: i64| -> Vec<_> { (from..from + 100).map(|at| (at, "a")).collect() };
    let ends = |bed: &mut Bed| -> String {
        let calls = bed.producer.calls();
        let of_end = |call: &&str| call.starts_with("offsets") || *call == "abort";
        calls
            .split(", ")
            .filter(of_end)
            .collect::<Vec<_>>()
            .join(" ")
    };
    bed.producer.script().slow = Some(Duration::from_millis(100));
    bed.turn(&records(0));
    assert_eq!(ends(&mut bed), "abort");
    bed.later(Duration::from_secs(5));
    bed.turn(&[]);
    bed.turn(&records(0));
    assert_eq!(ends(&mut bed), "offsets in@25 offsets in@51 offsets in@78");
    bed.producer.script().slow = None;
    bed.due();
    assert_eq!(ends(&mut bed), "offsets in@100");
    bed.turn(&records(100));
    assert_eq!(ends(&mut bed), "offsets in@156");
    bed.due();
    assert_eq!(ends(&mut bed), "offsets in@200");
    bed.turn(&records(200));
    assert_eq!(ends(&mut bed), "offsets in@300");
}

/// Where it is not their number that makes transactions slow, they grow again: an outage must not leave them at one record
/// each. Where it is, they stay within the time that is waited for them.
#[test]
fn slow_transactions_grow_for_as_long_as_they_fit() {
    let bed = Bed::new(true, 100_000);
    let of_bed = bed.engine.transaction.as_ref().expect("it has them");
    let third = of_bed.settings.third();
    assert_eq!(third, Duration::from_secs(5));
    // Seconds that each takes whatever is in it, records per second beyond that, and how large they become.
    for (fixed, rate, expect) in [
        (0.5, f64::INFINITY, 100_000),
        (2.0, f64::INFINITY, 100_000),
        (3.0, f64::INFINITY, 60),
        (4.0, f64::INFINITY, 100_000),
        (4.9, f64::INFINITY, 100_000),
        (1.0, 13.0, 36),
        (0.0, 2.0, 8),
    ] {
        let mut transaction = Transaction::new(of_bed.settings.clone());
        // None of them was acknowledged in time.
        transaction.outcomes = 197;
        transaction.was_too_large(197);
        let (mut largest, mut too_large) = (0, 0);
        for _ in 0..50 {
            let records = transaction.room;
            transaction.outcomes = records;
            let took = fixed + f64::from(u32::try_from(records).expect("few")) / rate;
            match Duration::from_secs_f64(took) {
                took if took <= third => transaction.fitted(took),
                _ => {
                    too_large += 1;
                    transaction.was_too_large(records);
                    continue;
                }
            }
            largest = largest.max(records);
        }
        assert!(largest >= expect, "{fixed} s, {rate}/s: {largest}");
        assert!(too_large <= 1, "{fixed} s, {rate}/s: {too_large}");
    }
}

/// However slow the commits within a batch are: the group hears of the worker long before it gives its partitions away.
#[test]
fn a_batch_whose_commits_are_slow_is_left_for_the_next_poll() {
    let mut bed = Bed::new(true, 1);
    bed.producer.script().slow = Some(Duration::from_secs(4));
    let records: Vec<_> = (0..40).map(|at| (at, "a")).collect();
    let began = bed.engine.time.read().now;
    bed.turn(&records);
    let took = bed.engine.time.read().now - began;
    assert!((75..90).contains(&took.as_secs()), "{took:?} of 300 s");
    assert_eq!(bed.outcomes("emitted"), "19");
    assert_eq!(bed.group.sought.borrow().last(), Some(&19));
    bed.producer.script().slow = None;
    bed.later(Duration::from_secs(1));
    bed.turn(&[]);
    bed.turn(&records[19..]);
    assert_eq!(bed.outcomes("emitted"), "40");
}

/// Nothing more is acknowledged then. A gap in a partition's numbers, left by an earlier refusal, is no fault of anybody.
#[test]
fn a_transaction_that_can_only_be_aborted_is_not_waited_for() {
    use RDKafkaErrorCode::{OutOfOrderSequenceNumber, TopicAuthorizationFailed};
    for (code, is_fault) in [
        (OutOfOrderSequenceNumber, false),
        (TopicAuthorizationFailed, true),
    ] {
        let mut bed = Bed::new(true, 100);
        bed.turn(&[(0, "a")]);
        {
            let mut script = bed.producer.script();
            (script.silent, script.failed) = (true, Some(code));
        }
        let before = bed.engine.time.read().now;
        bed.due();
        assert_eq!(bed.producer.calls(), "begin, send out, abort");
        let waited = bed.engine.time.read().now - before;
        assert!(waited < Duration::from_secs(1), "{code}: {waited:?}");
        let partition = bed.engine.assignment.iter().next().expect("it has one");
        let is_paused = matches!(partition.flow, Flow::Paused { .. });
        assert_eq!(is_paused, is_fault, "{code}");
        let mut script = bed.producer.script();
        (script.silent, script.failed) = (false, None);
        drop(script);
        bed.later(Duration::from_secs(1));
        bed.turn(&[]);
        bed.turn(&[(0, "a")]);
        bed.due();
        let again = "begin, send out, offsets in@1, commit";
        assert_eq!(bed.producer.calls(), again, "{code}");
    }
}

impl Bed {
    /// A worker that has several partitions.
    fn with_partitions(count: i32) -> Bed {
        let mut bed = Bed::new(true, 100);
        let mine = |partition| Entry {
            topic: "in".into(),
            partition,
            offset: -1,
            metadata: None,
        };
        let more: Vec<Entry> = (1..count).map(mine).collect();
        bed.engine.assigned(&bed.group, &more);
        bed.engine.after_poll();
        bed
    }

    /// So many turns, in each of which each partition is offered the one of `records` that has its number, at the offset where it
    /// stands. What is committed of each after that.
    fn offer(&mut self, turns: usize, records: &[&str]) -> Vec<i64> {
        for _ in 0..turns {
            let rows = self.engine.assignment.iter().map(|partition| Row {
                partition: partition.number,
                ..source(
                    partition.tracker.expected(),
                    None,
                    records[usize::try_from(partition.number).expect("few")],
                )
            });
            let batch = Batch(rows.collect());
            self.turn_with(&batch);
            self.due();
        }
        let all = self.engine.assignment.iter();
        all.map(|partition| partition.mark.offset.unwrap_or(0))
            .collect()
    }

    /// The pauses that are told.
    fn told(&self) -> Vec<String> {
        let mut all = self.engine.shared.health.readiness().reasons;
        all.retain(|reason| reason.contains("paused"));
        all
    }
}

/// A topic that may not be written to fails the transaction of all, and nobody says which one it was. However it shows: by what
/// was thrown away, one report after another, or by what is not taken any more.
#[test]
fn who_writes_to_a_topic_that_it_may_not_waits_and_the_others_go_on() {
    for reported in [None, Some(1), Some(2), Some(10)] {
        for commits_before in [false, true] {
            let mut bed = Bed::with_partitions(3);
            let mut before = 0;
            if commits_before {
                before = 1;
                let all = bed.offer(1, &["bad", "a", "a"]);
                assert_eq!(all, [1, 1, 1]);
            }
            {
                let mut script = bed.producer.script();
                (script.barred, script.reported) = (vec!["in.g.dlq".into()], reported);
            }
            let all = bed.offer(40, &["bad", "a", "a"]);
            let case = format!("{reported:?} {commits_before}: {all:?}, {:?}", bed.told());
            assert_eq!(all[0], before, "{case}");
            assert!(all[1].min(all[2]) > before + 20, "{case}");
            let told = bed.told();
            let named = |text: &String| {
                text.contains("in[0]")
                    && text.contains("dead_letter_refused")
                    && text.contains("in.g.dlq")
            };
            assert!(told.len() == 1 && told.iter().all(named), "{case}");
            // It gets its right.
            bed.producer.script().barred.clear();
            bed.later(Duration::from_secs(20));
            let all = bed.offer(3, &["bad", "a", "a"]);
            assert!(all[0] > before, "{all:?}");
            assert_eq!(bed.told(), Vec::<String>::new());
        }
    }
}

/// It may be the record of another partition that finds the transaction failed.
#[test]
fn who_comes_too_late_for_a_transaction_that_failed_is_not_to_blame() {
    for late in ["a", "two"] {
        let mut bed = Bed::with_partitions(2);
        bed.turn(&[(0, "bad")]);
        bed.producer.script().failed = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        let other = Row {
            partition: 1,
            ..source(0, None, late)
        };
        bed.turn_with(&Batch(vec![other]));
        assert_eq!(bed.producer.calls(), "begin, send in.g.dlq, abort");
        let told = bed.told();
        let is_named =
            told.len() == 1 && told[0].contains("in[0] paused, dead_letter_refused: in.g.dlq");
        assert!(is_named, "{told:?}");
    }
}

/// The right to a topic that has been written to is taken away, and then that to another one: whichever it is, it is named in the
/// end, and who does not write to it goes on.
#[test]
fn a_right_that_is_taken_away_is_named_in_the_end() {
    let mut bed = Bed::with_partitions(3);
    let records = ["bad", "a", "filter"];
    assert_eq!(bed.offer(2, &records), [2, 2, 2]);
    bed.producer.script().reported = Some(1);
    bed.producer.script().barred = vec!["out".into()];
    let all = bed.offer(60, &records);
    assert_eq!(all[1], 2);
    assert!(all[0].min(all[2]) > 20, "{all:?}");
    let told = bed.told();
    assert!(
        told.len() == 1 && told[0].contains("out: not ack"),
        "{told:?}"
    );
    bed.producer.script().barred.push("in.g.dlq".into());
    let before = bed.offer(0, &records);
    let all = bed.offer(60, &records);
    let stay = all[0] == before[0] && all[1] == 2;
    assert!(stay && all[2] > before[2] + 10, "{before:?}, {all:?}");
    let told = bed.told().join(", ");
    assert!(
        told.contains("out: not ack") && told.contains("in.g.dlq: not ack"),
        "{told}"
    );
    bed.producer.script().barred.remove(0);
    bed.later(Duration::from_secs(20));
    let all = bed.offer(60, &records);
    assert!(all[0] <= before[0] && all[1] > 20, "{all:?}");
    let told = bed.told();
    assert!(
        told.len() == 1 && told[0].contains("dead_letter_refused"),
        "{told:?}"
    );
}

/// The group has gone on without us: its broker would take offsets from one who names no generation.
#[test]
fn no_offsets_are_sent_by_one_who_is_no_member_any_more() {
    let mut bed = Bed::new(true, 100);
    bed.turn(&[(0, "a")]);
    bed.group.left = true;
    bed.due();
    assert_eq!(bed.producer.calls(), "begin, send out, abort");
}

#[test]
fn a_fenced_producer_is_replaced_only_where_nobody_else_can_have_its_id() {
    for exclusive in [true, false] {
        let mut bed = Bed::new(exclusive, 100);
        bed.producer
            .script()
            .commits
            .push_back(Err(TransactionError {
                code: RDKafkaErrorCode::Fenced,
                message: "fenced by the script".into(),
                then: Then::Fatal,
            }));
        bed.turn(&[(0, "a")]);
        bed.due();
        let calls = bed.producer.calls();
        if exclusive {
            assert_eq!(calls, "begin, send out, offsets in@1, commit, renew");
            // Nobody knows whether that commit took place.
            bed.group.offset = Some(1);
            bed.turn(&[]);
            assert_eq!(bed.producer.calls(), "init");
            bed.later(PARK);
            bed.turn(&[]);
            assert_eq!(bed.group.sought.borrow().last(), Some(&1));
            assert_eq!(bed.ended(), None);
        } else {
            assert_eq!(calls, "begin, send out, offsets in@1, commit");
            let said = bed.ended().expect("it ends");
            assert!(said.contains("fenced: transactional.id g-i-0"), "{said}");
        }
    }
}

/// A revoke commits what is open before the partition is given up; a loss aborts it.
#[test]
fn a_revoke_commits_and_a_loss_aborts() {
    for lost in [false, true] {
        let mut bed = Bed::new(true, 100);
        bed.turn(&[(0, "a")]);
        let mine = Entry {
            topic: "in".into(),
            partition: 0,
            offset: -1,
            metadata: None,
        };
        bed.engine.revoked(&bed.group, &[mine], lost);
        let end = if lost {
            "abort"
        } else {
            "offsets in@1, commit"
        };
        assert_eq!(bed.producer.calls(), format!("begin, send out, {end}"));
        bed.due();
        assert_eq!(bed.producer.calls(), "", "and nothing is left to end");
    }
}

const RETRY: &str = "in.g.retry.1";

impl Bed {
    /// The last record that was sent to the retry topic, as it is read there.
    fn last_retry(&self, offset: i64) -> Row {
        let script = self.producer.script();
        let mut sent = script.sent.iter().rev();
        let last = sent.find(|row| row.topic == RETRY);
        last.expect("one was sent").clone().at(offset)
    }

    /// A record of the key fails, and that is committed. It comes back from the retry topic as the answer.
    fn first_in_retry(&mut self) -> Row {
        self.producer.script().is_down = true;
        self.turn_with(&Batch(vec![source(0, Some("k"), "asks")]));
        self.due();
        assert_eq!(
            self.producer.calls(),
            format!("begin, send {RETRY}, offsets in@1, commit")
        );
        self.producer.script().is_down = false;
        self.later(Duration::from_secs(2));
        self.last_retry(0)
    }

    /// What was done since the last commit is aborted, after it has been acknowledged.
    fn aborted(&mut self) {
        self.group.left = true;
        self.due();
        self.group.left = false;
        self.turn(&[]);
    }
}

/// What went through in a transaction that is aborted has not gone through: those of its key wait for it again.
#[test]
fn an_abort_brings_back_the_order_per_key() {
    let mut bed = Bed::per_key("release");
    let first = bed.first_in_retry();
    bed.turn_with(&Batch(vec![first.clone()]));
    bed.aborted();
    assert_eq!(bed.producer.calls(), "begin, send out, abort");
    // The source may be read before the retry topic is.
    bed.turn_with(&Batch(vec![source(1, Some("k"), "second")]));
    assert_eq!(bed.producer.calls(), format!("begin, send {RETRY}"));
    // That is aborted as well: the second record waits nowhere now, and for the first one still.
    bed.aborted();
    assert_eq!(bed.producer.calls(), "abort");
    bed.turn_with(&Batch(vec![first, source(1, Some("k"), "second")]));
    bed.due();
    assert_eq!(
        bed.producer.calls(),
        format!("begin, send out, send {RETRY}, offsets in@2 {RETRY}@1, commit")
    );
    bed.later(Duration::from_secs(2));
    let second = bed.last_retry(1);
    bed.turn_with(&Batch(vec![second, source(2, Some("k"), "third")]));
    bed.due();
    bed.turn_with(&Batch(vec![source(3, Some("k"), "fourth")]));
    bed.due();
    assert!(bed.producer.calls().ends_with("commit"));
    let script = bed.producer.script();
    let out = script.sent.iter().filter(|row| row.topic == "out");
    let values: Vec<_> = out.filter_map(|row| row.value.as_deref()).collect();
    assert_eq!(values, ["asks", "asks", "second"]);
}

/// A dead letter that was aborted is none: its followers are neither held nor doomed when the record goes through.
#[test]
fn an_aborted_dead_letter_holds_nobody() {
    for on_dead in ["park", "dead_letter_followers"] {
        let mut bed = Bed::per_key(on_dead);
        let first = bed.first_in_retry();
        bed.turn_with(&Batch(vec![source(1, Some("k"), "second")]));
        bed.due();
        bed.later(Duration::from_secs(2));
        let second = bed.last_retry(1);
        bed.producer.calls();
        // Its contract has changed meanwhile, say: it is dead, and is not when it is read again.
        let dead = Row {
            value: Some("bad".to_owned()),
            ..first.clone()
        };
        bed.turn_with(&Batch(vec![dead]));
        bed.aborted();
        assert_eq!(
            bed.producer.calls(),
            format!("begin, send in.g.dlq, send {RETRY}, abort"),
            "{on_dead}"
        );
        bed.turn_with(&Batch(vec![first, second]));
        bed.due();
        assert_eq!(
            bed.producer.calls(),
            format!("begin, send out, send out, offsets {RETRY}@2, commit"),
            "{on_dead}"
        );
        bed.turn_with(&Batch(vec![source(2, Some("k"), "third")]));
        assert_eq!(bed.producer.calls(), "begin, send out", "{on_dead}");
    }
}

/// What goes to a retry topic with a dead letter, or with the output of a record that was sent back, is one with it: where the
/// producer has no room for that, the other one is taken back. The record is read again, and would have it twice.
#[test]
fn an_outcome_is_taken_back_if_there_is_no_room_for_what_goes_with_it() {
    let mut bed = Bed::per_key("park");
    let first = bed.first_in_retry();
    let dead = Row {
        value: Some("bad".to_owned()),
        ..first.clone()
    };
    let redriven = first.at(2);
    for (record, outcome, next) in [(dead, "in.g.dlq", 1), (redriven, "out", 3)] {
        bed.producer.calls();
        bed.producer.script().full = Some(RETRY.to_owned());
        bed.turn_with(&Batch(vec![record.clone()]));
        bed.due();
        let taken_back = format!("begin, send {outcome}, abort");
        assert_eq!(bed.producer.calls(), taken_back);
        bed.producer.script().full = None;
        bed.later(Duration::from_secs(1));
        bed.turn(&[]);
        bed.turn_with(&Batch(vec![record]));
        bed.due();
        let whole = format!("begin, send {outcome}, send {RETRY}, offsets {RETRY}@{next}, commit");
        assert_eq!(bed.producer.calls(), whole);
    }
}

/// A retry topic was made smaller, or the client's own limit was. What is to wait there, for the first time or for a long
/// `Retry-After` once more, becomes a dead letter that says both, and is not sent round for ever: whatever is configured for
/// records that are too large.
#[test]
fn what_a_retry_topic_does_not_take_is_not_sent_there_for_ever() {
    for reasons in ["", "reasons: { record_too_large: retry }, "] {
        for (rests, by_client) in [(false, false), (false, true), (true, false), (true, true)] {
            let failure = format!("{{ {reasons}tiers: [1s], jitter: 0% }}");
            let yaml = YAML
                .replace("{ tiers: [] }", &failure)
                .replace("PROVENANCE", "none");
            let mut bed = Bed::of(&yaml, true, 100);
            bed.producer.script().asks_for = Some(Duration::from_secs(60));
            bed.producer.calls();
            let (record, next) = match rests {
                true => (bed.first_in_retry(), format!("{RETRY}@1")),
                false => (source(0, Some("k"), "asks"), "in@1".to_owned()),
            };
            {
                let mut script = bed.producer.script();
                script.is_down = true;
                let topic = Some(RETRY.to_owned());
                match by_client {
                    true => script.oversized = topic,
                    false => script.refuses = topic,
                }
            }
            for _ in 0..4 {
                bed.turn_with(&Batch(vec![record.clone()]));
                bed.due();
            }
            // Once with all that is in its batch, and once alone.
            let refused = match by_client {
                true => String::new(),
                false => format!("begin, send {RETRY}, abort, ").repeat(2),
            };
            let put_aside = format!("{refused}begin, send in.g.dlq, offsets {next}, commit");
            let case = format!("{reasons} {rests} {by_client}");
            assert_eq!(bed.producer.calls(), put_aside, "{case}");
            let script = bed.producer.script();
            let letter = script.sent.last().expect("a dead letter");
            let header = |name| {
                let mut all = letter.headers.iter();
                let found = all.find(|(other, _)| other == name);
                found
                    .and_then(|(_, value)| value.clone())
                    .unwrap_or_default()
            };
            assert_eq!(header("driftgate.reason"), "record_too_large", "{case}");
            let error = header("driftgate.error");
            assert!(error.contains(RETRY), "{case}: {error}");
            assert!(error.contains("lookup_unavailable"), "{case}: {error}");
            assert_eq!(letter.value.as_deref(), Some("asks"));
        }
    }
}

/// What stands for a dead letter is as short as it can be, and nothing can be put in its place.
#[test]
fn what_stands_for_a_dead_letter_waits_for_a_topic_that_takes_it() {
    let mut bed = Bed::per_key("park");
    let dead = Row {
        value: Some("bad".to_owned()),
        ..bed.first_in_retry()
    };
    bed.turn_with(&Batch(vec![dead]));
    bed.due();
    bed.later(Duration::from_secs(2));
    let stands = bed.last_retry(1);
    bed.producer.calls();
    bed.producer.script().refuses = Some(RETRY.to_owned());
    for _ in 0..3 {
        bed.turn_with(&Batch(vec![stands.clone()]));
        bed.due();
    }
    let refused = format!("begin, send {RETRY}, abort, ").repeat(2);
    assert_eq!(bed.producer.calls(), refused.trim_end_matches(", "));
    let told = bed.engine.shared.health.readiness().reasons.join("\n");
    assert!(
        told.contains("broker_refused") && told.contains(&format!("larger than {RETRY}")),
        "{told}"
    );
    bed.producer.script().refuses = None;
    bed.later(Duration::from_secs(1));
    bed.turn(&[]);
    bed.turn_with(&Batch(vec![stands]));
    bed.due();
    let goes_on = format!("begin, send {RETRY}, offsets {RETRY}@2, commit");
    assert_eq!(bed.producer.calls(), goes_on);
}

/// Nothing of a partition is taken while what is in retry cannot be read, and whoever asks is told why.
#[test]
fn a_reading_of_what_is_in_retry_that_fails_is_told_until_it_succeeds() {
    let yaml = YAML
        .replace("{ tiers: [] }", "{ tiers: [1s], ordering: per_key }")
        .replace("PROVENANCE", "none");
    let mut bed = Bed::of(&yaml, true, 100);
    bed.producer.script().failing = 2;
    bed.turn(&[]);
    let told = |bed: &Bed| {
        let reasons = bed.engine.shared.health.readiness().reasons;
        let words = "what is in retry could not be read: by the script";
        reasons.iter().any(|reason| reason.contains(words))
    };
    assert!(told(&bed));
    bed.turn(&[(0, "a")]);
    bed.later(Duration::from_secs(1));
    bed.turn(&[]);
    bed.turn(&[]);
    assert!(told(&bed), "it has failed again");
    assert_eq!(bed.producer.calls(), "init, survey, survey");
    bed.later(Duration::from_secs(1));
    for _ in 0..3 {
        bed.turn(&[]);
    }
    bed.turn(&[(0, "a")]);
    bed.due();
    let calls = bed.producer.calls();
    assert_eq!(calls, "survey, begin, send out, offsets in@1, commit");
    assert!(!told(&bed));
}

/// Nobody knows how the transaction ended: what is in retry is read where it stands, and nothing is taken before that.
#[test]
fn after_a_commit_that_may_have_been_the_order_per_key_is_read_again() {
    for was_committed in [true, false] {
        let mut bed = Bed::per_key("release");
        let first = bed.first_in_retry();
        bed.producer
            .script()
            .commits
            .extend([answer(Then::Again), answer(Then::Abort)]);
        bed.turn_with(&Batch(vec![first.clone()]));
        bed.due();
        bed.producer.calls();
        // The offset that the group has of both partitions.
        bed.group.offset = Some(1);
        if !was_committed {
            let key = crate::failure::parking::Key::of(Some(b"k"));
            bed.producer.script().in_retry = vec![Found {
                tier: 0,
                key,
                offset: 0,
                due: 0,
                control: None,
            }];
        }
        bed.turn(&[]);
        assert_eq!(bed.producer.calls(), "commit, abort");
        bed.turn_with(&Batch(vec![source(1, Some("k"), "second")]));
        assert_eq!(bed.producer.calls(), "survey", "and nothing is taken");
        bed.turn(&[]);
        bed.turn_with(&Batch(vec![source(1, Some("k"), "second")]));
        let to = if was_committed { "out" } else { RETRY };
        assert_eq!(bed.producer.calls(), format!("begin, send {to}"));
    }
}

/// What is in retry is read again, and of what this worker has written nothing is left there: what it writes next is still
/// not due before that, though its clock was set back.
#[test]
fn due_times_do_not_go_back_when_what_is_in_retry_is_read_again() {
    let due = |row: &Row| -> i64 {
        let mut headers = row.headers.iter();
        let due = headers.find(|(name, _)| name == crate::headers::DUE_AT);
        let due = due.and_then(|(_, value)| value.as_deref()?.parse().ok());
        due.expect("a retry is due at a time")
    };
    let mut bed = Bed::per_key("release");
    let first = bed.first_in_retry();
    bed.turn_with(&Batch(vec![first.clone()]));
    bed.due();
    // Twice: the second reading begins before the first one has ended.
    for _ in 0..2 {
        let clock = bed.engine.time.read();
        bed.engine.rebuild_families(clock);
    }
    bed.turn(&[]);
    bed.turn(&[]);
    {
        let mut script = bed.producer.script();
        (script.set_back, script.is_down) = (20_000, true);
    }
    bed.producer.calls();
    bed.turn_with(&Batch(vec![source(1, Some("k"), "asks")]));
    assert_eq!(bed.producer.calls(), format!("begin, send {RETRY}"));
    assert_eq!(due(&bed.last_retry(1)), due(&first));
}

/// Whoever becomes a dead letter with the one in front of it is one more for the breaker, and what stands in a retry topic
/// for that one is none.
#[test]
fn a_breaker_holds_those_back_that_a_dead_letter_takes_along() {
    let mut bed = Bed::per_key_until("dead_letter_followers", "pause_after: 2");
    let first = bed.first_in_retry();
    let mut rows: Vec<Row> = Vec::new();
    for offset in 1..4 {
        bed.turn_with(&Batch(vec![source(offset, Some("k"), "follows")]));
        bed.due();
        rows.push(bed.last_retry(offset));
    }
    bed.later(Duration::from_secs(4));
    bed.producer.calls();
    let dead = Row {
        value: Some("bad".to_owned()),
        ..first
    };
    bed.turn_with(&Batch(vec![dead]));
    bed.due();
    assert_eq!(
        bed.producer.calls(),
        format!("begin, send in.g.dlq, send {RETRY}, offsets {RETRY}@1, commit")
    );
    bed.turn_with(&Batch(vec![rows[0].clone()]));
    bed.due();
    assert_eq!(
        bed.producer.calls(),
        format!("begin, send in.g.dlq, offsets {RETRY}@2, commit"),
        "the second one: the one that stands for the first is not counted"
    );
    bed.turn_with(&Batch(vec![rows[1].clone(), rows[2].clone()]));
    for partition in bed.engine.assignment.iter() {
        assert_eq!(
            partition.barred,
            Some(PauseReason::Breaker),
            "{}",
            partition.topic
        );
    }
    bed.due();
    // The pause is committed where the source stands, and nothing else is done.
    assert_eq!(bed.producer.calls(), "begin, offsets in@4, commit");
    bed.turn_with(&Batch(vec![rows[1].clone(), source(4, Some("j"), "other")]));
    assert_eq!(bed.producer.calls(), "");
}

/// A pause that stands is lifted while what is in retry is still being read: nothing is taken before that is known.
#[test]
fn an_order_to_go_on_does_not_cut_the_reading_of_what_is_in_retry_short() {
    use crate::control::order::{Action, Order, Subject};
    let mut bed = Bed::per_key("release");
    let order = |action| Order {
        action,
        answers: None,
        by: "ada".to_owned(),
        at: 9,
        reason: String::new(),
    };
    let controls = Arc::clone(&bed.engine.shared.controls);
    let subject = || Subject::Pipeline("p".to_owned());
    bed.engine.rebuild_families(bed.engine.time.read());
    controls.apply(0, subject(), Some(order(Action::Pause)));
    bed.engine.obey(bed.engine.time.read());
    controls.apply(1, subject(), Some(order(Action::Resume)));
    bed.engine.obey(bed.engine.time.read());
    for partition in bed.engine.assignment.iter() {
        assert_eq!(partition.barred, None);
        let waits = partition.is_paused_for(PauseReason::Rebuilding);
        assert!(waits, "{}", partition.topic);
    }
    let clock = bed.engine.time.read();
    bed.engine.timers(&bed.group, clock);
    let first = Batch(vec![source(0, Some("k"), "first")]);
    bed.engine.take(&first, &bed.group, clock);
    assert_eq!(bed.producer.calls(), "survey");
    bed.turn(&[]);
    bed.turn_with(&first);
    assert_eq!(bed.producer.calls(), "begin, send out");
}

fn order(
    action: crate::control::order::Action,
    answers: Option<i64>,
) -> crate::control::order::Order {
    crate::control::order::Order {
        action,
        answers,
        by: "ada".to_owned(),
        at: 9,
        reason: String::new(),
    }
}

/// What a breaker stops is taken back, so that its dead letters were never seen. But once somebody has let them go, taking
/// them back again would stop it at the same place for ever.
#[test]
fn a_breaker_that_trips_again_after_a_resume_commits_what_was_let_go() {
    use crate::control::order::{Action, Subject};
    let limits = "{ tiers: [] }, dead_letter: { pause_after: 2 }";
    let yaml = YAML
        .replace("{ tiers: [] }", limits)
        .replace("PROVENANCE", "none");
    let mut bed = Bed::of(&yaml, true, 100);
    bed.producer.calls();
    bed.turn(&[(0, "bad"), (1, "bad"), (2, "bad")]);
    let taken_back = "begin, send in.g.dlq, send in.g.dlq, abort";
    assert_eq!(bed.producer.calls(), taken_back);
    bed.due();
    assert_eq!(bed.producer.calls(), "begin, offsets in@0, commit");
    let standing = |bed: &Bed| {
        let mut all = bed.engine.assignment.iter();
        all.find_map(|partition| Some(partition.standing.first()?.since))
    };
    let since = standing(&bed).expect("it has tripped");
    let subject = Subject::Partition("p".to_owned(), "in".to_owned(), 0);
    let controls = Arc::clone(&bed.engine.shared.controls);
    controls.apply(0, subject, Some(order(Action::Resume, Some(since))));
    bed.later(Duration::from_secs(1));
    bed.engine.obey(bed.engine.time.read());
    bed.due();
    bed.producer.calls();
    bed.turn(&[(0, "bad"), (1, "bad"), (2, "bad")]);
    assert_eq!(bed.producer.calls(), "begin, send in.g.dlq");
    assert!(standing(&bed).is_some_and(|again| again > since));
    bed.due();
    assert_eq!(bed.producer.calls(), "offsets in@1, commit");
}

/// However a record ends well, it is counted once: also one with several outputs, and one that is read again behind an abort.
#[test]
fn a_breaker_counts_what_ends_well_however_it_does() {
    let limits = "{ tiers: [] }, dead_letter: { pause_after: 2, pause_above: { ratio: 50%, window: 1m, at_least: 10 } }";
    let yaml = YAML
        .replace("{ tiers: [] }", limits)
        .replace("PROVENANCE", "none");
    let mut bed = Bed::of(&yaml, true, 100);
    let seen = |bed: &mut Bed| {
        let now = bed.engine.time.read().now;
        let mut all = bed.engine.assignment.iter_mut();
        let decisions = all.next().and_then(|one| one.decisions.as_mut());
        let seen = decisions.expect("it has limits").seen(now);
        (seen.dead_letters.passed, seen.dead_letters.dead)
    };
    for (begin, good) in (0..).step_by(3).zip(["a", "two", "filter", "none"]) {
        let rows = [(begin, "bad"), (begin + 1, good), (begin + 2, good)];
        let before = seen(&mut bed);
        bed.producer.script().commits.push_back(answer(Then::Abort));
        for aborted in [true, false] {
            bed.turn(&rows);
            assert_eq!(
                seen(&mut bed),
                (before.0 + 2, before.1 + 1),
                "{good}, {aborted}"
            );
            bed.due();
        }
        assert_eq!(seen(&mut bed), (before.0 + 2, before.1 + 1), "{good}");
    }
    // Two dead letters are behind one another only where nothing that ended well was between them.
    bed.turn(&[
        (12, "bad"),
        (13, "two"),
        (14, "bad"),
        (15, "two"),
        (16, "bad"),
    ]);
    for partition in bed.engine.assignment.iter() {
        assert_eq!(partition.barred, None, "{}", partition.why);
    }
    bed.turn(&[(17, "bad"), (18, "bad")]);
    let mut barred = bed.engine.assignment.iter().map(|one| one.barred);
    assert!(barred.any(|barred| barred == Some(PauseReason::Breaker)));
}

/// The commit whose answer is late does not tell of a pause that began meanwhile.
#[test]
fn a_pause_that_begins_while_a_commit_has_no_answer_is_committed_behind_it() {
    use crate::control::order::{Action, Subject};
    let mut bed = Bed::new(true, 100);
    bed.producer.script().commits.push_back(answer(Then::Again));
    bed.turn(&[(0, "a")]);
    bed.due();
    let asked = "begin, send out, offsets in@1, commit";
    assert_eq!(bed.producer.calls(), asked);
    let controls = Arc::clone(&bed.engine.shared.controls);
    let subject = Subject::Pipeline("p".to_owned());
    controls.apply(0, subject, Some(order(Action::Pause, None)));
    bed.engine.obey(bed.engine.time.read());
    bed.turn(&[]);
    assert_eq!(bed.producer.calls(), "commit");
    bed.later(Duration::from_secs(2));
    bed.due();
    assert_eq!(bed.producer.calls(), "begin, offsets in@1, commit");
    bed.later(Duration::from_secs(2));
    bed.due();
    assert_eq!(bed.producer.calls(), "", "and once");
}
