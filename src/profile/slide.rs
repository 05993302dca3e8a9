//! Records into parts, and parts into windows that move on. One worker has a [`Profiler`] for each topic and writer schema;
//! what it hands over is brought together, of all workers, in a [`Sliding`].

use super::layout::Layout;
use super::measure;
use super::sampling::{FIRST, Sampler, looks};
use super::window::Window;
use super::{PART, PARTS};
use crate::contract::schema::Schema;
use crate::contract::view::Broken;

/// In how many pieces a worker hands a part over.
const FRACTIONS: usize = 4;
/// Records of such a piece, at the least: each is a lock.
const LEAST_FRACTION: usize = 8;

/// Fills parts, or what one of several workers has of a part.
#[derive(Debug)]
pub struct Profiler {
    part: Window,
    /// When the part began, in milliseconds.
    since: i64,
    /// How long a part may take.
    longest: i64,
    /// Records that fill it.
    full: usize,
    /// How many records of a part are looked at closely at once.
    first: usize,
    /// Records of the part that were handed over already.
    before: usize,
}

impl Profiler {
    /// One whose parts end after so many milliseconds, where records do not end them before.
    pub fn new(layout: &Layout, longest: i64, now: i64) -> Profiler {
        Profiler {
            part: Window::part(layout),
            since: now,
            longest,
            full: PART,
            first: FIRST,
            before: 0,
        }
    }

    /// One of so many workers that fill parts together. It hands over a fraction of a part at a time, so that what each of
    /// them still holds is little of a window.
    pub fn shared(layout: &Layout, workers: usize, longest: i64, now: i64) -> Profiler {
        let workers = workers.max(1);
        let full = (PART / (FRACTIONS * workers)).max(LEAST_FRACTION);
        Profiler {
            part: Window::with_sample(layout, full),
            full,
            first: (FIRST / workers).max(1),
            ..Profiler::new(&Layout::default(), longest, now)
        }
    }

    /// Takes a record's bytes in the contract's schema, if the sampler says so. `time` is the record's. Whether what it has of
    /// the part is to be handed over then.
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
        let own = usize::try_from(self.part.records).unwrap_or(usize::MAX);
        let closely = looks(self.before + own, self.first);
        measure::record(layout, schema, bytes, time, closely, &mut self.part)?;
        Ok(own + 1 >= self.full)
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
        self.go_on(now);
        self.before = 0;
    }

    /// Goes on with the same part, of which this much was handed over.
    pub fn go_on(&mut self, now: i64) {
        self.before += usize::try_from(self.part.records).unwrap_or(0);
        self.part.clear();
        self.since = now;
    }

    /// Bytes that one of so many workers takes.
    pub fn size(&self) -> usize {
        size_of::<Profiler>() + self.part.size()
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

    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        let parts = self.parts.iter().map(Window::size).sum::<usize>();
        size_of::<Sliding>() + parts + self.window.size()
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
