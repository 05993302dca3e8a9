//! One instance under a schedule of rates: memory and processor time from outside, latencies from when each record was due,
//! and all outputs verified in the end. A burst and a soak are schedules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::Message as _;
use rdkafka::consumer::BaseConsumer;
use serde::Serialize;

use super::Progress;
use super::ground::Ground;
use super::input::Writer;
use super::latency;
use super::measure;
use super::order::{Kind, Order};
use super::probe;
use super::schedule::Schedule;
use super::served::{Served, Setup};
use super::verify::{self, Book, Expected, Place, Verdict};
use crate::error::FatalError;

/// How long an instance may take until it has partitions.
const START: Duration = Duration::from_secs(60);
/// How long nothing at all may come out while something must.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How often the sender sends what is due.
const TICK: Duration = Duration::from_millis(1);
/// `linger.ms` of the benchmark's own producer: its batches are those of a busy producer.
const OWN_LINGER: u64 = 5;
/// Latencies of one phase that are kept, at most: with more records, of every so manieth.
const SAMPLES: u64 = 1_000_000;

/// Memory at a time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the schedule began; below zero while what was written before is worked off.
    pub at: f64,
    /// Resident, in bytes.
    pub resident: u64,
}

/// What a phase came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phased {
    /// Its name.
    pub name: &'static str,
    /// Records a second.
    pub rate: u64,
    /// For so long, in seconds.
    pub seconds: f64,
    /// Latencies of its outputs from when they were due, in milliseconds: half of them, 99 %, the longest.
    pub p50: f64,
    /// 99 % took no longer.
    pub p99: f64,
    /// None took longer.
    pub max: f64,
    /// From the end of the phase until its last output had been read, in seconds; 0 where that was before.
    pub drained_after: f64,
    /// Processor time in it, in percent of one core.
    pub cpu_percent: f64,
    /// The most memory that was seen in it, in MB of a million bytes.
    pub memory_mb: f64,
}

/// What was there before the schedule began.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Backlog {
    /// Records.
    pub records: u64,
    /// Until the last output was read, in seconds from the first.
    pub seconds: f64,
    /// Processor time in that.
    pub cpu_seconds: f64,
}

/// Everything that was measured.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// By phase.
    pub phases: Vec<Phased>,
    /// If there was one.
    pub backlog: Option<Backlog>,
    /// Memory, every fifth of a second.
    pub samples: Vec<Sample>,
    /// The most memory that was ever resident, in bytes.
    pub peak: u64,
    /// How late the sender was at most, in milliseconds: it shares the machine.
    pub sender_late_ms: f64,
    /// What was found in the topics.
    pub verdict: Verdict,
}

/// What sender, reader and watcher share.
struct Flow {
    schedule: Schedule,
    /// When the schedule begins, once it does.
    began: std::sync::OnceLock<Instant>,
    /// Outputs that were read: of those before, and of the phases.
    read_before: AtomicU64,
    read: AtomicU64,
    /// Microseconds.
    late: AtomicU64,
    sent: AtomicBool,
    end: AtomicBool,
}

/// What the reader saw of a phase.
#[derive(Default, Clone)]
struct Seen {
    micros: Vec<u32>,
    last: Option<Instant>,
}

/// Runs it. Outputs are doctored with `plant` before they are verified, for the test of that.
pub fn run(
    ground: &Ground,
    (partitions, workers): (i32, usize),
    schedule: &Schedule,
    plant: bool,
    progress: &mut dyn Progress,
) -> Result<Loaded, FatalError> {
    let group = ground.topics.name("load");
    let mut setup = Setup::job(vec![format!("{group}.in")], &group);
    setup.workers = workers;
    let source = setup.sources[0].clone();
    let schema = ground.register_orders()?;
    for topic in [&source, &setup.sink] {
        ground.topics.create(topic, partitions)?;
    }
    let good_before = write_before(ground, &source, schema, schedule.before, progress)?;
    let flow = Arc::new(Flow {
        schedule: schedule.clone(),
        began: std::sync::OnceLock::new(),
        read_before: AtomicU64::new(0),
        read: AtomicU64::new(0),
        late: AtomicU64::new(0),
        sent: AtomicBool::new(false),
        end: AtomicBool::new(false),
    });
    let consumer = latency::reader(&ground.client, &setup.sink, partitions)?;
    let reader = spawn("reader", {
        let flow = Arc::clone(&flow);
        move || read(&flow, &consumer)
    })?;
    let mut served = Served::start(ground, &setup)?;
    let watched = watch(
        ground,
        (&source, schema),
        good_before,
        &flow,
        &mut served,
        progress,
    );
    flow.end.store(true, Ordering::Relaxed);
    let seen = reader
        .join()
        .map_err(|_| FatalError::Start("the reader panicked".into()))?;
    let watched = watched?;
    let expected = Expected::with(ground.place.seed, schedule.total(), vec![schema]);
    let topics = [vec![setup.sink.clone()], setup.dead_letters()].concat();
    complete(ground, &topics, &expected, &mut served)?;
    let peak = probe::memory(served.process()).map_or(0, |(_, peak)| peak);
    served.stop()?;
    let mut places = vec![(setup.sink.clone(), Place::Sink)];
    places.extend(
        setup
            .dead_letters()
            .into_iter()
            .map(|topic| (topic, Place::DeadLetters)),
    );
    let book = Book::new(&expected, false);
    let name = (group.as_str(), "all outputs");
    let verdict = verify::read_back(&ground.kafka(), name, &places, None, book, plant, progress)?;
    ground.topics.remove(&group);
    let Watched {
        samples,
        backlog,
        cpu,
    } = watched;
    Ok(Loaded {
        phases: phases(&flow, seen, &samples, &cpu),
        backlog,
        samples,
        peak,
        sender_late_ms: flow.late.load(Ordering::Relaxed) as f64 / 1e3,
        verdict,
    })
}

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<std::thread::JoinHandle<T>, FatalError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(body)
        .map_err(|error| FatalError::Start(format!("a thread: {error}")))
}

/// Writes what is there before. How many outputs that must come to on the sink.
fn write_before(
    ground: &Ground,
    source: &str,
    schema: u32,
    records: u64,
    progress: &mut dyn Progress,
) -> Result<u64, FatalError> {
    let mut writer = Writer::new(&ground.client, source, 20)?;
    progress.part("writing the backlog", records);
    let mut good = 0;
    for number in 0..records {
        let order = Order::new(ground.place.seed, number);
        good += u64::from(order.kind == Kind::Good);
        writer.send(&order, schema)?;
        if number % 1000 == 999 {
            writer.serve(Duration::ZERO)?;
            progress.done(1000);
        }
    }
    writer.finish()?;
    Ok(good)
}

struct Watched {
    samples: Vec<Sample>,
    backlog: Option<Backlog>,
    /// Processor time at the beginning, and at the end of each phase.
    cpu: Vec<Duration>,
}

/// Looks at the instance until everything is out.
fn watch(
    ground: &Ground,
    (source, schema): (&str, u32),
    good_before: u64,
    flow: &Arc<Flow>,
    served: &mut Served,
    progress: &mut dyn Progress,
) -> Result<Watched, FatalError> {
    let process = served.process();
    let cpu = || probe::threads(process).map_or(Duration::ZERO, |all| probe::cpu(&all));
    served.assigned(1, START)?;
    let (began, cpu_before) = (Instant::now(), cpu());
    let mut samples: Vec<(Instant, u64)> = Vec::new();
    let mut sample = |served: &mut Served| {
        served.check()?;
        if let Some((resident, _)) = probe::memory(process) {
            samples.push((Instant::now(), resident));
        }
        Ok::<(), FatalError>(())
    };
    let mut moved = Moved::new();
    progress.part("working off the backlog", good_before);
    while flow.read_before.load(Ordering::Acquire) < good_before {
        let done = flow.read_before.load(Ordering::Acquire);
        progress.done(moved.by(done)?);
        sample(served)?;
        measure::wait(LOOK);
    }
    let backlog = (flow.schedule.before > 0).then(|| Backlog {
        records: flow.schedule.before,
        seconds: began.elapsed().as_secs_f64(),
        cpu_seconds: cpu().saturating_sub(cpu_before).as_secs_f64(),
    });
    let writer = Writer::new(&ground.client, source, OWN_LINGER)?;
    let zero = *flow.began.get_or_init(Instant::now);
    let (sending, seed) = (Arc::clone(flow), ground.place.seed);
    let sender = spawn("sender", move || send(&sending, writer, seed, schema))?;
    let mut at_ends = vec![cpu()];
    let seconds = flow.schedule.length().as_secs();
    progress.part("records at their rates", seconds);
    let mut told = 0;
    let mut moved = Moved::new();
    let good = loop {
        sample(served)?;
        measure::wait(LOOK);
        let elapsed = zero.elapsed();
        let ended = flow
            .schedule
            .phase_at(elapsed)
            .unwrap_or(flow.schedule.phases.len());
        while at_ends.len() <= ended && at_ends.len() <= flow.schedule.phases.len() {
            at_ends.push(cpu());
        }
        let now = elapsed.as_secs().min(seconds);
        progress.done(now - told);
        told = now;
        let read = flow.read.load(Ordering::Acquire);
        moved.by(read)?;
        if flow.sent.load(Ordering::Acquire) {
            break sender
                .join()
                .unwrap_or_else(|_| Err(FatalError::Start("the sender panicked".into())))?;
        }
    };
    while flow.read.load(Ordering::Acquire) < good {
        moved.by(flow.read.load(Ordering::Acquire))?;
        sample(served)?;
        measure::wait(LOOK);
    }
    let at = |at: Instant| match at.checked_duration_since(zero) {
        Some(after) => after.as_secs_f64(),
        None => -zero.duration_since(at).as_secs_f64(),
    };
    let samples = samples.into_iter();
    Ok(Watched {
        samples: samples
            .map(|(when, resident)| Sample {
                at: at(when),
                resident,
            })
            .collect(),
        backlog,
        cpu: at_ends,
    })
}

/// That something moves on.
struct Moved {
    done: u64,
    last: Instant,
}

impl Moved {
    fn new() -> Moved {
        Moved {
            done: 0,
            last: Instant::now(),
        }
    }

    /// By how much since the last time; an error if nothing has for too long.
    fn by(&mut self, done: u64) -> Result<u64, FatalError> {
        let more = done.saturating_sub(self.done);
        if more > 0 {
            (self.done, self.last) = (done, Instant::now());
        } else if self.last.elapsed() > PATIENCE {
            return Err(FatalError::Start(format!(
                "{done} outputs came, and none has for {PATIENCE:?}"
            )));
        }
        Ok(more)
    }
}

/// Waits until dead letters are there too, which nobody reads meanwhile.
fn complete(
    ground: &Ground,
    topics: &[String],
    expected: &Expected,
    served: &mut Served,
) -> Result<(), FatalError> {
    let (good, dead) = expected.outputs();
    let (wanted, mut moved) = (good + dead, Moved::new());
    loop {
        let there = ground.topics.written(topics)?;
        if there >= wanted {
            return Ok(());
        }
        moved.by(there)?;
        served.check()?;
        measure::wait(LOOK);
    }
}

/// Sends what is due. How many outputs it must come to on the sink.
fn send(flow: &Flow, mut writer: Writer, seed: u64, schema: u32) -> Result<u64, FatalError> {
    let zero = *flow.began.get().expect("it has begun");
    let (mut number, mut good) = (flow.schedule.before, 0);
    let total = flow.schedule.total();
    while number < total && !flow.end.load(Ordering::Relaxed) {
        let due = flow.schedule.due_by(zero.elapsed());
        if let Some((_, when)) = flow.schedule.of(number).filter(|_| number < due) {
            let late = zero.elapsed().saturating_sub(when).as_micros();
            let late = u64::try_from(late).unwrap_or(u64::MAX);
            flow.late.fetch_max(late, Ordering::Relaxed);
        }
        while number < due {
            let order = Order::new(seed, number);
            good += u64::from(order.kind == Kind::Good);
            writer.send(&order, schema)?;
            number += 1;
        }
        writer.serve(TICK)?;
    }
    writer.finish()?;
    flow.sent.store(true, Ordering::Release);
    Ok(good)
}

/// Reads outputs until the end.
fn read(flow: &Flow, consumer: &BaseConsumer) -> Vec<Seen> {
    let schedule = &flow.schedule;
    let mut seen = vec![Seen::default(); schedule.phases.len()];
    let every = schedule.total() / SAMPLES + 1;
    while !flow.end.load(Ordering::Relaxed) {
        let record = match consumer.poll(Duration::from_millis(20)) {
            Some(Ok(record)) => record,
            Some(Err(error)) => {
                tracing::debug!("{error}");
                continue;
            }
            None => continue,
        };
        let Some(number) = record.key().and_then(Order::number_of) else {
            continue;
        };
        if number < schedule.before {
            flow.read_before.fetch_add(1, Ordering::Release);
            continue;
        }
        if let (Some((phase, due)), Some(zero)) = (schedule.of(number), flow.began.get()) {
            let now = Instant::now();
            seen[phase].last = Some(now);
            if number % every == 0 {
                let latency = (now - *zero).saturating_sub(due).as_micros();
                seen[phase]
                    .micros
                    .push(u32::try_from(latency).unwrap_or(u32::MAX));
            }
        }
        flow.read.fetch_add(1, Ordering::Release);
    }
    seen
}

fn phases(flow: &Flow, seen: Vec<Seen>, samples: &[Sample], cpu: &[Duration]) -> Vec<Phased> {
    let schedule = &flow.schedule;
    let zero = *flow.began.get().expect("it has begun");
    let one = |(index, mut seen): (usize, Seen)| {
        let phase = &schedule.phases[index];
        let end = schedule.end_of(index);
        let begin = end - phase.length;
        seen.micros.sort_unstable();
        let percentile = |part: f64| {
            let rank = (part * seen.micros.len() as f64).ceil() as usize;
            let sample = seen.micros.get(rank.clamp(1, seen.micros.len().max(1)) - 1);
            sample.map_or(0.0, |micros| f64::from(*micros) / 1e3)
        };
        let last = seen.last.map_or(Duration::ZERO, |last| last - zero);
        let within = samples
            .iter()
            .filter(|sample| sample.at >= begin.as_secs_f64() && sample.at < end.as_secs_f64());
        let used = match (cpu.get(index), cpu.get(index + 1)) {
            (Some(before), Some(after)) => after.saturating_sub(*before),
            _ => Duration::ZERO,
        };
        let memory = within.map(|sample| sample.resident).max().unwrap_or(0);
        Phased {
            name: phase.name,
            rate: phase.rate,
            seconds: phase.length.as_secs_f64(),
            p50: percentile(0.5),
            p99: percentile(0.99),
            max: percentile(1.0),
            drained_after: last.saturating_sub(end).as_secs_f64(),
            cpu_percent: 100.0 * used.as_secs_f64() / phase.length.as_secs_f64().max(1e-9),
            memory_mb: super::section::megabytes(memory),
        }
    };
    seen.into_iter().enumerate().map(one).collect()
}
