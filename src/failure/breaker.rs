//! The breaker of a source partition: past a ratio of dead letters, or so many in a row, its next dead letter is held
//! back and the partition pauses. Input: the fate of each record, when it is decided. Output: whether one more dead letter
//! is too many. Pure: `now` is an argument.
//!
//! A record counts once, when its fate is final, wherever that is: in the source partition, or in one of its retry
//! partitions. One that goes to a retry tier has no fate yet. So each partition has [`Decisions`] of its own, which go
//! back with it when it is rewound, and their [`Tally`]s are added up over the source partition and its retries.
//!
//! Records in quarantine (their writer schema drifted, and policy sends them aside) are outside of the ratio of dead
//! letters, above and below the line; they have a limit of their own, against all records.

use std::collections::VecDeque;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

/// In how many steps a window slides.
const STEPS: usize = 20;

/// How a record ended, as far as a breaker cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// Emitted, filtered, or dropped as it should be.
    Passed,
    /// A dead letter.
    Dead,
    /// A dead letter by policy, because its writer schema drifted.
    Quarantined,
}

/// More than this part, of at least so many records, within a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// From 0 to 1.
    pub above: f64,
    /// The time.
    pub window: Duration,
    /// The least records that say anything.
    pub at_least: u64,
}

/// The limits of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Of dead letters, those in quarantine left out.
    pub dead_letters: Option<Ratio>,
    /// So many dead letters in a row in one partition.
    pub in_a_row: Option<u64>,
    /// Of records in quarantine.
    pub quarantined: Option<Ratio>,
}

impl Limits {
    /// Whether there is any.
    pub fn is_any(&self) -> bool {
        self.dead_letters.is_some() || self.in_a_row.is_some() || self.quarantined.is_some()
    }
}

/// Why a breaker tripped. The counts are those with the record that was held back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cause {
    /// Too many of the window's records.
    Ratio {
        /// Dead letters, or records in quarantine.
        bad: u64,
        /// Records that were looked at.
        all: u64,
        /// The limit.
        limit: Ratio,
    },
    /// Too many in a row.
    InARow(u64),
}

/// Records by their fate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// [`Decided::Passed`]
    pub passed: u64,
    /// [`Decided::Dead`]
    pub dead: u64,
    /// [`Decided::Quarantined`]
    pub quarantined: u64,
}

impl Tally {
    fn add(&mut self, decided: Decided) {
        *self.of(decided) += 1;
    }

    fn of(&mut self, decided: Decided) -> &mut u64 {
        match decided {
            Decided::Passed => &mut self.passed,
            Decided::Dead => &mut self.dead,
            Decided::Quarantined => &mut self.quarantined,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.passed += other.passed;
        self.dead += other.dead;
        self.quarantined += other.quarantined;
    }
}

/// What one partition, or several together, have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Within the window of the dead letters.
    pub dead_letters: Tally,
    /// Within the window of the quarantine.
    pub quarantined: Tally,
    /// Dead letters in a row, at the end of the partition.
    pub in_a_row: u64,
}

impl Seen {
    /// Adds another partition's. What is in a row there is not in this row: the longer one counts.
    pub fn merge(&mut self, other: Seen) {
        self.dead_letters += other.dead_letters;
        self.quarantined += other.quarantined;
        self.in_a_row = self.in_a_row.max(other.in_a_row);
    }
}

/// Whether one more record with this fate is too many. With `careful`, half as many records say something: somebody has
/// just resumed the partition, and a flood that goes on is to be stopped earlier. But one alone says nothing then, or the
/// record that it was resumed for would stop it again.
pub fn trips(limits: &Limits, seen: &Seen, decided: Decided, careful: bool) -> Option<Cause> {
    let half = |count: u64| if careful { count.div_ceil(2) } else { count };
    let over = |limit: Ratio, bad: u64, all: u64| {
        let is_over = bad as f64 > limit.above * all as f64;
        let least = half(limit.at_least).max(1 + u64::from(careful));
        (all >= least && is_over).then_some(Cause::Ratio { bad, all, limit })
    };
    match decided {
        Decided::Passed => None,
        Decided::Dead => {
            let row = seen.in_a_row + 1;
            if limits.in_a_row.is_some_and(|limit| row > half(limit)) {
                return Some(Cause::InARow(row));
            }
            let tally = seen.dead_letters;
            let bad = tally.dead + 1;
            over(limits.dead_letters?, bad, tally.passed + bad)
        }
        Decided::Quarantined => {
            let tally = seen.quarantined;
            let bad = tally.quarantined + 1;
            over(limits.quarantined?, bad, tally.passed + tally.dead + bad)
        }
    }
}

/// The decisions on one partition's records. Those above the committable offset are kept apart with their offsets, since
/// a rewind takes them back; the others are counted into windows.
#[derive(Debug, Clone)]
pub struct Decisions {
    open: VecDeque<(i64, Decided, Instant)>,
    /// Of `open`.
    open_tally: Tally,
    dead_letters: Option<Window>,
    quarantined: Option<Window>,
    /// Dead letters in a row at the end of what is in the windows, and at the end of all.
    settled_row: u64,
    row: u64,
}

impl Decisions {
    /// Nothing decided yet.
    pub fn new(limits: &Limits, now: Instant) -> Decisions {
        let window = |limit: Option<Ratio>| limit.map(|limit| Window::new(limit.window, now));
        Decisions {
            open: VecDeque::new(),
            open_tally: Tally::default(),
            dead_letters: window(limits.dead_letters),
            quarantined: window(limits.quarantined),
            settled_row: 0,
            row: 0,
        }
    }

    /// The record at `offset` has its fate.
    pub fn add(&mut self, offset: i64, decided: Decided, now: Instant) {
        // Offsets rise, but for a few that are overtaken by older versions.
        let behind = self.open.iter().rev().take_while(|(at, ..)| *at > offset);
        let place = self.open.len() - behind.count();
        self.open.insert(place, (offset, decided, now));
        self.open_tally.add(decided);
        self.row = after(self.row, decided);
    }

    /// Everything below `committable` is final.
    pub fn settle(&mut self, committable: i64) {
        while let Some((_, decided, at)) = self
            .open
            .pop_front_if(|(offset, _, _)| *offset < committable)
        {
            *self.open_tally.of(decided) -= 1;
            self.settled_row = after(self.settled_row, decided);
            for window in self.dead_letters.iter_mut().chain(&mut self.quarantined) {
                window.add(decided, at);
            }
        }
    }

    /// The record at `offset` and those behind it will be read, and decided, again.
    pub fn rewind_to(&mut self, offset: i64) {
        while let Some((_, decided, _)) = self.open.pop_back_if(|(at, _, _)| *at >= offset) {
            *self.open_tally.of(decided) -= 1;
        }
        let decided = self.open.iter().map(|(_, decided, _)| *decided);
        self.row = decided.fold(self.settled_row, after);
    }

    /// What there is now.
    pub fn seen(&mut self, now: Instant) -> Seen {
        let open = self.open_tally;
        let tally = |window: &mut Option<Window>| {
            let mut tally = window.as_mut().map_or(Tally::default(), |w| w.tally(now));
            tally += open;
            tally
        };
        Seen {
            dead_letters: tally(&mut self.dead_letters),
            quarantined: tally(&mut self.quarantined),
            in_a_row: self.row,
        }
    }
}

fn after(row: u64, decided: Decided) -> u64 {
    match decided {
        Decided::Passed => 0,
        Decided::Dead => row + 1,
        Decided::Quarantined => row,
    }
}

/// Counts of the last `STEPS` steps of a window, the one under way among them: what is older than the window is never
/// counted, and what is younger than the window less one step always.
#[derive(Debug, Clone)]
struct Window {
    step: Duration,
    /// When the step under way began.
    begun: Instant,
    /// The step under way is the last one.
    steps: VecDeque<Tally>,
    sum: Tally,
}

impl Window {
    fn new(window: Duration, now: Instant) -> Window {
        Window {
            step: (window / STEPS as u32).max(Duration::from_millis(1)),
            begun: now,
            steps: VecDeque::from([Tally::default(); STEPS]),
            sum: Tally::default(),
        }
    }

    fn advance(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.begun).as_nanos() / self.step.as_nanos();
        if passed == 0 {
            return;
        }
        for _ in 0..passed.min(STEPS as u128) {
            self.steps.pop_front();
            self.steps.push_back(Tally::default());
        }
        self.sum = Tally::default();
        for tally in &self.steps {
            self.sum += *tally;
        }
        // Whole steps, so that the next one begins where it would have.
        let rest = now.saturating_duration_since(self.begun).as_nanos() % self.step.as_nanos();
        let rest = Duration::from_nanos(u64::try_from(rest).unwrap_or(0));
        self.begun = now.checked_sub(rest).unwrap_or(now);
    }

    /// Adds what was decided at `at`, which may lie a little in the past.
    fn add(&mut self, decided: Decided, at: Instant) {
        self.advance(at);
        let behind = self.begun.saturating_duration_since(at);
        let back = usize::try_from(behind.as_nanos().div_ceil(self.step.as_nanos()));
        let place = back.ok().and_then(|back| (STEPS - 1).checked_sub(back));
        if let Some(tally) = place.and_then(|place| self.steps.get_mut(place)) {
            tally.add(decided);
            self.sum.add(decided);
        }
    }

    fn tally(&mut self, now: Instant) -> Tally {
        self.advance(now);
        self.sum
    }
}

#[cfg(test)]
mod tests;
