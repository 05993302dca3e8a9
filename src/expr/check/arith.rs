//! Arithmetic: which operands an operator takes, what the result is, and how large a decimal it can be.

use std::sync::Arc;

use cel::parser::Expression;

use super::unify::{size, to_decimal, to_double};
use super::{Checker, Known, Typed, floating, integer};
use crate::expr::ir::{Arith, Const, Ir, Sum};
use crate::expr::number::Decimal;
use crate::expr::types::{Base, Class, Type};

impl Checker<'_> {
    pub(super) fn arithmetic(
        &mut self,
        expr: &Expression,
        op: Sum,
        left: &Expression,
        right: &Expression,
        known: &Known,
    ) -> Option<Typed> {
        let a = self.check(left, known);
        let a = a.and_then(|a| self.present(left, a));
        let b = self.check(right, known);
        let b = b.and_then(|b| self.present(right, b));
        let (mut a, mut b) = (a?, b?);
        if let Some(literal) = literals(op, &a.ir, &b.ir) {
            return Some(literal);
        }
        let classes = (self.class(&a), self.class(&b));
        let base = match (op, &classes) {
            (_, (Class::Foreign(what), _)) => return self.foreign(left, what),
            (_, (_, Class::Foreign(what))) => return self.foreign(right, what),
            (_, (Class::Integer, Class::Integer)) => Base::Long,
            (Sum::Remainder, _) => return self.unfit(expr, op, (&a, &b)),
            (_, (Class::Floating, Class::Floating)) => Base::Double,
            (_, (Class::Floating, Class::Integer)) if to_double(&mut b) => Base::Double,
            (_, (Class::Integer, Class::Floating)) if to_double(&mut a) => Base::Double,
            (Sum::Divide, _) => return self.unfit(expr, op, (&a, &b)),
            (_, (Class::Decimal, Class::Integer | Class::Floating)) if to_decimal(&mut b) => {
                self.decimal(op, &a, &b)
            }
            (_, (Class::Integer | Class::Floating, Class::Decimal)) if to_decimal(&mut a) => {
                self.decimal(op, &a, &b)
            }
            (_, (Class::Decimal, Class::Decimal | Class::Integer))
            | (_, (Class::Integer, Class::Decimal)) => self.decimal(op, &a, &b),
            (Sum::Add, (Class::Text, Class::Text)) => Base::String,
            (Sum::Add, (Class::Bytes, Class::Bytes)) => Base::Bytes,
            (Sum::Add, (Class::List(one), Class::List(other))) => {
                let sides = (one.clone(), other.clone());
                return self.join_lists(expr, sides, a, b);
            }
            (Sum::Add, (Class::Timestamp, Class::Duration))
            | (Sum::Subtract, (Class::Timestamp, Class::Duration)) => a.ty.base.clone(),
            (Sum::Add, (Class::Duration, Class::Timestamp)) => b.ty.base.clone(),
            (Sum::Subtract, (Class::Timestamp, Class::Timestamp)) => Base::Duration,
            (Sum::Add | Sum::Subtract, (Class::Duration, Class::Duration)) => Base::Duration,
            _ => return self.unfit(expr, op, (&a, &b)),
        };
        let constant = a.ir.constant().is_some() && b.ir.constant().is_some();
        let path = a.ir.path().or(b.ir.path()).unwrap_or_default().to_owned();
        let ir = Ir::Arith(Box::new(Arith {
            op,
            left: a.ir,
            right: b.ir,
            path,
        }));
        let ir = if constant { self.fold(ir) } else { ir };
        Some(Typed::exactly(ir, base))
    }

    /// The type of a sum or product with a decimal in it.
    fn decimal(&self, op: Sum, a: &Typed, b: &Typed) -> Base {
        let (p, s) = a.ty.base.digits(self.schema);
        let (q, t) = b.ty.base.digits(self.schema);
        let (precision, scale) = match op {
            Sum::Multiply => (p.zip(q).map(|(p, q)| p + q), s.zip(t).map(|(s, t)| s + t)),
            _ => {
                let scale = s.zip(t).map(|(s, t)| s.max(t));
                let whole = p
                    .zip(s)
                    .zip(q.zip(t))
                    .map(|((p, s), (q, t))| p.saturating_sub(s).max(q.saturating_sub(t)) + 1);
                (whole.zip(scale).map(|(whole, scale)| whole + scale), scale)
            }
        };
        Base::Decimal { precision, scale }
    }

    fn join_lists(
        &mut self,
        expr: &Expression,
        (one, other): (Option<Type>, Option<Type>),
        a: Typed,
        b: Typed,
    ) -> Option<Typed> {
        let element = match (one, other) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(one),
            (Some(one), Some(other)) => {
                let mut first = Typed::new(Ir::Const(Const::Bool(true)), one);
                let mut second = Typed::new(Ir::Const(Const::Bool(true)), other);
                let parts = &mut [(expr, &mut first), (expr, &mut second)];
                Some(self.unify(expr, parts, "elements")?)
            }
        };
        let ir = Ir::Join(Box::new((a.ir, b.ir)));
        Some(Typed::exactly(ir, Base::List(element.map(Arc::new))))
    }

    fn unfit(&mut self, expr: &Expression, op: Sum, (a, b): (&Typed, &Typed)) -> Option<Typed> {
        let (one, other) = (
            a.ty.base.describe(self.schema),
            b.ty.base.describe(self.schema),
        );
        let message = format!("`{}` does not take {one} and {other}", op.sign());
        let fault = self.source.fault(expr, message);
        let hint = match (op, self.class(a), self.class(b)) {
            (Sum::Divide, Class::Decimal, _) | (Sum::Divide, _, Class::Decimal) => Some(
                "a quotient of decimals seldom ends: say how many digits it gets, `divide(a, b, 2)`",
            ),
            (Sum::Remainder, _, _) => Some("`%` is for integers"),
            (Sum::Add, Class::Text, _) | (Sum::Add, _, Class::Text) => {
                Some("make a text of the other side: `string(…)`")
            }
            (_, Class::Date, _) | (_, _, Class::Date) => Some(
                "days are no lengths of time; take the function for it, `driftgate functions` lists what there is",
            ),
            _ => self.conversion(&a.ty.base, &b.ty.base),
        };
        self.refuse(match hint {
            Some(hint) => fault.hint(hint),
            None => fault,
        })
    }

    pub(super) fn negate(
        &mut self,
        expr: &Expression,
        operand: &Expression,
        known: &Known,
    ) -> Option<Typed> {
        let typed = self.check(operand, known)?;
        let typed = self.present(operand, typed)?;
        if let Ir::Number(value, exact) = &typed.ir {
            let exact = Decimal {
                unscaled: -&exact.unscaled,
                scale: exact.scale,
            };
            match value {
                Const::Double(double) => return Some(floating(-double, exact)),
                Const::Int(int) if let Some(negative) = int.checked_neg() => {
                    return Some(integer(negative));
                }
                _ => {}
            }
        }
        let base = match self.class(&typed) {
            Class::Integer => Base::Long,
            Class::Floating => Base::Double,
            Class::Duration => Base::Duration,
            Class::Decimal => {
                let (precision, scale) = typed.ty.base.digits(self.schema);
                Base::Decimal { precision, scale }
            }
            _ => {
                let what = typed.ty.describe(self.schema);
                let fault = self.source.fault(expr, format!("`-` does not take {what}"));
                return self.refuse(fault);
            }
        };
        let path = typed.ir.path().unwrap_or_default().to_owned();
        let constant = typed.ir.constant().is_some();
        let ir = Ir::Negate(Box::new((typed.ir, path)));
        let ir = if constant { self.fold(ir) } else { ir };
        Some(Typed::exactly(ir, base))
    }
}

/// Two number literals are one: `24 * 60`, and `0.1 + 0.2`, exactly where a decimal is wanted.
fn literals(op: Sum, left: &Ir, right: &Ir) -> Option<Typed> {
    let (Ir::Number(a, x), Ir::Number(b, y)) = (left, right) else {
        return None;
    };
    let scale = x.scale.max(y.scale);
    let exact = match op {
        Sum::Add => Decimal {
            unscaled: x.at_scale(scale)? + y.at_scale(scale)?,
            scale,
        },
        Sum::Subtract => Decimal {
            unscaled: x.at_scale(scale)? - y.at_scale(scale)?,
            scale,
        },
        Sum::Multiply if x.scale + y.scale <= 100 => Decimal {
            unscaled: &x.unscaled * &y.unscaled,
            scale: x.scale + y.scale,
        },
        _ => return None,
    };
    if size(&exact).0 > 200 {
        return None;
    }
    let doubles = |a: f64, b: f64| match op {
        Sum::Add => a + b,
        Sum::Subtract => a - b,
        _ => a * b,
    };
    #[expect(
        clippy::cast_precision_loss,
        reason = "a literal beside a double means the nearest one"
    )]
    Some(match (a, b) {
        (Const::Int(a), Const::Int(b)) => integer(match op {
            Sum::Add => a.checked_add(*b)?,
            Sum::Subtract => a.checked_sub(*b)?,
            _ => a.checked_mul(*b)?,
        }),
        (Const::Double(a), Const::Double(b)) => floating(doubles(*a, *b), exact),
        (Const::Int(a), Const::Double(b)) => floating(doubles(*a as f64, *b), exact),
        (Const::Double(a), Const::Int(b)) => floating(doubles(*a, *b as f64), exact),
        _ => return None,
    })
}
