//! The table of keys as a JSON Schema (2020-12), for editors and CI. It is a little laxer than the checks: what keys mean
//! together is not in it.

use serde_json::{Map, Value, json};

use super::keys::{Key, Kind, Word, list_default, main, rules};

/// The schema of `driftgate.yaml`.
pub fn json_schema() -> Value {
    document("Driftgate configuration", main::ROOT)
}

/// The schema of a rules file.
pub fn rules_json_schema() -> Value {
    document("Driftgate contract rules", rules::ROOT)
}

fn document(title: &str, keys: &[Key]) -> Value {
    let mut root = Map::new();
    root.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    root.insert("title".to_owned(), json!(title));
    let Value::Object(body) = mapping(keys) else {
        return Value::Object(root);
    };
    root.extend(body);
    root.insert(
        "$defs".to_owned(),
        json!({
            "interpolated": {
                "description": "A value with ${NAME}, ${NAME:-default} or ${file:/path} in it.",
                "type": "string",
                "pattern": "\\$\\{[^}]+\\}"
            }
        }),
    );
    Value::Object(root)
}

fn mapping(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    let mut object = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

fn property(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    if !key.required {
        schema = nullable(schema);
    }
    let mut description = key.doc.to_owned();
    if let Some(property) = key.kafka {
        description.push_str(&format!(" Kafka: {property}."));
    }
    schema["description"] = json!(description);
    if let Some(default) = key.default {
        schema["default"] = default_value(&key.kind, default);
    }
    schema
}

/// A key may be written without a value; it counts as absent then.
fn nullable(schema: Value) -> Value {
    match schema {
        Value::Object(mut object) => {
            if let Some(Value::Array(any)) = object.get_mut("anyOf") {
                any.push(json!({ "type": "null" }));
                return Value::Object(object);
            }
            json!({ "anyOf": [Value::Object(object), { "type": "null" }] })
        }
        other => other,
    }
}

fn default_value(kind: &Kind, text: &str) -> Value {
    match kind {
        Kind::Bool => json!(text == "true"),
        Kind::Int { .. } => text
            .parse::<u64>()
            .map_or(json!(text), |number| json!(number)),
        Kind::List { .. } => {
            let items: Vec<&str> = list_default(text).collect();
            json!(items)
        }
        _ => json!(text),
    }
}

fn kind(kind_of: &Kind) -> Value {
    match kind_of {
        // An expression may be a bare number, a text anything that YAML reads as one.
        Kind::Text | Kind::Secret | Kind::Expression | Kind::Literal | Kind::Regex => {
            json!({ "type": ["string", "number", "boolean"] })
        }
        Kind::ExpressionOrNull => json!({ "type": ["string", "number", "boolean", "null"] }),
        Kind::File | Kind::Listen => json!({ "type": "string" }),
        Kind::Bool => or_interpolated(json!({ "type": "boolean" })),
        Kind::Int { min, max } => {
            or_interpolated(json!({ "type": "integer", "minimum": min, "maximum": max }))
        }
        Kind::Number => or_interpolated(json!({ "anyOf": [
            { "type": "number" },
            { "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$" }
        ] })),
        Kind::Duration { .. } => pattern("^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"),
        Kind::Size { .. } => pattern("^[0-9]+ *(B|KB|MB|GB|KiB|MiB|GiB)$"),
        Kind::Ratio => pattern("^[0-9]+(\\.[0-9]+)? *%$"),
        Kind::Rate => pattern("^[0-9]+/(s|m|h)$"),
        Kind::RatioIn => {
            pattern("^[0-9]+(\\.[0-9]+)? *%/([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$")
        }
        Kind::MapOr { short, keys } => json!({ "anyOf": [kind(short), mapping(keys)] }),
        Kind::Choice(words) => or_interpolated(choice(words)),
        Kind::Url { .. } | Kind::SecretUrl => json!({ "type": "string" }),
        Kind::Topic | Kind::Group => pattern("^[A-Za-z0-9._-]{1,249}$"),
        Kind::Version => or_interpolated(json!({ "anyOf": [
            { "const": "latest" },
            { "type": "integer", "minimum": 1 }
        ] })),
        Kind::Properties => json!({
            "type": "object",
            "additionalProperties": { "type": ["string", "number", "boolean"] }
        }),
        Kind::Map(keys) => mapping(keys),
        Kind::OneOf(keys) => {
            let mut object = mapping(keys);
            object["minProperties"] = json!(1);
            let beside: Vec<_> = keys.iter().filter(|key| key.beside).collect();
            object["maxProperties"] = json!(1 + beside.len());
            let one_needed = beside
                .iter()
                .map(|key| json!({ "not": { "required": [key.name], "maxProperties": 1 } }));
            object["allOf"] = one_needed.collect();
            object
        }
        Kind::Named {
            value, pipeline, ..
        } => {
            let mut object = json!({
                "type": "object",
                "minProperties": 1,
                "additionalProperties": kind(value),
            });
            if *pipeline {
                object["propertyNames"] = json!({ "pattern": "^[a-z0-9][a-z0-9._-]*$" });
            }
            object
        }
        Kind::List { item, max } => {
            json!({ "type": "array", "items": kind(item), "maxItems": max })
        }
        Kind::Anything => json!({}),
    }
}

fn pattern(pattern: &str) -> Value {
    or_interpolated(json!({ "type": "string", "pattern": pattern }))
}

fn or_interpolated(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "$ref": "#/$defs/interpolated" }] })
}

fn choice(words: &[Word]) -> Value {
    let words: Vec<Value> = words
        .iter()
        .map(|word| json!({ "const": word.word, "description": word.doc }))
        .collect();
    json!({ "oneOf": words })
}
