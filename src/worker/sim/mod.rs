//! A seeded, deterministic simulation of workers: engines as they are, over a log in memory, with a virtual clock. A seed
//! draws the cluster, the group, the records and the faults (`plan`); `world` runs them; `facts` and `content` know what
//! is true and hold every step against it; `sabotage` breaks things on purpose.
//!
//! `DRIFTGATE_SIM_SEEDS` is how many seeds a run tries, `DRIFTGATE_SIM_FROM` the first of them, `DRIFTGATE_SIM_SEED` one
//! alone, which then prints its trace if `DRIFTGATE_SIM_TRACE` is set.

mod breaker;
mod consumer;
mod content;
mod core;
mod end;
mod facts;
mod failed;
mod group;
mod instance;
mod judge;
mod ledger;
mod log;
mod memory;
mod operator;
mod order;
mod outlet;
mod plan;
mod sabotage;
mod scene;
mod survey;
mod tests;
mod transactions;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::core::Core;
use self::plan::{Plan, SECOND};
use self::sabotage::Bug;
use self::world::World;
use crate::metrics::Metrics;

/// What a run came to.
struct Run {
    violation: Option<String>,
    trace: Option<Vec<String>>,
    seen: BTreeMap<&'static str, u64>,
}

/// Runs one seed to its end.
fn run(seed: u64, bug: Option<Bug>, traced: bool, metrics: &Arc<Metrics>) -> Run {
    let plan = Plan::of(seed);
    let (faults_until, patience) = (plan.faults_until, plan.patience());
    let world = World::new(Core::new(plan, bug, traced), metrics.clone());
    let deadline = faults_until + patience;
    world.run(faults_until + 1, &|_| false);
    loop {
        let now = world.core().now;
        world.run(now + SECOND, &|_| false);
        let mut core = world.core();
        if core.violation.is_some() || core.done() {
            break;
        }
        if core.now > deadline {
            for instance in world.instances().iter().flatten() {
                for line in instance.state() {
                    core.tell(|| line);
                }
            }
            let undone = core.undone();
            core.violated(format!("progress: faults are long over, and {undone}"));
        }
    }
    // Leaving loses nothing and repeats nothing.
    world.stop_all();
    let now = world.core().now;
    world.run(now + 30 * SECOND, &|core| {
        core.members.iter().all(|member| !member.alive)
    });
    let mut core = world.core();
    if core.violation.is_none() {
        if core.members.iter().any(|member| member.alive) {
            core.violated("progress: an instance does not leave".to_owned());
        }
        core.check_end();
    }
    Run {
        violation: core.violation.take(),
        trace: core.trace.take(),
        seen: std::mem::take(&mut core.seen),
    }
}
