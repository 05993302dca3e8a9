//! Header dialects of other tools, as they are written on dead letters beside ours (`failure.dead_letter.headers`), so
//! that what already reads theirs finds the same there. Input: a dead letter's origin and error. Output: headers.

use super::envelope::{Origin, Stamp};
use crate::error::{Reason, RecordError};
use crate::headers::{self, cut};

/// Prefix of Kafka Connect's headers.
pub const CONNECT: &str = "__connect.errors.";
/// Prefix of Kafka Streams' headers (KIP-1034).
pub const STREAMS: &str = "__streams.errors.";
/// Prefix of Spring's headers on a dead-letter topic.
pub const SPRING: &str = "kafka_dlt-";

/// A dialect that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Kafka Connect's.
    Connect,
    /// Spring's.
    Spring,
    /// Kafka Streams'.
    Streams,
}

/// Whether a header is of one of these dialects.
pub fn is_foreign(name: &str) -> bool {
    [CONNECT, STREAMS, SPRING]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

impl Dialect {
    /// What a dead letter says in this dialect. A reason stands where other tools name an exception's class.
    pub(super) fn headers(
        self,
        stamp: &Stamp,
        origin: &Origin,
        error: &RecordError,
    ) -> Vec<(String, Vec<u8>)> {
        let reason = error.reason.as_str();
        let message = error.to_string();
        let message = cut(&message, headers::ERROR_LIMIT);
        let (partition, offset) = (origin.partition, origin.offset);
        let texts = |prefix: &str, pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            let pairs =
                pairs.map(|(name, text)| (format!("{prefix}{name}"), text.as_bytes().to_vec()));
            pairs.collect::<Vec<_>>()
        };
        match self {
            Dialect::Connect => texts(
                CONNECT,
                &[
                    ("topic", &origin.topic),
                    ("partition", &partition.to_string()),
                    ("offset", &offset.to_string()),
                    ("connector.name", &stamp.pipeline),
                    ("task.id", "0"),
                    ("stage", stage(error.reason)),
                    ("class.name", "driftgate"),
                    ("exception.class.name", reason),
                    ("exception.message", message),
                ],
            ),
            Dialect::Streams => texts(
                STREAMS,
                &[
                    ("exception", reason),
                    ("message", message),
                    ("topic", &origin.topic),
                    ("partition", &partition.to_string()),
                    ("offset", &offset.to_string()),
                ],
            ),
            Dialect::Spring => {
                let mut headers = texts(
                    SPRING,
                    &[
                        ("original-topic", &origin.topic),
                        ("original-consumer-group", &stamp.group),
                        ("exception-fqcn", reason),
                        ("exception-message", message),
                    ],
                );
                let mut binary = |name: &str, bytes: &[u8]| {
                    headers.push((format!("{SPRING}original-{name}"), bytes.to_vec()));
                };
                binary("partition", &partition.to_be_bytes());
                binary("offset", &offset.to_be_bytes());
                if let Some(timestamp) = origin.timestamp {
                    binary("timestamp", &timestamp.to_be_bytes());
                }
                headers
            }
        }
    }
}

/// The stage of a Connect task that stands nearest to where a record failed.
fn stage(reason: Reason) -> &'static str {
    match reason {
        Reason::Unframed
        | Reason::UnframedJson
        | Reason::UnsupportedFraming
        | Reason::UnknownSchema
        | Reason::UnsupportedSchema
        | Reason::IncompatibleSchema
        | Reason::Drift
        | Reason::DriftHalted
        | Reason::ValueDrift
        | Reason::MalformedData
        | Reason::UnresolvableValue
        | Reason::RegistryUnavailable => "VALUE_CONVERTER",
        Reason::RuleViolation
        | Reason::ForeignField
        | Reason::TransformFailed
        | Reason::EncodeFailed
        | Reason::LookupUnavailable
        | Reason::LookupNotFound
        | Reason::LookupMisconfigured
        | Reason::LookupNotLoaded
        | Reason::NativeUnavailable
        | Reason::Parked
        | Reason::PredecessorDeadLettered
        | Reason::Duplicate
        | Reason::Stale => "TRANSFORMATION",
        Reason::RecordTooLarge | Reason::RecordRefused | Reason::BrokerUnavailable => {
            "KAFKA_PRODUCE"
        }
    }
}
