//! Which logical type a type has.

use serde_json::{Map, Value as Json};

use crate::contract::schema::{Kind, Logical};

/// The logical type, if it is known and valid for its base. Anything else is ignored: the specification asks for it.
pub(super) fn logical(kind: &Kind, object: &Map<String, Json>) -> Option<Logical> {
    let word = object.get("logicalType")?.as_str()?;
    let logical = match (word, kind) {
        ("decimal", Kind::Bytes | Kind::Fixed(_)) => {
            let number = |json: &Json| json.as_u64().and_then(|n| usize::try_from(n).ok());
            let precision = object.get("precision").and_then(number)?;
            let scale = object.get("scale").map_or(Some(0), number)?;
            let fits = match kind {
                Kind::Fixed(fixed) => precision <= digits_in(fixed.size),
                _ => true,
            };
            if precision == 0 || scale > precision || !fits {
                return None;
            }
            Logical::Decimal { precision, scale }
        }
        ("uuid", Kind::String) => Logical::Uuid,
        ("uuid", Kind::Fixed(fixed)) if fixed.size == 16 => Logical::Uuid,
        ("date", Kind::Int) => Logical::Date,
        ("time-millis", Kind::Int) => Logical::TimeMillis,
        ("time-micros", Kind::Long) => Logical::TimeMicros,
        ("timestamp-millis", Kind::Long) => Logical::TimestampMillis,
        ("timestamp-micros", Kind::Long) => Logical::TimestampMicros,
        ("timestamp-nanos", Kind::Long) => Logical::TimestampNanos,
        ("local-timestamp-millis", Kind::Long) => Logical::LocalTimestampMillis,
        ("local-timestamp-micros", Kind::Long) => Logical::LocalTimestampMicros,
        ("local-timestamp-nanos", Kind::Long) => Logical::LocalTimestampNanos,
        ("duration", Kind::Fixed(fixed)) if fixed.size == 12 => Logical::Duration,
        _ => return None,
    };
    Some(logical)
}

/// Decimal digits that a two's complement number of `size` bytes always holds: ⌊log₁₀(2^(8·size−1) − 1)⌋.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes are below 2^31, and the result is positive and far below 2^53"
)]
pub(super) fn digits_in(size: usize) -> usize {
    if size == 0 {
        return 0;
    }
    ((8 * size - 1) as f64 * std::f64::consts::LOG10_2).floor() as usize
}
