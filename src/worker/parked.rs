//! The order per key: records whose key has one in retry follow it there, and those of a key in retry go when it is their
//! turn. Who waits for whom is said by `failure::parking`; here it is asked, and what follows is produced. Without
//! `ordering: per_key` there is no family, and a record is asked about nothing.

use std::collections::HashMap;
use std::time::Duration;

use super::Clock;
use super::engine::{Engine, Fate, Step, Taken, Wait, too_large};
use super::ports::Event;
use crate::error::{Reason, RecordError};
use crate::failure::backoff;
use crate::failure::envelope::{Envelope, Origin};
use crate::failure::parking::{Control, Dead, Key, Limits, Parking};
use crate::health::PauseReason;
use crate::ingest::assignment::{Flow, Role};
use crate::native::consumer::Entry;
use crate::pipeline::Verdict;
use crate::record::{Header, Outcome, Record};
use rdkafka::types::RDKafkaErrorCode;

/// The least wait between two hops of a record that is not tried: it shall not go round as fast as the broker answers.
const HOP: Duration = Duration::from_millis(200);
/// How long a source partition waits for a key that is written to fast, or for room.
const CATCH_UP: Duration = Duration::from_millis(200);
/// A pause that something else ends.
const UNTIL_TOLD: Duration = Duration::from_secs(86_400);

/// A source partition, its retry partitions, and what is in retry.
#[derive(Debug)]
struct Family {
    parking: Parking,
    /// Slots of the retry partitions, by tier.
    tiers: Vec<usize>,
    /// What is read before anything is taken; `None` once that has been done.
    rebuild: Option<Rebuild>,
}

#[derive(Debug)]
struct Rebuild {
    ticket: u64,
    /// The source topic.
    source: String,
    /// The retry partitions, by tier, with where to read from.
    from: Vec<Entry>,
    /// The latest due time found, by tier.
    latest: Vec<i64>,
    tries: u32,
    /// When a reading that failed is tried again.
    again: Option<std::time::Instant>,
}

/// The families of a worker, by the slot of their source partition.
#[derive(Debug, Default)]
pub(super) struct Families {
    families: HashMap<usize, Family>,
    /// From the slot of each of its partitions.
    homes: HashMap<usize, usize>,
    names: HashMap<(String, i32), usize>,
}

impl Families {
    fn of(&self, slot: usize) -> Option<&Family> {
        self.families.get(self.homes.get(&slot)?)
    }

    fn of_mut(&mut self, slot: usize) -> Option<&mut Family> {
        self.families.get_mut(self.homes.get(&slot)?)
    }

    /// What is in retry of the partition's source.
    pub(super) fn parking(&self, slot: usize) -> Option<&Parking> {
        self.of(slot).map(|family| &family.parking)
    }

    fn parking_mut(&mut self, slot: usize) -> Option<&mut Parking> {
        self.of_mut(slot).map(|family| &mut family.parking)
    }

    /// The partition in this slot is no longer ours.
    pub(super) fn forget(&mut self, slot: usize) {
        self.homes.remove(&slot);
        if self.families.remove(&slot).is_some() {
            self.names.retain(|_, home| *home != slot);
        }
    }

    /// A record has its outcome.
    pub(super) fn finished(&mut self, slot: usize, (key, offset): (u128, i64), outcome: Outcome) {
        if outcome != Outcome::Retried
            && let Some(parking) = self.parking_mut(slot)
        {
            parking.resolved(Key(key), offset, outcome == Outcome::DeadLettered);
        }
    }

    /// Whether a source partition that had too much in retry may go on.
    pub(super) fn has_room_again(&self, slot: usize) -> bool {
        self.parking(slot).is_none_or(Parking::has_room_again)
    }

    /// Keys and records in retry of a source partition.
    pub(super) fn parked(&self, topic: &str, number: i32) -> Option<(usize, usize)> {
        let home = self.names.get(&(topic.to_owned(), number))?;
        let parking = &self.families.get(home)?.parking;
        Some((parking.keys(), parking.records()))
    }

    /// Whether a partition waits for what is in retry to be read.
    pub(super) fn is_rebuilding(&self) -> bool {
        self.families
            .values()
            .any(|family| family.rebuild.is_some())
    }
}

// --- what is in retry when a partition comes to us ----------------------------------------------------------------

impl Engine {
    /// Has what is in retry of the partitions read. Until that is done, nothing of their families is taken: a record of the
    /// source may have to wait for one in retry, and so may one in retry for another in the next tier.
    pub(super) fn rebuild(&mut self, sources: &[Entry], starts: &[Entry], clock: Clock) {
        let config = self.judge.config();
        let Some(per_key) = config.failure.per_key else {
            return;
        };
        let limits = Limits {
            keys: per_key.max_keys,
            records: per_key.max_records,
        };
        let count = config.failure.tiers.len();
        for source in sources {
            let (topic, number) = (source.topic.as_str(), source.partition);
            let retries: Vec<String> = (1..=count)
                .map(|tier| self.judge.config().retry_topic(topic, tier))
                .collect();
            let find = |topic: &str| self.assignment.find(topic, number);
            let Some(home) = find(topic) else { continue };
            let tiers: Vec<usize> = retries.iter().filter_map(|topic| find(topic)).collect();
            let from: Vec<Entry> = retries
                .iter()
                .filter_map(|topic| {
                    let start = |entry: &&Entry| entry.topic == *topic && entry.partition == number;
                    starts.iter().find(start).cloned()
                })
                .collect();
            let Some(ticket) = self.assignment.get(home).map(|partition| partition.epoch) else {
                continue;
            };
            self.survey.begin(ticket, topic, from.clone());
            for slot in std::iter::once(home).chain(tiers.iter().copied()) {
                self.families.homes.insert(slot, home);
                if let Some(partition) = self.assignment.get_mut(slot) {
                    partition.flow = Flow::Paused {
                        until: clock.now + UNTIL_TOLD,
                        reason: PauseReason::Rebuilding,
                    };
                }
                let detail = "what is in retry is read first, to know which keys wait";
                self.told(
                    slot,
                    PauseReason::Rebuilding,
                    detail,
                    UNTIL_TOLD,
                    false,
                    clock,
                );
            }
            self.families.names.insert((topic.to_owned(), number), home);
            let family = Family {
                parking: Parking::new(limits),
                rebuild: Some(Rebuild {
                    ticket,
                    source: topic.to_owned(),
                    latest: vec![0; from.len()],
                    from,
                    tries: 0,
                    again: None,
                }),
                tiers,
            };
            self.families.families.insert(home, family);
        }
    }

    /// Takes in what has been read of retry partitions.
    pub(super) fn surveyed(&mut self, clock: Clock) {
        if !self.families.is_rebuilding() {
            return;
        }
        for event in self.survey.poll() {
            let ticket = event.ticket();
            let mut families = self.families.families.values_mut();
            let Some(family) = families.find(|family| {
                family
                    .rebuild
                    .as_ref()
                    .is_some_and(|rebuild| rebuild.ticket == ticket)
            }) else {
                // Of a partition that is no longer ours.
                continue;
            };
            let Some(rebuild) = &mut family.rebuild else {
                continue;
            };
            match event {
                Event::Found { found, .. } => {
                    for found in found {
                        if let Some(latest) = rebuild.latest.get_mut(found.tier) {
                            *latest = (*latest).max(found.due);
                        }
                        if let Some(key) = found.key {
                            let (offset, tier) = (found.offset, found.tier);
                            family
                                .parking
                                .found(key, offset, tier, found.due, found.control);
                        }
                    }
                }
                Event::Failed { why, .. } => {
                    let wait = backoff::pause(rebuild.tries);
                    rebuild.tries = rebuild.tries.saturating_add(1);
                    rebuild.again = Some(clock.now + wait);
                    tracing::warn!(
                        pipeline = self.judge.config().name,
                        "what is in retry could not be read, and is read again: {why}"
                    );
                }
                Event::Done { .. } => {
                    let latest = std::mem::take(&mut rebuild.latest);
                    let slots = family.tiers.clone();
                    family.rebuild = None;
                    tracing::info!(
                        pipeline = self.judge.config().name,
                        worker = self.settings.slot,
                        keys = family.parking.keys(),
                        records = family.parking.records(),
                        "read what is in retry"
                    );
                    for (slot, due) in slots.iter().zip(latest) {
                        if let Some(partition) = self.assignment.get_mut(*slot) {
                            // What is there is known, so it need not be guessed.
                            partition.latest_due = due;
                        }
                    }
                    self.read_on(&slots, clock);
                }
            }
        }
        self.survey_again(clock);
    }

    /// The family of these retry partitions is taken now.
    fn read_on(&mut self, tiers: &[usize], clock: Clock) {
        let home = tiers.first().and_then(|slot| self.families.homes.get(slot));
        for slot in tiers.iter().chain(home) {
            if let Some(partition) = self.assignment.get_mut(*slot)
                && partition.is_paused_for(PauseReason::Rebuilding)
            {
                partition.flow = Flow::Paused {
                    until: clock.now,
                    reason: PauseReason::Rebuilding,
                };
            }
        }
    }

    fn survey_again(&mut self, clock: Clock) {
        for (home, family) in &mut self.families.families {
            let Some(rebuild) = &mut family.rebuild else {
                continue;
            };
            if rebuild.again.is_none_or(|at| at > clock.now) {
                continue;
            }
            rebuild.again = None;
            // A ticket of its own: what is still on its way of the reading before is not counted.
            rebuild.ticket = self.assignment.next_epoch();
            rebuild.latest.fill(0);
            family.parking.clear();
            tracing::debug!(slot = home, "what is in retry is read again");
            let (source, from) = (rebuild.source.clone(), rebuild.from.clone());
            self.survey.begin(rebuild.ticket, &source, from);
        }
    }
}

// --- whether a record may go ----------------------------------------------------------------------------------------

impl Engine {
    /// The key under which a record is in an order; `None` without one, and for a record whose place in this partition's
    /// source is not known.
    fn key_of(&self, taken: &Taken, record: &Record<'_>) -> Option<Key> {
        if taken.key.is_some() {
            return taken.key;
        }
        self.families.of(taken.slot)?;
        let partition = self.assignment.get(taken.slot)?;
        let origin = &taken.origin;
        let is_ours = origin.is_placed
            && origin.topic == partition.source()
            && origin.partition == partition.number;
        is_ours.then(|| Key::of(record.key)).flatten()
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
            Role::Retry { tier, .. } => Some(tier),
        };
        if tier.is_none() && family.parking.is_empty() {
            return;
        }
        let epoch = partition.epoch;
        taken.key = self.key_of(taken, record);
        let (Some(key), Some(parking)) = (taken.key, self.families.parking_mut(taken.slot)) else {
            return;
        };
        if taken.step == Step::Control {
            return;
        }
        let offset = taken.origin.offset;
        parking.read(key, offset, tier, epoch);
        if taken.step == Step::Judge {
            taken.step = match parking.doom(key, offset) {
                Some(dead) => Step::Doomed(dead),
                None if parking.must_wait(key, offset, epoch) => Step::Follow,
                None => Step::Judge,
            };
        }
    }

    /// What is to be done with a record now that those before it in the batch are finished. One of them may have gone into
    /// retry since it was run: then its verdict is thrown away.
    pub(super) fn step(&self, taken: &Taken, record: &Record<'_>) -> Step {
        let Some(parking) = self
            .families
            .parking(taken.slot)
            .filter(|parking| !parking.is_empty())
        else {
            return taken.step;
        };
        let partition = self.assignment.get(taken.slot);
        match (taken.step, self.key_of(taken, record), partition) {
            (Step::Judge, Some(key), Some(partition)) => {
                let offset = taken.origin.offset;
                match parking.doom(key, offset) {
                    Some(dead) => Step::Doomed(dead),
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
        if let (Some(key), Some(parking)) = (taken.key, self.families.parking_mut(taken.slot)) {
            parking.stays(key, taken.origin.offset);
        }
        if taken.extras > 0
            && let Some(partition) = self.assignment.get_mut(taken.slot)
        {
            partition.tracker.expect(taken.sequence, 1);
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
        if !parking.has_no_room(key, taken.origin.offset) {
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

    /// Stops the partition at the record for a moment.
    fn stand(&mut self, taken: &Taken, reason: PauseReason, detail: &str, clock: Clock) {
        let Some(partition) = self.assignment.get_mut(taken.slot) else {
            return;
        };
        let first = !partition.faulted;
        partition.stop(taken.offset, clock.now + CATCH_UP, reason);
        self.told(taken.slot, reason, detail, CATCH_UP, first, clock);
    }
}

// --- records that are not tried -------------------------------------------------------------------------------------

impl Engine {
    /// Sends a record behind the one of its key that is in retry. No attempt is spent.
    pub(super) fn follow(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        clock: Clock,
    ) {
        let Some(key) = self.key_of(taken, record) else {
            return;
        };
        let role = self.assignment.get(taken.slot).map(|p| p.role.clone());
        let from_source = role == Some(Role::Source);
        if from_source {
            if self.is_full(taken, record, clock) {
                return;
            }
            let parking = self.families.parking_mut(taken.slot);
            if parking.is_some_and(|parking| parking.should_wait_for(key, clock.wall)) {
                let detail = "a key that is written to fast catches up with its records in retry";
                return self.stand(taken, PauseReason::KeyCatchesUp, detail, clock);
            }
        }
        let parking = self.families.parking(taken.slot);
        let before = parking.and_then(|parking| parking.predecessor(key, taken.origin.offset));
        let tier = before.map_or(0, |before| before.tier);
        // It is due right behind what it follows, which is in that tier and not due later than anything in it. From the
        // source it goes there at once; from a retry topic only so often.
        let wait = if from_source { Duration::ZERO } else { HOP };
        let due = self.due(taken.slot, tier, Wait::For(wait), clock);
        let error = follows(&taken.origin, before.map(|before| before.offset));
        let envelope = match from_source {
            true => Envelope::following(self.judge.stamp(), &taken.origin, &error, own, due),
            false => Envelope::again(record, due),
        };
        match self.send_to_tier(
            taken,
            record.key,
            record.value,
            &envelope,
            hop(tier, Reason::Parked),
        ) {
            Ok(()) => self.parked(taken, record, tier, due, false),
            Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                let error = too_large("its retry topic");
                self.fail(taken, record, own, &error, clock);
            }
            Err(code) => self.not_sent_to_tier(taken, tier, code, clock),
        }
    }

    /// Sends a record round that was asked to wait longer than the longest tier. No attempt is spent.
    pub(super) fn rest(&mut self, taken: &Taken, record: &Record<'_>, clock: Clock) {
        let left = taken.origin.not_before.saturating_sub(clock.wall);
        let tiers = &self.judge.config().failure.tiers;
        let fits = |delay: &Duration| backoff::millis(*delay) >= left;
        let tier = tiers
            .iter()
            .position(fits)
            .unwrap_or(tiers.len().saturating_sub(1));
        let due = self.due(taken.slot, tier, Wait::Tier, clock);
        let reason = record.header(crate::headers::REASON);
        let reason = reason
            .and_then(|text| std::str::from_utf8(text).ok())
            .and_then(Reason::parse)
            .unwrap_or(Reason::LookupUnavailable);
        let envelope = Envelope::again(record, due);
        match self.send_to_tier(
            taken,
            record.key,
            record.value,
            &envelope,
            hop(tier, reason),
        ) {
            Ok(()) => self.parked(taken, record, tier, due, true),
            Err(code) => self.not_sent_to_tier(taken, tier, code, clock),
        }
    }

    /// What is to be written for a record in retry that becomes a dead letter, besides that.
    pub(super) fn dead(&self, taken: &Taken, reason: Reason) -> Option<Dead> {
        use crate::config::model::OnDead;
        let per_key = self.judge.config().failure.per_key?;
        let is_retry = |role: &Role| matches!(role, Role::Retry { .. });
        let partition = self.assignment.get(taken.slot);
        partition.filter(|partition| is_retry(&partition.role))?;
        let (key, offset) = (taken.key?, taken.origin.offset);
        let parking = self.families.parking(taken.slot)?;
        if reason == Reason::PredecessorDeadLettered || parking.dead(key, offset).is_some() {
            return None;
        }
        match per_key.on_dead {
            OnDead::Release => None,
            OnDead::Park => Some(Dead::Held),
            OnDead::DeadLetterFollowers => {
                let last = parking.last_follower(key, offset)?;
                Some(Dead::Doomed(last.offset))
            }
        }
    }

    /// Writes to a retry topic what stands for a dead letter in front of its followers: without it, nobody would know of
    /// it after a restart. It is as little as a record can be: key and headers.
    pub(super) fn stand_for(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        dead: Dead,
        reason: Reason,
        clock: Clock,
    ) {
        let Some(key) = taken.key else { return };
        let (offset, tiers) = (taken.origin.offset, self.judge.config().failure.tiers.len());
        let parking = self.families.parking(taken.slot);
        let (tier, wait) = match dead {
            Dead::Held => (tiers.saturating_sub(1), Wait::Tier),
            // Behind the last one that it takes along.
            Dead::Doomed(last) => {
                let last = parking.and_then(|parking| parking.last_within(key, offset, last));
                (last.map_or(0, |last| last.tier), Wait::For(HOP))
            }
        };
        let due = self.due(taken.slot, tier, wait, clock);
        let error = RecordError::new(
            Reason::Parked,
            format!("stands for the dead letter {}", taken.origin.position()),
        );
        let envelope = Envelope::following(self.judge.stamp(), &taken.origin, &error, &[], due)
            .saying(Control::Dead(dead));
        let fate = Fate {
            outcome: Outcome::DeadLettered,
            extra: true,
            ..hop(tier, reason)
        };
        match self.send_to_tier(taken, record.key, None, &envelope, fate) {
            Ok(()) => {
                if let Some(parking) = self.families.parking_mut(taken.slot) {
                    parking.dies(key, offset, dead, tier, due);
                }
            }
            Err(code) => self.not_sent_to_tier(taken, tier, code, clock),
        }
    }

    /// A record went through whose followers are held: says so behind what holds them.
    pub(super) fn let_go(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        outcome: Outcome,
        clock: Clock,
    ) {
        let (Some(key), Some(partition)) = (taken.key, self.assignment.get(taken.slot)) else {
            return;
        };
        // It may have failed on its last step, or stopped its partition.
        let epoch = partition.epoch;
        let is_there = partition.rewind.is_none() && partition.tracker.holds(taken.sequence);
        let parking = self.families.parking(taken.slot);
        let goes = |parking: &Parking| parking.is_passing(key, taken.origin.offset, epoch);
        if !is_there || !parking.is_some_and(goes) {
            return;
        }
        let tier = self.judge.config().failure.tiers.len().saturating_sub(1);
        let due = self.due(taken.slot, tier, Wait::For(Duration::ZERO), clock);
        let error = RecordError::new(
            Reason::Parked,
            format!("{} went through", taken.origin.position()),
        );
        let envelope = Envelope::following(self.judge.stamp(), &taken.origin, &error, &[], due)
            .saying(Control::Released);
        let fate = Fate {
            outcome,
            extra: true,
            ..hop(tier, Reason::Parked)
        };
        if let Err(code) = self.send_to_tier(taken, record.key, None, &envelope, fate) {
            self.not_sent_to_tier(taken, tier, code, clock);
        }
    }

    /// What is no record of the source: goes round as long as it has something to say.
    pub(super) fn control(&mut self, taken: &Taken, record: &Record<'_>, clock: Clock) {
        let hop_to = self.still_said(taken);
        let Some((key, tier, wait)) = hop_to else {
            if let (Some(key), Some(parking)) = (taken.key, self.families.parking_mut(taken.slot)) {
                parking.released(key, taken.origin.offset);
            }
            return self.filtered(&Taken {
                key: None,
                ..taken.clone()
            });
        };
        let due = self.due(taken.slot, tier, wait, clock);
        let envelope = Envelope::again(record, due);
        match self.send_to_tier(
            taken,
            record.key,
            None,
            &envelope,
            hop(tier, Reason::Parked),
        ) {
            Ok(()) => {
                if let Some(parking) = self.families.parking_mut(taken.slot) {
                    parking.stands(key, taken.origin.offset, tier, due);
                }
            }
            Err(code) => self.not_sent_to_tier(taken, tier, code, clock),
        }
    }

    /// Whether what stands for a dead letter still does, and where it waits on.
    fn still_said(&self, taken: &Taken) -> Option<(Key, usize, Wait)> {
        use crate::config::model::OnDead;
        let failure = &self.judge.config().failure;
        let (key, offset) = (taken.key?, taken.origin.offset);
        let parking = self.families.parking(taken.slot)?;
        let dead = parking.dead(key, offset)?;
        match (taken.origin.control?, dead) {
            (Control::Dead(Dead::Held), Dead::Held) if failure.per_key?.on_dead == OnDead::Park => {
                Some((key, failure.tiers.len().checked_sub(1)?, Wait::Tier))
            }
            (Control::Dead(Dead::Doomed(last)), Dead::Doomed(_)) => {
                let last = parking.last_within(key, offset, last)?;
                Some((key, last.tier, Wait::For(HOP)))
            }
            _ => None,
        }
    }
}

fn hop(tier: usize, reason: Reason) -> Fate {
    Fate {
        outcome: Outcome::Retried,
        sink: 0,
        tier,
        reason: Some(reason),
        extra: false,
    }
}

fn follows(origin: &Origin, before: Option<i64>) -> RecordError {
    let behind = match before {
        Some(offset) => format!("{}-{}@{offset}", origin.topic, origin.partition),
        None => "a record".to_owned(),
    };
    RecordError::new(
        Reason::Parked,
        format!("follows {behind} of its key, which is in retry"),
    )
}

/// The error of a record that another one takes to the dead letters.
pub(super) fn doomed(origin: &Origin, dead: i64) -> RecordError {
    RecordError::new(
        Reason::PredecessorDeadLettered,
        format!(
            "{}-{}@{dead} of its key, which it waited for, became a dead letter",
            origin.topic, origin.partition
        ),
    )
}
