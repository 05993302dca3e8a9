//! Values ↔ JSON for people and tools: `produce`, lookup answers, previews. Not the wire, and not the dialect of
//! schema defaults ([`default`](super::default)), whose bytes are ISO-8859-1 strings.
//!
//! | Avro | JSON |
//! |---|---|
//! | bytes, fixed | base64 text |
//! | decimal | text such as `"12.50"`; a number is read too, digit by digit |
//! | date, time, timestamp | `"2024-05-01"`, `"08:15:00.000"`, `"2024-05-01T08:15:00.000Z"`; the plain integer is read too |
//! | local timestamp | the same without a zone |
//! | uuid | text with hyphens |
//! | duration | `{"months": 1, "days": 2, "millis": 3}` |
//! | union | the value itself; Avro's `{"type": value}` is read too |
//! | float, double | a number, or `"NaN"`, `"Infinity"`, `"-Infinity"` |

mod input;
mod logical;
mod read;
mod write;

use serde_json::Value as Json;

use self::input::Input;
use super::schema::{NodeId, Schema};
use super::value::Value;
use crate::error::{Reason, RecordError};

pub use self::write::to_json;

/// What becomes of a field that the schema does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unknown {
    /// An error that names it.
    #[default]
    Refuse,
    /// It is left out.
    Allow,
}

/// How JSON is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FromJson {
    /// Fields that the schema does not have: refused for a user's own data, allowed for what a service answers.
    pub unknown_fields: Unknown,
}

impl FromJson {
    /// The value of type `node` that `json` stands for. A number with a fraction and more than 15 digits has lost
    /// digits before it came here, so it is refused for a decimal; [`FromJson::text`] reads such numbers.
    pub fn value(self, schema: &Schema, node: NodeId, json: &Json) -> Result<Value, RecordError> {
        read::read(schema, node, &Input::from_json(json), self)
    }

    /// The same from JSON text, with numbers taken digit by digit.
    pub fn text(self, schema: &Schema, node: NodeId, text: &str) -> Result<Value, RecordError> {
        let input = Input::from_text(text)
            .map_err(|e| RecordError::new(Reason::MalformedData, format!("expected JSON: {e}")))?;
        read::read(schema, node, &input, self)
    }
}

/// The value of type `node` that `json` stands for; unknown fields are refused.
pub fn from_json(schema: &Schema, node: NodeId, json: &Json) -> Result<Value, RecordError> {
    FromJson::default().value(schema, node, json)
}

/// The value of type `node` that a cell of a table stands for. An empty cell is null where null is allowed; text is
/// taken as it is, records, arrays and maps are written as JSON.
pub fn from_text(schema: &Schema, node: NodeId, text: &str) -> Result<Value, RecordError> {
    read::cell(schema, node, text)
}

#[cfg(test)]
mod tests;
