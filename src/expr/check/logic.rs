//! Conditions: what has to be true or false, what must not be null, and what is known once a condition holds.

use super::super::types::{Base, Type};
use super::{Checker, Facts, Ir, Known, Typed};
use crate::config::fault::Fault;
use cel::parser::Expression;

impl Checker<'_> {
    /// An operand that must be true or false.
    pub(super) fn condition(&mut self, expr: &Expression, known: &Known) -> Option<Typed> {
        let typed = self.check(expr, known)?;
        let typed = self.present(expr, typed)?;
        if typed.ty.base == Base::Boolean {
            return Some(typed);
        }
        let what = typed.ty.describe(self.schema);
        let fault = self
            .source
            .fault(expr, format!("must be true or false here; this is {what}"));
        self.refuse(fault)
    }

    /// An operand that must not be null.
    pub(super) fn present(&mut self, expr: &Expression, typed: Typed) -> Option<Typed> {
        if !typed.ty.nullable {
            return Some(typed);
        }
        let fault = self.source.fault(expr, "this may be null");
        let written = fault.text.clone();
        if self.run_time && typed.ty.base != Base::Null {
            let ir = Ir::Present(Box::new(typed.ir), format!("`{written}` is null"));
            return Some(Typed::new(ir, Type::exactly(typed.ty.base)));
        }
        self.refuse(match typed.ir {
            Ir::Field(_) => Fault {
                message: format!("`{written}` may be null"),
                ..fault
            }
            .hint(format!(
                "guard it: `{written} != null && …`, or `{written} == null || …` where null is to pass"
            )),
            _ => fault,
        })
    }

    pub(super) fn and_or(
        &mut self,
        left: &Expression,
        right: &Expression,
        known: &Known,
        and: bool,
    ) -> Option<Typed> {
        let left = self.condition(left, known);
        // The right side is looked at even if the left is wrong, so that its faults are listed too; what the left
        // would have established is then unknown, and complaints about nulls would only mislead.
        let Some(left) = left else {
            let before = self.faults.len();
            let _known_wrong = self.condition(right, known);
            let late = self.faults.split_off(before);
            self.faults.extend(
                late.into_iter()
                    .filter(|f| !f.message.contains("may be null")),
            );
            return None;
        };
        let given = match and {
            true => &left.facts.if_true,
            false => &left.facts.if_false,
        };
        // Where errors are absorbed, the right side may run although the left established nothing.
        let given = match self.run_time {
            true => &Known::new(),
            false => given,
        };
        let inside = known.union(given).cloned().collect();
        let right = self.condition(right, &inside)?;
        let (a, b) = (left.facts, right.facts);
        let both = |a: &Known, b: &Known| a.union(b).cloned().collect();
        let either = |a: &Known, b: &Known| a.intersection(b).cloned().collect();
        if self.run_time {
            let ir = Ir::Absorbing(and, Box::new((left.ir, right.ir)));
            return Some(Typed::boolean(ir, Facts::default()));
        }
        let operands = (Box::new(left.ir), Box::new(right.ir));
        Some(match and {
            true => Typed::boolean(
                Ir::And(operands.0, operands.1),
                Facts {
                    if_true: both(&a.if_true, &b.if_true),
                    if_false: either(&a.if_false, &b.if_false),
                },
            ),
            false => Typed::boolean(
                Ir::Or(operands.0, operands.1),
                Facts {
                    if_true: either(&a.if_true, &b.if_true),
                    if_false: both(&a.if_false, &b.if_false),
                },
            ),
        })
    }

    pub(super) fn choose(
        &mut self,
        expr: &Expression,
        [test, yes, no]: [&Expression; 3],
        known: &Known,
    ) -> Option<Typed> {
        let test = self.condition(test, known)?;
        let with = |facts: &Known| known.union(facts).cloned().collect();
        let yes = self.check(yes, &with(&test.facts.if_true));
        let no = self.check(no, &with(&test.facts.if_false));
        let (mut yes, mut no) = (yes?, no?);
        let nullable = yes.ty.nullable || no.ty.nullable;
        let base = if yes.ty.base.same(&no.ty.base, self.schema) || no.ty.base == Base::Null {
            yes.ty.base
        } else if yes.ty.base == Base::Null {
            no.ty.base
        } else if yes.ty.base == Base::Int && no.ty.base == Base::Long {
            yes.ir = Ir::Widen(Box::new(yes.ir));
            Base::Long
        } else if yes.ty.base == Base::Long && no.ty.base == Base::Int {
            no.ir = Ir::Widen(Box::new(no.ir));
            Base::Long
        } else {
            let message = format!(
                "the two sides differ in type: {} and {}",
                yes.ty.base.describe(self.schema),
                no.ty.base.describe(self.schema)
            );
            let fault = self.source.fault(expr, message);
            return self.refuse(fault);
        };
        let ir = Ir::Choose(Box::new((test.ir, yes.ir, no.ir)));
        Some(Typed::new(ir, Type { base, nullable }))
    }
}
