//! `map_values: { field, values, otherwise }` replaces values by a table. Input: a text, whole number, boolean or enum,
//! or a union of those. Output: a text. Values are looked up by their text: `3` is the number 3 and the text `3`. A null
//! stays null; a value that the table lacks is a record error, stays, or becomes null, as `otherwise` says.

use std::collections::BTreeMap;

use super::flow::Flow;
use super::leaf::Leaf;
use super::shape;
use crate::config::fault::Fault;
use crate::config::model::{MapValues, Otherwise};
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::contract::view;
use crate::error::{Reason, RecordError};
use crate::expr::path::{peel, type_name};
use crate::expr::types::nullable;
use crate::expr::value::read;
use crate::expr::{Base, Cx, Val};

#[derive(Debug)]
pub(super) struct Table {
    values: BTreeMap<String, String>,
    otherwise: Otherwise,
    /// The symbols of each branch of the field's type; of the type itself, when it is no union.
    symbols: Vec<Vec<String>>,
    /// The branch of a nullable field that is not null; 0 when the field is no union.
    plain: usize,
}

pub(super) fn compile(config: &MapValues, flow: &mut Flow, faults: &mut Vec<Fault>) {
    let before = faults.len();
    let MapValues { field, .. } = config;
    let target = match flow.target(field) {
        Ok(target) => target,
        Err(fault) => return faults.push(fault),
    };
    let input = &flow.schema;
    let branches = match &input.node(target.declared).kind {
        Kind::Union(branches) => branches.clone(),
        _ => vec![target.declared],
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
    let table = Table {
        values: config
            .values
            .iter()
            .map(|(from, to)| (from.value.clone(), to.value.clone()))
            .collect(),
        otherwise: config.otherwise,
        plain: branches
            .iter()
            .position(|branch| input.node(*branch).kind != Kind::Null)
            .unwrap_or(0),
        symbols: branches
            .iter()
            .map(|branch| symbols(input, *branch))
            .collect(),
    };
    let is_nullable = peel(input, target.declared).nullable || config.otherwise == Otherwise::Null;
    let text = shape::plain(&mut flow.schema, &Base::String);
    let node = match is_nullable {
        true => nullable(&mut flow.schema, text),
        false => text,
    };
    match faults.len() == before {
        true => flow.change(&target, node, Leaf::Table(table)),
        false => flow.retype(&target, node),
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
    pub(super) fn apply<'a>(&'a self, cx: &Cx<'a>, value: Val<'a>) -> Result<Val<'a>, RecordError> {
        let unfit = || {
            let message = "the event is not of the type that the table was made for";
            RecordError::new(Reason::TransformFailed, message)
        };
        let (branch, value) = match value {
            // A union of several types comes with its index.
            Val::Avro(node, bytes) => {
                let Kind::Union(branches) = &cx.schema.node(node).kind else {
                    return Err(unfit());
                };
                let (branch, at) = view::index(bytes, 0).map_err(|_| unfit())?;
                let node = *branches.get(branch).ok_or_else(unfit)?;
                let (value, _) = read(cx.schema, node, bytes, at).map_err(|_| unfit())?;
                (branch, value)
            }
            value => (self.plain, value),
        };
        let digits;
        let text = match value {
            Val::Text(text) => text,
            Val::Int(number) => {
                digits = number.to_string();
                &digits
            }
            Val::Bool(true) => "true",
            Val::Bool(false) => "false",
            Val::Enum(index) => {
                let symbols = self.symbols.get(branch).ok_or_else(unfit)?;
                symbols.get(index as usize).ok_or_else(unfit)?
            }
            _ => return Err(unfit()),
        };
        match (self.values.get(text), self.otherwise) {
            (Some(found), _) => Ok(Val::Text(found)),
            (None, Otherwise::Keep) => Ok(cx.text(text)),
            (None, Otherwise::Null) => Ok(Val::Null),
            (None, Otherwise::DeadLetter) => {
                let message = "the table has no such value";
                Err(RecordError::new(Reason::TransformFailed, message))
            }
        }
    }
}
