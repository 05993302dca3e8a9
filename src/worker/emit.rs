//! What is emitted: one output of a record, or several that stand and fall together. Input: a verdict's outputs. Output:
//! records handed to the producer, each in the books as one of its record's.
//!
//! Of several, none may be produced when one of them can never be, and what a broker has acknowledged cannot be taken back.
//! So an output that may be refused goes first, and the others wait for its answer: one that may be larger than its topic
//! takes, and one whose sink said no the last time. Which it is, only the broker knows: it looks at compressed sizes.

use std::cmp::Reverse;
use std::sync::Arc;

use rdkafka::types::RDKafkaErrorCode;

use super::Clock;
use super::engine::{ALONE_WAIT, Engine, Fate, Taken, too_large};
use crate::failure::breaker::Decided;
use crate::health::PauseReason;
use crate::ingest::assignment::Refused;
use crate::ingest::properties::BROKER_MESSAGE_BYTES;
use crate::native::producer::Produce;
use crate::pipeline::{Added, Output, Part};
use crate::record::{Header, Outcome, Record};

/// More than Kafka's batch and record headers take around one record.
const FRAME: usize = 256;
/// More than a header takes beside its name and value.
const HEADER_FRAME: usize = 16;

impl Engine {
    /// Hands an output to its sink.
    pub(super) fn emit(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        output: &Output,
        clock: Clock,
    ) {
        if let Some(error) = output.fault() {
            return self.fail(taken, record, own, &error, clock);
        }
        match self.produce(taken, record, own, output, None, false) {
            Ok(_) => self.decided(taken.slot, taken.offset, Decided::Passed, clock),
            Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                let error = too_large(self.topic(output));
                self.fail(taken, record, own, &error, clock);
            }
            Err(code) => self.not_emitted(taken, output, code, clock),
        }
    }

    /// Hands all outputs of a record to their sinks; the record is complete with the last one's acknowledgement. When
    /// one of them can never be written, the record fails as a whole.
    pub(super) fn emit_all(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        outputs: &[Output],
        clock: Clock,
    ) {
        if let Some(error) = outputs.iter().find_map(Output::fault) {
            return self.fail(taken, record, own, &error, clock);
        }
        if self.transaction.is_some() {
            return self.emit_together(taken, record, own, outputs, clock);
        }
        let order = self.order(taken, record, own, outputs);
        let careful = order.iter().any(|(_, alone)| *alone);
        if careful {
            // One that was not answered in time is among these: never a second one beside it.
            self.drain(ALONE_WAIT);
            if !self.in_flights.is_empty() {
                return self.unanswered(taken, &outputs[order[0].0], clock);
            }
        }
        let Some(partition) = self.assignment.get_mut(taken.slot) else {
            return;
        };
        partition
            .tracker
            .expect(taken.sequence, outputs.len() + taken.extras);
        let count = outputs.len();
        for (sent, (index, alone)) in order.into_iter().enumerate() {
            let output = &outputs[index];
            let part = Part { index, count };
            match self.produce(taken, record, own, output, Some(part), alone) {
                Ok(_) => {}
                Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    let error = too_large(self.topic(output));
                    return self.refuse(taken, record, own, error, sent > 0, clock);
                }
                Err(code) => return self.not_emitted(taken, output, code, clock),
            }
            if alone && !self.in_flights.is_empty() {
                return self.unanswered(taken, output, clock);
            }
            // It was refused, or one in front of it: the record is read again.
            let partition = self.assignment.get(taken.slot);
            if partition.is_none_or(|partition| partition.rewind.is_some()) {
                return;
            }
        }
        self.decided(taken.slot, taken.offset, Decided::Passed, clock);
    }

    /// All outputs of a record into the open transaction, in their order: one that is refused aborts it, and with it the
    /// others.
    fn emit_together(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        outputs: &[Output],
        clock: Clock,
    ) {
        let Some(partition) = self.assignment.get_mut(taken.slot) else {
            return;
        };
        partition
            .tracker
            .expect(taken.sequence, outputs.len() + taken.extras);
        let alone = partition.suspects.contains(&taken.offset);
        let count = outputs.len();
        for (index, output) in outputs.iter().enumerate() {
            let part = Part { index, count };
            match self.produce(taken, record, own, output, Some(part), alone) {
                Ok(_) => {}
                Err(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    let error = too_large(self.topic(output));
                    return self.refuse(taken, record, own, error, index > 0, clock);
                }
                Err(code) => {
                    if index > 0 {
                        let topic = self.topic(output).to_owned();
                        return self.half_sent(taken, &topic, code);
                    }
                    return self.not_emitted(taken, output, code, clock);
                }
            }
            if self.is_doomed() {
                return;
            }
        }
        self.decided(taken.slot, taken.offset, Decided::Passed, clock);
    }

    /// The order in which a record's outputs are produced, and whether each is to be answered before the next: those
    /// first that may be refused. Once a batch with the record was refused for its size, all of them, the largest first.
    fn order(
        &self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        outputs: &[Output],
    ) -> Vec<(usize, bool)> {
        let Some(partition) = self.assignment.get(taken.slot) else {
            return Vec::new();
        };
        let carried: usize = own.iter().map(|header| header_size(*header)).sum();
        let size = |output: &Output| {
            let value = output.value.as_ref().map_or(0, Vec::len);
            let key = output.key(record.key).map_or(0, <[u8]>::len);
            let set = output.headers.iter();
            let set = set.map(|(name, value)| header_size((name, value.as_deref())));
            FRAME + carried + value + key + set.sum::<usize>()
        };
        let suspect = partition.suspects.contains(&taken.offset);
        let doubted = partition.doubted.get(&taken.offset);
        let limit = |output: &Output| {
            let known = self.settings.sizes.get(self.topic(output)).copied();
            usize::try_from(known.unwrap_or(BROKER_MESSAGE_BYTES)).unwrap_or(usize::MAX)
        };
        let mut order: Vec<(usize, bool)> = outputs
            .iter()
            .enumerate()
            .map(|(index, output)| {
                let doubted = doubted.is_some_and(|sinks| sinks.contains(&output.sink));
                (index, suspect || doubted || size(output) > limit(output))
            })
            .collect();
        match suspect {
            true => order.sort_by_key(|(index, _)| Reverse(size(&outputs[*index]))),
            false => order.sort_by_key(|(_, alone)| !alone),
        }
        order
    }

    /// One of several outputs is refused before it is even queued. Those that are queued cannot be called back: their
    /// record is read again as one that was refused.
    fn refuse(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        error: crate::error::RecordError,
        others_sent: bool,
        clock: Clock,
    ) {
        let Some(partition) = self.assignment.get_mut(taken.slot) else {
            return;
        };
        if others_sent {
            let by_tier = false;
            let refused = Refused { error, by_tier };
            partition.refused.insert(taken.offset, refused);
            self.doom(taken.slot, None);
            return;
        }
        partition.tracker.expect(taken.sequence, 1);
        self.fail(taken, record, own, &error, clock);
    }

    fn not_emitted(
        &mut self,
        taken: &Taken,
        output: &Output,
        code: RDKafkaErrorCode,
        clock: Clock,
    ) {
        if code != RDKafkaErrorCode::QueueFull
            && let Some(partition) = self.assignment.get_mut(taken.slot)
        {
            let doubted = partition.doubted.entry(taken.offset).or_default();
            doubted.insert(output.sink);
        }
        let topic = self.topic(output).to_owned();
        self.not_sent(taken, &topic, code, PauseReason::BrokerRefused, clock);
    }

    /// An answer that the rest of the record's outputs depends on has not come: its partition waits there.
    fn unanswered(&mut self, taken: &Taken, output: &Output, clock: Clock) {
        let detail = format!("{}: not acknowledged in time", self.topic(output));
        let reason = PauseReason::BrokerRefused;
        self.pause(taken.slot, taken.offset, reason, &detail, None, clock);
    }

    fn topic(&self, output: &Output) -> &str {
        &self.judge.sinks()[output.sink].topic
    }

    fn produce(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        output: &Output,
        part: Option<Part>,
        alone: bool,
    ) -> Result<bool, RDKafkaErrorCode> {
        let position = || taken.origin.position();
        let added = Added::new(self.judge.config().provenance, position, part);
        let added = added.stale(output.newer.as_deref());
        let added = added.foreign(output.foreign.as_deref());
        let headers = output.merged(own, &added);
        let topic = Arc::clone(&self.sinks[output.sink]);
        let produce = Produce {
            topic: &topic,
            partition: None,
            timestamp: output.timestamp.or(taken.origin.timestamp),
            key: output.key(record.key),
            value: output.value.as_deref(),
            headers: &headers,
            patient: false,
        };
        let fate = Fate {
            outcome: Outcome::Emitted,
            sink: output.sink,
            tier: 0,
            reason: None,
            extra: false,
        };
        self.send(&produce, taken, fate, alone)
    }
}

fn header_size((name, value): Header<'_>) -> usize {
    HEADER_FRAME + name.len() + value.map_or(0, <[u8]>::len)
}
