//! `map_values: { field, values, otherwise }` replaces values by a table. Input: a text, whole number, boolean or enum,
//! or a union of those. Output: a text. Values are looked up by their text: `3` is the number 3 and the text `3`. A null
//! stays null; a value that the table lacks is a record error, stays, or becomes null, as `otherwise` says.

use std::collections::BTreeMap;

use super::{Outcome, shape};
use crate::config::fault::Fault;
use crate::config::model::{MapValues, Otherwise};
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::contract::value::Value;
use crate::error::{Reason, RecordError};
use crate::expr::path::{peel, slot, type_name};
use crate::expr::types::{Base, nullable};

#[derive(Debug)]
pub(super) struct Table {
    field: String,
    positions: Vec<usize>,
    values: BTreeMap<String, String>,
    otherwise: Otherwise,
    /// The symbols of each branch of the field's type; of the type itself, when it is no union.
    symbols: Vec<Vec<String>>,
    /// Whether the field is `[null, string]` afterwards.
    nullable: bool,
}

pub(super) fn compile(
    config: &MapValues,
    input: &Schema,
    faults: &mut Vec<Fault>,
) -> Outcome<Table> {
    let before = faults.len();
    let mut output = input.clone();
    let MapValues { field, .. } = config;
    let (path, positions) = match shape::plain_path(input, field) {
        Ok(found) => found,
        Err(fault) => {
            faults.push(fault);
            return Outcome::failed(output);
        }
    };
    let branches = match &input.node(path.declared).kind {
        Kind::Union(branches) => branches.clone(),
        _ => vec![path.declared],
    };
    for branch in &branches {
        if !takes(input, *branch) {
            let what = type_name(input, *branch);
            let message = format!("values of {what} have no table (`{}`)", field.value);
            faults.push(Fault::new(&field.place, field.value.clone(), message).hint(
                "a text, whole number, boolean or enum has; cast the field in an earlier step",
            ));
        }
    }
    if config.values.is_empty() {
        let message = "a table without values";
        faults.push(Fault::new(&field.place, field.value.clone(), message));
    }
    let is_nullable = peel(input, path.declared).nullable || config.otherwise == Otherwise::Null;
    let text = Base::String.intern(&mut output);
    let node = match is_nullable {
        true => nullable(&mut output, text),
        false => text,
    };
    shape::retype(&mut output, &positions, node);
    let table = Table {
        field: field.value.clone(),
        positions,
        values: config
            .values
            .iter()
            .map(|(from, to)| (from.value.clone(), to.value.clone()))
            .collect(),
        otherwise: config.otherwise,
        symbols: branches
            .iter()
            .map(|branch| symbols(input, *branch))
            .collect(),
        nullable: is_nullable,
    };
    match faults.len() == before {
        true => Outcome::new(table, output),
        false => Outcome::failed(output),
    }
}

/// Numbers with a logical type are dates and times, and their digits nobody's words.
fn takes(schema: &Schema, node: NodeId) -> bool {
    let node = schema.node(node);
    match node.kind {
        Kind::Null | Kind::String | Kind::Boolean | Kind::Enum(_) => true,
        Kind::Int | Kind::Long => node.logical.is_none(),
        _ => false,
    }
}

fn symbols(schema: &Schema, node: NodeId) -> Vec<String> {
    match &schema.node(node).kind {
        Kind::Enum(named) => named.symbols.clone(),
        _ => Vec::new(),
    }
}

impl Table {
    pub(super) fn apply(&self, event: &mut Value) -> Result<(), RecordError> {
        let Some(value) = slot(event, &self.positions) else {
            return Ok(());
        };
        let (branch, bare) = match &*value {
            Value::Union(branch, inner) => (*branch, inner.as_ref()),
            other => (0, other),
        };
        let text = match bare {
            Value::Null => None,
            other => {
                let symbols = self.symbols.get(branch).map_or(&[][..], Vec::as_slice);
                self.replaced(text_of(other, symbols)?)?
            }
        };
        *value = match (self.nullable, text) {
            (true, Some(text)) => Value::Union(1, Box::new(Value::String(text))),
            (true, None) => Value::Union(0, Box::new(Value::Null)),
            (false, text) => Value::String(text.unwrap_or_default()),
        };
        Ok(())
    }

    fn replaced(&self, text: String) -> Result<Option<String>, RecordError> {
        match (self.values.get(&text), self.otherwise) {
            (Some(found), _) => Ok(Some(found.clone())),
            (None, Otherwise::Keep) => Ok(Some(text)),
            (None, Otherwise::Null) => Ok(None),
            (None, Otherwise::DeadLetter) => {
                let message = "the table has no such value";
                Err(RecordError::new(Reason::TransformFailed, message).at(&self.field))
            }
        }
    }
}

fn text_of(value: &Value, symbols: &[String]) -> Result<String, RecordError> {
    Ok(match value {
        Value::String(text) => text.clone(),
        Value::Int(int) => int.to_string(),
        Value::Long(long) => long.to_string(),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Enum(index) => symbols.get(*index).cloned().unwrap_or_default(),
        _ => {
            let message = "the event is not of the type that the table was made for";
            return Err(RecordError::new(Reason::TransformFailed, message));
        }
    })
}
