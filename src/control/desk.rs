//! What commands and the admin API do: find what is paused, by what the group has committed, and write orders. Each call
//! makes its clients anew, for it is made by hand and seldom. Blocks.

use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

use super::follow::PARTITION;
use super::order::{Action, Order, Subject};
use crate::config::model::{Config, Kafka, Pipeline, named};
use crate::ingest::properties;
use crate::ingest::standing::{Cause, Standing};
use crate::native::producer::{Produce, Producer};
use crate::quiet::{Quiet, UNSEEN, cluster, committed, why};

/// How long the broker may take for one question.
const ASK: Duration = Duration::from_secs(10);
/// How long it may take to acknowledge orders.
const WRITE: Duration = Duration::from_secs(20);

/// The cause of a pause for values, as it is told.
const VALUES: &str = "values";

/// Why an order was not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeskError {
    /// There is no such pipeline, topic or partition.
    #[error("{0}")]
    Unknown(String),
    /// The broker could not be asked, or did not take the order.
    #[error("{0}")]
    Broker(String),
}

/// What an order is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The pipeline.
    pub pipeline: String,
    /// A source topic, with `partition`; all partitions of all topics without.
    #[serde(default)]
    pub topic: Option<String>,
    /// One of its partitions.
    #[serde(default)]
    pub partition: Option<i32>,
    /// Who asks.
    #[serde(default)]
    pub by: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// A pause that stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// Topic: a source topic, or for drift one of its retry topics.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// `breaker`, `quarantine`, `operator`, `drift` or `values`.
    pub cause: &'static str,
    /// The writer schema that halted, or whose values did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_id: Option<u32>,
    /// When it began, milliseconds since the epoch.
    pub since: i64,
    /// The source topic.
    #[serde(skip)]
    pub source: String,
}

/// What the group's commits say of a target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pauses {
    /// What stands, by topic and partition.
    pub paused: Vec<Paused>,
    /// Source partitions that the group has committed for and no operator has paused: those whose owner has yet to obey a
    /// pause.
    pub running: Vec<(String, i32)>,
}

/// Finds pauses and gives orders, for the pipelines of a configuration.
#[derive(Debug, Clone)]
pub struct Desk {
    kafka: Kafka,
    pipelines: Vec<Pipeline>,
}

impl Desk {
    /// For the pipelines of a configuration.
    pub fn new(config: &Config) -> Desk {
        Desk {
            kafka: config.kafka.clone(),
            pipelines: config.pipelines.clone(),
        }
    }

    fn pipeline(&self, target: &Target) -> Result<&Pipeline, DeskError> {
        let pipeline = named(&self.pipelines, &target.pipeline).map_err(DeskError::Unknown)?;
        match (&target.topic, target.partition) {
            (None, None) => Ok(pipeline),
            (Some(topic), Some(_)) if pipeline.source_topics.contains(topic) => Ok(pipeline),
            (Some(topic), Some(_)) => Err(DeskError::Unknown(format!(
                "{topic} is no source topic of {}; those are {}",
                pipeline.name,
                pipeline.source_topics.join(", ")
            ))),
            _ => Err(DeskError::Unknown(
                "a topic and a partition go together".to_owned(),
            )),
        }
    }

    /// The pauses that stand, by what the group has committed last.
    pub fn pauses(&self, target: &Target) -> Result<Pauses, DeskError> {
        let pipeline = self.pipeline(target)?;
        let consumer = self.consumer(pipeline)?;
        let counts = partitions(&consumer, &self.kafka.bootstrap_servers)?;
        check_partition(target, &counts)?;
        let mut asked = TopicPartitionList::new();
        let mut sources = Vec::new();
        for source in &pipeline.source_topics {
            if target.topic.as_ref().is_some_and(|topic| topic != source) {
                continue;
            }
            let retries =
                (1..=pipeline.failure.tiers.len()).map(|tier| pipeline.retry_topic(source, tier));
            let former = pipeline.former_retry_topics(source).map(|(_, topic)| topic);
            for topic in std::iter::once(source.clone()).chain(retries).chain(former) {
                let count = counts.iter().find(|(name, _)| *name == topic);
                for number in 0..count.map_or(0, |(_, count)| *count) {
                    if target.partition.is_none_or(|partition| partition == number) {
                        asked.add_partition(&topic, number);
                    }
                }
                sources.push((topic, source.clone()));
            }
        }
        let answer = committed(&consumer, &asked, ASK).map_err(|error| {
            let why = why(&consumer, &error);
            DeskError::Broker(format!(
                "the offsets of the group {} could not be read: {why}",
                pipeline.group
            ))
        })?;
        let mut pauses = Pauses::default();
        for element in answer.elements() {
            let Offset::Offset(_) = element.offset() else {
                continue;
            };
            let (topic, partition) = (element.topic().to_owned(), element.partition());
            let source = sources.iter().find(|(name, _)| *name == topic);
            let source = source.map_or_else(String::new, |(_, source)| source.clone());
            let standing = Standing::of_metadata(element.metadata());
            let obeys = standing.iter().any(|one| one.cause == Cause::Operator);
            if topic == source && !obeys {
                pauses.running.push((topic.clone(), partition));
            }
            let standing = standing.into_iter().filter(|one| one.cause.is_pause());
            pauses.paused.extend(standing.map(|one| Paused {
                topic: topic.clone(),
                partition,
                cause: one.cause.as_str(),
                schema_id: match one.cause {
                    Cause::Drift { schema_id } => Some(schema_id),
                    Cause::Values(values) => Some(values.schema_id),
                    _ => None,
                },
                since: one.since,
                source: source.clone(),
            }));
        }
        pauses.paused.sort_by(|one, other| {
            (&one.topic, one.partition, one.since).cmp(&(
                &other.topic,
                other.partition,
                other.since,
            ))
        });
        Ok(pauses)
    }

    /// Asks every instance to take no more records of the target.
    pub fn pause(&self, target: &Target) -> Result<(), DeskError> {
        let pipeline = self.pipeline(target)?;
        check_partition(target, &self.partitions(pipeline)?)?;
        let order = order(target, Action::Pause, None);
        self.write(pipeline, &[(subject(target), order)])
    }

    /// Lifts the pauses of the target that stand now, and accepts the writer schemas that halted it. What it found.
    pub fn resume(&self, target: &Target) -> Result<Pauses, DeskError> {
        let pipeline = self.pipeline(target)?;
        let found = self.pauses(target)?;
        // First what lifts the operator's pauses, then an answer to each pause of a breaker. Where one partition is asked
        // for the two share a key, so that its only order has to be both.
        let mut orders = vec![(subject(target), order(target, Action::Resume, None))];
        for paused in &found.paused {
            let name = pipeline.name.clone();
            match paused.schema_id {
                Some(id) if paused.cause != VALUES => {
                    let subject = Subject::Schema(name, paused.source.clone(), id);
                    orders.push((subject, order(target, Action::Accept, None)));
                }
                None if paused.cause == Cause::Operator.as_str() => {}
                // The newest pause of a partition comes last; who answers it has seen those before it.
                _ => {
                    let subject = Subject::Partition(name, paused.topic.clone(), paused.partition);
                    let answer = order(target, Action::Resume, Some(paused.since));
                    orders.retain(|(other, _)| *other != subject);
                    orders.push((subject, answer));
                }
            }
        }
        self.write(pipeline, &orders)?;
        Ok(found)
    }

    fn consumer(&self, pipeline: &Pipeline) -> Result<BaseConsumer<Quiet>, DeskError> {
        let mut config = ClientConfig::new();
        for (name, value) in properties::reader(&self.kafka, pipeline) {
            config.set(name, value);
        }
        config.set("client.id", "driftgate-control");
        config
            .create_with_context(Quiet::default())
            .map_err(|error| DeskError::Broker(format!("Kafka client: {error}")))
    }

    fn partitions(&self, pipeline: &Pipeline) -> Result<Vec<(String, i32)>, DeskError> {
        partitions(&self.consumer(pipeline)?, &self.kafka.bootstrap_servers)
    }

    fn write(&self, pipeline: &Pipeline, orders: &[(Subject, Order)]) -> Result<(), DeskError> {
        let topic = pipeline.control_topic();
        let counts = self.partitions(pipeline)?;
        if !counts.iter().any(|(name, _)| *name == topic) {
            return Err(DeskError::Unknown(format!(
                "there is no topic {topic}, {UNSEEN}: `driftgate run` creates it, or whoever creates topics here (one partition, \
                 cleanup.policy=compact)"
            )));
        }
        let failed = |error: String| DeskError::Broker(format!("{topic}: {error}"));
        let properties =
            properties::plain_producer(&self.kafka, "driftgate-control", 1 << 20, 1 << 20);
        let mut producer = Producer::new(&properties).map_err(|error| failed(error.to_string()))?;
        for (token, (subject, order)) in orders.iter().enumerate() {
            let (key, value) = (subject.to_key(), order.to_value());
            let produce = Produce {
                topic: &topic,
                partition: Some(PARTITION),
                timestamp: Some(order.at),
                key: Some(key.as_bytes()),
                value: Some(&value),
                headers: &[],
                patient: false,
            };
            let sent = producer.send(&produce, token);
            sent.map_err(|code| failed(code.to_string()))?;
        }
        let until = Instant::now() + WRITE;
        let (mut deliveries, mut acknowledged) = (Vec::new(), 0);
        while acknowledged < orders.len() {
            producer.flush(Duration::from_millis(100), &mut deliveries);
            for delivery in deliveries.drain(..) {
                match delivery.error {
                    None => acknowledged += 1,
                    Some(code) => return Err(failed(format!("not written: {code}"))),
                }
            }
            if acknowledged < orders.len() && Instant::now() >= until {
                producer.purge();
                return Err(failed("not acknowledged in time".to_owned()));
            }
        }
        Ok(())
    }
}

fn subject(target: &Target) -> Subject {
    let pipeline = target.pipeline.clone();
    match (&target.topic, target.partition) {
        (Some(topic), Some(number)) => Subject::Partition(pipeline, topic.clone(), number),
        _ => Subject::Pipeline(pipeline),
    }
}

fn order(target: &Target, action: Action, answers: Option<i64>) -> Order {
    Order {
        action,
        answers,
        by: target.by.clone(),
        at: now(),
        reason: target.reason.clone(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an order says when it was given; it is made by hand, and no record's fate hangs on it"
)]
fn now() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Every topic of the cluster with its partitions.
fn partitions(
    consumer: &BaseConsumer<Quiet>,
    servers: &str,
) -> Result<Vec<(String, i32)>, DeskError> {
    let metadata = cluster(consumer, servers, ASK).map_err(DeskError::Broker)?;
    let topics = metadata.topics().iter();
    let topics = topics.filter(|topic| topic.error().is_none());
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let counted = topics.map(|topic| (topic.name().to_owned(), count(topic.partitions().len())));
    Ok(counted.collect())
}

fn check_partition(target: &Target, counts: &[(String, i32)]) -> Result<(), DeskError> {
    let (Some(topic), Some(number)) = (&target.topic, target.partition) else {
        return Ok(());
    };
    let count = counts.iter().find(|(name, _)| name == topic);
    match count.map_or(0, |(_, count)| *count) {
        0 => Err(DeskError::Unknown(format!(
            "there is no topic {topic}, {UNSEEN}"
        ))),
        count if !(0..count).contains(&number) => Err(DeskError::Unknown(format!(
            "{topic} has no partition {number}: they are 0 to {}",
            count - 1
        ))),
        _ => Ok(()),
    }
}
