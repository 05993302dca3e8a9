//! The recount: a consumer of its own reads source, sink, retry and dead-letter topics from their beginning, pairs every
//! source record with its outcomes, and trusts nothing that the processor says of itself. Whether an order was to be
//! filtered is read from the order, with apache-avro.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde::Serialize;

use crate::config::model::Pipeline;
use crate::headers;

/// The conservation table: `read` is the sum of the six below it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Records found in the source topic.
    pub read: u64,
    /// Found in the sink.
    pub emitted: u64,
    /// To be filtered, and found nowhere.
    pub filtered: u64,
    /// The demo's pipeline has no dedup.
    pub duplicate: u64,
    /// Nor stale.
    pub stale: u64,
    /// Found in the dead-letter topic.
    pub dead_lettered: u64,
    /// Found in a retry topic and not yet in the sink or the dead-letter topic.
    pub retry_pending: u64,
    /// Records without an outcome, with two different ones, or that came from nowhere. Must be 0.
    pub unaccounted: u64,
    /// Records that went through a retry topic and reached the sink.
    pub recovered: u64,
    /// Copies in the sink beyond the first of their source record: none without a crash.
    pub repeated: u64,
    /// Dead letters by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Orders that the producer says it has written.
    pub produced: u64,
}

impl Summary {
    /// Whether every order written has its final outcome.
    pub fn is_complete(&self) -> bool {
        self.read == self.produced && self.retry_pending == 0 && self.unaccounted == 0
    }

    /// Whether the counts add up.
    pub fn adds_up(&self) -> bool {
        let outcomes = self.emitted
            + self.filtered
            + self.duplicate
            + self.stale
            + self.dead_lettered
            + self.retry_pending;
        self.unaccounted == 0 && self.read == outcomes && self.read == self.produced
    }
}

type Position = (i32, i64);

/// What was found of the source records, by position.
#[derive(Debug, Default)]
struct Found {
    /// Source record → whether it is to be filtered.
    source: HashMap<Position, bool>,
    sink: HashMap<Position, u64>,
    retried: BTreeSet<Position>,
    dead: HashMap<Position, u64>,
    reasons: BTreeMap<String, u64>,
    /// Outcomes that name no source record.
    strays: u64,
}

/// The recount at work.
pub struct Recount {
    found: Arc<Mutex<Found>>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<anyhow::Result<()>>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Source,
    Sink,
    Retry,
    Dead,
}

impl Recount {
    /// Begins to read along.
    pub fn start(bootstrap: &str, pipeline: &Pipeline, partitions: i32) -> anyhow::Result<Recount> {
        let source = &pipeline.source_topics[0];
        let mut roles = HashMap::from([
            (source.clone(), Role::Source),
            (pipeline.dead_letter_topic(source), Role::Dead),
        ]);
        let sinks = pipeline.sinks();
        roles.extend(sinks.iter().map(|sink| (sink.topic.clone(), Role::Sink)));
        for tier in 1..=pipeline.failure.tiers.len() {
            roles.insert(pipeline.retry_topic(source, tier), Role::Retry);
        }
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .set("group.id", "recount")
            .set("enable.auto.commit", "false")
            .create()?;
        let mut list = TopicPartitionList::new();
        for topic in roles.keys() {
            for partition in 0..partitions {
                list.add_partition_offset(topic, partition, Offset::Beginning)?;
            }
        }
        consumer.assign(&list)?;
        let (found, stop) = (
            Arc::new(Mutex::new(Found::default())),
            Arc::new(AtomicBool::new(false)),
        );
        let schema = apache_avro::Schema::parse_str(include_str!("files/orders-value.avsc"))?;
        let thread = {
            let (found, stop) = (Arc::clone(&found), Arc::clone(&stop));
            let read = move || read_along(&consumer, &roles, &schema, &found, &stop);
            std::thread::Builder::new()
                .name("demo-recount".into())
                .spawn(read)?
        };
        Ok(Recount {
            found,
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// The counts so far.
    pub fn summary(&self, produced: u64) -> Summary {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        summarise(&found, produced)
    }

    /// Reads on until nothing new has come for a second, and stops.
    pub fn finish(&self, produced: u64) -> anyhow::Result<Summary> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let joined = thread.context("finished twice")?.join();
        joined.map_err(|_| anyhow::anyhow!("the recount panicked"))??;
        Ok(self.summary(produced))
    }
}

fn summarise(found: &Found, produced: u64) -> Summary {
    let mut summary = Summary {
        read: found.source.len() as u64,
        produced,
        reasons: found.reasons.clone(),
        unaccounted: found.strays,
        ..Summary::default()
    };
    for (position, filtered) in &found.source {
        let copies = found.sink.get(position).copied().unwrap_or(0);
        let dead = found.dead.get(position).copied().unwrap_or(0);
        let retried = found.retried.contains(position);
        summary.repeated += copies.saturating_sub(1);
        match (copies > 0, dead > 0, *filtered) {
            (true, false, false) => {
                summary.emitted += 1;
                summary.recovered += u64::from(retried);
            }
            // The contract comes before the filter: an order that would be filtered can fail it.
            (false, true, _) if dead == 1 => summary.dead_lettered += 1,
            (false, false, true) if !retried => summary.filtered += 1,
            (false, false, false) if retried => summary.retry_pending += 1,
            _ => summary.unaccounted += 1,
        }
    }
    let unknown = |positions: &HashMap<Position, u64>| {
        positions
            .keys()
            .filter(|position| !found.source.contains_key(position))
            .count() as u64
    };
    summary.unaccounted += unknown(&found.sink) + unknown(&found.dead);
    summary
}

fn read_along(
    consumer: &BaseConsumer,
    roles: &HashMap<String, Role>,
    schema: &apache_avro::Schema,
    found: &Mutex<Found>,
    stop: &AtomicBool,
) -> anyhow::Result<()> {
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) || last.elapsed() < Duration::from_secs(1) {
        match consumer.poll(Duration::from_millis(50)) {
            None => {}
            Some(Err(error)) => tracing::debug!("recount: {error}"),
            Some(Ok(message)) => {
                last = Instant::now();
                if let Some(role) = roles.get(message.topic()) {
                    enter(
                        &mut found.lock().unwrap_or_else(PoisonError::into_inner),
                        *role,
                        &message,
                        schema,
                    );
                }
            }
        }
    }
    Ok(())
}

fn enter(
    found: &mut Found,
    role: Role,
    message: &BorrowedMessage<'_>,
    schema: &apache_avro::Schema,
) {
    if role == Role::Source {
        let filtered = is_test_order(message.payload().unwrap_or_default(), schema);
        found
            .source
            .insert((message.partition(), message.offset()), filtered);
        return;
    }
    let origin = match role {
        Role::Sink => emitted_from(message),
        _ => failed_from(message),
    };
    let Some(origin) = origin else {
        found.strays += 1;
        return;
    };
    match role {
        Role::Source => {}
        Role::Sink => *found.sink.entry(origin).or_default() += 1,
        Role::Retry => {
            found.retried.insert(origin);
        }
        Role::Dead => {
            *found.dead.entry(origin).or_default() += 1;
            let reason = header(message, headers::REASON).unwrap_or_else(|| "none given".into());
            *found.reasons.entry(reason).or_default() += 1;
        }
    }
}

/// `currency` is the fourth field of every version of the schema whose first four are as in the first.
fn is_test_order(value: &[u8], schema: &apache_avro::Schema) -> bool {
    use apache_avro::types::Value;
    let Some(mut datum) = value.get(5..) else {
        return false;
    };
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(schema).build();
    match reader.and_then(|reader| reader.read_value(&mut datum)) {
        Ok(Value::Record(fields)) => fields
            .iter()
            .any(|(name, value)| name == "currency" && *value == Value::String("TEST".into())),
        _ => false,
    }
}

fn header(message: &BorrowedMessage<'_>, name: &str) -> Option<String> {
    let headers = message.headers()?;
    let value = headers.iter().find(|header| header.key == name)?.value?;
    String::from_utf8(value.to_vec()).ok()
}

/// `topic-partition@offset`
fn emitted_from(message: &BorrowedMessage<'_>) -> Option<Position> {
    let source = header(message, headers::SOURCE)?;
    let (partition, offset) = source.rsplit_once('-')?.1.split_once('@')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

fn failed_from(message: &BorrowedMessage<'_>) -> Option<Position> {
    let partition = header(message, headers::SOURCE_PARTITION)?.parse().ok()?;
    let offset = header(message, headers::SOURCE_OFFSET)?.parse().ok()?;
    Some((partition, offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        Found {
            source: HashMap::from([
                ((0, 0), false),
                ((0, 1), true),
                ((0, 2), false),
                ((0, 3), false),
            ]),
            sink: HashMap::from([((0, 0), 1)]),
            retried: BTreeSet::from([(0, 3)]),
            dead: HashMap::from([((0, 2), 1)]),
            reasons: BTreeMap::new(),
            strays: 0,
        }
    }

    #[test]
    fn each_record_counts_once() {
        let summary = summarise(&found(), 4);
        let counts = (
            summary.read,
            summary.emitted,
            summary.filtered,
            summary.dead_lettered,
            summary.retry_pending,
        );
        assert_eq!(counts, (4, 1, 1, 1, 1));
        assert!(summary.adds_up() && !summary.is_complete());
    }

    #[test]
    fn a_loss_a_double_and_a_stray_are_unaccounted() {
        let mut lost = found();
        lost.sink.clear();
        assert_eq!(summarise(&lost, 4).unaccounted, 1);
        let mut double = found();
        double.sink.insert((0, 2), 1);
        assert_eq!(summarise(&double, 4).unaccounted, 1);
        let mut stray = found();
        stray.sink.insert((3, 99), 1);
        assert_eq!(summarise(&stray, 4).unaccounted, 1);
        let mut leaked = found();
        leaked.sink.insert((0, 1), 1);
        assert_eq!(
            summarise(&leaked, 4).unaccounted,
            1,
            "a filtered record was emitted"
        );
        assert!(
            !summarise(&found(), 5).adds_up(),
            "an order that never arrived"
        );
    }
}
