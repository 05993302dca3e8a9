//! Data of a case file that waits for its schema: a node of the tree, as JSON text, and where each of its parts stands.

use crate::config::model::Place;
use crate::config::tree::{Body, Node};

/// Data as written.
#[derive(Debug, Clone)]
pub struct Datum(pub(super) Node);

impl Datum {
    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// As JSON, digit by digit: what stands in quotes is a text; without quotes, `true`, `false`, `null` and numbers as
    /// JSON writes them are that, and anything else is a text.
    pub fn json(&self) -> String {
        json(&self.0)
    }

    /// The place of the part at a path as errors tell it (`items[2].price`), or of the nearest part around it.
    pub fn place_of(&self, path: &str) -> &Place {
        let mut at = &self.0;
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            let index = step
                .strip_suffix(']')
                .and_then(|index| index.parse::<usize>().ok());
            let below = match (&at.body, index) {
                (Body::List(items), Some(index)) => items.get(index),
                // A map's entries are told by position.
                (Body::Map(entries), Some(index)) => entries.get(index).map(|entry| &entry.value),
                _ => at.entry(step).map(|entry| &entry.value),
            };
            match below {
                Some(below) => at = below,
                None => break,
            }
        }
        &at.place
    }
}

/// See [`Datum::json`].
pub(crate) fn json(node: &Node) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    match &node.body {
        Body::Null | Body::Broken => "null".to_owned(),
        Body::Scalar(scalar) if scalar.quoted || scalar.block => text(&scalar.text),
        Body::Scalar(scalar) => match scalar.text.as_str() {
            plain @ ("true" | "false") => plain.to_owned(),
            plain if is_number(plain) => plain.to_owned(),
            plain => text(plain),
        },
        Body::List(items) => {
            let items: Vec<String> = items.iter().map(json).collect();
            format!("[{}]", items.join(","))
        }
        Body::Map(entries) => {
            let entry = |entry: &crate::config::tree::Entry| {
                let key = entry.key.text().unwrap_or_default();
                format!("{}:{}", text(key), json(&entry.value))
            };
            let entries: Vec<String> = entries.iter().map(entry).collect();
            format!("{{{}}}", entries.join(","))
        }
    }
}

/// Whether JSON reads it as a number.
pub(crate) fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok()
}
