//! Runs the programs. Input: the record at hand. Output: an answer, with the evaluator's steps taken for it; none where the
//! evaluator would have an error, or where the steps do not suffice.

use super::{Lean, Make, Test, Text};
use crate::expr::cx::{BYTES_A_STEP, Cx};
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
    /// Puts the value of an expression into a register; `false` where the evaluator must.
    #[inline]
    pub(in crate::expr) fn put(&self, cx: &mut Cx<'_>, into: usize) -> bool {
        match self {
            Lean::Make(make) => make.put(cx, into),
            Lean::Test(test) => {
                let spent = cx.spend(1).is_ok();
                match test.holds(cx) {
                    Some(holds) if spent => store(cx, into, Val::Bool(holds)),
                    _ => false,
                }
            }
        }
    }
}

#[inline]
fn store<'a>(cx: &mut Cx<'a>, into: usize, value: Val<'a>) -> bool {
    match cx.registers.get_mut(into) {
        Some(register) => {
            *register = value;
            true
        }
        None => false,
    }
}

/// A value is put where it belongs by whoever makes it: handed back through memory and copied on from there, a processor
/// waits for each.
impl Make {
    fn put(&self, cx: &mut Cx<'_>, into: usize) -> bool {
        match self {
            Make::Text(text) => match text.octets(cx) {
                Some(octets) => store(cx, into, Val::Unread(octets)),
                None => false,
            },
            Make::Choose(parts) => {
                let (test, yes, no) = &**parts;
                if cx.spend(1).is_err() {
                    return false;
                }
                match test.holds(cx) {
                    Some(true) => yes.put(cx, into),
                    Some(false) => no.put(cx, into),
                    None => false,
                }
            }
            Make::Const(value) => {
                let value = match value {
                    Const::Null => Val::Null,
                    Const::Bool(value) => Val::Bool(*value),
                    Const::Int(value) => Val::Int(*value),
                    Const::Double(value) => Val::Double(*value),
                    Const::Enum(value) => Val::Enum(*value),
                    _ => return false,
                };
                cx.spend(1).is_ok() && store(cx, into, value)
            }
        }
    }
}

impl Text {
    /// Its bytes, unless it is null.
    fn octets<'a>(&self, cx: &mut Cx<'a>) -> Option<&'a [u8]> {
        match self {
            Text::Const(text) => {
                cx.spend(1 + steps(text.len())).ok()?;
                Some(cx.arena.alloc_slice_copy(text.as_bytes()))
            }
            Text::Field(field) => {
                let (text, size) = field.text(cx)?;
                cx.spend(1 + steps(size)).ok()?;
                text
            }
            Text::OrValue(field, default) => {
                let (text, size) = field.text(cx)?;
                cx.spend(CONDITION + steps(size)).ok()?;
                match text {
                    Some(text) => Some(text),
                    None => default.octets(cx),
                }
            }
            Text::Of(text, run, others) => {
                cx.spend(*others).ok()?;
                let text = std::str::from_utf8(text.octets(cx)?).ok()?;
                run(cx, text).ok().map(str::as_bytes)
            }
            Text::OfOctets(text, run, others) => {
                cx.spend(*others).ok()?;
                let text = text.octets(cx)?;
                run(cx, text).ok()
            }
        }
    }
}
