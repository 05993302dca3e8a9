//! The ledger of one partition, from the committed offset back to its beginning. Input: the pages in the order in which they
//! were written, and the commit. Output: the pages that lead to it, and where they do not. Pure.
//!
//! A page is acknowledged before its offset is committed, so after a crash, or from an instance that had lost the partition,
//! there may be pages that lead nowhere. Each page says which sums it starts from and which it ends at; only those whose sums
//! meet are put together, and of two that do, the one written last counts.

use std::collections::HashMap;
use std::ops::Range;

use crate::ingest::ledger::Page;
use crate::ingest::offsets::Counts;

/// What is wrong with a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// No page leads over these offsets.
    Hole(Range<i64>),
    /// The page that ends here has other sums than what comes behind it, or than the commit.
    Differs {
        /// Where it ends.
        at: i64,
        /// What it says.
        says: Counts,
        /// What comes behind it starts from.
        needs: Counts,
    },
    /// The page that ends here has counted more than its own sums say.
    Impossible(i64),
}

/// The pages that lead to a commit, in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) pages: Vec<Page>,
    /// Which of those that were written each of them is.
    pub(super) which: Vec<usize>,
    /// What was counted before the first page.
    pub(super) base: Counts,
    pub(super) faults: Vec<Fault>,
    /// Pages that lead nowhere: of crashes and of instances that had lost the partition.
    pub(super) aside: usize,
}

impl Chain {
    /// Where the ledger begins, if there is anything of it.
    pub(super) fn begins(&self) -> Option<i64> {
        self.pages.first().map(|page| page.from)
    }

    /// The page that speaks of this offset, unless the ledger says nothing of it.
    pub(super) fn page_of(&self, offset: i64) -> Option<&Page> {
        let page = self.pages.partition_point(|page| page.to <= offset);
        self.pages.get(page).filter(|page| page.from <= offset)
    }
}

/// Goes back from a commit. Without counts it was made by something that is not Driftgate.
pub(super) fn lead(pages: &[Page], committed: i64, counts: Option<Counts>) -> Chain {
    let mut ends: HashMap<i64, Vec<(usize, &Page)>> = HashMap::new();
    let whole = pages.iter().enumerate();
    for (index, page) in whole.filter(|(_, page)| page.from < page.to) {
        ends.entry(page.to).or_default().push((index, page));
    }
    let mut chain = Chain::default();
    let (mut at, mut needs) = (committed, counts);
    loop {
        if needs.is_some_and(|needs| needs.total() == 0) {
            break;
        }
        let here = ends.get(&at).map_or(&[][..], Vec::as_slice);
        let meets = |(_, page): &&(usize, &Page)| needs.is_none_or(|needs| page.counts == needs);
        let (index, page) = match (here.iter().rev().find(meets), here.last()) {
            (Some(page), _) => *page,
            (None, Some((index, page))) => {
                chain.faults.push(Fault::Differs {
                    at,
                    says: page.counts,
                    needs: needs.unwrap_or_default(),
                });
                (*index, *page)
            }
            (None, None) => {
                let below = ends.keys().filter(|end| **end < at).max();
                let Some(below) = below.copied() else { break };
                chain.faults.push(Fault::Hole(below..at));
                (at, needs) = (below, None);
                continue;
            }
        };
        let base = page.counts.since(page.delta);
        if base.plus(page.delta) != page.counts {
            chain.faults.push(Fault::Impossible(at));
        }
        // One wrong sum is told once: what lies before it is held to its own.
        let told = needs.is_some_and(|needs| needs != page.counts);
        chain.base = base;
        (at, needs) = (page.from, (!told).then_some(base));
        chain.pages.push(page.clone());
        chain.which.push(index);
    }
    if chain.pages.is_empty() {
        chain.base = counts.unwrap_or_default();
    }
    chain.pages.reverse();
    chain.which.reverse();
    chain.faults.reverse();
    chain.aside = pages.len() - chain.pages.len();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Outcome;

    fn emitted(count: u64) -> Counts {
        Counts::of_each(|outcome| {
            if outcome == Outcome::Emitted {
                count
            } else {
                0
            }
        })
    }

    /// Every record emitted, so that sums are offsets.
    fn page(from: i64, to: i64) -> Page {
        Page {
            from,
            to,
            counts: emitted(to.unsigned_abs()),
            delta: emitted((to - from).unsigned_abs()),
            silent: None,
        }
    }

    fn spans(chain: &Chain) -> Vec<(i64, i64)> {
        chain
            .pages
            .iter()
            .map(|page| (page.from, page.to))
            .collect()
    }

    #[track_caller]
    fn check(pages: &[Page], committed: i64, expect: &[(i64, i64)], faults: &[Fault]) {
        let counts = emitted(committed.unsigned_abs());
        let chain = lead(pages, committed, Some(counts));
        assert_eq!(spans(&chain), expect);
        assert_eq!(chain.faults, faults);
        assert_eq!(chain.aside, pages.len() - expect.len());
    }

    #[test]
    fn pages_lead_to_the_commit() {
        check(&[], 0, &[], &[]);
        check(&[page(0, 10)], 10, &[(0, 10)], &[]);
        let pages = [page(0, 10), page(10, 30), page(30, 31)];
        check(&pages, 31, &[(0, 10), (10, 30), (30, 31)], &[]);
        // Written and not committed yet.
        check(&pages, 30, &[(0, 10), (10, 30)], &[]);
    }

    #[test]
    fn what_a_crash_left_is_put_aside() {
        // Written twice as far, crashed before the commit, and done again in other steps.
        let pages = [
            page(0, 10),
            page(10, 50),
            page(10, 25),
            page(25, 50),
            page(50, 60),
        ];
        check(&pages, 60, &[(0, 10), (10, 25), (25, 50), (50, 60)], &[]);
        assert_eq!(lead(&pages, 60, Some(emitted(60))).which, [0, 2, 3, 4]);
        // One that had lost the partition wrote late.
        let pages = [page(0, 10), page(10, 20), page(0, 15), page(20, 30)];
        check(&pages, 30, &[(0, 10), (10, 20), (20, 30)], &[]);
    }

    #[test]
    fn holes_and_other_sums_are_told() {
        let hole = Fault::Hole(10..30);
        check(
            &[page(0, 10), page(30, 40)],
            40,
            &[(0, 10), (30, 40)],
            std::slice::from_ref(&hole),
        );
        let last = Fault::Hole(10..40);
        check(&[page(0, 10)], 40, &[(0, 10)], &[last]);
        let mut other = page(10, 30);
        other.counts = emitted(29);
        other.delta = emitted(19);
        let differs = Fault::Differs {
            at: 30,
            says: emitted(29),
            needs: emitted(30),
        };
        let pages = [page(0, 10), other, page(30, 40)];
        check(&pages, 40, &[(0, 10), (10, 30), (30, 40)], &[differs]);
        let mut other = page(0, 10);
        other.delta = emitted(11);
        check(&[other], 10, &[(0, 10)], &[Fault::Impossible(10)]);
    }

    #[test]
    fn a_ledger_that_begins_late_says_what_was_counted_before_it() {
        let chain = lead(&[page(10, 20)], 20, Some(emitted(20)));
        assert_eq!((chain.begins(), chain.base), (Some(10), emitted(10)));
        assert!(chain.faults.is_empty());
    }

    #[test]
    fn a_commit_of_somebody_else_s_has_no_sums_to_meet() {
        let chain = lead(&[page(0, 10), page(10, 20)], 15, None);
        assert_eq!(chain.faults, [Fault::Hole(10..15)]);
        assert_eq!(spans(&chain), [(0, 10)]);
    }
}
