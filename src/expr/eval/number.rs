//! Arithmetic, and what else `+` and `-` join: texts, bytes, lists, timestamps, durations.

use bumpalo::collections::Vec as ArenaVec;
use jiff::SignedDuration;
use num_bigint::BigInt;

use super::{Evaluated, each, mismatch, stop};
use crate::expr::cx::Cx;
use crate::expr::instant::Instant;
use crate::expr::ir::Sum;
use crate::expr::number::Decimal;
use crate::expr::value::{Val, small};

/// Bytes of a decimal's number, and digits after its point, beyond which nothing is computed: far beyond what a schema
/// declares, and a bound on work.
const MAX_BYTES: usize = 1_024;
const MAX_SCALE: u32 = 2_048;

pub(super) fn arithmetic<'a>(
    cx: &mut Cx<'a>,
    op: Sum,
    left: Val<'_>,
    right: Val<'_>,
) -> Evaluated<Val<'a>> {
    Ok(match (left, right) {
        (Val::Int(a), Val::Int(b)) => Val::Int(integers(op, a, b)?),
        (Val::Double(a), Val::Double(b)) => Val::Double(match op {
            Sum::Add => a + b,
            Sum::Subtract => a - b,
            Sum::Multiply => a * b,
            Sum::Divide => a / b,
            Sum::Remainder => return Err(mismatch()),
        }),
        (Val::Decimal(a, s), Val::Decimal(b, t)) => return decimals(cx, op, (a, s), (b, t)),
        (Val::Decimal(a, s), Val::Int(b)) => {
            return decimals(cx, op, (a, s), (&b.to_be_bytes(), 0));
        }
        (Val::Int(a), Val::Decimal(b, t)) => {
            return decimals(cx, op, (&a.to_be_bytes(), 0), (b, t));
        }
        (Val::Text(a), Val::Text(b)) if op == Sum::Add => {
            cx.spend_bytes(a.len().saturating_add(b.len()))?;
            let mut out =
                bumpalo::collections::String::with_capacity_in(a.len() + b.len(), cx.arena);
            out.push_str(a);
            out.push_str(b);
            Val::Text(out.into_bump_str())
        }
        (Val::Bytes(a), Val::Bytes(b)) if op == Sum::Add => {
            cx.spend_bytes(a.len().saturating_add(b.len()))?;
            let mut out = ArenaVec::with_capacity_in(a.len() + b.len(), cx.arena);
            out.extend_from_slice_copy(a);
            out.extend_from_slice_copy(b);
            Val::Bytes(out.into_bump_slice())
        }
        (Val::Timestamp(at), Val::Duration(length))
        | (Val::Duration(length), Val::Timestamp(at))
            if op == Sum::Add =>
        {
            timestamp(at.plus(length))?
        }
        (Val::Timestamp(at), Val::Duration(length)) if op == Sum::Subtract => {
            timestamp(length.checked_neg().and_then(|back| at.plus(back)))?
        }
        (Val::Timestamp(a), Val::Timestamp(b)) if op == Sum::Subtract => {
            duration(Some(a.since(b)))?
        }
        (Val::Duration(a), Val::Duration(b)) => {
            let length = match op {
                Sum::Add => a.checked_add(b),
                Sum::Subtract => a.checked_sub(b),
                _ => return Err(mismatch()),
            };
            duration(length)?
        }
        _ => return Err(mismatch()),
    })
}

/// Two lists as one.
pub(super) fn join<'a>(cx: &mut Cx<'a>, left: Val<'a>, right: Val<'a>) -> Evaluated<Val<'a>> {
    let (Val::List(left), Val::List(right)) = (each::made(cx, left)?, each::made(cx, right)?)
    else {
        return Err(mismatch());
    };
    cx.spend((left.len() as u64).saturating_add(right.len() as u64))?;
    let mut out = ArenaVec::with_capacity_in(left.len() + right.len(), cx.arena);
    out.extend_from_slice_copy(left);
    out.extend_from_slice_copy(right);
    Ok(Val::List(out.into_bump_slice()))
}

fn integers(op: Sum, a: i64, b: i64) -> Evaluated<i64> {
    if matches!(op, Sum::Divide | Sum::Remainder) && b == 0 {
        return Err(stop(match op {
            Sum::Divide => "division by zero",
            _ => "the remainder of a division by zero",
        }));
    }
    let result = match op {
        Sum::Add => a.checked_add(b),
        Sum::Subtract => a.checked_sub(b),
        Sum::Multiply => a.checked_mul(b),
        Sum::Divide => a.checked_div(b),
        Sum::Remainder => a.checked_rem(b),
    };
    result.ok_or_else(|| {
        stop(format!(
            "the result of `{}` is out of the range of a long",
            op.sign()
        ))
    })
}

fn timestamp<'v>(at: Option<Instant>) -> Evaluated<Val<'v>> {
    at.map(Val::Timestamp)
        .ok_or_else(|| stop("the timestamp is outside of the years 1 to 9999"))
}

/// CEL's durations are nanoseconds in 64 bits, some 292 years.
fn duration<'v>(length: Option<SignedDuration>) -> Evaluated<Val<'v>> {
    let length = length.filter(|length| i64::try_from(length.as_nanos()).is_ok());
    length
        .map(Val::Duration)
        .ok_or_else(|| stop("the duration is longer than 292 years"))
}

type Parts<'v> = (&'v [u8], u32);

fn decimals<'a>(cx: &mut Cx<'a>, op: Sum, left: Parts<'_>, right: Parts<'_>) -> Evaluated<Val<'a>> {
    if let (Some(a), Some(b)) = (small(left.0), small(right.0))
        && let Some((number, scale)) = quickly(op, (a, left.1), (b, right.1))
    {
        return Ok(of(cx, number, scale));
    }
    if left.0.len().max(right.0.len()) > MAX_BYTES || left.1.max(right.1) > MAX_SCALE {
        return Err(too_large());
    }
    cx.spend_bytes(8 * (left.0.len() + right.0.len() + (left.1 + right.1) as usize))?;
    let big = |(bytes, scale): Parts<'_>| Decimal::from_avro(bytes, scale as usize);
    let (a, b) = (big(left), big(right));
    let (unscaled, scale): (BigInt, usize) = match op {
        Sum::Multiply => (&a.unscaled * &b.unscaled, a.scale + b.scale),
        Sum::Add | Sum::Subtract => {
            let scale = a.scale.max(b.scale);
            let (Some(a), Some(b)) = (a.at_scale(scale), b.at_scale(scale)) else {
                return Err(mismatch());
            };
            (if op == Sum::Add { a + b } else { a - b }, scale)
        }
        Sum::Divide | Sum::Remainder => return Err(mismatch()),
    };
    if unscaled.bits() / 8 > MAX_BYTES as u64 || scale > MAX_SCALE as usize {
        return Err(too_large());
    }
    Ok(cx.decimal(&Decimal { unscaled, scale }))
}

fn too_large() -> Box<super::Stop> {
    stop("the decimal has more digits than are computed with")
}

/// In 128 bits, if they hold it.
fn quickly(op: Sum, (a, s): (i128, u32), (b, t): (i128, u32)) -> Option<(i128, u32)> {
    if op == Sum::Multiply {
        let scale = s.checked_add(t).filter(|scale| *scale <= MAX_SCALE)?;
        return Some((a.checked_mul(b)?, scale));
    }
    let scale = s.max(t);
    let lift = |number: i128, own: u32| number.checked_mul(10i128.checked_pow(scale - own)?);
    let (a, b) = (lift(a, s)?, lift(b, t)?);
    let number = match op {
        Sum::Add => a.checked_add(b),
        _ => a.checked_sub(b),
    };
    Some((number?, scale))
}

/// The shortest bytes of a number.
fn of<'a>(cx: &Cx<'a>, number: i128, scale: u32) -> Val<'a> {
    let bytes = number.to_be_bytes();
    let fill = if number < 0 { 0xff } else { 0 };
    let mut start = 0;
    // The first bit that is kept says the sign.
    while start < 15 && bytes[start] == fill && (bytes[start + 1] ^ fill) & 0x80 == 0 {
        start += 1;
    }
    Val::Decimal(cx.arena.alloc_slice_copy(&bytes[start..]), scale)
}

pub(super) fn negate<'a>(cx: &mut Cx<'a>, value: Val<'_>) -> Evaluated<Val<'a>> {
    Ok(match value {
        Val::Int(i) => Val::Int(integers(Sum::Subtract, 0, i)?),
        Val::Double(d) => Val::Double(-d),
        Val::Decimal(bytes, scale) => {
            return decimals(cx, Sum::Subtract, (&[], scale), (bytes, scale));
        }
        Val::Duration(length) => duration(length.checked_neg())?,
        _ => return Err(mismatch()),
    })
}
