//! Conditions of a registry's rule set, as Confluent's clients run them: over variables instead of bare field names,
//! and with nulls that are met at run time, not when the expression is checked.
//!
//! A null is an error where CEL has no operation for it: compared by order, taken as true or false, given to a
//! function, selected from. Equality and `in` know null: it is equal to null alone. `&&` and `||` are CEL's: an error on
//! one side counts only if the other does not decide. Whoever evaluates says what an error means; a rule fails by it.

use cel::common::ast::{
    CallExpr, EntryExpr, Expr as Cel, IdedExpr, ListExpr, LiteralValue, operators,
};

use super::scope::Constant;

/// Puts the constants in the place of their names.
pub(super) fn fill_in(constants: &[(String, Constant)], expr: &mut IdedExpr) {
    let id = expr.id;
    match &mut expr.expr {
        Cel::Ident(name) => {
            let found = constants.iter().find(|(known, _)| known == name);
            if let Some((_, constant)) = found {
                expr.expr = literal(constant, id);
            }
        }
        Cel::Call(call) => {
            for part in call.target.iter_mut().map(AsMut::as_mut) {
                fill_in(constants, part);
            }
            let parts = call.args.iter_mut();
            parts.for_each(|part| fill_in(constants, part));
        }
        Cel::Select(select) => fill_in(constants, &mut select.operand),
        Cel::List(list) => {
            let parts = list.elements.iter_mut();
            parts.for_each(|part| fill_in(constants, part));
        }
        Cel::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    fill_in(constants, &mut entry.key);
                    fill_in(constants, &mut entry.value);
                }
            }
        }
        Cel::Comprehension(each) => {
            fill_in(constants, &mut each.iter_range);
            // Its variable hides a constant of that name.
            let hidden = |name: &str| name != each.iter_var;
            let others: Vec<_> = constants
                .iter()
                .filter(|(name, _)| hidden(name))
                .cloned()
                .collect();
            fill_in(&others, &mut each.loop_step);
        }
        // A struct is refused by the checker, whatever stands in it.
        Cel::Struct(_) | Cel::Literal(_) | Cel::Unspecified => {}
    }
}

fn literal(constant: &Constant, id: u64) -> Cel {
    let text = |text: &str| Cel::Literal(LiteralValue::String(text.to_owned().into()));
    let part = |expr: Cel| IdedExpr { id, expr };
    match constant {
        Constant::Text(written) => text(written),
        Constant::Texts(texts) => {
            Cel::List(ListExpr::new(texts.iter().map(|t| part(text(t))).collect()))
        }
        Constant::UnlessNull(usual, null) => {
            let value = part(Cel::Ident("value".to_owned()));
            let is_null = Cel::Call(CallExpr {
                func_name: operators::EQUALS.to_owned(),
                target: None,
                args: vec![value, part(Cel::Literal(LiteralValue::Null))],
            });
            Cel::Call(CallExpr {
                func_name: operators::CONDITIONAL.to_owned(),
                target: None,
                args: vec![part(is_null), part(text(null)), part(text(usual))],
            })
        }
    }
}
