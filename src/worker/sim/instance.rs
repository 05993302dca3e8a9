//! The life of an instance: it starts, has its turns, leaves or dies.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use super::consumer::SimConsumer;
use super::core::Event;
use super::group::Member;
use super::judge::{SimJudge, SimTime};
use super::log::{GROUP, Tp};
use super::memory::WINDOW;
use super::outlet::{Outbox, SimOutlet};
use super::plan::SECOND;
use super::sabotage::Bug;
use super::survey::SimSurvey;
use super::world::World;
use crate::error::FatalError;
use crate::failure_log::FailureLog;
use crate::health::Health;
use crate::ingest::assignment::Partition;
use crate::worker::engine::{Engine, Outside, Settings};
use crate::worker::{Shared, TransactionSettings};

/// The most instances at a time.
const INSTANCES: usize = 4;
/// `max.poll.interval.ms`. Short, so that batches with slow commits reach what may be done in it.
const POLL_INTERVAL: Duration = Duration::from_secs(20);
/// How long an instance has for a revoke and for a shutdown.
pub(super) const GRACE: Duration = Duration::from_secs(3);

/// An engine with its consumer.
pub(super) struct Instance {
    id: usize,
    pub(super) engine: Engine,
    consumer: SimConsumer,
}

impl Instance {
    /// How its partitions stand, for a trace.
    pub(super) fn state(&self) -> Vec<String> {
        let all = self.engine.assignment.iter();
        all.map(|one| {
            let (expected, open) = (one.tracker.expected(), one.tracker.open());
            let name = format!("{}-{}", one.topic, one.number);
            let Partition {
                flow,
                barred,
                seek,
                rewind,
                held,
                ..
            } = one;
            format!(
                "{} has {name} at {expected}, {open} open: {flow:?}, barred {barred:?}, seek {seek:?}, rewind {rewind:?}, held {held}",
                self.id
            )
        })
        .collect()
    }
}

impl World {
    pub(super) fn start(self: &Arc<Self>) {
        let mut core = self.core();
        let alive = core.members.iter().filter(|member| member.alive).count();
        if core.ending || alive >= INSTANCES {
            return;
        }
        let id = core.members.len();
        let most = core.plan.skew;
        let skew = core.random.random_range(-most..=most);
        core.members.push(Member {
            alive: true,
            skew,
            ..Member::default()
        });
        core.outboxes.push(Outbox::default());
        core.controls.push(Arc::default());
        core.read_orders(id, true);
        let controls = core.controls[id].clone();
        let slot = core.take_id(id);
        core.join(id);
        core.tell(|| format!("{id} starts"));
        let random = SmallRng::seed_from_u64(core.random.random());
        let partitions = core.log.topics.iter().map(|topic| {
            let count = i32::try_from(topic.partitions.len()).expect("a few");
            (topic.name.clone(), count)
        });
        let sizes = core.log.topics.iter().map(|topic| {
            let limit = u64::try_from(topic.limit).expect("fits");
            (topic.name.clone(), limit)
        });
        let transaction = core.plan.transactions.map(|of| TransactionSettings {
            id: format!("{GROUP}-{slot}"),
            exclusive: !of.stable_ids,
            interval: of.interval,
            records: of.records,
            timeout: of.timeout,
            poll_interval: POLL_INTERVAL,
        });
        let settings = Settings {
            state: None,
            transaction,
            start: crate::native::consumer::OFFSET_BEGINNING,
            slot: 0,
            batch: core.plan.batch,
            window: match core.is(Bug::NoWindow) {
                true => usize::MAX,
                false => WINDOW * core.plan.batch,
            },
            room: match core.is(Bug::NoRoom) {
                true => usize::MAX,
                false => core.plan.room,
            },
            commit_interval: core.plan.commit_interval,
            revoke_grace: GRACE,
            shutdown_grace: GRACE,
            stuck_after: Duration::from_secs(30),
            partitions: partitions.collect(),
            sizes: match core.plan.sizes_known {
                true => sizes.collect(),
                false => Default::default(),
            },
        };
        core.after(0, Event::Wake(id));
        drop(core);
        let world = self.clone();
        let outside = Outside {
            judge: Box::new(SimJudge {
                world: world.clone(),
                id,
                scene: self.scene.clone(),
                digest: None,
                edition: None,
            }),
            outlet: Box::new(SimOutlet {
                world: world.clone(),
                id,
            }),
            survey: Box::new(SimSurvey::new(world.clone(), id)),
            time: Box::new(SimTime {
                world: world.clone(),
                id,
                start: self.start,
            }),
            random,
        };
        let shared = Shared {
            metrics: self.metrics.clone(),
            health: Health::new(),
            failures: Arc::new(FailureLog::new(self.start)),
            controls,
            shutdown: CancellationToken::new(),
        };
        let instance = Instance {
            id,
            engine: Engine::new(settings, outside, shared),
            consumer: SimConsumer { world, id, idle: 0 },
        };
        let mut instances = self.instances();
        instances.resize_with(id + 1, || None);
        instances[id] = Some(Box::new(instance));
    }

    pub(super) fn turn(self: &Arc<Self>, id: usize) {
        let taken = self.instances().get_mut(id).and_then(Option::take);
        let Some(mut instance) = taken else {
            return;
        };
        {
            let mut core = self.core();
            let frozen = core.members[id].frozen_until;
            if frozen > core.now {
                let wait = frozen - core.now;
                core.after(wait, Event::Wake(id));
                drop(core);
                self.instances()[id] = Some(instance);
                return;
            }
            core.members[id].turns += 1;
            core.note_orders(id);
            core.count("turns");
        }
        let (stopping, first) = {
            let core = self.core();
            (core.members[id].stopping, core.members[id].turns == 1)
        };
        let turned = catch_unwind(AssertUnwindSafe(|| match stopping {
            true => Err(None),
            false => {
                let started = match first {
                    true => instance.engine.start_transactions(),
                    false => Ok(()),
                };
                let turned = started.and_then(|()| instance.engine.turn(&mut instance.consumer));
                turned.map_err(Some)
            }
        }));
        match turned {
            Ok(Ok(())) => {
                instance.check_memory(id, &mut self.core());
                let wait = instance.consumer.idle.max(1);
                self.core().after(wait, Event::Wake(id));
                self.instances()[id] = Some(instance);
            }
            Ok(Err(error)) => {
                let left = catch_unwind(AssertUnwindSafe(|| self.leave(&mut instance, error)));
                if let Err(payload) = left {
                    self.core().died(id, payload.as_ref());
                }
                drop(instance);
            }
            Err(payload) => {
                self.core().died(id, payload.as_ref());
                drop(instance);
            }
        }
    }

    /// What a worker does when it is told to stop, or has to.
    fn leave(self: &Arc<Self>, instance: &mut Instance, error: Option<FatalError>) {
        let (id, clean) = (instance.id, error.is_none());
        if let Some(error) = error {
            self.core().count("instances ended by an error");
            self.core().tell(|| format!("{id} ends: {error}"));
        }
        {
            let mut core = self.core();
            core.members[id].leaving = Some(core.now);
        }
        let (engine, consumer) = (&mut instance.engine, &instance.consumer);
        engine.wind_up(consumer, clean);
        let held: Vec<Tp> = self.core().members[id].held.iter().copied().collect();
        if !held.is_empty() {
            let lost = !self.core().members[id].joined;
            consumer.give_up(engine, &held, lost);
        }
        let mut core = self.core();
        core.members[id].alive = false;
        core.part(id);
        core.abandon(id);
        core.tell(|| format!("{id} has left"));
        if !core.ending {
            let wait = core.some(3 * SECOND);
            core.after(wait, Event::Start);
        }
    }
}
