//! `default: { field: expression }` puts a value where there is null. The field is not nullable any more, unless the
//! expression is.

use super::flow::Flow;
use super::leaf::Leaf;
use super::shape;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::expr::path::{peel, type_name};
use crate::expression::Expr;

pub(super) fn compile(
    entries: &[(Placed<String>, Placed<String>)],
    flow: &mut Flow,
    faults: &mut Vec<Fault>,
) {
    let mut found = Vec::new();
    for (field, text) in entries {
        let target = match flow.target(field) {
            Ok(target) => target,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        let fault = |message: String| Fault::new(&field.place, field.value.clone(), message);
        let peeled = peel(&flow.schema, target.declared);
        if target.optional {
            let message = format!("a record above `{}` may be null", field.value);
            faults.push(fault(message).hint("a field below a null has no place for a value"));
            continue;
        }
        if !peeled.nullable || peeled.several {
            let what = type_name(&flow.schema, target.declared);
            faults.push(
                fault(format!("`{}` is {what}, which is never null", field.value))
                    .hint("a default is for a nullable field of one type"),
            );
            continue;
        }
        let expr = match flow.with_scope(Vec::new(), |scope| Expr::compile(text, scope)) {
            Ok(expr) => expr,
            Err(more) => {
                faults.extend(more);
                continue;
            }
        };
        let wrong = |message: String| Fault::new(&text.place, text.value.clone(), message);
        match expr.coerced(&flow.schema, peeled.node) {
            Ok(Some(expr)) => found.push((field, target, peeled.node, expr)),
            Ok(None) => {
                let (is, wanted) = (
                    expr.ty().describe(&flow.schema),
                    type_name(&flow.schema, peeled.node),
                );
                faults.push(wrong(format!(
                    "the default is {is}, and the field {wanted}"
                )));
            }
            Err(no_symbol) => {
                let wanted = type_name(&flow.schema, peeled.node);
                faults.push(wrong(format!("{wanted} has no symbol `{}`", no_symbol.0)));
            }
        }
    }
    let touched: Vec<_> = found
        .iter()
        .map(|(field, target, ..)| (*field, target))
        .collect();
    shape::overlap(&touched, faults);
    flow.settle();
    for (_, target, bare, expr) in found {
        let node = match expr.ty().nullable {
            true => target.declared,
            false => bare,
        };
        flow.change(&target, node, Leaf::Default(expr));
    }
}
