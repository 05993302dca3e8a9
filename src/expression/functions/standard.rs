//! CEL's own functions, and the makers of dates: what the language itself has, beyond operators.

use std::sync::Arc;

use super::{Call, CallError, Constants, Example, Form, Function, Ty};
use crate::expr::functions::days;
use crate::expression::value::Val;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// The functions of this file.
pub static FUNCTIONS: &[Function] = &[
    Function {
        name: "date",
        group: "dates",
        doc: "The day of a year, month and day.",
        errors: "The calendar has no such day (30 February, month 13).",
        forms: &[Form {
            method: false,
            params: &[("year", Ty::Int), ("month", Ty::Int), ("day", Ty::Int)],
            result: Ty::Date,
            make: make_date,
        }],
        examples: &[
            Example {
                expr: "date(2013, 1, 31)",
                result: "date(2013, 1, 31)",
            },
            Example {
                expr: "date(2013, 2, 30)",
                result: "error: the calendar has no such day",
            },
        ],
    },
    Function {
        name: "localTime",
        group: "dates",
        doc: "The instant of a date and a time of day in a time zone (an IANA name). `hhmm` is a time of day as railway \
              and airline tables write it: `517` is 05:17, `0` is midnight at the day's beginning, `2400` midnight at its \
              end. A time that occurs twice, when the clocks go back, means the earlier.",
        errors: "A number that is no time of day (`1075`, `-5`, `2401`); a time that the zone skips when its clocks go \
                 forward; a zone that does not exist (at `check` if it is a constant).",
        forms: &[Form {
            method: false,
            params: &[("date", Ty::Date), ("hhmm", Ty::Int), ("zone", Ty::Text)],
            result: Ty::TimestampMillis,
            make: make_local_time,
        }],
        examples: &[Example {
            expr: "localTime(date(2013, 1, 1), 517, 'America/New_York')",
            result: "timestamp('2013-01-01T10:17:00Z')",
        }],
    },
];

/// An argument is not of the type that was checked.
fn wrong() -> CallError {
    CallError::from("an argument is not of the type that was checked")
}

fn make_date(_: &Constants<'_>) -> Result<Call, (usize, String)> {
    Ok(Arc::new(|_, args| {
        let &[Val::Int(year), Val::Int(month), Val::Int(day)] = args else {
            return Err(wrong());
        };
        let none = |nth| CallError::Argument(nth, "the calendar has no such day".to_owned());
        let year = i16::try_from(year).map_err(|_| none(0))?;
        let month = i8::try_from(month).map_err(|_| none(1))?;
        let day = i8::try_from(day).map_err(|_| none(2))?;
        Ok(Val::Date(days(
            Date::new(year, month, day).map_err(|_| none(2))?,
        )))
    }))
}

fn make_local_time(constants: &Constants<'_>) -> Result<Call, (usize, String)> {
    if let Some(hhmm) = constants.int(1) {
        time_of_day(hhmm).map_err(|message| (1, message))?;
    }
    let known = match constants.text(2) {
        Some(name) => Some(zone(name).map_err(|_| (2, format!("there is no time zone `{name}`")))?),
        None => None,
    };
    Ok(Arc::new(move |_, args| {
        let &[Val::Date(date), Val::Int(hhmm), Val::Text(name)] = args else {
            return Err(wrong());
        };
        let (hour, minute) = time_of_day(hhmm).map_err(|why| CallError::Argument(1, why))?;
        let range = || CallError::Argument(0, "the date is out of range".to_owned());
        let mut date = crate::expr::functions::date_of(date).ok_or_else(range)?;
        if hour == 24 {
            date = date.tomorrow().map_err(|_| range())?;
        }
        let found;
        let zone = match &known {
            Some(zone) => zone,
            None => {
                found = zone(name).map_err(|why| CallError::Argument(2, why))?;
                &found
            }
        };
        let ambiguous = zone.to_ambiguous_timestamp(date.at(hour % 24, minute, 0, 0));
        if let AmbiguousOffset::Gap { .. } = ambiguous.offset() {
            let why = "the zone skips this time: its clocks go forward";
            return Err(CallError::Argument(1, why.to_owned()));
        }
        Ok(Val::Timestamp(ambiguous.earlier().map_err(|_| range())?))
    }))
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

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| "there is no such time zone".to_owned())
}
