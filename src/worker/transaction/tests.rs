//! A worker's transactions by a script: what is asked of producer and consumer, and in which order.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio_util::sync::CancellationToken;

use super::super::engine::{Outside, Settings as WorkerSettings, Taken};
use super::super::ports::{Judge, Outlet, Records, Time, Transactions, Waiting};
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
    /// The topic that refuses every record for its size.
    refuses: Option<String>,
    /// How far the time has gone on by waiting.
    waited: Duration,
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
        let answer = script.aborts.pop_front().unwrap_or(Ok(()));
        if answer.is_err() {
            script.waited += timeout;
        }
        answer
    }

    fn failure(&mut self) -> Option<TransactionError> {
        None
    }

    fn renew(&mut self) -> Result<(), FatalError> {
        self.script().calls.push("renew".into());
        Ok(())
    }
}

impl Outlet for Scripted {
    fn send(&mut self, record: &Produce<'_>, token: usize) -> Result<(), RDKafkaErrorCode> {
        let mut script = self.script();
        script.calls.push(format!("send {}", record.topic));
        let refused = script.refuses.as_deref() == Some(record.topic);
        script.reports.push(Delivery {
            token,
            error: refused.then_some(RDKafkaErrorCode::MessageSizeTooLarge),
        });
        Ok(())
    }

    fn poll(&mut self, _: Duration, _: &mut Vec<Delivery>) {}

    fn flush(&mut self, timeout: Duration, out: &mut Vec<Delivery>) {
        let mut script = self.script();
        match script.silent {
            true => script.waited += timeout,
            false => out.append(&mut script.reports),
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
        let waited = self.1.script().waited;
        Clock {
            now: self.0 + waited,
            wall: 1_700_000_000_000 + i64::try_from(waited.as_millis()).expect("a short test"),
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

/// Records that say themselves what becomes of them.
struct Batch(Vec<(i64, &'static [u8])>);

impl Records for Batch {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Item<'_> {
        let (offset, value) = self.0[index];
        Item::Record(Record {
            topic: "in",
            offset,
            value: Some(value),
            ..Record::default()
        })
    }
}

fn batch(values: &[(i64, &'static str)]) -> Batch {
    Batch(
        values
            .iter()
            .map(|(offset, value)| (*offset, value.as_bytes()))
            .collect(),
    )
}

struct Words {
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
            Some(b"two") => Verdict::EmitAll(vec![output(), output()]),
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
        Bed::with(exclusive, records, "none")
    }

    fn with(exclusive: bool, records: usize, provenance: &str) -> Bed {
        let text = YAML.replace("PROVENANCE", provenance);
        let loaded = crate::config::load_text(&text, "test", Path::new(""), &|_| None);
        let config = loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config;
        let producer = Scripted::default();
        let schema = Schema::parse(r#""string""#, &[]).expect("a schema");
        let judge = Words {
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
            random: SmallRng::seed_from_u64(1),
        };
        let second = Duration::from_secs(1);
        let settings = WorkerSettings {
            slot: 0,
            window: 1000,
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
        assert_eq!(bed.producer.calls(), "init");
        bed
    }

    /// One turn with these records.
    fn turn(&mut self, records: &[(i64, &'static str)]) {
        let clock = self.engine.time.read();
        self.engine.timers(&self.group, clock);
        let clock = self.engine.time.read();
        if !records.is_empty() {
            self.engine.take(&batch(records), &self.group, clock);
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

/// A ledger's entries are of the transaction whose offsets they lead to, and what is aborted is not told.
#[test]
fn the_ledger_is_written_within_the_transaction() {
    let mut bed = Bed::with(true, 100, "ledger");
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
