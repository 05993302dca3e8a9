//! A record's value, decoded with its own writer schema, or its bytes: what is compared.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::report::Difference;
use crate::contract::cache::{Answer, SchemaCache};
use crate::contract::decode::{Limits, decode};
use crate::contract::json::to_json;
use crate::contract::registry::SchemaKind;
use crate::contract::schema::Schema;
use crate::contract::wire;
use crate::error::FatalError;
use crate::record::Record;

/// How long the registry may take for a schema.
const FETCH: Duration = Duration::from_secs(30);

/// What a record holds.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Tombstone,
    /// Avro, without the fields that are left out.
    Decoded(Json),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl Content {
    pub(super) fn is_tombstone(&self) -> bool {
        *self == Content::Tombstone
    }

    pub(super) fn is_undecoded(&self) -> bool {
        matches!(self, Content::Bytes(_))
    }

    /// The value of a field.
    pub(super) fn at(&self, path: &[String]) -> Option<&Json> {
        let Content::Decoded(json) = self else {
            return None;
        };
        let found = path.iter().try_fold(json, |json, name| json.get(name));
        found.filter(|found| !found.is_null())
    }

    pub(super) fn hash(&self) -> u64 {
        match self {
            Content::Tombstone => 0,
            Content::Decoded(json) => hash_json(json),
            Content::Bytes(bytes) => {
                let mut hasher = DefaultHasher::new();
                hasher.write(bytes);
                hasher.finish()
            }
        }
    }

    /// The fields with their hashes; what has none is one without a name.
    pub(super) fn fields(&self) -> Vec<(String, u64)> {
        match self {
            Content::Decoded(Json::Object(fields)) => {
                let each = fields.iter();
                each.map(|(name, value)| (name.clone(), hash_json(value)))
                    .collect()
            }
            other => vec![("(value)".to_owned(), other.hash())],
        }
    }
}

/// Decodes values by their writer schemas.
pub(super) struct Reader<'a> {
    schemas: &'a SchemaCache,
    ignore: &'a [Vec<String>],
    /// Which of those some record had.
    met: Vec<bool>,
    parsed: HashMap<u32, Option<Arc<Schema>>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(schemas: &'a SchemaCache, ignore: &'a [Vec<String>]) -> Reader<'a> {
        Reader {
            schemas,
            ignore,
            met: vec![false; ignore.len()],
            parsed: HashMap::new(),
        }
    }

    /// What a record holds. Fails when the registry cannot be asked, since then nothing would be known of its fields.
    pub(super) fn content(&mut self, record: &Record<'_>) -> Result<Content, FatalError> {
        let Some(value) = record.value else {
            return Ok(Content::Tombstone);
        };
        let bytes = || Ok(Content::Bytes(value.to_vec()));
        let Ok((id, payload)) = wire::read(value, &record.headers) else {
            return bytes();
        };
        let Some(schema) = self.schema(id)? else {
            return bytes();
        };
        let Ok(decoded) = decode(&schema, payload, &Limits::default()) else {
            return bytes();
        };
        let mut json = to_json(&schema, schema.root, &decoded);
        for (path, met) in self.ignore.iter().zip(&mut self.met) {
            *met |= remove(&mut json, path);
        }
        Ok(Content::Decoded(json))
    }

    /// The fields to be left out that no record had.
    pub(super) fn unmet(&self) -> impl Iterator<Item = &'a Vec<String>> {
        let paths = self.ignore.iter().zip(&self.met);
        paths.filter(|(_, met)| !**met).map(|(path, _)| path)
    }

    fn schema(&mut self, id: u32) -> Result<Option<Arc<Schema>>, FatalError> {
        if let Some(known) = self.parsed.get(&id) {
            return Ok(known.clone());
        }
        let schema = match self.schemas.wait(id, FETCH) {
            Answer::Ready(fetched) if fetched.kind == SchemaKind::Avro => {
                let parsed = Schema::parse(&fetched.text, &fetched.references);
                parsed.ok().map(Arc::new)
            }
            Answer::Ready(_) | Answer::Unknown => None,
            Answer::Pending => {
                let text = format!("the registry did not answer for schema {id} in {FETCH:?}");
                return Err(FatalError::Start(text));
            }
            Answer::Unavailable { message, .. } => {
                return Err(FatalError::Start(format!("registry: {message}")));
            }
        };
        self.parsed.insert(id, schema.clone());
        Ok(schema)
    }
}

/// Takes a field away, in each element where there are several. Whether there was one.
fn remove(json: &mut Json, path: &[String]) -> bool {
    match (json, path) {
        (Json::Array(items), path) => items
            .iter_mut()
            .fold(false, |met, item| remove(item, path) | met),
        (Json::Object(fields), [last]) => fields.shift_remove(last).is_some(),
        (Json::Object(fields), [first, rest @ ..]) => fields
            .get_mut(first)
            .is_some_and(|inner| remove(inner, rest)),
        _ => false,
    }
}

/// Of fixed keys, since both sides are hashed in one run.
fn hash_json(json: &Json) -> u64 {
    let mut hasher = DefaultHasher::new();
    feed(json, &mut hasher);
    hasher.finish()
}

/// The same for keys, of which there may be very many.
pub(super) fn hash_wide(json: &Json) -> u128 {
    hash_bytes(json.to_string().as_bytes())
}

/// Two hashes that know nothing of each other.
pub(super) fn hash_bytes(bytes: &[u8]) -> u128 {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        hasher.write(bytes);
        u128::from(hasher.finish())
    };
    half(1) << 64 | half(2)
}

/// Fields in any order come to the same.
fn feed(json: &Json, hasher: &mut DefaultHasher) {
    match json {
        Json::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            hasher.write_u8(b'{');
            for (name, value) in sorted {
                hasher.write_usize(name.len());
                hasher.write(name.as_bytes());
                feed(value, hasher);
            }
            hasher.write_u8(b'}');
        }
        Json::Array(items) => {
            hasher.write_u8(b'[');
            items.iter().for_each(|item| feed(item, hasher));
            hasher.write_u8(b']');
        }
        other => {
            let text = other.to_string();
            hasher.write_usize(text.len());
            hasher.write(text.as_bytes());
        }
    }
}

/// What differs between two values, by path.
pub(super) fn differences(a: &Content, b: &Content, show: bool) -> Vec<Difference> {
    let mut found = Vec::new();
    match (a, b) {
        (Content::Decoded(a), Content::Decoded(b)) => walk("", Some(a), Some(b), show, &mut found),
        (a, b) => found.push(Difference {
            path: String::new(),
            a: described(a, show),
            b: described(b, show),
        }),
    }
    found
}

fn described(content: &Content, show: bool) -> String {
    match content {
        Content::Tombstone => "tombstone".to_owned(),
        Content::Decoded(json) => shown(Some(json), show),
        Content::Bytes(bytes) => format!("{} bytes that are not Avro", bytes.len()),
    }
}

/// The most differences of one example.
const MOST: usize = 50;

fn walk(path: &str, a: Option<&Json>, b: Option<&Json>, show: bool, found: &mut Vec<Difference>) {
    if found.len() >= MOST || a == b {
        return;
    }
    let below = |name: &str| match path.is_empty() {
        true => name.to_owned(),
        false => format!("{path}.{name}"),
    };
    match (a, b) {
        (Some(Json::Object(one)), Some(Json::Object(other))) => {
            let more = other.keys().filter(|name| !one.contains_key(*name));
            for name in one.keys().chain(more) {
                walk(&below(name), one.get(name), other.get(name), show, found);
            }
        }
        (Some(Json::Array(one)), Some(Json::Array(other))) => {
            for index in 0..one.len().max(other.len()) {
                let path = format!("{path}[{index}]");
                walk(&path, one.get(index), other.get(index), show, found);
            }
        }
        (a, b) => found.push(Difference {
            path: path.to_owned(),
            a: shown(a, show),
            b: shown(b, show),
        }),
    }
}

/// A value, or only what kind it is of.
fn shown(json: Option<&Json>, show: bool) -> String {
    match json {
        None => "absent".to_owned(),
        Some(json) if show => json.to_string(),
        Some(Json::Null) => "null".to_owned(),
        Some(Json::Bool(_)) => "a boolean".to_owned(),
        Some(Json::Number(_)) => "a number".to_owned(),
        Some(Json::String(text)) => format!("a text of {} characters", text.chars().count()),
        Some(Json::Array(items)) => format!("an array of {}", items.len()),
        Some(Json::Object(_)) => "a record".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn fields_in_another_order_are_the_same_and_other_values_are_not() {
        let hash = |json: Json| Content::Decoded(json).hash();
        assert_eq!(
            hash(json!({"a": 1, "b": {"c": 2, "d": 3}})),
            hash(json!({"b": {"d": 3, "c": 2}, "a": 1}))
        );
        for (one, other) in [
            (json!({"a": 1}), json!({"a": 2})),
            (json!({"a": "1"}), json!({"a": 1})),
            (json!([1, 2]), json!([2, 1])),
            (json!([[1], 2]), json!([[1, 2]])),
            (json!({"a": null}), json!({})),
        ] {
            assert_ne!(hash(one.clone()), hash(other.clone()), "{one} {other}");
        }
    }

    #[test]
    fn what_is_left_out_is_left_out_in_each_element() {
        let mut json =
            json!({"at": 1, "items": [{"sku": "a", "at": 2}, {"sku": "b"}], "in": {"at": 3}});
        for (ignored, met) in [
            ("at", true),
            ("items.at", true),
            ("in.at", true),
            ("none.such", false),
            ("At", false),
        ] {
            assert_eq!(remove(&mut json, &path(ignored)), met, "{ignored}");
        }
        assert_eq!(
            json,
            json!({"items": [{"sku": "a"}, {"sku": "b"}], "in": {}})
        );
    }

    #[test]
    fn differences_have_paths_and_no_values_unless_asked_for() {
        let a = Content::Decoded(
            json!({"id": 1, "items": [{"sku": "a"}, {"sku": "b"}], "note": "secret"}),
        );
        let b =
            Content::Decoded(json!({"id": 1, "items": [{"sku": "a"}, {"sku": "x"}], "more": null}));
        let masked: Vec<_> = differences(&a, &b, false)
            .into_iter()
            .map(|found| format!("{}: {} / {}", found.path, found.a, found.b))
            .collect();
        assert_eq!(
            masked,
            [
                "items[1].sku: a text of 1 characters / a text of 1 characters",
                "note: a text of 6 characters / absent",
                "more: absent / null",
            ]
        );
        let shown = &differences(&a, &b, true)[0];
        assert_eq!((shown.a.as_str(), shown.b.as_str()), ("\"b\"", "\"x\""));
    }

    #[test]
    fn a_key_is_a_field_that_is_there() {
        let content = Content::Decoded(json!({"customer": {"id": 7, "name": null}}));
        assert_eq!(content.at(&path("customer.id")), Some(&json!(7)));
        for missing in ["customer.name", "customer.no", "id"] {
            assert_eq!(content.at(&path(missing)), None);
        }
    }
}
