//! Transactions: their coordinator, and a producer's calls on it. A transaction's records and offsets count together, once
//! its end has been written, or never; who has an older epoch of its id is kept out; one that stays open is given up.

mod producer;

use std::collections::BTreeSet;

use rand::Rng;
use rdkafka::types::RDKafkaErrorCode;

use super::core::{Core, Event};
use super::facts::Sums;
use super::log::Tp;
use super::plan::{MILLI, SECOND};
use super::sabotage::Bug;
use super::world::micros;
use crate::native::consumer::Entry;
use crate::native::transaction::{Member, Then, TransactionError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) state: State,
    slot: usize,
    writer: usize,
    partitions: BTreeSet<Tp>,
    offsets: Vec<(Tp, i64, String, Sums)>,
}

impl Transaction {
    pub(super) fn is_committed(&self) -> bool {
        self.state == State::Committed
    }
}

/// A `transactional.id`, as its coordinator knows it.
#[derive(Debug, Default)]
pub(super) struct Id {
    epoch: u64,
    open: Option<usize>,
    /// The instance that was given the id last.
    holder: usize,
}

/// The end of a transaction that was asked for.
#[derive(Debug)]
struct Ending {
    number: u64,
    commits: bool,
    result: Option<Result<(), RDKafkaErrorCode>>,
    answered: bool,
}

/// A producer's side.
#[derive(Debug, Default)]
pub(super) struct TransactionalProducer {
    slot: usize,
    /// 0 before it is the only one with its id.
    pub(super) epoch: u64,
    open: bool,
    /// Why the transaction can only be aborted.
    pub(super) failed: Option<RDKafkaErrorCode>,
    /// Why the producer has met its end.
    pub(super) ended: Option<RDKafkaErrorCode>,
    ending: Option<Ending>,
    number: u64,
}

fn error(code: RDKafkaErrorCode, then: Then) -> TransactionError {
    TransactionError {
        code,
        message: code.to_string(),
        then,
    }
}

fn late() -> TransactionError {
    error(RDKafkaErrorCode::OperationTimedOut, Then::Again)
}

impl Core {
    /// Whether the coordinators answer.
    pub(super) fn answers(&self) -> bool {
        self.coordinator_until <= self.now && !self.dark()
    }

    /// The id of an instance that starts. One that is stable may be that of an instance which still runs.
    pub(super) fn take_id(&mut self, id: usize) -> usize {
        let stable = self.plan.transactions.is_some_and(|of| of.stable_ids);
        let now = self.now;
        let free = |of: &Id| {
            let holder = &self.members[of.holder];
            !holder.alive || holder.frozen_until > now + SECOND
        };
        let slot = match stable {
            true => self.ids.iter().position(free),
            false => None,
        };
        let slot = slot.unwrap_or_else(|| {
            self.ids.push(Id::default());
            self.ids.len() - 1
        });
        self.ids[slot].holder = id;
        self.outboxes[id].producer.slot = slot;
        slot
    }

    /// Whether an epoch of an instance's producer is not the one that its id has now.
    pub(super) fn is_stale(&self, id: usize, epoch: u64) -> bool {
        let slot = self.outboxes[id].producer.slot;
        self.plan.transactions.is_some()
            && self.ids[slot].epoch != epoch
            && !self.is(Bug::ZombieWrites)
    }

    /// Whether offsets of a partition are in an open transaction.
    pub(super) fn is_unstable(&self, tp: Tp) -> bool {
        let mut open = self
            .ids
            .iter()
            .filter_map(|id| self.transactions.get(id.open?));
        open.any(|of| of.offsets.iter().any(|(other, ..)| *other == tp))
    }

    pub(super) fn may_produce(&mut self, id: usize) -> Result<(), RDKafkaErrorCode> {
        if self.plan.transactions.is_none() {
            return Ok(());
        }
        let producer = &self.outboxes[id].producer;
        if producer.ended.is_some() {
            return Err(RDKafkaErrorCode::Fatal);
        }
        if producer.failed.is_some() || producer.ending.is_some() {
            return Err(RDKafkaErrorCode::State);
        }
        if !producer.open {
            self.violated("atomic: a record is produced outside of a transaction".to_owned());
        }
        Ok(())
    }

    /// The transaction that a record of an instance is appended in.
    pub(super) fn enlisted(&mut self, id: usize, tp: Tp) -> Option<usize> {
        let number = self.open_transaction(id)?;
        let transaction = &mut self.transactions[number];
        if transaction.partitions.insert(tp) {
            let partition = self.log.partition_mut(tp);
            let end = partition.end;
            partition.open.insert(end, number);
        }
        Some(number)
    }

    /// The coordinator's transaction of an instance's id: the open one, or a new one.
    fn open_transaction(&mut self, id: usize) -> Option<usize> {
        let of = self.plan.transactions?;
        let slot = self.outboxes[id].producer.slot;
        if let Some(open) = self.ids[slot].open {
            return Some(open);
        }
        let number = self.transactions.len();
        self.transactions.push(Transaction {
            state: State::Open,
            slot,
            writer: id,
            partitions: BTreeSet::new(),
            offsets: Vec::new(),
        });
        self.ids[slot].open = Some(number);
        self.after(micros(of.timeout), Event::TransactionTimeout(number));
        Some(number)
    }

    /// Writes the end of a transaction.
    fn end(&mut self, number: usize, commits: bool) {
        let commits = commits || self.is(Bug::AbortedIsRead);
        let transaction = &mut self.transactions[number];
        transaction.state = match commits {
            true => State::Committed,
            false => State::Aborted,
        };
        let slot = transaction.slot;
        let writer = transaction.writer;
        let partitions: Vec<Tp> = transaction.partitions.iter().copied().collect();
        let offsets = std::mem::take(&mut transaction.offsets);
        self.ids[slot].open = None;
        self.count(match commits {
            true => "transactions committed",
            false => "transactions aborted",
        });
        self.tell(|| format!("transaction {number} of {writer} ends, committed: {commits}"));
        for tp in partitions {
            let partition = self.log.partition_mut(tp);
            partition.open.retain(|_, of| *of != number);
            partition.end += 1;
        }
        if !commits || self.is(Bug::OffsetsAtOnce) {
            return;
        }
        for (tp, offset, metadata, counts) in offsets {
            self.check_atomic(number, writer, tp, offset);
            let before = self.members[writer].owned.get(&tp);
            if before.is_some_and(|owned| owned.counts != counts) {
                self.check_entry_within(number, tp, offset);
            }
            self.committed(tp, offset, metadata);
            self.settled(writer, tp, offset, counts);
        }
    }

    /// What was produced for the records below an offset commits with it.
    fn check_atomic(&mut self, number: usize, writer: usize, tp: Tp, offset: i64) {
        let Some(owned) = self.members[writer].owned.get(&tp) else {
            return;
        };
        // What is no record of the source may have been written in one that was aborted, and have nothing to say by now.
        let latest = owned.latest.range(owned.verified..offset);
        let latest = latest.filter(|(_, hand_out)| !self.is_control(**hand_out));
        let mut latest = latest;
        let apart = latest.find(|(_, hand_out)| {
            let children = self.facts.hand_outs[**hand_out].children.iter();
            let mut children = children.map(|child| &self.facts.children[*child]);
            children.any(|child| child.appended > 0 && child.transaction != Some(number))
        });
        if let Some((record, _)) = apart {
            let record = *record;
            let name = self.log.name(tp);
            self.violated(format!(
                "atomic: {name}@{record} was written in another transaction than its offset"
            ));
        }
    }

    /// The coordinator gives a transaction up, and keeps its producer out from then on.
    pub(super) fn timed_out(&mut self, number: usize) {
        if self.transactions[number].state != State::Open {
            return;
        }
        if !self.answers() {
            return self.after(100 * MILLI, Event::TransactionTimeout(number));
        }
        self.count("transactions timed out");
        let slot = self.transactions[number].slot;
        self.ids[slot].epoch += 1;
        self.end(number, false);
    }

    fn init(&mut self, id: usize) {
        let slot = self.outboxes[id].producer.slot;
        if let Some(open) = self.ids[slot].open {
            self.end(open, false);
        }
        self.ids[slot].epoch += 1;
        let epoch = self.ids[slot].epoch;
        self.tell(|| format!("{id} has epoch {epoch} of id {slot}"));
        let producer = &mut self.outboxes[id].producer;
        producer.epoch = epoch;
    }

    fn ended(&mut self, id: usize) -> TransactionError {
        let code = RDKafkaErrorCode::Fenced;
        self.outboxes[id].producer.ended = Some(code);
        self.count("producers fenced");
        error(code, Then::Fatal)
    }

    fn add_offsets(
        &mut self,
        id: usize,
        entries: &[Entry],
        member: &Member,
    ) -> Result<(), TransactionError> {
        if self.is_stale(id, self.outboxes[id].producer.epoch) {
            return Err(self.ended(id));
        }
        if let Some(code) = self.outboxes[id].producer.failed {
            return Err(error(code, Then::Abort));
        }
        let generation = i32::try_from(self.group.generation).expect("a few");
        let fenced = !self.members[id].joined || member.generation != generation;
        if fenced && !self.is(Bug::ZombieWrites) {
            self.count("offsets refused");
            let code = RDKafkaErrorCode::IllegalGeneration;
            self.outboxes[id].producer.failed = Some(code);
            return Err(error(code, Then::Abort));
        }
        let Some(number) = self.open_transaction(id) else {
            return Ok(());
        };
        let mut entries = entries.to_vec();
        if self.strikes(Bug::CommitAhead) {
            entries[0].offset += 1;
        }
        if self.strikes(Bug::CommitBack) {
            entries[0].offset = 0;
        }
        if self.strikes(Bug::WrongCounts) {
            let text = entries[0].metadata.take().unwrap_or_default();
            entries[0].metadata = Some(text.replace("emitted=", "emitted=1"));
        }
        for entry in entries {
            let Some((tp, counts)) = self.check_commit(id, &entry) else {
                continue;
            };
            let metadata = entry.metadata.unwrap_or_default();
            if self.is(Bug::OffsetsAtOnce) {
                self.committed(tp, entry.offset, metadata.clone());
            }
            let offsets = &mut self.transactions[number].offsets;
            offsets.retain(|(other, ..)| *other != tp);
            offsets.push((tp, entry.offset, metadata, counts));
        }
        Ok(())
    }

    /// The end of a transaction is asked for.
    fn ask(&mut self, id: usize, commits: bool) {
        let wait = self.some(self.plan.round_trip);
        let slot = self.outboxes[id].producer.slot;
        let nothing = self.ids[slot].open.is_none();
        let stale = self.is_stale(id, self.outboxes[id].producer.epoch);
        let producer = &mut self.outboxes[id].producer;
        producer.number += 1;
        let number = producer.number;
        producer.ending = Some(Ending {
            number,
            commits,
            result: (nothing && !stale).then_some(Ok(())),
            answered: nothing && !stale,
        });
        if !nothing || stale {
            self.after(wait, Event::EndApply(id, number));
        }
    }

    pub(super) fn end_applies(&mut self, id: usize, number: u64) {
        if !self.answers() {
            return self.after(50 * MILLI, Event::EndApply(id, number));
        }
        let stale = self.is_stale(id, self.outboxes[id].producer.epoch);
        let slot = self.outboxes[id].producer.slot;
        let producer = &mut self.outboxes[id].producer;
        let Some(ending) = producer.ending.as_mut().filter(|of| of.number == number) else {
            return;
        };
        let commits = ending.commits;
        ending.result = Some(match stale {
            true => Err(RDKafkaErrorCode::Fenced),
            false => Ok(()),
        });
        if !stale && let Some(open) = self.ids[slot].open {
            self.end(open, commits);
        }
        // The answer may be late, and come after the one who asks has stopped to wait.
        let troubled = self.commits_until > self.now && self.random.random_bool(0.5);
        let wait = self.some(if troubled {
            6 * SECOND
        } else {
            self.plan.round_trip
        });
        self.after(wait, Event::EndAnswer(id, number));
    }

    pub(super) fn end_answered(&mut self, id: usize, number: u64) {
        let frozen = self.members[id].frozen_until;
        if frozen > self.now {
            let wait = frozen - self.now;
            return self.after(wait, Event::EndAnswer(id, number));
        }
        let ending = self.outboxes[id].producer.ending.as_mut();
        if let Some(ending) = ending.filter(|of| of.number == number) {
            ending.answered = true;
        }
    }
}
