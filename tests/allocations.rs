//! A good record on its way through a plan allocates nothing, once the buffers have grown; through rules and steps, its
//! output alone.

#[path = "../benches/order/job.rs"]
mod job;
#[path = "../benches/order/mod.rs"]
mod order;

use std::sync::Arc;
use std::time::{Duration, Instant};

use driftgate::config::baseline::load_text;
use driftgate::contract::decode::Limits;
use driftgate::contract::encode::encode;
use driftgate::contract::plan::{Plan, Scratch};
use driftgate::contract::schema::Schema;
use driftgate::contract::value::Value;
use driftgate::in_process::{CONTRACT_ID, InProcess};
use driftgate::pipeline::watch::{Counted, Listener, Told};
use driftgate::pipeline::{Look, Reviewed, Watch};
use driftgate::profile::Layout;
use driftgate::record::Record;

#[test]
fn a_plan_allocates_nothing_per_record() {
    let writer = r#"{"type":"record","name":"R","fields":[
        {"name":"b","type":"string"},{"name":"a","type":"float"},{"name":"gone","type":"bytes"},
        {"name":"list","type":{"type":"array","items":{"type":"record","name":"I","fields":[
            {"name":"n","type":"int"},{"name":"t","type":["null","string"]}]}}},
        {"name":"map","type":{"type":"map","values":"long"}},
        {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}}]}"#;
    // Reordered, promoted, dropped, added, wrapped: everything that makes a plan assemble other bytes.
    let reader = r#"{"type":"record","name":"R","fields":[
        {"name":"a","type":"double"},{"name":"b","type":["null","string"]},{"name":"new","type":"string","default":"x"},
        {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
        {"name":"map","type":{"type":"map","values":"double"}},
        {"name":"list","type":{"type":"array","items":{"type":"record","name":"I","fields":[
            {"name":"t","type":["string","null"]},{"name":"n","type":"double"}]}}}]}"#;
    let schema = |text: &str| Schema::parse(text, &[]).expect("a schema");
    let (writer, reader) = (schema(writer), schema(reader));
    let item = |n| {
        let text = Value::String("a text".to_owned());
        Value::Record(vec![Value::Int(n), Value::Union(1, Box::new(text))])
    };
    let record = |items: i32| {
        let mut bytes = Vec::new();
        let value = Value::Record(vec![
            Value::String("text".to_owned()),
            Value::Float(0.5),
            Value::Bytes(vec![0; 50]),
            Value::Array((0..items).map(item).collect()),
            Value::Map(vec![("key".to_owned(), Value::Long(-5))]),
            Value::Bytes(vec![0x01, 0x86, 0xa0]),
        ]);
        encode(&writer, &value, &mut bytes).expect("fits");
        bytes
    };
    let plan = Plan::compile(&writer, &reader, &[vec![0], vec![3], vec![5]]).expect("compatible");
    let same = Plan::compile(&writer, &writer, &[vec![3]]).expect("compatible");
    let (limits, mut scratch) = (Limits::default(), Scratch::default());
    let (largest, others) = (record(40), [record(0), record(7), record(40)]);
    assert!(plan.run(&largest, &limits, &mut scratch).is_ok());
    let counted = allocation_counter::measure(|| {
        for _ in 0..1000 {
            for bytes in &others {
                let view = plan.run(bytes, &limits, &mut scratch);
                assert!(view.is_ok_and(|view| view.marks.len() == 3));
                assert!(same.run(bytes, &limits, &mut scratch).is_ok());
            }
        }
    });
    assert_eq!(counted.count_total, 0, "{counted:?}");
    // The counter does count.
    let one = allocation_counter::measure(|| drop(std::hint::black_box(vec![0_u8; 10])));
    assert_eq!(one.count_total, 1);
}

#[test]
fn rules_and_steps_allocate_the_output_and_nothing_else() {
    let job = job::Job::new();
    let bytes = order::bytes(&Schema::parse(job::WRITER, &[]).expect("a schema"));
    let mut worker = job::Worker::default();
    assert!(worker.run(&job, &bytes, true).is_some());
    let rules = allocation_counter::measure(|| {
        for _ in 0..1000 {
            assert!(worker.run(&job, &bytes, false).is_none());
        }
    });
    assert_eq!(rules.count_total, 0, "{rules:?}");
    let all = allocation_counter::measure(|| {
        for _ in 0..1000 {
            assert!(worker.run(&job, &bytes, true).is_some());
        }
    });
    assert_eq!(all.count_total, 1000, "{all:?}");
}

/// A record costs no more allocations for being asked whose it is and what it sets.
#[test]
fn ownership_allocates_nothing_for_an_event_that_sets_what_is_its_own() {
    let contract = r#"{"type":"record","name":"Customer","fields":[
        {"name":"id","type":"string"},{"name":"origin","type":["null","string"],"default":null},
        {"name":"email","type":["null","string"],"default":null},
        {"name":"tags","type":{"type":"array","items":"string"},"default":["new"]}]}"#;
    let rules = "fields:\n  email: { owner: crm }\n  tags: { owner: shop }\n";
    let event = |email: Option<&str>| serde_json::json!({"id": "c-1", "origin": "CRM", "email": email, "tags": ["new"]});
    let count = |ownership: Option<&str>, said: &str, email: Option<&str>| {
        let builder = InProcess::builder("customers")
            .contract(contract)
            .rules(rules);
        let builder = match ownership {
            Some(ownership) => builder.ownership(ownership),
            None => builder,
        };
        let mut pipeline = builder.build().unwrap_or_else(|faults| panic!("{faults}"));
        let framed = pipeline.frame(CONTRACT_ID, &event(email)).expect("a value");
        let record = Record {
            value: Some(&framed),
            headers: vec![("x-system", Some(said.as_bytes()))],
            ..Record::default()
        };
        assert!(pipeline.process(&record).output().is_some());
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                assert!(pipeline.process(&record).error().is_none());
            }
        });
        counted.count_total
    };
    let without = count(None, "crm", Some("a@b.c"));
    assert!(without > 0);
    let field = "by: { field: \"origin.orValue('')\" }\nnames: { CRM: crm }";
    for ownership in ["by: { header: x-system }", field] {
        let with = count(Some(ownership), "crm", Some("a@b.c"));
        assert_eq!(with, without, "{ownership}");
    }
    let header = "by: { header: x-system }";
    assert_eq!(count(Some(header), "nobody", None), without);
}

struct Nobody;

impl Listener for Nobody {
    fn told(&self, _: &Told<'_>) {}
    fn counted(&self, _: Counted<'_>) {}
}

/// With a baseline each record's values are looked at, and each fraction of a part is handed over.
#[test]
fn a_look_at_values_allocates_nothing_per_record() {
    let schema = Schema::parse(job::WRITER, &[]).expect("a schema");
    let bytes = order::bytes(&schema);
    let layout = Layout::new(&schema, &[]);
    let mut text = "subject: s\nrecords: 1\nwindows: 1\nfields:\n".to_owned();
    for leaf in &layout.leaves {
        text.push_str(&format!("  {}: {{}}\n", leaf.path));
    }
    let reviewed = Reviewed {
        owners: Vec::new(),
        baseline: load_text(&text, "b.yaml").expect("a baseline"),
        layout,
        window: Duration::from_secs(600),
        mark: 0,
    };
    let watch = Watch::new(Arc::new(reviewed), 1, 1, usize::MAX, Nobody);
    let mut look = Look::new(Arc::new(watch), 1);
    let mut records = |count: usize| {
        for _ in 0..count {
            look.turn(Instant::now());
            let taken = look.record("orders", 7, &schema, &bytes, Some(0));
            assert_eq!(taken, Ok(()));
        }
    };
    records(1);
    let counted = allocation_counter::measure(|| records(5_000));
    assert_eq!(counted.count_total, 0, "{counted:?}");
}
