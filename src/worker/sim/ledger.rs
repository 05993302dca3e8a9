//! The ledger: no offset is committed before the entry that leads to it is acknowledged, and from each commit the entries
//! lead back to the beginning.

use super::core::Core;
use super::facts::{Sums, sums};
use super::log::Tp;
use super::transactions::State;
use crate::ingest::ledger::Entry;
use crate::ingest::offsets::{Counts, ledger_begins};

/// An entry that an engine has written.
#[derive(Debug)]
pub(super) struct Written {
    by: usize,
    pub(super) tp: Tp,
    from: i64,
    to: i64,
    counts: Sums,
    delta: Sums,
    pub(super) appended: bool,
    pub(super) acknowledged: bool,
    pub(super) failed: bool,
    pub(super) transaction: Option<usize>,
}

impl Core {
    /// An engine hands an entry to its producer. Its number is the answer.
    pub(super) fn written(
        &mut self,
        by: usize,
        source: usize,
        value: Option<&[u8]>,
    ) -> Option<usize> {
        let entry = value.and_then(Entry::from_json);
        let found = entry.and_then(|entry| {
            let tp = self.log.tp(&entry.topic, entry.partition)?;
            let is_home = self.log.home(tp).is_some_and(|home| home.topic == source);
            is_home.then_some((tp, entry.page))
        });
        let Some((tp, page)) = found else {
            self.violated("ledger: an entry that cannot be read, or of another topic".to_owned());
            return None;
        };
        self.facts.entries.push(Written {
            by,
            tp,
            from: page.from,
            to: page.to,
            counts: sums(&page.counts),
            delta: sums(&page.delta),
            appended: false,
            acknowledged: false,
            failed: false,
            transaction: None,
        });
        Some(self.facts.entries.len() - 1)
    }

    /// Whether an instance has entries of a partition on their way.
    pub(super) fn writes(&self, id: usize, tp: Tp) -> bool {
        let mut entries = self.facts.entries.iter().rev();
        entries
            .any(|entry| entry.by == id && entry.tp == tp && !entry.acknowledged && !entry.failed)
    }

    /// The entry that leads to a commit: acknowledged, or under exactly_once written.
    pub(super) fn check_entry(
        &self,
        id: usize,
        tp: Tp,
        offset: i64,
        counts: &Sums,
    ) -> Result<(), String> {
        if !self.plan.has_ledger() {
            return Ok(());
        }
        let together = self.plan.transactions.is_some();
        let mut entries = self.facts.entries.iter().rev();
        let is_there = entries.any(|entry| {
            (entry.tp, entry.to) == (tp, offset)
                && entry.counts == *counts
                && entry.by == id
                && (together || entry.acknowledged)
        });
        let name = self.log.name(tp);
        match is_there {
            true => Ok(()),
            false => Err(format!(
                "ledger: instance {id} commits {name}@{offset}, and no entry for that is acknowledged"
            )),
        }
    }

    /// A transaction has committed these offsets: their entries are in it.
    pub(super) fn check_entry_within(&mut self, number: usize, tp: Tp, offset: i64) {
        if !self.plan.has_ledger() {
            return;
        }
        let mut entries = self.facts.entries.iter().rev();
        let is_there = entries.any(|entry| {
            (entry.tp, entry.to) == (tp, offset)
                && entry.appended
                && entry.transaction == Some(number)
        });
        if !is_there {
            let name = self.log.name(tp);
            self.violated(format!(
                "ledger: {name}@{offset} is committed in another transaction than its entry"
            ));
        }
    }

    /// From the committed offset back to where the ledger begins, entry by entry.
    pub(super) fn check_ledger(&self, tp: Tp) -> Option<String> {
        if !self.plan.has_ledger() {
            return None;
        }
        let (offset, metadata) = self.log.partition(tp).committed.as_ref()?;
        let counts = Counts::from_metadata(metadata)?;
        let begins = ledger_begins(metadata);
        let mut left = vec![(*offset, sums(&counts))];
        let mut seen = left.clone();
        while let Some((at, counts)) = left.pop() {
            if counts.iter().all(|count| *count == 0) && begins.is_none_or(|begins| begins >= at) {
                return None;
            }
            for entry in self.facts.entries.iter().filter(|entry| {
                let committed = entry
                    .transaction
                    .is_none_or(|of| self.transactions[of].state == State::Committed);
                (entry.tp, entry.to) == (tp, at)
                    && entry.counts == counts
                    && entry.appended
                    && committed
                    && entry.from < at
            }) {
                let mut before = counts;
                for (count, delta) in before.iter_mut().zip(entry.delta) {
                    *count = count.saturating_sub(delta);
                }
                if !seen.contains(&(entry.from, before)) {
                    seen.push((entry.from, before));
                    left.push((entry.from, before));
                }
            }
        }
        let name = self.log.name(tp);
        Some(format!(
            "ledger: no entries lead from {name}@{offset} back to the beginning"
        ))
    }
}
