//! Records that end in several outputs, on several topics, with keys, headers and timestamps of their own: all of them or
//! none, counted as one record. What they come to is said by the test, in place of steps.

mod support;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use driftgate::build;
use driftgate::contract::cache::{CacheSettings, SchemaCache};
use driftgate::contract::registry::RegistryClient;
use driftgate::failure_log::FailureLog;
use driftgate::health::Health;
use driftgate::ingest::properties;
use driftgate::ingest::topics::{self as facts, TopicAdmin};
use driftgate::lookup::Lookups;
use driftgate::metrics::Metrics;
use driftgate::pipeline::{Gate, Output, OutputKey, Sink, Stages, Verdict};
use driftgate::record::Record;
use driftgate::worker::{Settings, Shared, Worker};
use support::live::{self, Job, LIMIT, Shape, both, real};
use support::topics::{self, Read, Write};
use support::{eventually, unique};
use tokio_util::sync::CancellationToken;

/// A worker of a job's pipeline with a second sink, whose verdicts are the test's.
struct Running {
    metrics: Arc<Metrics>,
    health: Arc<Health>,
    shutdown: CancellationToken,
    thread: thread::JoinHandle<()>,
    _runtime: tokio::runtime::Runtime,
}

impl Running {
    fn start(
        job: &Job,
        second: &str,
        verdict: impl FnMut(&Record<'_>, Verdict) -> Verdict + Send + 'static,
    ) -> Running {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (pipeline, kafka) = (&job.config.pipelines[0], &job.config.kafka);
        let client = RegistryClient::new(&job.config.registry).expect("a client");
        let parts = runtime
            .block_on(build::compile(pipeline, Some(&client), &|_| None))
            .expect("compiles")
            .expect("all of it");
        let mut compiled = parts.finish(pipeline, &[77]);
        compiled.sinks.push(Sink {
            topic: second.to_owned(),
            schema: Arc::clone(&compiled.sink().schema),
            id: 78,
            rules: Default::default(),
        });
        let settings = CacheSettings::default();
        let cache = SchemaCache::new(client, runtime.handle().clone(), settings);
        let stages = Stages::new(
            Arc::new(compiled),
            Arc::new(cache),
            Arc::new(Lookups::none(runtime.handle().clone())),
            Arc::new(Gate::new(pipeline.contract.drift, String::new(), |_| {})),
        );
        let mut names = facts::names(pipeline);
        names.push(second.to_owned());
        let admin = TopicAdmin::new(&properties::admin(kafka), Duration::from_secs(10));
        let known = runtime.block_on(async { admin.expect("a client").known(&names).await });
        let known = known.expect("the broker answers");
        let partitions = known
            .iter()
            .map(|(topic, facts)| (topic.clone(), facts.partitions));
        let sizes: HashMap<String, u64> = known
            .iter()
            .filter_map(|(topic, facts)| Some((topic.clone(), facts.max_message_bytes?)))
            .collect();
        let settings = Settings {
            slot: 0,
            batch: 1000,
            commit_interval: Duration::from_millis(100),
            revoke_grace: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(5),
            stuck_after: Duration::from_secs(60),
            partitions: partitions.collect(),
            sizes,
        };
        let shutdown = CancellationToken::new();
        let (metrics, health) = (Metrics::new(), Health::new());
        health.set_running();
        let shared = Shared {
            metrics: Arc::clone(&metrics),
            health: Arc::clone(&health),
            failures: Arc::new(FailureLog::new(Instant::now())),
            shutdown: shutdown.clone(),
        };
        let worker = Worker::new(
            settings,
            stages.with_last_word(verdict),
            &properties::consumer(kafka, pipeline, 0, 64 << 20),
            &properties::producer(
                kafka,
                pipeline,
                0,
                64 << 20,
                facts::largest(pipeline, &known),
                facts::largest_batch(pipeline, &known),
            ),
            shared,
        )
        .expect("a worker");
        Running {
            metrics,
            health,
            shutdown,
            thread: thread::spawn(move || worker.run().expect("ends well")),
            _runtime: runtime,
        }
    }

    fn metric(&self, family: &str, labels: &[&str]) -> f64 {
        live::sum(&self.metrics.render(), family, labels)
    }

    /// Waits until so many records are committed, and stops.
    fn finish(self, job: &Job, records: i64) {
        eventually(LIMIT, "all is committed", || {
            job.committed(&job.source) == records
        });
        let read = self.metric("driftgate_records_read_total", &[])
            - self.metric("driftgate_records_discarded_total", &[]);
        assert_eq!(read, records as f64, "each record has one outcome");
        assert_eq!(self.metric("driftgate_records_total", &[]), records as f64);
        self.shutdown.cancel();
        self.thread.join().expect("no panic");
    }
}

fn single() -> Shape {
    Shape {
        partitions: 1,
        ..Shape::default()
    }
}

fn job(
    bed: &support::Bed,
    broker: Option<&driftgate::embedded::broker::EmbeddedBroker>,
) -> (Job, String) {
    let (job, second) = (Job::new(bed, broker, single()), unique("second"));
    match broker {
        Some(broker) => broker.create_topic(&second, 4).expect("a topic"),
        None => {
            topics::create(&job.client, &job.sink, 1, &[]);
            topics::create(&job.client, &job.dlq, 1, &[]);
            topics::create(&job.client, &second, 4, &[]);
        }
    }
    (job, second)
}

fn emitted(verdict: Verdict) -> Option<Output> {
    match verdict {
        Verdict::Emit(output) => Some(output),
        _ => None,
    }
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
        let (job, second) = job(bed, broker);
        topics::produce(&job.client, &job.source, &small(&job, 0..40));
        // Records 0, 4, 8… are taken apart into as many outputs as their id says; every fourth one has none.
        let running = Running::start(&job, &second, |record, verdict| {
            let Some(output) = emitted(verdict) else {
                panic!("every parcel passes")
            };
            let outputs = (0..record.offset % 4).map(|index| Output {
                sink: usize::from(index > 0),
                key: match index {
                    0 => OutputKey::Source,
                    1 => OutputKey::Other(Some(format!("key {}", record.offset).into_bytes())),
                    _ => OutputKey::Other(None),
                },
                headers: vec![("kind".to_owned(), Some(vec![b'a' + index as u8]))],
                timestamp: (index > 0).then_some(1_700_000_000_000 + record.offset),
                ..output.clone()
            });
            Verdict::EmitAll(outputs.collect())
        });
        eventually(LIMIT, "all is committed", || {
            job.committed(&job.source) == 40
        });
        assert_eq!(
            running.metric("driftgate_records_total", &["filtered"]),
            10.0
        );
        assert_eq!(
            running.metric("driftgate_records_total", &["emitted"]),
            30.0
        );
        assert_eq!(
            running.metric("driftgate_outputs_total", &[&job.sink]),
            30.0
        );
        assert_eq!(running.metric("driftgate_outputs_total", &[&second]), 30.0);
        running.finish(&job, 40);

        let main = topics::consume_all(&job.client, &job.sink);
        assert_eq!(main.len(), 30);
        for read in &main {
            assert_eq!(
                part(read),
                (0, usize::try_from(live::id(read) % 4).expect("small"))
            );
            assert_eq!(read.key.as_deref(), Some(b"key".as_slice()));
            assert_eq!(read.header("kind"), Some("a"));
        }
        let mut by_key: BTreeMap<Vec<u8>, i32> = BTreeMap::new();
        for read in topics::consume_all(&job.client, &second) {
            let id = live::id(&read);
            let (index, count) = part(&read);
            assert_eq!(i64::try_from(count).expect("small"), id % 4);
            let source = format!("{}-0@{id}", job.source);
            assert_eq!(read.header("driftgate.source"), Some(source.as_str()));
            assert_eq!(read.timestamp, Some(1_700_000_000_000 + id));
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

/// An output for each sink; the second one as long as the parcel's note says.
fn two(record: &Record<'_>, verdict: Verdict) -> Verdict {
    let Some(output) = emitted(verdict) else {
        panic!("every parcel passes")
    };
    let first = Output {
        value: Some(record.value.unwrap_or_default()[..6].to_vec()),
        ..output.clone()
    };
    let second = Output { sink: 1, ..output };
    Verdict::EmitAll(vec![first, second])
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
        let (job, second) = job(&bed, None);
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
        let running = Running::start(&job, &second, two);
        live::limit(&job.client, &second, 3_000);
        topics::produce(&job.client, &job.source, &writes);
        running.finish(&job, 40);
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
    let (job, second) = job(&bed, None);
    live::limit(&job.client, &second, 3_000);
    let note = "a".repeat(20_000);
    let writes: Vec<Write> = (0..5)
        .map(|id| Write::new("key", job.parcel(id, &note)))
        .collect();
    topics::produce(&job.client, &job.source, &writes);
    Running::start(&job, &second, two).finish(&job, 5);
    for topic in [&job.sink, &second] {
        let found = ids(&job.client, topic);
        assert_eq!(found, (0..5).map(|id| (id, 1)).collect());
    }
    assert_eq!(job.count(&job.dlq), 0);
}

/// A broker refuses a whole batch with outputs of many records: all are produced again, and each record counts once.
#[test]
fn a_refused_batch_of_outputs_is_produced_again_and_each_record_counts_once() {
    let embedded = live::Embedded::start();
    let (job, second) = job(&embedded.bed, Some(&embedded.broker));
    topics::produce(&job.client, &job.source, &small(&job, 0..50));
    let refused = [rdkafka::types::RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE];
    let produce = rdkafka::types::RDKafkaApiKey::Produce;
    embedded.broker.cluster().request_errors(produce, &refused);
    let running = Running::start(&job, &second, two);
    eventually(LIMIT, "all is committed", || {
        job.committed(&job.source) == 50
    });
    assert!(running.metric("driftgate_records_discarded_total", &[]) >= 1.0);
    running.finish(&job, 50);
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
    let (job, second) = job(&bed, None);
    live::delete(&job.client, &second);
    topics::produce(&job.client, &job.source, &small(&job, 0..5));
    let running = Running::start(&job, &second, two);
    let named = || {
        let reasons = running.health.readiness().reasons;
        reasons.iter().any(|reason| reason.contains(&second))
    };
    eventually(2 * LIMIT, "a pause that names it", named);
    // Each reading discards all five.
    let before = running.metric("driftgate_records_discarded_total", &[]);
    eventually(2 * LIMIT, "some more readings", || {
        running.metric("driftgate_records_discarded_total", &[]) >= before + 15.0
    });
    assert!(named());
    assert_eq!(job.committed(&job.source), 0, "nothing is passed over");
    let repeats = ids(&job.client, &job.sink);
    assert!(repeats.values().all(|copies| *copies <= 2), "{repeats:?}");
    topics::create(&job.client, &second, 4, &[]);
    running.finish(&job, 5);
    let seconds: Vec<i64> = ids(&job.client, &second).into_keys().collect();
    assert_eq!(seconds, [0, 1, 2, 3, 4]);
    let firsts = ids(&job.client, &job.sink);
    assert_eq!(firsts.len(), 5);
    assert_eq!(job.count(&job.dlq), 0);
}
