//! `stale.reorder`: events wait for a moment, so that an older version of a key which comes a little late goes in front of the newer
//! one. Input: records of a source partition with their verdicts, in the order of their offsets. Output: the same, in an order in
//! which the versions of each key rise.
//!
//! What goes on is always all that waits up to some offset: when the first one's time is over, it goes with those in front of the
//! last older version of any key that goes. So no output is ever in front of a record that a commit would leave out, and everything
//! that has no version keeps its place. What waits has been begun and is not complete: a rewind, a revoke or a crash has it read
//! again, as what is in flight.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use super::Clock;
use super::engine::{Engine, Step, Taken};
use super::ports::Positions;
use crate::config::model::Reorder;
use crate::ingest::assignment::Role;
use crate::pipeline::Verdict;
use crate::record::Record;
use crate::state::digest::Digest;
use crate::state::noted::Version;

/// A record that waits.
#[derive(Debug)]
struct Waiting {
    taken: Taken,
    /// The partition's, when it was begun.
    epoch: u64,
    record: Kept,
    verdict: Verdict,
    /// When it may go. What has no version may go at once, and waits for those in front of it.
    due: Instant,
}

impl Waiting {
    fn version(&self) -> Option<(Digest, Version)> {
        let edition = self.taken.edition?;
        Some((edition.digest, edition.version))
    }
}

/// A record, outside of the batch that it came in.
#[derive(Debug)]
struct Kept {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Kept {
    fn of(record: &Record<'_>) -> Kept {
        let headers = record.headers.iter();
        let headers = headers.map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)));
        Kept {
            topic: record.topic.to_owned(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.collect(),
        }
    }

    fn show(&self) -> Record<'_> {
        let headers = self.headers.iter();
        Record {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: headers
                .map(|(name, value)| (name.as_str(), value.as_deref()))
                .collect(),
        }
    }

    /// Bytes that it takes, about, with an output that is as large.
    fn size(&self) -> usize {
        let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + of(value));
        512 + of(&self.key) + 2 * of(&self.value) + headers.sum::<usize>()
    }
}

/// What is known of a key with something that waits.
#[derive(Debug)]
struct OfKey {
    count: usize,
    newest: Version,
    /// The offset of the last one that was older when it came; -1 without one.
    late: i64,
}

/// What waits of one partition, in the order of offsets.
#[derive(Debug, Default)]
struct Row {
    waiting: VecDeque<Waiting>,
    keys: HashMap<Digest, OfKey>,
}

impl Row {
    fn push(&mut self, waiting: Waiting) {
        if let Some((digest, version)) = waiting.version() {
            let of_key = self.keys.entry(digest).or_insert(OfKey {
                count: 0,
                newest: version,
                late: -1,
            });
            of_key.count += 1;
            if version < of_key.newest {
                of_key.late = waiting.taken.offset;
            }
            of_key.newest = of_key.newest.max(version);
        }
        self.waiting.push_back(waiting);
    }

    fn forget(&mut self, waiting: &Waiting) {
        let Some((digest, _)) = waiting.version() else {
            return;
        };
        if let Entry::Occupied(mut of_key) = self.keys.entry(digest) {
            of_key.get_mut().count -= 1;
            if of_key.get().count == 0 {
                of_key.remove();
            }
        }
    }

    /// Takes out what goes with the first one: all up to the last older version of a key that goes.
    fn take(&mut self) -> Vec<Waiting> {
        let mut taken = Vec::new();
        let mut end = i64::MIN;
        while let Some(waiting) = self
            .waiting
            .pop_front_if(|next| end == i64::MIN || next.taken.offset <= end)
        {
            let of_key = waiting
                .version()
                .and_then(|(digest, _)| self.keys.get(&digest));
            let late = of_key.map_or(-1, |of_key| of_key.late);
            end = end.max(late).max(waiting.taken.offset);
            self.forget(&waiting);
            taken.push(waiting);
        }
        taken
    }
}

/// What waits, by slot.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: HashMap<usize, Row>,
    /// Bytes of all of it, about.
    size: usize,
}

impl Rows {
    /// When the first of all may go.
    pub(super) fn due(&self) -> Option<Instant> {
        let firsts = self.rows.values().filter_map(|row| row.waiting.front());
        firsts.map(|waiting| waiting.due).min()
    }

    fn has(&self, slot: usize) -> bool {
        self.rows.contains_key(&slot)
    }

    fn push(&mut self, waiting: Waiting) {
        let row = self.rows.entry(waiting.taken.slot).or_default();
        // What was read from here on before is read again, and another partition may have had the slot.
        let is_old = |last: &mut Waiting| {
            last.taken.offset >= waiting.taken.offset || last.epoch != waiting.epoch
        };
        while let Some(old) = row.waiting.pop_back_if(is_old) {
            self.size -= old.record.size();
            row.forget(&old);
        }
        self.size += waiting.record.size();
        row.push(waiting);
    }

    /// A slot of which something is to go: its time is over, or there is too much.
    fn ready(&self, now: Instant, bounds: Reorder, room: usize) -> Option<usize> {
        let is_ready = |row: &Row| {
            let is_due = row.waiting.front().is_some_and(|first| first.due <= now);
            is_due || row.waiting.len() > bounds.max_records || self.size > room
        };
        let mut rows = self.rows.iter().filter(|(_, row)| is_ready(row));
        rows.next().map(|(slot, _)| *slot)
    }

    /// Takes out what goes with the first one of a slot, in the order in which it goes, and how many go in front of a newer one.
    fn take(&mut self, slot: usize) -> (Vec<Waiting>, u64) {
        let Some(row) = self.rows.get_mut(&slot) else {
            return (Vec::new(), 0);
        };
        let taken = row.take();
        if row.waiting.is_empty() {
            self.rows.remove(&slot);
        }
        self.size -= taken
            .iter()
            .map(|waiting| waiting.record.size())
            .sum::<usize>();
        sorted(taken)
    }
}

/// The versions of each key in rising order, in the places that they have together.
fn sorted(taken: Vec<Waiting>) -> (Vec<Waiting>, u64) {
    if taken.len() < 2 {
        return (taken, 0);
    }
    let mut places: HashMap<Digest, Vec<usize>> = HashMap::new();
    for (place, waiting) in taken.iter().enumerate() {
        if let Some((digest, _)) = waiting.version() {
            places.entry(digest).or_default().push(place);
        }
    }
    let mut order: Vec<usize> = (0..taken.len()).collect();
    let mut moved = 0;
    for places in places.values() {
        let version = |place: &usize| taken[*place].version().map(|(_, version)| version);
        let mut newest = None;
        for place in places {
            moved += u64::from(version(place) < newest);
            newest = newest.max(version(place));
        }
        let mut rising = places.clone();
        rising.sort_by_key(version);
        for (place, from) in places.iter().zip(rising) {
            order[*place] = from;
        }
    }
    let mut taken: Vec<Option<Waiting>> = taken.into_iter().map(Some).collect();
    let sorted = order.into_iter().filter_map(|place| taken[place].take());
    (sorted.collect(), moved)
}

impl Engine {
    /// Whether the record waits for older ones of its key, or behind one that does.
    pub(super) fn waits_for_older(&self, taken: &Taken) -> bool {
        let Some(_) = self.reorder().filter(|_| !taken.has_waited) else {
            return false;
        };
        let partition = self.assignment.get(taken.slot);
        let is_source = partition.is_some_and(|partition| partition.role == Role::Source);
        let has_turn = matches!(taken.step, Step::Judge) && taken.edition.is_some();
        is_source && (has_turn || self.rows.has(taken.slot))
    }

    fn reorder(&self) -> Option<Reorder> {
        self.judge.config().stale.as_ref()?.reorder
    }

    pub(super) fn wait_for_older(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        verdict: Verdict,
        clock: Clock,
    ) {
        let Some(partition) = self.assignment.get(taken.slot) else {
            return;
        };
        let wait = match (self.reorder(), taken.edition) {
            (Some(bounds), Some(_)) => bounds.wait,
            _ => std::time::Duration::ZERO,
        };
        self.rows.push(Waiting {
            epoch: partition.epoch,
            taken: Taken {
                has_waited: true,
                ..taken.clone()
            },
            record: Kept::of(record),
            verdict,
            due: clock.now + wait,
        });
    }

    /// Lets those go whose time is over, and the first of what is too much.
    pub(super) fn let_older_go(&mut self, client: &dyn Positions, clock: Clock) {
        let Some(bounds) = self.reorder() else { return };
        // As much again as the producer may keep.
        let room = self.settings.room;
        while let Some(slot) = self.rows.ready(clock.now, bounds, room) {
            let (ready, moved) = self.rows.take(slot);
            if let Some(partition) = self.assignment.get(slot) {
                partition.metrics.reordered(moved);
            }
            let ends = ends(&ready);
            // Those that one goes with which it has overtaken.
            let mut gone = Vec::new();
            for (waiting, is_last) in ready.into_iter().zip(ends) {
                let offset = waiting.taken.offset;
                if self.goes_at_last(waiting, gone.is_empty(), clock) {
                    gone.push(offset);
                }
                // Not in between: a commit would leave out what was overtaken.
                if is_last {
                    self.check_whole(slot, &gone);
                    self.keep_pace(client);
                    gone.clear();
                }
            }
        }
    }

    /// Whether it was still to go.
    fn goes_at_last(&mut self, waiting: Waiting, is_first: bool, clock: Clock) -> bool {
        let Waiting {
            taken,
            epoch,
            record,
            verdict,
            ..
        } = waiting;
        let partition = self.assignment.get(taken.slot);
        let is_there = partition.is_some_and(|partition| {
            partition.epoch == epoch && partition.tracker.holds(taken.sequence)
        });
        if !is_there {
            return false;
        }
        match is_first {
            true => self.finish_in_time(&taken, &record.show(), verdict, clock),
            false => self.finish(&taken, &record.show(), verdict, clock),
        }
        true
    }

    /// Under exactly_once: if the partition has been stopped at one that others had overtaken, they are taken back with it.
    fn check_whole(&mut self, slot: usize, gone: &[i64]) {
        let (Some((_, before)), Some(partition)) = (gone.split_last(), self.assignment.get(slot))
        else {
            return;
        };
        let expected = partition.tracker.expected();
        let is_left = before.iter().any(|offset| *offset >= expected);
        if is_left && self.transaction.is_some() {
            self.doom(slot, None);
        }
    }
}

/// Of each that goes, whether all in front of it in the source have gone with it.
fn ends(ready: &[Waiting]) -> Vec<bool> {
    let mut least = i64::MAX;
    let mut ends: Vec<bool> = Vec::with_capacity(ready.len());
    let offsets = ready.iter().map(|waiting| waiting.taken.offset);
    let mut most = Vec::with_capacity(ready.len());
    let mut last = i64::MIN;
    for offset in offsets.clone() {
        last = last.max(offset);
        most.push(last);
    }
    for (offset, most) in offsets.rev().zip(most.into_iter().rev()) {
        ends.push(most < least);
        least = least.min(offset);
    }
    ends.reverse();
    ends
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::failure::envelope::Origin;
    use crate::pipeline::Edition;

    /// Places and versions of what goes, by (key, version) of what waits; 0 is no key.
    fn order(of: &[(u8, i64)]) -> Vec<Vec<(usize, i64)>> {
        let mut row = Row::default();
        for (offset, (key, version)) in (0..).zip(of) {
            row.push(waiting(offset, *key, *version));
        }
        let mut all = Vec::new();
        while !row.waiting.is_empty() {
            let (taken, _) = sorted(row.take());
            let found = taken.iter().map(|one| {
                let place = usize::try_from(one.taken.offset).expect("not negative");
                (place, of[place].1)
            });
            all.push(found.collect());
        }
        assert!(row.keys.is_empty());
        all
    }

    fn waiting(offset: i64, key: u8, version: i64) -> Waiting {
        let record = Record {
            topic: "t",
            offset,
            ..Record::default()
        };
        let edition = (key > 0).then(|| Edition {
            digest: Digest::of(&[Some(&[key])]),
            version: Version(version),
            time: None,
        });
        Waiting {
            taken: Taken {
                slot: 0,
                sequence: 0,
                offset,
                origin: Origin::of_source(&record),
                step: Step::Judge,
                edition,
                has_waited: true,
                key: None,
                free_at: 0,
                extras: 0,
                is_new: true,
            },
            epoch: 1,
            record: Kept::of(&record),
            verdict: Verdict::Filtered,
            due: Instant::now(),
        }
    }

    #[test]
    fn an_older_version_goes_in_front_with_all_that_is_between() {
        let of = [(1, 5), (2, 1), (0, 0), (1, 4), (2, 2)];
        let expected = [vec![(3, 4), (1, 1), (2, 0), (0, 5)], vec![(4, 2)]];
        assert_eq!(order(&of), expected);
        assert_eq!(
            order(&[(1, 1), (1, 2), (1, 2)]).len(),
            3,
            "nothing to wait for"
        );
        let found = order(&[(1, 3), (1, 5), (2, 1), (1, 4), (1, 1)]);
        assert_eq!(found, [[(4, 1), (0, 3), (2, 1), (3, 4), (1, 5)]]);
        // One takes the other along.
        let chained = [(1, 5), (2, 5), (1, 4), (3, 1), (2, 4), (3, 2)];
        let lengths: Vec<usize> = order(&chained).iter().map(Vec::len).collect();
        assert_eq!(lengths, [5, 1]);
    }

    #[test]
    fn those_that_go_in_front_of_a_newer_one_are_counted() {
        let of = [(1, 3), (1, 5), (2, 1), (1, 4), (1, 1)];
        let waiting = (0..)
            .zip(of)
            .map(|(offset, (key, version))| waiting(offset, key, version));
        let (_, moved) = sorted(waiting.collect());
        assert_eq!(moved, 2);
    }

    #[test]
    fn what_is_read_again_takes_the_place_of_what_waited() {
        let mut rows = Rows::default();
        for offset in [0, 1, 2, 1] {
            rows.push(waiting(offset, 1, offset));
        }
        let offsets: Vec<i64> = rows.rows[&0]
            .waiting
            .iter()
            .map(|one| one.taken.offset)
            .collect();
        assert_eq!(offsets, [0, 1]);
        rows.push(Waiting {
            epoch: 2,
            ..waiting(7, 1, 7)
        });
        let bounds = Reorder {
            wait: Duration::ZERO,
            max_records: 0,
        };
        assert_eq!(rows.ready(Instant::now(), bounds, usize::MAX), Some(0));
        assert_eq!(rows.take(0).0.len(), 1);
        assert_eq!((rows.size, rows.has(0)), (0, false));
    }

    proptest! {
        /// Each goes once; what goes together is all up to some offset; within it the versions of a key rise, and what has no key
        /// keeps its place.
        #[test]
        fn what_goes_is_a_prefix_in_order(of in proptest::collection::vec((0u8..4, 0i64..6), 1..40)) {
            let mut next = 0;
            for group in order(&of) {
                let mut places: Vec<usize> = group.iter().map(|(place, _)| *place).collect();
                for (at, (place, _)) in group.iter().enumerate() {
                    prop_assert!(of[*place].0 > 0 || *place == next + at);
                }
                places.sort_unstable();
                prop_assert_eq!(places, (next..next + group.len()).collect::<Vec<_>>());
                next += group.len();
                for key in 1..4 {
                    let of_key = group.iter().filter(|(place, _)| of[*place].0 == key);
                    prop_assert!(of_key.map(|(_, version)| *version).is_sorted());
                }
            }
            prop_assert_eq!(next, of.len());
        }
    }
}
