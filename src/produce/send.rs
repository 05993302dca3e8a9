//! Framed records → the broker. Input: key, timestamp and value of each record. Output: how many were acknowledged, and
//! why others were not. Everything sent is waited for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use crate::error::FatalError;
use crate::native::producer::{Delivery, Produce, Producer};

/// Deliveries are collected once per so many records.
const COLLECT_EVERY: u64 = 500;
/// One wait for the broker, so that an interruption is noticed between two.
const WAIT: Duration = Duration::from_millis(100);

/// Sends records to one topic.
pub struct Sender {
    producer: Producer,
    topic: String,
    deliveries: Vec<Delivery>,
    sent: u64,
    acknowledged: u64,
    failed: u64,
    first_failure: Option<Failed>,
    pace: Option<Pace>,
}

/// The first record that was not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// The line of its row.
    pub line: u64,
    /// What the broker, or the client in its place, said.
    pub code: RDKafkaErrorCode,
}

/// A record as it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The line of its row.
    pub line: u64,
    /// Key; `None` is Kafka's null.
    pub key: Option<&'a [u8]>,
    /// Milliseconds since the epoch; `None` is now.
    pub timestamp: Option<i64>,
    /// Framed value.
    pub value: &'a [u8],
}

impl Sender {
    /// Makes the client; does not connect.
    pub fn new(
        properties: &BTreeMap<String, String>,
        topic: &str,
        rate: Option<Rate>,
    ) -> Result<Sender, FatalError> {
        Ok(Sender {
            producer: Producer::new(properties)?,
            topic: topic.to_owned(),
            deliveries: Vec::new(),
            sent: 0,
            acknowledged: 0,
            failed: 0,
            first_failure: None,
            pace: rate.map(|rate| Pace::new(rate, Instant::now())),
        })
    }

    /// Sends a record, as soon as the rate and the client's queue allow it. An error is this record's own: it was not
    /// sent. `stop` is asked while it waits; when it says yes, the record is not sent either.
    pub fn send(
        &mut self,
        record: Outgoing<'_>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Sent, RDKafkaErrorCode> {
        while let Some(wait) = self
            .pace
            .as_ref()
            .and_then(|pace| pace.wait(Instant::now()))
        {
            if stop() {
                return Ok(Sent::Stopped);
            }
            self.collect(wait.min(WAIT));
        }
        let produce = Produce {
            topic: &self.topic,
            partition: None,
            timestamp: record.timestamp,
            key: record.key,
            value: Some(record.value),
            headers: &[],
            patient: false,
        };
        let token = usize::try_from(record.line).unwrap_or(usize::MAX);
        loop {
            match self.producer.send(&produce, token) {
                Ok(()) => break,
                Err(RDKafkaErrorCode::QueueFull) => {
                    if stop() || self.first_failure.is_some() {
                        return Ok(Sent::Stopped);
                    }
                    self.producer.poll(WAIT, &mut self.deliveries);
                    count(
                        &mut self.deliveries,
                        &mut self.acknowledged,
                        &mut self.failed,
                        &mut self.first_failure,
                    );
                }
                Err(code) => return Err(code),
            }
        }
        self.sent += 1;
        if let Some(pace) = &mut self.pace {
            pace.sent(Instant::now());
        }
        if self.sent.is_multiple_of(COLLECT_EVERY) {
            self.collect(Duration::ZERO);
        }
        Ok(Sent::Queued)
    }

    /// Whether everything sent is acknowledged or given up.
    pub fn finished(&self) -> bool {
        self.acknowledged + self.failed == self.sent
    }

    /// Waits a moment for what was sent.
    pub fn wait(&mut self) {
        self.producer.flush(WAIT, &mut self.deliveries);
        self.collect(Duration::ZERO);
    }

    /// Gives up what has not been acknowledged, which counts as failed: whether the broker has it, nobody knows.
    pub fn abandon(&mut self) {
        self.producer.purge();
    }

    /// How many records the broker has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// How many records were sent and given up.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// The first of them.
    pub fn first_failure(&self) -> Option<Failed> {
        self.first_failure
    }

    /// What the client last said about brokers and connections, if anything.
    pub fn last_error(&mut self) -> Option<String> {
        let error = self.producer.take_errors().pop()?;
        Some(error.message)
    }

    fn collect(&mut self, wait: Duration) {
        self.producer.poll(wait, &mut self.deliveries);
        count(
            &mut self.deliveries,
            &mut self.acknowledged,
            &mut self.failed,
            &mut self.first_failure,
        );
    }
}

/// What became of a record that was handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Queued,
    /// It was not sent: asked to stop, or an earlier one has failed.
    Stopped,
}

fn count(
    deliveries: &mut Vec<Delivery>,
    acknowledged: &mut u64,
    failed: &mut u64,
    first: &mut Option<Failed>,
) {
    for delivery in deliveries.drain(..) {
        let Some(code) = delivery.error else {
            *acknowledged += 1;
            continue;
        };
        *failed += 1;
        let line = delivery.token as u64;
        if first.is_none_or(|first| line < first.line) {
            *first = Some(Failed { line, code });
        }
    }
}

/// At most so many records in a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    every: Duration,
}

impl Rate {
    /// Parses `500/s`, `30/m`, `1000/h`; a plain number is per second.
    pub fn parse(text: &str) -> Result<Rate, String> {
        let wrong = || format!("{text:?} is no rate; write 500/s, 30/m or 1000/h");
        let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
        let unit = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        // A number that is none, or nought, gives no duration.
        let every = Duration::try_from_secs_f64(unit / number).map_err(|_| wrong())?;
        match number.is_finite() && number > 0.0 && every <= Duration::from_secs(86_400) {
            true => Ok(Rate { every }),
            false => Err(wrong()),
        }
    }
}

/// Holds a rate over time, not from one record to the next: waits shorter than a millisecond are added up.
#[derive(Debug)]
pub struct Pace {
    every: Duration,
    due: Instant,
}

impl Pace {
    /// What a slow moment may be caught up with.
    const BEHIND: Duration = Duration::from_secs(1);
    const SHORTEST: Duration = Duration::from_millis(1);

    /// A pace that begins now.
    pub fn new(rate: Rate, now: Instant) -> Pace {
        Pace {
            every: rate.every,
            due: now,
        }
    }

    /// How long the next record has to wait still.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let wait = self.due.saturating_duration_since(now);
        (wait >= Self::SHORTEST).then_some(wait)
    }

    /// One has been sent.
    pub fn sent(&mut self, now: Instant) {
        self.due += self.every;
        if now.saturating_duration_since(self.due) > Self::BEHIND {
            self.due = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_a_unit() {
        let check = |text: &str, millis: Option<u64>| {
            let found = Rate::parse(text).ok().map(|rate| rate.every);
            assert_eq!(found, millis.map(Duration::from_millis), "{text}");
        };
        check("500/s", Some(2));
        check("500", Some(2));
        check("0.5/s", Some(2_000));
        check("30/m", Some(2_000));
        check("3600/h", Some(1_000));
        for wrong in ["", "0", "-1/s", "x/s", "5/d", "5/", "inf", "NaN", "1e-12"] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_pace_holds_over_time() {
        let start = Instant::now();
        let mut pace = Pace::new(Rate::parse("10/s").expect("rate"), start);
        let mut now = start;
        for _ in 0..50 {
            if let Some(wait) = pace.wait(now) {
                now += wait;
            }
            pace.sent(now);
        }
        // The first of 50 goes at once.
        assert_eq!(now - start, Duration::from_millis(4_900));
        // Ten idle seconds are not made up for by a burst of a hundred.
        now += Duration::from_secs(10);
        let mut burst = 0;
        while pace.wait(now).is_none() {
            pace.sent(now);
            burst += 1;
        }
        assert!(burst <= 12, "{burst}");
    }

    #[test]
    fn deliveries_add_up() {
        let delivery = |token, error| Delivery {
            token,
            error,
            offset: -1,
        };
        let refused = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
        let mut deliveries = vec![
            delivery(9, refused),
            delivery(2, None),
            delivery(4, refused),
        ];
        let (mut acknowledged, mut failed, mut first) = (0, 0, None);
        count(&mut deliveries, &mut acknowledged, &mut failed, &mut first);
        assert_eq!((acknowledged, failed, deliveries.len()), (1, 2, 0));
        assert_eq!(first.map(|failed| failed.line), Some(4));
    }
}
