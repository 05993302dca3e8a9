//! Records that are not tried: those that follow another one of their key, those that were asked to wait longer than the
//! longest tier, and what stands in a retry topic for a dead letter.

use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use crate::config::model::OnDead;
use crate::error::{Reason, RecordError};
use crate::failure::backoff;
use crate::failure::envelope::{self, Envelope, Origin};
use crate::failure::parking::{Control, Dead, Key, Parking};
use crate::health::PauseReason;
use crate::ingest::assignment::{Refused, Role};
use crate::record::{Header, Outcome, Record};
use crate::worker::Clock;
use crate::worker::engine::{Engine, Fate, Taken, Wait};

/// The least wait between two hops of a record that is not tried: it shall not go round as fast as the broker answers.
const HOP: Duration = Duration::from_millis(200);

impl Engine {
    /// Sends a record behind the one of its key that is in retry. No attempt is spent.
    pub(in crate::worker) fn follow(
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
            Ok(true) => self.parked(taken, record, tier, due, false),
            Ok(false) => {}
            Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                self.too_large_to_wait(taken, record, own, tier, Reason::Parked, clock);
            }
            Err(code) => self.not_sent_to_tier(taken, tier, code, clock),
        }
    }

    /// Sends a record round that was asked to wait longer than the longest tier. No attempt is spent.
    pub(in crate::worker) fn rest(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        clock: Clock,
    ) {
        let left = taken.origin.not_before.saturating_sub(clock.wall);
        let tiers = &self.judge.config().failure.tiers;
        let fits = |delay: &Duration| backoff::millis(*delay) >= left;
        let tier = tiers
            .iter()
            .position(fits)
            .unwrap_or(tiers.len().saturating_sub(1));
        let due = self.due(taken.slot, tier, Wait::Tier, clock);
        let reason = envelope::reason(record).unwrap_or(Reason::LookupUnavailable);
        let envelope = Envelope::again(record, due);
        match self.send_to_tier(
            taken,
            record.key,
            record.value,
            &envelope,
            hop(tier, reason),
        ) {
            Ok(true) => self.parked(taken, record, tier, due, true),
            Ok(false) => {}
            Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                self.too_large_to_wait(taken, record, own, tier, reason, clock);
            }
            Err(code) => self.not_sent_to_tier(taken, tier, code, clock),
        }
    }

    /// What is to be written for a record in retry that becomes a dead letter, besides that.
    pub(in crate::worker) fn dead(&self, taken: &Taken, reason: Reason) -> Option<Dead> {
        let per_key = self.judge.config().order()?.per_key;
        let is_retry = |role: &Role| matches!(role, Role::Retry { .. });
        let partition = self.assignment.get(taken.slot);
        partition.filter(|partition| is_retry(&partition.role))?;
        let (key, offset) = (taken.key?, taken.origin.offset);
        let parking = self.families.parking(taken.slot)?;
        if reason == Reason::PredecessorDeadLettered || parking.is_told(key, offset) {
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
    pub(in crate::worker) fn stand_for(
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
            Ok(false) => {}
            Ok(true) => {
                if let Some(parking) = self.families.parking_mut(taken.slot) {
                    parking.dies(key, offset, dead, tier, due);
                }
            }
            Err(code) => self.not_sent_along(taken, fate, code, clock),
        }
    }

    /// A record went through whose followers are held: says so behind what holds them.
    pub(in crate::worker) fn let_go(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        outcome: Outcome,
        clock: Clock,
    ) {
        let Some(partition) = self.assignment.get(taken.slot) else {
            return;
        };
        // It may have failed on its last step, or stopped its partition. If not, its books wait for this, even when another
        // copy of it has gone through meanwhile and nobody is held any more.
        let failed = self.stayed == Some((taken.slot, taken.sequence));
        let is_there = partition.rewind.is_none() && partition.tracker.holds(taken.sequence);
        if failed || !is_there {
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
            self.not_sent_along(taken, fate, code, clock);
        }
    }

    /// What goes with an outcome could not be queued. The outcome is, unless there is nothing to it, and its record is read
    /// again: under exactly_once it is taken back before that.
    fn not_sent_along(&mut self, taken: &Taken, fate: Fate, code: RDKafkaErrorCode, clock: Clock) {
        let Some(partition) = self.assignment.get(taken.slot) else {
            return;
        };
        let is_silent = matches!(fate.outcome, Outcome::Filtered | Outcome::Duplicate);
        if self.transaction.is_none() || is_silent {
            return self.not_sent_to_tier(taken, fate.tier, code, clock);
        }
        let config = self.judge.config();
        let topic = config.retry_topic(partition.source(), fate.tier + 1);
        self.half_sent(taken, &topic, code);
    }

    /// What is no record of the source: goes round as long as it has something to say.
    pub(in crate::worker) fn control(&mut self, taken: &Taken, record: &Record<'_>, clock: Clock) {
        let partition = self.assignment.get_mut(taken.slot);
        let refused = partition.and_then(|partition| partition.refused.remove(&taken.offset));
        if let Some(Refused { error, .. }) = refused {
            // It can be no dead letter, and is as short as it can be: it waits for a topic that takes it.
            let (reason, detail) = (PauseReason::BrokerRefused, error.to_string());
            return self.pause(taken.slot, taken.offset, reason, &detail, None, clock);
        }
        let hop_to = self.still_said(taken);
        let Some((key, tier, wait)) = hop_to else {
            if self.is_release(taken, record) {
                return self.release(taken, record, clock);
            }
            if let (Some(key), Some(parking)) = (taken.key, self.families.parking_mut(taken.slot)) {
                parking.released(key, taken.origin.offset);
            }
            let taken = Taken {
                key: None,
                ..taken.clone()
            };
            return self.silent(&taken, Outcome::Filtered);
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
            Ok(false) => {}
            Ok(true) => {
                if let Some(parking) = self.families.parking_mut(taken.slot) {
                    parking.stands(key, taken.origin.offset, tier, due);
                }
            }
            Err(code) => self.not_sent_to_tier(taken, tier, code, clock),
        }
    }

    /// Whether it lets followers go, and has to say so once more: it is read for the first time, or they are held until now.
    fn is_release(&self, taken: &Taken, record: &Record<'_>) -> bool {
        let parking = self.families.parking(taken.slot);
        let held = |parking: &Parking| parking.dead(taken.key?, taken.origin.offset);
        let is_held = parking.and_then(held) == Some(Dead::Held);
        taken.origin.control == Some(Control::Released)
            && taken.key.is_some()
            && (is_held || !envelope::has_hopped(record))
    }

    /// Followers are let go. What held them may stand in the topic behind what says so, since it went round until the record
    /// was acknowledged: once more that goes behind it, so that whoever gets the partition before that has been read finds
    /// both in their order. From here on what held them goes round no more.
    fn release(&mut self, taken: &Taken, record: &Record<'_>, clock: Clock) {
        let (Some(key), tiers) = (taken.key, self.judge.config().failure.tiers.len()) else {
            return;
        };
        let tier = tiers.saturating_sub(1);
        let due = self.due(taken.slot, tier, Wait::For(HOP), clock);
        let envelope = Envelope::again(record, due);
        let fate = hop(tier, Reason::Parked);
        let taken = &Taken {
            key: None,
            ..taken.clone()
        };
        match self.send_to_tier(taken, record.key, None, &envelope, fate) {
            Ok(false) => {}
            Ok(true) => {
                if let Some(parking) = self.families.parking_mut(taken.slot) {
                    parking.released(key, taken.origin.offset);
                }
            }
            Err(code) => self.not_sent_to_tier(taken, tier, code, clock),
        }
    }

    /// Whether what stands for a dead letter still does, and where it waits on.
    fn still_said(&self, taken: &Taken) -> Option<(Key, usize, Wait)> {
        let failure = &self.judge.config().failure;
        let order = self.judge.config().order()?;
        let (key, offset) = (taken.key?, taken.origin.offset);
        let parking = self.families.parking(taken.slot)?;
        let dead = parking.dead(key, offset)?;
        match (taken.origin.control?, dead) {
            (Control::Dead(Dead::Held), Dead::Held) if order.per_key.on_dead == OnDead::Park => {
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
pub(in crate::worker) fn doomed(origin: &Origin, dead: i64) -> RecordError {
    RecordError::new(
        Reason::PredecessorDeadLettered,
        format!(
            "{}-{}@{dead} of its key, which it waited for, became a dead letter",
            origin.topic, origin.partition
        ),
    )
}
