//! The order per key: records whose key has one in retry follow it there, and those of a key in retry go when it is their
//! turn. Who waits for whom is said by `failure::parking`; here it is asked. Without `ordering: per_key` and `dedup` there is
//! no family, and a record is asked about nothing.

mod catch_up;
mod hop;
mod rebuild;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use self::catch_up::CatchUp;
pub(in crate::worker) use self::hop::doomed;
use self::rebuild::Rebuild;
use super::Clock;
use super::among::order_key;
use super::engine::{Engine, Step, Taken};
use crate::config::model::OrderBy;
use crate::failure::parking::{Dead, Key, Parking};
use crate::health::PauseReason;
use crate::ingest::assignment::Role;
use crate::pipeline::Verdict;
use crate::record::{Outcome, Record};
use crate::state::memory::{Blocks, Memory};
use crate::state::seen::Seen;

/// How long a source partition waits for a key that is written to fast, or for room.
const CATCH_UP: Duration = Duration::from_millis(200);

/// For so long, besides its tiers, it is remembered that something of a partition was refused.
const WARY: Duration = Duration::from_secs(10);

/// A source partition, its retry partitions, what is in retry, and what is remembered.
#[derive(Debug)]
struct Family {
    parking: Parking,
    memory: Memory,
    /// Whether it was told that keys were forgotten before their time, of each part.
    told_early: [bool; 2],
    /// Slots of the retry partitions, by tier.
    tiers: Vec<usize>,
    /// What is read before anything is taken; `None` once that has been done.
    rebuild: Option<Rebuild>,
    /// How far the source is read before anything in retry is taken; `None` once that has been done.
    catch_up: Option<CatchUp>,
    /// When a broker last refused something of these partitions.
    refused: Option<Instant>,
    /// How far the source had been read when it went back furthest: what was entered up to here may have been refused, and
    /// be nowhere before it is read again.
    read_to: i64,
}

/// For what something is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// `dedup`
    Dedup,
    /// `stale`
    Stale,
}

/// The families of a worker, by the slot of their source partition.
#[derive(Debug, Default)]
pub(super) struct Families {
    families: Vec<Option<Family>>,
    /// From the slot of each of its partitions.
    homes: Vec<Option<usize>>,
    names: HashMap<(String, i32), usize>,
    /// What is one key in retry; `None`: nothing waits for anything.
    pub(super) order: Option<OrderBy>,
}

impl Families {
    /// None yet.
    pub(super) fn new(order: Option<OrderBy>) -> Families {
        Families {
            order,
            ..Families::default()
        }
    }

    /// Whether it is a retry partition.
    pub(super) fn is_tier(&self, slot: usize) -> bool {
        let home = self.homes.get(slot).copied().flatten();
        home.is_some_and(|home| home != slot)
    }

    /// What is remembered of the partition's source.
    pub(super) fn memory(&self, slot: usize) -> Option<&Memory> {
        let memory = &self.of(slot)?.memory;
        memory.is_kept().then_some(memory)
    }

    pub(super) fn memory_mut(&mut self, slot: usize) -> Option<&mut Memory> {
        let memory = &mut self.of_mut(slot)?.memory;
        memory.is_kept().then_some(memory)
    }

    /// Blocks have been committed.
    pub(super) fn remember(&mut self, slot: usize, blocks: &Blocks) {
        if let Some(memory) = self.memory_mut(slot) {
            memory.add(blocks);
        }
    }

    /// How many keys were forgotten before their time since the last call, if any, of which part, and whether that is new.
    pub(super) fn forgotten_early(&mut self, slot: usize) -> Vec<(Part, u64, bool)> {
        let Some(family) = self.of_mut(slot) else {
            return Vec::new();
        };
        let (seen, newest) = (&mut family.memory.seen, &mut family.memory.newest);
        let early = [
            (Part::Dedup, seen.as_mut().map_or(0, Seen::take_early)),
            (Part::Stale, newest.as_mut().map_or(0, Seen::take_early)),
        ];
        let told = early.into_iter().zip(&mut family.told_early);
        let told = told.filter(|((_, early), _)| *early > 0);
        told.map(|((part, early), told)| (part, early, !std::mem::replace(told, true)))
            .collect()
    }

    /// The partitions of a family, by slot.
    pub(super) fn relatives(&self, slot: usize) -> impl Iterator<Item = usize> {
        let home = self.homes.get(slot).copied().flatten();
        let tiers = self.of(slot).map_or(&[][..], |family| &family.tiers);
        home.into_iter().chain(tiers.iter().copied())
    }

    /// How many keys of a source partition are remembered, for each part.
    pub(super) fn remembered(&self, topic: &str, number: i32) -> Vec<(Part, usize)> {
        let home = self.names.get(&(topic.to_owned(), number)).copied();
        let family = home.and_then(|home| self.families.get(home)?.as_ref());
        let memory = family.map(|family| &family.memory);
        let seen = memory.and_then(|memory| memory.seen.as_ref());
        let newest = memory.and_then(|memory| memory.newest.as_ref());
        let seen = seen.map(|seen| (Part::Dedup, seen.len()));
        seen.into_iter()
            .chain(newest.map(|newest| (Part::Stale, newest.len())))
            .collect()
    }

    fn of(&self, slot: usize) -> Option<&Family> {
        let home = (*self.homes.get(slot)?)?;
        self.families.get(home)?.as_ref()
    }

    fn of_mut(&mut self, slot: usize) -> Option<&mut Family> {
        let home = (*self.homes.get(slot)?)?;
        self.families.get_mut(home)?.as_mut()
    }

    fn put(&mut self, home: usize, family: Family) {
        let last = family.tiers.iter().copied().fold(home, usize::max);
        if self.homes.len() <= last {
            self.homes.resize(last + 1, None);
        }
        for slot in family.tiers.iter().copied().chain([home]) {
            self.homes[slot] = Some(home);
        }
        if self.families.len() <= home {
            self.families.resize_with(home + 1, || None);
        }
        self.families[home] = Some(family);
    }

    /// What is in retry of the partition's source.
    pub(super) fn parking(&self, slot: usize) -> Option<&Parking> {
        self.of(slot).map(|family| &family.parking)
    }

    fn parking_mut(&mut self, slot: usize) -> Option<&mut Parking> {
        self.of_mut(slot).map(|family| &mut family.parking)
    }

    /// Bytes on disk of what is remembered of a source partition, if some of it is there.
    pub(super) fn disk_bytes(&self, topic: &str, number: i32) -> Option<u64> {
        let home = self.names.get(&(topic.to_owned(), number))?;
        self.families.get(*home)?.as_ref()?.memory.disk_bytes()
    }

    /// How many offsets of the state topic are to be read yet of a source partition, if anything is remembered of it.
    pub(super) fn state_left(&self, topic: &str, number: i32) -> Option<i64> {
        let home = self.names.get(&(topic.to_owned(), number))?;
        let family = self.families.get(*home)?.as_ref()?;
        let rebuild = family.rebuild.as_ref();
        let left = rebuild.map_or(0, |rebuild| rebuild.left);
        family.memory.is_kept().then_some(left)
    }

    /// The slots of source partitions of which something that is remembered cannot be read.
    pub(super) fn unreadable(&self) -> Vec<usize> {
        let families = self.families.iter().enumerate();
        let unreadable = families.filter(|(_, family)| {
            let family = family.as_ref();
            let family = family.filter(|family| family.rebuild.is_none());
            family.is_some_and(|family| family.memory.broken().is_some())
        });
        unreadable.map(|(home, _)| home).collect()
    }

    /// The partition in this slot is no longer ours.
    pub(super) fn forget(&mut self, slot: usize) {
        if let Some(home) = self.homes.get_mut(slot) {
            *home = None;
        }
        if let Some(family) = self.families.get_mut(slot)
            && family.take().is_some()
        {
            self.names.retain(|_, home| *home != slot);
        }
    }

    /// A record has its outcome.
    pub(super) fn finished(&mut self, slot: usize, (key, offset): (u64, i64), outcome: Outcome) {
        if outcome != Outcome::Retried
            && let Some(parking) = self.parking_mut(slot)
        {
            parking.resolved(Key(key), offset, outcome == Outcome::DeadLettered);
        }
    }

    /// What stands for a dead letter is acknowledged.
    pub(super) fn told(&mut self, slot: usize, (key, offset): (u64, i64)) {
        if let Some(parking) = self.parking_mut(slot) {
            parking.told(Key(key), offset);
        }
    }

    /// Whether a source partition that had too much in retry may go on.
    pub(super) fn has_room_again(&self, slot: usize) -> bool {
        // One that what is in retry waits for does not wait for that.
        self.of(slot)
            .is_none_or(|family| family.catch_up.is_some() || family.parking.has_room_again())
    }

    /// What was done is committed: from now on that is what [`Self::restore`] goes back to. Under exactly_once.
    pub(super) fn mark(&mut self) {
        for family in self.families.iter_mut().flatten() {
            if family.rebuild.is_none() {
                family.parking.mark();
            }
        }
    }

    /// What was done since the mark is undone. Of a family that is being read nothing has been done.
    pub(super) fn restore(&mut self) {
        for family in self.families.iter_mut().flatten() {
            family.parking.restore();
        }
    }

    /// A broker has refused something of the partition.
    pub(super) fn refused(&mut self, slot: usize, now: Instant) {
        if let Some(family) = self.of_mut(slot) {
            family.refused = Some(now);
        }
    }

    /// A partition that expected the record at `expected` is read again from further in front.
    pub(super) fn goes_back(&mut self, slot: usize, expected: i64) {
        if let Some(family) = self.of_mut(slot)
            && !family.tiers.contains(&slot)
        {
            family.read_to = family.read_to.max(expected);
        }
    }

    /// When something of the partition's family was refused last, if it is a retry partition.
    fn refused_at(&self, slot: usize) -> Option<Instant> {
        let family = self.of(slot)?;
        family.refused.filter(|_| family.tiers.contains(&slot))
    }

    /// Keys and records in retry of a source partition.
    pub(super) fn parked(&self, topic: &str, number: i32) -> Option<(usize, usize)> {
        let home = self.names.get(&(topic.to_owned(), number))?;
        let parking = &self.families.get(*home)?.as_ref()?.parking;
        Some((parking.keys(), parking.records()))
    }

    /// Whether a partition waits for what is in retry to be read, or for its source.
    pub(super) fn is_coming_back(&self) -> bool {
        let mut families = self.families.iter().flatten();
        families.any(|family| family.rebuild.is_some() || family.catch_up.is_some())
    }
}

impl Engine {
    /// Whether what is written to a retry or dead-letter topic waits for the answers to what is in front of it in its retry
    /// partition. After a refusal the partition is read again from there, and what had been written for those behind it is
    /// there twice. One key has its turns with such records one after another: if each left copies of all that wait
    /// behind it, they would double from turn to turn. So once something was refused, for two turns in the longest tier.
    pub(super) fn is_wary(&self, taken: &Taken, outcome: Outcome) -> bool {
        if outcome == Outcome::Emitted || self.transaction.is_some() {
            return false;
        }
        let Some(refused) = self.families.refused_at(taken.slot) else {
            return false;
        };
        let tiers = &self.judge.config().failure.tiers;
        let longest = tiers.iter().max().copied().unwrap_or_default();
        self.time.read().now < refused + 2 * longest + WARY
            && self.in_flights.iter().any(|sent| {
                sent.slot == taken.slot
                    && sent.sequence != taken.sequence
                    && sent.outcome != Outcome::Retried
            })
    }

    /// The key under which a record is in an order; `None` without one, and for a record whose place in this partition's
    /// source is not known.
    fn key_of(&self, taken: &Taken, record: &Record<'_>) -> Option<Key> {
        if taken.key.is_some() {
            return taken.key;
        }
        self.families.of(taken.slot)?;
        let partition = self.assignment.get(taken.slot)?;
        let origin = &taken.origin;
        let is_ours = partition.role == Role::Source
            || origin.is_placed
                && *origin.topic == *partition.source()
                && origin.partition == partition.number;
        let key = match self.families.order? {
            OrderBy::Key => Key::of(record.key),
            OrderBy::Digest => order_key(origin.digest),
        };
        key.filter(|_| is_ours)
    }

    /// Enters a record that was just begun, and sees whether it has a chance to go: if not, it need not be run.
    pub(super) fn line_up(&mut self, taken: &mut Taken, record: &Record<'_>) {
        let Some(family) = self.families.of(taken.slot) else {
            return;
        };
        let Some(partition) = self.assignment.get(taken.slot) else {
            return;
        };
        let tier = match partition.role {
            Role::Source => None,
            // Who follows one in a tier that is no longer configured goes to the last one.
            Role::Retry { tier, .. } => {
                let tiers = self.judge.config().failure.tiers.len();
                Some(tier.min(tiers.saturating_sub(1)))
            }
        };
        if tier.is_none() && family.parking.is_empty() {
            taken.free_at = family.parking.added();
            return;
        }
        let epoch = partition.epoch;
        // What a retry topic has refused for its size cannot follow anybody there.
        let is_refused = partition.refused.contains_key(&taken.offset);
        let (Some(key), Some(parking)) = (
            self.key_of(taken, record),
            self.families.parking_mut(taken.slot),
        ) else {
            return;
        };
        if tier.is_none() && !parking.has(key) {
            taken.free_at = parking.added();
            return;
        }
        taken.key = Some(key);
        if taken.step == Step::Control {
            return;
        }
        let offset = taken.origin.offset;
        parking.read(key, offset, tier, epoch);
        if taken.step == Step::Judge && !is_refused {
            taken.step = match parking.doom(key, offset) {
                Some(dead) => Step::Doomed(dead),
                None if parking.must_wait(key, offset, epoch) => Step::Follow,
                None if parking.may_go(key, offset, epoch) => Step::Judge,
                None => Step::Behind,
            };
            if taken.step == Step::Follow {
                // Those behind it have no chance either.
                parking.stays(key, offset);
            }
        }
    }

    /// What is to be done with a record now that those before it in the batch are finished. One of them may have gone into
    /// retry since it was run: then its verdict is thrown away.
    pub(super) fn step(&self, taken: &Taken, record: &Record<'_>) -> Step {
        let Some(parking) = self
            .families
            .parking(taken.slot)
            .filter(|parking| taken.key.is_some() || parking.added() != taken.free_at)
        else {
            return taken.step;
        };
        let partition = self.assignment.get(taken.slot);
        match (taken.step, self.key_of(taken, record), partition) {
            (Step::Judge, Some(key), Some(partition)) => {
                let offset = taken.origin.offset;
                match parking.doom(key, offset) {
                    Some(dead) => Step::Doomed(dead),
                    None if partition.refused.contains_key(&taken.offset) => Step::Judge,
                    None if parking.may_go(key, offset, partition.epoch) => Step::Judge,
                    None => Step::Follow,
                }
            }
            (step, _, _) => step,
        }
    }

    /// Notes that a record goes to its sink, or is filtered out. If it is one whose followers are held since it was a dead
    /// letter, they are let go with it: the answer is the record with what goes along.
    pub(super) fn goes(&mut self, taken: &Taken, verdict: &Verdict) -> Option<Taken> {
        let key = taken.key?;
        let epoch = self.assignment.get(taken.slot)?.epoch;
        let parking = self.families.parking_mut(taken.slot)?;
        if matches!(verdict, Verdict::Failed(_)) {
            return None;
        }
        parking.passes(key, taken.origin.offset, epoch);
        let is_held = parking.dead(key, taken.origin.offset) == Some(Dead::Held);
        if !is_held {
            return None;
        }
        let partition = self.assignment.get_mut(taken.slot)?;
        partition.tracker.expect(taken.sequence, 2);
        Some(Taken {
            extras: 1,
            ..taken.clone()
        })
    }

    /// It does not go there after all.
    pub(super) fn does_not_go(&mut self, taken: &Taken) {
        self.take_note_back(taken);
        if let (Some(key), Some(parking)) = (taken.key, self.families.parking_mut(taken.slot)) {
            parking.stays(key, taken.origin.offset);
        }
        if taken.extras > 0
            && let Some(partition) = self.assignment.get_mut(taken.slot)
        {
            partition.tracker.expect(taken.sequence, 1);
            self.stayed = Some((taken.slot, taken.sequence));
        }
    }

    /// A failed record was handed to the producer for a tier.
    pub(super) fn parked(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        tier: usize,
        due: i64,
        failed: bool,
    ) {
        if let Some(key) = self.key_of(taken, record)
            && let Some(parking) = self.families.parking_mut(taken.slot)
        {
            parking.parked(key, taken.origin.offset, tier, due, failed);
        }
    }

    /// Whether a record of the source may not go into retry, because too much is there: then its partition has been stopped
    /// at it.
    pub(super) fn is_full(&mut self, taken: &Taken, record: &Record<'_>, clock: Clock) -> bool {
        let is_source = |role: &Role| matches!(role, Role::Source);
        let partition = self.assignment.get(taken.slot);
        if !partition.is_some_and(|partition| is_source(&partition.role)) {
            return false;
        }
        let (Some(key), Some(parking)) = (
            self.key_of(taken, record),
            self.families.parking(taken.slot),
        ) else {
            return false;
        };
        if !parking.has_no_room(key, taken.origin.offset)
            || self.catches_up(taken)
            || self.is_followed_by_refused(taken, parking)
        {
            return false;
        }
        let detail = format!(
            "{} records of {} keys are in retry; it goes on when a tenth of them is through",
            parking.records(),
            parking.keys()
        );
        self.stand(taken, PauseReason::ParkedFull, &detail, clock);
        true
    }

    /// Whether room is taken by what was read behind this record of the source before the partition went back to it. It may
    /// have been refused, and then nothing but reading on frees its room: this record does not wait for that.
    fn is_followed_by_refused(&self, taken: &Taken, parking: &Parking) -> bool {
        let family = self.families.of(taken.slot);
        family.is_some_and(|family| {
            taken.offset < family.read_to && parking.has_within(taken.offset, family.read_to)
        })
    }

    /// Stops the partition at the record for a moment.
    pub(super) fn stand(&mut self, taken: &Taken, reason: PauseReason, detail: &str, clock: Clock) {
        let Some(partition) = self.assignment.get_mut(taken.slot) else {
            return;
        };
        let first = partition.fault.is_none();
        partition.stop(taken.offset, clock.now + CATCH_UP, reason);
        self.told(taken.slot, reason, detail, CATCH_UP, first, clock);
    }
}
