//! What records of one key have in common, for `dedup` and `stale`. Input: the event as the rules see it, and its record. Output: a
//! digest, and for `stale` a version.

use crate::error::RecordError;
use crate::expr::instant::Instant;
use crate::expr::{Cx, Expr, Val};
use crate::record::Record;
use crate::state::digest::Digest;
use crate::state::noted::Version;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// What records of one key have in common.
#[derive(Debug)]
pub enum By {
    /// Their record key.
    RecordKey,
    /// Key and value.
    Content,
    /// The value of an expression, and with `with_record_key` the record's key.
    Expression {
        /// A text or bytes.
        expr: Expr,
        /// Whether what has another record key is of another key.
        with_record_key: bool,
    },
}

impl By {
    /// Of a record that has a value; `None` where it has no such key. `what` names it in an error.
    pub fn digest(
        &self,
        cx: &mut Cx<'_>,
        record: &Record<'_>,
        what: &str,
    ) -> Result<Option<Digest>, RecordError> {
        let (expr, with_record_key) = match self {
            By::RecordKey => return Ok(record.key.map(|key| Digest::of(&[Some(key)]))),
            By::Content => return Ok(Some(Digest::of(&[record.key, record.value]))),
            By::Expression {
                expr,
                with_record_key,
            } => (expr, *with_record_key),
        };
        let value = match expr.eval(cx).map_err(|error| of(what, error))? {
            Val::Text(text) => text.as_bytes(),
            Val::Bytes(bytes) => bytes,
            _ => return Ok(None),
        };
        Ok(Some(match with_record_key {
            true => Digest::of(&[record.key, Some(value)]),
            false => Digest::of(&[Some(value)]),
        }))
    }
}

/// What says how old an event is among those of its key.
#[derive(Debug)]
pub struct Versions {
    /// Its key.
    pub by: By,
    /// Its version: a whole number, a timestamp or a date.
    pub version: Expr,
}

impl Versions {
    /// Of a record that has a value; `None` where it has no key or no version.
    pub fn of(&self, cx: &mut Cx<'_>, record: &Record<'_>) -> Result<Option<Edition>, RecordError> {
        let Some(digest) = self.by.digest(cx, record, "stale.key")? else {
            return Ok(None);
        };
        let version = self.version.eval(cx);
        let (version, time) = match version.map_err(|error| of("stale.by", error))? {
            Val::Int(number) => (number, None),
            Val::Date(days) => (i64::from(days), Some(i64::from(days) * DAY)),
            Val::Timestamp(at) => (nanos(at), Some(at.as_millisecond())),
            _ => return Ok(None),
        };
        Ok(Some(Edition {
            digest,
            version: Version(version),
            time,
        }))
    }
}

/// Of which version of what an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edition {
    /// Its key.
    pub digest: Digest,
    /// Its version: the number, nanoseconds since the epoch of a timestamp, or days of a date.
    pub version: Version,
    /// A timestamp or date in milliseconds since the epoch.
    pub time: Option<i64>,
}

/// Nanoseconds since the epoch. What is outside of the years 1678 to 2261 counts as the nearest that is in them.
fn nanos(at: Instant) -> i64 {
    let nanos = at.as_nanosecond();
    i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
}

fn of(what: &str, error: RecordError) -> RecordError {
    RecordError {
        message: format!("{what}: {}", error.message),
        ..error
    }
}
