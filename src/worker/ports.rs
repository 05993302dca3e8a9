//! What a worker needs from outside, as traits: the group's consumer, a producer, the pipeline's stages and the time. In an
//! instance they are librdkafka's handles, [`Stages`] and the system's clocks; a simulation puts a log in memory and a
//! virtual clock in their place. Nothing else of the outside reaches the worker's logic.

use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use super::Clock;
use super::engine::{Engine, Taken};
use crate::config::model;
use crate::config::model::OrderBy;
use crate::error::FatalError;
use crate::failure::envelope::{Origin, Stamp};
use crate::failure::parking::{Control, Key};
use crate::ingest::offsets;
use crate::metrics::PartitionMetrics;
use crate::native::ClientError;
use crate::native::consumer::{Batch, Client, Consumer, Entry, Item};
use crate::native::producer::{Delivery, Produce, Producer};
use crate::native::transaction::{Member, TransactionError};
use crate::pipeline::{Again, Edition, Sink, Stages, Verdict, Watch, Work};
use crate::record::Record;
use crate::state::block;
use crate::state::digest::Digest;
use crate::state::disk::manifest::Anchor;

/// A record that waits for the answers to its questions: its index in the batch and its place in the books.
pub(super) type Waiting = Work<(usize, Taken)>;

/// The calls on a consumer that may be made at any time, within a rebalance too.
pub(super) trait Positions {
    /// Committed offsets, with their metadata; `OFFSET_INVALID` where there is none.
    fn committed(
        &self,
        partitions: &[(String, i32)],
        timeout: Duration,
    ) -> Result<Vec<Entry>, RDKafkaErrorCode>;
    /// Commits. With `wait` the answer is waited for that long; without it comes to [`Intake::take_commits`].
    fn commit(&self, entries: &[Entry], wait: Option<Duration>) -> Result<(), RDKafkaErrorCode>;
    /// Whether a broker answers within `timeout`.
    fn reachable(&self, timeout: Duration) -> bool;
    /// Whether a topic exists; `None` without an answer within `timeout`.
    fn has_topic(&self, topic: &str, timeout: Duration) -> Option<bool>;
    /// Stops fetching the partitions; what was fetched and not returned is thrown away.
    fn pause(&self, partitions: &[Entry]) -> Result<(), RDKafkaErrorCode>;
    /// Fetches the partitions again.
    fn resume(&self, partitions: &[Entry]) -> Result<(), RDKafkaErrorCode>;
    /// Moves the position of the partitions to the entries' offsets.
    fn seek(&self, partitions: &[Entry], timeout: Duration) -> Result<(), ClientError>;
    /// Begins anew at the entries' offsets with partitions that are no longer read, where a seek is refused with `State`.
    fn restart(&self, partitions: &[Entry]) -> Result<(), ClientError>;
    /// Low and high watermark, asked of the broker; `None` without an answer within `timeout`.
    fn range(&self, topic: &str, partition: i32, timeout: Duration) -> Option<(i64, i64)>;
    /// Low and high watermark as last seen in a fetch; `None` before the first one.
    fn watermarks(&self, topic: &str, partition: i32) -> Option<(i64, i64)>;
    /// Where the partition is read next, past what is handed to nobody: markers of transactions. `None` if unknown.
    fn position(&self, topic: &str, partition: i32) -> Option<i64>;
    /// Whether it is a member of its group.
    fn joined(&self) -> bool;
    /// Its membership, for [`Transactions::send_offsets`]; `None` while it has none, or its assignment is lost.
    fn member(&self) -> Option<Member>;
}

/// The records of one poll, borrowed from whoever fetched them.
pub(super) trait Records {
    /// How many entries there are.
    fn len(&self) -> usize;
    /// The entry at `index`.
    fn get(&self, index: usize) -> Item<'_>;
}

/// What a worker does with the records of a poll.
pub(super) type Act<'a> = dyn FnMut(&mut Engine, &dyn Records, &dyn Positions) + 'a;

/// A consumer that hands out batches. Rebalances are told to the engine inside [`Self::poll`].
pub(super) trait Intake: Positions {
    /// Waits up to `timeout` for a first record, and hands what is there to `act`, which is called once, also with nothing.
    fn poll(&mut self, timeout: Duration, engine: &mut Engine, act: &mut Act<'_>);
    /// Errors of the client since the last call.
    fn take_errors(&mut self) -> Vec<ClientError>;
    /// Answers to commits since the last call.
    fn take_commits(&mut self) -> Vec<(Option<RDKafkaErrorCode>, Vec<Entry>)>;
}

/// The transactions of a producer. What is sent between [`Self::begin`] and [`Self::commit`] is seen by a reader of
/// committed records as a whole, together with the offsets, or not at all.
pub(super) trait Transactions {
    /// Makes this producer the only one with its id; what another left open is aborted.
    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError>;
    /// Begins a transaction. Asks nobody.
    fn begin(&mut self) -> Result<(), TransactionError>;
    /// Adds offsets to the transaction.
    fn send_offsets(
        &mut self,
        entries: &[Entry],
        member: &Member,
        timeout: Duration,
    ) -> Result<(), TransactionError>;
    /// Commits. After `Then::Again` nothing else than this may be called, until it has an answer.
    fn commit(
        &mut self,
        timeout: Duration,
        out: &mut Vec<Delivery>,
    ) -> Result<(), TransactionError>;
    /// Aborts, and gives up what is queued. After `Then::Again` nothing else than this may be called.
    fn abort(&mut self, timeout: Duration, out: &mut Vec<Delivery>)
    -> Result<(), TransactionError>;
    /// Why the open transaction can only be aborted, if it is known that it can. Asks nobody.
    fn failure(&mut self) -> Option<TransactionError>;
    /// A new producer with the same id in the place of one that has met its end; [`Self::init`] comes next.
    fn renew(&mut self) -> Result<(), FatalError>;
}

/// A producer.
pub(super) trait Outlet: Transactions + Send {
    /// Queues a record. Its [`Delivery`] carries `token`.
    fn send(&mut self, record: &Produce<'_>, token: usize) -> Result<(), RDKafkaErrorCode>;
    /// Serves callbacks for up to `timeout` and moves the delivery reports into `out`.
    fn poll(&mut self, timeout: Duration, out: &mut Vec<Delivery>);
    /// The same, and what waits for its linger time is sent now.
    fn flush(&mut self, timeout: Duration, out: &mut Vec<Delivery>);
    /// The error that ended the producer, if one did.
    fn fatal_error(&self) -> Option<ClientError>;
    /// Errors of the client since the last call.
    fn take_errors(&mut self) -> Vec<ClientError>;
}

/// What a record in a retry partition tells about the order per key.
#[derive(Debug, Clone)]
pub(super) struct Found {
    /// Tier, counted from 0.
    pub(super) tier: usize,
    /// Its key; `None` for one that is in no order.
    pub(super) key: Option<Key>,
    /// Its offset in the source.
    pub(super) offset: i64,
    /// When it is due, milliseconds since the epoch.
    pub(super) due: i64,
    /// What it says, if it is no record of the source.
    pub(super) control: Option<Control>,
}

impl Found {
    /// Of a record of a retry topic of `source`, in an order by `by`.
    pub(super) fn of(tier: usize, record: &Record<'_>, source: &str, by: OrderBy) -> Found {
        let origin = Origin::of_retry(record, source);
        let is_ours =
            origin.is_placed && *origin.topic == *source && origin.partition == record.partition;
        let key = || match by {
            OrderBy::Key => Key::of(record.key),
            OrderBy::Digest => origin.digest.map(|digest| Key(digest.short())),
        };
        Found {
            tier,
            key: is_ours.then(key).flatten(),
            offset: origin.offset,
            due: origin.due_at,
            control: origin.control,
        }
    }
}

/// What a [`Survey`] tells.
#[derive(Debug)]
pub(super) enum Event {
    /// Records were found.
    Found {
        /// Of which reading.
        ticket: u64,
        /// In the order of each partition.
        found: Vec<Found>,
    },
    /// Records of the state topic.
    State {
        /// Of which reading.
        ticket: u64,
        /// In their order, with their offsets.
        found: Vec<(i64, block::Found)>,
        /// How many offsets are to be read yet.
        left: i64,
    },
    /// The state topic has not what was on disk of it: all of it is read, from its beginning.
    Anew {
        /// Of which reading.
        ticket: u64,
    },
    /// Everything has been found.
    Done {
        /// Of which reading.
        ticket: u64,
    },
    /// The reading has ended before that.
    Failed {
        /// Which reading.
        ticket: u64,
        /// Why.
        why: String,
    },
}

impl Event {
    pub(super) fn ticket(&self) -> u64 {
        match self {
            Event::Found { ticket, .. }
            | Event::State { ticket, .. }
            | Event::Anew { ticket }
            | Event::Done { ticket }
            | Event::Failed { ticket, .. } => *ticket,
        }
    }
}

/// What is to be read of a source partition before anything of it is taken.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// Tells it from others.
    pub(super) ticket: u64,
    /// The source topic.
    pub(super) source: String,
    /// Its retry partitions, in the order of their tiers, with where to begin; a negative offset is the beginning.
    pub(super) retries: Vec<Entry>,
    /// What is one key in retry.
    pub(super) by: OrderBy,
    /// What is remembered, if anything is.
    pub(super) state: Option<StateReading>,
}

/// A partition of a state topic, to be read as a whole, or from where it is known.
#[derive(Debug, Clone)]
pub(super) struct StateReading {
    /// Topic and partition.
    pub(super) entry: Entry,
    /// The block up to which it is known. Where it is not in its place, all of it is read.
    pub(super) anchor: Option<Anchor>,
    /// Whether there must be something: an empty one has been deleted.
    pub(super) must_be: bool,
}

/// Reads what is in retry and state partitions, beside the consumer and without blocking it.
pub(super) trait Survey: Send {
    /// Begins to read partitions to where they end now. What an open transaction has written counts too, once that is
    /// committed. The answers carry the ticket.
    fn begin(&mut self, reading: Reading);
    /// What was found since the last call.
    fn poll(&mut self) -> Vec<Event>;
}

/// What says what becomes of a record.
pub(super) trait Judge: Send {
    /// The pipeline's configuration.
    fn config(&self) -> &model::Pipeline;
    /// What every failed record of the pipeline carries.
    fn stamp(&self) -> &Stamp;
    /// Where outputs go.
    fn sinks(&self) -> &[Sink];
    /// Runs a record of the source topic `source`, or a retry of one, up to its verdict or to questions.
    fn process(
        &mut self,
        source: &str,
        record: &Record<'_>,
        metrics: Option<&PartitionMetrics>,
    ) -> Verdict;
    /// With `dedup`: what copies of the record that was run last are known by, if it came so far as to tell.
    fn digest(&self) -> Option<Digest> {
        None
    }
    /// With `stale`: of which version of what it is, if it came so far as to tell.
    fn edition(&self) -> Option<Edition> {
        None
    }
    /// Asks the questions, and runs their records on to a verdict.
    fn look_up(
        &mut self,
        work: &mut [Waiting],
        record: &mut dyn FnMut(&(usize, Taken), &mut Again<'_>),
    );
    /// A turn begins.
    fn turn(&mut self, now: Instant) {
        let _nothing_to_do = now;
    }
    /// Whether the records that are processed from now on are delivered for the first time.
    fn only_new(&mut self, is_new: bool) {
        let _not_asked = is_new;
    }
    /// What is known of values, beside their baseline.
    fn watch(&self) -> Option<&Watch> {
        None
    }
    /// The group has changed.
    fn rebalanced(&self, slot: usize);
    /// Takes the memory of an output back that was handed on.
    fn reuse(&mut self, value: Vec<u8>) {
        drop(value);
    }
}

/// The time.
pub(super) trait Time: Send {
    /// Now.
    fn read(&self) -> Clock;
}

/// The system's clocks.
pub(super) struct System;

impl Time for System {
    fn read(&self) -> Clock {
        Clock::read()
    }
}

impl Positions for Client<'_> {
    fn committed(
        &self,
        partitions: &[(String, i32)],
        timeout: Duration,
    ) -> Result<Vec<Entry>, RDKafkaErrorCode> {
        Client::committed(self, partitions, timeout)
    }

    fn commit(&self, entries: &[Entry], wait: Option<Duration>) -> Result<(), RDKafkaErrorCode> {
        offsets::commit(self, entries, wait)
    }

    fn reachable(&self, timeout: Duration) -> bool {
        Client::reachable(self, timeout)
    }

    fn has_topic(&self, topic: &str, timeout: Duration) -> Option<bool> {
        Client::has_topic(self, topic, timeout)
    }

    fn pause(&self, partitions: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        Client::pause(self, partitions)
    }

    fn resume(&self, partitions: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        Client::resume(self, partitions)
    }

    fn seek(&self, partitions: &[Entry], timeout: Duration) -> Result<(), ClientError> {
        Client::seek(self, partitions, timeout)
    }

    fn restart(&self, partitions: &[Entry]) -> Result<(), ClientError> {
        Client::restart(self, partitions)
    }

    fn range(&self, topic: &str, partition: i32, timeout: Duration) -> Option<(i64, i64)> {
        Client::range(self, topic, partition, timeout)
    }

    fn watermarks(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        Client::watermarks(self, topic, partition)
    }

    fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        Client::position(self, topic, partition)
    }

    fn joined(&self) -> bool {
        !self.member_id().is_empty()
    }

    fn member(&self) -> Option<Member> {
        Client::member(self)
    }
}

impl Positions for Consumer {
    fn committed(
        &self,
        partitions: &[(String, i32)],
        timeout: Duration,
    ) -> Result<Vec<Entry>, RDKafkaErrorCode> {
        self.client().committed(partitions, timeout)
    }

    fn commit(&self, entries: &[Entry], wait: Option<Duration>) -> Result<(), RDKafkaErrorCode> {
        offsets::commit(&self.client(), entries, wait)
    }

    fn reachable(&self, timeout: Duration) -> bool {
        self.client().reachable(timeout)
    }

    fn has_topic(&self, topic: &str, timeout: Duration) -> Option<bool> {
        self.client().has_topic(topic, timeout)
    }

    fn pause(&self, partitions: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        self.client().pause(partitions)
    }

    fn resume(&self, partitions: &[Entry]) -> Result<(), RDKafkaErrorCode> {
        self.client().resume(partitions)
    }

    fn seek(&self, partitions: &[Entry], timeout: Duration) -> Result<(), ClientError> {
        self.client().seek(partitions, timeout)
    }

    fn restart(&self, partitions: &[Entry]) -> Result<(), ClientError> {
        self.client().restart(partitions)
    }

    fn range(&self, topic: &str, partition: i32, timeout: Duration) -> Option<(i64, i64)> {
        self.client().range(topic, partition, timeout)
    }

    fn watermarks(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        self.client().watermarks(topic, partition)
    }

    fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        self.client().position(topic, partition)
    }

    fn joined(&self) -> bool {
        self.client().joined()
    }

    fn member(&self) -> Option<Member> {
        self.client().member()
    }
}

impl Records for Batch<'_> {
    fn len(&self) -> usize {
        Batch::len(self)
    }

    fn get(&self, index: usize) -> Item<'_> {
        Batch::get(self, index)
    }
}

impl Intake for Consumer {
    fn poll(&mut self, timeout: Duration, engine: &mut Engine, act: &mut Act<'_>) {
        let batch = Consumer::poll(self, timeout, engine);
        act(engine, &batch, &batch.client);
    }

    fn take_errors(&mut self) -> Vec<ClientError> {
        Consumer::take_errors(self)
    }

    fn take_commits(&mut self) -> Vec<(Option<RDKafkaErrorCode>, Vec<Entry>)> {
        Consumer::take_commits(self)
    }
}

impl Transactions for Producer {
    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.init_transactions(timeout)
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        self.begin_transaction()
    }

    fn send_offsets(
        &mut self,
        entries: &[Entry],
        member: &Member,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        Producer::send_offsets(self, entries, member, timeout)
    }

    fn commit(
        &mut self,
        timeout: Duration,
        out: &mut Vec<Delivery>,
    ) -> Result<(), TransactionError> {
        self.commit_transaction(timeout, out)
    }

    fn abort(
        &mut self,
        timeout: Duration,
        out: &mut Vec<Delivery>,
    ) -> Result<(), TransactionError> {
        self.abort_transaction(timeout, out)
    }

    fn failure(&mut self) -> Option<TransactionError> {
        self.transaction_failure()
    }

    fn renew(&mut self) -> Result<(), FatalError> {
        Producer::renew(self)
    }
}

impl Outlet for Producer {
    fn send(&mut self, record: &Produce<'_>, token: usize) -> Result<(), RDKafkaErrorCode> {
        Producer::send(self, record, token)
    }

    fn poll(&mut self, timeout: Duration, out: &mut Vec<Delivery>) {
        Producer::poll(self, timeout, out);
    }

    fn flush(&mut self, timeout: Duration, out: &mut Vec<Delivery>) {
        Producer::flush(self, timeout, out);
    }

    fn fatal_error(&self) -> Option<ClientError> {
        Producer::fatal_error(self)
    }

    fn take_errors(&mut self) -> Vec<ClientError> {
        Producer::take_errors(self)
    }
}

impl Judge for Stages {
    fn config(&self) -> &model::Pipeline {
        Stages::config(self)
    }

    fn stamp(&self) -> &Stamp {
        Stages::stamp(self)
    }

    fn sinks(&self) -> &[Sink] {
        Stages::sinks(self)
    }

    fn process(
        &mut self,
        source: &str,
        record: &Record<'_>,
        metrics: Option<&PartitionMetrics>,
    ) -> Verdict {
        Stages::process(self, source, record, metrics)
    }

    fn look_up(
        &mut self,
        work: &mut [Waiting],
        record: &mut dyn FnMut(&(usize, Taken), &mut Again<'_>),
    ) {
        Stages::look_up(self, work, record);
    }

    fn edition(&self) -> Option<Edition> {
        Stages::edition(self)
    }

    fn digest(&self) -> Option<Digest> {
        Stages::digest(self)
    }

    fn turn(&mut self, now: Instant) {
        if let Some(look) = self.look() {
            look.turn(now);
        }
    }

    fn only_new(&mut self, is_new: bool) {
        if let Some(look) = self.look() {
            look.only_new(is_new);
        }
    }

    fn watch(&self) -> Option<&Watch> {
        Stages::watch(self)
    }

    fn rebalanced(&self, slot: usize) {
        self.lookups().rebalanced(slot);
    }

    fn reuse(&mut self, value: Vec<u8>) {
        Stages::reuse(self, value);
    }
}
