//! Schema resolution: a value of the writer schema → a value of the reader schema. Input: two schemas, once; then one
//! value a record. Output: the value, or `unresolvable_value`. Knows nothing of bytes.
//!
//! This is the "Schema Resolution" section of the Avro 1.12 specification, with these readings of it:
//!
//! - Records, enums and fixed match by full name, by one of the reader's aliases, or by unqualified name.
//! - A reader union takes the branch of the same full name (or alias); then one of the same type, and of the same
//!   unqualified name, the first that resolves; then the first that the value can be promoted to. So an int goes to
//!   `int` in `["long", "int"]`, as in Java. Records of other names are not tried, though Java does: look-alikes are
//!   how a value ends up in the wrong branch without an error.
//! - A logical type that differs on both sides in unit, scale or kind is a mismatch, never a reinterpretation; one
//!   that only one side has does no harm. A decimal's precision may grow.
//!
//! What can never work fails when the pair is compiled. What depends on the data (a union branch or an enum symbol
//! that the reader lacks) fails for the record that has it.

mod compile;

use super::decimal;
use super::path::Trail;
use super::schema::Schema;
use super::value::Value;
use crate::error::{Reason, RecordError};

/// Why the two schemas can never agree, in one place of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The reader's field path, as `items[].price`; empty for the root.
    pub path: String,
    /// What differs.
    pub message: String,
}

/// Compiled steps from writer to reader.
#[derive(Debug, Clone)]
pub struct Resolution {
    pub(super) actions: Vec<Action>,
    pub(super) root: usize,
}

/// One step of a [`Resolution`].
pub type ActionId = usize;

/// How the fields of a record are resolved.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'r> {
    /// For each writer field: its name, and where it goes, by which step.
    pub fields: &'r [(String, Option<(usize, ActionId)>)],
    /// What the writer lacks: the reader's field and its value.
    pub defaults: &'r [(usize, Value)],
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    /// The value is the reader's as it is.
    Same,
    Promote(Promotion),
    /// The value is the reader's as it is, if it is a decimal of at most so many digits.
    Digits(usize),
    /// Writer symbol → reader symbol, or the writer's symbol that the reader lacks.
    Enum(Vec<Result<usize, String>>),
    Items(ActionId),
    Entries(ActionId),
    Record {
        /// For each writer field: its name, and where it goes.
        fields: Vec<(String, Option<(usize, ActionId)>)>,
        /// What the writer lacks.
        defaults: Vec<(usize, Value)>,
        /// Number of reader fields.
        width: usize,
    },
    /// The writer's union: one action per branch.
    Branches(Vec<ActionId>),
    /// The value goes into this branch of the reader's union.
    Into(usize, ActionId),
    /// Values that come here have no counterpart, and why.
    Refuse(String),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Promotion {
    IntLong,
    IntFloat,
    IntDouble,
    LongFloat,
    LongDouble,
    FloatDouble,
    StringBytes,
    BytesString,
}

impl Resolution {
    /// Compiles the steps from `writer` to `reader`, or lists all that can never work.
    pub fn compile(writer: &Schema, reader: &Schema) -> Result<Resolution, Vec<Mismatch>> {
        compile::compile(writer, reader)
    }

    /// The step of the whole value.
    pub const fn root(&self) -> ActionId {
        self.root
    }

    /// The same steps for the part of a value that `action` is about.
    pub fn at(&self, action: ActionId) -> Resolution {
        Resolution {
            actions: self.actions.clone(),
            root: action,
        }
    }

    /// How a record's fields are resolved, if the step is about a record.
    pub fn fields(&self, action: ActionId) -> Option<Fields<'_>> {
        match &self.actions[action] {
            Action::Record {
                fields, defaults, ..
            } => Some(Fields { fields, defaults }),
            _ => None,
        }
    }

    /// Bytes that it takes, roughly.
    pub fn size(&self) -> usize {
        let parts = self.actions.iter().map(|action| match action {
            Action::Enum(symbols) => symbols
                .iter()
                .map(|symbol| 24 + symbol.as_ref().map_or_else(String::len, |_| 0))
                .sum(),
            Action::Record {
                fields, defaults, ..
            } => {
                let names = fields.iter().map(|(name, _)| name.len() + 48);
                names.sum::<usize>() + 64 * defaults.len()
            }
            Action::Branches(branches) => 8 * branches.capacity(),
            Action::Refuse(why) => why.len(),
            _ => 0,
        });
        parts.sum::<usize>() + size_of::<Action>() * self.actions.capacity()
    }

    /// The reader's value of a writer's value.
    pub fn apply(&self, value: Value) -> Result<Value, RecordError> {
        self.run(self.root, value, &mut Trail::default())
    }

    fn run<'s>(
        &'s self,
        id: ActionId,
        value: Value,
        trail: &mut Trail<'s>,
    ) -> Result<Value, RecordError> {
        let refuse = |trail: &Trail<'_>, message: String| {
            Err(RecordError::new(Reason::UnresolvableValue, message).at(trail.render()))
        };
        Ok(match (&self.actions[id], value) {
            (Action::Same, value) => value,
            (Action::Digits(precision), Value::Bytes(bytes) | Value::Fixed(bytes))
                if !decimal::fits(&bytes, *precision) =>
            {
                let why = format!("expected a decimal of at most {precision} digits, found more");
                return refuse(trail, why);
            }
            (Action::Digits(_), value @ (Value::Bytes(_) | Value::Fixed(_))) => value,
            (Action::Refuse(why), _) => return refuse(trail, why.clone()),
            (Action::Into(branch, inner), value) => {
                Value::Union(*branch, Box::new(self.run(*inner, value, trail)?))
            }
            (Action::Branches(branches), Value::Union(branch, value))
                if branch < branches.len() =>
            {
                self.run(branches[branch], *value, trail)?
            }
            (Action::Promote(promotion), value) => match promote(*promotion, value) {
                Ok(value) => value,
                Err(why) => return refuse(trail, why.to_owned()),
            },
            (Action::Enum(symbols), Value::Enum(symbol)) if symbol < symbols.len() => {
                match &symbols[symbol] {
                    Ok(symbol) => Value::Enum(*symbol),
                    Err(name) => {
                        let why = format!(
                            "the symbol {name:?} is unknown to the reader's enum, which has no default"
                        );
                        return refuse(trail, why);
                    }
                }
            }
            (Action::Items(action), Value::Array(mut items)) => {
                for (position, item) in items.iter_mut().enumerate() {
                    trail.push_index(position);
                    *item = self.run(*action, std::mem::replace(item, Value::Null), trail)?;
                    trail.pop();
                }
                Value::Array(items)
            }
            (Action::Entries(action), Value::Map(mut entries)) => {
                for (position, (_, value)) in entries.iter_mut().enumerate() {
                    trail.push_index(position);
                    *value = self.run(*action, std::mem::replace(value, Value::Null), trail)?;
                    trail.pop();
                }
                Value::Map(entries)
            }
            (
                Action::Record {
                    fields,
                    defaults,
                    width,
                },
                Value::Record(values),
            ) if values.len() == fields.len() => {
                let mut target = vec![Value::Null; *width];
                for ((name, to), value) in fields.iter().zip(values) {
                    if let Some((position, action)) = to {
                        trail.push_field(name);
                        target[*position] = self.run(*action, value, trail)?;
                        trail.pop();
                    }
                }
                for (position, value) in defaults {
                    target[*position] = value.clone();
                }
                Value::Record(target)
            }
            (_, other) => {
                let why = format!(
                    "a {} does not have the shape of the writer schema",
                    other.word()
                );
                return refuse(trail, why);
            }
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the specification promotes long to float and double as they are"
)]
fn promote(promotion: Promotion, value: Value) -> Result<Value, &'static str> {
    Ok(match (promotion, value) {
        (Promotion::IntLong, Value::Int(n)) => Value::Long(i64::from(n)),
        (Promotion::IntFloat, Value::Int(n)) => Value::Float(n as f32),
        (Promotion::IntDouble, Value::Int(n)) => Value::Double(f64::from(n)),
        (Promotion::LongFloat, Value::Long(n)) => Value::Float(n as f32),
        (Promotion::LongDouble, Value::Long(n)) => Value::Double(n as f64),
        (Promotion::FloatDouble, Value::Float(n)) => Value::Double(f64::from(n)),
        (Promotion::StringBytes, Value::String(text)) => Value::Bytes(text.into_bytes()),
        (Promotion::BytesString, Value::Bytes(bytes)) => {
            let text = String::from_utf8(bytes);
            Value::String(text.map_err(
                |_| "expected UTF-8 to promote bytes to string, found bytes that are not",
            )?)
        }
        _ => return Err("the value does not have the shape of the writer schema"),
    })
}

#[cfg(test)]
mod tests;
