//! `kafka.properties`: which librdkafka properties a user may set. librdkafka itself is asked whether a property exists
//! and takes the value; those that a promise rests on are refused here, each with that promise.

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;

use super::scalar::closest;
use super::source::is_secret_name;
use super::units::Problem;

const COMMITS: &str = "offsets are committed only behind acknowledged outcomes; committed by the client, a crash would lose records";
const CARRIES: &str = "the engine sets it, and the loop over batches depends on it";
const REPEATS: &str = "a delivery failure must stop and rewind its partition; given up by the client, a record would be lost";
const ORDER: &str =
    "the producer is idempotent with acks=all, so that a retry neither doubles nor reorders";
const EMITS: &str =
    "retries and dead letters go to the source's partition, keyed output where Java clients put it";
const TOPICS: &str = "topics are created with a partition count and retention of their own, or not at all (`create_topics`)";

/// Property, promise, what to do instead.
const REFUSED: &[(&str, &str, Option<&str>)] = &[
    ("enable.auto.commit", COMMITS, None),
    ("enable.auto.offset.store", COMMITS, None),
    ("auto.commit.enable", COMMITS, None),
    ("auto.commit.interval.ms", COMMITS, None),
    ("offset.store.method", COMMITS, None),
    ("offset.store.path", COMMITS, None),
    ("offset.store.sync.interval.ms", COMMITS, None),
    (
        "partition.assignment.strategy",
        "retry partitions travel with their source partition under cooperative-sticky",
        None,
    ),
    (
        "group.id",
        "retry and dead-letter topics are named by it",
        Some("use `group` of the pipeline"),
    ),
    (
        "group.protocol",
        "the new protocol (KIP-848) has not been tested with the rebalance rules here",
        None,
    ),
    (
        "group.remote.assignor",
        "the new protocol (KIP-848) has not been tested with the rebalance rules here",
        None,
    ),
    ("group.protocol.type", CARRIES, None),
    (
        "group.instance.id",
        "every worker needs one of its own",
        Some("use `kafka.group_instance_id`"),
    ),
    (
        "isolation.level",
        "only committed records are read; those of an aborted transaction never happened",
        None,
    ),
    (
        "enable.partition.eof",
        "the position may advance on its events",
        None,
    ),
    ("enable.idempotence", ORDER, None),
    ("enable.gapless.guarantee", ORDER, None),
    ("acks", ORDER, None),
    ("request.required.acks", ORDER, None),
    ("message.timeout.ms", REPEATS, None),
    ("delivery.timeout.ms", REPEATS, None),
    ("retries", REPEATS, None),
    ("message.send.max.retries", REPEATS, None),
    (
        "transactional.id",
        "exactly_once names its transactions by group, instance and worker",
        None,
    ),
    (
        "transaction.timeout.ms",
        "exactly_once sets it; a long one holds back read_committed readers after a crash",
        None,
    ),
    ("partitioner", EMITS, None),
    (
        "bootstrap.servers",
        "two places for one thing would disagree",
        Some("use `kafka.bootstrap_servers`"),
    ),
    (
        "metadata.broker.list",
        "two places for one thing would disagree",
        Some("use `kafka.bootstrap_servers`"),
    ),
    ("queuing.strategy", ORDER, None),
    (
        "delivery.report.only.error",
        "an offset is committed behind the report of success",
        None,
    ),
    ("allow.auto.create.topics", TOPICS, None),
    (
        "enabled_events",
        "on an event handle the consumer never gets a partition",
        None,
    ),
    (
        "queued.max.messages.kbytes",
        "memory is bounded as a whole",
        Some("use `memory_limit`"),
    ),
    (
        "queue.buffering.max.kbytes",
        "memory is bounded as a whole",
        Some("use `memory_limit`"),
    ),
];

/// What librdkafka takes as `message.max.bytes`.
const MESSAGE_BYTES: std::ops::RangeInclusive<u64> = 1_000..=1_000_000_000;

/// Those that a user is likely to look for, for "did you mean".
const KNOWN: &[&str] = &[
    "auto.offset.reset",
    "batch.num.messages",
    "batch.size",
    "broker.address.family",
    "check.crcs",
    "client.id",
    "client.rack",
    "compression.codec",
    "compression.level",
    "compression.type",
    "connections.max.idle.ms",
    "debug",
    "enable.ssl.certificate.verification",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "heartbeat.interval.ms",
    "linger.ms",
    "log_level",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "message.max.bytes",
    "metadata.max.age.ms",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.kerberos.keytab",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.timeout.ms",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "statistics.interval.ms",
];

/// Whether librdkafka knows a property of that name; one that is refused counts.
pub(crate) fn exists(name: &str) -> bool {
    refusal(name).is_some()
        || !matches!(
            ask(name, ""),
            Err((RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _))
        )
}

/// Whether a property may be set to that value.
pub(crate) fn check(name: &str, value: &str) -> Result<(), Problem> {
    if let Some(problem) = refusal(name) {
        return Err(problem);
    }
    if matches!(
        name,
        "max.in.flight" | "max.in.flight.requests.per.connection"
    ) && !value
        .parse::<u32>()
        .is_ok_and(|count| (1..=5).contains(&count))
    {
        let message = format!("`{name}` is refused above 5: {ORDER}");
        return Err(Problem::new(message).hint("1 to 5"));
    }
    // librdkafka would take `4MB` for 4. We go by it as well, and so does the message about its range.
    if name == "message.max.bytes"
        && !value
            .parse::<u64>()
            .is_ok_and(|bytes| MESSAGE_BYTES.contains(&bytes))
    {
        let (least, most) = (MESSAGE_BYTES.start(), MESSAGE_BYTES.end());
        let message = format!("`{name}` is a number of bytes from {least} to {most}");
        return Err(Problem::new(message));
    }
    if name == "auto.offset.reset" && value == "error" {
        let message = format!(
            "`{name}: error` is refused: a partition that the group has no offset of has to begin somewhere"
        );
        return Err(Problem::new(message).hint("earliest, which is the default, or latest"));
    }
    if value.contains('\0') || name.contains('\0') {
        return Err(Problem::new("librdkafka takes no NUL in a property"));
    }
    match ask(name, value) {
        Ok(taken) => whole(name, value, &taken),
        Err((RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _)) => {
            let problem = Problem::new(format!("librdkafka has no property `{name}`"));
            let names = KNOWN
                .iter()
                .copied()
                .chain(REFUSED.iter().map(|(name, ..)| *name));
            Err(match closest(name, names) {
                Some(close) => problem.hint(format!("did you mean `{close}`?")),
                None => problem,
            })
        }
        Err((_, reason)) => {
            let problem = Problem::new(format!("librdkafka refuses this value of `{name}`"));
            // Its words may repeat the value.
            let tells = reason.contains(value) && is_secret_name(name);
            Err(if tells || reason.is_empty() {
                problem
            } else {
                problem.hint(reason)
            })
        }
    }
}

fn refusal(name: &str) -> Option<Problem> {
    if name.starts_with("go.") {
        let promise = "it belongs to another client";
        return Some(Problem::new(format!("`{name}` is refused: {promise}")));
    }
    let (_, promise, instead) = REFUSED.iter().find(|(refused, ..)| *refused == name)?;
    let problem = Problem::new(format!("`{name}` is refused: {promise}"));
    Some(match instead {
        Some(instead) => problem.hint(*instead),
        None => problem.hint("take this line out"),
    })
}

/// librdkafka takes a number and leaves what stands behind it: `60s` is 60 milliseconds. What is taken must be what was meant.
fn whole(name: &str, value: &str, taken: &str) -> Result<(), Problem> {
    let is_number = taken.parse::<i64>().is_ok();
    let begins_as_one = value.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    if !is_number || !begins_as_one || value.parse::<i64>().is_ok() {
        return Ok(());
    }
    let message = format!("`{name}` is a number without a unit, and `{value}` would be {taken}");
    Err(Problem::new(message))
}

/// The value as librdkafka takes it; empty where it does not tell.
fn ask(name: &str, value: &str) -> Result<String, (RDKafkaConfRes, String)> {
    if name.contains('\0') || value.contains('\0') {
        return Err((RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, String::new()));
    }
    match ClientConfig::new().set(name, value).create_native_config() {
        Ok(config) => Ok(config.get(name).unwrap_or_default()),
        Err(KafkaError::ClientConfig(code, reason, _, _)) => Err((code, reason)),
        Err(error) => Err((RDKafkaConfRes::RD_KAFKA_CONF_INVALID, error.to_string())),
    }
}

/// The refused properties with their promises, for the reference page.
pub(crate) fn refused() -> impl Iterator<Item = (&'static str, &'static str)> {
    REFUSED.iter().map(|(name, promise, _)| (*name, *promise))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_legal() {
        for (name, value) in [
            ("security.protocol", "SASL_SSL"),
            ("compression.type", "lz4"),
            ("linger.ms", "20"),
            ("max.in.flight", "5"),
            ("ssl.ca.location", "/no/such/file"),
            ("auto.offset.reset", "earliest"),
            ("max.poll.interval.ms", "60000"),
            ("client.id", "7-of-9"),
            ("statistics.interval.ms", "0"),
        ] {
            assert_eq!(check(name, value), Ok(()), "{name}");
        }
    }

    #[test]
    fn what_is_refused() {
        for name in REFUSED
            .iter()
            .map(|(name, ..)| *name)
            .chain(["go.events.channel.enable"])
        {
            let problem = check(name, "1").expect_err(name);
            assert!(
                problem.message.contains("is refused: "),
                "{name}: {}",
                problem.message
            );
            assert!(exists(name));
        }
        let problem = check("max.in.flight", "6").expect_err("above 5");
        assert!(problem.message.contains("above 5"));
        let problem = check("auto.offset.reset", "error").expect_err("nowhere to begin");
        assert!(problem.message.contains("has to begin somewhere"));
    }

    #[test]
    fn a_number_with_a_unit_is_refused() {
        for (name, value, taken) in [
            ("max.poll.interval.ms", "300000ms", "300000"),
            ("session.timeout.ms", "60s", "60"),
            ("batch.size", "0x400000", "4194304"),
            ("batch.size", "1MB", "1"),
        ] {
            let problem = check(name, value).expect_err(value);
            let told = format!("`{value}` would be {taken}");
            assert!(problem.message.ends_with(&told), "{}", problem.message);
        }
    }

    #[test]
    fn the_largest_record_is_a_number_that_librdkafka_takes() {
        for value in ["1000", "4000000", "1000000000"] {
            assert_eq!(check("message.max.bytes", value), Ok(()));
            assert!(ask("message.max.bytes", value).is_ok(), "{value}");
        }
        for value in ["4MB", "0x400000", "999", "1000000001", "-1", "many", ""] {
            let problem = check("message.max.bytes", value).expect_err(value);
            assert!(
                problem.message.contains("from 1000 to 1000000000"),
                "{}",
                problem.message
            );
        }
        for value in ["999", "1000000001"] {
            assert!(ask("message.max.bytes", value).is_err(), "{value}");
        }
    }

    #[test]
    fn every_name_here_is_one_of_librdkafkas() {
        for name in KNOWN {
            assert!(
                !matches!(
                    ask(name, ""),
                    Err((RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _))
                ),
                "{name}"
            );
        }
    }

    #[test]
    fn unknown_names_and_values() {
        let problem = check("security.protocal", "SSL").expect_err("misspelt");
        assert_eq!(
            problem.hint.as_deref(),
            Some("did you mean `security.protocol`?")
        );
        assert!(!exists("security.protocal"));
        let problem = check("security.protocol", "TLS").expect_err("no such protocol");
        assert!(
            problem.message.contains("refuses this value"),
            "{}",
            problem.message
        );
        assert!(check("a\0b", "x").is_err());
    }
}
