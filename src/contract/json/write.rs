//! [`Value`] → JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};

use super::logical;
use crate::contract::decimal;
use crate::contract::schema::{Kind, Logical, NodeId, Schema};
use crate::contract::value::Value;

/// The value as JSON that a person can read; see the module's table. A union is not wrapped. What has no such form
/// (a date beyond year 9999, a decimal of thousands of digits) is written as the plain integer or base64.
pub fn to_json(schema: &Schema, node: NodeId, value: &Value) -> Json {
    let of = schema.node(node);
    match (&of.kind, value) {
        (Kind::Union(branches), Value::Union(branch, value)) => match branches.get(*branch) {
            Some(branch) => to_json(schema, *branch, value),
            None => Json::Null,
        },
        (Kind::Record(record), Value::Record(values)) => {
            let fields = record.fields.iter().zip(values);
            let entry = |(f, v): (&crate::contract::schema::Field, &Value)| {
                (f.name.clone(), to_json(schema, f.node, v))
            };
            Json::Object(fields.map(entry).collect::<Map<_, _>>())
        }
        (Kind::Array(item), Value::Array(items)) => {
            Json::Array(items.iter().map(|v| to_json(schema, *item, v)).collect())
        }
        (Kind::Map(item), Value::Map(entries)) => {
            let entry = |(key, v): &(String, Value)| (key.clone(), to_json(schema, *item, v));
            Json::Object(entries.iter().map(entry).collect())
        }
        (Kind::Enum(symbols), Value::Enum(index)) => symbols
            .symbols
            .get(*index)
            .map_or(Json::Null, |s| s.as_str().into()),
        (_, Value::Int(number)) => integer(of.logical, i64::from(*number)),
        (_, Value::Long(number)) => integer(of.logical, *number),
        (_, Value::Boolean(value)) => Json::Bool(*value),
        (_, Value::String(text)) => Json::String(text.clone()),
        (_, Value::Float(number)) => float(f64::from(*number), &number.to_string()),
        (_, Value::Double(number)) => float(*number, &number.to_string()),
        (_, Value::Bytes(bytes) | Value::Fixed(bytes)) => binary(of.logical, bytes),
        // A null, or a value of another schema, which has no reading here.
        _ => Json::Null,
    }
}

fn integer(logical: Option<Logical>, number: i64) -> Json {
    match logical.and_then(|logical| logical::to_text(logical, number)) {
        Some(text) => Json::String(text),
        None => number.into(),
    }
}

/// `text` is the shortest text that gives the number back in its own width, so that a float 0.1 is written 0.1.
fn float(number: f64, text: &str) -> Json {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }
        .into();
    }
    let shortest = text.parse::<f64>().unwrap_or(number);
    serde_json::Number::from_f64(shortest).map_or(Json::Null, Json::Number)
}

fn binary(logical: Option<Logical>, bytes: &[u8]) -> Json {
    let number = |at: usize| {
        let part = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
        part.map(u32::from_le_bytes)
    };
    let readable = match logical {
        Some(Logical::Decimal { scale, .. }) => decimal::to_text(bytes, scale).map(Json::String),
        Some(Logical::Uuid) => {
            (uuid::Uuid::from_slice(bytes).ok()).map(|id| Json::String(id.to_string()))
        }
        Some(Logical::Duration) => match (number(0), number(4), number(8)) {
            (Some(months), Some(days), Some(millis)) => {
                Some(json!({ "months": months, "days": days, "millis": millis }))
            }
            _ => None,
        },
        _ => None,
    };
    readable.unwrap_or_else(|| Json::String(STANDARD.encode(bytes)))
}
