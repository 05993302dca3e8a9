//! A rate limit of the consumer group, or this instance's share of it. Who asks waits for his turn, in the order of
//! asking, over all workers.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout_at};

use crate::config::units::Rate;
use crate::metrics::LookupMetrics;

/// Of a second's requests, how many may come at once: timers are coarse, and a thousand requests a second one at a time
/// would come to far fewer.
const AT_ONCE: f64 = 0.01;

pub(super) struct Limit {
    rate: Rate,
    state: Mutex<State>,
    changed: Notify,
    turn: tokio::sync::Mutex<()>,
    metrics: LookupMetrics,
}

#[derive(Default)]
struct State {
    /// Our members, and all of the group.
    share: Option<(u32, u32)>,
    /// `None` until the share is known.
    limiter: Option<Arc<DefaultDirectRateLimiter>>,
}

/// Why a request did not get its turn.
#[derive(Debug, PartialEq)]
pub(super) enum NoRoom {
    /// The group's members are not known.
    Unknown,
    /// It would have had to wait beyond its deadline; so long, where that is known.
    Full(Option<Duration>),
}

impl Limit {
    pub(super) fn new(rate: Rate, metrics: LookupMetrics) -> Limit {
        metrics.limit_share(0.0);
        Limit {
            rate,
            state: Mutex::default(),
            changed: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            metrics,
        }
    }

    /// From now on this instance has `own` of `all` parts. What it has not used so far does not carry over.
    pub(super) fn set(&self, own: u32, all: u32) {
        let mut state = self.lock();
        if own == 0 || all == 0 || state.share == Some((own, all)) {
            return;
        }
        let per_second = self.rate.per_second() * f64::from(own.min(all)) / f64::from(all);
        let at_once = NonZeroU32::new((per_second * AT_ONCE) as u32).unwrap_or(NonZeroU32::MIN);
        let Some(quota) = Quota::with_period(Duration::from_secs_f64(1.0 / per_second)) else {
            return;
        };
        let limiter = RateLimiter::direct(quota.allow_burst(at_once));
        // A new one would let so many pass at once, after what the one before it let pass a moment ago.
        if limiter.check_n(at_once).is_err() {
            tracing::debug!(
                "a new limit of {per_second}/s begins with less than its first requests"
            );
        }
        state.share = Some((own, all));
        state.limiter = Some(Arc::new(limiter));
        drop(state);
        self.metrics.limit_share(per_second);
        self.changed.notify_waiters();
    }

    /// Waits for a turn, at most until `deadline`.
    pub(super) async fn turn(&self, deadline: Instant) -> Result<(), NoRoom> {
        let full = NoRoom::Full(None);
        let Ok(_turn) = timeout_at(deadline.into(), self.turn.lock()).await else {
            return Err(match self.lock().limiter {
                Some(_) => full,
                None => NoRoom::Unknown,
            });
        };
        loop {
            let changed = self.changed.notified();
            let limiter = self.lock().limiter.clone();
            let Some(limiter) = limiter else {
                match timeout_at(deadline.into(), changed).await {
                    Ok(()) => continue,
                    Err(_) => return Err(NoRoom::Unknown),
                }
            };
            let Err(not_yet) = limiter.check() else {
                return Ok(());
            };
            let wait = not_yet.wait_time_from(DefaultClock::default().now());
            let until = Instant::now() + wait;
            if until > deadline {
                return Err(NoRoom::Full(Some(wait)));
            }
            tokio::select! {
                () = sleep_until(until.into()) => {}
                () = changed => {}
            }
        }
    }

    /// Every write is a few assignments.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn limit(count: u32) -> Arc<Limit> {
        let per = Duration::from_secs(1);
        let metrics = Metrics::new().lookup("p", "customer");
        Arc::new(Limit::new(Rate { count, per }, metrics))
    }

    #[tokio::test]
    async fn nobody_asks_before_the_members_are_known() {
        let limit = limit(100);
        let soon = Instant::now() + Duration::from_millis(30);
        assert_eq!(limit.turn(soon).await, Err(NoRoom::Unknown));
        let waiting = {
            let limit = Arc::clone(&limit);
            let late = Instant::now() + Duration::from_secs(20);
            tokio::spawn(async move { limit.turn(late).await })
        };
        tokio::task::yield_now().await;
        limit.set(1, 2);
        assert_eq!(waiting.await.expect("no panic"), Ok(()));
    }

    #[tokio::test]
    async fn no_window_has_more_than_its_share() {
        let limit = limit(200);
        limit.set(1, 2);
        let late = Instant::now() + Duration::from_secs(20);
        let mut turns = Vec::new();
        for at in 0..60 {
            // A change of members in between gives nothing away.
            if at % 20 == 19 {
                limit.set(at, 2 * at);
            }
            limit.turn(late).await.expect("there is room");
            turns.push(Instant::now());
        }
        for first in 0..turns.len() {
            let window = turns[first..]
                .iter()
                .take_while(|turn| turn.duration_since(turns[first]) < Duration::from_millis(200));
            // 100 in a second are 20 in a fifth of one, and the one at its edge.
            assert!(window.count() <= 21);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_in_time_is_refused_at_once() {
        let limit = limit(1);
        limit.set(1, 10);
        let begun = Instant::now();
        let refused = limit.turn(begun + Duration::from_secs(2)).await;
        let Err(NoRoom::Full(Some(wait))) = refused else {
            panic!("{refused:?}");
        };
        assert!(wait > Duration::from_secs(2), "{wait:?}");
        assert!(begun.elapsed() < Duration::from_secs(2));
    }
}
