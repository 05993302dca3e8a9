//! Dead-letter topics, read to the end that they had at the start, so that what is sent back and fails again is not met
//! again in the same run. Joins no group. A redrive's progress is the committed offset of a group of its own.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use super::Failure;
use super::filter::Filter;
use super::progress::Place;
use crate::config::model::Kafka;
use crate::ingest::properties;
use crate::quiet::{self, Quiet, cluster, why};
use crate::record::Record;
use crate::words::counted;

/// How long the broker may take for one question.
const ASK: Duration = Duration::from_secs(10);
/// How long a coordinator may be away or load its offsets.
const COORDINATOR: Duration = Duration::from_secs(40);
/// How long a read may give nothing before it is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// A group's name that librdkafka wants; with an assignment of our own and no commit, no broker hears of it.
const NO_GROUP: &str = "driftgate-dlq";

/// A record that owns its bytes.
#[derive(Debug, Clone, Default)]
pub struct Owned {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Owned {
    /// As the rest of the program takes it.
    pub fn record(&self) -> Record<'_> {
        let headers = self.headers.iter();
        Record {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: headers
                .map(|(name, value)| (name.as_str(), value.as_deref()))
                .collect(),
        }
    }

    /// A copy of what a consumer returned.
    pub(crate) fn of(message: &BorrowedMessage<'_>) -> Owned {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            let header = |header: rdkafka::message::Header<'_, &[u8]>| {
                (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
            };
            headers.iter().map(header).collect()
        });
        Owned {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers,
        }
    }
}

/// What a step of reading gave.
#[derive(Debug)]
pub enum Next {
    /// A record.
    Record(Owned),
    /// Nothing yet.
    Nothing,
    /// Everything has been read.
    End,
}

/// Reads topics one after the other.
pub struct Reader {
    consumer: BaseConsumer<Quiet>,
    servers: String,
    waiting: VecDeque<(String, BTreeMap<i32, Span>)>,
    topic: String,
    open: BTreeMap<i32, Span>,
    total: u64,
    passed: u64,
    resumed: bool,
    /// What the group has committed, as far as we know.
    known: BTreeMap<Place, i64>,
    missing: Vec<String>,
    heard: Instant,
    last: Option<KafkaError>,
}

/// Offsets to read: from the first to before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    next: i64,
    end: i64,
}

/// Where a partition is read from and to, given its ends, the filter's offsets, and what a run before has committed.
fn span((low, high): (i64, i64), filter: &Filter, committed: Option<i64>) -> Span {
    let from = filter.offsets.from.unwrap_or(0).max(low);
    let end = filter.offsets.to.map_or(high, |to| to.min(high));
    Span {
        next: committed.map_or(from, |committed| committed.max(from)),
        end,
    }
}

impl Reader {
    /// Opens topics at their beginning or, with a `group`, where it has committed. `filter` bounds partitions and offsets.
    pub fn open(
        kafka: &Kafka,
        topics: &[String],
        filter: &Filter,
        group: Option<&str>,
        from_start: bool,
    ) -> Result<Reader, Failure> {
        let mut config = ClientConfig::new();
        for (name, value) in properties::admin(kafka) {
            config.set(name, value);
        }
        config
            .set("client.id", "driftgate-dlq")
            .set("group.id", group.unwrap_or(NO_GROUP))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false")
            .set("isolation.level", "read_committed")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.queue.backoff.ms", "5");
        let consumer = config
            .create_with_context(Quiet::default())
            .map_err(|error| Failure::Unreachable(format!("Kafka client: {error}")))?;
        let mut reader = Reader {
            consumer,
            servers: kafka.bootstrap_servers.clone(),
            waiting: VecDeque::new(),
            topic: String::new(),
            open: BTreeMap::new(),
            total: 0,
            passed: 0,
            resumed: false,
            known: BTreeMap::new(),
            missing: Vec::new(),
            heard: Instant::now(),
            last: None,
        };
        let partitions = reader.partitions(topics, filter)?;
        if group.is_some() {
            reader.known = reader.committed(&partitions)?;
        }
        let committed = match from_start {
            true => BTreeMap::new(),
            false => reader.known.clone(),
        };
        reader.resumed = !committed.is_empty();
        for (topic, numbers) in partitions {
            let mut spans = BTreeMap::new();
            for number in numbers {
                let ends = reader
                    .consumer
                    .fetch_watermarks(&topic, number, ASK)
                    .map_err(could_not)?;
                let committed = committed.get(&(topic.clone(), number)).copied();
                let span = span(ends, filter, committed);
                if span.next < span.end {
                    reader.total += u64::try_from(span.end - span.next).unwrap_or(0);
                    spans.insert(number, span);
                }
            }
            reader.waiting.push_back((topic, spans));
        }
        Ok(reader)
    }

    /// The partitions of the topics that there are; one at least must be there.
    fn partitions(
        &mut self,
        topics: &[String],
        filter: &Filter,
    ) -> Result<Vec<(String, Vec<i32>)>, Failure> {
        let metadata = cluster(&self.consumer, &self.servers, ASK).map_err(Failure::Unreachable)?;
        let mut found = Vec::new();
        for topic in topics {
            let mut known = metadata.topics().iter();
            let Some(known) = known.find(|known| known.name() == topic) else {
                self.missing.push(topic.clone());
                continue;
            };
            let numbers = known.partitions().iter().map(|partition| partition.id());
            let mut numbers: Vec<i32> = numbers.collect();
            numbers.sort_unstable();
            if let Some(partition) = filter.partition {
                if !numbers.contains(&partition) {
                    return Err(Failure::Asked(format!(
                        "topic {topic} has {}, counted from 0: there is no {partition}",
                        counted(numbers.len(), "partition")
                    )));
                }
                numbers = vec![partition];
            }
            found.push((topic.clone(), numbers));
        }
        match found.is_empty() {
            true => Err(Failure::Missing(topics.to_vec())),
            false => Ok(found),
        }
    }

    /// What the group has committed, of these partitions.
    fn committed(
        &self,
        partitions: &[(String, Vec<i32>)],
    ) -> Result<BTreeMap<Place, i64>, Failure> {
        let mut asked = TopicPartitionList::new();
        for (topic, numbers) in partitions {
            for number in numbers {
                asked.add_partition(topic, *number);
            }
        }
        let until = Instant::now() + COORDINATOR;
        let answer = loop {
            match quiet::committed(&self.consumer, &asked, ASK) {
                Ok(answer) => break answer,
                // One that has just come back is loading its offsets, and says so at once.
                Err(error) if is_passing(&error) && Instant::now() < until => {
                    drop(self.consumer.poll(Duration::from_millis(200)));
                }
                // A right that is missing is told apart from the question, which only runs out of time.
                Err(error) => {
                    let why = why(&self.consumer, &error);
                    let text = format!("the group's offsets could not be read: {why}");
                    return Err(Failure::Unreachable(text));
                }
            }
        };
        let elements = answer.elements();
        let found = elements
            .iter()
            .filter_map(|element| match element.offset() {
                Offset::Offset(offset) => {
                    Some(((element.topic().to_owned(), element.partition()), offset))
                }
                _ => None,
            });
        Ok(found.collect())
    }

    /// How many offsets there are to read. Some may hold no record.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many of them lie behind.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Topics that are not there.
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Whether it goes on where an earlier run has stopped.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// The next record, or nothing within `wait`.
    pub fn next(&mut self, wait: Duration) -> Result<Next, Failure> {
        while self.open.is_empty() {
            let Some((topic, spans)) = self.waiting.pop_front() else {
                return Ok(Next::End);
            };
            let mut assignment = TopicPartitionList::new();
            for (number, span) in &spans {
                assignment
                    .add_partition_offset(&topic, *number, Offset::Offset(span.next))
                    .map_err(could_not)?;
            }
            self.consumer.assign(&assignment).map_err(could_not)?;
            (self.topic, self.open) = (topic, spans);
            self.heard = Instant::now();
        }
        let event = match self.consumer.poll(wait) {
            None => None,
            Some(Ok(message)) => Some(Ok(Owned::of(&message))),
            Some(Err(error)) => Some(Err(error)),
        };
        match event {
            None => self.silent(),
            Some(Ok(owned)) => {
                self.heard = Instant::now();
                Ok(self.arrived(owned))
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.heard = Instant::now();
                self.close(partition);
                Ok(Next::Nothing)
            }
            // librdkafka wants a group even where partitions are assigned by hand. We do not join it.
            Some(Err(error))
                if error.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed) =>
            {
                Ok(Next::Nothing)
            }
            Some(Err(error)) if is_final(&error) => Err(could_not(error)),
            Some(Err(error)) => {
                self.last = Some(error);
                self.silent()
            }
        }
    }

    fn arrived(&mut self, owned: Owned) -> Next {
        let here = owned.topic == self.topic;
        let Some(span) = self.open.get_mut(&owned.partition).filter(|_| here) else {
            return Next::Nothing;
        };
        if owned.offset < span.next {
            return Next::Nothing;
        }
        if owned.offset >= span.end {
            self.close(owned.partition);
            return Next::Nothing;
        }
        self.passed += u64::try_from(owned.offset + 1 - span.next).unwrap_or(0);
        span.next = owned.offset + 1;
        if span.next >= span.end {
            self.close(owned.partition);
        }
        Next::Record(owned)
    }

    /// A partition has been read. It may grow meanwhile: no more is fetched of it.
    fn close(&mut self, partition: i32) {
        let Some(span) = self.open.remove(&partition) else {
            return;
        };
        self.passed += u64::try_from(span.end - span.next).unwrap_or(0);
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, partition);
        if let Err(error) = self.consumer.pause(&list) {
            tracing::debug!(topic = self.topic, partition, "not paused: {error}");
        }
    }

    fn silent(&self) -> Result<Next, Failure> {
        if self.heard.elapsed() < SILENCE {
            return Ok(Next::Nothing);
        }
        let why = self
            .last
            .as_ref()
            .map_or("no answer".to_owned(), KafkaError::to_string);
        Err(Failure::Unreachable(format!(
            "broker: {} could not be read for {SILENCE:?}: {why}",
            self.topic
        )))
    }

    /// Groups whose names begin so, as far as the broker tells.
    pub fn groups(&self, prefix: &str) -> Vec<String> {
        let Ok(list) = self.consumer.fetch_group_list(None, ASK) else {
            return Vec::new();
        };
        let names = list.groups().iter().map(|group| group.name().to_owned());
        let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
        names.sort();
        names
    }

    /// Commits progress for the group that it was opened with. Refused when somebody else has committed since: another run
    /// with the same filter is under way, and both would send the same records.
    pub fn commit(&mut self, offsets: &[(Place, i64)]) -> Result<(), Failure> {
        let mut topics: BTreeMap<&String, Vec<i32>> = BTreeMap::new();
        for ((topic, partition), _) in offsets {
            topics.entry(topic).or_default().push(*partition);
        }
        let topics: Vec<_> = topics
            .into_iter()
            .map(|(topic, numbers)| (topic.clone(), numbers))
            .collect();
        let found = self.committed(&topics)?;
        let moved = |(place, _): &&(Place, i64)| found.get(place) != self.known.get(place);
        if let Some(((topic, partition), _)) = offsets.iter().find(moved) {
            return Err(Failure::Asked(format!(
                "another redrive with the same filter is under way: the progress in {topic}-{partition} is not this one's"
            )));
        }
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in offsets {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .map_err(could_not)?;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the progress of a redrive, in a group of its own, behind acknowledged records; no pipeline reads it"
        )]
        let committed = self.consumer.commit(&list, CommitMode::Sync);
        committed.map_err(|error| {
            Failure::Unreachable(format!("progress could not be committed: {error}"))
        })?;
        self.known.extend(offsets.iter().cloned());
        Ok(())
    }
}

fn could_not(error: KafkaError) -> Failure {
    Failure::Unreachable(format!("broker: {error}"))
}

fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::NotCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::WaitingForCoordinator
        )
    )
}

/// Whether asking again would give the same.
fn is_final(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::TopicAuthorizationFailed
                | Code::SaslAuthenticationFailed
                | Code::AutoOffsetReset
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dlq::filter::Offsets;

    #[test]
    fn a_partition_is_read_within_its_ends_the_filter_and_what_is_left() {
        let check = |ends, range: &str, committed, expect: (i64, i64)| {
            let offsets = match range {
                "" => Offsets::default(),
                range => Offsets::parse(range).expect("a range"),
            };
            let filter = Filter {
                offsets,
                ..Filter::default()
            };
            let found = span(ends, &filter, committed);
            assert_eq!(
                (found.next, found.end),
                expect,
                "{ends:?} {range} {committed:?}"
            );
        };
        check((5, 20), "", None, (5, 20));
        check((5, 20), "", Some(9), (9, 20));
        // What was committed has been removed since.
        check((5, 20), "", Some(2), (5, 20));
        check((5, 20), "7..10", None, (7, 10));
        check((5, 20), "2..90", Some(8), (8, 20));
        check((5, 20), "7..10", Some(12), (12, 10));
    }
}
