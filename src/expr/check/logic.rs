//! Conditions: what has to be true or false, what must not be null, and what is known once a condition holds.

use cel::common::ast::Expr as Cel;
use cel::parser::Expression;

use super::{Checker, Facts, Known, Typed};
use crate::config::fault::Fault;
use crate::expr::ir::{Choose, Ir, OrValue};
use crate::expr::types::{Base, Type};

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
            return Some(Typed::exactly(ir, typed.ty.base));
        }
        self.refuse(match typed.ir {
            Ir::Field(_) => Fault {
                message: format!("`{written}` may be null"),
                ..fault
            }
            .hint(format!(
                "guard it: `{written} != null && …`, or `{written} == null || …` where null is to pass, or say what \
                 stands for null: `{written}.orValue(…)`"
            )),
            _ if typed.ty.base == Base::Null => fault,
            _ => fault.hint("say what stands for null: `(…).orValue(…)`"),
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
            let others = late
                .into_iter()
                .filter(|fault| !fault.message.contains("may be null"));
            self.faults.extend(others);
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
        let sides = Box::new((left.ir, right.ir));
        if self.run_time {
            return Some(Typed::boolean(Ir::Absorbing(and, sides), Facts::default()));
        }
        Some(match and {
            true => Typed::boolean(
                Ir::And(sides),
                Facts {
                    if_true: both(&a.if_true, &b.if_true),
                    if_false: either(&a.if_false, &b.if_false),
                },
            ),
            false => Typed::boolean(
                Ir::Or(sides),
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
        let yes = (yes, self.check(yes, &with(&test.facts.if_true)));
        let no = (no, self.check(no, &with(&test.facts.if_false)));
        let (mut yes, mut no) = ((yes.0, yes.1?), (no.0, no.1?));
        let bases = (yes.1.ty.base.clone(), no.1.ty.base.clone());
        let ty = self.unify(expr, &mut [(yes.0, &mut yes.1), (no.0, &mut no.1)], "sides")?;
        let ir = Ir::Choose(Box::new(Choose {
            test: test.ir,
            yes: yes.1.ir,
            no: no.1.ir,
            bases,
        }));
        Some(Typed::new(ir, ty))
    }

    /// `nullable.orValue(default)`
    pub(super) fn or_value(
        &mut self,
        expr: &Expression,
        target: &Expression,
        default: &Expression,
        known: &Known,
    ) -> Option<Typed> {
        let value = match &target.expr {
            Cel::Ident(_) => self.field(target, known, true),
            Cel::Select(select) if !select.test => self.field(target, known, true),
            _ => self.check(target, known),
        };
        let other = self.check(default, known);
        let (mut value, mut other) = (value?, other?);
        let nullable = other.ty.nullable;
        let bases = (value.ty.base.clone(), other.ty.base.clone());
        let ty = self.unify(
            expr,
            &mut [(target, &mut value), (default, &mut other)],
            "values",
        )?;
        let ir = match value.ty.nullable {
            true => Ir::OrValue(Box::new(OrValue {
                value: value.ir,
                default: other.ir,
                bases,
            })),
            false => value.ir,
        };
        Some(Typed::new(ir, Type { nullable, ..ty }))
    }
}
