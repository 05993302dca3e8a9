//! From the start of a process to its first output, by stages, with the job's contract and with one of 200 fields. Records
//! wait in the source; each start is that of an instance which had run before. Stages are told by the instance's log.

use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::BaseConsumer;
use serde::Serialize;

use super::fields;
use super::ground::{Ground, Place};
use super::input::Writer;
use super::latency;
use super::measure;
use super::order::{Kind, Order};
use super::section::{Figure, Part, Section, Table, median};
use super::served::{ASSIGNED, Line, Served, Setup};
use super::verify::{self, Book, Expected, Verdict};
use super::{Progress, job};
use crate::error::FatalError;
use crate::instance;

/// The most that it may take besides the group's join, in milliseconds.
const MOST: f64 = 300.0;
/// How much longer it may take with the large contract: its files are read and compiled.
const RATIO: f64 = 1.2;
/// Fields of the large contract.
const FIELDS: usize = 200;
/// Records that wait at each start.
const WAITING: u64 = 100;
/// How long a first output may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Partitions of each topic.
    pub partitions: i32,
    /// Starts of each kind, in turns, after one of each that makes the topics.
    pub starts: usize,
}

/// A start, in milliseconds since the process was started.
#[derive(Debug, Clone, Serialize)]
struct Start {
    /// Every stage that the log tells of, and when it began.
    stages: Vec<(String, f64)>,
    /// Until workers asked to join, until partitions were given, until the first output was read.
    workers: f64,
    given: f64,
    first: f64,
}

impl Start {
    /// All but the group's join.
    fn own(&self) -> f64 {
        self.first - (self.given - self.workers)
    }
}

/// One kind of instance, with its topics.
struct Contender {
    name: &'static str,
    setup: Setup,
    reader: BaseConsumer,
    schema: u32,
    fields: Option<usize>,
    written: u64,
    /// Outputs and dead letters that they must come to.
    outputs: u64,
    first: Option<Start>,
    starts: Vec<Start>,
    /// Outputs that were wrong, and how many came.
    wrong: Vec<String>,
    came: u64,
}

/// Measures it.
pub fn run(
    place: &Place,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Section, FatalError> {
    let ground = Ground::new(place)?;
    let mut all = [
        contender(&ground, "job", None, options.partitions)?,
        contender(&ground, "fields", Some(FIELDS), options.partitions)?,
    ];
    progress.part("starts", (options.starts as u64 + 1) * 2);
    for turn in 0..=options.starts {
        for contender in &mut all {
            let start = contender.start(&ground)?;
            match turn {
                0 => contender.first = Some(start),
                _ => contender.starts.push(start),
            }
            progress.done(1);
        }
    }
    let verdict = verify_job(&ground, &all[0], progress)?;
    section(options, &all, verdict)
}

fn contender(
    ground: &Ground,
    name: &'static str,
    fields: Option<usize>,
    partitions: i32,
) -> Result<Contender, FatalError> {
    let group = ground.topics.name(&format!("start-{name}"));
    let mut setup = Setup::job(vec![format!("{group}.in")], &group);
    let schema = match fields {
        None => ground.register_orders()?,
        Some(count) => {
            setup.text = include_str!("files/fields.yaml").to_owned();
            let contract = fields::schema(count, true);
            setup.files = vec![
                ("fields-contract.avsc".into(), contract.clone()),
                ("fields-sink.avsc".into(), contract),
                ("fields.rules.yaml".into(), fields::RULES.into()),
            ];
            let subject = ground.topics.name("fields-value");
            let writer = fields::schema(count, false);
            ground.register(&subject, [writer.as_str()])?[0]
        }
    };
    for topic in [&setup.sources[0], &setup.sink] {
        ground.topics.create(topic, partitions)?;
    }
    Ok(Contender {
        name,
        reader: latency::reader(&ground.client, &setup.sink, partitions)?,
        setup,
        schema,
        fields,
        written: 0,
        outputs: 0,
        first: None,
        starts: Vec::new(),
        wrong: Vec::new(),
        came: 0,
    })
}

impl Contender {
    /// Writes records, starts an instance, and waits for all outputs.
    fn start(&mut self, ground: &Ground) -> Result<Start, FatalError> {
        let expected = self.write(ground)?;
        let mut served = Served::start(ground, &self.setup)?;
        let until = Instant::now() + PATIENCE;
        let (mut came, mut first) = (0, None);
        while came < expected {
            match self.reader.poll(Duration::from_millis(5)) {
                Some(Ok(record)) => {
                    first.get_or_insert_with(|| instance::now() * 1000);
                    came += 1;
                    self.came += 1;
                    if let Some(wrong) = self.is_wrong(record.key(), record.payload()) {
                        let at = (record.topic(), record.partition(), record.offset());
                        self.wrong
                            .push(format!("{}-{}@{} {wrong}", at.0, at.1, at.2));
                    }
                }
                Some(Err(error)) => tracing::debug!("{error}"),
                None => served.check()?,
            }
            if Instant::now() > until {
                let text = format!(
                    "{}: {came} of {expected} outputs in {PATIENCE:?}",
                    self.name
                );
                return Err(FatalError::Start(text));
            }
        }
        served.said(ASSIGNED, PATIENCE)?;
        // Dead letters too: what a stop leaves unread would be the next start's.
        let topics = [vec![self.setup.sink.clone()], self.setup.dead_letters()].concat();
        while ground.topics.written(&topics)? < self.outputs {
            served.check()?;
            if Instant::now() > until {
                let text = format!("{}: dead letters are missing after {PATIENCE:?}", self.name);
                return Err(FatalError::Start(text));
            }
            measure::wait(Duration::from_millis(20));
        }
        let (lines, began) = (served.lines(), served.began);
        served.stop()?;
        timeline(&lines, began, first.unwrap_or(began))
    }

    /// How many outputs the records must come to.
    fn write(&mut self, ground: &Ground) -> Result<u64, FatalError> {
        let mut writer = Writer::new(&ground.client, &self.setup.sources[0], 5)?;
        let mut good = 0;
        for number in self.written..self.written + WAITING {
            let order = Order::new(ground.place.seed, number);
            match self.fields {
                None => {
                    good += u64::from(order.kind == Kind::Good);
                    self.outputs += u64::from(order.kind != Kind::Test);
                    writer.send(&order, self.schema)?;
                }
                Some(fields) => {
                    good += 1;
                    self.outputs += 1;
                    let value = fields::value(number, fields, self.schema, false);
                    writer.send_bytes(&self.setup.sources[0], &order.key(), &value)?;
                }
            }
        }
        self.written += WAITING;
        writer.finish()?;
        Ok(good)
    }

    /// What is wrong with an output of many fields; those of the job are verified together.
    fn is_wrong(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> Option<&'static str> {
        let fields = self.fields?;
        let Some(number) = key.and_then(Order::number_of) else {
            return Some("has no key of the input");
        };
        let wanted = fields::value(number, fields, 0, true);
        // The sink's id is the registry's to give.
        let is_right = value.and_then(|value| value.get(5..)) == Some(&wanted[5..]);
        (!is_right).then_some("is not what it must be")
    }
}

/// What the log tells, from when the process was started.
fn timeline(lines: &[Line], began: i64, first: i64) -> Result<Start, FatalError> {
    let millis = |micros: i64| (micros - began) as f64 / 1e3;
    let at = |what: &str| {
        let line = lines.iter().find(|line| line.message.starts_with(what));
        let none = || FatalError::Start(format!("the log of a start does not tell of {what:?}"));
        line.map(|line| millis(line.micros)).ok_or_else(none)
    };
    let stages = lines.iter().filter_map(|line| {
        let stage = line.message.strip_prefix("start: ")?;
        Some((stage.to_owned(), millis(line.micros)))
    });
    let mut stages: Vec<_> = stages.collect();
    let (workers, given) = (at("start: running")?, at("given partitions")?);
    stages.push(("given partitions".into(), given));
    stages.push(("assigned".into(), at(ASSIGNED)?));
    Ok(Start {
        stages,
        workers,
        given,
        first: millis(first),
    })
}

fn verify_job(
    ground: &Ground,
    contender: &Contender,
    progress: &mut dyn Progress,
) -> Result<Verdict, FatalError> {
    let expected = Expected::of(ground.place.seed, contender.written, contender.schema);
    let setup = &contender.setup;
    let places = [
        (setup.sink.clone(), verify::Place::Sink),
        (
            job::dead_letters(&setup.sources[0], &setup.group),
            verify::Place::DeadLetters,
        ),
    ];
    let book = Book::new(&expected, false);
    let name = (setup.group.as_str(), "the job");
    verify::read_back(&ground.kafka(), name, &places, None, book, false, progress)
}

fn section(
    options: &Options,
    all: &[Contender; 2],
    verdict: Verdict,
) -> Result<Section, FatalError> {
    let [job, wide] = all;
    let middle = |contender: &Contender, of: fn(&Start) -> f64| {
        median(contender.starts.iter().map(of).collect())
    };
    let own = |contender| middle(contender, Start::own);
    let first = |contender: &Contender| contender.first.as_ref().map_or(f64::NAN, Start::own);
    let mut findings = verdict.findings.clone();
    let wanted = wide.written;
    if wide.came != wanted {
        findings.push(format!("{} of {wanted} outputs of many fields", wide.came));
    }
    findings.extend(wide.wrong.iter().take(5).cloned());
    Ok(Section {
        part: Part::Start,
        verified: findings.is_empty() && verdict.verified,
        findings,
        figures: vec![
            Figure::bound(
                "fields_ratio",
                "with 200 fields / with the job's 13, without the join",
                own(wide) / own(job).max(1e-9),
                RATIO,
            ),
            Figure::bound(
                "own_ms",
                "process start to first output, without the group's join, ms",
                own(job),
                MOST,
            ),
            Figure::bound(
                "own_fields_ms",
                "the same with 200 fields, ms",
                own(wide),
                MOST,
            ),
            Figure::reported(
                "own_fastest_ms",
                "the fastest of the job's starts, without the join, ms",
                job.starts
                    .iter()
                    .map(Start::own)
                    .fold(f64::INFINITY, f64::min),
            ),
            Figure::reported(
                "join_ms",
                "the group's join, ms",
                middle(job, |start| start.given - start.workers),
            ),
            Figure::reported(
                "first_ms",
                "the first start ever, which makes the topics, without the join, ms",
                first(job),
            ),
        ],
        tables: vec![stages(all)],
        method: format!(
            "`driftgate run` as a process of its own, {} starts each after one that makes the topics, {} partitions, {WAITING} records that \
             wait in the source: medians. The stages begin when the instance's log says so; the first output is there when a \
             reader of the sink has it, linger of 5 ms included. The join is the time from the subscription until the group gives \
             partitions (here with group.initial.rebalance.delay.ms=0; the default of brokers adds 3 s to that of an empty group). \
             All outputs are verified.",
            options.starts, options.partitions
        ),
        raw: serde_json::json!({
            "starts": all
                .iter()
                .map(|one| (one.name.to_owned(), serde_json::json!({"first": one.first, "starts": one.starts})))
                .collect::<serde_json::Map<_, _>>(),
            "outputs": verdict,
        }),
    })
}

/// When each stage begins, by the median.
fn stages(all: &[Contender; 2]) -> Table {
    let mut rows = Vec::new();
    let names = all[0].starts.first().map_or(&[][..], |start| &start.stages);
    for (index, (name, _)) in names.iter().enumerate() {
        let at = |contender: &Contender| {
            let starts = contender.starts.iter();
            median(
                starts
                    .filter_map(|start| Some(start.stages.get(index)?.1))
                    .collect(),
            )
        };
        rows.push((plain(name), at(&all[0]), at(&all[1])));
    }
    let first =
        |contender: &Contender| median(contender.starts.iter().map(|start| start.first).collect());
    rows.push(("first output".to_owned(), first(&all[0]), first(&all[1])));
    let row = |(name, one, other): (String, f64, f64)| {
        vec![name, format!("{one:.0}"), format!("{other:.0}")]
    };
    Table {
        head: vec!["begins at, ms", "the job", "200 fields"],
        rows: rows.into_iter().map(row).collect(),
    }
}

/// Without the names that only this run has.
fn plain(stage: &str) -> String {
    if stage.starts_with("reading ") {
        return "reading the control topic".to_owned();
    }
    stage
        .split_once(": ")
        .map_or(stage, |(_, stage)| stage)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(micros: i64, message: &str) -> Line {
        Line {
            micros,
            message: message.into(),
        }
    }

    #[test]
    fn a_timeline_leaves_out_the_join() {
        let lines = [
            line(1_010_000, "start: pipeline a: contract"),
            line(1_100_000, "start: running"),
            line(1_180_000, "given partitions"),
            line(1_190_000, "assigned"),
        ];
        let start = timeline(&lines, 1_000_000, 1_250_000).expect("all is told");
        assert_eq!(
            (start.first, start.given - start.workers, start.own()),
            (250.0, 80.0, 170.0)
        );
        assert_eq!(start.stages[0], ("pipeline a: contract".into(), 10.0));
        assert_eq!(plain(&start.stages[0].0), "contract");
        assert_eq!(plain("reading g.control"), "reading the control topic");
        assert!(timeline(&lines[..2], 0, 0).is_err());
    }
}
