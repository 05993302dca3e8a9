//! The best passthrough that librdkafka allows: records in batches, one produce call on a topic's handle each, callbacks
//! served once a batch. It looks at nothing either, and is what the job is measured against besides the naive one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::contestant::{Ran, Stop, Task};
use super::measure::Window;
use crate::error::FatalError;
use crate::native::ClientError;
use crate::native::consumer::{Client, Consumer, Entry, Rebalance};
use crate::native::passthrough;
use crate::native::producer::{Delivery, Producer};

/// Records of one call.
const BATCH: usize = 1000;
/// How long a record is waited for while acknowledgements are to come.
const WAIT: Duration = Duration::from_millis(5);

/// Takes what it is given.
struct Follow;

impl Rebalance for Follow {
    fn assign(&mut self, _: &Client<'_>, partitions: &[Entry]) -> Vec<Entry> {
        partitions.to_vec()
    }

    fn revoke(&mut self, _: &Client<'_>, partitions: &[Entry], _: bool) -> Vec<Entry> {
        partitions.to_vec()
    }
}

fn failed(error: ClientError) -> FatalError {
    FatalError::Kafka(error.message)
}

fn with(task: &Task, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut properties = task.client();
    for (name, value) in more {
        properties.insert((*name).to_owned(), (*value).to_owned());
    }
    properties
}

/// Runs it.
pub fn run(task: &Task, stop: &Stop) -> Result<Ran, FatalError> {
    let consumer = with(
        task,
        &[
            ("group.id", &task.group),
            ("auto.offset.reset", "earliest"),
            ("fetch.queue.backoff.ms", "1"),
            // What fits the processor's caches is cheaper to come back to: fewer records at hand, and smaller batches.
            ("queued.min.messages", "20000"),
            // What the handle answers rebalances by.
            ("partition.assignment.strategy", "cooperative-sticky"),
        ],
    );
    let linger = task.linger.to_string();
    let producer = with(
        task,
        &[
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("linger.ms", &linger),
            ("batch.size", "100000"),
            ("compression.type", "lz4"),
        ],
    );
    let topics = [task.source.clone()];
    let mut consumer = Consumer::subscribe(&consumer, &topics, BATCH)?;
    let mut producer = Producer::new(&producer)?;
    let mut window = Window::new();
    let mut deliveries: Vec<Delivery> = Vec::with_capacity(BATCH);
    let (mut sent, mut done) = (0, 0);
    while Some(done) != task.records && !(stop.is_asked() && done == sent) {
        let batch = consumer.poll(WAIT, &mut Follow);
        if !batch.is_empty() {
            window.open();
            let forwarded =
                passthrough::forward(&batch, &mut producer, &task.sink, &mut deliveries);
            sent += forwarded.map_err(failed)?;
        }
        drop(batch);
        producer.poll(Duration::ZERO, &mut deliveries);
        for delivery in deliveries.drain(..) {
            if let Some(code) = delivery.error {
                return Err(FatalError::Kafka(format!("not acknowledged: {code}")));
            }
            done += 1;
        }
        window.through(done, task.records)?;
    }
    let ran = window.close(None);
    consumer.close(&mut Follow, Duration::from_secs(5));
    Ok(ran)
}
