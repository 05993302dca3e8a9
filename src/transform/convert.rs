//! The conversions behind `cast`: chosen by type when the step is compiled, exact when it runs. Errors say why, never
//! what the value was.

use super::cast::Target;
use crate::contract::schema::{Kind, Logical, Node};
use crate::contract::value::Value;
use crate::expr::days::{date_of, days};
use crate::expr::instant::Instant;
use crate::expr::number::{Decimal, digits, to_avro};
use crate::expr::{Cx, Val};
use jiff::civil::Date;

/// How a value gets from one type to another.
#[derive(Debug, Clone)]
pub(super) struct Conversion {
    from: From,
    to: Target,
}

/// What the field is. [`From::Plain`] says it all in the value.
#[derive(Debug, Clone)]
enum From {
    Plain,
    Text,
    Float,
    Decimal { scale: usize },
    Enum(Vec<String>),
    Date,
    Millis,
    Micros,
}

type Why = &'static str;

const TYPE: Why = "the event is not of the type that the step was checked against";
const RANGE: Why = "out of range";
const FRACTION: Why = "digits after the point would be lost";

/// The conversion, or a hint why there is none.
pub(super) fn find(from: &Node, to: Target) -> Result<Conversion, Option<&'static str>> {
    use Target as T;
    let source = match (&from.kind, from.logical) {
        (_, Some(Logical::Decimal { scale, .. })) => From::Decimal { scale },
        (Kind::Int, Some(Logical::Date)) => From::Date,
        (Kind::Long, Some(Logical::TimestampMillis)) => From::Millis,
        (Kind::Long, Some(Logical::TimestampMicros)) => From::Micros,
        (Kind::String, _) => From::Text,
        (_, Some(_)) => return Err(None),
        (Kind::Enum(named), _) => From::Enum(named.symbols.clone()),
        (Kind::Float, _) => From::Float,
        _ => From::Plain,
    };
    let zone = Some("say in which zone: `localTime(date, hhmm, zone)` in a `set`");
    let numeric = matches!(
        to,
        T::Int | T::Long | T::Float | T::Double | T::Decimal { .. }
    );
    let possible = match (&source, &from.kind) {
        (From::Text, _) => true,
        (From::Decimal { .. }, _) => numeric || to == T::String,
        (From::Enum(_), _) => to == T::String,
        (From::Date, _) => match to {
            T::TimestampMillis | T::TimestampMicros => return Err(zone),
            _ => matches!(to, T::String | T::Int | T::Date),
        },
        (From::Millis | From::Micros, _) => match to {
            T::Date => return Err(zone),
            _ => matches!(
                to,
                T::String | T::Long | T::TimestampMillis | T::TimestampMicros
            ),
        },
        (From::Plain, Kind::Int) => numeric || matches!(to, T::String | T::Date),
        (From::Plain, Kind::Long) => {
            numeric || matches!(to, T::String | T::TimestampMillis | T::TimestampMicros)
        }
        (From::Float, _) | (From::Plain, Kind::Double) => numeric || to == T::String,
        (From::Plain, Kind::Boolean) => matches!(to, T::String | T::Boolean),
        (From::Plain, Kind::Bytes) => matches!(to, T::String | T::Bytes),
        (From::Plain, Kind::Fixed(_)) => to == T::Bytes,
        (From::Plain, Kind::Union(_)) => {
            return Err(Some("not available yet: casting a union of several types"));
        }
        _ => false,
    };
    match possible {
        true => Ok(Conversion { from: source, to }),
        false => Err(None),
    }
}

impl Conversion {
    /// The value in its new type.
    pub(super) fn apply<'a>(&self, cx: &Cx<'a>, value: Val<'a>) -> Result<Val<'a>, Why> {
        let converted = self.convert(self.taken(value)?)?;
        self.made(cx, converted)
    }

    /// One value in Avro's own terms.
    fn taken(&self, value: Val<'_>) -> Result<Value, Why> {
        Ok(match (value, &self.from) {
            (Val::Bool(boolean), _) => Value::Boolean(boolean),
            (Val::Int(number), _) => Value::Long(number),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "it was a float before it was read"
            )]
            (Val::Double(double), From::Float) => Value::Float(double as f32),
            (Val::Double(double), _) => Value::Double(double),
            (Val::Text(text), _) => Value::String(text.to_owned()),
            (Val::Bytes(bytes), _) => Value::Bytes(bytes.to_vec()),
            (Val::Decimal(bytes, _), _) => Value::Bytes(bytes.to_vec()),
            (Val::Enum(index), _) => Value::Enum(index as usize),
            (Val::Date(days), _) => Value::Int(days),
            (Val::Timestamp(instant), From::Millis) => {
                Value::Long(exactly(instant.as_nanosecond(), 1_000_000)?)
            }
            (Val::Timestamp(instant), _) => Value::Long(exactly(instant.as_nanosecond(), 1_000)?),
            _ => return Err(TYPE),
        })
    }

    /// And back, as a value of the target.
    fn made<'a>(&self, cx: &Cx<'a>, value: Value) -> Result<Val<'a>, Why> {
        let micros = |micros| Instant::from_microsecond(micros).map(Val::Timestamp);
        Ok(match (value, self.to) {
            (Value::Int(days), Target::Date) => Val::Date(days),
            (Value::Long(millis), Target::TimestampMillis) => {
                Val::Timestamp(Instant::from_millisecond(millis).ok_or(RANGE)?)
            }
            (Value::Long(number), Target::TimestampMicros) => micros(number).ok_or(RANGE)?,
            (Value::Bytes(bytes), Target::Decimal { scale, .. }) => {
                let scale = u32::try_from(scale).map_err(|_| RANGE)?;
                Val::Decimal(cx.arena.alloc_slice_copy(&bytes), scale)
            }
            (Value::Boolean(boolean), _) => Val::Bool(boolean),
            (Value::Int(int), _) => Val::Int(i64::from(int)),
            (Value::Long(long), _) => Val::Int(long),
            (Value::Float(float), _) => Val::Double(f64::from(float)),
            (Value::Double(double), _) => Val::Double(double),
            (Value::String(text), _) => cx.text(&text),
            (Value::Bytes(bytes), _) => Val::Bytes(cx.arena.alloc_slice_copy(&bytes)),
            _ => return Err(TYPE),
        })
    }

    fn convert(&self, value: Value) -> Result<Value, Why> {
        match self.to {
            Target::String => self.text(value).map(Value::String),
            Target::Int => i32::try_from(self.integer(value)?)
                .map(Value::Int)
                .map_err(|_| RANGE),
            Target::Long => self.integer(value).map(Value::Long),
            Target::Double => self.double(value).map(Value::Double),
            Target::Float => self.float(value).map(Value::Float),
            Target::Boolean => match value {
                Value::Boolean(_) => Ok(value),
                Value::String(text) => text
                    .parse()
                    .map(Value::Boolean)
                    .map_err(|_| "neither `true` nor `false`"),
                _ => Err(TYPE),
            },
            Target::Bytes => match value {
                Value::Bytes(bytes) | Value::Fixed(bytes) => Ok(Value::Bytes(bytes)),
                Value::String(text) => Ok(Value::Bytes(text.into_bytes())),
                _ => Err(TYPE),
            },
            Target::Decimal { precision, scale } => {
                let number = self.decimal(&value)?;
                let unscaled = number.at_scale(scale).ok_or(FRACTION)?;
                if digits(&unscaled) > precision {
                    return Err("more digits than the precision allows");
                }
                to_avro(&unscaled, None).map(Value::Bytes).ok_or(RANGE)
            }
            Target::Date => match (value, &self.from) {
                (Value::Int(days), _) => Ok(Value::Int(days)),
                (Value::Long(days), _) => i32::try_from(days).map(Value::Int).map_err(|_| RANGE),
                (Value::String(text), _) => date(&text).map(Value::Int),
                _ => Err(TYPE),
            },
            Target::TimestampMillis => match (value, &self.from) {
                (Value::Long(micros), From::Micros) => {
                    exact_thousandth(micros).map(Value::Long).ok_or(UNIT)
                }
                (Value::Long(millis), _) => Ok(Value::Long(millis)),
                (Value::String(text), _) => {
                    let nanos = instant(&text)?.as_nanosecond();
                    exactly(nanos, 1_000_000).map(Value::Long)
                }
                _ => Err(TYPE),
            },
            Target::TimestampMicros => match (value, &self.from) {
                (Value::Long(millis), From::Millis) => {
                    millis.checked_mul(1_000).map(Value::Long).ok_or(RANGE)
                }
                (Value::Long(micros), _) => Ok(Value::Long(micros)),
                (Value::String(text), _) => {
                    let nanos = instant(&text)?.as_nanosecond();
                    exactly(nanos, 1_000).map(Value::Long)
                }
                _ => Err(TYPE),
            },
        }
    }

    fn text(&self, value: Value) -> Result<String, Why> {
        // RFC 3339 has no years before 0.
        let moment = |instant: Option<Instant>| {
            let text = instant.ok_or(RANGE)?.to_string();
            (!text.starts_with('-')).then_some(text).ok_or(RANGE)
        };
        match (value, &self.from) {
            (Value::String(text), _) => Ok(text),
            (Value::Int(days), From::Date) => date_of(days)
                .filter(|date| date.year() >= 0)
                .map(|date| date.to_string())
                .ok_or(RANGE),
            (Value::Long(millis), From::Millis) => moment(Instant::from_millisecond(millis)),
            (Value::Long(micros), From::Micros) => moment(Instant::from_microsecond(micros)),
            (Value::Int(int), _) => Ok(int.to_string()),
            (Value::Long(long), _) => Ok(long.to_string()),
            (Value::Float(float), _) if float.is_finite() => Ok(plain_float(float)),
            (Value::Double(double), _) if double.is_finite() => Ok(plain_double(double)),
            (Value::Float(_) | Value::Double(_), _) => Err("not a finite number"),
            (Value::Boolean(boolean), _) => Ok(boolean.to_string()),
            (Value::Enum(index), From::Enum(symbols)) => symbols.get(index).cloned().ok_or(TYPE),
            (Value::Bytes(bytes) | Value::Fixed(bytes), From::Decimal { scale }) => {
                Ok(Decimal::from_avro(&bytes, *scale).to_text())
            }
            (Value::Bytes(bytes), _) => String::from_utf8(bytes).map_err(|_| "not UTF-8"),
            _ => Err(TYPE),
        }
    }

    fn integer(&self, value: Value) -> Result<i64, Why> {
        match value {
            Value::Int(int) => Ok(i64::from(int)),
            Value::Long(long) => Ok(long),
            Value::String(text) => whole(&text),
            Value::Float(float) => from_float(f64::from(float)),
            Value::Double(double) => from_float(double),
            Value::Bytes(_) | Value::Fixed(_) => {
                let whole = self.decimal(&value)?.at_scale(0).ok_or(FRACTION)?;
                i64::try_from(&whole).map_err(|_| RANGE)
            }
            _ => Err(TYPE),
        }
    }

    fn double(&self, value: Value) -> Result<f64, Why> {
        match value {
            Value::Double(double) => Ok(double),
            Value::Float(float) => Ok(f64::from(float)),
            other => {
                let number = self.decimal(&other)?;
                let double: f64 = number.to_text().parse().map_err(|_| TYPE)?;
                let texts = readings(&other, [plain_double(double), double.to_string()]);
                survives(&number, texts).map(|()| double)
            }
        }
    }

    fn float(&self, value: Value) -> Result<f32, Why> {
        match value {
            Value::Float(float) => Ok(float),
            Value::Double(double) if double.is_nan() => Ok(f32::NAN),
            Value::Double(double) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "looked at on the next line"
                )]
                let float = double as f32;
                let same = f64::from(float).total_cmp(&double).is_eq();
                same.then_some(float).ok_or(PRECISION)
            }
            other => {
                let number = self.decimal(&other)?;
                let float: f32 = number.to_text().parse().map_err(|_| TYPE)?;
                let texts = readings(&other, [plain_float(float), float.to_string()]);
                survives(&number, texts).map(|()| float)
            }
        }
    }

    /// A number, exactly; a floating-point one with a fraction as its shortest decimal text.
    fn decimal(&self, value: &Value) -> Result<Decimal, Why> {
        let finite = |text: String| Decimal::parse(&text).ok_or("not a finite number");
        match (value, &self.from) {
            (Value::Int(int), _) => Ok(Decimal::integer(i64::from(*int))),
            (Value::Long(long), _) => Ok(Decimal::integer(*long)),
            (Value::Float(float), _) => finite(plain_float(*float)),
            (Value::Double(double), _) => finite(plain_double(*double)),
            (Value::Bytes(bytes) | Value::Fixed(bytes), From::Decimal { scale }) => {
                Ok(Decimal::from_avro(bytes, *scale))
            }
            (Value::String(text), _) => {
                let exponent = matches!(self.to, Target::Float | Target::Double);
                let number = match exponent {
                    true => Decimal::parse(text),
                    false => Decimal::parse_plain(text),
                };
                number
                    .filter(|_| !padded(text))
                    .ok_or("not a plain number such as -12.50")
            }
            _ => Err(TYPE),
        }
    }
}

const PRECISION: Why = "precision would be lost";
const UNIT: Why = "microseconds would be lost";

/// How a floating-point number may be read: in plain digits, and where it comes from text (`1e23`) also as its shortest
/// text. A long that is not exactly a double must not become one: it would come back as another number.
fn readings(from: &Value, [plain, shortest]: [String; 2]) -> Vec<String> {
    match from {
        Value::String(_) => vec![plain, shortest],
        _ => vec![plain],
    }
}

/// Whether a number is what a floating-point number stands for, in one of its readings.
fn survives(number: &Decimal, readings: Vec<String>) -> Result<(), Why> {
    let parsed: Option<Vec<Decimal>> = readings.iter().map(|text| Decimal::parse(text)).collect();
    match parsed
        .ok_or(RANGE)?
        .iter()
        .any(|reading| reading.compare(number).is_eq())
    {
        true => Ok(()),
        false => Err(PRECISION),
    }
}

/// Plain digits: all of a whole number's (the shortest text would fill up with zeros), the shortest fraction.
fn plain_double(double: f64) -> String {
    match double.fract() == 0.0 {
        true => format!("{double:.0}"),
        false => double.to_string(),
    }
}

fn plain_float(float: f32) -> String {
    match float.fract() == 0.0 {
        true => format!("{float:.0}"),
        false => float.to_string(),
    }
}

/// Leading zeros say that the text is an identifier, not a number: they would be lost.
fn padded(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit()
}

fn whole(text: &str) -> Result<i64, Why> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("not a whole number in plain digits");
    }
    if padded(text) {
        return Err("leading zeros would be lost");
    }
    text.parse().map_err(|_| RANGE)
}

fn from_float(number: f64) -> Result<i64, Why> {
    const TWO_63: f64 = 9_223_372_036_854_775_808.0;
    if !number.is_finite() || !(-TWO_63..TWO_63).contains(&number) {
        return Err(RANGE);
    }
    if number.fract() != 0.0 {
        return Err(FRACTION);
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
    Ok(number as i64)
}

fn exact_thousandth(micros: i64) -> Option<i64> {
    (micros.rem_euclid(1_000) == 0).then(|| micros.div_euclid(1_000))
}

fn exactly(nanos: i128, unit: i128) -> Result<i64, Why> {
    if nanos.rem_euclid(unit) != 0 {
        return Err("digits of the second would be lost");
    }
    i64::try_from(nanos.div_euclid(unit)).map_err(|_| RANGE)
}

/// `YYYY-MM-DD` and nothing else: the parser by itself takes more of ISO 8601.
fn date(text: &str) -> Result<i32, Why> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(at, b)| match at {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        });
    let none = "not a date as YYYY-MM-DD";
    match shape {
        true => text.parse::<Date>().map(days).map_err(|_| none),
        false => Err(none),
    }
}

/// RFC 3339: date, `T`, time with seconds, and `Z` or an offset.
fn instant(text: &str) -> Result<Instant, Why> {
    let none = "not a timestamp as in RFC 3339, with its offset";
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes
            .get(range)
            .is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    let marks = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    let shape = marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark))
        && matches!(bytes.get(10), Some(b'T' | b't'))
        && [0..4, 5..7, 8..10, 11..13, 14..16, 17..19]
            .into_iter()
            .all(digits);
    if !shape {
        return Err(none);
    }
    let mut rest = &bytes[19..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&length) {
            return Err(none);
        }
        rest = &fraction[length..];
    }
    let offset = match rest {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()),
        _ => false,
    };
    // A leap second (60) would be taken as the second before it.
    if !offset || bytes[17..19] == *b"60" {
        return Err(none);
    }
    Instant::parse(text).ok_or(none)
}

#[cfg(test)]
mod tests;
