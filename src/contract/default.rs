//! A field's default: JSON as written in a schema → [`Value`]. The JSON follows the specification's table for
//! defaults: bytes and fixed are strings whose characters are the bytes (ISO-8859-1). User data is read by
//! [`json`](super::json), which is another dialect.

use serde_json::Value as Json;

use super::decimal;
use super::path::Trail;
use super::schema::{Kind, Logical, NodeId, Schema};
use super::value::Value;

/// Defaults that need defaults inside end here; a type whose default contains itself never would.
const DEPTH_LIMIT: usize = 64;

/// Why a default does not fit its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultError {
    /// Where inside the default.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// The value that the default `json` of a field of type `node` stands for. A union takes the first branch that fits:
/// Avro up to 1.11 demands the first of all, 1.12 any.
pub fn value(schema: &Schema, node: NodeId, json: &Json) -> Result<Value, DefaultError> {
    read(schema, node, json, &mut Trail::default())
}

fn read<'s>(
    schema: &'s Schema,
    node: NodeId,
    json: &Json,
    trail: &mut Trail<'s>,
) -> Result<Value, DefaultError> {
    let fail = |trail: &Trail<'_>, message: String| {
        Err(DefaultError {
            path: trail.render(),
            message,
        })
    };
    if trail.depth() > DEPTH_LIMIT {
        return fail(trail, format!("nests deeper than {DEPTH_LIMIT} levels"));
    }
    let integer = json.as_i64();
    let value = match (&schema.node(node).kind, json) {
        (Kind::Null, Json::Null) => Value::Null,
        (Kind::Boolean, Json::Bool(value)) => Value::Boolean(*value),
        (Kind::Int, Json::Number(_)) if integer.is_some_and(|n| i32::try_from(n).is_ok()) => {
            Value::Int(
                integer
                    .and_then(|n| i32::try_from(n).ok())
                    .unwrap_or_default(),
            )
        }
        (Kind::Long, Json::Number(_)) if integer.is_some() => {
            Value::Long(integer.unwrap_or_default())
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float's default is the nearest float"
        )]
        (Kind::Float, Json::Number(n)) => Value::Float(n.as_f64().unwrap_or(f64::NAN) as f32),
        (Kind::Double, Json::Number(n)) => Value::Double(n.as_f64().unwrap_or(f64::NAN)),
        (Kind::String, Json::String(text)) => Value::String(text.clone()),
        (Kind::Bytes, Json::String(text)) => match latin1(text) {
            Some(bytes) => Value::Bytes(bytes),
            None => return fail(trail, "has characters beyond U+00FF".to_owned()),
        },
        (Kind::Fixed(fixed), Json::String(text)) => match latin1(text) {
            Some(bytes) if bytes.len() == fixed.size => Value::Fixed(bytes),
            _ => {
                return fail(
                    trail,
                    format!("is not {} characters up to U+00FF", fixed.size),
                );
            }
        },
        (Kind::Enum(symbols), Json::String(text)) => {
            match symbols.symbols.iter().position(|s| s == text) {
                Some(position) => Value::Enum(position),
                None => {
                    return fail(
                        trail,
                        format!("{text:?} is no symbol of {}", symbols.name.full),
                    );
                }
            }
        }
        (Kind::Array(item), Json::Array(items)) => {
            let mut values = Vec::with_capacity(items.len());
            for (position, json) in items.iter().enumerate() {
                values.push(trail.index(position, |trail| read(schema, *item, json, trail))?);
            }
            Value::Array(values)
        }
        (Kind::Map(item), Json::Object(entries)) => {
            let mut values = Vec::with_capacity(entries.len());
            for (position, (key, json)) in entries.iter().enumerate() {
                let value = trail.index(position, |trail| read(schema, *item, json, trail))?;
                values.push((key.clone(), value));
            }
            Value::Map(values)
        }
        (Kind::Record(record), Json::Object(entries)) => {
            let mut values = Vec::with_capacity(record.fields.len());
            for field in &record.fields {
                let json = entries.get(&field.name).or(field.default.as_ref());
                let value = trail.field(&field.name, |trail| match json {
                    Some(json) => read(schema, field.node, json, trail),
                    None => fail(trail, "is missing and has no default of its own".to_owned()),
                })?;
                values.push(value);
            }
            Value::Record(values)
        }
        (Kind::Union(branches), _) => {
            let mut only = None;
            for (position, branch) in branches.iter().enumerate() {
                match read(schema, *branch, json, trail) {
                    Ok(value) => return Ok(Value::Union(position, Box::new(value))),
                    Err(e) => only = only.or(Some(e)),
                }
            }
            return match only {
                Some(e) if branches.len() == 1 => Err(e),
                _ => fail(
                    trail,
                    format!("fits no branch of {}", schema.describe(node)),
                ),
            };
        }
        _ => return fail(trail, format!("is no {}", schema.describe(node))),
    };
    if let (Some(Logical::Decimal { precision, .. }), Value::Bytes(bytes) | Value::Fixed(bytes)) =
        (schema.node(node).logical, &value)
        && !decimal::fits(bytes, precision)
    {
        return fail(trail, format!("has more than {precision} digits"));
    }
    Ok(value)
}

/// The bytes that a string of characters up to U+00FF stands for.
pub fn latin1(text: &str) -> Option<Vec<u8>> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(of: &str, json: &str, expect: Result<Value, &str>) {
        let schema = Schema::parse(of, &[]).expect("schema");
        let json: Json = serde_json::from_str(json).expect("json");
        match (value(&schema, schema.root, &json), expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{of}"),
            (Err(found), Err(part)) => {
                let found = format!("{}: {}", found.path, found.message);
                assert!(found.contains(part), "{found}");
            }
            (found, expect) => panic!("{of} {json}: {found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn every_type_takes_its_default() {
        let fixed = r#"{"type":"fixed","name":"F","size":2}"#;
        let symbols = r#"{"type":"enum","name":"E","symbols":["A","B"]}"#;
        let record = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"string","default":"x"}]}"#;
        check("\"null\"", "null", Ok(Value::Null));
        check("\"boolean\"", "true", Ok(Value::Boolean(true)));
        check("\"int\"", "-2147483648", Ok(Value::Int(i32::MIN)));
        check("\"int\"", "2147483648", Err("is no int"));
        check("\"int\"", "1.0", Err("is no int"));
        check("\"long\"", "9223372036854775807", Ok(Value::Long(i64::MAX)));
        check("\"long\"", "9223372036854775808", Err("is no long"));
        check("\"float\"", "1", Ok(Value::Float(1.0)));
        check("\"double\"", "1.5", Ok(Value::Double(1.5)));
        check("\"double\"", "\"1.5\"", Err("is no double"));
        check(
            "\"bytes\"",
            "\"\\u00ff\\u0000\"",
            Ok(Value::Bytes(vec![255, 0])),
        );
        check("\"bytes\"", "\"\\u0100\"", Err("beyond U+00FF"));
        let decimal = r#"{"type":"bytes","logicalType":"decimal","precision":2,"scale":0}"#;
        check(decimal, "\"c\"", Ok(Value::Bytes(vec![99])));
        check(decimal, "\"d\"", Err("more than 2 digits"));
        check("\"string\"", "\"é\"", Ok(Value::String("é".into())));
        check(fixed, "\"\\u00ffA\"", Ok(Value::Fixed(vec![255, 65])));
        check(fixed, "\"A\"", Err("is not 2 characters"));
        check(symbols, "\"B\"", Ok(Value::Enum(1)));
        check(symbols, "\"C\"", Err("is no symbol of E"));
        check(
            r#"{"type":"array","items":"int"}"#,
            "[1,2]",
            Ok(Value::Array(vec![Value::Int(1), Value::Int(2)])),
        );
        check(
            r#"{"type":"array","items":"int"}"#,
            "[1,\"x\"]",
            Err("[1]: is no int"),
        );
        check(
            r#"{"type":"map","values":"int"}"#,
            r#"{"k":1}"#,
            Ok(Value::Map(vec![("k".into(), Value::Int(1))])),
        );
        check(
            record,
            r#"{"a":1}"#,
            Ok(Value::Record(vec![
                Value::Int(1),
                Value::String("x".into()),
            ])),
        );
        check(record, "{}", Err("a: is missing"));
        check(
            r#"["null","string"]"#,
            "\"x\"",
            Ok(Value::Union(1, Box::new(Value::String("x".into())))),
        );
        check(r#"["null","string"]"#, "1", Err("fits no branch"));
    }
}
