//! Copies: of the records with one key the first that gets through wins, and the others are duplicates. What is remembered is in
//! `state`; here it is asked, told, and written before the offsets that lead past it.
//!
//! A key counts once nothing can take its record back. Until then its copies share that record's fate: those behind it in its
//! partition are read again with it, those in another one wait for its acknowledgement, and those behind one in retry wait
//! there (`parked`). Under exactly_once one transaction holds both.

use super::Clock;
use super::engine::{ALONE_WAIT, Engine, Step, Taken};
use crate::config::model::OrderBy;
use crate::failure::parking::Key;
use crate::health::PauseReason;
use crate::ingest::assignment::Role;
use crate::record::Record;
use crate::state::block::{Block, MOST, Name};
use crate::state::noted::Note;

/// So many keys are committed at once, however short the time: they take memory, and blocks have an end.
const MANY: usize = 4 * MOST;

/// Names for blocks.
#[derive(Debug)]
pub(super) struct Names {
    writer: u64,
    next: u64,
    /// Keys noted since the last commit.
    noted: usize,
}

impl Names {
    pub(super) fn new(writer: u64) -> Names {
        Names {
            writer,
            next: 0,
            noted: 0,
        }
    }

    fn blocks(&mut self, notes: &[Note], time: i64) -> Vec<Block> {
        let blocks = notes.chunks(MOST).map(|notes| {
            let name = Name {
                writer: self.writer,
                number: self.next,
            };
            self.next += 1;
            Block {
                name,
                time,
                notes: notes.to_vec(),
            }
        });
        blocks.collect()
    }
}

/// What a record is among those of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// The first, or of no key.
    First,
    /// A copy of one that is through, or shares its fate.
    Copy,
    /// That is not known yet: its partition has been stopped at it.
    Unsure,
}

/// What is known of a key.
enum Known {
    No,
    Through,
    /// A record of another partition is on its way.
    OnItsWay,
}

impl Engine {
    /// Takes over what copies of the record that was just run are known by, and sees whether there is any use in its verdict.
    pub(super) fn is_known(&mut self, taken: &mut Taken, record: &Record<'_>) -> bool {
        if !self.families.remembers(taken.slot) {
            return false;
        }
        if let Some(digest) = self.judge.digest() {
            taken.origin.digest = Some(digest);
        }
        if self.families.order == Some(OrderBy::Digest) && taken.key.is_none() {
            self.line_up(taken, record);
        }
        if taken.step == Step::Judge && self.is_through(taken) {
            taken.step = Step::Copy;
        }
        taken.step != Step::Judge
    }

    /// The place of a record in its source, by which it is no copy of itself. A foreign one has none.
    fn place(&self, taken: &Taken) -> i64 {
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

    /// Whether another record with its key is through for good.
    fn is_through(&self, taken: &Taken) -> bool {
        let place = self.place(taken);
        let seen = self.families.state(taken.slot);
        let found = seen.and_then(|seen| seen.find(taken.origin.digest?));
        found.is_some_and(|at| at != place || at < 0)
    }

    /// Whether the record is a copy, now that it is its turn.
    pub(super) fn repeat(&mut self, taken: &Taken, clock: Clock) -> Repeat {
        let Some(seen) = self.families.state_mut(taken.slot) else {
            return Repeat::First;
        };
        seen.comes_to(taken.origin.timestamp.unwrap_or(clock.wall), clock.wall);
        match self.known(taken) {
            Known::No => return Repeat::First,
            Known::Through => return Repeat::Copy,
            Known::OnItsWay => {}
        }
        self.drain(ALONE_WAIT);
        let is_there = self.assignment.get(taken.slot).is_some_and(|partition| {
            partition.rewind.is_none() && partition.tracker.holds(taken.sequence)
        });
        if !is_there {
            // It is read again.
            return Repeat::Unsure;
        }
        match self.known(taken) {
            Known::No => Repeat::First,
            Known::Through => Repeat::Copy,
            Known::OnItsWay => {
                let detail = "another record with its key is not acknowledged yet";
                self.stand(taken, PauseReason::KeyCatchesUp, detail, clock);
                Repeat::Unsure
            }
        }
    }

    fn known(&self, taken: &Taken) -> Known {
        let Some(digest) = taken.origin.digest else {
            return Known::No;
        };
        let place = self.place(taken);
        let is_own = |at: i64| at == place && at >= 0;
        let noted = |slot: usize| {
            let partition = self.assignment.get(slot)?;
            let (offset, at) = partition.noted.as_ref()?.find(digest)?;
            Some((partition, offset, at))
        };
        // Should that one be refused, this one is read again with it.
        if let Some((_, _, at)) = noted(taken.slot) {
            return if is_own(at) {
                Known::No
            } else {
                Known::Through
            };
        }
        let seen = self.families.state(taken.slot);
        if let Some(at) = seen.and_then(|seen| seen.find(digest)) {
            return if is_own(at) {
                Known::No
            } else {
                Known::Through
            };
        }
        let others = self.families.relatives(taken.slot);
        let others = others.filter(|slot| *slot != taken.slot);
        let found = others.filter_map(noted).find(|(_, _, at)| !is_own(*at));
        match found {
            None => Known::No,
            Some((partition, offset, _)) => {
                let is_final = offset < partition.tracker.first_incomplete();
                match is_final || self.transaction.is_some() {
                    true => Known::Through,
                    false => Known::OnItsWay,
                }
            }
        }
    }

    /// The record goes on: its key counts with it.
    pub(super) fn note(&mut self, taken: &Taken) {
        let Some(digest) = taken.origin.digest else {
            return;
        };
        let position = self.place(taken);
        let partition = self.assignment.get_mut(taken.slot);
        if let Some(noted) = partition.and_then(|partition| partition.noted.as_mut()) {
            noted.note(taken.offset, Note { digest, position });
            self.names.noted += 1;
        }
    }

    /// It does not go on after all: its key is free.
    pub(super) fn take_note_back(&mut self, taken: &Taken) {
        let partition = self.assignment.get_mut(taken.slot);
        if let Some(noted) = partition.and_then(|partition| partition.noted.as_mut()) {
            noted.forget(taken.offset);
        }
    }

    /// Whether so many keys wait for a commit that it is not to wait for its time.
    pub(super) fn has_many_notes(&self) -> bool {
        self.names.noted >= MANY
    }

    /// The keys of the records below `offset` are seen, and are to be written before it is committed.
    pub(super) fn take_blocks(&mut self, slot: usize, offset: i64) {
        self.names.noted = 0;
        let Some(partition) = self.assignment.get_mut(slot) else {
            return;
        };
        let Some(noted) = &mut partition.noted else {
            return;
        };
        let notes = noted.take_below(offset);
        let Some(seen) = self.families.state_mut(slot) else {
            return;
        };
        let blocks = self.names.blocks(&notes, seen.now());
        for block in &blocks {
            seen.add(block);
        }
        partition.ledger.expired.extend(seen.take_expired());
        partition.ledger.blocks.extend(blocks);
        self.tell_early(slot);
    }

    /// Under exactly_once: the same keys go into the transaction, and are seen once that has committed.
    pub(super) fn enlist_blocks(&mut self, slot: usize, offset: i64) {
        self.names.noted = 0;
        let Some(partition) = self.assignment.get_mut(slot) else {
            return;
        };
        let Some(noted) = &partition.noted else {
            return;
        };
        let notes: Vec<Note> = noted.below(offset).collect();
        let Some(seen) = self.families.state_mut(slot) else {
            return;
        };
        let blocks = self.names.blocks(&notes, seen.now());
        partition.ledger.expired = seen.take_expired();
        partition.ledger.enlisted.clone_from(&blocks);
        partition.ledger.blocks = blocks;
        self.tell_early(slot);
    }

    /// Keys were forgotten before their time.
    fn tell_early(&mut self, slot: usize) {
        let Some((early, first)) = self.families.forgotten_early(slot) else {
            return;
        };
        let Some(partition) = self.assignment.get(slot) else {
            return;
        };
        partition.metrics.forgotten_early(early);
        if first {
            let config = self.judge.config();
            tracing::warn!(
                pipeline = config.name,
                owner = %config.owner,
                topic = partition.source(),
                partition = partition.number,
                max_keys = config.dedup.as_ref().map_or(0, |dedup| dedup.max_keys),
                "there are more keys within dedup.window than dedup.max_keys: the oldest are forgotten, and copies of them pass"
            );
        }
    }
}

/// The key under which a record with that digest waits for others in retry.
pub(super) fn order_key(digest: Option<crate::state::digest::Digest>) -> Option<Key> {
    digest.map(|digest| Key(digest.short()))
}
