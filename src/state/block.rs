//! A record of the state topic: the keys that one commit of a partition adds to what is remembered. Written by whoever owns
//! the source partition, into the partition of its number; a tombstone takes a block out again once all of it is too old, or
//! written once more.
//!
//! Key: a byte for the kind, then 16 that name the block. Value: a byte for the layout, the time, then digest, position and, by
//! the kind, the value of each key. Numbers are little-endian.

use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::noted::{Note, Once, Value, Version};

/// The layout that is written. Another one is one of another release.
const LAYOUT: u8 = 1;
/// Keys of a block at most: it stays far below what any topic takes.
pub const MOST: usize = 16_384;
const HEAD: usize = 1 + 8;

/// Bytes of a key in a block.
const fn entry<V: Value>() -> usize {
    Digest::LEN + 8 + V::LEN
}

/// Names a block: who wrote it, and how many that had written before. Two owners, one of which does not know yet that it is
/// none any more, never write the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Name {
    /// A random number of the writer's.
    pub writer: u64,
    /// The block's number.
    pub number: u64,
}

impl Name {
    /// The key of the record of a block of that kind.
    pub fn to_key<V: Value>(self) -> [u8; 17] {
        let mut key = [V::KIND; 17];
        key[1..9].copy_from_slice(&self.writer.to_le_bytes());
        key[9..].copy_from_slice(&self.number.to_le_bytes());
        key
    }

    /// Reads what [`Self::to_key`] wrote; `None` for anything else.
    fn from_key(key: &[u8]) -> Option<(u8, Name)> {
        let (kind, name) = key.split_first()?;
        let (writer, number) = name.split_at_checked(8)?;
        let name = Name {
            writer: u64::from_le_bytes(writer.try_into().ok()?),
            number: u64::from_le_bytes(number.try_into().ok()?),
        };
        Some((*kind, name))
    }
}

/// Names for the blocks of one writer.
#[derive(Debug)]
pub struct Names {
    writer: u64,
    next: u64,
}

impl Names {
    /// `writer` is a random number.
    pub fn new(writer: u64) -> Names {
        Names { writer, next: 0 }
    }

    /// Blocks of the keys, with names of their own.
    pub fn blocks<V: Value>(&mut self, notes: &[Note<V>], time: i64) -> Vec<Block<V>> {
        let blocks = notes.chunks(MOST).map(|notes| {
            let name = Name {
                writer: self.writer,
                number: self.next,
            };
            self.next += 1;
            Block {
                name,
                time,
                notes: notes.to_vec(),
            }
        });
        blocks.collect()
    }
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block<V = Once> {
    /// Its name.
    pub name: Name,
    /// The time that its partition had come to, milliseconds since the epoch.
    pub time: i64,
    /// The keys; at most [`MOST`].
    pub notes: Vec<Note<V>>,
}

/// What a record says of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<V> {
    /// There it is.
    Is(Block<V>),
    /// It is no more.
    Gone(Name),
}

impl<V> Entry<V> {
    /// How many keys it brings.
    fn keys(&self) -> usize {
        match self {
            Entry::Is(block) => block.notes.len(),
            Entry::Gone(_) => 0,
        }
    }
}

/// What a record of a state topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Of `dedup`.
    Seen(Entry<Once>),
    /// Of `stale`.
    Newest(Entry<Version>),
    /// Of a kind that this release knows nothing of, and has no use for.
    Other,
}

impl<V: Value> Block<V> {
    /// The value of its record.
    pub fn to_value(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(HEAD + self.notes.len() * entry::<V>());
        value.push(LAYOUT);
        value.extend(self.time.to_le_bytes());
        for note in &self.notes {
            value.extend(note.digest.to_bytes());
            value.extend(note.position.to_le_bytes());
            note.value.put(&mut value);
        }
        value
    }
}

impl Found {
    /// What a record says. The error says why it cannot be read: taking it for nothing would forget what is remembered.
    pub fn of(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Found, String> {
        Ok(match key.and_then(Name::from_key) {
            Some((Once::KIND, name)) => Found::Seen(said(name, value)?),
            Some((Version::KIND, name)) => Found::Newest(said(name, value)?),
            _ => Found::Other,
        })
    }

    /// The key of its record, if it is a block.
    pub fn key_of_block(&self) -> Option<[u8; 17]> {
        match self {
            Found::Seen(Entry::Is(block)) => Some(block.name.to_key::<Once>()),
            Found::Newest(Entry::Is(block)) => Some(block.name.to_key::<Version>()),
            _ => None,
        }
    }

    /// How many keys it brings.
    pub fn keys(&self) -> usize {
        match self {
            Found::Seen(entry) => entry.keys(),
            Found::Newest(entry) => entry.keys(),
            Found::Other => 0,
        }
    }
}

fn said<V: Value>(name: Name, value: Option<&[u8]>) -> Result<Entry<V>, String> {
    let Some(value) = value else {
        return Ok(Entry::Gone(name));
    };
    let what = V::WHAT;
    let broken = || format!("a block of {what} is broken");
    let (layout, rest) = value.split_first().ok_or_else(broken)?;
    if *layout != LAYOUT {
        return Err(format!(
            "a block of {what} has the layout {layout}, and this release reads {LAYOUT}: another release wrote it. Run that one, \
             or a later one"
        ));
    }
    let (time, entries) = rest.split_at_checked(8).ok_or_else(broken)?;
    if entries.len() % entry::<V>() != 0 {
        return Err(broken());
    }
    let number = |bytes: &[u8]| bytes.try_into().map(i64::from_le_bytes).ok();
    let note = |bytes: &[u8]| {
        let (digest, rest) = bytes.split_at_checked(Digest::LEN)?;
        let (position, value) = rest.split_at_checked(8)?;
        Some(Note {
            digest: Digest::from_bytes(digest.try_into().ok()?),
            position: number(position)?,
            value: V::get(value)?,
        })
    };
    let notes: Option<Vec<Note<V>>> = entries.chunks_exact(entry::<V>()).map(note).collect();
    Ok(Entry::Is(Block {
        name,
        time: number(time).ok_or_else(broken)?,
        notes: notes.ok_or_else(broken)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block<V: Value>(value: V) -> Block<V> {
        let note = |key: &str, position| Note {
            digest: Digest::of(&[Some(key.as_bytes())]),
            position,
            value,
        };
        Block {
            name: Name {
                writer: 7,
                number: 300,
            },
            time: 1_763_732_000_000,
            notes: vec![note("a", 10), note("b", 12)],
        }
    }

    #[test]
    fn it_is_written_and_read() {
        let block = block(Once);
        let (key, value) = (block.name.to_key::<Once>(), block.to_value());
        assert_eq!(
            (key.len(), value.len()),
            (17, 9 + 2 * 24),
            "24 bytes a key: the documentation says so"
        );
        let found = Found::Seen(Entry::Is(block.clone()));
        assert_eq!(found.keys(), 2);
        assert_eq!(Found::of(Some(&key), Some(&value)), Ok(found));
        let gone = Found::Seen(Entry::Gone(block.name));
        assert_eq!(Found::of(Some(&key), None), Ok(gone));
    }

    #[test]
    fn one_of_versions_is_written_and_read() {
        let block = block(Version(-7));
        let (key, value) = (block.name.to_key::<Version>(), block.to_value());
        assert_eq!(
            value.len(),
            9 + 2 * 32,
            "32 bytes a key: the documentation says so"
        );
        let found = Found::Newest(Entry::Is(block));
        assert_eq!(Found::of(Some(&key), Some(&value)), Ok(found));
    }

    #[test]
    fn many_keys_are_several_blocks() {
        let note = block(Once).notes[0];
        let mut names = Names::new(7);
        let blocks = names.blocks(&vec![note; MOST + 1], 5);
        let found: Vec<_> = blocks
            .iter()
            .map(|block| (block.name.number, block.notes.len()))
            .collect();
        assert_eq!(found, [(0, MOST), (1, 1)]);
        assert_eq!(names.blocks(&[note], 5)[0].name.number, 2);
    }

    /// What this release has written must be read by the next one, and the other way round.
    #[test]
    fn the_first_layout_stays_as_it_is() {
        let once = block(Once);
        insta::assert_snapshot!(format!("{:02x?}", once.name.to_key::<Once>()).replace(", ", ""), @"[6407000000000000002c01000000000000]");
        insta::assert_snapshot!(format!("{:02x?}", once.to_value()).replace(", ", ""), @"[01008d9ea69a010000539c4976c24781f59aa3f9a8db624e3b0a0000000000000033193421e5b2b197cbd766696a3966d40c00000000000000]");
        let newest = block(Version(300));
        insta::assert_snapshot!(format!("{:02x?}", newest.name.to_key::<Version>()).replace(", ", ""), @"[7307000000000000002c01000000000000]");
        insta::assert_snapshot!(format!("{:02x?}", newest.to_value()).replace(", ", ""), @"[01008d9ea69a010000539c4976c24781f59aa3f9a8db624e3b0a000000000000002c0100000000000033193421e5b2b197cbd766696a3966d40c000000000000002c01000000000000]");
    }

    #[test]
    fn what_is_another_release_s_or_broken_is_no_empty_block() {
        let block = block(Once);
        let (key, value) = (block.name.to_key::<Once>(), block.to_value());
        let later = [&[2], &value[1..]].concat();
        let error = Found::of(Some(&key), Some(&later)).expect_err("unknown");
        assert!(
            error.contains("layout 2") && error.contains("reads 1"),
            "{error}"
        );
        for broken in [&value[..value.len() - 1], &value[..5], &[]] {
            let error = Found::of(Some(&key), Some(broken)).expect_err("broken");
            assert!(error.contains("broken"), "{error}");
        }
        for other in [None, Some(&b"x23456789abcdefgh"[..]), Some(&key[..16])] {
            assert_eq!(Found::of(other, Some(&value)), Ok(Found::Other));
        }
    }
}
