//! All that is remembered of a source partition and its retry partitions: keys for `dedup`, newest versions for `stale`. Each is
//! there if the pipeline has that part.

use std::collections::HashMap;
use std::time::Instant;

use super::block::{Block, Entry, Found, Name, Names};
use super::disk::folder::Claim;
use super::disk::manifest::{Anchor, KindOf, Manifest};
use super::local::{Job, Local, Written};
use super::noted::{Note, Noted, Once, Value, Version};
use super::seen::{Group, Room, Seen, Window};

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

/// For how long something is remembered, and whether on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// For how long.
    pub window: Window,
    /// How much of it is in memory; `None`: all of it.
    pub room: Option<Room>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Memory {
    /// Of `dedup`.
    pub seen: Option<Seen<Once>>,
    /// Of `stale`.
    pub newest: Option<Seen<Version>>,
    /// Where it is on disk, if some of it is.
    local: Option<Local>,
    /// Whether a restart may go on from what is on disk: all of it is there, then.
    keeps: bool,
    /// Whether a block may be in the topic that was neither added nor read: then no restart may go on from here.
    has_gap: bool,
    /// Whether everything that there is has been read.
    is_whole: bool,
    /// The last block that was added and is in the state topic, if there is one.
    anchor: Option<Anchor>,
    /// The one that a restart would go on from.
    saved: Option<Anchor>,
}

impl Memory {
    /// Nothing yet, of what is remembered for so long.
    pub fn new(dedup: Option<Window>, stale: Option<Window>) -> Memory {
        let part = |window| Part { window, room: None };
        Memory::of(dedup.map(part), stale.map(part), None)
    }

    /// The same, with a folder for what is on disk. What is in it counts once it is [loaded](Self::load).
    pub fn of(dedup: Option<Part>, stale: Option<Part>, claim: Option<Claim>) -> Memory {
        let parts = [dedup, stale];
        let mut parts = parts.iter().flatten();
        Memory {
            keeps: claim.is_some() && parts.all(|part| part.room.is_some()),
            seen: dedup.map(|part| seen(part, claim.is_some())),
            newest: stale.map(|part| seen(part, claim.is_some())),
            local: claim.map(Local::new),
            has_gap: false,
            is_whole: false,
            anchor: None,
            saved: None,
        }
    }

    /// Whether anything is remembered.
    pub fn is_kept(&self) -> bool {
        self.seen.is_some() || self.newest.is_some()
    }

    /// Forgets everything, also what is on disk. The error says what could not be removed there; it counts for nothing.
    pub fn clear(&mut self) -> Result<(), String> {
        self.seen.iter_mut().for_each(Seen::clear);
        self.newest.iter_mut().for_each(Seen::clear);
        self.is_whole = false;
        (self.anchor, self.saved) = (None, None);
        self.local.as_mut().map_or(Ok(()), Local::wipe)
    }

    /// Forgets everything but what is on disk for a restart, and begins with that. The error says why that is of no use, and it is
    /// thrown away then.
    pub fn load(&mut self) -> Result<(), String> {
        self.seen.iter_mut().for_each(Seen::clear);
        self.newest.iter_mut().for_each(Seen::clear);
        self.is_whole = false;
        (self.anchor, self.saved) = (None, None);
        let loaded = self.load_what_is_there();
        if loaded.is_err() {
            // Why it is of no use says more than what else fails.
            drop(self.clear());
        }
        loaded
    }

    fn load_what_is_there(&mut self) -> Result<(), String> {
        let Some(local) = &mut self.local else {
            return Ok(());
        };
        let Some(manifest) = local.open()? else {
            return Ok(());
        };
        let same = manifest.seen.is_some() == self.seen.is_some()
            && manifest.newest.is_some() == self.newest.is_some();
        if !self.keeps || !same {
            return Err(format!(
                "{} has not all that is remembered now",
                local.folder().display()
            ));
        }
        let folder = local.folder();
        if let (Some(seen), Some(kind)) = (&mut self.seen, &manifest.seen) {
            seen.load(folder, kind)?;
        }
        if let (Some(newest), Some(kind)) = (&mut self.newest, &manifest.newest) {
            newest.load(folder, kind)?;
        }
        let seen = self.seen.as_ref().map(Seen::runs).unwrap_or_default();
        let newest = self.newest.as_ref().map(Seen::runs).unwrap_or_default();
        let is_read = |file: u64| seen.contains(&file) || newest.contains(&file);
        let copies = manifest.runs().filter(|run| !is_read(run.file));
        local.are_copies(copies.cloned());
        self.anchor = Some(manifest.anchor);
        self.saved = self.anchor;
        Ok(())
    }

    /// The last block that is known to be in the state topic and is remembered.
    pub fn anchor(&self) -> Option<Anchor> {
        self.anchor
    }

    /// All that was added is in the state topic up to this block.
    pub fn reaches(&mut self, anchor: Anchor) {
        if self.anchor.is_none_or(|known| known.offset < anchor.offset) {
            self.anchor = Some(anchor);
        }
    }

    /// A block is on its way that was added before everything was forgotten, and may come to the topic behind what is read of it.
    /// What is on disk is left as it is from now on.
    pub fn has_gap(&mut self) {
        self.has_gap = true;
    }

    /// Whether a restart may go on from what there is.
    fn may_save(&self) -> bool {
        self.keeps && self.is_whole && !self.has_gap && self.anchor.is_some()
    }

    /// Why what is found, or not found, counts no more: it could not be read from disk.
    pub fn broken(&self) -> Option<&str> {
        let seen = self.seen.as_ref().and_then(Seen::broken);
        seen.or_else(|| self.newest.as_ref().and_then(Seen::broken))
    }

    /// Everything that was added is in the state topic for good: what fills memory is written to disk, if it is time for that. The
    /// error says why it could not be; it stays in memory then, and is tried again.
    pub fn settle(&mut self, now: Instant) -> Result<(), String> {
        let is_much = self.seen.as_ref().is_some_and(Seen::is_much)
            || self.newest.as_ref().is_some_and(Seen::is_much);
        let Some(local) = &mut self.local else {
            return Ok(());
        };
        match local.poll(now, is_much) {
            Some(Ok(written)) => self.is_written(written),
            Some(Err(why)) => {
                self.is_not_written();
                return Err(why);
            }
            None if local.is_busy() => return Ok(()),
            None => {}
        }
        let is_due = self.seen.as_ref().is_some_and(Seen::is_due)
            || self.newest.as_ref().is_some_and(Seen::is_due)
            || self.is_worth_saving();
        let is_waiting = self
            .local
            .as_ref()
            .is_none_or(|local| local.is_waiting(now));
        if is_due && !is_waiting && self.broken().is_none() {
            let job = self.job();
            if let Some(local) = &mut self.local {
                local.begin(job);
            }
        }
        Ok(())
    }

    /// Waits for what is being written.
    #[cfg(test)]
    pub(super) fn catch_up(&mut self, now: Instant) -> Result<(), String> {
        let local = self.local.as_mut();
        if let Some(written) = local.and_then(|local| local.poll(now, true)) {
            self.is_written(written?);
        }
        Ok(())
    }

    /// Writes all that a restart needs, to go on from here. Everything that was added must be in the state topic.
    pub fn put_away(&mut self, now: Instant) -> Result<(), String> {
        let Some(local) = &mut self.local else {
            return Ok(());
        };
        match local.poll(now, true) {
            Some(Ok(written)) => self.is_written(written),
            Some(Err(why)) => {
                self.is_not_written();
                return Err(why);
            }
            None => {}
        }
        if !self.may_save() || self.anchor == self.saved || self.broken().is_some() {
            return Ok(());
        }
        let job = self.job();
        match self.local.as_mut().map(|local| local.write(job)) {
            Some(Ok(written)) => self.is_written(written),
            Some(Err(why)) => {
                self.is_not_written();
                return Err(why);
            }
            None => {}
        }
        Ok(())
    }

    /// Whether a restart would have to read much again that was just read from the topic.
    fn is_worth_saving(&self) -> bool {
        let seen = self.seen.as_ref().map_or(0, Seen::len);
        let keys = seen + self.newest.as_ref().map_or(0, Seen::len);
        self.may_save() && self.saved.is_none() && keys >= Room::USUAL.least
    }

    /// What is to be written.
    fn job(&mut self) -> Job {
        let mut next = self.local.as_ref().map_or(0, |local| local.next);
        let (seen, of_seen) = to_write(self.seen.as_mut(), &mut next);
        let (newest, of_newest) = to_write(self.newest.as_mut(), &mut next);
        let anchor = self.anchor.filter(|_| self.may_save());
        self.saved = anchor.or(self.saved);
        if let Some(local) = &mut self.local {
            local.next = next;
            local.discard(self.seen.as_mut().map(Seen::take_files).unwrap_or_default());
            local.discard(
                self.newest
                    .as_mut()
                    .map(Seen::take_files)
                    .unwrap_or_default(),
            );
        }
        Job {
            seen,
            newest,
            manifest: anchor.map(|anchor| Manifest::new(anchor, of_seen, of_newest)),
        }
    }

    fn is_written(&mut self, written: Written) {
        let Written { seen, newest } = written;
        if let Some(kept) = &mut self.seen {
            kept.is_written(seen);
        }
        if let Some(kept) = &mut self.newest {
            kept.is_written(newest);
        }
    }

    fn is_not_written(&mut self) {
        self.saved = None;
        self.seen.iter_mut().for_each(Seen::is_not_written);
        self.newest.iter_mut().for_each(Seen::is_not_written);
    }

    /// How many files only a restart needs.
    #[cfg(test)]
    pub(super) fn copies(&self) -> usize {
        self.local.as_ref().map_or(0, Local::copies)
    }

    /// Bytes on disk, if some of it is there.
    pub fn disk_bytes(&self) -> Option<u64> {
        let local = self.local.as_ref()?;
        let seen = self.seen.as_ref().map_or(0, Seen::bytes);
        Some(local.bytes() + seen + self.newest.as_ref().map_or(0, Seen::bytes))
    }

    /// The record of the state topic at that offset was read. What it says of a part that the pipeline does not have any more is
    /// left alone.
    pub fn hear(&mut self, offset: i64, found: &Found) {
        if let Some(key) = found.key_of_block() {
            self.reaches(Anchor { offset, key });
        }
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
        self.is_whole = true;
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

fn seen<V: Value>(part: Part, has_folder: bool) -> Seen<V> {
    match part.room.filter(|_| has_folder) {
        Some(room) => Seen::on_disk(part.window, room),
        None => Seen::new(part.window),
    }
}

fn to_write<V: Value>(
    kept: Option<&mut Seen<V>>,
    next: &mut u64,
) -> (Vec<Group<V>>, Option<KindOf>) {
    let Some(kept) = kept.filter(|kept| kept.is_on_disk()) else {
        return (Vec::new(), None);
    };
    let (groups, kind) = kept.to_write(next);
    (groups, Some(kind))
}

fn hear<V: Value>(kept: Option<&mut Seen<V>>, entry: &Entry<V>) {
    let Some(kept) = kept else { return };
    match entry {
        Entry::Is(block) => kept.is_there(block),
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
        for (offset, (key, value)) in (0..).zip(&records) {
            next.hear(
                offset,
                &Found::of(Some(key), value.as_deref()).expect("our own"),
            );
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
        for (offset, (key, value)) in (0..).zip(&records) {
            other.hear(
                offset,
                &Found::of(Some(key), value.as_deref()).expect("our own"),
            );
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
