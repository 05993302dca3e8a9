//! Whether the outputs are what they must be: by count, by checksum and one by one, from the generator and the bytes in the
//! topics alone. What the engine says of itself is only held against that.

use std::collections::BTreeMap;

use super::Progress;
use super::clean::Clean;
use super::contestant::{Outcomes, Ran, Task};
use super::job;
use super::order::{Kind, Order};
use crate::config::model::Kafka;
use crate::error::FatalError;
use crate::headers;
use crate::record::Record;
use crate::scan::{Range, Scanner};
use serde::Serialize;

/// What is told of, at most.
const EXAMPLES: usize = 5;
/// What the sink's values begin with: a zero and the schema's id.
const FRAME: usize = 5;

/// What each order of the input must come to.
pub struct Expected {
    seed: u64,
    records: u64,
    /// What the orders are written with, in turns.
    schemas: Vec<u32>,
    /// By number, where it pays to make them once.
    orders: Option<Vec<Outcome>>,
}

/// What an order is, a checksum of it as it is, and one of its output or dead letter.
type Outcome = (Kind, u64, u64);

/// With more orders than this, each is made when it is asked for.
const AT_HAND: u64 = 4_000_000;

impl Expected {
    /// Of the orders of a seed.
    pub fn of(seed: u64, records: u64, schema: u32) -> Expected {
        Expected::with(seed, records, vec![schema])
    }

    /// The same, written with several schemas in turns.
    pub fn with(seed: u64, records: u64, schemas: Vec<u32>) -> Expected {
        let mut expected = Expected {
            seed,
            records,
            schemas,
            orders: None,
        };
        if records <= AT_HAND {
            let orders = (0..records).map(|number| expected.make(number));
            expected.orders = Some(orders.collect());
        }
        expected
    }

    fn make(&self, number: u64) -> Outcome {
        let order = Order::new(self.seed, number);
        let (key, value) = (order.key(), order.value(schema_of(&self.schemas, number)));
        let copy = Order::untouched(key.as_bytes(), &value, None);
        let outcome = match order.kind.reason() {
            Some(reason) => Order::untouched(key.as_bytes(), &value, Some(reason)),
            None => order.clean().checksum(key.as_bytes()),
        };
        (order.kind, copy, outcome)
    }

    fn get(&self, number: u64) -> Option<Outcome> {
        if number >= self.records {
            return None;
        }
        match &self.orders {
            Some(orders) => orders.get(usize::try_from(number).ok()?).copied(),
            None => Some(self.make(number)),
        }
    }

    /// Outputs on the sink and dead letters that there must be.
    pub fn outputs(&self) -> (u64, u64) {
        let kind = |number| match &self.orders {
            Some(orders) => orders[usize::try_from(number).expect("an index")].0,
            None => Order::new(self.seed, number).kind,
        };
        let count = |(good, dead), number| match kind(number) {
            Kind::Good => (good + 1, dead),
            Kind::Test => (good, dead),
            _ => (good, dead + 1),
        };
        (0..self.records).fold((0, 0), count)
    }
}

/// The schema that an order is written with.
pub fn schema_of(schemas: &[u32], number: u64) -> u32 {
    schemas[usize::try_from(number % schemas.len() as u64).expect("an index")]
}

/// Where something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the sink of a passthrough.
    Copy,
    /// On the job's sink.
    Sink,
    /// On its dead-letter topic.
    DeadLetters,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether everything is as it must be.
    pub verified: bool,
    /// Records on the sink.
    pub emitted: u64,
    /// Dead letters, by reason.
    pub dead_lettered: BTreeMap<String, u64>,
    /// Orders that must be nowhere.
    pub filtered: u64,
    /// The sum of the checksums of what was found, and of what must be there.
    pub checksum: String,
    /// The same of what must be there.
    pub expected_checksum: String,
    /// What is wrong: the first few, by topic, partition and offset.
    pub findings: Vec<String>,
}

/// Holds what is found against what is expected.
pub struct Book<'e> {
    expected: &'e Expected,
    is_copy: bool,
    seen: Vec<bool>,
    emitted: u64,
    dead_lettered: BTreeMap<String, u64>,
    checksum: u64,
    wrong: u64,
    findings: Vec<String>,
}

impl<'e> Book<'e> {
    /// For a passthrough's outputs, or for the job's.
    pub fn new(expected: &'e Expected, is_copy: bool) -> Book<'e> {
        Book {
            expected,
            is_copy,
            seen: vec![false; usize::try_from(expected.records).expect("it fits")],
            emitted: 0,
            dead_lettered: BTreeMap::new(),
            checksum: 0,
            wrong: 0,
            findings: Vec::new(),
        }
    }

    /// A record was found.
    pub fn found(&mut self, place: Place, record: &Record<'_>) {
        let key = record.key.unwrap_or_default();
        let value = record.value.unwrap_or_default();
        let (checksum, belongs): (Option<u64>, fn(Kind) -> bool) = match place {
            Place::Copy => (Some(Order::untouched(key, value, None)), |_| true),
            Place::Sink => {
                let clean = value.get(FRAME..).and_then(Clean::read);
                let sum = clean.map(|clean| clean.checksum(key));
                (sum, |kind| kind == Kind::Good)
            }
            Place::DeadLetters => {
                let reason = record.header(headers::REASON).unwrap_or_default();
                let reason = String::from_utf8_lossy(reason).into_owned();
                let sum = Order::untouched(key, value, Some(&reason));
                *self.dead_lettered.entry(reason).or_default() += 1;
                (Some(sum), |kind| Kind::POISON.contains(&kind))
            }
        };
        if place != Place::DeadLetters {
            self.emitted += 1;
        }
        self.checksum = self.checksum.wrapping_add(checksum.unwrap_or(1));
        let order = Order::number_of(key).and_then(|number| {
            let seen = usize::try_from(number).ok()?;
            Some((seen, self.expected.get(number)?))
        });
        let Some((number, (kind, copy, outcome))) = order else {
            return self.finding(record, "is of no order of the input");
        };
        let wanted = if self.is_copy { copy } else { outcome };
        if !belongs(kind) {
            self.finding(record, "has nothing to do here");
        } else if checksum.is_none() {
            self.finding(record, "is not of the sink's schema");
        } else if checksum != Some(wanted) {
            self.finding(record, "is not what it must be");
        } else if std::mem::replace(&mut self.seen[number], true) {
            self.finding(record, "is there twice");
        }
    }

    fn finding(&mut self, record: &Record<'_>, what: &str) {
        self.wrong += 1;
        if self.findings.len() < EXAMPLES {
            let Record {
                topic,
                partition,
                offset,
                ..
            } = record;
            self.findings
                .push(format!("{topic}-{partition}@{offset} {what}"));
        }
    }

    /// All of it was looked at. `said` is what the job says of itself.
    pub fn finish(mut self, said: Option<Outcomes>) -> Verdict {
        let is_there = |kind: Kind| self.is_copy || kind != Kind::Test;
        let orders = (0..self.expected.records).filter_map(|number| self.expected.get(number));
        let (mut expected_checksum, mut missing, mut filtered) = (0u64, 0u64, 0u64);
        for ((kind, copy, outcome), seen) in orders.zip(&self.seen) {
            if !is_there(kind) {
                filtered += 1;
                continue;
            }
            let wanted = if self.is_copy { copy } else { outcome };
            expected_checksum = expected_checksum.wrapping_add(wanted);
            missing += u64::from(!seen);
        }
        if missing > 0 {
            self.findings.push(format!(
                "{missing} records are not there, or not as they must be"
            ));
        }
        let dead: u64 = self.dead_lettered.values().sum();
        if let Some(said) = said {
            let counted = Outcomes {
                emitted: self.emitted,
                filtered,
                dead_lettered: dead,
                retried: 0,
            };
            if said != counted {
                self.findings
                    .push(format!("the job says {said:?}, and there are {counted:?}"));
            }
        }
        if self.checksum != expected_checksum {
            self.findings.push("the checksum is another one".to_owned());
        }
        Verdict {
            verified: self.wrong == 0 && self.findings.is_empty(),
            emitted: self.emitted,
            dead_lettered: self.dead_lettered,
            filtered,
            checksum: format!("{:016x}", self.checksum),
            expected_checksum: format!("{expected_checksum:016x}"),
            findings: self.findings,
        }
    }
}

/// Reads what a contestant wrote, as a committed reader sees it. With `plant`, one output is doctored on its way here.
pub fn verify(
    kafka: &Kafka,
    task: &Task,
    ran: &Ran,
    expected: &Expected,
    plant: bool,
    progress: &mut dyn Progress,
) -> Result<Verdict, FatalError> {
    let is_copy = task.contestant.is_passthrough();
    let mut places = vec![(
        task.sink.clone(),
        if is_copy { Place::Copy } else { Place::Sink },
    )];
    if !is_copy {
        let dead = task.sources();
        places.extend(dead.map(|source| {
            let topic = job::dead_letters(source, &task.group);
            (topic, Place::DeadLetters)
        }));
    }
    let name = task.contestant.title();
    let book = Book::new(expected, is_copy);
    let group = (task.group.as_str(), name);
    read_back(kafka, group, &places, ran.outcomes, book, plant, progress)
}

/// Reads topics to their end, and holds what is there against the book. `group` is the group's name, and what a person is
/// told of.
pub fn read_back(
    kafka: &Kafka,
    (group, name): (&str, &str),
    places: &[(String, Place)],
    said: Option<Outcomes>,
    mut book: Book<'_>,
    plant: bool,
    progress: &mut dyn Progress,
) -> Result<Verdict, FatalError> {
    let scanner = Scanner::new(kafka, "driftgate-bench", group)?;
    let mut plant = plant;
    for (topic, place) in places {
        let (topic, place) = (topic, *place);
        let count = scanner.partitions(std::slice::from_ref(topic))?;
        let mut ranges = Vec::new();
        for partition in 0..count.get(topic).copied().unwrap_or(0) {
            let (from, to) = scanner.watermarks(topic, partition)?;
            ranges.push(Range {
                topic: topic.clone(),
                partition,
                from,
                to,
            });
        }
        let offsets: i64 = ranges.iter().map(|range| range.to - range.from).sum();
        progress.part(
            &format!("verifying {name}"),
            u64::try_from(offsets).unwrap_or(0),
        );
        let held = scanner.read(
            &ranges,
            &mut |offsets| progress.done(offsets),
            &mut |record, _| match std::mem::take(&mut plant) {
                true => book.found(place, &doctored(record, &mut Vec::new())),
                false => book.found(place, record),
            },
        )?;
        if let Some(held) = held.first() {
            let text = format!("{}-{}@{} is held back", held.topic, held.partition, held.at);
            book.findings.push(text);
        }
    }
    Ok(book.finish(said))
}

/// The same record with one bit of its value turned.
fn doctored<'a>(record: &Record<'a>, bytes: &'a mut Vec<u8>) -> Record<'a> {
    bytes.extend_from_slice(record.value.unwrap_or_default());
    if let Some(last) = bytes.last_mut() {
        *last ^= 2;
    }
    Record {
        value: Some(bytes),
        ..record.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::clean::testing;

    const RECORDS: u64 = 2000;

    /// What is where: place, key, value, reason.
    type Found = (Place, String, Vec<u8>, Option<&'static str>);

    /// What the job must have made of the orders, and what it says of itself.
    fn right() -> (Vec<Found>, Outcomes) {
        let (mut all, mut said) = (Vec::new(), Outcomes::default());
        for number in 0..RECORDS {
            let order = Order::new(7, number);
            match (order.kind, order.kind.reason()) {
                (Kind::Test, _) => said.filtered += 1,
                (_, Some(reason)) => {
                    said.dead_lettered += 1;
                    all.push((
                        Place::DeadLetters,
                        order.key(),
                        order.value(1),
                        Some(reason),
                    ));
                }
                _ => {
                    said.emitted += 1;
                    let value = [vec![0, 0, 0, 0, 9], testing::bytes(&order.clean())].concat();
                    all.push((Place::Sink, order.key(), value, None));
                }
            }
        }
        (all, said)
    }

    fn verdict(found: &[Found], said: Outcomes) -> Verdict {
        let expected = Expected::of(7, RECORDS, 1);
        let mut book = Book::new(&expected, false);
        for (offset, (place, key, value, reason)) in (0i64..).zip(found) {
            let reason = reason.map(|reason| (headers::REASON, Some(reason.as_bytes())));
            let record = Record {
                topic: "t",
                offset,
                key: Some(key.as_bytes()),
                value: Some(value),
                headers: reason.into_iter().collect(),
                ..Record::default()
            };
            book.found(*place, &record);
        }
        book.finish(Some(said))
    }

    fn check(what: &str, change: impl FnOnce(&mut Vec<Found>, &mut Outcomes)) {
        let (mut found, mut said) = right();
        change(&mut found, &mut said);
        let verdict = verdict(&found, said);
        assert!(!verdict.verified, "{what}");
        assert!(!verdict.findings.is_empty(), "{what}");
    }

    #[test]
    fn what_is_right_verifies() {
        let (found, said) = right();
        let verdict = verdict(&found, said);
        assert!(verdict.verified, "{verdict:?}");
        assert_eq!(verdict.checksum, verdict.expected_checksum);
        assert_eq!(
            (verdict.emitted, verdict.filtered),
            (said.emitted, said.filtered)
        );
        let dead: u64 = verdict.dead_lettered.values().sum();
        assert_eq!(dead, said.dead_lettered);
        assert_eq!(
            verdict.dead_lettered.len(),
            3,
            "four kinds, and three reasons"
        );
    }

    #[test]
    fn whatever_is_wrong_is_found() {
        let of = |found: &[Found], place| {
            let at = found.iter().position(|one| one.0 == place);
            at.expect("there is one")
        };
        check("one bit of an output", |found, _| {
            let at = of(found, Place::Sink);
            found[at].2[30] ^= 1;
        });
        check("cut short", |found, _| {
            let at = of(found, Place::Sink);
            found[at].2.pop();
        });
        check("missing", |found, said| {
            found.remove(of(found, Place::Sink));
            said.emitted -= 1;
        });
        check("twice", |found, said| {
            found.push(found[of(found, Place::Sink)].clone());
            said.emitted += 1;
        });
        check("one for another", |found, _| {
            let at = of(found, Place::Sink);
            let next = found[at + 1].2.clone();
            found[at].2 = next;
        });
        check("under another key", |found, _| {
            let at = of(found, Place::Sink);
            found[at].1.push('0');
        });
        check("an emitted dead letter", |found, _| {
            let at = of(found, Place::DeadLetters);
            found[at].0 = Place::Sink;
        });
        check("another reason", |found, _| {
            let at = of(found, Place::DeadLetters);
            found[at].3 = Some("drift");
        });
        check("a dead letter with other bytes", |found, _| {
            let at = of(found, Place::DeadLetters);
            found[at].2.push(0);
        });
        check("a filtered one that is there", |found, said| {
            let test = (0..RECORDS).map(|number| Order::new(7, number));
            let order = test.into_iter().find(|order| order.kind == Kind::Test);
            let order = order.expect("there is one");
            let value = [vec![0, 0, 0, 0, 9], testing::bytes(&order.clean())].concat();
            found.push((Place::Sink, order.key(), value, None));
            said.emitted += 1;
        });
        check("the job says otherwise", |_, said| said.filtered += 1);
        check("nothing at all", |found, _| found.clear());
    }

    #[test]
    fn a_copy_is_what_it_was() {
        let expected = Expected::of(7, 100, 1);
        let run = |change: &dyn Fn(u64, &mut Vec<u8>)| {
            let mut book = Book::new(&expected, true);
            for number in 0..100 {
                let order = Order::new(7, number);
                let (key, mut value) = (order.key(), order.value(1));
                change(number, &mut value);
                let record = Record {
                    key: Some(key.as_bytes()),
                    value: Some(&value),
                    ..Record::default()
                };
                book.found(Place::Copy, &record);
            }
            book.finish(None).verified
        };
        assert!(run(&|_, _| {}));
        assert!(!run(&|number, value| value[7] ^= u8::from(number == 50)));
    }
}
