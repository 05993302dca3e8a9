//! Reads a topic into a table: from the beginning to where it ended at the start, and then what comes. A consumer
//! without a group, on a thread of its own; commits nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Headers as _;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::read::{Reader, Unread};
use super::{Phase, Row, Rows, Shared};
use crate::beside::Beside;
use crate::config::model::TopicLookup;
use crate::error::FatalError;
use crate::health::{Dependency, Health};
use crate::lookup::Around;
use crate::metrics::TableMetrics;
use crate::quiet::Quiet;
use crate::transform::lookup::LookupSpec;

/// How long the broker is asked for one thing.
const ASK: Duration = Duration::from_secs(3);
/// How long to wait before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often lag is measured.
const LOOK: Duration = Duration::from_secs(5);
/// How often new partitions are looked for.
const GROW: Duration = Duration::from_secs(60);
/// How often values are tried again whose schema the registry did not know.
const TRY_UNKNOWN: Duration = Duration::from_secs(30);

pub(super) fn start(
    spec: &Arc<LookupSpec>,
    config: &TopicLookup,
    around: &Around,
    shared: Arc<Shared>,
    beside: &mut Beside,
) -> Result<(), FatalError> {
    let fatal = |what: String| FatalError::Start(format!("lookup into {}: {what}", spec.into));
    let mut client = ClientConfig::new();
    for (name, value) in &around.kafka {
        client.set(name, value);
    }
    // A topic that was made anew is read anew, rather than from wherever it begins.
    client
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true");
    let consumer = client
        .create_with_context(Quiet::default())
        .map_err(|error| fatal(error.to_string()))?;
    let mut loader = Loader {
        name: format!("{}.{}", around.pipeline, spec.into),
        topic: config.topic.clone(),
        consumer,
        reader: Reader::new(Arc::clone(&spec.answer), Arc::clone(&around.schemas)),
        shared,
        partitions: Vec::new(),
        metrics: around.metrics.table(&around.pipeline, &spec.into),
        health: Arc::clone(&around.health),
        told: None,
        end: CancellationToken::new(),
    };
    loader.tell_unready("it has not begun yet");
    beside.spawn(format!("{}-table", spec.into), move |end| {
        loader.end = end.clone();
        loader.run();
    })
}

struct Loader {
    /// `<pipeline>.<field>`.
    name: String,
    topic: String,
    consumer: BaseConsumer<Quiet>,
    reader: Reader,
    shared: Arc<Shared>,
    partitions: Vec<Partition>,
    metrics: TableMetrics,
    health: Arc<Health>,
    /// What the log was told last.
    told: Option<String>,
    end: CancellationToken,
}

/// One partition of the topic.
#[derive(Debug, Clone, Copy)]
struct Partition {
    /// The next offset to read.
    next: i64,
    /// Where it ended when the load began.
    goal: i64,
    /// Whether nothing is left to read, as far as the broker has said.
    is_at_end: bool,
    /// Its end when it was looked at last.
    end: i64,
}

/// Why the table is read anew, or why its thread ends.
enum Over {
    Anew(String),
    End,
}

/// Why the topic's partitions could not be taken.
enum NotAssigned {
    Broker(String),
    Topic(String),
}

impl Loader {
    fn run(mut self) {
        while !self.end.is_cancelled() {
            match self.load() {
                Over::End => return,
                Over::Anew(why) => {
                    self.tell_unready(&why);
                    self.warn(&why);
                    self.shared.change(|rows| {
                        *rows = Rows {
                            phase: Phase::Loading(why.clone()),
                            ..Rows::new(rows.max)
                        };
                    });
                    self.shared.set_phase(Phase::Loading(why));
                    self.pause();
                }
            }
        }
    }

    /// Reads the topic from its beginning, until shutdown or until that has to be done anew.
    fn load(&mut self) -> Over {
        self.partitions.clear();
        if let Err(NotAssigned::Broker(why) | NotAssigned::Topic(why)) = self.assign() {
            return Over::Anew(why);
        }
        let mut is_loaded = false;
        let mut looked = Instant::now();
        let mut grown = Instant::now();
        let mut tried = Instant::now();
        while !self.end.is_cancelled() {
            if let Err(over) = self.turn() {
                return over;
            }
            if !is_loaded
                && self
                    .partitions
                    .iter()
                    .all(|p| p.is_at_end || p.next >= p.goal)
            {
                is_loaded = true;
                self.is_loaded();
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.look(is_loaded);
            }
            if grown.elapsed() >= GROW {
                grown = Instant::now();
                if let Err(why) = self.grow() {
                    return Over::Anew(why);
                }
            }
            if tried.elapsed() >= TRY_UNKNOWN {
                tried = Instant::now();
                self.try_unknown();
            }
        }
        Over::End
    }

    /// Takes every partition that is not read yet, from its beginning; those that are read go on where they are.
    fn assign(&mut self) -> Result<(), NotAssigned> {
        let broker = |error: KafkaError| NotAssigned::Broker(format!("the broker: {error}"));
        // The whole cluster's list: asked for by name, a topic can be created where brokers do that by themselves.
        let metadata = self.consumer.fetch_metadata(None, ASK);
        let metadata = metadata.map_err(broker)?;
        let found = metadata.topics().iter().find(|t| t.name() == self.topic);
        let count = found
            .filter(|topic| topic.error().is_none())
            .map_or(0, |topic| topic.partitions().len());
        if count == 0 {
            let why = format!("there is no topic {}", self.topic);
            return Err(NotAssigned::Topic(why));
        }
        if count < self.partitions.len() {
            let why = format!("the topic {} was made anew", self.topic);
            return Err(NotAssigned::Topic(why));
        }
        let known = self.partitions.len();
        let mut partitions = self.partitions.clone();
        for number in (known..count).filter_map(|number| i32::try_from(number).ok()) {
            let watermarks = self.consumer.fetch_watermarks(&self.topic, number, ASK);
            let (begin, end) = watermarks.map_err(broker)?;
            partitions.push(Partition {
                next: begin,
                goal: end,
                is_at_end: begin >= end,
                end,
            });
        }
        if partitions.len() == known {
            return Ok(());
        }
        let mut assignment = TopicPartitionList::new();
        for (number, partition) in (0..).zip(&partitions) {
            let offset = Offset::Offset(partition.next);
            assignment
                .add_partition_offset(&self.topic, number, offset)
                .map_err(broker)?;
        }
        self.consumer.assign(&assignment).map_err(broker)?;
        self.partitions = partitions;
        Ok(())
    }

    /// Waits for a record, and takes all that are there.
    fn turn(&mut self) -> Result<(), Over> {
        let Loader { consumer, .. } = self;
        let polled = consumer.poll(Duration::from_millis(200));
        let (partition, offset, key, value, headers) = match polled {
            None => return Ok(()),
            Some(Ok(record)) => {
                // The reader may have to wait for the registry, and the record is librdkafka's.
                let headers = record.headers().map_or_else(Vec::new, |headers| {
                    let owned = |header: rdkafka::message::Header<'_, &[u8]>| {
                        (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
                    };
                    headers.iter().map(owned).collect()
                });
                (
                    record.partition(),
                    record.offset(),
                    record.key().map(<[u8]>::to_vec),
                    record.payload().map(<[u8]>::to_vec),
                    headers,
                )
            }
            Some(Err(KafkaError::PartitionEOF(number))) => {
                if let Some(partition) = self.partition(number) {
                    partition.is_at_end = true;
                }
                return Ok(());
            }
            Some(Err(error)) => return self.failed(&error),
        };
        self.take(
            (partition, offset),
            key.as_deref(),
            value.as_deref(),
            &headers,
        )?;
        if let Some(partition) = self.partition(partition) {
            partition.next = offset + 1;
            partition.is_at_end = false;
        }
        Ok(())
    }

    fn failed(&mut self, error: &KafkaError) -> Result<(), Over> {
        match error.rdkafka_error_code() {
            Some(
                code @ (RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicOrPartition),
            ) => Err(Over::Anew(format!("the topic {}: {code}", self.topic))),
            // Whatever else it is may pass: the client goes on by itself. The lag shows that it does not.
            _ => {
                self.warn(&error.to_string());
                Ok(())
            }
        }
    }

    /// Puts one record into the table. Waits as long as the registry cannot be asked for its schema.
    fn take(
        &mut self,
        (partition, offset): (i32, i64),
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(String, Option<Vec<u8>>)],
    ) -> Result<(), Over> {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect();
        let place = format!("{}-{partition}@{offset}", self.topic);
        let raw = key.unwrap_or_default();
        let name = match key {
            None => Err("the record has no key".to_owned()),
            Some(key) => loop {
                match self.reader.key(key, &headers) {
                    Ok(name) => break Ok(name),
                    Err(Unread::Never(why) | Unread::Unknown(why)) => break Err(why),
                    Err(Unread::NotNow(why)) => self.wait(&why)?,
                }
            },
        };
        let name = match name {
            Ok(name) => name,
            Err(why) => {
                // Without a key there is none that a later tombstone could have.
                self.shared
                    .change(|rows| rows.unreadable(raw, value.is_some() || key.is_none()));
                self.after(value.is_some().then(|| format!("{place}: {why}")));
                return Ok(());
            }
        };
        let row = match value {
            None => None,
            Some(value) => Some(loop {
                match self.reader.value(value, &headers) {
                    Ok(bytes) => break Row::Value(bytes),
                    Err(Unread::Never(why)) => break Row::Broken(why, None),
                    Err(Unread::Unknown(why)) => {
                        // A frame in a header is not part of the value, so it could not be tried again.
                        let is_framed = value.first() == Some(&0);
                        break Row::Broken(why, is_framed.then(|| value.into()));
                    }
                    Err(Unread::NotNow(why)) => self.wait(&why)?,
                }
            }),
        };
        let broken = match &row {
            Some(Row::Broken(why, _)) => Some(format!("{place}: {why}")),
            _ => None,
        };
        self.shared.change(|rows| {
            rows.unreadable(raw, false);
            rows.put(&name, row);
        });
        self.after(broken);
        Ok(())
    }

    /// Tells what a change has left.
    fn after(&mut self, broken: Option<String>) {
        if let Some(what) = broken {
            self.metrics.unreadable_seen();
            tracing::warn!(
                table = self.name,
                "a record of the table cannot be read: {what}"
            );
        }
        let phase = self.shared.change(|rows| {
            rows.tell(&self.metrics);
            rows.phase.clone()
        });
        if phase == Phase::TooLarge {
            let why = "it is larger than its `max`; raise it and start again";
            self.tell_unready(why);
            self.warn(why);
        }
    }

    fn is_loaded(&mut self) {
        self.shared.set_phase(Phase::Loaded);
        let (phase, rows) = self
            .shared
            .change(|rows| (rows.phase.clone(), rows.by_key.len()));
        if phase == Phase::Loaded {
            self.told = None;
            tracing::info!(
                table = self.name,
                topic = self.topic,
                rows,
                "the table is loaded"
            );
            self.health
                .dependency(Dependency::Table(self.name.clone()), Ok(()));
        }
        self.metrics.loaded(phase == Phase::Loaded);
    }

    /// Partitions that are new.
    fn grow(&mut self) -> Result<(), String> {
        match self.assign() {
            // Whatever is new waits until the broker can be asked again.
            Err(NotAssigned::Broker(why)) => {
                self.warn(&why);
                Ok(())
            }
            Err(NotAssigned::Topic(why)) => Err(why),
            Ok(()) => Ok(()),
        }
    }

    /// Lag.
    fn look(&mut self, is_loaded: bool) {
        let (mut lag, mut total) = (0, 0);
        for (number, partition) in (0..).zip(&mut self.partitions) {
            let watermarks = self.consumer.fetch_watermarks(&self.topic, number, ASK);
            let Ok((_, end)) = watermarks else {
                // Nobody knows how far behind it is: the last lag stands.
                return;
            };
            // Past the last record only control markers may stand, which nobody is given.
            lag += match partition.is_at_end {
                true => end - partition.end,
                false => end - partition.next,
            };
            partition.end = end;
            total += end;
        }
        self.metrics.lag(lag);
        if !is_loaded {
            let what = format!("{lag} of {total} offsets of topic {} are left", self.topic);
            self.tell_unready(&what);
            self.shared.set_phase(Phase::Loading(what));
        }
    }

    /// Tries the values again whose schema the registry did not know: it may have been late.
    fn try_unknown(&mut self) {
        let waiting: Vec<(Box<str>, Box<[u8]>)> = self.shared.change(|rows| {
            let rows = rows.by_key.iter().filter_map(|(key, row)| match row {
                Row::Broken(_, Some(bytes)) => Some((key.clone(), bytes.clone())),
                _ => None,
            });
            rows.collect()
        });
        for (key, bytes) in waiting {
            let row = match self.reader.value(&bytes, &[]) {
                Ok(bytes) => Row::Value(bytes),
                Err(Unread::Never(why)) => Row::Broken(why, None),
                Err(Unread::Unknown(_) | Unread::NotNow(_)) => continue,
            };
            self.shared.change(|rows| rows.put(&key, Some(row)));
            self.after(None);
        }
    }

    /// Before the same record is tried again.
    fn wait(&mut self, why: &str) -> Result<(), Over> {
        if self.end.is_cancelled() {
            return Err(Over::End);
        }
        let what = format!("it waits for the registry: {why}");
        self.warn(&what);
        let is_loaded = self.shared.change(|rows| rows.phase == Phase::Loaded);
        if !is_loaded {
            self.tell_unready(&what);
            self.shared.set_phase(Phase::Loading(what));
        }
        self.pause();
        Ok(())
    }

    fn pause(&self) {
        let until = Instant::now() + AGAIN;
        while Instant::now() < until && !self.end.is_cancelled() {
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn partition(&mut self, number: i32) -> Option<&mut Partition> {
        self.partitions.get_mut(usize::try_from(number).ok()?)
    }

    fn tell_unready(&self, why: &str) {
        let why = format!("the table is not loaded: {why}");
        self.metrics.loaded(false);
        self.health
            .dependency(Dependency::Table(self.name.clone()), Err(why));
    }

    /// Once for each thing that is wrong, not once a second.
    fn warn(&mut self, what: &str) {
        if self.told.as_deref() != Some(what) {
            self.told = Some(what.to_owned());
            tracing::warn!(table = self.name, topic = self.topic, "{what}");
        }
    }
}
