//! Dates and times as text ↔ the integers of their logical types. Exact: text finer than the unit is refused.

use jiff::civil::{Date, DateTime, Time};

use crate::contract::schema::Logical;
use crate::contract::utc;

const SECOND: i64 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND as i128;

/// Nanoseconds of one unit and digits after the second.
const fn unit(logical: Logical) -> Option<(i64, usize)> {
    match logical {
        Logical::TimeMillis | Logical::TimestampMillis | Logical::LocalTimestampMillis => {
            Some((1_000_000, 3))
        }
        Logical::TimeMicros | Logical::TimestampMicros | Logical::LocalTimestampMicros => {
            Some((1_000, 6))
        }
        Logical::TimestampNanos | Logical::LocalTimestampNanos => Some((1, 9)),
        Logical::Date | Logical::Decimal { .. } | Logical::Uuid | Logical::Duration => None,
    }
}

/// The text of a date, time or timestamp. None for other logical types and outside the years ±9999.
pub(super) fn to_text(logical: Logical, number: i64) -> Option<String> {
    if logical == Logical::Date {
        return Some(utc::date(number)?.to_string());
    }
    let (nanos, digits) = unit(logical)?;
    let since = i128::from(number) * i128::from(nanos);
    let at = utc::datetime(since)?;
    Some(match logical {
        Logical::TimeMillis | Logical::TimeMicros => {
            if !(0..DAY).contains(&since) {
                return None;
            }
            format!("{:.digits$}", at.time())
        }
        Logical::TimestampMillis | Logical::TimestampMicros | Logical::TimestampNanos => {
            format!("{at:.digits$}Z")
        }
        _ => format!("{at:.digits$}"),
    })
}

/// The integer of a date, time or timestamp in text. None if the logical type is no such one.
pub(super) fn from_text(logical: Logical, text: &str) -> Option<Result<i64, String>> {
    let only = |more: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit() || more.as_bytes().contains(&b))
    };
    if logical == Logical::Date {
        let date = text.parse::<Date>().ok().filter(|_| only("-+"));
        let days = date.map(utc::days);
        return Some(days.ok_or_else(|| "expected a date such as 2024-05-01".to_owned()));
    }
    let (nanos, digits) = unit(logical)?;
    let (since, shape) = match logical {
        Logical::TimeMillis | Logical::TimeMicros => {
            let time = text.parse::<Time>().ok().filter(|_| only(":."));
            let since = time.map(|t| {
                let seconds = (i128::from(t.hour()) * 60 + i128::from(t.minute())) * 60
                    + i128::from(t.second());
                seconds * i128::from(SECOND) + i128::from(t.subsec_nanosecond())
            });
            (since, "a time such as 08:15:00")
        }
        Logical::TimestampMillis | Logical::TimestampMicros | Logical::TimestampNanos => {
            (utc::parse(text), "a timestamp such as 2024-05-01T08:15:00Z")
        }
        _ => {
            // A zone would be dropped without a word otherwise.
            let (_, time) = text.split_once(['T', 't', ' ']).unwrap_or_default();
            let zoneless = !time.is_empty() && !time.contains(['Z', 'z', '+', '-', '[']);
            let at = text.parse::<DateTime>().ok().filter(|_| zoneless);
            (
                at.map(utc::nanos),
                "a local timestamp without a zone, such as 2024-05-01T08:15:00",
            )
        }
    };
    Some(match since {
        None => Err(format!("expected {shape}")),
        Some(since) if since % i128::from(nanos) != 0 => Err(format!(
            "expected {shape}, at most {digits} digits after the second"
        )),
        Some(since) => i64::try_from(since / i128::from(nanos))
            .map_err(|_| format!("expected {shape} that fits 64 bits")),
    })
}
