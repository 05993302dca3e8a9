//! The keys of a source partition whose records are through, for as long as the window says.
//!
//! They are kept in parts of the window, by the time that the partition had come to, and a part is forgotten as a whole: so
//! a key is remembered for the window, and for up to an eighth of it more. An entry is 24 bytes, and 32 with a version, in a
//! table that is between half and seven eighths full.
//!
//! A key that counts anew is in a later block as well, so the topic would grow with a few keys that change all the time. Once
//! more than half of it is such, what is left of the part with most of that is written once more.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};

use super::block::{Block, MOST, Name, Names};
use super::digest::Digest;
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

/// A digest is as good as its hash.
#[derive(Default)]
struct Own(u64);

impl Hasher for Own {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }

    fn write_usize(&mut self, _: usize) {}
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

/// What is remembered of a key.
#[derive(Debug, Clone, Copy)]
struct Kept<V> {
    /// The position of its record, and the number of its part in the lowest 16 bits.
    place: u64,
    value: V,
}

/// See the module.
#[derive(Debug)]
pub struct Seen<V = Once> {
    window: Window,
    keys: HashMap<Digest, Kept<V>, BuildHasherDefault<Own>>,
    /// The oldest first.
    parts: VecDeque<Part>,
    /// The latest time of a record, which does not go back.
    now: i64,
    /// Blocks that are to be taken out of the state topic.
    expired: Vec<Name>,
    /// Blocks that were taken out before, while it is read what there is.
    gone: HashSet<Name>,
    /// Keys that were forgotten for want of room, before their time.
    early: u64,
}

impl<V: Value> Seen<V> {
    /// Nothing yet.
    pub fn new(window: Window) -> Seen<V> {
        Seen {
            window,
            keys: HashMap::default(),
            parts: VecDeque::new(),
            now: i64::MIN,
            expired: Vec::new(),
            gone: HashSet::new(),
            early: 0,
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Seen::new(self.window);
    }

    /// A block was found to be taken out. Its keys are the oldest, and go with the blocks that came when it was.
    pub fn is_gone(&mut self, name: Name) {
        self.gone.insert(name);
    }

    /// Everything that there is has been read.
    pub fn is_restored(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        self.expired.retain(|name| !gone.contains(name));
        for part in &mut self.parts {
            part.blocks.retain(|name| !gone.contains(name));
        }
        self.early = 0;
    }

    /// The position of the key's record, and what is remembered of it.
    pub fn find(&self, digest: Digest) -> Option<(i64, V)> {
        let kept = self.keys.get(&digest)?;
        Some((position(kept.place), kept.value))
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
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
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
            let (place, value) = (place(note.position, number), note.value);
            let before = self.keys.get(&note.digest).copied();
            if before.is_some_and(|before| before.value.is_newer(value)) {
                continue;
            }
            self.keys.insert(note.digest, Kept { place, value });
            let before = before.map(|before| before.place as u16);
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

    /// The number of the part for a block of that time, which is there then. One that is older than the latest part was written
    /// once more: it is a part of its own time.
    fn part_of(&mut self, time: i64) -> u16 {
        let width = self.window.time.map(|time| time / PARTS as i64);
        let most = (self.window.keys / PARTS).max(1);
        let is_full =
            |part: &Part| part.keys >= most || width.is_some_and(|width| time - part.began > width);
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
        if entries < 2 * self.keys.len() + FEW {
            return Vec::new();
        }
        let worst = self
            .parts
            .iter_mut()
            .max_by_key(|part| part.entries - part.keys);
        let Some(part) = worst else {
            return Vec::new();
        };
        let of_part = self
            .keys
            .iter()
            .filter(|(_, kept)| kept.place as u16 == part.number);
        let notes = of_part.map(|(digest, kept)| Note {
            digest: *digest,
            position: position(kept.place),
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
        while let Some(oldest) = self.parts.front() {
            let is_old = |time| self.now.saturating_sub(oldest.last) > time;
            let is_old = self.window.time.is_some_and(is_old);
            let left = self.keys.len() - gone.iter().map(|(_, keys)| keys).sum::<usize>();
            // One part is always left to be written to.
            let is_much = self.parts.len() > 1 && left - oldest.keys >= self.window.keys;
            if !is_old && !is_much {
                break;
            }
            if !is_old {
                self.early += oldest.keys as u64;
            }
            gone.push((oldest.number, oldest.keys));
            if let Some(oldest) = self.parts.pop_front() {
                self.expired.extend(oldest.blocks);
            }
        }
        if !gone.is_empty() {
            let is_left = |number: u16| gone.iter().all(|(one, _)| *one != number);
            self.keys.retain(|_, kept| is_left(kept.place as u16));
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
}

fn place(position: i64, part: u16) -> u64 {
    (position as u64) << 16 | u64::from(part)
}

fn position(place: u64) -> i64 {
    (place as i64) >> 16
}

#[cfg(test)]
mod tests {
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
        for position in [0, 1, 1 << 46] {
            assert_eq!(super::position(place(position, u16::MAX)), position);
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
