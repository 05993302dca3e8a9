//! A consumer over the log. As librdkafka's: rebalances are told inside the poll, with records already in the array; the
//! position is behind what was returned; a pause or a seek throws the prefetch away.

mod positions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rdkafka::types::RDKafkaErrorCode;

use super::facts::HandOut;
use super::group::Owned;
use super::instance::GRACE;
use super::log::{FROM, Kind, Stored, Tp};
use super::plan::{MILLI, Micros};
use super::sabotage::Bug;
use super::world::{World, micros};
use crate::ingest::offsets::Counts;
use crate::native::ClientError;
use crate::native::consumer::{Entry, Item, OFFSET_INVALID};
use crate::record::{Outcome, Record};
use crate::worker::engine::Engine;
use crate::worker::ports::{Act, Intake, Records};

pub(super) struct SimConsumer {
    pub(super) world: Arc<World>,
    pub(super) id: usize,
    /// How long the instance now has nothing to do, as the last poll found.
    pub(super) idle: Micros,
}

enum Got {
    Record {
        stored: Arc<Stored>,
        from: String,
        topic: String,
        partition: i32,
        due_now: bool,
    },
    Error(RDKafkaErrorCode),
}

struct Batch(Vec<Got>);

impl Records for Batch {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Item<'_> {
        match &self.0[index] {
            Got::Record {
                stored,
                from,
                topic,
                partition,
                due_now,
            } => {
                let headers = stored.headers.iter();
                // In front: that the due time is the last header says something.
                let mut headers: Vec<_> = std::iter::once((FROM, Some(from.as_bytes())))
                    .chain(headers.map(|(name, value)| (name.as_str(), value.as_deref())))
                    .collect();
                if *due_now {
                    headers.push((crate::headers::DUE_AT, Some(b"0")));
                }
                Item::Record(Record {
                    topic,
                    partition: *partition,
                    offset: stored.offset,
                    timestamp: stored.timestamp,
                    key: stored.key.as_deref(),
                    value: stored.value.as_deref(),
                    headers,
                })
            }
            Got::Error(code) => Item::Error {
                topic: "",
                partition: -1,
                code: *code,
                message: code.to_string(),
            },
        }
    }
}

fn number(tp: Tp) -> i32 {
    i32::try_from(tp.partition).expect("a few")
}

/// What the group wants of a consumer.
enum Change {
    Lost(Vec<Tp>),
    Revoke(Vec<Tp>),
    Assign(Vec<Tp>),
}

impl SimConsumer {
    /// Moves what has been fetched into the batch.
    fn gather(&self, batch: &mut Batch, most: usize) {
        let mut core = self.world.core();
        let core = &mut *core;
        let mut owned: Vec<Tp> = core.members[self.id].owned.keys().copied().collect();
        if owned.is_empty() {
            return;
        }
        let first = core.random.random_range(0..owned.len());
        owned.rotate_left(first);
        for tp in owned {
            if core.away(tp).is_some() {
                continue;
            }
            let regress = match core.members[self.id].consumer_error {
                true => core.random.random_range(0..5),
                false => 0,
            };
            let room = most.saturating_sub(batch.0.len());
            let some = core.random.random_range(1..=most.max(1)).min(room);
            let paused = core.members[self.id].paused.contains(&tp);
            let reading = &mut core.members[self.id].owned;
            let Some(reading) = reading.get_mut(&tp) else {
                continue;
            };
            if paused || reading.ready_at > core.now || some == 0 {
                continue;
            }
            let partition = core.log.partition(tp);
            reading.seen = Some(partition.end);
            // What was returned once, and comes again.
            reading.position = (reading.position - regress).max(reading.start);
            let from = partition.at(reading.position);
            let is_retry = matches!(core.log.topics[tp.topic].kind, Kind::Retry { .. });
            let end = match core.bug {
                Some(Bug::ReadUncommitted) => partition.end,
                _ => partition.stable_end(),
            };
            let transactions = &core.transactions;
            let readable = |stored: &&Arc<Stored>| {
                let of = stored.transaction;
                of.is_none_or(|of| transactions[of].is_committed())
                    || core.bug == Some(Bug::ReadUncommitted)
            };
            let records = partition.records[from..].iter();
            let records = records
                .take_while(|stored| stored.offset < end)
                .filter(readable);
            for stored in records.take(some) {
                let number_of = core.facts.hand_outs.len();
                core.facts.hand_outs.push(HandOut {
                    tp,
                    offset: stored.offset,
                    uid: stored.uid,
                    origin: stored.origin,
                    attempt: stored.attempt,
                    not_before: stored.due_at.max(stored.not_before),
                    epoch: reading.epoch,
                    filtered: false,
                    children: Vec::new(),
                });
                core.facts.of.entry(stored.uid).or_default().push(number_of);
                reading.position = stored.offset + 1;
                batch.0.push(Got::Record {
                    stored: stored.clone(),
                    from: number_of.to_string(),
                    topic: core.log.topics[tp.topic].name.clone(),
                    partition: number(tp),
                    due_now: is_retry && core.bug == Some(Bug::DueNow),
                });
            }
        }
        core.members[self.id].consumer_error = false;
    }

    fn change(&self) -> Option<Change> {
        let core = self.world.core();
        let member = &core.members[self.id];
        if !member.joined {
            return Some(Change::Lost(member.held.iter().copied().collect()));
        }
        let revoke: Vec<Tp> = member.held.difference(&member.assigned).copied().collect();
        if !revoke.is_empty() {
            return Some(Change::Revoke(revoke));
        }
        let assign: Vec<Tp> = member.assigned.difference(&member.held).copied().collect();
        (!assign.is_empty()).then_some(Change::Assign(assign))
    }

    fn entries(&self, of: &[Tp]) -> Vec<Entry> {
        let core = self.world.core();
        of.iter()
            .map(|tp| Entry {
                topic: core.log.topics[tp.topic].name.clone(),
                partition: number(*tp),
                offset: OFFSET_INVALID,
                metadata: None,
            })
            .collect()
    }

    /// Tells the engine what the group wants. Whether there was anything.
    fn rebalance(&self, engine: &mut Engine) -> bool {
        match self.change() {
            None => false,
            Some(Change::Lost(of)) => {
                if !of.is_empty() {
                    // librdkafka may miss that an assignment is lost: then it looks like any revoke.
                    let missed = self.world.core().random.random_ratio(1, 8);
                    self.world.core().count("assignments lost");
                    self.give_up(engine, &of, !missed);
                }
                self.world.core().join(self.id);
                true
            }
            Some(Change::Revoke(of)) => {
                self.world.core().count("revokes");
                self.give_up(engine, &of, false);
                self.world.core().rebalance();
                true
            }
            Some(Change::Assign(of)) => {
                let entries = self.entries(&of);
                let answer = engine.assigned(self, &entries);
                let mut core = self.world.core();
                let core = &mut *core;
                for entry in answer {
                    let Some(tp) = core.log.tp(&entry.topic, entry.partition) else {
                        core.violated(format!("it reads {}, which there is not", entry.topic));
                        continue;
                    };
                    let committed = core.log.partition(tp).committed.as_ref();
                    let counts = committed.and_then(|(_, counts)| Counts::from_metadata(counts));
                    let counts = counts.unwrap_or_default();
                    let start = entry.offset.max(0);
                    let wait = core.random.random_range(1..=50 * MILLI);
                    let epoch = u64::try_from(core.facts.hand_outs.len()).expect("fits") << 8;
                    let owned = Owned {
                        position: start,
                        start,
                        ready_at: if core.random.random_bool(0.3) {
                            core.now
                        } else {
                            core.now + wait
                        },
                        seen: None,
                        epoch: epoch
                            | u64::try_from(core.members[self.id].owned.len()).expect("fits"),
                        verified: start,
                        counts: Outcome::ALL.map(|outcome| counts.of(outcome)),
                        latest: BTreeMap::new(),
                        strangers: 0,
                    };
                    core.members[self.id].owned.insert(tp, owned);
                }
                core.tell(|| format!("{} takes {of:?}", self.id));
                core.members[self.id].held.extend(of);
                true
            }
        }
    }

    /// The engine is told that partitions go, and they do.
    pub(super) fn give_up(&self, engine: &mut Engine, of: &[Tp], lost: bool) {
        let entries = self.entries(of);
        let began = {
            let core = self.world.core();
            core.members[self.id].leaving.unwrap_or(core.now)
        };
        if lost {
            // From here on nothing may be committed for them.
            let mut core = self.world.core();
            core.excuse_all(self.id);
            for tp in core.family(of) {
                core.members[self.id].owned.remove(&tp);
            }
        }
        if !self.world.core().is(Bug::RevokeUntold) {
            engine.revoked(self, &entries, lost);
        }
        let mut core = self.world.core();
        let core = &mut *core;
        for tp in core.family(of) {
            let Some(owned) = core.members[self.id].owned.remove(&tp) else {
                continue;
            };
            let facts = &core.facts;
            let open = owned.latest.values().any(|hand_out| {
                let mut children = facts.hand_outs[*hand_out].children.iter();
                children.any(|child| !facts.children[*child].acknowledged)
            });
            // What comes in when the time is over may be too late for the commit.
            let late = core.now - began >= micros(GRACE);
            if open || late || core.writes(self.id, tp) {
                core.facts.excused.insert(tp);
            }
        }
        core.tell(|| format!("{} gives up {of:?}, lost: {lost}", self.id));
        for tp in of {
            core.members[self.id].held.remove(tp);
        }
    }
}

impl super::core::Core {
    /// Source partitions with their retry partitions.
    pub(super) fn family(&self, of: &[Tp]) -> Vec<Tp> {
        self.log
            .all()
            .filter(|tp| match self.log.kind(*tp) {
                Kind::Source => of.contains(tp),
                Kind::Retry { source, .. } => of.contains(&Tp {
                    topic: source,
                    partition: tp.partition,
                }),
                _ => false,
            })
            .collect()
    }
}

impl Intake for SimConsumer {
    fn poll(&mut self, timeout: Duration, engine: &mut Engine, act: &mut Act<'_>) {
        self.world.step(self.id);
        let most = engine.settings.batch;
        let mut batch = Batch(Vec::new());
        {
            let mut core = self.world.core();
            if core.members[self.id].consumer_error && core.random.random_bool(0.5) {
                core.members[self.id].consumer_error = false;
                batch
                    .0
                    .push(Got::Error(RDKafkaErrorCode::BrokerTransportFailure));
            }
        }
        // Some records are in the array when the group's changes are told.
        let early = self.world.core().random.random_range(0..=most);
        self.gather(&mut batch, early);
        let mut rounds = 0;
        while rounds < 4 && self.rebalance(engine) {
            rounds += 1;
            if self.world.core().random.random_bool(0.5) {
                self.gather(&mut batch, most);
            }
        }
        self.gather(&mut batch, most);
        self.idle = match batch.0.is_empty() && rounds == 0 {
            true => micros(timeout),
            false => self.world.core().some(2 * MILLI),
        };
        self.world.core().members[self.id].wall_read = i64::MIN;
        act(engine, &batch, &*self);
    }

    fn take_errors(&mut self) -> Vec<ClientError> {
        Vec::new()
    }

    fn take_commits(&mut self) -> Vec<(Option<RDKafkaErrorCode>, Vec<Entry>)> {
        std::mem::take(&mut self.world.core().members[self.id].answers)
    }
}
