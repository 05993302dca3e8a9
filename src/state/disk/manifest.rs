//! Which files of a folder count, and up to where they have what the state topic has. It takes the place of the one before as a
//! whole, once all that it names is on disk: whatever happens meanwhile, one of both is there, or none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::run::RunOf;
use crate::state::block::Name;

/// The layout that is written. Another one is thrown away.
const LAYOUT: u32 = 1;
/// Its name in the folder.
pub const NAME: &str = "manifest";
const NEXT: &str = "manifest.next";

/// The last block of the topic that the files have, and by which a topic that was made again is known: another one has something
/// else in that place, or nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// Its offset in the state topic.
    pub offset: i64,
    /// The key of its record.
    pub key: [u8; 17],
}

/// What there is of a part of the window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartOf {
    /// Its number.
    pub number: u16,
    /// Keys of it that no later part has.
    pub keys: usize,
    /// Entries of its blocks.
    pub entries: usize,
    /// The partition's time when it began.
    pub began: i64,
    /// The partition's time of its last block.
    pub last: i64,
    /// Its blocks in the state topic.
    pub blocks: Vec<Name>,
}

/// What there is for `dedup`, or for `stale`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindOf {
    /// The latest time of a record.
    pub now: i64,
    /// Blocks that are to be taken out of the state topic.
    pub expired: Vec<Name>,
    /// Its parts, the oldest first.
    pub parts: Vec<PartOf>,
    /// Its files, in the order in which they were written.
    pub runs: Vec<RunOf>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    layout: u32,
    /// Up to where.
    pub anchor: Anchor,
    /// Of `dedup`.
    pub seen: Option<KindOf>,
    /// Of `stale`.
    pub newest: Option<KindOf>,
}

impl Manifest {
    /// Of these.
    pub fn new(anchor: Anchor, seen: Option<KindOf>, newest: Option<KindOf>) -> Manifest {
        Manifest {
            layout: LAYOUT,
            anchor,
            seen,
            newest,
        }
    }

    /// All files that it names.
    pub fn runs(&self) -> impl Iterator<Item = &RunOf> {
        let kinds = self.seen.iter().chain(&self.newest);
        kinds.flat_map(|kind| &kind.runs)
    }

    /// Puts it in the place of the one before. The files that it names are on disk before it is, with their names.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_string(self)?;
        let sum = crc32fast::hash(text.as_bytes());
        let next = folder.join(NEXT);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&next)?;
        file.write_all(format!("{sum:08x}\n{text}\n").as_bytes())?;
        file.sync_all()?;
        let of_folder = File::open(folder)?;
        of_folder.sync_all()?;
        fs::rename(&next, folder.join(NAME))?;
        of_folder.sync_all()
    }

    /// The one that is there, if one is. The error says why it is of no use.
    pub fn read(folder: &Path) -> Result<Option<Manifest>, String> {
        let path = folder.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        let broken = || format!("{} is broken", path.display());
        let (sum, text) = text.split_once('\n').ok_or_else(broken)?;
        let text = text.strip_suffix('\n').ok_or_else(broken)?;
        if sum != format!("{:08x}", crc32fast::hash(text.as_bytes())) {
            return Err(broken());
        }
        match serde_json::from_str::<Manifest>(text) {
            Ok(manifest) if manifest.layout == LAYOUT => Ok(Some(manifest)),
            _ => Err(format!("{} is of another release", path.display())),
        }
    }

    /// Takes away the one that is there: none of the files count any more.
    pub fn remove(folder: &Path) -> io::Result<()> {
        match fs::remove_file(folder.join(NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::open(folder)?.sync_all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        assert_eq!(Manifest::read(folder), Ok(None));
        let name = Name {
            writer: u64::MAX,
            number: 3,
        };
        let kind = KindOf {
            now: i64::MIN,
            expired: vec![name],
            parts: vec![PartOf {
                number: u16::MAX,
                keys: 1,
                entries: 2,
                began: -3,
                last: 4,
                blocks: vec![name, name],
            }],
            runs: vec![RunOf {
                file: 1,
                part: 2,
                entries: 3,
                bytes: 4,
            }],
        };
        let anchor = Anchor {
            offset: 7,
            key: [255; 17],
        };
        let manifest = Manifest::new(anchor, Some(kind), None);
        manifest.write(folder).expect("it is written");
        assert_eq!(Manifest::read(folder), Ok(Some(manifest.clone())));
        let path = folder.join(NAME);
        let whole = fs::read(&path).expect("a file");
        for at in 0..whole.len() {
            fs::write(&path, &whole[..at]).expect("a file");
            assert!(Manifest::read(folder).is_err(), "cut at {at}");
            let mut other = whole.clone();
            other[at] ^= 1;
            fs::write(&path, &other).expect("a file");
            assert!(Manifest::read(folder).is_err(), "changed at {at}");
        }
        let later = Manifest {
            layout: LAYOUT + 1,
            ..manifest
        };
        later.write(folder).expect("it is written");
        let why = Manifest::read(folder).expect_err("another layout");
        assert!(why.ends_with("another release"), "{why}");
        Manifest::remove(folder).expect("it is removed");
        Manifest::remove(folder).expect("it is removed already");
        assert_eq!(Manifest::read(folder), Ok(None));
    }
}
