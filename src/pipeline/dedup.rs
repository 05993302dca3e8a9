//! What copies of a record have in common. Input: the event as the rules see it, and its record. Output: a digest.

use crate::error::RecordError;
use crate::expr::{Cx, Expr, Val};
use crate::record::Record;
use crate::state::digest::Digest;

/// What copies of a record have in common.
#[derive(Debug)]
pub enum By {
    /// Its key.
    RecordKey,
    /// Its key and its value.
    Content,
    /// The value of an expression, and with `with_record_key` its key.
    Expression {
        /// A text or bytes.
        expr: Expr,
        /// Whether what has another key is no copy.
        with_record_key: bool,
    },
}

impl By {
    /// Of a record that has a value; `None` where it is nobody's copy.
    pub fn digest(
        &self,
        cx: &mut Cx<'_>,
        record: &Record<'_>,
    ) -> Result<Option<Digest>, RecordError> {
        let (expr, with_record_key) = match self {
            By::RecordKey => return Ok(record.key.map(|key| Digest::of(&[Some(key)]))),
            By::Content => return Ok(Some(Digest::of(&[record.key, record.value]))),
            By::Expression {
                expr,
                with_record_key,
            } => (expr, *with_record_key),
        };
        let explain = |error: RecordError| RecordError {
            message: format!("dedup: {}", error.message),
            ..error
        };
        let value = match expr.eval(cx).map_err(explain)? {
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
