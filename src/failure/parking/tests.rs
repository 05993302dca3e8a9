use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const WIDE: Limits = Limits {
    keys: 1000,
    records: 1000,
};

fn key(text: &str) -> Key {
    Key::of(Some(text.as_bytes())).expect("a key")
}

#[test]
fn records_without_a_key_are_in_no_order_and_an_empty_key_is_one() {
    assert_eq!(Key::of(None), None);
    assert_ne!(Key::of(Some(b"")), None);
    assert_ne!(Key::of(Some(b"a")), Key::of(Some(b"b")));
    assert_eq!(key("a"), key("a"));
}

#[test]
fn what_is_said_in_a_retry_topic_is_read_back() {
    for control in [
        Control::Dead(Dead::Held),
        Control::Dead(Dead::Doomed(77)),
        Control::Released,
    ] {
        assert_eq!(Control::parse(control.to_text().as_bytes()), Some(control));
    }
    for text in ["", "doomed", "doomed x", "held 3", "holds"] {
        assert_eq!(Control::parse(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn a_follower_goes_when_its_predecessor_has_gone_or_is_on_its_way_in_front_of_it() {
    let (k, mut parking) = (key("k"), Parking::new(WIDE));
    parking.parked(k, 5, 0, 100, true);
    parking.parked(k, 6, 0, 100, false);
    assert!(!parking.may_go(k, 6, 1), "5 waits");
    assert!(parking.may_go(key("other"), 6, 1));
    assert_eq!(
        parking.predecessor(k, 6),
        Some(Predecessor { offset: 5, tier: 0 })
    );
    // Both are read in one batch of one retry partition.
    parking.read(k, 5, Some(0), 1);
    parking.read(k, 6, Some(0), 1);
    assert!(parking.may_go(k, 5, 1));
    assert!(!parking.must_wait(k, 6, 1), "5 may get through yet");
    assert!(!parking.may_go(k, 6, 1), "and has not so far");
    parking.passes(k, 5, 1);
    assert!(parking.may_go(k, 6, 1));
    // Not for one that is read from elsewhere, nor after a rewind, which gives the partition another epoch.
    assert!(!parking.may_go(k, 6, 2) && parking.must_wait(k, 6, 2));
    parking.resolved(k, 5, false);
    assert!(parking.may_go(k, 6, 2));
    parking.resolved(k, 6, false);
    assert!(parking.is_empty());
}

#[test]
fn a_record_that_fails_on_its_last_step_holds_its_followers_back() {
    let (k, mut parking) = (key("k"), Parking::new(WIDE));
    parking.read(k, 5, Some(0), 1);
    parking.passes(k, 5, 1);
    parking.stays(k, 5);
    parking.parked(k, 5, 1, 100, true);
    assert!(!parking.may_go(k, 6, 1));
    assert_eq!(parking.predecessor(k, 6).map(|p| p.tier), Some(1));
}

/// What stands for a dead letter may be refused, and then has to be written again when the record is read again.
#[test]
fn a_dead_letter_is_stood_for_once_that_is_known_to_be_written() {
    let (k, mut parking) = (key("k"), Parking::new(WIDE));
    parking.read(k, 5, Some(0), 1);
    parking.parked(k, 6, 0, 100, false);
    parking.dies(k, 5, Dead::Held, 1, 200);
    assert!(!parking.is_told(k, 5));
    parking.dies(k, 5, Dead::Held, 1, 300);
    parking.told(k, 5);
    assert!(parking.is_told(k, 5) && !parking.is_told(k, 6));
    // An abort takes back what was told since the mark, and keeps what was told before.
    parking.mark();
    parking.parked(k, 7, 0, 100, false);
    parking.dies(k, 6, Dead::Held, 1, 300);
    parking.told(k, 6);
    parking.restore();
    assert!(parking.is_told(k, 5) && !parking.is_told(k, 6));
    parking.released(k, 5);
    assert!(!parking.is_told(k, 5));
    // What is found in a retry topic is there.
    let mut parking = Parking::new(WIDE);
    parking.found(k, 5, 1, 200, Some(Control::Dead(Dead::Held)));
    assert!(parking.is_told(k, 5));
}

#[test]
fn a_redriven_record_is_a_new_head() {
    let (k, mut parking) = (key("k"), Parking::new(WIDE));
    parking.parked(k, 8, 0, 100, true);
    parking.read(k, 3, Some(0), 1);
    assert!(parking.may_go(k, 3, 1) && !parking.may_go(k, 8, 1));
    parking.parked(k, 3, 1, 200, true);
    assert_eq!(parking.predecessor(k, 8).map(|p| p.offset), Some(3));
}

#[test]
fn bounds_count_keys_and_records_and_open_again_below_nine_tenths() {
    let limits = Limits {
        keys: 10,
        records: 20,
    };
    let keys: Vec<Key> = (0..20).map(|n| key(&n.to_string())).collect();
    let mut parking = Parking::new(limits);
    for (offset, k) in (0..).zip(&keys[..10]) {
        assert!(!parking.has_no_room(*k, offset));
        parking.parked(*k, offset, 0, 0, true);
    }
    assert!(parking.has_no_room(keys[10], 10), "an eleventh key");
    assert!(!parking.has_no_room(keys[0], 10), "one more of a known key");
    assert!(
        !parking.has_no_room(keys[0], 0),
        "a known record, read again"
    );
    assert!(!parking.has_room_again());
    parking.resolved(keys[9], 9, false);
    assert!(parking.has_room_again());
    for offset in 100..111 {
        parking.parked(keys[0], offset, 0, 0, false);
    }
    assert_eq!((parking.keys(), parking.records()), (9, 20));
    assert!(parking.has_no_room(keys[0], 200));
    for offset in 100..102 {
        assert!(!parking.has_room_again());
        parking.resolved(keys[0], offset, false);
    }
    assert!(parking.has_room_again());
}

#[test]
fn a_bound_of_one_is_free_again_when_it_is_empty() {
    let mut parking = Parking::new(Limits {
        keys: 1,
        records: 1,
    });
    parking.parked(key("k"), 1, 0, 0, true);
    assert!(!parking.has_room_again());
    parking.resolved(key("k"), 1, false);
    assert!(parking.has_room_again());
}

#[test]
fn a_record_knows_who_is_behind_it_and_is_read_again_with_it() {
    let (a, b, mut parking) = (key("a"), key("b"), Parking::new(WIDE));
    parking.parked(a, 5, 0, 0, true);
    parking.parked(b, 24, 0, 0, true);
    for (offset, end, expect) in [
        (14, 32, true),
        (14, 25, true),
        (14, 24, false),
        (23, 32, true),
        // Neither itself nor what is in front of it.
        (24, 32, false),
        (4, 5, false),
        (4, 6, true),
        (14, i64::MIN, false),
        (i64::MAX, i64::MAX, false),
    ] {
        assert_eq!(parking.has_within(offset, end), expect, "{offset}..{end}");
    }
    parking.resolved(b, 24, false);
    assert!(!parking.has_within(14, 32));
}

#[test]
fn a_held_key_waits_until_its_dead_letter_comes_back_and_goes() {
    let (k, mut parking) = (key("k"), Parking::new(WIDE));
    parking.read(k, 5, Some(0), 1);
    parking.parked(k, 6, 0, 100, false);
    parking.dies(k, 5, Dead::Held, 2, 900);
    parking.resolved(k, 5, true);
    assert!(!parking.may_go(k, 6, 1), "5 is dead, and holds 6");
    assert_eq!(parking.predecessor(k, 6).map(|p| p.tier), Some(2));
    parking.read(k, 5, Some(0), 1);
    assert_eq!(parking.dead(k, 5), Some(Dead::Held));
    assert!(parking.may_go(k, 5, 1));
    parking.passes(k, 5, 1);
    parking.resolved(k, 5, false);
    assert_eq!(parking.dead(k, 5), None);
    assert!(parking.may_go(k, 6, 2));
}

#[test]
fn doomed_are_those_that_waited_at_that_time() {
    let (k, mut parking) = (key("k"), Parking::new(WIDE));
    parking.read(k, 5, Some(0), 1);
    parking.parked(k, 6, 0, 100, false);
    parking.parked(k, 7, 0, 100, false);
    let last = parking.last_follower(k, 5).expect("two wait");
    parking.dies(k, 5, Dead::Doomed(last.offset), 0, 100);
    parking.parked(k, 8, 0, 100, false);
    assert_eq!(
        [6, 7, 8].map(|offset| parking.doom(k, offset)),
        [Some(5), Some(5), None]
    );
    parking.told(k, 5);
    parking.resolved(k, 5, true);
    parking.resolved(k, 6, true);
    assert_eq!(parking.last_within(k, 5, 7).map(|p| p.offset), Some(7));
    parking.resolved(k, 7, true);
    assert_eq!(parking.last_within(k, 5, 7), None);
    assert!(!parking.may_go(k, 8, 1));
    parking.released(k, 5);
    assert!(parking.may_go(k, 8, 1));
}

/// What was to stand for it was refused, and it became a dead letter with another one then.
#[test]
fn nobody_waits_for_a_dead_letter_that_nothing_stands_for() {
    let (k, mut parking) = (key("k"), Parking::new(WIDE));
    parking.read(k, 5, Some(0), 1);
    parking.dies(k, 5, Dead::Doomed(6), 0, 100);
    parking.resolved(k, 5, true);
    assert!(parking.is_empty());
}

/// A dead letter that is sent back while it still stands in front of its followers stays there when it fails again.
#[test]
fn what_stands_for_a_dead_letter_ends_without_the_record_that_came_back() {
    let (k, mut parking) = (key("k"), Parking::new(WIDE));
    parking.dies(k, 5, Dead::Doomed(6), 0, 100);
    parking.read(k, 5, Some(0), 1);
    parking.parked(k, 5, 1, 200, true);
    parking.released(k, 5);
    assert_eq!(parking.predecessor(k, 8).map(|p| p.offset), Some(5));
    parking.resolved(k, 5, false);
    assert!(parking.is_empty());
}

#[test]
fn what_is_found_in_retry_topics_is_what_was_there() {
    let (k, mut parking) = (key("k"), Parking::new(WIDE));
    parking.found(k, 5, 2, 900, Some(Control::Dead(Dead::Held)));
    parking.found(k, 6, 0, 100, None);
    assert!(!parking.may_go(k, 6, 1));
    assert_eq!(parking.dead(k, 5), Some(Dead::Held));
    parking.found(k, 5, 2, 900, Some(Control::Released));
    assert!(parking.may_go(k, 6, 1));
    assert_eq!(parking.records(), 1);
}

#[test]
fn a_hot_key_is_waited_for_once_it_gets_through_and_not_for_ever() {
    let (k, mut parking) = (key("k"), Parking::new(WIDE));
    parking.parked(k, 0, 0, 100, true);
    for offset in 1..=i64::from(HOT) {
        assert!(!parking.should_wait_for(k, 1000));
        parking.parked(k, offset, 0, 100, false);
    }
    assert!(!parking.should_wait_for(k, 100), "its first one may fail");
    parking.resolved(k, 0, false);
    assert!(!parking.should_wait_for(k, 99), "its records are not due");
    for _ in 0..MAX_STOPS {
        assert!(parking.should_wait_for(k, 100));
    }
    assert!(!parking.should_wait_for(k, 100), "others wait with it");
    assert!(!parking.should_wait_for(k, 100));
    for offset in 1..=i64::from(HOT) {
        parking.parked(k, offset, 0, 100, false);
    }
    assert!(parking.should_wait_for(k, 100));
    parking.parked(k, 1, 1, 100, true);
    for offset in 2..=i64::from(HOT) + 1 {
        parking.parked(k, offset, 1, 100, false);
    }
    assert!(!parking.should_wait_for(k, 100), "one of it fails again");
}

// --- against a model: an engine of a few lines, and a log ----------------------------------------------------------

/// A record of the model: key and source offset; the sink is asked about nothing else.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Event {
    key: u8,
    offset: i64,
    /// How often it has failed.
    attempt: u32,
}

/// What happens next.
#[derive(Debug, Clone)]
enum Act {
    /// So many records of the source are written, of these keys.
    Write(Vec<u8>),
    /// So many records are read from a partition (0 is the source, then the tiers), and each fails or not.
    Read(usize, Vec<bool>),
    /// What is on its way is acknowledged, so many.
    Acknowledge(usize),
    /// A partition's outputs from the first one that is not acknowledged on are refused: it is read again from there.
    Rewind(usize),
    /// Offsets are committed.
    Commit,
    /// The owner dies, or the partitions go to another one.
    Crash,
}

const TIERS: usize = 2;

/// A partition: its log, the next offset to read, the committed one, and what was read and is not acknowledged.
#[derive(Debug, Clone, Default)]
struct Log {
    records: Vec<Event>,
    next: usize,
    committed: usize,
    /// Read and not finished: place in the log, and where to it went: `None` for the sink.
    open: VecDeque<(usize, Event, bool)>,
    epoch: u64,
}

/// A worker as simple as it can be, with every output acknowledged in the order in which it was produced.
struct World {
    logs: Vec<Log>,
    parking: Parking,
    sink: Vec<Event>,
    epoch: u64,
}

impl World {
    fn new() -> World {
        let mut world = World {
            logs: vec![Log::default(); TIERS + 1],
            parking: Parking::new(WIDE),
            sink: Vec::new(),
            epoch: 0,
        };
        world.new_epochs();
        world
    }

    fn new_epochs(&mut self) {
        for log in &mut self.logs {
            self.epoch += 1;
            log.epoch = self.epoch;
        }
    }

    /// A batch of one partition: all of it is looked at before any of it is finished.
    fn read(&mut self, partition: usize, fails: &[bool]) {
        let tier = partition.checked_sub(1);
        let log = &mut self.logs[partition];
        let epoch = log.epoch;
        let from = log.next;
        let end = (from + fails.len()).min(log.records.len());
        let batch: Vec<Event> = log.records[from..end].to_vec();
        log.next = end;
        let mut judged = Vec::new();
        for event in &batch {
            let k = Key(u64::from(event.key));
            self.parking.read(k, event.offset, tier, epoch);
            judged.push(!self.parking.must_wait(k, event.offset, epoch));
        }
        for (index, ((event, fails), was_judged)) in
            batch.into_iter().zip(fails).zip(judged).enumerate()
        {
            let k = Key(u64::from(event.key));
            let place = from + index;
            let to = if !was_judged || !self.parking.may_go(k, event.offset, epoch) {
                let before = self.parking.predecessor(k, event.offset);
                Some((before.map_or(0, |before| before.tier), event))
            } else if *fails && event.attempt < 4 {
                let tier = (event.attempt as usize).min(TIERS - 1);
                let attempt = event.attempt + 1;
                Some((tier, Event { attempt, ..event }))
            } else {
                None
            };
            match to {
                None => {
                    self.parking.passes(k, event.offset, epoch);
                    self.sink.push(event);
                    self.logs[partition].open.push_back((place, event, true));
                }
                Some((tier, hopped)) => {
                    let failed = hopped.attempt > event.attempt;
                    self.logs[tier + 1].records.push(hopped);
                    self.parking.parked(k, event.offset, tier, 0, failed);
                    self.logs[partition].open.push_back((place, event, false));
                }
            }
        }
    }

    fn acknowledge(&mut self, count: usize) {
        for log in &mut self.logs {
            for _ in 0..count.min(log.open.len()) {
                let Some((_, event, to_sink)) = log.open.pop_front() else {
                    break;
                };
                if to_sink {
                    let k = Key(u64::from(event.key));
                    self.parking.resolved(k, event.offset, false);
                }
            }
        }
    }

    fn committable(log: &Log) -> usize {
        log.open.front().map_or(log.next, |(place, _, _)| *place)
    }

    fn rewind(&mut self, partition: usize) {
        self.epoch += 1;
        let log = &mut self.logs[partition];
        log.next = Self::committable(log);
        log.open.clear();
        log.epoch = self.epoch;
    }

    fn commit(&mut self) {
        for log in &mut self.logs {
            log.committed = Self::committable(log);
        }
    }

    /// Another owner begins: it reads what is in retry, and then everything from the committed offsets on.
    fn crash(&mut self) {
        self.parking.clear();
        for (partition, log) in self.logs.iter_mut().enumerate() {
            log.next = log.committed;
            log.open.clear();
            if let Some(tier) = partition.checked_sub(1) {
                for event in &log.records[log.committed..] {
                    let k = Key(u64::from(event.key));
                    self.parking.found(k, event.offset, tier, 0, None);
                }
            }
        }
        self.new_epochs();
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Write(keys) => {
                for key in keys {
                    let log = &mut self.logs[0];
                    let offset = i64::try_from(log.records.len()).expect("few");
                    log.records.push(Event {
                        key: *key,
                        offset,
                        attempt: 0,
                    });
                }
            }
            Act::Read(partition, fails) => self.read(*partition, fails),
            Act::Acknowledge(count) => self.acknowledge(*count),
            Act::Rewind(partition) => self.rewind(*partition),
            Act::Commit => self.commit(),
            Act::Crash => self.crash(),
        }
    }

    /// Nothing fails any more: everything gets through.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            for partition in 0..=TIERS {
                self.read(partition, &[false; 8]);
                self.acknowledge(usize::MAX);
            }
            self.commit();
            let is_done = |log: &Log| log.next == log.records.len() && log.open.is_empty();
            if self.logs.iter().all(is_done) {
                return;
            }
        }
        panic!("it goes round for ever: {:?}", self.parking);
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let mut first: BTreeMap<u8, Vec<i64>> = BTreeMap::new();
        for event in &self.sink {
            let seen = first.entry(event.key).or_default();
            if !seen.contains(&event.offset) {
                seen.push(event.offset);
            }
        }
        let mut written: BTreeMap<u8, Vec<i64>> = BTreeMap::new();
        for event in &self.logs[0].records {
            written.entry(event.key).or_default().push(event.offset);
        }
        prop_assert_eq!(first, written, "by key, at their first delivery");
        prop_assert!(self.parking.is_empty(), "left over: {:?}", self.parking);
        Ok(())
    }
}

fn act() -> impl Strategy<Value = Act> {
    let fails = proptest::collection::vec(any::<bool>(), 1..6);
    prop_oneof![
        3 => proptest::collection::vec(0u8..3, 1..6).prop_map(Act::Write),
        6 => (0usize..=TIERS, fails).prop_map(|(partition, fails)| Act::Read(partition, fails)),
        4 => (1usize..4).prop_map(Act::Acknowledge),
        1 => Just(Act::Commit),
        1 => (0usize..=TIERS).prop_map(Act::Rewind),
        1 => Just(Act::Crash),
    ]
}

/// Rewinds, too, that hit what a broker has written already: those are left out where the first delivery counts, since
/// the log of this model keeps what was refused.
fn without_rewinds() -> impl Strategy<Value = Act> {
    act().prop_filter("a rewind", |act| !matches!(act, Act::Rewind(_)))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn each_key_comes_out_in_the_order_of_the_source(acts in proptest::collection::vec(without_rewinds(), 1..60)) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
        }
        world.finish();
        world.check()?;
    }

    /// What was refused is nowhere: with a rewind the order holds for what is acknowledged.
    #[test]
    fn and_all_of_it_comes_out_after_any_rewind(acts in proptest::collection::vec(act(), 1..60)) {
        let mut world = World::new();
        for act in &acts {
            world.act(act);
        }
        world.finish();
        prop_assert!(world.parking.is_empty(), "left over: {:?}", world.parking);
        let out: std::collections::BTreeSet<i64> = world.sink.iter().map(|event| event.offset).collect();
        prop_assert_eq!(out.len(), world.logs[0].records.len());
    }
}

/// The model can fail: without the question to the parking, keys overtake.
#[test]
fn without_parking_the_model_finds_the_wrong_order() {
    let mut world = World::new();
    world.act(&Act::Write(vec![1, 1]));
    world.read(0, &[true, false]);
    world.acknowledge(9);
    // As if nobody had been told of the first one.
    world.parking.clear();
    world.act(&Act::Write(vec![1]));
    world.read(0, &[false]);
    world.finish();
    assert!(world.check().is_err());
}

/// What is known of every record, but for what it is doing just now: an abort reads it again.
fn known(parking: &Parking) -> Vec<(Key, i64, u8, i64, bool, Option<Dead>)> {
    let mut known = Vec::new();
    for (key, line) in &parking.lines {
        let dead = line.records.iter().filter(|parked| parked.dead.is_some());
        assert_eq!(line.dead, dead.count());
        assert!(!line.records.is_empty());
        let of_one = |one: &Parked| (*key, one.offset, one.tier, one.due, one.is_record, one.dead);
        known.extend(line.records.iter().map(of_one));
    }
    known.sort_by_key(|one| (one.0, one.1));
    assert_eq!(known.len(), parking.records());
    known
}

fn change(parking: &mut Parking, (what, key, offset): (u8, u64, i64)) {
    let (key, tier, due) = (Key(key), usize::from(what % 3), i64::from(what));
    match what % 9 {
        0 => parking.read(key, offset, Some(tier), 1),
        1 => parking.passes(key, offset, 1),
        2 => parking.resolved(key, offset, false),
        3 => parking.resolved(key, offset, true),
        4 => parking.parked(key, offset, tier, due, true),
        5 => parking.dies(key, offset, Dead::Held, tier, due),
        6 => parking.dies(key, offset, Dead::Doomed(offset + 2), tier, due),
        7 => parking.released(key, offset),
        _ => parking.stands(key, offset, tier, due),
    }
}

proptest! {
    /// Whatever is done between a mark and an abort, the abort undoes it, as often as it is asked to.
    #[test]
    fn what_is_restored_is_what_was_marked(
        before in prop::collection::vec((any::<u8>(), 0..3_u64, 0..5_i64), 0..40),
        after in prop::collection::vec(
            prop::collection::vec((any::<u8>(), 0..3_u64, 0..5_i64), 0..40),
            1..4,
        ),
    ) {
        let mut parking = Parking::new(Limits { keys: 100, records: 100 });
        for one in before {
            change(&mut parking, one);
        }
        parking.mark();
        let marked = known(&parking);
        for changes in after {
            let added = parking.added();
            for one in changes {
                change(&mut parking, one);
            }
            parking.restore();
            prop_assert_eq!(&known(&parking), &marked);
            prop_assert!(parking.added() >= added);
        }
    }
}
