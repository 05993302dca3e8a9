//! What must be true when everything is done: each record has an outcome in a topic, once where that is promised, and what
//! commits and ledgers tell adds up to it.

use std::collections::{BTreeSet, HashMap};

use super::core::Core;
use super::facts::{HandOut, Part, sums};
use super::log::{Kind, Origin, Tp};
use super::transactions::State;
use crate::config::model::{OnDead, PerKey};
use crate::ingest::offsets::Counts;

/// What came of a record, all its readings together.
#[derive(Debug, Default)]
struct Ends {
    /// Outcomes that are in a topic, or a filter.
    last: usize,
    /// Retries and whole outcomes.
    whole: usize,
    /// Readings of which something is there.
    written: usize,
    produced: usize,
}

impl Core {
    /// All that must be true when everything is done.
    pub(super) fn check_end(&mut self) {
        let mut wrong = Vec::new();
        // From the last record to the first, since a retry is behind what it comes from.
        let mut settled: Vec<Option<bool>> = vec![None; self.appended];
        let mut all: Vec<(usize, Tp, usize)> = Vec::new();
        for tp in self.log.all().filter(|tp| self.log.is_read(*tp)) {
            let records = self.log.partition(tp).records.iter();
            let records = records.filter(|record| self.visible(record));
            for record in records.filter(|record| record.control.is_none()) {
                all.push((record.uid, tp, record.origin));
            }
        }
        all.sort_unstable();
        for (uid, tp, origin) in all.into_iter().rev() {
            let ends = self.ends(uid, &settled);
            settled[uid] = Some(ends.last > 0 || self.stands_behind(origin));
            let Ends {
                whole,
                written,
                produced,
                ..
            } = ends;
            let name = self.log.name(tp);
            if ends.last == 0 && !self.stands_behind(origin) {
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
            let sum: u64 = told.map_or(0, |told| sums(&told).iter().sum());
            let records = partition.records.iter();
            let count = records.filter(|record| self.visible(record)).count();
            if sum != count as u64 {
                let name = self.log.name(tp);
                wrong.push(format!(
                    "counts: {name} has {count} records, and its commit tells of {sum}"
                ));
            }
            wrong.extend(self.check_ledger(tp));
        }
        if self.plan.transactions.is_some() {
            self.check_order_in_the_end(&mut wrong);
        }
        self.check_copies(&mut wrong);
        self.check_versions(&mut wrong);
        if let Some(first) = wrong.into_iter().next_back() {
            self.violated(first);
        }
    }

    /// With `stale`: in no partition of a sink is an event behind a newer one of its entity.
    fn check_versions(&self, wrong: &mut Vec<String>) {
        if self.plan.versions.is_none() {
            return;
        }
        let children = self.facts.children.iter();
        let by: HashMap<usize, usize> = children
            .filter_map(|child| Some((child.uid?, self.facts.hand_outs[child.hand_out].origin)))
            .collect();
        let sinks = self.log.all();
        for tp in sinks.filter(|tp| matches!(self.log.kind(*tp), Kind::Sink(_))) {
            let mut newest: HashMap<usize, (i64, usize)> = HashMap::new();
            let records = self.log.partition(tp).records.iter();
            let records = records.filter(|record| self.visible(record));
            for number in records.filter_map(|record| by.get(&record.uid)) {
                let origin = &self.origins[*number];
                if !self.has_value(origin) {
                    continue;
                }
                let excused = self.facts.excused.iter();
                let mut excused = excused.filter(|tp| self.log.home(**tp) == Some(origin.tp));
                if self.plan.transactions.is_none() && excused.next().is_some() {
                    continue;
                }
                let before = newest
                    .entry(origin.entity)
                    .or_insert((origin.version, *number));
                if before.0 > origin.version {
                    wrong.push(format!(
                        "versions: record {number} of version {} is in {} behind {} of version {}",
                        origin.version,
                        self.log.name(tp),
                        before.1,
                        before.0
                    ));
                }
                *before = (*before).max((origin.version, *number));
            }
        }
    }

    /// With `dedup`: of the records of one key, one is in the sinks.
    fn check_copies(&self, wrong: &mut Vec<String>) {
        if self.plan.copies.is_none() {
            return;
        }
        let mut through: HashMap<usize, BTreeSet<usize>> = HashMap::new();
        for hand_out in &self.facts.hand_outs {
            let mut children = hand_out.children.iter();
            let is_there = children.any(|child| {
                let child = &self.facts.children[*child];
                let of = child.transaction;
                let counts = of.is_none_or(|of| self.transactions[of].state == State::Committed);
                matches!(child.part, Part::Output { .. }) && child.appended > 0 && counts
            });
            let origin = &self.origins[hand_out.origin];
            if is_there && self.has_value(origin) {
                let group = through.entry(origin.group).or_default();
                group.insert(hand_out.origin);
            }
        }
        for (group, copies) in through {
            let home = self.origins[group].tp;
            let excused = self.plan.transactions.is_none()
                && self
                    .facts
                    .excused
                    .iter()
                    .any(|tp| self.log.home(*tp) == Some(home));
            if copies.len() > 1 && !excused {
                wrong.push(format!(
                    "copies: of the records of one key, {copies:?} are in the sinks"
                ));
            }
        }
    }

    /// A tombstone has no key to be remembered by.
    fn has_value(&self, origin: &Origin) -> bool {
        let place = self.log.partition(origin.tp);
        place.records[place.at(origin.offset)].value.is_some()
    }

    /// A dead letter in retry for which nothing stands: perhaps the engine had no room for that any more (`memory_limit`), of
    /// which nothing is to be seen here, and the record was read again for it. Under exactly_once that is taken back.
    fn is_half(&self, hand_out: &HandOut) -> bool {
        let says = self
            .plan
            .per_key
            .is_some_and(|of| of.on_dead != OnDead::Release);
        self.may_lack_room()
            && says
            && self.log.kind(hand_out.tp) != Kind::Source
            && !self.has_extra(hand_out)
    }

    /// Whether there may have been no room for a second part of a record, behind its first.
    fn may_lack_room(&self) -> bool {
        self.plan.room < usize::MAX && self.plan.transactions.is_none()
    }

    /// Whether something that goes with the outcome was handed to the producer too.
    fn has_extra(&self, hand_out: &HandOut) -> bool {
        let mut children = hand_out.children.iter();
        children.any(|child| self.facts.children[*child].part == Part::Extra)
    }

    /// The output of a record that was sent back, without what lets its followers go, for the same reason: a later reading of it
    /// has both.
    fn is_without_release(&self, uid: usize, number: usize) -> bool {
        let has_extra = |number: &usize| self.has_extra(&self.facts.hand_outs[*number]);
        let holds = |of: PerKey| of.on_dead == OnDead::Park;
        let mut later = self.facts.of.get(&uid).into_iter().flatten();
        self.may_lack_room()
            && self.plan.per_key.is_some_and(holds)
            && !has_extra(&number)
            && later.any(|other| *other > number && has_extra(other))
    }

    fn ends(&self, uid: usize, settled: &[Option<bool>]) -> Ends {
        let mut ends = Ends::default();
        for number in self.facts.of.get(&uid).into_iter().flatten() {
            let hand_out = &self.facts.hand_outs[*number];
            let mut parts = BTreeSet::new();
            let mut expected = 0;
            let before = ends.whole;
            for child in &hand_out.children {
                let child = &self.facts.children[*child];
                ends.produced += 1;
                let aborted = child
                    .transaction
                    .is_some_and(|of| self.transactions[of].state != State::Committed);
                if child.appended == 0 || aborted {
                    continue;
                }
                if child.part == Part::Dead && self.is_half(hand_out) {
                    ends.last += 1;
                    continue;
                }
                match child.part {
                    Part::Dead => ends.last += 1,
                    Part::Retry => {
                        let followed = child.uid.and_then(|uid| settled[uid]);
                        ends.last += usize::from(followed == Some(true));
                    }
                    Part::Output { index, count } => {
                        parts.insert(index);
                        expected = count;
                    }
                    Part::Extra => continue,
                }
                if !matches!(child.part, Part::Output { .. }) {
                    ends.whole += 1;
                }
            }
            ends.written += usize::from(ends.whole > before || !parts.is_empty());
            if expected > 0 && parts.len() == expected {
                ends.last += 1;
                ends.whole += usize::from(!self.is_without_release(uid, *number));
            }
            ends.last += usize::from(self.is_silent(hand_out));
        }
        ends
    }
}
