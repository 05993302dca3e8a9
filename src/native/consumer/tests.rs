//! Against librdkafka's mock cluster.

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);
const TOPIC: &str = "orders";
const RECORDS: usize = 1000;

/// Takes whatever it is given, from the beginning.
#[derive(Default)]
struct Taker {
    given: usize,
    revoked: usize,
}

impl Rebalance for Taker {
    fn assign(&mut self, _client: &Client<'_>, partitions: &[Entry]) -> Vec<Entry> {
        self.given += partitions.len();
        let from_beginning = |entry: &Entry| Entry {
            offset: OFFSET_BEGINNING,
            ..entry.clone()
        };
        partitions.iter().map(from_beginning).collect()
    }

    fn revoke(&mut self, _client: &Client<'_>, partitions: &[Entry], _lost: bool) -> Vec<Entry> {
        self.revoked += partitions.len();
        partitions.to_vec()
    }
}

fn filled() -> MockCluster<'static, rdkafka::producer::DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic(TOPIC, 1, 1).expect("a topic");
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .create()
        .expect("a producer");
    for _ in 0..RECORDS {
        let record = BaseRecord::<(), _>::to(TOPIC).payload("x");
        producer.send(record).expect("queued");
    }
    producer.flush(LIMIT).expect("written");
    cluster
}

fn consumer(
    cluster: &MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
    batch: usize,
) -> Consumer {
    let servers = cluster.bootstrap_servers();
    let properties = [
        ("bootstrap.servers", servers.as_str()),
        ("group.id", "test"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
    ];
    let properties = properties
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Consumer::subscribe(&properties, &[TOPIC.to_owned()], batch).expect("a consumer")
}

/// Closes a consumer that has polled one batch and has most of the topic still in its queue.
fn close_with_unread_records(batch: usize) {
    let cluster = filled();
    let mut consumer = consumer(&cluster, batch);
    let mut taker = Taker::default();
    let until = Instant::now() + LIMIT;
    while consumer
        .poll(Duration::from_millis(100), &mut taker)
        .is_empty()
    {
        assert!(Instant::now() < until, "no record");
    }
    assert_eq!((taker.given, taker.revoked), (1, 0));
    let begun = Instant::now();
    consumer.close(&mut taker, LIMIT);
    assert_eq!((taker.given, taker.revoked), (1, 1));
    assert!(begun.elapsed() < LIMIT, "it was not closed");
}

#[test]
fn a_consumer_closes_with_records_that_nobody_polled() {
    for batch in [1, RECORDS / 2] {
        close_with_unread_records(batch);
    }
}

/// How many records come in the call that assigns their partition.
fn come_with_their_partition() -> usize {
    let cluster = filled();
    let mut consumer = consumer(&cluster, RECORDS);
    let mut taker = Taker::default();
    let until = Instant::now() + LIMIT;
    let mut with_it = 0;
    while taker.given == 0 {
        // Long enough for a fetch, should it not return at once.
        with_it = consumer.poll(LIMIT, &mut taker).len();
        assert!(Instant::now() < until, "no assignment");
    }
    let mut behind = || consumer.poll(LIMIT, &mut taker).len();
    assert!(with_it > 0 || behind() > 0);
    with_it
}

/// A record that came in the call that assigned its partition would be dropped and sought, and the seek waits for a fetch. It
/// comes all the same if it was fetched before that call went on, which a busy machine may take its time for.
#[test]
fn the_call_that_assigns_returns_no_record() {
    assert!((0..10).any(|_| come_with_their_partition() == 0));
}
