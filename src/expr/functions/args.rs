//! What the functions share: their arguments, by type, and the constants among them.

use std::sync::Arc;

use jiff::civil::Date;

use super::{Call, CallError, Constants, Form, Ty};
use crate::expr::cx::Cx;
use crate::expr::days::date_of;
use crate::expr::instant::Instant;
use crate::expr::number::Decimal;
use crate::expr::value::Val;

/// Bytes of a decimal that is calculated with: more than 1,200 digits. A bound on work, since division is quadratic.
const DECIMAL_BYTES: usize = 512;
/// The same for its scale, and for one that is asked for.
pub(super) const MAX_SCALE: i64 = 1_000;

/// What [`Form::make`] answers.
pub(super) type Made = Result<Call, (usize, String)>;

/// A form that is called as `name(…)`.
pub(super) const fn function(
    params: &'static [(&'static str, Ty)],
    result: Ty,
    make: fn(&Constants<'_>) -> Made,
) -> Form {
    Form {
        method: false,
        params,
        result,
        make,
    }
}

/// A form that is called as `argument.name(…)`.
pub(super) const fn method(
    params: &'static [(&'static str, Ty)],
    result: Ty,
    make: fn(&Constants<'_>) -> Made,
) -> Form {
    Form {
        method: true,
        params,
        result,
        make,
    }
}

/// A call. The bound is what lets a closure be read as one.
pub(super) fn call<F>(run: F) -> Made
where
    F: for<'a> Fn(&mut Cx<'a>, &[Val<'a>]) -> Result<Val<'a>, CallError> + Send + Sync + 'static,
{
    Ok(Call::Args(Arc::new(run)))
}

/// A call of something that makes a text of its first argument, a text, and has the others already: they are constants.
pub(super) fn of_text<F>(run: F) -> Made
where
    F: for<'a> Fn(&mut Cx<'a>, &'a str) -> Result<&'a str, CallError> + Send + Sync + 'static,
{
    Ok(Call::Text(Arc::new(move |cx, text| {
        cx.spend_bytes(text.len())?;
        Ok(run(cx, text)?)
    })))
}

/// The same of a text or bytes, which need not be looked at as a text.
pub(super) fn of_octets<F>(run: F) -> Made
where
    F: for<'a> Fn(&mut Cx<'a>, &'a [u8]) -> Result<&'a [u8], CallError> + Send + Sync + 'static,
{
    Ok(Call::Octets(Arc::new(move |cx, octets| {
        cx.spend_bytes(octets.len())?;
        Ok(run(cx, octets)?)
    })))
}

/// The text of bytes that a function made in UTF-8.
pub(super) fn utf8(octets: &[u8]) -> &str {
    std::str::from_utf8(octets).expect("functions make texts of texts")
}

/// A call that says something of a text.
pub(super) fn tells(says: fn(&str) -> bool) -> Made {
    call(move |cx, args| {
        let text = text(args, 0)?;
        cx.spend_bytes(text.len())?;
        Ok(Val::Bool(says(text)))
    })
}

/// A failure that is the fault of an argument other than the first.
pub(super) fn blamed(argument: usize, why: &str) -> CallError {
    CallError::Argument(argument, why.to_owned())
}

fn wrong() -> CallError {
    "an argument is not of the type that was checked".into()
}

pub(super) fn text<'a>(args: &[Val<'a>], at: usize) -> Result<&'a str, CallError> {
    match args.get(at) {
        Some(Val::Text(text)) => Ok(text),
        _ => Err(wrong()),
    }
}

/// The bytes of a text or of bytes.
pub(super) fn octets<'a>(args: &[Val<'a>], at: usize) -> Result<&'a [u8], CallError> {
    match args.get(at) {
        Some(Val::Text(text)) => Ok(text.as_bytes()),
        Some(Val::Bytes(bytes)) => Ok(bytes),
        _ => Err(wrong()),
    }
}

pub(super) fn int(args: &[Val<'_>], at: usize) -> Result<i64, CallError> {
    match args.get(at) {
        Some(Val::Int(number)) => Ok(*number),
        _ => Err(wrong()),
    }
}

pub(super) fn double(args: &[Val<'_>], at: usize) -> Result<f64, CallError> {
    match args.get(at) {
        Some(Val::Double(number)) => Ok(*number),
        _ => Err(wrong()),
    }
}

/// A decimal, or an integer as one.
pub(super) fn decimal(args: &[Val<'_>], at: usize) -> Result<Decimal, CallError> {
    match args.get(at) {
        Some(Val::Decimal(unscaled, scale)) => {
            if unscaled.len() > DECIMAL_BYTES || i64::from(*scale) > MAX_SCALE {
                return Err("the number has more than 1,000 digits".into());
            }
            Ok(Decimal::from_avro(unscaled, *scale as usize))
        }
        Some(Val::Int(number)) => Ok(Decimal::integer(*number)),
        _ => Err(wrong()),
    }
}

pub(super) fn timestamp(args: &[Val<'_>], at: usize) -> Result<Instant, CallError> {
    match args.get(at) {
        Some(Val::Timestamp(instant)) => Ok(*instant),
        _ => Err(wrong()),
    }
}

pub(super) fn date(args: &[Val<'_>], at: usize) -> Result<Date, CallError> {
    match args.get(at) {
        Some(Val::Date(days)) => {
            date_of(*days).ok_or_else(|| "the date is outside of the years -9999 to 9999".into())
        }
        _ => Err(wrong()),
    }
}

pub(super) fn list<'a>(args: &[Val<'a>], at: usize) -> Result<&'a [Val<'a>], CallError> {
    match args.get(at) {
        Some(Val::List(items)) => Ok(items),
        _ => Err(wrong()),
    }
}

/// The text of an argument that must be a constant: `what` it is, with an example.
pub(super) fn declared<'c>(
    constants: &'c Constants<'_>,
    at: usize,
    what: &str,
) -> Result<&'c str, (usize, String)> {
    constants
        .text(at)
        .ok_or_else(|| (at, format!("expected a constant: {what}")))
}

/// One of a few words, which must be a constant.
pub(super) fn choice<T: Copy>(
    constants: &Constants<'_>,
    at: usize,
    what: &str,
    words: &[(&str, T)],
) -> Result<T, (usize, String)> {
    let all = || {
        let words: Vec<String> = words.iter().map(|(word, _)| format!("'{word}'")).collect();
        words.join(", ")
    };
    let word = declared(constants, at, &format!("{what}, one of {}", all()))?;
    let found = words.iter().find(|(known, _)| *known == word);
    let unknown = || {
        (
            at,
            format!("there is no {what} `{word}`; there are {}", all()),
        )
    };
    found.map(|(_, chosen)| *chosen).ok_or_else(unknown)
}
