//! Which offset may be committed. Offsets are, as in Kafka, the next to read.
//!
//! A record is *begun* when it is handed to the pipeline and *completed* when its outcome is final: every output of it
//! acknowledged by a broker, or nothing to output. The committed offset never passes a record that is not complete, so
//! a crash repeats records and never skips one.

use std::collections::VecDeque;
use std::time::Duration;

use super::ledger::{Book, Page};
use crate::native::consumer::{Client, Entry};
use crate::record::Outcome;

/// The outcomes of one partition's records, in offset order.
///
/// Offsets may have gaps (compaction, transaction markers); they never go back within one tracker.
#[derive(Debug, Clone)]
pub struct OffsetTracker {
    /// Everything below is complete.
    committable: i64,
    /// The next offset expected from the consumer.
    expected: i64,
    /// The next sequence number. Never goes back, so that a late acknowledgement cannot complete a record's successor.
    next: Sequence,
    pending: VecDeque<Pending>,
    counts: Counts,
    /// What is not in the ledger yet, where there is one.
    book: Option<Book>,
}

#[derive(Debug, Clone, Copy)]
struct Pending {
    sequence: Sequence,
    offset: i64,
    /// Acknowledgements until its outcome is final.
    waits: usize,
    outcome: Option<Outcome>,
}

/// Outcomes of all records below the committable offset, since the group began with the partition. They travel in the
/// commit's metadata, atomic with the offset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; Outcome::ALL.len()]);

impl Counts {
    const LAYOUT: &'static str = "driftgate/1";

    /// How many records ended so.
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    fn add(&mut self, outcome: Outcome) {
        self.0[outcome as usize] += 1;
    }

    /// With so many of each.
    pub fn of_each(of: impl Fn(Outcome) -> u64) -> Counts {
        let mut counts = Counts::default();
        for outcome in Outcome::ALL {
            counts.0[outcome as usize] = of(outcome);
        }
        counts
    }

    /// What has come since the counts were `earlier`.
    pub fn since(&self, earlier: Counts) -> Counts {
        Counts::of_each(|outcome| self.of(outcome).saturating_sub(earlier.of(outcome)))
    }

    /// Both together.
    pub fn plus(&self, other: Counts) -> Counts {
        Counts::of_each(|outcome| self.of(outcome).saturating_add(other.of(outcome)))
    }

    /// All outcomes.
    pub fn total(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// `driftgate/1 emitted=3 filtered=1 …`: what a commit carries.
    pub fn to_metadata(&self) -> String {
        let mut text = Self::LAYOUT.to_owned();
        for outcome in Outcome::ALL {
            text.push_str(&format!(" {}={}", outcome.as_str(), self.of(outcome)));
        }
        text
    }

    /// Reads what [`Self::to_metadata`] wrote; `None` for anything else, such as another tool's commit.
    pub fn from_metadata(text: &str) -> Option<Counts> {
        let mut counts = Counts::default();
        let mut words = text.split(' ');
        if words.next() != Some(Self::LAYOUT) {
            return None;
        }
        for word in words {
            let named = word.split_once('=').and_then(|(name, count)| {
                let mut all = Outcome::ALL.into_iter();
                Some((all.find(|outcome| outcome.as_str() == name)?, count))
            });
            // Other words belong to others, or to a later version, and say nothing about the counts.
            if let Some((outcome, count)) = named {
                counts.0[outcome as usize] = count.parse().ok()?;
            }
        }
        Some(counts)
    }
}

/// The word of a commit's metadata behind the counts: where the partition's ledger begins.
const LEDGER: &str = "ledger";

/// Where the ledger of a partition begins, by the metadata of its commit; `None` where none is kept.
pub fn ledger_begins(metadata: &str) -> Option<i64> {
    let mut words = metadata.split(' ');
    words.find_map(|word| word.strip_prefix(LEDGER)?.strip_prefix('=')?.parse().ok())
}

/// Names a begun record: the position in the order in which its partition's records were begun.
pub type Sequence = u64;

impl OffsetTracker {
    /// A partition whose next record is at `start`, or later if there is a gap. `counts` are the outcomes below it.
    pub fn new(start: i64, counts: Counts) -> Self {
        OffsetTracker {
            committable: start,
            expected: start,
            next: 0,
            pending: VecDeque::new(),
            counts,
            book: None,
        }
    }

    /// The same, with a book of what the ledger is to be told.
    #[must_use]
    pub fn with_book(mut self, book: Book) -> Self {
        self.book = Some(book);
        self
    }

    /// Whether its book names what ended without an output; `None` without a ledger.
    pub fn names_silent(&self) -> Option<bool> {
        self.book.as_ref().map(Book::names_silent)
    }

    /// What a commit of [`Self::committable`] carries: the counts, and where the ledger begins.
    pub fn metadata(&self) -> String {
        let mut text = self.counts.to_metadata();
        if let Some(begins) = self.book.as_ref().and_then(Book::begins) {
            text.push_str(&format!(" {LEDGER}={begins}"));
        }
        text
    }

    /// The pages that lead to [`Self::committable`], once each; `None` without a ledger.
    pub fn take_pages(&mut self) -> Option<Vec<Page>> {
        self.book.as_mut().map(Book::take)
    }

    /// Begins the record at `offset`. `None` if the offset lies below what was already begun: a record that was
    /// fetched twice, to be dropped.
    pub fn begin(&mut self, offset: i64) -> Option<Sequence> {
        if offset < self.expected {
            return None;
        }
        self.expected = offset + 1;
        let sequence = self.next;
        self.next += 1;
        self.pending.push_back(Pending {
            sequence,
            offset,
            waits: 1,
            outcome: None,
        });
        Some(sequence)
    }

    fn find(&self, sequence: Sequence) -> Option<usize> {
        // Without a rewind in between they follow each other, and nothing has to be searched.
        let first = self.pending.front()?.sequence;
        let guess = usize::try_from(sequence.checked_sub(first)?).ok()?;
        if self
            .pending
            .get(guess)
            .is_some_and(|pending| pending.sequence == sequence)
        {
            return Some(guess);
        }
        self.pending
            .binary_search_by_key(&sequence, |pending| pending.sequence)
            .ok()
    }

    /// A begun record has so many outputs: [`Self::complete`] is called for each, and the last one counts. At least one.
    pub fn expect(&mut self, sequence: Sequence, outputs: usize) {
        if let Some(index) = self.find(sequence) {
            self.pending[index].waits = outputs.max(1);
        }
    }

    /// An output of a begun record is acknowledged, or there is none; with the last one the record's outcome is final,
    /// which is the answer. Completing one too often, or one from before a rewind, does nothing.
    pub fn complete(&mut self, sequence: Sequence, outcome: Outcome) -> bool {
        let Some(index) = self.find(sequence) else {
            return false;
        };
        let pending = &mut self.pending[index];
        if pending.outcome.is_some() {
            return false;
        }
        pending.waits -= 1;
        if pending.waits > 0 {
            return false;
        }
        pending.outcome = Some(outcome);
        while let Some((offset, outcome)) = self
            .pending
            .front()
            .and_then(|front| front.outcome.map(|outcome| (front.offset, outcome)))
        {
            self.committable = offset + 1;
            self.counts.add(outcome);
            if let Some(book) = &mut self.book {
                book.add(offset, outcome, self.counts);
            }
            self.pending.pop_front();
        }
        true
    }

    /// The offset that may be committed: that of the first record that is not complete, or the one after the last.
    pub fn committable(&self) -> i64 {
        self.committable
    }

    /// Outcomes of everything below [`Self::committable`].
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The next offset that the consumer is expected to return. Differs from [`Self::committable`] by what is in
    /// flight.
    pub fn expected(&self) -> i64 {
        self.expected
    }

    /// Offset of the first record that is not complete: where a rewind goes to.
    pub fn first_incomplete(&self) -> i64 {
        self.pending
            .front()
            .map_or(self.expected, |front| front.offset)
    }

    /// Begun and not complete, in records, counting complete ones that wait behind an incomplete one.
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Whether a begun record is still in the books: not complete, and not rewound.
    pub fn holds(&self, sequence: Sequence) -> bool {
        self.find(sequence).is_some()
    }

    /// Begun and without an outcome.
    pub fn open(&self) -> usize {
        self.pending
            .iter()
            .filter(|pending| pending.outcome.is_none())
            .count()
    }

    /// Forgets everything from the first incomplete record on; that record is expected next. Sequences given out
    /// before are void. Returns the offset to seek to.
    pub fn rewind(&mut self) -> i64 {
        self.rewind_to(self.first_incomplete())
    }

    /// Goes back to what a transaction that was aborted had begun with: everything begun since is forgotten, and `offset`
    /// is expected next. Sequences given out before are void. `written`: the group has committed before, and the ledger
    /// has been told.
    pub fn restore(&mut self, offset: i64, counts: Counts, written: bool) {
        self.pending.clear();
        if let Some(book) = &mut self.book {
            book.restart(offset, counts, written);
        }
        self.committable = offset;
        self.expected = offset;
        self.counts = counts;
    }

    /// Whether no record is complete, or has outputs acknowledged, behind one that is not: then all that was produced is
    /// below [`Self::committable`].
    pub fn is_whole(&self) -> bool {
        self.pending.iter().all(|pending| pending.outcome.is_none())
    }

    /// Forgets the records from `offset` on, and expects that one next; those before it stay in flight.
    pub fn rewind_to(&mut self, offset: i64) -> i64 {
        while self
            .pending
            .back()
            .is_some_and(|back| back.offset >= offset)
        {
            self.pending.pop_back();
        }
        self.expected = offset;
        offset
    }
}

/// Commits offsets of a group. The only place that does: everything that is committed has passed an [`OffsetTracker`].
/// With `wait` the answer is waited for that long, and `OperationTimedOut` says that it did not come.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that commits offsets"
)]
pub(crate) fn commit(
    client: &Client<'_>,
    entries: &[Entry],
    wait: Option<Duration>,
) -> Result<(), rdkafka::types::RDKafkaErrorCode> {
    match (entries, wait) {
        ([], _) => Ok(()),
        (entries, None) => client.commit(entries),
        (entries, Some(timeout)) => client.commit_within(entries, timeout),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commits_only_behind_completed_records() {
        let mut tracker = OffsetTracker::new(10, Counts::default());
        let a = tracker.begin(10).expect("in order");
        let b = tracker.begin(12).expect("a gap is allowed");
        tracker.complete(b, Outcome::Emitted);
        assert_eq!(tracker.committable(), 10);
        tracker.complete(a, Outcome::Emitted);
        assert_eq!(tracker.committable(), 13);
        assert_eq!(tracker.in_flight(), 0);
    }

    #[test]
    fn drops_what_it_has_seen() {
        let mut tracker = OffsetTracker::new(5, Counts::default());
        assert!(tracker.begin(4).is_none());
        assert!(tracker.begin(5).is_some());
        assert!(tracker.begin(5).is_none());
    }

    #[test]
    fn a_late_acknowledgement_does_not_complete_the_successor() {
        let mut tracker = OffsetTracker::new(0, Counts::default());
        let stale = tracker.begin(0).expect("in order");
        assert_eq!(tracker.rewind(), 0);
        let fresh = tracker.begin(0).expect("expected again");
        tracker.complete(stale, Outcome::Emitted);
        assert_eq!(tracker.committable(), 0);
        tracker.complete(fresh, Outcome::Emitted);
        assert_eq!(tracker.committable(), 1);
    }

    #[test]
    fn a_stop_keeps_the_records_before_it() {
        let mut tracker = OffsetTracker::new(0, Counts::default());
        let sequences: Vec<_> = (0..4)
            .map(|offset| tracker.begin(offset).expect("in order"))
            .collect();
        tracker.rewind_to(2);
        let held: Vec<_> = sequences
            .iter()
            .map(|sequence| tracker.holds(*sequence))
            .collect();
        assert_eq!(held, [true, true, false, false]);
        assert_eq!((tracker.expected(), tracker.open()), (2, 2));
        tracker.complete(sequences[0], Outcome::Emitted);
        assert!(!tracker.holds(sequences[0]) && tracker.holds(sequences[1]));
    }

    #[test]
    fn counts_only_what_may_be_committed_and_survives_a_commit() {
        let mut tracker = OffsetTracker::new(0, Counts::default());
        let a = tracker.begin(0).expect("in order");
        let b = tracker.begin(1).expect("in order");
        tracker.complete(b, Outcome::DeadLettered);
        assert_eq!(tracker.counts(), Counts::default());
        tracker.complete(a, Outcome::Filtered);
        let counts =
            Counts::from_metadata(&tracker.counts().to_metadata()).expect("our own layout");
        assert_eq!(
            (
                counts.of(Outcome::Filtered),
                counts.of(Outcome::DeadLettered)
            ),
            (1, 1)
        );
        assert_eq!(ledger_begins(&tracker.metadata()), None);
        let book = Book::new(Some(7), counts, None, false);
        let text = OffsetTracker::new(7, counts).with_book(book).metadata();
        assert_eq!(Counts::from_metadata(&text), Some(counts));
        assert_eq!(ledger_begins(&text), Some(7));
        assert_eq!(Counts::from_metadata("somebody else's"), None);
        assert_eq!(Counts::from_metadata("driftgate/1 emitted=x"), None);
    }

    /// Whoever reads what a later version has written keeps the counts that it knows.
    #[test]
    fn words_that_are_not_known_leave_the_counts_as_they_are() {
        let mut tracker = OffsetTracker::new(0, Counts::default());
        let sequence = tracker.begin(0).expect("in order");
        tracker.complete(sequence, Outcome::Emitted);
        let counts = tracker.counts();
        let check = |text: &str| {
            assert_eq!(Counts::from_metadata(text), Some(counts), "{text}");
        };
        let text = counts.to_metadata();
        check(&text);
        for more in ["paused=breaker@5", "new=x", "word", "", "=", "replayed=7"] {
            check(&format!("{text} {more}"));
            check(&text.replacen(' ', &format!(" {more} "), 1));
        }
    }

    #[test]
    fn a_record_is_complete_with_the_last_of_its_outputs() {
        let mut tracker = OffsetTracker::new(0, Counts::default());
        let a = tracker.begin(0).expect("in order");
        let b = tracker.begin(1).expect("in order");
        tracker.expect(a, 3);
        assert!(!tracker.complete(a, Outcome::Emitted));
        assert!(tracker.complete(b, Outcome::Emitted));
        assert!(!tracker.complete(a, Outcome::Emitted));
        assert_eq!((tracker.committable(), tracker.open()), (0, 1));
        assert!(tracker.complete(a, Outcome::Emitted));
        assert!(!tracker.complete(a, Outcome::Emitted), "one too many");
        assert_eq!(tracker.committable(), 2);
        assert_eq!(
            tracker.counts().of(Outcome::Emitted),
            2,
            "records, not outputs"
        );
    }

    /// Two of three were acknowledged, the third refused: the record is read again, and ends as a dead letter. What comes
    /// late of the first reading is nothing to the second.
    #[test]
    fn late_outputs_from_before_a_rewind_do_not_complete_the_successor() {
        let mut tracker = OffsetTracker::new(7, Counts::default());
        let first = tracker.begin(7).expect("in order");
        tracker.expect(first, 3);
        assert!(!tracker.complete(first, Outcome::Emitted));
        assert_eq!(tracker.rewind(), 7);
        let second = tracker.begin(7).expect("read again");
        tracker.expect(second, 2);
        for _ in 0..3 {
            assert!(!tracker.complete(first, Outcome::Emitted));
        }
        assert_eq!((tracker.committable(), tracker.open()), (7, 1));
        // Refused before anything was queued: one dead letter stands for all outputs.
        tracker.expect(second, 1);
        assert!(tracker.complete(second, Outcome::DeadLettered));
        let counts = tracker.counts();
        assert_eq!(
            (
                counts.of(Outcome::Emitted),
                counts.of(Outcome::DeadLettered)
            ),
            (0, 1)
        );
    }

    #[test]
    fn a_restored_tracker_stands_where_its_transaction_began() {
        let mut tracker = OffsetTracker::new(5, Counts::default());
        let kept = tracker.begin(5).expect("in order");
        tracker.complete(kept, Outcome::Filtered);
        let (offset, counts) = (tracker.committable(), tracker.counts());
        let undone = tracker.begin(6).expect("in order");
        let open = tracker.begin(9).expect("in order");
        assert!(tracker.is_whole());
        tracker.complete(open, Outcome::Emitted);
        assert!(!tracker.is_whole(), "9 is behind 6, which is open");
        tracker.complete(undone, Outcome::Emitted);
        assert!(tracker.is_whole());
        assert_eq!((tracker.committable(), tracker.counts().total()), (10, 3));
        let late = tracker.begin(10).expect("in order");
        tracker.restore(offset, counts, true);
        assert_eq!((tracker.committable(), tracker.expected()), (6, 6));
        assert_eq!((tracker.counts().total(), tracker.open()), (1, 0));
        let again = tracker.begin(6).expect("read again");
        assert!(!tracker.complete(late, Outcome::Emitted), "void");
        assert!(tracker.complete(again, Outcome::DeadLettered));
        assert_eq!(tracker.counts().total(), 2);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Begin { gap: i64, outputs: usize },
        Complete { which: usize },
        Rewind,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0i64..3, 1usize..4).prop_map(|(gap, outputs)| Step::Begin { gap, outputs }),
            4 => (0usize..64).prop_map(|which| Step::Complete { which }),
            1 => Just(Step::Rewind),
        ];
        proptest::collection::vec(step, 0..200)
    }

    proptest! {
        /// Against a model that keeps every record's state in a map.
        #[test]
        fn never_passes_an_incomplete_record(start in 0i64..1000, steps in steps()) {
            let mut tracker = OffsetTracker::new(start, Counts::default());
            // Sequence, offset, acknowledgements to come.
            let mut open: Vec<(Sequence, i64, usize)> = Vec::new();
            let mut void: Vec<Sequence> = Vec::new();
            let mut committed = start;
            for step in steps {
                match step {
                    Step::Begin { gap, outputs } => {
                        let offset = tracker.expected() + gap;
                        let sequence = tracker.begin(offset).expect("not below the expected offset");
                        tracker.expect(sequence, outputs);
                        open.push((sequence, offset, outputs));
                    }
                    Step::Complete { which } if !open.is_empty() => {
                        let which = which % open.len();
                        open[which].2 -= 1;
                        let (sequence, _, left) = open[which];
                        prop_assert_eq!(tracker.complete(sequence, Outcome::Emitted), left == 0);
                        if left == 0 {
                            open.swap_remove(which);
                        }
                    }
                    Step::Complete { .. } => {
                        for sequence in &void {
                            prop_assert!(!tracker.complete(*sequence, Outcome::Emitted), "void");
                        }
                    }
                    Step::Rewind => {
                        let to = tracker.rewind();
                        prop_assert!(open.iter().all(|(_, offset, _)| *offset >= to));
                        void.extend(open.drain(..).map(|(sequence, ..)| sequence));
                    }
                }
                prop_assert!(tracker.committable() >= committed, "goes back");
                committed = tracker.committable();
                prop_assert!(open.iter().all(|(_, offset, _)| *offset >= committed), "passes an incomplete record");
            }
            while let Some((sequence, _, left)) = open.pop() {
                for _ in 0..left {
                    tracker.complete(sequence, Outcome::Emitted);
                }
            }
            prop_assert_eq!(tracker.in_flight(), 0);
            prop_assert!(tracker.committable() <= tracker.expected());
        }
    }
}
