//! Comprehensions: `all`, `exists`, `exists_one`, `filter` and `map`, which the parser hands over already taken apart into
//! a loop. Their shape is recognised again here.

use std::sync::Arc;

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr as Cel, LiteralValue, operators};
use cel::parser::Expression;

use super::{Checker, Facts, Known, Local, Typed};
use crate::expr::ir::{Const, Each, EachKind, Ir};
use crate::expr::types::{Base, Class, Type};

/// Comprehensions inside one another.
const MAX_NESTED: usize = 8;

/// A comprehension as it was written.
struct Shape<'e> {
    kind: EachKind,
    keep: Option<&'e Expression>,
    body: &'e Expression,
}

impl Checker<'_> {
    pub(super) fn each(
        &mut self,
        expr: &Expression,
        each: &ComprehensionExpr,
        known: &Known,
    ) -> Option<Typed> {
        let Some(shape) = shape(each) else {
            let fault = self
                .source
                .fault(expr, "this form of CEL is not known here");
            return self
                .refuse(fault.hint("there are `all`, `exists`, `exists_one`, `filter` and `map`"));
        };
        let range = self.check(&each.iter_range, known)?;
        let range = self.present(&each.iter_range, range)?;
        let ty = match self.class(&range) {
            Class::List(Some(element)) => element,
            Class::Map(Some(_)) => Type::exactly(Base::String),
            Class::List(None) | Class::Map(None) => return Some(of_nothing(shape.kind)),
            _ => {
                let what = range.ty.describe(self.schema);
                let message = format!("only lists and maps have elements; this is {what}");
                let fault = self.source.fault(&each.iter_range, message);
                return self.refuse(fault);
            }
        };
        if self.locals.len() >= MAX_NESTED {
            let message = format!("more than {MAX_NESTED} comprehensions inside one another");
            let fault = self.source.fault(expr, message);
            return self.refuse(fault);
        }
        let slot = self.locals.len();
        self.comprehensions += 1;
        self.locals.push(Local {
            name: each.iter_var.clone(),
            ty,
            id: self.comprehensions,
        });
        let parts = self.body(&shape, known);
        self.locals.truncate(slot);
        let (keep, body, result) = parts?;
        let ir = Ir::Each(Box::new(Each {
            kind: shape.kind,
            range: range.ir,
            slot,
            body,
            keep,
            absorbing: self.run_time,
        }));
        Some(Typed::exactly(ir, result))
    }

    fn body(&mut self, shape: &Shape<'_>, known: &Known) -> Option<(Option<Ir>, Ir, Base)> {
        let keep = match shape.keep {
            Some(keep) => Some(self.condition(keep, known)?),
            None => None,
        };
        let facts = keep.as_ref().map(|keep| &keep.facts.if_true);
        let known: Known = match facts {
            Some(facts) => known.union(facts).cloned().collect(),
            None => known.clone(),
        };
        let (body, result) = match shape.kind {
            EachKind::Map => {
                let body = self.check(shape.body, &known)?;
                (body.ir, Base::List(Some(Arc::new(body.ty))))
            }
            _ => (self.condition(shape.body, &known)?.ir, Base::Boolean),
        };
        Some((keep.map(|keep| keep.ir), body, result))
    }
}

/// Over an empty list, whatever is asked of its elements.
fn of_nothing(kind: EachKind) -> Typed {
    let answer = |answer| Typed::boolean(Ir::Const(Const::Bool(answer)), Facts::default());
    match kind {
        EachKind::All => answer(true),
        EachKind::Exists | EachKind::ExistsOne => answer(false),
        EachKind::Map => Typed::exactly(Ir::List(Vec::new()), Base::List(None)),
    }
}

fn shape(each: &ComprehensionExpr) -> Option<Shape<'_>> {
    let Cel::Call(step) = &each.loop_step.expr else {
        return None;
    };
    let plain = |kind, body| Shape {
        kind,
        keep: None,
        body,
    };
    Some(match (step.func_name.as_str(), step.args.as_slice()) {
        (operators::LOGICAL_AND, [_, body]) => plain(EachKind::All, body),
        (operators::LOGICAL_OR, [_, body]) => plain(EachKind::Exists, body),
        (operators::ADD, _) => plain(EachKind::Map, appended(step)?),
        (operators::CONDITIONAL, [keep, then, _]) => match &each.accu_init.expr {
            Cel::Literal(LiteralValue::Int(_)) => plain(EachKind::ExistsOne, keep),
            _ => {
                let Cel::Call(then) = &then.expr else {
                    return None;
                };
                Shape {
                    kind: EachKind::Map,
                    keep: Some(keep),
                    body: appended(then)?,
                }
            }
        },
        _ => return None,
    })
}

/// What the loop adds to its result.
fn appended(step: &CallExpr) -> Option<&Expression> {
    match step.args.as_slice() {
        [_, made] => match &made.expr {
            Cel::List(list) => list.elements.first(),
            _ => None,
        },
        _ => None,
    }
}
