//! A record of the state topic: the keys that one commit of a partition adds to what was seen. Written by whoever owns the
//! source partition, into the partition of its number; a tombstone takes a block out again once all of it is too old.
//!
//! Key: a byte for the kind, then 16 that name the block. Value: a byte for the layout, the time, then digest and position of
//! each key. Numbers are little-endian.

use super::digest::Digest;
use super::noted::Note;

/// The kind of a block of dedup keys.
const SEEN: u8 = b'd';
/// The layout that is written. Another one is one of another release.
const LAYOUT: u8 = 1;
/// Keys of a block at most: it stays far below what any topic takes.
pub const MOST: usize = 16_384;
const HEAD: usize = 1 + 8;
const ENTRY: usize = Digest::LEN + 8;

/// Names a block: who wrote it, and how many that had written before. Two owners, one of which does not know yet that it is
/// none any more, never write the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name {
    /// A random number of the writer's.
    pub writer: u64,
    /// The block's number.
    pub number: u64,
}

impl Name {
    /// The key of its record.
    pub fn to_key(self) -> [u8; 17] {
        let mut key = [SEEN; 17];
        key[1..9].copy_from_slice(&self.writer.to_le_bytes());
        key[9..].copy_from_slice(&self.number.to_le_bytes());
        key
    }

    /// Reads what [`Self::to_key`] wrote; `None` for anything else.
    pub fn from_key(key: &[u8]) -> Option<Name> {
        let (kind, name) = key.split_first()?;
        let (writer, number) = name.split_at_checked(8)?;
        (*kind == SEEN).then_some(Name {
            writer: u64::from_le_bytes(writer.try_into().ok()?),
            number: u64::from_le_bytes(number.try_into().ok()?),
        })
    }
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Its name.
    pub name: Name,
    /// The time that its partition had come to, milliseconds since the epoch.
    pub time: i64,
    /// The keys; at most [`MOST`].
    pub notes: Vec<Note>,
}

/// What a record of a state topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A block.
    Block(Block),
    /// A block is no more.
    Gone(Name),
    /// Of a kind that this release knows nothing of, and has no use for.
    Other,
}

impl Block {
    /// The value of its record.
    pub fn to_value(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(HEAD + self.notes.len() * ENTRY);
        value.push(LAYOUT);
        value.extend(self.time.to_le_bytes());
        for note in &self.notes {
            value.extend(note.digest.to_bytes());
            value.extend(note.position.to_le_bytes());
        }
        value
    }
}

impl Found {
    /// What a record says. The error says why it cannot be read: taking it for nothing would forget what was seen.
    pub fn of(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Found, String> {
        let Some(name) = key.and_then(Name::from_key) else {
            return Ok(Found::Other);
        };
        let Some(value) = value else {
            return Ok(Found::Gone(name));
        };
        let broken = || "a block of seen keys is broken".to_owned();
        let (layout, rest) = value.split_first().ok_or_else(broken)?;
        if *layout != LAYOUT {
            return Err(format!(
                "a block of seen keys has the layout {layout}, and this release reads {LAYOUT}: another release wrote it. Run that \
                 one, or a later one"
            ));
        }
        let (time, entries) = rest.split_at_checked(8).ok_or_else(broken)?;
        if entries.len() % ENTRY != 0 {
            return Err(broken());
        }
        let number = |bytes: &[u8]| bytes.try_into().map(i64::from_le_bytes).ok();
        let note = |entry: &[u8]| {
            let (digest, position) = entry.split_at_checked(Digest::LEN)?;
            Some(Note {
                digest: Digest::from_bytes(digest.try_into().ok()?),
                position: number(position)?,
            })
        };
        let notes: Option<Vec<Note>> = entries.chunks_exact(ENTRY).map(note).collect();
        Ok(Found::Block(Block {
            name,
            time: number(time).ok_or_else(broken)?,
            notes: notes.ok_or_else(broken)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Block {
        let note = |key: &str, position| Note {
            digest: Digest::of(&[Some(key.as_bytes())]),
            position,
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
        let block = block();
        let (key, value) = (block.name.to_key(), block.to_value());
        assert_eq!(
            (key.len(), value.len()),
            (17, 9 + 2 * 24),
            "24 bytes a key: the documentation says so"
        );
        assert_eq!(
            Found::of(Some(&key), Some(&value)),
            Ok(Found::Block(block.clone()))
        );
        assert_eq!(Found::of(Some(&key), None), Ok(Found::Gone(block.name)));
    }

    /// What this release has written must be read by the next one, and the other way round.
    #[test]
    fn the_first_layout_stays_as_it_is() {
        let block = block();
        insta::assert_snapshot!(format!("{:02x?}", block.name.to_key()).replace(", ", ""), @"[6407000000000000002c01000000000000]");
        insta::assert_snapshot!(format!("{:02x?}", block.to_value()).replace(", ", ""), @"[01008d9ea69a010000539c4976c24781f59aa3f9a8db624e3b0a0000000000000033193421e5b2b197cbd766696a3966d40c00000000000000]");
    }

    #[test]
    fn what_is_another_release_s_or_broken_is_no_empty_block() {
        let (key, value) = (block().name.to_key(), block().to_value());
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
