//! `driftgate compare`: two topics by key, as an old and a new flow leave them. Input: two topics and what their records are
//! told apart by. Output: a [`Comparison`]. Reads from beside, up to the ends as it begins.
//!
//! Of each key the last record counts, as in a table; a tombstone is no record. What is kept of a key is a hash of it and of
//! its last values, some 100 bytes however large records are. Keys that differ are read once more, for their fields and the
//! examples.

mod report;
mod value;

use std::collections::HashMap;

pub use self::report::{Comparison, Difference, Example, FieldCount, Side};
use self::value::{Content, Reader};
use crate::config::model::Kafka;
use crate::contract::cache::SchemaCache;
use crate::error::FatalError;
use crate::quiet::UNSEEN;
use crate::record::Record;
use crate::scan::{Place, Range, Scanner};

/// What records are told apart by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyBy {
    /// The record's key, byte for byte.
    Record,
    /// A field of the value, by its path.
    Field(Vec<String>),
}

/// What is compared.
#[derive(Debug, Clone)]
pub struct Options {
    /// The old topic.
    pub a: String,
    /// The new one.
    pub b: String,
    /// What records are told apart by.
    pub key: KeyBy,
    /// Only records of this time or later, in milliseconds since the epoch.
    pub since: Option<i64>,
    /// Only records before this time.
    pub until: Option<i64>,
    /// Examples of each sort.
    pub examples: usize,
    /// Fields that are left out.
    pub ignore: Vec<Vec<String>>,
    /// Whether values and keys are shown.
    pub show_values: bool,
}

/// Is told how many offsets there are to read, and how many more have been.
pub trait Progress {
    /// So many more are to be read.
    fn more(&mut self, offsets: u64);
    /// So many more are behind.
    fn advance(&mut self, offsets: u64);
}

/// The most keys whose differences are counted by field. Beyond it, the counts by field say less than there is.
const MOST_DIFFERING: usize = 1_000_000;

/// The last record of a key in one topic.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    partition: i32,
    offset: i64,
    hash: u64,
    /// Records of the key, tombstones included.
    records: u32,
    /// Whether the last is one, and no tombstone.
    is_there: bool,
}

/// One key in both topics.
#[derive(Debug, Clone, Copy, Default)]
struct Both {
    a: Last,
    b: Last,
}

impl Both {
    fn of(&mut self, first: bool) -> &mut Last {
        match first {
            true => &mut self.a,
            false => &mut self.b,
        }
    }
}

struct Compare<'a> {
    options: &'a Options,
    scanner: &'a Scanner,
    reader: Reader<'a>,
    /// By the hash of the key.
    keys: HashMap<u128, Both>,
    result: Comparison,
}

/// Compares two topics. Blocks.
pub fn compare(
    kafka: &Kafka,
    options: &Options,
    schemas: &SchemaCache,
    progress: &mut dyn Progress,
) -> Result<Comparison, FatalError> {
    let scanner = Scanner::new(kafka, "driftgate-compare", "driftgate-compare")?;
    let topics = [options.a.clone(), options.b.clone()];
    let partitions = scanner.partitions(&topics)?;
    if let Some(topic) = topics.iter().find(|topic| !partitions.contains_key(*topic)) {
        return Err(FatalError::Topics(format!(
            "topic {topic} does not exist, {UNSEEN}"
        )));
    }
    let mut ranges = Vec::new();
    for topic in &topics {
        ranges.push(bounds(&scanner, topic, partitions[topic], options.since)?);
    }
    let mut compare = Compare {
        options,
        scanner: &scanner,
        reader: Reader::new(schemas, &options.ignore),
        keys: HashMap::new(),
        result: Comparison::new(options),
    };
    progress.more(ranges.iter().map(|ranges| offsets(ranges)).sum());
    compare.read(&ranges[0], true, progress)?;
    compare.read(&ranges[1], false, progress)?;
    if compare.result.a.records == 0 {
        let note = format!(
            "{} has no record in the range: nothing was compared",
            options.a
        );
        compare.result.notes.push(note);
    }
    compare.note_missing_key();
    let unmet = compare.reader.unmet().map(|path| path.join("."));
    compare.result.ignored_unseen = unmet.collect();
    let differing = compare.judge();
    if !differing.is_empty() {
        compare.differences(&ranges, differing, progress)?;
    }
    compare
        .result
        .fields
        .sort_by(|one, other| (other.keys, &one.field).cmp(&(one.keys, &other.field)));
    Ok(compare.result)
}

fn offsets(ranges: &[Range]) -> u64 {
    let each = ranges.iter();
    each.map(|range| u64::try_from(range.to - range.from).unwrap_or(0))
        .sum()
}

fn bounds(
    scanner: &Scanner,
    topic: &str,
    partitions: i32,
    since: Option<i64>,
) -> Result<Vec<Range>, FatalError> {
    let places: Vec<Place> = (0..partitions)
        .map(|number| (topic.to_owned(), number))
        .collect();
    let starts = match since {
        Some(time) => scanner.at_time(&places, time)?,
        None => HashMap::new(),
    };
    let mut ranges = Vec::new();
    for place in places {
        let (low, to) = scanner.watermarks(topic, place.1)?;
        ranges.push(Range {
            topic: topic.to_owned(),
            partition: place.1,
            from: starts.get(&place).copied().unwrap_or(low).max(low).min(to),
            to,
        });
    }
    Ok(ranges)
}

impl Compare<'_> {
    fn in_time(&self, record: &Record<'_>) -> bool {
        let Some(time) = record.timestamp else {
            return true;
        };
        self.options.since.is_none_or(|since| time >= since)
            && self.options.until.is_none_or(|until| time < until)
    }

    /// Reads a topic, and hands each record of the time range over with its key's hash and its content.
    fn scan(
        &mut self,
        ranges: &[Range],
        progress: &mut dyn Progress,
        take: &mut dyn FnMut(&mut Self, &Record<'_>, Keyed, Content),
    ) -> Result<(), FatalError> {
        let scanner = self.scanner;
        let mut failed = None;
        let held = scanner.read(
            ranges,
            &mut |offsets| progress.advance(offsets),
            &mut |record, _| {
                if failed.is_some() || !self.in_time(record) {
                    return;
                }
                match self.reader.content(record) {
                    Ok(content) => {
                        let key = self.key(record, &content);
                        take(self, record, key, content);
                    }
                    Err(error) => failed = Some(error),
                }
            },
        )?;
        if let Some(error) = failed {
            return Err(error);
        }
        let notes = held.iter().map(|held| {
            format!(
                "{}-{}: an open transaction hides everything from offset {} on",
                held.topic, held.partition, held.at
            )
        });
        for note in notes {
            if !self.result.notes.contains(&note) {
                self.result.notes.push(note);
            }
        }
        Ok(())
    }

    fn key(&self, record: &Record<'_>, content: &Content) -> Keyed {
        match &self.options.key {
            KeyBy::Record => record.key.map_or(Keyed::None, |key| Keyed::Key {
                hash: value::hash_bytes(key),
                shown: String::from_utf8_lossy(key).into_owned(),
            }),
            KeyBy::Field(path) => match content.at(path) {
                Some(found) => Keyed::Key {
                    hash: value::hash_wide(found),
                    shown: found.to_string(),
                },
                None => Keyed::None,
            },
        }
    }

    fn read(
        &mut self,
        ranges: &[Range],
        first: bool,
        progress: &mut dyn Progress,
    ) -> Result<(), FatalError> {
        self.scan(ranges, progress, &mut |this, record, key, content| {
            let side = this.result.side(first);
            side.records += 1;
            side.undecoded += u64::from(content.is_undecoded());
            side.tombstones += u64::from(content.is_tombstone());
            let Keyed::Key { hash, .. } = key else {
                side.without_key += 1;
                return;
            };
            let last = this.keys.entry(hash).or_default().of(first);
            *last = Last {
                partition: record.partition,
                offset: record.offset,
                hash: content.hash(),
                records: last.records.saturating_add(1),
                is_there: !content.is_tombstone(),
            };
        })
    }

    /// A misspelt key is in no record. Then nothing is compared, which is not the same as being the same.
    fn note_missing_key(&mut self) {
        let key = match &self.options.key {
            KeyBy::Record => "a key".to_owned(),
            KeyBy::Field(path) => format!("the field {}", path.join(".")),
        };
        let sides = [&self.result.a, &self.result.b].into_iter();
        let without = sides.filter(|side| side.records > 0 && side.records == side.without_key);
        let notes: Vec<String> = without
            .map(|side| format!("no record of {} has {key}, which --key names", side.topic))
            .collect();
        self.result.notes.extend(notes);
    }

    /// Counts the keys, and returns those that are in both and differ.
    fn judge(&mut self) -> HashMap<Position, u128> {
        let mut differing = HashMap::new();
        for (key, both) in &self.keys {
            for (first, last) in [(true, both.a), (false, both.b)] {
                let side = self.result.side(first);
                side.keys += u64::from(last.records > 0);
                if last.records > 1 {
                    side.repeated_keys += 1;
                    side.repeats += u64::from(last.records - 1);
                }
            }
            let at = |first, last: Last| Position {
                first,
                partition: last.partition,
                offset: last.offset,
            };
            match (both.a.is_there, both.b.is_there) {
                (true, false) => {
                    self.result.missing += 1;
                    let example = Example::one(&self.options.a, at(true, both.a));
                    keep(
                        &mut self.result.missing_examples,
                        example,
                        self.options.examples,
                    );
                }
                (false, true) => {
                    self.result.extra += 1;
                    let example = Example::one(&self.options.b, at(false, both.b));
                    keep(
                        &mut self.result.extra_examples,
                        example,
                        self.options.examples,
                    );
                }
                (true, true) if both.a.hash == both.b.hash => self.result.same += 1,
                (true, true) => {
                    self.result.differing += 1;
                    if differing.len() < 2 * MOST_DIFFERING {
                        differing.insert(at(true, both.a), *key);
                        differing.insert(at(false, both.b), *key);
                    }
                }
                (false, false) => self.result.absent += 1,
            }
        }
        if self.result.differing > MOST_DIFFERING as u64 {
            let note =
                format!("fields are counted of {MOST_DIFFERING} keys that differ, and not of all");
            self.result.notes.push(note);
        }
        differing
    }

    /// Reads what differs once more: which fields, and the examples in full.
    fn differences(
        &mut self,
        ranges: &[Vec<Range>],
        differing: HashMap<Position, u128>,
        progress: &mut dyn Progress,
    ) -> Result<(), FatalError> {
        // Positions that matter, and from where to where they lie.
        let narrowed: Vec<Vec<Range>> = [true, false]
            .into_iter()
            .zip(ranges)
            .map(|(first, ranges)| narrow(ranges, first, &differing))
            .collect();
        progress.more(narrowed.iter().map(|ranges| offsets(ranges)).sum());
        let mut first: HashMap<u128, Kept> = HashMap::new();
        let mut whole: HashMap<u128, Content> = HashMap::new();
        let most = self.options.examples;
        self.scan(&narrowed[0], progress, &mut |_, record, _, content| {
            if let Some(key) = differing.get(&Position::of(record, true)) {
                first.insert(*key, Kept::of(&content));
                if whole.len() < most {
                    whole.insert(*key, content);
                }
            }
        })?;
        let mut counts: HashMap<String, u64> = HashMap::new();
        self.scan(
            &narrowed[1],
            progress,
            &mut |this, record, keyed, content| {
                let position = Position::of(record, false);
                let Some(key) = differing.get(&position) else {
                    return;
                };
                let Some(old) = first.remove(key) else { return };
                for field in old.differs(&Kept::of(&content)) {
                    *counts.entry(field).or_default() += 1;
                }
                if let (Some(old), Some(both)) = (whole.remove(key), this.keys.get(key)) {
                    let show = this.options.show_values;
                    this.result.differing_examples.push(Example {
                        a: Some(both.a.place(&this.options.a)),
                        b: Some(both.b.place(&this.options.b)),
                        key: keyed.shown().filter(|_| show),
                        differences: value::differences(&old, &content, show),
                    });
                }
            },
        )?;
        let fields = counts.into_iter();
        self.result.fields = fields
            .map(|(field, keys)| FieldCount { field, keys })
            .collect();
        self.result
            .differing_examples
            .sort_by(|one, other| one.a.cmp(&other.a));
        Ok(())
    }
}

fn keep(examples: &mut Vec<Example>, example: Example, most: usize) {
    if examples.len() < most {
        examples.push(example);
    }
}

fn narrow(ranges: &[Range], first: bool, differing: &HashMap<Position, u128>) -> Vec<Range> {
    let mut spans: HashMap<i32, (i64, i64)> = HashMap::new();
    for position in differing.keys().filter(|position| position.first == first) {
        let span = spans
            .entry(position.partition)
            .or_insert((position.offset, position.offset + 1));
        *span = (span.0.min(position.offset), span.1.max(position.offset + 1));
    }
    let within = |range: &Range| {
        let (from, to) = spans.get(&range.partition)?;
        Some(Range {
            from: *from,
            to: *to,
            ..range.clone()
        })
    };
    ranges.iter().filter_map(within).collect()
}

impl Last {
    fn place(&self, topic: &str) -> String {
        format!("{topic}-{}@{}", self.partition, self.offset)
    }
}

/// Where a record lies, in the first topic or the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Position {
    first: bool,
    partition: i32,
    offset: i64,
}

impl Position {
    fn of(record: &Record<'_>, first: bool) -> Position {
        Position {
            first,
            partition: record.partition,
            offset: record.offset,
        }
    }
}

/// What a record is told apart by.
enum Keyed {
    Key { hash: u128, shown: String },
    None,
}

impl Keyed {
    fn shown(self) -> Option<String> {
        match self {
            Keyed::Key { shown, .. } => Some(shown),
            Keyed::None => None,
        }
    }
}

/// The fields of a record as hashes, or all of it as one.
struct Kept(Vec<(String, u64)>);

impl Kept {
    fn of(content: &Content) -> Kept {
        Kept(content.fields())
    }

    /// Fields that are not equal, or only in one of them.
    fn differs(&self, other: &Kept) -> Vec<String> {
        let find = |kept: &Kept, name: &str| {
            let found = kept.0.iter().find(|(field, _)| field == name);
            found.map(|(_, hash)| *hash)
        };
        let mut names: Vec<&String> = self
            .0
            .iter()
            .chain(&other.0)
            .map(|(name, _)| name)
            .collect();
        names.sort();
        names.dedup();
        let differ = names
            .into_iter()
            .filter(|name| find(self, name) != find(other, name));
        differ.cloned().collect()
    }
}
