//! What is found of the records of one source partition, by offset. Pure; filled by `collect`, looked at by `judge`.
//!
//! Memory: sets of offsets are compressed bitmaps, at most a bit or so for each offset and set where most offsets are in it
//! and two bytes for each offset where few are; prints are four bytes for each offset. What is rare has an entry of its own.

use std::collections::{BTreeMap, HashMap};

use roaring::RoaringTreemap;

/// A set of offsets.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Offsets(RoaringTreemap);

fn number(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or(0)
}

impl Offsets {
    pub(super) fn insert(&mut self, offset: i64) -> bool {
        self.0.insert(number(offset))
    }

    pub(super) fn contains(&self, offset: i64) -> bool {
        self.0.contains(number(offset))
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn first(&self, count: usize) -> Vec<i64> {
        let all = self.0.iter().take(count);
        all.map(|offset| i64::try_from(offset).unwrap_or(i64::MAX))
            .collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = i64> + '_ {
        let all = self.0.iter();
        all.map(|offset| i64::try_from(offset).unwrap_or(i64::MAX))
    }

    /// How many lie in `from..to`.
    pub(super) fn within(&self, from: i64, to: i64) -> u64 {
        let below = |offset: i64| match offset {
            ..=0 => 0,
            offset => self.0.rank(number(offset - 1)),
        };
        below(to).saturating_sub(below(from))
    }

    /// Adds what another set has in `from..to`.
    pub(super) fn extend_within(&mut self, other: &Offsets, from: i64, to: i64) {
        if from >= to {
            return;
        }
        let mut range = RoaringTreemap::new();
        range.insert_range(number(from)..number(to));
        self.0 |= &other.0 & range;
    }

    pub(super) fn or(&self, other: &Offsets) -> Offsets {
        Offsets(&self.0 | &other.0)
    }

    pub(super) fn and(&self, other: &Offsets) -> Offsets {
        Offsets(&self.0 & &other.0)
    }

    pub(super) fn less(&self, other: &Offsets) -> Offsets {
        Offsets(&self.0 - &other.0)
    }
}

impl FromIterator<i64> for Offsets {
    fn from_iter<I: IntoIterator<Item = i64>>(offsets: I) -> Offsets {
        let mut set = Offsets::default();
        for offset in offsets {
            set.insert(offset);
        }
        set
    }
}

/// How often each offset was seen: once, or more often.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) once: Offsets,
    pub(super) again: Offsets,
    /// All sightings but the first of each.
    pub(super) extra: u64,
}

impl Tally {
    pub(super) fn add(&mut self, offset: i64) {
        if !self.once.insert(offset) {
            self.again.insert(offset);
            self.extra += 1;
        }
    }

    fn of(&self, offset: i64) -> u64 {
        u64::from(self.once.contains(offset)) + u64::from(self.again.contains(offset))
    }
}

/// Four bytes for each offset: what an output of it must match.
#[derive(Debug, Default)]
pub(super) struct Prints {
    chunks: HashMap<i64, Box<[u32]>>,
    /// Of the outputs behind the first, where a record has several.
    others: HashMap<(i64, u32), u32>,
}

const CHUNK: i64 = 1 << 16;

impl Prints {
    /// Notes a print; 0 stands for none.
    pub(super) fn set(&mut self, offset: i64, index: u32, print: u32) {
        if index > 0 {
            self.others.insert((offset, index), print);
            return;
        }
        let chunk = self.chunks.entry(offset.div_euclid(CHUNK));
        let chunk = chunk.or_insert_with(|| vec![0; 1 << 16].into_boxed_slice());
        chunk[Self::place(offset)] = print;
    }

    pub(super) fn get(&self, offset: i64, index: u32) -> Option<u32> {
        let print = match index {
            0 => *self
                .chunks
                .get(&offset.div_euclid(CHUNK))?
                .get(Self::place(offset))?,
            index => *self.others.get(&(offset, index))?,
        };
        (print != 0).then_some(print)
    }

    fn place(offset: i64) -> usize {
        usize::try_from(offset.rem_euclid(CHUNK)).unwrap_or(0)
    }

    /// The offset that has this print, if exactly one has.
    pub(super) fn whose(&self, print: u32) -> Option<i64> {
        let mut found = self.chunks.iter().flat_map(|(chunk, prints)| {
            let here = prints.iter().zip(0..).filter(|(other, _)| **other == print);
            here.map(move |(_, place)| chunk * CHUNK + place)
        });
        let first = found.next();
        first.filter(|_| found.next().is_none())
    }
}

/// What is found of one record that was sent back from the dead-letter topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Redriven {
    /// How often it was sent back, by the count that it carries.
    pub(super) times: u32,
    /// How often it is found to have been: more often than it counts where one dead letter was sent back twice.
    pub(super) sent: u32,
    /// Its dead letters from after that.
    pub(super) dead: u64,
    /// How often it was filtered in a retry topic since.
    pub(super) silent: u64,
    /// Its outputs, of several the first ones.
    pub(super) emitted: u64,
}

/// An output that says it comes from a record and does not look like it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stranger {
    /// `topic-partition@offset` of the output.
    pub(super) at: String,
    /// The offset that it names.
    pub(super) names: i64,
    /// The print that it has.
    pub(super) print: u32,
}

/// The most strangers that are kept one by one.
const STRANGERS: usize = 10_000;

/// What is found of one source partition.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The records that a committed reader is shown.
    pub(super) universe: Offsets,
    /// Outputs of records that have one.
    pub(super) plain: Tally,
    /// Outputs of records that have several: by how many, and by index.
    pub(super) parts: BTreeMap<(u32, u32), Tally>,
    /// Dead letters from before a redrive.
    pub(super) dead: Tally,
    /// Found in a retry topic.
    pub(super) retried: Tally,
    /// Said to have ended without an output, by the ledger.
    pub(super) silent: Tally,
    /// Of those, said to stand behind another record: the pipeline would make outputs of them by themselves.
    pub(super) outrun: Offsets,
    /// In a retry topic, behind what is committed there.
    pub(super) pending: Offsets,
    /// Ended in a retry topic where the ledger does not name what was filtered.
    pub(super) blind: Offsets,
    /// Sent back from the dead-letter topic.
    pub(super) redriven: BTreeMap<i64, Redriven>,
    /// What outputs are held against.
    pub(super) prints: Prints,
    pub(super) strangers: Vec<Stranger>,
    pub(super) more_strangers: u64,
    /// By `--verify`: what the pipeline makes nothing of.
    pub(super) to_filter: Offsets,
    /// By `--verify`: what it makes outputs of.
    pub(super) to_emit: Offsets,
}

/// Which outputs of which offsets.
#[derive(Debug, Default)]
pub(super) struct Emissions {
    /// Offsets with all their outputs.
    pub(super) whole: Offsets,
    /// Offsets with some of several.
    pub(super) partial: Offsets,
    /// Offsets with an output that is there more than once.
    pub(super) again: Offsets,
    /// Outputs beyond the first of each.
    pub(super) extra: u64,
}

impl Found {
    /// An output, which is `index` of `count`, names this offset.
    pub(super) fn output(&mut self, offset: i64, part: Option<(u32, u32)>) {
        if let Some(redriven) = self.redriven.get_mut(&offset) {
            redriven.emitted += u64::from(part.is_none_or(|(index, _)| index == 0));
        }
        match part {
            None => self.plain.add(offset),
            Some((index, count)) => self.parts.entry((count, index)).or_default().add(offset),
        }
    }

    /// An output has this print, and its record has another.
    pub(super) fn stranger(&mut self, stranger: Stranger) {
        match self.strangers.len() < STRANGERS {
            true => self.strangers.push(stranger),
            false => self.more_strangers += 1,
        }
    }

    /// The outputs put together.
    pub(super) fn emissions(&self) -> Emissions {
        let mut all = Emissions {
            whole: self.plain.once.clone(),
            again: self.plain.again.clone(),
            extra: self.plain.extra,
            ..Emissions::default()
        };
        let mut any = Offsets::default();
        let counts: std::collections::BTreeSet<u32> =
            self.parts.keys().map(|(count, _)| *count).collect();
        let none = Tally::default();
        for count in counts {
            let part = |index| self.parts.get(&(count, index)).unwrap_or(&none);
            let whole = (1..count).fold(part(0).once.clone(), |whole, index| {
                whole.and(&part(index).once)
            });
            for index in 0..count {
                any = any.or(&part(index).once);
                all.again = all.again.or(&part(index).again);
                all.extra += part(index).extra;
            }
            all.again = all.again.or(&all.whole.and(&whole));
            all.whole = all.whole.or(&whole);
        }
        all.partial = any.less(&all.whole);
        all
    }

    /// How often a record that was sent back ended, as far as it is found.
    pub(super) fn endings(&self, offset: i64, emissions: &Emissions) -> u64 {
        let redriven = self.redriven.get(&offset).copied().unwrap_or_default();
        let emitted = match emissions.whole.contains(offset) {
            true => redriven.emitted.max(1),
            false => 0,
        };
        let since = emitted + redriven.dead + redriven.silent;
        self.dead.of(offset) + self.silent.of(offset) + since
    }
}

/// A print of some texts; never 0.
pub(super) fn print(parts: &[Option<&[u8]>]) -> u32 {
    use std::hash::Hasher as _;
    // Of fixed keys: the two sides are compared within one run, and over nothing that an attacker could gain by.
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    for part in parts {
        match part {
            None => hasher.write_u8(0),
            Some(bytes) => {
                hasher.write_u8(1);
                hasher.write_usize(bytes.len());
                hasher.write(bytes);
            }
        }
    }
    let hash = hasher.finish();
    ((hash >> 32) as u32 ^ hash as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_counted_within_bounds() {
        let set: Offsets = [0, 5, 6, 1 << 40].into_iter().collect();
        assert_eq!(set.within(0, 6), 2);
        assert_eq!(set.within(1, 6), 1);
        assert_eq!(set.within(6, (1 << 40) + 1), 2);
        assert_eq!(set.within(7, 7), 0);
        assert_eq!(set.first(2), [0, 5]);
    }

    #[test]
    fn a_set_of_outputs_is_whole_when_none_is_missing() {
        let mut found = Found::default();
        for (offset, parts) in [(1, &[0, 1, 2][..]), (2, &[0, 2]), (3, &[0, 1, 2, 1])] {
            for index in parts {
                found.output(offset, Some((*index, 3)));
            }
        }
        found.output(4, None);
        found.output(5, None);
        found.output(5, None);
        let emissions = found.emissions();
        assert_eq!(emissions.whole.first(9), [1, 3, 4, 5]);
        assert_eq!(emissions.partial.first(9), [2]);
        assert_eq!(emissions.again.first(9), [3, 5]);
        assert_eq!(emissions.extra, 2);
    }

    #[test]
    fn prints_tell_records_apart() {
        let mut prints = Prints::default();
        let (a, b) = (print(&[Some(b"a"), None]), print(&[None, Some(b"a")]));
        assert_ne!(a, b);
        assert_ne!(
            print(&[Some(b"ab"), Some(b"c")]),
            print(&[Some(b"a"), Some(b"bc")])
        );
        assert_ne!(print(&[None]), print(&[Some(b"")]));
        prints.set(70_000, 0, a);
        prints.set(70_000, 1, b);
        assert_eq!(prints.get(70_000, 0), Some(a));
        assert_eq!(prints.get(70_000, 1), Some(b));
        assert_eq!((prints.get(1, 0), prints.get(70_000, 2)), (None, None));
        assert_eq!(prints.whose(a), Some(70_000));
        prints.set(3, 0, a);
        assert_eq!(prints.whose(a), None, "two have it");
    }
}
