//! All that is remembered of a source partition and its retry partitions: keys for `dedup`, newest versions for `stale`. Each is
//! there if the pipeline has that part.

use std::collections::HashMap;

use super::block::{Block, Entry, Found, Name, Names};
use super::noted::{Note, Noted, Once, Value, Version};
use super::seen::{Seen, Window};

/// What is on its way, or not committed, of one partition.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    /// Of `dedup`.
    pub seen: Option<Noted<Once>>,
    /// Of `stale`.
    pub newest: Option<Noted<Version>>,
}

/// Keys that a commit adds.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    seen: Vec<Note<Once>>,
    newest: Vec<Note<Version>>,
}

impl Notes {
    /// The record at `offset` does not go on after all.
    pub fn forget(&mut self, offset: i64) {
        self.seen.iter_mut().for_each(|noted| noted.forget(offset));
        self.newest
            .iter_mut()
            .for_each(|noted| noted.forget(offset));
    }

    /// The records from `offset` on are read again.
    pub fn rewind_to(&mut self, offset: i64) {
        self.seen
            .iter_mut()
            .for_each(|noted| noted.rewind_to(offset));
        self.newest
            .iter_mut()
            .for_each(|noted| noted.rewind_to(offset));
    }

    /// Takes out the keys of the records below `offset`.
    pub fn take_below(&mut self, offset: i64) -> Batch {
        let (seen, newest) = (&mut self.seen, &mut self.newest);
        Batch {
            seen: seen
                .iter_mut()
                .flat_map(|noted| noted.take_below(offset))
                .collect(),
            newest: newest
                .iter_mut()
                .flat_map(|noted| noted.take_below(offset))
                .collect(),
        }
    }

    /// The keys of the records below `offset`.
    pub fn below(&self, offset: i64) -> Batch {
        let (seen, newest) = (&self.seen, &self.newest);
        Batch {
            seen: seen.iter().flat_map(|noted| noted.below(offset)).collect(),
            newest: newest
                .iter()
                .flat_map(|noted| noted.below(offset))
                .collect(),
        }
    }

    /// Whether there are any of records below `offset`.
    pub fn has_below(&self, offset: i64) -> bool {
        let seen = self
            .seen
            .as_ref()
            .and_then(|noted| noted.below(offset).next());
        let newest = self
            .newest
            .as_ref()
            .and_then(|noted| noted.below(offset).next());
        seen.is_some() || newest.is_some()
    }
}

/// A record for the state topic: its key, and its value unless it is a tombstone.
pub type Record = (Vec<u8>, Option<Vec<u8>>);

/// Blocks that count once what they are written with does.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    seen: Vec<Block<Once>>,
    newest: Vec<Block<Version>>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Memory {
    /// Of `dedup`.
    pub seen: Option<Seen<Once>>,
    /// Of `stale`.
    pub newest: Option<Seen<Version>>,
}

impl Memory {
    /// Nothing yet, of what is remembered for so long.
    pub fn new(dedup: Option<Window>, stale: Option<Window>) -> Memory {
        Memory {
            seen: dedup.map(Seen::new),
            newest: stale.map(Seen::new),
        }
    }

    /// Whether anything is remembered.
    pub fn is_kept(&self) -> bool {
        self.seen.is_some() || self.newest.is_some()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.seen.iter_mut().for_each(Seen::clear);
        self.newest.iter_mut().for_each(Seen::clear);
    }

    /// A record of the state topic was read. What it says of a part that the pipeline does not have any more is left alone.
    pub fn hear(&mut self, found: &Found) {
        match found {
            Found::Seen(entry) => hear(self.seen.as_mut(), entry),
            Found::Newest(entry) => hear(self.newest.as_mut(), entry),
            Found::Other => {}
        }
    }

    /// Everything that there is has been read.
    pub fn is_restored(&mut self) {
        self.seen.iter_mut().for_each(Seen::is_restored);
        self.newest.iter_mut().for_each(Seen::is_restored);
    }

    /// A record of that time is taken. See [`Seen::comes_to`].
    pub fn comes_to(&mut self, time: i64, wall: i64) {
        self.seen
            .iter_mut()
            .for_each(|seen| seen.comes_to(time, wall));
        self.newest
            .iter_mut()
            .for_each(|seen| seen.comes_to(time, wall));
    }

    /// Blocks of the keys, and all that is to be written with them: what they take the place of is taken out of the topic behind
    /// them.
    pub fn write(&mut self, batch: &Batch, names: &mut Names) -> (Blocks, Vec<Record>) {
        let mut records = Vec::new();
        let newest = latest(&batch.newest);
        let blocks = Blocks {
            seen: write(self.seen.as_mut(), &batch.seen, names, &mut records),
            newest: write(self.newest.as_mut(), &newest, names, &mut records),
        };
        (blocks, records)
    }

    /// The blocks count from now on.
    pub fn add(&mut self, blocks: &Blocks) {
        let Blocks { seen, newest } = blocks;
        self.seen
            .iter_mut()
            .for_each(|kept| seen.iter().for_each(|block| kept.add(block)));
        self.newest
            .iter_mut()
            .for_each(|kept| newest.iter().for_each(|block| kept.add(block)));
    }
}

fn hear<V: Value>(kept: Option<&mut Seen<V>>, entry: &Entry<V>) {
    let Some(kept) = kept else { return };
    match entry {
        Entry::Is(block) => kept.add(block),
        Entry::Gone(name) => kept.is_gone(*name),
    }
}

fn write<V: Value>(
    kept: Option<&mut Seen<V>>,
    notes: &[Note<V>],
    names: &mut Names,
    records: &mut Vec<Record>,
) -> Vec<Block<V>> {
    let Some(kept) = kept else {
        return Vec::new();
    };
    let record = |block: &Block<V>| (block.name.to_key::<V>().to_vec(), Some(block.to_value()));
    let gone = |name: Name| (name.to_key::<V>().to_vec(), None);
    let blocks = names.blocks(notes, kept.now());
    records.extend(blocks.iter().map(record));
    records.extend(kept.rewrite(names).iter().map(record));
    records.extend(kept.take_expired().into_iter().map(gone));
    blocks
}

/// Of each key the newest version alone, in the order in which those came.
fn latest(notes: &[Note<Version>]) -> Vec<Note<Version>> {
    let mut newest = HashMap::with_capacity(notes.len());
    for (index, note) in notes.iter().enumerate() {
        let of_key = newest.entry(note.digest).or_insert((note.value, index));
        *of_key = (*of_key).max((note.value, index));
    }
    let is_newest = |(index, note): &(usize, &Note<Version>)| newest[&note.digest].1 == *index;
    let kept = notes.iter().enumerate().filter(is_newest);
    kept.map(|(_, note)| *note).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::digest::Digest;

    fn note<V>(key: u8, position: i64, value: V) -> Note<V> {
        Note {
            digest: Digest::of(&[Some(&[key])]),
            position,
            value,
        }
    }

    /// What is written is what another owner reads.
    #[test]
    fn what_is_written_is_read_again() {
        let window = Some(Window {
            time: Some(1_000),
            keys: 100,
        });
        let mut notes = Notes {
            seen: Some(Noted::default()),
            newest: Some(Noted::default()),
        };
        for (offset, key, version) in [(1, 1, 5), (2, 2, 6), (3, 1, 7), (4, 1, 8)] {
            notes
                .seen
                .iter_mut()
                .for_each(|noted| noted.note(offset, note(10 + offset as u8, offset, Once)));
            let of = note(key, offset, Version(version));
            notes
                .newest
                .iter_mut()
                .for_each(|noted| noted.note(offset, of));
        }
        assert!(notes.has_below(2) && !notes.has_below(1));
        let mut memory = Memory::new(window, window);
        memory.comes_to(500, 600);
        let (blocks, records) = memory.write(&notes.below(4), &mut Names::new(9));
        assert_eq!(records.len(), 2);
        let versions: Vec<_> = blocks.newest[0]
            .notes
            .iter()
            .map(|note| note.value.0)
            .collect();
        assert_eq!(versions, [6, 7], "one of each key");
        memory.add(&blocks);
        let mut next = Memory::new(window, window);
        for (key, value) in &records {
            next.hear(&Found::of(Some(key), value.as_deref()).expect("our own"));
        }
        next.is_restored();
        for kept in [&memory, &next] {
            let newest = kept
                .newest
                .as_ref()
                .and_then(|kept| kept.find(note(1, 0, ()).digest));
            assert_eq!(newest, Some((3, Version(7))));
            let seen = kept
                .seen
                .as_ref()
                .and_then(|kept| kept.find(note(13, 0, ()).digest));
            assert_eq!(seen, Some((3, Once)));
        }
        // A pipeline without `stale` leaves its blocks alone.
        let mut other = Memory::new(window, None);
        for (key, value) in &records {
            other.hear(&Found::of(Some(key), value.as_deref()).expect("our own"));
        }
        assert!(other.is_kept() && other.newest.is_none());
        notes.rewind_to(4);
        assert!(
            notes
                .take_below(9)
                .newest
                .iter()
                .all(|note| note.value < Version(8))
        );
    }
}
