//! What retention may have taken. Input: when the ledger's entries were written, and what is found behind the front of each
//! shortened partition. Output: by when everything that is gone from there had been written. Pure.
//!
//! Retention and `DeleteRecords` take a partition's front, so what is gone was written before each record that is left. An
//! outcome was written after its record was taken and before the ledger's entry of it; an entry also says which offsets had
//! not been taken yet. So a record that was not taken when something was written that is still there has not expired.

use crate::ingest::ledger::Page;

/// How far apart two instances' clocks may be, and how long one may hold an output that it has lost the partition of. In
/// milliseconds.
pub(super) const MARGIN: i64 = 5 * 60 * 1000;

/// Witnesses that are closer to each other than this are one. In milliseconds.
const STEP: i64 = 60 * 1000;

/// When the outcomes of one partition were written, by its ledger.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// Where entries begin and end, and when they were written, in ascending order.
    ended: Vec<(i64, i64, i64)>,
    /// What had not been taken yet, and when. Both ascending: of what was taken again, the last time counts.
    untaken: Vec<(i64, i64)>,
}

impl Times {
    /// Of the entries that lead to a commit: their page, when they were written, and what had been taken by then.
    pub(super) fn of<'p>(entries: impl Iterator<Item = (&'p Page, i64, Option<i64>)>) -> Times {
        let mut times = Times::default();
        for (page, time, taken) in entries {
            times.ended.push((page.from, page.to, time));
            let Some(taken) = taken else { continue };
            while times.untaken.last().is_some_and(|(last, _)| *last >= taken) {
                times.untaken.pop();
            }
            times.untaken.push((taken, time));
        }
        times
    }

    /// No outcome of this record's is older, as far as that is known.
    pub(super) fn since(&self, offset: i64) -> Option<i64> {
        let behind = self.untaken.partition_point(|(taken, _)| *taken <= offset);
        let (_, time) = self.untaken.get(behind.checked_sub(1)?)?;
        Some(*time)
    }

    /// By when this record had ended, which may have been in a retry topic.
    pub(super) fn until(&self, offset: i64) -> Option<i64> {
        let at = self.ended.partition_point(|(_, to, _)| *to <= offset);
        let (from, _, time) = self.ended.get(at)?;
        (*from <= offset).then_some(*time)
    }

    /// By when everything below this offset was there: it had been read.
    pub(super) fn below(&self, offset: i64) -> Option<i64> {
        let at = self.ended.partition_point(|(_, to, _)| *to < offset);
        self.ended.get(at).map(|(_, _, time)| *time)
    }
}

/// What is gone from the front of a partition, or of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Front {
    /// Nothing.
    #[default]
    Whole,
    /// What was written by this time, and nothing later.
    Before(i64),
    /// Something, and nobody knows from when.
    Unknown,
}

impl Front {
    /// What is gone from the front of a partition that begins at `low`.
    pub(super) fn of(low: i64, before: impl FnOnce(i64) -> Option<i64>) -> Front {
        match low {
            ..=0 => Front::Whole,
            low => before(low).map_or(Front::Unknown, Front::Before),
        }
    }

    /// Of both.
    pub(super) fn and(self, other: Front) -> Front {
        match (self, other) {
            (Front::Unknown, _) | (_, Front::Unknown) => Front::Unknown,
            (Front::Before(one), Front::Before(two)) => Front::Before(one.max(two)),
            (Front::Whole, one) | (one, Front::Whole) => one,
        }
    }

    /// Whether what was not written before `since` must still be there.
    pub(super) fn keeps(self, since: Option<i64>) -> bool {
        match self {
            Front::Whole => true,
            Front::Before(time) => since.is_some_and(|since| since > time.saturating_add(MARGIN)),
            Front::Unknown => false,
        }
    }
}

/// Records of a shortened partition of which it is known by when they had been written.
#[derive(Debug, Default)]
pub(super) struct Witnesses {
    /// Offset and time; both ascending, since of those behind an offset the earliest counts.
    all: Vec<(i64, i64)>,
}

impl Witnesses {
    /// The record at this offset, which is behind those that were added, had been written by this time.
    pub(super) fn add(&mut self, offset: i64, time: i64) {
        while self.all.last().is_some_and(|(_, last)| *last >= time) {
            self.all.pop();
        }
        let last = self.all.last();
        if last.is_none_or(|(_, last)| time - last >= STEP) {
            self.all.push((offset, time));
        }
    }

    /// By when everything in front of `low` had been written.
    pub(super) fn before(&self, low: i64) -> Option<i64> {
        let at = self.all.partition_point(|(offset, _)| *offset < low);
        self.all.get(at).map(|(_, time)| *time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::offsets::Counts;

    fn times(entries: &[(i64, i64, i64, Option<i64>)]) -> Times {
        let pages: Vec<Page> = entries
            .iter()
            .map(|(from, to, _, _)| Page {
                from: *from,
                to: *to,
                counts: Counts::default(),
                delta: Counts::default(),
                silent: None,
            })
            .collect();
        let told = entries.iter().map(|(_, _, time, taken)| (*time, *taken));
        Times::of(
            pages
                .iter()
                .zip(told)
                .map(|(page, (time, taken))| (page, time, taken)),
        )
    }

    #[test]
    fn an_outcome_lies_between_what_was_not_taken_and_its_entry() {
        let times = times(&[
            (0, 10, 100, Some(15)),
            (10, 20, 200, Some(25)),
            (20, 30, 300, None),
            (40, 50, 400, Some(50)),
        ]);
        for (offset, since, until) in [
            (0, None, Some(100)),
            // It may have been written before the first entry was.
            (14, None, Some(200)),
            (15, Some(100), Some(200)),
            (24, Some(100), Some(300)),
            (25, Some(200), Some(300)),
            (35, Some(200), None),
            (49, Some(200), Some(400)),
            (50, Some(400), None),
        ] {
            assert_eq!(
                (times.since(offset), times.until(offset)),
                (since, until),
                "{offset}"
            );
        }
        for (low, by) in [
            (1, Some(100)),
            (10, Some(100)),
            (11, Some(200)),
            (35, Some(400)),
            (51, None),
        ] {
            assert_eq!(times.below(low), by, "{low}");
        }
    }

    #[test]
    fn what_was_taken_again_was_written_later() {
        // Another instance went on from 10, where the one before it had read up to 100.
        let times = times(&[(0, 10, 100, Some(100)), (10, 20, 500, Some(20))]);
        assert_eq!(times.since(60), Some(500));
        assert_eq!(times.since(15), None);
    }

    #[test]
    fn witnesses_in_front_of_what_was_deleted_meanwhile_do_not_count() {
        let mut all = Witnesses::default();
        for (offset, time) in [(5, 0), (6, 10), (7, STEP), (8, 3 * STEP), (9, 2 * STEP)] {
            all.add(offset, time);
        }
        for (low, by) in [
            (5, Some(0)),
            (6, Some(STEP)),
            (8, Some(2 * STEP)),
            (10, None),
        ] {
            assert_eq!(all.before(low), by, "{low}");
        }
        assert_eq!(Witnesses::default().before(1), None);
    }

    #[test]
    fn fronts_keep_what_was_written_later_by_more_than_clocks_differ() {
        let front = Front::of(3, |_| Some(1000));
        assert!(!front.keeps(None) && !front.keeps(Some(1000 + MARGIN)));
        assert!(front.keeps(Some(1001 + MARGIN)));
        assert!(Front::of(0, |_| None).keeps(None));
        assert!(!Front::of(3, |_| None).keeps(Some(i64::MAX)));
        assert_eq!(front.and(Front::Before(2000)), Front::Before(2000));
        assert_eq!(front.and(Front::Whole), front);
        assert_eq!(Front::Whole.and(Front::Unknown), Front::Unknown);
    }
}
