//! The header names that Driftgate writes and reads. Values are UTF-8 text unless said otherwise.

/// Every header of ours begins with this. Trusted only on our own retry and dead-letter topics.
pub const PREFIX: &str = "driftgate.";
/// What a source record already carried under [`PREFIX`] is kept under this one.
pub const PRIOR: &str = "driftgate.prior.";
/// Enumerated reason, see [`crate::error::Reason`].
pub const REASON: &str = "driftgate.reason";
/// The error in words, at most [`ERROR_LIMIT`] bytes.
pub const ERROR: &str = "driftgate.error";
/// Field path, empty for the whole record.
pub const PATH: &str = "driftgate.path";
/// Topic the record came from first.
pub const SOURCE_TOPIC: &str = "driftgate.source.topic";
/// Partition the record came from first.
pub const SOURCE_PARTITION: &str = "driftgate.source.partition";
/// Offset the record came from first.
pub const SOURCE_OFFSET: &str = "driftgate.source.offset";
/// Timestamp of the source record, milliseconds since the epoch.
pub const SOURCE_TIMESTAMP: &str = "driftgate.source.timestamp";
/// Pipeline name.
pub const PIPELINE: &str = "driftgate.pipeline";
/// Consumer group.
pub const GROUP: &str = "driftgate.group";
/// Owner: `team <contact>`.
pub const OWNER: &str = "driftgate.owner";
/// Writer schema id, where it is known.
pub const SCHEMA_ID: &str = "driftgate.schema.id";
/// The contract: `subject@version`, or the file's name with its fingerprint.
pub const CONTRACT: &str = "driftgate.contract";
/// How many times the record has failed.
pub const ATTEMPT: &str = "driftgate.attempt";
/// When it failed first, milliseconds since the epoch.
pub const FIRST_FAILED_AT: &str = "driftgate.first_failed_at";
/// When it failed last, milliseconds since the epoch.
pub const FAILED_AT: &str = "driftgate.failed_at";
/// When a retry is due, milliseconds since the epoch.
pub const DUE_AT: &str = "driftgate.due_at";
/// When it may be tried again at the earliest, if that is later than it is due: what a `Retry-After` asked for that is longer
/// than every tier. Milliseconds since the epoch.
pub const NOT_BEFORE: &str = "driftgate.not_before";
/// On what is no record of the source but says something about a key with `ordering: per_key`; see
/// [`crate::failure::parking::Control`].
pub const CONTROL: &str = "driftgate.control";
/// On retries with `dedup`: the key by which copies are known, hashed, as hexadecimal digits.
pub const DEDUP_KEY: &str = "driftgate.dedup_key";
/// How often it was sent back from the dead-letter topic.
pub const REDRIVEN: &str = "driftgate.redriven";
/// On emitted records with `provenance: header`: `topic-partition@offset`.
pub const SOURCE: &str = "driftgate.source";
/// [`SOURCE`] of the source record, below [`PRIOR`].
pub const PRIOR_SOURCE: &str = "driftgate.prior.source";
/// On the outputs that one record was taken apart into: which this is, from 0.
pub const INDEX: &str = "driftgate.index";
/// [`INDEX`] of the source record, below [`PRIOR`].
pub const PRIOR_INDEX: &str = "driftgate.prior.index";
/// On the same: how many there are.
pub const COUNT: &str = "driftgate.count";
/// [`COUNT`] of the source record, below [`PRIOR`].
pub const PRIOR_COUNT: &str = "driftgate.prior.count";
/// On an output that is stale and goes on (`stale.then: pass`): `topic-partition@offset` of the newer event of its key.
pub const STALE: &str = "driftgate.stale";
/// [`STALE`] of the source record, below [`PRIOR`].
pub const PRIOR_STALE: &str = "driftgate.prior.stale";

/// On an output of an event that sets fields which its source does not own, and goes on (`flag`): the fields.
pub const FOREIGN: &str = "driftgate.foreign";
/// [`FOREIGN`] of the source record, below [`PRIOR`].
pub const PRIOR_FOREIGN: &str = "driftgate.prior.foreign";

/// Bound of [`FOREIGN`] in bytes.
pub const FOREIGN_LIMIT: usize = 1024;
/// Bound of [`ERROR`] in bytes.
pub const ERROR_LIMIT: usize = 2048;

/// Cuts a text at a character boundary, so that a header stays UTF-8.
pub fn cut(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}
