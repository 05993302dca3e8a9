//! What is true or false: conditions are most of what is evaluated, and need no [`Val`] around their answer.

use super::{Evaluated, Run, compare, each, mismatch};
use crate::expr::ir::{Ir, TextTest};
use crate::expr::value::Val;

impl Run<'_, '_> {
    /// The answer of a condition.
    pub(in crate::expr) fn truth(&mut self, ir: &Ir) -> Evaluated<bool> {
        self.cx.spend(1)?;
        Ok(match ir {
            Ir::Compare(op, sides) => {
                let left = self.look(&sides.0)?;
                let right = self.look(&sides.1)?;
                compare::holds(self.cx, *op, left, right)?
            }
            Ir::And(sides) => self.truth(&sides.0)? && self.truth(&sides.1)?,
            Ir::Or(sides) => self.truth(&sides.0)? || self.truth(&sides.1)?,
            Ir::Not(operand) => !self.truth(operand)?,
            Ir::IsNull(operand) => self.look(operand)?.is_null(),
            Ir::TextTest(test, sides) => {
                let text = self.look(&sides.0)?;
                let part = self.look(&sides.1)?;
                let (Val::Text(text), Val::Text(part)) = (text, part) else {
                    return Err(mismatch());
                };
                self.cx.spend_bytes(text.len())?;
                match test {
                    TextTest::Contains => text.contains(part),
                    TextTest::StartsWith => text.starts_with(part),
                    TextTest::EndsWith => text.ends_with(part),
                }
            }
            Ir::In(needle, choices) => {
                let needle = self.look(needle)?;
                for choice in choices {
                    self.cx.spend(1)?;
                    let choice = self.look(choice)?;
                    if compare::equal(self.cx, needle, choice)? {
                        return Ok(true);
                    }
                }
                false
            }
            Ir::AnyEqual(pairs) => {
                for (needle, choice) in pairs {
                    self.cx.spend(1)?;
                    let needle = self.look(needle)?;
                    let choice = self.look(choice)?;
                    if compare::equal(self.cx, needle, choice)? {
                        return Ok(true);
                    }
                }
                false
            }
            Ir::Within(sides) => {
                let needle = self.look(&sides.0)?;
                let list = self.eval(&sides.1)?;
                each::within(self.cx, needle, list)?
            }
            Ir::Absorbing(and, sides) => match self.truth(&sides.0) {
                Ok(left) if left != *and => left,
                Ok(_) => self.truth(&sides.1)?,
                Err(error) if error.too_long => return Err(error),
                Err(error) => match self.truth(&sides.1) {
                    Ok(right) if right != *and => right,
                    Err(other) if other.too_long => return Err(other),
                    _ => return Err(error),
                },
            },
            other => match self.look(other)? {
                Val::Bool(answer) => answer,
                _ => return Err(mismatch()),
            },
        })
    }
}
