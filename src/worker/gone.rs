//! Logs that are not what they were: a topic that somebody has deleted, one that was made again, one whose retention was
//! shorter than our lag, one that was cut. librdkafka says so in passing, or goes on elsewhere; here it is judged and told,
//! and nothing is skipped without a word.

use std::time::{Duration, Instant};

use super::Clock;
use super::engine::Engine;
use super::ports::Positions;
use crate::health::{Dependency, PauseReason};

/// How often a topic that is gone is looked for.
const AGAIN: Duration = Duration::from_secs(3);
/// How long a question to the broker may take.
const TIMEOUT: Duration = Duration::from_secs(2);

impl Engine {
    /// librdkafka speaks of a topic that it does not know: `words` is its name, or begins with it.
    pub(super) fn topic_gone(&mut self, words: &str) {
        let config = self.judge.config();
        let retries = |source: &String| {
            let tiers = 1..=config.failure.tiers.len();
            let former = config.former_retry_topics(source).map(|(_, topic)| topic);
            let former = former.filter(|topic| self.settings.partitions.contains_key(topic));
            tiers
                .map(|tier| config.retry_topic(source, tier))
                .chain(former)
                .collect::<Vec<_>>()
        };
        let mut ours = config.source_topics.iter().cloned();
        let named = |topic: &String| {
            let rest = words.strip_prefix(topic.as_str());
            // A name may be the beginning of another one.
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let found = ours
            .find(named)
            .or_else(|| config.source_topics.iter().flat_map(retries).find(named));
        let Some(topic) = found else {
            tracing::debug!(pipeline = config.name, "{words}");
            return;
        };
        if self.gone.contains_key(&topic) {
            return;
        }
        tracing::warn!(
            pipeline = config.name,
            owner = %config.owner,
            topic,
            "the topic does not exist any more: nothing of it is read until it is there again"
        );
        let fault = "it does not exist any more; nothing of it is read until it is there again";
        let health = &self.shared.health;
        health.dependency(Dependency::Topic(topic.clone()), Err(fault.to_owned()));
        for partition in self.assignment.iter_mut() {
            partition.gone |= partition.topic == topic;
        }
        let now = self.time.read().now;
        self.gone.insert(topic, now + AGAIN);
    }

    /// Looks for the topics that were gone.
    pub(super) fn look_for_gone(&mut self, positions: &dyn Positions, clock: Clock) {
        let due = |(topic, at): (&String, &Instant)| (*at <= clock.now).then(|| topic.clone());
        let Some(topic) = self.gone.iter().find_map(due) else {
            return;
        };
        if positions.has_topic(&topic, TIMEOUT) != Some(true) {
            self.gone.insert(topic, clock.now + AGAIN);
            return;
        }
        tracing::info!(
            pipeline = self.judge.config().name,
            topic,
            "the topic is there again"
        );
        let health = &self.shared.health;
        health.dependency(Dependency::Topic(topic.clone()), Ok(()));
        self.gone.remove(&topic);
        let slots: Vec<usize> = self
            .assignment
            .iter()
            .filter(|partition| partition.topic == topic && partition.gone)
            .filter_map(|partition| self.assignment.find(&topic, partition.number))
            .collect();
        self.out_of_range.extend(slots);
    }

    /// Finds where to go on in partitions whose next offset their log does not have, or whose topic was gone.
    pub(super) fn find_range(&mut self, positions: &dyn Positions, clock: Clock) {
        if !self.out_of_range.is_empty() {
            // Positions are set anew below: what is not committed yet is undone first, and read again.
            self.abort(clock);
            if self.is_unresolved() {
                // What it comes to moves positions as well.
                return;
            }
        }
        while let Some(slot) = self.out_of_range.pop_first() {
            if let Err(why) = self.go_on(slot, positions, clock) {
                // Each question may take its time: this one and the others are asked in the next round.
                self.out_of_range.insert(slot);
                tracing::debug!(pipeline = self.judge.config().name, "{why}; asked again");
                return;
            }
        }
    }

    fn go_on(
        &mut self,
        slot: usize,
        positions: &dyn Positions,
        clock: Clock,
    ) -> Result<(), &'static str> {
        let epoch = self.assignment.next_epoch();
        let name = self.judge.config().name.clone();
        let Some(partition) = self.assignment.get_mut(slot) else {
            return Ok(());
        };
        if partition.fresh {
            return Err("a partition has just been assigned");
        }
        let (topic, number) = (partition.topic.clone(), partition.number);
        let Some((low, high)) = positions.range(&topic, number, TIMEOUT) else {
            return Err("the range of a partition is not known");
        };
        let family = [(topic.clone(), number)];
        let Ok(committed) = positions.committed(&family, TIMEOUT) else {
            return Err("the committed offset of a partition is not known");
        };
        let has_committed = committed.first().is_some_and(|entry| entry.offset >= 0);
        let expected = partition.tracker.expected();
        partition.gone = false;
        if partition.positioned && expected < low {
            let expired = low - expected;
            tracing::error!(
                pipeline = name,
                topic,
                partition = number,
                from = expected,
                to = low - 1,
                "{expired} offsets were deleted before they were read: the topic's retention is shorter than the lag"
            );
            partition
                .metrics
                .expired(u64::try_from(expired).unwrap_or(0));
            partition.rewind_to(low);
            partition.mark(low);
            self.rebuild_family(slot, clock);
        } else if partition.positioned && !has_committed {
            // Brokers forget the offsets of a topic that is deleted: this log is another one.
            tracing::warn!(
                pipeline = name,
                topic,
                partition = number,
                "the topic was made again: read from its beginning"
            );
            partition.begin_anew(epoch);
            self.rebuild_family(slot, clock);
        } else if partition.positioned && expected > high {
            let detail = format!(
                "the next offset is {expected} and the log ends at {high}: it was cut, or the topic was made again. \
                 Set the group's offset to where to go on, with Kafka's own tools, while no instance runs"
            );
            self.pause(
                slot,
                expected,
                PauseReason::LogTruncated,
                &detail,
                None,
                clock,
            );
        } else if partition.positioned {
            partition.rewind_to(expected);
        } else {
            partition.seek = Some(low);
        }
        Ok(())
    }
}
