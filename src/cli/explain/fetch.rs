//! One record out of a topic. Commits nothing and joins no group.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use super::Refusal;
use crate::config::model::Kafka;
pub(super) use crate::dlq::read::Owned;
use crate::ingest::properties;
use crate::quiet::{Quiet, UNSEEN, cluster};
use crate::words::counted;

/// How long the broker may take for one question.
const ASK: Duration = Duration::from_secs(10);

/// A record that is there.
#[derive(Debug)]
pub(super) enum Found {
    /// Pipelines read it.
    Committed(Owned),
    /// Its transaction is open or was aborted.
    NotCommitted(Owned),
}

/// What stands at the offset, or first after it.
enum Next {
    Here(Owned),
    Later(i64),
    End,
}

/// Reads the record at an offset.
pub(super) fn fetch(
    kafka: &Kafka,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Found, Refusal> {
    let place = format!("{topic}-{partition}@{offset}");
    let (low, high) = watermarks(kafka, topic, partition)?;
    if offset < low {
        let text = format!(
            "{place} is gone: the partition begins at offset {low} (retention has removed what was before)"
        );
        return Err(Refusal::NotThere(text));
    }
    if offset >= high {
        let text = match high {
            0 => format!("{place} is not written yet: the partition is empty"),
            _ => format!("{place} is not written yet: the partition ends before offset {high}"),
        };
        return Err(Refusal::NotThere(text));
    }
    let after = match next(kafka, topic, partition, offset, "read_committed")? {
        Next::Here(owned) => return Ok(Found::Committed(owned)),
        after => after,
    };
    if let Next::Here(owned) = next(kafka, topic, partition, offset, "read_uncommitted")? {
        return Ok(Found::NotCommitted(owned));
    }
    let next = match after {
        Next::Later(later) => format!("the next record is at offset {later}"),
        _ => "no record follows".to_owned(),
    };
    let text = format!(
        "there is no record at {place}: compaction removed it, or it is a transaction's marker; {next}"
    );
    Err(Refusal::NotThere(text))
}

fn client(kafka: &Kafka, isolation: &str) -> Result<BaseConsumer<Quiet>, Refusal> {
    let mut config = ClientConfig::new();
    for (name, value) in properties::admin(kafka) {
        config.set(name, value);
    }
    config
        .set("client.id", "driftgate-explain")
        // librdkafka wants a name; with an assignment of our own and no commit, no broker hears of it.
        .set("group.id", "driftgate-explain")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("allow.auto.create.topics", "false")
        .set("isolation.level", isolation);
    config
        .create_with_context(Quiet::default())
        .map_err(|error| Refusal::CouldNotRun(format!("Kafka client: {error}")))
}

fn watermarks(kafka: &Kafka, topic: &str, partition: i32) -> Result<(i64, i64), Refusal> {
    let consumer = client(kafka, "read_uncommitted")?;
    let could_not = |error: KafkaError| Refusal::CouldNotRun(format!("broker: {error}"));
    let metadata =
        cluster(&consumer, &kafka.bootstrap_servers, ASK).map_err(Refusal::CouldNotRun)?;
    let known = metadata.topics().iter().find(|found| found.name() == topic);
    let Some(known) = known else {
        return Err(Refusal::Usage(format!(
            "there is no topic {topic}, {UNSEEN}"
        )));
    };
    let count = known.partitions().len();
    if !known
        .partitions()
        .iter()
        .any(|found| found.id() == partition)
    {
        let text = format!(
            "topic {topic} has {}, counted from 0: there is no {partition}",
            counted(count, "partition")
        );
        return Err(Refusal::Usage(text));
    }
    consumer
        .fetch_watermarks(topic, partition, ASK)
        .map_err(could_not)
}

fn next(
    kafka: &Kafka,
    topic: &str,
    partition: i32,
    offset: i64,
    isolation: &str,
) -> Result<Next, Refusal> {
    let consumer = client(kafka, isolation)?;
    let could_not = |error: KafkaError| Refusal::CouldNotRun(format!("broker: {error}"));
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(topic, partition, Offset::Offset(offset))
        .and_then(|()| consumer.assign(&assignment))
        .map_err(could_not)?;
    let deadline = Instant::now() + ASK;
    let mut last = None;
    while Instant::now() < deadline {
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) if message.offset() < offset => {}
            Some(Ok(message)) if message.offset() > offset => {
                return Ok(Next::Later(message.offset()));
            }
            Some(Ok(message)) => return Ok(Next::Here(Owned::of(&message))),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Next::End),
            Some(Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
            ))) => {
                return Ok(Next::End);
            }
            Some(Err(
                error @ KafkaError::MessageConsumption(
                    RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::SaslAuthenticationFailed,
                ),
            )) => return Err(could_not(error)),
            // A broker that is away may come back within the time.
            Some(Err(error)) => last = Some(error),
        }
    }
    let why = last.map_or("no answer".to_owned(), |error| error.to_string());
    let text = format!("broker: {topic}-{partition}@{offset} could not be read in {ASK:?}: {why}");
    Err(Refusal::CouldNotRun(text))
}
