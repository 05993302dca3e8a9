//! At-least-once, after a change of hands: what had been written to a sink and not acknowledged is read again from the source.
//! A record of the same key behind it may be in retry already, and must not go first. So nothing in retry is taken before
//! the source has been read past everything that was found there. Under exactly_once, what is in retry was committed
//! with everything before it.

use std::time::{Duration, Instant};

use crate::ingest::assignment::Role;
use crate::worker::Clock;
use crate::worker::engine::{Engine, Taken};
use crate::worker::ports::Positions;

/// How long a source that is open and hands out nothing more is waited for: what is missing up to its end are markers of
/// transactions, and records that compaction took.
const NOTHING_MORE: Duration = Duration::from_secs(10);

/// How far a source has to be read.
#[derive(Debug)]
pub(super) struct CatchUp {
    /// The last offset of the source that was found in retry.
    last: i64,
    /// The offset that was expected next at the last look.
    seen: i64,
    /// When that changed last, or nothing could come.
    since: Instant,
}

impl Engine {
    /// What is in retry of this source partition is known now: if its source may have to be read up to there first, it is.
    pub(super) fn catch_up(&mut self, home: usize, clock: Clock) {
        if self.transaction.is_some() {
            return;
        }
        let expected = self
            .assignment
            .get(home)
            .map(|home| home.tracker.expected());
        if let (Some(family), Some(seen)) = (self.families.of_mut(home), expected) {
            let last = family.parking.last();
            family.catch_up = last.filter(|last| *last >= seen).map(|last| CatchUp {
                last,
                seen,
                since: clock.now,
            });
        }
    }

    /// Whether a record of the source is one of those that have to be read before anything in retry. Then there is room
    /// for it: it may be one that would be in retry by now, and what is there goes only behind it.
    pub(super) fn catches_up(&self, taken: &Taken) -> bool {
        let family = self.families.of(taken.slot);
        let catch_up = family.and_then(|family| family.catch_up.as_ref());
        catch_up.is_some_and(|catch_up| taken.offset <= catch_up.last)
    }

    /// Takes what is in retry where the source has been read far enough.
    pub(super) fn caught_up(&mut self, client: &dyn Positions, clock: Clock) {
        let unreachable = self.unreachable;
        let mut done = Vec::new();
        for family in self.families.families.iter_mut().flatten() {
            let Some(catch_up) = &mut family.catch_up else {
                continue;
            };
            let home = family.tiers.first();
            let home = home.and_then(|slot| *self.families.homes.get(*slot)?);
            let Some(partition) = home.and_then(|home| self.assignment.get(home)) else {
                continue;
            };
            debug_assert_eq!(partition.role, Role::Source);
            let expected = partition.tracker.expected();
            let idle = partition.is_open() && !unreachable;
            if expected != catch_up.seen || !idle {
                (catch_up.seen, catch_up.since) = (expected, clock.now);
            }
            let (topic, number) = (&partition.topic, partition.number);
            let high = client.watermarks(topic, number).map(|(_, high)| high);
            if let Some(high) = high {
                // Whoever may write to a retry topic may name any offset there.
                catch_up.last = catch_up.last.min(high - 1);
            }
            let is_at_end = || {
                let Some(high) = high else {
                    return false;
                };
                let position = client.position(topic, number).unwrap_or(0);
                idle && (expected.max(position) >= high
                    || clock.now.saturating_duration_since(catch_up.since) >= NOTHING_MORE)
            };
            if expected > catch_up.last || partition.gone || is_at_end() {
                family.catch_up = None;
                done.push(family.tiers.clone());
            }
        }
        for tiers in done {
            self.read_on(&tiers, clock);
        }
    }
}
