//! The keys of a source partition whose records are through, for as long as the window says.
//!
//! They are kept in parts of the window, by the time that the partition had come to, and a part is forgotten as a whole: so
//! a key is remembered for the window, and for up to an eighth of it more. An entry is 24 bytes, and 32 with a version, in a
//! table that is between half and seven eighths full. With a disk that is so for the part that is being added to; those that are
//! complete are files (`keys`, `disk`).
//!
//! A key that counts anew is in a later block as well, so the topic would grow with a few keys that change all the time. Once
//! more than half of it is such, what is left of the part with most of that is written once more.

use std::collections::{HashSet, VecDeque};
use std::path::Path;

use super::block::{Block, MOST, Name, Names};
use super::digest::Digest;
use super::disk::manifest::{KindOf, PartOf};
use super::disk::run::{self, Pair, Run, RunOf};
use super::keys::{Kept, Keys};
use super::noted::{Note, Once, Value};

/// Parts of a window.
const PARTS: usize = 8;
/// So many entries of blocks that nothing needs any more are no trouble.
const FEW: usize = 4 * MOST;

/// For how long a key is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// So many milliseconds of the partition's time; `None`: `keys` alone decides.
    pub time: Option<i64>,
    /// So many keys at least, if they are not older; more are forgotten.
    pub keys: usize,
}

/// How much of what is remembered is in memory where there is a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Fewer entries are not worth a file.
    pub least: usize,
    /// A part is complete with so many keys. Twice as many entries in memory are too many.
    pub most: usize,
}

impl Room {
    /// A MiB is no trouble. A table with so many entries takes 200 to 270 MiB, and would grow to twice that with a few more.
    pub const USUAL: Room = Room {
        least: 16 << 10,
        most: 13 << 19,
    };
}

/// Entries that are to be written to a file.
#[derive(Debug)]
pub struct Group<V> {
    /// The file.
    pub of: RunOf,
    /// In no order.
    pub entries: Vec<Pair<V>>,
    /// Whether they stay in memory: the file is for a restart alone.
    pub is_copy: bool,
}

/// A part of the window.
#[derive(Debug)]
struct Part {
    number: u16,
    /// Keys of it that no later part has.
    keys: usize,
    /// Entries of its blocks.
    entries: usize,
    /// The partition's time when it began, and of its last block.
    began: i64,
    last: i64,
    /// Its blocks in the state topic.
    blocks: Vec<Name>,
}

/// See the module.
#[derive(Debug)]
pub struct Seen<V = Once> {
    window: Window,
    /// `None`: all of it is in memory.
    room: Option<Room>,
    keys: Keys<V>,
    /// The oldest first.
    parts: VecDeque<Part>,
    /// The latest time of a record, which does not go back.
    now: i64,
    /// Blocks that are to be taken out of the state topic.
    expired: Vec<Name>,
    /// Blocks that were taken out before, while it is read what there is.
    gone: HashSet<Name>,
    /// Blocks that came from disk, while it is read what there is beyond them.
    known: HashSet<Name>,
    /// Files that nothing needs any more.
    files: Vec<u64>,
    /// Keys that were forgotten for want of room, before their time.
    early: u64,
}

impl<V: Value> Seen<V> {
    /// Nothing yet.
    pub fn new(window: Window) -> Seen<V> {
        Seen {
            window,
            room: None,
            keys: Keys::default(),
            parts: VecDeque::new(),
            now: i64::MIN,
            expired: Vec::new(),
            gone: HashSet::new(),
            known: HashSet::new(),
            files: Vec::new(),
            early: 0,
        }
    }

    /// The same with a disk for what is in complete parts. What is to be written is said by [`Self::to_write`].
    pub fn on_disk(window: Window, room: Room) -> Seen<V> {
        Seen {
            room: Some(room),
            ..Seen::new(window)
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        let room = self.room;
        *self = Seen::new(self.window);
        self.room = room;
    }

    /// A block was found to be taken out. Its keys are the oldest, and go with the blocks that came when it was.
    pub fn is_gone(&mut self, name: Name) {
        self.gone.insert(name);
    }

    /// A block was found.
    pub fn is_there(&mut self, block: &Block<V>) {
        if !self.known.contains(&block.name) {
            self.add(block);
        }
    }

    /// Everything that there is has been read.
    pub fn is_restored(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        self.known = HashSet::new();
        self.expired.retain(|name| !gone.contains(name));
        for part in &mut self.parts {
            part.blocks.retain(|name| !gone.contains(name));
        }
        self.early = 0;
    }

    /// The position of the key's record, and what is remembered of it.
    pub fn find(&self, digest: Digest) -> Option<(i64, V)> {
        let kept = self.is_left(self.keys.find(digest))?;
        Some((kept.position(), kept.value))
    }

    /// Of a part that is gone there may be something in a file that is being written: that counts no more.
    fn is_left(&self, kept: Option<Kept<V>>) -> Option<Kept<V>> {
        kept.filter(|kept| self.room.is_none() || self.place_of(kept.part()).is_some())
    }

    /// The place of the part with that number among the others.
    fn place_of(&self, number: u16) -> Option<usize> {
        self.parts.iter().rposition(|part| part.number == number)
    }

    /// Why what is found, or not found, counts no more: it could not be read from disk.
    pub fn broken(&self) -> Option<&str> {
        self.keys.broken()
    }

    /// A record of that time is taken. One that is ahead of the clock (`wall`) does not make what was seen old.
    pub fn comes_to(&mut self, time: i64, wall: i64) {
        self.now = self.now.max(time.min(wall));
        let time = self.window.time.unwrap_or(i64::MAX);
        let oldest = self.parts.front();
        if oldest.is_some_and(|oldest| self.now.saturating_sub(oldest.last) > time) {
            self.forget_old();
        }
    }

    /// The partition's time.
    pub fn now(&self) -> i64 {
        self.now
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.keys).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the keys of a block, and forgets those that are too old or too many by then.
    pub fn add(&mut self, block: &Block<V>) {
        self.now = self.now.max(block.time);
        let number = self.part_of(block.time);
        let Some(part) = self.part(number) else {
            unreachable!("it is one of them");
        };
        part.last = part.last.max(block.time);
        part.blocks.push(block.name);
        part.entries += block.notes.len();
        for note in &block.notes {
            let before = self.is_left(self.keys.before(note.digest));
            if before.is_some_and(|before| before.value.is_newer(note.value)) {
                continue;
            }
            // What is written once more has its old time, and must not go before the part that its key is in.
            let before = before.map(|before| before.part());
            let later = before.filter(|before| self.place_of(*before) > self.place_of(number));
            let number = later.unwrap_or(number);
            let kept = Kept::new(note.position, number, note.value);
            self.keys.insert(note.digest, kept);
            if before != Some(number) {
                self.count(number, 1);
            }
            if let Some(before) = before.filter(|before| *before != number) {
                self.count(before, -1);
            }
        }
        self.forget_old();
    }

    fn part(&mut self, number: u16) -> Option<&mut Part> {
        let mut parts = self.parts.iter_mut().rev();
        parts.find(|part| part.number == number)
    }

    /// Whether nothing of that time goes into the part any more.
    fn is_full(&self, part: &Part, time: i64) -> bool {
        let width = self.window.time.map(|time| time / PARTS as i64);
        let most = (self.window.keys / PARTS).max(1);
        let most = self.room.map_or(most, |room| most.min(room.most));
        part.keys >= most || width.is_some_and(|width| time - part.began > width)
    }

    /// The number of the part for a block of that time, which is there then. One that is older than the latest part was written
    /// once more: it is a part of its own time.
    fn part_of(&mut self, time: i64) -> u16 {
        let is_full = |part: &Part| self.is_full(part, time);
        let mut parts = self.parts.iter().rev();
        let (number, is_first) = match (self.parts.back(), self.parts.front()) {
            (None, _) | (_, None) => (0, false),
            (Some(latest), _) if time >= latest.began && !is_full(latest) => return latest.number,
            (Some(latest), _) if time >= latest.began => (latest.number.wrapping_add(1), false),
            (_, Some(first)) => match parts.find(|part| part.began <= time) {
                Some(part) => return part.number,
                None => (first.number.wrapping_sub(1), true),
            },
        };
        let part = Part {
            number,
            keys: 0,
            entries: 0,
            began: time,
            last: time,
            blocks: Vec::new(),
        };
        match is_first {
            true => self.parts.push_front(part),
            false => self.parts.push_back(part),
        }
        number
    }

    /// Once most of what is in the blocks counts no more: blocks that take the place of those of one part.
    pub fn rewrite(&mut self, names: &mut Names) -> Vec<Block<V>> {
        let entries: usize = self.parts.iter().map(|part| part.entries).sum();
        // What is being written is of a part, and would be there twice.
        if entries < 2 * self.len() + FEW || self.keys.is_leaving() {
            return Vec::new();
        }
        let worst = self
            .parts
            .iter_mut()
            .max_by_key(|part| part.entries - part.keys);
        let Some(part) = worst else {
            return Vec::new();
        };
        let (of_part, files) = self.keys.take_back(part.number);
        if self.keys.broken().is_some() {
            return Vec::new();
        }
        self.files.extend(files);
        let notes = of_part.iter().map(|(digest, kept)| Note {
            digest: *digest,
            position: kept.position(),
            value: kept.value,
        });
        let notes: Vec<Note<V>> = notes.collect();
        let blocks = names.blocks(&notes, part.last);
        let written = blocks.iter().map(|block| block.name).collect();
        self.expired
            .extend(std::mem::replace(&mut part.blocks, written));
        part.entries = notes.len();
        blocks
    }

    fn count(&mut self, number: u16, change: isize) {
        if let Some(part) = self.part(number) {
            part.keys = part.keys.saturating_add_signed(change);
        }
    }

    fn forget_old(&mut self) {
        let mut gone = Vec::new();
        let mut left = self.len();
        while let Some(oldest) = self.parts.front() {
            let is_old = |time| self.now.saturating_sub(oldest.last) > time;
            let is_old = self.window.time.is_some_and(is_old);
            // One part is always left to be written to.
            let is_much = self.parts.len() > 1 && left - oldest.keys >= self.window.keys;
            if !is_old && !is_much {
                break;
            }
            if !is_old {
                self.early += oldest.keys as u64;
            }
            left -= oldest.keys;
            gone.push(oldest.number);
            if let Some(oldest) = self.parts.pop_front() {
                self.expired.extend(oldest.blocks);
            }
        }
        if !gone.is_empty() {
            let files = self.keys.forget(|number| !gone.contains(&number));
            self.files.extend(files);
        }
    }

    /// The blocks that all have been forgotten of since the last call: they are to be taken out of the state topic.
    pub fn take_expired(&mut self) -> Vec<Name> {
        std::mem::take(&mut self.expired)
    }

    /// The keys that were forgotten for want of room and before their time, since the last call.
    pub fn take_early(&mut self) -> u64 {
        std::mem::take(&mut self.early)
    }

    /// Whether it is time to write what is in memory to disk.
    pub fn is_due(&self) -> bool {
        let (Some(room), Some(latest)) = (self.room, self.parts.back()) else {
            return false;
        };
        let many = self.keys.in_memory();
        many >= 2 * room.most || many >= room.least && self.is_full(latest, self.now)
    }

    /// Whether there is so much in memory that nothing may be added before it has been written.
    pub fn is_much(&self) -> bool {
        self.room
            .is_some_and(|room| self.keys.in_memory() >= 2 * room.most)
    }

    /// What is in memory, to be written to files with numbers from `next` on, and what a manifest says of all of it then. What is
    /// of complete parts is on its way to disk from here on, and [`Self::is_written`] or [`Self::is_not_written`] end that.
    pub fn to_write(&mut self, next: &mut u64) -> (Vec<Group<V>>, KindOf) {
        let latest = self.parts.back();
        let stays = latest.filter(|latest| !self.is_full(latest, self.now));
        let stays = stays.map(|latest| latest.number);
        let (in_memory, mut runs) = self.keys.to_write();
        let group = |(part, entries): (u16, Vec<Pair<V>>)| {
            let of = RunOf {
                file: *next,
                part,
                entries: entries.len(),
                bytes: run::size::<V>(entries.len()),
            };
            *next += 1;
            let is_copy = stays == Some(part);
            Group {
                of,
                entries,
                is_copy,
            }
        };
        let groups: Vec<Group<V>> = in_memory.into_iter().map(group).collect();
        runs.extend(groups.iter().map(|group| group.of.clone()));
        self.keys.leave(stays);
        let part = |part: &Part| PartOf {
            number: part.number,
            keys: part.keys,
            entries: part.entries,
            began: part.began,
            last: part.last,
            blocks: part.blocks.clone(),
        };
        let kind = KindOf {
            now: self.now,
            expired: self.expired.clone(),
            parts: self.parts.iter().map(part).collect(),
            runs,
        };
        (groups, kind)
    }

    /// What was to be written is on disk.
    pub fn is_written(&mut self, runs: Vec<Run<V>>) {
        self.keys.has_left(runs);
        // Parts may have been forgotten meanwhile.
        let parts: HashSet<u16> = self.parts.iter().map(|part| part.number).collect();
        let files = self.keys.forget_runs(|number| parts.contains(&number));
        self.files.extend(files);
    }

    /// It is not, and stays in memory.
    pub fn is_not_written(&mut self) {
        self.keys.stay();
    }

    /// Takes over what a manifest says, with its files from the folder. The error says what is wrong with them; then nothing is
    /// remembered.
    pub fn load(&mut self, folder: &Path, kind: &KindOf) -> Result<(), String> {
        self.clear();
        let runs: Result<Vec<Run<V>>, String> =
            kind.runs.iter().map(|of| Run::open(folder, of)).collect();
        let runs = runs?;
        let part = |part: &PartOf| Part {
            number: part.number,
            keys: part.keys,
            entries: part.entries,
            began: part.began,
            last: part.last,
            blocks: part.blocks.clone(),
        };
        self.parts = kind.parts.iter().map(part).collect();
        self.now = kind.now;
        self.expired.clone_from(&kind.expired);
        let blocks = self.parts.iter().flat_map(|part| &part.blocks);
        self.known = blocks.copied().collect();
        let latest = self.parts.back();
        let open = latest.filter(|latest| !self.is_full(latest, self.now));
        let open = open.map(|open| open.number);
        let loaded = self.keys.load(runs, |number| open == Some(number));
        loaded.map_err(|error| {
            self.clear();
            error.to_string()
        })
    }

    /// The files that nothing needs any more, since the last call.
    pub fn take_files(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.files)
    }

    /// Whether there is a disk.
    pub fn is_on_disk(&self) -> bool {
        self.room.is_some()
    }

    /// The numbers of the files that it reads from.
    pub fn runs(&self) -> Vec<u64> {
        self.keys.runs()
    }

    /// Bytes of the files.
    pub fn bytes(&self) -> u64 {
        self.keys.bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::state::noted::Version;

    fn digest(key: u64) -> Digest {
        Digest::of(&[Some(&key.to_le_bytes())])
    }

    fn block(number: u64, time: i64, keys: impl Iterator<Item = (u64, i64)>) -> Block {
        let note = |(key, position)| Note {
            digest: digest(key),
            position,
            value: Once,
        };
        Block {
            name: Name { writer: 1, number },
            time,
            notes: keys.map(note).collect(),
        }
    }

    fn place_of(seen: &Seen, key: u64) -> Option<i64> {
        let (position, _) = seen.find(digest(key))?;
        Some(position)
    }

    #[test]
    fn an_entry_is_24_bytes() {
        let sizes = (
            size_of::<(Digest, Kept<Once>)>(),
            size_of::<(Digest, Kept<Version>)>(),
        );
        assert_eq!(sizes, (24, 32), "the documentation says so");
        for position in [-1, 0, 1, 1 << 46] {
            let kept = Kept::new(position, u16::MAX, Once);
            assert_eq!((kept.position(), kept.part()), (position, u16::MAX));
        }
    }

    #[test]
    fn a_key_is_remembered_for_the_window_and_an_eighth_more_at_most() {
        let window = Window {
            time: Some(80_000),
            keys: usize::MAX,
        };
        let mut seen = Seen::new(window);
        let mut expired = Vec::new();
        for second in 0..1_000 {
            let time = second * 1_000;
            seen.comes_to(time, time);
            seen.add(&block(
                second as u64,
                time,
                std::iter::once((second as u64, second)),
            ));
            expired.extend(seen.take_expired());
            for before in 0..=second {
                let age = (second - before) * 1_000;
                let found = place_of(&seen, before as u64);
                match age {
                    0..=80_000 => assert_eq!(found, Some(before), "{age}"),
                    93_000.. => assert_eq!(found, None, "{age}"),
                    _ => {}
                }
            }
        }
        assert_eq!(seen.take_early(), 0);
        assert_eq!(
            seen.len() + expired.len(),
            1_000,
            "each block is told of once"
        );
        assert_eq!(expired[0].number, 0);
    }

    #[test]
    fn a_clock_that_is_wrong_makes_nothing_old() {
        let window = Window {
            time: Some(1_000),
            keys: 100,
        };
        let mut seen = Seen::new(window);
        seen.add(&block(1, 5_000, std::iter::once((1, 1))));
        seen.comes_to(9_999_999, 5_500);
        assert_eq!(seen.now(), 5_500);
        seen.comes_to(10, 5_600);
        seen.add(&block(2, seen.now(), std::iter::once((2, 2))));
        assert_eq!(place_of(&seen, 1), Some(1));
    }

    #[test]
    fn beyond_its_room_it_forgets_the_oldest_and_says_so() {
        let window = Window {
            time: Some(i64::MAX),
            keys: 800,
        };
        let mut seen = Seen::new(window);
        for number in 0..100 {
            let keys = (0..20).map(|key| (number * 20 + key, 1));
            seen.add(&block(number, 0, keys));
            let all = (number as usize + 1) * 20;
            assert!(
                seen.len() >= all.min(800) && seen.len() <= 900 + 20,
                "{}",
                seen.len()
            );
        }
        assert_eq!(seen.take_early() as usize + seen.len(), 2_000);
        assert_eq!(place_of(&seen, 0), None);
        assert_eq!(place_of(&seen, 1_999), Some(1));
    }

    /// Few keys that change all the time: what is written stays in proportion to them, and is found again.
    #[test]
    fn what_counts_no_more_is_taken_out_of_the_topic() {
        let window = Window {
            time: None,
            keys: 1_000_000,
        };
        let mut seen: Seen<Version> = Seen::new(window);
        let mut names = Names::new(7);
        let mut topic: HashMap<Name, Block<Version>> = HashMap::new();
        let mut order = Vec::new();
        let mut most = 0;
        for round in 0..400 {
            let keys = if round == 0 { 0..3_000 } else { 0..1_000 };
            let note = |key: u64| Note {
                digest: digest(key),
                position: round,
                value: Version(round),
            };
            let notes: Vec<_> = keys.map(note).collect();
            let mut blocks = names.blocks(&notes, round);
            blocks.iter().for_each(|block| seen.add(block));
            blocks.extend(seen.rewrite(&mut names));
            for block in blocks {
                order.push(block.name);
                topic.insert(block.name, block);
            }
            for name in seen.take_expired() {
                assert!(topic.remove(&name).is_some(), "each is taken out once");
            }
            most = most.max(topic.values().map(|block| block.notes.len()).sum());
        }
        assert!(most <= 2 * 3_000 + FEW + 1_000, "{most}");
        let mut restored: Seen<Version> = Seen::new(window);
        for name in order {
            topic
                .get(&name)
                .into_iter()
                .for_each(|block| restored.add(block));
        }
        restored.is_restored();
        for key in 0..3_000 {
            let expected = if key < 1_000 { 399 } else { 0 };
            for found in [seen.find(digest(key)), restored.find(digest(key))] {
                assert_eq!(found, Some((expected, Version(expected))), "{key}");
            }
        }
        let counted = |seen: &Seen<Version>| seen.parts.iter().map(|part| part.keys).sum::<usize>();
        assert_eq!((counted(&seen), counted(&restored)), (3_000, 3_000));
    }

    #[test]
    fn an_older_version_takes_no_place() {
        let window = Window {
            time: Some(1_000),
            keys: 100,
        };
        let mut seen = Seen::new(window);
        let one = |time, version| Block {
            name: Name {
                writer: 1,
                number: version as u64,
            },
            time,
            notes: vec![Note {
                digest: digest(1),
                position: version,
                value: Version(version),
            }],
        };
        for (time, version, newest) in [(10, 5, 5), (20, 4, 5), (400, 6, 6), (5, 7, 7), (500, 3, 7)]
        {
            seen.add(&one(time, version));
            assert_eq!(seen.find(digest(1)), Some((newest, Version(newest))));
        }
        let counted: usize = seen.parts.iter().map(|part| part.keys).sum();
        assert_eq!((counted, seen.len()), (1, 1));
    }

    proptest! {
        /// Whatever the order of blocks and repeats: a key counts from its last one.
        #[test]
        fn it_is_a_map_with_a_horizon(
            steps in proptest::collection::vec((0u64..60, 0i64..40), 1..400),
        ) {
            let window = Window { time: Some(400), keys: usize::MAX };
            let mut seen = Seen::new(window);
            let mut model: HashMap<u64, (i64, i64)> = HashMap::new();
            let mut now = 0;
            for (number, (key, step)) in (0..).zip(steps) {
                now += step;
                seen.add(&block(number, now, std::iter::once((key, number as i64))));
                model.insert(key, (now, number as i64));
                for (key, (time, position)) in &model {
                    let found = place_of(&seen, *key);
                    match now - time {
                        0..=400 => prop_assert_eq!(found, Some(*position)),
                        // An eighth more, and what the step to the next block takes.
                        491.. => prop_assert_eq!(found, None),
                        _ => prop_assert!(found.is_none() || found == Some(*position)),
                    }
                }
                let counted: usize = seen.parts.iter().map(|part| part.keys).sum();
                prop_assert_eq!(counted, seen.len());
            }
        }
    }
}
