//! Runs the events of a world in the order of their time. An engine that waits lets the others go on meanwhile, on the
//! same thread: their turns run inside of its wait. So one seed is one order of everything.

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng;

use super::core::{Core, Event, Outage};
use super::instance::Instance;
use super::plan::{MILLI, Micros, Op, SECOND};
use super::scene::Scene;
use crate::metrics::Metrics;

/// Rounded up: a wait that is not over takes time.
pub(super) fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(Micros::MAX / 4)
}

/// What unwinds an instance that dies.
struct Crash;

pub(super) struct World {
    core: Mutex<Core>,
    /// `None` while one has its turn, and when it is gone.
    instances: Mutex<Vec<Option<Box<Instance>>>>,
    pub(super) scene: Arc<Scene>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) start: Instant,
}

impl World {
    pub(super) fn new(core: Core, metrics: Arc<Metrics>) -> Arc<World> {
        static START: OnceLock<Instant> = OnceLock::new();
        let scene = Arc::new(Scene::new(&core.plan, core.bug));
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

    pub(super) fn instances(&self) -> MutexGuard<'_, Vec<Option<Box<Instance>>>> {
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
            Event::Operator => self.core().look_after(),
            Event::Lift => self.core().pause_all(false),
            Event::Orders(id) => self.core().read_orders(id, false),
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
            (Op::Pause(lasts), _) => {
                core.pause_all(true);
                core.after(lasts, Event::Lift);
            }
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

impl Core {
    /// Holds an instance up; until when is the answer.
    fn freeze(&mut self, id: usize, lasts: Micros) -> Micros {
        self.tell(|| format!("{id} stands still for {:.3} s", lasts as f64 / 1e6));
        let until = self.now + lasts;
        self.members[id].frozen_until = until;
        self.silent(id, lasts);
        until
    }

    pub(super) fn died(&mut self, id: usize, how: &(dyn std::any::Any + Send)) {
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
