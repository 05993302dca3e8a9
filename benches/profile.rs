//! What profiling costs: of the benchmark's order, after its plan. Results are compared before anything is timed; times are
//! of one record.
//!
//! `cargo bench --bench profile`; ids `profile/part` (a mean at a rate where each record is counted, and some are looked at
//! closely), `profile/full_speed` (a mean at 300,000 records a second and worker, as the benchmark's job reaches).

use std::hint::black_box;

use criterion::{Criterion, criterion_main};
use driftgate::contract::encode::encode;
use driftgate::contract::schema::Schema;
use driftgate::contract::value::Value;
use driftgate::profile::{EXACT_PER_SECOND, Layout, PART, Profiler, Sampler};

/// Records of a batch.
const BATCH: usize = 1_000;
/// Records a second and worker, at full speed.
const RATE: i64 = 300_000;

fn order(number: i64) -> Value {
    let text = |text: &str| Value::String(text.to_owned());
    let some = |value| Value::Union(1, Box::new(value));
    let item = |nth: i64| {
        Value::Record(vec![
            text(&format!("SKU-{:05}", number * 7 + nth)),
            Value::Int(2),
            Value::Double(9.99),
        ])
    };
    Value::Record(vec![
        text(&format!("O-{number:08}")),
        Value::Record(vec![
            Value::Long(number * 13),
            text("anna.meier@example.org"),
            some(text("+49 151 1234567")),
            text("DE"),
        ]),
        Value::Enum(usize::try_from(number % 4).expect("a few")),
        text(["EUR", "USD", "GBP"][usize::try_from(number % 3).expect("a few")]),
        Value::Long(1_000 + number * 17 % 9_000),
        Value::Long(1_795_000_000_000 + number),
        Value::Array(vec![item(0), item(1), item(2)]),
        Value::Map(vec![("campaign".into(), text("autumn"))]),
        match number % 10 {
            0 => Value::Union(0, Box::new(Value::Null)),
            _ => some(text("please ring twice")),
        },
        Value::Double(1.25),
        Value::Boolean(number % 2 == 0),
        text("web"),
        text("main"),
        Value::Int(1),
    ])
}

fn profile(criterion: &mut Criterion) {
    let text = include_str!("schemas/order-contract.avsc");
    let schema = Schema::parse(text, &[]).expect("a schema");
    let layout = Layout::new(&schema, &["customer.email".to_owned()]);
    let records: Vec<Vec<u8>> = (0..BATCH as i64)
        .map(|number| {
            let mut bytes = Vec::new();
            encode(&schema, &order(number), &mut bytes).expect("an order");
            bytes
        })
        .collect();
    // Every record at a rate where each counts; what is counted is what the generator made.
    let mut profiler = Profiler::new(&layout, i64::MAX, 0);
    let mut sampler = Sampler::new(0, 1);
    for bytes in &records[..PART] {
        let full = profiler.record(&layout, &schema, &mut sampler, bytes, Some(0));
        assert_eq!(full, Ok(profiler.part().records == PART as u64));
    }
    let field = |path: &str| &profiler.part().fields[layout.find(path).expect("a field")];
    assert_eq!((field("note").count, field("note").nulls), (500, 50));
    assert_eq!(field("status").choices, [125, 125, 125, 125, 0]);
    assert_eq!(field("tenant").defaults, 500);
    assert_eq!(
        field("customer.email").choices[5],
        500,
        "all of them e-mail addresses"
    );
    assert!(profiler.part().size() < 4_400 * layout.leaves.len());

    let mut group = criterion.benchmark_group("profile");
    let mut next = records.iter().cycle();
    let mut run = |profiler: &mut Profiler, sampler: &mut Sampler| {
        let bytes = next.next().expect("it never ends");
        let full = profiler.record(&layout, &schema, sampler, black_box(bytes), Some(0));
        if full.expect("bytes of the contract") {
            profiler.next(0);
        }
    };
    let mut now = 0;
    // A batch each tenth of a second.
    let mut slow = Sampler::new(0, 1);
    let mut count = 0_i64;
    group.bench_function("part", |bencher| {
        bencher.iter(|| {
            count += 1;
            if count % 1_000 == 0 {
                now += 101;
                slow.batch(now);
            }
            run(&mut profiler, &mut slow);
        });
    });
    let mut fast = Sampler::new(0, 1);
    let (mut count, mut counted) = (0_i64, 0_u64);
    group.bench_function("full_speed", |bencher| {
        bencher.iter(|| {
            count += 1;
            if count % 1_000 == 0 {
                fast.batch(count * 1_000 / RATE);
            }
            let before = profiler.part().records;
            run(&mut profiler, &mut fast);
            counted += u64::from(profiler.part().records != before);
        });
    });
    group.finish();
    let seconds = (count / RATE).max(1).cast_unsigned();
    let most = seconds * u64::from(EXACT_PER_SECOND) * 5 / 4 + 200_000;
    assert!(
        counted > 0 && counted < most,
        "{counted} counted in {seconds} seconds"
    );
}

/// The benchmarks of this file.
mod benches {
    #![allow(missing_docs, reason = "the macro makes a function without one")]
    criterion::criterion_group!(all, super::profile);
}

criterion_main!(benches::all);
