//! `filter: expression` keeps the events for which it is true.

use super::flow::Flow;
use super::run::Op;
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::expr::Expr;

pub(super) fn compile(text: &Placed<String>, flow: &mut Flow, faults: &mut Vec<Fault>) {
    match flow.with_scope(Vec::new(), |scope| Expr::compile_condition(text, scope)) {
        Ok(expr) => {
            flow.settle();
            let label = flow.label.clone();
            flow.top.ops.push(Op::Filter(expr, label));
        }
        Err(found) => faults.extend(found),
    }
}
