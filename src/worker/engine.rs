//! A worker's state, and what it hands to the producer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::SmallRng;
use rdkafka::types::RDKafkaErrorCode;

use super::among::Among;
use super::ledger::Writing;
use super::parked::Families;
use super::ports::{Judge, Outlet, Survey, Time};
use super::refusal;
use super::remember::Writer;
use super::reorder::Rows;
use super::transaction::{self, Transaction};
use super::{Clock, Shared, standing};
use crate::emit::in_flight::{InFlight, InFlights};
use crate::error::{FatalError, Reason, RecordError};
use crate::failure::backoff;
use crate::failure::breaker::Limits;
use crate::failure::classify::{self, Next};
use crate::failure::envelope::{Envelope, Origin};
use crate::failure::parking::Key;
use crate::failure_log::FailedRecord;
use crate::health::{PauseEntry, PauseReason};
use crate::ingest::assignment::{Assignment, Flow, Role};
use crate::ingest::offsets::Sequence;
use crate::metrics::PipelineMetrics;
use crate::native::producer::{Delivery, Produce};
use crate::pipeline::{Edition, policy};
use crate::record::{Header, Outcome, Record};
use crate::state::disk::folder::StateDir;

/// How a worker runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Number of the worker in its pipeline, from 0.
    pub slot: usize,
    /// The most records of one batch.
    pub batch: usize,
    /// The most records of a partition that are begun and not behind the committable offset. Complete ones wait there
    /// behind one that is not, however long its broker is away.
    pub window: usize,
    /// What the producer may keep of records that no broker has acknowledged, in bytes. librdkafka's own bound counts values
    /// only: keys, headers and what lies around a record would come on top of it.
    pub room: usize,
    /// How often offsets are committed.
    pub commit_interval: Duration,
    /// How long a revoke waits for acknowledgements.
    pub revoke_grace: Duration,
    /// How long a shutdown waits for them.
    pub shutdown_grace: Duration,
    /// How long a partition with lag may make no progress before the watchdog speaks.
    pub stuck_after: Duration,
    /// Where a source partition begins that the group has no offset for: an offset, or one of librdkafka's logical ones.
    pub start: i64,
    /// Partitions of each topic at start, by topic: retry topics must have those of their source.
    pub partitions: std::collections::HashMap<String, i32>,
    /// `max.message.bytes` of each topic at start, where the broker tells.
    pub sizes: std::collections::HashMap<String, u64>,
    /// Under exactly_once: how transactions run.
    pub transaction: Option<transaction::Settings>,
    /// Where what is remembered is on disk, if some of it is.
    pub state: Option<Arc<StateDir>>,
}

/// How long an answer to the last commit of a partition is waited for when the time for everything else is over.
const LAST_COMMIT: Duration = Duration::from_millis(500);
/// What of the two seconds that a shutdown keeps back the group's coordinator has to answer in.
const LAST_WORDS: Duration = Duration::from_millis(1500);
/// How long a record that is to be produced in a batch of its own waits for those before it, and for its answer.
pub(super) const ALONE_WAIT: Duration = Duration::from_secs(5);
/// The longest delay that a tier may have: what is still in one that is no longer configured may wait as long.
const LONGEST_TIER: Duration = Duration::from_secs(30 * 86_400);
/// The longest pause that the other side may ask for: beyond it, it is asked again.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long a full producer queue is waited for before partitions pause.
const QUEUE_FULL_WAIT: Duration = Duration::from_secs(5);

/// What a worker is given of the outside.
pub(super) struct Outside {
    pub(super) judge: Box<dyn Judge>,
    pub(super) outlet: Box<dyn Outlet>,
    pub(super) time: Box<dyn Time>,
    /// Asked only with an order per key.
    pub(super) survey: Box<dyn Survey>,
    /// For jitter.
    pub(super) random: SmallRng,
}

/// The state of a worker.
pub(super) struct Engine {
    pub(super) settings: Settings,
    pub(super) judge: Box<dyn Judge>,
    /// The topics of its sinks.
    pub(super) sinks: Vec<Arc<str>>,
    pub(super) outlet: Box<dyn Outlet>,
    pub(super) time: Box<dyn Time>,
    pub(super) shared: Shared,
    pub(super) metrics: PipelineMetrics,
    pub(super) assignment: Assignment,
    /// With an order per key: what is in retry of each source partition.
    pub(super) families: Families,
    /// With `stale.reorder`: what waits for older versions.
    pub(super) rows: Rows,
    /// With `dedup` or `stale`: what is written to state topics.
    pub(super) writer: Writer,
    pub(super) survey: Box<dyn Survey>,
    pub(super) in_flights: InFlights,
    pub(super) deliveries: Vec<Delivery>,
    /// Of those: how many have been looked at for [`Self::held`], and what the producer kept for them.
    pub(super) let_go: (usize, usize),
    /// Ledger entries on their way.
    pub(super) writing: Writing,
    /// Names this worker's run in the ledger.
    pub(super) run: String,
    pub(super) fatal: Option<FatalError>,
    pub(super) random: SmallRng,
    pub(super) next_commit: Instant,
    pub(super) next_look: Instant,
    /// The slot that the next look begins at.
    pub(super) look_from: usize,
    /// Set at shutdown: until when acknowledgements are waited for.
    pub(super) leave_by: Option<Instant>,
    /// Whether the cluster was found unreachable and has not answered since.
    pub(super) unreachable: bool,
    /// When a broker refused this worker last, for want of a right or a password.
    pub(super) refused_at: Option<Instant>,
    /// Topics that it may not read any more, and when to look again.
    pub(super) barred: BTreeMap<String, Instant>,
    /// When its breakers trip.
    pub(super) limits: Limits,
    /// The version of the operators' orders that were acted on.
    pub(super) obeyed: u64,
    /// The version of the verdicts on values that were acted on.
    pub(super) heeded: u64,
    /// Topics of ours that were said not to exist, and when to look again.
    pub(super) gone: BTreeMap<String, Instant>,
    /// Partitions, by slot, whose next offset is not in their log.
    pub(super) out_of_range: BTreeSet<usize>,
    /// Whether the producer's queue was full in the batch under way: the rest of it does not wait again.
    pub(super) blocked: bool,
    /// The last record that was to let its followers go, and failed on its last step.
    pub(super) stayed: Option<(usize, Sequence)>,
    /// Under exactly_once.
    pub(super) transaction: Option<Transaction>,
}

/// A record with its position in the worker's books.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) slot: usize,
    pub(super) sequence: Sequence,
    pub(super) offset: i64,
    pub(super) origin: Origin,
    pub(super) step: Step,
    /// With `stale`: of which version of what it is, once it was read that far.
    pub(super) edition: Option<Edition>,
    /// Whether it has waited for older versions.
    pub(super) has_waited: bool,
    /// With an order per key: its key, if that has a record in retry.
    pub(super) key: Option<Key>,
    /// As of when the key had none.
    pub(super) free_at: u64,
    /// What is produced with it and is no output of it.
    pub(super) extras: usize,
    /// Whether this owner reads it from its source for the first time.
    pub(super) is_new: bool,
}

/// What is to be done with a record that was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is run through the pipeline.
    Judge,
    /// The same, once it is known that the record of its key in front of it in the batch does not fail.
    Behind,
    /// It goes behind the record of its key that is in retry.
    Follow,
    /// The dead letter of its key at this offset of the source takes it along.
    Doomed(i64),
    /// It goes round once more: it was asked to wait longer than the longest tier.
    Rest,
    /// It is no record of the source.
    Control,
    /// It stands behind another one of its key that is through.
    Known(Among),
}

/// What a produced record makes of the one that it comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    /// The outcome, once all that is produced for it is acknowledged.
    pub(super) outcome: Outcome,
    /// The sink of an emitted output.
    pub(super) sink: usize,
    /// The tier of a retry, counted from 0.
    pub(super) tier: usize,
    /// Why, for a retry or a dead letter.
    pub(super) reason: Option<Reason>,
    /// Whether it only goes with the outcome, on a retry topic, and is not the record itself.
    pub(super) extra: bool,
}

impl Engine {
    pub(super) fn new(settings: Settings, outside: Outside, shared: Shared) -> Engine {
        let Outside {
            judge,
            outlet,
            time,
            survey,
            mut random,
        } = outside;
        let run = format!("{}-{:016x}", settings.slot, random.random::<u64>());
        let judge_order = judge.config().order().map(|order| order.by);
        let metrics = shared.metrics.pipeline(&judge.config().name);
        let clock = time.read();
        let limits = standing::limits(judge.config());
        shared
            .health
            .worker_alive(&judge.config().name, settings.slot);
        Engine {
            transaction: settings.transaction.clone().map(Transaction::new),
            settings,
            sinks: judge
                .sinks()
                .iter()
                .map(|sink| sink.topic.as_str().into())
                .collect(),
            judge,
            outlet,
            time,
            shared,
            metrics,
            assignment: Assignment::default(),
            families: Families::new(judge_order),
            rows: Rows::default(),
            writer: Writer::new(random.random()),
            survey,
            in_flights: InFlights::default(),
            deliveries: Vec::new(),
            let_go: (0, 0),
            writing: Writing::default(),
            run,
            fatal: None,
            random,
            next_commit: clock.now,
            next_look: clock.now,
            look_from: 0,
            leave_by: None,
            unreachable: false,
            refused_at: None,
            barred: BTreeMap::new(),
            limits,
            obeyed: 0,
            heeded: 0,
            gone: BTreeMap::new(),
            out_of_range: BTreeSet::new(),
            blocked: false,
            stayed: None,
        }
    }

    /// Records begun and not complete.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flights.len()
    }

    /// What the producer keeps of records that no broker has acknowledged, in bytes, about.
    pub(super) fn held(&mut self) -> usize {
        let all = self.in_flights.size();
        if all <= self.settings.room {
            return all;
        }
        // Answers that have come in and are not in the books yet: the producer has let go of these. A record with very many
        // outputs gets here once for each of them, so none is looked at twice.
        let (seen, mut size) = self.let_go;
        for delivery in &self.deliveries[seen..] {
            size += self.in_flights.size_of(delivery.token);
        }
        self.let_go = (self.deliveries.len(), size);
        all - size
    }

    /// Sends a failed record where its reason says: retry tier, dead letter, or nowhere and its partition pauses.
    pub(super) fn fail(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        error: &RecordError,
        clock: Clock,
    ) {
        self.does_not_go(taken);
        let failure = &self.judge.config().failure;
        let failed = classify::Failed {
            before: taken.origin.attempt,
            first_at: taken.origin.first_failed_at.unwrap_or(clock.wall),
            now: clock.wall,
            retry_after: error.retry_after,
        };
        let policy = policy(failure, error.reason);
        let next = match self.is_refused_by_tier(taken) {
            true => Next::DeadLetter,
            false => classify::next(policy, &failure.tiers, failure.budget, failed),
        };
        if next == Next::DeadLetter && self.holds_back(taken, error.reason, clock) {
            return;
        }
        self.log_failure(taken, error, next, clock);
        match next {
            Next::Tier(tier) => self.retry(taken, record, own, error, tier, clock),
            Next::DeadLetter => self.dead_letter(taken, record, own, error, clock),
            Next::Pause => {
                let reason = pause_reason(error.reason);
                if reason == PauseReason::Drift {
                    self.halted(taken.slot, error.schema_id, clock);
                }
                self.pause(
                    taken.slot,
                    taken.offset,
                    reason,
                    &error.to_string(),
                    error.retry_after.map(|asked| asked.min(LONGEST_PAUSE)),
                    clock,
                );
            }
        }
    }

    /// Whether its retry topic has refused it for a reason of its own: it would do so again.
    fn is_refused_by_tier(&self, taken: &Taken) -> bool {
        let partition = self.assignment.get(taken.slot);
        let refused = partition.and_then(|partition| partition.refused.get(&taken.offset));
        refused.is_some_and(|refused| refused.by_tier)
    }

    fn retry(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        error: &RecordError,
        tier: usize,
        clock: Clock,
    ) {
        if self.is_full(taken, record, clock) {
            return;
        }
        let failure = &self.judge.config().failure;
        let asked = error.retry_after.map(|asked| asked.min(failure.budget));
        let not_before = asked
            .filter(|asked| *asked > failure.tiers[tier])
            .map(|asked| clock.wall.saturating_add(backoff::millis(asked)));
        let due = self.due(taken.slot, tier, Wait::Tier, clock);
        let mut envelope = Envelope::new(
            self.judge.stamp(),
            &taken.origin,
            error,
            own,
            clock.wall,
            Some(due),
        );
        if let Some(at) = not_before {
            envelope = envelope.not_before(at);
        }
        let fate = Fate {
            outcome: Outcome::Retried,
            sink: 0,
            tier,
            reason: Some(error.reason),
            extra: false,
        };
        match self.send_to_tier(taken, record.key, record.value, &envelope, fate) {
            Ok(true) => self.parked(taken, record, tier, due, true),
            Ok(false) => {}
            // Too large with our headers around it: the dead-letter topic is asked next, and pauses if it says no.
            Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                self.too_large_to_wait(taken, record, own, tier, error.reason, clock);
            }
            Err(code) => self.not_sent_to_tier(taken, tier, code, clock),
        }
    }

    /// A record that was to wait in a tier for `reason` is larger than the client writes: as if the tier's topic had refused it.
    pub(super) fn too_large_to_wait(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        tier: usize,
        reason: Reason,
        clock: Clock,
    ) {
        self.does_not_go(taken);
        let Some(partition) = self.assignment.get(taken.slot) else {
            return;
        };
        let config = self.judge.config();
        let topic = config.retry_topic(partition.source(), tier + 1);
        let error = not_retried(too_large(&topic), Some(reason));
        if self.holds_back(taken, error.reason, clock) {
            return;
        }
        self.log_failure(taken, &error, Next::DeadLetter, clock);
        self.dead_letter(taken, record, own, &error, clock);
    }

    /// When what is written to a tier now is due: not before anything that is in that partition, so that its head is always
    /// the next due.
    pub(super) fn due(&mut self, slot: usize, tier: usize, wait: Wait, clock: Clock) -> i64 {
        let Some(partition) = self.assignment.get(slot) else {
            return clock.wall;
        };
        let (config, number) = (self.judge.config(), partition.number);
        let topic = config.retry_topic(partition.source(), tier + 1);
        let of_tier = (config.failure.tiers[tier], config.failure.jitter);
        let latest = backoff::latest_due(clock.wall, of_tier.0, of_tier.1);
        let (delay, jitter) = match wait {
            Wait::Tier => of_tier,
            Wait::For(delay) => (delay, 0.0),
        };
        let unit: f64 = self.random.random();
        let home = self.assignment.find(&topic, number);
        let home = home.and_then(|slot| self.assignment.get_mut(slot));
        // A clock that was wrong for a moment does not put everything off that comes after.
        let previous = home.as_ref().map_or(0, |home| home.latest_due);
        let previous = Some(previous).filter(|due| backoff::is_meant(*due, latest));
        let previous = previous.unwrap_or(0);
        let due = backoff::due_at(previous, clock.wall, delay, jitter, unit);
        if let Some(home) = home {
            home.latest_due = due;
        }
        due
    }

    /// Produces to the retry topic of a tier, to the partition of the record's number.
    pub(super) fn send_to_tier(
        &mut self,
        taken: &Taken,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        envelope: &Envelope,
        fate: Fate,
    ) -> Result<bool, RDKafkaErrorCode> {
        let Some(partition) = self.assignment.get(taken.slot) else {
            return Ok(false);
        };
        let topic = self
            .judge
            .config()
            .retry_topic(partition.source(), fate.tier + 1);
        let produce = Produce {
            topic: &topic,
            partition: Some(partition.number),
            timestamp: partition.time_of(taken.offset, taken.origin.timestamp),
            key,
            value,
            headers: &envelope.headers(),
            patient: true,
        };
        self.send(&produce, taken, fate, false)
    }

    pub(super) fn not_sent_to_tier(
        &mut self,
        taken: &Taken,
        tier: usize,
        code: RDKafkaErrorCode,
        clock: Clock,
    ) {
        let Some(partition) = self.assignment.get(taken.slot) else {
            return;
        };
        let topic = self
            .judge
            .config()
            .retry_topic(partition.source(), tier + 1);
        self.not_sent(taken, &topic, code, PauseReason::BrokerRefused, clock);
    }

    /// Produces one record as an outcome of `taken`. Waits for room when the producer's queue is full. With `alone`, and
    /// for a suspect, it waits until nothing else is in flight, and for its own answer, so that a refusal is about it and
    /// nothing else. `false`: it was not handed over, since one in front of it was refused, and is read again behind that.
    pub(super) fn send(
        &mut self,
        produce: &Produce<'_>,
        taken: &Taken,
        fate: Fate,
        alone: bool,
    ) -> Result<bool, RDKafkaErrorCode> {
        let suspect = alone
            || self
                .assignment
                .get(taken.slot)
                .is_some_and(|partition| partition.suspects.contains(&taken.offset));
        if suspect || self.is_wary(taken, fate.outcome) {
            self.drain(ALONE_WAIT);
        }
        // One in front of it may just have been refused: then this one is read again behind it.
        let Some(partition) = self
            .assignment
            .get(taken.slot)
            .filter(|partition| partition.rewind.is_none())
        else {
            return Ok(false);
        };
        if self.transaction.as_ref().is_some_and(|open| open.doomed) {
            return Ok(false);
        }
        let alone = suspect && self.in_flights.is_empty();
        let size = produce.kept();
        let token = self.in_flights.insert(InFlight {
            slot: taken.slot,
            epoch: partition.epoch,
            sequence: taken.sequence,
            offset: taken.offset,
            outcome: fate.outcome,
            sink: fate.sink,
            tier: fate.tier,
            alone,
            reason: fate.reason,
            timestamp: taken.origin.timestamp,
            written: produce.timestamp,
            parked: taken.key.map(|key| (key.0, taken.origin.offset)),
            extra: fate.extra,
            size,
        });
        if let Err(code) = self.enlist() {
            self.in_flights.remove(token);
            return Err(code);
        }
        let mut waited = Duration::ZERO;
        loop {
            let sent = match self.held() <= self.settings.room.max(size) {
                true => self.outlet.send(produce, token),
                false => Err(RDKafkaErrorCode::QueueFull),
            };
            match sent {
                Ok(()) => {
                    if suspect {
                        self.drain(ALONE_WAIT);
                    }
                    return Ok(true);
                }
                Err(RDKafkaErrorCode::QueueFull) if !self.blocked && waited < QUEUE_FULL_WAIT => {
                    let step = Duration::from_millis(20);
                    self.outlet.poll(step, &mut self.deliveries);
                    waited += step;
                }
                Err(code) => {
                    self.blocked |= code == RDKafkaErrorCode::QueueFull;
                    self.in_flights.remove(token);
                    return Err(code);
                }
            }
        }
    }

    /// A record that could not even be queued: its partition stops there.
    pub(super) fn not_sent(
        &mut self,
        taken: &Taken,
        topic: &str,
        code: RDKafkaErrorCode,
        reason: PauseReason,
        clock: Clock,
    ) {
        let reason = refusal::reason(code, reason);
        if self.transaction.is_some() && code == RDKafkaErrorCode::State {
            // The transaction has failed already, and librdkafka takes nothing more into it.
            let pause = Some((reason, format!("{topic}: the transaction failed")));
            return self.too_late(taken, pause);
        }
        self.pause(
            taken.slot,
            taken.offset,
            reason,
            &format!("{topic}: {}", refusal::not_queued(code)),
            None,
            clock,
        );
    }

    /// A part of what a record comes to is in the open transaction, and the rest could not even be queued. The record is read
    /// again, so the transaction must not commit with that part of it.
    pub(super) fn half_sent(&mut self, taken: &Taken, topic: &str, code: RDKafkaErrorCode) {
        let reason = refusal::reason(code, PauseReason::BrokerRefused);
        let detail = format!("{topic}: {}", refusal::not_queued(code));
        let pause = Some((reason, detail));
        match code {
            RDKafkaErrorCode::State => self.too_late(taken, pause),
            _ => self.doom(taken.slot, pause),
        }
    }

    /// The open transaction had failed before this record. Where that was for a topic that may not be written to, those wait that
    /// write to it, and not this one with `pause`.
    fn too_late(&mut self, taken: &Taken, pause: Option<(PauseReason, String)>) {
        let why = self.barred_from_a_topic();
        if !why.is_some_and(|why| self.blame_topic(&[], &why)) {
            self.doom(taken.slot, pause);
        }
    }

    /// Stops a partition at `offset`, to be tried again after a growing wait or after `wait`.
    pub(super) fn pause(
        &mut self,
        slot: usize,
        offset: i64,
        reason: PauseReason,
        detail: &str,
        wait: Option<Duration>,
        clock: Clock,
    ) {
        let Some(partition) = self.assignment.get_mut(slot) else {
            return;
        };
        let wait = wait.unwrap_or_else(|| backoff::pause(partition.tries));
        partition.tries = partition.tries.saturating_add(1);
        // What was produced for records before `offset` still counts; nothing behind it has been produced.
        partition.stop(offset, clock.now + wait, reason);
        let first = partition.tries == 1;
        self.told(slot, reason, detail, wait, first, clock);
    }

    /// Tells health and metrics of a pause, and the log when it is the first in a row or for another reason than the last one.
    pub(super) fn told(
        &mut self,
        slot: usize,
        reason: PauseReason,
        detail: &str,
        wait: Duration,
        first: bool,
        clock: Clock,
    ) {
        let Some(partition) = self.assignment.get_mut(slot) else {
            return;
        };
        if partition.barred.is_some() {
            // What stands above it is what there is to tell.
            return;
        }
        partition.metrics.set_paused(Some(&reason));
        let is_another = partition.fault.is_some_and(|told| told != reason);
        if reason.is_fault() {
            partition.fault = Some(reason);
        }
        let config = self.judge.config();
        if (first || is_another) && reason.is_fault() {
            tracing::warn!(
                pipeline = config.name,
                owner = %config.owner,
                topic = partition.topic,
                partition = partition.number,
                reason = reason.as_str(),
                "partition paused, nothing is lost: {detail}"
            );
        }
        self.shared.health.pause(PauseEntry {
            pipeline: config.name.clone(),
            topic: partition.topic.clone(),
            partition: partition.number,
            reason,
            detail: detail.to_owned(),
            since: clock.wall,
            until: Some(clock.wall + i64::try_from(wait.as_millis()).unwrap_or(0)),
        });
    }

    fn log_failure(&mut self, taken: &Taken, error: &RecordError, next: Next, clock: Clock) {
        let config = self.judge.config();
        let failed = FailedRecord {
            pipeline: &config.name,
            topic: &taken.origin.topic,
            partition: taken.origin.partition,
            offset: taken.origin.offset,
            owner: &config.owner,
            disposition: match next {
                Next::Tier(_) => "retried",
                Next::DeadLetter => "dead_lettered",
                Next::Pause => "paused",
            },
        };
        self.shared.failures.record(clock.now, &failed, error);
    }

    /// How long a retry is not due yet. What no tier can have meant is waited for as long as its tier says, once for all that
    /// are like it.
    pub(super) fn not_due(&mut self, slot: usize, due_at: i64, clock: Clock) -> Option<Duration> {
        let failure = &self.judge.config().failure;
        let partition = self.assignment.get_mut(slot)?;
        let Role::Retry { tier, .. } = partition.role else {
            return None;
        };
        let left = u64::try_from(due_at.saturating_sub(clock.wall)).ok()?;
        if left == 0 {
            return None;
        }
        let known = failure.tiers.get(tier).copied();
        let (most, delay) = known.map_or((LONGEST_TIER, Duration::ZERO), |tier| (tier, tier));
        if backoff::is_meant(
            due_at,
            backoff::latest_due(clock.wall, most, failure.jitter),
        ) {
            return Some(Duration::from_millis(left));
        }
        let until = *partition.unmeant.get_or_insert_with(|| {
            tracing::warn!(
                pipeline = self.judge.config().name,
                topic = partition.topic,
                partition = partition.number,
                due_at,
                "a retry is due later than its tier can have meant: the clock of whoever wrote it was wrong. It is tried \
                 after the tier's delay"
            );
            clock.now + delay
        });
        let left = until.saturating_duration_since(clock.now);
        Some(left).filter(|left| !left.is_zero())
    }

    /// The delay of the tier that a retry partition belongs to; none for one that is no longer configured.
    pub(super) fn delay_of(&self, slot: usize) -> Duration {
        let role = self.assignment.get(slot).map(|partition| &partition.role);
        let Some(Role::Retry { tier, .. }) = role else {
            return Duration::ZERO;
        };
        let tiers = &self.judge.config().failure.tiers;
        tiers.get(*tier).copied().unwrap_or_default()
    }

    /// From now on nothing more is taken: every partition counts as paused.
    pub(super) fn stop_taking(&mut self, clock: Clock) {
        self.leave_by = Some(clock.now + self.settings.shutdown_grace);
        for partition in self.assignment.iter_mut() {
            partition.flow = Flow::Paused {
                until: clock.now + Duration::from_secs(86_400),
                reason: PauseReason::Backpressure,
            };
        }
    }
}

impl Engine {
    /// How long the answer to a commit is waited for that nothing comes after: what is left of the time to leave in.
    pub(super) fn commit_patience(&self) -> Duration {
        self.revoke_patience().max(LAST_COMMIT)
    }

    /// How long leaving the group may take at a shutdown, its revoke included.
    pub(super) fn leave_patience(&self) -> Duration {
        let now = self.time.read().now;
        let by = self.leave_by.unwrap_or(now) + LAST_WORDS;
        by.saturating_duration_since(now)
    }

    /// How long a revoke waits for acknowledgements. During a shutdown it has only what is left of that.
    pub(super) fn revoke_patience(&self) -> Duration {
        let left = |by: Instant| by.saturating_duration_since(self.time.read().now);
        self.leave_by
            .map_or(self.settings.revoke_grace, left)
            .min(self.settings.revoke_grace)
    }
}

/// How long a record waits in a tier, at least.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wait {
    /// The tier's delay with jitter.
    Tier,
    /// So long.
    For(Duration),
}

/// The error of a record that a topic does not take for its size, by the topic's limit as it is known here.
pub(super) fn too_large(topic: &str) -> RecordError {
    let mut error = refused_for_size(topic);
    error.message.push_str(
        "; where brokers do not tell how much that is, message.max.bytes in kafka.properties does",
    );
    error
}

/// The error of a record that a broker refused for its size.
pub(super) fn refused_for_size(topic: &str) -> RecordError {
    RecordError::new(
        Reason::RecordTooLarge,
        format!("larger than {topic} accepts"),
    )
}

/// The error of a record that was to be retried for `reason`, and that the retry topic does not take.
pub(super) fn not_retried(mut error: RecordError, reason: Option<Reason>) -> RecordError {
    if let Some(reason) = reason {
        error
            .message
            .push_str(&format!(", where it was to wait for another try: {reason}"));
    }
    error
}

/// The pause that belongs to a reason whose disposition is to pause.
fn pause_reason(reason: Reason) -> PauseReason {
    match reason {
        Reason::RegistryUnavailable => PauseReason::RegistryUnavailable,
        Reason::LookupMisconfigured => PauseReason::LookupMisconfigured,
        Reason::LookupUnavailable => PauseReason::LookupUnavailable,
        Reason::LookupNotLoaded => PauseReason::LookupNotLoaded,
        Reason::NativeUnavailable => PauseReason::NativeUnavailable,
        Reason::DriftHalted => PauseReason::Drift,
        _ => PauseReason::BrokerRefused,
    }
}
