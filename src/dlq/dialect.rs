//! What the headers of a dead letter say, in our words: ours, and those of other tools, by a table of their names and
//! encodings. Input: a record. Output: a [`Letter`]. What is missing or not readable is left out, never guessed.

use serde::Serialize;

use crate::contract::wire;
use crate::headers;
use crate::record::Record;

/// Who wrote a dead letter's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Driftgate.
    Driftgate,
    /// Kafka Connect.
    Connect,
    /// Kafka Streams (KIP-1034).
    Streams,
    /// Kafka share groups (KIP-1191).
    ShareGroup,
    /// Spring, on a dead-letter topic.
    SpringDlt,
    /// Spring, on a retry topic.
    SpringRetry,
    /// A data-contract rule of Confluent's clients.
    ConfluentRule,
}

impl Dialect {
    /// In the order in which they are looked for. Ours come first: dead letters of ours may speak others besides.
    pub const ALL: [Dialect; 7] = [
        Dialect::Driftgate,
        Dialect::Connect,
        Dialect::Streams,
        Dialect::ShareGroup,
        Dialect::SpringDlt,
        Dialect::SpringRetry,
        Dialect::ConfluentRule,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Dialect::Driftgate => "driftgate",
            Dialect::Connect => "connect",
            Dialect::Streams => "streams",
            Dialect::ShareGroup => "share_group",
            Dialect::SpringDlt => "spring_dlt",
            Dialect::SpringRetry => "spring_retry",
            Dialect::ConfluentRule => "confluent_rule",
        }
    }
}

/// How a header's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// UTF-8.
    Text,
    /// Four bytes, big endian.
    Int32,
    /// Eight bytes, big endian.
    Int64,
    /// Four bytes, big endian; older versions wrote one byte.
    Int32OrByte,
    /// Java's `BigInteger`: two's complement, big endian, as many bytes as it takes.
    BigInteger,
}

/// What a header is to a [`Letter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Group,
    /// Who failed it: pipeline or connector.
    Pipeline,
    Reason,
    /// Better than [`Part::Reason`]: the cause inside of a wrapper.
    Cause,
    Error,
    Path,
    Owner,
    Contract,
    SchemaId,
    Attempt,
    FirstFailedAt,
    FailedAt,
    DueAt,
    Redriven,
    /// Shown, and no part of a letter.
    Other,
}

type Row = (Dialect, &'static str, Encoding, Part);

/// Every header that is understood.
const TABLE: &[Row] = {
    use Dialect::{
        ConfluentRule as R, Connect as C, Driftgate as D, ShareGroup as G, SpringDlt as S,
        SpringRetry as T, Streams as K,
    };
    use Encoding::{BigInteger, Int32, Int32OrByte, Int64, Text};
    use Part::{
        Attempt, Cause, Contract, DueAt, Error, FailedAt, FirstFailedAt, Group, Offset, Other,
        Owner, Partition, Path, Pipeline, Reason, Redriven, SchemaId, Timestamp, Topic,
    };
    &[
        (D, headers::REASON, Text, Reason),
        (D, headers::ERROR, Text, Error),
        (D, headers::PATH, Text, Path),
        (D, headers::SOURCE_TOPIC, Text, Topic),
        (D, headers::SOURCE_PARTITION, Text, Partition),
        (D, headers::SOURCE_OFFSET, Text, Offset),
        (D, headers::SOURCE_TIMESTAMP, Text, Timestamp),
        (D, headers::PIPELINE, Text, Pipeline),
        (D, headers::GROUP, Text, Group),
        (D, headers::OWNER, Text, Owner),
        (D, headers::SCHEMA_ID, Text, SchemaId),
        (D, headers::CONTRACT, Text, Contract),
        (D, headers::ATTEMPT, Text, Attempt),
        (D, headers::FIRST_FAILED_AT, Text, FirstFailedAt),
        (D, headers::FAILED_AT, Text, FailedAt),
        (D, headers::DUE_AT, Text, DueAt),
        (D, headers::REDRIVEN, Text, Redriven),
        (C, "__connect.errors.topic", Text, Topic),
        (C, "__connect.errors.partition", Text, Partition),
        (C, "__connect.errors.offset", Text, Offset),
        (C, "__connect.errors.connector.name", Text, Pipeline),
        (C, "__connect.errors.task.id", Text, Other),
        (C, "__connect.errors.stage", Text, Other),
        (C, "__connect.errors.class.name", Text, Other),
        (C, "__connect.errors.exception.class.name", Text, Reason),
        (C, "__connect.errors.exception.message", Text, Error),
        (C, "__connect.errors.exception.stacktrace", Text, Other),
        (K, "__streams.errors.exception", Text, Reason),
        (K, "__streams.errors.message", Text, Error),
        (K, "__streams.errors.stacktrace", Text, Other),
        (K, "__streams.errors.topic", Text, Topic),
        (K, "__streams.errors.partition", Text, Partition),
        (K, "__streams.errors.offset", Text, Offset),
        (G, "__dlq.errors.topic", Text, Topic),
        (G, "__dlq.errors.partition", Text, Partition),
        (G, "__dlq.errors.offset", Text, Offset),
        (G, "__dlq.errors.group", Text, Group),
        (G, "__dlq.errors.delivery.count", Text, Attempt),
        (G, "__dlq.errors.message", Text, Error),
        (S, "kafka_dlt-original-topic", Text, Topic),
        (S, "kafka_dlt-original-partition", Int32, Partition),
        (S, "kafka_dlt-original-offset", Int64, Offset),
        (S, "kafka_dlt-original-timestamp", Int64, Timestamp),
        (S, "kafka_dlt-original-timestamp-type", Text, Other),
        (S, "kafka_dlt-original-consumer-group", Text, Group),
        (S, "kafka_dlt-exception-fqcn", Text, Reason),
        (S, "kafka_dlt-exception-cause-fqcn", Text, Cause),
        (S, "kafka_dlt-exception-message", Text, Error),
        (S, "kafka_dlt-exception-stacktrace", Text, Other),
        (T, "kafka_original-topic", Text, Topic),
        (T, "kafka_original-partition", Int32, Partition),
        (T, "kafka_original-offset", Int64, Offset),
        (T, "kafka_original-timestamp", Int64, Timestamp),
        (T, "kafka_original-timestamp-type", Text, Other),
        (T, "kafka_original-consumer-group", Text, Group),
        (T, "kafka_exception-fqcn", Text, Reason),
        (T, "kafka_exception-cause-fqcn", Text, Cause),
        (T, "kafka_exception-message", Text, Error),
        (T, "kafka_exception-stacktrace", Text, Other),
        (T, "retry_topic-attempts", Int32OrByte, Attempt),
        (T, "retry_topic-backoff-timestamp", BigInteger, DueAt),
        (T, "retry_topic-original-timestamp", BigInteger, Timestamp),
        (R, "__rule.name", Text, Reason),
        (R, "__rule.mode", Text, Other),
        (R, "__rule.subject", Text, Contract),
        (R, "__rule.topic", Text, Topic),
        (R, "__rule.exception", Text, Error),
    ]
};

/// What the headers of a dead letter say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Who wrote them; none when no header is understood.
    pub dialect: Option<Dialect>,
    /// Our enumerated reason, the class of an exception, or the name of a rule.
    pub reason: Option<String>,
    /// In words. Other tools may quote payloads there.
    #[serde(skip)]
    pub error: Option<String>,
    /// Field path.
    pub path: Option<String>,
    /// Topic that the record came from first.
    pub topic: Option<String>,
    /// Its partition there.
    pub partition: Option<i32>,
    /// Its offset there.
    pub offset: Option<i64>,
    /// Its timestamp there, milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// The pipeline or connector that failed it.
    pub pipeline: Option<String>,
    /// The consumer group that failed it.
    pub group: Option<String>,
    /// Owner.
    pub owner: Option<String>,
    /// The contract.
    pub contract: Option<String>,
    /// Writer schema id: as the headers say it, or as the value's frame does.
    pub schema_id: Option<u32>,
    /// Failures so far.
    pub attempt: Option<u32>,
    /// When it failed first, milliseconds since the epoch.
    pub first_failed_at: Option<i64>,
    /// When it failed last, milliseconds since the epoch.
    pub failed_at: Option<i64>,
    /// How often it was sent back.
    pub redriven: u32,
}

impl Letter {
    /// When it failed, as well as that is known: other tools do not say it, and the record's own time stands in.
    pub fn moment(&self, record: &Record<'_>) -> Option<i64> {
        self.failed_at.or(record.timestamp)
    }

    /// `topic-partition@offset` of the record at its source.
    pub fn position(&self) -> Option<String> {
        let (topic, partition, offset) = (self.topic.as_ref()?, self.partition?, self.offset?);
        Some(format!("{topic}-{partition}@{offset}"))
    }
}

/// Reads the headers of a dead letter.
pub fn read(record: &Record<'_>) -> Letter {
    let dialect = Dialect::ALL
        .into_iter()
        .find(|dialect| is_spoken(*dialect, record));
    let rows = TABLE.iter().filter(|(of, ..)| Some(*of) == dialect);
    let mut letter = Letter {
        dialect,
        ..Letter::default()
    };
    let mut cause = None;
    for (_, name, encoding, part) in rows {
        let decoded = record
            .header(name)
            .and_then(|value| decode(*encoding, value));
        let Some(decoded) = decoded.filter(|decoded| !decoded.is_empty()) else {
            continue;
        };
        let text = || Some(decoded.to_string());
        match part {
            Part::Topic => letter.topic = text(),
            Part::Partition => letter.partition = decoded.number(),
            Part::Offset => letter.offset = decoded.number(),
            Part::Timestamp => letter.timestamp = letter.timestamp.or(decoded.number()),
            Part::Group => letter.group = text(),
            Part::Pipeline => letter.pipeline = text(),
            Part::Reason => letter.reason = text(),
            Part::Cause => cause = text(),
            Part::Error => letter.error = text(),
            Part::Path => letter.path = text(),
            Part::Owner => letter.owner = text(),
            Part::Contract => letter.contract = text(),
            Part::SchemaId => letter.schema_id = decoded.number(),
            Part::Attempt => letter.attempt = decoded.number(),
            Part::FirstFailedAt => letter.first_failed_at = decoded.number(),
            Part::FailedAt => letter.failed_at = decoded.number(),
            Part::Redriven => letter.redriven = decoded.number().unwrap_or(0),
            Part::DueAt | Part::Other => {}
        }
    }
    letter.reason = cause.or(letter.reason);
    letter.schema_id = letter.schema_id.or_else(|| {
        let value = record.value?;
        wire::read(value, &record.headers).ok().map(|(id, _)| id)
    });
    letter
}

/// Whether a header is of this dialect.
pub fn is_of(dialect: Dialect, name: &str) -> bool {
    TABLE
        .iter()
        .any(|(of, known, ..)| *of == dialect && *known == name)
}

/// A header's value in words; `None` where it is no header of the table, or not written as it ought to be.
pub fn decoded(name: &str, value: &[u8]) -> Option<String> {
    let (_, _, encoding, _) = TABLE.iter().find(|(_, known, ..)| *known == name)?;
    decode(*encoding, value).map(|decoded| decoded.to_string())
}

/// Whether another tool may quote payloads in this header.
pub fn may_quote(name: &str) -> bool {
    let foreign = |(of, known, _, part): &Row| {
        *of != Dialect::Driftgate
            && *known == name
            && (*part == Part::Error || known.ends_with("stacktrace"))
    };
    TABLE.iter().any(foreign)
}

/// A dialect is spoken where the header stands that its tool never leaves out. Ours is the reason, since a retry that
/// was sent back by hand may carry some of the others.
fn is_spoken(dialect: Dialect, record: &Record<'_>) -> bool {
    let has = |name: &str| record.header(name).is_some();
    match dialect {
        Dialect::Driftgate => has(headers::REASON),
        Dialect::Connect => has("__connect.errors.topic") || has("__connect.errors.stage"),
        Dialect::Streams => has("__streams.errors.exception") || has("__streams.errors.topic"),
        Dialect::ShareGroup => has("__dlq.errors.topic"),
        Dialect::SpringDlt => has("kafka_dlt-original-topic"),
        Dialect::SpringRetry => has("kafka_original-topic") || has("retry_topic-attempts"),
        Dialect::ConfluentRule => has("__rule.name"),
    }
}

enum Decoded {
    Text(String),
    Number(i64),
}

impl Decoded {
    fn number<T: TryFrom<i64>>(&self) -> Option<T> {
        let number = match self {
            Decoded::Text(text) => text.trim().parse().ok()?,
            Decoded::Number(number) => *number,
        };
        T::try_from(number).ok()
    }

    fn is_empty(&self) -> bool {
        matches!(self, Decoded::Text(text) if text.is_empty())
    }
}

impl std::fmt::Display for Decoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Decoded::Text(text) => f.write_str(text),
            Decoded::Number(number) => write!(f, "{number}"),
        }
    }
}

fn decode(encoding: Encoding, value: &[u8]) -> Option<Decoded> {
    let int32 = || Some(i64::from(i32::from_be_bytes(value.try_into().ok()?)));
    let number = match encoding {
        Encoding::Text => {
            let text = std::str::from_utf8(value).ok()?;
            return Some(Decoded::Text(text.to_owned()));
        }
        Encoding::Int32 => int32(),
        Encoding::Int64 => Some(i64::from_be_bytes(value.try_into().ok()?)),
        Encoding::Int32OrByte => match value {
            [byte] => Some(i64::from(byte.cast_signed())),
            _ => int32(),
        },
        Encoding::BigInteger => match value {
            [first, ..] if value.len() <= 8 => {
                let sign = if first.cast_signed() < 0 { -1 } else { 0 };
                let bytes = value.iter();
                Some(bytes.fold(sign, |number: i64, byte| (number << 8) | i64::from(*byte)))
            }
            _ => None,
        },
    };
    number.map(Decoded::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Reason, RecordError};
    use crate::failure::dialect::Dialect as Written;
    use crate::failure::envelope::{Envelope, Origin, Stamp};

    type Bytes<'a> = &'a [u8];

    fn letter(headers: &[(&str, Bytes<'_>)]) -> Letter {
        let headers = headers.iter().map(|(name, value)| (*name, Some(*value)));
        read(&Record {
            value: Some(&[0, 0, 0, 0, 9, 2]),
            headers: headers.collect(),
            ..Record::default()
        })
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn each_dialect_is_read_in_its_encoding() {
        let origin = |dialect, topic: &str, partition, offset| Letter {
            dialect: Some(dialect),
            topic: some(topic),
            partition: Some(partition),
            offset: Some(offset),
            schema_id: Some(9),
            ..Letter::default()
        };
        let check = |headers: &[(&str, Bytes<'_>)], expect: Letter| {
            assert_eq!(letter(headers), expect);
        };
        check(
            &[
                ("__connect.errors.topic", b"orders"),
                ("__connect.errors.partition", b"3"),
                ("__connect.errors.offset", b"5000000000"),
                ("__connect.errors.connector.name", b"jdbc-sink"),
                ("__connect.errors.task.id", b"0"),
                ("__connect.errors.stage", b"VALUE_CONVERTER"),
                (
                    "__connect.errors.class.name",
                    b"io.confluent.connect.avro.AvroConverter",
                ),
                (
                    "__connect.errors.exception.class.name",
                    b"org.apache.kafka.connect.errors.DataException",
                ),
                (
                    "__connect.errors.exception.message",
                    b"Failed to deserialize",
                ),
            ],
            Letter {
                pipeline: some("jdbc-sink"),
                reason: some("org.apache.kafka.connect.errors.DataException"),
                error: some("Failed to deserialize"),
                ..origin(Dialect::Connect, "orders", 3, 5_000_000_000)
            },
        );
        check(
            &[
                (
                    "__streams.errors.exception",
                    b"java.lang.NullPointerException",
                ),
                ("__streams.errors.message", b"null"),
                ("__streams.errors.topic", b"orders"),
                ("__streams.errors.partition", b"1"),
                ("__streams.errors.offset", b"7"),
            ],
            Letter {
                reason: some("java.lang.NullPointerException"),
                error: some("null"),
                ..origin(Dialect::Streams, "orders", 1, 7)
            },
        );
        check(
            &[
                ("__dlq.errors.topic", b"orders"),
                ("__dlq.errors.partition", b"1"),
                ("__dlq.errors.offset", b"7"),
                ("__dlq.errors.group", b"share"),
                ("__dlq.errors.delivery.count", b"5"),
                ("__dlq.errors.message", b"delivery count exceeded"),
            ],
            Letter {
                group: some("share"),
                attempt: Some(5),
                error: some("delivery count exceeded"),
                ..origin(Dialect::ShareGroup, "orders", 1, 7)
            },
        );
        check(
            &[
                ("kafka_dlt-original-topic", b"orders"),
                ("kafka_dlt-original-partition", &[0, 0, 1, 2]),
                ("kafka_dlt-original-offset", &[0, 0, 0, 1, 0, 0, 0, 0]),
                (
                    "kafka_dlt-original-timestamp",
                    &1_700_000_000_000_i64.to_be_bytes(),
                ),
                ("kafka_dlt-original-timestamp-type", b"CreateTime"),
                ("kafka_dlt-original-consumer-group", b"billing"),
                (
                    "kafka_dlt-exception-fqcn",
                    b"org.springframework.kafka.listener.ListenerExecutionFailedException",
                ),
                (
                    "kafka_dlt-exception-cause-fqcn",
                    b"java.lang.IllegalStateException",
                ),
                ("kafka_dlt-exception-message", b"Listener failed"),
            ],
            Letter {
                timestamp: Some(1_700_000_000_000),
                group: some("billing"),
                reason: some("java.lang.IllegalStateException"),
                error: some("Listener failed"),
                ..origin(Dialect::SpringDlt, "orders", 258, 1 << 32)
            },
        );
        let retry = |attempts: Bytes<'_>, due: Bytes<'_>, expect| {
            check(
                &[
                    ("kafka_original-topic", b"orders"),
                    ("kafka_original-partition", &[0, 0, 0, 2]),
                    ("kafka_original-offset", &[0, 0, 0, 0, 0, 0, 0, 9]),
                    ("kafka_exception-fqcn", b"java.io.IOException"),
                    ("retry_topic-attempts", attempts),
                    ("retry_topic-backoff-timestamp", due),
                    (
                        "retry_topic-original-timestamp",
                        &[1, 0x8b, 0xcf, 0xe5, 0x68, 0],
                    ),
                ],
                Letter {
                    reason: some("java.io.IOException"),
                    timestamp: Some(0x018b_cfe5_6800),
                    attempt: expect,
                    ..origin(Dialect::SpringRetry, "orders", 2, 9)
                },
            );
        };
        retry(&[0, 0, 0, 4], &[1], Some(4));
        retry(&[4], &[0xff], Some(4));
        retry(&[4, 4], &[], None);
        check(
            &[
                ("__rule.name", b"positive"),
                ("__rule.mode", b"WRITE"),
                ("__rule.subject", b"orders-value"),
                ("__rule.topic", b"orders"),
                ("__rule.exception", b"Expr failed"),
            ],
            Letter {
                dialect: Some(Dialect::ConfluentRule),
                reason: some("positive"),
                contract: some("orders-value"),
                topic: some("orders"),
                error: some("Expr failed"),
                schema_id: Some(9),
                ..Letter::default()
            },
        );
    }

    #[test]
    fn what_is_not_written_as_it_ought_to_be_is_left_out() {
        let check = |headers: &[(&str, Bytes<'_>)]| {
            let found = letter(headers);
            assert_eq!((found.partition, found.offset), (None, None), "{headers:?}");
        };
        check(&[
            ("driftgate.reason", b"unframed"),
            ("driftgate.source.partition", b"three"),
        ]);
        check(&[
            ("driftgate.reason", b"unframed"),
            ("driftgate.source.partition", &[0xff]),
        ]);
        check(&[
            ("driftgate.reason", b"unframed"),
            ("driftgate.source.partition", b"5000000000"),
        ]);
        check(&[
            ("kafka_dlt-original-topic", b"a"),
            ("kafka_dlt-original-partition", b"3"),
        ]);
        check(&[
            ("kafka_dlt-original-topic", b"a"),
            ("kafka_dlt-original-offset", &[0; 4]),
        ]);
        check(&[("x", b"y")]);
        assert_eq!(letter(&[("x", b"y")]).dialect, None);
    }

    #[test]
    fn numbers_are_decoded_for_a_person() {
        let check = |name: &str, value: &[u8], expect: Option<&str>| {
            assert_eq!(decoded(name, value).as_deref(), expect, "{name} {value:?}");
        };
        check("kafka_dlt-original-partition", &[0, 0, 0, 7], Some("7"));
        check("kafka_dlt-original-offset", &[0xff; 8], Some("-1"));
        check("kafka_dlt-original-offset", &[0xff; 7], None);
        check("retry_topic-backoff-timestamp", &[0xff, 0x7f], Some("-129"));
        check("retry_topic-backoff-timestamp", &[0, 0xff], Some("255"));
        check("retry_topic-backoff-timestamp", &[1; 9], None);
        check("retry_topic-attempts", &[3], Some("3"));
        check("__rule.name", b"positive", Some("positive"));
        check("unknown", b"x", None);
    }

    #[test]
    fn what_may_quote_payloads_is_known() {
        let check = |name: &str, expect: bool| assert_eq!(may_quote(name), expect, "{name}");
        check("__connect.errors.exception.message", true);
        check("kafka_dlt-exception-stacktrace", true);
        check("__rule.exception", true);
        check("__connect.errors.topic", false);
        // Ours carry none.
        check("driftgate.error", false);
    }

    /// What we write in each dialect is read as what we wrote in ours.
    #[test]
    fn what_is_written_is_read() {
        let origin = Origin {
            topic: "orders".into(),
            partition: 300,
            offset: 1 << 40,
            timestamp: Some(1_700_000_000_123),
            attempt: 2,
            first_failed_at: Some(5),
            due_at: 0,
            not_before: 0,
            redriven: 3,
            is_placed: true,
            control: None,
            digest: None,
        };
        let error = RecordError::new(Reason::RuleViolation, "rule positive").at("total");
        let stamp = |dialects| Stamp {
            pipeline: "clean".to_owned(),
            group: "gate".to_owned(),
            owner: "shop <#shop>".to_owned(),
            contract: "orders-value@3".to_owned(),
            dialects,
        };
        let ours = |dialects| {
            let envelope = Envelope::new(&stamp(dialects), &origin, &error, &[], 9, None);
            let headers = envelope.headers();
            let owned = headers.iter();
            owned
                .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
                .collect::<Vec<_>>()
        };
        let read = |headers: &[(String, Option<Vec<u8>>)], prefix: &str| {
            let headers = headers.iter().filter(|(name, _)| name.starts_with(prefix));
            let headers = headers.map(|(name, value)| (name.as_str(), value.as_deref()));
            read(&Record {
                headers: headers.collect(),
                ..Record::default()
            })
        };
        let all = ours(vec![Written::Connect, Written::Spring, Written::Streams]);
        let letter = read(&all, "");
        assert_eq!(letter.dialect, Some(Dialect::Driftgate));
        assert_eq!(
            letter.position().as_deref(),
            Some("orders-300@1099511627776")
        );
        assert_eq!((letter.attempt, letter.redriven), (Some(3), 3));
        assert_eq!(
            (letter.first_failed_at, letter.failed_at),
            (Some(5), Some(9))
        );
        let dialects = [
            (Dialect::Connect, "__connect.errors."),
            (Dialect::SpringDlt, "kafka_dlt-"),
            (Dialect::Streams, "__streams.errors."),
        ];
        for (dialect, prefix) in dialects {
            let found = read(&all, prefix);
            assert_eq!(found.dialect, Some(dialect));
            assert_eq!(found.position(), letter.position(), "{prefix}");
            assert_eq!(found.reason, letter.reason, "{prefix}");
            assert_eq!(found.error, letter.error, "{prefix}");
        }
        assert_eq!(read(&all, "kafka_dlt-").timestamp, letter.timestamp);
        // A retry is for us alone.
        let retry = Envelope::new(
            &stamp(vec![Written::Connect]),
            &origin,
            &error,
            &[],
            9,
            Some(1),
        );
        assert!(
            retry
                .headers()
                .iter()
                .all(|(name, _)| name.starts_with("driftgate."))
        );
        // None is asked for.
        assert!(
            ours(Vec::new())
                .iter()
                .all(|(name, _)| name.starts_with("driftgate."))
        );
    }
}
