//! Logs that change under a group, on a real Kafka: topics are deleted and made again, retention is shorter than the lag, a
//! log is shorter than what was committed. Each is told, and nothing is skipped without a word.

mod support;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use support::job::{PARTITIONS, count, payment, register, wait_for_count};
use support::topics::{self, Write};
use support::{Bed, Job, Shape, live};

const EXACTLY_ONCE: &str = "delivery: exactly_once";

/// A job on the shared broker with the schema of its records.
fn job() -> Option<(ClientConfig, Job, u32)> {
    job_of("delivery: at_least_once")
}

fn job_of(delivery: &str) -> Option<(ClientConfig, Job, u32)> {
    let bed = Bed::real().into_iter().next()?;
    let client = bed.client();
    // A client does not miss a topic for half a minute by default, since brokers may tell of a new one late.
    let mut shape = Shape {
        delivery: delivery.to_owned(),
        ..Shape::quick()
    };
    let soon = ("topic.metadata.propagation.max.ms", "2000");
    shape.properties.push((soon.0.into(), soon.1.into()));
    let job = Job::new(&bed.bootstrap, &bed.registry_url, &shape);
    topics::create(&client, &job.source, PARTITIONS, &[]);
    let schema = register(&bed, &job.source);
    Some((client, job, schema))
}

fn payments(schema: u32, ids: std::ops::Range<i64>) -> Vec<Write> {
    let to = |id: i64| i32::try_from(id % i64::from(PARTITIONS)).expect("small");
    ids.map(|id| Write::new(format!("{id}"), payment(schema, id, "EUR")).to(to(id)))
        .collect()
}

/// The sink and the source are deleted while the job runs, and made again: it says so and goes on.
#[test]
fn a_topic_deleted_under_us_is_told_and_the_rest_goes_on() {
    a_topic_is_deleted("delivery: at_least_once");
}

/// The same where a transaction is under way.
#[test]
fn a_topic_deleted_under_a_transaction_is_told_and_the_rest_goes_on() {
    a_topic_is_deleted(EXACTLY_ONCE);
}

fn a_topic_is_deleted(delivery: &str) {
    let Some((client, job, schema)) = job_of(delivery) else {
        return;
    };
    let mut runner = job.start("gate");
    runner.wait_ready(200, &[]);
    topics::produce(&client, &job.source, &payments(schema, 0..400));
    job.wait_for_all(&client, 400);
    job.settled(&client, &job.source);

    // The sink: what is written now waits, and nothing becomes a dead letter for it.
    live::delete(&client, &job.sink);
    topics::produce(&client, &job.source, &payments(schema, 400..600));
    runner.wait_ready(503, &[&job.sink]);
    topics::create(&client, &job.sink, PARTITIONS, &[]);
    job.wait_for_all(&client, 200);
    job.settled(&client, &job.source);
    runner.wait_ready(200, &[]);
    assert_eq!(count(&client, &job.dlq()), 0, "an outage is no dead letter");

    // The source: it is gone, and what comes with its successor is read from the beginning.
    live::delete(&client, &job.source);
    runner.wait_ready(503, &["topic", &job.source, "does not exist"]);
    topics::create(&client, &job.source, PARTITIONS, &[]);
    let before = job.arrived(&client).1;
    topics::produce(&client, &job.source, &payments(schema, 600..700));
    job.wait_for_all(&client, 300);
    runner.wait_ready(200, &[]);
    // What is committed is of the new log.
    assert_eq!(job.settled(&client, &job.source)["emitted"], 100);
    runner.stop();
    assert_eq!(job.arrived(&client).1, before + 100, "and each once");
    if delivery == EXACTLY_ONCE {
        assert_eq!(before, 200, "each once");
    }
}

/// Records that retention deleted before they were read are counted and told, and the rest is read.
#[test]
fn records_that_expired_before_they_were_read_are_told() {
    let Some((client, job, schema)) = job() else {
        return;
    };
    let mut first = job.start("first");
    first.wait_ready(200, &[]);
    topics::produce(&client, &job.source, &payments(schema, 0..40));
    job.wait_for_all(&client, 40);
    job.settled(&client, &job.source);
    first.stop();
    // Ten more in each partition, of which the first seven are gone before anybody has read them.
    topics::produce(&client, &job.source, &payments(schema, 40..80));
    topics::delete_before(&client, &job.source, &[17; PARTITIONS as usize]);
    let mut second = job.start("second");
    wait_for_count(&client, &job.sink, 40 + 4 * 3);
    let expired: f64 = second
        .metrics()
        .iter()
        .filter(|sample| sample.name == "driftgate_records_expired_total")
        .map(|sample| sample.value)
        .sum();
    assert_eq!(expired as i64, 4 * 7);
    assert!(
        second
            .log()
            .contains("7 offsets were deleted before they were read"),
        "it is said"
    );
    second.wait_ready(200, &[]);
    second.stop();
}

/// A log that ends before what was committed: nobody can know what was in between, so it waits for a person.
#[test]
fn a_log_shorter_than_what_was_committed_waits_for_a_person() {
    let Some((client, job, schema)) = job() else {
        return;
    };
    topics::produce(&client, &job.source, &payments(schema, 0..40));
    commit(&client, &job, 1_000);
    let mut first = job.start("first");
    first.wait_ready(503, &["log_truncated", &job.source]);
    let page = first.page("/status").expect("an answer").1;
    assert!(
        page.contains("the next offset is 1000 and the log ends at 10"),
        "{page}"
    );
    first.stop();
    assert_eq!(count(&client, &job.sink), 0);
    commit(&client, &job, 5);
    let mut second = job.start("second");
    wait_for_count(&client, &job.sink, 4 * 5);
    second.wait_ready(200, &[]);
    second.stop();
}

/// Sets the group's offset in every partition, while it has no members.
#[expect(
    clippy::disallowed_methods,
    reason = "a person sets an offset with a tool"
)]
fn commit(client: &ClientConfig, job: &Job, offset: i64) {
    let mut config = client.clone();
    let consumer: BaseConsumer = config
        .set("group.id", &job.group)
        .create()
        .expect("a valid configuration");
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(&job.source, partition, Offset::Offset(offset))
            .expect("an offset");
    }
    support::eventually(support::job::LIMIT, "the offsets are set", || {
        consumer.commit(&list, CommitMode::Sync).is_ok()
    });
}
