//! The seeds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::plan::SHORT;
use super::sabotage::Bug;
use super::{Run, run};
use crate::metrics::Metrics;

/// How many seeds `make test` tries.
const SEEDS: u64 = 3_000;
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

/// What is told now and then of a run that takes long.
struct Progress {
    began: Instant,
    told: Mutex<Instant>,
    every: Duration,
}

impl Progress {
    fn new() -> Progress {
        Progress {
            began: Instant::now(),
            told: Mutex::new(Instant::now()),
            every: Duration::from_secs(30),
        }
    }

    #[expect(
        clippy::print_stderr,
        reason = "nobody else says how far a long run is"
    )]
    fn say(&self, what: &str) {
        eprintln!("{what}");
    }

    /// So many seeds are done.
    fn tell(&self, done: u64, of: u64) {
        let mut told = self.told.lock().unwrap();
        if told.elapsed() < self.every && done < of {
            return;
        }
        *told = Instant::now();
        let seconds = self.began.elapsed().as_secs_f64();
        let rate = done as f64 / seconds;
        let left = (of - done) as f64 / rate / 60.0;
        self.say(&format!(
            "{done} of {of} seeds, {rate:.0} a second, {left:.0} minutes left"
        ));
    }
}

#[test]
fn no_seed_breaks_an_invariant() {
    if let Some(seed) = number("DRIFTGATE_SIM_SEED") {
        let traced = number("DRIFTGATE_SIM_TRACE").is_some();
        let run = run(seed, None, traced, &Metrics::new());
        print(&run);
        if let Some(violation) = run.violation {
            panic!("{}", failed(seed, &violation));
        }
        return;
    }
    let first = number("DRIFTGATE_SIM_FROM").unwrap_or(0);
    let count = number("DRIFTGATE_SIM_SEEDS").unwrap_or(SEEDS);
    let progress = Progress::new();
    let found: Mutex<Vec<String>> = Mutex::default();
    let seen: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    on_all_cores(count, |at, metrics| {
        let seed = first + at;
        let run = run(seed, None, false, metrics);
        progress.tell(at + 1, count);
        let mut all = seen.lock().unwrap();
        for (what, times) in run.seen {
            *all.entry(what).or_default() += times;
        }
        let mut found = found.lock().unwrap();
        if let Some(violation) = run.violation {
            let what = failed(seed, &violation);
            progress.say(&what);
            found.push(what);
        }
        found.len() < TOLD
    });
    let found = found.into_inner().unwrap();
    assert!(found.is_empty(), "{}", found.join("\n"));
    if number("DRIFTGATE_SIM_TRACE").is_some() {
        let seen = seen.into_inner().unwrap();
        let trace = seen
            .iter()
            .map(|(what, times)| format!("{times:>12} {what}"));
        print(&Run {
            violation: None,
            trace: Some(trace.collect()),
            seen: BTreeMap::new(),
        });
    }
}

/// Does something for each number below `count`, on a thread for each core, until it says that this is enough.
fn on_all_cores(count: u64, each: impl Fn(u64, &Arc<Metrics>) -> bool + Sync) {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                // Its own: a registry of metrics is a lock that all partitions of all runs would share.
                let mut metrics = Metrics::new();
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        return;
                    }
                    if at % 1000 == 999 {
                        metrics = Metrics::new();
                    }
                    if !each(at, &metrics) {
                        next.store(count, Ordering::Relaxed);
                    }
                }
            });
        }
    });
}

/// Seeds beyond those of every run that once broke an invariant.
const ONCE_BROKEN: &[u64] = &[
    // A partition without a committed offset that went and came back within one poll was read on from a record of before.
    7749,
    // What stands for a dead letter was refused, and not written again with it: its followers went on at a change of hands.
    2042,
    // A key was held again by a new owner, whose dead letter had been sent back and let its followers go.
    39049,
    // A record in retry went before one of its key whose output was in flight at a crash, and is read again from the source.
    30641,
    // A breaker that retries tripped before anything of the source was taken was never committed, and so never resumed.
    32532,
    // A source partition that was full waited for retries, which waited for it to be read.
    42401,
    // The model took what stands for a dead letter in retry for that of another reading of the record, from the source.
    50416,
    // The model did not expect a clock to be set back between a batch's beginning and its last record.
    50604, 51347,
    // What held a key went round until its dead letter was through, and was found by a new owner behind what had let it go.
    53059,
    // The model did not count what a reading of retry partitions had found that failed half-way.
    68628,
    // Two pauses of a breaker had one name, since its clock had been set back by just so much in between.
    78955,
    // A breaker took what an open transaction had let pass for final: when it was aborted, that still ended a row.
    85952,
    // Each refusal of a key's record in retry left copies of all that waited behind it, which doubled from turn to turn.
    97555,
    // A source partition was full of what had been refused by its retry topic, and waited for that to get through.
    94466,
    // The model excused what a stop had no time for only if its last step took that time.
    100760,
    // What was to stand for a dead letter was not written behind a refusal, and its followers were doomed all the same.
    73946, 103234,
    // The model does not see that `memory_limit` left no room for what was to stand for a dead letter.
    103989,
    // What goes with an outcome found no room in the producer, and its transaction committed the outcome without it: the
    // record was read again, and had a second one.
    160524, 346180,
    // A worker whose clock had been set back read again what was in retry, where nothing was left, and forgot what it had
    // written there.
    251595, 648006,
    // The model ended before all was written that an instance had queued for a partition which it lost.
    637021,
    // The model did not see that `memory_limit` left no room for what lets the followers of a redriven record go.
    2023608,
    // A source partition that was full waited for what a retry topic had refused, which was behind where it was read again.
    727513,
    // The model's operator left a key held whose dead letter was through, as an instance that had stood still said it anew.
    738593,
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
    let missed: Mutex<Vec<String>> = Mutex::default();
    let caught: Mutex<Vec<String>> = Mutex::default();
    on_all_cores(Bug::ALL.len() as u64, |at, metrics| {
        let (bug, by) = Bug::ALL[usize::try_from(at).expect("a few")];
        let mut others = Vec::new();
        // Short runs, and where those do not reach what is broken, long ones.
        for (tried, seed) in (0..WITHIN).chain(SHORT..SHORT + 2 * WITHIN).enumerate() {
            let Some(violation) = run(seed, Some(bug), false, metrics).violation else {
                continue;
            };
            let what = violation.split(" s: ").nth(1).unwrap_or_default();
            if by.iter().any(|by| what.starts_with(by)) {
                let text = format!("{:>4} seeds: {bug:?}: {violation}", tried + 1);
                caught.lock().unwrap().push(text);
                return true;
            }
            others.push(format!("{seed}: {violation}"));
        }
        others.truncate(3);
        let text = format!("{bug:?} is not noticed by {by:?}: {others:?}");
        missed.lock().unwrap().push(text);
        true
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "{missed:#?}");
    if number("DRIFTGATE_SIM_TRACE").is_some() {
        print(&Run {
            violation: None,
            trace: Some(caught.into_inner().unwrap()),
            seen: BTreeMap::new(),
        });
    }
}
