//! The topics in memory: partitions with what was appended to them, committed offsets, and what brokers refuse.

use std::collections::HashMap;

use rand::Rng;
use rand::rngs::SmallRng;

use super::plan::{CLIENT_LIMIT, LIMIT, Plan, SINK_LIMIT, Script};
use crate::failure::parking::Control;

/// A header that outlives the engine: the number of the hand-out that a produced record comes from. The consumer puts it
/// into what it hands out, and the log takes it away from what is appended.
pub(super) const FROM: &str = "sim.from";
/// The group of the simulation.
pub(super) const GROUP: &str = "g";
/// Milliseconds since the epoch at which a run begins.
pub(super) const EPOCH: i64 = 1_700_000_000_000;

/// What a state topic takes: a block has many keys.
const STATE_LIMIT: usize = 1_000_000;

/// A partition, by the number of its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Tp {
    pub(super) topic: usize,
    pub(super) partition: usize,
}

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Source,
    Retry { source: usize, tier: usize },
    Dead { source: usize },
    Ledger { source: usize },
    State { source: usize },
    Sink(usize),
}

pub(super) type Headers = Vec<(String, Option<Vec<u8>>)>;

/// A record in the log.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    pub(super) offset: i64,
    /// Its number among all that were ever appended.
    pub(super) uid: usize,
    /// The source record that it comes from, or is.
    pub(super) origin: usize,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Headers,
    pub(super) timestamp: Option<i64>,
    pub(super) attempt: u32,
    pub(super) due_at: i64,
    /// Before that a retry is not tried, even if it is due.
    pub(super) not_before: i64,
    /// What it says, if it is no record of the source.
    pub(super) control: Option<Control>,
    /// The transaction that it is a part of.
    pub(super) transaction: Option<usize>,
    /// A retry's instance, with the epoch of its retry partition there.
    pub(super) writer: (usize, u64),
}

/// A source record and its script.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) tp: Tp,
    pub(super) offset: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) script: Script,
    /// With `dedup`: the record that it is a copy of, or its own number.
    pub(super) group: usize,
    /// With `stale`: the first record of its entity, and which version of it this is.
    pub(super) entity: usize,
    pub(super) version: i64,
    /// Whether a person has made it pass.
    pub(super) corrected: bool,
    /// How often it still fails.
    pub(super) failures_left: u32,
}

#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) records: Vec<std::sync::Arc<Stored>>,
    /// The next offset.
    pub(super) end: i64,
    pub(super) committed: Option<(i64, String)>,
    /// Open transactions by their first offset: nobody reads behind the first of them.
    pub(super) open: std::collections::BTreeMap<i64, usize>,
}

impl Partition {
    /// The end for who reads what is committed.
    pub(super) fn stable_end(&self) -> i64 {
        self.open
            .first_key_value()
            .map_or(self.end, |(first, _)| *first)
    }

    /// The index of the first record at or behind an offset.
    pub(super) fn at(&self, offset: i64) -> usize {
        self.records
            .partition_point(|record| record.offset < offset)
    }
}

#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) limit: usize,
    pub(super) partitions: Vec<Partition>,
}

/// All topics. Sources come first, then the tiers, dead letters and ledger of each, then the two sinks.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) topics: Vec<Topic>,
    names: HashMap<String, usize>,
}

impl Log {
    pub(super) fn new(plan: &Plan) -> Log {
        let mut topics = Vec::new();
        let mut add = |name: String, kind: Kind, limit: usize, partitions: usize| {
            topics.push(Topic {
                name,
                kind,
                limit,
                partitions: (0..partitions).map(|_| Partition::default()).collect(),
            });
        };
        for source in 0..plan.sources {
            add(source_name(source), Kind::Source, LIMIT, plan.partitions);
        }
        for source in 0..plan.sources {
            let name = source_name(source);
            for tier in 0..plan.tiers.len() {
                let retry = format!("{name}.{GROUP}.retry.{}", tier + 1);
                add(retry, Kind::Retry { source, tier }, LIMIT, plan.partitions);
            }
            let dead = format!("{name}.{GROUP}.dlq");
            add(dead, Kind::Dead { source }, LIMIT, plan.partitions);
            if plan.has_ledger() {
                let ledger = format!("{name}.{GROUP}.ledger");
                add(ledger, Kind::Ledger { source }, LIMIT, plan.partitions);
            }
            if plan.has_state() {
                let state = format!("{name}.{GROUP}.state");
                add(state, Kind::State { source }, STATE_LIMIT, plan.partitions);
            }
        }
        for (sink, name) in ["out", "other"].into_iter().enumerate() {
            let partitions = plan.sink_partitions;
            add(name.to_owned(), Kind::Sink(sink), SINK_LIMIT, partitions);
        }
        let names = topics
            .iter()
            .enumerate()
            .map(|(number, topic)| (topic.name.clone(), number))
            .collect();
        Log { topics, names }
    }

    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    pub(super) fn tp(&self, name: &str, partition: i32) -> Option<Tp> {
        let topic = self.number(name)?;
        let partition = usize::try_from(partition).ok()?;
        (partition < self.topics[topic].partitions.len()).then_some(Tp { topic, partition })
    }

    pub(super) fn partition(&self, tp: Tp) -> &Partition {
        &self.topics[tp.topic].partitions[tp.partition]
    }

    pub(super) fn partition_mut(&mut self, tp: Tp) -> &mut Partition {
        &mut self.topics[tp.topic].partitions[tp.partition]
    }

    pub(super) fn kind(&self, tp: Tp) -> Kind {
        self.topics[tp.topic].kind
    }

    /// `topic-partition`, for messages.
    pub(super) fn name(&self, tp: Tp) -> String {
        format!("{}-{}", self.topics[tp.topic].name, tp.partition)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Tp> {
        self.topics.iter().enumerate().flat_map(|(topic, of)| {
            (0..of.partitions.len()).map(move |partition| Tp { topic, partition })
        })
    }

    /// The source partition that a partition belongs to, if the group reads it.
    pub(super) fn home(&self, tp: Tp) -> Option<Tp> {
        match self.kind(tp) {
            Kind::Source => Some(tp),
            Kind::Retry { source, .. } => Some(Tp {
                topic: source,
                ..tp
            }),
            _ => None,
        }
    }

    /// Whether the group reads it.
    pub(super) fn is_read(&self, tp: Tp) -> bool {
        matches!(self.kind(tp), Kind::Source | Kind::Retry { .. })
    }
}

pub(super) fn source_name(source: usize) -> String {
    ["orders", "returns"][source].to_owned()
}

/// The value of an output.
pub(super) fn output_value(origin: usize, part: usize, large: Option<bool>) -> Vec<u8> {
    let mut value = format!("{origin}>{part}").into_bytes();
    match large {
        Some(true) => value.resize(CLIENT_LIMIT + 1_000, b'.'),
        Some(false) => value.resize(SINK_LIMIT + 500, b'.'),
        None => {}
    }
    value
}

/// A source record as some other program wrote it.
pub(super) fn source_record(random: &mut SmallRng, origin: usize, wall: i64) -> Stored {
    let mut headers: Headers = Vec::new();
    if random.random_bool(0.3) {
        headers.push(("trace".to_owned(), Some(vec![0xff, 0, 7])));
        headers.push(("trace".to_owned(), None));
    }
    // What nobody but us should write, and somebody does.
    if random.random_bool(0.1) {
        headers.push(("driftgate.reason".to_owned(), Some(b"theirs".to_vec())));
        headers.push(("driftgate.due_at".to_owned(), Some(b"9".to_vec())));
    }
    let key = random
        .random_bool(0.8)
        .then(|| format!("k{}", random.random_range(0..8)).into_bytes());
    let value = random
        .random_bool(0.95)
        .then(|| format!("{origin}").into_bytes());
    Stored {
        origin,
        key,
        value,
        headers,
        timestamp: Some(wall - random.random_range(0..100_000)),
        ..Stored::default()
    }
}

/// The bytes that a broker counts.
pub(super) fn size(key: Option<&[u8]>, value: Option<&[u8]>, headers: &Headers) -> usize {
    let headers: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len) + 4)
        .sum();
    key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + headers + 40
}
