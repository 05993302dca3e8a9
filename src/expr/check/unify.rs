//! One type for several values: the sides of a ternary, the elements of a list. Literals are turned into what the others
//! are.

use std::sync::Arc;

use cel::parser::Expression;

use super::{Checker, Typed};
use crate::expr::ir::{Const, Ir};
use crate::expr::number::{Decimal, digits};
use crate::expr::types::{Base, Class, Type};

/// What is known of the values so far.
#[derive(Clone)]
struct Joint {
    ty: Type,
    /// Digits in all and after the point, if all of them are number literals.
    number: Option<(usize, usize)>,
    /// Whether all of them are text literals.
    text: bool,
}

impl Checker<'_> {
    /// The type that all of them are of, once literals are converted.
    pub(super) fn unify(
        &mut self,
        expr: &Expression,
        parts: &mut [(&Expression, &mut Typed)],
        what: &str,
    ) -> Option<Type> {
        let mut joint: Option<Joint> = None;
        for (_, part) in parts.iter() {
            let own = Joint {
                ty: part.ty.clone(),
                number: match &part.ir {
                    Ir::Number(_, exact) => Some(size(exact)),
                    _ => None,
                },
                text: is_text(part),
            };
            let Some(before) = joint else {
                joint = Some(own);
                continue;
            };
            let Some(both) = self.join(&before, &own) else {
                let (one, other) = (
                    before.ty.base.describe(self.schema),
                    own.ty.base.describe(self.schema),
                );
                let message = match what {
                    "sides" => format!("the two sides differ in type: {one} and {other}"),
                    _ => format!("the {what} differ in type: {one} and {other}"),
                };
                let fault = self.source.fault(expr, message);
                return self.refuse(match self.conversion(&before.ty.base, &own.ty.base) {
                    Some(hint) => fault.hint(hint),
                    None => fault,
                });
            };
            joint = Some(both);
        }
        let ty = joint?.ty;
        for (at, part) in parts {
            self.convert(at, part, &ty.base)?;
        }
        Some(ty)
    }

    /// How one of them becomes the other.
    pub(super) fn conversion(&self, one: &Base, other: &Base) -> Option<&'static str> {
        Some(match (one.class(self.schema), other.class(self.schema)) {
            (Class::Integer, Class::Floating) | (Class::Floating, Class::Integer) => {
                "make the integer a double: `double(…)`"
            }
            (Class::Integer, Class::Decimal) | (Class::Decimal, Class::Integer) => {
                "make the integer a decimal: `decimal(…)`"
            }
            (Class::Decimal, Class::Floating) | (Class::Floating, Class::Decimal) => {
                "a floating-point number is not exact; it takes a step `cast`, or `double(…)` of the decimal"
            }
            (Class::Text, _) | (_, Class::Text) => "make a text of it: `string(…)`",
            _ => return None,
        })
    }

    fn join(&self, a: &Joint, b: &Joint) -> Option<Joint> {
        let schema = self.schema;
        let of = |base: Base| Joint {
            ty: Type {
                base,
                nullable: a.ty.nullable || b.ty.nullable,
            },
            number: a.number.zip(b.number).map(|((p, s), (q, t))| {
                let scale = s.max(t);
                ((p - s).max(q - t) + scale, scale)
            }),
            text: a.text && b.text,
        };
        let (one, other) = (&a.ty.base, &b.ty.base);
        if *other == Base::Null {
            let joint = of(one.clone());
            return Some(Joint {
                number: a.number,
                text: a.text,
                ..joint
            });
        }
        if *one == Base::Null {
            let joint = of(other.clone());
            return Some(Joint {
                number: b.number,
                text: b.text,
                ..joint
            });
        }
        if one.same(other, schema) {
            return Some(of(one.clone()));
        }
        let digits = |joint: &Joint| match joint.number {
            Some((precision, scale)) => (Some(precision), Some(scale)),
            None => joint.ty.base.digits(schema),
        };
        Some(of(match (one.class(schema), other.class(schema)) {
            (Class::Integer, Class::Integer) => Base::Long,
            (Class::Floating, Class::Floating) => Base::Double,
            (Class::Integer, Class::Floating) if a.number.is_some() => other.clone(),
            (Class::Floating, Class::Integer) if b.number.is_some() => one.clone(),
            (Class::Decimal, Class::Decimal) => wider(digits(a), digits(b)),
            (Class::Decimal, Class::Integer | Class::Floating) if b.number.is_some() => {
                wider(digits(a), digits(b))
            }
            (Class::Integer | Class::Floating, Class::Decimal) if a.number.is_some() => {
                wider(digits(a), digits(b))
            }
            (Class::Enum(_), Class::Text) if b.text => one.clone(),
            (Class::Text, Class::Enum(_)) if a.text => other.clone(),
            (Class::Text, Class::Text) => Base::String,
            (Class::Bytes, Class::Bytes) => Base::Bytes,
            (Class::Time, Class::Time) => Base::TimeMicros,
            (Class::Timestamp, Class::Timestamp) => match (one, other) {
                (Base::TimestampNanos, _) | (_, Base::TimestampNanos) => Base::TimestampNanos,
                _ => Base::TimestampMicros,
            },
            (Class::List(_), Class::List(None)) | (Class::Map(_), Class::Map(None)) => one.clone(),
            (Class::List(None), Class::List(_)) | (Class::Map(None), Class::Map(_)) => {
                other.clone()
            }
            (Class::List(Some(x)), Class::List(Some(y))) if x.base.same(&y.base, schema) => {
                let nullable = x.nullable || y.nullable;
                Base::List(Some(Arc::new(Type { nullable, ..x })))
            }
            _ => return None,
        }))
    }

    /// A literal as a value of that type; what is none stays as it is.
    fn convert(&mut self, at: &Expression, typed: &mut Typed, base: &Base) -> Option<()> {
        match base.class(self.schema) {
            Class::Floating => {
                to_double(typed);
            }
            Class::Decimal => {
                to_decimal(typed);
            }
            Class::Enum(node) if is_text(typed) => self.symbol(at, node, typed)?,
            _ => {}
        }
        Some(())
    }
}

/// A decimal that holds both.
fn wider((p, s): (Option<usize>, Option<usize>), (q, t): (Option<usize>, Option<usize>)) -> Base {
    let scale = s.zip(t).map(|(s, t)| s.max(t));
    let whole = p.zip(s).zip(q.zip(t));
    let whole = whole.map(|((p, s), (q, t))| p.saturating_sub(s).max(q.saturating_sub(t)));
    Base::Decimal {
        precision: whole.zip(scale).map(|(whole, scale)| whole + scale),
        scale,
    }
}

/// Digits in all and after the point.
pub(super) fn size(number: &Decimal) -> (usize, usize) {
    (digits(&number.unscaled).max(number.scale), number.scale)
}

pub(super) fn is_text(typed: &Typed) -> bool {
    matches!(typed.ir, Ir::Const(Const::Text(_)))
}

/// A number literal as a decimal.
pub(super) fn to_decimal(typed: &mut Typed) -> bool {
    let Ir::Number(_, exact) = &typed.ir else {
        return false;
    };
    let (precision, scale) = size(exact);
    *typed = Typed::exactly(
        Ir::Const(Const::decimal(exact)),
        Base::Decimal {
            precision: Some(precision),
            scale: Some(scale),
        },
    );
    true
}

/// A number literal as a double: the nearest, which is what such a literal means.
pub(super) fn to_double(typed: &mut Typed) -> bool {
    let double = match &typed.ir {
        Ir::Number(Const::Double(double), _) => Some(*double),
        Ir::Number(_, exact) => exact.to_text().parse().ok(),
        _ => None,
    };
    let Some(double) = double else {
        return false;
    };
    *typed = Typed::exactly(Ir::Const(Const::Double(double)), Base::Double);
    true
}
