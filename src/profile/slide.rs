//! Records into parts, and parts into windows that move on. One worker has a [`Profiler`] for each topic and writer schema;
//! what it hands over is brought together, of all workers, in a [`Sliding`].

use super::layout::Layout;
use super::measure;
use super::sampling::{Sampler, looks};
use super::window::Window;
use super::{PART, PARTS};
use crate::contract::schema::Schema;
use crate::contract::view::Broken;

/// Fills parts.
#[derive(Debug)]
pub struct Profiler {
    part: Window,
    /// When the part began, in milliseconds.
    since: i64,
    /// How long a part may take.
    longest: i64,
}

impl Profiler {
    /// One whose parts end after so many milliseconds, where records do not end them before.
    pub fn new(layout: &Layout, longest: i64, now: i64) -> Profiler {
        Profiler {
            part: Window::part(layout),
            since: now,
            longest,
        }
    }

    /// Takes a record's bytes in the contract's schema, if the sampler says so. `time` is the record's. Whether the part is
    /// full then.
    #[inline]
    pub fn record(
        &mut self,
        layout: &Layout,
        schema: &Schema,
        sampler: &mut Sampler,
        bytes: &[u8],
        time: Option<i64>,
    ) -> Result<bool, Broken> {
        self.part.seen += 1;
        if !sampler.counts() {
            return Ok(false);
        }
        let place = usize::try_from(self.part.records).unwrap_or(usize::MAX);
        measure::record(layout, schema, bytes, time, looks(place), &mut self.part)?;
        Ok(place + 1 >= PART)
    }

    /// Whether the part has run for its time.
    pub fn is_over(&self, now: i64) -> bool {
        now.saturating_sub(self.since) >= self.longest
    }

    /// What was counted so far.
    pub fn part(&self) -> &Window {
        &self.part
    }

    /// Begins the next part, once this one was handed over.
    pub fn next(&mut self, now: i64) {
        self.part.clear();
        self.since = now;
    }
}

/// The last parts of a topic and writer schema, as one window.
#[derive(Debug)]
pub struct Sliding {
    parts: Vec<Window>,
    /// Which part is the oldest.
    oldest: usize,
    filled: usize,
    window: Window,
}

impl Sliding {
    /// An empty one.
    pub fn new(layout: &Layout) -> Sliding {
        Sliding {
            parts: (0..PARTS).map(|_| Window::part(layout)).collect(),
            oldest: 0,
            filled: 0,
            window: Window::whole(layout),
        }
    }

    /// Takes a part, which pushes the oldest out.
    pub fn push(&mut self, part: &Window) {
        let place = &mut self.parts[self.oldest];
        place.clear();
        place.merge(part);
        self.oldest = (self.oldest + 1) % PARTS;
        self.filled = (self.filled + 1).min(PARTS);
        self.window.clear();
        for part in &self.parts {
            self.window.merge(part);
        }
    }

    /// The parts that are in it, as one.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// Whether as many parts are in it as there can be.
    pub fn is_full(&self) -> bool {
        self.filled == PARTS
    }
}
