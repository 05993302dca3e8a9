//! Rebalances. Retry partitions travel with the source partition of their number: workers subscribe to source topics
//! only, and what is assigned or revoked here takes its retry partitions along. Runs inside the poll call.

use std::collections::HashMap;
use std::time::Duration;

use super::engine::Engine;
use super::ports::Positions;
use super::transaction::uncounted;
use crate::error::{FatalError, Reason};
use crate::failure::breaker::Decisions;
use crate::failure::classify::Disposition;
use crate::ingest::assignment::{Partition, Role, began_with, has_state, was_there};
use crate::ingest::offsets::{Counts, ledger_begins};
use crate::ingest::standing::{Cause, Standing};
use crate::native::consumer::{
    Client, Entry, OFFSET_BEGINNING, OFFSET_END, OFFSET_INVALID, Rebalance,
};
use crate::pipeline::policy;
use crate::state::memory::Notes;
use crate::state::noted::Noted;

/// How long one question for committed offsets may take, how long it is asked again, and after which wait. A broker that
/// has just come back answers at once that it is still loading them: tries without a wait would be over in a moment.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(10);
const COMMITTED_LIMIT: Duration = Duration::from_secs(40);
const COMMITTED_PAUSE: Duration = Duration::from_millis(250);
/// How long one question for the end of a partition may take.
const END_TIMEOUT: Duration = Duration::from_secs(10);

impl Engine {
    /// The retry topics of a source topic, with their tier.
    fn retry_topics(&self, source: &str) -> Vec<(usize, String)> {
        let config = self.judge.config();
        (0..config.failure.tiers.len())
            .map(|tier| (tier, config.retry_topic(source, tier + 1)))
            .collect()
    }

    /// The partition with its retry partitions.
    pub(super) fn family(&self, topic: &str, number: i32) -> Vec<(String, i32, Role)> {
        let mut family = vec![(topic.to_owned(), number, Role::Source)];
        let retries = self.retry_topics(topic).into_iter();
        for (tier, retry) in retries.chain(self.former_retry_topics(topic, number)) {
            let source = topic.to_owned();
            family.push((retry, number, Role::Retry { tier, source }));
        }
        family
    }

    /// Retry topics of tiers that an earlier configuration had, where they have the partition: what waits in them is read
    /// like any other retry, and nothing more is written to them.
    fn former_retry_topics(&self, source: &str, number: i32) -> Vec<(usize, String)> {
        let former = self.judge.config().former_retry_topics(source);
        let there = former.filter(|(_, topic)| {
            let count = self.settings.partitions.get(topic);
            count.is_some_and(|count| number < *count)
        });
        there.map(|(tier, topic)| (tier - 1, topic)).collect()
    }

    /// Retry and dead-letter topics must have every partition of their source, or a record would have nowhere to go.
    fn missing_partition(&self, topic: &str, number: i32) -> Option<FatalError> {
        let dead_letter = self.judge.config().dead_letter_topic(topic);
        let companions = self
            .retry_topics(topic)
            .into_iter()
            .map(|(_, topic)| topic)
            .chain([dead_letter])
            .chain(self.judge.config().ledger_topic(topic))
            .chain(self.judge.config().state_topic(topic));
        let known = companions.filter_map(|topic| {
            self.settings
                .partitions
                .get(&topic)
                .map(|count| (topic, *count))
        });
        let (companion, count) = known.into_iter().find(|(_, count)| number >= *count)?;
        Some(FatalError::Topics(format!(
            "topic {topic} has grown: partition {number} is new, and {companion} had {count} partitions at start. \
             Restart: missing partitions are added at start. With create_topics: false add them first, the start names each topic and \
             how many it needs."
        )))
    }

    fn committed_offsets(
        &mut self,
        client: &dyn Positions,
        partitions: &[(String, i32)],
    ) -> Result<Vec<Entry>, FatalError> {
        // Offsets that a transaction has sent are told once it has ended, if by the coordinator after its time-out.
        let open = self.settings.transaction.as_ref();
        let limit = open.map_or(COMMITTED_LIMIT, |open| {
            COMMITTED_LIMIT.max(open.timeout + COMMITTED_TIMEOUT)
        });
        let until = self.time.read().now + limit;
        self.resolve(client, COMMITTED_PAUSE);
        let mut told = false;
        loop {
            match client.committed(partitions, COMMITTED_TIMEOUT) {
                Ok(entries) => return Ok(entries),
                Err(code)
                    if self.time.read().now < until && !self.shared.shutdown.is_cancelled() =>
                {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%code, "committed offsets could not be read; asked again");
                    }
                    // It may be our own.
                    self.resolve(client, COMMITTED_PAUSE);
                    // A wait that goes on taking acknowledgements.
                    self.outlet.poll(COMMITTED_PAUSE, &mut self.deliveries);
                }
                Err(code) => {
                    return Err(FatalError::Kafka(format!(
                        "committed offsets could not be read: {code}"
                    )));
                }
            }
        }
    }
}

impl Engine {
    /// Where a source partition without a commit would begin at the end: what the group has committed of all partitions of its
    /// topic. Nothing otherwise.
    fn commits_of_topics(
        &mut self,
        client: &dyn Positions,
        partitions: &[Entry],
        committed: &[Entry],
    ) -> Result<Vec<Entry>, FatalError> {
        let is_known = |one: &&Entry| {
            let mut all = committed.iter();
            all.any(|found| {
                (&found.topic, found.partition) == (&one.topic, one.partition) && found.offset >= 0
            })
        };
        let mut topics: Vec<&str> = partitions
            .iter()
            .filter(|one| !is_known(one))
            .map(|one| one.topic.as_str())
            .collect();
        topics.sort_unstable();
        topics.dedup();
        if self.settings.start != OFFSET_END || topics.is_empty() {
            return Ok(Vec::new());
        }
        let count = |topic: &str| self.settings.partitions.get(topic).copied().unwrap_or(0);
        let all: Vec<(String, i32)> = topics
            .iter()
            .flat_map(|topic| (0..count(topic)).map(|number| ((*topic).to_owned(), number)))
            .collect();
        self.committed_offsets(client, &all)
    }
}

/// The metadata of a topic's commits.
fn metadata_of<'e>(entries: &'e [Entry], topic: &str) -> impl Iterator<Item = &'e str> {
    let of_topic = entries
        .iter()
        .filter(move |entry| entry.topic == topic && entry.offset >= 0);
    of_topic.map(|entry| entry.metadata.as_deref().unwrap_or_default())
}

impl Rebalance for Engine {
    fn assign(&mut self, client: &Client<'_>, partitions: &[Entry]) -> Vec<Entry> {
        self.assigned(client, partitions)
    }

    fn revoke(&mut self, client: &Client<'_>, partitions: &[Entry], lost: bool) -> Vec<Entry> {
        self.revoked(client, partitions, lost)
    }
}

impl Engine {
    /// Takes partitions with their retry partitions. Returns what to read, and from where.
    pub(super) fn assigned(&mut self, client: &dyn Positions, partitions: &[Entry]) -> Vec<Entry> {
        self.metrics.rebalance();
        self.judge.rebalanced(self.settings.slot);
        let name = self.judge.config().name.clone();
        // Where the time of a start that is the group's ends, and ours goes on.
        tracing::debug!(
            pipeline = name,
            worker = self.settings.slot,
            "given partitions"
        );
        let families: Vec<_> = partitions
            .iter()
            .flat_map(|entry| self.family(&entry.topic, entry.partition))
            .collect();
        if let Some(error) = partitions
            .iter()
            .find_map(|entry| self.missing_partition(&entry.topic, entry.partition))
        {
            self.fatal = Some(error);
            return Vec::new();
        }
        let names: Vec<_> = families
            .iter()
            .map(|(topic, number, _)| (topic.clone(), *number))
            .collect();
        let committed = match self.committed_offsets(client, &names) {
            Ok(committed) => committed,
            Err(error) => {
                // Who is told to end while the broker is away has nothing to give back, and ends as it was told.
                if !self.shared.shutdown.is_cancelled() {
                    self.fatal = Some(error);
                }
                return Vec::new();
            }
        };
        let ends = match self.commits_of_topics(client, partitions, &committed) {
            Ok(ends) => ends,
            Err(error) => {
                if !self.shared.shutdown.is_cancelled() {
                    self.fatal = Some(error);
                }
                return Vec::new();
            }
        };
        let clock = self.time.read();
        let mut answer = Vec::with_capacity(families.len());
        // Thousands of partitions come at once.
        let committed: HashMap<_, _> = committed
            .iter()
            .map(|entry| ((entry.topic.as_str(), entry.partition), entry))
            .collect();
        for (topic, number, role) in families {
            let found = committed.get(&(topic.as_str(), number)).copied();
            let said = found
                .and_then(|entry| entry.metadata.as_deref())
                .map_or_else(Vec::new, Standing::of_metadata);
            // "At the end" is another place each time that it is asked. So it is asked once, and committed: what comes after
            // that is read, though a restart or another owner comes first.
            let is_new = found.is_none_or(|entry| entry.offset < 0) && role == Role::Source;
            let is_at_end = is_new && self.settings.start == OFFSET_END;
            let was_there = was_there(number, metadata_of(&ends, &topic));
            let end = match is_at_end {
                true => client
                    .range(&topic, number, END_TIMEOUT)
                    .map(|(low, end)| if was_there { end } else { low }),
                false => None,
            };
            if is_at_end && !was_there {
                tracing::info!(
                    pipeline = name,
                    topic,
                    partition = number,
                    "the partition was added after the group had begun: it is read from its beginning"
                );
            }
            let began = match (is_at_end, was_there) {
                (true, true) => self.settings.partitions.get(&topic).copied(),
                _ => found
                    .and_then(|entry| entry.metadata.as_deref())
                    .and_then(began_with),
            };
            let has_state = found
                .and_then(|entry| entry.metadata.as_deref())
                .is_some_and(has_state);
            let found = found.filter(|entry| entry.offset >= 0).map(|entry| {
                let metadata = entry.metadata.as_deref();
                let counts = metadata.and_then(Counts::from_metadata);
                let begins = metadata.and_then(ledger_begins);
                (entry.offset, counts.unwrap_or_default(), begins)
            });
            let found = found.or(end.map(|end| (end, Counts::default(), None)));
            let metrics = self.shared.metrics.partition(&name, &topic, number);
            let failure = &self.judge.config().failure;
            for (reason, retried) in fates(|reason| policy(failure, reason).disposition) {
                metrics.expect_failure(reason, retried);
            }
            let stale = self.judge.config().stale.as_ref();
            if stale.is_some_and(|stale| stale.then.is_dead_letter()) {
                metrics.expect_failure(Reason::Stale, false);
            }
            let epoch = self.assignment.next_epoch();
            let mut partition = Partition::new(
                &topic,
                number,
                role.clone(),
                epoch,
                found.map(|(offset, counts, _)| (offset, counts)),
                metrics,
                clock.now,
            );
            // A breaker's pause, or one for values, that stood with the last owner stands: known before anything is read. An
            // operator's is asked of the control topic, and a drift is met again.
            let stands = |one: &&Standing| match one.cause {
                Cause::Breaker | Cause::Quarantine | Cause::Values(_) | Cause::LetGo(_) => true,
                Cause::Operator | Cause::Drift { .. } => false,
            };
            partition.standing = said.iter().filter(stands).copied().collect();
            partition.said = said;
            let limits = self.limits;
            partition.decisions = limits.is_any().then(|| Decisions::new(&limits, clock.now));
            if self
                .judge
                .config()
                .ledger_topic(partition.source())
                .is_some()
            {
                let named = self.judge.config().names_silent();
                partition.keep_book(found.and_then(|(_, _, begins)| begins), named);
            }
            partition.began = began;
            let config = self.judge.config();
            if config.dedup.is_some() || config.stale.is_some() {
                partition.notes = Some(Notes {
                    seen: config.dedup.as_ref().map(|_| Noted::default()),
                    newest: config.stale.as_ref().map(|_| Noted::default()),
                });
                partition.has_state = has_state;
                partition.mark.has_state = has_state;
            }
            if end.is_some() {
                (partition.committed, partition.is_found) = (None, true);
                // Before anything of it is taken.
                self.next_commit = clock.now;
            }
            let start = match role {
                // A source without a commit starts where `auto.offset.reset` says.
                Role::Source if is_at_end && !was_there => {
                    found.map_or(OFFSET_BEGINNING, |(offset, ..)| offset)
                }
                Role::Source => found.map_or(self.settings.start, |(offset, ..)| offset),
                // A retry partition without one starts at its beginning, whatever that property says.
                Role::Retry { .. } => found.map_or(OFFSET_BEGINNING, |(offset, ..)| offset),
            };
            answer.push(partition.entry(start));
            self.assignment.insert(partition);
        }
        self.rebuild(partitions, &answer, clock);
        for entry in partitions {
            if let Some(source) = self.assignment.find(&entry.topic, entry.partition) {
                self.obey_for(source, clock);
                self.heed_for(source, clock);
            }
        }
        if !partitions.is_empty() {
            tracing::info!(pipeline = name, worker = self.settings.slot, partitions = %listed(partitions), "assigned");
        }
        answer
    }

    /// Gives partitions up with their retry partitions. Returns what is no longer to be read.
    pub(super) fn revoked(
        &mut self,
        client: &dyn Positions,
        partitions: &[Entry],
        lost: bool,
    ) -> Vec<Entry> {
        self.metrics.rebalance();
        let families: Vec<_> = partitions
            .iter()
            .flat_map(|entry| self.family(&entry.topic, entry.partition))
            .collect();
        if lost {
            tracing::warn!(
                pipeline = self.judge.config().name,
                worker = self.settings.slot,
                partitions = %listed(partitions),
                "lost: nothing more is committed for them; what was in flight may be repeated by their new owner"
            );
            self.abort(self.time.read());
        } else if self.transaction.is_some() {
            self.commit_transaction(client, Some(self.commit_patience()));
            tracing::info!(
                pipeline = self.judge.config().name,
                worker = self.settings.slot,
                partitions = %listed(partitions),
                "revoked"
            );
        } else {
            self.drain(self.revoke_patience());
            let slots: Vec<usize> = families
                .iter()
                .filter_map(|(topic, number, _)| self.assignment.find(topic, *number))
                .collect();
            for slot in &slots {
                if let Some(partition) = self.assignment.get_mut(*slot) {
                    partition.doubt_commit();
                }
            }
            let commits = self.last_commits(&slots, Duration::MAX, self.revoke_patience());
            // Bounded, because the group waits for us: a coordinator that is away must not hold up everybody.
            let result = client.commit(&commits, Some(self.commit_patience()));
            if !commits.is_empty() {
                self.metrics.commit(result.is_ok());
            }
            if let Err(code) = result {
                tracing::warn!(%code, "the commit before a revoke failed; the new owner repeats what it did not see");
            }
            tracing::info!(
                pipeline = self.judge.config().name,
                worker = self.settings.slot,
                partitions = %listed(partitions),
                "revoked"
            );
        }
        let mut answer = Vec::with_capacity(families.len());
        for (topic, number, _) in families {
            if let Some(slot) = self.assignment.find(&topic, number) {
                if !lost {
                    self.put_away(slot, self.time.read());
                }
                self.families.forget(slot);
            }
            if let Some(partition) = self.assignment.remove(&topic, number) {
                let uncounted = uncounted(&partition, self.transaction.is_some());
                partition.metrics.discarded(uncounted);
                self.shared.metrics.forget_partition(&partition.metrics);
                // librdkafka keeps the pause of a partition that it has given back: should it come again, nobody would
                // lift that.
                if partition.held
                    && let Err(code) = client.resume(&[partition.entry(0)])
                {
                    tracing::debug!(topic, partition = number, %code, "not resumed");
                }
                self.shared
                    .health
                    .release(&self.judge.config().name, &topic, number);
                answer.push(partition.entry(OFFSET_INVALID));
            }
        }
        answer
    }
}

/// What can become of failed records: reason, and whether by a retry or else a dead letter. A pause is neither.
fn fates(of: impl Fn(Reason) -> Disposition) -> impl Iterator<Item = (Reason, bool)> {
    Reason::ALL.into_iter().flat_map(move |reason| {
        let retried: &[bool] = match of(reason) {
            Disposition::DeadLetter => &[false],
            Disposition::Retry | Disposition::RetryUntilBudget => &[true, false],
            Disposition::Follow => &[true],
            Disposition::Pause | Disposition::SetAside => &[],
        };
        retried.iter().map(move |retried| (reason, *retried))
    })
}

fn listed(partitions: &[Entry]) -> String {
    let names: Vec<_> = partitions
        .iter()
        .map(|entry| format!("{}-{}", entry.topic, entry.partition))
        .collect();
    names.join(" ")
}
