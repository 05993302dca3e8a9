//! Topics read from beside, for tools that look at whole ranges of them. Joins no group and commits nothing. Input: ranges
//! of partitions. Output: each record once, in the order of its partition, and what the broker says of topics and groups.
//!
//! A range is read as a `read_committed` consumer sees it, up to an offset that is fixed before: everything that was written
//! then is waited for, also behind a transaction that is still open, for a bounded time.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{ClientConfig, Message as _, Offset, Timestamp, TopicPartitionList};

use crate::config::model::Kafka;
use crate::error::FatalError;
use crate::ingest::properties;
use crate::quiet::{self, Quiet, cluster, why};
use crate::record::Record;

/// How long the broker may take for one question.
const ASK: Duration = Duration::from_secs(10);
/// How long nothing at all may come before a range counts as unreadable.
const SILENCE: Duration = Duration::from_secs(60);
/// How long an open transaction is waited for, unless it is said otherwise: longer than one stays open by default, with the
/// ten seconds after which brokers look for those that have timed out.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often the end that committed readers see is asked for, while it lies below the one that is wanted.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// A topic and a partition.
pub type Place = (String, i32);

/// Offsets of a partition to read: from the first one up to, and without, the second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The one behind the last.
    pub to: i64,
}

/// What a group has committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The next offset to read.
    pub offset: i64,
    /// What was written with it.
    pub metadata: String,
}

/// What a topic is kept by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Whether older records of a key may be removed.
    pub compacted: bool,
    /// Whether timestamps are those of writing.
    pub log_append_time: bool,
}

/// A range that could not be read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Where committed readers are held up.
    pub at: i64,
}

/// A client for looking at topics.
pub struct Scanner {
    committed: BaseConsumer<Quiet>,
    uncommitted: BaseConsumer<Quiet>,
    base: ClientConfig,
    reader: ClientConfig,
    patience: Duration,
}

fn consumer(config: &ClientConfig, isolation: &str) -> Result<BaseConsumer<Quiet>, FatalError> {
    let mut config = config.clone();
    config.set("isolation.level", isolation);
    config
        .create_with_context(Quiet::default())
        .map_err(|error| could_not(&error))
}

fn could_not(error: &KafkaError) -> FatalError {
    FatalError::Kafka(error.to_string())
}

impl Scanner {
    /// Makes it. `client_id` is what brokers see; `group` is asked for its offsets and never joined.
    pub fn new(kafka: &Kafka, client_id: &str, group: &str) -> Result<Scanner, FatalError> {
        let mut base = ClientConfig::new();
        for (name, value) in properties::admin(kafka) {
            base.set(name, value);
        }
        base.set("client.id", client_id);
        let mut reader = base.clone();
        reader
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("allow.auto.create.topics", "false")
            .set("fetch.queue.backoff.ms", "5")
            .set("queued.max.messages.kbytes", "16384");
        Ok(Scanner {
            committed: consumer(&reader, "read_committed")?,
            uncommitted: consumer(&reader, "read_uncommitted")?,
            base,
            reader,
            patience: PATIENCE,
        })
    }

    /// The same, which waits so long for an open transaction.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Scanner {
        self.patience = patience;
        self
    }

    /// Partitions of these topics; one that does not exist is not in it.
    pub fn partitions(&self, topics: &[String]) -> Result<BTreeMap<String, i32>, FatalError> {
        let servers = self.base.get("bootstrap.servers").unwrap_or_default();
        let metadata = cluster(&self.uncommitted, servers, ASK).map_err(FatalError::Kafka)?;
        let found = metadata.topics().iter();
        let found = found.filter(|found| topics.iter().any(|topic| topic == found.name()));
        let counted = found.map(|found| {
            let count = i32::try_from(found.partitions().len()).unwrap_or(i32::MAX);
            (found.name().to_owned(), count)
        });
        Ok(counted.collect())
    }

    /// First offset, and the one behind everything that is written, open transactions included.
    pub fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), FatalError> {
        let until = Instant::now() + ASK;
        loop {
            match self.uncommitted.fetch_watermarks(topic, partition, ASK) {
                Ok(marks) => return Ok(marks),
                Err(error) if Instant::now() < until && is_passing(&error) => {
                    // Serves the client while it looks for the leader.
                    drop(self.uncommitted.poll(Duration::from_millis(100)));
                }
                Err(error) => {
                    let text = format!("{topic}-{partition}: {error}");
                    return Err(FatalError::Kafka(text));
                }
            }
        }
    }

    /// The first offset of each partition whose record is at least this old (milliseconds since the epoch); the end where
    /// there is none.
    pub fn at_time(&self, places: &[Place], time: i64) -> Result<HashMap<Place, i64>, FatalError> {
        let mut found = HashMap::new();
        for (topic, partition) in places {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, *partition, Offset::Offset(time))
                .map_err(|error| could_not(&error))?;
            let answer = self
                .committed
                .offsets_for_times(list, ASK)
                .map_err(|error| could_not(&error))?;
            let elements = answer.elements();
            let element = elements.first();
            if let Some(Err(error)) = element.map(|element| element.error()) {
                return Err(could_not(&error));
            }
            let offset = match element.map(|element| element.offset()) {
                Some(Offset::Offset(offset)) => offset,
                _ => self.watermarks(topic, *partition)?.1,
            };
            found.insert((topic.clone(), *partition), offset);
        }
        Ok(found)
    }

    /// What the group has committed; a partition without a commit is not in it. Offsets that are part of an open transaction
    /// are told by nobody: its end is waited for.
    pub fn committed(&self, places: &[Place]) -> Result<HashMap<Place, Committed>, FatalError> {
        let mut asked = TopicPartitionList::new();
        for (topic, partition) in places {
            asked.add_partition(topic, *partition);
        }
        let began = Instant::now();
        let answer = loop {
            let one_try = ASK.min(self.patience);
            let error = match quiet::committed(&self.committed, &asked, one_try) {
                Ok(answer) => break answer,
                Err(error) => error,
            };
            // librdkafka tries again by itself until the time is over, and then says only that it is. Who wants to know what
            // is committed so far, open transactions aside, is told at once.
            let is_open = is_time_out(&error)
                && self
                    .uncommitted
                    .committed_offsets(asked.clone(), ASK)
                    .is_ok();
            let patience = match is_open {
                true => self.patience,
                false => ASK,
            };
            if is_passing(&error) && began.elapsed() < patience {
                drop(self.committed.poll(Duration::from_millis(100)));
                continue;
            }
            let why = match is_open {
                true => format!(
                    "a transaction that holds them was still open after {patience:?}; its producer's transaction.timeout.ms ends it"
                ),
                false => why(&self.committed, &error),
            };
            let group = self.reader.get("group.id").unwrap_or_default();
            let text = format!("the offsets of the group {group} could not be read: {why}");
            return Err(FatalError::Kafka(text));
        };
        let elements = answer.elements();
        let found = elements.iter().filter_map(|element| {
            let Offset::Offset(offset) = element.offset() else {
                return None;
            };
            let place = (element.topic().to_owned(), element.partition());
            let metadata = element.metadata().to_owned();
            Some((place, Committed { offset, metadata }))
        });
        Ok(found.collect())
    }

    /// How topics are kept. Where the broker does not tell (no permission, an embedded one), as if they were kept for ever.
    pub fn kept(&self, topics: &[String]) -> Result<HashMap<String, Kept>, FatalError> {
        let mut kept: HashMap<String, Kept> = topics
            .iter()
            .map(|topic| (topic.clone(), Kept::default()))
            .collect();
        let id = self.uncommitted.client().fetch_cluster_id(ASK);
        // librdkafka's mock cluster never answers, and asking costs the whole time-out.
        if topics.is_empty() || id.is_some_and(|id| id.starts_with("mockCluster")) {
            return Ok(kept);
        }
        let admin: AdminClient<DefaultClientContext> =
            self.base.create().map_err(|error| could_not(&error))?;
        let asked: Vec<_> = topics
            .iter()
            .map(|topic| ResourceSpecifier::Topic(topic))
            .collect();
        let options = AdminOptions::new()
            .request_timeout(Some(ASK))
            .operation_timeout(Some(ASK));
        let described = futures::executor::block_on(admin.describe_configs(&asked, &options));
        for resource in described.unwrap_or_default().into_iter().flatten() {
            let OwnedResourceSpecifier::Topic(topic) = &resource.specifier else {
                continue;
            };
            let says = |name: &str, word: &str| {
                let entry = resource.entries.iter().find(|entry| entry.name == name);
                let value = entry.and_then(|entry| entry.value.as_deref());
                value.is_some_and(|value| value.contains(word))
            };
            let found = Kept {
                compacted: says("cleanup.policy", "compact"),
                log_append_time: says("message.timestamp.type", "LogAppendTime"),
            };
            kept.insert(topic.clone(), found);
        }
        Ok(kept)
    }

    /// Reads ranges, topic by topic and the partitions of each side by side, and hands every record over, in order within a
    /// partition, with whether its timestamp is that of writing. `progress` is told how many offsets are behind. What an open
    /// transaction holds back is not read, and told.
    pub fn read(
        &self,
        ranges: &[Range],
        progress: &mut dyn FnMut(u64),
        take: &mut dyn FnMut(&Record<'_>, bool),
    ) -> Result<Vec<HeldBack>, FatalError> {
        let mut topics: Vec<&str> = ranges.iter().map(|range| range.topic.as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        let mut held_back = Vec::new();
        for topic in topics {
            let of_topic = ranges.iter().filter(|range| range.topic == topic);
            let open: Vec<&Range> = of_topic.filter(|range| range.from < range.to).collect();
            if !open.is_empty() {
                held_back.extend(self.read_topic(topic, &open, progress, take)?);
            }
        }
        Ok(held_back)
    }

    fn read_topic(
        &self,
        topic: &str,
        ranges: &[&Range],
        progress: &mut dyn FnMut(u64),
        take: &mut dyn FnMut(&Record<'_>, bool),
    ) -> Result<Vec<HeldBack>, FatalError> {
        let mut reading = Reading {
            topic: topic.to_owned(),
            parts: HashMap::new(),
            open: ranges.len(),
            held_back: Vec::new(),
        };
        let mut list = TopicPartitionList::new();
        for range in ranges {
            list.add_partition_offset(topic, range.partition, Offset::Offset(range.from))
                .map_err(|error| could_not(&error))?;
            let part = Part {
                next: range.from,
                to: range.to,
                done: false,
                decided: self.visible(topic, range.partition)? >= range.to,
                waits_since: None,
            };
            reading.parts.insert(range.partition, part);
        }
        // One for each topic: the end of a partition is told by its number alone, and may come late.
        let consumer = consumer(&self.reader, "read_committed")?;
        consumer.assign(&list).map_err(|error| could_not(&error))?;
        self.read_on(&consumer, &mut reading, progress, take)?;
        Ok(reading.held_back)
    }

    /// The offset behind everything that a committed reader is shown.
    fn visible(&self, topic: &str, partition: i32) -> Result<i64, FatalError> {
        let marks = self.committed.fetch_watermarks(topic, partition, ASK);
        match marks {
            Ok((_, end)) => Ok(end),
            Err(error) if is_passing(&error) => Ok(-1),
            Err(error) => Err(could_not(&error)),
        }
    }

    fn read_on(
        &self,
        consumer: &BaseConsumer<Quiet>,
        reading: &mut Reading,
        progress: &mut dyn FnMut(u64),
        take: &mut dyn FnMut(&Record<'_>, bool),
    ) -> Result<(), FatalError> {
        let mut last = None;
        let mut heard = Instant::now();
        let mut looked = heard;
        while reading.open > 0 {
            match consumer.poll(Duration::from_millis(50)) {
                None => {}
                Some(Ok(message)) => {
                    heard = Instant::now();
                    let (number, offset) = (message.partition(), message.offset());
                    let Some(part) = reading.parts.get_mut(&number) else {
                        continue;
                    };
                    if part.done || offset < part.next {
                        continue;
                    }
                    part.waits_since = None;
                    if offset < part.to {
                        progress(u64::try_from(offset + 1 - part.next).unwrap_or(0));
                        part.next = offset + 1;
                        let log_append = matches!(message.timestamp(), Timestamp::LogAppendTime(_));
                        with_record(&message, |record| take(record, log_append));
                    }
                    if offset + 1 >= part.to {
                        finish(consumer, reading, number)?;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    heard = Instant::now();
                    let Some(part) = reading.parts.get_mut(&number) else {
                        continue;
                    };
                    match part.decided {
                        // What lies behind the last record and below the end is control markers.
                        true => finish(consumer, reading, number)?,
                        false => {
                            part.waits_since.get_or_insert(heard);
                        }
                    }
                }
                Some(Err(
                    error @ KafkaError::MessageConsumption(
                        RDKafkaErrorCode::TopicAuthorizationFailed
                        | RDKafkaErrorCode::SaslAuthenticationFailed
                        | RDKafkaErrorCode::UnknownTopicOrPartition
                        | RDKafkaErrorCode::UnknownPartition,
                    ),
                )) => return Err(could_not(&error)),
                // A broker that is away may come back within the time. Groups are not ours to join.
                Some(Err(error)) => {
                    let group = Some(RDKafkaErrorCode::GroupAuthorizationFailed);
                    last = Some(error).filter(|error| error.rdkafka_error_code() != group);
                }
            }
            if looked.elapsed() >= LOOK_AGAIN {
                self.look(consumer, reading)?;
                looked = Instant::now();
            }
            if heard.elapsed() > SILENCE {
                let why = last.map_or("no answer".to_owned(), |error| error.to_string());
                let names = reading.names();
                let text = format!("{names} could not be read in {SILENCE:?}: {why}");
                return Err(FatalError::Kafka(text));
            }
        }
        Ok(())
    }

    /// Looks at the partitions that an open transaction held up.
    fn look(
        &self,
        consumer: &BaseConsumer<Quiet>,
        reading: &mut Reading,
    ) -> Result<(), FatalError> {
        let waiting: Vec<(i32, Instant)> = reading
            .parts
            .iter()
            .filter(|(_, part)| !part.done && !part.decided)
            .filter_map(|(number, part)| Some((*number, part.waits_since?)))
            .collect();
        for (number, since) in waiting {
            let visible = self.visible(&reading.topic, number)?;
            let Some(part) = reading.parts.get_mut(&number) else {
                continue;
            };
            if visible >= part.to {
                // All of it is decided now. Sought anew, the next thing that comes is a record or the end.
                part.decided = true;
                consumer
                    .seek(&reading.topic, number, Offset::Offset(part.next), ASK)
                    .map_err(|error| could_not(&error))?;
            } else if since.elapsed() >= self.patience {
                let at = visible.max(part.next);
                reading.held_back.push(HeldBack {
                    topic: reading.topic.clone(),
                    partition: number,
                    at,
                });
                finish(consumer, reading, number)?;
            }
        }
        Ok(())
    }
}

fn finish(
    consumer: &BaseConsumer<Quiet>,
    reading: &mut Reading,
    number: i32,
) -> Result<(), FatalError> {
    let Some(part) = reading.parts.get_mut(&number).filter(|part| !part.done) else {
        return Ok(());
    };
    part.done = true;
    reading.open -= 1;
    let mut list = TopicPartitionList::new();
    list.add_partition(&reading.topic, number);
    consumer.pause(&list).map_err(|error| could_not(&error))
}

struct Part {
    next: i64,
    to: i64,
    done: bool,
    /// Whether every transaction below `to` had ended before reading it began, or before it was sought anew. Then the
    /// partition's end is the end of the range.
    decided: bool,
    /// Since when there has been nothing more to read.
    waits_since: Option<Instant>,
}

/// One topic. The end of a partition is told by its number alone, so it has to be one.
struct Reading {
    topic: String,
    parts: HashMap<i32, Part>,
    open: usize,
    held_back: Vec<HeldBack>,
}

impl Reading {
    fn names(&self) -> String {
        let open = self.parts.iter().filter(|(_, part)| !part.done);
        let mut names: Vec<String> = open
            .map(|(number, part)| format!("{}-{number}@{}", self.topic, part.next))
            .collect();
        names.sort();
        names.truncate(5);
        names.join(", ")
    }
}

fn is_time_out(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::UnstableOffsetCommit)
    )
}

fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::WaitingForCoordinator
                | RDKafkaErrorCode::UnstableOffsetCommit
        )
    )
}

fn with_record<R>(message: &BorrowedMessage<'_>, show: impl FnOnce(&Record<'_>) -> R) -> R {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let all = headers.iter();
        all.map(|header| (header.key, header.value)).collect()
    });
    show(&Record {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key(),
        value: message.payload(),
        headers,
    })
}
