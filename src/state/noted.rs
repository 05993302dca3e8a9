//! The keys of one partition's records that are on their way, or not committed yet: in the order of their offsets, so that a
//! rewind takes back those of the records that are read again.

use std::collections::VecDeque;
use std::fmt::Debug;

use super::digest::{ByDigest, Digest};

/// What is remembered of a key besides the place of its record.
pub trait Value: Copy + Eq + Debug {
    /// The first byte of the keys of its blocks.
    const KIND: u8;
    /// Bytes of one in a block.
    const LEN: usize;
    /// What is remembered, in words.
    const WHAT: &'static str;
    /// Whether one that is there already may be the one that counts.
    const MAY_BE_OLD: bool;

    /// Appends it to a block.
    fn put(self, block: &mut Vec<u8>);

    /// Reads the [`Self::LEN`] bytes that [`Self::put`] wrote.
    fn get(bytes: &[u8]) -> Option<Self>;

    /// Whether it counts for its key although `other` does already.
    fn is_newer(self, other: Self) -> bool;
}

/// Of a key for `dedup`: that there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once;

impl Value for Once {
    const KIND: u8 = b'd';
    const LEN: usize = 0;
    const WHAT: &'static str = "seen keys";
    const MAY_BE_OLD: bool = false;

    fn put(self, _: &mut Vec<u8>) {}

    fn get(_: &[u8]) -> Option<Once> {
        Some(Once)
    }

    fn is_newer(self, _: Once) -> bool {
        false
    }
}

/// Of a key for `stale`: the newest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub i64);

impl Value for Version {
    const KIND: u8 = b's';
    const LEN: usize = 8;
    const WHAT: &'static str = "newest versions";
    const MAY_BE_OLD: bool = true;

    fn put(self, block: &mut Vec<u8>) {
        block.extend(self.0.to_le_bytes());
    }

    fn get(bytes: &[u8]) -> Option<Version> {
        bytes.try_into().map(i64::from_le_bytes).map(Version).ok()
    }

    fn is_newer(self, other: Version) -> bool {
        self > other
    }
}

/// A key with its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note<V = Once> {
    /// The key.
    pub digest: Digest,
    /// The record's offset in its source partition.
    pub position: i64,
    /// What is remembered.
    pub value: V,
}

/// A key's record among those of the partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<V> {
    /// Its offset in the partition that it was read from.
    pub offset: i64,
    /// Its offset in its source partition.
    pub position: i64,
    /// What is remembered of it.
    pub value: V,
}

/// See the module. Offsets are those of the partition that the records were read from, which may be a retry partition.
#[derive(Debug, Clone)]
pub struct Noted<V> {
    /// With each the one that counted for its key before, if it took that one's place.
    notes: VecDeque<(i64, Note<V>, Option<Found<V>>)>,
    /// What counts for a key.
    latest: ByDigest<Found<V>>,
}

impl<V> Default for Noted<V> {
    fn default() -> Noted<V> {
        Noted {
            notes: VecDeque::new(),
            latest: ByDigest::default(),
        }
    }
}

impl<V: Value> Noted<V> {
    /// The record at `offset` is handed on. Offsets rise, but for a few that are overtaken by older versions.
    pub fn note(&mut self, offset: i64, note: Note<V>) {
        let Note {
            digest,
            position,
            value,
        } = note;
        let found = Found {
            offset,
            position,
            value,
        };
        let before = self.latest.get(&digest).copied();
        if before.is_none_or(|before| value.is_newer(before.value)) {
            self.latest.insert(digest, found);
        }
        let behind = self.notes.iter().rev().take_while(|(at, ..)| *at > offset);
        let place = self.notes.len() - behind.count();
        self.notes.insert(place, (offset, note, before));
    }

    /// The record that counts for that key.
    pub fn find(&self, digest: Digest) -> Option<Found<V>> {
        self.latest.get(&digest).copied()
    }

    /// The record at `offset`, if it was noted last, does not go on after all.
    pub fn forget(&mut self, offset: i64) {
        let place = self.notes.partition_point(|(at, ..)| *at < offset);
        if self.notes.get(place).is_some_and(|(at, ..)| *at == offset)
            && let Some((_, note, before)) = self.notes.remove(place)
        {
            self.undo(offset, note, before);
        }
    }

    /// The records from `offset` on are read again.
    pub fn rewind_to(&mut self, offset: i64) {
        while let Some((last, note, before)) = self.notes.pop_back_if(|(last, ..)| *last >= offset)
        {
            self.undo(last, note, before);
        }
    }

    fn undo(&mut self, offset: i64, note: Note<V>, before: Option<Found<V>>) {
        let counts = self.latest.get(&note.digest);
        if counts.is_none_or(|counts| counts.offset != offset) {
            return;
        }
        // One that was taken out since is remembered elsewhere, or is read again.
        let is_there = |before: &Found<V>| {
            let found = self
                .notes
                .binary_search_by_key(&before.offset, |(at, ..)| *at);
            found.is_ok()
        };
        match before.filter(is_there) {
            Some(before) => self.latest.insert(note.digest, before),
            None => self.latest.remove(&note.digest),
        };
    }

    /// Takes out the keys of the records below `offset`, in their order.
    pub fn take_below(&mut self, offset: i64) -> Vec<Note<V>> {
        let end = self.notes.partition_point(|(at, ..)| *at < offset);
        let taken = self.notes.drain(..end).map(|(at, note, _)| {
            let counts = self.latest.get(&note.digest);
            if counts.is_some_and(|counts| counts.offset == at) {
                self.latest.remove(&note.digest);
            }
            note
        });
        taken.collect()
    }

    /// The keys of the records below `offset`.
    pub fn below(&self, offset: i64) -> impl Iterator<Item = Note<V>> {
        let below = self.notes.iter().take_while(move |(at, ..)| *at < offset);
        below.map(|(_, note, _)| *note)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.notes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note<V>(key: &str, position: i64, value: V) -> Note<V> {
        Note {
            digest: Digest::of(&[Some(key.as_bytes())]),
            position,
            value,
        }
    }

    fn place<V: Value>(noted: &Noted<V>, note: Note<V>) -> Option<(i64, V)> {
        noted
            .find(note.digest)
            .map(|found| (found.offset, found.value))
    }

    #[test]
    fn what_is_read_again_is_forgotten() {
        let mut noted = Noted::default();
        let (a, b) = (note("a", 10, Once), note("b", 12, Once));
        noted.note(10, a);
        noted.note(12, b);
        // The same record once more, as at-least-once retries may have it.
        noted.note(14, a);
        assert_eq!(place(&noted, a), Some((10, Once)));
        noted.rewind_to(13);
        assert_eq!((noted.len(), place(&noted, b)), (2, Some((12, Once))));
        assert_eq!(place(&noted, a), Some((10, Once)));
        noted.forget(11);
        assert_eq!(noted.len(), 2, "it was not noted");
        noted.forget(12);
        assert_eq!(noted.find(b.digest), None);
        assert_eq!(noted.below(11).collect::<Vec<_>>(), [a]);
        assert_eq!(noted.take_below(10), []);
        assert_eq!(noted.take_below(11), [a]);
        assert!(noted.is_empty() && noted.find(a.digest).is_none());
    }

    #[test]
    fn the_version_before_counts_again_where_a_newer_one_is_taken_back() {
        let mut noted = Noted::default();
        let versions = [1, 2, 2, 3].map(|version| note("a", version, Version(version)));
        for (offset, version) in (10..).zip(versions) {
            noted.note(offset, version);
        }
        assert_eq!(place(&noted, versions[0]), Some((13, Version(3))));
        noted.rewind_to(13);
        assert_eq!(place(&noted, versions[0]), Some((11, Version(2))));
        noted.rewind_to(11);
        assert_eq!(place(&noted, versions[0]), Some((10, Version(1))));
        noted.note(11, versions[3]);
        assert_eq!(noted.take_below(11), [versions[0]]);
        noted.rewind_to(11);
        assert_eq!(
            place(&noted, versions[0]),
            None,
            "the rest knows of the first"
        );
        assert!(noted.is_empty());
    }

    /// An older version that came late goes in front of the newer one.
    #[test]
    fn offsets_may_be_overtaken() {
        let mut noted = Noted::default();
        let (newer, older) = (note("a", 5, Version(9)), note("a", 7, Version(8)));
        noted.note(7, older);
        noted.note(5, newer);
        assert_eq!(place(&noted, newer), Some((5, Version(9))));
        noted.forget(5);
        assert_eq!(place(&noted, newer), Some((7, Version(8))), "it has failed");
        noted.note(5, newer);
        noted.rewind_to(6);
        assert_eq!(place(&noted, newer), Some((5, Version(9))));
        assert_eq!(noted.take_below(6), [newer]);
        assert!(noted.is_empty());
    }
}
