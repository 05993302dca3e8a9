//! `default: { field: expression }` puts a value where there is null. The field is not nullable any more, unless the
//! expression is. Inside of arrays and maps the expression can name the element, as in `set`.

use super::flow::{Flow, Frame, Target};
use super::layout::Layout;
use super::leaf::Leaf;
use super::run::Op;
use super::shape;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::NodeId;
use crate::expr::Expr;
use crate::expr::path::{peel, type_name};

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
        found.push((field, text, target, peeled.node));
    }
    let touched: Vec<_> = found
        .iter()
        .map(|(field, _, target, _)| (*field, target))
        .collect();
    let before = faults.len();
    shape::overlap(&touched, faults);
    if faults.len() > before {
        return;
    }
    // Each sees the event as it was.
    flow.freeze();
    for (field, text, target, bare) in found {
        let container = (target.container.as_slice(), target.container_text());
        flow.inside(container, target.is_leaf(), |flow, frame| {
            let element = frame.element();
            let compiled = flow.with_scope(element, |scope| Expr::compile(text, scope));
            match compiled.and_then(|expr| fitted(text, &expr, bare, flow).map_err(|f| vec![f])) {
                Ok(expr) => put((field, &target, bare), expr, flow, frame),
                Err(more) => faults.extend(more),
            }
        });
    }
    flow.thaw();
}

/// The expression as a value of the field.
fn fitted(text: &Placed<String>, expr: &Expr, bare: NodeId, flow: &Flow) -> Result<Expr, Fault> {
    let wrong = |message: String| Fault::new(&text.place, text.value.clone(), message);
    let wanted = type_name(&flow.schema, bare);
    match expr.coerced(&flow.schema, bare) {
        Ok(Some(expr)) => Ok(expr),
        Ok(None) => {
            let is = expr.ty().describe(&flow.schema);
            Err(wrong(format!(
                "the default is {is}, and the field {wanted}"
            )))
        }
        Err(no_symbol) => Err(wrong(format!("{wanted} has no symbol `{}`", no_symbol.0))),
    }
}

fn put(
    (field, target, bare): (&Placed<String>, &Target, NodeId),
    expr: Expr,
    flow: &mut Flow,
    frame: &mut Frame,
) {
    let node = match expr.ty().nullable {
        true => target.declared,
        false => bare,
    };
    let source = flow.source(frame, &target.inner, target.declared);
    let into = flow.register(&field.value);
    let leaf = Leaf::Default(expr);
    frame.ops.push(Op::Leaf { source, leaf, into });
    flow.put(frame, &target.inner, Layout::register(into));
    frame.node = shape::retyped_at(&mut flow.schema, frame.node, &target.inner, node);
}
