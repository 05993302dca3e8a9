//! `delivery: exactly_once`: what a worker produces, and the offsets behind it, commit in one transaction.
//!
//! A transaction begins with the first outcome after the last one, and ends by time or by count: everything is acknowledged,
//! the offsets of all partitions are added, it commits. What goes wrong in between aborts it, and every partition goes back
//! to its mark, which is where the last commit left it. A call whose answer does not come in time leaves the transaction
//! *unresolved*: nothing is taken until it is known how it ended.

mod barred;

use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use self::barred::Topics;
pub(super) use self::barred::{destination, is_barred};
use super::Clock;
use super::engine::Engine;
use super::ports::Positions;
use super::settle::{Done, RECOMMIT, got_through, told_open};
use crate::emit::in_flight::InFlight;
use crate::error::FatalError;
use crate::failure::backoff;
use crate::health::{Dependency, PauseReason};
use crate::ingest::assignment::{Flow, Partition, Rewind};
use crate::ingest::offsets::Counts;
use crate::ingest::standing::Standing;
use crate::native::ClientError;
use crate::native::consumer::Entry;
use crate::native::transaction::{Then, TransactionError, is_fenced};
use crate::record::Outcome;

/// How a worker's transactions run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `transactional.id`
    pub id: String,
    /// Whether no other process can have the id, since a part of it is random.
    pub exclusive: bool,
    /// How long a transaction is open before it is committed.
    pub interval: Duration,
    /// The most records that are produced or filtered in one.
    pub records: usize,
    /// `transaction.timeout.ms`: when the coordinator gives one up.
    pub timeout: Duration,
    /// `max.poll.interval.ms`: when the group gives up a worker that does not poll.
    pub poll_interval: Duration,
}

impl Settings {
    /// How long the acknowledgements of a transaction are waited for, and the answers to its end: a third of the time that
    /// is there for all of it.
    fn third(&self) -> Duration {
        self.timeout.min(self.poll_interval) / 3
    }

    /// How long a batch may take whose transactions commit slowly: what is left of it is read again after a poll.
    fn batch_limit(&self) -> Duration {
        self.poll_interval / 4
    }
}

/// How long one attempt to end an unresolved transaction may take: rebalances are served in between.
const STEP: Duration = Duration::from_millis(500);
/// How long an abort is waited for at first.
const ABORT: Duration = Duration::from_secs(2);
/// How long partitions stand still at a time while a transaction is unresolved.
const PARK: Duration = Duration::from_millis(500);
/// How many records are handled between two looks at the clock.
const PACE: usize = 32;
/// So few records are not why their acknowledgements take long.
const FEW: usize = 4;
/// How often in a row, without a commit in between, a producer may be replaced.
const RENEWALS: u32 = 5;
/// How long one question for committed offsets may take.
const RELOAD: Duration = Duration::from_secs(5);

/// The transaction under way, or the one to come.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) settings: Settings,
    state: State,
    /// When its first outcome was noted.
    since: Option<Instant>,
    /// Records produced or filtered in it.
    outcomes: usize,
    /// How many there may be before it is committed: `settings.records`, and fewer while the brokers take them slowly, so
    /// that what is in one transaction can be acknowledged in its time.
    room: usize,
    /// How many the last one had that committed, and how long their acknowledgements took.
    before: Option<(usize, Duration)>,
    /// Records looked at since the clock was.
    paced: usize,
    /// What is counted once it has committed.
    tallies: Vec<Tally>,
    /// Whether it can only be aborted.
    pub(super) doomed: bool,
    /// Whether a commit had no answer and the transaction was aborted: only the group's offsets tell how it ended.
    unsure: bool,
    renewals: u32,
    /// What is known of the topics that are written to.
    topics: Topics,
    /// Whether it was told that it is unresolved.
    told: bool,
}

#[derive(Debug, PartialEq)]
enum State {
    /// The producer has not been made the only one with its id yet.
    Starting,
    /// None is open.
    Idle,
    /// One is open.
    Open,
    /// Its commit has no answer yet. The partitions in it, with what was sent.
    Committing(Vec<Sent>),
    /// Its abort has no answer yet.
    Aborting,
    /// Where the group stands has to be read.
    Reloading,
}

/// The offset of a partition in a transaction.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    slot: usize,
    epoch: u64,
    offset: i64,
    /// The pauses that its metadata tells of.
    said: Vec<Standing>,
}

/// Something to count when the transaction has committed. Small: there is one for each record.
#[derive(Debug, Clone, Copy)]
struct Tally {
    slot: u32,
    /// The sink of an acknowledged output.
    output: Option<u16>,
    /// Of the partition, when it was produced.
    epoch: u64,
    /// A record that is complete with it.
    done: Option<Done>,
}

impl Transaction {
    pub(super) fn new(settings: Settings) -> Transaction {
        Transaction {
            room: settings.records,
            settings,
            state: State::Starting,
            since: None,
            outcomes: 0,
            before: None,
            paced: 0,
            tallies: Vec::new(),
            doomed: false,
            unsure: false,
            renewals: 0,
            topics: Topics::new(),
            told: false,
        }
    }

    /// When it is to be committed.
    pub(super) fn due(&self) -> Option<Instant> {
        Some(self.since? + self.settings.interval)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.outcomes >= self.room || self.due().is_some_and(|due| due <= now)
    }

    fn is_unresolved(&self) -> bool {
        !matches!(self.state, State::Idle | State::Open)
    }

    /// Notes an acknowledged output. Whether its record is complete with it.
    pub(super) fn acknowledged(&mut self, partition: &mut Partition, sent: InFlight) -> bool {
        let is_output = sent.outcome == Outcome::Emitted && !sent.extra;
        self.topics.took(partition.source(), &sent);
        let is_complete = partition.tracker.complete(sent.sequence, sent.outcome);
        if is_complete && sent.alone {
            // It is not the one that is too large. Should all be aborted for another's sake, it needs no batch of its own
            // when it comes again.
            partition.suspects.remove(&sent.offset);
        }
        let output = is_output.then_some(sent.sink);
        let done = is_complete.then(|| Done::of(&sent));
        self.tally(sent.slot, sent.epoch, output, done);
        is_complete
    }

    /// A broker has said of this record that its topic may not be written to: that is why the transaction fails.
    pub(super) fn barred_from(&mut self, source: &str, sent: &InFlight) {
        self.topics.refused(source, sent);
    }

    /// Notes a record that nothing is produced for.
    pub(super) fn silent(&mut self, slot: usize, epoch: u64, done: Done) {
        self.outcomes += 1;
        self.tally(slot, epoch, None, Some(done));
    }

    fn tally(&mut self, slot: usize, epoch: u64, output: Option<usize>, done: Option<Done>) {
        self.tallies.push(Tally {
            slot: u32::try_from(slot).expect("fewer partitions"),
            output: output.map(|sink| u16::try_from(sink).expect("fewer sinks")),
            epoch,
            done,
        });
    }

    /// So many of its records were not acknowledged in time. The same records again would come to the same end: there are
    /// to be fewer in the next one.
    fn was_too_large(&mut self, unanswered: usize) {
        let fitting = match self.outcomes.saturating_sub(unanswered) {
            // Nothing is known of how fast the brokers are, only that they were not this time.
            0 => self.outcomes / 8,
            answered => answered / 2,
        };
        self.room = fitting.min(self.room / 2).max(1);
        tracing::debug!(room = self.room, unanswered, "transactions become smaller");
    }

    /// It is about to commit, and its acknowledgements took so long: up to a third of its time is waited for them. Nobody knows
    /// whether many records or slow brokers were the reason, so as long as there is some room left, the next one may always have
    /// more: transactions of one record, each as slow as a large one, would be all but a standstill. Where little is left, it
    /// has fewer, unless they cannot be why: there were hardly any, or half as many took as long.
    fn fitted(&mut self, took: Duration) {
        let (third, most) = (self.settings.third(), self.settings.records);
        let is_full = self.outcomes >= self.room;
        let before = self.before.replace((self.outcomes, took));
        let is_no_slower = before.is_some_and(|(outcomes, before)| {
            self.outcomes >= 2 * outcomes && took <= before + before / 10
        });
        let room = match took {
            _ if took < third / 4 => self.room.saturating_mul(2).min(most),
            _ if took > third / 4 * 3 && (is_no_slower || self.outcomes <= FEW) => {
                self.outcomes.saturating_mul(2).clamp(1, most)
            }
            _ if took > third / 4 * 3 => (self.outcomes.min(self.room) / 2).max(1),
            _ if !is_full => self.room,
            _ if took < third / 2 => (self.room + self.room / 4 + 1).min(most),
            _ => (self.room + 1).min(most),
        };
        if room < self.room {
            tracing::debug!(room, "transactions become smaller");
        }
        self.room = room;
    }

    fn reset(&mut self) {
        self.since = None;
        self.outcomes = 0;
        self.tallies.clear();
        self.doomed = false;
        self.topics.next();
    }
}

impl Engine {
    /// Whether nothing more is to be produced, since the transaction will be aborted.
    pub(super) fn is_doomed(&self) -> bool {
        self.transaction.as_ref().is_some_and(|open| open.doomed)
    }

    /// Whether the open transaction can only be aborted: what is not acknowledged by then never will be.
    pub(super) fn has_failed(&mut self) -> bool {
        let open = self.transaction.as_ref();
        open.is_some_and(|open| open.state == State::Open) && self.outlet.failure().is_some()
    }

    /// Whether what was done since the last commit is to be undone.
    pub(super) fn must_abort(&self) -> bool {
        let asked = || {
            self.assignment
                .iter()
                .any(|partition| partition.rewind.is_some())
        };
        self.transaction.is_some() && (self.is_doomed() || asked())
    }

    /// Makes the producer the only one with its id. Waits for a broker that is away.
    pub(super) fn start_transactions(&mut self) -> Result<(), FatalError> {
        while let Some(transaction) = &self.transaction
            && transaction.state == State::Starting
            && !self.shared.shutdown.is_cancelled()
        {
            match self.outlet.init(2 * STEP) {
                Ok(()) => self.become_idle(),
                Err(error) => self.unanswered_call("its start", &error)?,
            }
        }
        Ok(())
    }

    /// Before a record is produced: begins a transaction when none is open.
    pub(super) fn enlist(&mut self) -> Result<(), RDKafkaErrorCode> {
        let Some(transaction) = &mut self.transaction else {
            return Ok(());
        };
        transaction.outcomes += 1;
        if transaction.state != State::Idle {
            return Ok(());
        }
        self.outlet.begin().map_err(|error| error.code)?;
        transaction.state = State::Open;
        Ok(())
    }

    /// Between two records of a batch: commits when the transaction has been open for long enough, or is large enough. A
    /// batch may thus end up in several.
    pub(super) fn keep_pace(&mut self, client: &dyn Positions) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        if transaction.is_unresolved() || transaction.doomed {
            return;
        }
        transaction.paced += 1;
        let began = transaction.since.is_none() && transaction.outcomes > 0;
        let many = transaction.outcomes >= transaction.room;
        if !began && !many && transaction.paced < PACE {
            return;
        }
        transaction.paced = 0;
        let now = self.time.read().now;
        if began {
            transaction.since = Some(now);
        }
        if transaction.is_due(now) {
            self.commit_transaction(client, None);
        }
    }

    /// Whether a batch that began then has taken so long with its commits that the group must hear of this worker before the
    /// rest of it.
    pub(super) fn is_late(&self, began: Instant) -> bool {
        let Some(transaction) = &self.transaction else {
            return false;
        };
        // The clock is looked at where a commit has just taken its time, and not for every record.
        transaction.outcomes <= 1
            && self.time.read().now.saturating_duration_since(began)
                >= transaction.settings.batch_limit()
    }

    /// Before a wait for lookups: an open transaction does not wait with them.
    pub(super) fn before_wait(&mut self, client: &dyn Positions) {
        let open = |transaction: &Transaction| {
            transaction.outcomes > 0 && !transaction.doomed && !transaction.is_unresolved()
        };
        if self.transaction.as_ref().is_some_and(open) {
            self.commit_transaction(client, None);
        }
    }

    /// Between batches: what is unresolved is tried again, what is due is committed, and offsets that are old are.
    pub(super) fn transact(&mut self, client: &dyn Positions, clock: Clock) {
        let Some(transaction) = &self.transaction else {
            return;
        };
        if transaction.is_unresolved() {
            self.resolve(client, STEP);
            return;
        }
        let mut due = transaction.is_due(clock.now);
        if clock.now >= self.next_commit {
            self.next_commit = clock.now + self.settings.commit_interval;
            due |= !self.offsets(clock.now).is_empty();
        }
        if due {
            self.commit_transaction(client, None);
        }
    }

    /// The offsets to be committed.
    fn offsets(&self, now: Instant) -> Vec<Entry> {
        let partitions = self.assignment.iter();
        partitions
            .filter_map(|partition| partition.commit(now, RECOMMIT))
            .collect()
    }

    /// Commits what has been done since the last commit. It takes no longer than `patience`, and than two thirds of the time
    /// that coordinator and group give: what is not known by then is unresolved. What fails is aborted.
    pub(super) fn commit_transaction(
        &mut self,
        client: &dyn Positions,
        patience: Option<Duration>,
    ) {
        let Some(transaction) = &self.transaction else {
            return;
        };
        let third = transaction.settings.third();
        let patience = patience.map_or(2 * third, |patience| patience.min(2 * third));
        if transaction.is_unresolved() {
            return self.resolve(client, patience);
        }
        let clock = self.time.read();
        let by = clock.now + patience;
        self.drain(patience / 2);
        if self.must_abort() {
            return self.abort(clock);
        }
        let took = self.time.read().now.saturating_duration_since(clock.now);
        let unanswered = self.in_flights.len();
        let failure = match unanswered {
            0 => None,
            _ => self.outlet.failure(),
        };
        if let Some(transaction) = &mut self.transaction {
            match unanswered {
                0 => transaction.fitted(took),
                _ if failure.is_none() => transaction.was_too_large(unanswered),
                _ => {}
            }
        }
        if unanswered > 0 {
            match failure {
                // A batch that was refused in an earlier transaction has left a gap in the numbers of its partition, which
                // librdkafka closes only behind this abort. Nobody has to wait for that, or to be told of a fault.
                Some(error) if error.code == RDKafkaErrorCode::OutOfOrderSequenceNumber => {
                    tracing::debug!(
                        pipeline = self.judge.config().name,
                        worker = self.settings.slot,
                        "a transaction is begun anew: {}",
                        error.message
                    );
                }
                Some(error) => {
                    if !is_barred(&error) || !self.blame_topic(&[], &error.message) {
                        self.blame_in_flight(&format!("not acknowledged: {}", error.message));
                    }
                }
                None => self.blame_in_flight("not acknowledged in time"),
            }
            return self.abort(clock);
        }
        self.assignment
            .iter_mut()
            .for_each(Partition::will_keep_state);
        let entries = self.offsets(clock.now);
        let open = self
            .transaction
            .as_ref()
            .is_some_and(|transaction| transaction.state == State::Open);
        if entries.is_empty() && !open {
            if let Some(transaction) = &mut self.transaction {
                transaction.reset();
            }
            return;
        }
        let whole = self
            .assignment
            .iter()
            .all(|partition| partition.tracker.is_whole());
        if entries.is_empty() || !whole {
            // Outputs without their offsets would be repeated.
            tracing::error!(
                "a transaction without all of its offsets is aborted: please report this"
            );
            return self.abort(clock);
        }
        if !open {
            if let Err(error) = self.outlet.begin() {
                return self.failed((false, error), &entries, clock);
            }
            if let Some(transaction) = &mut self.transaction {
                transaction.state = State::Open;
            }
        }
        // As late as this: the entries say that everything before them had been acknowledged by then.
        self.enlist_ledger(&entries, self.time.read());
        if self.must_abort() {
            return self.abort(clock);
        }
        let Some(member) = client.member() else {
            // The group has gone on without us, which the next poll will tell.
            return self.abort(clock);
        };
        if let Err(error) = self.end(&entries, &member, by) {
            self.failed(error, &entries, clock);
        } else {
            self.has_committed(&self.names(&entries));
        }
        if self.is_unresolved() {
            self.park(self.time.read());
        }
    }

    /// Adds the offsets and commits.
    fn end(
        &mut self,
        entries: &[Entry],
        member: &crate::native::transaction::Member,
        by: Instant,
    ) -> Result<(), (bool, TransactionError)> {
        let left = |engine: &Engine| {
            by.saturating_duration_since(engine.time.read().now)
                .max(STEP)
        };
        loop {
            match self.outlet.send_offsets(entries, member, left(self)) {
                Ok(()) => break,
                Err(error) if error.then == Then::Again && self.time.read().now < by => {}
                Err(error) => return Err((false, error)),
            }
        }
        let wait = left(self);
        let result = self.outlet.commit(wait, &mut self.deliveries);
        result.map_err(|error| (true, error))
    }

    /// An end that did not come to one. `asked`: the commit was asked for.
    fn failed(
        &mut self,
        (asked, error): (bool, TransactionError),
        entries: &[Entry],
        clock: Clock,
    ) {
        match error.then {
            Then::Fatal => self.producer_ended(&ClientError {
                code: error.code,
                message: error.message,
            }),
            Then::Again if asked => {
                let names = self.names(entries);
                self.tell_unresolved("its commit", &error);
                if let Some(transaction) = &mut self.transaction {
                    transaction.state = State::Committing(names);
                }
            }
            _ => {
                tracing::warn!(
                    pipeline = self.judge.config().name,
                    worker = self.settings.slot,
                    "a transaction is aborted and its records are read again: {}",
                    error.message
                );
                if error.code == RDKafkaErrorCode::GroupAuthorizationFailed {
                    // It would come to the same at once.
                    self.not_let_in(&error.message);
                    let pause = || Some((PauseReason::BrokerRefused, error.message.clone()));
                    for sent in self.names(entries) {
                        self.doom(sent.slot, pause());
                    }
                }
                self.abort(clock);
            }
        }
    }

    fn names(&self, entries: &[Entry]) -> Vec<Sent> {
        let name = |entry: &Entry| {
            let slot = self.assignment.find(&entry.topic, entry.partition)?;
            let metadata = entry.metadata.as_deref().unwrap_or_default();
            Some(Sent {
                slot,
                epoch: self.assignment.get(slot)?.epoch,
                offset: entry.offset,
                said: Standing::of_metadata(metadata),
            })
        };
        entries.iter().filter_map(name).collect()
    }

    /// Says of each partition with something in flight that it waits for a broker, and for which topic first.
    fn blame_in_flight(&mut self, why: &str) {
        for sent in self.in_flights.iter() {
            let Some(partition) = self
                .assignment
                .get_mut(sent.slot)
                .filter(|partition| partition.epoch == sent.epoch && partition.rewind.is_none())
            else {
                continue;
            };
            let (reason, topic) = destination(&*self.judge, partition.source(), &sent);
            let pause = Some((reason, format!("{topic}: {why}")));
            partition.rewind = Some(Rewind { pause });
        }
    }

    /// The transaction has committed: its outcomes count, and partitions are marked.
    fn has_committed(&mut self, partitions: &[Sent]) {
        let clock = self.time.read();
        self.take_entries_answered(clock);
        self.metrics.commit(true);
        let tallies = match &mut self.transaction {
            Some(transaction) => std::mem::take(&mut transaction.tallies),
            None => return,
        };
        let name = &self.judge.config().name;
        for sent in partitions {
            // One that has been given up since belongs to somebody who has read the offset from the group.
            let Some(partition) = self
                .assignment
                .get_mut(sent.slot)
                .filter(|partition| partition.epoch == sent.epoch)
            else {
                continue;
            };
            partition.committed = Some(sent.offset);
            partition.committed_at = clock.now;
            // What was sent, and not what stands by now: the answer may have come late.
            partition.said.clone_from(&sent.said);
            partition.metrics.set_committed(sent.offset);
            partition.mark(sent.offset);
            if let Some(notes) = &mut partition.notes {
                notes.take_below(sent.offset);
                let blocks = std::mem::take(&mut partition.ledger.enlisted);
                self.families.remember(sent.slot, &blocks);
            }
        }
        for partition in self.assignment.iter_mut() {
            partition.mark.latest_due = partition.latest_due;
        }
        self.families.mark();
        for tally in &tallies {
            let partition = self.assignment.get_mut(tally.slot as usize);
            let Some(partition) = partition.filter(|partition| partition.epoch == tally.epoch)
            else {
                continue;
            };
            if let Some(sink) = tally.output.map(usize::from) {
                let topic = &self.judge.sinks()[sink].topic;
                partition.metrics.output(sink, topic);
            }
            if let Some(done) = tally.done {
                got_through(&self.shared.health, name, partition);
                done.count(partition, clock);
            }
        }
        let slots: Vec<usize> = partitions.iter().map(|sent| sent.slot).collect();
        self.blocks_count(&slots, clock);
        if let Some(transaction) = &mut self.transaction {
            transaction.tallies = tallies; // its room is used again
            transaction.unsure = false;
            transaction.renewals = 0;
        }
        self.become_idle();
    }

    fn become_idle(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.reset();
            transaction.state = State::Idle;
            if std::mem::take(&mut transaction.told) {
                self.answered();
            }
        }
    }

    /// Aborts what has been done since the last commit: nobody who reads what is committed sees any of it. Every partition
    /// goes back to its mark and goes on from there; one that asked for it with a pause (`Partition::rewind`) pauses.
    pub(super) fn abort(&mut self, clock: Clock) {
        // One that is unresolved has been rolled back already, or may yet have committed.
        if self.transaction.is_none() || self.is_unresolved() {
            return;
        }
        self.roll_back(clock);
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        transaction.reset();
        if transaction.state != State::Open {
            return;
        }
        transaction.state = State::Aborting;
        self.metrics.commit(false);
        match self.outlet.abort(ABORT, &mut self.deliveries) {
            Ok(()) => self.has_aborted(),
            Err(error) => self.not_aborted(&error),
        }
        self.acknowledge(clock);
        if self.is_unresolved() {
            self.park(clock);
        }
    }

    pub(super) fn is_unresolved(&self) -> bool {
        self.transaction
            .as_ref()
            .is_some_and(Transaction::is_unresolved)
    }

    /// Every partition back to its mark, and what is in retry by key with it.
    fn roll_back(&mut self, clock: Clock) {
        self.families.restore();
        for slot in self.assignment.slots() {
            let epoch = self.assignment.next_epoch();
            let Some(partition) = self.assignment.get_mut(slot) else {
                continue;
            };
            let asked = partition.rewind.take();
            partition.restore(epoch);
            if let Flow::Paused { reason, .. } = partition.flow
                && reason == PauseReason::RetryNotDue
                && partition.seek.is_some()
            {
                // Those in front of the one that is not due are read first.
                partition.flow = Flow::Open;
                told_open(&self.shared.health, &self.judge.config().name, partition);
            }
            if let Some((reason, detail)) = asked.and_then(|rewind| rewind.pause) {
                let wait = backoff::pause(partition.tries);
                partition.tries = partition.tries.saturating_add(1);
                let first = partition.tries == 1;
                let until = clock.now + wait;
                partition.flow = Flow::Paused { until, reason };
                self.told(slot, reason, &detail, wait, first, clock);
            }
        }
    }

    fn has_aborted(&mut self) {
        let unsure = self.transaction.as_ref().is_some_and(|open| open.unsure);
        match &mut self.transaction {
            Some(transaction) if unsure => transaction.state = State::Reloading,
            _ => self.become_idle(),
        }
    }

    fn not_aborted(&mut self, error: &TransactionError) {
        match error.then {
            Then::Again | Then::Abort => self.tell_unresolved("its abort", error),
            Then::Fatal | Then::Refused => self.producer_ended(&ClientError {
                code: error.code,
                message: error.message.clone(),
            }),
        }
    }

    /// Tries to bring what is unresolved to an end, for about `patience`; partitions stand still until it is.
    pub(super) fn resolve(&mut self, client: &dyn Positions, patience: Duration) {
        let by = self.time.read().now + patience;
        while self.fatal.is_none() {
            let clock = self.time.read();
            let left = by.saturating_duration_since(clock.now).max(STEP / 10);
            let Some(transaction) = &mut self.transaction else {
                return;
            };
            match &transaction.state {
                State::Idle | State::Open => return,
                State::Starting => match self.outlet.init(left) {
                    Ok(()) => transaction.state = State::Reloading,
                    Err(error) => {
                        if let Err(error) = self.unanswered_call("its start", &error) {
                            self.fatal = Some(error);
                        }
                    }
                },
                State::Committing(names) => {
                    let names = names.clone();
                    match self.outlet.commit(left, &mut self.deliveries) {
                        Ok(()) => self.has_committed(&names),
                        Err(error) if error.then == Then::Again => {}
                        Err(error) if error.then == Then::Fatal => {
                            self.producer_ended(&ClientError {
                                code: error.code,
                                message: error.message,
                            });
                        }
                        Err(error) => {
                            tracing::warn!(
                                "a transaction whose commit had no answer is aborted: {}",
                                error.message
                            );
                            transaction.unsure = true;
                            transaction.state = State::Open;
                            self.abort(clock);
                        }
                    }
                }
                State::Aborting => match self.outlet.abort(left, &mut self.deliveries) {
                    Ok(()) => self.has_aborted(),
                    Err(error) => self.not_aborted(&error),
                },
                State::Reloading => self.reload(client),
            }
            self.acknowledge(clock);
            if self.time.read().now >= by {
                break;
            }
        }
        if self.is_unresolved() {
            self.park(self.time.read());
        }
    }

    /// Partitions go on from where the group stands, whatever became of the last transaction.
    fn reload(&mut self, client: &dyn Positions) {
        let partitions: Vec<(String, i32)> = self
            .assignment
            .iter()
            .map(|partition| (partition.topic.clone(), partition.number))
            .collect();
        let entries = match client.committed(&partitions, RELOAD) {
            Ok(entries) => entries,
            Err(code) => {
                let error = TransactionError {
                    code,
                    message: code.to_string(),
                    then: Then::Again,
                };
                return self.tell_unresolved("the question how it ended", &error);
            }
        };
        for entry in entries.iter().filter(|entry| entry.offset >= 0) {
            let epoch = self.assignment.next_epoch();
            let slot = self.assignment.find(&entry.topic, entry.partition);
            let Some(partition) = slot.and_then(|slot| self.assignment.get_mut(slot)) else {
                continue;
            };
            let counts = entry.metadata.as_deref().and_then(Counts::from_metadata);
            partition.mark.offset = Some(entry.offset);
            partition.mark.counts = counts.unwrap_or_default();
            partition.committed = Some(entry.offset);
            partition.said = Standing::of_metadata(entry.metadata.as_deref().unwrap_or_default());
            partition.restore(epoch);
        }
        // What was undone of the order per key may have been committed after all: it is read where it stands.
        self.rebuild_families(self.time.read());
        if let Some(transaction) = &mut self.transaction {
            transaction.unsure = false;
        }
        self.become_idle();
    }

    /// No partition is read while the transaction is unresolved. What was begun and not finished is read again.
    fn park(&mut self, clock: Clock) {
        for slot in self.assignment.slots() {
            let Some(partition) = self.assignment.get_mut(slot) else {
                continue;
            };
            if partition.tracker.in_flight() > 0 {
                let offset = partition.tracker.first_incomplete();
                partition.rewind_to(offset);
            }
            let soon = clock.now + PARK;
            if let Flow::Paused { until, reason } = &mut partition.flow
                && reason.is_fault()
            {
                *until = soon.max(*until); // told already
                continue;
            }
            if matches!(partition.flow, Flow::Paused { until, .. } if until >= soon) {
                continue;
            }
            let reason = PauseReason::BrokerRefused;
            partition.flow = Flow::Paused {
                until: soon,
                reason,
            };
            let detail = "the brokers have not said how a transaction ended";
            self.told(slot, reason, detail, PARK, false, clock);
        }
    }

    /// A call at the producer's start had no answer: that is an outage, or refused for good.
    fn unanswered_call(&mut self, what: &str, error: &TransactionError) -> Result<(), FatalError> {
        if error.then == Then::Again {
            self.tell_unresolved(what, error);
            return Ok(());
        }
        Err(FatalError::Kafka(self.words(error.code, &error.message)))
    }

    fn tell_unresolved(&mut self, what: &str, error: &TransactionError) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        self.shared
            .health
            .dependency(Dependency::Broker, Err(error.message.clone()));
        self.unreachable = true;
        if !std::mem::replace(&mut transaction.told, true) {
            tracing::warn!(
                pipeline = self.judge.config().name,
                worker = self.settings.slot,
                "a transaction waits for an answer to {what}; nothing is read until it comes: {}",
                error.message
            );
        }
    }

    /// The producer has met its end. Where nobody else can have its id, another one takes its place: the coordinator has
    /// given the transaction up, as it does after its time-out. Else somebody else runs under the id, and this worker is
    /// the zombie: it ends.
    pub(super) fn producer_ended(&mut self, error: &ClientError) {
        let clock = self.time.read();
        self.roll_back(clock);
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        let barred = matches!(
            error.code,
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::TopicAuthorizationFailed
        );
        // A transaction that failed before the coordinator knew of it cannot be aborted there. Nobody else is involved.
        let never_begun = error.code == RDKafkaErrorCode::InvalidTransactionalState;
        let tired = !transaction.settings.exclusive || transaction.renewals >= RENEWALS;
        if barred || tired && !never_begun {
            self.fatal = Some(FatalError::Kafka(self.words(error.code, &error.message)));
            return;
        }
        transaction.renewals += 1;
        transaction.reset();
        transaction.state = State::Starting;
        tracing::warn!(
            pipeline = self.judge.config().name,
            worker = self.settings.slot,
            id = transaction.settings.id,
            "a new producer takes the place of one that was given up, and what was not committed is read again: {}",
            error.message
        );
        self.in_flights.clear();
        self.deliveries.clear();
        self.let_go = (0, 0);
        if let Err(error) = self.outlet.renew() {
            self.fatal = Some(error);
        }
        self.park(clock);
    }

    /// What a fatal error of the producer means.
    fn words(&self, code: RDKafkaErrorCode, message: &str) -> String {
        let id = match &self.transaction {
            Some(transaction) => transaction.settings.id.as_str(),
            None => "",
        };
        if is_fenced(code) || code == RDKafkaErrorCode::Fatal && message.contains("fenced") {
            return format!(
                "fenced: transactional.id {id} has been taken over by another process, or was out of reach for longer than its \
                 transaction's time-out. This one ends; nothing that it had not committed was seen by readers of committed \
                 records, and who has its partitions now reads it again. If two instances run with the same \
                 kafka.group_instance_id, give each its own. ({message})"
            );
        }
        if code == RDKafkaErrorCode::TransactionalIdAuthorizationFailed {
            return format!(
                "transactional.id {id} is not allowed: delivery: exactly_once needs Write and Describe on the transactional ids \
                 that begin with `{}-` ({message})",
                self.judge.config().group
            );
        }
        format!("the producer with transactional.id {id} was given up: {message}")
    }
}

/// Records of a partition that is given up which have been begun and will not be counted here.
pub(super) fn uncounted(partition: &Partition, exactly_once: bool) -> u64 {
    match exactly_once {
        true => partition.since_mark(),
        false => partition.tracker.open() as u64,
    }
}

#[cfg(test)]
mod tests;
