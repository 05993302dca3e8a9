//! What happens between batches: acknowledgements, rewinds, pauses that end, commits, lag, the watchdog.

use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use super::Clock;
use super::engine::Engine;
use crate::emit::in_flight::InFlight;
use crate::failure::backoff;
use crate::health::{Dependency, PauseReason};
use crate::ingest::assignment::{Flow, Partition, Rewind, Role};
use crate::ingest::offsets;
use crate::native::consumer::{Client, Entry};
use crate::record::Outcome;

/// Unchanged offsets are committed this often: brokers forget the offsets of topics that no member subscribes to, which
/// is what retry topics are.
const RECOMMIT: Duration = Duration::from_secs(12 * 3600);
/// How often lag is looked at and the watchdog runs.
const LOOK: Duration = Duration::from_secs(1);
/// How long a worker waits for the answer of a broker that was down: little, since it reads nothing meanwhile.
const ASK_BROKER: Duration = Duration::from_millis(200);
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);

impl Engine {
    /// Serves the producer and acts on what it reports.
    pub(super) fn settle(&mut self, client: &Client<'_>) {
        self.producer.poll(Duration::ZERO, &mut self.deliveries);
        let clock = Clock::read();
        self.acknowledge(clock);
        self.rewind(clock);
        self.hold(client, clock);
    }

    /// Applies delivery reports: acknowledged outcomes complete their record, refused ones ask for a rewind.
    fn acknowledge(&mut self, clock: Clock) {
        let mut deliveries = std::mem::take(&mut self.deliveries);
        for delivery in deliveries.drain(..) {
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
                partition.tracker.complete(sent.sequence, sent.outcome);
                if std::mem::take(&mut partition.tries) > 0 {
                    let (topic, number) = (&partition.topic, partition.number);
                    let pipeline = &self.stages.config().name;
                    self.shared.health.resume(pipeline, topic, number);
                }
                match (sent.outcome, sent.reason) {
                    (Outcome::Retried, Some(reason)) => partition.metrics.retried(reason),
                    (Outcome::DeadLettered, Some(reason)) => {
                        partition.metrics.dead_lettered(reason);
                        partition
                            .metrics
                            .set_last_dead_letter(clock.wall as f64 / 1000.0);
                    }
                    _ => {
                        partition.metrics.emitted(1);
                        if let Some(timestamp) = sent.timestamp {
                            partition
                                .metrics
                                .emit_latency((clock.wall - timestamp).max(0) as f64 / 1000.0);
                        }
                    }
                }
                continue;
            };
            let own_fault = matches!(
                code,
                RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize
            );
            let pause = match sent.outcome {
                Outcome::Emitted if own_fault => None,
                Outcome::DeadLettered => Some(PauseReason::DeadLetterRefused),
                _ => Some(PauseReason::BrokerRefused),
            };
            let pause =
                pause.map(|reason| (reason, format!("{}: {code}", self.destination(&sent))));
            if pause.is_none() {
                self.refuse(sent.slot, sent.offset);
            }
            if let Some(partition) = self.assignment.get_mut(sent.slot) {
                // The first failure decides; the ones behind it are read again with it.
                partition.rewind.get_or_insert(Rewind { pause });
            }
        }
        self.deliveries = deliveries;
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
            partition.rewind_to(offset);
            if let Some((reason, detail)) = rewind.pause {
                let wait = backoff::pause(partition.tries);
                partition.tries = partition.tries.saturating_add(1);
                let first = partition.tries == 1;
                partition.flow = Flow::Paused {
                    until: clock.now + wait,
                    reason,
                };
                self.told(slot, reason, &detail, wait, first, clock);
            }
        }
    }

    /// Makes librdkafka pause and seek what has to be, and go on with what may.
    fn hold(&mut self, client: &Client<'_>, clock: Clock) {
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
            {
                partition.flow = Flow::Open;
                partition.metrics.set_paused(None);
                // A fault is over when an outcome has got through, not when another try begins.
                if !reason.is_fault() {
                    let (topic, number) = (&partition.topic, partition.number);
                    let pipeline = &self.stages.config().name;
                    self.shared.health.resume(pipeline, topic, number);
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
        let mut slots: Vec<_> = self
            .assignment
            .iter()
            .filter(|partition| {
                partition.rewind.is_some()
                    || partition.seek.is_some()
                    || partition.held
                    || partition.flow != Flow::Open
            })
            .filter_map(|partition| self.assignment.find(&partition.topic, partition.number))
            .collect();
        slots.sort_unstable();
        slots
    }

    /// Pauses that end, commits, lag and the watchdog.
    pub(super) fn timers(&mut self, client: &Client<'_>, clock: Clock) {
        self.hold(client, clock);
        if clock.now >= self.next_commit {
            self.next_commit = clock.now + self.settings.commit_interval;
            self.commit(client, false);
        }
        if clock.now >= self.next_look {
            self.next_look = clock.now + LOOK;
            self.look(client, clock);
        }
    }

    /// Commits what may be committed. The result of one that does not wait comes to [`Self::committed`].
    pub(super) fn commit(&mut self, client: &Client<'_>, wait: bool) {
        let now = Clock::read().now;
        let entries: Vec<Entry> = self
            .assignment
            .iter()
            .filter_map(|partition| partition.commit(now, RECOMMIT))
            .collect();
        if entries.is_empty() {
            return;
        }
        let result = offsets::commit(client, &entries, wait);
        if wait {
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
                partition.committed_at = now;
                partition.metrics.set_committed(entry.offset);
            }
        }
    }

    /// The answer to a commit.
    pub(super) fn committed(&mut self, error: Option<RDKafkaErrorCode>, entries: &[Entry]) {
        if error == Some(RDKafkaErrorCode::NoOffset) {
            return;
        }
        self.metrics.commit(error.is_none());
        let Some(code) = error else {
            self.broker_is_up();
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

    /// Asks for the group's offset of a source partition when the broker was last seen down: without records there is
    /// nothing to commit, and no other answer would show that it is back.
    fn ask_broker(&mut self, client: &Client<'_>) {
        if !self.broker_down {
            return;
        }
        let Some(topic) = self.stages.config().source_topics.first().cloned() else {
            return;
        };
        if client.committed(&[(topic, 0)], ASK_BROKER).is_ok() {
            self.broker_is_up();
        }
    }

    fn broker_is_up(&mut self) {
        self.shared.health.dependency(Dependency::Broker, Ok(()));
        if std::mem::take(&mut self.broker_down) {
            tracing::info!(
                pipeline = self.stages.config().name,
                worker = self.settings.slot,
                "the broker answers again"
            );
        }
    }

    /// Where something was produced to, for messages.
    fn destination(&self, sent: &InFlight) -> String {
        let config = self.stages.config();
        let source = self
            .assignment
            .get(sent.slot)
            .map_or("", |partition| partition.source());
        match (sent.outcome, sent.tier) {
            (Outcome::Retried, Some(tier)) => config.retry_topic(source, tier + 1),
            (Outcome::DeadLettered, _) => config.dead_letter_topic(source),
            _ => config.sink.topic.clone(),
        }
    }

    fn look(&mut self, client: &Client<'_>, clock: Clock) {
        self.ask_broker(client);
        let name = self.stages.config().name.clone();
        self.shared.health.worker_alive(&name, self.settings.slot);
        if !client.member_id().is_empty() {
            self.shared.health.worker_joined(&name, self.settings.slot);
        }
        let stuck_after = self.settings.stuck_after;
        for partition in self.assignment.iter_mut() {
            let committable = partition.tracker.committable();
            let high = client
                .watermarks(&partition.topic, partition.number)
                .map(|(_, high)| high);
            let lag = high.map_or(0, |high| (high - committable.max(0)).max(0));
            match partition.role {
                Role::Source => partition.metrics.set_lag(lag),
                Role::Retry { .. } => partition.metrics.set_retries_pending(lag),
            }
            partition.metrics.set_in_flight(partition.tracker.open());
            // Nothing is left to get through, as when retention has deleted what the pause was about.
            if lag == 0 && partition.flow == Flow::Open && partition.tries > 0 {
                partition.tries = 0;
                let (topic, number) = (&partition.topic, partition.number);
                self.shared.health.resume(&name, topic, number);
            }
            let moved = partition.committed != Some(committable) || lag == 0;
            let waits = matches!(partition.flow, Flow::Paused { reason, .. } if !reason.is_fault());
            if moved || waits {
                partition.progressed_at = clock.now;
                if std::mem::take(&mut partition.stuck) {
                    partition.metrics.set_stuck(false);
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
                tracing::warn!(
                    pipeline = name,
                    owner = %self.stages.config().owner,
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
        let until = Clock::read().now + grace;
        while !self.in_flights.is_empty() {
            let left = until.saturating_duration_since(Clock::read().now);
            if left.is_zero() || self.producer.fatal_error().is_some() {
                break;
            }
            self.producer
                .flush(left.min(Duration::from_millis(100)), &mut self.deliveries);
            self.acknowledge(Clock::read());
        }
    }
}

/// Brings librdkafka's state in line with the partition's.
fn hold_one(client: &Client<'_>, partition: &mut Partition) -> Result<(), String> {
    let paused = matches!(partition.flow, Flow::Paused { .. });
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
        client
            .seek(&[partition.entry(offset)], SEEK_TIMEOUT)
            .map_err(|error| format!("seek to {offset} failed: {}", error.message))?;
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
