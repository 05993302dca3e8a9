//! Fields: names against the schema, and which of them may be null where they stand.

use super::super::path::{self, listed, peel, type_name};
use super::super::types::{Base, Type};
use super::{Checker, Facts, Ir, Known, Typed};
use crate::contract::schema::Kind;
use cel::common::ast::{Expr as Cel, SelectExpr};
use cel::parser::Expression;

impl Checker<'_> {
    /// `has(a.b)`: neither `a` nor `a.b` is null.
    pub(super) fn has(&mut self, expr: &Expression, select: &SelectExpr) -> Option<Typed> {
        let plain = Expression {
            id: expr.id,
            expr: Cel::Select(SelectExpr {
                test: false,
                ..select.clone()
            }),
        };
        let typed = self.field(&plain, &Known::new(), true)?;
        let (Ir::Field(positions) | Ir::Whole(positions)) = typed.ir else {
            return self.later(expr, "`has()` of anything but a field");
        };
        let facts = Facts {
            if_true: (1..=positions.len())
                .map(|end| positions[..end].to_vec())
                .collect(),
            if_false: Known::new(),
        };
        let absent = Ir::IsNull(Box::new(Ir::Field(positions)));
        Some(Typed::boolean(Ir::Not(Box::new(absent)), facts))
    }

    /// A field, through nested records. With `testing`, nullable records on the way need no guard.
    pub(super) fn field(
        &mut self,
        expr: &Expression,
        known: &Known,
        testing: bool,
    ) -> Option<Typed> {
        let Some(chain) = chain(expr) else {
            return self.later(expr, "selecting from anything but a field");
        };
        let mut positions = Vec::with_capacity(chain.len());
        let mut node = self.schema.root;
        let mut shown = String::new();
        let mut optional = None;
        for (index, (name, at)) in chain.into_iter().enumerate() {
            let holder = peel(self.schema, node);
            let guarded = positions.is_empty() || testing || known.contains(&positions);
            if holder.nullable && !guarded && self.run_time {
                optional = Some((positions.clone(), format!("`{shown}` is null")));
            } else if holder.nullable && !guarded {
                let fault = self.source.fault(
                    at,
                    format!("`{shown}` may be null, so it may have no `{name}`"),
                );
                return self.refuse(fault.hint(format!(
                    "guard it: `{shown} != null && …`, or `has({shown}.{name})` in a condition"
                )));
            }
            let Kind::Record(record) = &self.schema.node(holder.node).kind else {
                let what = type_name(self.schema, holder.node);
                if matches!(self.schema.node(holder.node).kind, Kind::Map(_)) {
                    return self.later(at, "looking up keys of a map");
                }
                let fault = self
                    .source
                    .fault(at, format!("`{shown}` is {what}; it has no field `{name}`"));
                return self.refuse(fault);
            };
            let Some(position) = record.index.get(name) else {
                let near = path::suggest(name, record.fields.iter().map(|f| f.name.as_str()));
                let hint = match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("its fields are {}", listed(record)),
                };
                let message = format!("{} has no field `{name}`", record.name.full);
                let fault = self.source.fault(at, message).hint(hint);
                return self.refuse(fault);
            };
            // A variable is the value that the expression is evaluated on.
            if index > 0 || !self.run_time {
                positions.push(*position);
            }
            node = record.fields[*position].node;
            if !shown.is_empty() {
                shown.push('.');
            }
            shown.push_str(name);
        }
        let path = match (self.run_time, shown.split_once('.')) {
            (false, _) => shown,
            (true, Some((_, below))) => below.to_owned(),
            (true, None) => String::new(),
        };
        if !self.fields.contains(&path) && !path.is_empty() {
            self.fields.push(path);
        }
        let peeled = peel(self.schema, node);
        let base = Base::of(self.schema, peeled.node);
        if peeled.several {
            return Some(Typed::new(Ir::Whole(positions), Type::exactly(base)));
        }
        let ty = Type {
            base,
            nullable: peeled.nullable && !known.contains(&positions),
        };
        let field = Ir::Field(positions);
        let ir = match optional {
            None => field,
            Some((above, message)) => Ir::Below(above, Box::new(field), message),
        };
        Some(Typed::new(ir, ty))
    }
}

/// The names of `a.b.c` and the part of the expression that ends with each.
fn chain(expr: &Expression) -> Option<Vec<(&str, &Expression)>> {
    let mut parts = Vec::new();
    let mut at = expr;
    loop {
        match &at.expr {
            Cel::Ident(name) => {
                parts.push((name.as_str(), at));
                parts.reverse();
                return Some(parts);
            }
            Cel::Select(select) if !select.test => {
                parts.push((select.field.as_str(), at));
                at = &select.operand;
            }
            _ => return None,
        }
    }
}
