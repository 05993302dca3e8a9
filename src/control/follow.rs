//! The reader of an instance: follows the control topics of its pipelines, each on a thread of its own, with a consumer that
//! is in no group and commits nothing. Output: [`Controls`]. Workers start when all that was there has been read, so that
//! a pause that an operator asked for holds across restarts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::order::{Order, Subject};
use super::state::Controls;
use crate::beside::Beside;
use crate::config::model::{Kafka, Pipeline};
use crate::error::FatalError;
use crate::ingest::properties;
use crate::quiet::Quiet;

/// Orders stand in this partition, whatever others the topic may have: their sequence is what counts.
pub(super) const PARTITION: i32 = 0;
/// How late the end may be noticed. An order ends the wait.
const POLL: Duration = Duration::from_millis(250);
/// How long the broker is asked for one thing.
const ASK: Duration = Duration::from_secs(3);
/// How long to wait before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Told once, when the reader has reached the end that the topic had, or can never read it.
pub type Loaded = oneshot::Receiver<Result<(), FatalError>>;

/// Begins to follow the control topic of a pipeline, which exists.
pub(crate) fn start(
    kafka: &Kafka,
    pipeline: &Pipeline,
    controls: Arc<Controls>,
    beside: &mut Beside,
) -> Result<Loaded, FatalError> {
    let topic = pipeline.control_topic();
    let (tell, loaded) = oneshot::channel();
    let mut config = ClientConfig::new();
    for (name, value) in properties::reader(kafka, pipeline) {
        config.set(name, value);
    }
    config
        .set("client.id", format!("driftgate-{}-control", pipeline.name))
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer<Quiet> = config
        .create_with_context(Quiet::default())
        .map_err(|error| FatalError::Start(format!("control topic {topic}: {error}")))?;
    let name = format!("{}-control", pipeline.name);
    let mut reader = Reader {
        topic,
        consumer,
        controls,
        loaded: Some(tell),
        end: None,
        told: None,
    };
    beside.spawn(name, move |end| reader.run(end))?;
    Ok(loaded)
}

struct Reader {
    topic: String,
    consumer: BaseConsumer<Quiet>,
    controls: Arc<Controls>,
    loaded: Option<oneshot::Sender<Result<(), FatalError>>>,
    /// Where the topic ended when it was assigned, if that is known.
    end: Option<i64>,
    /// What the log was told last.
    told: Option<String>,
}

impl Reader {
    fn run(&mut self, end: &CancellationToken) {
        let mut is_assigned = false;
        while !end.is_cancelled() {
            if !is_assigned && let Err(error) = self.assign() {
                self.warn(&error.to_string());
                pause(end);
                continue;
            }
            is_assigned = true;
            match self.turn() {
                Ok(()) => {}
                Err(error) => is_assigned = self.failed(&error, end),
            }
        }
    }

    /// From the beginning: the topic is compacted, so that is all there is to know.
    ///
    /// Where that is, is asked here. librdkafka would ask too, and before it knows the partition's leader it asks again only
    /// after half a second; and it tells of an end only when a fetch has waited for records, for another half.
    fn assign(&mut self) -> Result<(), KafkaError> {
        let ends = self.consumer.fetch_watermarks(&self.topic, PARTITION, ASK);
        let (first, end) = match ends {
            Ok((low, high)) => (Offset::Offset(low), Some((low, high))),
            // The reader tells why, when it meets that too.
            Err(error) => {
                tracing::debug!(topic = self.topic, "its end is not known yet: {error}");
                (Offset::Beginning, None)
            }
        };
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, PARTITION, first)?;
        self.consumer.assign(&assignment)?;
        self.end = end.map(|(_, end)| end);
        if end.is_some_and(|(low, high)| low >= high) {
            self.reached();
        }
        Ok(())
    }

    /// All that was there has been read.
    fn reached(&mut self) {
        self.told = None;
        self.tell(Ok(()));
    }

    fn turn(&mut self) -> Result<(), KafkaError> {
        let Some(polled) = self.consumer.poll(POLL) else {
            return Ok(());
        };
        match polled {
            Ok(record) => {
                let offset = record.offset();
                let (key, value) = (record.key(), record.payload());
                let subject = key
                    .and_then(|key| std::str::from_utf8(key).ok())
                    .and_then(Subject::of_key);
                let read = match (subject, value.map(Order::of_value)) {
                    (None, _) => Err("its key is no subject of ours".to_owned()),
                    (Some(subject), None) => Ok((subject, None)),
                    (Some(subject), Some(order)) => order.map(|order| (subject, Some(order))),
                };
                match read {
                    Ok((subject, order)) => self.controls.apply(offset, subject, order),
                    Err(why) => tracing::warn!(
                        topic = self.topic,
                        offset,
                        "a record of the control topic is passed over: {why}"
                    ),
                }
                if self.end.is_some_and(|end| offset + 1 >= end) {
                    self.reached();
                }
            }
            // Also where the last offsets have no records any more.
            Err(KafkaError::PartitionEOF(_)) => self.reached(),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether the assignment is still good.
    fn failed(&mut self, error: &KafkaError, end: &CancellationToken) -> bool {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::GroupAuthorizationFailed) {
            // Nothing is asked of the group here. Its workers tell that they are refused.
            return true;
        }
        let is_refused = code == Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        if is_refused && self.loaded.is_some() {
            // Without it nobody knows whether an operator has paused the pipeline.
            self.tell(Err(FatalError::Kafka(format!(
                "{}: {error}: a pipeline needs Read on its control topic",
                self.topic
            ))));
        }
        self.warn(&error.to_string());
        let is_gone = matches!(
            code,
            Some(
                RDKafkaErrorCode::AutoOffsetReset
                    | RDKafkaErrorCode::OffsetOutOfRange
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownPartition
                    | RDKafkaErrorCode::UnknownTopicOrPartition
            )
        );
        if is_gone {
            self.controls.begin_anew();
            pause(end);
        }
        !is_gone
    }

    fn tell(&mut self, result: Result<(), FatalError>) {
        if let Some(loaded) = self.loaded.take() {
            // Nobody listens any more where the instance was told to end meanwhile.
            drop(loaded.send(result));
        }
    }

    /// Once for each thing that is wrong, not once a second.
    fn warn(&mut self, what: &str) {
        if self.told.as_deref() != Some(what) {
            self.told = Some(what.to_owned());
            tracing::warn!(topic = self.topic, "the control topic: {what}");
        }
    }
}

fn pause(end: &CancellationToken) {
    let until = Instant::now() + AGAIN;
    while Instant::now() < until && !end.is_cancelled() {
        std::thread::park_timeout(Duration::from_millis(50));
    }
}
