//! What a worker's loop costs for each record, without a broker: batches of 1,000 orders of 196 bytes from memory, through
//! contract, rules, steps, producer and offsets, each acknowledged. What was produced is counted before anything is timed.
//! What is measured is the thread's time on a processor, so that a machine that others use says nearly the same.
//!
//! `cargo bench --bench worker`; ids `worker/bytes` (a pipeline that only holds records to their own schema) and
//! `worker/job` (the benchmark's job), both per record.

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_main};
use driftgate::contract::schema::Schema;
use driftgate::contract::wire;
use driftgate::in_process::InProcess;
use driftgate::worker::dry::{DryLoop, Fed};

#[path = "order/mod.rs"]
mod order;

const WRITER: &str = include_str!("../src/bench/files/orders-value.avsc");
const CONTRACT: &str = include_str!("schemas/order-contract.avsc");
const RULES: &str = include_str!("order/order.rules.yaml");
const STEPS: &str = include_str!("order/steps.yaml");
const ID: u32 = 7;
const BATCH: usize = 1000;

fn records() -> Vec<Fed> {
    let payload = order::bytes(&Schema::parse(WRITER, &[]).expect("a schema"));
    let record = |number: usize| {
        let mut value = Vec::new();
        wire::write_header(ID, &mut value);
        value.extend_from_slice(&payload);
        Fed {
            key: Some(format!("ord-2026-{number:08}").into_bytes()),
            value,
        }
    };
    (0..BATCH).map(record).collect()
}

fn job() -> DryLoop {
    let pipeline = InProcess::builder("orders")
        .contract(CONTRACT)
        .rules(RULES)
        .steps(STEPS)
        .writer(ID, WRITER);
    DryLoop::new(pipeline.build().expect("a pipeline"), records(), 4, BATCH)
}

fn bytes() -> DryLoop {
    let pipeline = InProcess::builder("orders")
        .contract(WRITER)
        .writer(ID, WRITER);
    DryLoop::new(pipeline.build().expect("a pipeline"), records(), 4, BATCH)
}

/// Time that this thread has run, where the system tells; else time that has passed.
struct CpuTime;

impl CpuTime {
    fn now(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let nanos = told.and_then(|told| told.split(' ').next()?.parse().ok());
        nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
    }
}

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        self.now()
    }

    fn end(&self, start: Duration) -> Duration {
        self.now().saturating_sub(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn loops(criterion: &mut Criterion<CpuTime>) {
    let mut group = criterion.benchmark_group("worker");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, mut worker) in [("bytes", bytes()), ("job", job())] {
        for _ in 0..10 {
            worker.turn().expect("goes on");
        }
        let sent = worker.sent();
        assert_eq!(sent["sink"].records, 10 * BATCH as u64, "{sent:?}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(worker.turn().expect("goes on")));
        });
    }
    group.finish();
}

/// The benchmarks of this file.
mod benches {
    #![allow(missing_docs, reason = "the macro makes a function without one")]
    criterion::criterion_group! {
        name = all;
        config = criterion::Criterion::default().with_measurement(super::CpuTime);
        targets = super::loops
    }
}

criterion_main!(benches::all);
