//! What is in retry when a partition comes to us, and what is remembered of it: read before anything of it is taken.

use std::time::{Duration, Instant};

use super::Family;
use crate::config::model::{Kept, OrderBy, Pipeline};
use crate::failure::backoff;
use crate::failure::parking::{Limits, Parking};
use crate::health::PauseReason;
use crate::ingest::assignment::{Flow, Role};
use crate::native::consumer::{Entry, OFFSET_BEGINNING};
use crate::state::disk::manifest::Anchor;
use crate::state::memory::{self, Memory};
use crate::state::seen::{Room, Seen, Window};
use crate::worker::Clock;
use crate::worker::engine::Engine;
use crate::worker::ports::{Event, Positions, Reading, StateReading};

/// How often it is told how far a reading is.
const TELL: Duration = Duration::from_secs(5);

/// A pause that something else ends.
const UNTIL_TOLD: Duration = Duration::from_secs(86_400);

/// A reading of the retry partitions of a source partition.
#[derive(Debug)]
pub(super) struct Rebuild {
    ticket: u64,
    /// The source topic.
    source: String,
    /// The retry partitions, by tier, with where to read from.
    from: Vec<Entry>,
    /// The latest due time found, by tier.
    latest: Vec<i64>,
    /// The latest that this owner has written itself, by tier. What was behind it may have been read since, and be found no
    /// more; an owner's due times do not decrease all the same.
    written: Vec<i64>,
    tries: u32,
    /// When a reading that failed is tried again.
    again: Option<Instant>,
    /// When it began, or how far it is was told last.
    told_at: Instant,
    /// Keys that were read from the state topic, and how many of its offsets are to be read yet.
    pub(super) keys: u64,
    pub(super) left: i64,
}

impl Engine {
    /// Has what is in retry of the partitions read. Until that is done, nothing of their families is taken: a record of the
    /// source may have to wait for one in retry, and so may one in retry for another in the next tier.
    pub(in crate::worker) fn rebuild(&mut self, sources: &[Entry], starts: &[Entry], clock: Clock) {
        let config = self.judge.config();
        if !has_families(config) {
            return;
        }
        // Without an order nobody asks what is in retry.
        let is_ordered = config.order().is_some();
        let bounds = config.order().map(|order| order.per_key);
        let limits = Limits {
            keys: bounds.map_or(0, |bounds| bounds.max_keys),
            records: bounds.map_or(0, |bounds| bounds.max_records),
        };
        for source in sources {
            let (topic, number) = (source.topic.as_str(), source.partition);
            let family = self.family(topic, number).into_iter();
            let retries: Vec<String> = family
                .filter(|(_, _, role)| *role != Role::Source)
                .map(|(topic, ..)| topic)
                .collect();
            let find = |topic: &str| self.assignment.find(topic, number);
            let Some(home) = find(topic) else { continue };
            let tiers: Vec<usize> = retries.iter().filter_map(|topic| find(topic)).collect();
            let from: Vec<Entry> = retries
                .iter()
                .filter(|_| is_ordered)
                .filter_map(|topic| {
                    let start = |entry: &&Entry| entry.topic == *topic && entry.partition == number;
                    starts.iter().find(start).cloned()
                })
                .collect();
            let Some(ticket) = self.assignment.get(home).map(|partition| partition.epoch) else {
                continue;
            };
            let memory = self.memory_from_disk(home);
            self.survey(ticket, home, topic, from.clone(), memory.anchor());
            for slot in std::iter::once(home).chain(tiers.iter().copied()) {
                self.wait_for_rebuild(slot, clock);
            }
            self.families.names.insert((topic.to_owned(), number), home);
            let family = Family {
                parking: Parking::new(limits),
                memory,
                told_early: [false; 2],
                rebuild: Some(Rebuild {
                    ticket,
                    source: topic.to_owned(),
                    latest: vec![0; from.len()],
                    written: vec![0; from.len()],
                    from,
                    tries: 0,
                    again: None,
                    told_at: clock.now,
                    keys: 0,
                    left: 0,
                }),
                catch_up: None,
                refused: None,
                read_to: i64::MIN,
                tiers,
            };
            self.families.put(home, family);
        }
    }

    /// The log of a partition is not what it was: what is known to be in retry may be gone. Its family is read again from
    /// where it stands, and what is on its way counts no more.
    pub(in crate::worker) fn rebuild_family(&mut self, slot: usize, clock: Clock) {
        let Some(home) = self.families.homes.get(slot).copied().flatten() else {
            return;
        };
        let ticket = self.assignment.next_epoch();
        let Some(family) = self
            .families
            .families
            .get_mut(home)
            .and_then(Option::as_mut)
        else {
            return;
        };
        let tiers = family.tiers.clone();
        let is_ordered = self.families.order.is_some();
        family.parking.clear();
        // One that is under way noted it when it began.
        let known = family.rebuild.take().map(|rebuild| rebuild.written);
        let mut from = Vec::with_capacity(tiers.len());
        let mut latest = Vec::with_capacity(tiers.len());
        for slot in tiers.iter().copied().chain([home]) {
            let epoch = self.assignment.next_epoch();
            let Some(partition) = self.assignment.get_mut(slot) else {
                continue;
            };
            partition.epoch = epoch;
            partition.rewind = None;
            let mut start = OFFSET_BEGINNING;
            if partition.positioned {
                start = partition.tracker.first_incomplete();
                partition.rewind_to(start);
            }
            if slot != home && is_ordered {
                from.push(partition.entry(start));
                latest.push(partition.latest_due);
            }
            self.wait_for_rebuild(slot, clock);
        }
        let source = self.assignment.get(home).map(|home| home.topic.clone());
        let source = source.unwrap_or_default();
        let has_gap = self.has_blocks_under_way(home);
        let loaded = self.families.memory_mut(home).map_or(Ok(()), |memory| {
            if has_gap {
                memory.has_gap();
            }
            memory.load()
        });
        self.tell_loaded(home, loaded);
        let memory = self.families.memory(home);
        let anchor = memory.and_then(Memory::anchor);
        self.survey(ticket, home, &source, from.clone(), anchor);
        if let Some(family) = self.families.of_mut(home) {
            family.catch_up = None;
            family.read_to = i64::MIN;
            family.rebuild = Some(Rebuild {
                ticket,
                source,
                latest: vec![0; from.len()],
                written: known.unwrap_or(latest),
                from,
                tries: 0,
                again: None,
                told_at: clock.now,
                keys: 0,
                left: 0,
            });
        }
    }

    /// With what is on disk of it from before.
    fn memory_from_disk(&self, home: usize) -> Memory {
        let part = |kept: Kept| memory::Part {
            window: Window {
                time: kept.window.map(backoff::millis),
                keys: kept.max_keys,
            },
            room: kept.on_disk.then_some(Room::USUAL),
        };
        let config = self.judge.config();
        let dedup = config.dedup.as_ref().map(|dedup| part(dedup.kept));
        let stale = config.stale.as_ref().map(|stale| part(stale.kept));
        let state = self.settings.state.as_ref();
        let state = state.filter(|_| config.is_on_disk());
        let partition = self.assignment.get(home);
        let claim = state.zip(partition).and_then(|(state, partition)| {
            let topic = config.state_topic(partition.source())?;
            let claim = state.claim(&topic, partition.number);
            claim
                .map_err(|error| self.tell_disk(home, &error.to_string()))
                .ok()
        });
        let mut memory = Memory::of(dedup, stale, claim);
        let loaded = memory.load();
        self.tell_loaded(home, loaded);
        memory
    }

    /// What is on disk may be of no use.
    fn tell_loaded(&self, home: usize, loaded: Result<(), String>) {
        if let (Err(why), Some(partition)) = (loaded, self.assignment.get(home)) {
            tracing::warn!(
                pipeline = self.judge.config().name,
                topic = partition.source(),
                partition = partition.number,
                "state_dir: {why}: all of the state topic is read"
            );
        }
    }

    /// Has what is in retry of a source partition read, and what is remembered of it.
    fn survey(
        &mut self,
        ticket: u64,
        home: usize,
        source: &str,
        retries: Vec<Entry>,
        anchor: Option<Anchor>,
    ) {
        let config = self.judge.config();
        let Some(partition) = self.assignment.get(home) else {
            return;
        };
        let family = self.family(source, partition.number);
        let mut family = family.iter().filter_map(|(topic, number, _)| {
            let slot = self.assignment.find(topic, *number)?;
            self.assignment.get(slot)
        });
        let has_state = family.any(|partition| partition.has_state);
        let kept = [
            config.dedup.as_ref().map(|dedup| dedup.kept),
            config.stale.as_ref().map(|stale| stale.kept),
        ];
        let begin_empty = kept.iter().flatten().all(|kept| kept.begin_empty);
        let state = config.state_topic(source).map(|topic| StateReading {
            entry: Entry {
                topic,
                ..partition.entry(OFFSET_BEGINNING)
            },
            anchor,
            must_be: has_state && !begin_empty,
        });
        let reading = Reading {
            ticket,
            source: source.to_owned(),
            retries,
            by: self.families.order.unwrap_or(OrderBy::Key),
            state,
        };
        self.survey.begin(reading);
    }

    /// [`Self::rebuild_family`] for all of them.
    pub(in crate::worker) fn rebuild_families(&mut self, clock: Clock) {
        for home in 0..self.families.families.len() {
            if self.families.families[home].is_some() {
                self.rebuild_family(home, clock);
            }
        }
    }

    /// Nothing of the partition is taken before it is known what is in retry.
    fn wait_for_rebuild(&mut self, slot: usize, clock: Clock) {
        if let Some(partition) = self.assignment.get_mut(slot) {
            partition.flow = Flow::Paused {
                until: clock.now + UNTIL_TOLD,
                reason: PauseReason::Rebuilding,
            };
        }
        self.tell_rebuild(slot, clock);
    }

    pub(in crate::worker) fn tell_rebuild(&mut self, slot: usize, clock: Clock) {
        let (reason, wait) = (PauseReason::Rebuilding, UNTIL_TOLD);
        let detail = match keeps_state(self.judge.config()) {
            false => "what is in retry is read first, to know which keys wait",
            true => "what was seen and what is in retry is read first",
        };
        self.told(slot, reason, detail, wait, false, clock);
    }

    /// Takes in what has been read of retry partitions.
    pub(in crate::worker) fn surveyed(&mut self, client: &dyn Positions, clock: Clock) {
        if !self.families.is_coming_back() {
            return;
        }
        let last = self.judge.config().failure.tiers.len().saturating_sub(1);
        for event in self.survey.poll() {
            let ticket = event.ticket();
            let families = self.families.families.iter_mut().enumerate();
            let mut families = families.filter_map(|(home, family)| Some((home, family.as_mut()?)));
            let Some((home, family)) = families.find(|(_, family)| {
                family
                    .rebuild
                    .as_ref()
                    .is_some_and(|rebuild| rebuild.ticket == ticket)
            }) else {
                // Of a partition that is no longer ours.
                continue;
            };
            let Some(rebuild) = &mut family.rebuild else {
                continue;
            };
            match event {
                Event::Found { found, .. } => {
                    for found in found {
                        if let Some(latest) = rebuild.latest.get_mut(found.tier) {
                            *latest = (*latest).max(found.due);
                        }
                        if let Some(key) = found.key {
                            let (offset, tier) = (found.offset, found.tier.min(last));
                            family
                                .parking
                                .found(key, offset, tier, found.due, found.control);
                        }
                    }
                }
                Event::State { found, left, .. } => {
                    let mut keys = 0;
                    for (offset, found) in &found {
                        family.memory.hear(*offset, found);
                        keys += found.keys() as u64;
                    }
                    rebuild.keys += keys;
                    rebuild.left = left;
                    if let Some(partition) = self.assignment.get(home) {
                        partition.metrics.state_restored(keys);
                    }
                    self.restores(home, clock);
                }
                Event::Anew { .. } => {
                    let cleared = family.memory.clear();
                    let why = "what is there is of another state topic, or too old";
                    self.tell_loaded(home, cleared.and(Err(why.to_owned())));
                }
                Event::Failed { why, .. } => {
                    let wait = backoff::pause(rebuild.tries);
                    rebuild.tries = rebuild.tries.saturating_add(1);
                    rebuild.again = Some(clock.now + wait);
                    // Nothing of the family is taken until it succeeds, so it is no normal pause any more.
                    let first = rebuild.tries == 1;
                    let what = match keeps_state(self.judge.config()) {
                        false => "what is in retry could not be read",
                        true => "what was seen, or is in retry, could not be read",
                    };
                    let detail = format!("{what}: {why}");
                    self.told(
                        home,
                        PauseReason::BrokerRefused,
                        &detail,
                        wait,
                        first,
                        clock,
                    );
                }
                Event::Done { .. } => {
                    let found = rebuild.latest.iter().zip(&rebuild.written);
                    let latest: Vec<i64> = found.map(|(found, own)| *found.max(own)).collect();
                    let slots = family.tiers.clone();
                    let read = rebuild.keys;
                    family.rebuild = None;
                    if self.transaction.is_some() {
                        family.parking.mark();
                    }
                    family.memory.is_restored();
                    let seen = family.memory.seen.as_ref().map(Seen::len);
                    let newest = family.memory.newest.as_ref().map(Seen::len);
                    tracing::info!(
                        pipeline = self.judge.config().name,
                        worker = self.settings.slot,
                        keys = family.parking.keys(),
                        records = family.parking.records(),
                        seen,
                        newest,
                        read,
                        "read what is in retry, and what was seen"
                    );
                    for (slot, due) in slots.iter().zip(latest) {
                        if let Some(partition) = self.assignment.get_mut(*slot) {
                            // What an earlier owner wrote last is known here, and waited for by what comes behind it.
                            partition.latest_due = due;
                            partition.mark.latest_due = due;
                        }
                    }
                    self.blocks_count(&[home], clock);
                    self.catch_up(home, clock);
                    match self.families.of(home).map(|family| &family.catch_up) {
                        Some(Some(_)) => self.read_on(&[home], clock),
                        _ => self.read_on(&[&slots[..], &[home]].concat(), clock),
                    }
                }
            }
        }
        self.survey_again(clock);
        self.caught_up(client, clock);
    }

    /// These partitions are taken now.
    pub(super) fn read_on(&mut self, slots: &[usize], clock: Clock) {
        for slot in slots {
            if let Some(partition) = self.assignment.get_mut(*slot)
                && partition.is_paused_for(PauseReason::Rebuilding)
            {
                partition.flow = Flow::Paused {
                    until: clock.now,
                    reason: PauseReason::Rebuilding,
                };
            }
        }
    }

    fn survey_again(&mut self, clock: Clock) {
        let mut again = Vec::new();
        for (home, family) in self.families.families.iter_mut().enumerate() {
            let Some(family) = family else { continue };
            let Some(rebuild) = &mut family.rebuild else {
                continue;
            };
            if rebuild.again.is_none_or(|at| at > clock.now) {
                continue;
            }
            rebuild.again = None;
            // A ticket of its own: what is still on its way of the reading before is not counted.
            rebuild.ticket = self.assignment.next_epoch();
            rebuild.latest.fill(0);
            (rebuild.keys, rebuild.left) = (0, 0);
            family.parking.clear();
            // What was on disk before the reading that has failed is as good as it was.
            let loaded = family.memory.load();
            tracing::debug!(rebuild.source, "what is in retry is read again");
            let (source, from) = (rebuild.source.clone(), rebuild.from.clone());
            let anchor = family.memory.anchor();
            again.push((rebuild.ticket, home, source, from, anchor, loaded));
        }
        for (ticket, home, source, from, anchor, loaded) in again {
            self.tell_loaded(home, loaded);
            self.survey(ticket, home, &source, from, anchor);
        }
    }

    /// More of the state topic has been read: what fills memory is written to disk, and every few seconds it is told how far it is.
    fn restores(&mut self, home: usize, clock: Clock) {
        self.blocks_count(&[home], clock);
        let family = self.families.families.get_mut(home);
        let Some(rebuild) = family.and_then(|family| family.as_mut()?.rebuild.as_mut()) else {
            return;
        };
        if clock.now < rebuild.told_at + TELL {
            return;
        }
        rebuild.told_at = clock.now;
        let (keys, left) = (rebuild.keys, rebuild.left);
        if let Some(partition) = self.assignment.get(home) {
            tracing::info!(
                pipeline = self.judge.config().name,
                topic = partition.source(),
                partition = partition.number,
                keys,
                left,
                "reads what was seen: keys so far, and records of the state topic that are left at most"
            );
        }
    }
}

/// Whether something is remembered of records that are through.
fn keeps_state(config: &Pipeline) -> bool {
    config.dedup.is_some() || config.stale.is_some()
}

/// Whether a source partition and its retry partitions have something in common.
fn has_families(config: &Pipeline) -> bool {
    config.order().is_some() || keeps_state(config)
}
