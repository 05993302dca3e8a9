//! What happens between batches: acknowledgements, rewinds, pauses that end, commits, lag, the watchdog.

use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use super::Clock;
use super::engine::{Engine, not_retried, refused_for_size};
use super::parked::Part;
use super::ports::Positions;
use super::refusal;
use super::standing::is_trip;
use super::transaction::{destination, is_barred};
use crate::emit::in_flight::InFlight;
use crate::error::{Reason, RecordError};
use crate::failure::backoff;
use crate::failure::envelope::SHORTEST;
use crate::health::{Dependency, Health, PauseReason};
use crate::ingest::assignment::{Flow, Partition, Refused, Rewind, Role};
use crate::ingest::standing::Standing;
use crate::native::consumer::Entry;
use crate::record::Outcome;

/// Unchanged offsets are committed this often: brokers forget the offsets of topics that no member subscribes to, which
/// is what retry topics are. A week passes by default before they do; some clusters give less than a day.
pub(super) const RECOMMIT: Duration = Duration::from_secs(3600);
/// How often lag is looked at and the watchdog runs.
const LOOK: Duration = Duration::from_secs(1);
/// So many partitions at a time, in turns: to ask librdkafka about one takes it as long as there are topics.
const AT_A_LOOK: usize = 512;
/// How long a look asks a cluster that was away.
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// How often it is looked whether a partition that has too much in retry may go on.
const FULL_WAIT: Duration = Duration::from_millis(200);
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);

impl Engine {
    /// Serves the producer and acts on what it reports.
    pub(super) fn settle(&mut self, client: &dyn Positions) {
        self.outlet.poll(Duration::ZERO, &mut self.deliveries);
        let clock = self.time.read();
        self.acknowledge(clock);
        match self.must_abort() {
            true => self.abort(clock),
            false => self.rewind(clock),
        }
        self.find_range(client, clock);
        self.hold(client, clock);
    }

    /// Applies delivery reports: acknowledged outcomes complete their record, refused ones ask for a rewind.
    pub(super) fn acknowledge(&mut self, clock: Clock) {
        let mut deliveries = std::mem::take(&mut self.deliveries);
        // For a topic that may not be written to, which is not named.
        let mut given_up = Vec::new();
        self.let_go = (0, 0);
        for delivery in deliveries.drain(..) {
            if self.entry_answered(&delivery, clock) {
                continue;
            }
            let Some(sent) = self.in_flights.remove(delivery.token) else {
                continue;
            };
            let Some(partition) = self
                .assignment
                .get_mut(sent.slot)
                .filter(|partition| partition.epoch == sent.epoch)
            else {
                continue;
            };
            let Some(code) = delivery.error else {
                if let (true, Outcome::DeadLettered, Some(parked)) =
                    (sent.extra, sent.outcome, sent.parked)
                {
                    self.families.told(sent.slot, parked);
                }
                if let Some(transaction) = &mut self.transaction {
                    let is_complete = transaction.acknowledged(partition, sent);
                    if let (true, Some(parked)) = (is_complete, sent.parked) {
                        self.families.finished(sent.slot, parked, sent.ends_as());
                    }
                    continue;
                }
                if sent.outcome == Outcome::Emitted && !sent.extra {
                    let topic = &self.judge.sinks()[sent.sink].topic;
                    partition.metrics.output(sent.sink, topic);
                }
                // One of several, or of a record that has been stopped meanwhile: no outcome yet.
                if !partition.tracker.complete(sent.sequence, sent.outcome) {
                    continue;
                }
                if let Some(parked) = sent.parked {
                    self.families.finished(sent.slot, parked, sent.ends_as());
                }
                if let Some(decisions) = &mut partition.decisions {
                    decisions.settle(partition.tracker.committable());
                }
                got_through(&self.shared.health, &self.judge.config().name, partition);
                let done = Done::of(&sent);
                done.count(partition, clock);
                continue;
            };
            let purged = matches!(
                code,
                RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight
            );
            // It was thrown away with the rest of a transaction that had failed for another reason.
            let failure = match purged && self.transaction.is_some() {
                true => self.outlet.failure(),
                false => None,
            };
            if failure.as_ref().is_some_and(is_barred) {
                given_up.push(sent);
                continue;
            }
            let barred = RDKafkaErrorCode::TopicAuthorizationFailed;
            if let Some(transaction) = self.transaction.as_mut().filter(|_| code == barred) {
                transaction.barred_from(partition.source(), &sent);
            }
            let own_fault = OwnFault::of(code, sent.written, clock.wall);
            let (reason, topic) = destination(&*self.judge, partition.source(), &sent);
            let is_output = sent.outcome == Outcome::Emitted && !sent.extra;
            if is_output && code != RDKafkaErrorCode::InvalidDifferentRecord {
                let doubted = partition.doubted.entry(sent.offset).or_default();
                doubted.insert(sent.sink);
            }
            let pause = if code == RDKafkaErrorCode::InvalidDifferentRecord {
                // Another record of its batch is to blame, and is told so.
                None
            } else if own_fault.is_some() && !sent.alone {
                // A batch is refused whole: which of its records is to blame shows when each is produced alone.
                partition.suspects.insert(sent.offset);
                None
            } else if let (Some(fault), true) = (own_fault, is_output) {
                // The record's own fault: it becomes a dead letter when it is read again.
                let (error, by_tier) = (fault.error(&topic), false);
                let refused = Refused { error, by_tier };
                partition.refused.insert(sent.offset, refused);
                None
            } else if own_fault == Some(OwnFault::Time) && partition.untimed.insert(sent.offset) {
                // Once more with the time of writing. Its own one is in its headers.
                None
            } else if let (Some(fault), Outcome::Retried) = (own_fault, sent.outcome) {
                // Nobody will change the retry topic for one record: it becomes a dead letter when it is read again.
                let error = not_retried(fault.error(&topic), sent.reason);
                let by_tier = true;
                let refused = Refused { error, by_tier };
                partition.refused.insert(sent.offset, refused);
                None
            } else if own_fault == Some(OwnFault::Size) && shorten(partition, sent.offset) {
                // Once more with shorter headers, before the partition waits for a larger topic.
                None
            } else {
                // A gap that an earlier refusal left; see `commit_transaction`.
                let gap = RDKafkaErrorCode::OutOfOrderSequenceNumber;
                let is_gap = failure.as_ref().map_or(code, |failure| failure.code) == gap;
                let why = match failure {
                    Some(failure) => failure.message,
                    None => refusal::in_words(code),
                };
                let fault = (reason, format!("{topic}: not acknowledged: {why}"));
                Some(fault).filter(|_| !is_gap || self.transaction.is_none())
            };
            // The first failure decides; the ones behind it are read again with it.
            partition.rewind.get_or_insert(Rewind { pause });
            self.families.refused(sent.slot, clock.now);
            if let Some(transaction) = &mut self.transaction {
                transaction.doomed = true;
            }
        }
        self.deliveries = deliveries;
        if given_up.is_empty() {
            return;
        }
        if let Some(why) = self.barred_from_a_topic() {
            self.blame_topic(&given_up, &why);
        }
    }

    /// A partition is to be read again from its first incomplete record, under exactly_once from where the last commit
    /// left it, which then aborts all that was done since: at the next [`Self::settle`], since this may be called from
    /// within a batch. With `pause` it waits before that.
    pub(super) fn doom(&mut self, slot: usize, pause: Option<(PauseReason, String)>) {
        if let Some(partition) = self.assignment.get_mut(slot) {
            partition.rewind.get_or_insert(Rewind { pause });
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.doomed = true;
        }
    }

    /// Carries out the rewinds that were asked for: to the first record that is not acknowledged, so that order is kept.
    fn rewind(&mut self, clock: Clock) {
        for slot in self.slots() {
            let epoch = self.assignment.next_epoch();
            let Some(partition) = self.assignment.get_mut(slot) else {
                continue;
            };
            let Some(rewind) = partition.rewind.take() else {
                continue;
            };
            partition.epoch = epoch;
            let offset = partition.tracker.first_incomplete();
            self.families.goes_back(slot, partition.tracker.expected());
            partition.rewind_to(offset);
            if partition.is_paused_for(PauseReason::ParkedFull) {
                // What has filled it may be among what is read again, and have no place in retry yet.
                partition.flow = Flow::Open;
                told_open(&self.shared.health, &self.judge.config().name, partition);
            }
            if let Some((reason, detail)) = rewind.pause {
                let wait = backoff::pause(partition.tries);
                partition.tries = partition.tries.saturating_add(1);
                let first = partition.tries == 1;
                partition.flow = Flow::Paused {
                    until: clock.now + wait,
                    reason,
                };
                // It goes alone next time: should it be refused again, nothing behind it has been written once more.
                partition.suspects.insert(offset);
                self.told(slot, reason, &detail, wait, first, clock);
            }
        }
    }

    /// Makes librdkafka pause and seek what has to be, and go on with what may.
    fn hold(&mut self, client: &dyn Positions, clock: Clock) {
        for slot in self.slots() {
            let Some(partition) = self
                .assignment
                .get_mut(slot)
                .filter(|partition| !partition.fresh || partition.seek.is_none())
            else {
                continue;
            };
            if let Flow::Paused { until, reason } = partition.flow
                && until <= clock.now
                && partition.seek.is_none()
                && !partition.ledger.is_refused()
            {
                if reason == PauseReason::ParkedFull && !self.families.has_room_again(slot) {
                    let until = clock.now + FULL_WAIT;
                    partition.flow = Flow::Paused { until, reason };
                    continue;
                }
                partition.flow = Flow::Open;
                // A fault stays told while its record is tried again, until something gets through: else whoever asks
                // in between would see a pause that comes and goes.
                if partition.fault.is_none() && partition.barred.is_none() {
                    told_open(&self.shared.health, &self.judge.config().name, partition);
                }
            }
            let Some(partition) = self.assignment.get_mut(slot) else {
                continue;
            };
            if let Err(error) = hold_one(client, partition) {
                tracing::warn!(
                    topic = partition.topic,
                    partition = partition.number,
                    "{error}; tried again"
                );
            }
        }
    }

    fn slots(&self) -> Vec<usize> {
        self.assignment.stirred_where(|partition| {
            partition.rewind.is_some()
                || partition.seek.is_some()
                || partition.held
                || partition.barred.is_some()
                || partition.flow != Flow::Open
        })
    }

    /// Pauses that end, commits, lag and the watchdog.
    pub(super) fn timers(&mut self, client: &dyn Positions, clock: Clock) {
        self.transact(client, clock);
        self.hold(client, clock);
        if self.transaction.is_none() && (clock.now >= self.next_commit || self.has_many_notes()) {
            self.next_commit = clock.now + self.settings.commit_interval;
            let due = self.commits(&self.assignment.slots(), RECOMMIT, clock);
            self.send_commits(client, due, None);
        } else {
            let written = |partition: &Partition| partition.ledger.acknowledged.is_some();
            let written = self.acknowledged_commits(&self.assignment.stirred_where(written));
            self.send_commits(client, written, None);
        }
        if clock.now >= self.next_look {
            self.next_look = clock.now + LOOK;
            self.look(client, clock);
        }
    }

    /// Commits all that may be committed, for the last time, and waits for the answer.
    pub(super) fn commit(&mut self, client: &dyn Positions, patience: Duration) {
        if self.transaction.is_some() {
            return self.commit_transaction(client, Some(patience));
        }
        self.assignment.iter_mut().for_each(Partition::doubt_commit);
        let slots = self.assignment.slots();
        let entries = self.last_commits(&slots, RECOMMIT, patience);
        let patience = self.commit_patience();
        self.send_commits(client, entries, Some(patience));
    }

    /// Sends commits. The result of those that do not wait comes to [`Self::committed`].
    fn send_commits(
        &mut self,
        client: &dyn Positions,
        entries: Vec<Entry>,
        wait: Option<Duration>,
    ) {
        if entries.is_empty() {
            return;
        }
        let now = self.time.read().now;
        let result = client.commit(&entries, wait);
        if wait.is_some() {
            self.metrics.commit(result.is_ok());
        }
        if let Err(code) = &result {
            tracing::warn!(%code, "commit refused; tried again at the next interval");
            return;
        }
        for entry in &entries {
            let slot = self.assignment.find(&entry.topic, entry.partition);
            if let Some(partition) = slot.and_then(|slot| self.assignment.get_mut(slot)) {
                partition.committed = Some(entry.offset);
                // What the entry says, and not what stands by now: it may have waited for the ledger.
                let metadata = entry.metadata.as_deref().unwrap_or_default();
                partition.said = Standing::of_metadata(metadata);
                partition.committed_at = now;
                partition.unanswered += usize::from(wait.is_none());
                partition.metrics.set_committed(entry.offset);
            }
        }
    }

    /// The answer to a commit.
    pub(super) fn committed(&mut self, error: Option<RDKafkaErrorCode>, entries: &[Entry]) {
        for entry in entries {
            let slot = self.assignment.find(&entry.topic, entry.partition);
            if let Some(partition) = slot.and_then(|slot| self.assignment.get_mut(slot)) {
                partition.unanswered = partition.unanswered.saturating_sub(1);
            }
        }
        if error == Some(RDKafkaErrorCode::NoOffset) {
            return;
        }
        self.metrics.commit(error.is_none());
        let Some(code) = error else {
            self.answered();
            return;
        };
        // Usual while the group rebalances: the next commit, or the next owner, says it again.
        tracing::debug!(%code, "commit not taken");
        for entry in entries {
            let slot = self.assignment.find(&entry.topic, entry.partition);
            if let Some(partition) = slot.and_then(|slot| self.assignment.get_mut(slot)) {
                partition.committed = None;
            }
        }
    }

    /// A broker has answered.
    pub(super) fn answered(&mut self) {
        if std::mem::take(&mut self.unreachable) {
            tracing::info!(
                pipeline = self.judge.config().name,
                worker = self.settings.slot,
                "the broker answers again"
            );
        }
        self.shared.health.dependency(Dependency::Broker, Ok(()));
    }

    fn look(&mut self, client: &dyn Positions, clock: Clock) {
        let name = self.judge.config().name.clone();
        self.shared.health.worker_alive(&name, self.settings.slot);
        if client.joined() {
            self.shared.health.worker_joined(&name, self.settings.slot);
        }
        // A cluster that was away has to be asked: with nothing to read or commit, nothing else would tell. A transaction
        // that waits for an answer tells it itself.
        let asks = self.unreachable && !self.is_unresolved() && !self.is_refused(clock);
        if asks && client.reachable(PROBE_TIMEOUT) {
            self.answered();
        }
        self.look_for_barred(client, clock);
        self.look_for_gone(client, clock);
        let stuck_after = self.settings.stuck_after;
        let (slots, next) = self.assignment.in_turns(self.look_from, AT_A_LOOK);
        self.look_from = next;
        for slot in slots {
            let Some(partition) = self.assignment.get_mut(slot) else {
                continue;
            };
            let committable = partition.tracker.committable();
            let high = client
                .watermarks(&partition.topic, partition.number)
                .map(|(_, high)| high);
            // Behind the last record of a transaction there is a marker, which is no lag.
            let idle = partition.is_open() && partition.tracker.in_flight() == 0;
            let position = idle
                .then(|| client.position(&partition.topic, partition.number))
                .flatten();
            let reached = committable.max(position.unwrap_or(0));
            let lag = high.map_or(0, |high| (high - reached).max(0));
            match partition.role {
                Role::Source => partition.metrics.set_lag(lag),
                Role::Retry { .. } => {
                    partition.metrics.set_retries_pending(lag);
                    let since = partition.waits_since().filter(|_| lag > 0);
                    let (topic, number) = (&partition.topic, partition.number);
                    self.shared.health.retry_waits(&name, topic, number, since);
                }
            }
            partition.metrics.set_in_flight(partition.tracker.open());
            if let Some((keys, records)) = self.families.parked(&partition.topic, partition.number)
            {
                partition.metrics.set_parked(keys, records);
            }
            let remembered = self.families.remembered(&partition.topic, partition.number);
            for (part, keys) in remembered {
                match part {
                    Part::Dedup => partition.metrics.set_seen(keys),
                    Part::Stale => partition.metrics.set_newest(keys),
                }
            }
            let (topic, number) = (&partition.topic, partition.number);
            if let Some(bytes) = self.families.disk_bytes(topic, number) {
                partition.metrics.set_state_bytes(bytes);
            }
            if let Some(left) = self.families.state_left(topic, number) {
                partition.metrics.set_state_remaining(left);
            }
            let moved = partition.seen != committable || lag == 0;
            partition.seen = committable;
            if lag == 0 {
                got_through(&self.shared.health, &name, partition);
            }
            // A pause says itself why. But for a full queue: should that never end, somebody has to be told.
            let waits = partition.barred.is_some()
                || match partition.flow {
                    Flow::Open => partition.fault.is_some(),
                    Flow::Paused { reason, .. } => reason != PauseReason::Backpressure,
                };
            if moved || waits {
                partition.progressed_at = clock.now;
                if std::mem::take(&mut partition.stuck) {
                    partition.metrics.set_stuck(false);
                    let health = &self.shared.health;
                    health.unstuck(&name, &partition.topic, partition.number);
                    tracing::info!(
                        pipeline = name,
                        topic = partition.topic,
                        partition = partition.number,
                        "moves again"
                    );
                }
            } else if !partition.stuck
                && clock.now.saturating_duration_since(partition.progressed_at) >= stuck_after
            {
                partition.stuck = true;
                partition.metrics.set_stuck(true);
                let health = &self.shared.health;
                health.stuck(&name, &partition.topic, partition.number);
                tracing::warn!(
                    pipeline = name,
                    owner = %self.judge.config().owner,
                    topic = partition.topic,
                    partition = partition.number,
                    lag,
                    "has lag and makes no progress"
                );
            }
        }
    }

    /// Waits for acknowledgements, at most `grace`.
    pub(super) fn drain(&mut self, grace: Duration) {
        let until = self.time.read().now + grace;
        // What has come in by now counts, however little time there is.
        self.outlet.poll(Duration::ZERO, &mut self.deliveries);
        self.acknowledge(self.time.read());
        while !self.in_flights.is_empty() {
            let left = until.saturating_duration_since(self.time.read().now);
            if left.is_zero() || self.is_doomed() || self.outlet.fatal_error().is_some() {
                break;
            }
            self.outlet
                .flush(left.min(Duration::from_millis(100)), &mut self.deliveries);
            self.acknowledge(self.time.read());
            if !self.in_flights.is_empty() && self.has_failed() {
                break;
            }
        }
    }
}

/// What a broker finds wrong with a record of a batch, which it refuses whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnFault {
    /// Larger than its topic takes.
    Size,
    /// Its timestamp is too far from the broker's clock (`message.timestamp.after.max.ms`).
    Time,
    /// The broker's own check of it: a compacted topic takes no record without a key.
    Content,
}

/// A timestamp further from our clock than this, in milliseconds, is not what a record has that has just been written.
const AHEAD: i64 = 60_000;
const BEHIND: i64 = 3_600_000;

impl OwnFault {
    fn of(code: RDKafkaErrorCode, written: Option<i64>, now: i64) -> Option<OwnFault> {
        match code {
            RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize => {
                Some(OwnFault::Size)
            }
            // One that is about now is refused by a broker whose clock is wrong, and so is the next one: an outage.
            RDKafkaErrorCode::InvalidTimestamp => {
                let odd = |time| time > now + AHEAD || time < now - BEHIND;
                written.is_some_and(odd).then_some(OwnFault::Time)
            }
            RDKafkaErrorCode::InvalidRecord => Some(OwnFault::Content),
            _ => None,
        }
    }

    fn error(self, topic: &str) -> RecordError {
        let refused = |why| RecordError::new(Reason::RecordRefused, format!("{topic}: {why}"));
        match self {
            OwnFault::Size => refused_for_size(topic),
            OwnFault::Time => refused(
                "its timestamp is too far from the broker's clock for the topic \
                 (message.timestamp.after.max.ms, message.timestamp.before.max.ms)",
            ),
            OwnFault::Content => {
                refused("the broker refuses the record: a compacted topic takes none without a key")
            }
        }
    }
}

/// Notes that the dead letter of a record is to have shorter headers. False once they are as short as they may be; then it
/// begins anew, since somebody may have made the topic larger meanwhile.
fn shorten(partition: &mut Partition, offset: i64) -> bool {
    let steps = partition.shortened.remove(&offset).unwrap_or(0);
    let shorter = steps < SHORTEST;
    if shorter {
        partition.shortened.insert(offset, steps + 1);
    }
    shorter
}

/// Something of the partition got through: pauses begin short again, and a fault that was told is over.
pub(super) fn got_through(health: &Health, pipeline: &str, partition: &mut Partition) {
    partition.tries = 0;
    if partition.fault.is_some() && partition.flow == Flow::Open && partition.barred.is_none() {
        told_open(health, pipeline, partition);
    }
}

/// A record whose outcome is final, as it is counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    outcome: Outcome,
    reason: Option<Reason>,
    timestamp: Option<i64>,
}

impl Done {
    pub(super) fn of(sent: &InFlight) -> Done {
        Done {
            outcome: sent.outcome,
            reason: sent.reason,
            timestamp: sent.timestamp,
        }
    }

    /// Of a record that nothing was produced for.
    pub(super) fn silent(outcome: Outcome) -> Done {
        Done {
            outcome,
            reason: None,
            timestamp: None,
        }
    }

    pub(super) fn count(self, partition: &Partition, clock: Clock) {
        let metrics = &partition.metrics;
        match (self.outcome, self.reason) {
            (Outcome::Filtered, _) => metrics.filtered(1),
            (Outcome::Duplicate, _) => metrics.duplicate(1),
            (Outcome::Stale, _) => metrics.stale(1),
            (Outcome::Retried, Some(reason)) => metrics.retried(reason),
            (Outcome::DeadLettered, Some(reason)) => {
                metrics.dead_lettered(reason);
                metrics.set_last_dead_letter(clock.wall as f64 / 1000.0);
            }
            _ => {
                metrics.emitted(1);
                if let Some(timestamp) = self.timestamp {
                    let took = clock.wall.saturating_sub(timestamp).max(0);
                    metrics.emit_latency(took as f64 / 1000.0);
                }
            }
        }
    }
}

pub(super) fn told_open(health: &Health, pipeline: &str, partition: &mut Partition) {
    partition.fault = None;
    partition.lift_drift();
    partition.metrics.set_paused(None);
    health.resume(pipeline, &partition.topic, partition.number);
}

/// Brings librdkafka's state in line with the partition's.
fn hold_one(client: &dyn Positions, partition: &mut Partition) -> Result<(), String> {
    // Until the first record of a source partition has come, there is no offset to commit the pause of a breaker with, and
    // by its commit `resume` finds it: so it is read that far.
    let is_untold = !partition.positioned && partition.standing.iter().any(is_trip);
    let barred = partition.barred.is_some() && !is_untold;
    let paused = matches!(partition.flow, Flow::Paused { .. }) || barred;
    if (paused || partition.seek.is_some()) && !partition.held {
        client
            .pause(&[partition.entry(0)])
            .map_err(|code| format!("pause failed: {code}"))?;
        tracing::debug!(
            topic = partition.topic,
            partition = partition.number,
            "paused"
        );
        partition.held = true;
    }
    if let Some(offset) = partition.seek {
        let entries = [partition.entry(offset)];
        let sought = match client.seek(&entries, SEEK_TIMEOUT) {
            // It is not read any more, since its offset was out of range.
            Err(error) if error.code == RDKafkaErrorCode::State => client.restart(&entries),
            sought => sought,
        };
        sought.map_err(|error| format!("seek to {offset} failed: {}", error.message))?;
        tracing::debug!(
            topic = partition.topic,
            partition = partition.number,
            offset,
            "sought"
        );
        partition.seek = None;
    }
    if !paused && partition.held {
        client
            .resume(&[partition.entry(0)])
            .map_err(|code| format!("resume failed: {code}"))?;
        tracing::debug!(
            topic = partition.topic,
            partition = partition.number,
            "resumed"
        );
        partition.held = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_to_blame_for_what_is_right_and_a_record_for_what_is_odd() {
        use RDKafkaErrorCode as Code;
        const NOW: i64 = 1_763_732_000_000;
        for (code, written, expect) in [
            (Code::MessageSizeTooLarge, None, Some(OwnFault::Size)),
            (Code::InvalidRecord, None, Some(OwnFault::Content)),
            (
                Code::InvalidTimestamp,
                Some(NOW + 86_400_000),
                Some(OwnFault::Time),
            ),
            (
                Code::InvalidTimestamp,
                Some(NOW - 86_400_000),
                Some(OwnFault::Time),
            ),
            // Its clock is wrong: every record would become a dead letter.
            (Code::InvalidTimestamp, Some(NOW), None),
            (Code::InvalidTimestamp, Some(NOW - 1_800_000), None),
            (Code::InvalidTimestamp, None, None),
            (Code::NotLeaderForPartition, Some(0), None),
        ] {
            assert_eq!(
                OwnFault::of(code, written, NOW),
                expect,
                "{code} {written:?}"
            );
        }
    }
}
