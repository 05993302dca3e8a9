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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::testing::{placed, schema};

    const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[
        {"name":"status","type":["string","int","boolean",{"type":"enum","name":"E","symbols":["A","B"]}]},
        {"name":"code","type":["int","null"]},
        {"name":"plain","type":"long"},
        {"name":"rate","type":["null","double"]},
        {"name":"day","type":{"type":"int","logicalType":"date"}}]}"#;

    fn table(field: &str, values: &[(&str, &str)], otherwise: Otherwise) -> MapValues {
        let values = values.iter().map(|(from, to)| (placed(from), placed(to)));
        MapValues {
            field: placed(field),
            values: values.collect(),
            otherwise,
        }
    }

    fn event(status: Value, code: Option<i32>) -> Value {
        let code = match code {
            Some(code) => Value::Union(0, Box::new(Value::Int(code))),
            None => Value::Union(1, Box::new(Value::Null)),
        };
        let rate = Value::Union(0, Box::new(Value::Null));
        Value::Record(vec![status, code, Value::Long(7), rate, Value::Int(0)])
    }

    /// The field afterwards as text, `null`, or the path of the error.
    fn check(
        config: &MapValues,
        mut event: Value,
        position: usize,
        expect: Result<Option<&str>, &str>,
    ) {
        let mut faults = Vec::new();
        let outcome = compile(config, &schema(SCHEMA), &mut faults);
        let table = outcome.compiled.unwrap_or_else(|| panic!("{faults:?}"));
        let result = table.apply(&mut event).map(|()| {
            let mut bytes = Vec::new();
            crate::contract::encode::encode(&outcome.output, &event, &mut bytes)
                .expect("a value of the type after the step");
            let Value::Record(fields) = &event else {
                panic!("a record")
            };
            match fields[position].inner() {
                Value::String(text) => Some(text.clone()),
                Value::Null => None,
                other => panic!("{other:?}"),
            }
        });
        let result = result
            .as_ref()
            .map(Option::as_deref)
            .map_err(|e| e.path.as_str());
        assert_eq!(result, expect, "{config:?}");
    }

    #[test]
    fn values_are_looked_up_by_their_text() {
        use Otherwise::{DeadLetter, Keep, Null};
        let status = |branch, value| Value::Union(branch, Box::new(value));
        let text = |t: &str| status(0, Value::String(t.to_owned()));
        let values = [("3", "Shipped"), ("true", "yes"), ("B", "Bee")];
        for (value, otherwise, expect) in [
            (status(1, Value::Int(3)), DeadLetter, Ok(Some("Shipped"))),
            (text("3"), DeadLetter, Ok(Some("Shipped"))),
            (status(2, Value::Boolean(true)), DeadLetter, Ok(Some("yes"))),
            (status(3, Value::Enum(1)), DeadLetter, Ok(Some("Bee"))),
            (status(3, Value::Enum(0)), Keep, Ok(Some("A"))),
            (text("Paid"), Keep, Ok(Some("Paid"))),
            (status(1, Value::Int(4)), Keep, Ok(Some("4"))),
            (status(1, Value::Int(4)), Null, Ok(None)),
            (status(1, Value::Int(3)), Null, Ok(Some("Shipped"))),
            (status(1, Value::Int(4)), DeadLetter, Err("status")),
        ] {
            check(
                &table("status", &values, otherwise),
                event(value, None),
                0,
                expect,
            );
        }
        let codes = [("1", "one")];
        for (code, otherwise, expect) in [
            (Some(1), DeadLetter, Ok(Some("one"))),
            (None, DeadLetter, Ok(None)),
            (Some(2), Keep, Ok(Some("2"))),
            (Some(2), DeadLetter, Err("code")),
        ] {
            check(
                &table("code", &codes, otherwise),
                event(text(""), code),
                1,
                expect,
            );
        }
        check(
            &table("plain", &[("7", "seven")], DeadLetter),
            event(text(""), None),
            2,
            Ok(Some("seven")),
        );
    }

    #[test]
    fn what_has_no_table_is_a_fault() {
        for (field, values, message) in [
            ("rate", &[("1", "x")][..], "values of double have no table"),
            ("day", &[("1", "x")], "values of date have no table"),
            ("nothing", &[("1", "x")], "no field `nothing`"),
            ("plain", &[], "without values"),
        ] {
            let mut faults = Vec::new();
            let config = table(field, values, Otherwise::Keep);
            let outcome = compile(&config, &schema(SCHEMA), &mut faults);
            assert!(outcome.compiled.is_none());
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].message.contains(message), "{faults:?}");
        }
    }
}
