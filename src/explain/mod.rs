//! A record, explained: its bytes value by value, how the contract takes each, and what becomes of it. Input: a record,
//! the writer's schema, the pipeline's schemas and lineage, and the verdict that others have reached. Output: a
//! [`Report`] as text or JSON. Pure: asks nobody.

pub mod annotate;
pub mod lineage;
mod output;
mod pairing;
mod render;
#[cfg(test)]
mod tests;
pub mod walk;

use serde::Serialize;
use serde_json::Value as Json;

pub use self::annotate::{Line, MASK, Subject, Taken, annotate, hex};
pub use self::lineage::Lineage;
pub use self::output::emitted;
pub use self::render::text;

/// Everything there is to say of a record.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Where it is.
    pub record: Place,
    /// Where it came from first, if it was read from a retry or dead-letter topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Its key.
    pub key: Shown,
    /// Its headers, in their order.
    pub headers: Vec<(String, Shown)>,
    /// Bytes of its value; none for a tombstone.
    pub value_bytes: Option<usize>,
    /// Who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writer: Option<Writer>,
    /// The pipeline that reads it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Its contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// The value's bytes.
    pub lines: Vec<Line>,
    /// Lines left out.
    pub lines_left_out: usize,
    /// Where the bytes stop being a value of the writer's schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// What becomes of it.
    pub outcome: Outcome,
    /// What else has to be said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// Where a record is.
#[derive(Debug, Default, Serialize)]
pub struct Place {
    /// Topic; none for a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// Offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Timestamp, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// What the topic is to the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// What the headers of a retry or dead letter say.
#[derive(Debug, Default, Serialize)]
pub struct Origin {
    /// `topic-partition@offset`.
    pub position: String,
    /// Timestamp there, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
    /// Failures so far.
    pub attempt: u32,
    /// Why it failed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// In words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The pipeline that failed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// When it failed first, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failed_at: Option<String>,
    /// When a retry is due, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<String>,
    /// How often it was sent back.
    pub redriven: u32,
    /// Whose headers these are, if not ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<String>,
    /// The consumer group that failed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Who owns it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// When it failed last, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<String>,
    /// What the contract expects at the field's path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
}

/// A key or a header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Shown {
    /// Null.
    #[default]
    Null,
    /// As text.
    Text(String),
    /// Any bytes.
    Bytes {
        /// In hex.
        hex: String,
        /// How many.
        length: usize,
    },
}

/// Who wrote a record.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Writer {
    /// The schema's id.
    pub schema_id: u32,
    /// Where the id stands.
    pub framing: String,
    /// The schema, in a few words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub schema: String,
    /// The subjects that it is registered under.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subjects: Option<Vec<String>>,
}

/// The spot where bytes stop being a value.
#[derive(Debug, Clone, Serialize)]
pub struct Stop {
    /// The byte.
    pub offset: usize,
    /// The bytes from there on, in hex; none when they may belong to a masked field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<String>,
    /// The field.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
}

/// What becomes of a record.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// `emitted`, `filtered`, `retried`, `dead_lettered`, `paused`, `waits_for_lookup` or `not_read`.
    pub outcome: String,
    /// Why, and what happens then.
    pub text: String,
    /// The reason, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
    /// The topic that it goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The emitted value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Json>,
}

/// A key or header for a person: text where it is text, hex otherwise, and nothing that holds one of `secrets`.
pub fn shown(bytes: Option<&[u8]>, secrets: &[String]) -> Shown {
    const LIMIT: usize = 256;
    let Some(bytes) = bytes else {
        return Shown::Null;
    };
    let holds = |secret: &String| {
        let mut windows = bytes.windows(secret.len().max(1));
        windows.any(|window| window == secret.as_bytes())
    };
    if secrets.iter().any(holds) {
        return Shown::Text(MASK.to_owned());
    }
    let text = std::str::from_utf8(bytes).ok();
    match text.filter(|text| !text.chars().any(|c| c.is_control() && c != '\t')) {
        Some(text) if text.len() <= LIMIT => Shown::Text(text.to_owned()),
        Some(text) => Shown::Text(format!("{}…", &text[..text.floor_char_boundary(LIMIT)])),
        None => Shown::Bytes {
            hex: hex(bytes),
            length: bytes.len(),
        },
    }
}

/// Milliseconds since the epoch as RFC 3339, or as they are where that has no such year.
pub fn moment(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(moment) => moment.to_string(),
        Err(_) => millis.to_string(),
    }
}
