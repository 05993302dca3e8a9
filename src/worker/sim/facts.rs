//! What is known of every record, from outside of the engine: each time that one was handed out, what the script said of
//! it, what was produced for it, and whether a broker has acknowledged that. Holds each commit against it.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::breaker::Rows;
use super::core::Core;
use super::ledger::Written;
use super::log::{Origin, Stored, Tp};
use super::transactions::State;
use crate::ingest::offsets::Counts;
use crate::native::consumer::Entry;
use crate::record::Outcome;

/// How many records ended how.
pub(super) type Sums = [u64; Outcome::ALL.len()];

pub(super) fn sums(counts: &Counts) -> Sums {
    Outcome::ALL.map(|outcome| counts.of(outcome))
}

/// A record that a consumer returned.
#[derive(Debug)]
pub(super) struct HandOut {
    pub(super) tp: Tp,
    pub(super) offset: i64,
    pub(super) uid: usize,
    pub(super) origin: usize,
    pub(super) attempt: u32,
    /// Before that it is not to be run.
    pub(super) not_before: i64,
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
    Output {
        index: usize,
        count: usize,
    },
    Retry,
    Dead,
    /// Says something about its key, beside the outcome.
    Extra,
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
    /// Source records of which an output was refused, by partition and key.
    pub(super) refused_keys: HashSet<(Tp, Vec<u8>)>,
    /// Records that a retry or a dead letter was produced for.
    pub(super) failed: HashSet<usize>,
    /// Outputs that are in a sink: the record's number and which output.
    pub(super) delivered: HashSet<(usize, usize)>,
    /// The last first delivery from a source partition to a sink's partition.
    pub(super) order: HashMap<(Tp, Tp), i64>,
    /// The same by source record, and by its key.
    pub(super) delivered_by_key: HashSet<(usize, usize)>,
    pub(super) order_of_keys: HashMap<(Tp, Vec<u8>, Tp), i64>,
    /// Source records that became a dead letter for which nobody has to wait.
    pub(super) let_off: HashSet<usize>,
    /// Source records whose key was said to be held by an instance that had lost its partition to another one: that may have
    /// let it go meanwhile.
    pub(super) held_late: HashSet<usize>,
    /// Source records that became a dead letter, whether that was written or not.
    pub(super) dead: HashSet<usize>,
    /// The last due time that a producer wrote to a retry partition while it was its owner.
    pub(super) due: HashMap<(usize, Tp, u64), i64>,
    /// What was written to ledgers.
    pub(super) entries: Vec<Written>,
    /// Dead letters in a row.
    pub(super) rows: Rows,
    /// Source partitions whose breaker's pause is committed and not answered: when it began, and how many hand-outs there
    /// were by then.
    pub(super) tripped: HashMap<Tp, (i64, usize)>,
}

impl Core {
    /// How a hand-out ended, if it did: everything that was produced for it is acknowledged.
    fn outcome(&self, hand_out: usize) -> Option<Outcome> {
        let hand_out = &self.facts.hand_outs[hand_out];
        let (mut parts, mut expected) = (BTreeSet::new(), 0);
        let mut found = None;
        for child in &hand_out.children {
            let child = &self.facts.children[*child];
            match (child.part, child.acknowledged) {
                (Part::Dead, true) => found = Some(Outcome::DeadLettered),
                (Part::Retry, true) => found = Some(Outcome::Retried),
                (Part::Output { index, count }, true) => {
                    expected = count;
                    parts.insert(index);
                }
                // What is said beside an outcome is a part of it.
                (Part::Extra, false) => return None,
                _ => {}
            }
        }
        if expected > 0 && parts.len() == expected {
            found = found.or(Some(Outcome::Emitted));
        }
        let is_filtered = self.is_silent(hand_out);
        found
            .or_else(|| is_filtered.then_some(Outcome::Filtered))
            .or_else(|| self.is_copy(hand_out.origin).then_some(Outcome::Duplicate))
            .or_else(|| self.is_older(hand_out.origin).then_some(Outcome::Stale))
    }

    /// Whether another record has got through that this one may stand behind.
    pub(super) fn stands_behind(&self, number: usize) -> bool {
        self.is_copy(number) || self.is_older(number)
    }

    /// Whether another record with the key of this one has got through, so that it may be called a duplicate.
    fn is_copy(&self, number: usize) -> bool {
        let group = self.origins[number].group;
        let is_copy = |other: &Origin| other.group == group;
        self.plan.copies.is_some() && self.is_other_through(number, is_copy)
    }

    /// Whether a newer version of it has, so that it may be called stale.
    fn is_older(&self, number: usize) -> bool {
        let Origin {
            entity, version, ..
        } = self.origins[number];
        let is_newer = |other: &Origin| other.entity == entity && other.version > version;
        self.plan.versions.is_some() && self.is_other_through(number, is_newer)
    }

    fn is_other_through(&self, number: usize, is_it: impl Fn(&Origin) -> bool) -> bool {
        let home = self.origins[number].tp;
        self.facts.hand_outs.iter().any(|hand_out| {
            let other = &self.origins[hand_out.origin];
            hand_out.origin != number
                && other.tp == home
                && is_it(other)
                && (self.is_silent(hand_out) || self.is_through(hand_out))
        })
    }

    /// Whether all outputs of a hand-out are acknowledged, and not taken back.
    fn is_through(&self, hand_out: &HandOut) -> bool {
        let (mut parts, mut expected) = (BTreeSet::new(), 0);
        for child in &hand_out.children {
            let child = &self.facts.children[*child];
            let of = child.transaction;
            let is_aborted = of.is_some_and(|of| self.transactions[of].state == State::Aborted);
            if let (Part::Output { index, count }, true, false) =
                (child.part, child.acknowledged, is_aborted)
            {
                expected = count;
                parts.insert(index);
            }
        }
        expected > 0 && parts.len() == expected
    }

    /// Whether a hand-out was filtered, and nothing was made of it.
    pub(super) fn is_silent(&self, hand_out: &HandOut) -> bool {
        let mut children = hand_out.children.iter();
        hand_out.filtered && children.all(|child| self.facts.children[*child].part == Part::Extra)
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
        // What is no record of the source goes round or ends, as the engine knows best.
        let mut controls = 0;
        // What was filtered may stand behind what was, and a copy may be stale.
        let mut either = Vec::new();
        for record in &partition.records[from..to] {
            if !self.visible(record) {
                continue;
            }
            if record.control.is_some() {
                controls += 1;
                continue;
            }
            let latest = owned.latest.get(&record.offset);
            match latest.and_then(|hand_out| self.outcome(*hand_out)) {
                Some(silent @ (Outcome::Filtered | Outcome::Duplicate | Outcome::Stale)) => {
                    let may_be = |outcome| match outcome {
                        Outcome::Duplicate => self.is_copy(record.origin),
                        Outcome::Stale => self.is_older(record.origin),
                        _ => silent == outcome,
                    };
                    either.push(SILENT.map(may_be));
                }
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
        let told = told.as_ref().map(sums);
        let before = counts;
        let left = |outcome: Outcome| {
            let told = told.map_or(0, |told| told[outcome as usize]);
            told.saturating_sub(before[outcome as usize])
        };
        for (outcome, count) in SILENT.into_iter().zip(share(&either, SILENT.map(left))) {
            counts[outcome as usize] += count;
        }
        let ended = told.and_then(|told| {
            told[Outcome::Filtered as usize].checked_sub(counts[Outcome::Filtered as usize])
        });
        let ended = ended.unwrap_or(0).min(controls);
        counts[Outcome::Filtered as usize] += ended;
        counts[Outcome::Retried as usize] += controls - ended;
        if told != Some(counts) {
            let told = &entry.metadata;
            return Err(format!(
                "counts: {name}@{offset}: {told:?}, and true is {counts:?}"
            ));
        }
        // Without a record in between there is nothing to enter.
        if counts != owned.counts {
            self.check_entry(id, tp, offset, &counts)?;
        }
        Ok((tp, counts))
    }

    /// Whether every record that the group reads is committed, and none is to come: an instance that has lost a partition goes on
    /// sending what it had queued.
    pub(super) fn done(&self) -> bool {
        let mut read = self.log.all().filter(|tp| self.log.is_read(*tp));
        read.all(|tp| self.left(tp).is_none()) && !self.is_sending()
    }

    /// What is not committed, for the message.
    pub(super) fn undone(&self) -> String {
        let mut left: Vec<String> = self
            .log
            .all()
            .filter(|tp| self.log.is_read(*tp))
            .filter_map(|tp| self.left(tp))
            .collect();
        if self.is_sending() {
            left.push("something is still being sent".to_owned());
        }
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

/// What a record may come to without a word. A filter comes last, which is shared with what is no record of the source.
const SILENT: [Outcome; 3] = [Outcome::Duplicate, Outcome::Stale, Outcome::Filtered];

/// So many of each, where each of `either` says what it may be and `told` are to be found. As near to that as it can be.
fn share(either: &[[bool; 3]], told: [u64; 3]) -> [u64; 3] {
    let mut of = vec![2; either.len()];
    let mut counts = [0; 2];
    // Those first that no filter can have taken.
    for must_be in [true, false] {
        for index in 0..either.len() {
            if either[index][2] == must_be {
                continue;
            }
            let kinds = [0, 1].into_iter().filter(|kind| either[index][*kind]);
            for kind in kinds {
                if counts[kind] == told[kind] {
                    // Another one makes room.
                    let other = 1 - kind;
                    let moves = |at: &usize| of[*at] == kind && either[*at][other];
                    let moved = (0..either.len()).find(moves);
                    let Some(moved) = moved.filter(|_| counts[other] < told[other]) else {
                        continue;
                    };
                    of[moved] = other;
                    counts[kind] -= 1;
                    counts[other] += 1;
                }
                of[index] = kind;
                counts[kind] += 1;
                break;
            }
        }
    }
    [
        counts[0],
        counts[1],
        either.len() as u64 - counts[0] - counts[1],
    ]
}
