//! The passthrough as it is usually written with rdkafka: one `poll` and one `send` a record, callbacks served after each as
//! its documentation has it, everything else by default. It looks at nothing and is measured beside the job. What its delivery
//! promises is the job's: `acks=all`, idempotent; and so are linger and compression.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};

use super::contestant::{Ran, Stop, Task};
use super::measure::Window;
use crate::error::FatalError;

/// How often it is looked whether it goes on, in records: the measuring is not to be measured.
const LOOK: u64 = 1000;

/// Counts what was acknowledged.
#[derive(Default)]
struct Acknowledged {
    done: AtomicU64,
    failed: AtomicU64,
}

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _: ()) {
        match result {
            Ok(_) => self.done.fetch_add(1, Ordering::Relaxed),
            Err(_) => self.failed.fetch_add(1, Ordering::Relaxed),
        };
    }
}

fn failed(error: &KafkaError) -> FatalError {
    FatalError::Kafka(error.to_string())
}

/// Runs it.
pub fn run(task: &Task, stop: &Stop) -> Result<Ran, FatalError> {
    let mut client = ClientConfig::new();
    for (name, value) in task.client() {
        client.set(name, value);
    }
    let consumer: BaseConsumer = client
        .clone()
        .set("group.id", &task.group)
        .set("auto.offset.reset", "earliest")
        .create()
        .map_err(|error| failed(&error))?;
    let producer: BaseProducer<Acknowledged> = client
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("linger.ms", task.linger.to_string())
        .set("compression.type", "lz4")
        .create_with_context(Acknowledged::default())
        .map_err(|error| failed(&error))?;
    consumer
        .subscribe(&[&task.source])
        .map_err(|error| failed(&error))?;
    let mut window = Window::new();
    let mut sent = 0u64;
    while !stop.is_asked() && Some(sent) != task.records {
        match consumer.poll(Duration::from_millis(5)) {
            None => producer.poll(Duration::ZERO),
            Some(Err(error)) => tracing::debug!("{error}"),
            Some(Ok(record)) => {
                window.open();
                let mut copy = BaseRecord::to(&task.sink);
                copy.key = record.key();
                copy.payload = record.payload();
                while let Err((error, back)) = producer.send::<[u8], [u8]>(copy) {
                    if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                        return Err(failed(&error));
                    }
                    producer.poll(Duration::from_millis(10));
                    copy = back;
                }
                sent += 1;
                producer.poll(Duration::ZERO);
            }
        }
        if sent.is_multiple_of(LOOK) {
            through(&producer, &mut window, task)?;
        }
    }
    while producer.in_flight_count() > 0 {
        producer.poll(Duration::from_millis(1));
        through(&producer, &mut window, task)?;
    }
    through(&producer, &mut window, task)?;
    Ok(window.close(None))
}

fn through(
    producer: &BaseProducer<Acknowledged>,
    window: &mut Window,
    task: &Task,
) -> Result<(), FatalError> {
    let counts = producer.context();
    if counts.failed.load(Ordering::Relaxed) > 0 {
        return Err(FatalError::Kafka("a record was not acknowledged".into()));
    }
    window.through(counts.done.load(Ordering::Relaxed), task.records)
}
