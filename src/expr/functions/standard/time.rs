//! What dates, timestamps, times of day and durations are made of, and dates and instants from their parts.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use super::super::args::{Made, call, date, function, int, method, text, timestamp};
use super::super::{CallError, Constants, Example, Function, Ty};
use super::wrong;
use crate::expr::days::days;
use crate::expr::instant::Instant;
use crate::expr::value::Val;

/// A function that tells a part of an instant in UTC, or in the zone that is named, and of what else its further forms take.
macro_rules! part_of {
    ($name:literal, $doc:literal, $get:expr, [$($form:expr),+], $examples:expr) => {
        Function {
            name: $name,
            group: "dates",
            doc: $doc,
            errors: "A zone that does not exist (at `check`, if it is a constant).",
            forms: &[
                method(&[("instant", Ty::Timestamp)], Ty::Int, |_| {
                    of_instant(None, $get)
                }),
                method(
                    &[("instant", Ty::Timestamp), ("zone", Ty::Text)],
                    Ty::Int,
                    |constants| of_instant(Some(constants), $get),
                ),
                $($form),+
            ],
            examples: $examples,
        }
    };
}

/// The same of a date.
macro_rules! part_of_day {
    ($name:literal, $doc:literal, $get:expr, $examples:expr) => {
        part_of!(
            $name,
            $doc,
            $get,
            [method(&[("date", Ty::Date)], Ty::Int, |_| {
                call(|_, args| Ok(Val::Int($get(date(args, 0)?.at(0, 0, 0, 0)))))
            })],
            $examples
        )
    };
}

/// The same of a time of day; `$total` is the part of a duration.
macro_rules! part_of_time {
    ($name:literal, $doc:literal, $get:expr, $total:expr, $examples:expr) => {
        part_of!(
            $name,
            $doc,
            $get,
            [
                method(&[("time", Ty::Time)], Ty::Int, |_| {
                    call(|_, args| match args {
                        [Val::Time(nanos)] => {
                            let midnight = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
                            let at = jiff::SignedDuration::from_nanos(*nanos);
                            let at = midnight.checked_add(at).map_err(|_| wrong())?;
                            Ok(Val::Int($get(at)))
                        }
                        _ => Err(wrong()),
                    })
                }),
                method(&[("duration", Ty::Duration)], Ty::Int, |_| {
                    call(|_, args| match args {
                        [Val::Duration(length)] => {
                            let total: fn(i128) -> i128 = $total;
                            let part = total(length.as_nanos());
                            Ok(Val::Int(i64::try_from(part).map_err(|_| wrong())?))
                        }
                        _ => Err(wrong()),
                    })
                })
            ],
            $examples
        )
    };
}

/// An example.
const fn is(expr: &'static str, result: &'static str) -> Example {
    Example { expr, result }
}

/// The functions of this file.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function {
        name: "date",
        group: "dates",
        doc: "A day: of a year, month and day; of a text as `2026-01-31`; of an instant, as the calendars of a time zone show \
              it. For other texts there is `parseDate`.",
        errors: "A day that the calendar lacks (30 February, month 13), a text of another form, a zone that does not exist.",
        forms: &[
            function(
                &[("year", Ty::Int), ("month", Ty::Int), ("day", Ty::Int)],
                Ty::Date,
                |_| call(|_, args| of_parts(int(args, 0)?, int(args, 1)?, int(args, 2)?)),
            ),
            function(&[("text", Ty::Text)], Ty::Date, iso_date),
            function(
                &[("instant", Ty::Timestamp), ("zone", Ty::Text)],
                Ty::Date,
                local_date,
            ),
        ],
        examples: &[
            is("date(2013, 1, 31)", "date('2013-01-31')"),
            is("date('2013-02-30')", "error: the calendar has no such day"),
            is("date('31.01.2013')", "error: expected a date such as"),
            is(
                "date(timestamp('2026-01-31T23:30:00Z'), 'Europe/Berlin')",
                "date('2026-02-01')",
            ),
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
        forms: &[function(
            &[("date", Ty::Date), ("hhmm", Ty::Int), ("zone", Ty::Text)],
            Ty::TimestampMillis,
            local_time,
        )],
        examples: &[
            is(
                "localTime(date(2013, 1, 1), 517, 'America/New_York')",
                "timestamp('2013-01-01T10:17:00Z')",
            ),
            is(
                "localTime(date(2013, 12, 31), 2400, 'America/New_York')",
                "timestamp('2014-01-01T05:00:00Z')",
            ),
            is(
                "localTime(date(2013, 3, 10), 230, 'America/New_York')",
                "error: the zone skips this time",
            ),
        ],
    },
    part_of_day!(
        "getFullYear",
        "The year of a date, or of an instant in UTC or in the zone that is named.",
        |at: DateTime| i64::from(at.year()),
        &[
            is("timestamp('2026-01-31T23:30:00Z').getFullYear()", "2026"),
            is("date('2026-01-31').getFullYear()", "2026"),
        ]
    ),
    part_of_day!(
        "getMonth",
        "The month of a date, or of an instant in UTC or in the zone that is named. As CEL has it, January is 0.",
        |at: DateTime| i64::from(at.month()) - 1,
        &[
            is("timestamp('2026-01-31T23:30:00Z').getMonth()", "0"),
            is(
                "timestamp('2026-01-31T23:30:00Z').getMonth('Europe/Berlin')",
                "1"
            ),
        ]
    ),
    part_of_day!(
        "getDate",
        "The day of the month, from 1, of a date or of an instant in UTC or in the zone that is named.",
        |at: DateTime| i64::from(at.day()),
        &[
            is("timestamp('2026-01-31T23:30:00Z').getDate()", "31"),
            is("timestamp('2026-01-31T23:30:00Z').getDate('+01:00')", "1"),
        ]
    ),
    part_of_day!(
        "getDayOfMonth",
        "The day of the month of a date, or of an instant in UTC or in the zone that is named. As CEL has it, the first is 0.",
        |at: DateTime| i64::from(at.day()) - 1,
        &[
            is("timestamp('2026-01-31T23:30:00Z').getDayOfMonth()", "30"),
            is("date('2026-02-01').getDayOfMonth()", "0"),
        ]
    ),
    part_of_day!(
        "getDayOfWeek",
        "The day of the week of a date, or of an instant in UTC or in the zone that is named. As CEL has it, Sunday is 0.",
        |at: DateTime| i64::from(at.weekday().to_sunday_zero_offset()),
        &[
            is("timestamp('2026-01-31T23:30:00Z').getDayOfWeek()", "6"),
            is("date('2026-02-01').getDayOfWeek()", "0"),
        ]
    ),
    part_of_day!(
        "getDayOfYear",
        "The day of the year of a date, or of an instant in UTC or in the zone that is named. As CEL has it, the first is 0.",
        |at: DateTime| i64::from(at.day_of_year()) - 1,
        &[
            is("timestamp('2026-01-31T23:30:00Z').getDayOfYear()", "30"),
            is("date('2026-01-01').getDayOfYear()", "0"),
        ]
    ),
    part_of_time!(
        "getHours",
        "The hour of a time of day, or of an instant in UTC or in the zone that is named; all hours of a duration.",
        |at: DateTime| i64::from(at.hour()),
        |nanos| nanos / 3_600_000_000_000,
        &[
            is("timestamp('2026-01-31T23:30:00Z').getHours()", "23"),
            is(
                "timestamp('2026-01-31T23:30:00Z').getHours('Asia/Kolkata')",
                "5"
            ),
            is("duration('90m').getHours()", "1"),
        ]
    ),
    part_of_time!(
        "getMinutes",
        "The minute of a time of day, or of an instant in UTC or in the zone that is named; all minutes of a duration.",
        |at: DateTime| i64::from(at.minute()),
        |nanos| nanos / 60_000_000_000,
        &[
            is("timestamp('2026-01-31T23:30:00Z').getMinutes()", "30"),
            is("duration('1h30m').getMinutes()", "90"),
        ]
    ),
    part_of_time!(
        "getSeconds",
        "The second of a time of day, or of an instant; all seconds of a duration.",
        |at: DateTime| i64::from(at.second()),
        |nanos| nanos / 1_000_000_000,
        &[
            is("timestamp('2026-01-31T23:30:05Z').getSeconds()", "5"),
            is("duration('1h30m').getSeconds()", "5400"),
        ]
    ),
    part_of_time!(
        "getMilliseconds",
        "The milliseconds within the second of a time of day, an instant, or a duration.",
        |at: DateTime| i64::from(at.millisecond()),
        |nanos| nanos / 1_000_000 % 1_000,
        &[
            is(
                "timestamp('2026-01-31T23:30:05.25Z').getMilliseconds()",
                "250"
            ),
            is("duration('1.5s').getMilliseconds()", "500"),
        ]
    ),
];

fn of_parts<'a>(year: i64, month: i64, day: i64) -> Result<Val<'a>, CallError> {
    let none = |nth| CallError::Argument(nth, "the calendar has no such day".to_owned());
    let year = i16::try_from(year).map_err(|_| none(0))?;
    let month = i8::try_from(month).map_err(|_| none(1))?;
    let day = i8::try_from(day).map_err(|_| none(2))?;
    let date = Date::new(year, month, day).map_err(|_| none(2))?;
    Ok(Val::Date(days(date)))
}

fn iso_date(constants: &Constants<'_>) -> Made {
    if let Some(text) = constants.text(0) {
        read_date(text).map_err(|why| (0, why.to_owned()))?;
    }
    call(|cx, args| {
        let text = text(args, 0)?;
        cx.spend_bytes(text.len())?;
        Ok(Val::Date(days(read_date(text)?)))
    })
}

/// `2026-01-31`, and nothing else.
fn read_date(text: &str) -> Result<Date, &'static str> {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 10
        && bytes.iter().enumerate().all(|(nth, byte)| match nth {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !shape {
        return Err("expected a date such as 2026-01-31; `parseDate` takes other forms");
    }
    text.parse().map_err(|_| "the calendar has no such day")
}

fn local_date(constants: &Constants<'_>) -> Made {
    let known = constant_zone(constants, 1)?;
    call(move |_, args| {
        let instant = timestamp(args, 0)?;
        let local = clocks(instant, &zone_of(known.as_ref(), args, 1)?)?;
        Ok(Val::Date(days(local.date())))
    })
}

fn of_instant(constants: Option<&Constants<'_>>, get: fn(DateTime) -> i64) -> Made {
    let known = match constants {
        Some(constants) => constant_zone(constants, 1)?,
        None => Some(TimeZone::UTC),
    };
    call(move |_, args| {
        let instant = timestamp(args, 0)?;
        let local = clocks(instant, &zone_of(known.as_ref(), args, 1)?)?;
        Ok(Val::Int(get(local)))
    })
}

fn clocks(instant: Instant, zone: &TimeZone) -> Result<DateTime, CallError> {
    let local = instant.local(zone);
    local.ok_or_else(|| "the clocks of the zone show no year that can be told".into())
}

/// The zone that a constant names; nothing if the argument is none.
fn constant_zone(
    constants: &Constants<'_>,
    nth: usize,
) -> Result<Option<TimeZone>, (usize, String)> {
    let Some(name) = constants.text(nth) else {
        return Ok(None);
    };
    match zone(name) {
        Some(zone) => Ok(Some(zone)),
        None => Err((nth, format!("there is no time zone `{name}`"))),
    }
}

fn zone_of(known: Option<&TimeZone>, args: &[Val<'_>], nth: usize) -> Result<TimeZone, CallError> {
    match known {
        Some(zone) => Ok(zone.clone()),
        None => zone(text(args, nth)?)
            .ok_or_else(|| CallError::Argument(nth, "there is no such time zone".to_owned())),
    }
}

/// A zone by its IANA name, or a fixed offset as `+02:00`, `-05:30` or `02:00`.
fn zone(name: &str) -> Option<TimeZone> {
    let digits = name.strip_prefix(['+', '-']).unwrap_or(name);
    if let Some((hours, minutes)) = digits.split_once(':')
        && hours.len() == 2
        && minutes.len() == 2
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b':')
    {
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        if minutes > 59 {
            return None;
        }
        let seconds = (hours * 60 + minutes) * 60;
        let seconds = if name.starts_with('-') {
            -seconds
        } else {
            seconds
        };
        return Some(TimeZone::fixed(Offset::from_seconds(seconds).ok()?));
    }
    TimeZone::get(name).ok()
}

fn local_time(constants: &Constants<'_>) -> Made {
    if let Some(hhmm) = constants.int(1) {
        time_of_day(hhmm).map_err(|message| (1, message))?;
    }
    let known = constant_zone(constants, 2)?;
    call(move |_, args| {
        let (mut date, hhmm) = (date(args, 0)?, int(args, 1)?);
        let (hour, minute) = time_of_day(hhmm).map_err(|why| CallError::Argument(1, why))?;
        let range = || CallError::Argument(0, "the date is out of range".to_owned());
        if hour == 24 {
            date = date.tomorrow().map_err(|_| range())?;
        }
        let zone = zone_of(known.as_ref(), args, 2)?;
        let ambiguous = zone.to_ambiguous_timestamp(date.at(hour % 24, minute, 0, 0));
        let offset = match ambiguous.offset() {
            AmbiguousOffset::Gap { .. } => {
                let why = "the zone skips this time: its clocks go forward";
                return Err(CallError::Argument(1, why.to_owned()));
            }
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Fold { before, .. } => before,
        };
        let instant = Instant::at(ambiguous.datetime(), offset).ok_or_else(range)?;
        Ok(Val::Timestamp(instant))
    })
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
