//! What rules and steps cost on top of the contract's plan: the order of 196 bytes, four rules, a filter, SHA-256 of one
//! field, upper case of one, digits of one. The output is compared before anything is timed.
//!
//! `cargo bench --bench steps`; ids `order/plan` (the contract alone), `order/rules`, `order/job` (all of it, up to the
//! sink's bytes).

use std::hint::black_box;

use criterion::{Criterion, criterion_main};
use driftgate::contract::decode::Limits;
use driftgate::contract::schema::Schema;

#[path = "order/job.rs"]
mod job;
#[path = "order/mod.rs"]
mod order;

use job::{Job, WRITER, Worker};

fn orders(criterion: &mut Criterion) {
    let job = Job::new();
    let bytes = order::bytes(&Schema::parse(WRITER, &[]).expect("a schema"));
    let mut group = criterion.benchmark_group("order");
    let (limits, mut worker) = (Limits::default(), Worker::default());
    group.bench_function("plan", |bencher| {
        bencher.iter(|| {
            let view = job
                .bare
                .run(black_box(&bytes), &limits, &mut worker.scratch);
            black_box(view.expect("valid").bytes.len())
        });
    });
    group.bench_function("rules", |bencher| {
        bencher.iter(|| worker.run(&job, black_box(&bytes), false).is_none());
    });
    group.bench_function("job", |bencher| {
        bencher.iter(|| {
            worker
                .run(&job, black_box(&bytes), true)
                .map(|out| out.len())
        });
    });
    group.finish();
}

/// The benchmarks of this file.
mod benches {
    #![allow(missing_docs, reason = "the macro makes a function without one")]
    criterion::criterion_group!(all, super::orders);
}

criterion_main!(benches::all);
