//! A default as JSON → a value, by the specification or as Java picks a union's branch.

use serde_json::Value as Json;

use super::{Refused, Taken};
use crate::types::{Id, Kind, Schema};
use crate::value::Value;

/// Whether a default is one by the specification.
pub(crate) fn default_fits(schema: &Schema, id: Id, json: &Json) -> bool {
    read_default(schema, id, json, true, 0).is_ok()
}

fn latin(text: &str) -> Taken<Vec<u8>> {
    (text.chars())
        .map(|c| u8::try_from(u32::from(c)).map_err(|_| Refused))
        .collect()
}

pub(super) fn read_default(
    schema: &Schema,
    id: Id,
    json: &Json,
    careful: bool,
    depth: usize,
) -> Taken<Value> {
    if depth > 40 {
        return Err(Refused);
    }
    let inner = |id: Id, json: &Json| read_default(schema, id, json, careful, depth + 1);
    Ok(match (schema.kind(id), json) {
        (Kind::Null, Json::Null) => Value::Null,
        (Kind::Boolean, Json::Bool(on)) => Value::Boolean(*on),
        #[expect(clippy::cast_possible_truncation, reason = "Java cuts it, too")]
        (Kind::Int, Json::Number(n)) if !careful => Value::Int(match n.as_i64() {
            Some(n) => n as i32,
            None => n.as_f64().ok_or(Refused)? as i32,
        }),
        #[expect(clippy::cast_possible_truncation, reason = "Java cuts it, too")]
        (Kind::Long, Json::Number(n)) if !careful && !n.is_i64() => {
            Value::Long(n.as_f64().ok_or(Refused)? as i64)
        }
        (Kind::Int, Json::Number(n)) => {
            let n = n.as_i64().ok_or(Refused)?;
            Value::Int(i32::try_from(n).map_err(|_| Refused)?)
        }
        (Kind::Long, Json::Number(n)) => Value::Long(n.as_i64().ok_or(Refused)?),
        #[expect(clippy::cast_possible_truncation, reason = "the nearest float")]
        (Kind::Float, Json::Number(n)) => {
            Value::Float((n.as_f64().ok_or(Refused)? as f32).to_bits())
        }
        (Kind::Double, Json::Number(n)) => Value::Double(n.as_f64().ok_or(Refused)?.to_bits()),
        (Kind::Bytes, Json::String(text)) => Value::Bytes(latin(text)?),
        (Kind::String, Json::String(text)) => Value::String(text.as_bytes().to_vec()),
        (Kind::Fixed(_, size), Json::String(text)) => {
            let mut bytes = latin(text)?;
            if careful && bytes.len() != *size {
                return Err(Refused);
            }
            bytes.resize(*size, 0);
            Value::Fixed(bytes)
        }
        (Kind::Enum(_, symbols, _), Json::String(text)) => {
            Value::Enum(symbols.iter().position(|s| s == text).ok_or(Refused)?)
        }
        (Kind::Array(item), Json::Array(items)) => Value::Array(
            items
                .iter()
                .map(|json| inner(*item, json))
                .collect::<Taken<_>>()?,
        ),
        (Kind::Map(value), Json::Object(entries)) => Value::Map(
            (entries.iter())
                .map(|(key, json)| Ok((key.clone().into_bytes(), inner(*value, json)?)))
                .collect::<Taken<_>>()?,
        ),
        (Kind::Record(_, fields), _) if json.is_object() || !careful => Value::Record(
            (fields.iter())
                .map(|f| {
                    let json = json.get(&f.name).or(f.default.as_ref()).ok_or(Refused)?;
                    inner(f.node, json)
                })
                .collect::<Taken<_>>()?,
        ),
        // Java takes any JSON for a branch of these types: what is in it, if anything.
        (Kind::Array(item), Json::Object(entries)) if !careful => Value::Array(
            (entries.values())
                .map(|json| inner(*item, json))
                .collect::<Taken<_>>()?,
        ),
        (Kind::Map(_), Json::Array(items)) if !items.is_empty() => return Err(Refused),
        (Kind::Array(_), _) if !careful => Value::Array(Vec::new()),
        (Kind::Map(_), _) if !careful => Value::Map(Vec::new()),
        (Kind::Union(branches), _) => {
            for (position, branch) in branches.iter().enumerate() {
                let found = inner(*branch, json);
                let by_type = match schema.kind(*branch) {
                    Kind::Fixed(..) | Kind::String | Kind::Bytes => json.is_string(),
                    Kind::Int | Kind::Long | Kind::Float | Kind::Double => json.is_number(),
                    Kind::Boolean => json.is_boolean(),
                    Kind::Null => json.is_null(),
                    _ => true,
                };
                if if careful { found.is_ok() } else { by_type } {
                    return Ok(Value::Union(position, Box::new(found?)));
                }
            }
            return Err(Refused);
        }
        _ => return Err(Refused),
    })
}
