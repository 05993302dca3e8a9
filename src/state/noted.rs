//! The keys of one partition's records that are on their way, or not committed yet: in the order of their offsets, so that a
//! rewind takes back those of the records that are read again.

use std::collections::{HashMap, VecDeque};

use super::digest::Digest;

/// A key with its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Note {
    /// The key.
    pub digest: Digest,
    /// The record's offset in its source partition.
    pub position: i64,
}

/// See the module. Offsets are those of the partition that the records were read from, which may be a retry partition.
#[derive(Debug, Clone, Default)]
pub struct Noted {
    notes: VecDeque<(i64, Note)>,
    /// Offset and position of the first record of a key. Another one is the same record once more.
    first: HashMap<Digest, (i64, i64)>,
}

impl Noted {
    /// The record at `offset` is handed on. Offsets rise.
    pub fn note(&mut self, offset: i64, note: Note) {
        debug_assert!(self.notes.back().is_none_or(|(last, _)| *last < offset));
        self.notes.push_back((offset, note));
        self.first
            .entry(note.digest)
            .or_insert((offset, note.position));
    }

    /// The record of that key: its offset here, and its position in the source.
    pub fn find(&self, digest: Digest) -> Option<(i64, i64)> {
        self.first.get(&digest).copied()
    }

    /// The record at `offset`, which was noted last, does not go on after all.
    pub fn forget(&mut self, offset: i64) {
        if self.notes.back().is_some_and(|(last, _)| *last == offset) {
            self.rewind_to(offset);
        }
    }

    /// The records from `offset` on are read again.
    pub fn rewind_to(&mut self, offset: i64) {
        while let Some((last, note)) = self.notes.pop_back_if(|(last, _)| *last >= offset) {
            if self.first.get(&note.digest) == Some(&(last, note.position)) {
                self.first.remove(&note.digest);
            }
        }
    }

    /// Takes out the keys of the records below `offset`, in their order.
    pub fn take_below(&mut self, offset: i64) -> Vec<Note> {
        let end = self.notes.partition_point(|(at, _)| *at < offset);
        let taken = self.notes.drain(..end).map(|(at, note)| {
            if self.first.get(&note.digest) == Some(&(at, note.position)) {
                self.first.remove(&note.digest);
            }
            note
        });
        taken.collect()
    }

    /// The keys of the records below `offset`.
    pub fn below(&self, offset: i64) -> impl Iterator<Item = Note> {
        let below = self.notes.iter().take_while(move |(at, _)| *at < offset);
        below.map(|(_, note)| *note)
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

    fn note(key: &str, position: i64) -> Note {
        Note {
            digest: Digest::of(&[Some(key.as_bytes())]),
            position,
        }
    }

    #[test]
    fn what_is_read_again_is_forgotten() {
        let mut noted = Noted::default();
        let (a, b) = (note("a", 10), note("b", 12));
        noted.note(10, a);
        noted.note(12, b);
        // The same record once more, as at-least-once retries may have it.
        noted.note(14, a);
        assert_eq!(noted.find(a.digest), Some((10, 10)));
        noted.rewind_to(13);
        assert_eq!((noted.len(), noted.find(b.digest)), (2, Some((12, 12))));
        assert_eq!(noted.find(a.digest), Some((10, 10)));
        noted.forget(10);
        assert_eq!(noted.len(), 2, "it was not the last");
        noted.forget(12);
        assert_eq!(noted.find(b.digest), None);
        assert_eq!(noted.below(11).collect::<Vec<_>>(), [a]);
        assert_eq!(noted.take_below(10), []);
        assert_eq!(noted.take_below(11), [a]);
        assert!(noted.is_empty() && noted.find(a.digest).is_none());
    }
}
