//! librdkafka properties of our clients. In three layers: our defaults, the user's properties over them, and over
//! those what the guarantees rest on. `config` has refused the user's properties that the third layer would undo.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::model::{Kafka, Pipeline};
use crate::native::consumer::{OFFSET_BEGINNING, OFFSET_END};

/// Properties of one client.
pub type Properties = BTreeMap<String, String>;

/// Room for our headers on retries and dead letters, in bytes.
pub const HEADER_ROOM: u64 = 16 * 1024;
/// Kafka's default for `max.message.bytes` of a topic.
pub const BROKER_MESSAGE_BYTES: u64 = 1_048_588;

/// Names that only a consumer or only a producer has a use for; the other would log a warning about most of them.
const CONSUMER_ONLY: [&str; 9] = [
    "auto.offset.reset",
    "check.crcs",
    "fetch.",
    "heartbeat.",
    "max.partition.fetch.bytes",
    "max.poll.",
    "queued.",
    "session.",
    "coordinator.",
];
const PRODUCER_ONLY: [&str; 8] = [
    "batch.",
    "compression.",
    "linger.ms",
    // A consumer knows it, and is not made where it is above `fetch.max.bytes`.
    "message.max.bytes",
    "queue.buffering.",
    "request.timeout.ms",
    "retry.backoff.",
    "sticky.",
];

fn base(kafka: &Kafka, client_id: &str, skip: &[&str], defaults: &[(&str, String)]) -> Properties {
    let mut properties = Properties::new();
    for (name, value) in defaults {
        properties.insert((*name).to_owned(), value.clone());
    }
    for (name, value) in &kafka.properties {
        if !skip.iter().any(|prefix| name.starts_with(prefix)) {
            properties.insert(name.clone(), value.expose().to_owned());
        }
    }
    properties.insert("bootstrap.servers".into(), kafka.bootstrap_servers.clone());
    properties
        .entry("client.id".into())
        .or_insert_with(|| client_id.to_owned());
    properties
}

/// Properties for clients that look at topics and create them.
pub fn admin(kafka: &Kafka) -> Properties {
    let skip: Vec<&str> = CONSUMER_ONLY
        .iter()
        .chain(&PRODUCER_ONLY)
        .copied()
        .collect();
    base(kafka, "driftgate-admin", &skip, &[])
}

/// Where a partition begins that the group has no offset for, as one of librdkafka's logical offsets: what the user says
/// by `auto.offset.reset`, or else the beginning.
pub fn start(kafka: &Kafka) -> i64 {
    let said = kafka.properties.get("auto.offset.reset");
    match said.map(|value| value.expose()) {
        Some("latest" | "largest" | "end") => OFFSET_END,
        _ => OFFSET_BEGINNING,
    }
}

/// `max.poll.interval.ms`: how long a worker may be between two polls before the group gives its partitions away.
pub fn poll_interval(kafka: &Kafka) -> Duration {
    let said = kafka.properties.get("max.poll.interval.ms");
    let millis = said.and_then(|value| value.expose().parse().ok());
    // librdkafka's default.
    Duration::from_millis(millis.unwrap_or(300_000))
}

/// How long a record waits for others to be sent with.
const LINGER: Duration = Duration::from_millis(5);
/// The same at most, where nobody sees it before its transaction commits.
const LONGEST_LINGER: Duration = Duration::from_millis(50);

/// Whether it is librdkafka's name for how long a record waits for others, or its alias.
fn is_linger(name: &str) -> bool {
    matches!(name, "linger.ms" | "queue.buffering.max.ms")
}

/// How many times its bytes a fetch takes in memory, at most: lz4 makes a third of records of 200 bytes, and librdkafka keeps
/// 300 bytes around each of them.
const UNPACKED: u64 = 8;

/// How long a fetch waits at the broker for records, in milliseconds: at least, and at most.
const FETCH_WAIT: (usize, usize) = (100, 500);
/// For so many partitions it waits a millisecond.
const FETCH_WAIT_SHARE: usize = 8;

/// Properties of a worker's consumer. `memory` is what it may have fetched before it stops to fetch, in bytes; the last
/// fetch may bring as much again. `partitions` is the most that it may be assigned.
pub fn consumer(
    kafka: &Kafka,
    pipeline: &Pipeline,
    slot: usize,
    memory: u64,
    partitions: usize,
) -> Properties {
    let client_id = format!("driftgate-{}-{slot}", pipeline.name);
    let defaults = [
        // librdkafka has one fetch under way to a broker. One that names only partitions which have nothing new, such as a tier's that
        // was just resumed while the sources' queue is full, stays there for so long, and the queue runs dry behind it. Half a
        // second, the default, cost up to 40 % of the speed; less than a tenth costs an idle instance too much processor time.
        // Each fetch names every partition, so with thousands it takes too much as well.
        (
            "fetch.wait.max.ms",
            (partitions / FETCH_WAIT_SHARE)
                .clamp(FETCH_WAIT.0, FETCH_WAIT.1)
                .to_string(),
        ),
        // The default of 1 s leaves a fast consumer waiting once its queue has been full; and the longer the sources stand back,
        // the more often a fetch goes without them.
        ("fetch.queue.backoff.ms", "1".to_owned()),
        // Records that are kept at hand, of all partitions together: some 20 ms at full speed, which is longer than a fetch
        // takes. By default it is 100,000, and small records then take more memory around them than in them.
        ("queued.min.messages", "20000".to_owned()),
        (
            "queued.max.messages.kbytes",
            (memory / 1024).clamp(64, 2_097_151).to_string(),
        ),
        // Of bytes as they are sent: compressed ones, and small records, take several times as much in memory. With many
        // partitions one fetch brings as much as this. At most librdkafka's default; a record that is larger comes all the
        // same, alone.
        (
            "fetch.max.bytes",
            (memory / UNPACKED).clamp(1_000_000, 52_428_800).to_string(),
        ),
    ];
    let mut properties = base(kafka, &client_id, &PRODUCER_ONLY, &defaults);
    if let Some(instance) = &kafka.group_instance_id {
        properties.insert("group.instance.id".into(), member(instance, pipeline, slot));
    }
    for (name, value) in [
        ("group.id", pipeline.group.as_str()),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("enable.partition.eof", "false"),
        // An offset that the log does not have is ours to judge: to go on elsewhere could lose records without a word.
        ("auto.offset.reset", "error"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("isolation.level", "read_committed"),
        ("allow.auto.create.topics", "false"),
    ] {
        properties.insert(name.into(), value.into());
    }
    properties
}

/// Properties of consumers that stand beside the record path: they join no group and commit nothing. librdkafka wants a
/// group's name all the same, and brokers ask whether we may read it.
pub fn reader(kafka: &Kafka, pipeline: &Pipeline) -> Properties {
    let client_id = format!("driftgate-{}-lookup", pipeline.name);
    // What waits here is read by one thread that does little else.
    let defaults = [("queued.max.messages.kbytes", "8192".to_owned())];
    let mut properties = base(kafka, &client_id, &PRODUCER_ONLY, &defaults);
    for (name, value) in [
        ("group.id", pipeline.group.as_str()),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("isolation.level", "read_committed"),
        ("allow.auto.create.topics", "false"),
    ] {
        properties.insert(name.into(), value.into());
    }
    properties
}

/// What a worker is called under static membership: no other has that name, here or in another instance.
fn member(instance: &str, pipeline: &Pipeline, slot: usize) -> String {
    format!("{instance}-{}-{slot}", pipeline.name)
}

/// A worker's `transactional.id`, `<group>-<instance>-<slot>`, and whether nobody else can have it. Under static membership
/// it is the same after a restart, which then ends at once what a crash left open. Otherwise `random` is the instance: a part
/// that is new with each start.
pub fn transactional_id(
    kafka: &Kafka,
    pipeline: &Pipeline,
    slot: usize,
    random: &str,
) -> (String, bool) {
    let group = &pipeline.group;
    match &kafka.group_instance_id {
        Some(instance) => (
            format!("{group}-{}", member(instance, pipeline, slot)),
            false,
        ),
        None => (format!("{group}-{random}-{slot}"), true),
    }
}

/// Makes the properties of a producer those of a transactional one, whose transactions stay open for `interval`.
pub fn transactional(
    properties: &mut Properties,
    kafka: &Kafka,
    id: &str,
    interval: Duration,
    timeout: Duration,
) {
    if !kafka.properties.keys().any(|name| is_linger(name)) {
        // No reader sees a record before its transaction commits, and that sends what still waits. Until then, fewer and larger
        // requests are cheaper; half of the time, so that the commit does not wait for all of them.
        let linger = (interval / 2).clamp(LINGER, LONGEST_LINGER).as_millis();
        properties.insert("linger.ms".into(), linger.to_string());
    }
    let millis = timeout.as_millis();
    properties.insert("transactional.id".into(), id.to_owned());
    properties.insert("transaction.timeout.ms".into(), millis.to_string());
    // A record that has not been written by then is in no transaction any more. librdkafka takes no longer time here.
    properties.insert("message.timeout.ms".into(), millis.to_string());
    // Nor here: at least one request has to fit. And not much of the time between two polls, since that is how long offsets may take
    // to be added to a transaction, whatever time that is given.
    let longest = millis.saturating_sub(100);
    let longest = longest.min(poll_interval(kafka).as_millis() / 2).max(10);
    let socket = properties.get("socket.timeout.ms");
    // What is no number is librdkafka's to refuse.
    let socket = socket.map_or(Ok(SOCKET_TIMEOUT), |set| set.parse::<u128>());
    if socket.is_ok_and(|socket| socket > longest) {
        properties.insert("socket.timeout.ms".into(), longest.to_string());
    }
}

/// librdkafka's default of `socket.timeout.ms`.
const SOCKET_TIMEOUT: u128 = 60_000;

/// Properties of a worker's producer. `memory` is its share of `memory_limit`, `largest` the largest record that any
/// of its topics takes, `batch` the most that all of them take, all in bytes.
pub fn producer(
    kafka: &Kafka,
    pipeline: &Pipeline,
    slot: usize,
    memory: u64,
    largest: u64,
    batch: Option<u64>,
) -> Properties {
    let client_id = format!("driftgate-{}-{slot}", pipeline.name);
    let mut properties = plain_producer(kafka, &client_id, memory, largest);
    let set = properties
        .get("batch.size")
        .and_then(|size| size.parse::<u64>().ok());
    if let (Some(batch), Some(set)) = (batch, set)
        && batch < set
    {
        properties.insert("batch.size".into(), batch.max(1).to_string());
    }
    properties
}

/// Properties of a producer that belongs to no pipeline, with the same guarantees. It sends records up to `largest`, in bytes, or
/// up to the user's `message.max.bytes` where that is more: not every broker tells what its topics take.
pub fn plain_producer(kafka: &Kafka, client_id: &str, memory: u64, largest: u64) -> Properties {
    let defaults = [
        ("linger.ms", LINGER.as_millis().to_string()),
        ("batch.size", "1000000".to_owned()),
        ("compression.type", "lz4".to_owned()),
        (
            "queue.buffering.max.kbytes",
            (memory / 1024).clamp(1024, 2_097_151).to_string(),
        ),
    ];
    let mut properties = base(kafka, client_id, &CONSUMER_ONLY, &defaults);
    let said = properties.get("message.max.bytes");
    let said = said.and_then(|bytes| bytes.parse::<u64>().ok());
    let largest = largest.max(said.unwrap_or(0));
    for (name, value) in [
        ("enable.idempotence", "true".to_owned()),
        ("acks", "all".to_owned()),
        // No local expiry: a broker that is away is waited for, and back-pressure reaches the consumer.
        ("message.timeout.ms", "0".to_owned()),
        ("partitioner", "murmur2_random".to_owned()),
        (
            "message.max.bytes",
            largest.clamp(1_000_000, 1_000_000_000).to_string(),
        ),
    ] {
        properties.insert(name.into(), value);
    }
    properties
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, model::Secret};
    use crate::native::producer::Producer;

    fn kafka(properties: &[(&str, &str)]) -> Kafka {
        let properties = properties.iter();
        Kafka {
            bootstrap_servers: "127.0.0.1:1".to_owned(),
            properties: properties
                .map(|(name, value)| ((*name).to_owned(), Secret::new(*value)))
                .collect(),
            group_instance_id: None,
        }
    }

    fn pipeline() -> Pipeline {
        let text = "pipelines: { p: { owner: { team: t }, source: { topics: [a] }, contract: { subject: a }, \
                    sink: { topic: b, subject: b } } }";
        let root = std::path::Path::new(".");
        let loaded = config::load_text(text, "driftgate.yaml", root, &|_| None);
        loaded.expect("no fault").config.pipelines.remove(0)
    }

    #[test]
    fn a_transaction_s_records_wait_for_others_unless_the_user_says_otherwise() {
        let linger = |kafka: &Kafka, interval| {
            let mut properties = plain_producer(kafka, "c", 1 << 20, 0);
            let interval = Duration::from_millis(interval);
            transactional(&mut properties, kafka, "t", interval, 50 * interval);
            properties["linger.ms"].clone()
        };
        let plain = kafka(&[]);
        assert_eq!(plain_producer(&plain, "c", 1 << 20, 0)["linger.ms"], "5");
        for (interval, expected) in [(10, "5"), (100, "50"), (60, "30"), (5_000, "50")] {
            assert_eq!(linger(&plain, interval), expected, "{interval} ms");
        }
        assert_eq!(linger(&kafka(&[("linger.ms", "20")]), 100), "20");
    }

    /// Where brokers do not tell what their topics take, the user's word is all that there is. What they do tell is not undercut:
    /// a retry or a dead letter would not fit.
    #[test]
    fn the_largest_record_is_the_larger_of_what_topics_and_the_user_say() {
        let largest = |kafka: &Kafka, topics| {
            plain_producer(kafka, "c", 1 << 20, topics)["message.max.bytes"].clone()
        };
        for (set, topics, expected) in [
            (None, BROKER_MESSAGE_BYTES + HEADER_ROOM, "1064972"),
            (
                Some("60000000"),
                BROKER_MESSAGE_BYTES + HEADER_ROOM,
                "60000000",
            ),
            (Some("2000000"), 5_000_000, "5000000"),
            (Some("2000"), 3_000, "1000000"),
        ] {
            let set: Vec<_> = set
                .map(|set| ("message.max.bytes", set))
                .into_iter()
                .collect();
            assert_eq!(largest(&kafka(&set), topics), expected, "{set:?} {topics}");
        }
        let more = kafka(&[("message.max.bytes", "60000000")]);
        assert!(Producer::new(&plain_producer(&more, "c", 1 << 20, 0)).is_ok());
        // librdkafka makes no consumer with less than that for a fetch, of which it is ours to say how much it brings.
        assert_eq!(admin(&more).get("message.max.bytes"), None);
        let pipeline = &pipeline();
        for properties in [
            consumer(&more, pipeline, 0, 1 << 20, 16),
            reader(&more, pipeline),
        ] {
            assert!(!properties.contains_key("message.max.bytes"));
            let mut client = rdkafka::ClientConfig::new();
            client.extend(properties);
            let made: Result<rdkafka::consumer::BaseConsumer, _> = client.create();
            assert!(made.is_ok());
        }
    }

    #[test]
    fn who_has_thousands_of_partitions_fetches_less_often() {
        let pipeline = &pipeline();
        for (partitions, expected) in [(0, "100"), (16, "100"), (1_600, "200"), (9_000, "500")] {
            let made = consumer(&kafka(&[]), pipeline, 0, 1 << 20, partitions);
            assert_eq!(made["fetch.wait.max.ms"], expected, "{partitions}");
        }
        let said = kafka(&[("fetch.wait.max.ms", "50")]);
        let made = consumer(&said, pipeline, 0, 1 << 20, 9_000);
        assert_eq!(made["fetch.wait.max.ms"], "50");
    }

    #[test]
    fn librdkafka_takes_a_transactional_producer_with_any_legal_property() {
        for set in [
            &[][..],
            &[("socket.timeout.ms", "60000")],
            &[("socket.timeout.ms", "300000"), ("linger.ms", "50")],
        ] {
            let mut properties = Properties::new();
            for (name, value) in set {
                properties.insert((*name).into(), (*value).into());
            }
            properties.insert("bootstrap.servers".into(), "127.0.0.1:1".into());
            properties.insert("message.timeout.ms".into(), "0".into());
            for (seconds, poll, most) in [
                (5, "300000", 4_900),
                (15, "20000", 10_000),
                (120, "300000", 119_900),
                (120, "20000", 10_000),
                (120, "6000", 3_000),
            ] {
                let (interval, timeout) =
                    (Duration::from_millis(100), Duration::from_secs(seconds));
                let mut properties = properties.clone();
                let kafka = kafka(&[("max.poll.interval.ms", poll)]);
                transactional(&mut properties, &kafka, "t", interval, timeout);
                assert!(Producer::new(&properties).is_ok(), "{set:?} {seconds}");
                let socket = properties.get("socket.timeout.ms").map(|set| set.parse());
                let socket: u32 = socket.unwrap_or(Ok(60_000)).expect("a number");
                assert!(socket <= most, "{set:?} {seconds} {poll}: {socket}");
            }
        }
    }
}
