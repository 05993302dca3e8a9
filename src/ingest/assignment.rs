//! The partitions that are ours, and how each of them stands. Pure state: the worker does what it asks for.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use super::ledger::{Book, Page};
use super::offsets::{Counts, OffsetTracker};
use super::standing::{Cause, Standing};
use crate::error::RecordError;
use crate::failure::breaker::Decisions;
use crate::health::PauseReason;
use crate::metrics::PartitionMetrics;
use crate::native::consumer::{Entry, OFFSET_BEGINNING};
use crate::state::disk::manifest::Anchor;
use crate::state::memory::{self, Blocks, Notes};

/// What a partition is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Of a subscribed topic.
    Source,
    /// Of a retry topic; travels with the source partition of the same number.
    Retry {
        /// Tier, counted from 0.
        tier: usize,
        /// The source topic.
        source: String,
    },
}

/// Whether records of a partition are taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Flow {
    /// Yes.
    Open,
    /// Not before `until`.
    Paused {
        /// When it is tried again.
        until: Instant,
        /// Why.
        reason: PauseReason,
    },
}

/// A rewind that a delivery report asks for; done outside of librdkafka's callbacks.
#[derive(Debug, Clone, PartialEq)]
pub struct Rewind {
    /// How long to wait, and why; `None` goes on at once.
    pub pause: Option<(PauseReason, String)>,
}

/// Why a broker refused a record for a reason of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// What makes a dead letter of it.
    pub error: RecordError,
    /// Whether it was its retry topic that did not take it: then it is not retried, whatever is configured for the reason.
    pub by_tier: bool,
}

/// How a partition stood when a transaction was committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// Where the next transaction begins; `None` before the first record of a partition that has no committed offset.
    pub offset: Option<i64>,
    /// The outcomes below it.
    pub counts: Counts,
    /// [`Partition::latest_due`]
    pub latest_due: i64,
    /// [`Partition::has_state`]
    pub has_state: bool,
}

/// What of a partition is on its way into the ledger and the state topic.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Tells this assignment from others of the same slot.
    pub id: u64,
    /// The pages of the commit under way; kept until all of them are acknowledged.
    pub pages: Vec<Page>,
    /// What the commit under way writes to the state topic; kept in the same way.
    pub state: Vec<memory::Record>,
    /// Under exactly_once: the blocks of the transaction under way, which count once it has committed.
    pub enlisted: Blocks,
    /// The last block of those under way that the state topic has.
    pub reached: Option<Anchor>,
    /// The commit that may go out then.
    pub commit: Option<Entry>,
    /// Entries that were handed to the producer and are not answered.
    pub unanswered: usize,
    /// Which topic refused one of them, and why.
    pub refusal: Option<(String, RDKafkaErrorCode)>,
    /// Refusals in a row.
    pub tries: u32,
    /// When what was refused is written again.
    pub again_at: Option<Instant>,
    /// A commit whose entries are acknowledged.
    pub acknowledged: Option<Entry>,
}

impl Ledger {
    /// Whether nothing is on its way or waits to be written again.
    pub fn is_idle(&self) -> bool {
        self.commit.is_none()
    }

    /// Whether the topic refused an entry and has not taken it since.
    pub fn is_refused(&self) -> bool {
        self.tries > 0
    }

    /// Whether there is nothing to be written.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.state.is_empty()
    }

    /// A block is in the state topic.
    pub fn reaches(&mut self, anchor: Anchor) {
        if self
            .reached
            .is_none_or(|known| known.offset < anchor.offset)
        {
            self.reached = Some(anchor);
        }
    }

    /// The pages are handed over.
    pub fn begin_write(&mut self) {
        self.again_at = None;
        self.refusal = None;
    }

    /// All of them are acknowledged.
    pub fn written(&mut self) {
        self.pages.clear();
        self.state.clear();
        self.tries = 0;
        self.acknowledged = self.commit.take();
    }
}

/// One partition of ours.
#[derive(Debug)]
pub struct Partition {
    /// Topic name.
    pub topic: String,
    /// The same, to be shared by the records that are read from it.
    pub name: Arc<str>,
    /// Partition number.
    pub number: i32,
    /// Source or retry.
    pub role: Role,
    /// Changes whenever what was produced for the partition so far no longer counts: on assignment and on rewind.
    pub epoch: u64,
    /// What was begun and what is complete.
    pub tracker: OffsetTracker,
    /// Whether the position is known: there was a committed offset, or a record has been read.
    pub positioned: bool,
    /// Assigned inside the poll call under way: its records of that call may be from before and are dropped.
    pub fresh: bool,
    /// Where a seek must go before records are taken again.
    pub seek: Option<i64>,
    /// Whether records are taken.
    pub flow: Flow,
    /// Whether librdkafka has been told to pause.
    pub held: bool,
    /// Pauses in a row without a record that got through.
    pub tries: u32,
    /// The highest offset that was begun, whatever was rewound since.
    pub newest: i64,
    /// Asked for by a delivery report.
    pub rewind: Option<Rewind>,
    /// Records that a broker refused for a reason of their own, by offset: dead letters when they are read again.
    pub refused: BTreeMap<i64, Refused>,
    /// Records that were in a batch which a broker refused for its size, by offset. Which of the batch was too large
    /// nobody says, so each is produced in a batch of its own when it is read again.
    pub suspects: BTreeSet<i64>,
    /// How often the headers of a record's dead letter have been shortened, by its offset: its topic does not take it with
    /// longer ones.
    pub shortened: BTreeMap<i64, u8>,
    /// Records whose timestamp their retry or dead-letter topic does not take, by offset: written with the time of writing.
    pub untimed: BTreeSet<i64>,
    /// Sinks that an output of a record with several could not be written to, by its offset: when it is read again,
    /// those go first, so that the others are not written once more for nothing.
    pub doubted: BTreeMap<i64, BTreeSet<usize>>,
    /// The fault that a pause was told for last, unless something has got through since.
    pub fault: Option<PauseReason>,
    /// The offset of the last commit that was sent; `None` forces the next one.
    pub committed: Option<i64>,
    /// Commits that were sent and not answered.
    pub unanswered: usize,
    /// When the last one was sent.
    pub committed_at: Instant,
    /// Why no record is taken until a person says so, whatever else it waits for.
    pub barred: Option<PauseReason>,
    /// The pauses that its commits tell of. Those of a breaker and of an operator stand on the source partition, for its
    /// retry partitions as well.
    pub standing: Vec<Standing>,
    /// Those that the last commit told of.
    pub said: Vec<Standing>,
    /// In words, why its breaker tripped; empty where that was another owner's.
    pub why: String,
    /// In words, who paused it.
    pub asked: String,
    /// What a breaker has seen of it; `None` where the pipeline has no breaker.
    pub decisions: Option<Decisions>,
    /// Until when the breaker looks more closely, after a resume.
    pub careful_until: Option<Instant>,
    /// Where it begins is to be committed, though nothing has been read of it: it is a place that nobody else would find.
    pub is_found: bool,
    /// Source only: how many partitions the topic had when the group began at its end, if it did. Those that are added are
    /// read from their beginning.
    pub began: Option<i32>,
    /// Whether its topic does not exist: nothing is committed, or the offset would outlive the log that it is of.
    pub gone: bool,
    /// Retry only: the last due time written to this partition, milliseconds since the epoch.
    pub latest_due: i64,
    /// Retry only: until when a head waits whose due time cannot have been meant; all behind it that are like it go with it.
    pub unmeant: Option<Instant>,
    /// Retry only: the first unfinished record that has been read, by its offset, and when it failed first, in
    /// milliseconds since the epoch.
    pub head: Option<(i64, i64)>,
    /// Under exactly_once: how it stood at the last commit, which an abort goes back to.
    pub mark: Mark,
    /// The committable offset at the watchdog's last look.
    pub seen: i64,
    /// When it last moved, or there was nothing to do.
    pub progressed_at: Instant,
    /// Whether the watchdog has spoken.
    pub stuck: bool,
    /// What is on its way into the ledger and the state topic.
    pub ledger: Ledger,
    /// With `dedup` or `stale`: the keys of its records that are on their way or not committed.
    pub notes: Option<Notes>,
    /// Whether there is something of it in the state topic.
    pub has_state: bool,
    /// Handles resolved at assignment.
    pub metrics: PartitionMetrics,
}

/// The word of a commit's metadata that says how many partitions there were when the group began at the end.
const BEGAN: &str = "began";

/// The word of a commit's metadata that says that there is something of the partition in the state topic.
const STATE: &str = "state";

/// Whether something of the partition is in the state topic, by the metadata of a commit.
pub fn has_state(metadata: &str) -> bool {
    let mut words = metadata.split(' ');
    words.any(|word| {
        word.strip_prefix(STATE)
            .is_some_and(|rest| rest.starts_with('='))
    })
}

/// How many partitions the topic had when the group began at its end, by the metadata of a commit.
pub fn began_with(metadata: &str) -> Option<i32> {
    let mut words = metadata.split(' ');
    words.find_map(|word| word.strip_prefix(BEGAN)?.strip_prefix('=')?.parse().ok())
}

/// Whether a partition without a commit was there when the group began, by the commits of its topic's partitions: then it
/// begins where the group did. One that was added later is read whole, `auto.offset.reset: latest` or not. Another member of
/// the group may have committed a moment ago what began with us, which is why its commit says how many there were.
pub fn was_there<'m>(number: i32, commits: impl Iterator<Item = &'m str>) -> bool {
    let (mut any, mut counts) = (false, 0);
    for metadata in commits {
        any = true;
        counts = began_with(metadata).unwrap_or(0).max(counts);
    }
    !any || number < counts
}

impl Partition {
    /// A partition as assigned. `committed` is the group's offset, if there is one.
    pub fn new(
        topic: &str,
        number: i32,
        role: Role,
        epoch: u64,
        committed: Option<(i64, Counts)>,
        metrics: PartitionMetrics,
        now: Instant,
    ) -> Self {
        let (start, counts) = committed.unwrap_or_default();
        Partition {
            topic: topic.to_owned(),
            name: topic.into(),
            number,
            role,
            epoch,
            tracker: OffsetTracker::new(start, counts),
            positioned: committed.is_some(),
            fresh: true,
            seek: None,
            flow: Flow::Open,
            held: false,
            tries: 0,
            newest: -1,
            rewind: None,
            refused: BTreeMap::new(),
            suspects: BTreeSet::new(),
            shortened: BTreeMap::new(),
            untimed: BTreeSet::new(),
            doubted: BTreeMap::new(),
            fault: None,
            committed: committed.map(|(offset, _)| offset),
            unanswered: 0,
            committed_at: now,
            barred: None,
            standing: Vec::new(),
            said: Vec::new(),
            why: String::new(),
            asked: String::new(),
            decisions: None,
            careful_until: None,
            is_found: false,
            began: None,
            gone: false,
            latest_due: 0,
            unmeant: None,
            head: None,
            mark: Mark {
                offset: committed.map(|(offset, _)| offset),
                counts,
                latest_due: 0,
                has_state: false,
            },
            seen: start,
            progressed_at: now,
            stuck: false,
            ledger: Ledger {
                id: epoch,
                ..Ledger::default()
            },
            notes: None,
            has_state: false,
            metrics,
        }
    }

    /// Whether the record at that offset stands before every unfinished one that is known.
    pub fn is_head(&self, offset: i64) -> bool {
        self.head
            .is_none_or(|(head, _)| offset < head || head < self.tracker.committable())
    }

    /// The timestamp that the retry or dead letter of a record is written with: its own, unless that was refused.
    pub fn time_of(&self, offset: i64, own: Option<i64>) -> Option<i64> {
        own.filter(|_| !self.untimed.contains(&offset))
    }

    /// When the first unfinished record of a retry partition failed first, if one has been read.
    pub fn waits_since(&self) -> Option<i64> {
        let head = self
            .head
            .filter(|(offset, _)| *offset >= self.tracker.committable());
        head.map(|(_, since)| since)
    }

    /// Keeps a book of outcomes for the ledger, which is at `begins` if it is older than this assignment.
    pub fn keep_book(&mut self, begins: Option<i64>, names_silent: bool) {
        let start = self.committed;
        let counts = self.tracker.counts();
        let at = start.unwrap_or_else(|| self.tracker.committable());
        let book = Book::new(start, counts, begins, names_silent);
        self.tracker = OffsetTracker::new(at, counts).with_book(book);
    }

    /// The source topic: its own, or the one that its retries come from.
    pub fn source(&self) -> &str {
        match &self.role {
            Role::Source => &self.topic,
            Role::Retry { source, .. } => source,
        }
    }

    /// Whether records are taken now.
    pub fn is_open(&self) -> bool {
        self.flow == Flow::Open
            && self.barred.is_none()
            && self.seek.is_none()
            && self.rewind.is_none()
    }

    /// Whether there is nothing to be done for it, whatever the time is, until somebody changes it.
    fn is_at_rest(&self) -> bool {
        self.is_open()
            && !self.held
            && !self.fresh
            && self.ledger.commit.is_none()
            && self.ledger.acknowledged.is_none()
            && self.ledger.again_at.is_none()
            && self.refused.is_empty()
            && self.suspects.is_empty()
            && self.shortened.is_empty()
            && self.untimed.is_empty()
            && self.doubted.is_empty()
    }

    /// Whether it is paused for that.
    pub fn is_paused_for(&self, reason: PauseReason) -> bool {
        matches!(self.flow, Flow::Paused { reason: why, .. } if why == reason)
    }

    /// Stops at `offset`: that record and those behind it are read again, not before `until`.
    pub fn stop(&mut self, offset: i64, until: Instant, reason: PauseReason) {
        self.rewind_to(offset);
        self.positioned = true;
        self.flow = Flow::Paused { until, reason };
    }

    /// The record at `offset` and those behind it are read again.
    pub fn rewind_to(&mut self, offset: i64) {
        let open = self.tracker.open();
        self.tracker.rewind_to(offset);
        self.metrics.discarded((open - self.tracker.open()) as u64);
        self.seek = Some(offset);
        self.take_back(offset);
    }

    /// The records from `offset` on are read again: what was noted of them does not count.
    fn take_back(&mut self, offset: i64) {
        if let Some(decisions) = &mut self.decisions {
            decisions.rewind_to(offset);
        }
        if let Some(notes) = &mut self.notes {
            notes.rewind_to(offset);
        }
    }

    /// Forgets what was known of records that are not read again. In transactions, those since the last commit may be.
    pub fn forget_settled(&mut self, in_transactions: bool) {
        let below = match in_transactions {
            true => self.mark.offset.unwrap_or(0),
            false => self.tracker.committable(),
        };
        self.refused.retain(|offset, _| *offset >= below);
        self.suspects.retain(|offset| *offset >= below);
        self.shortened.retain(|offset, _| *offset >= below);
        self.untimed.retain(|offset| *offset >= below);
        self.doubted.retain(|offset, _| *offset >= below);
    }

    /// No writer schema halts it any more.
    pub fn lift_drift(&mut self) {
        self.standing
            .retain(|one| !matches!(one.cause, Cause::Drift { .. }));
    }

    /// The log is another one than before: begins anew at its beginning, with nothing counted.
    pub fn begin_anew(&mut self, epoch: u64) {
        self.metrics.discarded(self.tracker.open() as u64);
        let named = self.tracker.names_silent();
        self.tracker = OffsetTracker::new(0, Counts::default());
        if let Some(named) = named {
            let book = Book::new(None, Counts::default(), None, named);
            self.tracker = OffsetTracker::new(0, Counts::default()).with_book(book);
        }
        self.ledger = Ledger {
            id: epoch,
            ..Ledger::default()
        };
        self.epoch = epoch;
        self.positioned = false;
        self.newest = -1;
        self.rewind = None;
        self.refused.clear();
        self.suspects.clear();
        self.shortened.clear();
        self.untimed.clear();
        self.doubted.clear();
        self.take_back(i64::MIN);
        self.committed = None;
        self.is_found = false;
        self.mark = Mark {
            offset: None,
            counts: Counts::default(),
            latest_due: self.latest_due,
            has_state: self.has_state,
        };
        self.seek = Some(OFFSET_BEGINNING);
    }

    /// What was done since the mark is committed.
    pub fn mark(&mut self, offset: i64) {
        self.mark = Mark {
            offset: Some(offset),
            counts: self.tracker.counts(),
            latest_due: self.latest_due,
            has_state: self.has_state,
        };
    }

    /// Records begun since the mark, with an outcome or without.
    pub fn since_mark(&self) -> u64 {
        let done = self.tracker.counts().total();
        done.saturating_sub(self.mark.counts.total()) + self.tracker.in_flight() as u64
    }

    /// Back to the mark: what was done since is undone, and read again. What was produced for it does not count from now
    /// on (`epoch`). What is known of single records stays known.
    pub fn restore(&mut self, epoch: u64) {
        self.rewind = None;
        self.epoch = epoch;
        self.latest_due = self.mark.latest_due;
        self.has_state = self.mark.has_state;
        self.ledger.reached = None;
        let Some(offset) = self.mark.offset else {
            return; // nothing has been read
        };
        if self.tracker.expected() == offset && self.tracker.in_flight() == 0 {
            return; // nothing since
        }
        self.metrics.discarded(self.since_mark());
        let written = self.committed.is_some();
        self.tracker.restore(offset, self.mark.counts, written);
        // What was on its way into the ledger was undone with the rest.
        self.ledger = Ledger {
            id: epoch,
            ..Ledger::default()
        };
        self.seek = Some(offset);
        self.take_back(offset);
    }

    /// What is committed next says that there is something of it in the state topic, if there is going to be.
    pub fn will_keep_state(&mut self) {
        let end = self.tracker.committable();
        let notes = self.notes.as_ref();
        self.has_state |= notes.is_some_and(|notes| notes.has_below(end));
    }

    /// An entry of it for librdkafka's calls.
    pub fn entry(&self, offset: i64) -> Entry {
        Entry {
            topic: self.topic.clone(),
            partition: self.number,
            offset,
            metadata: None,
        }
    }

    /// The commit that is due: the committable offset with its outcome counts and the pauses that stand, unless it was sent
    /// already. With `age`, also an unchanged one that old, since brokers forget offsets that nobody renews.
    pub fn commit(&self, now: Instant, age: Duration) -> Option<Entry> {
        let mut offset = self.tracker.committable();
        let stale = now.saturating_duration_since(self.committed_at) >= age;
        let news = self.standing != self.said;
        if offset == 0 {
            offset = match self.committed {
                // Where the group begins has been found, and is said at once.
                None if self.is_found => offset,
                // Before the first record of a partition without a commit there is nothing to say.
                None if self.standing.is_empty() => return None,
                // But for a pause, which is told where that record stands. From there it does not go back.
                None => self.tracker.first_incomplete(),
                Some(committed) => committed,
            };
        }
        let due = self.positioned
            && !self.gone
            && offset >= 0
            && (self.committed != Some(offset) || stale || news);
        due.then(|| {
            let mut metadata = self.tracker.metadata();
            if let Some(count) = self.began {
                metadata.push_str(&format!(" {BEGAN}={count}"));
            }
            if self.has_state {
                metadata.push_str(&format!(" {STATE}=1"));
            }
            for standing in &self.standing {
                metadata.push(' ');
                metadata.push_str(&standing.to_word());
            }
            Entry {
                metadata: Some(metadata),
                ..self.entry(offset)
            }
        })
    }
}

impl Partition {
    /// Before the partition is given up: a commit without an answer may be refused yet, so it is said once more.
    pub fn doubt_commit(&mut self) {
        if self.unanswered > 0 {
            self.committed = None;
        }
    }
}

/// All partitions of a worker. Slots are stable while a partition is assigned.
#[derive(Debug, Default)]
pub struct Assignment {
    slots: Vec<Option<Partition>>,
    index: HashMap<String, HashMap<i32, usize>>,
    /// The slot that was found last: records come in runs of one partition.
    last: Cell<usize>,
    epochs: u64,
    /// Slots that somebody has had in hand, and that have not been found at rest since. A worker may have thousands of
    /// partitions, and looks at all of them only once a second.
    stirred: Vec<usize>,
    is_stirred: Vec<bool>,
}

impl Assignment {
    /// A number that no partition has had as its epoch.
    pub fn next_epoch(&mut self) -> u64 {
        self.epochs += 1;
        self.epochs
    }

    /// Adds a partition.
    pub fn insert(&mut self, partition: Partition) -> usize {
        let slot = self
            .slots
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                self.slots.push(None);
                self.is_stirred.push(false);
                self.slots.len() - 1
            });
        let numbers = self.index.entry(partition.topic.clone()).or_default();
        numbers.insert(partition.number, slot);
        self.slots[slot] = Some(partition);
        self.stir(slot);
        slot
    }

    fn stir(&mut self, slot: usize) {
        if let Some(is_stirred) = self.is_stirred.get_mut(slot)
            && !std::mem::replace(is_stirred, true)
        {
            self.stirred.push(slot);
        }
    }

    /// Removes a partition.
    pub fn remove(&mut self, topic: &str, number: i32) -> Option<Partition> {
        let slot = self.index.get_mut(topic)?.remove(&number)?;
        self.slots[slot].take()
    }

    /// The slot of a partition of ours.
    pub fn find(&self, topic: &str, number: i32) -> Option<usize> {
        let last = self.last.get();
        if let Some(partition) = self.get(last)
            && partition.number == number
            && partition.topic == topic
        {
            return Some(last);
        }
        let slot = self.index.get(topic)?.get(&number).copied()?;
        self.last.set(slot);
        Some(slot)
    }

    /// The partition in a slot.
    pub fn get(&self, slot: usize) -> Option<&Partition> {
        self.slots.get(slot)?.as_ref()
    }

    /// The partition in a slot, to change.
    pub fn get_mut(&mut self, slot: usize) -> Option<&mut Partition> {
        self.stir(slot);
        self.slots.get_mut(slot)?.as_mut()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Partition> {
        self.slots.iter().flatten()
    }

    /// All of them, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Partition> {
        for slot in 0..self.slots.len() {
            self.stir(slot);
        }
        self.slots.iter_mut().flatten()
    }

    /// Shows each partition that has been had in hand since it was found at rest, and forgets those that are at rest.
    pub fn settle(&mut self, mut show: impl FnMut(&mut Partition)) {
        let (slots, is_stirred) = (&mut self.slots, &mut self.is_stirred);
        self.stirred.retain(|slot| {
            let partition = slots.get_mut(*slot).and_then(Option::as_mut);
            let rests = partition.is_none_or(|partition| {
                show(partition);
                partition.is_at_rest()
            });
            is_stirred[*slot] = !rests;
            !rests
        });
    }

    /// The slots that have a partition.
    pub fn slots(&self) -> Vec<usize> {
        let slots = self.slots.iter().enumerate();
        slots
            .filter(|(_, partition)| partition.is_some())
            .map(|(slot, _)| slot)
            .collect()
    }

    /// Up to `most` slots that have a partition, from the slot `from` on and round, and the one to go on from next time.
    pub fn in_turns(&self, from: usize, most: usize) -> (Vec<usize>, usize) {
        let mut slots = self.slots();
        let begin = slots.partition_point(|slot| *slot < from);
        slots.rotate_left(begin);
        let next = slots.get(most).copied().unwrap_or(0);
        slots.truncate(most);
        (slots, next)
    }

    /// The slots whose partition is such, in their order. `wanted` is not to want one that is at rest.
    pub fn stirred_where(&self, wanted: impl Fn(&Partition) -> bool) -> Vec<usize> {
        let wanted = |slot: &&usize| self.get(**slot).is_some_and(&wanted);
        let mut slots: Vec<usize> = self.stirred.iter().filter(wanted).copied().collect();
        slots.sort_unstable();
        slots
    }

    /// When the first paused partition is to be tried again.
    pub fn next_wake(&self) -> Option<Instant> {
        let stirred = self.stirred.iter().filter_map(|slot| self.get(*slot));
        stirred
            .filter_map(|partition| match partition.flow {
                Flow::Paused { until, .. } => Some(until),
                Flow::Open => None,
            })
            .min()
    }

    /// Begun and not complete, over all partitions.
    pub fn in_flight(&self) -> usize {
        self.iter()
            .map(|partition| partition.tracker.in_flight())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::record::Outcome;

    fn partition(committed: Option<i64>, now: Instant) -> Partition {
        let role = Role::Retry {
            tier: 0,
            source: "orders".to_owned(),
        };
        let committed = committed.map(|offset| (offset, Counts::default()));
        let metrics = Metrics::new().partition("p", "orders.g.retry.1", 3);
        Partition::new("orders.g.retry.1", 3, role, 1, committed, metrics, now)
    }

    #[test]
    fn what_is_at_rest_is_looked_at_again_when_somebody_has_had_it_in_hand() {
        let now = Instant::now();
        let mut assignment = Assignment::default();
        let slots = [0, 1, 2].map(|number| {
            let mut one = partition(Some(7), now);
            one.number = number;
            assignment.insert(one)
        });
        let seen = |assignment: &mut Assignment| {
            let mut seen = Vec::new();
            assignment.settle(|partition| {
                partition.fresh = false;
                seen.push(partition.number);
            });
            seen
        };
        assert_eq!(seen(&mut assignment), [0, 1, 2]);
        assert_eq!(seen(&mut assignment), [0; 0]);
        let until = now + Duration::from_secs(3);
        let reason = PauseReason::RetryNotDue;
        for slot in [slots[2], slots[1]] {
            let partition = assignment.get_mut(slot).expect("it is there");
            partition.flow = Flow::Paused { until, reason };
        }
        assert_eq!(assignment.next_wake(), Some(until));
        let paused = |partition: &Partition| partition.flow != Flow::Open;
        assert_eq!(assignment.stirred_where(paused), [slots[1], slots[2]]);
        assert_eq!(seen(&mut assignment), [2, 1]);
        assert_eq!(seen(&mut assignment), [2, 1], "as long as they wait");
        assignment.remove("orders.g.retry.1", 2);
        for partition in assignment.iter_mut() {
            partition.flow = Flow::Open;
        }
        assert_eq!(assignment.next_wake(), None);
        seen(&mut assignment);
        assert_eq!(seen(&mut assignment), [0; 0]);
        let mut another = partition(Some(7), now);
        another.number = 5;
        assert_eq!(assignment.insert(another), slots[2], "a slot is used again");
        assert_eq!(seen(&mut assignment), [5]);
    }

    #[test]
    fn many_partitions_have_their_turns_one_after_another() {
        let mut assignment = Assignment::default();
        for number in 0..5 {
            let mut one = partition(None, Instant::now());
            one.number = number;
            assignment.insert(one);
        }
        assert_eq!(assignment.in_turns(0, 5), (vec![0, 1, 2, 3, 4], 0));
        assert_eq!(assignment.in_turns(0, 3), (vec![0, 1, 2], 3));
        assignment.remove("orders.g.retry.1", 3);
        assert_eq!(assignment.in_turns(3, 3), (vec![4, 0, 1], 2));
        assert_eq!(assignment.in_turns(9, 3), (vec![0, 1, 2], 4));
    }

    /// Brokers forget the offsets of topics that no member subscribes to, which is what retry topics are.
    #[test]
    fn an_offset_that_does_not_move_is_committed_again_when_it_is_old() {
        const DAY: Duration = Duration::from_secs(86_400);
        let begun = Instant::now();
        let mut partition = partition(Some(7), begun);
        let due = |partition: &Partition, at| partition.commit(begun + at, DAY / 2);
        assert!(due(&partition, DAY / 4).is_none());
        let again = due(&partition, DAY / 2).expect("it is old");
        assert_eq!(again.offset, 7);
        let counts = again.metadata.as_deref().and_then(Counts::from_metadata);
        assert_eq!(counts, Some(Counts::default()));
        partition.committed_at = begun + DAY / 2;
        assert!(due(&partition, DAY - Duration::from_secs(1)).is_none());
        assert!(due(&partition, DAY).is_some());
        // One that moves is committed at once.
        let sequence = partition.tracker.begin(7).expect("in order");
        partition.tracker.complete(sequence, Outcome::Retried);
        assert_eq!(due(&partition, DAY / 2).map(|entry| entry.offset), Some(8));
    }

    #[test]
    fn a_partition_that_was_added_after_the_group_began_was_not_there() {
        let check = |number, commits: &[&str], expect| {
            let found = was_there(number, commits.iter().copied());
            assert_eq!(found, expect, "{number} {commits:?}");
        };
        let ours = format!("{} ledger=5 began=4", Counts::default().to_metadata());
        check(3, &[], true);
        // Another member began a moment before.
        check(3, &[&ours], true);
        check(4, &[&ours], false);
        // Grown once before: its commits say nothing of a beginning at the end.
        let grown = Counts::default().to_metadata();
        check(5, &[&grown, &ours], false);
        // It began at the beginning, or with another tool.
        check(1, &[&grown], false);
        check(1, &[""], false);
        check(1, &["began=x"], false);
    }

    #[test]
    fn where_a_group_began_is_said_in_every_commit() {
        let begun = Instant::now();
        let mut partition = partition(Some(7), begun);
        partition.began = Some(4);
        let entry = partition.commit(begun, Duration::ZERO).expect("it is old");
        let metadata = entry.metadata.expect("always");
        assert_eq!(began_with(&metadata), Some(4), "{metadata}");
        assert_eq!(Counts::from_metadata(&metadata), Some(Counts::default()));
    }

    #[test]
    fn a_partition_that_nothing_was_read_of_commits_nothing() {
        let begun = Instant::now();
        let partition = partition(None, begun);
        assert!(partition.commit(begun, Duration::ZERO).is_none());
    }

    /// Below the first record of a log there may be nothing any more.
    #[test]
    fn a_pause_that_is_committed_at_the_first_record_stays_there() {
        let begun = Instant::now();
        let mut partition = partition(None, begun);
        partition.rewind_to(40);
        partition.positioned = true;
        partition.standing.push(Standing {
            cause: crate::ingest::standing::Cause::Operator,
            since: 5,
        });
        let due = |partition: &Partition| partition.commit(begun, Duration::from_secs(1));
        assert_eq!(due(&partition).map(|entry| entry.offset), Some(40));
        partition.committed = Some(40);
        partition.said = std::mem::take(&mut partition.standing);
        let lifted = due(&partition).expect("it is to be said");
        assert_eq!(lifted.offset, 40);
        partition.said.clear();
        assert_eq!(due(&partition), None);
    }
}
