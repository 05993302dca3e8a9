//! Waiting for what another thread or process will do: always a poll, always with a deadline.

use std::time::{Duration, Instant};

/// What a probe may answer: `bool` or `Option`.
pub trait Answer {
    /// What is got in the end.
    type Value;
    /// `None` means: not yet.
    fn answer(self) -> Option<Self::Value>;
}

impl Answer for bool {
    type Value = ();
    fn answer(self) -> Option<()> {
        self.then_some(())
    }
}

impl<T> Answer for Option<T> {
    type Value = T;
    fn answer(self) -> Option<T> {
        self
    }
}

/// Asks `probe` until it answers, and panics with `what` when that takes longer than `deadline`.
#[track_caller]
pub fn eventually<A: Answer>(
    deadline: Duration,
    what: &str,
    mut probe: impl FnMut() -> A,
) -> A::Value {
    match within(deadline, &mut probe) {
        Some(value) => value,
        None => panic!("not within {deadline:?}: {what}"),
    }
}

/// Asks `probe` until it answers, or until `deadline` is over.
pub fn within<A: Answer>(deadline: Duration, probe: impl FnMut() -> A) -> Option<A::Value> {
    every(Duration::from_millis(20), deadline, probe)
}

/// The same, every `step`: for what is measured meanwhile and shall not be disturbed.
pub fn every<A: Answer>(
    step: Duration,
    deadline: Duration,
    mut probe: impl FnMut() -> A,
) -> Option<A::Value> {
    let until = Instant::now() + deadline;
    loop {
        if let Some(value) = probe().answer() {
            return Some(value);
        }
        if Instant::now() >= until {
            return None;
        }
        pause(step);
    }
}

/// Calls `check` every `step` for as long as `duration`: what must hold all that time panics there.
pub fn throughout(duration: Duration, step: Duration, mut check: impl FnMut()) {
    let until = Instant::now() + duration;
    while Instant::now() < until {
        check();
        pause(step);
    }
}

/// The one sleep of the tests: between two polls.
#[expect(
    clippy::disallowed_methods,
    reason = "the pause between two polls of a condition with a deadline"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
