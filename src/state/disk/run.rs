//! The entries of one part in one file: sorted, never changed, and read a page at a time.
//!
//! Pages of 4 KiB with as many entries as fit and a CRC-32 at their ends; then the first half of each page's first key, the filter,
//! and a footer with a CRC-32 of those. The first halves and the filter are in memory: a key that is not there costs no read, and one
//! that is costs one page. A page is held against its checksum when it is read, so that opening a file reads only its end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::marker::PhantomData;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::filter::{Filter, Probe, WORD};
use crate::state::digest::Digest;
use crate::state::keys::Kept;
use crate::state::noted::Value;

/// Bytes of a page, and of those the ones before its checksum.
const PAGE: usize = 4096;
const BODY: usize = PAGE - 4;
/// Pages that are read at once where all of them are.
const AT_ONCE: usize = 64;
/// What the footer begins with. Another layout has another one.
const MAGIC: [u8; 4] = *b"dgr1";
const FOOTER: usize = 4 + 4 + 8 + 8 + 4;

/// An entry.
pub type Pair<V> = (Digest, Kept<V>);

/// What a manifest says of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunOf {
    /// The number of its file.
    pub file: u64,
    /// The number of its part.
    pub part: u16,
    /// How many entries it has.
    pub entries: usize,
    /// The size of the file.
    pub bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Run<V> {
    of: RunOf,
    file: File,
    /// Of each page.
    firsts: Vec<u64>,
    filter: Filter,
    value: PhantomData<V>,
}

/// Bytes of an entry.
const fn entry<V: Value>() -> usize {
    Digest::LEN + 8 + V::LEN
}

/// Entries of a page.
const fn a_page<V: Value>() -> usize {
    BODY / entry::<V>()
}

/// The size of the file of a run with so many entries.
pub fn size<V: Value>(entries: usize) -> u64 {
    let pages = entries.div_ceil(a_page::<V>());
    (pages * (PAGE + 8) + Filter::words(entries) * WORD + FOOTER) as u64
}

/// The path of the file with that number.
pub fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(name(number))
}

/// The name of the file with that number.
pub fn name(number: u64) -> String {
    format!("{number:016x}.run")
}

impl<V: Value> Run<V> {
    /// Writes entries, sorted by their digests and each there once. They are on disk when this returns, and the folder's entry
    /// is not.
    pub fn write(folder: &Path, number: u64, part: u16, entries: &[Pair<V>]) -> io::Result<Run<V>> {
        debug_assert!(entries.is_sorted_by(|(one, _), (next, _)| one < next));
        let path = path(folder, number);
        let result = write(&path, number, part, entries);
        if result.is_err() {
            // It counts for nothing, and takes room that is short.
            drop(fs::remove_file(&path));
        }
        result
    }

    /// Opens what [`Self::write`] wrote. The error says what is wrong with it.
    pub fn open(folder: &Path, of: &RunOf) -> Result<Run<V>, String> {
        let path = path(folder, of.file);
        let name = path.display();
        let open = || -> io::Result<Option<Run<V>>> {
            let file = File::open(&path)?;
            if file.metadata()?.len() != of.bytes || of.bytes != size::<V>(of.entries) {
                return Ok(None);
            }
            let pages = of.entries.div_ceil(a_page::<V>());
            let mut tail = vec![0; of.bytes as usize - pages * PAGE];
            file.read_exact_at(&mut tail, (pages * PAGE) as u64)?;
            Ok(
                read_tail::<V>(&tail, pages, of).map(|(firsts, filter)| Run {
                    of: of.clone(),
                    file,
                    firsts,
                    filter,
                    value: PhantomData,
                }),
            )
        };
        match open() {
            Ok(Some(run)) => Ok(run),
            Ok(None) => Err(format!("{name} is not what was written")),
            Err(error) => Err(format!("{name}: {error}")),
        }
    }

    /// What a manifest says of it.
    pub fn of(&self) -> &RunOf {
        &self.of
    }

    /// Whether there may be something of a key. Most of those that are not there are known not to be.
    #[inline]
    pub fn may_have(&self, probe: Probe) -> bool {
        self.filter.may_have(probe)
    }

    /// What there is of a key, read from the file.
    pub fn find(&self, digest: Digest) -> io::Result<Option<Kept<V>>> {
        let (half, _) = digest.halves();
        // Keys with the same first half may be on both sides of a page's end.
        let before = self.firsts.partition_point(|first| *first < half);
        for page in before.saturating_sub(1)..self.firsts.len() {
            if self.firsts[page] > half {
                break;
            }
            let mut bytes = [0; PAGE];
            self.file.read_exact_at(&mut bytes, (page * PAGE) as u64)?;
            let entries = self.checked(page, &bytes)?;
            let count = entries.len() / entry::<V>();
            let (mut low, mut high) = (0, count);
            while low < high {
                let middle = (low + high) / 2;
                let (found, kept) = read_entry(&entries[middle * entry::<V>()..])?;
                match found.cmp(&digest) {
                    std::cmp::Ordering::Less => low = middle + 1,
                    std::cmp::Ordering::Equal => return Ok(Some(kept)),
                    std::cmp::Ordering::Greater => high = middle,
                }
            }
        }
        Ok(None)
    }

    /// All entries, in their order.
    pub fn each(&self, mut take: impl FnMut(Pair<V>) -> io::Result<()>) -> io::Result<()> {
        let mut bytes = vec![0; AT_ONCE * PAGE];
        let pages = self.firsts.len();
        for first in (0..pages).step_by(AT_ONCE) {
            let some = AT_ONCE.min(pages - first);
            let bytes = &mut bytes[..some * PAGE];
            self.file.read_exact_at(bytes, (first * PAGE) as u64)?;
            for (page, bytes) in (first..).zip(bytes.chunks_exact(PAGE)) {
                for bytes in self.checked(page, bytes)?.chunks_exact(entry::<V>()) {
                    take(read_entry(bytes)?)?;
                }
            }
        }
        Ok(())
    }

    /// The entries of a page that is what was written.
    fn checked<'a>(&self, page: usize, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        let (body, sum) = bytes.split_at(BODY);
        if crc32fast::hash(body).to_le_bytes() != sum {
            let what = format!("page {page} of {} is broken", name(self.of.file));
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let before = page * a_page::<V>();
        let count = (self.of.entries - before).min(a_page::<V>());
        Ok(&body[..count * entry::<V>()])
    }
}

fn write<V: Value>(path: &Path, number: u64, part: u16, entries: &[Pair<V>]) -> io::Result<Run<V>> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create_new(true).mode(0o600);
    let mut file = BufWriter::with_capacity(AT_ONCE * PAGE, options.open(path)?);
    let mut filter = Filter::new(entries.len());
    let mut firsts = Vec::with_capacity(entries.len().div_ceil(a_page::<V>()));
    let mut page = Vec::with_capacity(PAGE);
    for entries in entries.chunks(a_page::<V>()) {
        page.clear();
        let (half, _) = entries[0].0.halves();
        firsts.push(half);
        for (digest, kept) in entries {
            filter.insert(Probe::of(*digest));
            page.extend(digest.to_bytes());
            page.extend(kept.place.to_le_bytes());
            kept.value.put(&mut page);
        }
        page.resize(BODY, 0);
        page.extend(crc32fast::hash(&page).to_le_bytes());
        file.write_all(&page)?;
    }
    let mut tail =
        Vec::with_capacity(firsts.len() * 8 + Filter::words(entries.len()) * WORD + FOOTER);
    for first in &firsts {
        tail.extend(first.to_le_bytes());
    }
    filter.put(&mut tail);
    tail.extend(MAGIC);
    tail.extend([V::KIND, 0, 0, 0]);
    tail.extend(number.to_le_bytes());
    tail.extend((entries.len() as u64).to_le_bytes());
    tail.extend(crc32fast::hash(&tail).to_le_bytes());
    file.write_all(&tail)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    let of = RunOf {
        file: number,
        part,
        entries: entries.len(),
        bytes: size::<V>(entries.len()),
    };
    Ok(Run {
        of,
        file,
        firsts,
        filter,
        value: PhantomData,
    })
}

/// The first halves and the filter; `None` if the end is not that of a run with so many pages.
fn read_tail<V: Value>(tail: &[u8], pages: usize, of: &RunOf) -> Option<(Vec<u64>, Filter)> {
    let (rest, sum) = tail.split_last_chunk::<4>()?;
    if crc32fast::hash(rest).to_le_bytes() != *sum {
        return None;
    }
    let (rest, footer) = rest.split_at_checked(rest.len().checked_sub(FOOTER - 4)?)?;
    let number = |at: usize| {
        let bytes = footer.get(at..at + 8)?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    };
    let is_it = footer[..4] == MAGIC
        && footer[4] == V::KIND
        && number(8)? == of.file
        && number(16)? == of.entries as u64;
    let (firsts, filter) = rest.split_at_checked(pages * 8).filter(|_| is_it)?;
    let firsts = firsts.chunks_exact(8).map(|bytes| {
        let bytes = bytes.try_into();
        bytes.map_or(0, u64::from_le_bytes)
    });
    Some((firsts.collect(), Filter::get(filter)?))
}

/// The entry at the beginning of the bytes.
fn read_entry<V: Value>(bytes: &[u8]) -> io::Result<Pair<V>> {
    let read = || {
        let (digest, rest) = bytes.split_first_chunk::<{ Digest::LEN }>()?;
        let (place, rest) = rest.split_first_chunk::<8>()?;
        let kept = Kept {
            place: u64::from_le_bytes(*place),
            value: V::get(rest.get(..V::LEN)?)?,
        };
        Some((Digest::from_bytes(*digest), kept))
    };
    read().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::noted::{Once, Version};

    fn digest(key: u64) -> Digest {
        Digest::of(&[Some(&key.to_le_bytes())])
    }

    fn pairs<V: Value>(keys: std::ops::Range<u64>, value: impl Fn(u64) -> V) -> Vec<Pair<V>> {
        let pair = |key: u64| {
            let kept = Kept {
                place: key << 16 | 3,
                value: value(key),
            };
            (digest(key), kept)
        };
        let mut pairs: Vec<Pair<V>> = keys.map(pair).collect();
        pairs.sort_unstable_by_key(|(digest, _)| *digest);
        pairs
    }

    fn check<V: Value>(count: u64, value: impl Fn(u64) -> V) {
        let folder = tempfile::tempdir().expect("a folder");
        let pairs = pairs(0..count, &value);
        let written = Run::write(folder.path(), 7, 3, &pairs).expect("it is written");
        let opened = Run::<V>::open(folder.path(), written.of()).expect("it is opened");
        for run in [&written, &opened] {
            for key in 0..count {
                let found = run.find(digest(key)).expect("it is read").expect("there");
                assert_eq!((found.place, found.value), (key << 16 | 3, value(key)));
            }
            for key in count..2 * count + 10 {
                assert!(run.find(digest(key)).expect("it is read").is_none());
            }
            let mut all = Vec::new();
            run.each(|(digest, _)| {
                all.push(digest);
                Ok(())
            })
            .expect("it is read");
            assert!(all.iter().eq(pairs.iter().map(|(digest, _)| digest)));
        }
        let of = opened.of();
        let length = fs::metadata(path(folder.path(), 7)).expect("a file").len();
        assert_eq!((of.bytes, of.entries, of.part), (length, pairs.len(), 3));
        let again = Run::write(folder.path(), 7, 3, &pairs);
        assert!(again.is_err(), "nothing is written over");
    }

    #[test]
    fn it_is_written_and_read() {
        for count in [1, 169, 170, 171, 5_000] {
            check(count, |_| Once);
        }
        for count in [1, 127, 128, 5_000] {
            check(count, |key| Version(key as i64 - 7));
        }
    }

    /// Somebody may make keys whose first halves are the same.
    #[test]
    fn keys_with_one_first_half_are_told_apart_across_pages() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = |half: u64, rest: u64| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&half.to_le_bytes());
            bytes[8..].copy_from_slice(&rest.to_le_bytes());
            Digest::from_bytes(bytes)
        };
        let keys = (0..100)
            .map(|at| key(4, at))
            .chain((0..1_000).map(|at| key(5, at)));
        let keys: Vec<Digest> = keys.chain((0..100).map(|at| key(6, at))).collect();
        let kept = |place| Kept { place, value: Once };
        let pairs: Vec<Pair<Once>> = (0..).zip(&keys).map(|(at, key)| (*key, kept(at))).collect();
        let run = Run::write(folder.path(), 0, 0, &pairs).expect("it is written");
        for (at, key) in (0..).zip(keys) {
            let found = run.find(key).expect("it is read");
            assert_eq!(found.map(|kept| kept.place), Some(at));
        }
        for missing in [key(5, 1_000), key(3, 0), key(7, 0)] {
            assert!(run.find(missing).expect("it is read").is_none());
        }
    }

    /// A file that was cut, or of which a byte is another one: it is noticed when it is opened, or when what is there is read.
    #[test]
    fn a_broken_file_is_noticed_wherever_it_is_broken() {
        let folder = tempfile::tempdir().expect("a folder");
        let pairs = pairs(0..2_000, |_| Once);
        let run = Run::write(folder.path(), 7, 3, &pairs).expect("it is written");
        let of = run.of().clone();
        let path = path(folder.path(), 7);
        let whole = fs::read(&path).expect("a file");
        for at in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
            fs::write(&path, &whole[..at]).expect("a file");
            assert!(
                Run::<Once>::open(folder.path(), &of).is_err(),
                "cut at {at}"
            );
            let mut other = whole.clone();
            other[at] ^= 0x10;
            fs::write(&path, other).expect("a file");
            let is_noticed = match Run::<Once>::open(folder.path(), &of) {
                Err(_) => true,
                Ok(run) => run.each(|_| Ok(())).is_err(),
            };
            assert!(is_noticed, "changed at {at}");
        }
        fs::write(&path, &whole).expect("a file");
        assert!(Run::<Version>::open(folder.path(), &of).is_err());
        let other = RunOf { file: 8, ..of };
        fs::write(super::path(folder.path(), 8), whole).expect("a file");
        assert!(Run::<Once>::open(folder.path(), &other).is_err());
    }
}
