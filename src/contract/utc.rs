//! Nanoseconds since the epoch ↔ the calendar in UTC and RFC 3339, to the end of the year 9999: `jiff::Timestamp` ends
//! 26 hours before, so that it fits every zone, and 9999-12-31 is what many a "valid for ever" says.

use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::fmt::temporal::Pieces;

const EPOCH: DateTime = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);

/// The date and time, if the year is in -9999 to 9999.
pub(crate) fn datetime(nanos: i128) -> Option<DateTime> {
    EPOCH
        .checked_add(SignedDuration::try_from_nanos_i128(nanos)?)
        .ok()
}

/// The nanoseconds of a date and time.
pub(crate) fn nanos(at: DateTime) -> i128 {
    at.duration_since(EPOCH).as_nanos()
}

/// The days of a date.
pub(crate) fn days(date: Date) -> i64 {
    date.duration_since(EPOCH.date()).as_hours().div_euclid(24)
}

/// The date so many days after the epoch, if the year is in -9999 to 9999.
pub(crate) fn date(days: i64) -> Option<Date> {
    EPOCH
        .date()
        .checked_add(SignedDuration::try_from_hours(days.checked_mul(24)?)?)
        .ok()
}

/// What [`Timestamp`] parses, and the days that it lacks, with an offset and without a zone in brackets.
pub(crate) fn parse(text: &str) -> Option<i128> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_nanosecond());
    }
    let pieces = Pieces::parse(text).ok()?;
    if pieces.time_zone_annotation().is_some() {
        return None;
    }
    let local = pieces.date().to_datetime(pieces.time()?);
    let offset = pieces.offset()?.to_numeric_offset();
    let at = nanos(local) - i128::from(offset.seconds()) * 1_000_000_000;
    // Behind the last year there is no calendar.
    datetime(at).map(|_| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_day_is_there() {
        const LAST: i128 = 253_402_300_799_999_999_999;
        for (text, expect) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("9999-12-31T23:59:59.999999999Z", Some(LAST)),
            (
                "9999-12-31T23:59:59.999999999+02:00",
                Some(LAST - 7_200_000_000_000),
            ),
            ("9999-12-31T23:59:59-02:00", None),
            ("9999-12-31T23:59:59", None),
            ("9999-12-31T23:59:59Z[UTC]", None),
            ("9999-12-31", None),
            ("10000-01-01T00:00:00Z", None),
        ] {
            assert_eq!(parse(text), expect, "{text}");
        }
        assert_eq!(datetime(LAST + 1), None);
        assert_eq!(datetime(LAST), Some(DateTime::MAX));
        assert_eq!(date(days(Date::MAX)), Some(Date::MAX));
        assert_eq!(date(days(Date::MIN)), Some(Date::MIN));
        assert_eq!(date(days(Date::MAX) + 1), None);
        assert_eq!(date(i64::MAX), None);
    }

    proptest! {
        #[test]
        fn as_the_calendar_has_it(nanos in -377_705_000_000_000_000_000_i128..253_402_200_000_000_000_000) {
            let known = Timestamp::from_nanosecond(nanos).expect("in range");
            let at = datetime(nanos).expect("in range");
            prop_assert_eq!(at, jiff::tz::Offset::UTC.to_datetime(known));
            prop_assert_eq!(super::nanos(at), nanos);
            prop_assert_eq!(format!("{at}Z"), known.to_string());
            prop_assert_eq!(parse(&format!("{at}Z")), Some(nanos));
        }
    }
}
