//! Runs the events of a world in the order of their time. An engine that waits lets the others go on meanwhile, on the
//! same thread: their turns run inside of its wait. So one seed is one order of everything.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use super::consumer::SimConsumer;
use super::core::{Core, Event, Outage};
use super::group::Member;
use super::judge::{SimJudge, SimTime};
use super::log::{GROUP, Tp, source_name};
use super::outlet::{Outbox, SimOutlet};
use super::plan::{MILLI, Micros, Op, Plan, SECOND};
use super::sabotage::Bug;
use crate::config::{self, model};
use crate::contract::schema::Schema;
use crate::error::FatalError;
use crate::failure::envelope::Stamp;
use crate::failure_log::FailureLog;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::pipeline::{Checked, Sink};
use crate::worker::engine::{Engine, Outside, Settings};
use crate::worker::ports::Survey;
use crate::worker::{Shared, TransactionSettings};

/// The most instances at a time.
const INSTANCES: usize = 4;
/// Batches that a partition may have begun and not finished.
const WINDOW: usize = 8;
/// `max.poll.interval.ms`. Short, so that batches with slow commits reach what may be done in it.
const POLL_INTERVAL: Duration = Duration::from_secs(20);
/// How long an instance has for a revoke and for a shutdown.
const GRACE: Duration = Duration::from_secs(3);

/// Rounded up: a wait that is not over takes time.
pub(super) fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(Micros::MAX / 4)
}

/// What unwinds an instance that dies.
struct Crash;

/// What all instances of a run share and nothing changes.
pub(super) struct Scene {
    pub(super) config: model::Pipeline,
    pub(super) stamp: Stamp,
    pub(super) sinks: Vec<Sink>,
}

impl Scene {
    fn new(plan: &Plan) -> Scene {
        static BASE: OnceLock<model::Pipeline> = OnceLock::new();
        let base = BASE.get_or_init(|| {
            let text = format!(
                "pipelines: {{ p: {{ owner: {{ team: t, contact: c }}, group: {GROUP}, source: {{ topics: [orders] }}, \
                 contract: {{ subject: a }}, sink: {{ topic: out, subject: a }} }} }}"
            );
            let base = std::path::Path::new("");
            let loaded = config::load_text(&text, "simulation", base, &|_| None);
            let loaded = loaded.expect("a configuration without faults");
            loaded.config.pipelines[0].clone()
        });
        let mut config = base.clone();
        config.source_topics = (0..plan.sources).map(source_name).collect();
        config.failure.tiers = plan.tiers.clone();
        config.failure.jitter = plan.jitter;
        config.failure.budget = plan.budget;
        config.provenance = match plan.provenance {
            true => model::Provenance::Header,
            false => model::Provenance::None,
        };
        if let Some(of) = plan.transactions {
            config.delivery = model::Delivery::ExactlyOnce(model::Transaction {
                interval: of.interval,
                records: of.records,
                timeout: of.timeout,
            });
        }
        let schema = Arc::new(Schema::parse("\"string\"", &[]).expect("a schema"));
        let sink = |topic: &str| Sink {
            topic: topic.to_owned(),
            schema: schema.clone(),
            id: 1,
            rules: Checked::default(),
        };
        Scene {
            config,
            stamp: Stamp {
                pipeline: "p".to_owned(),
                group: GROUP.to_owned(),
                owner: "t <c>".to_owned(),
                contract: "a@1".to_owned(),
                ..Stamp::default()
            },
            sinks: vec![sink("out"), sink("other")],
        }
    }
}

struct Instance {
    id: usize,
    engine: Engine,
    consumer: SimConsumer,
}

/// The order per key is not simulated, so nothing is surveyed.
struct NoSurvey;

impl Survey for NoSurvey {
    fn begin(&mut self, _: u64, _: &str, _: Vec<crate::native::consumer::Entry>) {
        unreachable!("no order per key");
    }

    fn poll(&mut self) -> Vec<crate::worker::ports::Event> {
        Vec::new()
    }
}

pub(super) struct World {
    core: Mutex<Core>,
    /// `None` while one has its turn, and when it is gone.
    instances: Mutex<Vec<Option<Box<Instance>>>>,
    scene: Arc<Scene>,
    metrics: Arc<Metrics>,
    start: Instant,
}

impl World {
    pub(super) fn new(core: Core, metrics: Arc<Metrics>) -> Arc<World> {
        static START: OnceLock<Instant> = OnceLock::new();
        let scene = Arc::new(Scene::new(&core.plan));
        Arc::new(World {
            core: Mutex::new(core),
            instances: Mutex::default(),
            scene,
            metrics,
            start: *START.get_or_init(Instant::now),
        })
    }

    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn instances(&self) -> MutexGuard<'_, Vec<Option<Box<Instance>>>> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that happens up to a time, or until `stop`.
    pub(super) fn run(self: &Arc<Self>, until: Micros, stop: &dyn Fn(&Core) -> bool) {
        loop {
            let event = {
                let mut core = self.core();
                if core.violation.is_some() || stop(&core) {
                    return;
                }
                match core.next(until) {
                    Some(event) => event,
                    None => return,
                }
            };
            self.handle(event);
        }
    }

    /// An engine waits, at most so long.
    pub(super) fn wait(self: &Arc<Self>, id: usize, longest: Micros, stop: &dyn Fn(&Core) -> bool) {
        let (until, violated) = {
            let core = self.core();
            (core.now + longest, core.violation.is_some())
        };
        if violated {
            // The run is over; nothing may wait for ever until that is noticed.
            self.core().now = until;
            return;
        }
        self.run(until, stop);
        self.step(id);
    }

    /// An engine calls the outside: where it may die or be held up.
    pub(super) fn step(self: &Arc<Self>, id: usize) {
        let frozen = {
            let mut core = self.core();
            core.called(id);
            if !core.faults || core.violation.is_some() {
                return;
            }
            let (crashes, freezes) = (core.plan.crashes, core.plan.freezes);
            if core.chance(crashes) {
                core.count("crashes within a turn");
                core.tell(|| format!("{id} dies"));
                drop(core);
                resume_unwind(Box::new(Crash));
            }
            if !core.chance(freezes) {
                return;
            }
            let most = if core.random.random_bool(0.5) {
                SECOND
            } else {
                15 * SECOND
            };
            let lasts = core.some(most);
            core.count("freezes within a turn");
            core.freeze(id, lasts)
        };
        self.run(frozen, &|_| false);
    }

    fn handle(self: &Arc<Self>, event: Event) {
        match event {
            Event::Wake(id) => self.turn(id),
            Event::Start => self.start(),
            Event::Send(id, tp) => self.core().send(id, tp),
            Event::Append(id, tp, number) => self.core().append(id, tp, number),
            Event::Ack(id, tp, number) => self.core().acknowledge(id, tp, number),
            Event::CommitApply(id, number) => self.core().commit_applies(id, number),
            Event::CommitAnswer(id, number) => self.core().commit_answered(id, number),
            Event::TransactionTimeout(of) => self.core().timed_out(of),
            Event::EndApply(id, number) => self.core().end_applies(id, number),
            Event::EndAnswer(id, number) => self.core().end_answered(id, number),
            Event::Kick(id) => self.core().kick(id),
            Event::Round => self.core().round(),
            Event::Feed(count) => self.core().feed(count),
            Event::FaultsEnd => self.core().faults_end(),
            Event::Op(op) => self.operate(op),
        }
    }

    fn start(self: &Arc<Self>) {
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
            transaction,
            start: crate::native::consumer::OFFSET_BEGINNING,
            slot: 0,
            batch: core.plan.batch,
            window: match core.is(Bug::NoWindow) {
                true => usize::MAX,
                false => WINDOW * core.plan.batch,
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
            }),
            outlet: Box::new(SimOutlet {
                world: world.clone(),
                id,
            }),
            survey: Box::new(NoSurvey),
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
            controls: Arc::default(),
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

    fn turn(self: &Arc<Self>, id: usize) {
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
                instance.check_memory(&mut self.core());
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

    fn operate(self: &Arc<Self>, op: Op) {
        let mut core = self.core();
        let core = &mut *core;
        if !core.faults {
            return;
        }
        core.tell(|| format!("fault: {op:?}"));
        let now = core.now;
        let alive: Vec<usize> = (0..core.members.len())
            .filter(|id| core.members[*id].alive)
            .collect();
        let one = match alive.is_empty() {
            true => None,
            false => Some(alive[core.random.random_range(0..alive.len())]),
        };
        match (op, one) {
            (Op::Start, _) => core.after(0, Event::Start),
            (
                Op::Outage {
                    topic,
                    partition,
                    lasts,
                },
                _,
            ) => core.outages.push(Outage {
                topic,
                partition,
                until: now + lasts,
            }),
            (Op::Refuse { topic, code, lasts }, _) => {
                core.refusals.push((topic, code, now + lasts));
            }
            (Op::Coordinator(lasts), _) => core.coordinator_until = now + lasts,
            (Op::Commits(lasts), _) => core.commits_until = now + lasts,
            (Op::Registry(lasts), _) => core.registry_until = now + lasts,
            (Op::Lookups(lasts), _) => core.lookups_until = now + lasts,
            (Op::Slow(lasts), _) => core.slow_until = now + lasts,
            (Op::Shuffle, _) => core.shuffle(),
            (Op::Stop, Some(id)) => core.members[id].stopping = true,
            (Op::Freeze(lasts), Some(id)) => {
                core.freeze(id, lasts);
            }
            (Op::Skew(skew), Some(id)) => core.members[id].skew = skew,
            (Op::Regress | Op::ConsumerError, Some(id)) => core.members[id].consumer_error = true,
            (Op::Crash, Some(id)) => {
                // One that is in a wait dies with the next turn.
                let at_rest = self.instances().get_mut(id).and_then(Option::take);
                if at_rest.is_some() {
                    core.died(id, &Crash);
                }
            }
            (_, None) => {}
        }
    }

    /// Whoever is left leaves as it should.
    pub(super) fn stop_all(&self) {
        let mut core = self.core();
        core.ending = true;
        for member in &mut core.members {
            member.stopping = true;
        }
    }
}

impl Instance {
    /// Nothing that an engine keeps may grow with the length of a fault.
    fn check_memory(&self, core: &mut Core) {
        let (batch, capacity) = (core.plan.batch, core.plan.capacity);
        let in_flight = self.engine.in_flight();
        if in_flight > capacity {
            core.violated(format!("memory: {in_flight} in flight of {capacity}"));
        }
        let most = WINDOW * batch + batch;
        for partition in self.engine.assignment.iter() {
            let kept = partition.tracker.in_flight();
            let doubts =
                partition.suspects.len() + partition.refused.len() + partition.doubted.len();
            if kept > most || doubts > 3 * (capacity + most) {
                core.violated(format!(
                    "memory: {}-{} keeps {kept} records and {doubts} doubts",
                    partition.topic, partition.number
                ));
            }
        }
    }
}

impl Core {
    /// Holds an instance up; until when is the answer.
    fn freeze(&mut self, id: usize, lasts: Micros) -> Micros {
        self.tell(|| format!("{id} stands still for {:.3} s", lasts as f64 / 1e6));
        let until = self.now + lasts;
        self.members[id].frozen_until = until;
        self.silent(id, lasts);
        until
    }

    fn died(&mut self, id: usize, how: &(dyn std::any::Any + Send)) {
        if !how.is::<Crash>() {
            let text = how.downcast_ref::<&str>().copied();
            let text = text.or(how.downcast_ref::<String>().map(String::as_str));
            self.violated(format!("panic: {}", text.unwrap_or("of another kind")));
        }
        self.count("crashes");
        self.members[id].alive = false;
        self.excuse_all(id);
        self.abandon(id);
        self.silent(id, Micros::MAX);
        let wait = self.some(3 * SECOND);
        self.after(wait + MILLI, Event::Start);
    }
}
