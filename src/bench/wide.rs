//! Many of everything in one instance: 1,000 partitions in 100 topics, and 10,000 schema ids, beside the job on one topic of
//! four partitions. Processor time of a record, memory, and what it costs while nothing happens.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::contestant::Task;
use super::ground::{Ground, Place, WRITER};
use super::idle;
use super::input::Writer;
use super::measure;
use super::order::Order;
use super::scale::{findings, play, task};
use super::section::{Figure, Part, Section, Table, megabytes};
use super::served::{Served, Setup};
use super::text::thousands;
use super::verify::{self, Expected, schema_of};
use super::{Progress, burst};
use crate::error::FatalError;

/// How much more processor time a record may take with many partitions.
const MOST: f64 = 1.1;
/// The most that an instance may take while nothing happens, in percent of one core, with as many partitions as by default.
const IDLE: f64 = 5.0;
/// Partitions of the one topic that it is compared to.
const FEW: i32 = 4;
/// Schemas of one subject.
const VERSIONS: usize = 20;
/// How long an instance may take until it has all partitions.
const START: Duration = Duration::from_secs(120);
/// What is left out before it counts as idle.
const WARM_UP: Duration = Duration::from_secs(5);

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Records of each input.
    pub records: u64,
    /// How often each runs, in turns.
    pub rounds: usize,
    /// Topics.
    pub topics: usize,
    /// Partitions of each.
    pub partitions: i32,
    /// Schema ids.
    pub schemas: usize,
    /// How long nothing happens.
    pub idle: Duration,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
struct Round {
    what: &'static str,
    round: usize,
    cpu_seconds: f64,
    seconds: f64,
    peak_memory_mb: f64,
    outputs: verify::Verdict,
}

/// An input.
struct Input {
    what: &'static str,
    title: String,
    sources: Vec<String>,
    partitions: i32,
    expected: Expected,
}

/// Measures it.
pub fn run(
    place: &Place,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Section, FatalError> {
    let ground = Ground::new(place)?;
    let inputs = inputs(&ground, options, progress)?;
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        for turn in 0..inputs.len() {
            let input = &inputs[(turn + round) % inputs.len()];
            let group = ground
                .topics
                .name(&format!("round-{}.{}", round + 1, input.what));
            progress.part(&format!("round {}: {}", round + 1, input.title), 0);
            let task = Task {
                beside: input.sources[1..].to_vec(),
                ..task(&ground, &group, &input.sources[0], 1)
            };
            ground.topics.create(&task.sink, input.partitions)?;
            let (ran, _) = play(&ground, &task, 1, &input.expected)?;
            let kafka = ground.kafka();
            let verdict = verify::verify(&kafka, &task, &ran, &input.expected, false, progress)?;
            ground.topics.remove(&group);
            rounds.push(Round {
                what: input.what,
                round: round + 1,
                cpu_seconds: ran.cpu_seconds,
                seconds: ran.seconds,
                peak_memory_mb: megabytes(ran.peak_memory_bytes),
                outputs: verdict,
            });
        }
    }
    let idle = [
        rest(&ground, &inputs[0], options, progress)?,
        rest(&ground, &inputs[1], options, progress)?,
    ];
    Ok(section(options, &inputs, &rounds, &idle))
}

/// Makes and writes the inputs.
fn inputs(
    ground: &Ground,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<[Input; 3], FatalError> {
    let seed = ground.place.seed;
    let one = ground.register_orders()?;
    progress.part("registering schemas", options.schemas as u64);
    // Texts of their own, and one shape: as a producer that adds its build to the documentation would do it.
    let texts: Vec<String> = (0..options.schemas)
        .map(|number| WRITER.replacen('{', &format!("{{ \"doc\": \"build {number}\","), 1))
        .collect();
    let mut many = Vec::with_capacity(texts.len());
    // Each version of a subject is held to the ones before it: of few versions, that is soon done.
    for (index, texts) in texts.chunks(VERSIONS).enumerate() {
        let subject = ground.topics.name(&format!("many-{index}-value"));
        many.extend(ground.register(&subject, texts.iter().map(String::as_str))?);
        progress.done(texts.len() as u64);
    }
    let name = |what: &str, index: usize| ground.topics.name(&format!("{what}-{index}"));
    let input = |what, title, sources: Vec<String>, partitions, schemas| Input {
        what,
        title,
        sources,
        partitions,
        expected: Expected::with(seed, options.records, schemas),
    };
    let inputs = [
        input(
            "few",
            format!("1 topic, {FEW} partitions"),
            vec![name("few", 0)],
            FEW,
            vec![one],
        ),
        input(
            "partitions",
            format!(
                "{} topics, {} partitions",
                options.topics,
                thousands(options.topics as f64 * f64::from(options.partitions))
            ),
            (0..options.topics)
                .map(|index| name("many", index))
                .collect(),
            options.partitions,
            vec![one],
        ),
        input(
            "schemas",
            format!(
                "1 topic, {FEW} partitions, {} schema ids",
                thousands(many.len() as f64)
            ),
            vec![name("ids", 0)],
            FEW,
            many.clone(),
        ),
    ];
    for (input, schemas) in inputs.iter().zip([&[one][..], &[one][..], &many[..]]) {
        progress.part("writing the input", options.records);
        for source in &input.sources {
            ground.topics.create(source, input.partitions)?;
        }
        let mut writer = Writer::new(&ground.client, &input.sources[0], 20)?;
        for number in 0..options.records {
            let order = Order::new(seed, number);
            let at = usize::try_from(number % input.sources.len() as u64).unwrap_or(0);
            let value = order.value(schema_of(schemas, number));
            writer.send_bytes(&input.sources[at], &order.key(), &value)?;
            if number % 1000 == 999 {
                writer.serve(Duration::ZERO)?;
                progress.done(1000);
            }
        }
        writer.finish()?;
    }
    Ok(inputs)
}

/// What an instance took while nothing happened.
struct Rest {
    /// Until it had all partitions, in seconds.
    assigned: f64,
    seen: idle::Seen,
}

/// Runs an instance that has read everything.
fn rest(
    ground: &Ground,
    input: &Input,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Rest, FatalError> {
    let group = ground.topics.name(&format!("rest-{}", input.what));
    let setup = Setup::job(input.sources.clone(), &group);
    ground.topics.create(&setup.sink, input.partitions)?;
    let began = Instant::now();
    let mut served = Served::start(ground, &setup)?;
    served.assigned(1, START)?;
    let assigned = began.elapsed().as_secs_f64();
    let (good, bad) = input.expected.outputs();
    let until = Instant::now() + START;
    for (topics, wanted) in [
        (vec![setup.sink.clone()], good),
        (setup.dead_letters(), bad),
    ] {
        while ground.topics.written(&topics)? < wanted {
            served.check()?;
            if Instant::now() > until {
                let text = format!("{}: not all is read in {START:?}", input.title);
                return Err(FatalError::Start(text));
            }
            measure::wait(Duration::from_millis(200));
        }
    }
    let seen = idle::look(&mut served, WARM_UP, options.idle, progress)?;
    served.stop()?;
    ground.topics.remove(&group);
    Ok(Rest { assigned, seen })
}

fn section(options: &Options, inputs: &[Input; 3], rounds: &[Round], rest: &[Rest; 2]) -> Section {
    let of = |what: &str, of: fn(&Round) -> f64| {
        let rounds = rounds.iter().filter(move |round| round.what == what);
        rounds.map(of).fold(f64::INFINITY, f64::min)
    };
    let peak = |what: &str| {
        let rounds = rounds.iter().filter(|round| round.what == what);
        rounds.map(|round| round.peak_memory_mb).fold(0.0, f64::max)
    };
    let cpu = |what: &str| of(what, |round| round.cpu_seconds);
    let million = options.records as f64 / 1e6;
    let row = |(index, input): (usize, &Input)| {
        let rest = rest.get(index);
        let or_none = |text: Option<String>| text.unwrap_or("–".to_owned());
        vec![
            input.title.clone(),
            format!("{:.2}", cpu(input.what) / million),
            thousands(options.records as f64 / of(input.what, |round| round.seconds)),
            format!("{:.0}", peak(input.what)),
            or_none(rest.map(|rest| format!("{:.0}", megabytes(rest.seen.resident)))),
            or_none(rest.map(|rest| format!("{:.2}", rest.seen.cpu_percent()))),
            or_none(rest.map(|rest| format!("{:.1}", rest.assigned))),
        ]
    };
    let partitions = options.topics as f64 * f64::from(options.partitions);
    let memory = megabytes(rest[1].seen.resident) - megabytes(rest[0].seen.resident);
    Section {
        part: Part::Wide,
        verified: rounds.iter().all(|round| round.outputs.verified),
        findings: findings(rounds.iter().map(|round| (round.what, &round.outputs))),
        figures: vec![
            Figure::bound(
                "partitions_cpu_ratio",
                &format!("CPU per record, {} / {}", inputs[1].title, inputs[0].title),
                cpu("partitions") / cpu("few").max(1e-9),
                MOST,
            ),
            Figure::reported(
                "milliseconds_per_schema",
                "CPU for a schema id that was not met before, ms",
                1e3 * (cpu("schemas") - cpu("few")).max(0.0) / options.schemas.max(1) as f64,
            ),
            Figure::bound(
                "partitions_peak_memory_mb",
                &format!("peak memory, {}, MB", inputs[1].title),
                peak("partitions"),
                burst::MEMORY,
            ),
            Figure::bound(
                "schemas_peak_memory_mb",
                &format!("peak memory, {}, MB", inputs[2].title),
                peak("schemas"),
                burst::MEMORY,
            ),
            Figure::reported(
                "memory_per_thousand_partitions_mb",
                "memory at rest for 1,000 partitions more, MB",
                memory / (partitions - f64::from(FEW)).max(1.0) * 1000.0,
            ),
            Figure::bound(
                "idle_cpu_percent",
                &format!("CPU at rest, {}, percent of one core", inputs[1].title),
                rest[1].seen.cpu_percent(),
                IDLE,
            ),
        ],
        tables: vec![Table {
            head: vec![
                "",
                "CPU-s per million",
                "records/s",
                "peak MB",
                "MB at rest",
                "CPU % at rest",
                "assigned after s",
            ],
            rows: inputs.iter().enumerate().map(row).collect(),
        }],
        method: format!(
            "The benchmark's job, one worker, {} records each, {} round(s) in turns, each verified: the best of each, and the most memory. \
             The first start makes retry, dead-letter and ledger topics of each source. At rest: `driftgate run` that has read all of it, \
             for {} s.",
            thousands(options.records as f64),
            options.rounds,
            options.idle.as_secs()
        ),
        raw: serde_json::json!({
            "records": options.records,
            "topics": options.topics,
            "partitions": options.partitions,
            "schemas": options.schemas,
            "rounds": rounds,
            "rest": rest
                .iter()
                .map(|rest| serde_json::json!({
                    "assigned_seconds": rest.assigned,
                    "memory_bytes": rest.seen.resident,
                    "threads": rest.seen.shares,
                }))
                .collect::<Vec<_>>(),
        }),
    }
}
