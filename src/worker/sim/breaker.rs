//! Breakers and pauses, from outside: no more dead letters in a row than the limit says, and nothing is made of a partition
//! between the commit of its breaker's pause and the order that answers it, nor while an operator has paused it.

use std::collections::{BTreeMap, HashMap};

use super::core::Core;
use super::log::Tp;
use crate::ingest::standing::{Cause, Standing};

/// What was decided on the records of each partition that an instance reads, by assignment and offset: whether it was a
/// dead letter.
#[derive(Debug, Default)]
pub(super) struct Rows(HashMap<(usize, Tp, u64), BTreeMap<i64, bool>>);

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
        let row = self.facts.rows.0.entry((id, tp, epoch)).or_default();
        match dead {
            Some(dead) => row.insert(offset, dead),
            None => row.remove(&offset),
        };
        if dead != Some(true) {
            return;
        }
        let in_a_row = row.range(..=offset).rev().take_while(|(_, dead)| **dead);
        let count = in_a_row.count();
        if count as u64 > limit {
            let name = self.log.name(tp);
            self.violated(format!(
                "breaker: {count} dead letters in a row up to {name}@{offset}, and {limit} are the most"
            ));
        }
    }

    /// A source partition is resumed: from there on it is counted anew.
    pub(super) fn count_anew(&mut self, source: Tp) {
        let log = &self.log;
        self.facts
            .rows
            .0
            .retain(|(_, tp, _), _| log.home(*tp) != Some(source));
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
