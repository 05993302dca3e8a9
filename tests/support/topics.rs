//! Topics from the outside: create, write, read back whole. Every function takes a client configuration, so that it works
//! on any broker, the mock one and the one behind SASL_SSL included.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

/// How long any call here may take before it is a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// A client configuration for a broker without security.
pub fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    // Brokers are stopped and started under us: do not wait ten seconds before looking again.
    config.set("reconnect.backoff.max.ms", "500");
    config
}

/// Creates a topic, with as many copies as the broker has by default, and waits until the broker tells of it. `settings`
/// are topic configurations.
pub fn create(config: &ClientConfig, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> = config.create().expect("a valid configuration");
    let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    for (key, value) in settings {
        new = new.set(key, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(LIMIT));
    let made = futures::executor::block_on(admin.create_topics([&new], &options))
        .expect("the broker answers");
    if let Err((_, code)) = &made[0] {
        panic!("topic {topic} was not created: {code}");
    }
    let probe: BaseConsumer = config.create().expect("a valid configuration");
    super::eventually(LIMIT, &format!("topic {topic} has its leaders"), || {
        partitions_of(&probe, topic) == partitions
    });
}

/// Deletes what lies before these offsets, one for each partition, as retention does.
pub fn delete_before(config: &ClientConfig, topic: &str, offsets: &[i64]) {
    let admin: AdminClient<DefaultClientContext> = config.create().expect("a valid configuration");
    let mut list = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(offsets) {
        list.add_partition_offset(topic, partition, Offset::Offset(*offset))
            .expect("an offset");
    }
    let done = futures::executor::block_on(admin.delete_records(&list, &AdminOptions::new()))
        .expect("the broker answers");
    for element in done.elements() {
        element.error().expect("the records are deleted");
    }
}

/// How many partitions a topic has; 0 if there is no such topic.
pub fn partitions(config: &ClientConfig, topic: &str) -> i32 {
    let probe: BaseConsumer = config.create().expect("a valid configuration");
    partitions_of(&probe, topic)
}

fn partitions_of(probe: &BaseConsumer, topic: &str) -> i32 {
    let Ok(metadata) = probe.fetch_metadata(Some(topic), Duration::from_secs(10)) else {
        return 0;
    };
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    found
        .filter(|topic| topic.error().is_none())
        .filter(|topic| {
            topic
                .partitions()
                .iter()
                .all(|partition| partition.leader() >= 0)
        })
        .map_or(0, |topic| {
            i32::try_from(topic.partitions().len()).expect("a partition count")
        })
}

/// A record to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Write {
    /// Where to; `None` lets the key decide, as Java clients do (murmur2).
    pub partition: Option<i32>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in order; a header may be null.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds since the epoch; `None` is now.
    pub timestamp: Option<i64>,
}

impl Write {
    /// A record with a key and a value.
    pub fn new(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Write {
        Write {
            key: Some(key.into()),
            value: Some(value.into()),
            ..Write::default()
        }
    }

    /// The same, to a given partition.
    #[must_use]
    pub fn to(mut self, partition: i32) -> Write {
        self.partition = Some(partition);
        self
    }

    /// The same, with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Write {
        self.headers.push((name.to_owned(), Some(value.into())));
        self
    }
}

/// Notes what became of the records: the tests want every one of them written.
struct Reports(std::sync::Mutex<Vec<KafkaError>>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();
    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = report {
            self.0
                .lock()
                .expect("nothing panics while it is held")
                .push(error.clone());
        }
    }
}

/// Writes the records in order and waits until the broker has acknowledged all of them; the first error otherwise.
pub fn try_produce(
    config: &ClientConfig,
    topic: &str,
    records: &[Write],
) -> Result<(), KafkaError> {
    try_produce_within(config, topic, records, LIMIT)
}

/// The same for a broker that may be away for long.
pub fn try_produce_within(
    config: &ClientConfig,
    topic: &str,
    records: &[Write],
    limit: Duration,
) -> Result<(), KafkaError> {
    let mut config = config.clone();
    config
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        .set("message.timeout.ms", limit.as_millis().to_string());
    let reports = Reports(std::sync::Mutex::default());
    let producer: ThreadedProducer<Reports> = config.create_with_context(reports)?;
    for write in records {
        let headers = write
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: value.as_ref(),
                })
            });
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic);
        record.partition = write.partition;
        record.key = write.key.as_deref();
        record.payload = write.value.as_deref();
        record.timestamp = write.timestamp;
        record.headers = (!write.headers.is_empty()).then_some(headers);
        send(&producer, record)?;
    }
    producer.flush(limit)?;
    match producer
        .context()
        .0
        .lock()
        .expect("nothing panics while it is held")
        .first()
    {
        Some(error) => Err(error.clone()),
        None => Ok(()),
    }
}

/// Hands one record over, waiting while the queue is full.
fn send<'a>(
    producer: &ThreadedProducer<Reports>,
    mut record: BaseRecord<'a, [u8], [u8]>,
) -> Result<(), KafkaError> {
    let until = Instant::now() + LIMIT;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back))
                if Instant::now() < until =>
            {
                record = back;
                producer.poll(Duration::from_millis(20));
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// [`try_produce`] where a failure is the test's.
#[track_caller]
pub fn produce(config: &ClientConfig, topic: &str, records: &[Write]) {
    if let Err(error) = try_produce(config, topic, records) {
        panic!("not every record was written to {topic}: {error}");
    }
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Read {
    /// The last header of that name, as text; `None` when it is missing, null or not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().rev().find(|(key, _)| key == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }

    /// How often a header of that name is there.
    pub fn count(&self, name: &str) -> usize {
        self.headers.iter().filter(|(key, _)| key == name).count()
    }

    fn of(message: &impl Message) -> Read {
        Read {
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: message.headers().map_or_else(Vec::new, |headers| {
                headers
                    .iter()
                    .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                    .collect()
            }),
        }
    }
}

/// Everything that a `read_committed` reader sees in a topic now, partition by partition, each in the order of its
/// offsets. An open transaction ends the partition there. A topic that does not exist is empty.
///
/// The end of a partition is what the broker reports as its end, not a count: under transactions the end offset counts
/// control markers, which no reader gets.
pub fn consume_all(config: &ClientConfig, topic: &str) -> Vec<Read> {
    let mut config = config.clone();
    config
        .set("group.id", super::unique("reader"))
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "50")
        .set("auto.offset.reset", "error");
    let consumer: BaseConsumer = config.create().expect("a valid configuration");
    let count = partitions_of(&consumer, topic);
    let mut assignment = TopicPartitionList::new();
    for partition in 0..count {
        assignment
            .add_partition_offset(topic, partition, Offset::Beginning)
            .expect("a valid offset");
    }
    consumer.assign(&assignment).expect("a valid assignment");
    let mut ended = vec![false; usize::try_from(count).expect("not negative")];
    let mut found = Vec::new();
    let mut until = Instant::now() + LIMIT;
    while ended.contains(&false) {
        assert!(
            Instant::now() < until,
            "{topic} could not be read to its end: {ended:?}"
        );
        match consumer.poll(Duration::from_millis(100)) {
            None => {}
            Some(Ok(message)) => {
                found.push(Read::of(&message));
                until = Instant::now() + LIMIT;
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended[usize::try_from(partition).expect("not negative")] = true;
            }
            // A broker that is just coming back; the deadline decides.
            Some(Err(error)) if is_passing(&error) => {}
            // librdkafka wants a group even where partitions are assigned by hand. We neither join nor commit.
            Some(Err(error))
                if error.rdkafka_error_code()
                    == Some(RDKafkaErrorCode::GroupAuthorizationFailed) => {}
            Some(Err(error)) => panic!("{topic} could not be read: {error}"),
        }
    }
    found.sort_by_key(|read| (read.partition, read.offset));
    found
}

fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
        )
    )
}

/// Waits until a topic shows at least `count` records, and returns all of them.
#[track_caller]
pub fn wait_for(config: &ClientConfig, topic: &str, count: usize, deadline: Duration) -> Vec<Read> {
    super::eventually(deadline, &format!("{count} records in {topic}"), || {
        let found = consume_all(config, topic);
        (found.len() >= count).then_some(found)
    })
}

/// The first and the end offset of each partition. The end counts control markers.
pub fn watermarks(config: &ClientConfig, topic: &str) -> Vec<(i64, i64)> {
    let consumer: BaseConsumer = config.create().expect("a valid configuration");
    (0..partitions_of(&consumer, topic))
        .map(|partition| {
            // A topic that has just been made, or a broker that has just come back, says for a moment that it does not
            // lead the partition.
            let mut last = None;
            let found = super::wait::within(LIMIT, || {
                let answer = consumer.fetch_watermarks(topic, partition, LIMIT);
                answer.map_err(|error| last = Some(error)).ok()
            });
            found.unwrap_or_else(|| panic!("no watermarks of {topic}[{partition}]: {last:?}"))
        })
        .collect()
}

/// Waits until no transaction is open any more in a topic: those of an instance that was killed end with their time limit, and
/// until then a reader sees nothing behind their first record.
#[track_caller]
pub fn wait_for_transactions(config: &ClientConfig, topic: &str) {
    let mut last = String::new();
    let done = super::wait::within(LIMIT, || {
        let [stable, all] = ["read_committed", "read_uncommitted"].map(|level| {
            let mut config = config.clone();
            watermarks(config.set("isolation.level", level), topic)
        });
        last = format!("stable {stable:?}, all {all:?}");
        stable == all
    });
    assert!(done.is_some(), "{topic} has an open transaction: {last}");
}

/// What a group has committed for each partition of a topic: the offset and the metadata; `None` where nothing.
pub fn committed(config: &ClientConfig, group: &str, topic: &str) -> Vec<Option<(i64, String)>> {
    let mut config = config.clone();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().expect("a valid configuration");
    let mut asked = TopicPartitionList::new();
    for partition in 0..partitions_of(&consumer, topic) {
        asked.add_partition(topic, partition);
    }
    // A new broker makes its topic of offsets when it is first asked, and says for a while that the coordinator is
    // nowhere or elsewhere; one that comes back is loading it.
    let mut last = None;
    let answer = super::wait::within(LIMIT, || {
        let answer = consumer.committed_offsets(asked.clone(), LIMIT);
        answer.map_err(|error| last = Some(error)).ok()
    });
    let answer =
        answer.unwrap_or_else(|| panic!("the coordinator of {group} does not answer: {last:?}"));
    answer
        .elements()
        .iter()
        .map(|element| match element.offset() {
            Offset::Offset(offset) => Some((offset, element.metadata().to_owned())),
            _ => None,
        })
        .collect()
}
