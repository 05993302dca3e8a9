//! Pauses that stand until a person lifts them: a breaker that tripped, values that drifted, an operator's order. Such a
//! pause bars the whole family, the source partition and its retry partitions, and is written into the source partition's
//! commit metadata, so that it outlasts a restart and a rebalance. It is apart from [`Flow`]: what else a partition waits
//! for comes and goes beneath it.
//!
//! [`Flow`]: crate::ingest::assignment::Flow

use std::time::Duration;

use super::Clock;
use super::engine::{Engine, Taken};
use crate::config::model::{Delivery, Pipeline, RatioLimit};
use crate::config::units::{format_duration, format_ratio};
use crate::error::Reason;
use crate::failure::breaker::{self, Decided, Decisions, Limits, Ratio, Seen, trips};
use crate::health::{PauseEntry, PauseReason};
use crate::ingest::assignment::{Flow, Partition, Role};
use crate::ingest::standing::{Cause, Fields, Standing, Values};
use crate::pipeline::Watch;
use crate::pipeline::watch::Halting;

/// How long a resumed partition is watched more closely where the breaker has no window.
const CAREFUL: Duration = Duration::from_secs(60);

/// Writer schemas whose values were let go that a partition remembers.
const MOST_LET_GO: usize = 8;

/// The limits of a pipeline, as its breakers take them.
pub(super) fn limits(config: &Pipeline) -> Limits {
    let ratio = |limit: RatioLimit| Ratio {
        above: limit.ratio,
        window: limit.window,
        at_least: limit.at_least,
    };
    let dead_letter = &config.failure.dead_letter;
    let drift = &config.contract.drift;
    Limits {
        dead_letters: dead_letter.pause_above.map(ratio),
        in_a_row: dead_letter.pause_after,
        // Where no difference leads to quarantine, there is nothing to count.
        quarantined: drift
            .may_quarantine()
            .then(|| ratio(config.contract.quarantine_above)),
    }
}

impl Engine {
    /// A record has its fate: it was handed to the producer, or needs nothing of it.
    pub(super) fn decided(&mut self, slot: usize, offset: i64, decided: Decided, clock: Clock) {
        let partition = self.assignment.get_mut(slot);
        if let Some(partition) = partition
            && let Some(decisions) = &mut partition.decisions
        {
            decisions.add(offset, decided, clock.now);
            // What an abort may take back is not final yet.
            decisions.settle(match self.transaction {
                Some(_) => partition.mark.offset.unwrap_or(0),
                None => partition.tracker.committable(),
            });
        }
    }

    /// Whether a record is not to become a dead letter, because that would be one too many: then its partition is stopped
    /// there, and the family with it.
    pub(super) fn holds_back(&mut self, taken: &Taken, reason: Reason, clock: Clock) -> bool {
        let Some(source) = self.source_of(taken.slot) else {
            return false;
        };
        let decided = fate(reason);
        let is_tripped = self.tripped(source).is_some();
        if !is_tripped {
            let Some(cause) = self.one_too_many(source, decided, clock) else {
                return false;
            };
            self.trip(source, decided, &cause, clock);
        }
        if let Some(partition) = self.assignment.get_mut(taken.slot) {
            partition.positioned = true;
            partition.rewind_to(taken.offset);
        }
        true
    }

    fn one_too_many(
        &mut self,
        source: usize,
        decided: Decided,
        clock: Clock,
    ) -> Option<breaker::Cause> {
        if !self.limits.is_any() {
            return None;
        }
        let careful = self.assignment.get(source)?.careful_until;
        let careful = careful.is_some_and(|until| clock.now < until);
        let mut seen = Seen::default();
        for slot in self.family_slots(source) {
            let partition = self.assignment.get_mut(slot);
            if let Some(decisions) = partition.and_then(|one| one.decisions.as_mut()) {
                seen.merge(decisions.seen(clock.now));
            }
        }
        trips(&self.limits, &seen, decided, careful)
    }

    fn trip(&mut self, source: usize, decided: Decided, cause: &breaker::Cause, clock: Clock) {
        let config = self.judge.config();
        let (name, owner) = (config.name.clone(), config.owner.to_string());
        let Some(partition) = self.assignment.get_mut(source) else {
            return;
        };
        // With its partition that names the pause: a clock that was set back gives no name that an order has answered.
        let mut since = clock.wall;
        let controls = &self.shared.controls;
        while controls
            .resumed(&name, &partition.topic, partition.number, since)
            .is_some()
        {
            since += 1;
        }
        partition.standing.push(Standing {
            cause: match decided {
                Decided::Quarantined => Cause::Quarantine,
                Decided::Dead | Decided::Passed => Cause::Breaker,
            },
            since,
        });
        let left = partition.careful_until;
        let left = left.map(|until| until.saturating_duration_since(clock.now));
        let careful = left.filter(|left| !left.is_zero());
        let until = careful.map(|left| clock.wall + i64::try_from(left.as_millis()).unwrap_or(0));
        partition.why = told_cause(decided, cause, &self.limits, until);
        tracing::warn!(
            pipeline = name,
            owner,
            topic = partition.topic,
            partition = partition.number,
            "a breaker has tripped, nothing is lost: {}; the partition is paused until `driftgate resume {name}`",
            partition.why
        );
        self.bar_family(source);
        // At once, though the offset may not have moved: the pause is to outlast this process.
        self.next_commit = clock.now;
        self.after_trip(source, clock);
    }

    /// What a trip means for what is already produced. Here is where a delivery that can take it back does so: it aborts
    /// the open transaction, whose positions go back by [`Partition::rewind_to`] and take their decisions along; the bar
    /// stays.
    fn after_trip(&mut self, source: usize, clock: Clock) {
        let careful = self.assignment.get(source).and_then(|of| of.careful_until);
        match self.judge.config().delivery {
            // What is written stands, and its offsets are committed as it is acknowledged.
            Delivery::AtLeastOnce => {}
            // Somebody has looked, and let these go: taken back once more, they would trip it again at the same place, and
            // nothing would ever get past it.
            Delivery::ExactlyOnce(_) if careful.is_some_and(|until| clock.now < until) => {}
            // The dead letters of the open transaction are never seen; those before it stand.
            Delivery::ExactlyOnce(_) => self.doom(source, None),
        }
    }

    /// A writer schema has halted a partition: noted in its commit metadata, so that `resume` knows what to accept.
    pub(super) fn halted(&mut self, slot: usize, schema_id: Option<u32>, clock: Clock) {
        let (Some(partition), Some(schema_id)) = (self.assignment.get_mut(slot), schema_id) else {
            return;
        };
        let cause = Cause::Drift { schema_id };
        if !partition.standing.iter().any(|one| one.cause == cause) {
            partition.lift_drift();
            let since = clock.wall;
            partition.standing.push(Standing { cause, since });
            self.next_commit = clock.now;
        }
    }

    /// Acts on what operators have asked for since it was looked at last.
    pub(super) fn obey(&mut self, clock: Clock) {
        let version = self.shared.controls.version();
        if version == self.obeyed {
            return;
        }
        self.obeyed = version;
        let numbered: Vec<_> = self
            .assignment
            .iter()
            .map(|partition| (partition.topic.clone(), partition.number))
            .collect();
        for (topic, number) in numbered {
            let Some(slot) = self.assignment.find(&topic, number) else {
                continue;
            };
            let Some(partition) = self.assignment.get_mut(slot) else {
                continue;
            };
            if let Flow::Paused { until, reason } = &mut partition.flow
                && *reason == PauseReason::Drift
            {
                // Perhaps its schema is accepted now.
                *until = clock.now;
            }
            if partition.role == Role::Source {
                self.obey_for(slot, clock);
            }
        }
    }

    /// What is asked for one source partition, on its own and with its pipeline. Also after an assignment, when the pauses
    /// of its last owner are known.
    pub(super) fn obey_for(&mut self, source: usize, clock: Clock) {
        let controls = std::sync::Arc::clone(&self.shared.controls);
        let pipeline = self.judge.config().name.clone();
        let Some(partition) = self.assignment.get_mut(source) else {
            return;
        };
        let (topic, number) = (partition.topic.clone(), partition.number);
        let tripped = partition.standing.iter().filter(|one| is_trip(one));
        let answers = tripped.filter_map(|one| {
            let order = controls.resumed(&pipeline, &topic, number, one.since)?;
            Some((one.since, order))
        });
        if let Some((answered, order)) = answers.max_by_key(|(since, _)| *since) {
            partition.let_go(answered);
            tracing::info!(pipeline, topic, partition = number, "resumed {order}");
            self.begin_anew(source, clock);
        }
        let order = controls.paused(&pipeline, &topic, number);
        let Some(partition) = self.assignment.get_mut(source) else {
            return;
        };
        let asked = order.as_ref().map(|order| Standing {
            cause: Cause::Operator,
            since: order.at,
        });
        let before = partition.operator();
        if asked != before {
            partition
                .standing
                .retain(|one| one.cause != Cause::Operator);
            partition.standing.extend(asked);
            match &order {
                Some(order) => {
                    partition.asked = order.to_string();
                    tracing::info!(pipeline, topic, partition = number, "paused {order}");
                }
                None => tracing::info!(
                    pipeline,
                    topic,
                    partition = number,
                    "no longer paused by an operator"
                ),
            }
        }
        if partition.standing != partition.said {
            self.next_commit = clock.now;
        }
        self.bar_family(source);
    }

    /// Acts on the verdicts on values, where they have changed since it was looked at last.
    pub(super) fn heed(&mut self, clock: Clock) {
        let Some(version) = self.judge.watch().map(Watch::version) else {
            return;
        };
        if version == self.heeded {
            return;
        }
        self.heeded = version;
        let sources: Vec<_> = self
            .assignment
            .iter()
            .filter(|partition| partition.role == Role::Source)
            .map(|partition| (partition.topic.clone(), partition.number))
            .collect();
        for (topic, number) in sources {
            if let Some(slot) = self.assignment.find(&topic, number) {
                self.heed_for(slot, clock);
            }
        }
    }

    /// The verdicts on values for one source partition. Also after an assignment, when it is known what its last owner has
    /// let go.
    pub(super) fn heed_for(&mut self, source: usize, clock: Clock) {
        let Some(partition) = self.assignment.get_mut(source) else {
            return;
        };
        let Some(watch) = self.judge.watch() else {
            // Without a baseline there is nothing more to let go.
            partition.standing.retain(|one| one.cause.is_pause());
            return;
        };
        let config = self.judge.config();
        let before = partition.standing.clone();
        let halting = watch.halting(&partition.topic);
        partition.forget_let_go(watch.mark(), &halting);
        for halting in halting {
            let Some(values) = partition.halted_by(watch.mark(), &halting) else {
                continue;
            };
            // With its partition that names the pause; none that an order has answered.
            let mut since = clock.wall;
            let controls = &self.shared.controls;
            while controls
                .resumed(&config.name, &partition.topic, partition.number, since)
                .is_some()
            {
                since += 1;
            }
            let of_schema = |one: &Standing| match one.cause {
                Cause::Values(known) => known.schema_id == values.schema_id,
                _ => false,
            };
            partition.standing.retain(|one| !of_schema(one));
            partition.standing.push(Standing {
                cause: Cause::Values(values),
                since,
            });
            tracing::warn!(
                pipeline = config.name,
                owner = %config.owner,
                topic = partition.topic,
                partition = partition.number,
                schema = values.schema_id,
                "the values of {} have drifted from the baseline, which says to halt; nothing is lost: the partition is paused \
                 until `driftgate resume {}`",
                watch.named(&values.fields.places()),
                config.name
            );
        }
        if partition.standing != before {
            // At once, though the offset may not have moved: the pause is to outlast this process.
            self.next_commit = clock.now;
            self.bar_family(source);
        }
    }

    /// After a resume the breaker has seen nothing, and for a while looks more closely: if the flood goes on, half of the
    /// records tell.
    fn begin_anew(&mut self, source: usize, clock: Clock) {
        let limits = self.limits;
        for slot in self.family_slots(source) {
            if let Some(partition) = self.assignment.get_mut(slot) {
                partition.decisions = limits.is_any().then(|| Decisions::new(&limits, clock.now));
            }
        }
        let windows = [limits.dead_letters, limits.quarantined];
        let longest = windows.iter().flatten().map(|limit| limit.window).max();
        if let Some(partition) = self.assignment.get_mut(source) {
            partition.careful_until = Some(clock.now + longest.unwrap_or(CAREFUL));
        }
    }

    /// Brings the family in line with the pauses that stand on its source partition.
    fn bar_family(&mut self, source: usize) {
        let Some(partition) = self.assignment.get(source) else {
            return;
        };
        let trip = partition.standing.iter().find(|one| is_trip(one)).copied();
        let operator = partition.operator();
        let told = match (trip, operator) {
            (
                Some(Standing {
                    cause: Cause::Values(values),
                    since,
                }),
                _,
            ) => {
                let watch = self.judge.watch();
                let watch = watch.filter(|watch| watch.mark() == values.baseline);
                let names = watch.map(|watch| watch.named(&values.fields.places()));
                let names = names.map_or_else(String::new, |names| format!(" of {names}"));
                let detail = format!(
                    "the values{names} have drifted from the baseline (writer schema {}); look at what has changed, then \
                     `driftgate resume {}`",
                    values.schema_id,
                    self.judge.config().name
                );
                Some((PauseReason::Drift, detail, since))
            }
            (Some(trip), _) => {
                let detail = match partition.why.as_str() {
                    "" => told_again(trip),
                    why => why.to_owned(),
                };
                let name = &self.judge.config().name;
                let detail = format!("{detail}; look at them, then `driftgate resume {name}`");
                Some((PauseReason::Breaker, detail, trip.since))
            }
            (None, Some(operator)) => Some((
                PauseReason::Operator,
                partition.asked.clone(),
                operator.since,
            )),
            (None, None) => None,
        };
        for slot in self.family_slots(source) {
            match &told {
                Some((reason, detail, since)) => self.bar(slot, *reason, detail, *since),
                None => self.unbar(slot),
            }
        }
    }

    fn bar(&mut self, slot: usize, reason: PauseReason, detail: &str, since: i64) {
        let Some(partition) = self.assignment.get_mut(slot) else {
            return;
        };
        if partition.barred.is_none() && partition.positioned {
            // What was fetched and not begun is thrown away by the pause.
            partition.seek.get_or_insert(partition.tracker.expected());
        }
        partition.barred = Some(reason);
        partition.metrics.set_paused(Some(&reason));
        self.shared.health.pause(PauseEntry {
            pipeline: self.judge.config().name.clone(),
            topic: partition.topic.clone(),
            partition: partition.number,
            reason,
            detail: detail.to_owned(),
            since,
            until: None,
        });
    }

    fn unbar(&mut self, slot: usize) {
        let clock = self.time.read();
        let Some(partition) = self.assignment.get_mut(slot) else {
            return;
        };
        if partition.barred.take().is_none() {
            return;
        }
        partition.tries = 0;
        partition.fault = None;
        // What it waited for beneath is looked at anew, and told anew if it still holds.
        let is_rebuilding = partition.is_paused_for(PauseReason::Rebuilding);
        if let Flow::Paused { until, .. } = &mut partition.flow
            && !is_rebuilding
        {
            *until = clock.now;
        }
        partition.metrics.set_paused(None);
        let name = &self.judge.config().name;
        let health = &self.shared.health;
        health.resume(name, &partition.topic, partition.number);
        if is_rebuilding {
            // That ends when everything in retry has been read, and not before.
            self.tell_rebuild(slot, clock);
        }
    }

    /// The pause of a breaker that stands on a source partition.
    fn tripped(&self, source: usize) -> Option<Standing> {
        let partition = self.assignment.get(source)?;
        partition.standing.iter().find(|one| is_trip(one)).copied()
    }

    fn source_of(&self, slot: usize) -> Option<usize> {
        let partition = self.assignment.get(slot)?;
        match partition.role {
            Role::Source => Some(slot),
            Role::Retry { .. } => self.assignment.find(partition.source(), partition.number),
        }
    }

    fn family_slots(&self, source: usize) -> Vec<usize> {
        let Some(partition) = self.assignment.get(source) else {
            return Vec::new();
        };
        let family = self.family(&partition.topic, partition.number);
        let slots = family.iter().map(|(topic, number, _)| (topic, *number));
        slots
            .filter_map(|(topic, number)| self.assignment.find(topic, number))
            .collect()
    }
}

/// What a dead letter with this reason is to a breaker.
pub(super) fn fate(reason: Reason) -> Decided {
    match reason {
        Reason::Drift => Decided::Quarantined,
        _ => Decided::Dead,
    }
}

pub(super) fn is_trip(standing: &Standing) -> bool {
    matches!(
        standing.cause,
        Cause::Breaker | Cause::Quarantine | Cause::Values(_)
    )
}

/// What the breaker has seen, and up to when (milliseconds since the epoch) it is careful, if it is: then it is half of what is
/// configured that was too much.
fn told_cause(
    decided: Decided,
    cause: &breaker::Cause,
    limits: &Limits,
    careful_until: Option<i64>,
) -> String {
    let what = match decided {
        Decided::Quarantined => "in quarantine",
        Decided::Dead | Decided::Passed => "dead letters",
    };
    let (told, key, limit) = match cause {
        breaker::Cause::InARow(count) => (
            format!("{count} dead letters in a row would be too many"),
            "pause_after",
            limits.in_a_row.unwrap_or(*count),
        ),
        breaker::Cause::Ratio { bad, all, limit } => (
            format!(
                "{bad} of {all} records would be {what}: more than {} within {}",
                format_ratio(limit.above),
                format_duration(limit.window)
            ),
            "at_least",
            limit.at_least,
        ),
    };
    match careful_until {
        None => told,
        Some(until) => {
            let until = jiff::Timestamp::from_second(until.div_euclid(1000) + 1);
            let until = until.map_or_else(|_| "later".to_owned(), |until| until.to_string());
            format!(
                "{told} (careful after a resume, up to {until}: half of {key}, which is {limit}, is enough)"
            )
        }
    }
}

/// Of a pause that another owner began: the counts were its own.
fn told_again(trip: Standing) -> String {
    match trip.cause {
        Cause::Quarantine => "too many records in quarantine".to_owned(),
        _ => "too many dead letters".to_owned(),
    }
}

impl Partition {
    /// An operator has seen the pauses up to this one: they are over, and values that drifted may go on as they are.
    fn let_go(&mut self, since: i64) {
        for one in &mut self.standing {
            if let Cause::Values(values) = one.cause
                && one.since <= since
            {
                one.cause = Cause::LetGo(values);
            }
        }
        self.standing
            .retain(|one| !is_trip(one) || one.since > since);
        // The first of a schema takes in the others.
        let mut known: Vec<Standing> = Vec::new();
        for one in std::mem::take(&mut self.standing) {
            let same = known
                .iter_mut()
                .find_map(|known| match (&mut known.cause, one.cause) {
                    (Cause::LetGo(known), Cause::LetGo(one))
                        if (known.schema_id, known.baseline) == (one.schema_id, one.baseline) =>
                    {
                        Some((known, one))
                    }
                    _ => None,
                });
            match same {
                Some((known, one)) => known.fields = known.fields.with(one.fields),
                None => known.push(one),
            }
        }
        self.standing = known;
        // Commits have no room for more than a few hundred bytes of it.
        while self
            .standing
            .iter()
            .filter(|one| !one.cause.is_pause())
            .count()
            > MOST_LET_GO
        {
            let oldest = self.standing.iter().position(|one| !one.cause.is_pause());
            oldest.map(|place| self.standing.remove(place));
        }
    }

    /// What was let go and is right again, or is of another baseline, is not let go the next time.
    fn forget_let_go(&mut self, baseline: u32, halting: &[Halting]) {
        for one in &mut self.standing {
            if let Cause::LetGo(values) = &mut one.cause {
                let known = halting.iter().find(|one| one.schema_id == values.schema_id);
                let right = known.map(|known| Fields::of(&known.right));
                values.fields = values.fields.without(right.unwrap_or_default());
            }
        }
        self.standing.retain(|one| match one.cause {
            Cause::LetGo(values) => values.baseline == baseline && !values.fields.is_empty(),
            _ => true,
        });
    }

    /// What the partition is to be paused for that it is not yet, and that nobody has let go.
    fn halted_by(&self, baseline: u32, halting: &Halting) -> Option<Values> {
        let (mut paused, mut let_go) = (Fields::default(), Fields::default());
        for one in &self.standing {
            match one.cause {
                Cause::Values(known) if known.schema_id == halting.schema_id => {
                    paused = paused.with(known.fields);
                }
                Cause::LetGo(known) if known.schema_id == halting.schema_id => {
                    let_go = let_go.with(known.fields);
                }
                _ => {}
            }
        }
        let drifted = Fields::of(&halting.drifted).without(let_go);
        (!drifted.without(paused).is_empty()).then(|| Values {
            schema_id: halting.schema_id,
            baseline,
            fields: drifted.with(paused),
        })
    }

    fn operator(&self) -> Option<Standing> {
        let mut standing = self.standing.iter();
        standing.find(|one| one.cause == Cause::Operator).copied()
    }
}

#[cfg(test)]
mod tests;
