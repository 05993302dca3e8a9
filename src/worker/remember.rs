//! What is remembered of records: noted when they go on, and written to the state topic before the offsets that lead past them.
//! What there is lies in `state`; `among` asks for it.
//!
//! A key counts once nothing can take its record back. Under exactly_once one transaction holds both.

use super::Clock;
use super::engine::{Engine, Taken};
use super::parked::Part;
use crate::health::PauseReason;
use crate::ingest::assignment::Role;
use crate::state::block::{MOST, Names};
use crate::state::noted::{Note, Once};

/// So many keys are committed at once, however short the time: they take memory, and blocks have an end.
const MANY: usize = 4 * MOST;
/// A version that is a time so much ahead of the clock, in milliseconds, is a mistake: it would make all that comes after it stale.
const AHEAD: i64 = 86_400_000;

/// What a worker writes.
#[derive(Debug)]
pub(super) struct Writer {
    names: Names,
    /// Keys noted since the last commit.
    noted: usize,
}

impl Writer {
    /// `number` is a random one.
    pub(super) fn new(number: u64) -> Writer {
        Writer {
            names: Names::new(number),
            noted: 0,
        }
    }
}

impl Engine {
    /// The place of a record in its source, by which it is no copy of itself. A foreign one has none.
    pub(super) fn place(&self, taken: &Taken) -> i64 {
        let partition = self.assignment.get(taken.slot);
        let origin = &taken.origin;
        let is_ours = partition.is_some_and(|partition| {
            partition.role == Role::Source
                || origin.is_placed
                    && *origin.topic == *partition.source()
                    && origin.partition == partition.number
        });
        if is_ours { origin.offset } else { -1 }
    }

    /// The record goes on: its key counts with it.
    pub(super) fn note(&mut self, taken: &Taken, clock: Clock) {
        let position = self.place(taken);
        let partition = self.assignment.get_mut(taken.slot);
        let Some(notes) = partition.and_then(|partition| partition.notes.as_mut()) else {
            return;
        };
        if let (Some(noted), Some(digest)) = (&mut notes.seen, taken.origin.digest) {
            let value = Once;
            let note = Note {
                digest,
                position,
                value,
            };
            noted.note(taken.offset, note);
            self.writer.noted += 1;
        }
        if let (Some(noted), Some(edition)) = (&mut notes.newest, taken.edition)
            && edition
                .time
                .is_none_or(|time| time.saturating_sub(AHEAD) <= clock.wall)
        {
            let note = Note {
                digest: edition.digest,
                position,
                value: edition.version,
            };
            noted.note(taken.offset, note);
            self.writer.noted += 1;
        }
    }

    /// It does not go on after all: its key is free.
    pub(super) fn take_note_back(&mut self, taken: &Taken) {
        let partition = self.assignment.get_mut(taken.slot);
        if let Some(notes) = partition.and_then(|partition| partition.notes.as_mut()) {
            notes.forget(taken.offset);
        }
    }

    /// Whether so many keys wait for a commit that it is not to wait for its time.
    pub(super) fn has_many_notes(&self) -> bool {
        self.writer.noted >= MANY
    }

    /// The keys of the records below `offset` are seen, and are to be written before it is committed.
    pub(super) fn take_blocks(&mut self, slot: usize, offset: i64) {
        self.writer.noted = 0;
        let Some(partition) = self.assignment.get_mut(slot) else {
            return;
        };
        let (Some(notes), Some(memory)) = (&mut partition.notes, self.families.memory_mut(slot))
        else {
            return;
        };
        let batch = notes.take_below(offset);
        let (blocks, records) = memory.write(&batch, &mut self.writer.names);
        memory.add(&blocks);
        partition.ledger.state.extend(records);
        self.tell_early(slot);
    }

    /// Under exactly_once: the same keys go into the transaction, and are seen once that has committed.
    pub(super) fn enlist_blocks(&mut self, slot: usize, offset: i64) {
        self.writer.noted = 0;
        let Some(partition) = self.assignment.get_mut(slot) else {
            return;
        };
        let (Some(notes), Some(memory)) = (&partition.notes, self.families.memory_mut(slot)) else {
            return;
        };
        let batch = notes.below(offset);
        partition.ledger.reached = None;
        (partition.ledger.enlisted, partition.ledger.state) =
            memory.write(&batch, &mut self.writer.names);
        self.tell_early(slot);
    }

    /// The blocks of these partitions that were under way are in the state topic for good, and are remembered. Of families that
    /// have no others under way, what fills memory is written to disk.
    pub(super) fn blocks_count(&mut self, slots: &[usize], clock: Clock) {
        for slot in slots {
            let partition = self.assignment.get_mut(*slot);
            let reached = partition.and_then(|partition| partition.ledger.reached.take());
            let Some(memory) = self.families.memory_mut(*slot) else {
                continue;
            };
            reached
                .into_iter()
                .for_each(|anchor| memory.reaches(anchor));
            if self.has_blocks_under_way(*slot) {
                continue;
            }
            let memory = self.families.memory_mut(*slot);
            if let Some(Err(why)) = memory.map(|memory| memory.settle(clock.now)) {
                self.tell_disk(*slot, &why);
            }
        }
    }

    /// Whether something that is remembered of the family is not in the state topic yet. Under exactly_once nothing is remembered
    /// before that.
    pub(super) fn has_blocks_under_way(&self, slot: usize) -> bool {
        let mut slots = self.families.relatives(slot);
        self.transaction.is_none()
            && slots.any(|slot| {
                let partition = self.assignment.get(slot);
                partition.is_some_and(|partition| !partition.ledger.is_idle())
            })
    }

    /// The partition is given up: what is remembered of it is left on disk, for the case that it comes back.
    pub(super) fn put_away(&mut self, slot: usize, clock: Clock) {
        if self.families.is_tier(slot) || self.has_blocks_under_way(slot) {
            return;
        }
        let memory = self.families.memory_mut(slot);
        if let Some(Err(why)) = memory.map(|memory| memory.put_away(clock.now)) {
            self.tell_disk(slot, &why);
        }
    }

    /// Something could not be written to disk.
    pub(super) fn tell_disk(&self, slot: usize, why: &str) {
        let Some(partition) = self.assignment.get(slot) else {
            return;
        };
        partition.metrics.state_disk_failed();
        tracing::warn!(
            pipeline = self.judge.config().name,
            topic = partition.source(),
            partition = partition.number,
            "state_dir: {why}: what is remembered stays in memory, and is written once that can be done"
        );
    }

    /// Whether what is remembered cannot be read: then it is not known what the record is, and its partition has been stopped
    /// at it.
    pub(super) fn is_unreadable(&mut self, taken: &Taken, clock: Clock) -> bool {
        let memory = self.families.memory(taken.slot);
        if memory.is_none_or(|memory| memory.broken().is_none()) {
            return false;
        }
        let detail =
            "what was seen cannot be read from state_dir, and is read from the state topic";
        self.stand(taken, PauseReason::Rebuilding, detail, clock);
        true
    }

    /// What cannot be read from disk is read from the state topic, once all of it is there.
    pub(super) fn mend(&mut self, clock: Clock) {
        for slot in self.families.unreadable() {
            // What a transaction under way would add is not there.
            self.abort(clock);
            if self.has_blocks_under_way(slot) || self.is_unresolved() {
                continue;
            }
            let (Some(partition), Some(memory)) =
                (self.assignment.get(slot), self.families.memory_mut(slot))
            else {
                continue;
            };
            partition.metrics.state_disk_failed();
            tracing::error!(
                pipeline = self.judge.config().name,
                topic = partition.source(),
                partition = partition.number,
                "state_dir: {}: what was kept there of the partition is thrown away and read from the state topic",
                memory.broken().unwrap_or_default()
            );
            if let Err(why) = memory.clear() {
                self.tell_disk(slot, &why);
            }
            self.rebuild_family(slot, clock);
        }
    }

    /// Keys were forgotten before their time.
    fn tell_early(&mut self, slot: usize) {
        for (part, early, first) in self.families.forgotten_early(slot) {
            let Some(partition) = self.assignment.get(slot) else {
                return;
            };
            let config = self.judge.config();
            let (kept, why) = match part {
                // Without a window, `max_keys` says what their time is.
                Part::Dedup => (
                    config
                        .dedup
                        .as_ref()
                        .map(|dedup| dedup.kept)
                        .filter(|kept| kept.window.is_some()),
                    "there are more keys within dedup.window than dedup.max_keys: the oldest are forgotten, and copies of them pass",
                ),
                Part::Stale => (
                    config.stale.as_ref().map(|stale| stale.kept),
                    "there are more keys than stale.max_keys: those that changed least recently are forgotten, and older events of them pass",
                ),
            };
            let Some(kept) = kept else { continue };
            match part {
                Part::Dedup => partition.metrics.forgotten_early(early),
                Part::Stale => partition.metrics.newest_forgotten_early(early),
            }
            if first {
                tracing::warn!(
                    pipeline = config.name,
                    owner = %config.owner,
                    topic = partition.source(),
                    partition = partition.number,
                    max_keys = kept.max_keys,
                    "{why}"
                );
            }
        }
    }
}
