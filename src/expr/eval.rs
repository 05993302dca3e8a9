//! Evaluates checked expressions. Fields are borrowed from the event; nothing is copied until a result is kept.

use super::check::{Comparison, Ir, Kinds, Op};
use super::number::{Decimal, compare_integer};
use crate::contract::value::Value;
use crate::error::{Reason, RecordError};
use std::borrow::Cow;
use std::cmp::Ordering;

static NULL: Value = Value::Null;

pub(super) fn eval<'a>(ir: &'a Ir, event: &'a Value) -> Result<Cow<'a, Value>, RecordError> {
    let boolean = |answer| Ok(Cow::Owned(Value::Boolean(answer)));
    match ir {
        Ir::Const(value) | Ir::Number(value, _) => Ok(Cow::Borrowed(value)),
        Ir::Field(positions) => Ok(Cow::Borrowed(field(event, positions))),
        Ir::Whole(positions) => Ok(Cow::Borrowed(whole(event, positions))),
        Ir::IsNull(operand) => boolean(eval(operand, event)?.is_null()),
        Ir::Not(operand) => boolean(!truth(operand, event)?),
        Ir::And(left, right) => boolean(truth(left, event)? && truth(right, event)?),
        Ir::Or(left, right) => boolean(truth(left, event)? || truth(right, event)?),
        Ir::Choose(parts) => {
            let (test, yes, no) = parts.as_ref();
            eval(if truth(test, event)? { yes } else { no }, event)
        }
        Ir::Compare(Comparison { op, kinds }, operands) => {
            let left = eval(&operands.0, event)?;
            let right = eval(&operands.1, event)?;
            let order = compare(*kinds, &left, &right)?;
            boolean(match op {
                Op::Equal => order == Some(Ordering::Equal),
                Op::NotEqual => order != Some(Ordering::Equal),
                Op::Less => order == Some(Ordering::Less),
                Op::LessOrEqual => order.is_some_and(Ordering::is_le),
                Op::Greater => order == Some(Ordering::Greater),
                Op::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
            })
        }
        Ir::In(needle, choices) => {
            let needle = eval(needle, event)?;
            for (kinds, choice) in choices {
                let choice = eval(choice, event)?;
                if compare(*kinds, &needle, &choice)? == Some(Ordering::Equal) {
                    return boolean(true);
                }
            }
            boolean(false)
        }
        Ir::AnyEqual(pairs) => {
            for (kinds, needle, choice) in pairs {
                let (needle, choice) = (eval(needle, event)?, eval(choice, event)?);
                if compare(*kinds, &needle, &choice)? == Some(Ordering::Equal) {
                    return boolean(true);
                }
            }
            boolean(false)
        }
        Ir::Widen(operand) => Ok(match eval(operand, event)? {
            Cow::Borrowed(Value::Int(int)) => Cow::Owned(Value::Long(i64::from(*int))),
            Cow::Owned(Value::Int(int)) => Cow::Owned(Value::Long(i64::from(int))),
            other => other,
        }),
        Ir::Present(operand, message) => match eval(operand, event)? {
            value if value.is_null() => Err(RecordError::new(Reason::TransformFailed, message)),
            value => Ok(value),
        },
        Ir::Below(above, operand, message) => match field(event, above).is_null() {
            true => Err(RecordError::new(Reason::TransformFailed, message)),
            false => eval(operand, event),
        },
        Ir::Absorbing(and, operands) => boolean(match truth(&operands.0, event) {
            Ok(left) if left != *and => left,
            Ok(_) => truth(&operands.1, event)?,
            Err(error) => match truth(&operands.1, event) {
                Ok(right) if right != *and => right,
                _ => return Err(error),
            },
        }),
        Ir::Call(function, args, path) => {
            let args = args
                .iter()
                .map(|arg| eval(arg, event))
                .collect::<Result<Vec<_>, _>>()?;
            match function.call(&args) {
                Ok(value) => Ok(Cow::Owned(value)),
                Err(message) => {
                    let message = format!("{}: {message}", function.name());
                    Err(RecordError::new(Reason::TransformFailed, message).at(path))
                }
            }
        }
    }
}

/// A field without its union; null when a record on the way is null.
fn field<'a>(event: &'a Value, positions: &[usize]) -> &'a Value {
    whole(event, positions).inner()
}

/// A field as it stands.
fn whole<'a>(event: &'a Value, positions: &[usize]) -> &'a Value {
    let mut at = event;
    for position in positions {
        at = match at.inner() {
            Value::Record(fields) => fields.get(*position).unwrap_or(&NULL),
            _ => return &NULL,
        };
    }
    at
}

fn truth(ir: &Ir, event: &Value) -> Result<bool, RecordError> {
    match eval(ir, event)?.as_ref() {
        Value::Boolean(answer) => Ok(*answer),
        _ => Err(mismatch()),
    }
}

/// Only an event of another schema than the expression's gets here.
fn mismatch() -> RecordError {
    RecordError::new(
        Reason::TransformFailed,
        "the event is not of the type that the expression was checked against",
    )
}

/// `None` where a NaN is involved.
fn compare(kinds: Kinds, left: &Value, right: &Value) -> Result<Option<Ordering>, RecordError> {
    match kinds {
        Kinds::Same => same(left, right).map(Some).ok_or_else(mismatch),
        Kinds::Numbers => numbers(left, right).ok_or_else(mismatch),
        Kinds::Decimals(a, b) => match (decimal(left, a), decimal(right, b)) {
            (Some(left), Some(right)) => Ok(Some(left.compare(&right))),
            _ => Err(mismatch()),
        },
    }
}

fn same(left: &Value, right: &Value) -> Option<Ordering> {
    Some(match (left, right) {
        (Value::Boolean(a), Value::Boolean(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bytes(a) | Value::Fixed(a), Value::Bytes(b) | Value::Fixed(b)) => a.cmp(b),
        (Value::Enum(a), Value::Enum(b)) => a.cmp(b),
        _ => return None,
    })
}

/// The outer `None` is a mismatch, the inner a NaN.
#[expect(
    clippy::option_option,
    reason = "NaN and a mismatch are different things"
)]
fn numbers(left: &Value, right: &Value) -> Option<Option<Ordering>> {
    let (a, b) = (Number::of(left)?, Number::of(right)?);
    Some(match (a, b) {
        (Number::Integer(a), Number::Integer(b)) => Some(a.cmp(&b)),
        (Number::Float(a), Number::Float(b)) => a.partial_cmp(&b),
        (Number::Integer(a), Number::Float(b)) => compare_integer(a, b),
        (Number::Float(a), Number::Integer(b)) => compare_integer(b, a).map(Ordering::reverse),
    })
}

enum Number {
    Integer(i64),
    Float(f64),
}

impl Number {
    fn of(value: &Value) -> Option<Number> {
        Some(match value {
            Value::Int(i) => Number::Integer(i64::from(*i)),
            Value::Long(l) => Number::Integer(*l),
            Value::Float(f) => Number::Float(f64::from(*f)),
            Value::Double(d) => Number::Float(*d),
            _ => return None,
        })
    }
}

fn decimal(value: &Value, scale: usize) -> Option<Decimal> {
    Some(match value {
        Value::Bytes(bytes) | Value::Fixed(bytes) => Decimal::from_avro(bytes, scale),
        Value::Int(i) => Decimal::integer(i64::from(*i)),
        Value::Long(l) => Decimal::integer(*l),
        _ => return None,
    })
}
