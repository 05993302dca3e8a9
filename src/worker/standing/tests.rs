//! The engine over a log in memory, with a clock that only waits move.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rdkafka::types::RDKafkaErrorCode;

use super::*;
use crate::config;
use crate::config::model;
use crate::control::order::{Action, Order, Subject};
use crate::error::FatalError;
use crate::error::RecordError;
use crate::failure::envelope::Stamp;
use crate::failure_log::FailureLog;
use crate::health::{Health, PauseReason};
use crate::metrics::{Metrics, PartitionMetrics};
use crate::native::ClientError;
use crate::native::consumer::{Entry, Item, OFFSET_BEGINNING, OFFSET_INVALID};
use crate::native::producer::{Delivery, Produce};
use crate::native::transaction::{Member, TransactionError};
use crate::pipeline::{Again, Sink, Verdict};
use crate::record::Record;
use crate::telemetry::captured;
use crate::worker::engine::{Outside, Settings};
use crate::worker::ports::{
    Act, Event, Intake, Judge, Outlet, Positions, Reading, Records, Survey, Time, Transactions,
    Waiting,
};
use crate::worker::{Clock, Shared};

type Place = (String, i32);

/// Everything outside of the engine.
#[derive(Default)]
struct World {
    /// Since the beginning.
    passed: Duration,
    /// Values by partition: `good` passes, `bad` does not.
    logs: BTreeMap<Place, Vec<&'static str>>,
    positions: BTreeMap<Place, i64>,
    held: BTreeSet<Place>,
    committed: BTreeMap<Place, (i64, String)>,
    /// Of records that were produced: where to.
    sent: Vec<String>,
    unanswered: Vec<usize>,
    /// Whether there is a ledger, and whether entries of it wait for their answer.
    has_ledger: bool,
    ledger_waits: bool,
    entries: Vec<usize>,
    /// Until when the registry does not answer, and how often it was wanted.
    registry_away: Duration,
    asked: usize,
    /// Of each record that was judged, whether it was new.
    new: Vec<bool>,
}

#[derive(Clone)]
struct Shore {
    world: Arc<Mutex<World>>,
    begun: Instant,
}

impl Shore {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test goes on after a panic")
    }
}

impl Time for Shore {
    fn read(&self) -> Clock {
        let passed = self.world().passed;
        let millis = i64::try_from(passed.as_millis()).expect("a test is short");
        Clock {
            now: self.begun + passed,
            wall: 1_763_732_000_000 + millis,
        }
    }
}

impl Positions for Shore {
    fn committed(&self, partitions: &[Place], _: Duration) -> Result<Vec<Entry>, RDKafkaErrorCode> {
        let world = self.world();
        let entry = |place: &Place| {
            let found = world.committed.get(place);
            Entry {
                topic: place.0.clone(),
                partition: place.1,
                offset: found.map_or(OFFSET_INVALID, |(offset, _)| *offset),
                metadata: found.map(|(_, metadata)| metadata.clone()),
            }
        };
        Ok(partitions.iter().map(entry).collect())
    }

    fn commit(&self, entries: &[Entry], _: Option<Duration>) -> Result<(), RDKafkaErrorCode> {
        let mut world = self.world();
        for entry in entries {
            let metadata = entry.metadata.clone().unwrap_or_default();
            let place = (entry.topic.clone(), entry.partition);
            world.committed.insert(place, (entry.offset, metadata));
        }
        Ok(())
    }

    fn reachable(&self, _: Duration) -> bool {
        true
    }

    fn has_topic(&self, _: &str, _: Duration) -> Option<bool> {
        Some(true)
    }

    fn pause(&self, partitions: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        let places = partitions
            .iter()
            .map(|one| (one.topic.clone(), one.partition));
        self.world().held.extend(places);
        Ok(())
    }

    fn resume(&self, partitions: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        for one in partitions {
            self.world()
                .held
                .remove(&(one.topic.clone(), one.partition));
        }
        Ok(())
    }

    fn seek(&self, partitions: &[Entry], _: Duration) -> Result<(), ClientError> {
        for one in partitions {
            let place = (one.topic.clone(), one.partition);
            self.world().positions.insert(place, one.offset);
        }
        Ok(())
    }

    fn restart(&self, partitions: &[Entry]) -> Result<(), ClientError> {
        Positions::seek(self, partitions, Duration::ZERO)
    }

    fn range(&self, topic: &str, partition: i32, _: Duration) -> Option<(i64, i64)> {
        self.watermarks(topic, partition)
    }

    fn position(&self, _: &str, _: i32) -> Option<i64> {
        None
    }

    fn member(&self) -> Option<Member> {
        None
    }

    fn watermarks(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        let world = self.world();
        let log = world.logs.get(&(topic.to_owned(), partition));
        Some((0, log.map_or(0, |log| log.len() as i64)))
    }

    fn joined(&self) -> bool {
        true
    }
}

struct Fetched(Vec<(Place, i64, &'static str)>);

impl Records for Fetched {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Item<'_> {
        let ((topic, partition), offset, value) = &self.0[index];
        Item::Record(Record {
            topic,
            partition: *partition,
            offset: *offset,
            value: Some(value.as_bytes()),
            ..Record::default()
        })
    }
}

impl Intake for Shore {
    fn poll(&mut self, timeout: Duration, engine: &mut Engine, act: &mut Act<'_>) {
        let mut fetched = Vec::new();
        let mut world = self.world();
        let World {
            positions,
            logs,
            held,
            ..
        } = &mut *world;
        for (place, position) in positions
            .iter_mut()
            .filter(|(place, _)| !held.contains(place))
        {
            let log = logs.get(place).map_or(&[][..], Vec::as_slice);
            let begun = usize::try_from((*position).max(0)).expect("not negative");
            for (offset, value) in log.iter().enumerate().skip(begun).take(50) {
                fetched.push((place.clone(), offset as i64, *value));
            }
            *position = (begun + log.len().saturating_sub(begun).min(50)) as i64;
        }
        world.passed += match fetched.is_empty() {
            true => timeout,
            false => Duration::from_millis(1),
        };
        drop(world);
        act(engine, &Fetched(fetched), &self.clone());
    }

    fn take_errors(&mut self) -> Vec<ClientError> {
        Vec::new()
    }

    fn take_commits(&mut self) -> Vec<(Option<RDKafkaErrorCode>, Vec<Entry>)> {
        Vec::new()
    }
}

/// Its pipelines deliver at least once.
impl Transactions for Shore {
    fn init(&mut self, _: Duration) -> Result<(), TransactionError> {
        unreachable!("no transactions")
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        unreachable!("no transactions")
    }

    fn send_offsets(
        &mut self,
        _: &[Entry],
        _: &Member,
        _: Duration,
    ) -> Result<(), TransactionError> {
        unreachable!("no transactions")
    }

    fn commit(&mut self, _: Duration, _: &mut Vec<Delivery>) -> Result<(), TransactionError> {
        unreachable!("no transactions")
    }

    fn abort(&mut self, _: Duration, _: &mut Vec<Delivery>) -> Result<(), TransactionError> {
        unreachable!("no transactions")
    }

    fn failure(&mut self) -> Option<TransactionError> {
        None
    }

    fn renew(&mut self) -> Result<(), FatalError> {
        unreachable!("no transactions")
    }
}

impl Outlet for Shore {
    fn send(&mut self, record: &Produce<'_>, token: usize) -> Result<(), RDKafkaErrorCode> {
        let mut world = self.world();
        world.sent.push(record.topic.to_owned());
        match record.topic.ends_with(".ledger") {
            true => world.entries.push(token),
            false => world.unanswered.push(token),
        }
        Ok(())
    }

    fn poll(&mut self, _: Duration, out: &mut Vec<Delivery>) {
        let mut world = self.world();
        let mut tokens = std::mem::take(&mut world.unanswered);
        if !world.ledger_waits {
            tokens.append(&mut world.entries);
        }
        let delivery = |token| Delivery {
            token,
            error: None,
            offset: -1,
        };
        out.extend(tokens.into_iter().map(delivery));
    }

    fn flush(&mut self, timeout: Duration, out: &mut Vec<Delivery>) {
        Outlet::poll(self, timeout, out);
    }

    fn fatal_error(&self) -> Option<ClientError> {
        None
    }

    fn take_errors(&mut self) -> Vec<ClientError> {
        Vec::new()
    }
}

/// Nothing is in retry when partitions are assigned.
#[derive(Default)]
struct Nothing(Vec<u64>);

impl Survey for Nothing {
    fn begin(&mut self, reading: Reading) {
        self.0.push(reading.ticket);
    }

    fn poll(&mut self) -> Vec<Event> {
        let done = |ticket| Event::Done { ticket };
        self.0.drain(..).map(done).collect()
    }
}

struct Words {
    shore: Shore,
    config: model::Pipeline,
    stamp: Stamp,
}

impl Judge for Words {
    fn config(&self) -> &model::Pipeline {
        &self.config
    }

    fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    fn sinks(&self) -> &[Sink] {
        &[]
    }

    fn process(&mut self, _: &str, record: &Record<'_>, _: Option<&PartitionMetrics>) -> Verdict {
        let mut world = self.shore.world();
        let failed = |reason| Verdict::Failed(RecordError::new(reason, "so it is"));
        if world.passed < world.registry_away {
            world.asked += 1;
            return failed(Reason::RegistryUnavailable);
        }
        match record.value {
            Some(b"good") => Verdict::Filtered,
            _ => failed(Reason::MalformedData),
        }
    }

    fn look_up(&mut self, _: &mut [Waiting], _: &mut dyn FnMut(&(usize, Taken), &mut Again<'_>)) {}

    fn only_new(&mut self, is_new: bool) {
        self.shore.world().new.push(is_new);
    }

    fn rebalanced(&self, _: usize) {}
}

/// An engine that owns partitions of the topic `t`, and what is around it.
struct Scene {
    shore: Shore,
    engine: Engine,
    shared: Shared,
}

impl Scene {
    fn new(failure: &str, world: World) -> Scene {
        let shore = Shore {
            world: Arc::new(Mutex::new(world)),
            begun: Instant::now(),
        };
        Scene::on(failure, shore)
    }

    /// As another process would begin, with nothing but what is committed.
    fn on(failure: &str, shore: Shore) -> Scene {
        let provenance = match shore.world().has_ledger {
            true => "ledger",
            false => "none",
        };
        let text = format!(
            "pipelines:\n  p:\n    owner: {{ team: t }}\n    provenance: {provenance}\n    source: {{ topics: [t] }}\n    contract: {{ subject: s }}\n    \
             sink: {{ topic: out, subject: out-value }}\n    failure: {failure}\n"
        );
        let folder = std::path::Path::new(".");
        let loaded = config::load_text(&text, "driftgate.yaml", folder, &|_| None);
        let config = loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config;
        let shared = Shared {
            metrics: Metrics::new(),
            health: Health::new(),
            failures: Arc::new(FailureLog::new(shore.begun)),
            controls: Arc::default(),
            shutdown: Default::default(),
        };
        let settings = Settings {
            state: None,
            slot: 0,
            window: 100_000,
            room: usize::MAX,
            batch: 1000,
            commit_interval: Duration::from_secs(1),
            revoke_grace: Duration::from_secs(1),
            shutdown_grace: Duration::from_secs(1),
            stuck_after: Duration::from_secs(60),
            start: OFFSET_BEGINNING,
            partitions: Default::default(),
            sizes: Default::default(),
            transaction: None,
        };
        let outside = Outside {
            judge: Box::new(Words {
                shore: shore.clone(),
                config: config.pipelines[0].clone(),
                stamp: Stamp {
                    pipeline: String::new(),
                    group: String::new(),
                    owner: String::new(),
                    contract: String::new(),
                    dialects: Vec::new(),
                },
            }),
            outlet: Box::new(shore.clone()),
            time: Box::new(shore.clone()),
            survey: Box::new(Nothing::default()),
            random: SmallRng::seed_from_u64(7),
        };
        let mut engine = Engine::new(settings, outside, shared.clone());
        let entries: Vec<Entry> = shore
            .world()
            .logs
            .keys()
            .filter(|(topic, _)| topic == "t")
            .map(|(topic, partition)| Entry {
                topic: topic.clone(),
                partition: *partition,
                offset: OFFSET_INVALID,
                metadata: None,
            })
            .collect();
        shore.world().held.clear();
        shore.world().positions.clear();
        let answer = engine.assigned(&shore.clone(), &entries);
        for entry in answer {
            let start = match entry.offset {
                OFFSET_INVALID | OFFSET_BEGINNING => 0,
                offset => offset,
            };
            let place = (entry.topic, entry.partition);
            shore.world().positions.insert(place, start);
        }
        engine.after_poll();
        Scene {
            shore,
            engine,
            shared,
        }
    }

    /// Goes on until so much time has passed.
    fn run(&mut self, time: Duration) {
        let until = self.shore.world().passed + time;
        let mut shore = self.shore.clone();
        while self.shore.world().passed < until {
            self.engine.turn(&mut shore).expect("no fatal error");
        }
    }

    /// An order, at that offset of the control topic, that lets partition 0 go on behind the pause that stands since then.
    fn resume(&self, offset: i64, since: i64) {
        let subject = Subject::Partition("p".to_owned(), "t".to_owned(), 0);
        let order = Order {
            action: Action::Resume,
            answers: Some(since),
            by: "ada".to_owned(),
            at: 0,
            reason: String::new(),
        };
        self.shared.controls.apply(offset, subject, Some(order));
    }

    fn committed(&self, partition: i32) -> (i64, String) {
        let committed = &self.shore.world().committed;
        let found = committed.get(&("t".to_owned(), partition));
        found.cloned().unwrap_or_default()
    }

    fn dead_letters(&self) -> usize {
        let sent = &self.shore.world().sent;
        sent.iter().filter(|topic| topic.ends_with(".dlq")).count()
    }
}

fn log(
    partition: i32,
    values: impl IntoIterator<Item = &'static str>,
) -> (Place, Vec<&'static str>) {
    (("t".to_owned(), partition), values.into_iter().collect())
}

const MINUTE: Duration = Duration::from_secs(60);

/// With retry tiers and without, and though the breaker would trip at the second dead letter.
#[test]
fn a_registry_that_is_away_for_an_hour_costs_no_dead_letter() {
    for tiers in ["[]", "[5s, 1m]"] {
        let failure =
            format!("{{ retry: {{ tiers: {tiers} }}, dead_letter: {{ pause_after: 1 }} }}");
        let values = || std::iter::repeat_n("good", 100);
        let world = World {
            logs: (0..4).map(|partition| log(partition, values())).collect(),
            registry_away: MINUTE * 60,
            ..World::default()
        };
        let mut scene = Scene::new(&failure, world);
        scene.run(MINUTE * 59);
        let reasons = scene.shared.health.readiness().reasons;
        assert!(
            reasons
                .iter()
                .any(|why| why.contains("registry_unavailable")),
            "{reasons:?}"
        );
        assert_eq!(
            scene.committed(0),
            (0, String::new()),
            "nothing is passed over"
        );
        scene.run(MINUTE * 2);
        for partition in 0..4 {
            let (offset, metadata) = scene.committed(partition);
            assert_eq!(offset, 100, "{metadata}");
            assert!(metadata.contains("filtered=100 "), "{metadata}");
            assert!(!metadata.contains("paused"), "{metadata}");
        }
        assert_eq!(
            scene.shore.world().sent,
            Vec::<String>::new(),
            "no dead letter, no retry"
        );
        // Tried again, each at least every ten seconds, and no more than that comes to.
        let asked = scene.shore.world().asked;
        assert!((4 * 360..4 * 400 * 50).contains(&asked), "{asked}");
    }
}

#[test]
fn a_pause_is_committed_where_it_stands_and_found_by_the_next_owner() {
    let limit =
        "{ retry: { tiers: [5s] }, dead_letter: { pause_above: { ratio: 50%, at_least: 4 } } }";
    let flood = ["good", "bad", "bad", "bad", "bad", "good"];
    let world = World {
        logs: [log(0, flood), log(1, ["good"; 6])].into(),
        ..World::default()
    };
    let mut scene = Scene::new(limit, world);
    scene.run(MINUTE);
    // One good and two bad say nothing yet; the third would be three of four.
    assert_eq!(scene.dead_letters(), 2);
    let (offset, metadata) = scene.committed(0);
    assert_eq!(offset, 3);
    let standing = Standing::of_metadata(&metadata);
    assert_eq!(standing.len(), 1, "{metadata}");
    assert_eq!(scene.committed(1).0, 6, "the other partition flows");
    let since = standing[0].since;

    let mut next = Scene::on(limit, scene.shore.clone());
    next.run(MINUTE);
    assert_eq!((next.committed(0), next.dead_letters()), ((3, metadata), 2));
    let reasons = next.shared.health.readiness().reasons;
    assert!(
        reasons
            .iter()
            .any(|why| why.contains("too many dead letters")),
        "{reasons:?}"
    );

    next.resume(0, since - 1);
    next.run(MINUTE);
    let now = (next.committed(0).0, next.dead_letters());
    assert_eq!(now, (3, 2), "another pause's answer");
    next.resume(1, since);
    next.run(MINUTE);
    // Careful now: two records say something, so the second bad one is held back.
    assert_eq!(next.dead_letters(), 3);
    let (offset, metadata) = next.committed(0);
    let again = Standing::of_metadata(&metadata);
    assert_eq!((offset, again.len()), (4, 1), "{metadata}");
    assert!(again[0].since > since, "another pause");
}

/// What is committed then was put together before the trip, and does not tell of it.
#[test]
fn a_pause_that_begins_while_the_ledger_is_written_is_committed_behind_it() {
    let world = World {
        logs: [log(0, ["good"])].into(),
        has_ledger: true,
        ledger_waits: true,
        ..World::default()
    };
    let mut scene = Scene::new("{ dead_letter: { pause_after: 1 } }", world);
    scene.run(Duration::from_secs(3));
    assert_eq!(scene.committed(0), (0, String::new()));
    let place = ("t".to_owned(), 0);
    let more = ["bad", "bad", "good"];
    let mut world = scene.shore.world();
    world.logs.entry(place).or_default().extend(more);
    drop(world);
    scene.run(Duration::from_secs(3));
    assert_eq!(scene.dead_letters(), 1, "and then it tripped");
    scene.shore.world().ledger_waits = false;
    scene.run(MINUTE);
    let (offset, metadata) = scene.committed(0);
    assert_eq!(offset, 2);
    assert_eq!(Standing::of_metadata(&metadata).len(), 1, "{metadata}");
}

/// The first dead letter is one too many.
const AT_ONCE: &str =
    "{ retry: { tiers: [] }, dead_letter: { pause_above: { ratio: 0%, at_least: 1 } } }";

#[test]
fn a_trip_at_the_very_first_record_is_committed_there() {
    let world = World {
        logs: [log(0, ["bad", "good"])].into(),
        ..World::default()
    };
    let mut scene = Scene::new(AT_ONCE, world);
    scene.run(MINUTE);
    assert_eq!(scene.dead_letters(), 0);
    let (offset, metadata) = scene.committed(0);
    assert!(
        offset == 0 && metadata.contains("paused=breaker@"),
        "{metadata}"
    );

    // It is resumed, and gets past that record.
    let since = Standing::of_metadata(&metadata)[0].since;
    scene.resume(0, since);
    scene.run(MINUTE);
    assert_eq!((scene.committed(0).0, scene.dead_letters()), (2, 1));
}

#[test]
fn a_pause_is_not_named_like_one_that_was_answered() {
    let run = |answered: Option<i64>| {
        let world = World {
            logs: [log(0, ["bad", "good"])].into(),
            ..World::default()
        };
        let mut scene = Scene::new(AT_ONCE, world);
        if let Some(since) = answered {
            scene.resume(0, since);
        }
        scene.run(MINUTE);
        assert_eq!(scene.dead_letters(), 0);
        Standing::of_metadata(&scene.committed(0).1)
    };
    let first = run(None);
    // The clock was set back, to where it was then.
    let again = run(Some(first[0].since));
    assert_eq!(again[0].since, first[0].since + 1);
}

#[test]
fn an_operators_pause_bars_before_the_first_record_and_lifts() {
    let world = World {
        logs: [log(0, ["good"; 5]), log(1, ["good"; 5])].into(),
        ..World::default()
    };
    let mut scene = Scene::new("{ retry: { tiers: [5s] } }", world);
    let order = |action| Order {
        action,
        answers: None,
        by: "ada".to_owned(),
        at: 9,
        reason: "a look".to_owned(),
    };
    let wide = || Subject::Pipeline("p".to_owned());
    let controls = Arc::clone(&scene.shared.controls);
    controls.apply(0, wide(), Some(order(Action::Pause)));
    scene.run(MINUTE);
    assert_eq!(scene.committed(0), (0, String::new()));
    let readiness = scene.shared.health.readiness();
    assert_eq!(readiness.degraded.len(), 1, "{readiness:?}");
    assert!(
        readiness.degraded[0].contains("by ada: a look"),
        "{readiness:?}"
    );
    controls.apply(1, wide(), Some(order(Action::Resume)));
    scene.run(MINUTE);
    let committed = [0, 1].map(|partition| scene.committed(partition).0);
    assert_eq!(committed, [5, 5]);
    assert_eq!(
        scene.shared.health.readiness().degraded,
        Vec::<String>::new()
    );
}

/// In the careful time after a resume a breaker trips at half of what is configured: it says so, with both.
#[test]
fn a_careful_breaker_says_that_it_is_and_until_when() {
    let limit = Ratio {
        above: 0.2,
        window: MINUTE,
        at_least: 20,
    };
    let limits = Limits {
        in_a_row: Some(7),
        dead_letters: Some(limit),
        quarantined: None,
    };
    let row = breaker::Cause::InARow(5);
    let (bad, all) = (4, 10);
    let ratio = breaker::Cause::Ratio { bad, all, limit };
    let check = |cause: &breaker::Cause, until: Option<i64>, expect: &str| {
        assert_eq!(told_cause(Decided::Dead, cause, &limits, until), expect);
    };
    let until = Some(1_700_000_000_500);
    check(&row, None, "5 dead letters in a row would be too many");
    check(
        &row,
        until,
        "5 dead letters in a row would be too many (careful after a resume, up to 2023-11-14T22:13:21Z: half of pause_after, \
         which is 7, is enough)",
    );
    check(
        &ratio,
        None,
        "4 of 10 records would be dead letters: more than 20% within 1m",
    );
    check(
        &ratio,
        until,
        "4 of 10 records would be dead letters: more than 20% within 1m (careful after a resume, up to 2023-11-14T22:13:21Z: half \
         of at_least, which is 20, is enough)",
    );
}

/// The log has the first of the pauses of one fault, and of each fault that comes behind another.
#[test]
fn another_fault_behind_the_first_is_logged_too() {
    let world = World {
        logs: [log(0, ["good"])].into(),
        ..World::default()
    };
    let mut scene = Scene::new("{ retry: { tiers: [] } }", world);
    let slot = scene.engine.assignment.find("t", 0).expect("it is ours");
    let lines = captured(|| {
        for (reason, times) in [
            (PauseReason::RegistryUnavailable, 3),
            (PauseReason::BrokerRefused, 2),
            (PauseReason::Backpressure, 2),
            (PauseReason::BrokerRefused, 2),
        ] {
            for _ in 0..times {
                let clock = scene.shore.read();
                let engine = &mut scene.engine;
                engine.pause(slot, 0, reason, "why", None, clock);
            }
        }
    });
    let told = lines.iter().filter(|line| line["level"] == "WARN");
    let told: Vec<_> = told.map(|line| line["reason"].as_str()).collect();
    assert_eq!(
        told,
        [Some("registry_unavailable"), Some("broker_refused")],
        "{lines:#?}"
    );
}

#[test]
fn values_in_quarantine_count_as_dead_letters() {
    assert_eq!(fate(Reason::ValueDrift), Decided::Dead);
    assert_eq!(fate(Reason::Drift), Decided::Quarantined);
}

fn partition() -> Partition {
    let metrics = Metrics::new().partition("p", "orders", 0);
    Partition::new("orders", 0, Role::Source, 1, None, metrics, Instant::now())
}

fn halting(drifted: &[usize], right: &[usize]) -> Halting {
    Halting {
        schema_id: 7,
        drifted: drifted.to_vec(),
        right: right.to_vec(),
    }
}

#[test]
fn what_was_let_go_pauses_again_once_it_was_right_or_with_another_baseline() {
    let mut partition = partition();
    let wants = |partition: &Partition, mark, drifted: &[usize]| {
        let halted = partition.halted_by(mark, &halting(drifted, &[]));
        halted.map(|values| values.fields.places())
    };
    let pause = |partition: &mut Partition, places: &[usize], since| {
        let values = Values {
            schema_id: 7,
            baseline: 1,
            fields: Fields::of(places),
        };
        let cause = Cause::Values(values);
        partition.standing.push(Standing { cause, since });
    };
    assert_eq!(wants(&partition, 1, &[]), None);
    assert_eq!(wants(&partition, 1, &[3]), Some(vec![3]));
    pause(&mut partition, &[3], 10);
    assert_eq!(wants(&partition, 1, &[3]), None, "it is paused");
    assert_eq!(wants(&partition, 1, &[4]), Some(vec![3, 4]), "for one more");
    partition.let_go(9);
    assert!(partition.standing.iter().any(is_trip), "an earlier pause");
    partition.let_go(10);
    assert!(!partition.standing.iter().any(is_trip));
    assert_eq!(wants(&partition, 1, &[3]), None, "it was let go");
    assert_eq!(
        wants(&partition, 1, &[3, 4]),
        Some(vec![4]),
        "another field"
    );
    pause(&mut partition, &[4], 20);
    partition.let_go(20);
    assert_eq!(partition.standing.len(), 1, "{:?}", partition.standing);
    assert_eq!(wants(&partition, 1, &[3, 4]), None);

    // Nothing is known of it after a restart, and then that one of them is right.
    partition.forget_let_go(1, &[]);
    partition.forget_let_go(1, &[halting(&[4], &[3])]);
    assert_eq!(wants(&partition, 1, &[3, 4]), Some(vec![3]));
    partition.forget_let_go(2, &[]);
    assert_eq!(partition.standing, []);
}

/// One order answers the newest pause of a partition, and whoever gave it has seen the others.
#[test]
fn an_answer_lifts_the_pauses_before_it_and_none_behind_it() {
    let mut partition = partition();
    let values = Values {
        schema_id: 7,
        baseline: 1,
        fields: Fields::of(&[0]),
    };
    for (cause, since) in [
        (Cause::Breaker, 5),
        (Cause::Values(values), 10),
        (Cause::Quarantine, 15),
        (Cause::Operator, 1),
    ] {
        partition.standing.push(Standing { cause, since });
    }
    partition.let_go(10);
    let left: Vec<Cause> = partition.standing.iter().map(|one| one.cause).collect();
    assert_eq!(
        left,
        [Cause::LetGo(values), Cause::Quarantine, Cause::Operator]
    );
    for schema_id in 0..50 {
        let values = Values {
            schema_id,
            ..values
        };
        let cause = Cause::Values(values);
        partition.standing.push(Standing { cause, since: 20 });
        partition.let_go(20);
    }
    let let_go = partition
        .standing
        .iter()
        .filter(|one| !one.cause.is_pause());
    assert_eq!(let_go.count(), MOST_LET_GO);
}

/// Else a window would hold the same values over and over while a registry is away.
#[test]
fn what_is_read_again_is_not_new() {
    let mut world = World {
        registry_away: Duration::from_secs(600),
        ..World::default()
    };
    world.logs = (0..2)
        .map(|number| (("t".to_owned(), number), vec!["good"; 30]))
        .collect();
    let mut scene = Scene::new("{}", world);
    scene.run(Duration::from_secs(1_200));
    let world = scene.shore.world();
    let new = world.new.iter().filter(|new| **new).count();
    assert!(
        world.asked > 20,
        "{}: it was tried again and again",
        world.asked
    );
    assert_eq!((new, world.new.len() - new), (60, world.asked));
}
