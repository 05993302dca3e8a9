//! What is known of every record, from outside of the engine: each time that one was handed out, what the script said of
//! it, what was produced for it, and whether a broker has acknowledged that.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::core::Core;
use super::log::{Kind, Tp};
use crate::ingest::offsets::Counts;
use crate::native::consumer::Entry;
use crate::record::Outcome;

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

    /// Holds a commit against what is acknowledged, at the moment when it is sent.
    pub(super) fn check_commit(&mut self, id: usize, entry: &Entry) {
        let Some(tp) = self.log.tp(&entry.topic, entry.partition) else {
            let what = format!("a commit for {}-{}", entry.topic, entry.partition);
            return self.violated(what);
        };
        let name = self.log.name(tp);
        let Some(owned) = self.members[id].owned.get(&tp) else {
            return self.violated(format!(
                "ownership: instance {id} commits {name}, which is not its own"
            ));
        };
        if entry.offset < owned.verified {
            let verified = owned.verified;
            return self.violated(format!(
                "commit: {name} goes back from {verified} to {}",
                entry.offset
            ));
        }
        let mut counts = owned.counts;
        let partition = self.log.partition(tp);
        if entry.offset > partition.end {
            let what = format!("commit: {name}@{} is behind its end", entry.offset);
            return self.violated(what);
        }
        let (from, to) = (partition.at(owned.verified), partition.at(entry.offset));
        let mut wrong = None;
        for record in &partition.records[from..to] {
            let outcome = owned
                .latest
                .get(&record.offset)
                .and_then(|hand_out| self.outcome(*hand_out));
            match outcome {
                Some(outcome) => counts[outcome as usize] += 1,
                None => {
                    wrong = Some(record.offset);
                    break;
                }
            }
        }
        if let Some(offset) = wrong {
            return self.violated(format!(
                "acknowledgement: instance {id} commits {name}@{} and {offset} has no acknowledged outcome",
                entry.offset
            ));
        }
        let told = entry.metadata.as_deref().and_then(Counts::from_metadata);
        let told = told.map(|told| Outcome::ALL.map(|outcome| told.of(outcome)));
        if told != Some(counts) {
            return self.violated(format!(
                "counts: {name}@{}: {:?}, and true is {counts:?}",
                entry.offset, entry.metadata
            ));
        }
        if let Some(owned) = self.members[id].owned.get_mut(&tp) {
            owned.counts = counts;
            owned.verified = entry.offset;
            owned.latest = owned.latest.split_off(&entry.offset);
        }
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
            for record in &self.log.partition(tp).records {
                all.push((record.uid, tp, record.origin));
            }
        }
        all.sort_unstable();
        for (uid, tp, origin) in all.into_iter().rev() {
            let none = Vec::new();
            let hand_outs = self.facts.of.get(&uid).unwrap_or(&none);
            let mut final_outcomes = 0;
            let mut whole = 0;
            let mut produced = 0;
            for hand_out in hand_outs {
                let hand_out = &self.facts.hand_outs[*hand_out];
                let mut parts = BTreeSet::new();
                let mut expected = 0;
                for child in &hand_out.children {
                    let child = &self.facts.children[*child];
                    produced += 1;
                    if child.appended == 0 {
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
            if whole > 1 && !self.facts.excused.contains(&tp) {
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
            if sum != partition.records.len() as u64 {
                let name = self.log.name(tp);
                wrong.push(format!(
                    "counts: {name} has {} records, and its commit tells of {sum}",
                    partition.records.len()
                ));
            }
        }
        if let Some(first) = wrong.into_iter().next_back() {
            self.violated(first);
        }
    }

    /// Whether every record that the group reads is committed.
    pub(super) fn done(&self) -> bool {
        self.log.all().filter(|tp| self.log.is_read(*tp)).all(|tp| {
            let partition = self.log.partition(tp);
            let last = partition.records.last().map_or(0, |last| last.offset + 1);
            partition
                .committed
                .as_ref()
                .map_or(0, |(offset, _)| *offset)
                == last
        })
    }

    /// What is not committed, for the message.
    pub(super) fn undone(&self) -> String {
        let mut left = Vec::new();
        for tp in self.log.all().filter(|tp| self.log.is_read(*tp)) {
            let partition = self.log.partition(tp);
            let committed = partition
                .committed
                .as_ref()
                .map_or(0, |(offset, _)| *offset);
            if committed < partition.end {
                let name = self.log.name(tp);
                left.push(format!("{name}: {committed} of {}", partition.end));
            }
        }
        left.join(", ")
    }
}
