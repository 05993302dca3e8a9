//! A producer over the log. As an idempotent one of librdkafka: queued per partition, sent in batches with several in
//! flight, appended in order and once, refused by the batch; what was sent may be appended after its instance died.

mod broker;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rdkafka::types::RDKafkaErrorCode;

use super::core::{Core, Event};
use super::facts::{Child, Part};
use super::log::{FROM, Headers, Kind, Stored, Tp, size};
use super::plan::{CLIENT_LIMIT, Micros};
use super::sabotage::Bug;
use super::transactions::TransactionalProducer;
use super::world::{World, micros};
use crate::failure::parking::Control;
use crate::native::ClientError;
use crate::native::producer::{Delivery, Produce};
use crate::state::block;
use crate::worker::ports::Outlet;

/// Batches of a partition that are under way at a time.
const IN_FLIGHT: usize = 5;

/// A record on its way.
#[derive(Debug, Clone)]
struct Sent {
    token: usize,
    of: Of,
    record: Stored,
}

/// What is known of it: the number of a [`Child`], or of an entry of the ledger, or nothing: it is a block of what was seen.
#[derive(Debug, Clone, Copy)]
enum Of {
    Child(usize),
    Entry(usize),
    Block,
}

#[derive(Debug)]
struct Batch {
    number: u64,
    /// The epoch of its producer, under exactly_once.
    epoch: u64,
    /// Whether nobody waits for its answer: its producer was replaced.
    mute: bool,
    records: Vec<Sent>,
    result: Option<Option<RDKafkaErrorCode>>,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Sent>,
    flight: VecDeque<Batch>,
    /// Whether a [`Event::Send`] is to come.
    due: bool,
    last_append: Micros,
    last_ack: Micros,
}

/// What a producer has under way.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    lanes: BTreeMap<Tp, Lane>,
    ready: Vec<Delivery>,
    /// Records whose report the producer has not handed on.
    pub(super) outstanding: usize,
    number: u64,
    /// The hand-out that the last record was produced for.
    last: Option<usize>,
    /// Under exactly_once.
    pub(super) producer: TransactionalProducer,
}

impl Core {
    /// Whether a record can be queued, and if so, it is.
    fn enqueue(
        &mut self,
        id: usize,
        produce: &Produce<'_>,
        token: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        let Some(topic) = self.log.number(produce.topic) else {
            let what = format!("a record for {}, which there is not", produce.topic);
            self.violated(what);
            return Err(RDKafkaErrorCode::UnknownTopic);
        };
        if let Kind::Ledger { source } = self.log.topics[topic].kind {
            return self.enqueue_entry(id, source, topic, produce, token);
        }
        if let Kind::State { source } = self.log.topics[topic].kind {
            return self.enqueue_block(id, source, topic, produce, token);
        }
        let Some(hand_out) = self.from(id, produce) else {
            let what = format!("headers: a record for {} lost its own", produce.topic);
            self.violated(what);
            return Err(RDKafkaErrorCode::InvalidArgument);
        };
        self.may_produce(id)?;
        let headers: Headers = produce
            .headers
            .iter()
            .filter(|(name, _)| *name != FROM)
            .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
            .collect();
        let tp = self.facts.hand_outs[hand_out].tp;
        if self.outboxes[id].outstanding >= self.plan.capacity && !self.is(Bug::NoQueueLimit) {
            self.facts.excused.insert(tp);
            self.count("queue full");
            return Err(RDKafkaErrorCode::QueueFull);
        }
        if size(produce.key, produce.value, &headers) > CLIENT_LIMIT {
            self.facts.excused.insert(tp);
            return Err(RDKafkaErrorCode::MessageSizeTooLarge);
        }
        let partitions = self.log.topics[topic].partitions.len();
        let partition = match (produce.partition, produce.key) {
            (Some(partition), _) => usize::try_from(partition).expect("not negative"),
            (None, Some(key)) => {
                key.iter().map(|byte| usize::from(*byte)).sum::<usize>() % partitions
            }
            (None, None) => self.random.random_range(0..partitions),
        };
        let to = Tp { topic, partition };
        let mut record = Stored {
            origin: self.facts.hand_outs[hand_out].origin,
            headers,
            ..stored(produce)
        };
        self.check_paused(id, hand_out);
        self.spoil(&mut record, to);
        let part = self.check_produced(id, hand_out, to, &mut record);
        let home = self.members[id].owned.get(&to);
        record.writer = (id, home.map_or(0, |home| home.epoch));
        let child = self.facts.children.len();
        self.facts.children.push(Child {
            hand_out,
            part,
            uid: None,
            appended: 0,
            acknowledged: false,
            transaction: None,
        });
        self.facts.hand_outs[hand_out].children.push(child);
        self.outboxes[id].last = Some(hand_out);
        self.noted(id, hand_out);
        match part {
            Part::Output { .. } => self.decided(id, hand_out, Some(false)),
            Part::Dead => self.decided(id, hand_out, Some(true)),
            Part::Retry => self.decided(id, hand_out, None),
            Part::Extra => {}
        }
        if self.trace.is_some() {
            let (of, from) = (self_name(part), &self.facts.hand_outs[hand_out]);
            let place = format!("{}@{}", self.log.name(from.tp), from.offset);
            let text = format!(
                "{id} produces {of} of record {} at {place}, hand-out {hand_out}, token {token}",
                from.origin
            );
            self.tell(|| text);
        }
        let of = Of::Child(child);
        self.queue(id, to, Sent { token, of, record });
        Ok(())
    }

    /// The hand-out that a record was produced for. What is beside an outcome does not say it, but its place in the source.
    fn from(&self, id: usize, produce: &Produce<'_>) -> Option<usize> {
        let text = |name: &str| {
            let header = produce
                .headers
                .iter()
                .rev()
                .find(|(other, _)| *other == name);
            std::str::from_utf8(header?.1?).ok()
        };
        let known = text(FROM).and_then(|from| from.parse().ok());
        if known.is_some() {
            return known.filter(|from| *from < self.facts.hand_outs.len());
        }
        let control = Control::parse(text(crate::headers::CONTROL)?.as_bytes())?;
        let partition = text(crate::headers::SOURCE_PARTITION)?.parse().ok()?;
        let tp = self
            .log
            .tp(text(crate::headers::SOURCE_TOPIC)?, partition)?;
        let offset = text(crate::headers::SOURCE_OFFSET)?.parse().ok()?;
        let origin = *self.places.get(&(tp, offset))?;
        let of = |hand_out: &usize| &self.facts.hand_outs[*hand_out];
        // It is produced right behind what it goes with.
        let is_behind = |hand_out: &usize| {
            let children = of(hand_out).children.iter();
            let mut parts = children.map(|child| self.facts.children[*child].part);
            parts.all(|part| match control {
                Control::Released => matches!(part, Part::Output { .. }),
                Control::Dead(_) => part == Part::Dead,
            })
        };
        let last = self.outboxes[id].last;
        let last = last.filter(|last| of(last).origin == origin && is_behind(last));
        if last.is_some() {
            return last;
        }
        // Nothing was: of what was filtered, the first that nothing was said of yet. Two readings may be in one batch.
        let owned = self.members[id].owned.values();
        let latest = owned.flat_map(|owned| owned.latest.values().copied());
        latest
            .filter(|hand_out| of(hand_out).origin == origin)
            // Or of what is a copy, perhaps of one that is on its way, or stale.
            .filter(|hand_out| of(hand_out).filtered || self.plan.has_state())
            .filter(|hand_out| of(hand_out).children.is_empty())
            .min()
    }

    /// An entry of a ledger is queued.
    fn enqueue_entry(
        &mut self,
        id: usize,
        source: usize,
        topic: usize,
        produce: &Produce<'_>,
        token: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        self.may_produce(id)?;
        let Some(entry) = self.written(id, source, produce.value) else {
            return Err(RDKafkaErrorCode::InvalidArgument);
        };
        let tp = self.facts.entries[entry].tp;
        let partition = produce
            .partition
            .and_then(|number| usize::try_from(number).ok());
        if partition != Some(tp.partition) {
            self.violated("ledger: an entry for another partition".to_owned());
        }
        if self.outboxes[id].outstanding >= self.plan.capacity && !self.is(Bug::NoQueueLimit) {
            self.facts.entries[entry].failed = true;
            self.facts.excused.insert(tp);
            self.count("queue full");
            return Err(RDKafkaErrorCode::QueueFull);
        }
        if self.is(Bug::EntryAtOnce) {
            self.facts.entries[entry].failed = true;
            let outbox = &mut self.outboxes[id];
            outbox.outstanding += 1;
            outbox.ready.push(Delivery {
                token,
                error: None,
                offset: -1,
            });
            return Ok(());
        }
        self.tell(|| format!("{id} writes to the ledger, token {token}"));
        let to = Tp {
            topic,
            partition: tp.partition,
        };
        let of = Of::Entry(entry);
        let record = stored(produce);
        self.queue(id, to, Sent { token, of, record });
        Ok(())
    }

    /// A block of what was seen is queued, or what takes it out.
    fn enqueue_block(
        &mut self,
        id: usize,
        source: usize,
        topic: usize,
        produce: &Produce<'_>,
        token: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        self.may_produce(id)?;
        let found = block::Found::of(produce.key, produce.value);
        if !matches!(found, Ok(block::Found::Seen(_) | block::Found::Newest(_))) {
            self.violated("state: a block that cannot be read".to_owned());
        }
        let partition = produce.partition.unwrap_or_default();
        let partition = usize::try_from(partition).expect("not negative");
        if self.outboxes[id].outstanding >= self.plan.capacity && !self.is(Bug::NoQueueLimit) {
            let home = Tp {
                topic: source,
                partition,
            };
            self.excuse_family(home);
            self.count("queue full");
            return Err(RDKafkaErrorCode::QueueFull);
        }
        let (of, record) = (Of::Block, stored(produce));
        self.queue(id, Tp { topic, partition }, Sent { token, of, record });
        Ok(())
    }

    /// The records of a source partition and its retries may be written twice.
    fn excuse_family(&mut self, home: Tp) {
        let family: Vec<Tp> = self
            .log
            .all()
            .filter(|tp| self.log.home(*tp) == Some(home))
            .collect();
        self.facts.excused.extend(family);
    }

    fn queue(&mut self, id: usize, to: Tp, sent: Sent) {
        let outbox = &mut self.outboxes[id];
        outbox.outstanding += 1;
        let lane = outbox.lanes.entry(to).or_default();
        lane.queue.push_back(sent);
        let swap = lane.queue.len() >= 2;
        let due = std::mem::replace(&mut lane.due, true);
        if swap && self.strikes(Bug::SwapRecords) {
            let lane = self.outboxes[id].lanes.get_mut(&to).expect("just there");
            let last = lane.queue.len() - 1;
            lane.queue.swap(last, last - 1);
        }
        if !due {
            let wait = self.random.random_range(0..=self.plan.linger);
            self.after(wait, Event::Send(id, to));
        }
    }

    /// What a broken engine would have written.
    fn spoil(&mut self, record: &mut Stored, to: Tp) {
        let is_retry = matches!(self.log.kind(to), Kind::Retry { .. });
        if is_retry && self.strikes(Bug::DueBefore) {
            for (name, value) in &mut record.headers {
                if name == crate::headers::DUE_AT {
                    *value = Some(b"1".to_vec());
                }
            }
        }
        if self.strikes(Bug::PileHeaders)
            && let Some(ours) = record
                .headers
                .iter()
                .find(|(name, _)| name == crate::headers::REASON)
                .cloned()
        {
            record.headers.push(ours);
        }
        if self.strikes(Bug::ChangeBytes)
            && let Some(value) = &mut record.value
        {
            value.push(b'!');
        }
    }
}

fn stored(produce: &Produce<'_>) -> Stored {
    Stored {
        key: produce.key.map(<[u8]>::to_vec),
        value: produce.value.map(<[u8]>::to_vec),
        timestamp: produce.timestamp,
        ..Stored::default()
    }
}

fn self_name(part: Part) -> String {
    match part {
        Part::Output { index, count } => format!("output {index}/{count}"),
        Part::Retry => "a retry".to_owned(),
        Part::Dead => "a dead letter".to_owned(),
        Part::Extra => "what its key needs".to_owned(),
    }
}

/// An instance's producer.
pub(super) struct SimOutlet {
    pub(super) world: Arc<World>,
    pub(super) id: usize,
}

impl SimOutlet {
    pub(super) fn reports(&self, out: &mut Vec<Delivery>) {
        let mut core = self.world.core();
        let outbox = &mut core.outboxes[self.id];
        outbox.outstanding -= outbox.ready.len();
        out.append(&mut outbox.ready);
    }
}

impl Outlet for SimOutlet {
    fn send(&mut self, record: &Produce<'_>, token: usize) -> Result<(), RDKafkaErrorCode> {
        self.world.step(self.id);
        self.world.core().enqueue(self.id, record, token)
    }

    fn poll(&mut self, timeout: Duration, out: &mut Vec<Delivery>) {
        self.world.step(self.id);
        if !timeout.is_zero() {
            let id = self.id;
            self.world.wait(id, micros(timeout), &|core| {
                !core.outboxes[id].ready.is_empty()
            });
        }
        self.reports(out);
    }

    fn flush(&mut self, timeout: Duration, out: &mut Vec<Delivery>) {
        self.world.step(self.id);
        let id = self.id;
        self.world.core().send_all(id);
        self.world
            .wait(id, micros(timeout), &|core| core.flushed(id));
        self.reports(out);
    }

    fn fatal_error(&self) -> Option<ClientError> {
        let code = self.world.core().outboxes[self.id].producer.ended?;
        Some(ClientError {
            code,
            message: code.to_string(),
        })
    }

    fn take_errors(&mut self) -> Vec<ClientError> {
        Vec::new()
    }
}
