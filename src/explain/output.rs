//! The emitted value as JSON. What may come from a tagged field is masked, also what a step has already made unreadable:
//! a digest of a value that can be guessed gives the value away.

use serde_json::{Map, Value as Json};

use super::annotate::MASK;
use super::lineage::{Lineage, Parts};
use crate::contract::json::to_json;
use crate::contract::schema::{Kind, NodeId, Schema};
use crate::contract::value::Value;

/// A value of the sink's schema. `lineage` masks, if it is given.
pub fn emitted(schema: &Schema, value: &Value, lineage: Option<&Lineage>) -> Json {
    match lineage {
        None => to_json(schema, schema.root, value),
        Some(lineage) => masked(schema, schema.root, value, lineage, &[Parts::new()]),
    }
}

/// `paths` are the names that the value may have had before the sink's schema gave it this one.
fn masked(
    schema: &Schema,
    node: NodeId,
    value: &Value,
    lineage: &Lineage,
    paths: &[Parts],
) -> Json {
    let below = |part: &str| -> Vec<Parts> {
        let longer = |path: &Parts| path.iter().cloned().chain([part.to_owned()]).collect();
        paths.iter().map(longer).collect()
    };
    match (&schema.node(node).kind, value) {
        (Kind::Union(branches), Value::Union(branch, value)) => match branches.get(*branch) {
            Some(branch) => masked(schema, *branch, value, lineage, paths),
            None => Json::Null,
        },
        (Kind::Record(record), Value::Record(values)) => {
            let mut object = Map::new();
            for (field, value) in record.fields.iter().zip(values) {
                // Where names are many, those of the types above multiply: a handful is enough to be careful.
                let names = std::iter::once(&field.name).chain(&field.aliases);
                let paths: Vec<Parts> = names.flat_map(|name| below(name)).take(64).collect();
                let json = masked(schema, field.node, value, lineage, &paths);
                object.insert(field.name.clone(), json);
            }
            Json::Object(object)
        }
        (Kind::Array(item), Value::Array(items)) => {
            let paths = below("[]");
            let items = items.iter();
            Json::Array(
                items
                    .map(|v| masked(schema, *item, v, lineage, &paths))
                    .collect(),
            )
        }
        (Kind::Map(item), Value::Map(entries)) => {
            let paths = below("{}");
            // A key is part of what is tagged.
            if paths.iter().any(|path| lineage.is_tainted(path)) {
                return MASK.into();
            }
            let entry = |(key, v): &(String, Value)| {
                (key.clone(), masked(schema, *item, v, lineage, &paths))
            };
            Json::Object(entries.iter().map(entry).collect())
        }
        _ if paths.iter().any(|path| lineage.is_tainted(path)) => MASK.into(),
        _ => to_json(schema, node, value),
    }
}
