//! What is found after whatever may happen to the files, held against what is in the topic.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::state::block::{Found, Names};
use crate::state::digest::Digest;
use crate::state::disk::folder::StateDir;
use crate::state::memory::{Memory, Notes, Part, Record};
use crate::state::noted::{Note, Noted};
use crate::state::seen::{Room, Window};

/// What is remembered for longer than the window, until its part is complete: an eighth, and the step to the next block.
const WINDOW: i64 = 4_000;
const LATER: i64 = WINDOW + WINDOW / 8 + 200;
const TOPIC: &str = "orders.g.state";

fn digest(key: u64) -> Digest {
    Digest::of(&[Some(&key.to_le_bytes())])
}

/// A partition of a state topic, with what its records say.
struct World {
    random: SmallRng,
    names: Names,
    /// Compaction leaves tombstones, and nothing of what they are of.
    topic: Vec<Option<Record>>,
    /// Written, and not acknowledged.
    pending: Vec<Record>,
    /// Of each key that is in the topic, or pending: the times of its records, and positions.
    keys: HashMap<u64, Vec<(i64, i64)>>,
    /// Of each key its newest version, with its time.
    versions: HashMap<u64, (i64, i64)>,
    time: i64,
    next: i64,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            random: SmallRng::seed_from_u64(seed),
            names: Names::new(seed),
            topic: Vec::new(),
            pending: Vec::new(),
            keys: HashMap::new(),
            versions: HashMap::new(),
            time: 0,
            next: 0,
        }
    }

    /// Keys go through: some of them for the first time, versions mostly for another time.
    fn add(&mut self, memory: &mut Memory) {
        let mut notes = Notes {
            seen: Some(Noted::default()),
            newest: Some(Noted::default()),
        };
        self.time += self.random.random_range(1..100);
        memory.comes_to(self.time, self.time);
        let first = self.next;
        for _ in 0..self.random.random_range(1..30) {
            let (key, position) = (self.next as u64, self.next);
            self.next += 1;
            let value = Once;
            let note = Note {
                digest: digest(key),
                position,
                value,
            };
            notes
                .seen
                .iter_mut()
                .for_each(|noted| noted.note(position, note));
            self.keys
                .entry(key)
                .or_default()
                .push((self.time, position));
            let (entity, value) = (key % 97, Version(position));
            let note = Note {
                digest: digest(entity),
                position,
                value,
            };
            notes
                .newest
                .iter_mut()
                .for_each(|noted| noted.note(position, note));
            self.versions.insert(entity, (self.time, position));
        }
        let (blocks, records) = memory.write(&notes.take_below(self.next), &mut self.names);
        assert!(first < self.next);
        memory.add(&blocks);
        self.pending.extend(records);
    }

    /// What is pending is in the topic.
    fn acknowledge(&mut self, memory: Option<&mut Memory>) {
        let mut anchors = Vec::new();
        for record in std::mem::take(&mut self.pending) {
            let offset = self.topic.len() as i64;
            if record.1.is_none() {
                // Compacted at once.
                let of_key = |other: &Option<Record>| {
                    other.as_ref().is_some_and(|(key, _)| *key == record.0)
                };
                self.topic
                    .iter_mut()
                    .filter(|other| of_key(other))
                    .for_each(|other| *other = None);
            } else {
                let key = record.0.clone().try_into().expect("17 bytes");
                anchors.push(manifest::Anchor { offset, key });
            }
            self.topic.push(Some(record));
        }
        if let Some(memory) = memory {
            anchors
                .into_iter()
                .for_each(|anchor| memory.reaches(anchor));
        }
    }

    /// What the topic does not have counts for nobody.
    fn lose_pending(&mut self) {
        self.pending.clear();
        self.keys.clear();
        self.versions.clear();
    }

    /// Reads the topic as an owner does that gets the partition: from where its copy ends, if the topic has that.
    /// `true`: it had a copy that was of use.
    fn restore(&self, memory: &mut Memory) -> bool {
        let loaded = memory.load();
        let anchor = memory.anchor();
        assert!(loaded.is_ok() || anchor.is_none());
        let is_there = anchor.is_some_and(|anchor| {
            let record = self.topic.get(anchor.offset as usize);
            record.is_some_and(|record| {
                record
                    .as_ref()
                    .is_some_and(|(key, _)| key[..] == anchor.key)
            })
        });
        if anchor.is_some() && !is_there {
            memory.clear().expect("it can be removed");
        }
        let from = anchor
            .filter(|_| is_there)
            .map_or(0, |anchor| anchor.offset + 1);
        for (offset, record) in self.topic.iter().enumerate().skip(from as usize) {
            let Some((key, value)) = record else { continue };
            let found = Found::of(Some(key), value.as_deref()).expect("our own");
            memory.hear(offset as i64, &found);
            memory.settle(Instant::now()).expect("it is written");
        }
        memory.is_restored();
        memory.settle(Instant::now()).expect("it is written");
        is_there
    }

    /// Another owner that has no disk says what the topic says.
    fn check(&self, memory: &Memory, what: &str) {
        assert_eq!(memory.broken(), None, "{what}");
        let mut model = memory_of(None);
        self.restore(&mut model);
        let (seen, newest) = (memory.seen.as_ref(), memory.newest.as_ref());
        let (seen, newest) = (seen.expect("there"), newest.expect("there"));
        for key in 0..self.next as u64 + 50 {
            let found = seen.find(digest(key)).map(|(position, _)| position);
            let times = self.keys.get(&key);
            let last = times.and_then(|times| times.last()).copied();
            let expected = model.seen.as_ref().and_then(|seen| seen.find(digest(key)));
            let expected = expected.map(|(position, _)| position);
            match last.map(|(time, position)| (self.time - time, position)) {
                Some((..=WINDOW, position)) => assert_eq!(found, Some(position), "{what}: {key}"),
                Some((LATER.., _)) => assert_eq!(found, None, "{what}: {key}"),
                Some((_, position)) => {
                    assert!(found.is_none_or(|one| one == position), "{what}: {key}")
                }
                // It was lost before it was in the topic, or is known from before that.
                None => assert!(found.is_none() || found == expected, "{what}: {key}"),
            }
        }
        for (entity, (time, version)) in &self.versions {
            let found = newest.find(digest(*entity)).map(|(_, version)| version.0);
            match self.time - time {
                ..=WINDOW => assert_eq!(found, Some(*version), "{what}: {entity}"),
                LATER.. => assert_eq!(found, None, "{what}: {entity}"),
                _ => assert!(found.is_none_or(|one| one == *version), "{what}: {entity}"),
            }
        }
    }
}

const ROOM: Room = Room {
    least: 20,
    most: 60,
};

fn memory_of(dir: Option<&Arc<StateDir>>) -> Memory {
    let window = Window {
        time: Some(WINDOW),
        keys: 100_000,
    };
    let room = dir.map(|_| ROOM);
    let part = Some(Part { window, room });
    let claim = dir.map(|dir| dir.claim(TOPIC, 0).expect("a folder"));
    Memory::of(part, part, claim)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        // One that has just been removed is not in the copy either.
        drop(fs::copy(entry.path(), to.join(entry.file_name())));
    }
}

/// What is left of the files if the machine stops at any moment of a write, and is started with that.
#[test]
fn a_restart_after_a_crash_at_any_moment_finds_what_the_topic_has() {
    let (mut went_on, mut all) = (0, 0);
    for seed in 0..6 {
        let mut world = World::new(seed);
        let mut home = tempfile::tempdir().expect("a folder");
        let mut dir = StateDir::open(home.path()).expect("it is free");
        let mut memory = memory_of(Some(&dir));
        world.restore(&mut memory);
        for step in 0..120 {
            world.add(&mut memory);
            if world.random.random_bool(0.7) {
                world.acknowledge(Some(&mut memory));
                memory.settle(Instant::now()).expect("it is written");
            }
            if step % 17 == 0 {
                world.check(&memory, &format!("seed {seed}, step {step}"));
            }
            if world.random.random_bool(0.9) {
                continue;
            }
            let what = format!("seed {seed}, after {step}");
            // Where no write is under way, the one that is next is looked at from within.
            let folder = dir_of(home.path());
            let is_clean = world.random.random_bool(0.3);
            if is_clean {
                world.acknowledge(Some(&mut memory));
                memory.put_away(Instant::now()).expect("it is written");
            }
            if world.random.random_bool(0.5) {
                // Time for a write that is under way to come to its end.
                std::thread::park_timeout(Duration::from_millis(30));
            }
            let next = tempfile::tempdir().expect("a folder");
            copy(&folder, &dir_of(next.path()));
            // What was under way is in the topic, or it is not.
            match world.random.random_bool(0.5) {
                true => world.acknowledge(None),
                false if !world.pending.is_empty() => world.lose_pending(),
                false => {}
            }
            if world.random.random_bool(0.2) {
                break_one(&mut world.random, &dir_of(next.path()));
            }
            drop((memory, dir));
            home = next;
            dir = StateDir::open(home.path()).expect("it is free");
            memory = memory_of(Some(&dir));
            let went = world.restore(&mut memory);
            went_on += usize::from(went);
            all += 1;
            if memory.broken().is_some() {
                // Noticed where it was read, and read again without it.
                memory.clear().expect("it can be removed");
                world.restore(&mut memory);
            }
            match find_all(&world, &memory) {
                Ok(()) => world.check(&memory, &what),
                Err(()) => {
                    memory.clear().expect("it can be removed");
                    world.restore(&mut memory);
                    world.check(&memory, &what);
                }
            }
        }
    }
    assert!(went_on > all / 3 && went_on < all, "{went_on} of {all}");
}

/// Asks for everything: something that cannot be read is told then.
fn find_all(world: &World, memory: &Memory) -> Result<(), ()> {
    for key in 0..world.next as u64 {
        memory.seen.as_ref().and_then(|seen| seen.find(digest(key)));
        memory
            .newest
            .as_ref()
            .and_then(|seen| seen.find(digest(key)));
    }
    memory.broken().map_or(Ok(()), |_| Err(()))
}

fn dir_of(home: &Path) -> PathBuf {
    home.join(TOPIC).join("0")
}

/// Cuts a file somewhere, or changes a byte, or takes it away.
fn break_one(random: &mut SmallRng, folder: &Path) {
    let files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    if files.is_empty() {
        return;
    }
    let path = &files[random.random_range(0..files.len())];
    let mut bytes = fs::read(path).expect("a file");
    let at = random.random_range(0..bytes.len().max(1));
    match random.random_range(0..3) {
        0 => bytes.truncate(at),
        1 => bytes
            .iter_mut()
            .skip(at)
            .take(1)
            .for_each(|byte| *byte ^= 1),
        _ => return fs::remove_file(path).expect("a file"),
    }
    fs::write(path, bytes).expect("a file");
}

/// Few keys that change all the time: files do not grow with what counts no more, and are read where it is needed.
#[test]
fn versions_that_count_no_more_leave_the_disk() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = StateDir::open(home.path()).expect("it is free");
    let window = Window {
        time: None,
        keys: 20_000,
    };
    let room = Some(Room {
        least: 100,
        most: 400,
    });
    let claim = dir.claim(TOPIC, 0).expect("a folder");
    let mut memory = Memory::of(None, Some(Part { window, room }), Some(claim));
    memory.load().expect("nothing is there");
    memory.is_restored();
    let (mut names, mut offset, mut most) = (Names::new(1), 0, 0);
    for round in 0..300 {
        let mut notes = Notes {
            seen: None,
            newest: Some(Noted::default()),
        };
        let keys = if round == 0 { 0..1_500 } else { 0..500 };
        memory.comes_to(round, round);
        for key in keys {
            let value = Version(round);
            let note = Note {
                digest: digest(key),
                position: round,
                value,
            };
            let noted = notes.newest.as_mut().expect("it is kept");
            noted.note(key as i64, note);
        }
        let (blocks, records) = memory.write(&notes.take_below(i64::MAX), &mut names);
        memory.add(&blocks);
        for (key, value) in records {
            if value.is_some() {
                let key = key.try_into().expect("17 bytes");
                memory.reaches(manifest::Anchor { offset, key });
            }
            offset += 1;
        }
        memory.settle(Instant::now()).expect("it is written");
        // What comes while something is being written is beyond the bound.
        memory.catch_up(Instant::now()).expect("it is written");
        most = most.max(memory.disk_bytes().expect("there is a disk"));
    }
    memory.put_away(Instant::now()).expect("it is written");
    // 65,536 that count no more are no trouble, and as many as there are keys.
    assert!(most < 44 * (65_536 + 4 * 1_500), "{most}");
    drop(memory);
    let claim = dir.claim(TOPIC, 0).expect("a folder");
    let mut memory = Memory::of(None, Some(Part { window, room }), Some(claim));
    memory.load().expect("it is what was written");
    let newest = memory.newest.as_ref().expect("it is kept");
    for key in 0..1_500 {
        let expected = if key < 500 { 299 } else { 0 };
        let found = newest.find(digest(key));
        assert_eq!(found, Some((expected, Version(expected))), "{key}");
    }
    assert_eq!((newest.len(), memory.broken()), (1_500, None));
    let files = fs::read_dir(dir_of(home.path())).expect("a folder").count();
    assert_eq!(
        files,
        newest.runs().len() + memory.copies() + 1,
        "and the manifest"
    );
}

/// What cannot be written stays in memory, and is written once that can be done.
#[test]
fn what_cannot_be_written_is_found_all_the_same() {
    let home = tempfile::tempdir().expect("a folder");
    let dir = StateDir::open(home.path()).expect("it is free");
    let mut world = World::new(1);
    let mut memory = memory_of(Some(&dir));
    world.restore(&mut memory);
    let folder = dir_of(home.path());
    fs::remove_dir_all(&folder).expect("it can be removed");
    let begun = Instant::now();
    let mut said = Vec::new();
    for _ in 0..30 {
        world.add(&mut memory);
        world.acknowledge(Some(&mut memory));
        said.extend(memory.settle(begun).err());
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(TOPIC), "{said:?}");
    world.check(&memory, "nothing was written");
    assert_eq!(memory.disk_bytes(), Some(0));
    fs::create_dir(&folder).expect("a folder");
    let later = begun + AGAIN;
    memory.settle(later).expect("it is tried again");
    memory.put_away(later).expect("it is written");
    assert!(memory.disk_bytes() > Some(0));
    world.check(&memory, "it was written");
    drop(memory);
    let mut memory = memory_of(Some(&dir));
    assert!(world.restore(&mut memory), "it goes on from there");
    world.check(&memory, "it was read");
}
