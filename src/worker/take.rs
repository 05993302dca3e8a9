//! A batch: each record is begun, run through the pipeline, and its outcome produced in the order of the batch.

use std::collections::HashSet;
use std::sync::Arc;

use super::Clock;
use super::among::Among;
use super::engine::{Engine, Step, Taken};
use super::parked::doomed;
use super::ports::{Positions, Records, Waiting};
use super::settle::{Done, got_through};
use crate::failure::backoff;
use crate::failure::breaker::Decided;
use crate::failure::envelope::{self, Origin};
use crate::failure::parking::Key;
use crate::health::{Dependency, PauseReason};
use crate::ingest::assignment::Role;
use crate::native::consumer::{Item, OFFSET_BEGINNING, OFFSET_END};
use crate::pipeline::{Verdict, Work};
use crate::record::{Header, Outcome, Record};

impl Engine {
    /// Takes every record of the batch whose partition is ours and open. The others are dropped, which loses nothing:
    /// their partition is paused behind a seek, or somebody else's.
    pub(super) fn take(&mut self, batch: &dyn Records, client: &dyn Positions, clock: Clock) {
        self.blocked = false;
        // What waits for answers, and all behind it: outcomes are produced in the order of the batch.
        let mut work: Vec<Work<(usize, Taken)>> = Vec::new();
        for index in 0..batch.len() {
            match batch.get(index) {
                Item::Error {
                    topic,
                    partition,
                    code,
                    message,
                } => self.consumer_error(topic, partition, code, &message),
                Item::Record(record) => {
                    let Some(mut taken) = self.begin(&record, clock) else {
                        continue;
                    };
                    let verdict = self.judge(&mut taken, &record);
                    let waits = taken.step == Step::Behind || matches!(verdict, Verdict::LookUp(_));
                    if waits || !work.is_empty() {
                        work.push(Work {
                            tag: (index, taken),
                            verdict,
                        });
                    } else {
                        self.finish_in_time(&taken, &record, verdict, clock);
                    }
                    self.keep_pace(client);
                }
            }
        }
        self.look_up(&mut work, batch, client);
        if self.judge_behind(&mut work, batch) {
            self.look_up(&mut work, batch, client);
        }
        for Work {
            tag: (index, taken),
            verdict,
        } in work
        {
            if let Item::Record(record) = batch.get(index) {
                self.finish_in_time(&taken, &record, verdict, clock);
                self.keep_pace(client);
            }
        }
        let elapsed = self.time.read().now.saturating_duration_since(clock.now);
        self.metrics.batch(elapsed.as_secs_f64(), batch.len());
    }

    fn look_up(&mut self, work: &mut [Waiting], batch: &dyn Records, client: &dyn Positions) {
        if work
            .iter()
            .any(|work| matches!(work.verdict, Verdict::LookUp(_)))
        {
            self.before_wait(client);
        }
        let assignment = &self.assignment;
        self.judge.look_up(work, &mut |(index, taken), again| {
            if let (Item::Record(record), Some(partition)) =
                (batch.get(*index), assignment.get(taken.slot))
            {
                let is_retry = matches!(partition.role, Role::Retry { .. });
                envelope::at_source(&record, &taken.origin, is_retry, |record| {
                    again(partition.source(), record, Some(&partition.metrics));
                });
            }
        });
    }

    /// Runs the records through the pipeline that are behind another one of their key in the batch, now that it is known
    /// what that one comes to. Those whose first one fails are left alone: a service that is down is not asked about each
    /// record that waits for it. Whether there were any.
    fn judge_behind(&mut self, work: &mut [Waiting], batch: &dyn Records) -> bool {
        if !work.iter().any(|work| work.tag.1.step == Step::Behind) {
            return false;
        }
        let failed: HashSet<(usize, Option<Key>)> = work
            .iter()
            .filter(|work| matches!(work.verdict, Verdict::Failed(_)))
            .map(|work| (work.tag.1.slot, work.tag.1.key))
            .collect();
        for Work {
            tag: (index, taken),
            verdict,
        } in work
        {
            if taken.step != Step::Behind {
                continue;
            }
            taken.step = match failed.contains(&(taken.slot, taken.key)) {
                true => Step::Follow,
                false => Step::Judge,
            };
            if let Item::Record(record) = batch.get(*index) {
                *verdict = self.judge(taken, &record);
            }
        }
        true
    }

    /// Enters a record into the books, unless it is not to be taken now.
    fn begin(&mut self, record: &Record<'_>, clock: Clock) -> Option<Taken> {
        let slot = self.assignment.find(record.topic, record.partition)?;
        let due_at = match self.assignment.get(slot)?.role {
            Role::Source => 0,
            Role::Retry { .. } => envelope::due_at(record),
        };
        let sleep = self
            .not_due(slot, due_at, clock)
            .map(|left| backoff::retry_sleep(left, self.delay_of(slot)));
        let (window, begin) = (self.settings.window, self.settings.start);
        let budget = self.judge.config().failure.budget;
        let partition = self.assignment.get_mut(slot)?;
        partition.metrics.read(1);
        // A partition that waits for what is in retry has been read of before it was paused: nothing was taken, and it is
        // read again.
        if partition.fresh || partition.is_paused_for(PauseReason::Rebuilding) {
            // Perhaps fetched before the partition changed hands: read again from where the group stands.
            let start = match (partition.positioned, &partition.role) {
                (true, _) => partition.tracker.expected(),
                // Without a committed offset that is its beginning. This record may be far behind it: the partition was
                // ours before, and what was begun then may have come to nothing.
                (false, Role::Retry { .. }) => OFFSET_BEGINNING,
                (false, Role::Source) if begin == OFFSET_END => record.offset,
                (false, Role::Source) => begin,
            };
            partition.seek.get_or_insert(start);
            partition.metrics.discarded(1);
            return None;
        }
        if !partition.is_open() {
            partition.metrics.discarded(1);
            // Paused without a seek, as at a shutdown: what is dropped here is read again.
            if partition.seek.is_none() && partition.rewind.is_none() {
                if !partition.positioned {
                    // It is known now where the partition begins: a pause that stands can be committed there.
                    partition.tracker.rewind_to(record.offset);
                    partition.positioned = true;
                }
                partition.seek = Some(partition.tracker.expected());
            }
            return None;
        }
        if matches!(partition.role, Role::Retry { .. }) && partition.is_head(record.offset) {
            let since = envelope::first_failed_at(record);
            partition.head = since.map(|since| (record.offset, since));
        }
        if let Some(wait) = sleep {
            partition.metrics.discarded(1);
            if record.offset < partition.tracker.expected() {
                return None;
            }
            partition.stop(record.offset, clock.now + wait, PauseReason::RetryNotDue);
            self.told(
                slot,
                PauseReason::RetryNotDue,
                "the head is not due yet",
                wait,
                false,
                clock,
            );
            return None;
        }
        if partition.tracker.in_flight() >= window && record.offset >= partition.tracker.expected()
        {
            let wait = backoff::pause(0);
            partition.metrics.discarded(1);
            partition.stop(record.offset, clock.now + wait, PauseReason::Backpressure);
            let detail = "too many records wait behind one that is not acknowledged";
            self.told(slot, PauseReason::Backpressure, detail, wait, false, clock);
            return None;
        }
        let Some(sequence) = partition.tracker.begin(record.offset) else {
            partition.metrics.discarded(1);
            return None;
        };
        partition.positioned = true;
        let is_new = partition.role == Role::Source && record.offset > partition.newest;
        partition.newest = partition.newest.max(record.offset);
        partition.mark.offset.get_or_insert(record.offset);
        let mut origin = match &partition.role {
            Role::Source => Origin::read_from(Arc::clone(&partition.name), record),
            Role::Retry { source, .. } => Origin::of_retry(record, source),
        };
        origin.distrust(clock.wall, budget);
        // What its retry topic has refused cannot wait there any longer.
        let is_refused = partition.refused.contains_key(&record.offset);
        let mut taken = Taken {
            slot,
            sequence,
            offset: record.offset,
            step: match () {
                () if origin.control.is_some() => Step::Control,
                () if origin.not_before > clock.wall && !is_refused => Step::Rest,
                () => Step::Judge,
            },
            origin,
            edition: None,
            has_waited: false,
            key: None,
            free_at: 0,
            extras: 0,
            is_new,
        };
        self.line_up(&mut taken, record);
        Some(taken)
    }

    fn judge(&mut self, taken: &mut Taken, record: &Record<'_>) -> Verdict {
        if taken.step != Step::Judge {
            // Nobody looks at it: `finish` goes by the step.
            return Verdict::Filtered;
        }
        let partition = self.assignment.get(taken.slot);
        let refused = partition.and_then(|partition| partition.refused.get(&taken.offset));
        if let Some(refused) = refused {
            return Verdict::Failed(refused.error.clone());
        }
        let Some(partition) = partition else {
            unreachable!("a record that was begun has a partition");
        };
        // Not the origin that a retry's headers tell: whoever may write there could choose how schemas are judged.
        let is_retry = matches!(partition.role, Role::Retry { .. });
        self.judge.only_new(taken.is_new);
        let verdict = envelope::at_source(record, &taken.origin, is_retry, |record| {
            self.judge
                .process(partition.source(), record, Some(&partition.metrics))
        });
        match self.is_known(taken, record) {
            // It waits for another one, or is that one's copy: nobody looks at its verdict, or asks a lookup for it.
            true => Verdict::Filtered,
            false => verdict,
        }
    }

    pub(super) fn finish_in_time(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        verdict: Verdict,
        clock: Clock,
    ) {
        match self.is_late(clock.now) {
            true => self.put_back(taken, clock),
            false if self.waits_for_older(taken) => {
                self.wait_for_older(taken, record, verdict, clock);
            }
            false => self.finish(taken, record, verdict, clock),
        }
    }

    pub(super) fn finish(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        verdict: Verdict,
        clock: Clock,
    ) {
        if self.is_doomed() {
            return;
        }
        // A record before it may have stopped the partition: then this one was rewound, and is read again after it.
        let Some(partition) = self.assignment.get(taken.slot).filter(|partition| {
            partition.rewind.is_none() && partition.tracker.holds(taken.sequence)
        }) else {
            return;
        };
        let own_of_retry;
        let renamed: Vec<_>;
        let own = match partition.role {
            Role::Source => record.headers.as_slice(),
            Role::Retry { .. } => {
                own_of_retry = envelope::own_headers(record);
                renamed = own_of_retry
                    .iter()
                    .map(|(name, value)| (name.as_ref(), *value))
                    .collect();
                &renamed
            }
        };
        match self.step(taken, record) {
            Step::Judge => {}
            Step::Follow | Step::Behind => return self.follow(taken, record, own, clock),
            Step::Doomed(dead) => {
                let error = doomed(&taken.origin, dead);
                return self.fail(taken, record, own, &error, clock);
            }
            Step::Rest => return self.rest(taken, record, own, clock),
            Step::Control => return self.control(taken, record, clock),
            Step::Known(_) => {}
        }
        let among = match taken.step {
            Step::Known(among) => among,
            _ => self.among(taken, clock),
        };
        let verdict = match among {
            Among::First => verdict,
            Among::Stale(at) if self.passes_stale() => self.mark_stale(taken, verdict, at),
            Among::Copy | Among::Stale(_) => Verdict::Filtered,
            Among::Unsure => return,
        };
        let held = self.goes(taken, &verdict);
        let taken = held.as_ref().unwrap_or(taken);
        let stands_behind = match among {
            Among::Copy => true,
            Among::Stale(_) => !self.passes_stale(),
            Among::First | Among::Unsure => false,
        };
        let outcome = match verdict {
            _ if stands_behind && matches!(among, Among::Stale(_)) => Outcome::Stale,
            _ if stands_behind => Outcome::Duplicate,
            Verdict::Filtered => Outcome::Filtered,
            Verdict::EmitAll(ref outputs) if outputs.is_empty() => Outcome::Filtered,
            _ => Outcome::Emitted,
        };
        if !stands_behind && !matches!(verdict, Verdict::Failed(_)) {
            self.note(taken, clock);
        }
        match stands_behind {
            true => self.stands_behind(taken, record, own, among, clock),
            false => self.act(taken, record, own, verdict, clock),
        }
        if taken.extras > 0 {
            self.let_go(taken, record, outcome, clock);
        }
    }

    /// A record that there is no time for before the next poll, and those behind it, are read again after that.
    fn put_back(&mut self, taken: &Taken, clock: Clock) {
        let Some(partition) = self.assignment.get_mut(taken.slot).filter(|partition| {
            partition.rewind.is_none() && partition.tracker.holds(taken.sequence)
        }) else {
            return;
        };
        let (reason, wait) = (PauseReason::Backpressure, backoff::pause(0));
        partition.stop(taken.offset, clock.now + wait, reason);
        self.does_not_go(taken);
        let detail = "brokers are slow to acknowledge: the rest of a batch is read again";
        self.told(taken.slot, reason, detail, wait, false, clock);
    }

    fn act(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        verdict: Verdict,
        clock: Clock,
    ) {
        match verdict {
            Verdict::Emit(output) => {
                self.emit(taken, record, own, &output, clock);
                if let Some(value) = output.value {
                    self.judge.reuse(value);
                }
            }
            Verdict::EmitAll(outputs) if !outputs.is_empty() => {
                self.emit_all(taken, record, own, &outputs, clock);
            }
            // An array without elements leaves nothing to emit, and that is no failure.
            Verdict::Filtered | Verdict::EmitAll(_) => self.pass(taken, Outcome::Filtered, clock),
            Verdict::Failed(error) => self.fail(taken, record, own, &error, clock),
            Verdict::LookUp(_) => unreachable!("look_up resolves every lookup"),
        }
    }

    /// A record has its outcome without a word.
    pub(super) fn pass(&mut self, taken: &Taken, outcome: Outcome, clock: Clock) {
        self.silent(taken, outcome);
        self.decided(taken.slot, taken.offset, Decided::Passed, clock);
    }

    /// A record is complete that nothing is produced for.
    pub(super) fn silent(&mut self, taken: &Taken, outcome: Outcome) {
        let Some(partition) = self.assignment.get_mut(taken.slot) else {
            return;
        };
        if taken.extras > 0 {
            // What goes with it says when it is complete.
            partition.tracker.expect(taken.sequence, taken.extras);
            return;
        }
        partition.tracker.complete(taken.sequence, outcome);
        let done = Done::silent(outcome);
        if let Some(transaction) = &mut self.transaction {
            transaction.silent(taken.slot, partition.epoch, done);
        } else {
            done.count(partition, self.time.read());
            got_through(&self.shared.health, &self.judge.config().name, partition);
        }
        if let Some(key) = taken.key {
            let parked = (key.0, taken.origin.offset);
            self.families.finished(taken.slot, parked, outcome);
        }
    }

    fn consumer_error(
        &mut self,
        topic: &str,
        partition: i32,
        code: rdkafka::types::RDKafkaErrorCode,
        message: &str,
    ) {
        use rdkafka::types::RDKafkaErrorCode as Code;
        match code {
            Code::TopicAuthorizationFailed => self.may_not_read(topic, message),
            Code::GroupAuthorizationFailed => self.not_let_in(message),
            Code::UnknownTopicOrPartition | Code::UnknownTopic => self.topic_gone(topic),
            Code::AutoOffsetReset | Code::OffsetOutOfRange => {
                self.out_of_range
                    .extend(self.assignment.find(topic, partition));
            }
            // The consumer has met its end: under static membership, another one with the same id has taken its place.
            Code::Fatal | Code::FencedInstanceId => {
                self.fatal = Some(crate::error::FatalError::Kafka(message.to_owned()));
            }
            Code::PollExceeded => tracing::warn!(
                pipeline = self.judge.config().name,
                "a batch took longer than max.poll.interval.ms: {message}"
            ),
            _ => {
                self.unreachable = true;
                self.shared
                    .health
                    .dependency(Dependency::Broker, Err(message.to_owned()));
                tracing::warn!(pipeline = self.judge.config().name, topic, partition, %code, "consumer: {message}");
            }
        }
    }

    /// After a poll call, what it assigned is no longer fresh.
    pub(super) fn after_poll(&mut self) {
        let in_transactions = self.transaction.is_some();
        self.assignment.settle(|partition| {
            partition.fresh = false;
            partition.metrics.flush();
            partition.forget_settled(in_transactions);
        });
    }
}
