//! The errors of the record path. [`RecordError`] is about one record, [`FatalError`] ends the process.
//! Neither ever carries a payload: only ids, paths, positions and what was expected.

use std::fmt;
use std::time::Duration;

/// Why a record could not go on. Fieldless on purpose: the same word is a metric label, the `driftgate.reason` header
/// and a heading in the docs. `failure::classify` decides the fate of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The value does not begin with the Confluent magic byte.
    Unframed,
    /// The value is a JSON document where Avro was promised.
    UnframedJson,
    /// The value is framed in a form that is recognised and not supported (a schema GUID in front of the payload).
    UnsupportedFraming,
    /// The registry answered that the writer schema id does not exist (404 with error code 40403, nothing else).
    UnknownSchema,
    /// The writer schema is not Avro or does not parse.
    UnsupportedSchema,
    /// No value of this writer schema can ever be read as the contract's schema.
    IncompatibleSchema,
    /// The writer schema differs from the contract in a way that `contract.drift` quarantines.
    Drift,
    /// The writer schema differs from the contract in a way that `contract.drift` halts for.
    DriftHalted,
    /// The values of a field drifted from the reviewed baseline, which says to quarantine such records.
    ValueDrift,
    /// The bytes are not a value of the writer schema: truncated, trailing, out of range, bad UTF-8, over a limit.
    MalformedData,
    /// The bytes are valid, and this value has no counterpart in the contract's schema (an unknown enum symbol, a
    /// union branch the contract lacks).
    UnresolvableValue,
    /// A contract rule failed.
    RuleViolation,
    /// The event sets a field which another source owns.
    ForeignField,
    /// A transform step failed on this value.
    TransformFailed,
    /// The output does not fit the sink's schema.
    EncodeFailed,
    /// The produced record is larger than the broker or topic accepts.
    RecordTooLarge,
    /// The broker refused the produced record for what it is: its timestamp, or no key where its topic is compacted.
    RecordRefused,
    /// A lookup timed out, was refused, or answered 429 or 5xx.
    LookupUnavailable,
    /// A lookup answered 404.
    LookupNotFound,
    /// A lookup answered with a wrong shape, 401, 403 or a redirect: the dependency's fault, never the record's.
    LookupMisconfigured,
    /// The table that a lookup asks is not loaded.
    LookupNotLoaded,
    /// A native step said that something it needs is not there for now.
    NativeUnavailable,
    /// The registry could not be asked, or answered with anything but the schema or "unknown id".
    RegistryUnavailable,
    /// The broker refused or failed to acknowledge an output for a reason that is not the record's own.
    BrokerUnavailable,
    /// Nothing is wrong with it: a record of its key that came before it is in retry, and it follows.
    Parked,
    /// The record of its key that it waited for became a dead letter, and takes it along.
    PredecessorDeadLettered,
    /// Nothing is wrong with it: another record of its dedup key is through.
    Duplicate,
    /// Nothing is wrong with it: a newer version of its key is through.
    Stale,
}

impl Reason {
    /// Every reason, for tables and tests.
    pub const ALL: [Reason; 28] = [
        Reason::Unframed,
        Reason::UnframedJson,
        Reason::UnsupportedFraming,
        Reason::UnknownSchema,
        Reason::UnsupportedSchema,
        Reason::IncompatibleSchema,
        Reason::Drift,
        Reason::DriftHalted,
        Reason::ValueDrift,
        Reason::MalformedData,
        Reason::UnresolvableValue,
        Reason::RuleViolation,
        Reason::ForeignField,
        Reason::TransformFailed,
        Reason::EncodeFailed,
        Reason::RecordTooLarge,
        Reason::RecordRefused,
        Reason::LookupUnavailable,
        Reason::LookupNotFound,
        Reason::LookupMisconfigured,
        Reason::LookupNotLoaded,
        Reason::NativeUnavailable,
        Reason::RegistryUnavailable,
        Reason::BrokerUnavailable,
        Reason::Parked,
        Reason::PredecessorDeadLettered,
        Reason::Duplicate,
        Reason::Stale,
    ];

    /// The stable word: metric label, header value, doc heading.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Unframed => "unframed",
            Reason::UnframedJson => "unframed_json",
            Reason::UnsupportedFraming => "unsupported_framing",
            Reason::UnknownSchema => "unknown_schema",
            Reason::UnsupportedSchema => "unsupported_schema",
            Reason::IncompatibleSchema => "incompatible_schema",
            Reason::Drift => "drift",
            Reason::DriftHalted => "drift_halted",
            Reason::ValueDrift => "value_drift",
            Reason::MalformedData => "malformed_data",
            Reason::UnresolvableValue => "unresolvable_value",
            Reason::RuleViolation => "rule_violation",
            Reason::ForeignField => "foreign_field",
            Reason::TransformFailed => "transform_failed",
            Reason::EncodeFailed => "encode_failed",
            Reason::RecordTooLarge => "record_too_large",
            Reason::RecordRefused => "record_refused",
            Reason::LookupUnavailable => "lookup_unavailable",
            Reason::LookupNotFound => "lookup_not_found",
            Reason::LookupMisconfigured => "lookup_misconfigured",
            Reason::LookupNotLoaded => "lookup_not_loaded",
            Reason::NativeUnavailable => "native_unavailable",
            Reason::RegistryUnavailable => "registry_unavailable",
            Reason::BrokerUnavailable => "broker_unavailable",
            Reason::Parked => "parked",
            Reason::PredecessorDeadLettered => "predecessor_dead_lettered",
            Reason::Duplicate => "duplicate",
            Reason::Stale => "stale",
        }
    }

    /// The reason that a `driftgate.reason` header names, if it is one of ours.
    pub fn parse(text: &str) -> Option<Reason> {
        Reason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with one record. Never holds a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError {
    /// The enumerated reason.
    pub reason: Reason,
    /// What was expected and what was found, for a person. No field values.
    pub message: String,
    /// The field, as `items[2].price`; empty when the whole record is meant.
    pub path: String,
    /// Offset in bytes into the record's value (framing included), where that is known.
    pub byte_offset: Option<usize>,
    /// The writer schema id, once it is known.
    pub schema_id: Option<u32>,
    /// How long the other side asked to wait (`Retry-After`).
    pub retry_after: Option<Duration>,
}

impl RecordError {
    /// An error about the whole record.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        RecordError {
            reason,
            message: message.into(),
            path: String::new(),
            byte_offset: None,
            schema_id: None,
            retry_after: None,
        }
    }

    /// The same error, about the field at `path`.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// The same error, at a byte offset into the value.
    #[must_use]
    pub fn at_byte(mut self, offset: usize) -> Self {
        self.byte_offset = Some(offset);
        self
    }

    /// The same error, with the writer schema id.
    #[must_use]
    pub fn with_schema(mut self, id: u32) -> Self {
        self.schema_id = Some(id);
        self
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        if let Some(offset) = self.byte_offset {
            write!(f, " (at byte {offset})")?;
        }
        if let Some(id) = self.schema_id {
            write!(f, " (writer schema {id})")?;
        }
        Ok(())
    }
}

impl std::error::Error for RecordError {}

/// Ends the process: nothing that this instance could do would help.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FatalError {
    /// A client could not be made or was given up by librdkafka.
    #[error("Kafka client: {0}")]
    Kafka(String),
    /// A topic that must exist is missing or has the wrong shape.
    #[error("{0}")]
    Topics(String),
    /// The registry says that something the pipeline needs does not exist.
    #[error("{0}")]
    Contract(String),
    /// An I/O failure at start (a port that is taken, a file that cannot be read).
    #[error("{0}")]
    Start(String),
}
