//! `set: { field: expression }`. All values of one `set` are computed on the event as it was before the step.
//!
//! A new name is appended to the record, with the type of its expression (a constant whole number is a `long`). An
//! existing field, nested ones too, keeps its type where the expression's values all have an exact counterpart there:
//! a text in an enum (its symbol is checked), a constant number in an `int` or a decimal, anything in its own
//! nullable union. Otherwise the field takes the expression's type.

use super::{Outcome, shape};
use crate::config::fault::Fault;
use crate::config::model::Placed;
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::contract::value::Value;
use crate::error::RecordError;
use crate::expr::Expr;
use crate::expr::path::{peel, slot, suggest};
use crate::expr::types::Base;

#[derive(Debug)]
pub(super) struct Set(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    /// `None` appends.
    positions: Option<Vec<usize>>,
    expr: Expr,
    /// Branches of the field's union, if it is one.
    wrap: Option<Branches>,
}

#[derive(Debug, Clone, Copy)]
struct Branches {
    null: Option<usize>,
    /// `None` for a union of several types: a value of it comes with its branch.
    value: Option<usize>,
}

pub(super) fn compile(
    entries: &[(Placed<String>, Placed<String>)],
    input: &Schema,
    faults: &mut Vec<Fault>,
) -> Outcome<Set> {
    let before = faults.len();
    let mut output = input.clone();
    let mut untyped = Vec::new();
    let mut compiled = Vec::with_capacity(entries.len());
    let mut touched = Vec::new();
    for (name, text) in entries {
        let exists = match target(input, name) {
            Ok(exists) => exists,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        let expr = match Expr::compile(text, input) {
            Ok(expr) => expr,
            Err(found) => {
                faults.extend(found);
                if exists.is_none() {
                    untyped.push(name.value.clone());
                }
                continue;
            }
        };
        let entry = match exists {
            Some((declared, positions)) => {
                touched.push((name, positions.clone()));
                existing((text, expr), declared, positions, &mut output)
            }
            None => new(name, (text, expr), &mut output),
        };
        match entry {
            Ok(entry) => compiled.push(entry),
            Err(fault) => faults.push(fault),
        }
    }
    shape::overlap(&touched, faults);
    Outcome {
        compiled: (faults.len() == before).then_some(Set(compiled)),
        output,
        untyped,
    }
}

/// The field that is set, if it exists; a new one must be a plain name.
fn target(input: &Schema, name: &Placed<String>) -> Result<Option<(NodeId, Vec<usize>)>, Fault> {
    match shape::plain_path(input, name) {
        Ok((path, positions)) => match path.optional_parent {
            false => Ok(Some((path.declared, positions))),
            true => {
                let message = format!("a record above `{}` may be null", name.value);
                let fault = Fault::new(&name.place, name.value.clone(), message);
                Err(fault
                    .hint("a field below a null cannot be set; filter or cast such events first"))
            }
        },
        Err(_) if !name.value.contains(['.', '[', '{']) => {
            shape::check_name(name)?;
            Ok(None)
        }
        // A nested field that does not exist is more likely misspelt than meant to be made.
        Err(fault) => Err(fault),
    }
}

fn new(
    name: &Placed<String>,
    (text, expr): (&Placed<String>, Expr),
    output: &mut Schema,
) -> Result<Entry, Fault> {
    if expr.ty().base == Base::Null {
        let message = format!("`{}` would always be null, and of no type", name.value);
        let fault = Fault::new(&text.place, text.value.clone(), message);
        let fields = output.record().map(|record| record.fields.iter());
        let near = fields.and_then(|fields| suggest(&name.value, fields.map(|f| f.name.as_str())));
        return Err(match near {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault,
        });
    }
    let node = expr.ty().intern(output);
    shape::append(output, &name.value, node);
    Ok(Entry {
        positions: None,
        wrap: branches(output, node),
        expr,
    })
}

fn existing(
    (text, expr): (&Placed<String>, Expr),
    declared: NodeId,
    positions: Vec<usize>,
    output: &mut Schema,
) -> Result<Entry, Fault> {
    let fault = |message: String| Fault::new(&text.place, text.value.clone(), message);
    let peeled = peel(output, declared);
    let fits = peeled.nullable || !expr.ty().nullable;
    if expr.ty().base == Base::Null && !fits {
        return Err(fault("this field is never null".to_owned()).hint("drop it instead"));
    }
    let coerced = expr.coerced(output, peeled.node).map_err(|no_symbol| {
        let Kind::Enum(named) = &output.node(peeled.node).kind else {
            return fault("not a symbol".to_owned());
        };
        let symbol = &no_symbol.0;
        let fault = fault(format!("enum {} has no symbol `{symbol}`", named.name.full));
        match suggest(symbol, named.symbols.iter().map(String::as_str)) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.hint(format!("its symbols are {}", named.symbols.join(", "))),
        }
    })?;
    let positions = Some(positions);
    match coerced {
        Some(expr) if fits => Ok(Entry {
            wrap: branches(output, declared),
            positions,
            expr,
        }),
        // The type fits and only null does not: the field becomes nullable around its own type.
        Some(expr) => {
            let node = crate::expr::types::nullable(output, declared);
            retype(output, positions.as_deref(), node);
            Ok(Entry {
                wrap: branches(output, node),
                positions,
                expr,
            })
        }
        None => {
            let node = expr.ty().intern(output);
            retype(output, positions.as_deref(), node);
            Ok(Entry {
                wrap: branches(output, node),
                positions,
                expr,
            })
        }
    }
}

fn retype(output: &mut Schema, positions: Option<&[usize]>, node: NodeId) {
    shape::retype(output, positions.unwrap_or_default(), node);
}

fn branches(schema: &Schema, node: NodeId) -> Option<Branches> {
    let peeled = peel(schema, node);
    let Kind::Union(branches) = &schema.node(node).kind else {
        return None;
    };
    let null = branches
        .iter()
        .position(|branch| matches!(schema.node(*branch).kind, Kind::Null));
    let value = branches.iter().position(|branch| *branch == peeled.node);
    Some(Branches { null, value })
}

impl Set {
    pub(super) fn apply(&self, event: &mut Value) -> Result<(), RecordError> {
        let values: Vec<Value> = self
            .0
            .iter()
            .map(|entry| entry.expr.eval(event).map(|value| entry.wrapped(value)))
            .collect::<Result<_, _>>()?;
        for (entry, value) in self.0.iter().zip(values) {
            match &entry.positions {
                Some(positions) => {
                    if let Some(place) = slot(event, positions) {
                        *place = value;
                    }
                }
                None => {
                    if let Value::Record(fields) = event {
                        fields.push(value);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Entry {
    fn wrapped(&self, value: Value) -> Value {
        let Some(branches) = self.wrap else {
            return value;
        };
        let branch = match &value {
            Value::Union(..) => None,
            Value::Null => branches.null,
            _ => branches.value,
        };
        match branch {
            Some(branch) => Value::Union(branch, Box::new(value)),
            None => value,
        }
    }
}
