use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::compare::{psi, shift};
use super::measure;
use super::*;
use crate::config::baseline::{Baseline, Measure, Numbers, Shares};
use crate::contract::arbitrary::{ANY, Generator};
use crate::contract::encode::encode;
use crate::contract::schema::Schema;
use crate::contract::value::Value;

const CONTRACT: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "id", "type": "string"},
    {"name": "customer", "type": ["null", {"type": "record", "name": "Customer", "fields": [
        {"name": "email", "type": "string"},
        {"name": "born", "type": ["null", {"type": "int", "logicalType": "date"}], "default": null},
        {"name": "points", "type": "long"},
        {"name": "level", "type": {"type": "enum", "name": "Level", "symbols": ["SECRETGOLD", "SECRETTIN"]}}]}]},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "kind", "type": ["int", "string", "null"]},
    {"name": "tenant", "type": "string", "default": "main"},
    {"name": "gift", "type": "boolean"}]}"#;

fn schema() -> Schema {
    Schema::parse(CONTRACT, &[]).expect("a schema")
}

/// A record: of every third one nobody is known, of every fifth one the tenant is the default.
fn record(number: i64) -> Vec<u8> {
    let text = |text: String| Value::String(text);
    let customer = match number % 3 {
        0 => Value::Union(0, Box::new(Value::Null)),
        _ => Value::Union(
            1,
            Box::new(Value::Record(vec![
                text(format!("secret-{number}@example.org")),
                Value::Union(1, Box::new(Value::Int(12_345))),
                Value::Long(777_777),
                Value::Enum(0),
            ])),
        ),
    };
    let tenant = if number % 5 == 0 { "main" } else { "other" };
    let kind = match number % 2 {
        0 => Value::Union(0, Box::new(Value::Int(1))),
        _ => Value::Union(2, Box::new(Value::Null)),
    };
    let value = Value::Record(vec![
        text(format!("order-{number}")),
        customer,
        Value::Bytes(i32::try_from(number).expect("a few").to_be_bytes().to_vec()),
        Value::Array(vec![
            text("a".into());
            usize::try_from(number % 4).expect("a few")
        ]),
        kind,
        text(tenant.into()),
        Value::Boolean(number % 10 == 0),
    ]);
    let mut bytes = Vec::new();
    encode(&schema(), &value, &mut bytes).expect("a value of it");
    bytes
}

fn personal() -> Vec<String> {
    vec!["customer".to_owned()]
}

fn window(layout: &Layout, numbers: std::ops::Range<i64>) -> Window {
    let schema = schema();
    let mut profiler = Profiler::new(layout, i64::MAX, 0);
    let mut sampler = Sampler::new(0, 1);
    for number in numbers {
        let bytes = record(number);
        profiler
            .record(layout, &schema, &mut sampler, &bytes, Some(number * 1_000))
            .expect("bytes of the contract");
    }
    profiler.part().clone()
}

#[test]
fn what_is_counted_is_exact() {
    let layout = Layout::new(&schema(), &[]);
    let paths: Vec<&str> = layout
        .leaves
        .iter()
        .map(|leaf| leaf.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "id",
            "customer.email",
            "customer.born",
            "customer.points",
            "customer.level",
            "price",
            "tags",
            "kind",
            "tenant",
            "gift"
        ]
    );
    let window = window(&layout, 0..300);
    let of = |path: &str| &window.fields[layout.find(path).expect("a field")];
    assert_eq!((window.seen, window.records), (300, 300));
    assert_eq!((window.first, window.last), (Some(0), Some(299_000)));
    assert_eq!(of("id").count, 300);
    assert_eq!(
        (of("customer.email").count, of("customer.email").nulls),
        (200, 0)
    );
    assert_eq!(of("customer.level").choices, [200, 0, 0]);
    assert_eq!(
        (of("price").min, of("price").max, of("price").mean()),
        (0.0, 2.99, Some(1.495))
    );
    assert_eq!(
        (of("kind").nulls, of("kind").choices.as_slice()),
        (150, &[150, 0, 0, 0][..])
    );
    assert_eq!(of("tenant").defaults, 60);
    assert_eq!(of("gift").choices, [270, 30, 0]);
    assert_eq!(of("tags").values[..5], [0.0, 1.0, 2.0, 3.0, 0.0]);
    // 12,345 days are a day in 2003, and the records are of 1970.
    assert!(of("customer.born").values[0] < -1e9);
}

#[test]
fn parts_together_are_what_one_would_have_counted() {
    let layout = Layout::new(&schema(), &personal());
    let mut both = Window::whole(&layout);
    both.merge(&window(&layout, 0..100));
    both.merge(&window(&layout, 100..250));
    let one = window(&layout, 0..250);
    assert_eq!(
        (both.records, both.first, both.last),
        (one.records, one.first, one.last)
    );
    for (both, one) in both.fields.iter().zip(&one.fields) {
        assert_eq!(
            (both.count, both.nulls, both.defaults, &both.choices),
            (one.count, one.nulls, one.defaults, &one.choices)
        );
        assert_eq!((both.min, both.max), (one.min, one.max));
        assert!((both.sum - one.sum).abs() < 1e-6);
    }
}

/// Of what is tagged, nothing is kept that came from a value: not in memory, not in the file, not in a verdict.
#[test]
fn nothing_personal_is_kept() {
    let layout = Layout::new(&schema(), &personal());
    let part = window(&layout, 0..500);
    let mut builder = Builder::new(&layout);
    let mut volume = Volume::default();
    builder.add(&part);
    let baseline = builder
        .finish(&layout, "orders-value", &mut volume)
        .expect("enough");
    let compared = compare(&baseline, &layout, &window(&layout, 7_000..7_500));
    for leaf in layout.leaves.iter().filter(|leaf| leaf.personal) {
        let own = &part.fields[layout.find(&leaf.path).expect("a field")];
        // Rates and classes, in counters that are there for every value, and no more.
        assert!(own.values.capacity() + own.hashes.capacity() + own.shapes.capacity() == 0);
        assert!(own.min > own.max && own.sum == 0.0 && own.parts == [0; 10]);
        let field = baseline.field(&leaf.path).expect("it was there");
        assert!(field.values.is_none() && field.numbers.is_none() && field.distinct.is_none());
        assert!(field.day_month.is_none());
    }
    let email = baseline.field("customer.email").expect("it was there");
    let classes = email.formats.as_ref().expect("classes of texts");
    assert!(classes.of.contains(&("e-mail".to_owned(), 1.0)));
    let all = format!("{part:?} {builder:?} {} {compared:?}", baseline.text());
    for secret in [
        "secret",
        "example.org",
        "SECRET",
        "777777",
        "12345",
        "12_345",
    ] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    // And without the tag there would be something to find.
    let open = Layout::new(&schema(), &[]);
    let mut builder = Builder::new(&open);
    builder.add(&window(&open, 0..500));
    let text = builder
        .finish(&open, "orders-value", &mut volume)
        .expect("enough")
        .text();
    assert!(text.contains("777777") && text.contains("SECRETGOLD"));
}

/// What a field takes, at the most, in a part; a window is four of them.
#[test]
fn memory_is_bounded_and_the_record_path_allocates_nothing() {
    let schema = schema();
    for (personal, most) in [(Vec::new(), 4_400), (vec!["customer".to_owned()], 4_400)] {
        let layout = Layout::new(&schema, &personal);
        for (leaf, field) in layout.leaves.iter().zip(&Window::part(&layout).fields) {
            let one = Window {
                fields: vec![field.clone()],
                ..Window::part(&layout)
            };
            assert!(one.size() <= most, "{}: {}", leaf.path, one.size());
        }
        let mut profiler = Profiler::new(&layout, 1_000, 0);
        let mut sampler = Sampler::new(0, 1);
        let records: Vec<Vec<u8>> = (0..2_000).map(record).collect();
        let before = profiler.part().size();
        let counted = allocation_counter::measure(|| {
            for (number, bytes) in records.iter().enumerate() {
                sampler.batch(number as i64);
                let full = profiler.record(&layout, &schema, &mut sampler, bytes, Some(0));
                if full.expect("bytes of the contract") {
                    profiler.next(number as i64);
                }
            }
        });
        assert_eq!(counted.count_total, 0);
        assert_eq!(profiler.part().size(), before);
    }
}

#[test]
fn a_text_of_any_length_and_number_takes_no_more_room() {
    let schema = Schema::parse(
        r#"{"type": "record", "name": "R", "fields": [{"name": "t", "type": "string"}]}"#,
        &[],
    );
    let schema = schema.expect("a schema");
    let layout = Layout::new(&schema, &[]);
    let mut builder = Builder::new(&layout);
    let mut volume = Volume::default();
    let mut random = SmallRng::seed_from_u64(3);
    let mut profiler = Profiler::new(&layout, i64::MAX, 0);
    for _ in 0..20_000 {
        let letters =
            (0..random.random_range(0..3_000)).map(|_| random.random_range(' '..'\u{300}'));
        let mut bytes = Vec::new();
        let value = Value::Record(vec![Value::String(letters.collect())]);
        encode(&schema, &value, &mut bytes).expect("a value");
        let mut sampler = Sampler::new(0, 1);
        if profiler
            .record(&layout, &schema, &mut sampler, &bytes, None)
            .expect("its bytes")
        {
            builder.add(profiler.part());
            profiler.next(0);
        }
    }
    let text = builder
        .finish(&layout, "t", &mut volume)
        .expect("enough")
        .text();
    assert!(text.len() < 2_000, "{text}");
}

#[test]
fn the_index_is_that_of_the_books() {
    let shares = Shares {
        spread: 0.0,
        of: vec![("a".into(), 0.5), ("b".into(), 0.3)],
    };
    let known = psi(&shares, &[500, 300, 200]).expect("counts");
    assert!(known.abs() < 1e-12);
    // 0.1 ln 1.2 − 0.1 ln (2/3), by hand.
    let known = psi(&shares, &[600, 200, 200]).expect("counts");
    assert!((known - 0.058_778_7).abs() < 1e-6, "{known}");
    assert_eq!(psi(&shares, &[0, 0, 0]), None);
}

#[test]
fn a_shift_is_the_part_that_moved() {
    let numbers = |deciles: &[f64]| Numbers {
        of: Measure::Value,
        mean: None,
        spread: 0.0,
        deciles: deciles.to_vec(),
    };
    let even = numbers(&[0., 10., 20., 30., 40., 50., 60., 70., 80., 90., 100.]);
    let values: Vec<f64> = (0..=1_000).map(|n| f64::from(n) / 10.0).collect();
    assert!(shift(&even, &values).expect("values") < 0.002);
    let doubled: Vec<f64> = values.iter().map(|value| value * 2.0).collect();
    assert!((shift(&even, &doubled).expect("values") - 0.5).abs() < 0.01);
    let halved: Vec<f64> = values.iter().map(|value| value / 2.0).collect();
    assert!((shift(&even, &halved).expect("values") - 0.5).abs() < 0.01);
    // Most values are one: they lie on both sides of it.
    let flat = numbers(&[0., 1., 1., 1., 1., 1., 1., 1., 1., 1., 2.]);
    assert_eq!(shift(&flat, &[1.0; 50]), Some(0.0));
    assert_eq!(shift(&flat, &[2.0; 50]), Some(0.9));
    assert_eq!(shift(&flat, &[0.0; 50]), Some(0.9));
    assert_eq!(shift(&flat, &[]), None);
}

#[test]
fn a_part_ends_by_its_time_and_a_window_forgets_the_oldest() {
    let schema = schema();
    let layout = Layout::new(&schema, &[]);
    let mut profiler = Profiler::new(&layout, 60_000, 1_000);
    let mut sampler = Sampler::new(1_000, 1);
    let mut sliding = Sliding::new(&layout);
    for part in 0..5 {
        let from = 1_000 + part * 60_000;
        for number in 0..=part {
            let bytes = record(number);
            let taken = profiler.record(&layout, &schema, &mut sampler, &bytes, Some(from));
            assert_eq!(taken, Ok(false));
        }
        assert!(!profiler.is_over(from + 59_999) && profiler.is_over(from + 60_000));
        sliding.push(profiler.part());
        profiler.next(from + 60_000);
        assert_eq!(sliding.is_full(), part >= 3);
    }
    // Two, three, four and five records; the part with one is forgotten.
    assert_eq!(
        (sliding.window().records, sliding.window().first),
        (14, Some(61_000))
    );
}

#[test]
fn few_records_make_no_baseline_and_no_verdict() {
    let layout = Layout::new(&schema(), &[]);
    let mut builder = Builder::new(&layout);
    builder.add(&window(&layout, 0..499));
    let mut volume = Volume::default();
    let few = builder.finish(&layout, "orders-value", &mut volume);
    assert_eq!(few, Err(TooFew { records: 499 }));
    builder.add(&window(&layout, 499..999));
    let baseline = builder
        .finish(&layout, "orders-value", &mut volume)
        .expect("enough");
    // Ninety records of anything.
    let other = window(&layout, 90_000..90_090);
    assert_eq!(compare(&baseline, &layout, &other).drifted, []);
    let unknown = Baseline {
        fields: vec![{
            let mut field = baseline.fields[0].clone();
            field.path = "gone".to_owned();
            field
        }],
        ..baseline
    };
    assert_eq!(compare(&unknown, &layout, &other).unknown, ["gone"]);
}

proptest! {
    /// Whatever a contract says, its values are walked to their end, also where a type contains itself.
    #[test]
    fn every_value_of_every_schema_is_taken(seed: u64, closely: bool) {
        let (_, schema, value) = Generator::pair(seed, ANY);
        let layout = Layout::new(&schema, &[]);
        let mut bytes = Vec::new();
        encode(&schema, &value, &mut bytes).expect("a value of its schema");
        let mut window = Window::part(&layout);
        let end = measure::record(&layout, &schema, &bytes, Some(0), closely, &mut window);
        prop_assert_eq!(end, Ok(bytes.len()));
        let before = window.size();
        prop_assert_eq!(before, Window::part(&layout).size());
    }

    #[test]
    fn no_bytes_panic(seed: u64, bytes: Vec<u8>) {
        let (_, schema, _) = Generator::pair(seed, ANY);
        let layout = Layout::new(&schema, &[]);
        let mut window = Window::part(&layout);
        if let Ok(end) = measure::record(&layout, &schema, &bytes, None, true, &mut window) {
            prop_assert!(end <= bytes.len());
        }
    }
}
