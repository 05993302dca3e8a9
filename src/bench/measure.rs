//! What a contestant uses: a window from its first record to its last acknowledgement, measured by itself.

use std::time::{Duration, Instant};

use super::contestant::{Outcomes, Ran};
use crate::error::FatalError;
use crate::native::usage::{Usage, usage};

/// How long nothing may be acknowledged before a contestant gives up.
const PATIENCE: Duration = Duration::from_secs(90);

/// Waits before the next look at another process. Nobody polls a consumer on this thread.
#[expect(
    clippy::disallowed_methods,
    reason = "this process watches others, and has no partitions to lose"
)]
pub(super) fn wait(time: Duration) {
    std::thread::sleep(time);
}

/// A window that opens with the first record.
pub struct Window {
    opened: Option<(Instant, Usage)>,
    done: u64,
    moved: Instant,
}

impl Window {
    /// One that nothing has come into.
    pub fn new() -> Window {
        Window {
            opened: None,
            done: 0,
            moved: Instant::now(),
        }
    }

    /// A record is there: the first one opens the window.
    pub fn open(&mut self) {
        if self.opened.is_none() {
            self.opened = Some((Instant::now(), usage()));
        }
    }

    /// Whether a record has been there.
    pub fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// So many records are through by now. With `records` to come, it is an error that none does for too long.
    pub fn through(&mut self, done: u64, records: Option<u64>) -> Result<(), FatalError> {
        if done > self.done {
            self.done = done;
            self.moved = Instant::now();
        }
        if records.is_some() && self.moved.elapsed() > PATIENCE {
            return Err(FatalError::Start(format!(
                "{} of {} records are through, and none has been for {PATIENCE:?}",
                self.done,
                records.unwrap_or(0)
            )));
        }
        Ok(())
    }

    /// Closes the window.
    pub fn close(self, outcomes: Option<Outcomes>) -> Ran {
        let now = usage();
        let (since, before) = self.opened.unwrap_or((Instant::now(), now));
        Ran {
            records: self.done,
            seconds: since.elapsed().as_secs_f64(),
            cpu_seconds: now.cpu.saturating_sub(before.cpu).as_secs_f64(),
            peak_memory_bytes: now.peak_memory,
            outcomes,
        }
    }
}

impl Default for Window {
    fn default() -> Self {
        Window::new()
    }
}
