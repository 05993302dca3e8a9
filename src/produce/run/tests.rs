//! Against librdkafka's mock cluster and the embedded registry.

use std::path::Path;
use std::time::Instant;

use rdkafka::ClientConfig;
use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::embedded::registry::EmbeddedRegistry;

const SCHEMA: &str = r#"{"type":"record","name":"shop.Order","fields":[
    {"name":"id","type":["null","string"]},
    {"name":"amount","type":"int"}]}"#;

struct Bed {
    cluster: MockCluster<'static, DefaultProducerContext>,
    registry: EmbeddedRegistry,
    runtime: Runtime,
    folder: TempDir,
}

#[derive(Default)]
struct Seen(Vec<String>);

impl Watch for Seen {
    fn bad(&mut self, row: &BadRow) {
        self.0.push(row.to_string());
    }
    fn progress(&mut self, _counts: Counts) {}
    fn interrupted(&self) -> bool {
        false
    }
    fn abandoned(&self) -> bool {
        false
    }
}

impl Bed {
    fn new() -> Bed {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("order.avsc"), SCHEMA).expect("written");
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("orders", 2, 1).expect("a topic");
        Bed {
            cluster,
            registry: EmbeddedRegistry::start().expect("a registry"),
            runtime: Runtime::new().expect("a runtime"),
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn job(&self) -> Job {
        Job {
            schema: Source::File {
                path: self.path("order.avsc"),
                subject: "orders-value".to_owned(),
            },
            register: true,
            topic: "orders".to_owned(),
            create_topic: None,
            // The mock cluster does not answer.
            largest: Some(BROKER_MESSAGE_BYTES),
            kafka: Kafka {
                bootstrap_servers: self.cluster.bootstrap_servers(),
                properties: Default::default(),
                group_instance_id: None,
            },
            registry: self.registry.config(),
            format: Format::Csv {
                delimiter: b',',
                nulls: Vec::new(),
            },
            key: Some("id".to_owned()),
            timestamp: None,
            rate: None,
            limit: None,
            rejects: None,
            dry_run: false,
        }
    }

    fn run(&self, job: &Job, text: &str) -> (Result<Report, Failure>, Vec<String>) {
        let input = Input::of("t.csv", std::io::Cursor::new(text.as_bytes().to_vec()));
        let mut seen = Seen::default();
        let result = run(job, input, self.runtime.handle(), &mut seen);
        (result, seen.0)
    }

    /// Keys and values of all records, in the order of keys.
    fn records(&self) -> Vec<(Option<Vec<u8>>, Vec<u8>)> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("group.id", "test")
            .create()
            .expect("a consumer");
        let mut list = TopicPartitionList::new();
        let mut count = 0;
        for partition in 0..2 {
            let added = list.add_partition_offset("orders", partition, Offset::Beginning);
            added.expect("a partition");
            let ends = consumer.fetch_watermarks("orders", partition, Duration::from_secs(10));
            let (low, high) = ends.expect("the cluster answers");
            count += usize::try_from(high - low).expect("no negative count");
        }
        consumer.assign(&list).expect("assigned");
        let until = Instant::now() + Duration::from_secs(20);
        let mut found = Vec::new();
        while found.len() < count && Instant::now() < until {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                let key = message.key().map(<[u8]>::to_vec);
                found.push((key, message.payload().expect("a value").to_vec()));
            }
        }
        assert_eq!(found.len(), count, "all records are read in time");
        found.sort();
        found
    }
}

fn counts(read: u64, produced: u64, rejected: u64) -> Counts {
    Counts {
        read,
        produced,
        rejected,
        ..Counts::default()
    }
}

#[test]
fn rows_become_framed_records_and_the_schema_is_registered_once() {
    let bed = Bed::new();
    let (report, bad) = bed.run(&bed.job(), "id,amount\na,1\nb,-2\n,3\n");
    let report = report.expect("a run");
    assert_eq!(
        (report.counts, report.stopped, bad.len()),
        (counts(3, 3, 0), None, 0)
    );
    let place = report.registered.expect("registered");
    let framed = |rest: &[u8]| {
        let mut value = vec![0];
        value.extend_from_slice(&place.id.to_be_bytes());
        value.extend_from_slice(rest);
        value
    };
    assert_eq!(
        bed.records(),
        [
            (None, framed(&[0, 6])),
            (Some(b"a".to_vec()), framed(&[2, 2, b'a', 2])),
            (Some(b"b".to_vec()), framed(&[2, 2, b'b', 3])),
        ]
    );
    // Again, and from the subject: the same id, no second version.
    let mut job = bed.job();
    job.register = false;
    let again = bed.run(&job, "id,amount\n").0.expect("a run");
    assert_eq!(again.registered, Some(place));
    job.schema = Source::Subject {
        subject: "orders-value".to_owned(),
        version: None,
    };
    let again = bed.run(&job, "id,amount\nc,4\n").0.expect("a run");
    assert_eq!(
        (again.registered, again.counts),
        (Some(place), counts(1, 1, 0))
    );
}

#[test]
fn the_first_bad_row_ends_it_and_nothing_is_sent_behind_it() {
    let bed = Bed::new();
    let (report, bad) = bed.run(&bed.job(), "id,amount\na,1\nb,x\nc,3\n");
    let report = report.expect("a run");
    assert_eq!(
        (report.counts, report.stopped),
        (counts(2, 1, 1), Some(Stop::BadRow))
    );
    assert_eq!(
        bad,
        ["3: amount: expected a whole number within the range of int"]
    );
    let (report, _) = bed.run(&bed.job(), "id,amount\nd,4\n");
    assert_eq!(report.expect("a run").counts, counts(1, 1, 0));
    let keys: Vec<_> = bed.records().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [Some(b"a".to_vec()), Some(b"d".to_vec())]);
}

#[test]
fn bad_rows_are_put_aside_and_can_be_corrected() {
    let bed = Bed::new();
    let mut job = bed.job();
    job.rejects = Some(bed.path("bad.csv"));
    let (report, bad) = bed.run(&job, "id,amount\na,1\nb,x\nc,3\n\"d,\"\n");
    let report = report.expect("a run");
    assert_eq!((report.counts, report.stopped), (counts(4, 2, 2), None));
    assert_eq!(bad.len(), 2);
    let written = std::fs::read_to_string(bed.path("bad.csv")).expect("the rejects");
    assert_eq!(
        written,
        "driftgate_line,driftgate_path,driftgate_reason,id,amount\n\
         3,amount,expected a whole number within the range of int,b,x\n\
         5,,\"expected 2 cells as in the header, found 1\",\"d,\"\n"
    );
    // It is not written over: it may hold corrections by now.
    let (refused, _) = bed.run(&job, "id,amount\n");
    assert!(matches!(refused, Err(Failure::Asked(_))), "{refused:?}");
    job.rejects = Some(bed.path("again.csv"));
    let corrected = written.replace(",b,x", ",b,2").replace("\"d,\"", "d,4");
    let (report, _) = bed.run(&job, &corrected);
    assert_eq!(report.expect("a run").counts, counts(2, 2, 0));
    assert!(!bed.path("again.csv").exists(), "no bad rows, no file");
}

#[test]
fn a_dry_run_sees_every_bad_row_and_changes_nothing() {
    let bed = Bed::new();
    let mut job = bed.job();
    job.dry_run = true;
    job.topic = "nowhere".to_owned();
    let (report, bad) = bed.run(&job, "id,amount\na,1\nb,x\nc,y\n");
    let report = report.expect("a run");
    let valid = Counts {
        valid: 1,
        ..counts(3, 0, 2)
    };
    assert_eq!(
        (report.counts, report.stopped, report.registered),
        (valid, None, None)
    );
    assert_eq!(bad.len(), 2);
    assert_eq!(bed.registry.requests("/"), 0);
}

#[test]
fn what_is_missing_is_told_before_the_first_record() {
    let bed = Bed::new();
    let refused = |change: &dyn Fn(&mut Job), part: &str| {
        let mut job = bed.job();
        change(&mut job);
        match bed.run(&job, "id,amount\na,1\n").0 {
            Err(Failure::Asked(lines)) => assert!(lines.join("\n").contains(part), "{lines:?}"),
            other => panic!("{other:?}"),
        }
    };
    refused(
        &|job| job.register = false,
        "is not registered under orders-value",
    );
    refused(&|job| job.topic = "nowhere".to_owned(), "--create-topic");
    refused(&|job| job.key = Some("di".to_owned()), "--key di");
    refused(
        &|job| job.timestamp = Some("amount".to_owned()),
        "this is int",
    );
    let missing = |job: &mut Job| {
        job.schema = Source::Subject {
            subject: "none".to_owned(),
            version: Some(7),
        };
    };
    refused(&missing, "none");
    let mut job = bed.job();
    bed.registry.stop();
    let away = bed.run(&job, "id,amount\na,1\n").0;
    assert!(matches!(away, Err(Failure::Unreachable(_))), "{away:?}");
    job.schema = Source::File {
        path: Path::new("/nowhere.avsc").to_owned(),
        subject: "s".to_owned(),
    };
    let missing = bed.run(&job, "id,amount\n").0;
    assert!(matches!(missing, Err(Failure::Asked(_))), "{missing:?}");
}

#[test]
fn limits_rates_and_sizes_hold() {
    let bed = Bed::new();
    let mut job = bed.job();
    job.limit = Some(3);
    job.rate = Some(Rate::parse("10/s").expect("a rate"));
    let begin = Instant::now();
    let (report, _) = bed.run(&job, "id,amount\na,1\nb,2\nc,3\nd,4\n");
    assert_eq!(report.expect("a run").counts, counts(3, 3, 0));
    assert!(
        begin.elapsed() >= Duration::from_millis(190),
        "the third waits 200 ms"
    );
    let large = format!("id,amount\n{},1\nb,2\n", "x".repeat(2_000_000));
    job.limit = None;
    job.rejects = Some(bed.path("large.csv"));
    let (report, bad) = bed.run(&job, &large);
    assert_eq!(report.expect("a run").counts, counts(2, 1, 1));
    assert!(bad[0].contains("max.message.bytes"), "{bad:?}");
}
