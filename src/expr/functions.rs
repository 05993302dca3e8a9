//! The functions that expressions can call.
//!
//! # `date(year, month, day)`
//!
//! Integers → `date`. A day that the calendar lacks (30 February, month 13) is a record error.
//! `date(2013, 1, 31)` is 2013-01-31.
//!
//! # `localTime(date, hhmm, zone)`
//!
//! A `date`, an integer and the name of an IANA time zone → `timestamp-millis`. `hhmm` is a time of day as railway and
//! airline tables write it: `517` is 05:17, `0` is midnight at the day's beginning, `2400` midnight at its end.
//! A number that is no time of day (`1075`, `-5`, `2401`) is a record error, and so is a time that the zone skips
//! when its clocks go forward. One that occurs twice, when they go back, means the earlier.
//! `localTime(date(2013, 1, 1), 517, 'America/New_York')` is 2013-01-01T10:17:00Z. A constant zone that does not exist
//! is a fault at `check`, one from a field a record error.

use super::check::Ir;
use super::types::Base;
use crate::contract::value::Value;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};
use std::borrow::Cow;

/// A function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// `date(year, month, day)`
    Date,
    /// `localTime(date, hhmm, zone)`
    LocalTime,
}

/// Every function, for listings.
pub const ALL: [Function; 2] = [Function::Date, Function::LocalTime];

/// An argument of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    Year,
    Month,
    Day,
    Date,
    Hhmm,
    Zone,
}

impl Argument {
    pub(super) fn name(self) -> &'static str {
        match self {
            Argument::Year => "year",
            Argument::Month => "month",
            Argument::Day => "day",
            Argument::Date => "date",
            Argument::Hhmm => "hhmm",
            Argument::Zone => "zone",
        }
    }

    pub(super) fn type_name(self) -> &'static str {
        match self {
            Argument::Date => "a date",
            Argument::Zone => "a string",
            _ => "an int or long",
        }
    }

    pub(super) fn takes(self, base: &Base) -> bool {
        match self {
            Argument::Date => *base == Base::Date,
            Argument::Zone => *base == Base::String,
            _ => matches!(base, Base::Int | Base::Long),
        }
    }

    /// Whether an error of the function is most likely this argument's.
    pub(super) fn name_of_failure(self) -> bool {
        matches!(self, Argument::Day | Argument::Hhmm)
    }
}

impl Function {
    /// The function of that name.
    pub fn named(name: &str) -> Option<Function> {
        ALL.into_iter().find(|function| function.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Function::Date => "date",
            Function::LocalTime => "localTime",
        }
    }

    /// How it is called.
    pub fn signature(self) -> &'static str {
        match self {
            Function::Date => "date(year, month, day)",
            Function::LocalTime => "localTime(date, hhmm, zone)",
        }
    }

    pub(super) fn arguments(self) -> &'static [Argument] {
        match self {
            Function::Date => &[Argument::Year, Argument::Month, Argument::Day],
            Function::LocalTime => &[Argument::Date, Argument::Hhmm, Argument::Zone],
        }
    }

    pub(super) fn result(self) -> Base {
        match self {
            Function::Date => Base::Date,
            Function::LocalTime => Base::TimestampMillis,
        }
    }

    /// What can be known of a constant before any record is read.
    pub(super) fn check_constant(self, argument: Argument, ir: &Ir) -> Result<(), String> {
        match (argument, ir) {
            (Argument::Zone, Ir::Const(Value::String(name))) => TimeZone::get(name)
                .map(|_| ())
                .map_err(|_| format!("there is no time zone `{name}`")),
            (Argument::Hhmm, Ir::Number(Value::Long(hhmm), _)) => time_of_day(*hhmm).map(|_| ()),
            _ => Ok(()),
        }
    }

    pub(super) fn call(self, args: &[Cow<'_, Value>]) -> Result<Value, String> {
        let wrong = || "an argument is not of the type that was checked".to_owned();
        match (self, args) {
            (Function::Date, [year, month, day]) => {
                let (Some(year), Some(month), Some(day)) =
                    (integer(year), integer(month), integer(day))
                else {
                    return Err(wrong());
                };
                let none = || "the calendar has no such day".to_owned();
                let year = i16::try_from(year).map_err(|_| none())?;
                let month = i8::try_from(month).map_err(|_| none())?;
                let day = i8::try_from(day).map_err(|_| none())?;
                let date = Date::new(year, month, day).map_err(|_| none())?;
                Ok(Value::Int(days(date)))
            }
            (Function::LocalTime, [date, hhmm, zone]) => {
                let (Value::Int(date), Some(hhmm), Value::String(zone)) =
                    (date.as_ref(), integer(hhmm), zone.as_ref())
                else {
                    return Err(wrong());
                };
                local_time(*date, hhmm, zone).map(Value::Long)
            }
            _ => Err(wrong()),
        }
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(int) => Some(i64::from(*int)),
        Value::Long(long) => Some(*long),
        _ => None,
    }
}

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// Days since the epoch.
pub(crate) fn days(date: Date) -> i32 {
    date.duration_since(EPOCH)
        .as_hours()
        .div_euclid(24)
        .try_into()
        .expect("years -9999 to 9999 fit an int of days")
}

/// The date so many days after the epoch, if it is in the years -9999 to 9999.
pub(crate) fn date_of(days: i32) -> Option<Date> {
    EPOCH
        .checked_add(jiff::SignedDuration::from_hours(i64::from(days) * 24))
        .ok()
}

/// Hours and minutes; `24:00` for midnight at the day's end.
fn time_of_day(hhmm: i64) -> Result<(i8, i8), String> {
    let none = || "this is not a time of day as hhmm (0 to 2400)".to_owned();
    if !(0..=2400).contains(&hhmm) || hhmm % 100 > 59 {
        return Err(none());
    }
    let part = |n: i64| i8::try_from(n).map_err(|_| none());
    Ok((part(hhmm / 100)?, part(hhmm % 100)?))
}

fn local_time(days: i32, hhmm: i64, zone: &str) -> Result<i64, String> {
    let (hour, minute) = time_of_day(hhmm)?;
    let range = || "the date is out of range".to_owned();
    let mut date = date_of(days).ok_or_else(range)?;
    if hour == 24 {
        date = date.tomorrow().map_err(|_| range())?;
    }
    let zone = TimeZone::get(zone).map_err(|_| "there is no such time zone".to_owned())?;
    let time = date.at(hour % 24, minute, 0, 0);
    let ambiguous = zone.to_ambiguous_timestamp(time);
    if let AmbiguousOffset::Gap { .. } = ambiguous.offset() {
        return Err("the zone skips this time: its clocks go forward".to_owned());
    }
    let timestamp = ambiguous.earlier().map_err(|_| range())?;
    Ok(timestamp.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(year: i16, month: i8, day: i8, hhmm: i64, zone: &str) -> Result<String, String> {
        local_time(days(jiff::civil::date(year, month, day)), hhmm, zone).map(|millis| {
            jiff::Timestamp::from_millisecond(millis)
                .expect("in range")
                .to_string()
        })
    }

    #[test]
    fn local_times() {
        let york = "America/New_York";
        for (y, m, d, hhmm, zone, expect) in [
            (2013, 1, 1, 517, york, "2013-01-01T10:17:00Z"),
            (2013, 7, 1, 0, york, "2013-07-01T04:00:00Z"),
            (2013, 12, 31, 2400, york, "2014-01-01T05:00:00Z"),
            (2013, 11, 3, 130, york, "2013-11-03T05:30:00Z"),
            (1969, 12, 31, 2359, "UTC", "1969-12-31T23:59:00Z"),
        ] {
            assert_eq!(at(y, m, d, hhmm, zone).as_deref(), Ok(expect), "{hhmm}");
        }
    }

    #[test]
    fn impossible_times_are_errors() {
        let york = "America/New_York";
        for (d, hhmm, zone, expect) in [
            (10, 230, york, "skips"),
            (1, 1075, york, "hhmm"),
            (1, 2401, york, "hhmm"),
            (1, -5, york, "hhmm"),
            (1, 500, "America/Newyork", "no such time zone"),
        ] {
            let error = at(2013, 3, d, hhmm, zone).expect_err("must fail");
            assert!(error.contains(expect), "{hhmm}: {error}");
        }
    }

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
