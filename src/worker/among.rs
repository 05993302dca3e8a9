//! What a record is among those of its key. Of copies the first that gets through wins, and the others are duplicates; an event
//! that is older than the newest of its key which got through is stale. What is remembered is in `state`, and told by `remember`.
//!
//! A key counts once nothing can take its record back. Until then those behind it in its partition share that record's fate: they
//! are read again with it. Those in another one wait for its acknowledgement, and copies behind one in retry wait there (`parked`).

use super::Clock;
use super::engine::{ALONE_WAIT, Engine, Step, Taken};
use crate::config::model::{OrderBy, Then};
use crate::error::{Reason, RecordError};
use crate::failure::parking::Key;
use crate::health::PauseReason;
use crate::pipeline::Verdict;
use crate::record::{Header, Outcome, Record};
use crate::state::digest::Digest;
use crate::state::memory::{Memory, Notes};
use crate::state::noted::{Noted, Once, Value, Version};
use crate::state::seen::Seen;

/// What a record is among those of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Among {
    /// The first, the newest, or of no key.
    First,
    /// A copy of one that is through, or shares its fate.
    Copy,
    /// Older than the one at this offset of the source partition, which is through or shares its fate. Negative: a foreign one.
    Stale(i64),
    /// That is not known yet: its partition has been stopped at it.
    Unsure,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known<V> {
    No,
    /// By the record at this position of the source.
    Through(i64, V),
    /// A record of another partition is on its way.
    OnItsWay,
}

/// Where something is remembered: in the notes of a partition, and of what is through.
struct Kept<V> {
    noted: fn(&Notes) -> Option<&Noted<V>>,
    seen: fn(&Memory) -> Option<&Seen<V>>,
}

const COPIES: Kept<Once> = Kept {
    noted: |notes| notes.seen.as_ref(),
    seen: |memory| memory.seen.as_ref(),
};

const VERSIONS: Kept<Version> = Kept {
    noted: |notes| notes.newest.as_ref(),
    seen: |memory| memory.newest.as_ref(),
};

impl Engine {
    /// Takes over what the record that was just run is known by, and sees whether there is any use in its verdict.
    pub(super) fn is_known(&mut self, taken: &mut Taken, record: &Record<'_>) -> bool {
        if self.families.memory(taken.slot).is_none() {
            return false;
        }
        if let Some(digest) = self.judge.digest() {
            taken.origin.digest = Some(digest);
        }
        taken.edition = self.judge.edition();
        if self.families.order == Some(OrderBy::Digest) && taken.key.is_none() {
            self.line_up(taken, record);
        }
        if taken.step == Step::Judge {
            match self.through(taken) {
                Among::First | Among::Unsure => {}
                among => taken.step = Step::Known(among),
            }
        }
        taken.step != Step::Judge
    }

    /// What the record is by those of its key that are through for good.
    fn through(&self, taken: &Taken) -> Among {
        let memory = self.families.memory(taken.slot);
        let place = self.place(taken);
        let copies = memory.and_then(|memory| (COPIES.seen)(memory)?.find(taken.origin.digest?));
        if copies.is_some_and(|(at, _)| at != place || at < 0) {
            return Among::Copy;
        }
        let edition = taken.edition;
        let newest = memory.and_then(|memory| (VERSIONS.seen)(memory)?.find(edition?.digest));
        match (newest, edition) {
            (Some((position, version)), Some(edition)) if version > edition.version => {
                Among::Stale(position)
            }
            _ => Among::First,
        }
    }

    /// What the record is, now that it is its turn.
    pub(super) fn among(&mut self, taken: &Taken, clock: Clock) -> Among {
        let Some(memory) = self.families.memory_mut(taken.slot) else {
            return Among::First;
        };
        memory.comes_to(taken.origin.timestamp.unwrap_or(clock.wall), clock.wall);
        let among = self.known(taken);
        if self.is_unreadable(taken, clock) {
            return Among::Unsure;
        }
        if let Some(among) = among {
            return among;
        }
        self.drain(ALONE_WAIT);
        let is_there = self.assignment.get(taken.slot).is_some_and(|partition| {
            partition.rewind.is_none() && partition.tracker.holds(taken.sequence)
        });
        if !is_there {
            // It is read again.
            return Among::Unsure;
        }
        let among = self.known(taken);
        if self.is_unreadable(taken, clock) {
            return Among::Unsure;
        }
        if let Some(among) = among {
            return among;
        }
        let detail = "another record with its key is not acknowledged yet";
        self.stand(taken, PauseReason::KeyCatchesUp, detail, clock);
        Among::Unsure
    }

    /// `None`: that depends on a record of another partition which is on its way.
    fn known(&self, taken: &Taken) -> Option<Among> {
        let place = self.place(taken);
        let is_other = |at: i64, _: Once| at != place || at < 0;
        match self.known_by(taken, taken.origin.digest, &COPIES, &is_other) {
            Known::No => {}
            Known::Through(..) => return Some(Among::Copy),
            Known::OnItsWay => return None,
        }
        let Some(edition) = taken.edition else {
            return Some(Among::First);
        };
        let is_newer = |_: i64, version: Version| version > edition.version;
        match self.known_by(taken, Some(edition.digest), &VERSIONS, &is_newer) {
            Known::No => Some(Among::First),
            Known::Through(position, _) => Some(Among::Stale(position)),
            Known::OnItsWay => None,
        }
    }

    /// What is known of the key by records that count.
    fn known_by<V: Value>(
        &self,
        taken: &Taken,
        digest: Option<Digest>,
        kept: &Kept<V>,
        counts: &dyn Fn(i64, V) -> bool,
    ) -> Known<V> {
        let Some(digest) = digest else {
            return Known::No;
        };
        let noted = |slot: usize| {
            let partition = self.assignment.get(slot)?;
            let found = (kept.noted)(partition.notes.as_ref()?)?.find(digest)?;
            counts(found.position, found.value).then_some((partition, found))
        };
        // Should that one be refused, this one is read again with it.
        if let Some((_, found)) = noted(taken.slot) {
            return Known::Through(found.position, found.value);
        }
        let memory = self.families.memory(taken.slot);
        let seen = memory.and_then(|memory| (kept.seen)(memory)?.find(digest));
        if let Some((at, value)) = seen.filter(|(at, value)| counts(*at, *value)) {
            return Known::Through(at, value);
        }
        let others = self.families.relatives(taken.slot);
        let others = others.filter(|slot| *slot != taken.slot);
        match others.filter_map(noted).next() {
            None => Known::No,
            Some((partition, found)) => {
                let is_final = found.offset < partition.tracker.first_incomplete();
                match is_final || self.transaction.is_some() {
                    true => Known::Through(found.position, found.value),
                    false => Known::OnItsWay,
                }
            }
        }
    }

    /// Whether what is stale goes on all the same.
    pub(super) fn passes_stale(&self) -> bool {
        let stale = self.judge.config().stale.as_ref();
        stale.is_some_and(|stale| stale.then == Then::Pass)
    }

    /// What is stale and goes on says so.
    pub(super) fn mark_stale(&self, taken: &Taken, mut verdict: Verdict, position: i64) -> Verdict {
        if let Some(partition) = self.assignment.get(taken.slot) {
            partition.metrics.stale_passed();
        }
        let outputs = match &mut verdict {
            Verdict::Emit(output) => std::slice::from_mut(output),
            Verdict::EmitAll(outputs) => outputs,
            Verdict::Filtered | Verdict::Failed(_) | Verdict::LookUp(_) => &mut [],
        };
        for output in outputs {
            output.newer = Some(newer(taken, position));
        }
        verdict
    }

    /// A record that is not to go on: it is counted, and set aside if the configuration says so.
    pub(super) fn stands_behind(
        &mut self,
        taken: &Taken,
        record: &Record<'_>,
        own: &[Header<'_>],
        among: Among,
        clock: Clock,
    ) {
        let config = self.judge.config();
        let (then, outcome, error) = match among {
            Among::Stale(position) => {
                let then = config.stale.as_ref().map(|stale| &stale.then);
                let text = format!(
                    "a newer version of its key is through: {}",
                    newer(taken, position)
                );
                (then, Outcome::Stale, RecordError::new(Reason::Stale, text))
            }
            _ => {
                let then = config.dedup.as_ref().map(|dedup| &dedup.then);
                let text = "a copy of a record that is through";
                (
                    then,
                    Outcome::Duplicate,
                    RecordError::new(Reason::Duplicate, text),
                )
            }
        };
        let place = match then {
            Some(Then::Topic(topic)) => Some((topic.value.clone(), outcome)),
            Some(Then::DeadLetter) => self.assignment.get(taken.slot).map(|partition| {
                let topic = config.dead_letter_topic(partition.source());
                (topic, Outcome::DeadLettered)
            }),
            Some(Then::Drop | Then::Pass) | None => None,
        };
        match place {
            Some((topic, outcome)) => {
                self.set_aside(taken, record, own, &error, (&topic, outcome), clock);
            }
            None => self.pass(taken, outcome, clock),
        }
    }
}

/// Where the newer event was read, as headers have it. No versions: they are values of the event.
pub(super) fn newer(taken: &Taken, position: i64) -> String {
    let (topic, partition) = (&taken.origin.topic, taken.origin.partition);
    match position {
        0.. => format!("{topic}-{partition}@{position}"),
        _ => "its place is not known".to_owned(),
    }
}

/// The key under which a record with that digest waits for others in retry.
pub(super) fn order_key(digest: Option<Digest>) -> Option<Key> {
    digest.map(|digest| Key(digest.short()))
}
