//! An instance with nothing to do: processor time and wake-ups of its threads, and its memory, seen from outside.

use std::time::{Duration, Instant};

use super::Progress;
use super::ground::{Ground, Place};
use super::measure;
use super::probe;
use super::section::{Figure, Part, Section, Table, megabytes};
use super::served::{Served, Setup};
use crate::error::FatalError;

/// What it must not exceed, in percent of one core.
const MOST: f64 = 0.5;
/// How long an instance may take until it has partitions.
const START: Duration = Duration::from_secs(60);
/// What is left out at the beginning: joins, connections, what is looked at once.
const WARM_UP: Duration = Duration::from_secs(5);

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Partitions of the source.
    pub partitions: i32,
    /// Workers.
    pub workers: usize,
    /// For so long.
    pub length: Duration,
}

/// Measures it.
pub fn run(
    place: &Place,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Section, FatalError> {
    let ground = Ground::new(place)?;
    let group = ground.topics.name("idle");
    let mut setup = Setup::job(vec![format!("{group}.in")], &group);
    setup.workers = options.workers;
    ground
        .topics
        .create(&setup.sources[0], options.partitions)?;
    let mut served = Served::start(&ground, &setup)?;
    served.assigned(options.workers, START)?;
    let seen = look(&mut served, WARM_UP, options.length, progress)?;
    served.stop()?;
    let cpu: f64 = seen.shares.iter().map(|share| share.cpu_percent).sum();
    let wakes: f64 = seen.shares.iter().map(|share| share.wakes_per_second).sum();
    Ok(Section {
        part: Part::Idle,
        verified: true,
        findings: Vec::new(),
        figures: vec![
            Figure::bound("cpu_percent", "CPU, percent of one core", cpu, MOST),
            Figure::reported("wakes_per_second", "wake-ups a second", wakes),
            Figure::reported("memory_mb", "memory, MB", megabytes(seen.resident)),
        ],
        tables: vec![table(&seen.shares)],
        method: format!(
            "`driftgate run` with {} partitions, {} worker(s) and the admin server, nothing to read and nobody who asks, for {} s, \
             {} s after it was assigned. Times and wake-ups are the kernel's, by thread.",
            options.partitions,
            options.workers,
            options.length.as_secs(),
            WARM_UP.as_secs()
        ),
        raw: serde_json::json!({
            "partitions": options.partitions,
            "workers": options.workers,
            "seconds": options.length.as_secs_f64(),
            "threads": seen.shares,
        }),
    })
}

/// What an instance used while nothing happened.
pub(super) struct Seen {
    /// By kind of thread.
    pub(super) shares: Vec<probe::Share>,
    /// Memory at the end, in bytes.
    pub(super) resident: u64,
}

impl Seen {
    /// Of all threads, in percent of one core.
    pub(super) fn cpu_percent(&self) -> f64 {
        self.shares.iter().map(|share| share.cpu_percent).sum()
    }
}

/// Looks at an instance that has nothing to do.
pub(super) fn look(
    served: &mut Served,
    warm_up: Duration,
    length: Duration,
    progress: &mut dyn Progress,
) -> Result<Seen, FatalError> {
    let none = || {
        let text = "the kernel does not tell what threads use: this part is measured on Linux";
        FatalError::Start(text.to_owned())
    };
    measure::wait(warm_up);
    let process = served.process();
    let before = probe::threads(process).ok_or_else(none)?;
    let began = Instant::now();
    progress.part("nothing to do", length.as_secs());
    let mut told = 0;
    while began.elapsed() < length {
        served.check()?;
        let left = length.saturating_sub(began.elapsed());
        measure::wait(left.min(Duration::from_secs(1)));
        let now = began.elapsed().as_secs();
        progress.done(now - told);
        told = now;
    }
    let after = probe::threads(process).ok_or_else(none)?;
    served.check()?;
    Ok(Seen {
        shares: probe::shares(&before, &after, began.elapsed()),
        resident: probe::memory(process).ok_or_else(none)?.0,
    })
}

fn table(shares: &[probe::Share]) -> Table {
    let row = |share: &probe::Share| {
        vec![
            share.name.clone(),
            share.threads.to_string(),
            format!("{:.3}", share.cpu_percent),
            format!("{:.1}", share.wakes_per_second),
        ]
    };
    Table {
        head: vec!["threads", "number", "CPU %", "wake-ups/s"],
        rows: shares.iter().map(row).collect(),
    }
}
