//! The job with more workers, partitions and instances: on this machine the broker shares the cores, so what counts is the
//! processor time of a record. Each layout runs in turns, verified, on an input with its number of partitions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::contestant::{Contestant, Outcomes, Ran, Running, Task};
use super::ground::{Ground, Place};
use super::job;
use super::measure;
use super::section::{Figure, Part, Section, Table, megabytes};
use super::text::thousands;
use super::verify::{self, Expected};
use super::{Progress, input};
use crate::error::FatalError;

/// How much more processor time a record may take than with one worker on one partition.
const MOST: f64 = 1.1;
/// How often is looked whether everything is out.
const LOOK: Duration = Duration::from_millis(20);
/// How long nothing may come out.
const PATIENCE: Duration = Duration::from_secs(90);

/// Who reads, from how many partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Layout {
    /// Its name in the JSON.
    pub key: &'static str,
    /// Workers of an instance.
    pub workers: usize,
    /// Instances, each in a process of its own.
    pub instances: usize,
    /// Partitions of each topic.
    pub partitions: i32,
}

/// The first one is what the others are compared to.
pub const LAYOUTS: [Layout; 5] = [
    layout("one", 1, 1, 1),
    layout("partitions_4", 1, 1, 4),
    layout("workers_2", 2, 1, 2),
    layout("workers_4", 4, 1, 4),
    layout("instances_2", 1, 2, 2),
];

const fn layout(key: &'static str, workers: usize, instances: usize, partitions: i32) -> Layout {
    Layout {
        key,
        workers,
        instances,
        partitions,
    }
}

impl Layout {
    fn title(&self) -> String {
        let count = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            many => format!("{many} {what}s"),
        };
        let partitions = count(usize::try_from(self.partitions).unwrap_or(0), "partition");
        let workers = count(self.workers, "worker");
        match self.instances {
            1 => format!("{workers}, {partitions}"),
            many => format!("{many} instances of {workers}, {partitions}"),
        }
    }
}

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Records of the input.
    pub records: u64,
    /// How often each layout runs, in turns.
    pub rounds: usize,
}

/// One run of a layout.
#[derive(Debug, Clone, Serialize)]
struct Round {
    layout: &'static str,
    round: usize,
    cpu_seconds: f64,
    seconds: f64,
    /// The most memory of any instance, in MB of a million bytes.
    peak_memory_mb: f64,
    /// Records that each instance says were through.
    records: Vec<u64>,
    outputs: verify::Verdict,
}

/// Measures it.
pub fn run(
    place: &Place,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Section, FatalError> {
    let ground = Ground::new(place)?;
    let schema = ground.register_orders()?;
    let mut sources = BTreeMap::new();
    for layout in LAYOUTS {
        let source = ground.topics.name(&format!("orders-{}", layout.partitions));
        if sources.insert(layout.partitions, source.clone()).is_none() {
            ground.topics.create(&source, layout.partitions)?;
            let seeded = (place.seed, options.records);
            input::write(&ground.client, &source, seeded, schema, progress)?;
        }
    }
    let expected = Expected::of(place.seed, options.records, schema);
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        for turn in 0..LAYOUTS.len() {
            let layout = LAYOUTS[(turn + round) % LAYOUTS.len()];
            let name = format!("round-{}.{}", round + 1, layout.key);
            let source = &sources[&layout.partitions];
            progress.part(&format!("round {}: {}", round + 1, layout.title()), 0);
            let task = task(&ground, &ground.topics.name(&name), source, layout.workers);
            ground.topics.create(&task.sink, layout.partitions)?;
            let (ran, each) = play(&ground, &task, layout.instances, &expected)?;
            let verdict = verify::verify(&ground.kafka(), &task, &ran, &expected, false, progress)?;
            ground.topics.remove(&task.group);
            rounds.push(Round {
                layout: layout.key,
                round: round + 1,
                cpu_seconds: ran.cpu_seconds,
                seconds: ran.seconds,
                peak_memory_mb: megabytes(ran.peak_memory_bytes),
                records: each,
                outputs: verdict,
            });
        }
    }
    Ok(section(options, &rounds))
}

/// A job without an end.
pub(super) fn task(ground: &Ground, group: &str, source: &str, workers: usize) -> Task {
    Task {
        contestant: Contestant::Job,
        brokers: ground.place.brokers.clone(),
        properties: ground.place.properties.clone(),
        registry: ground.registry.clone(),
        source: source.to_owned(),
        beside: Vec::new(),
        sink: format!("{group}.out"),
        group: group.to_owned(),
        records: None,
        linger: 20,
        workers,
    }
}

/// Runs instances of a job until all outputs are there. What they used together, and how many records each had.
pub(super) fn play(
    ground: &Ground,
    task: &Task,
    instances: usize,
    expected: &Expected,
) -> Result<(Ran, Vec<u64>), FatalError> {
    let mut running = Vec::new();
    for _ in 0..instances {
        running.push(Running::start(&ground.place.program, task)?);
    }
    let dead = task
        .sources()
        .map(|source| job::dead_letters(source, &task.group));
    let (good, bad) = expected.outputs();
    // The sink first, which is one topic: many dead-letter topics are many questions.
    for (topics, wanted) in [(vec![task.sink.clone()], good), (dead.collect(), bad)] {
        let (mut there, mut moved) = (0, Instant::now());
        while there < wanted {
            let now = ground.topics.written(&topics)?;
            if now > there {
                (there, moved) = (now, Instant::now());
            }
            if running.iter_mut().any(Running::has_ended) {
                let text = "an instance ended by itself; its words are above";
                return Err(FatalError::Start(text.into()));
            }
            if moved.elapsed() > PATIENCE {
                let text =
                    format!("{there} of {wanted} outputs are there, and none came in {PATIENCE:?}");
                return Err(FatalError::Start(text));
            }
            measure::wait(LOOK);
        }
    }
    let mut all: Option<Ran> = None;
    let mut each = Vec::new();
    for running in running {
        let ran = running.stop()?;
        each.push(ran.records);
        all = Some(match all {
            None => ran,
            Some(all) => together(all, ran),
        });
    }
    let all = all.ok_or_else(|| FatalError::Start("no instance".into()))?;
    Ok((all, each))
}

/// What two instances used together.
fn together(one: Ran, other: Ran) -> Ran {
    let sum = |one: Outcomes, other: Outcomes| Outcomes {
        emitted: one.emitted + other.emitted,
        filtered: one.filtered + other.filtered,
        dead_lettered: one.dead_lettered + other.dead_lettered,
        retried: one.retried + other.retried,
    };
    Ran {
        records: one.records + other.records,
        seconds: one.seconds.max(other.seconds),
        cpu_seconds: one.cpu_seconds + other.cpu_seconds,
        peak_memory_bytes: one.peak_memory_bytes.max(other.peak_memory_bytes),
        outcomes: one
            .outcomes
            .zip(other.outcomes)
            .map(|(one, other)| sum(one, other)),
    }
}

/// The smallest of a layout's rounds: what was added to it by others on the machine is noise, and never below zero.
fn least(rounds: &[Round], key: &str, of: fn(&Round) -> f64) -> f64 {
    let rounds = rounds.iter().filter(|round| round.layout == key);
    rounds.map(of).fold(f64::INFINITY, f64::min)
}

fn section(options: &Options, rounds: &[Round]) -> Section {
    let million = options.records as f64 / 1e6;
    let cpu = |layout: &Layout| least(rounds, layout.key, |round| round.cpu_seconds);
    let seconds = |layout: &Layout| least(rounds, layout.key, |round| round.seconds);
    let first = &LAYOUTS[0];
    let ratio = |layout: &Layout| {
        let what = format!("CPU per record, {} / {}", layout.title(), first.title());
        Figure::bound(layout.key, &what, cpu(layout) / cpu(first).max(1e-9), MOST)
    };
    let row = |layout: &Layout| {
        let members = (layout.workers * layout.instances) as f64;
        let speed_up = seconds(first) / seconds(layout).max(1e-9);
        let of = |of: fn(&Round) -> f64| {
            let rounds = rounds.iter().filter(|round| round.layout == layout.key);
            rounds.map(of).fold(0.0, f64::max)
        };
        vec![
            layout.title(),
            format!("{:.2}", cpu(layout) / million),
            thousands(options.records as f64 / seconds(layout)),
            format!("{:.0} %", 100.0 * speed_up / members),
            format!("{:.0}", of(|round| round.peak_memory_mb)),
        ]
    };
    Section {
        part: Part::Scale,
        verified: rounds.iter().all(|round| round.outputs.verified),
        findings: findings(rounds.iter().map(|round| (round.layout, &round.outputs))),
        figures: LAYOUTS[1..].iter().map(ratio).collect(),
        tables: vec![Table {
            head: vec![
                "",
                "CPU-s per million",
                "records/s",
                "efficiency",
                "peak MB of an instance",
            ],
            rows: LAYOUTS.iter().map(row).collect(),
        }],
        method: format!(
            "The benchmark's job over {} records, linger 20 ms, {} rounds in turns, each verified: the best round of each. Efficiency is \
             records/s by those of one worker on one partition, for each worker; with the broker on the same cores it says what the \
             machine has left, and the processor time of a record says what more workers cost.",
            thousands(options.records as f64),
            options.rounds
        ),
        raw: serde_json::json!({
            "records": options.records,
            "rounds": rounds,
            "layouts": LAYOUTS,
        }),
    }
}

/// What is wrong, by whom.
pub(super) fn findings<'v>(
    of: impl Iterator<Item = (&'static str, &'v verify::Verdict)>,
) -> Vec<String> {
    of.flat_map(|(who, verdict)| {
        let findings = verdict.findings.iter();
        findings.map(move |finding| format!("{who}: {finding}"))
    })
    .collect()
}
