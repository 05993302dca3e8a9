//! What one worker has of a [`Watch`]: the sampling, and its fractions of parts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::{Pair, Watch};
use crate::contract::schema::Schema;
use crate::error::RecordError;
use crate::profile::{Profiler, Sampler};

/// How long a worker keeps a fraction of a part that does not fill, in milliseconds.
const KEPT: i64 = 1_000;

/// A worker's look at values.
#[derive(Debug)]
pub struct Look {
    watch: Arc<Watch>,
    sampler: Sampler,
    own: Vec<Own>,
    /// The one that the last record was of.
    last: usize,
    /// Since the watch began, in milliseconds: the time of this turn, and when the next look at the clock has something to do.
    now: i64,
    next: i64,
    /// Until when no room is asked for, where there was none.
    full_until: i64,
    /// Whether the next record is looked at.
    is_new: bool,
}

/// A topic and a writer schema that the worker has met.
struct Own {
    pair: Arc<Pair>,
    profiler: Profiler,
    /// The part that it fills.
    number: u64,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.pair.topic, self.pair.schema_id)
    }
}

impl Look {
    /// For one worker. `seed` makes what it skips differ from what the others skip.
    pub fn new(watch: Arc<Watch>, seed: u32) -> Look {
        Look {
            watch,
            sampler: Sampler::new(0, seed.wrapping_mul(0x9e37_79b9)),
            own: Vec::new(),
            last: 0,
            now: 0,
            next: 0,
            full_until: 0,
            is_new: true,
        }
    }

    /// Whether the records that come now are looked at: those that are delivered for the first time.
    pub fn only_new(&mut self, is_new: bool) {
        self.is_new = is_new;
    }

    /// Once a turn. What does not fill its part is handed over when it is a second old.
    pub fn turn(&mut self, now: Instant) {
        self.now = self.watch.millis(now);
        self.sampler.batch(self.now);
        if self.now < self.next {
            return;
        }
        self.next = self.now + KEPT;
        self.own
            .retain(|own| !own.pair.is_gone.load(Ordering::Relaxed));
        for own in &mut self.own {
            if own.profiler.part().records > 0 && own.profiler.is_over(self.now) {
                own.hand_over(&self.watch, self.now);
            }
        }
    }

    /// The watch that it is a part of.
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Takes a record that passed the contract's schema, by its bytes in it. `time` is the record's. An error where its topic
    /// and writer schema are in quarantine.
    #[inline]
    pub fn record(
        &mut self,
        topic: &str,
        schema_id: u32,
        schema: &Schema,
        bytes: &[u8],
        time: Option<i64>,
    ) -> Result<(), RecordError> {
        let Some(own) = self.find(topic, schema_id) else {
            let new = u64::from(self.is_new);
            self.watch.left_out.fetch_add(new, Ordering::Relaxed);
            return Ok(());
        };
        let own = &mut self.own[own];
        if self.is_new {
            let layout = &self.watch.reviewed.layout;
            let counted = own
                .profiler
                .record(layout, schema, &mut self.sampler, bytes, time);
            // The bytes are those of a plan's view, which are valid.
            if counted == Ok(true) {
                own.hand_over(&self.watch, self.now);
            }
        }
        match own.pair.is_quarantined.load(Ordering::Relaxed) {
            false => Ok(()),
            true => own.pair.error(),
        }
    }

    /// Records that it has not handed over.
    #[cfg(test)]
    pub(super) fn held(&self) -> u64 {
        let own = self.own.iter();
        own.map(|own| own.profiler.part().records).sum()
    }

    /// The writer schemas that it keeps something of.
    #[cfg(test)]
    pub(super) fn schemas(&self) -> Vec<u32> {
        let mut schemas: Vec<u32> = self.own.iter().map(|own| own.pair.schema_id).collect();
        schemas.sort_unstable();
        schemas
    }

    #[inline]
    fn find(&mut self, topic: &str, schema_id: u32) -> Option<usize> {
        let is_it = |own: &Own| own.pair.schema_id == schema_id && own.pair.topic == topic;
        if self.own.get(self.last).is_some_and(is_it) {
            return Some(self.last);
        }
        let place = match self.own.iter().position(is_it) {
            Some(place) => place,
            None => self.begin(topic, schema_id)?,
        };
        self.last = place;
        Some(place)
    }

    #[cold]
    fn begin(&mut self, topic: &str, schema_id: u32) -> Option<usize> {
        if self.now < self.full_until {
            return None;
        }
        let Some(pair) = self.watch.pair(topic, schema_id, self.now) else {
            self.full_until = self.now + KEPT;
            return None;
        };
        let layout = &self.watch.reviewed.layout;
        let number = super::lock(&pair.open).number;
        self.own.push(Own {
            pair,
            profiler: Profiler::shared(layout, self.watch.workers, KEPT, self.now),
            number,
        });
        Some(self.own.len() - 1)
    }
}

impl Pair {
    #[cold]
    fn error(&self) -> Result<(), RecordError> {
        super::lock(&self.quarantine).clone().map_or(Ok(()), Err)
    }
}

impl Own {
    fn hand_over(&mut self, watch: &Watch, now: i64) {
        let number = watch.add(&self.pair, self.profiler.part(), now);
        match number == self.number {
            true => self.profiler.go_on(now),
            false => self.profiler.next(now),
        }
        self.number = number;
    }
}
