//! Reads what is in retry partitions, as a consumer beside the group would: from where the group stands to the ends that
//! they had, without what is aborted, and it may take its time or fail.

use std::collections::HashSet;
use std::sync::Arc;

use rand::Rng;

use super::core::Core;
use super::log::Tp;
use super::plan::{MILLI, Micros};
use super::sabotage::Bug;
use super::world::World;
use crate::native::consumer::Entry;
use crate::record::Record;
use crate::state::block;
use crate::worker::ports::{Event, Found, Reading, Survey};

struct Under {
    reading: Reading,
    /// By tier: where to begin, and up to where.
    partitions: Vec<(Tp, i64, i64)>,
    /// The same of the state topic.
    state: Option<(Tp, i64, i64)>,
    ready_at: Micros,
}

pub(super) struct SimSurvey {
    world: Arc<World>,
    id: usize,
    readings: Vec<Under>,
}

impl SimSurvey {
    pub(super) fn new(world: Arc<World>, id: usize) -> SimSurvey {
        SimSurvey {
            world,
            id,
            readings: Vec::new(),
        }
    }
}

impl Under {
    fn all(&self) -> impl Iterator<Item = &(Tp, i64, i64)> {
        self.partitions.iter().chain(&self.state)
    }

    /// The blocks of the state topic; compaction may have taken none of them.
    fn blocks(&self, core: &Core) -> Vec<(i64, block::Found)> {
        let Some((tp, from, goal)) = &self.state else {
            return Vec::new();
        };
        let partition = core.log.partition(*tp);
        let records = partition.records[partition.at(*from)..].iter();
        let records = records.take_while(|record| record.offset < *goal);
        let visible = records.filter(|record| core.visible(record));
        let found = visible.map(|record| {
            let found = block::Found::of(record.key.as_deref(), record.value.as_deref());
            (record.offset, found.expect("our own"))
        });
        found.collect()
    }

    fn find(&self, core: &Core) -> Vec<Found> {
        let mut found = Vec::new();
        for (tier, (tp, from, goal)) in self.partitions.iter().enumerate() {
            let partition = core.log.partition(*tp);
            let records = partition.records[partition.at(*from)..].iter();
            let records = records.take_while(|record| record.offset < *goal);
            for record in records.filter(|record| core.visible(record)) {
                let headers = record.headers.iter();
                let record = Record {
                    topic: &core.log.topics[tp.topic].name,
                    partition: i32::try_from(tp.partition).expect("a few"),
                    offset: record.offset,
                    timestamp: record.timestamp,
                    key: record.key.as_deref(),
                    value: None,
                    headers: headers
                        .map(|(name, value)| (name.as_str(), value.as_deref()))
                        .collect(),
                };
                found.push(Found::of(
                    tier,
                    &record,
                    &self.reading.source,
                    self.reading.by,
                ));
            }
        }
        found
    }
}

impl Survey for SimSurvey {
    fn begin(&mut self, reading: Reading) {
        self.world.step(self.id);
        let mut core = self.world.core();
        let wait = core.some(300 * MILLI);
        let place = |entry: &Entry| {
            let tp = core.log.tp(&entry.topic, entry.partition)?;
            Some((tp, entry.offset.max(0), core.log.partition(tp).end))
        };
        let partitions = reading.retries.iter().filter_map(place).collect();
        let state = reading.state.as_ref();
        let state = state.and_then(|state| place(&state.entry));
        self.readings.push(Under {
            reading,
            partitions,
            state,
            ready_at: core.now + wait,
        });
        core.count("surveys");
    }

    fn poll(&mut self) -> Vec<Event> {
        let mut core = self.world.core();
        let mut events = Vec::new();
        let id = self.id;
        self.readings.retain_mut(|reading| {
            if reading.ready_at > core.now {
                return true;
            }
            let ticket = reading.reading.ticket;
            let away = core.dark() || reading.all().any(|(tp, ..)| core.away(*tp).is_some());
            let open =
                |(tp, _, goal): &(Tp, i64, i64)| core.log.partition(*tp).stable_end() < *goal;
            let open = reading.all().any(open);
            if open || away && core.random.random_bool(0.8) {
                reading.ready_at = core.now + 100 * MILLI;
                return true;
            }
            let mut found = reading.find(&core);
            // Also if it fails half-way: that half is known until it is read again.
            let keys: HashSet<_> = found.iter().filter_map(|found| found.key).collect();
            let records: HashSet<_> = found
                .iter()
                .filter_map(|found| Some((found.key?, found.offset)))
                .collect();
            let source = core.log.number(&reading.reading.source);
            if let (Some(topic), Some((tp, ..))) = (source, reading.partitions.first()) {
                let home = Tp {
                    topic,
                    partition: tp.partition,
                };
                let known = (keys.len(), records.len());
                core.members[id].surveyed.insert(home, known);
            }
            if away || core.faults && core.random.random_ratio(1, 12) {
                core.count("surveys failed");
                found.truncate(found.len() / 2);
                let why = "it is away".to_owned();
                events.extend([
                    Event::Found { ticket, found },
                    Event::Failed { ticket, why },
                ]);
                return false;
            }
            if core.is(Bug::ForgetParked) {
                found.clear();
            }
            let state = match core.is(Bug::ForgetSeen) {
                true => Vec::new(),
                false => reading.blocks(&core),
            };
            events.extend([
                Event::Found { ticket, found },
                Event::State {
                    ticket,
                    found: state,
                    left: 0,
                },
                Event::Done { ticket },
            ]);
            false
        });
        events
    }
}
