//! Conversions between types, as CEL names them: by the type that comes out.

use jiff::SignedDuration;

use super::super::args::{call, function, text};
use super::super::{CallError, Example, Function, Ty};
use super::wrong;
use crate::contract::decimal;
use crate::expr::cx::Cx;
use crate::expr::days::date_of;
use crate::expr::instant::Instant;
use crate::expr::number::Decimal;
use crate::expr::value::Val;

/// The functions of this file.
pub(crate) static FUNCTIONS: &[Function] = &[
    Function {
        name: "int",
        group: "conversions",
        doc: "A whole number: of a text of digits; of a double, without its fraction; of a decimal that has none; of a \
              timestamp, the seconds since 1970.",
        errors: "A text that is no whole number, a number that no long can hold, a decimal with a fraction (`round` it).",
        forms: &[
            function(&[("number", Ty::Int)], Ty::Int, |_| call(int)),
            function(&[("number", Ty::Double)], Ty::Int, |_| call(int)),
            function(&[("number", Ty::Decimal)], Ty::Int, |_| call(int)),
            function(&[("text", Ty::Text)], Ty::Int, |_| call(int)),
            function(&[("instant", Ty::Timestamp)], Ty::Int, |_| call(int)),
        ],
        examples: &[
            Example {
                expr: "int('-42')",
                result: "-42",
            },
            Example {
                expr: "int(2.9)",
                result: "2",
            },
            Example {
                expr: "int('4.2')",
                result: "error: no whole number",
            },
            Example {
                expr: "int(1e99)",
                result: "error: out of the range",
            },
        ],
    },
    Function {
        name: "double",
        group: "conversions",
        doc: "The floating-point number that is nearest to a number, or to the number that a text is.",
        errors: "A text that is no number.",
        forms: &[
            function(&[("number", Ty::Int)], Ty::Double, |_| call(double)),
            function(&[("number", Ty::Double)], Ty::Double, |_| call(double)),
            function(&[("number", Ty::Decimal)], Ty::Double, |_| call(double)),
            function(&[("text", Ty::Text)], Ty::Double, |_| call(double)),
        ],
        examples: &[
            Example {
                expr: "double(3)",
                result: "3.0",
            },
            Example {
                expr: "double('1.5')",
                result: "1.5",
            },
            Example {
                expr: "double('1,5')",
                result: "error: no number",
            },
        ],
    },
    Function {
        name: "string",
        group: "conversions",
        doc: "A text: of a number its digits, of a timestamp `2026-01-31T12:00:00Z`, of a date `2026-01-31`, of a time of day \
              `17:05:00`, of a duration its seconds as `5400s`, of bytes the UTF-8 text that they are, of an enum its symbol.",
        errors: "Bytes that are no UTF-8.",
        forms: &[
            function(&[("text", Ty::Text)], Ty::Text, |_| call(string)),
            function(&[("number", Ty::Int)], Ty::Text, |_| call(string)),
            function(&[("number", Ty::Double)], Ty::Text, |_| call(string)),
            function(&[("number", Ty::Decimal)], Ty::Text, |_| call(string)),
            function(&[("truth", Ty::Bool)], Ty::Text, |_| call(string)),
            function(&[("symbol", Ty::Enum)], Ty::Text, |_| call(string)),
            function(&[("bytes", Ty::Bytes)], Ty::Text, |_| call(string)),
            function(&[("instant", Ty::Timestamp)], Ty::Text, |_| call(string)),
            function(&[("date", Ty::Date)], Ty::Text, |_| call(string)),
            function(&[("time", Ty::Time)], Ty::Text, |_| call(string)),
            function(&[("duration", Ty::Duration)], Ty::Text, |_| call(string)),
        ],
        examples: &[
            Example {
                expr: "string(12)",
                result: "'12'",
            },
            Example {
                expr: "string(decimal('12.50'))",
                result: "'12.50'",
            },
            Example {
                expr: "string(timestamp('2026-01-31T13:00:00+01:00'))",
                result: "'2026-01-31T12:00:00Z'",
            },
            Example {
                expr: "string(date(2026, 1, 31))",
                result: "'2026-01-31'",
            },
            Example {
                expr: "string(duration('1h30m'))",
                result: "'5400s'",
            },
            Example {
                expr: r"string(b'\xff')",
                result: "error: no UTF-8",
            },
        ],
    },
    Function {
        name: "bytes",
        group: "conversions",
        doc: "The bytes of a text in UTF-8.",
        errors: "",
        forms: &[
            function(&[("bytes", Ty::Bytes)], Ty::Bytes, |_| call(bytes)),
            function(&[("text", Ty::Text)], Ty::Bytes, |_| call(bytes)),
        ],
        examples: &[
            Example {
                expr: "bytes('abc')",
                result: "b'abc'",
            },
            Example {
                expr: "size(bytes('ó'))",
                result: "2",
            },
        ],
    },
    Function {
        name: "bool",
        group: "conversions",
        doc: "True for the texts `1`, `t`, `true`, `True` and `TRUE`, false for `0`, `f`, `false`, `False` and `FALSE`.",
        errors: "Any other text.",
        forms: &[
            function(&[("truth", Ty::Bool)], Ty::Bool, |_| call(boolean)),
            function(&[("text", Ty::Text)], Ty::Bool, |_| call(boolean)),
        ],
        examples: &[
            Example {
                expr: "bool('true')",
                result: "true",
            },
            Example {
                expr: "bool('yes')",
                result: "error: neither",
            },
        ],
    },
    Function {
        name: "timestamp",
        group: "conversions",
        doc: "The instant of a text in the form of RFC 3339, or so many seconds after the beginning of 1970. For other \
              texts there is `parseTimestamp`.",
        errors: "A text of another form, a day that the calendar lacks, an instant outside of the years 1 to 9999.",
        forms: &[
            function(&[("text", Ty::Text)], Ty::Timestamp, |_| call(timestamp)),
            function(&[("seconds", Ty::Int)], Ty::Timestamp, |_| call(timestamp)),
            function(&[("instant", Ty::Timestamp)], Ty::Timestamp, |_| {
                call(timestamp)
            }),
        ],
        examples: &[
            Example {
                expr: "timestamp('2026-01-31T13:00:00+01:00')",
                result: "timestamp('2026-01-31T12:00:00Z')",
            },
            Example {
                expr: "timestamp(86400)",
                result: "timestamp('1970-01-02T00:00:00Z')",
            },
            Example {
                expr: "timestamp('2026-01-31')",
                result: "error: expected a timestamp such as",
            },
        ],
    },
    Function {
        name: "duration",
        group: "conversions",
        doc: "A length of time: numbers with units one after another, `h`, `m`, `s`, `ms`, `us`, `ns`. There are no days, \
              which are not all of one length.",
        errors: "A text of another form, a length of more than 292 years.",
        forms: &[
            function(&[("text", Ty::Text)], Ty::Duration, |_| call(duration)),
            function(&[("duration", Ty::Duration)], Ty::Duration, |_| {
                call(duration)
            }),
        ],
        examples: &[
            Example {
                expr: "duration('1h30m')",
                result: "duration('5400s')",
            },
            Example {
                expr: "timestamp('2026-01-31T12:00:00Z') + duration('-1.5s')",
                result: "timestamp('2026-01-31T11:59:58.5Z')",
            },
            Example {
                expr: "duration('2 days')",
                result: "error: expected a duration such as",
            },
        ],
    },
];

fn int<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let range = || CallError::from("the number is out of the range of a long");
    Ok(Val::Int(match args {
        [Val::Int(number)] => *number,
        [Val::Double(number)] => {
            const TWO_63: f64 = 9_223_372_036_854_775_808.0;
            if !(*number < TWO_63 && *number > -TWO_63) {
                return Err(range());
            }
            #[expect(clippy::cast_possible_truncation, reason = "the fraction is to go")]
            let whole = *number as i64;
            whole
        }
        [Val::Decimal(unscaled, scale)] => {
            cx.spend_bytes(unscaled.len() * 8)?;
            let exact = exact(unscaled, *scale)?;
            let whole = exact.at_scale(0);
            let whole =
                whole.ok_or("the number has a fraction; `round` says what becomes of it")?;
            i64::try_from(&whole).map_err(|_| range())?
        }
        [Val::Text(text)] => {
            cx.spend_bytes(text.len())?;
            text.parse()
                .map_err(|_| "the text is no whole number that a long can hold")?
        }
        [Val::Timestamp(instant)] => instant.as_second(),
        _ => return Err(wrong()),
    }))
}

/// A decimal that is small enough to be worked with.
fn exact(unscaled: &[u8], scale: u32) -> Result<Decimal, CallError> {
    if unscaled.len() > 512 || scale > 1_000 {
        return Err("the number has more than 1,000 digits".into());
    }
    Ok(Decimal::from_avro(unscaled, scale as usize))
}

fn double<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    Ok(Val::Double(match args {
        #[expect(
            clippy::cast_precision_loss,
            reason = "the nearest is what is asked for"
        )]
        [Val::Int(number)] => *number as f64,
        [Val::Double(number)] => *number,
        [Val::Decimal(unscaled, scale)] => {
            cx.spend_bytes(unscaled.len() * 8)?;
            let text = exact(unscaled, *scale)?.to_text();
            text.parse().map_err(|_| wrong())?
        }
        [Val::Text(text)] => {
            cx.spend_bytes(text.len())?;
            text.parse().map_err(|_| "the text is no number")?
        }
        _ => return Err(wrong()),
    }))
}

pub(in crate::expr::functions) fn string<'a>(
    cx: &mut Cx<'a>,
    args: &[Val<'a>],
) -> Result<Val<'a>, CallError> {
    let made = match args {
        [Val::Text(text)] => {
            cx.spend_bytes(text.len())?;
            return Ok(Val::Text(text));
        }
        [Val::Bytes(bytes)] => {
            cx.spend_bytes(bytes.len())?;
            let text = std::str::from_utf8(bytes).map_err(|_| "the bytes are no UTF-8")?;
            return Ok(Val::Text(text));
        }
        [Val::Int(number)] => number.to_string(),
        [Val::Double(number)] => of_double(*number),
        [Val::Bool(truth)] => truth.to_string(),
        [Val::Decimal(unscaled, scale)] => {
            cx.spend_bytes(unscaled.len().saturating_mul(8))?;
            decimal::to_text(unscaled, *scale as usize)
                .ok_or("the number has more digits than are written")?
        }
        [Val::Timestamp(instant)] => instant.to_string(),
        [Val::Date(days)] => date_of(*days)
            .ok_or("the date is outside of the years -9999 to 9999")?
            .to_string(),
        [Val::Time(nanos)] => of_time(*nanos).ok_or("the time is no time of a day")?,
        [Val::Duration(length)] => of_duration(*length),
        _ => return Err(wrong()),
    };
    Ok(cx.text(&made))
}

/// The shortest digits that are this number; with an exponent where they would be many.
fn of_double(number: f64) -> String {
    let size = number.abs();
    match number {
        _ if number.is_infinite() => if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned(),
        _ if size != 0.0 && !(1e-6..1e21).contains(&size) => format!("{number:e}"),
        _ => number.to_string(),
    }
}

fn of_time(nanos: i64) -> Option<String> {
    let time = jiff::civil::Time::midnight();
    let time = time.checked_add(SignedDuration::from_nanos(nanos)).ok()?;
    Some(time.to_string())
}

/// `5400s`, `-0.5s`
fn of_duration(length: SignedDuration) -> String {
    let nanos = length.as_nanos();
    let sign = if nanos < 0 { "-" } else { "" };
    let (whole, rest) = (
        nanos.unsigned_abs() / 1_000_000_000,
        nanos.unsigned_abs() % 1_000_000_000,
    );
    match rest {
        0 => format!("{sign}{whole}s"),
        _ => {
            let fraction = format!("{rest:09}");
            format!("{sign}{whole}.{}s", fraction.trim_end_matches('0'))
        }
    }
}

fn bytes<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    match args {
        [Val::Bytes(bytes)] => Ok(Val::Bytes(bytes)),
        [Val::Text(text)] => {
            cx.spend_bytes(text.len())?;
            Ok(Val::Bytes(text.as_bytes()))
        }
        _ => Err(wrong()),
    }
}

fn boolean<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let text = match args {
        [Val::Bool(truth)] => return Ok(Val::Bool(*truth)),
        _ => text(args, 0)?,
    };
    cx.spend_bytes(text.len())?;
    match text {
        "1" | "t" | "true" | "TRUE" | "True" => Ok(Val::Bool(true)),
        "0" | "f" | "false" | "FALSE" | "False" => Ok(Val::Bool(false)),
        _ => Err("the text says neither true nor false".into()),
    }
}

fn timestamp<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    let outside = || CallError::from("the timestamp is outside of the years 1 to 9999");
    let instant = match args {
        [Val::Timestamp(instant)] => return Ok(Val::Timestamp(*instant)),
        [Val::Int(seconds)] => Instant::from_second(*seconds).ok_or_else(outside)?,
        _ => {
            let text = text(args, 0)?;
            cx.spend_bytes(text.len())?;
            rfc3339(text).ok_or("expected a timestamp such as 2026-01-31T12:00:00Z")?
        }
    };
    // The years that CEL knows.
    match instant.is_cel() {
        true => Ok(Val::Timestamp(instant)),
        false => Err(outside()),
    }
}

/// The parser takes more than RFC 3339: a blank for the `T`, a time without seconds, a zone in brackets.
fn rfc3339(text: &str) -> Option<Instant> {
    let bytes = text.as_bytes();
    let digits = |from: usize, to: usize| {
        bytes
            .get(from..to)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let at = |place: usize, expect: u8| bytes.get(place) == Some(&expect);
    let shape = digits(0, 4)
        && at(4, b'-')
        && digits(5, 7)
        && at(7, b'-')
        && digits(8, 10)
        && (at(10, b'T') || at(10, b't'))
        && digits(11, 13)
        && at(13, b':')
        && digits(14, 16)
        && at(16, b':')
        && digits(17, 19)
        && bytes.len() <= 35
        && !text.contains(['[', ',']);
    if !shape {
        return None;
    }
    Instant::parse(text)
}

fn duration<'a>(cx: &mut Cx<'a>, args: &[Val<'a>]) -> Result<Val<'a>, CallError> {
    if let [Val::Duration(length)] = args {
        return Ok(Val::Duration(*length));
    }
    let text = text(args, 0)?;
    cx.spend_bytes(text.len())?;
    let nanos = nanos_of(text).ok_or("expected a duration such as 1h30m, 90s or 250ms")?;
    // What CEL takes at most.
    let nanos = i64::try_from(nanos).map_err(|_| "the duration is longer than 292 years")?;
    Ok(Val::Duration(SignedDuration::from_nanos(nanos)))
}

/// Nanoseconds of `-1h2.5m`.
fn nanos_of(text: &str) -> Option<i128> {
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() || rest.len() > 100 {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit: i128 = match unit {
            "h" => 3_600_000_000_000,
            "m" => 60_000_000_000,
            "s" => 1_000_000_000,
            "ms" => 1_000_000,
            "us" | "µs" | "μs" => 1_000,
            "ns" => 1,
            _ => return None,
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || whole.len() > 18 || fraction.contains('.') {
            return None;
        }
        let whole: i128 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        total = total.checked_add(whole.checked_mul(unit)?)?;
        // Below a nanosecond nothing is kept.
        let mut worth = unit;
        for digit in fraction.bytes() {
            worth /= 10;
            total = total.checked_add(worth * i128::from(digit - b'0'))?;
        }
        rest = after;
    }
    Some(if negative { -total } else { total })
}
