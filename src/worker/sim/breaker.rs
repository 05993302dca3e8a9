//! Breakers and pauses, from outside: no more dead letters in a row than the limit says, no pause of a breaker before there
//! were as many, and nothing is made of a partition between the commit of its breaker's pause and the order that answers it,
//! nor while an operator has paused it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::core::Core;
use super::log::Tp;
use crate::ingest::standing::{Cause, Standing};

/// What was decided on the records of each partition that an instance reads, by assignment and offset: whether it was a
/// dead letter.
#[derive(Debug, Default)]
pub(super) struct Rows {
    decided: HashMap<(usize, Tp, u64), BTreeMap<i64, bool>>,
    /// The most dead letters in a row that there were of each source partition and its retries since it was resumed last,
    /// whoever had them, and whether they were taken back.
    longest: HashMap<Tp, u64>,
    /// Source partitions that were resumed: the breaker of one may be careful.
    resumed: HashSet<Tp>,
}

impl Core {
    fn limit(&self) -> Option<u64> {
        self.plan.breakers?.after
    }

    /// A record has its fate: a dead letter, or it passes; `None` is neither.
    pub(super) fn decided(&mut self, id: usize, hand_out: usize, dead: Option<bool>) {
        let Some(limit) = self.limit() else {
            return;
        };
        let of = &self.facts.hand_outs[hand_out];
        let (tp, offset, epoch) = (of.tp, of.offset, of.epoch);
        let row = self.facts.rows.decided.entry((id, tp, epoch));
        let row = row.or_default();
        match dead {
            Some(dead) => row.insert(offset, dead),
            None => row.remove(&offset),
        };
        if dead != Some(true) {
            return;
        }
        let in_a_row = row.range(..=offset).rev().take_while(|(_, dead)| **dead);
        let count = in_a_row.count() as u64;
        if let Some(home) = self.log.home(tp) {
            let longest = self.facts.rows.longest.entry(home).or_default();
            *longest = count.max(*longest);
        }
        if count > limit {
            let name = self.log.name(tp);
            self.violated(format!(
                "breaker: {count} dead letters in a row up to {name}@{offset}, and {limit} are the most"
            ));
        }
    }

    /// A source partition is resumed: from there on it is counted anew.
    pub(super) fn count_anew(&mut self, source: Tp) {
        let (log, rows) = (&self.log, &mut self.facts.rows);
        rows.decided
            .retain(|(_, tp, _), _| log.home(*tp) != Some(source));
        rows.longest.remove(&source);
        rows.resumed.insert(source);
    }

    /// A breaker that knows no ratio trips at one more dead letter than there may be in a row; a careful one at half as many.
    fn check_reason(&mut self, source: Tp) {
        let Some(limit) = self.limit() else {
            return;
        };
        if self.plan.breakers.is_some_and(|of| of.above.is_some()) {
            return;
        }
        let rows = &self.facts.rows;
        let least = match rows.resumed.contains(&source) {
            true => limit.div_ceil(2),
            false => limit,
        };
        let longest = rows.longest.get(&source).copied().unwrap_or(0);
        if longest < least {
            let name = self.log.name(source);
            self.violated(format!(
                "breaker without a reason: {name} is paused after {longest} dead letters in a row, and {least} are the least"
            ));
        }
    }

    /// What a commit says of pauses, once it is there.
    pub(super) fn note_pauses(&mut self, tp: Tp, metadata: &str) {
        if self.plan.breakers.is_none() || self.log.home(tp) != Some(tp) {
            return;
        }
        let trip = Standing::of_metadata(metadata)
            .into_iter()
            .find(|one| one.cause == Cause::Breaker);
        let Some(trip) = trip.filter(|trip| !self.is_answered(tp, trip.since)) else {
            return;
        };
        let count = self.facts.hand_outs.len();
        let known = self.facts.tripped.get(&tp).map(|(since, _)| *since);
        if known != Some(trip.since) {
            self.count("breakers tripped");
            self.facts.tripped.insert(tp, (trip.since, count));
            self.check_reason(tp);
        }
    }

    /// A record is run, or something is produced for it.
    pub(super) fn check_paused(&mut self, id: usize, hand_out: usize) {
        let of = &self.facts.hand_outs[hand_out];
        let (tp, offset) = (of.tp, of.offset);
        let name = || self.log.name(tp);
        let Some(home) = self.log.home(tp) else {
            return;
        };
        // One that the group has given up does not know of it yet.
        let is_owner = self.members[id].joined && self.members[id].assigned.contains(&home);
        let tripped = self.facts.tripped.get(&home);
        if is_owner && tripped.is_some_and(|(_, from)| hand_out >= *from) {
            let what = format!(
                "breaker: {}@{offset} is taken by {id} while the pause of its breaker stands",
                name()
            );
            return self.violated(what);
        }
        let paused = self.members[id].paused_from.get(&home);
        if paused.is_some_and(|from| hand_out >= *from) {
            let what = format!(
                "operator: {}@{offset} is taken by {id} while the pipeline is paused",
                name()
            );
            self.violated(what);
        }
    }
}
