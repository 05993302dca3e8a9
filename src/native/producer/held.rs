//! Records that are in no hurry: they wait for others like them, so that one request takes many.
//!
//! A retry or a dead letter goes to a partition that few records go to. One at a time, each would be a request of its own to a
//! broker, which costs as much as a request with a thousand records: one failing record in a hundred took a quarter more
//! of the processor for all the others. librdkafka waits for `linger.ms` alike on every partition, and the outputs should not
//! wait longer than that.
//!
//! A transactional producer holds nothing: its `linger.ms` is as long, and what waited here as well would all be left for the
//! commit, which the worker waits for.
//!
//! In: what [`Producer::send`] was given with [`Produce::patient`]. Out: the same to librdkafka, in its order. To the caller
//! it looks as if the broker had taken longer to answer.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;

use super::{Delivery, Headers, Message, Produce, Producer};

/// How long the first one waits at most.
const WAIT: Duration = Duration::from_millis(50);
/// A record that may take more than this does not wait, in bytes.
const LARGE: usize = 16 * 1024;
/// When this much waits, it has waited long enough, in bytes.
const ENOUGH: usize = 1024 * 1024;

/// What waits.
pub(super) struct Held {
    records: VecDeque<Record>,
    /// What it comes to, in bytes.
    bytes: usize,
    /// When the first one came.
    since: Option<Instant>,
    /// Whether anything waits here at all.
    is_used: bool,
    /// The largest record that may wait: librdkafka has to say at once of one that is too large for the producer.
    largest: usize,
}

struct Record {
    /// Lives as long as the producer, which owns this too.
    topic: *mut sys::rd_kafka_topic_t,
    partition: Option<i32>,
    timestamp: Option<i64>,
    key: Option<usize>,
    value: Option<usize>,
    /// Key and value.
    bytes: Vec<u8>,
    headers: Option<Headers>,
    token: usize,
    kept: usize,
}

impl Held {
    pub(super) fn new(properties: &BTreeMap<String, String>) -> Held {
        let most = properties.get("message.max.bytes");
        let most = most.and_then(|most| most.parse::<usize>().ok());
        Held {
            records: VecDeque::new(),
            bytes: 0,
            since: None,
            is_used: !properties.contains_key("transactional.id"),
            largest: most.unwrap_or(1000).min(LARGE),
        }
    }
}

impl Producer {
    /// Takes a record that may wait. `false`: it does not, and what waits in front of it has been sent.
    pub(super) fn hold(
        &mut self,
        topic: *mut sys::rd_kafka_topic_t,
        record: &Produce<'_>,
        token: usize,
    ) -> Result<bool, RDKafkaErrorCode> {
        if !self.held.is_used {
            return Ok(false);
        }
        let kept = record.kept();
        if kept > self.held.largest {
            return match self.release() {
                true => Ok(false),
                false => Err(RDKafkaErrorCode::QueueFull),
            };
        }
        let [key, value] = [record.key, record.value].map(Option::unwrap_or_default);
        self.held.records.push_back(Record {
            topic,
            partition: record.partition,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::len),
            value: record.value.map(<[u8]>::len),
            bytes: [key, value].concat(),
            headers: Headers::new(record.headers),
            token,
            kept,
        });
        self.held.bytes += kept;
        self.held.since.get_or_insert_with(Instant::now);
        Ok(true)
    }

    /// How long what waits may go on to; `None` if nothing does.
    pub(super) fn may_hold(&self) -> Option<Duration> {
        let left = WAIT.saturating_sub(self.held.since?.elapsed());
        let is_enough = self.held.bytes >= ENOUGH;
        Some(if is_enough { Duration::ZERO } else { left })
    }

    /// Sends what waits. One that librdkafka does not take is reported with its error. `false`: its queue is full, and some still
    /// wait.
    pub(super) fn release(&mut self) -> bool {
        while let Some(mut record) = self.held.records.pop_front() {
            let (key, value) = record.bytes.split_at(record.key.unwrap_or(0));
            let message = Message {
                topic: record.topic,
                partition: record.partition,
                timestamp: record.timestamp,
                key: record.key.map(|_| key),
                value: record.value.map(|_| value),
            };
            match self.queue(&message, &mut record.headers, record.token) {
                Err(RDKafkaErrorCode::QueueFull) => {
                    self.held.records.push_front(record);
                    return false;
                }
                Ok(()) => {}
                Err(code) => self.shared.deliveries.borrow_mut().push(Delivery {
                    token: record.token,
                    error: Some(code),
                    offset: -1,
                }),
            }
            self.held.bytes -= record.kept;
        }
        self.held.since = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn producer(more: &[(&str, &str)]) -> Producer {
        let properties = [("bootstrap.servers", "127.0.0.1:1"), ("linger.ms", "0")];
        let properties = properties.iter().chain(more);
        let properties = properties.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Producer::new(&properties.collect()).expect("a producer")
    }

    fn send(producer: &mut Producer, size: usize, token: usize) -> Result<(), RDKafkaErrorCode> {
        let value = vec![7; size];
        let record = Produce {
            topic: "orders.retry.1",
            partition: Some(0),
            value: Some(&value),
            headers: &[("driftgate.attempt", Some(b"1"))],
            patient: true,
            ..Produce::default()
        };
        producer.send(&record, token)
    }

    fn queued(producer: &Producer) -> i32 {
        // SAFETY: the handle is live; callbacks as in `Producer::poll`. What the client has to say counts too, so it is heard
        // first.
        unsafe {
            sys::rd_kafka_poll(producer.handle.rk, 0);
            sys::rd_kafka_outq_len(producer.handle.rk)
        }
    }

    #[test]
    fn small_ones_wait_and_go_in_their_order_before_a_large_one() {
        let mut producer = producer(&[("message.max.bytes", "100000")]);
        let mut out = Vec::new();
        for token in 0..3 {
            send(&mut producer, 100, token).expect("room");
        }
        producer.poll(Duration::ZERO, &mut out);
        assert_eq!((producer.held.records.len(), queued(&producer)), (3, 0));
        send(&mut producer, 20_000, 3).expect("room");
        assert_eq!((producer.held.records.len(), queued(&producer)), (0, 4));
        assert_eq!(
            send(&mut producer, 200_000, 4),
            Err(RDKafkaErrorCode::MessageSizeTooLarge)
        );
        send(&mut producer, 100, 5).expect("room");
        producer.flush(Duration::ZERO, &mut out);
        assert_eq!((producer.held.records.len(), queued(&producer)), (0, 5));
        assert_eq!(out, []);
    }

    #[test]
    fn they_go_when_their_time_is_over_and_when_they_are_enough() {
        let mut producer = producer(&[("message.max.bytes", "100000")]);
        let mut out = Vec::new();
        send(&mut producer, 100, 0).expect("room");
        let begin = Instant::now();
        while queued(&producer) == 0 {
            assert!(begin.elapsed() < Duration::from_secs(20), "still waits");
            producer.poll(Duration::from_millis(1), &mut out);
        }
        assert!(
            begin.elapsed() >= WAIT - Duration::from_millis(5),
            "did not wait"
        );
        let mut token = 1;
        while producer.held.bytes < ENOUGH {
            send(&mut producer, 10_000, token).expect("room");
            token += 1;
        }
        producer.poll(Duration::ZERO, &mut out);
        assert_eq!(producer.held.bytes, 0);
        assert_eq!(queued(&producer), i32::try_from(token).expect("small"));
    }

    #[test]
    fn a_full_queue_keeps_them_waiting() {
        let mut producer = producer(&[
            ("message.max.bytes", "100000"),
            ("queue.buffering.max.messages", "2"),
        ]);
        for token in 0..4 {
            send(&mut producer, 100, token).expect("it waits here");
        }
        assert!(!producer.release());
        assert_eq!((producer.held.records.len(), queued(&producer)), (2, 2));
        assert_eq!(
            send(&mut producer, 50_000, 4),
            Err(RDKafkaErrorCode::QueueFull)
        );
    }

    #[test]
    fn nothing_waits_that_goes_into_a_transaction() {
        let mut producer = producer(&[("transactional.id", "t"), ("message.max.bytes", "100000")]);
        let refused = send(&mut producer, 100, 0);
        assert!(refused.is_err(), "it is asked of librdkafka: none is open");
        assert_eq!(
            (producer.held.records.len(), producer.may_hold()),
            (0, None)
        );
    }
}
