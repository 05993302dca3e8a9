//! The seeds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::sabotage::Bug;
use super::{Run, run};
use crate::metrics::Metrics;

/// How many seeds `make test` tries.
const SEEDS: u64 = 1_000;
/// After so many seeds that fail a run ends.
const TOLD: usize = 5;
/// Within how many seeds a deliberate bug must be noticed.
const WITHIN: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    )
}

fn failed(seed: u64, violation: &str) -> String {
    format!(
        "seed {seed}: {violation}\nreplay: DRIFTGATE_SIM_SEED={seed} DRIFTGATE_SIM_TRACE=1 \
         cargo test --lib worker::sim::tests::no_seed_breaks_an_invariant -- --nocapture"
    )
}

#[expect(clippy::print_stdout, reason = "the trace is what was asked for")]
fn print(run: &Run) {
    for line in run.trace.iter().flatten() {
        println!("{line}");
    }
}

#[test]
fn no_seed_breaks_an_invariant() {
    let metrics = Metrics::new();
    if let Some(seed) = number("DRIFTGATE_SIM_SEED") {
        let run = run(
            seed,
            None,
            number("DRIFTGATE_SIM_TRACE").is_some(),
            &metrics,
        );
        print(&run);
        if let Some(violation) = run.violation {
            panic!("{}", failed(seed, &violation));
        }
        return;
    }
    let first = number("DRIFTGATE_SIM_FROM").unwrap_or(0);
    let last = first + number("DRIFTGATE_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let found: Mutex<Vec<String>> = Mutex::default();
    let seen: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let metrics = Metrics::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last || found.lock().unwrap().len() >= TOLD {
                        return;
                    }
                    let run = run(seed, None, false, &metrics);
                    if let Some(violation) = run.violation {
                        found.lock().unwrap().push(failed(seed, &violation));
                    }
                    let mut seen = seen.lock().unwrap();
                    for (what, count) in run.seen {
                        *seen.entry(what).or_default() += count;
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    assert!(found.is_empty(), "{}", found.join("\n"));
    let seen = seen.into_inner().unwrap();
    if number("DRIFTGATE_SIM_TRACE").is_some() {
        let trace = Some(vec![format!("{seen:?}")]);
        print(&Run {
            violation: None,
            trace,
            seen,
        });
    }
}

/// Seeds beyond those of every run that once broke an invariant.
const ONCE_BROKEN: &[u64] = &[
    // A partition without a committed offset that went and came back within one poll was read on from a record of before.
    7749,
];

#[test]
fn seeds_that_found_a_bug_stay_quiet() {
    let metrics = Metrics::new();
    for seed in ONCE_BROKEN {
        let violation = run(*seed, None, false, &metrics).violation;
        assert_eq!(violation, None, "seed {seed}");
    }
}

/// The same seed is the same run.
#[test]
fn a_seed_replays() {
    let metrics = Metrics::new();
    for seed in 0..20 {
        let (one, other) = (
            run(seed, None, true, &metrics),
            run(seed, None, true, &metrics),
        );
        assert!(one.trace == other.trace, "seed {seed} has two traces");
    }
}

#[test]
fn each_deliberate_bug_is_noticed() {
    let metrics: Arc<Metrics> = Metrics::new();
    let missed: Vec<String> = Bug::ALL
        .into_iter()
        .filter_map(|(bug, by)| {
            let mut others = Vec::new();
            for seed in 0..WITHIN {
                let Some(violation) = run(seed, Some(bug), false, &metrics).violation else {
                    continue;
                };
                let what = violation.split(" s: ").nth(1).unwrap_or_default();
                if by.iter().any(|by| what.starts_with(by)) {
                    return None;
                }
                others.push(violation);
            }
            others.truncate(3);
            Some(format!("{bug:?} is not noticed by {by:?}: {others:?}"))
        })
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}
