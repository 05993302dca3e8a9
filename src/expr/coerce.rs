//! Turns the result of an expression into a value of a field's type, where nothing can be lost by it: `set` keeps a
//! field's type then. Constants are converted at compile time, fields only where every value has a counterpart.

use super::check::Ir;
use super::number::{self, Decimal};
use super::types::{Base, same_node};
use crate::contract::schema::{Kind, Logical, NodeId, Schema};
use crate::contract::value::Value;

/// A constant text that is no symbol of the enum it is set to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoSymbol(pub(crate) String);

/// `None` when the types do not fit.
pub(super) fn to(
    ir: &Ir,
    base: &Base,
    schema: &Schema,
    target: NodeId,
) -> Result<Option<Ir>, NoSymbol> {
    let wanted = Base::of(schema, target);
    if let Ir::Choose(parts) = ir {
        let (test, yes, no) = parts.as_ref();
        let yes = to(yes, base, schema, target)?;
        let no = to(no, base, schema, target)?;
        return Ok(match (yes, no) {
            (Some(yes), Some(no)) => Some(Ir::Choose(Box::new((test.clone(), yes, no)))),
            _ => None,
        });
    }
    Ok(match (ir, &wanted) {
        (Ir::Const(Value::Null), _) => Some(ir.clone()),
        (Ir::Const(Value::String(text)), Base::Node(node)) => match &schema.node(*node).kind {
            Kind::Enum(named) => {
                let index = named.symbols.iter().position(|symbol| symbol == text);
                let index = index.ok_or_else(|| NoSymbol(text.clone()))?;
                Some(Ir::Const(Value::Enum(index)))
            }
            Kind::String if uuid::Uuid::try_parse(text).is_ok() => Some(ir.clone()),
            _ => None,
        },
        (Ir::Number(_, exact), _) => number_to(exact, &wanted, schema).map(Ir::Const),
        (Ir::Widen(inner), Base::Int) => Some(inner.as_ref().clone()),
        // Inside a ternary an int may stand beside a long without having been widened by it.
        (Ir::Widen(_), Base::Long) => Some(ir.clone()),
        (_, wanted) if same(base, wanted, schema) => Some(ir.clone()),
        (_, Base::Long) if *base == Base::Int => Some(Ir::Widen(Box::new(ir.clone()))),
        _ => None,
    })
}

fn same(a: &Base, b: &Base, schema: &Schema) -> bool {
    match (a, b) {
        (Base::Node(a), Base::Node(b)) => same_node(schema, *a, *b),
        _ => a == b,
    }
}

/// A number literal as a value of a type, if it is one exactly; a floating-point type takes the nearest, which is
/// what such a literal means.
fn number_to(exact: &Decimal, wanted: &Base, schema: &Schema) -> Option<Value> {
    let whole = || exact.at_scale(0);
    match wanted {
        Base::Int => Some(Value::Int(i32::try_from(&whole()?).ok()?)),
        Base::Long => Some(Value::Long(i64::try_from(&whole()?).ok()?)),
        Base::Float => {
            let float: f32 = exact.to_text().parse().ok()?;
            float.is_finite().then_some(Value::Float(float))
        }
        Base::Double => {
            let double: f64 = exact.to_text().parse().ok()?;
            double.is_finite().then_some(Value::Double(double))
        }
        Base::Node(node) => {
            let node = schema.node(*node);
            let Some(Logical::Decimal { precision, scale }) = node.logical else {
                return None;
            };
            let unscaled = exact.at_scale(scale)?;
            if number::digits(&unscaled) > precision {
                return None;
            }
            match &node.kind {
                Kind::Fixed(fixed) => {
                    number::to_avro(&unscaled, Some(fixed.size)).map(Value::Fixed)
                }
                _ => number::to_avro(&unscaled, None).map(Value::Bytes),
            }
        }
        _ => None,
    }
}
