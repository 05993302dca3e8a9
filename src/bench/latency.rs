//! How long a record takes from its producer to a reader of the output, at a fixed rate: measured outside of the contestant,
//! by one clock, from before the record is handed to a producer of the benchmark until its output has been read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde::Serialize;

use super::contestant::{Running, Task};
use super::input::Writer;
use super::order::{Kind, Order};
use super::{Options, Progress};
use crate::error::FatalError;

/// How long a contestant may take to its first output.
const START: Duration = Duration::from_secs(60);
/// What is left out at the beginning: joins, connections, first uses.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long the last outputs are waited for.
const END: Duration = Duration::from_secs(10);
/// `linger.ms` of the benchmark's own producer.
const OWN_LINGER: u64 = 1;
/// How often the sender sends what is due.
const TICK: Duration = Duration::from_millis(1);
/// How often the progress is told.
const TELL: Duration = Duration::from_millis(200);

/// Latencies of one contestant, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Records that were measured.
    pub records: usize,
    /// Half of them took no longer.
    pub p50: f64,
    /// 99 % took no longer.
    pub p99: f64,
    /// 99.9 % took no longer.
    pub p99_9: f64,
    /// None took longer.
    pub max: f64,
    /// Processor time of the contestant, in percent of one core.
    pub cpu_percent: f64,
}

/// What sender and reader share.
struct Flow {
    began: Instant,
    /// When each order was sent, nanoseconds after the beginning and at least 1; 0 for none.
    sent: Vec<AtomicU64>,
    next: AtomicU64,
    end: AtomicBool,
}

/// Measures one contestant. Its topics are there.
pub fn measure(
    options: &Options,
    client: &BTreeMap<String, String>,
    task: &Task,
    schema: u32,
    progress: &mut dyn Progress,
) -> Result<Latency, FatalError> {
    let millis = u64::try_from(options.rate_for.as_millis()).unwrap_or(u64::MAX);
    progress.part(&format!("latency of {}", task.contestant.title()), millis);
    let longest = START + WARM_UP + options.rate_for;
    let orders = usize::try_from(options.rate * longest.as_secs().max(1)).unwrap_or(usize::MAX);
    let flow = Arc::new(Flow {
        began: Instant::now(),
        sent: (0..orders).map(|_| AtomicU64::new(0)).collect(),
        next: AtomicU64::new(0),
        end: AtomicBool::new(false),
    });
    let mut reader = reader(client, &task.sink, options.partitions)?;
    let mut running = Running::start(&options.program, task)?;
    let writer = Writer::new(client, &task.source, OWN_LINGER)?;
    let (sending, seed, rate) = (Arc::clone(&flow), options.seed, options.rate);
    let sender = std::thread::Builder::new()
        .name("rate".into())
        .spawn(move || send(&sending, writer, seed, rate, schema))
        .map_err(|error| FatalError::Start(format!("a thread: {error}")))?;
    let read = read(&flow, &mut reader, options.rate_for, &mut running, progress);
    flow.end.store(true, Ordering::Relaxed);
    let sent = sender
        .join()
        .unwrap_or_else(|_| Err(FatalError::Start("the sender panicked".into())));
    let mut samples = read.and_then(|samples| sent.map(|()| samples))?;
    let ran = running.stop()?;
    samples.sort_unstable();
    Ok(Latency {
        records: samples.len(),
        p50: percentile(&samples, 0.5),
        p99: percentile(&samples, 0.99),
        p99_9: percentile(&samples, 0.999),
        max: percentile(&samples, 1.0),
        cpu_percent: 100.0 * ran.cpu_seconds / ran.seconds.max(0.001),
    })
}

/// The smallest sample that so large a part is not above; in milliseconds, from nanoseconds in order.
fn percentile(samples: &[u64], part: f64) -> f64 {
    let rank = (part * samples.len() as f64).ceil() as usize;
    let sample = samples.get(rank.clamp(1, samples.len().max(1)) - 1);
    sample.map_or(0.0, |nanos| *nanos as f64 / 1e6)
}

fn send(
    flow: &Flow,
    mut writer: Writer,
    seed: u64,
    rate: u64,
    schema: u32,
) -> Result<(), FatalError> {
    let mut number = 0;
    while !flow.end.load(Ordering::Relaxed) {
        let elapsed = flow.began.elapsed();
        let due = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX) * rate / 1_000_000;
        while number < due.min(flow.sent.len() as u64) {
            let order = Order::new(seed, number);
            // Only what comes out can be timed.
            if order.kind != Kind::Good {
                number += 1;
                continue;
            }
            let nanos = u64::try_from(flow.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            flow.sent[number as usize].store(nanos.max(1), Ordering::Release);
            writer.send(&order, schema)?;
            number += 1;
        }
        flow.next.store(number, Ordering::Release);
        writer.serve(TICK)?;
    }
    writer.finish()
}

pub(super) fn reader(
    client: &BTreeMap<String, String>,
    topic: &str,
    partitions: i32,
) -> Result<BaseConsumer, FatalError> {
    let failed = |error: rdkafka::error::KafkaError| FatalError::Kafka(error.to_string());
    let mut config = ClientConfig::new();
    for (name, value) in client {
        config.set(name, value);
    }
    let consumer: BaseConsumer = config
        .set("group.id", topic)
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("fetch.queue.backoff.ms", "1")
        .create()
        .map_err(failed)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .map_err(failed)?;
    }
    consumer.assign(&list).map_err(failed)?;
    Ok(consumer)
}

/// Reads until the time is over and all that was sent in it is there. Latencies in nanoseconds.
fn read(
    flow: &Flow,
    reader: &mut BaseConsumer,
    measured_for: Duration,
    running: &mut Running,
    progress: &mut dyn Progress,
) -> Result<Vec<u64>, FatalError> {
    let mut samples = Vec::new();
    // The numbers that are measured, and when what was sent last of them is late.
    let (mut first, mut last) = (None, None::<(u64, Instant)>);
    let mut warm: Option<Instant> = None;
    let (mut told, mut looked) = (Duration::ZERO, Instant::now());
    loop {
        let message = reader.poll(Duration::from_millis(5));
        let now = Instant::now();
        let nanos = u64::try_from((now - flow.began).as_nanos()).unwrap_or(u64::MAX);
        match message {
            Some(Ok(record)) => {
                let number = record.key().and_then(Order::number_of);
                warm.get_or_insert(now + WARM_UP);
                if let (Some(number), Some(first)) = (number, first)
                    && number >= first
                    && last.is_none_or(|(last, _)| number < last)
                {
                    let sent = flow.sent[number as usize].load(Ordering::Acquire);
                    samples.push(nanos.saturating_sub(sent));
                }
            }
            Some(Err(error)) => tracing::debug!("{error}"),
            None => {}
        }
        let next = || flow.next.load(Ordering::Acquire);
        match (warm, first, last) {
            (None, ..) if now - flow.began > START => {
                return Err(FatalError::Start(format!("no output came in {START:?}")));
            }
            (Some(warm), None, _) if now >= warm => first = Some(next()),
            (Some(warm), Some(_), None) => {
                let elapsed = now - warm;
                if elapsed >= told + TELL {
                    progress.done(u64::try_from((elapsed - told).as_millis()).unwrap_or(0));
                    told = elapsed;
                }
                if elapsed >= measured_for {
                    last = Some((next(), now + END));
                    flow.end.store(true, Ordering::Relaxed);
                }
            }
            (_, Some(first), Some((last, late))) => {
                let numbers = &flow.sent[first as usize..last as usize];
                let wanted = numbers.iter();
                let wanted = wanted
                    .filter(|sent| sent.load(Ordering::Acquire) > 0)
                    .count();
                if samples.len() >= wanted {
                    return Ok(samples);
                }
                if now > late {
                    return Err(FatalError::Start(format!(
                        "{} of {wanted} outputs came in time",
                        samples.len()
                    )));
                }
            }
            _ => {}
        }
        if looked.elapsed() > TELL {
            looked = now;
            if running.has_ended() {
                return Err(FatalError::Start(
                    "it ended by itself; its words are above".into(),
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let samples: Vec<u64> = (1..=1000).map(|sample| sample * 1_000_000).collect();
        let all = [0.5, 0.99, 0.999, 1.0].map(|part| percentile(&samples, part));
        assert_eq!(all, [500.0, 990.0, 999.0, 1000.0]);
        assert_eq!(percentile(&[], 0.5), 0.0);
        assert_eq!(percentile(&[7_000_000], 0.999), 7.0);
    }
}
