//! The input: the orders of a seed, written to a topic once, which every contestant then reads.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use super::Progress;
use super::order::Order;
use crate::error::FatalError;
use crate::native::producer::{Delivery, Produce, Producer};

/// Records between two looks at what was acknowledged.
const STEP: u64 = 1000;
/// How long nothing may be acknowledged.
const PATIENCE: u32 = 600;

/// Writes records to a topic.
pub struct Writer {
    producer: Producer,
    topic: String,
    deliveries: Vec<Delivery>,
    sent: u64,
    acknowledged: u64,
}

impl Writer {
    /// For a topic.
    pub fn new(
        client: &BTreeMap<String, String>,
        topic: &str,
        linger: u64,
    ) -> Result<Writer, FatalError> {
        let mut properties = client.clone();
        for (name, value) in [
            ("acks", "all".to_owned()),
            ("enable.idempotence", "true".to_owned()),
            ("linger.ms", linger.to_string()),
            ("compression.type", "lz4".to_owned()),
            ("partitioner", "murmur2_random".to_owned()),
        ] {
            properties.insert(name.to_owned(), value);
        }
        Ok(Writer {
            producer: Producer::new(&properties)?,
            topic: topic.to_owned(),
            deliveries: Vec::new(),
            sent: 0,
            acknowledged: 0,
        })
    }

    /// Queues an order.
    pub fn send(&mut self, order: &Order, schema: u32) -> Result<(), FatalError> {
        let topic = self.topic.clone();
        self.send_bytes(&topic, &order.key(), &order.value(schema))
    }

    /// Queues any record, for any topic.
    pub fn send_bytes(&mut self, topic: &str, key: &str, value: &[u8]) -> Result<(), FatalError> {
        let mut waited = 0;
        loop {
            let record = Produce {
                topic,
                key: Some(key.as_bytes()),
                value: Some(value),
                ..Produce::default()
            };
            match self.producer.send(&record, 0) {
                Ok(()) => break,
                Err(RDKafkaErrorCode::QueueFull) if waited < PATIENCE => {
                    waited = self.wait(waited)?;
                }
                Err(code) => return Err(FatalError::Kafka(format!("{topic}: {code}"))),
            }
        }
        self.sent += 1;
        Ok(())
    }

    /// Waits a little. How often in a row that was in vain.
    fn wait(&mut self, waited: u32) -> Result<u32, FatalError> {
        let before = self.acknowledged;
        self.serve(Duration::from_millis(100))?;
        Ok(if self.acknowledged > before {
            0
        } else {
            waited + 1
        })
    }

    /// Serves the client for up to `wait`.
    pub fn serve(&mut self, wait: Duration) -> Result<(), FatalError> {
        self.producer.poll(wait, &mut self.deliveries);
        for delivery in self.deliveries.drain(..) {
            if let Some(code) = delivery.error {
                return Err(FatalError::Kafka(format!("{}: {code}", self.topic)));
            }
            self.acknowledged += 1;
        }
        Ok(())
    }

    /// Waits until all is acknowledged.
    pub fn finish(mut self) -> Result<(), FatalError> {
        let mut waited = 0;
        while self.acknowledged < self.sent {
            waited = self.wait(waited)?;
            if waited > PATIENCE {
                let text = format!("{}: the input is not acknowledged", self.topic);
                return Err(FatalError::Kafka(text));
            }
        }
        Ok(())
    }
}

/// Writes the orders of a seed.
pub fn write(
    client: &BTreeMap<String, String>,
    topic: &str,
    (seed, records): (u64, u64),
    schema: u32,
    progress: &mut dyn Progress,
) -> Result<(), FatalError> {
    let mut writer = Writer::new(client, topic, 20)?;
    progress.part("writing the input", records);
    for number in 0..records {
        writer.send(&Order::new(seed, number), schema)?;
        if number % STEP == STEP - 1 {
            writer.serve(Duration::ZERO)?;
            progress.done(STEP);
        }
    }
    writer.finish()
}
