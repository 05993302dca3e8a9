//! A backlog of an hour, and then a long time at a steady rate: memory must not grow in either.

use std::time::Duration;

use super::Progress;
use super::burst;
use super::ground::{Ground, Place};
use super::load::{self, Sample};
use super::schedule::{Phase, Schedule};
use super::section::{Figure, Part, Section, Table, median, megabytes};
use super::text::thousands;
use crate::error::FatalError;

/// How much more memory the last third may take than the first one, in MB of a million bytes: pages that an allocator keeps
/// or gives back. A leak of a byte for each record of the shortest soak that is worth it would be as much.
const GROWTH: f64 = 4.0;
/// The part of the time that memory is not looked at in the beginning: caches and buffers that fill once.
const WARM_UP: f64 = 0.2;

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Partitions of each topic.
    pub partitions: i32,
    /// Workers.
    pub workers: usize,
    /// Records that are there at the beginning.
    pub backlog: u64,
    /// Records a second.
    pub rate: u64,
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
    let schedule = Schedule {
        before: options.backlog,
        phases: vec![Phase {
            name: "steady",
            rate: options.rate,
            length: options.length,
        }],
    };
    let shape = (options.partitions, options.workers);
    let loaded = load::run(&ground, shape, &schedule, false, progress)?;
    let within = |from: f64, to: f64| -> Vec<Sample> {
        let samples = loaded.samples.iter().copied();
        samples
            .filter(|sample| sample.at >= from && sample.at < to)
            .collect()
    };
    let steady = within(0.0, options.length.as_secs_f64());
    let backlog = within(f64::NEG_INFINITY, 0.0);
    let mut figures = vec![
        Figure::bound(
            "growth_mb",
            "memory at the steady rate, last third - first third, MB",
            growth(&steady),
            GROWTH,
        ),
        Figure::bound(
            "peak_memory_mb",
            "peak memory, MB",
            megabytes(loaded.peak),
            burst::MEMORY,
        ),
    ];
    let mut tables = vec![burst::table(&loaded)];
    if let Some(worked) = loaded.backlog {
        figures.push(Figure::reported(
            "backlog_growth_mb",
            "memory under the backlog, last third - first third, MB",
            growth(&backlog),
        ));
        let resident = |sample: &Sample| sample.resident;
        let most = backlog.iter().map(resident).max().unwrap_or(0);
        tables.push(Table {
            head: vec![
                "backlog, records",
                "worked off in s",
                "records/s",
                "CPU-s per million",
                "most memory MB",
            ],
            rows: vec![vec![
                thousands(worked.records as f64),
                format!("{:.1}", worked.seconds),
                thousands(worked.records as f64 / worked.seconds.max(1e-9)),
                format!("{:.2}", worked.cpu_seconds / worked.records as f64 * 1e6),
                format!("{:.1}", megabytes(most)),
            ]],
        });
    }
    Ok(Section {
        part: Part::Soak,
        verified: loaded.verdict.verified,
        findings: loaded.verdict.findings.clone(),
        figures,
        tables,
        method: format!(
            "One instance with the defaults, {} partitions, the benchmark's job: {} records that are there at the beginning, then {} \
             records/s for {} s. Memory is looked at five times a second; growth compares medians of thirds, after the first \
             {:.0} % of the time. Every output and dead letter is verified.",
            options.partitions,
            thousands(options.backlog as f64),
            thousands(options.rate as f64),
            options.length.as_secs(),
            WARM_UP * 100.0
        ),
        raw: burst::raw(&loaded),
    })
}

/// By how much the median of the last third is above that of the first, after the warm-up; in MB of a million bytes. Not a
/// number with too few samples.
fn growth(samples: &[Sample]) -> f64 {
    let warm = (samples.len() as f64 * WARM_UP) as usize;
    let rest = &samples[warm..];
    let third = rest.len() / 3;
    if third == 0 {
        return f64::NAN;
    }
    let middle = |of: &[Sample]| median(of.iter().map(|one| one.resident as f64 / 1e6).collect());
    middle(&rest[rest.len() - third..]) - middle(&rest[..third])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(of: impl Fn(u32) -> f64) -> Vec<Sample> {
        let one = |index: u32| Sample {
            at: f64::from(index),
            resident: (of(index) * 1e6) as u64,
        };
        (0..100).map(one).collect()
    }

    #[test]
    fn growth_is_seen_and_a_warm_up_or_a_peak_is_none() {
        assert_eq!(growth(&samples(|_| 40.0)), 0.0);
        assert!(growth(&samples(|index| 40.0 + f64::from(index) / 10.0)) > GROWTH);
        let warm_up = |index: u32| if index < 20 { f64::from(index) } else { 40.0 };
        assert_eq!(growth(&samples(warm_up)), 0.0);
        let peak = |index: u32| if index % 30 == 29 { 90.0 } else { 40.0 };
        assert_eq!(growth(&samples(peak)), 0.0);
        assert!(growth(&[]).is_nan());
    }
}
