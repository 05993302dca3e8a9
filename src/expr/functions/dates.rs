//! Dates and times: read and written by declared formats, never by guessing.

use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::args::{Made, blamed, call, choice, date, declared, function, int, text, timestamp};
use super::format::{self, Reading, Wanted};
use super::{CallError, Constants, Example, Function, Ty};
use crate::expr::cx::Cx;
use crate::expr::days::days;
use crate::expr::instant::Instant;
use crate::expr::value::Val;

const NO_ZONE: &str = "there is no such time zone";

/// The functions of this file.
pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "parseDate",
        group: "dates",
        doc: "The date that a text names, by a declared format, a constant. Without one there is no telling `03/04/2026`, \
              so there is no `parseDate(text)`: declare `'%d/%m/%Y'` or `'%m/%d/%Y'`. Directives: see *Formats of dates*. \
              A time of day that the format names is read and dropped.",
        errors: "A text of another format, also one with something behind it; a day that the calendar lacks; a year that is \
                 not of four digits.",
        forms: &[
            function(
                &[("text", Ty::Text), ("format", Ty::Text)],
                Ty::Date,
                parse_date,
            ),
            function(&[("text", Ty::Text)], Ty::Date, |_| {
                refuse(
                    1,
                    "declare the format: parseDate(text, '%d/%m/%Y') takes 03/04/2026 as 3 April, '%m/%d/%Y' as March 4",
                )
            }),
        ],
        examples: &[
            Example {
                expr: "parseDate('03/04/2026', '%d/%m/%Y')",
                result: "date(2026, 4, 3)",
            },
            Example {
                expr: "parseDate('03/04/2026', '%m/%d/%Y')",
                result: "date(2026, 3, 4)",
            },
            Example {
                expr: "parseDate('3. April 2026', '%d. %B %Y')",
                result: "date(2026, 4, 3)",
            },
            Example {
                expr: "parseDate('31/02/2026', '%d/%m/%Y')",
                result: "error: the calendar has no such day",
            },
            Example {
                expr: "parseDate('03/04/26', '%d/%m/%Y')",
                result: "error: a year of four digits",
            },
            Example {
                expr: "parseDate('03/04/2026')",
                result: "error: declare the format",
            },
        ],
    },
    Function {
        name: "parseTimestamp",
        group: "dates",
        doc: "The point in time that a text names, by a declared format, a constant. The format has an offset (`%z`, `%:z`; see *Formats of dates*), \
              or `zone` names the IANA time zone that the text is in; a text that ends in `Z` is read with a `Z` in the \
              format and `'UTC'`. A time that occurs twice, when clocks go back, is an error unless a constant says \
              `'earlier'` or `'later'`. The second 60 is read as 59.",
        errors: "As `parseDate`; a time that the zone skips when its clocks go forward; one that occurs twice, if nothing \
                 says which; a zone that does not exist (at `check`, if it is a constant).",
        forms: &[
            function(
                &[("text", Ty::Text), ("format", Ty::Text)],
                Ty::Timestamp,
                parse_instant,
            ),
            function(
                &[("text", Ty::Text), ("format", Ty::Text), ("zone", Ty::Text)],
                Ty::Timestamp,
                parse_local,
            ),
            function(
                &[
                    ("text", Ty::Text),
                    ("format", Ty::Text),
                    ("zone", Ty::Text),
                    ("which", Ty::Text),
                ],
                Ty::Timestamp,
                parse_local,
            ),
            function(&[("text", Ty::Text)], Ty::Timestamp, |_| {
                refuse(
                    1,
                    "declare the format: parseTimestamp(text, '%Y-%m-%dT%H:%M:%S%:z'); for ISO 8601 use timestamp(text)",
                )
            }),
        ],
        examples: &[
            Example {
                expr: "parseTimestamp('03.04.2026 17:05 +0200', '%d.%m.%Y %H:%M %z')",
                result: "timestamp('2026-04-03T15:05:00Z')",
            },
            Example {
                expr: "parseTimestamp('4/3/2026 5:05 PM', '%m/%d/%Y %I:%M %p', 'America/New_York')",
                result: "timestamp('2026-04-03T21:05:00Z')",
            },
            Example {
                expr: "parseTimestamp('2026-10-25 02:30', '%F %R', 'Europe/Berlin', 'later')",
                result: "timestamp('2026-10-25T01:30:00Z')",
            },
            Example {
                expr: "parseTimestamp('2026-10-25 02:30', '%F %R', 'Europe/Berlin')",
                result: "error: occurs twice",
            },
            Example {
                expr: "parseTimestamp('2026-03-29 02:30', '%F %R', 'Europe/Berlin')",
                result: "error: skips this time",
            },
        ],
    },
    Function {
        name: "formatDate",
        group: "dates",
        doc: "A date, or a point in time as the clocks of `zone` show it (UTC without one), written by a format, a \
              constant. Directives: see *Formats of dates*; names are English.",
        errors: "A zone that does not exist (at `check`, if it is a constant).",
        forms: &[
            function(
                &[("date", Ty::Date), ("format", Ty::Text)],
                Ty::Text,
                format_date,
            ),
            function(
                &[("timestamp", Ty::Timestamp), ("format", Ty::Text)],
                Ty::Text,
                format_time,
            ),
            function(
                &[
                    ("timestamp", Ty::Timestamp),
                    ("format", Ty::Text),
                    ("zone", Ty::Text),
                ],
                Ty::Text,
                format_time,
            ),
        ],
        examples: &[
            Example {
                expr: "formatDate(date(2026, 4, 3), '%d.%m.%Y')",
                result: "'03.04.2026'",
            },
            Example {
                expr: "formatDate(timestamp('2026-04-03T15:05:00Z'), '%F %H:%M', 'Asia/Tokyo')",
                result: "'2026-04-04 00:05'",
            },
            Example {
                expr: "formatDate(date(2026, 4, 3), '%H:%M')",
                result: "error: a date has no `%H`",
            },
        ],
    },
    Function {
        name: "epoch",
        group: "dates",
        doc: "A point in time as a number since 1970-01-01T00:00:00Z, in a unit, a constant: `'s'`, `'ms'`, `'us'` or \
              `'ns'`. What is finer than the unit is cut off, towards the past.",
        errors: "The number is no long (nanoseconds beyond the years 1677 to 2262).",
        forms: &[function(
            &[("timestamp", Ty::Timestamp), ("unit", Ty::Text)],
            Ty::Int,
            |constants| {
                let unit = choice(constants, 1, "unit", &UNITS)?;
                call(move |_, args| {
                    let number = timestamp(args, 0)?.as_nanosecond().div_euclid(unit);
                    i64::try_from(number)
                        .map(Val::Int)
                        .map_err(|_| "overflow: the time is outside of a long in this unit".into())
                })
            },
        )],
        examples: &[
            Example {
                expr: "epoch(timestamp('2026-01-01T00:00:00Z'), 's')",
                result: "1767225600",
            },
            Example {
                expr: "epoch(timestamp('1969-12-31T23:59:59.500Z'), 's')",
                result: "-1",
            },
            Example {
                expr: "epoch(timestamp('9000-01-01T00:00:00Z'), 'ns')",
                result: "error: overflow",
            },
        ],
    },
    Function {
        name: "fromEpoch",
        group: "dates",
        doc: "The point in time that is so many units, a constant (`'s'`, `'ms'`, `'us'` or `'ns'`), after \
              1970-01-01T00:00:00Z.",
        errors: "A time outside of the years -9999 to 9999, as seconds that are milliseconds in truth often are.",
        forms: &[function(
            &[("number", Ty::Int), ("unit", Ty::Text)],
            Ty::Timestamp,
            |constants| {
                let unit = choice(constants, 1, "unit", &UNITS)?;
                call(move |_, args| {
                    let instant = Instant::from_nanosecond(i128::from(int(args, 0)?) * unit);
                    instant
                        .map(Val::Timestamp)
                        .ok_or_else(|| "the time is outside of the years -9999 to 9999".into())
                })
            },
        )],
        examples: &[
            Example {
                expr: "fromEpoch(1767225600, 's')",
                result: "timestamp('2026-01-01T00:00:00Z')",
            },
            Example {
                expr: "fromEpoch(1767225600000, 's')",
                result: "error: outside of the years",
            },
        ],
    },
];

const UNITS: [(&str, i128); 4] = [
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A form that is there to say what to write instead. The place behind the last argument is the whole call.
fn refuse(arguments: usize, why: &str) -> Made {
    Err((arguments, why.to_owned()))
}

fn reading(constants: &Constants<'_>, wanted: Wanted) -> Result<Reading, (usize, String)> {
    let format = declared(constants, 1, "a format such as '%d/%m/%Y'")?;
    Reading::new(format, wanted).map_err(|why| (1, why))
}

fn parse_date(constants: &Constants<'_>) -> Made {
    let reading = reading(constants, Wanted::Date)?;
    call(move |cx, args| {
        let text = text(args, 0)?;
        cx.spend_bytes(text.len())?;
        Ok(Val::Date(days(reading.date(text)?)))
    })
}

fn parse_instant(constants: &Constants<'_>) -> Made {
    let reading = reading(constants, Wanted::Instant)?;
    call(move |cx, args| {
        let text = text(args, 0)?;
        cx.spend_bytes(text.len())?;
        let (time, offset) = reading.time(text)?;
        let offset = offset.ok_or("the text has no offset")?;
        let instant = Instant::at(time, offset).ok_or("the time is out of range")?;
        Ok(Val::Timestamp(instant))
    })
}

/// Which of two times that a clock shows alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Unsaid,
    Earlier,
    Later,
}

fn parse_local(constants: &Constants<'_>) -> Made {
    let reading = reading(constants, Wanted::Local)?;
    let zone = Zone::of(constants, 2)?;
    let which = match constants.args.len() {
        3 => Which::Unsaid,
        _ => choice(
            constants,
            3,
            "choice",
            &[("earlier", Which::Earlier), ("later", Which::Later)],
        )?,
    };
    call(move |cx, args| {
        let text = text(args, 0)?;
        cx.spend_bytes(text.len())?;
        let (time, _) = reading.time(text)?;
        Ok(Val::Timestamp(instant(time, &zone.get(args)?, which)?))
    })
}

fn instant(time: DateTime, zone: &TimeZone, which: Which) -> Result<Instant, CallError> {
    let ambiguous = zone.to_ambiguous_timestamp(time);
    let offset = match (ambiguous.offset(), which) {
        (AmbiguousOffset::Gap { .. }, _) => {
            return Err("the zone skips this time: its clocks go forward".into());
        }
        (AmbiguousOffset::Fold { .. }, Which::Unsaid) => {
            return Err(
                "this time occurs twice, since the clocks go back: 'earlier' or 'later' as the fourth argument says which".into(),
            );
        }
        (AmbiguousOffset::Unambiguous { offset }, _) => offset,
        (AmbiguousOffset::Fold { before, .. }, Which::Earlier) => before,
        (AmbiguousOffset::Fold { after, .. }, Which::Later) => after,
    };
    Instant::at(time, offset).ok_or_else(|| "the time is out of range".into())
}

/// A time zone: looked up once if it is a constant.
enum Zone {
    Known(TimeZone),
    Argument(usize),
}

impl Zone {
    fn of(constants: &Constants<'_>, at: usize) -> Result<Zone, (usize, String)> {
        match constants.text(at) {
            None => Ok(Zone::Argument(at)),
            Some(name) => match TimeZone::get(name) {
                Ok(zone) => Ok(Zone::Known(zone)),
                Err(_) => Err((at, format!("there is no time zone `{name}`"))),
            },
        }
    }

    fn get(&self, args: &[Val<'_>]) -> Result<TimeZone, CallError> {
        match self {
            Zone::Known(zone) => Ok(zone.clone()),
            Zone::Argument(at) => match text(args, *at)? {
                // Longer than any; not worth a look.
                name if name.len() > 64 => Err(blamed(*at, NO_ZONE)),
                name => TimeZone::get(name).map_err(|_| blamed(*at, NO_ZONE)),
            },
        }
    }
}

fn writing(constants: &Constants<'_>, time: bool) -> Result<Arc<str>, (usize, String)> {
    let format = declared(constants, 1, "a format such as '%d/%m/%Y'")?;
    format::writing(format, time).map_err(|why| (1, why))?;
    Ok(format.into())
}

fn format_date(constants: &Constants<'_>) -> Made {
    let format = writing(constants, false)?;
    call(move |cx, args| {
        let midnight = date(args, 0)?.at(0, 0, 0, 0);
        let out = format::write(&format, midnight)?;
        written(cx, &out)
    })
}

fn format_time(constants: &Constants<'_>) -> Made {
    let format = writing(constants, true)?;
    let zone = match constants.args.len() {
        2 => Zone::Known(TimeZone::UTC),
        _ => Zone::of(constants, 2)?,
    };
    call(move |cx, args| {
        let (instant, zone) = (timestamp(args, 0)?, zone.get(args)?);
        let out = match instant.timestamp() {
            Some(known) => format::write(&format, &known.to_zoned(zone))?,
            // Without the zone's name and abbreviation, which are only known with what lies in the calendar's range.
            None => {
                let local = instant.local(&zone);
                let local = local.ok_or("the clocks of the zone show no year that can be told")?;
                let mut parts = BrokenDownTime::from(local);
                parts.set_offset(Some(instant.offset(&zone)));
                format::write(&format, parts)?
            }
        };
        written(cx, &out)
    })
}

fn written<'a>(cx: &mut Cx<'a>, out: &str) -> Result<Val<'a>, CallError> {
    cx.spend_bytes(out.len())?;
    Ok(cx.text(out))
}
