//! Dead letters → retry topics. Input: a dead letter with its new headers. Output: each one's fate, once a broker has
//! said it. What is refused for its size in a batch is sent once more alone, since a batch is refused whole.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use super::decide::OwnHeader;
use super::read::Owned;
use crate::error::FatalError;
use crate::ingest::properties::Properties;
use crate::native::producer::{Delivery, Produce, Producer};
use crate::produce::send::{Pace, Rate};

/// Bytes that may be on their way at once.
const FLYING: usize = 16 * 1024 * 1024;
/// What a record takes besides its bytes.
const FRAME: usize = 512;

/// A dead letter on its way back.
#[derive(Debug)]
pub struct Flight {
    /// As it was read.
    pub letter: Owned,
    /// The retry topic.
    pub topic: String,
    /// The partition there.
    pub partition: i32,
    /// The headers that it goes with.
    pub headers: Vec<OwnHeader>,
    alone: bool,
}

impl Flight {
    /// One that has not been sent yet.
    pub fn new(letter: Owned, topic: String, partition: i32, headers: Vec<OwnHeader>) -> Flight {
        Flight {
            letter,
            topic,
            partition,
            headers,
            alone: false,
        }
    }

    fn size(&self) -> usize {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.len() + length(value))
            .sum();
        FRAME + headers + length(&self.letter.key) + length(&self.letter.value)
    }
}

/// What became of one.
#[derive(Debug)]
pub enum Landed {
    /// Acknowledged.
    Sent(Flight),
    /// The topic does not take its size.
    TooLarge(Flight),
}

/// Sends, and waits for answers.
pub struct Sender {
    producer: Producer,
    pace: Option<Pace>,
    deliveries: Vec<Delivery>,
    flying: HashMap<usize, Flight>,
    bytes: usize,
    next: usize,
    suspects: VecDeque<Flight>,
    landed: Vec<Landed>,
    failed: Option<String>,
}

impl Sender {
    /// Makes the client; does not connect.
    pub fn new(properties: &Properties, rate: Option<Rate>) -> Result<Sender, FatalError> {
        Ok(Sender {
            producer: Producer::new(properties)?,
            pace: rate.map(|rate| Pace::new(rate, Instant::now())),
            deliveries: Vec::new(),
            flying: HashMap::new(),
            bytes: 0,
            next: 0,
            suspects: VecDeque::new(),
            landed: Vec::new(),
            failed: None,
        })
    }

    /// How long the next one has to wait, for the rate or for room. Meanwhile, [`Self::collect`].
    pub fn wait(&self) -> Option<Duration> {
        const MOMENT: Duration = Duration::from_millis(50);
        if self.bytes >= FLYING || !self.suspects.is_empty() {
            return Some(MOMENT);
        }
        let wait = self.pace.as_ref()?.wait(Instant::now())?;
        Some(wait.min(MOMENT))
    }

    /// Sends one, after [`Self::wait`].
    pub fn send(&mut self, flight: Flight) {
        if let Some(pace) = &mut self.pace {
            pace.sent(Instant::now());
        }
        self.hand_over(flight);
    }

    fn hand_over(&mut self, flight: Flight) {
        let token = self.next;
        let headers = flight.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect();
        let produce = Produce {
            topic: &flight.topic,
            partition: Some(flight.partition),
            timestamp: flight.letter.timestamp,
            key: flight.letter.key.as_deref(),
            value: flight.letter.value.as_deref(),
            headers: &headers,
            patient: false,
        };
        match self.producer.send(&produce, token) {
            Ok(()) => {
                self.next += 1;
                self.bytes += flight.size();
                self.flying.insert(token, flight);
            }
            Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                self.landed.push(Landed::TooLarge(flight));
            }
            // The client's queue is larger than what may fly: it has room once what flies has landed.
            Err(RDKafkaErrorCode::QueueFull) => self.suspects.push_back(flight),
            Err(code) => {
                self.fail(&flight.topic, code);
                self.suspects.push_back(flight);
            }
        }
    }

    fn fail(&mut self, topic: &str, code: RDKafkaErrorCode) {
        self.failed
            .get_or_insert_with(|| format!("{topic}: not acknowledged: {code}"));
    }

    /// Waits up to `wait` for answers.
    pub fn collect(&mut self, wait: Duration) -> Vec<Landed> {
        if self.flying.is_empty()
            && self.failed.is_none()
            && let Some(mut flight) = self.suspects.pop_front()
        {
            flight.alone = true;
            self.hand_over(flight);
        }
        match self.suspects.is_empty() {
            true => self.producer.poll(wait, &mut self.deliveries),
            // Nothing is added to what flies: no use in waiting for more of a batch.
            false => self.producer.flush(wait, &mut self.deliveries),
        }
        self.answers();
        std::mem::take(&mut self.landed)
    }

    /// As [`Self::collect`], where nothing more is to come.
    pub fn finish(&mut self, wait: Duration) -> Vec<Landed> {
        if self.suspects.is_empty() {
            self.producer.flush(wait, &mut self.deliveries);
        }
        self.collect(wait)
    }

    fn answers(&mut self) {
        for delivery in std::mem::take(&mut self.deliveries) {
            let Some(flight) = self.flying.remove(&delivery.token) else {
                continue;
            };
            self.bytes -= flight.size();
            match delivery.error {
                None => self.landed.push(Landed::Sent(flight)),
                Some(
                    RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize,
                ) => match flight.alone {
                    true => self.landed.push(Landed::TooLarge(flight)),
                    false => self.suspects.push_back(flight),
                },
                Some(code) => {
                    self.fail(&flight.topic, code);
                    self.suspects.push_back(flight);
                }
            }
        }
    }

    /// How many have no answer.
    pub fn open(&self) -> usize {
        self.flying.len() + self.suspects.len()
    }

    /// Why nothing more can be sent, if so.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// What the client last said about brokers and connections, if anything.
    pub fn last_error(&mut self) -> Option<String> {
        let error = self.producer.take_errors().pop()?;
        Some(error.message)
    }

    /// Gives up what has no answer. Whether a broker has it, nobody knows: it is sent again by the next run.
    pub fn abandon(&mut self) {
        self.producer.purge();
    }
}
