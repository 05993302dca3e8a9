//! Conditions of a registry's rule set, as Confluent's clients run them: over variables instead of bare field names,
//! and with nulls that are met at run time, not when the expression is checked.
//!
//! A null is an error where CEL has no operation for it: compared by order, taken as true or false, given to a
//! function, selected from. Equality and `in` know null: it is equal to null alone. `&&` and `||` are CEL's: an error on
//! one side counts only if the other does not decide. Whoever evaluates says what an error means; a rule fails by it.

use super::check::Ir;
use crate::contract::schema::{Field, Kind, Name, Node, NodeId, RecordType, Schema};
use cel::common::ast::{
    CallExpr, EntryExpr, Expr as Cel, IdedExpr, ListExpr, LiteralValue, operators,
};

/// What an expression can name.
#[derive(Debug, Clone)]
pub(crate) struct Variables {
    /// A schema whose top is a record with a field for each variable.
    pub(super) schema: Schema,
    constants: Vec<(&'static str, Constant)>,
}

/// A variable that is known when the expression is compiled.
#[derive(Debug, Clone)]
pub(crate) enum Constant {
    Text(String),
    Texts(Vec<String>),
    /// The text, or the second where the `value` is null.
    UnlessNull(String, String),
}

impl Variables {
    /// `names` all stand for the value that the expression is evaluated on, which is of the type `node`.
    pub(crate) fn new(schema: &Schema, node: NodeId, names: &[&str]) -> Variables {
        let fields: Vec<Field> = names
            .iter()
            .map(|name| Field {
                name: (*name).to_owned(),
                aliases: Vec::new(),
                doc: None,
                node,
                default: None,
            })
            .collect();
        let index = fields.iter().enumerate();
        let index = index.map(|(at, field)| (field.name.clone(), at)).collect();
        let mut schema = schema.clone();
        schema.nodes.push(Node {
            kind: Kind::Record(RecordType {
                name: Name {
                    full: "the rule".to_owned(),
                    aliases: Vec::new(),
                },
                doc: None,
                fields,
                index,
            }),
            logical: None,
        });
        schema.root = schema.nodes.len() - 1;
        Variables {
            schema,
            constants: Vec::new(),
        }
    }

    /// Adds a constant.
    pub(crate) fn with(mut self, name: &'static str, constant: Constant) -> Variables {
        self.constants.push((name, constant));
        self
    }

    /// Puts the constants in the place of their names.
    pub(super) fn fill_in(&self, expr: &mut IdedExpr) {
        let id = expr.id;
        match &mut expr.expr {
            Cel::Ident(name) => {
                let found = self.constants.iter().find(|(known, _)| known == name);
                if let Some((_, constant)) = found {
                    expr.expr = constant.literal(id);
                }
            }
            Cel::Call(call) => {
                for part in call.target.iter_mut().map(AsMut::as_mut) {
                    self.fill_in(part);
                }
                call.args.iter_mut().for_each(|part| self.fill_in(part));
            }
            Cel::Select(select) => self.fill_in(&mut select.operand),
            Cel::List(list) => list.elements.iter_mut().for_each(|part| self.fill_in(part)),
            Cel::Map(map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        self.fill_in(&mut entry.key);
                        self.fill_in(&mut entry.value);
                    }
                }
            }
            // Refused by the checker, whatever stands in them.
            Cel::Struct(_) | Cel::Comprehension(_) | Cel::Literal(_) | Cel::Unspecified => {}
        }
    }
}

impl Constant {
    fn literal(&self, id: u64) -> Cel {
        let text = |text: &str| Cel::Literal(LiteralValue::String(text.to_owned().into()));
        let part = |expr: Cel| IdedExpr { id, expr };
        match self {
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
}

/// Equality that knows null. `nullable` says which side may be one.
pub(super) fn equal(compared: Ir, (left, right): (Ir, Ir), nullable: (bool, bool)) -> Ir {
    let null = |side: Ir| Ir::IsNull(Box::new(side));
    let unless_null = |side: Ir, then: Ir| {
        let present = Ir::Not(Box::new(Ir::IsNull(Box::new(side))));
        Ir::And(Box::new(present), Box::new(then))
    };
    match nullable {
        (false, false) => compared,
        (true, false) => unless_null(left, compared),
        (false, true) => unless_null(right, compared),
        (true, true) => {
            let both = unless_null(right.clone(), compared);
            Ir::Choose(Box::new((null(left), null(right), both)))
        }
    }
}
