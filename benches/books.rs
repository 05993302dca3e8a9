//! What a worker writes down for a record: its place in the offset tracker, and the headers that go around it. Results
//! are compared before anything is timed; times are of one record.
//!
//! `cargo bench --bench books`; ids `offsets/in_order` (begun in batches, acknowledged in the order of the log),
//! `offsets/four_partitions` (acknowledged as four partitions of a sink answer, each in its order), `headers/dead_letter`,
//! `headers/provenance` (what `provenance: header` adds to an output).

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_main};
use driftgate::config::model::Provenance;
use driftgate::error::{Reason, RecordError};
use driftgate::failure::envelope::{Envelope, Origin, Stamp};
use driftgate::ingest::offsets::{Counts, OffsetTracker};
use driftgate::pipeline::{Added, Output};
use driftgate::record::{Outcome, Record};

/// Records of one batch.
const BATCH: i64 = 1000;
/// Batches in flight: at full speed with a linger of 20 ms.
const FLIGHT: usize = 20;

/// Begins a batch, and acknowledges the oldest one in flight in the order that `lanes` partitions of a sink give.
fn turn(tracker: &mut OffsetTracker, flight: &mut Vec<u64>, lanes: usize) {
    for _ in 0..BATCH {
        let sequence = tracker.begin(tracker.expected());
        flight.push(sequence.expect("the next one"));
    }
    if flight.len() < FLIGHT * BATCH as usize {
        return;
    }
    let oldest: Vec<u64> = flight.drain(..BATCH as usize).collect();
    for lane in 0..lanes {
        for sequence in oldest.iter().skip(lane).step_by(lanes) {
            black_box(tracker.complete(*sequence, Outcome::Emitted));
        }
    }
}

fn offsets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("offsets");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, lanes) in [("in_order", 1), ("four_partitions", 4)] {
        let mut tracker = OffsetTracker::new(0, Counts::default());
        let mut flight = Vec::with_capacity(2 * FLIGHT * BATCH as usize);
        for _ in 0..2 * FLIGHT {
            turn(&mut tracker, &mut flight, lanes);
        }
        let done = tracker.committable();
        assert_eq!(tracker.counts().of(Outcome::Emitted), done.cast_unsigned());
        assert_eq!(tracker.expected() - done, flight.len() as i64);
        group.bench_function(name, |bencher| {
            bencher.iter(|| turn(&mut tracker, &mut flight, lanes));
        });
    }
    group.finish();
}

fn headers(criterion: &mut Criterion) {
    let record = Record {
        topic: "orders",
        partition: 3,
        offset: 1_234_567,
        timestamp: Some(1_789_992_000_000),
        headers: vec![("traceparent", Some(b"00-0af7651916cd43dd-b7ad6b71-01"))],
        ..Record::default()
    };
    let stamp = Stamp {
        pipeline: "clean-orders".into(),
        group: "orders-gate".into(),
        owner: "order-platform <#orders-oncall>".into(),
        contract: "orders-value.avsc#0a1b2c3d".into(),
        dialects: Vec::new(),
    };
    let origin = Origin::of_source(&record);
    let error = RecordError::new(Reason::MalformedData, "ends inside of a value")
        .at("customer.email")
        .with_schema(7);
    let dead_letter = || {
        let now = 1_789_992_000_123;
        let envelope = Envelope::new(
            &stamp,
            &origin,
            black_box(&error),
            &record.headers,
            now,
            None,
        );
        black_box(envelope.headers().len())
    };
    let output = Output::default();
    let provenance = || {
        let added = Added::new(Provenance::Header, || black_box(&origin).position(), None);
        black_box(output.merged(&record.headers, &added).len())
    };
    assert!(dead_letter() > 12 && provenance() == 2);
    let mut group = criterion.benchmark_group("headers");
    group.bench_function("dead_letter", |bencher| bencher.iter(dead_letter));
    group.bench_function("provenance", |bencher| bencher.iter(provenance));
    group.finish();
}

/// The benchmarks of this file.
mod benches {
    #![allow(missing_docs, reason = "the macro makes a function without one")]
    criterion::criterion_group!(all, super::offsets, super::headers);
}

criterion_main!(benches::all);
