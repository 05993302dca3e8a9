//! What a contract check costs: the plan against apache-avro's decoding with a reader schema plus encoding, on the same
//! records in the same run. Outputs are compared before anything is timed.
//!
//! `cargo bench --bench plan`; ids `order/plan`, `order/apache_avro`, `flat/plan`, `flat/apache_avro`, `identity/plan`,
//! and `compile/300_fields`.

use std::hint::black_box;

use apache_avro::types::Value as Theirs;
use criterion::{Criterion, Throughput, criterion_main};
use driftgate::contract::decode::{self, Limits};
use driftgate::contract::encode::encode;
use driftgate::contract::plan::{Plan, Scratch};
use driftgate::contract::schema::Schema;
use driftgate::contract::value::Value;

#[path = "order/mod.rs"]
mod order;

use order::{order, text};

const ORDER: [&str; 2] = [
    include_str!("../src/bench/files/orders-value.avsc"),
    include_str!("schemas/order-contract.avsc"),
];
const FLAT: [&str; 2] = [
    include_str!("schemas/flat-writer.avsc"),
    include_str!("schemas/flat-contract.avsc"),
];

/// 94 bytes: ten fields.
fn flat() -> Value {
    Value::Record(vec![
        Value::Long(7_340_912),
        text("Jane Catherine Doe of Example"),
        text("Frankfurt a"),
        text("60311"),
        Value::Boolean(true),
        Value::Double(0.987),
        Value::Int(1200),
        Value::Long(1_789_992_000_000),
        text("jane.doe@example.com"),
        Value::Float(0.5),
    ])
}

struct Case {
    bytes: Vec<u8>,
    plan: Plan,
    writer: apache_avro::Schema,
    reader: apache_avro::Schema,
}

fn case([writer, reader]: [&str; 2], value: &Value, size: usize) -> Case {
    let schema = |text: &str| Schema::parse(text, &[]).expect("a schema");
    let theirs = |text: &str| apache_avro::Schema::parse_str(text).expect("a schema");
    let mut bytes = Vec::new();
    encode(&schema(writer), value, &mut bytes).expect("fits");
    assert_eq!(bytes.len(), size, "the record's size is what the name says");
    let case = Case {
        plan: Plan::compile(&schema(writer), &schema(reader), &[]).expect("compatible"),
        writer: theirs(writer),
        // The other library ignores aliases; under the writer's name it has the same work, without the rename.
        reader: theirs(
            &reader
                .replace(r#""name": "source""#, r#""name": "channel""#)
                .replace(r#""name": "town""#, r#""name": "city""#),
        ),
        bytes,
    };
    let mut scratch = Scratch::default();
    let view = case
        .plan
        .run(&case.bytes, &Limits::default(), &mut scratch)
        .expect("valid");
    let limits = Limits::default();
    let ours = decode::decode(&schema(reader), view.bytes, &limits).expect("the reader's");
    let back = decode::decode(&schema(reader), &other(&case), &limits).expect("the reader's");
    assert!(same(&ours, &back), "{ours:?}\n{back:?}");
    case
}

/// Equal but for the order of a map, which the other library does not keep.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Map(one), Value::Map(other)) => {
            one.len() == other.len() && one.iter().all(|entry| other.contains(entry))
        }
        (Value::Record(one), Value::Record(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
        }
        (one, other) => one == other,
    }
}

fn other(case: &Case) -> Vec<u8> {
    let value: Theirs = apache_avro::reader::datum::GenericDatumReader::builder(&case.writer)
        .reader_schema(&case.reader)
        .build()
        .and_then(|reader| reader.read_value(&mut &case.bytes[..]))
        .expect("they read it");
    apache_avro::writer::datum::GenericDatumWriter::builder(&case.reader)
        .build()
        .and_then(|writer| writer.write_value_to_vec(value))
        .expect("they write it")
}

fn pair(criterion: &mut Criterion, name: &str, case: &Case) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(case.bytes.len() as u64));
    let (limits, mut scratch) = (Limits::default(), Scratch::default());
    group.bench_function("plan", |bencher| {
        bencher.iter(|| {
            let view = case.plan.run(black_box(&case.bytes), &limits, &mut scratch);
            black_box(view.expect("valid").bytes.len())
        });
    });
    if !case.plan.is_same() {
        let reader = apache_avro::reader::datum::GenericDatumReader::builder(&case.writer)
            .reader_schema(&case.reader)
            .build()
            .expect("a reader");
        let writer = apache_avro::writer::datum::GenericDatumWriter::builder(&case.reader)
            .build()
            .expect("a writer");
        group.bench_function("apache_avro", |bencher| {
            bencher.iter(|| {
                let value = reader.read_value(&mut black_box(&case.bytes[..]));
                let bytes = writer.write_value_to_vec(value.expect("they read it"));
                black_box(bytes.expect("they write it").len())
            });
        });
    }
    group.finish();
}

fn plans(criterion: &mut Criterion) {
    pair(criterion, "order", &case(ORDER, &order(), 196));
    pair(criterion, "flat", &case(FLAT, &flat(), 94));
    pair(
        criterion,
        "identity",
        &case([ORDER[0], ORDER[0]], &order(), 196),
    );
}

fn compile(criterion: &mut Criterion) {
    let fields: Vec<_> = (0..300)
        .map(|i| match i % 3 {
            0 => format!(r#"{{"name":"f{i}","type":"string"}}"#),
            1 => format!(r#"{{"name":"f{i}","type":["null","long"],"default":null}}"#),
            _ => format!(
                r#"{{"name":"f{i}","type":{{"type":"record","name":"R{i}","fields":[{{"name":"a","type":"int"}}]}}}}"#
            ),
        })
        .collect();
    let text = format!(
        r#"{{"type":"record","name":"Wide","fields":[{}]}}"#,
        fields.join(",")
    );
    let writer = Schema::parse(&text, &[]).expect("a schema");
    let reader = Schema::parse(&text.replace("\"int\"", "\"double\""), &[]).expect("a schema");
    criterion.bench_function("compile/300_fields", |bencher| {
        bencher.iter(|| Plan::compile(black_box(&writer), black_box(&reader), &[]).is_ok());
    });
    criterion.bench_function("compile/300_fields_with_parsing", |bencher| {
        bencher.iter(|| {
            let writer = Schema::parse(black_box(&text), &[]).expect("a schema");
            Plan::compile(&writer, black_box(&reader), &[]).is_ok()
        });
    });
}

/// The benchmarks of this file.
mod benches {
    #![allow(missing_docs, reason = "the macro makes a function without one")]
    criterion::criterion_group!(all, super::plans, super::compile);
}

criterion_main!(benches::all);
