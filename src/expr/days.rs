//! Days since the epoch, as Avro counts dates.

use jiff::civil::Date;

use crate::contract::utc;

/// Days since the epoch.
pub(crate) fn days(date: Date) -> i32 {
    utc::days(date)
        .try_into()
        .expect("years -9999 to 9999 fit an int of days")
}

/// The date so many days after the epoch, if it is in the years -9999 to 9999.
pub(crate) fn date_of(days: i32) -> Option<Date> {
    utc::date(i64::from(days))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_back() {
        for (date, expect) in [
            (jiff::civil::date(1970, 1, 1), 0),
            (jiff::civil::date(1969, 12, 31), -1),
            (jiff::civil::date(2013, 1, 31), 15736),
            (Date::MIN, -4371587),
            (Date::MAX, 2932896),
        ] {
            assert_eq!(days(date), expect, "{date}");
            assert_eq!(date_of(expect), Some(date));
        }
        assert_eq!(date_of(i32::MAX), None);
        assert_eq!(date_of(i32::MIN), None);
    }
}
