//! The entries of what is remembered of keys: in a table in memory, and, with a disk, most of them in runs. Of a key that is there
//! more than once what was inserted last counts.

use std::cell::OnceCell;
use std::io;

use super::digest::{ByDigest, Digest};
use super::disk::filter::Probe;
use super::disk::run::{Pair, Run, RunOf};
use super::noted::Value;

/// What is remembered of a key.
#[derive(Debug, Clone, Copy)]
pub struct Kept<V> {
    /// The position of its record, and the number of its part in the lowest 16 bits.
    pub place: u64,
    /// What is remembered.
    pub value: V,
}

impl<V> Kept<V> {
    /// Of a record at that position, in that part.
    pub fn new(position: i64, part: u16, value: V) -> Kept<V> {
        Kept {
            place: (position as u64) << 16 | u64::from(part),
            value,
        }
    }

    /// The position of its record.
    pub fn position(&self) -> i64 {
        (self.place as i64) >> 16
    }

    /// The number of its part.
    pub fn part(&self) -> u16 {
        self.place as u16
    }
}

/// Entries of a part.
pub type OfPart<V> = (u16, Vec<Pair<V>>);

type Table<V> = ByDigest<Kept<V>>;

/// See the module.
#[derive(Debug)]
pub struct Keys<V> {
    open: Table<V>,
    /// What is being written to disk: it is found here until it is there.
    leaving: Table<V>,
    /// In the order in which they were written.
    runs: Vec<Run<V>>,
    /// Why an answer may be wrong: what is on disk could not be read.
    broken: OnceCell<String>,
}

impl<V> Default for Keys<V> {
    fn default() -> Keys<V> {
        Keys {
            open: Table::default(),
            leaving: Table::default(),
            runs: Vec::new(),
            broken: OnceCell::new(),
        }
    }
}

impl<V: Value> Keys<V> {
    /// What there is of a key. If that cannot be read it is nothing, and [`Self::broken`] from then on.
    pub fn find(&self, digest: Digest) -> Option<Kept<V>> {
        let in_memory = self.open.get(&digest);
        if let Some(kept) = in_memory.or_else(|| self.leaving.get(&digest)) {
            return Some(*kept);
        }
        let probe = Probe::of(digest);
        let runs = self.runs.iter().rev();
        for run in runs.filter(|run| run.may_have(probe)) {
            match run.find(digest) {
                Ok(None) => {}
                Ok(found) => return found,
                Err(error) => {
                    self.breaks(&error);
                    return None;
                }
            }
        }
        None
    }

    /// What there is of a key to which something is added. For `dedup` it is not asked of the files, since hardly any key is added
    /// that is there: if one is, it is counted twice until the older of both is forgotten.
    pub fn before(&self, digest: Digest) -> Option<Kept<V>> {
        match V::MAY_BE_OLD {
            true => self.find(digest),
            false => self.open.get(&digest).copied(),
        }
    }

    /// Why what is found, or not found, counts no more, if that is so.
    pub fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    fn breaks(&self, error: &io::Error) {
        self.broken.get_or_init(|| error.to_string());
    }

    /// From now on this counts for the key.
    pub fn insert(&mut self, digest: Digest, kept: Kept<V>) {
        self.open.insert(digest, kept);
    }

    /// Entries in memory that are not on their way to disk.
    pub fn in_memory(&self) -> usize {
        self.open.len()
    }

    /// Forgets what is of parts that are not left. The files that are needed no more.
    pub fn forget(&mut self, is_left: impl Fn(u16) -> bool) -> Vec<u64> {
        self.open.retain(|_, kept| is_left(kept.part()));
        self.forget_runs(is_left)
    }

    /// The same of what is in files.
    pub fn forget_runs(&mut self, is_left: impl Fn(u16) -> bool) -> Vec<u64> {
        let gone = self.runs.extract_if(.., |run| !is_left(run.of().part));
        gone.map(|run| run.of().file).collect()
    }

    /// The entries in memory, by their parts and sorted, and the files that there are beside them.
    pub fn to_write(&self) -> (Vec<OfPart<V>>, Vec<RunOf>) {
        let mut parts: Vec<OfPart<V>> = Vec::new();
        for (digest, kept) in &self.open {
            match parts.iter_mut().find(|(part, _)| *part == kept.part()) {
                Some((_, pairs)) => pairs.push((*digest, *kept)),
                None => parts.push((kept.part(), vec![(*digest, *kept)])),
            }
        }
        (
            parts,
            self.runs.iter().map(|run| run.of().clone()).collect(),
        )
    }

    /// All in memory but what is of the part that stays is on its way to disk.
    pub fn leave(&mut self, stays: Option<u16>) {
        debug_assert!(self.leaving.is_empty());
        self.leaving = std::mem::take(&mut self.open);
        if let Some(stays) = stays {
            let left = self.leaving.extract_if(|_, kept| kept.part() == stays);
            self.open.extend(left);
        }
    }

    /// Whether something is on its way to disk.
    pub fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// What was on its way is there.
    pub fn has_left(&mut self, runs: Vec<Run<V>>) {
        self.leaving = Table::default();
        self.runs.extend(runs);
    }

    /// It is not: it stays in memory.
    pub fn stay(&mut self) {
        for (digest, kept) in std::mem::take(&mut self.leaving) {
            self.open.entry(digest).or_insert(kept);
        }
    }

    /// Files that were found. Those for which `is_open` are taken into memory, where the part is not complete; the others are
    /// read from.
    pub fn load(&mut self, runs: Vec<Run<V>>, is_open: impl Fn(u16) -> bool) -> io::Result<()> {
        for run in runs {
            match is_open(run.of().part) {
                true => run.each(|(digest, kept)| {
                    self.open.insert(digest, kept);
                    Ok(())
                })?,
                false => self.runs.push(run),
            }
        }
        Ok(())
    }

    /// The entries of a part that count, all of them in memory from now on, and the files that are needed no more.
    pub fn take_back(&mut self, part: u16) -> (Vec<Pair<V>>, Vec<u64>) {
        let mut back: Vec<Pair<V>> = Vec::new();
        for (at, run) in self.runs.iter().enumerate() {
            if run.of().part != part {
                continue;
            }
            let later = &self.runs[at + 1..];
            let taken = run.each(|(digest, kept)| {
                let is_in_memory =
                    self.open.contains_key(&digest) || self.leaving.contains_key(&digest);
                if is_in_memory {
                    return Ok(());
                }
                let probe = Probe::of(digest);
                for run in later.iter().filter(|run| run.may_have(probe)) {
                    if run.find(digest)?.is_some() {
                        return Ok(());
                    }
                }
                back.push((digest, kept));
                Ok(())
            });
            if let Err(error) = taken {
                self.breaks(&error);
                return (Vec::new(), Vec::new());
            }
        }
        let files = self.runs.extract_if(.., |run| run.of().part == part);
        let files = files.map(|run| run.of().file).collect();
        self.open.extend(back);
        let of_part = self.open.iter().filter(|(_, kept)| kept.part() == part);
        (
            of_part.map(|(digest, kept)| (*digest, *kept)).collect(),
            files,
        )
    }

    /// The numbers of the files.
    pub fn runs(&self) -> Vec<u64> {
        self.runs.iter().map(|run| run.of().file).collect()
    }

    /// Bytes of the files.
    pub fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.of().bytes).sum()
    }
}
