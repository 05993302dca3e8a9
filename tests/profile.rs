//! Statistical drift on real data: no verdict where nothing changed, and one soon where something did.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use driftgate::config::baseline::{self, Baseline};
use driftgate::contract::encode::encode;
use driftgate::contract::schema::{Kind, Schema};
use driftgate::contract::value::Value;
use driftgate::profile::{
    Builder, Compared, Drifted, Layout, Profiler, Sampler, Sliding, Test, Volume, WINDOW, compare,
};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};

/// A record's bytes and its time.
type Event = (Vec<u8>, i64);

struct Flights {
    schema: Schema,
    layout: Layout,
    months: BTreeMap<String, Vec<Event>>,
}

fn schema(path: &str) -> Schema {
    Schema::parse(&std::fs::read_to_string(path).unwrap(), &[]).unwrap()
}

/// A row of the table as the example publishes it with `--timestamp time_hour`.
fn value(schema: &Schema, row: &csv::StringRecord) -> (Value, i64) {
    let fields = &schema.record().unwrap().fields;
    let mut time = 0;
    let values = fields.iter().zip(row).map(|(field, text)| {
        let inner = schema.non_null(field.node).unwrap();
        let plain = match &schema.node(inner).kind {
            Kind::Int => text.parse().ok().map(Value::Int),
            Kind::Long => {
                time = text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
                Some(Value::Long(time))
            }
            _ => (text != "NA").then(|| Value::String(text.to_owned())),
        };
        match (inner == field.node, plain) {
            (true, plain) => plain.unwrap(),
            (false, None) => Value::Union(0, Box::new(Value::Null)),
            (false, Some(plain)) => Value::Union(1, Box::new(plain)),
        }
    });
    let values = values.collect();
    (Value::Record(values), time)
}

fn flights() -> Flights {
    let schema = schema("examples/flights/schemas/flights-value.avsc");
    // By hand, with the whole months: see examples/flights/make-months.py.
    let path = std::env::var("DRIFTGATE_TEST_FLIGHTS")
        .unwrap_or("examples/flights/months.csv.gz".to_owned());
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(Path::new(&path)).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let mut months: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for row in csv::Reader::from_reader(text.as_bytes()).records() {
        let row = row.unwrap();
        let (value, time) = value(&schema, &row);
        let mut bytes = Vec::new();
        encode(&schema, &value, &mut bytes).unwrap();
        months
            .entry(row[1].to_owned())
            .or_default()
            .push((bytes, time));
    }
    Flights {
        layout: Layout::new(&schema, &[]),
        schema,
        months,
    }
}

/// Runs records through parts, at a rate where each counts.
fn parts(
    schema: &Schema,
    layout: &Layout,
    events: &[Event],
    each: &mut dyn FnMut(&driftgate::profile::Window),
) {
    let mut profiler = Profiler::new(layout, i64::MAX, 0);
    for (place, (bytes, time)) in events.iter().enumerate() {
        // A sampler of its own for each part: a thousand records a second.
        let mut sampler = Sampler::new(0, 1);
        let full = profiler
            .record(layout, schema, &mut sampler, bytes, Some(*time))
            .unwrap();
        if full || place + 1 == events.len() {
            each(profiler.part());
            profiler.next(0);
        }
    }
}

fn volume(events: &[Event]) -> Volume {
    let mut volume = Volume::default();
    events.iter().for_each(|(_, time)| volume.add(*time));
    volume
}

fn learn(schema: &Schema, layout: &Layout, events: &[Event]) -> Baseline {
    let mut builder = Builder::new(layout);
    parts(schema, layout, events, &mut |part| builder.add(part));
    let mut volume = volume(events);
    let made = builder.finish(layout, "test-value", &mut volume).unwrap();
    // As people review it, and as it is read again.
    let read = baseline::load_text(&made.text(), "test.baseline.yaml");
    assert_eq!(read.as_ref(), Ok(&made));
    read.unwrap()
}

/// Every verdict of the windows of some records, with the number of windows.
fn verdicts(
    baseline: &Baseline,
    schema: &Schema,
    layout: &Layout,
    events: &[Event],
) -> (Vec<Drifted>, u64) {
    let mut sliding = Sliding::new(layout);
    let (mut found, mut windows) = (Vec::new(), 0);
    parts(schema, layout, events, &mut |part| {
        sliding.push(part);
        if sliding.is_full() {
            let Compared { drifted, .. } = compare(baseline, layout, sliding.window());
            found.extend(drifted);
            windows += 1;
        }
    });
    found.extend(volume(events).judge(baseline));
    (found, windows)
}

/// The fields that drifted and by which test, once each.
fn names(found: &[Drifted]) -> BTreeSet<(&str, &'static str)> {
    let names = found.iter();
    names
        .map(|drifted| (drifted.path.as_str(), drifted.test.as_str()))
        .collect()
}

/// What differs between January and July, and why: examples/flights/README.md says the same.
const WRITTEN_DOWN: [(&str, &str); 3] = [
    ("arr_delay", "numbers"),
    ("dep_delay", "numbers"),
    ("month", "numbers"),
];

#[test]
fn january_against_july_differs_in_what_is_written_down() {
    let flights = flights();
    let (january, july) = (&flights.months["1"], &flights.months["7"]);
    for (learnt, seen) in [(january, july), (july, january), (january, january)] {
        let baseline = learn(&flights.schema, &flights.layout, learnt);
        let (found, windows) = verdicts(&baseline, &flights.schema, &flights.layout, seen);
        assert!(windows >= 20, "only {windows} windows");
        let names = names(&found);
        let written: BTreeSet<_> = WRITTEN_DOWN.into_iter().collect();
        let more: Vec<_> = names.difference(&written).collect();
        assert!(more.is_empty(), "{more:?} of {found:?}");
        // A comparison that finds nothing ever would pass: the month is another one.
        assert_eq!(
            names.contains(&("month", "numbers")),
            !std::ptr::eq(learnt, seen)
        );
    }
}

/// How many shuffles of each month; by hand, more of them.
fn shuffles() -> u64 {
    let more = std::env::var("DRIFTGATE_TEST_SHUFFLES");
    more.map_or(3, |more| more.parse().unwrap())
}

#[test]
fn two_shuffled_halves_of_a_month_raise_nothing() {
    let flights = flights();
    let (mut windows, mut alarms) = (0, Vec::new());
    for seed in 0..shuffles() {
        for (month, events) in &flights.months {
            let mut events = events.clone();
            events.shuffle(&mut SmallRng::seed_from_u64(seed));
            let (learnt, seen) = events.split_at(events.len() / 2);
            let baseline = learn(&flights.schema, &flights.layout, learnt);
            let (found, more) = verdicts(&baseline, &flights.schema, &flights.layout, seen);
            windows += more;
            alarms.extend(found.into_iter().map(|drifted| (seed, month, drifted)));
        }
    }
    eprintln!("{} alarms in {windows} windows", alarms.len());
    assert!(windows > 20 && alarms.is_empty(), "{alarms:?}");
}

#[test]
fn the_example_of_the_page_is_a_baseline() {
    let page = std::fs::read_to_string("docs/drift.md").unwrap();
    let (_, rest) = page.split_once("\n## The baseline\n").unwrap();
    let (_, rest) = rest.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let read = baseline::load_text(example, "docs/drift.md").unwrap();
    assert_eq!(read.fields.len(), 3);
}

/// What an order looks like before and after something upstream has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    Cents,
    StatusAsNumber,
    MonthFirst,
    Nulls,
    ZoneLost,
    ProducerSilent,
    PrefixLost,
    OneId,
    NotFilled,
}

const ORDER: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "order_id", "type": "string"},
    {"name": "amount", "type": "double"},
    {"name": "status", "type": "string"},
    {"name": "delivery", "type": "string", "doc": "DD/MM/YYYY"},
    {"name": "phone", "type": ["null", "string"], "default": null},
    {"name": "placed_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "channel", "type": "string"},
    {"name": "tenant", "type": "string", "default": "main"}]}"#;

/// An order: of the tenth of a second `tick`, from one of four producers.
fn order(random: &mut SmallRng, tick: i64, fault: Fault) -> (Value, i64) {
    let time = 1_795_000_000_000 + tick * 100;
    let text = |text: &str| Value::String(text.to_owned());
    let amount = (3.0 + 1.2 * (0..6).map(|_| random.random_range(-1.0..1.0)).sum::<f64>()).exp();
    let status = ["New", "Paid", "Shipped", "Cancelled"][random.random_range(0..10_usize).min(3)];
    let status = match (status, fault) {
        ("Shipped", Fault::StatusAsNumber) => "3",
        (status, _) => status,
    };
    // Delivered in the next two months.
    let day = random.random_range(0..60);
    let (day, month) = (day % 30 + 1, 11 + day / 30);
    let delivery = match fault {
        Fault::MonthFirst => format!("{month:02}/{day:02}/2026"),
        _ => format!("{day:02}/{month:02}/2026"),
    };
    let part = if fault == Fault::Nulls { 0.05 } else { 0.001 };
    let phone = match random.random_bool(part) {
        true => Value::Union(0, Box::new(Value::Null)),
        false => {
            let number = random.random_range(1_000_000..9_999_999);
            let prefix = if fault == Fault::PrefixLost {
                "0"
            } else {
                "+49"
            };
            Value::Union(1, Box::new(text(&format!("{prefix}151{number}"))))
        }
    };
    // Sent within ten seconds. Where the zone is lost, local time is taken for UTC.
    let zone = if fault == Fault::ZoneLost {
        3_600_000
    } else {
        0
    };
    let placed_at = time - random.random_range(0..10_000) + zone;
    let producers = if fault == Fault::ProducerSilent { 3 } else { 4 };
    let channel = ["web", "app", "shop", "phone"][random.random_range(0..producers)];
    let tenant = if random.random_bool(0.05) || fault == Fault::NotFilled {
        "main"
    } else {
        "other"
    };
    let id = if fault == Fault::OneId {
        0
    } else {
        random.random_range(0..90_000_000)
    };
    let fields = vec![
        text(&format!("O-{id:08}")),
        Value::Double(if fault == Fault::Cents {
            amount * 100.0
        } else {
            amount
        }),
        text(status),
        text(&delivery),
        phone,
        Value::Long(placed_at),
        text(channel),
        text(tenant),
    ];
    (Value::Record(fields), time)
}

fn orders(schema: &Schema, seed: u64, count: i64, from: i64, fault: Fault) -> Vec<Event> {
    let mut random = SmallRng::seed_from_u64(seed);
    let each = (0..count).map(|tick| {
        let now = if tick < from { Fault::None } else { fault };
        let (value, time) = order(&mut random, tick, now);
        let mut bytes = Vec::new();
        encode(schema, &value, &mut bytes).unwrap();
        (bytes, time)
    });
    each.collect()
}

/// The faults, the field and the test that find each: docs/drift.md has the same table.
const FAULTS: [(Fault, &str, Test, &str); 9] = [
    (Fault::Cents, "amount", Test::Numbers, "euros become cents"),
    (
        Fault::StatusAsNumber,
        "status",
        Test::Values,
        "`Shipped` becomes `3`, as text",
    ),
    (
        Fault::MonthFirst,
        "delivery",
        Test::DayMonth,
        "DD/MM becomes MM/DD",
    ),
    (
        Fault::Nulls,
        "phone",
        Test::Nulls,
        "nulls rise from 0.1 % to 5 %",
    ),
    (
        Fault::ZoneLost,
        "placed_at",
        Test::TimeZone,
        "a time zone is lost: an hour",
    ),
    (
        Fault::ProducerSilent,
        "channel",
        Test::Values,
        "one of four producers is silent",
    ),
    (
        Fault::PrefixLost,
        "phone",
        Test::Formats,
        "`+49…` becomes `0…`",
    ),
    (
        Fault::OneId,
        "order_id",
        Test::Distinct,
        "every order has one id",
    ),
    (
        Fault::NotFilled,
        "tenant",
        Test::Defaults,
        "a field is not filled any more",
    ),
];

#[test]
fn each_fault_is_found_within_a_window() {
    let schema = Schema::parse(ORDER, &[]).unwrap();
    let layout = Layout::new(&schema, &[]);
    let baseline = learn(
        &schema,
        &layout,
        &orders(&schema, 0, 20_000, 0, Fault::None),
    );
    let page = std::fs::read_to_string("docs/drift.md").unwrap();
    let mut missing = Vec::new();
    for (fault, field, test, name) in FAULTS {
        let mut delays = Vec::new();
        // It begins anywhere in a part.
        for (seed, from) in [(1, 4_000), (2, 4_001), (3, 4_125), (4, 4_250), (5, 4_499)] {
            let events = orders(&schema, seed, from + WINDOW as i64, from, fault);
            let mut sliding = Sliding::new(&layout);
            let (mut read, mut delay) = (0, None);
            parts(&schema, &layout, &events, &mut |part| {
                read += i64::try_from(part.records).unwrap();
                sliding.push(part);
                if !sliding.is_full() || delay.is_some() {
                    return;
                }
                let found = compare(&baseline, &layout, sliding.window()).drifted;
                assert!(
                    read > from || found.is_empty(),
                    "before {fault:?}: {found:?}"
                );
                let is_it =
                    |drifted: &Drifted| (drifted.path.as_str(), drifted.test) == (field, test);
                if found.iter().any(is_it) {
                    delay = Some(read - from);
                }
                // Nothing else is accused.
                assert!(
                    found.iter().all(|one| one.path == field),
                    "{fault:?}: {found:?}"
                );
            });
            let delay = delay.unwrap_or_else(|| panic!("{fault:?} from {from} was not found"));
            assert!(delay <= WINDOW as i64, "{fault:?} from {from}: {delay}");
            delays.push(delay);
        }
        let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        let line = format!(
            "| {name} | `{}` of `{field}` | {least} to {most} |",
            test.as_str()
        );
        if !page.contains(&line) {
            missing.push(line);
        }
    }
    assert!(
        missing.is_empty(),
        "docs/drift.md should have:\n{}",
        missing.join("\n")
    );
    // And nothing is found where nothing changed.
    let (found, windows) = verdicts(
        &baseline,
        &schema,
        &layout,
        &orders(&schema, 9, 40_000, 0, Fault::None),
    );
    assert!(windows > 70 && found.is_empty(), "{found:?}");
}
