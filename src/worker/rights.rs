//! What a broker refuses for want of a right or a password. Either may be late at a start, and is changed while instances run:
//! librdkafka goes on asking, so a worker waits, and says what for. What was read and produced stays as it is meanwhile.

use std::time::{Duration, Instant};

use super::Clock;
use super::engine::Engine;
use super::ports::Positions;
use crate::health::Dependency;

/// How often it is looked whether a topic may be read again.
const AGAIN: Duration = Duration::from_secs(3);
/// How long may be between two refusals of what is asked again and again.
const BETWEEN: Duration = Duration::from_secs(5);
/// How long a question to the broker may take.
const TIMEOUT: Duration = Duration::from_secs(2);

impl Engine {
    /// A broker lets this worker not in, or not into its group.
    pub(super) fn not_let_in(&mut self, message: &str) {
        let health = &self.shared.health;
        health.dependency(Dependency::Broker, Err(message.to_owned()));
        self.unreachable = true;
        let before = self.refused_at.replace(self.time.read().now);
        if before.is_none() {
            tracing::warn!(
                pipeline = self.judge.config().name,
                owner = %self.judge.config().owner,
                worker = self.settings.slot,
                group = self.judge.config().group,
                "a broker refuses this worker, which asks again until it does not: {message}"
            );
        }
    }

    /// Whether it was refused a moment ago: that a broker answers says nothing then.
    pub(super) fn is_refused(&mut self, clock: Clock) -> bool {
        let is_refused = |at: Instant| clock.now < at + BETWEEN;
        self.refused_at = self.refused_at.filter(|at| is_refused(*at));
        self.refused_at.is_some()
    }

    /// A topic of ours may not be read any more.
    pub(super) fn may_not_read(&mut self, topic: &str, message: &str) {
        let next = self.time.read().now + AGAIN;
        if self.barred.insert(topic.to_owned(), next).is_some() {
            return;
        }
        tracing::warn!(
            pipeline = self.judge.config().name,
            owner = %self.judge.config().owner,
            topic,
            "the topic may not be read; it is asked for again until it may: {message}"
        );
        let fault = format!("it may not be read (it needs Read for this user): {message}");
        let health = &self.shared.health;
        health.dependency(Dependency::Topic(topic.to_owned()), Err(fault));
    }

    /// Looks for the topics that might not be read. The question makes librdkafka look as well.
    pub(super) fn look_for_barred(&mut self, positions: &dyn Positions, clock: Clock) {
        let due = |(topic, at): (&String, &Instant)| (*at <= clock.now).then(|| topic.clone());
        let Some(topic) = self.barred.iter().find_map(due) else {
            return;
        };
        if positions.has_topic(&topic, TIMEOUT) != Some(true) {
            self.barred.insert(topic, clock.now + AGAIN);
            return;
        }
        self.barred.remove(&topic);
        tracing::info!(
            pipeline = self.judge.config().name,
            topic,
            "the topic may be read again"
        );
        let health = &self.shared.health;
        health.dependency(Dependency::Topic(topic), Ok(()));
    }
}
