//! Reads what is in retry partitions, from where the group stands to their ends, and what is remembered, when they are
//! assigned. Output: key, place and due time of each record, and blocks of what was seen. A consumer without a group on a thread of its own, for as long as that takes;
//! commits nothing, and does not know what is made of it.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::ports::{Event, Found, Reading, Survey};
use crate::ingest::properties::Properties;
use crate::native::consumer::{Entry, OFFSET_BEGINNING};
use crate::quiet::Quiet;
use crate::record::Record;
use crate::state::block::{self, MOST};
use crate::state::disk::manifest::Anchor;

/// How long the broker is asked for one thing.
const ASK: Duration = Duration::from_secs(10);
/// How long nothing may come before the reading has failed.
const SILENCE: Duration = Duration::from_secs(30);
/// How often it is asked whether an open transaction has ended.
const AGAIN: Duration = Duration::from_millis(100);
/// Records that are handed on together.
const CHUNK: usize = 1000;
/// Events that wait for the worker.
const WAITING: usize = 64;
/// Readings at a time. Each has two clients with threads and connections of their own, and a rebalance may bring hundreds
/// of partitions.
const AT_A_TIME: usize = 4;

/// Leave to read, for so many at a time.
#[derive(Default)]
struct Turns {
    taken: Mutex<usize>,
    given_back: Condvar,
}

/// One leave.
struct Turn<'a>(&'a Turns);

impl Turns {
    fn take(&self) -> Turn<'_> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self
            .given_back
            .wait_while(taken, |taken| *taken >= AT_A_TIME);
        *taken.unwrap_or_else(PoisonError::into_inner) += 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.given_back.notify_one();
    }
}

/// Reads with the client's properties.
pub(super) struct Reader {
    properties: Properties,
    send: SyncSender<Event>,
    receive: Receiver<Event>,
    turns: Arc<Turns>,
}

impl Reader {
    pub(super) fn new(properties: &Properties) -> Reader {
        let (send, receive) = sync_channel(WAITING);
        Reader {
            properties: properties.clone(),
            send,
            receive,
            turns: Arc::default(),
        }
    }
}

impl Survey for Reader {
    fn begin(&mut self, reading: Reading) {
        let (properties, send) = (self.properties.clone(), self.send.clone());
        let ticket = reading.ticket;
        let task = Task { reading, send };
        let turns = Arc::clone(&self.turns);
        let spawned = std::thread::Builder::new()
            .name("survey".into())
            .spawn(move || {
                let _turn = turns.take();
                task.run(&properties);
            });
        if let Err(error) = spawned {
            let why = format!("no thread to read it: {error}");
            // A full queue is one that other readings fill: they are told again.
            drop(self.send.try_send(Event::Failed { ticket, why }));
        }
    }

    fn poll(&mut self) -> Vec<Event> {
        self.receive.try_iter().collect()
    }
}

/// The worker has ended.
struct Gone;

struct Task {
    reading: Reading,
    send: SyncSender<Event>,
}

/// What is read of which partition.
#[derive(Debug, Clone, Copy)]
enum What {
    /// The retries of a tier.
    Tier(usize),
    /// What is remembered.
    State,
}

/// What was read and not handed on yet.
#[derive(Default)]
struct Heard {
    found: Vec<Found>,
    state: Vec<(i64, block::Found)>,
    /// Keys in the blocks.
    keys: usize,
    /// Offsets of the partition that are to be read yet.
    left: i64,
}

impl Task {
    fn run(self, properties: &Properties) {
        let ticket = self.reading.ticket;
        let last = match self.read(properties) {
            Ok(Ok(())) => Event::Done { ticket },
            Ok(Err(why)) => Event::Failed { ticket, why },
            Err(Gone) => return,
        };
        drop(self.send.send(last));
    }

    /// Reads the partitions to their ends, one after the other: the client does not say of which topic it has met the end.
    /// The inner error says what went wrong.
    fn read(&self, properties: &Properties) -> Result<Result<(), String>, Gone> {
        let goals = match self.goals(properties) {
            Ok(goals) => goals,
            Err(why) => return Ok(Err(why)),
        };
        if goals.is_empty() {
            return Ok(Ok(()));
        }
        let consumer = match config(properties)
            .create_with_context::<_, BaseConsumer<Quiet>>(Quiet::default())
        {
            Ok(consumer) => consumer,
            Err(error) => return Ok(Err(error.to_string())),
        };
        for (what, goal) in goals {
            if let Err(why) = self.read_one(&consumer, what, goal)? {
                let Entry {
                    topic, partition, ..
                } = self.entry(what);
                return Ok(Err(format!("{topic}-{partition}: {why}")));
            }
        }
        Ok(Ok(()))
    }

    fn entry(&self, what: What) -> &Entry {
        match (what, &self.reading.state) {
            (What::Tier(tier), _) => &self.reading.retries[tier],
            (What::State, Some(state)) => &state.entry,
            (What::State, None) => unreachable!("nobody has a goal for it"),
        }
    }

    /// Whether the block up to which the state topic is known is not where it was: then it has been compacted away, or this is
    /// another topic.
    fn is_adrift(&self, what: What, record: &BorrowedMessage<'_>) -> bool {
        let anchor = self.anchor(what);
        anchor.is_some_and(|anchor| {
            record.offset() != anchor.offset
                || record.key() != Some(&anchor.key[..])
                || record.payload().is_none()
        })
    }

    /// Up to which block of what is read it is known already.
    fn anchor(&self, what: What) -> Option<Anchor> {
        let state = self.reading.state.as_ref();
        let state = state.filter(|_| matches!(what, What::State));
        state?.anchor
    }

    fn read_one(
        &self,
        consumer: &BaseConsumer<Quiet>,
        what: What,
        goal: i64,
    ) -> Result<Result<(), String>, Gone> {
        let ticket = self.reading.ticket;
        let entry = self.entry(what);
        let mut heard = Instant::now();
        // Until every transaction before the goal is committed or aborted. Then the end that the client meets is behind it.
        loop {
            match consumer.fetch_watermarks(&entry.topic, entry.partition, ASK) {
                Ok((_, stable)) if stable >= goal => break,
                Ok(_) if heard.elapsed() < SILENCE => std::thread::park_timeout(AGAIN),
                Ok(_) => return Ok(Err("a transaction in it does not end".to_owned())),
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
        // The first record to come is the one that it is known up to, or all of it is read.
        let mut anchor = self.anchor(what);
        let from = anchor.map_or(entry.offset, |anchor| anchor.offset);
        let begins_anew = anchor.is_some_and(|anchor| goal <= anchor.offset);
        let from = if begins_anew { OFFSET_BEGINNING } else { from };
        if begins_anew {
            anchor = None;
            self.send.send(Event::Anew { ticket }).map_err(|_| Gone)?;
        }
        if let Err(error) = assign(consumer, entry, from) {
            return Ok(Err(error.to_string()));
        }
        heard = Instant::now();
        let mut heard_of = Heard::default();
        let mut last_error = None;
        loop {
            match consumer.poll(Duration::from_millis(200)) {
                Some(Ok(record)) => {
                    heard = Instant::now();
                    if anchor.take().is_some() {
                        if self.is_adrift(what, &record) {
                            self.send.send(Event::Anew { ticket }).map_err(|_| Gone)?;
                            if let Err(error) = assign(consumer, entry, OFFSET_BEGINNING) {
                                return Ok(Err(error.to_string()));
                            }
                        } else if record.offset() + 1 >= goal {
                            break;
                        }
                        continue;
                    }
                    heard_of.left = goal - record.offset() - 1;
                    if let Err(why) = self.hear(what, &record, &mut heard_of) {
                        return Ok(Err(format!("offset {}: {why}", record.offset())));
                    }
                    if record.offset() + 1 >= goal {
                        break;
                    }
                }
                // The block has gone, and with it whatever was behind it.
                Some(Err(KafkaError::PartitionEOF(_))) if anchor.take().is_some() => {
                    self.send.send(Event::Anew { ticket }).map_err(|_| Gone)?;
                    if let Err(error) = assign(consumer, entry, OFFSET_BEGINNING) {
                        return Ok(Err(error.to_string()));
                    }
                }
                // What is behind the last record are the marks of transactions.
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => last_error = Some(error.to_string()),
                None => {}
            }
            if heard_of.found.len() >= CHUNK || heard_of.keys >= MOST {
                self.hand_on(&mut heard_of)?;
            }
            if heard.elapsed() >= SILENCE {
                let why = last_error.unwrap_or_else(|| "the broker sends nothing".to_owned());
                return Ok(Err(why));
            }
        }
        self.hand_on(&mut heard_of)?;
        Ok(Ok(()))
    }

    fn hear(
        &self,
        what: What,
        record: &BorrowedMessage<'_>,
        heard: &mut Heard,
    ) -> Result<(), String> {
        match what {
            What::Tier(tier) => heard.found.push(self.found(tier, record)),
            What::State => {
                let found = block::Found::of(record.key(), record.payload())?;
                // A tombstone is not nothing, either.
                heard.keys += found.keys() + 1;
                heard.state.push((record.offset(), found));
            }
        }
        Ok(())
    }

    fn hand_on(&self, heard: &mut Heard) -> Result<(), Gone> {
        let ticket = self.reading.ticket;
        let Heard {
            found, state, left, ..
        } = std::mem::take(heard);
        let events = [
            (!found.is_empty()).then_some(Event::Found { ticket, found }),
            (!state.is_empty()).then_some(Event::State {
                ticket,
                found: state,
                left,
            }),
        ];
        for event in events.into_iter().flatten() {
            self.send.send(event).map_err(|_| Gone)?;
        }
        Ok(())
    }

    /// The ends to read to, by tier, of the partitions that have something to read. The ends of everything written, open
    /// transactions included: whether those are committed is known when the reading gets past them.
    fn goals(&self, properties: &Properties) -> Result<Vec<(What, i64)>, String> {
        let asking = config(properties)
            .set("isolation.level", "read_uncommitted")
            .create_with_context::<_, BaseConsumer<Quiet>>(Quiet::default())
            .map_err(|error| error.to_string())?;
        let mut goals = Vec::new();
        let tiers = (0..self.reading.retries.len()).map(What::Tier);
        let state = self.reading.state.as_ref();
        for what in tiers.chain(state.map(|_| What::State)) {
            let entry = self.entry(what);
            let (low, high) = asking
                .fetch_watermarks(&entry.topic, entry.partition, ASK)
                .map_err(|error| format!("{}-{}: {error}", entry.topic, entry.partition))?;
            let must_be = state.is_some_and(|state| state.must_be);
            if matches!(what, What::State) && must_be && high == 0 {
                return Err(format!(
                    "{}-{} is empty, although the group's commits say that there was something: the topic was deleted or made \
                     again, and copies of what was seen, or events older than the newest, would pass. Restore it, or say on_missing_state: begin_empty",
                    entry.topic, entry.partition
                ));
            }
            // A topic that ends before what is known of it is another one: that has to be told.
            if high > entry.offset.max(low) || self.anchor(what).is_some() {
                goals.push((what, high));
            }
        }
        Ok(goals)
    }

    fn found(&self, tier: usize, record: &BorrowedMessage<'_>) -> Found {
        let headers = record.headers();
        let headers = headers.map_or_else(Vec::new, |headers| {
            let pairs = headers.iter().map(|header| (header.key, header.value));
            pairs.collect()
        });
        let record = Record {
            topic: record.topic(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp: record.timestamp().to_millis(),
            key: record.key(),
            value: None,
            headers,
        };
        Found::of(tier, &record, &self.reading.source, self.reading.by)
    }
}

fn assign(consumer: &BaseConsumer<Quiet>, entry: &Entry, from: i64) -> Result<(), KafkaError> {
    let offset = match from {
        0.. => Offset::Offset(from),
        _ => Offset::Beginning,
    };
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(&entry.topic, entry.partition, offset)?;
    consumer.assign(&assignment)
}

fn config(properties: &Properties) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in properties {
        config.set(name, value);
    }
    config
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("enable.partition.eof", "true");
    config
}
