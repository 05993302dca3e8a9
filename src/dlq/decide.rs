//! What becomes of a dead letter that is to be sent back, and the headers that it goes with. Input: the dead letter, and
//! the pipeline that failed it. Output: a [`Decision`], and headers. Pure: `now` is an argument.

use std::collections::BTreeMap;

use super::dialect::{self, Dialect, Letter};
use crate::failure::dialect::is_foreign;
use crate::failure::envelope::first_of_ours;
use crate::headers;
use crate::record::Record;

/// Where dead letters go back to.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// The pipeline's consumer group.
    pub group: String,
    /// Its source topics, with their partitions.
    pub sources: BTreeMap<String, i32>,
    /// Source topics that other pipelines of the configuration read in the same group.
    pub others: Vec<String>,
    /// How often a record may go back.
    pub max_redriven: u32,
}

/// What becomes of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Back to the first retry topic of this source topic, to this partition.
    Send {
        /// The source topic.
        source: String,
        /// The partition.
        partition: i32,
    },
    /// It belongs to another group or pipeline, which shares the topic.
    Elsewhere,
    /// It has been sent back as often as it may.
    Capped,
    /// It cannot be sent back.
    Refused(Refusal),
}

/// Why a dead letter cannot be sent back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// No header says which group failed it.
    NoGroup,
    /// No header says which topic it came from.
    NoSource,
    /// The pipeline reads that topic no more.
    SourceNotRead(String),
    /// The topic has no such partition.
    NoPartition(String, i32),
    /// The retry topic does not take it.
    TooLarge(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::NoGroup => {
                f.write_str("no header says which consumer group failed it: only its own group may take it back")
            }
            Refusal::NoSource => f.write_str("no header says which topic it came from"),
            Refusal::SourceNotRead(topic) => write!(
                f,
                "it came from {topic}, which the pipeline does not read: nobody would read its retry topic"
            ),
            Refusal::NoPartition(topic, partition) => {
                write!(f, "it came from partition {partition} of {topic}, which is not there")
            }
            Refusal::TooLarge(topic) => write!(f, "larger than {topic} accepts"),
        }
    }
}

/// What becomes of a dead letter that the filter takes.
pub fn decide(letter: &Letter, record: &Record<'_>, target: &Target) -> Decision {
    let Some(group) = &letter.group else {
        return Decision::Refused(Refusal::NoGroup);
    };
    if *group != target.group {
        return Decision::Elsewhere;
    }
    let Some(topic) = &letter.topic else {
        return Decision::Refused(Refusal::NoSource);
    };
    let Some(partitions) = target.sources.get(topic) else {
        return match target.others.contains(topic) {
            true => Decision::Elsewhere,
            false => Decision::Refused(Refusal::SourceNotRead(topic.clone())),
        };
    };
    // Beyond the source's partitions nobody reads a retry topic: its partitions travel with the source's.
    let partition = letter.partition.unwrap_or(record.partition);
    if !(0..*partitions).contains(&partition) {
        return Decision::Refused(Refusal::NoPartition(topic.clone(), partition));
    }
    if letter.redriven >= target.max_redriven {
        return Decision::Capped;
    }
    Decision::Send {
        source: topic.clone(),
        partition,
    }
}

/// A header with bytes of its own.
pub type OwnHeader = (String, Option<Vec<u8>>);

/// The headers that a dead letter goes back with: its own as they are, and ours as on a retry that is due now. Attempt and
/// first failure are given up, so that it has its tiers and its budget anew; the count of returns is one more.
pub fn headers(letter: &Letter, record: &Record<'_>, now: i64) -> Vec<OwnHeader> {
    let mut headers: Vec<OwnHeader> = Vec::with_capacity(record.headers.len() + 3);
    let text = |headers: &mut Vec<OwnHeader>, name: &str, value: String| {
        headers.push((name.to_owned(), Some(value.into_bytes())));
    };
    let own = |value: &Option<&[u8]>| value.map(<[u8]>::to_vec);
    match letter.dialect {
        Some(Dialect::Driftgate) | None => {
            // What only a retry topic says stands on no dead letter of ours; one from elsewhere has no say there.
            const ANEW: [&str; 6] = [
                headers::ATTEMPT,
                headers::FIRST_FAILED_AT,
                headers::DUE_AT,
                headers::REDRIVEN,
                headers::NOT_BEFORE,
                headers::CONTROL,
            ];
            let ours = first_of_ours(&record.headers);
            for (index, (name, value)) in record.headers.iter().enumerate() {
                // Dialects that we added stand behind ours; one that stands before came with the record.
                let added = index > ours && is_foreign(name);
                if !added && !ANEW.contains(name) {
                    headers.push(((*name).to_owned(), own(value)));
                }
            }
        }
        Some(dialect) => {
            // Of another tool, which has added its headers where ours would stand.
            for (name, value) in &record.headers {
                if dialect::is_of(dialect, name) {
                    continue;
                }
                let name = match name.strip_prefix(headers::PREFIX) {
                    Some(rest) => format!("{}{rest}", headers::PRIOR),
                    None => (*name).to_owned(),
                };
                headers.push((name, own(value)));
            }
            let place = [
                (headers::SOURCE_TOPIC, letter.topic.clone()),
                (
                    headers::SOURCE_PARTITION,
                    letter.partition.map(|n| n.to_string()),
                ),
                (headers::SOURCE_OFFSET, letter.offset.map(|n| n.to_string())),
                (
                    headers::SOURCE_TIMESTAMP,
                    letter.timestamp.or(record.timestamp).map(|n| n.to_string()),
                ),
            ];
            for (name, value) in place {
                if let Some(value) = value {
                    text(&mut headers, name, value);
                }
            }
        }
    }
    text(&mut headers, headers::ATTEMPT, "0".to_owned());
    text(&mut headers, headers::DUE_AT, now.to_string());
    let redriven = letter.redriven.saturating_add(1);
    text(&mut headers, headers::REDRIVEN, redriven.to_string());
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Reason, RecordError};
    use crate::failure::dialect::Dialect as Written;
    use crate::failure::envelope::{Envelope, Origin, Stamp, own_headers};
    use crate::record::Header;

    fn target() -> Target {
        Target {
            group: "gate".to_owned(),
            sources: [("orders".to_owned(), 4)].into(),
            others: vec!["returns".to_owned()],
            max_redriven: 5,
        }
    }

    #[test]
    fn only_the_failing_group_takes_its_own_back() {
        let letter = |group: Option<&str>, topic: Option<&str>, partition, redriven| Letter {
            dialect: Some(Dialect::Driftgate),
            group: group.map(str::to_owned),
            topic: topic.map(str::to_owned),
            partition,
            redriven,
            ..Letter::default()
        };
        let record = Record {
            partition: 1,
            ..Record::default()
        };
        let check = |letter: Letter, expect: Decision| {
            assert_eq!(decide(&letter, &record, &target()), expect, "{letter:?}");
        };
        let send = |partition| Decision::Send {
            source: "orders".to_owned(),
            partition,
        };
        let refused = Decision::Refused;
        let (gate, orders) = (Some("gate"), Some("orders"));
        check(letter(gate, orders, Some(3), 0), send(3));
        check(letter(gate, orders, None, 4), send(1));
        check(letter(gate, orders, Some(3), 5), Decision::Capped);
        check(
            letter(gate, orders, Some(4), 0),
            refused(Refusal::NoPartition("orders".into(), 4)),
        );
        check(
            letter(gate, orders, Some(-1), 0),
            refused(Refusal::NoPartition("orders".into(), -1)),
        );
        check(
            letter(Some("other"), orders, Some(3), 9),
            Decision::Elsewhere,
        );
        check(
            letter(gate, Some("returns"), Some(3), 0),
            Decision::Elsewhere,
        );
        check(
            letter(gate, Some("old"), Some(3), 0),
            refused(Refusal::SourceNotRead("old".into())),
        );
        check(letter(gate, None, Some(3), 0), refused(Refusal::NoSource));
        check(letter(None, orders, Some(3), 0), refused(Refusal::NoGroup));
    }

    fn borrow(headers: &[OwnHeader]) -> Vec<Header<'_>> {
        let headers = headers.iter();
        headers
            .map(|(name, value)| (name.as_str(), value.as_deref()))
            .collect()
    }

    fn owned(envelope: &Envelope) -> Vec<OwnHeader> {
        let headers = envelope.headers();
        let headers = headers.iter();
        headers
            .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
            .collect()
    }

    /// Source, dead letter, back, dead letter again: the record's own headers come back as they were each time, the others
    /// do not pile up, and the count goes up.
    #[test]
    fn the_own_headers_survive_and_the_count_goes_up() {
        let source: Vec<Header<'_>> = vec![
            ("traceparent", Some(b"00-abc-def-01")),
            ("null", None),
            ("binary", Some(&[0xff, 0])),
            ("driftgate.reason", Some(b"not ours")),
            // The source is a dead-letter topic of a connector.
            ("__connect.errors.topic", Some(b"raw")),
        ];
        let stamp = Stamp {
            group: "gate".to_owned(),
            dialects: vec![Written::Connect, Written::Spring, Written::Streams],
            ..Stamp::default()
        };
        let at_source = Record {
            topic: "orders",
            partition: 2,
            offset: 42,
            timestamp: Some(77),
            headers: source.clone(),
            ..Record::default()
        };
        let error = RecordError::new(Reason::UnknownSchema, "id 9");
        let mut origin = Origin::of_source(&at_source);
        // As it failed on the last of three tiers, an hour ago.
        (origin.attempt, origin.first_failed_at) = (3, Some(1_000));
        let mut lengths = Vec::new();
        for round in 1..=3 {
            let own: Vec<Header<'_>> = source.clone();
            let dead = owned(&Envelope::new(&stamp, &origin, &error, &own, 5_000, None));
            let record = Record {
                topic: "orders.gate.dlq",
                partition: 2,
                offset: 7,
                headers: borrow(&dead),
                ..Record::default()
            };
            let letter = dialect::read(&record);
            assert_eq!(letter.redriven, round - 1);
            let back = headers(&letter, &record, 9_000);
            lengths.push(back.len());
            let retry = Record {
                topic: "orders.gate.retry.1",
                partition: 2,
                offset: 3,
                headers: borrow(&back),
                ..Record::default()
            };
            let found = own_headers(&retry);
            let found: Vec<Header<'_>> = found
                .iter()
                .map(|(name, value)| (name.as_ref(), *value))
                .collect();
            assert_eq!(found, source, "round {round}");
            let seen = Origin::of_retry(&retry, "orders");
            assert_eq!(seen.position(), "orders-2@42");
            assert_eq!(seen.timestamp, Some(77));
            assert_eq!(
                (seen.attempt, seen.first_failed_at),
                (0, None),
                "its tiers anew"
            );
            assert_eq!((seen.due_at, seen.redriven), (9_000, round));
            origin = seen;
        }
        assert_eq!(lengths[0], lengths[2], "headers grow");
    }

    #[test]
    fn a_dead_letter_has_no_say_about_other_records() {
        let record = Record {
            headers: vec![
                ("driftgate.reason", Some(b"rule_violation")),
                ("driftgate.control", Some(b"doomed 9000000")),
                ("driftgate.not_before", Some(b"9223372036854775807")),
            ],
            ..Record::default()
        };
        let back = headers(&dialect::read(&record), &record, 9);
        let retry = Record {
            headers: borrow(&back),
            ..Record::default()
        };
        let origin = Origin::of_retry(&retry, "orders");
        assert_eq!((origin.control, origin.not_before), (None, 0));
    }

    #[test]
    fn a_dead_letter_of_another_tool_comes_back_as_its_source_had_it() {
        let record = Record {
            topic: "orders-dlt",
            partition: 0,
            timestamp: Some(1_234),
            headers: vec![
                ("traceparent", Some(b"00")),
                ("driftgate.reason2", Some(b"theirs")),
                ("kafka_dlt-original-topic", Some(b"orders")),
                ("kafka_dlt-original-partition", Some(&[0, 0, 0, 3])),
                ("kafka_dlt-original-offset", Some(&[0, 0, 0, 0, 0, 0, 0, 8])),
                ("kafka_dlt-original-consumer-group", Some(b"gate")),
            ],
            ..Record::default()
        };
        let letter = dialect::read(&record);
        assert_eq!(
            decide(&letter, &record, &target()),
            Decision::Send {
                source: "orders".to_owned(),
                partition: 3
            }
        );
        let back = headers(&letter, &record, 9);
        let retry = Record {
            headers: borrow(&back),
            ..Record::default()
        };
        let origin = Origin::of_retry(&retry, "orders");
        assert_eq!(origin.position(), "orders-3@8");
        assert_eq!((origin.timestamp, origin.redriven), (Some(1_234), 1));
        let own = own_headers(&retry);
        let names: Vec<&str> = own.iter().map(|(name, _)| name.as_ref()).collect();
        assert_eq!(names, ["traceparent", "driftgate.reason2"]);
    }
}
