//! What is written instead of an output, for good: dead letters, and records that are set aside since they stand behind others of
//! their key. Input: a record and why. Output: one record with it in the headers, handed to the producer; a topic that does not take
//! it, even with its headers shortened, stops the partition.

use rdkafka::types::RDKafkaErrorCode;

use super::Clock;
use super::engine::{Engine, Fate, Taken};
use super::standing;
use crate::error::RecordError;
use crate::failure::breaker::Decided;
use crate::failure::envelope::{Envelope, SHORTEST};
use crate::health::PauseReason;
use crate::native::producer::Produce;
use crate::record::{Header, Outcome, Record};

impl Engine {
    /// Writes a dead letter, and what stands for it in front of those that wait for it.
    pub(super) fn dead_letter(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        error: &RecordError,
        clock: Clock,
    ) {
        let dead = self.dead(taken, error.reason);
        let Some(partition) = self.assignment.get_mut(taken.slot) else {
            return;
        };
        if dead.is_some() {
            partition.tracker.expect(taken.sequence, 2);
        }
        let topic = self.judge.config().dead_letter_topic(partition.source());
        let to = (topic.as_str(), Outcome::DeadLettered);
        if !self.put_down(taken, record, own, error, to, clock) {
            return;
        }
        let decided = standing::fate(error.reason);
        self.decided(taken.slot, taken.offset, decided, clock);
        if let Some(dead) = dead {
            self.stand_for(taken, record, dead, error.reason, clock);
        }
    }

    /// Writes a record that is not to go on to its topic: nothing is wrong with it, and nobody waits for it.
    pub(super) fn set_aside(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        error: &RecordError,
        to: (&str, Outcome),
        clock: Clock,
    ) {
        if self.put_down(taken, record, own, error, to, clock) {
            self.decided(taken.slot, taken.offset, Decided::Passed, clock);
        }
    }

    /// Whether it was handed to the producer.
    fn put_down(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        error: &RecordError,
        (topic, outcome): (&str, Outcome),
        clock: Clock,
    ) -> bool {
        let Some(partition) = self.assignment.get(taken.slot) else {
            return false;
        };
        let number = partition.number;
        let mut steps = partition.shortened.get(&taken.offset).copied().unwrap_or(0);
        let timestamp = partition.time_of(taken.offset, taken.origin.timestamp);
        let fate = Fate {
            outcome,
            sink: 0,
            tier: 0,
            reason: Some(error.reason),
            extra: false,
        };
        loop {
            let (stamp, origin) = (self.judge.stamp(), &taken.origin);
            let envelope =
                Envelope::new(stamp, origin, error, own, clock.wall, None).shortened(steps);
            let produce = Produce {
                topic,
                partition: Some(number),
                timestamp,
                key: record.key,
                value: record.value,
                headers: &envelope.headers(),
                patient: true,
            };
            match self.send(&produce, taken, fate, false) {
                Ok(sent) => return sent,
                Err(RDKafkaErrorCode::MessageSizeTooLarge) if steps < SHORTEST => steps += 1,
                Err(code) => {
                    let reason = match outcome {
                        Outcome::DeadLettered => PauseReason::DeadLetterRefused,
                        _ => PauseReason::BrokerRefused,
                    };
                    self.not_sent(taken, topic, code, reason, clock);
                    return false;
                }
            }
        }
    }
}
