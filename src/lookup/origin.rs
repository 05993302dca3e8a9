//! The state of the servers that lookups ask, one for each scheme, host and port, shared by the instance. A server that
//! fails again and again is left alone, then asked once to see; one that says when to come back is left alone until then.
//!
//! ```text
//!            FAILURES in a row           the wait is over              it answers
//!  closed ───────────────────▶ open ───────────────────▶ one probe ───────────────▶ closed
//!                               ▲                           │ fails: twice the wait
//!                               └───────────────────────────┘
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout_at;

use crate::health::{Dependency, Health};
use crate::metrics::{Breaker, Metrics};

/// Failures in a row after which nobody asks any more.
const FAILURES: u32 = 10;
/// The first wait before a probe, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A `Retry-After` beyond this is taken for a mistake.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);
/// How much of a server's `Retry-After` a request waits out where it is, rather than in a retry tier.
const WAIT_HERE: Duration = Duration::from_secs(2);

/// Every server that is asked by this instance.
#[derive(Default)]
pub struct Origins {
    known: Mutex<HashMap<String, Arc<Origin>>>,
}

impl Origins {
    /// One server, by scheme, host and port.
    pub(super) fn of(&self, name: &str, health: &Arc<Health>, metrics: &Metrics) -> Arc<Origin> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let origin = known.entry(name.to_owned()).or_insert_with(|| {
            let host = name.split_once("://").map_or(name, |(_, host)| host);
            Arc::new(Origin {
                dependency: Dependency::Lookup(host.to_owned()),
                health: Arc::clone(health),
                breaker: metrics.breaker(host),
                state: Mutex::new(State::default()),
                changed: Notify::new(),
            })
        });
        Arc::clone(origin)
    }
}

pub(super) struct Origin {
    dependency: Dependency,
    health: Arc<Health>,
    breaker: Breaker,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    stand: Stand,
    /// In a row.
    failures: u32,
    /// Times in a row that it was opened.
    opened: u32,
    /// Until then it wants to be left alone, as it said itself.
    alone_until: Option<Instant>,
    /// Whether [`Health`] was told anything, and what.
    told: Option<Option<String>>,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Stand {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    Probing,
}

/// Why a request is not made.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) what: String,
    /// How long until it may be.
    pub(super) wait: Option<Duration>,
    /// Because the server said so.
    pub(super) is_told_to_wait: bool,
}

/// What came of a request. The texts are for people.
pub(super) enum Outcome<'a> {
    /// It answered, if with a 404.
    Answered,
    /// It answered what no record can cause.
    Misconfigured(&'a str),
    /// It failed.
    Failed(&'a str),
    /// It failed, and said how long to wait.
    ToldToWait(&'a str, Duration),
}

/// Leave to make one request. Dropped without a report, it counts as a failure.
pub(super) struct Pass<'a> {
    origin: &'a Origin,
    has_reported: bool,
}

enum Next {
    Go,
    Refuse(Refusal),
    Wait(Instant),
}

impl Origin {
    /// Refuses where [`enter`](Self::enter) would do so at once.
    pub(super) fn peek(&self) -> Result<(), Refusal> {
        let now = Instant::now();
        match self.lock().next(now, now + WAIT_HERE, false) {
            Next::Refuse(refusal) => Err(refusal),
            Next::Go | Next::Wait(_) => Ok(()),
        }
    }

    /// Waits for a probe under way, or for a short `Retry-After`, at most until `deadline`.
    pub(super) async fn enter(&self, deadline: Instant) -> Result<Pass<'_>, Refusal> {
        let deadline = deadline.min(Instant::now() + LONGEST_WAIT);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let next = {
                let mut state = self.lock();
                let next = state.next(Instant::now(), deadline, true);
                self.tell_stand(&state);
                next
            };
            match next {
                Next::Go => {
                    return Ok(Pass {
                        origin: self,
                        has_reported: false,
                    });
                }
                Next::Refuse(refusal) => return Err(refusal),
                // Whatever it is that ended the wait, the state is looked at again.
                Next::Wait(until) => drop(timeout_at(until.into(), changed).await),
            }
        }
    }

    fn report(&self, outcome: &Outcome<'_>) {
        let now = Instant::now();
        let mut state = self.lock();
        let told = match outcome {
            Outcome::Answered => {
                state.close();
                None
            }
            Outcome::Misconfigured(what) => {
                state.close();
                Some((*what).to_owned())
            }
            Outcome::Failed(what) => {
                state.failed(now);
                Some((*what).to_owned())
            }
            Outcome::ToldToWait(what, wait) => {
                let until = now + (*wait).min(LONGEST_RETRY_AFTER);
                state.alone_until = Some(state.alone_until.map_or(until, |other| other.max(until)));
                if state.stand == Stand::Probing {
                    state.stand = Stand::Open { until };
                }
                Some(format!("{what}, and asks to be left alone for {wait:?}"))
            }
        };
        let told = told.map(|what| match state.stand {
            Stand::Closed => what,
            Stand::Open { .. } | Stand::Probing => {
                format!(
                    "not asked after {} failures in a row, the last: {what}",
                    state.failures
                )
            }
        });
        self.tell_stand(&state);
        if state.told.as_ref() != Some(&told) {
            state.told = Some(told.clone());
            self.health
                .dependency(self.dependency.clone(), told.map_or(Ok(()), Err));
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn tell_stand(&self, state: &State) {
        match state.stand {
            Stand::Closed => self.breaker.closed(),
            Stand::Open { .. } => self.breaker.open(),
            Stand::Probing => self.breaker.probing(),
        }
    }

    /// Every write is a few assignments.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next(&mut self, now: Instant, deadline: Instant, takes_probe: bool) -> Next {
        let left = |until: Instant| until.saturating_duration_since(now);
        if let Some(until) = self.alone_until {
            match left(until) {
                Duration::ZERO => self.alone_until = None,
                wait if wait <= WAIT_HERE && until < deadline => return Next::Wait(until),
                wait => {
                    return Next::Refuse(Refusal {
                        what: format!("not asked: it wants to be left alone for {}", seconds(wait)),
                        wait: Some(wait),
                        is_told_to_wait: true,
                    });
                }
            }
        }
        match self.stand {
            Stand::Closed => Next::Go,
            Stand::Open { until } if left(until).is_zero() => {
                if takes_probe {
                    self.stand = Stand::Probing;
                }
                Next::Go
            }
            Stand::Open { until } => Next::Refuse(self.open(Some(left(until)))),
            Stand::Probing if now < deadline => Next::Wait(deadline),
            Stand::Probing => Next::Refuse(self.open(None)),
        }
    }

    fn open(&self, wait: Option<Duration>) -> Refusal {
        let again = match wait {
            Some(wait) => format!("it is asked again in {}", seconds(wait)),
            None => "it is being asked again".to_owned(),
        };
        Refusal {
            what: format!(
                "not asked: {} requests in a row failed; {again}",
                self.failures
            ),
            wait,
            is_told_to_wait: false,
        }
    }

    fn close(&mut self) {
        self.stand = Stand::Closed;
        self.failures = 0;
        self.opened = 0;
    }

    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        let opens = match self.stand {
            Stand::Closed => self.failures >= FAILURES,
            Stand::Probing => true,
            // One that was under way when it was opened.
            Stand::Open { .. } => false,
        };
        if opens {
            let wait = FIRST_WAIT * (1 << self.opened.min(5));
            self.opened = self.opened.saturating_add(1);
            self.stand = Stand::Open {
                until: now + wait.min(LONGEST_WAIT),
            };
        }
    }
}

impl Pass<'_> {
    pub(super) fn report(mut self, outcome: Outcome<'_>) {
        self.has_reported = true;
        self.origin.report(&outcome);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.has_reported {
            self.origin
                .report(&Outcome::Failed("a request was given up"));
        }
    }
}

fn seconds(wait: Duration) -> String {
    format!("{:.1} s", wait.as_secs_f64())
}

#[cfg(test)]
mod tests;
