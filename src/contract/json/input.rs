//! JSON as read: like `serde_json::Value`, but a number keeps its digits and an object its duplicate keys.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use serde_json::value::RawValue;

/// Bound on nesting, as for Avro data.
const DEPTH_LIMIT: usize = 64;

pub(super) enum Input {
    Null,
    Boolean(bool),
    Number {
        text: String,
        /// False if digits may have been lost on the way here.
        exact: bool,
    },
    Text(String),
    Array(Vec<Input>),
    Object(Vec<(String, Input)>),
}

impl Input {
    pub(super) fn from_json(json: &Json) -> Input {
        match json {
            Json::Null => Input::Null,
            Json::Bool(value) => Input::Boolean(*value),
            Json::Number(number) => {
                let text = number.to_string();
                let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
                let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
                // A double gives 15 digits back as they were; serde_json prints the shortest text, plus a ".0".
                let exact = number.is_i64() || number.is_u64() || digits <= 15;
                Input::Number { text, exact }
            }
            Json::String(text) => Input::Text(text.clone()),
            Json::Array(items) => Input::Array(items.iter().map(Input::from_json).collect()),
            Json::Object(entries) => {
                let entry = |(key, json): (&String, &Json)| (key.clone(), Input::from_json(json));
                Input::Object(entries.iter().map(entry).collect())
            }
        }
    }

    pub(super) fn from_text(text: &str) -> Result<Input, String> {
        // One pass over all of it first, so that an error has its true line and column.
        let whole: &RawValue = serde_json::from_str(text).map_err(|e| describe(&e))?;
        Input::raw(whole, 0)
    }

    fn raw(raw: &RawValue, depth: usize) -> Result<Input, String> {
        if depth > DEPTH_LIMIT {
            return Err(format!("it nests deeper than {DEPTH_LIMIT} levels"));
        }
        let text = raw.get();
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let entries: Entries<'_> = serde_json::from_str(text).map_err(|e| describe(&e))?;
                let entries = entries.0.into_iter();
                let entries = entries.map(|(key, raw)| Ok((key, Input::raw(raw, depth + 1)?)));
                Input::Object(entries.collect::<Result<_, String>>()?)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| describe(&e))?;
                let items = items.into_iter().map(|raw| Input::raw(raw, depth + 1));
                Input::Array(items.collect::<Result<_, _>>()?)
            }
            Some(b'"') => Input::Text(serde_json::from_str(text).map_err(|e| describe(&e))?),
            Some(b't') => Input::Boolean(true),
            Some(b'f') => Input::Boolean(false),
            Some(b'n') => Input::Null,
            _ => Input::Number {
                text: text.to_owned(),
                exact: true,
            },
        })
    }

    /// What it is, for an error.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Input::Null => "null",
            Input::Boolean(_) => "a boolean",
            Input::Number { .. } => "a number",
            Input::Text(_) => "a string",
            Input::Array(_) => "an array",
            Input::Object(_) => "an object",
        }
    }
}

/// serde_json's errors about syntax hold no data, only what was expected and where.
fn describe(error: &serde_json::Error) -> String {
    format!("{error}")
}

/// An object's entries in their order, duplicates too.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(String, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Collect).map(Entries)
    }
}
