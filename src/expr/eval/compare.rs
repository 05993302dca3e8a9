//! Comparisons by value. The checker has made both sides comparable; the values themselves say how.

use std::cmp::Ordering;

use super::each::Items;
use super::{Evaluated, mismatch, stop};
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::expr::cx::Cx;
use crate::expr::ir::Op;
use crate::expr::number::compare_integer;
use crate::expr::value::{self, Val, compare_decimals};

/// Bound on values inside one another that are compared.
const MAX_DEPTH: usize = 64;

#[inline]
pub(super) fn holds(cx: &mut Cx<'_>, op: Op, left: Val<'_>, right: Val<'_>) -> Evaluated<bool> {
    Ok(match op {
        Op::Equal => equal(cx, left, right)?,
        Op::NotEqual => !equal(cx, left, right)?,
        Op::Less => order(cx, left, right)? == Some(Ordering::Less),
        Op::LessOrEqual => order(cx, left, right)?.is_some_and(Ordering::is_le),
        Op::Greater => order(cx, left, right)? == Some(Ordering::Greater),
        Op::GreaterOrEqual => order(cx, left, right)?.is_some_and(Ordering::is_ge),
    })
}

#[inline]
pub(super) fn equal(cx: &mut Cx<'_>, left: Val<'_>, right: Val<'_>) -> Evaluated<bool> {
    deep(cx, left, right, 0)
}

/// `None` where a NaN is involved.
#[inline]
fn order(cx: &mut Cx<'_>, left: Val<'_>, right: Val<'_>) -> Evaluated<Option<Ordering>> {
    Ok(Some(match (left, right) {
        (Val::Int(a), Val::Int(b)) => a.cmp(&b),
        (Val::Text(a), Val::Text(b)) => {
            cx.spend_bytes(a.len().min(b.len()))?;
            a.cmp(b)
        }
        (Val::Decimal(a, s), Val::Decimal(b, t)) => {
            cx.spend_bytes(a.len().saturating_add(b.len()))?;
            compare_decimals((a, s), (b, t))
        }
        (Val::Enum(a), Val::Enum(b)) => a.cmp(&b),
        (Val::Bool(a), Val::Bool(b)) => a.cmp(&b),
        (Val::Double(a), Val::Double(b)) => return Ok(a.partial_cmp(&b)),
        (Val::Int(a), Val::Double(b)) => return Ok(compare_integer(a, b)),
        (Val::Double(a), Val::Int(b)) => {
            return Ok(compare_integer(b, a).map(Ordering::reverse));
        }
        (Val::Decimal(a, s), Val::Int(b)) => compare_decimals((a, s), (&b.to_be_bytes(), 0)),
        (Val::Int(a), Val::Decimal(b, s)) => compare_decimals((&a.to_be_bytes(), 0), (b, s)),
        (Val::Bytes(a), Val::Bytes(b)) => {
            cx.spend_bytes(a.len().min(b.len()))?;
            a.cmp(b)
        }
        (Val::Timestamp(a), Val::Timestamp(b)) => a.cmp(&b),
        (Val::Date(a), Val::Date(b)) => a.cmp(&b),
        (Val::Time(a), Val::Time(b)) => a.cmp(&b),
        (Val::Duration(a), Val::Duration(b)) => a.cmp(&b),
        _ => return Err(mismatch()),
    }))
}

/// Equality, in lists, maps and records too. A null is equal to null alone.
fn deep(cx: &mut Cx<'_>, left: Val<'_>, right: Val<'_>, depth: usize) -> Evaluated<bool> {
    match (left, right) {
        (Val::Null, Val::Null) => return Ok(true),
        (Val::Null, _) | (_, Val::Null) => return Ok(false),
        (
            Val::List(_) | Val::Map(_) | Val::Avro(..),
            Val::List(_) | Val::Map(_) | Val::Avro(..),
        ) => {}
        _ => return Ok(order(cx, left, right)? == Some(Ordering::Equal)),
    }
    if depth >= MAX_DEPTH {
        return Err(stop("the values that are compared nest too deep"));
    }
    cx.spend(1)?;
    if let (Val::Avro(a, left), Val::Avro(b, right)) = (left, right)
        && let (Kind::Record(_), Kind::Record(_)) =
            (&cx.schema.node(a).kind, &cx.schema.node(b).kind)
    {
        return records(cx, (a, left), (b, right), depth);
    }
    if is_map(cx.schema, left) {
        return maps(cx, left, right, depth);
    }
    let mut rest = Items::of(cx, right)?;
    let mut items = Items::of(cx, left)?;
    loop {
        match (items.next(cx)?, rest.next(cx)?) {
            (Some(a), Some(b)) if deep(cx, a, b, depth + 1)? => {}
            (None, None) => return Ok(true),
            _ => return Ok(false),
        }
    }
}

fn is_map(schema: &Schema, value: Val<'_>) -> bool {
    match value {
        Val::Map(_) => true,
        Val::Avro(node, _) => matches!(schema.node(node).kind, Kind::Map(_)),
        _ => false,
    }
}

fn records(
    cx: &mut Cx<'_>,
    (a, left): (NodeId, &[u8]),
    (b, right): (NodeId, &[u8]),
    depth: usize,
) -> Evaluated<bool> {
    let schema = cx.schema;
    let (Kind::Record(one), Kind::Record(other)) = (&schema.node(a).kind, &schema.node(b).kind)
    else {
        return Err(mismatch());
    };
    if one.fields.len() != other.fields.len() {
        return Ok(false);
    }
    let (mut at, mut there) = (0, 0);
    for (field, same) in one.fields.iter().zip(&other.fields) {
        cx.spend(1)?;
        let (x, next) = value::read(schema, field.node, left, at).map_err(stop)?;
        let (y, beyond) = value::read(schema, same.node, right, there).map_err(stop)?;
        cx.spend_bytes((next - at).saturating_add(beyond - there))?;
        let same = match (x, y) {
            // What CEL has no meaning for is the same if its bytes are.
            (Val::Avro(n, x), Val::Avro(m, y)) if opaque(schema, n) && opaque(schema, m) => x == y,
            (x, y) => deep(cx, x, y, depth + 1)?,
        };
        if !same {
            return Ok(false);
        }
        (at, there) = (next, beyond);
    }
    Ok(true)
}

fn opaque(schema: &Schema, node: NodeId) -> bool {
    let written = schema.node(node);
    written.logical.is_some() || matches!(written.kind, Kind::Union(_))
}

fn maps(cx: &mut Cx<'_>, left: Val<'_>, right: Val<'_>, depth: usize) -> Evaluated<bool> {
    let count = |cx: &mut Cx<'_>, map: Val<'_>| super::each::size(cx, map);
    if count(cx, left)? != count(cx, right)? {
        return Ok(false);
    }
    let mut keys = Items::of(cx, left)?;
    while let Some(key) = keys.next(cx)? {
        let (Some(a), Some(b)) = (
            super::each::value_of(cx, left, key)?,
            super::each::value_of(cx, right, key)?,
        ) else {
            return Ok(false);
        };
        if !deep(cx, a, b, depth + 1)? {
            return Ok(false);
        }
    }
    Ok(true)
}
