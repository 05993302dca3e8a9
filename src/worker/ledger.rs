//! The ledger's entries, and the blocks of what was seen: produced before the commit of the offsets that they lead to. Input:
//! what a partition may commit. Output: records for the ledger and state topics, and the commits whose records are
//! acknowledged.
//!
//! Nothing waits for a ledger: outputs flow on while an entry is on its way, and its commit goes out with the
//! acknowledgement. If the topic refuses an entry, the partition pauses, since records that cannot be committed would only be
//! done again after a restart; it is written again after a growing wait, and the partition opens when that is acknowledged.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use super::Clock;
use super::engine::Engine;
use super::refusal;
use crate::failure::backoff;
use crate::health::PauseReason;
use crate::ingest::assignment::Partition;
use crate::ingest::ledger;
use crate::native::consumer::Entry;
use crate::native::producer::{Delivery, Produce};
use crate::state::disk::manifest::Anchor;

/// Marks the tokens of ledger entries among those of outputs, which count from 0.
const LEDGER: usize = 1 << (usize::BITS - 1);

/// How long the last entries are waited for when not even the outputs were acknowledged in time.
const UNANSWERED: Duration = Duration::from_millis(500);

/// The entries that were handed to the producer and are not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// What was written with each token.
    tokens: HashMap<usize, Written>,
    next: usize,
}

/// An entry that was handed over.
#[derive(Debug)]
struct Written {
    slot: usize,
    /// The ledger of its partition.
    id: u64,
    topic: String,
    /// Its key, if it is a block of the state topic.
    block: Option<[u8; 17]>,
}

impl Writing {
    /// Whether answers are to come.
    pub(super) fn is_busy(&self) -> bool {
        !self.tokens.is_empty()
    }
}

impl Engine {
    /// What may be committed now. Without a ledger that is what is due; with one, what is due is written there first, and
    /// comes back from here once it is acknowledged. `slots` are the partitions that it is about.
    pub(super) fn commits(&mut self, slots: &[usize], age: Duration, clock: Clock) -> Vec<Entry> {
        let mut entries = self.acknowledged_commits(slots);
        for slot in slots {
            let Some(partition) = self.assignment.get_mut(*slot) else {
                continue;
            };
            if !partition.ledger.is_idle() {
                continue;
            }
            partition.will_keep_state();
            let Some(entry) = partition.commit(clock.now, age) else {
                continue;
            };
            let pages = partition.tracker.take_pages();
            partition.ledger.pages.extend(pages.into_iter().flatten());
            self.take_blocks(*slot, entry.offset);
            let Some(partition) = self.assignment.get_mut(*slot) else {
                continue;
            };
            if partition.ledger.is_empty() {
                replace(&mut entries, entry);
            } else {
                partition.ledger.commit = Some(entry);
                self.write_ledger(*slot, clock);
            }
        }
        entries
    }

    /// Under exactly_once: the entries that lead to these commits go into their transaction, and share its end. One that
    /// cannot be written dooms it.
    pub(super) fn enlist_ledger(&mut self, commits: &[Entry], clock: Clock) {
        for commit in commits {
            let Some(slot) = self.assignment.find(&commit.topic, commit.partition) else {
                continue;
            };
            let Some(partition) = self.assignment.get_mut(slot) else {
                continue;
            };
            partition.ledger.pages = partition.tracker.take_pages().unwrap_or_default();
            self.enlist_blocks(slot, commit.offset);
            let partition = self.assignment.get(slot);
            if partition.is_some_and(|partition| !partition.ledger.is_empty()) {
                self.write_ledger(slot, clock);
            }
        }
    }

    /// The commits whose entries have been acknowledged since the last call.
    pub(super) fn acknowledged_commits(&mut self, slots: &[usize]) -> Vec<Entry> {
        let mut entries = Vec::new();
        for slot in slots {
            if let Some(partition) = self.assignment.get_mut(*slot) {
                // The offset would outlive the log that it is of.
                let commit = partition.ledger.acknowledged.take();
                entries.extend(commit.filter(|_| !partition.gone));
            }
        }
        entries
    }

    /// Produces the entries that a partition's next commit needs, in their order.
    pub(super) fn write_ledger(&mut self, slot: usize, clock: Clock) {
        let Some(partition) = self.assignment.get_mut(slot) else {
            return;
        };
        partition.ledger.begin_write();
        let config = self.judge.config();
        let ledger = config.ledger_topic(partition.source());
        let state = config.state_topic(partition.source());
        let taken = partition.tracker.expected();
        let run = self.run.clone();
        let mut records: Vec<(String, Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        if let Some(topic) = ledger {
            for page in &partition.ledger.pages {
                let entry = ledger::Entry {
                    topic: partition.topic.clone(),
                    partition: partition.number,
                    page: page.clone(),
                    instance: run.clone(),
                    time: clock.wall,
                    taken: Some(taken),
                };
                let value = entry.to_json().into_bytes();
                records.push((topic.clone(), entry.key().into_bytes(), Some(value)));
            }
        }
        if let Some(topic) = &state {
            for (key, value) in &partition.ledger.state {
                records.push((topic.clone(), key.clone(), value.clone()));
            }
        }
        let (id, number) = (partition.ledger.id, partition.number);
        for (topic, key, value) in records {
            let produce = Produce {
                topic: &topic,
                partition: Some(number),
                timestamp: Some(clock.wall),
                key: Some(&key),
                value: value.as_deref(),
                headers: &[],
                patient: false,
            };
            let token = LEDGER | self.writing.next;
            self.writing.next = (self.writing.next + 1) & !LEDGER;
            match self.outlet.send(&produce, token) {
                Ok(()) => {
                    let is_block = value.is_some() && state.as_ref() == Some(&topic);
                    let block = is_block.then(|| key.as_slice().try_into().ok());
                    let block = block.flatten();
                    let written = Written {
                        slot,
                        id,
                        topic,
                        block,
                    };
                    self.writing.tokens.insert(token, written);
                    if let Some(partition) = self.assignment.get_mut(slot) {
                        partition.ledger.unanswered += 1;
                    }
                }
                Err(code) => {
                    if let Some(partition) = self.assignment.get_mut(slot) {
                        partition.ledger.refusal.get_or_insert((topic, code));
                    }
                    break;
                }
            }
        }
        self.after_write(slot, clock);
    }

    /// Takes a delivery report that is about an entry. `false`: it is about an output.
    pub(super) fn entry_answered(&mut self, delivery: &Delivery, clock: Clock) -> bool {
        if delivery.token & LEDGER == 0 {
            return false;
        }
        let Some(written) = self.writing.tokens.remove(&delivery.token) else {
            return true;
        };
        let Written {
            slot,
            id,
            topic,
            block,
        } = written;
        let partition = self.assignment.get_mut(slot);
        let Some(partition) = partition.filter(|partition| partition.ledger.id == id) else {
            return true;
        };
        partition.ledger.unanswered = partition.ledger.unanswered.saturating_sub(1);
        match (delivery.error, block) {
            (Some(code), _) => {
                partition.ledger.refusal.get_or_insert((topic, code));
            }
            (None, Some(key)) if delivery.offset >= 0 => {
                let offset = delivery.offset;
                partition.ledger.reaches(Anchor { offset, key });
            }
            (None, _) => {}
        }
        self.after_write(slot, clock);
        true
    }

    /// Takes what has come in about entries before anything else of it is looked at: where blocks are is said with the
    /// transaction that they were in.
    pub(super) fn take_entries_answered(&mut self, clock: Clock) {
        let mut deliveries = std::mem::take(&mut self.deliveries);
        deliveries.retain(|delivery| !self.entry_answered(delivery, clock));
        self.deliveries = deliveries;
        self.let_go = (0, 0);
    }

    /// When every entry of a write is answered: its commit may go out, or the partition pauses.
    fn after_write(&mut self, slot: usize, clock: Clock) {
        let Some(partition) = self.assignment.get_mut(slot) else {
            return;
        };
        // A transaction does not wait for the others: it would commit without what was refused.
        let is_doomed = partition.ledger.refusal.is_some() && self.transaction.is_some();
        if partition.ledger.unanswered > 0 && !is_doomed {
            return;
        }
        match partition.ledger.refusal.clone() {
            None => {
                partition.ledger.written();
                if self.transaction.is_none() {
                    self.blocks_count(&[slot], clock);
                }
            }
            Some((topic, code)) => self.refused(slot, &topic, code, clock),
        }
    }

    fn refused(&mut self, slot: usize, topic: &str, code: RDKafkaErrorCode, clock: Clock) {
        let Some(partition) = self.assignment.get_mut(slot) else {
            return;
        };
        let detail = format!("{topic}: {}", refusal::in_words(code));
        if self.transaction.is_some() {
            return self.doom(slot, Some((PauseReason::BrokerRefused, detail)));
        }
        let ledger = &mut partition.ledger;
        let wait = backoff::pause(ledger.tries);
        ledger.tries = ledger.tries.saturating_add(1);
        ledger.again_at = Some(clock.now + wait);
        let first = ledger.tries == 1;
        let reason = refusal::reason(code, PauseReason::BrokerRefused);
        // Nothing is rewound: what was taken ends, and is committed with the entry.
        let next = partition.tracker.expected();
        partition.stop(next, clock.now + wait, reason);
        self.told(slot, reason, &detail, wait, first, clock);
    }

    /// Writes again what was refused, once its wait is over.
    pub(super) fn write_again(&mut self, clock: Clock) {
        let due = |partition: &Partition| {
            let at = partition.ledger.again_at;
            at.is_some_and(|at| at <= clock.now)
        };
        for slot in self.assignment.stirred_where(due) {
            self.write_ledger(slot, clock);
        }
    }

    /// Waits for the answers to entries.
    fn drain_ledger(&mut self, until: Instant) {
        while !self.writing.tokens.is_empty() {
            let left = until.saturating_duration_since(self.time.read().now);
            if left.is_zero() || self.outlet.fatal_error().is_some() {
                break;
            }
            self.outlet
                .flush(left.min(Duration::from_millis(100)), &mut self.deliveries);
            let clock = self.time.read();
            self.acknowledge(clock);
        }
    }

    /// The last commits of these partitions: what is due is written, and committed if that is answered within `grace`.
    pub(super) fn last_commits(
        &mut self,
        slots: &[usize],
        age: Duration,
        grace: Duration,
    ) -> Vec<Entry> {
        // A broker that did not answer for the outputs is not waited for again.
        let grace = match self.in_flights.is_empty() {
            true => grace,
            false => grace.min(UNANSWERED),
        };
        let until = self.time.read().now + grace;
        // What was on its way is not the newest.
        self.drain_ledger(until);
        let clock = self.time.read();
        let mut entries = self.commits(slots, age, clock);
        self.drain_ledger(until);
        for entry in self.acknowledged_commits(slots) {
            replace(&mut entries, entry);
        }
        entries
    }
}

/// Puts a commit in the place of an older one of the same partition.
fn replace(entries: &mut Vec<Entry>, entry: Entry) {
    entries.retain(|other| (&other.topic, other.partition) != (&entry.topic, entry.partition));
    entries.push(entry);
}
