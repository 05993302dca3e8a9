//! Ten times the usual rate for a while: how much memory that takes, how late outputs are, how long it takes until they are
//! as early as before, and whether any is lost.

use std::time::Duration;

use super::Progress;
use super::ground::{Ground, Place};
use super::load::{self, Loaded};
use super::schedule::{Phase, Schedule};
use super::section::{Figure, Part, Section, Table, megabytes};
use super::text::thousands;
use crate::error::FatalError;

/// The burst, in rates before it.
const TIMES: u64 = 10;
/// The most memory, in MB of a million bytes: that of a full backlog.
pub(super) const MEMORY: f64 = 150.0;

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Partitions of each topic.
    pub partitions: i32,
    /// Workers.
    pub workers: usize,
    /// Records a second, before and after.
    pub rate: u64,
    /// How long the burst is.
    pub length: Duration,
    /// How long it is steady before, and after.
    pub steady: Duration,
    /// Doctors one output before it is verified, so that a test sees the verifier say no.
    pub plant: bool,
}

/// Measures it.
pub fn run(
    place: &Place,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Section, FatalError> {
    let ground = Ground::new(place)?;
    let phase = |name, rate, length| Phase { name, rate, length };
    let schedule = Schedule {
        before: 0,
        phases: vec![
            phase("first uses", options.rate, Duration::from_secs(2)),
            phase("before", options.rate, options.steady),
            phase("burst", options.rate * TIMES, options.length),
            phase("after", options.rate, options.steady),
        ],
    };
    let shape = (options.partitions, options.workers);
    let loaded = load::run(&ground, shape, &schedule, options.plant, progress)?;
    let [_, before, burst, after] = &loaded.phases[..] else {
        unreachable!("as many as were scheduled");
    };
    Ok(Section {
        part: Part::Burst,
        verified: loaded.verdict.verified,
        findings: loaded.verdict.findings.clone(),
        figures: vec![
            Figure::reported(
                "memory_ratio",
                "memory in the burst / before it",
                burst.memory_mb / before.memory_mb.max(1e-9),
            ),
            Figure::bound(
                "peak_memory_mb",
                "peak memory, MB",
                megabytes(loaded.peak),
                MEMORY,
            ),
            Figure::reported(
                "recovered_seconds",
                "from the end of the burst until its last output was read, s",
                burst.drained_after,
            ),
            Figure::reported(
                "p99_after_ratio",
                "p99 latency after the burst / before it",
                after.p99 / before.p99.max(1e-9),
            ),
        ],
        tables: vec![table(&loaded)],
        method: format!(
            "One instance with the defaults, {} partitions; the benchmark's job at {} records/s, {} times that for {} s, and the \
             first rate again. Latencies count from when a record was due until its output was read: the sender was \
             at most {:.0} ms late, which they contain. Every output and dead letter is verified.",
            options.partitions,
            thousands(options.rate as f64),
            TIMES,
            options.length.as_secs_f64(),
            loaded.sender_late_ms
        ),
        raw: raw(&loaded),
    })
}

/// What there is of each phase.
pub(super) fn table(loaded: &Loaded) -> Table {
    let row = |phase: &load::Phased| {
        vec![
            phase.name.to_owned(),
            thousands(phase.rate as f64),
            format!("{:.0}", phase.seconds),
            format!("{:.1}", phase.memory_mb),
            format!("{:.1}", phase.cpu_percent),
            format!("{:.1}", phase.p50),
            format!("{:.1}", phase.p99),
            format!("{:.1}", phase.max),
            format!("{:.2}", phase.drained_after),
        ]
    };
    Table {
        head: vec![
            "",
            "records/s",
            "for s",
            "memory MB",
            "CPU %",
            "p50 ms",
            "p99 ms",
            "max ms",
            "drained after s",
        ],
        rows: loaded.phases.iter().map(row).collect(),
    }
}

/// All of it.
pub(super) fn raw(loaded: &Loaded) -> serde_json::Value {
    serde_json::json!({
        "phases": loaded.phases,
        "backlog": loaded.backlog,
        "peak_memory_bytes": loaded.peak,
        "sender_late_ms": loaded.sender_late_ms,
        "samples": loaded.samples,
        "outputs": loaded.verdict,
    })
}
