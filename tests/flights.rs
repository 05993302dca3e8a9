//! The example `examples/flights`, from its compressed table to its clean topic. What must come out is computed here from
//! the table alone, by other means than Driftgate's: plain CSV, and the UTC column of the source instead of a time zone.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use driftgate::config;
use driftgate::config::model::Config;
use driftgate::embedded::broker::EmbeddedBroker;
use driftgate::embedded::registry::EmbeddedRegistry;
use driftgate::instance::Instance;
use driftgate::produce::input::Input;
use driftgate::produce::run::{Counts, Job, Watch, run};
use driftgate::produce::source::Source;
use driftgate::produce::{BadRow, Format};
use support::topics::{self, Read};
use support::{Bed, Environment, unique};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

const PARTITIONS: i32 = 4;
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn real_flights_on_the_embedded_broker_and_registry() {
    let broker = EmbeddedBroker::start().expect("an embedded broker");
    let registry = EmbeddedRegistry::start().expect("an embedded registry");
    let bed = Bed::of(
        Environment::Embedded,
        broker.bootstrap_servers(),
        registry.url(),
        registry,
    );
    fly(&bed, Some(&broker));
}

#[test]
fn real_flights_on_a_real_kafka_and_real_registries() {
    support::bed::each(Bed::real(), |bed| fly(bed, None));
}

/// The README tells the same story as the data.
#[test]
fn the_figures_of_the_readme_are_those_of_the_table() {
    let expected = expected();
    let (read, filtered) = (expected.read, expected.filtered);
    let emitted = expected.emitted.len() as u64;
    let dead = expected.dead_letters.values().sum();
    assert!(read >= 20_000, "{read}");
    assert_eq!(read, emitted + filtered + dead);
    let next_day = expected
        .emitted
        .iter()
        .filter(|departure| departure.next_day);
    let next_day = next_day.count() as u64;

    let readme = std::fs::read_to_string(example("README.md")).expect("the README");
    let [read, emitted, filtered, dead, next_day] =
        [read, emitted, filtered, dead, next_day].map(thousands);
    let mut said = vec![
        format!(
            "read {read}  =  emitted {emitted}  +  filtered {filtered}  +  dead letters {dead}"
        ),
        format!("{} bad rows", expected.gaps),
        format!(
            "Another {} flights departed and never arrived",
            expected.diverted
        ),
        format!("{next_day} flights left after midnight"),
    ];
    let rules = expected.dead_letters.iter();
    said.extend(rules.map(|((rule, path), count)| format!("{count} rule {rule}: {path}\n")));
    for line in said {
        assert!(readme.contains(&line), "the README does not say: {line}");
    }
}

fn thousands(count: u64) -> String {
    match count {
        0..1_000 => count.to_string(),
        _ => format!("{},{:03}", count / 1_000, count % 1_000),
    }
}

fn example(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/flights")
        .join(file)
}

/// Publishes the table as the README does, runs the example's pipeline on it, and compares every record.
fn fly(bed: &Bed, embedded: Option<&EmbeddedBroker>) {
    let config = configuration(bed);
    let pipeline = &config.pipelines[0];
    let (source, sink) = (&pipeline.source_topics[0], &pipeline.sink.topic);
    let (dlq, group) = (pipeline.dead_letter_topic(source), &pipeline.group);
    match embedded {
        Some(broker) => broker.create_topics(pipeline, PARTITIONS).expect("topics"),
        None => topics::create(&bed.client(), source, PARTITIONS, &[]),
    }
    let expected = expected();
    let runtime = Runtime::new().expect("a runtime");
    publish(&config, source, expected.read, &runtime);

    let shutdown = CancellationToken::new();
    let instance = Instance::new(shutdown.clone());
    let client = bed.client();
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            // Should this thread panic, the instance must not run for ever.
            let _end = shutdown.clone().drop_guard();
            // By then the group has a coordinator: a new broker has none to ask before.
            let emitted = || {
                let ends = topics::watermarks(&client, sink);
                let sum: i64 = ends.iter().map(|(_, end)| end).sum();
                sum.cast_unsigned() >= expected.emitted.len() as u64
            };
            // Every record has its outcome once every offset is committed: that comes after the acknowledgements.
            let settled = || {
                let offsets = topics::committed(&client, group, source);
                let sum: i64 = offsets.iter().flatten().map(|(offset, _)| offset).sum();
                sum.cast_unsigned() == expected.read
            };
            let within = |probe: &dyn Fn() -> bool| {
                support::wait::within(LIMIT, || shutdown.is_cancelled() || probe())
            };
            within(&emitted).and_then(|()| within(&settled))
        });
        // On this thread: the embedded broker stays where it was made.
        let result = runtime.block_on(instance.run(&config, &|_| None, embedded));
        result.expect("the instance ends well");
        let done = watch.join().expect("the broker answers");
        assert!(
            done.is_some(),
            "the offsets of all records are committed within {LIMIT:?}"
        );
    });

    let clean = topics::consume_all(&bed.client(), sink);
    let dead = topics::consume_all(&bed.client(), &dlq);
    for tier in 1..=pipeline.failure.tiers.len() {
        let retried = topics::consume_all(&bed.client(), &pipeline.retry_topic(source, tier));
        assert_eq!(retried.len(), 0, "nothing here has a reason to be retried");
    }
    check_clean(&clean, &expected);
    check_dead(
        &dead,
        &topics::consume_all(&bed.client(), source),
        &expected,
    );
    let emitted = clean.len() as u64;
    assert_eq!(
        expected.read - emitted - dead.len() as u64,
        expected.filtered
    );
}

/// The example's configuration, on this bed and under names that no other test uses.
fn configuration(bed: &Bed) -> Config {
    let vars = |name: &str| match name {
        "KAFKA_BOOTSTRAP_SERVERS" => Some(bed.bootstrap.clone()),
        "SCHEMA_REGISTRY_URL" => Some(bed.registry_url.clone()),
        _ => None,
    };
    let loaded = config::load(&example("driftgate.yaml"), &vars);
    let mut config = loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config;
    config.admin.listen = None;
    let pipeline = &mut config.pipelines[0];
    pipeline.source_topics = vec![unique("flights")];
    pipeline.group = unique("flights-gate");
    pipeline.sink.topic = unique("flights.clean");
    pipeline.sink.subject = format!("{}-value", pipeline.sink.topic);
    pipeline.sink.auto_register = true;
    config
}

struct Silent;

impl Watch for Silent {
    fn bad(&mut self, row: &BadRow) {
        panic!("a bad row: {row}");
    }
    fn progress(&mut self, _counts: Counts) {}
    fn interrupted(&self) -> bool {
        false
    }
    fn abandoned(&self) -> bool {
        false
    }
}

fn publish(config: &Config, topic: &str, rows: u64, runtime: &Runtime) {
    let job = Job {
        schema: Source::File {
            path: example("schemas/flights-value.avsc"),
            subject: format!("{topic}-value"),
        },
        register: true,
        topic: topic.to_owned(),
        create_topic: None,
        largest: Some(1_000_000),
        kafka: config.kafka.clone(),
        registry: config.registry.clone(),
        format: Format::Csv {
            delimiter: b',',
            nulls: vec!["NA".to_owned()],
        },
        key: Some("tailnum".to_owned()),
        timestamp: None,
        rate: None,
        limit: None,
        rejects: None,
        dry_run: false,
    };
    let input = Input::open(&example("flights.csv.gz")).expect("the table");
    let report = run(&job, input, runtime.handle(), &mut Silent).expect("a run");
    let counts = Counts {
        read: rows,
        produced: rows,
        ..Counts::default()
    };
    assert_eq!((report.counts, report.stopped), (counts, None));
}

/// What a record of the clean topic says, in the order of its schema's fields.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Departure {
    date: i64,
    carrier: String,
    flight_number: String,
    aircraft: Option<String>,
    origin: String,
    destination: String,
    scheduled: i64,
    departure: Option<i64>,
    next_day: bool,
    departure_delay: Option<i64>,
    arrival_delay: Option<i64>,
    air_time: Option<i64>,
    distance: i64,
}

#[derive(Default)]
struct Expected {
    read: u64,
    emitted: Vec<Departure>,
    filtered: u64,
    /// By rule and field.
    dead_letters: BTreeMap<(&'static str, &'static str), u64>,
    /// Among the emitted.
    diverted: u64,
    /// Rows that would be bad if `NA` were not said to be null.
    gaps: u64,
}

fn expected() -> Expected {
    let file = std::fs::File::open(example("flights.csv.gz")).expect("the table");
    let mut table = csv::Reader::from_reader(flate2::read::GzDecoder::new(file));
    let mut expected = Expected::default();
    for row in table.deserialize() {
        let row: BTreeMap<String, String> = row.expect("a row");
        expected.read += 1;
        expected.flight(&row);
    }
    expected.emitted.sort();
    expected
}

impl Expected {
    fn flight(&mut self, row: &BTreeMap<String, String>) {
        let text = |name: &str| Some(row[name].clone()).filter(|text| text != "NA");
        let number = |name: &str| text(name).map(|text| text.parse::<i64>().expect("a number"));
        let needed = |name: &str| number(name).expect("a column without gaps");
        let minute_of_day = |hhmm: i64| hhmm / 100 * 60 + hhmm % 100;

        let numbers = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"];
        self.gaps += u64::from(numbers.iter().any(|name| number(name).is_none()));
        let broken = if needed("distance") < 50 {
            Some(("plausible-distance", "distance"))
        } else if text("tailnum").is_none() {
            Some(("aircraft-known", "tailnum"))
        } else if !row["tailnum"].starts_with('N') {
            Some(("aircraft-registration", "tailnum"))
        } else if number("dep_delay").is_some_and(|delay| delay > 480) {
            Some(("plausible-delay", "dep_delay"))
        } else {
            None
        };
        if let Some(rule) = broken {
            *self.dead_letters.entry(rule).or_default() += 1;
            return;
        }
        let (Some(dep_time), Some(delay)) = (number("dep_time"), number("dep_delay")) else {
            self.filtered += 1;
            return;
        };
        // The source's UTC hour and its minute: no time zone is needed, and none can agree by being wrong twice.
        let hour: jiff::Timestamp = row["time_hour"].parse().expect("a timestamp");
        let scheduled = hour.as_millisecond() + needed("minute") * 60_000;
        let left = minute_of_day(needed("sched_dep_time")) + delay;
        assert_eq!(
            left % 1440,
            minute_of_day(dep_time) % 1440,
            "the source agrees with itself"
        );
        let next_day = left > 1440;
        let date = jiff::civil::date(
            i16::try_from(needed("year")).expect("a year"),
            i8::try_from(needed("month")).expect("a month"),
            i8::try_from(needed("day")).expect("a day"),
        );
        let epoch = jiff::civil::date(1970, 1, 1);
        let days = date.since(epoch).expect("a span of days").get_days();
        self.diverted += u64::from(number("arr_delay").is_none());
        self.emitted.push(Departure {
            date: i64::from(days),
            carrier: row["carrier"].clone(),
            flight_number: row["flight"].clone(),
            aircraft: text("tailnum"),
            origin: row["origin"].clone(),
            destination: row["dest"].clone(),
            scheduled,
            departure: (!next_day).then_some(scheduled + delay * 60_000),
            next_day,
            departure_delay: Some(delay),
            arrival_delay: number("arr_delay"),
            air_time: number("air_time"),
            distance: needed("distance"),
        });
    }
}

fn check_clean(clean: &[Read], expected: &Expected) {
    let mut found: Vec<Departure> = clean
        .iter()
        .map(|record| {
            let value = record.value.as_deref().expect("no tombstones");
            let departure = decode(value);
            let key = record.key.as_deref().map(String::from_utf8_lossy);
            assert_eq!(
                key.as_deref(),
                departure.aircraft.as_deref(),
                "the key is kept"
            );
            departure
        })
        .collect();
    found.sort();
    assert_eq!(
        found.len(),
        expected.emitted.len(),
        "records in the clean topic"
    );
    for (found, expected) in found.iter().zip(&expected.emitted) {
        assert_eq!(found, expected);
    }
}

fn check_dead(dead: &[Read], source: &[Read], expected: &Expected) {
    let by_offset: BTreeMap<(i32, i64), &Read> = source
        .iter()
        .map(|record| ((record.partition, record.offset), record))
        .collect();
    let mut found: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for letter in dead {
        assert_eq!(letter.header("driftgate.reason"), Some("rule_violation"));
        let path = letter.header("driftgate.path").expect("the field at fault");
        let error = letter.header("driftgate.error").expect("what is wrong");
        let (_, rule) = error.split_once("rule ").expect("the rule's name");
        let (rule, _) = rule.split_once(':').expect("the end of the name");
        *found.entry((rule, path)).or_default() += 1;
        let offset = letter
            .header("driftgate.source.offset")
            .expect("the source's offset");
        let offset = offset.parse().expect("a number");
        let original = by_offset[&(letter.partition, offset)];
        assert_eq!(
            (&letter.key, &letter.value),
            (&original.key, &original.value)
        );
    }
    assert_eq!(found, expected.dead_letters);
}

/// Reads a framed Avro record of `flights.clean-value.avsc` by hand.
fn decode(value: &[u8]) -> Departure {
    assert_eq!(value[0], 0, "the magic byte");
    let mut rest = Avro(&value[5..]);
    let departure = Departure {
        date: rest.long(),
        carrier: rest.text(),
        flight_number: rest.text(),
        aircraft: rest.nullable(Avro::text),
        origin: rest.text(),
        destination: rest.text(),
        scheduled: rest.long(),
        departure: rest.nullable(Avro::long),
        next_day: rest.byte() == 1,
        departure_delay: rest.nullable(Avro::long),
        arrival_delay: rest.nullable(Avro::long),
        air_time: rest.nullable(Avro::long),
        distance: rest.long(),
    };
    assert!(rest.0.is_empty(), "nothing follows the last field");
    departure
}

struct Avro<'a>(&'a [u8]);

impl Avro<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().expect("another byte");
        self.0 = rest;
        *first
    }

    fn long(&mut self) -> i64 {
        let mut zigzag = 0_u64;
        for shift in (0..).step_by(7) {
            let byte = self.byte();
            zigzag |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                break;
            }
        }
        (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()
    }

    fn text(&mut self) -> String {
        let length = usize::try_from(self.long()).expect("a length");
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8(text.to_vec()).expect("UTF-8")
    }

    fn nullable<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        match self.long() {
            0 => None,
            _ => Some(read(self)),
        }
    }
}
