//! Which records of a source partition are in retry, by key, so that what comes behind one of its key can wait for it.
//! Input: what a worker reads, hands on and sees acknowledged. Output: whether a record may go, and whom it follows. Pure
//! state: no topics, no clock; it does not know what a record holds.
//!
//! A record is known by the hash of its key and by its offset in the source. It may go when no record of its key with a
//! lower offset is in retry, whichever tier each of them is in: so the order at the sink is that of the source, whatever
//! order the tiers come to be due in. Nothing here has to be taken back after a rewind. A record that was entered as waiting
//! and never reached its retry topic is read again from where it came, and goes or waits as it did before: until then it
//! takes room that nothing else can free, so whoever is read again in front of it is not to wait for room. One that is
//! read from a retry topic and not known, such as one that a person sent back, is entered when it is read.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

/// A record's key: 64 bits of hash. Two keys that share one wait for each other, and that is all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Of what is a hash already.
#[derive(Debug, Clone, Copy, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

impl Key {
    /// Of a record's key; a record without one is in no order with any other.
    pub fn of(key: Option<&[u8]>) -> Option<Key> {
        let mut hasher = DefaultHasher::new();
        hasher.write(key?);
        Some(Key(hasher.finish()))
    }
}

/// What becomes of the followers of a record in retry that is dead-lettered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dead {
    /// They wait until a person has dealt with it.
    Held,
    /// Those up to this source offset are dead letters as well.
    Doomed(i64),
}

/// What is said in a retry topic about a key, and is no record of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// A record of the key is a dead letter, with this fate of its followers.
    Dead(Dead),
    /// It is no longer held.
    Released,
}

impl Control {
    /// As a header has it.
    pub fn to_text(self) -> String {
        match self {
            Control::Dead(Dead::Held) => "held".to_owned(),
            Control::Dead(Dead::Doomed(last)) => format!("doomed {last}"),
            Control::Released => "released".to_owned(),
        }
    }

    /// Reads what [`Self::to_text`] wrote.
    pub fn parse(text: &[u8]) -> Option<Control> {
        match std::str::from_utf8(text).ok()?.split_once(' ') {
            Some(("doomed", last)) => Some(Control::Dead(Dead::Doomed(last.parse().ok()?))),
            Some(_) => None,
            None if text == b"held" => Some(Control::Dead(Dead::Held)),
            None if text == b"released" => Some(Control::Released),
            None => None,
        }
    }
}

/// How much may wait in one source partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Keys.
    pub keys: usize,
    /// Records of all keys together.
    pub records: usize,
}

/// Where a record in retry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In its retry topic, or on the way there.
    Waiting,
    /// Read from a partition with this epoch and not finished.
    Read(u64),
    /// Handed to the producer for a sink, from a partition with this epoch, and not acknowledged.
    Passing(u64),
}

#[derive(Debug, Clone, Copy)]
struct Parked {
    offset: i64,
    /// When it is due; milliseconds since the epoch.
    due: i64,
    stage: Stage,
    tier: u8,
    /// Whether the record itself is in retry, and not only what stands for it as a dead letter.
    is_record: bool,
    dead: Option<Dead>,
    /// Whether what stands for it as a dead letter is known to be in a retry topic.
    is_told: bool,
}

/// The records in retry of one key, by source offset.
#[derive(Debug, Clone, Default)]
struct Line {
    records: VecDeque<Parked>,
    /// Followers since one of its records failed last.
    followed: u32,
    /// How often the source partition was stopped for it since then.
    stops: u32,
    /// Whether one of its records has had its outcome since then.
    goes: bool,
    /// How many of its records are dead letters whose followers have to be thought of.
    dead: usize,
}

impl Line {
    fn find(&self, offset: i64) -> Result<usize, usize> {
        // Mostly it is the last one, or comes behind it.
        match self.records.back().map(|last| last.offset.cmp(&offset)) {
            None | Some(Ordering::Less) => Err(self.records.len()),
            Some(Ordering::Equal) => Ok(self.records.len() - 1),
            Some(Ordering::Greater) => self
                .records
                .binary_search_by_key(&offset, |parked| parked.offset),
        }
    }
}

/// After so many followers in a row a key is one that is written to faster than it gets through its retry topic.
const HOT: u32 = 1000;
/// So often a source partition waits for one key before its records follow again.
const MAX_STOPS: u32 = 10;

/// A record in front of another one of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Predecessor {
    /// Its offset in the source.
    pub offset: i64,
    /// The tier that it is in, counted from 0.
    pub tier: usize,
}

/// The records of one source partition that are in retry. From a mark on it remembers what changes, so that an aborted
/// transaction can undo it: a record that went through is in retry again, and a dead letter is none.
#[derive(Debug, Clone)]
pub struct Parking {
    lines: HashMap<Key, Line, BuildHasherDefault<AsIs>>,
    records: usize,
    limits: Limits,
    /// Counts the keys that were added: who knows that a key was not there need not look again before that has changed.
    added: u64,
    /// What the records that changed since the mark were then; `None` for one that was not known. Without a mark nothing
    /// is kept.
    before: Option<HashMap<(Key, i64), Option<Parked>>>,
}

impl Parking {
    /// Nothing is in retry.
    pub fn new(limits: Limits) -> Parking {
        Parking {
            lines: HashMap::default(),
            records: 0,
            limits,
            added: 0,
            before: None,
        }
    }

    /// From now on what is done is kept in mind, so that [`Self::restore`] can undo it.
    pub fn mark(&mut self) {
        self.before.get_or_insert_default().clear();
    }

    /// Undoes what was done since the mark: every record in retry is where it was, and waits there. Does nothing without
    /// a mark.
    pub fn restore(&mut self) {
        let Some(mut changed) = self.before.take() else {
            return;
        };
        for ((key, offset), before) in changed.drain() {
            let Some(before) = before else {
                self.remove(key, offset);
                continue;
            };
            *self.entry(key, offset) = Parked {
                stage: Stage::Waiting,
                dead: None,
                ..before
            };
            let has_dead = |parked: &&Parked| parked.dead.is_some();
            if let Some(line) = self.lines.get_mut(&key) {
                line.dead = line.records.iter().filter(has_dead).count();
            }
            if let Some(dead) = before.dead {
                self.set_dead(key, offset, dead);
            }
        }
        self.before = Some(changed);
    }

    /// A record is about to change.
    fn keep(&mut self, key: Key, offset: i64) {
        if let Some(before) = &self.before
            && !before.contains_key(&(key, offset))
        {
            let parked = self.get(key, offset).copied();
            if let Some(before) = &mut self.before {
                before.insert((key, offset), parked);
            }
        }
    }

    /// Changes whenever a key is added.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// Whether a record of the key is in retry.
    pub fn has(&self, key: Key) -> bool {
        self.lines.contains_key(&key)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        let added = self.added + 1;
        *self = Parking {
            added,
            ..Parking::new(self.limits)
        };
    }

    /// Whether nothing is in retry.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Keys with a record in retry.
    pub fn keys(&self) -> usize {
        self.lines.len()
    }

    /// The last offset of the source that is known to be in retry.
    pub fn last(&self) -> Option<i64> {
        let lines = self.lines.values();
        lines
            .filter_map(|line| Some(line.records.back()?.offset))
            .max()
    }

    /// Records in retry.
    pub fn records(&self) -> usize {
        self.records
    }

    /// Whether a record may not be added: it would be one too many, or its key would. One that is known is no addition.
    pub fn has_no_room(&self, key: Key, offset: i64) -> bool {
        self.get(key, offset).is_none()
            && (self.records >= self.limits.records
                || (self.lines.len() >= self.limits.keys && !self.lines.contains_key(&key)))
    }

    /// Whether so much has gone that a source partition which was full is read again: a tenth.
    pub fn has_room_again(&self) -> bool {
        let low = |limit: usize| limit - limit.div_ceil(10);
        self.records <= low(self.limits.records) && self.lines.len() <= low(self.limits.keys)
    }

    /// Whether a record behind the one at `offset` and before `end` is known here.
    pub fn has_within(&self, offset: i64, end: i64) -> bool {
        self.lines.values().any(|line| {
            let (Ok(next) | Err(next)) = line.find(offset.saturating_add(1));
            let parked = line.records.get(next);
            parked.is_some_and(|parked| parked.offset < end)
        })
    }

    fn get(&self, key: Key, offset: i64) -> Option<&Parked> {
        let line = self.lines.get(&key)?;
        line.records.get(line.find(offset).ok()?)
    }

    fn get_mut(&mut self, key: Key, offset: i64) -> Option<&mut Parked> {
        if self.before.is_some() && self.get(key, offset).is_some() {
            self.keep(key, offset);
        }
        let line = self.lines.get_mut(&key)?;
        let index = line.find(offset).ok()?;
        line.records.get_mut(index)
    }

    /// The record's entry, made if there is none.
    fn entry(&mut self, key: Key, offset: i64) -> &mut Parked {
        self.keep(key, offset);
        let added = &mut self.added;
        let line = self.lines.entry(key).or_insert_with(|| {
            *added += 1;
            Line::default()
        });
        let index = line.find(offset).unwrap_or_else(|index| {
            let parked = Parked {
                offset,
                due: 0,
                stage: Stage::Waiting,
                tier: 0,
                is_record: false,
                dead: None,
                is_told: false,
            };
            line.records.insert(index, parked);
            self.records += 1;
            index
        });
        &mut line.records[index]
    }

    /// A record was found in a retry topic before anything was read.
    pub fn found(
        &mut self,
        key: Key,
        offset: i64,
        tier: usize,
        due: i64,
        control: Option<Control>,
    ) {
        if control == Some(Control::Released) {
            return self.released(key, offset);
        }
        let parked = self.entry(key, offset);
        parked.tier = small(tier);
        parked.due = parked.due.max(due);
        parked.is_record |= control.is_none();
        if let Some(Control::Dead(dead)) = control {
            self.set_dead(key, offset, dead);
            self.told(key, offset);
        }
    }

    fn set_dead(&mut self, key: Key, offset: i64, dead: Dead) {
        let Some(parked) = self.get_mut(key, offset) else {
            return;
        };
        let before = parked.dead.replace(dead);
        if let (None, Some(line)) = (before, self.lines.get_mut(&key)) {
            line.dead += 1;
        }
    }

    /// A record is read: from the retry topic of a tier, or from the source, where it leaves a mark only if it is known.
    pub fn read(&mut self, key: Key, offset: i64, tier: Option<usize>, epoch: u64) {
        let parked = match tier {
            Some(tier) => {
                let parked = self.entry(key, offset);
                parked.tier = small(tier);
                parked.is_record = true;
                Some(parked)
            }
            None => self.get_mut(key, offset),
        };
        if let Some(parked) = parked {
            parked.stage = Stage::Read(epoch);
        }
    }

    /// The record of the key that stands in front of the one at `offset`.
    pub fn predecessor(&self, key: Key, offset: i64) -> Option<Predecessor> {
        self.before(key, offset).map(|parked| Predecessor {
            offset: parked.offset,
            tier: usize::from(parked.tier),
        })
    }

    fn before(&self, key: Key, offset: i64) -> Option<&Parked> {
        let line = self.lines.get(&key)?;
        let (Ok(index) | Err(index)) = line.find(offset);
        line.records.get(index.checked_sub(1)?)
    }

    /// Whether a record that was just read has no chance to go: the one in front of it is not in front of it in the same
    /// partition. The answer costs a lookup and saves the record's way through the pipeline.
    pub fn must_wait(&self, key: Key, offset: i64, epoch: u64) -> bool {
        self.before(key, offset).is_some_and(
            |parked| !matches!(parked.stage, Stage::Read(at) | Stage::Passing(at) if at == epoch),
        )
    }

    /// Whether a record may go to a sink or to the dead letters now. The one in front of it has gone, or is on its way from
    /// the same partition: should it be refused, the partition is read again from there, this record included. Who is in
    /// front of *that* one had gone, or was on its way from there, when it went.
    pub fn may_go(&self, key: Key, offset: i64, epoch: u64) -> bool {
        self.before(key, offset)
            .is_none_or(|parked| parked.stage == Stage::Passing(epoch))
    }

    /// A record goes to its sink.
    pub fn passes(&mut self, key: Key, offset: i64, epoch: u64) {
        if let Some(parked) = self.get_mut(key, offset) {
            parked.stage = Stage::Passing(epoch);
        }
    }

    /// A record does not go to its sink after all.
    pub fn stays(&mut self, key: Key, offset: i64) {
        if let Some(parked) = self.get_mut(key, offset) {
            parked.stage = Stage::Waiting;
        }
    }

    /// A record is handed to the producer for the retry topic of a tier; as one that failed, or behind one of its key.
    pub fn parked(&mut self, key: Key, offset: i64, tier: usize, due: i64, failed: bool) {
        let parked = self.entry(key, offset);
        parked.tier = small(tier);
        parked.due = due;
        parked.stage = Stage::Waiting;
        parked.is_record = true;
        if let Some(line) = self.lines.get_mut(&key) {
            if failed {
                (line.followed, line.stops, line.goes) = (0, 0, false);
            } else {
                line.followed = line.followed.saturating_add(1);
            }
        }
    }

    /// Whether the source partition should wait for the key rather than send one more record behind it. A key that is
    /// written to faster than its followers get through would never be free again, though nothing of it fails any more.
    /// Nobody waits for one that has not been seen to get through: other keys would be held up by what still fails. Says
    /// so a bounded number of times.
    pub fn should_wait_for(&mut self, key: Key, now: i64) -> bool {
        let Some(line) = self.lines.get_mut(&key) else {
            return false;
        };
        // A follower is never due before the one that it follows.
        let is_due = line.records.back().is_some_and(|last| last.due <= now);
        if line.followed < HOT || !line.goes || line.dead > 0 || !is_due {
            return false;
        }
        line.stops += 1;
        if line.stops > MAX_STOPS {
            (line.followed, line.stops) = (0, 0);
            return false;
        }
        true
    }

    /// A record has its outcome: it is in retry no more. As a dead letter (`is_dead`) it may stay in front of its followers,
    /// and one that came back from there leaves those alone that were doomed with it. What was to stand for it and is known
    /// to be nowhere does not: it went to the dead letters with another one then.
    pub fn resolved(&mut self, key: Key, offset: i64, is_dead: bool) {
        let Some(parked) = self.get_mut(key, offset) else {
            return;
        };
        match parked.dead {
            Some(Dead::Held) if is_dead => {}
            Some(Dead::Doomed(_)) if parked.is_told => parked.is_record = false,
            _ => {
                self.remove(key, offset);
                if let Some(line) = self.lines.get_mut(&key) {
                    line.goes = true;
                }
            }
        }
    }

    /// A dead letter stands in front of its followers no more.
    pub fn released(&mut self, key: Key, offset: i64) {
        let Some(parked) = self.get_mut(key, offset) else {
            return;
        };
        if !parked.is_record {
            return self.remove(key, offset);
        }
        parked.is_told = false;
        let before = parked.dead.take();
        if let (Some(_), Some(line)) = (before, self.lines.get_mut(&key)) {
            line.dead -= 1;
        }
    }

    fn remove(&mut self, key: Key, offset: i64) {
        self.keep(key, offset);
        let Some(line) = self.lines.get_mut(&key) else {
            return;
        };
        if let Ok(index) = line.find(offset)
            && let Some(parked) = line.records.remove(index)
        {
            line.dead -= usize::from(parked.dead.is_some());
            self.records -= 1;
        }
        if line.records.is_empty() {
            self.lines.remove(&key);
        }
    }

    /// What is to become of the followers of a dead letter, if that has been said.
    pub fn dead(&self, key: Key, offset: i64) -> Option<Dead> {
        self.get(key, offset)?.dead
    }

    /// A record in retry is dead-lettered, and what stands for it goes to the retry topic of a tier.
    pub fn dies(&mut self, key: Key, offset: i64, dead: Dead, tier: usize, due: i64) {
        let parked = self.entry(key, offset);
        parked.tier = small(tier);
        parked.due = due;
        parked.stage = Stage::Waiting;
        parked.is_record = false;
        self.set_dead(key, offset, dead);
    }

    /// What stands for a dead letter goes to another tier, or round on one.
    pub fn stands(&mut self, key: Key, offset: i64, tier: usize, due: i64) {
        if let Some(parked) = self.get_mut(key, offset)
            && !parked.is_record
        {
            parked.tier = small(tier);
            parked.due = due;
            parked.stage = Stage::Waiting;
            parked.is_told = true;
        }
    }

    /// What stands for a dead letter is in a retry topic.
    pub fn told(&mut self, key: Key, offset: i64) {
        if let Some(parked) = self.get_mut(key, offset) {
            parked.is_told = true;
        }
    }

    /// Whether something is known to stand for the dead letter. What was handed to the producer for that may yet be refused:
    /// should the record become a dead letter again before that is known, it is written again.
    pub fn is_told(&self, key: Key, offset: i64) -> bool {
        self.get(key, offset)
            .is_some_and(|parked| parked.dead.is_some() && parked.is_told)
    }

    /// The last record of the key that is behind the one at `offset`.
    pub fn last_follower(&self, key: Key, offset: i64) -> Option<Predecessor> {
        self.last_within(key, offset, i64::MAX)
    }

    /// The last record of the key behind `offset` and not behind `end`.
    pub fn last_within(&self, key: Key, offset: i64, end: i64) -> Option<Predecessor> {
        let line = self.lines.get(&key)?;
        let (Ok(index) | Err(index)) = line.find(end);
        let index = match line.records.get(index) {
            Some(parked) if parked.offset == end => index,
            _ => index.checked_sub(1)?,
        };
        let last = line.records.get(index)?;
        (last.offset > offset).then(|| Predecessor {
            offset: last.offset,
            tier: usize::from(last.tier),
        })
    }

    /// The dead letter that takes the record at `offset` with it, if there is one in front of it.
    pub fn doom(&self, key: Key, offset: i64) -> Option<i64> {
        let line = self.lines.get(&key).filter(|line| line.dead > 0)?;
        line.records
            .iter()
            .take_while(|parked| parked.offset < offset)
            .find(|parked| matches!(parked.dead, Some(Dead::Doomed(last)) if last >= offset))
            .map(|parked| parked.offset)
    }
}

fn small(tier: usize) -> u8 {
    u8::try_from(tier).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests;
