//! How far a redrive has come. Input: each dead letter as it is begun and done with. Output: the offsets that may be
//! committed, which never pass one that is not done. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// Topic and partition.
pub type Place = (String, i32);

/// Progress in every partition.
#[derive(Debug, Default)]
pub struct Progress {
    partitions: BTreeMap<Place, Partition>,
}

#[derive(Debug, Default)]
struct Partition {
    /// Begun and not done.
    open: BTreeSet<i64>,
    /// Behind the last that was begun.
    next: i64,
    committed: Option<i64>,
}

impl Progress {
    /// A dead letter has been read. Offsets of a partition come in their order.
    pub fn begin(&mut self, topic: &str, partition: i32, offset: i64) {
        let entry = self
            .partitions
            .entry((topic.to_owned(), partition))
            .or_default();
        entry.open.insert(offset);
        entry.next = offset + 1;
    }

    /// It has its fate: it was left out, or a broker has acknowledged it.
    pub fn done(&mut self, topic: &str, partition: i32, offset: i64) {
        if let Some(entry) = self.partitions.get_mut(&(topic.to_owned(), partition)) {
            entry.open.remove(&offset);
        }
    }

    /// Where the next run would begin, for the partitions where that has changed since [`Self::committed`].
    pub fn committable(&self) -> Vec<(Place, i64)> {
        let partitions = self.partitions.iter();
        let moved = partitions.filter_map(|(place, entry)| {
            let offset = entry.open.first().copied().unwrap_or(entry.next);
            (entry.committed != Some(offset)).then(|| (place.clone(), offset))
        });
        moved.collect()
    }

    /// These have been committed.
    pub fn committed(&mut self, offsets: &[(Place, i64)]) {
        for (place, offset) in offsets {
            if let Some(entry) = self.partitions.get_mut(place) {
                entry.committed = Some(*offset);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn never_passes_one_that_is_not_done(
            gaps in proptest::collection::vec(1_i64..4, 1..50),
            order in proptest::collection::vec(0_usize..50, 0..50),
        ) {
            let mut progress = Progress::default();
            let mut offset = 0;
            let mut open: Vec<i64> = Vec::new();
            for gap in gaps {
                offset += gap;
                progress.begin("dlq", 0, offset);
                open.push(offset);
            }
            for pick in order {
                if open.is_empty() {
                    break;
                }
                let done = open.remove(pick % open.len());
                progress.done("dlq", 0, done);
                let expect = open.iter().min().copied().unwrap_or(offset + 1);
                let found = progress.committable();
                // Nothing is said where nothing has moved.
                prop_assert!(found.iter().all(|(_, at)| *at == expect));
                progress.committed(&found);
                prop_assert!(progress.committable().is_empty());
            }
        }
    }

    #[test]
    fn partitions_are_apart() {
        let mut progress = Progress::default();
        progress.begin("dlq", 0, 5);
        progress.begin("dlq", 1, 9);
        progress.done("dlq", 1, 9);
        let place = |partition| ("dlq".to_owned(), partition);
        assert_eq!(progress.committable(), [(place(0), 5), (place(1), 10)]);
    }
}
