//! The main job: every record ends in exactly one outcome, on the embedded broker and on a real Kafka with real
//! registries; also when an instance is killed, and when the registry is away.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use driftgate::demo::recount::Summary;
use driftgate::demo::{self, Options, Screen};
use driftgate::embedded::broker::EmbeddedBroker;
use driftgate::embedded::registry::EmbeddedRegistry;
use support::job::{LIMIT, beds_with, count, find, job, payment, prepare, register, run_until};
use support::topics::{self, Write};
use support::{Bed, Environment, Job, Shape};
use tokio_util::sync::CancellationToken;

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
            bad(b"{\"id\":1}".to_vec(), "unframed_json"),
            bad(b"1;EUR".to_vec(), "unframed"),
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
            count(&client, &dlq) >= 6 && count(&client, &job.sink) >= 3
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
    let asked = std::sync::Mutex::new((0, Instant::now()));
    let settled = |requests| {
        let mut asked = asked.lock().expect("no panic");
        if asked.0 != requests {
            *asked = (requests, Instant::now());
        }
        requests > 0 && asked.1.elapsed() > Duration::from_secs(2)
    };
    run_until(&job, Some(&broker), || {
        use std::sync::atomic::Ordering::Relaxed;
        match state.load(Relaxed) {
            // The pipeline is up once it has asked for all that it wants to know at start.
            0 if settled(registry.requests("/subjects/")) => {
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
        // The group misses the killed one within seconds.
        let shape = Shape {
            workers: 2,
            ..Shape::quick()
        };
        let client = bed.client();
        let job = Job::new(&bed.bootstrap, &bed.registry_url, &shape);
        prepare(bed, &job, None);
        let id = register(bed, &job.source);
        let (mut first, mut second) = (job.start("first"), job.start("second"));
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
                first.kill();
            }
        }
        job.wait_for_all(&client, usize::try_from(RECORDS).expect("few"));
        job.settled(&client, &job.source);
        second.stop();
        assert_eq!(count(&client, &job.dlq()), 0);
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
