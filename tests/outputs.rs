//! Records that end in several outputs, on several topics, with keys, headers and timestamps of their own: all of them or
//! none, counted as one record, whatever brokers refuse.

mod support;

use std::collections::BTreeMap;

use driftgate::embedded::broker::EmbeddedBroker;
use support::live::{self, Job, LIMIT, Live, Shape, both, real};
use support::topics::{self, Read, Write};
use support::{eventually, unique};

/// Two outputs of each parcel: one without its note, and one with it for the second topic.
const TWO: &str = r#"
      - set: { parts: "[0, 1]" }
      - explode: { field: parts, into: part }
      - set: { note: "part == 0 ? '' : note" }
      - route: [ { when: "part == 1", topic: "{second}" }, { else: true } ]"#;

/// As many outputs as an id says, of at most three; all but the first go to the second topic.
const SOME: &str = r#"
      - set: { parts: "[0, 1, 2].filter(part, part < id % 4)" }
      - explode: { field: parts, into: part }
      - header: { kind: "part == 0 ? 'a' : part == 1 ? 'b' : 'c'" }
      - key: "part == 0 ? 'key' : part == 1 ? 'key ' + string(id) : null"
      - timestamp: "timestamp(1700000000 + id)"
      - route: [ { when: "part > 0", topic: "{second}" }, { else: true } ]"#;

/// What those steps make the time of a parcel's outputs.
fn timestamp(id: i64) -> i64 {
    (1_700_000_000 + id) * 1_000
}

/// A job of one partition with these steps, and its second topic, which exists.
fn job(bed: &support::Bed, broker: Option<&EmbeddedBroker>, steps: &str) -> (Job, String) {
    let second = unique("second");
    let shape = Shape {
        partitions: 1,
        steps: Some(steps.replace("{second}", &second)),
        ..Shape::default()
    };
    match broker {
        Some(broker) => broker.create_topic(&second, 4).expect("a topic"),
        None => topics::create(&bed.client(), &second, 4, &[]),
    }
    (Job::new(bed, broker, shape), second)
}

/// Waits until so many records are committed.
fn finish(live: &Live, job: &Job, records: i64) {
    live.eventually("all is committed", || job.committed(&job.source) == records);
    let read = live.metric("driftgate_records_read_total", &[])
        - live.metric("driftgate_records_discarded_total", &[]);
    assert_eq!(read, records as f64, "each record has one outcome");
    assert_eq!(live.metric("driftgate_records_total", &[]), records as f64);
}

/// Index and count, as an output carries them.
fn part(read: &Read) -> (usize, usize) {
    let number = |name| read.header(name).and_then(|text| text.parse().ok());
    (
        number("driftgate.index").expect("an index"),
        number("driftgate.count").expect("a count"),
    )
}

fn small(job: &Job, ids: std::ops::Range<i64>) -> Vec<Write> {
    ids.map(|id| Write::new("key", job.parcel(id, "small")))
        .collect()
}

#[test]
fn every_output_of_a_record_arrives_with_its_own_key_headers_and_timestamp() {
    both(|bed, broker| {
        let (job, second) = job(bed, broker, SOME);
        topics::produce(&job.client, &job.source, &small(&job, 0..40));
        job.live(broker, |live| {
            finish(live, &job, 40);
            let counted = |family, label: &str| live.metric(family, &[label]);
            assert_eq!(counted("driftgate_records_total", "filtered"), 10.0);
            assert_eq!(counted("driftgate_records_total", "emitted"), 30.0);
            assert_eq!(counted("driftgate_outputs_total", &job.sink), 30.0);
            assert_eq!(counted("driftgate_outputs_total", &second), 30.0);
        });
        let main = topics::consume_all(&job.client, &job.sink);
        assert_eq!(main.len(), 30);
        for read in &main {
            let id = usize::try_from(live::id(read)).expect("small");
            assert_eq!(part(read), (0, id % 4));
            assert_eq!(read.key.as_deref(), Some(b"key".as_slice()));
            assert_eq!(read.header("kind"), Some("a"));
            assert_eq!(read.timestamp, Some(timestamp(live::id(read))));
        }
        let mut by_key: BTreeMap<Vec<u8>, i32> = BTreeMap::new();
        for read in topics::consume_all(&job.client, &second) {
            let id = live::id(&read);
            let (index, count) = part(&read);
            assert_eq!(i64::try_from(count).expect("small"), id % 4);
            let source = format!("{}-0@{id}", job.source);
            assert_eq!(read.header("driftgate.source"), Some(source.as_str()));
            assert_eq!(read.timestamp, Some(timestamp(id)));
            assert_eq!(read.header("kind"), Some(["a", "b", "c"][index]));
            match index {
                1 => {
                    let key = read.key.clone().expect("a key");
                    assert_eq!(key, format!("key {id}").into_bytes());
                    by_key.insert(key, read.partition);
                }
                _ => assert_eq!(read.key, None),
            }
        }
        // Where another producer of the same partitioner puts records of these keys.
        let probe = unique("probe");
        match broker {
            Some(broker) => broker.create_topic(&probe, 4).expect("a topic"),
            None => topics::create(&job.client, &probe, 4, &[]),
        }
        let keys = by_key.keys().map(|key| {
            let key = std::str::from_utf8(key).expect("text");
            Write::new(key, b"x".to_vec())
        });
        topics::produce(&job.client, &probe, &keys.collect::<Vec<_>>());
        for read in topics::consume_all(&job.client, &probe) {
            let key = read.key.clone().expect("a key");
            assert_eq!(by_key[&key], read.partition, "partitioned by the new key");
        }
    });
}

/// Text that no codec makes smaller: brokers look at the compressed size.
fn noise(length: usize) -> String {
    use rand::SeedableRng;
    use rand::distr::{Alphanumeric, SampleString};
    Alphanumeric.sample_string(&mut rand::rngs::SmallRng::from_os_rng(), length)
}

fn ids(client: &rdkafka::ClientConfig, topic: &str) -> BTreeMap<i64, usize> {
    let mut found = BTreeMap::new();
    for read in topics::consume_all(client, topic) {
        *found.entry(live::id(&read)).or_default() += 1;
    }
    found
}

/// The limit is known from the start, or lowered while the worker runs.
#[test]
fn one_output_too_large_makes_a_dead_letter_of_its_record_and_takes_its_siblings_along() {
    let Some(bed) = real() else { return };
    for known in [true, false] {
        let (job, second) = job(&bed, None, TWO);
        if known {
            live::limit(&job.client, &second, 3_000);
        }
        let large = [7, 20, 21, 39];
        let writes: Vec<Write> = (0..40)
            .map(|id| {
                let length = if large.contains(&id) { 5_000 } else { 100 };
                Write::new("key", job.parcel(id, &noise(length)))
            })
            .collect();
        job.live(None, |live| {
            live.ready();
            live::limit(&job.client, &second, 3_000);
            topics::produce(&job.client, &job.source, &writes);
            finish(live, &job, 40);
        });
        let rest: Vec<i64> = (0..40).filter(|id| !large.contains(id)).collect();
        let seconds = ids(&job.client, &second);
        assert_eq!(seconds.keys().copied().collect::<Vec<_>>(), rest);
        let dead = topics::consume_all(&job.client, &job.dlq);
        let dead_ids: Vec<i64> = dead.iter().map(live::id).collect();
        assert_eq!(dead_ids, large, "each once, known beforehand: {known}");
        for letter in &dead {
            assert_eq!(letter.header("driftgate.reason"), Some("record_too_large"));
            assert_eq!(letter.header("driftgate.index"), None);
        }
        let firsts = ids(&job.client, &job.sink);
        assert!(rest.iter().all(|id| firsts.contains_key(id)));
        if known {
            let siblings = large.iter().filter(|id| firsts.contains_key(id));
            assert_eq!(siblings.count(), 0, "none of a refused record's siblings");
        }
    }
}

/// An output that is larger than its topic takes, and smaller once it is compressed, is no reason for a dead letter.
#[test]
fn an_output_that_fits_when_it_is_compressed_is_emitted() {
    let Some(bed) = real() else { return };
    let (job, second) = job(&bed, None, TWO);
    live::limit(&job.client, &second, 3_000);
    let note = "a".repeat(20_000);
    let writes: Vec<Write> = (0..5)
        .map(|id| Write::new("key", job.parcel(id, &note)))
        .collect();
    topics::produce(&job.client, &job.source, &writes);
    job.live(None, |live| finish(live, &job, 5));
    let written = topics::consume_all(&job.client, &job.source);
    for topic in [&job.sink, &second] {
        let found = ids(&job.client, topic);
        assert_eq!(found, (0..5).map(|id| (id, 1)).collect());
        for read in topics::consume_all(&job.client, topic) {
            assert_eq!(read.key.as_deref(), Some(b"key".as_slice()));
            let source = usize::try_from(live::id(&read)).expect("small");
            assert_eq!(read.timestamp, written[source].timestamp, "the source's");
        }
    }
    assert_eq!(job.count(&job.dlq), 0);
}

/// A broker refuses a whole batch with outputs of many records: all are produced again, and each record counts once.
#[test]
fn a_refused_batch_of_outputs_is_produced_again_and_each_record_counts_once() {
    let embedded = live::Embedded::start();
    let (job, second) = job(&embedded.bed, Some(&embedded.broker), TWO);
    topics::produce(&job.client, &job.source, &small(&job, 0..50));
    let refused = [rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE];
    let produce = rdkafka::types::RDKafkaApiKey::Produce;
    embedded.broker.cluster().request_errors(produce, &refused);
    job.live(Some(&embedded.broker), |live| {
        finish(live, &job, 50);
        assert!(live.metric("driftgate_records_discarded_total", &[]) >= 1.0);
    });
    for topic in [&job.sink, &second] {
        let found: Vec<i64> = ids(&job.client, topic).into_keys().collect();
        assert_eq!(found, (0..50).collect::<Vec<_>>(), "{topic}");
    }
    assert_eq!(job.count(&job.dlq), 0);
}

/// One of the sinks is missing: the partition waits and names it, and the other sink is not filled with repeats.
#[test]
fn a_missing_sink_of_several_pauses_is_named_and_repeats_little() {
    let Some(bed) = real() else { return };
    let (job, second) = job(&bed, None, TWO);
    job.live(None, |live| {
        live.ready();
        live::delete(&job.client, &second);
        topics::produce(&job.client, &job.source, &small(&job, 0..5));
        let named = || {
            let reasons = live.instance.health.readiness().reasons;
            reasons.iter().any(|reason| reason.contains(&second))
        };
        eventually(2 * LIMIT, "a pause that names it", named);
        // Each reading discards all five.
        let before = live.metric("driftgate_records_discarded_total", &[]);
        eventually(2 * LIMIT, "some more readings", || {
            live.metric("driftgate_records_discarded_total", &[]) >= before + 15.0
        });
        assert!(named());
        assert_eq!(job.committed(&job.source), 0, "nothing is passed over");
        let repeats = ids(&job.client, &job.sink);
        assert!(repeats.values().all(|copies| *copies <= 2), "{repeats:?}");
        topics::create(&job.client, &second, 4, &[]);
        finish(live, &job, 5);
    });
    let seconds: Vec<i64> = ids(&job.client, &second).into_keys().collect();
    assert_eq!(seconds, [0, 1, 2, 3, 4]);
    let firsts = ids(&job.client, &job.sink);
    assert_eq!(firsts.len(), 5);
    assert_eq!(job.count(&job.dlq), 0);
}
