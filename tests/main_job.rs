//! The main job: every record ends in exactly one outcome, on the embedded broker and on a real Kafka with real
//! registries; also when an instance is killed, and when the registry is away.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use driftgate::config;
use driftgate::config::model::Config;
use driftgate::demo::recount::Summary;
use driftgate::demo::{self, Options, Screen};
use driftgate::embedded::broker::EmbeddedBroker;
use driftgate::embedded::registry::EmbeddedRegistry;
use driftgate::instance::Instance;
use rdkafka::ClientConfig;
use rustix::process::Signal;
use serde_json::json;
use support::process::Server;
use support::topics::{self, Read, Write};
use support::{Bed, Environment, http, unique};
use tokio_util::sync::CancellationToken;

const PARTITIONS: i32 = 4;
const LIMIT: Duration = Duration::from_secs(90);
const SCHEMA: &str = r#"{"type":"record","name":"Payment","fields":[
    {"name":"id","type":"long"},{"name":"currency","type":"string"}]}"#;

/// A configuration file in a folder of its own, with topics and group that no other test uses.
struct Job {
    folder: tempfile::TempDir,
    source: String,
    group: String,
    sink: String,
    config: Config,
}

fn job(bed: &Bed) -> Job {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, group, sink) = (unique("payments"), unique("gate"), unique("clean"));
    let (bootstrap, registry) = (&bed.bootstrap, &bed.registry_url);
    let text = format!(
        r##"
kafka: {{ bootstrap_servers: "{bootstrap}" }}
registry: {{ url: "{registry}" }}
admin: {{ listen: off }}
shutdown_grace: 10s
pipelines:
  payments:
    owner: {{ team: billing, contact: "#billing" }}
    group: {group}
    workers: 2
    provenance: header
    source: {{ topics: [{source}] }}
    contract: {{ schema: payment.avsc, rules: payment.rules.yaml }}
    transform:
      - filter: "currency != 'TEST'"
    sink: {{ topic: {sink}, schema: payment.avsc, auto_register: true }}
    failure: {{ retry: {{ tiers: [1s] }} }}
"##
    );
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    write("driftgate.yaml", &text);
    write("payment.avsc", SCHEMA);
    write(
        "payment.rules.yaml",
        "rules:\n  - { name: positive-id, field: id, range: { min: 0 } }\n",
    );
    let config = load(&folder.path().join("driftgate.yaml"));
    Job {
        folder,
        source,
        group,
        sink,
        config,
    }
}

fn load(path: &Path) -> Config {
    let loaded = config::load(path, &|_| None);
    loaded.unwrap_or_else(|faults| panic!("{faults:#?}")).config
}

/// Registers the writer schema and returns its id.
fn register(bed: &Bed, topic: &str) -> u32 {
    let url = format!("{}/subjects/{topic}-value/versions", bed.registry_url);
    let (status, body) = http::post(url, json!({ "schema": SCHEMA }))
        .send()
        .expect("the registry answers");
    assert_eq!(status, 200, "{body}");
    let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    u32::try_from(answer["id"].as_u64().expect("an id")).expect("an id")
}

fn payment(schema: u32, id: i64, currency: &str) -> Vec<u8> {
    let mut value = vec![0];
    value.extend(schema.to_be_bytes());
    let mut rest = ((id << 1) ^ (id >> 63)).cast_unsigned();
    while rest >= 0x80 {
        value.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    value.push(rest as u8);
    value.push(u8::try_from(currency.len() * 2).expect("short"));
    value.extend(currency.as_bytes());
    value
}

/// Runs an instance on this thread until `done` says so.
fn run_until(job: &Job, embedded: Option<&EmbeddedBroker>, done: impl Fn() -> bool + Send + Sync) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let shutdown = CancellationToken::new();
    let instance = Instance::new(shutdown.clone());
    let finished = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let _end = shutdown.clone().drop_guard();
            support::wait::within(LIMIT, || shutdown.is_cancelled() || done())
        });
        let result = runtime.block_on(instance.run(&job.config, &|_| None, embedded));
        result.expect("the instance ends well");
        watch.join().expect("the broker answers")
    });
    assert!(finished.is_some(), "not done within {LIMIT:?}");
}

fn beds_with(body: impl Fn(&Bed, Option<&EmbeddedBroker>)) {
    let broker = EmbeddedBroker::start().expect("an embedded broker");
    let registry = EmbeddedRegistry::start().expect("an embedded registry");
    let (bootstrap, url) = (broker.bootstrap_servers(), registry.url());
    let bed = Bed::of(Environment::Embedded, bootstrap, url, registry);
    body(&bed, Some(&broker));
    support::bed::each(Bed::real(), |bed| body(bed, None));
}

fn prepare(bed: &Bed, job: &Job, embedded: Option<&EmbeddedBroker>) {
    match embedded {
        Some(broker) => broker
            .create_topics(&job.config.pipelines[0], PARTITIONS)
            .expect("topics"),
        None => topics::create(&bed.client(), &job.source, PARTITIONS, &[]),
    }
}

fn count(client: &ClientConfig, topic: &str) -> i64 {
    let ends = topics::watermarks(client, topic);
    ends.iter().map(|(_, end)| end).sum()
}

#[test]
fn each_record_ends_where_it_belongs_with_every_byte() {
    beds_with(|bed, embedded| {
        let (job, client) = (job(bed), bed.client());
        prepare(bed, &job, embedded);
        let id = register(bed, &job.source);
        let unknown = 1_999_999_999;
        let truncated = payment(id, 2, "EUR")[..8].to_vec();
        let bad = |value: Vec<u8>, reason: &'static str| (value, reason);
        let poison = [
            bad(b"{\"id\":1}".to_vec(), "unframed"),
            bad(truncated, "malformed_data"),
            bad([payment(id, 3, "EUR"), vec![0]].concat(), "malformed_data"),
            bad(payment(id, -1, "EUR"), "rule_violation"),
            bad(payment(unknown, 4, "EUR"), "unknown_schema"),
        ];
        let mut writes: Vec<Write> = poison
            .iter()
            .map(|(value, _)| {
                let mut write = Write::new("a key", value.clone())
                    .to(2)
                    .header("traceparent", "00-abc-def-01")
                    .header("bytes", [0xff, 0x00, 0xfe])
                    .header("driftgate.reason", "the source's own");
                write.headers.push(("null".to_owned(), None));
                write.timestamp = Some(1_700_000_000_000);
                write
            })
            .collect();
        writes[1].key = None;
        writes[2].key = Some(Vec::new());
        writes.push(Write::new("good", payment(id, 5, "EUR")).header("traceparent", "00-1-2-01"));
        writes.push(Write::new("test", payment(id, 6, "TEST")));
        let in_header = [vec![0], id.to_be_bytes().to_vec()].concat();
        let headed = Write::new("headed", payment(id, 7, "EUR")[5..].to_vec());
        writes.push(headed.header("__value_schema_id", in_header));
        let mut tombstone = Write::new("gone", "");
        tombstone.value = None;
        writes.push(tombstone);
        topics::produce(&client, &job.source, &writes);

        let dlq = format!("{}.{}.dlq", job.source, job.group);
        run_until(&job, embedded, || {
            count(&client, &dlq) >= 5 && count(&client, &job.sink) >= 3
        });

        let dead = topics::consume_all(&client, &dlq);
        assert_eq!(dead.len(), poison.len());
        let source = topics::consume_all(&client, &job.source);
        for ((value, reason), write) in poison.iter().zip(&writes) {
            let letter = find(&dead, value);
            let origin = find(&source, value);
            assert_eq!(letter.header("driftgate.reason"), Some(*reason));
            assert_eq!(
                (letter.partition, letter.timestamp),
                (2, write.timestamp),
                "{reason}"
            );
            assert_eq!(letter.key, write.key, "{reason}");
            assert_eq!(letter.header("driftgate.source.partition"), Some("2"));
            let offset = origin.offset.to_string();
            assert_eq!(
                letter.header("driftgate.source.offset"),
                Some(offset.as_str())
            );
            assert_eq!(
                letter.header("driftgate.prior.reason"),
                Some("the source's own")
            );
            let bytes = |name: &str| {
                letter
                    .headers
                    .iter()
                    .find(|(n, _)| n == name)
                    .map(|(_, value)| value.clone())
            };
            assert_eq!(bytes("bytes"), Some(Some(vec![0xff, 0x00, 0xfe])));
            assert_eq!(bytes("null"), Some(None));
            let attempts = if *reason == "unknown_schema" {
                "2"
            } else {
                "1"
            };
            assert_eq!(
                letter.header("driftgate.attempt"),
                Some(attempts),
                "{reason}"
            );
        }
        let clean = topics::consume_all(&client, &job.sink);
        let keys: BTreeSet<_> = clean.iter().filter_map(|read| read.key.clone()).collect();
        assert_eq!(
            keys,
            [&b"gone"[..], b"good", b"headed"]
                .map(<[u8]>::to_vec)
                .into()
        );
        let gone = clean
            .iter()
            .find(|read| read.key.as_deref() == Some(b"gone"))
            .expect("the tombstone");
        assert_eq!(gone.value, None);
        // Its schema id stood in a header; the sink's stands in front, and a header would win over it.
        let headed = clean
            .iter()
            .find(|read| read.key.as_deref() == Some(b"headed"));
        let headed = headed.expect("the one with its schema id in a header");
        assert_eq!(headed.count("__value_schema_id"), 0);
        assert_eq!(
            headed.value.as_ref().map(|value| (value[0], &value[5..])),
            Some((0, &payment(id, 7, "EUR")[5..]))
        );
        let good = clean
            .iter()
            .find(|read| read.key.as_deref() == Some(b"good"))
            .expect("the good one");
        assert_eq!(good.header("traceparent"), Some("00-1-2-01"));
        assert_eq!(
            good.value.as_ref().map(|value| &value[5..]),
            Some(&payment(id, 5, "EUR")[5..])
        );
    });
}

fn find<'r>(reads: &'r [Read], value: &[u8]) -> &'r Read {
    let found: Vec<_> = reads
        .iter()
        .filter(|read| read.value.as_deref() == Some(value))
        .collect();
    assert_eq!(found.len(), 1, "one record of that value");
    found[0]
}

/// A registry that is away is nobody's fault: nothing is dead-lettered, and everything arrives once it is back.
#[test]
fn a_registry_outage_costs_no_record() {
    let broker = EmbeddedBroker::start().expect("an embedded broker");
    let registry = EmbeddedRegistry::start().expect("an embedded registry");
    let bed = Bed::of(
        Environment::Embedded,
        broker.bootstrap_servers(),
        registry.url(),
        (),
    );
    let (job, client) = (job(&bed), bed.client());
    prepare(&bed, &job, Some(&broker));
    let id = register(&bed, &job.source);
    let writes: Vec<Write> = (0..200)
        .map(|n| Write::new(format!("{n}"), payment(id, n, "EUR")))
        .collect();
    let dlq = format!("{}.{}.dlq", job.source, job.group);
    let state = std::sync::atomic::AtomicU8::new(0);
    run_until(&job, Some(&broker), || {
        use std::sync::atomic::Ordering::Relaxed;
        match state.load(Relaxed) {
            // The pipeline is up once it has registered its sink's schema and looked for rules there.
            0 if registry.requests("/subjects/") > 6 => {
                registry.stop();
                topics::produce(&client, &job.source, &writes);
                state.store(1, Relaxed);
            }
            // Committed offsets would say that something was done with the records.
            1..=20 => {
                assert_eq!(count(&client, &job.sink) + count(&client, &dlq), 0);
                state.fetch_add(1, Relaxed);
            }
            21 => {
                registry.restart().expect("the same port");
                state.store(22, Relaxed);
            }
            _ => {}
        }
        count(&client, &job.sink) == 200
    });
    assert_eq!(count(&client, &dlq), 0);
}

/// Two instances share the partitions, one is killed in the middle: every record arrives, and what arrives twice was in
/// flight at the kill.
#[test]
fn a_killed_instance_loses_nothing() {
    support::bed::each(Bed::real(), |bed| {
        const RECORDS: i64 = 20_000;
        let (job, client) = (job(bed), bed.client());
        prepare(bed, &job, None);
        let id = register(bed, &job.source);
        let instance = |name: &str| {
            let file = job.folder.path().join("driftgate.yaml");
            let arguments = ["run", "-c", file.to_str().expect("text")];
            let log = job.folder.path().join(name);
            Server::start(
                Path::new(env!("CARGO_BIN_EXE_driftgate")),
                arguments,
                &[],
                &log,
            )
        };
        let (mut first, second) = (instance("first.log"), instance("second.log"));
        let mut killed = None;
        for part in 0..20 {
            let numbers = part * RECORDS / 20..(part + 1) * RECORDS / 20;
            let writes: Vec<Write> = numbers
                .map(|n| Write::new(format!("{n}"), payment(id, n, "EUR")))
                .collect();
            topics::produce(&client, &job.source, &writes);
            if part == 10 {
                let some = || {
                    (topics::partitions(&client, &job.sink) > 0 && count(&client, &job.sink) > 0)
                        .then_some(())
                };
                support::wait::eventually(LIMIT, "records in the sink", some);
                assert!(first.runs(), "{}", first.tail());
                first.signal(Signal::KILL);
                killed = first.ended(LIMIT);
            }
        }
        assert!(killed.is_some(), "the first instance was killed");
        let arrived = || {
            let clean = topics::consume_all(&client, &job.sink);
            let positions: BTreeSet<_> = clean
                .iter()
                .filter_map(|read| read.header("driftgate.source").map(str::to_owned))
                .collect();
            (positions.len() as i64 == RECORDS).then_some(clean.len())
        };
        let copies = support::wait::eventually(LIMIT, "every record in the sink", arrived);
        assert!(copies as i64 >= RECORDS);
        let status = second.stop(Duration::from_secs(30));
        assert_eq!(status.code(), Some(0), "SIGTERM drains and ends with 0");
        assert_eq!(
            count(&client, &format!("{}.{}.dlq", job.source, job.group)),
            0
        );
    });
}

struct Quiet;

impl Screen for Quiet {
    fn tell(&self, _at: Duration, _text: &str) {}
    fn counts(&self, _at: Duration, _summary: &Summary) {}
}

/// The demo's story in its shortest form: all of it happens, and the counts add up.
#[test]
fn the_demo_adds_up() {
    let options = Options {
        duration: Duration::from_secs(15),
        seed: 7,
        rate: 100,
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let summary = runtime
        .block_on(demo::run(
            &options,
            Arc::new(Quiet),
            CancellationToken::new(),
        ))
        .expect("the demo ends well");
    assert!(summary.adds_up(), "{summary:?}");
    assert_eq!(
        (summary.retry_pending, summary.unaccounted, summary.repeated),
        (0, 0, 0),
        "{summary:?}"
    );
    assert!(
        summary.emitted > 500 && summary.filtered > 0 && summary.recovered > 0,
        "{summary:?}"
    );
    let reasons: Vec<_> = summary.reasons.keys().map(String::as_str).collect();
    assert_eq!(
        reasons,
        ["incompatible_schema", "malformed_data"],
        "{summary:?}"
    );
}
