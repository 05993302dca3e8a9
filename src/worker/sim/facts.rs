//! What is known of every record, from outside of the engine: each time that one was handed out, what the script said of
//! it, what was produced for it, and whether a broker has acknowledged that.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::core::Core;
use super::log::{Kind, Stored, Tp};
use super::transactions::State;
use crate::ingest::offsets::Counts;
use crate::native::consumer::Entry;
use crate::record::Outcome;

/// How many records ended how.
pub(super) type Sums = [u64; Outcome::ALL.len()];

/// A record that a consumer returned.
#[derive(Debug)]
pub(super) struct HandOut {
    pub(super) tp: Tp,
    pub(super) offset: i64,
    pub(super) uid: usize,
    pub(super) origin: usize,
    pub(super) attempt: u32,
    pub(super) due_at: i64,
    /// Names the assignment within which it was handed out.
    pub(super) epoch: u64,
    /// Whether the script said that there is nothing to emit.
    pub(super) filtered: bool,
    /// What was produced for it.
    pub(super) children: Vec<usize>,
}

/// What a produced record is to the one that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Output { index: usize, count: usize },
    Retry,
    Dead,
}

/// A produced record.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) hand_out: usize,
    pub(super) part: Part,
    /// The number of the record in the log.
    pub(super) uid: Option<usize>,
    /// How many times it was appended: once, or never.
    pub(super) appended: u32,
    /// Whether the producer was told that it is.
    pub(super) acknowledged: bool,
    pub(super) failed: bool,
    /// The transaction that it was written in.
    pub(super) transaction: Option<usize>,
}

#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) hand_outs: Vec<HandOut>,
    pub(super) children: Vec<Child>,
    /// The hand-outs of each record, by its number.
    pub(super) of: HashMap<usize, Vec<usize>>,
    /// Partitions that may repeat: one of their owners died, lost them, or was told no.
    pub(super) excused: HashSet<Tp>,
    /// Partitions of which an output was refused: what was behind it has been written before it.
    pub(super) refused: HashSet<Tp>,
    /// Records that a retry or a dead letter was produced for.
    pub(super) failed: HashSet<usize>,
    /// Outputs that are in a sink: the record's number and which output.
    pub(super) delivered: HashSet<(usize, usize)>,
    /// The last first delivery from a source partition to a sink's partition.
    pub(super) order: HashMap<(Tp, Tp), i64>,
    /// The last due time that a producer wrote to a retry partition while it was its owner.
    pub(super) due: HashMap<(usize, Tp, u64), i64>,
}

impl Core {
    /// How a hand-out ended, if it did: everything that was produced for it is acknowledged.
    fn outcome(&self, hand_out: usize) -> Option<Outcome> {
        let hand_out = &self.facts.hand_outs[hand_out];
        let (mut parts, mut expected) = (BTreeSet::new(), 0);
        for child in &hand_out.children {
            let child = &self.facts.children[*child];
            match (child.part, child.acknowledged) {
                (Part::Dead, true) => return Some(Outcome::DeadLettered),
                (Part::Retry, true) => return Some(Outcome::Retried),
                (Part::Output { index, count }, true) => {
                    expected = count;
                    parts.insert(index);
                }
                (_, false) => {}
            }
        }
        if expected > 0 && parts.len() == expected {
            return Some(Outcome::Emitted);
        }
        (hand_out.filtered && hand_out.children.is_empty()).then_some(Outcome::Filtered)
    }

    /// Whether a record is there for who reads what is committed.
    pub(super) fn visible(&self, record: &Stored) -> bool {
        let transaction = record.transaction.map(|of| self.transactions[of].state);
        !matches!(transaction, Some(State::Open | State::Aborted))
    }

    /// What a commit that is on its way settles, once it is there.
    pub(super) fn settled(&mut self, id: usize, tp: Tp, offset: i64, counts: Sums) {
        if let Some(owned) = self.members[id].owned.get_mut(&tp)
            && offset >= owned.verified
        {
            owned.counts = counts;
            owned.verified = offset;
            owned.latest = owned.latest.split_off(&offset);
        }
    }

    /// Holds a commit against what is acknowledged, at the moment when it is sent. Returns its partition and the counts.
    pub(super) fn check_commit(&mut self, id: usize, entry: &Entry) -> Option<(Tp, Sums)> {
        match self.commit_of(id, entry) {
            Ok(found) => Some(found),
            Err(what) => {
                self.violated(what);
                None
            }
        }
    }

    fn commit_of(&self, id: usize, entry: &Entry) -> Result<(Tp, Sums), String> {
        let Some(tp) = self.log.tp(&entry.topic, entry.partition) else {
            return Err(format!("a commit for {}-{}", entry.topic, entry.partition));
        };
        let name = self.log.name(tp);
        let Some(owned) = self.members[id].owned.get(&tp) else {
            return Err(format!(
                "ownership: instance {id} commits {name}, which is not its own"
            ));
        };
        let (verified, offset) = (owned.verified, entry.offset);
        if offset < verified {
            return Err(format!(
                "commit: {name} goes back from {verified} to {offset}"
            ));
        }
        let mut counts = owned.counts;
        let partition = self.log.partition(tp);
        if offset > partition.end {
            return Err(format!("commit: {name}@{offset} is behind its end"));
        }
        let (from, to) = (partition.at(verified), partition.at(offset));
        for record in &partition.records[from..to] {
            if !self.visible(record) {
                continue;
            }
            let latest = owned.latest.get(&record.offset);
            match latest.and_then(|hand_out| self.outcome(*hand_out)) {
                Some(outcome) => counts[outcome as usize] += 1,
                None => {
                    let record = record.offset;
                    return Err(format!(
                        "acknowledgement: instance {id} commits {name}@{offset} and {record} has no acknowledged outcome"
                    ));
                }
            }
        }
        let told = entry.metadata.as_deref().and_then(Counts::from_metadata);
        let told = told.map(|told| Outcome::ALL.map(|outcome| told.of(outcome)));
        if told != Some(counts) {
            let told = &entry.metadata;
            return Err(format!(
                "counts: {name}@{offset}: {told:?}, and true is {counts:?}"
            ));
        }
        Ok((tp, counts))
    }

    /// A record was appended to a sink: the first deliveries of a partition keep its order.
    pub(super) fn check_order(&mut self, child: usize, sink: Tp, keyed: bool) {
        let child = &self.facts.children[child];
        let Part::Output { index, .. } = child.part else {
            return;
        };
        let hand_out = &self.facts.hand_outs[child.hand_out];
        let (tp, offset, uid) = (hand_out.tp, hand_out.offset, hand_out.uid);
        let first = self.facts.delivered.insert((uid, index));
        let promised = keyed
            && self.plan.transactions.is_none()
            && self.log.kind(tp) == Kind::Source
            && !self.facts.refused.contains(&tp)
            && !self.facts.failed.contains(&uid);
        if !first || !promised {
            return;
        }
        let last = self.facts.order.entry((tp, sink)).or_insert(offset);
        if *last > offset {
            let last = *last;
            let (tp, sink) = (self.log.name(tp), self.log.name(sink));
            return self.violated(format!(
                "order: {tp}@{offset} is first delivered to {sink} behind {last}"
            ));
        }
        *last = offset;
    }

    /// A retry is handed to the producer: its due times do not decrease, and leave the tier's delay.
    pub(super) fn check_due(&mut self, id: usize, retry: Tp, due_at: i64) {
        let epoch = self.members[id]
            .owned
            .get(&retry)
            .map_or(0, |owned| owned.epoch);
        if self.plan.transactions.is_some() {
            return; // what is aborted does not count: looked at in the end
        }
        let last = self.facts.due.entry((id, retry, epoch)).or_insert(due_at);
        let (before, name) = (*last, self.log.name(retry));
        *last = due_at;
        if before > due_at {
            self.violated(format!("due: {name}: {due_at} behind {before}"));
        }
    }

    /// All that must be true when everything is done.
    pub(super) fn check_end(&mut self) {
        let mut wrong = Vec::new();
        // From the last record to the first, since a retry is behind what it comes from.
        let mut settled: Vec<Option<bool>> = vec![None; self.appended];
        let mut all: Vec<(usize, Tp, usize)> = Vec::new();
        for tp in self.log.all().filter(|tp| self.log.is_read(*tp)) {
            let records = self.log.partition(tp).records.iter();
            for record in records.filter(|record| self.visible(record)) {
                all.push((record.uid, tp, record.origin));
            }
        }
        all.sort_unstable();
        for (uid, tp, origin) in all.into_iter().rev() {
            let none = Vec::new();
            let hand_outs = self.facts.of.get(&uid).unwrap_or(&none);
            let mut final_outcomes = 0;
            let mut whole = 0;
            // Readings of which something is there.
            let mut written = 0;
            let mut produced = 0;
            for hand_out in hand_outs {
                let hand_out = &self.facts.hand_outs[*hand_out];
                let mut parts = BTreeSet::new();
                let mut expected = 0;
                let before = whole;
                for child in &hand_out.children {
                    let child = &self.facts.children[*child];
                    produced += 1;
                    let aborted = child
                        .transaction
                        .is_some_and(|of| self.transactions[of].state != State::Committed);
                    if child.appended == 0 || aborted {
                        continue;
                    }
                    match child.part {
                        Part::Dead => final_outcomes += 1,
                        Part::Retry => {
                            let followed = child.uid.and_then(|uid| settled[uid]);
                            final_outcomes += usize::from(followed == Some(true));
                        }
                        Part::Output { index, count } => {
                            parts.insert(index);
                            expected = count;
                        }
                    }
                    if !matches!(child.part, Part::Output { .. }) {
                        whole += 1;
                    }
                }
                written += usize::from(whole > before || !parts.is_empty());
                if expected > 0 && parts.len() == expected {
                    final_outcomes += 1;
                    whole += 1;
                }
                if hand_out.filtered && hand_out.children.is_empty() {
                    final_outcomes += 1;
                }
            }
            settled[uid] = Some(final_outcomes > 0);
            let name = self.log.name(tp);
            if final_outcomes == 0 {
                wrong.push(format!(
                    "conservation: record {origin} in {name} has no outcome in any topic"
                ));
            }
            if self.plan.transactions.is_some() {
                if whole > 1 || written > 1 {
                    wrong.push(format!(
                        "exactly once: record {origin} in {name} has {whole} outcomes of {written} committed"
                    ));
                }
            } else if whole > 1 && !self.facts.excused.contains(&tp) {
                wrong.push(format!(
                    "duplicate: record {origin} in {name} has {whole} outcomes of {produced} produced, without a crash or a refusal"
                ));
            }
        }
        for tp in self.log.all().filter(|tp| self.log.is_read(*tp)) {
            let partition = self.log.partition(tp);
            let committed = partition.committed.as_ref();
            let told = committed.and_then(|(_, counts)| Counts::from_metadata(counts));
            let sum: u64 = told.map_or(0, |told| {
                Outcome::ALL
                    .into_iter()
                    .map(|outcome| told.of(outcome))
                    .sum()
            });
            let records = partition.records.iter();
            let count = records.filter(|record| self.visible(record)).count();
            if sum != count as u64 {
                let name = self.log.name(tp);
                wrong.push(format!(
                    "counts: {name} has {count} records, and its commit tells of {sum}"
                ));
            }
        }
        if self.plan.transactions.is_some() {
            self.check_order_in_the_end(&mut wrong);
        }
        if let Some(first) = wrong.into_iter().next_back() {
            self.violated(first);
        }
    }

    /// Under exactly_once, what is committed is in order, whatever was aborted on the way.
    fn check_order_in_the_end(&self, wrong: &mut Vec<String>) {
        let by: HashMap<usize, &Child> = self
            .facts
            .children
            .iter()
            .filter_map(|child| Some((child.uid?, child)))
            .collect();
        for to in self.log.all() {
            let mut last: HashMap<Tp, i64> = HashMap::new();
            let mut due: HashMap<(usize, u64), i64> = HashMap::new();
            let records = self.log.partition(to).records.iter();
            for record in records.filter(|record| self.visible(record)) {
                let Some(child) = by.get(&record.uid) else {
                    continue;
                };
                let from = &self.facts.hand_outs[child.hand_out];
                let name = self.log.name(to);
                match child.part {
                    Part::Output { .. }
                        if record.key.is_some() && self.log.kind(from.tp) == Kind::Source =>
                    {
                        let before = last.insert(from.tp, from.offset).unwrap_or(-1);
                        if before > from.offset {
                            let tp = self.log.name(from.tp);
                            wrong.push(format!(
                                "order: {tp}@{} is in {name} behind {before}",
                                from.offset
                            ));
                        }
                    }
                    Part::Retry => {
                        let before = due.insert(record.writer, record.due_at).unwrap_or(0);
                        if before > record.due_at {
                            wrong.push(format!("due: {name}: {} behind {before}", record.due_at));
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Whether every record that the group reads is committed.
    pub(super) fn done(&self) -> bool {
        let mut read = self.log.all().filter(|tp| self.log.is_read(*tp));
        read.all(|tp| self.left(tp).is_none())
    }

    /// What is not committed, for the message.
    pub(super) fn undone(&self) -> String {
        let left: Vec<String> = self
            .log
            .all()
            .filter(|tp| self.log.is_read(*tp))
            .filter_map(|tp| self.left(tp))
            .collect();
        left.join(", ")
    }

    /// What of a partition is not committed.
    fn left(&self, tp: Tp) -> Option<String> {
        let partition = self.log.partition(tp);
        let committed = partition.committed.as_ref();
        let committed = committed.map_or(0, |(offset, _)| *offset);
        let mut records = partition.records.iter().rev();
        let last = records.find(|record| self.visible(record));
        let last = last.map_or(0, |last| last.offset + 1);
        let open = partition.open.len();
        (committed < last || open > 0).then(|| {
            let name = self.log.name(tp);
            format!("{name}: {committed} of {last}, and {open} transactions are open")
        })
    }
}
