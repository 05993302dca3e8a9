//! Turns the result of an expression into a value of a field's type, where nothing can be lost by it: `set` keeps a
//! field's type then. Constants are converted at compile time, fields only where every value has a counterpart.

use super::ir::{Choose, Const, Ir, OrValue};
use super::types::{Base, Class, same_node};
use crate::contract::schema::{Kind, Logical, NodeId, Schema};
use crate::expr::number::{Decimal, digits, to_avro};

/// A constant text that is no symbol of the enum it is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSymbol(pub String);

/// `None` when the types do not fit.
pub(super) fn to(
    ir: &Ir,
    base: &Base,
    schema: &Schema,
    target: NodeId,
) -> Result<Option<Ir>, NoSymbol> {
    let wanted = Base::of(schema, target);
    if let Ir::Choose(parts) = ir {
        let yes = to(&parts.yes, &parts.bases.0, schema, target)?;
        let no = to(&parts.no, &parts.bases.1, schema, target)?;
        return Ok(yes.zip(no).map(|(yes, no)| {
            Ir::Choose(Box::new(Choose {
                yes,
                no,
                ..parts.as_ref().clone()
            }))
        }));
    }
    if let Ir::OrValue(parts) = ir {
        let value = to(&parts.value, &parts.bases.0, schema, target)?;
        let default = to(&parts.default, &parts.bases.1, schema, target)?;
        return Ok(value.zip(default).map(|(value, default)| {
            Ir::OrValue(Box::new(OrValue {
                value,
                default,
                bases: parts.bases.clone(),
            }))
        }));
    }
    Ok(match (ir, &wanted) {
        (Ir::Const(Const::Null), _) => Some(ir.clone()),
        (Ir::Const(Const::Text(text)), Base::Node(node)) => match &schema.node(*node).kind {
            Kind::Enum(named) => {
                let index = named.symbols.iter().position(|symbol| **symbol == **text);
                let index = index.and_then(|index| u32::try_from(index).ok());
                let index = index.ok_or_else(|| NoSymbol(text.to_string()))?;
                Some(Ir::Const(Const::Enum(index)))
            }
            Kind::String if uuid::Uuid::try_parse(text).is_ok() => Some(ir.clone()),
            _ => None,
        },
        (Ir::Number(_, exact), _) => number_to(exact, &wanted, schema).map(Ir::Const),
        (Ir::Const(Const::Decimal(bytes, scale)), wanted)
            if wanted.class(schema) == Class::Decimal =>
        {
            let exact = Decimal::from_avro(bytes, *scale as usize);
            number_to(&exact, wanted, schema).map(Ir::Const)
        }
        // What was computed stays in the size that it is set to; what does not fit is an error, as a long's overflow is.
        (Ir::Arith(_) | Ir::Negate(_), Base::Int) if *base == Base::Long => Some(ir.clone()),
        (_, wanted) if fits(base, wanted, schema) => Some(ir.clone()),
        _ => None,
    })
}

/// Whether every value of the one is a value of the other.
fn fits(base: &Base, wanted: &Base, schema: &Schema) -> bool {
    if let (Base::Node(a), Base::Node(b)) = (base, wanted)
        && same_node(schema, *a, *b)
    {
        return true;
    }
    if base == wanted {
        return true;
    }
    match (base, wanted) {
        (Base::Int, Base::Long) | (Base::Float, Base::Double) => true,
        (Base::TimestampMillis, Base::TimestampMicros) | (Base::TimeMillis, Base::TimeMicros) => {
            true
        }
        // The same for decimals. Digits after the point are never cut off.
        (
            Base::Decimal {
                scale: Some(scale), ..
            },
            Base::Node(node),
        ) => {
            matches!(schema.node(*node).logical, Some(Logical::Decimal { scale: wanted, .. }) if *scale <= wanted)
        }
        (Base::List(None), _) => matches!(wanted.class(schema), Class::List(_)),
        (Base::Map(None), _) => matches!(wanted.class(schema), Class::Map(_)),
        (Base::List(Some(_)) | Base::Map(Some(_)), _) => {
            match (base.class(schema), wanted.class(schema)) {
                (Class::List(Some(one)), Class::List(Some(other)))
                | (Class::Map(Some(one)), Class::Map(Some(other))) => {
                    (other.nullable || !one.nullable) && fits(&one.base, &other.base, schema)
                }
                _ => false,
            }
        }
        (Base::Node(node), Base::String) => schema.node(*node).kind == Kind::String,
        (Base::Node(a), Base::Node(b)) => {
            match (schema.node(*a).logical, schema.node(*b).logical) {
                (
                    Some(Logical::Decimal { precision, scale }),
                    Some(Logical::Decimal {
                        precision: wide,
                        scale: fine,
                    }),
                ) => scale <= fine && precision - scale <= wide.saturating_sub(fine),
                _ => false,
            }
        }
        _ => false,
    }
}

/// A number literal as a value of a type, if it is one exactly; a floating-point type takes the nearest, which is
/// what such a literal means.
fn number_to(exact: &Decimal, wanted: &Base, schema: &Schema) -> Option<Const> {
    let whole = || exact.at_scale(0);
    match wanted {
        Base::Int => Some(Const::Int(i64::from(i32::try_from(&whole()?).ok()?))),
        Base::Long => Some(Const::Int(i64::try_from(&whole()?).ok()?)),
        Base::Float => {
            let float: f32 = exact.to_text().parse().ok()?;
            float.is_finite().then_some(Const::Double(f64::from(float)))
        }
        Base::Double => {
            let double: f64 = exact.to_text().parse().ok()?;
            double.is_finite().then_some(Const::Double(double))
        }
        Base::Node(node) => {
            let node = schema.node(*node);
            let Some(Logical::Decimal { precision, scale }) = node.logical else {
                return None;
            };
            let unscaled = exact.at_scale(scale)?;
            if digits(&unscaled) > precision {
                return None;
            }
            let size = match &node.kind {
                Kind::Fixed(fixed) => Some(fixed.size),
                _ => None,
            };
            let bytes = to_avro(&unscaled, size)?;
            Some(Const::Decimal(bytes.into(), u32::try_from(scale).ok()?))
        }
        _ => None,
    }
}
