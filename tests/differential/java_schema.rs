//! What Java does to schemas before it resolves them: the reader's aliases are put into the writer schema, and defaults
//! are checked while the record around them is incomplete.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::{Refused, Taken};
use crate::types::{Id, Kind, Schema};

/// The writer schema with the reader's aliases put in, as Java does it before it resolves.
pub(super) fn renamed(writer: &Schema, reader: &Schema) -> Taken<Schema> {
    let mut result = writer.clone();
    if writer.shape() == reader.shape() {
        return Ok(result);
    }
    let mut types: HashMap<String, String> = HashMap::new();
    let mut fields: HashMap<String, HashMap<String, String>> = HashMap::new();
    for id in reader.reached() {
        if let Some(name) = reader.kind(id).name() {
            for alias in name.full_aliases() {
                types.insert(alias, name.full.clone());
            }
        }
        if let Kind::Record(name, list) = reader.kind(id) {
            for field in list {
                for alias in &field.aliases {
                    let of = fields.entry(name.full.clone()).or_default();
                    of.insert(alias.clone(), field.name.clone());
                }
            }
        }
    }
    if types.is_empty() && fields.is_empty() {
        return Ok(result);
    }
    for id in writer.reached() {
        let kind = &mut result.nodes[id].kind;
        if let Some(name) = kind.name_mut()
            && let Some(new) = types.get(&name.full)
        {
            name.full.clone_from(new);
        }
        if let Kind::Record(name, list) = kind
            && let Some(aliases) = fields.get(&name.full)
        {
            for field in list {
                if let Some(new) = aliases.get(&field.name) {
                    field.name.clone_from(new);
                }
            }
        }
    }
    // Java makes new records and unions, which refuse what stands twice. Two types of one name it does not notice.
    let twice = |id: Id| match result.kind(id) {
        Kind::Record(_, fields) => repeats(fields.iter().map(|f| f.name.as_str())),
        Kind::Union(branches) => repeats(branches.iter().map(|b| result.label(*b))),
        _ => false,
    };
    // New fields also have their defaults checked again, against the renamed types.
    match result.reached().into_iter().any(twice) || !defaults_check(&result) {
        true => Err(Refused),
        false => Ok(result),
    }
}

/// Whether Java takes the defaults of a schema, which it checks field by field while the record is incomplete.
pub(super) fn defaults_check(schema: &Schema) -> bool {
    fn walk(schema: &Schema, id: Id, state: &mut [State]) -> bool {
        let Kind::Record(_, fields) = schema.kind(id) else {
            return schema
                .kind(id)
                .parts()
                .into_iter()
                .all(|p| walk(schema, p, state));
        };
        if state[id] != State::New {
            return true;
        }
        state[id] = State::Open;
        let fine = fields.iter().all(|f| {
            walk(schema, f.node, state)
                && (f.default.as_ref())
                    .is_none_or(|json| java_default(schema, f.node, json, state) == Ok(true))
        });
        state[id] = State::Done;
        fine
    }
    walk(
        schema,
        schema.root,
        &mut vec![State::New; schema.nodes.len()],
    )
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Open,
    Done,
}

/// Java's check of a default, which throws at an incomplete record.
fn java_default(schema: &Schema, id: Id, json: &Json, state: &[State]) -> Taken<bool> {
    let inner = |id: Id, json: &Json| java_default(schema, id, json, state);
    let all = |id: Id, parts: &mut dyn Iterator<Item = &Json>| {
        for part in parts {
            if !inner(id, part)? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    Ok(match (schema.kind(id), json) {
        (Kind::String | Kind::Bytes | Kind::Enum(..) | Kind::Fixed(..), _) => json.is_string(),
        (Kind::Int, _) => json.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        (Kind::Long, _) => json.is_i64(),
        (Kind::Float | Kind::Double, _) => json.is_number(),
        (Kind::Boolean, _) => json.is_boolean(),
        (Kind::Null, _) => json.is_null(),
        (Kind::Array(item), Json::Array(items)) => all(*item, &mut items.iter())?,
        (Kind::Map(value), Json::Object(entries)) => all(*value, &mut entries.values())?,
        (Kind::Record(_, fields), Json::Object(entries)) => {
            if state[id] == State::Open {
                return Err(Refused);
            }
            for field in fields {
                match entries.get(&field.name).or(field.default.as_ref()) {
                    Some(json) if inner(field.node, json)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Kind::Union(branches), _) => {
            for branch in branches {
                if inner(*branch, json)? {
                    return Ok(true);
                }
            }
            false
        }
        _ => false,
    })
}

fn repeats<'a>(words: impl Iterator<Item = &'a str>) -> bool {
    let mut words: Vec<_> = words.collect();
    let count = words.len();
    words.sort_unstable();
    words.dedup();
    words.len() < count
}
