//! Runs the programs. Input: the record at hand. Output: an answer, with the evaluator's steps taken for it; none where the
//! evaluator would have an error, or where the steps do not suffice.

use super::field::{Field, Shape};
use super::{Called, Lean, Make, Test};
use crate::expr::cx::{BYTES_A_STEP, Cx};
use crate::expr::functions::Call;
use crate::expr::ir::{Const, Op, TextTest};
use crate::expr::value::Val;

/// The evaluator's steps for a condition about a field, besides those for bytes.
const CONDITION: u64 = 2;

#[inline]
const fn steps(bytes: usize) -> u64 {
    (bytes / BYTES_A_STEP) as u64
}

impl Test {
    pub(in crate::expr) fn holds(&self, cx: &mut Cx<'_>) -> Option<bool> {
        match self {
            Test::Text(field, op, wanted) => {
                let (text, size) = field.text(cx)?;
                let Some(text) = text else {
                    return without(cx, *op);
                };
                let compared = text.len().min(wanted.len());
                cx.spend(CONDITION + steps(size) + steps(compared)).ok()?;
                let wanted = wanted.as_bytes();
                Some(match op {
                    Op::Equal => text == wanted,
                    Op::NotEqual => text != wanted,
                    op => op.of(text.cmp(wanted)),
                })
            }
            Test::Whole(field, op, wanted) => {
                let (Some(number), _) = field.whole(cx)? else {
                    return without(cx, *op);
                };
                cx.spend(CONDITION).ok()?;
                Some(op.of(number.cmp(wanted)))
            }
            Test::Symbol(field, op, wanted) => {
                let (Some(symbol), _) = field.symbol(cx)? else {
                    return without(cx, *op);
                };
                cx.spend(CONDITION).ok()?;
                Some(op.of(symbol.cmp(wanted)))
            }
            Test::Size(field, op, wanted) => {
                let (Some(text), size) = field.text(cx)? else {
                    return None;
                };
                cx.spend(CONDITION + 1 + steps(size) + steps(text.len()))
                    .ok()?;
                let size = i64::try_from(characters(text)).ok()?;
                Some(op.of(size.cmp(wanted)))
            }
            Test::Part(field, test, part) => {
                let (Some(text), size) = field.text(cx)? else {
                    return None;
                };
                cx.spend(CONDITION + steps(size) + steps(text.len())).ok()?;
                let part = part.as_bytes();
                match (test, part) {
                    (TextTest::StartsWith, part) => Some(text.starts_with(part)),
                    (TextTest::EndsWith, part) => Some(text.ends_with(part)),
                    (TextTest::Contains, [byte]) => Some(text.contains(byte)),
                    (TextTest::Contains, _) => None,
                }
            }
            Test::OneOf(field, choices) => {
                let (text, size) = field.text(cx)?;
                cx.spend(CONDITION + steps(size)).ok()?;
                for choice in choices {
                    let compared = text.map_or(0, |text| text.len().min(choice.len()));
                    cx.spend(1 + steps(compared)).ok()?;
                    if text == Some(choice.as_bytes()) {
                        return Some(true);
                    }
                }
                Some(false)
            }
            Test::Flag(field) => {
                let (flag, _) = field.flag(cx)?;
                cx.spend(CONDITION).ok()?;
                flag
            }
            Test::IsNull(field) => {
                cx.spend(CONDITION).ok()?;
                field.is_null(cx)
            }
            Test::Not(test) => {
                cx.spend(1).ok()?;
                test.holds(cx).map(|holds| !holds)
            }
            Test::Both(sides) => {
                cx.spend(1).ok()?;
                Some(sides.0.holds(cx)? && sides.1.holds(cx)?)
            }
            Test::Either(sides) => {
                cx.spend(1).ok()?;
                Some(sides.0.holds(cx)? || sides.1.holds(cx)?)
            }
        }
    }
}

/// A comparison of null with what is not null.
fn without(cx: &mut Cx<'_>, op: Op) -> Option<bool> {
    cx.spend(CONDITION).ok()?;
    match op {
        Op::Equal => Some(false),
        Op::NotEqual => Some(true),
        _ => None,
    }
}

/// Characters of a text in UTF-8: all bytes but those that go on with one.
#[inline]
pub(crate) fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

impl Lean {
    /// The value of an expression.
    #[inline]
    pub(in crate::expr) fn value<'a>(&self, cx: &mut Cx<'a>) -> Option<Val<'a>> {
        match self {
            Lean::Make(make) => make.value(cx),
            Lean::Test(test) => {
                cx.spend(1).ok()?;
                test.holds(cx).map(Val::Bool)
            }
        }
    }
}

impl Make {
    pub(super) fn value<'a>(&self, cx: &mut Cx<'a>) -> Option<Val<'a>> {
        match self {
            Make::Const(value) => {
                cx.spend(1).ok()?;
                Some(match value {
                    Const::Null => Val::Null,
                    Const::Bool(value) => Val::Bool(*value),
                    Const::Int(value) => Val::Int(*value),
                    Const::Double(value) => Val::Double(*value),
                    Const::Enum(value) => Val::Enum(*value),
                    Const::Text(text) => {
                        cx.spend_bytes(text.len()).ok()?;
                        cx.text(text)
                    }
                    _ => return None,
                })
            }
            Make::Field(field) => field_value(field, cx),
            Make::Choose(parts) => {
                let (test, yes, no) = &**parts;
                cx.spend(1).ok()?;
                match test.holds(cx)? {
                    true => yes.value(cx),
                    false => no.value(cx),
                }
            }
            Make::OrValue(parts) => {
                cx.spend(1).ok()?;
                match parts.0.value(cx)? {
                    Val::Null => parts.1.value(cx),
                    value => Some(value),
                }
            }
            Make::Call(called) => called.value(cx),
        }
    }
}

fn field_value<'a>(field: &Field, cx: &mut Cx<'a>) -> Option<Val<'a>> {
    let (value, size) = match field.shape() {
        Shape::Text => {
            let (text, size) = field.text(cx)?;
            let text = text.map(std::str::from_utf8).transpose().ok()?;
            (text.map(Val::Text), size)
        }
        Shape::Whole => {
            let (number, size) = field.whole(cx)?;
            (number.map(Val::Int), size)
        }
        Shape::Symbol => {
            let (symbol, size) = field.symbol(cx)?;
            (symbol.map(Val::Enum), size)
        }
        Shape::Flag => {
            let (flag, size) = field.flag(cx)?;
            (flag.map(Val::Bool), size)
        }
        Shape::Other => return None,
    };
    cx.spend(1 + steps(size)).ok()?;
    Some(value.unwrap_or(Val::Null))
}

impl Called {
    fn value<'a>(&self, cx: &mut Cx<'a>) -> Option<Val<'a>> {
        cx.spend(self.steps).ok()?;
        match (&self.of, &self.call) {
            // Bytes are enough for it.
            (Make::Field(field), Call::Octets(run)) => {
                let (Some(text), size) = field.text(cx)? else {
                    return None;
                };
                cx.spend(1 + steps(size)).ok()?;
                run(cx, text).ok()
            }
            (of, call) => {
                let of = of.value(cx)?;
                call.run(cx, &[of]).ok()
            }
        }
    }
}
